//! Where a hub is, and the addresses of what it has.

use super::names::{Repo, quoted};
use crate::error::{Error, Result};
use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Where models come from if nobody says otherwise.
pub const ENDPOINT: &str = "https://huggingface.co";

/// What a segment of an address keeps as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A hub: its scheme, host and, behind a proxy, the path that it stands under; no `/` at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(String);

impl Default for Endpoint {
    fn default() -> Self {
        Self(ENDPOINT.to_owned())
    }
}

impl Endpoint {
    /// Reads an address such as [`ENDPOINT`]. Fails if it is none of `http` or `https`, or holds a password or a query.
    pub fn parse(text: &str) -> Result<Self> {
        let uri = parse_http(text)?;
        if uri.query().is_some() || text.contains('#') {
            return Err(Error::usage(format!("hub {}", quoted(text)), "an address with ? or #")
                .expected(format!("an address such as {ENDPOINT}")));
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// The address without a `/` at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where to ask which commit a branch or tag stands at; see [`super::parse_commit`].
    #[must_use]
    pub fn commit_url(&self, repo: &Repo, revision: &str) -> String {
        format!("{}/api/models/{repo}/revision/{}", self.0, segment(revision))
    }

    /// Where to ask for the files of a repository; see [`super::Listing`].
    #[must_use]
    pub fn tree_url(&self, repo: &Repo, revision: &str) -> String {
        format!("{}/api/models/{repo}/tree/{}?recursive=true", self.0, segment(revision))
    }

    /// Where the bytes of a file are.
    #[must_use]
    pub fn file_url(&self, repo: &Repo, revision: &str, path: &str) -> String {
        let path: Vec<String> = path.split('/').map(segment).collect();
        format!("{}/{repo}/resolve/{}/{}", self.0, segment(revision), path.join("/"))
    }

    /// Whether an address is of this hub, so that what is secret may be sent there: the same scheme, host and port.
    #[must_use]
    pub fn owns(&self, url: &str) -> bool {
        let origin = |text: &str| parse_http(text).ok().and_then(|uri| origin(&uri));
        origin(url).is_some_and(|it| Some(it) == origin(&self.0))
    }

    /// The path behind the hub's own, if the address is one of this hub or of the public one that it may mirror.
    pub(super) fn path_of<'a>(&self, uri: &'a Uri) -> Option<&'a str> {
        let here = self.0.parse::<Uri>().ok()?;
        if origin(uri).is_some_and(|it| Some(it) == origin(&here)) {
            return uri.path().strip_prefix(here.path().trim_end_matches('/'));
        }
        let public = ["huggingface.co", "www.huggingface.co", "hf.co", "hf-mirror.com"];
        let is_public = |host: &&str| public.iter().any(|public| host.eq_ignore_ascii_case(public));
        uri.host().filter(is_public).map(|_| uri.path())
    }
}

/// Scheme, host and port.
fn origin(uri: &Uri) -> Option<(String, String, u16)> {
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    Some((scheme, uri.host()?.to_ascii_lowercase(), port))
}

/// An address that can be asked for. Fails, saying what is wrong with it.
pub(super) fn parse_http(text: &str) -> Result<Uri> {
    // A password must not come into messages, so only the address's beginning is quoted.
    let refused = |why: String| {
        let shown = text.split(['?', '#']).next().unwrap_or_default();
        let shown = shown.rsplit_once('@').map_or(shown, |(_, after)| after);
        Error::usage(format!("address {}", quoted(shown)), why)
            .expected("an address that begins with https:// or http://")
    };
    let bare = text.split('#').next().unwrap_or_default();
    let uri: Uri = bare.parse().map_err(|error: http::uri::InvalidUri| refused(error.to_string()))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
            Err(refused("it holds a name or a password".to_owned()))
        }
        (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => Ok(uri),
        _ => Err(refused("no address of the web".to_owned())),
    }
}

fn segment(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_hub() -> Result<()> {
        let repo = Repo::parse("o/n-GGUF")?;
        let hub = Endpoint::parse("https://huggingface.co/")?;
        assert_eq!(hub, Endpoint::default());
        assert_eq!(hub.tree_url(&repo, "main"), "https://huggingface.co/api/models/o/n-GGUF/tree/main?recursive=true");
        assert_eq!(
            hub.commit_url(&repo, "refs/pr/1"),
            "https://huggingface.co/api/models/o/n-GGUF/revision/refs%2Fpr%2F1"
        );
        let url = hub.file_url(&repo, "main", "Q4 é/m?#%.gguf");
        assert_eq!(url, "https://huggingface.co/o/n-GGUF/resolve/main/Q4%20%C3%A9/m%3F%23%25.gguf");
        Ok(())
    }

    #[test]
    fn only_the_hub_itself_is_trusted() -> Result<()> {
        let hub = Endpoint::parse("http://127.0.0.1:8080/mirror")?;
        assert!(
            hub.owns("http://127.0.0.1:8080/elsewhere") && Endpoint::default().owns("https://HuggingFace.co:443/x")
        );
        for url in [
            "https://127.0.0.1:8080/mirror",
            "http://127.0.0.1/mirror",
            "http://127.0.0.1:8081",
            "x",
            "http://127.0.0.1:8080@e.org/",
        ] {
            assert!(!hub.owns(url), "{url}");
        }
        Ok(())
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_password() {
        for text in [
            "",
            "huggingface.co",
            "ftp://a.b/c",
            "https://",
            "https:///x",
            "http://a b/",
            "file:///etc/passwd",
            "https://me:secret@a.org",
        ] {
            let error = Endpoint::parse(text).expect_err(text).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(Endpoint::parse("https://a.org/?x").is_err() && Endpoint::parse("https://a.org/#x").is_err());
    }
}

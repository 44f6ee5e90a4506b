//! Asking servers over HTTP: with the token to the hub and to nobody else, through redirects, with silence and nonsense
//! told from refusals.

use super::settings::Settings;
use crate::error::{Error, Result};
use crate::host::hub::MOST_PAGE_BYTES;
use std::io::Read;
use std::time::Duration;
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LINK, LOCATION, RANGE, RETRY_AFTER,
};
use ureq::http::{HeaderMap, HeaderName, Response, Uri};
use ureq::{Agent, Body};

/// More than any chain that leads somewhere.
const MOST_REDIRECTS: usize = 10;
/// As long as a server that has had too many requests is waited for, over one answer.
const MOST_WAIT: Duration = Duration::from_secs(60);

/// Why there is no answer, or none of use.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nobody answered, or broke off: it may go better in a moment, and what is cached may serve.
    Unreachable(Error),
    /// An answer that will be no other.
    Refused(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(error) | Failure::Refused(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// The bytes from some place of a file on.
pub(super) struct Answer {
    /// Where they begin: where was asked for, or 0 where the server knows no ranges.
    pub(super) from: u64,
    /// The length of the whole file, if the server tells.
    pub(super) total: Option<u64>,
    /// What changes when the file does, if the server tells.
    pub(super) tag: Option<String>,
    pub(super) body: Box<dyn Read>,
}

/// Asks the hub, and the servers that it redirects to.
pub(super) struct Client<'a> {
    settings: &'a Settings,
    agent: Agent,
}

impl<'a> Client<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Redirects are followed below, where it is known who may see the token.
            .max_redirects(0)
            .timeout_resolve(Some(settings.timeout))
            .timeout_connect(Some(settings.timeout))
            .timeout_per_read(Some(settings.timeout))
            .timeout_per_write(Some(settings.timeout))
            .user_agent(concat!("headstart/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { settings, agent: config.new_agent() }
    }

    /// A short answer with its `Link` header, if it has one.
    pub(super) fn text(&self, url: &str, thing: &str) -> Result<(Vec<u8>, Option<String>), Failure> {
        let response = self.ask(url, thing, None)?;
        let link = header(response.headers(), &LINK).map(str::to_owned);
        let mut bytes = Vec::new();
        let mut body = response.into_body().into_reader().take(MOST_PAGE_BYTES as u64 + 1);
        body.read_to_end(&mut bytes).map_err(|error| silent(thing, &error))?;
        Ok((bytes, link))
    }

    /// The bytes of a file from `from` on; `None` if the server says that there are none there.
    pub(super) fn bytes(&self, url: &str, thing: &str, from: u64) -> Result<Option<Answer>, Failure> {
        let response = self.ask(url, thing, Some(from))?;
        let headers = response.headers();
        let length = header(headers, &CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let tag = header(headers, &ETAG).map(str::to_owned);
        let (from, total) = match response.status().as_u16() {
            416 => return Ok(None),
            206 => {
                let range = header(headers, &CONTENT_RANGE).unwrap_or_default();
                let parsed = content_range(range).filter(|(begin, _)| *begin == from);
                parsed.ok_or_else(|| {
                    Error::file(thing, format!("the server sent the range {range:.60?}"))
                        .expected(format!("bytes from {from} on"))
                })?
            }
            _ => (0, length),
        };
        Ok(Some(Answer { from, total, tag, body: Box::new(response.into_body().into_reader()) }))
    }

    /// Asks, and follows where it is sent; the answer is a success, or 416 where a range was asked for.
    fn ask(&self, first: &str, thing: &str, from: Option<u64>) -> Result<Response<Body>, Failure> {
        let mut url = first.to_owned();
        let (mut n_redirects, mut waited) = (0, Duration::ZERO);
        while n_redirects < MOST_REDIRECTS {
            let mut request = self.agent.get(&url).header(ACCEPT_ENCODING, "identity");
            if let Some(from) = from.filter(|from| *from > 0) {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            if let Some(token) = self.settings.token.as_ref().filter(|_| self.settings.hub.owns(&url)) {
                request = request.header(AUTHORIZATION, token.authorization());
            }
            let response = request.call().map_err(|error| silent(thing, &error.into_io()))?;
            let status = response.status().as_u16();
            match status {
                301 | 302 | 303 | 307 | 308 => {
                    n_redirects += 1;
                    let location = header(response.headers(), &LOCATION).unwrap_or_default();
                    url = redirected(&url, location).ok_or_else(|| {
                        Error::io(thing, "the server sent on to nowhere, or from https to http")
                            .advice("Check HF_ENDPOINT, and what stands between here and there.")
                    })?;
                }
                200 | 206 => return Ok(response),
                416 if from.is_some_and(|from| from > 0) => return Ok(response),
                429 => {
                    let seconds = header(response.headers(), &RETRY_AFTER).and_then(|text| text.trim().parse().ok());
                    let wait = seconds.map(|seconds: u64| Duration::from_secs(seconds.max(1)));
                    let wait = wait.filter(|wait| waited.saturating_add(*wait) <= MOST_WAIT);
                    let wait = wait.ok_or_else(|| self.refusal(status, thing, first))?;
                    eprintln!(
                        "headstart: {thing}: the server has had too many requests; it asks for {} s",
                        wait.as_secs()
                    );
                    std::thread::sleep(wait);
                    waited += wait;
                }
                _ => return Err(self.refusal(status, thing, first)),
            }
        }
        Err(Error::io(thing, format!("the server sent on {MOST_REDIRECTS} times")).into())
    }

    /// What an answer without a file means, and what to do about it; `url` is the first that was asked.
    fn refusal(&self, status: u16, thing: &str, url: &str) -> Failure {
        let hub = self.settings.hub.as_str();
        let found = format!("the server answered {status}");
        let usage = |advice: String| Failure::Refused(Error::usage(thing, &found).advice(advice));
        match (status, &self.settings.token) {
            (401 | 403, _) if !self.settings.hub.owns(url) => usage("It is not open to everyone.".to_owned()),
            (401 | 403, None) => usage(format!(
                "There is nothing of that name, or it is not open to everyone: accept its terms on its page at {hub}, and \
                 set HF_TOKEN to a token from {hub}/settings/tokens."
            )),
            (401 | 403, Some(_)) => usage(format!(
                "The token that was sent does not open it: check HF_TOKEN, and accept the terms on its page at {hub}."
            )),
            (404 | 410, _) => usage("There is nothing of that name: check the spelling.".to_owned()),
            (429, _) => {
                Failure::Refused(Error::io(thing, found).advice("It has had too many requests: wait some minutes."))
            }
            (500.., _) => {
                Failure::Unreachable(Error::io(thing, found).advice("The fault is there: try again in a while."))
            }
            _ => Failure::Refused(Error::io(thing, found).expected("the file")),
        }
    }
}

/// Nobody answered, or broke off in the middle of a short answer.
fn silent(thing: &str, error: &std::io::Error) -> Failure {
    let found = format!("no answer, or half of one: {}", why(error));
    Failure::Unreachable(Error::io(thing, found).advice("Check the connection, and try again."))
}

/// Why a connection ended, in words of this program where the library's are its own.
pub(super) fn why(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(ureq::Error::Timeout(_)) => "nothing more came for too long".to_owned(),
        _ => error.to_string(),
    }
}

/// How long to wait before asking again for the `attempt`th time.
pub(super) fn pause(attempt: u32) -> Duration {
    Duration::from_millis(200 << attempt.min(6))
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The first byte and the length of the whole in `bytes 5-9/10`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let total: Option<u64> = if total == "*" { None } else { Some(total.trim().parse().ok()?) };
    (first <= last && total.is_none_or(|total| last < total)).then_some((first, total))
}

/// Where a `Location` leads from an address; `None` if nowhere, or from `https` to `http`.
fn redirected(from: &str, location: &str) -> Option<String> {
    let base: Uri = from.parse().ok()?;
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let to = if location.contains("://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = base.path().rfind('/').map_or("/", |at| &base.path()[..=at]);
        format!("{scheme}://{authority}{folder}{location}")
    };
    let uri: Uri = to.split('#').next()?.parse().ok()?;
    let fine = uri.host().is_some() && !location.is_empty() && [scheme, "https"].contains(&uri.scheme_str()?);
    fine.then(|| uri.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_where_they_say() {
        let from = "https://a.org/x/y?z=1";
        for (location, to) in [
            ("https://b.org/q?s=%2F", Some("https://b.org/q?s=%2F")),
            ("//b.org/q", Some("https://b.org/q")),
            ("/q#top", Some("https://a.org/q")),
            ("q", Some("https://a.org/x/q")),
            ("http://a.org/q", None),
            ("ftp://a.org/q", None),
            ("", None),
            ("https://", None),
            ("a b", None),
        ] {
            assert_eq!(redirected(from, location).as_deref(), to, "{location}");
        }
    }

    #[test]
    fn ranges_are_read_strictly() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 0-0/*"), Some((0, None)));
        for text in ["", "bytes 5-9/9", "bytes 9-5/10", "bytes */10", "items 0-1/2", "bytes -1-2/3", "bytes 0-1"] {
            assert_eq!(content_range(text), None, "{text}");
        }
    }
}

//! Where models come from and where they are kept, as the variables say that all of the hub's programs honour: HF_ENDPOINT,
//! HF_HUB_CACHE, HF_HOME, HF_TOKEN, HF_HUB_OFFLINE, HF_HUB_DOWNLOAD_TIMEOUT, and older names of these.

use crate::error::{Error, Result};
use crate::host::hub::Endpoint;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a server may be silent.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Tokens have some forty letters.
const MOST_TOKEN_BYTES: usize = 1024;

/// A token that opens repositories; it is sent to the hub and shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token(String);

impl Token {
    /// What the header `Authorization` says.
    pub(super) fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What the environment says.
#[derive(Debug)]
pub(super) struct Settings {
    /// The folder of the hub's cache, which need not be there yet.
    pub(super) cache: PathBuf,
    pub(super) hub: Endpoint,
    pub(super) token: Option<Token>,
    /// Whether to do with what is cached.
    pub(super) offline: bool,
    pub(super) timeout: Duration,
}

impl Settings {
    pub(super) fn from_env() -> Result<Self> {
        Self::from(&|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
    }

    fn from(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Result<Self> {
        // As the hub's other programs read them.
        let variable = &|name: &str| variable(name).map(|path| expanded(path, name, variable));
        let text = |name| variable(name).map(|value| value.to_string_lossy().into_owned());
        let home = variable("HF_HOME")
            .or_else(|| variable("XDG_CACHE_HOME").map(|caches| caches.join("huggingface")))
            .or_else(|| variable(HOME).map(|home| home.join(".cache/huggingface")));
        let cache = variable("HF_HUB_CACHE")
            .or_else(|| variable("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| home.as_ref().map(|home| home.join("hub")))
            .ok_or_else(|| {
                Error::usage("the folder for models", "none: there is no home folder")
                    .advice("Name one with HF_HUB_CACHE.")
            })?;
        let hub = text("HF_ENDPOINT").map_or_else(|| Ok(Endpoint::default()), |text| Endpoint::parse(&text))?;
        let token = match text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN")) {
            Some(token) => Some(token),
            // Where `hf auth login` leaves it.
            None => variable("HF_TOKEN_PATH")
                .or_else(|| home.map(|home| home.join("token")))
                .and_then(|path| std::fs::read_to_string(path).ok()),
        };
        let timeout = match text("HF_HUB_DOWNLOAD_TIMEOUT") {
            None => TIMEOUT,
            Some(text) => seconds(&text)?,
        };
        let offline = text("HF_HUB_OFFLINE").or_else(|| text("TRANSFORMERS_OFFLINE")).is_some_and(|text| is_yes(&text));
        Ok(Self { cache, hub, token: token.map(|token| checked(&token)).transpose()?.flatten(), offline, timeout })
    }

    /// The folder of the cache, for messages.
    pub(super) fn shown_cache(&self) -> String {
        Path::display(&self.cache).to_string()
    }
}

/// Where the system says that a person's files are.
const HOME: &str = if cfg!(windows) { "USERPROFILE" } else { "HOME" };

/// The path in a variable of a folder or file: what a shell leaves as it is in quotes and files, a `~` at its begin and
/// names of variables as `$NAME` and `${NAME}`, stands for what it does in a shell. A variable that is not there stays.
fn expanded(path: PathBuf, name: &str, variable: &dyn Fn(&str) -> Option<PathBuf>) -> PathBuf {
    const PATHS: [&str; 5] = ["HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN_PATH", "XDG_CACHE_HOME"];
    if !PATHS.contains(&name) {
        return path;
    }
    let path = match (path.strip_prefix("~"), variable(HOME)) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    };
    let Some(text) = path.to_str().filter(|text| text.contains('$')) else { return path };
    let (mut whole, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once('$') {
        let plain = behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(behind.len());
        let (name, after) = match behind.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some(braced) => braced,
            None => behind.split_at(plain),
        };
        whole += before;
        match variable(name).as_deref().and_then(Path::to_str) {
            Some(value) => whole += value,
            None => whole += &rest[before.len()..rest.len() - after.len()],
        }
        rest = after;
    }
    (whole + rest).into()
}

fn is_yes(text: &str) -> bool {
    ["1", "on", "yes", "true"].iter().any(|yes| text.eq_ignore_ascii_case(yes))
}

fn seconds(text: &str) -> Result<Duration> {
    let seconds = text.parse().ok().filter(|seconds| (1..=86_400).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| {
        Error::usage("HF_HUB_DOWNLOAD_TIMEOUT", format!("{text:.20?}")).expected("seconds, from 1 to 86400")
    })
}

/// A token that can stand in a header; `None` where there is nothing but space.
fn checked(token: &str) -> Result<Option<Token>> {
    let token = token.trim();
    if token.len() > MOST_TOKEN_BYTES || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::usage("the token in HF_TOKEN", "characters that no token has")
            .expected("one like hf_…, from the hub's page of access tokens"));
    }
    Ok((!token.is_empty()).then(|| Token(token.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings> {
        let variables: HashMap<&str, &str> = variables.iter().copied().collect();
        Settings::from(&|name| variables.get(name).map(PathBuf::from))
    }

    #[test]
    fn the_cache_is_where_the_hubs_programs_have_it() {
        for (variables, cache) in [
            (&[(HOME, "/h")][..], "/h/.cache/huggingface/hub"),
            (&[(HOME, "/h"), ("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[(HOME, "/h"), ("HF_HOME", "/f")], "/f/hub"),
            (&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")], "/c"),
            (&[("HF_HOME", "/f"), ("HUGGINGFACE_HUB_CACHE", "/o")], "/o"),
            (&[("HUGGINGFACE_HUB_CACHE", "/o"), ("HF_HUB_CACHE", "/c")], "/c"),
            (&[(HOME, "/h"), ("HF_HOME", "~/f")], "/h/f/hub"),
            (&[(HOME, "/h"), ("HF_HUB_CACHE", "~")], "/h"),
            (&[(HOME, "/h"), ("HF_HOME", "/f~/~")], "/f~/~/hub"),
            (&[("HF_HOME", "$BIG/f"), ("BIG", "/b")], "/b/f/hub"),
            (&[("HF_HUB_CACHE", "/x/${BIG}s/$BIG_2/$/$NONE${BIG"), ("BIG", "b")], "/x/bs/$BIG_2/$/$NONE${BIG"),
            (&[(HOME, "/h"), ("XDG_CACHE_HOME", "~/$WHO"), ("WHO", "$WHO")], "/h/$WHO/huggingface/hub"),
        ] {
            assert_eq!(settings(variables).expect("settings").cache, PathBuf::from(cache));
        }
        assert!(settings(&[]).is_err());
    }

    #[test]
    fn a_token_is_read_and_never_shown() {
        let found = settings(&[("HF_HUB_CACHE", "/c"), ("HF_TOKEN", " hf_secret\n")]).expect("settings");
        assert_eq!(found.token.as_ref().map(Token::authorization).as_deref(), Some("Bearer hf_secret"));
        assert!(!format!("{found:?}").contains("secret"));
        let older = settings(&[("HF_HUB_CACHE", "/c"), ("HUGGING_FACE_HUB_TOKEN", "hf_old")]).expect("settings");
        assert_eq!(older.token.map(|token| token.authorization()).as_deref(), Some("Bearer hf_old"));
        let error = settings(&[("HF_HUB_CACHE", "/c"), ("HF_TOKEN", "hf_secret\nx")]).expect_err("two lines");
        assert!(!error.to_string().contains("secret"), "{error}");

        let home = tempfile::tempdir().expect("a folder");
        std::fs::write(home.path().join("token"), "hf_filed\n").expect("a file");
        let home = home.path().to_str().expect("UTF-8");
        let filed = settings(&[("HF_HOME", home)]).expect("settings");
        assert_eq!(filed.token.map(|token| token.authorization()).as_deref(), Some("Bearer hf_filed"));
        let named = [("HF_HUB_CACHE", "/c"), ("HF_TOKEN_PATH", "$WHERE/token"), ("WHERE", home)];
        let named = settings(&named).expect("settings").token;
        assert_eq!(named.map(|token| token.authorization()).as_deref(), Some("Bearer hf_filed"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for variable in [("HF_ENDPOINT", "here"), ("HF_HUB_DOWNLOAD_TIMEOUT", "0"), ("HF_HUB_DOWNLOAD_TIMEOUT", "soon")]
        {
            let error = settings(&[("HF_HUB_CACHE", "/c"), variable]).expect_err(variable.1);
            assert_eq!(error.kind, crate::ErrorKind::Usage);
        }
        assert!(settings(&[("HF_HUB_CACHE", "/c"), ("HF_HUB_OFFLINE", "True")]).is_ok_and(|found| found.offline));
        assert!(settings(&[("HF_HUB_CACHE", "/c"), ("HF_HUB_OFFLINE", "0")]).is_ok_and(|found| !found.offline));
        assert!(settings(&[("HF_HUB_CACHE", "/c"), ("TRANSFORMERS_OFFLINE", "1")]).is_ok_and(|found| found.offline));
    }
}

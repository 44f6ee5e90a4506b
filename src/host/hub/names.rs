//! The names that a hub uses: repositories, revisions, paths, hashes. Whatever passes here can be joined to a folder or an
//! address without leading out of it.

use crate::error::{Error, Result};
use std::fmt;

/// The hub allows 96 for each of the two names.
const MOST_NAME_BYTES: usize = 96;
/// File systems allow 255 for a name.
const MOST_PART_BYTES: usize = 255;
/// More than any repository has.
const MOST_PATH_BYTES: usize = 1024;

/// A repository of models: `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repo(String);

impl Repo {
    /// Reads `owner/name`. Fails, quoting it, if a hub could have no such repository.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = |why: &str| {
            Error::usage(format!("repository {}", quoted(text)), why)
                .expected("owner/name, of letters, digits and single - _ .")
                .advice("For example unsloth/DeepSeek-R1-Distill-Qwen-1.5B-GGUF.")
        };
        let (owner, name) = text.split_once('/').ok_or_else(|| refused("there is no / in it"))?;
        for part in [owner, name] {
            check_name(part).map_err(refused)?;
        }
        Ok(Self(text.to_owned()))
    }

    /// `owner/name`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name alone.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The name of its folder in the hub's cache: `models--owner--name`.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("models--{}", self.0.replace('/', "--"))
    }

    /// The repository that such a folder belongs to; `None` for any other folder.
    #[must_use]
    pub fn from_folder(folder: &str) -> Option<Self> {
        let (owner, name) = folder.strip_prefix("models--")?.split_once("--")?;
        Self::parse(&format!("{owner}/{name}")).ok()
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() {
        Err("a name in it is empty")
    } else if name.len() > MOST_NAME_BYTES {
        Err("a name in it is longer than 96 letters")
    } else if !name.chars().all(is_allowed) {
        Err("it has a character that no repository has")
    } else if name.contains("--") || name.contains("..") || name.starts_with(['-', '.']) || name.ends_with(['-', '.']) {
        Err("no repository has - or . there")
    } else {
        Ok(())
    }
}

/// Checks a path inside a repository. Fails, quoting it, if it could lead out of a folder on any system, or has control
/// characters, or is too long to be stored.
pub fn check_path(path: &str) -> Result<()> {
    let bad_part = |part: &str| part.is_empty() || part == "." || part == ".." || part.len() > MOST_PART_BYTES;
    let why = if path.len() > MOST_PATH_BYTES {
        "it is too long"
    } else if path.starts_with('/') {
        "it does not begin in the repository"
    } else if path.chars().any(|c| c.is_control() || matches!(c, '\\' | ':')) {
        "it has a character that not every system can store"
    } else if path.split('/').any(bad_part) {
        "one of its parts is empty, too long, or leads elsewhere"
    } else {
        return Ok(());
    };
    Err(Error::usage(format!("path {}", quoted(path)), why).expected("a path inside the repository, with / between"))
}

/// Checks a branch, tag or commit.
pub(super) fn check_revision(revision: &str) -> Result<()> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let fine = revision.chars().all(is_allowed) && revision.len() <= MOST_PART_BYTES && !revision.ends_with(".lock");
    if fine && check_path(revision).is_ok() {
        return Ok(());
    }
    Err(Error::usage(format!("revision {}", quoted(revision)), "no branch, tag or commit is called that")
        .expected("a name such as main, or a commit's hash"))
}

/// The hash, in small letters, if it is one of that many hexadecimal digits.
pub(super) fn hash(text: &str, n_digits: usize) -> Option<String> {
    (text.len() == n_digits && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| text.to_ascii_lowercase())
}

/// In quotes, control characters escaped, and no longer than a message bears.
pub(super) fn quoted(text: &str) -> String {
    const MOST_CHARS: usize = 80;
    let start: String = text.chars().take(MOST_CHARS).collect();
    let dots = if start.len() < text.len() { "…" } else { "" };
    format!("{start:?}{dots}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_told_from_what_is_none() {
        for text in ["a/b", "unsloth/DeepSeek-R1-Distill-Qwen-1.5B-GGUF", "x_y/z.1-2_3"] {
            let repo = Repo::parse(text).expect(text);
            assert_eq!(Repo::from_folder(&repo.folder()), Some(repo));
        }
        let long = format!("a/{}", "b".repeat(97));
        for text in [
            "", "a", "/", "a/", "/b", "a/b/c", "a/..", "../b", "a/b..c", "a--b/c", "a/b ", "a/b\n", "ä/b", "-a/b",
            "a/b.", &long,
        ] {
            let error = Repo::parse(text).expect_err(text).to_string();
            assert!(error.len() < 400 && !error.contains('\n'), "{error}");
        }
        for folder in ["models--a", "models--..--b", "datasets--a--b", "models--a--b--c", "models----b", "a--b"] {
            assert_eq!(Repo::from_folder(folder), None, "{folder}");
        }
    }

    #[test]
    fn a_path_stays_inside() {
        for path in ["a.gguf", "Q4_K_M/a-00001-of-00002.gguf", ".gitattributes", "a b/ö.txt", "...", "a..b"] {
            assert!(check_path(path).is_ok(), "{path}");
        }
        let long = ["x".repeat(256), "x/".repeat(600)];
        for path in [
            "", "/a", "../a", "a/../b", "a//b", "a/", "./a", "a/.", "a\0b", "a\nb", "C:\\a", "a:b", "a\\..\\b",
            &long[0], &long[1],
        ] {
            assert!(check_path(path).is_err(), "{path}");
        }
        for revision in ["main", "refs/pr/1", "v1.0", "0123abc"] {
            assert!(check_revision(revision).is_ok(), "{revision}");
        }
        for revision in ["", "..", "a/../b", "/a", "a b", "main\n", "a?b", "a#b", "main.lock"] {
            assert!(check_revision(revision).is_err(), "{revision}");
        }
    }
}

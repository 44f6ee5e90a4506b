//! A model that comes over the web in pieces: which files it is made of, which pieces of them are there, what a server's
//! answer is worth, and the two records by which a download is resumed and a finished one is known. Nothing here asks
//! a server or writes a file, and nothing knows a browser: these are the decisions alone.

mod answer;
mod pieces;
mod record;
mod speed;

pub use answer::{Answer, Asked, Refusal, Size, judge, judge_size, unreachable};
pub use pieces::{Piece, PieceMap, Serving, There};
pub use record::{FileProgress, Progress, Record};
pub use speed::Speed;

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A model has no more files than this.
const MOST_FILES: usize = 1 << 10;
/// No model's files are longer together: what is kept in mind for each piece of them is to stay small.
const MOST_BYTES: u64 = 1 << 42;

/// What is to be fetched: the files of one model, in the order in which the engine wants them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What to call the model.
    pub title: String,
    /// Its files, at least one.
    pub files: Vec<PlanFile>,
}

/// One file of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanFile {
    /// The name that it had where it comes from, without folders.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal digits, where somebody has said it.
    pub sha256: Option<String>,
}

impl Plan {
    /// Fails if this can be no model: no files, or too many, or of impossible sizes.
    pub fn check(&self) -> Result<()> {
        let thing = || format!("model {:?}", self.title.chars().take(80).collect::<String>());
        if self.files.is_empty() || self.files.len() > MOST_FILES {
            return Err(
                Error::usage(thing(), format!("{} files", self.files.len())).expected(format!("1 to {MOST_FILES}"))
            );
        }
        let mut whole = 0u64;
        for file in &self.files {
            whole = whole.saturating_add(file.bytes);
            if file.bytes == 0 || whole > MOST_BYTES {
                return Err(Error::usage(thing(), format!("{} has {} bytes", file.name, file.bytes))
                    .expected(format!("files of 1 to {MOST_BYTES} bytes together")));
            }
        }
        Ok(())
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// What tells this model from others: the first 16 hexadecimal digits of a hash over the addresses of its files.
    /// It is fit to name a folder.
    #[must_use]
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        for file in &self.files {
            hash.update(file.url.as_bytes());
            hash.update([0]);
        }
        hex(&hash.finalize()[..8])
    }
}

/// Bytes as hexadecimal digits, in small letters.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn file(url: &str, bytes: u64) -> PlanFile {
        PlanFile { name: "m.gguf".into(), url: url.into(), bytes, sha256: None }
    }

    #[test]
    fn a_model_is_known_by_the_addresses_of_its_files() {
        let plan = |urls: &[&str]| Plan { title: "m".into(), files: urls.iter().map(|url| file(url, 1)).collect() };
        let id = plan(&["https://a/b", "https://a/c"]).id();
        assert_eq!(id.len(), 16);
        assert_eq!(Plan { title: "n".into(), ..plan(&["https://a/b", "https://a/c"]) }.id(), id);
        for other in [&["https://a/c", "https://a/b"][..], &["https://a/bhttps://a/c"], &["https://a/b"]] {
            assert_ne!(plan(other).id(), id);
        }
    }

    #[test]
    fn an_impossible_model_is_refused() {
        let of = |files| Plan { title: "m".into(), files }.check();
        assert!(of(vec![file("u", 1)]).is_ok());
        for files in [vec![], vec![file("u", 0)], vec![file("u", u64::MAX)], vec![file("u", 1); 2000]] {
            assert!(of(files).is_err());
        }
    }
}

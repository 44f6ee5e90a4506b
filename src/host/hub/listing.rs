//! What a hub answers when it is asked for a repository's files and commits. All of it is taken as hostile.

use super::endpoint::Endpoint;
use super::names::{check_path, hash, quoted};
use crate::error::{Error, Result};
use serde::Deserialize;

/// A page of a listing has 1000 files at most, and a few hundred bytes for each.
pub const MOST_PAGE_BYTES: usize = 8 << 20;
/// More files than any repository of one model has.
pub const MOST_PAGES: usize = 32;
/// No file is larger: a thousand times the largest known.
const MOST_FILE_BYTES: u64 = 1 << 46;

/// A file in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path, checked.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 of its bytes in small hexadecimal letters; the hub has it for large files only.
    pub sha256: Option<String>,
    /// What the hub's cache calls its bytes: the SHA-256 where there is one, else git's own hash.
    pub blob: Option<String>,
}

/// The files of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Those that can be stored.
    pub entries: Vec<Entry>,
    /// How many were left out because their paths lead elsewhere or cannot be stored.
    pub n_refused: usize,
}

/// One entry as the hub writes it; there is more, which means nothing here.
#[derive(Deserialize)]
struct Written {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    oid: Option<String>,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    lfs: Option<WrittenLfs>,
}

#[derive(Deserialize)]
struct WrittenLfs {
    oid: String,
    #[serde(default)]
    size: Option<u64>,
}

impl Listing {
    /// Adds a page of a listing.
    ///
    /// # Errors
    /// `File` if it is no listing, or too long, or a file's length or hash is none.
    pub fn add_page(&mut self, json: &[u8]) -> Result<()> {
        check_page(json)?;
        let page: Vec<Written> = serde_json::from_slice(json).map_err(|error| not_understood(&error))?;
        for written in page.into_iter().filter(|written| written.kind == "file") {
            if check_path(&written.path).is_ok() {
                self.entries.push(entry(written)?);
            } else {
                self.n_refused += 1;
            }
        }
        Ok(())
    }
}

fn entry(written: Written) -> Result<Entry> {
    let refused = |found: String, expected: &str| {
        Error::file(format!("the hub's listing, {}", quoted(&written.path)), found).expected(expected)
    };
    let size = written.lfs.as_ref().and_then(|lfs| lfs.size).or(written.size);
    let bytes = size.ok_or_else(|| refused("no length".to_owned(), "its size in bytes"))?;
    if bytes > MOST_FILE_BYTES {
        return Err(refused(format!("{bytes} bytes"), "at most 64 TiB"));
    }
    let sha256 = match &written.lfs {
        Some(lfs) => {
            let sha256 = hash(&lfs.oid, 64);
            Some(sha256.ok_or_else(|| refused(format!("the hash {}", quoted(&lfs.oid)), "64 hexadecimal digits"))?)
        }
        None => None,
    };
    let blob = sha256.clone().or_else(|| written.oid.as_deref().and_then(|oid| hash(oid, 40)));
    Ok(Entry { path: written.path, bytes, sha256, blob })
}

/// The commit in the hub's answer at [`Endpoint::commit_url`]: 40 hexadecimal digits.
pub fn parse_commit(json: &[u8]) -> Result<String> {
    #[derive(Deserialize)]
    struct Written {
        sha: String,
    }
    check_page(json)?;
    let written: Written = serde_json::from_slice(json).map_err(|error| not_understood(&error))?;
    hash(&written.sha, 40).ok_or_else(|| {
        Error::file("the hub's answer", format!("the commit {}", quoted(&written.sha)))
            .expected("40 hexadecimal digits")
    })
}

fn check_page(json: &[u8]) -> Result<()> {
    if json.len() > MOST_PAGE_BYTES {
        return Err(Error::file("the hub's answer", format!("{} bytes", json.len()))
            .expected(format!("at most {} MiB", MOST_PAGE_BYTES >> 20)));
    }
    Ok(())
}

fn not_understood(error: &serde_json::Error) -> Error {
    Error::file("the hub's answer", format!("not what a hub says: {error}"))
        .advice("Is HF_ENDPOINT the address of a hub, and does nothing stand between that answers in its place?")
}

/// The address of the next page, from the `Link` header of this one; `None` after the last. A hub that sends elsewhere is
/// not followed, since a token would go along.
#[must_use]
pub fn next_page(link: &str, hub: &Endpoint) -> Option<String> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let url = next.split_once('<')?.1.split_once('>')?.0;
    hub.owns(url).then(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(json: &str) -> Result<Listing> {
        let mut listing = Listing::default();
        listing.add_page(json.as_bytes())?;
        Ok(listing)
    }

    #[test]
    fn files_come_with_their_lengths_and_hashes() -> Result<()> {
        let sha256 = "AB".repeat(32);
        let git = "0".repeat(40);
        let json = format!(
            r#"[{{"type":"directory","oid":"x","size":0,"path":"d"}},
                {{"type":"file","oid":"{git}","size":3,"path":"config.json","new":[1]}},
                {{"type":"file","oid":"{git}","size":9,"lfs":{{"oid":"{sha256}","size":9,"pointerSize":1}},"xetHash":"q","path":"d/m.gguf"}},
                {{"type":"file","size":1,"path":"odd.txt"}}]"#
        );
        let found = listing(&json)?;
        let entry = |path: &str, bytes, sha256: Option<&String>, blob: Option<&String>| Entry {
            path: path.into(),
            bytes,
            sha256: sha256.cloned(),
            blob: blob.cloned(),
        };
        let sha256 = sha256.to_lowercase();
        assert_eq!(
            found.entries,
            [
                entry("config.json", 3, None, Some(&git)),
                entry("d/m.gguf", 9, Some(&sha256), Some(&sha256)),
                entry("odd.txt", 1, None, None)
            ]
        );
        Ok(())
    }

    #[test]
    fn paths_that_lead_elsewhere_are_left_out_and_counted() -> Result<()> {
        let paths =
            ["../../.bashrc", "/etc/passwd", "a/../../b.gguf", "a\\\\..\\\\b.gguf", "C:/x.gguf", "x\\u0000.gguf", ""];
        let entries: Vec<String> =
            paths.iter().map(|path| format!(r#"{{"type":"file","size":1,"path":"{path}"}}"#)).collect();
        let found = listing(&format!("[{}]", entries.join(",")))?;
        assert_eq!((found.entries.len(), found.n_refused), (0, paths.len()));
        Ok(())
    }

    #[test]
    fn what_is_no_listing_is_refused() {
        for json in [
            "",
            "{}",
            "[1]",
            "null",
            "<html>",
            "[",
            "{\"error\":\"x\"}",
            r#"[{"type":"file","path":"a"}]"#,
            r#"[{"type":"file","path":"a","size":-1}]"#,
            r#"[{"type":"file","path":"a","size":1e300}]"#,
            r#"[{"type":"file","path":"a","size":18446744073709551616}]"#,
            r#"[{"type":"file","path":"a","size":18446744073709551615}]"#,
            r#"[{"type":"file","path":"a","size":"1"}]"#,
            r#"[{"type":"file","path":"a","size":1,"lfs":{"oid":"../../x"}}]"#,
            r#"[{"type":"file","path":7,"size":1}]"#,
        ] {
            let error = listing(json).expect_err(json);
            assert_eq!(error.kind, crate::ErrorKind::File, "{json}");
        }
        assert!(Listing::default().add_page(&vec![b' '; MOST_PAGE_BYTES + 1]).is_err());
        // Nesting as deep as a stack is refused and does not end the program.
        assert!(listing(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn a_commit_is_forty_digits() {
        let sha = "0123456789abcdef0123456789abcdef01234567";
        let json = format!(r#"{{"id":"o/n","sha":"{sha}","siblings":[]}}"#);
        assert_eq!(parse_commit(json.as_bytes()).as_deref(), Ok(sha));
        for json in ["{}", r#"{"sha":"main"}"#, r#"{"sha":"../../x"}"#, r#"{"sha":null}"#] {
            assert!(parse_commit(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn further_pages_are_of_the_same_hub() {
        let hub = Endpoint::default();
        let next = "https://huggingface.co/api/models/o/n/tree/main?cursor=x";
        assert_eq!(next_page(&format!("<{next}>; rel=\"next\""), &hub).as_deref(), Some(next));
        assert_eq!(next_page(&format!("<a>; rel=\"first\", <{next}>; rel=\"next\""), &hub).as_deref(), Some(next));
        for link in
            ["", "<https://evil.org/>; rel=\"next\"", "</api>; rel=\"next\"", "rel=\"next\"", "<x; rel=\"next\""]
        {
            assert_eq!(next_page(link, &hub), None, "{link}");
        }
    }
}

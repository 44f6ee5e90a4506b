//! Files of other servers than a hub: no listing, no hashes, and a name of their own only in the address.

use super::cache::RepoCache;
use super::client::Client;
use super::download::{Check, Fetch, fetch};
use super::settings::Settings;
use super::{Pulled, bytes_of, digits};
use crate::error::{Error, Result};
use crate::format::part_name::PartName;
use crate::host::hub::Repo;
use crate::host::native::progress::Progress;
use indicatif::DecimalBytes;

/// More than any model was split into.
const MOST_PARTS: u32 = 1000;
/// A repository's names have 96 letters at most.
const MOST_STAND_IN_CHARS: usize = 90;

/// A file from anywhere else, with the other parts if it is one of several. It is kept as if its host were an owner of
/// repositories, and its address a commit.
pub(super) fn pull(settings: &Settings, url: &str, name: &str) -> Result<Pulled> {
    let files = parts_of_url(url, name)?;
    let commit = digits(&files[0].0);
    let cache = RepoCache::new(&settings.cache, &stand_in(url, name)?, &commit);
    let client = Client::new(settings);
    let mut pulled = Pulled { path: cache.pointer(&commit, &files[0].1), bytes: 0, fetched: 0 };
    for (url, name) in &files {
        let path = cache.pointer(&commit, name);
        if !path.is_file() {
            if settings.offline {
                return Err(Error::usage(name, "HF_HUB_OFFLINE is set, and the file is not in the cache"));
            }
            fetch_url(&client, &cache, &commit, url, name)?;
            pulled.fetched += bytes_of(&path)?;
        }
        pulled.bytes += bytes_of(&path)?;
    }
    Ok(pulled)
}

fn fetch_url(client: &Client<'_>, cache: &RepoCache, commit: &str, url: &str, name: &str) -> Result<()> {
    // Asked before, so that parts of another version of the file are not gone on from.
    let asked = client.bytes(url, name, 0)?;
    let (bytes, tag) = asked.map_or((None, None), |answer| (answer.total, answer.tag));
    let blob = digits(&format!("{url} {tag:?} {bytes:?}"));
    let part = cache.part(&blob);
    cache.check_room(bytes.unwrap_or_default().saturating_sub(bytes_of(&part).unwrap_or_default()))?;
    let _lock = cache.prepare(&blob)?;
    if !cache.has_blob(&blob, bytes)? {
        let of = bytes.map(|bytes| format!(", {}", DecimalBytes(bytes))).unwrap_or_default();
        eprintln!("headstart: downloading {name}{of}");
        let mut progress = Progress::new();
        progress.begin_download(name.to_owned(), 0, bytes.unwrap_or_default());
        fetch(
            client,
            &Fetch { thing: name.to_owned(), url, bytes, check: Check::Length, tag, part: &part },
            &mut progress,
        )?;
        cache.keep(&blob)?;
    }
    cache.link(commit, name, &blob).map(|_| ())
}

/// Addresses and names of all parts of a file, itself first or alone.
fn parts_of_url(url: &str, name: &str) -> Result<Vec<(String, String)>> {
    let Some(part) = PartName::parse(name).filter(|_| url.contains(name)) else {
        return Ok(vec![(url.to_owned(), name.to_owned())]);
    };
    if part.count > MOST_PARTS {
        return Err(
            Error::usage(name, format!("one of {} parts", part.count)).expected(format!("at most {MOST_PARTS}"))
        );
    }
    let names = (1..=part.count).map(|number| part.of_number(number));
    Ok(names.map(|other| (url.replacen(name, &other, 1), other)).collect())
}

/// The repository under which a file of another server is kept.
pub(super) fn stand_in(url: &str, name: &str) -> Result<Repo> {
    let host = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    let plain = |text: &str| -> String {
        let kept = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
        kept.take(MOST_STAND_IN_CHARS).collect()
    };
    let stem = PartName::parse(name).map_or_else(|| name.trim_end_matches(".gguf").to_owned(), |part| part.stem);
    Repo::parse(&format!("{}/{}", plain(host), plain(&stem)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_from_elsewhere_are_kept_as_if_from_a_repository() -> Result<()> {
        for (url, name, repo) in [
            ("https://example.org/a/m.gguf?x", "m.gguf", "example_org/m"),
            ("http://127.0.0.1:80/m-1.5-00001-of-00002.gguf", "m-1.5-00001-of-00002.gguf", "127_0_0_1_80/m_1_5"),
            ("http://[::1]/é.gguf", "é.gguf", "___1_/_"),
        ] {
            assert_eq!(stand_in(url, name)?.as_str(), repo, "{url}");
        }
        assert_eq!(digits("a").len(), 40);
        assert_ne!(digits("a"), digits("b"));
        Ok(())
    }

    #[test]
    fn an_address_of_a_part_means_all_parts() -> Result<()> {
        let (url, name) = ("https://e.org/m-00002-of-00002.gguf?sig=1", "m-00002-of-00002.gguf");
        let parts = parts_of_url(url, name)?;
        assert_eq!(parts[0], ("https://e.org/m-00001-of-00002.gguf?sig=1".into(), "m-00001-of-00002.gguf".into()));
        assert_eq!(parts[1], (url.into(), name.into()));
        assert_eq!(parts_of_url("https://e.org/m.gguf", "m.gguf")?.len(), 1);
        assert!(parts_of_url("https://e.org/m-00001-of-99999.gguf", "m-00001-of-99999.gguf").is_err());
        Ok(())
    }
}

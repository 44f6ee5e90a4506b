//! Models from a hub into the hub's own cache, and from there as paths: asked for by `-hf`, listed, pulled and deleted by
//! `headstart models`.
//!
//! The layout of the cache and its lookups are the `hf_hub` crate's (0.5, without its features). The downloads are made
//! here: none of that crate's versions checks what arrives, 1.0 does not resume, and 1.0 brings an asynchronous runtime, a
//! second TLS library in C and a store of chunks with it, 190 crates more than `ureq`.

mod cache;
mod client;
mod command;
mod download;
mod remove;
mod settings;

pub(super) use command::{Models, models};

use super::interrupt;
use super::progress::Progress;
use crate::error::{Error, Result};
use crate::format::part_name::PartName;
use crate::host::hub::{Choice, Entry, Listing, MOST_PAGES, Reference, Repo, Wanted, choose, next_page, parse_commit};
use cache::RepoCache;
use clap::Args;
use client::{Client, Failure};
use download::{Check, Fetch, fetch};
use indicatif::DecimalBytes;
use settings::Settings;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// More than any model was split into.
const MOST_PARTS: u32 = 1000;
/// A repository's names have 96 letters at most.
const MOST_STAND_IN_CHARS: usize = 90;

/// A model on a hub in place of a file.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct HubModel {
    /// A model of huggingface.co, downloaded where it is not cached: owner/name[:QUANT], owner/name/file.gguf or an address
    /// (also as -hf); the quant is Q4_K_M unless another is named. See `headstart models --help`
    #[arg(long, value_name = "REPO[:QUANT]", conflicts_with = "model")]
    hf_repo: Option<String>,
    /// Which file of that repository
    #[arg(long, value_name = "PATH", requires = "hf_repo")]
    hf_file: Option<String>,
}

/// A model that is on the disk, whole.
#[derive(Clone, Debug)]
struct Pulled {
    /// The file to open.
    path: PathBuf,
    /// Bytes of all its files.
    bytes: u64,
    /// Those that had to be fetched for it.
    fetched: u64,
}

impl HubModel {
    /// The path of the model, once it is there; that of `file` if none of a hub is asked for.
    pub(super) fn or(&self, file: Option<&Path>) -> Result<Option<PathBuf>> {
        let Some(text) = &self.hf_repo else { return Ok(file.map(Path::to_owned)) };
        let settings = Settings::from_env()?;
        let reference = Reference::parse(text, &settings.hub)?;
        let reference = match &self.hf_file {
            Some(path) => reference.with_file(path)?,
            None => reference,
        };
        pull(&settings, &reference).map(|pulled| Some(pulled.path))
    }
}

/// Makes sure that a model is on the disk.
fn pull(settings: &Settings, reference: &Reference) -> Result<Pulled> {
    // Ctrl-C ends the program here and now: what has arrived is on the disk, and is gone on from.
    interrupt::install();
    match reference {
        Reference::Hub { repo, revision, wanted } => pull_from_hub(settings, repo, revision, wanted),
        Reference::Url { url, name } => pull_from_url(settings, url, name),
    }
}

fn pull_from_hub(settings: &Settings, repo: &Repo, revision: &str, wanted: &Wanted) -> Result<Pulled> {
    let cache = RepoCache::new(&settings.cache, repo, revision);
    if settings.offline {
        return cached(&cache, repo, wanted, "HF_HUB_OFFLINE is set, and the model is not in the cache");
    }
    let client = Client::new(settings);
    let (commit, listing) = match ask(settings, &client, &cache, repo, revision) {
        Ok(found) => found,
        Err(Failure::Refused(error)) => return Err(error),
        Err(Failure::Unreachable(error)) => {
            let Ok(pulled) = cached(&cache, repo, wanted, "") else { return Err(error) };
            eprintln!("headstart: {} cannot be reached; this takes what is cached of {repo}", settings.hub.as_str());
            return Ok(pulled);
        }
    };
    let choice = choose(repo, &listing, wanted)?;
    let fetched = fetch_all(settings, &client, &cache, repo, &commit, &choice)?;
    // Only now, so that a branch never stands at a commit of which there is nothing.
    cache.set_commit(&commit)?;
    Ok(Pulled { path: cache.pointer(&commit, choice.path()), bytes: choice.bytes(), fetched })
}

/// The commit of a revision and the files there.
fn ask(
    settings: &Settings,
    client: &Client<'_>,
    cache: &RepoCache,
    repo: &Repo,
    revision: &str,
) -> Result<(String, Listing), Failure> {
    let thing = repo.to_string();
    let commit = match cache.commit().filter(|commit| commit == revision) {
        Some(commit) => commit,
        None => parse_commit(&client.text(&settings.hub.commit_url(repo, revision), &thing)?.0)?,
    };
    let mut listing = Listing::default();
    let mut next = Some(settings.hub.tree_url(repo, &commit));
    for _ in 0..MOST_PAGES {
        let Some(url) = next else { return Ok((commit, listing)) };
        let (page, link) = client.text(&url, &thing)?;
        listing.add_page(&page)?;
        next = link.and_then(|link| next_page(&link, &settings.hub));
    }
    Err(Error::file(thing, format!("more than {MOST_PAGES} pages of files")).into())
}

/// The model as it is cached.
fn cached(cache: &RepoCache, repo: &Repo, wanted: &Wanted, why: &str) -> Result<Pulled> {
    let absent =
        || Error::usage(repo.to_string(), why).advice("Pull it once with a connection: `headstart models pull`.");
    let commit = cache.commit().ok_or_else(absent)?;
    let choice = choose(repo, &cache.listing(&commit), wanted)
        .map_err(|error| Error { found: format!("{why}: {}", error.found), ..absent().expected(error.expected) })?;
    Ok(Pulled { path: cache.pointer(&commit, choice.path()), bytes: choice.bytes(), fetched: 0 })
}

/// Fetches what is not there of a model, and tells how many bytes that was.
fn fetch_all(
    settings: &Settings,
    client: &Client<'_>,
    cache: &RepoCache,
    repo: &Repo,
    commit: &str,
    choice: &Choice,
) -> Result<u64> {
    let missing: Vec<&Entry> = choice.files.iter().filter(|file| !cache.has(commit, file)).collect();
    let total: u64 = missing.iter().map(|file| file.bytes).fold(0, u64::saturating_add);
    let arrived = missing.iter().filter_map(|file| std::fs::metadata(cache.part(&blob_name(commit, file))).ok());
    let arrived: u64 = arrived.map(|part| part.len()).sum();
    check_room(cache, total.saturating_sub(arrived))?;
    if total > 0 {
        let going_on =
            if arrived > 0 { format!(", {} of which are there", DecimalBytes(arrived)) } else { String::new() };
        let (path, hub) = (choice.path(), settings.hub.as_str());
        eprintln!("headstart: downloading {repo}/{path} from {hub}, {}{going_on}", DecimalBytes(total));
    }
    let mut progress = Progress::new();
    let mut done = 0;
    for file in missing {
        let blob = blob_name(commit, file);
        let _lock = cache.prepare(&blob)?;
        if !cache.has_blob(&blob, Some(file.bytes))? {
            progress.begin_download(file.path.clone(), done, total);
            let url = settings.hub.file_url(repo, commit, &file.path);
            let (thing, check, part) = (format!("{repo}/{}", file.path), check_of(file), cache.part(&blob));
            fetch(
                client,
                &Fetch { thing, url: &url, bytes: Some(file.bytes), check, tag: None, part: &part },
                &mut progress,
            )?;
            cache.keep(&blob)?;
        }
        cache.link(commit, &file.path, &blob)?;
        done += file.bytes;
    }
    Ok(total)
}

fn check_room(cache: &RepoCache, needed: u64) -> Result<()> {
    match cache.free_bytes() {
        Some(free) if free < needed => Err(Error::io(
            format!("the disk of {}", cache.folder().display()),
            format!("{} of room", DecimalBytes(free)),
        )
        .expected(format!("{}, which the model still needs", DecimalBytes(needed)))
        .advice("Make room, or name another place with HF_HUB_CACHE.")),
        _ => Ok(()),
    }
}

fn check_of(file: &Entry) -> Check {
    match (&file.sha256, &file.blob) {
        (Some(sha256), _) => Check::Sha256(sha256.clone()),
        (None, Some(git)) => Check::Git(git.clone()),
        (None, None) => Check::Length,
    }
}

/// What the cache calls the bytes of a file; a hub that tells no hash has them named after where they are.
fn blob_name(commit: &str, file: &Entry) -> String {
    file.blob.clone().unwrap_or_else(|| digits(&format!("{commit}/{}", file.path)))
}

/// Forty digits that stand for a text.
fn digits(text: &str) -> String {
    Sha256::digest(text).iter().take(20).map(|byte| format!("{byte:02x}")).collect()
}

/// A file from anywhere else, with the other parts if it is one of several. It is kept as if its host were an owner of
/// repositories, and its address a commit.
fn pull_from_url(settings: &Settings, url: &str, name: &str) -> Result<Pulled> {
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
    check_room(cache, bytes.unwrap_or_default().saturating_sub(bytes_of(&part).unwrap_or_default()))?;
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
fn stand_in(url: &str, name: &str) -> Result<Repo> {
    let host = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    let plain = |text: &str| -> String {
        let kept = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
        kept.take(MOST_STAND_IN_CHARS).collect()
    };
    let stem = PartName::parse(name).map_or_else(|| name.trim_end_matches(".gguf").to_owned(), |part| part.stem);
    Repo::parse(&format!("{}/{}", plain(host), plain(&stem)))
}

fn bytes_of(path: &Path) -> Result<u64> {
    let metadata = std::fs::metadata(path).map_err(|error| Error::io(path.display().to_string(), error))?;
    Ok(metadata.len())
}

/// The repository that a file in a snapshot of the cache comes from; `None` for any other path.
pub(super) fn repo_of(path: &Path) -> Option<Repo> {
    let snapshots = path.ancestors().find(|folder| folder.ends_with("snapshots"))?;
    Repo::from_folder(snapshots.parent()?.file_name()?.to_str()?)
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

    #[test]
    fn a_cached_file_knows_its_repository() {
        let path = Path::new("/c/models--o--n/snapshots/0123/d/model.safetensors.index.json");
        assert_eq!(repo_of(path).as_ref().map(Repo::as_str), Some("o/n"));
        assert_eq!(repo_of(Path::new("/c/o/n/m.gguf")), None);
    }
}

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
mod elsewhere;
mod remove;
mod settings;

pub(super) use command::{Models, models};

use super::interrupt;
use super::progress::Progress;
use crate::error::{Error, ErrorKind, Result};
use crate::host::arrival::hex;
use crate::host::hub::{Choice, Entry, Listing, MOST_PAGES, Reference, Repo, Wanted, choose, next_page, parse_commit};
use cache::{RepoCache, is_commit};
use clap::Args;
use client::{Client, Failure};
use download::{Check, Fetch, fetch};
use indicatif::DecimalBytes;
use settings::Settings;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

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
    /// Whether one is asked for.
    pub(super) fn is_named(&self) -> bool {
        self.hf_repo.is_some()
    }

    /// The path of the model, once it is there; that of `file` if none of a hub is asked for.
    pub(super) fn or(&self, file: Option<&Path>) -> Result<Option<PathBuf>> {
        let Some(text) = &self.hf_repo else { return file.map(at_path).transpose() };
        let settings = Settings::from_env()?;
        let reference = Reference::parse(text, &settings.hub)?;
        let reference = match &self.hf_file {
            Some(path) => reference.with_file(path)?,
            None => reference,
        };
        pull(&settings, &reference).map(|pulled| Some(pulled.path)).map_err(|error| match error.kind {
            ErrorKind::Io => Error { thing: format!("-hf {}", error.thing), ..error },
            _ => error,
        })
    }
}

/// The file that is meant by what was typed in place of a path: one of the home folder, though the shell left its `~`, an
/// address of a file here, or one of the web, which is downloaded as with `-hf`.
fn at_path(typed: &Path) -> Result<PathBuf> {
    let Some(text) = typed.to_str().filter(|_| !typed.exists()) else { return Ok(typed.to_owned()) };
    if let (Some(rest), Some(home)) = (text.strip_prefix("~/"), std::env::home_dir()) {
        return Ok(home.join(rest));
    }
    if let Some(path) = text.strip_prefix("file://") {
        let path = path.strip_prefix("localhost").unwrap_or(path);
        return Ok(percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned().into());
    }
    let of_hub = Settings::from_env().and_then(|settings| Ok((Reference::parse(text, &settings.hub)?, settings)));
    match of_hub {
        Ok((reference, settings)) if text.contains("://") => pull(&settings, &reference).map(|pulled| pulled.path),
        Ok(_) if !text.starts_with(['.', '/']) && !text.contains('\\') => Err(Error::io(text, "no such file")
            .advice(format!("Check that the path is right. A model of huggingface.co is named by `-hf {text}`."))),
        _ => Ok(typed.to_owned()),
    }
}

/// Makes sure that a model is on the disk.
fn pull(settings: &Settings, reference: &Reference) -> Result<Pulled> {
    // Ctrl-C ends the program here and now: what has arrived is on the disk, and is gone on from.
    interrupt::install();
    match reference {
        Reference::Hub { repo, revision, wanted } => pull_from_hub(settings, repo, revision, wanted),
        Reference::Url { url, name } => elsewhere::pull(settings, url, name),
    }
}

/// A model of a hub on its way into the cache.
struct Arrival<'a> {
    settings: &'a Settings,
    client: Client<'a>,
    cache: RepoCache,
    repo: &'a Repo,
    revision: &'a str,
}

fn pull_from_hub(settings: &Settings, repo: &Repo, revision: &str, wanted: &Wanted) -> Result<Pulled> {
    let cache = RepoCache::new(&settings.cache, repo, revision);
    if settings.offline {
        return cached(&cache, repo, wanted, "HF_HUB_OFFLINE is set, and the model is not in the cache");
    }
    let arrival = Arrival { settings, client: Client::new(settings), cache, repo, revision };
    let (commit, listing) = match arrival.ask() {
        Ok(found) => found,
        Err(failure) => {
            let hub = settings.hub.as_str();
            let why = match &failure {
                Failure::Unreachable(_) => format!("{hub} cannot be reached"),
                // A limit of requests, a token that is no longer valid, the page of a login in between.
                Failure::Refused(error) => format!("{hub} does not give {}: {}", error.thing, error.found),
            };
            let Ok(pulled) = cached(&arrival.cache, repo, wanted, "") else { return Err(failure.into()) };
            eprintln!("headstart: {why}; this takes what is cached of {repo}");
            return Ok(pulled);
        }
    };
    let choice = choose(repo, &listing, wanted)?;
    let fetched = arrival.fetch_all(&commit, &choice)?;
    // Only now, so that a branch never stands at a commit of which there is nothing.
    arrival.cache.set_commit(&commit)?;
    Ok(Pulled { path: arrival.cache.pointer(&commit, choice.path()), bytes: choice.bytes(), fetched })
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

impl Arrival<'_> {
    /// The commit of the revision, and the files there.
    fn ask(&self) -> Result<(String, Listing), Failure> {
        let (hub, thing) = (&self.settings.hub, self.repo.to_string());
        let commit = if is_commit(self.revision) {
            self.revision.to_owned()
        } else {
            parse_commit(&self.client.text(&hub.commit_url(self.repo, self.revision), &thing)?.0)?
        };
        let mut listing = Listing::default();
        let mut next = Some(hub.tree_url(self.repo, &commit));
        for _ in 0..MOST_PAGES {
            let Some(url) = next else { return Ok((commit, listing)) };
            let (page, link) = self.client.text(&url, &thing)?;
            listing.add_page(&page)?;
            next = link.and_then(|link| next_page(&link, hub));
        }
        Err(Error::file(thing, format!("more than {MOST_PAGES} pages of files")).into())
    }

    /// Fetches what is not there of a model, and tells how many bytes that was.
    fn fetch_all(&self, commit: &str, choice: &Choice) -> Result<u64> {
        let missing: Vec<&Entry> = choice.files.iter().filter(|file| !self.cache.has(commit, file)).collect();
        let total: u64 = missing.iter().map(|file| file.bytes).fold(0, u64::saturating_add);
        self.announce(commit, choice, &missing, total)?;
        let mut progress = Progress::new();
        let mut done = 0;
        // The first makes a model of the others, so it comes last: without them it would pass for one.
        for file in missing.iter().rev() {
            progress.begin_download(file.path.clone(), done, total);
            self.fetch_one(commit, file, &mut progress)?;
            done += file.bytes;
        }
        Ok(total)
    }

    /// Says what is about to be downloaded, if there is room for it.
    fn announce(&self, commit: &str, choice: &Choice, missing: &[&Entry], total: u64) -> Result<()> {
        let arrived = missing.iter().filter_map(|file| {
            let blob = blob_name(commit, file);
            bytes_of(&self.cache.part(&blob)).or_else(|_| bytes_of(&self.cache.blob(&blob))).ok()
        });
        let arrived: u64 = arrived.sum();
        self.cache.check_room(total.saturating_sub(arrived))?;
        let there = if arrived > 0 { format!(", {} of which are there", DecimalBytes(arrived)) } else { String::new() };
        if !missing.is_empty() {
            let (repo, path, hub) = (self.repo, choice.path(), self.settings.hub.as_str());
            eprintln!("headstart: downloading {repo}/{path} from {hub}, {}{there}", DecimalBytes(total));
        }
        Ok(())
    }

    /// Lets a file be found, and fetches it before, unless another program has done so.
    fn fetch_one(&self, commit: &str, file: &Entry, progress: &mut Progress) -> Result<()> {
        let blob = blob_name(commit, file);
        let _lock = self.cache.prepare(&blob)?;
        if self.cache.has(commit, file) {
            return Ok(());
        }
        if !self.cache.has_blob(&blob, Some(file.bytes))? {
            self.fetch_blob(commit, file, &blob, progress)?;
        }
        self.cache.link(commit, &file.path, &blob).map(|_| ())
    }

    fn fetch_blob(&self, commit: &str, file: &Entry, blob: &str, progress: &mut Progress) -> Result<()> {
        let url = self.settings.hub.file_url(self.repo, commit, &file.path);
        let (thing, check) = (format!("{}/{}", self.repo, file.path), check_of(file));
        let part = self.cache.part(blob);
        let wanted = Fetch { thing, url: &url, bytes: Some(file.bytes), check, tag: None, part: &part };
        fetch(&self.client, &wanted, progress)?;
        self.cache.keep(blob)
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
    hex(&Sha256::digest(text)[..20])
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
    fn a_cached_file_knows_its_repository() {
        let path = Path::new("/c/models--o--n/snapshots/0123/d/model.safetensors.index.json");
        assert_eq!(repo_of(path).as_ref().map(Repo::as_str), Some("o/n"));
        assert_eq!(repo_of(Path::new("/c/o/n/m.gguf")), None);
    }
}

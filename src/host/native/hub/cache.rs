//! The hub's cache on disk, which other programs share: blobs named by their hashes, a folder of links to them for each
//! commit, and for each branch the commit it stood at. The layout is the `hf_hub` crate's, and
//! <https://huggingface.co/docs/hub/local-cache> describes it.
//!
//! ```text
//! models--owner--name/blobs/HASH             whole files; HASH.incomplete while they arrive
//! models--owner--name/snapshots/COMMIT/PATH  -> ../../blobs/HASH
//! models--owner--name/refs/main              COMMIT
//! ```

use crate::error::{Error, Result};
use crate::host::hub::{Entry, Listing, Repo, check_path};
use indicatif::DecimalBytes;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Deeper than any repository: a loop of folders ends here.
const MOST_DEPTH: usize = 16;

/// One repository in the cache, at one branch, tag or commit.
#[derive(Debug)]
pub(super) struct RepoCache {
    root: PathBuf,
    repo: Repo,
    revision: String,
    layout: hf_hub::CacheRepo,
}

/// The right to write a blob, while it lives.
pub(super) struct Lock(#[allow(dead_code, reason = "the lock is given back when the file is closed")] File);

impl RepoCache {
    pub(super) fn new(root: &Path, repo: &Repo, revision: &str) -> Self {
        let theirs = hf_hub::Repo::with_revision(repo.to_string(), hf_hub::RepoType::Model, revision.to_owned());
        let layout = hf_hub::Cache::new(root.to_owned()).repo(theirs);
        Self { root: root.to_owned(), repo: repo.clone(), revision: revision.to_owned(), layout }
    }

    /// The folder of the repository.
    pub(super) fn folder(&self) -> PathBuf {
        self.root.join(self.repo.folder())
    }

    pub(super) fn blob(&self, name: &str) -> PathBuf {
        self.folder().join("blobs").join(name)
    }

    /// Where a blob stands while it arrives.
    pub(super) fn part(&self, name: &str) -> PathBuf {
        self.folder().join("blobs").join(format!("{name}.incomplete"))
    }

    /// Where a file of a commit is found.
    pub(super) fn pointer(&self, commit: &str, path: &str) -> PathBuf {
        self.layout.pointer_path(commit).join(path)
    }

    /// The commit that the revision is, or stood at when somebody last asked.
    pub(super) fn commit(&self) -> Option<String> {
        if is_commit(&self.revision) {
            return Some(self.revision.clone());
        }
        let text = fs::read_to_string(self.folder().join("refs").join(&self.revision)).ok()?;
        let commit = text.trim();
        is_commit(commit).then(|| commit.to_owned())
    }

    /// Notes the commit that the revision stands at.
    pub(super) fn set_commit(&self, commit: &str) -> Result<()> {
        if is_commit(&self.revision) || self.commit().as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.folder().join("refs").join(&self.revision);
        let folder = path.parent().unwrap_or(&self.root);
        let noted = fs::create_dir_all(folder).and_then(|()| {
            let fresh = fresh_in(folder);
            fs::write(&fresh, commit).and_then(|()| fs::rename(&fresh, &path)).inspect_err(|_| forget(&fresh))
        });
        noted.map_err(|error| self.failed(&error))
    }

    /// Whether a file of a commit is there, as long as it should be.
    pub(super) fn has(&self, commit: &str, entry: &Entry) -> bool {
        is_file_of(&self.pointer(commit, &entry.path), entry.bytes)
    }

    /// Makes way for a blob: its folder, and nothing of its name that is no whole one.
    pub(super) fn prepare(&self, name: &str) -> Result<Lock> {
        let lock = self.root.join(".locks").join(self.repo.folder()).join(format!("{name}.lock"));
        for folder in [self.folder().join("blobs"), lock.parent().unwrap_or(&self.root).to_owned()] {
            fs::create_dir_all(folder).map_err(|error| self.failed(&error))?;
        }
        let file = File::create(&lock).map_err(|error| self.failed(&error))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock(file)),
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        eprintln!(
                            "headstart: another program downloads a file of {}; this one waits for it",
                            self.repo
                        );
                    }
                    told = true;
                    std::thread::sleep(Duration::from_millis(200));
                }
                // File systems that know no locks are used by one program at a time, or so one hopes.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(Lock(file)),
                Err(TryLockError::Error(error)) => return Err(self.failed(&error)),
            }
        }
    }

    /// Whether a blob is there whole. One of another length is no such file, and makes way.
    pub(super) fn has_blob(&self, name: &str, bytes: Option<u64>) -> Result<bool> {
        let path = self.blob(name);
        match fs::metadata(&path) {
            Ok(found) if found.is_file() && bytes.is_none_or(|bytes| bytes == found.len()) => Ok(true),
            Ok(_) => fs::remove_file(&path).map(|()| false).map_err(|error| self.failed(&error)),
            Err(_) => Ok(false),
        }
    }

    /// Puts a whole part in its place as a blob.
    pub(super) fn keep(&self, name: &str) -> Result<()> {
        fs::rename(self.part(name), self.blob(name)).map_err(|error| self.failed(&error))
    }

    /// Lets a file of a commit be found: a link to its blob, or the blob itself where there are no links.
    pub(super) fn link(&self, commit: &str, path: &str, blob: &str) -> Result<PathBuf> {
        let pointer = self.pointer(commit, path);
        let folder = pointer.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(|error| self.failed(&error))?;
        let target = format!("{}blobs/{blob}", "../".repeat(path.split('/').count() + 1));
        let fresh = fresh_in(folder);
        let linked = symlink(Path::new(&target), &fresh).and_then(|()| fs::rename(&fresh, &pointer));
        if linked.is_err() {
            forget(&fresh);
            fs::rename(self.blob(blob), &pointer).map_err(|error| self.failed(&error))?;
        }
        Ok(pointer)
    }

    /// The files that are there of a commit. Their hashes are not known; they were checked when they came.
    pub(super) fn listing(&self, commit: &str) -> Listing {
        let mut listing = Listing::default();
        collect(&self.layout.pointer_path(commit), "", MOST_DEPTH, &mut listing.entries);
        listing.entries.sort_by(|a, b| a.path.cmp(&b.path));
        listing
    }

    /// Fails, saying what is missing, if the disk has no room for so many bytes.
    pub(super) fn check_room(&self, needed: u64) -> Result<()> {
        let there = self.root.ancestors().find(|folder| folder.is_dir());
        match there.and_then(|folder| fs4::available_space(folder).ok()) {
            Some(free) if free < needed => Err(Error::io(
                format!("the disk of {}", self.folder().display()),
                format!("{} of room", DecimalBytes(free)),
            )
            .expected(format!("{}, which the model still needs", DecimalBytes(needed)))
            .advice("Make room, or name another place with HF_HUB_CACHE.")),
            _ => Ok(()),
        }
    }

    pub(super) fn failed(&self, error: &io::Error) -> Error {
        Error::io(self.folder().display().to_string(), error).advice(
            "Check the space left on the disk and that the folder may be written to; HF_HUB_CACHE names another.",
        )
    }
}

/// Where something is made before it is renamed to its place, so that there is never half of it there, and no link in its
/// place is followed.
fn fresh_in(folder: &Path) -> PathBuf {
    let fresh = folder.join(format!(".headstart-{}", std::process::id()));
    // One of an earlier program of this number.
    forget(&fresh);
    fresh
}

fn forget(path: &Path) {
    let _ = fs::remove_file(path);
}

/// A commit's hash, which is what snapshots' folders are called.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether there is a file of that length, or a link to one.
pub(super) fn is_file_of(path: &Path, bytes: u64) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == bytes)
}

fn collect(folder: &Path, prefix: &str, depth: usize, entries: &mut Vec<Entry>) {
    for found in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = found.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        // Links to files are the rule; a folder behind a link is none of the cache's.
        let Ok(kind) = found.file_type() else { continue };
        if kind.is_dir() && depth > 0 {
            collect(&found.path(), &format!("{path}/"), depth - 1, entries);
        } else if let Ok(metadata) = fs::metadata(found.path())
            && metadata.is_file()
            && check_path(&path).is_ok()
        {
            entries.push(Entry { path, bytes: metadata.len(), sha256: None, blob: None });
        }
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_the_hubs_own_library() -> Result<()> {
        let root = tempfile::tempdir().map_err(|error| Error::io("a folder", error))?;
        let repo = Repo::parse("owner/name-GGUF")?;
        let (commit, blob) = ("0123456789".repeat(4), "ab".repeat(32));
        let cache = RepoCache::new(root.path(), &repo, "main");
        assert_eq!(cache.commit(), None);
        drop(cache.prepare(&blob)?);
        fs::write(cache.part(&blob), b"GGUF").expect("a part");
        assert!(!cache.has_blob(&blob, Some(4))?, "a part is no blob");
        cache.keep(&blob)?;
        assert!(cache.has_blob(&blob, Some(4))?);
        let pointer = cache.link(&commit, "Q8_0/m.gguf", &blob)?;
        cache.link(&commit, "Q8_0/m.gguf", &blob)?;
        cache.set_commit(&commit)?;

        let theirs = hf_hub::Cache::new(root.path().to_owned());
        assert_eq!(theirs.model(repo.to_string()).get("Q8_0/m.gguf"), Some(pointer.clone()));
        assert_eq!(fs::read(&pointer).expect("the file"), b"GGUF");
        if cfg!(unix) {
            assert_eq!(fs::read_link(&pointer).expect("a link"), Path::new("../../../blobs").join(&blob));
        }
        let found = cache.listing(&commit).entries;
        assert_eq!((found[0].path.as_str(), found[0].bytes, found.len()), ("Q8_0/m.gguf", 4, 1));
        assert!(cache.has(&commit, &found[0]));
        assert_eq!(cache.commit(), Some(commit));
        assert!(!cache.has_blob(&blob, Some(5))? && !cache.blob(&blob).exists(), "one of another length made way");
        Ok(())
    }

    #[test]
    fn a_ref_that_names_no_commit_is_none() -> Result<()> {
        let root = tempfile::tempdir().map_err(|error| Error::io("a folder", error))?;
        let cache = RepoCache::new(root.path(), &Repo::parse("o/n")?, "main");
        let refs = cache.folder().join("refs");
        fs::create_dir_all(&refs).expect("a folder");
        for text in ["", "../../../etc", "main", &"0".repeat(39)] {
            fs::write(refs.join("main"), text).expect("a file");
            assert_eq!(cache.commit(), None, "{text}");
        }
        Ok(())
    }
}

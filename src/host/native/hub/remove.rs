//! Deleting from the cache: a repository whole, or files of it with the bytes that nothing else links to. Nothing is
//! followed out of the cache: links are removed and not what they lead to, and only names that are hashes are blobs.

use super::cache::RepoCache;
use super::command::commits;
use crate::error::{Error, Result};
use crate::host::hub::{Repo, Wanted, choose};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What is to be deleted.
#[derive(Debug)]
pub(super) struct Plan {
    /// How much room that makes.
    pub(super) bytes: u64,
    /// Folders, with all that is in them.
    folders: Vec<PathBuf>,
    /// Files and links.
    files: Vec<PathBuf>,
}

/// Plans to delete what is cached of a repository: all of it, or one model.
///
/// # Errors
/// `Usage` if there is nothing of it, or if a link stands where its folder should.
pub(super) fn plan(root: &Path, repo: &Repo, wanted: &Wanted) -> Result<Plan> {
    let cache = RepoCache::new(root, repo, "main");
    let folder = cache.folder();
    match fs::symlink_metadata(&folder) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            return Err(Error::usage(folder.display().to_string(), "no folder of the cache but a link or a file")
                .advice("Its owner has to remove it."));
        }
        Err(_) => return Err(absent(root, repo)),
    }
    if *wanted == Wanted::Usual {
        let locks = root.join(".locks").join(repo.folder());
        let folders: Vec<PathBuf> = [locks, folder].into_iter().filter(|folder| is_folder(folder)).collect();
        return Ok(Plan { bytes: folders.iter().map(|folder| bytes_in(folder)).sum(), folders, files: Vec::new() });
    }
    plan_files(root, repo, wanted)
}

fn plan_files(root: &Path, repo: &Repo, wanted: &Wanted) -> Result<Plan> {
    let cache = RepoCache::new(root, repo, "main");
    let (mut going, mut staying) = (BTreeSet::new(), BTreeSet::new());
    let mut why = absent(root, repo);
    for commit in commits(root, repo) {
        let listing = cache.listing(&commit);
        let chosen: BTreeSet<String> = match choose(repo, &listing, wanted) {
            Ok(choice) => choice.files.into_iter().map(|file| file.path).collect(),
            Err(error) => {
                why = error;
                BTreeSet::new()
            }
        };
        for entry in listing.entries {
            let pointer = cache.pointer(&commit, &entry.path);
            if chosen.contains(&entry.path) {
                going.insert(pointer)
            } else {
                staying.insert(pointer)
            };
        }
    }
    if going.is_empty() {
        return Err(why);
    }
    let needed: BTreeSet<PathBuf> = staying.iter().filter_map(|pointer| blob_of(&cache, pointer)).collect();
    let blobs: BTreeSet<PathBuf> = going.iter().filter_map(|pointer| blob_of(&cache, pointer)).collect();
    let files: Vec<PathBuf> = going.into_iter().chain(blobs.difference(&needed).cloned()).collect();
    // A link takes no room, and what it leads to stands here by itself.
    let bytes = files.iter().filter_map(|file| fs::symlink_metadata(file).ok()).filter(fs::Metadata::is_file);
    Ok(Plan { bytes: bytes.map(|metadata| metadata.len()).sum(), folders: Vec::new(), files })
}

/// The blob that a link leads to; `None` if it leads elsewhere, or is a file itself.
fn blob_of(cache: &RepoCache, pointer: &Path) -> Option<PathBuf> {
    let target = fs::read_link(pointer).ok()?;
    let name = target.file_name()?.to_str()?;
    let is_hash = [40, 64].contains(&name.len()) && name.bytes().all(|b| b.is_ascii_hexdigit());
    let blob = cache.blob(name);
    let leads_there = || pointer.canonicalize().ok() == blob.canonicalize().ok();
    (is_hash && fs::symlink_metadata(&blob).is_ok_and(|found| found.is_file()) && leads_there()).then_some(blob)
}

fn absent(root: &Path, repo: &Repo) -> Error {
    Error::usage(repo.to_string(), format!("not in the cache, {}", root.display()))
        .advice("`headstart models list` shows what is.")
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => 0,
    });
    bytes.sum()
}

impl Plan {
    /// Deletes it all. A link before what it leads to, so that nothing is ever linked that is not there.
    pub(super) fn carry_out(&self) -> Result<()> {
        let failed = |path: &Path, error: &std::io::Error| {
            Error::io(path.display().to_string(), error).advice("Check that the folder may be written to.")
        };
        for file in &self.files {
            fs::remove_file(file).map_err(|error| failed(file, &error))?;
            // A snapshot that has lost its last file goes too; one that has not stays.
            for folder in file.ancestors().skip(1).take_while(|folder| !folder.ends_with("snapshots")) {
                if fs::remove_dir(folder).is_err() {
                    break;
                }
            }
        }
        for folder in &self.folders {
            fs::remove_dir_all(folder).map_err(|error| failed(folder, &error))?;
        }
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const COMMIT: &str = "0123456789012345678901234567890123456789";

    fn put(cache: &RepoCache, path: &str, blob: &str, bytes: usize) {
        drop(cache.prepare(blob).expect("a place"));
        fs::write(cache.part(blob), vec![0; bytes]).expect("a part");
        cache.keep(blob).expect("a blob");
        cache.link(COMMIT, path, blob).expect("a link");
    }

    #[test]
    fn one_model_goes_and_what_others_need_stays() -> Result<()> {
        let root = tempfile::tempdir().map_err(|error| Error::io("a folder", error))?;
        let repo = Repo::parse("o/n")?;
        let cache = RepoCache::new(root.path(), &repo, "main");
        let [one, two] = ["a".repeat(64), "b".repeat(64)];
        put(&cache, "m-Q4_0.gguf", &one, 10);
        put(&cache, "m-Q8_0.gguf", &two, 20);
        cache.link(COMMIT, "copy.gguf", &two)?;
        let quant = |name: &str| Wanted::Quant(name.to_owned());

        assert!(plan(root.path(), &repo, &quant("Q2_K")).is_err());
        let plan_of_one = plan(root.path(), &repo, &quant("Q4_0"))?;
        assert_eq!(plan_of_one.bytes, 10);
        plan_of_one.carry_out()?;
        assert!(!cache.blob(&one).exists() && cache.pointer(COMMIT, "m-Q8_0.gguf").exists());
        // Its bytes are the copy's too.
        let plan_of_two = plan(root.path(), &repo, &quant("Q8_0"))?;
        assert_eq!(plan_of_two.bytes, 0);
        plan_of_two.carry_out()?;
        assert!(cache.blob(&two).exists() && cache.pointer(COMMIT, "copy.gguf").exists());

        let all = plan(root.path(), &repo, &Wanted::Usual)?;
        assert_eq!(all.bytes, 20);
        all.carry_out()?;
        assert!(!cache.folder().exists() && plan(root.path(), &repo, &Wanted::Usual).is_err());
        Ok(())
    }

    #[test]
    fn nothing_outside_the_cache_is_deleted() -> Result<()> {
        let root = tempfile::tempdir().map_err(|error| Error::io("a folder", error))?;
        let outside = tempfile::tempdir().map_err(|error| Error::io("a folder", error))?;
        let [precious, hash] = [outside.path().join("m.gguf"), outside.path().join("c".repeat(64))];
        for file in [&precious, &hash] {
            fs::write(file, b"precious").expect("a file");
        }
        let repo = Repo::parse("o/n")?;
        let cache = RepoCache::new(root.path(), &repo, "main");
        let snapshot = cache.pointer(COMMIT, "");
        fs::create_dir_all(&snapshot).expect("a folder");
        symlink(&precious, snapshot.join("m.gguf")).expect("a link");
        symlink(&hash, snapshot.join("n.gguf")).expect("a link");
        symlink(outside.path(), snapshot.join("folder")).expect("a link");
        for path in ["m.gguf", "n.gguf"] {
            let one = plan(root.path(), &repo, &Wanted::File(path.to_owned()))?;
            assert_eq!(one.bytes, 0);
            one.carry_out()?;
        }
        plan(root.path(), &repo, &Wanted::Usual)?.carry_out()?;
        assert!(precious.exists() && hash.exists() && !cache.folder().exists());

        // A repository whose folder is a link to somewhere else.
        symlink(outside.path(), root.path().join("models--o--linked")).expect("a link");
        let linked = plan(root.path(), &Repo::parse("o/linked")?, &Wanted::Usual);
        assert!(linked.is_err_and(|error| error.to_string().contains("link")));
        assert!(precious.exists());
        Ok(())
    }
}

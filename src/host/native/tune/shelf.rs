//! Tunings on disk: a file for each adapter in the user's cache folder. What cannot be read or does not suit is told and
//! passed over: it costs speed and nothing else. Several programs may tune at once: a file is replaced whole, and a
//! writer waits for the one before it.

use crate::error::{Error, Result};
use crate::gpu::adapter::Identity;
use crate::host::native::new_file::NewFile;
use crate::measure::tune::KeptTuning;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where tunings are kept; `None` where there is no cache folder.
fn folder() -> Option<PathBuf> {
    Some(dirs::cache_dir()?.join("headstart").join("tuning"))
}

/// The file of an adapter.
fn path(folder: &Path, adapter: &Identity) -> PathBuf {
    let mut hash = Sha256::new();
    for part in [&adapter.name, &adapter.backend, &adapter.driver] {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(adapter.vendor_id.to_le_bytes());
    hash.update(adapter.device_id.to_le_bytes());
    let digits: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    folder.join(format!("{digits}.json"))
}

/// What is kept for an adapter; empty where there is nothing, or nothing that suits.
pub(super) fn find(adapter: &Identity) -> KeptTuning {
    folder().map_or_else(|| KeptTuning::new(adapter), |folder| find_in(&folder, adapter))
}

fn find_in(folder: &Path, identity: &Identity) -> KeptTuning {
    let nothing = || KeptTuning::new(identity);
    let path = path(folder, identity);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return nothing(),
        Err(error) => {
            tell(&path, &error.to_string());
            return nothing();
        }
    };
    let kept = KeptTuning::read(&text).map_err(|error| error.to_string());
    match kept.and_then(|kept| kept.misfit(identity).map_or(Ok(kept), Err)) {
        Ok(kept) => kept,
        Err(why) => {
            tell(&path, &why);
            nothing()
        }
    }
}

/// Says why a file is not used: once, since every load of a model looks for it.
fn tell(path: &Path, why: &str) {
    static TOLD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned()) {
        eprintln!("headstart: the tuning in {} is not used: {why}", path.display());
    }
}

/// Keeps a tuning in place of the one before.
///
/// # Errors
/// When there is no cache folder, or it cannot be written.
pub(super) fn keep(kept: &KeptTuning) -> Result<()> {
    change(&kept.adapter, |known| known.clone_from(kept))
}

/// Changes what is kept for an adapter, and nothing in between.
///
/// # Errors
/// As [`keep`].
pub(super) fn change(adapter: &Identity, change: impl FnOnce(&mut KeptTuning)) -> Result<()> {
    let folder = folder().ok_or_else(|| {
        Error::io("the tuning", "there is no folder for caches").advice("Set HOME or XDG_CACHE_HOME.")
    })?;
    change_in(&folder, adapter, change)
}

fn change_in(folder: &Path, adapter: &Identity, change: impl FnOnce(&mut KeptTuning)) -> Result<()> {
    let fault = |error| Error::io(folder.display().to_string(), error);
    std::fs::create_dir_all(folder).map_err(fault)?;
    let path = path(folder, adapter);
    // The lock is a file of its own, as the other one is replaced. It ends when it is closed, by a crash too.
    let lock = File::create(path.with_extension("lock")).map_err(fault)?;
    match lock.lock() {
        // Some network folders know no locks.
        Err(error) if error.kind() != std::io::ErrorKind::Unsupported => return Err(fault(error)),
        _ => {}
    }
    let mut kept = find_in(folder, adapter);
    change(&mut kept);
    let mut file = NewFile::create(&path)?;
    file.write(kept.text()?.as_bytes())?;
    file.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{Choice, Config, Problem};
    use crate::measure::tune::KeptChoice;

    fn choice(name: String) -> KeptChoice {
        let problem = Problem { kernel: name, facts: Vec::new(), n_results: 1, bytes: 2, ops: 3 };
        KeptChoice { problem, choice: Choice { variant: "v".into(), config: Config::default() }, gain: 1.5 }
    }

    /// Each adds its own choices one by one, as programs do: a lock is of an open file, not of a process. A reader in
    /// between finds a whole file.
    #[test]
    fn of_what_several_add_at_once_nothing_is_lost() {
        const N: usize = 12;
        let folder = tempfile::tempdir().unwrap();
        let adapter = Identity { name: "a GPU".into(), ..Identity::default() };
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (folder, adapter) = (folder.path(), &adapter);
                scope.spawn(move || {
                    for index in 0..N {
                        let found = choice(format!("{writer} {index}"));
                        change_in(folder, adapter, |kept| kept.choices.push(found)).unwrap();
                        let text = std::fs::read_to_string(path(folder, adapter)).unwrap();
                        let read = KeptTuning::read(&text).unwrap();
                        let mine =
                            read.choices.iter().filter(|it| it.problem.kernel.starts_with(&format!("{writer} ")));
                        assert_eq!(mine.count(), index + 1);
                    }
                });
            }
        });
        let names: BTreeSet<String> =
            find_in(folder.path(), &adapter).choices.into_iter().map(|kept| kept.problem.kernel).collect();
        assert_eq!(names.len(), 4 * N);
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 2, "the tuning and its lock");
    }

    #[test]
    fn a_file_cut_off_in_the_middle_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let adapter = Identity { name: "a GPU".into(), ..Identity::default() };
        change_in(folder.path(), &adapter, |kept| kept.choices.push(choice("a".into()))).unwrap();
        let path = path(folder.path(), &adapter);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(find_in(folder.path(), &adapter).choices.is_empty());
        change_in(folder.path(), &adapter, |kept| kept.choices.push(choice("b".into()))).unwrap();
        assert_eq!(find_in(folder.path(), &adapter).choices.len(), 1);
    }
}

//! Tunings on disk: a file for each adapter in the user's cache folder. What cannot be read or does not suit is told and
//! passed over: it costs speed and nothing else.

use crate::error::{Error, Result};
use crate::gpu::Adapter;
use crate::gpu::adapter::Identity;
use crate::host::native::new_file::NewFile;
use crate::measure::tune::KeptTuning;
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// Where the tuning of an adapter is kept; `None` where there is no cache folder.
fn path(adapter: &Identity) -> Option<PathBuf> {
    let mut hash = Sha256::new();
    for part in [&adapter.name, &adapter.backend, &adapter.driver] {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(adapter.vendor_id.to_le_bytes());
    hash.update(adapter.device_id.to_le_bytes());
    let digits: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Some(dirs::cache_dir()?.join("headstart").join("tuning").join(format!("{digits}.json")))
}

/// What is kept for an adapter; empty where there is nothing, or nothing that suits.
pub(super) fn find(adapter: &Adapter) -> KeptTuning {
    let identity = &adapter.identity;
    let nothing = || KeptTuning::new(identity);
    let Some(path) = path(identity) else { return nothing() };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return nothing(),
        Err(error) => {
            eprintln!("headstart: the tuning in {} is not used: {error}", path.display());
            return nothing();
        }
    };
    let kept = KeptTuning::read(&text).map_err(|error| error.to_string());
    match kept.and_then(|kept| kept.misfit(identity).map_or(Ok(kept), Err)) {
        Ok(kept) => kept,
        Err(why) => {
            eprintln!("headstart: the tuning in {} is not used: {why}", path.display());
            nothing()
        }
    }
}

/// Keeps a tuning in place of the one before.
pub(super) fn keep(kept: &KeptTuning) -> Result<()> {
    let Some(path) = path(&kept.adapter) else {
        return Err(Error::io("the tuning", "there is no folder for caches").advice("Set HOME or XDG_CACHE_HOME."));
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder.display().to_string(), error))?;
    }
    let mut file = NewFile::create(&path)?;
    file.write(kept.text()?.as_bytes())?;
    file.finish()
}

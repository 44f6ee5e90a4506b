//! What a conversation left in the cache, kept in the browser's file system (OPFS), so that it goes on after a reload without
//! being computed again. The bytes and their checks are those of `--prompt-cache`: [`crate::engine::run::prompt_cache`].
//! There is one file a model. What cannot be kept is not, without a word; what is there and cannot be used is told of.

use super::folder::{Folder, room};
use crate::engine::Session;
use crate::engine::run::prompt_cache::{ModelHash, fingerprint};
use crate::error::{Error, ErrorKind, Result};
use crate::format::Source;
use crate::format::sorted::{falling, sort};
use crate::host::arrival::hex;
use std::rc::Rc;
use web_sys::DedicatedWorkerGlobalScope;

/// All files together take at most this share of what the browser lets the page keep; the oldest go first.
const MOST_SHARE: f64 = 0.1;

/// The place of a model's conversation, and what is to be done there.
#[derive(Debug, Default)]
pub(crate) struct PromptCache {
    /// What the page calls the model that it keeps; files of a person have no name here, only a hash.
    id: Option<String>,
    model: Option<ModelHash>,
    is_recalled: bool,
    /// Whether there is more in the cache than in the file.
    pub(super) is_stale: bool,
}

impl PromptCache {
    /// That of a model, of which nothing has been read yet.
    pub(super) fn new(id: Option<String>) -> Self {
        Self { id, ..Self::default() }
    }

    /// Takes in what is kept, the first time. What another tab is writing is passed over; what is damaged or another
    /// model's is dropped.
    ///
    /// # Errors
    /// What is wrong with it; when the adapter fails.
    pub(super) async fn recall(
        &mut self,
        scope: &DedicatedWorkerGlobalScope,
        session: &mut Session,
        sources: &[Rc<dyn Source>],
    ) -> Result<()> {
        if std::mem::replace(&mut self.is_recalled, true) {
            return Ok(());
        }
        let Ok(folder) = Folder::of_prompts(scope).await else { return Ok(()) };
        let (model, name) = self.place(sources).await?;
        let Some(file) = folder.open_if_there(&name).await else { return Ok(()) };
        let mut at = 0;
        let mut read = |buffer: &mut [u8]| {
            let cut = |_| Error::file("prompt cache", "cut off: it ends too early");
            file.read_at(at, buffer).map_err(cut)?;
            at += buffer.len() as u64;
            Ok(())
        };
        let recalled = session.recall_past(&model, &mut read).await;
        drop(file);
        match recalled {
            Err(error) if error.kind != ErrorKind::Adapter => {
                // If another tab reads it just now, that one drops it.
                let _ = folder.remove(&name).await;
                Err(error)
            }
            recalled => recalled.map(drop),
        }
    }

    /// Writes what the cache holds in place of what is kept, unless it is there already. Where `is_awaited` comes true
    /// it is put off until later.
    ///
    /// # Errors
    /// When the browser has no room for it, another tab uses the file, or the model was deleted; then nothing changes. When
    /// the adapter fails.
    pub(super) async fn keep(
        &mut self,
        scope: &DedicatedWorkerGlobalScope,
        session: &mut Session,
        sources: &[Rc<dyn Source>],
        is_awaited: &dyn Fn() -> bool,
    ) -> Result<()> {
        self.is_stale = false;
        let folder = Folder::of_prompts(scope).await?;
        let (model, name) = self.place(sources).await?;
        let most = room(scope).await.quota * MOST_SHARE;
        let new = format!("{name}.new");
        let file = folder.open(&new).await?;
        let mut at = 0;
        let mut write = |bytes: &[u8]| {
            let end = at + bytes.len() as u64;
            if is_awaited() || end as f64 > most {
                return Err(Error::io("prompt cache", "put off"));
            }
            file.write_bytes_at(at, bytes)?;
            at = end;
            Ok(())
        };
        let kept = session.keep_past(&model, &mut write).await;
        let whole = kept.and_then(|kept| file.truncate(at).and_then(|()| file.flush()).map(|()| kept));
        drop(file);
        self.is_stale = is_awaited();
        let replaced = match whole {
            Ok(Some(_)) if self.is_wanted(scope).await => folder.replace(&name, &new).await,
            Ok(_) => Err(Error::io("prompt cache", "not wanted")),
            Err(error) => Err(error),
        };
        if replaced.is_err() {
            let _ = folder.remove(&new).await;
        }
        replaced?;
        drop_oldest(&folder, most).await
    }

    /// Drops what is kept of the model.
    pub(super) async fn forget(&mut self, scope: &DedicatedWorkerGlobalScope, sources: &[Rc<dyn Source>]) {
        self.is_stale = false;
        if let Ok((_, name)) = self.place(sources).await {
            remove(scope, &name).await;
        }
    }

    /// Whether the model has not been deleted meanwhile, which takes what is kept of it along.
    async fn is_wanted(&self, scope: &DedicatedWorkerGlobalScope) -> bool {
        match (&self.id, Folder::of_models(scope).await) {
            (Some(id), Ok(models)) => models.folder_if_there(id).await.is_some(),
            (id, _) => id.is_none(),
        }
    }

    /// The model's hash, and the name of its file.
    async fn place(&mut self, sources: &[Rc<dyn Source>]) -> Result<(ModelHash, String)> {
        let model = match self.model {
            Some(model) => model,
            None => *self.model.insert(fingerprint(sources).await?),
        };
        Ok((model, self.id.clone().unwrap_or_else(|| hex(&model))))
    }
}

/// Drops what is kept of a model, if something is.
pub(super) async fn remove(scope: &DedicatedWorkerGlobalScope, name: &str) {
    if let Ok(folder) = Folder::of_prompts(scope).await {
        let _ = folder.remove(name).await;
    }
}

/// Drops what is kept of all models, but what a tab uses just now.
pub(super) async fn remove_all(scope: &DedicatedWorkerGlobalScope) -> Result<()> {
    drop_oldest(&Folder::of_prompts(scope).await?, 0.0).await
}

/// Bytes of all that is kept.
pub(super) async fn bytes(scope: &DedicatedWorkerGlobalScope) -> Result<f64> {
    Ok(files(&Folder::of_prompts(scope).await?).await?.iter().fold(0.0, |sum, (_, _, bytes)| sum + bytes))
}

async fn drop_oldest(folder: &Folder, most: f64) -> Result<()> {
    let mut sum = 0.0;
    for (name, _, bytes) in files(folder).await? {
        sum += bytes;
        if sum > most {
            let _ = folder.remove(&name).await;
        }
    }
    Ok(())
}

/// Name, date and bytes of all files, the newest first.
async fn files(folder: &Folder) -> Result<Vec<(String, f64, f64)>> {
    let mut files = Vec::new();
    for name in folder.names().await? {
        if let Ok(file) = folder.file(&name).await {
            files.push((name, file.last_modified(), file.size()));
        }
    }
    sort(&mut files, |file| falling(file.1));
    Ok(files)
}

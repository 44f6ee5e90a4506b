//! The browser's file system for this page (OPFS), as far as it is needed: folders, files that a worker writes and
//! reads at any place, and how much room there is. It may be missing (a private window, a setting, no secure context).

use crate::error::{Error, Result};
use crate::host::web::source::{get, message_of};
use js_sys::{Function, Object, Promise, Reflect, Uint8Array};
use std::cell::Cell;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    DedicatedWorkerGlobalScope, File, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemReadWriteOptions, FileSystemRemoveOptions, FileSystemSyncAccessHandle,
    StorageEstimate, StorageManager,
};

/// Where the models lie, and where what was computed of conversations.
const MODELS: &str = "models";
const PROMPTS: &str = "prompts";

/// How much this page keeps, and how much it may, in bytes, by the browser's estimate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Room {
    pub(super) used: f64,
    pub(super) quota: f64,
}

/// A folder.
#[derive(Clone)]
pub(super) struct Folder(FileSystemDirectoryHandle);

impl Folder {
    /// The folder of all models.
    ///
    /// # Errors
    /// Where the browser keeps no files for this page.
    pub(super) async fn of_models(scope: &DedicatedWorkerGlobalScope) -> Result<Self> {
        Self::at_top(scope, MODELS).await
    }

    /// The folder of all prompt caches.
    ///
    /// # Errors
    /// As for [`Self::of_models`].
    pub(super) async fn of_prompts(scope: &DedicatedWorkerGlobalScope) -> Result<Self> {
        Self::at_top(scope, PROMPTS).await
    }

    async fn at_top(scope: &DedicatedWorkerGlobalScope, name: &str) -> Result<Self> {
        let Some(storage) = storage(scope) else {
            return Err(Error::io("storage", "this browser has no place for files of a page"));
        };
        let root = done::<FileSystemDirectoryHandle>("storage", storage.get_directory()).await?;
        Self(root).folder(name).await
    }

    /// The folder of that name in this one; it is made where there is none.
    pub(super) async fn folder(&self, name: &str) -> Result<Self> {
        let options = FileSystemGetDirectoryOptions::new();
        options.set_create(true);
        done(name, self.0.get_directory_handle_with_options(name, &options)).await.map(Self)
    }

    /// The folder of that name in this one, if there is one.
    pub(super) async fn folder_if_there(&self, name: &str) -> Option<Self> {
        done(name, self.0.get_directory_handle(name)).await.map(Self).ok()
    }

    /// The names of all that lies in it.
    pub(super) async fn names(&self) -> Result<Vec<String>> {
        let keys = self.0.keys();
        let mut names = Vec::new();
        loop {
            let next = keys.next().map_err(|e| failed(MODELS, &e))?;
            let step = JsFuture::from(next.unchecked_into::<Promise>()).await.map_err(|e| failed(MODELS, &e))?;
            if get(&step, "done").is_truthy() {
                return Ok(names);
            }
            names.extend(get(&step, "value").as_string());
        }
    }

    /// The text of a small file; None where there is no such file.
    pub(super) async fn text(&self, name: &str) -> Option<String> {
        let file = self.file(name).await.ok()?;
        JsFuture::from(file.text()).await.ok()?.as_string()
    }

    /// A file as it is now, to be read.
    pub(super) async fn file(&self, name: &str) -> Result<File> {
        let handle: FileSystemFileHandle = done(name, self.0.get_file_handle(name)).await?;
        done(name, handle.get_file()).await
    }

    /// A file to be written and read by this worker alone; it is made where there is none.
    ///
    /// # Errors
    /// Where another tab has it open.
    pub(super) async fn open(&self, name: &str) -> Result<OpenFile> {
        let options = FileSystemGetFileOptions::new();
        options.set_create(true);
        let handle: FileSystemFileHandle = done(name, self.0.get_file_handle_with_options(name, &options)).await?;
        let handle = done(name, handle.create_sync_access_handle()).await?;
        Ok(OpenFile { handle, is_dirty: Cell::new(false) })
    }

    /// A file that is there, as [`Self::open`] opens it; None where there is none, or another tab has it open.
    pub(super) async fn open_if_there(&self, name: &str) -> Option<OpenFile> {
        let handle: FileSystemFileHandle = done(name, self.0.get_file_handle(name)).await.ok()?;
        let handle = done(name, handle.create_sync_access_handle()).await.ok()?;
        Some(OpenFile { handle, is_dirty: Cell::new(false) })
    }

    /// A file that is there, open to be read while others read it too; None where the browser cannot do that. The mode is in no
    /// standard yet: a browser that does not know it opens the file for one reader alone.
    pub(super) async fn open_to_read(&self, name: &str) -> Option<OpenFile> {
        let handle: FileSystemFileHandle = done(name, self.0.get_file_handle(name)).await.ok()?;
        let open: Function = get(&handle, "createSyncAccessHandle").dyn_into().ok()?;
        let mode = Object::new();
        Reflect::set(&mode, &"mode".into(), &"read-only".into()).ok()?;
        let handle = done(name, open.call1(&handle, &mode).ok()?).await.ok()?;
        Some(OpenFile { handle, is_dirty: Cell::new(false) })
    }

    /// Puts the file `new`, which is closed, in the place of the one called `name`, if there is one.
    ///
    /// # Errors
    /// Where another tab has one of them open.
    pub(super) async fn replace(&self, name: &str, new: &str) -> Result<()> {
        let handle: FileSystemFileHandle = done(new, self.0.get_file_handle(new)).await?;
        if self.file(name).await.is_ok() {
            self.remove(name).await?;
        }
        let rename: Function = get(&handle, "move").dyn_into().map_err(|e| failed(new, &e))?;
        let renamed = rename.call1(&handle, &name.into()).map_err(|e| failed(new, &e))?;
        done::<JsValue>(new, renamed).await.map(drop)
    }

    /// Removes a file, or a folder with all that is in it.
    pub(super) async fn remove(&self, name: &str) -> Result<()> {
        let options = FileSystemRemoveOptions::new();
        options.set_recursive(true);
        let removed = JsFuture::from(self.0.remove_entry_with_options(name, &options)).await;
        removed.map(drop).map_err(|e| failed(name, &e))
    }
}

/// A file that is open for this worker alone, until it is dropped.
pub(super) struct OpenFile {
    handle: FileSystemSyncAccessHandle,
    /// Whether something was written that may not be on the disk yet.
    is_dirty: Cell<bool>,
}

impl OpenFile {
    /// Writes bytes at a place, which need not pass through this program's memory.
    pub(super) fn write_at(&self, offset: u64, bytes: &Uint8Array) -> Result<()> {
        self.is_dirty.set(true);
        let written =
            self.handle.write_with_js_u8_array_and_options(bytes, &at(offset)).map_err(|e| failed("a file", &e))?;
        // Chromium does not throw where the disk is full: it gives its own number for that, a large one.
        if written == f64::from(bytes.byte_length()) { Ok(()) } else { Err(full()) }
    }

    /// Writes bytes of this program's memory at a place.
    pub(super) fn write_bytes_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.is_dirty.set(true);
        let written =
            self.handle.write_with_u8_array_and_options(bytes, &at(offset)).map_err(|e| failed("a file", &e))?;
        if written == bytes.len() as f64 { Ok(()) } else { Err(full()) }
    }

    /// Fills `buffer` from a place; fails where the file ends before.
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let wanted = buffer.len() as f64;
        let read = self.handle.read_with_u8_array_and_options(buffer, &at(offset)).map_err(|e| failed("a file", &e))?;
        if read != wanted {
            return Err(Error::io("a downloaded file", format!("{wanted} bytes at byte {offset} cannot be read"))
                .advice("The browser has lost a part of it: delete it and download it again."));
        }
        Ok(())
    }

    /// Puts a text in the place of all that the file holds, down to the disk.
    pub(super) fn set_text(&self, text: &str) -> Result<()> {
        self.write_bytes_at(0, text.as_bytes())?;
        self.truncate(text.len() as u64)?;
        self.flush()
    }

    /// Cuts the file, or fills it up with zeros.
    pub(super) fn truncate(&self, bytes: u64) -> Result<()> {
        self.is_dirty.set(true);
        self.handle.truncate_with_f64(bytes as f64).map_err(|e| failed("a file", &e))
    }

    /// Waits until all that was written is on the disk.
    pub(super) fn flush(&self) -> Result<()> {
        if self.is_dirty.replace(false) {
            self.handle.flush().map_err(|e| failed("a file", &e))?;
        }
        Ok(())
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// How much room there is; nothing where the browser does not tell.
pub(super) async fn room(scope: &DedicatedWorkerGlobalScope) -> Room {
    let estimate = storage(scope).and_then(|storage| storage.estimate().ok());
    let Some(estimate) = estimate else { return Room::default() };
    let Ok(estimate) = JsFuture::from(estimate.unchecked_into::<Promise>()).await else { return Room::default() };
    let estimate: StorageEstimate = estimate.unchecked_into();
    Room { used: estimate.get_usage().unwrap_or(0.0), quota: estimate.get_quota().unwrap_or(0.0) }
}

fn storage(scope: &DedicatedWorkerGlobalScope) -> Option<StorageManager> {
    let storage = get(&scope.navigator(), "storage");
    let has_files = !storage.is_undefined() && !get(&storage, "getDirectory").is_undefined();
    has_files.then(|| storage.unchecked_into())
}

fn at(offset: u64) -> FileSystemReadWriteOptions {
    let options = FileSystemReadWriteOptions::new();
    options.set_at_f64(offset as f64);
    options
}

async fn done<T: JsCast>(name: &str, promise: impl JsCast) -> Result<T> {
    let promise: Promise = promise.unchecked_into();
    JsFuture::from(promise).await.map(JsCast::unchecked_into).map_err(|e| failed(name, &e))
}

fn full() -> Error {
    Error::io("storage", "the browser has no room left for this page").advice(
        "Delete models that you no longer need, or free space on the disk, and resume. What has arrived is kept.",
    )
}

fn failed(name: &str, thrown: &JsValue) -> Error {
    match get(thrown, "name").as_string().as_deref() {
        Some("QuotaExceededError") => full(),
        Some("NoModificationAllowedError" | "InvalidStateError") => Error::io(name, "it is in use")
            .advice("Another tab of this page may be downloading or reading this model: go on there, or close it."),
        _ => Error::io(name, message_of(thrown)),
    }
}

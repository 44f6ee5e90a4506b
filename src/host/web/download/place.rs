//! Where the bytes of an arriving model go: a folder of its own in the browser's file system, or, where there is none,
//! this tab's memory, for as long as the model is in use. Neither is this program's own memory.

use crate::error::{Error, Result};
use crate::format::source::Source;
use crate::host::arrival::{Piece, Progress, Record};
use crate::host::web::folder::{Folder, OpenFile};
use crate::host::web::source::BlobSource;
use js_sys::Uint8Array;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// What is there of a model that is not whole yet, and the record of one that is.
pub(super) const PROGRESS: &str = "progress.json";
pub(super) const COMPLETE: &str = "complete.json";

/// The name of a file of a model in its folder: its place in the plan, since names from elsewhere need not suit.
pub(super) fn file_name(file: usize) -> String {
    format!("{file}.part-of-model")
}

/// Where bytes go.
pub(super) enum Place {
    Folder(Kept),
    Memory(RefCell<BTreeMap<(usize, u64), Uint8Array>>),
}

/// A folder whose files are open while the model arrives.
pub(super) struct Kept {
    folder: Folder,
    open: RefCell<Option<Open>>,
}

struct Open {
    /// Open all the while, so that no other tab fetches the same model.
    progress: OpenFile,
    files: Vec<OpenFile>,
}

impl Place {
    /// Opens, or begins, the files of a model in its folder.
    ///
    /// # Errors
    /// Where another tab has them open.
    pub(super) async fn in_folder(folder: Folder, n_files: usize) -> Result<Self> {
        let progress = folder.open(PROGRESS).await?;
        let mut files = Vec::new();
        for file in 0..n_files {
            files.push(folder.open(&file_name(file)).await?);
        }
        Ok(Self::Folder(Kept { folder, open: RefCell::new(Some(Open { progress, files })) }))
    }

    /// Takes bytes of a piece, from this offset of its file on.
    pub(super) fn write(&self, piece: Piece, offset: u64, bytes: &Uint8Array) -> Result<()> {
        match self {
            Self::Folder(kept) => kept.with_open(|open| open.files[piece.file].write_at(offset, bytes)),
            Self::Memory(pieces) => {
                let mut pieces = pieces.borrow_mut();
                // At most 8 MiB, as pieces are.
                let new = || Uint8Array::new_with_length((piece.end - piece.begin) as u32);
                let whole = pieces.entry((piece.file, piece.begin)).or_insert_with(new);
                whole.set(bytes, (offset - piece.begin) as u32);
                Ok(())
            }
        }
    }

    /// Fills `buffer` with bytes that are there. In memory they lie in the piece that holds `offset`, and the next ones.
    pub(super) async fn read(&self, file: usize, name: &str, offset: u64, buffer: &mut [u8]) -> Result<()> {
        match self {
            Self::Folder(kept) => match kept.try_open(|open| open.files[file].read_at(offset, buffer)) {
                Some(read) => read,
                None => {
                    let blob = kept.folder.file(&file_name(file)).await?;
                    BlobSource::new(name.to_owned(), blob.into()).read_at(offset, buffer).await
                }
            },
            Self::Memory(pieces) => {
                let pieces = pieces.borrow();
                let mut at = offset;
                let end = offset + buffer.len() as u64;
                while at < end {
                    let lost = || Error::io(name, "a part of it is no longer in memory");
                    let (&(_, begin), piece) = pieces.range((file, 0)..=(file, at)).next_back().ok_or_else(lost)?;
                    let from = (at - begin) as u32;
                    let n = (end - at).min(u64::from(piece.length().saturating_sub(from))) as u32;
                    if n == 0 {
                        return Err(lost());
                    }
                    let into = (at - offset) as usize;
                    piece.subarray(from, from + n).copy_to(&mut buffer[into..into + n as usize]);
                    at += u64::from(n);
                }
                Ok(())
            }
        }
    }

    /// Records how far the model has arrived; the bytes are on the disk before the record says so.
    pub(super) fn save(&self, progress: &Progress) -> Result<()> {
        let Self::Folder(kept) = self else { return Ok(()) };
        kept.with_open(|open| {
            open.files.iter().try_for_each(OpenFile::flush)?;
            open.progress.set_text(&json(progress)?)
        })
    }

    /// Throws away what there is of a file.
    pub(super) fn clear(&self, file: usize) -> Result<()> {
        match self {
            Self::Folder(kept) => kept.with_open(|open| open.files[file].truncate(0)),
            Self::Memory(pieces) => {
                pieces.borrow_mut().retain(|(of, _), _| *of != file);
                Ok(())
            }
        }
    }

    /// Closes the files, so that others may open them.
    pub(super) fn close(&self) {
        if let Self::Folder(kept) = self {
            drop(kept.open.take());
        }
    }

    /// Commits: the files are on the disk and closed, and the record that makes them a model is written last.
    pub(super) async fn commit(&self, record: &Record) -> Result<()> {
        let Self::Folder(kept) = self else { return Ok(()) };
        kept.with_open(|open| open.files.iter().try_for_each(OpenFile::flush))?;
        self.close();
        kept.folder.open(COMPLETE).await?.set_text(&json(record)?)?;
        kept.folder.remove(PROGRESS).await
    }
}

impl Kept {
    fn try_open<T>(&self, work: impl FnOnce(&Open) -> T) -> Option<T> {
        self.open.borrow().as_ref().map(work)
    }

    fn with_open(&self, work: impl FnOnce(&Open) -> Result<()>) -> Result<()> {
        self.try_open(work).unwrap_or_else(|| Err(Error::io("a download", "it has ended already")))
    }
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::io("the record of a download", error))
}

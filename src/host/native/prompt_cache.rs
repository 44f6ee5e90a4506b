//! `--prompt-cache`: what a text left in the cache, kept in a file, so that the next run need not read it again.

use super::model_files::Named;
use super::new_file::NewFile;
use crate::engine::Session;
use crate::engine::run::prompt_cache::{MARK, ModelHash, fingerprint};
use crate::error::{Error, Result};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The file, and the model that it must be of.
pub(super) struct PromptCache {
    path: PathBuf,
    model: ModelHash,
}

impl PromptCache {
    /// The cache at a path, if one is given.
    pub(super) fn new(path: Option<&Path>, model: &Named) -> Result<Option<Self>> {
        let Some(path) = path else { return Ok(None) };
        // A place that cannot be written to is found before the work and not after.
        drop(NewFile::create(path)?);
        refuse_other_kinds(path)?;
        Ok(Some(Self { path: path.to_owned(), model: pollster::block_on(fingerprint(&model.files.sources))? }))
    }

    /// Takes what the file holds, if it is there. One that is damaged or another model's is told of and passed over.
    ///
    /// # Errors
    /// When the adapter fails.
    pub(super) async fn recall(&self, session: &mut Session) -> Result<()> {
        let shown = self.path.display();
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => Err(Error::io("prompt cache", error)),
            Ok(file) => Ok(file),
        };
        let recalled = match file {
            Err(error) => Err(error),
            Ok(file) => {
                let mut file = BufReader::new(file);
                let mut read = |buffer: &mut [u8]| {
                    file.read_exact(buffer).map_err(|error| match error.kind() {
                        ErrorKind::UnexpectedEof => Error::file("prompt cache", "cut off: it ends too early"),
                        _ => Error::io("prompt cache", error),
                    })
                };
                session.recall_past(&self.model, &mut read).await
            }
        };
        match recalled {
            Ok(_) => Ok(()),
            Err(error) if error.kind == crate::error::ErrorKind::Adapter => Err(error),
            Err(error) => {
                eprintln!("headstart: {shown} is not used, and will be written again: {error}");
                Ok(())
            }
        }
    }

    /// Writes what the cache holds now in place of what the file held.
    ///
    /// # Errors
    /// When the adapter fails, or the file cannot be written; then the old one stays.
    pub(super) async fn keep(&self, session: &mut Session) -> Result<()> {
        let mut file = NewFile::create(&self.path)?;
        match session.keep_past(&self.model, &mut |bytes| file.write(bytes)).await? {
            Some(_) => file.finish(),
            None => Ok(()),
        }
    }
}

/// Nothing else is written over: the name is then a mistake.
fn refuse_other_kinds(path: &Path) -> Result<()> {
    let mut begin = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MARK.len() as u64).read_to_end(&mut begin));
    if read.is_ok() && !MARK.starts_with(&begin) {
        return Err(Error::usage(path.display().to_string(), "a file of another kind")
            .expected("one that --prompt-cache wrote, or the name of a new one"));
    }
    Ok(())
}

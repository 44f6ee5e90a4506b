//! A file on disk as a source of bytes. It seeks and reads rather than maps: a mapped file that shrinks underneath
//! ends the program, a read that finds too little is an error with a name. A file that was written to since it was opened
//! is one too: half of one model and half of another would be computed without a word.

use crate::error::{Error, Result};
use crate::format::source::{Reading, Source, check_range};
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// A file opened for reading, of the length it had then.
#[derive(Debug)]
pub struct File {
    name: String,
    bytes: u64,
    /// When it was last written to, where the file system tells.
    modified: Option<SystemTime>,
    /// Seeking and reading belong together, so one reader at a time.
    file: Mutex<fs::File>,
}

impl File {
    /// Opens a file. Fails, naming it, if it cannot be opened or is none.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let name = path.as_ref().display().to_string();
        let failed = |error: std::io::Error| {
            Error::io(&name, error).advice("Check that the path is right and that the file may be read.")
        };
        let file = fs::File::open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(Error::usage(name, "not a file").expected("the path of a model file"));
        }
        Ok(Self { name, bytes: metadata.len(), modified: metadata.modified().ok(), file: Mutex::new(file) })
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self, offset, buffer.len())?;
        // A reader that panicked left nothing half done: the place is sought again each time.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(buffer)).map_err(|error| {
            Error::io(&self.name, format!("{} bytes at byte {offset}: {error}", buffer.len()))
                .advice("Did the file change while it was read? Check the disk, and try again.")
        })?;
        // Asked after reading, so that what was read is from before what comes.
        if file.metadata().and_then(|now| now.modified()).ok() != self.modified {
            return Err(Error::io(&self.name, "the file was written to while it was read")
                .advice("Wait until the program that writes it is done, and try again."));
        }
        Ok(())
    }
}

impl Source for File {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn read_at<'a>(&'a self, offset: u64, buffer: &'a mut [u8]) -> Reading<'a> {
        Box::pin(std::future::ready(self.read(offset, buffer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_at_any_place_and_not_past_its_end() -> Result<()> {
        let path = std::env::temp_dir().join(format!("headstart-source-{}", std::process::id()));
        fs::write(&path, b"0123456789").map_err(|error| Error::io("the test's file", error))?;
        let file = File::open(&path)?;
        fs::remove_file(&path).map_err(|error| Error::io("the test's file", error))?;
        let mut buffer = [0; 4];
        pollster::block_on(file.read_at(6, &mut buffer))?;
        assert_eq!(&buffer, b"6789");
        let error = pollster::block_on(file.read_at(7, &mut buffer)).expect_err("past the end");
        assert!(error.to_string().contains("headstart-source"), "{error}");
        Ok(())
    }

    #[test]
    fn what_is_no_file_is_refused_by_name() {
        for path in ["no/such/file.gguf", "."] {
            let error = File::open(path).expect_err("no file");
            assert!(error.thing.contains(path), "{error}");
        }
    }
}

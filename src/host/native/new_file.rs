//! A file that appears whole or not at all: it is written beside its place under another name, and renamed.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A file under way; dropped before [`Self::finish`], it leaves nothing behind.
#[derive(Debug)]
pub(super) struct NewFile {
    path: PathBuf,
    writer: BufWriter<NamedTempFile>,
}

impl NewFile {
    /// As [`Self::of_model`], of anything but a model. A model in its place is refused: its name was meant for another option.
    pub(super) fn create(path: &Path) -> Result<Self> {
        if is_model(path) {
            return Err(Error::usage(path.display().to_string(), "a model, which would be lost")
                .expected("the name of another file to write"));
        }
        Self::of_model(path)
    }

    /// Begins a file that will stand at `path`, in a folder that must exist. A folder, a device or a pipe in its place
    /// is refused, because a rename would not write to it but remove it.
    pub(super) fn of_model(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        if path.file_name().is_none() || std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(Error::usage(shown, "not a plain file").expected("the name of a file to write"));
        }
        let path = followed(path);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = temporary_in(folder)
            .map_err(|error| Error::io(shown, error).advice("Check that the folder exists and may be written to."))?;
        // What a person has made private stays private.
        #[cfg(unix)]
        keep_mode(&path, file.as_file());
        Ok(Self { path, writer: BufWriter::new(file) })
    }

    /// Writes all of `bytes`.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).map_err(|error| failed(&self.path, &error))
    }

    /// Puts the file in its place.
    pub(super) fn finish(self) -> Result<()> {
        let file = self.writer.into_inner().map_err(|error| failed(&self.path, error.error()))?;
        file.persist(&self.path).map_err(|error| failed(&self.path, &error.error))?;
        Ok(())
    }
}

/// Gives a file the mode of the one in whose place it will stand. A disk that knows no modes has none to keep.
#[cfg(unix)]
fn keep_mode(path: &Path, file: &File) {
    use std::os::unix::fs::PermissionsExt;
    if let Ok(metadata) = std::fs::metadata(path) {
        let _failed = file.set_permissions(PermissionsExt::from_mode(metadata.permissions().mode() & 0o777));
    }
}

/// A link keeps being one: what it leads to is replaced, or made.
fn followed(path: &Path) -> PathBuf {
    /// As many as systems follow.
    const MOST_LINKS: usize = 40;
    let mut at = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(to) = std::fs::read_link(&at) else { break };
        at = at.parent().unwrap_or(Path::new("")).join(to);
    }
    std::fs::canonicalize(&at).unwrap_or(at)
}

/// Refuses to write over what the same command reads: it would be lost.
pub(super) fn refuse_to_replace<'a>(read: impl IntoIterator<Item = &'a PathBuf>, written: Option<&Path>) -> Result<()> {
    let Some(written) = written else { return Ok(()) };
    let place = |path: &Path| std::fs::canonicalize(path).ok();
    match place(written).filter(|written| read.into_iter().any(|read| place(read).as_ref() == Some(written))) {
        Some(_) => Err(Error::usage(written.display().to_string(), "the file that is read").expected("another place")),
        None => Ok(()),
    }
}

/// Whether a file begins as a GGUF or as safetensors: the length of its JSON, and that. A pipe is not opened: reading would block.
fn is_model(path: &Path) -> bool {
    let mut begin = Vec::new();
    let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let is_read = is_file && File::open(path).and_then(|file| file.take(9).read_to_end(&mut begin)).is_ok();
    is_read && (begin.starts_with(b"GGUF") || begin.len() == 9 && begin[4..] == *b"\0\0\0\0{")
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::io(path.display().to_string(), error).advice("Check the space left on the disk.")
}

fn temporary_in(folder: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".headstart-");
    // Temporary files are private unless told otherwise; this one is to become a file like any other.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_appears_whole_or_not_at_all() -> Result<()> {
        let folder = tempfile::tempdir().map_err(|error| Error::io("a folder", error))?;
        let path = folder.path().join("a.json");
        let mut file = NewFile::create(&path)?;
        file.write(b"half")?;
        drop(file);
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
        let mut file = NewFile::create(&path)?;
        file.write(b"whole")?;
        file.finish()?;
        assert_eq!(std::fs::read(&path).expect("the file"), b"whole");
        assert!(NewFile::create(folder.path()).is_err() && NewFile::create(&folder.path().join("no/such")).is_err());
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn what_stood_there_keeps_its_mode_and_a_link_leads_to_what_is_not_there_yet() -> Result<()> {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().map_err(|error| Error::io("a folder", error))?;
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str| {
            let mut file = NewFile::create(&at(name))?;
            file.write(b"new")?;
            file.finish()
        };
        std::fs::write(at("private"), "old").expect("a file");
        std::fs::set_permissions(at("private"), PermissionsExt::from_mode(0o600)).expect("a mode");
        write("private")?;
        let mode = std::fs::metadata(at("private")).expect("the file").permissions().mode();
        assert_eq!((mode & 0o777, std::fs::read(at("private")).expect("the file")), (0o600, b"new".to_vec()));
        symlink("second", at("first")).expect("a link");
        symlink("target", at("second")).expect("a link");
        write("first")?;
        assert!(at("first").is_symlink() && at("second").is_symlink() && !at("target").is_symlink());
        assert_eq!(std::fs::read(at("first")).expect("the file"), b"new");
        assert!(refuse_to_replace([&at("target")], Some(&at("first"))).is_err());
        assert!(refuse_to_replace([&at("target")], Some(&at("none"))).is_ok());
        Ok(())
    }

    #[test]
    fn a_model_is_not_written_over() -> Result<()> {
        let folder = tempfile::tempdir().map_err(|error| Error::io("a folder", error))?;
        let path = folder.path().join("m");
        for (begin, is_model) in
            [(&b"GGUF\x03\0\0\0"[..], true), (b"\x20\x01\0\0\0\0\0\0{\"a\"", true), (b"{\"schema\": 1}", false)]
        {
            std::fs::write(&path, begin).expect("a file");
            assert_eq!(NewFile::create(&path).is_err(), is_model);
            assert!(NewFile::of_model(&path).is_ok(), "a model is written anew by its own commands");
        }
        Ok(())
    }
}

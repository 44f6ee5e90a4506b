//! From the path that a person gives to the files of a model: the embedded one, a GGUF, or a safetensors file with the
//! JSON files beside it.

use super::source::File;
use super::{EMBEDDED_MODEL, EMBEDDED_NAME};
use crate::engine::ModelFiles;
use crate::error::{Error, Result};
use crate::format::{Memory, Source};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// No `config.json` or `tokenizer.json` is longer: the largest known has 20 MB.
const MOST_JSON_BYTES: u64 = 128 << 20;

/// A model's files, opened, and what to call them.
pub(super) struct Named {
    /// The file's name, or the folder's.
    pub(super) name: String,
    /// The bytes of its weights' files.
    pub(super) bytes: u64,
    /// As the engine wants them.
    pub(super) files: ModelFiles,
}

/// Opens the model at `path`, or the embedded one. Nothing is read yet but the JSON files.
pub(super) fn open(path: Option<&Path>) -> Result<Named> {
    let Some(path) = path else {
        let source = Memory::new(EMBEDDED_NAME, EMBEDDED_MODEL);
        return Ok(named(EMBEDDED_NAME.to_owned(), Rc::new(source), None, None));
    };
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let file = if path.is_dir() { safetensors_in(path)? } else { path.to_owned() };
    let source = Rc::new(File::open(&file)?);
    let (mut config, mut tokenizer) = (None, None);
    if is_safetensors(&file) {
        config = read_json(&file.with_file_name("config.json"))?;
        tokenizer = read_json(&file.with_file_name("tokenizer.json"))?;
    }
    Ok(named(name, source, config, tokenizer))
}

fn named(name: String, source: Rc<dyn Source>, config: Option<String>, tokenizer: Option<String>) -> Named {
    Named {
        name,
        bytes: source.bytes(),
        files: ModelFiles { sources: vec![source], config, tokenizer, synthetic: None },
    }
}

fn is_safetensors(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors"))
}

/// The one safetensors file of a folder.
fn safetensors_in(folder: &Path) -> Result<PathBuf> {
    let name = folder.display().to_string();
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io(&name, error))?;
    let mut paths: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| is_safetensors(path)).collect();
    match (paths.pop(), paths.len()) {
        (Some(path), 0) => Ok(path),
        (_, n_others) => {
            let n = if n_others == 0 { "no".to_owned() } else { (n_others + 1).to_string() };
            Err(Error::usage(name, format!("a folder with {n} safetensors files"))
                .expected("a folder with one, and config.json beside it; or a GGUF file")
                .advice("A model in several files has to be converted into one GGUF."))
        }
    }
}

/// A JSON file's text; `None` if there is no such file.
fn read_json(path: &Path) -> Result<Option<String>> {
    let name = path.display().to_string();
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(name, error)),
    };
    read_text(file, &name, MOST_JSON_BYTES).map(Some)
}

/// All of a reader as text. Fails, naming it, if that is longer than `most_bytes`, or no UTF-8.
pub(super) fn read_text(reader: impl Read, name: &str, most_bytes: u64) -> Result<String> {
    let mut bytes = Vec::new();
    reader.take(most_bytes + 1).read_to_end(&mut bytes).map_err(|error| Error::io(name, error))?;
    if bytes.len() as u64 > most_bytes {
        return Err(Error::usage(name, "too long").expected(format!("at most {} MiB", most_bytes >> 20)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::usage(name, format!("the bytes at {at} are no UTF-8")).expected("a text in UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_must_hold_one_model() -> Result<()> {
        let folder = tempfile::tempdir().map_err(|error| Error::io("a folder", error))?;
        let found = |n: &str| safetensors_in(folder.path()).expect_err(n).found.contains(&format!("with {n} "));
        assert!(found("no"));
        let path = folder.path().join("a.safetensors");
        std::fs::write(&path, b"").expect("a file");
        assert_eq!(safetensors_in(folder.path())?, path);
        std::fs::write(path.with_file_name("b.safetensors"), b"").expect("a file");
        assert!(found("2"));
        Ok(())
    }

    #[test]
    fn a_text_is_bounded_and_utf8() {
        assert_eq!(read_text(&b"abc"[..], "x", 3).ok().as_deref(), Some("abc"));
        assert!(read_text(&b"abcd"[..], "x", 3).is_err());
        let error = read_text(&b"ab\xff"[..], "x", 3).expect_err("no UTF-8");
        assert!(error.to_string().contains("bytes at 2"), "{error}");
    }
}

//! From the path that a person gives to the files of a model: the embedded one, a GGUF, or a safetensors file with the
//! JSON files beside it; or from the name of a synthetic model to its shape.

use super::progress::Progress;
use super::source::File;
use super::{EMBEDDED_MODEL, EMBEDDED_NAME, interrupt};
use crate::engine::ModelFiles;
use crate::error::{Error, Result};
use crate::format::Memory;
use crate::measure::model_hash::model_hash;
use crate::model::{Shape, SyntheticName};
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// No `config.json` or `tokenizer.json` is longer: the largest known has 20 MB.
const MOST_JSON_BYTES: u64 = 128 << 20;

/// A `config.json` has a few kilobytes.
const MOST_CONFIG_BYTES: u64 = 1 << 20;

/// A model's files, opened, and what to call them.
pub(super) struct Named {
    /// The file's name, or the folder's.
    pub(super) name: String,
    /// The bytes of its weights' files.
    pub(super) bytes: u64,
    /// As the engine wants them.
    pub(super) files: ModelFiles,
}

/// Opens the model at `path`, or the embedded one, or the synthetic model that `path` names (`synthetic:…`). Nothing is
/// read yet but the JSON files.
pub(super) fn open(path: Option<&Path>) -> Result<Named> {
    let Some(path) = path else {
        let source = Memory::new(EMBEDDED_NAME, EMBEDDED_MODEL);
        return Ok(named(EMBEDDED_NAME.to_owned(), ModelFiles::gguf(Rc::new(source))));
    };
    if let Some(name) = path.to_str().filter(|text| SyntheticName::is_meant(text)) {
        return synthetic(&SyntheticName::parse(name)?);
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let file = if path.is_dir() { safetensors_in(path)? } else { path.to_owned() };
    let mut files = ModelFiles::gguf(Rc::new(File::open(&file)?));
    if is_safetensors(&file) {
        files.config = read_json(&file.with_file_name("config.json"), MOST_JSON_BYTES)?;
        files.tokenizer = read_json(&file.with_file_name("tokenizer.json"), MOST_JSON_BYTES)?;
        files.tokenizer_config = read_json(&file.with_file_name("tokenizer_config.json"), MOST_JSON_BYTES)?;
    }
    Ok(named(name, files))
}

/// A model known by name, or of the shape in a `config.json`; its bytes are those that a file of it would have.
fn synthetic(name: &SyntheticName) -> Result<Named> {
    let shape = match name.published() {
        Some(shape) => shape,
        None => {
            let json = read_json(Path::new(&name.model), MOST_CONFIG_BYTES)?.ok_or_else(|| name.unknown())?;
            Shape::from_config(&json)?
        }
    };
    let model = name.with_shape(shape)?;
    let bytes = model.weights()?.bytes();
    Ok(Named { name: model.name.clone(), bytes, files: ModelFiles::synthetic(model) })
}

fn named(name: String, files: ModelFiles) -> Named {
    Named { name, bytes: files.sources.iter().map(|source| source.bytes()).sum(), files }
}

/// The hash of a model's files, with a bar on stderr; `None` where there are none, or after Ctrl-C.
pub(super) fn hash(model: &Named) -> Result<Option<String>> {
    let mut progress = Progress::new();
    let mut watch = |at: &_| {
        progress.measure(at);
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    pollster::block_on(model_hash(&model.files.sources, &mut watch))
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
fn read_json(path: &Path, most_bytes: u64) -> Result<Option<String>> {
    let name = path.display().to_string();
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(name, error)),
    };
    read_text(file, &name, most_bytes).map(Some)
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
    fn a_synthetic_model_is_known_by_name_or_has_a_config() -> Result<()> {
        let open = |name: &str| open(Some(Path::new(name)));
        let cut = open("synthetic:deepseek-v4-flash:layers=2..4")?;
        assert_eq!(cut.name, "synthetic:deepseek-v4-flash:layers=2..4");
        // Two layers' routed experts, embedding and head; the rest is less than a tenth of that.
        let most = 2 * 256 * 3 * 2048 * 4096 / 32 * 17 + 2 * 129_280 * 4096 * 2;
        assert!((most..most / 10 * 11).contains(&cut.bytes), "{}", cut.bytes);

        let folder = tempfile::tempdir().map_err(|error| Error::io("a folder", error))?;
        let path = folder.path().join("config.json");
        let name = format!("synthetic:{}:seed=3", path.display());
        let refused = |name: &str, why: &str| {
            let error = open(name).err().expect(why).to_string();
            assert!(error.contains(why) && error.len() < 600, "{error}");
        };
        refused(&name, "deepseek-v4-flash");
        refused("synthetic:deepseek-v9", "deepseek-v4-pro");
        let write = |text: &[u8]| std::fs::write(&path, text).expect("a file");
        write(&vec![b' '; 2 << 20]);
        refused(&name, "too long");
        write(b"{\"model_type\": \"deepseek_v4\", \"num_hidden_layers\": 4000000000}");
        refused(&name, "num_hidden_layers");
        write(b"[1, 2");
        refused(&name, "JSON");
        write(&[0xff; 9]);
        refused(&name, "UTF-8");
        Ok(())
    }

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

//! From the path that a person gives to the files of a model: the embedded one; a GGUF, with the other parts of a split
//! one beside it; a safetensors file, an index or a folder, with the files that belong to it; or from the name of a
//! synthetic model to its shape.

use super::progress::Progress;
use super::source::File;
use super::terminal::visible;
use super::{EMBEDDED_MODEL, EMBEDDED_NAME, hub, interrupt};
use crate::engine::ModelFiles;
use crate::error::{Error, Result};
use crate::format::encoded;
use crate::format::part_name::PartName;
use crate::format::shards::Index;
use crate::format::{Memory, Source};
use crate::host::hub::{BESIDE, stands_beside};
use crate::measure::model_hash::model_hash;
use crate::model::{AnyShape, Synthetic, SyntheticName};
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The index of the largest model known has 15 MB.
const MOST_INDEX_BYTES: u64 = 128 << 20;

/// How the name of an index ends.
const INDEX: &str = ".safetensors.index.json";

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
    let paths = if path.is_dir() { in_folder(path)? } else { with_path(path)? };
    let mut sources: Vec<Rc<dyn Source>> = Vec::with_capacity(paths.len());
    for path in &paths {
        sources.push(Rc::new(File::open(path)?));
    }
    let named_after = match path.parent().and_then(Path::file_name) {
        // In the hub's cache folders are named after commits.
        Some(folder) if is_index(path) => hub::repo_of(path).map_or(folder.to_owned(), |repo| repo.name().into()),
        // A folder may hold many a GGUF over time: the one that was found is named.
        _ => paths
            .first()
            .filter(|first| has_extension(first, "gguf"))
            .map_or(path, PathBuf::as_path)
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_owned(),
    };
    Ok(named(visible(&named_after.to_string_lossy()).into_owned(), pollster::block_on(ModelFiles::of(sources))?))
}

/// A model known by name, or of the shape in a `config.json`; its bytes are those that a file of it would have.
fn synthetic(name: &SyntheticName) -> Result<Named> {
    let model = match Synthetic::of(name)? {
        Some(model) => model,
        None => {
            let json = read_json(Path::new(&name.model), MOST_CONFIG_BYTES)?.ok_or_else(|| name.unknown())?;
            name.with_shape(AnyShape::from_config(&json, &mut Vec::new())?)?
        }
    };
    Ok(Named { name: model.name.clone(), bytes: model.bytes()?, files: ModelFiles::synthetic(model) })
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

/// The files of the model that a file belongs to.
fn with_path(path: &Path) -> Result<Vec<PathBuf>> {
    if is_index(path) {
        return of_index(path);
    }
    refuse_other_kinds(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = PartName::parse(&name);
    if !has_extension(path, "safetensors") {
        return Ok(part.map_or_else(|| vec![path.to_owned()], |part| parts_beside(path, &part)));
    }
    // A file of several knows neither the others nor the index, which bears the name that one file would have.
    if let Some(part) = part {
        let index = [format!("{}{INDEX}", part.stem), format!("model{INDEX}")];
        if let Some(index) = index.iter().map(|name| path.with_file_name(name)).find(|index| index.is_file()) {
            return of_index(&index);
        }
        return Ok(with_texts(parts_beside(path, &part)));
    }
    Ok(with_texts(vec![path.to_owned()]))
}

/// The one model in a folder.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    // What transformers would take. An index beside it may be that of parts which are gone.
    let usual = folder.join("model.safetensors");
    if usual.is_file() {
        return with_path(&usual);
    }
    let name = folder.display().to_string();
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io(&name, error))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let indexes: Vec<&PathBuf> = paths.iter().filter(|path| is_index(path)).collect();
    let usual = indexes.iter().find(|path| path.ends_with(format!("model{INDEX}")));
    if let Some(index) = usual.or(indexes.first().filter(|_| indexes.len() == 1)) {
        return of_index(index);
    }
    for extension in ["safetensors", "gguf"] {
        let mut found: Vec<&PathBuf> = paths.iter().filter(|path| has_extension(path, extension)).collect();
        let is_model = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            !stands_beside(&name) && !name.starts_with("adapter_model")
        };
        if found.iter().any(|path| is_model(path)) {
            found.retain(|path| is_model(path));
        }
        let Some(first) = found.first() else { continue };
        let is_one = found.len() == 1 || are_parts(&found);
        if !is_one {
            return Err(Error::usage(name, format!("a folder with {} {extension} files", found.len()))
                .expected("a folder with one model: one file, all parts of one, or safetensors with their index")
                .advice("Give the path of the file that is meant."));
        }
        return with_path(first);
    }
    Err(Error::usage(name, "a folder with no safetensors or GGUF files").expected("the folder of a model"))
}

/// Whether the names are those of parts of one model.
fn are_parts(paths: &[&PathBuf]) -> bool {
    let name = |path: &Path| PartName::parse(&path.file_name()?.to_string_lossy());
    let Some(first) = paths.first().and_then(|path| name(path)) else { return false };
    paths.iter().all(|path| name(path).is_some_and(|name| name.belongs_to(&first)))
}

/// The parts of a model that are there beside one of them. Which are missing is told where they are opened.
fn parts_beside(path: &Path, part: &PartName) -> Vec<PathBuf> {
    let others = (1..=part.count).filter(|number| *number != part.number);
    let others = others.map(|number| path.with_file_name(part.of_number(number))).filter(|other| other.exists());
    std::iter::once(path.to_owned()).chain(others).collect()
}

/// An index, the files that it names, as far as they are there, and the texts beside them.
fn of_index(path: &Path) -> Result<Vec<PathBuf>> {
    let name = path.display().to_string();
    let file = std::fs::File::open(path).map_err(|error| Error::io(&name, error))?;
    let index = Index::read(&name, &read_text(file, &name, MOST_INDEX_BYTES)?)?;
    let shards = index.shards().into_iter().map(|shard| path.with_file_name(shard)).filter(|shard| shard.exists());
    Ok(with_texts(std::iter::once(path.to_owned()).chain(shards).collect()))
}

/// The files, and after them the texts that lie beside the first.
fn with_texts(mut files: Vec<PathBuf>) -> Vec<PathBuf> {
    let texts = files.first().map(|first| BESIDE.map(|name| first.with_file_name(name)));
    files.extend(texts.into_iter().flatten().filter(|text| text.exists()));
    files
}

fn is_index(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(INDEX))
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
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
    encoded::text(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::usage(name, format!("the bytes at {at} are no UTF-8")).expected("a text in UTF-8")
    })
}

/// What a file is that is no model, by its first bytes; `None` for a model, or what nobody knows.
fn other_kind(start: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 17] = [
        (b"\x89PNG", "a picture (PNG)"),
        (b"\xff\xd8\xff", "a picture (JPEG)"),
        (b"GIF8", "a picture (GIF)"),
        (b"RIFF", "a picture or a sound (RIFF)"),
        (b"BM", "a picture (BMP)"),
        (b"%PDF", "a document (PDF)"),
        (b"PK\x03\x04", "a ZIP archive, as PyTorch's .bin and .pt files are too"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"BZh", "a bzip2 archive"),
        (b"\xfd7zXZ", "an xz archive"),
        (b"7z\xbc\xaf", "a 7z archive"),
        (b"Rar!", "a RAR archive"),
        (b"\x28\xb5\x2f\xfd", "a zstd archive"),
        (b"\x7fELF", "a program (ELF)"),
        (b"MZ", "a program for Windows"),
        (b"version https://git-lfs", "a pointer of Git LFS in place of the file itself"),
        (b"ggjt", "a model of the format before GGUF"),
    ];
    // A safetensors file begins with a number, whose bytes may be those of anything, and its JSON.
    if start.get(8) == Some(&b'{') {
        return None;
    }
    // An older model's name is written as a number, so its letters stand in the other order.
    let known =
        KINDS.iter().find(|(magic, _)| start.starts_with(magic) || *magic == b"ggjt" && start.starts_with(b"tjgg"));
    if let Some((_, kind)) = known {
        return Some(kind);
    }
    let begin = String::from_utf8_lossy(start).trim_start().to_ascii_lowercase();
    if begin.starts_with("<!doctype html") || begin.starts_with("<html") {
        return Some("a page of the web (HTML), as a server sends where a file cannot be had");
    }
    // A safetensors file begins with a number of eight bytes, whose upper ones are 0.
    let is_text =
        start.len() >= 8 && !start.starts_with(b"GGUF") && start.iter().all(|&b| b >= b' ' || b"\t\n\r".contains(&b));
    is_text.then_some("a text")
}

/// Fails, saying what it is, where a file is certainly no model.
fn refuse_other_kinds(path: &Path) -> Result<()> {
    let mut start = Vec::new();
    let Ok(file) = std::fs::File::open(path) else { return Ok(()) };
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) || file.take(64).read_to_end(&mut start).is_err() {
        return Ok(());
    }
    match other_kind(&start) {
        None => Ok(()),
        Some(kind) => {
            Err(Error::file(path.display().to_string(), kind).expected("a model: a .gguf or .safetensors file"))
        }
    }
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
            assert!(error.contains(why) && error.len() < 1000, "{error}");
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
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
        let found = || -> Result<Vec<String>> {
            let names = in_folder(folder.path())?.into_iter();
            Ok(names.map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect())
        };
        let refused = |words: &str| assert!(found().expect_err(words).to_string().contains(words));
        refused("no safetensors or GGUF files");
        put("b-00002-of-00002.gguf", "");
        put("b-00001-of-00002.gguf", "");
        assert_eq!(found()?, ["b-00001-of-00002.gguf", "b-00002-of-00002.gguf"]);
        put("mmproj-model-f16.gguf", "");
        assert_eq!(found()?, ["b-00001-of-00002.gguf", "b-00002-of-00002.gguf"]);
        put("c.gguf", "");
        refused("3 gguf files");
        put("a.safetensors", "");
        put("config.json", "");
        put("special_tokens_map.json", "");
        put("preprocessor_config.json", "");
        std::fs::create_dir(folder.path().join("additional_chat_templates")).expect("a folder");
        put("additional_chat_templates/tool_use.jinja", "");
        assert_eq!(found()?, ["a.safetensors", "config.json", "tool_use.jinja", "special_tokens_map.json"]);
        std::fs::remove_dir_all(folder.path().join("additional_chat_templates")).expect("a folder");
        std::fs::remove_file(folder.path().join("special_tokens_map.json")).expect("a file");
        put("b.safetensors", "");
        refused("2 safetensors files");
        put("model.safetensors", "");
        put("generation_config.json", "");
        assert_eq!(found()?, ["model.safetensors", "config.json", "generation_config.json"]);
        put("model.safetensors.index.json", r#"{"weight_map": {"x": "b.safetensors", "y": "absent.safetensors"}}"#);
        assert_eq!(found()?, ["model.safetensors", "config.json", "generation_config.json"]);
        std::fs::remove_file(folder.path().join("model.safetensors")).expect("a file");
        assert_eq!(
            found()?,
            ["model.safetensors.index.json", "b.safetensors", "config.json", "generation_config.json"]
        );
        put("model.safetensors.index.json", r#"{"weight_map": {"x": "../b.safetensors"}}"#);
        refused("../b.safetensors");
        Ok(())
    }

    #[test]
    fn what_is_no_model_is_named() {
        for (start, words) in [
            (&b"\x89PNG\r\n\x1a\n"[..], "picture"),
            (b"PK\x03\x04\x14", "ZIP"),
            (b"# headstart\n\nA text", "text"),
            (b"\n<!DOCTYPE html>", "HTML"),
            (b"version https://git-lfs.github.com", "Git LFS"),
        ] {
            assert!(other_kind(start).is_some_and(|kind| kind.contains(words)), "{words}");
        }
        for start in [&b"GGUF\x03\0\0\0"[..], b"\x20\0\0\0\0\0\0\0{\"a\"", b"", b"\x12\0"] {
            assert_eq!(other_kind(start), None, "{start:?}");
        }
    }

    #[test]
    fn a_text_is_bounded_and_utf8() {
        assert_eq!(read_text(&b"abc"[..], "x", 3).ok().as_deref(), Some("abc"));
        assert!(read_text(&b"abcd"[..], "x", 3).is_err());
        for marked in [&b"\xef\xbb\xbfhi"[..], b"\xff\xfeh\0i\0", b"\xfe\xff\0h\0i"] {
            assert_eq!(read_text(marked, "x", 9).ok().as_deref(), Some("hi"));
        }
        assert!(read_text(&b"\xff\xfeh"[..], "x", 9).is_err());
        let error = read_text(&b"ab\xff"[..], "x", 3).expect_err("no UTF-8");
        assert!(error.to_string().contains("bytes at 2"), "{error}");
    }
}

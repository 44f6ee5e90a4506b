//! Reports into files and out of them. A file may hold anything at all: it is read with care, and what is wrong with it
//! is said in words.

use super::History;
use super::record::{Record, RecordId};
use crate::host::web::page::LinkHandle;
use crate::host::web::protocol::ModelFile;
use crate::host::web::source::message_of;
use crate::host::web::store::Origin;
use crate::measure::report::read::MAX_BYTES;
use crate::measure::report::{self, Entry};
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, BlobPropertyBag, File, FileList, HtmlAnchorElement, Url};

/// Files that were picked or dropped: nothing but JSON are reports, and taken in; all else is one model, with the JSON
/// files that belong to it.
pub(crate) fn take_files(history: History, link: LinkHandle, files: &FileList) {
    let is_text = |file: &File| {
        let name = file.name().to_lowercase();
        name.ends_with(".json") || name.ends_with(".jsonl")
    };
    let files: Vec<File> = (0..files.length()).filter_map(|index| files.get(index)).collect();
    if files.iter().all(is_text) {
        files.into_iter().for_each(|file| import(history, file));
    } else {
        load_model(history, link, files);
    }
}

/// Loads files as one model, unless one of them is plainly something else.
pub(crate) fn load_model(history: History, link: LinkHandle, files: Vec<File>) {
    spawn_local(async move {
        for file in &files {
            if let Some(what) = what_else(file).await {
                let name = file.name();
                return history.complain(format!(
                    "{name} is {what}. A model is a .gguf file, or .safetensors with its JSON files."
                ));
            }
        }
        link.with_value(|link| drop(link.load(ModelFile::Files(files.into_iter().collect()))));
    });
}

/// What a file is by its first bytes, where people take it for a model by mistake.
async fn what_else(file: &File) -> Option<&'static str> {
    let begin = file.slice_with_i32_and_i32(0, 8).ok()?;
    let bytes = js_sys::Uint8Array::new(&JsFuture::from(begin.array_buffer()).await.ok()?).to_vec();
    let kinds: [(&[u8], &str); 8] = [
        (b"\x89PNG", "a picture"),
        (b"\xff\xd8\xff", "a picture"),
        (b"GIF8", "a picture"),
        (b"RIFF", "a picture or a sound"),
        (b"%PDF", "a PDF document"),
        (b"PK\x03\x04", "a ZIP archive, perhaps weights of PyTorch"),
        (b"\x80\x02", "a pickle of Python"),
        (b"\x1f\x8b", "a compressed archive"),
    ];
    kinds.into_iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, what)| what)
}

/// Takes in the reports of a file.
pub(crate) fn import(history: History, file: File) {
    spawn_local(async move {
        let name = file.name();
        if let Err(why) = import_file(history, file).await {
            history.complain(format!("{name} was not imported: {why}"));
        }
    });
}

async fn import_file(history: History, file: File) -> Result<(), String> {
    import_text(history, &file.name(), &text_of(&file).await?).map(drop)
}

/// The text of a file that a person picked.
///
/// # Errors
/// A file that is too large for reports and conversations, or cannot be read.
pub(crate) async fn text_of(file: &File) -> Result<String, String> {
    // Asked before it is read: a file may be larger than memory.
    if file.size() > MAX_BYTES as f64 {
        return Err(format!("it has {} bytes, and such a file at most {MAX_BYTES}.", file.size()));
    }
    let text = JsFuture::from(file.text()).await.map_err(|e| message_of(&e))?;
    Ok(text.as_string().unwrap_or_default())
}

/// Takes in the reports of a text, but for those that are there already; gives the numbers of the new ones.
///
/// # Errors
/// What is wrong with the text; nothing of it is taken in then.
pub(crate) fn import_text(history: History, name: &str, text: &str) -> Result<Vec<RecordId>, String> {
    let entries = report::read::read(text).map_err(|e| e.to_string())?;
    let n_entries = entries.len();
    let mut new = Vec::new();
    for entry in entries {
        if history.find_same(&entry).is_none() {
            new.push(history.add(entry, Origin::Imported(name.to_owned())));
        }
    }
    if let [id] = new[..] {
        history.open.set(Some(id));
    }
    history.said.set(match (new.len(), n_entries - new.len()) {
        (0, _) => format!("All that {name} holds is here already."),
        (n, 0) => format!("{n} imported from {name}."),
        (n, known) => format!("{n} imported from {name}; {known} were here already."),
    });
    Ok(new)
}

/// Saves one run to the person's disk.
pub(crate) fn export(record: &Record) {
    // In lines by way of its values: a second way to write reports would make the page larger.
    let json = serde_json::to_string(&*record.entry).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
    let json = serde_json::to_string_pretty(&value).unwrap_or_default();
    download(&file_name(record, "json"), &json);
}

/// Saves every run that is the person's own: those that came with the page are there anyway.
pub(crate) fn export_all(history: History) {
    download("headstart-reports.json", &all_as_json(history));
}

/// The person's runs as one JSON text: an array of reports.
pub(crate) fn all_as_json(history: History) -> String {
    history.records.with_untracked(|records| {
        let own: Vec<&Entry> =
            records.iter().filter(|record| record.origin != Origin::Published).map(|record| &*record.entry).collect();
        serde_json::to_string(&own).unwrap_or_default()
    })
}

/// `headstart-bench-google-swiftshader.json`: letters and digits, whatever the report says.
pub(crate) fn file_name(record: &Record, ending: &str) -> String {
    let said = format!("headstart {} {}", record.name, record.adapter()).to_lowercase();
    let words = said.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name: String = words.collect::<Vec<_>>().join("-").chars().take(60).collect();
    format!("{name}.{ending}")
}

fn download(name: &str, json: &str) {
    let options = BlobPropertyBag::new();
    options.set_type("application/json");
    match Blob::new_with_str_sequence_and_options(&js_sys::Array::of1(&json.into()), &options) {
        Ok(blob) => offer(name, &blob),
        Err(e) => web_sys::console::error_2(&"a file was not made".into(), &e),
    }
}

/// Hands a file to the person, to be saved where they like.
pub(crate) fn offer(name: &str, blob: &Blob) {
    let offer = || -> Result<(), JsValue> {
        let url = Url::create_object_url_with_blob(blob)?;
        let anchor: HtmlAnchorElement = document().create_element("a")?.unchecked_into();
        anchor.set_href(&url);
        anchor.set_download(name);
        anchor.click();
        // The click has handed the blob to the browser, which may take a while to write it.
        set_timeout(move || drop(Url::revoke_object_url(&url)), std::time::Duration::from_secs(60));
        Ok(())
    };
    if let Err(e) = offer() {
        web_sys::console::error_2(&"a file was not offered".into(), &e);
    }
}

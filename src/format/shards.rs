//! safetensors in several files: the index that says which tensor lies in which, and the directory of them all.

use super::part_name::{PartName, file_name, some_of};
use super::{Directory, Source, TensorInfo, directory::shown, loose_json, safetensors};
use crate::error::{Error, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The official V4-Pro has about 140 thousand tensors.
const MOST_TENSORS: usize = 1 << 18;
/// The largest models have some hundred files.
const MOST_FILES: usize = 1 << 12;

/// What `model.safetensors.index.json` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// What to call it in messages.
    name: String,
    /// The file that each tensor lies in.
    files: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Json {
    weight_map: BTreeMap<String, String>,
}

impl Index {
    /// Reads the text of an index, which is called `name` in messages.
    ///
    /// # Errors
    /// When it is no index, has absurdly many entries, or names a file by a path: shards lie beside their index.
    pub fn read(name: &str, text: &str) -> Result<Self> {
        const DAMAGED: &str = "The index is damaged: download it again.";
        let json: Json = serde_json::from_str(&loose_json::strict(text)).map_err(|error| {
            Error::file(name, error.to_string()).expected("a JSON object with a weight_map").advice(DAMAGED)
        })?;
        let plain = |(tensor, path): (String, String)| (tensor, path.strip_prefix("./").unwrap_or(&path).to_owned());
        let index = Self { name: name.to_owned(), files: json.weight_map.into_iter().map(plain).collect() };
        let (n_tensors, shards) = (index.files.len(), index.shards());
        if n_tensors == 0 || n_tensors > MOST_TENSORS || shards.len() > MOST_FILES {
            return Err(Error::file(name, format!("{n_tensors} tensors in {} files", shards.len()))
                .expected(format!("from 1 to {MOST_TENSORS} tensors in at most {MOST_FILES} files"))
                .advice(DAMAGED));
        }
        if let Some(path) = shards.iter().find(|path| !is_plain_name(path)) {
            return Err(Error::file(format!("{name}: weight_map"), format!("the file {}", shown(path)))
                .expected("the name of a safetensors file in the same folder, no path")
                .advice("Do not trust this index: get the model elsewhere."));
        }
        Ok(index)
    }

    /// The files of the model, in the order of their names.
    #[must_use]
    pub fn shards(&self) -> BTreeSet<&str> {
        self.files.values().map(String::as_str).collect()
    }

    /// Those of `sources` that the index names, in the order of its shards; others are left out.
    ///
    /// # Errors
    /// When shards are missing, or one is there twice.
    pub fn choose(&self, sources: &[Rc<dyn Source>]) -> Result<Vec<Rc<dyn Source>>> {
        let shards = self.shards();
        let (mut chosen, mut missing) = (Vec::with_capacity(shards.len()), Vec::new());
        for shard in &shards {
            let mut found = sources.iter().filter(|source| file_name(source.name()) == *shard);
            match (found.next(), found.next()) {
                (Some(source), None) => chosen.push(Rc::clone(source)),
                (None, _) => missing.push(*shard),
                (Some(_), Some(_)) => {
                    return Err(Error::usage(shown(shard), "given twice").expected("every file of the model once"));
                }
            }
        }
        if missing.is_empty() {
            return Ok(chosen);
        }
        let n = shards.len();
        Err(Error::file(&self.name, format!("{} of {n} files are missing: {}", missing.len(), some_of(missing)))
            .expected(format!("all {n} files beside the index"))
            .advice("Download the missing files; in the page, choose all of them."))
    }

    /// Of a tensor that lies in several files leaves the one in the file that the index says, as transformers takes it.
    fn choose_copies(&self, tensors: &mut Vec<TensorInfo>, sources: &[Rc<dyn Source>]) {
        let is_meant = |tensor: &TensorInfo| {
            let file = file_name(sources[tensor.source_index].name());
            self.files.get(&tensor.name).is_some_and(|meant| meant == file)
        };
        let meant: BTreeSet<String> = tensors.iter().filter(|t| is_meant(t)).map(|t| t.name.clone()).collect();
        tensors.retain(|tensor| is_meant(tensor) || !meant.contains(&tensor.name));
    }

    /// What the index says of a tensor that lies in another of its files: it is read from there, as transformers does. One that
    /// lies in none may be one that nobody needs.
    fn notice(&self, directory: &Directory, sources: &[Rc<dyn Source>]) -> Option<String> {
        let found = |tensor: &str| Some(file_name(sources[directory.get(tensor)?.source_index].name()));
        let mut elsewhere =
            self.files.iter().filter_map(|(tensor, file)| Some((tensor, found(tensor).filter(|found| found != file)?)));
        let (tensor, file) = elsewhere.next()?;
        let (tensor, file, n_more) = (shown(tensor), shown(file), elsewhere.count());
        let more = if n_more > 0 { format!("; of {n_more} more it is wrong, too") } else { String::new() };
        Some(format!("{}: tensor {tensor} lies elsewhere, and is read from {file}{more}", self.name))
    }
}

/// Whether it can only mean a safetensors file in the folder of its index.
fn is_plain_name(name: &str) -> bool {
    let harmless = |c: char| !c.is_control() && !"/\\:*?\"<>|".contains(c);
    name.len() <= 255 && name.ends_with(".safetensors") && !name.starts_with('.') && name.chars().all(harmless)
}

/// The tensors of all `sources`, which are the files of one model: what [`Index::choose`] gives, or without an index
/// one file, or parts whose names say that they are all there. And what a person should know of the index, if anything.
///
/// # Errors
/// When a header is damaged, files are missing, or two have a tensor of one name.
pub async fn read(sources: &[Rc<dyn Source>], index: Option<&Index>) -> Result<(Directory, Option<String>)> {
    if index.is_none() {
        check_parts(sources)?;
    }
    let mut tensors = Vec::new();
    for (source_index, source) in sources.iter().enumerate() {
        let part = safetensors::read(source.as_ref(), source_index).await?.directory;
        tensors.extend_from_slice(part.tensors());
        if tensors.len() > MOST_TENSORS {
            return Err(Error::file(source.name(), format!("{} tensors so far", tensors.len()))
                .expected(format!("at most {MOST_TENSORS} in all files of a model")));
        }
    }
    if let Some(index) = index {
        index.choose_copies(&mut tensors, sources);
    }
    let directory = Directory::new(tensors)?;
    let notice = index.and_then(|index| index.notice(&directory, sources));
    refuse_adapter(&directory)?;
    Ok((directory.renamed(unwrapped), notice))
}

/// Fails where weights of an adapter stand beside those of a model, or alone: what they change would be left out.
fn refuse_adapter(directory: &Directory) -> Result<()> {
    let Some(tensor) = directory.tensors().iter().find(|tensor| tensor.name.contains(".lora_A.")) else {
        return Ok(());
    };
    Err(Error::file(format!("tensor {}", shown(&tensor.name)), "a part of a LoRA adapter")
        .expected("a whole model")
        .advice("Merge the adapter into its model first (PEFT: `merge_and_unload`), or take a model that it was merged into."))
}

/// The name of a tensor without what training put around the model when it was saved: `torch.compile`, data parallelism,
/// checkpoints of activations, adapters that were merged, and modules that were trained whole beside one; and weights that
/// compressed-tensors packed as weights. `None` where nothing is around it.
fn unwrapped(name: &str) -> Option<String> {
    const WITHIN: [&str; 4] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "base_layer"];
    const BEFORE: [&str; 2] = ["module.", "base_model.model."];
    let (mut parts, mut all) = (Vec::new(), name.split('.'));
    while let Some(part) = all.next() {
        if part == "modules_to_save" {
            // The adapter's name.
            all.next();
        } else if !WITHIN.contains(&part) {
            parts.push(part);
        }
    }
    let mut plain = parts.join(".");
    while let Some(inner) = BEFORE.iter().find_map(|before| plain.strip_prefix(before)) {
        plain = inner.to_owned();
    }
    if plain.ends_with(".weight_packed") {
        plain.truncate(plain.len() - "_packed".len());
    }
    (plain != name).then_some(plain)
}

/// Fails unless it is one whole file, or the names are those of all parts of one model in their order.
fn check_parts(sources: &[Rc<dyn Source>]) -> Result<()> {
    let Some(first) = sources.first() else {
        return Err(Error::usage("model", "no file").expected("a safetensors file"));
    };
    let names: Vec<Option<PartName>> = sources.iter().map(|source| PartName::parse(source.name())).collect();
    let Some(name) = &names[0] else {
        if sources.len() == 1 {
            return Ok(());
        }
        let given = some_of(sources.iter().map(|source| file_name(source.name())));
        return Err(Error::file(
            format!("{} safetensors files", sources.len()),
            format!("{given}: no index beside them"),
        )
        .expected("one file, or all files of a model with model.safetensors.index.json"));
    };
    let is_there = |number: &u32| names.iter().flatten().any(|other| other.belongs_to(name) && other.number == *number);
    let missing: Vec<String> =
        (1..=name.count).filter(|number| !is_there(number)).map(|number| name.of_number(number)).collect();
    if !missing.is_empty() {
        return Err(Error::file(first.name(), format!("missing: {}", some_of(missing.iter().map(String::as_str))))
            .expected(format!("all {} files of the model", name.count))
            .advice(
                "Keep all files in one folder, with model.safetensors.index.json; in the page, choose all of them.",
            ));
    }
    if sources.len() != name.count as usize {
        let given = some_of(sources.iter().map(|source| file_name(source.name())));
        return Err(Error::file(format!("{} safetensors files", sources.len()), given)
            .expected(format!("the {} files of one model", name.count)));
    }
    Ok(())
}

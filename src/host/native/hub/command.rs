//! `headstart models`: what is in the cache, what is known to run, and how to get one and be rid of it.

use super::cache::{RepoCache, is_commit};
use super::elsewhere::stand_in;
use super::settings::Settings;
use super::{Pulled, bytes_of, pull, remove};
use crate::engine::ExecutorChoice;
use crate::error::{Error, Result};
use crate::format::part_name::{PartName, file_name};
use crate::host::hub::{CATALOGUE, Reference, Repo, Wanted, choose};
use crate::host::native::arguments::Cache;
use crate::host::native::tables::wide_table;
use crate::host::native::{Ending, choice, json, memory, write_out};
use clap::{Args, Subcommand};
use indicatif::{BinaryBytes, DecimalBytes, HumanDuration};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const EXAMPLES: &str = "\
A model is owner/name, owner/name:QUANT, owner/name/file.gguf, or an address: of a file's page on
the hub, or of any GGUF file. Any part of a split model means all of them.

The cache is the one that all of the hub's programs share: HF_HUB_CACHE, or hub in HF_HOME, or
~/.cache/huggingface/hub. HF_TOKEN opens what is not open to everyone, HF_ENDPOINT names another
hub, HF_HUB_OFFLINE=1 keeps to what is cached, and HF_HUB_DOWNLOAD_TIMEOUT is how many seconds a
server may be silent. A download that was cut off goes on where it ended; what arrives is held
against the hub's hash.

Examples:
  headstart models list --known -c 8192
  headstart models pull unsloth/DeepSeek-R1-Distill-Qwen-1.5B-GGUF:Q4_K_M
  headstart run -hf unsloth/DeepSeek-R1-Distill-Qwen-1.5B-GGUF:Q4_K_M -p 'Why is the sky blue?'
  headstart models rm unsloth/DeepSeek-R1-Distill-Qwen-1.5B-GGUF";

/// Models of huggingface.co: list, download and delete them.
#[derive(Debug, Args)]
#[command(max_term_width = 100, after_help = EXAMPLES)]
pub(in crate::host::native) struct Models {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the models in the cache, or those that are known to run
    List(List),
    /// Download models into the cache
    Pull(Pull),
    /// Delete models from the cache
    Rm(Remove),
}

#[derive(Debug, Args)]
struct List {
    /// Those known to run, with what they take, instead of those in the cache
    #[arg(long)]
    known: bool,
    /// Tokens of text to make room for
    #[arg(short, long = "ctx-size", value_name = "N", default_value_t = 4096, requires = "known", value_parser = clap::value_parser!(u32).range(1..))]
    ctx_size: u32,
    #[command(flatten)]
    cache: Cache,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Pull {
    /// Models, as -hf takes them
    #[arg(value_name = "MODEL", required = true)]
    models: Vec<String>,
    /// Print where each lies, for scripts: a line of standard output
    #[arg(long)]
    paths: bool,
}

#[derive(Debug, Args)]
struct Remove {
    /// Models: owner/name deletes all that is cached of it
    #[arg(value_name = "MODEL", required = true)]
    models: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// A model in the cache.
#[derive(Debug, Serialize)]
struct CachedModel {
    /// What `-hf` takes.
    model: String,
    bytes: u64,
    /// Whether all of it is there.
    complete: bool,
    /// When it was last read, in seconds since 1970.
    used_s: Option<u64>,
    path: PathBuf,
}

/// What a step computes with: no more in any of the models that are known.
const STEP_BYTES: u64 = 128 << 20;

/// A model of the catalogue, at a context.
#[derive(Debug, Serialize)]
struct Offer {
    name: &'static str,
    model: String,
    licence: &'static str,
    /// About those of the file.
    file_bytes: u64,
    n_context: u64,
    memory_bytes: u64,
    /// Whether that is free on the best adapter, and a layer's keys can be bound; nothing where no driver tells.
    fits: Option<bool>,
}

/// Carries out the command.
pub(in crate::host::native) fn models(arguments: &Models) -> Result<Ending> {
    match &arguments.action {
        Action::List(list) if list.known => known(list)?,
        Action::List(list) => cached(list)?,
        Action::Pull(wanted) => pull_all(wanted)?,
        Action::Rm(unwanted) => remove_all(unwanted)?,
    }
    Ok(Ending::Done)
}

fn pull_all(wanted: &Pull) -> Result<()> {
    let settings = Settings::from_env()?;
    for text in &wanted.models {
        let Pulled { path, bytes, fetched } = pull(&settings, &Reference::parse(text, &settings.hub)?)?;
        let what = if fetched > 0 { "is there now" } else { "was there already" };
        eprintln!("headstart: {text} {what}, {}: {}", DecimalBytes(bytes), path.display());
        if wanted.paths {
            write_out(format!("{}\n", path.display()).as_bytes())?;
        }
    }
    Ok(())
}

fn known(list: &List) -> Result<()> {
    let place = choice::all().swap_remove(0);
    let free = memory::free_bytes(&place);
    let binding = if let ExecutorChoice::Gpu(adapter) = &place { adapter.binding_bytes() } else { u64::MAX };
    let types = list.cache.types(&place);
    let offers: Vec<Offer> = CATALOGUE
        .iter()
        .map(|model| {
            let n_context = u64::from(list.ctx_size).min(model.shape.context_length().into());
            // Keys and values are as many, so bytes between theirs count them right.
            let needed = model.memory(n_context, (types.keys.bytes() + types.values.bytes()).div_ceil(2)).bytes();
            let longest = types.keys.bytes().max(types.values.bytes());
            let is_bound = model.shape.key_bytes(n_context, longest) <= binding;
            Offer {
                name: model.name,
                model: model.reference(),
                licence: model.licence,
                file_bytes: model.weight_bytes,
                n_context,
                memory_bytes: needed,
                fits: free.map(|free| is_bound && needed + STEP_BYTES <= free),
            }
        })
        .collect();
    if list.json {
        return write_out(json(&offers)?.as_bytes());
    }
    let told = free
        .map_or_else(|| "does not tell how much is free".to_owned(), |free| format!("has {} free", BinaryBytes(free)));
    eprintln!("headstart: {} {told}; sizes are about what they will be", choice::name(&place));
    let mut table = wide_table();
    table.set_header(["model", "-hf", "licence", "file", "tokens", "memory", "fits"]);
    table.add_rows(offers.iter().map(Offer::cells));
    write_out(format!("{table}\n").as_bytes())
}

impl Offer {
    fn cells(&self) -> [String; 7] {
        [
            self.name.to_owned(),
            self.model.clone(),
            self.licence.to_owned(),
            DecimalBytes(self.file_bytes).to_string(),
            self.n_context.to_string(),
            BinaryBytes(self.memory_bytes).to_string(),
            self.fits.map_or("?", |fits| if fits { "yes" } else { "no" }).to_owned(),
        ]
    }
}

fn cached(list: &List) -> Result<()> {
    let settings = Settings::from_env()?;
    let models = scan(&settings.cache);
    if list.json {
        return write_out(json(&models)?.as_bytes());
    }
    eprintln!("headstart: {} models in {}", models.len(), settings.shown_cache());
    if models.is_empty() {
        eprintln!("headstart: `headstart models list --known` shows what there is, `headstart models pull` gets one");
        return Ok(());
    }
    let mut table = wide_table();
    table.set_header(["model", "size", "complete", "used", "path"]);
    table.add_rows(models.iter().map(CachedModel::cells));
    write_out(format!("{table}\n").as_bytes())
}

impl CachedModel {
    fn cells(&self) -> [String; 5] {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let ago =
            |used: u64| format!("{} ago", HumanDuration(std::time::Duration::from_secs(now.saturating_sub(used))));
        [
            self.model.clone(),
            DecimalBytes(self.bytes).to_string(),
            if self.complete { "yes" } else { "no" }.to_owned(),
            self.used_s.map(ago).unwrap_or_default(),
            self.path.display().to_string(),
        ]
    }
}

/// The models in a cache, whole ones and begun ones, by name. What is no model or no hub's is left out.
fn scan(root: &Path) -> Vec<CachedModel> {
    let mut repos: Vec<Repo> = folders(root).iter().filter_map(|name| Repo::from_folder(name)).collect();
    repos.sort();
    repos.iter().flat_map(|repo| scan_repo(root, repo)).collect()
}

fn scan_repo(root: &Path, repo: &Repo) -> Vec<CachedModel> {
    let mut models = Vec::new();
    for commit in commits(root, repo) {
        let cache = RepoCache::new(root, repo, &commit);
        let listing = cache.listing(&commit);
        let mut seen = BTreeSet::new();
        for entry in listing.entries.iter().filter(|entry| is_model(&entry.path)) {
            let whole = choose(repo, &listing, &Wanted::File(entry.path.clone()));
            let (path, bytes, complete) = match &whole {
                Ok(choice) => (choice.path(), choice.bytes(), true),
                Err(_) => (entry.path.as_str(), entry.bytes, false),
            };
            if seen.insert(path.to_owned()) {
                let pointer = cache.pointer(&commit, path);
                let model = format!("{repo}/{path}");
                models.push(CachedModel { model, bytes, complete, used_s: used_s(&pointer), path: pointer });
            }
        }
    }
    let blobs = RepoCache::new(root, repo, "main").folder().join("blobs");
    for part in fs::read_dir(&blobs).into_iter().flatten().flatten() {
        let path = part.path();
        if path.extension().is_some_and(|extension| extension == "incomplete") {
            let bytes = bytes_of(&path).unwrap_or_default();
            models.push(CachedModel { model: repo.to_string(), bytes, complete: false, used_s: used_s(&path), path });
        }
    }
    models
}

/// The commits of which there is a folder.
pub(super) fn commits(root: &Path, repo: &Repo) -> Vec<String> {
    let mut commits = folders(&RepoCache::new(root, repo, "main").folder().join("snapshots"));
    commits.retain(|name| is_commit(name));
    commits.sort();
    commits
}

/// The names of the folders in a folder; links to folders are none.
fn folders(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn is_model(path: &str) -> bool {
    let name = file_name(path).to_ascii_lowercase();
    let is_shard = || PartName::parse(&name).is_some() && name.ends_with(".safetensors");
    name.ends_with(".gguf") || name == "model.safetensors" || name == "model.safetensors.index.json" || is_shard()
}

fn used_s(path: &Path) -> Option<u64> {
    let metadata = fs::metadata(path).ok()?;
    let used = [metadata.accessed(), metadata.modified()].into_iter().flatten().max()?;
    used.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

fn remove_all(unwanted: &Remove) -> Result<()> {
    let settings = Settings::from_env()?;
    for text in &unwanted.models {
        let (repo, wanted) = match Reference::parse(text, &settings.hub)? {
            Reference::Hub { repo, wanted, .. } => (repo, wanted),
            Reference::Url { url, name } => (stand_in(&url, &name)?, Wanted::Usual),
        };
        let plan = remove::plan(&settings.cache, &repo, &wanted)?;
        if !unwanted.yes && !confirmed(text, plan.bytes)? {
            eprintln!("headstart: nothing was deleted");
            continue;
        }
        plan.carry_out()?;
        eprintln!("headstart: deleted {text}, {}", DecimalBytes(plan.bytes));
    }
    Ok(())
}

/// Asks on the terminal.
fn confirmed(text: &str, bytes: u64) -> Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Error::usage(text, "there is no terminal to ask whether to delete it")
            .advice("--yes deletes without asking."));
    }
    eprint!("headstart: delete {text}, {}? [y/N] ", DecimalBytes(bytes));
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(|error| Error::io("stdin", error))?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        models: Models,
    }

    #[test]
    fn words_are_understood() {
        for (words, fine) in [
            ("list", true),
            ("list --known -c 100 --json", true),
            ("list -c 100", false),
            ("pull", false),
            ("pull a/b c/d:Q8_0", true),
            ("rm a/b --yes", true),
            ("rm", false),
            ("", false),
        ] {
            let line = Line::try_parse_from(std::iter::once("models").chain(words.split_whitespace()));
            assert_eq!(line.is_ok(), fine, "{words}");
        }
    }

    #[test]
    fn files_that_are_models_are_told_from_others() {
        for (path, is) in [
            ("m.gguf", true),
            ("d/model-00001-of-00002.safetensors", true),
            ("model.safetensors.index.json", true),
            ("config.json", false),
            ("adapter_model.bin", false),
        ] {
            assert_eq!(is_model(path), is, "{path}");
        }
    }
}

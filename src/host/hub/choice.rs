//! Which files of a repository make up the model that is wanted: a GGUF with all its parts, or safetensors with the JSON
//! files beside them.

use super::listing::{Entry, Listing};
use super::names::Repo;
use super::reference::{Wanted, is_gguf};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::format::part_name::{PartName, file_name};
use std::collections::HashMap;

/// Files of this kind stand beside models and are none.
const NO_MODELS: [&str; 6] = ["mmproj", "imatrix", "mtp-", "eagle3-", "dflash-", "dspark-"];
/// Files that stand beside safetensors: what they are, and how they are read. Only the first has to be there.
/// Of templates the first that is there counts.
pub const BESIDE: [&str; 10] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/default.jinja",
    "additional_chat_templates/tool_use.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
];
/// How many names a message lists.
const MOST_LISTED: usize = 24;

/// The files of one model. The first is the one to open; the others are found from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Never none.
    pub files: Vec<Entry>,
}

impl Choice {
    /// The path of the file to open.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.files[0].path
    }

    /// The bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add)
    }
}

/// Chooses the files of a model.
///
/// # Errors
/// `Usage` if there is no such file, quant or part, with those that there are.
pub fn choose(repo: &Repo, listing: &Listing, wanted: &Wanted) -> Result<Choice> {
    let shelf = Shelf::new(repo, listing);
    match wanted {
        Wanted::File(path) => shelf.file(path),
        Wanted::Quant(quant) => {
            let path = shelf.quantized(quant).ok_or_else(|| shelf.lacks(&format!("no GGUF file of format {quant}")))?;
            shelf.with_parts(path)
        }
        Wanted::Usual => shelf.usual(),
    }
}

struct Shelf<'a> {
    repo: &'a Repo,
    listing: &'a Listing,
    /// By path: a listing may name as many parts as it has files.
    entries: HashMap<&'a str, &'a Entry>,
}

impl<'a> Shelf<'a> {
    fn new(repo: &'a Repo, listing: &'a Listing) -> Self {
        let entries = listing.entries.iter().map(|entry| (entry.path.as_str(), entry)).collect();
        Self { repo, listing, entries }
    }

    fn entry(&self, path: &str) -> Option<&'a Entry> {
        self.entries.get(path).copied()
    }

    fn usual(&self) -> Result<Choice> {
        let models: Vec<&str> = self.models().collect();
        let usual = Format::WEIGHTS.into_iter().filter_map(|format| {
            let (place, names) = format.usual_names();
            Some((place, names.iter().find_map(|quant| self.quantized(quant))?))
        });
        if let Some((_, path)) = usual.min_by_key(|(place, _)| *place) {
            return self.with_parts(path);
        }
        match models.as_slice() {
            [] if self.entry("config.json").is_some() => self.safetensors("", None),
            [] if self.entry("adapter_config.json").is_some() => {
                Err(self.lacks("an adapter alone (PEFT)").advice("Take a model that it was merged into."))
            }
            [] => Err(self.lacks("no GGUF file, and no config.json with safetensors")),
            [only] => self.with_parts(only),
            _ => Err(self.lacks("several GGUF files, none of a usual format")),
        }
    }

    fn file(&self, path: &str) -> Result<Choice> {
        let lower = path.to_ascii_lowercase();
        let inside = format!("{}/", path.trim_end_matches('/'));
        if self.entry(path).is_none() && self.entries.keys().any(|other| other.starts_with(&inside)) {
            self.folder(&inside)
        } else if self.entry(path).is_none() {
            Err(self.lacks(&format!("no file {path}")))
        } else if is_gguf(path) {
            self.with_parts(path)
        } else if lower.ends_with(".safetensors") || lower.ends_with(".safetensors.index.json") {
            let name = file_name(path);
            if name.starts_with("consolidated") {
                return Err(Error::usage(
                    format!("{}, {path}", self.repo),
                    "weights under the names of their makers' own program",
                )
                .expected("those under the names of transformers, which stand beside them")
                .advice("Ask for the repository without naming a file."));
            }
            let is_one = lower.ends_with(".safetensors") && PartName::parse(name).is_none();
            self.safetensors(folder_of(path), self.entry(path).filter(|_| is_one))
        } else {
            Err(Error::usage(format!("{}, {path}", self.repo), "no model").expected("a .gguf or .safetensors file"))
        }
    }

    /// The one model of a folder, whose name ends in `/`.
    fn folder(&self, folder: &str) -> Result<Choice> {
        let entries = self.listing.entries.iter().filter(|entry| entry.path.starts_with(folder)).cloned().collect();
        let listing = Listing { entries, n_refused: self.listing.n_refused };
        let shelf = Shelf::new(self.repo, &listing);
        match shelf.models().next() {
            Some(_) => shelf.usual(),
            None => self.safetensors(folder, None),
        }
    }

    /// The GGUF files that are models, each model's first part alone.
    fn models(&self) -> impl Iterator<Item = &'a str> {
        let paths = self.listing.entries.iter().map(|entry| entry.path.as_str());
        paths.filter(|path| {
            let name = file_name(path).to_ascii_lowercase();
            is_gguf(path) && !stands_beside(&name) && PartName::parse(path).is_none_or(|part| part.number == 1)
        })
    }

    /// The GGUF file whose name ends in the format's, before its numbers, else has it in the middle, else stands in a
    /// folder named after it: the one with the shortest path.
    fn quantized(&self, quant: &str) -> Option<&'a str> {
        let quant = quant.to_ascii_lowercase();
        // In `Q4_K_M`, neither `K_M` nor `M` is a format that could stand after the `_`.
        let is_whole =
            quant.starts_with(|c: char| c.is_ascii_alphabetic()) && quant.contains(|c: char| c.is_ascii_digit());
        let is_end = |rest: &str| rest.is_empty() || rest.ends_with(['-', '.']) || is_whole && rest.ends_with('_');
        let ends = |stem: &str| stem.strip_suffix(&quant).is_some_and(is_end);
        let has = |text: &str| {
            text.match_indices(&quant).any(|(at, _)| is_end(&text[..at]) && is_begin(&text[at + quant.len()..]))
        };
        let stem = |path: &str| {
            let name = file_name(path);
            let part = PartName::parse(name).map(|part| part.stem);
            part.unwrap_or_else(|| name[..name.len() - ".gguf".len()].to_owned()).to_ascii_lowercase()
        };
        let in_folder = |path: &str| folder_of(path).to_ascii_lowercase().split('/').any(has);
        let ways: [&dyn Fn(&str) -> bool; 3] = [&|path| ends(&stem(path)), &|path| has(&stem(path)), &in_folder];
        let shortest = |fits: &&dyn Fn(&str) -> bool| {
            self.models().filter(|path| fits(path)).min_by_key(|path| (path.len(), *path))
        };
        ways.iter().find_map(shortest)
    }

    /// A GGUF file with the others that the model was split into; all have to be there.
    fn with_parts(&self, path: &str) -> Result<Choice> {
        let files = match PartName::parse(path) {
            None => self.entry(path).into_iter().cloned().collect(),
            Some(part) => self.parts(folder_of(path), &part)?,
        };
        Ok(Choice { files })
    }

    fn parts(&self, folder: &str, part: &PartName) -> Result<Vec<Entry>> {
        let paths = (1..=part.count).map(|number| format!("{folder}{}", part.of_number(number)));
        let found: Vec<Entry> = paths.map_while(|path| self.entry(&path).cloned()).collect();
        if found.len() as u64 == u64::from(part.count) {
            return Ok(found);
        }
        let missing = part.of_number(found.len() as u32 + 1);
        Err(self.lacks(&format!("no {folder}{missing}, one of {} parts", part.count)))
    }

    /// The safetensors of a folder, which ends in `/` or is the root: the one file that is named, or the usual one, or an
    /// index with all its parts.
    fn safetensors(&self, folder: &str, named: Option<&Entry>) -> Result<Choice> {
        let at = |name: &str| self.entry(&format!("{folder}{name}"));
        let config =
            at(BESIDE[0]).ok_or_else(|| self.lacks(&format!("no {folder}config.json beside the safetensors")))?;
        let mut files: Vec<Entry> = match (named.or(at("model.safetensors")), at("model.safetensors.index.json")) {
            (Some(only), _) => vec![only.clone()],
            (None, Some(index)) => {
                let paths = self.listing.entries.iter().filter_map(|entry| entry.path.strip_prefix(folder));
                let parts = paths
                    .filter(|name| name.ends_with(".safetensors") && !name.contains('/'))
                    .filter_map(PartName::parse);
                // Some are called `model.safetensors-00001-of-00014.safetensors`; others of a file are its makers' own.
                let part = parts.min_by_key(|part| (part.stem != "model", part.stem == "consolidated", part.number));
                let part = part.ok_or_else(|| self.lacks("an index of safetensors without its parts"))?;
                [vec![index.clone()], self.parts(folder, &part)?].concat()
            }
            (None, None) => {
                let is_here = |name: &str| {
                    name.ends_with(".safetensors") && !name.contains('/') && !stands_beside(&name.to_ascii_lowercase())
                };
                let is_one = |entry: &&Entry| entry.path.strip_prefix(folder).is_some_and(is_here);
                let mut others = self.listing.entries.iter().filter(is_one);
                match (others.next(), others.next()) {
                    (Some(only), None) => vec![only.clone()],
                    _ => return Err(self.lacks(&format!("no {folder}model.safetensors, nor an index of its parts"))),
                }
            }
        };
        files.push(config.clone());
        files.extend(BESIDE[1..].iter().filter_map(|name| at(name)).cloned());
        Ok(Choice { files })
    }

    /// That something is not there, with what is.
    fn lacks(&self, found: &str) -> Error {
        let mut models: Vec<&str> = self.models().collect();
        models.sort_unstable();
        let n_more = models.len().saturating_sub(MOST_LISTED);
        models.truncate(MOST_LISTED);
        let error = Error::usage(format!("repository {}", self.repo), found);
        let error = match (models.is_empty(), n_more) {
            (true, _) => error,
            (false, 0) => error.expected(format!("one of {}", models.join(", "))),
            (false, _) => error.expected(format!("one of {} and {n_more} more", models.join(", "))),
        };
        match self.listing.n_refused {
            0 => error,
            n => error.advice(format!("{n} of its files were left out, because their paths lead elsewhere.")),
        }
    }
}

/// Whether a file of that name, in small letters, stands beside a model and is none.
#[must_use]
pub fn stands_beside(name: &str) -> bool {
    NO_MODELS.iter().any(|other| name.contains(other))
}

/// Whether what stands behind a format's name is no part of it: in `Q4_K_M`, `Q4_K` is not the format.
fn is_begin(rest: &str) -> bool {
    const GOES_ON: [&str; 13] = ["0", "1", "2", "3", "4", "k", "s", "m", "l", "xs", "xxs", "xl", "nl"];
    match rest.strip_prefix('_') {
        Some(rest) => !GOES_ON.contains(&rest.split(['_', '-', '.']).next().unwrap_or_default()),
        None => rest.is_empty() || rest.starts_with(['-', '.']),
    }
}

/// The folder of a path: empty, or with its `/`.
fn folder_of(path: &str) -> &str {
    path.rfind('/').map_or("", |at| &path[..=at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(paths: &[&str], wanted: &Wanted) -> Result<Vec<String>> {
        let entry = |path: &&str| Entry { path: (*path).to_owned(), bytes: 1, sha256: None, blob: None };
        let listing = Listing { entries: paths.iter().map(entry).collect(), n_refused: 2 };
        let choice = choose(&Repo::parse("o/n")?, &listing, wanted)?;
        assert_eq!(choice.bytes(), choice.files.len() as u64);
        Ok(choice.files.into_iter().map(|file| file.path).collect())
    }

    fn quant(name: &str) -> Wanted {
        Wanted::Quant(name.to_owned())
    }

    fn file(path: &str) -> Wanted {
        Wanted::File(path.to_owned())
    }

    #[test]
    fn the_usual_one_is_q4_k_m_and_else_what_runs() -> Result<()> {
        let all =
            ["README.md", "m-BF16.gguf", "m-Q4_K_M.gguf", "m-Q8_0.gguf", "mmproj-Q4_K_M.gguf", "m-UD-Q4_K_M.gguf"];
        assert_eq!(pick(&all, &Wanted::Usual)?, ["m-Q4_K_M.gguf"]);
        assert_eq!(pick(&["m.IQ2_M.gguf", "m.q8_0.gguf", "m.f16.gguf"], &Wanted::Usual)?, ["m.q8_0.gguf"]);
        assert_eq!(pick(&["tiny.gguf"], &Wanted::Usual)?, ["tiny.gguf"]);
        let error = pick(&["a.gguf", "b.gguf"], &Wanted::Usual).expect_err("neither is usual").to_string();
        assert!(error.contains("a.gguf, b.gguf") && error.contains("2 of its files"), "{error}");
        assert!(pick(&["README.md"], &Wanted::Usual).is_err());
        let adapter = ["adapter_config.json", "adapter_model.safetensors"];
        let error = pick(&adapter, &Wanted::Usual).expect_err("no model").to_string();
        assert!(error.contains("an adapter alone (PEFT)"), "{error}");
        Ok(())
    }

    #[test]
    fn what_runs_and_is_usual_has_a_place_of_its_own() {
        let mut places: Vec<(u8, &[&str])> = Format::WEIGHTS.map(Format::usual_names).into();
        places.retain(|(_, names)| !names.is_empty());
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[0].0 < pair[1].0), "{places:?}");
        let all: Vec<String> =
            places.iter().flat_map(|(_, names)| *names).map(|name| format!("m-{name}.gguf")).collect();
        for (index, wanted) in all.iter().enumerate() {
            let left: Vec<&str> = all[index..].iter().map(String::as_str).collect();
            assert_eq!(pick(&left, &Wanted::Usual).expect("one of them"), [wanted.as_str()]);
        }
    }

    #[test]
    fn a_quant_is_the_end_of_a_name() -> Result<()> {
        let all = [
            "m-Q4_K_M.gguf",
            "m-IQ4_XS.gguf",
            "m-UD-Q4_K_XL.gguf",
            "sub/Q8_0/m-Q8_0-00001-of-00002.gguf",
            "sub/Q8_0/m-Q8_0-00002-of-00002.gguf",
            "Q6_K.gguf",
            "m_bf16.gguf",
        ];
        assert_eq!(pick(&all, &quant("q4_k_m"))?, ["m-Q4_K_M.gguf"]);
        assert_eq!(pick(&all, &quant("ud-q4_k_xl"))?, ["m-UD-Q4_K_XL.gguf"]);
        assert_eq!(pick(&all, &quant("Q4_K_XL"))?, ["m-UD-Q4_K_XL.gguf"]);
        assert_eq!(pick(&all, &quant("Q8_0"))?, all[3..5]);
        assert_eq!(pick(&all, &quant("Q6_K"))?, ["Q6_K.gguf"]);
        assert_eq!(pick(&all, &quant("BF16"))?, ["m_bf16.gguf"]);
        for absent in ["Q4_K", "K_M", "XS", "0", "Q2_K"] {
            assert!(pick(&all, &quant(absent)).is_err(), "{absent}");
        }
        Ok(())
    }

    #[test]
    fn a_quant_may_stand_in_the_middle_or_be_a_folder() -> Result<()> {
        let all = ["m-Q4_K_M-imat.gguf", "m.q8_0.imat.gguf", "Q5_K_M/m-00001-of-00001.gguf", "m_IQ4_XS_v2.gguf"];
        assert_eq!(pick(&all, &Wanted::Usual)?, all[..1]);
        for (name, at) in [("Q4_K_M", 0), ("Q8_0", 1), ("q5_k_m", 2), ("IQ4_XS", 3)] {
            assert_eq!(pick(&all, &quant(name))?, all[at..=at], "{name}");
        }
        for absent in ["Q4_K", "Q4", "Q8", "Q5_K", "IQ4"] {
            assert!(pick(&all, &quant(absent)).is_err(), "{absent}");
        }
        assert_eq!(pick(&all, &file("Q5_K_M"))?, all[2..3]);
        assert_eq!(pick(&["m-Q8_0-x.gguf", "longer-m-Q8_0.gguf"], &quant("Q8_0"))?, ["longer-m-Q8_0.gguf"]);
        Ok(())
    }

    #[test]
    fn all_parts_have_to_be_there() {
        let all = ["m-00001-of-00003.gguf", "m-00003-of-00003.gguf", "m-00002-of-00003.gguf"];
        let whole = ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"];
        assert_eq!(pick(&all, &file("m-00002-of-00003.gguf")).expect("all parts"), whole);
        assert_eq!(pick(&all, &Wanted::Usual).expect("all parts"), whole);
        let error = pick(&all[..2], &Wanted::Usual).expect_err("one is missing").to_string();
        assert!(error.contains("no m-00002-of-00003.gguf, one of 3 parts"), "{error}");
        // A count that no repository has costs nothing.
        assert!(pick(&["m-00001-of-99999.gguf"], &Wanted::Usual).is_err());
    }

    #[test]
    fn safetensors_come_with_what_stands_beside_them() -> Result<()> {
        let one = ["model.safetensors", "config.json", "tokenizer.json", "pytorch_model.bin", "generation_config.json"];
        let chosen = ["model.safetensors", "config.json", "tokenizer.json", "generation_config.json"];
        assert_eq!(pick(&one, &Wanted::Usual)?, chosen);
        assert_eq!(pick(&one, &file("model.safetensors"))?, chosen);
        assert!(pick(&one, &quant("Q4_K_M")).is_err() && pick(&one, &file("pytorch_model.bin")).is_err());

        let another = ["x.fp16.safetensors", "config.json", "d/y.safetensors"];
        assert_eq!(pick(&another, &Wanted::Usual)?, another[..2]);
        let two = ["x.safetensors", "y.safetensors", "config.json", "model.safetensors", "consolidated.safetensors"];
        assert!(pick(&two[..3], &Wanted::Usual).is_err(), "which of them?");
        assert_eq!(pick(&two, &file("y.safetensors"))?, two[1..3]);
        let error = pick(&two, &file("consolidated.safetensors")).expect_err("other names").to_string();
        assert!(error.contains("without naming a file"), "{error}");

        let index = "d/model.safetensors.index.json";
        let [first, second] = ["d/model-00001-of-00002.safetensors", "d/model-00002-of-00002.safetensors"];
        let many = [second, first, index, "d/config.json", "config.json"];
        assert_eq!(pick(&many, &file(second))?, [index, first, second, "d/config.json"]);
        assert!(pick(&[first, index, "d/config.json"], &file(index)).is_err(), "a part is missing");
        let index = "model.safetensors.index.json";
        let [first, second] = ["1", "2"].map(|n| format!("model.safetensors-0000{n}-of-00002.safetensors"));
        let odd = ["consolidated-00001-of-00009.safetensors", &second, &first, index, "config.json"];
        assert_eq!(pick(&odd, &Wanted::Usual)?, [index, &first, &second, "config.json"]);
        assert!(pick(&[index, "d/config.json"], &file(index)).is_err(), "all parts are missing");
        assert!(pick(&["model.safetensors"], &file("model.safetensors")).is_err(), "config.json is missing");
        Ok(())
    }
}

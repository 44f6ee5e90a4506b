//! A vocabulary from Hugging Face's `tokenizer.json`. The file may describe a whole pipeline; what we run is
//! byte-level BPE behind splits at regexes, or SentencePiece by merging with byte fallback, so whatever else would
//! change the ids is refused by name. Of its post-processor only the tokens before a text are read, as texts are gone on
//! from; its decoder is not, as what a token writes follows from the scheme.

use super::pre_tokenizer::{OwnSplit, OwnStep, PreTokenizer, Words};
use super::sentence_piece::{SPACE, SpacePrefix, byte_of};
use super::tokenizer_config::Added;
use super::vocabulary::{Kind, MAX_TOKENS, Scheme, SpecialIds, Token, Vocabulary, quote, split_merge};
use crate::error::{Error, Result};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;
use tokenizers::SplitDelimiterBehavior as Behavior;
use tokenizers::models::bpe::Vocab as Ids;

const ORIGIN: &str = "tokenizer.json";
/// More tokens before a text no file has.
const MOST_BEGINS: usize = 8;
/// No token has this id.
const NONE: u32 = u32::MAX;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: Option<Normalizer>,
    #[serde(default)]
    pre_tokenizer: Option<Step>,
    #[serde(default)]
    post_processor: Value,
    model: Model,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    special: bool,
    #[serde(default)]
    normalized: bool,
}

/// A step of the pre-tokenizer.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum Step {
    Sequence {
        pretokenizers: Vec<Step>,
    },
    Split {
        pattern: Pattern,
        behavior: Behavior,
        #[serde(default)]
        invert: bool,
    },
    Digits {
        individual_digits: bool,
    },
    Punctuation {
        #[serde(default = "isolated")]
        behavior: Behavior,
    },
    Whitespace,
    WhitespaceSplit,
    CharDelimiterSplit {
        delimiter: char,
    },
    ByteLevel {
        add_prefix_space: bool,
        /// Files that are older than the option mean yes.
        #[serde(default = "yes")]
        use_regex: bool,
    },
    Metaspace {
        replacement: char,
        #[serde(default)]
        prepend_scheme: Option<String>,
        #[serde(default = "yes")]
        split: bool,
    },
}

fn yes() -> bool {
    true
}

fn bpe() -> String {
    "BPE".to_owned()
}

fn isolated() -> Behavior {
    Behavior::Isolated
}

/// A step of the normalizer.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum Normalizer {
    Sequence {
        normalizers: Vec<Normalizer>,
    },
    #[serde(rename = "NFC")]
    Nfc,
    Prepend {
        prepend: String,
    },
    Replace {
        pattern: Pattern,
        content: String,
    },
}

/// What to look for: a regex or a plain text.
#[derive(Deserialize)]
enum Pattern {
    Regex(String),
    String(String),
}

#[derive(Deserialize)]
struct Model {
    /// The oldest files have none.
    #[serde(rename = "type", default = "bpe")]
    kind: String,
    vocab: Vocab,
    merges: Vec<Merge>,
    /// The options that change the ids and are in no model of the families; each must be off.
    #[serde(default)]
    dropout: Value,
    #[serde(default)]
    continuing_subword_prefix: Value,
    #[serde(default)]
    end_of_word_suffix: Value,
    /// SentencePiece.
    #[serde(default)]
    byte_fallback: bool,
    /// What stands for text that cannot be spelt, and whether one does for several characters of it.
    #[serde(default)]
    unk_token: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    ignore_merges: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

/// The object {token: id} in its own order, with its duplicates: a map would drop them unseen.
struct Vocab(Vec<(String, u32)>);

impl<'de> Deserialize<'de> for Vocab {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Vocab;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tokens and their ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocab, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Vocab(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Reads a `tokenizer.json`. Which ids begin and end a document is not in it but in the files beside it, and so may be
/// tokens that were added.
pub(super) fn read(json: &str, special: SpecialIds, beside: &[Added]) -> Result<Vocabulary> {
    let file: File = serde_json::from_str(json).map_err(|error| {
        if let Some(kind) = other_kind(json) {
            return not_bpe(&kind);
        }
        Error::file(ORIGIN, format!("cannot be read: {}", quote(&error.to_string())))
            .expected("a BPE tokenizer of the tokenizers library")
    })?;
    refuse_unsupported(&file)?;
    let mut around = Around::default();
    around.read(&file.post_processor);
    let scheme = read_scheme(&file.model, file.normalizer, file.pre_tokenizer)?;
    let mut tokens = Vec::new();
    // An added token that the vocabulary has keeps that id, whatever else it is listed under.
    let mut ids: Ids = file.added_tokens.iter().map(|added| (added.content.clone(), NONE)).collect();
    for (text, id) in file.model.vocab.0 {
        if let Some(known) = ids.get_mut(&text) {
            *known = id;
        }
        let byte = byte_of(&text).filter(|_| file.model.byte_fallback);
        place(&mut tokens, id, Token::new(text, byte.map_or(Kind::Normal, Kind::Byte)))?;
    }
    for added in file.added_tokens {
        let AddedToken { id, content, single_word, lstrip, rstrip, special, normalized } = added;
        let known = ids.get(&content).copied().filter(|known| *known != NONE).unwrap_or(id);
        ids.insert(content.clone(), known);
        let id = known;
        place(
            &mut tokens,
            id,
            Added { id, content, special, lstrip, rstrip, single_word, normalized, is_bare: false }.token(),
        )?;
    }
    let mut notices = add(&mut tokens, beside)?;
    if let Some(ends) = around.after.first() {
        notices.push(format!(
            "{ORIGIN}: texts should end with {}, and are gone on from here: it is left out",
            quote(ends)
        ));
    }
    // Files that were made from a `merges.txt` may have its first line.
    let is_heading = |merge: &Merge| matches!(merge, Merge::Line(line) if line.starts_with("#version"));
    let merges = file.model.merges.into_iter().filter(|merge| !is_heading(merge));
    let read_merge =
        |(index, merge)| match merge {
            Merge::Pair(a, b) => Ok((a, b)),
            Merge::Line(line) => match split_merge(&line) {
                Some((a, b)) => Ok((a.to_owned(), b.to_owned())),
                None => Err(Error::file(ORIGIN, format!("merge {index} is {}", quote(&line)))
                    .expected("two tokens and one space")),
            },
        };
    let begins = around.begins(&tokens);
    let special = match begins.first() {
        Some(&bos) => SpecialIds { bos: Some(bos), add_bos: true, ..special },
        None => special,
    };
    Ok(Vocabulary {
        begins,
        unknown: file.model.unk_token.map(|token| (token, file.model.fuse_unk)),
        notices,
        origin: ORIGIN,
        tokens,
        merges: merges.enumerate().map(read_merge).collect::<Result<_>>()?,
        scheme,
        special,
    })
}

/// Takes tokens that the files beside name; what they say of one that is here, too, counts, as in transformers. One whose
/// id means something else is passed over.
fn add(tokens: &mut Vec<Option<Token>>, beside: &[Added]) -> Result<Vec<String>> {
    let mut notices = Vec::new();
    for added in beside {
        let at = tokens.get(added.id as usize).and_then(Option::as_ref);
        if added.is_bare && at.is_some_and(|token| token.kind != Kind::Normal && token.text == added.content) {
            continue;
        }
        match at.map(|token| token.text.as_str()).filter(|text| *text != added.content) {
            Some(text) => notices.push(format!(
                "tokenizer_config.json: the token {} has the id {}, which is that of {} in {ORIGIN}: it is passed over",
                quote(&added.content),
                added.id,
                quote(text)
            )),
            None => place(tokens, added.id, added.token())?,
        }
    }
    Ok(notices)
}

/// The type of a model that is none of ours.
fn other_kind(json: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Outline {
        model: Kind,
    }
    #[derive(Deserialize)]
    struct Kind {
        r#type: String,
    }
    let Outline { model } = serde_json::from_str(json).ok()?;
    Some(model.r#type).filter(|kind| kind != "BPE")
}

fn not_bpe(kind: &str) -> Error {
    Error::file(ORIGIN, format!("a model of type {}", quote(kind))).expected("BPE")
}

/// What the post-processor puts before and behind every text: tokens by their ids where it has them, or by their texts.
#[derive(Default)]
struct Around<'a> {
    before: Vec<&'a Value>,
    after: Vec<&'a str>,
}

impl<'a> Around<'a> {
    fn read(&mut self, post_processor: &'a Value) {
        let list = |key: &str| post_processor[key].as_array().into_iter().flatten();
        match post_processor["type"].as_str() {
            Some("TemplateProcessing") => {
                let mut is_before = true;
                for item in list("single") {
                    let name = &item["SpecialToken"]["id"];
                    let ids = name.as_str().and_then(|name| post_processor["special_tokens"][name]["ids"].as_array());
                    match name.as_str() {
                        Some(_) if is_before => self.before.extend(ids.map_or(vec![name], |ids| ids.iter().collect())),
                        Some(token) => self.after.push(token),
                        None => is_before = false,
                    }
                }
            }
            Some("RobertaProcessing" | "BertProcessing") => {
                self.before.push(&post_processor["cls"][1]);
                self.after.extend(post_processor["sep"][0].as_str());
            }
            Some("Sequence") => list("processors").for_each(|processor| self.read(processor)),
            _ => {}
        }
    }

    /// The ids before a text; none where one of them is no token.
    fn begins(&self, tokens: &[Option<Token>]) -> Vec<u32> {
        let is = |token: &Option<Token>, text: &str| token.as_ref().is_some_and(|token| token.text == text);
        let of_text = |text: &str| (0..).zip(tokens).find(|(_, token)| is(token, text)).map(|(id, _)| id);
        let has = |id: &u32| tokens.get(*id as usize).is_some_and(Option::is_some);
        let id = |begin: &&Value| match begin.as_str() {
            Some(text) => of_text(text),
            None => begin.as_u64().and_then(|id| u32::try_from(id).ok()).filter(has),
        };
        self.before.iter().take(MOST_BEGINS).map(id).collect::<Option<_>>().unwrap_or_default()
    }
}

/// How the pipeline makes pieces that are merged: one of the two ways that are known.
fn read_scheme(model: &Model, normalizer: Option<Normalizer>, steps: Option<Step>) -> Result<Scheme> {
    let mut normalizers = Vec::new();
    flatten_normalizer(normalizer, &mut normalizers);
    let mut flat = Vec::new();
    flatten(steps, &mut flat);
    // Where bytes are spelt, nothing is left to fall back to.
    if model.byte_fallback && !flat.iter().any(|step| matches!(step, Step::ByteLevel { .. })) {
        return read_sentence_piece(&normalizers, flat);
    }
    let composes = match normalizers[..] {
        [] => false,
        [Normalizer::Nfc] => true,
        _ => return Err(unknown("normalizer", "none or NFC for byte-level BPE; SentencePiece has byte_fallback")),
    };
    let words = read_words(flat)?;
    Ok(Scheme::ByteLevel { words, whole_words: model.ignore_merges, composes })
}

fn unknown(part: &str, expected: &str) -> Error {
    Error::file(format!("{ORIGIN}: {part}"), "steps of other kinds").expected(expected)
}

/// Where SentencePiece puts a space before words, and what is cut beside.
fn read_sentence_piece(normalizers: &[Normalizer], mut steps: Vec<Step>) -> Result<Scheme> {
    let wrong = || unknown("normalizer and pre_tokenizer", "spaces that become ▁, by Replace or by Metaspace at last");
    let mark = SPACE.to_string();
    let marks = |step: &Normalizer| matches!(step, Normalizer::Replace { pattern: Pattern::String(from), content } if from == " " && *content == mark);
    let prepends = |step: &Normalizer| matches!(step, Normalizer::Prepend { prepend } if *prepend == mark);
    let (prefix, splits_words) = match normalizers {
        [replace] if marks(replace) => (SpacePrefix::Never, false),
        [prepend, replace] if prepends(prepend) && marks(replace) => (SpacePrefix::Always, false),
        [] => match steps.pop() {
            Some(Step::Metaspace { replacement: SPACE, prepend_scheme, split }) => {
                let prefix = match prepend_scheme.as_deref().unwrap_or("always") {
                    "always" => SpacePrefix::UnlessThere,
                    "first" => SpacePrefix::FirstUnlessThere,
                    "never" => SpacePrefix::Unmarked,
                    other => {
                        let found = format!("the unknown prepend_scheme {}", quote(other));
                        return Err(Error::file(ORIGIN, found).expected("always, first or never"));
                    }
                };
                (prefix, split)
            }
            _ => return Err(wrong()),
        },
        _ => return Err(wrong()),
    };
    if !normalizers.is_empty() {
        // No space is left to split at: Gemma's file asks for it all the same.
        steps.retain(|step| !matches!(step, Step::Split { pattern: Pattern::String(text), .. } if text == " "));
    }
    let splits = steps.into_iter().map(|step| read_split(step).ok_or_else(wrong)).collect::<Result<_>>()?;
    Ok(Scheme::SentencePiece { prefix, splits, splits_words })
}

/// Puts a token where its id says. An added token may repeat one of the model's under the same id.
fn place(tokens: &mut Vec<Option<Token>>, id: u32, token: Token) -> Result<()> {
    if id >= MAX_TOKENS {
        return Err(Error::file(ORIGIN, format!("{} has the id {id}", quote(&token.text)))
            .expected(format!("ids below {MAX_TOKENS}")));
    }
    let index = id as usize;
    if index >= tokens.len() {
        tokens.resize(index + 1, None);
    }
    if let Some(other) = tokens[index]
        .as_ref()
        .filter(|other| other.text != token.text || !matches!(token.kind, Kind::Added | Kind::Control))
    {
        let found = format!("the id {id} names both {} and {}", quote(&other.text), quote(&token.text));
        return Err(Error::file(ORIGIN, found).expected("every id once"));
    }
    tokens[index] = Some(token);
    Ok(())
}

/// The steps, in order, of which one spells bytes.
fn read_words(steps: Vec<Step>) -> Result<Words> {
    let wrong = || unknown("pre_tokenizer", "splits at regexes, texts, digits or punctuation, and one ByteLevel");
    let mut own = Vec::new();
    let mut is_spelt = false;
    for step in steps {
        match step {
            Step::ByteLevel { add_prefix_space, use_regex } if !is_spelt => {
                own.extend(add_prefix_space.then_some(OwnStep::PrefixSpace));
                // Without any, a text is one piece, and merging goes over word ends: some tokenizers are made like that.
                own.extend(use_regex.then(|| OwnStep::Split(OwnSplit::isolated(PreTokenizer::byte_map_pattern()))));
                own.push(OwnStep::Bytes);
                is_spelt = true;
            }
            // Behind the byte map, splits look at what it wrote.
            step => own.push(OwnStep::Split(read_split(step).ok_or_else(wrong)?)),
        }
    }
    if is_spelt { Ok(Words::of(own)) } else { Err(wrong()) }
}

/// A step that cuts, if it is one.
fn read_split(step: Step) -> Option<OwnSplit> {
    Some(match step {
        Step::Split { pattern, behavior, invert } => {
            let pattern = match pattern {
                Pattern::Regex(regex) => regex,
                Pattern::String(text) => regex::escape(&text),
            };
            OwnSplit { pattern, behavior, inverts: invert }
        }
        Step::Digits { individual_digits: true } => OwnSplit::isolated(r"\p{N}"),
        Step::Digits { individual_digits: false } => OwnSplit::isolated(r"\p{N}+"),
        Step::Punctuation { behavior } => OwnSplit { behavior, ..OwnSplit::isolated(r"[\p{P}!-/:-@\[-`{-~]") },
        Step::Whitespace => {
            OwnSplit { behavior: Behavior::Removed, inverts: true, ..OwnSplit::isolated(r"\w+|[^\w\s]+") }
        }
        Step::WhitespaceSplit => OwnSplit { behavior: Behavior::Removed, ..OwnSplit::isolated(r"\s") },
        Step::CharDelimiterSplit { delimiter } => {
            let pattern = regex::escape(&delimiter.to_string());
            OwnSplit { behavior: Behavior::Removed, ..OwnSplit::isolated(&pattern) }
        }
        Step::Sequence { .. } | Step::ByteLevel { .. } | Step::Metaspace { .. } => return None,
    })
}

/// The steps without the sequences that hold them. The depth is bounded by the JSON reader's.
fn flatten(step: Option<Step>, steps: &mut Vec<Step>) {
    match step {
        Some(Step::Sequence { pretokenizers }) => {
            pretokenizers.into_iter().for_each(|inner| flatten(Some(inner), steps));
        }
        step => steps.extend(step),
    }
}

/// As [`flatten`].
fn flatten_normalizer(step: Option<Normalizer>, steps: &mut Vec<Normalizer>) {
    match step {
        Some(Normalizer::Sequence { normalizers }) => {
            normalizers.into_iter().for_each(|inner| flatten_normalizer(Some(inner), steps));
        }
        step => steps.extend(step),
    }
}

fn refuse_unsupported(file: &File) -> Result<()> {
    let model = &file.model;
    if model.kind != "BPE" {
        return Err(not_bpe(&model.kind));
    }
    let options = [
        ("model.dropout", is_on(&model.dropout)),
        ("model.continuing_subword_prefix", is_on(&model.continuing_subword_prefix)),
        ("model.end_of_word_suffix", is_on(&model.end_of_word_suffix)),
    ];
    match options.iter().find(|(_, on)| *on) {
        Some((option, _)) => Err(Error::file(ORIGIN, format!("{option} is in use")).expected("plain BPE")),
        None => Ok(()),
    }
}

fn is_on(option: &Value) -> bool {
    !matches!(option, Value::Null | Value::Bool(false)) && option.as_str() != Some("") && option.as_f64() != Some(0.0)
}

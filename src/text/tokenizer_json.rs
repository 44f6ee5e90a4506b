//! A vocabulary from Hugging Face's `tokenizer.json`. The file may describe a whole pipeline; what we run is
//! byte-level BPE behind a known cut into words, so whatever else would change the ids is refused by name.
//! Its post-processor and decoder are not read: begin tokens follow [`SpecialIds`], and decoding is the byte map's.

use super::pre_tokenizer::PreTokenizer;
use super::vocabulary::{Kind, MAX_TOKENS, SpecialIds, Token, Vocabulary, quote, split_merge};
use crate::error::{Error, Result};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;

const ORIGIN: &str = "tokenizer.json";

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: Value,
    pre_tokenizer: Step,
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
}

/// A step of the pre-tokenizer.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum Step {
    Sequence { pretokenizers: Vec<Step> },
    Split { pattern: Pattern, behavior: String, invert: bool },
    ByteLevel { add_prefix_space: bool, use_regex: bool },
}

/// Where to split: at a regex or at a plain text, the latter refused.
#[derive(Deserialize)]
enum Pattern {
    Regex(String),
    String(de::IgnoredAny),
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: String,
    vocab: Vocab,
    merges: Vec<Merge>,
    /// The options that change the ids of byte-level BPE; each must be off.
    #[serde(default)]
    dropout: Value,
    #[serde(default)]
    continuing_subword_prefix: Value,
    #[serde(default)]
    end_of_word_suffix: Value,
    #[serde(default)]
    byte_fallback: Value,
    #[serde(default)]
    ignore_merges: Value,
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

/// Reads a `tokenizer.json`. Which ids begin and end a document is not in it but in the files beside it.
pub(super) fn read(json: &str, special: SpecialIds) -> Result<Vocabulary> {
    let file: File = serde_json::from_str(json).map_err(|error| {
        Error::file(ORIGIN, format!("cannot be read: {}", quote(&error.to_string())))
            .expected("a byte-level BPE tokenizer of the tokenizers library")
    })?;
    refuse_unsupported(&file)?;
    let pre_tokenizer = PreTokenizer::with_patterns(&read_patterns(file.pre_tokenizer)?)?;
    let mut tokens = Vec::new();
    for (text, id) in file.model.vocab.0 {
        place(&mut tokens, id, Token { text, kind: Kind::Normal })?;
    }
    for added in file.added_tokens {
        let kind = if added.special { Kind::Control } else { Kind::Added };
        place(&mut tokens, added.id, Token { text: added.content, kind })?;
    }
    let read_merge = |(index, merge)| match merge {
        Merge::Pair(a, b) => Ok((a, b)),
        Merge::Line(line) => split_merge(ORIGIN, index, &line),
    };
    Ok(Vocabulary {
        origin: ORIGIN,
        tokens,
        merges: file.model.merges.into_iter().enumerate().map(read_merge).collect::<Result<_>>()?,
        pre_tokenizer,
        special,
    })
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
    if let Some(other) = tokens[index].as_ref().filter(|other| other.text != token.text || token.kind == Kind::Normal) {
        let found = format!("the id {id} names both {} and {}", quote(&other.text), quote(&token.text));
        return Err(Error::file(ORIGIN, found).expected("every id once"));
    }
    tokens[index] = Some(token);
    Ok(())
}

/// The regexes of the splits, in order; byte-level spelling must be the last step.
fn read_patterns(step: Step) -> Result<Vec<String>> {
    let mut steps = Vec::new();
    flatten(step, &mut steps);
    let spells = matches!(steps.pop(), Some(Step::ByteLevel { add_prefix_space: false, use_regex: false }));
    let pattern = |step| match step {
        Step::Split { pattern: Pattern::Regex(regex), behavior, invert: false } if behavior == "Isolated" => {
            Some(regex)
        }
        _ => None,
    };
    steps.into_iter().map(pattern).collect::<Option<_>>().filter(|_| spells).ok_or_else(|| {
        Error::file("tokenizer.json: pre_tokenizer", "steps of other kinds").expected(
            "isolated splits at regexes, not inverted, then ByteLevel with neither add_prefix_space nor use_regex",
        )
    })
}

/// The steps without the sequences that hold them. The depth is bounded by the JSON reader's.
fn flatten(step: Step, steps: &mut Vec<Step>) {
    match step {
        Step::Sequence { pretokenizers } => pretokenizers.into_iter().for_each(|inner| flatten(inner, steps)),
        step => steps.push(step),
    }
}

fn refuse_unsupported(file: &File) -> Result<()> {
    let model = &file.model;
    if model.kind != "BPE" {
        return Err(Error::file(ORIGIN, format!("a model of type {}", quote(&model.kind))).expected("BPE"));
    }
    let no_normalizers = file.normalizer["normalizers"].as_array().is_some_and(Vec::is_empty);
    let options = [
        ("normalizer", !file.normalizer.is_null() && !no_normalizers),
        ("model.dropout", is_on(&model.dropout)),
        ("model.continuing_subword_prefix", is_on(&model.continuing_subword_prefix)),
        ("model.end_of_word_suffix", is_on(&model.end_of_word_suffix)),
        ("model.byte_fallback", is_on(&model.byte_fallback)),
        ("model.ignore_merges", is_on(&model.ignore_merges)),
        ("added_tokens", file.added_tokens.iter().any(|token| token.single_word || token.lstrip || token.rstrip)),
    ];
    match options.iter().find(|(_, on)| *on) {
        Some((option, _)) => Err(Error::file(ORIGIN, format!("{option} is in use")).expected(
            "plain byte-level BPE: no normalizer, no options, added tokens that neither strip nor need whole words",
        )),
        None => Ok(()),
    }
}

fn is_on(option: &Value) -> bool {
    !matches!(option, Value::Null | Value::Bool(false)) && option.as_str() != Some("")
}

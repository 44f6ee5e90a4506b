//! A vocabulary from a GGUF's metadata, the keys `tokenizer.ggml.*`.

use super::pre_tokenizer::{DEFAULT, PreTokenizer, Words};
use super::sentence_piece::{MAX_TOKEN_BYTES, SpacePrefix, byte_of, merges_of};
use super::tokenizer::ENDS;
use super::vocabulary::{Kind, Scheme, SpecialIds, Token, Vocabulary, quote, split_merge};
use crate::error::{Error, Result};
use crate::format::gguf::Metadata;
use std::collections::HashSet;

/// SentencePiece's name for what it cannot spell.
const UNKNOWN: &str = "<unk>";

/// What a GGUF says of its tokenizer, as it stands there; nothing in it need be true.
#[derive(Clone, Debug, Default)]
pub struct GgufVocabulary<'a> {
    /// `tokenizer.ggml.model`: `gpt2` is byte-level BPE, `llama` is SentencePiece, `no_vocab` means that the file has
    /// no tokenizer.
    pub model: &'a str,
    /// `tokenizer.ggml.pre`: how text is cut into words before byte-level BPE.
    pub pre: &'a str,
    /// `tokenizer.ggml.tokens`: [n_vocab].
    pub tokens: Vec<String>,
    /// How many of them are no UTF-8 in the file.
    pub n_no_utf8: usize,
    /// `tokenizer.ggml.scores`: [n_vocab], for SentencePiece.
    pub scores: Vec<f32>,
    /// `tokenizer.ggml.token_type`: [n_vocab] of 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte;
    /// or empty: all are normal.
    pub token_types: Vec<i32>,
    /// `tokenizer.ggml.merges`: "a b", best first, for byte-level BPE.
    pub merges: Vec<String>,
    /// `tokenizer.ggml.{bos,eos,padding}_token_id`; `add_bos` is below.
    pub special: SpecialIds,
    /// `tokenizer.ggml.{eom,fim_pad,fim_rep,fim_sep}_token_id`: a text ends there too, as in llama.cpp.
    pub ends: Vec<u32>,
    /// `tokenizer.ggml.add_bos_token`; where it is missing, SentencePiece and Llama 3 begin texts with it.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`, for SentencePiece; where it is missing, the prefix is added.
    pub add_space_prefix: Option<bool>,
}

impl<'a> GgufVocabulary<'a> {
    /// What the keys say. Keys of a wrong type are refused, missing ones are left empty.
    ///
    /// # Errors
    /// A key that is there and holds something else.
    pub fn from_metadata(metadata: &'a Metadata) -> Result<Self> {
        let texts = |key| -> Result<Vec<String>> {
            Ok(metadata.get_strs(key)?.map(|texts| texts.iter().map(str::to_owned).collect()).unwrap_or_default())
        };
        let (tokens, n_no_utf8) = metadata.get_strs_lossily("tokenizer.ggml.tokens")?.unwrap_or_default();
        let types = metadata.get_u32s("tokenizer.ggml.token_type")?.unwrap_or_default();
        Ok(Self {
            model: metadata.get_str("tokenizer.ggml.model")?.unwrap_or("no_vocab"),
            pre: metadata.get_str("tokenizer.ggml.pre")?.unwrap_or_default(),
            tokens,
            n_no_utf8,
            scores: metadata.get_nearest_f32s("tokenizer.ggml.scores")?.unwrap_or_default(),
            token_types: types.into_iter().map(|kind| i32::try_from(kind).unwrap_or(-1)).collect(),
            merges: texts("tokenizer.ggml.merges")?,
            special: SpecialIds {
                bos: metadata.get_id("tokenizer.ggml.bos_token_id")?,
                eos: metadata.get_id("tokenizer.ggml.eos_token_id")?,
                eot: metadata.get_id("tokenizer.ggml.eot_token_id")?,
                pad: metadata.get_id("tokenizer.ggml.padding_token_id")?,
                add_bos: false,
            },
            ends: ["eom", "fim_pad", "fim_rep", "fim_sep"]
                .into_iter()
                .filter_map(|name| metadata.get_u32(&format!("tokenizer.ggml.{name}_token_id")).ok().flatten())
                .collect(),
            add_bos: metadata.get_bool("tokenizer.ggml.add_bos_token")?,
            add_space_prefix: metadata.get_bool("tokenizer.ggml.add_space_prefix")?,
        })
    }

    /// Whether the file says that it has no tokenizer: its model then takes and gives token ids only.
    pub fn is_absent(&self) -> bool {
        matches!(self.model, "no_vocab" | "none")
    }

    /// Whether this program can read it. A model whose tokenizer is unknown takes and gives token ids only.
    ///
    /// # Errors
    /// The unknown tokenizer or pre-tokenizer, by name.
    pub fn check_known(&self) -> Result<()> {
        match self.model {
            "gpt2" if !self.pre.is_empty() => PreTokenizer::named(self.pre).map(drop),
            "gpt2" | "llama" => Ok(()),
            _ if self.is_absent() => Ok(()),
            other => Err(Self::unknown(other)),
        }
    }

    fn unknown(model: &str) -> Error {
        Error::file("tokenizer.ggml.model", format!("the unknown tokenizer {}", quote(model)))
            .expected("gpt2 (byte-level BPE), llama (SentencePiece) or no_vocab")
            .advice("Token ids can still be given in place of a text.")
    }

    pub(super) fn read(mut self) -> Result<Vocabulary> {
        let (notice, n_no_utf8) = (self.complete_types(), self.n_no_utf8);
        let mut vocabulary = match self.model {
            "gpt2" => self.read_byte_level(),
            "llama" => self.read_sentence_piece(),
            other => Err(Self::unknown(other)),
        }?;
        vocabulary.notices.extend(notice);
        if n_no_utf8 > 0 {
            let found = format!("{n_no_utf8} tokens are no UTF-8: no text becomes them");
            vocabulary.notices.push(format!("{}: {found}", vocabulary.origin));
        }
        Ok(vocabulary)
    }

    /// Lets tokens without a type, or with one that nobody knows, be normal ones; says so where there are types.
    fn complete_types(&mut self) -> Option<String> {
        let (n_tokens, n_types) = (self.tokens.len(), self.token_types.len());
        let is_unknown = |kind: &i32| !(0..=6).contains(kind);
        let n_unknown = self.token_types.iter().filter(|kind| is_unknown(kind)).count();
        self.token_types.resize(n_tokens, 1);
        self.token_types.iter_mut().filter(|kind| is_unknown(kind)).for_each(|kind| *kind = 1);
        // llama.cpp, too, takes a token that ends texts for one that is looked for in them, whatever its type.
        for (text, kind) in self.tokens.iter().zip(&mut self.token_types) {
            if matches!(*kind, 0 | 1 | 5 | 6) && ENDS.contains(&text.as_str()) {
                *kind = 3;
            }
        }
        let is_odd = n_unknown > 0 || n_types > 0 && n_types != n_tokens;
        is_odd.then(|| {
            let found = format!("{n_types} types for {n_tokens} tokens, {n_unknown} of them unknown");
            format!("tokenizer.ggml.token_type: {found}: the others are normal tokens")
        })
    }

    /// The merges that can be made: of two tokens into a third.
    fn read_merges(&self, notices: &mut Vec<String>) -> Vec<(String, String)> {
        let tokens: HashSet<&str> = self.tokens.iter().map(String::as_str).collect();
        let (mut merges, mut wrong, mut n_wrong) = (Vec::with_capacity(self.merges.len()), None, 0);
        for merge in &self.merges {
            match split_merge(merge) {
                Some((a, b)) if [a, b, [a, b].concat().as_str()].iter().all(|part| tokens.contains(part)) => {
                    merges.push((a.to_owned(), b.to_owned()));
                }
                _ => {
                    n_wrong += 1;
                    wrong.get_or_insert(merge);
                }
            }
        }
        if let Some(first) = wrong {
            let found = format!("{n_wrong} are not of two tokens into a third, the first of them {}", quote(first));
            notices.push(format!("tokenizer.ggml.merges: {found}: they are left out"));
        }
        merges
    }

    fn read_byte_level(self) -> Result<Vocabulary> {
        let pre = if self.pre.is_empty() { DEFAULT } else { self.pre };
        let pre_tokenizer = PreTokenizer::named(pre)?;
        let guessed = "tokenizer.ggml.pre is missing: texts are cut as by `default`, which may not be the model's way";
        let mut notices = if self.pre.is_empty() { vec![guessed.to_owned()] } else { Vec::new() };
        if self.merges.is_empty() {
            notices.push(
                "tokenizer.ggml.merges is missing: texts are read byte by byte, which is hardly the model's way"
                    .to_owned(),
            );
        }
        let (whole_words, begins) = (pre_tokenizer.whole_words, pre_tokenizer.begins);
        Ok(Vocabulary {
            merges: self.read_merges(&mut notices),
            scheme: Scheme::ByteLevel { words: Words::Known(pre_tokenizer), whole_words, composes: false },
            special: self.special_ids(begins),
            begins: Vec::new(),
            unknown: None,
            notices,
            origin: "tokenizer.ggml.tokens",
            tokens: self.read_tokens(|token_type, _| kind_of(token_type)),
        })
    }

    fn read_sentence_piece(mut self) -> Result<Vocabulary> {
        let n_tokens = self.tokens.len();
        let has_scores = !self.scores.is_empty();
        if has_scores && self.scores.len() < n_tokens {
            let found = format!("{} scores for {n_tokens} tokens", self.scores.len());
            return Err(Error::file("tokenizer.ggml.scores", found).expected("one for each token"));
        }
        let prefix = if self.add_space_prefix.unwrap_or(true) { SpacePrefix::Always } else { SpacePrefix::Never };
        // Where none are named, llama.cpp takes the places that they have in SentencePiece's own files.
        let is_control =
            |id: &u32| self.token_types.get(*id as usize).is_some_and(|of| matches!(kind_of(*of), Kind::Control));
        let usual = |id: u32| Some(id).filter(is_control);
        let SpecialIds { bos, eos, .. } = self.special;
        let is_there = |id: &u32| (*id as usize) < n_tokens;
        (self.special.bos, self.special.eos) = (bos.filter(is_there).or(usual(1)), eos.filter(is_there).or(usual(2)));
        let special = self.special_ids(true);
        let scores = if has_scores { std::mem::take(&mut self.scores) } else { vec![0.0; n_tokens] };
        let guessed = "tokenizer.ggml.scores is missing: all tokens count the same, which may not be the model's way";
        let mut notices = if has_scores { Vec::new() } else { vec![guessed.to_owned()] };
        let tokens = self.read_tokens(|token_type, text| byte_of(text).map_or(kind_of(token_type), Kind::Byte));
        let reached = tokens.iter().flatten().zip(scores).filter_map(reached_by_merging);
        let (reached, too_long): (Vec<_>, Vec<_>) = reached.partition(|(text, _)| text.len() <= MAX_TOKEN_BYTES);
        if let Some((first, _)) = too_long.first() {
            let found = format!("{} tokens have more than {MAX_TOKEN_BYTES} bytes", too_long.len());
            notices.push(format!(
                "tokenizer.ggml.tokens: {found}, the first of them {}: no text becomes them",
                quote(first)
            ));
        }
        let texts: HashSet<&str> = reached.iter().map(|(text, _)| *text).collect();
        let merges = merges_of(&reached, |part| texts.contains(part))?;
        Ok(Vocabulary {
            origin: "tokenizer.ggml.tokens",
            merges,
            tokens,
            scheme: Scheme::SentencePiece { prefix, splits: Vec::new(), splits_words: false },
            special,
            begins: Vec::new(),
            unknown: Some((UNKNOWN.to_owned(), true)),
            notices,
        })
    }

    fn special_ids(&self, add_bos: bool) -> SpecialIds {
        // A default is no request: without a bos token there is nothing to add.
        let add_bos = self.add_bos.unwrap_or(add_bos && self.special.bos.is_some());
        SpecialIds { add_bos, ..self.special }
    }

    fn read_tokens(self, kind: impl Fn(i32, &str) -> Kind) -> Vec<Option<Token>> {
        let tokens = self.tokens.into_iter().zip(self.token_types);
        let token = |(text, token_type): (String, i32)| {
            let kind = kind(token_type, &text);
            Some(Token::new(text, kind))
        };
        tokens.map(token).collect()
    }
}

/// llama.cpp searches a text for control, user-defined and unknown tokens; so do we.
fn kind_of(token_type: i32) -> Kind {
    match token_type {
        2 | 3 => Kind::Control,
        4 => Kind::Added,
        // 0 is what llama.cpp calls undefined.
        _ => Kind::Normal,
    }
}

fn reached_by_merging((token, score): (&Token, f32)) -> Option<(&str, f32)> {
    matches!(token.kind, Kind::Normal | Kind::Added).then_some((token.text.as_str(), score))
}

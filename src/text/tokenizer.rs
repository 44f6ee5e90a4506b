//! Text to token ids and back. Encoding is the `tokenizers` library's; decoding is a table of bytes.

use super::cut::Cut;
use super::normal::Normal;
use super::pre_tokenizer::OwnStep;
use super::stream::{Control, Stream};
use super::vocabulary::{Kind, Pieces, Scheme, SpecialIds, Vocabulary, quote};
use super::{gguf_vocabulary::GgufVocabulary, tokenizer_config::TokenizerConfig, tokenizer_json};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, TokenizerImpl};

/// Tokens that end a text or a turn in any vocabulary that has them: llama.cpp's end-of-generation set, the likelier
/// first.
pub(super) const ENDS: [&str; 38] = [
    "<｜end▁of▁sentence｜>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<end_of_turn>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<EOT>",
    "_<EOT>",
    "< EOT >",
    "_< EOT >",
    "[EOT]",
    "<|EOT|>",
    "<|end_of_turn|>",
    "<|endofturn|>",
    "<turn|>",
    "<|tool_response>",
    "[e~[",
    "<end_of_utterance>",
    "[EOS]",
    "<eos>",
    "</s>",
    // Those of filling in the middle: what follows them is another file.
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
];

/// In the formats of gpt-oss and Solar a message ends with the first of these, and the turn with one of the others: there
/// the first is no end.
const ENDS_OF_MESSAGES: [[&str; 3]; 2] = [["<|end|>", "<|return|>", "<|call|>"], ["<|end|>", "<|calls|>", "<|flush|>"]];

/// More ends than any file has use for: every token written is compared with all.
const MAX_ENDS: usize = 64;

/// The library's pipeline with our own normalizer and cut in it; post-processor and decoder stay empty, of whatever type.
type Pipeline = TokenizerImpl<BPE, Normal, Cut, ByteLevel, ByteLevel>;

/// Whether a text is given the token that begins a document. It is never given a second one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bos {
    /// As the model's file says.
    AsModelSays,
    /// It is.
    Add,
    /// It is not.
    Omit,
}

/// A tokenizer: byte-level BPE, or SentencePiece with byte fallback.
#[derive(Debug)]
pub struct Tokenizer {
    inner: Pipeline,
    pieces: Arc<Pieces>,
    special: SpecialIds,
    /// All tokens that `tokenizer.json` puts before a text, where it says so.
    begins: Vec<u32>,
    /// The BOS token that templates write, where another one begins texts.
    template_bos: Option<u32>,
    /// Tokens that templates may write, by the names that the files have for them.
    named: BTreeMap<String, String>,
    /// More ids that the files say end a text.
    ends: Vec<u32>,
    /// Whether encoding puts a space before a text's first word, which decoding then takes away again.
    prefixes_space: bool,
    notices: Vec<String>,
}

impl Tokenizer {
    /// The tokenizer of a GGUF; `None` if the file says that it has none (`no_vocab`): its model then takes and gives
    /// token ids only.
    ///
    /// # Errors
    /// An unknown tokenizer or pre-tokenizer, by name; a vocabulary that spells no byte, or with ids, types or merges
    /// that name nothing.
    pub fn from_gguf(vocabulary: GgufVocabulary<'_>) -> Result<Option<Self>> {
        if vocabulary.is_absent() {
            return Ok(None);
        }
        let ends = vocabulary.ends.clone();
        let mut tokenizer = Self::new(vocabulary.read()?)?;
        tokenizer.end_at(ends);
        Ok(Some(tokenizer))
    }

    /// The tokenizer of a Hugging Face `tokenizer.json`. Which ids begin and end a document is not in that file but
    /// in `config.json` or `tokenizer_config.json`.
    ///
    /// # Errors
    /// As [`Self::from_gguf`], and for any step of the file's pipeline that is not known.
    pub fn from_json(json: &str, special: SpecialIds) -> Result<Self> {
        Self::new(tokenizer_json::read(json, special, &[])?)
    }

    /// As [`Self::from_json`], with what stands beside that file: more tokens, and then [`Self::configure`].
    ///
    /// # Errors
    /// As [`Self::from_json`].
    pub fn from_files(json: &str, special: SpecialIds, config: Option<&TokenizerConfig>) -> Result<Self> {
        let added = config.map_or(&[][..], |config| &config.added);
        let mut tokenizer = Self::new(tokenizer_json::read(json, special, added)?)?;
        if let Some(config) = config {
            tokenizer.configure(config);
        }
        Ok(tokenizer)
    }

    /// Takes the special tokens that a `tokenizer_config.json` names, and its word on the BOS token. What names no token
    /// of the vocabulary is passed over, with a notice; a pad token without one: nothing is ever padded here. Where
    /// `tokenizer.json` says what begins a text, the BOS token of templates may be another.
    pub fn configure(&mut self, config: &TokenizerConfig) {
        let mut special = self.special;
        let bos = if self.begins.is_empty() { &mut special.bos } else { &mut self.template_bos };
        for (name, token, id) in [("bos", &config.bos, bos), ("eos", &config.eos, &mut special.eos)] {
            let Some(token) = token else { continue };
            match self.inner.token_to_id(token) {
                Some(found) => *id = Some(found),
                None => self.notices.push(format!(
                    "tokenizer_config.json: {name}_token is {}, which tokenizer.json does not have: it is left out",
                    quote(token)
                )),
            }
        }
        special.eot = config.eot.as_ref().and_then(|token| self.id_of(token)).or(special.eot);
        special.pad = config.pad.as_ref().and_then(|token| self.id_of(token)).or(special.pad);
        // What a post-processor writes stays, whatever the config says, as in transformers 5; without one the config counts, as in
        // version 4 and llama.cpp.
        special.add_bos = (special.add_bos || config.add_bos == Some(true)) && special.bos.is_some();
        self.special = special;
        self.named.clone_from(&config.named);
        self.notices.extend(config.notices.iter().cloned());
    }

    /// Takes ids that end a text, as the files beside the vocabulary list them; those that name no token are passed over.
    pub fn end_at(&mut self, ids: impl IntoIterator<Item = u32>) {
        let n_vocab = self.n_vocab();
        self.ends.extend(ids.into_iter().filter(|id| (*id as usize) < n_vocab));
    }

    fn new(mut vocabulary: Vocabulary) -> Result<Self> {
        let ids = vocabulary.check()?;
        let merges = std::mem::take(&mut vocabulary.merges);
        let bpe = match vocabulary.scheme {
            Scheme::ByteLevel { whole_words, .. } => BPE::builder().ignore_merges(whole_words),
            Scheme::SentencePiece { .. } => BPE::builder().byte_fallback(true),
        };
        let bpe = match vocabulary.unknown.take() {
            Some((token, fuses)) => bpe.unk_token(token).fuse_unk(fuses),
            None => bpe,
        };
        let bpe = bpe.vocab_and_merges(ids, merges).build();
        let bpe = bpe.map_err(|error| {
            let found = format!("a merge that cannot be made: {}", quote(&error.to_string()));
            vocabulary.fault(found).expected("merges of two tokens into a third")
        })?;
        let (normalizer, pre_tokenizer) = match &vocabulary.scheme {
            Scheme::ByteLevel { words, composes, .. } => (composes.then_some(Normal::Composed), Some(words.build()?)),
            Scheme::SentencePiece { prefix, splits, splits_words } => {
                let (normalizer, marks) = prefix.build(*splits_words);
                let splits = splits.iter().map(|split| OwnStep::Split(split.clone()).build());
                let steps: Vec<_> = splits.chain(marks.map(Ok)).collect::<Result<_>>()?;
                (normalizer, (!steps.is_empty()).then_some(Cut(steps)))
            }
        };
        let mut inner = Pipeline::new(bpe);
        inner.with_normalizer(normalizer);
        inner.with_pre_tokenizer(pre_tokenizer);
        let added: Vec<AddedToken> = vocabulary
            .added()
            .map(|token| {
                AddedToken::from(token.text.as_str(), token.kind == Kind::Control)
                    .normalized(token.reach.normalized)
                    .lstrip(token.reach.left)
                    .rstrip(token.reach.right)
                    .single_word(token.reach.single_word)
            })
            .collect();
        inner.add_tokens(&added);
        let prefixes_space = match vocabulary.scheme {
            Scheme::ByteLevel { .. } => false,
            Scheme::SentencePiece { prefix, .. } => prefix.is_added(),
        };
        let pieces = Arc::new(Pieces::new(&vocabulary));
        let Vocabulary { special, begins, notices, .. } = vocabulary;
        let (template_bos, named, ends) = (None, BTreeMap::new(), Vec::new());
        Ok(Self { inner, pieces, special, begins, template_bos, named, ends, prefixes_space, notices })
    }

    /// The ids of `text`, in order. Special tokens written in it become their own ids.
    ///
    /// # Errors
    /// [`Bos::Add`] without a bos token in the file.
    pub fn encode(&self, text: &str, bos: Bos) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false);
        let encoding = encoding.map_err(|error| Error::usage("text", format!("cannot be encoded: {error}")))?;
        let mut ids = encoding.get_ids().to_vec();
        let wanted = match bos {
            Bos::AsModelSays => self.special.add_bos,
            Bos::Add => true,
            Bos::Omit => false,
        };
        if wanted {
            let bos = self.special.bos.ok_or_else(|| {
                Error::usage("bos", "this model names no token that begins a text").advice("Encode without it.")
            })?;
            if ids.first().is_none_or(|first| *first != bos && Some(*first) != self.template_bos) {
                ids.splice(0..0, if self.begins.is_empty() { vec![bos] } else { self.begins.clone() });
            }
        }
        Ok(ids)
    }

    /// The text of a document's `ids`: what [`Self::encode`] was given. Bytes that are no UTF-8 become U+FFFD, as does
    /// an id that names no token. The space that SentencePiece puts before a document is taken away again.
    pub fn decode(&self, ids: &[u32], control: Control) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.pieces.bytes(id, control)).copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        text.strip_prefix(' ').filter(|_| self.prefixes_space).unwrap_or(&text).to_owned()
    }

    /// A detokenizer for ids that come one at a time and go on from others: a space before the first word is theirs.
    /// It owns its share of the table.
    pub fn stream(&self, control: Control) -> Stream {
        Stream::new(Arc::clone(&self.pieces), control)
    }

    /// The bytes that `id` writes; those of U+FFFD for an id that names no token.
    pub fn bytes_of(&self, id: u32, control: Control) -> &[u8] {
        self.pieces.bytes(id, control)
    }

    /// How many bytes `id` writes.
    pub fn n_bytes(&self, id: u32, control: Control) -> usize {
        self.bytes_of(id, control).len()
    }

    /// Whether `id` is a control token: a mark between texts, that none of them is joined with.
    pub fn is_control(&self, id: u32) -> bool {
        self.n_bytes(id, Control::Hide) < self.n_bytes(id, Control::Show)
    }

    /// How many ids there are. A model whose embedding has fewer rows does not belong to this tokenizer.
    pub fn n_vocab(&self) -> usize {
        self.pieces.len()
    }

    /// What was odd in the file, and did no harm.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The ids that end a text or the model's turn: the file's end token, those of [`Self::end_at`], and whichever of the
    /// known ones the vocabulary has.
    pub fn ends(&self) -> Vec<u32> {
        let has_all = |tokens: &[&str; 3]| tokens.iter().all(|token| self.id_of(token).is_some());
        let of_messages: Vec<&str> = ENDS_OF_MESSAGES.iter().filter(|tokens| has_all(tokens)).map(|t| t[0]).collect();
        let known = || ENDS.iter().filter(|token| !of_messages.contains(token)).filter_map(|token| self.id_of(token));
        let mut ids: Vec<u32> = Vec::new();
        let named = self.special.eos.into_iter().chain(self.special.eot).chain(self.ends.iter().copied());
        for id in named.chain(known()) {
            if !ids.contains(&id) && ids.len() < MAX_ENDS {
                ids.push(id);
            }
        }
        ids
    }

    /// The ids with a part to play.
    pub fn special(&self) -> SpecialIds {
        self.special
    }

    /// The BOS token that templates write.
    pub(super) fn template_bos(&self) -> Option<u32> {
        self.template_bos.or(self.special.bos)
    }

    /// Tokens that templates may write, by name.
    pub(super) fn named(&self) -> &BTreeMap<String, String> {
        &self.named
    }

    /// A token's text as it stands in the vocabulary; `None` for an id that names none.
    pub fn text_of(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The id of a token by its text as it stands in the vocabulary, such as `<｜User｜>`: V3 and V4 have different ids
    /// for the same strings.
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// As [`Self::id_of`], of control tokens alone: they are no part of a text that is shown, so none can be found in it.
    pub fn control_id_of(&self, token: &str) -> Option<u32> {
        self.id_of(token).filter(|&id| self.is_control(id))
    }
}

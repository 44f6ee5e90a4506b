//! A checked vocabulary, whichever file it came from: every token's text and kind, the merges, the cut into words.
//! What passes here cannot make the tokenizer panic, lose text, or ask for more memory than the file is long.

use super::byte_map;
use super::pre_tokenizer::{OwnSplit, Words};
use super::sentence_piece::{self, SpacePrefix};
use super::stream::Control;
use crate::error::{Error, Result};
use tokenizers::models::bpe;

/// No vocabulary is larger; the largest known has 262,144 tokens. It bounds the table that a stray id could ask for.
pub(super) const MAX_TOKENS: u32 = 1 << 20;
/// Control and added tokens are searched for in every text by one automaton, which grows with the bytes of all of them.
const MAX_ADDED_BYTES: usize = 1 << 20;

/// The token ids with a part to play, and whether a text begins with one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpecialIds {
    /// Begins every document.
    pub bos: Option<u32>,
    /// Ends every document: generation stops there.
    pub eos: Option<u32>,
    /// Ends a turn, where that is another token.
    pub eot: Option<u32>,
    /// Fills unused places.
    pub pad: Option<u32>,
    /// Whether the model expects `bos` before a text that does not begin with it. V4: no, its prompt encoder writes it.
    pub add_bos: bool,
}

/// How text becomes pieces that are merged.
#[derive(Debug)]
pub(super) enum Scheme {
    /// Bytes, spelt by the byte map, in words.
    ByteLevel {
        words: Words,
        /// A word that is a token is taken whole, whatever the merges would make of it.
        whole_words: bool,
        /// Text is first brought into Unicode's composed form, NFC.
        composes: bool,
    },
    /// Characters, and bytes where a character has no token, in one piece but for what a file's own steps cut.
    SentencePiece {
        prefix: SpacePrefix,
        /// Before spaces are marked.
        splits: Vec<OwnSplit>,
        /// Every mark begins a piece.
        splits_words: bool,
    },
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reached by merging; its text is in the scheme's spelling.
    Normal,
    /// One byte of a character that has no token, in SentencePiece.
    Byte(u8),
    /// Found in the text before it is cut; its text is its own.
    Added,
    /// Added, and no part of what a reader should see.
    Control,
}

/// How an added token is found in a text: with the white space before or behind it, or only where no letter or digit is
/// beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) left: bool,
    pub(super) right: bool,
    pub(super) single_word: bool,
    /// It is looked for in the text as it is after the normalizer.
    pub(super) normalized: bool,
}

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) kind: Kind,
    /// Of an added one.
    pub(super) reach: Reach,
}

impl Token {
    /// One that is found as it stands.
    pub(super) fn new(text: String, kind: Kind) -> Self {
        Self { text, kind, reach: Reach::default() }
    }

    /// What it writes.
    fn bytes(&self, scheme: &Scheme) -> Vec<u8> {
        match (self.kind, scheme) {
            (Kind::Normal, Scheme::ByteLevel { .. }) => byte_map::bytes_of(&self.text),
            (Kind::Normal, Scheme::SentencePiece { .. }) => self.text.replace(sentence_piece::SPACE, " ").into_bytes(),
            (Kind::Byte(byte), _) => vec![byte],
            (Kind::Added | Kind::Control, _) => self.text.as_bytes().to_vec(),
        }
    }
}

/// All that a tokenizer is made of.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// The file or key at fault, for messages.
    pub(super) origin: &'static str,
    /// [n_vocab], by id; `None` where an id names no token.
    pub(super) tokens: Vec<Option<Token>>,
    /// Pairs of token texts, best first.
    pub(super) merges: Vec<(String, String)>,
    pub(super) scheme: Scheme,
    pub(super) special: SpecialIds,
    /// All tokens that the file puts before a text; none where it does not say.
    pub(super) begins: Vec<u32>,
    /// The token for what cannot be spelt, and whether one stands for several characters in a row.
    pub(super) unknown: Option<(String, bool)>,
    /// What is odd in the file, and does no harm.
    pub(super) notices: Vec<String>,
}

impl Vocabulary {
    /// Checks everything but the merges, which the library checks as it reads them. Returns the ids by text.
    pub(super) fn check(&mut self) -> Result<bpe::Vocab> {
        self.check_size()?;
        self.pass_over_empty();
        self.pass_over_special();
        let is_there = |name: &str| self.tokens.iter().flatten().any(|token| token.text == name);
        if self.unknown.as_ref().is_some_and(|(token, _)| !is_there(token)) {
            self.unknown = None;
        }
        let mut ids = bpe::Vocab::default();
        let (mut n_twice, mut twice) = (0, None);
        for (id, token) in (0..).zip(&self.tokens) {
            let Some(token) = token else { continue };
            // The last one is what texts become, as in llama.cpp; the others are read, and never written.
            if let Some(first) = ids.insert(token.text.clone(), id) {
                n_twice += 1;
                twice.get_or_insert_with(|| format!("tokens {first} and {id} are both {}", quote(&token.text)));
            }
        }
        if let Some(first) = twice {
            let origin = self.origin;
            self.notices.push(format!("{origin}: {n_twice} tokens stand there already ({first}): the last ones count"));
        }
        self.check_spelling(&ids)?;
        Ok(ids)
    }

    /// The tokens that are searched for in a text before it is cut.
    pub(super) fn added(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter().flatten().filter(|token| matches!(token.kind, Kind::Added | Kind::Control))
    }

    fn check_size(&self) -> Result<()> {
        if self.tokens.len() > MAX_TOKENS as usize {
            let found = format!("{} tokens", self.tokens.len());
            return Err(self.fault(found).expected(format!("at most {MAX_TOKENS}")));
        }
        let bytes: usize = self.added().map(|token| token.text.len()).sum();
        if bytes > MAX_ADDED_BYTES {
            let found = format!("special tokens of {bytes} bytes together");
            return Err(self.fault(found).expected(format!("at most {MAX_ADDED_BYTES}")));
        }
        Ok(())
    }

    /// A byte without a token is lost from every text that it stands in, as it is where the model was made: SmolLM2
    /// lacks 21. 0xC0, 0xC1 and 0xF5 to 0xFF are in no UTF-8.
    fn check_spelling(&mut self, ids: &bpe::Vocab) -> Result<()> {
        let token_of = |byte: u8| match self.scheme {
            Scheme::ByteLevel { .. } => byte_map::char_of(byte).to_string(),
            Scheme::SentencePiece { .. } => sentence_piece::byte_token(byte),
        };
        let writes = |byte: u8| {
            let id = ids.get(&token_of(byte));
            let token = id.and_then(|&id| self.tokens.get(id as usize)?.as_ref());
            token.is_some_and(|token| token.bytes(&self.scheme) == [byte])
        };
        let bytes = (0..=0xF4).filter(|byte| !matches!(byte, 0xC0 | 0xC1));
        let (known, missing): (Vec<u8>, Vec<u8>) = bytes.partition(|&byte| writes(byte));
        let Some(first) = missing.first() else { return Ok(()) };
        // SentencePiece spells with characters, and needs bytes for the others alone.
        let spells = |token: &Token| token.kind == Kind::Normal && token.text.chars().nth(1).is_none();
        let has_letters =
            matches!(self.scheme, Scheme::SentencePiece { .. }) && self.tokens.iter().flatten().any(spells);
        if known.is_empty() && !has_letters {
            let found = format!("{} tokens, none of them for a single byte", ids.len());
            return Err(self.fault(found).expected("a vocabulary that texts can be spelt with"));
        }
        let what = format!("{} bytes have no token, the first of them 0x{first:02X}", missing.len());
        let becomes = match &self.unknown {
            Some((token, _)) => format!("texts have {} in place of them", quote(token)),
            None => "texts lose them".to_owned(),
        };
        self.notices.push(format!("{}: {what}: {becomes}", self.origin));
        Ok(())
    }

    /// Nothing is ever made of an empty token: its id names none.
    fn pass_over_empty(&mut self) {
        let is_empty = |token: &Option<Token>| token.as_ref().is_some_and(|token| token.text.is_empty());
        let empty: Vec<usize> = (0..self.tokens.len()).filter(|&id| is_empty(&self.tokens[id])).collect();
        if let Some(first) = empty.first() {
            self.notices.push(format!("{}: {} tokens are empty, the first of them {first}", self.origin, empty.len()));
        }
        empty.into_iter().for_each(|id| self.tokens[id] = None);
    }

    /// Special tokens that the vocabulary does not have are left out.
    fn pass_over_special(&mut self) {
        let n_tokens = self.tokens.len();
        let SpecialIds { bos, eos, eot, pad, add_bos } = &mut self.special;
        for (name, of) in [("bos", bos), ("eos", eos), ("eot", eot), ("pad", pad)] {
            if let Some(id) = of.filter(|id| !matches!(self.tokens.get(*id as usize), Some(Some(_)))) {
                *of = None;
                let notice =
                    format!("the {name} token is {id}, which is none of the {n_tokens} tokens: it is left out");
                self.notices.push(format!("{}: {notice}", self.origin));
            }
        }
        if *add_bos && self.special.bos.is_none() {
            self.special.add_bos = false;
            self.notices.push(format!("{}: texts should begin with a bos token, and none is named", self.origin));
        }
    }

    /// An error about this vocabulary.
    pub(super) fn fault(&self, found: impl Into<String>) -> Error {
        Error::file(self.origin, found)
    }
}

/// A text from a file for a message: quoted, and cut short where a hostile one would flood it.
pub(super) fn quote(text: &str) -> String {
    let head: String = text.chars().take(60).collect();
    let rest = if head.len() < text.len() { "…" } else { "" };
    format!("{head:?}{rest}")
}

/// Splits a merge written as one string, "a b". Tokens spell a space as `Ġ` or `▁`, so the one space stands between them.
pub(super) fn split_merge(merge: &str) -> Option<(&str, &str)> {
    merge.split_once(' ').filter(|(_, b)| !b.contains(' '))
}

/// What every id writes.
#[derive(Debug)]
pub(super) struct Pieces(Vec<Option<(Box<[u8]>, Kind)>>);

impl Pieces {
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let piece = |token: &Token| (token.bytes(&vocabulary.scheme).into_boxed_slice(), token.kind);
        Self(vocabulary.tokens.iter().map(|token| token.as_ref().map(piece)).collect())
    }

    /// How many ids there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The bytes of `id`; U+FFFD for one that names no token, so that the fault is seen.
    pub(super) fn bytes(&self, id: u32, control: Control) -> &[u8] {
        match self.0.get(id as usize) {
            Some(Some((_, Kind::Control))) if control == Control::Hide => &[],
            Some(Some((bytes, _))) => bytes,
            _ => "\u{FFFD}".as_bytes(),
        }
    }
}

//! SentencePiece by merging, as GGUF's `llama` and the first two Llamas have it: words begin with `▁` in place of their
//! space, the whole text is one piece, and the pair whose union has the best score is merged first. A character without
//! a token of its own is written byte by byte, `<0x0A>`.
//!
//! The library's BPE does it with byte fallback on: scores become merges, best first. Not done: unigram models, and
//! normalization of the text beyond its spaces.

use super::cut::Step;
use super::normal::Normal;
use crate::error::{Error, Result};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};

/// Stands for a space in tokens.
pub(super) const SPACE: char = '▁';
/// More merges no vocabulary has: the largest known, of 262,144 tokens, has 580,604. It bounds what a file of tokens
/// that are all each other's parts could ask for.
const MAX_MERGES: usize = 1 << 22;
/// Every place in a token is tried as the seam of a merge. Longer ones are not reached by merging.
pub(super) const MAX_TOKEN_BYTES: usize = 512;

/// Where a text gets a space before its first word, so that the word is the same token there as elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpacePrefix {
    /// Nowhere.
    Never,
    /// Before the text and after every special token, also where a space is already: SentencePiece's own way, and
    /// llama.cpp's.
    Always,
    /// The same, but not where there is a space.
    UnlessThere,
    /// Before the text alone, and not where there is a space.
    FirstUnlessThere,
    /// Nowhere, and spaces are marked when the text is cut.
    Unmarked,
}

impl SpacePrefix {
    /// Whether it is put anywhere.
    pub(super) fn is_added(self) -> bool {
        !matches!(self, Self::Never | Self::Unmarked)
    }

    /// What is done to the text before it is cut, and to its pieces; `splits_words` where each mark begins another piece.
    pub(super) fn build(self, splits_words: bool) -> (Option<Normal>, Option<Step>) {
        let metaspace = |scheme| (None, Some(Step::Spaces(Metaspace::new(SPACE, scheme, splits_words))));
        match self {
            Self::UnlessThere => metaspace(PrependScheme::Always),
            Self::FirstUnlessThere => metaspace(PrependScheme::First),
            Self::Unmarked => metaspace(PrependScheme::Never),
            Self::Never => (Some(Normal::MarksSpaces { prefixes: false }), None),
            Self::Always => (Some(Normal::MarksSpaces { prefixes: true }), None),
        }
    }
}

/// How the token of a byte is written.
pub(super) fn byte_token(byte: u8) -> String {
    format!("<0x{byte:02X}>")
}

/// The byte whose token this is.
pub(super) fn byte_of(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let byte = u8::from_str_radix(digits, 16).ok()?;
    (byte_token(byte) == token).then_some(byte)
}

/// Every way in which two tokens make a third, best score of the third first; among equals the longer left part, as
/// transformers sorts them. `tokens` are texts with their scores, those that merging may reach, of [`MAX_TOKEN_BYTES`] at
/// most; `is_token` tells whether a part is one of them.
pub(super) fn merges_of(tokens: &[(&str, f32)], is_token: impl Fn(&str) -> bool) -> Result<Vec<(String, String)>> {
    const ORIGIN: &str = "tokenizer.ggml.tokens";
    let mut order: Vec<usize> = (0..tokens.len()).collect();
    order.sort_unstable_by(|&a, &b| tokens[b].1.total_cmp(&tokens[a].1).then(a.cmp(&b)));
    let mut merges: Vec<(f32, usize, usize, &str, &str)> = Vec::new();
    for index in order {
        let (text, score) = tokens[index];
        let n_chars = text.chars().count();
        for (n_left, (at, _)) in text.char_indices().enumerate().skip(1) {
            let (left, right) = text.split_at(at);
            if is_token(left) && is_token(right) {
                merges.push((score, n_left, n_chars - n_left, left, right));
            }
        }
        if merges.len() > MAX_MERGES {
            return Err(Error::file(ORIGIN, "tokens that are each other's parts without end")
                .expected(format!("at most {MAX_MERGES} merges between them")));
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)).then(b.2.cmp(&a.2)));
    Ok(merges.into_iter().map(|(.., left, right)| (left.to_owned(), right.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_tokens_and_only_those() {
        assert!((0..=255).all(|byte| byte_of(&byte_token(byte)) == Some(byte)));
        for other in ["<0x0a>", "<0x+A>", "<0x0A", "0x0A", "<0x100>", "<0x>", "a"] {
            assert_eq!(byte_of(other), None, "{other}");
        }
    }

    #[test]
    fn the_best_score_is_merged_first_and_among_equals_the_longer_left_part() {
        let tokens = [("a", -9.0), ("b", -9.0), ("ab", -2.0), ("ba", -1.0), ("aba", -3.0)];
        let merges = merges_of(&tokens, |part| tokens.iter().any(|(text, _)| *text == part)).expect("merges");
        let merges: Vec<String> = merges.iter().map(|(a, b)| format!("{a}+{b}")).collect();
        assert_eq!(merges, ["b+a", "a+b", "ab+a", "a+ba"]);
    }

    #[test]
    fn tokens_that_are_all_parts_of_each_other_are_bounded() {
        let long = "a".repeat(MAX_TOKEN_BYTES);
        let tokens = vec![(&long[..], 0.0); MAX_MERGES / MAX_TOKEN_BYTES + 20];
        assert!(merges_of(&tokens, |_| true).unwrap_err().found.contains("without end"));
    }
}

//! The cut into pieces as it is run, by the `regex` library, whose time is linear in the text.
//!
//! That library has no look-ahead, and the patterns have one: `\s+(?!\S)|\s+`, a run of spaces without the one that
//! belongs to the word behind it. It is `\s+`, and the last character of such a match is given back where no space
//! follows. The `tokenizers` library's own splits, by a backtracking library, stop cutting for good within a run of a
//! million characters, without a word.

use crate::error::{Error, Result};
use regex::Regex;
use tokenizers::pattern::Pattern;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::Metaspace;
use tokenizers::{Offsets, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior};

const LOOK_AHEAD: &str = r"|\s+(?!\S)|\s+";
const LINE_ENDS: &str = r"|\s*[\r\n]+";

/// How text becomes the pieces that are merged.
#[derive(Debug)]
pub(super) enum Cut {
    /// Regexes applied in turn, each to the pieces that the one before left; then the byte map.
    Words(Vec<Split>),
    /// One piece, its spaces marked.
    Spaces(Metaspace),
}

impl PreTokenizer for Cut {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> tokenizers::Result<()> {
        match self {
            Self::Spaces(metaspace) => metaspace.pre_tokenize(text),
            Self::Words(splits) => {
                for split in splits {
                    text.split(|_, piece| piece.split(split, SplitDelimiterBehavior::Isolated))?;
                }
                ByteLevel::new(false, true, false).pre_tokenize(text)
            }
        }
    }
}

/// One of the regexes.
#[derive(Debug)]
pub(super) struct Split {
    regex: Regex,
    /// It ends with the look-ahead.
    gives_back: bool,
    /// A match that ends with a line end is the alternative of line ends, which gives nothing back.
    keeps_line_ends: bool,
}

impl Split {
    /// From a pattern of the table.
    pub(super) fn new(pattern: &str) -> Result<Self> {
        let plain = pattern.strip_suffix(LOOK_AHEAD);
        let regex = plain.map_or_else(|| pattern.to_owned(), |plain| format!(r"{plain}|\s+"));
        let regex = Regex::new(&regex)
            .map_err(|error| Error::file(pattern, format!("a regex that does not compile: {error}")))?;
        Ok(Self { regex, gives_back: plain.is_some(), keeps_line_ends: pattern.contains(LINE_ENDS) })
    }

    /// Where the match really ends.
    fn end(&self, text: &str, start: usize, end: usize) -> usize {
        let found = &text[start..end];
        let Some(last) = found.chars().next_back().filter(|last| last.is_whitespace()) else { return end };
        let is_line_ends = self.keeps_line_ends && matches!(last, '\r' | '\n');
        if !self.gives_back || is_line_ends || !found.chars().all(char::is_whitespace) {
            return end;
        }
        let word_follows = text[end..].chars().next().is_some_and(|next| !next.is_whitespace());
        let shorter = end - last.len_utf8();
        if word_follows && shorter > start { shorter } else { end }
    }
}

impl Pattern for &Split {
    fn find_matches(&self, text: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        if text.is_empty() {
            return Ok(vec![((0, 0), false)]);
        }
        let (mut pieces, mut at) = (Vec::new(), 0);
        while let Some(found) = self.regex.find_at(text, at) {
            if found.start() > at {
                pieces.push(((at, found.start()), false));
            }
            // The patterns match no empty text, so this goes on.
            let end = self.end(text, found.start(), found.end());
            pieces.push(((found.start(), end), true));
            at = end;
        }
        if at < text.len() {
            pieces.push(((at, text.len()), false));
        }
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> Vec<String> {
        let split = Split::new(pattern).unwrap();
        let pieces = (&split).find_matches(text).unwrap();
        pieces.into_iter().map(|((start, end), _)| text[start..end].to_owned()).collect()
    }

    #[test]
    fn the_last_space_belongs_to_the_word() {
        let pattern = r" ?\w+|\s+(?!\S)|\s+";
        assert_eq!(
            matches(pattern, "a  b \n\u{3000}c!\n!  "),
            ["a", " ", " b", " \n", "\u{3000}", "c", "!", "\n", "!", "  "]
        );
        // Line ends that have an alternative of their own are not given back.
        assert_eq!(matches(r" ?\w+|\s*[\r\n]+|\s+(?!\S)|\s+", "a \n\n  b"), ["a", " \n\n", " ", " b"]);
        // Without a look-ahead nothing is.
        assert_eq!(matches(r" ?\w+|\s+", "a   b"), ["a", "   ", "b"]);
        assert_eq!(matches(r"\s+$", " a  "), [" a", "  "]);
    }
}

//! The cut into pieces as it is run, by the `regex` library, whose time is linear in the text.
//!
//! That library has no look-ahead, and the patterns have one: `\s+(?!\S)|\s+`, a run of spaces without the one that
//! belongs to the word behind it. It is `\s+`, and the last character of such a match is given back where no space
//! follows. One pattern has the same for runs of 512, 256 and so on, and one for each power of two. Two patterns look ahead for threes of digits: they are `\d+`, counted here. The `tokenizers` library's own splits, by a backtracking library, stop cutting for good within a run of a
//! million characters, without a word.

use super::byte_map::char_of;
use super::vocabulary::quote;
use crate::error::{Error, Result};
use regex::{Regex, RegexBuilder};
use tokenizers::pattern::{Invert, Pattern};
use tokenizers::pre_tokenizers::metaspace::Metaspace;
use tokenizers::{Offsets, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior};

/// Numbers in threes, counted from their end, where a word ends with it.
pub(super) const THREES_FROM_THE_END: &str = r"\d{1,3}(?=(?:\d{3})*\b)";
/// The places before such threes: nothing is taken there, and texts are cut there.
pub(super) const BEFORE_THREES: &str = r"(?=(\d{3})+(?!\d))";

const LOOK_AHEAD: &str = r"|\s+(?!\S)|\s+";
/// The same in pieces of as many spaces as a power of two.
const POWERS_LOOK_AHEAD: &str = r"|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}";
const MOST_SPACES: usize = 512;
const LINE_ENDS: &str = r"|\s*[\r\n]";
/// What a regex of a file may grow to, compiled.
const MOST_BYTES: usize = 10 << 20;
/// Possessive repeats, which the library does not have, and what does the same in these places: what follows cannot
/// match what they would have to give back.
const POSSESSIVE: [(&str, &str); 2] =
    [(r"[^\r\n\p{L}\p{N}]?+\p{L}", r"[^\r\n\p{L}\p{N}]?\p{L}"), (r"]++[\r\n]*", r"]+[\r\n]*")];

/// How text becomes the pieces that are merged: steps in turn, each on the pieces that the one before left.
#[derive(Debug)]
pub(super) struct Cut(pub(super) Vec<Step>);

/// One step.
#[derive(Debug)]
pub(super) enum Step {
    /// A regex, and what becomes of its matches.
    Split {
        split: Split,
        behavior: SplitDelimiterBehavior,
        /// What lies between the matches counts as matches, and these do not.
        inverts: bool,
    },
    /// A space before each piece that has none.
    PrefixSpace,
    /// The byte map.
    Bytes,
    /// Spaces become SentencePiece's mark, one before the text among them, and may cut it.
    Spaces(Metaspace),
}

impl PreTokenizer for Cut {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> tokenizers::Result<()> {
        self.0.iter().try_for_each(|step| match step {
            Step::Split { split, behavior, inverts } => text.split(|_, piece| match inverts {
                false => piece.split(split, *behavior),
                true => piece.split(Invert(split), *behavior),
            }),
            Step::PrefixSpace => text.split(|_, mut piece| {
                if !piece.get().starts_with(' ') {
                    piece.prepend(" ");
                }
                Ok([piece])
            }),
            Step::Bytes => {
                // Pieces of nothing are left out by this.
                text.split(|_, piece| Ok([piece]))?;
                text.normalize(|piece| {
                    // A character's bytes after its first are characters that were put in.
                    let spelt = |byte: u8| (char_of(byte), isize::from(byte & 0xC0 == 0x80));
                    let spelt: Vec<(char, isize)> = piece.get().bytes().map(spelt).collect();
                    piece.transform(spelt, 0);
                    Ok(())
                })
            }
            Step::Spaces(metaspace) => metaspace.pre_tokenize(text),
        })
    }
}

/// One of the regexes.
#[derive(Debug)]
pub(super) struct Split {
    regex: Regex,
    /// It ends with the look-ahead.
    gives_back: bool,
    /// Spaces are taken in powers of two.
    in_powers: bool,
    /// A match that ends with a line end is the alternative of line ends, which gives nothing back.
    keeps_line_ends: bool,
    /// It is one of those of threes.
    threes: Option<Threes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Threes {
    FromTheEnd,
    Before,
}

impl Split {
    /// From a pattern of the table, or of a file.
    pub(super) fn new(pattern: &str) -> Result<Self> {
        let threes = match pattern {
            THREES_FROM_THE_END => Some(Threes::FromTheEnd),
            BEFORE_THREES => Some(Threes::Before),
            _ => None,
        };
        let pattern = if threes.is_some() { r"\d+" } else { pattern };
        let known = POSSESSIVE.iter().fold(pattern.to_owned(), |pattern, (from, to)| pattern.replace(from, to));
        let of_powers = known.strip_suffix(POWERS_LOOK_AHEAD);
        let plain = of_powers.or_else(|| known.strip_suffix(LOOK_AHEAD));
        let regex = plain.map_or_else(|| known.clone(), |plain| format!(r"{plain}|\s+"));
        let refused = |why: String| {
            Error::file(format!("the pre-tokenizer's regex {}", quote(pattern)), why)
                .expected("one without look-around, but for a last `|\\s+(?!\\S)|\\s+`, and without possessive repeats")
        };
        if ["?+", "*+", "++", "}+"].iter().any(|repeat| without_classes(&regex).contains(repeat)) {
            return Err(refused("it has a possessive repeat".to_owned()));
        }
        // To the library that makes the files, `^` and `$` stand at every line's begin and end.
        let regex = RegexBuilder::new(&regex).multi_line(true).size_limit(MOST_BYTES).build();
        let regex = regex.map_err(|error| refused(error.to_string().lines().last().unwrap_or_default().to_owned()))?;
        Ok(Self {
            regex,
            gives_back: plain.is_some(),
            in_powers: of_powers.is_some(),
            keeps_line_ends: known.contains(LINE_ENDS),
            threes,
        })
    }

    /// The text cut at threes of digits, each piece with whether it is one of the matches.
    fn in_threes(&self, text: &str, threes: Threes) -> Vec<(Offsets, bool)> {
        let (mut pieces, mut at) = (Vec::new(), 0);
        let mut cut = |to: usize, is_match: bool| {
            if to > at {
                pieces.push(((at, to), is_match));
                at = to;
            }
        };
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        for run in self.regex.find_iter(text) {
            let goes_on = text[run.end()..].starts_with(is_word);
            if threes == Threes::FromTheEnd && goes_on {
                continue;
            }
            let n_digits = run.as_str().chars().count();
            // Nothing is cut before digits that make no threes.
            if threes == Threes::FromTheEnd || n_digits.is_multiple_of(3) {
                cut(run.start(), false);
            }
            for (index, (place, _)) in run.as_str().char_indices().enumerate().skip(1) {
                if (n_digits - index).is_multiple_of(3) {
                    cut(run.start() + place, threes == Threes::FromTheEnd);
                }
            }
            if threes == Threes::FromTheEnd {
                cut(run.end(), true);
            }
        }
        cut(text.len(), false);
        pieces
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
        let end = if word_follows && shorter > start { shorter } else { end };
        let spaces = &text[start..end];
        match spaces.chars().count() {
            n if self.in_powers && n > 1 => {
                let taken = MOST_SPACES.min(1 << n.ilog2());
                spaces.char_indices().nth(taken).map_or(end, |(at, _)| start + at)
            }
            _ => end,
        }
    }
}

impl Pattern for &Split {
    fn find_matches(&self, text: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        if text.is_empty() {
            return Ok(vec![((0, 0), false)]);
        }
        if let Some(threes) = self.threes {
            return Ok(self.in_threes(text, threes));
        }
        let (mut pieces, mut at, mut from) = (Vec::new(), 0, 0);
        while let Some(found) = self.regex.find_at(text, from) {
            if found.is_empty() {
                // Nothing is cut off; the next match begins behind the next character, if there is one.
                let Some(next) = text[found.end()..].chars().next() else { break };
                from = found.end() + next.len_utf8();
                continue;
            }
            if found.start() > at {
                pieces.push(((at, found.start()), false));
            }
            let end = self.end(text, found.start(), found.end());
            pieces.push(((found.start(), end), true));
            (at, from) = (end, end);
        }
        if at < text.len() {
            pieces.push(((at, text.len()), false));
        }
        Ok(pieces)
    }
}

/// A regex without its escaped characters, and with every class as `x`.
fn without_classes(regex: &str) -> String {
    let (mut out, mut depth) = (String::new(), 0_usize);
    let mut chars = regex.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                if chars.next().is_some_and(|c| matches!(c, 'p' | 'P' | 'x' | 'u')) && chars.as_str().starts_with('{') {
                    chars.by_ref().find(|&c| c == '}');
                }
                if depth == 0 {
                    out.push('x');
                }
            }
            '[' => depth += 1,
            ']' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    out.push('x');
                }
            }
            c if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> Vec<String> {
        let split = Split::new(pattern).unwrap();
        let pieces = (&split).find_matches(text).unwrap();
        pieces.into_iter().map(|((start, end), _)| text[start..end].to_owned()).collect()
    }

    /// As the library spells it, whose own cut is a backtracking library's.
    #[test]
    fn bytes_are_spelt_as_the_library_spells_them() {
        use tokenizers::pre_tokenizers::byte_level::ByteLevel;
        use tokenizers::{OffsetReferential, OffsetType};
        for prefixes_space in [false, true] {
            for text in ["", "a b", " é", "한 \u{1F600}\u{AD}\n", "\0"] {
                let spelt = |cut: &dyn PreTokenizer| {
                    let mut pieces = PreTokenizedString::from(text);
                    cut.pre_tokenize(&mut pieces).unwrap();
                    let pieces = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
                    pieces.into_iter().map(|(piece, at, _)| (piece.to_owned(), at)).collect::<Vec<_>>()
                };
                let prefix = prefixes_space.then_some(Step::PrefixSpace);
                let ours = spelt(&Cut(prefix.into_iter().chain([Step::Bytes]).collect()));
                assert_eq!(ours, spelt(&ByteLevel::new(prefixes_space, true, false)), "{text:?}");
            }
        }
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
        assert_eq!(matches(r"\s+$", " a \n b  "), [" a", " ", "\n b", "  "]);
        assert_eq!(matches("^a", "b\naa\na"), ["b\n", "a", "a\n", "a"]);
    }

    #[test]
    fn digits_are_counted_from_their_end() {
        assert_eq!(
            matches(THREES_FROM_THE_END, "a1234567 12 123x 456_ ١٢٣٤"),
            ["a", "1", "234", "567", " ", "12", " 123x 456_ ", "١", "٢٣٤"]
        );
        assert_eq!(matches(BEFORE_THREES, "a123 12x1234"), ["a", "123 12x1", "234"]);
        assert_eq!(matches(BEFORE_THREES, "123456"), ["123", "456"]);
    }

    #[test]
    fn regexes_of_files_are_read_or_refused_with_the_reason() {
        assert_eq!(matches(r"a*", "baac"), ["b", "aa", "c"]);
        assert_eq!(matches(r"[^\r\n\p{L}\p{N}]?+\p{L}+| ?[^\s]++[\r\n]*", "-ab -\n"), ["-ab", " -\n"]);
        for (pattern, why) in [
            (r"a++b", "possessive"),
            (r"\d{1,3}(?=(?:\d{3})*\.)", "look-around"),
            (r"(a", "unclosed"),
            (r"(?:\p{L}{1000}){1000}", "size limit"),
        ] {
            let error = Split::new(pattern).unwrap_err().to_string();
            assert!(error.contains(why) && error.len() < 400, "{pattern}: {error}");
        }
        assert!(Split::new(r"[a+*]+|\++").is_ok());
    }
}

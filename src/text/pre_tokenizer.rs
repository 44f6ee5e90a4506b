//! How text is cut into words before byte-pair merging: a table of the cuts that are known, by GGUF name and by regex.
//!
//! A file chooses from the table and never brings its own regex: a hostile one could compile to gigabytes or
//! backtrack for ever, and the regex library's answer to its own backtracking limit is to stop cutting, silently.
//! Those here take time linear in the text (tested).

use super::vocabulary::quote;
use crate::error::{Error, Result};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

/// One way of cutting.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PreTokenizer {
    /// The values of GGUF's `tokenizer.ggml.pre` that mean it.
    names: &'static [&'static str],
    /// Regexes applied in turn, each to the pieces that the one before left; matches and what lies between them
    /// become pieces ("isolated"). Then every byte is spelt by the byte map.
    patterns: &'static [&'static str],
}

/// All that are known.
static PRE_TOKENIZERS: &[PreTokenizer] = &[PreTokenizer {
    // V3, R1 and V4: numbers in threes, then Chinese and Japanese runs, then words, punctuation, line ends, spaces.
    names: &["joyai-llm", "deepseek-v3"],
    patterns: &[
        r"\p{N}{1,3}",
        r"[一-龥぀-ゟ゠-ヿ]+",
        concat!(
            r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##,
            r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+",
            r"| ?[\p{P}\p{S}]+[\r\n]*",
            r"|\s*[\r\n]+",
            r"|\s+(?!\S)",
            r"|\s+",
        ),
    ],
}];

impl PreTokenizer {
    /// The one with this GGUF name.
    pub(super) fn named(name: &str) -> Result<&'static Self> {
        PRE_TOKENIZERS.iter().find(|known| known.names.contains(&name)).ok_or_else(|| {
            Error::file("tokenizer.ggml.pre", format!("the unknown pre-tokenizer {}", quote(name)))
                .expected(supported())
        })
    }

    /// The one with these regexes, as they stand in a `tokenizer.json`, where line ends may be written as themselves.
    pub(super) fn with_patterns(patterns: &[String]) -> Result<&'static Self> {
        let written: Vec<String> = patterns.iter().map(|p| p.replace('\r', r"\r").replace('\n', r"\n")).collect();
        PRE_TOKENIZERS.iter().find(|known| known.patterns == written).ok_or_else(|| {
            Error::file(
                "tokenizer.json: pre_tokenizer",
                format!("the unknown splits {}", quote(&written.join(" then "))),
            )
            .expected(format!("the splits of {}", supported()))
        })
    }

    /// The library's form of it.
    pub(super) fn build(&self) -> Result<PreTokenizerWrapper> {
        let mut steps = Vec::with_capacity(self.patterns.len() + 1);
        for pattern in self.patterns {
            let split = Split::new(SplitPattern::Regex((*pattern).into()), SplitDelimiterBehavior::Isolated, false)
                .map_err(|error| Error::file(self.names[0], format!("a regex that does not compile: {error}")))?;
            steps.push(split.into());
        }
        steps.push(ByteLevel::new(false, true, false).into());
        Ok(Sequence::new(steps).into())
    }
}

/// The names of all of them, for messages.
fn supported() -> String {
    let names: Vec<&str> = PRE_TOKENIZERS.iter().flat_map(|known| known.names).copied().collect();
    format!("one of {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _};

    fn cut(text: &str) -> Vec<String> {
        let mut pieces = PreTokenizedString::from(text);
        PreTokenizer::named("joyai-llm").unwrap().build().unwrap().pre_tokenize(&mut pieces).unwrap();
        let spans = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
        spans.into_iter().map(|(_, (start, end), _)| text[start..end].to_owned()).collect()
    }

    #[test]
    fn the_regexes_cut_as_the_specification_says() {
        assert_eq!(cut("I have 12345 cats"), ["I", " have", " ", "123", "45", " cats"]);
        assert_eq!(cut("don't stop!!\n\n x"), ["don", "'t", " stop", "!!\n\n", " x"]);
        assert_eq!(cut("日本語です abc"), ["日本語です", " abc"]);
        assert_eq!(cut("a   b"), ["a", "  ", " b"]);
        assert_eq!(cut("a \n \n  b"), ["a", " \n \n", " ", " b"]);
        assert_eq!(cut("tail   "), ["tail", "   "]);
        assert_eq!(cut("e\u{301}t\u{e9}"), ["e\u{301}t\u{e9}"]);
    }

    /// Runs longer than the regex library's limit of a million steps: were it reached, the end would not be cut.
    #[test]
    fn long_runs_are_cut_to_the_end() {
        for run in [" ", "\0", "a", "!", " \n", "\u{301}", "\u{3000}", "\n  "] {
            let text = run.repeat(1_200_000 / run.len()) + "\n12 ab,  cd";
            let pieces = cut(&text);
            let end: Vec<&str> = pieces[pieces.len() - 5..].iter().map(String::as_str).collect();
            assert_eq!(end, ["12", " ab", ",", " ", " cd"], "after a run of {run:?}");
        }
    }

    #[test]
    fn an_unknown_one_is_refused_by_name() {
        let error = PreTokenizer::named("martian").unwrap_err().to_string();
        assert!(error.contains("martian") && error.contains("joyai-llm, deepseek-v3"), "{error}");
        let error = PreTokenizer::with_patterns(&[r"\d".into()]).unwrap_err().to_string();
        assert!(error.contains(r"\\d"), "{error}");
    }

    #[test]
    fn line_ends_may_be_written_as_themselves() {
        let known = &PRE_TOKENIZERS[0];
        let raw: Vec<String> = known.patterns.iter().map(|p| p.replace(r"\r\n", "\r\n")).collect();
        assert_eq!(PreTokenizer::with_patterns(&raw).unwrap(), known);
    }
}

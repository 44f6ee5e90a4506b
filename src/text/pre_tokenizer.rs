//! How text is cut into words before byte-pair merging: a table of the cuts that are known, by GGUF name and by regex.
//!
//! A `tokenizer.json` may bring regexes of its own: they are compiled within a bound, and take time linear in the text.

use super::cut::{BEFORE_THREES, Cut, Split, Step, THREES_FROM_THE_END};
use super::vocabulary::quote;
use crate::error::{Error, Result};
use tokenizers::SplitDelimiterBehavior;

/// One way of cutting.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PreTokenizer {
    /// The values of GGUF's `tokenizer.ggml.pre` that mean it; none where only a `tokenizer.json` can ask for it.
    names: &'static [&'static str],
    /// Regexes applied in turn, each to the pieces that the one before left; matches and what lies between them
    /// become pieces ("isolated"). Then every byte is spelt by the byte map.
    patterns: &'static [&'static str],
    /// In a GGUF, such a name also means that a word which is a token as it stands is taken whole, whatever the merges
    /// would make of it.
    pub(super) whole_words: bool,
    /// It also means that a text begins with the bos token unless the file says otherwise.
    pub(super) begins: bool,
}

/// The name of the cut where a file names none.
pub(super) const DEFAULT: &str = "default";

const LINE_END: &str = r"[\r\n]";
const DIGIT: &str = r"\p{N}";
/// Contractions, words, numbers in threes, the rest.
const LLAMA_3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
    r"|[^\r\n\p{L}\p{N}]?\p{L}+",
    r"|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
);
const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Words by case with contractions, numbers in threes, the rest.
const O_200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Chinese, what lies before it in Unicode down to U+0800, Japanese therefore included, and Korean.
const ASIAN: &str = "[\u{4E00}-\u{9FA5}\u{800}-\u{4E00}\u{AC00}-\u{D7FF}]+";
/// Letters of the scripts that know upper and lower case, with the space before them.
const CASED_WORD: &str = concat!(
    r"\s?[",
    "A-Za-z\u{B5}\u{C0}-\u{D6}\u{D8}-\u{F6}\u{F8}-\u{1BA}\u{1BC}-\u{1BF}\u{1C4}-\u{293}\u{295}-\u{2AF}",
    "\u{370}-\u{373}\u{376}\u{377}\u{37B}-\u{37D}\u{37F}\u{386}\u{388}-\u{38A}\u{38C}\u{38E}-\u{3A1}\u{3A3}-\u{3F5}",
    "\u{3F7}-\u{481}\u{48A}-\u{52F}\u{531}-\u{556}\u{10A0}-\u{10C5}\u{13A0}-\u{13F5}\u{13F8}-\u{13FD}",
    "\u{1C90}-\u{1CBA}\u{1CBD}-\u{1CBF}\u{1D00}-\u{1D2B}\u{1D6B}-\u{1D77}\u{1D79}-\u{1D9A}\u{1E00}-\u{1F15}",
    "\u{1F18}-\u{1F1D}\u{1F20}-\u{1F45}\u{1F48}-\u{1F4D}\u{1F50}-\u{1F57}\u{1F59}\u{1F5B}\u{1F5D}\u{1F5F}-\u{1F7D}",
    "\u{1F80}-\u{1FB4}\u{1FB6}-\u{1FBC}\u{1FBE}\u{1FC2}-\u{1FC4}\u{1FC6}-\u{1FCC}\u{1FD0}-\u{1FD3}\u{1FD6}-\u{1FDB}",
    "\u{1FE0}-\u{1FEC}\u{1FF2}-\u{1FF4}\u{1FF6}-\u{1FFC}\u{2102}\u{2107}\u{210A}-\u{2113}\u{2115}\u{2119}-\u{211D}",
    "\u{2124}\u{2126}\u{2128}\u{212A}-\u{212D}\u{212F}-\u{2134}\u{2139}\u{213C}-\u{213F}\u{2145}-\u{2149}\u{214E}",
    "\u{2183}\u{2184}\u{2C00}-\u{2C7B}\u{2C7E}-\u{2CE4}\u{2CEB}-\u{2CEE}\u{2CF2}\u{2CF3}\u{A640}-\u{A66D}",
    "\u{A680}-\u{A69B}\u{A722}-\u{A76F}\u{A771}-\u{A787}\u{A78B}-\u{A78E}\u{AB70}-\u{ABBF}\u{FB00}-\u{FB06}",
    "\u{FB13}-\u{FB17}\u{FF21}-\u{FF3A}\u{FF41}-\u{FF5A}\u{10400}-\u{1044F}\u{104B0}-\u{104D3}\u{104D8}-\u{104FB}",
    "\u{10C80}-\u{10CB2}\u{10CC0}-\u{10CF2}\u{118A0}-\u{118DF}\u{1E900}-\u{1E943}",
    "]+"
);
/// Punctuation of ASCII (and its letters: the range from `:` to `~` has them), full-width, quotes, Chinese stops.
const PUNCTUATION: &str = "\\s?[!-/:-~\u{FF01}-\u{FF0F}\u{FF1A}-\u{FF5E}\u{2018}-\u{201F}\u{3000}-\u{3002}]+";

/// All that are known.
static PRE_TOKENIZERS: &[PreTokenizer] = &[
    PreTokenizer {
        // V3, R1 and V4: numbers in threes, then Chinese and Japanese runs, then words, punctuation, line ends, spaces.
        names: &["joyai-llm", "deepseek-v3", "hunyuan-dense"],
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
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // Qwen 2 and 3, R1's distills among them: English contractions, words, single digits, the rest.
        names: &[
            "qwen2",
            "deepseek-r1-qwen",
            "megrez",
            "stablelm2",
            "kormo",
            "f2llmv2",
            "hunyuan",
            "solar-open",
            "grok-2",
        ],
        patterns: &[concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
            r"|[^\r\n\p{L}\p{N}]?\p{L}+",
            r"|\p{N}",
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*",
            r"|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // Llama 3: the same with numbers in threes.
        names: &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        patterns: &[LLAMA_3],
        whole_words: true,
        begins: true,
    },
    PreTokenizer {
        // The same, of models that do not take words whole.
        names: &["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"],
        patterns: &[LLAMA_3],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // Qwen 3.5: as Qwen 2, with marks among the letters.
        names: &["qwen35"],
        patterns: &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // Mistral Nemo and later: words by case, single digits.
        names: &["tekken"],
        patterns: &[
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        whole_words: true,
        begins: true,
    },
    PreTokenizer {
        // o200k: words by case with contractions, digits in threes.
        names: &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"],
        patterns: &[O_200K],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // The same with words taken whole.
        names: &["granite-embed-multi-97m"],
        patterns: &[O_200K],
        whole_words: true,
        begins: false,
    },
    PreTokenizer {
        // The same behind numbers in threes from their end.
        names: &["tiny_aya", "cohere2moe"],
        patterns: &[THREES_FROM_THE_END, O_200K],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        names: &[
            "gpt-2",
            "phi-2",
            "mpt",
            "olmo",
            "jais",
            "exaone4",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "trillion",
            "granite-docling",
            "jina-es",
            "jina-de",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v1-en",
            "jina-v2-code",
            "roberta-bpe",
        ],
        patterns: &[GPT_2],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // Single digits, then GPT-2.
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
        patterns: &[DIGIT, GPT_2],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // What llama.cpp takes where a file does not say: runs of punctuation, GPT-2, runs of digits, threes of them.
        names: &[DEFAULT],
        patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT_2, r"\p{N}+", "[0-9][0-9][0-9]"],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // Runs of punctuation, GPT-2, threes of digits.
        names: &["falcon"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|`]+", GPT_2, r"[0-9][0-9][0-9]"],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // Qwen 2, but line ends one by one.
        names: &["bailingmoe", "bailingmoe2", "llada-moe"],
        patterns: &[
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        ],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // Qwen 2, but symbols without line ends.
        names: &["seed-coder"],
        patterns: &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // Numbers in threes, then Llama 3.
        names: &["minicpm5"],
        patterns: &[
            r"\p{N}{1,3}",
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        whole_words: true,
        begins: false,
    },
    PreTokenizer {
        // Kimi K2 and Moonlight: o200k without Chinese characters among the letters, which are runs of their own.
        names: &["kimi-k2"],
        patterns: &[concat!(
            r"[\p{Han}]+",
            r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // Llama 3, but spaces in powers of two.
        names: &["jais-2"],
        patterns: &[concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+",
            r"|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}",
        )],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // Letters with their marks, over single spaces.
        names: &["exaone-moe"],
        patterns: &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
        ],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // Whatever stands between spaces and stops.
        names: &["bloom", "poro-chat", "gpt3-finnish"],
        patterns: &[r" ?[^(\s|.,!?…。，、।۔،)]+"],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // The same with single digits.
        names: &["viking"],
        patterns: &[r" ?[^(\s|.,!?…。，、।۔،)]+", DIGIT],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // Korean, Chinese and Japanese apart, then words by case.
        names: &["youtu"],
        patterns: &[
            r"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+",
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        whole_words: true,
        begins: false,
    },
    PreTokenizer {
        // Lines, then Qwen 2.
        names: &["laguna"],
        patterns: &[
            r"[^\n]+|[\n]+",
            r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // Words are not cut at all; numbers are, in threes from their end.
        names: &["superbpe"],
        patterns: &[r"\p{N}+", BEFORE_THREES],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // V2 and the first DeepSeek LLM, as GGUF has it: whole numbers, of which the vocabulary has only digits.
        names: &["deepseek-llm"],
        patterns: &[LINE_END, CASED_WORD, PUNCTUATION, r"\s+$", ASIAN, r"\p{N}+"],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        // The same, as their `tokenizer.json` has it.
        names: &[],
        patterns: &[LINE_END, CASED_WORD, PUNCTUATION, r"\s+$", ASIAN, DIGIT],
        whole_words: false,
        begins: false,
    },
    PreTokenizer {
        names: &["deepseek-coder"],
        patterns: &[LINE_END, r"\s?\p{L}+", r"\s?\p{P}+", ASIAN, DIGIT],
        whole_words: false,
        begins: false,
    },
];

impl PreTokenizer {
    /// The one with this GGUF name.
    pub(super) fn named(name: &str) -> Result<&'static Self> {
        PRE_TOKENIZERS.iter().find(|known| known.names.contains(&name)).ok_or_else(|| {
            Error::file("tokenizer.ggml.pre", format!("the unknown pre-tokenizer {}", quote(name)))
                .expected(supported())
        })
    }

    /// The one with these regexes, as they stand in a `tokenizer.json`, where line ends may be written as themselves.
    fn with_patterns(patterns: &[String]) -> Option<&'static Self> {
        let written: Vec<String> = patterns.iter().map(|p| p.replace('\r', r"\r").replace('\n', r"\n")).collect();
        PRE_TOKENIZERS.iter().find(|known| known.patterns == written)
    }

    /// The regex that the library's byte map brings along where a file asks for it.
    pub(super) fn byte_map_pattern() -> &'static str {
        GPT_2
    }

    /// What a GGUF calls it. The cut of DeepSeek's first models has no name as their `tokenizer.json` has it; the named
    /// one cuts numbers otherwise, and merging makes the same of them.
    pub(super) fn gguf_name(&self) -> &'static str {
        self.names.first().copied().unwrap_or("deepseek-llm")
    }
}

/// A regex of a file's own, and what becomes of its matches.
#[derive(Clone, Debug)]
pub(super) struct OwnSplit {
    pub(super) pattern: String,
    pub(super) behavior: SplitDelimiterBehavior,
    pub(super) inverts: bool,
}

impl OwnSplit {
    /// One whose matches are pieces, as is what lies between them.
    pub(super) fn isolated(pattern: &str) -> Self {
        Self { pattern: pattern.to_owned(), behavior: SplitDelimiterBehavior::Isolated, inverts: false }
    }
}

/// A step that a file describes.
#[derive(Clone, Debug)]
pub(super) enum OwnStep {
    Split(OwnSplit),
    PrefixSpace,
    Bytes,
}

impl OwnStep {
    /// As it is run.
    pub(super) fn build(&self) -> Result<Step> {
        Ok(match self {
            Self::Split(OwnSplit { pattern, behavior, inverts }) => {
                Step::Split { split: Split::new(pattern)?, behavior: *behavior, inverts: *inverts }
            }
            Self::PrefixSpace => Step::PrefixSpace,
            Self::Bytes => Step::Bytes,
        })
    }
}

/// How a vocabulary's texts are cut: in a way that has a name, or in one that its `tokenizer.json` describes.
#[derive(Debug)]
pub(super) enum Words {
    Known(&'static PreTokenizer),
    Own(Vec<OwnStep>),
}

impl Words {
    /// The known way, if these steps are one: splits at its regexes, then the byte map.
    pub(super) fn of(steps: Vec<OwnStep>) -> Self {
        let pattern = |step: &OwnStep| match step {
            OwnStep::Split(split) if split.behavior == SplitDelimiterBehavior::Isolated && !split.inverts => {
                Some(split.pattern.clone())
            }
            _ => None,
        };
        let patterns: Option<Vec<String>> = match &steps[..] {
            [splits @ .., OwnStep::Bytes] => splits.iter().map(pattern).collect(),
            _ => None,
        };
        match patterns.and_then(|patterns| PreTokenizer::with_patterns(&patterns)) {
            Some(known) => Self::Known(known),
            None => Self::Own(steps),
        }
    }

    /// The known way, which alone has a name in a GGUF.
    pub(super) fn known(&self) -> Option<&'static PreTokenizer> {
        match self {
            Self::Known(known) => Some(known),
            Self::Own(_) => None,
        }
    }

    /// As it is run.
    pub(super) fn build(&self) -> Result<Cut> {
        let steps: Vec<OwnStep> = match self {
            Self::Known(known) => {
                let splits = known.patterns.iter().map(|pattern| OwnStep::Split(OwnSplit::isolated(pattern)));
                splits.chain([OwnStep::Bytes]).collect()
            }
            Self::Own(steps) => steps.clone(),
        };
        Ok(Cut(steps.iter().map(OwnStep::build).collect::<Result<_>>()?))
    }
}

/// Some names, for messages.
fn supported() -> String {
    let names = PRE_TOKENIZERS.iter().filter_map(|known| known.names.first()).copied();
    let names: Vec<&str> = names.take(8).collect();
    format!("{}, or another of the {} cuts that llama.cpp has names for", names.join(", "), PRE_TOKENIZERS.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::pattern::Pattern as _;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _};

    fn cut(name: &str, text: &str) -> Vec<String> {
        let mut pieces = PreTokenizedString::from(text);
        Words::Known(PreTokenizer::named(name).unwrap()).build().unwrap().pre_tokenize(&mut pieces).unwrap();
        let spans = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
        spans.into_iter().map(|(_, (start, end), _)| text[start..end].to_owned()).collect()
    }

    #[test]
    fn the_regexes_cut_as_the_specification_says() {
        let cut = |text| cut("joyai-llm", text);
        assert_eq!(cut("I have 12345 cats"), ["I", " have", " ", "123", "45", " cats"]);
        assert_eq!(cut("don't stop!!\n\n x"), ["don", "'t", " stop", "!!\n\n", " x"]);
        assert_eq!(cut("日本語です abc"), ["日本語です", " abc"]);
        assert_eq!(cut("a   b"), ["a", "  ", " b"]);
        assert_eq!(cut("a \n \n  b"), ["a", " \n \n", " ", " b"]);
        assert_eq!(cut("tail   "), ["tail", "   "]);
        assert_eq!(cut("e\u{301}t\u{e9}"), ["e\u{301}t\u{e9}"]);
    }

    #[test]
    fn texts_are_cut_as_the_models_own_tokenizers_cut_them() {
        let facts = include_str!("../../tests/fixtures/tokenizers/cuts.json");
        let facts: serde_json::Value = serde_json::from_str(facts).unwrap();
        let (texts, cuts) = (facts["texts"].as_array().unwrap(), facts["cuts"].as_array().unwrap());
        assert!(texts.len() > 40 && cuts.len() >= 10);
        for known in cuts {
            let splits = known["splits"].as_array().unwrap();
            for name in known["names"].as_array().unwrap().iter().filter_map(|name| name.as_str()) {
                for (text, split) in texts.iter().zip(splits) {
                    let text = text.as_str().unwrap();
                    let pieces: Vec<&str> =
                        split.as_array().unwrap().iter().filter_map(|piece| piece.as_str()).collect();
                    assert_eq!(cut(name, text), pieces, "{name}: {text:?}");
                }
            }
        }
    }

    /// The same as a `tokenizer.json` asks for them, by their regexes.
    #[test]
    fn texts_are_cut_by_the_regexes_that_a_file_brings() {
        let texts: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/fixtures/tokenizers/cuts.json")).unwrap();
        let own: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/fixtures/tokenizers/own_cuts.json")).unwrap();
        let list = |value: &serde_json::Value| -> Vec<String> {
            value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        assert!(own.as_array().unwrap().len() > 5);
        for case in own.as_array().unwrap() {
            let splits = list(&case["patterns"]);
            let splits = splits.iter().map(|pattern| OwnStep::Split(OwnSplit::isolated(pattern)));
            let steps: Vec<OwnStep> = splits.chain([OwnStep::Bytes]).collect();
            assert!(Words::of(steps.clone()).known().is_some(), "{}", case["names"]);
            let own = Words::Own(steps).build().unwrap();
            for (text, split) in list(&texts["texts"]).iter().zip(case["splits"].as_array().unwrap()) {
                let mut pieces = PreTokenizedString::from(text.as_str());
                own.pre_tokenize(&mut pieces).unwrap();
                let spans = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
                let pieces: Vec<&str> = spans.into_iter().map(|(_, (start, end), _)| &text[start..end]).collect();
                assert_eq!(pieces, list(split), "{}: {text:?}", case["patterns"]);
                for name in list(&case["names"]) {
                    assert_eq!(cut(&name, text), pieces, "{name}: {text:?}");
                }
            }
        }
    }

    #[test]
    fn numbers_and_contractions_are_cut_by_each_in_its_way() {
        assert_eq!(cut("qwen2", "I'LL 1234"), ["I", "'LL", " ", "1", "2", "3", "4"]);
        assert_eq!(cut("llama-bpe", "I'LL 1234"), ["I", "'LL", " ", "123", "4"]);
        assert_eq!(cut("gpt-2", "I'll I'LL 1234"), ["I", "'ll", " I", "'", "LL", " 1234"]);
        assert_eq!(cut("deepseek-coder", "x - 12;\n"), ["x", " -", " ", "1", "2", ";", "\n"]);
        assert_eq!(cut("deepseek-llm", "x = 12;\n"), ["x", " =", " ", "12", ";", "\n"]);
    }

    /// Runs longer than the million steps at which backtracking libraries give up, and leave the end uncut: each regex
    /// cuts what follows them as it does after short ones.
    #[test]
    fn long_runs_are_cut_to_the_end() {
        let patterns = PRE_TOKENIZERS.iter().flat_map(|known| known.patterns);
        for pattern in patterns.collect::<std::collections::BTreeSet<_>>() {
            let split = Split::new(pattern).unwrap();
            let ends = |text: &str| -> Vec<String> {
                let pieces = (&split).find_matches(text).unwrap();
                let ends = pieces.iter().rev().take(3);
                ends.map(|((start, end), _)| text[*start..*end].chars().rev().take(9).collect()).collect()
            };
            for run in [" ", "\0", "a", "!", " \n", "\u{301}", "\u{3000}", "\n  "] {
                let end = "\n\n- ab cd 12";
                let (short, long) = (run.repeat(12) + end, run.repeat(1_200_000) + end);
                assert_eq!(ends(&long), ends(&short), "{pattern} after a run of {run:?}");
            }
        }
    }

    #[test]
    fn an_unknown_one_is_refused_by_name() {
        let error = PreTokenizer::named("martian").unwrap_err().to_string();
        assert!(error.contains("martian") && error.contains("joyai-llm, qwen2"), "{error}");
    }

    #[test]
    fn line_ends_may_be_written_as_themselves() {
        let known = &PRE_TOKENIZERS[0];
        let raw: Vec<String> = known.patterns.iter().map(|p| p.replace(r"\r\n", "\r\n")).collect();
        assert_eq!(PreTokenizer::with_patterns(&raw), Some(known));
    }
}

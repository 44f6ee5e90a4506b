//! The tokenizer of a `tokenizer.json` as the keys of a GGUF, as llama.cpp's converter writes them.

use super::sentence_piece::SpacePrefix;
use super::tokenizer::ENDS;
use super::tokenizer_config::TokenizerConfig;
use super::vocabulary::{Kind, Scheme, SpecialIds, Token, Vocabulary};
use super::{Tokenizer, tokenizer_json};
use crate::error::{Error, Result};
use crate::format::gguf::Value;
use std::collections::HashMap;

/// Types of tokens, as `tokenizer.ggml.token_type` has them.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// The keys `tokenizer.*` for a model with `n_vocab` rows in its embedding. `special` are the ids that `config.json`
/// names; `config` goes before them. `ends` are all that a text may end with. What a GGUF has no key for is told in `notices`.
///
/// # Errors
/// As [`Tokenizer::from_json`], and for a tokenizer that a GGUF cannot describe, or whose own tokens, those that were added left
/// aside, are more than the rows.
pub fn gguf_keys(
    json: &str,
    config: Option<&TokenizerConfig>,
    special: SpecialIds,
    ends: &[u32],
    n_vocab: u32,
    notices: &mut Vec<String>,
) -> Result<Vec<(String, Value)>> {
    let tokenizer = Tokenizer::from_files(json, special, config)?;
    let vocabulary = tokenizer_json::read(json, special, config.map_or(&[][..], |config| &config.added))?;
    let beyond = vocabulary.tokens.get(n_vocab as usize..).unwrap_or_default().iter().flatten();
    let n_added = beyond.clone().filter(|token| matches!(token.kind, Kind::Added | Kind::Control)).count();
    if beyond.count() > n_added {
        let found = format!("{} tokens", vocabulary.tokens.len());
        return Err(vocabulary.fault(found).expected(format!("at most {n_vocab}, the rows of the embedding")));
    }
    if n_added > 0 {
        notices.push(format!("{n_added} added tokens have no row in the embedding: they are left out"));
    }
    let reaches = |token: &&Token| token.reach.left || token.reach.right || token.reach.single_word;
    let n_reaching = vocabulary.tokens.iter().flatten().filter(reaches).count();
    if n_reaching > 0 {
        notices.push(format!(
            "{n_reaching} added tokens take the space beside them or stand alone (lstrip, rstrip, single_word): a GGUF cannot say \
             that, and the new file does without"
        ));
    }
    let unsaid = match vocabulary.scheme {
        Scheme::ByteLevel { composes: true, .. } => Some("characters are composed first (NFC)"),
        Scheme::SentencePiece { prefix: SpacePrefix::FirstUnlessThere | SpacePrefix::UnlessThere, .. } => {
            Some("a text that begins with a space gets no other")
        }
        _ => None,
    };
    notices.extend(unsaid.map(|what| format!("{what}: a GGUF cannot say that, and the new file does without")));
    let mut keys: Vec<(&str, Value)> = scheme_keys(&vocabulary, n_vocab)?;
    let (texts, types) = tokens(&vocabulary, n_vocab);
    let SpecialIds { bos, eos, eot, pad, add_bos } = tokenizer.special();
    keys.extend([("tokens", texts[..].into()), ("token_type", types[..].into()), ("add_bos_token", add_bos.into())]);
    // Those that every program ends at need no key.
    let is_known =
        |id: u32| [eos, eot].contains(&Some(id)) || tokenizer.text_of(id).is_some_and(|t| ENDS.contains(&&*t));
    let mut ends: Vec<u32> = ends.iter().copied().filter(|id| *id < n_vocab && !is_known(*id)).collect();
    ends.sort_unstable();
    ends.dedup();
    let mut ends = ends.into_iter();
    let (eot, eom) = (eot.or_else(|| ends.next()), ends.next());
    let rest: Vec<String> = ends.map(|id| id.to_string()).collect();
    if !rest.is_empty() {
        notices.push(format!("a text may end with the tokens {}, too: a GGUF has no key for them", rest.join(", ")));
    }
    let ids = [
        ("bos_token_id", bos),
        ("eos_token_id", eos),
        ("eot_token_id", eot),
        ("eom_token_id", eom),
        ("padding_token_id", pad),
    ];
    let is_there = |id: &u32| *id < n_vocab;
    keys.extend(ids.into_iter().filter_map(|(key, id)| Some((key, id.filter(is_there)?.into()))));
    let mut keys: Vec<(String, Value)> =
        keys.into_iter().map(|(key, value)| (format!("tokenizer.ggml.{key}"), value)).collect();
    if let Some(template) = config.and_then(|config| config.chat_template.as_deref()) {
        keys.push(("tokenizer.chat_template".to_owned(), template.into()));
    }
    if let Some(template) = config.and_then(|config| config.tool_template.as_deref()) {
        keys.push(("tokenizer.chat_templates".to_owned(), [String::from("tool_use")][..].into()));
        keys.push(("tokenizer.chat_template.tool_use".to_owned(), template.into()));
    }
    Ok(keys)
}

/// How text becomes tokens, and what that needs.
fn scheme_keys(vocabulary: &Vocabulary, n_vocab: u32) -> Result<Vec<(&'static str, Value)>> {
    let merges = || vocabulary.merges.iter().map(|(a, b)| format!("{a} {b}")).collect::<Vec<_>>();
    match &vocabulary.scheme {
        Scheme::ByteLevel { words, whole_words, .. } => {
            let pre_tokenizer = words.known().ok_or_else(|| {
                Error::file("tokenizer.json: pre_tokenizer", "splits of its own")
                    .expected("those of a pre-tokenizer that GGUF has a name for")
            })?;
            // The name of the cut says it, and nothing else does.
            if *whole_words != pre_tokenizer.whole_words {
                return Err(Error::file("tokenizer.json: ignore_merges", whole_words.to_string()).expected(format!(
                    "{}, which is what {} means in a GGUF",
                    pre_tokenizer.whole_words,
                    pre_tokenizer.gguf_name()
                )));
            }
            let pre = pre_tokenizer.gguf_name();
            Ok(vec![("model", "gpt2".into()), ("pre", pre.into()), ("merges", merges()[..].into())])
        }
        Scheme::SentencePiece { splits, splits_words, .. } if *splits_words || !splits.is_empty() => {
            Err(Error::file("tokenizer.json: pre_tokenizer", "splits of its own")
                .expected("SentencePiece without splits"))
        }
        Scheme::SentencePiece { prefix, .. } => Ok(vec![
            ("model", "llama".into()),
            ("pre", "default".into()),
            ("scores", scores(vocabulary, n_vocab)[..].into()),
            ("add_space_prefix", prefix.is_added().into()),
        ]),
    }
}

/// Texts and types of all tokens, `n_vocab` of each; ids that name none are filled as llama.cpp's converter does.
fn tokens(vocabulary: &Vocabulary, n_vocab: u32) -> (Vec<String>, Vec<i32>) {
    let is_pieces = matches!(vocabulary.scheme, Scheme::SentencePiece { .. });
    let token = |id: u32| match vocabulary.tokens.get(id as usize).and_then(Option::as_ref) {
        None => (format!("[PAD{id}]"), UNUSED),
        Some(Token { text, kind, .. }) => {
            let kind = match kind {
                Kind::Control if is_pieces && text == "<unk>" => UNKNOWN,
                Kind::Control => CONTROL,
                Kind::Added if looks_special(text) => CONTROL,
                Kind::Added => USER_DEFINED,
                Kind::Byte(_) => BYTE,
                Kind::Normal => NORMAL,
            };
            (text.clone(), kind)
        }
    };
    (0..n_vocab).map(token).unzip()
}

/// Tokens that mark the turns of a conversation are control tokens to llama.cpp, whatever the file says of them.
fn looks_special(text: &str) -> bool {
    [("<|", "|>"), ("<｜", "｜>")].iter().any(|(begin, end)| text.starts_with(begin) && text.ends_with(end))
}

/// Scores under which merging by the best score does what the merges say: the earlier the merge that makes a token, the
/// higher. Tokens that no merge makes come last.
fn scores(vocabulary: &Vocabulary, n_vocab: u32) -> Vec<f32> {
    let mut ranks: HashMap<String, usize> = HashMap::new();
    for (rank, (a, b)) in vocabulary.merges.iter().enumerate() {
        ranks.entry(format!("{a}{b}")).or_insert(rank);
    }
    let last = vocabulary.merges.len();
    let score = |token: &Option<Token>| match token {
        Some(Token { text, kind: Kind::Normal | Kind::Added, .. }) => {
            -(ranks.get(text).copied().unwrap_or(last) as f32)
        }
        _ => 0.0,
    };
    let mut scores: Vec<f32> = vocabulary.tokens.iter().map(score).collect();
    scores.resize(n_vocab as usize, 0.0);
    scores
}

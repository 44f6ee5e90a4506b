//! A small tokenizer for models whose text means nothing: every byte is a token, and two spaces are one.

use super::byte_map::char_of;
use super::export;
use super::vocabulary::SpecialIds;
use crate::error::{Error, Result};
use crate::format::gguf::Value;
use serde_json::json;

/// Ids behind those of the bytes.
const TWO_SPACES: u32 = 256;
const BOS: u32 = 257;
const EOS: u32 = 258;

/// Its keys in a GGUF of a model with `n_vocab` rows in its embedding; ids past the last token are unused ones.
///
/// # Errors
/// When there are fewer rows than tokens.
pub fn gguf_keys_of_bytes(n_vocab: u32) -> Result<Vec<(String, Value)>> {
    if n_vocab <= EOS {
        return Err(Error::usage("vocabulary", format!("{n_vocab} tokens"))
            .expected(format!("at least {}: the bytes, and what begins and ends a text", EOS + 1)));
    }
    let mut vocab: serde_json::Map<String, serde_json::Value> =
        (0..=255u8).map(|byte| (char_of(byte).to_string(), byte.into())).collect();
    let space = char_of(b' ');
    vocab.insert(format!("{space}{space}"), TWO_SPACES.into());
    let added = |id: u32, content: &str| json!({"id": id, "content": content, "special": true});
    let tokenizer = json!({
        "added_tokens": [added(BOS, "<s>"), added(EOS, "</s>")],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocab, "merges": [format!("{space} {space}")]},
    });
    let special = SpecialIds { bos: Some(BOS), eos: Some(EOS), ..SpecialIds::default() };
    export::gguf_keys(&tokenizer.to_string(), None, special, &[], n_vocab, &mut Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_has_a_text_and_too_few_rows_are_refused() -> Result<()> {
        let keys = gguf_keys_of_bytes(300)?;
        let value = |key: &str| keys.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        let Some(Value::Texts(texts)) = value("tokenizer.ggml.tokens") else { panic!("no tokens: {keys:?}") };
        assert_eq!(texts.len(), 300);
        assert_eq!(value("tokenizer.ggml.eos_token_id"), Some(&EOS.into()));
        assert!(gguf_keys_of_bytes(258).is_err());
        Ok(())
    }
}

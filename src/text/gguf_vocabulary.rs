//! A vocabulary from a GGUF's metadata, the keys `tokenizer.ggml.*`.

use super::pre_tokenizer::PreTokenizer;
use super::vocabulary::{Kind, SpecialIds, Token, Vocabulary, quote, split_merge};
use crate::error::{Error, Result};

/// What a GGUF says of its tokenizer, as it stands there; nothing in it need be true.
#[derive(Clone, Debug, Default)]
pub struct GgufVocabulary<'a> {
    /// `tokenizer.ggml.model`: `gpt2` is byte-level BPE, `no_vocab` means that the file has no tokenizer.
    pub model: &'a str,
    /// `tokenizer.ggml.pre`: how text is cut into words.
    pub pre: &'a str,
    /// `tokenizer.ggml.tokens`: [n_vocab].
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.token_type`: [n_vocab] of 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte;
    /// or empty: all are normal.
    pub token_types: Vec<i32>,
    /// `tokenizer.ggml.merges`: "a b", best first.
    pub merges: Vec<String>,
    /// `tokenizer.ggml.{bos,eos,padding}_token_id` and `tokenizer.ggml.add_bos_token`.
    pub special: SpecialIds,
}

impl GgufVocabulary<'_> {
    /// Whether the file says that it has no tokenizer: its model then takes and gives token ids only.
    pub fn is_absent(&self) -> bool {
        matches!(self.model, "no_vocab" | "none")
    }

    pub(super) fn read(self) -> Result<Vocabulary> {
        if self.model != "gpt2" {
            return Err(Error::file("tokenizer.ggml.model", format!("the unknown tokenizer {}", quote(self.model)))
                .expected("gpt2 (byte-level BPE) or no_vocab")
                .advice("Token ids can still be given in place of a text."));
        }
        let pre_tokenizer = PreTokenizer::named(self.pre)?;
        let n_tokens = self.tokens.len();
        let types = if self.token_types.is_empty() { vec![1; n_tokens] } else { self.token_types };
        if types.len() != n_tokens {
            return Err(Error::file(
                "tokenizer.ggml.token_type",
                format!("{} types for {n_tokens} tokens", types.len()),
            )
            .expected("one for each token"));
        }
        let read_token = |(id, (text, kind))| Ok(Some(Token { text, kind: read_kind(id, kind)? }));
        let read_merge = |(index, merge): (_, &String)| split_merge("tokenizer.ggml.merges", index, merge);
        Ok(Vocabulary {
            origin: "tokenizer.ggml.tokens",
            tokens: self.tokens.into_iter().zip(types).enumerate().map(read_token).collect::<Result<_>>()?,
            merges: self.merges.iter().enumerate().map(read_merge).collect::<Result<_>>()?,
            pre_tokenizer,
            special: self.special,
        })
    }
}

/// llama.cpp searches a text for control, user-defined and unknown tokens; so do we.
fn read_kind(id: usize, token_type: i32) -> Result<Kind> {
    match token_type {
        1 | 5 | 6 => Ok(Kind::Normal),
        2 | 3 => Ok(Kind::Control),
        4 => Ok(Kind::Added),
        other => Err(Error::file("tokenizer.ggml.token_type", format!("token {id} has type {other}"))
            .expected("a type from 1 to 6")),
    }
}

//! Text to token ids and back. Knows no model and no GPU.
//!
//! [`chat`] writes conversations as models were trained to read them. A [`Tokenizer`] comes from a GGUF's metadata ([`GgufVocabulary`]) or from a `tokenizer.json`; both become one checked
//! vocabulary. Encoding: special tokens are found in the text, what lies between is cut into words, every byte is
//! spelt by GPT-2's byte map, and pairs are merged, best first: the `tokenizers` library does it. Decoding is a
//! table of bytes per id, and [`Stream`] gives whole characters as ids arrive.
//!
//! Easy to get wrong, each with the test that guards it:
//! - a character can be spread over several tokens: `parts_together_are_the_whole`;
//! - the same string has another id in another model of the family, so ids are looked up: [`Tokenizer::id_of`];
//! - a prompt encoder that writes the BOS token must not get a second one: `one_bos_is_enough`;
//! - a look-ahead that gives up in a long run of spaces leaves the rest uncut: `long_runs_are_cut_to_the_end`.

mod byte_map;
pub mod chat;
mod cut;
pub mod export;
mod gguf_vocabulary;
pub mod markdown;
mod normal;
mod of_bytes;
mod pre_tokenizer;
mod sentence_piece;
mod stop_strings;
mod stream;
mod tokenizer;
mod tokenizer_config;
mod tokenizer_json;
mod vocabulary;

pub use gguf_vocabulary::GgufVocabulary;
pub use of_bytes::gguf_keys_of_bytes;
pub use stop_strings::StopStrings;
pub use stream::{Control, Stream};
pub use tokenizer::{Bos, Tokenizer};
pub use tokenizer_config::TokenizerConfig;
pub use vocabulary::SpecialIds;

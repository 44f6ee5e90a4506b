//! Any text at all as a model's `config.json`, and as the other JSON beside it: no panic, and no sizes that overflow.
#![no_main]

use headstart::model::{Shape, grouped, mla};
use headstart::text::TokenizerConfig;
use headstart::text::chat::Transcript;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = Shape::from_config(text);
    let _ = mla::Shape::from_config(text);
    let _ = grouped::Shape::from_config(text);
    let _ = TokenizerConfig::read(text);
    let _ = Transcript::from_json(text);
});

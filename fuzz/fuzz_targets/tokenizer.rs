//! Any vocabulary and any text: no panic, every id names a token, and what was encoded comes back.
//! The first byte chooses the kind of file; the rest is cut at 0xFF into the file's tokens, and the text last.
#![no_main]

use headstart::text::{Bos, Control, GgufVocabulary, SpecialIds, Tokenizer, TokenizerConfig};
use libfuzzer_sys::fuzz_target;

/// A vocabulary that has every byte, so that the fuzzer need not find them first, and whatever else it was given.
fn vocabulary<'a>(model: &'a str, pre: &'a str, given: &[String]) -> GgufVocabulary<'a> {
    let bytes: Vec<String> = match model {
        "llama" => (0..=255u8).map(|byte| format!("<0x{byte:02X}>")).collect(),
        _ => {
            let printable = |byte: &u32| matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
            let others = (0..256u32).filter(|byte| !printable(byte)).zip(0x100u32..).map(|(_, code)| code);
            (0..256u32).filter(printable).chain(others).filter_map(char::from_u32).map(String::from).collect()
        }
    };
    let tokens: Vec<String> =
        bytes.into_iter().chain(given.iter().filter(|token| !token.contains(' ')).cloned()).collect();
    let merges = given.iter().filter(|token| token.contains(' ')).cloned().collect();
    let scores = (0..tokens.len()).map(|at| -(at as f32)).collect();
    let token_types = (0..tokens.len()).map(|at| if at < 256 { 1 } else { 1 + (at % 4) as i32 }).collect();
    let special = SpecialIds { bos: Some(0), ..SpecialIds::default() };
    GgufVocabulary { model, pre, tokens, scores, token_types, merges, special, ..Default::default() }
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let mut parts: Vec<String> =
        rest.split(|&byte| byte == 0xFF).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    let text = parts.pop().unwrap_or_default();
    let pres = ["deepseek-llm", "deepseek-coder", "deepseek-v3", "qwen2", "llama-bpe", "gpt-2"];
    let tokenizer = match kind % 8 {
        6 => Tokenizer::from_gguf(vocabulary("llama", "", &parts)),
        7 => {
            let _ = TokenizerConfig::read(&text);
            Tokenizer::from_json(parts.first().unwrap_or(&text), SpecialIds::default()).map(Some)
        }
        pre => Tokenizer::from_gguf(vocabulary("gpt2", pres[pre as usize], &parts)),
    };
    if let Ok(Some(tokenizer)) = tokenizer {
        let ids = tokenizer.encode(&text, Bos::AsModelSays).unwrap_or_default();
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.n_vocab()));
        let mut stream = tokenizer.stream(Control::Show);
        let streamed: String = ids.iter().map(|&id| stream.push(id)).collect::<String>() + &stream.finish();
        let whole = tokenizer.decode(&ids, Control::Show);
        assert!(streamed == whole || streamed.strip_prefix(' ') == Some(&whole));
    }
});

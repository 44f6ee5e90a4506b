//! Any text at all as a chat template: no panic, and an end in bounded time and memory; and reasoning split anywhere.
#![no_main]

use headstart::text::chat::{Chat, Message, Part, ReasoningSplitter, RenderOptions, Role, ToolCall};
use headstart::text::{SpecialIds, Tokenizer};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TOKENIZER: LazyLock<Option<Tokenizer>> = LazyLock::new(|| {
    Tokenizer::from_json(include_str!("../../tests/fixtures/tokenizer.json"), SpecialIds::default()).ok()
});

fuzz_target!(|source: &str| {
    let Some(tokenizer) = TOKENIZER.as_ref() else { return };
    if let Ok(chat) = Chat::from_template(source, tokenizer) {
        let call = ToolCall {
            id: "1".into(),
            name: "f".into(),
            arguments: r#"{"x": [1, null, "y"]}"#.into(),
            ..ToolCall::default()
        };
        let called = Message { tool_calls: vec![call], ..Message::new(Role::Assistant, "<think>a</think>b") };
        let messages = [
            Message::new(Role::System, "s"),
            Message::new(Role::User, "u"),
            called,
            Message::new(Role::Tool, "t"),
            Message::new(Role::User, "u\n"),
        ];
        let tools = vec![r#"{"name": "f", "parameters": {}}"#.to_owned()];
        let _ = chat.render(&messages, &RenderOptions { now: 1, tools, ..RenderOptions::default() });
    }
    let (mut whole, mut pieces) = (ReasoningSplitter::after("<think>"), ReasoningSplitter::after("<think>"));
    let joined = |parts: Vec<(Part, String)>| -> String { parts.into_iter().map(|(_, text)| text).collect() };
    let at_once = joined(whole.push(source)) + &joined(whole.finish());
    let mut bit_by_bit: String = source.chars().map(|c| joined(pieces.push(&c.to_string()))).collect();
    bit_by_bit += &joined(pieces.finish());
    assert_eq!(at_once, bit_by_bit);
});

//! Any text at all as what a model writes: no panic in what looks for calls of tools, and in what the page lays out.
#![no_main]

use headstart::text::chat::tool_calls;
use headstart::text::markdown::blocks;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let tools = [r#"{"name": "f", "parameters": {"properties": {"x": {"type": "string"}, "n": {"type": "integer"}}}}"#];
    let called = tool_calls(text, &tools.map(str::to_owned));
    // What stands around the calls is the model's own, and no more than that.
    assert!(called.text.len() <= text.len());
    let _ = blocks(text);
});

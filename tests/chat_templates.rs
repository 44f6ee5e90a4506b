//! Chat templates against what Jinja2 makes of them, set up as transformers does: small ones, each about one thing
//! (`tools/fixtures/jinja_snippets.py`).

#![allow(clippy::unwrap_used)]

use headstart::format::{Memory, gguf};
use headstart::text::chat::{Chat, Message, RenderOptions, Role};
use headstart::text::{GgufVocabulary, Tokenizer};
use serde_json::Value;
use std::sync::LazyLock;

const VOCABULARY: &[u8] = include_bytes!("fixtures/tokenizers/bpe.gguf");

/// Of a model that begins texts with `<BOS>` and ends them with `<EOS>`.
static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
    let file = pollster::block_on(gguf::read(&Memory::new("fixture", VOCABULARY), 0)).unwrap();
    let mut vocabulary = GgufVocabulary::from_metadata(&file.metadata).unwrap();
    vocabulary.tokens[0] = "<BOS>".into();
    vocabulary.tokens[1] = "<EOS>".into();
    Tokenizer::from_gguf(vocabulary).unwrap().unwrap()
});

fn message(value: &Value) -> Message {
    let role = [Role::System, Role::User, Role::Assistant].into_iter().find(|role| value["role"] == role.name());
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    Message { reasoning: text("reasoning_content"), ..Message::new(role.unwrap(), text("content")) }
}

#[test]
fn snippets_render_as_jinja_renders_them_or_fail_where_it_fails() {
    let facts: Value = serde_json::from_str(include_str!("fixtures/jinja_snippets.json")).unwrap();
    let messages: Vec<Message> = facts["messages"].as_array().unwrap().iter().map(message).collect();
    let options = RenderOptions { thinking: true, now: facts["now"].as_u64().unwrap(), ..RenderOptions::default() };
    let cases = facts["cases"].as_array().unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let (template, right) = (case[0].as_str().unwrap(), case[1].as_str());
        let found = Chat::from_template(template, &TOKENIZER).and_then(|chat| chat.render(&messages, &options));
        if found.as_deref().ok() != right {
            wrong.push(format!("{template:?}\n    found {:?}\n    right {right:?}", found.map_err(|error| error.found)));
        }
    }
    assert!(cases.len() > 600 && wrong.is_empty(), "{} of {}\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

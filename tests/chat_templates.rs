//! Chat templates against what Jinja2 makes of them, set up as transformers does: small ones, each about one thing
//! (`tools/fixtures/jinja_snippets.py`), some drawn at random (`tools/fixtures/random_templates.py`), and those of real models
//! (`tools/fixtures/wild_templates.py`).

#![allow(clippy::unwrap_used)]

use headstart::format::{Memory, gguf};
use headstart::text::chat::{Chat, Message, RenderOptions, Role, ToolCall};
use headstart::text::{GgufVocabulary, Tokenizer};
use serde_json::{Value, json};
use std::io::Read;
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
    let roles = [Role::System, Role::User, Role::Assistant, Role::Tool];
    let role = roles.into_iter().find(|role| value["role"] == role.name()).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let call = |call: &Value| ToolCall {
        id: text(&call["id"]),
        name: text(&call["function"]["name"]),
        arguments: in_order(&call["function"]["arguments"], &["place", "days", "sure", "parts", "share"]),
        ..ToolCall::default()
    };
    // As a file has it: a text that a person types becomes a list of parts where a template reads lists alone.
    let mut given = json!({ "role": role.name(), "content": text(&value["content"]) });
    if value["tool_call_id"].is_string() {
        given["tool_call_id"] = value["tool_call_id"].clone();
    }
    Message {
        given: given.to_string(),
        reasoning: text(&value["reasoning_content"]),
        tool_calls: value["tool_calls"].as_array().map(|calls| calls.iter().map(call).collect()).unwrap_or_default(),
        tool_call_id: text(&value["tool_call_id"]),
        ..Message::new(role, text(&value["content"]))
    }
}

/// An object as JSON with these of its keys, in this order, which [`Value`] does not keep.
fn in_order(object: &Value, keys: &[&str]) -> String {
    let known = keys.iter().filter(|key| object.get(**key).is_some());
    let fields: Vec<String> = known.map(|key| format!("{key:?}: {}", object[*key])).collect();
    format!("{{{}}}", fields.join(", "))
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
            wrong
                .push(format!("{template:?}\n    found {:?}\n    right {right:?}", found.map_err(|error| error.found)));
        }
    }
    for case in facts["refused"].as_array().unwrap() {
        let (template, word) = (case[0].as_str().unwrap(), case[1].as_str().unwrap());
        let error = Chat::from_template(template, &TOKENIZER).err().map(|error| error.to_string());
        assert!(error.as_ref().is_some_and(|error| error.contains(word)), "{template:?}: {error:?}");
    }
    assert!(cases.len() > 1000 && wrong.is_empty(), "{} of {}\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn templates_drawn_at_random_render_as_jinja_renders_them_or_fail_where_it_fails() {
    let facts: Value = serde_json::from_str(&unpacked(include_bytes!("fixtures/random_templates.json.gz"))).unwrap();
    let messages: Vec<Message> = facts["messages"].as_array().unwrap().iter().map(message).collect();
    let options = RenderOptions { thinking: true, now: facts["now"].as_u64().unwrap(), ..RenderOptions::default() };
    let (mut wrong, mut n_refused) = (Vec::new(), 0);
    let cases = facts["cases"].as_array().unwrap();
    for case in cases {
        let (template, right) = (case[0].as_str().unwrap(), case[1].as_str());
        let found = Chat::from_template(template, &TOKENIZER).and_then(|chat| chat.render(&messages, &options));
        n_refused += usize::from(right.is_none());
        if found.as_deref().ok() != right {
            wrong
                .push(format!("{template:?}\n    found {:?}\n    right {right:?}", found.map_err(|error| error.found)));
        }
    }
    let n = cases.len();
    assert!(n > 1400 && n_refused < n / 4 && wrong.is_empty(), "{} of {n}\n{}", wrong.len(), wrong.join("\n"));
}

/// The text of a packed fixture.
fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

/// The functions of the fixture's tools, as they stand there: their keys keep their order in the text alone.
fn functions(fixture: &str) -> Vec<String> {
    let (mut rest, mut functions) = (fixture.split_once("\"tools\": [").unwrap().1, Vec::new());
    while functions.len() < 2 {
        rest = rest.split_once("\"function\": ").unwrap().1;
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        stream.next().unwrap().unwrap();
        functions.push(rest[..stream.byte_offset()].to_owned());
    }
    functions
}

#[test]
fn templates_of_real_models_render_as_jinja_renders_them() {
    let fixture = unpacked(include_bytes!("fixtures/wild_templates.json.gz"));
    let facts: Value = serde_json::from_str(&fixture).unwrap();
    let tools = functions(&fixture);
    let conversations = facts["conversations"].as_array().unwrap();
    let (mut wrong, mut n, mut n_refused) = (Vec::new(), 0, 0);
    for case in facts["templates"].as_array().unwrap() {
        let chat = Chat::from_template(case["template"].as_str().unwrap(), &TOKENIZER);
        for (conversation, right) in conversations.iter().zip(case["rendered"].as_array().unwrap()) {
            let messages: Vec<Message> = conversation["messages"].as_array().unwrap().iter().map(message).collect();
            let options = RenderOptions {
                thinking: conversation["thinking"] != Value::Bool(false),
                tools: if conversation["tools"].is_array() { tools.clone() } else { Vec::new() },
                now: facts["now"].as_u64().unwrap(),
                ..RenderOptions::default()
            };
            let render = |messages: &[Message]| chat.as_ref().map_err(Clone::clone)?.render(messages, &options);
            let found = render(&messages);
            // What is typed is rendered alike, but where a template passes over texts.
            let typed = messages.iter().map(|message| Message { given: String::new(), ..message.clone() });
            let typed: Vec<Message> = typed.collect();
            let asked = typed.iter().rfind(|message| message.role == Role::User).map_or("", |asked| &asked.content);
            if found.as_ref().is_ok_and(|found| found.contains(asked)) {
                assert_eq!(render(&typed), found, "{}", case["name"]);
            }
            n += 1;
            n_refused += usize::from(right.is_null());
            if found.as_deref().ok() != right.as_str() {
                wrong.push(format!("{}: {messages:?}\n    found {found:?}\n    right {right:?}", case["name"]));
            }
        }
    }
    assert!(n > 300 && n_refused < n / 4 && wrong.is_empty(), "{} of {n}\n{}", wrong.len(), wrong.join("\n"));
}

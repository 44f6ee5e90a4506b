//! A conversation from a file: JSON as most programs exchange it, with `role` and `content`, and what V4 knows besides.

use super::json;
use super::message::{Message, Role, ToolCall};
use crate::error::{Error, Result};
use minijinja::Value;
use minijinja::value::ValueKind;

/// What was said before, and the tools that were at hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// What was said, in its order; at least one message.
    pub messages: Vec<Message>,
    /// Each the JSON object of a function, as in [`super::RenderOptions::tools`].
    pub tools: Vec<String>,
}

impl Transcript {
    /// Reads a list of messages, or an object of `messages` and `tools`. A message has `role` and `content` (a text, or
    /// a list of parts whose texts are put below each other), and may have `reasoning_content`, `tool_calls`,
    /// `tool_call_id`, `tools`, `task`, `response_format` and `wo_eos`. Other keys are passed over.
    ///
    /// # Errors
    /// What is no JSON, or no conversation: with the message's number, from 1.
    pub fn from_json(text: &str) -> Result<Self> {
        let whole = json::read("messages", text.trim_start_matches('\u{feff}'))?;
        let (messages, tools) = match whole.kind() {
            ValueKind::Seq => (whole, Vec::new()),
            ValueKind::Map => (field(&whole, "messages"), functions("tools", &field(&whole, "tools"))?),
            kind => return Err(wrong("messages", kind, "a list of messages, or an object with one")),
        };
        let items = list("messages", &messages)?;
        let messages: Vec<Message> =
            (1..).zip(&items).map(|(number, item)| message(number, item)).collect::<Result<_>>()?;
        if messages.is_empty() {
            return Err(Error::usage("messages", "none").expected("at least one"));
        }
        Ok(Self { messages, tools })
    }
}

fn message(number: usize, item: &Value) -> Result<Message> {
    let what = format!("message {number}");
    if item.kind() != ValueKind::Map {
        return Err(wrong(&what, item.kind(), "an object with `role` and `content`"));
    }
    let role = text(&format!("{what}: role"), &field(item, "role"))?;
    let Some(role) = Role::ALL.into_iter().find(|known| known.name() == role) else {
        let known = Role::ALL.map(Role::name).join(", ");
        return Err(Error::usage(format!("{what}: role"), format!("{role:?}")).expected(format!("one of {known}")));
    };
    let calls = list(&format!("{what}: tool_calls"), &field(item, "tool_calls"))?;
    let calls = calls.iter().map(|call| tool_call(&format!("{what}: tool_calls"), call)).collect::<Result<_>>()?;
    let text_of = |key: &str| text(&format!("{what}: {key}"), &field(item, key));
    let reasoning = text_of("reasoning_content")?;
    let response_format = field(item, "response_format");
    Ok(Message {
        role,
        content: content(&format!("{what}: content"), &field(item, "content"))?,
        reasoning: if reasoning.is_empty() { text_of("reasoning")? } else { reasoning },
        tool_calls: calls,
        tool_call_id: text_of("tool_call_id")?,
        tools: functions(&format!("{what}: tools"), &field(item, "tools"))?,
        task: text_of("task")?,
        response_format: if response_format.is_true() { as_json(&what, &response_format)? } else { String::new() },
        unfinished: field(item, "wo_eos").is_true(),
    })
}

/// What stands under a key; nothing is Python's `None`.
fn field(object: &Value, key: &str) -> Value {
    let value = object.get_attr(key).unwrap_or_default();
    if value.is_undefined() { Value::from(()) } else { value }
}

fn wrong(what: &str, found: impl std::fmt::Display, expected: &str) -> Error {
    Error::usage(what, format!("a JSON {found}")).expected(expected)
}

fn text(what: &str, value: &Value) -> Result<String> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None if value.is_none() => Ok(String::new()),
        None => Err(wrong(what, value.kind(), "a text")),
    }
}

fn list(what: &str, value: &Value) -> Result<Vec<Value>> {
    match value.kind() {
        ValueKind::None => Ok(Vec::new()),
        ValueKind::Seq => Ok(value.try_iter().map(Iterator::collect).unwrap_or_default()),
        kind => Err(wrong(what, kind, "a list")),
    }
}

/// A text, or parts of one.
fn content(what: &str, value: &Value) -> Result<String> {
    if value.kind() != ValueKind::Seq {
        return text(what, value);
    }
    let part = |part: &Value| match field(part, "text").as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(Error::usage(what, "a part that is no text").expected("texts: no model here reads anything else")),
    };
    Ok(list(what, value)?.iter().map(part).collect::<Result<Vec<_>>>()?.join("\n"))
}

fn as_json(what: &str, value: &Value) -> Result<String> {
    json::line(value).map_err(|_| Error::usage(what, "a value that JSON cannot say"))
}

/// The functions of tools: `{"type": "function", "function": {…}}`, or the function alone.
fn functions(what: &str, tools: &Value) -> Result<Vec<String>> {
    let function = |tool: &Value| {
        let function = field(tool, "function");
        let function = if function.is_none() { tool.clone() } else { function };
        if function.kind() != ValueKind::Map || field(&function, "name").as_str().is_none() {
            return Err(
                Error::usage(what, "a tool without a name").expected("an object with `function`, and its `name`")
            );
        }
        as_json(what, &function)
    };
    list(what, tools)?.iter().map(function).collect()
}

/// A call; its arguments are a JSON object, or a text of one.
fn tool_call(what: &str, call: &Value) -> Result<ToolCall> {
    let function = field(call, "function");
    let function = if function.is_none() { call.clone() } else { function };
    let arguments = field(&function, "arguments");
    let arguments = match arguments.as_str() {
        Some(text) => text.to_owned(),
        None if arguments.is_none() => "{}".to_owned(),
        None => as_json(what, &arguments)?,
    };
    let name = text(what, &field(&function, "name"))?;
    if name.is_empty() {
        return Err(Error::usage(what, "a call without a name").expected("`function`, with `name` and `arguments`"));
    }
    Ok(ToolCall { id: text(what, &field(call, "id"))?, name, arguments })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversations_are_read_as_programs_exchange_them() {
        let text = "\u{feff}{\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"a\": 1e16}}], \"messages\": [
            {\"role\": \"system\", \"content\": null, \"tools\": [{\"name\": \"g\"}], \"response_format\": {\"b\": 1}},
            {\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a\"}, {\"text\": \"b\"}], \"task\": \"query\", \"x\": 1},
            {\"role\": \"assistant\", \"reasoning_content\": \"r\", \"wo_eos\": true, \"tool_calls\":
                [{\"id\": \"1\", \"function\": {\"name\": \"f\", \"arguments\": {\"z\": 1, \"a\": 2}}}, {\"name\": \"g\", \"arguments\": \"{}\"}]},
            {\"role\": \"tool\", \"tool_call_id\": \"1\", \"content\": \"one\"}]}";
        let Transcript { messages, tools } = Transcript::from_json(text).unwrap();
        assert_eq!(tools, ["{\"name\": \"f\", \"a\": 1e+16}"]);
        let roles: Vec<&str> = messages.iter().map(|message| message.role.name()).collect();
        assert_eq!(roles, ["system", "user", "assistant", "tool"]);
        assert_eq!(
            (messages[0].tools[0].as_str(), messages[0].response_format.as_str()),
            ("{\"name\": \"g\"}", "{\"b\": 1}")
        );
        assert_eq!((messages[1].content.as_str(), messages[1].task.as_str()), ("a\nb", "query"));
        let calls = &messages[2].tool_calls;
        assert_eq!((calls[0].arguments.as_str(), calls[1].name.as_str()), ("{\"z\": 1, \"a\": 2}", "g"));
        assert!(messages[2].unfinished && messages[2].reasoning == "r" && messages[3].tool_call_id == "1");
    }

    #[test]
    fn what_is_no_conversation_is_named() {
        for (text, words) in [
            ("{", ["messages", "no JSON"]),
            ("7", ["number", "a list of messages"]),
            ("[]", ["messages", "none"]),
            ("{}", ["messages", "none"]),
            ("[7]", ["message 1", "`role`"]),
            (r#"[{"role": "user", "content": "a"}, {"role": "bot"}]"#, ["message 2: role", "developer"]),
            (r#"[{"content": "a"}]"#, ["message 1: role", "user"]),
            (r#"[{"role": "user", "content": 7}]"#, ["message 1: content", "a text"]),
            (r#"[{"role": "user", "content": [{"type": "image_url"}]}]"#, ["message 1: content", "no text"]),
            (r#"[{"role": "assistant", "tool_calls": [{}]}]"#, ["message 1: tool_calls", "without a name"]),
            (r#"{"messages": [{"role": "user"}], "tools": [{}]}"#, ["tools", "without a name"]),
        ] {
            let error = Transcript::from_json(text).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{text}: {error}");
        }
    }
}

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
    /// What the template is to find beside, as in [`super::RenderOptions::arguments`].
    pub arguments: String,
    /// Keys beside the messages that were not read; what they ask for must be asked for otherwise.
    pub unread: Vec<String>,
}

impl Transcript {
    /// Reads a list of messages, one message, an object of `messages` and `tools` (`functions`, as they were called before;
    /// `system`, a text that goes first; `chat_template_kwargs`, arguments of the template), or JSON lines with a message each. A
    /// message has `role` and `content` (a text, or a list of parts whose texts are put below each other where a template takes no
    /// list), and may have `reasoning_content`, `tool_calls`, `tool_call_id`, `tools`, `task`, `response_format` and `wo_eos`.
    /// Other keys and other roles than those of [`Role`] are for templates. `conversations` with `from` and `value` are the same, as ShareGPT has them.
    ///
    /// # Errors
    /// What is no JSON, or no conversation: with the message's number, from 1.
    pub fn from_json(text: &str) -> Result<Self> {
        let text = text.trim_start_matches('\u{feff}');
        let whole = json::read("messages", text).or_else(|error| lines(text).ok_or(error))?;
        let (messages, beside) = match whole.kind() {
            ValueKind::Seq => (whole, Value::from(())),
            ValueKind::Map if !first_of(&whole, ["role", "from"]).is_none() => (vec![whole].into(), Value::from(())),
            ValueKind::Map => (first_of(&whole, ["messages", "conversations"]), whole),
            kind => return Err(wrong("messages", kind, "a list of messages, or an object with one")),
        };
        let mut read = vec!["messages", "conversations", "tools"];
        let mut tools = functions("tools", &field(&beside, "tools"))?;
        let older = field(&beside, "functions");
        if older.kind() == ValueKind::Seq {
            tools.extend(functions("functions", &older)?);
            read.push("functions");
        }
        let items = list("messages", &messages)?;
        let mut messages: Vec<Message> =
            (1..).zip(&items).map(|(number, item)| message(number, item)).collect::<Result<_>>()?;
        let system = content("system", &field(&beside, "system")).unwrap_or_default();
        if let Some(first) = messages.first()
            && !system.is_empty()
            && first.role != Role::System
        {
            messages.insert(0, Message::new(Role::System, system));
            read.push("system");
        }
        let asked = field(&beside, "chat_template_kwargs");
        let is_asked = asked.kind() == ValueKind::Map;
        let asked = super::template::pairs(&asked).filter(|(name, _)| !name.as_str().is_some_and(|n| OWN.contains(&n)));
        let asked = Value::from_pairs(asked);
        let arguments = if is_asked { as_json("chat_template_kwargs", &asked)? } else { String::new() };
        read.extend(is_asked.then_some("chat_template_kwargs"));
        let names = beside.try_iter().ok().into_iter().flatten().map(|name| name.to_string());
        let unread = names.filter(|name| !read.contains(&name.as_str()) && !field(&beside, name).is_none()).collect();
        if messages.is_empty() {
            return Err(Error::usage("messages", "none").expected("at least one"));
        }
        Ok(Self { messages, tools, arguments, unread })
    }
}

/// What a template is always given, and no request may change.
const OWN: [&str; 4] = ["messages", "tools", "documents", "add_generation_prompt"];

/// JSON lines: more than one, and a message in each.
fn lines(text: &str) -> Option<Value> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let items: Vec<Value> = lines.map(|line| json::read("messages", line)).collect::<Result<_>>().ok()?;
    let are_messages = items.iter().all(|item| !first_of(item, ["role", "from"]).is_none());
    (items.len() > 1 && are_messages).then(|| items.into())
}

/// What stands under the first of some keys that holds something.
fn first_of<const N: usize>(object: &Value, keys: [&str; N]) -> Value {
    keys.map(|key| field(object, key)).into_iter().find(|value| !value.is_none()).unwrap_or(Value::from(()))
}

/// The role of a name; other programs have other names for some.
fn role(name: &str) -> Role {
    let name = match name.to_ascii_lowercase().as_str() {
        "human" => "user",
        "gpt" | "model" | "bot" | "ai" => "assistant",
        "function" | "ipython" | "observation" => "tool",
        "instructions" => "system",
        other => return Role::ALL.into_iter().find(|known| known.name() == other).unwrap_or(Role::Other),
    };
    role(name)
}

fn message(number: usize, item: &Value) -> Result<Message> {
    let what = format!("message {number}");
    if item.kind() != ValueKind::Map {
        return Err(wrong(&what, item.kind(), "an object with `role` and `content`"));
    }
    let name = text(&format!("{what}: role"), &first_of(item, ["role", "from"]))?;
    if name.is_empty() {
        let known = Role::ALL.map(Role::name).join(", ");
        return Err(Error::usage(format!("{what}: role"), "none").expected(format!("a text, such as {known}")));
    }
    let role = role(&name);
    let mut calls = list(&format!("{what}: tool_calls"), &field(item, "tool_calls"))?;
    // What `tool_calls` was before.
    calls.extend(Some(field(item, "function_call")).filter(|call| !call.is_none()));
    let calls: Vec<ToolCall> =
        calls.iter().map(|call| tool_call(&format!("{what}: tool_calls"), call)).collect::<Result<_>>()?;
    let text_of = |key: &str| text(&format!("{what}: {key}"), &field(item, key));
    let reasoning = text_of("reasoning_content")?;
    let response_format = field(item, "response_format");
    let parts = first_of(item, ["content", "value", "refusal"]);
    // What a tool gives may be an object.
    let is_result = role == Role::Tool && parts.kind() == ValueKind::Map && !is_typed(&parts);
    let content = if is_result { as_json(&what, &parts)? } else { content(&format!("{what}: content"), &parts)? };
    let shown = match parts.kind() {
        ValueKind::Map if is_result => parts,
        ValueKind::None if !calls.is_empty() => parts,
        ValueKind::Seq if list(&what, &parts)?.iter().all(is_typed) => parts,
        _ => content.as_str().into(),
    };
    let fields = super::template::pairs(item);
    let is_left_out = shown.is_none() && item.get_attr("content").is_ok_and(|content| content.is_undefined());
    let content_field = (!is_left_out).then(|| ("content".into(), shown));
    // Templates are shown one name of each role, and a role that nobody knows as it was given.
    let shown_role = if role == Role::Other { name.as_str() } else { role.name() };
    let given = fields.chain([("role".into(), shown_role.into())]).chain(content_field);
    Ok(Message {
        role,
        content,
        reasoning: if reasoning.is_empty() { text_of("reasoning")? } else { reasoning },
        tool_calls: calls,
        tool_call_id: id(&format!("{what}: tool_call_id"), &field(item, "tool_call_id"))?,
        tools: functions(&format!("{what}: tools"), &field(item, "tools"))?,
        task: text_of("task")?,
        response_format: if response_format.is_true() { as_json(&what, &response_format)? } else { String::new() },
        unfinished: field(item, "wo_eos").is_true(),
        given: as_json(&what, &Value::from_pairs(given))?,
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

/// By which a result names its call: some programs count them.
fn id(what: &str, value: &Value) -> Result<String> {
    if value.is_integer() { Ok(value.to_string()) } else { text(what, value) }
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
    let parts = match value.kind() {
        ValueKind::Seq => list(what, value)?,
        ValueKind::Map => vec![value.clone()],
        _ => return text(what, value),
    };
    let part = |part: &Value| {
        let inside = first_of(part, ["text", "content", "refusal"]);
        let is_empty = inside.is_none() && matches!(field(part, "type").as_str(), Some("text"));
        match part.as_str().or(inside.as_str()) {
            Some(text) => Ok(text.to_owned()),
            None if is_empty => Ok(String::new()),
            None => {
                Err(Error::usage(what, "a part that is no text").expected("texts: no model here reads anything else"))
            }
        }
    };
    Ok(parts.iter().map(part).collect::<Result<Vec<_>>>()?.join("\n"))
}

/// Whether it is a part as services have them, which templates know.
fn is_typed(part: &Value) -> bool {
    field(part, "type").as_str() == Some("text") && field(part, "text").as_str().is_some()
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

/// A call; its arguments are a JSON object, or a text of one; none are empty.
fn tool_call(what: &str, call: &Value) -> Result<ToolCall> {
    let function = field(call, "function");
    let function = if function.is_none() { call.clone() } else { function };
    let arguments = field(&function, "arguments");
    let is_text = arguments.as_str().is_some();
    let arguments = match arguments.as_str() {
        Some(text) if text.trim().is_empty() => "{}".to_owned(),
        Some(text) => text.to_owned(),
        None if arguments.is_none() => "{}".to_owned(),
        None => as_json(what, &arguments)?,
    };
    let name = text(what, &field(&function, "name"))?;
    if name.is_empty() {
        return Err(Error::usage(what, "a call without a name").expected("`function`, with `name` and `arguments`"));
    }
    Ok(ToolCall { id: id(what, &field(call, "id"))?, name, arguments, is_text })
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
        let Transcript { messages, tools, unread, .. } = Transcript::from_json(text).unwrap();
        assert!(unread.is_empty());
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
    fn what_stands_beside_the_messages_is_read_or_named() {
        let text = r#"{"model": "m", "system": [{"type": "text", "text": "Be brief."}], "functions": [{"name": "f"}], "stop": ["x"],
            "chat_template_kwargs": {"enable_thinking": false, "messages": []},
            "messages": [{"role": "user", "content": "a"}]}"#;
        let Transcript { messages, tools, arguments, mut unread } = Transcript::from_json(text).unwrap();
        assert_eq!(arguments, r#"{"enable_thinking": false}"#);
        unread.sort();
        assert_eq!(unread, ["model", "stop"]);
        assert_eq!(tools, ["{\"name\": \"f\"}"]);
        let said: Vec<_> = messages.iter().map(|message| (message.role, message.content.as_str())).collect();
        assert_eq!(said, [(Role::System, "Be brief."), (Role::User, "a")]);
        // What cannot be read is named, too.
        let text =
            r#"{"system": "A", "functions": "f", "model": null, "messages": [{"role": "system", "content": "B"}]}"#;
        let Transcript { messages, mut unread, .. } = Transcript::from_json(text).unwrap();
        unread.sort();
        assert!(unread == ["functions", "system"] && messages.len() == 1, "{unread:?}");
    }

    /// The messages without what they were read from.
    fn spoken(read: Transcript) -> Vec<Message> {
        read.messages.into_iter().map(|message| Message { given: String::new(), ..message }).collect()
    }

    #[test]
    fn other_programs_forms_are_the_same_conversation() {
        let plain = Transcript::from_json(
            r#"[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "tool", "content": "c"}]"#,
        )
        .map(spoken);
        for other in [
            "{\"role\": \"user\", \"content\": \"a\"}\r\n\n{\"role\": \"Model\", \"content\": [\"b\"]}\n\
             {\"role\": \"function\", \"content\": \"c\"}\n",
            r#"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}, {"from": "observation", "value": "c"}]}"#,
            r#"{"messages": [{"role": "User", "content": {"type": "text", "text": "a"}},
                {"role": "assistant", "content": [{"type": "text", "content": "b"}]}, {"role": "tool", "content": "c"}]}"#,
            r#"[{"role": "user", "content": "a"}, {"role": "assistant", "content": [{"type": "refusal", "refusal": "b"}]},
                {"role": "tool", "content": "c"}]"#,
            r#"[{"role": "user", "content": "a"}, {"role": "assistant", "content": null, "refusal": "b"},
                {"role": "tool", "content": "c"}]"#,
        ] {
            assert_eq!(Transcript::from_json(other).map(spoken), plain, "{other}");
        }
        let one = Transcript::from_json(r#"{"role": "user", "content": [{"type": "text", "text": null}]}"#).unwrap();
        assert_eq!(spoken(one), [Message::from("")]);
        let called = Transcript::from_json(
            r#"[{"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": ""}}]"#,
        );
        let call = ToolCall { name: "f".into(), arguments: "{}".into(), is_text: true, ..ToolCall::default() };
        assert_eq!(called.unwrap().messages[0].tool_calls, [call]);
    }

    #[test]
    fn roles_and_numbers_of_calls_are_passed_on() {
        let text = r#"[{"role": "Moderator", "content": "a"},
            {"role": "assistant", "tool_calls": [{"id": 7, "function": {"name": "f"}}]},
            {"role": "tool", "tool_call_id": 7, "content": "b"}]"#;
        let Transcript { messages, .. } = Transcript::from_json(text).unwrap();
        assert_eq!(messages[0].role, Role::Other);
        assert!(messages[0].given.contains(r#""role": "Moderator""#), "{}", messages[0].given);
        assert_eq!((messages[1].tool_calls[0].id.as_str(), messages[2].tool_call_id.as_str()), ("7", "7"));
        let error = super::super::v4::render(&messages[..1], &Default::default()).unwrap_err().to_string();
        assert!(error.contains("\"Moderator\"") && error.contains("latest_reminder"), "{error}");
    }

    #[test]
    fn what_is_no_conversation_is_named() {
        for (text, words) in [
            ("{", ["messages", "no JSON"]),
            ("7", ["number", "a list of messages"]),
            ("[]", ["messages", "none"]),
            ("{}", ["messages", "none"]),
            ("[7]", ["message 1", "`role`"]),
            (r#"[{"role": "user", "content": "a"}, {"role": ["moderator"]}]"#, ["message 2: role", "a text"]),
            (r#"[{"content": "a"}]"#, ["message 1: role", "user"]),
            (r#"[{"role": "tool", "tool_call_id": [7]}]"#, ["message 1: tool_call_id", "a text"]),
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

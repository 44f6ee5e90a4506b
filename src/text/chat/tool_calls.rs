//! Tools that a model calls in its answer, read from the text by the forms that models were trained to write:
//!
//! - V3.2's and V4's blocks of `<｜DSML｜invoke>`;
//! - R1's and V3's blocks between `<｜tool▁call▁begin｜>` and `<｜tool▁call▁end｜>`;
//! - Kimi K2's blocks between `<|tool_call_begin|>` and `<|tool_call_end|>`;
//! - `<tool_call>` with JSON in it (Hermes, Qwen2.5, Qwen3; in a list: SmolLM2), or with `<function=…>` in it (Qwen3-Coder,
//!   which leaves out tags now and then), `<function=…>` with JSON in it (Llama 3.1), `<TOOLCALL>` with a list (Nemotron), or
//!   a list alone (xLAM), behind a word (Phi-4) or in a fence;
//! - a message to a tool in a channel (gpt-oss);
//! - `[TOOL_CALLS]` with JSON behind it, in a list or after a name and `[ARGS]` (Mistral);
//! - a list of Python's calls, or JSON, between `<|tool_call_start|>` and `<|tool_call_end|>` (LFM2), or that list alone (Llama
//!   3.2 and 4);
//! - an answer that is nothing but JSON with a name and parameters (Llama 3).
//!
//! What is begun like a call and is none stays a part of the text.

use super::ToolCall;
use super::{json, pythonic};
use minijinja::Value;
use minijinja::value::ValueKind;

/// An answer with the calls taken out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Called {
    /// What else it says.
    pub text: String,
    /// The tools that it calls, in order. Their ids are empty: no model writes any.
    pub calls: Vec<ToolCall>,
    /// Whether they are messages of their own, as in gpt-oss's channels: a template would put them into another one with the text.
    pub apart: bool,
}

/// Takes the calls out of an answer. `tools` are those that the model was told of, as in
/// [`super::RenderOptions::tools`]: they tell texts from numbers where a form does not.
#[must_use]
pub fn tool_calls(answer: &str, tools: &[String]) -> Called {
    let mut called = Called::default();
    let mut rest = answer;
    while let Some((place, form)) =
        FORMS.iter().filter_map(|form| Some((rest.find(form.begin)?, form))).min_by_key(|it| it.0)
    {
        let inside = &rest[place + form.begin.len()..];
        let read = |(inside, behind)| Some(((form.read)(inside, tools).filter(|calls| !calls.is_empty())?, behind));
        // A text among the arguments may have the end in it.
        let ends = inside.match_indices(form.end).map(|(at, end)| (&inside[..at], &inside[at + end.len()..]));
        let whole = (!inside.contains(form.end)).then_some((inside, ""));
        match ends.take(MOST_ENDS).chain(whole).find_map(read) {
            Some((calls, behind)) => {
                called.text += rest[..place].trim_end();
                if form.begin == FUNCTION {
                    // The tags around it, where one within it was left out.
                    called.text.truncate(called.text.trim_end_matches("<tool_call>").trim_end().len());
                    rest = behind.trim_start().strip_prefix("</tool_call>").unwrap_or(behind);
                } else {
                    rest = behind;
                }
                called.calls.extend(calls);
                called.apart |= form.begin == CHANNEL;
            }
            // The mark is passed over, so that what follows it is looked at too.
            None => {
                let (text, behind) = rest.split_at(place + form.begin.len());
                called.text += text;
                rest = behind;
            }
        }
    }
    called.text += if called.calls.is_empty() { rest } else { rest.trim_end() };
    // Nothing marks these as calls but the names of tools, where any are known.
    let are_known =
        |calls: &Vec<ToolCall>| tools.is_empty() || calls.iter().all(|call| told(tools, &call.name).is_some());
    match called
        .calls
        .is_empty()
        .then(|| llama(answer).or_else(|| listed(answer)).or_else(|| bare(answer, tools)).filter(are_known))
        .flatten()
    {
        Some(calls) => Called { calls, ..Called::default() },
        None => called,
    }
}

/// A block of calls.
struct Form {
    begin: &'static str,
    end: &'static str,
    /// The calls between them; `None` where they are not as they should be.
    read: fn(&str, &[String]) -> Option<Vec<ToolCall>>,
}

/// More of them no call has in its arguments: each is tried.
const MOST_ENDS: usize = 8;

const FORMS: [Form; 12] = [
    Form { begin: "<｜DSML｜tool_calls>", end: "</｜DSML｜tool_calls>", read: dsml },
    Form { begin: "<｜DSML｜function_calls>", end: "</｜DSML｜function_calls>", read: dsml },
    Form { begin: "<｜tool▁calls▁begin｜>", end: "<｜tool▁calls▁end｜>", read: marked },
    // R1 leaves the mark before it out.
    Form {
        begin: ONE_MARKED,
        end: "<｜tool▁calls▁end｜>",
        read: |block, tools| marked(&[ONE_MARKED, block].concat(), tools),
    },
    Form { begin: "<|tool_calls_section_begin|>", end: "<|tool_calls_section_end|>", read: kimi },
    Form { begin: "<tool_call>", end: "</tool_call>", read: tagged },
    Form {
        begin: FUNCTION,
        end: "</function>",
        read: |block, tools| block.split(FUNCTION).map(|one| loose(one, tools)).collect(),
    },
    Form { begin: "<function_call>", end: "</function_call>", read: |block, _| one_or_more(block) },
    Form { begin: "<TOOLCALL>", end: "</TOOLCALL>", read: |block, _| one_or_more(block) },
    Form { begin: CHANNEL, end: "<|call|>", read: sent },
    Form {
        begin: "<|tool_call_start|>",
        end: "<|tool_call_end|>",
        read: |block, _| python(block).or_else(|| one_or_more(block)),
    },
    // Nothing ends these but the answer.
    Form { begin: MISTRAL, end: "</s>", read: mistral },
];
const CHANNEL: &str = "<|channel|>commentary to=functions.";
const MISTRAL: &str = "[TOOL_CALLS]";
const ONE_MARKED: &str = "<｜tool▁call▁begin｜>";

/// What stands between two marks, and what follows the second one.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<(&'a str, &'a str)> {
    text.split_once(begin)?.1.split_once(end)
}

/// The calls between such marks, one after the other.
fn each_between(block: &str, begin: &str, end: &str, read: fn(&str) -> Option<ToolCall>) -> Option<Vec<ToolCall>> {
    let mut block = block;
    let next = || {
        let (one, rest) = between(block, begin, end)?;
        block = rest;
        Some(one)
    };
    std::iter::from_fn(next).map(read).collect()
}

fn dsml(block: &str, _: &[String]) -> Option<Vec<ToolCall>> {
    each_between(block, "<｜DSML｜invoke name=\"", "</｜DSML｜invoke>", |invoke| {
        let (name, mut parameters) = invoke.split_once("\">")?;
        let mut arguments = Vec::new();
        while let Some((parameter, rest)) = between(parameters, "<｜DSML｜parameter name=\"", "</｜DSML｜parameter>")
        {
            parameters = rest;
            let (head, value) = parameter.split_once('>')?;
            let (key, is_text) = head.split_once("\" string=\"")?;
            let value = match is_text {
                "true\"" => Value::from(value),
                _ => json::read("a value", value).ok()?,
            };
            arguments.push((key.to_owned(), value));
        }
        call(name, arguments)
    })
}

/// V3.1 writes a name and JSON; R1 and V3 before it write `function`, the name, and JSON between fences.
fn marked(block: &str, _: &[String]) -> Option<Vec<ToolCall>> {
    each_between(block, ONE_MARKED, "<｜tool▁call▁end｜>", |one| {
        let (first, second) = one.split_once("<｜tool▁sep｜>")?;
        let fenced = second.split_once("```json").and_then(|(name, json)| Some((name, json.rsplit_once("```")?.0)));
        let (name, arguments) = fenced.unwrap_or((first, second));
        Some(ToolCall { name: name.trim().to_owned(), arguments: object(arguments)?, ..ToolCall::default() })
    })
}

/// A name with `functions.` before it and a number behind it, and JSON.
fn kimi(block: &str, _: &[String]) -> Option<Vec<ToolCall>> {
    each_between(block, "<|tool_call_begin|>", "<|tool_call_end|>", |one| {
        let (id, arguments) = one.split_once("<|tool_call_argument_begin|>")?;
        let name = id.trim().trim_start_matches("functions.").split(':').next()?.to_owned();
        Some(ToolCall { name, arguments: object(arguments)?, ..ToolCall::default() })
    })
}

fn tagged(block: &str, tools: &[String]) -> Option<Vec<ToolCall>> {
    let block = block.trim();
    if block.starts_with("<function=") { functions(block, tools) } else { one_or_more(block) }
}

/// A call as JSON, or a list of them.
fn one_or_more(json: &str) -> Option<Vec<ToolCall>> {
    let read = json::read("calls", json).ok()?;
    if read.kind() == ValueKind::Seq {
        read.try_iter().ok()?.map(|one| named(&one)).collect()
    } else {
        Some(vec![named(&read)?])
    }
}

fn functions(block: &str, tools: &[String]) -> Option<Vec<ToolCall>> {
    let mut pieces = block.split(FUNCTION);
    pieces.next()?;
    let function = |piece: &str| {
        // A text among the parameters may have the end in it.
        let (name, mut parameters) = piece.rsplit_once("</function>")?.0.split_once('>')?;
        let mut arguments = Vec::new();
        while let Some((parameter, rest)) = between(parameters, PARAMETER, "</parameter>") {
            // Its end was left out, and that of another was found.
            if parameter.contains("\n<parameter=") {
                return None;
            }
            parameters = rest;
            arguments.push(argument(parameter, name, tools)?);
        }
        (!parameters.contains(PARAMETER)).then(|| call(name, arguments)).flatten()
    };
    pieces.map(function).collect()
}
const FUNCTION: &str = "<function=";
const PARAMETER: &str = "<parameter=";

/// A parameter's name and its value, of which the line ends around it belong to the form.
fn argument(parameter: &str, tool: &str, tools: &[String]) -> Option<(String, Value)> {
    let (key, value) = parameter.split_once('>')?;
    let value = value.strip_prefix('\n').unwrap_or(value);
    let value = value.strip_suffix('\n').unwrap_or(value);
    // Some are spelt as Python has them.
    let spelt = [("True", "true"), ("False", "false"), ("None", "null")].into_iter().find(|it| it.0 == value.trim());
    let json = spelt.map_or(value, |it| it.1);
    let typed = if is_text(tools, tool, key) { None } else { json::read("a value", json).ok() };
    Some((key.to_owned(), typed.unwrap_or_else(|| Value::from(value))))
}

/// A function behind its first tag, with parameters that may have no end, or with JSON; only of a tool that the model was told
/// of, since texts about such tags have them too.
fn loose(function: &str, tools: &[String]) -> Option<ToolCall> {
    let (name, within) = function.split_once('>')?;
    told(tools, name)?;
    let mut pieces = within.split(PARAMETER);
    let before = without_tags(pieces.next()?);
    if before.starts_with('{') {
        return Some(ToolCall { name: name.to_owned(), arguments: object(before)?, ..ToolCall::default() });
    }
    let value = |piece: &str| match piece.split_once("</parameter>") {
        Some((parameter, behind)) => {
            without_tags(behind).is_empty().then(|| argument(parameter, name, tools)).flatten()
        }
        None => argument(without_tags(piece), name, tools),
    };
    before.is_empty().then(|| call(name, pieces.map(value).collect::<Option<_>>()?)).flatten()
}

/// A text without the space and the tags of calls around it.
fn without_tags(text: &str) -> &str {
    let mut text = text.trim();
    for tag in ["<tool_call>", "</tool_call>", "</function>"] {
        text = text.strip_suffix(tag).unwrap_or(text).trim_end();
    }
    text
}

/// What the model was told of a tool.
fn told(tools: &[String], tool: &str) -> Option<serde_json::Value> {
    tools.iter().find_map(|text| {
        let known: serde_json::Value = serde_json::from_str(text).ok()?;
        let function = known.get("function").unwrap_or(&known);
        (function.get("name")? == tool).then(|| function.clone())
    })
}

/// Whether a tool's parameter is a text; so is one that nobody told of.
fn is_text(tools: &[String], tool: &str, parameter: &str) -> bool {
    let told = told(tools, tool);
    let types = told.as_ref().and_then(|told| told.pointer("/parameters/properties"));
    types.and_then(|types| types.get(parameter)?.get("type")).is_none_or(|of| of == "string")
}

/// A name, perhaps what form its arguments have, and they.
fn sent(block: &str, _: &[String]) -> Option<Vec<ToolCall>> {
    let (head, arguments) = block.split_once("<|message|>")?;
    let name = head.split([' ', '<']).next().filter(|name| !name.is_empty())?.to_owned();
    Some(vec![ToolCall { name, arguments: object(arguments)?, ..ToolCall::default() }])
}

fn mistral(block: &str, _: &[String]) -> Option<Vec<ToolCall>> {
    let mut calls = Vec::new();
    for block in block.split(MISTRAL).map(str::trim) {
        if let Some((name, arguments)) = block.split_once("[ARGS]") {
            // An id of the call may stand between them.
            let name = name.split("[CALL_ID]").next().unwrap_or(name).trim().to_owned();
            calls.push(ToolCall { name, arguments: object(arguments)?, ..ToolCall::default() });
        } else {
            calls.extend(one_or_more(block)?);
        }
    }
    Some(calls)
}

fn python(block: &str) -> Option<Vec<ToolCall>> {
    pythonic::calls(block)?.into_iter().map(|(name, arguments)| call(&name, arguments)).collect()
}

/// Nothing but a list of Python's calls.
fn listed(answer: &str) -> Option<Vec<ToolCall>> {
    let answer = answer.trim();
    let answer = answer.strip_prefix("<|python_start|>").map_or(answer, |rest| rest.trim_end_matches("<|python_end|>"));
    answer.starts_with('[').then(|| python(answer)).flatten()
}

/// Nothing but a list of calls as JSON, which may have a word before it; or, where tools are known, a fence around calls.
fn bare(answer: &str, tools: &[String]) -> Option<Vec<ToolCall>> {
    let answer = answer.trim();
    let fenced = answer.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    let calls = match fenced {
        Some(fenced) if !tools.is_empty() => one_or_more(fenced.strip_prefix("json").unwrap_or(fenced).trim())?,
        _ => one_or_more(Some(answer.strip_prefix("functools").unwrap_or(answer)).filter(|it| it.starts_with('['))?)?,
    };
    (!calls.is_empty()).then_some(calls)
}

/// Nothing but calls as JSON, one or several with `;` between them, behind a mark or not.
fn llama(answer: &str) -> Option<Vec<ToolCall>> {
    let marks = |text: &'static str| move |answer: &str| answer.trim().trim_start_matches(text).trim().to_owned();
    let is_marked = answer.contains("<|python_tag|>");
    let answer = marks("<|python_tag|>")(answer);
    if !answer.starts_with('{') {
        // Tools that Llama 3.1 was trained with: `brave_search.call(query="…")`. Python itself looks alike.
        let called = if is_marked && answer.contains(".call(") { pythonic::calls(&answer)? } else { return None };
        let call = |(name, arguments): pythonic::Called| call(name.trim_end_matches(".call"), arguments);
        return called.into_iter().map(call).collect();
    }
    let mut calls = Vec::new();
    let mut values = serde_json::Deserializer::from_str(&answer).into_iter::<Value>();
    let mut begin = 0;
    loop {
        match values.next() {
            Some(value) => calls.push(named(&value.ok()?)?),
            None => return Some(calls),
        }
        begin += values.byte_offset();
        let rest = answer[begin..].trim_start();
        if let Some(rest) = rest.strip_prefix(';') {
            begin = answer.len() - rest.len();
            values = serde_json::Deserializer::from_str(&answer[begin..]).into_iter();
        } else {
            return rest.is_empty().then_some(calls);
        }
    }
}

/// A call as an object of a name, and arguments or parameters.
fn named(value: &Value) -> Option<ToolCall> {
    let item = |key: &str| value.get_attr(key).ok().filter(|item| !item.is_undefined());
    let arguments = item("arguments").or_else(|| item("parameters"))?;
    let arguments = match arguments.as_str() {
        Some(json) => object(json)?,
        None => written(&arguments)?,
    };
    let name = item("name")?.as_str().filter(|name| !name.is_empty())?.to_owned();
    Some(ToolCall { name, arguments, ..ToolCall::default() })
}

fn call(name: &str, arguments: Vec<(String, Value)>) -> Option<ToolCall> {
    let arguments = written(&Value::from_pairs(arguments))?;
    Some(ToolCall { name: name.to_owned(), arguments, ..ToolCall::default() }).filter(|call| !call.name.is_empty())
}

/// The text of a JSON object, written again.
fn object(json: &str) -> Option<String> {
    written(&json::read("arguments", json.trim()).ok()?)
}

fn written(arguments: &Value) -> Option<String> {
    (arguments.kind() == ValueKind::Map).then(|| json::line(arguments).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_of_an_answer_is_lost_but_space_around_calls(
            parts in prop::collection::vec(prop::sample::select(vec![
                "<tool_call>", "</tool_call>", "<function=f>", "</function>", "<parameter=a>", "</parameter>",
                "<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>", "<｜DSML｜invoke name=\"f\">", "</｜DSML｜invoke>",
                "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>",
                "{\"name\": \"f\", \"arguments\": {}}", "{", "}", ";", "é", " ", "\n", "x",
                "<|channel|>commentary to=functions.", "<|message|>", "<|call|>", "[TOOL_CALLS]", "[ARGS]", "[f(a=1)]",
            ]), 0..12),
        ) {
            let answer = parts.concat();
            let called = tool_calls(&answer, &[]);
            if called.calls.is_empty() {
                prop_assert_eq!(called.text, answer);
            } else {
                prop_assert!(called.text.len() < answer.len());
            }
        }
    }

    /// The text, and each call as `name arguments`.
    fn read(answer: &str) -> (String, Vec<String>) {
        let tools = [
            r#"{"name": "add", "parameters": {"properties": {"a": {"type": "integer"}, "to": {"type": "string"}}}}"#,
            r#"{"type": "function", "function": {"name": "go", "parameters": {"properties": {"far": {"type": "boolean"}}}}}"#,
            r#"{"name": "f"}"#,
            r#"{"name": "g"}"#,
            r#"{"name": "g.h"}"#,
        ];
        let called = tool_calls(answer, &tools.map(str::to_owned));
        (called.text, called.calls.into_iter().map(|call| format!("{} {}", call.name, call.arguments)).collect())
    }

    fn check(answer: &str, text: &str, calls: &[&str]) {
        let (found, found_calls) = read(answer);
        assert_eq!(
            (found.as_str(), found_calls),
            (text, calls.iter().map(|call| (*call).to_owned()).collect()),
            "{answer}"
        );
    }

    #[test]
    fn v4_writes_its_own_marks() {
        let answer = "I look.\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"weather\">\n\
            <｜DSML｜parameter name=\"city\" string=\"true\">Ürgüp > \"1\"</｜DSML｜parameter>\n\
            <｜DSML｜parameter name=\"days\" string=\"false\">[1, 2.5]</｜DSML｜parameter>\n</｜DSML｜invoke>\n\
            <｜DSML｜invoke name=\"time\">\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>";
        let weather = r#"weather {"city": "Ürgüp > \"1\"", "days": [1, 2.5]}"#;
        check(answer, "I look.", &[weather, "time {}"]);
        check(&answer.replace("tool_calls", "function_calls"), "I look.", &[weather, "time {}"]);
        // As the encoder of V4 writes it, so it is read.
        let call = ToolCall {
            name: "f".into(),
            arguments: r#"{"b": "x\ny", "a": {"c": null}}"#.into(),
            ..ToolCall::default()
        };
        let mut message = super::super::Message::new(super::super::Role::Assistant, "");
        message.tool_calls = vec![call.clone()];
        let question = super::super::Message::new(super::super::Role::User, "?");
        let text = super::super::Chat::v4().render(&[question, message], &Default::default()).expect("V4");
        assert_eq!(tool_calls(&text, &[]).calls, [call]);
    }

    #[test]
    fn r1_and_v3_write_names_and_fences() {
        let old = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"x\": 1}\n```<｜tool▁call▁end｜>\n\
            <｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
        check(old, "", &["f {\"x\": 1}", "g {}"]);
        let new = "So.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"x\": \"```json\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
        check(new, "So.", &["f {\"x\": \"```json\"}"]);
        check(&new.replace("<｜tool▁calls▁begin｜>", ""), "So.", &["f {\"x\": \"```json\"}"]);
    }

    #[test]
    fn qwen_writes_json_or_functions_between_tags() {
        let json = "First\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"z\": 1, \"a\": \"</b>\"}}\n</tool_call>\n\
            <tool_call>{\"name\": \"go\", \"arguments\": \"{\\\"far\\\": true}\"}</tool_call>";
        check(json, "First", &["add {\"z\": 1, \"a\": \"</b>\"}", "go {\"far\": true}"]);
        let xml = "<tool_call>\n<function=add>\n<parameter=a>\n12\n</parameter>\n<parameter=to>\n34\n</parameter>\n\
            <parameter=more>\n[1]\n\n</parameter>\n</function>\n</tool_call> \
            <tool_call>\n<function=go>\n<parameter=far>\nfalse\n</parameter>\n</function>\n</tool_call>";
        check(xml, "", &["add {\"a\": 12, \"to\": \"34\", \"more\": \"[1]\\n\"}", "go {\"far\": false}"]);
        // SmolLM2 writes a list; and a text may have the tag's name in it.
        let list = "<tool_call>[{\"name\": \"go\", \"arguments\": {}}, {\"name\": \"add\", \"arguments\": {\"to\": \"</tool_call>\"}}]</tool_call>";
        check(list, "", &["go {}", "add {\"to\": \"</tool_call>\"}"]);
        // Tags that are left out.
        let add = &["add {\"a\": 12, \"to\": \"x\"}"];
        let whole = "<tool_call>\n<function=add>\n<parameter=a>\n12\n</parameter>\n<parameter=to>\nx\n</parameter>\n</function>\n</tool_call>";
        for tag in ["<tool_call>\n", "</parameter>\n", "</function>\n", "</tool_call>", "</function>\n</tool_call>"] {
            check(&format!("So.\n{}", whole.replace(tag, "")), "So.", add);
            check(&whole.replacen(tag, "", 1), "", add);
        }
        check("<function=add>{\"a\": 12, \"to\": \"x\"}</function>", "", add);
        check("<function_call>{\"name\": \"go\", \"arguments\": {\"a\": 1}}</function_call>", "", &["go {\"a\": 1}"]);
        check(
            " [{\"name\": \"go\", \"arguments\": {}}, {\"name\": \"f\", \"arguments\": {\"q\": 1}}]\n",
            "",
            &["go {}", "f {\"q\": 1}"],
        );
        check("<TOOLCALL>[{\"name\": \"go\", \"arguments\": {}}]</TOOLCALL>", "", &["go {}"]);
        check("functools[{\"name\": \"go\", \"arguments\": {}}]", "", &["go {}"]);
        check("```json\n{\"name\": \"go\", \"arguments\": {\"a\": 1}}\n```", "", &["go {\"a\": 1}"]);
        for text in ["```json\n{\"name\": \"other\", \"arguments\": {}}\n```", "```json\n{\"a\": 1}\n```", "```\n```"] {
            check(text, text, &[]);
        }
        // The end of the first function is missing, and a parameter has an end in it.
        let two = "<tool_call>\n<function=add>\n<parameter=to>\nx\n</parameter>\n</tool_call>\n\
            <tool_call>\n<function=go>\n<parameter=far>\ntrue\n</parameter>\n</function>\n</tool_call>";
        check(two, "", &["add {\"to\": \"x\"}", "go {\"far\": true}"]);
        check(&two.replace("</function>\n", ""), "", &["add {\"to\": \"x\"}", "go {\"far\": true}"]);
        check(&two.replace("true", "True"), "", &["add {\"to\": \"x\"}", "go {\"far\": true}"]);
        check(&two.replace("\nx\n", "\nTrue\n"), "", &["add {\"to\": \"True\"}", "go {\"far\": true}"]);
        let within =
            "<tool_call>\n<function=add>\n<parameter=to>\n<f></function>\ny\n</parameter>\n</function>\n</tool_call>";
        check(within, "", &["add {\"to\": \"<f></function>\\ny\"}"]);
        // Of a tool that nobody told of it is a text about such tags.
        let about = "It writes `<function=NAME><parameter=a>1</parameter></function>` then.";
        check(about, about, &[]);
        for text in ["<function=add>x</function>", "<function=add>{\"a\"</function>", "<function=add"] {
            check(text, text, &[]);
        }
        // The last tag may be missing: some models end their turn there.
        check("<tool_call>{\"name\": \"go\", \"arguments\": {}}", "", &["go {}"]);
    }

    #[test]
    fn kimi_numbers_its_calls() {
        let one = |call: &str| format!("<|tool_call_begin|>{call}<|tool_call_end|>");
        let calls = one("functions.add:0<|tool_call_argument_begin|>{\"a\": 1}")
            + &one(" go:12<|tool_call_argument_begin|> {}");
        let answer = format!("So.<|tool_calls_section_begin|>{calls}<|tool_calls_section_end|>");
        check(&answer, "So.", &["add {\"a\": 1}", "go {}"]);
        let cut = answer.replace("<|tool_call_argument_begin|>", "");
        check(&cut, &cut, &[]);
    }

    #[test]
    fn gpt_oss_sends_messages_to_tools() {
        let call = "<|channel|>commentary to=functions.add <|constrain|>json<|message|>{\"a\": 1}";
        check(call, "", &["add {\"a\": 1}"]);
        check(&format!("I look.{call}<|call|>"), "I look.", &["add {\"a\": 1}"]);
        let other = "<|channel|>commentary to=browser.open<|message|>{}";
        check(other, other, &[]);
        let is_apart = |answer| tool_calls(answer, &[]).apart;
        assert!(is_apart(call) && !is_apart(other) && !is_apart("[TOOL_CALLS]f[ARGS]{}"));
    }

    #[test]
    fn mistral_writes_lists_or_names_with_arguments() {
        let list = "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"x\": 1}}, {\"name\": \"g\", \"arguments\": {}}]";
        check(list, "", &["f {\"x\": 1}", "g {}"]);
        check("So.[TOOL_CALLS]f[ARGS]{\"x\": 1}[TOOL_CALLS]g[CALL_ID]9[ARGS]{}</s>", "So.", &["f {\"x\": 1}", "g {}"]);
        check("[TOOL_CALLS] none", "[TOOL_CALLS] none", &[]);
    }

    #[test]
    fn calls_of_python_are_read() {
        let calls = "[f(a=1, b='it\\'s', c=[True, None, -2.5], d={\"k\": 'v',}), g.h()]";
        let read = [r#"f {"a": 1, "b": "it's", "c": [true, null, -2.5], "d": {"k": "v"}}"#, "g.h {}"];
        check(&format!("<|tool_call_start|>{calls}<|tool_call_end|>Done."), "Done.", &read);
        check(calls, "", &read);
        let json = "<|tool_call_start|>[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]<|tool_call_end|>";
        check(json, "", &["f {\"a\": 1}"]);
        check("<|python_start|>[g()]<|python_end|>", "", &["g {}"]);
        let texts = r#"[f(a="\u00e9\x41\U0001F600\ud83d\ude00\a", b='a' "b", c='''it's "so"''', d="\d")]"#;
        check(texts, "", &[r#"f {"a": "éA😀😀\u0007", "b": "ab", "c": "it's \"so\"", "d": "\\d"}"#]);
        check("[f(a=(1, 'b'), b=(2), c=((3,)), d=())]", "", &[r#"f {"a": [1, "b"], "b": 2, "c": [3], "d": []}"#]);
        for text in [
            "[1, 2]",
            "[f(a)]",
            "[f(a=)]",
            "[f(a=1]",
            "[f(a=1) g()]",
            "[]",
            "[f(a=nan)]",
            "f(a=1)",
            r#"[f(a="\u12")]"#,
            r#"[f(a="\ud83d")]"#,
        ] {
            check(text, text, &[]);
        }
        let deep = format!("[f(a={})]", "[".repeat(100_000));
        check(&deep, &deep, &[]);
    }

    #[test]
    fn llama_writes_nothing_but_json() {
        check("<|python_tag|>f.call(q=\"a\")", "", &["f {\"q\": \"a\"}"]);
        check("f.call(q=\"a\")", "f.call(q=\"a\")", &[]);
        check(" <|python_tag|>{\"name\": \"f\", \"parameters\": {\"q\": \"a;b\"}}", "", &["f {\"q\": \"a;b\"}"]);
        let two = "{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {\"x\": 2}}";
        check(two, "", &["f {}", "g {\"x\": 2}"]);
        for text in [
            "{\"name\": \"f\"}",
            "{\"name\": \"f\", \"parameters\": {}} and more",
            "{",
            "{}",
            "Say {\"name\": 1}",
            "{\"name\": \"Bo\", \"parameters\": {}}",
        ] {
            check(text, text, &[]);
        }
    }

    #[test]
    fn what_is_no_call_stays_text() {
        for text in [
            "a <tool_call> is a tag ",
            "<tool_call>no JSON</tool_call>",
            "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>",
            "<｜DSML｜tool_calls></｜DSML｜tool_calls>",
            "<｜DSML｜tool_calls><｜DSML｜invoke name=\"f\"><｜DSML｜parameter name=\"x\" string=\"false\">{</｜DSML｜parameter>\
             </｜DSML｜invoke></｜DSML｜tool_calls>",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            "",
        ] {
            check(text, text, &[]);
        }
        check("<tool_call> <tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call> b", "<tool_call> b", &["f {}"]);
    }
}

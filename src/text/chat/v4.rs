//! V4's own encoding of a conversation, of which its files have no template.
//!
//! `BOS [effort] system User u1 Assistant MARK reply EOS User u2 Assistant MARK …`, nothing between turns. MARK is
//! `</think>`, or in thinking mode `<think>`, the thought and `</think>`. Thoughts before the last user turn are left
//! out, unless there are tools. The fixed sentences are those that the model was trained with.

use super::json;
use super::message::{Message, RenderOptions, Role, ToolCall};
use crate::error::{Error, Result};
use crate::format::directory::shown;
use crate::format::sorted::sort;
use minijinja::Value;
use minijinja::value::ValueKind;

const BOS: &str = "<｜begin▁of▁sentence｜>";
const EOS: &str = "<｜end▁of▁sentence｜>";
const USER: &str = "<｜User｜>";
const ASSISTANT: &str = "<｜Assistant｜>";
const REMINDER: &str = "<｜latest_reminder｜>";
const THINK: &str = "<think>";
const THOUGHT: &str = "</think>";

/// What every conversation is written with.
pub(super) const MARKS: [&str; 6] = [BOS, EOS, USER, ASSISTANT, THINK, THOUGHT];

const EFFORT_MAX: &str = "Reasoning Effort: Absolute maximum with no shortcuts permitted.\n\
You MUST be very thorough in your thinking and comprehensively decompose the problem to resolve the root cause, \
rigorously stress-testing your logic against all potential paths, edge cases, and adversarial scenarios.\n\
Explicitly write out your entire deliberation process, documenting every intermediate step, considered alternative, \
and rejected hypothesis to ensure absolutely no assumption is left unchecked.\n\n";

const TOOLS_BEFORE: &str = "## Tools\n\n\
You have access to a set of tools to help answer the user's question. You can invoke tools by writing a \
\"<｜DSML｜tool_calls>\" block like the following:\n\n\
<｜DSML｜tool_calls>\n\
<｜DSML｜invoke name=\"$TOOL_NAME\">\n\
<｜DSML｜parameter name=\"$PARAMETER_NAME\" string=\"true|false\">$PARAMETER_VALUE</｜DSML｜parameter>\n\
...\n\
</｜DSML｜invoke>\n\
<｜DSML｜invoke name=\"$TOOL_NAME2\">\n\
...\n\
</｜DSML｜invoke>\n\
</｜DSML｜tool_calls>\n\n\
String parameters should be specified as is and set `string=\"true\"`. For all other types (numbers, booleans, arrays, \
objects), pass the value in JSON format and set `string=\"false\"`.\n\n\
If thinking_mode is enabled (triggered by <think>), you MUST output your complete reasoning inside \
<think>...</think> BEFORE any tool calls or final response.\n\n\
Otherwise, output directly after </think> with tool calls or final response.\n\n\
### Available Tool Schemas\n\n";

const TOOLS_AFTER: &str = "\n\n\
You MUST strictly follow the above defined tool name and parameter schemas to invoke tool calls.\n";

/// The quick tasks, and the marks that ask for them.
const TASKS: [(&str, &str); 6] = [
    ("action", "<｜action｜>"),
    ("query", "<｜query｜>"),
    ("authority", "<｜authority｜>"),
    ("domain", "<｜domain｜>"),
    ("title", "<｜title｜>"),
    ("read_url", "<｜read_url｜>"),
];

const FORMAT_BEFORE: &str = "\n\n## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n";

/// A turn as V4 sees it: what tools give belongs to the user, as does what the user says before and after it.
struct Turn<'a> {
    role: Role,
    /// The message that it began with.
    message: &'a Message,
    /// What a user's turn consists of.
    parts: Vec<Part<'a>>,
    task: &'a str,
}

/// Something that a person says, or that a tool gave in answer to a call.
struct Part<'a> {
    call_id: Option<&'a str>,
    text: &'a str,
}

impl Turn<'_> {
    /// Whether the model answers it. (Tools' results are users' turns by now.)
    fn asks(&self) -> bool {
        matches!(self.role, Role::User | Role::Developer)
    }
}

/// The text of a conversation, up to where the model goes on.
pub(super) fn render(messages: &[Message], options: &RenderOptions) -> Result<String> {
    let messages: Vec<Message> = messages.iter().map(with_parts_apart).collect();
    let thinks = options.thinks();
    // With tools the model needs its earlier thoughts; else those before the last question are left out, and what
    // developers said before it.
    let drops = options.tools.is_empty() && messages.iter().all(|message| message.tools.is_empty());
    let mut turns = turns(&messages);
    sort_results(&mut turns);
    let last_asked = |turns: &[Turn<'_>]| turns.iter().rposition(Turn::asks);
    if thinks && drops {
        let last = last_asked(&turns).unwrap_or(0);
        let mut index = 0;
        turns.retain(|turn| {
            index += 1;
            turn.role != Role::Developer || index > last
        });
    }
    let mut writer =
        Writer { thinks, drops, last_asked: last_asked(&turns), tools: &options.tools, text: BOS.to_owned() };
    if thinks && options.effort == "max" {
        writer.text += EFFORT_MAX;
    }
    if !matches!(turns.first(), Some(turn) if turn.role == Role::System) {
        writer.text += &tools(&options.tools)?;
    }
    for index in 0..turns.len() {
        writer.write(&turns, index)?;
    }
    Ok(writer.text)
}

/// Parts of a text stand apart here, where templates are shown them below each other.
fn with_parts_apart(message: &Message) -> Message {
    let given = json::read("a message", &message.given).unwrap_or_default();
    let content = given.get_attr("content").unwrap_or_default();
    let texts = content.try_iter().ok().filter(|_| content.kind() == ValueKind::Seq);
    let texts = texts.map(|parts| parts.filter_map(|part| part.get_attr("text").ok()?.as_str().map(str::to_owned)));
    let content = texts.map_or_else(|| message.content.clone(), |texts| texts.collect::<Vec<_>>().join("\n\n"));
    Message { content, ..message.clone() }
}

struct Writer<'a> {
    thinks: bool,
    drops: bool,
    /// The place of the last turn that asks for an answer.
    last_asked: Option<usize>,
    /// The tools of the whole conversation, told in the first turn.
    tools: &'a [String],
    text: String,
}

impl Writer<'_> {
    fn write(&mut self, turns: &[Turn<'_>], index: usize) -> Result<()> {
        let turn = &turns[index];
        let message = turn.message;
        match turn.role {
            Role::System => {
                self.text += &message.content;
                let all: &[String] = if index == 0 { self.tools } else { &[] };
                self.text += &tools(&[all, &message.tools].concat())?;
                self.text += &response_format(message)?;
            }
            Role::Developer => {
                if message.content.is_empty() {
                    return Err(Error::usage("a developer's message", "no content").expected("some, in V4's encoding"));
                }
                self.text += USER;
                self.text += &message.content;
                self.text += &tools(&message.tools)?;
                self.text += &response_format(message)?;
            }
            Role::Other => {
                let given = json::read("a message", &message.given).unwrap_or_default();
                let name = given.get_attr("role").unwrap_or_default();
                let known = Role::ALL.map(Role::name).join(", ");
                return Err(Error::usage("a message's role", shown(name.as_str().unwrap_or_default()))
                    .expected(format!("one of {known}: V4's encoding knows no other")));
            }
            Role::LatestReminder => {
                self.text += REMINDER;
                self.text += &message.content;
            }
            Role::User | Role::Tool => {
                self.text += USER;
                for (at, part) in turn.parts.iter().enumerate() {
                    self.text += if at > 0 { "\n\n" } else { "" };
                    match part.call_id {
                        Some(_) => self.text += &format!("<tool_result>{}</tool_result>", part.text),
                        None => self.text += part.text,
                    }
                }
            }
            Role::Assistant => {
                // What answers a task was not thought about.
                let of_task = index > 0 && !turns[index - 1].task.is_empty();
                let is_new = self.last_asked.is_none_or(|last| index > last);
                if self.thinks && !of_task && (!self.drops || is_new) {
                    self.text += &message.reasoning;
                    self.text += THOUGHT;
                }
                self.text += &message.content;
                self.text += &tool_calls(&message.tool_calls)?;
                self.text += if message.unfinished { "" } else { EOS };
            }
        }
        let next = turns.get(index + 1).map(|turn| turn.role);
        if matches!(next, None | Some(Role::Assistant | Role::LatestReminder)) {
            self.hand_over(turn, index)?;
        }
        Ok(())
    }

    /// What makes the model go on behind a turn.
    fn hand_over(&mut self, turn: &Turn<'_>, index: usize) -> Result<()> {
        let think = if self.thinks { THINK } else { THOUGHT };
        if turn.task.is_empty() {
            if turn.asks() {
                let is_old = self.last_asked.is_some_and(|last| index < last);
                self.text += ASSISTANT;
                self.text += if self.drops && is_old { THOUGHT } else { think };
            }
            return Ok(());
        }
        let Some((_, mark)) = TASKS.into_iter().find(|(name, _)| *name == turn.task) else {
            let known = TASKS.map(|(name, _)| name).join(", ");
            return Err(
                Error::usage("a message's task", format!("{:?}", turn.task)).expected(format!("one of {known}"))
            );
        };
        if turn.task == "action" {
            self.text += ASSISTANT;
            self.text += think;
        }
        self.text += mark;
        Ok(())
    }
}

/// The turns: tools' results and what the user says before and after them are one, but for what follows a task.
fn turns(messages: &[Message]) -> Vec<Turn<'_>> {
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for message in messages {
        let text = message.content.as_str();
        let part = match message.role {
            Role::Tool => Part { call_id: Some(&message.tool_call_id), text },
            Role::User => Part { call_id: None, text },
            role => {
                turns.push(Turn { role, message, parts: Vec::new(), task: &message.task });
                continue;
            }
        };
        match turns.last_mut() {
            Some(last) if last.role == Role::User && (message.role == Role::Tool || last.task.is_empty()) => {
                last.parts.push(part);
            }
            _ => {
                let task = if message.role == Role::User { message.task.as_str() } else { "" };
                turns.push(Turn { role: Role::User, message, parts: vec![part], task });
            }
        }
    }
    turns
}

/// Puts the results of each turn in the order of the calls before it; those of no known call come with the first.
fn sort_results(turns: &mut [Turn<'_>]) {
    let mut calls: &[ToolCall] = &[];
    for turn in turns {
        if turn.role == Role::Assistant && !turn.message.tool_calls.is_empty() {
            calls = &turn.message.tool_calls;
        }
        let places: Vec<usize> =
            turn.parts.iter().enumerate().filter(|(_, part)| part.call_id.is_some()).map(|(at, _)| at).collect();
        let mut results: Vec<(Option<&str>, &str)> =
            places.iter().map(|&at| (turn.parts[at].call_id, turn.parts[at].text)).collect();
        // The last of several calls with one id is the one that counts.
        let place = |id: Option<&str>| {
            calls.iter().rposition(|call| !call.id.is_empty() && Some(call.id.as_str()) == id).unwrap_or(0)
        };
        sort(&mut results, |(id, _)| place(*id) as u64);
        for (at, (call_id, text)) in places.into_iter().zip(results) {
            turn.parts[at] = Part { call_id, text };
        }
    }
}

/// The section of the answer's form, or nothing.
fn response_format(message: &Message) -> Result<String> {
    if message.response_format.is_empty() {
        return Ok(String::new());
    }
    let what = "a message's response_format";
    let schema = json::line(&json::read(what, &message.response_format)?).map_err(|_| Error::usage(what, "no JSON"))?;
    Ok(format!("{FORMAT_BEFORE}{schema}"))
}

/// The section of tools, or nothing.
fn tools(tools: &[String]) -> Result<String> {
    if tools.is_empty() {
        return Ok(String::new());
    }
    let schema = |tool: &String| {
        let value = json::read("a tool", tool)?;
        json::line(&value).map_err(|_| Error::usage("a tool", "no JSON"))
    };
    let schemas: Vec<String> = tools.iter().map(schema).collect::<Result<_>>()?;
    Ok(format!("\n\n{TOOLS_BEFORE}{}{TOOLS_AFTER}", schemas.join("\n")))
}

fn tool_calls(calls: &[ToolCall]) -> Result<String> {
    if calls.is_empty() {
        return Ok(String::new());
    }
    let calls: Vec<String> = calls.iter().map(tool_call).collect::<Result<_>>()?;
    Ok(format!("\n\n<｜DSML｜tool_calls>\n{}\n</｜DSML｜tool_calls>", calls.join("\n")))
}

/// Texts stand as they are, everything else as JSON.
fn tool_call(call: &ToolCall) -> Result<String> {
    let what = format!("the arguments of the tool {:?}", call.name);
    let wrong = || Error::usage(what.as_str(), "no JSON object").expected("an object of the arguments by name");
    let arguments = json::read(&what, &call.arguments)?;
    let parameter = |key: Value| {
        let value = arguments.get_item(&key).map_err(|_| wrong())?;
        let (is_text, shown) = match value.as_str() {
            Some(text) => (true, text.to_owned()),
            None => (false, json::line(&value).map_err(|_| wrong())?),
        };
        Ok(format!("<｜DSML｜parameter name=\"{key}\" string=\"{is_text}\">{shown}</｜DSML｜parameter>"))
    };
    if arguments.kind() != minijinja::value::ValueKind::Map {
        return Err(wrong());
    }
    let parameters: Vec<String> = arguments.try_iter().map_err(|_| wrong())?.map(parameter).collect::<Result<_>>()?;
    Ok(format!("<｜DSML｜invoke name=\"{}\">\n{}\n</｜DSML｜invoke>", call.name, parameters.join("\n")))
}

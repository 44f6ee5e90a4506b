//! V4's own encoding of a conversation, of which its files have no template.
//!
//! `BOS [effort] system User u1 Assistant MARK reply EOS User u2 Assistant MARK …`, nothing between turns. MARK is
//! `</think>`, or in thinking mode `<think>`, the thought and `</think>`. Thoughts before the last user turn are left
//! out, unless there are tools. The fixed sentences are those that the model was trained with.

use super::json;
use super::message::{Message, RenderOptions, Role, ToolCall};
use crate::error::{Error, Result};
use minijinja::Value;

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

/// A turn as V4 sees it: what tools give belongs to the user.
enum Turn<'a> {
    System(&'a str),
    User { parts: Vec<String>, of_tools: bool },
    Reminder(&'a str),
    Assistant(&'a Message),
}

/// The text of a conversation, up to where the model goes on.
pub(super) fn render(messages: &[Message], options: &RenderOptions) -> Result<String> {
    // With tools the model needs its earlier thoughts; else those before the last user turn are left out.
    let keeps_thoughts = !options.tools.is_empty();
    let drops = options.thinking && !keeps_thoughts;
    let turns = turns(messages, drops);
    let last_user = turns.iter().rposition(|turn| matches!(turn, Turn::User { .. })).unwrap_or(0);
    let mut text = BOS.to_owned();
    if options.thinking && options.effort == "max" {
        text += EFFORT_MAX;
    }
    let mut tools = tools(&options.tools)?;
    if !matches!(turns.first(), Some(Turn::System(_))) {
        text += &std::mem::take(&mut tools);
    }
    for (index, turn) in turns.iter().enumerate() {
        match turn {
            Turn::System(content) => {
                text += content;
                text += &std::mem::take(&mut tools);
            }
            Turn::User { parts, .. } => {
                text += USER;
                text += &parts.join("\n\n");
            }
            Turn::Reminder(content) => {
                text += REMINDER;
                text += content;
            }
            Turn::Assistant(message) => {
                if options.thinking && (keeps_thoughts || index > last_user) {
                    text += &message.reasoning;
                    text += THOUGHT;
                }
                text += &message.content;
                text += &tool_calls(&message.tool_calls)?;
                text += EOS;
            }
        }
        let is_answered = matches!(turns.get(index + 1), None | Some(Turn::Assistant(_) | Turn::Reminder(_)));
        if matches!(turn, Turn::User { .. }) && is_answered {
            text += ASSISTANT;
            text += if options.thinking && (keeps_thoughts || index >= last_user) { THINK } else { THOUGHT };
        }
    }
    Ok(text)
}

/// The turns: tools' results, in the order of their calls, and what the user says next are one.
fn turns(messages: &[Message], drops_developers: bool) -> Vec<Turn<'_>> {
    let last_user =
        messages.iter().rposition(|message| matches!(message.role, Role::User | Role::Tool | Role::Developer));
    let mut turns = Vec::new();
    let mut calls: &[ToolCall] = &[];
    let mut results: Vec<(usize, String)> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        if message.role != Role::Tool {
            flush(&mut results, &mut turns);
        }
        match message.role {
            Role::System => turns.push(Turn::System(&message.content)),
            Role::LatestReminder => turns.push(Turn::Reminder(&message.content)),
            Role::Assistant => {
                calls = &message.tool_calls;
                turns.push(Turn::Assistant(message));
            }
            Role::Tool => {
                let id = &message.tool_call_id;
                let place = calls.iter().position(|call| !id.is_empty() && call.id == *id).unwrap_or(calls.len());
                results.push((place, format!("<tool_result>{}</tool_result>", message.content)));
            }
            Role::Developer if drops_developers && Some(index) < last_user => {}
            Role::User | Role::Developer => match turns.last_mut() {
                Some(Turn::User { parts, of_tools: true }) => parts.push(message.content.clone()),
                _ => turns.push(Turn::User { parts: vec![message.content.clone()], of_tools: false }),
            },
        }
    }
    flush(&mut results, &mut turns);
    turns
}

fn flush(results: &mut Vec<(usize, String)>, turns: &mut Vec<Turn<'_>>) {
    if results.is_empty() {
        return;
    }
    // The sort keeps the order of those whose call is not known.
    results.sort_by_key(|(place, _)| *place);
    turns.push(Turn::User { parts: results.drain(..).map(|(_, text)| text).collect(), of_tools: true });
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

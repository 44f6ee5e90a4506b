//! Conversations as models read them: templates against what transformers renders from them
//! (`tools/fixtures/chat_templates.py`), V4's own encoding against its description, and templates that mean harm.

#![allow(clippy::unwrap_used)]

use crate::crafted::{self, GgufFile};
use headstart::format::{Memory, gguf};
use headstart::text::chat::{Chat, Message, RenderOptions, Role, ToolCall, Transcript};
use headstart::text::{Bos, GgufVocabulary, SpecialIds, Tokenizer, TokenizerConfig};
use serde_json::Value;
use std::sync::LazyLock;

const FIXTURE: &str = include_str!("fixtures/chat_templates.json");
const VOCABULARY: &[u8] = include_bytes!("fixtures/tokenizers/bpe.gguf");

static FACTS: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(FIXTURE).unwrap());
static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
    let file = pollster::block_on(gguf::read(&Memory::new("fixture", VOCABULARY), 0)).unwrap();
    let vocabulary = GgufVocabulary::from_metadata(&file.metadata).unwrap();
    Tokenizer::from_gguf(vocabulary).unwrap().unwrap()
});

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The text between two places of the fixture: keys keep their order there, and lose it in [`Value`].
fn raw_after(from: &str, key: &str) -> String {
    let at = from.find(key).unwrap() + key.len();
    let mut stream = serde_json::Deserializer::from_str(&from[at..]).into_iter::<Value>();
    stream.next().unwrap().unwrap();
    from[at..at + stream.byte_offset()].to_owned()
}

fn message(value: &Value) -> Message {
    let role = [Role::System, Role::User, Role::Assistant, Role::Tool];
    let role = role.into_iter().find(|role| value["role"] == role.name()).unwrap();
    let call = |call: &Value| {
        let arguments = if call["function"]["arguments"].get("days").is_some() {
            raw_after(FIXTURE, "\"arguments\":")
        } else {
            call["function"]["arguments"].to_string()
        };
        ToolCall { id: text(&call["id"]), name: text(&call["function"]["name"]), arguments, ..ToolCall::default() }
    };
    Message {
        reasoning: text(&value["reasoning_content"]),
        tool_calls: value["tool_calls"].as_array().map(|calls| calls.iter().map(call).collect()).unwrap_or_default(),
        tool_call_id: text(&value["tool_call_id"]),
        ..Message::new(role, text(&value["content"]))
    }
}

/// A template whose model begins texts with `<BOS>` and ends them with `<EOS>`.
fn chat(template: &str) -> headstart::Result<Chat> {
    let file = pollster::block_on(gguf::read(&Memory::new("fixture", VOCABULARY), 0)).unwrap();
    let mut vocabulary = GgufVocabulary::from_metadata(&file.metadata).unwrap();
    vocabulary.tokens[0] = "<BOS>".into();
    vocabulary.tokens[1] = "<EOS>".into();
    Chat::from_template(template, &Tokenizer::from_gguf(vocabulary).unwrap().unwrap())
}

#[test]
fn templates_are_rendered_as_transformers_renders_them() {
    let now = FACTS["now"].as_u64().unwrap();
    let (mut n_texts, mut n_refused) = (0, 0);
    for template in FACTS["templates"].as_array().unwrap() {
        let chat = chat(template["template"].as_str().unwrap()).unwrap();
        let conversations = FACTS["conversations"].as_array().unwrap();
        for (conversation, expected) in conversations.iter().zip(template["rendered"].as_array().unwrap()) {
            let messages: Vec<Message> = conversation["messages"].as_array().unwrap().iter().map(message).collect();
            let tools = conversation["tools"]
                .as_array()
                .map(|_| raw_after(FIXTURE.split_once("\"tools\":").unwrap().1, "\"function\":"));
            let options = RenderOptions {
                thinking: conversation["thinking"] != Value::Bool(false),
                tools: tools.into_iter().collect(),
                now,
                ..RenderOptions::default()
            };
            let name = &template["name"];
            match (chat.render(&messages, &options), expected["text"].as_str()) {
                (Ok(text), Some(expected)) => {
                    assert_eq!(text, expected, "{name}: {conversation}");
                    n_texts += 1;
                }
                (Err(error), None) => {
                    let words = expected["refused"].as_str().unwrap();
                    assert!(error.found.contains(&words[..40]), "{name}: {error}");
                    n_refused += 1;
                }
                (result, _) => panic!("{name}: {result:?} for {expected}"),
            }
        }
    }
    assert_eq!((n_texts, n_refused), (27, 3));
}

fn render(template: &str) -> headstart::Result<String> {
    chat(template)?.render(&[Message::new(Role::User, "Hello")], &RenderOptions::default())
}

/// Each ends, in bounded time and memory, with a message that has this word.
#[test]
fn templates_that_mean_harm_end_with_a_message() {
    let in_loop = |n: usize, body: &str| {
        format!("{{% set ns = namespace(a='x', l=[1]) %}}{{% for i in range({n}) %}}{body}{{% endfor %}}")
    };
    let cases = [
        ("more steps", "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}".to_owned()),
        ("more ", "{% for i in range(9999) %}{% for j in range(9999) %}{{ messages }}{% endfor %}{% endfor %}".into()),
        ("more memory", in_loop(64, "{% set ns.a = ns.a ~ ns.a %}")),
        ("more memory", in_loop(64, "{% set ns.a = ns.a + ns.a %}")),
        ("more memory", in_loop(64, "{% set ns.a = ns.a * 1000 %}")),
        ("more memory", in_loop(64, "{% set ns.a %}{{ ns.a }}{{ ns.a }}{% endset %}")),
        ("more ", in_loop(64, "{% set ns.l = ns.l + ns.l %}")),
        ("more ", in_loop(40, "{% set ns.l = [ns.l, ns.l] %}")),
        ("more ", in_loop(40, "{% set ns.l = {'a': ns.l, 'b': ns.l} %}")),
        ("more memory", in_loop(9000, "{% set ns.l = [ns.l] %}")),
        ("more memory", in_loop(9000, "{% set ns.l = (ns.l,) %}")),
        ("more ", in_loop(20, "{% set ns.a = ns.a | replace('x', ns.a ~ 'xxxxxxxx') %}")),
        ("more ", in_loop(20, "{% set ns.a = ns.a.replace('x', ns.a ~ 'xxxxxxxx') %}")),
        ("more ", in_loop(20, "{% set ns.a = [ns.a, ns.a, ns.a] | join(ns.a) %}")),
        ("more ", in_loop(20, "{% set ns.a = ns.a.join([ns.a, ns.a, ns.a]) %}")),
        ("more ", in_loop(64, "{% set ns.a = (ns.a, ns.a) | string %}")),
        ("more ", in_loop(9999, "{{ ('y' * 100000) | upper }}")),
        ("more steps", "{% set a = 'x' * 20000 %}".to_owned() + &in_loop(9999, "{{ 'a' < a <= a }}")),
        ("more ", "{% set l = range(9000) | list %}{{ dict(".to_owned() + &"*l, ".repeat(90) + "*l) }}"),
        (
            "more ",
            "{% set d = {'a': messages} %}".to_owned()
                + &in_loop(9999, &format!("{{% set x = dict({}) %}}", "**d, ".repeat(40) + "**d")),
        ),
        (
            "more ",
            "{% set a = 'x' * 90000 %}".to_owned() + &in_loop(9999, "{{ a is eq(a) }}{{ a is in a }}{{ a is lower }}"),
        ),
        (
            "more ",
            "{% set a = ['x' * 90000] %}".to_owned()
                + &in_loop(9999, "{{ a is lt(a) }}{{ [a] | select('eq', a) | list | length }}"),
        ),
        (
            "more ",
            "{% set a = 'x' * 90000 %}".to_owned() + &in_loop(9999, "{{ a | length }}{{ a | first }}{{ a | last }}"),
        ),
        ("more ", in_loop(9999, "{{ '%s%s' % ('y' * 50000, 'z' * 50000) }}")),
        ("more ", in_loop(64, "{% set ns.a = '{0}{0}'.format(ns.a) %}")),
        ("more ", in_loop(64, "{% set ns.a = ns.a.center(ns.a | length * 3) %}")),
        ("more ", in_loop(64, "{% set ns.l = ns.l * 3 %}")),
        ("more ", "{{ ('a ' * 400000).split() | length }}".into()),
        ("more ", "{{ ('a\n' * 400000).splitlines() | length }}".into()),
        ("more ", "{{ ('ab' * 400000).partition('z') }}{{ 'x'.ljust(99999999) }}".into()),
        ("more ", "{{ range(9000) | slice(99999999) | list }}".into()),
        ("more ", "{{ [1] | batch(99999999, 0) | list }}".into()),
        ("a width", "{{ strftime_now('%9999999d') }}".into()),
        ("more ", "{{ strftime_now('%A' * 999999) }}".into()),
        ("too many", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(*range(9)) }}".into()),
        ("namespace within", in_loop(1, "{% set ns.a = ns %}")),
        ("namespace within", in_loop(1, "{% set ns.a = [ns] %}{{ ns.a }}")),
        ("recursion", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".into()),
        ("recursion", "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}".into()),
        ("more memory", "{{ 'a' * 1000000000000 }}".into()),
        ("more ", "{{ 'a' | indent(99) }}{{ ('a\\n' * 999999) | indent(999999999) }}".into()),
        ("indentation", "{{ messages | tojson(indent=999999999) }}".into()),
        ("range", "{{ range(1000000000) | list }}".into()),
        ("a width", "{{ '{:>999999999}'.format(1) }}".into()),
        ("a width", "{{ '{:.{n}f}'.format(1.0, n=999999999) }}".into()),
        ("a width", "{{ '%999999999d' | format(1) }}".into()),
        ("a width", "{{ '%.*f' % (999999999, 1.0) }}".into()),
        ("autoescape", "{% autoescape true %}{{ 1 }}{% endautoescape %}".into()),
        ("changes", "{{ messages.append(1) }}".into()),
        ("not supported", "{% include 'other' %}".into()),
        ("not supported", "{% extends 'other' %}{% block a %}{% endblock %}".into()),
        ("not supported", "{% import 'other' as o %}".into()),
        ("line 2", "{{ 1 }}\n{% if %}".into()),
        ("syntax", "{% for x in %}".into()),
        ("syntax", "{{".into()),
        ("syntax", "{% nosuchtag %}".into()),
        ("nosuchfunction", "{{ nosuchfunction() }}".into()),
        ("undefined", "{{ messages.nosuch.deeper }}".into()),
        ("", "{{ ".to_owned() + &"(".repeat(50_000) + "1" + &")".repeat(50_000) + " }}"),
        ("", "{{ ".to_owned() + &"[".repeat(50_000) + &"]".repeat(50_000) + " }}"),
        ("", "{{ ".to_owned() + &"-".repeat(90_000) + "1 }}"),
        ("", "{{ ".to_owned() + &"not ".repeat(50_000) + "1 }}"),
        ("", "{% if 1 %}".repeat(10_000) + &"{% endif %}".repeat(10_000)),
        ("elifs", "{% if 1 %}".to_owned() + &"{% elif 1 %}".repeat(15_000) + "{% endif %}"),
        ("parts", "{{ x".to_owned() + &" ~ x".repeat(50_000) + " }}"),
        ("parts", "{{ x".to_owned() + &"|trim".repeat(40_000) + " }}"),
        ("parts", "{{ x".to_owned() + &".y".repeat(90_000) + " }}"),
        ("more memory", "{{ 'a' * 99999999 }}".repeat(9_000)),
        ("more memory", "{{ 'a' * 999 * 999 * 999 * 999 }}".into()),
        ("more memory", "{{ 'a' * 9 ** 30 }}".into()),
        ("more memory", "{{ ([1] * 9999) * 9999 }}".into()),
        ("bytes", "x".repeat(300_000)),
        ("it says why", "{{ raise_exception('it says why') }}".into()),
        ("it says wh", "{{ raise_exception('it says why' * 9999) }}".into()),
    ];
    let mut wrong = Vec::new();
    for (word, template) in cases {
        let shown: String = template.chars().take(120).collect();
        match render(&template).map_err(|error| error.to_string()) {
            Err(error) if error.contains(word) && error.len() < 400 => {}
            Err(error) => wrong.push(format!("{error:?} lacks {word:?}: {shown}")),
            Ok(text) => wrong.push(format!("{shown} gave {} bytes", text.len())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let empty = chat("x").unwrap().render(&[], &RenderOptions::default()).unwrap_err();
    assert!(empty.found.contains("no messages"));
}

#[test]
fn loops_are_filtered() {
    let of = |template: &str| render(template).unwrap();
    let (user, none) = ("{% for m in messages if m.role == 'user' %}", "{% for m in messages if m.role == 'tool' %}");
    assert_eq!(
        of(&format!("{user}{{{{ loop.index }}}}/{{{{ loop.length }}}} {{{{ m.content }}}}{{% endfor %}}")),
        "1/1 Hello"
    );
    assert_eq!(of(&format!("{none}{{{{ m.content }}}}{{% else %}}none{{% endfor %}}")), "none");
    assert_eq!(
        of("{% for a, b in [(1, 2), (3, 4), (5, 6)] if a > 1 and 4 <= b < 6 %}{{ a }}{{ b }} {% endfor %}"),
        "34 "
    );
}

/// A table of names in one tag has more parts than an honest expression, and none of them is deep.
#[test]
fn long_tables_are_read() {
    let pairs: Vec<String> = (0..900).map(|index| format!("'l{index}': ['Language', {index} + 1]")).collect();
    let template =
        format!("{{%- set names = {{{}}} %}}{{{{ names['l7'][1] }}}}{{{{ names | length }}}}", pairs.join(", "));
    assert_eq!(render(&template).unwrap(), "8900");
}

/// The bounds are far from what an honest template needs.
#[test]
fn a_long_conversation_is_rendered() {
    let template = FACTS["templates"][0]["template"].as_str().unwrap();
    let turn = |index: usize| Message::new([Role::User, Role::Assistant][index % 2], "A line of words. ".repeat(60));
    let messages: Vec<Message> = (0..1001).map(turn).collect();
    let text = chat(template).unwrap().render(&messages, &RenderOptions::default()).unwrap();
    assert!(text.len() > 1_000_000 && text.ends_with("assistant\n<think>\n\n</think>\n\n"));
}

fn user(text: &str) -> Message {
    Message::new(Role::User, text)
}

fn assistant(reasoning: &str, content: &str) -> Message {
    Message { reasoning: reasoning.into(), ..Message::new(Role::Assistant, content) }
}

/// As transformers hands them to a template, but for three kindnesses: arguments that are a text are read where the template takes
/// objects, parts of a text are one where it takes no lists, and null, as services have it beside calls, is an empty text where it
/// takes nothing else.
#[test]
fn messages_of_a_file_are_shown_as_they_were_given() {
    let file = r#"[{"role": "user", "name": "Ada", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "Assistant", "content": null, "thinking": "hm",
            "tool_calls": [{"index": 3, "function": {"arguments": "{\"x\": 1}", "name": "f"}}]},
        {"role": "tool", "content": {"y": [2]}}, {"role": "assistant", "content": null},
        {"role": "assistant", "tool_calls": [{"name": "f"}]}]"#;
    let messages = Transcript::from_json(file).unwrap().messages;
    for (template, right) in [
        ("{{ messages[0].name }}, {{ messages[1].role }} {{ messages[1].thinking }}", "Ada, assistant hm"),
        ("{% for part in messages[0].content %}<{{ part.text }}>{% endfor %}", "<a><b>"),
        ("{{ messages[0].content }}", "a\nb"),
        ("{{ '>' + messages[0].content }}", ">a\nb"),
        ("{% if messages[0].content is string %}{{ messages[0].content }}{% endif %}", "a\nb"),
        ("{{ messages[1].content is none }}{{ messages[0].content[0].text }}b", "Trueab"),
        ("ab{{ messages[1].tool_calls[0].function.arguments | tojson }}", "ab{\"x\": 1}"),
        (
            "ab{{ messages[1].tool_calls | tojson }}{{ messages[1].tool_calls[0].id is defined }}",
            r#"ab[{"index": 3, "function": {"arguments": {"x": 1}, "name": "f"}}]False"#,
        ),
        ("ab{{ messages[4].tool_calls[0].function.name }}", "abf"),
        ("{{ messages[0].content[1].text }}", "b"),
        ("ab{{ '<' + messages[1].content + '>' + messages[3].content|trim + messages[4].content }}", "ab<>"),
        ("ab{{ '=' + messages[1].tool_calls[0].function.arguments }}", "ab={\"x\": 1}"),
        // No more is changed than what the template cannot read; null is the last of it.
        ("{{ messages[0].content + messages[1].tool_calls[0].function.arguments | tojson }}", "a\nb{\"x\": 1}"),
        ("ab{{ messages[1].content + messages[1].tool_calls[0].function.arguments | tojson }}", "ab{\"x\": 1}"),
        (
            "ab{% if messages[1].content is none %}{{ '=' + messages[1].tool_calls[0].function.arguments }}{% endif %}",
            "ab={\"x\": 1}",
        ),
        ("ab{{ messages[2].content.y[0] }}{{ messages[3].content }}{{ messages[4].content }}", "ab2"),
    ] {
        let found = chat(template).unwrap().render(&messages, &RenderOptions::default());
        assert_eq!(found.as_deref(), Ok(right), "{template}");
    }
    let raw = chat("{% raw %}\n{{x}}\n{% endraw %}\ny").unwrap().render(&messages[2..3], &RenderOptions::default());
    assert_eq!(raw.as_deref(), Ok("\n{{x}}\ny"));
    let error = chat("{{ '=' + messages[9] + 1 }}").unwrap().render(&messages, &RenderOptions::default());
    assert!(error.is_err());
}

/// Under the name that gpt-oss's template has for it, which is for calls alone.
#[test]
fn what_was_thought_before_a_call_is_shown() {
    let call = ToolCall { name: "f".into(), arguments: "{}".into(), ..ToolCall::default() };
    let calling = Message { tool_calls: vec![call], ..assistant("hm", "") };
    let template = chat("{% for m in messages %}{{ m.thinking }}/{{ m.reasoning_content }};{% endfor %}").unwrap();
    let shown = template.render(&[user("a"), assistant("so", "b"), user("c"), calling], &RenderOptions::default());
    assert_eq!(shown.as_deref(), Ok("/;/so;/;hm/hm;"));
}

/// Templates of models that also see may read lists of parts alone, and would pass over a text without a word: llama.cpp gives
/// them lists.
#[test]
fn a_template_that_reads_lists_of_parts_is_given_them() {
    let parts = "{% for m in messages %}{{ m.role }}:{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}\
        {% endif %}{% endfor %};{% endfor %}";
    let both = "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{{ m.content[0].text }}, a part\
        {% endif %}{% endfor %}";
    // That of answers may be another.
    let of_others = "{% for m in messages %}{% if m.role == 'assistant' %}<{{ m.content }}>{% else %}{{ m.content[0]['text'] + '' }}\
        {% endif %}{% endfor %}";
    let refuses = "{% for m in messages %}{% if m.content is string %}{{ raise_exception('lists only') }}{% endif %}\
        {{ m.content[0].text }}{% endfor %}";
    // Words that stand in the template, too, or look like a list, are no sign of anything.
    for words in ["Why?", "use", "what is [{'type': 1}]?"] {
        let said = [Message::new(Role::System, "S"), user("hi"), assistant("", "b"), user(words)];
        for (template, right) in [
            (parts, format!("system:S;user:hi;assistant:b;user:{words};")),
            (both, format!("Shib{words}")),
            ("{{ messages[0].content }}", "S".to_owned()),
            (of_others, format!("Shi<b>{words}")),
            (refuses, format!("Shib{words}")),
        ] {
            let found = chat(template).unwrap().render(&said, &RenderOptions::default());
            assert_eq!(found, Ok(right), "{template}");
        }
    }
    let given = Transcript::from_json(r#"[{"role": "user", "content": "Why?"}]"#).unwrap().messages;
    assert_eq!(chat(parts).unwrap().render(&given, &RenderOptions::default()).as_deref(), Ok("user:;"));
}

/// As transformers hands over its map of special tokens, and what a request asks of the template.
#[test]
fn templates_find_tokens_by_name_and_what_is_asked_of_them() {
    let config = TokenizerConfig::read(
        r#"{"pad_token": "<p>", "extra_special_tokens": {"image_token": "<i>", "tools": "<t>"},
            "chat_template": "{{ pad_token }}{{ image_token }}{{ tools }}{{ enable_thinking }}{{ custom }}"}"#,
    );
    let mut tokenizer = Tokenizer::from_json(include_str!("fixtures/tokenizer.json"), SpecialIds::default()).unwrap();
    tokenizer.configure(&config);
    let chat = Chat::from_config(&config, &tokenizer).unwrap().unwrap();
    let render = |arguments: &str| {
        let options = RenderOptions { thinking: true, arguments: arguments.to_owned(), ..RenderOptions::default() };
        (chat.render(&[user("x")], &options).unwrap(), Chat::v4().render(&[user("x")], &options).unwrap())
    };
    let (text, v4) = render("");
    assert_eq!((text.as_str(), v4.ends_with("<think>")), ("<p><i>NoneTrue", true));
    let (text, v4) = render(r#"{"enable_thinking": false, "custom": 7}"#);
    assert_eq!((text.as_str(), v4.ends_with("</think>")), ("<p><i>NoneFalse7", true));
    let mut options =
        RenderOptions { arguments: r#"{"thinking": false, "custom": 7}"#.into(), ..RenderOptions::default() };
    assert_eq!((options.asked_to_think(), options.thinks()), (Some(false), false));
    options.insist_on(true);
    assert_eq!(
        (options.asked_to_think(), options.thinks(), options.arguments.as_str()),
        (None, true, r#"{"custom":7}"#)
    );
}

#[test]
fn v4_is_encoded_as_it_was_trained() {
    let v4 = |messages: &[Message], thinking| {
        Chat::v4().render(messages, &RenderOptions { thinking, ..RenderOptions::default() }).unwrap()
    };
    let bos = "<｜begin▁of▁sentence｜>";
    let messages = [Message::new(Role::System, "S"), user("a"), assistant("r", "b"), user("c")];
    let chatted =
        format!("{bos}S<｜User｜>a<｜Assistant｜></think>b<｜end▁of▁sentence｜><｜User｜>c<｜Assistant｜></think>");
    assert_eq!(v4(&messages, false), chatted);
    // In thinking mode, too, what was thought before the last question is left out.
    assert_eq!(v4(&messages, true), chatted[..chatted.len() - "</think>".len()].to_owned() + "<think>");
    assert_eq!(
        v4(&messages[1..3], true),
        format!("{bos}<｜User｜>a<｜Assistant｜><think>r</think>b<｜end▁of▁sentence｜>")
    );
    let developer = [user("a"), assistant("", "b"), Message::new(Role::Developer, "d"), user("c")];
    assert!(!v4(&developer, true).contains("<｜User｜>d") && v4(&developer, false).contains("<｜User｜>d<｜User｜>c"));
    let reminded = [Message::new(Role::LatestReminder, "now"), user("a")];
    assert_eq!(v4(&reminded, false), format!("{bos}<｜latest_reminder｜>now<｜User｜>a<｜Assistant｜></think>"));
    let max = RenderOptions { thinking: true, effort: "max".into(), ..RenderOptions::default() };
    let text = Chat::v4().render(&messages, &max).unwrap();
    assert!(text.starts_with(&format!("{bos}Reasoning Effort: Absolute maximum")) && text.contains("unchecked.\n\nS<"));
}

#[test]
fn v4_calls_tools() {
    let call = |id: &str, arguments: &str| ToolCall {
        id: id.into(),
        name: "f".into(),
        arguments: arguments.into(),
        ..ToolCall::default()
    };
    let result = |id: &str, text: &str| Message { tool_call_id: id.into(), ..Message::new(Role::Tool, text) };
    let calls = Message {
        tool_calls: vec![call("1", r#"{"z": "a b", "n": [1, 2.0, null]}"#), call("2", "{}")],
        ..assistant("why", "so")
    };
    // Results come in any order, and are told in that of their calls.
    let messages = [user("q"), calls, result("2", "two"), result("1", "one"), user("and?")];
    let tools = vec![r#"{"name": "f", "description": "é", "parameters": {"b": 1, "a": []}}"#.to_owned()];
    let options = RenderOptions { thinking: true, tools, ..RenderOptions::default() };
    let text = Chat::v4().render(&messages, &options).unwrap();
    let begin = "<｜begin▁of▁sentence｜>\n\n## Tools\n\nYou have access";
    assert!(text.starts_with(begin), "{text}");
    let schemas = "### Available Tool Schemas\n\n{\"name\": \"f\", \"description\": \"é\", \"parameters\": {\"b\": 1, \"a\": []}}\n\nYou MUST";
    assert!(text.contains(schemas), "{text}");
    let end = "tool calls.\n<｜User｜>q<｜Assistant｜><think>why</think>so\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n\
        <｜DSML｜parameter name=\"z\" string=\"true\">a b</｜DSML｜parameter>\n\
        <｜DSML｜parameter name=\"n\" string=\"false\">[1, 2.0, null]</｜DSML｜parameter>\n\
        </｜DSML｜invoke>\n<｜DSML｜invoke name=\"f\">\n\n</｜DSML｜invoke>\n</｜DSML｜tool_calls><｜end▁of▁sentence｜>\
        <｜User｜><tool_result>one</tool_result>\n\n<tool_result>two</tool_result>\n\nand?<｜Assistant｜><think>";
    assert!(text.ends_with(end), "{text}");
    for (arguments, word) in [("{", "no JSON"), ("[1]", "no JSON object"), ("7", "no JSON object")] {
        let bad = Message { tool_calls: vec![call("1", arguments)], ..assistant("", "") };
        let error = Chat::v4().render(&[user("q"), bad], &RenderOptions::default()).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

/// Each as DeepSeek's own encoding writes it.
#[test]
fn v4_joins_turns_and_gives_tasks() {
    let bos = "<｜begin▁of▁sentence｜>";
    let v4 = |messages: &[Message], thinking| {
        Chat::v4().render(messages, &RenderOptions { thinking, ..RenderOptions::default() })
    };
    let text = |messages: &[Message], thinking| v4(messages, thinking).unwrap();
    let task = |text: &str, task: &str| Message { task: task.into(), ..user(text) };
    let result = |id: &str, text: &str| Message { tool_call_id: id.into(), ..Message::new(Role::Tool, text) };
    assert_eq!(
        text(&[user("a"), user("b"), result("1", "r"), user("c")], false),
        format!("{bos}<｜User｜>a\n\nb\n\n<tool_result>r</tool_result>\n\nc<｜Assistant｜></think>")
    );
    // A task stands behind its own words, and what comes after it is another turn.
    assert_eq!(text(&[task("a", "query")], true), format!("{bos}<｜User｜>a<｜query｜>"));
    assert_eq!(text(&[task("a", "action")], true), format!("{bos}<｜User｜>a<｜Assistant｜><think><｜action｜>"));
    assert_eq!(text(&[task("a", "action")], false), format!("{bos}<｜User｜>a<｜Assistant｜></think><｜action｜>"));
    assert_eq!(
        text(&[task("a", "title"), assistant("r", "T"), user("b")], true),
        format!("{bos}<｜User｜>a<｜title｜>T<｜end▁of▁sentence｜><｜User｜>b<｜Assistant｜><think>")
    );
    assert_eq!(
        text(&[task("a", "domain"), user("b")], false),
        format!("{bos}<｜User｜>a<｜User｜>b<｜Assistant｜></think>")
    );
    assert!(v4(&[task("a", "dance")], false).unwrap_err().to_string().contains("read_url"));
    // A developer's own tools keep the thoughts and the developers before.
    let tools = vec![r#"{"name": "f"}"#.to_owned()];
    let developer = Message { tools, response_format: r#"{"b":1}"#.into(), ..Message::new(Role::Developer, "d") };
    let told = text(&[developer.clone(), assistant("r", "b"), user("c")], true);
    assert!(
        told.starts_with(&format!("{bos}<｜User｜>d\n\n## Tools\n\nYou")) && told.contains("\n\n{\"name\": \"f\"}\n\n")
    );
    let end = "tool calls.\n\n\n## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n{\"b\": 1}\
        <｜Assistant｜><think>r</think>b<｜end▁of▁sentence｜><｜User｜>c<｜Assistant｜><think>";
    assert!(told.ends_with(end), "{told}");
    let bare = Message { tools: Vec::new(), ..developer };
    let dropped = format!("{bos}b<｜end▁of▁sentence｜><｜User｜>c<｜Assistant｜><think>");
    assert_eq!(text(&[bare.clone(), assistant("r", "b"), user("c")], true), dropped);
    assert!(v4(&[Message { content: String::new(), ..bare }], false).unwrap_err().found.contains("no content"));
    let parts = Transcript::from_json(
        r#"[{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]"#,
    );
    assert_eq!(text(&parts.unwrap().messages, false), format!("{bos}<｜User｜>a\n\nb<｜Assistant｜></think>"));
    let open = Message { unfinished: true, ..assistant("", "Once") };
    assert_eq!(text(&[user("a"), open], false), format!("{bos}<｜User｜>a<｜Assistant｜></think>Once"));
}

#[test]
fn a_rendered_conversation_has_one_begin_token() {
    let v4 = Chat::v4().render(&[user("x")], &RenderOptions::default()).unwrap();
    for bos in [Bos::AsModelSays, Bos::Add] {
        let ids = TOKENIZER.encode(&v4, bos).unwrap();
        assert_eq!(ids.iter().filter(|&&id| id == 0).count(), 1);
    }
    assert_eq!(Chat::stops(&TOKENIZER), [1]);
}

#[test]
fn a_chat_comes_from_the_file_or_from_the_config() {
    let config = TokenizerConfig::read(
        r#"{"bos_token": "<think>", "chat_template": "{{ bos_token }}{{ messages[0].content }}"}"#,
    );
    let chat = Chat::from_config(&config, &TOKENIZER).unwrap().unwrap();
    let begin = "<｜begin▁of▁sentence｜>";
    assert_eq!(chat.render(&[user("x")], &RenderOptions::default()).unwrap(), format!("{begin}x"));
    assert!(Chat::from_config(&TokenizerConfig::default(), &TOKENIZER).unwrap().is_none());
    let empty = TokenizerConfig { chat_template: Some(" \n".into()), ..TokenizerConfig::default() };
    assert!(Chat::from_config(&empty, &TOKENIZER).unwrap().is_none());
    let file = pollster::block_on(gguf::read(&Memory::new("fixture", VOCABULARY), 0)).unwrap();
    assert!(Chat::from_gguf(&file.metadata, &TOKENIZER).unwrap().is_none());
    for name in ["default", "tool_use"] {
        let file = GgufFile::new().key(
            &format!("tokenizer.chat_template.{name}"),
            8,
            &crafted::text(b"{{ messages[0].content }}!"),
        );
        let file = pollster::block_on(gguf::read(&Memory::new("crafted", file.bytes()), 0)).unwrap();
        let chat = Chat::from_gguf(&file.metadata, &TOKENIZER).unwrap().unwrap();
        assert_eq!(chat.render(&[user("x")], &RenderOptions::default()).unwrap(), "x!", "{name}");
    }
    let mut tokenizer = Tokenizer::from_json(include_str!("fixtures/tokenizer.json"), SpecialIds::default()).unwrap();
    let named = TokenizerConfig { bos: Some(begin.into()), add_bos: Some(true), ..TokenizerConfig::default() };
    tokenizer.configure(&named);
    assert_eq!((tokenizer.special().bos, tokenizer.special().add_bos), (Some(0), true));
    let unknown = TokenizerConfig { eos: Some("<nosuch>".into()), ..TokenizerConfig::default() };
    tokenizer.configure(&unknown);
    assert!(tokenizer.notices().iter().any(|notice| notice.contains("<nosuch>")));
}

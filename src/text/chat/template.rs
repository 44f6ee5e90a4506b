//! A chat template from a model's file: Jinja as transformers runs it, within bounds.

use super::budget::{Budget, exhausted};
use super::message::{Message, RenderOptions, Role};
use super::python::write_str;
use super::rewrite::rewrite;
use super::{clock, filters, json, methods, operations, predicates, shape};
use crate::error::{Error, Result};
use crate::text::vocabulary::quote;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, ErrorKind, Value, context, machinery};
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

const ORIGIN: &str = "chat template";
/// The longest known has 20 KB.
const MAX_SOURCE_BYTES: usize = 256 << 10;
/// What a rendering may make in bytes, at least and for each byte that it is given.
const BYTES: u64 = 16 << 20;
const BYTES_A_BYTE: u64 = 32;
/// Instructions, and steps on values; the latter as many more for each byte given.
const FUEL: u64 = 300_000;
const FUEL_A_MESSAGE: u64 = 3_000;
const STEPS: u64 = 4 << 20;
/// A macro within a macro counts for five to seven: schemas of tools are objects in objects.
const RECURSION: usize = 128;
/// Before a template's own words for why it refuses.
const REFUSED: &str = "refused: ";

/// Tags that write nothing of their own, see [`plain`].
static BEGINS: LazyLock<Option<Regex>> = LazyLock::new(|| tag(r"(?:generation|block\s+\w+(?:\s+scoped|\s+required)*)"));
static ENDS: LazyLock<Option<Regex>> = LazyLock::new(|| tag(r"(?:endgeneration|endblock(?:\s+\w+)?)"));

static RAW: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(\{%[-+]?\s*raw\s*%\})\n").ok());

fn tag(names: &str) -> Option<Regex> {
    Regex::new(&format!(r"\{{%([-+]?)\s*{names}\s*([-+]?)%\}}")).ok()
}

/// A template that parses.
#[derive(Debug)]
pub(super) struct Template {
    source: String,
    /// Texts that it may write, by their names.
    tokens: BTreeMap<String, String>,
    /// Found with the first words that were typed: a template that nobody talks by is not run.
    lists: OnceLock<Lists>,
}

impl Template {
    /// Fails if the template does not parse. `tokens` are texts that it may write, by their names, such as `bos_token`.
    pub(super) fn new(source: &str, tokens: BTreeMap<String, String>) -> Result<Self> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(
                Error::file(ORIGIN, format!("{} bytes", source.len())).expected(format!("at most {MAX_SOURCE_BYTES}"))
            );
        }
        let source = shape::adapted(&plain(source), &syntax()?).map_err(|error| fault(&error))?;
        let template = Self { source, tokens, lists: OnceLock::new() };
        shape::check(&template.source, syntax()?).map_err(|error| fault(&error))?;
        let environment = environment(&Budget::new(0, 0), 0)?;
        let parsed = environment.template_from_str(&template.source).map_err(|error| fault(&error))?;
        rewrite(&machinery::get_compiled_template(&parsed).instructions).map_err(|error| fault(&error))?;
        Ok(template)
    }

    /// Which form it shows all words of a conversation in, as llama.cpp tells it: by words that stand in no template.
    fn told_apart(&self) -> Lists {
        const WORDS: [(Role, &str); 3] =
            [(Role::User, "qvxj-ask"), (Role::Assistant, "qvxj-answer"), (Role::User, "qvxj-more")];
        let said = WORDS.map(|(role, words)| Message::new(role, words));
        let shows_all = |lists: &Lists| {
            let probe = Self { source: self.source.clone(), tokens: self.tokens.clone(), lists: (*lists).into() };
            // Any time will do.
            let options = RenderOptions { now: 1, ..RenderOptions::default() };
            let text = probe.render(&said, &options).unwrap_or_default();
            WORDS.iter().all(|(_, words)| text.contains(words)) && !text.contains(AS_PYTHON)
        };
        let ways = [Lists::default(), Lists { answers: true, others: true }, Lists { answers: false, others: true }];
        ways.into_iter().find(shows_all).unwrap_or_default()
    }

    pub(super) fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<String> {
        let n_bytes: usize = messages
            .iter()
            .map(|message| {
                let calls: usize = message.tool_calls.iter().map(|call| call.arguments.len() + call.name.len()).sum();
                let tools: usize = message.tools.iter().map(String::len).sum();
                message.content.len() + message.reasoning.len() + message.given.len() + calls + tools + 64
            })
            .sum::<usize>()
            + options.tools.iter().map(String::len).sum::<usize>()
            + options.arguments.len();
        let n_bytes = n_bytes as u64;
        let budget = Budget::new(BYTES + BYTES_A_BYTE * n_bytes, STEPS + BYTES_A_BYTE * n_bytes);
        let mut environment = environment(&budget, options.now)?;
        environment.set_fuel(Some(FUEL + FUEL_A_MESSAGE * messages.len() as u64));
        let has_typed = messages.iter().any(|message| message.given.is_empty());
        let lists = if has_typed { *self.lists.get_or_init(|| self.told_apart()) } else { Lists::default() };
        let values =
            |form| messages.iter().map(|message| message_value(message, form, lists)).collect::<Result<Vec<_>>>();
        let run = |messages: Vec<Value>| Ok::<_, Error>(self.run(&environment, self.variables(messages, options)?));
        let given = values(Form::default())?;
        let mut best = run(given.clone())?;
        let mut rank = rank(&best, &given, Form::default());
        for form in Form::others(messages, &given) {
            if rank == Rank::Whole {
                break;
            }
            let other = run(values(form)?)?;
            let of_other = self::rank(&other, &given, form);
            if of_other > rank {
                (best, rank) = (other, of_other);
            }
        }
        best.map_err(|error| fault(&error))
    }

    fn run(&self, environment: &Environment<'_>, root: Value) -> Result<String, minijinja::Error> {
        let parsed = environment.template_from_str(&self.source)?;
        let program = rewrite(&machinery::get_compiled_template(&parsed).instructions)?;
        let mut text = String::new();
        let blocks = BTreeMap::new();
        let mut out = machinery::make_string_output(&mut text);
        machinery::eval(environment, &program, root, &blocks, &mut out, AutoEscape::None)?;
        Ok(text)
    }

    /// What a template finds: as transformers names it.
    fn variables(&self, messages: Vec<Value>, options: &RenderOptions) -> Result<Value> {
        let tools: Vec<Value> = options.tools.iter().map(|tool| tool_value(tool)).collect::<Result<_>>()?;
        let tokens = self.tokens.iter().map(|(name, token)| (Value::from(name.as_str()), token.as_str().into()));
        let own = context! {
            messages,
            tools => if tools.is_empty() { Value::from(()) } else { tools.into() },
            documents => Value::from(()),
            add_generation_prompt => true,
            enable_thinking => options.thinking,
            thinking => options.thinking,
            reasoning_effort => if options.effort.is_empty() { Value::UNDEFINED } else { options.effort.clone().into() },
        };
        let asked = match options.arguments.as_str() {
            "" => Value::from(()),
            arguments => json::read("arguments of the template", arguments)?,
        };
        // What is asked for goes before what is usual, as in transformers.
        Ok(Value::from_pairs(tokens.chain(pairs(&own)).chain(pairs(&asked))))
    }
}

/// How a template is shown messages that were read from JSON: with all that was given, and arguments of calls as objects, but for
/// what it cannot read. Most templates want texts, where services take lists of parts; some add to what may be null beside calls, or
/// want arguments as these have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Form {
    /// Arguments as texts where they were.
    arguments: bool,
    /// Parts of a text as one.
    parts: bool,
    /// An empty text for none.
    nulls: bool,
}

impl Form {
    /// Those in which such messages would be other than as they were given, the nearest first: there are templates that write calls
    /// only where there is no text beside them.
    fn others(messages: &[Message], given: &[Value]) -> Vec<Self> {
        let mut forms = vec![Self::default()];
        let mut vary = |is_there: bool, with: fn(Self) -> Self| {
            let more: Vec<Self> = forms.iter().filter(|_| is_there).map(|form| with(*form)).collect();
            forms.extend(more);
        };
        let read = || messages.iter().zip(given).filter(|(message, _)| !message.given.is_empty());
        let is_of = |kinds: &[ValueKind]| read().any(|(_, value)| kinds.contains(&content_of(value).kind()));
        vary(read().any(|(message, _)| message.tool_calls.iter().any(|call| call.is_text)), |form| Self {
            arguments: true,
            ..form
        });
        vary(is_of(&[ValueKind::Seq]), |form| Self { parts: true, ..form });
        vary(is_of(&[ValueKind::None, ValueKind::Undefined]), |form| Self { nulls: true, ..form });
        forms.split_off(1)
    }
}

/// How well a template shows what was given; the best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It fails.
    Failed,
    /// Nothing of what a person asks is there.
    Silent,
    /// Something of it is.
    Asking,
    /// Something of it is, and in no list.
    InTexts,
    /// All parts are there.
    Whole,
}

fn rank(text: &Result<String, minijinja::Error>, given: &[Value], form: Form) -> Rank {
    match text {
        Err(_) => Rank::Failed,
        Ok(text) if given.iter().all(|message| has_parts_of(text, message)) => Rank::Whole,
        Ok(text) if !asks(text, given) => Rank::Silent,
        Ok(_) if form.parts => Rank::InTexts,
        Ok(_) => Rank::Asking,
    }
}

fn content_of(message: &Value) -> Value {
    message.get_attr("content").unwrap_or_default()
}

/// Whose words a template reads as lists of parts alone, of those that nobody gave in any form: templates of models that also
/// see may pass over a text without a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lists {
    /// The model's.
    answers: bool,
    /// All others'.
    others: bool,
}

/// How Python shows the begin of a list of parts.
const AS_PYTHON: &str = "[{'t";

/// Whether a person's words are in what was rendered, or parts of them; where nobody asks anything, they are.
fn asks(text: &str, messages: &[Value]) -> bool {
    let is_user = |message: &&Value| message.get_attr("role").is_ok_and(|role| role.as_str() == Some("user"));
    let words: Vec<String> =
        messages.iter().filter(is_user).flat_map(|message| words_of(&content_of(message))).collect();
    words.is_empty() || words.iter().any(|words| text.contains(words))
}

/// The texts of a content that is one, or a list of parts; those that are empty left out.
fn words_of(content: &Value) -> Vec<String> {
    let texts: Vec<Value> = match content.kind() {
        ValueKind::Seq => {
            let parts = content.try_iter().into_iter().flatten();
            parts.map(|part| part.get_attr("text").unwrap_or_default()).collect()
        }
        _ => vec![content.clone()],
    };
    let words = texts.iter().filter_map(|text| text.as_str().map(str::trim));
    words.filter(|words| !words.is_empty()).map(str::to_owned).collect()
}

/// Whether what was rendered has the parts of a message's text, and not as Python shows lists.
fn has_parts_of(text: &str, message: &Value) -> bool {
    let content = content_of(message);
    let is_there = |part: &Value| part.as_str().is_some_and(|part| text.contains(part.trim()));
    content.kind() != ValueKind::Seq
        || !text.contains(AS_PYTHON)
            && content
                .try_iter()
                .is_ok_and(|mut parts| parts.all(|part| part.get_attr("text").is_ok_and(|text| is_there(&text))))
}

fn message_value(message: &Message, form: Form, lists: Lists) -> Result<Value> {
    let (mut fields, text) = (Vec::new(), ("content".into(), message.content.as_str().into()));
    let mut given_calls = Value::UNDEFINED;
    if message.given.is_empty() {
        fields.extend([("role".into(), message.role.name().into()), text]);
    } else {
        let given = json::read("a message", &message.given)?;
        fields.extend(pairs(&given));
        given_calls = given.get_attr("tool_calls").unwrap_or_default();
        let is_other = match content_of(&given).kind() {
            ValueKind::Seq => form.parts,
            ValueKind::None | ValueKind::Undefined => form.nulls,
            _ => false,
        };
        fields.extend(is_other.then_some(text));
    }
    let is_list = if message.role == Role::Assistant { lists.answers } else { lists.others };
    if is_list && message.given.is_empty() {
        let part = context! { type => "text", text => message.content.as_str() };
        fields.push(("content".into(), vec![part].into()));
    }
    if !message.reasoning.is_empty() {
        fields.push(("reasoning_content".into(), message.reasoning.as_str().into()));
        // Before calls gpt-oss's template has another name for it.
        if message.given.is_empty() && message.content.is_empty() && !message.tool_calls.is_empty() {
            fields.push(("thinking".into(), message.reasoning.as_str().into()));
        }
    }
    // In what was given it may be a number.
    if !message.tool_call_id.is_empty() && message.given.is_empty() {
        fields.push(("tool_call_id".into(), message.tool_call_id.as_str().into()));
    }
    if !message.tool_calls.is_empty() {
        let call = |(at, call): (usize, &super::ToolCall)| -> Result<Value> {
            let read = json::read("the arguments of a tool call", &call.arguments)?;
            let arguments = if call.is_text && form.arguments { call.arguments.as_str().into() } else { read };
            let given = given_calls.get_item(&at.into()).unwrap_or_default();
            let function = given.get_attr("function").unwrap_or_default();
            if function.kind() == ValueKind::Map {
                let function = Value::from_pairs(pairs(&function).chain([("arguments".into(), arguments)]));
                return Ok(Value::from_pairs(pairs(&given).chain([("function".into(), function)])));
            }
            let function = context! { name => call.name.as_str(), arguments };
            Ok(context! { type => "function", id => call.id.as_str(), function })
        };
        let calls: Vec<Value> = message.tool_calls.iter().enumerate().map(call).collect::<Result<_>>()?;
        fields.push(("tool_calls".into(), calls.into()));
    }
    if !message.tools.is_empty() {
        let tools: Vec<Value> = message.tools.iter().map(|tool| tool_value(tool)).collect::<Result<_>>()?;
        fields.push(("tools".into(), tools.into()));
    }
    Ok(Value::from_pairs(fields))
}

/// An object's keys and values, in their order: what is put behind them under one of these keys takes its place.
pub(super) fn pairs(object: &Value) -> impl Iterator<Item = (Value, Value)> {
    let keys = object.try_iter().into_iter().flatten();
    keys.map(|key| (key.clone(), object.get_item(&key).unwrap_or_default()))
}

/// A tool as templates expect it: an object around the function's.
fn tool_value(tool: &str) -> Result<Value> {
    let function = json::read("a tool", tool)?;
    Ok(Value::from_pairs([("type", Value::from("function")), ("function", function)]))
}

/// Whitespace as transformers has it.
fn syntax() -> Result<SyntaxConfig> {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(|error| fault(&error))
}

/// What is known to every template, within the budget.
fn environment(budget: &Budget, now: u64) -> Result<Environment<'static>> {
    // Nothing is known but what is added here: what a newer library brings has to be judged first.
    let mut environment = Environment::empty();
    environment.set_syntax(syntax()?);
    environment.set_recursion_limit(RECURSION);
    operations::add_to(&mut environment, budget);
    predicates::add_to(&mut environment, budget);
    filters::add_to(&mut environment, budget);
    let shared = budget.clone();
    environment.set_unknown_method_callback(move |state, value, method, given| {
        methods::call(&shared, state, value, method, given)
    });
    environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, format!("{REFUSED}{message}")))
    });
    let shared = budget.clone();
    let moment = clock::moment(now);
    environment.add_function("strftime_now", move |format: &str| clock::strftime(&moment, format, &shared));
    let budget = budget.clone();
    environment.set_formatter(move |out, _, value| {
        let mut text = String::new();
        write_str(&mut text, value, &budget)?;
        out.write_str(&text).map_err(|_| exhausted("output"))
    });
    Ok(environment)
}

/// The source with line ends as Jinja reads them, and without two kinds of tags that write nothing of their own: marks
/// of what the model says, for training (`{% generation %}`, which is no part of Jinja), and blocks, which matter to
/// templates that extend others.
fn plain(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    // The line end behind `raw` stays, where the library takes it for one behind any tag.
    let source = match &*RAW {
        Some(raw) => raw.replace_all(&source, "$1\n\n").into_owned(),
        None => source,
    };
    let tag = |names: &Option<Regex>, plain: &str, source: String| match names {
        Some(names) => names.replace_all(&source, format!("{{%$1 {plain} $2%}}")).into_owned(),
        None => source,
    };
    tag(&BEGINS, "if true", tag(&ENDS, "endif", source))
}

/// The library's error as ours: in the template's own words where it refuses the conversation.
fn fault(error: &minijinja::Error) -> Error {
    // What went wrong is said innermost; around it stand the places that it came through.
    let (mut innermost, mut next) = (error, std::error::Error::source(error));
    while let Some(inner) = next {
        if let Some(inner) = inner.downcast_ref::<minijinja::Error>() {
            innermost = inner;
        }
        next = inner.source();
    }
    let detail = innermost.detail().unwrap_or_default();
    if let Some(words) = detail.strip_prefix(REFUSED) {
        return Error::usage(ORIGIN, format!("it refuses the conversation: {}", quote(words)));
    }
    let place = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    let found = match innermost.kind() {
        ErrorKind::OutOfFuel => "it asks for more steps than any honest template".to_owned(),
        kind if detail.is_empty() => kind.to_string(),
        kind => format!("{kind}: {}", quote(detail)),
    };
    Error::file(ORIGIN, format!("{place}{found}"))
        .expected("a Jinja template as transformers runs them")
        .advice("The model can still continue a text without a template.")
}

//! Texts of a given form: grammars and JSON schemas, by the library `llguidance`. Natively only: in the page it would take
//! more room than there is.

mod gbnf;
mod terminals;

use super::prompt::read_file;
use crate::engine::run::sampling::{Constraint, Grammar};
use crate::error::{Error, Result};
use crate::text::{Control, Tokenizer};
use clap::Args;
use llguidance::api::TopLevelGrammar;
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};

/// What the text must look like.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct GrammarOptions {
    /// Write only what this grammar allows, from the first token on, thoughts included: GBNF as llama.cpp's, or Lark behind
    /// a first line of `%llguidance {}`
    #[arg(long, value_name = "GBNF", allow_hyphen_values = true, help_heading = "Form of the text")]
    grammar: Option<String>,
    /// The same, from a file
    #[arg(long, value_name = "FILE", help_heading = "Form of the text")]
    pub(super) grammar_file: Option<PathBuf>,
    /// Write only JSON that this JSON schema allows; {} for any
    #[arg(short, long, value_name = "SCHEMA", help_heading = "Form of the text")]
    json_schema: Option<String>,
    /// The same, from a file; also as -jf
    #[arg(long, value_name = "FILE", help_heading = "Form of the text")]
    pub(super) json_schema_file: Option<PathBuf>,
}

impl GrammarOptions {
    /// What they say, read but not yet compiled; that takes a vocabulary.
    pub(super) fn read(&self) -> Result<Option<Arc<dyn Grammar>>> {
        let or_file = |text: &Option<String>, file: &Option<PathBuf>| match file {
            Some(file) => read_file(file).map(Some),
            None => Ok(text.clone()),
        };
        let source = if let Some(schema) = or_file(&self.json_schema, &self.json_schema_file)? {
            let schema: Value = serde_json::from_str(schema.trim_start_matches('\u{feff}'))
                .map_err(|error| Error::usage("JSON schema", format!("no JSON: {error}")))?;
            of_schema(schema)?
        } else if let Some(text) = or_file(&self.grammar, &self.grammar_file)? {
            let is_lark = text.starts_with("%llguidance");
            TopLevelGrammar::from_lark(if is_lark { text } else { gbnf::to_lark(&text)? })
        } else {
            return Ok(None);
        };
        Ok(Some(Arc::new(Form { source, compiled: OnceLock::new() })))
    }
}

/// What may stand between the parts of JSON, as in llama.cpp: a weak model would write line ends for ever.
const SPACE: &str = r" |\n{1,2}[ \t]{0,20}";

/// What the library cannot keep to (`oneOf` beyond `anyOf`, `not`, formats that it does not know) is told, as elsewhere
/// what is not used: programs write such schemas without meaning much by it.
fn of_schema(schema: Value) -> Result<TopLevelGrammar> {
    let mut schema = unwrapped(schema);
    if let Some(number) = too_many_remainders(&schema) {
        return Err(Error::usage("grammar", format!("multipleOf {number}, which takes a state for each remainder"))
            .expected(format!("digits that make at most {MOST_REMAINDERS}, without zeros at their end")));
    }
    if typed(&mut schema) {
        eprintln!("headstart: grammar: patterns that look ahead or behind are left out");
    }
    if let Some(schema) = schema.as_object_mut() {
        schema.entry("x-guidance").or_insert_with(|| json!({ "whitespace_pattern": SPACE, "lenient": true }));
    }
    Ok(TopLevelGrammar::from_json_schema(schema))
}

/// The most that the digits of a `multipleOf` may make: that takes half a second and 70 MB.
const MOST_REMAINDERS: u64 = 100_000;

/// Words of a schema behind which stand values and no schemas.
const VALUES: [&str; 5] = ["enum", "const", "default", "examples", "required"];

/// A `multipleOf` in a schema that the library would work at for minutes, taking all of the memory.
fn too_many_remainders(schema: &Value) -> Option<&Value> {
    match schema {
        Value::Object(words) => {
            // A fraction counts as the whole number that its digits make: so does the library.
            let is_too_many = |number: &&Value| {
                let text = number.to_string();
                let digits: String = text.split(['e', 'E']).next().unwrap_or_default().split(['.', '-']).collect();
                let digits = digits.trim_matches('0');
                number.is_number() && !digits.is_empty() && digits.parse().is_ok_and(|of: u64| of > MOST_REMAINDERS)
            };
            let own = words.get("multipleOf").filter(is_too_many);
            let schemas = words.iter().filter(|(word, _)| !VALUES.contains(&word.as_str()));
            own.or_else(|| schemas.map(|(_, within)| within).find_map(too_many_remainders))
        }
        Value::Array(several) => several.iter().find_map(too_many_remainders),
        _ => None,
    }
}

/// Words of a schema that only one type has, and the type that llama.cpp takes for meant where a schema names none.
const WORDS_OF_TYPES: [(&str, &str); 5] = [
    ("properties", "object"),
    ("additionalProperties", "object"),
    ("items", "array"),
    ("prefixItems", "array"),
    ("pattern", "string"),
];

/// Words of a schema that count: with a whole number, which 2.0 is too.
const COUNTS: [&str; 6] = ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"];

/// Says the type where a schema, or one within it, has the words of one and does not say so. A schema that combines others
/// leaves its type to them. Bounds that no whole number of 64 bits exceeds are none; counts are whole numbers, and the greatest that
/// a generator has is none. Whether a pattern was left out that the library
/// cannot keep to, as Zod has one for addresses of mail.
fn typed(schema: &mut Value) -> bool {
    match schema {
        Value::Object(words) => {
            let looks = |pattern: &str| ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|look| pattern.contains(look));
            let mut is_left_out = words.get("pattern").and_then(Value::as_str).is_some_and(looks);
            if is_left_out {
                words.remove("pattern");
                words.entry("type").or_insert_with(|| json!("string"));
            }
            for (word, sign) in
                [("minimum", -1.0), ("exclusiveMinimum", -1.0), ("maximum", 1.0), ("exclusiveMaximum", 1.0)]
            {
                // Those of 64 bits without a sign are kept to.
                let most = if sign < 0.0 { 9.2e18 } else { 1.85e19 };
                if words.get(word).and_then(Value::as_f64).is_some_and(|bound| sign * bound > most) {
                    words.remove(word);
                }
            }
            for word in COUNTS {
                let count = words.get(word).and_then(Value::as_f64);
                // Generators write the greatest number that they have for none.
                if count.is_some_and(|count| count >= f64::from(i32::MAX) && word.starts_with("max")) {
                    words.remove(word);
                } else if let Some(count) = count.filter(|count| count.fract() == 0.0 && *count >= 0.0) {
                    words.insert(word.to_owned(), json!(count as u64));
                }
            }
            let says = ["type", "$ref", "enum", "const", "anyOf", "oneOf", "allOf", "not", "if"];
            let is_said = says.iter().any(|word| words.contains_key(*word));
            let named = |word: &str| words.get(word).is_some_and(|within| *within != Value::Bool(true));
            let meant = WORDS_OF_TYPES.iter().find(|(word, _)| !is_said && named(word));
            if let Some((_, name)) = meant {
                words.insert("type".to_owned(), json!(name));
            }
            for (word, within) in words {
                match word.as_str() {
                    word if VALUES.contains(&word) => {}
                    // Schemas by names that are no words.
                    "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
                        let named = within.as_object_mut().into_iter().flat_map(|named| named.values_mut());
                        named.for_each(|within| is_left_out |= typed(within));
                    }
                    _ => is_left_out |= typed(within),
                }
            }
            is_left_out
        }
        Value::Array(several) => several.iter_mut().fold(false, |is_left_out, one| typed(one) | is_left_out),
        _ => false,
    }
}

/// The schema within what services take in its place: `{"type": "json_schema", "json_schema": {"name": …, "schema": …}}`,
/// what stands in there alone, or `{"type": "json_object"}`, with a schema or for any object. None of these words is one
/// of a schema, which would allow everything.
fn unwrapped(schema: Value) -> Value {
    let kind = schema.get("type").and_then(Value::as_str);
    let within = match kind {
        Some("json_schema") => schema.get("json_schema").or_else(|| schema.get("schema")),
        Some("json_object") => schema.get("schema"),
        None if schema.get("name").is_some_and(Value::is_string) => schema.get("schema"),
        _ => None,
    };
    match (within.filter(|within| within.is_object()), kind) {
        (Some(within), Some("json_schema")) => unwrapped(within.clone()),
        (Some(within), _) => within.clone(),
        (None, Some("json_object")) => json!({"type": "object"}),
        (None, _) => schema,
    }
}

/// A grammar, and its parser once there is a vocabulary.
struct Form {
    source: TopLevelGrammar,
    compiled: OnceLock<Matcher>,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a grammar")
    }
}

impl Grammar for Form {
    fn begin(&self, tokenizer: &Tokenizer) -> Result<Box<dyn Constraint>> {
        // A program runs one model; each of its texts begins with a copy.
        let matcher = match self.compiled.get() {
            Some(matcher) => matcher,
            None => {
                let matcher = compile(&self.source, &vocabulary(tokenizer)?)?;
                self.compiled.get_or_init(|| matcher)
            }
        };
        Ok(Box::new(Following(matcher.deep_clone())))
    }
}

fn compile(source: &TopLevelGrammar, vocabulary: &TokEnv) -> Result<Matcher> {
    let mut factory = ParserFactory::new_simple(vocabulary).map_err(wrong)?;
    factory.quiet().limits_mut().verbose_errors = false;
    let parser = factory.create_parser(source.clone()).map_err(wrong)?;
    let mut matcher = Matcher::new(Ok(parser));
    for told in matcher.grammar_warnings() {
        eprintln!("headstart: grammar: {told}");
    }
    // A grammar that fails does so at its first token.
    matcher.compute_mask_or_eos().map_err(wrong)?;
    Ok(matcher)
}

/// The tokens' bytes, as the library wants them: marks of control begin with a byte that no text has.
fn vocabulary(tokenizer: &Tokenizer) -> Result<TokEnv> {
    let ends = tokenizer.ends();
    let end = *ends.first().ok_or_else(|| {
        Error::usage("grammar", "the model names no token that ends a text").expected("a model that can end one")
    })?;
    let bytes = |id: u32| match tokenizer.text_of(id) {
        None => Vec::new(),
        Some(name) if tokenizer.is_control(id) => [&[TokTrie::SPECIAL_TOKEN_MARKER], name.as_bytes()].concat(),
        Some(_) => tokenizer.bytes_of(id, Control::Show).to_vec(),
    };
    let words: Vec<Vec<u8>> = (0..tokenizer.n_vocab() as u32).map(bytes).collect();
    let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, end), &words).with_eos_tokens(&ends);
    Ok(Arc::new(ApproximateTokEnv::new(trie)))
}

fn wrong(error: impl std::fmt::Display) -> Error {
    let told = error.to_string();
    // The library's word for it, with a remark of its own behind.
    let told =
        if told.contains("NoExtensionBias") { "a schema that is nothing but a reference to itself" } else { &told };
    Error::usage("grammar", told.trim_end_matches("<non-verbose/>").trim_end())
}

/// A text that keeps to the form so far.
struct Following(Matcher);

impl Constraint for Following {
    fn allowed(&mut self) -> Result<Vec<bool>> {
        let mask = self.0.compute_mask_or_eos().map_err(wrong)?;
        Ok((0..mask.len() as u32).map(|id| mask.is_allowed(id)).collect())
    }

    fn accept(&mut self, id: u32) -> Result<()> {
        // What comes behind the end is nobody's.
        if self.0.is_stopped() { Ok(()) } else { self.0.consume_token(id).map_err(wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a grammar allows a text as a whole, byte by byte.
    fn allows(source: &TopLevelGrammar, text: &str) -> bool {
        let mut matcher = compile(source, &ApproximateTokEnv::single_byte_env()).expect("it compiles");
        let is_next = |byte: u8| {
            let mask = matcher.compute_mask_or_eos().expect("a mask");
            mask.is_allowed(byte.into()) && matcher.consume_token(byte.into()).is_ok()
        };
        text.bytes().all(is_next) && matcher.is_accepting().expect("a state")
    }

    fn check(source: &TopLevelGrammar, right: &[&str], wrong: &[&str]) {
        right.iter().for_each(|text| assert!(allows(source, text), "{text}"));
        wrong.iter().for_each(|text| assert!(!allows(source, text), "{text}"));
    }

    fn gbnf(text: &str) -> TopLevelGrammar {
        TopLevelGrammar::from_lark(gbnf::to_lark(text).expect("GBNF"))
    }

    fn read_schema(words: Value) -> TopLevelGrammar {
        of_schema(words).expect("a schema")
    }

    #[test]
    fn gbnf_allows_what_llama_cpp_does() {
        check(&gbnf("root ::= (\"yes\" | \"no\") \".\"?"), &["yes", "no."], &["", "ye", "yes!", "no.."]);
        check(&gbnf("root ::= [a-c]{2,3} [^a-z\\n]*"), &["ab", "abc1é"], &["a", "abcd", "ab\n"]);
        // A word that is the beginning of another, spelt out as characters.
        check(&gbnf("root ::= \"if\" | [a-z]+"), &["if", "ifx", "i"], &["", "If"]);
        let json = "root ::= object\nvalue ::= object | array | string | number | (\"true\" | \"false\" | \"null\") ws\n\
            object ::= \"{\" ws ( string \":\" ws value (\",\" ws string \":\" ws value)* )? \"}\" ws\n\
            array ::= \"[\" ws ( value (\",\" ws value)* )? \"]\" ws\n\
            string ::= \"\\\"\" ( [^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" ([\"\\\\bfnrt] | \"u\" [0-9a-fA-F]{4}) )* \"\\\"\" ws\n\
            number ::= (\"-\"? ([0-9] | [1-9] [0-9]{0,15})) (\".\" [0-9]+)? ws\nws ::= | \" \" | \"\\n\" [ \\t]{0,20}";
        let right = ["{}", "{\"a\": [1, -2.5, {\"b\": null}], \"c\":\"\\u00e9\\\"\"}", "{ \"a\":true}\n  "];
        check(&gbnf("root ::= \"a\n\\-\" [b\\-] \"x\"{0}"), &["a\n-b", "a\n--"], &["a\n-bx", "a\n-c"]);
        // Spaces that end in a line end which the rule behind them needs.
        let sums = "root ::= (expr \"=\" ws term \"\\n\")+\nexpr ::= term ([-+*/] term)*\n\
            term ::= ident | num | \"(\" ws expr \")\" ws\nident ::= [a-z] [a-z0-9_]* ws\nnum ::= [0-9]+ ws\nws ::= [ \\t\\n]*";
        check(&gbnf(sums), &["a=1\n", "(a +b1)*2 = c\n\nx=y \n"], &["a=1", "a+=1\n", "(a=1\n"]);
        // Texts within each other, of any length.
        let marks = "root ::= element\nelement ::= \"<\" name \">\" content \"</\" name \">\"\ncontent ::= (text | element)*\n\
            text ::= [^<>]+\nname ::= [a-z]+";
        let long = format!("<a>{}<b>é</b></a>", "some words ".repeat(2000));
        check(&gbnf(marks), &["<a></a>", &long], &["<a>", "<a>></a>", "a"]);
        let lines = "root ::= line+\nline ::= inline \"\\n\"\ninline ::= (plain | bold)+\nplain ::= [^*\\n]+\nbold ::= \"*\" plain \"*\"";
        check(&gbnf(lines), &["a *b* c\n", &format!("{}\n", "some *words* ".repeat(2000))], &["a", "*b\n"]);
        check(&gbnf(json), &right, &["{", "{\"a\" 1}", "[1]", "{\"a\":01}", "{\"a\":1,}"]);
    }

    #[test]
    fn a_schema_allows_its_values() {
        let schema = json!({
            "type": "object",
            "properties": {"n": {"$ref": "#/$defs/small"}, "s": {"enum": ["a", "b"]}},
            "required": ["n"],
            "additionalProperties": false,
            "$defs": {"small": {"type": "integer", "minimum": 0, "maximum": 20}},
        });
        let source = read_schema(schema);
        check(
            &source,
            &["{\"n\": 20}", "{\"n\": 0, \"s\": \"b\"}"],
            &["{}", "{\"n\": 21}", "{\"n\": 1, \"s\": \"c\"}", "1"],
        );
    }

    #[test]
    fn a_type_that_is_not_named_is_that_of_the_words() {
        let of = |schema: Value| {
            read_schema(json!({"properties": {"type": schema}, "required": ["type"], "additionalProperties": false}))
        };
        check(&of(json!({"const": 1})), &["{\"type\": 1}"], &["1", "true", "{}"]);
        check(
            &of(json!({"items": {"pattern": "^ab$"}})),
            &["{\"type\": [\"ab\"]}"],
            &["{\"type\": 1}", "{\"type\": [1]}"],
        );
        check(
            &of(json!({"anyOf": [{"pattern": "^a$"}, {"const": 2}]})),
            &["{\"type\": 2}", "{\"type\": \"a\"}"],
            &["{\"type\": 3}"],
        );
        let value = json!({"enum": [{"items": 1}]});
        check(&of(value), &["{\"type\": {\"items\": 1}}"], &["{\"type\": {\"items\": 1, \"type\": \"array\"}}"]);
    }

    #[test]
    fn a_schema_is_found_in_what_services_take() {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"],
            "additionalProperties": false});
        let named = json!({"name": "answer", "strict": true, "schema": schema.clone()});
        for whole in [
            json!({"type": "json_schema", "json_schema": named.clone()}),
            json!({"type": "json_schema", "schema": schema.clone()}),
            json!({"type": "json_object", "schema": schema.clone()}),
            named,
        ] {
            check(&read_schema(whole), &["{\"n\": 1}"], &["{}", "{\"name\": 1}", "[1]"]);
        }
        check(&read_schema(json!({"type": "json_object"})), &["{}", "{\"a\": [1]}"], &["[1]", "1"]);
        // Properties of that name are no such form.
        let own = json!({"type": "object", "properties": {"name": {}, "schema": {}}, "required": ["name"]});
        check(&read_schema(own), &["{\"name\": 1}"], &["{}"]);
    }

    #[test]
    fn what_is_not_known_of_a_schema_is_left_out_and_told() {
        let wide = json!({"oneOf": [{"const": 1}, {"type": "string", "format": "made-up"}], "not": {"const": 2}});
        let source = read_schema(wide);
        check(&source, &["1", "\"a\""], &["2", "[]"]);
        let factory = ParserFactory::new_simple(&ApproximateTokEnv::single_byte_env()).expect("a factory");
        let told = Matcher::new(factory.create_parser(source)).grammar_warnings().join("; ");
        assert!(told.contains("made-up") && told.contains("\"not\""), "{told}");
    }

    #[test]
    fn what_programs_write_without_meaning_much_by_it_is_left_out() {
        // Zod's of an address, and whole numbers of 64 bits.
        let mail = json!({"type": "object", "properties": {"a": {"type": "string", "format": "email",
            "pattern": r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"}},
            "required": ["a"]});
        check(&read_schema(mail), &["{\"a\": \"x@y.org\"}"], &["{\"a\": \"x\"}"]);
        let wide = json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX});
        check(&read_schema(wide), &["-5", "12"], &["x", "1.5"]);
        check(&read_schema(json!({"type": "integer", "minimum": -1e300})), &["-5"], &["x"]);
        check(&read_schema(json!({"type": "integer", "minimum": 0, "maximum": u64::MAX})), &["7"], &["-7"]);
        check(&read_schema(json!({"pattern": "^a(?=b)"})), &["\"x\""], &["1"]);
        // None, in the words of generators; and whole numbers in those of others.
        let no_bound = json!({"type": "string", "minLength": 1.0, "maxLength": 9_007_199_254_740_991_u64});
        check(&read_schema(no_bound), &["\"a\""], &["\"\""]);
        let items = json!({"type": "array", "items": {"type": "integer"}, "maxItems": 2.0});
        check(&read_schema(items), &["[1,2]"], &["[1,2,3]"]);
        // The library would take minutes, and all of the memory.
        let many = |number: u64| of_schema(json!({"properties": {"n": {"type": "integer", "multipleOf": number}}}));
        assert!(many(9_999_991).is_err() && many(123_456_789).is_err());
        assert!(of_schema(json!({"type": "number", "multipleOf": 1.234_567_8})).is_err());
        assert!(of_schema(json!({"type": "null", "default": {"multipleOf": 9_999_991}})).is_ok());
        check(&read_schema(json!({"type": "integer", "multipleOf": 1_000_000})), &["2000000"], &["2000001"]);
        check(&read_schema(json!({"type": "number", "multipleOf": 0.25})), &["1.75"], &["1.8"]);
    }

    #[test]
    fn a_grammar_that_cannot_be_made_is_refused() {
        let itself = compile(&read_schema(json!({"$ref": "#"})), &ApproximateTokEnv::single_byte_env()).err();
        assert!(itself.is_some_and(|error| error.found.contains("reference to itself")));
        let vocabulary = ApproximateTokEnv::single_byte_env();
        for source in [TopLevelGrammar::from_lark("start: other".to_owned()), read_schema(json!({"type": "nothing"}))] {
            assert!(compile(&source, &vocabulary).is_err_and(|error| error.thing == "grammar"));
        }
    }
}

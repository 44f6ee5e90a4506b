//! What stands beside `tokenizer.json`, in `tokenizer_config.json`: which tokens have a part to play, by their strings,
//! whether texts begin with one of them, and the chat template. Older files have some of it in `special_tokens_map.json`
//! and `added_tokens.json`.

use super::vocabulary::{Kind, Reach, Token, quote};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

const ORIGIN: &str = "tokenizer_config.json";
/// The template for conversations with tools, where a file has one of its own for them.
const FOR_TOOLS: &str = "tool_use";

/// The parts of the file that matter here. Strings, not ids: the same string has another id in another vocabulary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenizerConfig {
    /// Begins every document.
    pub bos: Option<String>,
    /// Ends every document.
    pub eos: Option<String>,
    /// Ends a turn, where a file says so.
    pub eot: Option<String>,
    /// Fills unused places.
    pub pad: Option<String>,
    /// All tokens that the file has a name for, which templates may use: `pad_token`, `image_token` and the like.
    pub named: BTreeMap<String, String>,
    /// Whether texts begin with `bos`.
    pub add_bos: Option<bool>,
    /// The chat template; of several the one called `default`, where there is one.
    pub chat_template: Option<String>,
    /// The one called `tool_use`, which transformers takes where there are tools.
    pub tool_template: Option<String>,
    /// Tokens that `tokenizer.json` should have, too, and may not.
    pub added: Vec<Added>,
    /// What is odd in the file, and does no harm.
    pub notices: Vec<String>,
}

/// A token beside the vocabulary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Added {
    /// Its id.
    #[serde(skip)]
    pub id: u32,
    /// Its text.
    pub content: String,
    /// Whether it is no part of what a reader should see.
    pub special: bool,
    /// It takes the white space before it.
    pub lstrip: bool,
    /// It takes the white space behind it.
    pub rstrip: bool,
    /// It stands only where no letter or digit is beside it.
    pub single_word: bool,
    /// It is looked for in the text as it is after the normalizer.
    pub normalized: bool,
    /// Whether no more is known of it than its id, so that what `tokenizer.json` says of it counts.
    #[serde(skip)]
    pub is_bare: bool,
}

impl Added {
    /// It as a token of a vocabulary.
    pub(super) fn token(&self) -> Token {
        let Self { lstrip: left, rstrip: right, single_word, normalized, .. } = *self;
        Token {
            text: self.content.clone(),
            kind: if self.special { Kind::Control } else { Kind::Added },
            reach: Reach { left, right, single_word, normalized },
        }
    }
}

impl TokenizerConfig {
    /// Reads the file's text. What is of another type than transformers writes, or no JSON, is passed over with a notice:
    /// the tokenizer is in another file.
    #[must_use]
    pub fn read(json: &str) -> Self {
        let mut notices = Vec::new();
        let file: Value = serde_json::from_str(json).unwrap_or_else(|error| {
            notices.push(format!("{ORIGIN} cannot be read, and is passed over: {}", quote(&error.to_string())));
            Value::Null
        });
        let mut field = |key: &str, expected: &str, read: fn(&Value) -> Option<Value>| {
            let value = file.get(key).filter(|value| !value.is_null())?;
            let read = read(value);
            if read.is_none() {
                notices.push(format!("{ORIGIN}: {key} is no {expected}: it is passed over"));
            }
            read
        };
        let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
        let mut token = |key| text(field(key, "token", token));
        let (bos, eos, eot, pad) = (token("bos_token"), token("eos_token"), token("eot_token"), token("pad_token"));
        let add_bos = field("add_bos_token", "truth value", |value| value.is_boolean().then(|| value.clone()));
        let chat_template = text(field("chat_template", "template called `default`", template));
        let tool_template = file.get("chat_template").and_then(|value| named(value, FOR_TOOLS));
        let listed = file.get("added_tokens_decoder").and_then(Value::as_object).into_iter().flatten();
        let added =
            |(id, token): (&String, &Value)| Some(Added { id: id.parse().ok()?, ..Added::deserialize(token).ok()? });
        let (added, add_bos) = (listed.filter_map(added).collect(), add_bos.and_then(|value| value.as_bool()));
        let named = named_tokens(&file);
        Self { bos, eos, eot, pad, named, add_bos, chat_template, tool_template, added, notices }
    }

    /// With what the older files say: `special_tokens_map.json`, whose word goes before this file's unless this one lists
    /// the added tokens, as transformers has it; and `added_tokens.json`, texts with their ids.
    #[must_use]
    pub fn with_older(mut self, special: Option<&str>, added: Option<&str>) -> Self {
        let is_newer = !self.added.is_empty();
        let map: Value = special.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        for (key, known) in [("bos_token", &mut self.bos), ("eos_token", &mut self.eos), ("pad_token", &mut self.pad)] {
            let told = map.get(key).and_then(token).and_then(|text| text.as_str().map(str::to_owned));
            if told.is_some() && !(is_newer && known.is_some()) {
                *known = told;
            }
        }
        for (name, token) in named_tokens(&map) {
            self.named.entry(name).or_insert(token);
        }
        let more: HashMap<String, u32> = added.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        let parts = [&self.bos, &self.eos, &self.pad].map(Clone::clone);
        let is_known = |id: u32, added: &[Added]| added.iter().any(|added| added.id == id);
        let more: Vec<(String, u32)> = more.into_iter().filter(|(_, id)| !is_known(*id, &self.added)).collect();
        self.added.extend(more.into_iter().map(|(content, id)| Added {
            id,
            special: parts.iter().flatten().any(|part| *part == content),
            content,
            is_bare: true,
            ..Added::default()
        }));
        self
    }

    /// With templates that stand in files of their own, which go before those in here. One that is JSON around a template is
    /// the processor's, for pictures as well: it serves where there is no other.
    #[must_use]
    pub fn with_templates(mut self, default: Option<&str>, for_tools: Option<&str>) -> Self {
        if let Some(text) = default {
            let inside = |json: Value| {
                let value = json.get("chat_template")?;
                Some((template(value)?.as_str()?.to_owned(), named(value, FOR_TOOLS)))
            };
            let text = text.trim_start_matches('\u{feff}');
            let of_processor = serde_json::from_str(text).ok().and_then(inside);
            (self.chat_template, self.tool_template) = match (of_processor, self.chat_template) {
                (Some(_), Some(own)) => (Some(own), self.tool_template),
                (Some((default, for_tools)), None) => (Some(default), for_tools),
                (None, _) => (Some(text.to_owned()), None),
            };
        }
        self.tool_template = for_tools.map(str::to_owned).or(self.tool_template);
        self
    }
}

/// The tokens that a file has names for: those of every tokenizer, and the model's own.
fn named_tokens(file: &Value) -> BTreeMap<String, String> {
    const NAMES: [&str; 7] =
        ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
    let known = NAMES.iter().filter_map(|name| Some(((*name).to_owned(), file.get(name)?)));
    let of_model = file.get("extra_special_tokens").and_then(Value::as_object).into_iter().flatten();
    let all = known.chain(of_model.map(|(name, value)| (name.clone(), value)));
    all.filter_map(|(name, value)| Some((name, token(value)?.as_str()?.to_owned()))).collect()
}

/// A token is a string, or an object around one.
fn token(value: &Value) -> Option<Value> {
    let text = value.get("content").unwrap_or(value);
    text.is_string().then(|| text.clone())
}

/// One template; of several the default one, or the only one, or else the one for tools, as llama.cpp takes it.
fn template(value: &Value) -> Option<Value> {
    if value.is_string() {
        return Some(value.clone());
    }
    let all = templates(value);
    let default = all.iter().find(|(name, _)| *name == Some("default"));
    let only = all.first().filter(|_| all.len() == 1);
    let for_tools = || all.iter().find(|(name, _)| *name == Some(FOR_TOOLS));
    let (_, chosen) = default.or(only).or_else(for_tools)?;
    chosen.is_string().then(|| (*chosen).clone())
}

/// The template of a name, among several.
fn named(value: &Value, name: &str) -> Option<String> {
    let all = templates(value);
    all.iter().find(|(found, _)| *found == Some(name))?.1.as_str().map(str::to_owned)
}

/// Several templates with their names, in a list or an object.
fn templates(value: &Value) -> Vec<(Option<&str>, &Value)> {
    match value {
        Value::Array(all) => all.iter().filter_map(|one| Some((one["name"].as_str(), one.get("template")?))).collect(),
        Value::Object(all) => all.iter().map(|(name, one)| (Some(name.as_str()), one)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_strings_or_objects_and_templates_one_or_named() {
        let config = TokenizerConfig::read(
            r#"{"bos_token": {"__type": "AddedToken", "content": "<s>", "lstrip": false}, "eos_token": "</s>",
                "pad_token": null, "unk_token": "<u>", "extra_special_tokens": {"image_token": {"content": "<i>"}}, "add_bos_token": true, "model_max_length": 1e30, "chat_template": "{{ x }}"}"#,
        );
        let named = [("bos_token", "<s>"), ("eos_token", "</s>"), ("image_token", "<i>"), ("unk_token", "<u>")];
        let expected = TokenizerConfig {
            bos: Some("<s>".into()),
            eos: Some("</s>".into()),
            named: named.map(|(name, token)| (name.to_owned(), token.to_owned())).into(),
            add_bos: Some(true),
            chat_template: Some("{{ x }}".into()),
            ..TokenizerConfig::default()
        };
        assert_eq!(config, expected);
        for named in [
            r#"[{"name": "tool_use", "template": "a"}, {"name": "default", "template": "b"}]"#,
            r#"{"tool_use": "a", "default": "b"}"#,
            r#"[{"name": "chat", "template": "b"}]"#,
            r#"[{"name": "rag", "template": "a"}, {"name": "tool_use", "template": "b"}]"#,
        ] {
            let config = TokenizerConfig::read(&format!(r#"{{"chat_template": {named}}}"#));
            assert_eq!((config.chat_template.as_deref(), config.notices.len()), (Some("b"), 0), "{named}");
        }
        assert_eq!(TokenizerConfig::read("{}"), TokenizerConfig::default());
    }

    #[test]
    fn older_files_fill_in_what_is_missing_and_say_who_plays_a_part() {
        let map = r#"{"bos_token": "<b>", "eos_token": {"content": "<e>"}, "additional_special_tokens": ["<x>"]}"#;
        let old =
            TokenizerConfig::read(r#"{"eos_token": "</s>"}"#).with_older(Some(map), Some(r#"{"<e>": 7, "y": 8}"#));
        assert_eq!((old.bos.as_deref(), old.eos.as_deref()), (Some("<b>"), Some("<e>")));
        let mut added: Vec<_> =
            old.added.iter().map(|added| (added.id, added.content.as_str(), added.special)).collect();
        added.sort_unstable();
        assert_eq!(added, [(7, "<e>", true), (8, "y", false)]);
        let new = r#"{"eos_token": "</s>", "added_tokens_decoder": {"7": {"content": "<q>", "special": true, "lstrip": true},
            "x": {}, "9": 3}}"#;
        let new = TokenizerConfig::read(new).with_older(Some(map), Some(r#"{"<e>": 7}"#));
        assert_eq!((new.bos.as_deref(), new.eos.as_deref()), (Some("<b>"), Some("</s>")));
        let only = Added { id: 7, content: "<q>".into(), special: true, lstrip: true, ..Added::default() };
        assert_eq!(new.added, [only]);
        let damaged = TokenizerConfig::default().with_older(Some("{"), Some("[1]"));
        assert_eq!(damaged, TokenizerConfig::default());
    }

    #[test]
    fn templates_of_their_own_go_first_and_may_be_json() {
        let config = TokenizerConfig::read(r#"{"chat_template": {"default": "a", "tool_use": "b"}}"#);
        assert_eq!((config.chat_template.as_deref(), config.tool_template.as_deref()), (Some("a"), Some("b")));
        let of = |default, for_tools| {
            let config = config.clone().with_templates(default, for_tools);
            (config.chat_template.unwrap(), config.tool_template)
        };
        assert_eq!(of(None, None), ("a".into(), Some("b".into())));
        assert_eq!(of(Some("{{ c }}"), None), ("{{ c }}".into(), None));
        assert_eq!(of(Some("c"), Some("d")), ("c".into(), Some("d".into())));
        assert_eq!(of(Some(r#"{"chat_template": "c"}"#), None), ("a".into(), Some("b".into())));
        let listed =
            r#"{"chat_template": [{"name": "tool_use", "template": "e"}, {"name": "default", "template": "c"}]}"#;
        let alone = TokenizerConfig::default().with_templates(Some(listed), None);
        assert_eq!((alone.chat_template.as_deref(), alone.tool_template.as_deref()), (Some("c"), Some("e")));
    }

    #[test]
    fn what_is_odd_is_passed_over_with_a_notice() {
        for (bad, word) in [
            ("", "cannot be read"),
            (r#"{"bos_token": 7}"#, "bos_token is no token"),
            (r#"{"add_bos_token": "yes"}"#, "add_bos_token is no truth value"),
            (r#"{"chat_template": [{}]}"#, "chat_template is no template"),
            (r#"{"chat_template": {"a": "x", "b": "y"}}"#, "chat_template is no template"),
        ] {
            let config = TokenizerConfig::read(bad);
            assert!(config.notices[0].contains(word), "{bad}: {:?}", config.notices);
            assert_eq!(TokenizerConfig { notices: Vec::new(), ..config }, TokenizerConfig::default());
        }
    }
}

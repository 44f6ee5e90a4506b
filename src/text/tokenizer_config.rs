//! What stands beside `tokenizer.json`, in `tokenizer_config.json`: which tokens have a part to play, by their strings,
//! whether texts begin with one of them, and the chat template.

use super::vocabulary::quote;
use serde_json::Value;

const ORIGIN: &str = "tokenizer_config.json";

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
    /// Whether texts begin with `bos`.
    pub add_bos: Option<bool>,
    /// The chat template; of several the one called `default`.
    pub chat_template: Option<String>,
    /// What is odd in the file, and does no harm.
    pub notices: Vec<String>,
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
        Self { bos, eos, eot, pad, add_bos: add_bos.and_then(|value| value.as_bool()), chat_template, notices }
    }
}

/// A token is a string, or an object around one.
fn token(value: &Value) -> Option<Value> {
    let text = value.get("content").unwrap_or(value);
    text.is_string().then(|| text.clone())
}

/// One template; of several, in a list or an object, the default one, or the only one.
fn template(value: &Value) -> Option<Value> {
    let named: Vec<(Option<&str>, &Value)> = match value {
        Value::String(_) => return Some(value.clone()),
        Value::Array(all) => all.iter().filter_map(|one| Some((one["name"].as_str(), one.get("template")?))).collect(),
        Value::Object(all) => all.iter().map(|(name, one)| (Some(name.as_str()), one)).collect(),
        _ => return None,
    };
    let default = named.iter().find(|(name, _)| *name == Some("default"));
    let (_, chosen) = default.or(named.first().filter(|_| named.len() == 1))?;
    chosen.is_string().then(|| (*chosen).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_strings_or_objects_and_templates_one_or_named() {
        let config = TokenizerConfig::read(
            r#"{"bos_token": {"__type": "AddedToken", "content": "<s>", "lstrip": false}, "eos_token": "</s>",
                "pad_token": null, "add_bos_token": true, "model_max_length": 1e30, "chat_template": "{{ x }}"}"#,
        );
        let expected = TokenizerConfig {
            bos: Some("<s>".into()),
            eos: Some("</s>".into()),
            add_bos: Some(true),
            chat_template: Some("{{ x }}".into()),
            ..TokenizerConfig::default()
        };
        assert_eq!(config, expected);
        for named in [
            r#"[{"name": "tool_use", "template": "a"}, {"name": "default", "template": "b"}]"#,
            r#"{"tool_use": "a", "default": "b"}"#,
            r#"[{"name": "chat", "template": "b"}]"#,
        ] {
            let config = TokenizerConfig::read(&format!(r#"{{"chat_template": {named}}}"#));
            assert_eq!((config.chat_template.as_deref(), config.notices.len()), (Some("b"), 0), "{named}");
        }
        assert_eq!(TokenizerConfig::read("{}"), TokenizerConfig::default());
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

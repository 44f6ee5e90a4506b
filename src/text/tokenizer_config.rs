//! What stands beside `tokenizer.json`, in `tokenizer_config.json`: which tokens have a part to play, by their strings,
//! whether texts begin with one of them, and the chat template.

use super::vocabulary::quote;
use crate::error::{Error, Result};
use serde::Deserialize;

const ORIGIN: &str = "tokenizer_config.json";

/// The parts of the file that matter here. Strings, not ids: the same string has another id in another vocabulary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenizerConfig {
    /// Begins every document.
    pub bos: Option<String>,
    /// Ends every document.
    pub eos: Option<String>,
    /// Fills unused places.
    pub pad: Option<String>,
    /// Whether texts begin with `bos`.
    pub add_bos: Option<bool>,
    /// The chat template; of several the one called `default`.
    pub chat_template: Option<String>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    bos_token: Option<Text>,
    #[serde(default)]
    eos_token: Option<Text>,
    #[serde(default)]
    pad_token: Option<Text>,
    #[serde(default)]
    add_bos_token: Option<bool>,
    #[serde(default)]
    chat_template: Option<Templates>,
}

/// A token is a string, or an object around one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Wrapped { content: String },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Named(Vec<Named>),
}

#[derive(Deserialize)]
struct Named {
    name: String,
    template: String,
}

impl Text {
    fn text(self) -> String {
        match self {
            Self::Plain(text) | Self::Wrapped { content: text } => text,
        }
    }
}

impl TokenizerConfig {
    /// Reads the file's text.
    ///
    /// # Errors
    /// No JSON, or fields of other types.
    pub fn read(json: &str) -> Result<Self> {
        let file: File = serde_json::from_str(json).map_err(|error| {
            Error::file(ORIGIN, format!("cannot be read: {}", quote(&error.to_string())))
                .expected("bos_token, eos_token, add_bos_token and chat_template as transformers writes them")
        })?;
        let chat_template = match file.chat_template {
            Some(Templates::One(template)) => Some(template),
            Some(Templates::Named(named)) => {
                named.into_iter().find(|named| named.name == "default").map(|named| named.template)
            }
            None => None,
        };
        Ok(Self {
            bos: file.bos_token.map(Text::text),
            eos: file.eos_token.map(Text::text),
            pad: file.pad_token.map(Text::text),
            add_bos: file.add_bos_token,
            chat_template,
        })
    }
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
            pad: None,
            add_bos: Some(true),
            chat_template: Some("{{ x }}".into()),
        };
        assert_eq!(config, Ok(expected));
        let named =
            r#"{"chat_template": [{"name": "tool_use", "template": "a"}, {"name": "default", "template": "b"}]}"#;
        assert_eq!(TokenizerConfig::read(named).unwrap().chat_template.as_deref(), Some("b"));
        assert_eq!(TokenizerConfig::read("{}"), Ok(TokenizerConfig::default()));
        for bad in ["", "[1]", r#"{"bos_token": 7}"#, r#"{"add_bos_token": "yes"}"#, r#"{"chat_template": [{}]}"#] {
            assert!(TokenizerConfig::read(bad).is_err(), "{bad}");
        }
    }
}

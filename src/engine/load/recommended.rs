//! How a model's makers would have its tokens chosen: what a GGUF says under `general.sampling`, as llama.cpp's converter
//! writes it, or what stands in `generation_config.json`, by the names of transformers' `GenerationConfig`.

use crate::format::gguf::{Metadata, Scalar, ScalarKind, Value};
use crate::format::loose_json;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The settings that a model's files name; what makes no sense is none. Where nothing is named, the program's own count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recommended {
    /// The temperature; 0 for the likeliest token every time.
    pub temperature: Option<f32>,
    /// Tokens to choose among; 0 for all.
    pub top_k: Option<u32>,
    /// The probability of those tokens together.
    pub top_p: Option<f32>,
    /// The least share of the likeliest token's probability.
    pub min_p: Option<f32>,
    /// What makes tokens that were written less likely; 1 does nothing.
    pub repeat_penalty: Option<f32>,
    /// Among how many of the last tokens that looks.
    pub repeat_window: Option<u32>,
}

impl Recommended {
    /// What a GGUF says.
    pub(super) fn of_gguf(metadata: &Metadata) -> Self {
        let key = |name: &str| format!("general.sampling.{name}");
        let number = |name: &str| metadata.get_f32(&key(name)).ok().flatten();
        let whole = |name: &str, all: u32| whole(number(name)?.into(), all);
        Self {
            temperature: number("temp"),
            top_k: whole("top_k", 0),
            top_p: number("top_p"),
            min_p: number("min_p"),
            repeat_penalty: number("penalty_repeat"),
            repeat_window: whole("penalty_last_n", u32::MAX),
        }
        .sensible()
    }

    /// What a `generation_config.json` says. Where it says that nothing is drawn, the likeliest token is taken every time, and what
    /// it says of drawing does not count, as in transformers.
    pub(super) fn of_config(json: Option<&str>) -> Self {
        let config: Option<Json> = json.and_then(|json| serde_json::from_str(&loose_json::strict(json)).ok());
        let Some(config) = config else { return Self::default() };
        let number = |name: &str| config.get(name).and_then(Json::as_f64);
        let float = |name: &str| number(name).map(|number| number as f32);
        if config.get("do_sample") == Some(&Json::Bool(false)) {
            let likeliest =
                Self { temperature: Some(0.0), repeat_penalty: float("repetition_penalty"), ..Self::default() };
            return likeliest.sensible();
        }
        Self {
            temperature: float("temperature"),
            top_k: number("top_k").and_then(|number| whole(number, 0)),
            top_p: float("top_p"),
            min_p: float("min_p"),
            repeat_penalty: float("repetition_penalty"),
            repeat_window: None,
        }
        .sensible()
    }

    /// The same as a GGUF says it.
    pub(super) fn gguf_keys(self) -> impl Iterator<Item = (String, Value)> {
        // All of them are -1 there.
        let whole = |n: Option<u32>| {
            n.map(|n| Value::Scalar(ScalarKind::I32, Scalar::Signed(i32::try_from(n).unwrap_or(-1).into())))
        };
        let number = |number: Option<f32>| number.map(Value::from);
        let all = [
            ("temp", number(self.temperature)),
            ("top_k", whole(self.top_k)),
            ("top_p", number(self.top_p)),
            ("min_p", number(self.min_p)),
            ("penalty_repeat", number(self.repeat_penalty)),
            ("penalty_last_n", whole(self.repeat_window)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((format!("general.sampling.{name}"), value?)))
    }

    fn sensible(self) -> Self {
        let share = |value: &f32| (0.0..=1.0).contains(value);
        Self {
            temperature: self.temperature.filter(|value| (0.0..=100.0).contains(value)),
            top_p: self.top_p.filter(share),
            min_p: self.min_p.filter(share),
            repeat_penalty: self.repeat_penalty.filter(|value| (0.01..=100.0).contains(value)),
            ..self
        }
    }
}

/// What a `generation_config.json` may ask for that is not followed, with the number that asks for nothing.
const NOT_DONE: [(&str, f64); 16] = [
    ("bad_words_ids", 0.0),
    ("begin_suppress_tokens", 0.0),
    ("encoder_repetition_penalty", 1.0),
    ("epsilon_cutoff", 0.0),
    ("eta_cutoff", 0.0),
    ("exponential_decay_length_penalty", 0.0),
    ("frequency_penalty", 0.0),
    ("guidance_scale", 1.0),
    ("min_length", 0.0),
    ("min_new_tokens", 0.0),
    ("no_repeat_ngram_size", 0.0),
    ("num_beams", 1.0),
    ("presence_penalty", 0.0),
    ("sequence_bias", 0.0),
    ("suppress_tokens", 0.0),
    ("typical_p", 1.0),
];

/// Names what a `generation_config.json` asks for that would change a text, and that is not done; none where there is nothing.
pub(super) fn not_done(json: Option<&str>) -> Option<String> {
    let config: Json = serde_json::from_str(&loose_json::strict(json?)).ok()?;
    // Where nothing is drawn, they do nothing.
    let draws = config.get("do_sample") != Some(&Json::Bool(false));
    let counts = |name: &str| draws || !["epsilon_cutoff", "eta_cutoff", "typical_p"].contains(&name);
    let asks = |(name, nothing): &&(&str, f64)| {
        counts(name)
            && match config.get(*name) {
                Some(Json::Number(number)) => number.as_f64() != Some(*nothing),
                Some(Json::Array(several)) => !several.is_empty(),
                Some(Json::Object(several)) => !several.is_empty(),
                _ => false,
            }
    };
    let names: Vec<&str> = NOT_DONE.iter().filter(asks).map(|(name, _)| *name).collect();
    (!names.is_empty()).then(|| format!("generation_config.json asks for more than is followed: {}", names.join(", ")))
}

/// A whole number; -1 stands for all, as the program has it.
fn whole(number: f64, all: u32) -> Option<u32> {
    if number == -1.0 {
        return Some(all);
    }
    (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number)).then_some(number as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_done_of_a_generation_config_is_named() {
        let json = r#"{"typical_p": 0.9, "bad_words_ids": [[67]], "num_beams": 1, "min_length": 0, "sequence_bias": null,
            "guidance_scale": 1.0, "suppress_tokens": [], "top_p": 0.9}"#;
        let named = not_done(Some(json)).expect("two");
        assert!(named.ends_with(": bad_words_ids, typical_p"), "{named}");
        assert_eq!(not_done(Some(r#"{"do_sample": false, "typical_p": 0.9}"#)), None);
        assert_eq!((not_done(Some("{}")), not_done(Some("[")), not_done(None)), (None, None, None));
    }

    #[test]
    fn what_a_generation_config_says_counts_where_it_makes_sense() {
        let of = |json: &str| Recommended::of_config(Some(json));
        let found =
            of(r#"{"do_sample": true, "temperature": 0.6, "top_k": 20.0, "top_p": 0.95, "repetition_penalty": 1.05}"#);
        let expected = Recommended {
            temperature: Some(0.6),
            top_k: Some(20),
            top_p: Some(0.95),
            repeat_penalty: Some(1.05),
            ..Recommended::default()
        };
        assert_eq!(found, expected);
        assert_eq!(of(r#"{"top_k": -1}"#).top_k, Some(0));
        let likeliest = of(r#"{"do_sample": false, "temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1.1}"#);
        let expected = Recommended { temperature: Some(0.0), repeat_penalty: Some(1.1), ..Recommended::default() };
        assert_eq!(likeliest, expected);
        for nothing in [
            r#"{"temperature": -1, "top_k": 1.5, "top_p": 2, "min_p": "a", "repetition_penalty": 0}"#,
            r#"{"temperature": null, "top_k": -2}"#,
            "[1]",
            "{",
        ] {
            assert_eq!(of(nothing), Recommended::default(), "{nothing}");
        }
    }
}

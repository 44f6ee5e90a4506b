//! The name that asks for a synthetic model:
//! `synthetic:MODEL[:layers=A..B][:experts=N][:vocab=N][:format=FORMAT][:seed=N]`, where MODEL is a published model's name
//! or the path of a V4's `config.json`. The host reads that file; nothing here does.

use super::SyntheticModel;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::format::directory::shown;
use crate::model::Shape;
use std::ops::Range;

/// What a name asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntheticName {
    /// A published model's name, or the path of a `config.json`.
    pub model: String,
    /// Which layers; all of them when `None`. The end may be `u32::MAX`, for the last layer's.
    pub layers: Option<Range<u32>>,
    /// How many experts each layer has, and how many tokens the vocabulary; as many as the whole model when `None`.
    pub n_experts: Option<u32>,
    /// See `n_experts`.
    pub n_vocab: Option<u32>,
    /// The format of the weights; that of the published ones when `None`.
    pub format: Option<Format>,
    /// The begin of the random numbers.
    pub seed: u32,
}

/// The models that are known by name.
const PUBLISHED: [&str; 2] = ["deepseek-v4-flash", "deepseek-v4-pro"];

/// A published model that people ask for, and whose architecture does not run.
const V4_1: &str = "deepseek-v4.1";

const PREFIX: &str = "synthetic:";

impl SyntheticName {
    /// Whether a text is meant as such a name.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Reads a name. An option begins at a colon and has an equals sign, so that a path may have colons.
    ///
    /// # Errors
    /// Naming the part, what was found and what may stand there.
    pub fn parse(text: &str) -> Result<Self> {
        let rest = text.strip_prefix(PREFIX).ok_or_else(|| {
            Error::usage("model", shown(text)).expected(format!("{PREFIX} and a model, such as {}", PUBLISHED[0]))
        })?;
        let parts: Vec<&str> = rest.split(':').collect();
        let n_model = parts.iter().position(|part| part.contains('=')).unwrap_or(parts.len());
        let mut name = Self {
            model: parts[..n_model].join(":"),
            layers: None,
            n_experts: None,
            n_vocab: None,
            format: None,
            seed: 0,
        };
        if name.model.is_empty() {
            return Err(Error::usage(format!("the model in {}", shown(text)), "nothing").expected(models()));
        }
        let mut seen = Vec::new();
        for part in &parts[n_model..] {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            if seen.contains(&key) {
                return Err(Error::usage(format!("{key} in {}", shown(text)), "given twice").expected("it once"));
            }
            seen.push(key);
            match key {
                "layers" => name.layers = Some(layers(value)?),
                "format" => name.format = Some(format(value)?),
                "experts" => name.n_experts = Some(number(key, value)?),
                "vocab" => name.n_vocab = Some(number(key, value)?),
                "seed" => name.seed = number(key, value)?,
                _ => {
                    return Err(Error::usage("an option of a synthetic model", shown(part))
                        .expected("layers=2..4, experts=32, vocab=4096, format=mxfp4 or seed=7, with colons between"));
                }
            }
        }
        Ok(name)
    }

    /// The shape, where the model is known by name; the letters' case does not matter.
    #[must_use]
    pub fn published(&self) -> Option<Shape> {
        let shapes = [Shape::v4_flash, Shape::v4_pro];
        let known = PUBLISHED.iter().zip(shapes).find(|(name, _)| self.model.eq_ignore_ascii_case(name));
        known.map(|(_, shape)| shape())
    }

    /// What to say where the model is neither known by name nor a file.
    #[must_use]
    pub fn unknown(&self) -> Error {
        let found = match self.model.to_ascii_lowercase().starts_with(V4_1) {
            true => "DeepSeek V4.1, another architecture (deepseek41), which does not run",
            false => "neither a known model nor a file",
        };
        Error::usage(format!("synthetic model {}", shown(&self.model)), found).expected(models())
    }

    /// The model that is asked for, of a shape that was found under its name.
    ///
    /// # Errors
    /// As for [`SyntheticModel::new`].
    pub fn with_shape(&self, shape: Shape) -> Result<SyntheticModel> {
        let n_layers = u32::try_from(shape.n_layers()).unwrap_or(u32::MAX);
        let layers = self.layers.clone().map(|layers| match layers {
            Range { start, end: u32::MAX } => start..n_layers,
            layers => layers,
        });
        let format = self.format.unwrap_or(Format::MXFP4);
        let model = SyntheticModel::new(self.shown(), shape, layers, format, self.seed)?;
        let n_experts = self.fewer("experts", self.n_experts, model.whole.n_experts)?;
        let n_vocab = self.fewer("vocab", self.n_vocab, model.whole.n_vocab)?;
        model.with_fewer(n_experts, n_vocab)
    }

    /// As many as the name asks for, of as many as there are.
    ///
    /// # Errors
    /// When there are fewer.
    pub(super) fn fewer(&self, what: &str, wanted: Option<u32>, there: u32) -> Result<u32> {
        let wanted = wanted.unwrap_or(there);
        if (1..=there).contains(&wanted) {
            return Ok(wanted);
        }
        Err(Error::usage(format!("{what} of {}", self.shown()), wanted.to_string())
            .expected(format!("1 to {there}, as many as the whole model has")))
    }

    /// The name without folders: a report holds no paths.
    pub(super) fn shown(&self) -> String {
        let model = self.model.rsplit(['/', '\\']).next().unwrap_or(&self.model);
        let mut name = format!("{PREFIX}{model}");
        if let Some(Range { start, end }) = &self.layers {
            let end = if *end == u32::MAX { String::new() } else { end.to_string() };
            name += &format!(":layers={start}..{end}");
        }
        for (what, n) in [("experts", self.n_experts), ("vocab", self.n_vocab)] {
            if let Some(n) = n {
                name += &format!(":{what}={n}");
            }
        }
        if let Some(format) = self.format {
            name += &format!(":format={}", format.name().to_lowercase());
        }
        if self.seed != 0 {
            name += &format!(":seed={}", self.seed);
        }
        name
    }
}

fn models() -> String {
    let known: Vec<&str> = PUBLISHED
        .into_iter()
        .chain(super::grouped_names())
        .chain(super::mla_names())
        .chain(super::delta_names())
        .collect();
    format!("{}, or the path of a config.json", known.join(", "))
}

fn number(what: &str, text: &str) -> Result<u32> {
    let wrong = || Error::usage(what, shown(text)).expected(format!("a whole number from 0 to {}", u32::MAX));
    text.parse().map_err(|_| wrong())
}

/// A range as Rust writes it: `2..4`, `2..=3`, `2..`, `..4`.
fn layers(text: &str) -> Result<Range<u32>> {
    let wrong = || Error::usage("layers", shown(text)).expected("a range of layers such as 2..4 (without 4) or 2..=3");
    let (start, end) = text.split_once("..").ok_or_else(wrong)?;
    let number =
        |text: &str, default: u32| if text.is_empty() { Ok(default) } else { text.parse().map_err(|_| wrong()) };
    let end = match end.strip_prefix('=') {
        Some(last) => last.parse::<u32>().ok().and_then(|last| last.checked_add(1)).ok_or_else(wrong)?,
        None => number(end, u32::MAX)?,
    };
    Ok(number(start, 0)?..end)
}

fn format(text: &str) -> Result<Format> {
    Format::from_name(text).filter(|format| format.is_weight()).ok_or_else(|| {
        Error::usage("format", shown(text)).expected(format!("one of {}", Format::supported_names().to_lowercase()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Synthetic;

    #[test]
    fn names_are_read_with_their_options() -> Result<()> {
        let name = SyntheticName::parse("synthetic:deepseek-v4-flash:layers=2..4:format=mxfp4")?;
        assert_eq!((name.layers.clone(), name.format, name.seed), (Some(2..4), Some(Format::MXFP4), 0));
        let model = name.with_shape(name.published().expect("a known model"))?;
        assert_eq!(model.name, "synthetic:deepseek-v4-flash:layers=2..4:format=mxfp4");
        assert_eq!((model.shape.ratios, model.whole.n_layers()), (vec![4, 128], 43));
        let ranges = [("2..=3", 2..4), ("..4", 0..4), ("41..", 41..43), ("..", 0..43), ("0..43", 0..43)];
        for (text, expected) in ranges {
            let name = SyntheticName::parse(&format!("synthetic:DeepSeek-V4-Flash:seed=9:layers={text}"))?;
            assert_eq!(name.with_shape(Shape::v4_flash())?.layers, expected, "{text}");
            assert_eq!(name.seed, 9);
        }
        let name = SyntheticName::parse("synthetic:deepseek-v4-pro")?;
        assert_eq!(name.with_shape(name.published().expect("known"))?.shape.n_layers(), 61);
        Ok(())
    }

    #[test]
    fn fewer_experts_and_tokens_are_a_smaller_model_of_the_same_layers() -> Result<()> {
        let text = "synthetic:deepseek-v4-flash:layers=2..4:experts=8:vocab=4096";
        let name = SyntheticName::parse(text)?;
        let model = name.with_shape(Shape::v4_flash())?;
        assert_eq!((model.shape.n_experts, model.shape.n_vocab, model.name.as_str()), (8, 4096, text));
        assert_eq!((model.whole.n_experts, model.shape.n_used), (256, 6));
        for wrong in ["experts=0", "experts=257", "experts=5", "vocab=0", "vocab=129281"] {
            let name = SyntheticName::parse(&format!("synthetic:deepseek-v4-flash:{wrong}"))?;
            assert!(name.with_shape(Shape::v4_flash()).is_err(), "{wrong}");
        }
        Ok(())
    }

    #[test]
    fn a_path_may_have_colons_and_is_not_told() -> Result<()> {
        for path in ["C:\\models\\config.json", "/a/b:c/config.json", "config.json"] {
            let name = SyntheticName::parse(&format!("synthetic:{path}:format=q4_k"))?;
            assert_eq!((name.model.as_str(), name.published()), (path, None));
            assert_eq!(name.with_shape(Shape::v4_flash())?.name, "synthetic:config.json:format=q4_k");
        }
        Ok(())
    }

    #[test]
    fn what_is_wrong_is_named_with_what_may_stand_there() {
        let cases = [
            ("synthetic:", "config.json"),
            ("synthetic::layers=1..2", "config.json"),
            ("synthetic:deepseek-v4-flash:layers=2", "2..=3"),
            ("synthetic:deepseek-v4-flash:layers=a..b", "a..b"),
            ("synthetic:deepseek-v4-flash:layers=-1..2", "2..4"),
            ("synthetic:deepseek-v4-flash:layers=0..=4294967295", "2..4"),
            ("synthetic:deepseek-v4-flash:layers=0..99999999999", "2..4"),
            ("synthetic:deepseek-v4-flash:layers=1..2:layers=1..2", "twice"),
            ("synthetic:deepseek-v4-flash:format=q9_k", "mxfp4"),
            ("synthetic:deepseek-v4-flash:format=i32", "mxfp4"),
            ("synthetic:deepseek-v4-flash:format=", "mxfp4"),
            ("synthetic:deepseek-v4-flash:seed=x", "whole number"),
            ("synthetic:deepseek-v4-flash:experts=-1", "whole number"),
            ("synthetic:deepseek-v4-flash:vocab=1e3", "whole number"),
            ("synthetic:deepseek-v4-flash:layer=1..2", "layers=2..4"),
            ("synthetic:deepseek-v4-flash:format=mxfp4:junk", "junk"),
            ("synthetic:deepseek-v4-flash:format=mxfp4:", "layers=2..4"),
            ("model.gguf", "synthetic:"),
        ];
        for (text, part) in cases {
            let error = SyntheticName::parse(text).expect_err(text).to_string();
            assert!(error.contains(part) && error.len() < 400, "{text}: {error}");
        }
        let long = format!("synthetic:x:{}=", "y".repeat(100_000));
        assert!(SyntheticName::parse(&long).expect_err("long").to_string().len() < 1000);
    }

    #[test]
    fn what_people_ask_for_runs_or_is_refused_with_what_does() -> Result<()> {
        for model in ["deepseek-r1", "deepseek-v3.2", "qwen3.5-9b", "DeepSeek-V4-Flash"] {
            let name = SyntheticName::parse(&format!("synthetic:{model}:layers=2..4"))?;
            let found = Synthetic::of(&name)?.map(|found| found.n_layers());
            assert_eq!(found, Some(2), "{model}");
        }
        for model in ["deepseek-v4.1-flash", "DeepSeek-V4.1-Flash-1017"] {
            let name = SyntheticName::parse(&format!("synthetic:{model}:layers=2..4"))?;
            assert!(Synthetic::of(&name)?.is_none(), "{model}");
            let error = name.unknown().to_string();
            let runs = ["deepseek-v4-flash", "deepseek-r1", "deepseek-v3.2", "qwen3.5-9b", "llama-8b"];
            let is_whole = runs.iter().all(|runs| error.contains(runs));
            assert!(error.contains(model) && error.contains("deepseek41") && is_whole, "{error}");
        }
        assert!(!SyntheticName::parse("synthetic:deepseek-v5")?.unknown().to_string().contains("deepseek41"));
        Ok(())
    }
}

//! The name that asks for a synthetic model:
//! `synthetic:MODEL[:layers=A..B][:experts=N][:vocab=N][:format=FORMAT][:seed=N]`, where MODEL is a published model's name
//! or the path of a `config.json`. The host reads that file; nothing here does.

use super::{Synthetic, published};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::format::directory::shown;
use crate::model::AnyShape;
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
            Error::usage("model", shown(text)).expected(format!("{PREFIX} and a model, such as deepseek-v4-flash"))
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
    ///
    /// # Errors
    /// None: each of them can be read.
    pub fn published(&self) -> Result<Option<AnyShape>> {
        published::shape(&self.model)
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
    /// When it has no such layers, or fewer experts or tokens.
    pub fn with_shape(&self, whole: impl Into<AnyShape>) -> Result<Synthetic> {
        let whole = whole.into().as_gguf();
        let n_layers = whole.n_layers();
        let layers = match self.layers.clone().unwrap_or(0..n_layers) {
            Range { start, end: u32::MAX } => start..n_layers,
            layers => layers,
        };
        let n_experts = self.fewer("experts", self.n_experts, whole.experts().0)?;
        let n_vocab = self.fewer("vocab", self.n_vocab, whole.n_vocab())?;
        let shape = whole.cut(&layers)?.with_fewer(n_experts, n_vocab)?;
        let format = self.format.unwrap_or(match &whole {
            // As it was published.
            AnyShape::V4(_) => Format::MXFP4,
            // Published in 8 bits. Random blocks of Q4_0 have a mean of their own, and scores of latents grow so large by
            // it that their rounding passes for a fault.
            AnyShape::Mla(_) => Format::Q8_0,
            AnyShape::Grouped(_) | AnyShape::Delta(_) => Format::Q4_0,
        });
        Ok(Synthetic { name: self.shown(), shape, whole, layers, format, seed: self.seed })
    }

    /// As many as the name asks for, of as many as there are.
    ///
    /// # Errors
    /// When there are fewer.
    fn fewer(&self, what: &str, wanted: Option<u32>, there: u32) -> Result<u32> {
        let Some(wanted) = wanted else { return Ok(there) };
        if (1..=there).contains(&wanted) {
            return Ok(wanted);
        }
        Err(Error::usage(format!("{what} of {}", self.shown()), wanted.to_string())
            .expected(format!("1 to {there}, as many as the whole model has")))
    }

    /// The name without folders: a report holds no paths.
    fn shown(&self) -> String {
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
    let known: Vec<&str> = published::names().collect();
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
    use crate::model::Shape;

    fn v4(model: &Synthetic) -> &Shape {
        let AnyShape::V4(shape) = &model.shape else { panic!("a V4") };
        shape
    }

    #[test]
    fn names_are_read_with_their_options() -> Result<()> {
        let name = SyntheticName::parse("synthetic:deepseek-v4-flash:layers=2..4:format=mxfp4")?;
        assert_eq!((name.layers.clone(), name.format, name.seed), (Some(2..4), Some(Format::MXFP4), 0));
        let model = name.with_shape(name.published()?.expect("a known model"))?;
        assert_eq!(model.name, "synthetic:deepseek-v4-flash:layers=2..4:format=mxfp4");
        assert_eq!((v4(&model).ratios.as_slice(), model.whole.n_layers()), (&[4, 128][..], 43));
        let ranges = [("2..=3", 2..4), ("..4", 0..4), ("41..", 41..43), ("..", 0..43), ("0..43", 0..43)];
        for (text, expected) in ranges {
            let name = SyntheticName::parse(&format!("synthetic:DeepSeek-V4-Flash:seed=9:layers={text}"))?;
            assert_eq!(name.with_shape(Shape::v4_flash())?.layers, expected, "{text}");
            assert_eq!(name.seed, 9);
        }
        let name = SyntheticName::parse("synthetic:deepseek-v4-pro")?;
        assert_eq!(name.with_shape(name.published()?.expect("known"))?.shape.n_layers(), 61);
        Ok(())
    }

    #[test]
    fn fewer_experts_and_tokens_are_a_smaller_model_of_the_same_layers() -> Result<()> {
        let text = "synthetic:deepseek-v4-flash:layers=2..4:experts=8:vocab=4096";
        let name = SyntheticName::parse(text)?;
        let model = name.with_shape(Shape::v4_flash())?;
        assert_eq!((model.shape.experts(), model.shape.n_vocab(), model.name.as_str()), ((8, 6), 4096, text));
        assert_eq!(model.whole.experts(), (256, 6));
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
            assert_eq!((name.model.as_str(), name.published()?), (path, None));
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
            assert!(error.contains(part) && error.len() < 900, "{text}: {error}");
        }
        let long = format!("synthetic:x:{}=", "y".repeat(100_000));
        assert!(SyntheticName::parse(&long).expect_err("long").to_string().len() < 1500);
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

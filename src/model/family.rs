//! The families of architectures: which one a file is of, and its reading. Each has a shape and weights of its own.

use super::{AnyShape, Model, Shape, delta, grouped, mla, quantized, unread};
use crate::error::Result;
use crate::format::Directory;
use crate::format::gguf::Gguf;

/// Architectures that share a shape, see [`Model`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// DeepSeek V4, and what nobody knows: its reading says what runs.
    V4,
    /// Grouped-query attention.
    Grouped,
    /// Multi-head latent attention.
    Mla,
    /// Gated delta nets.
    Delta,
}

impl Family {
    /// By the `general.architecture` of a GGUF.
    #[must_use]
    pub fn of_gguf(architecture: &str) -> Self {
        match architecture {
            name if grouped::architecture(name).is_some() => Self::Grouped,
            name if mla::architecture(name).is_some() => Self::Mla,
            name if delta::architecture(name).is_some() => Self::Delta,
            _ => Self::V4,
        }
    }

    /// By the text of a `config.json`.
    #[must_use]
    pub fn of_config(config: &str) -> Self {
        match config {
            config if grouped::is_config(config) => Self::Grouped,
            config if mla::is_config(config) => Self::Mla,
            config if delta::is_config(config) => Self::Delta,
            _ => Self::V4,
        }
    }
}

impl Model {
    /// Reads a GGUF's keys and binds its tensors; `divisors` are those of rotary frequencies, if it has any. What is odd but
    /// harmless goes to `notices`.
    ///
    /// # Errors
    /// When a key or a tensor is missing, contradicts another, or is not supported.
    pub fn from_gguf(file: &Gguf, divisors: Vec<f32>, notices: &mut Vec<String>) -> Result<Self> {
        let tensors = &file.directory;
        let architecture = file.metadata.get_str("general.architecture")?.unwrap_or_default();
        notices.extend(unread::in_gguf(&file.metadata, architecture));
        let shape = match Family::of_gguf(architecture) {
            Family::V4 => AnyShape::V4(Shape::from_gguf(file)?),
            Family::Grouped => AnyShape::Grouped(grouped::Shape::from_gguf_with(file, divisors, notices)?),
            Family::Mla => AnyShape::Mla(mla::Shape::from_gguf(file)?),
            Family::Delta => AnyShape::Delta(delta::Shape::from_gguf(file)?),
        };
        let model = shape.bind(tensors)?;
        let key = format!("{architecture}.context_length");
        if file.metadata.get(&key).is_none() {
            let n_context = model.outline().context_length;
            notices.push(format!("{key} is missing: the context is {n_context} tokens, and may have been longer"));
        }
        Ok(model)
    }

    /// Reads a `config.json` and binds the tensors beside it; what is odd but harmless goes to `notices`.
    ///
    /// # Errors
    /// As [`Self::from_gguf`].
    pub fn from_config(config: &str, tensors: &Directory, notices: &mut Vec<String>) -> Result<Self> {
        let model =
            Self::of_family(config, tensors, notices).map_err(|error| quantized::refusal(config).unwrap_or(error))?;
        let is_headless = match &model {
            Self::Grouped(shape, weights) => weights.head.is_none() && !shape.is_tied,
            Self::Mla(_, weights) => weights.head.is_none(),
            Self::Delta(shape, weights) => weights.head.is_none() && !shape.is_tied,
            Self::V4(..) => false,
        };
        if is_headless {
            notices.push("lm_head.weight is missing: the embedding is taken for the head".to_owned());
        }
        notices.extend(unread::in_config(config));
        Ok(model)
    }

    fn of_family(config: &str, tensors: &Directory, notices: &mut Vec<String>) -> Result<Self> {
        let mut shape = AnyShape::from_config(config, notices)?;
        if let Some(n_vocab) = shape.n_vocab_of_config() {
            count_rows(n_vocab, tensors, notices);
        }
        shape.bind(tensors)
    }
}

/// The rows of the embedding count, whatever a config says of them, as they do in a GGUF.
fn count_rows(n_vocab: &mut u32, tensors: &Directory, notices: &mut Vec<String>) {
    let find = |part: &str| {
        let is_it = |name: &str| name.rsplit('.').nth(1) == Some(part);
        tensors.tensors().iter().find(|tensor| is_it(&tensor.name) && tensor.shape.len() == 2)
    };
    let embedding = find("embed_tokens").or_else(|| find("lm_head"));
    let n_rows = embedding.and_then(|tensor| u32::try_from(tensor.n_rows()).ok());
    if let Some(n_rows) = n_rows.filter(|n_rows| (1..=MOST_ROWS).contains(n_rows) && n_rows != n_vocab) {
        let told = format!("config.json: vocab_size is {n_vocab}, and the embedding has {n_rows} rows");
        notices.push(format!("{told}: the rows count"));
        *n_vocab = n_rows;
    }
}

/// More tokens than this no shape may have.
const MOST_ROWS: u32 = 1 << 22;

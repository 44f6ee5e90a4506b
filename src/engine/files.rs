//! The files of a model, opened: GGUF, or safetensors with `config.json` and `tokenizer.json` beside it; or no files at
//! all, for a synthetic model.

use std::rc::Rc;

use crate::error::{Error, Result};
use crate::format::gguf;
use crate::format::{Source, safetensors};
use crate::model::weights::Weights;
use crate::model::{Shape, SyntheticModel};
use crate::text::{GgufVocabulary, SpecialIds, Tokenizer};

/// The files of a model.
#[derive(Default)]
pub struct ModelFiles {
    /// The GGUF or safetensors files.
    pub sources: Vec<Rc<dyn Source>>,
    /// Text of `config.json`, beside safetensors.
    pub config: Option<String>,
    /// Text of `tokenizer.json`, beside safetensors.
    pub tokenizer: Option<String>,
    /// A model that has no files: its weights are made up on the player.
    pub synthetic: Option<Box<SyntheticModel>>,
}

/// What the files say.
pub(super) struct Opened {
    pub shape: Shape,
    pub weights: Weights,
    pub tokenizer: Option<Tokenizer>,
    pub notices: Vec<String>,
}

impl ModelFiles {
    /// One GGUF.
    pub fn gguf(source: Rc<dyn Source>) -> Self {
        Self { sources: vec![source], ..Self::default() }
    }

    /// No files, but random weights.
    pub fn synthetic(model: SyntheticModel) -> Self {
        Self { synthetic: Some(Box::new(model)), ..Self::default() }
    }

    /// The positions that the model was made for, which is the longest context that it can be loaded with.
    ///
    /// # Errors
    /// When a file is damaged or not supported.
    pub async fn context_length(&self) -> Result<u32> {
        Ok(self.open().await?.shape.context_length)
    }

    /// Reads directories and metadata, checks them, and binds names to fields; no weights yet.
    pub(super) async fn open(&self) -> Result<Opened> {
        if let Some(model) = &self.synthetic {
            let (shape, weights) = (model.shape.clone(), model.weights()?);
            return Ok(Opened { shape, weights, tokenizer: None, notices: Vec::new() });
        }
        let Some(source) = self.sources.first() else {
            return Err(Error::usage("model", "no file").expected("a GGUF or safetensors file"));
        };
        let mut magic = [0; 4];
        if source.bytes() >= 4 {
            source.read_at(0, &mut magic).await?;
        }
        let mut opened = if magic == *b"GGUF" { self.open_gguf().await? } else { self.open_safetensors().await? };
        if let Some(tokenizer) = &opened.tokenizer
            && tokenizer.n_vocab() > opened.shape.n_vocab as usize
        {
            let found = format!("{} tokens", tokenizer.n_vocab());
            let expected = format!("at most {}, the rows of the embedding", opened.shape.n_vocab);
            return Err(Error::file(format!("{}: tokenizer", source.name()), found).expected(expected));
        }
        if opened.weights.n_mtp_tensors > 0 {
            let n = opened.weights.n_mtp_tensors;
            opened.notices.push(format!("{n} tensors of the multi-token prediction block are skipped"));
        }
        if let Some(first) = opened.weights.ignored.first() {
            let n = opened.weights.ignored.len();
            opened.notices.push(format!("{n} unknown tensors are ignored, the first of them {first}"));
        }
        Ok(opened)
    }

    async fn open_gguf(&self) -> Result<Opened> {
        let file = gguf::read(self.sources[0].as_ref(), 0).await?;
        let shape = Shape::from_gguf(&file)?;
        let tokenizer = Tokenizer::from_gguf(GgufVocabulary::from_metadata(&file.metadata)?)?;
        let weights = Weights::bind(&shape, &file.directory)?;
        Ok(Opened { shape, weights, tokenizer, notices: Vec::new() })
    }

    async fn open_safetensors(&self) -> Result<Opened> {
        let source = &self.sources[0];
        let file = safetensors::read(source.as_ref(), 0).await?;
        let Some(config) = &self.config else {
            return Err(Error::file(source.name(), "no config.json beside the safetensors file")
                .advice("Keep config.json (and tokenizer.json) in the same folder"));
        };
        let shape = Shape::from_config(config)?;
        let weights = Weights::bind(&shape, &file.directory)?;
        let special = SpecialIds { bos: Some(shape.bos), eos: Some(shape.eos), pad: None, add_bos: false };
        let tokenizer = self.tokenizer.as_ref().map(|json| Tokenizer::from_json(json, special)).transpose()?;
        Ok(Opened { shape, weights, tokenizer, notices: Vec::new() })
    }
}

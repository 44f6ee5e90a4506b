//! The files of a model, opened: GGUF, or safetensors with `config.json` and `tokenizer.json` beside it.

use std::rc::Rc;

use crate::error::{Error, Result};
use crate::format::gguf;
use crate::format::{Source, safetensors};
use crate::model::Shape;
use crate::model::weights::Weights;
use crate::text::{GgufVocabulary, SpecialIds, Tokenizer, TokenizerConfig};
use serde_json::Value;

/// The files of a model.
#[derive(Default)]
pub struct ModelFiles {
    /// The GGUF or safetensors files.
    pub sources: Vec<Rc<dyn Source>>,
    /// Text of `config.json`, beside safetensors.
    pub config: Option<String>,
    /// Text of `tokenizer.json`, beside safetensors.
    pub tokenizer: Option<String>,
    /// Text of `tokenizer_config.json`, beside safetensors.
    pub tokenizer_config: Option<String>,
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

    /// Reads directories and metadata, checks them, and binds names to fields; no weights yet.
    pub(super) async fn open(&self) -> Result<Opened> {
        let Some(source) = self.sources.first() else {
            return Err(Error::usage("model", "no file").expected("a GGUF or safetensors file"));
        };
        let mut opened = if self.is_gguf().await? { self.open_gguf().await? } else { self.open_safetensors().await? };
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

    /// The tokenizer alone, if there is one: no weights, and no question of whether the model can be run.
    pub async fn tokenizer(&self) -> Result<Option<Tokenizer>> {
        if self.is_gguf().await? {
            let file = gguf::read(self.sources[0].as_ref(), 0).await?;
            return Tokenizer::from_gguf(GgufVocabulary::from_metadata(&file.metadata)?);
        }
        let config: Option<Value> = self.config.as_ref().and_then(|config| serde_json::from_str(config).ok());
        let id = |key| config.as_ref().and_then(|config| u32::try_from(config[key].as_u64()?).ok());
        self.json_tokenizer(SpecialIds { bos: id("bos_token_id"), eos: id("eos_token_id"), pad: None, add_bos: false })
    }

    async fn is_gguf(&self) -> Result<bool> {
        let mut magic = [0; 4];
        match self.sources.first() {
            Some(source) if source.bytes() >= 4 => source.read_at(0, &mut magic).await?,
            _ => {}
        }
        Ok(magic == *b"GGUF")
    }

    /// The tokenizer of `tokenizer.json`, with the special tokens that `tokenizer_config.json` names, or else with these.
    fn json_tokenizer(&self, special: SpecialIds) -> Result<Option<Tokenizer>> {
        let Some(json) = &self.tokenizer else { return Ok(None) };
        let mut tokenizer = Tokenizer::from_json(json, special)?;
        if let Some(config) = &self.tokenizer_config {
            tokenizer.configure(&TokenizerConfig::read(config)?)?;
        }
        Ok(Some(tokenizer))
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
        Ok(Opened { shape, weights, tokenizer: self.json_tokenizer(special)?, notices: Vec::new() })
    }
}

//! The files of a model, opened: a GGUF or its parts, or safetensors with `config.json` and `tokenizer.json` beside
//! them; or no files at all, for a synthetic model.

use std::cell::OnceCell;
use std::rc::Rc;

use super::recommended::{Recommended, not_done};
use crate::error::{Error, Result};
use crate::format::part_name::file_name;
use crate::format::shards::{self, Index};
use crate::format::{Directory, Source, gguf, loose_json, packing};
use crate::model;
use crate::model::{Family, Model, Synthetic, grouped};
use crate::text::chat::Chat;
use crate::text::{GgufVocabulary, SpecialIds, Tokenizer, TokenizerConfig};
use serde_json::Value;

/// The files of a model. [`ModelFiles::of`] makes it from whatever a person gave.
#[derive(Default)]
pub struct ModelFiles {
    /// A GGUF, or its parts in their order; or the safetensors files, as [`Index::choose`] orders them.
    pub sources: Vec<Rc<dyn Source>>,
    /// What `model.safetensors.index.json` says, beside several safetensors files.
    pub index: Option<Index>,
    /// Text of `config.json`, beside safetensors.
    pub config: Option<String>,
    /// Text of `tokenizer.json`, beside safetensors.
    pub tokenizer: Option<String>,
    /// A model that has no files: its weights are made up on the executor.
    pub synthetic: Option<Box<Synthetic>>,
    /// Text of `tokenizer_config.json`, beside safetensors.
    pub tokenizer_config: Option<String>,
    /// Text of `generation_config.json`, beside safetensors: it may name more tokens that end a text.
    pub generation_config: Option<String>,
    /// Text of `chat_template.jinja` or `chat_template.json`, beside safetensors; it goes before the template in
    /// `tokenizer_config`.
    pub chat_template: Option<String>,
    /// Text of `additional_chat_templates/tool_use.jinja`: the template for conversations with tools.
    pub tool_template: Option<String>,
    /// Text of `special_tokens_map.json`, beside older safetensors.
    pub special_tokens: Option<String>,
    /// Text of `added_tokens.json`, likewise.
    pub added_tokens: Option<String>,
    /// What was noticed of the files themselves.
    pub notices: Vec<String>,
    /// What they say, once they were read. It is theirs alone: files with another field changed begin with a default one.
    pub opened: Opened,
}

/// A model's files are read once; see [`ModelFiles::open`].
#[derive(Default)]
pub struct Opened(OnceCell<Rc<OpenModel>>);

/// What a model's files say: what loading, writing and talking start from. No weights yet.
pub struct OpenModel {
    /// Shape and weights, held against each other.
    pub model: Model,
    /// What the weights are read from: the files, and what is made of them where they lie by columns.
    pub sources: Vec<Rc<dyn Source>>,
    /// How texts become token ids; `None` where the files do not say.
    pub tokenizer: Option<Rc<Tokenizer>>,
    /// Texts that end what the model writes, as `generation_config.json` names them.
    pub stop_strings: Vec<String>,
    /// How its makers would have tokens chosen.
    pub recommended: Recommended,
    chat: Result<Option<Rc<Chat>>>,
    /// What was noticed and skipped.
    pub notices: Vec<String>,
}

impl OpenModel {
    /// The positions that the model was made for, which is the longest context that it can be loaded with.
    #[must_use]
    pub fn context_length(&self) -> u32 {
        self.model.outline().context_length
    }

    /// How the model wants conversations written, if the files say so or it is known.
    ///
    /// # Errors
    /// When the template cannot be used; the model can still continue texts.
    pub fn chat(&self) -> Result<Option<Rc<Chat>>> {
        self.chat.clone()
    }
}

/// What a GGUF may be instead of a model.
const OTHER_KINDS: [&str; 5] = ["adapter", "imatrix", "mmproj", "clip", "controlvector"];

impl ModelFiles {
    /// One GGUF.
    pub fn gguf(source: Rc<dyn Source>) -> Self {
        Self { sources: vec![source], ..Self::default() }
    }

    /// No files, but random weights.
    pub fn synthetic(model: Synthetic) -> Self {
        Self { synthetic: Some(Box::new(model)), ..Self::default() }
    }

    /// Reads directories and metadata, checks them, and binds names to fields, once: another call gives the same.
    ///
    /// # Errors
    /// When a file is damaged or not supported.
    pub async fn open(&self) -> Result<Rc<OpenModel>> {
        if let Some(open) = self.opened.0.get() {
            return Ok(Rc::clone(open));
        }
        let open = Rc::new(self.read().await?);
        Ok(Rc::clone(self.opened.0.get_or_init(|| open)))
    }

    async fn read(&self) -> Result<OpenModel> {
        if let Some(model) = &self.synthetic {
            let (model, stop_strings, notices) = (model.model()?, Vec::new(), Vec::new());
            let recommended = Recommended::default();
            let sources = Vec::new();
            return Ok(OpenModel {
                model,
                sources,
                tokenizer: None,
                stop_strings,
                recommended,
                chat: Ok(None),
                notices,
            });
        }
        let Some(source) = self.sources.first() else {
            return Err(Error::usage("model", "no file").expected("a GGUF or safetensors file"));
        };
        let mut open = if self.is_gguf().await? { self.read_gguf().await? } else { self.read_safetensors().await? };
        if let Some(tokenizer) = &open.tokenizer
            && tokenizer.n_vocab() > open.model.outline().n_vocab as usize
        {
            let (n_tokens, n_rows) = (tokenizer.n_vocab(), open.model.outline().n_vocab);
            let name = file_name(source.name());
            open.notices.push(format!(
                "{name}: {n_tokens} tokens, and the embedding has {n_rows} rows: texts with the others are refused"
            ));
        }
        open.notices.extend(self.notices.iter().cloned());
        open.notices.extend(open.model.notices());
        open.notices.extend(open.tokenizer.iter().flat_map(|tokenizer| tokenizer.notices()).cloned());
        Ok(open)
    }

    /// The tokenizer alone, if there is one: no weights, and no question of whether the model can be run.
    pub async fn tokenizer(&self) -> Result<Option<Tokenizer>> {
        if self.is_gguf().await? {
            // Of several parts the first has the keys.
            let file = gguf::read(self.sources[0].as_ref(), 0).await?;
            return Tokenizer::from_gguf(GgufVocabulary::from_metadata(&file.metadata)?);
        }
        let first = |key| ids_in(self.config.as_deref(), key).first().copied();
        self.json_tokenizer(SpecialIds {
            bos: first("bos_token_id"),
            eos: first("eos_token_id"),
            ..SpecialIds::default()
        })
    }

    /// What `tokenizer_config.json` says, with what may stand in files of its own; nothing where there is none of them.
    pub(in crate::engine) fn tokenizer_config(&self) -> TokenizerConfig {
        let config = self.tokenizer_config.as_deref().map(|text| TokenizerConfig::read(&loose_json::strict(text)));
        let (special, added) = (self.special_tokens.as_deref(), self.added_tokens.as_deref());
        let templates = (self.chat_template.as_deref(), self.tool_template.as_deref());
        config.unwrap_or_default().with_older(special, added).with_templates(templates.0, templates.1)
    }

    /// The text of `config.json`, which safetensors need.
    pub(in crate::engine) fn require_config(&self) -> Result<&str> {
        self.config.as_deref().ok_or_else(|| {
            let name = self.sources.first().map_or("model", |source| source.name());
            Error::file(name, "no config.json beside the safetensors file")
                .advice("Keep config.json (and tokenizer.json) in the same folder")
        })
    }

    /// By its first bytes; a file that has others and claims to be a GGUF is one too, and damaged.
    pub(in crate::engine) async fn is_gguf(&self) -> Result<bool> {
        let Some(source) = self.sources.first() else { return Ok(false) };
        let mut magic = [0; 4];
        if source.bytes() >= 4 {
            source.read_at(0, &mut magic).await?;
        }
        Ok(magic == *b"GGUF" || file_name(source.name()).to_lowercase().ends_with(".gguf"))
    }

    /// The tokenizer of `tokenizer.json`, with the special tokens that `tokenizer_config.json` names, or else with these.
    fn json_tokenizer(&self, special: SpecialIds) -> Result<Option<Tokenizer>> {
        let Some(json) = &self.tokenizer else { return Ok(None) };
        let config = self.tokenizer_config();
        let mut tokenizer = Tokenizer::from_files(&loose_json::strict(json), special, Some(&config))?;
        tokenizer.end_at(self.ends());
        Ok(Some(tokenizer))
    }

    /// The tokens that a text may end with: any of several, and the two files need not name the same.
    pub(in crate::engine) fn ends(&self) -> Vec<u32> {
        let of = |config: &Option<String>| ids_in(config.as_deref(), "eos_token_id");
        [of(&self.generation_config), of(&self.config)].concat()
    }

    async fn read_gguf(&self) -> Result<OpenModel> {
        let file = gguf::read_parts(&self.sources).await?;
        let kinds =
            ["general.type", "general.architecture"].map(|key| (key, file.metadata.get_str(key).ok().flatten()));
        let other = |(_, kind): &(&str, Option<&str>)| kind.is_some_and(|kind| OTHER_KINDS.contains(&kind));
        if let Some((key, Some(kind))) = kinds.into_iter().find(other) {
            return Err(Error::file(key, format!("{kind:?}, which is no model by itself"))
                .expected("a model's file")
                .advice("Take the model's own file; an adapter has to be merged into it."));
        }
        let architecture = file.metadata.get_str("general.architecture")?.unwrap_or_default();
        let divisors = match Family::of_gguf(architecture) {
            Family::Grouped => rope_divisors(&self.sources, &file.directory).await?,
            _ => Vec::new(),
        };
        let mut notices = Vec::new();
        let model = Model::from_gguf(&file, divisors, &mut notices)?;
        let n_rows = model.outline().n_vocab;
        let told = file.metadata.get_u32(&format!("{architecture}.vocab_size"))?.filter(|told| *told != n_rows);
        if let Some(told) = told {
            let key = format!("{architecture}.vocab_size is {told}, and the embedding has {n_rows} rows");
            notices.push(format!("{key}: the rows count"));
        }
        let vocabulary = GgufVocabulary::from_metadata(&file.metadata);
        let tokenizer = vocabulary.and_then(Tokenizer::from_gguf).unwrap_or_else(|unknown| {
            // Ids need no tokenizer.
            notices.push(format!("no texts, only token ids: {unknown}"));
            None
        });
        let tokenizer = tokenizer.map(Rc::new);
        let chat = match &tokenizer {
            Some(tokenizer) => Chat::from_gguf(&file.metadata, tokenizer).map(|chat| chat.map(Rc::new)),
            None => Ok(None),
        };
        let recommended = Recommended::of_gguf(&file.metadata);
        let (sources, stop_strings) = (self.sources.clone(), Vec::new());
        Ok(OpenModel { model, sources, tokenizer, stop_strings, recommended, chat, notices })
    }

    /// What `bind` makes of the tensors of safetensors, by rows, and what they are read from. What is odd goes to `notices`.
    pub(in crate::engine) async fn bound<T>(
        &self,
        notices: &mut Vec<String>,
        bind: impl Fn(&Directory, &mut Vec<String>) -> Result<T>,
    ) -> Result<(T, Vec<Rc<dyn Source>>)> {
        let (directory, notice) = shards::read(&self.sources, self.index.as_ref()).await?;
        notices.extend(notice);
        let Some(how) = model::packing(self.require_config()?)? else {
            return Ok((bind(&directory, notices)?, self.sources.clone()));
        };
        let (directory, rows) = packing::as_rows(&directory, &self.sources, how)?;
        let n_notices = notices.len();
        let bound = match bind(&directory, notices) {
            Ok(bound) => bound,
            Err(error) => {
                notices.truncate(n_notices);
                let without = packing::without_zero_biases(&directory, &self.sources).await?.ok_or(error)?;
                bind(&without, notices)?
            }
        };
        Ok((bound, self.sources.iter().cloned().chain([rows]).collect()))
    }

    async fn read_safetensors(&self) -> Result<OpenModel> {
        let mut notices = Vec::new();
        let bind = |directory: &Directory, notices: &mut Vec<String>| {
            Model::from_config(self.require_config()?, directory, notices)
        };
        let (model, sources) = self.bound(&mut notices, bind).await?;
        let outline = model.outline();
        let special = SpecialIds { bos: outline.bos, eos: outline.eos, ..SpecialIds::default() };
        let tokenizer = self.json_tokenizer(special).unwrap_or_else(|unknown| {
            // Ids need no tokenizer.
            notices.push(format!("no texts, only token ids: {unknown}"));
            None
        });
        let tokenizer = tokenizer.map(Rc::new);
        let chat = match (&model, &tokenizer) {
            (_, None) => Ok(None),
            // Its encoding is a program of its makers, and no template.
            (Model::V4(..), _) => Ok(Some(Rc::new(Chat::v4()))),
            (_, Some(tokenizer)) => {
                Chat::from_config(&self.tokenizer_config(), tokenizer).map(|chat| chat.map(Rc::new))
            }
        };
        let settings = self.generation_config.as_deref();
        let is_object =
            |json: &str| serde_json::from_str::<Value>(&loose_json::strict(json)).is_ok_and(|it| it.is_object());
        if settings.is_some_and(|json| !is_object(json)) {
            notices.push("generation_config.json is no JSON object: it is passed over".to_owned());
        }
        notices.extend(not_done(settings));
        let stop_strings = stop_strings(settings);
        let recommended = Recommended::of_config(settings);
        Ok(OpenModel { model, sources, tokenizer, stop_strings, recommended, chat, notices })
    }
}

/// What divides the rotary frequencies, if the file says so.
async fn rope_divisors(sources: &[Rc<dyn Source>], directory: &Directory) -> Result<Vec<f32>> {
    let Some(tensor) = grouped::rope_divisors(directory)? else { return Ok(Vec::new()) };
    let mut divisors = vec![0.0f32; tensor.n_in as usize];
    if let Some(piece) = tensor.pieces.first() {
        sources[piece.source_index].read_at(piece.offset, bytemuck::cast_slice_mut(&mut divisors)).await?;
    }
    Ok(divisors)
}

/// The ids under a key of a config; none where there is no config, or no JSON: the model's own reading tells of that.
fn ids_in(config: Option<&str>, key: &str) -> Vec<u32> {
    let config: Option<Value> = config.and_then(|config| serde_json::from_str(&loose_json::strict(config)).ok());
    config.map(|config| [ids_of(&config[key]), ids_of(&config["text_config"][key])].concat()).unwrap_or_default()
}

/// The texts under `stop_strings`: one, or a list.
pub(in crate::engine) fn stop_strings(config: Option<&str>) -> Vec<String> {
    let config: Option<Value> = config.and_then(|config| serde_json::from_str(&loose_json::strict(config)).ok());
    let texts = match config.as_ref().and_then(|config| config.get("stop_strings")).cloned() {
        Some(Value::Array(texts)) => texts,
        one => one.into_iter().collect(),
    };
    texts.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// A token's id, or a list of such.
fn ids_of(value: &Value) -> Vec<u32> {
    // Some write it as 2.0.
    let whole = |value: &Value| value.as_f64().filter(|id| id.fract() == 0.0 && *id >= 0.0).map(|id| id as u64);
    let id = |value: &Value| value.as_u64().or_else(|| whole(value)).and_then(|id| u32::try_from(id).ok());
    match value {
        Value::Array(ids) => ids.iter().filter_map(id).collect(),
        one => id(one).into_iter().collect(),
    }
}

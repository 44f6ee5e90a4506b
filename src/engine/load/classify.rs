//! The files that a person gave, in whatever order, sorted out by what they hold and what they are called: a GGUF or
//! the parts of one, or safetensors with the JSON files of their folder. What belongs to no model is left out.

use super::files::ModelFiles;
use crate::error::{Error, Result};
use crate::format::directory::shown;
use crate::format::encoded;
use crate::format::part_name::{file_name, some_of};
use crate::format::shards::Index;
use crate::format::{Source, gguf};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::rc::Rc;

/// No JSON file of a model is longer: the largest known, a `tokenizer.json`, has 20 MB.
const MOST_TEXT_BYTES: u64 = 128 << 20;
/// A folder has no more files than this that matter.
const MOST_FILES: usize = 1 << 13;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Gguf,
    Safetensors,
    /// `config.json`.
    Config,
    /// `model.safetensors.index.json`.
    Index,
    /// `tokenizer.json`.
    Tokenizer,
    /// `tokenizer_config.json`.
    TokenizerConfig,
    /// `generation_config.json`.
    GenerationConfig,
    /// `chat_template.jinja`, or `chat_template.json` as processors of 2024 have it.
    ChatTemplate,
    /// `additional_chat_templates/tool_use.jinja`.
    ToolTemplate,
    /// `special_tokens_map.json`.
    SpecialTokens,
    /// `added_tokens.json`.
    AddedTokens,
    /// JSON under a name that says nothing.
    Json,
    /// Nothing known.
    Other,
}

/// The keys by which a JSON file is known whose name says nothing, as browsers rename what they download twice.
#[derive(Default, Deserialize)]
struct Keys {
    weight_map: Option<IgnoredAny>,
    model_type: Option<IgnoredAny>,
    architectures: Option<IgnoredAny>,
    tokenizer_class: Option<IgnoredAny>,
    added_tokens: Option<IgnoredAny>,
    eos_token_id: Option<IgnoredAny>,
}

impl Kind {
    /// By its beginning where that tells, then by its name.
    async fn of(source: &dyn Source) -> Result<Self> {
        let mut begin = [0; 9];
        let n = source.bytes().min(begin.len() as u64) as usize;
        source.read_at(0, &mut begin[..n]).await?;
        if begin.starts_with(b"GGUF") {
            return Ok(Self::Gguf);
        }
        // A header's length, which is small, and then its JSON.
        if begin[5..] == [0, 0, 0, b'{'] {
            return Ok(Self::Safetensors);
        }
        Ok(Self::by_name(&file_name(source.name()).to_lowercase()))
    }

    fn by_name(name: &str) -> Self {
        match name {
            "config.json" => Self::Config,
            "tokenizer.json" => Self::Tokenizer,
            "tokenizer_config.json" => Self::TokenizerConfig,
            "generation_config.json" => Self::GenerationConfig,
            // In the folder `additional_chat_templates`, or by itself.
            "chat_template.jinja" | "chat_template.json" | "default.jinja" => Self::ChatTemplate,
            "tool_use.jinja" => Self::ToolTemplate,
            "special_tokens_map.json" => Self::SpecialTokens,
            "added_tokens.json" => Self::AddedTokens,
            _ if name.ends_with(".safetensors.index.json") => Self::Index,
            _ if name.ends_with(".json") => Self::Json,
            _ if name.ends_with(".safetensors") => Self::Safetensors,
            _ if name.ends_with(".gguf") => Self::Gguf,
            _ => Self::Other,
        }
    }

    /// By the keys of its JSON.
    fn by_keys(text: &str) -> Self {
        match serde_json::from_str(text).unwrap_or_default() {
            Keys { weight_map: Some(_), .. } => Self::Index,
            Keys { added_tokens: Some(_), .. } => Self::Tokenizer,
            Keys { tokenizer_class: Some(_), .. } => Self::TokenizerConfig,
            Keys { model_type: Some(_), .. } | Keys { architectures: Some(_), .. } => Self::Config,
            // A model's config names it too, and says what the model is.
            Keys { eos_token_id: Some(_), .. } => Self::GenerationConfig,
            _ => Self::Other,
        }
    }
}

impl ModelFiles {
    /// The model that `given` files make, in any order: a GGUF; all parts of a split one; or safetensors, in one file or
    /// in several with their index, with `config.json` and, if the text is to be more than numbers, `tokenizer.json` and
    /// `tokenizer_config.json` and `generation_config.json`. Files are known by what they hold, and by the last piece of their [`Source::name`];
    /// shards and parts must have the names that they had. Files that are none of these are left out.
    ///
    /// Reads the beginnings of the files, and the JSON files whole. That nothing is missing inside them is found when
    /// the model is opened.
    ///
    /// # Errors
    /// When there is no model among the files, or more than one, or some files of one are missing.
    pub async fn of(given: Vec<Rc<dyn Source>>) -> Result<Self> {
        if given.is_empty() || given.len() > MOST_FILES {
            return Err(Error::usage("model", format!("{} files", given.len()))
                .expected("a GGUF file, all parts of one, or safetensors with their config.json"));
        }
        let mut files = Self::default();
        let (mut ggufs, mut safetensors, mut unnamed, mut others) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut index = None;
        for source in given {
            match Kind::of(source.as_ref()).await? {
                Kind::Gguf => ggufs.push(source),
                Kind::Safetensors => safetensors.push(source),
                Kind::Json => unnamed.push(source),
                Kind::Other => others.push(source),
                kind => files.keep(kind, source.as_ref(), &mut index).await?,
            }
        }
        match (ggufs.is_empty(), safetensors.is_empty()) {
            (false, false) => {
                let names = some_of([&ggufs[0], &safetensors[0]].map(|source| file_name(source.name())));
                return Err(Error::usage("model", format!("both GGUF and safetensors: {names}"))
                    .expected("the files of one model"));
            }
            // A GGUF has everything in itself.
            (false, true) => return Ok(Self { sources: gguf::in_order(ggufs).await?, ..Self::default() }),
            (true, true) => return none_of(others, &files, index.as_ref()),
            (true, false) => {}
        }
        for source in unnamed {
            match read_text(source.as_ref()).await? {
                Ok(text) => files.keep_text(Kind::by_keys(&text), source.name(), text, &mut index)?,
                Err(error) => files.leave_out(&error),
            }
        }
        safetensors.sort_by(|a, b| file_name(a.name()).cmp(file_name(b.name())));
        files.sources = match &index {
            Some(index) => index.choose(&safetensors)?,
            None => safetensors,
        };
        files.index = index;
        Ok(files)
    }

    async fn keep(&mut self, kind: Kind, source: &dyn Source, index: &mut Option<Index>) -> Result<()> {
        let text = match read_text(source).await? {
            Ok(text) => text,
            // The weights and the vocabulary stand elsewhere.
            Err(error) if !matches!(kind, Kind::Config | Kind::Index | Kind::Tokenizer) => {
                self.leave_out(&error);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.keep_text(kind, source.name(), text, index)
    }

    fn leave_out(&mut self, error: &Error) {
        self.notices.push(format!("{error}: the file is left out"));
    }

    /// Keeps a text that was given; the first of each kind.
    fn keep_text(&mut self, kind: Kind, name: &str, text: String, index: &mut Option<Index>) -> Result<()> {
        let place = match kind {
            Kind::Index => {
                if index.is_none() {
                    *index = Some(Index::read(name, &text)?);
                }
                return Ok(());
            }
            Kind::Config => &mut self.config,
            Kind::Tokenizer => &mut self.tokenizer,
            Kind::TokenizerConfig => &mut self.tokenizer_config,
            Kind::GenerationConfig => &mut self.generation_config,
            Kind::ChatTemplate => &mut self.chat_template,
            Kind::ToolTemplate => &mut self.tool_template,
            Kind::SpecialTokens => &mut self.special_tokens,
            Kind::AddedTokens => &mut self.added_tokens,
            Kind::Gguf | Kind::Safetensors | Kind::Json | Kind::Other => return Ok(()),
        };
        place.get_or_insert(text);
        Ok(())
    }
}

/// There are no weights: a single file of an unknown kind is left to the GGUF reader, which says what it is.
fn none_of(others: Vec<Rc<dyn Source>>, files: &ModelFiles, index: Option<&Index>) -> Result<ModelFiles> {
    if let Some(index) = index {
        index.choose(&[])?;
    }
    let no_texts = files.config.is_none() && files.tokenizer.is_none();
    match <[Rc<dyn Source>; 1]>::try_from(others) {
        Ok([source]) if no_texts => Ok(ModelFiles::gguf(source)),
        Ok(others) => Err(no_model(&others)),
        Err(others) => Err(no_model(&others)),
    }
}

fn no_model(others: &[Rc<dyn Source>]) -> Error {
    let names = match others {
        [] => "only JSON files".to_owned(),
        others => some_of(others.iter().map(|source| file_name(source.name()))),
    };
    Error::usage("model", format!("no weights among the files: {names}"))
        .expected("a GGUF file, all parts of one, or safetensors with their config.json")
}

/// All of a file as text, if it is one.
async fn read_text(source: &dyn Source) -> Result<Result<String>> {
    if source.bytes() > MOST_TEXT_BYTES {
        return Err(Error::file(source.name(), format!("{} bytes", source.bytes()))
            .expected(format!("at most {} MiB of text", MOST_TEXT_BYTES >> 20)));
    }
    let mut bytes = vec![0; source.bytes() as usize];
    source.read_at(0, &mut bytes).await?;
    Ok(encoded::text(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::file(shown(source.name()), format!("the bytes at {at} are no UTF-8")).expected("a text in UTF-8")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_known_by_its_keys_where_the_name_says_nothing() {
        for (text, kind) in [
            (r#"{"metadata": {}, "weight_map": {}}"#, Kind::Index),
            (r#"{"architectures": ["X"], "model_type": "qwen2"}"#, Kind::Config),
            (r#"{"version": "1.0", "added_tokens": [], "model": {"type": "BPE"}}"#, Kind::Tokenizer),
            (r#"{"added_tokens_decoder": {}, "tokenizer_class": "X"}"#, Kind::TokenizerConfig),
            (r#"{"eos_token_id": [1, 2], "do_sample": true}"#, Kind::GenerationConfig),
            (r#"{"eos_token_id": 1, "model_type": "qwen2"}"#, Kind::Config),
            (r#"{"bos_token_id": 1}"#, Kind::Other),
            ("[1, 2", Kind::Other),
        ] {
            assert_eq!(Kind::by_keys(text), kind, "{text}");
        }
    }
}

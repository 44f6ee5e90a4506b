//! A conversation as the text that a model was trained to go on from.
//!
//! [`Chat`] renders messages by the template in the model's file, or by V4's own encoding, which its files do not
//! have; [`ReasoningSplitter`] tells what the model thinks from what it answers while the text streams; [`tool_calls`] finds the tools
//! that an answer calls.
//!
//! A template is a program from a file that nobody vouches for: it runs within bounds of steps, memory and output
//! (see `shape`, `rewrite` and `budget`), knows no files and no network, and fails with a message.

mod arguments;
mod budget;
mod channels;
mod clock;
mod compare;
mod filters;
mod formats;
mod groups;
mod json;
mod layout;
mod macros;
mod message;
mod methods;
mod numbers;
mod operations;
mod predicates;
mod python;
mod pythonic;
mod reasoning;
mod rewrite;
mod shape;
mod strings;
mod template;
mod tool_calls;
mod transcript;
mod v4;

pub use message::{Message, RenderOptions, Role, ToolCall};
pub use reasoning::{Part, ReasoningSplitter};
pub use tool_calls::{Called, tool_calls};
pub use transcript::Transcript;

use super::{Tokenizer, TokenizerConfig};
use crate::error::{Error, Result};
use crate::format::gguf::Metadata;
use template::Template;

/// How a model wants conversations written.
#[derive(Debug)]
pub struct Chat(Encoding);

#[derive(Debug)]
enum Encoding {
    V4,
    /// A template, and the one for conversations with tools, where that is another.
    Template(Template, Option<Result<Template>>),
}

impl Chat {
    /// The encoding of a GGUF's model: V4's own for V4, else the template in `tokenizer.chat_template`, or where that is
    /// missing the one called `default` or the one for tools; `None` if there is none.
    ///
    /// # Errors
    /// A template that does not parse, or is too long.
    pub fn from_gguf(metadata: &Metadata, tokenizer: &Tokenizer) -> Result<Option<Self>> {
        if metadata.get_str("general.architecture")? == Some("deepseek4") {
            return Ok(Some(Self::v4()));
        }
        let template = |key| metadata.get_str(key).map(|template| template.map(str::to_owned));
        let named_default = template("tokenizer.chat_template.default")?;
        let config = TokenizerConfig {
            chat_template: template("tokenizer.chat_template")?.or(named_default),
            tool_template: template("tokenizer.chat_template.tool_use")?,
            ..TokenizerConfig::default()
        };
        Self::from_config(&config, tokenizer)
    }

    /// The encoding that a `tokenizer_config.json` brings; `None` if it has no template. One for tools that is alone
    /// renders all conversations, as in llama.cpp.
    ///
    /// # Errors
    /// As [`Self::from_gguf`].
    pub fn from_config(config: &TokenizerConfig, tokenizer: &Tokenizer) -> Result<Option<Self>> {
        // An empty one would make prompts of no tokens.
        let is_there = |template: &&String| !template.trim().is_empty();
        let [plain, for_tools] = [&config.chat_template, &config.tool_template].map(|t| t.as_ref().filter(is_there));
        let Some(template) = plain.or(for_tools) else { return Ok(None) };
        let for_tools = for_tools.filter(|for_tools| *for_tools != template).map(|template| read(template, tokenizer));
        Ok(Some(Self(Encoding::Template(read(template, tokenizer)?, for_tools))))
    }

    /// V4's own encoding.
    pub fn v4() -> Self {
        Self(Encoding::V4)
    }

    /// A Jinja template as transformers runs them, for a model with this tokenizer.
    ///
    /// # Errors
    /// As [`Self::from_gguf`].
    pub fn from_template(source: &str, tokenizer: &Tokenizer) -> Result<Self> {
        Ok(Self(Encoding::Template(read(source, tokenizer)?, None)))
    }

    /// The text of a conversation, with what makes the model answer it at the end. Special tokens stand in it by their
    /// strings; [`Tokenizer::encode`] with [`super::Bos::AsModelSays`] gives its ids, with one BOS token and no more.
    ///
    /// # Errors
    /// A template that refuses the conversation, in its own words, or that fails, or that asks for more steps, memory
    /// or output than any honest one; tools or arguments that are no JSON.
    pub fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<String> {
        if messages.is_empty() {
            return Err(Error::usage("conversation", "no messages").expected("at least one"));
        }
        match &self.0 {
            Encoding::V4 => v4::render(messages, options),
            Encoding::Template(_, Some(for_tools)) if !options.tools.is_empty() => {
                for_tools.as_ref().map_err(Clone::clone)?.render(messages, options)
            }
            Encoding::Template(template, _) => template.render(messages, options),
        }
    }

    /// Marks of V4's encoding that the vocabulary has no token for: the model was then not made for conversations. What
    /// a template would write cannot be told without running it.
    pub fn missing(&self, tokenizer: &Tokenizer) -> Vec<&'static str> {
        match &self.0 {
            Encoding::V4 => v4::MARKS.into_iter().filter(|mark| tokenizer.id_of(mark).is_none()).collect(),
            Encoding::Template(..) => Vec::new(),
        }
    }

    /// The ids that end the model's turn: the file's end token, and whichever of the known ones the vocabulary has.
    pub fn stops(tokenizer: &Tokenizer) -> Vec<u32> {
        tokenizer.ends()
    }
}

/// A template for a model with this tokenizer.
fn read(source: &str, tokenizer: &Tokenizer) -> Result<Template> {
    let text = |id: Option<u32>| id.and_then(|id| tokenizer.text_of(id)).unwrap_or_default();
    let mut tokens = tokenizer.named().clone();
    tokens.insert("bos_token".to_owned(), text(tokenizer.template_bos()));
    tokens.insert("eos_token".to_owned(), text(tokenizer.special().eos));
    Template::new(source, tokens)
}

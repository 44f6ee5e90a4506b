//! `headstart tokenize` and `headstart detokenize`: text to token ids and back, with nothing read of a model's file but
//! its directory.

use super::arguments::Escapes;
use super::hub::HubModel;
use super::text_out::TextOut;
use super::{Ending, json, model_files, prompt, write_out};
use crate::error::{Error, Result};
use crate::text::{Bos, Control, Tokenizer};
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Turn a text into token ids.
#[derive(Debug, Args)]
#[command(after_help = "\
The text is read as `run` reads it. The BOS token is written where the model would be given one, and never twice.
Special tokens in the text become their own ids.

Examples:
  headstart tokenize -p 'It was a cold evening'
  headstart tokenize -m model.gguf -f chapter.txt --pieces
  headstart tokenize -m model.gguf -p 'A text' | headstart detokenize -m model.gguf")]
pub(super) struct Tokenize {
    /// A GGUF file, or a safetensors file (or its folder) with tokenizer.json beside it [default: the embedded model]
    #[arg(short, long, value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    hub: HubModel,
    #[command(flatten)]
    text: Text,
    #[command(flatten)]
    escapes: Escapes,
    /// One line a token, with what it writes
    #[arg(long, conflicts_with = "json")]
    pieces: bool,
    /// Ids and pieces, as JSON
    #[arg(long)]
    json: bool,
    /// Never write the BOS token
    #[arg(long)]
    no_bos: bool,
}

/// Where the text comes from; from stdin if from nowhere else.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Text {
    /// The text
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Option<String>,
    /// A file with the text; `-` for stdin [default: stdin]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Turn token ids into text.
#[derive(Debug, Args)]
#[command(after_help = "\
The text is written as it is, without a line's end of its own. Bytes that are no UTF-8 become U+FFFD.

Examples:
  headstart detokenize 5,9,17
  headstart detokenize -m model.gguf -f ids.txt --no-special")]
pub(super) struct Detokenize {
    /// A GGUF file, or a safetensors file (or its folder) with tokenizer.json beside it [default: the embedded model]
    #[arg(short, long, value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    hub: HubModel,
    /// Token ids, with commas or spaces between
    #[arg(value_name = "IDS", conflicts_with = "file")]
    ids: Vec<String>,
    /// A file of token ids, with commas, spaces or lines between; `-` for stdin [default: stdin]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Leave control tokens out
    #[arg(long)]
    no_special: bool,
    /// The text, as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Tokens<'a> {
    ids: &'a [u32],
    /// What each id writes; U+FFFD where that is a part of a character.
    pieces: Vec<String>,
}

#[derive(Serialize)]
struct Decoded {
    text: String,
}

/// Carries out `tokenize`.
pub(super) fn tokenize(arguments: &Tokenize) -> Result<Ending> {
    let tokenizer = tokenizer(arguments.hub.or(arguments.model.as_deref())?.as_deref())?;
    let stdin = Path::new("-");
    let text = match &arguments.text {
        Text { prompt: Some(text), .. } if arguments.escapes.no_escape => text.clone(),
        Text { prompt: Some(text), .. } => prompt::unescaped(text),
        Text { file, .. } => prompt::without_line_end(prompt::read_file(file.as_deref().unwrap_or(stdin))?),
    };
    let bos = if arguments.no_bos { Bos::Omit } else { prompt::begin(&tokenizer) };
    let ids = tokenizer.encode(&text, bos)?;
    let shown = if arguments.json {
        json(&Tokens { ids: &ids, pieces: ids.iter().map(|&id| piece(&tokenizer, id)).collect() })?
    } else if arguments.pieces {
        ids.iter().fold(String::new(), |mut lines, &id| {
            // Writing to a string does not fail.
            let _ = writeln!(lines, "{id:>7}  {:?}", piece(&tokenizer, id));
            lines
        })
    } else {
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        ids.join(",") + "\n"
    };
    write_out(shown.as_bytes())?;
    Ok(Ending::Done)
}

/// Carries out `detokenize`.
pub(super) fn detokenize(arguments: &Detokenize) -> Result<Ending> {
    let tokenizer = tokenizer(arguments.hub.or(arguments.model.as_deref())?.as_deref())?;
    let ids = if arguments.ids.is_empty() {
        prompt::parse_ids(&prompt::read_file(arguments.file.as_deref().unwrap_or(Path::new("-")))?)?
    } else {
        prompt::parse_ids(&arguments.ids.join(" "))?
    };
    if let Some(at) = ids.iter().position(|&id| id as usize >= tokenizer.n_vocab()) {
        return Err(Error::usage("token ids", format!("id {} at place {at}", ids[at]))
            .expected(format!("ids below {}, the size of the vocabulary", tokenizer.n_vocab())));
    }
    let control = if arguments.no_special { Control::Hide } else { Control::Show };
    let text = tokenizer.decode(&ids, control);
    if arguments.json {
        write_out(json(&Decoded { text })?.as_bytes())?;
    } else {
        TextOut::to_stdout().write(&text)?;
    }
    Ok(Ending::Done)
}

/// What an id writes where it follows others.
fn piece(tokenizer: &Tokenizer, id: u32) -> String {
    let mut stream = tokenizer.stream(Control::Show);
    stream.push(id) + &stream.finish()
}

fn tokenizer(path: Option<&Path>) -> Result<Tokenizer> {
    let model = model_files::open(path)?;
    let tokenizer = pollster::block_on(model.files.tokenizer())?;
    tokenizer.ok_or_else(|| {
        Error::usage("model", format!("{} has no vocabulary", model.name)).expected("a model with a tokenizer")
    })
}

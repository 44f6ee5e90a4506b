//! `headstart synthesize`: a model of random weights as a GGUF file, for programs that want a file to be timed with, and
//! for machines that cannot fetch one. Written tensor by tensor.

use super::new_file::NewFile;
use super::progress::Progress;
use super::quantize::with_format;
use super::{Ending, ending, interrupt, model_files};
use crate::engine::{LoadProgress, Synthesis};
use crate::error::{Error, Result};
use crate::format::{Format, gguf};
use crate::measure::panel;
use crate::model::SyntheticName;
use clap::Args;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
The model is a published one, such as llama-8b, gpt-oss-20b, qwen3.5-9b (in Q4_0 unless told otherwise),
deepseek-v2-lite, deepseek-r1, deepseek-v3.2 (in Q8_0), deepseek-v4-flash or deepseek-v4-pro (as
published): `synthetic:?` lists them all. Or it is the path of a config.json. All have the shapes of
the real ones, random weights, and a tokenizer of bytes; what they write means nothing.

Examples:
  headstart synthesize synthetic:llama-8b:format=q4_0 llama-8b-q4_0.gguf
  headstart synthesize synthetic:deepseek-r1:layers=3..5 r1-two-layers-q8_0.gguf
  headstart synthesize synthetic:deepseek-v4-flash:layers=2..4 flash.gguf";

/// Write a model of random weights as a GGUF file.
#[derive(Debug, Args)]
#[command(max_term_width = 100, after_help = EXAMPLES)]
pub(super) struct Synthesize {
    /// The model: synthetic:MODEL[:layers=A..B][:format=FORMAT][:seed=N]
    #[arg(value_name = "MODEL")]
    model: String,
    /// The GGUF file to write
    #[arg(value_name = "OUT")]
    output: PathBuf,
}

/// Carries out the command.
pub(super) fn synthesize(arguments: &Synthesize) -> Result<Ending> {
    let (mut synthesis, format) = synthesis(&arguments.model)?;
    let tensors = synthesis.new_tensors()?;
    let keys = with_format(synthesis.keys.clone(), &arguments.model, format);
    let head = gguf::head(keys.iter().map(|(key, value)| (key.as_str(), value)), &tensors)?;

    let _watch = interrupt::watch();
    let mut file = NewFile::of_model(&arguments.output)?;
    file.write(&head)?;
    let mut progress = Progress::new();
    let total: u64 = tensors.iter().map(|tensor| tensor.bytes).sum();
    let mut done = 0;
    for (index, tensor) in tensors.iter().enumerate() {
        let written = synthesis.write(index, &mut |bytes| {
            done += bytes.len() as u64;
            progress.load(&LoadProgress::Upload { done, total });
            match interrupt::asked() {
                true => Err(Error::usage("synthesize", "broken off")),
                false => file.write(bytes),
            }
        });
        if interrupt::asked() {
            return Ok(ending());
        }
        written?;
        file.write(gguf::padding(tensor.bytes))?;
    }
    file.finish()?;
    drop(progress);
    let n = tensors.len();
    eprintln!("headstart: {n} tensors, {} in {}", panel::bytes(done), arguments.output.display());
    Ok(ending())
}

/// The model of that name, and the format of most of it.
fn synthesis(text: &str) -> Result<(Synthesis, Format)> {
    SyntheticName::parse(text)?;
    let named = model_files::open(Some(Path::new(text)))?;
    match named.files.synthetic.as_deref() {
        Some(model) => Ok((Synthesis::new(model)?, model.format)),
        None => Err(Error::usage("synthesize", named.name).expected("a name that begins with synthetic:")),
    }
}

//! `headstart quantize`: a model, GGUF or safetensors, written as one GGUF with its matrices in some format, streamed in
//! pieces. Sizes and errors are told on stderr, format by format.

mod plan;
mod tally;
mod work;

use super::new_file::NewFile;
use super::progress::Progress;
use super::{Ending, ending, interrupt, model_files};
use crate::engine::LoadProgress;
use crate::error::{Error, Result};
use crate::format::gguf::{self, Value};
use crate::format::{Format, Source};
use clap::Args;
use plan::Planned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tally::Tally;

const EXAMPLES: &str = "\
Every matrix takes the format. Vectors, and what is small and decides much (norms, routers, the mixing of the
residual streams), become F32; tables of integers and formats unknown here are copied. A matrix whose rows are
no whole blocks of the format becomes Q8_0, or F16 where those do not fit either.
Formats that search for the least error (all but Q8_0, Q4_0, Q4_1, Q5_0, Q5_1) take a minute for a thousand
million weights, on several cores.
Safetensors become what llama.cpp's converter makes of them, with the keys of config.json and the tokenizer of
tokenizer.json: DeepSeek V4, V3 and V2 (FP8 and FP4 included), Llama, Qwen2, Qwen3, Qwen3-MoE,
Qwen3.5, SmolLM3, Gemma 3 and LFM2.

Examples:
  headstart quantize model-f16.gguf model-q4_k.gguf --to q4_k
  headstart quantize DeepSeek-R1-Distill-Qwen-1.5B/ r1-qwen-1.5b-q4_k.gguf --to q4_k
  headstart quantize model-bf16.gguf model-mxfp4.gguf --to mxfp4";

/// Write a model as one GGUF with its matrices in another format.
#[derive(Debug, Args)]
#[command(max_term_width = 100, after_help = format!("Formats: {}; Q4_K_M and the like take the format that they are named after.\n\n{EXAMPLES}", format_names()))]
pub(super) struct Quantize {
    /// The model: a GGUF file (of a split one any part), a safetensors file, its index, or the folder of either
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The GGUF file to write
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// The format of the matrices; behind OUT, or with --to
    #[arg(value_name = "FORMAT", value_parser = weight_format, required_unless_present = "to")]
    format: Option<Target>,
    /// The format of the matrices, in place of FORMAT
    #[arg(long, value_name = "FORMAT", value_parser = weight_format, conflicts_with = "format")]
    to: Option<Target>,
}

/// A format that was asked for.
#[derive(Clone, Debug)]
struct Target {
    format: Format,
    /// The name that stands for a mixture of formats elsewhere, where it is one.
    mixture: Option<String>,
}

fn weight_format(text: &str) -> std::result::Result<Target, String> {
    let find = |name: &str| Format::from_name(name).filter(|format| format.can_encode() && format.ggml_id().is_some());
    let upper = text.to_ascii_uppercase();
    // `Q4_K_M` and the like take Q4_K for most matrices; `MXFP4_MOE` is MXFP4.
    let base = ["_S", "_M", "_L", "_XL", "_MOE"].iter().find_map(|end| upper.strip_suffix(end));
    let mixture = base.and_then(find).map(|format| Target { format, mixture: Some(upper.clone()) });
    let found = find(text).map(|format| Target { format, mixture: None }).or(mixture);
    found.ok_or_else(|| format!("expected one of {}", format_names()))
}

/// The formats that can be written, with commas between.
fn format_names() -> String {
    let formats = Format::WEIGHTS.into_iter().filter(|format| format.can_encode() && format.ggml_id().is_some());
    formats.map(Format::name).collect::<Vec<_>>().join(", ")
}

/// Carries out the command.
pub(super) fn quantize(arguments: &Quantize) -> Result<Ending> {
    let (input, output) = (&arguments.input, &arguments.output);
    let Some(target) = arguments.to.as_ref().or(arguments.format.as_ref()) else {
        return Err(Error::usage("quantize", "no format").expected(format!("one of {}", format_names())));
    };
    let to = target.format;
    if let Some(mixture) = &target.mixture {
        eprintln!("headstart: {mixture} is a mixture of formats; this writes the nearest, {}", to.name());
    }
    if same_file(input, output) {
        return Err(Error::usage(output.display().to_string(), "the file that is read")
            .expected("another place for what is written"));
    }
    let model = model_files::open(Some(input))?;
    if model.files.synthetic.is_some() {
        return Err(Error::usage(model.name, "a synthetic model").expected("a model with files"));
    }
    if model.files.sources.iter().any(|source| same_file(Path::new(source.name()), output)) {
        return Err(Error::usage(output.display().to_string(), "a file of the model that is read")
            .expected("another place for what is written"));
    }
    let export = pollster::block_on(model.files.export())?;
    let planned = plan::plan(export.tensors, to)?;
    let keys = with_format(export.keys, &model.name, to);
    let tensors: Vec<gguf::NewTensor> = planned.iter().map(Planned::written).collect();
    let head = gguf::head(keys.iter().map(|(key, value)| (key.as_str(), value)), &tensors)?;

    let _watch = interrupt::watch();
    let mut new_file = NewFile::of_model(output)?;
    new_file.write(&head)?;
    let Some(tally) = write_tensors(&export.sources, &planned, &mut new_file)? else { return Ok(ending()) };
    new_file.finish()?;
    let written =
        head.len() as u64 + tensors.iter().map(|t| t.bytes + gguf::padding(t.bytes).len() as u64).sum::<u64>();
    let notices = export.notices.into_iter().chain(plan::notices(&planned, to));
    notices.for_each(|notice| eprintln!("headstart: {notice}"));
    eprint!("{}", tally.lines(model.bytes, written));
    Ok(ending())
}

/// Whether both paths lead to one file that is there.
fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Writes the data of all tensors; `None` where the person wanted an end.
fn write_tensors(sources: &[Rc<dyn Source>], planned: &[Planned], to: &mut NewFile) -> Result<Option<Tally>> {
    let mut tally = Tally::default();
    let mut progress = Progress::new();
    let total = planned.iter().map(|planned| planned.tensor.bytes()).sum();
    let mut done = 0;
    for tensor in planned {
        let finished = work::write(sources, tensor, to, &mut tally, &mut |bytes| {
            done += bytes;
            progress.load(&LoadProgress::Upload { done, total });
            interrupt::asked()
        })?;
        if !finished {
            return Ok(None);
        }
        to.write(gguf::padding(tensor.written().bytes))?;
    }
    Ok(Some(tally))
}

/// The keys of the model, with those that speak of the new file's formats; `name` where it has none.
pub(super) fn with_format(mut keys: BTreeMap<String, Value>, name: &str, to: Format) -> BTreeMap<String, Value> {
    keys.entry("general.name".to_owned()).or_insert_with(|| name.into());
    keys.insert("general.file_type".to_owned(), to.file_type().unwrap_or(0).into());
    keys.insert("general.quantization_version".to_owned(), 2.into());
    keys
}

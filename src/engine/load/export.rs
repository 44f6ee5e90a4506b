//! A model as a GGUF would have it: keys, and tensors that can be read piece by piece, whichever files they lie in. A
//! GGUF is taken as it stands, also with tensors that nobody here knows; safetensors are bound like a model that is to
//! run, so that what is not complete is not written again.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use crate::error::{Error, Result};
use crate::format::directory::shown;
use crate::format::loose_json;
use crate::format::{Directory, Format, Source, Stored, TensorInfo, gguf, quant};
use crate::model::weights::{Mapped, Named, TensorRef, nvfp4_with_its_number};
use crate::model::{AnyShape, Place};
use crate::text::{SpecialIds, export};
use gguf::Value;

use super::files::{ModelFiles, stop_strings};
use super::read_rows::{read_rows, read_vector};
use super::recommended::Recommended;

/// Keys and tensors of a model.
pub struct Export {
    /// The keys, those of architecture and tokenizer; none that speak of the container.
    pub keys: BTreeMap<String, Value>,
    /// The tensors, in the order of the file.
    pub tensors: Vec<ExportTensor>,
    /// What they are read from.
    pub sources: Vec<Rc<dyn Source>>,
    /// What a person should know.
    pub notices: Vec<String>,
}

/// A tensor of an [`Export`].
#[derive(Clone, Debug)]
pub struct ExportTensor {
    /// The name in a GGUF.
    pub name: String,
    /// The dims in a GGUF, outermost first.
    pub shape: Vec<u64>,
    /// How the elements come.
    pub stored: Stored,
    content: Content,
}

/// Whether the second of two is meant.
type Second = bool;

#[derive(Clone, Debug)]
enum Content {
    /// Bytes that lie together.
    Run(TensorInfo),
    /// Rows that may lie anywhere, with their scales.
    Rows(TensorRef),
    /// The same, with the parts of each row in another order: which part of the file's row stands at each place.
    Columns(TensorRef, Vec<u32>),
    /// Every other row, the first or the second of each two.
    Alternate(TensorRef, Second),
    /// Blocks of so many rows, each transposed, as f32.
    Transposed(TensorRef, u32),
    /// Numbers that no file has as such.
    Values(Vec<f32>),
    /// Numbers that stand for others, written as what they mean.
    Mapped(TensorRef),
}

impl ExportTensor {
    /// A tensor of a GGUF, as it stands there.
    #[must_use]
    pub fn of(info: TensorInfo) -> Self {
        let (name, shape, stored) = (info.name.clone(), info.shape.clone(), info.stored.clone());
        Self { name, shape, stored, content: Content::Run(info) }
    }

    fn rows(Named { name, shape, tensor, .. }: Named) -> Self {
        if tensor.mapped != Mapped::AsIs {
            return Self { name, shape, stored: Stored::Supported(Format::F32), content: Content::Mapped(tensor) };
        }
        Self { name, shape, stored: Stored::Supported(tensor.format), content: Content::Rows(tensor) }
    }

    /// One whose rows are made of equal parts, in another order than the file's.
    ///
    /// # Errors
    /// When a part is not whole blocks of the format.
    fn columns(Named { name, shape, tensor, .. }: Named, order: Vec<u32>) -> Result<Self> {
        let (n_in, n_parts, block) = (tensor.n_in as usize, order.len(), tensor.format.block_len());
        if !n_in.is_multiple_of(n_parts * block) {
            return Err(Error::file(
                format!("tensor {}", shown(&name)),
                format!("{n_in} columns in blocks of {block}"),
            )
            .expected(format!("{n_parts} heads of whole blocks"))
            .advice("Take safetensors in BF16."));
        }
        Ok(Self { name, shape, stored: Stored::Supported(tensor.format), content: Content::Columns(tensor, order) })
    }

    /// Of rows that alternate between two tensors, or elements of a single row that do, those of one: in a GGUF they lie apart.
    fn alternate(Named { name, mut shape, tensor, .. }: Named, to: &str, second: Second) -> Self {
        let is_bias = name.ends_with(".bias");
        let n_rows = shape.len() - if is_bias { 1 } else { 2 };
        shape[n_rows] /= 2;
        let rows = if is_bias { tensor.as_column() } else { tensor };
        let stored = Stored::Supported(rows.format);
        Self { name: name.replace("gate_up", to), shape, stored, content: Content::Alternate(rows, second) }
    }

    /// One of blocks of `n_rows` rows that lie transposed in a GGUF: `[n_blocks, n_in, n_rows]`.
    fn transposed(Named { name, shape, tensor, .. }: Named, n_rows: u32) -> Self {
        Self { name, shape, stored: Stored::Supported(Format::F32), content: Content::Transposed(tensor, n_rows) }
    }

    /// The length of a row.
    #[must_use]
    pub fn n_in(&self) -> u64 {
        self.shape.last().copied().unwrap_or(1)
    }

    /// The rows over all outer dims.
    #[must_use]
    pub fn n_rows(&self) -> u64 {
        self.shape.split_last().map_or(1, |(_, outer)| outer.iter().product())
    }

    /// The bytes of all rows, as blocks of their format.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match &self.content {
            Content::Run(info) => info.bytes,
            Content::Rows(tensor) | Content::Columns(tensor, _) => tensor.bytes(),
            Content::Alternate(tensor, _) => tensor.bytes() / 2,
            Content::Values(values) => 4 * values.len() as u64,
            Content::Mapped(tensor) | Content::Transposed(tensor, _) => 4 * tensor.n_elements(),
        }
    }

    /// How many bytes can be read at once of about `wanted`: whole rows, where rows lie apart.
    #[must_use]
    pub fn piece_bytes(&self, wanted: u64) -> u64 {
        let unit = match &self.content {
            Content::Rows(tensor) | Content::Columns(tensor, _) | Content::Alternate(tensor, _) => tensor.row_bytes(),
            Content::Transposed(tensor, n_rows) => 4 * u64::from(tensor.n_in) * u64::from(*n_rows),
            Content::Run(_) | Content::Values(_) | Content::Mapped(_) => return wanted,
        };
        (wanted / unit).max(1) * unit
    }

    /// Fills `to` with the bytes from `at` on; both are multiples of what [`Self::piece_bytes`] gives, but at the end.
    ///
    /// # Errors
    /// When a source cannot be read, or holds what is no number.
    pub async fn read(&self, sources: &[Rc<dyn Source>], at: u64, to: &mut [u8]) -> Result<()> {
        match &self.content {
            Content::Run(info) => sources[info.source_index].read_at(info.offset + at, to).await,
            Content::Rows(tensor) => rows(sources, tensor, at, to).await,
            Content::Columns(tensor, order) => {
                rows(sources, tensor, at, to).await?;
                let row_bytes = tensor.row_bytes() as usize;
                let part = row_bytes / order.len();
                for row in to.chunks_exact_mut(row_bytes) {
                    let found = row.to_vec();
                    for (place, from) in row.chunks_exact_mut(part).zip(order) {
                        place.copy_from_slice(&found[*from as usize * part..][..part]);
                    }
                }
                Ok(())
            }
            Content::Alternate(tensor, second) => {
                let row_bytes = tensor.row_bytes() as usize;
                let mut both = vec![0; 2 * to.len()];
                rows(sources, tensor, 2 * at, &mut both).await?;
                let wanted = both.chunks_exact(row_bytes).skip(usize::from(*second)).step_by(2);
                to.chunks_exact_mut(row_bytes).zip(wanted).for_each(|(row, wanted)| row.copy_from_slice(wanted));
                Ok(())
            }
            Content::Transposed(tensor, n_rows) => transposed(sources, tensor, *n_rows as usize, at, to).await,
            Content::Values(values) => {
                copy(values, at, to);
                Ok(())
            }
            Content::Mapped(tensor) => {
                copy(&read_vector(sources, tensor).await?, at, to);
                Ok(())
            }
        }
    }
}

/// Whole rows of a tensor, from byte `at` on.
async fn rows(sources: &[Rc<dyn Source>], tensor: &TensorRef, at: u64, to: &mut [u8]) -> Result<()> {
    let row = |byte: u64| u32::try_from(byte / tensor.row_bytes()).unwrap_or(u32::MAX);
    let rows = row(at)..row(at + to.len() as u64);
    read_rows(sources, tensor, tensor.pieces_of(rows), to).await
}

/// Whole blocks of `n_rows` rows, each transposed, from byte `at` of their numbers on.
async fn transposed(
    sources: &[Rc<dyn Source>],
    tensor: &TensorRef,
    n_rows: usize,
    at: u64,
    to: &mut [u8],
) -> Result<()> {
    let n_in = tensor.n_in as usize;
    let mut from = vec![0; n_rows * tensor.row_bytes() as usize];
    let mut numbers = vec![0.0; n_rows * n_in];
    for (index, block) in to.chunks_exact_mut(4 * numbers.len()).enumerate() {
        let first = (at / 4 / n_in as u64 + (index * n_rows) as u64) * tensor.row_bytes();
        rows(sources, tensor, first, &mut from).await?;
        quant::decode_row(tensor.format, &from, &mut numbers)?;
        for (place, number) in block.chunks_exact_mut(4).enumerate() {
            number.copy_from_slice(&numbers[place % n_rows * n_in + place / n_rows].to_le_bytes());
        }
    }
    Ok(())
}

/// Bytes of numbers, from `at` on.
fn copy(values: &[f32], at: u64, to: &mut [u8]) {
    let bytes: &[u8] = bytemuck::cast_slice(values);
    to.copy_from_slice(&bytes[at as usize..at as usize + to.len()]);
}

impl ModelFiles {
    /// The model as a GGUF would have it.
    ///
    /// # Errors
    /// When a file is damaged or incomplete; and for safetensors of an architecture, or with a tokenizer, that is not
    /// known.
    pub async fn export(&self) -> Result<Export> {
        if self.is_gguf().await? {
            return self.export_gguf().await;
        }
        let config = self.require_config()?;
        let mut notices = Vec::new();
        let shape = AnyShape::from_config(config, &mut notices)?;
        match &shape {
            AnyShape::Grouped(shape) => shape.check_said_by_gguf()?,
            AnyShape::Mla(shape) => shape.check_said_by_gguf()?,
            AnyShape::Delta(shape) => shape.check_said_by_gguf()?,
            AnyShape::V4(_) => {}
        }
        let bind = |directory: &Directory, _: &mut Vec<String>| shape.clone().bind_named(Place::Files(directory));
        let ((model, named), sources) = self.bound(&mut Vec::new(), bind).await?;
        for (n, what) in model.left_out() {
            notices.extend((n > 0).then(|| format!("{n} tensors {what} are left out")));
        }
        let tensors = tensors_of(&shape, named)?;
        // Ids that name no token are left out.
        let outline = model.outline();
        let special = SpecialIds { bos: outline.bos, eos: outline.eos, ..SpecialIds::default() };
        let architecture = ("general.architecture".to_owned(), shape.architecture().into());
        let mut keys: BTreeMap<String, Value> = shape.gguf_keys().into_iter().chain([architecture]).collect();
        keys.insert("general.type".to_owned(), "model".into());
        self.export_tokenizer(&mut keys, &mut notices, special, outline.n_vocab)?;
        keys.extend(Recommended::of_config(self.generation_config.as_deref()).gguf_keys());
        Ok(Export { keys, tensors, sources, notices })
    }

    async fn export_gguf(&self) -> Result<Export> {
        let file = gguf::read_parts(&self.sources).await?;
        let of_the_container = |key: &str| key == "general.alignment" || key.starts_with("split.");
        let kept = file.metadata.iter().filter(|(key, _)| !of_the_container(key));
        Ok(Export {
            keys: kept.map(|(key, value)| (key.to_owned(), value.clone())).collect(),
            tensors: tensors_of_gguf(&file.directory)?,
            sources: self.sources.clone(),
            notices: Vec::new(),
        })
    }

    fn export_tokenizer(
        &self,
        keys: &mut BTreeMap<String, Value>,
        notices: &mut Vec<String>,
        special: SpecialIds,
        n_vocab: u32,
    ) -> Result<()> {
        let Some(json) = &self.tokenizer else {
            notices.push("no tokenizer.json: the new file takes and gives token ids only".to_owned());
            keys.insert("tokenizer.ggml.model".to_owned(), "no_vocab".into());
            for (key, id) in [("bos", special.bos), ("eos", special.eos)] {
                keys.extend(id.map(|id| (format!("tokenizer.ggml.{key}_token_id"), id.into())));
            }
            return Ok(());
        };
        let config = self.tokenizer_config();
        let ends = self.ends();
        let json = loose_json::strict(json);
        keys.extend(export::gguf_keys(&json, Some(&config), special, &ends, n_vocab, notices)?);
        if !stop_strings(self.generation_config.as_deref()).is_empty() {
            notices.push("stop_strings of generation_config.json have no key in a GGUF: they are left out".to_owned());
        }
        Ok(())
    }
}

/// The tensors of a GGUF as they stand there, but NVFP4 with a number beside it: as what they mean, and the number left out.
fn tensors_of_gguf(directory: &Directory) -> Result<Vec<ExportTensor>> {
    let (mut tensors, mut left_out) = (Vec::new(), HashSet::new());
    for info in directory.tensors() {
        tensors.push(match nvfp4_with_its_number(directory, info)? {
            Some((tensor, beside)) => {
                left_out.extend(beside);
                let (name, shape) = (info.name.clone(), info.shape.clone());
                ExportTensor { name, shape, stored: Stored::Supported(tensor.format), content: Content::Rows(tensor) }
            }
            None => ExportTensor::of(info.clone()),
        });
    }
    tensors.retain(|tensor| !left_out.contains(&tensor.name));
    Ok(tensors)
}

/// The tensors as a GGUF of the architecture has them.
fn tensors_of(shape: &AnyShape, named: Vec<Named>) -> Result<Vec<ExportTensor>> {
    match shape {
        AnyShape::V4(_) => Ok(named.into_iter().map(ExportTensor::rows).collect()),
        AnyShape::Grouped(shape) => {
            let mut tensors = Vec::new();
            for named in shape.in_gguf_order(named) {
                if named.name.contains("ffn_gate_up_exps.") {
                    tensors.push(ExportTensor::alternate(named.clone(), "gate", false));
                    tensors.push(ExportTensor::alternate(named, "up", true));
                } else {
                    tensors.push(ExportTensor::rows(named));
                }
            }
            tensors.extend(shape.rope_divisors().map(|divisors| ExportTensor {
                name: "rope_freqs.weight".to_owned(),
                shape: vec![divisors.len() as u64],
                stored: Stored::Supported(Format::F32),
                content: Content::Values(divisors),
            }));
            Ok(tensors)
        }
        AnyShape::Mla(shape) => {
            let mut tensors = Vec::new();
            for named in named {
                if shape.is_split_in_gguf() && named.name.ends_with("attn_kv_b.weight") {
                    let [keys, values] = shape.split_key_values(&named);
                    tensors.extend([ExportTensor::transposed(keys, shape.nope_dim), ExportTensor::rows(values)]);
                } else {
                    tensors.push(ExportTensor::rows(named));
                }
            }
            Ok(tensors)
        }
        AnyShape::Delta(shape) => {
            let tensor = |named: Named| match shape.heads_of_columns(&named.name) {
                Some(heads) => ExportTensor::columns(named, heads),
                None => Ok(ExportTensor::rows(named)),
            };
            shape.in_gguf_order(named).into_iter().map(tensor).collect()
        }
    }
}

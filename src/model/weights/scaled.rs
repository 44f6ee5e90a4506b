//! Matrices of FP8, FP4 and integers whose scales are tensors of their own beside them, as DeepSeek's are.

use super::take::{Taker, piece, significant, tensor_error};
use super::{Mapped, Piece, TensorRef};
use crate::error::{Error, Result};
use crate::format::directory::shown;
use crate::format::scaled::{Layout, ScaleType};
use crate::format::{Directory, Format, TensorInfo};
use crate::model::part::{Extent, Kind};

/// Where the scales of a piece's rows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scales {
    /// How they are stored.
    pub stored: ScaleType,
    /// Who shares one.
    pub layout: Layout,
    /// Which source they lie in.
    pub source_index: usize,
    /// Where those of the tensor's first row begin, in bytes.
    pub offset: u64,
    /// The number of the piece's first row in its tensor.
    pub first_row: u32,
}

/// The number, an F32, by which all weights of a tensor, or of an expert of it, are scaled besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleOfAll {
    /// Which source it lies in.
    pub source_index: usize,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Whether they are divided by it, not multiplied.
    pub divides: bool,
}

/// What names of weights end in, and in place of that the names of the numbers for all of NVFP4: ModelOpt's, compressed-tensors',
/// by which weights are divided, and both that a GGUF may have.
const ENDINGS_OF_ALL: [(&str, &str); 4] =
    [("", "_scale_2"), ("", "_global_scale"), (".weight", ".scale"), ("", ".scale")];

/// What names of weights end in, and in place of that the names of their scales, as DeepSeek's files have them: V4, V3,
/// and what other tools write; and gpt-oss's.
const ENDINGS: [(&str, &str); 5] = [
    (".weight", ".scale"),
    (".weight", ".weight_scale_inv"),
    (".weight", ".weight_scale"),
    (BLOCKS, "_scales"),
    ("", "_scale_inv"),
];

/// What the names of gpt-oss's weights end in, whose rows are cut into blocks of 16 bytes.
const BLOCKS: &str = "_blocks";

/// A weight with its scales, of which rows can be had.
pub(super) struct Scaled<'a> {
    /// The format of the blocks that they are joined into.
    pub(super) format: Format,
    layout: Layout,
    weights: &'a TensorInfo,
    /// Where blocks do not have them.
    scales: Option<(&'a TensorInfo, ScaleType)>,
    /// One, or one for each of the matrices.
    of_all: Option<&'a TensorInfo>,
    /// Rows of each matrix that is stacked; blocks of scales do not reach from one into the next.
    of_each: u32,
    n_in: u32,
}

impl Scaled<'_> {
    /// So many rows of one of the stacked matrices, from a row on that is counted through all of them.
    pub(super) fn rows(&self, first: u32, n_rows: u32) -> Piece {
        let Self { layout, n_in, of_each, .. } = *self;
        let number = u64::from(first / of_each);
        let scales = self.scales.map(|(scales, stored)| {
            let rows = u64::from(of_each.div_ceil(layout.scale_rows));
            let scale_bytes = rows * u64::from(layout.scales_per_row(n_in)) * stored.bytes();
            let offset = scales.offset + number * scale_bytes;
            Scales { stored, layout, source_index: scales.source_index, offset, first_row: first % of_each }
        });
        let of_all = self.of_all.map(|of_all| ScaleOfAll {
            source_index: of_all.source_index,
            offset: of_all.offset + if n_numbers(of_all) > 1 { 4 * number } else { 0 },
            divides: of_all.name.ends_with("_global_scale"),
        });
        let stored = Piece { scales, of_all, ..piece(self.weights, 0, n_rows) };
        Piece { offset: stored.offset + u64::from(first) * stored.row_bytes(self.format, n_in), ..stored }
    }
}

impl<'a> Taker<'a> {
    /// The tensor of a weight `[n_stacked, n_rows, n_in]` with its scales. `None` where it is none of those: then it is what
    /// it says.
    pub(super) fn take_scaled(&mut self, name: &str, dims: [u32; 3]) -> Result<Option<Scaled<'a>>> {
        let weights = self.directory().require(name)?;
        let is_nvfp4 = weights.stored.name() == "U8" && weights.shape.last() == Some(&u64::from(dims[2] / 2));
        let needs_scales = is_nvfp4 || matches!(weights.stored.name(), "F8_E4M3" | "I8" | "I32");
        let Some(scales) = self.scales_of(name) else {
            return if needs_scales { Err(without_scales(weights, "no scales beside it")) } else { Ok(None) };
        };
        let Some(format) = Layout::format_of(weights.stored.name(), scales.stored.name()) else {
            let found = format!("scales in {}, {}", scales.stored.name(), shown(&scales.name));
            return if needs_scales { Err(without_scales(weights, &found)) } else { Ok(None) };
        };
        let [n_stacked, n_rows, n_in] = dims;
        if weights.stored.name() == Format::NVFP4.name() {
            return self.take_nvfp4_blocks(weights, dims);
        }
        let is_packed = weights.stored.name() == "I32";
        // In bytes, whatever they were counted in.
        let found = match weights.shape.as_slice() {
            [outer @ .., n_blocks, 16] if name.ends_with(BLOCKS) => {
                outer.iter().copied().chain(n_blocks.checked_mul(16)).collect()
            }
            [outer @ .., n_words] if is_packed => outer.iter().copied().chain(n_words.checked_mul(4)).collect(),
            found => found.to_vec(),
        };
        // Integers of 8 bits have a byte each, those of 4 bits a half.
        let lifted = is_packed && found.last() == Some(&n_in.into());
        let format = if lifted { Format::Q8_0 } else { format };
        let (Some(usual), Some(scale_type)) = (Layout::usual(format), ScaleType::from_name(scales.stored.name()))
        else {
            return Ok(None);
        };
        let block = format.block_len() as u32;
        if !n_in.is_multiple_of(block) {
            return Err(tensor_error(name, format!("rows of {n_in}"))
                .expected(format!("a multiple of {block}, as blocks have scales")));
        }
        let wrong = |tensor: &TensorInfo, rows: u32, width: u64| {
            let expected = &[n_stacked.into(), rows.into(), width][usize::from(n_stacked == 1)..];
            let whole = &dims[usize::from(n_stacked == 1)..];
            tensor_error(&tensor.name, format!("of shape {:?}", tensor.shape))
                .expected(format!("{expected:?} (rows first), for a weight of {whole:?}"))
                .advice("The file is damaged, or of a version with other blocks.")
        };
        let width = usual.row_bytes(n_in);
        if significant(&found) != significant(&[n_stacked.into(), n_rows.into(), width]) {
            return Err(wrong(weights, n_rows, width));
        }
        let layout = of_each(&scales.shape, n_stacked)
            .and_then(|scales| Layout::told_by(format, [n_rows, n_in], scales))
            .map(|layout| Layout { lifted, ..layout })
            .ok_or_else(|| wrong(scales, n_rows.div_ceil(usual.scale_rows), usual.scales_per_row(n_in).into()))?;
        let of_all = if format == Format::NVFP4_F32 { Some(self.of_all(weights, n_stacked)?) } else { None };
        self.mark(weights);
        self.mark(scales);
        self.take_beside(name)?;
        let scales = Some((scales, scale_type));
        Ok(Some(Scaled { format, layout, weights, scales, of_all, of_each: n_rows, n_in }))
    }

    /// Blocks of NVFP4 in a GGUF, beside which is a number for all.
    fn take_nvfp4_blocks(&mut self, weights: &'a TensorInfo, dims: [u32; 3]) -> Result<Option<Scaled<'a>>> {
        let [n_stacked, of_each, n_in] = dims;
        let format = Format::NVFP4_F32;
        let of_all = Some(self.of_all(weights, n_stacked)?);
        let whole = Extent { kind: Kind::Matrix, n_stacked, n_rows: of_each, n_in };
        self.take(&weights.name, whole, &dims.map(u64::from))?;
        Ok(Layout::usual(format).map(|layout| Scaled { format, layout, weights, scales: None, of_all, of_each, n_in }))
    }

    /// The number for all beside weights of NVFP4, or one for each of the stacked matrices.
    fn of_all(&mut self, weights: &TensorInfo, n_stacked: u32) -> Result<&'a TensorInfo> {
        let name = &weights.name;
        let Some(of_all) = self.beside(name, &ENDINGS_OF_ALL) else {
            return Err(tensor_error(name, "NVFP4 without a scale for all of it")
                .expected("a tensor beside it, such as `….weight_scale_2` or `….weight_global_scale`")
                .advice("The file is damaged: download it again."));
        };
        if of_all.stored.name() != "F32" || ![1, n_stacked.into()].contains(&n_numbers(of_all)) {
            let found = format!("{} of shape {:?}", of_all.stored.name(), of_all.shape);
            let many = if n_stacked > 1 { format!(", or {n_stacked}") } else { String::new() };
            return Err(tensor_error(&of_all.name, found).expected(format!("F32, a single number{many}")));
        }
        self.mark(of_all);
        Ok(of_all)
    }

    /// What compressed-tensors has beside weights: their shape, which is known, and what would change their numbers, which is refused.
    fn take_beside(&mut self, name: &str) -> Result<()> {
        for (ending, is_known) in [("_shape", true), ("_zero_point", false), ("_g_idx", false)] {
            match self.directory().get(&format!("{name}{ending}")) {
                Some(shape) if is_known => self.mark(shape),
                Some(other) => {
                    return Err(tensor_error(&other.name, format!("beside {}", shown(name)))
                        .expected("weights that are multiplied by scales alone, in the order of their rows")
                        .advice("Take the model as it was published, or as a GGUF."));
                }
                None => {}
            }
        }
        Ok(())
    }

    fn scales_of(&self, name: &str) -> Option<&'a TensorInfo> {
        self.beside(name, &ENDINGS).or_else(|| self.beside(name, &ENDINGS_OF_ALL))
    }

    /// The first tensor whose name ends in one of these ways where the weight's ends in the other.
    fn beside(&self, name: &str, endings: &[(&str, &str)]) -> Option<&'a TensorInfo> {
        let names = endings.iter().filter_map(|(weight, scale)| Some(format!("{}{scale}", name.strip_suffix(weight)?)));
        names.filter_map(|name| self.directory().get(&name)).next()
    }
}

/// Numbers of a tensor, whose extent the directory has checked.
fn n_numbers(tensor: &TensorInfo) -> u64 {
    tensor.shape.iter().product()
}

fn without_scales(weights: &TensorInfo, found: &str) -> Error {
    tensor_error(&weights.name, format!("{}, with {found}", weights.stored.name()))
        .expected("F8_E4M3, I8 or packed I32 with a tensor of scales, such as `….weight_scale`, in F32, BF16 or F16; U8 with one in F8_E4M3")
        .advice("Take the model as it was published, or as a GGUF.")
}

/// The scales of each of the stacked matrices, `[n_rows, n_in]`, of a tensor of this shape: dims of 1 at its end may be left out.
fn of_each(shape: &[u64], n_stacked: u32) -> Option<[u64; 2]> {
    let stacked: &[u64] = if n_stacked == 1 { &[] } else { &[n_stacked.into()] };
    let shape = &shape[shape.iter().take_while(|&&n| n == 1).count().min(shape.len().saturating_sub(2))..];
    match shape.strip_prefix(stacked)? {
        [] => Some([1, 1]),
        [rows] => Some([*rows, 1]),
        [rows, scales] => Some([*rows, *scales]),
        _ => None,
    }
}

/// A matrix of NVFP4 in a GGUF with the number beside it, and the names of what belongs to it; `None` where it has none.
///
/// # Errors
/// When what is beside it is no such number.
pub fn nvfp4_with_its_number(directory: &Directory, info: &TensorInfo) -> Result<Option<(TensorRef, [String; 2])>> {
    let dims: Option<Vec<u32>> = info.shape.iter().map(|&n| u32::try_from(n).ok().filter(|&n| n > 0)).collect();
    let [n_stacked, of_each, n_in] = match dims.as_deref() {
        Some(&[n_stacked, of_each, n_in]) => [n_stacked, of_each, n_in],
        Some(&[of_each, n_in]) => [1, of_each, n_in],
        _ => return Ok(None),
    };
    let n_rows = n_stacked.checked_mul(of_each).filter(|_| info.stored.name() == Format::NVFP4.name());
    let Some(n_rows) = n_rows else { return Ok(None) };
    let mut taker = Taker::new(directory);
    let Some(scaled) = taker.take_scaled(&info.name, [n_stacked, of_each, n_in])? else { return Ok(None) };
    let Some(of_all) = scaled.of_all else { return Ok(None) };
    let pieces = (0..n_stacked).map(|stacked| scaled.rows(stacked * of_each, of_each)).collect();
    let (name, format) = (info.name.clone(), scaled.format);
    let of_activations = of_all.name.replace(".scale", ".input_scale");
    let tensor = TensorRef { name, format, n_rows, n_in, pieces, mapped: Mapped::AsIs };
    Ok(Some((tensor, [of_all.name.clone(), of_activations])))
}

/// The weight, by one of the names that it may have, that a tensor of this name would be the scales of.
pub(super) fn scaled_by(name: &str, is_weight: impl Fn(&str) -> bool) -> Option<String> {
    let names = ENDINGS.iter().filter_map(|(weight, scale)| Some(format!("{}{weight}", name.strip_suffix(scale)?)));
    names.into_iter().find(|weight| is_weight(weight)).map(|weight| shown(&weight))
}

//! Weights whose codes are packed in words, with scales and zeros beside them: those of GPTQ and AWQ, which lie by columns (what
//! belongs to the first input of all rows, then to the second), and those of compressed-tensors that are not symmetric. They become a
//! source of rows in blocks like any file's, so that nothing behind this file knows of the difference. Of a matrix `[n_rows, n_in]`,
//! in groups of inputs that share a scale and a zero:
//!
//! | | codes, I32 | zeros, I32 | becomes |
//! |---|---|---|---|
//! | GPTQ, 4 bits | `[n_in / 8, n_rows]`: input 8i + k in nibble k of word i | `[n_groups, n_rows / 8]`: row 8j + k in nibble k, less 1 but in `gptq_v2` | Q4_ZERO, or Q4_0 where it is symmetric |
//! | GPTQ, 8 bits, symmetric | `[n_in / 4, n_rows]`, likewise by bytes | `[n_groups, n_rows / 4]`, likewise | Q8_0 |
//! | AWQ | `[n_in, n_rows / 8]`: rows 8j + 0, 2, 4, 6, 1, 3, 5, 7 in the nibbles of word j | `[n_groups, n_rows / 8]`, likewise | as of GPTQ |
//! | compressed-tensors | `[n_rows, n_in / 8]`: input 8i + k in nibble k of word i | `[n_rows / 8, n_groups]`: row 8j + k in nibble k of word j | Q4_ZERO |
//!
//! A weight is (code − zero) · scale; scales are `[n_groups, n_rows]`, and of compressed-tensors the other way round. A tensor
//! `[n_in]` may say the group of each input: other groups than runs are refused, since blocks have one scale.
//! Sources: `pack` of AutoGPTQ's and AutoAWQ's linear layers; `pack_to_int32` of compressed-tensors.

use super::directory::{elements_of, shown};
use super::repack::BLOCK_LEN;
use super::scaled::ScaleType;
use super::source::{Reading, check_range};
use super::{Directory, Format, Source, Stored, TensorInfo};
use crate::error::{Error, Result};
use half::f16;
use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::Range;
use std::rc::Rc;

/// The longest rows that anyone has are in heads, for some 300 thousand tokens.
const MOST_BIAS_BYTES: u64 = 4 << 20;

/// How weights are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// Whose order they are in.
    pub order: Order,
    /// Bits of a code: 4, or of GPTQ 8.
    pub bits: u32,
    /// Inputs that share a scale; `None` for all of a row, and where the scales tell.
    pub group_len: Option<u32>,
    /// Whether every zero is half of what the codes reach.
    pub is_symmetric: bool,
}

/// Whose order codes are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Words have codes of one row.
    Gptq {
        /// Whether zeros are stored less 1.
        less_one: bool,
    },
    /// Words have codes of one input.
    Awq,
    /// Rows lie one after the other, their words as GPTQ's. Only matrices with zeros are taken.
    Rows,
}

/// What names end in.
struct Endings {
    codes: &'static str,
    scales: &'static str,
    zeros: &'static str,
    groups: &'static str,
}

impl Order {
    const fn endings(self) -> Endings {
        match self {
            Self::Gptq { .. } | Self::Awq => {
                Endings { codes: ".qweight", scales: ".scales", zeros: ".qzeros", groups: ".g_idx" }
            }
            Self::Rows => Endings {
                codes: ".weight",
                scales: ".weight_scale",
                zeros: ".weight_zero_point",
                groups: ".weight_g_idx",
            },
        }
    }
}

impl Packing {
    fn per_word(self) -> u64 {
        u64::from(32 / self.bits)
    }

    /// The format of the blocks.
    const fn format(self) -> Format {
        match (self.bits, self.is_symmetric) {
            (8, _) => Format::Q8_0,
            (_, true) => Format::Q4_0,
            (_, false) => Format::Q4_ZERO,
        }
    }

    /// Which code of a word the row has that is so many behind the word's first.
    const fn place(self, row: usize) -> usize {
        match self.order {
            Order::Gptq { .. } | Order::Rows => row,
            Order::Awq => [0, 4, 1, 5, 2, 6, 3, 7][row % 8],
        }
    }
}

/// The directory with a matrix of rows for each that is packed, under its name in the model; and their source, whose number is the next
/// after those of `sources`.
///
/// # Errors
/// When what belongs to a matrix is missing, or its shapes do not fit each other.
pub fn as_rows(
    directory: &Directory,
    sources: &[Rc<dyn Source>],
    packing: Packing,
) -> Result<(Directory, Rc<dyn Source>)> {
    let endings = packing.order.endings();
    let mut used = HashSet::new();
    let (mut matrices, mut made, mut at) = (Vec::new(), Vec::new(), 0u64);
    for codes in directory.tensors() {
        let Some(stem) = codes.name.strip_suffix(endings.codes) else { continue };
        if packing.order == Order::Rows && directory.get(&format!("{stem}{}", endings.zeros)).is_none() {
            continue;
        }
        let matrix = Matrix::find(directory, stem, codes, packing, at)?;
        let (format, shape) = (packing.format(), vec![matrix.n_rows, matrix.n_in]);
        // What compressed-tensors has of the weight's shape is known.
        used.insert(format!("{stem}.weight_shape"));
        used.extend(
            [Some(codes), Some(&matrix.scales), matrix.zeros.as_ref(), matrix.groups.as_ref()]
                .into_iter()
                .flatten()
                .map(|tensor| tensor.name.clone()),
        );
        made.push(TensorInfo {
            name: format!("{stem}.weight"),
            stored: Stored::Supported(format),
            shape,
            offset: at,
            bytes: matrix.bytes(),
            source_index: sources.len(),
        });
        at = at.checked_add(matrix.bytes()).ok_or_else(|| Error::file("the weights", "too many to count"))?;
        matrices.push(matrix);
    }
    let others = directory.tensors().iter().filter(|tensor| !used.contains(&tensor.name)).cloned();
    let directory = Directory::new(others.chain(made).collect())?;
    let name = sources.first().map_or_else(String::new, |source| source.name().to_owned());
    let held = RefCell::default();
    Ok((directory, Rc::new(Rows { name, bytes: at, sources: sources.to_vec(), packing, matrices, held })))
}

/// The directory that [`as_rows`] made without biases of zeros, if it has any: AutoGPTQ writes a bias beside every matrix, whether
/// the model has one or not.
///
/// # Errors
/// When a bias cannot be read.
pub async fn without_zero_biases(directory: &Directory, sources: &[Rc<dyn Source>]) -> Result<Option<Directory>> {
    let packed = directory.tensors().iter().filter(|tensor| tensor.source_index == sources.len());
    let names = packed.filter_map(|tensor| Some(format!("{}.bias", tensor.name.strip_suffix(".weight")?)));
    let mut zeros = HashSet::new();
    for bias in names.filter_map(|name| directory.get(&name)).filter(|bias| bias.bytes <= MOST_BIAS_BYTES) {
        let mut bytes = vec![0; bias.bytes as usize];
        sources[bias.source_index].read_at(bias.offset, &mut bytes).await?;
        if bytes.iter().all(|&byte| byte == 0) {
            zeros.insert(&*bias.name);
        }
    }
    let others = directory.tensors().iter().filter(|tensor| !zeros.contains(&*tensor.name));
    if zeros.is_empty() { Ok(None) } else { Directory::new(others.cloned().collect()).map(Some) }
}

/// A matrix, and what it is made of.
#[derive(Debug)]
struct Matrix {
    n_rows: u64,
    n_in: u64,
    group_len: u64,
    /// Of a row in blocks.
    row_bytes: u64,
    codes: TensorInfo,
    zeros: Option<TensorInfo>,
    scales: TensorInfo,
    scale_type: ScaleType,
    groups: Option<TensorInfo>,
    /// Where it begins in the source.
    at: u64,
}

impl Matrix {
    fn find(directory: &Directory, stem: &str, codes: &TensorInfo, packing: Packing, at: u64) -> Result<Self> {
        let wrong = |tensor: &TensorInfo, expected: String| {
            let found = format!("{} of shape {:?}", tensor.stored.name(), tensor.shape);
            Error::file(format!("tensor {}", shown(&tensor.name)), found)
                .expected(expected)
                .advice("The file is damaged, or its config.json belongs to another model.")
        };
        let (per_word, block) = (packing.per_word(), BLOCK_LEN as u64);
        let (n_in, n_rows) = match (packing.order, codes.shape.as_slice()) {
            (Order::Gptq { .. }, &[words, n_rows]) => (words.checked_mul(per_word), Some(n_rows)),
            (Order::Awq, &[n_in, words]) => (Some(n_in), words.checked_mul(per_word)),
            (Order::Rows, &[n_rows, words]) => (words.checked_mul(per_word), Some(n_rows)),
            _ => (None, None),
        };
        let whole = |n: Option<u64>, of: u64| n.filter(|&n| n > 0 && n.is_multiple_of(of));
        let of_words = n_in.zip(n_rows).filter(|_| codes.stored.name() == "I32");
        let dims = of_words.and_then(|(n_in, n_rows)| whole(Some(n_in), block).zip(whole(Some(n_rows), per_word)));
        let Some((n_in, n_rows)) = dims.filter(|&(n_in, n_rows)| elements_of(&[n_rows, n_in]).is_some()) else {
            let expected = format!("I32, for rows of a multiple of {block} inputs, and a multiple of {per_word} rows");
            return Err(wrong(codes, expected));
        };
        let endings = packing.order.endings();
        let scales = directory.require(&format!("{stem}{}", endings.scales))?;
        let group_len = match (packing.order, scales.shape.as_slice()) {
            (Order::Rows, &[_, n_groups]) if n_groups > 0 => n_in / n_groups,
            _ => packing.group_len.map_or(n_in, u64::from).min(n_in),
        };
        if group_len == 0 || !group_len.is_multiple_of(block) {
            return Err(wrong(codes, format!("groups of a multiple of {block} inputs, not of {group_len}")));
        }
        let n_groups = n_in.div_ceil(group_len);
        let by_order = |of_groups: u64, of_rows: u64| match packing.order {
            Order::Rows => [of_rows, of_groups],
            _ => [of_groups, of_rows],
        };
        let shape = by_order(n_groups, n_rows);
        let is_number = ["F16", "BF16", "F32"].contains(&scales.stored.name()) && scales.shape == shape;
        let Some(scale_type) = ScaleType::from_name(scales.stored.name()).filter(|_| is_number) else {
            return Err(wrong(scales, format!("F16, BF16 or F32 of shape {shape:?}")));
        };
        let integers = |ending: &str, shape: &[u64]| match directory.get(&format!("{stem}{ending}")) {
            Some(tensor) if tensor.stored.name() == "I32" && tensor.shape == shape => Ok(Some(tensor.clone())),
            Some(tensor) => Err(wrong(tensor, format!("I32 of shape {shape:?}"))),
            None => Ok(None),
        };
        let zeros = integers(endings.zeros, &by_order(n_groups, n_rows / per_word))?;
        if zeros.is_none() && !packing.is_symmetric {
            directory.require(&format!("{stem}{}", endings.zeros))?;
        }
        let (groups, row_bytes) = (integers(endings.groups, &[n_in])?, packing.format().row_bytes(n_in));
        let (codes, scales) = (codes.clone(), scales.clone());
        Ok(Self { n_rows, n_in, group_len, row_bytes, codes, zeros, scales, scale_type, groups, at })
    }

    fn bytes(&self) -> u64 {
        self.n_rows.saturating_mul(self.row_bytes)
    }

    /// What lies by rows, then groups, the other way round.
    fn by_groups<T: Copy>(&self, by_rows: &[T]) -> Vec<T> {
        let n_groups = self.n_in.div_ceil(self.group_len) as usize;
        (0..n_groups).flat_map(|group| by_rows.iter().skip(group).step_by(n_groups).copied()).collect()
    }
}

/// Matrices as rows, one after the other.
struct Rows {
    name: String,
    bytes: u64,
    sources: Vec<Rc<dyn Source>>,
    packing: Packing,
    matrices: Vec<Matrix>,
    /// The one that was read last, whose other rows are likely to come next.
    held: RefCell<Option<(usize, Rc<Held>)>>,
}

/// What rows of a matrix are made of.
struct Held {
    codes: Vec<u32>,
    /// By groups, then rows.
    zeros: Vec<u8>,
    /// By groups, then rows.
    scales: Vec<f16>,
}

impl Source for Rows {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn read_at<'a>(&'a self, offset: u64, buffer: &'a mut [u8]) -> Reading<'a> {
        Box::pin(async move {
            check_range(self, offset, buffer.len())?;
            let (mut at, mut rest) = (offset, buffer);
            while !rest.is_empty() {
                let number = self.matrices.partition_point(|matrix| matrix.at + matrix.bytes() <= at);
                let matrix = &self.matrices[number];
                let n = (matrix.at + matrix.bytes() - at).min(rest.len() as u64) as usize;
                let (part, after) = std::mem::take(&mut rest).split_at_mut(n);
                let held = self.hold(number).await?;
                self.write_rows(matrix, &held, at - matrix.at, part);
                (at, rest) = (at + n as u64, after);
                if at == matrix.at + matrix.bytes() {
                    // What comes next is of another one, or nothing.
                    self.held.replace(None);
                }
            }
            Ok(())
        })
    }
}

impl Rows {
    /// Reads what a matrix is made of, unless it is there.
    async fn hold(&self, number: usize) -> Result<Rc<Held>> {
        let kept = self.held.borrow().as_ref().filter(|held| held.0 == number).map(|held| Rc::clone(&held.1));
        if let Some(kept) = kept {
            return Ok(kept);
        }
        // Another matrix's memory goes first.
        self.held.replace(None);
        let matrix = &self.matrices[number];
        if let Some(groups) = &matrix.groups {
            let of_inputs = self.words(groups).await?;
            if of_inputs.iter().zip(0u64..).any(|(&group, input)| u64::from(group) != input / matrix.group_len) {
                return Err(Error::file(
                    format!("tensor {}", shown(&groups.name)),
                    "inputs in groups that are no runs (act-order)",
                )
                .expected(format!("groups of {} inputs, one after the other", matrix.group_len))
                .advice("Take another quantization of the model, or it as a GGUF."));
            }
        }
        let is_by_rows = self.packing.order == Order::Rows;
        let codes = self.words(&matrix.codes).await?;
        let zeros = match &matrix.zeros {
            Some(zeros) => {
                let words = self.words(zeros).await?;
                self.zeros(matrix, zeros, &if is_by_rows { matrix.by_groups(&words) } else { words })?
            }
            None => Vec::new(),
        };
        let mut bytes = vec![0; matrix.scales.bytes as usize];
        self.data(&matrix.scales, &mut bytes).await?;
        let each = matrix.scale_type.bytes() as usize;
        let mut scales = vec![f16::ZERO; bytes.len() / each];
        for (scale, to) in bytes.chunks_exact(each).zip(&mut scales) {
            let mut half = [0; 2];
            let named = |error: Error| Error {
                thing: format!("tensor {}: {}", shown(&matrix.scales.name), error.thing),
                ..error
            };
            matrix.scale_type.write(scale, &mut half).map_err(named)?;
            *to = f16::from_le_bytes(half);
        }
        let scales = if is_by_rows { matrix.by_groups(&scales) } else { scales };
        let held = Rc::new(Held { codes, zeros, scales });
        self.held.replace(Some((number, Rc::clone(&held))));
        Ok(held)
    }

    /// A tensor's data, which lies inside its source.
    async fn data(&self, tensor: &TensorInfo, to: &mut [u8]) -> Result<()> {
        self.sources[tensor.source_index].read_at(tensor.offset, to).await
    }

    async fn words(&self, tensor: &TensorInfo) -> Result<Vec<u32>> {
        let mut words = vec![0u32; tensor.bytes as usize / 4];
        self.data(tensor, bytemuck::cast_slice_mut(&mut words)).await?;
        Ok(words)
    }

    /// The zeros of all groups and rows.
    fn zeros(&self, matrix: &Matrix, tensor: &TensorInfo, words: &[u32]) -> Result<Vec<u8>> {
        let Packing { order, bits, is_symmetric, .. } = self.packing;
        let (per_word, mask) = (self.packing.per_word() as usize, (1u32 << bits) - 1);
        let less_one = order == Order::Gptq { less_one: true };
        let stored = words
            .iter()
            .flat_map(|word| (0..per_word).map(move |row| word >> (bits as usize * self.packing.place(row)) & mask));
        if !is_symmetric {
            return Ok(stored.map(|zero| ((zero + u32::from(less_one)) & mask) as u8).collect());
        }
        // Of those that are stored less 1 not all files say so.
        let middle = 1u32 << (bits - 1);
        let is_middle = |zero: u32| zero == middle || matches!(order, Order::Gptq { .. }) && zero + 1 == middle;
        match stored.zip(0u64..).find(|(zero, _)| !is_middle(*zero)) {
            None => Ok(Vec::new()),
            Some((zero, at)) => Err(Error::file(
                format!("tensor {}", shown(&tensor.name)),
                format!("a zero of {zero} for row {}", at % matrix.n_rows),
            )
            .expected(format!("{middle} for all, as config.json says that they are symmetric"))
            .advice("The file is damaged, or its config.json belongs to another model.")),
        }
    }

    /// Bytes of a matrix from `begin` on, counted from its first.
    fn write_rows(&self, matrix: &Matrix, held: &Held, begin: u64, to: &mut [u8]) {
        let row_bytes = matrix.row_bytes;
        let end = begin + to.len() as u64;
        let rows = begin / row_bytes..end.div_ceil(row_bytes);
        if begin.is_multiple_of(row_bytes) && end.is_multiple_of(row_bytes) {
            return self.join(matrix, held, rows, to);
        }
        let first = rows.start * row_bytes;
        let mut whole = vec![0; ((rows.end - rows.start) * row_bytes) as usize];
        self.join(matrix, held, rows, &mut whole);
        to.copy_from_slice(&whole[(begin - first) as usize..(end - first) as usize]);
    }

    /// Whole rows. Column after column, as they lie: the words of neighbouring rows are neighbours.
    fn join(&self, matrix: &Matrix, held: &Held, rows: Range<u64>, to: &mut [u8]) {
        let (n_rows, n_words) = (matrix.n_rows as usize, matrix.n_in as usize / 8);
        let (row_bytes, size) = (matrix.row_bytes as usize, self.packing.format().block_bytes());
        for block in 0..matrix.n_in as usize / BLOCK_LEN {
            let group = (block * BLOCK_LEN / matrix.group_len as usize) * n_rows;
            for (row, to) in (rows.start as usize..).zip(to.chunks_exact_mut(row_bytes)) {
                let to = &mut to[block * size..][..size];
                let (head, codes) = to.split_at_mut(size - if self.packing.bits == 8 { 32 } else { 16 });
                head[..2].copy_from_slice(&held.scales[group + row].to_le_bytes());
                if let Some(zero) = head.get_mut(2..4) {
                    zero.copy_from_slice(&f16::from_f32(f32::from(held.zeros[group + row])).to_le_bytes());
                }
                match (self.packing.order, self.packing.bits) {
                    (Order::Gptq { .. }, 8) => {
                        let words = (0..8).map(|i| held.codes[(8 * block + i) * n_rows + row] ^ 0x8080_8080);
                        codes
                            .chunks_exact_mut(4)
                            .zip(words)
                            .for_each(|(to, word)| to.copy_from_slice(&word.to_le_bytes()));
                    }
                    (Order::Gptq { .. } | Order::Rows, _) => {
                        let place = |i: usize| match self.packing.order {
                            Order::Rows => row * n_words + 4 * block + i,
                            _ => (4 * block + i) * n_rows + row,
                        };
                        let [a, b, c, d] = [0, 1, 2, 3].map(|i| held.codes[place(i)]);
                        codes[..8].copy_from_slice(&pairs(a, c));
                        codes[8..].copy_from_slice(&pairs(b, d));
                    }
                    (Order::Awq, _) => {
                        let shift = 4 * self.packing.place(row);
                        let at = block * BLOCK_LEN * (n_rows / 8) + row / 8;
                        let code = |i: usize| (held.codes[at + i * (n_rows / 8)] >> shift & 15) as u8;
                        codes.iter_mut().enumerate().for_each(|(i, byte)| *byte = code(i) | code(i + 16) << 4);
                    }
                }
            }
        }
    }
}

/// The nibbles of two words, those of the first in the low halves of eight bytes, those of the second in the high ones.
fn pairs(low: u32, high: u32) -> [u8; 8] {
    std::array::from_fn(|i| (low >> (4 * i) & 15 | (high >> (4 * i) & 15) << 4) as u8)
}

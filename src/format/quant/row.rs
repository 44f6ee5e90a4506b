//! What a format is, in one value. Whatever the program does with a weight format it reads here, so that another one is a
//! file and a row in the table of [`super`].

use super::packed::Packed;
use crate::format::plane::Block;
use half::f16;

/// A format, as its file describes it.
pub(crate) struct Row {
    /// The name as llama.cpp prints it.
    pub(crate) name: &'static str,
    /// The type number in a GGUF file (`enum ggml_type`); `None` for what GGUF does not have.
    pub(crate) ggml_id: Option<u32>,
    /// Elements and bytes of a block of the file.
    pub(crate) block_len: usize,
    pub(crate) block_bytes: usize,
    /// `None` for a table of integers, which no weight matrix can be.
    pub(crate) weights: Option<Weights>,
}

/// What only weight formats have.
pub(crate) struct Weights {
    pub(crate) usual: Usual,
    pub(crate) blocks: Blocks,
    pub(crate) written: Written,
    pub(crate) planes: Planes,
    pub(crate) shader: Shader,
}

/// What is taken of a repository where no format is asked for.
pub(crate) struct Usual {
    /// The place of the format among all: the least is taken first.
    pub(crate) place: u8,
    /// What names of files call it, and mixtures that are mostly of it; the best liked first.
    pub(crate) names: &'static [&'static str],
}

impl Usual {
    /// For what is taken only where it is asked for.
    pub(super) const NEVER: Self = Self { place: u8::MAX, names: &[] };
}

/// How blocks become numbers.
pub(crate) enum Blocks {
    /// By functions of the format.
    Own {
        /// Whole blocks of a file to quants and scales.
        repack: fn(&[u8], &mut Vec<u32>, &mut Vec<u32>),
        /// A block of 32 by its number, from quants and scales: bit for bit as ggml's scalar code has it from the file.
        decode: fn(&[u32], &[u32], usize, &mut Block),
    },
    /// The bytes of the file in another order.
    Packed(&'static Packed),
}

/// How blocks are made.
pub(crate) enum Written {
    /// Of numbers.
    Encoded {
        /// Appends whole blocks.
        encode: fn(&[f32], &mut Vec<u8>),
        /// What llama.cpp calls a file whose matrices are mostly of the format (`enum llama_ftype`); `None` for what GGUF
        /// does not have.
        file_type: Option<u32>,
    },
    /// Not here: the encoders are searches that take hours. Random blocks are random bytes.
    Never {
        /// Writes the scale of a block, which makes any bytes finite numbers.
        set_scale: fn(&mut [u8], f16),
        /// The bits of a word of quants that may be random, so that its numbers are even around zero.
        mask: u32,
    },
}

/// How a matrix lies on the GPU ([`crate::format::repack`]), in words.
pub(crate) struct Planes {
    /// Blocks of 32 that share words of scales: 1, 2, 4 or 8.
    pub(crate) unit: u16,
    /// Quants of 8 blocks.
    pub(crate) quants: u16,
    /// Scales of a unit.
    pub(crate) scales: u16,
    /// The table that codes choose from, which scales begin with; empty for most.
    pub(crate) grid: &'static [u32],
}

/// The texts of `shaders/quant/` by which kernels read a matrix.
pub(crate) struct Shader {
    /// The decoder, after the parts that it shares with others: `Block`, `load_block` and `block_quad`; and the fourth
    /// contract, by which four invocations share a block: `load_quarter` and `quarter_quad`.
    pub(crate) decoder: &'static [&'static str],
    /// The second contract, by which kernels take scale and offset out of a block's sum: `block_codes` and `block_affine`.
    pub(crate) codes: BlockCodes,
    /// The third contract, codes as four signed bytes in a word for packed dot products: `block_word` and what goes with
    /// it. Empty where that takes more than a few bit operations.
    pub(crate) words: &'static [&'static str],
}

impl Shader {
    /// All of them.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &'static str> {
        let codes = match self.codes {
            BlockCodes::OfNibbles(text) | BlockCodes::OfE2m1(text) => Some(text),
            BlockCodes::None | BlockCodes::InDecoder => None,
        };
        self.decoder.iter().chain(self.words).copied().chain(codes)
    }
}

/// Where a format's codes stand, with their scale and offset.
#[derive(Clone, Copy)]
pub(crate) enum BlockCodes {
    /// It has none: scales change within a block, or a weight is its own code.
    None,
    /// In the decoder.
    InDecoder,
    /// In this text, over nibbles that are made numbers as the adapter likes it.
    OfNibbles(&'static str),
    /// In this text, over four-bit floats that are made numbers as the adapter likes it.
    OfE2m1(&'static str),
}

//! Files and the weight formats in them: sources of bytes, directories of tensors, block layouts, and the way
//! from file blocks to the GPU's planes. Knows no model and no GPU.
//!
//! Everything read here comes from outside and is taken as hostile: no count is believed before it is held
//! against the bytes that are there, nothing is allocated by an unchecked number, and no input panics.

pub mod directory;
pub mod gguf;
pub mod plane;
pub mod quant;
pub mod random;
pub mod repack;
pub mod safetensors;
pub mod source;
#[cfg(test)]
mod tests;

pub use directory::{Directory, Stored, TensorInfo};
pub use source::{Memory, Reading, Source};

/// A format that the program can use: eight for weights, two for tables of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(non_camel_case_types, reason = "the names are those that ggml prints, and what people type")]
pub enum Format {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of an F32.
    BF16,
    /// Blocks of 32: one f16 scale, 32 signed bytes.
    Q8_0,
    /// Blocks of 32: one f16 scale, 32 nibbles around 8.
    Q4_0,
    /// Blocks of 256: f16 scale and f16 minimum, 8 sub-blocks with 6-bit scale and minimum, nibbles.
    Q4_K,
    /// Blocks of 256: one f16 scale, 16 sub-blocks with signed 8-bit scales, 6-bit values around 32.
    Q6_K,
    /// Blocks of 32: one power-of-two scale, 32 four-bit floats (E2M1).
    MXFP4,
    /// Signed 32-bit integers: tables only.
    I32,
    /// Signed 64-bit integers: tables only, in safetensors.
    I64,
}

impl Format {
    /// The formats that a weight matrix may have.
    pub const WEIGHTS: [Self; 8] =
        [Self::F32, Self::F16, Self::BF16, Self::Q8_0, Self::Q4_0, Self::Q4_K, Self::Q6_K, Self::MXFP4];

    /// Every format, weights first.
    pub const ALL: [Self; 10] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4_K,
        Self::Q6_K,
        Self::MXFP4,
        Self::I32,
        Self::I64,
    ];

    /// The name as llama.cpp prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4_K => "Q4_K",
            Self::Q6_K => "Q6_K",
            Self::MXFP4 => "MXFP4",
            Self::I32 => "I32",
            Self::I64 => "I64",
        }
    }

    /// The format of that name, in any case of letters.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// The type number in a GGUF file (`enum ggml_type`).
    #[must_use]
    pub const fn ggml_id(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q8_0 => 8,
            Self::Q4_K => 12,
            Self::Q6_K => 14,
            Self::I32 => 26,
            Self::I64 => 27,
            Self::BF16 => 30,
            Self::MXFP4 => 39,
        }
    }

    /// The format with that type number in a GGUF file, if it is one of ours.
    #[must_use]
    pub fn from_ggml_id(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.ggml_id() == id)
    }

    /// How many elements of a row make one block of the file.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 | Self::I32 | Self::I64 => 1,
            Self::Q8_0 | Self::Q4_0 | Self::MXFP4 => 32,
            Self::Q4_K | Self::Q6_K => 256,
        }
    }

    /// How many bytes one block takes in the file.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::I64 => 8,
            Self::Q8_0 => 34,
            Self::Q4_0 => 18,
            Self::Q4_K => 144,
            Self::Q6_K => 210,
            Self::MXFP4 => 17,
        }
    }

    /// The bytes of a row of `n_in` elements in the file. `n_in` is a multiple of [`Self::block_len`] in every
    /// directory; otherwise the last block counts whole.
    #[must_use]
    pub const fn row_bytes(self, n_in: u64) -> u64 {
        n_in.div_ceil(self.block_len() as u64).saturating_mul(self.block_bytes() as u64)
    }

    /// Whether a weight matrix may have this format; the others are tables of integers.
    #[must_use]
    pub const fn is_weight(self) -> bool {
        !matches!(self, Self::I32 | Self::I64)
    }

    /// The names of the weight formats in one line, for messages.
    #[must_use]
    pub fn supported_names() -> String {
        Self::WEIGHTS.map(Self::name).join(", ")
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

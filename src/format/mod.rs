//! Files and the weight formats in them: sources of bytes, directories of tensors, block layouts, and the way
//! from file blocks to the GPU's planes. Knows no model and no GPU.
//!
//! Everything read here comes from outside and is taken as hostile: no count is believed before it is held
//! against the bytes that are there, nothing is allocated by an unchecked number, and no input panics.

pub mod directory;
pub mod gguf;
pub mod part_name;
pub mod plane;
pub mod quant;
pub mod random;
pub mod random_rows;
pub mod repack;
pub mod safetensors;
pub mod scaled;
pub mod shards;
pub mod source;
#[cfg(test)]
mod tests;

pub use directory::{Directory, Stored, TensorInfo};
pub use source::{Memory, Reading, Source};

/// A format that the program can use: those for weights, and two for tables of integers.
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
    /// Blocks of 32: f16 scale and f16 minimum, 32 nibbles.
    Q4_1,
    /// Blocks of 32: one f16 scale, 32 five-bit values around 16.
    Q5_0,
    /// Blocks of 32: f16 scale and f16 minimum, 32 five-bit values.
    Q5_1,
    /// Blocks of 256: f16 scale and f16 minimum, 16 sub-blocks with 4-bit scale and minimum, two-bit values.
    Q2_K,
    /// Blocks of 256: one f16 scale, 16 sub-blocks with 6-bit scales around 32, three-bit values around 4.
    Q3_K,
    /// Blocks of 256: f16 scale and f16 minimum, 8 sub-blocks with 6-bit scale and minimum, nibbles.
    Q4_K,
    /// Blocks of 256: as Q4_K with five-bit values.
    Q5_K,
    /// Blocks of 256: one f16 scale, 16 sub-blocks with signed 8-bit scales, 6-bit values around 32.
    Q6_K,
    /// Blocks of 32: one f16 scale, 32 nibbles that choose from an uneven table.
    IQ4_NL,
    /// Blocks of 256: one f16 scale, 8 sub-blocks with 6-bit scales around 32, nibbles as in IQ4_NL.
    IQ4_XS,
    /// Blocks of 32: one power-of-two scale, 32 four-bit floats (E2M1).
    MXFP4,
    /// Blocks of 64: four unsigned eight-bit floats (E4M3) as scales, 64 four-bit floats (E2M1).
    NVFP4,
    /// Blocks of 32: one power-of-two scale, 32 eight-bit floats (E4M3). Joined from two tensors of DeepSeek's
    /// safetensors; not in GGUF.
    FP8,
    /// Blocks of 32: one F32 scale, 32 eight-bit floats (E4M3); as [`Self::FP8`].
    FP8_F32,
    /// Signed 32-bit integers: tables only.
    I32,
    /// Signed 64-bit integers: tables only, in safetensors.
    I64,
}

impl Format {
    /// Every format, weights first.
    pub const ALL: [Self; 21] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q2_K,
        Self::Q3_K,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
        Self::IQ4_NL,
        Self::IQ4_XS,
        Self::MXFP4,
        Self::NVFP4,
        Self::FP8,
        Self::FP8_F32,
        Self::I32,
        Self::I64,
    ];

    /// The formats that a weight matrix may have.
    pub const WEIGHTS: [Self; 19] = *Self::ALL.first_chunk().expect("weights come first");

    /// The name as llama.cpp prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q2_K => "Q2_K",
            Self::Q3_K => "Q3_K",
            Self::Q4_K => "Q4_K",
            Self::Q5_K => "Q5_K",
            Self::Q6_K => "Q6_K",
            Self::IQ4_NL => "IQ4_NL",
            Self::IQ4_XS => "IQ4_XS",
            Self::MXFP4 => "MXFP4",
            Self::NVFP4 => "NVFP4",
            Self::FP8 => "FP8",
            Self::FP8_F32 => "FP8_F32",
            Self::I32 => "I32",
            Self::I64 => "I64",
        }
    }

    /// The format of that name, in any case of letters.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// The type number in a GGUF file (`enum ggml_type`); `None` for what GGUF does not have.
    #[must_use]
    pub const fn ggml_id(self) -> Option<u32> {
        let id = match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q5_0 => 6,
            Self::Q5_1 => 7,
            Self::Q8_0 => 8,
            Self::Q2_K => 10,
            Self::Q3_K => 11,
            Self::Q4_K => 12,
            Self::Q5_K => 13,
            Self::Q6_K => 14,
            Self::IQ4_NL => 20,
            Self::IQ4_XS => 23,
            Self::I32 => 26,
            Self::I64 => 27,
            Self::BF16 => 30,
            Self::MXFP4 => 39,
            Self::NVFP4 => 40,
            Self::FP8 | Self::FP8_F32 => return None,
        };
        Some(id)
    }

    /// The format with that type number in a GGUF file, if it is one of ours.
    #[must_use]
    pub fn from_ggml_id(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.ggml_id() == Some(id))
    }

    /// How many elements of a row make one block of the file.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 | Self::I32 | Self::I64 => 1,
            Self::Q8_0
            | Self::Q4_0
            | Self::Q4_1
            | Self::Q5_0
            | Self::Q5_1
            | Self::IQ4_NL
            | Self::MXFP4
            | Self::FP8
            | Self::FP8_F32 => 32,
            Self::NVFP4 => 64,
            Self::Q2_K | Self::Q3_K | Self::Q4_K | Self::Q5_K | Self::Q6_K | Self::IQ4_XS => 256,
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
            Self::Q4_0 | Self::IQ4_NL => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q2_K => 84,
            Self::Q3_K => 110,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
            Self::IQ4_XS => 136,
            Self::MXFP4 => 17,
            Self::NVFP4 | Self::FP8_F32 => 36,
            Self::FP8 => 33,
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

//! Files and the weight formats in them: sources of bytes, directories of tensors, block layouts, and the way
//! from file blocks to the GPU's planes, with the texts of the shaders that read those. Knows no model and no GPU.
//!
//! Everything read here comes from outside and is taken as hostile: no count is believed before it is held
//! against the bytes that are there, nothing is allocated by an unchecked number, and no input panics.

pub mod directory;
pub mod encoded;
pub mod gguf;
pub mod loose_json;
pub mod packing;
pub mod part_name;
pub mod plane;
pub mod quant;
pub mod random;
pub mod random_rows;
pub mod repack;
pub mod safetensors;
pub mod scaled;
pub mod shards;
pub mod sorted;
pub mod source;
#[cfg(test)]
mod tests;

pub use directory::{Directory, Stored, TensorInfo};
pub use quant::Format;
pub use source::{Memory, Reading, Source};

use quant::row::Written;

impl Format {
    /// The formats that a weight matrix may have.
    pub const WEIGHTS: [Self; Self::ALL.len() - 2] = *Self::ALL.first_chunk().expect("weights come first");

    /// The name as llama.cpp prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The type number in a GGUF file; `None` for what GGUF does not have.
    #[must_use]
    pub const fn ggml_id(self) -> Option<u32> {
        self.row().ggml_id
    }

    /// How many elements of a row make one block of the file.
    #[must_use]
    pub const fn block_len(self) -> usize {
        self.row().block_len
    }

    /// How many bytes one block takes in the file.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        self.row().block_bytes
    }

    /// The format of that name, in any case of letters.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// The format with that type number in a GGUF file, if it is one of ours.
    #[must_use]
    pub fn from_ggml_id(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.ggml_id() == Some(id))
    }

    /// Whether [`quant::encode_row`] writes it. The others come out of searches that take hours; they are read only.
    #[must_use]
    pub const fn can_encode(self) -> bool {
        match &self.row().weights {
            Some(weights) => matches!(weights.written, Written::Encoded { .. }),
            None => false,
        }
    }

    /// What llama.cpp calls a file whose matrices are mostly of this format (`enum llama_ftype`); `None` for what no GGUF
    /// is written of.
    #[must_use]
    pub const fn file_type(self) -> Option<u32> {
        match &self.row().weights {
            Some(weights) => match weights.written {
                Written::Encoded { file_type, .. } => file_type,
                Written::Never { .. } => None,
            },
            None => None,
        }
    }

    /// What names of files call this format where it is taken without being asked for, the best liked first; with its place
    /// among all formats, of which the least is taken first.
    #[must_use]
    pub fn usual_names(self) -> (u8, &'static [&'static str]) {
        self.row().weights.as_ref().map_or((u8::MAX, &[]), |weights| (weights.usual.place, weights.usual.names))
    }

    /// This format, or else Q8_0, if rows of `n_in` elements are whole blocks of it.
    #[must_use]
    pub fn or_finer_for(self, n_in: u64) -> Option<Self> {
        [self, Self::Q8_0].into_iter().find(|format| n_in.is_multiple_of(format.block_len() as u64))
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
        self.row().weights.is_some()
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

//! Files and the weight formats in them: sources of bytes, directories of tensors, block layouts, and the way
//! from file blocks to the GPU's planes. Knows no model and no GPU.
//!
//! Everything read here comes from outside and is taken as hostile: no count is believed before it is held
//! against the bytes that are there, nothing is allocated by an unchecked number, and no input panics.

pub mod directory;
pub mod gguf;
pub mod loose_json;
mod packed;
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
pub use source::{Memory, Reading, Source};

/// Makes [`Format`] of its rows: name, type number in GGUF (`enum ggml_type`), elements and bytes of a block.
macro_rules! formats {
    ($($(#[$doc:meta])* $name:ident = $id:expr, $block_len:literal, $block_bytes:literal;)*) => {
        /// A format that the program can use: those for weights, and two for tables of integers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(non_camel_case_types, reason = "the names are those that ggml prints, and what people type")]
        pub enum Format {
            $($(#[$doc])* $name,)*
        }

        impl Format {
            /// Every format, weights first.
            pub const ALL: [Self; [$(Self::$name),*].len()] = [$(Self::$name),*];

            /// The name as llama.cpp prints it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The type number in a GGUF file; `None` for what GGUF does not have.
            #[must_use]
            pub const fn ggml_id(self) -> Option<u32> {
                match self { $(Self::$name => $id,)* }
            }

            /// How many elements of a row make one block of the file.
            #[must_use]
            pub const fn block_len(self) -> usize {
                match self { $(Self::$name => $block_len,)* }
            }

            /// How many bytes one block takes in the file.
            #[must_use]
            pub const fn block_bytes(self) -> usize {
                match self { $(Self::$name => $block_bytes,)* }
            }
        }
    };
}

formats! {
    /// IEEE 754 single precision.
    F32 = Some(0), 1, 4;
    /// IEEE 754 half precision.
    F16 = Some(1), 1, 2;
    /// The upper half of an F32.
    BF16 = Some(30), 1, 2;
    /// Blocks of 32: one f16 scale, 32 signed bytes.
    Q8_0 = Some(8), 32, 34;
    /// Blocks of 32: one f16 scale, 32 nibbles around 8.
    Q4_0 = Some(2), 32, 18;
    /// Blocks of 32: f16 scale and f16 minimum, 32 nibbles.
    Q4_1 = Some(3), 32, 20;
    /// Blocks of 32: one f16 scale, 32 five-bit values around 16.
    Q5_0 = Some(6), 32, 22;
    /// Blocks of 32: f16 scale and f16 minimum, 32 five-bit values.
    Q5_1 = Some(7), 32, 24;
    /// Blocks of 256: f16 scale and f16 minimum, 16 sub-blocks with 4-bit scale and minimum, two-bit values.
    Q2_K = Some(10), 256, 84;
    /// Blocks of 256: one f16 scale, 16 sub-blocks with 6-bit scales around 32, three-bit values around 4.
    Q3_K = Some(11), 256, 110;
    /// Blocks of 256: f16 scale and f16 minimum, 8 sub-blocks with 6-bit scale and minimum, nibbles.
    Q4_K = Some(12), 256, 144;
    /// Blocks of 256: as Q4_K with five-bit values.
    Q5_K = Some(13), 256, 176;
    /// Blocks of 256: one f16 scale, 16 sub-blocks with signed 8-bit scales, 6-bit values around 32.
    Q6_K = Some(14), 256, 210;
    /// Blocks of 32: one f16 scale, 32 nibbles that choose from an uneven table.
    IQ4_NL = Some(20), 32, 18;
    /// Blocks of 256: one f16 scale, 8 sub-blocks with 6-bit scales around 32, nibbles as in IQ4_NL.
    IQ4_XS = Some(23), 256, 136;
    /// Blocks of 256: one f16 scale, 8 sub-blocks with 4-bit scales; 9 bits choose four numbers from a table, and a
    /// sign for each.
    IQ3_S = Some(21), 256, 110;
    /// Blocks of 256: as IQ3_S with a table of 256 entries, and signs of 7 bits for eight numbers.
    IQ3_XXS = Some(18), 256, 98;
    /// Blocks of 256: one f16 scale, 16 sub-blocks with 4-bit scales; 10 bits choose eight numbers from a table, and
    /// a sign for each.
    IQ2_S = Some(22), 256, 82;
    /// Blocks of 256: as IQ2_S with a table of 512 entries, and signs of 7 bits for eight numbers.
    IQ2_XS = Some(17), 256, 74;
    /// Blocks of 256: one f16 scale, 8 sub-blocks with 4-bit scales; a table of 256 entries, signs as in IQ2_XS.
    IQ2_XXS = Some(16), 256, 66;
    /// Blocks of 256: one f16 scale, 16 sub-blocks with 3-bit scales; 11 bits choose eight of -1, 0, 1 from a table,
    /// all moved by 1/8 up or down.
    IQ1_M = Some(29), 256, 56;
    /// Blocks of 256: as IQ1_M, with 8 sub-blocks.
    IQ1_S = Some(19), 256, 50;
    /// Blocks of 256: one f16 scale, two bits for each of -1, 0, 1 (and 2).
    TQ2_0 = Some(35), 256, 66;
    /// Blocks of 256: one f16 scale, five of -1, 0, 1 in a byte.
    TQ1_0 = Some(34), 256, 54;
    /// Blocks of 32: one power-of-two scale, 32 four-bit floats (E2M1).
    MXFP4 = Some(39), 32, 17;
    /// Blocks of 64: four unsigned eight-bit floats (E4M3) as scales, 64 four-bit floats (E2M1).
    NVFP4 = Some(40), 64, 36;
    /// Blocks of 32: one power-of-two scale, 32 eight-bit floats (E4M3). Joined from two tensors of DeepSeek's
    /// safetensors; not in GGUF.
    FP8 = None, 32, 33;
    /// Blocks of 32: one F32 scale, 32 eight-bit floats (E4M3); as [`Self::FP8`].
    FP8_F32 = None, 32, 36;
    /// Signed 32-bit integers: tables only.
    I32 = Some(26), 1, 4;
    /// Signed 64-bit integers: tables only, in safetensors.
    I64 = Some(27), 1, 8;
}

impl Format {
    /// The formats that a weight matrix may have.
    pub const WEIGHTS: [Self; Self::ALL.len() - 2] = *Self::ALL.first_chunk().expect("weights come first");

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
        self.is_weight() && packed::of(self).is_none()
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

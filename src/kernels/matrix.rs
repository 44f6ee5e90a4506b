//! A weight matrix on the GPU: its format, its two planes, and the text that decodes it.

use crate::format::Format;
use crate::gpu::Slice;
use crate::gpu::kernel::Spec;

/// Consecutive rows of a weight matrix, in the planes of [`crate::format::repack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Format of the weights.
    pub format: Format,
    /// Rows held here.
    pub n_rows: u32,
    /// Weights in a row, a multiple of 4; padded with zeros to whole blocks of 32.
    pub n_in: u32,
    /// Number of the first row in the whole matrix.
    pub first_row: u32,
    /// Quants: `array<vec4<u32>>`.
    pub quants: Slice,
    /// Scales: `array<u32>`; the quants again where the format has none.
    pub scales: Slice,
}

const NIBBLES: &str = include_str!("../../shaders/quant/nibbles.wgsl");

impl Matrix {
    /// Blocks of 32 weights in a row.
    pub fn n_blocks(&self) -> u32 {
        self.n_in.div_ceil(32)
    }

    /// Bytes of all planes.
    pub fn bytes(&self) -> u64 {
        let scales = if self.scales == self.quants { 0 } else { self.scales.bytes };
        self.quants.bytes + scales
    }

    /// Adds the format's decoder to a variant.
    #[must_use]
    pub fn decode_with(&self, spec: Spec) -> Spec {
        let spec = spec.constant("FORMAT", self.format.ggml_id());
        let text = match self.format {
            Format::F32 => return spec.part(include_str!("../../shaders/quant/f32.wgsl")),
            Format::F16 => return spec.part(include_str!("../../shaders/quant/f16.wgsl")),
            Format::BF16 => return spec.part(include_str!("../../shaders/quant/bf16.wgsl")),
            Format::Q8_0 => return spec.part(include_str!("../../shaders/quant/q8_0.wgsl")),
            Format::Q4_0 => include_str!("../../shaders/quant/q4_0.wgsl"),
            Format::Q4_K => include_str!("../../shaders/quant/q4_k.wgsl"),
            Format::Q6_K => include_str!("../../shaders/quant/q6_k.wgsl"),
            Format::MXFP4 => include_str!("../../shaders/quant/mxfp4.wgsl"),
            Format::I32 | Format::I64 => unreachable!("a table of integers is no weight matrix"),
        };
        spec.part(NIBBLES).part(text)
    }
}

/// The format of a variant, for references.
pub(crate) fn format_of(call: &crate::gpu::Call<'_>) -> Format {
    Format::from_ggml_id(call.constant("FORMAT")).expect("a format that decode_with wrote")
}

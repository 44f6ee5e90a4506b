//! A weight matrix on the GPU: its format, its two planes, and the text that decodes it.

use crate::format::Format;
use crate::gpu::op::Spec;
use crate::gpu::{Caps, Config, Nibbles, Slice, Stage};

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

/// The text of a decoder, or of what several share.
macro_rules! quant {
    ($name:literal) => {
        shader_text!(concat!("../../shaders/quant/", $name, ".wgsl"))
    };
}

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
        let spec = spec.constant("FORMAT", self.format as u32);
        texts_of(self.format).iter().fold(spec, |spec, text| spec.part(text))
    }
}

/// The decoder of a format, after the parts that it shares with others.
pub(super) fn texts_of(format: Format) -> &'static [&'static str] {
    match format {
        Format::F32 => &[quant!("f32")],
        Format::F16 => &[quant!("f16")],
        Format::BF16 => &[quant!("bf16")],
        Format::Q8_0 => &[quant!("q8_0")],
        Format::Q4_0 => &[quant!("nibbles"), quant!("q4_0")],
        Format::Q4_1 => &[quant!("nibbles"), quant!("q4_1")],
        Format::Q5_0 => &[quant!("nibbles"), quant!("fifth_bits"), quant!("q5_0")],
        Format::Q5_1 => &[quant!("nibbles"), quant!("fifth_bits"), quant!("q5_1")],
        Format::Q2_K => &[quant!("two_bits"), quant!("q2_k")],
        Format::Q3_K => &[quant!("two_bits"), quant!("fifth_bits"), quant!("q3_k")],
        Format::Q4_K => &[quant!("nibbles"), quant!("scale_min"), quant!("q4_k")],
        Format::Q5_K => &[quant!("nibbles"), quant!("scale_min"), quant!("fifth_bits"), quant!("q5_k")],
        Format::Q6_K => &[quant!("nibbles"), quant!("two_bits"), quant!("q6_k")],
        Format::IQ4_NL => &[quant!("nibbles"), quant!("uneven"), quant!("iq4_nl")],
        Format::IQ4_XS => &[quant!("nibbles"), quant!("uneven"), quant!("iq4_xs")],
        Format::MXFP4 => &[quant!("nibbles"), quant!("e2m1"), quant!("mxfp4")],
        Format::NVFP4 => &[quant!("nibbles"), quant!("e2m1"), quant!("nvfp4")],
        Format::IQ3_S => &[quant!("grid"), quant!("iq3_s")],
        Format::IQ3_XXS => &[quant!("grid"), quant!("iq3_xxs")],
        Format::IQ2_S => &[quant!("grid"), quant!("iq2"), quant!("iq2_s")],
        Format::IQ2_XS => &[quant!("grid"), quant!("iq2"), quant!("iq2_xs")],
        Format::IQ2_XXS => &[quant!("grid"), quant!("iq2"), quant!("iq2_xxs")],
        Format::IQ1_M => &[quant!("grid"), quant!("iq1_m")],
        Format::IQ1_S => &[quant!("grid"), quant!("iq1_s")],
        Format::TQ2_0 => &[quant!("tq2_0")],
        Format::TQ1_0 => &[quant!("tq1_0")],
        Format::FP8 => &[quant!("e4m3"), quant!("fp8")],
        Format::FP8_F32 => &[quant!("e4m3"), quant!("fp8_f32")],
        Format::I32 | Format::I64 => unreachable!("a table of integers is no weight matrix"),
    }
}

/// Adds to a variant the codes of its format with their scale and offset: the second contract of weight formats, by which
/// kernels take both out of a block's sum; and how a block meets the activations.
pub(super) fn with_codes(spec: Spec, stage: &Stage, caps: &Caps, config: &Config) -> Spec {
    let (nibble_codes, e2m1_codes) = match config.nibbles {
        Nibbles::Convert => (
            shader_text!("../../shaders/lib/nibbles_convert.wgsl"),
            shader_text!("../../shaders/lib/e2m1_convert.wgsl"),
        ),
        Nibbles::Mantissa => {
            (shader_text!("../../shaders/lib/nibbles_mantissa.wgsl"), shader_text!("../../shaders/lib/e2m1_bits.wgsl"))
        }
    };
    let spec = spec.part(shader_text!("../../shaders/lib/block_dot.wgsl"));
    let spec = if config.shares_inputs(caps) {
        Spec { subgroups: true, ..spec.part(shader_text!("../../shaders/lib/inputs_shared.wgsl")) }
    } else {
        spec.part(shader_text!("../../shaders/lib/inputs_own.wgsl"))
    };
    match stage_format(stage) {
        Some(Format::Q4_0) => spec.part(nibble_codes).part(quant!("q4_0_codes")),
        Some(Format::Q4_1) => spec.part(nibble_codes).part(quant!("q4_1_codes")),
        Some(Format::Q4_K) => spec.part(nibble_codes).part(quant!("q4_k_codes")),
        Some(Format::MXFP4) => spec.part(e2m1_codes).part(quant!("mxfp4_codes")),
        // Theirs stand in the decoder.
        Some(
            Format::Q8_0
            | Format::Q5_0
            | Format::Q5_1
            | Format::Q5_K
            | Format::IQ4_NL
            | Format::IQ4_XS
            | Format::FP8
            | Format::FP8_F32
            | Format::IQ3_S
            | Format::IQ3_XXS
            | Format::IQ2_XXS
            | Format::IQ1_S
            | Format::TQ2_0
            | Format::TQ1_0,
        ) => spec,
        _ => spec.part(quant!("plain")),
    }
}

/// The codes of a format as four signed bytes in a word: the third contract of weight formats, by which kernels multiply by
/// packed dot products. `None` where that takes more than a few bit operations.
pub(super) fn words_of(format: Format) -> Option<&'static [&'static str]> {
    Some(match format {
        Format::Q8_0 => &[quant!("q8_0_words")],
        Format::Q4_0 => &[quant!("words"), quant!("q4_0_words")],
        Format::Q4_1 => &[quant!("words"), quant!("q4_1_words")],
        Format::Q5_0 => &[quant!("words"), quant!("q5_0_words")],
        Format::Q5_1 => &[quant!("words"), quant!("q5_1_words")],
        Format::Q2_K => &[quant!("words"), quant!("q2_k_words")],
        Format::Q3_K => &[quant!("words"), quant!("q3_k_words")],
        Format::Q4_K => &[quant!("words"), quant!("q4_k_words")],
        Format::Q5_K => &[quant!("words"), quant!("q5_k_words")],
        Format::Q6_K => &[quant!("words"), quant!("q6_k_words")],
        Format::MXFP4 => &[quant!("words"), quant!("mxfp4_words")],
        Format::NVFP4 => &[quant!("words"), quant!("nvfp4_words")],
        Format::TQ2_0 => &[quant!("tq2_0_words")],
        _ => return None,
    })
}

/// The format of a stage's weights.
pub(super) fn stage_format(stage: &Stage) -> Option<Format> {
    stage.spec.value_of("FORMAT").and_then(|format| Format::ALL.get(format as usize)).copied()
}

/// The format of a variant, for references.
pub(crate) fn format_of(call: &crate::gpu::Call<'_>) -> Format {
    Format::ALL[call.constant("FORMAT") as usize]
}

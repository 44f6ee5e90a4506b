//! A weight matrix on the GPU: its format, its two planes, and the text that decodes it.

use crate::format::quant::row::{BlockCodes, Shader};
use crate::format::{Format, repack};
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

    /// The first `n` rows, or all where there are no more.
    #[must_use]
    pub fn first_rows(self, n: u32) -> Self {
        if n >= self.n_rows {
            return self;
        }
        let (rows, n_in) = (u64::from(n), u64::from(self.n_in));
        let cut =
            |slice: Slice, words: u64| Slice { bytes: (words * 4).next_multiple_of(16).min(slice.bytes), ..slice };
        let quants = cut(self.quants, repack::quant_words(self.format, rows, n_in));
        let has_scales = self.scales != self.quants;
        let scales = if has_scales { cut(self.scales, repack::scale_words(self.format, rows, n_in)) } else { quants };
        Self { n_rows: n, quants, scales, ..self }
    }

    /// Adds the format's decoder to a variant.
    #[must_use]
    pub fn decode_with(&self, spec: Spec) -> Spec {
        let spec = spec.constant("FORMAT", self.format as u32);
        shader_of(self.format).decoder.iter().fold(spec, |spec, text| spec.part(text))
    }
}

/// The texts by which kernels read matrices of a format.
pub(super) fn shader_of(format: Format) -> &'static Shader {
    &format.row().weights.as_ref().expect("a table of integers is no weight matrix").shader
}

/// The decoder alone, for formats without codes.
pub(super) const PLAIN: &str = shader_text!("../../shaders/quant/plain.wgsl");

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
    match stage_format(stage).map_or(BlockCodes::None, |format| shader_of(format).codes) {
        BlockCodes::None => spec.part(PLAIN),
        BlockCodes::InDecoder => spec,
        BlockCodes::OfNibbles(text) => spec.part(nibble_codes).part(text),
        BlockCodes::OfE2m1(text) => spec.part(e2m1_codes).part(text),
    }
}

/// The format of a stage's weights.
pub(super) fn stage_format(stage: &Stage) -> Option<Format> {
    stage.spec.value_of("FORMAT").and_then(|format| Format::ALL.get(format as usize)).copied()
}

/// The weight format among a problem's facts, as [`Problem`](crate::gpu::Problem) writes them.
#[must_use]
pub fn format_of_facts(facts: &[String]) -> Option<Format> {
    let number = facts.iter().find_map(|fact| fact.strip_prefix("FORMAT=")?.parse::<usize>().ok())?;
    Format::ALL.get(number).copied()
}

/// The format of a variant, for references.
pub(crate) fn format_of(call: &crate::gpu::Call<'_>) -> Format {
    Format::ALL[call.constant("FORMAT") as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn formats_have_every_text_of_the_folder() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/quant");
        let files = std::fs::read_dir(folder).expect("the folder").count();
        let texts = Format::WEIGHTS.into_iter().flat_map(|format| shader_of(format).texts());
        let texts: BTreeSet<&str> = texts.chain([PLAIN]).collect();
        assert_eq!(texts.len(), files, "a text is of no format");
    }
}

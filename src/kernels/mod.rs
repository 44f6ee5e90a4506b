//! One Rust file per file of `shaders/kernels/`: the layout of its parameters, how it is recorded, its scalar reference.
//! Knows weight formats and the GPU's recordings, and no model.

pub mod add;
pub mod add_norm;
pub mod attend;
pub mod attend_flash;
pub mod attend_merge;
pub mod attend_score;
mod attend_score_shared;
mod attend_shared;
pub mod cache;
pub mod case;
pub mod compress;
pub mod delta_chunks;
pub mod delta_conv;
pub mod delta_heads;
pub mod delta_rule;
mod delta_rule_chunked;
pub mod embed;
pub mod experts;
pub mod experts_bias;
pub mod experts_gate;
pub mod experts_group;
pub mod experts_in;
pub mod experts_in_fixed;
pub mod experts_in_shared;
pub mod experts_in_tiled;
pub mod experts_out;
pub mod experts_out_add;
pub mod experts_out_fixed;
pub mod experts_out_shared;
pub mod experts_out_tiled;
pub mod experts_spread;
pub mod fault;
pub mod fill;
pub mod finish_fixed;
pub mod fixed_blocks;
pub mod fixed_point;
pub mod gate_up_norm;
pub mod gate_up_swiglu;
pub mod gated_norm;
pub mod grouped_attend;
mod grouped_attend_decode;
mod grouped_attend_tiled;
pub mod grouped_heads;
pub mod grouped_heads_attend;
pub mod grouped_merge;
mod grouped_merge_shared;
pub mod head_collapse;
pub mod hyper_collapse;
pub mod hyper_expand;
pub mod hyper_expand_mix;
pub mod hyper_mix;
pub mod index_heads;
pub mod index_score;
mod index_score_shared;
pub mod index_top_k;
pub mod index_top_k_parts;
mod index_top_k_radix;
pub mod keys;
mod library;
pub mod linear;
pub mod linear_add;
pub mod linear_collapse;
pub mod linear_fixed;
pub mod linear_norm;
pub mod linear_shared;
pub mod linear_tiled;
pub mod linear_transposed;
pub mod matrix;
mod mix_sums;
pub mod mla_expand;
pub mod mla_latents;
pub mod mla_queries;
pub mod mla_rows;
pub mod norm_rows;
pub mod probe_copy;
pub mod probe_dispatch;
pub mod probe_dot;
pub mod probe_fma;
pub mod probe_read;
pub mod probe_reduce;
pub mod reach;
pub mod rope;
pub mod rotate;
pub mod route;
pub mod route_experts_in;
pub mod rows;
pub mod sample;
pub mod sample_parts;
pub mod selected_attend;
pub mod short_conv;
pub mod sigmoid_gate;
pub mod swiglu;
pub mod window_compress;
pub mod window_keys;

pub use matrix::{Matrix, format_of_facts};

use crate::format::Format;
use crate::gpu::Op;
use crate::gpu::fuse::Rule;
use crate::gpu::op::{Precision, Spec};
use cache::{CacheType, CacheTypes};
use sha2::{Digest, Sha256};

/// Every kernel.
pub const ALL: &[&Op] = &[
    &linear::OP,
    &embed::OP,
    &hyper_collapse::OP,
    &hyper_expand::OP,
    &head_collapse::OP,
    &window_keys::OP,
    &rotate::OP,
    &attend_score::OP,
    &attend::OP,
    &attend_flash::OP,
    &attend_merge::OP,
    &compress::OP,
    &index_score::OP,
    &index_top_k::OP,
    &index_top_k_parts::OP,
    &route::OP,
    &route_experts_in::OP,
    &route_experts_in::OF_BIAS,
    &route_experts_in::OF_TABLE,
    &experts_in::OP,
    &experts_out::OP,
    &experts_out_add::OP,
    &sample::OP,
    &sample_parts::OP,
    &experts_group::OP,
    &experts_in_tiled::OP,
    &experts_out_tiled::OP,
    &fault::OP,
    &probe_read::OP,
    &probe_copy::OP,
    &probe_fma::OP,
    &probe_dot::OP,
    &probe_dispatch::OP,
    &probe_reduce::OP,
    &fill::OP,
    &fixed_point::OP,
    &fixed_blocks::OP,
    &finish_fixed::NORM_ROWS,
    &finish_fixed::ADD_NORM,
    &finish_fixed::GROUPED_MERGE,
    &finish_fixed::SWIGLU,
    &add::OP,
    &norm_rows::OP,
    &add_norm::OP,
    &swiglu::OP,
    &grouped_heads::OP,
    &grouped_attend::OP,
    &grouped_heads_attend::OP,
    &grouped_merge::OP,
    &linear_transposed::OP,
    &mla_latents::OP,
    &mla_queries::OP,
    &mla_rows::OP,
    &mla_expand::OP,
    &experts_spread::OP,
    &experts_gate::OP,
    &experts_bias::OP,
    &hyper_mix::OP,
    &hyper_expand_mix::OP,
    &gate_up_swiglu::OP,
    &linear_add::OP,
    &linear_norm::OP,
    &linear_collapse::OP,
    &gate_up_norm::OP,
    &window_compress::OP,
    &delta_conv::OP,
    &delta_heads::OP,
    &delta_rule::OP,
    &delta_chunks::OP,
    &gated_norm::OP,
    &sigmoid_gate::OP,
    &short_conv::OP,
    &index_heads::OP,
    &selected_attend::OP,
];

/// The fusions, most of them for steps of a few tokens, in the order in which they are tried: what one takes or makes decides
/// what is left for the next.
pub static RULES: &[&Rule] = &[
    &hyper_expand_mix::RULE,
    &gate_up_swiglu::RULE,
    &window_compress::RULE,
    &index_score::OF_QUERIES,
    &attend_flash::RULE,
    &attend_flash::OF_QUERIES,
    &attend_flash::OF_SCORES,
    &grouped_heads_attend::RULE,
    &linear_add::RULE,
    &route_experts_in::RULE,
    &experts_out_add::RULE,
    &add_norm::RULE,
    &linear_collapse::RULE,
    &linear_norm::RULE,
    &gate_up_norm::RULE,
];

/// What the words of a kernel's output are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// f32.
    Floats,
    /// Two f16, the first in the lower bits.
    F16,
    /// Integers, or words of several kinds as in the step: they are equal or wrong.
    Integers,
}

/// What a dispatch writes to one of its kernel's bindings.
pub fn words_written(kernel: &Op, spec: &Spec, binding: &str) -> Words {
    let integers: &[&str] = match kernel.name {
        "experts_group" => &["lists", "counts"],
        "route" | "route_experts_in" | "route_experts_in_of_bias" | "route_experts_in_of_table" => &["experts"],
        "index_top_k" => &["selected"],
        "index_top_k_parts" => &["parts"],
        "mla_rows" => &["seen"],
        "sample" => &["step", "tokens"],
        "sample_parts" => &["left"],
        "fault" => &["values"],
        "fill" => &["words"],
        "fixed_point"
        | "fixed_blocks"
        | "norm_rows_fixed"
        | "add_norm_fixed"
        | "grouped_merge_fixed"
        | "swiglu_fixed" => &["fixed"],
        "probe_copy" => &["copied"],
        "probe_dispatch" => &["counters"],
        "probe_dot" => &["y"],
        "probe_read" => &["sums"],
        "probe_reduce" => &["counts"],
        "grouped_heads" | "grouped_heads_attend" | "mla_expand" | "mla_latents" if f16_written(spec, binding) => {
            return Words::F16;
        }
        _ => &[],
    };
    if integers.contains(&binding) { Words::Integers } else { Words::Floats }
}

/// Whether a variant of this name rounds activations to 8 bits.
#[must_use]
pub fn quantizes(variant: &str) -> bool {
    let mut variants = ALL.iter().flat_map(|kernel| kernel.variants);
    variants.any(|of| of.name == variant && matches!(of.precision, Precision::Quantized(_)))
}

/// Where attention's stats begin in what a dispatch writes to one of its kernel's bindings, in words: of each run of keys its
/// greatest score, and the sum of its weights. None where it writes none there.
#[must_use]
pub fn stats_begin(spec: &Spec, binding: &str) -> Option<usize> {
    match binding {
        "stats" => Some(0),
        "runs" => Some(2 * spec.value_of(grouped_heads_attend::STATS_AT)? as usize),
        _ => None,
    }
}

/// Whether a kernel's reference can compute a [`Sample`](crate::gpu::Sample) of its results. Such a kernel never reads what
/// it writes.
#[must_use]
pub fn can_sample(kernel: &Op) -> bool {
    let others = [
        "attend",
        "attend_flash",
        "attend_score",
        "gated_norm",
        "grouped_attend",
        "hyper_expand",
        "index_score",
        "linear_transposed",
        "mla_expand",
        "selected_attend",
        "swiglu",
    ];
    rows::has_matrix(kernel) || others.contains(&kernel.name)
}

/// Whether a kernel that fills a cache writes f16 to one of its bindings.
fn f16_written(spec: &Spec, binding: &str) -> bool {
    let types = CacheTypes::of(spec);
    match binding {
        "keys" => types.keys == CacheType::F16,
        "values" => types.values == CacheType::F16,
        _ => false,
    }
}

/// The SHA-256 of all that a kernel's text can be made of, in hexadecimal digits: what was measured with other texts is
/// not true of these.
#[must_use]
pub fn checksum() -> String {
    let mut hash = Sha256::new();
    for variant in ALL.iter().flat_map(|kernel| kernel.variants) {
        hash.update(variant.name);
        hash.update(variant.source);
    }
    library::TEXTS.iter().for_each(|text| hash.update(text));
    for format in Format::WEIGHTS {
        // Problems know formats by their numbers.
        hash.update(format!("{format} {}", format as u32));
        matrix::shader_of(format).texts().for_each(|text| hash.update(text));
    }
    hash.update(matrix::PLAIN);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) const STEP: &str = shader_text!("../../shaders/lib/step.wgsl");

/// How products read x and write y; each text says which of these it asks for.
const INPUT_PLAIN: &str = shader_text!("../../shaders/lib/input_plain.wgsl");
const INPUT_NORMED: &str = shader_text!("../../shaders/lib/input_normed.wgsl");
const INPUT_COLLAPSED: &str = shader_text!("../../shaders/lib/input_collapsed.wgsl");
const OUTPUT_PLAIN: &str = shader_text!("../../shaders/lib/output_plain.wgsl");
const OUTPUT_ADDED: &str = shader_text!("../../shaders/lib/output_added.wgsl");

/// What becomes of a row that was written, beside that: nothing.
const FINISH_PLAIN: &str = shader_text!("../../shaders/lib/finish_plain.wgsl");

/// `Σ a·b` in f32: sixteen sums of every sixteenth product, of which a compiler makes vectors, and then those.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let n = a.len().min(b.len());
    let ((a, a_rest), (b, b_rest)) = (a[..n].as_chunks::<16>(), b[..n].as_chunks::<16>());
    let mut sums = [0.0; 16];
    for (a, b) in a.iter().zip(b) {
        for i in 0..16 {
            sums[i] += a[i] * b[i];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// Residual streams of the hyper-connections.
pub(crate) const N_STREAMS: u32 = 4;

/// Mean of the squares, in f32.
pub(crate) fn mean_square(values: &[f32]) -> f32 {
    dot(values, values) / values.len() as f32
}

/// `x / sqrt(mean(x²) + eps) · weight`.
pub(crate) fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let factor = 1.0 / (mean_square(x) + eps).sqrt();
    x.iter().zip(weight).map(|(x, weight)| x * factor * weight).collect()
}

/// The logistic function.
pub(crate) fn sigmoid(v: f32) -> f32 {
    1.0 / (1.0 + (-v).exp())
}

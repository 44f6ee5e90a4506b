//! `index_top_k_radix` and `index_top_k_tournament`: `index_top_k` by digits of 8 bits, on GPUs; of many scores those that are the greatest
//! of their part come first.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Spec;
use crate::gpu::{Caps, Config, Recording, Slice, Stage, Variant};

use super::STEP;
use super::index_top_k::{FLOAT_ORDER, Params};
use super::index_top_k_parts::{self, MOST_TOP, PART, record_index_top_k_parts};

/// How a workgroup of [`DIGITS`] finds the greatest.
pub(super) const TOP_K: &str = shader_text!("../../shaders/lib/top_k_digits.wgsl");
/// Its invocations.
pub(super) const DIGITS: u32 = 256;
/// Copies of its counts: what they take of workgroup memory, 8 KiB, every adapter has.
pub(super) const COPIES: u32 = 8;

/// From so many scores on parts are thought to pay: they take one more dispatch.
const MANY_SCORES: u32 = 4 * PART;
/// Up to so many tokens there is room for parts.
const MOST_TOKENS: u32 = 8;

/// A variant of `index_top_k`, which goes over all scores 34 times, twice of them in a run for each lane; here five times, and neighbours
/// read neighbours.
pub(super) const VARIANT: Variant = Variant {
    waits: true,
    ..Variant::only(
        "index_top_k_radix",
        shader_text!("../../shaders/kernels/index_top_k_radix.wgsl"),
        &[STEP, FLOAT_ORDER, TOP_K],
        Way {
            lower: |stage, _, _| {
                (Spec::default().constant("PART", 0).constant("COPIES", COPIES), n_tokens(stage)).into()
            },
            space: |_| Vec::new(),
        },
    )
};

/// The same in two rounds. One workgroup alone would go over the 262,144 entries of a million tokens in 1,152 turns of its loops; each of
/// 32 goes over its part in 36, and one over what they leave in 72.
pub(super) const TOURNAMENT: Variant = Variant {
    name: "index_top_k_tournament",
    entry: "index_top_k_radix",
    allows: |stage| {
        let p: Params = stage.params();
        p.n_entries > PART && p.top_k <= MOST_TOP && p.max_tokens <= MOST_TOKENS
    },
    pays: |stage| stage.params::<Params>().n_entries >= MANY_SCORES,
    way: Way { lower: lower_parts, space: |_| Vec::new() },
    ..VARIANT
};

fn n_tokens(stage: &Stage) -> u64 {
    stage.params::<Params>().max_tokens.into()
}

fn lower_parts(stage: &Stage, _: &Caps, _: &Config) -> Lowered {
    let parts = Slice::scratch(0, index_top_k_parts::bytes(&stage.params()));
    let mut bindings = stage.bindings.clone();
    let scores = std::mem::replace(&mut bindings[1], parts);
    let mut helpers = Recording::default();
    record_index_top_k_parts(&mut helpers, [bindings[0], scores, parts], &stage.params());
    Lowered {
        spec: Spec::default().constant("PART", PART).constant("COPIES", COPIES),
        n_workgroups: n_tokens(stage),
        bindings: Some(bindings),
        scratch: vec![parts.bytes],
        before: helpers.stages,
        ..Lowered::default()
    }
}

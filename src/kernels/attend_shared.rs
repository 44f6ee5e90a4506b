//! `attend_shared` and `attend_decode`: `attend` on a GPU, in which the weights of a key are made once. With few tokens a head's keys are
//! cut into runs, whose results `attend_merge` puts together.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Spec;
use crate::gpu::space::{Change, Space};
use crate::gpu::{Caps, Config, Recording, Slice, Stage, Variant};

use super::STEP;
use super::attend::{Params, TURN_BACK};
use super::attend_merge::{self, record_attend_merge};
use super::keys::KEYS;
use super::rope::ROPE;

/// Heads of a workgroup: their sums are kept in registers.
const TILE_HEADS: u32 = 8;
/// Invocations of a workgroup at least and at most.
const INVOCATIONS: [u32; 3] = [64, 128, 256];
/// Vectors of 4 that an invocation takes at most.
const MOST_QUADS: u32 = 4;
/// Keys whose weights are made at once.
const BLOCK: u32 = 64;
/// The same in a run, which has whole ones, and runs of a head at most.
const RUN_BLOCK: u32 = 32;
const MOST_RUNS: u32 = 32;
/// From so many tokens on a workgroup takes all keys: with fewer, these would be too few to fill a GPU.
const MANY_TOKENS: u32 = 16;
/// Up to so many tokens, and from so many keys on, runs are thought to pay: they take one more dispatch.
const FEW_TOKENS: u32 = 4;
const MANY_KEYS: u32 = 256;
/// Up to so many tokens there is room for runs: of V4-Flash each token has 4 MB.
const MOST_TOKENS: u32 = 8;

/// A variant of `attend`.
pub(super) const VARIANT: Variant = Variant {
    waits: true,
    allows,
    pays: |stage| stage.params::<Params>().max_tokens >= MANY_TOKENS,
    ..Variant::only(
        "attend_shared",
        shader_text!("../../shaders/kernels/attend_shared.wgsl"),
        &[STEP, KEYS, ROPE, TURN_BACK],
        Way { lower: |stage, _, config| (spec(stage, config, 1, BLOCK), n_workgroups(stage, 1)).into(), space },
    )
};

/// Flash decoding. A token of V4 sees 640 keys and more: where one invocation goes over all of them for a vector of 4, a GPU waits.
pub(super) const DECODE: Variant = Variant {
    name: "attend_decode",
    entry: "attend_shared",
    allows: |stage| allows(stage) && stage.params::<Params>().max_tokens <= MOST_TOKENS,
    pays: |stage| {
        let p: Params = stage.params();
        p.max_tokens <= FEW_TOKENS && n_keys(&p) >= MANY_KEYS
    },
    way: Way { lower: lower_runs, space },
    ..VARIANT
};

fn allows(stage: &Stage) -> bool {
    stage.params::<Params>().n_quads <= INVOCATIONS[0] * MOST_QUADS
}

fn space(_: &Caps) -> Space {
    vec![INVOCATIONS.map(Change::VectorLanes).into()]
}

fn spec(stage: &Stage, config: &Config, n_runs: u32, block: u32) -> Spec {
    let workgroup = config.vector_lanes.clamp(INVOCATIONS[0], INVOCATIONS[2]);
    Spec::default()
        .constant("WORKGROUP", workgroup)
        .constant("HEADS", TILE_HEADS)
        .constant("QUADS", stage.params::<Params>().n_quads.div_ceil(workgroup))
        .constant("RUNS", n_runs)
        .constant("BLOCK", block)
}

fn n_workgroups(stage: &Stage, n_runs: u32) -> u64 {
    let p: Params = stage.params();
    u64::from(p.max_tokens) * u64::from(p.n_heads.div_ceil(TILE_HEADS)) * u64::from(n_runs)
}

/// Keys of a token at most. Any layer's scores have the room that is told, so it may be more than this one's keys; runs without keys
/// stop at once.
fn n_keys(p: &Params) -> u32 {
    if p.top_k > 0 { p.window_len + p.top_k } else { p.scores_stride }
}

fn lower_runs(stage: &Stage, _: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    // Two at least, so that the text leaves runs.
    let n_runs = n_keys(&p).div_ceil(RUN_BLOCK).clamp(2, MOST_RUNS);
    let merge = attend_merge::Params {
        n_heads: p.n_heads,
        n_quads: p.n_quads,
        n_runs,
        rope_pairs: p.rope_pairs,
        max_tokens: p.max_tokens,
    };
    let runs = Slice::scratch(0, merge.bytes());
    let mut bindings = stage.bindings.clone();
    let (step, rope) = (bindings[0], bindings[5]);
    let out = std::mem::replace(&mut bindings[6], runs);
    let mut helpers = Recording::default();
    record_attend_merge(&mut helpers, [step, runs, rope, out], &merge);
    Lowered {
        spec: spec(stage, config, n_runs, RUN_BLOCK),
        n_workgroups: n_workgroups(stage, n_runs),
        bindings: Some(bindings),
        scratch: vec![runs.bytes],
        after: helpers.stages,
        ..Lowered::default()
    }
}

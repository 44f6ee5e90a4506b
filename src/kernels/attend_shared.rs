//! `attend_shared` and `attend_decode`: `attend` on a GPU, in which the weights of a key are made once. With few tokens a head's keys are
//! cut into runs, whose results `attend_merge` puts together.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Spec;
use crate::gpu::space::{Change, Space};
use crate::gpu::{Caps, Config, Recording, Slice, Stage, Variant};

use super::STEP;
use super::attend::{Params, TURN_QUAD};
use super::attend_merge::{self, record_attend_merge};
use super::keys::{ENTRIES_GIVEN, KEY_PLACES, KEYS};
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
pub(super) const RUN_BLOCK: u32 = 32;
const MOST_RUNS: u32 = 32;
/// From so many tokens on a workgroup takes all keys: with fewer, these would be too few to fill a GPU.
const MANY_TOKENS: u32 = 16;
/// Up to so many tokens, and from so many keys on, runs are thought to pay: they take one more dispatch.
pub(super) const FEW_TOKENS: u32 = 4;
pub(super) const MANY_KEYS: u32 = 256;
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
        &[STEP, KEYS, ENTRIES_GIVEN, KEY_PLACES, ROPE, TURN_QUAD],
        Way { lower: |stage, _, config| lowered(stage, config, 1, BLOCK).into(), space },
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
    allows_quads(stage.params::<Params>().n_quads)
}

/// Whether a head is narrow enough for a workgroup.
pub(super) fn allows_quads(n_quads: u32) -> bool {
    n_quads <= INVOCATIONS[0] * MOST_QUADS
}

pub(super) fn space(_: &Caps) -> Space {
    vec![INVOCATIONS.map(Change::VectorLanes).into()]
}

/// A text for so many heads of so many vectors of 4 and runs of keys in blocks, and its workgroups for a token.
pub(super) fn spec([n_heads, n_quads]: [u32; 2], config: &Config, n_runs: u32, block: u32) -> (Spec, u64) {
    let workgroup = config.vector_lanes.clamp(INVOCATIONS[0], INVOCATIONS[2]);
    let spec = Spec::default()
        .constant("WORKGROUP", workgroup)
        .constant("HEADS", TILE_HEADS)
        .constant("QUADS", n_quads.div_ceil(workgroup))
        .constant("RUNS", n_runs)
        .constant("BLOCK", block);
    (spec, u64::from(n_heads.div_ceil(TILE_HEADS)) * u64::from(n_runs))
}

/// Runs for so many keys. Two at least, so that the text leaves runs.
pub(super) fn n_runs(n_keys: u32) -> u32 {
    n_keys.div_ceil(RUN_BLOCK).clamp(2, MOST_RUNS)
}

fn lowered(stage: &Stage, config: &Config, n_runs: u32, block: u32) -> (Spec, u64) {
    let p: Params = stage.params();
    let (spec, per_token) = spec([p.n_heads, p.n_quads], config, n_runs, block);
    (spec, u64::from(p.max_tokens) * per_token)
}

/// Keys of a token at most. Any layer's scores have the room that is told, so it may be more than this one's keys; runs without keys
/// stop at once.
fn n_keys(p: &Params) -> u32 {
    if p.top_k > 0 { p.window_len + p.top_k } else { p.scores_stride }
}

fn lower_runs(stage: &Stage, _: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let n_runs = n_runs(n_keys(&p));
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
    let (spec, n_workgroups) = lowered(stage, config, n_runs, RUN_BLOCK);
    Lowered {
        spec,
        n_workgroups,
        bindings: Some(bindings),
        scratch: vec![runs.bytes],
        after: helpers.stages,
        ..Lowered::default()
    }
}

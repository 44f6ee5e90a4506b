//! `delta_rule_chunked`: `delta_rule` for many tokens, by products of matrices. It has barriers, but few for what is done
//! between them, and it neither reads nor scales the state for every token: so it is the choice of programs on the CPU too.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Spec;
use crate::gpu::space::Change;
use crate::gpu::{Caps, Config, Recording, Slice, Stage, Variant};

use super::STEP;
use super::delta_chunks::{self, record_delta_chunks};
use super::delta_rule::Params;

/// Tokens of a chunk, and invocations of a workgroup: each takes 4 tokens by 4 of 16 columns.
const CHUNKS: [u32; 3] = [16, 32, 64];
const COLUMNS: u32 = 16;
/// Elements of a key at most: 16 columns of the state, and of the longest chunk, then fill the 16 KiB of workgroup memory that
/// every adapter has.
const MOST_KEY_DIM: u32 = 128;
/// Vectors of 4 of queries in workgroup memory, and as many of keys.
const TURNED: u32 = 128;
/// Bytes that every adapter binds.
const MOST_SCRATCH: u64 = 128 << 20;
/// From so many tokens on it is thought to pay: with fewer, most of a chunk is idle.
const MIN_TOKENS: u32 = 32;

/// A variant of `delta_rule`.
pub(super) const VARIANT: Variant = Variant {
    allows,
    pays: |stage| stage.params::<Params>().max_tokens >= MIN_TOKENS,
    ..Variant::only(
        "delta_rule_chunked",
        shader_text!("../../shaders/kernels/delta_rule_chunked.wgsl"),
        &[STEP],
        Way { lower, space: |_| vec![CHUNKS.map(Change::VectorLanes).into()] },
    )
};

/// Heads are read in vectors of 4.
fn allows(stage: &Stage) -> bool {
    let p: Params = stage.params();
    let key_dim = key_dim(stage);
    key_dim.is_multiple_of(4)
        && key_dim <= MOST_KEY_DIM
        && p.value_dim.is_multiple_of(4)
        && CHUNKS.iter().all(|chunk| delta_chunks::bytes(&p, *chunk) <= MOST_SCRATCH)
}

fn key_dim(stage: &Stage) -> u32 {
    stage.spec.value_of("KEY_DIM").unwrap_or(u32::MAX)
}

/// What was chosen. Without a choice a GPU has the most invocations side by side; a program on the CPU has fewer products of
/// tokens by tokens.
fn chunk(caps: &Caps, config: &Config) -> u32 {
    let guess = if caps.is_software { CHUNKS[1] } else { CHUNKS[2] };
    CHUNKS.into_iter().find(|chunk| *chunk == config.vector_lanes).unwrap_or(guess)
}

fn lower(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let chunk = chunk(caps, config);
    let chunks = Slice::scratch(0, delta_chunks::bytes(&p, chunk));
    let mut bindings = stage.bindings.clone();
    let gates = std::mem::replace(&mut bindings[2], chunks);
    let mut helpers = Recording::default();
    record_delta_chunks(&mut helpers, [bindings[0], bindings[1], gates, chunks], &p, [key_dim(stage), chunk]);
    Lowered {
        spec: Spec::default()
            .constant("WORKGROUP", chunk)
            .constant("CHUNK", chunk)
            .constant("COLUMNS", COLUMNS)
            .constant("SLICE", TURNED / chunk),
        n_workgroups: u64::from(p.n_value_heads) * u64::from(p.value_dim.div_ceil(COLUMNS)),
        bindings: Some(bindings),
        scratch: vec![chunks.bytes],
        before: helpers.stages,
        ..Lowered::default()
    }
}

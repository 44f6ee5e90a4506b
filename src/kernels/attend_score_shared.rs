//! `attend_score_shared`: `attend_score` by tiles of heads and keys in workgroup memory, on GPUs.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Spec;
use crate::gpu::{Caps, Config, Stage, Variant};

use super::STEP;
use super::attend_score::Params;
use super::keys::{ENTRIES_GIVEN, KEYS};

/// Heads and keys of a tile: its vectors fit the 16 KiB of workgroup memory that every adapter has.
const TILE_HEADS: u32 = 16;
const TILE_KEYS: u32 = 32;
/// Scores of an invocation: 4 heads by 2 keys.
const EACH: u32 = 8;
/// From so many keys of tokens on it is thought to pay: with fewer, tiles would be too few to fill a GPU.
const MANY_SCORES: u32 = 512;

/// A variant of `attend_score`, whose groups of lanes each read a key and a head for one score: that took 36 of 283 ms of a
/// prompt of 256 on an H100.
pub(super) const VARIANT: Variant = Variant {
    waits: true,
    pays: |stage| stage.params::<Params>().n_scores.saturating_mul(stage.params::<Params>().max_tokens) >= MANY_SCORES,
    ..Variant::only(
        "attend_score_shared",
        shader_text!("../../shaders/kernels/attend_score_shared.wgsl"),
        &[STEP, KEYS, ENTRIES_GIVEN],
        Way { lower, space: |_| Vec::new() },
    )
};

fn lower(stage: &Stage, _: &Caps, _: &Config) -> Lowered {
    let p: Params = stage.params();
    let n_tiles = u64::from(p.n_scores.div_ceil(TILE_KEYS)) * u64::from(p.n_heads.div_ceil(TILE_HEADS));
    let workgroup = TILE_HEADS * TILE_KEYS / EACH;
    let spec =
        Spec::default().constant("WORKGROUP", workgroup).constant("HEADS", TILE_HEADS).constant("KEYS", TILE_KEYS);
    (spec, u64::from(p.max_tokens) * n_tiles).into()
}

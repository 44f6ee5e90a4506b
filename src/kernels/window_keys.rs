//! `window_keys`: the normalised, rotated key (and value) of each token, in its layer's window.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;
use super::rope::{self, ROPE};
use super::{STEP, rms_norm};

crate::params! {
    /// Parameters of `window_keys`; the WGSL says what each is.
    pub struct Params {
        /// Elements from row to row of the projections.
        pub projection_stride: u32,
        /// Rows of the projections, a ring over positions.
        pub projection_ring: u32,
        /// First element of the key in a row.
        pub key_at: u32,
        /// Width of the key.
        pub key_dim: u32,
        /// Pairs that turn, the last of the key.
        pub rope_pairs: u32,
        /// Rows of the window, a ring over positions.
        pub window_ring: u32,
        /// Added to the mean square.
        pub eps: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// What one group of lanes does.
pub(super) const ROW: &str = shader_text!("../../shaders/lib/window_row.wgsl");

/// The kernel.
pub static OP: Op = Op {
    name: "window_keys",
    variants: &[Variant::only(
        "window_keys",
        shader_text!("../../shaders/kernels/window_keys.wgsl"),
        &[STEP, ROPE, ROW],
        lower::VECTOR,
    )],
    bindings: &[
        ("step", Access::Read),
        ("rope", Access::Read),
        ("projections", Access::Read),
        ("kv_norm", Access::Read),
        ("window", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Where the keys are read and written.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Projections `[projection_ring, projection_stride]`, f32; a token's row is its position modulo the ring.
    pub projections: Slice,
    /// Elements from row to row of the projections.
    pub projection_stride: u32,
    /// Rows of the projections.
    pub projection_ring: u32,
    /// First element of the key in a row.
    pub key_at: u32,
    /// Width of the key, even.
    pub key_dim: u32,
    /// Norm weights `[key_dim]`, f32.
    pub kv_norm: Slice,
    /// Rotation table of [`rope::table`].
    pub rope: Slice,
    /// Pairs that turn.
    pub rope_pairs: u32,
    /// Output `[window_ring, key_dim]`, f32; a token's row is its position modulo the ring.
    pub window: Slice,
    /// Rows of the window.
    pub window_ring: u32,
    /// Added to the mean square.
    pub eps: f32,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Appends the stage `kv`.
///
/// # Panics
/// When the width is odd, or a ring holds fewer rows than a step has tokens: shapes are checked before they come here.
pub fn record_window_keys(recording: &mut Recording, flow: &Flow) {
    assert!(flow.key_dim.is_multiple_of(2) && 2 * flow.rope_pairs <= flow.key_dim, "window_keys: whole pairs");
    assert!(flow.max_tokens <= flow.projection_ring.min(flow.window_ring), "window_keys: a step fits its rings");
    let params = Params {
        projection_stride: flow.projection_stride,
        projection_ring: flow.projection_ring,
        key_at: flow.key_at,
        key_dim: flow.key_dim,
        rope_pairs: flow.rope_pairs,
        window_ring: flow.window_ring,
        eps: flow.eps,
        max_tokens: flow.max_tokens,
    };
    let bindings = [flow.step, flow.rope, flow.projections, flow.kv_norm, flow.window];
    let (tokens, width) = (u64::from(flow.max_tokens), u64::from(flow.key_dim));
    let cost = Cost { bytes: 4 * width * (2 * tokens + 1), ops: 4 * width * tokens };
    recording.push("kv", &OP, Spec::default(), tokens, &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let table: &[[f32; 2]] = call.input(1);
    let (projections, kv_norm): (&[f32], &[f32]) = (call.input(2), call.input(3));
    let [window] = call.outputs::<f32, 1>();
    for token in 0..step.n_tokens.min(p.max_tokens) {
        let position = step.position + token;
        let row = &projections[(position % p.projection_ring * p.projection_stride) as usize..];
        let mut kv = rms_norm(&row[p.key_at as usize..][..p.key_dim as usize], kv_norm, p.eps);
        rope::rotate_head(&mut kv, table, p.rope_pairs, position, 1.0);
        window[(position % p.window_ring * p.key_dim) as usize..][..kv.len()].copy_from_slice(&kv);
    }
}

fn cases() -> Vec<Case> {
    // Rings that wrap inside the step, a position past the table's fine level, and widths that are no multiple of the lanes.
    vec![case(44, 8, 3, 3, 254), case(8, 4, 4, 2, 6), case(128, 32, 1, 1, 0)]
}

fn case(key_dim: u32, rope_pairs: u32, capacity: u32, n_tokens: u32, position: u32) -> Case {
    let name = format!("{key_dim} with {rope_pairs} pairs, {n_tokens} of {capacity} tokens at {position}");
    let mut case = CaseBuilder::new(name);
    let (projection_ring, window_ring) = (capacity + 2, capacity + 1);
    let projection_stride = key_dim + 5;
    let flow = Flow {
        step: case.step(position, n_tokens),
        projections: case.random_input("projections", (projection_ring * projection_stride) as usize),
        projection_stride,
        projection_ring,
        key_at: 3,
        key_dim,
        kv_norm: case.random_input("kv_norm", key_dim as usize),
        rope: case.input("rope", &rope::table(&rope::frequencies(rope_pairs, 10_000.0), 600)),
        rope_pairs,
        window: case.output("window", (window_ring * key_dim) as usize, 1e-4),
        window_ring,
        eps: 1e-6,
        max_tokens: capacity,
    };
    record_window_keys(&mut case.recording, &flow);
    case.finish()
}

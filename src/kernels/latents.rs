//! `latents`: the normalised query latent and the normalised, rotated key-value vector of each token.
//! Fuses the stages q_norm and kv; a test holds it to the two computed apart.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::STEP;
use super::case::CaseBuilder;
use super::rope::{self, ROPE};

crate::params! {
    /// Parameters of `latents`; the WGSL says what each is.
    pub struct Params {
        /// Elements from row to row of the projections.
        pub projection_stride: u32,
        /// Rows of the projections, a ring over positions.
        pub projection_ring: u32,
        /// First element of the query latent in a row.
        pub q_at: u32,
        /// Width of the query latent.
        pub n_q: u32,
        /// First element of the key-value latent in a row.
        pub kv_at: u32,
        /// Width of the key-value latent.
        pub n_kv: u32,
        /// Pairs that turn, the last of the key-value latent.
        pub rope_pairs: u32,
        /// Rows of the window, a ring over positions.
        pub window_ring: u32,
        /// Added to the mean square.
        pub eps: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "latents",
    variants: &[Variant::only(
        "latents",
        shader_text!("../../shaders/kernels/latents.wgsl"),
        &[STEP, ROPE],
        lower::VECTOR,
    )],
    bindings: &[
        ("step", Access::Read),
        ("projections", Access::Read),
        ("q_norm", Access::Read),
        ("kv_norm", Access::Read),
        ("rope", Access::Read),
        ("qr", Access::Write),
        ("window", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Where the latents are read and written.
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
    /// First element of the query latent in a row.
    pub q_at: u32,
    /// Width of the query latent, even.
    pub n_q: u32,
    /// First element of the key-value latent in a row.
    pub kv_at: u32,
    /// Width of the key-value latent, even.
    pub n_kv: u32,
    /// Norm weights `[n_q]`, f32.
    pub q_norm: Slice,
    /// Norm weights `[n_kv]`, f32.
    pub kv_norm: Slice,
    /// Rotation table of [`rope::table`].
    pub rope: Slice,
    /// Pairs that turn.
    pub rope_pairs: u32,
    /// Output `[max_tokens, n_q]`, f32.
    pub qr: Slice,
    /// Output `[window_ring, n_kv]`, f32; a token's row is its position modulo the ring.
    pub window: Slice,
    /// Rows of the window.
    pub window_ring: u32,
    /// Added to the mean square.
    pub eps: f32,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Appends the stage `latents`.
///
/// # Panics
/// When widths are odd, or a ring holds fewer rows than a step has tokens: shapes are checked before they come here.
pub fn record_latents(recording: &mut Recording, flow: &Flow) {
    assert!(
        flow.n_q.is_multiple_of(2) && flow.n_kv.is_multiple_of(2) && 2 * flow.rope_pairs <= flow.n_kv,
        "latents: whole pairs"
    );
    assert!(flow.max_tokens <= flow.projection_ring.min(flow.window_ring), "latents: a step fits its rings");
    let params = Params {
        projection_stride: flow.projection_stride,
        projection_ring: flow.projection_ring,
        q_at: flow.q_at,
        n_q: flow.n_q,
        kv_at: flow.kv_at,
        n_kv: flow.n_kv,
        rope_pairs: flow.rope_pairs,
        window_ring: flow.window_ring,
        eps: flow.eps,
        max_tokens: flow.max_tokens,
    };
    let bindings = [flow.step, flow.projections, flow.q_norm, flow.kv_norm, flow.rope, flow.qr, flow.window];
    let (tokens, width) = (u64::from(flow.max_tokens), u64::from(flow.n_q + flow.n_kv));
    let cost = Cost { bytes: 4 * width * (2 * tokens + 1), ops: 4 * width * tokens };
    recording.push("latents", &OP, Spec::default(), 2 * tokens, &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let projections: &[f32] = call.input(1);
    let (q_norm, kv_norm): (&[f32], &[f32]) = (call.input(2), call.input(3));
    let table: &[[f32; 2]] = call.input(4);
    let [qr, window] = call.outputs::<f32, 2>();
    for token in 0..step.n_tokens.min(p.max_tokens) {
        let position = step.position + token;
        let row = &projections[(position % p.projection_ring * p.projection_stride) as usize..];
        let q = rms_norm(&row[p.q_at as usize..][..p.n_q as usize], q_norm, p.eps);
        qr[(token * p.n_q) as usize..][..q.len()].copy_from_slice(&q);
        let mut kv = rms_norm(&row[p.kv_at as usize..][..p.n_kv as usize], kv_norm, p.eps);
        rope::rotate_head(&mut kv, table, p.rope_pairs, position, 1.0);
        window[(position % p.window_ring * p.n_kv) as usize..][..kv.len()].copy_from_slice(&kv);
    }
}

/// `x / sqrt(mean(x²) + eps) · weight`.
pub(super) fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let factor = 1.0 / (super::dot(x, x) / x.len() as f32 + eps).sqrt();
    x.iter().zip(weight).map(|(x, weight)| x * factor * weight).collect()
}

fn cases() -> Vec<Case> {
    // Rings that wrap inside the step, a position past the table's fine level, and widths that are no multiple of the lanes.
    vec![case([76, 44], 8, 3, 3, 254), case([4, 8], 4, 4, 2, 6), case([128, 64], 32, 1, 1, 0)]
}

fn case([n_q, n_kv]: [u32; 2], rope_pairs: u32, capacity: u32, n_tokens: u32, position: u32) -> Case {
    let name = format!("{n_q} and {n_kv} with {rope_pairs} pairs, {n_tokens} of {capacity} tokens at {position}");
    let mut case = CaseBuilder::new(name);
    let (projection_ring, window_ring) = (capacity + 2, capacity + 1);
    let projection_stride = n_q + n_kv + 5;
    let flow = Flow {
        step: case.step(position, n_tokens),
        projections: case.random_input("projections", (projection_ring * projection_stride) as usize),
        projection_stride,
        projection_ring,
        q_at: n_kv + 2,
        n_q,
        kv_at: 1,
        n_kv,
        q_norm: case.random_input("q_norm", n_q as usize),
        kv_norm: case.random_input("kv_norm", n_kv as usize),
        rope: case.input("rope", &rope::table(&rope::frequencies(rope_pairs, 10_000.0), 600)),
        rope_pairs,
        qr: case.output("qr", (capacity * n_q) as usize, 1e-4),
        window: case.output("window", (window_ring * n_kv) as usize, 1e-4),
        window_ring,
        eps: 1e-6,
        max_tokens: capacity,
    };
    record_latents(&mut case.recording, &flow);
    case.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_q_norm_and_kv_computed_apart() {
        let x = [3.0f32, -4.0, 1.0, 2.0, 2.0, 4.0];
        let params = Params {
            projection_stride: 6,
            projection_ring: 1,
            q_at: 0,
            n_q: 2,
            kv_at: 2,
            n_kv: 4,
            rope_pairs: 1,
            window_ring: 1,
            eps: 0.0,
            max_tokens: 1,
        };
        let table = rope::table(&[0.5], 8);
        let step = Step { position: 3, n_tokens: 1, ..bytemuck::Zeroable::zeroed() };
        let (mut qr, mut window) = ([0u32; 2], [0u32; 4]);
        let mut call = Call {
            params: bytemuck::bytes_of(&params),
            spec: &crate::gpu::op::Spec::default(),
            inputs: vec![
                bytemuck::cast_slice(std::slice::from_ref(&step)),
                bytemuck::cast_slice(&x),
                bytemuck::cast_slice(&[1.0f32, 2.0]),
                bytemuck::cast_slice(&[1.0f32, 1.0, 3.0, 1.0]),
                bytemuck::cast_slice(&table),
            ],
            outputs: vec![&mut qr, &mut window],
            sample: None,
        };
        reference(&mut call);
        let q_rms = 12.5f32.sqrt();
        let (kv_rms, (sin, cos)) = (2.5f32, 1.5f32.sin_cos());
        let expected_q = [3.0 / q_rms, -8.0 / q_rms];
        let (a, b) = (6.0 / kv_rms, 4.0 / kv_rms);
        let expected_kv = [1.0 / kv_rms, 2.0 / kv_rms, a * cos - b * sin, a * sin + b * cos];
        let near = |words: &[u32], expected: &[f32]| {
            words.iter().zip(expected).all(|(word, e)| (f32::from_bits(*word) - e).abs() < 1e-5)
        };
        assert!(near(&qr, &expected_q) && near(&window, &expected_kv), "{qr:?} {window:?}");
    }
}

//! `mla_latents`: the latents of multi-head latent attention normed, and the one part of a key that turns turned; what
//! is kept of a token goes to the cache.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::cache::{CacheType, CacheTypes};
use super::case::CaseBuilder;
use super::rope::{self, ROPE};
use super::{STEP, rms_norm};

crate::params! {
    /// Parameters of `mla_latents`; the WGSL says what each is.
    pub struct Params {
        /// Elements from token to token of the projections.
        pub stride: u32,
        /// First element of the query latent.
        pub q_at: u32,
        /// Its width; 0 where there is none.
        pub n_q: u32,
        /// First element of the key-value latent.
        pub kv_at: u32,
        /// Its width.
        pub n_kv: u32,
        /// Pairs that turn, after it.
        pub rope_pairs: u32,
        /// Factor of what turned.
        pub rope_scale: f32,
        /// Added to mean squares.
        pub eps: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "mla_latents",
    variants: &[Variant::only(
        "mla_latents",
        shader_text!("../../shaders/kernels/mla_latents.wgsl"),
        &[STEP, ROPE],
        lower::ROW,
    )],
    bindings: &[
        ("step", Access::Read),
        ("projections", Access::Read),
        ("q_norm", Access::Read),
        ("kv_norm", Access::Read),
        ("rope", Access::Read),
        ("qr", Access::Write),
        ("keys", Access::Write),
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
    /// Projections `[max_tokens, stride]`, f32.
    pub projections: Slice,
    /// Elements from token to token of the projections.
    pub stride: u32,
    /// First element of the query latent.
    pub q_at: u32,
    /// Width of the query latent, even; 0 where queries come from the stream.
    pub n_q: u32,
    /// First element of the key-value latent; what turns follows it.
    pub kv_at: u32,
    /// Width of the key-value latent, even.
    pub n_kv: u32,
    /// Norm weights `[n_q]`, f32; any slice where there is no query latent.
    pub q_norm: Slice,
    /// Norm weights `[n_kv]`, f32.
    pub kv_norm: Slice,
    /// Rotation table of [`rope::table`].
    pub rope: Slice,
    /// Pairs that turn.
    pub rope_pairs: u32,
    /// Factor of what turned; 1 but for some kinds of YaRN.
    pub rope_scale: f32,
    /// Output `[max_tokens, n_q]`, f32.
    pub qr: Slice,
    /// The cache `[n_positions, n_kv + 2 * rope_pairs]`.
    pub keys: Slice,
    /// How the cache keeps elements.
    pub cache: CacheType,
    /// Added to the mean square.
    pub eps: f32,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Appends the stage `latents`.
///
/// # Panics
/// When widths are odd: shapes are checked before they come here.
pub fn record_mla_latents(recording: &mut Recording, flow: &Flow) {
    assert!(flow.n_q.is_multiple_of(2) && flow.n_kv.is_multiple_of(2), "mla_latents: whole pairs");
    let params = Params {
        stride: flow.stride,
        q_at: flow.q_at,
        n_q: flow.n_q,
        kv_at: flow.kv_at,
        n_kv: flow.n_kv,
        rope_pairs: flow.rope_pairs,
        rope_scale: flow.rope_scale,
        eps: flow.eps,
        max_tokens: flow.max_tokens,
    };
    let bindings = [flow.step, flow.projections, flow.q_norm, flow.kv_norm, flow.rope, flow.qr, flow.keys];
    let (tokens, width) = (u64::from(flow.max_tokens), u64::from(flow.n_q + flow.n_kv + 2 * flow.rope_pairs));
    let cost = Cost { bytes: 4 * width * (2 * tokens + 1), ops: 4 * width * tokens };
    let n_jobs = tokens * if flow.n_q > 0 { 2 } else { 1 };
    let facts = CacheTypes::both(flow.cache).variant(Spec::default());
    recording.push("latents", &OP, facts, n_jobs, &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let cache = CacheTypes::of(call.spec).keys;
    let step = call.input::<Step>(0)[0];
    let projections: &[f32] = call.input(1);
    let (q_norm, kv_norm): (&[f32], &[f32]) = (call.input(2), call.input(3));
    let table: &[[f32; 2]] = call.input(4);
    let [qr, keys] = call.outputs::<u32, 2>();
    let (n_q, n_kv, n_turned) = (p.n_q as usize, p.n_kv as usize, 2 * p.rope_pairs as usize);
    for token in 0..step.n_tokens.min(p.max_tokens) {
        let position = step.position + token;
        let row = &projections[(token * p.stride) as usize..];
        let q = rms_norm(&row[p.q_at as usize..][..n_q], &q_norm[..n_q], p.eps);
        qr[token as usize * n_q..].iter_mut().zip(q).for_each(|(to, q)| *to = q.to_bits());
        let (latent, rest) = row[p.kv_at as usize..].split_at(n_kv);
        let mut entry = rms_norm(latent, kv_norm, p.eps);
        entry.extend(&rest[..n_turned]);
        rope::rotate_head(&mut entry, table, p.rope_pairs, position, 1.0);
        entry[n_kv..].iter_mut().for_each(|v| *v *= p.rope_scale);
        cache.store(keys, position as usize * (n_kv + n_turned), &entry);
    }
}

fn cases() -> Vec<Case> {
    vec![
        case([76, 44], 8, CacheType::F32, 3, 3, 254),
        case([0, 8], 4, CacheType::F32, 4, 2, 6),
        case([128, 64], 32, CacheType::F32, 1, 1, 0),
    ]
}

fn case([n_q, n_kv]: [u32; 2], rope_pairs: u32, cache: CacheType, capacity: u32, n_tokens: u32, at: u32) -> Case {
    let name = format!("{n_q} and {n_kv} with {rope_pairs} pairs, {cache:?}, {n_tokens} of {capacity} tokens at {at}");
    let mut case = CaseBuilder::new(name);
    let (stride, width) = (n_q + n_kv + 2 * rope_pairs + 5, n_kv + 2 * rope_pairs);
    let qr = match n_q {
        0 => case.input("qr", &[0u32]),
        n_q => case.output("qr", (capacity * n_q) as usize, 1e-4),
    };
    let flow = Flow {
        step: case.step(at, n_tokens),
        projections: case.random_input("projections", (capacity * stride) as usize),
        stride,
        q_at: n_kv + 2 * rope_pairs + 2,
        n_q,
        kv_at: 1,
        n_kv,
        q_norm: case.random_input("q_norm", n_q.max(1) as usize),
        kv_norm: case.random_input("kv_norm", n_kv as usize),
        rope: case.input("rope", &rope::table(&rope::frequencies(rope_pairs, 10_000.0), 600)),
        rope_pairs,
        rope_scale: 1.125,
        qr,
        keys: case.output("keys", cache.words(u64::from((at + capacity) * width)) as usize, 1e-4),
        cache,
        eps: 1e-6,
        max_tokens: capacity,
    };
    record_mla_latents(&mut case.recording, &flow);
    case.finish()
}

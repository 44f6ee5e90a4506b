//! `compress`: the compressed entries that end in a step, pooled from the projections of their tokens, normalised and
//! rotated. It makes both the entries that are attended to and the keys of the indexer.

use crate::gpu::lower::{self, Way};
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;
use super::rope::{self, ROPE};
use super::{STEP, rms_norm};

crate::params! {
    /// Parameters of `compress`; the WGSL says what each is.
    pub struct Params {
        /// Elements from row to row of the projections.
        pub projection_stride: u32,
        /// Rows of the projections, a ring over positions.
        pub projection_ring: u32,
        /// First element of kv in a row.
        pub kv_at: u32,
        /// First element of gate in a row.
        pub gate_at: u32,
        /// Tokens from entry to entry.
        pub ratio: u32,
        /// Tokens that an entry pools: `ratio`, or `2 · ratio` where entries overlap.
        pub n_slots: u32,
        /// Width of an entry.
        pub n: u32,
        /// Pairs that turn, the last of an entry.
        pub rope_pairs: u32,
        /// Added to the mean square.
        pub eps: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// What one group of lanes does.
pub(super) const ENTRY: &str = shader_text!("../../shaders/lib/compress_entry.wgsl");

/// The kernel.
pub static OP: Op = Op {
    name: "compress",
    variants: &[Variant::only(
        "compress",
        shader_text!("../../shaders/kernels/compress.wgsl"),
        &[STEP, ROPE, ENTRY],
        Way {
            lower: |stage, caps, config| {
                let p: Params = stage.params();
                lower::long_vector(stage, caps, config, turns(p.n, p.n_slots))
            },
            ..lower::VECTOR
        },
    )],
    bindings: &[
        ("step", Access::Read),
        ("projections", Access::Read),
        ("ape", Access::Read),
        ("norm", Access::Read),
        ("rope", Access::Read),
        ("entries", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Where a compressor reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Projections `[projection_ring, projection_stride]`, f32; a token's row is its position modulo the ring.
    pub projections: Slice,
    /// Elements from row to row of the projections.
    pub projection_stride: u32,
    /// Rows of the projections: at least those of an entry that ends with a step's first token, and of the step.
    pub projection_ring: u32,
    /// First element of kv in a row; kv is `n` wide, `2n` where entries overlap.
    pub kv_at: u32,
    /// First element of gate in a row, as wide as kv.
    pub gate_at: u32,
    /// Tokens from entry to entry.
    pub ratio: u32,
    /// Whether an entry also pools the block before its own.
    pub overlap: bool,
    /// Width of an entry, even.
    pub n: u32,
    /// Added to the gate by the token's place in its block: `[ratio, n]`, or `[ratio, 2n]` where entries overlap, f32.
    pub ape: Slice,
    /// Norm weights `[n]`, f32.
    pub norm: Slice,
    /// Rotation table of [`rope::table`].
    pub rope: Slice,
    /// Pairs that turn, the last of an entry.
    pub rope_pairs: u32,
    /// Output `[.., n]`, f32: entry w stands for the tokens from `ratio · w` on.
    pub entries: Slice,
    /// Added to the mean square.
    pub eps: f32,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Turns of loops of one invocation that makes an entry of `n` elements alone: for each pair it goes over the slots twice.
pub(super) fn turns(n: u32, n_slots: u32) -> u64 {
    u64::from(n / 2) * u64::from(2 * n_slots + 4)
}

/// Appends a stage of `compress`, named `compress` or `index_compress`.
///
/// # Panics
/// When there is no ratio, the width is odd, or the ring loses rows that an entry still needs: shapes are checked
/// before they come here.
pub fn record_compress(recording: &mut Recording, name: &'static str, flow: &Flow) {
    let n_slots = if flow.overlap { 2 * flow.ratio } else { flow.ratio };
    assert!(
        flow.ratio > 0 && flow.n.is_multiple_of(2) && 2 * flow.rope_pairs <= flow.n,
        "{name}: entries of whole pairs"
    );
    assert!(flow.projection_ring + 1 >= n_slots + flow.max_tokens, "{name}: the ring holds an entry and a step");
    let params = Params {
        projection_stride: flow.projection_stride,
        projection_ring: flow.projection_ring,
        kv_at: flow.kv_at,
        gate_at: flow.gate_at,
        ratio: flow.ratio,
        n_slots,
        n: flow.n,
        rope_pairs: flow.rope_pairs,
        eps: flow.eps,
        max_tokens: flow.max_tokens,
    };
    let bindings = [flow.step, flow.projections, flow.ape, flow.norm, flow.rope, flow.entries];
    let n_entries = u64::from(flow.max_tokens / flow.ratio + 1);
    let width = u64::from(flow.n);
    let (tokens, ratio) = (u64::from(flow.max_tokens), u64::from(flow.ratio));
    // An entry is made once in `ratio` tokens: this is the average over them.
    let pooled = tokens * u64::from(n_slots) * width / ratio;
    let cost = Cost { bytes: 12 * pooled + 4 * tokens * width / ratio, ops: 6 * pooled };
    recording.push(name, &OP, Spec::default(), n_entries, &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let (projections, ape, norm): (&[f32], &[f32], &[f32]) = (call.input(1), call.input(2), call.input(3));
    let table: &[[f32; 2]] = call.input(4);
    let [entries] = call.outputs::<f32, 1>();
    let n_tokens = step.n_tokens.min(p.max_tokens);
    let n = p.n as usize;
    let width = n * (p.n_slots / p.ratio) as usize;
    for last in (step.position..step.position + n_tokens).filter(|token| (token + 1).is_multiple_of(p.ratio)) {
        let w = last / p.ratio;
        // Each slot: where its token's row begins, its place in the block, and its first channel.
        let own = (0..p.ratio).map(|j| (w * p.ratio + j, j as usize, width - n));
        let before = (0..p.ratio).map(|j| ((w.max(1) - 1) * p.ratio + j, j as usize, 0));
        let n_before = if p.n_slots > p.ratio && w > 0 { p.ratio as usize } else { 0 };
        let slots: Vec<_> = before.take(n_before).chain(own).collect();
        let pool = |channel: usize| {
            let row = |token: u32| (token % p.projection_ring * p.projection_stride) as usize;
            let score = |&(token, j, first): &(u32, usize, usize)| {
                let c = first + channel;
                projections[row(token) + p.gate_at as usize + c] + ape[j * width + c]
            };
            let greatest = slots.iter().map(score).fold(-1e30, f32::max);
            let weight = |slot| (score(slot) - greatest).exp();
            let total: f32 = slots.iter().map(weight).sum();
            let kv =
                |&(token, _, first): &(u32, usize, usize)| projections[row(token) + p.kv_at as usize + first + channel];
            slots.iter().map(|slot| weight(slot) / total * kv(slot)).sum()
        };
        let pooled: Vec<f32> = (0..n).map(pool).collect();
        let mut entry = rms_norm(&pooled, norm, p.eps);
        rope::rotate_head(&mut entry, table, p.rope_pairs, w * p.ratio, 1.0);
        entries[w as usize * n..][..n].copy_from_slice(&entry);
    }
}

fn cases() -> Vec<Case> {
    vec![
        // Overlapping blocks over a ring that wraps: no block before, two entries, one that ends with its only token.
        case(4, true, 40, 8, [2, 7, 8]),
        case(4, true, 72, 32, [1027, 1, 1]),
        case(4, true, 8, 2, [5, 7, 9]),
        // Blocks apart.
        case(8, false, 12, 2, [0, 16, 17]),
        case(16, false, 64, 4, [527, 1, 1]),
        // V4's: more than llvmpipe lets one invocation go over (`Config::within_turns`).
        case(128, false, 512, 32, [127, 1, 1]),
    ]
}

/// `tokens` are position, n_tokens and capacity.
fn case(ratio: u32, overlap: bool, n: u32, rope_pairs: u32, tokens: [u32; 3]) -> Case {
    let name =
        format!("ratio {ratio}, overlap {overlap}, {n} wide, {rope_pairs} pairs, [position, tokens, of] {tokens:?}");
    let mut case = CaseBuilder::new(name);
    let [position, n_tokens, max_tokens] = tokens;
    let width = if overlap { 2 * n } else { n };
    let projection_ring = 2 * ratio + max_tokens;
    let projection_stride = 2 * width + 7;
    let n_entries = (position + n_tokens) / ratio + 1;
    // Gates that matter: a factor makes the softmax prefer some slots strongly.
    let n_projections = (projection_ring * projection_stride) as usize;
    let projections: Vec<f32> = case.random_values(n_projections).iter().map(|x| 4.0 * x).collect();
    let flow = Flow {
        step: case.step(position, n_tokens),
        projections: case.input("projections", &projections),
        projection_stride,
        projection_ring,
        kv_at: width + 3,
        gate_at: 1,
        ratio,
        overlap,
        n,
        ape: case.random_input("ape", (ratio * width) as usize),
        norm: case.random_input("norm", n as usize),
        rope: case.input("rope", &rope::table(&rope::frequencies(rope_pairs, 160_000.0), 1100)),
        rope_pairs,
        entries: case.output("entries", (n_entries * n) as usize, 1e-4),
        eps: 1e-6,
        max_tokens,
    };
    record_compress(&mut case.recording, "compress", &flow);
    case.finish()
}

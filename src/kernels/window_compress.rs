//! `window_compress`: tokens' keys made ready and, beside them, compressed entries. A fusion of `window_keys` and `compress`, which
//! have nothing to do with each other, for a few tokens.

use crate::gpu::fuse::Rule;
use crate::gpu::lower::{self, Way};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Stage, Variant};

use super::case::CaseBuilder;
use super::linear_tiled::MIN_TOKENS;
use super::rope::{self, ROPE};
use super::{STEP, compress, window_keys};

crate::params! {
    /// Parameters of `window_compress`: those of its parts.
    pub struct Params {
        /// Elements from row to row of the projections.
        pub projection_stride: u32,
        /// Rows of the projections, a ring over positions.
        pub projection_ring: u32,
        /// First element of the key in a row.
        pub key_at: u32,
        /// Width of the key.
        pub key_dim: u32,
        /// Rows of the window, a ring over positions.
        pub window_ring: u32,
        /// First element of an entry's kv in a row.
        pub kv_at: u32,
        /// First element of gate in a row.
        pub gate_at: u32,
        /// Tokens from entry to entry.
        pub ratio: u32,
        /// Tokens that an entry pools: `ratio`, or `2 · ratio` where entries overlap.
        pub n_slots: u32,
        /// Width of an entry.
        pub n: u32,
        /// Pairs that turn, the last of a head and of an entry.
        pub rope_pairs: u32,
        /// Added to mean squares.
        pub eps: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "window_compress",
    variants: &[Variant::only(
        "window_compress",
        shader_text!("../../shaders/kernels/window_compress.wgsl"),
        &[STEP, ROPE, window_keys::ROW, compress::ENTRY],
        Way {
            lower: |stage, caps, config| {
                let p: Params = stage.params();
                lower::long_vector(stage, caps, config, compress::turns(p.n, p.n_slots))
            },
            ..lower::VECTOR
        },
    )],
    bindings: &[
        ("step", Access::Read),
        ("rope", Access::Read),
        ("projections", Access::Read),
        ("ape", Access::Read),
        ("norm", Access::Read),
        ("kv_norm", Access::Read),
        ("entries", Access::Write),
        ("window", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases: || RULE.fused_cases(),
};

/// Takes keys and a compressor of one layer.
pub static RULE: Rule = Rule { parts: &["window_keys", "compress"], fuse, writers: &[], cases: part_cases };

fn fuse(parts: &[Stage]) -> Option<Stage> {
    let [keys, compress] = parts else { return None };
    let (k, c): (window_keys::Params, compress::Params) = (keys.params(), compress.params());
    let [step, rope, of_keys, kv_norm, window] = keys.bindings[..] else { return None };
    let [_, projections, ape, norm, same_rope, entries] = compress.bindings[..] else { return None };
    let p = Params {
        projection_stride: c.projection_stride,
        projection_ring: c.projection_ring,
        key_at: k.key_at,
        key_dim: k.key_dim,
        window_ring: k.window_ring,
        kv_at: c.kv_at,
        gate_at: c.gate_at,
        ratio: c.ratio,
        n_slots: c.n_slots,
        n: c.n,
        rope_pairs: k.rope_pairs,
        eps: k.eps,
        max_tokens: k.max_tokens,
    };
    let fits = (rope, of_keys) == (same_rope, projections)
        && bytemuck::bytes_of(&p.keys()) == keys.params
        && bytemuck::bytes_of(&p.compress()) == compress.params
        && p.max_tokens < MIN_TOKENS;
    fits.then(|| Stage {
        name: OP.name,
        op: &OP,
        params: bytemuck::bytes_of(&p).to_vec(),
        bindings: vec![step, rope, projections, ape, norm, kv_norm, entries, window],
        n_results: parts.iter().map(|part| part.n_results).sum(),
        cost: Cost {
            bytes: parts.iter().map(|part| part.cost.bytes).sum(),
            ops: parts.iter().map(|part| part.cost.ops).sum(),
        },
        ..keys.clone()
    })
}

impl Params {
    fn keys(&self) -> window_keys::Params {
        window_keys::Params {
            projection_stride: self.projection_stride,
            projection_ring: self.projection_ring,
            key_at: self.key_at,
            key_dim: self.key_dim,
            rope_pairs: self.rope_pairs,
            window_ring: self.window_ring,
            eps: self.eps,
            max_tokens: self.max_tokens,
        }
    }

    fn compress(&self) -> compress::Params {
        compress::Params {
            projection_stride: self.projection_stride,
            projection_ring: self.projection_ring,
            kv_at: self.kv_at,
            gate_at: self.gate_at,
            ratio: self.ratio,
            n_slots: self.n_slots,
            n: self.n,
            rope_pairs: self.rope_pairs,
            eps: self.eps,
            max_tokens: self.max_tokens,
        }
    }
}

/// Its parts' references, one after the other.
fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let [step, rope, projections, ape, norm, kv_norm] = call.inputs[..] else { unreachable!("six inputs") };
    let [entries, window] = &mut call.outputs[..] else { unreachable!("two outputs") };
    let spec = call.spec;
    (window_keys::OP.reference)(&mut Call {
        params: bytemuck::bytes_of(&p.keys()),
        spec,
        inputs: vec![step, rope, projections, kv_norm],
        outputs: vec![&mut **window],
        sample: None,
    });
    (compress::OP.reference)(&mut Call {
        params: bytemuck::bytes_of(&p.compress()),
        spec,
        inputs: vec![step, projections, ape, norm, rope],
        outputs: vec![&mut **entries],
        sample: None,
    });
}

fn part_cases() -> Vec<Case> {
    vec![
        // One entry that ends in the step, after tokens of another; an only token that ends one; many entries.
        case(16, [4, 40], [6, 3, 3]),
        case(72, [4, 72], [1027, 1, 1]),
        case(64, [8, 64], [15, 1, 1]),
        case(12, [2, 12], [0, 7, 7]),
    ]
}

/// `key_dim` is the width of a key, `n` of an entry; `tokens` are position, n_tokens and capacity.
fn case(key_dim: u32, [ratio, n]: [u32; 2], tokens: [u32; 3]) -> Case {
    let [position, n_tokens, max_tokens] = tokens;
    let mut case =
        CaseBuilder::new(format!("keys of {key_dim}, ratio {ratio}, {n} wide, [position, tokens, of] {tokens:?}"));
    let overlap = ratio == 4;
    let (step, rope_pairs) = (case.step(position, n_tokens), 4);
    let rope = case.input("rope", &rope::table(&rope::frequencies(rope_pairs, 10_000.0), 1100));
    let width = if overlap { 2 * n } else { n };
    let (projection_ring, projection_stride) = (2 * ratio + max_tokens, 2 * width + key_dim + 9);
    let projections = case.random_input("projections", (projection_ring * projection_stride) as usize);
    let (ape, norm) = (case.random_input("ape", (ratio * width) as usize), case.random_input("norm", n as usize));
    let n_entries = (position + n_tokens) / ratio + 1;
    let entries = case.output("entries", (n_entries * n) as usize, 1e-4);
    let window_ring = max_tokens + 1;
    let flow = window_keys::Flow {
        step,
        projections,
        projection_stride,
        projection_ring,
        key_at: 2 * width + 5,
        key_dim,
        kv_norm: case.random_input("kv_norm", key_dim as usize),
        rope,
        rope_pairs,
        window: case.output("window", (window_ring * key_dim) as usize, 1e-4),
        window_ring,
        eps: 1e-6,
        max_tokens,
    };
    window_keys::record_window_keys(&mut case.recording, &flow);
    let flow = compress::Flow {
        step,
        projections,
        projection_stride,
        projection_ring,
        kv_at: width + 3,
        gate_at: 1,
        ratio,
        overlap,
        n,
        ape,
        norm,
        rope,
        rope_pairs,
        entries,
        eps: 1e-6,
        max_tokens,
    };
    compress::record_compress(&mut case.recording, "compress", &flow);
    case.finish()
}

//! `rotate_compress`: queries made ready and, beside them, compressed entries. A fusion of `rotate` and `compress`, which
//! have nothing to do with each other, for a few tokens.

use crate::gpu::fuse::Rule;
use crate::gpu::lower::{self, Way};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Stage, Variant};

use super::case::CaseBuilder;
use super::linear_tiled::MIN_TOKENS;
use super::rope::{self, ROPE};
use super::{STEP, compress, rotate};

crate::params! {
    /// Parameters of `rotate_compress`: those of `rotate`, and those of `compress`.
    pub struct Params {
        /// Elements from token to token of the queries.
        pub stride: u32,
        /// Heads that are normalised and turned.
        pub n_heads: u32,
        /// Elements of such a head.
        pub head_dim: u32,
        /// Heads after them that are turned only.
        pub n_index_heads: u32,
        /// Elements of such a head.
        pub index_head_dim: u32,
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
    name: "rotate_compress",
    variants: &[Variant::only(
        "rotate_compress",
        shader_text!("../../shaders/kernels/rotate_compress.wgsl"),
        &[STEP, ROPE, rotate::HEAD, compress::ENTRY],
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
        ("queries", Access::Write),
        ("entries", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases: || RULE.fused_cases(),
};

/// Takes `rotate` and a compressor of the same layer.
pub static RULE: Rule = Rule { parts: &["rotate", "compress"], fuse, writers: &[], cases: part_cases };

fn fuse(parts: &[Stage]) -> Option<Stage> {
    let [rotate, compress] = parts else { return None };
    let (r, c): (rotate::Params, compress::Params) = (rotate.params(), compress.params());
    let [step, rope, queries] = rotate.bindings[..] else { return None };
    let [_, projections, ape, norm, same_rope, entries] = compress.bindings[..] else { return None };
    let p = Params {
        stride: r.stride,
        n_heads: r.n_heads,
        head_dim: r.head_dim,
        n_index_heads: r.n_index_heads,
        index_head_dim: r.index_head_dim,
        projection_stride: c.projection_stride,
        projection_ring: c.projection_ring,
        kv_at: c.kv_at,
        gate_at: c.gate_at,
        ratio: c.ratio,
        n_slots: c.n_slots,
        n: c.n,
        rope_pairs: r.rope_pairs,
        eps: r.eps,
        max_tokens: r.max_tokens,
    };
    let fits = rope == same_rope
        && queries.buffer != projections.buffer
        && bytemuck::bytes_of(&p.compress()) == compress.params
        && p.max_tokens < MIN_TOKENS;
    fits.then(|| Stage {
        name: OP.name,
        op: &OP,
        params: bytemuck::bytes_of(&p).to_vec(),
        bindings: vec![step, rope, projections, ape, norm, queries, entries],
        n_results: rotate.n_results + compress.n_results,
        cost: Cost { bytes: rotate.cost.bytes + compress.cost.bytes, ops: rotate.cost.ops + compress.cost.ops },
        ..rotate.clone()
    })
}

impl Params {
    fn rotate(&self) -> rotate::Params {
        rotate::Params {
            stride: self.stride,
            n_heads: self.n_heads,
            head_dim: self.head_dim,
            n_index_heads: self.n_index_heads,
            index_head_dim: self.index_head_dim,
            rope_pairs: self.rope_pairs,
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
    let [step, rope, projections, ape, norm] = call.inputs[..] else { unreachable!("five inputs") };
    let [queries, entries] = &mut call.outputs[..] else { unreachable!("two outputs") };
    let spec = call.spec;
    (rotate::OP.reference)(&mut Call {
        params: bytemuck::bytes_of(&p.rotate()),
        spec,
        inputs: vec![step, rope],
        outputs: vec![&mut **queries],
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
        case([3, 16, 5, 12], [4, 40], [6, 3, 3]),
        case([2, 72, 0, 0], [4, 72], [1027, 1, 1]),
        case([1, 64, 2, 64], [8, 64], [15, 1, 1]),
        case([4, 12, 0, 0], [2, 12], [0, 7, 7]),
    ]
}

/// `heads` are n_heads, head_dim, n_index_heads, index_head_dim; `tokens` are position, n_tokens and capacity.
fn case(heads: [u32; 4], [ratio, n]: [u32; 2], tokens: [u32; 3]) -> Case {
    let [n_heads, head_dim, n_index_heads, index_head_dim] = heads;
    let [position, n_tokens, max_tokens] = tokens;
    let mut case =
        CaseBuilder::new(format!("heads {heads:?}, ratio {ratio}, {n} wide, [position, tokens, of] {tokens:?}"));
    let overlap = ratio == 4;
    let (step, rope_pairs) = (case.step(position, n_tokens), 4);
    let rope = case.input("rope", &rope::table(&rope::frequencies(rope_pairs, 10_000.0), 1100));
    let stride = n_heads * head_dim + n_index_heads * index_head_dim + 2;
    let queries = case.random_input("queries", (max_tokens * stride) as usize);
    case.also_compare(queries, 1e-4);
    let width = if overlap { 2 * n } else { n };
    let (projection_ring, projection_stride) = (2 * ratio + max_tokens, 2 * width + 7);
    let projections = case.random_input("projections", (projection_ring * projection_stride) as usize);
    let (ape, norm) = (case.random_input("ape", (ratio * width) as usize), case.random_input("norm", n as usize));
    let n_entries = (position + n_tokens) / ratio + 1;
    let entries = case.output("entries", (n_entries * n) as usize, 1e-4);
    let flow = rotate::Flow {
        step,
        rope,
        rope_pairs,
        queries,
        stride,
        n_heads,
        head_dim,
        n_index_heads,
        index_head_dim,
        eps: 1e-6,
        max_tokens,
    };
    rotate::record_rotate(&mut case.recording, &flow);
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

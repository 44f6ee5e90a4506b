//! `grouped_heads`: bias, norm and rotation of the heads of grouped-query attention; keys and values go to the cache.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::cache::{CacheType, CacheTypes, KeyOrder};
use super::case::CaseBuilder;
use super::rope::{self, ROPE};
use super::{STEP, grouped_attend, mean_square};

crate::params! {
    /// Parameters of `grouped_heads`; the WGSL says what each is.
    pub struct Params {
        /// Query heads.
        pub n_heads: u32,
        /// Key heads, and as many value heads.
        pub n_kv_heads: u32,
        /// Elements of a head.
        pub head_dim: u32,
        /// Pairs that turn.
        pub rope_pairs: u32,
        /// 1 where the second of a pair stands `rope_pairs` after the first.
        pub halves: u32,
        /// 1 where there is a bias.
        pub has_bias: u32,
        /// 1 where there are norms.
        pub has_norm: u32,
        /// Positions in the cache.
        pub n_positions: u32,
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
    name: "grouped_heads",
    variants: &[Variant::only(
        "grouped_heads",
        shader_text!("../../shaders/kernels/grouped_heads.wgsl"),
        &[STEP, ROPE],
        lower::ROW,
    )],
    bindings: &[
        ("step", Access::Read),
        ("rope", Access::Read),
        ("affine", Access::Read),
        ("heads", Access::Read),
        ("queries", Access::Write),
        ("keys", Access::Write),
        ("values", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// The keys and values of a layer's past, and the heads that look at them.
#[derive(Clone, Copy, Debug)]
pub struct Cache {
    /// How they are kept.
    pub types: CacheTypes,
    /// `[n_kv_heads, n_positions, head_dim]`, or in blocks `[n_kv_heads, n_positions / KEY_BLOCK, head_dim / 4, KEY_BLOCK, 4]`;
    /// `[n_positions, head_dim]` where keys are values.
    pub keys: Slice,
    /// `[n_kv_heads, n_positions, head_dim]`
    pub values: Slice,
    /// Positions that fit, whole blocks of keys.
    pub n_positions: u32,
    /// Query heads: a multiple of `n_kv_heads`, each group of which shares a key head.
    pub n_heads: u32,
    /// Key heads, and as many value heads.
    pub n_kv_heads: u32,
    /// Elements of a query and a key head, a multiple of 4, and from row to row.
    pub head_dim: u32,
    /// Elements of a value, a multiple of 4: `head_dim`, but where a row is key and, at its begin, value.
    pub value_dim: u32,
}

impl Cache {
    /// What the cache asks of the texts of kernels.
    pub(super) fn facts(&self) -> Spec {
        self.types.variant(KeyOrder::spec(self.types.keys_together()))
    }

    /// The keys and then the values of the first `n` positions, head by head.
    pub fn held(&self, n: u32) -> impl Iterator<Item = Slice> {
        let Self { types, n_positions, n_kv_heads, head_dim, .. } = *self;
        // Where a row is key and value, it is there once.
        let values = (self.values != self.keys).then_some((self.values, types.values, 1));
        let keys = (self.keys, types.keys, types.keys_together());
        std::iter::once(keys).chain(values).flat_map(move |(all, of, together)| {
            let row_bytes = u64::from(head_dim) * of.bytes();
            (0..u64::from(n_kv_heads)).map(move |head| Slice {
                offset: all.offset + head * u64::from(n_positions) * row_bytes,
                bytes: u64::from(n.next_multiple_of(together).min(n_positions)) * row_bytes,
                ..all
            })
        })
    }

    /// Elements of a token's heads: queries, keys, values.
    #[must_use]
    pub fn heads_width(&self) -> u32 {
        (self.n_heads + 2 * self.n_kv_heads) * self.head_dim
    }

    /// Bytes that are read of a position.
    pub(super) fn position_bytes(&self) -> u64 {
        let rows = u64::from(self.n_kv_heads);
        let keys = rows * u64::from(self.head_dim) * self.types.keys.bytes();
        let values = rows * u64::from(self.value_dim) * self.types.values.bytes();
        if self.keys == self.values { keys } else { keys + values }
    }

    /// Checks what every stage needs.
    pub(super) fn check(&self) {
        let whole = self.head_dim.is_multiple_of(4) && self.value_dim.is_multiple_of(4);
        assert!(whole && self.value_dim <= self.head_dim, "grouped attention: heads are multiples of 4");
        let grouped = self.n_kv_heads > 0 && self.n_heads.is_multiple_of(self.n_kv_heads);
        assert!(grouped, "grouped attention: as many query heads to each key head");
        let in_blocks = self.n_positions.is_multiple_of(self.types.keys_together());
        assert!(
            in_blocks && (!self.types.in_blocks || self.keys != self.values),
            "grouped attention: positions are whole blocks of keys"
        );
    }
}

/// What `grouped_heads` reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Rotation table of [`rope::table`].
    pub rope: Slice,
    /// Pairs that turn, the first of every head; even.
    pub rope_pairs: u32,
    /// Whether the second of a pair stands `rope_pairs` after the first, not next to it.
    pub halves: bool,
    /// Factor of what turned; 1 but for YaRN.
    pub rope_scale: f32,
    /// Bias of every element, if `has_bias`; then, if `has_norm`, norms of queries and of keys, `[head_dim]` each.
    pub affine: Slice,
    /// Whether there is a bias.
    pub has_bias: bool,
    /// Whether there are norms.
    pub has_norm: bool,
    /// `[max_tokens, heads_width]`, f32.
    pub heads: Slice,
    /// Where queries go: `[max_tokens, n_heads * head_dim]`, f32.
    pub queries: Slice,
    /// Where keys and values go.
    pub cache: Cache,
    /// Added to mean squares.
    pub eps: f32,
    /// Tokens to compute at most.
    pub max_tokens: u32,
}

/// Appends the stage `heads`.
///
/// # Panics
/// When widths are no multiples of 4: shapes are checked before they come here.
pub fn record_grouped_heads(recording: &mut Recording, flow: &Flow) {
    let cache = &flow.cache;
    cache.check();
    let fits = flow.rope_pairs.is_multiple_of(2) && 2 * flow.rope_pairs <= cache.head_dim;
    assert!(fits, "grouped_heads: an even number of pairs within a head");
    let params = Params {
        n_heads: cache.n_heads,
        n_kv_heads: cache.n_kv_heads,
        head_dim: cache.head_dim,
        rope_pairs: flow.rope_pairs,
        halves: u32::from(flow.halves),
        has_bias: u32::from(flow.has_bias),
        has_norm: u32::from(flow.has_norm),
        n_positions: cache.n_positions,
        rope_scale: flow.rope_scale,
        eps: flow.eps,
        max_tokens: flow.max_tokens,
    };
    let (tokens, width) = (u64::from(flow.max_tokens), u64::from(cache.heads_width()));
    let cost = Cost { bytes: tokens * 8 * width, ops: tokens * 6 * width };
    let facts = cache.facts();
    let n_heads = tokens * u64::from(cache.n_heads + 2 * cache.n_kv_heads);
    let bindings = [flow.step, flow.rope, flow.affine, flow.heads, flow.queries, cache.keys, cache.values];
    recording.push("heads", &OP, facts, n_heads, &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (types, order) = (CacheTypes::of(call.spec), KeyOrder::of(call.spec));
    let step = call.input::<Step>(0)[0];
    let (table, affine): (&[[f32; 2]], &[f32]) = (call.input(1), call.input(2));
    let heads: &[f32] = call.input(3);
    let [queries, keys, values] = call.outputs::<u32, 3>();
    let queries: &mut [f32] = bytemuck::cast_slice_mut(queries);
    let (width, n_keys) = (p.head_dim as usize, p.n_kv_heads as usize);
    let n_all = p.n_heads as usize + 2 * n_keys;
    let norms = &affine[p.has_bias as usize * n_all * width..];
    for token in 0..step.n_tokens.min(p.max_tokens) as usize {
        let position = step.position as usize + token;
        for head in 0..n_all {
            let mut ready = heads[(token * n_all + head) * width..][..width].to_vec();
            if p.has_bias == 1 {
                ready.iter_mut().zip(&affine[head * width..]).for_each(|(v, bias)| *v += bias);
            }
            let (is_query, is_value) = (head < p.n_heads as usize, head >= p.n_heads as usize + n_keys);
            if !is_value {
                if p.has_norm == 1 {
                    let scale = 1.0 / (mean_square(&ready) + p.eps).sqrt();
                    let norm = &norms[if is_query { 0 } else { width }..];
                    ready.iter_mut().zip(norm).for_each(|(v, norm)| *v *= scale * norm);
                }
                turn(&mut ready, &p, table, position as u32);
            }
            let kv_head = (head.saturating_sub(p.n_heads as usize)) % n_keys;
            let first = kv_head * p.n_positions as usize;
            match (is_query, is_value) {
                (true, _) => queries[(token * p.n_heads as usize + head) * width..][..width].copy_from_slice(&ready),
                (_, true) => types.values.store(values, (first + position) * width, &ready),
                _ => order.store(types.keys, keys, first * (width / 4), position, &ready),
            }
        }
    }
}

/// Turns the first pairs of a head to a position.
fn turn(head: &mut [f32], p: &Params, table: &[[f32; 2]], position: u32) {
    for pair in 0..p.rope_pairs {
        let (i, n) = (pair as usize, p.rope_pairs as usize);
        let (a, b) = if p.halves == 1 { (i, i + n) } else { (2 * i, 2 * i + 1) };
        let turned = rope::rotate([head[a], head[b]], rope::turn(table, p.rope_pairs, position, pair));
        (head[a], head[b]) = (p.rope_scale * turned[0], p.rope_scale * turned[1]);
    }
}

fn cases() -> Vec<Case> {
    vec![
        case([4, 2, 12], 4, [true, true, true], [CacheType::F32; 2], 3, 2, 5),
        case([2, 1, 8], 4, [false, false, false], [CacheType::F16; 2], 1, 1, 9),
        case([4, 2, 64], 32, [true, false, true], [CacheType::F32; 2], 5, 5, 30),
        case([3, 3, 16], 8, [true, false, true], [CacheType::F16, CacheType::F32], 4, 4, 0),
        case([2, 1, 32], 6, [false, true, false], [CacheType::F32, CacheType::F16], 2, 2, 3),
    ]
}

/// `heads` are n_heads, n_kv_heads, head_dim; `has` are halves, bias, norm; then the types of keys and of values.
#[allow(clippy::too_many_arguments, reason = "the odd shapes are these numbers")]
fn case(
    heads: [u32; 3],
    rope_pairs: u32,
    has: [bool; 3],
    [keys, values]: [CacheType; 2],
    capacity: u32,
    n_tokens: u32,
    position: u32,
) -> Case {
    let [n_heads, n_kv_heads, head_dim] = heads;
    let [halves, has_bias, has_norm] = has;
    let name = format!(
        "heads {heads:?}, {rope_pairs} pairs, halves, bias, norm {has:?}, {keys:?} and {values:?}, {n_tokens} of {capacity} at {position}"
    );
    let mut case = CaseBuilder::new(name);
    let step = case.step(position, n_tokens);
    let n_positions = 64;
    // Both orders of keys.
    let types = CacheTypes { keys, values, in_blocks: capacity > 1 };
    // f16 lie two to a word, and may round either way: what attention makes of them is compared below.
    let mut room = |label, of: CacheType| {
        let words = of.words(u64::from(n_kv_heads * n_positions * head_dim)) as usize;
        match of {
            CacheType::F32 => case.output(label, words, 1e-4),
            CacheType::F16 => case.input(label, &vec![0u32; words]),
        }
    };
    let (keys, values) = (room("keys", types.keys), room("values", types.values));
    let cache = Cache { types, keys, values, n_positions, n_heads, n_kv_heads, head_dim, value_dim: head_dim };
    let width = cache.heads_width();
    let flow = Flow {
        step,
        rope: case.input("rope", &rope::table(&rope::frequencies(rope_pairs, 10_000.0), 64)),
        rope_pairs,
        halves,
        rope_scale: 1.125,
        affine: case.random_input("affine", (width + 2 * head_dim) as usize),
        has_bias,
        has_norm,
        heads: case.random_input("heads", (capacity * width) as usize),
        queries: case.output("queries", (capacity * n_heads * head_dim) as usize, 1e-4),
        cache,
        eps: 1e-6,
        max_tokens: capacity,
    };
    record_grouped_heads(&mut case.recording, &flow);
    if [types.keys, types.values] != [CacheType::F32; 2] {
        let n_results = (capacity * n_heads) as usize;
        let attention = grouped_attend::Flow {
            step,
            heads: flow.queries,
            heads_stride: n_heads * head_dim,
            cache,
            partial: case.input("partial", &vec![0u32; n_results * head_dim as usize]),
            stats: case.input("stats", &vec![0u32; n_results * 2]),
            out: case.output("out", n_results * head_dim as usize, 2e-3),
            window: None,
            sinks: None,
            scale: 1.0,
            max_tokens: capacity,
        };
        grouped_attend::record_grouped_attend(&mut case.recording, &attention);
    }
    case.finish()
}

//! `mla_expand`: keys and values of each head as attention reads them, from what was made of the latents of all positions and
//! the part of a key that turns.

use crate::gpu::lower;
use crate::gpu::op::Step;
use crate::gpu::recording::{Cost, KeyCost};
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::STEP;
use super::cache::{CacheType, CacheTypes, KEY_BLOCK, KeyOrder};
use super::case::CaseBuilder;
use super::grouped_attend::{self, record_grouped_attend};
use super::grouped_heads::Cache;

crate::params! {
    /// Parameters of `mla_expand`; the WGSL says what each is.
    pub struct Params {
        /// Heads.
        pub n_heads: u32,
        /// Vectors of 4 of a key that do not turn.
        pub nope_quads: u32,
        /// Vectors of 4 of a key that turn.
        pub turned_quads: u32,
        /// Vectors of 4 of a value.
        pub value_quads: u32,
        /// Vectors of 4 from row to row of the cache.
        pub row_quads: u32,
        /// Positions that there is room for.
        pub n_positions: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "mla_expand",
    variants: &[Variant::only(
        "mla_expand",
        shader_text!("../../shaders/kernels/mla_expand.wgsl"),
        &[STEP],
        lower::THREADS,
    )],
    bindings: &[
        ("step", Access::Read),
        ("latents", Access::Read),
        ("made", Access::Read),
        ("keys", Access::Write),
        ("values", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Where keys and values are made.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// The cache of latents, of the type of the keys: `[positions, row_dim]`, the last elements of a row turned.
    pub latents: Slice,
    /// Elements of such a row.
    pub row_dim: u32,
    /// `[positions, [n_heads, nope_dim] | [n_heads, value_dim]]`, f32: what was made of the latents.
    pub made: Slice,
    /// Elements of a key that do not turn.
    pub nope_dim: u32,
    /// Output: a key head for each head.
    pub heads: Cache,
    /// Tokens of the step at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Appends the stage `expand`.
///
/// # Panics
/// When widths are no multiples of 4: shapes are checked before they come here.
pub fn record_mla_expand(recording: &mut Recording, flow: &Flow) {
    let heads = &flow.heads;
    heads.check();
    let widths = [flow.row_dim, flow.nope_dim, heads.head_dim, heads.value_dim];
    assert!(widths.iter().all(|n| n.is_multiple_of(4)), "mla_expand: widths are multiples of 4");
    let params = Params {
        n_heads: heads.n_heads,
        nope_quads: flow.nope_dim / 4,
        turned_quads: (heads.head_dim - flow.nope_dim) / 4,
        value_quads: heads.value_dim / 4,
        row_quads: flow.row_dim / 4,
        n_positions: heads.n_positions,
    };
    let n_heads = u64::from(heads.n_heads);
    let made = 4 * n_heads * u64::from(flow.nope_dim + heads.value_dim);
    let written =
        u64::from(heads.head_dim) * heads.types.keys.bytes() + u64::from(heads.value_dim) * heads.types.values.bytes();
    let key_bytes = made + n_heads * written;
    let cost = Cost { bytes: u64::from(flow.max_tokens) * key_bytes, ops: 0 };
    let bindings = [flow.step, flow.latents, flow.made, heads.keys, heads.values];
    let n_units = u64::from(params.nope_quads + params.turned_quads + params.value_quads);
    let n_results = u64::from(heads.n_positions) * n_heads * n_units;
    recording.push("expand", &OP, heads.facts(), n_results, &params, &bindings, cost);
    recording.see_keys(KeyCost::before(flow.max_tokens, key_bytes, 0));
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (types, order) = (CacheTypes::of(call.spec), KeyOrder::of(call.spec));
    let step = call.input::<Step>(0)[0];
    let (latents, made): (&[u32], &[f32]) = (call.inputs[1], call.input(2));
    let positions = call.tokens((step.position + step.n_tokens).min(p.n_positions));
    let [keys, values] = call.outputs::<u32, 2>();
    let [nope, turned, value] = [p.nope_quads, p.turned_quads, p.value_quads].map(|quads| 4 * quads as usize);
    let (n_heads, width) = (p.n_heads as usize, nope + turned);
    for position in positions.into_iter().map(|position| position as usize) {
        let row_end = (position + 1) * p.row_quads as usize * 4;
        let shared = types.keys.load(latents, row_end - turned, turned);
        let (of_keys, of_values) =
            made[position * n_heads * (nope + value)..][..n_heads * (nope + value)].split_at(n_heads * nope);
        for head in 0..n_heads {
            let first = head * p.n_positions as usize;
            let key = [&of_keys[head * nope..][..nope], shared.as_slice()].concat();
            order.store(types.keys, keys, first * width / 4, position, &key);
            types.values.store(values, (first + position) * width, &of_values[head * value..][..value]);
        }
    }
}

fn cases() -> Vec<Case> {
    vec![
        case(3, [12, 8, 12], CacheType::F32, false, [0, 5]),
        case(2, [16, 4, 20], CacheType::F16, true, [30, 7]),
        case(5, [64, 32, 64], CacheType::F16, false, [9, 1]),
        case(1, [8, 8, 4], CacheType::F32, true, [63, 2]),
    ]
}

/// `widths` are those of a key's part that does not turn, of its part that does, and of a value.
fn case(
    n_heads: u32,
    [nope_dim, n_turned, value_dim]: [u32; 3],
    of: CacheType,
    in_blocks: bool,
    [position, n_tokens]: [u32; 2],
) -> Case {
    let name = format!(
        "{n_heads} heads of {nope_dim} and {n_turned}, values of {value_dim}, {of:?}, in blocks {in_blocks}, \
         {n_tokens} at {position}"
    );
    let mut case = CaseBuilder::new(name);
    let n_positions = (position + n_tokens + 1).next_multiple_of(KEY_BLOCK);
    let row_dim = n_turned + 12;
    let elements = case.random_values((n_positions * row_dim) as usize);
    let mut words = vec![0u32; of.words(elements.len() as u64) as usize];
    of.store(&mut words, 0, &elements);
    let head_dim = nope_dim + n_turned;
    let room = of.words(u64::from(n_heads * n_positions * head_dim)) as usize;
    // f16 lie two to a word, and may round either way: what attention makes of them is compared below.
    let mut room = |label| match of {
        CacheType::F32 => case.output(label, room, 1e-6),
        CacheType::F16 => case.input(label, &vec![0u32; room]),
    };
    let heads = Cache {
        types: CacheTypes { keys: of, values: of, in_blocks },
        keys: room("keys"),
        values: room("values"),
        n_positions,
        n_heads,
        n_kv_heads: n_heads,
        head_dim,
        value_dim,
    };
    let flow = Flow {
        step: case.step(position, n_tokens),
        latents: case.input("latents", &words),
        row_dim,
        made: case.random_input("made", (n_positions * n_heads * (nope_dim + value_dim)) as usize),
        nope_dim,
        heads,
        max_tokens: n_tokens,
    };
    record_mla_expand(&mut case.recording, &flow);
    if of == CacheType::F16 {
        let n_results = n_tokens * n_heads;
        let attention = grouped_attend::Flow {
            step: flow.step,
            heads: case.random_input("queries", (n_results * head_dim) as usize),
            heads_stride: n_heads * head_dim,
            cache: heads,
            partial: case.input("partial", &vec![0u32; (n_results * value_dim) as usize]),
            stats: case.input("stats", &vec![0u32; 2 * n_results as usize]),
            out: case.output("out", (n_results * value_dim) as usize, 2e-3),
            window: None,
            sinks: None,
            scale: 1.0,
            max_tokens: n_tokens,
        };
        record_grouped_attend(&mut case.recording, &attention);
    }
    case.finish()
}

//! `selected_attend`: attention of each token over runs of the rows that the indexer chose for it, to be merged.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Step;
use crate::gpu::recording::{Cost, KeyCost};
use crate::gpu::space;
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Recording, Reduce, Slice, Stage, Variant};

use super::cache::{CacheType, CacheTypes};
use super::case::CaseBuilder;
use super::grouped_attend::{self, BLOCK};
use super::grouped_heads::Cache;
use super::grouped_merge::record_grouped_merge;
use super::{STEP, dot};

crate::params! {
    /// Parameters of `selected_attend`; the WGSL says what each is.
    pub struct Params {
        /// Query heads.
        pub n_heads: u32,
        /// Vectors of 4 in a query and a row.
        pub n_quads: u32,
        /// Vectors of 4 in a value.
        pub value_quads: u32,
        /// Vectors of 4 from token to token in the heads.
        pub heads_stride: u32,
        /// Rows that a token sees at most.
        pub top_k: u32,
        /// Runs that the rows are cut into.
        pub n_splits: u32,
        /// Factor of every product.
        pub scale: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "selected_attend",
    variants: &[Variant::only(
        "selected_attend",
        shader_text!("../../shaders/kernels/selected_attend.wgsl"),
        &[STEP, grouped_attend::RUN],
        WAY,
    )],
    bindings: &[
        ("step", Access::Read),
        ("heads", Access::Read),
        ("rows", Access::Read),
        ("selected", Access::Read),
        ("partial", Access::Write),
        ("stats", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Heads that a group of lanes takes together at most, since they share the rows.
const MOST_HEADS: u32 = 4;

/// Appends the stages `attend` and `attend_merge`: what `flow` says, over the rows of `selected`, `[max_tokens, top_k]`,
/// of which a token has as many as it sees, at most `top_k`. The cache has one key head, whose values are the begins of
/// its keys; there is no window and no sink.
///
/// # Panics
/// When widths are no multiples of 4: shapes are checked before they come here.
pub fn record_selected_attend(recording: &mut Recording, flow: &grouped_attend::Flow, selected: Slice, top_k: u32) {
    let cache = &flow.cache;
    cache.check();
    let n_visible = top_k.min(cache.n_positions);
    let n_splits = grouped_attend::n_splits(flow.max_tokens, n_visible, cache.types);
    let params = Params {
        n_heads: cache.n_heads,
        n_quads: cache.head_dim / 4,
        value_quads: cache.value_dim / 4,
        heads_stride: flow.heads_stride / 4,
        top_k,
        n_splits,
        scale: flow.scale,
        max_tokens: flow.max_tokens,
    };
    let (tokens, n_heads) = (u64::from(flow.max_tokens), u64::from(cache.n_heads));
    let (head_dim, value_dim) = (u64::from(cache.head_dim), u64::from(cache.value_dim));
    let n_results = tokens * u64::from(n_splits) * n_heads;
    let cost = Cost { bytes: 4 * (tokens * n_heads * head_dim + n_results * (value_dim + 2)), ops: 0 };
    let bindings = [flow.step, flow.heads, cache.keys, selected, flow.partial, flow.stats];
    recording.push("attend", &OP, cache.facts(), n_results, &params, &bindings, cost);
    recording.see_keys(KeyCost {
        n_tokens: flow.max_tokens,
        ratio: 1,
        top_k,
        key_bytes: cache.position_bytes(),
        score_bytes: 4,
        score_ops: 2 * n_heads * (head_dim + value_dim),
        ..KeyCost::default()
    });
    record_grouped_merge(recording, flow, n_splits);
}

const WAY: Way = Way { lower, space: space::row };

fn lower(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let heads = p.n_heads.min(MOST_HEADS);
    let n_rows = p.top_k.div_ceil(p.n_splits) + BLOCK;
    let config = config.within_turns(caps, grouped_attend::turns(n_rows, p.n_quads, p.value_quads));
    let block = match config.reduce {
        Reduce::Thread => shader_text!("../../shaders/lib/block_single.wgsl"),
        Reduce::Workgroup | Reduce::Subgroup => shader_text!("../../shaders/lib/block_shared.wgsl"),
    };
    let (spec, per_workgroup) = config.sharing(caps, config.row_lanes);
    let spec = spec.constant("BLOCK", BLOCK).constant("HEADS", heads).part(block);
    let runs = u64::from(p.max_tokens) * u64::from(p.n_splits);
    (spec, (runs * u64::from(p.n_heads.div_ceil(heads))).div_ceil(u64::from(per_workgroup))).into()
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let of = CacheTypes::of(call.spec).keys;
    let step = call.input::<Step>(0)[0];
    let (heads, rows, selected): (&[f32], &[u32], &[u32]) = (call.input(1), call.inputs[2], call.input(3));
    let tokens = call.tokens(step.n_tokens.min(p.max_tokens));
    let [partial, stats] = call.outputs::<f32, 2>();
    let (width, value_width) = (p.n_quads as usize * 4, p.value_quads as usize * 4);
    for token in tokens {
        let n_rows = (step.position + token + 1).min(p.top_k) as usize;
        let run_rows = n_rows.div_ceil(BLOCK as usize).div_ceil(p.n_splits as usize) * BLOCK as usize;
        let chosen = &selected[(token * p.top_k) as usize..][..n_rows];
        for head in 0..p.n_heads {
            let query = &heads[(token * p.heads_stride) as usize * 4 + head as usize * width..][..width];
            for run in 0..p.n_splits as usize {
                let at = (token * p.n_heads + head) as usize * p.n_splits as usize + run;
                let place = |run: usize| (run * run_rows).min(n_rows);
                let chosen = chosen[place(run)..place(run + 1)].iter();
                let rows: Vec<Vec<f32>> = chosen.map(|row| of.load(rows, *row as usize * width, width)).collect();
                let scores: Vec<f32> = rows.iter().map(|row| p.scale * dot(query, row)).collect();
                let greatest = scores.iter().copied().fold(-1e30, f32::max);
                let weights: Vec<f32> = scores.iter().map(|z| (z - greatest).exp()).collect();
                stats[2 * at] = greatest;
                stats[2 * at + 1] = weights.iter().sum();
                if rows.is_empty() {
                    continue;
                }
                let sums = &mut partial[at * value_width..][..value_width];
                sums.fill(0.0);
                for (row, weight) in rows.iter().zip(weights) {
                    sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
                }
            }
        }
    }
}

fn cases() -> Vec<Case> {
    // All that is seen, a choice of it, and at first less than that; one token's cut into runs.
    vec![
        case(6, [24, 16], CacheType::F32, 9, 3, 3, 7),
        case(5, [576, 512], CacheType::F16, 70, 1, 1, 300),
        case(3, [72, 64], CacheType::F32, 600, 1, 1, 900),
        case(9, [20, 8], CacheType::F16, 40, 4, 2, 10),
        // More rows than llvmpipe lets one invocation go over (`Config::within_turns`).
        case(2, [576, 512], CacheType::F32, 1_000, 2, 1, 1_100),
    ]
}

fn case(
    n_heads: u32,
    [head_dim, value_dim]: [u32; 2],
    of: CacheType,
    top_k: u32,
    capacity: u32,
    n_tokens: u32,
    position: u32,
) -> Case {
    let name = format!("{n_heads} heads of {head_dim} and {value_dim}, {of:?}, top {top_k}, {n_tokens} at {position}");
    let mut case = CaseBuilder::new(name);
    let step = case.step(position, n_tokens);
    let n_positions = position + capacity + 3;
    let elements = case.random_values((n_positions * head_dim) as usize);
    let mut words = vec![0u32; of.words(elements.len() as u64) as usize];
    of.store(&mut words, 0, &elements);
    let rows = case.input("latents", &words);
    // Ascending, with gaps where a token sees more than it may choose.
    let choice = |token: u32, k: u32| {
        let seen = position + token + 1;
        if seen <= top_k { k.min(seen - 1) } else { k * seen / top_k }
    };
    let choices: Vec<u32> = (0..capacity).flat_map(|token| (0..top_k).map(move |k| choice(token, k))).collect();
    let selected = case.input("selected", &choices);
    let types = CacheTypes::both(of);
    let cache = Cache { types, keys: rows, values: rows, n_positions, n_heads, n_kv_heads: 1, head_dim, value_dim };
    let n_results = (capacity * n_heads * grouped_attend::n_splits(capacity, top_k.min(n_positions), types)) as usize;
    let heads_stride = n_heads * head_dim;
    let flow = grouped_attend::Flow {
        step,
        heads: case.random_input("heads", (capacity * heads_stride) as usize),
        heads_stride,
        cache,
        partial: case.output("partial", n_results * value_dim as usize, 1e-4),
        stats: case.output("stats", n_results * 2, 1e-4),
        out: case.output("out", (capacity * n_heads * value_dim) as usize, 1e-4),
        window: None,
        sinks: None,
        scale: 3.0 / (head_dim as f32).sqrt(),
        max_tokens: capacity,
    };
    record_selected_attend(&mut case.recording, &flow, selected, top_k);
    case.finish()
}

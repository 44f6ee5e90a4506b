//! `grouped_attend`: grouped-query attention of each token over runs of the keys before it, to be merged.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Step;
use crate::gpu::recording::{Cost, KeyCost};
use crate::gpu::space;
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Recording, Reduce, Slice, Stage, Variant};

use super::cache::{CacheType, CacheTypes, KEY_BLOCK, KeyOrder};
use super::case::CaseBuilder;
use super::grouped_heads::Cache;
use super::grouped_merge::record_grouped_merge;
use super::{STEP, dot, grouped_attend_decode, grouped_attend_tiled};

crate::params! {
    /// Parameters of `grouped_attend`; the WGSL says what each is.
    pub struct Params {
        /// Query heads.
        pub n_heads: u32,
        /// Key heads.
        pub n_kv_heads: u32,
        /// Vectors of 4 in a query and a key, and from value to value of the cache.
        pub n_quads: u32,
        /// Vectors of 4 in a value.
        pub value_quads: u32,
        /// Vectors of 4 from token to token in the heads.
        pub heads_stride: u32,
        /// Positions in the cache.
        pub n_positions: u32,
        /// Keys that a token sees at most.
        pub window: u32,
        /// Runs that the keys are cut into.
        pub n_splits: u32,
        /// Factor of every product.
        pub scale: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "grouped_attend",
    variants: &[
        Variant::only("grouped_attend", shader_text!("../../shaders/kernels/grouped_attend.wgsl"), &[STEP, RUN], WAY),
        grouped_attend_decode::VARIANT,
        grouped_attend_tiled::VARIANT,
    ],
    bindings: &[
        ("step", Access::Read),
        ("heads", Access::Read),
        ("keys", Access::Read),
        ("values", Access::Read),
        ("partial", Access::Write),
        ("stats", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Keys whose weights a group of lanes holds at a time; runs are whole blocks.
pub(super) const BLOCK: u32 = 64;

/// What a group of lanes does with a run of keys, for who says where a key lies.
pub(super) const RUN: &str = shader_text!("../../shaders/lib/attend_run.wgsl");

/// Query heads that a group of lanes takes together at most, since they share the keys.
const MOST_HEADS: u32 = 4;

/// Runs that keys are cut into at most.
pub(super) const MOST_SPLITS: u32 = 128;

/// Runs that the keys of a step are cut into: one token alone fills a GPU only so. A short text fills only the first of
/// them, by a block of keys each. Keys in blocks are for GPUs, which want more and shorter runs: of 128 keys, on an H100.
#[must_use]
pub fn n_splits(max_tokens: u32, n_positions: u32, types: CacheTypes) -> u32 {
    match types.in_blocks {
        _ if max_tokens > 1 => 1,
        true => n_positions.div_ceil(2 * BLOCK).clamp(1, MOST_SPLITS),
        false => n_positions.div_ceil(4 * BLOCK).clamp(1, 32),
    }
}

/// Bytes of the room for so many runs of heads of `value_dim` elements, and of that for their stats, which may stand behind it in
/// one buffer: a fusion has one binding for both.
#[must_use]
pub fn run_bytes(n_runs: u64, value_dim: u32) -> [u64; 2] {
    [(4 * n_runs * u64::from(value_dim)).next_multiple_of(256), 8 * n_runs]
}

/// What attention reads and writes; all but the cache in f32.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// `[max_tokens, heads_stride]`: queries made ready, first in each row.
    pub heads: Slice,
    /// Elements from token to token in `heads`, a multiple of 4.
    pub heads_stride: u32,
    /// The keys and values, those of this step's tokens among them.
    pub cache: Cache,
    /// Room for the runs: `[max_tokens, n_heads, n_splits, value_dim]`.
    pub partial: Slice,
    /// Room for `[max_tokens, n_heads, n_splits, 2]`.
    pub stats: Slice,
    /// Output `[max_tokens, n_heads * value_dim]`.
    pub out: Slice,
    /// Keys that a token sees at most, its own among them; all when `None`.
    pub window: Option<u32>,
    /// What each head weighs beside its keys, as a product with one that has no value: `[n_heads]`, f32.
    pub sinks: Option<Slice>,
    /// Factor of every product of a query and a key.
    pub scale: f32,
    /// Tokens to compute at most.
    pub max_tokens: u32,
}

/// Appends the stages `attend` and `attend_merge`.
///
/// # Panics
/// When widths are no multiples of 4: shapes are checked before they come here.
pub fn record_grouped_attend(recording: &mut Recording, flow: &Flow) {
    let cache = &flow.cache;
    cache.check();
    let window = flow.window.unwrap_or(u32::MAX);
    let n_visible = window.min(cache.n_positions);
    let n_splits = n_splits(flow.max_tokens, n_visible, cache.types);
    let params = Params {
        n_heads: cache.n_heads,
        n_kv_heads: cache.n_kv_heads,
        n_quads: cache.head_dim / 4,
        value_quads: cache.value_dim / 4,
        heads_stride: flow.heads_stride / 4,
        n_positions: cache.n_positions,
        window,
        n_splits,
        scale: flow.scale,
        max_tokens: flow.max_tokens,
    };
    let tokens = u64::from(flow.max_tokens);
    let n_results = tokens * u64::from(n_splits) * u64::from(cache.n_heads);
    let n_heads = u64::from(cache.n_heads);
    let (head_dim, value_dim) = (u64::from(cache.head_dim), u64::from(cache.value_dim));
    let results = tokens * n_heads * u64::from(n_splits) * (value_dim + 2);
    let cost = Cost { bytes: 4 * (tokens * n_heads * head_dim + results), ops: 0 };
    let bindings = [flow.step, flow.heads, cache.keys, cache.values, flow.partial, flow.stats];
    recording.push("attend", &OP, cache.facts(), n_results, &params, &bindings, cost);
    recording.see_keys(KeyCost {
        n_tokens: flow.max_tokens,
        window: n_visible,
        key_bytes: cache.position_bytes(),
        score_ops: 2 * n_heads * (head_dim + value_dim),
        ..KeyCost::default()
    });
    record_grouped_merge(recording, flow, n_splits);
}

const WAY: Way = Way { lower, space: space::row };

fn lower(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let n_keys = p.window.min(p.n_positions).div_ceil(p.n_splits) + BLOCK;
    let config = config.within_turns(caps, turns(n_keys, p.n_quads, p.value_quads));
    let group = p.n_heads / p.n_kv_heads;
    let heads = group.min(MOST_HEADS);
    let block = match config.reduce {
        Reduce::Thread => shader_text!("../../shaders/lib/block_single.wgsl"),
        Reduce::Workgroup | Reduce::Subgroup => shader_text!("../../shaders/lib/block_shared.wgsl"),
    };
    let (spec, per_workgroup) = config.sharing(caps, config.row_lanes);
    let spec = spec.constant("BLOCK", BLOCK).constant("HEADS", heads).part(block);
    let runs = u64::from(p.max_tokens) * u64::from(p.n_splits);
    let n_results = runs * u64::from(p.n_kv_heads) * u64::from(group.div_ceil(heads));
    (spec, n_results.div_ceil(u64::from(per_workgroup))).into()
}

/// Turns of loops of one invocation that attends to so many keys alone, with `quads` vectors of 4 in a key and in a value: four of these
/// are a turn, and of a value those of four keys.
pub(super) fn turns(n_keys: u32, quads: u32, value_quads: u32) -> u64 {
    let of_block = BLOCK * (5 + quads / 4) + value_quads * (4 + BLOCK / 4);
    u64::from(n_keys.div_ceil(BLOCK)) * u64::from(of_block)
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (types, order) = (CacheTypes::of(call.spec), KeyOrder::of(call.spec));
    let step = call.input::<Step>(0)[0];
    let heads: &[f32] = call.input(1);
    let (keys, values) = (call.inputs[2], call.inputs[3]);
    let tokens = call.tokens(step.n_tokens.min(p.max_tokens));
    let [partial, stats] = call.outputs::<f32, 2>();
    let (width, value_width) = (p.n_quads as usize * 4, p.value_quads as usize * 4);
    let group = p.n_heads / p.n_kv_heads;
    for token in tokens {
        let n_before = (step.position + token + 1) as usize;
        let n_keys = n_before.min(p.window as usize);
        let skipped = n_before - n_keys;
        let run_keys = n_keys.div_ceil(BLOCK as usize).div_ceil(p.n_splits as usize) * BLOCK as usize;
        for head in 0..p.n_heads {
            let query = &heads[(token * p.heads_stride) as usize * 4 + head as usize * width..][..width];
            let first = (head / group * p.n_positions) as usize;
            let key = |k: usize| order.load(types.keys, keys, first * p.n_quads as usize, k, p.n_quads as usize);
            for run in 0..p.n_splits as usize {
                let at = (token * p.n_heads + head) as usize * p.n_splits as usize + run;
                let place = |run: usize| skipped + (run * run_keys).min(n_keys);
                let run_of_keys = place(run)..place(run + 1);
                let scores: Vec<f32> = run_of_keys.clone().map(|k| p.scale * dot(query, &key(k))).collect();
                let greatest = scores.iter().copied().fold(-1e30, f32::max);
                let weights: Vec<f32> = scores.iter().map(|z| (z - greatest).exp()).collect();
                stats[2 * at] = greatest;
                stats[2 * at + 1] = weights.iter().sum();
                if run_of_keys.is_empty() {
                    continue;
                }
                let sums = &mut partial[at * value_width..][..value_width];
                sums.fill(0.0);
                for (k, weight) in run_of_keys.zip(weights) {
                    let values = types.values.load(values, (first + k) * width, value_width);
                    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
                }
            }
        }
    }
}

fn cases() -> Vec<Case> {
    vec![
        case([4, 2, 12], [CacheType::F32; 2], None, 3, 3, 70, 200),
        case([5, 1, 8], [CacheType::F16; 2], None, 2, 1, 0, 40),
        case([7, 1, 16], [CacheType::F32, CacheType::F16], None, 1, 1, 300, 700),
        case([6, 3, 32], [CacheType::F16, CacheType::F32], None, 1, 1, 639, 640),
        // Windows: not yet full at first, of several blocks, of a single key, and cut into runs.
        case([4, 2, 12], [CacheType::F32; 2], Some(24), 5, 5, 21, 200),
        case([5, 1, 8], [CacheType::F16; 2], Some(100), 3, 2, 333, 400),
        case([2, 2, 8], [CacheType::F32; 2], Some(1), 2, 2, 9, 40),
        case([6, 3, 16], [CacheType::F32; 2], Some(520), 1, 1, 630, 640),
        // Wide enough for tiles, whose rows see different keys.
        case([6, 2, 64], [CacheType::F32; 2], Some(40), 40, 37, 90, 160),
        case([8, 1, 64], [CacheType::F16; 2], Some(33), 1, 1, 140, 160),
        // Head widths and groups of known models, on both sides of the edges of blocks of keys.
        case([4, 4, 64], [CacheType::F16; 2], None, 1, 1, 30, 64),
        case([8, 1, 64], [CacheType::F32; 2], None, 1, 1, 31, 64),
        case([6, 2, 80], [CacheType::F16; 2], None, 1, 1, 32, 200),
        case([8, 2, 96], [CacheType::F32; 2], None, 2, 2, 62, 200),
        // More than one tile of queries, none of them whole, on more than one tile of keys.
        case([6, 2, 64], [CacheType::F32; 2], None, 12, 11, 60, 96),
        case([3, 3, 20], [CacheType::F16; 2], None, 40, 37, 0, 64),
        case([4, 1, 256], [CacheType::F16, CacheType::F32], None, 9, 9, 55, 80),
        case([12, 2, 128], [CacheType::F16; 2], None, 1, 1, 199, 256),
        case([8, 2, 128], [CacheType::F32; 2], None, 1, 1, 320, 352),
        case([4, 1, 256], [CacheType::F16; 2], None, 1, 1, 128, 160),
        // More keys than llvmpipe lets one invocation go over (`Config::within_turns`).
        case([2, 1, 128], [CacheType::F16; 2], None, 2, 1, 4_000, 4_096),
        latent_case(6, [24, 16], CacheType::F32, 3, 3, 70),
        latent_case(2, [576, 512], CacheType::F32, 2, 1, 700),
        latent_case(5, [576, 512], CacheType::F16, 1, 1, 300),
        latent_case(40, [72, 64], CacheType::F32, 1, 1, 130),
    ]
}

/// One row a position that is key and, at its begin, value: `n_heads` heads on rows of `[key, value]` elements.
fn latent_case(
    n_heads: u32,
    [head_dim, value_dim]: [u32; 2],
    of: CacheType,
    capacity: u32,
    n_tokens: u32,
    position: u32,
) -> Case {
    let name = format!("{n_heads} heads on latents {head_dim} and {value_dim} wide, {of:?}, {n_tokens} at {position}");
    let mut case = CaseBuilder::new(name);
    let step = case.step(position, n_tokens);
    let n_positions = position + capacity + 3;
    let elements = case.random_values((n_positions * head_dim) as usize);
    let mut words = vec![0u32; of.words(elements.len() as u64) as usize];
    of.store(&mut words, 0, &elements);
    let rows = case.input("latents", &words);
    let types = CacheTypes::both(of);
    let cache = Cache { types, keys: rows, values: rows, n_positions, n_heads, n_kv_heads: 1, head_dim, value_dim };
    let n_results = (capacity * n_heads * n_splits(capacity, n_positions, types)) as usize;
    let heads_stride = n_heads * head_dim;
    let flow = Flow {
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
    record_grouped_attend(&mut case.recording, &flow);
    case.finish()
}

/// `heads` are n_heads, n_kv_heads, head_dim; then the types of keys and of values, and the window.
fn case(
    heads: [u32; 3],
    [keys, values]: [CacheType; 2],
    window: Option<u32>,
    capacity: u32,
    n_tokens: u32,
    position: u32,
    n_positions: u32,
) -> Case {
    let [n_heads, n_kv_heads, head_dim] = heads;
    let n_positions = n_positions.next_multiple_of(KEY_BLOCK);
    let name = format!(
        "heads {heads:?}, {keys:?} and {values:?}, window {window:?}, {n_tokens} of {capacity} at {position} of {n_positions}"
    );
    let mut case = CaseBuilder::new(name);
    let step = case.step(position, n_tokens);
    // Both orders of keys.
    let types = CacheTypes { keys, values, in_blocks: keys == CacheType::F16 };
    let mut filled = |label: &str, of: CacheType| {
        let elements = case.random_values((n_kv_heads * n_positions * head_dim) as usize);
        let mut words = vec![0u32; of.words(elements.len() as u64) as usize];
        of.store(&mut words, 0, &elements);
        case.input(label, &words)
    };
    let (keys, values) = (filled("keys", types.keys), filled("values", types.values));
    let cache = Cache { types, keys, values, n_positions, n_heads, n_kv_heads, head_dim, value_dim: head_dim };
    let n_results = (capacity * n_heads * n_splits(capacity, n_positions, types)) as usize;
    let flow = Flow {
        step,
        heads: case.random_input("heads", (capacity * cache.heads_width()) as usize),
        heads_stride: cache.heads_width(),
        cache,
        partial: case.output("partial", n_results * head_dim as usize, 1e-4),
        stats: case.output("stats", n_results * 2, 1e-4),
        out: case.output("out", (capacity * n_heads * head_dim) as usize, 1e-4),
        window,
        // Windows come with sinks here, but where they are of one key.
        sinks: window.filter(|window| *window > 1).map(|_| case.random_input("sinks", n_heads as usize)),
        scale: 3.0 / (head_dim as f32).sqrt(),
        max_tokens: capacity,
    };
    record_grouped_attend(&mut case.recording, &flow);
    case.finish()
}

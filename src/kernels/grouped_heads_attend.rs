//! `grouped_heads_attend`: attention of one token over runs of keys, which makes its heads ready for itself. A fusion of
//! `grouped_heads` and `grouped_attend`, for GPUs.

use crate::gpu::fuse::Rule;
use crate::gpu::lower::{Lowered, Way};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Slice, Stage, Variant};

use super::cache::{CacheType, CacheTypes, KEY_BLOCK};
use super::case::CaseBuilder;
use super::grouped_attend::{self, Params};
use super::grouped_attend_decode as decode;
use super::grouped_heads::{self, Cache};
use super::{STEP, rope};

/// The kernel. Its text and parameters are those of `grouped_attend`; what heads are made with are constants.
pub static OP: Op = Op {
    name: "grouped_heads_attend",
    variants: &[Variant {
        entry: "grouped_attend_decode",
        waits: true,
        ..Variant::only(
            "grouped_heads_attend",
            decode::SOURCE,
            &[STEP, shader_text!("../../shaders/lib/queries_made.wgsl")],
            Way { lower, space: decode::space },
        )
    }],
    bindings: &[
        ("step", Access::Read),
        ("heads", Access::Read),
        ("keys", Access::Write),
        ("values", Access::Write),
        ("runs", Access::Write),
        ("rope", Access::Read),
        ("affine", Access::Read),
    ],
    params: Params::FIELDS,
    reference,
    cases: || RULE.fused_cases(),
};

/// Takes the heads of one token, and attention where a workgroup has all query heads of a key head: then one alone writes it.
pub static RULE: Rule = Rule { parts: &["grouped_heads", "grouped_attend"], fuse, writers: &[], cases: part_cases };

const ROPE_PAIRS: &str = "ROPE_PAIRS";
const HALVES: &str = "HALVES";
const HAS_BIAS: &str = "HAS_BIAS";
const HAS_NORM: &str = "HAS_NORM";
/// The bits of the factor of what turned.
const ROPE_SCALE: &str = "ROPE_SCALE";
/// The bits of what is added to mean squares.
const EPS: &str = "EPS";
/// Where the stats begin in the room for runs, in pairs of elements.
pub(super) const STATS_AT: &str = "STATS_AT";

fn fuse(parts: &[Stage]) -> Option<Stage> {
    let [heads, attend] = parts else { return None };
    let (h, p): (grouped_heads::Params, Params) = (heads.params(), attend.params());
    let [step, rope, affine, all_heads, queries, keys, values] = heads.bindings[..] else { return None };
    let [_, same_queries, same_keys, same_values, partial, stats] = attend.bindings[..] else { return None };
    let stats_at = stats.offset.checked_sub(partial.offset)?;
    let fits = (queries, keys, values) == (same_queries, same_keys, same_values)
        && partial.buffer == stats.buffer
        && (h.max_tokens, p.max_tokens) == (1, 1)
        && (h.halves == 0 || h.rope_pairs.is_multiple_of(4))
        && decode::allows(attend)
        && decode::n_tiles(&p) == 1;
    let facts = [
        (ROPE_PAIRS, h.rope_pairs),
        (HALVES, h.halves),
        (HAS_BIAS, h.has_bias),
        (HAS_NORM, h.has_norm),
        (ROPE_SCALE, h.rope_scale.to_bits()),
        (EPS, h.eps.to_bits()),
        (STATS_AT, (stats_at / 8) as u32),
    ];
    let n_queries = 4 * u64::from(h.n_heads) * u64::from(h.head_dim);
    fits.then(|| Stage {
        op: &OP,
        spec: facts.into_iter().fold(attend.spec.clone(), |spec, (name, value)| spec.constant(name, value)),
        bindings: vec![step, all_heads, keys, values, Slice { bytes: stats_at + stats.bytes, ..partial }, rope, affine],
        // Queries are neither written nor read.
        cost: Cost {
            bytes: (heads.cost.bytes + attend.cost.bytes).saturating_sub(2 * n_queries),
            ops: heads.cost.ops + attend.cost.ops,
        },
        ..attend.clone()
    })
}

fn lower(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let mut lowered = decode::lower(stage, caps, config);
    let slots = lowered.spec.value_of("HEADS").unwrap_or(1) + 1;
    lowered.spec = lowered.spec.constant("READY_SLOTS", slots.next_power_of_two());
    lowered
}

/// Its parts' references, one after the other.
fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let of = |name| call.constant(name);
    let heads_params = grouped_heads::Params {
        n_heads: p.n_heads,
        n_kv_heads: p.n_kv_heads,
        head_dim: 4 * p.n_quads,
        rope_pairs: of(ROPE_PAIRS),
        halves: of(HALVES),
        has_bias: of(HAS_BIAS),
        has_norm: of(HAS_NORM),
        n_positions: p.n_positions,
        rope_scale: f32::from_bits(of(ROPE_SCALE)),
        eps: f32::from_bits(of(EPS)),
        max_tokens: p.max_tokens,
    };
    let stats_at = 2 * of(STATS_AT) as usize;
    let [step, heads, rope, affine] = call.inputs[..] else { unreachable!("four inputs") };
    let [keys, values, runs] = &mut call.outputs[..] else { unreachable!("three outputs") };
    let (partial, stats) = runs.split_at_mut(stats_at);
    let mut queries = vec![0u32; (p.max_tokens * p.heads_stride * 4) as usize];
    (grouped_heads::OP.reference)(&mut Call {
        params: bytemuck::bytes_of(&heads_params),
        spec: call.spec,
        inputs: vec![step, rope, affine, heads],
        outputs: vec![&mut queries, &mut **keys, &mut **values],
        sample: None,
    });
    (grouped_attend::OP.reference)(&mut Call {
        params: call.params,
        spec: call.spec,
        inputs: vec![step, &queries, &**keys, &**values],
        outputs: vec![partial, stats],
        sample: None,
    });
}

fn part_cases() -> Vec<Case> {
    let both = |of| [of; 2];
    vec![
        case([4, 2, 16], 8, [true, false, false], both(CacheType::F32), None, [5, 64]),
        // Neighbours turn, with biases; the newest key is the first of a run.
        case([6, 2, 64], 16, [false, true, false], both(CacheType::F32), None, [128, 300]),
        case([8, 1, 128], 64, [true, false, true], both(CacheType::F16), None, [200, 512]),
        // Part of a head turns; a window, and a group that is no power of two.
        case([3, 1, 80], 20, [true, true, true], [CacheType::F16, CacheType::F32], Some(70), [150, 256]),
        case([2, 2, 32], 0, [true, false, false], both(CacheType::F16), None, [0, 32]),
    ]
}

/// `heads` are n_heads, n_kv_heads, head_dim; `has` are halves, bias, norm; then the types of keys and of values, the window,
/// the token's position, and positions there are.
fn case(
    heads: [u32; 3],
    rope_pairs: u32,
    has: [bool; 3],
    [keys, values]: [CacheType; 2],
    window: Option<u32>,
    [position, n_positions]: [u32; 2],
) -> Case {
    let ([n_heads, n_kv_heads, head_dim], [halves, has_bias, has_norm]) = (heads, has);
    let n_positions = n_positions.next_multiple_of(KEY_BLOCK);
    let mut case = CaseBuilder::new(format!(
        "heads {heads:?}, {rope_pairs} pairs, halves, bias, norm {has:?}, {keys:?} and {values:?}, window {window:?}, {position} of \
         {n_positions}"
    ));
    let step = case.step(position, 1);
    // Both orders of keys.
    let types = CacheTypes { keys, values, in_blocks: keys == CacheType::F16 };
    let mut filled = |label: &str, of: CacheType| {
        let elements = case.random_values((n_kv_heads * n_positions * head_dim) as usize);
        let mut words = vec![0u32; of.words(elements.len() as u64) as usize];
        of.store(&mut words, 0, &elements);
        let slice = case.input(label, &words);
        // f16 may round either way: what attention makes of them is compared.
        if of == CacheType::F32 {
            case.also_compare(slice, 1e-4);
        }
        slice
    };
    let (keys, values) = (filled("keys", types.keys), filled("values", types.values));
    let cache = Cache { types, keys, values, n_positions, n_heads, n_kv_heads, head_dim, value_dim: head_dim };
    let width = cache.heads_width();
    let n_splits = grouped_attend::n_splits(1, window.unwrap_or(n_positions).min(n_positions), types);
    let [partial_bytes, stats_bytes] = grouped_attend::run_bytes(u64::from(n_heads * n_splits), head_dim);
    let runs = case.output("runs", (partial_bytes + stats_bytes) as usize / 4, 2e-3);
    let attend = grouped_attend::Flow {
        step,
        heads: case.input("queries", &vec![0f32; (n_heads * head_dim) as usize]),
        heads_stride: n_heads * head_dim,
        cache,
        partial: Slice { bytes: partial_bytes, ..runs },
        stats: Slice { offset: partial_bytes, bytes: stats_bytes, ..runs },
        out: case.input("out", &vec![0f32; (n_heads * head_dim) as usize]),
        window,
        sinks: None,
        scale: (head_dim as f32).sqrt().recip(),
        max_tokens: 1,
    };
    let flow = grouped_heads::Flow {
        step,
        rope: case.input("rope", &rope::table(&rope::frequencies(rope_pairs, 10_000.0), n_positions)),
        rope_pairs,
        halves,
        rope_scale: 1.125,
        affine: case.random_input("affine", (width + 2 * head_dim) as usize),
        has_bias,
        has_norm,
        heads: case.random_input("heads", width as usize),
        queries: attend.heads,
        cache,
        eps: 1e-6,
        max_tokens: 1,
    };
    grouped_heads::record_grouped_heads(&mut case.recording, &flow);
    grouped_attend::record_grouped_attend(&mut case.recording, &attend);
    // What the runs are merged to is another kernel's.
    case.recording.stages.truncate(2);
    case.finish()
}

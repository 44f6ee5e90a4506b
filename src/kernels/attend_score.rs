//! `attend_score`: the scaled products of every query head with every key that its token sees.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::space;
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Recording, Reduce, Slice, Stage, Variant};

use super::case::CaseBuilder;
use super::keys::{ENTRIES_GIVEN, KEYS, Keys, Rule, case_keys};
use super::{STEP, attend_score_shared, dot};

crate::params! {
    /// Parameters of `attend_score`; the WGSL says what each is.
    pub struct Params {
        /// Vectors of 4 from token to token of the queries.
        pub queries_stride: u32,
        /// Query heads.
        pub n_heads: u32,
        /// Vectors of 4 in a head.
        pub n_quads: u32,
        /// Tokens seen one by one.
        pub window_len: u32,
        /// Rows of the window, a ring over positions.
        pub window_ring: u32,
        /// Tokens of a compressed entry, or 0.
        pub ratio: u32,
        /// Most entries attended to, or 0 for all.
        pub top_k: u32,
        /// Most scores of a token: its keys and the sink.
        pub n_scores: u32,
        /// Scores from head to head.
        pub scores_stride: u32,
        /// Factor of every product.
        pub scale: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "attend_score",
    variants: &[
        Variant::only(
            "attend_score",
            shader_text!("../../shaders/kernels/attend_score.wgsl"),
            &[STEP, KEYS, ENTRIES_GIVEN],
            WAY,
        ),
        attend_score_shared::VARIANT,
    ],
    bindings: &[
        ("step", Access::Read),
        ("queries", Access::Read),
        ("window", Access::Read),
        ("entries", Access::Read),
        ("selected", Access::Read),
        ("sinks", Access::Read),
        ("scores", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Heads that one invocation takes together where it has a result to itself, since they share the key. A workgroup takes one.
const HEADS: u32 = 4;

/// Appends the stage `attend_score`: queries `[max_tokens, queries_stride]`, f32, the heads first in each row; sinks `[n_heads]`, f32.
///
/// # Panics
/// When strides are no multiples of 4 or the keys' shapes disagree: shapes are checked before they come here.
pub fn record_attend_score(
    recording: &mut Recording,
    keys: &Keys,
    queries: Slice,
    queries_stride: u32,
    sinks: Slice,
    scale: f32,
) {
    keys.check();
    assert!(queries_stride.is_multiple_of(4), "attend_score: queries in vectors of 4");
    let params = Params {
        queries_stride: queries_stride / 4,
        n_heads: keys.n_heads,
        n_quads: keys.head_dim / 4,
        window_len: keys.window_len,
        window_ring: keys.window_ring,
        ratio: keys.ratio,
        top_k: keys.top_k,
        n_scores: keys.n_keys() + 1,
        scores_stride: keys.scores_stride,
        scale,
        max_tokens: keys.max_tokens,
    };
    let bindings = [keys.step, queries, keys.window, keys.entries, keys.selected, sinks, keys.scores];
    let query_bytes = 4 * u64::from(keys.max_tokens) * u64::from(keys.n_heads) * u64::from(keys.head_dim);
    let cost = Cost { bytes: query_bytes, ops: 0 };
    let n_results = u64::from(keys.max_tokens) * u64::from(keys.n_heads) * u64::from(params.n_scores);
    recording.push("attend_score", &OP, Spec::default(), n_results, &params, &bindings, cost);
    recording.see_keys(keys.cost());
}

const WAY: Way = Way { lower, space: space::row };

fn lower(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let heads = if config.reduce == Reduce::Thread { HEADS } else { 1 };
    let (spec, per_workgroup) = config.sharing(caps, config.row_lanes);
    let n_results = u64::from(p.max_tokens) * u64::from(p.n_heads.div_ceil(heads)) * u64::from(p.n_scores);
    (spec.constant("HEADS", heads), n_results.div_ceil(u64::from(per_workgroup))).into()
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let (queries, window, entries): (&[f32], &[f32], &[f32]) = (call.input(1), call.input(2), call.input(3));
    let selected = call.inputs[4];
    let sinks: &[f32] = call.input(5);
    let tokens = call.tokens(step.n_tokens.min(p.max_tokens));
    let [scores] = call.outputs::<f32, 1>();
    let rule = Rule { window_len: p.window_len, window_ring: p.window_ring, ratio: p.ratio, top_k: p.top_k };
    let head_dim = 4 * p.n_quads as usize;
    for token in tokens {
        let keys = rule.keys(step.position + token, token, [window, entries], selected, head_dim);
        for head in 0..p.n_heads {
            let q = &queries[4 * (token * p.queries_stride + head * p.n_quads) as usize..][..head_dim];
            let scores = &mut scores[((token * p.n_heads + head) * p.scores_stride) as usize..];
            for (z, key) in scores.iter_mut().zip(&keys) {
                *z = p.scale * dot(q, key);
            }
            scores[keys.len()] = sinks[head as usize];
        }
    }
}

fn cases() -> Vec<Case> {
    // A window that wraps and selected entries; all entries, from the first block's last token on; a window alone.
    vec![
        case(5, [4, 3], 72, [17, 3, 4], 5),
        case(5, [4, 8], 8, [11, 2, 2], 5),
        case(5, [8, 0], 12, [6, 3, 3], 4),
        case(5, [0, 0], 4, [0, 2, 2], 3),
        // More keys, heads and vectors than a tile.
        case(19, [4, 40], 132, [300, 5, 6], 70),
        case(17, [4, 0], 4, [500, 1, 2], 9),
    ]
}

fn case(n_heads: u32, [ratio, top_k]: [u32; 2], head_dim: u32, tokens: [u32; 3], window_len: u32) -> Case {
    let name = format!(
        "{n_heads} heads, ratio {ratio}, top {top_k}, head {head_dim}, [position, tokens, of] {tokens:?}, {window_len}"
    );
    let mut case = CaseBuilder::new(name);
    let mut keys = case_keys(&mut case, n_heads, [ratio, top_k], head_dim, tokens, window_len);
    let queries_stride = keys.n_heads * head_dim + 4;
    let queries = case.random_input("queries", (tokens[2] * queries_stride) as usize);
    keys.scores = case.output("scores", (tokens[2] * keys.n_heads * keys.scores_stride) as usize, 1e-4);
    let sinks = case.random_input("sinks", keys.n_heads as usize);
    record_attend_score(&mut case.recording, &keys, queries, queries_stride, sinks, 0.3);
    case.finish()
}

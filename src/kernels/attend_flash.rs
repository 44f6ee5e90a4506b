//! `attend_flash`: attention of a few tokens over their window and compressed entries: scores, softmax with a sink and the weighted sum of
//! the keys in one pass (FlashAttention, Dao et al. 2022), by runs of keys that `attend_merge` puts together. A fusion of
//! `attend_score` and `attend`.

use crate::gpu::fuse;
use crate::gpu::lower::{Lowered, Way};
use crate::gpu::recording::{Cost, KeyCost};
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Recording, Slice, Stage, Variant};

use super::STEP;
use super::attend::{self, record_attend};
use super::attend_merge::{self, record_attend_merge};
use super::attend_score::{self, record_attend_score};
use super::attend_shared::{FEW_TOKENS, MANY_KEYS, RUN_BLOCK, allows_quads, n_runs, space, spec};
use super::case::CaseBuilder;
use super::keys::{KEY_PLACES, KEYS, case_keys};
use super::linear_tiled::MIN_TOKENS;
use super::rope;

crate::params! {
    /// Parameters of `attend_flash`; the WGSL says what each is.
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
        /// Pairs that turn back, the last of a head.
        pub rope_pairs: u32,
        /// Factor of every product.
        pub scale: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "attend_flash",
    variants: &[Variant {
        waits: true,
        allows: |stage| allows_quads(stage.params::<Params>().n_quads),
        // With few keys a run has few, and to make scores side by side is quicker.
        pays: |stage| {
            let p: Params = stage.params();
            p.max_tokens <= FEW_TOKENS && p.n_scores > MANY_KEYS
        },
        ..Variant::only(
            "attend_flash",
            shader_text!("../../shaders/kernels/attend_flash.wgsl"),
            &[STEP, KEYS, KEY_PLACES],
            Way { lower, space },
        )
    }],
    bindings: &[
        ("step", Access::Read),
        ("queries", Access::Read),
        ("window", Access::Read),
        ("entries", Access::Read),
        ("selected", Access::Read),
        ("sinks", Access::Read),
        ("rope", Access::Read),
        ("out", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases: || RULE.fused_cases(),
};

/// Takes the scores of a layer's heads and what becomes of them. The scores are not kept.
pub static RULE: fuse::Rule = fuse::Rule { parts: &["attend_score", "attend"], fuse, writers: &[], cases: part_cases };

fn fuse(parts: &[Stage]) -> Option<Stage> {
    let [score, attend] = parts else { return None };
    let (s, a): (attend_score::Params, attend::Params) = (score.params(), attend.params());
    let [step, queries, window, entries, selected, sinks, scores] = score.bindings[..] else { return None };
    let [_, same_scores, same_window, same_entries, same_selected, rope, out] = attend.bindings[..] else {
        return None;
    };
    let p = Params {
        queries_stride: s.queries_stride,
        n_heads: s.n_heads,
        n_quads: s.n_quads,
        window_len: s.window_len,
        window_ring: s.window_ring,
        ratio: s.ratio,
        top_k: s.top_k,
        n_scores: s.n_scores,
        rope_pairs: a.rope_pairs,
        scale: s.scale,
        max_tokens: s.max_tokens,
    };
    let fits = (scores, window, entries, selected) == (same_scores, same_window, same_entries, same_selected)
        && bytemuck::bytes_of(&p.attend(s.scores_stride)) == attend.params
        && p.max_tokens < MIN_TOKENS;
    // Keys are read once by name, and scores neither written nor read.
    let both = |s: KeyCost, a: KeyCost| KeyCost { score_bytes: 0, score_ops: s.score_ops + a.score_ops, ..a };
    fits.then(|| Stage {
        op: &OP,
        params: bytemuck::bytes_of(&p).to_vec(),
        bindings: vec![step, queries, window, entries, selected, sinks, rope, out],
        cost: Cost { bytes: score.cost.bytes + attend.cost.bytes, ops: score.cost.ops + attend.cost.ops },
        keys: score.keys.zip(attend.keys).map(|(s, a)| both(s, a)),
        ..attend.clone()
    })
}

impl Params {
    fn score(&self, scores_stride: u32) -> attend_score::Params {
        attend_score::Params {
            queries_stride: self.queries_stride,
            n_heads: self.n_heads,
            n_quads: self.n_quads,
            window_len: self.window_len,
            window_ring: self.window_ring,
            ratio: self.ratio,
            top_k: self.top_k,
            n_scores: self.n_scores,
            scores_stride,
            scale: self.scale,
            max_tokens: self.max_tokens,
        }
    }

    fn attend(&self, scores_stride: u32) -> attend::Params {
        attend::Params {
            n_heads: self.n_heads,
            n_quads: self.n_quads,
            window_len: self.window_len,
            window_ring: self.window_ring,
            ratio: self.ratio,
            top_k: self.top_k,
            scores_stride,
            rope_pairs: self.rope_pairs,
            max_tokens: self.max_tokens,
        }
    }
}

fn lower(stage: &Stage, _: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let merge = attend_merge::Params {
        n_heads: p.n_heads,
        n_quads: p.n_quads,
        n_runs: n_runs(p.n_scores - 1),
        rope_pairs: p.rope_pairs,
        max_tokens: p.max_tokens,
    };
    let runs = Slice::scratch(0, merge.bytes());
    let mut bindings = stage.bindings.clone();
    let [step, .., rope, out] = bindings[..] else { unreachable!("eight bindings") };
    bindings[7] = runs;
    let mut helpers = Recording::default();
    record_attend_merge(&mut helpers, [step, runs, rope, out], &merge);
    let (spec, per_token) = spec([p.n_heads, p.n_quads], config, merge.n_runs, RUN_BLOCK);
    Lowered {
        spec,
        n_workgroups: u64::from(p.max_tokens) * per_token,
        bindings: Some(bindings),
        scratch: vec![runs.bytes],
        after: helpers.stages,
        ..Lowered::default()
    }
}

/// Its parts' references, one after the other.
fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let [step, queries, window, entries, selected, sinks, rope] = call.inputs[..] else { unreachable!("seven inputs") };
    let stride = p.n_scores;
    let mut scores = vec![0; (p.max_tokens * p.n_heads * stride) as usize];
    (attend_score::OP.reference)(&mut Call {
        params: bytemuck::bytes_of(&p.score(stride)),
        spec: call.spec,
        inputs: vec![step, queries, window, entries, selected, sinks],
        outputs: vec![&mut scores],
        sample: call.sample,
    });
    let mut outputs = std::mem::take(&mut call.outputs);
    (attend::OP.reference)(&mut Call {
        params: bytemuck::bytes_of(&p.attend(stride)),
        spec: call.spec,
        inputs: vec![step, &scores, window, entries, selected, rope],
        outputs: outputs.iter_mut().map(|words| &mut **words).collect(),
        sample: call.sample,
    });
    call.outputs = outputs;
}

fn part_cases() -> Vec<Case> {
    // More keys than all runs have blocks. A window that wraps and selected entries; all entries; a window alone; more keys than a run,
    // more heads and vectors than a tile.
    vec![
        case(4, [1, 0], [16, 2], [2_300, 1, 1], 9),
        case(5, [4, 3], [40, 3], [257, 3, 4], 5),
        case(5, [8, 0], [12, 4], [6, 3, 3], 4),
        case(3, [0, 0], [4, 2], [0, 2, 2], 3),
        case(19, [4, 40], [132, 3], [300, 2, 2], 70),
        case(9, [4, 0], [260, 2], [500, 1, 2], 9),
    ]
}

/// `selection` are ratio and top, `head` its elements and pairs that turn, `tokens` the position, how many there are, and the capacity.
fn case(n_heads: u32, selection: [u32; 2], head: [u32; 2], tokens: [u32; 3], window_len: u32) -> Case {
    let [head_dim, rope_pairs] = head;
    let mut case = CaseBuilder::new(format!(
        "{n_heads} heads, [ratio, top] {selection:?}, [wide, pairs] {head:?}, [position, tokens, of] {tokens:?}, {window_len}"
    ));
    let mut keys = case_keys(&mut case, n_heads, selection, head_dim, tokens, window_len);
    let queries_stride = n_heads * head_dim + 4;
    let queries = case.random_values((tokens[2] * queries_stride) as usize);
    let queries = case.input("queries", &queries.iter().map(|v| 4.0 * v).collect::<Vec<_>>());
    let n_scores = (tokens[2] * n_heads * keys.scores_stride) as usize;
    keys.scores = case.input("scores", &vec![0u32; n_scores]);
    let sinks = case.random_values(n_heads as usize);
    let sinks = case.input("sinks", &sinks.iter().map(|v| 6.0 * v).collect::<Vec<_>>());
    let rope = case.input("rope", &rope::table(&rope::frequencies(rope_pairs, 160_000.0), 2_600));
    let out = case.output("out", (tokens[2] * n_heads * head_dim) as usize, 1e-4);
    record_attend_score(&mut case.recording, &keys, queries, queries_stride, sinks, 0.3);
    record_attend(&mut case.recording, &keys, rope, rope_pairs, out);
    case.finish()
}

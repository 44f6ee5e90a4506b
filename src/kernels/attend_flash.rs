//! `attend_flash`: attention of a few tokens over their window and compressed entries: scores, softmax with a sink and the weighted sum of
//! the keys in one pass (FlashAttention, Dao et al. 2022), by runs of keys that `attend_merge` puts together. A fusion of
//! `attend_score` and `attend`; it makes queries ready, too, and chooses the entries, so that nothing waits for those who did.

use std::borrow::Cow;

use crate::gpu::fuse;
use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Spec;
use crate::gpu::recording::{Cost, KeyCost};
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Recording, Slice, Stage, Variant};

use super::STEP;
use super::attend::{self, TURN_QUAD, record_attend};
use super::attend_merge::{self, record_attend_merge};
use super::attend_score::{self, record_attend_score};
use super::attend_shared::{FEW_TOKENS, MANY_KEYS, RUN_BLOCK, allows_quads, n_runs, space, spec};
use super::case::CaseBuilder;
use super::index_top_k::{self, FLOAT_ORDER, n_parts, record_index_top_k};
use super::index_top_k_parts::PART;
use super::index_top_k_radix::{DIGITS, TOP_K};
use super::keys::{ENTRIES_CHOSEN, ENTRIES_GIVEN, KEY_PLACES, KEYS, case_keys};
use super::linear_tiled::MIN_TOKENS;
use super::rope::{self, ROPE};
use super::rotate::{self, record_rotate};

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
        /// Added to a query head's mean square, where queries are made ready here.
        pub eps: f32,
        /// Scores of the indexer from token to token, where entries are chosen here; else 0.
        pub n_entries: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "attend_flash",
    variants: &[GIVEN, CHOOSING],
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
    cases: || [&RULE, &OF_QUERIES, &OF_SCORES].into_iter().flat_map(fuse::Rule::fused_cases).collect(),
};

/// Entries are given, where there are any.
const GIVEN: Variant = Variant {
    waits: true,
    allows: |stage| allows_quads(stage.params::<Params>().n_quads) && stage.params::<Params>().n_entries == 0,
    pays,
    ..Variant::only(
        "attend_flash",
        shader_text!("../../shaders/kernels/attend_flash.wgsl"),
        &[STEP, KEYS, ENTRIES_GIVEN, KEY_PLACES, ROPE, TURN_QUAD],
        Way { lower, space },
    )
};

/// Each workgroup chooses them, and keeps those of its run: as much work as in `index_top_k_radix` for all of them at once, which go over
/// the scores in the caches side by side.
const CHOOSING: Variant = Variant {
    name: "attend_flash_choosing",
    entry: "attend_flash",
    parts: &[STEP, KEYS, FLOAT_ORDER, TOP_K, ENTRIES_CHOSEN, KEY_PLACES, ROPE, TURN_QUAD],
    allows: |stage| {
        let p: Params = stage.params();
        allows_quads(p.n_quads) && p.n_entries > 0 && run_keys(&p) <= MOST_RUN_KEYS
    },
    // A context of 32,768 tokens has an entry more, the one that is being made.
    pays: |stage| pays(stage) && stage.params::<Params>().n_entries <= PART + 1,
    way: Way { lower, space: |_| Vec::new() },
    ..GIVEN
};

/// Keys of a run at most where entries are chosen: their places fit the 16 KiB of workgroup memory beside tiles and counts.
const MOST_RUN_KEYS: u32 = 256;

/// With few keys a run has few, and to make scores side by side is quicker, where queries are ready for that.
fn pays(stage: &Stage) -> bool {
    let p: Params = stage.params();
    p.max_tokens <= FEW_TOKENS && (p.n_scores > MANY_KEYS || stage.spec.value_of(READY) == Some(0))
}

/// Keys of a run at most.
fn run_keys(p: &Params) -> u32 {
    let n_keys = p.n_scores - 1;
    n_keys.div_ceil(RUN_BLOCK).div_ceil(n_runs(n_keys)) * RUN_BLOCK
}

/// Fact: 1 where queries are ready, 0 where they are made so.
const READY: &str = "READY";
/// Fact: 0 where entries are given, else of how many parts' size their scores are, for a tuner: what is right for few is not for many.
const CHOOSES: &str = "CHOOSES";

/// Takes the scores of a layer's heads and what becomes of them. The scores are not kept.
pub static RULE: fuse::Rule = fuse::Rule { parts: &["attend_score", "attend"], fuse, writers: &[], cases: part_cases };

/// Takes what makes queries ready for that. They are not kept so.
pub static OF_QUERIES: fuse::Rule =
    fuse::Rule { parts: &["rotate", "attend_flash"], fuse: fuse_queries, writers: &["linear"], cases: query_cases };

/// Takes the choice of entries as well. It is not kept.
pub static OF_SCORES: fuse::Rule =
    fuse::Rule { parts: &["index_top_k", "attend_flash"], fuse: fuse_scores, writers: &[], cases: score_cases };

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
        eps: 0.0,
        n_entries: 0,
        max_tokens: s.max_tokens,
    };
    let fits = (scores, window, entries, selected) == (same_scores, same_window, same_entries, same_selected)
        && bytemuck::bytes_of(&p.attend(s.scores_stride)) == attend.params
        && p.max_tokens < MIN_TOKENS;
    // Keys are read once by name, and scores neither written nor read.
    let both = |s: KeyCost, a: KeyCost| KeyCost { score_bytes: 0, score_ops: s.score_ops + a.score_ops, ..a };
    fits.then(|| Stage {
        op: &OP,
        spec: Spec::default().constant(READY, 1).constant(CHOOSES, 0),
        params: bytemuck::bytes_of(&p).to_vec(),
        bindings: vec![step, queries, window, entries, selected, sinks, rope, out],
        cost: Cost { bytes: score.cost.bytes + attend.cost.bytes, ops: score.cost.ops + attend.cost.ops },
        keys: score.keys.zip(attend.keys).map(|(s, a)| both(s, a)),
        ..attend.clone()
    })
}

fn fuse_queries(parts: &[Stage]) -> Option<Stage> {
    let [rotate, attend] = parts else { return None };
    let (r, a): (rotate::Params, Params) = (rotate.params(), attend.params());
    let [_, rope, queries] = rotate.bindings[..] else { return None };
    let p = Params { eps: r.eps, ..a };
    let fits = [queries, rope] == [attend.bindings[1], attend.bindings[6]]
        && bytemuck::bytes_of(&p.rotate()) == rotate.params
        && (attend.spec.value_of(READY), a.n_entries) == (Some(1), 0);
    fits.then(|| Stage {
        spec: Spec::default().constant(READY, 0).constant(CHOOSES, 0),
        params: bytemuck::bytes_of(&p).to_vec(),
        // Read where they were read and written before.
        cost: Cost { bytes: attend.cost.bytes, ops: rotate.cost.ops + attend.cost.ops },
        ..attend.clone()
    })
}

fn fuse_scores(parts: &[Stage]) -> Option<Stage> {
    let [choice, attend] = parts else { return None };
    let (c, a): (index_top_k::Params, Params) = (choice.params(), attend.params());
    let [step, scores, selected] = choice.bindings[..] else { return None };
    let fits = [step, selected] == [attend.bindings[0], attend.bindings[4]]
        && (c.ratio, c.top_k, c.max_tokens) == (a.ratio, a.top_k, a.max_tokens);
    let ready = attend.spec.value_of(READY)?;
    let mut bindings = attend.bindings.clone();
    bindings[4] = scores;
    // Of the choice nothing is written, and nothing read.
    let both = |c: KeyCost, a: KeyCost| KeyCost { choice_bytes: c.score_bytes, choice_ops: c.score_ops, ..a };
    fits.then(|| Stage {
        spec: Spec::default().constant(READY, ready).constant(CHOOSES, n_parts(c.n_entries)),
        params: bytemuck::bytes_of(&Params { n_entries: c.n_entries, ..a }).to_vec(),
        bindings,
        keys: choice.keys.zip(attend.keys).map(|(c, a)| both(c, a)),
        ..attend.clone()
    })
}

impl Params {
    fn rotate(&self) -> rotate::Params {
        rotate::Params {
            stride: 4 * self.queries_stride,
            first: 0,
            n_heads: self.n_heads,
            head_dim: 4 * self.n_quads,
            normalised: 1,
            rope_pairs: self.rope_pairs,
            eps: self.eps,
            max_tokens: self.max_tokens,
        }
    }

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
    let chooses = p.n_entries > 0;
    let config = if chooses { Config { vector_lanes: DIGITS, ..*config } } else { *config };
    let (mut spec, per_token) = spec([p.n_heads, p.n_quads], &config, merge.n_runs, RUN_BLOCK);
    if chooses {
        // Where runs are long there is room for one copy.
        let run_keys = run_keys(&p);
        let copies = if run_keys > RUN_BLOCK { 1 } else { 2 };
        spec = spec.constant("RUN_KEYS", run_keys).constant("COPIES", copies);
    }
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
    let [step, queries, window, entries, given, sinks, rope] = call.inputs[..] else { unreachable!("seven inputs") };
    let mut ready = Cow::Borrowed(queries);
    if call.constant(READY) == 0 {
        (rotate::OP.reference)(&mut Call {
            params: bytemuck::bytes_of(&p.rotate()),
            spec: call.spec,
            inputs: vec![step, rope],
            outputs: vec![ready.to_mut()],
            sample: None,
        });
    }
    let mut selected = Cow::Borrowed(given);
    if p.n_entries > 0 {
        let mut chosen = vec![0; (p.max_tokens * p.top_k) as usize];
        let choice =
            index_top_k::Params { n_entries: p.n_entries, ratio: p.ratio, top_k: p.top_k, max_tokens: p.max_tokens };
        (index_top_k::OP.reference)(&mut Call {
            params: bytemuck::bytes_of(&choice),
            spec: call.spec,
            inputs: vec![step, given],
            outputs: vec![&mut chosen],
            sample: None,
        });
        selected = Cow::Owned(chosen);
    }
    let stride = p.n_scores;
    let mut scores = vec![0; (p.max_tokens * p.n_heads * stride) as usize];
    (attend_score::OP.reference)(&mut Call {
        params: bytemuck::bytes_of(&p.score(stride)),
        spec: call.spec,
        inputs: vec![step, &ready, window, entries, &selected, sinks],
        outputs: vec![&mut scores],
        sample: call.sample,
    });
    let mut outputs = std::mem::take(&mut call.outputs);
    (attend::OP.reference)(&mut Call {
        params: bytemuck::bytes_of(&p.attend(stride)),
        spec: call.spec,
        inputs: vec![step, &scores, window, entries, &selected, rope],
        outputs: outputs.iter_mut().map(|words| &mut **words).collect(),
        sample: call.sample,
    });
    call.outputs = outputs;
}

/// A case by the rules before a rule's own.
fn fused_by(case: Case, rules: &[&fuse::Rule]) -> Case {
    Case { recording: fuse::fuse(&case.recording, rules), ..case }
}

fn part_cases() -> Vec<Case> {
    shapes().map(|shape| case(shape, &[])).collect()
}

fn query_cases() -> Vec<Case> {
    shapes().map(|shape| fused_by(case(shape, &["rotate"]), &[&RULE])).collect()
}

fn score_cases() -> Vec<Case> {
    let with_queries = |shape| fused_by(case(shape, &["index_top_k", "rotate"]), &[&RULE, &OF_QUERIES]);
    let shapes = [
        // Runs of several blocks; as many entries as there are, fewer and more; a run of window and entries; many more scores than a
        // workgroup takes in one turn.
        Shape { n_heads: 3, selection: [1, 1_500], head: [16, 2], tokens: [2_300, 1, 1], window_len: 9 },
        Shape { n_heads: 5, selection: [4, 3], head: [40, 3], tokens: [14, 3, 4], window_len: 5 },
        Shape { n_heads: 9, selection: [4, 40], head: [132, 3], tokens: [300, 2, 2], window_len: 70 },
        Shape { n_heads: 1, selection: [1, 600], head: [8, 4], tokens: [9_000, 1, 1], window_len: 128 },
    ];
    let ready = shapes[..2].iter().map(|shape| fused_by(case(*shape, &["index_top_k"]), &[&RULE]));
    ready.chain(shapes.into_iter().map(with_queries)).collect()
}

#[derive(Clone, Copy)]
struct Shape {
    n_heads: u32,
    /// Ratio and top.
    selection: [u32; 2],
    /// Elements, and pairs that turn.
    head: [u32; 2],
    /// The position, how many there are, and the capacity.
    tokens: [u32; 3],
    window_len: u32,
}

fn shapes() -> impl Iterator<Item = Shape> {
    // More keys than all runs have blocks. A window that wraps and selected entries; all entries; a window alone; more keys than a run,
    // more heads and vectors than a tile.
    [
        Shape { n_heads: 4, selection: [1, 0], head: [16, 2], tokens: [2_300, 1, 1], window_len: 9 },
        Shape { n_heads: 5, selection: [4, 3], head: [40, 3], tokens: [257, 3, 4], window_len: 5 },
        Shape { n_heads: 5, selection: [8, 0], head: [12, 4], tokens: [6, 3, 3], window_len: 4 },
        Shape { n_heads: 3, selection: [0, 0], head: [4, 2], tokens: [0, 2, 2], window_len: 3 },
        Shape { n_heads: 19, selection: [4, 40], head: [132, 3], tokens: [300, 2, 2], window_len: 70 },
        Shape { n_heads: 9, selection: [4, 0], head: [260, 2], tokens: [500, 1, 2], window_len: 9 },
    ]
    .into_iter()
}

/// With what comes before, by name: entries are chosen, queries are made ready.
fn case(shape: Shape, before: &[&str]) -> Case {
    let Shape { n_heads, selection, head, tokens, window_len } = shape;
    let ([head_dim, rope_pairs], [position, _, max_tokens]) = (head, tokens);
    let mut case = CaseBuilder::new(format!(
        "{before:?}, {n_heads} heads, [ratio, top] {selection:?}, [wide, pairs] {head:?}, [position, tokens, of] {tokens:?}, \
         {window_len}"
    ));
    let mut keys = case_keys(&mut case, n_heads, selection, head_dim, tokens, window_len);
    let queries_stride = n_heads * head_dim + 4;
    let queries = case.random_values((max_tokens * queries_stride) as usize);
    let queries = case.input("queries", &queries.iter().map(|v| 4.0 * v).collect::<Vec<_>>());
    let n_scores = (max_tokens * n_heads * keys.scores_stride) as usize;
    keys.scores = case.input("scores", &vec![0u32; n_scores]);
    let sinks = case.random_values(n_heads as usize);
    let sinks = case.input("sinks", &sinks.iter().map(|v| 6.0 * v).collect::<Vec<_>>());
    let n_positions = (position + max_tokens).next_multiple_of(256);
    let rope = case.input("rope", &rope::table(&rope::frequencies(rope_pairs, 160_000.0), n_positions));
    let out = case.output("out", (max_tokens * n_heads * head_dim) as usize, 1e-4);
    if before.contains(&"index_top_k") {
        let [ratio, top_k] = selection;
        let n_entries = (position + max_tokens) / ratio + 2;
        // Many are equal.
        let scores: Vec<f32> = (0..max_tokens * n_entries).map(|_| (case.random_u32() % 700) as f32 - 300.0).collect();
        let scores = case.input("index_scores", &scores);
        let step = keys.step;
        let flow = index_top_k::Flow { step, scores, n_entries, ratio, top_k, selected: keys.selected, max_tokens };
        record_index_top_k(&mut case.recording, &flow);
    }
    if before.contains(&"rotate") {
        let flow = rotate::Flow {
            step: keys.step,
            rope,
            rope_pairs,
            queries,
            stride: queries_stride,
            first: 0,
            n_heads,
            head_dim,
            eps: Some(1e-6),
            max_tokens,
        };
        record_rotate(&mut case.recording, "rotate", &flow);
    }
    record_attend_score(&mut case.recording, &keys, queries, queries_stride, sinks, 0.3);
    record_attend(&mut case.recording, &keys, rope, rope_pairs, out);
    case.finish()
}

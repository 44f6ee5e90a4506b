//! `attend`: softmax of the scores with a sink, the weighted sum of the keys, turned back by the query's position.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::space::{self, Change};
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Recording, Reduce, Slice, Stage, Variant};

use super::case::CaseBuilder;
use super::keys::{ENTRIES_GIVEN, KEYS, Keys, Rule, case_keys};
use super::linear_tiled::MIN_TOKENS;
use super::rope::{self, ROPE};
use super::{STEP, attend_shared};

crate::params! {
    /// Parameters of `attend`; the WGSL says what each is.
    pub struct Params {
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
        /// Scores from head to head.
        pub scores_stride: u32,
        /// Pairs that turn back, the last of a head.
        pub rope_pairs: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "attend",
    variants: &[
        Variant::only(
            "attend",
            shader_text!("../../shaders/kernels/attend.wgsl"),
            &[STEP, KEYS, ENTRIES_GIVEN, ROPE, TURN_QUAD],
            WAY,
        ),
        attend_shared::VARIANT,
        attend_shared::DECODE,
    ],
    bindings: &[
        ("step", Access::Read),
        ("scores", Access::Read),
        ("window", Access::Read),
        ("entries", Access::Read),
        ("selected", Access::Read),
        ("rope", Access::Read),
        ("out", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// The text that turns back what attention gives.
pub(super) const TURN_QUAD: &str = shader_text!("../../shaders/lib/turn_quad.wgsl");

/// Heads and vectors of 4 of a tile, where one invocation has a result to itself and tokens are many: it divides the loads and the
/// exponentials. With few tokens, tiles would be too few to fill an adapter.
const HEADS: u32 = 4;
const QUADS: u32 = 4;

/// Appends the stage `attend`, in tiles where that pays: the rotation table of [`rope::table`]; out
/// `[max_tokens, n_heads · head_dim]`, f32.
///
/// # Panics
/// When the keys' shapes disagree: shapes are checked before they come here.
pub fn record_attend(recording: &mut Recording, keys: &Keys, rope: Slice, rope_pairs: u32, out: Slice) {
    keys.check();
    assert!(2 * rope_pairs <= keys.head_dim, "attend: wide heads");
    let params = Params {
        n_heads: keys.n_heads,
        n_quads: keys.head_dim / 4,
        window_len: keys.window_len,
        window_ring: keys.window_ring,
        ratio: keys.ratio,
        top_k: keys.top_k,
        scores_stride: keys.scores_stride,
        rope_pairs,
        max_tokens: keys.max_tokens,
    };
    let bindings = [keys.step, keys.scores, keys.window, keys.entries, keys.selected, rope, out];
    let n_quads = u64::from(keys.max_tokens) * u64::from(keys.n_heads) * u64::from(params.n_quads);
    let cost = Cost { bytes: 16 * n_quads, ops: 0 };
    recording.push("attend", &OP, Spec::default(), n_quads, &params, &bindings, cost);
    recording.see_keys(keys.cost());
}

/// Tiles pay where invocations work alone, so how they add up stands for having tiles.
const WAY: Way = Way {
    lower,
    space: |caps| {
        let mut space = space::threads(caps);
        space.push([Reduce::Thread, Reduce::Workgroup].map(Change::Reduce).into());
        space
    },
};

fn lower(stage: &Stage, _: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let tiled = config.reduce == Reduce::Thread && p.max_tokens >= MIN_TOKENS;
    let (heads, quads) = if tiled { (HEADS, QUADS) } else { (1, 1) };
    let (spec, per_workgroup) = config.alone();
    let tiles = u64::from(p.n_heads.div_ceil(heads)) * u64::from(p.n_quads.div_ceil(quads));
    let n_workgroups = (u64::from(p.max_tokens) * tiles).div_ceil(u64::from(per_workgroup));
    (spec.constant("HEADS", heads).constant("QUADS", quads), n_workgroups).into()
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let (scores, window, entries): (&[f32], &[f32], &[f32]) = (call.input(1), call.input(2), call.input(3));
    let selected = call.inputs[4];
    let table: &[[f32; 2]] = call.input(5);
    let tokens = call.tokens(step.n_tokens.min(p.max_tokens));
    let [out] = call.outputs::<f32, 1>();
    let rule = Rule { window_len: p.window_len, window_ring: p.window_ring, ratio: p.ratio, top_k: p.top_k };
    let head_dim = 4 * p.n_quads as usize;
    for token in tokens {
        let position = step.position + token;
        let keys = rule.keys(position, token, [window, entries], selected, head_dim);
        for head in 0..p.n_heads {
            let at = (token * p.n_heads + head) as usize;
            let z = &scores[at * p.scores_stride as usize..];
            let (z, sink) = (&z[..keys.len()], z[keys.len()]);
            let greatest = z.iter().fold(sink, |a, b| a.max(*b));
            let total = z.iter().fold((sink - greatest).exp(), |sum, z| sum + (z - greatest).exp());
            let out = &mut out[at * head_dim..][..head_dim];
            out.fill(0.0);
            for (z, key) in z.iter().zip(&keys) {
                let weight = (z - greatest).exp() / total;
                out.iter_mut().zip(*key).for_each(|(o, value)| *o += weight * value);
            }
            rope::rotate_head(out, table, p.rope_pairs, position, -1.0);
        }
    }
}

fn cases() -> Vec<Case> {
    // A window that wraps and selected entries; all entries, from the first block's last token on; a window alone.
    vec![
        case(5, [4, 3], 40, 3, [257, 3, 4], 5),
        case(5, [4, 8], 8, 2, [11, 2, 2], 5),
        case(5, [8, 0], 12, 4, [6, 3, 3], 4),
        case(5, [0, 0], 4, 2, [0, 2, 2], 3),
        // Enough tokens for tiles: one and a part of heads and of vectors, then a part of vectors.
        case(5, [4, 3], 20, 3, [13, 7, 8], 5),
        case(5, [0, 0], 8, 2, [0, 8, 9], 3),
        // More keys than a block has, selected and not; more heads than a tile.
        case(19, [4, 40], 20, 3, [300, 15, 16], 70),
        case(9, [4, 0], 260, 2, [500, 1, 2], 9),
        // As many keys as a layer of V4 has behind a million tokens, and with a tile to each invocation.
        case(4, [1, 0], 16, 2, [8_300, 1, 1], 9),
        case(4, [1, 0], 16, 2, [8_300, 8, 8], 9),
    ]
}

fn case(n_heads: u32, selection: [u32; 2], head_dim: u32, rope_pairs: u32, tokens: [u32; 3], window_len: u32) -> Case {
    let name = format!(
        "{n_heads} heads, [ratio, top] {selection:?}, head {head_dim} with {rope_pairs} pairs, [position, tokens, of] {tokens:?}"
    );
    let mut case = CaseBuilder::new(name);
    let mut keys = case_keys(&mut case, n_heads, selection, head_dim, tokens, window_len);
    let mut scores: Vec<f32> =
        case.random_values((tokens[2] * keys.n_heads * keys.scores_stride) as usize).iter().map(|z| z * 20.0).collect();
    // One head's scores outweigh its sink, in any place among them; another's do not.
    for (head, scores) in scores.chunks_mut(keys.scores_stride as usize).enumerate() {
        let n_keys = keys.n_keys() as usize;
        scores[n_keys..].fill(if head % 2 == 0 { 60.0 } else { -60.0 });
    }
    keys.scores = case.input("scores", &scores);
    let rope = case.input("rope", &rope::table(&rope::frequencies(rope_pairs, 160_000.0), 9_000));
    let out = case.output("out", (tokens[2] * keys.n_heads * head_dim) as usize, 1e-4);
    record_attend(&mut case.recording, &keys, rope, rope_pairs, out);
    case.finish()
}

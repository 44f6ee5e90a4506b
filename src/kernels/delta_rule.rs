//! `delta_rule`: the recurrence of a gated delta net over the tokens of a step, one or many.

use crate::gpu::lower::{self, Way};
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Stage, Variant};

use super::case::CaseBuilder;
use super::{STEP, delta_rule_chunked, dot};

crate::params! {
    /// Parameters of `delta_rule`; the WGSL says what each is.
    pub struct Params {
        /// Heads of queries and of keys.
        pub n_key_heads: u32,
        /// Value heads.
        pub n_value_heads: u32,
        /// Columns of a head's state.
        pub value_dim: u32,
        /// 1 where value head h reads key head `h % n_key_heads`.
        pub is_tiled: u32,
        /// Elements from token to token in y.
        pub y_stride: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "delta_rule",
    variants: &[
        Variant::only(
            "delta_rule",
            shader_text!("../../shaders/kernels/delta_rule.wgsl"),
            &[STEP],
            Way {
                lower: |stage, caps, config| (lower::ROW.lower)(stage, caps, &config.within_turns(caps, turns(stage))),
                ..lower::ROW
            },
        ),
        delta_rule_chunked::VARIANT,
    ],
    bindings: &[
        ("step", Access::Read),
        ("y", Access::Read),
        ("gates", Access::Read),
        ("state", Access::Write),
        ("out", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Turns of loops of one invocation that keeps a column alone: it goes over it twice for each token.
fn turns(stage: &Stage) -> u64 {
    let key_dim = stage.spec.value_of("KEY_DIM").unwrap_or(0);
    u64::from(stage.params::<Params>().max_tokens) * u64::from(2 * key_dim + 3)
}

impl Params {
    /// The key head that a value head reads.
    pub(super) fn key_head(&self, head: usize) -> usize {
        match self.is_tiled {
            1 => head % self.n_key_heads as usize,
            _ => head * self.n_key_heads as usize / self.n_value_heads as usize,
        }
    }
}

/// The heads of a gated delta net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Heads of queries and of keys.
    pub n_key_heads: u32,
    /// Value heads, a multiple of `n_key_heads`.
    pub n_value_heads: u32,
    /// Elements of a query or key head.
    pub key_dim: u32,
    /// Elements of a value head.
    pub value_dim: u32,
    /// Whether value head h reads key head `h % n_key_heads`, as in a GGUF, and not `h * n_key_heads / n_value_heads`.
    pub is_tiled: bool,
}

impl Heads {
    /// Elements of a token: queries, keys, values.
    #[must_use]
    pub fn n_channels(&self) -> u32 {
        2 * self.n_key_heads * self.key_dim + self.value_width()
    }

    /// Elements of all value heads.
    #[must_use]
    pub fn value_width(&self) -> u32 {
        self.n_value_heads * self.value_dim
    }

    /// Elements of the state.
    #[must_use]
    pub fn state_len(&self) -> u64 {
        u64::from(self.value_width()) * u64::from(self.key_dim)
    }

    /// Parameters of the rule.
    pub(super) fn params(&self, max_tokens: u32) -> Params {
        Params {
            n_key_heads: self.n_key_heads,
            n_value_heads: self.n_value_heads,
            value_dim: self.value_dim,
            is_tiled: u32::from(self.is_tiled),
            y_stride: self.n_channels(),
            max_tokens,
        }
    }
}

/// What the rule reads and writes; all in f32.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// `[max_tokens, n_channels]`: queries and keys of length 1, values.
    pub y: Slice,
    /// `[max_tokens, n_value_heads, 2]`, of [`super::delta_heads`].
    pub gates: Slice,
    /// State `[n_value_heads, value_dim, key_dim]`. Zeros at position 0, whatever it holds.
    pub state: Slice,
    /// Output `[max_tokens, n_value_heads, value_dim]`.
    pub out: Slice,
    /// The heads.
    pub heads: Heads,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Appends the stage `delta`.
///
/// # Panics
/// When value heads do not share key heads evenly: shapes are checked before they come here.
pub fn record_delta_rule(recording: &mut Recording, flow: &Flow) {
    let Heads { n_key_heads, n_value_heads, key_dim, .. } = flow.heads;
    assert!(n_value_heads.is_multiple_of(n_key_heads), "delta_rule: as many value heads to each key head");
    let params = flow.heads.params(flow.max_tokens);
    let (tokens, state) = (u64::from(flow.max_tokens), flow.heads.state_len());
    let values = u64::from(flow.heads.n_channels() + flow.heads.value_width() + 2 * n_value_heads);
    let cost = Cost { bytes: 8 * state + 4 * values * tokens, ops: 7 * state * tokens };
    let facts = Spec::default().constant("KEY_DIM", key_dim);
    let bindings = [flow.step, flow.y, flow.gates, flow.state, flow.out];
    recording.push("delta", &OP, facts, flow.heads.value_width().into(), &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let key_dim = call.constant("KEY_DIM") as usize;
    let step = call.input::<Step>(0)[0];
    let (y, gates): (&[f32], &[[f32; 2]]) = (call.input(1), call.input(2));
    let [state, out] = call.outputs::<f32, 2>();
    let (n_heads, n_columns) = (p.n_value_heads as usize, (p.n_value_heads * p.value_dim) as usize);
    let n_keys = p.n_key_heads as usize * key_dim;
    for token in 0..step.n_tokens.min(p.max_tokens) as usize {
        let row = &y[token * p.y_stride as usize..];
        for (index, column) in state.chunks_exact_mut(key_dim).take(n_columns).enumerate() {
            let head = index / p.value_dim as usize;
            let key_head = p.key_head(head);
            let (q, k) = (&row[key_head * key_dim..][..key_dim], &row[n_keys + key_head * key_dim..][..key_dim]);
            let [kept, written] = gates[token * n_heads + head];
            let is_first = step.position == 0 && token == 0;
            column.iter_mut().for_each(|s| *s = if is_first { 0.0 } else { kept * *s });
            let u = written * (row[2 * n_keys + index] - dot(column, k));
            column.iter_mut().zip(k).for_each(|(s, k)| *s += k * u);
            out[token * n_columns + index] = dot(column, q);
        }
    }
}

fn cases() -> Vec<Case> {
    let heads = |n_key_heads, n_value_heads, key_dim, value_dim, is_tiled| Heads {
        n_key_heads,
        n_value_heads,
        key_dim,
        value_dim,
        is_tiled,
    };
    let mut cases = vec![
        case(heads(2, 4, 12, 5, false), [5, 4, 3], Kind::Random),
        case(heads(2, 6, 8, 3, true), [3, 3, 0], Kind::Random),
        case(heads(1, 1, 64, 9, false), [1, 1, 17], Kind::Random),
        case(heads(3, 3, 100, 4, true), [7, 7, 64], Kind::Random),
        // Those of models, in several chunks behind a text.
        case(heads(1, 2, 128, 128, false), [160, 150, 64], Kind::Random),
        // More tokens than llvmpipe lets one invocation go over (`Config::within_turns`).
        case(heads(1, 1, 128, 4, false), [400, 400, 64], Kind::Random),
        case(heads(2, 4, 128, 20, true), [130, 129, 1], Kind::Forgetful),
        case(heads(2, 4, 100, 36, false), [128, 96, 0], Kind::Repeated),
    ];
    // About the ends of chunks.
    let around = [15, 16, 17, 31, 32, 33, 63, 64, 65]
        .into_iter()
        .zip([Kind::Repeated, Kind::Forgetful, Kind::Random].into_iter().cycle());
    cases.extend(around.map(|(n, kind)| case(heads(3, 3, 44, 8, false), [72, n, 9], kind)));
    cases
}

/// What tokens of a case are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Unlike each other.
    Random,
    /// One key over and over, of length 1, each time written by 0.9, and nothing is forgotten.
    Repeated,
    /// Most is forgotten at once, so that products of what is kept are too small for f32; after some tokens nothing is kept.
    Forgetful,
}

/// Queries, keys and values of a case, and its gates.
pub(super) fn case_inputs(case: &mut CaseBuilder, heads: &Heads, max_tokens: u32, kind: Kind) -> [Slice; 2] {
    let (key_dim, n_keys) = (heads.key_dim as usize, (heads.n_key_heads * heads.key_dim) as usize);
    // Both gates lie between 0 and 1; keys that are much longer than 1 would let the state grow.
    let n_gates = (max_tokens * heads.n_value_heads * 2) as usize;
    let mut gates: Vec<f32> = case.random_values(n_gates).into_iter().map(f32::abs).collect();
    let shrink = 1.5 / (heads.key_dim as f32).sqrt();
    let mut y = case.random_values((max_tokens * heads.n_channels()) as usize);
    y.iter_mut().for_each(|v| *v *= shrink);
    match kind {
        Kind::Random => {}
        Kind::Repeated => {
            gates.as_chunks_mut().0.fill([1.0, 0.9]);
            let mut keys = y[n_keys..2 * n_keys].to_vec();
            for key in keys.chunks_exact_mut(key_dim) {
                let length = dot(key, key).sqrt();
                key.iter_mut().for_each(|k| *k /= length);
            }
            y.chunks_exact_mut(heads.n_channels() as usize)
                .for_each(|row| row[n_keys..2 * n_keys].copy_from_slice(&keys));
        }
        Kind::Forgetful => {
            for (i, [kept, _]) in gates.as_chunks_mut().0.iter_mut().enumerate() {
                *kept = if i % 11 == 10 { 0.0 } else { (-15.0 * *kept).exp() };
            }
        }
    }
    [case.input("y", &y), case.input("gates", &gates)]
}

/// `[max_tokens, n_tokens, position]`.
fn case(heads: Heads, [max_tokens, n_tokens, position]: [u32; 3], kind: Kind) -> Case {
    let name = format!("{heads:?}, {kind:?}, {n_tokens} of {max_tokens} at {position}");
    let mut case = CaseBuilder::new(name);
    let [y, gates] = case_inputs(&mut case, &heads, max_tokens, kind);
    let flow = Flow {
        step: case.step(position, n_tokens),
        y,
        gates,
        state: case.random_input("state", heads.state_len() as usize),
        out: case.output("out", (max_tokens * heads.value_width()) as usize, 1e-5),
        heads,
        max_tokens,
    };
    case.also_compare(flow.state, 1e-5);
    record_delta_rule(&mut case.recording, &flow);
    case.finish()
}

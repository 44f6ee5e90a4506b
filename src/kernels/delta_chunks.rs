//! `delta_chunks`: what a gated delta net's chunked rule takes of queries, keys and gates alone. A helper of `delta_rule_chunked`.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;
use super::delta_rule::{self, Heads, Kind, Params};
use super::{STEP, dot};

/// The kernel.
pub static OP: Op = Op {
    name: "delta_chunks",
    variants: &[Variant::only(
        "delta_chunks",
        shader_text!("../../shaders/kernels/delta_chunks.wgsl"),
        &[STEP],
        Way { lower: |stage, _, _| lowered(stage.n_results), space: |_| Vec::new() },
    )],
    bindings: &[("step", Access::Read), ("y", Access::Read), ("gates", Access::Read), ("chunks", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Invocations of a workgroup: one for each column of the longest chunk.
const WORKGROUP: u32 = 64;

fn lowered(n_results: u64) -> Lowered {
    (Spec::default().constant("WORKGROUP", WORKGROUP), n_results).into()
}

/// Words of the result for a chunk of `chunk` tokens and a head.
const fn len(chunk: u32) -> u32 {
    2 * chunk * (chunk + 1)
}

/// Bytes of the result for a stage of the rule.
pub(super) fn bytes(params: &Params, chunk: u32) -> u64 {
    n_results(params, chunk) * u64::from(len(chunk)) * 4
}

fn n_results(params: &Params, chunk: u32) -> u64 {
    u64::from(params.max_tokens.div_ceil(chunk)) * u64::from(params.n_value_heads)
}

/// Appends it, for chunks of `chunk` tokens: `[n_chunks, n_value_heads, len(chunk)]`.
pub(super) fn record_delta_chunks(
    recording: &mut Recording,
    [step, y, gates, chunks]: [Slice; 4],
    params: &Params,
    [key_dim, chunk]: [u32; 2],
) {
    let n = n_results(params, chunk);
    let pairs = u64::from(chunk) * u64::from(chunk);
    let cost =
        Cost { bytes: y.bytes + gates.bytes + chunks.bytes, ops: n * pairs * u64::from(2 * key_dim + chunk / 3) };
    let facts = Spec::default().constant("KEY_DIM", key_dim).constant("CHUNK", chunk);
    recording.push("delta_chunks", &OP, facts, n, params, &[step, y, gates, chunks], cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (key_dim, n) = (call.constant("KEY_DIM") as usize, call.constant("CHUNK") as usize);
    let step = call.input::<Step>(0)[0];
    let (y, gates): (&[f32], &[[f32; 2]]) = (call.input(1), call.input(2));
    let n_tokens = step.n_tokens.min(p.max_tokens) as usize;
    let [chunks] = call.outputs::<f32, 1>();
    let n_heads = p.n_value_heads as usize;
    for (index, part) in chunks.chunks_exact_mut(len(n as u32) as usize).enumerate() {
        let (first, head) = (index / n_heads * n, index % n_heads);
        if first >= n_tokens {
            break;
        }
        let token = |i: usize| (first + i).min(n_tokens - 1);
        let gate = |i: usize| if first + i < n_tokens { gates[token(i) * n_heads + head] } else { [1.0, 0.0] };
        let vector = |i: usize, head: usize| &y[token(i) * p.y_stride as usize + head * key_dim..][..key_dim];
        let query_head = p.key_head(head);
        let query = |i: usize| vector(i, query_head);
        let key = |i: usize| vector(i, p.n_key_heads as usize + query_head);
        let decay = |i: usize, j: usize| (j + 1..=i).fold(1.0, |product, m| product * gate(m)[0]);
        let (solve, rest) = part.split_at_mut(n * n);
        let (scores, ends) = rest.split_at_mut(n * n);
        solve.fill(0.0);
        scores.fill(0.0);
        for i in 0..n {
            solve[i * n + i] = gate(i)[1];
            for j in 0..i {
                let a = gate(i)[1] * dot(key(i), key(j)) * decay(i, j);
                (0..=j).for_each(|column| solve[i * n + column] -= a * solve[j * n + column]);
            }
            (0..=i).for_each(|j| scores[i * n + j] = dot(query(i), key(j)) * decay(i, j));
            ends[i] = gate(0)[0] * decay(i, 0);
            ends[n + i] = decay(n - 1, i);
        }
    }
}

fn cases() -> Vec<Case> {
    let heads = |n_key_heads, n_value_heads, key_dim, is_tiled| Heads {
        n_key_heads,
        n_value_heads,
        key_dim,
        value_dim: 4,
        is_tiled,
    };
    vec![
        case(heads(1, 2, 12, false), [70, 70], 32, Kind::Random),
        case(heads(2, 4, 20, true), [100, 65], 64, Kind::Forgetful),
        case(heads(1, 1, 128, true), [32, 31], 32, Kind::Repeated),
    ]
}

/// `[max_tokens, n_tokens]`.
fn case(heads: Heads, [max_tokens, n_tokens]: [u32; 2], chunk: u32, kind: Kind) -> Case {
    let mut case = CaseBuilder::new(format!("{heads:?}, {kind:?}, {n_tokens} of {max_tokens} by {chunk}"));
    let params = heads.params(max_tokens);
    let [y, gates] = delta_rule::case_inputs(&mut case, &heads, max_tokens, kind);
    let step = case.step(5, n_tokens);
    let chunks = case.output("chunks", (bytes(&params, chunk) / 4) as usize, 1e-5);
    record_delta_chunks(&mut case.recording, [step, y, gates, chunks], &params, [heads.key_dim, chunk]);
    case.finish()
}

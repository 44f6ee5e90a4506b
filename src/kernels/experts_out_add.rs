//! `experts_out_add`: the down projections of a token's experts join the residual stream, for a few tokens. A fusion of
//! `experts_out` and `add`.

use crate::format::Format;
use crate::gpu::fuse::Rule;
use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Step;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Stage, Variant, space};

use super::experts::{Odd, Shard, odd_case, record_experts_out};
use super::experts_out::{self, INPUT_HIDDEN, Params, SLOTS, in_order, sharing};
use super::matrix::with_codes;
use super::rows::{Needed, Rows};
use super::{STEP, add};

/// The kernel. Its text and parameters are those of `experts_out`.
pub static OP: Op = Op {
    name: "experts_out_add",
    variants: &[Variant {
        entry: "experts_out",
        ..Variant::only(
            "experts_out_add",
            experts_out::SOURCE,
            &[STEP, INPUT_HIDDEN, shader_text!("../../shaders/lib/slots_added.wgsl")],
            Way { lower, space: space::rows_of_weights },
        )
    }],
    bindings: &[
        ("step", Access::Read),
        ("hidden", Access::Read),
        ("experts", Access::Read),
        ("quants", Access::Read),
        ("scales", Access::Read),
        ("outputs", Access::Write),
        ("stream", Access::Read),
    ],
    params: Params::FIELDS,
    reference,
    cases: || RULE.fused_cases(),
};

/// Takes the products of all experts, and `add` of them. Where weights lie in several shards, or another network stands beside
/// the experts, the stage before `add` begins with a later expert or is none of theirs.
pub static RULE: Rule = Rule { parts: &["experts_out", "add"], fuse, writers: &["linear"], cases: part_cases };

fn fuse(parts: &[Stage]) -> Option<Stage> {
    let [products, add] = parts else { return None };
    let (p, a): (Params, add::Params) = (products.params(), add.params());
    let [step, hidden, experts, quants, scales, outputs] = products.bindings[..] else { return None };
    let [_, stream, added, _, next] = add.bindings[..] else { return None };
    let fits = outputs == added
        && (p.n_embd, p.n_slots, p.max_tokens) == (4 * a.n_quads, a.n_slots, a.max_tokens)
        && p.first_expert == 0
        && add.spec.value_of(add::BIAS) == Some(0);
    let n = u64::from(p.max_tokens) * u64::from(p.n_slots) * u64::from(p.n_embd);
    fits.then(|| Stage {
        op: &OP,
        bindings: vec![step, hidden, experts, quants, scales, next, stream],
        n_results: products.n_results / u64::from(p.n_slots),
        // The products are neither written nor read.
        cost: Cost {
            bytes: (products.cost.bytes + add.cost.bytes).saturating_sub(8 * n),
            ops: products.cost.ops + add.cost.ops,
        },
        ..products.clone()
    })
}

fn lower(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let (spec, n_workgroups) = sharing(&Params { n_slots: 1, ..p }, caps, config);
    (with_codes(spec.constant(SLOTS, p.n_slots), stage, caps, config), n_workgroups).into()
}

/// The rows that results need: one of each expert that is chosen.
pub(super) fn needed(call: &Call<'_>) -> Needed {
    let p: Params = call.params();
    let mut needed = p.needed(&in_order(call, &p));
    needed.others = needed.rows.iter().skip(1).map(|rows| rows.start - needed.rows[0].start).collect();
    needed.rows.truncate(1);
    needed
}

/// Its parts' references, one after the other, of the rows that are wanted.
fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let [step, hidden, experts, quants, scales, _] = call.inputs[..] else { unreachable!("six inputs") };
    let stream: &[f32] = call.input(5);
    let tokens = call.tokens(call.input::<Step>(0)[0].n_tokens.min(p.max_tokens));
    let (width, n_slots) = (p.n_embd as usize, p.n_slots as usize);
    let mut outputs = vec![0u32; p.max_tokens as usize * n_slots * width];
    let mut products = Call {
        params: call.params,
        spec: call.spec,
        inputs: vec![step, hidden, experts, quants, scales],
        outputs: vec![&mut outputs],
        sample: call.sample,
    };
    // A row is there of every expert that is chosen, or of none.
    let first = in_order(&products, &p).iter().map(|(_, expert)| expert * p.n_embd).min().unwrap_or(0);
    let rows = Rows::of(&products, p.n_blocks);
    let wanted: Vec<usize> = rows.wanted(first..first + p.n_embd).map(|row| (row - first) as usize).collect();
    (experts_out::OP.reference)(&mut products);
    let [y] = call.outputs::<f32, 1>();
    for token in tokens.into_iter().map(|token| token as usize) {
        let slots = &outputs[token * n_slots * width..][..n_slots * width];
        for row in &wanted {
            let products = slots.iter().skip(*row).step_by(width).map(|bits| f32::from_bits(*bits));
            y[token * width + row] = products.fold(stream[token * width + row], |sum, product| sum + product);
        }
    }
}

fn part_cases() -> Vec<Case> {
    [Format::F16, Format::Q8_0, Format::Q4_0, Format::Q4_K, Format::MXFP4, Format::Q6_K]
        .map(|format| case(format, [20, 256], 7, [3, 2]))
        .into_iter()
        // Rows that end before their last block does; and no shard has the last expert, whose slot counts as zeros.
        .chain([case(Format::F32, [36, 12], 7, [1, 1]), case(Format::Q4_0, [36, 96], 6, [5, 5])])
        .collect()
}

/// `tokens` are the capacity, and how many there are.
fn case(format: Format, [n_embd, n_hidden]: [u32; 2], n_in_shard: u32, [max_tokens, n_tokens]: [u32; 2]) -> Case {
    let odd = Odd { format, n_embd, n_hidden, first_expert: 0, n_in_shard, max_tokens, n_tokens, tiled: false };
    let (mut case, mut flow) = odd_case("out and add", &odd);
    let matrix = case.matrix("w", format, (n_in_shard * n_embd) as usize, n_hidden as usize);
    let (n, n_entries) = ((max_tokens * n_embd) as usize, max_tokens * flow.n_slots);
    flow.hidden = case.random_input("hidden", (n_entries * n_hidden) as usize);
    flow.outputs = case.input("outputs", &vec![0u32; (n_entries * n_embd) as usize]);
    record_experts_out(&mut case.recording, &Shard { matrix, first_expert: 0, n_experts: n_in_shard }, &flow);
    let add = add::Flow {
        step: flow.step,
        stream: case.random_input("stream", n),
        outputs: flow.outputs,
        n_slots: flow.n_slots,
        bias: None,
        next: case.output("next", n, 1e-4),
        n_embd,
        max_tokens,
    };
    add::record_add(&mut case.recording, "ffn_add", &add);
    case.finish()
}

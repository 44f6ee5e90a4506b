//! What the kernels of the experts share: where they read and write, the shards of weights, and the small cases on
//! which both forms of each, for few tokens and for many, are held against one reference.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::format::Format;
use crate::gpu::recording::Cost;
use crate::gpu::{Call, Recording, Slice, Stage};

use super::case::CaseBuilder;
use super::experts_group::record_experts_group;
use super::linear_tiled::MIN_TOKENS;
use super::matrix::Matrix;

pub use super::experts_in::record_experts_in;
pub use super::experts_out::record_experts_out;

/// Consecutive experts' rows of one weight matrix.
#[derive(Clone, Copy, Debug)]
pub struct Shard {
    /// For `experts_in`: the gate rows of all experts of the shard, `n_hidden` each, and after all of them the up rows
    /// alike. For `experts_out`: the down rows, `n_embd` each.
    pub matrix: Matrix,
    /// Id of the shard's first expert; the shared expert's id is the model's number of routed experts.
    pub first_expert: u32,
    /// Experts in the shard.
    pub n_experts: u32,
}

/// For each expert, the tokens that go to it: what `experts_group` writes.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    /// `token · n_slots + slot`, in order: `[n_experts + n_shared, max_tokens]`, u32.
    pub lists: Slice,
    /// Entries of each list: `[n_experts + n_shared]`, u32.
    pub counts: Slice,
}

/// What the kernels of the experts read and write.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Input `[max_tokens, n_embd]`, f32.
    pub x: Slice,
    /// Expert of each slot: `[max_tokens, n_slots]`, u32.
    pub experts: Slice,
    /// Weight of each slot: `[max_tokens, n_slots]`, f32.
    pub weights: Slice,
    /// Between `experts_in` and `experts_out`: `[max_tokens, n_slots, n_hidden]`, f32.
    pub hidden: Slice,
    /// Output, one for each slot: `[max_tokens, n_slots, n_embd]`, f32.
    pub outputs: Slice,
    /// Width of the residual stream, a multiple of 4.
    pub n_embd: u32,
    /// Hidden units of an expert, a multiple of 4.
    pub n_hidden: u32,
    /// Experts of a token, the shared one included.
    pub n_slots: u32,
    /// Shared experts among them, 0 or 1.
    pub n_shared: u32,
    /// Routed experts of a layer.
    pub n_experts: u32,
    /// Where the gate (above) and the up projection (both ways) are cut off.
    pub limit: f32,
    /// The tokens of each expert, for the form that tiles over tokens.
    pub groups: Option<Groups>,
    /// Tokens to compute at most.
    pub max_tokens: u32,
}

/// Where a step has many tokens, appends their grouping by expert, so that an expert's weights are read once for all of
/// them; gives the flow of the stages that follow.
pub fn record_grouping(recording: &mut Recording, flow: Flow, groups: Groups) -> Flow {
    if flow.max_tokens < MIN_TOKENS {
        return flow;
    }
    let flow = Flow { groups: Some(groups), ..flow };
    record_experts_group(recording, &flow);
    flow
}

impl Flow {
    /// What a dispatch over a shard is expected to move and do when tokens choose experts evenly. `n_read` and
    /// `n_written` are values of a slot.
    pub(super) fn cost(&self, shard: &Shard, n_read: u32, n_written: u32) -> Cost {
        let tokens = u64::from(self.max_tokens);
        let n_all = u64::from(shard.n_experts.max(1));
        let n_routed = u64::from(self.n_experts.saturating_sub(shard.first_expert)).min(n_all);
        let weights = u64::from(shard.matrix.n_rows) * u64::from(shard.matrix.n_in);
        // Of `n` experts of the shard each is chosen `chosen / of` times: a fraction, so that shards add up to the whole.
        let part = |n: u64, chosen: u64, of: u64| {
            let values = n * (u64::from(n_read) + u64::from(n_written));
            Cost {
                bytes: shard.matrix.bytes() * n / n_all * chosen.min(of) / of + values * chosen / of * 4,
                ops: 2 * weights * n / n_all * chosen / of,
            }
        };
        let n_chosen = tokens * u64::from(self.n_slots.saturating_sub(self.n_shared));
        let routed = part(n_routed, n_chosen, u64::from(self.n_experts.max(1)));
        let shared = part(n_all - n_routed, tokens, 1);
        Cost { bytes: routed.bytes + shared.bytes, ops: routed.ops + shared.ops }
    }

    /// Tiles of `tokens_per_tile` entries of one expert's list that a shard can need at most.
    pub(super) fn max_tiles(&self, shard: &Shard, tokens_per_tile: u32) -> u64 {
        max_tiles([shard.n_experts, self.n_slots, self.max_tokens], tokens_per_tile)
    }
}

fn max_tiles([n_experts, n_slots, max_tokens]: [u32; 3], tokens_per_tile: u32) -> u64 {
    let (tokens, experts) = (u64::from(max_tokens), u64::from(n_experts));
    let entries = tokens * u64::from(n_slots.min(n_experts));
    let per_expert = tokens.div_ceil(u64::from(tokens_per_tile));
    (experts * per_expert).min(entries / u64::from(tokens_per_tile) + experts)
}

/// How a tile in workgroup memory finds its expert and its entries.
pub(super) const EXPERT_TILE: &str = shader_text!("../../shaders/lib/expert_tile.wgsl");

/// The entries of a step, over the experts of a shard.
pub(super) struct Load {
    /// Experts of the shard, experts of a token, tokens.
    counts: [u32; 3],
    /// Entries of an expert when tokens choose evenly.
    per_expert: u64,
}

impl Load {
    /// Of a stage whose experts have so many weights each.
    pub(super) fn of(stage: &Stage, n_weights: u64, counts: [u32; 3]) -> Self {
        let each = 2 * n_weights.max(1) * u64::from(counts[0].max(1));
        Self { counts, per_expert: stage.cost.ops.div_ceil(each) }
    }

    /// Entries that most experts' lists do not exceed: twice as many as on average, so that few experts are read twice.
    pub(super) fn usual_tokens(&self) -> u64 {
        (2 * self.per_expert).min(u64::from(self.counts[2]))
    }

    /// Whether an expert's list fills enough of a tile in workgroup memory to beat tiles of four in registers.
    pub(super) fn is_worth_tiles(&self) -> bool {
        self.per_expert >= MIN_ENTRIES
    }

    /// Tiles of so many entries that the step can need at most.
    pub(super) fn max_tiles(&self, tokens_per_tile: u32) -> u64 {
        max_tiles(self.counts, tokens_per_tile)
    }
}

/// Entries of an expert from which on tiles in workgroup memory are thought to pay.
const MIN_ENTRIES: u64 = 8;

/// The entries of all lists with their experts, for references.
pub(super) fn listed<'a>(lists: &'a [u32], counts: &'a [u32], max_tokens: u32) -> impl Iterator<Item = (usize, u32)> {
    let lists = lists.chunks(max_tokens as usize).zip(counts).zip(0..);
    lists.flat_map(|((list, count), expert)| {
        list.iter().take(*count as usize).map(move |entry| (*entry as usize, expert))
    })
}

/// Entries with their experts as a call wants them: of some tokens, and of experts in the shard, by their number in it.
pub(super) fn wanted(
    call: &Call<'_>,
    n_slots: u32,
    shard: Range<u32>,
    entries: impl Iterator<Item = (usize, u32)>,
) -> Vec<(usize, u32)> {
    let is_wanted = |entry: usize| {
        let token = entry as u32 / n_slots;
        call.sample.is_none_or(|sample| sample.tokens.binary_search(&token).is_ok())
    };
    let entries = entries.filter(|(entry, expert)| shard.contains(expert) && is_wanted(*entry));
    entries.map(|(entry, expert)| (entry, expert - shard.start)).collect()
}

/// The rows that the experts of some entries have, `n` each.
pub(super) fn rows_of(entries: &[(usize, u32)], n: u32) -> Vec<Range<u32>> {
    let experts: BTreeSet<u32> = entries.iter().map(|(_, expert)| *expert).collect();
    experts.into_iter().map(|expert| expert * n..(expert + 1) * n).collect()
}

/// Shape of a case: experts `first_expert` and on, `n_in_shard` of them, out of 6 routed and a shared one; 3 slots.
#[derive(Clone, Copy)]
pub(super) struct Odd {
    pub(super) format: Format,
    pub(super) n_embd: u32,
    pub(super) n_hidden: u32,
    pub(super) first_expert: u32,
    pub(super) n_in_shard: u32,
    pub(super) max_tokens: u32,
    pub(super) n_tokens: u32,
    pub(super) tiled: bool,
}

/// A case with all inputs but the weights, whose stage is still to be pushed.
pub(super) fn odd_case(kernel: &str, odd: &Odd) -> (CaseBuilder, Flow) {
    let Odd { format, n_embd, n_hidden, first_expert, n_in_shard, max_tokens, n_tokens, tiled } = *odd;
    let name = format!(
        "{kernel} {format}, width {n_embd}, {n_hidden} hidden, experts {first_expert} + {n_in_shard}, \
         {n_tokens} of {max_tokens}, tiled {tiled}"
    );
    let mut case = CaseBuilder::new(name);
    let (n_experts, n_slots) = (6, 3);
    // Two different routed experts and the shared one; what lies beyond n_tokens names experts too, and must not count.
    let mut experts = Vec::new();
    for _ in 0..max_tokens {
        let first = case.random_u32() % n_experts;
        experts.extend([first, (first + 1 + case.random_u32() % (n_experts - 1)) % n_experts, n_experts]);
    }
    let groups = tiled.then(|| {
        let mut lists = vec![0u32; ((n_experts + 1) * max_tokens) as usize];
        let mut counts = vec![0u32; n_experts as usize + 1];
        for (entry, expert) in experts[..(n_tokens * n_slots) as usize].iter().enumerate() {
            lists[(expert * max_tokens + counts[*expert as usize]) as usize] = entry as u32;
            counts[*expert as usize] += 1;
        }
        Groups { lists: case.input("lists", &lists), counts: case.input("counts", &counts) }
    });
    let step = case.step(3, n_tokens);
    let n_entries = (max_tokens * n_slots) as usize;
    let x = case.random_values((max_tokens * n_embd) as usize);
    let flow = Flow {
        step,
        x: case.input("x", &x),
        experts: case.input("experts", &experts),
        weights: case.random_input("weights", n_entries),
        hidden: step,
        outputs: step,
        n_embd,
        n_hidden,
        n_slots,
        n_shared: 1,
        n_experts,
        limit: 1.0,
        groups,
        max_tokens,
    };
    (case, flow)
}

/// The shapes that both forms of both kernels are held against.
pub(super) fn odd_shapes(tiled: bool) -> Vec<Odd> {
    let odd = |format, n_embd, n_hidden, first_expert, n_in_shard, max_tokens, n_tokens| Odd {
        format,
        n_embd,
        n_hidden,
        first_expert,
        n_in_shard,
        max_tokens,
        n_tokens,
        tiled,
    };
    let mut shapes = vec![
        odd(Format::F32, 36, 12, 0, 6, 3, 2),
        odd(Format::Q8_0, 64, 96, 2, 3, 9, 7),
        odd(Format::Q4_K, 256, 256, 6, 1, 2, 2),
        odd(Format::MXFP4, 64, 32, 4, 2, 11, 11),
    ];
    // What else comes as codes of 8 bits.
    let simple = [Format::Q4_0, Format::Q4_1, Format::Q5_0, Format::Q5_1, Format::NVFP4];
    shapes.extend(simple.map(|format| odd(format, 64, 64, 6, 1, 2, 2)));
    let of_256 = [Format::Q2_K, Format::Q3_K, Format::Q5_K, Format::Q6_K, Format::TQ2_0];
    shapes.extend(of_256.map(|format| odd(format, 256, 256, 6, 1, 1, 1)));
    if tiled {
        // More than one tile in workgroup memory each way, none of them whole; and several experts to a shard.
        shapes.push(odd(Format::F32, 132, 68, 6, 1, 140, 133));
        shapes.push(odd(Format::F32, 72, 36, 1, 4, 50, 47));
        shapes.push(odd(Format::Q8_0, 160, 96, 6, 1, 70, 67));
        shapes.push(odd(Format::Q4_1, 96, 160, 1, 4, 50, 47));
    }
    shapes
}

//! Multi-head latent attention in plain form, for steps of a prompt: keys and values of every head are made of the latents of
//! all positions so far, and each head attends to its own. A product of a query with a key and its value then takes a third
//! or less of what it takes absorbed (320 multiplications in V3, 1,088 absorbed), and what is made of a latent is made by
//! products of matrices; but it is made anew in every step, for the positions before it too.

use crate::gpu::op::Step;
use crate::gpu::recording::{Cost, KeyCost};
use crate::gpu::{Arena, Problem, Purpose, Recording, Slice, Tuning};
use crate::kernels::cache::{CacheTypes, KEY_BLOCK};
use crate::kernels::experts::Shard;
use crate::kernels::grouped_heads::Cache;
use crate::kernels::linear::{self, record_linear};
use crate::kernels::linear_transposed::{self, record_linear_transposed};
use crate::kernels::{Matrix, mla_expand, mla_rows};
use crate::model::mla::Shape;

use super::sublayer::Sublayer;

/// Bytes of one buffer at most: every adapter binds so many, and a plan must not differ between the adapters that are compared.
const MOST_BYTES: u64 = (128 << 20) - 4096;

/// When the plain form may be taken, and when it is less work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// Positions before which it may be.
    pub until: u32,
    n_heads: u32,
    /// Multiplications, for a head: that make a key and a value of a latent, and for each pair of a query and a key, plain
    /// and absorbed.
    make: u64,
    pair: u64,
    absorbed_pair: u64,
}

/// Names of the two forms among a tuner's choices.
pub const FORMS: [&str; 2] = ["absorbed", "plain"];

impl Plain {
    /// Of a model with room for `n_positions`, whose rows are kept as `types` says of keys; `None` where it cannot be.
    pub(super) fn of(shape: &Shape, n_positions: u32, types: CacheTypes) -> Option<Self> {
        let until = Self::room(shape, n_positions, types).min(shape.indexer.map_or(u32::MAX, |of| of.top_k));
        let (head_dim, value_dim) = (u64::from(shape.head_dim()), u64::from(shape.value_dim));
        let (kv_lora, row_dim) = (u64::from(shape.kv_lora), u64::from(shape.row_dim()));
        // Values lie as far apart as keys.
        (until > 1 && value_dim <= head_dim).then_some(Self {
            until,
            n_heads: shape.n_heads,
            make: kv_lora * (u64::from(shape.nope_dim) + value_dim),
            pair: head_dim + value_dim,
            absorbed_pair: row_dim + kv_lora,
        })
    }

    /// Positions that buffers have room for, whole blocks of keys.
    fn room(shape: &Shape, n_positions: u32, types: CacheTypes) -> u32 {
        let widest = (4 * (shape.nope_dim + shape.value_dim)).max(shape.head_dim() * types.keys.bytes() as u32);
        let fits = MOST_BYTES / (u64::from(shape.n_heads) * u64::from(widest)).max(1);
        n_positions.min(u32::try_from(fits).unwrap_or(u32::MAX)) / KEY_BLOCK * KEY_BLOCK
    }

    /// What a tuner's choice among the forms goes by.
    pub(in crate::engine) fn problem(&self, n_tokens: u32) -> Problem {
        let n_results = u64::from(n_tokens) * u64::from(self.n_heads);
        let pairs = u64::from(n_tokens) * (u64::from(n_tokens) + 1) / 2;
        let ops = 2 * u64::from(self.n_heads) * (u64::from(n_tokens) * self.make + pairs * self.pair);
        Problem { kernel: "latent_attention".to_owned(), facts: Vec::new(), n_results, bytes: 0, ops }
    }

    /// Whether a step of `n_tokens` at `position` is better taken so, by what a tuner found for steps of up to `n_chunk` tokens at
    /// the beginning of a text, and by the number of multiplications: absorbed, what is made of latents is made of the step's own
    /// tokens only, and the two are as many there.
    pub(in crate::engine) fn is_better(&self, position: u32, n_tokens: u32, n_chunk: u32, tuning: &Tuning) -> bool {
        let end = position.saturating_add(n_tokens);
        if n_tokens < 2 || end > self.until {
            return false;
        }
        let [n, before] = [n_tokens, position].map(u64::from);
        let pairs = n * before + n * (n + 1) / 2;
        let is_less = before * self.make + pairs * self.pair < pairs * self.absorbed_pair;
        match tuning.choices().get(&self.problem(n_chunk)) {
            None => is_less,
            Some(choice) => choice.variant == FORMS[1] && (is_less || position == 0),
        }
    }
}

/// Buffers that all layers share.
#[derive(Clone, Copy)]
pub(super) struct Buffers {
    /// A step whose tokens are the positions so far.
    seen: Slice,
    /// Their latents, `[n_positions, kv_lora]`, f32.
    rows: Slice,
    /// What is made of them, `[n_positions, [n_heads, nope_dim] | [n_heads, value_dim]]`, f32.
    made: Slice,
    /// That and the part that turns, as attention reads it: a key head for each head.
    pub heads: Cache,
    nope_dim: u32,
}

impl Buffers {
    /// For a model with room for `n_positions`, whose rows are kept as `types` says of keys.
    pub(super) fn plan(arena: &mut Arena, shape: &Shape, n_positions: u32, types: CacheTypes) -> Self {
        let n_positions = Plain::room(shape, n_positions, types);
        let (n_heads, head_dim, value_dim) = (shape.n_heads, shape.head_dim(), shape.value_dim);
        let mut room = |what: &str, n: u64| arena.words(what, n, Purpose::Scratch);
        let positions = |width: u32| u64::from(n_positions) * u64::from(width);
        let of_keys = types.keys.words(positions(n_heads) * u64::from(head_dim));
        let types = CacheTypes { values: types.keys, ..types };
        Self {
            seen: room("seen", size_of::<Step>() as u64 / 4),
            rows: room("latent_rows", positions(shape.kv_lora)),
            made: room("made", positions(n_heads) * u64::from(shape.nope_dim + value_dim)),
            heads: Cache {
                types,
                keys: room("plain_keys", of_keys),
                values: room("plain_values", of_keys),
                n_positions,
                n_heads,
                n_kv_heads: n_heads,
                head_dim,
                value_dim,
            },
            nope_dim: shape.nope_dim,
        }
    }
}

/// What makes keys and values of latents.
pub(super) struct Makers<'a> {
    pub keys: &'a [Shard],
    /// Whether each head's matrix of keys is transposed: `[n_heads * kv_lora, nope_dim]`.
    pub by_columns: bool,
    pub values: &'a [Matrix],
}

/// Appends the stages that make keys and values of the latents in `latents`, which has rows of `row_dim` elements.
pub(super) fn record_keys_and_values(
    recording: &mut Recording,
    at: &Sublayer,
    buffers: &Buffers,
    (latents, row_dim, kv_lora): (Slice, u32, u32),
    makers: &Makers<'_>,
) {
    let Buffers { seen, rows, made, heads, nope_dim } = *buffers;
    mla_rows::record_mla_rows(
        recording,
        &mla_rows::Flow {
            step: at.step,
            latents,
            cache: heads.types.keys,
            row_dim,
            n_latent: kv_lora,
            rows,
            seen,
            max_positions: heads.n_positions,
            max_tokens: at.n,
        },
    );
    let stride = heads.n_heads * (nope_dim + heads.value_dim);
    let max_tokens = heads.n_positions;
    let flow = |y_offset| {
        let at = Sublayer { step: seen, n: max_tokens, ..*at };
        linear::Flow { y_offset, ..at.rows(rows, kv_lora, made, stride) }
    };
    for shard in makers.keys {
        if makers.by_columns {
            let flow = linear_transposed::Flow {
                step: seen,
                x: rows,
                x_stride: kv_lora,
                x_group_stride: 0,
                y: made,
                y_stride: stride,
                y_group_stride: nope_dim,
                max_tokens,
            };
            record_linear_transposed(recording, "make_keys", shard, &flow);
        } else {
            let matrix = Matrix { first_row: shard.first_expert * nope_dim, ..shard.matrix };
            record_linear(recording, "make_keys", &matrix, flow(0));
        }
        see_positions(recording, &shard.matrix, at.n);
    }
    for matrix in makers.values {
        record_linear(recording, "make_values", matrix, flow(heads.n_heads * nope_dim));
        see_positions(recording, matrix, at.n);
    }
    mla_expand::record_mla_expand(
        recording,
        &mla_expand::Flow { step: at.step, latents, row_dim, made, nope_dim, heads, max_tokens: at.n },
    );
}

/// Says that the last stage, a product recorded for all positions that there is room for, has as many rows as there are
/// positions so far: `n` of the step's own, and those before.
fn see_positions(recording: &mut Recording, w: &Matrix, n: u32) {
    let (n_rows, n_in) = (u64::from(w.n_rows), u64::from(w.n_in));
    let (bytes, ops) = (4 * (n_rows + n_in), 2 * n_rows * n_in);
    if let Some(stage) = recording.stages.last_mut() {
        stage.cost = Cost { bytes: w.bytes() + u64::from(n) * bytes, ops: u64::from(n) * ops };
    }
    recording.see_keys(KeyCost::before(n, bytes, ops));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{Choice, Config};

    /// A head of V3.
    fn v3(until: u32) -> Plain {
        Plain { until, n_heads: 128, make: 512 * 256, pair: 192 + 128, absorbed_pair: 576 + 512 }
    }

    #[test]
    fn it_is_taken_where_it_is_fewer_multiplications_and_has_room() {
        let guess = Tuning::default();
        let is_better = |position, n| v3(4096).is_better(position, n, 512, &guess);
        // At the beginning of a text always, later from 512 · 256 / (1,088 - 320) = 171 tokens on.
        assert!(is_better(0, 2) && is_better(0, 512) && !is_better(0, 1));
        assert!(!is_better(2048, 128) && is_better(2048, 192));
        assert!(is_better(3584, 512) && !is_better(3585, 512) && !is_better(u32::MAX, 512));
    }

    #[test]
    fn what_a_tuner_found_is_followed() {
        let plain = v3(4096);
        let with = |form: &str| {
            let choice = Choice { variant: form.to_owned(), config: Config::default() };
            Tuning::default().with(plain.problem(512), choice)
        };
        let [absorbed, chosen] = FORMS.map(with);
        assert!(!plain.is_better(0, 512, 512, &absorbed) && plain.is_better(0, 512, 512, &chosen));
        // What was found at the beginning of a text says nothing of a few tokens behind many.
        assert!(!plain.is_better(2048, 128, 512, &chosen) && plain.is_better(2048, 512, 512, &chosen));
        assert!(plain.is_better(0, 512, 256, &absorbed), "steps of another size have a choice of their own");
    }
}

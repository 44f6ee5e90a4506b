//! Rows of a weight matrix, as the references read them: out of its whole planes, or out of planes that hold a sample of
//! rows. With a sample a reference computes some results of a matrix of any size, and needs no more of it than their rows.

use std::ops::Range;

use crate::format::repack::{grid_of, quant_words, scale_words};
use crate::format::{Format, plane};
use crate::gpu::{Call, Op};

use super::matrix::format_of;
use super::{
    embed, experts_in, experts_in_tiled, experts_out, experts_out_add, experts_out_tiled, gate_up_norm, gate_up_swiglu,
    linear, linear_add, route_experts_in,
};

/// Blocks after which every format's planes stand at a whole word.
const UNIT: u64 = 8;

/// The rows of its weight matrix that a dispatch needs for the results that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Blocks of 32 weights in a row.
    pub n_blocks: u32,
    /// One row for each result of a token, or of an expert.
    pub rows: Vec<Range<u32>>,
    /// How far behind each of them other rows lie that the same result needs.
    pub others: Vec<u32>,
}

impl Needed {
    /// All these rows, if they are at most `most`; else one of each `most`th part of them, at random. With a row come the
    /// others that its result needs. Ascending; gives how many results of a token they make, too.
    #[must_use]
    pub fn draw(&self, most: u32, random: &mut dyn FnMut() -> u32) -> (Vec<u32>, u32) {
        let total: u64 = self.rows.iter().map(|rows| rows.len() as u64).sum();
        let places = strata(total, u64::from(most), random);
        let n_results = places.len() as u32;
        let mut places = places.into_iter().peekable();
        let (mut drawn, mut begin) = (Vec::new(), 0);
        for rows in &self.rows {
            let end = begin + rows.len() as u64;
            while let Some(place) = places.next_if(|place| *place < end) {
                let row = rows.start + (place - begin) as u32;
                drawn.push(row);
                drawn.extend(self.others.iter().map(|other| row + other));
            }
            begin = end;
        }
        drawn.sort_unstable();
        drawn.dedup();
        (drawn, n_results)
    }
}

/// Numbers below `n`, ascending: all of them, or `most`, one out of each of as many equal parts.
#[must_use]
pub fn strata(n: u64, most: u64, random: &mut dyn FnMut() -> u32) -> Vec<u64> {
    if n <= most {
        return (0..n).collect();
    }
    let within = |part: u64, drawn: u32| {
        let (begin, end) = (part * n / most, (part + 1) * n / most);
        begin + u64::from(drawn) % (end - begin)
    };
    (0..most).map(|part| within(part, random())).collect()
}

/// The rows that a call needs for the results that are wanted; none where its kernel has no weight matrix. The planes need
/// not be there yet.
#[must_use]
pub fn needed(kernel: &Op, call: &Call<'_>) -> Option<Needed> {
    MATRICES.iter().find(|(name, _)| *name == kernel.name).map(|(_, needed)| needed(call))
}

/// Whether a kernel has a weight matrix: two planes, `quants` and `scales`.
#[must_use]
pub fn has_matrix(kernel: &Op) -> bool {
    MATRICES.iter().any(|(name, _)| *name == kernel.name)
}

/// What a kernel says of the rows that a call of it needs.
type Needs = fn(&Call<'_>) -> Needed;

/// The kernels with a weight matrix, and what each says.
const MATRICES: &[(&str, Needs)] = &[
    ("linear", linear::needed),
    ("linear_add", linear_add::needed),
    ("linear_norm", linear::needed),
    ("linear_collapse", linear::needed),
    ("gate_up_swiglu", gate_up_swiglu::needed),
    ("gate_up_norm", gate_up_norm::needed),
    ("embed", embed::needed),
    ("experts_in", experts_in::needed),
    ("route_experts_in", route_experts_in::needed),
    ("route_experts_in_of_bias", route_experts_in::needed),
    ("route_experts_in_of_table", route_experts_in::needed),
    ("experts_in_tiled", experts_in_tiled::needed),
    ("experts_out", experts_out::needed),
    ("experts_out_add", experts_out_add::needed),
    ("experts_out_tiled", experts_out_tiled::needed),
];

/// Blocks that a row takes in planes of a sample: as many as lie between the whole words around it.
fn span(n_blocks: u32) -> u64 {
    (u64::from(n_blocks) + UNIT - 1).next_multiple_of(UNIT)
}

/// Where rows lie in the planes of a matrix, in words: first the table that the format's scales begin with, if they do; then
/// of each row its quants and its scales, with what shares their words. One after the other these make up the planes of a
/// sample.
pub fn places(format: Format, n_blocks: u32, rows: &[u32]) -> impl Iterator<Item = [Range<u64>; 2]> {
    let unit = UNIT * plane_block();
    let table = grid_of(format).len() as u64;
    let words = [(0, quant_words(format, 1, unit)), (table, scale_words(format, 1, unit) - table)];
    let n_units = span(n_blocks) / UNIT;
    let tables = (table > 0).then_some([0..0, 0..table]);
    tables.into_iter().chain(rows.iter().map(move |row| {
        let first = u64::from(*row) * u64::from(n_blocks) / UNIT;
        words.map(|(begin, words)| begin + first * words..begin + (first + n_units) * words)
    }))
}

const fn plane_block() -> u64 {
    crate::format::repack::BLOCK_LEN as u64
}

/// The rows of a call's weight matrix, whose planes are its last two inputs.
pub(super) struct Rows<'a> {
    format: Format,
    quants: &'a [u32],
    scales: &'a [u32],
    n_blocks: u32,
    /// Those that the planes hold, where they do not hold all.
    sample: Option<&'a [u32]>,
}

impl<'a> Rows<'a> {
    /// Of a call whose rows have so many blocks of 32 weights.
    pub(super) fn of(call: &Call<'a>, n_blocks: u32) -> Self {
        let [.., quants, scales] = call.inputs[..] else { unreachable!("a kernel of matrices binds two planes") };
        let sample = call.sample.map(|sample| sample.rows.as_slice());
        Self { format: format_of(call), quants, scales, n_blocks, sample }
    }

    /// Those of `rows` whose results are wanted.
    pub(super) fn wanted(&self, rows: Range<u32>) -> impl Iterator<Item = u32> {
        rows.filter(|row| self.has(*row))
    }

    /// Whether a row's results are wanted.
    pub(super) fn has(&self, row: u32) -> bool {
        self.sample.is_none_or(|sample| sample.binary_search(&row).is_ok())
    }

    /// Decodes a row that is there.
    pub(super) fn decode(&self, row: u32, values: &mut [f32]) {
        let n_blocks = u64::from(self.n_blocks);
        let mut first = u64::from(row) * n_blocks;
        if let Some(sample) = self.sample {
            let place = sample.binary_search(&row).unwrap_or_else(|_| panic!("row {row} is not in the sample"));
            first = place as u64 * span(self.n_blocks) + first % UNIT;
        }
        plane::decode_plane_row(self.format, self.quants, self.scales, first as usize, values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_covers_every_part_and_brings_what_belongs_together() {
        let needed = Needed { n_blocks: 2, rows: vec![0..100, 300..400], others: vec![1000] };
        let mut seed = 7u32;
        let mut random = || {
            seed = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            seed >> 7
        };
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let (rows, n_results) = needed.draw(20, &mut random);
            assert_eq!((rows.len(), n_results), (40, 20));
            let (firsts, others) = rows.split_at(20);
            assert!(firsts.iter().zip(others).all(|(row, other)| row + 1000 == *other), "{rows:?}");
            let place = |row: &u32| if *row < 100 { *row } else { row - 200 };
            assert!(firsts.iter().map(place).zip(0..).all(|(place, part)| place / 10 == part), "{rows:?}");
            seen.extend(firsts.to_vec());
        }
        assert_eq!(seen.len(), 200, "every row comes up in time");
        let (all, n_results) = needed.draw(200, &mut random);
        assert_eq!((all.len(), n_results), (400, 200));
        let (none, _) = Needed { rows: Vec::new(), ..needed }.draw(20, &mut random);
        assert!(none.is_empty());
    }
}

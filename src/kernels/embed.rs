//! `embed`: rows of the embedding table, decoded and copied into the residual streams.

use crate::format::Format;
use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::STEP;
use super::case::CaseBuilder;
use super::matrix::Matrix;
use super::rows::{Needed, Rows};

crate::params! {
    /// Parameters of `embed`; the WGSL says what each is.
    pub struct Params {
        /// Id of the shard's first row.
        pub first_row: u32,
        /// Rows of the shard.
        pub n_rows: u32,
        /// Blocks of 32 weights in a row.
        pub n_blocks: u32,
        /// Vectors of 4 in a stream.
        pub n_quads: u32,
        /// Residual streams.
        pub n_streams: u32,
        /// Ids that `tokens` holds.
        pub n_positions: u32,
        /// Factor of every element.
        pub scale: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "embed",
    variants: &[Variant::only("embed", shader_text!("../../shaders/kernels/embed.wgsl"), &[STEP], lower::TILES)],
    bindings: &[
        ("step", Access::Read),
        ("tokens", Access::Read),
        ("quants", Access::Read),
        ("scales", Access::Read),
        ("streams", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// What `embed` reads, and where its rows go.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Token ids by position, u32.
    pub tokens: Slice,
    /// `[max_tokens, n_streams, n_embd]`, f32, with `n_embd` as long as the table's rows.
    pub streams: Slice,
    /// Residual streams.
    pub n_streams: u32,
    /// Factor of every element.
    pub scale: f32,
    /// Tokens to compute at most.
    pub max_tokens: u32,
}

/// Appends `streams[t, s, :] = scale · table[tokens[position + t]]` for one shard of the table. Tokens whose row is in
/// another shard are left as they are.
///
/// # Panics
/// When rows are no multiple of 4: shapes are checked before they come here.
pub fn record_embed(recording: &mut Recording, table: &Matrix, flow: &Flow) {
    let Flow { step, tokens, streams, n_streams, scale, max_tokens } = *flow;
    assert!(table.n_in.is_multiple_of(4), "embed: rows are multiples of 4");
    let params = Params {
        first_row: table.first_row,
        n_rows: table.n_rows,
        n_blocks: table.n_blocks(),
        n_quads: table.n_in / 4,
        n_streams,
        n_positions: (tokens.bytes / 4) as u32,
        scale,
        max_tokens,
    };
    let facts = table.decode_with(Spec::default());
    let n_threads = u64::from(max_tokens) * u64::from(params.n_blocks);
    let row_bytes = table.bytes() / u64::from(table.n_rows.max(1));
    let written = u64::from(n_streams * table.n_in) * 4;
    let cost = Cost { bytes: u64::from(max_tokens) * (row_bytes + written), ops: 0 };
    let bindings = [step, tokens, table.quants, table.scales, streams];
    recording.push("embed", &OP, facts, n_threads, &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (rows, wanted) = (Rows::of(call, p.n_blocks), rows_of_tokens(call, &p));
    let [streams] = call.outputs::<f32, 1>();
    let n_embd = p.n_quads as usize * 4;
    for (token, row) in wanted.into_iter().filter(|(_, row)| rows.has(*row)) {
        for stream in 0..p.n_streams {
            let at = (token * p.n_streams + stream) as usize * n_embd;
            let stream = &mut streams[at..at + n_embd];
            rows.decode(row, stream);
            stream.iter_mut().for_each(|v| *v *= p.scale);
        }
    }
}

/// The tokens whose row is in the shard, with it.
fn rows_of_tokens(call: &Call<'_>, p: &Params) -> Vec<(u32, u32)> {
    let (step, ids) = (call.input::<Step>(0)[0], call.inputs[1]);
    let id = |token: u32| ids[(step.position + token).min(p.n_positions - 1) as usize];
    let row = |token: u32| id(token).checked_sub(p.first_row).filter(|row| *row < p.n_rows);
    let tokens = call.tokens(step.n_tokens.min(p.max_tokens));
    tokens.into_iter().filter_map(|token| Some((token, row(token)?))).collect()
}

/// The rows that results need: those of the tokens.
pub(super) fn needed(call: &Call<'_>) -> Needed {
    let p: Params = call.params();
    let rows = rows_of_tokens(call, &p).into_iter().map(|(_, row)| row..row + 1).collect();
    Needed { n_blocks: p.n_blocks, rows, others: Vec::new() }
}

fn cases() -> Vec<Case> {
    let mut cases = vec![case(Format::BF16, 100, 3, 4, 1.0), case(Format::F32, 36, 0, 1, 6.0)];
    cases.extend([Format::Q8_0, Format::Q4_K, Format::MXFP4].map(|format| case(format, 256, 5, 4, 1.0)));
    cases
}

/// Six tokens of a prompt of seven, in a shard of 9 rows from `first_row` on; ids go past both of its ends.
fn case(format: Format, n_embd: usize, first_row: u32, n_streams: u32, scale: f32) -> Case {
    let name = format!("{format} [9, {n_embd}] from row {first_row}, {n_streams} streams, times {scale}");
    let mut case = CaseBuilder::new(name);
    let mut table = case.matrix("table", format, 9, n_embd);
    table.first_row = first_row;
    let tokens = case.input("tokens", &[1, first_row, first_row + 8, first_row + 9, 0, u32::MAX, first_row + 3, 2]);
    let step = case.step(1, 6);
    let streams = case.output("streams", 7 * n_streams as usize * n_embd, 1e-6);
    let flow = Flow { step, tokens, streams, n_streams, scale, max_tokens: 7 };
    record_embed(&mut case.recording, &table, &flow);
    case.finish()
}

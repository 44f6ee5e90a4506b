//! The weights of a synthetic model: every planned tensor filled with random words by the executor itself, so that nothing
//! of the model's size is ever in host memory, and nothing is read. The same seed gives the same model on every executor,
//! however its tensors are cut.

use crate::error::Result;
use crate::format::random::{RandomWords, hash};
use crate::format::repack;
use crate::gpu::{Executor, Recording, Slice};
use crate::kernels::fill::{Flow, Words, record_fill};
use crate::model::weights::{Piece, TensorRef};
use crate::model::{Filling, Synthetic};

use super::upload::{Upload, Uploads};
use std::collections::HashMap;

/// Words filled in one submit, so that none takes long enough for a watchdog, on a software adapter either.
const SUBMIT_WORDS: u64 = 16 << 20;

/// Fills everything that was planned; `progress` hears the bytes done.
///
/// # Errors
/// When the adapter fails.
pub(in crate::engine) async fn fill(
    uploads: &Uploads,
    model: &Synthetic,
    executor: &mut Executor,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let (seed, n_experts, fillings) = (model.seed, model.shape.experts().0, model.fillings()?);
    let recording = Recording::default();
    let mut filler = Filler { fillings, seed, n_experts, executor, progress, recording, recorded: 0, done: 0 };
    for step in &uploads.steps {
        match step {
            Upload::Planes { tensor, quants, scales } => filler.planes(tensor, *quants, *scales).await?,
            Upload::Vector { tensor, to } | Upload::Table { tensor, to, .. } => filler.vector(tensor, *to).await?,
        }
    }
    filler.run().await
}

struct Filler<'a> {
    /// With what a tensor is filled, by the `source_index` of its pieces.
    fillings: HashMap<usize, Filling>,
    /// The begin of the random numbers.
    seed: u32,
    n_experts: u32,
    executor: &'a mut Executor,
    progress: &'a mut dyn FnMut(u64),
    /// What is not yet computed, and how many words that are.
    recording: Recording,
    recorded: u64,
    /// Bytes filled.
    done: u64,
}

impl Filler<'_> {
    /// Weights of size `1/sqrt(n_in)`: quants piece by piece, and the scales by turns.
    async fn planes(&mut self, tensor: &TensorRef, quants: Slice, scales: Option<Slice>) -> Result<()> {
        let (format, n_rows, n_in) = (tensor.format, u64::from(tensor.n_rows), u64::from(tensor.n_in));
        let words = RandomWords::of_size(format, (n_in as f32).sqrt().recip())?;
        let row_words = repack::quant_words(format, 1, n_in) as u32;
        // Elements beyond the row's end are zero; formats of blocks have none.
        let per_word = (u64::from(row_words) * 4).min(tensor.row_bytes()).div_ceil(4) as u32;
        let used_words = if format.block_len() > 1 { row_words } else { per_word };
        let masked = Words::Masked { mask: words.mask, bits: &[words.bits], used_words };
        let mut begin = 0;
        for piece in &tensor.pieces {
            let flow = self.flow(tensor, piece, quants, row_words, masked);
            self.rows(Flow { begin, ..flow }).await?;
            begin += piece.n_rows * row_words;
        }
        if let Some(to) = scales {
            let bits = &words.scales;
            let grid = repack::grid_of(format);
            if !grid.is_empty() {
                self.executor.write(to, 0, bytemuck::cast_slice(grid));
            }
            let first = grid.len() as u32;
            let n_words = repack::scale_words(format, n_rows, n_in) as u32 - first;
            let turns = bits.len() as u32;
            let masked = Words::Masked { mask: 0, bits, used_words: turns };
            let flow =
                Flow { to, begin: first, n_rows: n_words / turns, row_words: turns, first: 0, seed: 0, words: masked };
            self.rows(flow).await?;
            // The last turn may be taken in part.
            let rest = n_words % turns;
            let masked = Words::Masked { mask: 0, bits, used_words: rest };
            self.rows(Flow {
                begin: first + n_words - rest,
                n_rows: rest.min(1),
                row_words: rest.max(1),
                words: masked,
                ..flow
            })
            .await?;
        }
        Ok(())
    }

    /// A small tensor as f32, or a table as i32.
    async fn vector(&mut self, tensor: &TensorRef, to: Slice) -> Result<()> {
        let masked = |mask, bits| Words::Masked { mask, bits, used_words: tensor.n_in };
        // Bindings begin at multiples of 256, so the buffer is bound from its beginning.
        let whole = Slice { offset: 0, bytes: to.offset + to.bytes, ..to };
        let mut begin = (to.offset / 4) as u32;
        for piece in &tensor.pieces {
            let words = match self.fillings.get(&piece.source_index) {
                // 1 to 1.125.
                Some(Filling::NearOne) => masked(0x000f_ffff, &[0x3f80_0000]),
                Some(Filling::NearMinusOne) => masked(0x000f_ffff, &[0xbf80_0000]),
                Some(Filling::Experts) => Words::Ids(self.n_experts),
                // 1/16 to 1/8, of either sign.
                Some(Filling::Small | Filling::Product) | None => masked(0x807f_ffff, &[0x3d80_0000]),
            };
            let flow = self.flow(tensor, piece, whole, tensor.n_in, words);
            self.rows(Flow { begin, ..flow }).await?;
            begin += piece.n_rows * tensor.n_in;
        }
        Ok(())
    }

    /// The rows of a piece, numbered as in their tensor.
    fn flow<'a>(&self, tensor: &TensorRef, piece: &Piece, to: Slice, row_words: u32, words: Words<'a>) -> Flow<'a> {
        let row = (piece.offset / tensor.row_bytes()) as u32;
        let seed = hash(piece.source_index as u32, self.seed);
        Flow { to, begin: 0, n_rows: piece.n_rows, row_words, first: row.wrapping_mul(row_words), seed, words }
    }

    /// Records rows, a submit's worth at a time.
    async fn rows(&mut self, flow: Flow<'_>) -> Result<()> {
        let per_submit = (SUBMIT_WORDS / u64::from(flow.row_words)).max(1) as u32;
        for row in (0..flow.n_rows).step_by(per_submit as usize) {
            let n_rows = per_submit.min(flow.n_rows - row);
            let n_words = u64::from(n_rows) * u64::from(flow.row_words);
            if self.recorded + n_words > SUBMIT_WORDS {
                self.run().await?;
            }
            let before = row.wrapping_mul(flow.row_words);
            let first = flow.first.wrapping_add(before);
            record_fill(&mut self.recording, &Flow { begin: flow.begin + before, n_rows, first, ..flow });
            self.recorded += n_words;
        }
        Ok(())
    }

    /// Runs what is recorded, and waits for it.
    async fn run(&mut self) -> Result<()> {
        let recording = std::mem::take(&mut self.recording);
        let Some(last) = recording.stages.last() else { return Ok(()) };
        let read = Slice { bytes: 4, ..last.bindings[0] };
        let prepared = self.executor.prepare(&recording).await?;
        let ticket = self.executor.submit(prepared, 1, read)?;
        self.executor.finish(ticket).await?;
        self.done += self.recorded * 4;
        self.recorded = 0;
        (self.progress)(self.done);
        Ok(())
    }
}

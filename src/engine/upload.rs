//! Weights on their way from a source to the player: planned as buffers first, then streamed in chunks, so that no whole
//! tensor ever rests in host memory.

use std::rc::Rc;

use crate::error::Result;
use crate::format::{Format, Source, quant, repack};
use crate::gpu::{Arena, Player, Purpose, Slice};
use crate::kernels::Matrix;
use crate::kernels::experts::Shard;
use crate::model::weights::{Piece, TensorRef};

/// Bytes read and repacked at a time.
const CHUNK_BYTES: u64 = 8 << 20;

/// Bytes written before the player is asked to take them in, so that staging memory stays bounded.
const SETTLE_BYTES: u64 = 16 << 20;

/// What has to be written where, before any buffer exists.
pub struct Uploads {
    /// The largest slice that may be bound.
    shard_bytes: u64,
    steps: Vec<Upload>,
}

enum Upload {
    /// Rows of a weight matrix, into its planes.
    Planes { format: Format, n_in: u64, pieces: Vec<Piece>, quants: Slice, scales: Option<Slice> },
    /// A small tensor as f32.
    Vector { tensor: TensorRef, to: Slice },
    /// A table of integers as i32.
    Table { tensor: TensorRef, to: Slice },
}

impl Uploads {
    /// Nothing planned yet; no shard will be larger than `shard_bytes`.
    pub fn new(shard_bytes: u64) -> Self {
        Self { shard_bytes, steps: Vec::new() }
    }

    /// Plans a small tensor as f32.
    pub fn vector(&mut self, arena: &mut Arena, tensor: &TensorRef) -> Slice {
        let to = arena.words(&tensor.name, tensor.n_rows * tensor.n_in, Purpose::Weights);
        self.steps.push(Upload::Vector { tensor: tensor.clone(), to });
        to
    }

    /// Plans a table of integers.
    pub fn table(&mut self, arena: &mut Arena, tensor: &TensorRef) -> Slice {
        let to = arena.words(&tensor.name, tensor.n_rows * tensor.n_in, Purpose::Weights);
        self.steps.push(Upload::Table { tensor: tensor.clone(), to });
        to
    }

    /// Plans the rows of several tensors one after the other, as one matrix: neighbours of one format share a product,
    /// and what is larger than a binding is cut into shards.
    pub fn stack(&mut self, arena: &mut Arena, tensors: &[&TensorRef]) -> Vec<Matrix> {
        let mut matrices = Vec::new();
        let mut first_row = 0;
        for run in tensors.chunk_by(|a, b| a.format == b.format && a.n_in == b.n_in) {
            let pieces: Vec<Piece> = run.iter().flat_map(|tensor| tensor.pieces.iter().cloned()).collect();
            let rows: u64 = pieces.iter().map(|piece| piece.n_rows).sum();
            let per_shard = self.rows_per_shard(run[0]);
            for begin in (0..rows).step_by(per_shard as usize) {
                let n_rows = per_shard.min(rows - begin);
                let cut = cut(&pieces, run[0].format.row_bytes(run[0].n_in), begin, n_rows);
                let mut matrix = self.planes(arena, run[0], cut, n_rows);
                matrix.first_row = first_row as u32;
                first_row += n_rows;
                matrices.push(matrix);
            }
        }
        matrices
    }

    /// Plans expert tensors of equal format, stacked: all experts of the first, then of the second, shard by shard.
    pub fn experts(&mut self, arena: &mut Arena, tensors: &[&TensorRef], first: u32, n_experts: u32) -> Vec<Shard> {
        let rows_per_expert = tensors[0].n_rows / u64::from(n_experts);
        let per_shard = self.rows_per_shard(tensors[0]) / (rows_per_expert * tensors.len() as u64);
        let per_shard = (per_shard as u32).clamp(1, n_experts);
        let row_bytes = tensors[0].format.row_bytes(tensors[0].n_in);
        let mut shards = Vec::new();
        for begin in (0..n_experts).step_by(per_shard as usize) {
            let n = per_shard.min(n_experts - begin);
            let n_rows = u64::from(n) * rows_per_expert;
            let begin_row = u64::from(begin) * rows_per_expert;
            let pieces: Vec<Piece> =
                tensors.iter().flat_map(|tensor| cut(&tensor.pieces, row_bytes, begin_row, n_rows)).collect();
            let matrix = self.planes(arena, tensors[0], pieces, n_rows * tensors.len() as u64);
            shards.push(Shard { matrix, first_expert: first + begin, n_experts: n });
        }
        shards
    }

    /// Rows that fit a binding: a multiple of 4, so that tiles and packed scales do not straddle shards.
    fn rows_per_shard(&self, tensor: &TensorRef) -> u64 {
        let row = repack::quant_words(tensor.format, 1, tensor.n_in) * 4;
        ((self.shard_bytes - 256) / row / 4 * 4).max(4)
    }

    fn planes(&mut self, arena: &mut Arena, like: &TensorRef, pieces: Vec<Piece>, n_rows: u64) -> Matrix {
        let (format, n_in) = (like.format, like.n_in);
        let mut plan = |words| {
            let id = arena.add(&like.name, words * 4, Purpose::Weights);
            arena.whole(id)
        };
        let quants = plan(repack::quant_words(format, n_rows, n_in));
        let scale_words = repack::scale_words(format, n_rows, n_in);
        let scales = (scale_words > 0).then(|| plan(scale_words));
        self.steps.push(Upload::Planes { format, n_in, pieces, quants, scales });
        let scales = scales.unwrap_or(quants);
        Matrix { format, n_rows: n_rows as u32, n_in: n_in as u32, first_row: 0, quants, scales }
    }

    /// Bytes that will be read.
    pub fn bytes(&self) -> u64 {
        let step_bytes = |step: &Upload| match step {
            Upload::Planes { format, n_in, pieces, .. } => {
                pieces.iter().map(|piece| piece.n_rows * format.row_bytes(*n_in)).sum()
            }
            Upload::Vector { tensor, .. } | Upload::Table { tensor, .. } => {
                tensor.n_rows * tensor.format.row_bytes(tensor.n_in)
            }
        };
        self.steps.iter().map(step_bytes).sum()
    }

    /// Streams everything; `progress` hears the bytes done.
    ///
    /// # Errors
    /// When a source cannot be read, a value is damaged, or the adapter fails.
    pub async fn run(
        &self,
        sources: &[Rc<dyn Source>],
        player: &mut Player,
        progress: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let mut stream = Stream { sources, player, progress, done: 0, unsettled: 0 };
        for step in &self.steps {
            match step {
                Upload::Planes { format, n_in, pieces, quants, scales } => {
                    stream.planes(*format, *n_in, pieces, *quants, *scales).await?;
                }
                Upload::Vector { tensor, to } => {
                    let bytes = stream.whole(tensor).await?;
                    let mut values = vec![0.0f32; (tensor.n_rows * tensor.n_in) as usize];
                    quant::decode_row(tensor.format, &bytes, &mut values)?;
                    stream.write(*to, 0, bytemuck::cast_slice(&values)).await?;
                }
                Upload::Table { tensor, to } => {
                    let bytes = stream.whole(tensor).await?;
                    let mut integers = Vec::new();
                    quant::decode_integers(tensor.format, &bytes, &mut integers)?;
                    stream.write(*to, 0, bytemuck::cast_slice(&integers)).await?;
                }
            }
        }
        Ok(())
    }
}

/// The pieces that hold rows `begin .. begin + n_rows` of a list of pieces.
fn cut(pieces: &[Piece], row_bytes: u64, begin: u64, n_rows: u64) -> Vec<Piece> {
    let (mut skip, mut want, mut out) = (begin, n_rows, Vec::new());
    for piece in pieces {
        let from = skip.min(piece.n_rows);
        skip -= from;
        let n = want.min(piece.n_rows - from);
        want -= n;
        if n > 0 {
            out.push(Piece { offset: piece.offset + from * row_bytes, n_rows: n, ..piece.clone() });
        }
    }
    out
}

struct Stream<'a> {
    sources: &'a [Rc<dyn Source>],
    player: &'a mut Player,
    progress: &'a mut dyn FnMut(u64),
    done: u64,
    unsettled: u64,
}

impl Stream<'_> {
    async fn whole(&mut self, tensor: &TensorRef) -> Result<Vec<u8>> {
        let row_bytes = tensor.format.row_bytes(tensor.n_in);
        let mut bytes = vec![0; (tensor.n_rows * row_bytes) as usize];
        let mut rest = bytes.as_mut_slice();
        for piece in &tensor.pieces {
            let (part, after) = rest.split_at_mut((piece.n_rows * row_bytes) as usize);
            self.sources[piece.source_index].read_at(piece.offset, part).await?;
            rest = after;
        }
        Ok(bytes)
    }

    /// Reads rows across pieces until a chunk is full, repacks it and writes it.
    async fn planes(
        &mut self,
        format: Format,
        n_in: u64,
        pieces: &[Piece],
        quants_to: Slice,
        scales_to: Option<Slice>,
    ) -> Result<()> {
        let row_bytes = format.row_bytes(n_in);
        let chunk_rows = (CHUNK_BYTES / row_bytes / 4 * 4).max(4);
        let total: u64 = pieces.iter().map(|piece| piece.n_rows).sum();
        let mut bytes = vec![0; (chunk_rows.min(total) * row_bytes) as usize];
        let (mut quants, mut scales) = (Vec::new(), Vec::new());
        let (mut quants_at, mut scales_at) = (0, 0);
        for begin in (0..total).step_by(chunk_rows as usize) {
            let n_rows = chunk_rows.min(total - begin);
            let chunk = &mut bytes[..(n_rows * row_bytes) as usize];
            let mut at = 0;
            for piece in cut(pieces, row_bytes, begin, n_rows) {
                let length = (piece.n_rows * row_bytes) as usize;
                self.sources[piece.source_index].read_at(piece.offset, &mut chunk[at..at + length]).await?;
                at += length;
            }
            quants.clear();
            scales.clear();
            repack::repack_rows(format, chunk, n_rows, n_in, &mut quants, &mut scales)?;
            self.write(quants_to, quants_at, bytemuck::cast_slice(&quants)).await?;
            quants_at += quants.len() as u64 * 4;
            if let Some(to) = scales_to {
                self.write(to, scales_at, bytemuck::cast_slice(&scales)).await?;
                scales_at += scales.len() as u64 * 4;
            }
        }
        Ok(())
    }

    async fn write(&mut self, to: Slice, offset: u64, bytes: &[u8]) -> Result<()> {
        self.player.write(to, offset, bytes);
        self.done += bytes.len() as u64;
        self.unsettled += bytes.len() as u64;
        if self.unsettled >= SETTLE_BYTES {
            self.player.read(Slice { bytes: 4, ..to }).await?;
            self.unsettled = 0;
        }
        (self.progress)(self.done);
        Ok(())
    }
}

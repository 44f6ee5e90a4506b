//! Weights on their way from a source to the executor: planned as buffers first, then streamed in chunks, so that no whole
//! tensor ever rests in host memory.

use std::ops::Not;
use std::rc::Rc;

use crate::error::{Error, Result};
use crate::format::{Format, Source, quant, repack};
use crate::gpu::{Arena, Executor, Purpose, Slice, Ticket};
use crate::kernels::Matrix;
use crate::kernels::experts::Shard;
use crate::model::weights::TensorRef;

use super::read_rows::{read_rows, read_vector};

/// Bytes read and repacked at a time.
const CHUNK_BYTES: u64 = 4 << 20;

/// Bytes written before the executor is asked to take them in. It may still be at those while the next are read and
/// repacked, but no further behind, so that staging memory stays bounded.
const SETTLE_BYTES: u64 = 8 << 20;

/// What has to be written where, before any buffer exists.
pub struct Uploads {
    /// The largest slice that may be bound.
    shard_bytes: u64,
    pub(in crate::engine) steps: Vec<Upload>,
}

/// One tensor, or rows of one, on its way.
pub(in crate::engine) enum Upload {
    /// Rows of a weight matrix, into its planes.
    Planes { tensor: TensorRef, quants: Slice, scales: Option<Slice> },
    /// A small tensor as f32.
    Vector { tensor: TensorRef, to: Slice },
    /// A table of expert numbers, checked, as i32.
    Table { tensor: TensorRef, to: Slice, n_experts: u32 },
}

impl Uploads {
    /// Nothing planned yet; no shard will be larger than `shard_bytes`.
    pub fn new(shard_bytes: u64) -> Self {
        Self { shard_bytes, steps: Vec::new() }
    }

    /// Plans a small tensor as f32.
    pub fn vector(&mut self, arena: &mut Arena, tensor: &TensorRef) -> Slice {
        self.vectors(arena, &[tensor])
    }

    /// Plans several small tensors as f32, one after the other in one buffer.
    pub fn vectors(&mut self, arena: &mut Arena, tensors: &[&TensorRef]) -> Slice {
        let n = tensors.iter().map(|tensor| tensor.n_elements()).sum();
        let whole = arena.words(&tensors[0].name, n, Purpose::Weights);
        let mut to = whole;
        for tensor in tensors {
            self.steps.push(Upload::Vector { tensor: (*tensor).clone(), to });
            to.offset += tensor.n_elements() * 4;
            to.bytes -= tensor.n_elements() * 4;
        }
        whole
    }

    /// Plans a table of expert numbers, each below `n_experts`.
    pub fn table(&mut self, arena: &mut Arena, tensor: &TensorRef, n_experts: u32) -> Slice {
        let to = arena.words(&tensor.name, tensor.n_elements(), Purpose::Weights);
        self.steps.push(Upload::Table { tensor: tensor.clone(), to, n_experts });
        to
    }

    /// Plans the rows of several tensors one after the other, as one matrix: neighbours of one format share a product,
    /// and what is larger than a binding is cut into shards.
    pub fn stack(&mut self, arena: &mut Arena, tensors: &[&TensorRef]) -> Vec<Matrix> {
        let mut matrices = Vec::new();
        let mut first_row = 0;
        for run in tensors.chunk_by(|a, b| a.format == b.format && a.n_in == b.n_in) {
            let Some(joined) = join(run.iter().copied()) else { continue };
            let per_shard = self.rows_per_shard(&joined);
            for begin in (0..joined.n_rows).step_by(per_shard as usize) {
                let n_rows = per_shard.min(joined.n_rows - begin);
                let shard = TensorRef {
                    n_rows,
                    pieces: joined.pieces_of(begin..begin + n_rows).collect(),
                    name: joined.name.clone(),
                    ..joined
                };
                matrices.push(Matrix { first_row, ..self.planes(arena, shard) });
                first_row += n_rows;
            }
        }
        matrices
    }

    /// Plans a small matrix, which is never cut: what reads it is recorded for one piece.
    pub fn whole(&mut self, arena: &mut Arena, tensor: &TensorRef) -> Matrix {
        self.planes(arena, tensor.clone())
    }

    /// Plans expert tensors of equal format, stacked: all experts of the first, then of the second, shard by shard.
    pub fn experts(&mut self, arena: &mut Arena, tensors: &[&TensorRef], first: u32, n_experts: u32) -> Vec<Shard> {
        let rows_per_expert = tensors[0].n_rows / n_experts;
        let per_shard = self.rows_per_shard(tensors[0]) / (rows_per_expert * tensors.len() as u32);
        // As many in each: a shard of the few that are left would be a dispatch of its own too.
        let n_shards = n_experts.div_ceil(per_shard.clamp(1, n_experts));
        let per_shard = n_experts.div_ceil(n_shards);
        let mut shards = Vec::new();
        for begin in (0..n_experts).step_by(per_shard as usize) {
            let n = per_shard.min(n_experts - begin);
            let rows = begin * rows_per_expert..(begin + n) * rows_per_expert;
            let cut = |tensor: &&TensorRef| TensorRef {
                n_rows: rows.len() as u32,
                pieces: tensor.pieces_of(rows.clone()).collect(),
                ..(*tensor).clone()
            };
            let parts: Vec<TensorRef> = tensors.iter().map(cut).collect();
            let Some(joined) = join(&parts) else { continue };
            shards.push(Shard { matrix: self.planes(arena, joined), first_expert: first + begin, n_experts: n });
        }
        shards
    }

    /// Rows that fit a binding: a multiple of 4, so that tiles and packed scales do not straddle shards.
    fn rows_per_shard(&self, tensor: &TensorRef) -> u32 {
        let row = repack::quant_words(tensor.format, 1, u64::from(tensor.n_in)) * 4;
        u32::try_from((self.shard_bytes - 256) / row / 4 * 4).unwrap_or(u32::MAX / 4 * 4).max(4)
    }

    fn planes(&mut self, arena: &mut Arena, tensor: TensorRef) -> Matrix {
        let (format, n_rows, n_in) = (tensor.format, tensor.n_rows, tensor.n_in);
        let mut plan = |words| {
            let id = arena.add(&tensor.name, words * 4, Purpose::Weights);
            arena.whole(id)
        };
        let quants = plan(repack::quant_words(format, u64::from(n_rows), u64::from(n_in)));
        let scale_words = repack::scale_words(format, u64::from(n_rows), u64::from(n_in));
        let scales = (scale_words > 0).then(|| plan(scale_words));
        self.steps.push(Upload::Planes { tensor, quants, scales });
        Matrix { format, n_rows, n_in, first_row: 0, quants, scales: scales.unwrap_or(quants) }
    }

    /// The format of most of the matrices' bytes.
    pub fn main_format(&self) -> Format {
        let mut bytes: Vec<(Format, u64)> = Vec::new();
        for step in &self.steps {
            let Upload::Planes { tensor, .. } = step else { continue };
            match bytes.iter_mut().find(|(format, _)| *format == tensor.format) {
                Some((_, sum)) => *sum += tensor.bytes(),
                None => bytes.push((tensor.format, tensor.bytes())),
            }
        }
        bytes.into_iter().max_by_key(|(_, sum)| *sum).map_or(Format::F32, |(format, _)| format)
    }

    /// Bytes that will be read.
    pub fn bytes(&self) -> u64 {
        let step_bytes = |step: &Upload| match step {
            Upload::Planes { tensor, .. } | Upload::Vector { tensor, .. } | Upload::Table { tensor, .. } => {
                tensor.bytes()
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
        executor: &mut Executor,
        progress: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let mut stream = Stream { sources, executor: &mut *executor, progress, done: 0, unsettled: 0, under_way: None };
        for step in &self.steps {
            match step {
                Upload::Planes { tensor, quants, scales } => stream.planes(tensor, *quants, *scales).await?,
                Upload::Vector { tensor, to } => {
                    let values = read_vector(sources, tensor).await?;
                    if let Some(place) = values.iter().position(|value| value.is_nan()) {
                        return Err(Error::file(format!("tensor {}", tensor.name), format!("number {place} is NaN"))
                            .expected("numbers")
                            .advice("The file is damaged; download it again"));
                    }
                    stream.write(*to, 0, bytemuck::cast_slice(&values)).await?;
                }
                Upload::Table { tensor, to, n_experts } => {
                    let bytes = stream.whole(tensor).await?;
                    let mut integers = Vec::new();
                    quant::decode_integers(tensor.format, &bytes, &mut integers)?;
                    check_experts(tensor, &integers, *n_experts)?;
                    stream.write(*to, 0, bytemuck::cast_slice(&integers)).await?;
                }
            }
        }
        match stream.under_way {
            Some(last) => executor.finish(last).await.map(|_| ()),
            None => Ok(()),
        }
    }
}

/// Fails for experts that there are not, and for a token with one twice: an expert takes a token of a step once.
fn check_experts(tensor: &TensorRef, experts: &[i32], n_experts: u32) -> Result<()> {
    let wrong = |found: String| Error::file(format!("tensor {}", tensor.name), found);
    if let Some(expert) = experts.iter().find(|of| u32::try_from(**of).is_ok_and(|of| of < n_experts).not()) {
        return Err(wrong(format!("expert {expert}"))
            .expected(format!("experts 0 to {}", n_experts - 1))
            .advice("The file is damaged; download it again"));
    }
    let again = |row: &[i32]| row.iter().enumerate().find(|(at, of)| row[..*at].contains(of)).map(|(_, of)| *of);
    let mut rows = experts.chunks_exact(tensor.n_in.max(1) as usize).enumerate();
    match rows.find_map(|(token, row)| Some((token, again(row)?))) {
        None => Ok(()),
        Some((token, expert)) => Err(wrong(format!("expert {expert} twice for token {token}"))
            .expected("different experts for a token")
            .advice("The table is of a model that was not trained, or that lost experts; or the file is damaged.")),
    }
}

/// Tensors of equal format and row length as one, rows after rows.
fn join<'a>(tensors: impl IntoIterator<Item = &'a TensorRef>) -> Option<TensorRef> {
    tensors.into_iter().cloned().reduce(|joined, next| joined.followed_by(&next))
}

struct Stream<'a> {
    sources: &'a [Rc<dyn Source>],
    executor: &'a mut Executor,
    progress: &'a mut dyn FnMut(u64),
    done: u64,
    unsettled: u64,
    /// What the executor is taking in.
    under_way: Option<Ticket>,
}

impl Stream<'_> {
    async fn whole(&self, tensor: &TensorRef) -> Result<Vec<u8>> {
        let mut bytes = vec![0; tensor.bytes() as usize];
        read_rows(self.sources, tensor, tensor.pieces.iter().copied(), &mut bytes).await?;
        Ok(bytes)
    }

    /// Reads rows across pieces until a chunk is full, repacks it and writes it.
    async fn planes(&mut self, tensor: &TensorRef, quants_to: Slice, scales_to: Option<Slice>) -> Result<()> {
        let (row_bytes, n_in) = (tensor.row_bytes(), u64::from(tensor.n_in));
        let chunk_rows = ((CHUNK_BYTES / row_bytes) as u32 / 4 * 4).max(4);
        let mut bytes = vec![0; (u64::from(chunk_rows.min(tensor.n_rows)) * row_bytes) as usize];
        let (mut quants, mut scales) = (Vec::new(), Vec::new());
        let (mut quants_at, mut scales_at) = (0, 0);
        let grid: &[u8] = bytemuck::cast_slice(repack::grid_of(tensor.format));
        if let Some(to) = scales_to.filter(|_| !grid.is_empty()) {
            self.write(to, scales_at, grid).await?;
            scales_at += grid.len() as u64;
        }
        for begin in (0..tensor.n_rows).step_by(chunk_rows as usize) {
            let n_rows = chunk_rows.min(tensor.n_rows - begin);
            let chunk = &mut bytes[..(u64::from(n_rows) * row_bytes) as usize];
            read_rows(self.sources, tensor, tensor.pieces_of(begin..begin + n_rows), chunk).await?;
            quants.clear();
            scales.clear();
            repack::repack_rows(tensor.format, chunk, u64::from(n_rows), n_in, &mut quants, &mut scales)?;
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
        self.executor.write(to, offset, bytes);
        self.done += bytes.len() as u64;
        self.unsettled += bytes.len() as u64;
        if self.unsettled >= SETTLE_BYTES {
            let next = self.executor.begin_read(Slice { bytes: 4, ..to })?;
            if let Some(before) = self.under_way.replace(next) {
                self.executor.finish(before).await?;
            }
            self.unsettled = 0;
        }
        (self.progress)(self.done);
        Ok(())
    }
}

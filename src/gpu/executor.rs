//! The two executors of a recording behind one face: the GPU's, and the CPU's, which runs each kernel's reference.
//! The engine does not know which one it has.

use std::future::poll_fn;
use std::task::Poll;

use web_time::Instant;

use crate::error::Result;

use super::Tuning;
use super::executor_cpu::CpuExecutor;
use super::executor_gpu::{GpuExecutor, GpuTicket};
use super::op::Variant;
use super::recording::{Arena, BufferId, Recording, Slice, Stage};

/// A recording made ready by an executor: pipelines and bind groups on the GPU, nothing on the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared(pub(super) usize);

/// Work under way, and the bytes that it will bring back.
pub enum Ticket {
    /// Submitted to a GPU.
    Gpu(GpuTicket),
    /// Done, on the CPU.
    Cpu(Vec<u8>),
}

/// Bytes that are read together at most, but for a slice that is larger by itself: a limit for the memory they pass through.
const MOST_READ: u64 = 32 << 20;

/// Runs recordings over the buffers of an arena.
pub enum Executor {
    /// By WGSL, on an adapter.
    Gpu(Box<GpuExecutor>),
    /// By each kernel's scalar reference.
    Cpu(Box<CpuExecutor>),
}

impl Executor {
    /// Makes the arena's buffers, filled with zeros, in place of those from before; what was prepared over those goes
    /// with them.
    ///
    /// # Errors
    /// When the adapter has not enough memory, or is lost.
    pub async fn allocate(&mut self, arena: &Arena) -> Result<()> {
        match self {
            Self::Gpu(executor) => executor.allocate(arena).await,
            Self::Cpu(executor) => {
                executor.allocate(arena);
                Ok(())
            }
        }
    }

    /// Makes buffers beside those that are there, until [`Self::shrink`] or [`Self::allocate`]. Gives the first; the others follow.
    ///
    /// # Errors
    /// As [`Self::allocate`]; then none is made.
    pub async fn extend(&mut self, beside: &Arena) -> Result<BufferId> {
        match self {
            Self::Gpu(executor) => executor.extend(beside).await,
            Self::Cpu(executor) => Ok(executor.extend(beside)),
        }
    }

    /// Gives back a buffer of [`Self::extend`] and all that were made after it. What was prepared over them must be forgotten.
    pub fn shrink(&mut self, first: BufferId) {
        match self {
            Self::Gpu(executor) => executor.shrink(first),
            Self::Cpu(executor) => executor.shrink(first),
        }
    }

    /// Chooses otherwise for recordings that are prepared from now on; those from before are forgotten. The reference has
    /// no choice, and keeps its own.
    pub fn tune(&mut self, tuning: Tuning) {
        if let Self::Gpu(executor) = self {
            executor.tune(tuning);
        }
    }

    /// Writes bytes (a multiple of 4, at a multiple of 4) into a slice, from `offset` within it.
    pub fn write(&mut self, slice: Slice, offset: u64, bytes: &[u8]) {
        match self {
            Self::Gpu(executor) => executor.write(slice, offset, bytes),
            Self::Cpu(executor) => executor.write(slice, offset, bytes),
        }
    }

    /// Copies slices to others of their size in other buffers, each from the first of a pair to the second.
    ///
    /// # Errors
    /// When the adapter was lost or has reported a fault.
    pub fn copy(&mut self, pairs: impl IntoIterator<Item = (Slice, Slice)>) -> Result<()> {
        match self {
            Self::Gpu(executor) => executor.copy(pairs),
            Self::Cpu(executor) => {
                pairs.into_iter().for_each(|(from, to)| executor.copy(from, to));
                Ok(())
            }
        }
    }

    /// Makes a recording ready to be computed many times.
    ///
    /// # Errors
    /// When the adapter refuses a shader or a binding.
    pub async fn prepare(&mut self, recording: &Recording) -> Result<Prepared> {
        match self {
            Self::Gpu(executor) => executor.prepare(recording, None).await,
            Self::Cpu(executor) => Ok(executor.prepare(recording)),
        }
    }

    /// As [`Self::prepare`], with these choices for this recording alone.
    ///
    /// # Errors
    /// When the adapter refuses a shader or a binding.
    pub async fn prepare_with(&mut self, recording: &Recording, tuning: &Tuning) -> Result<Prepared> {
        match self {
            Self::Gpu(executor) => executor.prepare(recording, Some(tuning)).await,
            Self::Cpu(executor) => Ok(executor.prepare(recording)),
        }
    }

    /// The variants that compute a stage under `tuning`, or the executor's own choices; none for the reference.
    #[must_use]
    pub fn variants(&self, stage: &Stage, tuning: Option<&Tuning>) -> Vec<&'static Variant> {
        match self {
            Self::Gpu(executor) => executor.variants(stage, tuning),
            Self::Cpu(_) => Vec::new(),
        }
    }

    /// Bytes of scratch that a recording takes once it is ready, beside the arena.
    #[must_use]
    pub fn scratch_bytes(&self, recording: &Recording) -> u64 {
        match self {
            Self::Gpu(executor) => executor.scratch_bytes(recording),
            Self::Cpu(_) => 0,
        }
    }

    /// Forgets this recording and all that were prepared after it.
    pub fn forget_from(&mut self, first: Prepared) {
        match self {
            Self::Gpu(executor) => executor.forget_from(first),
            Self::Cpu(executor) => executor.forget_from(first),
        }
    }

    /// Runs a recording `n_times` in a row, as one pass and one submit, and then copies `read` out.
    ///
    /// # Errors
    /// When the adapter was lost or has reported a fault.
    pub fn submit(&mut self, prepared: Prepared, n_times: u32, read: Slice) -> Result<Ticket> {
        match self {
            Self::Gpu(executor) => executor.submit(prepared, n_times, Some(read)).map(Ticket::Gpu),
            Self::Cpu(executor) => {
                for _ in 0..n_times {
                    executor.run(prepared);
                }
                Ok(Ticket::Cpu(executor.read(read)))
            }
        }
    }

    /// Runs a recording `n_times` in a row and waits for its end, with nothing read back. Says how many milliseconds
    /// passed from the submit on: the encoding of the pass is left out.
    ///
    /// # Errors
    /// When the adapter was lost or has reported a fault.
    pub async fn run(&mut self, prepared: Prepared, n_times: u32) -> Result<f64> {
        match self {
            Self::Gpu(executor) => executor.run(prepared, n_times).await,
            Self::Cpu(executor) => {
                let begin = Instant::now();
                (0..n_times).for_each(|_| executor.run(prepared));
                Ok(begin.elapsed().as_secs_f64() * 1e3)
            }
        }
    }

    /// Waits until all that was written and computed is done.
    ///
    /// # Errors
    /// When the adapter was lost or has reported a fault.
    pub async fn wait(&mut self) -> Result<()> {
        match self {
            Self::Gpu(executor) => executor.wait().await,
            Self::Cpu(_) => Ok(()),
        }
    }

    /// Time spent so far on encoding, in milliseconds; 0 on the CPU.
    pub fn encoding_ms(&self) -> f64 {
        match self {
            Self::Gpu(executor) => executor.encoding().as_secs_f64() * 1e3,
            Self::Cpu(_) => 0.0,
        }
    }

    /// Waits for a ticket's bytes.
    ///
    /// # Errors
    /// When the adapter was lost or has reported a fault.
    pub async fn finish(&mut self, ticket: Ticket) -> Result<Vec<u8>> {
        match (self, ticket) {
            (Self::Gpu(executor), Ticket::Gpu(ticket)) => executor.finish(ticket).await,
            (_, Ticket::Cpu(bytes)) => {
                give_way().await;
                Ok(bytes)
            }
            (Self::Cpu(_), Ticket::Gpu(_)) => unreachable!("a ticket goes back to the executor that gave it"),
        }
    }

    /// Reads a slice now.
    ///
    /// # Errors
    /// When the adapter was lost or has reported a fault.
    pub async fn read(&mut self, slice: Slice) -> Result<Vec<u8>> {
        match self {
            Self::Gpu(executor) => executor.read(slice).await,
            Self::Cpu(executor) => Ok(executor.read(slice)),
        }
    }

    /// Reads slices now, one after the other. Many small ones go together, since each wait for an adapter costs more than
    /// many copies.
    ///
    /// # Errors
    /// When the adapter was lost or has reported a fault.
    pub async fn read_all(&mut self, slices: &[Slice]) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut begin = 0;
        while begin < slices.len() {
            let mut sum = 0;
            let fits = |slice: &&Slice| {
                sum += slice.bytes;
                sum <= MOST_READ
            };
            let n = slices[begin..].iter().take_while(fits).count().max(1);
            let part = &slices[begin..begin + n];
            match self {
                Self::Gpu(executor) => {
                    let ticket = executor.begin_read_of(part)?;
                    bytes.extend(executor.finish(ticket).await?);
                }
                Self::Cpu(executor) => part.iter().for_each(|slice| bytes.extend(executor.read(*slice))),
            }
            begin += n;
        }
        Ok(bytes)
    }

    /// Submits whatever was written, and a read of a slice after it; does not wait for either.
    ///
    /// # Errors
    /// When the adapter was lost or has reported a fault.
    pub fn begin_read(&mut self, slice: Slice) -> Result<Ticket> {
        match self {
            Self::Gpu(executor) => executor.begin_read(slice).map(Ticket::Gpu),
            Self::Cpu(executor) => Ok(Ticket::Cpu(executor.read(slice))),
        }
    }

    /// Runs a recording once with a time for each stage, in milliseconds; `None` where the adapter has no timestamps.
    ///
    /// # Errors
    /// When the adapter was lost or has reported a fault.
    pub async fn profile(&mut self, prepared: Prepared) -> Result<Option<Vec<f64>>> {
        match self {
            Self::Gpu(executor) => executor.profile(prepared).await,
            Self::Cpu(executor) => Ok(Some(executor.profile(prepared))),
        }
    }
}

/// Comes back once without being done, though it could go on: the caller may do something else in between.
/// A GPU's answers leave such gaps by themselves.
async fn give_way() {
    let mut has_given = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_given, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

//! How fast bytes come to the adapter's memory from the host, out of it, and from place to place in it.

use super::Prober;
use super::timing::{Encoding, Samples};
use crate::error::{Error, Result};
use crate::gpu::adapter::is_software;
use crate::gpu::{Adapter, Arena, Purpose, Recording, Slice};
use crate::kernels::probe_copy::{self, record_probe_copy};
use crate::kernels::probe_read::{self, Sharing, record_probe_read};
use crate::measure::report::ProbeKind;
use web_time::Instant;

/// Bytes of one write, as weights are uploaded; the buffers hold the same ones over and over.
const CHUNK_BYTES: u64 = 8 << 20;
/// Writes between two waits: what is under way lies twice in the host's memory.
const CHUNKS_AT_ONCE: u64 = 8;
/// Below this the buffers are not past the caches, and nothing is worth measuring.
const LEAST_BYTES: u64 = 16 << 20;
/// Bytes of a buffer that are read back, at its begin, in its middle and at its end.
const SAMPLE_BYTES: u64 = 4096;
const QUAD_BYTES: u64 = 16;

/// Two buffers past the caches, and what one of them holds.
struct Large {
    bytes: u64,
    source: Slice,
    copied: Slice,
    sums: Slice,
    chunk: Vec<u32>,
}

impl Prober<'_, '_> {
    /// Upload, read, copy.
    pub(super) async fn bandwidths(&mut self) -> Result<()> {
        let reads = self.is_right(&probe_read::OP, |_| true).await?;
        let copies = self.is_right(&probe_copy::OP, |_| true).await?;
        if self.log.stopped {
            return Ok(());
        }
        let large = self.allocate_large().await?;
        if !self.log.begins(ProbeKind::Upload) {
            return Ok(());
        }
        let samples = self.upload_ms(&large).await?;
        let uploaded = self.holds(&large, large.source).await?;
        self.log.note(ProbeKind::Upload, &rates(large.bytes, &samples), uploaded);

        let read = self.prepare(self.reading(&large, large.source)).await?;
        if self.log.begins(ProbeKind::Read) {
            let samples = self.sample_ms(read, Encoding::LeftOut).await?;
            let right = reads && self.sum(&large).await? == large.sum();
            self.log.note(ProbeKind::Read, &rates(large.bytes, &samples), right);
        }
        if self.log.begins(ProbeKind::Copy) {
            let copy = self.prepare(self.copying(&large)).await?;
            let samples = self.sample_ms(copy, Encoding::LeftOut).await?;
            // All words of the copy are added up by the other kernel, and some of them looked at.
            let again = self.prepare(self.reading(&large, large.copied)).await?;
            self.executor.run(again, 1).await?;
            let right = copies && self.sum(&large).await? == large.sum() && self.holds(&large, large.copied).await?;
            self.log.note(ProbeKind::Copy, &rates(2 * large.bytes, &samples), right);
        }
        // The room is given back before the next probe.
        self.executor.allocate(&Arena::default()).await
    }

    /// Makes the two buffers, smaller ones where the adapter has no room for those that are wanted.
    async fn allocate_large(&mut self) -> Result<Large> {
        let mut bytes = wanted_bytes(self.adapter, self.options.large_bytes);
        loop {
            let (arena, large) = Large::plan(self.adapter, bytes);
            match self.executor.allocate(&arena).await {
                Ok(()) => return Ok(large),
                Err(_) if bytes >= 2 * LEAST_BYTES => bytes /= 2,
                Err(error) => return Err(Error { advice: String::new(), ..error }),
            }
        }
    }

    /// Samples of the milliseconds that writing the whole of one buffer takes, with its end waited for.
    async fn upload_ms(&mut self, large: &Large) -> Result<Vec<f64>> {
        let n_chunks = large.bytes / CHUNK_BYTES;
        let n_waits = n_chunks.div_ceil(CHUNKS_AT_ONCE) as u32;
        let mut samples = Samples::new(self.options);
        while samples.wants_more() {
            let begin = Instant::now();
            for chunk in 0..n_chunks {
                self.executor.write(large.source, chunk * CHUNK_BYTES, bytemuck::cast_slice(&large.chunk));
                if (chunk + 1).is_multiple_of(CHUNKS_AT_ONCE) || chunk + 1 == n_chunks {
                    self.executor.wait().await?;
                }
            }
            let ms = begin.elapsed().as_secs_f64() * 1e3;
            samples.taken.push(self.less_overhead(ms, n_waits));
        }
        Ok(samples.taken)
    }

    /// One dispatch for each slice that can be bound.
    fn reading(&self, large: &Large, whole: Slice) -> Recording {
        let mut recording = Recording::default();
        let reduce = self.adapter.tuning().config.reduce;
        let mut first_sum = 0;
        for slice in slices(self.adapter, whole, large.bytes) {
            let n_quads = (slice.bytes / QUAD_BYTES) as u32;
            first_sum += record_probe_read(&mut recording, reduce, slice, n_quads, large.sums, first_sum);
        }
        recording
    }

    fn copying(&self, large: &Large) -> Recording {
        let mut recording = Recording::default();
        let reduce = self.adapter.tuning().config.reduce;
        let pairs =
            slices(self.adapter, large.source, large.bytes).zip(slices(self.adapter, large.copied, large.bytes));
        for (from, to) in pairs {
            record_probe_copy(&mut recording, reduce, from, to, (from.bytes / QUAD_BYTES) as u32);
        }
        recording
    }

    /// What the threads' sums add up to.
    async fn sum(&mut self, large: &Large) -> Result<u32> {
        let bytes = self.executor.read(large.sums).await?;
        Ok(bytemuck::pod_collect_to_vec::<u8, u32>(&bytes).into_iter().fold(0, u32::wrapping_add))
    }

    /// Whether a buffer holds the chunk over and over, at the places that are looked at.
    async fn holds(&mut self, large: &Large, whole: Slice) -> Result<bool> {
        let chunk: &[u8] = bytemuck::cast_slice(&large.chunk);
        for offset in [0, large.bytes / 2 / 256 * 256, large.bytes - SAMPLE_BYTES] {
            let read = self.executor.read(Slice { offset, bytes: SAMPLE_BYTES, ..whole }).await?;
            let at = (offset % CHUNK_BYTES) as usize;
            if read != chunk[at..at + SAMPLE_BYTES as usize] {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Large {
    fn plan(adapter: &Adapter, bytes: u64) -> (Arena, Self) {
        let mut arena = Arena::default();
        let mut buffer = |label, bytes| {
            let id = arena.add(label, bytes, Purpose::Scratch);
            arena.whole(id)
        };
        let (source, copied) = (buffer("source", bytes), buffer("copied", bytes));
        let n_sums: u64 = slices(adapter, source, bytes)
            .map(|slice| {
                u64::from(Sharing::new(adapter.tuning().config.reduce, (slice.bytes / QUAD_BYTES) as u32).n_threads)
            })
            .sum();
        let sums = buffer("sums", n_sums * 4);
        let chunk = (0..CHUNK_BYTES as u32 / 4).map(scrambled).collect();
        (arena, Self { bytes, source, copied, sums, chunk })
    }

    /// What all words of a buffer add up to, modulo 2^32.
    fn sum(&self) -> u32 {
        let chunk = self.chunk.iter().fold(0_u32, |sum, word| sum.wrapping_add(*word));
        chunk.wrapping_mul((self.bytes / CHUNK_BYTES) as u32)
    }
}

/// A word that looks like chance, so that no part of the words adds up to nothing.
fn scrambled(index: u32) -> u32 {
    let word = (index ^ (index >> 15)).wrapping_mul(0x2c1b_3c6d) ^ 0x9e37_79b9;
    let word = (word ^ (word >> 12)).wrapping_mul(0x297a_2d39);
    word ^ (word >> 15)
}

/// Bytes that no cache holds: the largest on GPUs now are of 256 MiB, those of a CPU are shared by others. Whole chunks.
fn wanted_bytes(adapter: &Adapter, asked: Option<u64>) -> u64 {
    let wanted: u64 = match adapter.identity.kind.as_str() {
        _ if asked.is_some() => asked.unwrap_or_default(),
        _ if is_software(&adapter.identity) => 128 << 20,
        "discrete" => 512 << 20,
        _ => 256 << 20,
    };
    (wanted.min(adapter.limits().max_buffer_size) / CHUNK_BYTES * CHUNK_BYTES).max(LEAST_BYTES)
}

/// The slices of a buffer that can be bound, one after the other.
fn slices(adapter: &Adapter, whole: Slice, bytes: u64) -> impl Iterator<Item = Slice> {
    let most = adapter.binding_bytes() / 256 * 256;
    (0..bytes.div_ceil(most)).map(move |index| {
        let offset = index * most;
        Slice { offset, bytes: most.min(bytes - offset), ..whole }
    })
}

/// Times as 10^9 bytes per second.
fn rates(bytes: u64, samples_ms: &[f64]) -> Vec<f64> {
    samples_ms.iter().map(|ms| bytes as f64 * 1e-6 / ms).collect()
}

//! The GPU executor: pipelines and bind groups made once per recording, one compute pass and one submit per run,
//! readback through a staging buffer. It never waits except in `finish`, `read` and `profile`.

use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use web_time::Instant;

use crate::error::{Error, Result};

use super::adapter::Adapter;
use super::device::{Device, Pipeline, ShaderChecks};
use super::executor::Prepared;
use super::lower::{Dispatch, lower};
use super::op::{Variant, compose};
use super::recording::{Arena, BufferId, Recording, Slice, Stage};
use super::{Caps, Tuning};

#[cfg(test)]
pub(crate) use losing::lose_after;

/// A device, which others may use, too, the arena's buffers on it, and recordings made ready.
pub struct GpuExecutor {
    device: Arc<Device>,
    adapter_name: String,
    caps: Caps,
    tuning: Tuning,
    buffers: Vec<wgpu::Buffer>,
    recordings: Vec<PreparedRecording>,
    staging: Vec<wgpu::Buffer>,
    encoding: Duration,
}

struct PreparedDispatch {
    /// The stage that it belongs to, by its place in the recording.
    stage: usize,
    made: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    grid: (u32, u32),
}

impl PreparedDispatch {
    fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.made.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(self.grid.0, self.grid.1, 1);
    }
}

struct PreparedRecording {
    n_stages: usize,
    dispatches: Vec<PreparedDispatch>,
    scratch: Vec<wgpu::Buffer>,
}

/// As an executor's own buffers, see there.
impl Drop for PreparedRecording {
    fn drop(&mut self) {
        self.scratch.iter().for_each(wgpu::Buffer::destroy);
    }
}

/// A submit under way.
pub struct GpuTicket {
    staging: Option<wgpu::Buffer>,
    bytes: u64,
    mapped: oneshot::Receiver<std::result::Result<(), wgpu::BufferAsyncError>>,
    submission: wgpu::SubmissionIndex,
}

/// A browser would keep an executor's memory until its garbage is collected, which knows nothing of a GPU that is full.
impl Drop for GpuExecutor {
    fn drop(&mut self) {
        self.buffers.iter().chain(&self.staging).for_each(wgpu::Buffer::destroy);
    }
}

impl GpuExecutor {
    /// Opens the adapter with all that it offers of what we use; where its executors share a device, that.
    ///
    /// # Errors
    /// When the adapter gives no device.
    pub async fn open(adapter: &Adapter, checks: ShaderChecks) -> Result<Self> {
        let device = adapter.device(checks).await?;
        Ok(Self {
            device,
            adapter_name: adapter.identity.name.clone(),
            caps: adapter.caps,
            tuning: adapter.tuning(),
            buffers: Vec::new(),
            recordings: Vec::new(),
            staging: Vec::new(),
            encoding: Duration::ZERO,
        })
    }

    /// Chooses otherwise for recordings that are prepared from now on; those from before are forgotten.
    pub fn tune(&mut self, tuning: Tuning) {
        self.recordings.clear();
        self.tuning = tuning;
    }

    /// Forgets this recording and all that were prepared after it, and pipelines that nobody uses.
    pub(super) fn forget_from(&mut self, first: Prepared) {
        self.recordings.truncate(first.0);
        self.device.forget_unused();
    }

    /// The variants that compute a stage under `tuning`, or the executor's own.
    pub(super) fn variants(&self, stage: &Stage, tuning: Option<&Tuning>) -> Vec<&'static Variant> {
        tuning.unwrap_or(&self.tuning).variants(stage, &self.caps)
    }

    /// Bytes of the scratch buffers that a recording's program has for itself.
    pub(super) fn scratch_bytes(&self, recording: &Recording) -> u64 {
        lower(recording, &self.caps, &self.tuning).scratch_bytes()
    }

    fn check(&self) -> Result<()> {
        #[cfg(test)]
        losing::count(&self.device.inner);
        match self.device.fault() {
            None => Ok(()),
            Some(fault) => Err(Error::adapter(format!("adapter {}", self.adapter_name), fault).advice(
                "Load the model again; if it happens again, choose another adapter, and tell us with the adapter's report",
            )),
        }
    }

    /// Buffers from before are given back at once, and recordings over them go with them.
    pub(super) async fn allocate(&mut self, arena: &Arena) -> Result<()> {
        self.recordings.clear();
        self.shrink(BufferId(0));
        self.extend(arena).await.map(|_| ())
    }

    /// A browser would keep them until its garbage is collected.
    pub(super) fn shrink(&mut self, first: BufferId) {
        let first = self.buffers.len().min(first.0 as usize);
        self.buffers.drain(first..).for_each(|buffer| buffer.destroy());
    }

    pub(super) async fn extend(&mut self, beside: &Arena) -> Result<BufferId> {
        let first = BufferId(self.buffers.len() as u32);
        let scope = self.device.inner.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let make = |plan: &super::recording::BufferPlan| {
            let label = Some(plan.label.as_str());
            self.device.inner.create_buffer(&wgpu::BufferDescriptor {
                label,
                size: plan.bytes,
                usage,
                mapped_at_creation: false,
            })
        };
        self.buffers.extend(beside.buffers.iter().map(make));
        if let Some(error) = scope.pop().await {
            // Those that were made are given back at once: another model may need them.
            self.shrink(first);
            let total: u64 = beside.buffers.iter().map(|b| b.bytes).sum();
            return Err(Error::adapter(
                format!("adapter {}", self.adapter_name),
                format!("out of memory for {} MiB of buffers: {error}", total >> 20),
            )
            .advice("Choose a smaller context with -c, a smaller model, or another adapter"));
        }
        self.check().inspect_err(|_| self.shrink(first))?;
        Ok(first)
    }

    pub(super) fn write(&mut self, slice: Slice, offset: u64, bytes: &[u8]) {
        assert!(offset + bytes.len() as u64 <= slice.bytes, "a write past the slice's end");
        self.device.queue.write_buffer(&self.buffers[slice.buffer.0 as usize], slice.offset + offset, bytes);
    }

    pub(super) fn copy(&mut self, pairs: impl IntoIterator<Item = (Slice, Slice)>) -> Result<()> {
        self.check()?;
        let mut encoder = self.device.inner.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for (from, to) in pairs {
            assert!(from.bytes <= to.bytes, "a copy past the slice's end");
            let buffer = |slice: Slice| &self.buffers[slice.buffer.0 as usize];
            encoder.copy_buffer_to_buffer(buffer(from), from.offset, buffer(to), to.offset, Some(from.bytes));
        }
        self.device.queue.submit([encoder.finish()]);
        Ok(())
    }

    /// Under `tuning`, or the executor's own.
    pub(super) async fn prepare(&mut self, recording: &Recording, tuning: Option<&Tuning>) -> Result<Prepared> {
        let program = lower(recording, &self.caps, tuning.unwrap_or(&self.tuning));
        let alignment = u64::from(self.device.inner.limits().min_storage_buffer_offset_alignment).max(16);
        let offsets: Vec<u64> = program
            .dispatches
            .iter()
            .scan(0, |end, dispatch| {
                let offset = *end;
                *end += (dispatch.params.len() as u64).next_multiple_of(alignment);
                Some(offset)
            })
            .collect();
        let size = offsets.last().map_or(16, |last| last + 256.max(alignment));
        let params = self.device.inner.create_buffer(&wgpu::BufferDescriptor {
            label: Some("params"),
            size,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let n_stages = recording.stages.len();
        let scratch = program.scratch.iter().map(|bytes| self.make_scratch(*bytes)).collect();
        let mut prepared = PreparedRecording { n_stages, dispatches: Vec::new(), scratch };
        for (dispatch, offset) in program.dispatches.iter().zip(&offsets) {
            self.device.queue.write_buffer(&params, *offset, &dispatch.params);
            let name = recording.stages[dispatch.stage].name;
            let made = self.prepare_dispatch(dispatch, name, (&params, *offset), &prepared.scratch)?;
            prepared.dispatches.push(made);
        }
        self.check()?;
        self.recordings.push(prepared);
        Ok(Prepared(self.recordings.len() - 1))
    }

    fn make_scratch(&self, size: u64) -> wgpu::Buffer {
        self.device.inner.create_buffer(&wgpu::BufferDescriptor {
            label: Some("scratch"),
            size,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        })
    }

    fn prepare_dispatch(
        &mut self,
        dispatch: &Dispatch,
        stage: &str,
        (params, offset): (&wgpu::Buffer, u64),
        scratch: &[wgpu::Buffer],
    ) -> Result<PreparedDispatch> {
        let text = compose(dispatch.variant, &dispatch.spec, self.caps.subgroups_directive);
        let made = self.device.pipeline(dispatch.op, dispatch.variant, &text);
        let size = std::num::NonZeroU64::new(dispatch.params.len() as u64);
        let param = wgpu::BufferBinding { buffer: params, offset, size };
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(param) }];
        for (index, slice) in dispatch.bindings.iter().enumerate() {
            let buffer = match slice.buffer.as_scratch() {
                Some(number) => &scratch[number as usize],
                None => &self.buffers[slice.buffer.0 as usize],
            };
            let size = std::num::NonZeroU64::new(slice.bytes);
            let binding = wgpu::BufferBinding { buffer, offset: slice.offset, size };
            let resource = wgpu::BindingResource::Buffer(binding);
            entries.push(wgpu::BindGroupEntry { binding: index as u32 + 1, resource });
        }
        let label = Some(stage);
        let bind_group = self.device.inner.create_bind_group(&wgpu::BindGroupDescriptor {
            label,
            layout: &made.layout,
            entries: &entries,
        });
        let limit = self.device.inner.limits().max_compute_workgroups_per_dimension;
        let x = dispatch.n_workgroups.min(limit);
        let y = dispatch.n_workgroups.div_ceil(x);
        if y > limit {
            return Err(Error::adapter(
                format!("stage {stage}"),
                format!("{} workgroups are more than the adapter dispatches", dispatch.n_workgroups),
            ));
        }
        Ok(PreparedDispatch { stage: dispatch.stage, made, bind_group, grid: (x, y) })
    }

    pub(super) fn submit(&mut self, prepared: Prepared, n_times: u32, read: Option<Slice>) -> Result<GpuTicket> {
        let encoder = self.encode(prepared, n_times)?;
        self.submit_and_map(encoder, read.as_slice())
    }

    /// Runs, waits, and says how many milliseconds passed from the submit on.
    pub(super) async fn run(&mut self, prepared: Prepared, n_times: u32) -> Result<f64> {
        let commands = self.encode(prepared, n_times)?.finish();
        let begin = Instant::now();
        self.device.queue.submit([commands]);
        self.wait().await?;
        Ok(begin.elapsed().as_secs_f64() * 1e3)
    }

    /// Waits until all that was written and submitted is done.
    pub(super) async fn wait(&mut self) -> Result<()> {
        // Writes go out with a submit, even an empty one.
        self.device.queue.submit([]);
        let (sender, done) = oneshot::channel();
        self.device.queue.on_submitted_work_done(move || {
            // A receiver that is gone no longer wants to know.
            let _ = sender.send(());
        });
        // Until all is done: where others use the device, too, what they submitted meanwhile may be what the callback waits for.
        self.poll(None)?;
        done.await.map_err(|_| self.unread("the device was dropped with work under way"))?;
        self.check()
    }

    /// Waits for a submission, or for all.
    fn poll(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let wait = wgpu::PollType::Wait { submission_index: submission, timeout: None };
        let polled = self.device.inner.poll(wait);
        self.check()?;
        polled.map(|_| ()).map_err(|error| self.unread(format!("waiting for results failed: {error}")))
    }

    fn unread(&self, found: impl Into<String>) -> Error {
        Error::adapter(format!("adapter {}", self.adapter_name), found)
    }

    fn encode(&mut self, prepared: Prepared, n_times: u32) -> Result<wgpu::CommandEncoder> {
        self.check()?;
        let begin = Instant::now();
        let mut encoder = self.device.inner.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for _ in 0..n_times {
                self.recordings[prepared.0].dispatches.iter().for_each(|dispatch| dispatch.encode(&mut pass));
            }
        }
        self.encoding += begin.elapsed();
        Ok(encoder)
    }

    /// Time spent so far on encoding passes. Submitting is left out: software adapters compute inside it.
    pub(super) fn encoding(&self) -> Duration {
        self.encoding
    }

    /// Brings back slices, one after the other; four bytes of nothing where there are none.
    fn submit_and_map(&mut self, mut encoder: wgpu::CommandEncoder, read: &[Slice]) -> Result<GpuTicket> {
        let bytes = read.iter().map(|slice| slice.bytes).sum::<u64>().max(4);
        let staging = self.take_staging(bytes);
        let mut at = 0;
        for slice in read {
            let buffer = &self.buffers[slice.buffer.0 as usize];
            encoder.copy_buffer_to_buffer(buffer, slice.offset, &staging, at, Some(slice.bytes));
            at += slice.bytes;
        }
        let submission = self.device.queue.submit([encoder.finish()]);
        let (sender, mapped) = oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, ..bytes, move |result| {
            // A receiver that is gone no longer wants the answer.
            let _ = sender.send(result);
        });
        Ok(GpuTicket { staging: Some(staging), bytes, mapped, submission })
    }

    fn take_staging(&mut self, bytes: u64) -> wgpu::Buffer {
        if let Some(index) = self.staging.iter().position(|buffer| buffer.size() >= bytes) {
            return self.staging.swap_remove(index);
        }
        self.device.inner.create_buffer(&wgpu::BufferDescriptor {
            label: Some("staging"),
            size: bytes.next_multiple_of(256),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    pub(super) async fn finish(&mut self, mut ticket: GpuTicket) -> Result<Vec<u8>> {
        self.poll(Some(ticket.submission.clone()))?;
        let mapped = ticket.mapped.await.map_err(|_| self.unread("the device was dropped with results under way"))?;
        self.check()?;
        mapped.map_err(|error| self.unread(format!("results cannot be read: {error}")))?;
        let Some(staging) = ticket.staging.take() else { return Ok(Vec::new()) };
        let view = staging.get_mapped_range(..ticket.bytes).map_err(|error| self.unread(error.to_string()))?;
        let bytes = view.to_vec();
        drop(view);
        staging.unmap();
        self.staging.push(staging);
        Ok(bytes)
    }

    pub(super) async fn read(&mut self, slice: Slice) -> Result<Vec<u8>> {
        let ticket = self.begin_read(slice)?;
        self.finish(ticket).await
    }

    pub(super) fn begin_read(&mut self, slice: Slice) -> Result<GpuTicket> {
        self.begin_read_of(&[slice])
    }

    pub(super) fn begin_read_of(&mut self, slices: &[Slice]) -> Result<GpuTicket> {
        self.check()?;
        let encoder = self.device.inner.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.submit_and_map(encoder, slices)
    }

    pub(super) async fn profile(&mut self, prepared: Prepared) -> Result<Option<Vec<f64>>> {
        self.check()?;
        if !self.device.inner.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        let n_stages = self.recordings[prepared.0].n_stages;
        let mut times = Vec::with_capacity(n_stages);
        // A query set holds at most 4096 timestamps.
        for first in (0..n_stages).step_by(2048) {
            let range = first..(first + 2048).min(n_stages);
            times.extend(self.profile_stages(prepared, range).await?);
        }
        Ok(Some(times))
    }

    async fn profile_stages(&mut self, prepared: Prepared, range: std::ops::Range<usize>) -> Result<Vec<f64>> {
        let count = range.len() as u32 * 2;
        let ty = wgpu::QueryType::Timestamp;
        let query_set = self.device.inner.create_query_set(&wgpu::QuerySetDescriptor { label: None, ty, count });
        let resolved = self.device.inner.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size: u64::from(count) * 8,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.inner.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for (index, stage) in range.enumerate() {
            let timestamp_writes = Some(wgpu::ComputePassTimestampWrites {
                query_set: &query_set,
                beginning_of_pass_write_index: Some(index as u32 * 2),
                end_of_pass_write_index: Some(index as u32 * 2 + 1),
            });
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
            let dispatches = &self.recordings[prepared.0].dispatches;
            let first = dispatches.partition_point(|dispatch| dispatch.stage < stage);
            let of_stage = dispatches[first..].iter().take_while(|dispatch| dispatch.stage == stage);
            of_stage.for_each(|dispatch| dispatch.encode(&mut pass));
        }
        encoder.resolve_query_set(&query_set, 0..count, &resolved, 0);
        let bytes = u64::from(count) * 8;
        let staging = self.take_staging(bytes);
        encoder.copy_buffer_to_buffer(&resolved, 0, &staging, 0, Some(bytes));
        let submission = self.device.queue.submit([encoder.finish()]);
        let (sender, mapped) = oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, ..bytes, move |result| {
            let _ = sender.send(result);
        });
        let read = self.finish(GpuTicket { staging: Some(staging), bytes, mapped, submission }).await?;
        let period_ms = f64::from(self.device.queue.get_timestamp_period()) * 1e-6;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&read);
        Ok(ticks.chunks_exact(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64 * period_ms).collect())
    }
}

/// For tests: a device that is lost in the midst of work, as when its driver is updated or crashes.
#[cfg(test)]
mod losing {
    use std::cell::Cell;

    thread_local! {
        static CALLS_LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// The thread's device is lost after so many more calls. Gives what was left of the number before; none where it was
    /// lost.
    pub(crate) fn lose_after(n_calls: Option<u32>) -> Option<u32> {
        CALLS_LEFT.replace(n_calls)
    }

    pub(super) fn count(device: &wgpu::Device) {
        match CALLS_LEFT.get() {
            Some(0) => device.destroy(),
            None => return,
            Some(_) => {}
        }
        CALLS_LEFT.set(CALLS_LEFT.get().and_then(|left| left.checked_sub(1)));
    }
}

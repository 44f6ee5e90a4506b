//! The CPU executor: runs a recording through each kernel's scalar reference. The oracle of every test, and what a machine
//! without a GPU gets. It never tunes and never skips.

use std::collections::BTreeMap;

use web_time::Instant;

use super::executor::Prepared;
use super::op::{Access, Call};
use super::recording::{Arena, BufferId, Recording, Slice, Stage};

/// Buffers as words in host memory, and the recordings to run over them.
#[derive(Default)]
pub struct CpuExecutor {
    buffers: Vec<Vec<u32>>,
    recordings: Vec<Recording>,
}

impl CpuExecutor {
    pub(super) fn allocate(&mut self, arena: &Arena) {
        self.buffers.clear();
        self.extend(arena);
    }

    pub(super) fn extend(&mut self, beside: &Arena) -> BufferId {
        let first = BufferId(self.buffers.len() as u32);
        self.buffers.extend(beside.buffers.iter().map(|plan| vec![0; (plan.bytes / 4) as usize]));
        first
    }

    pub(super) fn shrink(&mut self, first: BufferId) {
        self.buffers.truncate(first.0 as usize);
    }

    pub(super) fn write(&mut self, slice: Slice, offset: u64, bytes: &[u8]) {
        assert!(offset + bytes.len() as u64 <= slice.bytes, "a write past the slice's end");
        let start = (slice.offset + offset) as usize;
        let buffer: &mut [u8] = bytemuck::cast_slice_mut(&mut self.buffers[slice.buffer.0 as usize]);
        buffer[start..start + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) fn read(&self, slice: Slice) -> Vec<u8> {
        bytemuck::cast_slice(words(&self.buffers[slice.buffer.0 as usize], slice)).to_vec()
    }

    pub(super) fn copy(&mut self, from: Slice, to: Slice) {
        let bytes = self.read(from);
        self.write(to, 0, &bytes);
    }

    pub(super) fn prepare(&mut self, recording: &Recording) -> Prepared {
        self.recordings.push(recording.clone());
        Prepared(self.recordings.len() - 1)
    }

    pub(super) fn forget_from(&mut self, first: Prepared) {
        self.recordings.truncate(first.0);
    }

    pub(super) fn run(&mut self, prepared: Prepared) {
        let recording = std::mem::take(&mut self.recordings[prepared.0]);
        for stage in &recording.stages {
            self.play_stage(stage);
        }
        self.recordings[prepared.0] = recording;
    }

    pub(super) fn profile(&mut self, prepared: Prepared) -> Vec<f64> {
        let recording = std::mem::take(&mut self.recordings[prepared.0]);
        let time = |stage| {
            let begin = Instant::now();
            self.play_stage(stage);
            begin.elapsed().as_secs_f64() * 1e3
        };
        let times = recording.stages.iter().map(time).collect();
        self.recordings[prepared.0] = recording;
        times
    }

    /// Runs one stage. Writable buffers are taken out while it runs, which also proves that no stage binds a buffer
    /// both as input and as output.
    fn play_stage(&mut self, stage: &Stage) {
        let bound = || stage.bindings.iter().zip(stage.op.bindings);
        let of = |access| bound().filter(move |(_, (_, of))| *of == access).map(|(slice, _)| *slice);
        let outputs: Vec<Slice> = of(Access::Write).collect();
        let mut taken: BTreeMap<BufferId, Vec<u32>> = outputs.iter().map(|slice| (slice.buffer, Vec::new())).collect();
        for (id, buffer) in &mut taken {
            *buffer = std::mem::take(&mut self.buffers[id.0 as usize]);
        }
        let mut call = Call {
            params: &stage.params,
            spec: &stage.spec,
            inputs: of(Access::Read).map(|slice| words(&self.buffers[slice.buffer.0 as usize], slice)).collect(),
            outputs: parts_of(&mut taken, &outputs),
            sample: None,
        };
        (stage.op.reference)(&mut call);
        for (id, buffer) in taken {
            self.buffers[id.0 as usize] = buffer;
        }
    }
}

/// The words of slices that do not overlap, in the order of these.
fn parts_of<'a>(buffers: &'a mut BTreeMap<BufferId, Vec<u32>>, slices: &[Slice]) -> Vec<&'a mut [u32]> {
    let mut parts = Vec::new();
    for (id, buffer) in buffers {
        let mut of: Vec<(usize, &Slice)> = slices.iter().enumerate().filter(|(_, slice)| slice.buffer == *id).collect();
        of.sort_by_key(|(_, slice)| slice.offset);
        let (mut rest, mut at) = (buffer.as_mut_slice(), 0);
        for (place, slice) in of {
            let (begin, end) = ((slice.offset / 4) as usize, ((slice.offset + slice.bytes) / 4) as usize);
            let (part, after) = rest.split_at_mut(end - at);
            parts.push((place, &mut part[begin - at..]));
            (rest, at) = (after, end);
        }
    }
    parts.sort_by_key(|(place, _)| *place);
    parts.into_iter().map(|(_, part)| part).collect()
}

fn words(buffer: &[u32], slice: Slice) -> &[u32] {
    &buffer[(slice.offset / 4) as usize..((slice.offset + slice.bytes) / 4) as usize]
}

//! Stages tried over more weights than caches hold. In a step a layer's weights come from memory, since all others were read since
//! the last one; the same few layers again and again, of a small matrix or of a cut, would come from a cache.

use crate::engine::ExecutorChoice;
use crate::engine::run::session::Session;
use crate::error::Result;
use crate::gpu::{Access, Arena, BufferId, Purpose, Slice, Stage};

/// Stages that are computed at most where they read more than enough: layers beyond them tell nothing new.
const MOST_STAGES: usize = 16;
/// Stages with copies at most: what is smaller still is bound by something else.
const MOST_WITH_COPIES: usize = 256;
/// Where a slice may begin in a buffer, on any adapter.
const ALIGNMENT: u64 = 256;

/// Stages that are alike, as they are to be timed.
pub struct Copies {
    /// Some of those that were given, and behind them the first over copies of its weights.
    pub stages: Vec<Stage>,
    /// The first buffer of the copies.
    first: Option<BufferId>,
}

impl Session {
    /// Stages that are alike, so many that they read `bytes`: with copies where they do not by themselves, the adapter has room,
    /// and all of what is bound is read. [`Self::give_back`] ends it.
    ///
    /// # Errors
    /// When the adapter fails.
    pub async fn copy_out(&mut self, alike: &[Stage], bytes: u64) -> Result<Copies> {
        let Some(first) = alike.first() else { return Ok(Copies { stages: Vec::new(), first: None }) };
        let n_needed = bytes.div_ceil(first.cost.bytes.max(1)).min(u64::from(u32::MAX)) as usize;
        let mut stages = alike[..alike.len().min(n_needed.max(MOST_STAGES))].to_vec();
        let weights = self.weights_of(first);
        let one: u64 = weights.iter().map(|slice| slice.bytes.next_multiple_of(ALIGNMENT)).sum();
        let n_copies = n_needed.saturating_sub(stages.len());
        // Of all experts a step reads a few.
        let is_read = one <= 2 * first.cost.bytes;
        let is_wanted = n_copies > 0 && n_needed <= MOST_WITH_COPIES && is_read && one <= self.largest_buffer();
        if !is_wanted || weights.is_empty() {
            return Ok(Copies { stages, first: None });
        }
        let mut beside = Arena::default();
        for _ in 0..n_copies {
            beside.add("copy", one, Purpose::Weights);
        }
        // A model may leave no room: then what there is has to do.
        let Ok(begin) = self.executor.extend(&beside).await else { return Ok(Copies { stages, first: None }) };
        let offsets = weights.iter().scan(0, |end, slice| {
            let offset = *end;
            *end += slice.bytes.next_multiple_of(ALIGNMENT);
            Some(offset)
        });
        let offsets: Vec<u64> = offsets.collect();
        for number in 0..n_copies as u32 {
            let buffer = BufferId(begin.0 + number);
            let copied = |(from, offset): (&Slice, &u64)| (*from, Slice { buffer, offset: *offset, ..*from });
            let pairs: Vec<_> = weights.iter().zip(&offsets).map(copied).collect();
            if let Err(error) = self.executor.copy(pairs.iter().copied()) {
                self.executor.shrink(begin);
                return Err(error);
            }
            let mut copy = first.clone();
            // As of another layer, so that it shares no helper with the first.
            rebind(&mut copy, &pairs, u32::MAX - number);
            stages.push(copy);
        }
        Ok(Copies { stages, first: Some(begin) })
    }

    /// Gives back what [`Self::copy_out`] took. Nothing that was made ready of it may be left.
    pub fn give_back(&mut self, copies: Copies) {
        let Copies { stages, first } = copies;
        drop(stages);
        if let Some(first) = first {
            self.executor.shrink(first);
        }
    }

    fn largest_buffer(&self) -> u64 {
        match &self.choice {
            ExecutorChoice::Gpu(adapter) => adapter.limits().max_buffer_size,
            ExecutorChoice::Cpu => u64::MAX,
        }
    }

    /// The weights that a stage and its parts are bound to, without those that lie within others.
    fn weights_of(&self, stage: &Stage) -> Vec<Slice> {
        let is_weights = |slice: &Slice| self.purposes.get(slice.buffer.0 as usize) == Some(&Purpose::Weights);
        let bound = stage.with_parts().into_iter().flat_map(|of| of.slices(Access::Read)).filter(is_weights);
        let mut weights: Vec<Slice> = bound.collect();
        weights.sort_unstable_by_key(|slice| (slice.buffer, slice.offset, u64::MAX - slice.bytes));
        weights.dedup_by(|next, before| before.contains(next));
        weights
    }
}

/// Binds a stage and its parts to what the slices of pairs were copied to, in a layer.
fn rebind(stage: &mut Stage, pairs: &[(Slice, Slice)], layer: u32) {
    stage.layer = Some(layer);
    for slice in &mut stage.bindings {
        if let Some((from, to)) = pairs.iter().find(|(from, _)| from.contains(slice)) {
            *slice = Slice { buffer: to.buffer, offset: to.offset + slice.offset - from.offset, bytes: slice.bytes };
        }
    }
    stage.parts.iter_mut().for_each(|part| rebind(part, pairs, layer));
}

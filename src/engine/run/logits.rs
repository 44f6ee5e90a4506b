//! Logits after every token of a given text (teacher forcing), and what layers hold on the way: for perplexity, for
//! comparisons with other programs, and for finding the first layer that goes wrong.

use crate::error::Result;
use crate::gpu::{Recording, Slice};

use super::sampling::Sampling;
use super::session::Session;
use crate::engine::arch::network::Network;
use crate::engine::arch::step::Kind;

impl Session {
    /// Logits after every one of `ids`, fed from position 0 (teacher forcing); `each` gets the position and `[n_vocab]`.
    ///
    /// # Errors
    /// As for [`Self::generate`], for logits that are no finite numbers, and what `each` returns.
    pub async fn logits(&mut self, ids: &[u32], each: &mut dyn FnMut(usize, &[f32]) -> Result<()>) -> Result<()> {
        self.feed(ids, &[], true, each).await
    }

    /// As [`Self::logits`], with the sizes of the first steps prescribed, up to as many tokens as have room for their
    /// logits; later ones are as large as the time budget allows, which is not the same on every run. NaN logits are
    /// passed on, since a comparison has to see them.
    ///
    /// # Errors
    /// As for [`Self::generate`], and what `each` returns.
    pub async fn logits_in_steps(
        &mut self,
        ids: &[u32],
        steps: &[u32],
        each: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        self.feed(ids, steps, false, each).await
    }

    async fn feed(
        &mut self,
        ids: &[u32],
        steps: &[u32],
        must_be_finite: bool,
        each: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        self.write_tokens(ids)?;
        let n_vocab = u64::from(self.outline().n_vocab);
        let mut steps = steps.iter().copied();
        let mut position = 0;
        while position < ids.len() as u32 {
            let (logits, n_logits) = self.network.logits();
            let prescribed = steps.next().map(|n| n.min(n_logits));
            let end = (position + n_logits).min(ids.len() as u32);
            let (n, capacity) = self.run_body(position, end, prescribed).await?;
            let head = self.prepare(Kind::HeadAll(capacity.min(n_logits))).await?;
            let read = Slice { bytes: u64::from(n) * n_vocab * 4, ..logits };
            let ticket = self.executor.submit(head, 1, read)?;
            let bytes = self.executor.finish(ticket).await?;
            let logits: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
            for (row, logits) in logits.chunks_exact(n_vocab as usize).enumerate() {
                if must_be_finite {
                    self.check_logits(logits, position + row as u32 + 1).await?;
                }
                each(position as usize + row, logits)?;
            }
            position += n;
        }
        Ok(())
    }

    /// Feeds `ids` in steps of the given sizes (the last one repeats) and hands the residual streams `[n, n_streams, n_embd]`
    /// after each layer of each step to `each(layer, position, streams)`: for finding the first layer that goes wrong.
    ///
    /// # Errors
    /// As for [`Self::generate`].
    pub async fn trace(&mut self, ids: &[u32], steps: &[u32], each: &mut dyn FnMut(u32, usize, &[f32])) -> Result<()> {
        self.write_tokens(ids)?;
        let mut position = 0;
        let mut index = 0;
        while position < ids.len() as u32 {
            let wanted = steps.get(index).or(steps.last()).copied().unwrap_or(1);
            index += 1;
            let n = wanted.min(ids.len() as u32 - position).clamp(1, self.largest_capacity());
            let body = self.record(self.body_at(position, n));
            self.write_step(position, n, &Sampling::default());
            // The embedding's stages carry no layer and go with the first.
            for part in body.stages.chunk_by(|a, b| a.layer.or(Some(0)) == b.layer.or(Some(0))) {
                let recording = Recording { stages: part.to_vec(), layer: None };
                let prepared = self.executor.prepare(&recording).await?;
                let (streams, n_streams) = self.network.streams();
                let row = u64::from(self.outline().n_embd) * u64::from(n_streams) * 4;
                let read = Slice { bytes: u64::from(n) * row, ..streams };
                let ticket = self.executor.submit(prepared, 1, read)?;
                let bytes = self.executor.finish(ticket).await?;
                let layer = part.last().and_then(|stage| stage.layer).unwrap_or(0);
                each(layer, position as usize, &bytemuck::pod_collect_to_vec::<u8, f32>(&bytes));
            }
            position += n;
        }
        Ok(())
    }

    /// Compressed entries and indexer keys of a layer as they stand, `[n_entries, head_dim]` and
    /// `[n_entries, index_head_dim]`; empty where the layer has none.
    ///
    /// # Errors
    /// When the adapter fails.
    pub async fn read_entries(&mut self, layer: usize) -> Result<(Vec<f32>, Vec<f32>)> {
        let Network::V4(forward) = &self.network else { return Ok((Vec::new(), Vec::new())) };
        let state = &forward.states[layer];
        let mut read = Vec::new();
        let slices = [(state.entries, state.ratio > 0), (state.index_keys, state.ratio == 4)];
        for (slice, there) in slices {
            let bytes = if there { self.executor.read(slice).await? } else { Vec::new() };
            read.push(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes));
        }
        let keys = read.pop().unwrap_or_default();
        Ok((read.pop().unwrap_or_default(), keys))
    }
}

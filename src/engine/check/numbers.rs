//! Whether what a model computes are numbers, and where they stop being any. A choice among logits that are none looks like
//! an answer: most often the same token again and again.

use crate::error::{Error, Result};
use crate::gpu::{Recording, Slice, Stage};
use crate::kernels::rows::has_matrix;

use crate::engine::run::sampling::Sampling;
use crate::engine::run::session::Session;

/// Tokens of a step while the place is searched.
const STEP: u32 = 32;

impl Session {
    /// Fails where logits are no finite numbers; they follow the first `n_tokens` of the tokens that were written. The error
    /// names the stage whose output was the first that is none, which is found by running these tokens again.
    ///
    /// # Errors
    /// As said, and when the adapter fails.
    pub(in crate::engine) async fn check_logits(&mut self, logits: &[f32], n_tokens: u32) -> Result<()> {
        let Some(wrong) = logits.iter().find(|logit| !logit.is_finite()) else { return Ok(()) };
        let tokens = self.network.tokens();
        let bytes = self.executor.read(Slice { bytes: u64::from(n_tokens) * 4, ..tokens }).await?;
        let ids: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes);
        let place = self.first_without_numbers(&ids).await?.map_or_else(
            || "all layers give numbers, so it is the last norm or the output head".to_owned(),
            |stage| format!("the first such values come out of {stage}"),
        );
        Err(Error::file(format!("the logits after {n_tokens} tokens"), format!("{wrong} among them: {place}"))
            .expected("finite numbers")
            .advice(
                "The weights are damaged, or too large for their format; verify tells whether the adapter is at fault.",
            ))
    }

    /// The stage whose output, as it joins the residual stream, is the first that is no number.
    async fn first_without_numbers(&mut self, ids: &[u32]) -> Result<Option<String>> {
        let (_, n_streams) = self.network.streams();
        let buffers = self.network.stream_buffers();
        let row = u64::from(self.outline().n_embd) * u64::from(n_streams) * 4;
        let mut position = 0;
        while position < ids.len() as u32 {
            let n = STEP.min(ids.len() as u32 - position).min(self.largest_capacity());
            let body = self.record(self.body_at(position, n));
            self.write_step(position, n, &Sampling::default());
            // What stands there is of the run that went wrong.
            for buffer in buffers {
                self.executor.write(buffer, 0, &vec![0; (u64::from(n) * row) as usize]);
            }
            let mut before: Option<&Stage> = None;
            for stage in &body.stages {
                let recording = Recording { stages: vec![stage.clone()], layer: None };
                let prepared = self.executor.prepare(&recording).await?;
                let mut is_finite = true;
                for (runs, buffer) in [1, 0].into_iter().zip(buffers) {
                    let ticket = self.executor.submit(prepared, runs, Slice { bytes: u64::from(n) * row, ..buffer })?;
                    let bytes = self.executor.finish(ticket).await?;
                    let values: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
                    is_finite &= values.iter().all(|value| value.is_finite());
                }
                if !is_finite {
                    // What joins the stream was computed by the stage before, where not by the same.
                    let Stage { name, layer, .. } = before.filter(|_| !has_matrix(stage.op)).unwrap_or(stage);
                    return Ok(Some(layer.map_or_else(|| (*name).to_owned(), |n| format!("{name} of layer {n}"))));
                }
                before = Some(stage);
            }
            position += n;
        }
        Ok(None)
    }
}

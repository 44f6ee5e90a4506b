//! Texts are begun here: a prompt is computed in steps that fit the time budget, all of it or what the cache lacks, and its
//! first new token is asked for.

use web_time::Instant;

use crate::error::Result;
use crate::gpu::Slice;

use super::generation::{Generation, Prompted};
use super::prefill_budget::FIRST;
use super::prefix_cache::PrefixCache;
use super::sampling::{Sampler, Sampling};
use super::session::{Session, ms_since};
use crate::engine::arch::step::Kind;

impl Session {
    /// Begins a text: runs the prompt and chooses the first token. Whatever ends a text in the model's vocabulary ends it.
    /// What the text begins with in common with the one before is still in the cache and not computed again, which
    /// [`super::Timings::n_known`] tells. Models with windows keep what they need to come back to the end of the prompt, or
    /// to a few tokens before it.
    ///
    /// # Errors
    /// When the prompt is empty, too long or holds an unknown id, or the adapter fails.
    pub async fn generate(&mut self, prompt: &[u32], sampling: &Sampling, n: usize) -> Result<Generation<'_>> {
        let stops = self.ends();
        self.go_on(prompt, sampling, n, &stops).await
    }

    /// As [`Self::generate`], for a text that ends with any of `stops`.
    ///
    /// # Errors
    /// As for [`Self::generate`].
    pub async fn go_on(
        &mut self,
        prompt: &[u32],
        sampling: &Sampling,
        n: usize,
        stops: &[u32],
    ) -> Result<Generation<'_>> {
        sampling.check()?;
        // What the cache holds must not be forgotten for a prompt that is refused.
        self.check_tokens(prompt)?;
        let begin = Instant::now();
        let (n_known, mut prefix) = self.go_back(prompt)?;
        let mut last = (0, 1);
        let end = prompt.len() as u32;
        let pause = self.snapshot_at(end).max(n_known);
        if pause > n_known {
            last = self.run_prompt(n_known, &prompt[..pause as usize]).await?;
        }
        self.snapshot(&mut prefix, pause)?;
        if pause < end {
            last = self.run_prompt(pause, prompt).await?;
        }
        prefix.computed(prompt, self.slack());
        let start = Start { stops: stops.to_vec(), prefix: Some(prefix), n_known, begin };
        self.first_token(prompt, last, sampling, n, start).await
    }

    /// For measuring: as [`Self::generate`], for a prompt whose first `known` tokens are in the cache already; the last
    /// one is computed in any case. The caller answers for the cache: nothing tells it from another text's. The
    /// model's end token is one like any other.
    ///
    /// # Errors
    /// As for [`Self::generate`].
    pub async fn generate_from(
        &mut self,
        known: u32,
        prompt: &[u32],
        sampling: &Sampling,
        n: usize,
    ) -> Result<Generation<'_>> {
        sampling.check()?;
        let begin = Instant::now();
        let last = self.run_prompt(known, prompt).await?;
        let start = Start { stops: Vec::new(), prefix: None, n_known: known, begin };
        self.first_token(prompt, last, sampling, n, start).await
    }

    /// Runs a prompt into the cache and writes nothing, from its token number `known` on; gives the milliseconds.
    ///
    /// # Errors
    /// As for [`Self::generate`].
    pub async fn prefill(&mut self, known: u32, prompt: &[u32]) -> Result<f64> {
        let begin = Instant::now();
        self.run_prompt(known, prompt).await?;
        Ok(ms_since(begin))
    }

    /// The ids that end a text of this model.
    #[must_use]
    pub fn ends(&self) -> Vec<u32> {
        match self.tokenizer() {
            Some(tokenizer) => tokenizer.ends(),
            None => self.outline().eos.into_iter().collect(),
        }
    }

    /// Runs the first step of a text that is never used, so that the first prompt's steps are as long as the adapter takes
    /// them within the budget. Not on a CPU, where a step takes as long as many of a GPU.
    ///
    /// # Errors
    /// When the adapter fails.
    pub(in crate::engine) async fn learn_speed(&mut self) -> Result<()> {
        if self.budget.is_of_a_cut() {
            let step = Slice { bytes: 4, ..self.network.step() };
            let mut overhead_ms = f64::INFINITY;
            for _ in 0..3 {
                let begin = Instant::now();
                self.executor.read(step).await?;
                overhead_ms = overhead_ms.min(ms_since(begin));
            }
            self.budget = self.budget.with_overhead(overhead_ms);
        }
        let n = FIRST.min(self.n_context()).min(self.largest_capacity());
        if !self.choice.is_gpu() || n < FIRST {
            return Ok(());
        }
        self.write_tokens(&vec![0; n as usize])?;
        let prepared = self.prepare(self.body_at(0, n)).await?;
        let mut fastest = f64::INFINITY;
        // The first wakes the adapter up.
        for _ in 0..3 {
            self.write_step(0, n, &Sampling::default());
            let begin = Instant::now();
            self.run_and_wait(prepared).await?;
            fastest = fastest.min(ms_since(begin));
        }
        self.budget.took(n, fastest);
        self.write_step(0, 0, &Sampling::default());
        Ok(())
    }

    /// The size and the recorded size of the last step.
    async fn run_prompt(&mut self, known: u32, prompt: &[u32]) -> Result<(u32, u32)> {
        self.write_tokens(prompt)?;
        let end = prompt.len() as u32;
        let mut position = known.min(end - 1);
        let mut last = (0, 1);
        while position < end {
            last = self.run_body(position, end, None).await?;
            position += last.0;
        }
        Ok(last)
    }

    async fn first_token(
        &mut self,
        prompt: &[u32],
        last: (u32, u32),
        sampling: &Sampling,
        n: usize,
        start: Start,
    ) -> Result<Generation<'_>> {
        let Start { stops, prefix, n_known, begin } = start;
        let prefill_ms = ms_since(begin);
        let n_prompt = prompt.len() as u32;
        let head = self.prepare(Kind::HeadLast(last.1)).await?;
        let sampler = if sampling.suits_the_kernel() {
            self.write_step_until(n_prompt - last.0, last.0, sampling, &stops);
            None
        } else {
            let (n_vocab, ends) = (self.outline().n_vocab, self.ends());
            // The kernel chooses too, and only to move the step on: nothing may end it or touch the logits.
            self.write_step(n_prompt - last.0, last.0, &Sampling::default());
            Some(Sampler::new(sampling, self.tokenizer(), &ends, n_vocab, prompt)?)
        };
        Generation::begin(self, Prompted { head, n_prompt, n_known, prefix, stops, sampler, begin, prefill_ms }, n)
            .await
    }
}

/// How a text begins.
struct Start {
    stops: Vec<u32>,
    /// What the cache holds with the prompt in it, where that is known.
    prefix: Option<PrefixCache>,
    n_known: u32,
    begin: Instant,
}

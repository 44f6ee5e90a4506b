//! A text being written: decode steps kept in flight, ids handed out in order. The host knows an id only after the GPU has
//! already begun the next ones; once a token was chosen that ends the text, the steps in flight have no tokens, so the cache
//! ends where the text does.

use std::collections::VecDeque;

use web_time::Instant;

use crate::error::Result;
use crate::gpu::executor::Prepared;
use crate::gpu::op::MAX_STOPS;
use crate::gpu::{Slice, Ticket};

use super::prefix_cache::PrefixCache;
use super::sampling::Sampler;
use super::session::{Session, ms_since};
use crate::engine::arch::step::Kind;
use crate::engine::load::options::ExecutorChoice;

/// What writing took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timings {
    /// Tokens of the prompt.
    pub n_prompt: u32,
    /// Of these, tokens that were in the cache from a text before and were not computed.
    pub n_known: u32,
    /// Running the prompt, in milliseconds.
    pub prefill_ms: f64,
    /// From the request to the first new id on the host, in milliseconds.
    pub first_token_ms: f64,
    /// New tokens chosen after the first, one that ended the text included.
    pub n_decoded: u32,
    /// From the first new id to the last, in milliseconds.
    pub decode_ms: f64,
    /// Milliseconds per token, one value for each submit.
    pub token_ms: Vec<f64>,
    /// Time that the host spent encoding decode steps, in milliseconds.
    pub encode_ms: f64,
}

/// Submits in flight.
const IN_FLIGHT: usize = 3;

/// A submit should take about this long, so that text streams and a stop is heard.
const SUBMIT_MS: f64 = 120.0;

/// Tokens in one submit at most.
const MAX_BURST: u32 = 16;

/// A prompt that was computed, and how what is to come after it ends.
pub(in crate::engine) struct Prompted {
    /// Chooses the first token.
    pub(in crate::engine) head: Prepared,
    pub(in crate::engine) n_prompt: u32,
    pub(in crate::engine) n_known: u32,
    /// What the cache holds with the prompt in it, where that is known.
    pub(in crate::engine) prefix: Option<PrefixCache>,
    pub(in crate::engine) stops: Vec<u32>,
    /// Chooses tokens where the kernel cannot.
    pub(in crate::engine) sampler: Option<Sampler>,
    pub(in crate::engine) begin: Instant,
    pub(in crate::engine) prefill_ms: f64,
}

/// A text being written.
pub struct Generation<'a> {
    session: &'a mut Session,
    /// Decode steps at any position.
    decode: Prepared,
    /// Those before [`Network::dense_until`](crate::engine::arch::network::Network::dense_until); others where there are none.
    decode_dense: Prepared,
    in_flight: VecDeque<(Ticket, u32)>,
    ready: VecDeque<u32>,
    /// New ids that are known on the host, handed out or not.
    written: Vec<u32>,
    /// Position of the first new token.
    first: u32,
    /// New tokens asked of the executor.
    issued: u32,
    /// New tokens handed out.
    taken: u32,
    /// New tokens wanted.
    wanted: u32,
    burst: u32,
    /// Ids that end the text.
    stops: Vec<u32>,
    /// Whether one of them was chosen.
    stopped: bool,
    /// Whether the executor does not know that one, and runs what is in flight: the cache then holds what comes behind it.
    runs_on: bool,
    /// Chooses tokens where the kernel cannot: then a step waits for the token before it.
    sampler: Option<Sampler>,
    prefix: Option<PrefixCache>,
    begin: Instant,
    last: Instant,
    timings: Timings,
}

impl<'a> Generation<'a> {
    pub(in crate::engine) async fn begin(session: &'a mut Session, prompted: Prompted, wanted: usize) -> Result<Self> {
        let Prompted { head, n_prompt, n_known, prefix, stops, sampler, begin, prefill_ms } = prompted;
        let room = session.n_context() - n_prompt;
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).min(room);
        let decode_dense = session.prepare(session.network.decode_at(n_prompt)).await?;
        let decode = session.prepare(Kind::Decode).await?;
        let timings = Timings { n_prompt, n_known, prefill_ms, ..Timings::default() };
        let mut generation = Self {
            session,
            decode,
            decode_dense,
            in_flight: VecDeque::new(),
            ready: VecDeque::new(),
            written: Vec::new(),
            first: n_prompt,
            issued: 0,
            taken: 0,
            wanted,
            burst: 1,
            stops,
            stopped: false,
            runs_on: false,
            sampler,
            prefix,
            begin,
            last: begin,
            timings,
        };
        if wanted > 0 {
            generation.issue(head, 1)?;
            // Once a text: what is wrong with the weights shows in the first logits.
            let session = &mut generation.session;
            let (logits, _) = session.network.logits();
            let n_vocab = u64::from(session.outline().n_vocab);
            let bytes = session.executor.read(Slice { bytes: n_vocab * 4, ..logits }).await?;
            let logits: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
            session.check_logits(&logits, n_prompt).await?;
        }
        Ok(generation)
    }

    fn issue(&mut self, prepared: Prepared, n: u32) -> Result<()> {
        let read = match self.sampler {
            None => self.place(self.first + self.issued, n),
            Some(_) => {
                let (logits, _) = self.session.network.logits();
                Slice { bytes: u64::from(self.session.outline().n_vocab) * 4, ..logits }
            }
        };
        let ticket = self.session.executor.submit(prepared, n, read)?;
        self.in_flight.push_back((ticket, n));
        self.issued += n;
        Ok(())
    }

    /// Where the ids of `n` tokens from a position on lie.
    fn place(&self, position: u32, n: u32) -> Slice {
        let tokens = self.session.network.tokens();
        Slice { offset: tokens.offset + u64::from(position) * 4, bytes: u64::from(n) * 4, ..tokens }
    }

    /// Whether steps can be asked for before the token is known that they begin with.
    fn runs_ahead(&self) -> bool {
        matches!(self.session.choice, ExecutorChoice::Gpu(_)) && self.sampler.is_none()
    }

    /// Keeps submits in flight: several where steps run ahead, else one.
    fn fill(&mut self) -> Result<()> {
        let depth = if self.runs_ahead() { IN_FLIGHT } else { 1 };
        while self.in_flight.len() < depth && self.issued < self.wanted {
            let before = self.session.executor.encoding_ms();
            // The step begins with the last token asked for.
            let position = self.first + self.issued - 1;
            let n_dense = self.session.network.dense_until().saturating_sub(position);
            let (decode, most) = if n_dense > 0 { (self.decode_dense, n_dense) } else { (self.decode, u32::MAX) };
            self.issue(decode, self.burst.min(self.wanted - self.issued).min(most))?;
            self.timings.encode_ms += self.session.executor.encoding_ms() - before;
        }
        Ok(())
    }

    /// The next id, or `None` at the end: a token that ends the text, the number of tokens wanted, or a full context.
    ///
    /// # Errors
    /// When the adapter fails.
    pub async fn next(&mut self) -> Result<Option<u32>> {
        if self.ready.is_empty() && !self.stopped && self.taken < self.wanted {
            self.fill()?;
            self.take().await?;
        }
        let id = self.ready.pop_front();
        self.taken += u32::from(id.is_some());
        Ok(id)
    }

    /// Whether the text came to its own end: a token was chosen that ends it.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.stopped && self.ready.is_empty()
    }

    /// Waits for the oldest submit.
    async fn take(&mut self) -> Result<()> {
        let Some((ticket, _)) = self.in_flight.pop_front() else { return Ok(()) };
        let bytes = self.session.executor.finish(ticket).await?;
        let now = Instant::now();
        let n = self.accept(&bytes)?;
        if self.timings.first_token_ms == 0.0 {
            self.timings.first_token_ms = ms_since(self.begin);
        } else {
            let ms = (now - self.last).as_secs_f64() * 1e3;
            self.timings.decode_ms += ms;
            self.timings.n_decoded += n;
            let per_token = ms / f64::from(n.max(1));
            self.timings.token_ms.push(per_token);
            if self.runs_ahead() {
                self.burst = ((SUBMIT_MS / per_token.max(0.01)) as u32).clamp(1, MAX_BURST.min(self.burst * 2));
            }
        }
        self.last = now;
        Ok(())
    }

    /// Takes a submit's ids, up to one that ends the text: those after it are not this text's. Says how many tokens were
    /// chosen, that one included.
    fn accept(&mut self, bytes: &[u8]) -> Result<u32> {
        if self.stopped && !self.runs_on {
            return Ok(0);
        }
        let mut ids: Vec<u32> = match &mut self.sampler {
            None => bytemuck::pod_collect_to_vec(bytes),
            Some(sampler) => {
                let id = sampler.choose(&mut bytemuck::pod_collect_to_vec(bytes))?;
                // In place of the kernel's choice, from which the next step would go on.
                let place = self.place(self.first + self.written.len() as u32, 1);
                self.session.executor.write(place, 0, bytemuck::bytes_of(&id));
                vec![id]
            }
        };
        if self.stopped {
            self.written.extend(ids);
            return Ok(0);
        }
        let end = ids.iter().position(|id| self.stops.contains(id));
        let n_chosen = end.map_or(ids.len(), |end| end + 1);
        self.ready.extend(&ids[..end.unwrap_or(ids.len())]);
        self.stopped = end.is_some();
        let known = &self.stops[..self.stops.len().min(MAX_STOPS)];
        self.runs_on = end.is_some_and(|end| !known.contains(&ids[end]));
        if !self.runs_on {
            ids.truncate(end.unwrap_or(ids.len()));
        }
        self.written.extend(ids);
        Ok(n_chosen as u32)
    }

    /// Ends the text, waits for what is in flight, and tells what it took.
    ///
    /// # Errors
    /// When the adapter fails.
    pub async fn finish(mut self) -> Result<Timings> {
        while let Some((ticket, _)) = self.in_flight.pop_front() {
            let bytes = self.session.executor.finish(ticket).await?;
            self.accept(&bytes)?;
        }
        if let Some(mut prefix) = self.prefix.take() {
            // A token is computed to choose the next one: the last one was not, unless that next one was a stop.
            let is_whole = self.stopped && !self.runs_on;
            let n_computed = if is_whole { self.written.len() } else { self.written.len().saturating_sub(1) };
            prefix.extend(&self.written[..n_computed], self.session.slack());
            self.session.prefix = prefix;
        }
        Ok(self.timings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{LoadOptions, ModelFiles, Sampling};
    use crate::error::ErrorKind;
    use crate::format::Memory;
    use crate::gpu::Adapter;
    use crate::gpu::executor_gpu::lose_after;
    use crate::model::{Shape, SyntheticName};
    use pollster::block_on;
    use std::rc::Rc;

    /// All that is done with a model: it is loaded, reads and writes a text, goes on from it, is measured, and what it
    /// holds is kept.
    fn all_phases(files: &ModelFiles, adapter: &Adapter) -> Result<Session> {
        let choice = ExecutorChoice::Gpu(adapter.clone());
        let mut session = block_on(Session::load(files, choice, &LoadOptions::default(), &mut |_| ()))?;
        let mut text = vec![1, 2, 3];
        for _ in 0..2 {
            let mut generation = block_on(session.generate(&text, &Sampling::default(), 20))?;
            while let Some(id) = block_on(generation.next())? {
                text.push(id);
            }
            block_on(generation.finish())?;
        }
        block_on(session.keep_past(&[0; 32], &mut |_| Ok(())))?;
        block_on(session.logits(&text, &mut |_, _| Ok(())))?;
        block_on(session.profile_step(3, 1))?;
        block_on(session.prefill(0, &text))?;
        Ok(session)
    }

    /// Whenever the device is lost, one error names the adapter, and another load works.
    #[test]
    fn a_device_lost_in_any_phase_is_one_error_and_another_load_works() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/families/llama/model.gguf");
        let bytes = std::fs::read(path).expect("the fixture");
        let files = ModelFiles::gguf(Rc::new(Memory::new("llama.gguf", bytes)));
        let Some(adapter) = block_on(Adapter::all()).into_iter().next() else {
            let may_skip = std::env::var("HEADSTART_TEST_GPU").is_ok_and(|word| word == "skip");
            assert!(may_skip, "no adapter: install one, or set HEADSTART_TEST_GPU=skip");
            return;
        };
        // Further apart the further on: the first calls are of loading, each of another kind.
        let mut n_lost = 0;
        let mut n_calls = 0;
        loop {
            lose_after(Some(n_calls));
            let done = all_phases(&files, &adapter);
            let was_lost = lose_after(None).is_none();
            match done {
                Ok(_) if !was_lost => break,
                // What was read back before is whole; the next call says that the device is gone.
                Ok(mut session) => assert!(block_on(session.prefill(0, &[1, 2])).is_err(), "lost at call {n_calls}"),
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::Adapter, "call {n_calls}: {error}");
                    assert!(error.to_string().contains(&adapter.identity.name), "call {n_calls}: {error}");
                }
            }
            (n_lost, n_calls) = (n_lost + 1, n_calls + 1 + n_calls / 3);
        }
        assert!(n_lost > 8, "{n_calls} calls");
    }

    /// A layer of each ratio; the second chooses 5 entries, so that from position 23 on it has to.
    const DENSE_UNTIL: u32 = 23;

    fn v4(choice: ExecutorChoice) -> Session {
        let config = r#"{"model_type": "deepseek_v4", "vocab_size": 64, "hidden_size": 32, "moe_intermediate_size": 32,
            "num_hidden_layers": 3, "num_attention_heads": 2, "head_dim": 16, "q_lora_rank": 32, "o_groups": 1,
            "o_lora_rank": 32, "num_experts_per_tok": 1, "n_routed_experts": 2, "max_position_embeddings": 256,
            "compress_ratios": [0, 4, 128], "num_hash_layers": 1, "sliding_window": 8, "index_n_heads": 2,
            "index_head_dim": 16, "index_topk": 5, "qk_rope_head_dim": 8, "hc_sinkhorn_iters": 2}"#;
        let name = SyntheticName::parse("synthetic:config.json:format=q8_0:seed=3").expect("a name");
        let shape = Shape::from_config(config).expect("a shape");
        let files = ModelFiles::synthetic(name.with_shape(shape).expect("a model"));
        block_on(Session::load(&files, choice, &LoadOptions::default(), &mut |_| ())).expect("a session")
    }

    fn places() -> impl Iterator<Item = ExecutorChoice> {
        let adapters = block_on(Adapter::all()).into_iter().filter(|adapter| adapter.identity.backend != "gl");
        std::iter::once(ExecutorChoice::Cpu).chain(adapters.map(ExecutorChoice::Gpu))
    }

    /// What a step at a position leaves, in bits.
    fn left_by(session: &mut Session, kind: Kind, position: u32) -> Vec<u8> {
        let prepared = block_on(session.prepare(kind)).expect("a recording");
        session.write_step(position, 1, &Sampling::default());
        block_on(session.run_and_wait(prepared)).expect("a step");
        let mut slices = session.network.held(position + 1);
        slices.push(session.network.logits().0);
        block_on(session.executor.read_all(&slices)).expect("bytes")
    }

    #[test]
    fn steps_that_choose_nothing_equal_those_that_choose_all() {
        for choice in places() {
            let mut session = v4(choice);
            let ids: Vec<u32> = (0..40).map(|i| 2 + i * i * 7 % 61).collect();
            for position in 0..=DENSE_UNTIL {
                let is_dense = position < DENSE_UNTIL;
                let expected = if is_dense { Kind::DecodeDense } else { Kind::Decode };
                assert_eq!(session.network.decode_at(position), expected, "position {position}");
                // The reference has no entries beyond those that are chosen.
                if is_dense || matches!(session.choice, ExecutorChoice::Gpu(_)) {
                    session.write_tokens(&ids).expect("ids");
                    let [dense, chosen] =
                        [Kind::DecodeDense, Kind::Decode].map(|kind| left_by(&mut session, kind, position));
                    assert_eq!(dense == chosen, is_dense, "position {position}");
                }
            }
        }
    }

    fn written(session: &mut Session, prompt: &[u32], n: usize) -> Vec<u32> {
        let sampling = Sampling { temperature: 1.0, seed: 5, ..Sampling::default() };
        let mut generation = block_on(session.go_on(prompt, &sampling, n, &[])).expect("a text");
        let mut ids = Vec::new();
        while let Some(id) = block_on(generation.next()).expect("an id") {
            ids.push(id);
        }
        block_on(generation.finish()).expect("an end");
        ids
    }

    #[test]
    fn a_text_goes_over_from_one_kind_of_step_to_the_other() {
        for choice in places() {
            let (mut session, mut fresh) = (v4(choice.clone()), v4(choice));
            // All steps are of the kind that fits every position.
            let decode = block_on(fresh.prepare(Kind::Decode)).expect("a recording");
            fresh.prepared.insert(Kind::DecodeDense, decode);
            let text = written(&mut session, &[1, 2, 3], 90);
            assert_eq!(text, written(&mut fresh, &[1, 2, 3], 90));
            let whole = [&[1, 2, 3], text.as_slice()].concat();
            // Further on, then back to the last positions of one kind and the first of the other.
            for n in [whole.len(), 22, 23, 24, 21, 9] {
                let prompt = [&whole[..n - 1], &[60]].concat();
                assert_eq!(written(&mut session, &prompt, 40), written(&mut fresh, &prompt, 40), "after {n}");
            }
        }
    }
}

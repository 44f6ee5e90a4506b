//! A loaded model, ready to write: opens files, plans, uploads, compiles, and runs prompts in bounded chunks.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use sha2::{Digest, Sha256};
use web_time::Instant;

use crate::error::{Error, Result};
use crate::format::Format;
use crate::gpu::executor::Prepared;
use crate::gpu::executor_gpu::GpuExecutor;
use crate::gpu::op::{MAX_STOPS, Precision, Step};
use crate::gpu::{Executor, Purpose, Recording, Slice, Tuning};
use crate::kernels::cache::CacheTypes;
use crate::model::{Outline, Shape};
use crate::text::Tokenizer;

use super::fault;
use super::parts::Parts;
use super::prefill_budget::{PrefillBudget, StepTime};
use super::prefix_cache::PrefixCache;
use super::sampling::Sampling;
use crate::engine::arch::fit::{Plan, Room};
use crate::engine::arch::network::Network;
use crate::engine::arch::planning::make_plan;
use crate::engine::arch::step::Kind;
use crate::engine::load::files::ModelFiles;
use crate::engine::load::options::{ExecutorChoice, LoadOptions, LoadProgress, LoadTimings, Memory};
use crate::engine::load::synthetic_fill;

/// Tokens in one step at most where nothing is asked for, on a GPU and on a CPU.
const USUAL_CHUNK: u32 = 512;
const USUAL_CHUNK_ON_CPU: u32 = 256;

/// A loaded model on one executor.
pub struct Session {
    pub(in crate::engine) executor: Executor,
    pub(in crate::engine) network: Network,
    outline: Outline,
    /// A hash of the model's shape.
    pub(in crate::engine) shape: [u8; 32],
    pub(in crate::engine) choice: ExecutorChoice,
    pub(in crate::engine) tuning: Tuning,
    /// The stage that is broken on purpose; never on the CPU.
    fault: Option<String>,
    tokenizer: Option<Rc<Tokenizer>>,
    notices: Vec<String>,
    pub(in crate::engine) prepared: HashMap<Kind, Prepared>,
    pub(in crate::engine) parts: Parts,
    /// What the cache holds; unknown while something is computed.
    pub(in crate::engine) prefix: PrefixCache,
    /// Sizes of steps that are recorded, ascending.
    pub(in crate::engine) capacities: Vec<u32>,
    /// How many tokens a step takes.
    pub(in crate::engine) budget: PrefillBudget,
    pub(in crate::engine) memory: Memory,
    /// What each buffer is for.
    pub(in crate::engine) purposes: Vec<Purpose>,
    weight_format: Format,
    timings: LoadTimings,
}

impl Session {
    /// Opens a model, plans and fills its buffers, and makes its recordings ready.
    ///
    /// # Errors
    /// When a file is damaged or not supported, the model does not fit the adapter, or the adapter fails.
    pub async fn load(
        files: &ModelFiles,
        choice: ExecutorChoice,
        options: &LoadOptions,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self> {
        let begin = Instant::now();
        progress(LoadProgress::Directory);
        let open = files.open().await?;
        let (model, mut notices) = (&open.model, open.notices.clone());
        let directory_ms = ms_since(begin);

        let begin = Instant::now();
        let (mut executor, tuning, binding_bytes) = open_executor(&choice, options).await?;
        let shard_bytes = options.shard_bytes.unwrap_or(binding_bytes);
        let room = Room { binding_bytes, shard_bytes, most_bytes: options.most_bytes, program_bytes: 0 };
        let usual = if choice.is_gpu() { USUAL_CHUNK } else { USUAL_CHUNK_ON_CPU };
        let plan = make_plan(model, options, options.n_chunk.unwrap_or(usual), room, &executor, &mut notices)?;
        let memory = plan.memory();
        progress(LoadProgress::Planned { n_context: plan.network.n_context(), memory });
        let Plan { arena, uploads, network, n_chunk, .. } = plan;
        if let Some(name) = &options.fault {
            let kinds = network.kinds(&Kind::capacities(n_chunk)).into_iter().chain([Kind::HeadAll(1)]);
            fault::check_name(name, &kinds.map(|kind| network.record(kind)).collect::<Vec<_>>())?;
        }
        executor.allocate(&arena).await?;
        for (slice, table) in network.tables() {
            executor.write(slice, 0, bytemuck::cast_slice(&table));
        }
        let total = uploads.bytes();
        let mut report = |done| progress(LoadProgress::Upload { done, total });
        match &files.synthetic {
            Some(model) => synthetic_fill::fill(&uploads, model, &mut executor, &mut report).await?,
            None => uploads.run(&open.sources, &mut executor, &mut report).await?,
        }
        let upload_ms = ms_since(begin);

        let timings = LoadTimings { directory_ms, upload_ms, compile_ms: 0.0 };
        // What is measured of a cut stands for the whole.
        let budget = files.synthetic.as_ref().map_or_else(PrefillBudget::default, |model| {
            PrefillBudget::of_a_cut(model.n_layers() as usize, model.whole.n_layers() as usize)
        });
        let mut session = Self {
            executor,
            network,
            outline: model.outline(),
            shape: Sha256::digest(model.shape_text()).into(),
            fault: options.fault.clone().filter(|_| matches!(choice, ExecutorChoice::Gpu(_))),
            choice,
            tokenizer: open.tokenizer.clone(),
            notices,
            tuning,
            prepared: HashMap::new(),
            parts: Parts::default(),
            prefix: PrefixCache::default(),
            capacities: Kind::capacities(n_chunk),
            budget,
            memory,
            purposes: arena.buffers.iter().map(|plan| plan.purpose).collect(),
            weight_format: uploads.main_format(),
            timings,
        };
        session.compile(progress).await?;
        session.learn_speed().await?;
        Ok(session)
    }

    /// Makes the recordings of generation ready and runs each once for no tokens, so that drivers which compile at
    /// first use do it now.
    pub(in crate::engine) async fn compile(&mut self, progress: &mut dyn FnMut(LoadProgress)) -> Result<()> {
        let begin = Instant::now();
        let kinds = self.network.kinds(&self.capacities);
        let total = kinds.len() as u32;
        self.write_step(0, 0, &Sampling::default());
        for (index, kind) in kinds.into_iter().enumerate() {
            progress(LoadProgress::Compile { done: index as u32, total });
            let prepared = self.prepare(kind).await?;
            self.write_step(0, 0, &Sampling::default());
            self.run_and_wait(prepared).await?;
        }
        progress(LoadProgress::Compile { done: total, total });
        self.timings.compile_ms += ms_since(begin);
        Ok(())
    }

    /// The tokenizer, if the file has a vocabulary.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_deref()
    }

    /// What is known of the model.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// The shape, where the model is a DeepSeek V4.
    pub fn v4_shape(&self) -> Option<&Shape> {
        match &self.network {
            Network::V4(forward) => Some(&forward.shape),
            Network::Decoder(_) => None,
        }
    }

    /// How keys and values are kept; V4 keeps everything in f32.
    pub fn cache_types(&self) -> CacheTypes {
        self.network.cache_types()
    }

    /// Whether both keep their state in the same places: lock step compares it as it lies.
    #[must_use]
    pub fn lies_as(&self, other: &Self) -> bool {
        (self.n_chunk(), self.cache_types()) == (other.n_chunk(), other.cache_types())
    }

    /// Positions that fit.
    pub fn n_context(&self) -> u32 {
        self.network.n_context()
    }

    /// Tokens in one step at most.
    pub fn n_chunk(&self) -> u32 {
        self.largest_capacity()
    }

    /// Tokens in one step at most whose logits are all wanted.
    pub fn n_logits(&self) -> u32 {
        self.network.logits().1.min(self.largest_capacity())
    }

    /// The longest step of a prompt so far: its tokens, and its time from submit to end.
    pub fn longest_step(&self) -> StepTime {
        self.budget.longest()
    }

    /// Memory on the executor.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// The format of most of the weights.
    pub fn weight_format(&self) -> Format {
        self.weight_format
    }

    /// What loading took.
    pub fn load_timings(&self) -> LoadTimings {
        self.timings
    }

    /// What was noticed and skipped while the files were read.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Where the model runs.
    pub fn choice(&self) -> &ExecutorChoice {
        &self.choice
    }

    /// The stage that is broken on purpose, if one is.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// What is chosen for the adapter.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// The variants that round activations in the steps of a text, by name.
    #[must_use]
    pub fn rounded(&self) -> Vec<String> {
        let stages = self.network.kinds(&self.capacities).into_iter().flat_map(|kind| self.network.record(kind).stages);
        let variants = stages.flat_map(|stage| self.executor.variants(&stage, None));
        let rounded = variants.filter(|variant| variant.precision != Precision::Exact);
        rounded.map(|variant| variant.name.to_owned()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The recording of one decode step at any position, for counting and for reports.
    pub fn decode_recording(&self) -> Recording {
        self.record(Kind::Decode)
    }

    pub(in crate::engine) fn record(&self, kind: Kind) -> Recording {
        let mut recording = self.network.record(kind);
        if let Some(name) = &self.fault {
            fault::break_stages(&mut recording, name);
        }
        recording
    }

    pub(in crate::engine) async fn prepare(&mut self, kind: Kind) -> Result<Prepared> {
        if let Some(prepared) = self.prepared.get(&kind) {
            return Ok(*prepared);
        }
        let recording = self.record(kind);
        let prepared = self.executor.prepare(&recording).await?;
        self.prepared.insert(kind, prepared);
        Ok(prepared)
    }

    /// Sets the step that is computed next. What the cache holds is unknown from then on; the caller
    /// who runs the step sets it again.
    pub(in crate::engine) fn write_step(&mut self, position: u32, n_tokens: u32, sampling: &Sampling) {
        self.write_step_until(position, n_tokens, sampling, &[]);
    }

    /// As [`Self::write_step`], of a text that any of `stops` ends. The executor knows the first [`MAX_STOPS`] of them.
    pub(in crate::engine) fn write_step_until(
        &mut self,
        position: u32,
        n_tokens: u32,
        sampling: &Sampling,
        stops: &[u32],
    ) {
        self.prefix = PrefixCache::default();
        let mut places = [0; MAX_STOPS];
        places.iter_mut().zip(stops).for_each(|(place, stop)| *place = *stop);
        let step = Step {
            position,
            n_tokens,
            temperature: sampling.temperature,
            top_k: sampling.top_k,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            repeat_penalty: sampling.repeat_penalty,
            repeat_window: sampling.repeat_window,
            seed: sampling.seed,
            n_stops: stops.len().min(MAX_STOPS) as u32,
            presence_penalty: sampling.presence_penalty,
            frequency_penalty: sampling.frequency_penalty,
            stops: places,
        };
        self.executor.write(self.network.step(), 0, bytemuck::bytes_of(&step));
    }

    pub(in crate::engine) async fn run_and_wait(&mut self, prepared: Prepared) -> Result<()> {
        let ticket = self.executor.submit(prepared, 1, Slice { bytes: 4, ..self.network.step() })?;
        self.executor.finish(ticket).await?;
        Ok(())
    }

    /// Checks ids and writes them to their positions.
    pub(in crate::engine) fn write_tokens(&mut self, ids: &[u32]) -> Result<()> {
        self.check_tokens(ids)?;
        self.executor.write(self.network.tokens(), 0, bytemuck::cast_slice(ids));
        Ok(())
    }

    pub(in crate::engine) fn check_tokens(&self, ids: &[u32]) -> Result<()> {
        let n_vocab = self.outline.n_vocab;
        if let Some(id) = ids.iter().find(|id| **id >= n_vocab) {
            return Err(Error::usage("token ids", format!("{id}")).expected(format!("ids below {n_vocab}")));
        }
        if ids.is_empty() {
            return Err(Error::usage("prompt", "no tokens").advice("Give a prompt of at least one token"));
        }
        if ids.len() > self.network.n_context() as usize {
            let found = format!("{} tokens", ids.len());
            let expected = format!("at most {}, the context", self.network.n_context());
            return Err(Error::usage("prompt", found).expected(expected).advice("Shorten it, or raise -c"));
        }
        Ok(())
    }

    /// The smallest recorded size that takes `n` tokens.
    pub(in crate::engine) fn capacity(&self, n: u32) -> u32 {
        self.capacities.iter().copied().find(|c| *c >= n).unwrap_or(1)
    }

    /// The kind of a prompt's step of `n` tokens at a position.
    pub(in crate::engine) fn body_at(&self, position: u32, n: u32) -> Kind {
        self.network.body_at(position, n, &self.capacities, &self.tuning)
    }

    pub(in crate::engine) fn largest_capacity(&self) -> u32 {
        self.capacities.last().copied().unwrap_or(1)
    }

    /// Runs tokens from `begin` on, and before `end`, through all layers in one step: as many as are prescribed, else as
    /// the time budget allows. Gives the step's size and its recorded size.
    pub(in crate::engine) async fn run_body(
        &mut self,
        begin: u32,
        end: u32,
        prescribed: Option<u32>,
    ) -> Result<(u32, u32)> {
        let n = prescribed.unwrap_or(self.budget.allowed()).min(end - begin).clamp(1, self.largest_capacity());
        let capacity = self.capacity(n);
        let prepared = self.prepare(self.body_at(begin, n)).await?;
        self.write_step(begin, n, &Sampling::default());
        let start = Instant::now();
        self.run_and_wait(prepared).await?;
        self.budget.took(n, ms_since(start));
        Ok((n, capacity))
    }
}

async fn open_executor(choice: &ExecutorChoice, options: &LoadOptions) -> Result<(Executor, Tuning, u64)> {
    Ok(match choice {
        ExecutorChoice::Cpu => (Executor::Cpu(Box::default()), Tuning::default(), 1 << 30),
        ExecutorChoice::Gpu(adapter) => {
            let mut executor = GpuExecutor::open(adapter, options.shader_checks).await?;
            let tuning = options.tuning.clone().unwrap_or_else(|| adapter.tuning());
            executor.tune(tuning.clone());
            (Executor::Gpu(Box::new(executor)), tuning, adapter.binding_bytes())
        }
    })
}

pub(in crate::engine) fn ms_since(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}

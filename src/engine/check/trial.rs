//! Stages of a step tried under other choices than the session's, over the session's own weights, state and scratch: timed,
//! and held against the reference. What is worth trying is the tuner's business, on the floor of measuring.

use crate::error::{Error, Result};
use crate::gpu::executor::Prepared;
use crate::gpu::{Access, Call, Problem, Recording, Slice, Stage, Tuning};
use crate::kernels::{self, Words};

use super::lockstep::compare::{Deviation, Written};
use crate::engine::arch::mla_plain::FORMS;
use crate::engine::arch::planning::program_bytes;
use crate::engine::arch::step::Kind;
use crate::engine::run::parts::{Output, number_budget, outputs, with_scores};
use crate::engine::run::sampling::Sampling;
use crate::engine::run::session::Session;

/// Bytes that are read from an adapter for one check at most.
const MOST_BYTES: u64 = 256 << 20;

/// Operations of a stage that the reference computes for a check at most: a fraction of a second. A larger stage is held
/// against the adapter's own first variant instead.
const MOST_OPS: u64 = 50_000_000;

/// Tokens of a small model that are computed in one submit to bring a clock up, and the weights of one that is not small.
const WARM_TIMES: u32 = 8;
const LARGE_BYTES: u64 = 1 << 30;

/// A step that stages are tried in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stand {
    /// Where its first token stands.
    pub position: u32,
    /// Its tokens: one that is written, or those of a prompt.
    pub n_tokens: u32,
    kind: Kind,
}

/// A prompt's step in two forms.
#[derive(Clone, Debug)]
pub struct Forms {
    /// What the choice between them goes by.
    pub problem: Problem,
    /// Each by its name among the choices.
    pub steps: [(&'static str, Stand); 2],
}

/// Stages of one step that are the same problem: those of all layers, as a rule.
#[derive(Clone, Debug)]
pub struct Alike {
    /// What they have in common.
    pub problem: Problem,
    /// The name of the first.
    pub name: &'static str,
    /// All of them.
    pub stages: Vec<Stage>,
    /// Whether they are all parts of fused ones, which an adapter may compute instead of these.
    pub is_part: bool,
}

/// What a stage should write.
pub struct Expected {
    stage: Stage,
    /// What the stage reads, where timing stages like it overwrites that: it is put there before every try.
    inputs: Vec<(Slice, Vec<u32>)>,
    outputs: Vec<Output>,
    /// What stood there before, is put there before every try, and was written by what is trusted; by output.
    before: Vec<Vec<u32>>,
    marked: Vec<Vec<u32>>,
    wanted: Vec<Vec<u32>>,
    /// What the wanted numbers may be off by themselves, at least.
    budget: f64,
}

impl Expected {
    /// Whether the same is expected of another stage.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        self.wanted == other.wanted
    }
}

impl Session {
    /// The first position from which a decode step chooses among what it sees; 0 where none does.
    #[must_use]
    pub fn dense_until(&self) -> u32 {
        self.network.dense_until()
    }

    /// A step at a position, as the session would take it: of one token a decode step, of more the layers of a prompt's step.
    #[must_use]
    pub fn stand(&self, position: u32, n_tokens: u32) -> Stand {
        let most = n_tokens.min(self.largest_capacity());
        let kind = if n_tokens <= 1 { Kind::Decode } else { self.body_at(position, most) };
        Stand { position, n_tokens, kind }
    }

    /// The largest step of a prompt at the beginning of a text in each of its forms, where it has two.
    #[must_use]
    pub fn forms(&self, n_tokens: u32) -> Option<Forms> {
        let n_chunk = self.largest_capacity();
        let plain = self.network.plain().filter(|plain| n_tokens > 1 && n_tokens <= plain.until)?;
        let at = |kind| Stand { position: 0, n_tokens, kind };
        let [absorbed, own] = FORMS;
        let is_largest = self.capacity(n_tokens.min(n_chunk)) == n_chunk;
        is_largest.then(|| Forms {
            problem: plain.problem(n_chunk),
            steps: [(absorbed, at(Kind::Body(n_chunk))), (own, at(Kind::BodyPlain(n_chunk)))],
        })
    }

    /// The stages of a step that could be computed in several ways, by problem; with them the parts of fused ones. Those that advance the step are left out: they cannot
    /// be computed for nothing.
    #[must_use]
    pub fn alike(&self, at: Stand) -> Vec<Alike> {
        let mut found: Vec<Alike> = Vec::new();
        let stages = self.record(at.kind).stages;
        let with_parts = stages.iter().flat_map(|whole| {
            let parts = whole.with_parts().into_iter().skip(1).filter(|part| part.op.variants.len() > 1);
            std::iter::once((whole, false)).chain(parts.map(|part| (part, true)))
        });
        for (stage, is_part) in with_parts {
            let advances = stage.op.bindings.contains(&("step", Access::Write));
            if advances || stage.op.name == kernels::fault::OP.name {
                continue;
            }
            let problem = Problem::of(stage);
            match found.iter_mut().find(|alike| alike.problem == problem) {
                Some(alike) => {
                    alike.is_part &= is_part;
                    alike.stages.push(stage.clone());
                }
                None => found.push(Alike { problem, name: stage.name, stages: vec![stage.clone()], is_part }),
            }
        }
        found
    }

    /// The problems of steps that no search looks at, each with that of the same stage of a step that one does look at: of
    /// smaller steps of a prompt and the largest, and of decode steps with less to do and one with everything.
    #[must_use]
    pub fn heirs(&self) -> Vec<[Problem; 2]> {
        let largest = Kind::Body(self.largest_capacity());
        let mut heirs = Vec::new();
        for kind in self.network.kinds(&self.capacities) {
            let from = match kind {
                Kind::Body(n) if Kind::Body(n) != largest => largest,
                Kind::DecodeDense => Kind::Decode,
                _ => continue,
            };
            let from = self.record(from).stages;
            let mut from = from.iter();
            for stage in &self.record(kind).stages {
                let is_same = |of: &&Stage| (of.name, of.layer, of.op.name) == (stage.name, stage.layer, stage.op.name);
                // Where steps are fused otherwise, none is like it.
                let rest = from.clone();
                match from.find(is_same) {
                    Some(of) => heirs.push([Problem::of(stage), Problem::of(of)]),
                    None => from = rest,
                }
            }
        }
        heirs
    }

    /// Runs a step of `ids`, and sets the step as it was before: stages of it can now be computed by themselves, with inputs
    /// as in a real text.
    ///
    /// # Errors
    /// When the ids have no room, or the adapter fails.
    pub async fn stand_in_step(&mut self, ids: &[u32], at: Stand) -> Result<()> {
        self.write_tokens(ids)?;
        let prepared = self.prepare(at.kind).await?;
        self.set_step(at);
        self.run_and_wait(prepared).await?;
        self.set_step(at);
        Ok(())
    }

    /// Makes stages ready under other choices.
    ///
    /// # Errors
    /// When the adapter refuses a shader.
    pub async fn try_stages(&mut self, stages: &[Stage], tuning: &Tuning) -> Result<Prepared> {
        let recording = Recording { stages: stages.to_vec(), layer: None };
        self.executor.prepare_with(&recording, tuning).await
    }

    /// Makes a whole step ready under other choices.
    ///
    /// # Errors
    /// When the adapter refuses a shader.
    pub async fn try_step(&mut self, at: Stand, tuning: &Tuning) -> Result<Prepared> {
        let recording = self.record(at.kind);
        self.executor.prepare_with(&recording, tuning).await
    }

    /// Runs what was made ready `n_times` in a row. Gives the milliseconds from submit to end.
    ///
    /// # Errors
    /// When the adapter fails.
    pub async fn time_tried(&mut self, prepared: Prepared, n_times: u32) -> Result<f64> {
        self.executor.run(prepared, n_times).await
    }

    /// Computes a token at `position` again and again for some milliseconds, all in one submit, so that the adapter's clock
    /// comes up. Gives the milliseconds; `None` on a CPU, whose clock is not ours. The state at `position` is overwritten.
    ///
    /// # Errors
    /// When the adapter fails.
    pub async fn warm(&mut self, position: u32) -> Result<Option<f64>> {
        if !self.choice.is_gpu() {
            return Ok(None);
        }
        let prepared = self.prepare(Kind::Body(1)).await?;
        self.write_step(position, 1, &Sampling::default());
        // A long step has no gap worth filling.
        let n_times = if self.memory().weights > LARGE_BYTES { 1 } else { WARM_TIMES };
        self.executor.run(prepared, n_times).await.map(Some)
    }

    /// Sets the step for another run of what was tried.
    pub fn set_step(&mut self, at: Stand) {
        self.write_step(at.position, at.n_tokens, &Sampling::default());
    }

    /// Forgets what was made ready from this one on.
    pub fn forget_tried(&mut self, first: Prepared) {
        self.executor.forget_from(first);
    }

    /// Chooses otherwise from now on, and makes the session's steps ready again.
    ///
    /// # Errors
    /// When the adapter refuses a shader.
    pub async fn retune(&mut self, tuning: Tuning) -> Result<()> {
        let n_chunk = self.largest_capacity();
        let before = program_bytes(&self.executor, &self.network, n_chunk);
        self.tuning = tuning.clone();
        self.executor.tune(tuning);
        self.memory.scratch += program_bytes(&self.executor, &self.network, n_chunk);
        self.memory.scratch -= before;
        self.prepared.clear();
        self.parts.clear();
        self.compile(&mut |_| {}).await
    }

    /// What the first of some stages that are alike should write: by its reference where that is quick, or else by the adapter
    /// under `trusted` choices. `None` where it writes more than can be read back.
    ///
    /// # Errors
    /// When the adapter fails.
    pub async fn expect(&mut self, alike: &[Stage], trusted: &Tuning) -> Result<Option<Expected>> {
        let Some(stage) = alike.first() else { return Ok(None) };
        let outputs = outputs(std::slice::from_ref(stage));
        // The streams of a layer's input and output change places from stage to stage.
        let is_overwritten =
            |read: &Slice| alike.iter().any(|other| other.slices(Access::Write).any(|written| written.overlaps(read)));
        let read: Vec<Slice> = stage.slices(Access::Read).filter(is_overwritten).collect();
        if outputs.iter().map(|output| &output.slice).chain(&read).map(|slice| slice.bytes).sum::<u64>() > MOST_BYTES {
            return Ok(None);
        }
        let mut inputs = Vec::new();
        for slice in read {
            inputs.push((slice, self.read_words(slice).await?));
        }
        let before = self.read_all(&outputs).await?;
        let marked: Vec<_> = outputs.iter().zip(&before).map(|(output, words)| marked(output.words, words)).collect();
        let bound: u64 = stage.bindings.iter().map(|slice| slice.bytes).sum();
        let (wanted, budget) = if stage.work(0).ops <= MOST_OPS && bound <= MOST_BYTES {
            (self.by_reference(stage, &outputs, &marked).await?, 0.0)
        } else {
            let budget = number_budget(&self.executor, std::slice::from_ref(stage), Some(trusted));
            (self.by_adapter(stage, trusted, &outputs, &before, &marked).await?, budget)
        };
        Ok(Some(Expected { stage: stage.clone(), inputs, outputs, before, marked, wanted, budget }))
    }

    /// Says where a stage under `tuning` writes something else than is expected; `None`: it does not.
    ///
    /// # Errors
    /// When the adapter refuses a shader, or fails.
    pub async fn disagreement(&mut self, expected: &Expected, tuning: &Tuning) -> Result<Option<String>> {
        let Expected { stage, inputs, outputs, before, marked, wanted, budget } = expected;
        for (slice, words) in inputs {
            self.executor.write(*slice, 0, bytemuck::cast_slice(words));
        }
        let budget = number_budget(&self.executor, std::slice::from_ref(stage), Some(tuning)).max(*budget);
        let budget = with_scores(budget, outputs, marked, wanted);
        let found = self.by_adapter(stage, tuning, outputs, before, marked).await?;
        for (at, output) in outputs.iter().enumerate() {
            let written = Written { before: &marked[at], expected: &wanted[at], found: &found[at] };
            let Deviation { error, .. } = match output.words {
                Words::Floats => written.floats(&|_| false),
                Words::F16 => written.f16s(),
                Words::Integers => written.integers(&|_, _, _| false),
            };
            // What is no number is within no budget.
            let is_within = error <= output.budget(budget);
            if !is_within {
                return Ok(Some(format!("off by {error:.1e}, allowed are {:.1e}", output.budget(budget))));
            }
        }
        Ok(None)
    }

    /// Runs a stage once under `tuning` over marked outputs, reads what it wrote, and puts back what was there.
    async fn by_adapter(
        &mut self,
        stage: &Stage,
        tuning: &Tuning,
        outputs: &[Output],
        before: &[Vec<u32>],
        marked: &[Vec<u32>],
    ) -> Result<Vec<Vec<u32>>> {
        let prepared = self.try_stages(std::slice::from_ref(stage), tuning).await?;
        self.write_all(outputs, marked);
        self.executor.run(prepared, 1).await?;
        let found = self.read_all(outputs).await?;
        self.write_all(outputs, before);
        self.forget_tried(prepared);
        Ok(found)
    }

    /// Computes a stage by its reference from what the adapter holds.
    async fn by_reference(&mut self, stage: &Stage, outputs: &[Output], marked: &[Vec<u32>]) -> Result<Vec<Vec<u32>>> {
        let mut inputs = Vec::new();
        for (slice, (_, access)) in stage.bindings.iter().zip(stage.op.bindings) {
            if *access == Access::Read {
                inputs.push(self.read_words(*slice).await?);
            }
        }
        let mut wanted = marked.to_vec();
        if wanted.len() != stage.op.bindings.len() - inputs.len() {
            return Err(Error::usage(format!("stage {}", stage.name), "it writes one slice twice"));
        }
        debug_assert!(outputs.len() == wanted.len());
        let mut call = Call {
            params: &stage.params,
            spec: &stage.spec,
            sample: None,
            inputs: inputs.iter().map(Vec::as_slice).collect(),
            outputs: wanted.iter_mut().map(Vec::as_mut_slice).collect(),
        };
        (stage.op.reference)(&mut call);
        Ok(wanted)
    }

    async fn read_words(&mut self, slice: Slice) -> Result<Vec<u32>> {
        Ok(bytemuck::pod_collect_to_vec(&self.executor.read(slice).await?))
    }

    async fn read_all(&mut self, outputs: &[Output]) -> Result<Vec<Vec<u32>>> {
        let mut all = Vec::with_capacity(outputs.len());
        for output in outputs {
            all.push(self.read_words(output.slice).await?);
        }
        Ok(all)
    }

    fn write_all(&mut self, outputs: &[Output], words: &[Vec<u32>]) {
        for (output, words) in outputs.iter().zip(words) {
            self.executor.write(output.slice, 0, bytemuck::cast_slice(words));
        }
    }
}

/// Other words than these, so that a stage that writes nothing is noticed; numbers stay numbers, for stages that add to
/// what is there.
fn marked(kind: Words, words: &[u32]) -> Vec<u32> {
    let flip = match kind {
        Words::Floats => 0x0040_0000,
        Words::F16 => 0x0200_0200,
        Words::Integers => 1,
    };
    words.iter().map(|word| word ^ flip).collect()
}

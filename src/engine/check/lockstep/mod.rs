//! A model on an adapter and on the CPU executor in lock step: stage by stage, each from the same inputs, each judged by
//! itself. After each stage the adapter gets what the CPU executor wrote, so that rounding does not add up, choices do not
//! part, and a stage behind a broken one is not blamed for it.

pub(in crate::engine) mod compare;
mod sampled;
mod ties;

pub use sampled::{SampledStage, sampled};

use std::ops::ControlFlow;
use std::rc::Rc;

use crate::engine::arch::step::Kind;
use crate::engine::run::fault::is_same_stage;
use crate::engine::run::parts::{
    NUMBER_BUDGET, Output, Part, changed, check_same, key, number_budget, outputs, with_scores,
};
use crate::engine::run::sampling::Sampling;
use crate::engine::run::session::Session;
use crate::error::{Error, Result};
use crate::gpu::{Executor, Recording, Slice, Stage};
use crate::kernels::Words;
use compare::{Deviation, Written};
use ties::{Ties, choice_among};

/// One step to run in lock step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockstepStep {
    /// Position of the first token; the tokens before it were computed by earlier steps.
    pub position: u32,
    /// Tokens, at most as many as a step of the session takes.
    pub n_tokens: u32,
    /// What becomes of them.
    pub head: Head,
}

/// What becomes of a step's tokens after the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Logits after the last, and a next token: how a prompt ends, and, for one token, what decode does.
    Last,
    /// Logits after each.
    All,
}

/// A stage on both executors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StageDeviation {
    /// Its name.
    pub stage: &'static str,
    /// The layer, where it belongs to one.
    pub layer: Option<u32>,
    /// Position of the step's first token.
    pub position: u32,
    /// Words that it wrote; 0 where it had nothing to do, and nothing was compared.
    pub n_words: usize,
    /// How far the executors are apart: for numbers the greatest difference, relative to the greater of the number and the
    /// root mean square of what the stage wrote; for integers the share that differs. Of several outputs the one nearest
    /// to its budget. NaN or infinite where a value is no number.
    pub error: f64,
    /// The greatest that is allowed.
    pub budget: f64,
}

impl StageDeviation {
    /// Whether it is within its budget.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.error <= self.budget
    }

    /// Of a stage of which nothing was compared yet.
    fn none(stage: &'static str, layer: Option<u32>, step: LockstepStep) -> Self {
        Self { stage, layer, position: step.position, n_words: 0, error: 0.0, budget: NUMBER_BUDGET }
    }

    /// With what the outputs came to: what they held before the stage, what was expected after it, and what was found.
    /// Numbers may be off by `budget`, and by what the size of attention's scores adds.
    fn of(
        mut self,
        outputs: &[Output],
        budget: f64,
        ties: Option<&Ties>,
        [before, wanted, found]: [&[Vec<u32>]; 3],
    ) -> Self {
        let budget = with_scores(budget, outputs, before, wanted);
        for (at, output) in outputs.iter().enumerate() {
            let written = Written { before: &before[at], expected: &wanted[at], found: &found[at] };
            let Deviation { n_words, error } = match (ties, output.words) {
                (Some(ties), Words::Integers) => written.integers(&|place, a, b| ties.excuse(place, a, b)),
                (None, Words::Integers) => written.integers(&|_, _, _| false),
                // Where other experts were chosen, what follows from them is other too; the experts are the first output.
                (Some(ties), Words::Floats) => {
                    let n_each = (wanted[at].len() / wanted[0].len()).max(1);
                    written.floats(&|place| ties.parted(place / n_each, &wanted[0], &found[0]))
                }
                (None, Words::Floats) => written.floats(&|_| false),
                (_, Words::F16) => written.f16s(),
            };
            self.n_words += n_words;
            let (share, worst) = (error / output.budget(budget), self.error / self.budget);
            if share.is_nan() || share > worst {
                (self.error, self.budget) = (error, output.budget(budget));
            }
        }
        self
    }
}

/// Runs `steps` over `ids` on a session and on the same model on the CPU executor, and hands `each` every stage with its
/// number and the number of all. Both sessions' state is lost by it. Breaks off where `each` says so.
///
/// # Errors
/// When the two are not the same model in steps and contexts of the same size, a step does not fit, or an adapter fails.
pub async fn lockstep(
    session: &mut Session,
    oracle: &mut Session,
    ids: &[u32],
    steps: &[LockstepStep],
    each: &mut dyn FnMut(&StageDeviation, u32, u32) -> ControlFlow<()>,
) -> Result<ControlFlow<()>> {
    session.write_tokens(ids)?;
    oracle.write_tokens(ids)?;
    check_steps(session, ids, steps)?;
    let mut pairs = Vec::new();
    for step in steps {
        for kind in kinds(session, *step) {
            let parts = session.parts(kind, None).await?;
            let expected = oracle.parts(kind, Some(&parts)).await?;
            check_same(&parts, &expected)?;
            pairs.push((*step, parts, expected));
        }
    }
    for (_, parts, expected) in &pairs {
        clear(&mut session.executor, parts);
        clear(&mut oracle.executor, expected);
    }
    let total = pairs.iter().map(|(_, parts, _)| parts.len() as u32).sum();
    let mut done = 0;
    let mut last = None;
    for (step, parts, expected) in &pairs {
        if last.replace(*step) != Some(*step) {
            for session in [&mut *session, &mut *oracle] {
                session.write_tokens(ids)?;
                session.write_step(step.position, step.n_tokens, &Sampling::default());
            }
        }
        for (part, expected) in parts.iter().zip(expected.iter()) {
            let deviation = run_part((session, part), (oracle, expected), *step).await?;
            done += 1;
            if each(&deviation, done, total).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The recordings of a step, in order.
fn kinds(session: &Session, step: LockstepStep) -> Vec<Kind> {
    let capacity = session.capacity(step.n_tokens);
    let body = session.body_at(step.position, step.n_tokens);
    match step.head {
        Head::Last if step.n_tokens == 1 => vec![session.network.decode_at(step.position)],
        Head::Last => vec![body, Kind::HeadLast(capacity)],
        Head::All => vec![body, Kind::HeadAll(capacity.min(session.n_logits()))],
    }
}

fn check_steps(session: &Session, ids: &[u32], steps: &[LockstepStep]) -> Result<()> {
    let most = |step: &LockstepStep| match step.head {
        Head::Last => session.n_chunk(),
        Head::All => session.n_logits(),
    };
    let fits = |step: &LockstepStep| {
        let end = u64::from(step.position) + u64::from(step.n_tokens);
        (1..=most(step)).contains(&step.n_tokens) && end <= ids.len() as u64
    };
    match steps.iter().find(|step| !fits(step)) {
        None => Ok(()),
        Some(step) => Err(Error::usage("lock step", format!("{step:?} of {} tokens", ids.len()))
            .expected(format!("1 to {} tokens, all of them given", most(step)))),
    }
}

/// Sets what the stages write to zeros, so that both executors begin in the same state; the step is set by the host.
fn clear(executor: &mut Executor, parts: &[Part]) {
    for output in parts.iter().flat_map(|part| &part.outputs).filter(|output| output.binding != "step") {
        executor.write(output.slice, 0, &vec![0; output.slice.bytes as usize]);
    }
}

/// Runs one stage on both executors, compares, and gives the session what the oracle wrote.
async fn run_part(
    (session, part): (&mut Session, &Part),
    (oracle, expected): (&mut Session, &Part),
    step: LockstepStep,
) -> Result<StageDeviation> {
    let before = read(&mut oracle.executor, expected).await?;
    session.run_and_wait(part.prepared).await?;
    oracle.run_and_wait(expected.prepared).await?;
    let found = read(&mut session.executor, part).await?;
    let wanted = read(&mut oracle.executor, expected).await?;
    let ties = match &expected.route {
        Some(stage) => Some(Ties::read(&mut oracle.executor, stage).await?),
        None => None,
    };
    let deviation = StageDeviation::none(part.name, part.layer, step);
    let deviation = deviation.of(&expected.outputs, part.budget, ties.as_ref(), [&before, &wanted, &found]);
    for (at, output) in part.outputs.iter().enumerate() {
        give(&mut session.executor, output.slice, &found[at], &wanted[at]);
    }
    // Nobody reads it again, but who is next to write there may write a part of it, and all of it is compared.
    for (slice, of_oracle) in part.changed.iter().zip(&expected.changed) {
        let [found, wanted] = [session.executor.read(*slice).await?, oracle.executor.read(*of_oracle).await?];
        give(&mut session.executor, *slice, &words(&found), &words(&wanted));
    }
    Ok(deviation)
}

/// What a part's outputs hold.
async fn read(executor: &mut Executor, part: &Part) -> Result<Vec<Vec<u32>>> {
    let mut read = Vec::with_capacity(part.outputs.len());
    for output in &part.outputs {
        read.push(words(&executor.read(output.slice).await?));
    }
    Ok(read)
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytemuck::pod_collect_to_vec(bytes)
}

/// Makes a slice that holds `found` hold `wanted`, from the first word that differs to the last.
fn give(executor: &mut Executor, slice: Slice, found: &[u32], wanted: &[u32]) {
    let differs = |(a, b): (&u32, &u32)| a != b;
    let Some(first) = found.iter().zip(wanted).position(differs) else { return };
    let last = found.iter().zip(wanted).rposition(differs).unwrap_or(first);
    executor.write(slice, first as u64 * 4, bytemuck::cast_slice(&wanted[first..=last]));
}

impl Session {
    /// The stages of a kind of step, each made ready by itself. Those of an oracle are fused as the other session's are:
    /// where an adapter's matrices are cut into shards, fewer are.
    async fn parts(&mut self, kind: Kind, like: Option<&[Part]>) -> Result<Rc<Vec<Part>>> {
        if let Some(parts) = self.parts.get(&kind)
            && like.is_none_or(|like| check_same(like, parts).is_ok())
        {
            return Ok(Rc::clone(parts));
        }
        let recording = match like {
            None => self.record(kind),
            Some(like) => {
                self.network.record_where(kind, &|stage| like.iter().any(|part| part.made_of.contains(&key(stage))))
            }
        };
        let mut parts = Vec::new();
        for stages in recording.stages.chunk_by(is_same_stage) {
            let alone = Recording { stages: stages.to_vec(), layer: None };
            parts.push(Part {
                name: stages[0].name,
                layer: stages[0].layer,
                made_of: stages.iter().flat_map(Stage::with_parts).map(key).collect(),
                prepared: self.executor.prepare(&alone).await?,
                outputs: outputs(stages),
                changed: changed(stages),
                budget: number_budget(&self.executor, stages, None),
                route: choice_among(stages).cloned(),
            });
        }
        let parts = Rc::new(parts);
        self.parts.insert(kind, Rc::clone(&parts));
        Ok(parts)
    }
}

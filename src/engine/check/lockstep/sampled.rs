//! A model of any size against the references, by samples: dispatch by dispatch, each from what the adapter itself holds
//! before it. Some of its results, drawn at random, are computed by the kernel's reference and held against the adapter's,
//! within the budgets of lock step. Only the rows of weights that they need are read back, so that the cost hardly grows
//! with the weights. What a dispatch computes without weights, or for the choice of what follows, is compared whole.
//!
//! Whether the weights on the adapter are those of the file is not looked at here.

use std::ops::{ControlFlow, Range};

use crate::error::Result;
use crate::format::Format;
use crate::format::random::hash;
use crate::gpu::{Access, Call, Executor, Recording, Sample, Slice, Stage};
use crate::kernels::reach::words_reached;
use crate::kernels::rows::{Needed, needed, places, strata};
use crate::kernels::{self, Words, can_sample, rows};

use super::ties::{Ties, choice_among};
use super::{LockstepStep, StageDeviation, check_steps, give, kinds, words};
use crate::engine::run::fault::is_same_stage;
use crate::engine::run::parts::{Output, number_budget, outputs};
use crate::engine::run::sampling::Sampling;
use crate::engine::run::session::Session;

/// Tokens of a step that are looked at, the first and the last among them. Other ones in each dispatch.
const MOST_TOKENS: u64 = 4;
/// Rows of a matrix that are looked at. A wrong one in every hundred is missed by 0.99²⁵⁶, 8 %, in each dispatch.
const MOST_ROWS: u32 = 256;
/// Words that a slice may have to be read back. More have only the caches of long contexts, in the kernels for which
/// nobody says which part of them is in use.
const MOST_WORDS: u64 = 1 << 26;
/// Where no result was asked for: no number, and not the one that arithmetic makes.
const UNTOUCHED: u32 = 0x7fa5_a5a5;

/// A dispatch of which results were compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampledStage {
    /// How far they are off; its words are those that were compared, 0 where there was nothing to do or to be read.
    pub deviation: StageDeviation,
    /// Rows of its weight matrix that were drawn, where not all were.
    pub n_drawn: Option<u32>,
}

/// Runs `steps` over `ids` on a session, and hands `each` what became of every dispatch, with its number and the number of
/// all. `seed` says which results are looked at. The session's state is lost by it. Breaks off where `each` says so.
///
/// # Errors
/// When a step does not fit, an id is unknown, or the adapter fails.
pub async fn sampled(
    session: &mut Session,
    ids: &[u32],
    steps: &[LockstepStep],
    seed: u32,
    each: &mut dyn FnMut(&SampledStage, u32, u32) -> ControlFlow<()>,
) -> Result<ControlFlow<()>> {
    session.write_tokens(ids)?;
    check_steps(session, ids, steps)?;
    let mut recordings: Vec<(LockstepStep, Recording)> = Vec::new();
    for step in steps {
        recordings.extend(kinds(session, *step).into_iter().map(|kind| (*step, session.record(kind))));
    }
    let total = recordings.iter().map(|(_, recording)| units(recording).count() as u32).sum();
    let (mut done, mut last) = (0, None);
    for (step, recording) in &recordings {
        if last.replace(*step) != Some(*step) {
            session.write_tokens(ids)?;
            session.write_step(step.position, step.n_tokens, &Sampling::default());
        }
        for unit in units(recording) {
            let mut draw = Draw { seed: hash(done, seed), n: 0 };
            let stage = run_unit(&mut session.executor, unit, *step, &mut draw).await?;
            done += 1;
            if each(&stage, done, total).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Every dispatch of a recording, with the faults on purpose that follow it.
fn units(recording: &Recording) -> impl Iterator<Item = &[Stage]> {
    let is_fault = |stage: &Stage| stage.op.name == kernels::fault::OP.name;
    recording.stages.chunk_by(move |a, b| is_fault(b) && is_same_stage(a, b))
}

/// Random numbers of one dispatch.
struct Draw {
    seed: u32,
    n: u32,
}

impl Draw {
    fn next(&mut self) -> u32 {
        self.n += 1;
        hash(self.n, self.seed)
    }

    /// Tokens of a step of `n`.
    fn tokens(&mut self, n: u32) -> Vec<u32> {
        let mut tokens: Vec<u64> = strata(u64::from(n), MOST_TOKENS, &mut || self.next());
        // The edges, where mistakes are likeliest.
        if let [first, .., last] = &mut tokens[..] {
            (*first, *last) = (0, u64::from(n) - 1);
        }
        tokens.into_iter().map(|token| token as u32).collect()
    }

    /// Rows out of those needed; and how many were drawn, where not all were.
    fn rows(&mut self, needed: &Needed) -> (Vec<u32>, Option<u32>) {
        let all: usize = needed.rows.iter().map(ExactSizeIterator::len).sum();
        let (rows, n) = needed.draw(MOST_ROWS, &mut || self.next());
        (rows, (all > n as usize).then_some(n))
    }
}

/// A stage's bindings of one access, by place.
fn bound(stage: &Stage, access: Access) -> impl Iterator<Item = (Slice, &'static str)> {
    let bindings = stage.bindings.iter().zip(stage.op.bindings);
    bindings.filter(move |(_, (_, of))| *of == access).map(|(slice, (name, _))| (*slice, *name))
}

/// Runs one dispatch and compares.
async fn run_unit(
    executor: &mut Executor,
    unit: &[Stage],
    step: LockstepStep,
    draw: &mut Draw,
) -> Result<SampledStage> {
    let stage = &unit[0];
    let nothing = StageDeviation::none(stage.name, stage.layer, step);
    let prepared = executor.prepare(&Recording { stages: unit.to_vec(), layer: None }).await?;
    let (is_sampled, has_matrix) = (can_sample(stage.op), rows::has_matrix(stage.op));
    let view = |(slice, binding)| View::of(slice, words_reached(stage, binding, step.position, step.n_tokens));

    let mut inputs: Vec<View> = bound(stage, Access::Read).map(view).collect();
    // The planes stand side by side; of them only rows are read.
    let planes_at = bound(stage, Access::Read).position(|(_, binding)| has_matrix && binding == "quants");
    let planes: Vec<View> = planes_at.map(|at| inputs.drain(at..at + 2).collect()).unwrap_or_default();
    let written: Vec<View> = bound(stage, Access::Write).map(view).collect();
    if inputs.iter().chain(&written).any(|view| view.n_words() > MOST_WORDS) {
        executor.run(prepared, 1).await?;
        return Ok(SampledStage { deviation: nothing, n_drawn: None });
    }
    let n_inputs = inputs.len();
    let in_place = if is_sampled { &[][..] } else { &written[..] };
    inputs.extend_from_slice(in_place);
    let mut inputs = read(executor, &inputs).await?;
    let before = match is_sampled {
        true => written.iter().map(|view| vec![UNTOUCHED; view.n_words() as usize]).collect(),
        false => inputs.split_off(n_inputs),
    };
    let ties = match choice_among(unit) {
        Some(choice) => Some(Ties::read(executor, choice).await?),
        None => None,
    };
    executor.run(prepared, 1).await?;
    let mut found = read(executor, &written).await?;

    let mut sample = is_sampled.then(|| Sample { tokens: draw.tokens(step.n_tokens), rows: Vec::new() });
    let mut n_drawn = None;
    if let Some(sample) = &mut sample
        && let Some(needed) = needed(stage.op, &call(stage, &inputs, &mut [], Some(sample)))
    {
        (sample.rows, n_drawn) = draw.rows(&needed);
        let slices = [planes[0].slice, planes[1].slice];
        let rows = read_planes(executor, stage, slices, &needed, &sample.rows).await?;
        let at = planes_at.unwrap_or(inputs.len());
        inputs.splice(at..at, rows);
    }
    let mut expected = before.clone();
    (stage.op.reference)(&mut call(stage, &inputs, &mut expected, sample.as_ref()));
    if is_sampled {
        // What was not asked for says nothing.
        let words = found.iter_mut().flatten().zip(expected.iter().flatten());
        words.filter(|(_, expected)| **expected == UNTOUCHED).for_each(|(found, _)| *found = UNTOUCHED);
    }
    let outputs = outputs(unit);
    let budget = number_budget(executor, unit, None);
    let deviation = nothing.of(&outputs, budget, ties.as_ref(), [&before, &expected, &found]);
    // Wrong integers would lead the references of what follows astray. Where there is a sample, of numbers no others are known.
    if outputs.iter().any(|output| output.words == Words::Integers) {
        for (at, Output { slice, words, .. }) in outputs.iter().enumerate() {
            if !is_sampled || *words == Words::Integers {
                give(executor, *slice, &found[at], &expected[at]);
            }
        }
    }
    Ok(SampledStage { deviation, n_drawn })
}

fn call<'a>(
    stage: &'a Stage,
    inputs: &'a [Vec<u32>],
    outputs: &'a mut [Vec<u32>],
    sample: Option<&'a Sample>,
) -> Call<'a> {
    Call {
        params: &stage.params,
        spec: &stage.spec,
        inputs: inputs.iter().map(Vec::as_slice).collect(),
        outputs: outputs.iter_mut().map(Vec::as_mut_slice).collect(),
        sample,
    }
}

/// A slice, and the words of it that matter. What is read of it ends with the last of them.
#[derive(Clone)]
struct View {
    slice: Slice,
    words: Vec<Range<u64>>,
}

impl View {
    fn of(slice: Slice, words: Option<Vec<Range<u64>>>) -> Self {
        let whole = 0..slice.bytes / 4;
        let within = |n: u64| n.min(whole.end);
        let words = words.unwrap_or_else(|| vec![whole.clone()]);
        Self { slice, words: words.into_iter().map(|words| within(words.start)..within(words.end)).collect() }
    }

    fn n_words(&self) -> u64 {
        self.words.last().map_or(0, |words| words.end)
    }

    fn slices(&self) -> impl Iterator<Item = Slice> {
        let slices = self.words.iter().map(|words| part_of(self.slice, words.clone()));
        slices.filter(|slice| slice.bytes > 0)
    }
}

/// Words of a slice, as far as it goes.
fn part_of(slice: Slice, words: Range<u64>) -> Slice {
    let (begin, end) = ((4 * words.start).min(slice.bytes), (4 * words.end).min(slice.bytes));
    Slice { offset: slice.offset + begin, bytes: end - begin, ..slice }
}

/// The words of each, zeros where they do not matter.
async fn read(executor: &mut Executor, views: &[View]) -> Result<Vec<Vec<u32>>> {
    let slices: Vec<Slice> = views.iter().flat_map(View::slices).collect();
    let all = words(&executor.read_all(&slices).await?);
    let mut rest = all.as_slice();
    let mut read = Vec::with_capacity(views.len());
    for view in views {
        let mut to = vec![0; view.n_words() as usize];
        for slice in view.slices() {
            let (part, after) = rest.split_at(slice.bytes as usize / 4);
            let at = ((slice.offset - view.slice.offset) / 4) as usize;
            to[at..at + part.len()].copy_from_slice(part);
            rest = after;
        }
        read.push(to);
    }
    Ok(read)
}

/// The planes of a sample of rows.
async fn read_planes(
    executor: &mut Executor,
    stage: &Stage,
    planes: [Slice; 2],
    needed: &Needed,
    rows: &[u32],
) -> Result<[Vec<u32>; 2]> {
    let format = Format::ALL[stage.spec.value_of("FORMAT").unwrap_or(0) as usize];
    let mut read = [Vec::new(), Vec::new()];
    for (plane, (slice, to)) in planes.into_iter().zip(&mut read).enumerate() {
        let places: Vec<Range<u64>> = places(format, needed.n_blocks, rows)
            .map(|[quants, scales]| if plane == 0 { quants } else { scales })
            .collect();
        let slices: Vec<Slice> = places.iter().map(|place| part_of(slice, place.clone())).collect();
        let some: Vec<Slice> = slices.iter().copied().filter(|slice| slice.bytes > 0).collect();
        let all = words(&executor.read_all(&some).await?);
        let mut rest = all.as_slice();
        // A row at the plane's end may have less behind it than the others.
        for (place, slice) in places.iter().zip(&slices) {
            let (part, after) = rest.split_at(slice.bytes as usize / 4);
            to.extend_from_slice(part);
            to.resize(to.len() + (place.end - place.start) as usize - part.len(), 0);
            rest = after;
        }
    }
    Ok(read)
}

//! The tuner: for every problem of a model's steps on an adapter, the fastest variant and config, found by trying. A
//! candidate is held against the reference on the model's own inputs before it is timed; what is wrong is never chosen.
//! What was chosen is then measured once more, in whole steps, and given up where it is no gain.

mod kept;
mod search;
mod shipped;
mod single;
mod track;
pub mod words;

pub use kept::{KeptChoice, KeptTuning};
pub use search::Extent;

use super::report::{StepGain, TunedProblem, TuningFacts, TuningSource};
use super::settle::{settle, settle_again};
use super::spread::median;
use super::{Progress, Watch, bench};
use crate::engine::check::trial::{Alike, Forms, Stand};
use crate::engine::{ExecutorChoice, Session};
use crate::error::{Error, Result};
use crate::gpu::executor::Prepared;
use crate::gpu::recording::Stage;
use crate::gpu::space::Space;
use crate::gpu::{Caps, Choice, Config, Problem, Tuning};
use search::{Found, search};
use single::Searched;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use track::Stages;
use web_time::{Duration, Instant};

/// Problems beyond this share of a step's time are left as guessed: together they are too small to matter.
const SHARE_THAT_MATTERS: f64 = 0.98;
/// A step that is slower than this, against the guess, keeps none of its choices.
const LEAST_GAIN: f64 = 0.98;
/// Where a prompt's step has two forms, the share of a search's time after which the second is looked at.
const SHARE_OF_ONE_FORM: f64 = 0.8;
/// How often whole steps are timed by turns at the end: so often at least, and more often where they are short, up to a number and a
/// time. A step of a millisecond is off by a tenth and more by itself.
const N_STEPS: RangeInclusive<usize> = 5..=75;
const STEPS_TIME: Duration = Duration::from_millis(600);
/// Long ones are timed once each at least, and no more often once it has taken this long.
const STEPS_PATIENCE: Duration = Duration::from_secs(5);

/// How long a search may take.
fn patience(extent: Extent, caps: &Caps) -> Duration {
    Duration::from_secs(match (extent, caps.is_software) {
        (Extent::Quick, false) => 8,
        (Extent::Quick, true) => 45,
        (Extent::Full, _) => 600,
    })
}

/// Milliseconds that a timed submit should take: long beside what it costs to submit.
fn wanted_ms(caps: &Caps) -> f64 {
    if caps.is_software { 4.0 } else { 2.0 }
}

/// Searches for the best choices for a session's steps, and leaves it with them. The state is lost by it. Where `watch`
/// breaks off, what was found until then counts.
///
/// # Errors
/// When the session runs on the reference executor, which has no choice, or the adapter fails.
pub async fn tune(session: &mut Session, extent: Extent, watch: &mut Watch<'_>) -> Result<TuningFacts> {
    let limit = match session.choice() {
        ExecutorChoice::Gpu(adapter) => patience(extent, &adapter.caps),
        ExecutorChoice::Cpu => Duration::ZERO,
    };
    tune_within(session, extent, limit, watch).await
}

/// As [`tune`], in a time of one's own.
///
/// # Errors
/// As [`tune`].
pub async fn tune_within(
    session: &mut Session,
    extent: Extent,
    limit: Duration,
    watch: &mut Watch<'_>,
) -> Result<TuningFacts> {
    let ExecutorChoice::Gpu(adapter) = session.choice() else {
        return Err(Error::usage("tuner", "the CPU's reference").expected("an adapter").advice("Choose one with -a"));
    };
    let guess = adapter.tuning().rounded(session.tuning().rounding());
    let (caps, begin, before) = (adapter.caps, Instant::now(), session.tuning().clone());
    session.retune(guess.clone()).await?;
    let most = session.n_context().saturating_sub(1).max(1);
    let n_chunk = session.n_chunk().min(most);
    // A decode step stands behind that, and where it does all that it ever does.
    let behind = n_chunk.max(session.dense_until()).min(most);
    let ids = bench::ids(behind + 1, session.outline().n_vocab);
    // The cache holds a text of a step.
    session.stand_in_step(&ids, session.stand(0, n_chunk)).await?;
    let facts = TuningFacts::default();
    let (searched, spaces) = (Vec::new(), Vec::new());
    let is_broken_off = false;
    let mut tuner = Tuner { caps, guess: guess.clone(), before, extent, ids, facts, searched, spaces, is_broken_off };
    // Decode first: it is what a person waits for.
    for (position, n_tokens, share) in [(behind, 1, 0.55), (0, n_chunk, 1.0)] {
        if tuner.is_broken_off || n_tokens == 1 && n_chunk == 1 && position == 0 {
            continue;
        }
        let deadline = begin + limit.mul_f64(share);
        let (guessed, forms) = (session.stand(position, n_tokens), session.forms(n_tokens));
        let first = if forms.is_some() { begin + limit.mul_f64(SHARE_OF_ONE_FORM) } else { deadline };
        let choices = tuner.tune_step(session, guessed, first, watch).await?;
        let mut candidate =
            choices.into_iter().fold(guess.clone(), |tuning, (problem, choice)| tuning.with(problem, choice));
        let mut chosen = guessed;
        if let Some(forms) = forms.filter(|_| !tuner.is_broken_off) {
            (chosen, candidate) = tuner.tune_forms(session, &forms, guessed, candidate, deadline, watch).await?;
        }
        let is_other = |problem: &TunedProblem| problem.n_tokens == n_tokens && problem.choice != problem.guess;
        if !tuner.facts.problems.iter().any(is_other) {
            continue;
        }
        let gain = tuner.gain(session, [guessed, chosen], &candidate).await?;
        if gain.gain() >= LEAST_GAIN {
            tuner.facts.gains.push(gain);
        } else {
            tuner.facts.gains.push(StepGain { tuned_ms: gain.untuned_ms, ..gain });
            tuner.facts.given_up.push(n_tokens);
            let of_step = tuner.facts.problems.iter_mut().filter(|problem| problem.n_tokens == n_tokens);
            of_step.for_each(|problem| (problem.choice, problem.choice_ms) = (problem.guess.clone(), problem.guess_ms));
            tuner.searched.retain(|searched| searched.n_tokens != n_tokens);
        }
    }
    if extent == Extent::Full {
        tuner.facts.single = single::best_single(&tuner.searched, &tuner.spaces, guess.config);
    }
    let tuning = tuner.tuning(session);
    session.retune(tuning).await?;
    tuner.facts.source = if extent == Extent::Quick { TuningSource::Quick } else { TuningSource::Full };
    tuner.facts.rounded = session.rounded();
    tuner.facts.seconds = begin.elapsed().as_secs_f64();
    Ok(tuner.facts)
}

/// How much of what a search looks at a session has choices for already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Of no problem.
    Nothing,
    /// Of some.
    Some,
    /// Of all: there is nothing to search for.
    All,
}

impl Known {
    /// What is known for a session's steps.
    #[must_use]
    pub fn of(session: &Session) -> Self {
        let ExecutorChoice::Gpu(adapter) = session.choice() else { return Self::Nothing };
        let forms = session.forms(session.n_chunk());
        let steps = [1, session.n_chunk()].map(|n| session.stand(0, n));
        let steps = steps.into_iter().chain(forms.iter().flat_map(|forms| forms.steps.map(|(_, at)| at)));
        let tuning = session.tuning();
        // A choice that rounds more than is asked for now is as good as none.
        let is_known =
            |alike: &Alike| alike.stages.first().is_some_and(|stage| tuning.known(stage, &adapter.caps).is_some());
        let mut known: Vec<bool> = steps.flat_map(|at| session.alike(at)).map(|alike| is_known(&alike)).collect();
        known.extend(forms.map(|forms| tuning.choices().contains_key(&forms.problem)));
        match known.iter().filter(|is_known| **is_known).count() {
            0 => Self::Nothing,
            n if n < known.len() => Self::Some,
            _ => Self::All,
        }
    }
}

/// That a session's kernels are those that were chosen in an earlier run, problem by problem, with no times: those were another
/// run's.
#[must_use]
pub fn kept(session: &Session) -> TuningFacts {
    let (source, problems, rounded) = (TuningSource::Kept, kept_problems(session), session.rounded());
    TuningFacts { source, problems, rounded, ..TuningFacts::default() }
}

fn kept_problems(session: &Session) -> Vec<TunedProblem> {
    let ExecutorChoice::Gpu(adapter) = session.choice() else { return Vec::new() };
    let guess = adapter.tuning().rounded(session.tuning().rounding());
    let mut problems = Vec::new();
    for n_tokens in [1, session.n_chunk()] {
        for alike in session.alike(session.stand(0, n_tokens)) {
            let Some(stage) = alike.stages.first() else { continue };
            let Some(choice) = session.tuning().known(stage, &adapter.caps).cloned() else { continue };
            let guess = guess.choice(stage, &adapter.caps);
            problems.push(untried(n_tokens, alike, [guess, choice], 0.0));
        }
    }
    problems
}

/// A problem that was looked at, and left as it was.
fn untried(n_tokens: u32, alike: Alike, [guess, choice]: [Choice; 2], ms: f64) -> TunedProblem {
    TunedProblem {
        n_tokens,
        stage: alike.name.to_owned(),
        n_stages: alike.stages.len() as u32,
        problem: alike.problem,
        choice,
        guess,
        n_tried: 0,
        guess_ms: ms,
        choice_ms: ms,
    }
}

struct Tuner {
    caps: Caps,
    guess: Tuning,
    /// What was known before the search.
    before: Tuning,
    extent: Extent,
    ids: Vec<u32>,
    facts: TuningFacts,
    /// The problems as they were left, and the spaces that were searched.
    searched: Vec<Searched>,
    spaces: Vec<Space>,
    is_broken_off: bool,
}

impl Tuner {
    /// Tunes the problems of a step that were not looked at yet, those that take the most time first.
    async fn tune_step(
        &mut self,
        session: &mut Session,
        at: Stand,
        deadline: Instant,
        watch: &mut Watch<'_>,
    ) -> Result<BTreeMap<Problem, Choice>> {
        let n_tokens = at.n_tokens;
        let what = if n_tokens == 1 { "decode".to_owned() } else { format!("prefill of {n_tokens}") };
        session.stand_in_step(&self.ids, at).await?;
        let (mut ready, mut tasks) = (Vec::new(), Vec::new());
        for alike in session.alike(at) {
            if self.facts.problems.iter().any(|known| known.problem == alike.problem) {
                continue;
            }
            let Some(stage) = alike.stages.first() else { continue };
            let guess = self.guess.choice(stage, &self.caps);
            let prepared = match session.try_stages(&alike.stages, &self.guess).await {
                // Perhaps there is no room for what all of them take beside each other.
                Err(_) if !ready.is_empty() => {
                    tasks.extend(self.time_ready(session, at, std::mem::take(&mut ready)).await?);
                    session.try_stages(&alike.stages, &self.guess).await?
                }
                prepared => prepared?,
            };
            session.time_tried(prepared, 1).await?;
            ready.push((prepared, guess, alike));
        }
        tasks.extend(self.time_ready(session, at, ready).await?);
        // Parts first: what is chosen for them decides whether a fused stage is worth it.
        tasks.sort_unstable_by(|(a, _, of_a), (b, _, of_b)| of_b.is_part.cmp(&of_a.is_part).then(b.total_cmp(a)));
        let total: f64 = tasks.iter().filter(|(.., alike)| !alike.is_part).map(|(ms, ..)| ms).sum();
        let (mut covered, n_tasks) = (0.0, tasks.len() as u32);
        let mut choices = BTreeMap::new();
        for (done, (ms, guess, alike)) in tasks.into_iter().enumerate() {
            let progress = Progress { what: format!("{what}, {}", alike.name), done: done as u32, total: n_tasks };
            if watch(&progress).is_break() {
                self.is_broken_off = true;
                break;
            }
            let is_small = if alike.is_part {
                ms < (1.0 - SHARE_THAT_MATTERS) * total
            } else {
                covered > SHARE_THAT_MATTERS * total
            };
            if is_small || Instant::now() >= deadline {
                self.leave(&mut choices, n_tokens, alike, guess, ms);
                continue;
            }
            if !alike.is_part {
                covered += ms;
            }
            session.stand_in_step(&self.ids, at).await?;
            let Some(stage) = alike.stages.first() else { continue };
            let Some(expected) = session.expect(&alike.stages, &self.guess).await? else {
                self.leave(&mut choices, n_tokens, alike, guess, ms);
                continue;
            };
            let guessed = session.disagreement(&expected, &self.guess).await?;
            if let Some(place) = guessed {
                // There is nothing to hold candidates against: verify is who tells of this.
                self.facts.wrong.push(format!("{}, the guess {}: {place}", alike.name, guess.variant));
                self.leave(&mut choices, n_tokens, alike, guess, ms);
                continue;
            }
            // Each problem gets its share of what time is left.
            let left = deadline.saturating_duration_since(Instant::now());
            let share = (ms / (total - covered + ms).max(1e-9)).clamp(0.1, 1.0);
            let until = Instant::now() + left.mul_f64(share);
            let known =
                |base: Tuning, (problem, choice): (&Problem, &Choice)| base.with(problem.clone(), choice.clone());
            let base = choices.iter().fold(self.guess.clone(), known);
            let mut track =
                Stages::open(session, &alike, self.caps, base, &expected, until, (watch, &progress)).await?;
            let entrants = track.entrants(self.extent);
            let found = match track.calibrate(&guess, wanted_ms(&self.caps)).await {
                Ok(()) => search(&mut track, &entrants, &guess, self.extent).await,
                Err(error) => Err(error),
            };
            track.close();
            let Found { choice, choice_ms, guess_ms, n_tried, wrong, times } = found?;
            self.spaces.extend(entrants.into_iter().map(|entrant| entrant.space));
            self.searched.push(Searched {
                n_tokens,
                choice_ms,
                times,
                essence: self.essence_of(stage, &alike.problem, &guess),
            });
            self.facts.wrong.extend(wrong.into_iter().map(|place| format!("{}, {place}", alike.name)));
            choices.insert(alike.problem.clone(), choice.clone());
            self.facts.problems.push(TunedProblem {
                n_tokens,
                stage: alike.name.to_owned(),
                n_stages: alike.stages.len() as u32,
                problem: alike.problem,
                guess,
                choice,
                n_tried,
                guess_ms,
                choice_ms,
            });
        }
        Ok(choices)
    }

    /// Times what was made ready, once nothing is left to compile between one and the next, and forgets it.
    async fn time_ready(
        &self,
        session: &mut Session,
        at: Stand,
        ready: Vec<(Prepared, Choice, Alike)>,
    ) -> Result<Vec<(f64, Choice, Alike)>> {
        let Some(first) = ready.first().map(|(prepared, ..)| *prepared) else { return Ok(Vec::new()) };
        if !self.caps.is_software {
            self.bring_clock_up(session, at).await?;
        }
        let mut tasks = Vec::new();
        for (prepared, guess, alike) in ready {
            tasks.push((session.time_tried(prepared, 1).await?, guess, alike));
        }
        session.forget_tried(first);
        Ok(tasks)
    }

    /// Leaves a problem as it was known before, or else as guessed.
    fn leave(&mut self, choices: &mut BTreeMap<Problem, Choice>, n_tokens: u32, alike: Alike, guess: Choice, ms: f64) {
        let known = alike.stages.first().and_then(|stage| self.before.known(stage, &self.caps)).cloned();
        let choice = known.unwrap_or_else(|| guess.clone());
        choices.insert(alike.problem.clone(), choice.clone());
        self.facts.problems.push(untried(n_tokens, alike, [guess, choice], ms));
    }

    /// What the search came to: a choice for each problem that it looked at, also where that is the guess, so that none of another
    /// size takes its place. Steps that no search looks at take over what was chosen for others, stage by stage. What has to do
    /// with neither stays as it was known.
    fn tuning(&self, session: &Session) -> Tuning {
        let with =
            |tuning: Tuning, (problem, choice): (&Problem, &Choice)| tuning.with(problem.clone(), choice.clone());
        let problems = self.facts.problems.iter();
        let mut tuning = problems.map(|of| (&of.problem, &of.choice)).fold(self.guess.clone(), with);
        let is_other = |problem: &Problem| {
            self.facts.problems.iter().find(|of| of.problem == *problem).map(|of| of.choice != of.guess)
        };
        let mut stale = Vec::new();
        for [heir, from] in session.heirs() {
            match (tuning.choices().get(&from).cloned(), is_other(&from)) {
                (Some(choice), Some(true)) if !tuning.choices().contains_key(&heir) => {
                    tuning = tuning.with(heir, choice);
                }
                // What is guessed for one size is not what is guessed for another.
                (_, Some(false)) => stale.push(heir),
                _ => {}
            }
        }
        let kept = self.before.choices().iter().filter(|(problem, _)| !stale.contains(problem));
        kept.fold(
            tuning,
            |tuning, kept| {
                if tuning.choices().contains_key(kept.0) { tuning } else { with(tuning, kept) }
            },
        )
    }

    /// What configs come to for a stage, in the variant that is guessed for it.
    fn essence_of(&self, stage: &Stage, problem: &Problem, guess: &Choice) -> Box<dyn Fn(&Config) -> String> {
        let (stage, caps, base) = (stage.clone(), self.caps, self.guess.clone());
        let (problem, variant) = (problem.clone(), guess.variant.clone());
        Box::new(move |config| {
            let choice = Choice { variant: variant.clone(), config: *config };
            track::essence(&stage, &caps, &base.clone().with(problem.clone(), choice))
        })
    }

    async fn bring_clock_up(&self, session: &mut Session, at: Stand) -> Result<()> {
        let prepared = session.try_step(at, &self.guess).await?;
        settle(&mut async || {
            session.set_step(at);
            session.time_tried(prepared, 1).await
        })
        .await?;
        session.forget_tried(prepared);
        session.set_step(at);
        Ok(())
    }

    /// Tunes the form of a prompt's step that was not `guessed`, over what was chosen for that one, and chooses between them.
    async fn tune_forms(
        &mut self,
        session: &mut Session,
        forms: &Forms,
        guessed: Stand,
        known: Tuning,
        deadline: Instant,
        watch: &mut Watch<'_>,
    ) -> Result<(Stand, Tuning)> {
        let mut steps = forms.steps;
        if steps[0].1 != guessed {
            steps.reverse();
        }
        let [(guess, _), (other, other_at)] = steps;
        let choices = self.tune_step(session, other_at, deadline, watch).await?;
        let tuning = choices.into_iter().fold(known, |tuning, (problem, choice)| tuning.with(problem, choice));
        let [guess_ms, other_ms] = self.race(session, steps.map(|(_, at)| at), [&tuning, &tuning]).await?;
        let is_faster = other_ms <= guess_ms * search::WORTH;
        let (form, at) = steps[usize::from(is_faster)];
        let choice = |form: &str| Choice { variant: form.to_owned(), config: self.guess.config };
        self.facts.problems.push(TunedProblem {
            n_tokens: guessed.n_tokens,
            stage: format!("attention, {guess} or {other}"),
            n_stages: 1,
            problem: forms.problem.clone(),
            guess: choice(guess),
            choice: choice(form),
            n_tried: 2,
            guess_ms,
            choice_ms: if is_faster { other_ms } else { guess_ms },
        });
        let tuning = if is_faster { tuning.with(forms.problem.clone(), choice(form)) } else { tuning };
        Ok((at, tuning))
    }

    /// Whole steps by the guess and by `tuning`, by turns, each in the form that comes with it.
    async fn gain(&self, session: &mut Session, steps: [Stand; 2], tuning: &Tuning) -> Result<StepGain> {
        let [untuned_ms, tuned_ms] = self.race(session, steps, [&self.guess, tuning]).await?;
        Ok(StepGain { n_tokens: steps[0].n_tokens, untuned_ms, tuned_ms })
    }

    /// Medians of two steps that are timed by turns.
    async fn race(&self, session: &mut Session, steps: [Stand; 2], tunings: [&Tuning; 2]) -> Result<[f64; 2]> {
        session.stand_in_step(&self.ids, steps[0]).await?;
        let prepared = [session.try_step(steps[0], tunings[0]).await?, session.try_step(steps[1], tunings[1]).await?];
        let mut times = [Vec::new(), Vec::new()];
        let mut begin = Instant::now();
        for round in 0..=*N_STEPS.end() {
            if round == 1 && !self.caps.is_software {
                settle_again(&mut async || {
                    session.set_step(steps[0]);
                    session.time_tried(prepared[0], 1).await
                })
                .await?;
            }
            if round <= 1 {
                begin = Instant::now();
            }
            let is_enough = round > *N_STEPS.start() && begin.elapsed() > STEPS_TIME;
            if is_enough || round > 1 && begin.elapsed() > STEPS_PATIENCE {
                break;
            }
            for ((prepared, at), times) in prepared.iter().zip(steps).zip(&mut times) {
                session.set_step(at);
                let ms = session.time_tried(*prepared, 1).await?;
                // The first round does not count: drivers compile at first use.
                if round > 0 {
                    times.push(ms);
                }
            }
        }
        session.forget_tried(prepared[0]);
        Ok(times.map(|times| median(&times)))
    }
}

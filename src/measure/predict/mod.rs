//! From the layers that were measured to the whole model. A layer of a kind takes as long in the whole model as in the
//! cut, so times add up by kinds; where the work differs (another depth, a kind that was not measured), a stage's time
//! goes with its bytes, or with its operations, and both together are the range.
//!
//! With timestamps the times are those of each stage in each kind of layer; the stages run in passes of their own there,
//! which takes longer than in one, so all are scaled until the measured step comes out as it was measured without.
//! Without timestamps the whole step's time goes with its work.
//!
//! A prompt's step that would last too long in the whole model is cut into shorter ones there, which read weights again;
//! the session of a cut cuts it in the same places, so what was measured holds that already.

mod show;
mod work;

use super::report::{Basis, PartPrediction, Prediction, Profile, StepPrediction, Test};
use crate::engine::{ExecutorChoice, Session};
use crate::error::Result;
use crate::gpu::recording::Cost;
use crate::model::Synthetic;
use std::collections::BTreeMap;
use work::Works;

pub use show::text;
pub use work::Planner;

/// What stands outside of the layers, as a part's kind.
pub const OUTSIDE: &str = "outside";

/// The lengths of text that memory and times are told for.
pub const CONTEXTS: [u32; 3] = [4096, 131_072, 1 << 20];

/// Predicts the whole of a model from what was measured of a session of it. `free_bytes` is the memory that the place
/// may take, where it is known. Without a test of written tokens, memory alone is told.
///
/// # Errors
/// None for a model that could be made.
pub fn predict(
    model: &Synthetic,
    session: &Session,
    (tests, profiles): (&[Test], &[Profile]),
    free_bytes: Option<u64>,
) -> Result<Prediction> {
    let binding_bytes = match session.choice() {
        ExecutorChoice::Gpu(adapter) => adapter.binding_bytes(),
        ExecutorChoice::Cpu => 1 << 30,
    };
    let (n_chunk, whole_model) = (session.n_chunk(), model.uncut());
    let planner = |model| Planner::new(model, binding_bytes, n_chunk, session.cache_types());
    let (cut, whole) = (planner(model)?, planner(&whole_model)?);
    let most = whole.outline().context_length;
    let contexts: Vec<u32> = CONTEXTS.into_iter().filter(|n| *n <= most).collect();
    Ok(Prediction {
        n_params: whole.outline().n_parameters,
        n_active_params: whole_model.n_active_parameters()?,
        n_layers: whole_model.n_layers(),
        n_measured_layers: model.n_layers(),
        memory: contexts.iter().map(|n| whole.memory(*n)).collect(),
        binding_bytes,
        free_bytes,
        steps: steps((&cut, &whole), n_chunk, &contexts, tests, profiles),
    })
}

/// Every step that was measured, and writing at the end of texts of each of the lengths `contexts`.
/// Steps of prompts have at most `n_chunk` tokens.
fn steps(
    (cut, whole): (&Planner, &Planner),
    n_chunk: u32,
    contexts: &[u32],
    tests: &[Test],
    profiles: &[Profile],
) -> Vec<StepPrediction> {
    let tests: Vec<Measured> = tests.iter().filter_map(|test| Measured::of(test, n_chunk)).collect();
    let mut wanted: Vec<(u32, u32)> = tests.iter().map(|test| (test.n_tokens, test.depth)).collect();
    if tests.iter().any(|test| test.n_tokens == 1) {
        wanted.extend(contexts.iter().map(|n| (1, n - 1)));
    }
    let mut steps = Vec::new();
    for (n_tokens, depth) in wanted {
        let nearest = |depths: u32| (f64::from(depths + 1) / f64::from(depth + 1)).ln().abs();
        let same = tests.iter().filter(|test| test.n_tokens == n_tokens);
        let Some(test) = same.min_by(|a, b| nearest(a.depth).total_cmp(&nearest(b.depth))) else { continue };
        let profiles = profiles.iter().filter(|profile| profile.n_tokens == n_tokens);
        let profile = profiles.min_by(|a, b| nearest(a.depth).total_cmp(&nearest(b.depth)));
        let step = Step {
            measured: *test,
            profile,
            of_cut: cut.works(n_tokens, test.depth),
            of_whole: whole.works(n_tokens, depth),
            n_cut: cut.kinds(),
            n_whole: whole.kinds(),
        };
        steps.push(step.predict(depth));
    }
    steps
}

/// The measured time of one step of the cut.
#[derive(Clone, Copy, Debug)]
struct Measured {
    n_tokens: u32,
    /// Tokens before it: of those that were written one by one, before the one in the middle.
    depth: u32,
    ms: f64,
    /// The shortest and the longest run, as a part of the median.
    low: f64,
    high: f64,
}

impl Measured {
    /// Of a test of written tokens, or of a prompt; both together tell neither.
    fn of(test: &Test, n_chunk: u32) -> Option<Self> {
        let (n_tokens, depth) = match (test.n_prompt, test.n_gen) {
            (0, n) => (1, test.depth + n / 2),
            (n, 0) => (n.min(n_chunk), test.depth),
            _ => return None,
        };
        let rate = &test.tokens_per_s;
        let usable = test.ms_per_token > 0.0 && rate.min > 0.0 && rate.median > 0.0;
        let ms = test.ms_per_token * f64::from(n_tokens);
        usable.then(|| Self { n_tokens, depth, ms, low: rate.median / rate.max, high: rate.median / rate.min })
    }
}

/// A step to be predicted.
struct Step<'a> {
    measured: Measured,
    profile: Option<&'a Profile>,
    of_cut: Works,
    of_whole: Works,
    n_cut: BTreeMap<String, u32>,
    n_whole: BTreeMap<String, u32>,
}

impl Step<'_> {
    fn predict(&self, depth: u32) -> StepPrediction {
        // What makes the measured step come out as it was measured.
        let (low, high) = self.times(&self.of_cut).values().fold((0.0, 0.0), |sum, t| (sum.0 + t.0, sum.1 + t.1));
        let measured = if low + high > 0.0 { self.measured.ms / ((low + high) / 2.0) } else { 0.0 };
        let times = self.times(&self.of_whole);
        let (mut low, mut high) = (0.0, 0.0);
        let mut parts = Vec::new();
        for (kind, time) in times {
            let (n, n_measured) = match kind.as_str() {
                OUTSIDE => (1, 1),
                kind => [&self.n_whole, &self.n_cut].map(|n| n.get(kind).copied().unwrap_or(0)).into(),
            };
            (low, high) = (low + time.0 * measured, high + time.1 * measured);
            let work = sum(self.of_whole.iter().filter(|((of, _), _)| *of == kind).map(|(_, work)| work));
            let each = u64::from(n.max(1));
            let ms = (time.0 + time.1) / 2.0 * measured / each as f64;
            parts.push(PartPrediction { kind, n, n_measured, ms, bytes: work.bytes / each, ops: work.ops / each });
        }
        let work = sum(self.of_whole.values());
        StepPrediction {
            n_tokens: self.measured.n_tokens,
            depth,
            measured_depth: self.measured.depth,
            basis: if self.profile.is_some() { Basis::Stages } else { Basis::Work },
            parts,
            bytes: work.bytes,
            ops: work.ops,
            ms: (low + high) / 2.0,
            low_ms: low * self.measured.low,
            high_ms: high * self.measured.high,
        }
    }

    /// The shortest and the longest time of each kind of layer, all of the kind together.
    fn times(&self, works: &Works) -> BTreeMap<String, (f64, f64)> {
        let mut times = BTreeMap::<String, (f64, f64)>::new();
        for ((kind, name), work) in works {
            let (ms, of) = self.measured_stage(kind, name);
            let (low, high) = in_proportion(ms, of, *work);
            let time = times.entry(kind.clone()).or_default();
            *time = (time.0 + low, time.1 + high);
        }
        times
    }

    /// The time and work that a stage's time is in proportion to: of the stage in its kind of layer, else of the stage
    /// in any layer, else of the whole step.
    fn measured_stage(&self, kind: &str, name: &str) -> (f64, Cost) {
        let Some(profile) = self.profile else { return (self.measured.ms, sum(self.of_cut.values())) };
        let of_kind = profile.layers.iter().find(|layers| layers.kind == kind).map_or(&[][..], |layers| &layers.stages);
        let named = of_kind.iter().chain(&profile.stages).find(|stage| stage.name == name);
        let cost = |bytes, ops| Cost { bytes, ops };
        named.map_or_else(
            || {
                let all = &profile.stages;
                let (bytes, ops) = (all.iter().map(|s| s.bytes).sum(), all.iter().map(|s| s.ops).sum());
                (all.iter().map(|stage| stage.ms).sum(), cost(bytes, ops))
            },
            |stage| (stage.ms, cost(stage.bytes, stage.ops)),
        )
    }
}

fn sum<'a>(works: impl Iterator<Item = &'a Cost>) -> Cost {
    works.fold(Cost::default(), |sum, work| Cost { bytes: sum.bytes + work.bytes, ops: sum.ops + work.ops })
}

/// The time of other work, in proportion to bytes or to operations: the shorter and the longer.
fn in_proportion(ms: f64, of: Cost, work: Cost) -> (f64, f64) {
    let ratio = |of: u64, work: u64| (of > 0).then(|| work as f64 / of as f64);
    let ratios = [ratio(of.bytes, work.bytes), ratio(of.ops, work.ops)];
    let mut known = ratios.into_iter().flatten();
    let Some(first) = known.next() else { return (0.0, 0.0) };
    let second = known.next().unwrap_or(first);
    (ms * first.min(second), ms * first.max(second))
}

#[cfg(test)]
mod tests;

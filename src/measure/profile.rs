//! The time of one step by its stages: each stage's median over a few runs, for the whole step and for each kind of
//! layer. The stages are computed one pass each, so their sum is more than the step takes in one.

use super::StageTime;
use super::report::{LayerTimes, Probes, Profile};
use super::settle::{Timed, time_warm};
use super::spread::median;
use crate::engine::Session;
use crate::error::Result;
use crate::gpu::Recording;

/// How often a step is computed for a profile.
pub const N_STEPS: usize = 5;

/// Profiles a step of `n_tokens` after `depth` tokens (1: decode; more: a step of a prompt, at most the largest that is
/// recorded); `None` where the adapter has no timestamps. The state at those positions is overwritten.
///
/// # Errors
/// When the adapter fails.
pub async fn profile(session: &mut Session, n_tokens: u32, depth: u32, probes: &Probes) -> Result<Option<Profile>> {
    let n_tokens = n_tokens.clamp(1, session.n_chunk());
    let mut runs = Vec::with_capacity(N_STEPS);
    let mut recording = Recording::default();
    let mut step = ProfiledStep { session, n_tokens, depth };
    for _ in 0..N_STEPS {
        let (computed, times) = time_warm(&mut step).await?;
        recording = computed;
        runs.extend(times);
    }
    let middle = |stage: usize| median(&runs.iter().filter_map(|times| times.get(stage).copied()).collect::<Vec<_>>());
    let ms: Vec<f64> = (0..recording.stages.len()).map(middle).collect();
    let profile = of_times(&recording, &ms, &step.session.outline().layer_kinds, n_tokens, depth, probes);
    Ok((!runs.is_empty()).then_some(profile))
}

/// A step whose stages are timed. Between two of them the adapter rests, while times are read back.
struct ProfiledStep<'a> {
    session: &'a mut Session,
    n_tokens: u32,
    depth: u32,
}

impl Timed for ProfiledStep<'_> {
    type Sample = (Recording, Option<Vec<f64>>);
    async fn warm(&mut self) -> Result<Option<f64>> {
        self.session.warm(self.depth).await
    }
    async fn time(&mut self) -> Result<Self::Sample> {
        self.session.profile_step(self.depth, self.n_tokens).await
    }
}

/// Of a recording and the milliseconds of each of its stages; `kinds` has one for each layer.
fn of_times(
    recording: &Recording,
    ms: &[f64],
    kinds: &[String],
    n_tokens: u32,
    depth: u32,
    probes: &Probes,
) -> Profile {
    let timed = || recording.stages.iter().zip(ms);
    let times_of = |is_meant: &dyn Fn(Option<u32>) -> bool| {
        let meant = timed().filter(|(stage, _)| is_meant(stage.layer));
        StageTime::by_name(meant.map(|(stage, ms)| (stage.name, *ms, stage.work(depth))), probes)
    };
    let first = kinds.iter().enumerate().filter(|(layer, kind)| !kinds[..*layer].contains(kind));
    let layers = first.map(|(_, kind)| {
        let n_layers = kinds.iter().filter(|of_layer| *of_layer == kind).count() as u32;
        let stages = times_of(&|layer| layer.is_some_and(|layer| kinds.get(layer as usize) == Some(kind)));
        let ms: f64 = stages.iter().map(|stage| stage.ms).sum();
        LayerTimes { kind: kind.clone(), n_layers, ms_per_layer: ms / f64::from(n_layers), stages }
    });
    Profile { n_tokens, depth, stages: times_of(&|_| true), layers: layers.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::op::Spec;
    use crate::gpu::recording::{Cost, Stage};
    use crate::kernels::sample;

    fn stage(name: &'static str, layer: Option<u32>) -> Stage {
        let cost = Cost { bytes: 1000, ops: 10 };
        let (params, bindings) = (Vec::new(), Vec::new());
        let op = &sample::OP;
        Stage {
            name,
            layer,
            op,
            spec: Spec::default(),
            params,
            bindings,
            n_results: 1,
            cost,
            keys: None,
            parts: Vec::new(),
        }
    }

    #[test]
    fn stages_belong_to_the_step_and_to_the_kind_of_their_layer() {
        let names = [("embed", None), ("q", Some(0)), ("q", Some(1)), ("attend", Some(1)), ("q", Some(2))];
        let stages = names.map(|(name, layer)| stage(name, layer)).to_vec();
        let recording = Recording { stages, layer: None };
        let ms = [1.0, 2.0, 3.0, 4.0, 5.0];
        let profile = of_times(
            &recording,
            &ms,
            &["ratio 0", "ratio 128", "ratio 0"].map(str::to_owned),
            1,
            7,
            &Probes::default(),
        );
        let summed = |stages: &[StageTime]| {
            stages.iter().map(|stage| (stage.name.clone(), stage.count, stage.ms)).collect::<Vec<_>>()
        };
        assert_eq!(
            summed(&profile.stages),
            [("q".into(), 3, 10.0), ("attend".into(), 1, 4.0), ("embed".into(), 1, 1.0)]
        );
        let kinds: Vec<_> = profile.layers.iter().map(|kind| (kind.kind.as_str(), kind.n_layers)).collect();
        assert_eq!(kinds, [("ratio 0", 2), ("ratio 128", 1)]);
        assert_eq!(summed(&profile.layers[0].stages), [("q".into(), 2, 7.0)]);
        assert_eq!(summed(&profile.layers[1].stages), [("attend".into(), 1, 4.0), ("q".into(), 1, 3.0)]);
        assert_eq!((profile.layers[0].ms_per_layer, profile.layers[0].stages[0].bytes), (3.5, 2000));
    }
}

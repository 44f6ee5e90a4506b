//! From the repetitions of a test to what the report says of it.

use super::TestPlan;
use super::repetition::Sample;
use crate::gpu::recording::Cost;
use crate::measure::Spread;
use crate::measure::report::{Probes, Share, Test, per_second};
use crate::measure::spread::median;

/// Of the runs of a test that moves and does `work` in all; `None` without runs.
pub(super) fn test(plan: &TestPlan, samples: &[Sample], work: Cost, probes: &Probes) -> Option<Test> {
    let n_tokens = f64::from(plan.n_tokens());
    let each = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(of).collect::<Vec<f64>>();
    let tokens_per_s = Spread::of(&each(&|sample| per_second(n_tokens, sample.ms)))?;
    // Rate and time are one figure: of an even number of runs their medians would not be.
    let ms_per_token = per_second(1.0, tokens_per_s.median);
    let per_token = Cost { bytes: shared(work.bytes, plan), ops: shared(work.ops, plan) };
    let first: Vec<f64> = samples.iter().filter_map(|sample| sample.first_token_ms).collect();
    let test = Test {
        n_prompt: plan.n_prompt,
        n_gen: plan.n_gen,
        depth: plan.depth,
        tokens_per_s,
        ms_per_token,
        first_token_ms: (!first.is_empty()).then(|| median(&first)),
        prefill_ms: median(&each(&|sample| sample.prefill_ms)),
        decode_ms: median(&each(&|sample| sample.decode_ms)),
        bytes_per_token: per_token.bytes,
        ops_per_token: per_token.ops,
        gb_per_s: per_second(per_token.bytes as f64 * 1e-9, ms_per_token),
        share: Share::of(per_token, ms_per_token, probes),
        ..Test::default()
    };
    Some(test.told_apart(probes))
}

/// One token's part.
fn shared(amount: u64, plan: &TestPlan) -> u64 {
    amount / u64::from(plan.n_tokens().max(1))
}

/// The test's name, before there is a result.
pub(super) fn name(plan: &TestPlan) -> String {
    Test { n_prompt: plan.n_prompt, n_gen: plan.n_gen, depth: plan.depth, ..Test::default() }.name()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::report::{Probe, ProbeKind};

    #[test]
    fn a_test_is_the_median_of_its_runs() {
        let plan = TestPlan { n_prompt: 0, n_gen: 4, depth: 9 };
        let sample = |ms: f64| Sample { ms, prefill_ms: 1.0, first_token_ms: Some(ms / 2.0), decode_ms: ms - 1.0 };
        let samples = [sample(40.0), sample(10.0), sample(20.0)];
        let read = Spread { n: 1, median: 2.0, ..Spread::default() };
        let probes = Probes(vec![Probe { kind: ProbeKind::Read, value: read, right: true }]);
        let work = Cost { bytes: 20_000_000, ops: 8 };
        let test = test(&plan, &samples, work, &probes).expect("samples");
        assert_eq!(test.name(), "tg4 @ d9");
        assert_eq!((test.tokens_per_s.n, test.tokens_per_s.median, test.tokens_per_s.max), (3, 200.0, 400.0));
        assert_eq!((test.ms_per_token, test.first_token_ms), (5.0, Some(10.0)));
        assert_eq!((test.prefill_ms, test.decode_ms), (1.0, 19.0));
        assert_eq!((test.bytes_per_token, test.ops_per_token), (5_000_000, 2));
        assert_eq!((test.streaming_ms, test.rest_ms), (Some(2.5), Some(2.5)));
        // 5 MB in 5 ms are 1 GB/s, half of what can be read.
        assert!((test.gb_per_s - 1.0).abs() < 1e-9);
        assert!(test.share.is_some_and(|share| share.of == ProbeKind::Read && (share.share - 0.5).abs() < 1e-9));
    }

    #[test]
    fn nothing_comes_of_no_runs() {
        assert_eq!(test(&TestPlan { n_gen: 1, ..TestPlan::default() }, &[], Cost::default(), &Probes::default()), None);
    }
}

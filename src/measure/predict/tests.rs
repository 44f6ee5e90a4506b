//! The arithmetic, on times made by hand.

use super::*;
use crate::measure::report::LayerTimes;
use crate::measure::{Spread, StageTime};

const fn cost(bytes: u64, ops: u64) -> Cost {
    Cost { bytes, ops }
}

fn works<const N: usize>(stages: [(&str, &'static str, Cost); N]) -> Works {
    stages.into_iter().map(|(kind, name, cost)| ((kind.to_owned(), name), cost)).collect()
}

fn kinds<const N: usize>(kinds: [(&str, u32); N]) -> BTreeMap<String, u32> {
    kinds.into_iter().map(|(kind, n)| (kind.to_owned(), n)).collect()
}

fn measured(ms: f64) -> Measured {
    Measured { n_tokens: 1, depth: 10, ms, low: 0.9, high: 1.2 }
}

/// One layer of each of two kinds were measured, 1 ms and 3 ms, and 2 ms outside: 6 ms in a profile, 3 ms in one pass.
fn step(profile: Option<&Profile>) -> Step<'_> {
    Step {
        measured: measured(3.0),
        profile,
        of_cut: works([
            ("ratio 4", "q", cost(100, 10)),
            ("ratio 128", "q", cost(300, 30)),
            (OUTSIDE, "head", cost(200, 20)),
        ]),
        of_whole: works([
            ("ratio 4", "q", cost(2000, 200)),
            ("ratio 128", "q", cost(3000, 300)),
            (OUTSIDE, "head", cost(200, 20)),
        ]),
        n_cut: kinds([("ratio 4", 1), ("ratio 128", 1)]),
        n_whole: kinds([("ratio 4", 20), ("ratio 128", 10)]),
    }
}

fn profile() -> Profile {
    let stage = |name: &str, ms, bytes, ops| StageTime { name: name.into(), ms, bytes, ops, ..StageTime::default() };
    let layers = |kind: &str, stage| LayerTimes { kind: kind.into(), stages: vec![stage], ..LayerTimes::default() };
    Profile {
        n_tokens: 1,
        depth: 10,
        stages: vec![stage("q", 4.0, 400, 40), stage("head", 2.0, 200, 20)],
        layers: vec![layers("ratio 4", stage("q", 1.0, 100, 10)), layers("ratio 128", stage("q", 3.0, 300, 30))],
    }
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{found} is not {expected}");
}

#[test]
fn layers_of_a_kind_add_up_and_the_measured_step_comes_out_as_measured() {
    let profile = profile();
    let found = step(Some(&profile)).predict(10);
    // Half of 20 · 1 + 10 · 3 + 2 = 52 ms, as the step took half of its profile.
    close(found.ms, 26.0);
    close(found.low_ms, 26.0 * 0.9);
    close(found.high_ms, 26.0 * 1.2);
    assert_eq!((found.basis, found.bytes, found.ops, found.parts.len()), (Basis::Stages, 5200, 520, 3));
    let part = found.parts.iter().find(|part| part.kind == "ratio 4").expect("a part");
    assert_eq!((part.n, part.n_measured, part.bytes, part.ops), (20, 1, 100, 10));
    close(part.ms, 0.5);
    close(found.tokens_per_s()[0], 1000.0 / 26.0);
    assert!(found.tokens_per_s()[1] < found.tokens_per_s()[0] && found.tokens_per_s()[0] < found.tokens_per_s()[2]);
}

#[test]
fn the_cut_itself_is_predicted_as_it_was_measured() {
    let profile = profile();
    for profile in [None, Some(&profile)] {
        let cut = step(profile);
        let of_whole = cut.of_cut.clone();
        let n_whole = cut.n_cut.clone();
        close(Step { of_whole, n_whole, ..cut }.predict(10).ms, 3.0);
    }
}

#[test]
fn without_stages_time_goes_with_work() {
    let found = step(None).predict(10);
    // 600 bytes took 3 ms; 5200 take 26. Here operations say the same.
    close(found.ms, 26.0);
    assert_eq!(found.basis, Basis::Work);
    let mut uneven = step(None);
    uneven.of_whole = works([("ratio 4", "q", cost(600, 120))]);
    let found = uneven.predict(10);
    // By bytes 3 ms, by operations 6.
    close(found.low_ms, 3.0 * 0.9);
    close(found.high_ms, 6.0 * 1.2);
    close(found.ms, 4.5);
}

#[test]
fn a_kind_that_was_not_measured_is_taken_by_its_stages_elsewhere_and_depth_by_work() {
    let profile = profile();
    let mut other = step(Some(&profile));
    other.of_whole = works([("ratio 0", "q", cost(800, 80)), ("ratio 0", "index", cost(600, 60))]);
    other.n_whole = kinds([("ratio 0", 2)]);
    // q: 4 ms for 400 bytes, so 8; index was never timed: 6 ms for 600 bytes, so 6; half of both.
    close(other.predict(10).ms, 7.0);
    let part = &other.predict(10).parts[0];
    assert_eq!((part.n, part.n_measured), (2, 0));
}

#[test]
fn tests_of_prompt_and_answer_together_and_of_nothing_tell_nothing() {
    let tokens_per_s = Spread::of(&[100.0, 110.0, 90.0]).expect("samples");
    let test = Test { n_gen: 8, depth: 100, tokens_per_s, ms_per_token: 10.0, ..Test::default() };
    let decode = Measured::of(&test, 256).expect("a step");
    assert_eq!((decode.n_tokens, decode.depth, decode.ms), (1, 104, 10.0));
    close(decode.low, 100.0 / 110.0);
    close(decode.high, 100.0 / 90.0);
    let prompt = Test { n_prompt: 1000, n_gen: 0, ..test.clone() };
    let prompt = Measured::of(&prompt, 256).expect("a step");
    assert_eq!((prompt.n_tokens, prompt.depth, prompt.ms), (256, 100, 2560.0));
    assert!(Measured::of(&Test { n_prompt: 4, ..test.clone() }, 256).is_none());
    assert!(Measured::of(&Test { tokens_per_s: Spread::default(), ..test }, 256).is_none());
}

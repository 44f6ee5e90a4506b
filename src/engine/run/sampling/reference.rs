//! The choice held against the samplers' definitions and against llama.cpp: tests/fixtures/sampling.json has what each
//! sampler leaves of some logits, as tools/fixtures/sampling.py computed it.

use super::dry::Breakers;
use super::sampler::{Sampler, candidates};
use super::{Dry, Sampling, Xtc};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    logits: Vec<Vec<f32>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    /// Which row.
    logits: usize,
    text: Vec<u32>,
    settings: Settings,
    /// Ids with their probabilities.
    kept: Vec<(u32, f64)>,
}

/// What differs from settings that change nothing.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    temperature: Option<f32>,
    top_k: u32,
    top_p: Option<f32>,
    min_p: f32,
    typical_p: Option<f32>,
    top_n_sigma: f32,
    xtc: Option<(f32, f32)>,
    repeat_penalty: Option<f32>,
    presence_penalty: f32,
    frequency_penalty: f32,
    repeat_window: Option<u32>,
    dry: Option<(f32, f32, u32, u32)>,
    breakers: Vec<Vec<u32>>,
    logit_bias: Vec<(u32, f64)>,
}

impl Settings {
    fn sampling(&self) -> Sampling {
        let (probability, threshold) = self.xtc.unwrap_or((0.0, 0.1));
        let (multiplier, base, allowed_length, window) = self.dry.unwrap_or((0.0, 1.75, 2, 1024));
        Sampling {
            temperature: self.temperature.unwrap_or(1.0),
            top_k: self.top_k,
            top_p: self.top_p.unwrap_or(1.0),
            min_p: self.min_p,
            typical_p: self.typical_p.unwrap_or(1.0),
            top_n_sigma: self.top_n_sigma,
            xtc: Xtc { probability, threshold },
            repeat_penalty: self.repeat_penalty.unwrap_or(1.0),
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            repeat_window: self.repeat_window.unwrap_or(64),
            dry: Dry { multiplier, base, allowed_length, window, breakers: Vec::new() },
            // In the fixture -1e39 stands for minus infinity, which an f32 makes of it.
            logit_bias: self.logit_bias.iter().map(|(id, bias)| (*id, *bias as f32)).collect(),
            ..Sampling::default()
        }
    }
}

fn fixture() -> Fixture {
    let text = include_str!("../../../../tests/fixtures/sampling.json");
    serde_json::from_str(text).expect("the fixture")
}

#[test]
fn each_sampler_leaves_what_its_definition_says() {
    let fixture = fixture();
    assert!(fixture.cases.len() >= 100);
    for Case { logits: row, text, settings, kept: expected } in &fixture.cases {
        let sampling = settings.sampling();
        let what = format!("row {row} after {text:?}: {sampling:?}");
        let mut logits = fixture.logits[*row].clone();
        let breakers = Breakers::of_tokens(&settings.breakers);
        let kept = candidates(&sampling, &breakers, &mut logits, text, None);
        let shares = kept.probabilities(sampling.temperature);
        let found = kept.as_slice().iter().map(|it| it.id).zip(shares);
        assert_eq!(kept.as_slice().len(), expected.len(), "{what}");
        for (id, share) in found {
            let (_, wanted) = expected.iter().find(|(it, _)| *it == id).expect(&what);
            assert!((share - wanted).abs() < 2e-6, "token {id} has {share}, not {wanted}: {what}");
        }
    }
}

/// How far counts are from what is expected, beside what chance does: about 1 if they are drawn so.
fn chi_square(counts: &[f64], shares: &[f64]) -> f64 {
    let n: f64 = counts.iter().sum();
    let expected = shares.iter().map(|share| share * n);
    let used: Vec<(f64, f64)> = counts.iter().copied().zip(expected).filter(|(_, expected)| *expected > 0.0).collect();
    let sum: f64 = used.iter().map(|(count, expected)| (count - expected).powi(2) / expected).sum();
    sum / (used.len().max(2) - 1) as f64
}

const N_SEEDS: u32 = 5000;

#[test]
fn thousands_of_seeds_draw_as_the_probabilities_say() {
    let fixture = fixture();
    let chosen = |case: &Case, sampling: &Sampling| {
        let mut counts = vec![0.0; fixture.logits[case.logits].len()];
        for seed in 0..N_SEEDS {
            let sampling = Sampling { seed, ..sampling.clone() };
            let mut sampler = Sampler::new(&sampling, None, &[], 40, &case.text).expect("settings");
            counts[sampler.choose(&mut fixture.logits[case.logits].clone()).expect("a token") as usize] += 1.0;
        }
        counts
    };
    let shares_of = |case: &Case| {
        let mut shares = vec![0.0; fixture.logits[case.logits].len()];
        case.kept.iter().for_each(|(id, share)| shares[*id as usize] = *share);
        shares
    };
    for case in fixture.cases.iter().filter(|case| case.settings.breakers.is_empty()) {
        let (counts, shares) = (chosen(case, &case.settings.sampling()), shares_of(case));
        assert!(counts.iter().zip(&shares).all(|(count, share)| *share > 0.0 || *count == 0.0));
        // With one degree of freedom, chance goes over 12 once in 2000 times; with more, far less often.
        assert!(
            chi_square(&counts, &shares) < 12.0_f64.min(2.0 + 20.0 / case.kept.len() as f64),
            "{counts:?}, {shares:?}"
        );
    }
    // Where XTC strikes three times in ten, the shares are mixed of those with and without it.
    let plain = |row: usize| {
        let is_plain = |case: &&Case| case.logits == row && case.kept.len() == 40 && case.text.is_empty();
        shares_of(fixture.cases.iter().find(is_plain).expect("a case without filters"))
    };
    let strikes = fixture.cases.iter().filter(|case| case.settings.xtc.is_some() && case.text.is_empty());
    for case in strikes {
        let sampling = case.settings.sampling();
        let xtc = Xtc { probability: 0.3, ..sampling.xtc };
        let counts = chosen(case, &Sampling { xtc, ..sampling });
        let mixed =
            shares_of(case).into_iter().zip(plain(case.logits)).map(|(with, without)| 0.3 * with + 0.7 * without);
        assert!(chi_square(&counts, &mixed.collect::<Vec<f64>>()) < 2.0, "{counts:?}");
    }
}

//! From what was compared to one word and one sentence.

use super::predictions::is_right;
use crate::measure::panel::percent;
use crate::measure::report::{Check, KernelCheck, NO_NUMBER, SampledCheck, StageError, TokenCheck, Verdict};

/// Sets verdict and summary by what was compared; `whole` if nothing is missing that was to be.
pub(super) fn conclude(check: &mut Check, whole: bool) {
    (check.verdict, check.summary) = match first_wrong(check) {
        Some(wrong) => (Verdict::Wrong, wrong),
        None if whole => (Verdict::Right, what_is_right(check)),
        None => (Verdict::Unknown, "broken off before everything was compared".to_owned()),
    };
}

/// Adds what became of the kernels, and judges again.
pub fn add_kernels(check: &mut Check, kernels: KernelCheck) {
    check.kernels = Some(kernels);
    conclude(check, check.verdict != Verdict::Unknown);
}

/// The first thing that is wrong: the nearest to its cause comes first.
fn first_wrong(check: &Check) -> Option<String> {
    let kernel = || {
        let kernels = check.kernels.as_ref().filter(|kernels| kernels.n_wrong > 0)?;
        let first = kernels.first_wrong.as_deref().unwrap_or("an unknown kernel");
        Some(format!("{} of {} kernel dispatches are wrong, the first: {first}", kernels.n_wrong, kernels.n_cases))
    };
    let stage = || check.first_wrong_stage.as_ref().map(|stage| format!("stage {}", describe(stage)));
    let tokens = || {
        let tokens = check.tokens.as_ref().filter(|tokens| !is_right(tokens, &check.rounded))?;
        Some(format!("the logits are not the CPU executor's: {}", describe_tokens(tokens)))
    };
    let flag = |flag: Option<bool>, wrong: &str| flag.is_some_and(|right| !right).then(|| wrong.to_owned());
    stage()
        .or_else(kernel)
        .or_else(tokens)
        .or_else(|| {
            flag(check.prefill_equals_decode, "a prompt computed together gives other logits than token by token")
        })
        .or_else(|| flag(check.twice_the_same, "the same text gives other logits the second time"))
}

fn what_is_right(check: &Check) -> String {
    let kernels = check.kernels.as_ref().map(|kernels| format!("{} kernel dispatches", kernels.n_cases));
    let n_stages = check.stages.len();
    let stages = match &check.sampled {
        Some(sampled) => Some(describe_sampled(sampled, n_stages)),
        None => (n_stages > 0).then(|| format!("{n_stages} stages")),
    };
    let tokens = check.tokens.as_ref().map(describe_tokens);
    let rounded =
        (!check.rounded.is_empty()).then(|| format!("activations are rounded in {}", check.rounded.join(", ")));
    let parts: Vec<String> = [kernels, stages, tokens, rounded].into_iter().flatten().collect();
    format!("as the CPU computes them: {}", parts.join("; "))
}

/// A stage in words: `attend of layer 3 from position 120 on is off by 0.5, allowed 0.0001`.
#[must_use]
pub fn describe(stage: &StageError) -> String {
    let layer = stage.layer.map_or_else(String::new, |layer| format!(" of layer {layer}"));
    let (from, budget) = (stage.position, stage.budget);
    let off = match stage.error {
        error if error >= NO_NUMBER => "gives what is no number".to_owned(),
        error => format!("is off by {error:.1e}, allowed {budget:.1e}"),
    };
    format!("{}{layer} from position {from} on {off}", stage.stage)
}

/// A check by samples in words: what was drawn, and what that can miss.
fn describe_sampled(sampled: &SampledCheck, n_stages: usize) -> String {
    let SampledCheck { n_results, n_dispatches, missed, .. } = sampled;
    let drawn = format!("{n_results} results of {n_dispatches} dispatches in {n_stages} stages, drawn at random");
    let missed = match sampled.fewest_rows {
        Some(_) => format!("; 1 % of wrong rows in one of them would be missed with {} probability", percent(*missed)),
        None => String::new(),
    };
    let idle = match sampled.idle.as_slice() {
        [] => String::new(),
        idle => format!("; nothing to compare in {}", idle.join(", ")),
    };
    format!("{drawn}{missed}{idle}")
}

fn describe_tokens(tokens: &TokenCheck) -> String {
    let TokenCheck { n_tokens, n_same, kl_max, worst_position, .. } = *tokens;
    let worst = divergence(kl_max);
    format!(
        "{n_same} of {n_tokens} tokens would be chosen alike (KL divergence at most {worst}, at position {worst_position})"
    )
}

/// A divergence in nats, for people.
#[must_use]
pub fn divergence(kl: f64) -> String {
    if kl >= NO_NUMBER / 1e9 { "no number".to_owned() } else { format!("{kl:.1e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(kl_max: f64) -> TokenCheck {
        TokenCheck { n_tokens: 48, n_same: 48, kl_mean: kl_max / 48.0, kl_p999: kl_max, kl_max, worst_position: 7 }
    }

    #[test]
    fn each_part_alone_makes_it_wrong() {
        let right = Check {
            tokens: Some(tokens(1e-9)),
            prefill_equals_decode: Some(true),
            twice_the_same: Some(true),
            ..Check::default()
        };
        let stage = StageError { stage: "q".into(), layer: Some(2), position: 5, error: 0.5, budget: 1e-4 };
        let kernels = KernelCheck { n_cases: 9, n_wrong: 1, first_wrong: Some("attend".into()) };
        let wrongs = [
            (Check { first_wrong_stage: Some(stage), ..right.clone() }, "stage q of layer 2 from position 5"),
            (
                Check { kernels: Some(kernels), ..right.clone() },
                "1 of 9 kernel dispatches are wrong, the first: attend",
            ),
            (Check { tokens: Some(tokens(1.0)), ..right.clone() }, "at position 7"),
            (Check { tokens: Some(tokens(NO_NUMBER)), ..right.clone() }, "no number"),
            (Check { prefill_equals_decode: Some(false), ..right.clone() }, "token by token"),
            (Check { twice_the_same: Some(false), ..right.clone() }, "second time"),
        ];
        for (mut wrong, words) in wrongs {
            conclude(&mut wrong, true);
            assert!(wrong.verdict == Verdict::Wrong && wrong.summary.contains(words), "{wrong:?}");
        }
        let mut check = right;
        conclude(&mut check, true);
        assert_eq!(check.verdict, Verdict::Right, "{check:?}");
        conclude(&mut check, false);
        assert_eq!(check.verdict, Verdict::Unknown);
        add_kernels(&mut check, KernelCheck { n_cases: 9, n_wrong: 1, first_wrong: None });
        assert_eq!(check.verdict, Verdict::Wrong, "what is wrong is wrong, however much is missing");
    }
}

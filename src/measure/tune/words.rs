//! What a search found, in words: the table and the notes below it, for the terminal and the page.

use crate::gpu::Config;
use crate::kernels;
use crate::measure::report::{Probes, TunedProblem, TuningFacts};

/// The columns of [`cells`].
pub const COLUMNS: [&str; 12] =
    ["stage", "count", "results", "format", "guess", "ms", "chosen", "ms", "gain", "GB/s", "of limit", "tried"];

/// The problems that were tried, those that take the most time first.
pub fn tried(facts: &TuningFacts) -> impl Iterator<Item = &TunedProblem> {
    facts.problems.iter().filter(|problem| problem.n_tried > 0)
}

/// A problem's cells under [`COLUMNS`]. A choice is told by what is other than guessed. Beside it stands the share of what the
/// probes say that the adapter reads, or multiplies, at best.
#[must_use]
pub fn cells(problem: &TunedProblem, probes: &Probes) -> [String; 12] {
    let is_same = problem.choice == problem.guess;
    let chosen = if is_same { "the same".to_owned() } else { problem.choice.beside(&problem.guess.config) };
    let step = if problem.n_tokens == 1 { String::new() } else { format!(" of {}", problem.n_tokens) };
    [
        format!("{}{step}", problem.stage),
        problem.n_stages.to_string(),
        problem.problem.n_results.to_string(),
        kernels::format_of_facts(&problem.problem.facts).map_or_else(String::new, |format| format.to_string()),
        problem.guess.variant.clone(),
        format!("{:.3}", problem.guess_ms),
        chosen,
        format!("{:.3}", problem.choice_ms),
        format!("{:.2}", problem.gain()),
        format!("{:.1}", problem.gb_per_s()),
        problem.share(probes).map_or_else(String::new, |share| format!("{:.0} %", 100.0 * share.share)),
        problem.n_tried.to_string(),
    ]
}

/// What there is to say beside the table: what rounds, what was left out or given up, and what whole steps gained.
#[must_use]
pub fn notes(facts: &TuningFacts) -> Vec<String> {
    let mut notes = Vec::new();
    if !facts.rounded.is_empty() {
        notes.push(format!("activations are rounded in {}", facts.rounded.join(", ")));
    }
    let (n, n_tried) = (facts.problems.len(), tried(facts).count());
    if n_tried < n {
        let n_untried = n - n_tried;
        notes.push(format!(
            "{n_untried} of {n} problems were not tried: too small, no time was left, or they could not be checked"
        ));
    }
    for step in &facts.gains {
        let name = step.name();
        notes.push(if facts.given_up.contains(&step.n_tokens) {
            format!("{name}: slower as a whole with what was chosen, so it is computed as guessed")
        } else {
            let (tuned, untuned, gain) = (step.tuned_ms, step.untuned_ms, step.gain());
            format!("{name}: {tuned:.2} ms, as guessed {untuned:.2} ms: {gain:.2} times as fast")
        });
    }
    if let Some(single) = &facts.single {
        let (config, gain, n) = (numbers_of(&single.config, facts), single.gain, single.n_problems);
        notes.push(format!("the best single config for all: {config}"));
        notes.push(format!("against it the choices are {gain:.2} times as fast (geometric mean of {n})"));
    }
    notes
}

/// A config by those of its numbers that are others than guessed.
fn numbers_of(config: &Config, facts: &TuningFacts) -> String {
    let guess = facts.problems.first().map(|problem| problem.guess.config).unwrap_or_default();
    let numbers = config.beside(&guess).join(", ");
    if numbers.is_empty() { "as guessed".to_owned() } else { numbers }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{Choice, Problem};
    use crate::measure::report::{SingleConfig, StepGain};

    #[test]
    fn a_choice_is_told_beside_the_guess_and_what_was_given_up_is_not_praised() {
        let problem =
            Problem { kernel: "linear".into(), facts: vec!["FORMAT=3".into()], n_results: 64, bytes: 9, ops: 10 };
        let guess = Choice { variant: "linear".into(), config: Config::default() };
        let choice = Choice { variant: "linear_fixed".into(), config: Config { rows: 2, ..Config::default() } };
        let tried = TunedProblem {
            n_tokens: 1,
            stage: "q".into(),
            n_stages: 3,
            problem,
            guess,
            choice,
            n_tried: 4,
            guess_ms: 3.0,
            choice_ms: 2.0,
        };
        let cells = cells(&tried, &Probes::default());
        assert_eq!(cells[..9], ["q", "3", "64", "Q8_0", "linear", "3.000", "linear_fixed, rows 2", "2.000", "1.50"]);
        let untried = TunedProblem { n_tried: 0, ..tried.clone() };
        let gain = |n_tokens| StepGain { n_tokens, untuned_ms: 3.0, tuned_ms: 2.0 };
        let facts = TuningFacts {
            gains: vec![gain(1), gain(16)],
            given_up: vec![16],
            problems: vec![tried, untried],
            single: Some(SingleConfig { config: Config { rows: 1, ..Config::default() }, n_problems: 2, gain: 1.25 }),
            ..TuningFacts::default()
        };
        let notes = notes(&facts);
        assert!(notes[0].starts_with("1 of 2 problems were not tried"), "{notes:?}");
        assert!(notes[1].ends_with("1.50 times as fast") && notes[2].contains("a prompt of 16: slower"), "{notes:?}");
        assert!(notes[3].ends_with("rows 1") && notes[4].contains("1.25 times"), "{notes:?}");
    }
}

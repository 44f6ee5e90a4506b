//! Choices as they are kept from run to run and passed from hand to hand: a small JSON, for one adapter with its driver and
//! for the kernels of one version. What does not suit is not used, and says why.

use super::shipped;
use crate::error::{Error, Result};
use crate::gpu::adapter::Identity;
use crate::gpu::{Choice, Problem, Tuning};
use crate::kernels;
use crate::measure::report::TuningFacts;
use crate::measure::report::read::{typed, value};
use serde::{Deserialize, Serialize};

/// The version of the layout.
const SCHEMA: u32 = 1;
/// The longest text that is read, in bytes, and the most choices.
const MAX_BYTES: usize = 4 << 20;
const MAX_CHOICES: usize = 20_000;

/// Choices for an adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptTuning {
    /// The version of this layout.
    pub tuning: u32,
    /// The version of the program that measured.
    pub program: String,
    /// The checksum of its kernels' texts: with others, others are the fastest.
    pub kernels: String,
    /// Where it was measured.
    pub adapter: Identity,
    /// What was chosen, the guess where nothing was faster.
    pub choices: Vec<KeptChoice>,
}

/// A choice, and how much faster than the guess it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptChoice {
    /// What it is for.
    pub problem: Problem,
    /// The variant and its config.
    pub choice: Choice,
    /// How many times as fast as the guess.
    pub gain: f64,
}

impl KeptTuning {
    /// For an adapter, with nothing chosen.
    #[must_use]
    pub fn new(adapter: &Identity) -> Self {
        Self {
            tuning: SCHEMA,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            kernels: kernels::checksum(),
            adapter: adapter.clone(),
            choices: Vec::new(),
        }
    }

    /// Reads what [`Self::text`] wrote.
    ///
    /// # Errors
    /// Text that is too long, no JSON, of another layout, or out of bounds.
    pub fn read(text: &str) -> Result<Self> {
        let fault = |found: String| Error::file("tuning", found).advice("Tune again: headstart tune");
        if text.len() > MAX_BYTES {
            return Err(fault(format!("{} bytes", text.len())).expected(format!("at most {MAX_BYTES}")));
        }
        let advised = |error: Error| error.advice("Tune again: headstart tune");
        let kept: Self = typed(value(text, "tuning").map_err(advised)?, "tuning").map_err(advised)?;
        if kept.tuning != SCHEMA {
            return Err(fault(format!("version {} of the layout", kept.tuning)).expected(format!("version {SCHEMA}")));
        }
        if kept.choices.len() > MAX_CHOICES {
            let expected = format!("at most {MAX_CHOICES}");
            return Err(fault(format!("{} choices", kept.choices.len())).expected(expected));
        }
        Ok(kept)
    }

    /// As JSON.
    ///
    /// # Errors
    /// When a number is none.
    pub fn text(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|error| Error::io("tuning", error))
    }

    /// Why it is not for this adapter and this program; `None`: it is.
    #[must_use]
    pub fn misfit(&self, adapter: &Identity) -> Option<String> {
        let (by, here) = (&self.adapter, adapter);
        if !self.is_of(adapter) {
            return Some(format!("it is for {} ({})", by.name, by.backend));
        }
        if by.driver != here.driver {
            return Some(format!("it is for driver {}, this is {}", by.driver, here.driver));
        }
        if self.kernels != kernels::checksum() {
            return Some(format!("it is for other kernels, those of version {}", self.program));
        }
        None
    }

    /// Whether it was measured on such an adapter, by whatever driver.
    #[must_use]
    pub fn is_of(&self, adapter: &Identity) -> bool {
        fn of(it: &Identity) -> (&str, &str, u32, u32) {
            (&it.name, &it.backend, it.vendor_id, it.device_id)
        }
        of(&self.adapter) == of(adapter)
    }

    /// Takes in what a search found, and what `tuning` took over from it for other steps, whose gain was not measured, in place of
    /// what it knew; what a search left untried where nothing was known. What is shipped need not be kept.
    pub fn learn(&mut self, facts: &TuningFacts, tuning: &Tuning) {
        let shipped = shipped::over(&self.adapter, Tuning::default());
        self.learn_over(&shipped, facts, tuning);
    }

    fn learn_over(&mut self, shipped: &Tuning, facts: &TuningFacts, tuning: &Tuning) {
        let (tried, untried): (Vec<_>, Vec<_>) = facts.problems.iter().partition(|found| found.n_tried > 0);
        for found in tried {
            self.choices.retain(|kept| kept.problem != found.problem);
            self.keep(&found.problem, &found.choice, found.gain());
        }
        let is_of_search = |problem: &Problem| facts.problems.iter().any(|found| found.problem == *problem);
        let is_shipped = |problem: &Problem, choice: &Choice| shipped.choices().get(problem) == Some(choice);
        for (problem, choice) in tuning.choices().iter().filter(|(problem, _)| !is_of_search(problem)) {
            if self.choices.iter().any(|kept| kept.problem == *problem && kept.choice == *choice) {
                continue;
            }
            self.choices.retain(|kept| kept.problem != *problem);
            if !is_shipped(problem, choice) {
                self.keep(problem, choice, 1.0);
            }
        }
        for found in untried.into_iter().filter(|found| !is_shipped(&found.problem, &found.choice)) {
            if !self.choices.iter().any(|kept| kept.problem == found.problem) {
                self.keep(&found.problem, &found.choice, 1.0);
            }
        }
    }

    fn keep(&mut self, problem: &Problem, choice: &Choice, gain: f64) {
        self.choices.push(KeptChoice { problem: problem.clone(), choice: choice.clone(), gain });
    }

    /// As choices of a session, over what is shipped for the adapter, over what is guessed.
    #[must_use]
    pub fn over(&self, guess: Tuning) -> Tuning {
        self.onto(shipped::over(&self.adapter, guess))
    }

    /// The choices over those of a tuning.
    pub(super) fn onto(&self, tuning: Tuning) -> Tuning {
        self.choices.iter().fold(tuning, |tuning, kept| tuning.with(kept.problem.clone(), kept.choice.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Config;
    use crate::measure::report::TunedProblem;

    fn identity() -> Identity {
        Identity { name: "a GPU".into(), driver: "7.1".into(), ..Identity::default() }
    }

    fn facts(variant: &str) -> TuningFacts {
        let choice = |variant: &str| Choice { variant: variant.into(), config: Config::default() };
        let problem =
            Problem { kernel: "linear".into(), facts: vec!["FORMAT=4".into()], n_results: 8, bytes: 9, ops: 10 };
        let problem = TunedProblem {
            n_tokens: 1,
            stage: "q".into(),
            n_stages: 3,
            problem,
            guess: choice("linear"),
            choice: choice(variant),
            n_tried: 4,
            guess_ms: 3.0,
            choice_ms: 2.0,
        };
        TuningFacts { problems: vec![problem], ..TuningFacts::default() }
    }

    #[test]
    fn what_is_written_is_read_and_what_was_known_is_replaced() {
        let mut kept = KeptTuning::new(&identity());
        kept.learn(&facts("linear"), &Tuning::default());
        kept.learn(&facts("linear_tiled"), &Tuning::default());
        let read = KeptTuning::read(&kept.text().expect("JSON")).expect("a tuning");
        assert_eq!(read, kept);
        assert_eq!((read.choices.len(), read.choices[0].gain), (1, 1.5));
        assert_eq!(read.misfit(&identity()), None);
        // What was taken over for another step goes with what it was taken from.
        let heir = Problem { n_results: 2, ..facts("x").problems[0].problem.clone() };
        let choice_of = |kept: &KeptTuning| kept.over(Tuning::default()).choices().get(&heir).cloned();
        for variant in ["linear", "linear_tiled"] {
            let choice = Choice { variant: variant.into(), config: Config::default() };
            let mut kept = kept.clone();
            kept.learn(&facts(variant), &Tuning::default().with(heir.clone(), choice.clone()));
            assert_eq!(choice_of(&kept), Some(choice));
        }
        // What a later search had no time for does not take its place.
        let mut late = facts("linear");
        late.problems[0].n_tried = 0;
        kept.learn(&late, &Tuning::default());
        assert_eq!(read, kept);
        let problem = &facts("x").problems[0].problem;
        assert_eq!(read.over(Tuning::default()).choices()[problem].variant, "linear_tiled");
    }

    #[test]
    fn what_is_shipped_is_not_kept_beside() {
        let mut facts = facts("linear_tiled");
        facts.problems[0].n_tried = 0;
        let (problem, choice) = (facts.problems[0].problem.clone(), facts.problems[0].choice.clone());
        let shipped = Tuning::default().with(problem.clone(), choice.clone());
        let mut kept = KeptTuning::new(&identity());
        // Whether a search that had no time for it lists it, or it came with the session.
        kept.learn_over(&shipped, &facts, &shipped);
        kept.learn_over(&shipped, &TuningFacts::default(), &shipped);
        assert!(kept.choices.is_empty(), "{kept:?}");
        kept.learn_over(&Tuning::default(), &facts, &shipped);
        assert_eq!(kept.choices.len(), 1);
        // One from before goes where the shipped one is in use.
        let older = Choice { variant: "linear".into(), ..choice };
        let mut kept = KeptTuning::new(&identity());
        kept.keep(&problem, &older, 1.1);
        kept.learn_over(&shipped, &TuningFacts::default(), &shipped);
        assert!(kept.choices.is_empty(), "{kept:?}");
    }

    #[test]
    fn another_adapter_driver_or_kernel_does_not_suit() {
        let kept = KeptTuning::new(&identity());
        let other = |change: fn(&mut Identity)| {
            let mut identity = identity();
            change(&mut identity);
            kept.misfit(&identity)
        };
        assert!(other(|identity| identity.driver = "7.2".into()).is_some_and(|why| why.contains("7.2")));
        assert!(other(|identity| identity.name = "another".into()).is_some());
        assert!(other(|identity| identity.device_id = 9).is_some());
        let stale = KeptTuning { kernels: "0".into(), ..kept };
        assert!(stale.misfit(&identity()).is_some_and(|why| why.contains("kernels")));
    }

    #[test]
    fn a_damaged_file_is_refused_in_words() {
        let text = KeptTuning::new(&identity()).text().expect("JSON");
        for damaged in ["", "{", "[]", "null", &text[..text.len() / 2], &text.replace("\"tuning\": 1", "\"tuning\": 2")]
        {
            assert!(KeptTuning::read(damaged).is_err(), "{damaged}");
        }
    }
}

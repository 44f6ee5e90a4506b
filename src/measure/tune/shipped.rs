//! Tunings that come with the program, as they were measured on real hardware: a GPU that others have tuned is fast at once. What
//! a search on the adapter itself found goes before them.

use super::KeptTuning;
use crate::gpu::adapter::Identity;
use crate::gpu::op::Precision;
use crate::gpu::{Choice, Tuning, Variant};
use crate::kernels;

/// What `headstart tune --export` wrote: the files of the folder `shipped`, each as `include_str!("shipped/NAME.json")`.
const FILES: &[&str] = &[];

/// What is shipped for an adapter, over what is guessed.
pub(super) fn over(adapter: &Identity, guess: Tuning) -> Tuning {
    over_of(FILES, adapter, guess)
}

fn over_of(files: &[&str], adapter: &Identity, guess: Tuning) -> Tuning {
    let read = files.iter().filter_map(|text| KeptTuning::read(text).ok());
    read.filter(|shipped| shipped.is_of(adapter)).fold(guess, |tuning, mut shipped| {
        // Another driver, one that is not told (as in browsers), or other kernels: what rounds was held against the reference there,
        // not here.
        if shipped.misfit(adapter).is_some() || adapter.driver.is_empty() {
            shipped.choices.retain(|kept| !rounds(&kept.choice));
        }
        shipped.onto(tuning)
    })
}

/// Whether a choice names a variant that rounds activations.
fn rounds(choice: &Choice) -> bool {
    let mut variants = kernels::ALL.iter().flat_map(|kernel| kernel.variants);
    variants.any(|of: &Variant| of.name == choice.variant && of.precision != Precision::Exact)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{Config, Problem};
    use crate::measure::tune::KeptChoice;
    use std::path::Path;

    fn gpu() -> Identity {
        Identity {
            name: "a GPU".into(),
            backend: "vulkan".into(),
            kind: "discrete".into(),
            driver: "7.1".into(),
            ..Identity::default()
        }
    }

    fn problem(n_results: u64) -> Problem {
        Problem { kernel: "linear".into(), facts: Vec::new(), n_results, bytes: 0, ops: 0 }
    }

    /// One choice that is exact, and one that rounds.
    fn shipped() -> KeptTuning {
        let choice = |n_results, variant: &str| KeptChoice {
            problem: problem(n_results),
            choice: Choice { variant: variant.into(), config: Config::default() },
            gain: 1.2,
        };
        KeptTuning { choices: vec![choice(1, "linear"), choice(2, "linear_fixed")], ..KeptTuning::new(&gpu()) }
    }

    fn known(shipped: &KeptTuning, adapter: &Identity) -> Vec<u64> {
        let text = shipped.text().expect("JSON");
        let tuning = over_of(&[&text], adapter, Tuning::default());
        tuning.choices().keys().map(|problem| problem.n_results).collect()
    }

    #[test]
    fn a_shipped_tuning_is_used_where_the_adapter_matches() {
        assert_eq!(known(&shipped(), &gpu()), [1, 2]);
        for other in [Identity { name: "another".into(), ..gpu() }, Identity { backend: "dx12".into(), ..gpu() }] {
            assert!(known(&shipped(), &other).is_empty(), "{other:?}");
        }
    }

    #[test]
    fn of_another_driver_or_other_kernels_only_what_is_exact_is_taken() {
        assert_eq!(known(&shipped(), &Identity { driver: "7.2".into(), ..gpu() }), [1]);
        assert_eq!(known(&KeptTuning { kernels: "0".into(), ..shipped() }, &gpu()), [1]);
        let untold = Identity { driver: String::new(), ..gpu() };
        assert_eq!(known(&KeptTuning { adapter: untold.clone(), ..shipped() }, &untold), [1]);
    }

    #[test]
    fn every_file_of_the_folder_is_listed_and_is_of_hardware() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/measure/tune/shipped");
        let there: Vec<String> = std::fs::read_dir(folder)
            .map(|files| files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect())
            .unwrap_or_default();
        assert!(there.len() == FILES.len() && there.iter().all(|text| FILES.contains(&text.as_str())));
        for text in FILES {
            let shipped = KeptTuning::read(text).expect("a tuning");
            assert!(!shipped.choices.is_empty() && shipped.adapter.kind != "software", "{:?}", shipped.adapter);
        }
    }
}

//! Multi-head latent attention in its two forms: a prompt's steps absorbed and plain are the same model, each is what a tuner's
//! choice says, and a text may be begun in one and gone on with in the other.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]
#![allow(clippy::neg_cmp_op_on_partial_ord, reason = "NaN must not pass")]

use crate::family::{expected, in_memory, options};
use crate::mla_models::{Form, config, gguf_bytes, gguf_keys, gguf_tensors};
use crate::support::{adapters, load, logits, places, places_in_turn, worst};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Session};
use headstart::gpu::{Choice, Config};
use headstart::kernels::cache::{CacheType, CacheTypes};
use headstart::measure::Progress;
use headstart::measure::report::Check;
use headstart::measure::tune::{Extent, tune_within};
use headstart::measure::verify::{self, compare_stages};
use pollster::block_on;
use std::ops::ControlFlow;
use std::time::Duration;

const BUDGET: f32 = 1e-3;
const FORMS: [&str; 2] = ["absorbed", "plain"];

fn files(family: &str, form: Form) -> ModelFiles {
    let config = config(family);
    in_memory(gguf_bytes(&gguf_keys(&config, form), &gguf_tensors(family, &config, form)))
}

/// A session that takes the largest steps of a prompt in a form.
fn session(files: &ModelFiles, choice: ExecutorChoice, options: &LoadOptions, form: &str) -> Session {
    let mut session = load(files, choice, options);
    let forms = session.forms(session.n_chunk()).unwrap();
    let choice = Choice { variant: form.to_owned(), config: Config::default() };
    let tuning = session.tuning().clone().with(forms.problem, choice);
    block_on(session.retune(tuning)).unwrap();
    session
}

#[test]
fn a_prompt_in_either_form_agrees_with_transformers() {
    // Of V3.2 only the first positions can be plain: those that the indexer would choose all of.
    let models = [("deepseek_v2_lite", 64), ("deepseek_v3", 64), ("deepseek_v32", 20)];
    for (turn, (family, n_chunk)) in models.into_iter().enumerate() {
        let expected = expected(family);
        for (of_file, turn) in [(Form::Split, turn), (Form::Whole, turn + 1)] {
            let files = files(family, of_file);
            for (place, choice) in places_in_turn(turn) {
                let options = LoadOptions { n_chunk: Some(n_chunk), ..options() };
                let both = FORMS.map(|form| {
                    let mut session = session(&files, choice.clone(), &options, form);
                    let all = [&[][..], &[n_chunk, 1, n_chunk]].map(|steps| {
                        let found = logits(&mut session, &expected.ids, steps);
                        let worst = worst(&expected.logits, &found);
                        assert!(worst <= BUDGET, "{family} {of_file:?} on {place}, {form}, {steps:?}: off by {worst}");
                        found
                    });
                    (all, session.work_of_prompt(0, n_chunk).ops)
                });
                let [(absorbed, more), (plain, fewer)] = both;
                assert!(fewer < more, "{family} on {place}: {fewer} operations plain, {more} absorbed");
                assert_ne!(absorbed, plain, "{family} on {place}: sums in another order");
            }
        }
    }
}

/// Values that are wider than keys, as no published model has them, have no room beside these.
#[test]
fn where_there_is_one_form_nothing_is_chosen() {
    let session = load(&files("deepseek_v2", Form::Split), ExecutorChoice::Cpu, &options());
    assert!(session.forms(session.n_chunk()).is_none());
}

/// Keys and values in f16, as a GPU has them, in blocks and not.
#[test]
fn keys_and_values_of_halves_are_near() {
    let expected = expected("deepseek_v3");
    let files = files("deepseek_v3", Form::Split);
    for (place, choice) in places() {
        for in_blocks in [false, true] {
            let cache = CacheTypes { in_blocks, ..CacheTypes::both(CacheType::F16) };
            let options = LoadOptions { cache, n_chunk: Some(64), ..options() };
            let mut session = session(&files, choice.clone(), &options, FORMS[1]);
            let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, &[]));
            assert!(worst > 1e-6 && worst < 0.05, "{place}, in blocks {in_blocks}: {worst}");
        }
    }
}

#[test]
fn every_stage_of_the_plain_form_is_checked() {
    let (place, choice) = places().swap_remove(1);
    for (of_file, cache) in [(Form::Split, CacheType::F32), (Form::Whole, CacheType::F16)] {
        let files = files("deepseek_v3", of_file);
        let check = |fault: Option<&str>| {
            let options = LoadOptions { cache: CacheTypes::both(cache), n_chunk: Some(20), ..options() };
            let of_session = LoadOptions { fault: fault.map(str::to_owned), ..options.clone() };
            let mut session = session(&files, choice.clone(), &of_session, FORMS[1]);
            let mut oracle = load(&files, ExecutorChoice::Cpu, &options);
            let ids = verify::built_in_ids(&oracle).unwrap();
            let mut check = Check::default();
            let mut go_on = |_: &Progress| ControlFlow::Continue(());
            block_on(compare_stages(&mut session, &mut oracle, &ids[..40], &mut check, &mut go_on)).unwrap();
            check.first_wrong_stage.map(|wrong| wrong.stage)
        };
        assert_eq!(check(None), None, "{of_file:?} on {place}");
        for stage in ["queries", "latent_rows", "make_keys", "make_values", "expand", "attend"] {
            assert_eq!(check(Some(stage)).as_deref(), Some(stage), "{of_file:?} on {place}");
        }
    }
}

#[test]
fn a_search_chooses_between_the_forms_and_the_choice_is_followed() {
    let expected = expected("deepseek_v3");
    let files = files("deepseek_v3", Form::Whole);
    for adapter in adapters() {
        let _turn = crate::support::turn(&adapter);
        let options = LoadOptions { n_chunk: Some(64), ..options() };
        let mut session = load(&files, ExecutorChoice::Gpu(adapter.clone()), &options);
        let problem = session.forms(64).unwrap().problem;
        // Without time for anything else, the forms are held against each other all the same.
        let watch = &mut |_: &Progress| ControlFlow::Continue(());
        let facts = block_on(tune_within(&mut session, Extent::Quick, Duration::ZERO, watch)).unwrap();
        let found = facts.problems.iter().find(|found| found.problem == problem).unwrap();
        assert_eq!((found.guess.variant.as_str(), found.n_tried), ("plain", 2), "fewer operations are guessed");
        assert!(FORMS.contains(&found.choice.variant.as_str()) && found.guess_ms > 0.0 && found.choice_ms > 0.0);
        let chosen = session.tuning().choices().get(&problem).map_or("plain", |choice| choice.variant.as_str());
        assert_eq!(found.choice.variant, chosen, "{}", adapter.identity.name);
        let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, &[]));
        assert!(worst <= BUDGET, "{}: off by {worst}", adapter.identity.name);
    }
}

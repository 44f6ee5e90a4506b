//! The order of measuring: steps follow each other as listed, what is known or impossible is left out, a failure stops nothing
//! but itself, and a wish to end is heard between steps.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use crate::support::memory;
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Session};
use headstart::error::{Error, Result};
use headstart::gpu::{Adapter, Tuning};
use headstart::measure::Report;
use headstart::measure::bench::{Lane, Plan, TestPlan};
use headstart::measure::order::{Against, At, Host, Step, Wanted, measure};
use headstart::measure::report::{ModelFacts, Platform, Settings, TuningFacts, Verdict};
use headstart::measure::standard::{Place, Setting};
use headstart::measure::tune::Extent;
use headstart::measure::verify;
use headstart::model::Synthetic;
use pollster::block_on;
use std::ops::ControlFlow;

/// A platform that has no adapter to give, and perhaps a model to hold numbers against.
struct Bare {
    oracle: Option<Session>,
}

impl Host for Bare {
    async fn place(&mut self, _lane: usize, _choice: &ExecutorChoice) -> Result<Place> {
        Err(Error::usage("place", "none to be given"))
    }

    async fn keep(&mut self, _adapter: &Adapter, _facts: &TuningFacts, _tuning: &Tuning) -> Result<()> {
        panic!("nothing is searched on the CPU")
    }

    async fn against(&mut self, _lane: usize, _session: &Session) -> Result<Against<'_>> {
        Ok(self.oracle.as_mut().map_or_else(|| Against::Nothing("no oracle".into()), Against::Whole))
    }

    fn cut(&self, _lane: usize, _session: &Session) -> Option<(&Synthetic, Option<u64>)> {
        None
    }

    fn setting(&self, _adapter: &Adapter) -> Setting {
        panic!("the standard test needs an adapter")
    }
}

fn session() -> Session {
    let options = LoadOptions { n_context: Some(64), n_chunk: Some(32), ..LoadOptions::default() };
    let files = ModelFiles::gguf(memory("golden/gguf/v4_random_f32.gguf"));
    block_on(Session::load(&files, ExecutorChoice::Cpu, &options, &mut |_| ())).unwrap()
}

fn lane() -> Lane {
    let session = session();
    let facts = ModelFacts::new(&session, "tiny", 1);
    let report = Report::of_session(Platform::default(), &session, facts, Settings::default());
    Lane::new(session, report)
}

fn all() -> Wanted {
    let test = TestPlan { n_gen: 2, ..TestPlan::default() };
    let plan = Plan { tests: vec![test], repeats: 1, warm_up: false, fill: true, profile: false };
    let (tune, check) = (Some(Extent::Full), Some(verify::Extent::Short));
    Wanted { probes: true, tune, plan: Some(plan), check, standard: true, ..Wanted::default() }
}

/// The steps that were heard of, each once, until one of them is `last`.
fn steps(lanes: &mut [Lane], host: &mut Bare, last: Option<Step>) -> (Vec<Step>, Vec<Step>) {
    steps_of(&all(), lanes, host, last)
}

fn steps_of(wanted: &Wanted, lanes: &mut [Lane], host: &mut Bare, last: Option<Step>) -> (Vec<Step>, Vec<Step>) {
    let mut heard = Vec::new();
    let mut hear = |at: &At<'_>| {
        if heard.last() != Some(&at.step) {
            heard.push(at.step);
        }
        if last == Some(at.step) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let failures = block_on(measure(lanes, wanted, host, &mut hear)).unwrap();
    (heard, failures.iter().map(|failure| failure.step).collect())
}

#[test]
fn steps_follow_each_other_and_a_failure_stops_only_itself() {
    let mut lanes = [lane(), lane()];
    let (heard, failed) = steps(&mut lanes, &mut Bare { oracle: None }, None);
    // The CPU has nothing to tune, and no standard test.
    assert_eq!(heard, [Step::Probe, Step::Bench, Step::Predict, Step::Check]);
    assert_eq!(failed, [Step::Probe, Step::Probe], "there was no place to probe");
    for lane in &lanes {
        assert_eq!(lane.report.tests.len(), 1);
        let check = lane.report.check.as_ref().unwrap();
        assert_eq!((check.verdict, check.summary.as_str()), (Verdict::Unknown, "no oracle"));
    }
    // What is there is not measured again.
    let mut lanes = lanes;
    lanes[0].report.check = None;
    let (heard, _) = steps(&mut lanes[..1], &mut Bare { oracle: Some(session()) }, None);
    assert_eq!(heard.last(), Some(&Step::Check));
    assert_eq!(lanes[0].report.check.as_ref().unwrap().verdict, Verdict::Right);
    let (heard, _) = steps(&mut lanes[..1], &mut Bare { oracle: None }, None);
    assert_eq!(heard, [Step::Probe, Step::Bench, Step::Predict], "it was checked");
}

#[test]
fn a_single_measurement_is_made_again_and_the_rest_stays() {
    let mut lanes = [lane()];
    let (_, _) = steps(&mut lanes, &mut Bare { oracle: None }, None);
    let n_tests = lanes[0].report.tests.len();
    // Kernels need an adapter, and are not heard of.
    let single = Wanted { check: Some(verify::Extent::Full), kernels: true, again: true, ..Wanted::default() };
    let (heard, failed) = steps_of(&single, &mut lanes, &mut Bare { oracle: Some(session()) }, None);
    assert_eq!((heard, failed), (vec![Step::Check], vec![]));
    let check = lanes[0].report.check.as_ref().unwrap();
    assert_eq!((check.verdict, lanes[0].report.tests.len()), (Verdict::Right, n_tests));
    assert!(check.stages.len() > 10 && check.kernels.is_none(), "a whole check: {} stages", check.stages.len());
    let once = Wanted { again: false, ..single };
    assert_eq!(steps_of(&once, &mut lanes, &mut Bare { oracle: None }, None).0, []);
}

#[test]
fn a_wish_to_end_is_heard_and_what_was_measured_stays() {
    let mut lanes = [lane()];
    let (heard, _) = steps(&mut lanes, &mut Bare { oracle: None }, Some(Step::Check));
    assert_eq!((heard.last(), lanes[0].report.tests.len()), (Some(&Step::Check), 1));
    assert!(lanes[0].report.check.is_none());
    let (heard, _) = steps(&mut lanes, &mut Bare { oracle: None }, Some(Step::Bench));
    assert_eq!(heard.last(), Some(&Step::Bench));
}

#[test]
fn one_bar_holds_for_all_steps_and_never_goes_back() {
    let lane = lane();
    let wanted = all();
    let mut shares = wanted.shares(&lane, false);
    let mut last = 0;
    let mut whole = |step, done, total| {
        let progress = headstart::measure::Progress { what: "it".into(), done, total };
        let at = shares.whole(&At { step, lane: "", progress: &progress });
        assert!(at.done >= last && at.done <= at.total, "{at:?} after {last}");
        last = at.done;
        f64::from(at.done) / f64::from(at.total)
    };
    assert_eq!(whole(Step::Probe, 0, 1), 0.0);
    assert!((whole(Step::Probe, 1, 1) - 0.3).abs() < 0.01, "3 of 10 seconds");
    whole(Step::Bench, 1, 2);
    whole(Step::Bench, 0, 2);
    assert!((whole(Step::Check, 0, 4) - 0.6).abs() < 0.01);
    assert!(whole(Step::Check, 4, 4) > 0.99);
}

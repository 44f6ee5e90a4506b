//! What a person comes to know of a run: one value, [`Report`], and the one way to show it, [`panel`].
//! Knows the engine; knows no platform, terminal or page.

use std::ops::ControlFlow;

pub mod adapter_facts;
pub mod bench;
pub mod chart;
pub mod compare;
pub mod figures;
pub mod headline;
pub mod model_hash;
pub mod order;
pub mod panel;
pub mod predict;
pub mod probe;
pub mod profile;
pub mod report;
pub mod rounded;
pub mod score;
pub mod settle;
pub mod spread;
pub mod stage_time;
pub mod standard;
pub mod tune;
pub mod verify;

pub use adapter_facts::AdapterFacts;
pub use report::Report;
pub use score::Score;
pub use spread::Spread;
pub use stage_time::StageTime;

/// How far a measurement has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being measured, in a few words.
    pub what: String,
    /// Steps done.
    pub done: u32,
    /// Steps in all.
    pub total: u32,
}

/// Hears how far a measurement has come, before each step, and says whether to go on. Where it breaks off, what was
/// measured until then is kept.
pub type Watch<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// Steps of a bar over several measurements.
const BAR_STEPS: f64 = 1000.0;

/// `watch`, for a measurement that takes a bar from one share of the whole to another.
pub fn within<'a>((from, to): (f64, f64), watch: &'a mut Watch<'_>) -> impl FnMut(&Progress) -> ControlFlow<()> + 'a {
    let mut furthest = 0.0_f64;
    move |progress| {
        let share = f64::from(progress.done) / f64::from(progress.total.max(1));
        // A part may count several times over; a bar that goes back says nothing.
        furthest = furthest.max(share.min(1.0));
        let done = ((from + (to - from) * furthest) * BAR_STEPS) as u32;
        watch(&Progress { what: progress.what.clone(), done, total: BAR_STEPS as u32 })
    }
}

//! What a person comes to know of a run: one value, [`Report`], and the one way to show it, [`panel`].
//! Knows the engine; knows no platform, terminal or page.

pub mod adapter_facts;
pub mod panel;
pub mod report;
pub mod score;
pub mod spread;
pub mod stage_time;

pub use adapter_facts::AdapterFacts;
pub use report::Report;
pub use score::Score;
pub use spread::Spread;
pub use stage_time::StageTime;

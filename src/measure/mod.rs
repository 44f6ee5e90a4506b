//! What a person comes to know of a run: one value, [`Report`], and the one way to show it, [`panel`].
//! Knows the engine; knows no platform, terminal or page.

pub mod panel;
pub mod report;
pub mod score;

pub use report::Report;
pub use score::Score;

//! A model on an executor: weights uploaded, steps recorded, tokens generated.
//! The only floor that knows both a model and the GPU; it knows no platform and no file system.
//! Four rooms, each of which names only those before it.

pub mod load;

pub mod arch;

pub mod run;

pub mod check;

pub use load::export::{Export, ExportTensor};
pub use load::files::{ModelFiles, OpenModel};
pub use load::options::{ExecutorChoice, LoadOptions, LoadProgress, LoadTimings, Memory};
pub use load::synthesis::Synthesis;
pub use run::conversation::{Answer, Conversation};
pub use run::generation::{Generation, Timings};
pub use run::prefill_budget::StepTime;
pub use run::sampling::Sampling;
pub use run::session::Session;

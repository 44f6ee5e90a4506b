//! The report of what was measured on one adapter: a versioned value that the terminal, the page, the files and the
//! comparison all render. It holds nothing of the person or the machine beyond what the adapter, the system and the
//! browser say of themselves: no paths, no prompt, no text.

mod check;
pub mod link;
mod placed;
mod prediction;
mod probe;
mod published;
pub mod read;
pub mod schema;
mod standard;
mod test;
mod text;
mod tuning;

pub use check::{Check, KernelCheck, NO_NUMBER, OtherCheck, SampledCheck, StageError, TokenCheck, Verdict};
pub use prediction::{Basis, MemoryPrediction, PartPrediction, Prediction, StepPrediction};
pub use probe::{Probe, ProbeKind, Probes};
pub use published::{PUBLISHED, Published, PublishedFigure};
pub use read::Entry;
pub use standard::StandardResult;
pub use test::{LayerTimes, Profile, Share, Test};
pub use text::{Decode, Prefill, SamplingSettings, TextTimes};
pub use tuning::{SingleConfig, StepGain, TunedProblem, TuningFacts, TuningSource};

use super::AdapterFacts;
use crate::engine::Session;
use crate::kernels::cache::{CacheType, CacheTypes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use web_time::Instant;

/// The version of the layout below: raised when a field goes or changes its meaning, not when one is added.
pub const SCHEMA: u32 = 2;

/// All that is known of an adapter and of a model on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The version of this layout.
    pub schema: u32,
    /// Version of this program.
    pub program: String,
    /// When it was measured: seconds since 1970, UTC.
    pub measured_at: u64,
    /// What ran the program.
    pub platform: Platform,
    /// Where it ran.
    pub adapter: AdapterFacts,
    /// What the adapter can do at best; empty if it was not asked.
    #[serde(default)]
    pub probes: Probes,
    /// What ran; absent if only the adapter was measured.
    pub model: Option<ModelFacts>,
    /// What else changes the figures.
    pub settings: Option<Settings>,
    /// What loading took.
    pub load: Option<Load>,
    /// How the kernels were chosen, and what that gained; absent where they were guessed.
    #[serde(default)]
    pub tuning: Option<TuningFacts>,
    /// Memory on the adapter, by purpose.
    pub memory: Option<MemoryBytes>,
    /// A text that was written, and its timings.
    pub text: Option<TextTimes>,
    /// Repeated tests of speed.
    #[serde(default)]
    pub tests: Vec<Test>,
    /// The time of each stage of a step.
    #[serde(default)]
    pub profiles: Vec<Profile>,
    /// What the whole model would do, where some layers of a synthetic one were measured.
    #[serde(default)]
    pub prediction: Option<Prediction>,
    /// What the adapter would do with the models of the standard test; empty where that was not run.
    #[serde(default)]
    pub standard: Vec<StandardResult>,
    /// Whether the numbers are right; absent if it was not checked.
    pub check: Option<Check>,
}

impl Report {
    /// Of an adapter, with nothing measured yet.
    #[must_use]
    pub fn of_adapter(platform: Platform, adapter: AdapterFacts) -> Self {
        let since_1970 = web_time::SystemTime::now().duration_since(web_time::UNIX_EPOCH).unwrap_or_default();
        Self {
            schema: SCHEMA,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            measured_at: since_1970.as_secs(),
            platform,
            adapter,
            probes: Probes::default(),
            model: None,
            settings: None,
            load: None,
            tuning: None,
            memory: None,
            text: None,
            tests: Vec::new(),
            profiles: Vec::new(),
            prediction: None,
            standard: Vec::new(),
            check: None,
        }
    }

    /// Of a session: its adapter, its model, what loading took, its memory.
    #[must_use]
    pub fn of_session(platform: Platform, session: &Session, model: ModelFacts, settings: Settings) -> Self {
        let (load, memory) = (session.load_timings(), session.memory());
        Self {
            model: Some(model),
            settings: Some(settings.with_cache_of(session)),
            load: Some(Load {
                directory_ms: load.directory_ms,
                upload_ms: load.upload_ms,
                compile_ms: load.compile_ms,
            }),
            memory: Some(MemoryBytes { weights: memory.weights, cache: memory.cache, scratch: memory.scratch }),
            ..Self::of_adapter(platform, AdapterFacts::of_session(session))
        }
    }
}

impl Report {
    /// The tuning whose gain is told: of the last standard model that was tuned, or of the report's own model.
    #[must_use]
    pub fn tuning(&self) -> Option<&TuningFacts> {
        let of_standard = self.standard.iter().rev().filter_map(|result| result.tuning.as_ref());
        of_standard.chain(&self.tuning).find(|tuning| !tuning.gains.is_empty()).or(self.tuning.as_ref())
    }

    /// The check of the standard test that matters most: one that is wrong, else one that was not ended, else any.
    #[must_use]
    pub fn standard_check(&self) -> Option<&Check> {
        let order = |check: &&Check| match check.verdict {
            Verdict::Wrong => 0,
            Verdict::Unknown => 1,
            Verdict::Right => 2,
        };
        if self.standard.iter().any(|result| result.check.is_none()) {
            return self.standard.iter().filter_map(|result| result.check.as_ref()).find(|check| order(check) == 0);
        }
        self.standard.iter().filter_map(|result| result.check.as_ref()).min_by_key(order)
    }
}

/// What ran the program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Platform {
    /// Whether it was the native program or the page.
    pub host: Host,
    /// The operating system with its version and the processor's architecture, as far as told: `Debian 12, x86_64`.
    pub os: String,
    /// The browser with its version; absent natively.
    pub browser: Option<String>,
    /// The smallest step of the host's clock that was seen, in microseconds.
    pub clock_us: f64,
}

/// Which of the two programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Host {
    /// The command line.
    #[default]
    Native,
    /// The page.
    Browser,
}

/// What a model is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelFacts {
    /// The name of its file, without folders.
    pub name: String,
    /// The bytes of its files.
    pub file_bytes: u64,
    /// SHA-256 of its files in their order, in hexadecimal digits; absent where it was not computed.
    pub sha256: Option<String>,
    /// Its parameters.
    pub n_params: u64,
    /// The format of most of its weights.
    pub format: String,
    /// Tokens that the session has room for.
    pub n_context: u32,
}

impl Platform {
    /// A platform as its host tells it; the clock is watched for its smallest step.
    #[must_use]
    pub fn new(host: Host, os: String, browser: Option<String>) -> Self {
        Self { host, os, browser, clock_us: clock_us() }
    }
}

/// The smallest step of the timer among a few, in microseconds: browsers round theirs on purpose.
fn clock_us() -> f64 {
    let step = || {
        let begin = Instant::now();
        loop {
            let passed = begin.elapsed();
            if !passed.is_zero() {
                return passed.as_secs_f64() * 1e6;
            }
        }
    };
    (0..16).map(|_| step()).fold(f64::MAX, f64::min)
}

/// What else changes the figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// Whether the driver's bounds checks stayed in the shaders.
    pub shader_checks: bool,
    /// How often each test was repeated, after its warm-up; 0 where nothing was.
    pub repeats: u32,
    /// Whether each test was run once before it counted.
    pub warm_up: bool,
    /// Whether keys were kept as f16, in models that give a choice.
    #[serde(default)]
    pub f16_keys: bool,
    /// Whether values were.
    #[serde(default)]
    pub f16_values: bool,
}

impl Settings {
    fn with_cache_of(self, session: &Session) -> Self {
        let CacheTypes { keys, values, .. } = session.cache_types();
        Self { f16_keys: keys == CacheType::F16, f16_values: values == CacheType::F16, ..self }
    }
}

/// What loading took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// Reading and checking the file's directory.
    pub directory_ms: f64,
    /// Reading, repacking and uploading the weights.
    pub upload_ms: f64,
    /// Compiling shaders and running each recording once, empty.
    pub compile_ms: f64,
}

/// Bytes on the adapter, by purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryBytes {
    /// Weights.
    pub weights: u64,
    /// What the model keeps of the text so far.
    pub cache: u64,
    /// Values of one step.
    pub scratch: u64,
}

impl ModelFacts {
    /// Of a session's model, by the name and the bytes of its files.
    #[must_use]
    pub fn new(session: &Session, name: &str, file_bytes: u64) -> Self {
        Self {
            name: name.to_owned(),
            file_bytes,
            sha256: None,
            n_params: session.outline().n_parameters,
            format: session.weight_format().to_string(),
            n_context: session.n_context(),
        }
    }
}

/// How many in a second, of `n` in so many milliseconds; 0 where no time was measured.
pub(in crate::measure) fn per_second(n: f64, ms: f64) -> f64 {
    if ms > 0.0 { n * 1000.0 / ms } else { 0.0 }
}

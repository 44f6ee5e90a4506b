//! What the window and the worker say to each other. Both ends are this same binary, so there is no version.
//! The enums are tagged from outside: JavaScript objects (files, typed arrays) then pass through unchanged.

use super::chatting::{Answered, Asking, Piece, Turn};
use super::download::words::{Ask, Told};
use crate::engine::load::recommended::Recommended;
use crate::host::arrival::Plan;
use crate::measure::Report;
use crate::measure::bench::TestPlan;
use crate::measure::standard::plan_of_loaded;
use js_sys::Float32Array;
use serde::{Deserialize, Serialize};
use serde_wasm_bindgen::preserve;

/// From the window to the worker. Requests are carried out in order, but for `Stop`, which takes effect at once.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Loads a model with room for so many tokens, or as many as usual; the one loaded before goes on working if that
    /// fails.
    Load { job: Job, model: ModelFile, executor: Executor, power: Power, n_context: Option<u32> },
    /// Continues a prompt; answered by `Token`s and one `Done`.
    Generate { job: Job, prompt: String, n_tokens: u32, sampling: Settings },
    /// Answers a turn of the conversation; answered by `Answering`s and one `Answered`.
    Chat { job: Job, asking: Asking },
    /// Forgets the turns of the conversation.
    Forget,
    /// Goes on with a conversation from elsewhere, as JSON; answered by `Recalled`.
    Recall { job: Job, json: String },
    /// Measures something; answered by `Measuring`s, perhaps `Partial`s, and one `Measured`.
    Measure { job: Job, what: Measurement },
    /// Ends the generation or the measurement under way after the step it is at; what was had until then counts.
    Stop,
    /// Has to do with models on the web; heard at once, as `Stop` is.
    Models(Ask),
    /// Logits of every position under teacher forcing; answered by `Evaluated`.
    Eval { job: Job, ids: Vec<u32> },
}

/// From the worker to the window.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// The worker listens. Requests sent before this may be lost.
    Up,
    /// There is no adapter to run on; the CPU executor still works.
    NoGpu { reason: NoGpu },
    /// What the adapter is and can do.
    Adapter(Box<AdapterCard>),
    /// How far a load has come.
    Progress(Progress),
    /// A model is loaded and answers.
    Loaded { job: Job, model: ModelCard, times: LoadTimes },
    /// One more piece of text; it is empty while a character is still incomplete.
    Token { text: String, n_tokens: u32, elapsed_ms: f64 },
    /// A generation ended. `text` is the whole continuation.
    Done {
        job: Job,
        text: String,
        ids: Vec<u32>,
        stopped: bool,
        #[serde(with = "as_json")]
        report: Box<Report>,
    },
    /// One more piece of an answer.
    Answering(Piece),
    /// An answer is over.
    Answered {
        job: Job,
        answered: Answered,
        #[serde(with = "as_json")]
        report: Box<Report>,
    },
    /// A conversation from elsewhere was taken in: what was said in it, what still waits for an answer, keys beside the
    /// messages that nothing reads, and whether the model is to think, if that was asked.
    Recalled { job: Job, said: Vec<Turn>, open: String, unread: Vec<String>, thinking: Option<bool> },
    /// How far a measurement has come.
    Measuring { what: String, done: u32, total: u32 },
    /// What a measurement has found so far.
    Partial(#[serde(with = "as_json")] Box<Report>),
    /// A measurement ended; `stopped` where it was broken off.
    Measured {
        job: Job,
        #[serde(with = "as_json")]
        report: Box<Report>,
        stopped: bool,
    },
    /// The likeliest id at each position, and natural-log probabilities [n_ids, n_vocab].
    Evaluated {
        job: Job,
        top: Vec<u32>,
        n_vocab: u32,
        #[serde(with = "preserve")]
        log_probs: Float32Array,
    },
    /// What has come of models on the web.
    Models(Told),
    /// What is kept of a conversation is of no use, and was dropped.
    NotRecalled { message: String },
    /// A request could not be carried out. What was loaded before still works.
    Failed { job: Job, message: String },
    /// The adapter or the worker is gone; only a new worker helps.
    Lost { message: String },
}

/// Ties an answer to its request.
pub(crate) type Job = u32;

/// Where a model's bytes come from.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ModelFile {
    /// The small model that is served with the page.
    Embedded,
    /// Files that the person picked or dropped, in any order: an array of `File`s.
    Files(#[serde(with = "preserve")] js_sys::Array),
    /// A model on the web, kept here already or still to be fetched.
    Web(Plan),
}

/// What can be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measurement {
    /// What the adapter can do at best.
    Probe,
    /// How fast the model is on it.
    Bench(BenchPlan),
    /// Whether its numbers are right: the model's, and every kernel's by itself.
    Verify,
    /// Which kernels are the fastest for the model; it runs on them from then on.
    Tune,
    /// All that a person wants to know of an adapter: its limits, a bench and a check of the model that is loaded, and
    /// the standard test.
    Test(BenchPlan, Standard),
}

/// How much of the standard test is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standard {
    /// Nothing.
    #[default]
    None,
    /// The smallest cuts, without a check: for tests of the page.
    Short,
    /// All of it.
    Full,
}

/// A bench in llama-bench's letters: every prompt length and every number of tokens to write, at every depth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BenchPlan {
    /// Lengths of prompts.
    pub(crate) p: Vec<u32>,
    /// Numbers of tokens to write.
    pub(crate) n: Vec<u32>,
    /// Tokens that stand before.
    pub(crate) d: Vec<u32>,
    /// Repetitions.
    pub(crate) r: u32,
}

impl BenchPlan {
    /// What *Test this GPU* runs of the model that is loaded, the same for everybody.
    pub(crate) fn of_test() -> Self {
        let plan = plan_of_loaded();
        let lengths = |of: fn(&TestPlan) -> u32| plan.tests.iter().map(of).filter(|n| *n > 0).collect();
        Self { p: lengths(|test| test.n_prompt), n: lengths(|test| test.n_gen), d: vec![0], r: plan.repeats }
    }
}

impl Default for BenchPlan {
    fn default() -> Self {
        Self { p: vec![512], n: vec![128], d: vec![0], r: 5 }
    }
}

/// Which of the two executors runs the recording.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Executor {
    Gpu,
    Cpu,
}

/// Which adapter the browser is asked for, where it has two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Power {
    #[default]
    HighPerformance,
    LowPower,
}

impl Power {
    /// The other one.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::HighPerformance => Self::LowPower,
            Self::LowPower => Self::HighPerformance,
        }
    }
}

/// Why a worker found no adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NoGpu {
    /// The page does not come from a secure context, and browsers then hide WebGPU.
    Insecure,
    /// The browser has no WebGPU, or has it switched off.
    NoApi,
    /// The window has WebGPU and a worker has not.
    NoApiInWorker,
    /// WebGPU is there and hands out no adapter: a blocklist, a missing driver, a flag.
    NoAdapter,
}

/// Sampling as the person set it; the names are those of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) temperature: f32,
    pub(crate) top_k: u32,
    pub(crate) top_p: f32,
    pub(crate) min_p: f32,
    pub(crate) repeat_penalty: f32,
    // Those that the page has no controls for, only scripts.
    pub(crate) typical_p: f32,
    pub(crate) top_n_sigma: f32,
    pub(crate) xtc_probability: f32,
    pub(crate) xtc_threshold: f32,
    pub(crate) presence_penalty: f32,
    pub(crate) frequency_penalty: f32,
    pub(crate) dry_multiplier: f32,
    pub(crate) seed: u32,
}

impl Settings {
    /// The usual ones, and those that a model's files name in their place.
    pub(crate) fn recommended(of: Recommended) -> Self {
        let usual = Self::default();
        Self {
            temperature: of.temperature.unwrap_or(usual.temperature),
            top_k: of.top_k.unwrap_or(usual.top_k),
            top_p: of.top_p.unwrap_or(usual.top_p),
            min_p: of.min_p.unwrap_or(usual.min_p),
            repeat_penalty: of.repeat_penalty.unwrap_or(usual.repeat_penalty),
            ..usual
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repeat_penalty: 1.0,
            typical_p: 1.0,
            top_n_sigma: 0.0,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            dry_multiplier: 0.0,
            seed: 0,
        }
    }
}

/// How far a load has come. Counts are f64 because JavaScript's are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) step: Step,
    pub(crate) done: f64,
    /// Unknown where the server does not say.
    pub(crate) total: Option<f64>,
}

/// The steps of a load, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// Bytes from the server.
    Download,
    /// Bytes from the file to the GPU.
    Upload,
    /// Kernels compiled.
    Compile,
}

/// What loading took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LoadTimes {
    /// Reading the directory, and the weights from the file to the GPU.
    pub(crate) load_ms: f64,
    /// Compiling shaders.
    pub(crate) compile_ms: f64,
}

/// The file of the model that comes with the page.
const EMBEDDED_NAME: &str = "headstart-v4-11m.gguf";

/// What a person wants to know about a loaded model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModelCard {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) bytes: f64,
    /// Facts in reading order: what, how much.
    pub(crate) facts: Vec<(String, String)>,
    /// Whether one can talk with it, and what speaks against that.
    pub(crate) talks: bool,
    pub(crate) doubt: Option<String>,
    /// How its makers would have tokens chosen.
    pub(crate) recommended: Recommended,
}

impl ModelCard {
    /// Whether it is the toy that comes with the page.
    pub(crate) fn is_embedded(&self) -> bool {
        self.file == EMBEDDED_NAME
    }
}

/// An adapter as the browser tells it, beside wgpu's view of the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct AdapterCard {
    /// The shortest name that tells it from others.
    pub(crate) name: String,
    /// What to expect of it, where that is out of the ordinary.
    pub(crate) remark: String,
    /// As which of the browser's two it was asked for.
    pub(crate) power: Power,
    /// The largest buffer that it binds, in bytes; 0 where it is the CPU that computes.
    pub(crate) binding_bytes: f64,
    /// Whether its subgroups are used: the browser has them, and they were found right.
    pub(crate) subgroups: bool,
    /// Whether its memory is the computer's.
    pub(crate) takes_host_memory: bool,
    /// The name of the other one, where the browser has another.
    pub(crate) other: Option<String>,
    /// Identity and features.
    pub(crate) identity: Vec<Row>,
    /// Limits that matter for a language model.
    pub(crate) limits: Vec<Row>,
}

impl AdapterCard {
    /// Whether the CPU stands in its place.
    pub(crate) fn is_cpu(&self) -> bool {
        self.binding_bytes == 0.0
    }
}

/// One fact about an adapter in the browser's words and in wgpu's; empty where one of them is silent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) browser: String,
    pub(crate) wgpu: String,
}

/// Reports cross as JSON text: they are read and written as that anyway, and a second way would make the page larger.
mod as_json {
    use crate::measure::Report;
    use crate::measure::report::read::read_own;
    use serde::Deserialize;
    use serde::de::{Deserializer, Error as _};
    use serde::ser::{Error as _, Serializer};

    pub(super) fn serialize<S: Serializer>(report: &Report, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&serde_json::to_string(report).map_err(S::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Box<Report>, D::Error> {
        read_own(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

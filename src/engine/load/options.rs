//! How and where a model is loaded, how far that is, and what it took.

use crate::gpu::ShaderChecks;
use crate::gpu::{Adapter, Tuning};
use crate::kernels::cache::CacheTypes;

/// Where a model runs.
#[derive(Clone, Debug)]
pub enum ExecutorChoice {
    /// On an adapter.
    Gpu(Adapter),
    /// By the scalar references, on the CPU.
    Cpu,
}

impl ExecutorChoice {
    /// Whether it is a GPU, and no program on the CPU.
    #[must_use]
    pub fn is_gpu(&self) -> bool {
        matches!(self, Self::Gpu(adapter) if !adapter.caps.is_software)
    }
}

/// How a model is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Positions to make room for. When `None`: the model's own context or `n_usual`, whichever is smaller, or what fits.
    pub n_context: Option<u32>,
    /// Positions at most, where nobody says how many.
    pub n_usual: u32,
    /// Whether the driver's bounds checks stay in the shaders.
    pub shader_checks: ShaderChecks,
    /// Other choices than the adapter's own.
    pub tuning: Option<Tuning>,
    /// Tokens in one step at most. When `None`: 512 on a GPU, and 256 on a CPU, which is as fast there in less memory.
    pub n_chunk: Option<u32>,
    /// How keys and values are kept, the latents of multi-head latent attention like keys; V4 keeps f32.
    /// [`CacheTypes::usual`] suits where it runs; the default is f32 everywhere.
    pub cache: CacheTypes,
    /// A smaller limit for shards than the adapter's own.
    pub shard_bytes: Option<u64>,
    /// Stages of this name are broken on purpose, see [`crate::engine::run::fault`]; on an adapter only, the CPU executor stays whole.
    pub fault: Option<String>,
    /// Bytes that all buffers may take together, where that is known: no adapter tells, but what computes on the CPU
    /// takes the host's memory, and a program that takes more than there is gets killed without a message.
    pub most_bytes: Option<u64>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            n_context: None,
            n_usual: 4096,
            shader_checks: ShaderChecks::Off,
            tuning: None,
            n_chunk: None,
            cache: CacheTypes::default(),
            shard_bytes: None,
            fault: None,
            most_bytes: None,
        }
    }
}

/// What a person may choose about a model's memory.
#[derive(Clone, Copy, Debug)]
pub struct Choices {
    /// Positions to make room for.
    pub n_context: u32,
    /// Tokens in one step at most; fewer where bindings are small.
    pub n_chunk: u32,
    /// How keys and values are kept.
    pub cache: CacheTypes,
}

/// How far loading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadProgress {
    /// Reading the directory.
    Directory,
    /// The plan has room: buffers will take so much.
    Planned {
        /// Positions that fit.
        n_context: u32,
        /// The buffers, by purpose.
        memory: Memory,
    },
    /// Uploading weights, in bytes.
    Upload {
        /// Bytes written so far.
        done: u64,
        /// Bytes to write, about.
        total: u64,
    },
    /// Compiling shaders, in recordings.
    Compile {
        /// Recordings ready.
        done: u32,
        /// Recordings to make ready.
        total: u32,
    },
}

/// What loading took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadTimings {
    /// Reading and checking the directory.
    pub directory_ms: f64,
    /// Reading, repacking and uploading weights.
    pub upload_ms: f64,
    /// Compiling shaders and running each recording once, empty.
    pub compile_ms: f64,
}

/// Memory on the executor by purpose, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Weights and constant tables.
    pub weights: u64,
    /// State that outlives a step.
    pub cache: u64,
    /// Values of one step.
    pub scratch: u64,
}

impl Memory {
    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.weights + self.cache + self.scratch
    }
}

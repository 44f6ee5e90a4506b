//! What a report says of an adapter: who it is, what it offers, what of that is used, and the limits that decide what
//! fits.

use crate::engine::{ExecutorChoice, Session};
use crate::gpu::adapter::Identity;
use crate::gpu::{Adapter, Caps, Reduce, Tuning};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who an adapter is and what it offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdapterFacts {
    /// Name, backend, kind, driver, PCI numbers.
    #[serde(flatten)]
    pub identity: Identity,
    /// What it offers beyond the baseline, of what this program may use: WebGPU's names.
    pub features: Vec<String>,
    /// What of that this program uses on it.
    pub features_used: Vec<String>,
    /// Which variant of the kernels it runs.
    pub variant: String,
    /// The smallest and largest subgroup, in invocations; zeros where it has none.
    pub subgroup_sizes: (u32, u32),
    /// The limits that matter.
    pub limits: Limits,
    /// How the kernels are set for it.
    pub kernels: KernelSettings,
}

/// How kernels are set where no stage has a choice of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KernelSettings {
    /// How the invocations that share one result add up.
    pub reduce: Reduce,
    /// Invocations per workgroup where each works alone.
    pub threads: u32,
    /// Invocations that share a row of weights.
    pub row_lanes: u32,
    /// Invocations that share a whole vector (norms, top-k, sampling).
    pub vector_lanes: u32,
    /// Weight rows that one set of lanes takes together.
    pub rows: u32,
    /// The least size of the adapter's subgroups, 1 where none is used.
    pub subgroup: u32,
    /// Whether `enable subgroups;` is written, as browsers want it.
    pub subgroups_directive: bool,
    /// Whether shaders may use 16-bit floats.
    #[serde(default)]
    pub f16: bool,
    /// Whether shaders may use dot products of four packed 8-bit integers.
    #[serde(default)]
    pub packed_dot: bool,
}

impl Default for KernelSettings {
    /// Those that run everywhere.
    fn default() -> Self {
        Self::of(&Caps::default(), &Tuning::default())
    }
}

impl KernelSettings {
    /// Of what an adapter can do and what is chosen for it.
    #[must_use]
    pub fn of(caps: &Caps, tuning: &Tuning) -> Self {
        let config = tuning.config;
        Self {
            reduce: config.reduce,
            threads: config.threads,
            row_lanes: config.weight_lanes,
            vector_lanes: config.vector_lanes,
            rows: config.rows,
            subgroup: caps.subgroup.max(1),
            subgroups_directive: caps.subgroups_directive && config.reduce == Reduce::Subgroup,
            f16: caps.f16,
            packed_dot: caps.packed_dot,
        }
    }
}

/// The limits of an adapter that decide what fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// Largest buffer, in bytes.
    pub buffer_bytes: u64,
    /// Largest part of a buffer that a shader can see at once, in bytes.
    pub binding_bytes: u64,
    /// Storage buffers that a shader can see at once.
    pub storage_buffers: u32,
    /// Invocations in a workgroup.
    pub workgroup_invocations: u32,
    /// Memory that a workgroup shares, in bytes.
    pub workgroup_bytes: u32,
    /// Workgroups in one direction of a dispatch.
    pub workgroups: u32,
}

impl AdapterFacts {
    /// Where a session runs.
    #[must_use]
    pub fn of_session(session: &Session) -> Self {
        match session.choice() {
            ExecutorChoice::Gpu(adapter) => Self::of(adapter, session.tuning()),
            ExecutorChoice::Cpu => Self::of_cpu(),
        }
    }

    /// What an adapter tells, and how the kernels are set on it.
    #[must_use]
    pub fn of(adapter: &Adapter, tuning: &Tuning) -> Self {
        let kernels = KernelSettings::of(&adapter.caps, tuning);
        let (features, limits) = (adapter.features(), adapter.limits());
        let has_subgroups = kernels.reduce == Reduce::Subgroup;
        let names = [
            (wgpu::Features::TIMESTAMP_QUERY, "timestamp-query", true),
            (wgpu::Features::SUBGROUP, "subgroups", has_subgroups),
            (wgpu::Features::SHADER_F16, "shader-f16", false),
        ];
        let offered = names.iter().filter(|(feature, ..)| features.contains(*feature));
        Self {
            identity: adapter.identity.clone(),
            features: offered.clone().map(|(_, name, _)| (*name).to_owned()).collect(),
            features_used: offered.filter(|(.., used)| *used).map(|(_, name, _)| (*name).to_owned()).collect(),
            variant: variant(&kernels, adapter.caps.subgroup_varies),
            subgroup_sizes: adapter.subgroup_sizes(),
            limits: Limits {
                buffer_bytes: limits.max_buffer_size,
                binding_bytes: limits.max_storage_buffer_binding_size,
                storage_buffers: limits.max_storage_buffers_per_shader_stage,
                workgroup_invocations: limits.max_compute_invocations_per_workgroup,
                workgroup_bytes: limits.max_compute_workgroup_storage_size,
                workgroups: limits.max_compute_workgroups_per_dimension,
            },
            kernels,
        }
    }

    /// The CPU executor, which runs each kernel's scalar reference.
    #[must_use]
    pub fn of_cpu() -> Self {
        let identity = Identity {
            name: "CPU".to_owned(),
            backend: "cpu".to_owned(),
            kind: "software".to_owned(),
            driver: "none: plain Rust, the reference of every kernel".to_owned(),
            ..Identity::default()
        };
        Self { identity, variant: "reference".to_owned(), ..Self::unknown() }
    }

    /// Of an adapter of which nothing is told.
    #[must_use]
    pub(in crate::measure) fn unknown() -> Self {
        Self {
            identity: Identity::default(),
            features: Vec::new(),
            features_used: Vec::new(),
            variant: String::new(),
            subgroup_sizes: (0, 0),
            limits: Limits::default(),
            kernels: KernelSettings::default(),
        }
    }
}

/// How the kernels add up, in words; whether subgroups may have more lanes than are told.
fn variant(kernels: &KernelSettings, varies: bool) -> String {
    match kernels.reduce {
        Reduce::Thread => format!("no barriers, workgroups of {}", kernels.threads),
        Reduce::Workgroup => {
            format!("workgroup memory, {} lanes a row, {} a vector", kernels.row_lanes, kernels.vector_lanes)
        }
        Reduce::Subgroup => {
            format!(
                "subgroups of {}{}, {} lanes a row, {} a vector",
                kernels.subgroup,
                if varies { " and more" } else { "" },
                kernels.row_lanes,
                kernels.vector_lanes
            )
        }
    }
}

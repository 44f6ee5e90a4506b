//! What a report says of an adapter: who it is, what it offers, what of that is used, and the limits that decide what
//! fits.

use crate::engine::{PlayerChoice, Session};
use crate::gpu::adapter::Identity;
use crate::gpu::{Adapter, Knobs, Team};
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
    pub knobs: Knobs,
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
            PlayerChoice::Gpu(adapter) => Self::of(adapter, *session.knobs()),
            PlayerChoice::Cpu => Self::of_cpu(),
        }
    }

    /// What an adapter tells, and how the kernels are set on it.
    #[must_use]
    pub fn of(adapter: &Adapter, knobs: Knobs) -> Self {
        let (features, limits) = (adapter.features(), adapter.limits());
        let has_subgroups = knobs.team == Team::Subgroup;
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
            variant: variant(&knobs),
            subgroup_sizes: adapter.subgroup_sizes(),
            limits: Limits {
                buffer_bytes: limits.max_buffer_size,
                binding_bytes: limits.max_storage_buffer_binding_size,
                storage_buffers: limits.max_storage_buffers_per_shader_stage,
                workgroup_invocations: limits.max_compute_invocations_per_workgroup,
                workgroup_bytes: limits.max_compute_workgroup_storage_size,
                workgroups: limits.max_compute_workgroups_per_dimension,
            },
            knobs,
        }
    }

    /// The CPU player, which runs each kernel's scalar reference.
    #[must_use]
    pub fn of_cpu() -> Self {
        let identity = Identity {
            name: "CPU".to_owned(),
            backend: "cpu".to_owned(),
            kind: "software".to_owned(),
            driver: "none: plain Rust, the reference of every kernel".to_owned(),
            ..Identity::default()
        };
        Self {
            identity,
            features: Vec::new(),
            features_used: Vec::new(),
            variant: "reference".to_owned(),
            subgroup_sizes: (0, 0),
            limits: Limits::default(),
            knobs: Knobs::default(),
        }
    }
}

/// How the kernels add up, in words.
fn variant(knobs: &Knobs) -> String {
    match knobs.team {
        Team::Single => format!("no barriers, workgroups of {}", knobs.single_workgroup),
        Team::Shared => format!("workgroup memory, teams of {} and {}", knobs.row_lanes, knobs.vector_lanes),
        Team::Subgroup => {
            format!("subgroups of {}, teams of {} and {}", knobs.subgroup, knobs.row_lanes, knobs.vector_lanes)
        }
    }
}

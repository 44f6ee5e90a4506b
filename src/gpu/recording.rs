//! A step of the model as plain data: buffers by name, and stages, each a dispatch of a kernel over slices of them.
//! Recorded once per kind of step, played for every token; nothing here touches a device.

use serde::{Deserialize, Serialize};

use super::kernel::{Kernel, Spec};

/// What a buffer is for, so that memory can be reported by purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Weights: written once, at load.
    Weights,
    /// State that outlives a step: windows, compressed entries, projections.
    Cache,
    /// Values of one step.
    Scratch,
}

/// A buffer to be, in bytes.
#[derive(Clone, Debug)]
pub struct BufferPlan {
    /// Name, in the vocabulary of the stages.
    pub label: String,
    /// Size, a multiple of 4.
    pub bytes: u64,
    /// What it is for.
    pub purpose: Purpose,
}

/// A buffer of an [`Arena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferId(pub u32);

/// All buffers of a session, planned before anything is allocated.
#[derive(Clone, Debug, Default)]
pub struct Arena {
    /// The buffers; a [`BufferId`] is an index.
    pub buffers: Vec<BufferPlan>,
}

impl Arena {
    /// Plans a buffer. It begins as zeros on every player.
    pub fn add(&mut self, label: impl Into<String>, bytes: u64, purpose: Purpose) -> BufferId {
        let bytes = bytes.next_multiple_of(16).max(16);
        self.buffers.push(BufferPlan { label: label.into(), bytes, purpose });
        BufferId(self.buffers.len() as u32 - 1)
    }

    /// Plans a buffer of `n` 4-byte words, and a block of 32 more, because a row that is no whole number of blocks is
    /// read to the end of its last block (the weights there are zero).
    pub fn words(&mut self, label: impl Into<String>, n: u64, purpose: Purpose) -> Slice {
        let id = self.add(label, (n + 32) * 4, purpose);
        self.whole(id)
    }

    /// The whole of a buffer.
    pub fn whole(&self, buffer: BufferId) -> Slice {
        Slice { buffer, offset: 0, bytes: self.buffers[buffer.0 as usize].bytes }
    }

    /// Bytes planned for a purpose.
    pub fn bytes(&self, purpose: Purpose) -> u64 {
        self.buffers.iter().filter(|b| b.purpose == purpose).map(|b| b.bytes).sum()
    }
}

/// A range of a buffer, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The buffer.
    pub buffer: BufferId,
    /// First byte; bound slices start at multiples of 256.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
}

/// How the invocations that share one result add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Team {
    /// One invocation is the team: no barrier, no subgroup. The baseline, and the fast one on software adapters.
    Single,
    /// A workgroup is the team and adds up in workgroup memory, with barriers.
    Shared,
    /// A workgroup is the team and adds up by subgroups first.
    Subgroup,
}

/// What an adapter rewards. Chosen at run time; every combination gives the same results to rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Knobs {
    /// How teams add up.
    pub team: Team,
    /// Invocations per workgroup where each is its own team.
    pub single_workgroup: u32,
    /// Lanes of a team that works along a row of weights.
    pub row_lanes: u32,
    /// Lanes of a team that works on a whole vector (norms, top-k, sampling).
    pub vector_lanes: u32,
    /// Weight rows that one matrix-vector team takes together.
    pub rows: u32,
    /// The adapter's smallest subgroup.
    pub subgroup: u32,
    /// Whether `enable subgroups;` must be written (browsers) or must not (naga).
    pub subgroups_directive: bool,
}

impl Default for Knobs {
    /// The baseline: runs everywhere.
    fn default() -> Self {
        Self {
            team: Team::Single,
            single_workgroup: 16,
            row_lanes: 32,
            vector_lanes: 128,
            rows: 4,
            subgroup: 1,
            subgroups_directive: false,
        }
    }
}

const TEAM_SINGLE: &str = include_str!("../../shaders/lib/team_single.wgsl");
const TEAM_SHARED: &str = include_str!("../../shaders/lib/team_shared.wgsl");
const TEAM_SUBGROUP: &str = include_str!("../../shaders/lib/team_subgroup.wgsl");

impl Knobs {
    /// The variant for teams of `lanes` lanes, and how many teams stand in a workgroup.
    pub fn team_spec(&self, lanes: u32) -> (Spec, u32) {
        let (text, team, workgroup) = match self.team {
            Team::Single => (TEAM_SINGLE, 1, self.single_workgroup),
            Team::Shared => (TEAM_SHARED, lanes, lanes),
            Team::Subgroup => (TEAM_SUBGROUP, lanes, lanes),
        };
        let spec = Spec::default().constant("TEAM", team).constant("WORKGROUP", workgroup);
        let spec = spec.constant("SUBGROUP", self.subgroup).part(text);
        (spec, workgroup / team)
    }

    /// The variant for invocations that need no team, and how many stand in a workgroup.
    pub fn thread_spec(&self) -> (Spec, u32) {
        let workgroup = if self.team == Team::Single { self.single_workgroup } else { 64 };
        (Spec::default().constant("WORKGROUP", workgroup), workgroup)
    }
}

/// One dispatch.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Name in the papers' words: `attend`, `hyper_mix`, …
    pub name: &'static str,
    /// The layer it belongs to, if any.
    pub layer: Option<u32>,
    /// The kernel.
    pub kernel: &'static Kernel,
    /// The variant of its text.
    pub spec: Spec,
    /// Bytes of its `Params`.
    pub params: Vec<u8>,
    /// Slices for bindings 1, 2, ….
    pub bindings: Vec<Slice>,
    /// Workgroups to dispatch; laid out over x and y by the player.
    pub n_workgroups: u32,
    /// Bytes that must move at the recorded capacity.
    pub bytes: u64,
    /// Multiplications and additions at the recorded capacity.
    pub ops: u64,
}

/// A kind of step: its stages in order.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The stages.
    pub stages: Vec<Stage>,
    /// What the adapter rewards.
    pub knobs: Knobs,
    /// Layer that the stages now being pushed belong to.
    pub layer: Option<u32>,
}

impl Recording {
    /// An empty recording for an adapter's knobs.
    pub fn new(knobs: Knobs) -> Self {
        Self { stages: Vec::new(), knobs, layer: None }
    }

    /// Appends a dispatch of `n_teams` teams of `lanes` lanes.
    #[allow(clippy::too_many_arguments, reason = "a dispatch has that many parts")]
    pub fn push_teams<P: bytemuck::Pod>(
        &mut self,
        name: &'static str,
        kernel: &'static Kernel,
        lanes: u32,
        n_teams: u64,
        params: &P,
        bindings: &[Slice],
        cost: Cost,
    ) {
        let (spec, teams_per_workgroup) = self.knobs.team_spec(lanes);
        self.push(name, kernel, spec, n_teams.div_ceil(u64::from(teams_per_workgroup)), params, bindings, cost);
    }

    /// Appends a dispatch of `n_threads` invocations that need no team.
    pub fn push_threads<P: bytemuck::Pod>(
        &mut self,
        name: &'static str,
        kernel: &'static Kernel,
        n_threads: u64,
        params: &P,
        bindings: &[Slice],
        cost: Cost,
    ) {
        let (spec, workgroup) = self.knobs.thread_spec();
        self.push(name, kernel, spec, n_threads.div_ceil(u64::from(workgroup)), params, bindings, cost);
    }

    /// Appends a dispatch of a given variant.
    ///
    /// # Panics
    /// When the bindings are not as many as the kernel declares, or the grid is too large: mistakes in this program.
    #[allow(clippy::too_many_arguments, reason = "a dispatch has that many parts")]
    pub fn push<P: bytemuck::Pod>(
        &mut self,
        name: &'static str,
        kernel: &'static Kernel,
        spec: Spec,
        n_workgroups: u64,
        params: &P,
        bindings: &[Slice],
        cost: Cost,
    ) {
        assert_eq!(bindings.len(), kernel.bindings.len(), "{name}: bindings of {}", kernel.name);
        let n_workgroups = u32::try_from(n_workgroups.max(1)).expect("a grid of less than 2^32 workgroups");
        self.stages.push(Stage {
            name,
            layer: self.layer,
            kernel,
            spec,
            params: bytemuck::bytes_of(params).to_vec(),
            bindings: bindings.to_vec(),
            n_workgroups,
            bytes: cost.bytes,
            ops: cost.ops,
        });
    }
}

/// What a dispatch must move and do, at the recorded capacity.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Bytes read and written, each once.
    pub bytes: u64,
    /// Multiplications and additions.
    pub ops: u64,
}

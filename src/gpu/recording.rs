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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
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
    /// Whether shaders may use 16-bit floats.
    #[serde(default)]
    pub f16: bool,
    /// Whether shaders may use dot products of four packed 8-bit integers.
    #[serde(default)]
    pub packed_dot: bool,
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
            f16: false,
            packed_dot: false,
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
    /// What it must move and do at the recorded capacity, whatever the length of the text.
    pub cost: Cost,
    /// What comes on top of that for the keys that its tokens see.
    pub keys: Option<KeyCost>,
}

impl Stage {
    /// What the stage must move and do when its first token is at `position`, at the recorded capacity.
    pub fn work(&self, position: u32) -> Cost {
        let keys = self.keys.map(|keys| keys.at(position)).unwrap_or_default();
        Cost { bytes: self.cost.bytes + keys.bytes, ops: self.cost.ops + keys.ops }
    }
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
            cost,
            keys: None,
        });
    }

    /// Says that the last stage's cost also grows with the keys that its tokens see.
    pub fn see_keys(&mut self, keys: KeyCost) {
        if let Some(stage) = self.stages.last_mut() {
            stage.keys = Some(keys);
        }
    }
}

/// What a dispatch must move and do, at the recorded capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes read and written, each once.
    pub bytes: u64,
    /// Multiplications and additions.
    pub ops: u64,
}

/// What the keys that tokens see cost a dispatch: each distinct key is read once, each pair of a token and a key that it
/// sees (a score) is computed once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyCost {
    /// Tokens of the recording.
    pub n_tokens: u32,
    /// Recent tokens that are seen one by one, the token itself included.
    pub window: u32,
    /// Tokens of a compressed entry; 0 where there are none.
    pub ratio: u32,
    /// Most entries that a token sees; 0: all.
    pub top_k: u32,
    /// Bytes of a key.
    pub key_bytes: u64,
    /// Bytes read and written for a score.
    pub score_bytes: u64,
    /// Multiplications and additions for a score.
    pub score_ops: u64,
}

impl KeyCost {
    /// The cost of a step whose first token is at `position`.
    pub fn at(&self, position: u32) -> Cost {
        let last = u64::from(position) + u64::from(self.n_tokens.max(1));
        let n_scores: u64 = (u64::from(position) + 1..=last).map(|seen| self.seen(seen)).sum();
        let entries = self.entries(last);
        // Tokens that see a part of the entries choose differently, in the worst case.
        let distinct = last.checked_div(u64::from(self.ratio)).unwrap_or(0).min(entries * u64::from(self.n_tokens));
        let recent = if self.window > 0 { last.min(u64::from(self.window) + u64::from(self.n_tokens) - 1) } else { 0 };
        Cost {
            bytes: (recent + distinct) * self.key_bytes + n_scores * self.score_bytes,
            ops: n_scores * self.score_ops,
        }
    }

    /// Keys that a token sees when the text has `length` tokens with it.
    fn seen(&self, length: u64) -> u64 {
        length.min(u64::from(self.window)) + self.entries(length)
    }

    fn entries(&self, length: u64) -> u64 {
        let there = length.checked_div(u64::from(self.ratio)).unwrap_or(0);
        if self.top_k > 0 { there.min(u64::from(self.top_k)) } else { there }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_cost_what_a_token_sees() {
        let keys =
            KeyCost { n_tokens: 1, window: 128, ratio: 4, top_k: 512, key_bytes: 100, score_bytes: 8, score_ops: 2 };
        assert_eq!(keys.at(0), Cost { bytes: 108, ops: 2 });
        // 128 recent tokens and 250 entries.
        assert_eq!(keys.at(999), Cost { bytes: 378 * 108, ops: 378 * 2 });
        // No more than top_k entries, however long the text.
        assert_eq!(keys.at(1 << 20), Cost { bytes: 640 * 108, ops: 640 * 2 });
        // Three tokens from position 0 share keys 0 to 2, and see 1 + 2 + 3 of them.
        let step = KeyCost { n_tokens: 3, ratio: 0, ..keys };
        assert_eq!(step.at(0), Cost { bytes: 300 + 48, ops: 12 });
    }
}

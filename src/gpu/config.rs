//! The numbers of a lowering: how invocations share a result, and how many do. Any of them gives the same results to
//! rounding, on every adapter that can run it. [`super::Caps`] are facts; these are chosen, see [`super::choices`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::op::Spec;
use super::space::MOST_INVOCATIONS;
use super::{Caps, Tile};

/// How the invocations that share one result add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reduce {
    /// One invocation does it alone: no barrier, no subgroup. Runs anywhere, and is the fast one on software adapters.
    #[serde(alias = "single")]
    Thread,
    /// A workgroup adds up in workgroup memory, with barriers.
    #[serde(alias = "shared")]
    Workgroup,
    /// A workgroup adds up by subgroups first.
    Subgroup,
}

/// The numbers of a lowering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Config {
    /// How invocations add up.
    pub reduce: Reduce,
    /// Invocations in a workgroup where each works alone.
    pub threads: u32,
    /// Invocations that share a head, or another short row.
    pub row_lanes: u32,
    /// Invocations that share a few rows of weights.
    pub weight_lanes: u32,
    /// Invocations that share a block of 32 weights, 1 or 4. Where they are 4, those of a subgroup read activations that lie
    /// beside each other: 1.3 to 2 times as fast on an H100.
    pub block_lanes: u32,
    /// Invocations that share a whole vector (norms, top-k; sampling on a program on the CPU).
    pub vector_lanes: u32,
    /// Rows of weights that one set of lanes takes together.
    pub rows: u32,
    /// How 4-bit codes become floats.
    pub nibbles: Nibbles,
    /// Whether invocations of a subgroup that each have rows to themselves read the activations together, and hand them around.
    /// Choices from before it could be chosen do not.
    #[serde(default)]
    pub shared_inputs: bool,
    /// Tiles in workgroup memory. Choices from before they could be chosen have none.
    #[serde(default)]
    pub tile: Tile,
    /// Tiles by cooperative matrices.
    #[serde(default = "first_cooperative")]
    pub cooperative: Tile,
}

/// How the 4-bit codes of a weight format become floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Nibbles {
    /// By a conversion where they stand in a word: up to 3 times as fast on SwiftShader, where a shift is slow.
    Convert,
    /// By their bits, without a conversion: a nibble as the mantissa of 1.0 (1.2 times as fast on an H100), a 4-bit float as
    /// that of a 16-bit one.
    Mantissa,
}

impl Default for Config {
    /// Runs everywhere.
    fn default() -> Self {
        Self {
            reduce: Reduce::Thread,
            threads: 8,
            row_lanes: 32,
            weight_lanes: 32,
            block_lanes: 1,
            vector_lanes: 128,
            rows: 8,
            nibbles: Nibbles::Convert,
            shared_inputs: true,
            tile: Tile::LEAST,
            cooperative: first_cooperative(),
        }
    }
}

const fn first_cooperative() -> Tile {
    Tile::COOPERATIVE[0]
}

/// The constant that says how many rows a group of lanes takes.
pub(crate) const ROWS: &str = "ROWS";

/// Turns that all loops of an invocation may take together. llvmpipe, and with it lavapipe, leaves every loop after 65,535 in all
/// (`LP_MAX_TGSI_LOOP_ITERATIONS` of its source), without a word, and goes on with what it has so far. Loops of few turns that are known
/// beforehand are unrolled and do not count; counts are estimates, so this leaves some room.
const MOST_TURNS: u64 = 48_000;
/// Invocations to a result where one is not enough, at least: fewer would leave the CPU's vectors empty.
const LEAST_LANES: u32 = 16;

const ROW_GROUPS: &str = shader_text!("../../shaders/lib/row_groups.wgsl");
const REDUCE_THREAD: &str = shader_text!("../../shaders/lib/reduce_thread.wgsl");
pub(crate) const REDUCE_WORKGROUP: &str = shader_text!("../../shaders/lib/reduce_workgroup.wgsl");
const REDUCE_SUBGROUP: &str = shader_text!("../../shaders/lib/reduce_subgroup.wgsl");

impl Config {
    /// The numbers that are others than in `other`, in words.
    #[must_use]
    pub fn beside(&self, other: &Self) -> Vec<String> {
        let tile = |of: &Tile| format!("{}x{} by {}x{}", of.rows, of.tokens, of.rows_each, of.tokens_each);
        let row = |of: &Self| {
            [
                ("", format!("{:?}", of.reduce).to_lowercase()),
                ("threads ", of.threads.to_string()),
                ("row lanes ", of.row_lanes.to_string()),
                ("weight lanes ", of.weight_lanes.to_string()),
                ("block lanes ", of.block_lanes.to_string()),
                ("vector lanes ", of.vector_lanes.to_string()),
                ("rows ", of.rows.to_string()),
                ("nibbles by ", format!("{:?}", of.nibbles).to_lowercase()),
                ("inputs ", if of.shared_inputs { "shared" } else { "apart" }.to_owned()),
                ("tile ", tile(&of.tile)),
                ("cooperative tile ", tile(&of.cooperative)),
            ]
        };
        let differ = row(self).into_iter().zip(row(other)).filter(|(own, others)| own != others);
        differ.map(|((name, own), _)| format!("{name}{own}")).collect()
    }

    /// The best guess where nothing was measured.
    #[must_use]
    pub fn guess(caps: &Caps) -> Self {
        let reduce = match (caps.is_software, caps.subgroup) {
            (true, _) => Reduce::Thread,
            (false, 0) => Reduce::Workgroup,
            (false, _) => Reduce::Subgroup,
        };
        let nibbles = if caps.is_software { Nibbles::Convert } else { Nibbles::Mantissa };
        let tile = Tile::ALL.into_iter().find(|tile| tile.runs_on(caps)).unwrap_or(Tile::LEAST);
        let base = Self { reduce, nibbles, tile, ..Self::default() };
        if caps.is_software { base } else { Self { threads: 64, weight_lanes: 128, block_lanes: 4, rows: 2, ..base } }
    }

    /// This config; on a program on the CPU with so many invocations to a result that none goes through more than
    /// [`MOST_TURNS`] turns of loops, where one alone would take `n_turns` for it.
    pub(crate) fn within_turns(&self, caps: &Caps, n_turns: u64) -> Self {
        let needed = n_turns.div_ceil(MOST_TURNS).next_power_of_two().min(u64::from(MOST_INVOCATIONS)) as u32;
        if !caps.is_software || needed == 1 {
            return *self;
        }
        Self {
            reduce: if self.reduce == Reduce::Thread { Reduce::Workgroup } else { self.reduce },
            row_lanes: needed.max(if self.reduce == Reduce::Thread { LEAST_LANES } else { self.row_lanes }),
            vector_lanes: self.vector_lanes.max(needed),
            ..*self
        }
    }

    /// A text in which `lanes` invocations share a result, and how many results a workgroup has.
    pub(crate) fn sharing(&self, caps: &Caps, lanes: u32) -> (Spec, u32) {
        let (text, together, workgroup) = match self.reduce {
            Reduce::Thread => (REDUCE_THREAD, 1, self.threads),
            Reduce::Workgroup => (REDUCE_WORKGROUP, lanes, lanes),
            Reduce::Subgroup => (REDUCE_SUBGROUP, lanes, lanes),
        };
        let spec = Spec::default().constant("LANES", together).constant("WORKGROUP", workgroup);
        let spec = spec
            .constant("SUBGROUP", caps.subgroup.max(1))
            .constant("SUBGROUP_VARIES", caps.subgroup_varies.into())
            .part(text);
        (Spec { subgroups: self.reduce == Reduce::Subgroup, ..spec }, workgroup / together)
    }

    /// As [`Self::sharing`], for rows of weights.
    pub(crate) fn sharing_weights(&self, caps: &Caps) -> (Spec, u32) {
        let (spec, per_workgroup) = self.sharing(caps, self.weight_lanes);
        let block_lanes = if self.reduce == Reduce::Thread { 1 } else { self.block_lanes };
        (spec.constant("BLOCK_LANES", block_lanes), per_workgroup)
    }

    /// Whether inputs are read together on an adapter: its subgroups have one size that divides a workgroup, and each
    /// invocation has at most two of a block's eight vectors to read.
    pub(crate) fn shares_inputs(&self, caps: &Caps) -> bool {
        let fits = (4..=self.threads).contains(&caps.subgroup) && self.threads.is_multiple_of(caps.subgroup);
        self.shared_inputs && self.reduce == Reduce::Thread && fits && !caps.subgroup_varies
    }

    /// As [`Self::sharing_weights`], for `n_rows` rows of each of `n_owners` tokens or slots (lib/row_groups.wgsl); and the
    /// workgroups for all of them. Where rows read different parts of their input, `n_alike` rows in a row read the same.
    pub(crate) fn sharing_rows(&self, caps: &Caps, n_owners: u64, n_rows: u32, n_alike: Option<u32>) -> (Spec, u64) {
        let (spec, per_workgroup) = self.sharing_weights(caps);
        // Where each has rows to itself, few rows make few invocations: two workgroups at least.
        let is_too_many = |rows: u32| self.reduce == Reduce::Thread && n_rows < 2 * rows * self.threads;
        let is_apart = |rows: u32| n_alike.is_some_and(|n| !n.is_multiple_of(rows));
        let halved = |rows: &u32| (*rows > 1).then_some(rows / 2);
        let rows = std::iter::successors(Some(self.rows), halved).find(|rows| !is_too_many(*rows) && !is_apart(*rows));
        let rows = rows.unwrap_or(1);
        let n_workgroups = n_owners * u64::from(n_rows.div_ceil(rows).div_ceil(per_workgroup));
        (spec.constant(ROWS, rows).part(ROW_GROUPS), n_workgroups)
    }

    /// A text in which each invocation has results of its own, and how many invocations stand in a workgroup.
    pub(crate) fn alone(&self) -> (Spec, u32) {
        (Spec::default().constant("WORKGROUP", self.threads), self.threads)
    }

    /// As [`Self::alone`], for register tiles, of which each invocation has one.
    pub(crate) fn tiles(&self) -> (Spec, u32) {
        let workgroup = self.threads.max(32);
        (Spec::default().constant("WORKGROUP", workgroup), workgroup)
    }
}

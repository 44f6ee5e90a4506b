//! Configs worth trying for a variant on an adapter: a few axes, each a list of values of one number. A tuner walks along
//! them one by one, or tries every combination.

use super::{Caps, Config, Nibbles, Reduce, Tile};

/// One number of a config, set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// How invocations add up.
    Reduce(Reduce),
    /// Invocations of a workgroup where each works alone.
    Threads(u32),
    /// Invocations that share a row.
    RowLanes(u32),
    /// Invocations that share rows of weights.
    WeightLanes(u32),
    /// Invocations that share a block of weights.
    BlockLanes(u32),
    /// Invocations that share a vector.
    VectorLanes(u32),
    /// Rows that they take together.
    Rows(u32),
    /// How nibbles become floats.
    Nibbles(Nibbles),
    /// Whether activations are read together.
    SharedInputs(bool),
    /// Tiles in workgroup memory.
    Tile(Tile),
    /// Tiles by cooperative matrices.
    Cooperative(Tile),
}

/// The axes, the one that matters most first.
pub type Space = Vec<Vec<Change>>;

impl Config {
    /// The same config, with one number set.
    #[must_use]
    pub fn with(self, change: Change) -> Self {
        match change {
            Change::Reduce(reduce) => Self { reduce, ..self },
            Change::Threads(threads) => Self { threads, ..self },
            Change::RowLanes(row_lanes) => Self { row_lanes, ..self },
            Change::WeightLanes(weight_lanes) => Self { weight_lanes, ..self },
            Change::BlockLanes(block_lanes) => Self { block_lanes, ..self },
            Change::VectorLanes(vector_lanes) => Self { vector_lanes, ..self },
            Change::Rows(rows) => Self { rows, ..self },
            Change::Nibbles(nibbles) => Self { nibbles, ..self },
            Change::SharedInputs(shared_inputs) => Self { shared_inputs, ..self },
            Change::Tile(tile) => Self { tile, ..self },
            Change::Cooperative(cooperative) => Self { cooperative, ..self },
        }
    }

    /// Whether an adapter can run it. A config may come from a file, so nothing about it is taken for granted.
    #[must_use]
    pub fn runs_on(&self, caps: &Caps) -> bool {
        let is_lanes = |n: u32| n.is_power_of_two() && n <= MOST_INVOCATIONS;
        [self.threads, self.row_lanes, self.weight_lanes, self.vector_lanes].into_iter().all(is_lanes)
            && [1, 4].contains(&self.block_lanes)
            // Loops go on by whole blocks: fewer would never end.
            && self.weight_lanes >= self.block_lanes
            && self.rows.is_power_of_two()
            && self.rows <= MOST_ROWS
            && self.tile.runs_on(caps)
            && Tile::COOPERATIVE.contains(&self.cooperative)
            && (caps.cooperative == 0 || self.cooperative.is_made_of(caps.cooperative))
            && (self.reduce != Reduce::Subgroup || caps.subgroup > 0)
    }
}

/// Invocations of a workgroup that every adapter allows: WebGPU's least, and what is asked of others.
pub(crate) const MOST_INVOCATIONS: u32 = 256;

/// Rows that one set of lanes takes at most: their sums are kept in registers.
const MOST_ROWS: u32 = 16;

/// Every combination, each once.
#[must_use]
pub fn product(space: &Space, base: Config) -> Vec<Config> {
    let all = space.iter().fold(vec![base], |configs, axis| {
        configs.iter().flat_map(|config| axis.iter().map(|change| config.with(*change))).collect()
    });
    let mut each = Vec::new();
    for config in all {
        if !each.contains(&config) {
            each.push(config);
        }
    }
    each
}

/// Invocations of a workgroup, where each works alone.
pub(crate) fn threads(caps: &Caps) -> Space {
    let sizes: &[u32] = if caps.is_software { &[8, 16, 32, 64] } else { &[32, 64, 128, 256] };
    vec![sizes.iter().copied().map(Change::Threads).collect()]
}

/// Invocations that share a vector.
pub(crate) fn vector(caps: &Caps) -> Space {
    shared(caps, &[64, 128, 256].map(Change::VectorLanes))
}

/// Invocations that share a row or a head.
pub(crate) fn row(caps: &Caps) -> Space {
    shared(caps, &[16, 32, 64, 128, 256].map(Change::RowLanes))
}

/// Invocations that share rows of weights.
pub(crate) fn rows_of_weights(caps: &Caps) -> Space {
    let mut space = rows_of_codes(caps);
    space.push([Nibbles::Convert, Nibbles::Mantissa].map(Change::Nibbles).into());
    if caps.is_software && caps.subgroup > 0 {
        space.push([true, false].map(Change::SharedInputs).into());
    }
    space
}

/// As [`rows_of_weights`], where codes stay whole numbers.
pub(crate) fn rows_of_codes(caps: &Caps) -> Space {
    let mut space = shared(caps, &[16, 32, 64, 128, 256].map(Change::WeightLanes));
    space.insert(1, [1, 2, 4, 8, 16].map(Change::Rows).into());
    if !caps.is_software {
        space.insert(2, [1, 4].map(Change::BlockLanes).into());
    }
    space
}

/// Tiles in workgroup memory.
pub(crate) fn tiles(caps: &Caps) -> Space {
    vec![Tile::ALL.into_iter().filter(|tile| tile.runs_on(caps)).map(Change::Tile).collect()]
}

/// Tiles of packed bytes.
pub(crate) fn packed_tiles(caps: &Caps) -> Space {
    let whole = Tile::ALL.into_iter().filter(|tile| tile.packed() == *tile && tile.runs_on(caps));
    vec![whole.map(Change::Tile).collect()]
}

/// Tiles by cooperative matrices.
pub(crate) fn cooperative(caps: &Caps) -> Space {
    let made = Tile::COOPERATIVE.into_iter().filter(|tile| tile.is_made_of(caps.cooperative));
    vec![made.map(Change::Cooperative).collect()]
}

/// Ways to add up, and how many do. Programs on the CPU switch coroutines at a barrier: there each invocation is alone.
fn shared(caps: &Caps, lanes: &[Change]) -> Space {
    if caps.is_software {
        return threads(caps);
    }
    let mut reduces = vec![Change::Reduce(Reduce::Workgroup), Change::Reduce(Reduce::Thread)];
    if caps.subgroup > 0 {
        reduces.push(Change::Reduce(Reduce::Subgroup));
    }
    vec![lanes.into(), reduces]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_has_every_combination_once() {
        let space = vec![[1, 2, 4].map(Change::Rows).to_vec(), [16, 32].map(Change::Threads).to_vec()];
        let configs = product(&space, Config::default());
        assert_eq!(configs.len(), 6);
        assert!(configs.contains(&Config { rows: 2, threads: 32, ..Config::default() }));
        let twice = vec![[1, 1].map(Change::Rows).to_vec()];
        assert_eq!(product(&twice, Config::default()).len(), 1);
    }

    #[test]
    fn whatever_stands_in_a_space_runs() {
        let gpu = Caps { is_software: false, subgroup: 32, cooperative: 16, ..Caps::default() };
        for caps in [
            Caps::default(),
            gpu,
            Caps { subgroup: 0, ..gpu },
            Caps { subgroup: 4, subgroup_varies: true, ..gpu },
            Caps { cooperative: 8, ..gpu },
            Caps { is_software: true, ..gpu },
        ] {
            for space in
                [threads(&caps), vector(&caps), row(&caps), rows_of_weights(&caps), tiles(&caps), cooperative(&caps)]
            {
                let configs = product(&space, Config::guess(&caps));
                assert!(configs.iter().all(|config| config.runs_on(&caps)), "{configs:?}");
            }
        }
    }

    #[test]
    fn a_config_of_a_file_is_not_trusted() {
        let caps = Caps::default();
        let default = Config::default();
        assert!(default.runs_on(&caps));
        for config in [
            Config { threads: 0, ..default },
            Config { threads: 48, ..default },
            Config { row_lanes: 1 << 20, ..default },
            Config { rows: 3, ..default },
            Config { block_lanes: 2, ..default },
            Config { weight_lanes: 0, ..default },
            Config { weight_lanes: 2, block_lanes: 4, ..default },
            Config { rows: 64, ..default },
            Config { reduce: Reduce::Subgroup, ..default },
            Config { tile: Tile { tokens: 60, ..Tile::LEAST }, ..default },
            Config { tile: Tile { rows_each: 0, ..Tile::LEAST }, ..default },
            Config { cooperative: Tile { tokens_each: 0, ..Tile::COOPERATIVE[0] }, ..default },
        ] {
            assert!(!config.runs_on(&caps), "{config:?}");
        }
    }
}

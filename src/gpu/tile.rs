//! Tiles of a matrix product in workgroup memory: how much of both sides a workgroup brings at once, and how much of it each
//! invocation sums up. Text: `shaders/lib/gemm.wgsl`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Caps;
use super::op::Spec;

/// A tile: `rows` of weights by `tokens`, along `depth` weights at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Tile {
    /// Rows of weights.
    pub rows: u32,
    /// Tokens.
    pub tokens: u32,
    /// Weights of a row that are brought at once: 16 or 32.
    pub depth: u32,
    /// Rows that an invocation sums up.
    pub rows_each: u32,
    /// Tokens that it sums them up for.
    pub tokens_each: u32,
}

impl Default for Tile {
    fn default() -> Self {
        Self::LEAST
    }
}

const GEMM: &str = include_str!("../../shaders/lib/gemm.wgsl");
const FLOATS: &str = include_str!("../../shaders/lib/gemm_f32.wgsl");
const HALVES: &str = include_str!("../../shaders/lib/gemm_f16.wgsl");
const SUMS_4X4: &str = include_str!("../../shaders/lib/sums_4x4.wgsl");
const SUMS_8X4: &str = include_str!("../../shaders/lib/sums_8x4.wgsl");
const SUMS_8X8: &str = include_str!("../../shaders/lib/sums_8x8.wgsl");

/// What the floats of a tile are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    F32,
    F16,
}

const fn tile(rows: u32, tokens: u32, depth: u32, rows_each: u32, tokens_each: u32) -> Tile {
    Tile { rows, tokens, depth, rows_each, tokens_each }
}

impl Tile {
    /// Fits in the workgroup memory that every adapter has.
    pub const LEAST: Self = tile(64, 64, 16, 4, 4);

    /// Those worth trying, the best guess first.
    pub const ALL: [Self; 6] = [
        tile(64, 64, 32, 4, 4),
        Self::LEAST,
        tile(64, 64, 32, 8, 4),
        tile(128, 64, 32, 8, 4),
        tile(128, 128, 16, 8, 8),
        tile(64, 32, 32, 4, 4),
    ];

    /// Invocations of its workgroup.
    #[must_use]
    pub fn invocations(&self) -> u32 {
        self.rows / self.rows_each * (self.tokens / self.tokens_each)
    }

    /// Bytes of workgroup memory that it takes as 32-bit floats, with the places of its rows and tokens.
    #[must_use]
    pub fn bytes(&self) -> u32 {
        // Each quad of a row starts one vector further, on both sides.
        let vectors = self.depth / 4 * (self.rows + self.tokens) + self.depth / 2;
        vectors * 16 + (self.rows + self.tokens) * 4
    }

    /// Whether it is one of those worth trying, and an adapter has room for it. Tiles may come from a file.
    #[must_use]
    pub fn runs_on(&self, caps: &Caps) -> bool {
        Self::ALL.contains(self) && self.bytes() <= caps.workgroup_bytes
    }

    /// A smaller one, where there are not so many tokens, or where rows come in groups of `rows`, a multiple of 64.
    pub(crate) fn cut_to(mut self, tokens: u64, rows: u32) -> Self {
        while self.tokens >= 32 && u64::from(self.tokens / 2) >= tokens {
            self.tokens /= 2;
        }
        // So small a tile would leave too few invocations.
        if self.tokens < 64 && self.tokens_each == 8 {
            self.tokens_each = 4;
        }
        if !rows.is_multiple_of(self.rows) {
            self.rows = 64;
        }
        self
    }

    /// The text of its product, which lies after the kernel's own facts.
    pub(crate) fn spec(&self, element: Element) -> Spec {
        let sums = match (self.rows_each, self.tokens_each) {
            (4, _) => SUMS_4X4,
            (_, 4) => SUMS_8X4,
            _ => SUMS_8X8,
        };
        let floats = if element == Element::F16 { HALVES } else { FLOATS };
        let spec = Spec::default()
            .constant("WORKGROUP", self.invocations())
            .constant("TILE_ROWS", self.rows)
            .constant("TILE_TOKENS", self.tokens)
            .constant("TILE_DEPTH", self.depth)
            .part(floats)
            .part(sums)
            .part(GEMM);
        if element == Element::F16 { spec.with_f16() } else { spec }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fit_their_workgroups() {
        for tile in Tile::ALL {
            for (tokens, rows) in [(1, 64), (20, 64), (64, 128), (512, 1024), (512, 64)] {
                let cut = tile.cut_to(tokens, rows);
                assert!((32..=256).contains(&cut.invocations()), "{tile:?} cut to {tokens}: {cut:?}");
                assert!(cut.bytes() <= tile.bytes() && rows % cut.rows == 0, "{cut:?}");
                assert!(cut.rows % cut.rows_each == 0 && cut.tokens % cut.tokens_each == 0, "{cut:?}");
                assert!(u64::from(cut.tokens) >= tokens.min(u64::from(tile.tokens)), "{cut:?}");
            }
        }
        assert_eq!(Tile::ALL[4].cut_to(40, 64).tokens, 64);
        assert_eq!(Tile::ALL[4].cut_to(20, 64).tokens, 32);
        assert_eq!(Tile::ALL[4].cut_to(3, 64).tokens, 16);
    }

    #[test]
    fn the_least_tile_fits_every_adapter_and_strange_ones_fit_none() {
        let caps = Caps { workgroup_bytes: 16 << 10, ..Caps::default() };
        assert!(Tile::LEAST.runs_on(&caps));
        assert!(!Tile::ALL[0].runs_on(&caps));
        let roomy = Caps { workgroup_bytes: 1 << 20, ..caps };
        assert!(Tile::ALL.iter().all(|tile| tile.runs_on(&roomy)));
        assert!(!Tile { rows: 0, ..Tile::LEAST }.runs_on(&roomy));
        assert!(!Tile { rows: 1 << 30, ..Tile::LEAST }.runs_on(&roomy));
    }
}

//! Tiles of a matrix product in workgroup memory: how much of both sides a workgroup brings at once, and how much of it each
//! invocation sums up, or each subgroup by cooperative matrices. Texts: `shaders/lib/gemm.wgsl`, `gemm_cooperative.wgsl`.

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
    /// Rows that an invocation, or a subgroup, sums up.
    pub rows_each: u32,
    /// Tokens that it sums them up for.
    pub tokens_each: u32,
}

impl Default for Tile {
    fn default() -> Self {
        Self::LEAST
    }
}

const GEMM: &str = shader_text!("../../shaders/lib/gemm.wgsl");
const FLOATS: &str = shader_text!("../../shaders/lib/gemm_f32.wgsl");
const HALVES: &str = shader_text!("../../shaders/lib/gemm_f16.wgsl");
const SUMS_4X4: &str = shader_text!("../../shaders/lib/sums_4x4.wgsl");
const SUMS_8X4: &str = shader_text!("../../shaders/lib/sums_8x4.wgsl");
const SUMS_8X8: &str = shader_text!("../../shaders/lib/sums_8x8.wgsl");

const PACKED: &str = shader_text!("../../shaders/lib/gemm_packed.wgsl");
const COOPERATIVE: &str = shader_text!("../../shaders/lib/gemm_cooperative.wgsl");
const MATRICES_8: &str = shader_text!("../../shaders/lib/matrices_8.wgsl");
const MATRICES_16: &str = shader_text!("../../shaders/lib/matrices_16.wgsl");
const MATRICES_1X2: &str = shader_text!("../../shaders/lib/matrices_1x2.wgsl");
const MATRICES_2X2: &str = shader_text!("../../shaders/lib/matrices_2x2.wgsl");
const MATRICES_2X4: &str = shader_text!("../../shaders/lib/matrices_2x4.wgsl");

/// By what a tile is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Units {
    /// By invocations, as 32-bit floats.
    F32,
    /// By invocations, as 16-bit floats.
    F16,
    /// By cooperative matrices of 16-bit floats.
    Cooperative,
    /// By invocations, as packed bytes.
    Packed,
}

/// What a sum of products of 16-bit floats may be off by, relative to the size of such sums. Both factors are rounded by
/// 2⁻¹² of themselves on average, which comes to 3e-4 of a sum's usual size; the budget is for the worst of millions. A
/// product that a driver computes wrong is off by about 1.
pub(crate) const HALVES_BUDGET: f64 = 1e-2;

/// Bytes of workgroup memory from which on every cooperative tile fits.
pub(super) const COOPERATIVE_BYTES: u32 = 32 << 10;

/// Invocations of a subgroup at most, so that the workgroup of every cooperative tile has 256.
pub(super) const COOPERATIVE_SUBGROUP: u32 = 32;

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

    /// Those worth trying by cooperative matrices, of 8 subgroups each.
    pub const COOPERATIVE: [Self; 3] =
        [tile(64, 64, 32, 16, 32), tile(128, 64, 32, 32, 32), tile(128, 128, 32, 32, 64)];

    /// As packed bytes, of which an invocation always sums up four rows for four tokens, a block at a time.
    pub(crate) fn packed(self) -> Self {
        if (self.rows_each, self.tokens_each) == (4, 4) { Self { depth: 32, ..self } } else { Self::ALL[0] }
    }

    /// Parts that are summed up side by side, each by an invocation or a subgroup.
    #[must_use]
    pub fn parts(&self) -> u32 {
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
        let least = self.tokens_each.max(16);
        while self.tokens >= 2 * least && u64::from(self.tokens / 2) >= tokens {
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

    /// Whether the matrices of an adapter divide it in a way that there is a text for.
    #[must_use]
    pub fn is_made_of(&self, size: u32) -> bool {
        size > 0 && self.matrices(size).is_some()
    }

    fn matrices(&self, size: u32) -> Option<&'static str> {
        match (self.rows_each / size, self.tokens_each / size) {
            (1, 2) => Some(MATRICES_1X2),
            (2, 2) => Some(MATRICES_2X2),
            (2, 4) => Some(MATRICES_2X4),
            _ => None,
        }
    }

    /// The text of its product.
    pub(crate) fn spec(&self, units: Units, caps: &Caps) -> Spec {
        let spec = Spec::default()
            .constant("TILE_ROWS", self.rows)
            .constant("TILE_TOKENS", self.tokens)
            .constant("TILE_DEPTH", self.depth);
        if units == Units::Cooperative {
            let size = if caps.cooperative == 8 { MATRICES_8 } else { MATRICES_16 };
            let matrices = self.matrices(caps.cooperative).unwrap_or(MATRICES_1X2);
            let spec = spec
                .constant("WORKGROUP", self.parts() * caps.cooperative_subgroup)
                .constant("SUBGROUP", caps.cooperative_subgroup)
                .constant("ROWS_EACH", self.rows_each)
                .constant("TOKENS_EACH", self.tokens_each);
            let spec = spec.part(HALVES).part(size).part(matrices).part(COOPERATIVE).with_f16();
            return Spec { cooperative: true, ..spec };
        }
        let sums = match (self.rows_each, self.tokens_each) {
            (4, _) => SUMS_4X4,
            (_, 4) => SUMS_8X4,
            _ => SUMS_8X8,
        };
        let spec = spec.constant("WORKGROUP", self.parts());
        match units {
            Units::Packed => spec.part(PACKED).with_packed_dot(),
            Units::F16 => spec.part(HALVES).part(sums).part(GEMM).with_f16(),
            _ => spec.part(FLOATS).part(sums).part(GEMM),
        }
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
                assert!((32..=256).contains(&cut.parts()), "{tile:?} cut to {tokens}: {cut:?}");
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
    fn cooperative_tiles_are_whole_matrices_on_eight_subgroups() {
        for tile in Tile::COOPERATIVE {
            assert!(tile.parts() == 8 && tile.is_made_of(16), "{tile:?}");
            let patches = 8 * 16 * 16 * 4;
            let bytes = (tile.rows + tile.tokens) * ((tile.depth + 8) * 2 + 4) + patches;
            assert!(bytes <= COOPERATIVE_BYTES, "{tile:?}: {bytes}");
            for tokens in [1, 40, 512] {
                let cut = tile.cut_to(tokens, 64);
                assert!(cut.rows % cut.rows_each == 0 && cut.tokens % cut.tokens_each == 0 && cut.parts() > 0);
            }
        }
        assert!(Tile::COOPERATIVE[0].is_made_of(8) && !Tile::COOPERATIVE[2].is_made_of(8));
        assert!(!Tile::COOPERATIVE[0].is_made_of(0));
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

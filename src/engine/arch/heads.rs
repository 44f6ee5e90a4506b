//! What attention over key heads keeps and works with, whatever makes its queries: a layer's cache, and the values of a step.

use crate::gpu::{Arena, Purpose, Slice};
use crate::kernels::cache::{CacheType, CacheTypes};
use crate::kernels::grouped_attend::{n_splits, run_bytes};
use crate::kernels::grouped_heads::Cache;

/// The heads of a layer, and how their keys and values are kept.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Heads {
    /// Query heads.
    pub n_heads: u32,
    /// Key heads, and as many value heads.
    pub n_kv_heads: u32,
    /// Elements of a head.
    pub head_dim: u32,
    /// Positions in the cache.
    pub n_positions: u32,
    pub types: CacheTypes,
}

/// The values of one step, shared by all layers; `[n_chunk, …]` each, f32.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Scratch {
    /// Queries, keys and values of all heads.
    pub heads: Slice,
    /// Queries made ready, `[n_heads * head_dim]`.
    pub queries: Slice,
    /// Attention over runs of keys, `[n_heads, n_splits, head_dim]`.
    pub partial: Slice,
    /// `[n_heads, n_splits, 2]`
    pub stats: Slice,
    /// Attention output of the heads, `[n_heads * head_dim]`.
    pub attended: Slice,
}

impl Heads {
    /// Elements of a token in each buffer of [`Self::scratch`].
    pub(in crate::engine) fn widths(&self) -> [u64; 4] {
        let width = |n_heads: u32, of_each: u32| u64::from(n_heads) * u64::from(of_each);
        let queries = width(self.n_heads, self.head_dim);
        // A run of keys for each head, with its greatest score and its sum.
        [
            width(self.n_heads + 2 * self.n_kv_heads, self.head_dim),
            queries,
            width(self.n_heads, self.head_dim + 2),
            queries,
        ]
    }

    /// Plans the cache of a layer.
    pub(in crate::engine) fn cache(&self, arena: &mut Arena, layer: usize) -> Cache {
        let Self { n_heads, n_kv_heads, head_dim, n_positions, types } = *self;
        let elements = u64::from(n_kv_heads * head_dim) * u64::from(n_positions);
        let mut room = |what: &str, of: CacheType| {
            arena.words(format!("layers.{layer}.{what}"), of.words(elements), Purpose::Cache)
        };
        let (keys, values) = (room("keys", types.keys), room("values", types.values));
        Cache { types, keys, values, n_positions, n_heads, n_kv_heads, head_dim, value_dim: head_dim }
    }

    /// Plans the values of steps of up to `n_chunk` tokens.
    pub(in crate::engine) fn scratch(&self, arena: &mut Arena, n_chunk: u32) -> Scratch {
        // One token's keys are cut into runs, those of more are not.
        let n_runs = u64::from(n_chunk.max(n_splits(1, self.n_positions, self.types))) * u64::from(self.n_heads);
        let [partial_bytes, stats_bytes] = run_bytes(n_runs, self.head_dim);
        let runs = arena.words("runs", (partial_bytes + stats_bytes) / 4, Purpose::Scratch);
        let mut rows =
            |what: &str, width: u32| arena.words(what, u64::from(n_chunk) * u64::from(width), Purpose::Scratch);
        Scratch {
            heads: rows("heads", (self.n_heads + 2 * self.n_kv_heads) * self.head_dim),
            queries: rows("queries", self.n_heads * self.head_dim),
            partial: Slice { bytes: partial_bytes, ..runs },
            stats: Slice { offset: partial_bytes, bytes: stats_bytes, ..runs },
            attended: rows("attended", self.n_heads * self.head_dim),
        }
    }
}

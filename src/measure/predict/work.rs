//! The work and the memory of a model, from its real recordings at full shape, which are planned without any buffer.

use super::OUTSIDE;
use crate::engine::arch::draft::Draft;
use crate::engine::load::options::Choices;
use crate::error::Result;
use crate::gpu::recording::Cost;
use crate::gpu::{Purpose, Recording};
use crate::kernels::cache::CacheTypes;
use crate::measure::report::MemoryPrediction;
use crate::model::{Model, Outline, Synthetic};
use std::collections::BTreeMap;

/// The work of a step by kind of layer and name of stage, all layers of the kind together.
pub(super) type Works = BTreeMap<(String, &'static str), Cost>;

/// A model on an adapter, as far as planning needs to know it.
pub struct Planner {
    model: Model,
    outline: Outline,
    binding_bytes: u64,
    n_chunk: u32,
    cache: CacheTypes,
}

impl Planner {
    /// Of a model, for steps of up to `n_chunk` tokens.
    ///
    /// # Errors
    /// None for a model that could be made.
    pub fn new(model: &Synthetic, binding_bytes: u64, n_chunk: u32, cache: CacheTypes) -> Result<Self> {
        let model = model.model()?;
        Ok(Self { outline: model.outline(), model, binding_bytes, n_chunk, cache })
    }

    /// What is known of the model.
    pub(super) fn outline(&self) -> &Outline {
        &self.outline
    }

    fn plan(&self, n_context: u32) -> Draft {
        let n_context = n_context.min(self.outline.context_length).max(1);
        let choices = Choices { n_context, n_chunk: self.n_chunk, cache: self.cache };
        Draft::new(&self.model, choices, self.binding_bytes)
    }

    /// Layers by kind.
    pub(super) fn kinds(&self) -> BTreeMap<String, u32> {
        let mut kinds = BTreeMap::new();
        for kind in &self.outline.layer_kinds {
            *kinds.entry(kind.clone()).or_default() += 1;
        }
        kinds
    }

    /// The recording of a token that is written after `depth` tokens.
    #[must_use]
    pub fn decode_recording(&self, depth: u32) -> Recording {
        self.plan(depth.saturating_add(1).max(4096)).step(1, depth)
    }

    /// The work of a step of `n_tokens` (1: a token that is written, with the choice of the next; more: a prompt's, without
    /// its head) after `depth` tokens.
    pub(super) fn works(&self, n_tokens: u32, depth: u32) -> Works {
        let draft = self.plan(depth.saturating_add(n_tokens).max(4096));
        let kind = |layer: u32| self.outline.layer_kinds.get(layer as usize).map_or(OUTSIDE, String::as_str);
        let mut works = Works::new();
        for stage in &draft.step(n_tokens, depth).stages {
            let kind = stage.layer.map_or(OUTSIDE, kind).to_owned();
            let (sum, work) = (works.entry((kind, stage.name)).or_default(), stage.work(depth));
            *sum = Cost { bytes: sum.bytes + work.bytes, ops: sum.ops + work.ops };
        }
        works
    }

    /// The memory for texts of `n_context` tokens.
    #[must_use]
    pub fn memory(&self, n_context: u32) -> MemoryPrediction {
        let draft = self.plan(n_context);
        let arena = draft.arena();
        let state = |what: &str| -> u64 {
            let ends = |label: &str| label.starts_with("layers.") && label.ends_with(what);
            let meant = |plan: &&crate::gpu::recording::BufferPlan| plan.purpose == Purpose::Cache && ends(&plan.label);
            arena.buffers.iter().filter(meant).map(|plan| plan.bytes).sum()
        };
        let (window, entries, index_keys) = (state(".window"), state(".entries"), state(".index_keys"));
        let rest = arena.buffers.iter().filter(|plan| plan.purpose != Purpose::Weights);
        MemoryPrediction {
            n_context,
            weights: arena.bytes(Purpose::Weights),
            window,
            entries,
            index_keys,
            other_state: arena.bytes(Purpose::Cache) - window - entries - index_keys,
            scratch: arena.bytes(Purpose::Scratch),
            largest_buffer: rest.map(|plan| plan.bytes).max().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SyntheticName;

    fn planner(name: &str) -> Planner {
        let name = SyntheticName::parse(name).expect("a name");
        let model = Synthetic::of(&name).expect("layers").expect("a known model");
        Planner::new(&model.uncut(), 1 << 30, 32, CacheTypes::default()).expect("a planner")
    }

    fn flash() -> Planner {
        planner("synthetic:deepseek-v4-flash:layers=2..4:experts=8:vocab=1024")
    }

    /// By hand: of 8,030,261,248 weights a token reads all but the embedding's 128,256 · 4096 once, in 18 bytes for 32.
    #[test]
    fn a_token_of_an_8b_reads_its_weights_once() {
        let bytes: u64 =
            planner("synthetic:llama-8b:layers=0..2:vocab=4096").works(1, 0).values().map(|work| work.bytes).sum();
        let weights = 7_504_924_672 / 32 * 18;
        assert!((weights..weights + weights / 100).contains(&bytes), "{bytes}, not {weights}");
    }

    /// Of 671 thousand million weights a token of R1 takes part in 37.6, all but the embedding's; routers and norms are f32.
    #[test]
    fn a_token_of_r1_reads_what_takes_part_once() {
        let name = SyntheticName::parse("synthetic:deepseek-r1:layers=2..4:experts=16:vocab=1024:format=q4_0")
            .expect("a name");
        let whole = Synthetic::of(&name).expect("layers").expect("a known model").uncut();
        let n = whole.n_active_parameters().expect("tensors");
        assert!((36_500_000_000..37_500_000_000).contains(&n), "{n}");
        let planner = Planner::new(&whole, 1 << 30, 32, CacheTypes::default()).expect("a planner");
        let bytes: u64 = planner.works(1, 0).values().map(|work| work.bytes).sum();
        let least = n / 32 * 18;
        assert!((least..least + least / 15).contains(&bytes), "{bytes}, not {least}");
    }

    /// Of Qwen3.5-9B a token takes part in all but the embedding; a layer with a net reads and writes a state of 32 heads of
    /// 128 · 128, in 24 layers.
    #[test]
    fn a_token_of_qwen35_reads_its_weights_and_states_once() {
        let name = SyntheticName::parse("synthetic:qwen3.5-9b:layers=3..5:vocab=1024").expect("a name");
        let whole = Synthetic::of(&name).expect("layers").expect("a known model").uncut();
        let planner = Planner::new(&whole, 1 << 30, 32, CacheTypes::default()).expect("a planner");
        let bytes: u64 = planner.works(1, 0).values().map(|work| work.bytes).sum();
        let least = whole.n_active_parameters().expect("tensors") / 32 * 18 + 24 * 2 * 4 * 32 * 128 * 128;
        assert!((least..least + least / 20).contains(&bytes), "{bytes}, not {least}");
    }

    /// By hand from the spec (2.1, 7): V4-Flash has 43 layers, 2 of ratio 0, 21 of ratio 4, 20 of ratio 128. A key is
    /// 512 f32 = 2048 bytes, an indexer's key 128 f32 = 512 bytes. The window's ring has 128 rows and those of a step of
    /// 32 tokens. There is room for 256 tokens beyond the context, which are computed ahead, and for one entry more than
    /// are full. Each buffer ends in 32 words (128 bytes) that are read and not used.
    #[test]
    fn flash_takes_the_memory_that_is_computed_by_hand() {
        // At 4 Ki tokens: (4096 + 256) / 4 + 1 = 1089 entries, / 128 + 1 = 35.
        // At 128 Ki: 131,328 / 4 + 1 = 32,833 and / 128 + 1 = 1027. At 1 Mi: 1,048,832 / 4 + 1 = 262,209 and 8195.
        for (n_context, sparse, heavy) in [(4096, 1089, 35), (131_072, 32_833, 1027), (1 << 20, 262_209, 8195)] {
            let memory = flash().memory(n_context);
            assert_eq!(memory.window, 43 * ((128 + 32) * 2048 + 128));
            assert_eq!(memory.entries, 21 * (sparse * 2048 + 128) + 20 * (heavy * 2048 + 128), "{n_context}");
            assert_eq!(memory.index_keys, 21 * (sparse * 512 + 128), "{n_context}");
            // 147.1 GB of routed experts, 1.06 GB each of embedding and head, and less than 8 GB of the rest.
            let experts = 43 * 256 * 3 * 2048 * 4096 / 32 * 17;
            let rest = memory.weights - experts - 2 * 129_280 * 4096 * 2;
            assert!((5_000_000_000..8_000_000_000).contains(&rest), "{rest}");
            assert!(memory.largest_buffer >= sparse * 2048 && memory.total() > memory.weights + memory.entries);
        }
        // At a million tokens the entries alone are 11.6 GB, and one layer's 537 MB do not fit a binding of 128 MiB.
        let memory = flash().memory(1 << 20);
        assert_eq!((memory.entries + memory.index_keys) / 100_000_000, 144);
        assert!(memory.largest_buffer > 128 << 20);
    }

    /// By hand (spec 11.1): a decoded token reads, of each layer, 6 routed experts of 3 · 2048 · 4096 weights in 17 bytes
    /// for 32 and as many of the shared one in 34 for 32, and the head once in BF16: together 43 · (80.2 + 26.7) MB + 1.06 GB
    /// = 5.66 GB. The spec's 11.2 GB are with the attention's weights, which are 125 MB a layer and more.
    #[test]
    fn a_token_of_flash_moves_the_bytes_that_are_computed_by_hand() {
        let works = flash().works(1, 0);
        let of =
            |name: &str| -> u64 { works.iter().filter(|((_, n), _)| *n == name).map(|(_, work)| work.bytes).sum() };
        let all: u64 = works.values().map(|work| work.bytes).sum();
        let experts = 43 * (6 * 3 * 2048 * 4096 / 32 * 17 + 3 * 2048 * 4096 / 32 * 34);
        let shared = of("shared_gate_up_swiglu") + of("shared_down");
        let read = of("experts_in") + of("experts_out") + shared;
        assert!(shared > 0, "a network of its own: its format is another");
        assert!(read > experts && read < experts + experts / 100, "{read}, not {experts}");
        let head = 129_280 * 4096 * 2;
        assert!(of("head") > head && of("head") < head + head / 100);
        assert!((10_000_000_000..13_000_000_000).contains(&all), "{all}");
        // Every weight of a matrix is multiplied and added once: 2 operations for each active parameter, and the keys'. But
        // the first token has nothing to choose, so that none of 21 indexers makes its 64 queries of 128 from a latent of 1024.
        let ops: u64 = works.values().map(|work| work.ops).sum();
        let name = SyntheticName::parse("synthetic:deepseek-v4-flash").expect("a name");
        let whole = Synthetic::of(&name).expect("layers").expect("a known model");
        let active = 2 * (whole.n_active_parameters().expect("tensors") - 21 * 64 * 128 * 1024);
        assert!(ops > active / 100 * 99 && ops < active / 100 * 120, "{ops} operations, {active} of weights");
    }
}

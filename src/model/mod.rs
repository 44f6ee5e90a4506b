//! What a model is, with no bytes and no GPU: its shape, the names of its weights, and where they lie. [`Model`] is any
//! of them; [`grouped`] has Llama, Qwen, SmolLM3, Gemma, gpt-oss and LFM2, [`mla`] DeepSeek V2, V3 and R1, [`delta`] Qwen3.5, and
//! what follows here is DeepSeek V4.
//!
//! [`Shape`] comes from a GGUF's keys, from a `config.json`, or by value; [`Weights::bind`] holds a directory of
//! tensors against it. Both check once and for all.
//!
//! # Names
//!
//! One vocabulary, here and in shaders, labels and reports: `attn_norm`, `q_a`, `q_b`, `kv`, `o_a`, `o_b`, `sinks`,
//! `compressor` with `kv`, `gate`, `ape` (absolute position embedding) and `norm`, `indexer` with `q_b`, `weights`
//! and a compressor of its own, `ffn` with `gate` (the router), `experts` and `shared`, `hyper_attn`, `hyper_ffn`
//! and `hyper_head`.
//!
//! # Easy to get wrong
//!
//! Each with the test that guards it; `model::` is `tests/model.rs`.
//!
//! * Layers of ratio 0 turn by base 10 000 without YaRN:
//!   `shape::rope::tests::plain_frequencies_are_powers_of_their_own_base`.
//! * Compressed layers turn by base 160 000 with YaRN, whose pairs 15 to 25 are the ramp:
//!   `shape::rope::tests::compressed_frequencies_have_their_own_base_and_yarns_ramp`.
//! * A list of ratios, and a count of blocks, may include layers of multi-token prediction:
//!   `model::blocks_of_multi_token_prediction_are_counted_out`.
//! * The indexer lies beside the compressor in DeepSeek's names, under it in transformers', and a compressor's
//!   `norm` is another than the attention's `kv_norm`:
//!   `model::names_of_transformers_bind_like_the_official_ones`.
//! * transformers stacks gate over up, expert by expert: the same test.
//! * In a ratio-4 layer the compressor is twice as wide as its entries, in a ratio-128 layer as wide:
//!   `synthetic::published::tests::a_layer_projects_its_normed_input_to_what_its_ratio_asks_for`.
//! * The forward pass has many places where a slip gives plausible text. The golden model was made so that each of them
//!   moves its logits by more than 0.2 somewhere: `golden::logits_agree_in_one_chunk_in_uneven_chunks_and_token_by_token`
//!   and, layer by layer, `golden::streams_and_compressed_entries_agree_after_every_layer` guard
//!   - the mixing matrix, which is used transposed, and Sinkhorn, which ends on columns;
//!   - the factor 2 of `post`, and that there is no `1 + w` in norms;
//!   - rotation by interleaved pairs in the last dims, undone on the output at the query's position, with no amplitude;
//!   - a compressed entry's position, which is its first token's, and that it is seen by its own last token;
//!   - the halves of an overlapping compressor, its position embedding, and the empty slots of entry 0;
//!   - the window, which counts the token itself; the sink, which has weight and no value; the indexer's ReLU;
//!   - the router's weights, which come from scores without bias; the clamp, two-sided on `up` only, shared expert too.
//! * State at the ends of blocks and chunks: `golden::decode_after_a_prompt_of_any_length_agrees`.
//! * A clamp of zero means none, and none must not become infinity: `model::a_limit_of_zero_is_no_limit`.

mod any_shape;
pub mod delta;
mod family;
pub mod grouped;
pub mod mla;
mod outline;
mod part;
mod quantized;
pub mod shape;
pub mod synthetic;
mod unread;
pub mod weights;

pub use any_shape::AnyShape;
pub use family::Family;
pub use outline::{Model, Outline};
pub use quantized::packing;
pub use shape::{N_STREAMS, NO_LIMIT, Projection, RATIO_HEAVY, RATIO_SPARSE, Shape, Yarn};
pub use synthetic::{Synthetic, SyntheticName, published};
pub use weights::take::{Made, Place};
pub use weights::{
    Attention, Compressor, Experts, Ffn, Filling, Hyper, Indexer, Layer, Mapped, Mlp, Named, Piece, Route, ScaleOfAll,
    Scales, Scheme, TensorRef, Weights,
};

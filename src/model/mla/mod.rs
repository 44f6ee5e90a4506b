//! What a decoder with multi-head latent attention is: DeepSeek V2-Lite, V2, V3, R1, V3.2 and their kin. A query latent, groups
//! of experts, a bias of the router, YaRN, experts at all and an indexer are six switches, each on its own.
//!
//! Of a token and layer one row is kept: the key-value latent after its norm, and beside it the one part of a key that
//! turns. Queries are taken to the latents (absorbed), so that all heads read the same row, as key and as value.
//!
//! # Easy to get wrong
//!
//! Each with a wrong model that `mla::what_a_slip_would_change_shows_in_the_logits` loads, or by the golden logits:
//!
//! * Scores are scaled by the width of a plain head and by YaRN's m², not by the width of what is kept.
//! * Pairs that turn are neighbours, the last of a query head; the norm of the latent does not cover the key's part.
//! * `kv_b` has, head by head, rows of keys and then rows of values.
//! * The router's bias chooses and does not weigh. Groups rank by their two best scores with sigmoids, by the best one
//!   with a softmax; llama.cpp takes the two best always, and differs from DeepSeek there.
//! * A GGUF's `yarn_log_multiplier` is a tenth of `mscale_all_dim`.
//! * V3.2's indexer turns the first dims of a head, by halves; its key is normed about its mean, with a bias; a token need not
//!   choose itself.

mod bind;
mod export;
mod read;

pub use read::{architecture, is_config};

use super::grouped::{ExpertsShape, Ffn, Rope};
use super::weights::TensorRef;
use crate::error::{Error, Result};

/// What such a model may choose. Widths are counts of elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Tokens in the vocabulary.
    pub n_vocab: u32,
    /// Width of the residual stream.
    pub n_embd: u32,
    /// Layers, those of multi-token prediction not counted.
    pub n_layers: u32,
    /// Heads.
    pub n_heads: u32,
    /// Width of the latent that queries are made from; 0 where they are made from the stream.
    pub q_lora: u32,
    /// Width of the latent that keys and values are made from.
    pub kv_lora: u32,
    /// Elements of a query and a key head that do not turn.
    pub nope_dim: u32,
    /// Elements of a value head.
    pub value_dim: u32,
    /// How the rest of a head turns; its `n_dims` are that rest.
    pub rope: Rope,
    /// Factor of every product of a query and a key.
    pub scale: f32,
    /// What the scale has of YaRN: its `m`, 1 without.
    pub yarn_m: f64,
    /// Hidden width of a layer without experts.
    pub n_hidden: u32,
    /// The experts, where there are any.
    pub experts: Option<ExpertsShape>,
    /// What chooses the positions that a token attends to, where not all of them are.
    pub indexer: Option<IndexerShape>,
    /// Added to the mean square in every norm.
    pub norm_eps: f32,
    /// The longest context, in tokens, that the model was made for.
    pub context_length: u32,
    /// The token that begins a text, where there is one.
    pub bos: Option<u32>,
    /// The token that ends one, where there is one.
    pub eos: Option<u32>,
    /// What the file left out, and what was taken in its place.
    pub notices: Vec<String>,
}

/// V3.2's indexer, which every layer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexerShape {
    /// Its heads.
    pub n_heads: u32,
    /// Elements of a head and of the one key, the first of which turn.
    pub head_dim: u32,
    /// Positions that a token attends to at most.
    pub top_k: u32,
}

impl IndexerShape {
    /// Width of all its heads.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.n_heads * self.head_dim
    }
}

/// All weights of a model, checked against its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// `[n_vocab, n_embd]`
    pub embed: TensorRef,
    /// `[n_vocab, n_embd]`; absent where the embedding serves again.
    pub head: Option<TensorRef>,
    /// `[n_embd]`
    pub norm: TensorRef,
    /// The layers in order.
    pub layers: Vec<Layer>,
    /// How many tensors belong to multi-token prediction and are left alone.
    pub n_mtp_tensors: usize,
    /// Numbers that were learned; an embedding that serves twice counts once.
    pub n_parameters: u64,
    /// Names of tensors that mean nothing here.
    pub ignored: Vec<String>,
}

/// The weights of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// `[n_embd]`
    pub attn_norm: TensorRef,
    /// What makes queries.
    pub queries: Queries,
    /// `[kv_lora + rope dims, n_embd]`: the latent, then the part of the key that turns.
    pub kv_a: TensorRef,
    /// `[kv_lora]`
    pub kv_norm: TensorRef,
    /// What takes latents to keys.
    pub keys: Keys,
    /// `[n_heads * value_dim, kv_lora]`
    pub values: TensorRef,
    /// `[n_embd, n_heads * value_dim]`
    pub o: TensorRef,
    /// Of V3.2.
    pub indexer: Option<Box<Indexer>>,
    /// `[n_embd]`
    pub ffn_norm: TensorRef,
    /// The feed-forward network.
    pub ffn: Ffn,
}

/// The weights of a layer's indexer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indexer {
    /// `[n_heads * head_dim, q_lora]`
    pub q_b: TensorRef,
    /// `[head_dim, n_embd]`
    pub key: TensorRef,
    /// Norm and bias of the key, `[head_dim]` each.
    pub key_norm: [TensorRef; 2],
    /// What each head counts, `[n_heads, n_embd]`.
    pub weights: TensorRef,
}

/// What makes the queries of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Queries {
    /// From the stream: `[n_heads * head width, n_embd]`.
    Plain(TensorRef),
    /// From a latent.
    Latent {
        /// `[q_lora, n_embd]`
        a: TensorRef,
        /// `[q_lora]`
        norm: TensorRef,
        /// `[n_heads * head width, q_lora]`
        b: TensorRef,
    },
}

/// What takes latents to the part of keys that does not turn. For each head one matrix, in one of two forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// `[n_heads * nope_dim, kv_lora]`: as it was trained.
    Rows(TensorRef),
    /// `[n_heads * kv_lora, nope_dim]`: each head's transposed.
    Columns(TensorRef),
}

impl Shape {
    /// The name of the architecture in a GGUF.
    #[must_use]
    pub fn architecture(&self) -> &'static str {
        if self.indexer.is_some() { "deepseek32" } else { "deepseek2" }
    }

    /// Whether a GGUF has what makes keys and what makes values apart; of older architectures both forms are known.
    #[must_use]
    pub fn is_split_in_gguf(&self) -> bool {
        self.indexer.is_some()
    }

    /// Elements of a query head.
    #[must_use]
    pub fn head_dim(&self) -> u32 {
        self.nope_dim + self.rope.n_dims
    }

    /// Elements that are kept of a token in each layer.
    #[must_use]
    pub fn row_dim(&self) -> u32 {
        self.kv_lora + self.rope.n_dims
    }

    /// Width of all query heads.
    #[must_use]
    pub fn q_width(&self) -> u32 {
        self.n_heads * self.head_dim()
    }

    /// Whether a layer has experts.
    #[must_use]
    pub fn has_experts(&self, layer: usize) -> bool {
        self.experts.as_ref().is_some_and(|experts| experts.layers.get(layer) == Some(&true))
    }

    /// Fails, naming the setting, what was found and what was expected, unless all sizes are within reason. The upper
    /// bounds keep every product of a kernel's sizes inside 32 bits.
    ///
    /// # Errors
    /// As said.
    pub fn check(&self, file: &str) -> Result<()> {
        let wrong = |what: &str, found: String, expected: String| {
            Err(Error::file(format!("{file}: {what}"), found)
                .expected(expected)
                .advice("The file is damaged, or holds a kind of model that is not supported."))
        };
        let none = ExpertsShape::plain(1, 1, 4, true, Vec::new());
        let experts = self.experts.as_ref().unwrap_or(&none);
        let indexer = self.indexer.unwrap_or(IndexerShape { n_heads: 1, head_dim: 4, top_k: 1 });
        let widths = [
            ("width of the model", self.n_embd, 4, 1 << 16),
            ("width of a head of the indexer", indexer.head_dim, 4, 1 << 12),
            ("width of the query latent", self.q_lora, 0, 1 << 14),
            ("width of the key-value latent", self.kv_lora, 4, 1 << 12),
            ("dims of a head that do not turn", self.nope_dim, 4, 1 << 12),
            ("dims of a head that turn", self.rope.n_dims, 4, 1 << 12),
            ("width of a value head", self.value_dim, 4, 1 << 12),
            ("hidden width", self.n_hidden, 4, 1 << 18),
            ("hidden width of an expert", experts.n_hidden, 4, 1 << 16),
            ("hidden width of the shared experts", experts.shared_hidden, 0, 1 << 18),
        ];
        for (what, found, least, most) in widths {
            if !(least..=most).contains(&found) || !found.is_multiple_of(4) {
                return wrong(what, found.to_string(), format!("a multiple of 4 from {least} to {most}"));
            }
        }
        let most_used = experts.n_experts.min(64);
        let counts = [
            ("layers", self.n_layers, super::grouped::MOST_LAYERS),
            ("tokens in the vocabulary", self.n_vocab, 1 << 22),
            ("heads", self.n_heads, 1 << 10),
            ("experts", experts.n_experts, 1 << 12),
            ("experts used", experts.n_used, most_used),
            ("groups of experts", experts.n_groups, 32.min(experts.n_experts)),
            ("groups of experts used", experts.n_kept, experts.n_groups),
            ("context", self.context_length, 1 << 26),
            ("heads of the indexer", indexer.n_heads, 1 << 10),
            ("positions that the indexer chooses", indexer.top_k, 1 << 16),
        ];
        for (what, found, most) in counts {
            if !(1..=most).contains(&found) {
                return wrong(what, found.to_string(), format!("from 1 to {most}"));
            }
        }
        if self.indexer.is_some() && self.q_lora == 0 {
            return wrong(
                "width of the query latent",
                "0".to_owned(),
                "one, from which the indexer's heads are made".to_owned(),
            );
        }
        if self.indexer.is_some() && indexer.head_dim < self.rope.n_dims {
            let expected = format!("at least the {} dims that turn", self.rope.n_dims);
            return wrong("width of a head of the indexer", indexer.head_dim.to_string(), expected);
        }
        let of_each = experts.n_experts / experts.n_groups;
        if !experts.n_experts.is_multiple_of(experts.n_groups) || experts.n_groups > 1 && of_each < 2 {
            let expected = format!("a number that cuts {} experts into equal groups of 2 or more", experts.n_experts);
            return wrong("groups of experts", experts.n_groups.to_string(), expected);
        }
        if of_each * experts.n_kept < experts.n_used {
            let expected = format!("at most the {} of {} groups", of_each * experts.n_kept, experts.n_kept);
            return wrong("experts used", experts.n_used.to_string(), expected);
        }
        if experts.has_bias && !experts.is_sigmoid {
            let expected = "a sigmoid, as in every published model with a bias".to_owned();
            return wrong("scores of the router with a bias", "a softmax".to_owned(), expected);
        }
        for (what, found, least, most) in [
            ("epsilon of the norms", f64::from(self.norm_eps), 0.0, 0.1),
            ("scale of the experts' weights", f64::from(experts.scale), 1e-6, 1e6),
            ("factor of YaRN in the scale of scores", self.yarn_m, 1e-2, 1e2),
        ] {
            if !(least..=most).contains(&found) {
                return wrong(what, found.to_string(), format!("from {least} to {most}"));
            }
        }
        self.rope.check(file)
    }
}

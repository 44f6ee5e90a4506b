//! What a decoder with grouped-query attention is: Llama, Qwen2, Qwen3 and Qwen3-MoE, and with them DeepSeek R1's
//! distills; SmolLM3, Gemma 3 and gpt-oss; and LFM2, most of whose layers have a short convolution in place of attention.
//! Shapes are read, never derived from one another, but for what a file leaves out by custom. Source: spec 12.4; transformers'
//! `modeling_{llama,qwen2,qwen3,qwen3_moe,smollm3,gemma3,gpt_oss,lfm2}`; llama.cpp's loaders of the same names.
//!
//! # Easy to get wrong
//!
//! * A GGUF of architecture `llama` holds the rows of q and k permuted, so that neighbours turn together; everything
//!   else turns the two halves of a head: `grouped::logits_of_a_gguf_agree_with_transformers`.
//! * `rope_freqs` divides the frequencies in a GGUF where a `config.json` has `llama3` scaling: the same test.
//! * The head's width is not the model's width divided by the heads:
//!   `grouped::logits_agree_with_transformers_in_chunks_and_token_by_token`, on qwen3.
//! * A file without an output head uses the embedding again: the same test, on qwen2.
//! * Gemma's norms multiply by 1 + w in safetensors and by w in a GGUF; its embedding is scaled for the layers and not
//!   for the head: `small_models::logits_agree_with_transformers_in_chunks_and_token_by_token`.
//! * LFM2's norm before the head is named as if it were behind the embedding; what gates a convolution's input and what
//!   gates its output look alike at position 0: the same test, and `small_models::what_a_slip_would_change_shows_in_the_logits`.

mod architecture;
pub(super) mod bind;
pub(in crate::model) mod export;
mod layers;
pub(super) mod read;
mod rope;

pub use architecture::{architecture, names};
pub use bind::rope_divisors;
pub use layers::{LayerKind, Turn};
pub use read::is_config;
pub use rope::{Rope, Scaling};

use super::weights::{Experts, Mlp, TensorRef};
use crate::error::{Error, Result};

/// What such a model may choose. Widths are counts of elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// The name that GGUF files have for it: `llama`, `gemma3`, …
    pub architecture: String,
    /// Tokens in the vocabulary.
    pub n_vocab: u32,
    /// Width of the residual stream.
    pub n_embd: u32,
    /// Layers.
    pub n_layers: u32,
    /// Query heads, a multiple of `n_kv_heads`.
    pub n_heads: u32,
    /// Key heads, and as many value heads.
    pub n_kv_heads: u32,
    /// Width of every head.
    pub head_dim: u32,
    /// Hidden width of a layer without experts.
    pub n_hidden: u32,
    /// The experts, where there are any.
    pub experts: Option<ExpertsShape>,
    /// The layers with a convolution in place of attention, where there are any.
    pub convolutions: Option<Convolutions>,
    /// Whether queries, keys and values have a bias.
    pub has_bias: bool,
    /// Whether the output of the attention has one.
    pub has_output_bias: bool,
    /// Whether query and key heads are normed.
    pub has_head_norm: bool,
    /// Whether each head weighs beside its keys what no value goes with.
    pub has_sinks: bool,
    /// Whether what a sub-layer gives is normed before it joins the stream.
    pub has_post_norms: bool,
    /// Whether the file keeps the weights of norms less 1.
    pub norms_less_one: bool,
    /// What gates go through.
    pub activation: Activation,
    /// Factor of the embedding in the residual stream; the head has it without.
    pub embed_scale: f32,
    /// Factor of every product of a query and a key.
    pub attention_scale: f32,
    /// The attention of each layer; empty where all are [`LayerKind::PLAIN`].
    pub kinds: Vec<LayerKind>,
    /// How heads turn.
    pub rope: Rope,
    /// How they turn in layers of [`Turn::Local`].
    pub local_rope: Option<Rope>,
    /// Added to the mean square in every norm.
    pub norm_eps: f32,
    /// The longest context, in tokens, that the model was made for.
    pub context_length: u32,
    /// Whether the embedding is the output head, whatever else the file has.
    pub is_tied: bool,
    /// The token that begins a text, where there is one. As the file has it: it may name no token of the vocabulary.
    pub bos: Option<u32>,
    /// The token that ends one, where there is one; likewise.
    pub eos: Option<u32>,
}

/// The layers with a short convolution in place of attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Convolutions {
    /// Tokens that a convolution spans.
    pub n_taps: u32,
    /// For each layer, whether it has one.
    pub layers: Vec<bool>,
}

/// What a gate goes through before it multiplies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// `v · sigmoid(v)`.
    #[default]
    Silu,
    /// GELU by its approximation with tanh.
    GeluTanh,
}

/// A layer's experts.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpertsShape {
    /// Experts in a layer.
    pub n_experts: u32,
    /// Experts that a token uses.
    pub n_used: u32,
    /// Hidden width of an expert.
    pub n_hidden: u32,
    /// Whether the weights of the experts used are divided by their sum.
    pub normed: bool,
    /// For each layer, whether it has experts.
    pub layers: Vec<bool>,
    /// Hidden width of the network that every token uses beside them; 0 where there is none.
    pub shared_hidden: u32,
    /// Whether that network's output is multiplied by a gate of its own.
    pub has_shared_gate: bool,
    /// Whether scores are logistic functions of the logits, not a softmax over all.
    pub is_sigmoid: bool,
    /// Whether the choice is made by scores with a bias, which the weights do not have.
    pub has_bias: bool,
    /// Groups of equally many consecutive experts; 1 where all compete.
    pub n_groups: u32,
    /// The best groups, from which a token's experts are chosen.
    pub n_kept: u32,
    /// What the weights are multiplied by at the end.
    pub scale: f32,
    /// Where router and experts have biases, what their gates go through.
    pub biased: Option<Gating>,
}

/// How gate and up of an expert with biases become a hidden value: `g · sigmoid(alpha · g) · (u + 1)`, where g is cut off
/// above at the limit, and u both ways.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gating {
    /// Where they are cut off.
    pub limit: f32,
    /// Factor within the sigmoid.
    pub alpha: f32,
}

impl ExpertsShape {
    /// Experts by softmax, all of which compete, and none beside them.
    #[must_use]
    pub fn plain(n_experts: u32, n_used: u32, n_hidden: u32, normed: bool, layers: Vec<bool>) -> Self {
        Self {
            n_experts,
            n_used,
            n_hidden,
            normed,
            layers,
            shared_hidden: 0,
            has_shared_gate: false,
            is_sigmoid: false,
            has_bias: false,
            n_groups: 1,
            n_kept: 1,
            scale: 1.0,
            biased: None,
        }
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
    /// Attention, or what stands in its place.
    pub mixer: Mixer,
    /// Bias of the attention's output, `[n_embd]`.
    pub output_bias: Option<TensorRef>,
    /// `[n_embd]`
    pub ffn_norm: TensorRef,
    /// Norms of what attention and feed-forward network give, `[n_embd]` each.
    pub post_norms: Option<[TensorRef; 2]>,
    /// The feed-forward network.
    pub ffn: Ffn,
}

/// What mixes the tokens of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one for each layer")]
pub enum Mixer {
    /// Grouped-query attention.
    Attention(Attention),
    /// A short convolution.
    Convolution(Convolution),
}

/// The weights of a layer's attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attention {
    /// `[n_heads * head_dim, n_embd]`
    pub q: TensorRef,
    /// `[n_kv_heads * head_dim, n_embd]`
    pub k: TensorRef,
    /// `[n_kv_heads * head_dim, n_embd]`
    pub v: TensorRef,
    /// Biases of q, k and v, as long as those have rows.
    pub bias: Option<[TensorRef; 3]>,
    /// What each head weighs beside its keys, as a product with one: `[n_heads]`.
    pub sinks: Option<TensorRef>,
    /// Norms of query and of key heads, `[head_dim]` each.
    pub head_norm: Option<[TensorRef; 2]>,
    /// `[n_embd, n_heads * head_dim]`
    pub o: TensorRef,
}

/// The weights of a layer's convolution, channel by channel over the last tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// `[3 * n_embd, n_embd]`: what gates the input, what gates the output, the input.
    pub project: TensorRef,
    /// `[n_embd, n_taps]`; the last one meets the newest token.
    pub taps: TensorRef,
    /// `[n_embd, n_embd]`
    pub o: TensorRef,
}

/// The weights of a layer's feed-forward network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ffn {
    /// Without experts.
    Dense {
        /// `[n_hidden, n_embd]`
        gate: TensorRef,
        /// `[n_hidden, n_embd]`
        up: TensorRef,
        /// `[n_embd, n_hidden]`
        down: TensorRef,
    },
    /// With experts.
    Experts {
        /// `[n_experts, n_embd]`
        router: TensorRef,
        /// Added to scores for the choice: `[n_experts]`.
        bias: Option<TensorRef>,
        /// Them.
        experts: Experts,
        /// The network that every token uses beside them.
        shared: Option<Box<Mlp>>,
        /// The gate of that network, `[1, n_embd]`.
        shared_gate: Option<Box<TensorRef>>,
    },
    /// With experts that have biases.
    Biased(Box<BiasedExperts>),
}

/// Experts that have biases, and what chooses among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BiasedExperts {
    /// `[n_experts, n_embd]`
    pub router: TensorRef,
    /// `[n_experts]`
    pub router_bias: TensorRef,
    /// Of each expert gate and up: `[n_experts * 2 * n_hidden, n_embd]`.
    pub gate_up: TensorRef,
    /// `[n_experts, 2 * n_hidden]`
    pub gate_up_bias: TensorRef,
    /// Whether rows of gate and up alternate; else those of gate come first.
    pub alternates: bool,
    /// `[n_experts * n_embd, n_hidden]`
    pub down: TensorRef,
    /// `[n_experts, n_embd]`
    pub down_bias: TensorRef,
}

/// More layers than this no model has.
pub(in crate::model) const MOST_LAYERS: u32 = 1024;

impl Shape {
    /// Whether a layer has experts.
    #[must_use]
    pub fn has_experts(&self, layer: usize) -> bool {
        self.experts.as_ref().is_some_and(|experts| experts.layers.get(layer) == Some(&true))
    }

    /// Whether a layer has a convolution in place of attention.
    #[must_use]
    pub fn convolves(&self, layer: usize) -> bool {
        self.convolutions.as_ref().is_some_and(|of| of.layers.get(layer) == Some(&true))
    }

    /// Width of all query heads.
    #[must_use]
    pub fn q_width(&self) -> u32 {
        self.n_heads * self.head_dim
    }

    /// Width of all key heads.
    #[must_use]
    pub fn kv_width(&self) -> u32 {
        self.n_kv_heads * self.head_dim
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
        let widths = [
            ("width of the model", self.n_embd, 1 << 16),
            ("width of a head", self.head_dim, 1 << 12),
            ("hidden width", self.n_hidden, 1 << 18),
            ("hidden width of an expert", experts.n_hidden, 1 << 16),
            ("rotated dims", self.rope.n_dims, self.head_dim),
        ];
        for (what, found, most) in widths {
            if !(4..=most).contains(&found) || !found.is_multiple_of(4) {
                return wrong(what, found.to_string(), format!("a multiple of 4 from 4 to {most}"));
            }
        }
        let counts = [
            ("layers", self.n_layers, MOST_LAYERS),
            ("tokens in the vocabulary", self.n_vocab, 1 << 22),
            ("query heads", self.n_heads, 1 << 10),
            ("key heads", self.n_kv_heads, self.n_heads),
            ("experts", experts.n_experts, 1 << 12),
            ("experts used", experts.n_used, experts.n_experts.min(64)),
            ("context", self.context_length, 1 << 26),
            ("window", self.kinds.iter().filter_map(|kind| kind.window).max().unwrap_or(1), 1 << 26),
        ];
        for (what, found, most) in counts {
            if !(1..=most).contains(&found) {
                return wrong(what, found.to_string(), format!("from 1 to {most}"));
            }
        }
        let n_taps = self.convolutions.as_ref().map_or(2, |of| of.n_taps);
        if !(2..=16).contains(&n_taps) {
            return wrong("tokens that a convolution spans", n_taps.to_string(), "from 2 to 16".to_owned());
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            return wrong(
                "query heads",
                self.n_heads.to_string(),
                format!("a multiple of {} key heads", self.n_kv_heads),
            );
        }
        if !(0.0..=0.1).contains(&self.norm_eps) {
            return wrong("epsilon of the norms", self.norm_eps.to_string(), "from 0 to 0.1".to_owned());
        }
        for (what, factor) in
            [("scale of the embedding", self.embed_scale), ("scale of attention", self.attention_scale)]
        {
            if !(1e-6..=1e6).contains(&factor) {
                return wrong(what, factor.to_string(), "from 0.000001 to 1000000".to_owned());
            }
        }
        let gating = experts.biased.unwrap_or(Gating { limit: 1.0, alpha: 1.0 });
        for (what, factor) in [("limit of an expert's gate", gating.limit), ("alpha of an expert's gate", gating.alpha)]
        {
            if !(1e-3..=1e6).contains(&factor) {
                return wrong(what, factor.to_string(), "from 0.001 to 1000000".to_owned());
            }
        }
        self.local_rope.iter().try_for_each(|rope| rope.check(file))?;
        self.rope.check(file)
    }
}

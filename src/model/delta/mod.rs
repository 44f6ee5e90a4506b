//! What a decoder of gated delta nets is: Qwen3.5 and Qwen3.6, dense or with experts. In most layers a recurrent state of one
//! size stands for all tokens before (Yang et al. 2024, "Gated Delta Networks"); every few layers there is attention, whose
//! output is gated.
//! Source: transformers' `modeling_{qwen3_5,qwen3_5_moe}`; llama.cpp's loaders of `qwen35` and `qwen35moe`.
//!
//! # Easy to get wrong
//!
//! Each with a wrong model that `delta::what_a_slip_would_change_shows_in_the_logits` loads, or by the golden logits:
//!
//! * Norms of safetensors are kept as what is added to 1, but for that of the delta net's output. A GGUF has the sums.
//! * In safetensors consecutive value heads share a key head; in a GGUF value head h reads key head h modulo their number.
//! * The query projection has, head by head, the query and then the gate. Of a head only the first dims turn.
//! * The convolution looks back on what went into it, not on what came out.

mod bind;
mod export;
mod read;

pub use read::{architecture, is_config};

use super::grouped::{ExpertsShape, Ffn, MOST_LAYERS, Rope};
use super::weights::TensorRef;
use crate::error::{Error, Result};

/// What such a model may choose. Widths are counts of elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// `qwen35` or `qwen35moe`.
    pub architecture: &'static str,
    /// Whether the tensors are as a GGUF has them: norms with the 1 in them, value heads tiled over key heads.
    pub is_gguf: bool,
    /// Tokens in the vocabulary.
    pub n_vocab: u32,
    /// Width of the residual stream.
    pub n_embd: u32,
    /// For each layer, whether it has attention; the others have a delta net.
    pub attends: Vec<bool>,
    /// Query heads of attention, a multiple of `n_kv_heads`.
    pub n_heads: u32,
    /// Key heads of attention, and as many value heads.
    pub n_kv_heads: u32,
    /// Width of every head of attention.
    pub head_dim: u32,
    /// How its heads turn.
    pub rope: Rope,
    /// The delta nets.
    pub net: NetShape,
    /// Hidden width of a layer without experts.
    pub n_hidden: u32,
    /// The experts, where there are any.
    pub experts: Option<ExpertsShape>,
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

/// A gated delta net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetShape {
    /// Heads of queries and of keys.
    pub n_key_heads: u32,
    /// Value heads, a multiple of `n_key_heads`, each with a state `[key_dim, value_dim]`.
    pub n_value_heads: u32,
    /// Elements of a query or key head.
    pub key_dim: u32,
    /// Elements of a value head.
    pub value_dim: u32,
    /// Tokens that the convolution spans.
    pub n_taps: u32,
}

impl NetShape {
    /// Width of all value heads.
    #[must_use]
    pub fn value_width(&self) -> u32 {
        self.n_value_heads * self.value_dim
    }

    /// Channels of the convolution: queries, keys and values.
    #[must_use]
    pub fn n_channels(&self) -> u32 {
        2 * self.n_key_heads * self.key_dim + self.value_width()
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
    /// How many tensors see pictures and are left alone.
    pub n_vision_tensors: usize,
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
    /// `[n_embd]`
    pub ffn_norm: TensorRef,
    /// The feed-forward network.
    pub ffn: Ffn,
}

/// What mixes the tokens of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one for each layer")]
pub enum Mixer {
    /// Attention with a gate on its output.
    Attention {
        /// `[n_heads * head_dim, n_embd]`
        q: TensorRef,
        /// `[n_heads * head_dim, n_embd]`
        gate: TensorRef,
        /// `[n_kv_heads * head_dim, n_embd]`
        k: TensorRef,
        /// `[n_kv_heads * head_dim, n_embd]`
        v: TensorRef,
        /// Norms of query and of key heads, `[head_dim]` each.
        head_norm: [TensorRef; 2],
        /// `[n_embd, n_heads * head_dim]`
        o: TensorRef,
    },
    /// A gated delta net.
    Net {
        /// `[n_channels, n_embd]`: queries, keys, values.
        qkv: TensorRef,
        /// `[n_value_heads * value_dim, n_embd]`: the gate on the output.
        z: TensorRef,
        /// `[n_value_heads, n_embd]`: what is written to the state.
        b: TensorRef,
        /// `[n_value_heads, n_embd]`: what is kept of it.
        a: TensorRef,
        /// `[n_channels, n_taps]`
        taps: TensorRef,
        /// `[n_value_heads]`: `-exp(A_log)`.
        decay: TensorRef,
        /// Bias of `a`, `[n_value_heads]`.
        bias: TensorRef,
        /// Norm of the output, `[value_dim]`.
        norm: TensorRef,
        /// `[n_embd, n_value_heads * value_dim]`
        o: TensorRef,
    },
}

/// More elements than this no query, key or value head of a delta net has: an invocation may hold one.
const MOST_HEAD_DIM: u32 = 256;

impl Shape {
    /// Layers, those of multi-token prediction not counted.
    #[must_use]
    pub fn n_layers(&self) -> u32 {
        self.attends.len() as u32
    }

    /// Width of all query heads of attention.
    #[must_use]
    pub fn q_width(&self) -> u32 {
        self.n_heads * self.head_dim
    }

    /// Width of all key heads of attention.
    #[must_use]
    pub fn kv_width(&self) -> u32 {
        self.n_kv_heads * self.head_dim
    }

    /// What a layer is, in a word.
    #[must_use]
    pub fn kind(&self, layer: usize) -> &'static str {
        match (self.attends.get(layer) == Some(&true), self.experts.is_some()) {
            (true, false) => "attention",
            (true, true) => "attention, experts",
            (false, false) => "delta net",
            (false, true) => "delta net, experts",
        }
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
        let (experts, net) = (self.experts.as_ref().unwrap_or(&none), &self.net);
        let widths = [
            ("width of the model", self.n_embd, 4, 1 << 16),
            ("width of a head", self.head_dim, 4, 1 << 12),
            ("rotated dims", self.rope.n_dims, 4, self.head_dim),
            ("width of a key head of the delta net", net.key_dim, 4, MOST_HEAD_DIM),
            ("width of a value head of the delta net", net.value_dim, 4, MOST_HEAD_DIM),
            ("hidden width of an expert", experts.n_hidden, 4, 1 << 16),
            ("hidden width", self.n_hidden, 4, 1 << 18),
            ("hidden width of the shared expert", experts.shared_hidden, 0, 1 << 18),
        ];
        for (what, found, least, most) in widths {
            if !(least..=most).contains(&found) || !found.is_multiple_of(4) {
                return wrong(what, found.to_string(), format!("a multiple of 4 from {least} to {most}"));
            }
        }
        let counts = [
            ("layers", self.n_layers(), 1, MOST_LAYERS),
            ("tokens in the vocabulary", self.n_vocab, 1, 1 << 22),
            ("query heads", self.n_heads, 1, 1 << 10),
            ("key heads", self.n_kv_heads, 1, self.n_heads),
            ("key heads of the delta net", net.n_key_heads, 1, 1 << 8),
            ("value heads of the delta net", net.n_value_heads, 1, 1 << 8),
            ("tokens that the convolution spans", net.n_taps, 2, 16),
            ("experts", experts.n_experts, 1, 1 << 12),
            ("experts used", experts.n_used, 1, experts.n_experts.min(64)),
            ("context", self.context_length, 1, 1 << 26),
        ];
        for (what, found, least, most) in counts {
            if !(least..=most).contains(&found) {
                return wrong(what, found.to_string(), format!("from {least} to {most}"));
            }
        }
        for (what, found, of) in [
            ("query heads", self.n_heads, self.n_kv_heads),
            ("value heads of the delta net", net.n_value_heads, net.n_key_heads),
        ] {
            if !found.is_multiple_of(of) {
                return wrong(what, found.to_string(), format!("a multiple of {of} key heads"));
            }
        }
        if !(0.0..=0.1).contains(&self.norm_eps) {
            return wrong("epsilon of the norms", self.norm_eps.to_string(), "from 0 to 0.1".to_owned());
        }
        self.rope.check(file)
    }
}

//! The architectures with grouped-query attention, a row each: what sets one apart from another, and what its files mean by
//! leaving a setting out. One more that is made of the same blocks is a row here.

use super::bind::LFM2;
use super::layers::Custom;
use super::{Activation, Gating};

/// Which layers of a config see a window only, as transformers has it.
#[derive(Clone, Copy)]
pub(super) enum Slides {
    /// None, or where [`Custom`] says so.
    Never,
    /// All of them, where there is a window.
    Always,
    /// The same, where it is used.
    WhereUsed,
    /// Where it is used, those behind `max_window_layers`, unless they are listed.
    Behind,
    /// Those that are listed; else, where it is used, those that do not turn.
    WhereStill,
}

/// What an architecture is by its name alone.
#[derive(Clone, Copy)]
pub(super) struct Architecture {
    /// Its name in a GGUF and in a `config.json`.
    pub(super) gguf: &'static str,
    pub(super) config: &'static str,
    /// Whether a GGUF holds the rows of q and k so that neighbours turn together.
    pub(super) is_permuted: bool,
    /// Whether query and key heads are normed.
    pub(super) has_head_norm: bool,
    /// Whether queries, keys and values have a bias though a file says nothing of it, and the output never has.
    pub(super) has_qkv_bias: bool,
    /// Whether each head weighs beside its keys what no value goes with.
    pub(super) has_sinks: bool,
    pub(super) has_convolutions: bool,
    pub(super) has_experts: bool,
    /// Experts with biases, and how their gates are cut off where a file does not say.
    pub(super) gating: Option<Gating>,
    /// Whether what a sub-layer gives is normed before it joins the stream.
    pub(super) has_post_norms: bool,
    /// Whether safetensors keep the weights of norms less 1.
    pub(super) norms_less_one: bool,
    /// Whether the embedding is multiplied by the root of its width.
    pub(super) scales_embedding: bool,
    /// Layers of a model whose products of queries and keys are divided by the root of an equal part of the width, not by
    /// that of a head's: a GGUF has no key for it.
    pub(super) equal_part_at: Option<u32>,
    /// Whether a `config.json` without a kind of rotary scaling is not whole: transformers would take the published model's.
    pub(super) needs_scaling: bool,
    /// Whether YaRN rounds, in a GGUF, the pairs between which it interpolates.
    pub(super) rounds: bool,
    /// Whether a config's layers see a window only. Within it that is no difference: the context is that long.
    pub(super) slides: Slides,
    pub(super) activation: Activation,
    /// Parts of names of tensors, and what stands for them here.
    pub(super) spelling: &'static [(&'static str, &'static str)],
    pub(super) layers: Custom,
    pub(super) defaults: Defaults,
}

/// What a `config.json` means by leaving a setting out: what transformers' configuration of the architecture has, as the
/// file is written without what is as usual. Of transformers 5.23.
#[derive(Clone, Copy)]
pub(super) struct Defaults {
    pub(super) n_vocab: Option<u32>,
    pub(super) n_heads: Option<u32>,
    pub(super) head_dim: Option<u32>,
    pub(super) kv_heads: Option<u32>,
    pub(super) context: u32,
    pub(super) base: Option<f64>,
    pub(super) norm_eps: Option<f64>,
    pub(super) window: Option<u32>,
    /// The square of what products of queries and keys are divided by.
    pub(super) attention_scale: Option<f64>,
    pub(super) has_bias: bool,
    pub(super) is_tied: bool,
    pub(super) n_experts: Option<u32>,
    pub(super) n_used: Option<u32>,
    pub(super) expert_hidden: Option<u32>,
    pub(super) normed: bool,
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
}

impl Defaults {
    /// Where a file has to say everything that can be said.
    const NONE: Self = Self {
        n_vocab: None,
        n_heads: None,
        head_dim: None,
        kv_heads: None,
        context: 0,
        base: None,
        norm_eps: None,
        window: None,
        attention_scale: None,
        has_bias: false,
        is_tied: false,
        n_experts: None,
        n_used: None,
        expert_hidden: None,
        normed: false,
        bos: None,
        eos: None,
    };

    /// Of a GGUF of any architecture.
    pub(super) const GGUF: Self = Self { context: 2048, normed: true, ..Self::NONE };
}

/// What most are.
const PLAIN: Architecture = Architecture {
    gguf: "",
    config: "",
    is_permuted: false,
    has_head_norm: false,
    has_qkv_bias: false,
    has_sinks: false,
    has_convolutions: false,
    has_experts: false,
    gating: None,
    has_post_norms: false,
    norms_less_one: false,
    scales_embedding: false,
    equal_part_at: None,
    needs_scaling: false,
    rounds: true,
    slides: Slides::Never,
    activation: Activation::Silu,
    spelling: &[],
    layers: Custom::NONE,
    defaults: Defaults::NONE,
};

const LLAMA: Architecture = Architecture {
    gguf: "llama",
    config: "llama",
    is_permuted: true,
    defaults: Defaults { context: 2048, n_vocab: Some(32_000), bos: Some(1), eos: Some(2), ..Defaults::NONE },
    ..PLAIN
};

const QWEN3: Architecture = Architecture {
    gguf: "qwen3",
    config: "qwen3",
    has_head_norm: true,
    slides: Slides::Behind,
    defaults: Defaults {
        context: 32_768,
        n_vocab: Some(151_936),
        kv_heads: Some(32),
        head_dim: Some(128),
        window: Some(4096),
        ..Defaults::NONE
    },
    ..PLAIN
};

/// Of neighbours with one name in a GGUF, the first is what such a file is.
static ALL: [Architecture; 9] = [
    LLAMA,
    Architecture {
        config: "mistral",
        slides: Slides::Always,
        defaults: Defaults { context: 131_072, kv_heads: Some(8), window: Some(4096), ..LLAMA.defaults },
        ..LLAMA
    },
    Architecture {
        gguf: "qwen2",
        config: "qwen2",
        has_qkv_bias: true,
        slides: Slides::Behind,
        defaults: Defaults {
            context: 32_768,
            n_vocab: Some(151_936),
            kv_heads: Some(32),
            window: Some(4096),
            ..Defaults::NONE
        },
        ..PLAIN
    },
    QWEN3,
    Architecture {
        gguf: "qwen3moe",
        config: "qwen3_moe",
        has_experts: true,
        slides: Slides::WhereUsed,
        defaults: Defaults {
            context: 32_768,
            n_vocab: Some(151_936),
            kv_heads: Some(4),
            window: Some(4096),
            n_experts: Some(128),
            n_used: Some(8),
            expert_hidden: Some(768),
            ..Defaults::NONE
        },
        ..QWEN3
    },
    Architecture {
        gguf: "smollm3",
        config: "smollm3",
        is_permuted: true,
        slides: Slides::WhereStill,
        layers: Custom { still_each: Some(4), ..Custom::NONE },
        defaults: Defaults {
            context: 32_768,
            n_vocab: Some(128_256),
            kv_heads: Some(4),
            base: Some(2e6),
            is_tied: true,
            bos: Some(128_000),
            eos: Some(128_001),
            ..Defaults::NONE
        },
        ..PLAIN
    },
    Architecture {
        gguf: "gemma3",
        config: "gemma3_text",
        has_head_norm: true,
        has_post_norms: true,
        norms_less_one: true,
        scales_embedding: true,
        equal_part_at: Some(62),
        activation: Activation::GeluTanh,
        layers: Custom { full_each: Some(6), turns_apart: true, ..Custom::NONE },
        defaults: Defaults {
            context: 131_072,
            n_vocab: Some(262_208),
            n_heads: Some(8),
            kv_heads: Some(4),
            head_dim: Some(256),
            base: Some(1e6),
            window: Some(4096),
            attention_scale: Some(256.0),
            is_tied: true,
            bos: Some(2),
            eos: Some(1),
            ..Defaults::NONE
        },
        ..PLAIN
    },
    Architecture {
        gguf: "gpt-oss",
        config: "gpt_oss",
        has_sinks: true,
        has_experts: true,
        // The factor has no key.
        gating: Some(Gating { limit: 7.0, alpha: 1.702 }),
        needs_scaling: true,
        // As OpenAI computes it; llama.cpp rounds.
        rounds: false,
        layers: Custom { full_each: Some(2), needs_window: true, ..Custom::NONE },
        defaults: Defaults {
            context: 131_072,
            n_vocab: Some(201_088),
            n_heads: Some(64),
            kv_heads: Some(8),
            head_dim: Some(64),
            base: Some(150_000.0),
            norm_eps: Some(1e-5),
            window: Some(128),
            has_bias: true,
            n_experts: Some(128),
            n_used: Some(4),
            normed: true,
            eos: Some(200_002),
            ..Defaults::NONE
        },
        ..PLAIN
    },
    Architecture {
        gguf: "lfm2",
        config: "lfm2",
        has_head_norm: true,
        has_convolutions: true,
        spelling: &LFM2,
        layers: Custom { all_slide: true, ..Custom::NONE },
        defaults: Defaults {
            context: 128_000,
            n_vocab: Some(65_536),
            n_heads: Some(32),
            kv_heads: Some(8),
            base: Some(1e6),
            norm_eps: Some(1e-5),
            is_tied: true,
            bos: Some(1),
            eos: Some(2),
            ..Defaults::NONE
        },
        ..PLAIN
    },
];

impl Architecture {
    /// By the name that either kind of file has for it.
    pub(super) fn of(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|row| name == row.gguf || name == row.config)
    }

    /// By the name that a shape has for it; the plain one for what nobody knows.
    pub(super) fn named(name: &str) -> &'static Self {
        Self::of(name).unwrap_or(&PLAIN)
    }

    /// By how many elements' root products of queries and keys are divided in a GGUF, which has no key for it.
    pub(super) fn scaled_by(&self, n_layers: u32, equal_part: u32, head_dim: u32) -> u32 {
        if self.equal_part_at == Some(n_layers) { equal_part } else { head_dim }
    }
}

/// The name of an architecture in a GGUF, if it is one of ours; `name` as either kind of file has it.
#[must_use]
pub fn architecture(name: &str) -> Option<&'static str> {
    Architecture::of(name).map(|row| row.gguf)
}

/// The names in a GGUF of all that run, for messages.
#[must_use]
pub fn names() -> String {
    let mut names = ALL.map(|row| row.gguf).to_vec();
    names.dedup();
    names.join(", ")
}

//! Models that are known to run: where they are, under which licence, and the shape that their memory follows from.
//! Sizes computed here are those of the tensors; a file has a few MB more, its vocabulary. The exact size and the hash are
//! asked of the hub before anything is downloaded.
//!
//! Shapes are those of the models' own `config.json`; spec 12.4 has R1's distills.

use crate::format::Format;

/// A file on the hub that is known to run.
#[derive(Clone, Copy, Debug)]
pub struct KnownModel {
    /// What to call it.
    pub name: &'static str,
    /// `owner/name` on the hub.
    pub repo: &'static str,
    /// Which of its files.
    pub quant: Quant,
    /// The model's licence, in short.
    pub licence: &'static str,
    /// What its memory follows from.
    pub shape: KnownShape,
}

/// How the matrices of a GGUF file are quantized: what the name in the file's name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quant {
    /// Q4_K, but Q6_K for the output head, and in half of the layers for values and `ffn_down`.
    Q4KM,
    /// Q8_0 throughout.
    Q80,
}

/// The shape of a model with grouped-query attention, in some of them short convolutions in most layers, and no experts.
/// Widths are counts of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownShape {
    /// Layers.
    pub n_layers: u64,
    /// How many of them have a convolution over three tokens in place of attention.
    pub n_convolutions: u64,
    /// Width of the residual stream.
    pub n_embd: u64,
    /// Query heads.
    pub n_heads: u64,
    /// Key heads, and as many value heads.
    pub n_kv_heads: u64,
    /// Width of every head.
    pub head_dim: u64,
    /// Hidden width of the feed-forward network.
    pub n_hidden: u64,
    /// Tokens in the vocabulary.
    pub n_vocab: u64,
    /// Whether the file holds an output head, or the embedding serves again.
    pub has_head: bool,
    /// Whether queries, keys and values have a bias.
    pub has_bias: bool,
    /// Whether query and key heads are normed.
    pub has_head_norm: bool,
    /// Whether what a sub-layer gives is normed before it joins the stream.
    pub has_post_norms: bool,
    /// The longest context, in tokens, that the model was made for.
    pub context_length: u64,
}

/// What a model takes on an adapter, in bytes; what a step computes with comes on top, some tens of MB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The tensors.
    pub weights: u64,
    /// Keys and values of every token of the context.
    pub cache: u64,
}

impl Memory {
    /// All of it.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.weights.saturating_add(self.cache)
    }
}

/// What the shapes have in common, unless they say otherwise.
const LLAMA: KnownShape = KnownShape {
    n_layers: 32,
    n_convolutions: 0,
    n_embd: 4096,
    n_heads: 32,
    n_kv_heads: 8,
    head_dim: 128,
    n_hidden: 14_336,
    n_vocab: 128_256,
    has_head: true,
    has_bias: false,
    has_head_norm: false,
    has_post_norms: false,
    context_length: 131_072,
};
const LLAMA_1B: KnownShape =
    KnownShape { n_layers: 16, n_embd: 2048, head_dim: 64, n_hidden: 8192, has_head: false, ..LLAMA };
const LLAMA_3B: KnownShape =
    KnownShape { n_layers: 28, n_embd: 3072, n_heads: 24, n_hidden: 8192, has_head: false, ..LLAMA };
const QWEN2_1_5B: KnownShape = KnownShape {
    n_layers: 28,
    n_embd: 1536,
    n_heads: 12,
    n_kv_heads: 2,
    n_hidden: 8960,
    n_vocab: 151_936,
    has_bias: true,
    ..LLAMA
};
const QWEN2_7B: KnownShape =
    KnownShape { n_embd: 3584, n_heads: 28, n_kv_heads: 4, n_hidden: 18_944, n_vocab: 152_064, ..QWEN2_1_5B };
const QWEN3_0_6B: KnownShape = KnownShape {
    n_layers: 28,
    n_embd: 1024,
    n_heads: 16,
    n_hidden: 3072,
    n_vocab: 151_936,
    has_head_norm: true,
    context_length: 40_960,
    ..LLAMA
};
const QWEN3_1_7B: KnownShape = KnownShape { n_embd: 2048, n_hidden: 6144, ..QWEN3_0_6B };
const QWEN3_4B: KnownShape =
    KnownShape { n_layers: 36, n_embd: 2560, n_heads: 32, n_hidden: 9728, has_head: false, ..QWEN3_0_6B };
const QWEN3_8B: KnownShape =
    KnownShape { n_layers: 36, n_embd: 4096, n_heads: 32, n_hidden: 12_288, context_length: 131_072, ..QWEN3_0_6B };

const SMOLLM2_1_7B: KnownShape = KnownShape {
    n_layers: 24,
    n_embd: 2048,
    n_kv_heads: 32,
    head_dim: 64,
    n_hidden: 8192,
    n_vocab: 49_152,
    has_head: false,
    context_length: 8192,
    ..LLAMA
};
const SMOLLM3_3B: KnownShape = KnownShape {
    n_layers: 36,
    n_embd: 2048,
    n_heads: 16,
    n_kv_heads: 4,
    n_hidden: 11_008,
    has_head: false,
    context_length: 65_536,
    ..LLAMA
};
const GEMMA3_4B: KnownShape = KnownShape {
    n_layers: 34,
    n_embd: 2560,
    n_heads: 8,
    n_kv_heads: 4,
    head_dim: 256,
    n_hidden: 10_240,
    n_vocab: 262_144,
    has_head: false,
    has_head_norm: true,
    has_post_norms: true,
    ..LLAMA
};
const GEMMA3_1B: KnownShape = KnownShape {
    n_layers: 26,
    n_embd: 1152,
    n_heads: 4,
    n_kv_heads: 1,
    n_hidden: 6912,
    context_length: 32_768,
    ..GEMMA3_4B
};

const LFM2_1_2B: KnownShape = KnownShape {
    n_layers: 16,
    n_convolutions: 10,
    n_embd: 2048,
    head_dim: 64,
    n_hidden: 8192,
    n_vocab: 65_536,
    has_head: false,
    has_head_norm: true,
    context_length: 128_000,
    ..LLAMA
};
const LFM2_700M: KnownShape = KnownShape { n_embd: 1536, n_heads: 24, n_hidden: 6912, ..LFM2_1_2B };
const LFM2_350M: KnownShape = KnownShape { n_embd: 1024, n_heads: 16, n_hidden: 4608, ..LFM2_1_2B };

/// Tokens that a convolution spans.
const N_TAPS: u64 = 3;

const fn known(
    name: &'static str,
    repo: &'static str,
    quant: Quant,
    licence: &'static str,
    shape: KnownShape,
) -> KnownModel {
    KnownModel { name, repo, quant, licence, shape }
}

/// The models, those of DeepSeek first.
pub const CATALOGUE: [KnownModel; 19] = [
    known("R1-Distill-Qwen-1.5B", "unsloth/DeepSeek-R1-Distill-Qwen-1.5B-GGUF", Quant::Q4KM, "MIT", QWEN2_1_5B),
    known("R1-Distill-Qwen-7B", "unsloth/DeepSeek-R1-Distill-Qwen-7B-GGUF", Quant::Q4KM, "MIT", QWEN2_7B),
    known("R1-Distill-Llama-8B", "unsloth/DeepSeek-R1-Distill-Llama-8B-GGUF", Quant::Q4KM, "Llama 3.1", LLAMA),
    known("R1-0528-Qwen3-8B", "unsloth/DeepSeek-R1-0528-Qwen3-8B-GGUF", Quant::Q4KM, "MIT", QWEN3_8B),
    known("Qwen3-0.6B", "ggml-org/Qwen3-0.6B-GGUF", Quant::Q80, "Apache 2.0", QWEN3_0_6B),
    known("Qwen3-1.7B", "ggml-org/Qwen3-1.7B-GGUF", Quant::Q4KM, "Apache 2.0", QWEN3_1_7B),
    known("Qwen3-4B", "ggml-org/Qwen3-4B-GGUF", Quant::Q4KM, "Apache 2.0", QWEN3_4B),
    known(
        "Qwen2.5-0.5B-Instruct",
        "bartowski/Qwen2.5-0.5B-Instruct-GGUF",
        Quant::Q80,
        "Apache 2.0",
        KnownShape {
            n_layers: 24,
            n_embd: 896,
            n_heads: 14,
            head_dim: 64,
            n_hidden: 4864,
            has_head: false,
            context_length: 32_768,
            ..QWEN2_1_5B
        },
    ),
    known(
        "Qwen2.5-1.5B-Instruct",
        "bartowski/Qwen2.5-1.5B-Instruct-GGUF",
        Quant::Q4KM,
        "Apache 2.0",
        KnownShape { has_head: false, context_length: 32_768, ..QWEN2_1_5B },
    ),
    known("Llama-3.2-1B-Instruct", "bartowski/Llama-3.2-1B-Instruct-GGUF", Quant::Q4KM, "Llama 3.2", LLAMA_1B),
    known("Llama-3.2-3B-Instruct", "bartowski/Llama-3.2-3B-Instruct-GGUF", Quant::Q4KM, "Llama 3.2", LLAMA_3B),
    known("SmolLM2-1.7B-Instruct", "bartowski/SmolLM2-1.7B-Instruct-GGUF", Quant::Q4KM, "Apache 2.0", SMOLLM2_1_7B),
    known("SmolLM3-3B", "ggml-org/SmolLM3-3B-GGUF", Quant::Q4KM, "Apache 2.0", SMOLLM3_3B),
    known(
        "Gemma-3-270M-it",
        "ggml-org/gemma-3-270m-it-GGUF",
        Quant::Q80,
        "Gemma",
        KnownShape { n_layers: 18, n_embd: 640, n_hidden: 2048, ..GEMMA3_1B },
    ),
    known("Gemma-3-1B-it", "ggml-org/gemma-3-1b-it-GGUF", Quant::Q80, "Gemma", GEMMA3_1B),
    known("Gemma-3-4B-it", "ggml-org/gemma-3-4b-it-GGUF", Quant::Q4KM, "Gemma", GEMMA3_4B),
    known("LFM2-350M", "LiquidAI/LFM2-350M-GGUF", Quant::Q80, "LFM 1.0", LFM2_350M),
    known("LFM2-700M", "LiquidAI/LFM2-700M-GGUF", Quant::Q4KM, "LFM 1.0", LFM2_700M),
    known("LFM2-1.2B", "LiquidAI/LFM2-1.2B-GGUF", Quant::Q4KM, "LFM 1.0", LFM2_1_2B),
];

impl Quant {
    /// As it stands in files' names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Q4KM => "Q4_K_M",
            Self::Q80 => "Q8_0",
        }
    }

    /// The format of most matrices, and of those that weigh more on the result.
    const fn formats(self) -> (Format, Format) {
        match self {
            Self::Q4KM => (Format::Q4_K, Format::Q6_K),
            Self::Q80 => (Format::Q8_0, Format::Q8_0),
        }
    }
}

impl KnownModel {
    /// What `-hf` takes.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}:{}", self.repo, self.quant.name())
    }

    /// Bytes of all tensors, as llama.cpp quantizes them, and about those of the file.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        let (most, careful) = self.quant.formats();
        let s = &self.shape;
        let matrix = |format: Format, n_in: u64, n_out: u64| format.row_bytes(n_in) * n_out;
        let vocabulary = |format| matrix(format, s.n_embd, s.n_vocab);
        let head = if s.has_head { vocabulary(most) + vocabulary(careful) } else { vocabulary(careful) };
        let layer = |index: u64| {
            let weighty = if is_careful(index, s.n_layers) { careful } else { most };
            2 * matrix(most, s.n_embd, s.n_hidden) + matrix(weighty, s.n_hidden, s.n_embd)
        };
        // Values are counted over the layers with attention alone.
        let attention = |index: u64| {
            let weighty = if is_careful(index, s.n_attentions()) { careful } else { most };
            2 * matrix(most, s.n_embd, s.n_heads * s.head_dim)
                + matrix(most, s.n_embd, s.n_kv_heads * s.head_dim)
                + matrix(weighty, s.n_embd, s.n_kv_heads * s.head_dim)
        };
        let convolutions = s.n_convolutions * matrix(most, s.n_embd, 4 * s.n_embd);
        let layers: u64 = (0..s.n_layers).map(layer).sum();
        let attentions: u64 = (0..s.n_attentions()).map(attention).sum();
        head + layers + attentions + convolutions + 4 * s.n_vector_elements()
    }

    /// What it takes at a context of so many tokens, with keys and values in elements of so many bytes.
    #[must_use]
    pub fn memory(&self, n_context: u64, element_bytes: u64) -> Memory {
        Memory { weights: self.weight_bytes(), cache: self.shape.cache_bytes(n_context, element_bytes) }
    }
}

/// Whether llama.cpp gives a layer's values and `ffn_down` more bits in a medium mix: the first and the last eighth, and
/// every third between.
const fn is_careful(index: u64, n_layers: u64) -> bool {
    let eighth = n_layers / 8;
    index < eighth || index >= 7 * n_layers / 8 || (index - eighth) % 3 == 2
}

impl KnownShape {
    /// Elements of all tensors of the file.
    #[must_use]
    pub const fn parameters(&self) -> u64 {
        let n_vocabularies = if self.has_head { 2 } else { 1 };
        let attention = 2 * self.n_embd * (self.n_heads + self.n_kv_heads) * self.head_dim;
        let mixers = self.n_attentions() * attention + self.n_convolutions * 4 * self.n_embd * self.n_embd;
        let networks = self.n_layers * 3 * self.n_embd * self.n_hidden;
        n_vocabularies * self.n_vocab * self.n_embd + mixers + networks + self.n_vector_elements()
    }

    /// Layers with attention.
    const fn n_attentions(&self) -> u64 {
        self.n_layers - self.n_convolutions
    }

    /// Elements of norms, biases and the taps of convolutions.
    const fn n_vector_elements(&self) -> u64 {
        let bias = if self.has_bias { (self.n_heads + 2 * self.n_kv_heads) * self.head_dim } else { 0 };
        let head_norm = if self.has_head_norm { 2 * self.head_dim } else { 0 };
        let n_norms = if self.has_post_norms { 4 } else { 2 };
        let taps = self.n_convolutions * N_TAPS * self.n_embd;
        (self.n_layers * n_norms + 1) * self.n_embd + self.n_attentions() * (bias + head_norm) + taps
    }

    /// Bytes of one layer's keys at a context, which have to be bound in one piece; its values are as many.
    #[must_use]
    pub const fn key_bytes(&self, n_context: u64, element_bytes: u64) -> u64 {
        (self.n_kv_heads * self.head_dim * element_bytes).saturating_mul(n_context)
    }

    /// Bytes of keys and values at a context of so many tokens.
    #[must_use]
    pub const fn cache_bytes(&self, n_context: u64, element_bytes: u64) -> u64 {
        self.key_bytes(n_context, element_bytes).saturating_mul(2 * self.n_attentions())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Endpoint, Reference, Wanted};
    use super::*;
    use std::collections::BTreeSet;

    fn find(name: &str) -> &'static KnownModel {
        CATALOGUE.iter().find(|model| model.name == name).expect(name)
    }

    /// As the models' own pages count them. Qwen3's small ones say less: there a head that equals the embedding is not
    /// counted, though their files hold it.
    #[test]
    fn parameters_are_those_published() {
        for (name, parameters) in [
            ("R1-Distill-Qwen-1.5B", 1_777_088_000),
            ("R1-Distill-Qwen-7B", 7_615_616_512),
            ("R1-Distill-Llama-8B", 8_030_261_248),
            ("R1-0528-Qwen3-8B", 8_190_735_360),
            ("Qwen3-0.6B", 751_632_384),
            ("Qwen3-1.7B", 2_031_739_904),
            ("Qwen3-4B", 4_022_468_096),
            ("Qwen2.5-0.5B-Instruct", 494_032_768),
            ("Qwen2.5-1.5B-Instruct", 1_543_714_304),
            ("Llama-3.2-1B-Instruct", 1_235_814_400),
            ("Llama-3.2-3B-Instruct", 3_212_749_824),
            ("SmolLM2-1.7B-Instruct", 1_711_376_384),
            ("SmolLM3-3B", 3_075_098_624),
            ("Gemma-3-270M-it", 268_098_176),
            ("Gemma-3-1B-it", 999_885_952),
            ("Gemma-3-4B-it", 3_880_099_328),
            ("LFM2-350M", 354_483_968),
            ("LFM2-700M", 742_489_344),
            ("LFM2-1.2B", 1_170_340_608),
        ] {
            assert_eq!(find(name).shape.parameters(), parameters, "{name}");
        }
        assert_eq!(CATALOGUE.len(), 19, "each is above");
    }

    /// Sizes of the files as their pages show them: two of them to the byte, the others rounded.
    #[test]
    fn sizes_are_about_those_of_the_files() {
        for (name, bytes) in [
            ("R1-Distill-Qwen-1.5B", 1_117_321_312_u64),
            ("Qwen3-4B", 2_497_280_640),
            ("R1-Distill-Llama-8B", 4_920_000_000),
            ("Qwen3-0.6B", 805_000_000),
            ("Qwen3-1.7B", 1_280_000_000),
            ("Qwen2.5-0.5B-Instruct", 531_000_000),
            ("Llama-3.2-1B-Instruct", 810_000_000),
            ("Llama-3.2-3B-Instruct", 2_020_000_000),
            ("SmolLM2-1.7B-Instruct", 1_056_000_000),
            ("SmolLM3-3B", 1_915_000_000),
            ("Gemma-3-1B-it", 1_069_000_000),
            ("Gemma-3-4B-it", 2_490_000_000),
            ("LFM2-1.2B", 731_000_000),
        ] {
            let about = find(name).weight_bytes() as f64 / bytes as f64;
            assert!((0.98..=1.005).contains(&about), "{name}: {about}");
        }
    }

    #[test]
    fn each_entry_can_be_asked_for_and_agrees_with_itself() {
        let mut names = BTreeSet::new();
        for model in &CATALOGUE {
            let reference = Reference::parse(&model.reference(), &Endpoint::default()).expect(model.name);
            let Reference::Hub { repo, wanted: Wanted::Quant(quant), .. } = reference else { panic!("{}", model.name) };
            assert_eq!((repo.as_str(), quant.as_str()), (model.repo, model.quant.name()));
            assert!(names.insert(model.name) && !model.licence.is_empty());
            let shape = &model.shape;
            assert!(shape.n_heads.is_multiple_of(shape.n_kv_heads), "{}", model.name);
            // Each row is whole blocks, else llama.cpp would have taken another format for it.
            let (most, careful) = model.quant.formats();
            for width in [shape.n_embd, shape.n_hidden, shape.n_heads * shape.head_dim] {
                for format in [most, careful] {
                    assert!(width.is_multiple_of(format.block_len() as u64), "{}: {width} in {format}", model.name);
                }
            }
            // Between four and nine bits for each element.
            let bits = model.weight_bytes() as f64 * 8.0 / shape.parameters() as f64;
            assert!((4.5..8.6).contains(&bits), "{}: {bits}", model.name);
            let memory = model.memory(1000, 2);
            let n_attentions = shape.n_layers - shape.n_convolutions;
            assert_eq!(memory.cache, n_attentions * shape.n_kv_heads * shape.head_dim * 4000);
            assert_eq!(memory.bytes(), memory.cache + memory.weights);
        }
    }
}

//! Models that are known to run: where they are, under which licence, and what they take. Sizes computed here are those of the
//! tensors; a file has a few MB more, its vocabulary. The exact size and the hash are asked of the hub before anything is
//! downloaded.

use crate::error::Result;
use crate::format::Format;
use crate::model::{AnyShape, Named, published};
use std::sync::LazyLock;

/// A file on the hub that is known to run.
#[derive(Clone, Debug)]
pub struct KnownModel {
    /// What to call it.
    pub name: &'static str,
    /// `owner/name` on the hub.
    pub repo: &'static str,
    /// Which of its files.
    pub quant: Quant,
    /// The model's licence, in short.
    pub licence: &'static str,
    /// What its `config.json` says.
    pub shape: AnyShape,
    /// Bytes of all tensors, as llama.cpp quantizes them, and about those of the file.
    pub weight_bytes: u64,
    /// Those of them that a token reads: of experts the ones it uses, and an embedding only where it is the head as well.
    pub token_bytes: u64,
}

/// How the matrices of a GGUF file are quantized: what the name in the file's name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quant {
    /// Q4_K, but Q6_K for the output head, and in half of the layers for values and `ffn_down`; Q5_K for what delta nets
    /// are made of.
    Q4KM,
    /// Q8_0 throughout.
    Q80,
    /// Experts in MXFP4 as they were trained, the rest in Q8_0.
    Mxfp4,
    /// Experts in two bits, gate and up in IQ2_XXS and down in Q2_K; other large matrices in Q8_0, what is left in F16.
    Iq2XxsW2Q2K,
}

/// What a model takes on an adapter, in bytes; what a step computes with comes on top, some tens of MB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The tensors.
    pub weights: u64,
    /// What is kept of every token of the context.
    pub cache: u64,
}

impl Memory {
    /// All of it.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.weights.saturating_add(self.cache)
    }
}

/// Name, repository, quant, licence, and the name by which `synthetic:` knows the shape.
type Row = (&'static str, &'static str, Quant, &'static str, &'static str);

/// The models, those of DeepSeek first.
const ROWS: [Row; 24] = [
    ("R1-Distill-Qwen-1.5B", "unsloth/DeepSeek-R1-Distill-Qwen-1.5B-GGUF", Quant::Q4KM, "MIT", "r1-distill-qwen-1.5b"),
    ("R1-Distill-Qwen-7B", "unsloth/DeepSeek-R1-Distill-Qwen-7B-GGUF", Quant::Q4KM, "MIT", "r1-distill-qwen-7b"),
    (
        "R1-Distill-Llama-8B",
        "unsloth/DeepSeek-R1-Distill-Llama-8B-GGUF",
        Quant::Q4KM,
        "Llama 3.1",
        "r1-distill-llama-8b",
    ),
    ("R1-0528-Qwen3-8B", "unsloth/DeepSeek-R1-0528-Qwen3-8B-GGUF", Quant::Q4KM, "MIT", "r1-0528-qwen3-8b"),
    (
        "DeepSeek-Coder-V2-Lite-Instruct",
        "bartowski/DeepSeek-Coder-V2-Lite-Instruct-GGUF",
        Quant::Q4KM,
        "DeepSeek",
        "deepseek-v2-lite",
    ),
    ("DeepSeek-V4-Flash", "antirez/deepseek-v4-gguf", Quant::Iq2XxsW2Q2K, "MIT", "deepseek-v4-flash"),
    ("Qwen3-0.6B", "ggml-org/Qwen3-0.6B-GGUF", Quant::Q80, "Apache 2.0", "qwen3-0.6b"),
    ("Qwen3-1.7B", "ggml-org/Qwen3-1.7B-GGUF", Quant::Q4KM, "Apache 2.0", "qwen3-1.7b"),
    ("Qwen3-4B", "ggml-org/Qwen3-4B-GGUF", Quant::Q4KM, "Apache 2.0", "qwen3-4b"),
    ("Qwen3-30B-A3B", "unsloth/Qwen3-30B-A3B-GGUF", Quant::Q4KM, "Apache 2.0", "qwen3-30b-a3b"),
    ("Qwen3.5-4B", "unsloth/Qwen3.5-4B-GGUF", Quant::Q4KM, "Apache 2.0", "qwen3.5-4b"),
    (
        "Qwen2.5-0.5B-Instruct",
        "bartowski/Qwen2.5-0.5B-Instruct-GGUF",
        Quant::Q80,
        "Apache 2.0",
        "qwen2.5-0.5b-instruct",
    ),
    (
        "Qwen2.5-1.5B-Instruct",
        "bartowski/Qwen2.5-1.5B-Instruct-GGUF",
        Quant::Q4KM,
        "Apache 2.0",
        "qwen2.5-1.5b-instruct",
    ),
    (
        "Llama-3.2-1B-Instruct",
        "bartowski/Llama-3.2-1B-Instruct-GGUF",
        Quant::Q4KM,
        "Llama 3.2",
        "llama-3.2-1b-instruct",
    ),
    (
        "Llama-3.2-3B-Instruct",
        "bartowski/Llama-3.2-3B-Instruct-GGUF",
        Quant::Q4KM,
        "Llama 3.2",
        "llama-3.2-3b-instruct",
    ),
    (
        "SmolLM2-1.7B-Instruct",
        "bartowski/SmolLM2-1.7B-Instruct-GGUF",
        Quant::Q4KM,
        "Apache 2.0",
        "smollm2-1.7b-instruct",
    ),
    ("SmolLM3-3B", "ggml-org/SmolLM3-3B-GGUF", Quant::Q4KM, "Apache 2.0", "smollm3-3b"),
    ("Gemma-3-270M-it", "ggml-org/gemma-3-270m-it-GGUF", Quant::Q80, "Gemma", "gemma-3-270m-it"),
    ("Gemma-3-1B-it", "ggml-org/gemma-3-1b-it-GGUF", Quant::Q80, "Gemma", "gemma-3-1b-it"),
    ("Gemma-3-4B-it", "ggml-org/gemma-3-4b-it-GGUF", Quant::Q4KM, "Gemma", "gemma-3-4b-it"),
    ("gpt-oss-20b", "ggml-org/gpt-oss-20b-GGUF", Quant::Mxfp4, "Apache 2.0", "gpt-oss-20b"),
    ("LFM2-350M", "LiquidAI/LFM2-350M-GGUF", Quant::Q80, "LFM 1.0", "lfm2-350m"),
    ("LFM2-700M", "LiquidAI/LFM2-700M-GGUF", Quant::Q4KM, "LFM 1.0", "lfm2-700m"),
    ("LFM2-1.2B", "LiquidAI/LFM2-1.2B-GGUF", Quant::Q4KM, "LFM 1.0", "lfm2-1.2b"),
];

/// The models, those of DeepSeek first; read and counted once. A test shows that none is missing.
pub static CATALOGUE: LazyLock<Vec<KnownModel>> =
    LazyLock::new(|| ROWS.into_iter().filter_map(KnownModel::of).collect());

/// Stands for the format of a matrix until its quant is known.
const ANY_MATRIX: Format = Format::BF16;

impl Quant {
    /// As it stands in files' names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Q4KM => "Q4_K_M",
            Self::Q80 => "Q8_0",
            Self::Mxfp4 => "MXFP4",
            Self::Iq2XxsW2Q2K => "IQ2XXS",
        }
    }

    /// The format of a matrix; `is_careful` where it weighs more on the result.
    fn format(self, name: &str, n_in: u64, is_careful: bool) -> Format {
        let wanted = match self {
            Self::Q4KM if is_careful => Format::Q6_K,
            Self::Q4KM if name.ends_with("attn_qkv.weight") => Format::Q5_K,
            Self::Q4KM => Format::Q4_K,
            Self::Mxfp4 if name.contains("_exps.") => Format::MXFP4,
            Self::Iq2XxsW2Q2K if name.ends_with("ffn_down_exps.weight") => Format::Q2_K,
            Self::Iq2XxsW2Q2K if name.contains("_exps.") => Format::IQ2_XXS,
            Self::Iq2XxsW2Q2K
                if !["attn_q", "attn_kv.", "output", "_shexp."].iter().any(|part| name.contains(part)) =>
            {
                Format::F16
            }
            Self::Q80 | Self::Mxfp4 | Self::Iq2XxsW2Q2K => Format::Q8_0,
        };
        // Rows that are no whole blocks of 256 have blocks of 32, of as many bits or one more.
        match wanted {
            wanted if n_in.is_multiple_of(wanted.block_len() as u64) => wanted,
            Format::Q4_K => Format::Q5_0,
            _ => Format::Q8_0,
        }
    }

    /// Bytes of a model's tensors, as llama.cpp quantizes them: the head, and some layers' values and `ffn_down` in more
    /// bits. First those of all, then those that a token reads.
    fn bytes(self, shape: &AnyShape) -> Result<[u64; 2]> {
        let (tensors, n_layers) = (shape.tensors(ANY_MATRIX)?, u64::from(shape.n_layers()));
        let (n_experts, n_used) = shape.experts();
        let has_head = tensors.iter().any(|named| named.name == "output.weight");
        let is_value = |named: &&Named| named.name.ends_with("attn_v.weight");
        let (n_values, mut value) = (tensors.iter().filter(is_value).count() as u64, 0);
        let [mut all, mut of_token] = [0; 2];
        for named in &tensors {
            let (name, tensor) = (named.name.as_str(), &named.tensor);
            let is_careful = match name {
                "token_embd.weight" => !has_head,
                "output.weight" => true,
                name if name.ends_with("attn_v.weight") => {
                    value += 1;
                    is_careful(value - 1, n_values)
                }
                name if name.contains(".ffn_down") => layer_of(name).is_some_and(|at| is_careful(at, n_layers)),
                _ => false,
            };
            let n_in = u64::from(tensor.n_in);
            let format = match tensor.format {
                ANY_MATRIX => self.format(name, n_in, is_careful),
                other => other,
            };
            let bytes = format.row_bytes(n_in) * u64::from(tensor.n_rows);
            all += bytes;
            of_token += match name {
                "token_embd.weight" if has_head => 0,
                name if name.contains("_exps.") => bytes / u64::from(n_experts) * u64::from(n_used),
                _ => bytes,
            };
        }
        Ok([all, of_token])
    }
}

impl KnownModel {
    fn of((name, repo, quant, licence, shape): Row) -> Option<Self> {
        let shape = published::shape(shape).ok()??;
        let [weight_bytes, token_bytes] = quant.bytes(&shape).ok()?;
        Some(Self { name, repo, quant, licence, shape, weight_bytes, token_bytes })
    }

    /// What `-hf` takes.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}:{}", self.repo, self.quant.name())
    }

    /// What it takes at a context of so many tokens, with keys and values in elements of so many bytes.
    #[must_use]
    pub fn memory(&self, n_context: u64, element_bytes: u64) -> Memory {
        Memory { weights: self.weight_bytes, cache: self.shape.cache_bytes(n_context, element_bytes) }
    }
}

/// The number of the layer in a tensor's name.
fn layer_of(name: &str) -> Option<u64> {
    name.strip_prefix("blk.")?.split_once('.')?.0.parse().ok()
}

/// Whether llama.cpp gives a layer's values and `ffn_down` more bits in a medium mix: the first and the last eighth, and
/// every third between.
const fn is_careful(index: u64, n_layers: u64) -> bool {
    let eighth = n_layers / 8;
    index < eighth || index >= 7 * n_layers / 8 || (index - eighth) % 3 == 2
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
            ("DeepSeek-Coder-V2-Lite-Instruct", 15_706_484_224),
            ("Qwen3-0.6B", 751_632_384),
            ("Qwen3-1.7B", 2_031_739_904),
            ("Qwen3-4B", 4_022_468_096),
            ("Qwen3-30B-A3B", 30_532_122_624),
            ("Qwen3.5-4B", 4_205_751_296),
            ("Qwen2.5-0.5B-Instruct", 494_032_768),
            ("Qwen2.5-1.5B-Instruct", 1_543_714_304),
            ("Llama-3.2-1B-Instruct", 1_235_814_400),
            ("Llama-3.2-3B-Instruct", 3_212_749_824),
            ("SmolLM2-1.7B-Instruct", 1_711_376_384),
            ("SmolLM3-3B", 3_075_098_624),
            ("Gemma-3-270M-it", 268_098_176),
            ("Gemma-3-1B-it", 999_885_952),
            ("Gemma-3-4B-it", 3_880_099_328),
            ("gpt-oss-20b", 20_914_757_184),
            ("LFM2-350M", 354_483_968),
            ("LFM2-700M", 742_489_344),
            ("LFM2-1.2B", 1_170_340_608),
        ] {
            assert_eq!(find(name).shape.n_parameters().expect(name), parameters, "{name}");
        }
        assert_eq!(CATALOGUE.len(), ROWS.len());
        assert_eq!(CATALOGUE.len(), 23 + 1, "each is above, but V4-Flash, of which 284 thousand million are told");
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
            ("DeepSeek-Coder-V2-Lite-Instruct", 10_360_000_000),
            ("Qwen3-30B-A3B", 18_560_000_000),
            ("Qwen3.5-4B", 2_740_000_000),
            ("gpt-oss-20b", 12_109_566_560),
            ("DeepSeek-V4-Flash", 86_758_000_000),
        ] {
            let about = find(name).weight_bytes as f64 / bytes as f64;
            assert!((0.98..=1.005).contains(&about), "{name}: {about}");
        }
    }

    #[test]
    fn each_entry_can_be_asked_for_and_agrees_with_itself() {
        let mut names = BTreeSet::new();
        for model in CATALOGUE.iter() {
            let reference = Reference::parse(&model.reference(), &Endpoint::default()).expect(model.name);
            let Reference::Hub { repo, wanted: Wanted::Quant(quant), .. } = reference else { panic!("{}", model.name) };
            assert_eq!((repo.as_str(), quant.as_str()), (model.repo, model.quant.name()));
            assert!(names.insert(model.name) && !model.licence.is_empty());
            // Between two and nine bits for each element.
            let bits = model.weight_bytes as f64 * 8.0 / model.shape.n_parameters().expect(model.name) as f64;
            assert!((2.3..8.6).contains(&bits), "{}: {bits}", model.name);
            let memory = model.memory(1000, 2);
            assert_eq!(memory.bytes(), memory.cache + memory.weights);
            // Of mixtures a token reads a part: 3 of 30 thousand million weights of Qwen3-30B-A3B, and more of the small ones.
            let (share, is_mixture) =
                (model.token_bytes as f64 / model.weight_bytes as f64, model.shape.experts().0 > 0);
            assert_eq!((0.02..0.25).contains(&share), is_mixture, "{}: {share}", model.name);
            assert!((0.02..=1.0).contains(&share), "{}: {share}", model.name);
        }
    }

    /// By hand: of a token, keys and values of 2 bytes in each layer with attention; one row in each layer of V2-Lite; states
    /// of 32 heads of 128 · 128 in 24 layers of Qwen3.5-4B besides, with what their convolutions look back on.
    #[test]
    fn caches_are_those_computed_by_hand() {
        let cache = |name: &str| find(name).memory(1000, 2).cache;
        assert_eq!(cache("R1-Distill-Llama-8B"), 32 * 2 * 8 * 128 * 2 * 1000);
        assert_eq!(cache("LFM2-1.2B"), 6 * 2 * 8 * 64 * 2 * 1000 + 10 * 2 * 2048 * 4);
        assert_eq!(cache("DeepSeek-Coder-V2-Lite-Instruct"), 27 * (512 + 64) * 2 * 1000);
        let states = 24 * (32 * 128 * 128 + 3 * 8192) * 4;
        assert_eq!(cache("Qwen3.5-4B"), 8 * 2 * 4 * 256 * 2 * 1000 + states);
    }
}

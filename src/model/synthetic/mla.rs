//! Published models with latent attention, by value, and their tensors as a GGUF would have them, with keys and values
//! made by one tensor. Sources: the `config.json` of DeepSeek-V2-Lite, DeepSeek-R1 and DeepSeek-V3.2.

use super::grouped::{directory_of, layers_of};
use super::name::SyntheticName;
use super::weights::Filling;
use super::{SyntheticTensor, ends, matrix, network, tensor};
use crate::error::Result;
use crate::format::Format;
use crate::model::Model;
use crate::model::mla::Shape;

/// Names, and what their `config.json` says.
const PUBLISHED: [(&str, &str); 3] = [
    (
        "deepseek-v2-lite",
        r#"{"model_type": "deepseek_v2", "vocab_size": 102400, "hidden_size": 2048, "intermediate_size": 10944,
        "moe_intermediate_size": 1408, "num_hidden_layers": 27, "num_attention_heads": 16, "num_key_value_heads": 16,
        "q_lora_rank": null, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1,
        "scoring_func": "softmax", "topk_method": "greedy", "norm_topk_prob": false, "routed_scaling_factor": 1.0,
        "max_position_embeddings": 163840, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "rope_scaling": {"type": "yarn",
        "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1, "mscale": 0.707,
        "mscale_all_dim": 0.707}}"#,
    ),
    (
        "deepseek-r1",
        r#"{"model_type": "deepseek_v3", "vocab_size": 129280, "hidden_size": 7168, "intermediate_size": 18432,
        "moe_intermediate_size": 2048, "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128,
        "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3,
        "n_group": 8, "topk_group": 4, "scoring_func": "sigmoid", "topk_method": "noaux_tc", "norm_topk_prob": true,
        "routed_scaling_factor": 2.5, "max_position_embeddings": 163840, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32,
        "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0}}"#,
    ),
    (
        "deepseek-v3.2",
        r#"{"model_type": "deepseek_v32", "vocab_size": 129280, "hidden_size": 7168, "intermediate_size": 18432,
        "moe_intermediate_size": 2048, "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128,
        "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "index_n_heads": 64, "index_head_dim": 128, "index_topk": 2048,
        "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3,
        "n_group": 8, "topk_group": 4, "scoring_func": "sigmoid", "topk_method": "noaux_tc", "norm_topk_prob": true,
        "routed_scaling_factor": 2.5, "max_position_embeddings": 163840, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32,
        "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0}}"#,
    ),
];

/// The names of these models.
pub fn names() -> impl Iterator<Item = &'static str> {
    PUBLISHED.iter().map(|(name, _)| *name)
}

/// A model with latent attention and random weights.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticMla {
    /// The name that asks for it.
    pub name: String,
    /// Its shape, with the layers, experts and tokens that were asked for.
    pub shape: Shape,
    /// The shape of the model that it is cut from.
    pub whole: Shape,
    /// The format of its matrices, where rows are whole blocks of it.
    pub format: Format,
    /// The begin of the random numbers.
    pub seed: u32,
}

impl SyntheticMla {
    /// The model of that name, if one of them has it. A cut keeps which of its layers have experts.
    ///
    /// # Errors
    /// When it has no such layers, or fewer experts or tokens.
    pub fn of(name: &SyntheticName) -> Result<Option<Self>> {
        let Some((_, config)) = PUBLISHED.iter().find(|(known, _)| name.model.eq_ignore_ascii_case(known)) else {
            return Ok(None);
        };
        let whole = Shape::from_config(config)?;
        let mut shape = whole.clone();
        let layers = layers_of(name, shape.n_layers)?;
        shape.n_layers = layers.end - layers.start;
        shape.n_vocab = name.fewer("vocab", name.n_vocab, whole.n_vocab)?;
        if let Some(experts) = &mut shape.experts {
            experts.layers = experts.layers[layers.start as usize..layers.end as usize].to_vec();
            // A router of groups compares the best two of each.
            let least = experts.n_used.max(2 * experts.n_groups);
            let wanted = name.fewer("experts", name.n_experts, experts.n_experts)?;
            experts.n_experts = wanted.max(least).next_multiple_of(experts.n_groups.max(1));
        }
        // Dense layers alone are a model without experts.
        shape.experts = shape.experts.filter(|experts| experts.layers.contains(&true));
        // Published in 8 bits. Random blocks of Q4_0 have a mean of their own, and scores of latents grow so large by it that
        // their rounding passes for a fault.
        let format = name.format.unwrap_or(Format::Q8_0);
        Ok(Some(Self { name: name.shown(), shape, whole, format, seed: name.seed }))
    }

    /// All of the model that it is cut from.
    #[must_use]
    pub fn uncut(&self) -> Self {
        Self { shape: self.whole.clone(), ..self.clone() }
    }

    /// Parameters that take part in a token: all but the embedding and the experts that are not chosen.
    #[must_use]
    pub fn n_active_parameters(&self) -> u64 {
        let shape = &self.shape;
        let idle = shape.experts.as_ref().map_or(0, |of| {
            let n_layers = of.layers.iter().filter(|has| **has).count() as u64;
            let each = 3 * u64::from(of.n_hidden) * u64::from(shape.n_embd);
            n_layers * u64::from(of.n_experts.saturating_sub(of.n_used)) * each
        });
        shape.n_parameters(false) - u64::from(shape.n_vocab) * u64::from(shape.n_embd) - idle
    }

    /// The tensors bound to their fields, each a source of its own: a piece's `source_index` is its tensor's place in
    /// [`Self::tensors`].
    ///
    /// # Errors
    /// None for a model of [`Self::of`].
    pub fn model(&self) -> Result<Model> {
        Model::bind_mla(self.shape.clone(), &directory_of(self.tensors())?)
    }

    /// Its tensors in the order of a file.
    #[must_use]
    pub fn tensors(&self) -> Vec<SyntheticTensor> {
        let (n_vocab, n_embd) = (self.shape.n_vocab, self.shape.n_embd);
        let mut tensors = ends(n_vocab, n_embd, self.format);
        (0..self.shape.n_layers).for_each(|layer| self.layer(layer, &mut tensors));
        tensors
    }

    fn layer(&self, layer: u32, tensors: &mut Vec<SyntheticTensor>) {
        let shape = &self.shape;
        let name = |what: &str| format!("blk.{layer}.{what}");
        let plain = |what: &str, dims: &[u32], filling| tensor(name(what), dims, Format::F32, filling);
        let matrix = |what: &str, dims: &[u32]| matrix(name(what), dims, self.format);
        let (n_embd, n_heads, q_lora, kv_lora) = (shape.n_embd, shape.n_heads, shape.q_lora, shape.kv_lora);
        tensors.push(plain("attn_norm.weight", &[n_embd], Filling::NearOne));
        if q_lora > 0 {
            tensors.extend([
                matrix("attn_q_a.weight", &[q_lora, n_embd]),
                plain("attn_q_a_norm.weight", &[q_lora], Filling::NearOne),
                matrix("attn_q_b.weight", &[shape.q_width(), q_lora]),
            ]);
        } else {
            tensors.push(matrix("attn_q.weight", &[shape.q_width(), n_embd]));
        }
        tensors.extend([
            matrix("attn_kv_a_mqa.weight", &[shape.row_dim(), n_embd]),
            plain("attn_kv_a_norm.weight", &[kv_lora], Filling::NearOne),
            matrix("attn_kv_b.weight", &[n_heads * (shape.nope_dim + shape.value_dim), kv_lora]),
            matrix("attn_output.weight", &[n_embd, n_heads * shape.value_dim]),
            plain("ffn_norm.weight", &[n_embd], Filling::NearOne),
        ]);
        if let Some(indexer) = shape.indexer {
            tensors.extend([
                matrix("indexer.attn_q_b.weight", &[indexer.width(), q_lora]),
                matrix("indexer.attn_k.weight", &[indexer.head_dim, n_embd]),
                plain("indexer.k_norm.weight", &[indexer.head_dim], Filling::NearOne),
                plain("indexer.k_norm.bias", &[indexer.head_dim], Filling::Small),
                plain("indexer.proj.weight", &[indexer.n_heads, n_embd], Filling::Product),
            ]);
        }
        let network = |suffix: &str, n_hidden: u32| {
            network(|part| name(&format!("ffn_{part}{suffix}.weight")), n_hidden, n_embd, self.format)
        };
        let Some(of) = shape.experts.as_ref().filter(|_| shape.has_experts(layer as usize)) else {
            tensors.extend(network("", shape.n_hidden));
            return;
        };
        tensors.push(plain("ffn_gate_inp.weight", &[of.n_experts, n_embd], Filling::Product));
        if of.has_bias {
            tensors.push(plain("exp_probs_b.bias", &[of.n_experts], Filling::Small));
        }
        tensors.extend([
            matrix("ffn_gate_exps.weight", &[of.n_experts, of.n_hidden, n_embd]),
            matrix("ffn_up_exps.weight", &[of.n_experts, of.n_hidden, n_embd]),
            matrix("ffn_down_exps.weight", &[of.n_experts, n_embd, of.n_hidden]),
        ]);
        if of.shared_hidden > 0 {
            tensors.extend(network("_shexp", of.shared_hidden));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> SyntheticMla {
        let name = SyntheticName::parse(name).expect("a name");
        SyntheticMla::of(&name).expect("layers").expect("a known model")
    }

    /// As they are told: 15.7, 671 and with the indexer 672 thousand million, counted from the tensors and from the shape.
    #[test]
    fn models_have_the_parameters_that_are_told_of_them() {
        for (name, billions) in
            [("synthetic:deepseek-v2-lite", 15.7), ("synthetic:DeepSeek-R1", 671.0), ("synthetic:deepseek-v3.2", 671.9)]
        {
            let model = model(name);
            let n: u64 = model.tensors().iter().map(|tensor| tensor.shape.iter().product::<u64>()).sum();
            assert_eq!(n, model.shape.n_parameters(false), "{name}");
            assert!((n as f64 / 1e9 - billions).abs() < 0.05, "{name}: {n}");
        }
    }

    #[test]
    fn a_cut_keeps_each_layers_kind() {
        let names = |layers: &str| {
            let tensors = model(&format!("synthetic:deepseek-r1:layers={layers}")).tensors();
            let of =
                |layer: u32| tensors.iter().any(|tensor| tensor.name == format!("blk.{layer}.ffn_gate_inp.weight"));
            [of(0), of(1)]
        };
        assert_eq!([names("0..2"), names("2..4"), names("3..5")], [[false; 2], [false, true], [true; 2]]);
        let name = SyntheticName::parse("synthetic:deepseek-r1:layers=60..62").expect("a name");
        assert!(SyntheticMla::of(&name).expect_err("61 layers").to_string().contains("0..61"));
    }
}

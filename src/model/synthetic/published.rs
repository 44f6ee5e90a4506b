//! Published models whose shapes are known by name. Sources: the `config.json` of each; for the two V4 also spec 2.1.

use crate::error::Result;
use crate::model::AnyShape;
use crate::model::shape::{RATIO_HEAVY, RATIO_SPARSE, Shape, Yarn};

/// The models of DeepSeek V4, by value.
const V4: [(&str, Make); 2] = [("deepseek-v4-flash", Shape::v4_flash), ("deepseek-v4-pro", Shape::v4_pro)];

type Make = fn() -> Shape;

/// The others: names, and what their `config.json` says, but for what tokenizers are made of.
const CONFIGS: [(&str, &str); 28] = [
    (
        "llama-8b",
        r#"{"model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
        "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "tie_word_embeddings": false}"#,
    ),
    (
        "r1-distill-qwen-1.5b",
        r#"{"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 1536, "intermediate_size": 8960,
        "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
        "max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": false}"#,
    ),
    (
        "qwen3-30b-a3b",
        r#"{"model_type": "qwen3_moe", "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144,
        "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128,
        "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768, "norm_topk_prob": true,
        "max_position_embeddings": 40960, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
        "tie_word_embeddings": false}"#,
    ),
    (
        "lfm2-1.2b",
        r#"{"model_type": "lfm2", "vocab_size": 65536, "hidden_size": 2048, "block_ff_dim": 12288,
        "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "conv_L_cache": 3,
        "full_attn_idxs": [2, 5, 8, 10, 12, 14], "max_position_embeddings": 128000, "norm_eps": 1e-5,
        "rope_theta": 1000000.0}"#,
    ),
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
    (
        "qwen3.5-9b",
        r#"{"model_type": "qwen3_5_text", "vocab_size": 248320, "hidden_size": 4096, "intermediate_size": 12288,
        "num_hidden_layers": 32, "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 256,
        "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128,
        "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "full_attention_interval": 4,
        "max_position_embeddings": 262144, "rms_norm_eps": 1e-6, "tie_word_embeddings": false,
        "rope_parameters": {"rope_theta": 10000000.0, "partial_rotary_factor": 0.25}}"#,
    ),
    (
        "qwen3.5-35b-a3b",
        r#"{"model_type": "qwen3_5_moe_text", "vocab_size": 248320, "hidden_size": 2048,
        "num_hidden_layers": 40, "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256,
        "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128,
        "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "full_attention_interval": 4,
        "num_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 512,
        "shared_expert_intermediate_size": 512, "max_position_embeddings": 262144, "rms_norm_eps": 1e-6,
        "tie_word_embeddings": false,
        "rope_parameters": {"rope_theta": 10000000.0, "partial_rotary_factor": 0.25}}"#,
    ),
    (
        "r1-distill-qwen-7b",
        r#"{"model_type": "qwen2", "vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944,
        "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "rope_theta": 10000.0,
        "max_position_embeddings": 131072, "tie_word_embeddings": false}"#,
    ),
    (
        "r1-distill-llama-8b",
        r#"{"model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "rope_theta": 500000.0,
        "max_position_embeddings": 131072, "tie_word_embeddings": false}"#,
    ),
    (
        "r1-0528-qwen3-8b",
        r#"{"model_type": "qwen3", "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 12288,
        "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
        "rope_theta": 1000000.0, "max_position_embeddings": 131072, "tie_word_embeddings": false}"#,
    ),
    (
        "qwen3-0.6b",
        r#"{"model_type": "qwen3", "vocab_size": 151936, "hidden_size": 1024, "intermediate_size": 3072,
        "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
        "rope_theta": 1000000.0, "max_position_embeddings": 40960, "tie_word_embeddings": false}"#,
    ),
    (
        "qwen3-1.7b",
        r#"{"model_type": "qwen3", "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144,
        "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
        "rope_theta": 1000000.0, "max_position_embeddings": 40960, "tie_word_embeddings": false}"#,
    ),
    (
        "qwen3-4b",
        r#"{"model_type": "qwen3", "vocab_size": 151936, "hidden_size": 2560, "intermediate_size": 9728,
        "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
        "rope_theta": 1000000.0, "max_position_embeddings": 40960, "tie_word_embeddings": true}"#,
    ),
    (
        "qwen3.5-4b",
        r#"{"model_type": "qwen3_5_text", "vocab_size": 248320, "hidden_size": 2560, "intermediate_size": 9216,
        "num_hidden_layers": 32, "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 256,
        "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128,
        "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "full_attention_interval": 4,
        "max_position_embeddings": 262144, "tie_word_embeddings": true,
        "rope_parameters": {"rope_theta": 10000000.0, "partial_rotary_factor": 0.25}}"#,
    ),
    (
        "qwen2.5-0.5b-instruct",
        r#"{"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864,
        "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "rope_theta": 1000000.0,
        "max_position_embeddings": 32768, "tie_word_embeddings": true}"#,
    ),
    (
        "qwen2.5-1.5b-instruct",
        r#"{"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 1536, "intermediate_size": 8960,
        "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2, "rope_theta": 1000000.0,
        "max_position_embeddings": 32768, "tie_word_embeddings": true}"#,
    ),
    (
        "llama-3.2-1b-instruct",
        r#"{"model_type": "llama", "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "rope_theta": 500000.0,
        "max_position_embeddings": 131072, "tie_word_embeddings": true}"#,
    ),
    (
        "llama-3.2-3b-instruct",
        r#"{"model_type": "llama", "vocab_size": 128256, "hidden_size": 3072, "intermediate_size": 8192,
        "num_hidden_layers": 28, "num_attention_heads": 24, "num_key_value_heads": 8, "rope_theta": 500000.0,
        "max_position_embeddings": 131072, "tie_word_embeddings": true}"#,
    ),
    (
        "smollm2-1.7b-instruct",
        r#"{"model_type": "llama", "vocab_size": 49152, "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 24, "num_attention_heads": 32, "num_key_value_heads": 32, "rope_theta": 130000.0,
        "max_position_embeddings": 8192, "tie_word_embeddings": true}"#,
    ),
    (
        "smollm3-3b",
        r#"{"model_type": "smollm3", "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 11008,
        "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 4, "rope_theta": 5000000.0,
        "max_position_embeddings": 65536, "tie_word_embeddings": true}"#,
    ),
    (
        "gemma-3-270m-it",
        r#"{"model_type": "gemma3_text", "vocab_size": 262144, "hidden_size": 640, "intermediate_size": 2048,
        "num_hidden_layers": 18, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
        "sliding_window": 512, "max_position_embeddings": 32768}"#,
    ),
    (
        "gemma-3-1b-it",
        r#"{"model_type": "gemma3_text", "vocab_size": 262144, "hidden_size": 1152, "intermediate_size": 6912,
        "num_hidden_layers": 26, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
        "sliding_window": 512, "max_position_embeddings": 32768}"#,
    ),
    (
        "gemma-3-4b-it",
        r#"{"model_type": "gemma3_text", "vocab_size": 262144, "hidden_size": 2560, "intermediate_size": 10240,
        "num_hidden_layers": 34, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
        "sliding_window": 1024, "max_position_embeddings": 131072}"#,
    ),
    (
        "gpt-oss-20b",
        r#"{"model_type": "gpt_oss", "vocab_size": 201088, "hidden_size": 2880, "intermediate_size": 2880,
        "num_hidden_layers": 24, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64,
        "num_local_experts": 32, "num_experts_per_tok": 4, "sliding_window": 128, "rope_theta": 150000.0,
        "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": false,
        "original_max_position_embeddings": 4096},
        "max_position_embeddings": 131072, "tie_word_embeddings": false}"#,
    ),
    (
        "lfm2-350m",
        r#"{"model_type": "lfm2", "vocab_size": 65536, "hidden_size": 1024, "block_ff_dim": 6656,
        "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 8, "conv_L_cache": 3,
        "full_attn_idxs": [2, 5, 8, 10, 12, 14], "max_position_embeddings": 128000}"#,
    ),
    (
        "lfm2-700m",
        r#"{"model_type": "lfm2", "vocab_size": 65536, "hidden_size": 1536, "block_ff_dim": 10240,
        "num_hidden_layers": 16, "num_attention_heads": 24, "num_key_value_heads": 8, "conv_L_cache": 3,
        "full_attn_idxs": [2, 5, 8, 10, 12, 14], "max_position_embeddings": 128000}"#,
    ),
];

/// The names of all of them.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    V4.iter().map(|(name, _)| *name).chain(CONFIGS.iter().map(|(name, _)| *name))
}

/// The shape of the model of that name; the letters' case does not matter.
///
/// # Errors
/// None: each of them can be read.
pub fn shape(name: &str) -> Result<Option<AnyShape>> {
    if let Some((_, shape)) = V4.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)) {
        return Ok(Some(shape().into()));
    }
    let config = CONFIGS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
    config.map(|(_, config)| Ok(AnyShape::from_config(config, &mut Vec::new())?.as_gguf())).transpose()
}

impl Shape {
    /// DeepSeek V4-Flash.
    #[must_use]
    pub fn v4_flash() -> Self {
        let mut ratios = vec![0, 0];
        ratios.extend([RATIO_SPARSE, RATIO_HEAVY].repeat(20));
        ratios.push(RATIO_SPARSE);
        Self {
            n_vocab: 129_280,
            n_embd: 4096,
            n_heads: 64,
            head_dim: 512,
            rope_dims: 64,
            q_lora: 1024,
            o_groups: 8,
            o_lora: 1024,
            window: 128,
            swiglu_limit: vec![10.0; ratios.len()],
            swiglu_limit_shared: vec![10.0; ratios.len()],
            ratios,
            index_heads: 64,
            index_head_dim: 128,
            index_top_k: 512,
            n_experts: 256,
            n_used: 6,
            n_hidden: 2048,
            n_hash_layers: 3,
            routed_scale: 1.5,
            sinkhorn_iterations: 20,
            hyper_eps: 1e-6,
            norm_eps: 1e-6,
            rope_base: 1e4,
            compress_rope_base: 1.6e5,
            yarn: Yarn { factor: 16.0, original: 65_536, beta_fast: 32.0, beta_slow: 1.0, rounds: true },
            context_length: 1 << 20,
            bos: 0,
            eos: 1,
        }
    }

    /// DeepSeek V4-Pro.
    #[must_use]
    pub fn v4_pro() -> Self {
        let mut ratios = vec![RATIO_HEAVY, RATIO_HEAVY];
        ratios.extend([RATIO_SPARSE, RATIO_HEAVY].repeat(29));
        ratios.push(RATIO_SPARSE);
        Self {
            n_embd: 7168,
            n_heads: 128,
            q_lora: 1536,
            o_groups: 16,
            swiglu_limit: vec![10.0; ratios.len()],
            swiglu_limit_shared: vec![10.0; ratios.len()],
            ratios,
            index_top_k: 1024,
            n_experts: 384,
            n_hidden: 3072,
            routed_scale: 2.5,
            ..Self::v4_flash()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_models_pass_their_checks_and_have_their_layers() -> Result<()> {
        let (flash, pro) = (Shape::v4_flash(), Shape::v4_pro());
        for shape in [&flash, &pro] {
            shape.check()?;
        }
        assert_eq!((flash.n_layers(), pro.n_layers()), (43, 61));
        Ok(())
    }

    #[test]
    fn a_layer_projects_its_normed_input_to_what_its_ratio_asks_for() {
        let flash = Shape::v4_flash();
        let (plain, sparse, heavy) = (flash.projection(0), flash.projection(2), flash.projection(3));
        assert_eq!(plain.n_rows(), 1024 + 512);
        assert!(plain.compress_kv.is_empty() && plain.index_gate.is_empty());
        assert_eq!(sparse.compress_gate, 2560..3584);
        assert_eq!(sparse.n_rows(), 1024 + 512 + 2 * 1024 + 64 + 2 * 256);
        assert_eq!(heavy.n_rows(), 1024 + 512 + 2 * 512);
        assert!(heavy.index_weights.is_empty());
    }
}

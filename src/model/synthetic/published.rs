//! The shapes of the two published V4 models, by value. Source: their `config.json` (spec 2.1).

use crate::model::shape::{RATIO_HEAVY, RATIO_SPARSE, Shape, Yarn};

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
    use crate::error::Result;

    #[test]
    fn the_real_models_pass_their_checks_and_have_the_known_counts() -> Result<()> {
        let (flash, pro) = (Shape::v4_flash(), Shape::v4_pro());
        let billions = |count: u64| (count as f64 / 1e8).round() / 10.0;
        for shape in [&flash, &pro] {
            shape.check()?;
        }
        assert_eq!((flash.n_layers(), pro.n_layers()), (43, 61));
        assert_eq!(billions(flash.n_parameters()), 284.3);
        assert_eq!(billions(flash.n_active_parameters()), 13.3);
        assert_eq!(billions(pro.n_parameters()).round(), 1573.0);
        assert_eq!(billions(pro.n_active_parameters()).round(), 49.0);
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

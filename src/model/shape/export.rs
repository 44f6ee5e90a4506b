//! The keys that llama.cpp's converter writes for a V4.

use super::gguf::{GATING, LIMIT_SHARED};
use super::keys::{self, Key};
use super::{N_STREAMS, NO_LIMIT, Shape};
use crate::format::gguf::Value;

impl Shape {
    /// The keys of the architecture, with its prefix.
    #[must_use]
    pub fn gguf_keys(&self) -> Vec<(String, Value)> {
        // A clamp of zero means none.
        let limits = |limits: &[f32]| -> Value {
            let limits = limits.iter().map(|limit| if *limit < NO_LIMIT { *limit } else { 0.0 });
            limits.collect::<Vec<f32>>()[..].into()
        };
        // Signed, as the converter writes lists.
        let ratios: Vec<i32> = self.ratios.iter().map(|ratio| ratio.cast_signed()).collect();
        let mut keys: Vec<(&Key, Value)> = vec![
            (&keys::N_LAYERS, (self.n_layers() as u32).into()),
            (&keys::CONTEXT, self.context_length.into()),
            (&keys::N_EMBD, self.n_embd.into()),
            (&N_EMBD_OUT, (N_STREAMS * self.n_embd).into()),
            (&keys::N_VOCAB, self.n_vocab.into()),
            (&keys::N_HEADS, self.n_heads.into()),
            (&keys::N_KV_HEADS, 1.into()),
            (&keys::HEAD_DIM, self.head_dim.into()),
            (&keys::VALUE_DIM, self.head_dim.into()),
            (&keys::ROPE_DIMS, self.rope_dims.into()),
            (&keys::Q_LORA, self.q_lora.into()),
            (&keys::O_GROUPS, self.o_groups.into()),
            (&keys::O_LORA, self.o_lora.into()),
            (&keys::WINDOW, self.window.into()),
            (&keys::RATIOS, ratios[..].into()),
            (&keys::INDEX_HEADS, self.index_heads.into()),
            (&keys::INDEX_HEAD_DIM, self.index_head_dim.into()),
            (&keys::INDEX_TOP_K, self.index_top_k.into()),
            (&keys::N_EXPERTS, self.n_experts.into()),
            (&keys::N_USED, self.n_used.into()),
            (&keys::N_SHARED, 1.into()),
            (&keys::N_HIDDEN, self.n_hidden.into()),
            (&keys::N_HASH_LAYERS, self.n_hash_layers.into()),
            (&keys::ROUTED_SCALE, self.routed_scale.into()),
            (&keys::WEIGHTS_NORM, true.into()),
            (&GATING, 4.into()),
            (&keys::LIMIT, limits(&self.swiglu_limit)),
            (&LIMIT_SHARED, limits(&self.swiglu_limit_shared)),
            (&keys::N_STREAMS, N_STREAMS.into()),
            (&keys::SINKHORN, self.sinkhorn_iterations.into()),
            (&keys::HYPER_EPS, self.hyper_eps.into()),
            (&keys::NORM_EPS, self.norm_eps.into()),
            (&keys::ROPE_BASE, (self.rope_base as f32).into()),
            (&keys::COMPRESS_ROPE_BASE, (self.compress_rope_base as f32).into()),
        ];
        if self.yarn.factor > 1.0 {
            keys.extend([
                (&keys::YARN_TYPE, "yarn".into()),
                (&keys::YARN_FACTOR, (self.yarn.factor as f32).into()),
                (&keys::YARN_ORIGINAL, self.yarn.original.into()),
                (&keys::YARN_FAST, (self.yarn.beta_fast as f32).into()),
                (&keys::YARN_SLOW, (self.yarn.beta_slow as f32).into()),
            ]);
        } else {
            keys.push((&keys::YARN_TYPE, "none".into()));
        }
        keys.into_iter().map(|(key, value)| (format!("deepseek4.{}", key.gguf), value)).collect()
    }
}

/// The width of what the layers hand on, which llama.cpp asks for: all streams.
const N_EMBD_OUT: Key = Key { gguf: "embedding_length_out", config: &[] };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::format::{Memory, gguf};

    #[test]
    fn keys_that_are_written_are_read_as_the_same_shape() -> Result<()> {
        let flash = Shape::v4_flash();
        let plain = Shape { yarn: super::super::Yarn { factor: 1.0, ..flash.yarn }, ..flash.clone() };
        let unclamped = Shape { swiglu_limit: vec![NO_LIMIT; flash.n_layers()], ..flash.clone() };
        for shape in [flash, plain, unclamped] {
            let mut keys = shape.gguf_keys();
            keys.push(("general.architecture".to_owned(), "deepseek4".into()));
            keys.push(("tokenizer.ggml.bos_token_id".to_owned(), shape.bos.into()));
            keys.push(("tokenizer.ggml.eos_token_id".to_owned(), shape.eos.into()));
            let layer = |layer| format!("blk.{layer}.attn_norm.weight");
            let tensor = gguf::NewTensor { name: layer(shape.n_layers() - 1), shape: vec![1], type_id: 0, bytes: 4 };
            let mut file = gguf::head(keys.iter().map(|(key, value)| (key.as_str(), value)), &[tensor])?;
            file.extend([0; 32]);
            let read = pollster::block_on(gguf::read(&Memory::new("written", file), 0))?;
            assert_eq!(Shape::from_gguf(&read)?, shape);
        }
        Ok(())
    }
}

//! A model of this kind as a GGUF would have it. Keys and values are made by one tensor, `attn_kv_b`, in the older of two forms,
//! whose keys give the plain head's widths; V3.2 has the newer one alone, with the widths of what is kept, and the plain ones
//! under keys of their own.

use super::Shape;
use super::read::{DENSE_LAYERS, KEY_DIM_PLAIN, KV_LORA, N_GROUPS, N_KEPT, VALUE_DIM_PLAIN, YARN_LOG};
use crate::error::Result;
use crate::format::gguf::Value;
use crate::model::grouped::Scaling;
use crate::model::grouped::export::{check_scaling, unsaid};
use crate::model::grouped::read::{ATTENTION_FACTOR, BASE, EXPERT_HIDDEN, HIDDEN, TYPE, magnitude};
use crate::model::shape::gguf::GATING;
use crate::model::shape::keys::{self, Key};

impl Shape {
    /// Fails where the model is not what a GGUF of its architecture says.
    ///
    /// # Errors
    /// The setting that has no key.
    pub fn check_said_by_gguf(&self) -> Result<()> {
        check_scaling(self.architecture(), &self.rope.scaling)?;
        match self.rope.scaling {
            Scaling::Linear { .. } if (self.yarn_m - 1.0).abs() > 1e-6 => {
                let thing = "mscale_all_dim, beside a linear scaling";
                Err(unsaid(self.architecture(), thing, self.yarn_m.to_string(), "none".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// The keys of the architecture, with its prefix.
    #[must_use]
    pub fn gguf_keys(&self) -> Vec<(String, Value)> {
        let mut keys: Vec<(&Key, Value)> = vec![
            (&keys::CONTEXT, self.context_length.into()),
            (&keys::N_EMBD, self.n_embd.into()),
            (&keys::N_LAYERS, self.n_layers.into()),
            (&keys::N_VOCAB, self.n_vocab.into()),
            (&HIDDEN, self.n_hidden.into()),
            (&keys::N_HEADS, self.n_heads.into()),
            (&KV_LORA, self.kv_lora.into()),
            (&keys::NORM_EPS, self.norm_eps.into()),
            (&keys::ROPE_DIMS, self.rope.n_dims.into()),
            (&BASE, (self.rope.base as f32).into()),
        ];
        keys.extend(match self.is_split_in_gguf() {
            true => vec![
                (&keys::N_KV_HEADS, 1.into()),
                (&keys::HEAD_DIM, self.row_dim().into()),
                (&keys::VALUE_DIM, self.kv_lora.into()),
                (&KEY_DIM_PLAIN, self.head_dim().into()),
                (&VALUE_DIM_PLAIN, self.value_dim.into()),
            ],
            false => vec![
                (&keys::N_KV_HEADS, self.n_heads.into()),
                (&keys::HEAD_DIM, self.head_dim().into()),
                (&keys::VALUE_DIM, self.value_dim.into()),
            ],
        });
        // Also 0: llama.cpp would know V2-Lite by its 27 layers alone.
        keys.push((&keys::Q_LORA, self.q_lora.into()));
        let n_dense = (0..self.n_layers as usize).take_while(|layer| !self.has_experts(*layer)).count() as u32;
        keys.push((&DENSE_LAYERS, n_dense.into()));
        if let Some(experts) = &self.experts {
            keys.extend([
                (&keys::N_EXPERTS, experts.n_experts.into()),
                (&keys::N_USED, experts.n_used.into()),
                (&keys::N_SHARED, (experts.shared_hidden / experts.n_hidden).into()),
                (&EXPERT_HIDDEN, experts.n_hidden.into()),
                (&keys::ROUTED_SCALE, experts.scale.into()),
                (&keys::WEIGHTS_NORM, experts.normed.into()),
                (&GATING, (1 + u32::from(experts.is_sigmoid)).into()),
                (&N_GROUPS, experts.n_groups.into()),
                (&N_KEPT, experts.n_kept.into()),
            ]);
        }
        if let Some(indexer) = self.indexer {
            keys.extend([
                (&keys::INDEX_HEADS, indexer.n_heads.into()),
                (&keys::INDEX_HEAD_DIM, indexer.head_dim.into()),
                (&keys::INDEX_TOP_K, indexer.top_k.into()),
            ]);
        }
        match self.rope.scaling {
            Scaling::None | Scaling::Llama3 { .. } => {}
            Scaling::Linear { factor } => {
                keys.extend([(&TYPE, "linear".into()), (&keys::YARN_FACTOR, (factor as f32).into())]);
            }
            Scaling::Yarn(yarn, amplitude) => {
                // A logarithm of 0 has a meaning of its own, see `read`.
                let amplitude = f64::from(amplitude);
                let grown = yarn.factor > 1.0 && (self.yarn_m - amplitude).abs() > 1e-6;
                let (log, factor) = match grown {
                    true => ((self.yarn_m / amplitude - 1.0) / yarn.factor.ln(), amplitude),
                    false => (0.0, amplitude / magnitude(1.0, yarn.factor)),
                };
                if (factor - 1.0).abs() > 1e-6 {
                    keys.push((&ATTENTION_FACTOR, (factor as f32).into()));
                }
                keys.extend([
                    (&TYPE, "yarn".into()),
                    (&keys::YARN_FACTOR, (yarn.factor as f32).into()),
                    (&keys::YARN_ORIGINAL, yarn.original.into()),
                    (&keys::YARN_FAST, (yarn.beta_fast as f32).into()),
                    (&keys::YARN_SLOW, (yarn.beta_slow as f32).into()),
                    (&YARN_LOG, (log as f32).into()),
                ]);
            }
        }
        keys.into_iter().map(|(key, value)| (format!("{}.{}", self.architecture(), key.gguf), value)).collect()
    }
}

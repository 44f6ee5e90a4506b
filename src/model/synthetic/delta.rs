//! Published models of gated delta nets, by value, and their tensors as a GGUF would have them. Sources: the `config.json` of
//! Qwen3.5-9B and of Qwen3.5-35B-A3B.

use super::grouped::{directory_of, layers_of};
use super::name::SyntheticName;
use super::weights::Filling;
use super::{SyntheticTensor, ends, matrix, network, tensor};
use crate::error::Result;
use crate::format::Format;
use crate::model::Model;
use crate::model::delta::Shape;

/// Names, and what their `config.json` says.
const PUBLISHED: [(&str, &str); 2] = [
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
];

/// The names of these models.
pub fn names() -> impl Iterator<Item = &'static str> {
    PUBLISHED.iter().map(|(name, _)| *name)
}

/// A model of gated delta nets and random weights.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticDelta {
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

impl SyntheticDelta {
    /// The model of that name, if one of them has it. A cut keeps which of its layers have attention.
    ///
    /// # Errors
    /// When it has no such layers, or fewer experts or tokens.
    pub fn of(name: &SyntheticName) -> Result<Option<Self>> {
        let Some((_, config)) = PUBLISHED.iter().find(|(known, _)| name.model.eq_ignore_ascii_case(known)) else {
            return Ok(None);
        };
        let whole = Shape { is_gguf: true, ..Shape::from_config(config, &mut Vec::new())? };
        let mut shape = whole.clone();
        let layers = layers_of(name, shape.n_layers())?;
        shape.attends = shape.attends[layers.start as usize..layers.end as usize].to_vec();
        shape.n_vocab = name.fewer("vocab", name.n_vocab, whole.n_vocab)?;
        if let Some(experts) = &mut shape.experts {
            experts.layers.truncate(shape.attends.len());
            experts.n_experts = name.fewer("experts", name.n_experts, experts.n_experts)?.max(experts.n_used);
        }
        let format = name.format.unwrap_or(Format::Q4_0);
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
            let each = 3 * u64::from(of.n_hidden) * u64::from(shape.n_embd);
            u64::from(shape.n_layers()) * u64::from(of.n_experts.saturating_sub(of.n_used)) * each
        });
        shape.n_parameters(false) - u64::from(shape.n_vocab) * u64::from(shape.n_embd) - idle
    }

    /// The tensors bound to their fields, each a source of its own: a piece's `source_index` is its tensor's place in
    /// [`Self::tensors`].
    ///
    /// # Errors
    /// None for a model of [`Self::of`].
    pub fn model(&self) -> Result<Model> {
        Model::bind_delta(self.shape.clone(), &directory_of(self.tensors())?)
    }

    /// Its tensors in the order of a file.
    #[must_use]
    pub fn tensors(&self) -> Vec<SyntheticTensor> {
        let (n_vocab, n_embd) = (self.shape.n_vocab, self.shape.n_embd);
        let mut tensors = ends(n_vocab, n_embd, self.format);
        (0..self.shape.attends.len()).for_each(|layer| self.layer(layer, &mut tensors));
        tensors
    }

    fn layer(&self, layer: usize, tensors: &mut Vec<SyntheticTensor>) {
        let (shape, net) = (&self.shape, &self.shape.net);
        let name = |what: &str| format!("blk.{layer}.{what}");
        let plain = |what: &str, dims: &[u32], filling| tensor(name(what), dims, Format::F32, filling);
        let matrix = |what: &str, dims: &[u32]| matrix(name(what), dims, self.format);
        let (n_embd, q, kv) = (shape.n_embd, shape.q_width(), shape.kv_width());
        let (values, heads) = (net.value_width(), net.n_value_heads);
        tensors.extend([
            plain("attn_norm.weight", &[n_embd], Filling::NearOne),
            plain("post_attention_norm.weight", &[n_embd], Filling::NearOne),
        ]);
        tensors.extend(match shape.attends[layer] {
            true => vec![
                matrix("attn_q.weight", &[2 * q, n_embd]),
                matrix("attn_k.weight", &[kv, n_embd]),
                matrix("attn_v.weight", &[kv, n_embd]),
                plain("attn_q_norm.weight", &[shape.head_dim], Filling::NearOne),
                plain("attn_k_norm.weight", &[shape.head_dim], Filling::NearOne),
                matrix("attn_output.weight", &[n_embd, q]),
            ],
            false => vec![
                matrix("attn_qkv.weight", &[net.n_channels(), n_embd]),
                matrix("attn_gate.weight", &[values, n_embd]),
                matrix("ssm_beta.weight", &[heads, n_embd]),
                matrix("ssm_alpha.weight", &[heads, n_embd]),
                plain("ssm_conv1d.weight", &[net.n_channels(), net.n_taps], Filling::Product),
                plain("ssm_a", &[heads], Filling::NearMinusOne),
                plain("ssm_dt.bias", &[heads], Filling::Small),
                plain("ssm_norm.weight", &[net.value_dim], Filling::NearOne),
                matrix("ssm_out.weight", &[n_embd, values]),
            ],
        });
        let network = |suffix: &str, n_hidden: u32| {
            network(|part| name(&format!("ffn_{part}{suffix}.weight")), n_hidden, n_embd, self.format)
        };
        let Some(of) = &shape.experts else {
            tensors.extend(network("", shape.n_hidden));
            return;
        };
        tensors.extend([
            plain("ffn_gate_inp.weight", &[of.n_experts, n_embd], Filling::Product),
            matrix("ffn_gate_exps.weight", &[of.n_experts, of.n_hidden, n_embd]),
            matrix("ffn_up_exps.weight", &[of.n_experts, of.n_hidden, n_embd]),
            matrix("ffn_down_exps.weight", &[of.n_experts, n_embd, of.n_hidden]),
            plain("ffn_gate_inp_shexp.weight", &[n_embd], Filling::Product),
        ]);
        tensors.extend(network("_shexp", of.shared_hidden));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> SyntheticDelta {
        let name = SyntheticName::parse(name).expect("a name");
        SyntheticDelta::of(&name).expect("layers").expect("a known model")
    }

    /// As their names tell, counted from the tensors and from the shape.
    #[test]
    fn models_have_the_parameters_that_are_told_of_them() {
        for (name, billions, active) in [("qwen3.5-9b", 8.95, 7.93), ("Qwen3.5-35B-A3B", 34.66, 3.0)] {
            let model = model(&format!("synthetic:{name}"));
            let n: u64 = model.tensors().iter().map(|tensor| tensor.shape.iter().product::<u64>()).sum();
            assert_eq!(n, model.shape.n_parameters(false), "{name}");
            assert!((n as f64 / 1e9 - billions).abs() < 0.1, "{name}: {n}");
            let n = model.n_active_parameters();
            assert!((n as f64 / 1e9 - active).abs() < 0.5, "{name}: {n} in a token");
        }
    }

    #[test]
    fn a_cut_keeps_each_layers_kind() {
        assert_eq!(model("synthetic:qwen3.5-9b:layers=2..5").shape.attends, [false, true, false]);
        let name = SyntheticName::parse("synthetic:qwen3.5-9b:layers=30..33").expect("a name");
        assert!(SyntheticDelta::of(&name).expect_err("32 layers").to_string().contains("0..32"));
    }
}

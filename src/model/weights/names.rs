//! The names of tensors: one table, three schemes. Source: llama.cpp's converter, DeepSeek's safetensors, and
//! transformers (spec 11.1, 11.2).
//!
//! Two things catch who maps by pattern: what is `norm` in a compressor is `kv_norm` in transformers, where the
//! attention has another `kv_norm`; and the indexer lies beside the compressor in DeepSeek's names, under it in
//! transformers'.

use crate::error::{Error, Result};
use crate::format::Directory;
use crate::model::part::Part;

/// Whose names a file uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// llama.cpp's, in a GGUF.
    Gguf,
    /// DeepSeek's own.
    Official,
    /// Those of transformers.
    Transformers,
}

impl Scheme {
    const ALL: [Self; 3] = [Self::Gguf, Self::Official, Self::Transformers];

    /// The scheme that the embedding's name belongs to.
    pub(super) fn of(directory: &Directory) -> Result<Self> {
        find(directory, Part::Embed, 0).map(|(scheme, _)| scheme).ok_or_else(|| {
            let names = Self::ALL.map(|scheme| format!("{:?}", scheme.name(Part::Embed, 0)));
            Error::file("the embedding", "missing")
                .expected(format!("a tensor named {}", names.join(" or ")))
                .advice("The file is not complete, or no DeepSeek V4.")
        })
    }

    /// What comes before a layer's number.
    const fn layer_prefix(self) -> &'static str {
        match self {
            Self::Gguf => "blk.",
            Self::Official => "layers.",
            Self::Transformers => "model.layers.",
        }
    }

    /// The name of a part. For experts under DeepSeek's names, `*` stands for the expert's number.
    pub(in super::super) fn name(self, part: Part, layer: usize) -> String {
        let [gguf, official, transformers] = names(part);
        let name = match self {
            Self::Gguf => gguf,
            Self::Official => official,
            Self::Transformers => transformers,
        };
        if Part::GLOBAL.contains(&part) { name.to_owned() } else { format!("{}{layer}.{name}", self.layer_prefix()) }
    }
}

/// The tensor of a part in a directory: its scheme and its name there. Files mix the schemes, so each tensor is looked for
/// under all its names: the three; those of transformers without `model.`, as the model has them without its head; and
/// what `save_pretrained` of transformers 5 writes, which is DeepSeek's names after `model.`, and in the attention `norm`
/// for `kv_norm`, as its renaming back takes the one for the other.
pub(super) fn find(directory: &Directory, part: Part, layer: usize) -> Option<(Scheme, String)> {
    let [gguf, official, transformers] = Scheme::ALL.map(|scheme| scheme.name(part, layer));
    let saved = format!("model.{official}");
    let renamed = (part == Part::KvNorm).then(|| saved.replace("kv_norm", "norm"));
    let bare = transformers.strip_prefix("model.").map(str::to_owned);
    let names = [
        (Scheme::Gguf, Some(gguf)),
        (Scheme::Official, Some(official)),
        (Scheme::Transformers, Some(transformers)),
        (Scheme::Official, Some(saved)),
        (Scheme::Official, renamed),
        (Scheme::Transformers, bare),
    ];
    let is_there = |name: &str| directory.get(&name.replace('*', "0")).is_some();
    names.into_iter().filter_map(|(scheme, name)| Some((scheme, name?))).find(|(_, name)| is_there(name))
}

/// What follows the number of a layer in a tensor's name, under any scheme, and the number.
pub(super) fn in_layer(name: &str) -> Option<(u64, &str)> {
    let prefixes = ["model.layers.", "layers.", "blk."];
    let rest = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix))?;
    let (number, rest) = rest.split_once('.')?;
    Some((number.parse().ok()?, rest))
}

/// The three names of a part, those of a layer without its prefix.
#[rustfmt::skip]
const fn names(part: Part) -> [&'static str; 3] {
    match part {
        Part::Embed             => ["token_embd.weight", "embed.weight", "model.embed_tokens.weight"],
        Part::Head              => ["output.weight", "head.weight", "lm_head.weight"],
        Part::Norm              => ["output_norm.weight", "norm.weight", "model.norm.weight"],
        Part::HyperHeadFn       => ["output_hc_fn.weight", "hc_head_fn", "model.hc_head.hc_fn"],
        Part::HyperHeadBase     => ["output_hc_base.weight", "hc_head_base", "model.hc_head.hc_base"],
        Part::HyperHeadScale    => ["output_hc_scale.weight", "hc_head_scale", "model.hc_head.hc_scale"],
        Part::AttnNorm          => ["attn_norm.weight", "attn_norm.weight", "input_layernorm.weight"],
        Part::FfnNorm           => ["ffn_norm.weight", "ffn_norm.weight", "post_attention_layernorm.weight"],
        Part::HyperAttnFn       => ["hc_attn_fn.weight", "hc_attn_fn", "attn_hc.fn"],
        Part::HyperAttnBase     => ["hc_attn_base.weight", "hc_attn_base", "attn_hc.base"],
        Part::HyperAttnScale    => ["hc_attn_scale.weight", "hc_attn_scale", "attn_hc.scale"],
        Part::HyperFfnFn        => ["hc_ffn_fn.weight", "hc_ffn_fn", "ffn_hc.fn"],
        Part::HyperFfnBase      => ["hc_ffn_base.weight", "hc_ffn_base", "ffn_hc.base"],
        Part::HyperFfnScale     => ["hc_ffn_scale.weight", "hc_ffn_scale", "ffn_hc.scale"],
        Part::QA                => ["attn_q_a.weight", "attn.wq_a.weight", "self_attn.q_a_proj.weight"],
        Part::QNorm             => ["attn_q_a_norm.weight", "attn.q_norm.weight", "self_attn.q_a_norm.weight"],
        Part::QB                => ["attn_q_b.weight", "attn.wq_b.weight", "self_attn.q_b_proj.weight"],
        Part::Kv                => ["attn_kv.weight", "attn.wkv.weight", "self_attn.kv_proj.weight"],
        Part::KvNorm            => ["attn_kv_a_norm.weight", "attn.kv_norm.weight", "self_attn.kv_norm.weight"],
        Part::OA                => ["attn_output_a.weight", "attn.wo_a.weight", "self_attn.o_a_proj.weight"],
        Part::OB                => ["attn_output_b.weight", "attn.wo_b.weight", "self_attn.o_b_proj.weight"],
        Part::Sinks             => ["attn_sinks.weight", "attn.attn_sink", "self_attn.sinks"],
        Part::CompressKv        => ["attn_compressor_kv.weight", "attn.compressor.wkv.weight", "self_attn.compressor.kv_proj.weight"],
        Part::CompressGate      => ["attn_compressor_gate.weight", "attn.compressor.wgate.weight", "self_attn.compressor.gate_proj.weight"],
        Part::CompressApe       => ["attn_compressor_ape.weight", "attn.compressor.ape", "self_attn.compressor.position_bias"],
        Part::CompressNorm      => ["attn_compressor_norm.weight", "attn.compressor.norm.weight", "self_attn.compressor.kv_norm.weight"],
        Part::IndexQB           => ["indexer.attn_q_b.weight", "attn.indexer.wq_b.weight", "self_attn.compressor.indexer.q_b_proj.weight"],
        Part::IndexWeights      => ["indexer.proj.weight", "attn.indexer.weights_proj.weight", "self_attn.compressor.indexer.scorer.weights_proj.weight"],
        Part::IndexCompressKv   => ["indexer_compressor_kv.weight", "attn.indexer.compressor.wkv.weight", "self_attn.compressor.indexer.kv_proj.weight"],
        Part::IndexCompressGate => ["indexer_compressor_gate.weight", "attn.indexer.compressor.wgate.weight", "self_attn.compressor.indexer.gate_proj.weight"],
        Part::IndexCompressApe  => ["indexer_compressor_ape.weight", "attn.indexer.compressor.ape", "self_attn.compressor.indexer.position_bias"],
        Part::IndexCompressNorm => ["indexer_compressor_norm.weight", "attn.indexer.compressor.norm.weight", "self_attn.compressor.indexer.kv_norm.weight"],
        Part::Router            => ["ffn_gate_inp.weight", "ffn.gate.weight", "mlp.gate.weight"],
        Part::RouterBias        => ["exp_probs_b.bias", "ffn.gate.bias", "mlp.gate.e_score_correction_bias"],
        Part::RouterTable       => ["ffn_gate_tid2eid.weight", "ffn.gate.tid2eid", "mlp.gate.tid2eid"],
        Part::ExpertsGate       => ["ffn_gate_exps.weight", "ffn.experts.*.w1.weight", "mlp.experts.gate_up_proj"],
        Part::ExpertsUp         => ["ffn_up_exps.weight", "ffn.experts.*.w3.weight", "mlp.experts.gate_up_proj"],
        Part::ExpertsDown       => ["ffn_down_exps.weight", "ffn.experts.*.w2.weight", "mlp.experts.down_proj"],
        Part::SharedGate        => ["ffn_gate_shexp.weight", "ffn.shared_experts.w1.weight", "mlp.shared_experts.gate_proj.weight"],
        Part::SharedUp          => ["ffn_up_shexp.weight", "ffn.shared_experts.w3.weight", "mlp.shared_experts.up_proj.weight"],
        Part::SharedDown        => ["ffn_down_shexp.weight", "ffn.shared_experts.w2.weight", "mlp.shared_experts.down_proj.weight"],
    }
}

//! The binding of a directory's tensors to their fields, under the names of a GGUF or of transformers.

use super::{Layer, Mixer, Shape, Weights};
use crate::error::Result;
use crate::format::Directory;
use crate::model::grouped::bind::{Binder, name, rows_of_heads};
use crate::model::weights::take::Place;
use crate::model::weights::{Filling, Mapped, Named};

impl Weights {
    /// Finds every weight of a model of that shape, which must have passed its checks.
    ///
    /// # Errors
    /// When a tensor is missing, of another extent, or of a format that does not suit it; the error names it, what was
    /// found and what was expected.
    pub fn bind(shape: &Shape, directory: &Directory) -> Result<Self> {
        Ok(Self::bind_named(shape, Place::Files(directory))?.0)
    }

    /// As [`Self::bind`], and every tensor under the name that a GGUF has for it, its rows as they lie here.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_named(shape: &Shape, place: Place<'_>) -> Result<(Self, Vec<Named>)> {
        // Safetensors keep what is added to 1.
        let mut binder = Binder::new(place);
        binder.norms_less_one = !shape.is_gguf;
        let (n_vocab, n_embd) = (shape.n_vocab, shape.n_embd);
        let mut weights = Self {
            embed: binder.embed(n_vocab, n_embd, shape.is_tied)?,
            head: binder.head(n_vocab, n_embd, shape.is_tied)?,
            norm: binder.norm(n_embd)?,
            layers: (0..shape.attends.len()).map(|index| layer(&mut binder, shape, index)).collect::<Result<_>>()?,
            n_mtp_tensors: 0,
            n_vision_tensors: 0,
            n_parameters: binder.n_parameters(),
            ignored: Vec::new(),
        };
        weights.n_mtp_tensors = binder.pass_over_drafts(shape.n_layers()) + binder.pass_over_all(&["mtp."]);
        weights.n_vision_tensors = binder.pass_over_all(&["model.visual.", "visual."]);
        weights.ignored = binder.sort_the_rest(shape.architecture, shape.n_layers())?;
        Ok((weights, binder.named))
    }
}

fn layer(binder: &mut Binder<'_>, shape: &Shape, index: usize) -> Result<Layer> {
    let n_embd = shape.n_embd;
    let of = |gguf, transformers| name(index, gguf, transformers);
    Ok(Layer {
        attn_norm: binder.norm_weights(of("attn_norm.weight", "input_layernorm.weight"), n_embd)?,
        mixer: if shape.attends[index] { attention(binder, shape, index)? } else { net(binder, shape, index)? },
        ffn_norm: binder.norm_weights(of("post_attention_norm.weight", "post_attention_layernorm.weight"), n_embd)?,
        ffn: binder.ffn(index, n_embd, shape.n_hidden, shape.experts.as_ref())?,
    })
}

fn attention(binder: &mut Binder<'_>, shape: &Shape, index: usize) -> Result<Mixer> {
    let (n_embd, n_heads, head_dim) = (shape.n_embd, shape.n_heads, shape.head_dim);
    let (q_width, kv_width) = (shape.q_width(), shape.kv_width());
    let of = |gguf, transformers| name(index, gguf, transformers);
    let both = binder.matrix(of("attn_q.weight", "self_attn.q_proj.weight"), 2 * q_width, n_embd)?;
    let mut norm = |gguf, transformers| binder.norm_weights(of(gguf, transformers), head_dim);
    let head_norm = [
        norm("attn_q_norm.weight", "self_attn.q_norm.weight")?,
        norm("attn_k_norm.weight", "self_attn.k_norm.weight")?,
    ];
    Ok(Mixer::Attention {
        q: rows_of_heads(&both, n_heads, [0, head_dim], 2 * head_dim),
        gate: rows_of_heads(&both, n_heads, [head_dim, 2 * head_dim], 2 * head_dim),
        k: binder.matrix(of("attn_k.weight", "self_attn.k_proj.weight"), kv_width, n_embd)?,
        v: binder.matrix(of("attn_v.weight", "self_attn.v_proj.weight"), kv_width, n_embd)?,
        head_norm,
        o: binder.matrix(of("attn_output.weight", "self_attn.o_proj.weight"), n_embd, q_width)?,
    })
}

fn net(binder: &mut Binder<'_>, shape: &Shape, index: usize) -> Result<Mixer> {
    let (n_embd, net) = (shape.n_embd, &shape.net);
    let (n_channels, values, heads) = (net.n_channels(), net.value_width(), net.n_value_heads);
    let of = |gguf, transformers| name(index, gguf, transformers);
    let mapped = if shape.is_gguf { Mapped::AsIs } else { Mapped::MinusExp };
    Ok(Mixer::Net {
        qkv: binder.matrix(of("attn_qkv.weight", "linear_attn.in_proj_qkv.weight"), n_channels, n_embd)?,
        z: binder.matrix(of("attn_gate.weight", "linear_attn.in_proj_z.weight"), values, n_embd)?,
        b: binder.matrix(of("ssm_beta.weight", "linear_attn.in_proj_b.weight"), heads, n_embd)?,
        a: binder.matrix(of("ssm_alpha.weight", "linear_attn.in_proj_a.weight"), heads, n_embd)?,
        taps: binder.filters(of("ssm_conv1d.weight", "linear_attn.conv1d.weight"), n_channels, net.n_taps)?,
        decay: binder.mapped(of("ssm_a", "linear_attn.A_log"), heads, Filling::NearMinusOne, mapped)?,
        bias: binder.vector(of("ssm_dt.bias", "linear_attn.dt_bias"), heads)?,
        // It alone is kept as it is.
        norm: binder.mapped(
            of("ssm_norm.weight", "linear_attn.norm.weight"),
            net.value_dim,
            Filling::NearOne,
            Mapped::AsIs,
        )?,
        o: binder.matrix(of("ssm_out.weight", "linear_attn.out_proj.weight"), n_embd, values)?,
    })
}

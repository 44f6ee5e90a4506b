//! The binding of a directory's tensors to their fields, under the names of a GGUF or of transformers.

use super::{Indexer, Keys, Layer, Queries, Shape, Weights};
use crate::error::Result;
use crate::format::Directory;
use crate::model::grouped::bind::{Binder, name, rows_of_heads};
use crate::model::weights::take::Place;
use crate::model::weights::{Named, TensorRef};

impl Weights {
    /// Finds every weight of a model of that shape, which must have passed its checks.
    ///
    /// # Errors
    /// When a tensor is missing, of another extent, or of a format that does not suit it; the error names it, what was
    /// found and what was expected.
    pub fn bind(shape: &Shape, directory: &Directory) -> Result<Self> {
        Ok(Self::bind_named(shape, Place::Files(directory))?.0)
    }

    /// As [`Self::bind`], and every tensor under the name that a GGUF has for it.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_named(shape: &Shape, place: Place<'_>) -> Result<(Self, Vec<Named>)> {
        let mut binder = Binder::new(place);
        let (n_vocab, n_embd) = (shape.n_vocab, shape.n_embd);
        let mut weights = Self {
            embed: binder.embed(n_vocab, n_embd, false)?,
            head: binder.head(n_vocab, n_embd, false)?,
            norm: binder.norm(n_embd)?,
            layers: (0..shape.n_layers as usize)
                .map(|index| layer(&mut binder, shape, index))
                .collect::<Result<_>>()?,
            n_mtp_tensors: 0,
            n_parameters: binder.n_parameters(),
            ignored: Vec::new(),
        };
        weights.n_mtp_tensors = binder.pass_over_drafts(shape.n_layers);
        weights.ignored = binder.sort_the_rest(shape.architecture(), shape.n_layers)?;
        Ok((weights, binder.named))
    }
}

fn layer(binder: &mut Binder<'_>, shape: &Shape, index: usize) -> Result<Layer> {
    let (n_embd, n_heads, kv_lora, value_dim) = (shape.n_embd, shape.n_heads, shape.kv_lora, shape.value_dim);
    let of = |gguf, transformers| name(index, gguf, transformers);
    let queries = if shape.q_lora > 0 {
        Queries::Latent {
            a: binder.matrix(of("attn_q_a.weight", "self_attn.q_a_proj.weight"), shape.q_lora, n_embd)?,
            norm: binder.norm_weights(of("attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight"), shape.q_lora)?,
            b: binder.matrix(of("attn_q_b.weight", "self_attn.q_b_proj.weight"), shape.q_width(), shape.q_lora)?,
        }
    } else {
        Queries::Plain(binder.matrix(of("attn_q.weight", "self_attn.q_proj.weight"), shape.q_width(), n_embd)?)
    };
    let kv_a = of("attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight");
    let kv_a = binder.matrix(kv_a, shape.row_dim(), n_embd)?;
    let kv_norm = binder.norm_weights(of("attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight"), kv_lora)?;
    let (keys, values) = key_values(binder, shape, index)?;
    Ok(Layer {
        attn_norm: binder.norm_weights(of("attn_norm.weight", "input_layernorm.weight"), n_embd)?,
        queries,
        kv_a,
        kv_norm,
        keys,
        values,
        o: binder.matrix(of("attn_output.weight", "self_attn.o_proj.weight"), n_embd, n_heads * value_dim)?,
        indexer: indexer(binder, shape, index)?.map(Box::new),
        ffn_norm: binder.norm_weights(of("ffn_norm.weight", "post_attention_layernorm.weight"), n_embd)?,
        ffn: binder.ffn(index, n_embd, shape.n_hidden, shape.experts.as_ref())?,
    })
}

fn indexer(binder: &mut Binder<'_>, shape: &Shape, index: usize) -> Result<Option<Indexer>> {
    let Some(indexer) = shape.indexer else { return Ok(None) };
    let of = |gguf: &str, transformers: &str| {
        name(index, &format!("indexer.{gguf}"), &format!("self_attn.indexer.{transformers}"))
    };
    let (n_embd, head_dim) = (shape.n_embd, indexer.head_dim);
    Ok(Some(Indexer {
        q_b: binder.matrix(of("attn_q_b.weight", "wq_b.weight"), indexer.width(), shape.q_lora)?,
        key: binder.matrix(of("attn_k.weight", "wk.weight"), head_dim, n_embd)?,
        key_norm: [
            binder.norm_weights(of("k_norm.weight", "k_norm.weight"), head_dim)?,
            binder.vector(of("k_norm.bias", "k_norm.bias"), head_dim)?,
        ],
        weights: binder.router(of("proj.weight", "weights_proj.weight"), indexer.n_heads, n_embd)?,
    }))
}

impl Shape {
    /// The two tensors that stand in a GGUF of newer form for `attn_kv_b`: of each head what makes keys, which is transposed
    /// there, and what makes values. Rows of the first are still those of the file.
    #[must_use]
    pub fn split_key_values(&self, whole: &Named) -> [Named; 2] {
        let [n_heads, kv_lora, nope, value] =
            [self.n_heads, self.kv_lora, self.nope_dim, self.value_dim].map(u64::from);
        let part = |what: &str, shape: [u64; 3], rows: [u32; 2]| Named {
            name: whole.name.replace("attn_kv_b", what),
            shape: shape.to_vec(),
            filling: whole.filling,
            tensor: rows_of_heads(&whole.tensor, self.n_heads, rows, self.nope_dim + self.value_dim),
        };
        [
            part("attn_k_b", [n_heads, kv_lora, nope], [0, self.nope_dim]),
            part("attn_v_b", [n_heads, value, kv_lora], [self.nope_dim, self.nope_dim + self.value_dim]),
        ]
    }
}

/// What takes latents to keys and to values: one tensor with the rows of both, head by head, or two, where each head's
/// part of the first is transposed. A file that has both forms says the same thing twice.
fn key_values(binder: &mut Binder<'_>, shape: &Shape, index: usize) -> Result<(Keys, TensorRef)> {
    let (n_heads, kv_lora, nope_dim, value_dim) = (shape.n_heads, shape.kv_lora, shape.nope_dim, shape.value_dim);
    let both = || name(index, "attn_kv_b.weight", "self_attn.kv_b_proj.weight");
    // Transformers has no other form than the first.
    let split = |what: &str| name(index, &format!("attn_{what}_b.weight"), "self_attn.kv_b_proj.weight");
    let is_split = match binder.is_made() {
        true => shape.is_split_in_gguf(),
        false => !binder.has(&both()) && binder.has(&split("k")),
    };
    if is_split {
        let keys = binder.stack(split("k"), n_heads, kv_lora, nope_dim)?;
        return Ok((Keys::Columns(keys), binder.stack(split("v"), n_heads, value_dim, kv_lora)?));
    }
    let whole = binder.matrix(both(), n_heads * (nope_dim + value_dim), kv_lora)?;
    binder.pass_over(&[split("k"), split("v")]);
    let keys = rows_of_heads(&whole, n_heads, [0, nope_dim], nope_dim + value_dim);
    let values = rows_of_heads(&whole, n_heads, [nope_dim, nope_dim + value_dim], nope_dim + value_dim);
    Ok((Keys::Rows(keys), values))
}

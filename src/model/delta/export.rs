//! A model of this kind as llama.cpp's converter writes it: the keys, and the value heads of its nets in the order of a GGUF,
//! in which neighbours read different key heads. Norms with 1 added and decays come so by their [`Mapped`] numbers.
//!
//! [`Mapped`]: crate::model::weights::Mapped

use super::Shape;
use super::read::{
    INTERVAL, KEY_DIM, KEY_HEADS, N_TAPS, RECURRENT, ROPE_DIMS, SHARED_HIDDEN, VALUE_HEADS, VALUE_WIDTH,
};
use crate::error::Result;
use crate::format::gguf::Value;
use crate::model::grouped::export::{check_scaling, scaling_keys};
use crate::model::grouped::read::{BASE, EXPERT_HIDDEN, HIDDEN, N_EXPERTS};
use crate::model::shape::keys::{self, Key};
use crate::model::weights::{Named, Piece, TensorRef};

/// How many pairs of dims turn by each coordinate of a picture, and by one that is not used. In texts all coordinates are
/// equal, so that only the sum counts.
const SECTIONS: &str = "rope.dimension_sections";

impl Shape {
    /// Fails where the model is not what a GGUF of its architecture says.
    ///
    /// # Errors
    /// The setting that has no key.
    pub fn check_said_by_gguf(&self) -> Result<()> {
        check_scaling(self.architecture, &self.rope.scaling)
    }

    /// The keys of the architecture, with its prefix.
    #[must_use]
    pub fn gguf_keys(&self) -> Vec<(String, Value)> {
        let net = &self.net;
        let mut keys: Vec<(&Key, Value)> = vec![
            (&keys::CONTEXT, self.context_length.into()),
            (&keys::N_EMBD, self.n_embd.into()),
            (&keys::N_LAYERS, self.n_layers().into()),
            (&keys::N_VOCAB, self.n_vocab.into()),
            (&keys::N_HEADS, self.n_heads.into()),
            (&keys::N_KV_HEADS, self.n_kv_heads.into()),
            (&keys::HEAD_DIM, self.head_dim.into()),
            (&keys::VALUE_DIM, self.head_dim.into()),
            (&keys::NORM_EPS, self.norm_eps.into()),
            (&ROPE_DIMS, self.rope.n_dims.into()),
            (&BASE, (self.rope.base as f32).into()),
            (&N_TAPS, net.n_taps.into()),
            (&KEY_DIM, net.key_dim.into()),
            (&KEY_HEADS, net.n_key_heads.into()),
            (&VALUE_HEADS, net.n_value_heads.into()),
            (&VALUE_WIDTH, net.value_width().into()),
        ];
        keys.push(match self.interval() {
            Some(interval) => (&INTERVAL, interval.into()),
            None => (&RECURRENT, self.attends.iter().map(|attends| !attends).collect::<Vec<_>>().as_slice().into()),
        });
        match &self.experts {
            None => keys.push((&HIDDEN, self.n_hidden.into())),
            Some(of) => keys.extend([
                (&N_EXPERTS, of.n_experts.into()),
                (&keys::N_USED, of.n_used.into()),
                (&EXPERT_HIDDEN, of.n_hidden.into()),
                (&SHARED_HIDDEN, of.shared_hidden.into()),
            ]),
        }
        keys.extend(scaling_keys(&self.rope.scaling));
        let n_pairs = self.rope.n_dims as i32 / 2;
        let first = (n_pairs + 2) / 3;
        let second = (n_pairs - first + 1) / 2;
        let sections = [first, second, n_pairs - first - second, 0];
        let named = keys.into_iter().map(|(key, value)| (key.gguf, value));
        let named = named.chain([(SECTIONS, sections.as_slice().into())]);
        named.map(|(key, value)| (format!("{}.{key}", self.architecture), value)).collect()
    }

    /// Each so many layers the last has attention, where that is how they stand.
    fn interval(&self) -> Option<u32> {
        // Where no layer has it, the first would come after the last.
        let interval = self.attends.iter().position(|attends| *attends).unwrap_or(self.attends.len()) + 1;
        let is_so = |(layer, attends): (usize, &bool)| *attends == (layer + 1).is_multiple_of(interval);
        self.attends.iter().enumerate().all(is_so).then_some(interval as u32)
    }

    /// The tensors of safetensors with their rows in the order that a GGUF has them.
    #[must_use]
    pub fn in_gguf_order(&self, mut tensors: Vec<Named>) -> Vec<Named> {
        let net = &self.net;
        let keys = 2 * net.n_key_heads * net.key_dim;
        for Named { name, tensor, .. } in &mut tensors {
            let of_layer = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
            match of_layer.map(|(_, name)| name) {
                Some("attn_qkv.weight" | "ssm_conv1d.weight") => *tensor = self.tiled(tensor, keys, net.value_dim),
                Some("attn_gate.weight") => *tensor = self.tiled(tensor, 0, net.value_dim),
                Some("ssm_beta.weight" | "ssm_alpha.weight") => *tensor = self.tiled(tensor, 0, 1),
                Some("ssm_a" | "ssm_dt.bias") => *tensor = self.tiled(&column(tensor), 0, 1),
                _ => {}
            }
        }
        tensors
    }

    /// Of a tensor of [`Self::in_gguf_order`] whose rows are made of value heads: which head stands at each place in a GGUF.
    #[must_use]
    pub fn heads_of_columns(&self, name: &str) -> Option<Vec<u32>> {
        name.ends_with(".ssm_out.weight").then(|| self.heads().collect())
    }

    /// For each value head of a GGUF its number in safetensors, where those of a key head are neighbours.
    fn heads(&self) -> impl Iterator<Item = u32> + use<> {
        let (n_keys, n_values) = (self.net.n_key_heads, self.net.n_value_heads);
        (0..n_values).map(move |head| head % n_keys * (n_values / n_keys) + head / n_keys)
    }

    /// The rows of value heads, `of_each` to a head from row `first` on, in the order of a GGUF.
    fn tiled(&self, tensor: &TensorRef, first: u32, of_each: u32) -> TensorRef {
        let begins = self.heads().map(|head| first + head * of_each);
        let heads = begins.flat_map(|begin| tensor.pieces_of(begin..begin + of_each));
        TensorRef { pieces: tensor.pieces_of(0..first).chain(heads).collect(), ..tensor.clone() }
    }
}

/// A vector as rows of one element.
fn column(row: &TensorRef) -> TensorRef {
    let pieces = row.pieces.iter().map(|piece| Piece { n_rows: row.n_in, ..*piece }).collect();
    TensorRef { n_rows: row.n_in, n_in: 1, pieces, ..row.clone() }
}

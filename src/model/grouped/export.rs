//! A model of this kind as llama.cpp's converter writes it: the keys, and for `llama` the rows of q and k permuted and
//! the scaling of the rotation as a tensor.

use super::read::{ATTENTION_FACTOR, BASE, EXPERT_HIDDEN, HIDDEN, N_EXPERTS, ROPE_DIMS, TYPE};
use super::{Rope, Scaling, Shape};
use crate::format::gguf::Value;
use crate::model::shape::keys::{self, Key};
use crate::model::weights::{Named, Piece, TensorRef};

impl Shape {
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
            (&keys::N_KV_HEADS, self.n_kv_heads.into()),
            (&keys::HEAD_DIM, self.head_dim.into()),
            (&keys::VALUE_DIM, self.head_dim.into()),
            (&keys::NORM_EPS, self.norm_eps.into()),
            (&ROPE_DIMS, self.rope.n_dims.into()),
            (&BASE, (self.rope.base as f32).into()),
        ];
        if let Some(experts) = &self.experts {
            keys.extend([
                (&N_EXPERTS, experts.n_experts.into()),
                (&keys::N_USED, experts.n_used.into()),
                (&EXPERT_HIDDEN, experts.n_hidden.into()),
                (&keys::WEIGHTS_NORM, experts.normed.into()),
            ]);
        }
        match self.rope.scaling {
            // Llama 3's has no key: it is the tensor `rope_freqs`.
            Scaling::None | Scaling::Llama3 { .. } => {}
            Scaling::Linear { factor } => {
                keys.extend([(&TYPE, "linear".into()), (&keys::YARN_FACTOR, (factor as f32).into())]);
            }
            Scaling::Yarn(yarn, scale) => {
                keys.extend([
                    (&TYPE, "yarn".into()),
                    (&keys::YARN_FACTOR, (yarn.factor as f32).into()),
                    (&keys::YARN_ORIGINAL, yarn.original.into()),
                    (&keys::YARN_FAST, (yarn.beta_fast as f32).into()),
                    (&keys::YARN_SLOW, (yarn.beta_slow as f32).into()),
                ]);
                // In a GGUF it comes on top of the usual amplitude.
                let told = f64::from(scale) / (1.0 + 0.1 * yarn.factor.ln());
                if (told - 1.0).abs() > 1e-6 {
                    keys.push((&ATTENTION_FACTOR, (told as f32).into()));
                }
            }
        }
        keys.into_iter().map(|(key, value)| (format!("{}.{}", self.architecture, key.gguf), value)).collect()
    }

    /// The tensors with their rows in the order that a GGUF has them: those of `llama` so that the dims that turn
    /// together are neighbours.
    #[must_use]
    pub fn in_gguf_order(&self, mut tensors: Vec<Named>) -> Vec<Named> {
        if self.architecture == "llama" && self.rope.halves {
            let turned = |name: &str| name.ends_with(".attn_q.weight") || name.ends_with(".attn_k.weight");
            for named in tensors.iter_mut().filter(|named| turned(&named.name)) {
                named.tensor = neighbours(&named.tensor, self.head_dim, self.rope.n_dims);
            }
            // A bias has an element for each of those rows.
            let bias = |name: &str| name.ends_with(".attn_q.bias") || name.ends_with(".attn_k.bias");
            for named in tensors.iter_mut().filter(|named| bias(&named.name)) {
                let row = &named.tensor;
                let pieces = row.pieces.iter().map(|piece| Piece { n_rows: row.n_in, ..*piece }).collect();
                let column = TensorRef { n_rows: row.n_in, n_in: 1, pieces, ..row.clone() };
                named.tensor = neighbours(&column, self.head_dim, self.rope.n_dims);
            }
        }
        tensors
    }

    /// What the tensor `rope_freqs.weight` holds in a GGUF: for each pair what divides its frequency. `None` where keys
    /// say all, or nothing is scaled.
    #[must_use]
    pub fn rope_divisors(&self) -> Option<Vec<f32>> {
        if !matches!(self.rope.scaling, Scaling::Llama3 { .. }) {
            return Some(self.rope.divisors.clone()).filter(|divisors| !divisors.is_empty());
        }
        let plain = Rope { scaling: Scaling::None, divisors: Vec::new(), ..self.rope.clone() };
        let pairs = plain.frequencies().into_iter().zip(self.rope.frequencies());
        Some(pairs.map(|(plain, scaled)| (plain / scaled) as f32).collect())
    }
}

/// The rows of heads whose halves turn together, in an order in which neighbours do: each row a piece of its own.
fn neighbours(tensor: &TensorRef, head_dim: u32, n_dims: u32) -> TensorRef {
    let row = |new: u32| {
        let (head, dim) = (new / head_dim, new % head_dim);
        let old = if dim < n_dims { dim % 2 * (n_dims / 2) + dim / 2 } else { dim };
        head * head_dim + old
    };
    let pieces: Vec<Piece> = (0..tensor.n_rows).map(row).flat_map(|row| tensor.pieces_of(row..row + 1)).collect();
    TensorRef { pieces, ..tensor.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;
    use crate::model::weights::Mapped;

    #[test]
    fn rows_of_halves_become_rows_of_neighbours() {
        let piece = Piece { source_index: 0, offset: 0, n_rows: 12, scales: None };
        let tensor = TensorRef {
            name: "q".into(),
            format: Format::F32,
            n_rows: 12,
            n_in: 1,
            pieces: vec![piece],
            mapped: Mapped::AsIs,
        };
        let rows = |n_dims| -> Vec<u64> {
            neighbours(&tensor, 6, n_dims).pieces.iter().map(|piece| piece.offset / 4).collect()
        };
        assert_eq!(rows(6), [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
        assert_eq!(rows(4), [0, 2, 1, 3, 4, 5, 6, 8, 7, 9, 10, 11]);
    }
}

//! A model of this kind as llama.cpp's converter writes it: the keys, and for `llama` and `smollm3` the rows of q and k
//! permuted and the scaling of the rotation as a tensor.

use super::architecture::Architecture;
use super::layers::{N_TAPS, PATTERN};
use super::read::{ATTENTION_FACTOR, BASE, EXPERT_HIDDEN, HIDDEN, LOCAL_BASE, N_EXPERTS, ROPE_DIMS, TYPE};
use super::{Gating, Rope, Scaling, Shape, Turn};
use crate::error::{Error, Result};
use crate::format::gguf::Value;
use crate::model::shape::keys::{self, Key};
use crate::model::weights::{Named, Piece, TensorRef};

impl Shape {
    /// Fails where the model is not what a GGUF of its architecture says by its name alone: some settings have no key.
    ///
    /// # Errors
    /// The setting, what it is and what it would have to be.
    pub fn check_said_by_gguf(&self) -> Result<()> {
        let unsaid =
            |thing: &str, found: String, expected: String| Err(unsaid(&self.architecture, thing, found, expected));
        let of = Architecture::named(&self.architecture);
        if let (Some(gating), Some(of_name)) = (self.experts.as_ref().and_then(|of| of.biased), of.gating)
            && gating != of_name
        {
            let shown = |Gating { limit, alpha }| format!("cut off at {limit}, alpha {alpha}");
            return unsaid("gates of experts", shown(gating), shown(of_name));
        }
        let of_name = of.scaled_by(self.n_layers, self.n_embd / self.n_heads.max(1), self.head_dim);
        let scale = f64::from(of_name).sqrt().recip() as f32;
        if (self.attention_scale - scale).abs() > 1e-6 * scale {
            return unsaid("scale of attention", self.attention_scale.to_string(), scale.to_string());
        }
        let still = |layer: u32| of.layers.still_each.is_some_and(|each| layer.is_multiple_of(each));
        let turns = |layer: u32| self.kind(layer as usize - 1).turn != Turn::Not;
        if let Some(layer) = (1..=self.n_layers).find(|layer| still(*layer) == turns(*layer)) {
            let word = |turns| if turns { "turns" } else { "does not turn" };
            let found = format!("layer {} {}", layer - 1, word(turns(layer)));
            return unsaid("rotation", found, format!("one that {}", word(!turns(layer))));
        }
        if let Scaling::Yarn(yarn, _) = &self.rope.scaling
            && yarn.rounds != of.rounds
        {
            return unsaid(TRUNCATE, yarn.rounds.to_string(), of.rounds.to_string());
        }
        let sees_all = self.kinds.iter().all(|kind| kind.window.is_none());
        if of.layers.needs_window && sees_all {
            return unsaid("window", "none".to_owned(), "one, in some layer".to_owned());
        }
        if self.convolutions.as_ref().is_some_and(|of| of.layers.iter().all(|convolves| *convolves)) {
            return unsaid("layers", "all with a convolution".to_owned(), "one with attention".to_owned());
        }
        if self.full_each().is_none() {
            return unsaid("layers with a window", "others".to_owned(), "all but every n-th".to_owned());
        }
        Ok(())
    }

    /// Of every so many layers the last one sees all, the others have a window; 0 where all see all, and `None` where it is
    /// otherwise.
    fn full_each(&self) -> Option<u32> {
        let sees_all = |layer: &usize| self.kind(*layer).window.is_none();
        let all = 0..self.n_layers as usize;
        if all.clone().all(|layer| sees_all(&layer)) {
            return Some(0);
        }
        // Where no layer sees all, the first of them would come after the last.
        let each = all.clone().find(sees_all).unwrap_or(all.end) as u32 + 1;
        all.clone().all(|layer| sees_all(&layer) == (layer as u32 + 1).is_multiple_of(each)).then_some(each)
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
            (&keys::HEAD_DIM, self.head_dim.into()),
            (&keys::VALUE_DIM, self.head_dim.into()),
            (&keys::NORM_EPS, self.norm_eps.into()),
            (&ROPE_DIMS, self.rope.n_dims.into()),
            (&BASE, (self.rope.base as f32).into()),
        ];
        match &self.convolutions {
            None => keys.push((&keys::N_KV_HEADS, self.n_kv_heads.into())),
            // A layer with a convolution has no key heads.
            Some(of) => {
                let heads = |convolves: &bool| if *convolves { 0 } else { self.n_kv_heads as i32 };
                let heads: Vec<i32> = of.layers.iter().map(heads).collect();
                keys.extend([(&keys::N_KV_HEADS, heads.as_slice().into()), (&N_TAPS, of.n_taps.into())]);
            }
        }
        if let Some(window) = self.kinds.iter().find_map(|kind| kind.window) {
            let each = self.full_each().unwrap_or(0);
            keys.push((&keys::WINDOW, window.into()));
            // As many as are usual are not told.
            keys.extend(
                (Architecture::named(&self.architecture).layers.full_each != Some(each))
                    .then(|| (&PATTERN, each.into())),
            );
        }
        keys.extend(self.local_rope.as_ref().map(|rope| (&LOCAL_BASE, (rope.base as f32).into())));
        if let Some(experts) = &self.experts {
            keys.extend([
                (&N_EXPERTS, experts.n_experts.into()),
                (&keys::N_USED, experts.n_used.into()),
                (&EXPERT_HIDDEN, experts.n_hidden.into()),
                (&keys::WEIGHTS_NORM, experts.normed.into()),
            ]);
        }
        keys.extend(scaling_keys(&self.rope.scaling));
        keys.into_iter().map(|(key, value)| (format!("{}.{}", self.architecture, key.gguf), value)).collect()
    }

    /// The tensors with their rows in the order that a GGUF has them: those of `llama` and its like so that the dims
    /// that turn together are neighbours.
    #[must_use]
    pub fn in_gguf_order(&self, mut tensors: Vec<Named>) -> Vec<Named> {
        if Architecture::named(&self.architecture).is_permuted && self.rope.halves {
            let turned = |name: &str| name.ends_with(".attn_q.weight") || name.ends_with(".attn_k.weight");
            for named in tensors.iter_mut().filter(|named| turned(&named.name)) {
                named.tensor = neighbours(&named.tensor, self.head_dim, self.rope.n_dims);
            }
            // A bias has an element for each of those rows.
            let bias = |name: &str| name.ends_with(".attn_q.bias") || name.ends_with(".attn_k.bias");
            for named in tensors.iter_mut().filter(|named| bias(&named.name)) {
                named.tensor = neighbours(&named.tensor.as_column(), self.head_dim, self.rope.n_dims);
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

const TRUNCATE: &str = "YaRN's \"truncate\"";

/// That a setting has no key.
pub(in crate::model) fn unsaid(architecture: &str, thing: &str, found: String, expected: String) -> Error {
    Error::file(format!("{architecture}: {thing}"), found)
        .expected(expected)
        .advice("A GGUF of this architecture has no key for it.")
}

/// Fails for a scaling that a GGUF has no key for, where no tensor says it either.
pub(in crate::model) fn check_scaling(architecture: &str, scaling: &Scaling) -> Result<()> {
    let (thing, found, expected) = match scaling {
        Scaling::Llama3 { .. } => ("scaling of the rotation", "llama3", "none, linear or YaRN"),
        Scaling::Yarn(yarn, _) if !yarn.rounds => (TRUNCATE, "false", "true"),
        _ => return Ok(()),
    };
    Err(unsaid(architecture, thing, found.to_owned(), expected.to_owned()))
}

/// The keys of a rotation's scaling.
pub(in crate::model) fn scaling_keys(scaling: &Scaling) -> Vec<(&'static Key, Value)> {
    match *scaling {
        // Llama 3's has no key: it is the tensor `rope_freqs`.
        Scaling::None | Scaling::Llama3 { .. } => Vec::new(),
        Scaling::Linear { factor } => {
            vec![(&TYPE, "linear".into()), (&keys::YARN_FACTOR, (factor as f32).into())]
        }
        Scaling::Yarn(yarn, scale) => {
            // In a GGUF it comes on top of the usual amplitude.
            let told = f64::from(scale) / (1.0 + 0.1 * yarn.factor.ln());
            let told = ((told - 1.0).abs() > 1e-6).then(|| (&ATTENTION_FACTOR, (told as f32).into()));
            let usual = [
                (&TYPE, "yarn".into()),
                (&keys::YARN_FACTOR, (yarn.factor as f32).into()),
                (&keys::YARN_ORIGINAL, yarn.original.into()),
                (&keys::YARN_FAST, (yarn.beta_fast as f32).into()),
                (&keys::YARN_SLOW, (yarn.beta_slow as f32).into()),
            ];
            usual.into_iter().chain(told).collect()
        }
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
        let piece = Piece { source_index: 0, offset: 0, n_rows: 12, scales: None, of_all: None };
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

//! A model of random weights as a GGUF would have it, made tensor by tensor: nothing of the model's size is ever in
//! memory. What it writes means nothing; any program that knows the architecture can load it and be timed with it.

use std::collections::{BTreeMap, HashMap};

use crate::error::{Error, Result};
use crate::format::Format;
use crate::format::directory::shown;
use crate::format::gguf::{NewTensor, Value};
use crate::format::random::hash;
use crate::format::random_rows::RandomRows;
use crate::model::{Filling, SyntheticDelta, SyntheticGrouped, SyntheticMla, SyntheticModel, SyntheticTensor};
use crate::text::gguf_keys_of_bytes;

/// Bytes handed on at a time, about.
const PIECE: usize = 4 << 20;

/// Keys and tensors of a model of random weights.
#[derive(Clone, Debug)]
pub struct Synthesis {
    /// The keys of architecture and tokenizer.
    pub keys: BTreeMap<String, Value>,
    /// The tensors, in the order of the file.
    pub tensors: Vec<SyntheticTensor>,
    n_experts: u32,
    seed: u32,
    /// By format and length of a row.
    pools: HashMap<(Format, u64), RandomRows>,
}

impl Synthesis {
    /// Of a DeepSeek V4.
    ///
    /// # Errors
    /// When its vocabulary has fewer tokens than the tokenizer of bytes.
    pub fn of_v4(model: &SyntheticModel) -> Result<Self> {
        let (shape, tensors) = (&model.shape, model.tensors()?);
        Self::new("deepseek4", shape.gguf_keys(), tensors, (shape.n_vocab, shape.n_experts), model.seed)
    }

    /// Of a model with grouped-query attention.
    ///
    /// # Errors
    /// As [`Self::of_v4`].
    pub fn of_grouped(model: &SyntheticGrouped) -> Result<Self> {
        let shape = &model.shape;
        let n_experts = shape.experts.as_ref().map_or(0, |of| of.n_experts);
        let sizes = (shape.n_vocab, n_experts);
        Self::new(&shape.architecture, shape.gguf_keys(), model.tensors(), sizes, model.seed)
    }

    /// Of a model with latent attention.
    ///
    /// # Errors
    /// As [`Self::of_v4`].
    pub fn of_mla(model: &SyntheticMla) -> Result<Self> {
        let shape = &model.shape;
        let n_experts = shape.experts.as_ref().map_or(0, |of| of.n_experts);
        let sizes = (shape.n_vocab, n_experts);
        Self::new(shape.architecture(), shape.gguf_keys(), model.tensors(), sizes, model.seed)
    }

    /// Of a model of gated delta nets.
    ///
    /// # Errors
    /// As [`Self::of_v4`].
    pub fn of_delta(model: &SyntheticDelta) -> Result<Self> {
        let shape = &model.shape;
        let n_experts = shape.experts.as_ref().map_or(0, |of| of.n_experts);
        let sizes = (shape.n_vocab, n_experts);
        Self::new(shape.architecture, shape.gguf_keys(), model.tensors(), sizes, model.seed)
    }

    fn new(
        architecture: &str,
        keys: Vec<(String, Value)>,
        tensors: Vec<SyntheticTensor>,
        (n_vocab, n_experts): (u32, u32),
        seed: u32,
    ) -> Result<Self> {
        let general = [("general.architecture", architecture), ("general.type", "model")];
        let general = general.map(|(key, value)| (key.to_owned(), value.into()));
        let keys = keys.into_iter().chain(general).chain(gguf_keys_of_bytes(n_vocab)?).collect();
        Ok(Self { keys, tensors, n_experts, seed, pools: HashMap::new() })
    }

    /// The tensors as the head of a GGUF has them.
    ///
    /// # Errors
    /// When one is in a format that GGUF does not have.
    pub fn new_tensors(&self) -> Result<Vec<NewTensor>> {
        let new = |tensor: &SyntheticTensor| {
            let type_id = tensor.format.ggml_id().ok_or_else(|| {
                Error::usage(format!("tensor {}", shown(&tensor.name)), tensor.format.name())
                    .expected("a format of GGUF")
            })?;
            let bytes = tensor.n_rows() * tensor.format.row_bytes(tensor.n_in());
            Ok(NewTensor { name: tensor.name.clone(), shape: tensor.shape.clone(), type_id, bytes })
        };
        self.tensors.iter().map(new).collect()
    }

    /// Hands the data of tensor number `index` on, some MiB at a time.
    ///
    /// # Errors
    /// What `write` gives.
    pub fn write(&mut self, index: usize, write: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let tensor = self.tensors[index].clone();
        let seed = hash(index as u32, self.seed);
        let mut bytes = Vec::with_capacity(PIECE);
        for row in 0..tensor.n_rows() as u32 {
            match tensor.filling {
                Filling::Product => {
                    let [begin, rest] = self.pool(&tensor)?.row(row, seed);
                    bytes.extend_from_slice(begin);
                    bytes.extend_from_slice(rest);
                }
                Filling::Experts => bytes.extend(ids(row, tensor.n_in() as u32, self.n_experts, seed)),
                filling => bytes.extend(plain(filling, tensor.n_in() as u32, hash(row, seed))),
            }
            if bytes.len() >= PIECE {
                write(&bytes)?;
                bytes.clear();
            }
        }
        write(&bytes)
    }

    fn pool(&mut self, tensor: &SyntheticTensor) -> Result<&RandomRows> {
        let (format, n_in) = (tensor.format, tensor.n_in());
        match self.pools.entry((format, n_in)) {
            std::collections::hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::hash_map::Entry::Vacant(new) => {
                Ok(new.insert(RandomRows::new(format, n_in, (n_in as f32).sqrt().recip())?))
            }
        }
    }
}

/// A row of a small tensor, as F32: 1 to 1.125 of one sign, or 1/16 to 1/8 of either sign.
fn plain(filling: Filling, n: u32, seed: u32) -> impl Iterator<Item = u8> {
    let value = move |i: u32| {
        let random = hash(i, seed);
        let share = (random >> 1) as f32 / (1u32 << 31) as f32;
        match filling {
            Filling::NearOne => 1.0 + share / 8.0,
            Filling::NearMinusOne => -1.0 - share / 8.0,
            _ if random & 1 == 1 => (1.0 + share) / 16.0,
            _ => -(1.0 + share) / 16.0,
        }
    };
    (0..n).flat_map(move |i| value(i).to_le_bytes())
}

/// Ids of experts, all different within a row.
fn ids(row: u32, n: u32, n_experts: u32, seed: u32) -> impl Iterator<Item = u8> {
    let (first, apart) = (hash(row, seed) % n_experts.max(1), (n_experts / n.max(1)).max(1));
    (0..n).flat_map(move |column| ((first + column * apart) % n_experts.max(1)).to_le_bytes())
}

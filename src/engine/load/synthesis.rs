//! A model of random weights as a GGUF would have it, made tensor by tensor: nothing of the model's size is ever in
//! memory. What it writes means nothing; any program that knows the architecture can load it and be timed with it.

use std::collections::{BTreeMap, HashMap};

use crate::error::{Error, Result};
use crate::format::Format;
use crate::format::directory::shown;
use crate::format::gguf::{NewTensor, Value};
use crate::format::random::hash;
use crate::format::random_rows::RandomRows;
use crate::model::{Filling, Named, Synthetic, TensorRef};
use crate::text::gguf_keys_of_bytes;

/// Bytes handed on at a time, about.
const PIECE: usize = 4 << 20;

/// Keys and tensors of a model of random weights.
#[derive(Clone, Debug)]
pub struct Synthesis {
    /// The keys of architecture and tokenizer.
    pub keys: BTreeMap<String, Value>,
    /// The tensors, in the order of the file.
    pub tensors: Vec<Named>,
    n_experts: u32,
    seed: u32,
    /// By format and length of a row.
    pools: HashMap<(Format, u64), RandomRows>,
}

impl Synthesis {
    /// Of a model.
    ///
    /// # Errors
    /// When its vocabulary has fewer tokens than the tokenizer of bytes.
    pub fn new(model: &Synthetic) -> Result<Self> {
        let shape = &model.shape;
        let general = [("general.architecture", shape.architecture()), ("general.type", "model")];
        let general = general.map(|(key, value)| (key.to_owned(), value.into()));
        let keys = shape.gguf_keys().into_iter().chain(general).chain(gguf_keys_of_bytes(shape.n_vocab())?).collect();
        let (tensors, n_experts) = (model.tensors()?, shape.experts().0);
        Ok(Self { keys, tensors, n_experts, seed: model.seed, pools: HashMap::new() })
    }

    /// The tensors as the head of a GGUF has them.
    ///
    /// # Errors
    /// When one is in a format that GGUF does not have.
    pub fn new_tensors(&self) -> Result<Vec<NewTensor>> {
        let new = |Named { name, shape, tensor, .. }: &Named| {
            let type_id = tensor.format.ggml_id().ok_or_else(|| {
                Error::usage(format!("tensor {}", shown(name)), tensor.format.name()).expected("a format of GGUF")
            })?;
            Ok(NewTensor { name: name.clone(), shape: shape.clone(), type_id, bytes: tensor.bytes() })
        };
        self.tensors.iter().map(new).collect()
    }

    /// Hands the data of tensor number `index` on, some MiB at a time.
    ///
    /// # Errors
    /// What `write` gives.
    pub fn write(&mut self, index: usize, write: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let Named { filling, tensor, .. } = self.tensors[index].clone();
        // As on an adapter, by the source that stands for the tensor.
        let source_index = tensor.pieces.first().map_or(index, |piece| piece.source_index);
        let seed = hash(source_index as u32, self.seed);
        let mut bytes = Vec::with_capacity(PIECE);
        for row in 0..tensor.n_rows {
            match filling {
                Filling::Product => {
                    let [begin, rest] = self.pool(&tensor)?.row(row, seed);
                    bytes.extend_from_slice(begin);
                    bytes.extend_from_slice(rest);
                }
                Filling::Experts => bytes.extend(ids(row, tensor.n_in, self.n_experts, seed)),
                filling => bytes.extend(plain(filling, tensor.n_in, hash(row, seed))),
            }
            if bytes.len() >= PIECE {
                write(&bytes)?;
                bytes.clear();
            }
        }
        write(&bytes)
    }

    fn pool(&mut self, tensor: &TensorRef) -> Result<&RandomRows> {
        let (format, n_in) = (tensor.format, u64::from(tensor.n_in));
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

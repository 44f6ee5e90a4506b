//! A model of random weights of whichever architecture can run without a file.

use super::{Filling, SyntheticDelta, SyntheticGrouped, SyntheticMla, SyntheticModel, SyntheticName, SyntheticTensor};
use crate::error::Result;
use crate::model::Model;

/// A model of random weights.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Synthetic {
    /// DeepSeek V4.
    V4(SyntheticModel),
    /// One with grouped-query attention.
    Grouped(SyntheticGrouped),
    /// One with latent attention.
    Mla(SyntheticMla),
    /// One of gated delta nets.
    Delta(SyntheticDelta),
}

impl From<SyntheticModel> for Synthetic {
    fn from(model: SyntheticModel) -> Self {
        Self::V4(model)
    }
}

impl From<SyntheticGrouped> for Synthetic {
    fn from(model: SyntheticGrouped) -> Self {
        Self::Grouped(model)
    }
}

impl From<SyntheticMla> for Synthetic {
    fn from(model: SyntheticMla) -> Self {
        Self::Mla(model)
    }
}

impl From<SyntheticDelta> for Synthetic {
    fn from(model: SyntheticDelta) -> Self {
        Self::Delta(model)
    }
}

impl Synthetic {
    /// The model of that name; `None` where no published model that runs without a file has it.
    ///
    /// # Errors
    /// When the model has no such layers, or fewer experts or tokens.
    pub fn of(name: &SyntheticName) -> Result<Option<Self>> {
        if let Some(shape) = name.published() {
            return Ok(Some(name.with_shape(shape)?.into()));
        }
        if let Some(model) = SyntheticMla::of(name)? {
            return Ok(Some(model.into()));
        }
        if let Some(model) = SyntheticDelta::of(name)? {
            return Ok(Some(model.into()));
        }
        Ok(SyntheticGrouped::of(name)?.map(Into::into))
    }

    /// What to call it: the name that asks for it, without folders.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::V4(model) => &model.name,
            Self::Grouped(model) => &model.name,
            Self::Mla(model) => &model.name,
            Self::Delta(model) => &model.name,
        }
    }

    /// What there is of it, its tensors bound to their fields. The `source_index` of a piece names its tensor.
    ///
    /// # Errors
    /// None for a model that could be made.
    pub fn model(&self) -> Result<Model> {
        match self {
            Self::V4(model) => Ok(Model::V4(model.shape.clone(), model.weights()?)),
            Self::Grouped(model) => model.model(),
            Self::Mla(model) => model.model(),
            Self::Delta(model) => model.model(),
        }
    }

    /// The whole model that it is cut from.
    #[must_use]
    pub fn whole(&self) -> Self {
        match self {
            Self::V4(model) => {
                let (shape, layers) = (model.whole.clone(), 0..model.whole.n_layers() as u32);
                Self::V4(SyntheticModel { shape, layers, ..model.clone() })
            }
            Self::Grouped(model) => Self::Grouped(model.uncut()),
            Self::Mla(model) => Self::Mla(model.uncut()),
            Self::Delta(model) => Self::Delta(model.uncut()),
        }
    }

    /// Its layers.
    #[must_use]
    pub fn n_layers(&self) -> u32 {
        match self {
            Self::V4(model) => model.shape.n_layers() as u32,
            Self::Grouped(model) => model.shape.n_layers,
            Self::Mla(model) => model.shape.n_layers,
            Self::Delta(model) => model.shape.n_layers(),
        }
    }

    /// Parameters that take part in a token; the row of the embedding is not counted.
    #[must_use]
    pub fn n_active_parameters(&self) -> u64 {
        match self {
            Self::V4(model) => model.shape.n_active_parameters(),
            Self::Grouped(model) => model.n_active_parameters(),
            Self::Mla(model) => model.n_active_parameters(),
            Self::Delta(model) => model.n_active_parameters(),
        }
    }

    /// Bytes of its weights, as a file would have them.
    ///
    /// # Errors
    /// As [`Self::model`].
    pub fn bytes(&self) -> Result<u64> {
        match self {
            Self::V4(model) => Ok(model.weights()?.bytes()),
            Self::Grouped(model) => Ok(model.tensors().iter().map(SyntheticTensor::bytes).sum()),
            Self::Mla(model) => Ok(model.tensors().iter().map(SyntheticTensor::bytes).sum()),
            Self::Delta(model) => Ok(model.tensors().iter().map(SyntheticTensor::bytes).sum()),
        }
    }

    /// With what its tensors are filled, by the `source_index` of their pieces.
    #[must_use]
    pub fn fillings(&self) -> Box<dyn Fn(usize) -> Filling + '_> {
        match self {
            Self::V4(model) => Box::new(|index| model.filling(index)),
            Self::Grouped(model) => Box::new(fillings_of(&model.tensors())),
            Self::Mla(model) => Box::new(fillings_of(&model.tensors())),
            Self::Delta(model) => Box::new(fillings_of(&model.tensors())),
        }
    }

    /// The begin of the random numbers.
    #[must_use]
    pub fn seed(&self) -> u32 {
        match self {
            Self::V4(model) => model.seed,
            Self::Grouped(model) => model.seed,
            Self::Mla(model) => model.seed,
            Self::Delta(model) => model.seed,
        }
    }

    /// Experts of a layer; 0 where there are none.
    #[must_use]
    pub fn n_experts(&self) -> u32 {
        match self {
            Self::V4(model) => model.shape.n_experts,
            Self::Grouped(model) => model.shape.experts.as_ref().map_or(0, |of| of.n_experts),
            Self::Mla(model) => model.shape.experts.as_ref().map_or(0, |of| of.n_experts),
            Self::Delta(model) => model.shape.experts.as_ref().map_or(0, |of| of.n_experts),
        }
    }
}

/// With what each of these is filled.
fn fillings_of(tensors: &[SyntheticTensor]) -> impl Fn(usize) -> Filling + use<> {
    let fillings: Vec<Filling> = tensors.iter().map(|tensor| tensor.filling).collect();
    move |index| fillings.get(index).copied().unwrap_or(Filling::Product)
}

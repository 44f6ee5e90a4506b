//! One Rust file per file of `shaders/kernels/`: the layout of its parameters, how it is recorded, its scalar reference.
//! Knows weight formats and the GPU's recordings, and no model.

pub mod attend;
pub mod attend_score;
pub mod case;
pub mod compress;
pub mod index_score;
pub mod index_top_k;
pub mod keys;
pub mod latents;
pub mod linear;
pub mod linear_tiled;
pub mod matrix;
pub mod rope;
pub mod rotate;

pub use matrix::Matrix;

use crate::gpu::Kernel;

/// Every kernel.
pub const ALL: &[&Kernel] = &[
    &linear::KERNEL,
    &linear_tiled::KERNEL,
    &latents::KERNEL,
    &rotate::KERNEL,
    &attend_score::KERNEL,
    &attend::KERNEL,
    &compress::KERNEL,
    &index_score::KERNEL,
    &index_top_k::KERNEL,
];

pub(crate) const STEP: &str = include_str!("../../shaders/lib/step.wgsl");

/// `Σ a·b` in f32, in order.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

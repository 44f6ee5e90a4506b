//! What a model is on an executor: its buffers planned, its steps recorded, by architecture. DeepSeek V4 is one, in
//! [`v4`]; decoders of one residual stream share [`decoder`], and differ in their attention.

pub mod decoder;
pub(super) mod delta;
pub mod draft;
pub mod fit;
pub(super) mod grouped;
pub(super) mod heads;
pub(super) mod mla;
pub mod mla_plain;
pub(super) mod mlp;
pub(super) mod network;
pub(super) mod planning;
pub mod ring;
pub(super) mod short_conv;
pub(super) mod state;
pub mod step;
pub(super) mod sublayer;
pub mod v4;

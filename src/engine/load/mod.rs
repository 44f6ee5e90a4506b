//! The files of a model: opened, read in pieces, uploaded, written. Knows nothing of steps.

pub(super) mod classify;
pub mod export;
pub mod files;
pub mod options;
pub(super) mod read_rows;
pub mod recommended;
pub(super) mod synthesis;
pub(super) mod synthetic_fill;
pub mod upload;

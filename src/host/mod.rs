//! The platform: the command line natively, the page and its worker in a browser; and what both know of model hubs
//! and of models that come in pieces.

pub mod arrival;
pub mod hub;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
#[cfg(target_arch = "wasm32")]
pub mod web;

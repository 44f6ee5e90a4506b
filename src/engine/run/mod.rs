//! A loaded model at work: prompts in bounded chunks, tokens, conversations, and what of a text is kept for the next.

pub mod conversation;
pub(super) mod fault;
pub mod generation;
mod logits;
pub(super) mod parts;
pub(super) mod prefill_budget;
pub(super) mod prefix_cache;
mod prompt;
pub mod prompt_cache;
mod rewind;
pub mod sampling;
pub mod session;

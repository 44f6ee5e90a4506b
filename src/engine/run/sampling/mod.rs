//! How the next token is chosen. What is cheap and common is done by a kernel, beside the model; for everything else the
//! logits come back and `sampler` chooses, from the same numbers with the same noise.
//!
//! The order is llama.cpp's: bias and constraint, penalties for tokens written before (`penalties`), for going on with a
//! repetition (`dry`), then filters: top-n-sigma, top-k, typical, top-p, min-p (`filters`), XTC (`xtc`); the temperature
//! last. Definitions are the field's; each file names its source.

mod candidates;
mod dry;
mod filters;
mod penalties;
#[cfg(test)]
mod reference;
mod sampler;
mod xtc;

use crate::error::{Error, Result};
use crate::text::Tokenizer;
use std::fmt::Debug;
use std::sync::Arc;

pub(in crate::engine) use sampler::Sampler;

/// How the next token is chosen.
#[derive(Clone, Debug)]
pub struct Sampling {
    /// Softmax temperature; 0 takes the most likely token.
    pub temperature: f32,
    /// Keep the k most likely tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the most likely tokens of this total probability; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this likely relative to the most likely; 0 keeps all.
    pub min_p: f32,
    /// Keep the tokens whose information is nearest to what is expected, of this total probability; 1 keeps all.
    pub typical_p: f32,
    /// Keep tokens whose logit is less than so many standard deviations below the greatest; 0 and less keep all.
    pub top_n_sigma: f32,
    /// Leave out the likeliest tokens now and then.
    pub xtc: Xtc,
    /// Divides (or multiplies, when negative) the logits of recent tokens; 1 leaves them.
    pub repeat_penalty: f32,
    /// Taken from the logits of recent tokens.
    pub presence_penalty: f32,
    /// Taken from the logits of recent tokens, once for each time that they occur.
    pub frequency_penalty: f32,
    /// How many recent tokens these look at; [`u32::MAX`] for all.
    pub repeat_window: u32,
    /// Make tokens less likely that would go on with a repetition.
    pub dry: Dry,
    /// Added to the logits of these ids; minus infinity forbids one.
    pub logit_bias: Vec<(u32, f32)>,
    /// Never choose a token that ends the text.
    pub ignore_ends: bool,
    /// What the text must look like.
    pub grammar: Option<Arc<dyn Grammar>>,
    /// Seed of the random numbers.
    pub seed: u32,
}

/// Exclude top choices: leaves out all tokens of at least a probability but the least likely of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Xtc {
    /// How often, as a share of the tokens; 0 never.
    pub probability: f32,
    /// From which probability on a token is a top choice; over 0.5 there is never more than one.
    pub threshold: f32,
}

/// Don't repeat yourself: a penalty that grows with the length of what is being repeated.
#[derive(Clone, Debug, PartialEq)]
pub struct Dry {
    /// The penalty at the allowed length; 0 for none.
    pub multiplier: f32,
    /// By how much it grows with each token more.
    pub base: f32,
    /// The longest repetition without a penalty for going on with it, in tokens.
    pub allowed_length: u32,
    /// How many recent tokens it looks at; [`u32::MAX`] for all.
    pub window: u32,
    /// Texts that a repetition does not reach across.
    pub breakers: Vec<String>,
}

impl Default for Dry {
    /// llama.cpp's, switched off.
    fn default() -> Self {
        let breakers = ["\n", ":", "\"", "*"].map(str::to_owned).to_vec();
        Self { multiplier: 0.0, base: 1.75, allowed_length: 2, window: u32::MAX, breakers }
    }
}

/// What a text must look like, such as a grammar.
pub trait Grammar: Debug + Send + Sync {
    /// Begins a text of this vocabulary.
    ///
    /// # Errors
    /// A grammar that is none, or asks for too much.
    fn begin(&self, tokenizer: &Tokenizer) -> Result<Box<dyn Constraint>>;
}

/// What the text so far may go on with.
pub trait Constraint {
    /// Whether each id may come next; ids beyond the end of the list may not.
    ///
    /// # Errors
    /// When no token may come next, or to tell asks for too much.
    fn allowed(&mut self) -> Result<Vec<bool>>;

    /// This token came next.
    ///
    /// # Errors
    /// When it was not allowed.
    fn accept(&mut self, id: u32) -> Result<()>;
}

impl Default for Sampling {
    /// Greedy.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            top_n_sigma: 0.0,
            xtc: Xtc { probability: 0.0, threshold: 0.1 },
            repeat_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            repeat_window: 64,
            dry: Dry::default(),
            logit_bias: Vec::new(),
            ignore_ends: false,
            grammar: None,
            seed: 0,
        }
    }
}

/// Recent tokens that the kernel's penalty may look at: each is compared with all of them.
const MAX_KERNEL_WINDOW: u32 = crate::kernels::sample::MOST_RECENT;

impl Sampling {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// Names the setting, its value and its range.
    pub fn check(&self) -> Result<()> {
        let within = |name: &str, value: f32, low: f32, high: f32| {
            if value >= low && value <= high {
                return Ok(());
            }
            Err(Error::usage(name, value.to_string()).expected(format!("a number from {low} to {high}")))
        };
        within("temperature", self.temperature, 0.0, 100.0)?;
        within("top-p", self.top_p, 0.0, 1.0)?;
        within("min-p", self.min_p, 0.0, 1.0)?;
        within("typical-p", self.typical_p, 0.0, 1.0)?;
        within("top-n-sigma", self.top_n_sigma, -1.0, 1000.0)?;
        within("XTC probability", self.xtc.probability, 0.0, 1.0)?;
        within("XTC threshold", self.xtc.threshold, 0.0, 1.0)?;
        within("repeat penalty", self.repeat_penalty, 0.01, 100.0)?;
        within("presence penalty", self.presence_penalty, -100.0, 100.0)?;
        within("frequency penalty", self.frequency_penalty, -100.0, 100.0)?;
        within("DRY multiplier", self.dry.multiplier, 0.0, 100.0)?;
        within("DRY base", self.dry.base, 1.0, 100.0)?;
        match self.logit_bias.iter().find(|(_, bias)| bias.is_nan()) {
            Some((id, _)) => Err(Error::usage("logit bias", format!("none for token {id}")).expected("a number")),
            None => Ok(()),
        }
    }

    /// Whether the kernel can choose the token; else the logits come back for [`Sampler`] to choose from.
    pub(in crate::engine) fn suits_the_kernel(&self) -> bool {
        let penalizes = self.repeat_penalty != 1.0 || self.presence_penalty != 0.0 || self.frequency_penalty != 0.0;
        self.typical_p >= 1.0
            && self.top_n_sigma <= 0.0
            && self.xtc.probability == 0.0
            && (self.repeat_window <= MAX_KERNEL_WINDOW || !penalizes)
            && self.dry.multiplier == 0.0
            && self.logit_bias.is_empty()
            && !self.ignore_ends
            && self.grammar.is_none()
    }
}

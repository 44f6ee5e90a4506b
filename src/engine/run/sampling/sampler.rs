//! The choice of a token on the host.

use super::candidates::{Candidate, Candidates};
use super::dry::{self, Breakers};
use super::{Constraint, Sampling, filters, penalties, xtc};
use crate::error::{Error, Result};
use crate::kernels::sample::{chance, noise};
use crate::text::Tokenizer;

/// More than any logit, and so little that an f32 holds it with one.
const CERTAIN: f32 = 1e30;

/// Chooses a text's tokens one after another.
pub(in crate::engine) struct Sampler {
    sampling: Sampling,
    breakers: Breakers,
    constraint: Option<Box<dyn Constraint>>,
    /// All ids so far, those of the prompt included.
    text: Vec<u32>,
}

impl Sampler {
    /// For a text that begins with a prompt. `ends` are the ids that end it.
    ///
    /// # Errors
    /// A bias of an id that is not in the vocabulary, or a grammar that cannot begin.
    pub(in crate::engine) fn new(
        sampling: &Sampling,
        tokenizer: Option<&Tokenizer>,
        ends: &[u32],
        n_vocab: u32,
        prompt: &[u32],
    ) -> Result<Self> {
        let mut sampling = sampling.clone();
        if let Some((id, _)) = sampling.logit_bias.iter().find(|(id, _)| *id >= n_vocab) {
            return Err(Error::usage("logit bias", format!("token {id}")).expected(format!("ids below {n_vocab}")));
        }
        if sampling.ignore_ends {
            sampling.logit_bias.extend(ends.iter().map(|id| (*id, f32::NEG_INFINITY)));
        }
        let breakers = match tokenizer {
            Some(tokenizer) if sampling.dry.multiplier != 0.0 => Breakers::new(&sampling.dry.breakers, tokenizer)?,
            _ => Breakers::default(),
        };
        let constraint = match (&sampling.grammar, tokenizer) {
            (None, _) => None,
            (Some(grammar), Some(tokenizer)) => Some(grammar.begin(tokenizer)?),
            (Some(_), None) => {
                return Err(
                    Error::usage("grammar", "the model's file has no vocabulary").expected("a model that writes text")
                );
            }
        };
        Ok(Self { sampling, breakers, constraint, text: prompt.to_vec() })
    }

    /// The next token of the text, from the logits that follow it, `[n_vocab]`.
    ///
    /// # Errors
    /// When the constraint fails.
    pub(in crate::engine) fn choose(&mut self, logits: &mut [f32]) -> Result<u32> {
        let allowed = self.constraint.as_mut().map(|constraint| constraint.allowed()).transpose()?;
        let candidates = candidates(&self.sampling, &self.breakers, logits, &self.text, allowed.as_deref());
        let (position, seed) = (self.text.len() as u32, self.sampling.seed);
        let id = draw(candidates.as_slice(), self.sampling.temperature, |id| noise(seed, position, id));
        self.text.push(id);
        if let Some(constraint) = &mut self.constraint {
            constraint.accept(id)?;
        }
        Ok(id)
    }
}

/// What all steps but the draw leave of the logits that follow a text.
pub(super) fn candidates(
    sampling: &Sampling,
    breakers: &Breakers,
    logits: &mut [f32],
    text: &[u32],
    allowed: Option<&[bool]>,
) -> Candidates {
    for (id, bias) in &sampling.logit_bias {
        if let Some(logit) = logits.get_mut(*id as usize) {
            // An infinite one makes a token certain, as long as the logit stays a number.
            *logit += bias.min(CERTAIN);
        }
    }
    if let Some(allowed) = allowed {
        let forbidden = |id: usize| !allowed.get(id).copied().unwrap_or(false);
        logits.iter_mut().enumerate().filter(|(id, _)| forbidden(*id)).for_each(|(_, it)| *it = f32::NEG_INFINITY);
    }
    penalties::penalize(logits, text, sampling);
    dry::penalize(logits, text, &sampling.dry, breakers);
    let least = match sampling.top_n_sigma {
        n if n > 0.0 => filters::sigma_limit(logits, n),
        _ => f32::MIN,
    };
    let logits = &*logits;
    let forbids = |id: u32| logits[id as usize] == f32::NEG_INFINITY;
    let mut kept = Candidates::new(logits, sampling.top_k as usize, |id, logit| logit >= least && !forbids(id));
    filters::typical(&mut kept, sampling.typical_p);
    filters::top_p(&mut kept, sampling.top_p);
    filters::min_p(&mut kept, sampling.min_p);
    xtc::exclude(&mut kept, sampling.xtc, chance(sampling.seed, text.len() as u32));
    kept
}

/// The one with the greatest logit and noise together: a draw from the softmax. At temperature 0 the likeliest.
fn draw(candidates: &[Candidate], temperature: f32, noise: impl Fn(u32) -> f32) -> u32 {
    let (mut best, mut chosen) = (f32::MIN, candidates[0].id);
    if temperature > 0.0 {
        let greatest = candidates[0].logit;
        for Candidate { id, logit } in candidates {
            let score = (logit - greatest) / temperature.max(1e-6) + noise(*id);
            if score > best || (score == best && *id < chosen) {
                (best, chosen) = (score, *id);
            }
        }
    }
    chosen
}

//! Penalties for tokens that were written before.
//!
//! The repeat penalty is that of Keskar et al., "CTRL", <https://arxiv.org/abs/1909.05858>, which multiplies where a
//! logit is negative; presence and frequency are OpenAI's, as llama.cpp has them.

use super::Sampling;
use std::collections::HashMap;

/// Changes the logits of the ids that the text's last tokens hold.
pub(super) fn penalize(logits: &mut [f32], text: &[u32], sampling: &Sampling) {
    let Sampling { repeat_penalty, presence_penalty, frequency_penalty, .. } = *sampling;
    if repeat_penalty == 1.0 && presence_penalty == 0.0 && frequency_penalty == 0.0 {
        return;
    }
    let mut counts: HashMap<u32, u32> = HashMap::new();
    for id in recent(text, sampling.repeat_window) {
        *counts.entry(*id).or_default() += 1;
    }
    for (id, count) in counts {
        if let Some(logit) = logits.get_mut(id as usize) {
            *logit = if *logit > 0.0 { *logit / repeat_penalty } else { *logit * repeat_penalty };
            *logit -= count as f32 * frequency_penalty + presence_penalty;
        }
    }
}

/// The last `window` ids of a text.
pub(super) fn recent(text: &[u32], window: u32) -> &[u32] {
    &text[text.len() - text.len().min(window as usize)..]
}

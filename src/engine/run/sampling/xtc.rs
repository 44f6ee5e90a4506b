//! Exclude top choices, by p-e-w: <https://github.com/oobabooga/text-generation-webui/pull/6335>. Where several tokens are
//! likely enough, all of them but the least likely are left out, so that a text takes a less worn way and still makes sense.

use super::Xtc;
use super::candidates::Candidates;

/// Leaves out the top choices if this is one of the times; `chance` is a number in `[0, 1)`, another for each token.
pub(super) fn exclude(candidates: &mut Candidates, xtc: Xtc, chance: f32) {
    // Over a half there is one top choice at most, and that one stays.
    if chance >= xtc.probability || xtc.threshold > 0.5 {
        return;
    }
    let threshold = f64::from(xtc.threshold);
    let n_top = candidates.probabilities(1.0).into_iter().take_while(|&p| p >= threshold).count();
    candidates.drop_first(n_top.saturating_sub(1));
}

//! The text that every check reads: the same words for every model, on every adapter.

use crate::engine::Session;
use crate::error::Result;
use crate::text::Bos;

/// Long enough for more than 200 tokens of a vocabulary of 2048, and for a token past the 128th with a large one.
const TEXT: &str = "\
The lighthouse keeper counted his steps as he climbed: two hundred and twelve, the same as every evening. From the \
gallery he could see the whole bay, the fishing boats coming home in a crooked line, and far out the mail steamer with \
its thread of smoke. \"You will have a storm before morning,\" said the boy, who had followed him up with the oil. \"How \
do you know?\" asked the keeper. \"The gulls are walking,\" answered the boy, \"and the cat has gone under the stove.\" \
They lit the lamp, wound the clockwork, and wrote the hour into the book. By midnight the wind had turned, the sea broke \
white over the mole, and the beam went round and round above it, patient as a clock: three seconds of light, then nine \
of darkness, then three seconds of light again. When the day came, every boat lay at anchor, and the keeper, who had \
not slept, counted them twice; and only then did he put out the lamp and go down to his breakfast.";

/// The text as the model's tokens, at most as many as the session has room for; where the model has no tokenizer, as
/// many ids drawn at random, the same every time.
///
/// # Errors
/// When the tokenizer cannot encode the text.
pub fn built_in_ids(session: &Session) -> Result<Vec<u32>> {
    let mut ids = match session.tokenizer() {
        Some(tokenizer) => {
            let bos = if tokenizer.special().bos.is_some() { Bos::Add } else { Bos::Omit };
            tokenizer.encode(TEXT, bos)?
        }
        None => random_ids(session.outline().n_vocab),
    };
    ids.truncate(session.n_context() as usize);
    Ok(ids)
}

/// Ids below `n_vocab` by a linear congruence, whose upper bits are random enough.
fn random_ids(n_vocab: u32) -> Vec<u32> {
    let next = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some((*state >> 33) as u32 % n_vocab.max(1))
    };
    std::iter::repeat_n((), 256).scan(1, |state, ()| next(state)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_are_in_the_vocabulary_and_vary() {
        let ids = random_ids(100);
        assert!(ids.len() == 256 && ids.iter().all(|id| *id < 100));
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert!(distinct.len() > 80, "{} of 100", distinct.len());
    }
}

//! Don't repeat yourself, by p-e-w: <https://github.com/oobabooga/text-generation-webui/pull/5677>, with llama.cpp's rule
//! for breakers of several tokens.
//!
//! A token that followed an earlier occurrence of the text's end would continue a repetition; its logit
//! loses `multiplier · base^(length - allowed_length)`. Repetitions are not followed across a breaker.

use super::Dry;
use super::penalties::recent;
use crate::error::Result;
use crate::text::{Bos, Control, Tokenizer};
use std::collections::HashMap;

/// Tokens that break repetitions: by the token in which a breaker begins, those that it goes on with.
#[derive(Debug, Default)]
pub(super) struct Breakers(HashMap<u32, Vec<Vec<u32>>>);

/// A breaker is looked at up to here, and its tokens after the first up to there.
const MOST_BYTES: usize = 40;
const MOST_TOKENS: usize = 20;

impl Breakers {
    /// Those of a vocabulary: tokens that hold a breaker, and tokens that end in the beginning of one, with the tokens of
    /// what is missing.
    pub(super) fn new(breakers: &[String], tokenizer: &Tokenizer) -> Result<Self> {
        let mut found: HashMap<u32, Vec<Vec<u32>>> = HashMap::new();
        let breakers: Vec<&str> = breakers
            .iter()
            .map(|text| &text[..text.floor_char_boundary(MOST_BYTES)])
            .filter(|it| !it.is_empty())
            .collect();
        for id in 0..tokenizer.n_vocab() as u32 {
            let token = tokenizer.bytes_of(id, Control::Show);
            for breaker in &breakers {
                for rest in rests(token, breaker) {
                    let mut rest = tokenizer.encode(rest, Bos::Omit)?;
                    rest.truncate(MOST_TOKENS);
                    let rests = found.entry(id).or_default();
                    if !rests.contains(&rest) {
                        rests.push(rest);
                    }
                }
            }
        }
        Ok(Self(found))
    }

    /// Those of these tokens.
    #[cfg(test)]
    pub(super) fn of_tokens(breakers: &[Vec<u32>]) -> Self {
        let mut found = Self::default();
        for breaker in breakers {
            found.0.entry(breaker[0]).or_default().push(breaker[1..].to_vec());
        }
        found
    }

    /// How many tokens at the text's end stand behind the last breaker in it; all of them if there is none.
    fn n_behind(&self, text: &[u32]) -> usize {
        let behind = |at: usize| {
            let rests = self.0.get(&text[at])?;
            let longest = rests.iter().filter(|rest| text[at + 1..].starts_with(rest)).map(Vec::len).max()?;
            Some(text.len() - 1 - at - longest)
        };
        (0..text.len()).rev().find_map(behind).unwrap_or(text.len())
    }

    /// Whether the token is a breaker by itself.
    fn breaks(&self, id: u32) -> bool {
        self.0.get(&id).is_some_and(|rests| rests.iter().any(Vec::is_empty))
    }
}

/// What is missing of a breaker behind a token that holds it, or that ends in its beginning.
fn rests<'a>(token: &[u8], breaker: &'a str) -> Vec<&'a str> {
    let bytes = breaker.as_bytes();
    if token.windows(bytes.len()).any(|part| part == bytes) {
        return vec![""];
    }
    let ends = (1..bytes.len().min(token.len() + 1)).filter(|&n| token.ends_with(&bytes[..n]));
    ends.filter_map(|n| breaker.get(n..)).collect()
}

/// Changes the logits of the ids that would go on with a repetition.
pub(super) fn penalize(logits: &mut [f32], text: &[u32], dry: &Dry, breakers: &Breakers) {
    let text = recent(text, dry.window);
    let allowed = dry.allowed_length as usize;
    if dry.multiplier == 0.0 || dry.base < 1.0 || text.len() <= allowed {
        return;
    }
    let limit = breakers.n_behind(text);
    if limit < allowed {
        return;
    }
    let mut longest: HashMap<u32, usize> = HashMap::new();
    for (end, n) in repetitions(text) {
        let n = n.min(limit);
        if n >= allowed && !breakers.breaks(text[end]) {
            let longest = longest.entry(text[end]).or_default();
            *longest = n.max(*longest);
        }
    }
    // At most what an f32 holds.
    let most = if dry.base > 1.000_001 { f32::MAX.ln() / dry.base.ln() } else { f32::MAX };
    for (id, n) in longest {
        if let Some(logit) = logits.get_mut(id as usize) {
            *logit -= dry.multiplier * dry.base.powf(((n - allowed) as f32).min(most.floor()));
        }
    }
}

/// For each place before the end: the place, and how many tokens before it are those at the text's end. By the Z
/// algorithm, read from the end, so that a text of one token over and over takes no longer than another.
fn repetitions(text: &[u32]) -> impl Iterator<Item = (usize, usize)> {
    let n = text.len();
    let from_end = |place: usize| text[n - 1 - place];
    let mut lengths = vec![0; n];
    let (mut left, mut right) = (0, 0);
    for place in 1..n {
        let mut length = if place < right { lengths[place - left].min(right - place) } else { 0 };
        while place + length < n && from_end(length) == from_end(place + length) {
            length += 1;
        }
        lengths[place] = length;
        if place + length > right {
            (left, right) = (place, place + length);
        }
    }
    (1..n).map(move |place| (n - place, lengths[place]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_those_that_a_plain_comparison_finds() {
        let texts: [&[u32]; 4] = [&[1, 2, 3, 1, 2, 3, 1, 2], &[5; 9], &[1], &[7, 7, 8, 7, 7, 8, 8, 7, 7]];
        for text in texts {
            let plain =
                |end: usize| (0..end).take_while(|back| text[end - 1 - back] == text[text.len() - 1 - back]).count();
            for (end, n) in repetitions(text) {
                assert_eq!(n, plain(end), "{text:?} before {end}");
            }
        }
    }

    #[test]
    fn the_rest_of_a_breaker_is_what_the_token_lacks() {
        assert_eq!(rests(b"a\n", "\n"), [""]);
        assert_eq!(rests(b"so aa", "aab"), ["ab", "b"]);
        assert!(rests(b"b", "aab").is_empty());
        assert_eq!(rests("x\u{e9}".as_bytes(), "\u{e9}y"), ["y"]);
    }

    #[test]
    fn a_breaker_ends_the_look_back_and_is_never_penalized() {
        let breakers = Breakers::of_tokens(&[vec![9], vec![4, 5]]);
        assert_eq!(breakers.n_behind(&[1, 9, 2, 3]), 2);
        assert_eq!(breakers.n_behind(&[1, 4, 5, 2]), 1);
        assert_eq!(breakers.n_behind(&[1, 4, 6, 2]), 4);
        let dry = Dry { multiplier: 1.0, allowed_length: 1, base: 2.0, ..Dry::default() };
        let mut logits = [0.0; 10];
        penalize(&mut logits, &[1, 2, 9, 1, 2, 3, 1, 2], &dry, &breakers);
        // Behind the breaker there are five tokens, so that 1 2 counts as two of them at each of its places.
        assert_eq!((logits[9], logits[3]), (0.0, -2.0));
    }
}

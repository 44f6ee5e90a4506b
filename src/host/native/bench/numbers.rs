//! Lists and ranges of numbers on the command line, as llama-bench has them: `512,1024`, `128-512+128`,
//! `first-last*factor`.

use std::str::FromStr;

/// Numbers of one argument, at most [`MOST`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbers(pub(super) Vec<u32>);

/// More numbers than anyone waits for: a slip of the hand.
const MOST: usize = 1000;

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut numbers = Vec::new();
        let parts = text.split(',').map(str::trim);
        // A comma at the end says nothing; a list must.
        let is_empty = parts.clone().all(str::is_empty);
        for part in parts.filter(|part| is_empty || !part.is_empty()) {
            numbers.extend(range(part).map_err(|wrong| format!("{part:?}: {wrong}"))?);
            if numbers.len() > MOST {
                return Err(format!("expected at most {MOST} numbers"));
            }
        }
        Ok(Self(numbers))
    }
}

/// How a range goes on from a number; `None` where numbers end.
type Next = Box<dyn Fn(u32) -> Option<u32>>;

fn range(text: &str) -> Result<Vec<u32>, String> {
    let Some((first, rest)) = text.split_once('-') else { return Ok(vec![number(text)?]) };
    let (last, next) = match (rest.split_once('+'), rest.split_once('*')) {
        (Some((last, step)), _) => (last, by_step(number(step)?)?),
        (_, Some((last, factor))) => (last, by_factor(number(factor)?)?),
        _ => (rest, by_step(1)?),
    };
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err("expected the smaller number first".into());
    }
    let numbers = std::iter::successors(Some(first), |n| next(*n).filter(|next| *next > *n && *next <= last));
    Ok(numbers.take(MOST + 1).collect())
}

fn by_step(step: u32) -> Result<Next, String> {
    match step {
        0 => Err("expected a step of at least 1 after +".into()),
        step => Ok(Box::new(move |n| n.checked_add(step))),
    }
}

fn by_factor(factor: u32) -> Result<Next, String> {
    match factor {
        0 | 1 => Err("expected a factor of at least 2 after *".into()),
        factor => Ok(Box::new(move |n| n.checked_mul(factor))),
    }
}

fn number(text: &str) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = text.parse().ok().filter(|n| digits && *n <= MOST_TOKENS);
    parsed.ok_or_else(|| format!("expected a number up to {MOST_TOKENS}, a list, first-last+step or first-last*factor"))
}

/// No context is longer, and sums of a few stay far inside 32 bits.
const MOST_TOKENS: u32 = 1 << 28;

/// The two numbers of `-pg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// Tokens of the prompt.
    pub(super) n_prompt: u32,
    /// Tokens written after it.
    pub(super) n_gen: u32,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (n_prompt, n_gen) = text.split_once(',').ok_or("expected two numbers with a comma between")?;
        match (number(n_prompt.trim())?, number(n_gen.trim())?) {
            (0, 0) => Err("expected tokens".into()),
            (n_prompt, n_gen) => Ok(Self { n_prompt, n_gen }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges_are_those_of_llama_bench() {
        let parse = |text: &str| text.parse::<Numbers>().map(|numbers| numbers.0);
        assert_eq!(parse("512"), Ok(vec![512]));
        assert_eq!(parse("512,1024,0"), Ok(vec![512, 1024, 0]));
        assert_eq!(parse("128-512+128"), Ok(vec![128, 256, 384, 512]));
        assert_eq!(parse("128-600*2,7"), Ok(vec![128, 256, 512, 7]));
        assert_eq!(parse("3-5"), Ok(vec![3, 4, 5]));
        assert_eq!(parse("5-5"), Ok(vec![5]));
        assert_eq!(parse("0-9*2"), Ok(vec![0]));
        assert_eq!(parse(" 512, 1024 ,"), Ok(vec![512, 1024]));
        assert_eq!("16, 4 ".parse::<Pair>(), Ok(Pair { n_prompt: 16, n_gen: 4 }));
        for text in ["", ",", "1 2", "-1", "1-", "1--2", "+1", "1+2", "9-1", "1-9+0", "1-9*1", "1-9/2", "4294967296"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_is_bounded_before_it_is_built() {
        assert!("1-268435456".parse::<Numbers>().is_err());
        assert_eq!("1-1000".parse::<Numbers>().map(|numbers| numbers.0.len()), Ok(1000));
        let text = vec!["1"; 1001].join(",");
        assert!(text.parse::<Numbers>().is_err());
    }
}

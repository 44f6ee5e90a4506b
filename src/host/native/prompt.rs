//! What a person gives the model to read: a text from the arguments, a file or stdin; or token ids.

use super::arguments;
use super::model_files::read_text;
use crate::error::{Error, Result};
use crate::text::{Bos, Tokenizer};
use std::io::{BufRead, Read};
use std::path::Path;

/// What the embedded model continues when nobody gives it anything.
const BUILT_IN: &str = "It was a cold evening in November, and Prince Andrew";

/// A longer text is no prompt, and no test text that a model would be done with today.
const MOST_BYTES: u64 = 64 << 20;

/// The prompt's text.
pub(super) fn read(prompt: &arguments::Prompt) -> Result<String> {
    Ok(given(prompt)?.unwrap_or_else(|| BUILT_IN.to_owned()))
}

/// The prompt's text, if somebody gave one.
pub(super) fn given(prompt: &arguments::Prompt) -> Result<Option<String>> {
    match (&prompt.prompt, &prompt.file, &prompt.stdin) {
        (Some(text), ..) => Ok(Some(text.clone())),
        (_, Some(path), _) => read_file(path).map(Some),
        (.., Some(_)) => read_stdin().map(Some),
        _ => Ok(None),
    }
}

/// The next line, without its end; `None` at the end of the text. A \ at a line's end joins it with the next one.
pub(super) fn read_turn(from: &mut impl BufRead) -> Result<Option<String>> {
    let mut turn = String::new();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let n = from.take(MOST_BYTES).read_until(b'\n', &mut bytes).map_err(|error| Error::io("stdin", error))?;
        if n as u64 >= MOST_BYTES {
            return Err(Error::usage("stdin", "a line too long").expected(format!("at most {} MiB", MOST_BYTES >> 20)));
        }
        let line = read_text(&bytes[..], "stdin", MOST_BYTES)?;
        let line = line.strip_suffix('\n').map_or(line.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        match line.strip_suffix('\\') {
            Some(begun) if n > 0 => turn = turn + begun + "\n",
            _ if n == 0 && turn.is_empty() => return Ok(None),
            _ => return Ok(Some(turn + line)),
        }
    }
}

/// The text of a file, or of stdin where it is called `-`.
pub(super) fn read_file(path: &Path) -> Result<String> {
    if path.as_os_str() == "-" {
        return read_stdin();
    }
    let name = path.display().to_string();
    let file = std::fs::File::open(path).map_err(|error| {
        Error::io(&name, error).advice("Check that the path is right and that the file may be read.")
    })?;
    read_text(file, &name, MOST_BYTES)
}

fn read_stdin() -> Result<String> {
    read_text(std::io::stdin().lock(), "stdin", MOST_BYTES)
}

/// The begin token of DeepSeek's models.
const DEEPSEEK_BEGINS: &str = "<｜begin▁of▁sentence｜>";

/// Whether a text is begun with the begin token: as the file says, but with DeepSeek's models always. V4's files say that
/// its tokenizer adds none, because the encoder of prompts does; that is this.
pub(super) fn begin(tokenizer: &Tokenizer) -> Bos {
    let bos = tokenizer.special().bos;
    if bos.is_some() && bos == tokenizer.id_of(DEEPSEEK_BEGINS) { Bos::Add } else { Bos::AsModelSays }
}

/// The ids of a text, begun as a document begins.
pub(super) fn encode(tokenizer: Option<&Tokenizer>, text: &str) -> Result<Vec<u32>> {
    let tokenizer = tokenizer.ok_or_else(|| {
        Error::usage("text", "the model's file has no vocabulary to read it with")
            .expected("token ids")
            .advice("Use `headstart eval --ids 1,2,3 --greedy N`.")
    })?;
    let ids = tokenizer.encode(text, begin(tokenizer))?;
    if ids.is_empty() {
        return Err(Error::usage("text", "empty").expected("a text, as this model has no token to begin one with"));
    }
    Ok(ids)
}

/// Token ids from a text, with commas, spaces or lines between them, in brackets or not; at least one.
pub(super) fn parse_ids(text: &str) -> Result<Vec<u32>> {
    let separates = |c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']');
    let parse = |word: &str| {
        let shown: String = word.chars().take(40).collect();
        word.parse().map_err(|_| Error::usage("token ids", format!("{shown:?}")).expected("whole numbers from 0 up"))
    };
    text.split(separates).filter(|word| !word.is_empty()).map(parse).collect()
}

/// Fails unless there is an id, and every id names a row of the embedding.
pub(super) fn check_ids(ids: &[u32], n_vocab: u32) -> Result<()> {
    if ids.is_empty() {
        return Err(Error::usage("token ids", "none").expected("at least one"));
    }
    match ids.iter().position(|&id| id >= n_vocab) {
        None => Ok(()),
        Some(at) => Err(Error::usage("token ids", format!("id {} at place {at}", ids[at]))
            .expected(format!("ids below {n_vocab}, the size of the model's vocabulary"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_lines_and_go_on_behind_a_backslash() {
        let turns = |text: &str| {
            let mut from = text.as_bytes();
            let turns: Vec<String> = std::iter::from_fn(|| read_turn(&mut from).expect("UTF-8")).collect();
            turns
        };
        assert_eq!(turns("a b\r\n\nc\\\nd\\\n\ne"), ["a b", "", "c\nd\n", "e"]);
        assert_eq!(turns("a\n"), ["a"]);
        assert_eq!(turns("a\\"), ["a\n"]);
        assert!(turns("").is_empty());
        assert!(read_turn(&mut &b"\xff\n"[..]).is_err_and(|error| error.found.contains("UTF-8")));
    }

    #[test]
    fn ids_are_read_however_they_are_written() {
        for text in ["1,2,3", "1 2\n3\n", "[1, 2, 3]", ",1,,2 3"] {
            assert_eq!(parse_ids(text), Ok(vec![1, 2, 3]), "{text}");
        }
        for text in ["1,x", "-1", "1.5", "99999999999"] {
            assert!(parse_ids(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_id_out_of_range_is_named() {
        let error = check_ids(&[0, 511, 512], 512).expect_err("out of range").to_string();
        assert!(error.contains("id 512 at place 2") && error.contains("below 512"), "{error}");
        assert!(check_ids(&[], 512).is_err() && check_ids(&[511], 512).is_ok());
    }
}

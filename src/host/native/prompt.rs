//! What a person gives the model to read: a text from the arguments, a file or stdin; or token ids.

use super::arguments;
use super::model_files::read_text;
use crate::error::{Error, Result};
use crate::host::hub::Reference;
use crate::text::chat::Transcript;
use crate::text::{Bos, Tokenizer};
use std::io::{BufRead, IsTerminal, Read};
use std::path::{Path, PathBuf};

/// What ends a text that is typed in.
const END_OF_INPUT: &str = if cfg!(windows) { "Ctrl-Z" } else { "Ctrl-D" };

/// What the embedded model continues when nobody gives it anything.
const BUILT_IN: &str = "It was a cold evening in November, and Prince Andrew";

/// A longer text is no prompt, and no test text that a model would be done with today.
const MOST_BYTES: u64 = 64 << 20;

/// The prompt's text.
pub(super) fn read(arguments: &arguments::Run) -> Result<String> {
    let given = match given(arguments)? {
        None if is_piped() => Some(without_line_end(read_file(Path::new("-"))?)).filter(|text| !text.is_empty()),
        given => given,
    };
    Ok(given.unwrap_or_else(|| BUILT_IN.to_owned()))
}

/// The first turn of a conversation, if somebody gave one; the others come from stdin.
pub(super) fn first_turn(arguments: &arguments::Run) -> Result<Option<String>> {
    let takes_stdin = |path: &Path| path.as_os_str() == "-";
    let prompt = &arguments.prompt;
    if prompt.text.as_deref() == Some("-") || prompt.file.as_deref().is_some_and(takes_stdin) {
        return Err(Error::usage("-", "given with --conversation, whose turns are the lines of stdin")
            .advice("Leave out the -, or give the first turn with -p or -f."));
    }
    given(arguments)
}

/// A conversation from a file, or from stdin for `-`.
pub(super) fn read_messages(path: &Path) -> Result<Transcript> {
    let text = read_file(path)?;
    Transcript::from_json(&text).map_err(|error| {
        let name = if path.as_os_str() == "-" { "stdin".to_owned() } else { path.display().to_string() };
        Error { thing: format!("{name}: {}", error.thing), ..error }
    })
}

/// Whether stdin is a pipe or a file: not a terminal, and not what nobody can write to.
fn is_piped() -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        std::fs::metadata("/dev/stdin").is_ok_and(|it| it.file_type().is_fifo() || it.is_file())
    }
    #[cfg(not(unix))]
    {
        !std::io::stdin().is_terminal()
    }
}

/// The prompt's text, if somebody gave one.
fn given(arguments: &arguments::Run) -> Result<Option<String>> {
    let prompt = &arguments.prompt;
    match (prompt.prompt.as_deref(), &prompt.file, prompt.text.as_deref()) {
        (_, Some(path), _) => read_file(path).map(|text| Some(without_line_end(text))),
        (.., Some("-")) => read_stdin().map(|text| Some(without_line_end(text))),
        (None, None, Some(text)) if is_model(text) => {
            Err(Error::usage(format!("text {text:?}"), "the name of a model").expected("a text to continue").advice(
                format!("Give the model as `{} {text}`.", if Reference::is_pasted(text) { "-hf" } else { "-m" }),
            ))
        }
        (None, None, Some(text)) if !names_model(&arguments.model) && Reference::is_name(text) => {
            Err(Error::usage(format!("text {text:?}"), "what looks like the name of a model, and no model is named")
                .expected("a text to continue")
                .advice(format!(
                    "A model of huggingface.co is given as `-hf owner/name`, a file as `-m FILE`; a text like this as `-p {text}`."
                )))
        }
        (Some(text), ..) | (.., Some(text)) => {
            Ok(Some(if arguments.escapes.no_escape { text.to_owned() } else { unescaped(text) }))
        }
        _ => Ok(None),
    }
}

/// Whether a model other than the embedded one is asked for.
fn names_model(model: &arguments::Model) -> bool {
    model.model.is_some() || model.hub.is_named()
}

/// Whether it is hardly a text to continue: a model's file or folder that is there, or an address of one.
fn is_model(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_file = (lower.ends_with(".gguf") || lower.ends_with(".safetensors")) && Path::new(text).exists();
    is_file || Reference::is_pasted(text) || Path::new(text).join("config.json").exists()
}

/// A text without the one line end that editors and echo put behind it, and with line ends of one kind.
pub(super) fn without_line_end(text: String) -> String {
    let text = if text.contains('\r') { text.replace("\r\n", "\n") } else { text };
    text.strip_suffix('\n').map(str::to_owned).unwrap_or(text)
}

/// A text with what a `\` begins read as llama.cpp reads it: line ends, tabs, quotes, `\\`, bytes as `\x0a`. What else
/// stands behind a `\` stays as it is.
pub(super) fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (byte, n) = match (first, after) {
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [quoted @ (b'\'' | b'"' | b'\\'), ..]) => (*quoted, 2),
            (b'\\', [b'x', high, low, ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default() as u8;
                (digit(*high) << 4 | digit(*low), 4)
            }
            _ => (first, 1),
        };
        bytes.push(byte);
        rest = &rest[n..];
    }
    // Bytes that are no text stand as they were typed.
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// What a terminal hands over of a line at most, in bytes: it drops the rest.
const LONGEST_TYPED: usize = 4095;

/// The next line, without its end; `None` at the end of the text. A \ at a line's end joins it with the next one.
///
/// # Errors
/// When it is no text, or too long; of what is typed, also where a part of it never came.
pub(super) fn read_turn(from: &mut impl BufRead, is_typed: bool) -> Result<Option<String>> {
    let mut turn = String::new();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let n = from.take(MOST_BYTES).read_until(b'\n', &mut bytes).map_err(|error| Error::io("stdin", error))?;
        if n as u64 >= MOST_BYTES {
            return Err(Error::usage("stdin", "a line too long").expected(format!("at most {} MiB", MOST_BYTES >> 20)));
        }
        if is_typed && bytes.strip_suffix(b"\n").unwrap_or(&bytes).len() >= LONGEST_TYPED {
            return Err(Error::usage("this line", format!("{LONGEST_TYPED} bytes, and what came after is lost"))
                .expected("a shorter one, which is all that a terminal hands over")
                .advice("End lines with a \\, or give the text as a file, with -f, or through a pipe."));
        }
        let line = read_text(&bytes[..], "stdin", MOST_BYTES)?;
        let line = line.strip_prefix('\u{feff}').unwrap_or(&line);
        let line = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
        match line.strip_suffix('\\') {
            Some(begun) if n > 0 => turn = turn + begun + "\n",
            _ if n == 0 && turn.is_empty() => return Ok(None),
            _ => return Ok(Some(turn + line)),
        }
    }
}

/// The files that the arguments name to be read, beside the model.
pub(super) fn files_read(arguments: &arguments::Run) -> impl Iterator<Item = &PathBuf> {
    let form = &arguments.grammar;
    let forms = form.grammar_file.iter().chain(&form.json_schema_file);
    arguments.prompt.file.iter().chain(&arguments.talk.messages).chain(forms).chain(&arguments.prompt_cache)
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
    if std::io::stdin().is_terminal() {
        eprintln!("headstart: reading the text from this terminal; {END_OF_INPUT} on a line of its own ends it");
    }
    read_text(std::io::stdin().lock(), "stdin", MOST_BYTES)
}

/// The BOS token of DeepSeek's models.
const DEEPSEEK_BEGINS: &str = "<｜begin▁of▁sentence｜>";

/// Whether a text is begun with the BOS token: as the file says, but with DeepSeek's models always. V4's files say that
/// its tokenizer adds none, because the encoder of prompts does; that is this.
pub(super) fn begin(tokenizer: &Tokenizer) -> Bos {
    let bos = tokenizer.special().bos;
    if bos.is_some() && bos == tokenizer.id_of(DEEPSEEK_BEGINS) { Bos::Add } else { Bos::AsModelSays }
}

/// The ids of a text, begun as a document begins.
pub(super) fn encode(tokenizer: Option<&Tokenizer>, text: &str) -> Result<Vec<u32>> {
    let tokenizer = tokenizer.ok_or_else(|| {
        Error::usage("text", "the model has no vocabulary to read it with")
            .expected("token ids, or a tokenizer.json beside its safetensors")
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
            let turns: Vec<String> = std::iter::from_fn(|| read_turn(&mut from, false).expect("UTF-8")).collect();
            turns
        };
        assert_eq!(turns("a b\r\n\nc\\\nd\\\n\ne"), ["a b", "", "c\nd\n", "e"]);
        assert_eq!(turns("a\n"), ["a"]);
        assert_eq!(turns("a\\"), ["a\n"]);
        assert!(turns("").is_empty());
        assert!(read_turn(&mut &b"\xff\n"[..], false).is_err_and(|error| error.found.contains("UTF-8")));
        // Of a longer line a terminal hands over this.
        let line = |n: usize| "x".repeat(n) + "\n";
        assert!(read_turn(&mut line(4095).as_bytes(), true).is_err_and(|error| error.found.contains("lost")));
        assert!(
            read_turn(&mut line(4094).as_bytes(), true).is_ok_and(|turn| turn.is_some_and(|turn| turn.len() == 4094))
        );
        assert!(
            read_turn(&mut line(9000).as_bytes(), false).is_ok_and(|turn| turn.is_some_and(|turn| turn.len() == 9000))
        );
    }

    #[test]
    fn escapes_are_read_as_in_c_and_others_stay() {
        for (typed, read) in [
            ("a\\nb\\t", "a\nb\t"),
            ("\\\\n \\\"", "\\n \""),
            ("C:\\dir \\", "C:\\dir \\"),
            ("\\xc3\\xa9\\xZZ", "é\\xZZ"),
            ("\\xff", "\\xff"),
        ] {
            assert_eq!(unescaped(typed), read, "{typed}");
        }
        for (file, read) in [("a\r\nb\r\n", "a\nb"), ("a\n\n", "a\n"), ("a", "a"), ("\n", ""), ("", "")] {
            assert_eq!(without_line_end(file.to_owned()), read);
        }
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

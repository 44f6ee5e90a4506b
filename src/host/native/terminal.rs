//! What a terminal is told: dimmed lines where it knows them, and never what a model's text would have it do.

use std::borrow::Cow;
use std::io::IsTerminal;

/// Whether stderr is a terminal that may be sent escape sequences: NO_COLOR and TERM=dumb say that it may not.
pub(super) fn is_plain() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    no_color || std::env::var_os("TERM").is_some_and(|term| term == "dumb") || !std::io::stderr().is_terminal()
}

/// A text for stderr: dimmed and its controls made visible on a terminal, as it is elsewhere.
pub(super) fn dimmed(text: &str) -> Cow<'_, str> {
    if !std::io::stderr().is_terminal() {
        return Cow::Borrowed(text);
    }
    let shown = visible(text);
    if is_plain() { shown } else { Cow::Owned(format!("\x1b[2m{shown}\x1b[0m")) }
}

/// The text with its control characters in a form that a terminal shows and does not obey; line ends and tabs stay.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    let is_kept = |c: char| matches!(c, '\n' | '\t');
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if text.chars().all(|c| is_kept(c) || !(c.is_control() || turns(c))) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.replace("\r\n", "\n").chars() {
        match c {
            c if is_kept(c) => shown.push(c),
            '\0'..='\x1f' => shown.extend(char::from_u32(0x2400 + u32::from(c))),
            '\x7f' => shown.push('\u{2421}'),
            c if c.is_control() || turns(c) => shown.push_str(&format!("<U+{:04X}>", u32::from(c))),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_shown_and_line_ends_stay() {
        assert_eq!(visible("a\nb\tc é"), "a\nb\tc é");
        assert_eq!(visible("\x1b[31m\x07\x7f\r\n\r\u{9b}2J\u{202e}x"), "␛[31m␇␡\n␍<U+009B>2J<U+202E>x");
    }
}

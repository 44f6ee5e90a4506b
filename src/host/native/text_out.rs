//! The text as it is written: to stdout, alone. On a terminal the prompt stands before it, dimmed, on stderr.

use super::terminal::{dimmed, visible};
use crate::error::{Error, Result};
use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal, Write};

/// Where a text goes.
#[derive(Debug)]
pub(super) struct TextOut {
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Stdout,
    Nowhere,
    /// A reader of stdout that has gone away: it had enough, as `head` does.
    Closed,
}

impl TextOut {
    /// To stdout.
    pub(super) fn to_stdout() -> Self {
        Self { place: Place::Stdout }
    }

    /// To nobody: the text is another adapter's, and has been written.
    pub(super) fn nowhere() -> Self {
        Self { place: Place::Nowhere }
    }

    /// Whether nobody reads any more.
    pub(super) fn is_closed(&self) -> bool {
        self.place == Place::Closed
    }

    /// Lets a person see what is continued. Nothing where stdout or stderr goes to a file.
    pub(super) fn show_prompt(&self, prompt: &str) {
        if self.place == Place::Stdout && on_terminal() {
            eprint!("{}", dimmed(prompt));
        }
    }

    /// Writes a part of the text, at once.
    pub(super) fn write(&mut self, text: &str) -> Result<()> {
        if self.place != Place::Stdout || text.is_empty() {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        let text = if out.is_terminal() { visible(text) } else { Cow::Borrowed(text) };
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.place = Place::Closed,
            Err(error) => return Err(Error::io("stdout", error)),
            Ok(()) => {}
        }
        Ok(())
    }

    /// Ends the line for a person. A file gets the text as it is.
    pub(super) fn end(&self) {
        if self.place == Place::Stdout && on_terminal() {
            eprintln!();
        }
    }
}

fn on_terminal() -> bool {
    std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
}

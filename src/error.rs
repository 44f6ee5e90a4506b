//! The one error type. Every message names the thing, what was found, what was expected and what to do.
//! Nothing here knows a platform; `host` turns these into exit codes and page messages.

use std::fmt;

/// What went wrong, sorted by who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request itself: arguments, prompt, sampling settings.
    Usage,
    /// A model file: damaged, hostile, or of a kind that is not supported.
    File,
    /// The adapter: missing, lost, too small, or failing.
    Adapter,
    /// Reading or writing failed underneath.
    Io,
    /// An adapter whose numbers are wrong.
    Numbers,
}

/// An error that a person can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Who can mend it.
    pub kind: ErrorKind,
    /// The thing at fault: a file, tensor, key, adapter or argument, by name.
    pub thing: String,
    /// What was found.
    pub found: String,
    /// What was expected instead; may be empty.
    pub expected: String,
    /// What to do about it; may be empty.
    pub advice: String,
}

/// A result with our [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    fn new(kind: ErrorKind, thing: impl Into<String>, found: impl Into<String>) -> Self {
        Self { kind, thing: thing.into(), found: found.into(), expected: String::new(), advice: String::new() }
    }

    /// A request that cannot be carried out as asked.
    pub fn usage(thing: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, thing, found)
    }

    /// A model file that is damaged or not supported.
    pub fn file(thing: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(ErrorKind::File, thing, found)
    }

    /// An adapter that cannot do what is needed.
    pub fn adapter(thing: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(ErrorKind::Adapter, thing, found)
    }

    /// A read or write that failed.
    pub fn io(thing: impl Into<String>, found: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Io, thing, found.to_string())
    }

    /// Numbers that a check found to be wrong.
    pub fn numbers(thing: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(ErrorKind::Numbers, thing, found)
    }

    /// Says what was expected instead.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = expected.into();
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Drivers end their sentences; ours go on.
        write!(f, "{}: {}", self.thing, self.found.trim_end_matches(['.', ' ', '\n']))?;
        if !self.expected.is_empty() {
            write!(f, "; expected {}", self.expected)?;
        }
        if !self.advice.is_empty() {
            write!(f, ". {}", self.advice)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

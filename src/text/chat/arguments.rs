//! The arguments of a call in a template: by place or by name, as Python takes them.

use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, Value};

/// What a filter, test, function or method was called with.
pub(super) struct Arguments {
    by_place: Vec<Value>,
    by_name: Vec<(String, Value)>,
}

impl Arguments {
    /// The library hands named ones over as one last value.
    pub(super) fn new(values: &[Value]) -> Result<Self, Error> {
        let (by_place, named) = match values.split_last() {
            Some((last, before)) if last.is_kwargs() => (before, Some(Kwargs::try_from(last.clone())?)),
            _ => (values, None),
        };
        let mut by_name = Vec::new();
        if let Some(named) = named {
            for name in named.args() {
                by_name.push((name.to_owned(), named.peek::<Value>(name)?));
            }
        }
        Ok(Self { by_place: by_place.to_vec(), by_name })
    }

    /// The argument at a place, or by its name; taken once.
    pub(super) fn take(&mut self, place: usize, name: &str) -> Option<Value> {
        if let Some(value) = self.by_place.get_mut(place) {
            return Some(std::mem::take(value));
        }
        let at = self.by_name.iter().position(|(named, _)| named == name)?;
        Some(self.by_name.remove(at).1)
    }

    /// As [`Self::take`]; fails without one.
    pub(super) fn need(&mut self, place: usize, name: &str) -> Result<Value, Error> {
        self.take(place, name).ok_or_else(|| Error::new(ErrorKind::MissingArgument, format!("no argument `{name}`")))
    }

    /// Whether an option is set; `false` without it.
    pub(super) fn flag(&mut self, place: usize, name: &str) -> bool {
        self.take(place, name).is_some_and(|value| value.is_true())
    }

    /// A whole number; `None` without one, or for Python's `None`.
    pub(super) fn whole(&mut self, place: usize, name: &str) -> Result<Option<i64>, Error> {
        match self.take(place, name) {
            None => Ok(None),
            Some(value) if value.is_none() => Ok(None),
            Some(value) => match value.as_i64() {
                Some(n) => Ok(Some(n)),
                None => Err(fault(format!("`{name}` is a {}, not a whole number", value.kind()))),
            },
        }
    }

    /// A text; `None` without one, or for Python's `None`.
    pub(super) fn text(&mut self, place: usize, name: &str) -> Result<Option<String>, Error> {
        match self.take(place, name) {
            None => Ok(None),
            Some(value) if value.is_none() => Ok(None),
            Some(value) => match value.as_str() {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(fault(format!("`{name}` is a {}, not a text", value.kind()))),
            },
        }
    }

    pub(super) fn by_place(&self) -> &[Value] {
        &self.by_place
    }

    pub(super) fn by_name(&self) -> &[(String, Value)] {
        &self.by_name
    }

    /// All that have a name and were not taken.
    pub(super) fn take_named(&mut self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.by_name)
    }

    /// Fails if there are more than `n` by place, or names left that nothing took.
    pub(super) fn end(&self, n: usize) -> Result<(), Error> {
        if self.by_place.len() > n {
            return Err(Error::new(ErrorKind::TooManyArguments, format!("{} for {n}", self.by_place.len())));
        }
        match self.by_name.first() {
            Some((name, _)) => Err(Error::new(ErrorKind::TooManyArguments, format!("no argument is called `{name}`"))),
            None => Ok(()),
        }
    }
}

/// An operation that Python would not do.
pub(super) fn fault(found: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, found.into())
}

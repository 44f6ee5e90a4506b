//! Macros that are called as Python's functions are: arguments beyond a macro's own are `varargs` and `kwargs` where it
//! asks for them, and an error where it does not.

use super::arguments::Arguments;
use minijinja::value::{Enumerator, Kwargs, Object, ObjectRepr, Tuple};
use minijinja::{Error, State, Value};
use std::fmt;
use std::sync::Arc;

/// The library's macro, and what it asks for beyond its arguments. If it does so, `varargs` and `kwargs` stand last
/// among its arguments.
#[derive(Debug)]
struct Macro {
    inner: Value,
    by_place: bool,
    by_name: bool,
}

/// The library's macro as one of ours.
pub(super) fn wrap(inner: Value, by_place: bool, by_name: bool) -> Value {
    Value::from_object(Macro { inner, by_place, by_name })
}

impl Macro {
    fn own(&self) -> Result<Vec<Value>, Error> {
        let mut names: Vec<Value> = self.inner.get_attr("arguments")?.try_iter()?.collect();
        if self.by_place || self.by_name {
            names.truncate(names.len().saturating_sub(2));
        }
        Ok(names)
    }
}

impl Object for Macro {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "arguments" => self.own().ok().map(|names| Tuple::new(names).into()),
            "catch_varargs" => Some(self.by_place.into()),
            "catch_kwargs" => Some(self.by_name.into()),
            name => self.inner.get_attr(name).ok(),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, given: &[Value]) -> Result<Value, Error> {
        if !self.by_place && !self.by_name {
            return self.inner.call(state, given);
        }
        let own = self.own()?;
        let mut given = Arguments::new(given)?;
        let n = own.len().min(given.by_place().len());
        let (first, more) = given.by_place().split_at(n);
        let mut values = first.to_vec();
        let more = more.to_vec();
        let is_own = |name: &str| name == "caller" || own.iter().any(|own| own.as_str() == Some(name));
        let (mut named, others): (Vec<_>, Vec<_>) = given.take_named().into_iter().partition(|(name, _)| is_own(name));
        // What it does not ask for is left in its place for the library to refuse.
        match self.by_place {
            true => named.push(("varargs".to_owned(), Tuple::new(more).into())),
            false if more.is_empty() => {}
            false => return Err(Error::from(minijinja::ErrorKind::TooManyArguments)),
        }
        match self.by_name {
            true => named.push(("kwargs".to_owned(), Value::from_pairs(others))),
            false => named.extend(others),
        }
        values.push(Kwargs::from_iter(named).into());
        self.inner.call(state, &values)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.inner.get_attr("name").unwrap_or_default();
        write!(f, "<Macro '{name}'>")
    }
}

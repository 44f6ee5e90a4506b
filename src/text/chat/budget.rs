//! What a template may use: bytes that it makes, and steps of work on values. Each thing made is charged, and no value
//! may be larger or deeper than an honest one, so that neither memory nor time nor the stack can be exhausted by
//! doubling a text, or by a list that holds itself twice, and so on.

use super::operations::Namespace;
use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Lists in lists in lists; deeper ones would exhaust the stack of what walks through them.
const DEEPEST: usize = 48;
/// What an entry of a list or map is charged in bytes.
const ENTRY_BYTES: u64 = 48;
/// A text's bytes are compared and copied so many times faster than values are visited.
const BYTES_A_STEP: u64 = 16;

/// A share in what is left.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Left>);

#[derive(Debug)]
struct Left {
    bytes: AtomicU64,
    steps: AtomicU64,
    /// The most bytes that a value may have, counting whatever it holds as often as it holds it.
    largest: u64,
}

impl Budget {
    /// So many bytes to make, and steps to take.
    pub(super) fn new(bytes: u64, steps: u64) -> Self {
        Self(Arc::new(Left { bytes: bytes.into(), steps: steps.into(), largest: bytes }))
    }

    /// Charges bytes before they are made.
    pub(super) fn take_bytes(&self, n: u64) -> Result<(), Error> {
        take(&self.0.bytes, n, "memory")
    }

    /// Charges an entry of a list with so many bytes of text, before it is made.
    pub(super) fn take_entry(&self, n_bytes: usize) -> Result<(), Error> {
        self.take_bytes(ENTRY_BYTES + n_bytes as u64)
    }

    /// A list of things that are there already, charged as it grows.
    pub(super) fn list(&self, items: impl Iterator<Item = Value>) -> Result<Vec<Value>, Error> {
        let mut list = Vec::new();
        for item in items {
            self.take_entry(item.as_str().map_or(0, str::len))?;
            list.push(item);
        }
        Ok(list)
    }

    fn take_steps(&self, n: u64) -> Result<(), Error> {
        take(&self.0.steps, n, "steps")
    }

    /// Charges what was made, and refuses what is too large or too deep.
    pub(super) fn made(&self, value: Value) -> Result<Value, Error> {
        self.measure(&value)?;
        let own = match value.kind() {
            ValueKind::String | ValueKind::Bytes => value.as_str().map_or(0, str::len) as u64,
            _ => value.len().unwrap_or(0) as u64 * ENTRY_BYTES,
        };
        self.take_bytes(own)?;
        Ok(value)
    }

    /// Charges the work of going through a value once.
    pub(super) fn measure(&self, value: &Value) -> Result<(), Error> {
        let mut size = 0;
        self.walk(value, 0, &mut size)
    }

    fn walk(&self, value: &Value, depth: usize, size: &mut u64) -> Result<(), Error> {
        let n_bytes = value.as_str().map_or(8, str::len) as u64;
        *size += n_bytes;
        if *size > self.0.largest || depth > DEEPEST {
            return Err(exhausted("memory"));
        }
        self.take_steps(1 + n_bytes / BYTES_A_STEP)?;
        if value.downcast_object_ref::<Namespace>().is_some() {
            // Within a value it could hold itself; alone, what it holds was measured as it came in.
            let inside = Error::new(ErrorKind::InvalidOperation, "a namespace within a value");
            return if depth > 0 { Err(inside) } else { Ok(()) };
        }
        // What has no items to go through is no larger than itself.
        let Ok(items) = value.try_iter() else { return Ok(()) };
        match value.kind() {
            ValueKind::Map => {
                for key in items {
                    self.walk(&value.get_item(&key)?, depth + 1, size)?;
                    self.walk(&key, depth + 1, size)?;
                }
            }
            ValueKind::Seq | ValueKind::Iterable => {
                for item in items {
                    self.walk(&item, depth + 1, size)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn take(left: &AtomicU64, n: u64, what: &str) -> Result<(), Error> {
    let taken = left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(n));
    taken.map(drop).map_err(|_| exhausted(what))
}

/// The error of a template that asks for too much.
pub(super) fn exhausted(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("it asks for more {what} than any honest template"))
}

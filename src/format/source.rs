//! Where bytes come from: one trait for a file, memory, a browser's blob and a range of a URL. Reading is
//! asynchronous because the browser's is; a native source is ready at once.

use crate::error::{Error, Result};
use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

/// A read under way. It is not `Send`: a browser's promises belong to one thread.
pub type Reading<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// Bytes of a known length, read at any place.
pub trait Source {
    /// The length in bytes.
    fn bytes(&self) -> u64;

    /// What to call it in messages: a path, a file's name, an address.
    fn name(&self) -> &str;

    /// Fills `buffer` from the bytes at `offset`. Fails if they do not all lie inside the source, or if reading
    /// fails underneath; `buffer` then holds nothing of use.
    fn read_at<'a>(&'a self, offset: u64, buffer: &'a mut [u8]) -> Reading<'a>;
}

/// Fails unless `len` bytes at `offset` lie inside `source`. Every implementation of [`Source::read_at`] asks this.
pub fn check_range(source: &dyn Source, offset: u64, len: usize) -> Result<()> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= source.bytes() => Ok(()),
        _ => Err(Error::file(source.name(), format!("{len} bytes asked for at byte {offset}"))
            .expected(format!("a place inside its {} bytes", source.bytes()))
            .advice("The file is cut short: download it again.")),
    }
}

/// A source in memory: an embedded model, or a test's bytes.
#[derive(Clone, Debug)]
pub struct Memory {
    name: String,
    data: Cow<'static, [u8]>,
}

impl Memory {
    /// Bytes under a name for messages.
    pub fn new(name: impl Into<String>, data: impl Into<Cow<'static, [u8]>>) -> Self {
        Self { name: name.into(), data: data.into() }
    }
}

impl Source for Memory {
    fn bytes(&self) -> u64 {
        self.data.len() as u64
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn read_at<'a>(&'a self, offset: u64, buffer: &'a mut [u8]) -> Reading<'a> {
        let read = check_range(self, offset, buffer.len()).map(|()| {
            // The range lies inside the data, so it also fits in a usize.
            let begin = offset as usize;
            buffer.copy_from_slice(&self.data[begin..begin + buffer.len()]);
        });
        Box::pin(std::future::ready(read))
    }
}

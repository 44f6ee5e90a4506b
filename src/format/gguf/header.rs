//! A cursor over the header of a GGUF file. It reads ahead in pieces, never past the end of the source or of what
//! a header may take, and what it hands out grows only with bytes that were there.

use super::super::Source;
use crate::error::{Error, Result};

/// How much is read ahead.
const PIECE: u64 = 1 << 20;
/// No header is longer; a vocabulary of 130 000 tokens takes about 6 MiB.
const LONGEST: u64 = 64 << 20;

/// The advice for numbers that make no sense.
pub(super) const DAMAGED: &str = "The file is damaged: download or convert it again.";

/// The advice for a file that ends too early. Large ones were once cut into pieces by their bytes, `m.gguf-split-a` or
/// `m.gguf.part1of2`.
pub(super) fn cut_short(name: &str) -> &'static str {
    let behind = name.rsplit_once(".gguf").map_or("", |(_, behind)| behind);
    if behind.starts_with("-split-") || behind.strip_prefix(".part").is_some_and(|piece| !piece.is_empty()) {
        return "This is a piece of a file: join all of them in their order first, as with `cat`.";
    }
    "The file is cut short: download it again."
}

/// The cursor.
pub(super) struct Header<'a> {
    source: &'a dyn Source,
    /// Bytes read ahead.
    piece: Vec<u8>,
    /// How many of them are used up.
    used: usize,
    /// Where the first byte of `piece` lies in the source.
    piece_begin: u64,
}

impl<'a> Header<'a> {
    pub(super) fn new(source: &'a dyn Source) -> Self {
        Self { source, piece: Vec::new(), used: 0, piece_begin: 0 }
    }

    /// The offset of the next byte.
    pub(super) fn at(&self) -> u64 {
        self.piece_begin + self.used as u64
    }

    /// The source's name.
    pub(super) fn file(&self) -> &str {
        self.source.name()
    }

    /// An error at this place in the file.
    pub(super) fn error(&self, found: impl std::fmt::Display, expected: impl Into<String>) -> Error {
        Error::file(self.file(), format!("{found}, before byte {}", self.at())).expected(expected)
    }

    /// Fails unless `count` things of at least `smallest` bytes each can follow.
    pub(super) fn check_room(&self, what: &str, count: u64, smallest: u64) -> Result<()> {
        let left = self.source.bytes().min(LONGEST).saturating_sub(self.at());
        match count.checked_mul(smallest) {
            Some(needed) if needed <= left => Ok(()),
            _ => Err(self
                .error(format!("{count} {what}"), format!("no more than fit in the {left} bytes that are left"))
                .advice("The file is cut short or damaged: download it again.")),
        }
    }

    /// Appends the next `count` bytes to `out`. `what` is named where they are not there.
    pub(super) async fn extend(&mut self, what: &str, count: u64, out: &mut Vec<u8>) -> Result<()> {
        let mut missing = count;
        while missing > 0 {
            if self.used == self.piece.len() {
                self.read_ahead(what).await?;
            }
            let ready = &self.piece[self.used..];
            // Both fit in a usize: the smaller is at most a piece.
            let taken = missing.min(ready.len() as u64) as usize;
            out.extend_from_slice(&ready[..taken]);
            self.used += taken;
            missing -= taken as u64;
        }
        Ok(())
    }

    /// Reads the next piece, at least one byte.
    async fn read_ahead(&mut self, what: &str) -> Result<()> {
        let at = self.at();
        if at >= self.source.bytes() {
            return Err(
                Error::file(self.file(), format!("ends at byte {at}, inside {what}")).advice(cut_short(self.file()))
            );
        }
        if at >= LONGEST {
            return Err(self.error("a longer header", format!("at most {LONGEST} bytes of it")).advice(DAMAGED));
        }
        let len = PIECE.min(self.source.bytes() - at).min(LONGEST - at);
        self.piece.clear();
        self.piece.resize(len as usize, 0);
        self.used = 0;
        self.piece_begin = at;
        self.source.read_at(at, &mut self.piece).await
    }

    /// The next `N` bytes.
    pub(super) async fn bytes<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        if let Some(ready) = self.piece[self.used..].first_chunk() {
            self.used += N;
            return Ok(*ready);
        }
        let mut out = Vec::with_capacity(N);
        self.extend(what, N as u64, &mut out).await?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&out);
        Ok(bytes)
    }

    /// The next 32-bit number.
    pub(super) async fn u32(&mut self, what: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.bytes(what).await?))
    }

    /// The next 64-bit number.
    pub(super) async fn u64(&mut self, what: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.bytes(what).await?))
    }

    /// Appends the bytes of the next string to `out`: behind a 64-bit length of at most `longest`.
    pub(super) async fn extend_string(&mut self, what: &str, longest: u64, out: &mut Vec<u8>) -> Result<()> {
        let len = self.u64(what).await?;
        if len > longest {
            let found = format!("{what} of {len} bytes");
            return Err(self.error(found, format!("at most {longest}")).advice(DAMAGED));
        }
        self.check_room("bytes of text", len, 1)?;
        self.extend(what, len, out).await
    }

    /// The next string, in UTF-8.
    pub(super) async fn text(&mut self, what: &str, longest: u64) -> Result<String> {
        let mut bytes = Vec::new();
        self.extend_string(what, longest, &mut bytes).await?;
        String::from_utf8(bytes).map_err(|error| {
            let found = format!("{what} is not UTF-8 from its byte {} on", error.utf8_error().valid_up_to());
            self.error(found, "text in UTF-8").advice(DAMAGED)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_a_file_is_told_from_one_that_is_cut_short() {
        for piece in ["a/m.Q8_0.gguf.part1of2", "m.gguf-split-a", "m.gguf.part-b"] {
            assert!(cut_short(piece).contains("join"), "{piece}");
        }
        for file in ["m.gguf", "m.gguf.part", "m-00001-of-00002.gguf", "m-split-a.gguf"] {
            assert!(cut_short(file).contains("cut short"), "{file}");
        }
    }
}

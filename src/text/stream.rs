//! Tokens back to text, one at a time: bytes gather until they are whole characters.

use super::vocabulary::Pieces;
use std::sync::Arc;

/// What becomes of control tokens (begin, end, role markers) when ids turn into text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// They are written like any other token.
    Show,
    /// They are left out.
    Hide,
}

/// A detokenizer that never gives half a character. Its parts together equal the text of all ids at once,
/// [`super::Tokenizer::decode`], but for the space that SentencePiece puts before a document: that is kept, as what
/// comes here goes on from other text.
#[derive(Clone, Debug)]
pub struct Stream {
    pieces: Arc<Pieces>,
    control: Control,
    /// The beginning of a character whose end is still to come, at most 3 bytes.
    pending: Vec<u8>,
}

impl Stream {
    pub(super) fn new(pieces: Arc<Pieces>, control: Control) -> Self {
        Self { pieces, control, pending: Vec::new() }
    }

    /// The text that `id` completes; empty while a character is unfinished. Bytes that can no longer become a
    /// character give U+FFFD, as does an id that names no token.
    pub fn push(&mut self, id: u32) -> String {
        self.pending.extend_from_slice(self.pieces.bytes(id, self.control));
        let mut text = String::new();
        let mut unfinished = 0;
        let mut chunks = self.pending.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            if chunks.peek().is_none() && may_continue(chunk.invalid()) {
                unfinished = chunk.invalid().len();
            } else if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.pending.drain(..self.pending.len() - unfinished);
        text
    }

    /// The end of the text: U+FFFD if a character was left unfinished, else nothing. The stream starts again.
    pub fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        text
    }
}

/// Whether more bytes could make these, the last of the text, a character.
fn may_continue(invalid: &[u8]) -> bool {
    std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none())
}

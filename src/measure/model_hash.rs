//! The SHA-256 of a model's files: what tells two models of one name apart. Read in pieces, so that memory stays small
//! however large they are.

use super::{Progress, Watch};
use crate::error::Result;
use crate::format::Source;
use sha2::{Digest, Sha256};
use std::rc::Rc;

/// Bytes that are read at once.
const PIECE_BYTES: u64 = 4 << 20;

/// The hash of all bytes of `sources` in their order, in hexadecimal digits; `None` where there are no files, or where
/// `watch` broke off. Progress is in pieces of 4 MiB.
///
/// # Errors
/// When reading fails.
pub async fn model_hash(sources: &[Rc<dyn Source>], watch: &mut Watch<'_>) -> Result<Option<String>> {
    let pieces = |source: &Rc<dyn Source>| source.bytes().div_ceil(PIECE_BYTES);
    let total = u32::try_from(sources.iter().map(pieces).sum::<u64>()).unwrap_or(u32::MAX);
    let mut progress = Progress { what: "hash of the model".to_owned(), done: 0, total };
    let (mut hash, mut buffer) = (Sha256::new(), Vec::new());
    for source in sources {
        let mut offset = 0;
        while offset < source.bytes() {
            if watch(&progress).is_break() {
                return Ok(None);
            }
            let n = PIECE_BYTES.min(source.bytes() - offset);
            buffer.resize(n as usize, 0);
            source.read_at(offset, &mut buffer).await?;
            hash.update(&buffer);
            offset += n;
            progress.done = progress.done.saturating_add(1);
        }
    }
    let digits = |byte: &u8| format!("{byte:02x}");
    Ok((!sources.is_empty()).then(|| hash.finalize().iter().map(digits).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Memory;
    use std::ops::ControlFlow;

    fn source(bytes: Vec<u8>) -> Rc<dyn Source> {
        Rc::new(Memory::new("test", bytes))
    }

    fn hash(sources: &[Rc<dyn Source>]) -> Option<String> {
        pollster::block_on(model_hash(sources, &mut |_| ControlFlow::Continue(()))).expect("a source in memory")
    }

    #[test]
    fn it_is_the_standards_and_runs_through_all_files() {
        // FIPS 180-2, the example of one block.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash(&[source(b"abc".to_vec())]).as_deref(), Some(abc));
        assert_eq!(hash(&[source(b"a".to_vec()), source(b"bc".to_vec())]).as_deref(), Some(abc));
        assert_eq!(hash(&[]), None);
        let long = vec![7; PIECE_BYTES as usize + 1];
        assert_ne!(hash(&[source(long.clone())]), hash(&[source(long[1..].to_vec())]));
    }

    #[test]
    fn it_can_be_broken_off() {
        let mut seen = Vec::new();
        let mut watch = |progress: &Progress| {
            seen.push((progress.done, progress.total));
            if progress.done == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let long = source(vec![7; 2 * PIECE_BYTES as usize + 1]);
        assert_eq!(pollster::block_on(model_hash(&[long], &mut watch)), Ok(None));
        assert_eq!(seen, [(0, 3), (1, 3)]);
    }
}

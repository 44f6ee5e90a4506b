//! What the cache holds as bytes, so that another run can go on from it.
//!
//! The bytes: a mark and a version, hashes of the model and of the layout, the ids that were computed with what is known of
//! the rings, the rows of every layer, and a hash of all that. Numbers are little-endian.

use crate::error::{Error, Result};
use crate::format::source::Source;
use crate::gpu::Slice;
use sha2::{Digest, Sha256};
use std::rc::Rc;

use super::prefix_cache::PrefixCache;
use super::session::Session;

/// What such a file begins with.
pub const MARK: [u8; 8] = *b"hdstpast";
const VERSION: u32 = 2;
/// Bytes that are on their way to the executor at once.
const PIECE_BYTES: u64 = 16 << 20;

/// Bytes at a file's begin that its fingerprint is of, and those of each sample.
const BEGIN_BYTES: u64 = 1 << 20;
const SAMPLE_BYTES: u64 = 4 << 10;
/// Samples over each file.
const N_SAMPLES: u64 = 256;

/// What a model is told from others by: a hash of the begin of each file, and of samples over it. It is as good as that of
/// all to tell models apart that people have, and there at once.
pub type ModelHash = [u8; 32];

/// The hash of the model in these files.
///
/// # Errors
/// When a file cannot be read.
pub async fn fingerprint(sources: &[Rc<dyn Source>]) -> Result<ModelHash> {
    let mut hash = Sha256::new();
    for source in sources {
        let bytes = source.bytes();
        hash.update(bytes.to_le_bytes());
        let samples = (1..=N_SAMPLES).map(|index| (bytes / N_SAMPLES * index, SAMPLE_BYTES));
        for (begin, n) in std::iter::once((0, BEGIN_BYTES)).chain(samples) {
            let mut sample = vec![0; n.min(bytes.saturating_sub(begin)) as usize];
            source.read_at(begin, &mut sample).await?;
            hash.update(&sample);
        }
    }
    Ok(hash.finalize().into())
}

impl Session {
    /// Gives the prefix to `write`, piece by piece, and says how many tokens it has; none where the cache holds nothing
    /// that is known.
    ///
    /// # Errors
    /// When the adapter or `write` fails.
    pub async fn keep_past(
        &mut self,
        model: &ModelHash,
        write: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Option<u32>> {
        let n = self.prefix.ids.len() as u32;
        if n == 0 {
            return Ok(None);
        }
        let mut hash = Sha256::new();
        let mut put = |bytes: &[u8]| {
            hash.update(bytes);
            write(bytes)
        };
        let PrefixCache { ids, reached, earliest, kept } = &self.prefix;
        let mut head = [&MARK[..], &VERSION.to_le_bytes(), model, &self.layout(n)].concat();
        let numbers = [n, *reached, *earliest, kept.unwrap_or(u32::MAX)];
        head.extend(numbers.iter().chain(ids).flat_map(|number| number.to_le_bytes()));
        put(&head)?;
        for slice in self.network.held(n).into_iter().flat_map(pieces) {
            put(&self.executor.read(slice).await?)?;
        }
        write(&hash.finalize())?;
        Ok(Some(n))
    }

    /// Takes a prefix that was kept; `read` fills what it is given, or fails. Says how many tokens it has. Where it is not
    /// one of this model, or damaged, the cache is as if nothing had been computed.
    ///
    /// # Errors
    /// What is wrong with it; when the adapter fails.
    pub async fn recall_past(
        &mut self,
        model: &ModelHash,
        read: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<u32> {
        self.prefix = PrefixCache::default();
        let mut hash = Sha256::new();
        let mut take = |buffer: &mut [u8]| {
            read(buffer)?;
            hash.update(&*buffer);
            Ok(())
        };
        let foreign = |found: &str| Error::file("prompt cache", found);
        let (mut mark, mut of_model, mut layout) = ([0; 8], [0; 32], [0; 32]);
        take(&mut mark)?;
        if mark != MARK {
            return Err(foreign("another kind of file"));
        }
        let version = number(&mut take)?;
        if version != VERSION {
            return Err(foreign(&format!("version {version}")).expected(format!("version {VERSION}")));
        }
        take(&mut of_model)?;
        if of_model != *model {
            return Err(foreign("another model's"));
        }
        take(&mut layout)?;
        let n = number(&mut take)?;
        if n == 0 || n > self.n_context() {
            return Err(foreign(&format!("{n} tokens")).expected(format!("1 to {}, the context", self.n_context())));
        }
        if layout != self.layout(n) {
            return Err(foreign("another layout of the cache, or another shape of the model")
                .expected("one of this program in the same settings"));
        }
        let (reached, earliest, kept) = (number(&mut take)?, number(&mut take)?, number(&mut take)?);
        let kept = (kept != u32::MAX).then_some(kept);
        if reached < n || reached > self.n_context() || earliest > reached || kept.is_some_and(|kept| kept > reached) {
            return Err(foreign("positions that contradict each other"));
        }
        let mut ids = vec![0_u8; n as usize * 4];
        take(&mut ids)?;
        let ids: Vec<u32> = ids.chunks_exact(4).map(|id| u32::from_le_bytes([id[0], id[1], id[2], id[3]])).collect();
        self.check_tokens(&ids)?;
        for slice in self.network.held(n).into_iter().flat_map(pieces) {
            let mut bytes = vec![0; slice.bytes as usize];
            take(&mut bytes)?;
            self.executor.write(slice, 0, &bytes);
            self.executor.wait().await?;
        }
        let (found, mut told) = (hash.finalize(), [0; 32]);
        read(&mut told)?;
        if found[..] != told {
            return Err(foreign("damaged: its hash is not that of what it holds"));
        }
        self.prefix = PrefixCache { ids, reached, earliest, kept };
        Ok(n)
    }

    /// A hash of how the rows of `n` tokens lie, and of the model's shape, which a `config.json` beside the same weights may
    /// change: only where it is the same do they mean the same.
    fn layout(&self, n: u32) -> [u8; 32] {
        let sizes: Vec<u64> = self.network.held(n).iter().map(|slice| slice.bytes).collect();
        let slack = self.slack();
        let (version, shape, cache) = (env!("CARGO_PKG_VERSION"), self.shape, self.cache_types());
        let told = format!("{version} {shape:?} {cache:?} {slack:?} {sizes:?}");
        Sha256::digest(told).into()
    }
}

fn number(take: &mut impl FnMut(&mut [u8]) -> Result<()>) -> Result<u32> {
    let mut bytes = [0; 4];
    take(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// A slice as slices of at most so many bytes.
fn pieces(slice: Slice) -> impl Iterator<Item = Slice> {
    (0..slice.bytes.div_ceil(PIECE_BYTES)).map(move |index| {
        let begin = index * PIECE_BYTES;
        Slice { offset: slice.offset + begin, bytes: (slice.bytes - begin).min(PIECE_BYTES), ..slice }
    })
}

//! Memory while hostile files are read. One test, for the peak belongs to the whole process: whatever a file
//! claims, the reader takes a small multiple of the bytes that are there.

use headstart::format::{Memory, Reading, Source, gguf, safetensors};
use headstart::{Error, Result};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// A file of 60 GB that begins with `head` and goes on with one byte over and over, held by nobody.
struct Endless {
    head: Vec<u8>,
    then: u8,
}

impl Source for Endless {
    fn bytes(&self) -> u64 {
        60_000_000_000
    }

    fn name(&self) -> &str {
        "endless"
    }

    fn read_at<'a>(&'a self, offset: u64, buffer: &'a mut [u8]) -> Reading<'a> {
        for (byte, place) in buffer.iter_mut().zip(offset..) {
            *byte = usize::try_from(place).ok().and_then(|place| self.head.get(place)).copied().unwrap_or(self.then);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The MiB that `read` takes at its peak beyond what there was before. It must end in an error.
fn peak_mib<T>(read: impl Future<Output = Result<T>>) -> f32 {
    let before = ALLOCATOR.current_usage_as_mb();
    ALLOCATOR.reset_peak_usage();
    assert!(pollster::block_on(read).is_err());
    ALLOCATOR.peak_usage_as_mb() - before
}

/// A GGUF header with these counts of tensors and keys, and what follows.
fn gguf_head(n_tensors: u64, n_keys: u64, rest: &[&[u8]]) -> Vec<u8> {
    [&b"GGUF\x03\0\0\0"[..], &n_tensors.to_le_bytes(), &n_keys.to_le_bytes(), &rest.concat()].concat()
}

/// A key named "k" of type 9, an array, with the type and the count of its values.
fn array_key(kind: u32, count: u64) -> Vec<u8> {
    [&1u64.to_le_bytes()[..], b"k", &9u32.to_le_bytes(), &kind.to_le_bytes(), &count.to_le_bytes()].concat()
}

#[test]
fn a_file_takes_no_memory_that_its_bytes_do_not_account_for() {
    const HUGE: u64 = 60_000_000_000;
    // The measure itself: memory that is taken shows.
    let taken = peak_mib(async { Err::<(), _>(Error::usage("taken", format!("{}", vec![1u8; 50 << 20].len()))) });
    assert!((50.0..60.0).contains(&taken), "{taken} MiB for 50");

    for (n_tensors, n_keys) in [(HUGE, 0), (0, HUGE), (1, 1), (u64::MAX, u64::MAX), (1 << 16, 1 << 16)] {
        let head = gguf_head(n_tensors, n_keys, &[]);
        assert_eq!(head.len(), 24);
        let peak = peak_mib(gguf::read(&Memory::new("24 bytes", head.clone()), 0));
        assert!(peak < 1.0, "24 bytes, {n_tensors} tensors, {n_keys} keys: {peak} MiB");
        let peak = peak_mib(gguf::read(&Endless { head, then: 0xff }, 0));
        assert!(peak < 4.0, "60 GB, {n_tensors} tensors, {n_keys} keys: {peak} MiB");
    }
    // Of a header at most 64 MiB are read. Lists that grow may take twice what is in them, and once more while
    // they move.
    for (kind, count) in [(0, HUGE), (0, 60 << 20), (4, 15 << 20), (8, HUGE), (8, 8 << 20), (8, 7 << 20), (9, 7)] {
        // What follows in zeros are a key and tensors without a name: two of them are one too many.
        let head = gguf_head(2, 2, &[&array_key(kind, count)]);
        let peak = peak_mib(gguf::read(&Endless { head, then: 0 }, 0));
        assert!(peak < 200.0, "{count} values of type {kind}: {peak} MiB");
    }
    for len in [HUGE - 8, 100_000_001, u64::MAX] {
        let peak = peak_mib(safetensors::read(&Endless { head: len.to_le_bytes().to_vec(), then: b'[' }, 0));
        assert!(peak < 1.0, "a safetensors header of {len} bytes: {peak} MiB");
    }
    let longest = 100_000_000u64.to_le_bytes().to_vec();
    let peak = peak_mib(safetensors::read(&Endless { head: longest, then: b'[' }, 0));
    assert!(peak < 320.0, "the longest safetensors header: {peak} MiB");
}

//! Host memory while a large file is loaded. One test, for the peak belongs to the whole process: beyond the file's own
//! buffer, loading stays under 64 MiB, since no whole tensor ever rests in memory.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]
#![allow(dead_code, reason = "the writer has more than this test needs")]

use std::rc::Rc;

use gguf_writer::GgufModel;
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Sampling, Session};
use headstart::format::Memory;
use headstart::gpu::Adapter;
use peak_alloc::PeakAlloc;
use pollster::block_on;

mod gguf_writer;
mod support;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const N_VOCAB: usize = 400_000;

/// The golden model with a vocabulary of 400,000 tokens: a file of more than 200 MB.
fn large_file() -> Vec<u8> {
    let mut model = GgufModel::read(support::memory("golden/gguf/v4_random_f32.gguf").as_ref());
    for tensor in &mut model.tensors {
        let by_token = ["token_embd.weight", "output.weight"].contains(&tensor.name.as_str())
            || tensor.name.ends_with("tid2eid.weight");
        if by_token {
            let n_rows = tensor.shape[0] as usize;
            tensor.bytes = tensor.bytes.repeat(N_VOCAB.div_ceil(n_rows));
            tensor.bytes.truncate(tensor.bytes.len() / (N_VOCAB.div_ceil(n_rows) * n_rows) * N_VOCAB);
            tensor.shape[0] = N_VOCAB as u64;
        }
    }
    let mut file = model.bytes();
    let key = b"deepseek4.vocab_size";
    if let Some(at) = file.windows(key.len()).take(1 << 16).position(|window| window == key) {
        let value = at + key.len() + 4;
        file[value..value + 8].copy_from_slice(&(N_VOCAB as u64).to_le_bytes());
    }
    file
}

#[test]
fn loading_a_large_file_takes_little_memory_beyond_it() {
    let Some(adapter) = block_on(Adapter::all()).into_iter().next() else {
        println!("no adapter: nothing to upload to");
        return;
    };
    let file = large_file();
    assert!(file.len() > 200 << 20, "{} bytes", file.len());
    let files = ModelFiles::gguf(Rc::new(Memory::new("large", file)));
    let options = LoadOptions { n_context: Some(256), ..LoadOptions::default() };
    let before = ALLOCATOR.current_usage_as_mb();
    ALLOCATOR.reset_peak_usage();
    let mut session = block_on(Session::load(&files, ExecutorChoice::Gpu(adapter), &options, &mut |_| ())).unwrap();
    let peak = ALLOCATOR.peak_usage_as_mb() - before;
    println!("{peak:.1} MiB beyond the file");
    assert!(peak < 64.0, "loading took {peak:.1} MiB beyond the file");
    // What was loaded is there: a text can be written with it.
    let id =
        block_on(async { session.generate(&[1, 2, 3], &Sampling::default(), 1).await.unwrap().next().await.unwrap() });
    assert!(id.is_some_and(|id| (id as usize) < N_VOCAB));
}

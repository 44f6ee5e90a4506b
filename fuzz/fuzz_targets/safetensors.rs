//! Any bytes at all as a safetensors file: no panic, and what is returned lies inside the file.
#![no_main]

use headstart::format::{Memory, safetensors};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(file) = pollster::block_on(safetensors::read(&Memory::new("fuzz", data.to_vec()), 0)) {
        for tensor in file.directory.tensors() {
            assert!(tensor.offset <= tensor.end() && tensor.end() <= data.len() as u64);
            let _ = tensor.require_supported();
        }
    }
});

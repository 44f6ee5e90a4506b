//! Any bytes at all as a GGUF file: no panic, and what is returned lies inside the file.
#![no_main]

use headstart::format::{Memory, gguf};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(file) = pollster::block_on(gguf::read(&Memory::new("fuzz", data.to_vec()), 0)) {
        for tensor in file.directory.tensors() {
            assert!(tensor.offset <= tensor.end() && tensor.end() <= data.len() as u64);
            let _ = tensor.require_supported();
        }
        for (key, _) in file.metadata.iter() {
            let _ = file.metadata.get_u32(key);
            let _ = file.metadata.get_nearest_f32s(key);
            let _ = file.metadata.get_u32_for_each(key, 64);
            let _ = file.metadata.get_strs(key).map(|texts| texts.map(|texts| texts.iter().count()));
        }
    }
});

//! Any bytes at all as a safetensors file: no panic, and what is returned lies inside the file; nor where its weights are taken for
//! those that are packed in words.
#![no_main]

use headstart::format::packing::{Order, Packing, as_rows, without_zero_biases};
use headstart::format::{Memory, Source, safetensors};
use libfuzzer_sys::fuzz_target;
use std::rc::Rc;

fuzz_target!(|data: &[u8]| {
    let source: Rc<dyn Source> = Rc::new(Memory::new("fuzz", data.to_vec()));
    let Ok(file) = pollster::block_on(safetensors::read(source.as_ref(), 0)) else { return };
    for tensor in file.directory.tensors() {
        assert!(tensor.offset <= tensor.end() && tensor.end() <= data.len() as u64);
        let _ = tensor.require_supported();
    }
    let gptq = Order::Gptq { less_one: true };
    let packings = [(Order::Awq, 4, Some(32), false), (gptq, 4, Some(64), false), (gptq, 4, None, true), (gptq, 8, Some(32), true), (Order::Rows, 4, None, false)];
    for (order, bits, group_len, is_symmetric) in packings {
        let packing = Packing { order, bits, group_len, is_symmetric };
        let Ok((directory, rows)) = as_rows(&file.directory, &[source.clone()], packing) else { continue };
        // A code takes at least a half byte of the file, and with its scale and zero 5 bits of a block.
        assert!(rows.bytes() <= 2 * data.len() as u64);
        let mut all = vec![0; rows.bytes() as usize];
        let _ = pollster::block_on(rows.read_at(0, &mut all));
        let _ = pollster::block_on(without_zero_biases(&directory, &[source.clone()]));
    }
});

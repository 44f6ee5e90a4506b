//! DeepSeek V4-Flash and V4-Pro by value: their buffers planned and their steps recorded without any weights, at up to
//! 131,072 positions, on an adapter that binds no more than 128 MiB. Counts that overflow, slices that cannot be bound
//! and grids that cannot be dispatched would show here.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use headstart::engine::arch::step::MAX_AHEAD;
use headstart::engine::arch::v4::buffers::Scratch;
use headstart::engine::arch::v4::forward::Forward;
use headstart::engine::load::upload::Uploads;
use headstart::format::{Directory, Format, Stored, TensorInfo};
use headstart::gpu::lower::lower;
use headstart::gpu::{Arena, Caps, Config, Purpose, Recording, Reduce, Tuning};
use headstart::model::{Shape, Weights};

const BINDING_BYTES: u64 = 128 << 20;

/// Every tensor of a GGUF of this shape: MXFP4 experts, Q8_0 for other matrices, F32 for the rest.
fn directory(shape: &Shape) -> Directory {
    let (d, q, hd) = (shape.n_embd, shape.q_lora, shape.head_dim);
    let (e, i) = (shape.n_experts, shape.n_hidden);
    let mut tensors = Vec::new();
    let mut end = 0;
    let mut add = |name: String, format: Format, dims: &[u32]| {
        let dims: Vec<u64> = dims.iter().map(|n| u64::from(*n)).collect();
        let (n_in, outer) = dims.split_last().unwrap();
        let bytes = outer.iter().product::<u64>() * format.row_bytes(*n_in);
        let stored = Stored::Supported(format);
        tensors.push(TensorInfo { name, stored, shape: dims, offset: end, bytes, source_index: 0 });
        end += bytes;
    };
    add("token_embd.weight".into(), Format::Q8_0, &[shape.n_vocab, d]);
    add("output.weight".into(), Format::Q8_0, &[shape.n_vocab, d]);
    add("output_norm.weight".into(), Format::F32, &[d]);
    for (what, dims) in [("fn", &[4, 4 * d] as &[u32]), ("base", &[4]), ("scale", &[1])] {
        add(format!("output_hc_{what}.weight"), Format::F32, dims);
    }
    for layer in 0..shape.n_layers() {
        let mut layer_add = |name: &str, format: Format, dims: &[u32]| add(format!("blk.{layer}.{name}"), format, dims);
        for site in ["attn", "ffn"] {
            layer_add(&format!("{site}_norm.weight"), Format::F32, &[d]);
            for (what, dims) in [("fn", &[24, 4 * d] as &[u32]), ("base", &[24]), ("scale", &[3])] {
                layer_add(&format!("hc_{site}_{what}.weight"), Format::F32, dims);
            }
        }
        layer_add("attn_q_a.weight", Format::Q8_0, &[q, d]);
        layer_add("attn_q_a_norm.weight", Format::F32, &[q]);
        layer_add("attn_q_b.weight", Format::Q8_0, &[shape.q_width(), q]);
        layer_add("attn_kv.weight", Format::Q8_0, &[hd, d]);
        layer_add("attn_kv_a_norm.weight", Format::F32, &[hd]);
        layer_add("attn_sinks.weight", Format::F32, &[shape.n_heads]);
        layer_add("attn_output_a.weight", Format::Q8_0, &[shape.o_width(), shape.group_width()]);
        layer_add("attn_output_b.weight", Format::Q8_0, &[d, shape.o_width()]);
        let mut compressor = |prefix: &str, ratio: u32, width: u32, overlap: u32| {
            layer_add(&format!("{prefix}_ape.weight"), Format::F32, &[ratio, overlap * width]);
            layer_add(&format!("{prefix}_norm.weight"), Format::F32, &[width]);
            layer_add(&format!("{prefix}_kv.weight"), Format::Q8_0, &[overlap * width, d]);
            layer_add(&format!("{prefix}_gate.weight"), Format::Q8_0, &[overlap * width, d]);
        };
        if shape.is_compressed(layer) {
            compressor("attn_compressor", shape.ratios[layer], hd, shape.overlap(layer));
        }
        if shape.has_indexer(layer) {
            compressor("indexer_compressor", 4, shape.index_head_dim, 2);
            layer_add("indexer.attn_q_b.weight", Format::Q8_0, &[shape.index_width(), q]);
            layer_add("indexer.proj.weight", Format::Q8_0, &[shape.index_heads, d]);
        }
        layer_add("ffn_gate_inp.weight", Format::F32, &[e, d]);
        if shape.is_hash_layer(layer) {
            layer_add("ffn_gate_tid2eid.weight", Format::I32, &[shape.n_vocab, shape.n_used]);
        } else {
            layer_add("exp_probs_b.bias", Format::F32, &[e]);
        }
        for (what, rows, n_in) in [("gate", i, d), ("up", i, d), ("down", d, i)] {
            layer_add(&format!("ffn_{what}_exps.weight"), Format::MXFP4, &[e, rows, n_in]);
            layer_add(&format!("ffn_{what}_shexp.weight"), Format::Q8_0, &[rows, n_in]);
        }
    }
    Directory::new(tensors).unwrap()
}

fn check(recording: &Recording, arena: &Arena) {
    for reduce in [Reduce::Thread, Reduce::Subgroup] {
        let caps = Caps { subgroup: 32, ..Caps::default() };
        let tuning = Tuning::uniform(Config { reduce, ..Config::default() });
        for dispatch in lower(recording, &caps, &tuning).dispatches {
            let (name, n) = (recording.stages[dispatch.stage].name, dispatch.n_workgroups);
            assert!(n.div_ceil(65_535) <= 65_535, "{name}: {n} workgroups");
        }
    }
    for stage in &recording.stages {
        for slice in &stage.bindings {
            assert!(slice.bytes <= BINDING_BYTES, "{} binds {} bytes", stage.name, slice.bytes);
            let plan = &arena.buffers[slice.buffer.0 as usize];
            assert!(slice.offset + slice.bytes <= plan.bytes, "{} binds past {}", stage.name, plan.label);
        }
    }
}

fn plans_and_records(shape: &Shape, n_context: u32, weight_gib: std::ops::Range<u64>) {
    let weights = Weights::bind(shape, &directory(shape)).unwrap();
    let (mut arena, mut uploads) = (Arena::default(), Uploads::new(BINDING_BYTES));
    let n_chunk = Scratch::chunk_that_fits(shape, n_context + MAX_AHEAD, BINDING_BYTES, 256);
    let forward = Forward::plan(&mut arena, &mut uploads, shape, &weights, n_context, n_chunk);
    let gib = arena.bytes(Purpose::Weights) >> 30;
    assert!(weight_gib.contains(&gib), "{gib} GiB of weights");
    let mut decode = forward.record_body(1, false);
    forward.record_head(&mut decode, 1, true);
    forward.record_sample(&mut decode);
    check(&decode, &arena);
    check(&forward.record_body(n_chunk, false), &arena);
}

#[test]
fn v4_flash_is_planned_and_recorded() {
    plans_and_records(&Shape::v4_flash(), 4096, 140..170);
    plans_and_records(&Shape::v4_flash(), 131_072, 140..170);
}

#[test]
fn v4_pro_is_planned_and_recorded() {
    plans_and_records(&Shape::v4_pro(), 4096, 780..900);
    // Where the scores of a step come within a row of the binding's limit.
    plans_and_records(&Shape::v4_pro(), 200_000, 780..900);
}

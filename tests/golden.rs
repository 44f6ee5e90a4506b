//! The forward pass against outputs that this program did not make: streams after each layer, compressed entries, logits
//! and greedy tokens of random models, on the CPU executor and on every adapter present.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]
#![allow(clippy::neg_cmp_op_on_partial_ord, reason = "NaN must not pass")]

use std::rc::Rc;

use crate::support::{all_places, fixture, load, memory, places};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Sampling, Session};
use headstart::format::{Directory, Memory, Source, quant, safetensors};
use headstart::gpu::ShaderChecks;
use headstart::gpu::{Adapter, Config, Reduce, Tuning};
use pollster::block_on;

const BUDGET: f32 = 1e-3;

/// Arrays of the fixture, by name.
struct Expected {
    source: Rc<dyn Source>,
    directory: Directory,
}

impl Expected {
    fn read() -> Self {
        let source = memory("golden/expected.safetensors");
        let directory = block_on(safetensors::read(source.as_ref(), 0)).unwrap().directory;
        Self { source, directory }
    }

    fn bytes(&self, name: &str) -> (headstart::format::Format, Vec<u8>) {
        let info = self.directory.require(name).unwrap();
        let format = info.require_supported().unwrap();
        let mut bytes = vec![0; info.bytes as usize];
        block_on(self.source.read_at(info.offset, &mut bytes)).unwrap();
        (format, bytes)
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let (format, bytes) = self.bytes(name);
        let mut values = vec![0.0; bytes.len() / 4];
        quant::decode_row(format, &bytes, &mut values).unwrap();
        values
    }

    fn integers(&self, name: &str) -> Vec<u32> {
        let (format, bytes) = self.bytes(name);
        let mut values = Vec::new();
        quant::decode_integers(format, &bytes, &mut values).unwrap();
        values.into_iter().map(|v| u32::try_from(v).unwrap()).collect()
    }
}

fn options() -> LoadOptions {
    LoadOptions { shader_checks: ShaderChecks::On, n_context: Some(512), ..LoadOptions::default() }
}

fn golden_session(choice: ExecutorChoice, options: &LoadOptions) -> Session {
    let config = std::fs::read_to_string(fixture("golden/config.json")).unwrap();
    let sources = vec![memory("golden/model.safetensors")];
    let files = ModelFiles { sources, config: Some(config), ..ModelFiles::default() };
    load(&files, choice, options)
}

/// The larger of two differences; one that is not a number stays.
fn worse(a: f32, b: f32) -> f32 {
    if a.is_nan() || b <= a { a } else { b }
}

/// The largest difference, and NaN where anything is not a number.
fn worst(expected: &[f32], found: &[f32]) -> f32 {
    assert_eq!(expected.len(), found.len());
    expected.iter().zip(found).map(|(e, f)| (e - f).abs()).fold(0.0, worse)
}

fn assert_close(what: &str, expected: &[f32], found: &[f32]) {
    let worst = worst(expected, found);
    assert!(worst <= BUDGET, "{what}: off by {worst}, allowed {BUDGET}");
}

/// Step sizes for a prompt: in one go, uneven, and token by token.
const WAYS: [&[u32]; 3] = [&[u32::MAX], &[7, 1, 30, 2, 64, 3, 5], &[1]];

#[test]
fn logits_agree_in_one_chunk_in_uneven_chunks_and_token_by_token() {
    let expected = Expected::read();
    let (ids, logits) = (expected.integers("ids"), expected.floats("logits"));
    for (place, choice) in all_places() {
        let _turn = crate::support::turn_at(&choice);
        let mut session = golden_session(choice, &options());
        for way in WAYS {
            let steps: Vec<u32> = way.iter().copied().cycle().take(300).collect();
            let mut worst_at = (0, 0.0_f32);
            let mut each = |position: usize, row: &[f32]| {
                let worst = worst(&logits[position * 512..(position + 1) * 512], row);
                if !worst_at.1.is_nan() && !(worst <= worst_at.1) {
                    worst_at = (position, worst);
                }
                Ok(())
            };
            block_on(session.logits_in_steps(&ids, &steps, &mut each)).unwrap();
            println!("{place}, steps {way:?}: worst {} at {}", worst_at.1, worst_at.0);
            assert!(worst_at.1 <= BUDGET, "{place}, steps {way:?}: off by {} at {}", worst_at.1, worst_at.0);
        }
    }
}

#[test]
fn streams_and_compressed_entries_agree_after_every_layer() {
    let expected = Expected::read();
    let ids = expected.integers("ids");
    let positions = expected.integers("stream_positions");
    let streams = expected.floats("streams");
    for (place, choice) in all_places() {
        let _turn = crate::support::turn_at(&choice);
        let mut session = golden_session(choice, &options());
        for steps in [&[256u32, 44] as &[u32], &[33, 6, 32]] {
            let mut each = |layer: u32, first: usize, found: &[f32]| {
                for (row, position) in positions.iter().enumerate() {
                    let Some(token) = (*position as usize).checked_sub(first) else { continue };
                    let Some(found) = found.get(token * 512..(token + 1) * 512) else { continue };
                    let at = (row * 6 + layer as usize) * 512;
                    let what = format!("{place}: streams after layer {layer} at {position}, steps {steps:?}");
                    assert_close(&what, &streams[at..at + 512], found);
                }
            };
            block_on(session.trace(&ids, steps, &mut each)).unwrap();
            let (csa, keys) = block_on(session.read_entries(2)).unwrap();
            assert_close(&format!("{place}: entries of layer 2"), &expected.floats("csa2_entries"), &csa[..75 * 64]);
            assert_close(&format!("{place}: index keys"), &expected.floats("csa2_index_keys"), &keys[..75 * 32]);
            let (hca, _) = block_on(session.read_entries(3)).unwrap();
            assert_close(&format!("{place}: entries of layer 3"), &expected.floats("hca3_entries"), &hca[..2 * 64]);
        }
    }
}

/// A decode that follows a prompt of every length modulo 4, and across the ends of 128-token blocks, continues it right.
#[test]
fn decode_after_a_prompt_of_any_length_agrees() {
    let expected = Expected::read();
    let (ids, logits) = (expected.integers("ids"), expected.floats("logits"));
    for (place, choice) in all_places() {
        let _turn = crate::support::turn_at(&choice);
        let mut session = golden_session(choice, &options());
        for n_prompt in [1, 4, 5, 6, 7, 126, 127, 128, 129, 254, 255, 256, 257] {
            let steps: Vec<u32> = std::iter::once(n_prompt).chain(std::iter::repeat_n(1, 5)).collect();
            let end = (n_prompt as usize + 5).min(ids.len());
            let mut each = |position: usize, row: &[f32]| {
                let what = format!("{place}: prompt of {n_prompt}, position {position}");
                assert_close(&what, &logits[position * 512..(position + 1) * 512], row);
                Ok(())
            };
            block_on(session.logits_in_steps(&ids[..end], &steps, &mut each)).unwrap();
        }
    }
}

/// What hardware GPUs get: sums in workgroup memory or by subgroups, on the first adapter that has them.
#[test]
fn every_way_to_add_up_gives_the_same_logits() {
    let expected = Expected::read();
    let (ids, logits) = (expected.integers("ids"), expected.floats("logits"));
    for reduce in [Reduce::Workgroup, Reduce::Subgroup] {
        let fits = |adapter: &Adapter| reduce == Reduce::Workgroup || adapter.caps.subgroup > 0;
        let Some(adapter) = crate::support::adapters().into_iter().find(fits) else { continue };
        let tuning = Tuning::uniform(Config {
            reduce,
            row_lanes: 8,
            weight_lanes: 8,
            block_lanes: 4,
            vector_lanes: 32,
            ..Config::default()
        });
        let options = LoadOptions { tuning: Some(tuning), ..options() };
        let mut session = golden_session(ExecutorChoice::Gpu(adapter), &options);
        let mut each = |position: usize, row: &[f32]| {
            assert_close(&format!("{reduce:?} at {position}"), &logits[position * 512..(position + 1) * 512], row);
            Ok(())
        };
        block_on(session.logits_in_steps(&ids[..60], &[40, 1, 1, 9], &mut each)).unwrap();
    }
}

#[test]
fn small_shards_change_nothing() {
    let expected = Expected::read();
    let (ids, logits) = (expected.integers("ids"), expected.floats("logits"));
    let options = LoadOptions { shard_bytes: Some(32 << 10), ..options() };
    for (place, choice) in places().into_iter().take(2) {
        let mut session = golden_session(choice, &options);
        let mut each = |position: usize, row: &[f32]| {
            assert_close(&format!("{place} at {position}"), &logits[position * 512..(position + 1) * 512], row);
            Ok(())
        };
        block_on(session.logits(&ids[..40], &mut each)).unwrap();
    }
}

#[test]
fn a_flipped_weight_is_noticed() {
    let expected = Expected::read();
    let (ids, logits) = (expected.integers("ids"), expected.floats("logits"));
    let mut file = std::fs::read(fixture("golden/model.safetensors")).unwrap();
    let source: Rc<dyn Source> = Rc::new(Memory::new("intact", file.clone()));
    let directory = block_on(safetensors::read(source.as_ref(), 0)).unwrap().directory;
    let offset = directory.require("layers.3.attn.kv_norm.weight").unwrap().offset as usize;
    file[offset + 3] ^= 0x80;
    let config = std::fs::read_to_string(fixture("golden/config.json")).unwrap();
    let sources: Vec<Rc<dyn Source>> = vec![Rc::new(Memory::new("flipped", file))];
    let files = ModelFiles { sources, config: Some(config), ..ModelFiles::default() };
    let mut session = block_on(Session::load(&files, ExecutorChoice::Cpu, &options(), &mut |_| ())).unwrap();
    let mut worst_found: f32 = 0.0;
    let mut each = |position: usize, row: &[f32]| {
        worst_found = worst_found.max(worst(&logits[position * 512..(position + 1) * 512], row));
        Ok(())
    };
    block_on(session.logits(&ids[..140], &mut each)).unwrap();
    assert!(worst_found > BUDGET, "one flipped sign moved the logits by only {worst_found}");
    for found in [[f32::NAN, 1.0], [0.0, f32::NAN]] {
        assert!(!(worst(&[0.0, 1.0], &found) <= BUDGET), "NaN must not pass");
    }
}

#[test]
fn greedy_tokens_of_the_gguf_agree() {
    let json = std::fs::read_to_string(fixture("golden/gguf/v4_random_f32.golden.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let ids = |key: &str| -> Vec<u32> {
        json[key].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
    };
    let (prompt, tokens) = (ids("prompt"), ids("tokens"));
    for (place, choice) in all_places() {
        let _turn = crate::support::turn_at(&choice);
        let files = ModelFiles::gguf(memory("golden/gguf/v4_random_f32.gguf"));
        let mut session = load(&files, choice, &options());
        let mut written = prompt.clone();
        block_on(async {
            let mut generation = session.generate(&prompt, &Sampling::default(), 20).await.unwrap();
            while let Some(id) = generation.next().await.unwrap() {
                written.push(id);
            }
            generation.finish().await.unwrap();
        });
        assert_eq!(written, tokens, "{place}");
    }
}

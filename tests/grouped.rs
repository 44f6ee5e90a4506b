//! Llama, Qwen2, Qwen3 and Qwen3-MoE against transformers: logits by prefill, in chunks and token by token, and greedy
//! tokens, on the CPU executor and on every adapter present; and the cache in f16.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]
#![allow(clippy::neg_cmp_op_on_partial_ord, reason = "NaN must not pass")]

use crate::family::{expected, options, with_config};
use crate::mla_models::config;
use crate::support::{divergence, fixture, load, log_softmax, logits, memory, places, places_in_turn, worst};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Sampling, Session};
use headstart::gpu::adapter::Identity;
use headstart::kernels::cache::{CacheType, CacheTypes};
use headstart::measure::Progress;
use headstart::measure::report::Verdict;
use headstart::measure::verify::{self, Extent};
use pollster::block_on;
use std::ops::ControlFlow;

const FAMILIES: [&str; 4] = ["llama", "qwen2", "qwen3", "qwen3moe"];
const BUDGET: f32 = 1e-3;
const N_VOCAB: usize = 256;

fn safetensors_files(family: &str) -> ModelFiles {
    with_config(family, &config(family))
}

fn gguf_files(family: &str) -> ModelFiles {
    ModelFiles::gguf(memory(&format!("families/{family}/model.gguf")))
}

#[test]
fn logits_agree_with_transformers_in_chunks_and_token_by_token() {
    for (turn, family) in FAMILIES.into_iter().enumerate() {
        let expected = expected(family);
        for (place, choice) in places_in_turn(turn) {
            let mut session = load(&safetensors_files(family), choice, &options());
            for steps in [&[][..], &[7, 64, 1, 40], &[1; 160]] {
                let found = logits(&mut session, &expected.ids, steps);
                let worst = worst(&expected.logits, &found);
                assert!(worst <= BUDGET, "{family} on {place}, steps {steps:?}: off by {worst}");
            }
            let mut generation =
                block_on(session.generate(&expected.ids, &Sampling::default(), expected.greedy.len())).unwrap();
            let mut ids = Vec::new();
            while let Some(id) = block_on(generation.next()).unwrap() {
                ids.push(id);
            }
            block_on(generation.finish()).unwrap();
            let until_end = expected.greedy.iter().take_while(|id| **id != 1).copied().collect::<Vec<_>>();
            assert_eq!(ids, until_end, "{family} on {place}");
        }
    }
}

#[test]
fn logits_of_a_gguf_agree_with_transformers() {
    for family in ["llama", "qwen3moe"] {
        let expected = expected(family);
        let mut session = load(&gguf_files(family), ExecutorChoice::Cpu, &options());
        assert_eq!(session.outline().architecture, family);
        let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, &[]));
        assert!(worst <= BUDGET, "{family}: off by {worst}");
    }
}

#[test]
fn a_cache_in_f16_is_near_and_not_the_same() {
    for (place, choice) in places() {
        let expected = expected("qwen2");
        let half = LoadOptions { cache: CacheTypes::both(CacheType::F16), ..options() };
        let whole = load(&safetensors_files("qwen2"), choice.clone(), &options());
        let mut session = load(&safetensors_files("qwen2"), choice, &half);
        assert!(session.memory().cache * 3 < whole.memory().cache * 2, "{place}: f16 takes less");
        let found = logits(&mut session, &expected.ids, &[]);
        let rows = expected.logits.chunks_exact(N_VOCAB).zip(found.chunks_exact(N_VOCAB));
        let kl: Vec<f64> = rows.map(|(e, f)| divergence(&log_softmax(e), &log_softmax(f))).collect();
        let mean = kl.iter().sum::<f64>() / kl.len() as f64;
        assert!(mean < 1e-5 && mean > 1e-12, "{place}: {mean} nats");
    }
}

#[test]
fn keys_and_values_may_each_be_halves() {
    let expected = expected("llama");
    for (name, choice) in places() {
        let logits_with = |keys, values| {
            let options = LoadOptions { cache: CacheTypes { keys, values, in_blocks: false }, ..options() };
            logits(&mut load(&safetensors_files("llama"), choice.clone(), &options), &expected.ids, &[])
        };
        let (half, single) = (CacheType::F16, CacheType::F32);
        let each = [logits_with(half, single), logits_with(single, half), logits_with(half, half)];
        for logits in &each {
            let worst = worst(&expected.logits, logits);
            assert!(worst > 1e-6 && worst < 0.02, "{name}: {worst}");
        }
        assert!(worst(&each[0], &each[1]) > 1e-6, "{name}: keys and values are kept alike");
    }
}

#[test]
fn a_model_without_room_is_refused_and_the_advice_holds() {
    let files = gguf_files("llama");
    let load = |n_context, cache, most_bytes| {
        let options = LoadOptions { n_context, cache, most_bytes, ..LoadOptions::default() };
        block_on(Session::load(&files, ExecutorChoice::Cpu, &options, &mut |_| ()))
    };
    let plain = CacheTypes::default();
    let (small, large) = (load(Some(64), plain, None).unwrap(), load(Some(256), plain, None).unwrap());
    let bytes = |session: &Session| session.memory().bytes();
    let most = Some(bytes(&small).midpoint(bytes(&large)));
    let refused = load(Some(256), plain, most).err().unwrap().to_string();
    let number = refused.split("(-c ").nth(1).and_then(|rest| rest.split(')').next()).unwrap();
    let fitting: u32 = number.parse().unwrap();
    assert!((64..256).contains(&fitting), "{refused}");
    assert!(load(Some(fitting), plain, most).is_ok(), "{refused}");
    assert!(load(Some(fitting + 64), plain, most).is_err(), "{refused}");
    assert!(refused.contains("-ctk f16"), "{refused}");
    assert!(load(Some(256), CacheTypes::both(CacheType::F16), most).is_ok(), "{refused}");
}

#[test]
fn a_lost_scaling_would_show_and_another_architecture_is_refused() {
    let expected = expected("llama");
    let text = std::fs::read_to_string(fixture("families/llama/config.json")).unwrap();
    let plain = text.replace("\"llama3\"", "\"default\"");
    assert_ne!(text, plain);
    let files = ModelFiles { config: Some(plain), ..safetensors_files("llama") };
    let mut session = load(&files, ExecutorChoice::Cpu, &options());
    assert!(worst(&expected.logits, &logits(&mut session, &expected.ids, &[])) > 0.01, "scaling does not matter");
    // The same file under the name of an architecture with biases.
    let mut bytes = std::fs::read(fixture("families/llama/model.gguf")).unwrap();
    let at = |bytes: &[u8]| bytes.windows(5).position(|name| name == b"llama");
    while let Some(at) = at(&bytes) {
        bytes[at..at + 5].copy_from_slice(b"qwen2");
    }
    let renamed = ModelFiles::gguf(std::rc::Rc::new(headstart::format::Memory::new("renamed.gguf", bytes)));
    let error = block_on(Session::load(&renamed, ExecutorChoice::Cpu, &options(), &mut |_| ())).err().unwrap();
    assert!(error.to_string().contains("attn_q.bias"), "{error}");
}

#[test]
fn every_stage_agrees_in_lock_step_and_a_broken_one_is_named() {
    let (place, choice) = places().swap_remove(1);
    for family in ["llama", "qwen3moe"] {
        let files = gguf_files(family);
        let check = |fault: Option<&str>, cache: CacheTypes| {
            let fault = fault.map(str::to_owned);
            let mut session = load(&files, choice.clone(), &LoadOptions { fault, cache, ..options() });
            let mut oracle = load(&files, ExecutorChoice::Cpu, &LoadOptions { cache, ..options() });
            let ids = verify::built_in_ids(&oracle).unwrap();
            let mut go_on = |_: &Progress| ControlFlow::Continue(());
            block_on(verify::check(&mut session, &mut oracle, &ids, Extent::Full, &mut go_on)).unwrap()
        };
        let (half, single) = (CacheType::F16, CacheType::F32);
        for (keys, values, in_blocks) in [(single, single, true), (half, single, false), (single, half, false)] {
            let whole = check(None, CacheTypes { keys, values, in_blocks });
            assert_eq!(whole.verdict, Verdict::Right, "{family} on {place}, {keys:?}, {values:?}: {}", whole.summary);
        }
        for stage in ["heads", "attend", "attend_merge", "attn_norm"] {
            let broken = check(Some(stage), CacheTypes::default());
            let named = broken.first_wrong_stage.map(|wrong| wrong.stage);
            assert_eq!((broken.verdict, named.as_deref()), (Verdict::Wrong, Some(stage)), "{family} on {place}");
        }
    }
}

/// A software adapter that passes for a GPU: what is chosen for GPUs is chosen for it.
#[test]
fn a_gpu_takes_larger_steps_and_knows_its_speed_before_the_first_prompt() {
    let adapter = crate::support::adapters().remove(0);
    let identity = Identity { name: "a GPU".into(), kind: "discrete".into(), ..adapter.identity.clone() };
    let tuning = Some(adapter.tuning());
    let files = safetensors_files("qwen2");
    let on_cpu = load(&files, ExecutorChoice::Gpu(adapter.clone()), &options());
    assert_eq!((on_cpu.n_chunk(), on_cpu.longest_step().n_tokens), (256, 0));
    let choice = ExecutorChoice::Gpu(adapter.described(identity));
    let mut session = load(&files, choice.clone(), &LoadOptions { tuning: tuning.clone(), ..options() });
    let longest = session.longest_step();
    assert!(session.n_chunk() == 512 && longest.n_tokens == 16 && longest.ms > 0.0, "{longest:?}");
    // What it learned on leaves no trace.
    let expected = expected("qwen2");
    let found = logits(&mut session, &expected.ids, &[]);
    assert!(worst(&expected.logits, &found) <= BUDGET);
    // Its usual cache is f16 with keys in blocks, and near: in chunks, token by token, and after it went back.
    let cache = CacheTypes::usual(choice.is_gpu());
    assert_eq!(cache, CacheTypes { keys: CacheType::F16, values: CacheType::F16, in_blocks: true });
    let mut usual = load(&files, choice, &LoadOptions { tuning, cache, ..options() });
    for steps in [&[][..], &[7, 30, 1, 2], &[1; 40]] {
        let found = logits(&mut usual, &expected.ids[..40], steps);
        let rows = expected.logits.chunks_exact(N_VOCAB).zip(found.chunks_exact(N_VOCAB));
        let worst = rows.map(|(e, f)| divergence(&log_softmax(e), &log_softmax(f))).fold(0.0, f64::max);
        assert!(worst < 1e-4 && worst > 1e-12, "{steps:?}: {worst} nats");
    }
}

#[test]
fn keys_in_blocks_are_the_same_keys() {
    for family in ["llama", "gpt_oss"] {
        let (files, expected) = (safetensors_files(family), expected(family));
        for (place, choice) in places() {
            let in_blocks = LoadOptions { cache: CacheTypes { in_blocks: true, ..CacheTypes::default() }, ..options() };
            let mut rows = load(&files, choice.clone(), &options());
            let mut blocks = load(&files, choice, &in_blocks);
            let steps = [5, 40, 1, 1];
            let found = [&mut rows, &mut blocks].map(|session| logits(session, &expected.ids, &steps));
            assert!(worst(&found[0], &found[1]) <= 1e-4, "{family} on {place}");
        }
    }
}

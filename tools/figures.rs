//! Prints the figures that the decode step is held to, on one adapter, in one run:
//! `cargo run --release --example figures [-- ADAPTER_NAME_PART]`.
//! Sessions to be compared are interleaved; medians are quoted.

#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::collections::BTreeMap;
use std::error::Error;
use std::rc::Rc;

use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Sampling, Session, Timings};
use headstart::format::Memory;
use headstart::gpu::{Adapter, Config, Reduce, Tuning};
use pollster::block_on;

static MODEL: &[u8] = include_bytes!("../www/models/headstart-v4-11m.gguf");
const ROUNDS: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let wanted = std::env::args().nth(1).unwrap_or_default().to_lowercase();
    let adapters = block_on(Adapter::all());
    let adapter = adapters.into_iter().find(|a| a.identity.name.to_lowercase().contains(&wanted));
    let adapter = adapter.ok_or("no adapter of that name")?;
    eprintln!("{} ({}), {}", adapter.identity.name, adapter.identity.backend, adapter.identity.driver);

    let mut chosen = open(&adapter, None)?;
    let config = Config { reduce: Reduce::Workgroup, row_lanes: 64, vector_lanes: 64, ..Config::default() };
    let mut shared = open(&adapter, Some(Tuning::uniform(config)))?;
    let (mut decode, mut forced, mut prefill, mut encode) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let one = write(&mut chosen, 16, 64)?;
        let two = write(&mut shared, 16, 32)?;
        let long = write(&mut chosen, 256, 1)?;
        if round > 0 {
            decode.extend(&one.token_ms);
            forced.extend(&two.token_ms);
            prefill.push(long.prefill_ms / 256.0);
            encode.push(one.encode_ms / one.decode_ms);
        }
    }
    let (decode, forced, prefill) = (median(&mut decode), median(&mut forced), median(&mut prefill));
    println!("decode, chosen variants ({:?})   {decode:8.3} ms/token", chosen.tuning().config.reduce);
    println!("decode, workgroup reductions     {forced:8.3} ms/token   {:.2} times as long", forced / decode);
    println!("prefill of 256 tokens            {prefill:8.3} ms/token   {:.2} times as fast", decode / prefill);
    println!("encoding                         {:8.1} % of decode", 100.0 * median(&mut encode));
    stages(&mut chosen)
}

fn open(adapter: &Adapter, tuning: Option<Tuning>) -> Result<Session, Box<dyn Error>> {
    let files = ModelFiles::gguf(Rc::new(Memory::new("embedded model", MODEL)));
    let options = LoadOptions { tuning, n_context: Some(1024), ..LoadOptions::default() };
    Ok(block_on(Session::load(&files, ExecutorChoice::Gpu(adapter.clone()), &options, &mut |_| ()))?)
}

fn write(session: &mut Session, n_prompt: u32, n: usize) -> Result<Timings, Box<dyn Error>> {
    let prompt: Vec<u32> = (0..n_prompt).map(|i| 3 + i * 7 % 2000).collect();
    Ok(block_on(async {
        let mut generation = session.generate(&prompt, &Sampling::default(), n).await?;
        while generation.next().await?.is_some() {}
        generation.finish().await
    })?)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Every dispatch of the first layer of each kind in decode, with the bytes it moves, and the time of prefill's stages.
fn stages(session: &mut Session) -> Result<(), Box<dyn Error>> {
    let (recording, times) = block_on(session.profile_step(256, 1))?;
    let kinds = session.outline().layer_kinds.clone();
    for (layer, kind) in kinds.iter().enumerate().filter(|(layer, kind)| !kinds[..*layer].contains(kind)) {
        let of_layer = recording.stages.iter().enumerate().filter(|(_, s)| s.layer == Some(layer as u32));
        println!("decode, layer {layer}, {kind}: {} dispatches", of_layer.clone().count());
        for (index, stage) in of_layer {
            let time = times.as_ref().map_or(String::new(), |t| format!("{:8.1} µs", t[index] * 1e3));
            println!("  {:16} {:>10} bytes {time}", stage.name, stage.work(session.n_context() - 1).bytes);
        }
    }
    let (recording, times) = block_on(session.profile_step(0, 256))?;
    let Some(times) = times else { return Ok(()) };
    let mut by_name = BTreeMap::<&str, f64>::new();
    recording.stages.iter().zip(times).for_each(|(stage, ms)| *by_name.entry(stage.name).or_default() += ms);
    println!("prefill of 256 tokens, {:.1} ms in stages", by_name.values().sum::<f64>());
    for (name, ms) in by_name {
        println!("  {name:16} {ms:8.2} ms");
    }
    Ok(())
}

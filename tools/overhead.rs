//! What measuring adds to decode while nothing is profiled: plain generation loops and `bench`'s own, interleaved on
//! one adapter in one process, and the medians of the ratios of neighbours:
//! `cargo run --release --example overhead [-- ADAPTER_NAME_PART|cpu [ROUNDS [TOKENS]]]`.

#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Instant;

use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Sampling, Session};
use headstart::format::Memory;
use headstart::gpu::Adapter;
use headstart::measure::Report;
use headstart::measure::bench::{Lane, Plan, TestPlan, bench};
use headstart::measure::report::{Host, ModelFacts, Platform, Settings};
use headstart::measure::spread::quantile;
use pollster::block_on;

static MODEL: &[u8] = include_bytes!("../www/models/headstart-v4-11m.gguf");

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let wanted = words.next().unwrap_or_default().to_lowercase();
    let n_rounds: usize = words.next().map_or(Ok(30), |word| word.parse())?;
    let n_tokens: u32 = words.next().map_or(Ok(64), |word| word.parse())?;
    let mut lane = open(&wanted)?;
    println!("{}, {n_rounds} rounds of {n_tokens} tokens each way", lane.name());
    let (mut clocked, mut whole, mut noise) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=n_rounds {
        // Plain loops on both sides of the measured one: their own ratio says how far neighbours differ by chance.
        let before = plain(&mut lane.session, n_tokens)?;
        let (inside, outside) = measured(&mut lane, n_tokens)?;
        let after = plain(&mut lane.session, n_tokens)?;
        // The first round warms up.
        if round > 0 {
            let mean = (before + after) / 2.0;
            clocked.push(inside / mean);
            whole.push(outside / mean);
            noise.push(after / before);
        }
    }
    show("a run by bench's clock, over a plain loop", clocked);
    show("the whole call with its report, over a plain loop", whole);
    show("the plain loop after, over the one before", noise);
    Ok(())
}

fn open(wanted: &str) -> Result<Lane, Box<dyn Error>> {
    let choice = if wanted == "cpu" {
        ExecutorChoice::Cpu
    } else {
        let adapters = block_on(Adapter::all()).into_iter();
        let adapter = adapters.into_iter().find(|a| a.identity.name.to_lowercase().contains(wanted));
        ExecutorChoice::Gpu(adapter.ok_or("no adapter of that name")?)
    };
    let files = ModelFiles::gguf(Rc::new(Memory::new("embedded model", MODEL)));
    let options = LoadOptions { n_context: Some(1024), ..LoadOptions::default() };
    let session = block_on(Session::load(&files, choice, &options, &mut |_| ()))?;
    let facts = ModelFacts::new(&session, "embedded model", MODEL.len() as u64);
    let platform = Platform::new(Host::Native, String::new(), None);
    let report = Report::of_session(platform, &session, facts, Settings::default());
    Ok(Lane::new(session, report))
}

/// Milliseconds of a loop that does nothing but ask for the next token.
fn plain(session: &mut Session, n_tokens: u32) -> Result<f64, Box<dyn Error>> {
    Ok(block_on(async {
        let begin = Instant::now();
        let mut generation = session.generate_from(0, &[0], &Sampling::default(), n_tokens as usize).await?;
        while generation.next().await?.is_some() {}
        let ms = begin.elapsed().as_secs_f64() * 1e3;
        generation.finish().await?;
        Ok::<f64, headstart::error::Error>(ms)
    })?)
}

/// Milliseconds of one run of `tg` as the report tells them, and of the whole call around it.
fn measured(lane: &mut Lane, n_tokens: u32) -> Result<(f64, f64), Box<dyn Error>> {
    let tests = vec![TestPlan { n_gen: n_tokens, ..TestPlan::default() }];
    let plan = Plan { tests, repeats: 1, warm_up: false, fill: true, profile: false };
    let begin = Instant::now();
    block_on(bench(std::slice::from_mut(lane), &plan, &mut |_| ControlFlow::Continue(())))?;
    let outside = begin.elapsed().as_secs_f64() * 1e3;
    let test = lane.report.tests.first().ok_or("nothing was measured")?;
    Ok((test.ms_per_token * f64::from(n_tokens), outside))
}

fn show(what: &str, mut ratios: Vec<f64>) {
    ratios.sort_by(f64::total_cmp);
    let [low, middle, high] = [0.25, 0.5, 0.75].map(|share| quantile(&ratios, share));
    println!("{what:50} {middle:.4} times (half of them from {low:.4} to {high:.4})");
}

//! Prints what a token of known models must move and wait for on a GPU, by their recordings, without weights and without a GPU:
//! `cargo run --release --example steps [-- READ_GB_PER_S STEP_US]`.
//! The time is what both take together: bytes at 0.8 of the reading speed, and steps that wait for each other.

#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;

use headstart::gpu::fuse::n_ordered_steps;
use headstart::gpu::lower::lower;
use headstart::gpu::{Caps, Tuning};
use headstart::kernels::cache::CacheTypes;
use headstart::measure::predict::Planner;
use headstart::model::{Synthetic, SyntheticName};

/// What a large GPU can do through Vulkan.
const GPU: Caps = Caps {
    is_software: false,
    subgroup: 32,
    subgroup_varies: false,
    subgroups_directive: false,
    f16: true,
    packed_dot: true,
    storage_buffers: 16,
    workgroup_bytes: 48 << 10,
    cooperative: 16,
    cooperative_subgroup: 32,
};

/// An H100's: read by its probe, and a dispatch that waits for the one before.
const READ_GB_PER_S: f64 = 2_990.0;
const STEP_US: f64 = 2.0;
/// The share of the reading speed that products are held to.
const SHARE: f64 = 0.8;

const MODELS: [(&str, &[u32]); 6] = [
    ("synthetic:r1-distill-qwen-1.5b:format=q4_k", &[0, 4096]),
    ("synthetic:llama-8b:format=q4_0", &[0, 4096]),
    ("synthetic:llama-8b:format=q4_k", &[0, 4096]),
    ("synthetic:llama-8b:format=q8_0", &[0, 4096]),
    ("synthetic:qwen3-30b-a3b:format=q4_k", &[0, 4096]),
    ("synthetic:deepseek-v4-flash:format=mxfp4", &[0, 2_000, 65_536]),
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<f64>());
    let read = numbers.next().transpose()?.unwrap_or(READ_GB_PER_S);
    let step = numbers.next().transpose()?.unwrap_or(STEP_US);
    println!("| model | after tokens | GB | steps in order, dispatches | ms | tokens/s |\n|---|---|---|---|---|---|");
    for (name, depths) in MODELS {
        let model = SyntheticName::parse(name)?;
        let model = Synthetic::of(&model)?.ok_or("a known model")?.uncut();
        let planner = Planner::new(&model, (2 << 30) - 4, 512, CacheTypes::default())?;
        for depth in depths {
            let recording = planner.decode_recording(*depth);
            let bytes: u64 = recording.stages.iter().map(|stage| stage.work(*depth).bytes).sum();
            let program = lower(&recording, &GPU, &Tuning::guess(&GPU));
            let dispatches = || program.dispatches.iter().map(|d| (d.op, d.bindings.as_slice()));
            let (n_steps, gb) = (n_ordered_steps(dispatches()), bytes as f64 / 1e9);
            let ms = gb / (SHARE * read) * 1e3 + n_steps as f64 * step / 1e3;
            let n = dispatches().count();
            println!("| {name} | {depth} | {gb:.2} | {n_steps}, {n} | {ms:.2} | {:.0} |", 1e3 / ms);
        }
    }
    Ok(())
}

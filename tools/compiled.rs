//! Compiles every kernel in every variant, with the numbers that the first Vulkan adapter gets unmeasured, and runs nothing:
//! `cargo run --release --example compiled [KERNEL…]`. Each text's name goes to standard error before the driver sees it, so that what a driver
//! prints of its own stands below. tools/drivers.sh reads that.

#![allow(clippy::print_stderr, reason = "its output is its purpose")]

use std::collections::BTreeSet;
use std::error::Error;

use headstart::format::Format;
use headstart::gpu::executor_gpu::GpuExecutor;
use headstart::gpu::lower::lower;
use headstart::gpu::op::compose;
use headstart::gpu::{Adapter, Executor, ShaderChecks};
use headstart::kernels;
use headstart::measure::verify::tunings;
use pollster::block_on;

fn main() -> Result<(), Box<dyn Error>> {
    let adapter = block_on(Adapter::all()).into_iter().find(|adapter| adapter.identity.backend == "vulkan");
    let adapter = adapter.ok_or("no Vulkan adapter")?;
    let config = adapter.tuning().config;
    let mut executor = Executor::Gpu(Box::new(block_on(GpuExecutor::open(&adapter, ShaderChecks::Off))?));
    eprintln!("adapter {}", adapter.identity.name);
    let mut seen = BTreeSet::new();
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    for case in kernels::ALL.iter().filter(|kernel| is_asked(kernel.name)).flat_map(|kernel| (kernel.cases)()) {
        block_on(executor.allocate(&case.arena))?;
        for tuning in tunings(&case, config) {
            let program = lower(&case.recording, &adapter.caps, &tuning);
            if program.dispatches.iter().any(|dispatch| !adapter.caps.run(&dispatch.spec)) {
                continue;
            }
            for dispatch in &program.dispatches {
                if seen.insert(compose(dispatch.variant, &dispatch.spec, false)) {
                    let format = dispatch.spec.value_of("FORMAT").and_then(|n| Format::ALL.get(n as usize));
                    let format = format.map_or("-".to_owned(), |format| format!("{format:?}"));
                    let adds_up = if dispatch.spec.subgroups { "subgroups" } else { "" };
                    eprintln!("text {} {format} {adds_up}", dispatch.variant.name);
                }
            }
            block_on(executor.prepare_with(&case.recording, &tuning))?;
        }
    }
    Ok(())
}

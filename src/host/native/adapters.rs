//! `headstart adapters`: who is there, what it offers, how the kernels would be set for it, and with `--probe` what it
//! can do at best.

use super::new_file::NewFile;
use super::progress::Progress;
use super::{Ending, arguments, choice, ending, interrupt, json, platform, tables, write_out};
use crate::engine::ExecutorChoice;
use crate::error::{Error, Result};
use crate::gpu::Adapter;
use crate::measure::panel::{Row, bytes, probe_rows, text};
use crate::measure::probe::probe_choice;
use crate::measure::{AdapterFacts, Report};
use std::ops::ControlFlow;

/// Lists every adapter, or probes them.
pub(super) fn adapters(arguments: &arguments::Adapters) -> Result<Ending> {
    if arguments.probe { probe(arguments) } else { list(arguments) }
}

/// Measures one adapter after the other, and then the CPU. With the reports of those that work ends the first failure.
fn probe(arguments: &arguments::Adapters) -> Result<Ending> {
    // Begun now, so that a place that cannot be written to is found before the work and not after.
    let file = arguments.report.as_deref().map(NewFile::create).transpose()?;
    let (mut reports, mut columns, mut failed) = (Vec::new(), Vec::new(), None);
    let watch = interrupt::watch();
    for choice in chosen(arguments.adapter.as_deref())? {
        let name = choice::name(&choice);
        match pollster::block_on(probe_one(&choice, &name)) {
            Ok(report) => {
                columns.push(probe_rows(&report));
                reports.push(report);
            }
            Err(error) => {
                eprintln!("headstart: {name}: {error}");
                failed.get_or_insert(Error { thing: format!("{name}: {}", error.thing), ..error });
            }
        }
        if interrupt::asked() {
            break;
        }
    }
    drop(watch);
    let whole = json(&reports)?;
    let shown = if arguments.json { whole.clone() } else { format!("{}\n", tables::side_by_side(&columns)) };
    write_out(shown.as_bytes())?;
    if let Some(mut file) = file {
        file.write(whole.as_bytes())?;
        file.finish()?;
    }
    failed.map_or(Ok(ending()), Err)
}

/// All adapters and the CPU, or the one that was named.
fn chosen(wanted: Option<&str>) -> Result<Vec<ExecutorChoice>> {
    match wanted {
        None | Some("all") => {
            let adapters = pollster::block_on(Adapter::all());
            if adapters.is_empty() {
                eprintln!("headstart: no usable GPU was found. {}", choice::INSTALL);
            }
            let gpus = adapters.into_iter().map(choice::tried).map(ExecutorChoice::Gpu);
            Ok(gpus.chain([ExecutorChoice::Cpu]).collect())
        }
        wanted => Ok(vec![choice::one(wanted)?]),
    }
}

async fn probe_one(choice: &ExecutorChoice, name: &str) -> Result<Report> {
    let mut progress = Progress::new();
    let mut watch = |at: &crate::measure::Progress| {
        progress.measure_on(name, at);
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let probes = probe_choice(choice, &mut watch).await?;
    let facts = match choice {
        ExecutorChoice::Gpu(adapter) => AdapterFacts::of(adapter, &adapter.tuning()),
        ExecutorChoice::Cpu => AdapterFacts::of_cpu(),
    };
    Ok(Report { probes, ..Report::of_adapter(platform::platform(), facts) })
}

/// Lists every adapter on stdout. That there is none is said on stderr, and is no failure.
fn list(arguments: &arguments::Adapters) -> Result<Ending> {
    let adapters = pollster::block_on(Adapter::all());
    let facts: Vec<AdapterFacts> =
        adapters.iter().map(|adapter| AdapterFacts::of(adapter, &adapter.tuning())).collect();
    if facts.is_empty() {
        eprintln!("headstart: no usable GPU was found. {}", choice::INSTALL);
    }
    let shown = if arguments.json {
        json(&facts)?
    } else {
        let listed = facts.iter().enumerate().map(|(index, facts)| describe(index, facts));
        let cpu = "cpu  runs without a GPU, through the plain reference of every kernel: slow\n".to_owned();
        listed.chain([cpu]).collect()
    };
    write_out(shown.as_bytes())?;
    Ok(Ending::Done)
}

fn describe(index: usize, facts: &AdapterFacts) -> String {
    let (identity, limits) = (&facts.identity, &facts.limits);
    let (least, most) = facts.subgroup_sizes;
    let subgroups = match facts.features.iter().any(|name| name == "subgroups") {
        false => "none".to_owned(),
        true if least == most => format!("of {most}"),
        true => format!("of {least} to {most}"),
    };
    let rows: [Row; 7] = [
        ("backend", format!("{}, {}", identity.backend, identity.kind)),
        ("driver", if identity.driver.is_empty() { "unknown".to_owned() } else { identity.driver.clone() }),
        ("PCI", format!("{:04x}:{:04x}", identity.vendor_id, identity.device_id)),
        ("features", if facts.features.is_empty() { "none".to_owned() } else { facts.features.join(", ") }),
        ("subgroups", subgroups),
        ("kernels", facts.variant.clone()),
        (
            "limits",
            format!(
                "buffer {}, binding {}, {} storage buffers, workgroup {} invocations and {}",
                bytes(limits.buffer_bytes),
                bytes(limits.binding_bytes),
                limits.storage_buffers,
                limits.workgroup_invocations,
                bytes(u64::from(limits.workgroup_bytes))
            ),
        ),
    ];
    format!("{index:>3}  {}\n{}\n", identity.name, indented(&text(&rows)))
}

fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("     {line}\n")).collect()
}

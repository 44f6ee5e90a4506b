//! `headstart adapters`: who is there, what it offers, and how the kernels would be set for it.

use super::{Ending, arguments, choice, json, write_out};
use crate::error::Result;
use crate::gpu::Adapter;
use crate::measure::AdapterFacts;
use crate::measure::panel::{Row, bytes, text};

/// Lists every adapter on stdout. That there is none is said on stderr, and is no failure.
pub(super) fn adapters(arguments: &arguments::Adapters) -> Result<Ending> {
    let adapters = pollster::block_on(Adapter::all());
    let facts: Vec<AdapterFacts> = adapters.iter().map(|adapter| AdapterFacts::of(adapter, adapter.knobs)).collect();
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
        ("driver", if identity.driver.is_empty() { "not told".to_owned() } else { identity.driver.clone() }),
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

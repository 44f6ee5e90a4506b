//! Which adapter runs the model: the best, one by number or name, every one in turn, or none, which is the CPU.

use crate::engine::PlayerChoice;
use crate::error::{Error, Result};
use crate::gpu::Adapter;
use std::collections::HashSet;

/// What to do where no adapter was found.
pub(super) const INSTALL: &str = "\
On Linux install a Vulkan driver: `apt install mesa-vulkan-drivers` (Debian, Ubuntu), `dnf install \
mesa-vulkan-drivers` (Fedora), or your GPU vendor's. On Windows update the GPU's driver; on macOS the system has one.";

/// The place that `wanted` means: a number, a name, `cpu`, or nothing for the best. Where there is no adapter and none
/// was named, it is the CPU, and stderr says so.
pub(super) fn one(wanted: Option<&str>) -> Result<PlayerChoice> {
    match wanted {
        Some("cpu") => Ok(PlayerChoice::Cpu),
        Some("all") => Err(Error::usage("--adapter", "all").expected("one adapter, by its number or its name, or cpu")),
        Some(wanted) => {
            let mut adapters = pollster::block_on(Adapter::all());
            let names: Vec<&str> = adapters.iter().map(|adapter| adapter.identity.name.as_str()).collect();
            let index = find(&names, wanted)?;
            Ok(PlayerChoice::Gpu(adapters.swap_remove(index)))
        }
        None => Ok(all().swap_remove(0)),
    }
}

/// Every adapter, the best first; never none, see [`one`].
pub(super) fn all() -> Vec<PlayerChoice> {
    let adapters = pollster::block_on(Adapter::all());
    if adapters.is_empty() {
        eprintln!("headstart: no usable GPU was found; this runs on the CPU, slowly. {INSTALL}");
        return vec![PlayerChoice::Cpu];
    }
    adapters.into_iter().map(PlayerChoice::Gpu).collect()
}

/// Every place that a list means: names and numbers as for [`one`] with commas between, and `all` for every adapter; the
/// best where nothing is wanted. A place that is named twice comes once.
pub(super) fn list(wanted: Option<&str>) -> Result<Vec<PlayerChoice>> {
    let Some(wanted) = wanted else { return Ok(vec![all().swap_remove(0)]) };
    if wanted == "all" {
        return Ok(all());
    }
    let adapters = pollster::block_on(Adapter::all());
    let names: Vec<&str> = adapters.iter().map(|adapter| adapter.identity.name.as_str()).collect();
    let choice = |index: &Option<usize>| index.map_or(PlayerChoice::Cpu, |i| PlayerChoice::Gpu(adapters[i].clone()));
    Ok(find_all(&names, wanted)?.iter().map(choice).collect())
}

/// The indices that a list means; `None` is the CPU. Drivers put commas into names, so a name is tried whole first.
fn find_all(names: &[&str], wanted: &str) -> Result<Vec<Option<usize>>> {
    if names.iter().any(|name| name.eq_ignore_ascii_case(wanted)) {
        return Ok(vec![Some(find(names, wanted)?)]);
    }
    let mut found = Vec::new();
    for wanted in wanted.split(',').map(str::trim) {
        let places = match wanted {
            "cpu" => vec![None],
            "all" => (0..names.len()).map(Some).collect(),
            wanted => vec![Some(find(names, wanted)?)],
        };
        found.extend(places);
    }
    let mut seen = HashSet::new();
    found.retain(|place| seen.insert(*place));
    Ok(found)
}

/// What to call it in messages.
pub(super) fn name(choice: &PlayerChoice) -> String {
    match choice {
        PlayerChoice::Gpu(adapter) => format!("{} ({})", adapter.identity.name, adapter.identity.backend),
        PlayerChoice::Cpu => "CPU".to_owned(),
    }
}

/// The index of the adapter that `wanted` means: its number, else its whole name, else a part of it, in any case of
/// letters; the best where several fit.
fn find(names: &[&str], wanted: &str) -> Result<usize> {
    let lower = wanted.to_lowercase();
    let by_number = wanted.parse().ok().filter(|&index: &usize| index < names.len());
    let by_name = |fits: &dyn Fn(&str) -> bool| names.iter().position(|name| fits(&name.to_lowercase()));
    let found = by_number.or_else(|| by_name(&|name| name == lower)).or_else(|| by_name(&|name| name.contains(&lower)));
    found.filter(|_| !wanted.is_empty()).ok_or_else(|| {
        let listed: Vec<String> = names.iter().enumerate().map(|(index, name)| format!("{index} ({name})")).collect();
        let error = Error::adapter(format!("adapter {wanted:?}"), "there is none of this number or name");
        if listed.is_empty() {
            error.expected("cpu, as no GPU was found").advice(INSTALL)
        } else {
            error.expected(format!("{}, cpu or all", listed.join(", ")))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_is_found_by_number_name_and_part_of_it() {
        let names = ["NVIDIA H100", "llvmpipe (LLVM 19)", "H100"];
        for (wanted, index) in [("1", 1), ("h100", 2), ("nvidia", 0), ("LLVMPIPE", 1), ("19", 1)] {
            assert_eq!(find(&names, wanted).ok(), Some(index), "{wanted}");
        }
        for wanted in ["3", "", "radeon"] {
            let error = find(&names, wanted).expect_err("no such adapter");
            assert!(error.to_string().contains("1 (llvmpipe"), "{error}");
        }
    }

    #[test]
    fn a_list_names_each_place_once_and_in_its_order() {
        let names = ["NVIDIA H100", "llvmpipe (LLVM 19, 256 bits)", "H100"];
        let find = |wanted| find_all(&names, wanted);
        assert_eq!(find("cpu, 1,llvm,h100"), Ok(vec![None, Some(1), Some(2)]));
        assert_eq!(find("cpu,all"), Ok(vec![None, Some(0), Some(1), Some(2)]));
        assert_eq!(find("LLVMpipe (LLVM 19, 256 bits)"), Ok(vec![Some(1)]));
        for wanted in ["0,radeon", "0,,1", ""] {
            assert!(find(wanted).is_err(), "{wanted}");
        }
    }
}

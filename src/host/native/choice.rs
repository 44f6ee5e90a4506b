//! Which adapter runs the model: the best, one by number or name, every one in turn, or none, which is the CPU.

use crate::engine::ExecutorChoice;
use crate::error::{Error, Result};
use crate::gpu::Adapter;
use crate::measure::probe::with_right_subgroups;
use std::collections::HashSet;

/// What to do where no adapter was found.
pub(super) const INSTALL: &str = "\
On Linux install a Vulkan driver: `apt install mesa-vulkan-drivers` (Debian, Ubuntu), `dnf install \
mesa-vulkan-drivers` (Fedora), or your GPU vendor's. On Windows update the GPU's driver, or put DXC's dxcompiler.dll \
beside this program, for DirectX 12; on macOS the system has one.";

/// The place that `wanted` means: a number, a name, `cpu`, or nothing for the best. Where there is no adapter and none
/// was named, it is the CPU, and stderr says so.
pub(super) fn one(wanted: Option<&str>) -> Result<ExecutorChoice> {
    match wanted {
        Some(wanted) if is_cpu(wanted) => Ok(ExecutorChoice::Cpu),
        Some("all") => Err(Error::usage("--adapter", "all").expected("one adapter, by its number or its name, or cpu")),
        Some(wanted) => {
            let mut adapters = pollster::block_on(Adapter::all());
            let index = find(&labels(&adapters), wanted)?;
            Ok(ExecutorChoice::Gpu(tried(adapters.swap_remove(index))))
        }
        None => Ok(place_tried(all().swap_remove(0))),
    }
}

/// The adapter, without subgroups where it has no right ones; stderr says so.
pub(super) fn tried(adapter: Adapter) -> Adapter {
    let had_subgroups = adapter.caps.subgroup > 0;
    let adapter = pollster::block_on(with_right_subgroups(adapter, &|_| {}));
    if had_subgroups && adapter.caps.subgroup == 0 {
        let name = &adapter.identity.name;
        eprintln!("headstart: subgroups of {name} add up wrong or cannot be tried; it is slower without");
    }
    adapter
}

/// The place, with its adapter [`tried`].
pub(super) fn place_tried(choice: ExecutorChoice) -> ExecutorChoice {
    match choice {
        ExecutorChoice::Gpu(adapter) => ExecutorChoice::Gpu(tried(adapter)),
        ExecutorChoice::Cpu => ExecutorChoice::Cpu,
    }
}

/// llama.cpp says `none`: no device but the CPU.
fn is_cpu(wanted: &str) -> bool {
    wanted.eq_ignore_ascii_case("cpu") || wanted == "none"
}

/// Every adapter, the best first; never none, see [`one`].
pub(super) fn all() -> Vec<ExecutorChoice> {
    let adapters = pollster::block_on(Adapter::all());
    if adapters.is_empty() {
        eprintln!("headstart: no usable GPU was found; this runs on the CPU, slowly. {INSTALL}");
        return vec![ExecutorChoice::Cpu];
    }
    adapters.into_iter().map(ExecutorChoice::Gpu).collect()
}

/// Every place that a list means: names and numbers as for [`one`] with commas between, and `all` for every adapter; the
/// best where nothing is wanted. A place that is named twice comes once.
pub(super) fn list(wanted: Option<&str>) -> Result<Vec<ExecutorChoice>> {
    let Some(wanted) = wanted else { return Ok(vec![one(None)?]) };
    if wanted == "all" {
        return Ok(all().into_iter().map(place_tried).collect());
    }
    let adapters = pollster::block_on(Adapter::all());
    let choice =
        |index: &Option<usize>| index.map_or(ExecutorChoice::Cpu, |i| ExecutorChoice::Gpu(tried(adapters[i].clone())));
    Ok(find_all(&labels(&adapters), wanted)?.iter().map(choice).collect())
}

/// The indices that a list means; `None` is the CPU. Drivers put commas into names, so a name is tried whole first.
fn find_all(names: &[Label], wanted: &str) -> Result<Vec<Option<usize>>> {
    if names.iter().any(|label| label.name.eq_ignore_ascii_case(wanted)) {
        return Ok(vec![Some(find(names, wanted)?)]);
    }
    let mut found = Vec::new();
    let wanted = wanted.trim_end();
    for wanted in wanted.strip_suffix(',').unwrap_or(wanted).split(',').map(str::trim) {
        let places = match wanted {
            wanted if is_cpu(wanted) => vec![None],
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
pub(super) fn name(choice: &ExecutorChoice) -> String {
    match choice {
        ExecutorChoice::Gpu(adapter) => format!("{} ({})", adapter.identity.name, adapter.identity.backend),
        ExecutorChoice::Cpu => "CPU".to_owned(),
    }
}

/// What an adapter can be called by.
struct Label {
    name: String,
    backend: String,
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}", self.name, self.backend)
    }
}

fn labels(adapters: &[Adapter]) -> Vec<Label> {
    let label =
        |adapter: &Adapter| Label { name: adapter.identity.name.clone(), backend: adapter.identity.backend.clone() };
    adapters.iter().map(label).collect()
}

/// The index of the adapter that `wanted` means: its number, else its whole name, else its backend, else words that are
/// all in its name or are its backend, in any case of letters; the best where several fit, and stderr says so.
fn find(names: &[Label], wanted: &str) -> Result<usize> {
    let lower = wanted.to_lowercase();
    let is_backend = |label: &Label, word: &str| label.backend.eq_ignore_ascii_case(word);
    let has = |label: &Label, part: &str| label.name.to_lowercase().contains(part);
    let all = |fits: &dyn Fn(&Label) -> bool| -> Vec<usize> {
        names.iter().enumerate().filter(|(_, label)| fits(label)).map(|(index, _)| index).collect()
    };
    let words: Vec<&str> =
        lower.split(|c: char| c.is_whitespace() || "(),".contains(c)).filter(|word| !word.is_empty()).collect();
    let ways: [&dyn Fn(&Label) -> bool; 4] = [
        &|label| label.name.to_lowercase() == lower,
        &|label| is_backend(label, &lower),
        &|label| has(label, &lower),
        &|label| !words.is_empty() && words.iter().all(|word| is_backend(label, word) || has(label, word)),
    ];
    let by_number = wanted.parse().ok().filter(|&index: &usize| index < names.len()).map(|index| vec![index]);
    let mut by_name = ways.iter().map(|fits| all(*fits)).filter(|found| !found.is_empty());
    let found = by_number.or_else(|| by_name.next()).filter(|_| !wanted.trim().is_empty()).unwrap_or_default();
    let listed = |indexes: &[usize]| {
        let listed: Vec<String> = indexes.iter().map(|&index| format!("{index} ({})", names[index])).collect();
        listed.join(", ")
    };
    match found.as_slice() {
        [] if names.is_empty() => Err(unknown(wanted).expected("cpu, as no GPU was found").advice(INSTALL)),
        [] => {
            let all: Vec<usize> = (0..names.len()).collect();
            Err(unknown(wanted).expected(format!("{}, cpu or all", listed(&all))))
        }
        [only] => Ok(*only),
        [best, ..] => {
            eprintln!("headstart: {wanted:?} fits {}; this takes {best}", listed(&found));
            Ok(*best)
        }
    }
}

fn unknown(wanted: &str) -> Error {
    Error::adapter(format!("adapter {wanted:?}"), "there is none of this number, name or backend")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(names: &[(&str, &str)]) -> Vec<Label> {
        names.iter().map(|&(name, backend)| Label { name: name.to_owned(), backend: backend.to_owned() }).collect()
    }

    #[test]
    fn an_adapter_is_found_by_number_name_and_part_of_it() {
        let names = labelled(&[
            ("NVIDIA H100", "vulkan"),
            ("llvmpipe (LLVM 19)", "vulkan"),
            ("H100", "vulkan"),
            ("llvmpipe (LLVM 19)", "gl"),
        ]);
        for (wanted, index) in [
            ("1", 1),
            ("h100", 2),
            ("nvidia", 0),
            ("LLVMPIPE", 1),
            ("19", 1),
            ("gl", 3),
            ("Vulkan", 0),
            ("llvmpipe gl", 3),
            ("llvmpipe (LLVM 19), gl", 3),
        ] {
            assert_eq!(find(&names, wanted).ok(), Some(index), "{wanted}");
        }
        for wanted in ["4", "", "radeon", "nvidia gl"] {
            let error = find(&names, wanted).expect_err("no such adapter");
            assert!(error.to_string().contains("3 (llvmpipe (LLVM 19), gl)"), "{error}");
        }
    }

    #[test]
    fn a_list_names_each_place_once_and_in_its_order() {
        let names =
            labelled(&[("NVIDIA H100", "vulkan"), ("llvmpipe (LLVM 19, 256 bits)", "vulkan"), ("H100", "vulkan")]);
        let find = |wanted| find_all(&names, wanted);
        assert_eq!(find("CPU, 1,llvm,h100"), Ok(vec![None, Some(1), Some(2)]));
        assert_eq!(find("none,all"), Ok(vec![None, Some(0), Some(1), Some(2)]));
        assert_eq!(find("LLVMpipe (LLVM 19, 256 bits)"), Ok(vec![Some(1)]));
        for wanted in ["0,radeon", "0,,1", ""] {
            assert!(find(wanted).is_err(), "{wanted}");
        }
    }
}

//! The same adapter under the native program and in a browser. A browser tells less of it, and in other words: the two
//! are taken for one if the words of the one's name are among the other's, and no third adapter has them.

use super::{Column, Mark, Pair, PairRatio, Row, Section};
use crate::gpu::adapter::Identity;
use crate::measure::report::{Entry, Host};
use std::collections::BTreeSet;

/// Words that tell no adapter from another.
const EMPTY: [&str; 8] = ["device", "gpu", "graphics", "google", "mesa", "corporation", "adapter", "inc"];

/// All pairs of columns, with the ratios of what both have.
pub(super) fn pairs(entries: &[Entry], columns: &[Column], rows: &[Row]) -> Vec<Pair> {
    let of_host = |host: Host| {
        columns.iter().enumerate().filter_map(move |(index, column)| match &entries[column.entry] {
            Entry::Measured(report) if report.platform.host == host => Some((index, &report.adapter.identity)),
            _ => None,
        })
    };
    let natives: Vec<(usize, &Identity)> = of_host(Host::Native).collect();
    let pair = |native: usize, browser: usize| Pair { native, browser, ratios: ratios(rows, native, browser) };
    of_host(Host::Browser)
        .flat_map(|(browser, identity)| {
            kin(identity, &natives).into_iter().map(move |native| pair(native, browser)).collect::<Vec<_>>()
        })
        .collect()
}

/// The native columns of the adapter that a browser calls so; none where several adapters would fit.
fn kin(browser: &Identity, natives: &[(usize, &Identity)]) -> Vec<usize> {
    let fitting: Vec<_> = natives.iter().filter(|(_, native)| is_same(browser, native)).collect();
    let names: BTreeSet<_> = fitting.iter().map(|(_, native)| words(&native.name)).collect();
    if names.len() > 1 { Vec::new() } else { fitting.into_iter().map(|(index, _)| *index).collect() }
}

fn is_same(browser: &Identity, native: &Identity) -> bool {
    let ids = |identity: &Identity| (identity.vendor_id, identity.device_id);
    if browser.device_id != 0 && native.device_id != 0 {
        return ids(browser) == ids(native);
    }
    let (some, others) = (words(&browser.name), words(&native.name));
    !some.is_empty() && !others.is_empty() && (some.is_subset(&others) || others.is_subset(&some))
}

/// The words of a name that tell it from others, without what stands in brackets: versions, chips, trade marks.
fn words(name: &str) -> BTreeSet<String> {
    let mut depth = 0_usize;
    let outside: String = name
        .to_lowercase()
        .chars()
        .map(|c| {
            depth = if c == '(' { depth + 1 } else { depth };
            let kept = if depth == 0 { c } else { ' ' };
            depth = if c == ')' { depth.saturating_sub(1) } else { depth };
            kept
        })
        .collect();
    let words = outside.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty() && !EMPTY.contains(word));
    words.map(str::to_owned).collect()
}

fn ratios(rows: &[Row], native: usize, browser: usize) -> Vec<PairRatio> {
    let value = |row: &Row, column: usize| {
        row.cells[column].as_ref().filter(|cell| cell.mark != Mark::Wrong).and_then(|cell| cell.value)
    };
    // Memory is the same in both by design: it says nothing.
    let of_row = |(index, row): (usize, &Row)| {
        let (native, browser) = (value(row, native)?, value(row, browser)?);
        let ratio = browser / native;
        (row.section.has_ratio() && row.section != Section::Memory && ratio.is_finite())
            .then_some(PairRatio { row: index, ratio })
    };
    rows.iter().enumerate().filter_map(of_row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &str, device_id: u32) -> Identity {
        Identity { name: name.into(), vendor_id: u32::from(device_id != 0), device_id, ..Identity::default() }
    }

    #[test]
    fn an_adapter_is_known_again_by_its_words() {
        let same = |a: &str, b: &str| is_same(&identity(a, 0), &identity(b, 0));
        assert!(same("google swiftshader", "SwiftShader Device (LLVM 10.0.0)"));
        assert!(same("llvmpipe (LLVM 15.0.6, 256 bits)", "llvmpipe (LLVM 15.0.6, 256 bits)"));
        assert!(same("nvidia", "NVIDIA H100 80GB HBM3"));
        assert!(!same("NVIDIA GeForce RTX 3060", "NVIDIA GeForce RTX 4090"));
        assert!(!same("", "NVIDIA H100") && !same("device", "gpu") && !same("google swiftshader", "llvmpipe"));
        assert!(is_same(&identity("a", 7), &identity("b", 7)) && !is_same(&identity("a", 7), &identity("a", 8)));
    }

    #[test]
    fn a_name_that_fits_two_adapters_fits_none() {
        let (one, two) = (identity("NVIDIA H100", 0), identity("NVIDIA T4", 0));
        assert_eq!(kin(&identity("nvidia", 0), &[(0, &one), (1, &two)]), [0_usize; 0]);
        assert_eq!(kin(&identity("nvidia h100", 0), &[(0, &one), (1, &two), (2, &one)]), [0, 2]);
    }
}

//! Any text at all as a report, a list of them, or an index of them: no panic, what was read is written and read again the
//! same, and what is packed unpacks.
#![no_main]

use headstart::measure::report::index::Index;
use headstart::measure::report::link::{pack, unpack};
use headstart::measure::report::{Entry, read::read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = Index::read(text);
    if let Ok(entries) = read(text) {
        for entry in &entries {
            if let Entry::Measured(report) = entry {
                let again = unpack(&pack(report));
                assert_eq!(again.as_ref().ok(), Some(report.as_ref()));
            }
        }
    }
});

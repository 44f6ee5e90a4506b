//! Any text at all as a report, or a list of them: no panic, and what a link carries of a report it carries again.
#![no_main]

use headstart::measure::report::link::{pack, unpack};
use headstart::measure::report::{Entry, read::read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(entries) = read(text) {
        for entry in &entries {
            if let Entry::Measured(report) = entry {
                let link = pack(report);
                let again = unpack(&link);
                assert_eq!(again.as_ref().map(pack).ok(), Some(link));
            }
        }
    }
});

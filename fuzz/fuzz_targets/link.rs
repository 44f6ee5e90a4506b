//! Any text at all as a link that holds a report: no panic, and no flood.
#![no_main]

use headstart::measure::report::link::{pack, unpack};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for link in [text.to_owned(), format!("1.{text}")] {
        if let Ok(report) = unpack(&link) {
            assert_eq!(unpack(&pack(&report)).ok(), Some(report));
        }
    }
});

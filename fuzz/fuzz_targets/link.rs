//! Any text at all as a link that holds a report: no panic, and no flood.
#![no_main]

use headstart::measure::report::link::{pack, unpack};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for link in [text.to_owned(), format!("1.{text}")] {
        if let Ok(report) = unpack(&link) {
            // A whole report is cut short, once.
            let packed = pack(&report);
            assert_eq!(unpack(&packed).as_ref().map(pack).ok(), Some(packed));
        }
    }
});

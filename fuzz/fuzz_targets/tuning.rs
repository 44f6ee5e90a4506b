//! Any text at all as a file of kept choices: no panic, and what was read is written and read again the same.
#![no_main]

use headstart::gpu::Tuning;
use headstart::measure::tune::KeptTuning;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(kept) = KeptTuning::read(text) {
        let _ = kept.misfit(&kept.adapter);
        let _ = kept.over(Tuning::default());
        assert!(kept.text().is_ok_and(|text| KeptTuning::read(&text).is_ok()));
    }
});

//! Any text at all as the index of safetensors: no panic, and no file that leads elsewhere.
#![no_main]

use headstart::format::part_name::PartName;
use headstart::format::shards::Index;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(index) = Index::read("fuzz", text) {
        assert!(index.shards().iter().all(|shard| !shard.contains(['/', '\\']) && *shard != ".."));
        let _ = index.choose(&[]);
    }
    if let Some(part) = PartName::parse(text) {
        assert!((1..=part.count).contains(&part.number));
        assert_eq!(PartName::parse(&part.of_number(part.number)).map(|again| again.number), Some(part.number));
    }
});

//! Any bytes at all as a hub's listing, and any words as a model's name: no panic, and no path that leads elsewhere.
#![no_main]

use headstart::host::hub::{Endpoint, Listing, Reference, Repo, Wanted, check_path, choose, next_page, parse_commit};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let hub = Endpoint::default();
    let _ = parse_commit(data);
    let mut listing = Listing::default();
    if listing.add_page(data).is_ok()
        && let Ok(repo) = Repo::parse("owner/name")
    {
        for wanted in [Wanted::Usual, Wanted::Quant("Q8_0".into()), Wanted::File("a.gguf".into())] {
            if let Ok(choice) = choose(&repo, &listing, &wanted) {
                assert!(!choice.files.is_empty() && choice.files.iter().all(|file| check_path(&file.path).is_ok()));
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(next_page(text, &hub).is_none_or(|url| hub.owns(&url)));
        if let Ok(Reference::Hub { wanted: Wanted::File(path), .. }) = Reference::parse(text, &hub) {
            assert!(check_path(&path).is_ok());
        }
    }
});

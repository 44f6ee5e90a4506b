//! Ctrl-C: the first one asks the work under way to come to an end, a second one ends the program at once. While
//! nobody has promised to look (before anything is worth reporting), the first one ends it too.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// What shells report for a program ended by Ctrl-C.
pub(super) const EXIT_CODE: u8 = 130;

static WATCHED: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);

/// While it lives, Ctrl-C is not the end but a wish, and [`asked`] tells of it.
pub(super) struct Watch(());

/// Promises to ask [`asked`] every little while.
pub(super) fn watch() -> Watch {
    install();
    WATCHED.store(true, Ordering::SeqCst);
    Watch(())
}

/// Lets Ctrl-C end the program with its exit code while nobody watches: for work that may end anywhere.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let handler = || {
            if !WATCHED.load(Ordering::SeqCst) || ASKED.swap(true, Ordering::SeqCst) {
                std::process::exit(i32::from(EXIT_CODE));
            }
        };
        if let Err(error) = ctrlc::set_handler(handler) {
            eprintln!("headstart: Ctrl-C will end the program without a panel: {error}");
        }
    });
}

impl Drop for Watch {
    fn drop(&mut self) {
        WATCHED.store(false, Ordering::SeqCst);
    }
}

/// Whether the person wanted what is now over to end; the next thing begins with no such wish.
pub(super) fn was_asked() -> bool {
    ASKED.swap(false, Ordering::SeqCst)
}

/// Whether the person wants it to end.
pub(super) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

//! Ctrl-C, and SIGTERM as `timeout`, containers and services send it: the first one asks the work under way to come to an
//! end, a second one ends the program at once. While nobody has promised to look (before anything is worth reporting), the
//! first one ends it too.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

/// What shells report for a program ended by Ctrl-C.
const BY_CTRL_C: u8 = 130;
/// By SIGTERM.
#[cfg(unix)]
const BY_TERM: u8 = 143;

static CODE: AtomicU8 = AtomicU8::new(BY_CTRL_C);
/// How many watch.
static WATCHED: AtomicU32 = AtomicU32::new(0);
static ASKED: AtomicBool = AtomicBool::new(false);

/// While it lives, Ctrl-C is not the end but a wish, and [`asked`] tells of it.
pub(super) struct Watch(());

/// Promises to ask [`asked`] every little while.
pub(super) fn watch() -> Watch {
    install();
    WATCHED.fetch_add(1, Ordering::SeqCst);
    Watch(())
}

/// Lets Ctrl-C end the program with its exit code while nobody watches: for work that may end anywhere.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        if let Err(error) = ctrlc::set_handler(|| wished(BY_CTRL_C)) {
            eprintln!("headstart: Ctrl-C will end the program without a panel: {error}");
        }
        #[cfg(unix)]
        if let Err(error) = watch_for_term() {
            eprintln!("headstart: SIGTERM will end the program without a panel: {error}");
        }
    });
}

/// Not SIGHUP: `nohup` has it ignored.
#[cfg(unix)]
fn watch_for_term() -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM])?;
    std::thread::Builder::new().spawn(move || signals.forever().for_each(|_| wished(BY_TERM))).map(drop)
}

fn wished(code: u8) {
    CODE.store(code, Ordering::SeqCst);
    if WATCHED.load(Ordering::SeqCst) == 0 || ASKED.swap(true, Ordering::SeqCst) {
        std::process::exit(i32::from(code));
    }
}

/// What the program ends with once it was asked to.
pub(super) fn exit_code() -> u8 {
    CODE.load(Ordering::SeqCst)
}

impl Drop for Watch {
    fn drop(&mut self) {
        WATCHED.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether the person wanted what is now over to end; the next thing begins with no such wish. SIGTERM wants everything to.
pub(super) fn was_asked() -> bool {
    if exit_code() == BY_CTRL_C { ASKED.swap(false, Ordering::SeqCst) } else { asked() }
}

/// Whether the person wants it to end.
pub(super) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

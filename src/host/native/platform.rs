//! What ran the program: the operating system and its version.

use crate::measure::report::{Host, Platform};

/// As the system tells it.
pub(super) fn platform() -> Platform {
    let os = format!("{}, {}", os_info::get(), std::env::consts::ARCH);
    Platform::new(Host::Native, os, None)
}

/// Keeps a line off stderr that is not this program's: looking for OpenGL, the library of Wayland complains where
/// XDG_RUNTIME_DIR is not set, as on servers and in containers. A process cannot safely set its own variables, so it
/// begins again with a folder that is not there; where that fails it goes on as it is.
#[cfg(target_os = "linux")]
pub(super) fn hush_drivers() {
    use std::os::unix::process::CommandExt;
    const NAME: &str = "XDG_RUNTIME_DIR";
    if std::env::var_os(NAME).is_some_and(|folder| std::path::Path::new(&folder).is_absolute()) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut words = std::env::args_os();
    let Some(name) = words.next() else { return };
    // It returns only where it fails.
    let _failed = std::process::Command::new(program).arg0(name).args(words).env(NAME, "/nonexistent").exec();
}

/// Elsewhere there is no such line.
#[cfg(not(target_os = "linux"))]
pub(super) fn hush_drivers() {}

/// Lets a write beyond the shell's limit for files (`ulimit -f`) fail, in place of the program's end with half a file.
#[cfg(unix)]
pub(super) fn outlive_file_limits() {
    let noted = std::sync::Arc::default();
    // Where it cannot be taken note of, all is as it was.
    let _failed = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, noted);
}

/// Elsewhere there is no such limit.
#[cfg(not(unix))]
pub(super) fn outlive_file_limits() {}

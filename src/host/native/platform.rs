//! What ran the program: the operating system and its version.

use crate::measure::report::{Host, Platform};

/// As the system tells it.
pub(super) fn platform() -> Platform {
    let os = format!("{}, {}", os_info::get(), std::env::consts::ARCH);
    Platform::new(Host::Native, os, None)
}

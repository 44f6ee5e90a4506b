//! What runs the page: the browser and the system, read from what the browser calls itself. Works in the window and in
//! the worker.

use super::source::get;
use crate::measure::report::{Host, Platform};

/// As the browser tells it.
pub(crate) fn platform() -> Platform {
    let agent = get(&get(&js_sys::global(), "navigator"), "userAgent").as_string().unwrap_or_default();
    Platform::new(Host::Browser, system(&agent), Some(browser(&agent)))
}

/// The browser's name and version: the first that is found, since browsers also claim to be those that came before.
fn browser(agent: &str) -> String {
    let names = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("HeadlessChrome/", "Chromium"),
        ("Chrome/", "Chromium"),
        ("Version/", "Safari"),
    ];
    let found = names.iter().find_map(|(token, name)| {
        let version = agent.split(token).nth(1)?.split([' ', ';', ')']).next()?;
        Some(format!("{name} {version}"))
    });
    found.unwrap_or_else(|| "unknown".to_owned())
}

/// The system: the first part of the brackets that says more than that there is a window.
fn system(agent: &str) -> String {
    let inside = agent.split('(').nth(1).and_then(|rest| rest.split(')').next()).unwrap_or_default();
    let told =
        inside.split(';').map(str::trim).filter(|part| !matches!(*part, "" | "X11" | "U") && !part.starts_with("rv:"));
    let parts: Vec<&str> = told.take(2).collect();
    if parts.is_empty() { "unknown".to_owned() } else { parts.join(", ") }
}

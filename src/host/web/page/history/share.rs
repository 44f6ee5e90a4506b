//! A run as a link that carries its figures in its fragment, which browsers never send; and the way back: a page opened by such
//! a link shows the run as received, and keeps it only when asked.

use super::History;
use super::record::{Record, RecordId};
use crate::host::web::source::{get, message_of};
use crate::host::web::store::Origin;
use crate::measure::Report;
use crate::measure::report::Entry;
use crate::measure::report::link::{pack, unpack};
use leptos::ev::hashchange;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Clipboard;

const KEY: &str = "#report=";

/// The link that carries a run's figures; none for a text, which has none to show, and for figures that somebody
/// published, which have an address of their own.
pub(crate) fn link_of(record: &Record) -> Option<String> {
    let packed = pack(record.report().filter(|report| says_something(report))?);
    let address = window().location().href().unwrap_or_default();
    let page = address.split('#').next().unwrap_or_default();
    Some(format!("{page}{KEY}{packed}"))
}

/// Whether a report has figures that a link carries.
pub(crate) fn says_something(report: &Report) -> bool {
    !report.tests.is_empty() || !report.probes.0.is_empty() || report.check.is_some()
}

/// Shows the run that the page's address carries, now and whenever the address changes.
pub(crate) fn listen(history: History) {
    receive(history);
    // The page lives as long as its window.
    window_event_listener(hashchange, move |_| receive(history));
}

fn receive(history: History) {
    let hash = window().location().hash().unwrap_or_default();
    let Some(packed) = hash.strip_prefix(KEY) else { return };
    match unpack(packed) {
        Ok(report) => {
            let entry = Entry::Measured(Box::new(report));
            let id = history.find_same(&entry).unwrap_or_else(|| history.add(entry, Origin::Received));
            history.change(id, |record| record.compared = true);
            history.open.set(Some(id));
            history.received.set(Some(id));
        }
        Err(e) => history.complain(format!("The link's report cannot be shown: {e}")),
    }
}

/// Takes the run out of the page's address, once it is kept or dismissed.
pub(crate) fn clear_address() {
    let without = window().location().href().unwrap_or_default();
    let without = without.split('#').next().unwrap_or_default();
    if let Ok(visits) = window().history() {
        let _ = visits.replace_state_with_url(&JsValue::NULL, "", Some(without));
    }
}

/// Puts a run's link on the clipboard.
pub(crate) fn copy_link(history: History, id: RecordId) {
    if let Some(link) = history.find(id).as_ref().and_then(link_of) {
        let done = format!("The link is copied: {} characters, and nothing was sent.", link.len());
        copy(history, link, done);
    }
}

/// Puts `text` on the clipboard and says `done`; where the browser does not allow it, shows the text to be copied by
/// hand.
pub(crate) fn copy(history: History, text: String, done: String) {
    spawn_local(async move {
        match write_clipboard(&text).await {
            Ok(()) => history.said.set(done),
            Err(_) => history.to_copy.set(Some(text)),
        }
    });
}

/// Pages that do not come from a secure context have no clipboard at all.
async fn write_clipboard(text: &str) -> Result<(), String> {
    let clipboard = get(&window().navigator(), "clipboard").dyn_into::<Clipboard>();
    let clipboard = clipboard.map_err(|_| "there is no clipboard".to_owned())?;
    JsFuture::from(clipboard.write_text(text)).await.map(drop).map_err(|e| message_of(&e))
}

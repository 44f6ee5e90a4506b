//! The reports that come with the page, in one file; each is read as a stranger's would be.

use super::History;
use super::record::Record;
use crate::host::web::source::message_of;
use crate::host::web::store::Origin;
use crate::measure::report::read::read;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;

/// Relative to the page, so that the folder works under any path. tools/gallery.mjs makes it.
const GALLERY: &str = "./gallery.json";

/// Fetches them, and adds them after the person's own.
pub(crate) fn fetch(history: History) {
    spawn_local(async move {
        if let Err(why) = fetch_all(history).await {
            history.complain(format!("The reports that came with the page could not be fetched: {why}."));
        }
    });
}

#[derive(Deserialize)]
struct Gallery<'a> {
    /// By the name of the file that a report was made from.
    #[serde(borrow)]
    reports: BTreeMap<String, &'a RawValue>,
}

async fn fetch_all(history: History) -> Result<(), String> {
    let text = fetch_text(GALLERY).await?;
    let gallery: Gallery<'_> = serde_json::from_str(&text).map_err(|e| format!("{GALLERY}: {e}"))?;
    let mut all = Vec::new();
    for (name, report) in gallery.reports {
        for entry in read(report.get()).map_err(|e| format!("{GALLERY}, {name}: {e}"))? {
            let name = name.replace(['-', '_'], " ");
            all.push(Record { name, added_ms: 0.0, ..Record::new(entry, Origin::Published) });
        }
    }
    history.records.update(|records| records.append(&mut all));
    Ok(())
}

async fn fetch_text(url: &str) -> Result<String, String> {
    let failed = |e| format!("{url}: {}", message_of(&e));
    let response = JsFuture::from(window().fetch_with_str(url)).await.map_err(failed)?;
    let response: Response = response.unchecked_into();
    if !response.ok() {
        return Err(format!("{url}: the server answered {}", response.status()));
    }
    let text = JsFuture::from(response.text().map_err(failed)?).await.map_err(failed)?;
    text.as_string().ok_or_else(|| format!("{url}: no text"))
}

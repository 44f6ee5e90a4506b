//! The reports that lie beside the page, in `timings/`: an index names their files, and each is read as a stranger's
//! would be.

use super::History;
use super::record::Record;
use crate::host::web::source::message_of;
use crate::host::web::store::Origin;
use crate::measure::report::read::read;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::Deserialize;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;

/// Relative to the page, so that the folder works under any path.
const FOLDER: &str = "./timings/";

/// Fetches them, and adds them after the person's own.
pub(crate) fn fetch(history: History) {
    spawn_local(async move {
        if let Err(why) = fetch_all(history).await {
            history.complain(format!("The timings that came with the page are not to be had: {why}."));
        }
    });
}

/// What the index says; it may say more.
#[derive(Deserialize)]
struct Index {
    /// Names of files beside it.
    reports: Vec<String>,
}

async fn fetch_all(history: History) -> Result<(), String> {
    let index: Index =
        serde_json::from_str(&fetch_text("index.json").await?).map_err(|e| format!("timings/index.json: {e}"))?;
    for name in index.reports.iter().filter(|name| is_plain(name)) {
        let text = fetch_text(name).await?;
        for entry in read(&text).map_err(|e| format!("timings/{name}: {e}"))? {
            let record = Record { name: title(name), added_ms: 0.0, ..Record::new(entry, Origin::Published) };
            history.records.update(|records| records.push(record));
        }
    }
    Ok(())
}

async fn fetch_text(name: &str) -> Result<String, String> {
    let url = format!("{FOLDER}{name}");
    let failed = |e| format!("{url}: {}", message_of(&e));
    let response = JsFuture::from(window().fetch_with_str(&url)).await.map_err(failed)?;
    let response: Response = response.unchecked_into();
    if !response.ok() {
        return Err(format!("{url}: the server answered {}", response.status()));
    }
    let text = JsFuture::from(response.text().map_err(failed)?).await.map_err(failed)?;
    text.as_string().ok_or_else(|| format!("{url}: no text"))
}

/// A name of a file in that very folder.
fn is_plain(name: &str) -> bool {
    name.ends_with(".json") && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn title(name: &str) -> String {
    name.trim_end_matches(".json").replace(['-', '_'], " ")
}

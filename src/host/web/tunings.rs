//! Where the page keeps tunings between visits: one IndexedDB store of small texts, one for each adapter, which the worker
//! reads before it loads a model. A browser that refuses it costs speed and nothing else.

use crate::error::Result;
use crate::gpu::Adapter;
use crate::gpu::adapter::Identity;
use crate::measure::tune::KeptTuning;
use idb::builder::{DatabaseBuilder, ObjectStoreBuilder};
use idb::{Database, Error, TransactionMode};
use wasm_bindgen::JsValue;

const DATABASE: &str = "headstart-tunings";
const STORE: &str = "tunings";

/// What is kept for an adapter; empty where there is nothing, or nothing that suits.
pub(super) async fn find(adapter: &Adapter) -> KeptTuning {
    let identity = &adapter.identity;
    let kept = read(identity).await.ok().flatten().and_then(|text| KeptTuning::read(&text).ok());
    kept.filter(|kept| kept.misfit(identity).is_none()).unwrap_or_else(|| KeptTuning::new(identity))
}

/// Keeps a tuning in place of the one before. What the browser refuses is measured again at the next visit.
///
/// # Errors
/// When a number in it is none.
pub(super) async fn keep(kept: &KeptTuning) -> Result<()> {
    let text = kept.text()?;
    // Full, private or forbidden: it is told nowhere, as the page works without.
    drop(write(&kept.adapter, &text).await);
    Ok(())
}

/// The key of an adapter. Browsers leave most of it empty.
fn key(adapter: &Identity) -> JsValue {
    let Identity { name, backend, driver, vendor_id, device_id, .. } = adapter;
    JsValue::from_str(&format!("{name}\n{backend}\n{driver}\n{vendor_id}\n{device_id}"))
}

async fn read(adapter: &Identity) -> std::result::Result<Option<String>, Error> {
    let transaction = open().await?.transaction(&[STORE], TransactionMode::ReadOnly)?;
    let value = transaction.object_store(STORE)?.get(key(adapter))?.await?;
    Ok(value.and_then(|value| value.as_string()))
}

async fn write(adapter: &Identity, text: &str) -> std::result::Result<(), Error> {
    let transaction = open().await?.transaction(&[STORE], TransactionMode::ReadWrite)?;
    transaction.object_store(STORE)?.put(&JsValue::from_str(text), Some(&key(adapter)))?.await?;
    transaction.commit()?.await?;
    Ok(())
}

async fn open() -> std::result::Result<Database, Error> {
    DatabaseBuilder::new(DATABASE).version(1).add_object_store(ObjectStoreBuilder::new(STORE)).build().await
}

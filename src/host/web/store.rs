//! Where the page keeps its runs between visits: one IndexedDB store of small objects, a run each.
//! A browser may refuse it (a private window, a setting, a sandbox) or be full; both are told apart, and neither
//! stops the page.

use super::source::get;
use idb::builder::{DatabaseBuilder, ObjectStoreBuilder};
use idb::{Database, KeyPath, ObjectStore, Query, Transaction, TransactionMode, TransactionResult};
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;

const DATABASE: &str = "headstart";
const STORE: &str = "runs";

/// A run as it lies in the database. The report is text, so that it is read and checked as a file's would be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// The key: a whole number drawn at random.
    pub(crate) id: f64,
    pub(crate) name: String,
    /// When it came to be known here: milliseconds since 1970.
    pub(crate) added_ms: f64,
    pub(crate) origin: Origin,
    /// Whether it takes part in the comparison.
    pub(crate) compared: bool,
    pub(crate) json: String,
}

/// How a run came to be known on this page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// It was measured here.
    Measured,
    /// From a file of this name.
    Imported(String),
    /// From a link.
    Received,
    /// It came with the page.
    Published,
}

/// Why the database did not do as it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no room for more.
    Full,
    /// Anything else, in the browser's words.
    Other(String),
}

/// An open database.
pub(crate) struct Store(Database);

impl Store {
    /// Opens the database, or makes it.
    ///
    /// # Errors
    /// Where the browser has none to offer.
    pub(crate) async fn open() -> Result<Self, Refusal> {
        let runs = ObjectStoreBuilder::new(STORE).key_path(Some(KeyPath::new_single("id")));
        let database = DatabaseBuilder::new(DATABASE).version(1).add_object_store(runs).build().await;
        database.map(Self).map_err(refusal)
    }

    /// Every run, and how many more there are that cannot be read; those stay where they are.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn all(&self) -> Result<(Vec<Stored>, usize), Refusal> {
        let (_transaction, runs) = self.begin(TransactionMode::ReadOnly)?;
        let values = runs.get_all(None, None).map_err(refusal)?.await.map_err(refusal)?;
        let n_values = values.len();
        let read: Vec<Stored> =
            values.into_iter().filter_map(|value| serde_wasm_bindgen::from_value(value).ok()).collect();
        let n_unread = n_values - read.len();
        Ok((read, n_unread))
    }

    /// Writes runs in place of those with their keys: all of them or none.
    ///
    /// # Errors
    /// When there is no room, or the database is gone.
    pub(crate) async fn put(&self, stored: &[Stored]) -> Result<(), Refusal> {
        let (transaction, runs) = self.begin(TransactionMode::ReadWrite)?;
        for run in stored {
            let run = serde_wasm_bindgen::to_value(run).map_err(|e| Refusal::Other(e.to_string()))?;
            runs.put(&run, None).map_err(refusal)?;
        }
        end(transaction).await
    }

    /// Deletes the runs with these keys: all of them or none.
    ///
    /// # Errors
    /// When the database is gone.
    pub(crate) async fn remove(&self, ids: &[f64]) -> Result<(), Refusal> {
        let (transaction, runs) = self.begin(TransactionMode::ReadWrite)?;
        for id in ids {
            runs.delete(Query::Key(JsValue::from_f64(*id))).map_err(refusal)?;
        }
        end(transaction).await
    }

    fn begin(&self, mode: TransactionMode) -> Result<(Transaction, ObjectStore), Refusal> {
        let transaction = self.0.transaction(&[STORE], mode).map_err(refusal)?;
        let runs = transaction.object_store(STORE).map_err(refusal)?;
        Ok((transaction, runs))
    }
}

/// A write counts once its transaction is through: a full disk may show only then.
async fn end(transaction: Transaction) -> Result<(), Refusal> {
    match transaction.await.map_err(refusal)? {
        TransactionResult::Committed => Ok(()),
        // No request failed, so that it was the writing to disk.
        TransactionResult::Aborted => Err(Refusal::Full),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it stands where map_err wants it")]
fn refusal(error: idb::Error) -> Refusal {
    use idb::Error as E;
    let name = match &error {
        E::AddFailed(e) | E::UpdateFailed(e) | E::TransactionOpenFailed(e) | E::IndexedDbOpenFailed(e) => name_of(e),
        E::DomException(e) => e.name(),
        _ => String::new(),
    };
    if name == "QuotaExceededError" { Refusal::Full } else { Refusal::Other(error.to_string()) }
}

fn name_of(thrown: &JsValue) -> String {
    get(thrown, "name").as_string().unwrap_or_default()
}

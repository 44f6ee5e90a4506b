//! Every run that the page knows, the newest first: measured here, kept from visits before, imported, received,
//! published. What is on the page is the truth; the browser's storage follows it, and where it cannot, the page says so
//! and goes on from memory.

pub(crate) mod files;
pub(crate) mod list;
pub(crate) mod published;
pub(crate) mod record;
pub(crate) mod share;
mod trouble;

use crate::format::sorted::{falling, sort};
use crate::host::web::store::{Origin, Refusal, Store, Stored};
use crate::measure::report::Entry;
use crate::measure::report::read::read;
use leptos::prelude::*;
use leptos::task::spawn_local;
use record::{Place, Record, RecordId, tidy_name};
use std::rc::Rc;
use std::sync::Arc;
pub(crate) use trouble::{Storage, Troubles};

/// Handles to all of it, to be copied freely.
#[derive(Clone, Copy)]
pub(crate) struct History {
    /// The newest first.
    pub(crate) records: RwSignal<Vec<Record>>,
    /// The one whose figures are on show.
    pub(crate) open: RwSignal<Option<RecordId>>,
    /// The one that a link brought, until it is dismissed.
    pub(crate) received: RwSignal<Option<RecordId>>,
    /// Those deleted last, until the next are.
    pub(crate) deleted: RwSignal<Vec<Record>>,
    /// How the browser's storage does.
    pub(crate) storage: RwSignal<Storage>,
    /// What went wrong with files and links.
    pub(crate) troubles: RwSignal<Vec<String>>,
    /// What was done last, for the eye and for screen readers.
    pub(crate) said: RwSignal<String>,
    /// A text to be copied by hand, where the page may not.
    pub(crate) to_copy: RwSignal<Option<String>>,
    store: StoredValue<Option<Rc<Store>>, LocalStorage>,
}

impl History {
    /// With nothing in it yet.
    pub(crate) fn new() -> Self {
        Self {
            records: RwSignal::new(Vec::new()),
            open: RwSignal::new(None),
            received: RwSignal::new(None),
            deleted: RwSignal::new(Vec::new()),
            storage: RwSignal::new(Storage::Opening),
            troubles: RwSignal::new(Vec::new()),
            said: RwSignal::new(String::new()),
            to_copy: RwSignal::new(None),
            store: StoredValue::new_local(None),
        }
    }

    /// Brings back what the browser keeps, and then keeps what has come meanwhile.
    pub(crate) fn open_storage(self) {
        spawn_local(async move {
            match self.read_storage().await {
                Ok(n_unread) => {
                    self.storage.set(Storage::Works);
                    if n_unread > 0 {
                        self.complain(format!(
                            "{n_unread} of the runs that this browser keeps cannot be read by this version of the page. \
                             They stay where they are."
                        ));
                    }
                    self.save_rest();
                }
                Err(refusal) => self.storage.set(Storage::of(refusal)),
            }
        });
    }

    async fn read_storage(self) -> Result<usize, Refusal> {
        let store = Store::open().await?;
        let (stored, mut n_unread) = store.all().await?;
        let n_stored = stored.len();
        let mut read: Vec<Record> = stored.into_iter().filter_map(restore).collect();
        n_unread += n_stored - read.len();
        self.records.update(|records| {
            read.retain(|record| records.iter().all(|known| known.id != record.id));
            records.append(&mut read);
            newest_first(records);
        });
        self.store.set_value(Some(Rc::new(store)));
        Ok(n_unread)
    }

    /// Takes in what came just now, and gives its number.
    pub(crate) fn add(self, entry: Entry, origin: Origin) -> RecordId {
        let record = Record::new(entry, origin);
        let id = record.id;
        let is_to_keep = record.place == Place::Unsaved;
        self.records.update(|records| records.insert(0, record));
        if is_to_keep {
            self.save(vec![id]);
        }
        id
    }

    /// Changes one run, and keeps the change if the run is kept.
    pub(crate) fn change(self, id: RecordId, change: impl FnOnce(&mut Record)) {
        let mut is_to_keep = false;
        self.records.update(|records| {
            if let Some(record) = records.iter_mut().find(|record| record.id == id) {
                change(record);
                is_to_keep = record.place != Place::Passing;
                if is_to_keep {
                    record.place = Place::Unsaved;
                }
            }
        });
        if is_to_keep {
            self.save(vec![id]);
        }
    }

    /// Gives a run another name; a name of nothing but blanks changes nothing.
    pub(crate) fn rename(self, id: RecordId, typed: &str) {
        if let Some(name) = tidy_name(typed) {
            self.said.set(format!("It is called {name} now."));
            self.change(id, |record| record.name = name);
        }
    }

    /// Keeps a run that was only on the page.
    pub(crate) fn keep(self, id: RecordId) {
        self.said.set("It is kept in this browser.".into());
        self.change(id, |record| record.place = Place::Unsaved);
    }

    /// Takes runs off the page and out of storage. They can be brought back until others are deleted.
    pub(crate) fn delete(self, ids: &[RecordId]) {
        let mut gone = Vec::new();
        self.records.update(|records| {
            gone = records.extract_if(.., |record| ids.contains(&record.id)).collect();
        });
        let stored: Vec<f64> = gone.iter().filter(|r| r.place != Place::Passing).map(|r| r.id as f64).collect();
        self.deleted.set(gone);
        if let (Some(store), false) = (self.store.get_value(), stored.is_empty()) {
            spawn_local(async move {
                if let Err(refusal) = store.remove(&stored).await {
                    self.storage.set(Storage::of(refusal));
                }
                // Where it was full there may be room now.
                self.save_rest();
            });
        }
    }

    /// Brings back what was deleted last.
    pub(crate) fn undelete(self) {
        let mut back = self.deleted.get_untracked();
        self.deleted.set(Vec::new());
        let mut ids = Vec::new();
        for record in &mut back {
            if record.place != Place::Passing {
                record.place = Place::Unsaved;
                ids.push(record.id);
            }
        }
        self.records.update(|records| {
            records.append(&mut back);
            newest_first(records);
        });
        self.said.set("Brought back.".into());
        self.save(ids);
    }

    /// Tries again to keep what is not kept yet.
    pub(crate) fn save_rest(self) {
        let unsaved = |records: &Vec<Record>| -> Vec<RecordId> {
            records.iter().filter(|record| record.place == Place::Unsaved).map(|record| record.id).collect()
        };
        self.save(self.records.with_untracked(unsaved));
    }

    /// After the person has made room, or allowed storage: tries once more.
    pub(crate) fn try_again(self) {
        if self.store.with_value(Option::is_some) { self.save_rest() } else { self.open_storage() }
    }

    /// The run of that number.
    pub(crate) fn find(self, id: RecordId) -> Option<Record> {
        self.records.with_untracked(|records| records.iter().find(|record| record.id == id).cloned())
    }

    /// The number of a run with the very same report.
    pub(crate) fn find_same(self, entry: &Entry) -> Option<RecordId> {
        self.records.with_untracked(|all| all.iter().find(|record| *record.entry == *entry).map(|record| record.id))
    }

    /// Says what went wrong, until it is closed.
    pub(crate) fn complain(self, message: String) {
        self.troubles.update(|troubles| {
            troubles.retain(|known| *known != message);
            troubles.push(message);
        });
    }

    /// Writes runs as they are now. Until storage is open, and where there is none, they wait in memory.
    fn save(self, ids: Vec<RecordId>) {
        let Some(store) = self.store.get_value() else { return };
        if ids.is_empty() {
            return;
        }
        spawn_local(async move {
            let records: Vec<Record> = ids.iter().filter_map(|id| self.find(*id)).collect();
            let stored: Vec<Stored> = records.iter().map(Record::stored).collect();
            match store.put(&stored).await {
                Ok(()) => {
                    self.mark_stored(&records);
                    self.storage.set(Storage::Works);
                }
                Err(refusal) => self.storage.set(Storage::of(refusal)),
            }
        });
    }

    /// What was changed while it was being written is not stored as it is now.
    fn mark_stored(self, written: &[Record]) {
        self.records.update(|records| {
            for record in records.iter_mut().filter(|record| written.contains(record)) {
                record.place = Place::Stored;
            }
        });
    }
}

fn newest_first(records: &mut [Record]) {
    sort(records, |record| falling(record.added_ms));
}

/// A run out of storage, if its report can still be read.
fn restore(stored: Stored) -> Option<Record> {
    let entry = read(&stored.json).ok()?.pop()?;
    let Stored { id, name, added_ms, origin, compared, .. } = stored;
    let place = Place::Stored;
    Some(Record { id: id as u64, name, added_ms, origin, compared, place, entry: Arc::new(entry) })
}

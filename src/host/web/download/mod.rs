//! Models over the web, at the worker's end: found on a hub, fetched piece by piece into the browser's file system, kept
//! there from visit to visit, and read by the engine while they still arrive. The decisions are in
//! [`crate::host::arrival`]; here is what a browser has to do with it.

mod arriving;
mod fetch;
mod find;
pub(super) mod hashing;
mod place;
pub(crate) mod words;

use super::folder::{Folder, OpenFile, room};
use super::prompt_cache;
use super::protocol::Event;
use super::source::BlobSource;
use super::worker::post;
use crate::error::{Error, Result};
use crate::format::sorted::{falling, sort};
use crate::format::source::{Reading, Source, check_range};
use crate::host::arrival::{Plan, Progress, Record};
use arriving::Arriving;
use js_sys::Date;
use place::{COMPLETE, PROGRESS, Place, file_name};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use wasm_bindgen_futures::spawn_local;
use web_sys::DedicatedWorkerGlobalScope;
use words::{Ask, Row, Shelf, Stage, Told};

/// The window is told of progress no more often than this.
const TELL_MS: f64 = 150.0;

/// All models from the web.
pub(super) struct Models {
    scope: DedicatedWorkerGlobalScope,
    shelf: RefCell<Shelf>,
    /// Those that are under way, or were.
    arriving: RefCell<BTreeMap<String, Rc<Arriving>>>,
    told_ms: Cell<f64>,
    /// Looks begun: one that was overtaken by a later one says nothing.
    n_looks: Cell<u64>,
}

/// A model to be loaded.
pub(super) struct Opened {
    pub(super) sources: Vec<Rc<dyn Source>>,
    arriving: Option<Rc<Arriving>>,
    kept: Vec<Rc<KeptFile>>,
}

/// A file of a model that is kept. While the model is loaded it is open, which is many times as fast as reading a blob; then
/// no longer, so that it can be deleted.
struct KeptFile {
    open: RefCell<Option<OpenFile>>,
    blob: BlobSource,
}

impl Source for KeptFile {
    fn bytes(&self) -> u64 {
        self.blob.bytes()
    }

    fn name(&self) -> &str {
        self.blob.name()
    }

    fn read_at<'a>(&'a self, offset: u64, buffer: &'a mut [u8]) -> Reading<'a> {
        match &*self.open.borrow() {
            Some(open) => {
                let read = check_range(self, offset, buffer.len()).and_then(|()| open.read_at(offset, buffer));
                Box::pin(std::future::ready(read))
            }
            None => self.blob.read_at(offset, buffer),
        }
    }
}

impl Opened {
    /// Waits until all of it has come and was found to be right; a model that was kept already has been, and is closed.
    ///
    /// # Errors
    /// When it does not arrive, or is not what it should be.
    pub(super) async fn arrived(&self) -> Result<()> {
        match &self.arriving {
            Some(arriving) => arriving.wait().await,
            None => {
                self.kept.iter().for_each(|file| drop(file.open.take()));
                Ok(())
            }
        }
    }
}

impl Models {
    pub(super) fn new(scope: &DedicatedWorkerGlobalScope) -> Rc<Self> {
        Rc::new(Self {
            scope: scope.clone(),
            shelf: RefCell::default(),
            arriving: RefCell::default(),
            told_ms: Cell::new(0.0),
            n_looks: Cell::new(0),
        })
    }

    /// Does what the window asks, beside what else the worker does.
    pub(super) fn hear(self: &Rc<Self>, ask: Ask) {
        let models = Rc::clone(self);
        spawn_local(async move {
            match ask {
                Ask::List => models.look().await,
                Ask::Find { job, words, hub } => {
                    let found = find::find(&models.scope, &words, &hub).await.map_err(|error| error.to_string());
                    models.tell(Told::Found { job, found });
                }
                Ask::Get { job, plan } => {
                    let ended = models.get(&plan).await.map_err(|error| error.to_string());
                    models.tell(Told::Ended { job, ended });
                }
                Ask::Stop { id } => {
                    if let Some(arriving) = models.under_way(&id) {
                        arriving.stop();
                    }
                }
                Ask::Remove { job, id } => {
                    let ended = models.remove(&id).await.map_err(|error| error.to_string());
                    models.tell(Told::Ended { job, ended });
                }
                Ask::RemovePrompts { job } => {
                    let ended = prompt_cache::remove_all(&models.scope).await.map_err(|error| error.to_string());
                    models.look().await;
                    models.tell(Told::Ended { job, ended });
                }
            }
        });
    }

    /// The files of a model: those that are kept, or else those that arrive now.
    ///
    /// # Errors
    /// When it can neither be read nor fetched.
    pub(super) async fn open(self: &Rc<Self>, plan: &Plan) -> Result<Opened> {
        if let Some((folder, record)) = self.kept(plan).await {
            let mut kept = Vec::new();
            for (file, planned) in record.plan.files.into_iter().enumerate() {
                let blob = folder.file(&file_name(file)).await?;
                if blob.size() != planned.bytes as f64 {
                    return Err(Error::io(planned.name, format!("{} bytes are kept of it", blob.size()))
                        .expected(format!("{} bytes", planned.bytes))
                        .advice("The browser has lost a part of it: delete the model and download it again."));
                }
                let open = RefCell::new(folder.open_to_read(&file_name(file)).await);
                kept.push(Rc::new(KeptFile { open, blob: BlobSource::new(planned.name, blob.into()) }));
            }
            let sources = kept.iter().map(|file| -> Rc<dyn Source> { Rc::<KeptFile>::clone(file) }).collect();
            return Ok(Opened { sources, arriving: None, kept });
        }
        let arriving = self.start(plan, true).await?;
        Ok(Opened { sources: arriving.sources(), arriving: Some(arriving), kept: Vec::new() })
    }

    /// Fetches a model to keep it.
    async fn get(self: &Rc<Self>, plan: &Plan) -> Result<()> {
        if self.kept(plan).await.is_some() {
            return Ok(());
        }
        self.start(plan, false).await?.wait().await
    }

    async fn kept(&self, plan: &Plan) -> Option<(Folder, Record)> {
        let folder = Folder::of_models(&self.scope).await.ok()?.folder_if_there(&plan.id()).await?;
        let record = Record::parse(&folder.text(COMPLETE).await?).ok()?;
        Some((folder, record))
    }

    /// Begins to fetch a model, or goes on, unless it is under way. Where nothing can be kept it may go to memory.
    async fn start(self: &Rc<Self>, plan: &Plan, or_in_memory: bool) -> Result<Rc<Arriving>> {
        plan.check()?;
        let id = plan.id();
        if let Some(arriving) = self.under_way(&id) {
            return Ok(arriving);
        }
        let new = || Progress::new(plan.clone(), Date::now());
        let (progress, place) = match Folder::of_models(&self.scope).await {
            Ok(models) => {
                let folder = models.folder(&id).await?;
                let known = folder.text(PROGRESS).await.and_then(|text| Progress::parse(&text).ok());
                let progress = known.filter(|known| known.plan.id() == id && is_same(&known.plan, plan));
                let progress = progress.unwrap_or_else(new);
                self.check_room(&progress).await?;
                (progress, Place::in_folder(folder, plan.files.len()).await?)
            }
            Err(_) if or_in_memory => (new(), Place::Memory(RefCell::default())),
            Err(error) => return Err(error.advice(KEEPS_NOTHING)),
        };
        // Somebody else may have been quicker, while the browser was being asked.
        if let Some(arriving) = self.under_way(&id) {
            return Ok(arriving);
        }
        let (models, of) = (Rc::downgrade(self), id.clone());
        let on_change = move || {
            if let Some(models) = models.upgrade() {
                models.changed(&of);
            }
        };
        let arriving = Arriving::start(&self.scope, progress, place, Box::new(on_change))?;
        self.arriving.borrow_mut().insert(id, Rc::clone(&arriving));
        self.look().await;
        Ok(arriving)
    }

    /// Fails where what is missing is more than the browser would keep.
    async fn check_room(&self, progress: &Progress) -> Result<()> {
        let missing = progress.plan.bytes() - progress.pieces().bytes();
        let room = room(&self.scope).await;
        let free = room.quota - room.used;
        if room.quota == 0.0 || missing as f64 <= free {
            return Ok(());
        }
        let megabytes = |bytes: f64| format!("{:.0} MB", (bytes / 1e6).max(0.0));
        Err(Error::io(&*progress.plan.title, format!("{} are missing of it", megabytes(missing as f64)))
            .expected(format!("at most {}, for which the browser has room", megabytes(free)))
            .advice("Delete models that you no longer need, or free space on the disk."))
    }

    async fn remove(self: &Rc<Self>, id: &str) -> Result<()> {
        let arriving = self.arriving.borrow_mut().remove(id);
        if let Some(arriving) = arriving {
            arriving.stop();
        }
        prompt_cache::remove(&self.scope, id).await;
        let removed = match Folder::of_models(&self.scope).await {
            Ok(models) => models.remove(id).await,
            Err(_) => Ok(()),
        };
        self.look().await;
        removed
    }

    fn under_way(&self, id: &str) -> Option<Rc<Arriving>> {
        self.arriving.borrow().get(id).filter(|arriving| arriving.ended().is_none()).cloned()
    }

    /// A model has come on a little, or has ended.
    fn changed(self: &Rc<Self>, id: &str) {
        let has_ended = self.under_way(id).is_none();
        if has_ended {
            // The window knows before those who wait for the end.
            self.tell_shelf();
            let models = Rc::clone(self);
            spawn_local(async move { models.look().await });
        } else if Date::now() - self.told_ms.get() >= TELL_MS {
            self.tell_shelf();
        }
    }

    /// Looks again at what there is, and tells it.
    async fn look(&self) {
        let turn = self.n_looks.get() + 1;
        self.n_looks.set(turn);
        let mut shelf = Shelf::default();
        match self.rows().await {
            Ok(rows) => shelf.rows = rows,
            Err(error) => shelf.trouble = Some(format!("{error}. {KEEPS_NOTHING}")),
        }
        for (id, arriving) in self.arriving.borrow().iter() {
            // What goes to memory has no folder.
            if arriving.ended().is_none() && shelf.rows.iter().all(|row| row.id != *id) {
                shelf.rows.push(row_of(id, arriving.plan(), Date::now(), Stage::Arriving));
            }
        }
        sort(&mut shelf.rows, |row| falling(row.date_ms));
        shelf.prompts = prompt_cache::bytes(&self.scope).await.unwrap_or(0.0);
        let room = room(&self.scope).await;
        (shelf.used, shelf.quota) = (room.used, room.quota);
        if self.n_looks.get() != turn {
            return;
        }
        *self.shelf.borrow_mut() = shelf;
        self.tell_shelf();
    }

    async fn rows(&self) -> Result<Vec<Row>> {
        let models = Folder::of_models(&self.scope).await?;
        let mut rows = Vec::new();
        for id in models.names().await? {
            let Some(folder) = models.folder_if_there(&id).await else { continue };
            let complete = folder.text(COMPLETE).await.and_then(|text| Record::parse(&text).ok());
            if let Some(Record { plan, date_ms }) = complete {
                let done = plan.bytes() as f64;
                rows.push(Row { done, ..row_of(&id, plan, date_ms, Stage::Kept) });
                continue;
            }
            let progress = folder.text(PROGRESS).await.and_then(|text| Progress::parse(&text).ok());
            let arriving = self.arriving.borrow().get(&id).cloned();
            rows.push(match (progress, arriving) {
                (Some(progress), _) => {
                    let done = progress.pieces().bytes() as f64;
                    Row { done, ..row_of(&id, progress.plan, progress.date_ms, Stage::Interrupted(None)) }
                }
                // Its records are being written just now.
                (None, Some(arriving)) => row_of(&id, arriving.plan(), Date::now(), Stage::Arriving),
                (None, None) => row_of(&id, Plan { title: id.clone(), files: Vec::new() }, 0.0, Stage::Unreadable),
            });
        }
        Ok(rows)
    }

    /// Tells the shelf as it was found last, with what has come since.
    fn tell_shelf(&self) {
        self.told_ms.set(Date::now());
        let mut shelf = self.shelf.borrow().clone();
        let all = self.arriving.borrow();
        for row in &mut shelf.rows {
            let Some(arriving) = all.get(&row.id) else { continue };
            match (arriving.ended(), &row.stage) {
                (_, Stage::Kept) => continue,
                (Some(Ok(())), _) => row.stage = Stage::Kept,
                (None, _) => row.stage = Stage::Arriving,
                (Some(Err(error)), _) => row.stage = Stage::Interrupted(Some(error.to_string())),
            }
            let (done, per_s) = arriving.progress();
            (row.done, row.per_s) = (done as f64, per_s);
        }
        self.tell(Told::Shelf(shelf));
    }

    fn tell(&self, told: Told) {
        post(&self.scope, &Event::Models(told));
    }
}

const KEEPS_NOTHING: &str = "This browser keeps no files for this page (a private window, or a setting): a model can still be loaded, \
                             and is downloaded again each time.";

/// The record has hashes that the plan may lack.
fn is_same(known: &Plan, plan: &Plan) -> bool {
    known.files.iter().map(|file| file.bytes).eq(plan.files.iter().map(|file| file.bytes))
}

fn row_of(id: &str, plan: Plan, date_ms: f64, stage: Stage) -> Row {
    Row { id: id.to_owned(), plan, done: 0.0, per_s: 0.0, date_ms, stage }
}

//! A model on its way: a few requests at a time fetch its pieces, each goes to its place as it comes, the hash follows
//! behind, and a reader of a part that is not there yet waits for it, and it is fetched next. So a model is moved to
//! the GPU while it is downloaded, and never lies in memory whole.

use super::fetch::{Body, ask, sleep};
use super::hashing::Hasher;
use super::place::Place;
use crate::error::{Error, Result};
use crate::format::source::{Reading, Source, check_range};
use crate::host::arrival::{
    Answer, Asked, Piece, PieceMap, Plan, PlanFile, Progress, Record, Refusal, Serving, Speed, judge, unreachable,
};
use crate::host::web::giving_way::turn;
use crate::host::web::source::get;
use futures_channel::oneshot;
use js_sys::{Date, Uint8Array};
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use wasm_bindgen_futures::spawn_local;
use web_sys::{AbortController, DedicatedWorkerGlobalScope};

/// Requests under way at once: enough to fill a line, fewer than browsers allow to a host.
const N_REQUESTS: usize = 4;
/// A request is made so many times again, if nothing at all came of it,
const MOST_TRIES: u32 = 3;
/// after this pause at first, then twice as long, and so on.
const FIRST_PAUSE_MS: i32 = 250;
/// Where nothing arrives for so long, connections are taken for dead.
const PATIENCE_MS: f64 = 30_000.0;
/// Writing the record may take this share of the time: each waits for the disk.
const SAVE_SHARE: f64 = 0.05;
/// Bytes that are hashed at once.
const HASH_BYTES: u64 = 1 << 20;
/// On so few cores the hash waits until all has come, where more bytes than these come a second: it is a third of all the
/// work on the way to the GPU. Where less comes, it takes nothing from anybody.
const FEW_CORES: f64 = 2.0;
const FAST_PER_S: f64 = 100e6;

/// A model on its way.
pub(super) struct Arriving {
    scope: DedicatedWorkerGlobalScope,
    progress: RefCell<Progress>,
    pieces: RefCell<PieceMap>,
    place: Place,
    bell: Bell,
    abort: RefCell<AbortController>,
    ended: RefCell<Option<Result<()>>>,
    /// When bytes arrived last, and how fast they do.
    heard_ms: Cell<f64>,
    speed: Cell<Speed>,
    /// The record need not be written before this moment.
    save_ms: Cell<f64>,
    /// Called when something has changed.
    on_change: Box<dyn Fn()>,
}

/// Wakes those that wait for something to change.
#[derive(Default)]
struct Bell(RefCell<Vec<oneshot::Sender<()>>>);

impl Bell {
    fn ring(&self) {
        for waiting in self.0.take() {
            // Nobody need wait any longer.
            let _ = waiting.send(());
        }
    }

    async fn rung(&self) {
        let (sender, receiver) = oneshot::channel();
        self.0.borrow_mut().push(sender);
        let _ = receiver.await;
    }
}

impl Arriving {
    /// Goes on fetching a model from where its record says, until it is whole, or fails, or is stopped.
    ///
    /// # Errors
    /// Where the browser cannot break off requests.
    pub(super) fn start(
        scope: &DedicatedWorkerGlobalScope,
        progress: Progress,
        place: Place,
        on_change: Box<dyn Fn()>,
    ) -> Result<Rc<Self>> {
        let arriving = Rc::new(Self {
            scope: scope.clone(),
            pieces: RefCell::new(progress.pieces()),
            progress: RefCell::new(progress),
            place,
            bell: Bell::default(),
            abort: RefCell::new(new_abort()?),
            ended: RefCell::new(None),
            heard_ms: Cell::new(Date::now()),
            speed: Cell::default(),
            save_ms: Cell::default(),
            on_change,
        });
        // The lock on this model, and the place to go on from, are there before the first byte.
        arriving.save()?;
        for _ in 0..N_REQUESTS {
            spawn_local(Rc::clone(&arriving).fetch());
        }
        spawn_local(Rc::clone(&arriving).watch());
        spawn_local(Rc::clone(&arriving).finish());
        Ok(arriving)
    }

    /// Bytes that are there, and bytes per second.
    pub(super) fn progress(&self) -> (u64, f64) {
        (self.pieces.borrow().bytes(), self.speed.get().per_s().unwrap_or(0.0))
    }

    /// What it is.
    pub(super) fn plan(&self) -> Plan {
        self.progress.borrow().plan.clone()
    }

    /// How it ended, if it has.
    pub(super) fn ended(&self) -> Option<Result<()>> {
        self.ended.borrow().clone()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Why the model did not arrive.
    pub(super) async fn wait(&self) -> Result<()> {
        loop {
            if let Some(ended) = self.ended() {
                return ended;
            }
            self.bell.rung().await;
        }
    }

    /// Stops fetching. What has arrived is kept.
    pub(super) fn stop(&self) {
        let error = Error::io(self.plan().title, "the download was stopped");
        self.end(Err(error.advice("What has arrived is kept: resume it any time.")));
    }

    /// The files, to be read as far as they have come, and beyond that when it has come.
    pub(super) fn sources(self: &Rc<Self>) -> Vec<Rc<dyn Source>> {
        let files = self.progress.borrow().plan.files.clone();
        let source = |(file, PlanFile { name, bytes, .. })| -> Rc<dyn Source> {
            Rc::new(ArrivingFile { arriving: Rc::clone(self), file, name, bytes })
        };
        files.into_iter().enumerate().map(source).collect()
    }

    /// The first end counts.
    fn end(&self, how: Result<()>) {
        let is_first = self.ended.borrow().is_none();
        if is_first {
            // What is there beside whole pieces counts too; where it cannot be recorded, it is fetched again.
            if how.is_err() {
                let _ = self.save();
            }
            *self.ended.borrow_mut() = Some(how);
            self.abort.borrow().abort();
            self.place.close();
            self.bell.ring();
            (self.on_change)();
        }
    }

    fn file(&self, file: usize) -> PlanFile {
        self.progress.borrow().plan.files[file].clone()
    }

    fn save(&self) -> Result<()> {
        let mut progress = self.progress.borrow_mut();
        progress.note(&self.pieces.borrow());
        self.place.save(&progress)
    }

    /// Saves as often as that costs little.
    fn save_in_turn(&self) -> Result<()> {
        let begin_ms = Date::now();
        if begin_ms >= self.save_ms.get() {
            self.save()?;
            let now_ms = Date::now();
            self.save_ms.set(now_ms + (now_ms - begin_ms) / SAVE_SHARE);
        }
        Ok(())
    }

    /// Fetches one piece after the other.
    async fn fetch(self: Rc<Self>) {
        while self.ended.borrow().is_none() && !self.pieces.borrow().is_complete() {
            let next = self.pieces.borrow_mut().take_next();
            let Some(piece) = next else {
                self.bell.rung().await;
                continue;
            };
            let fetched = self.fetch_piece(piece).await;
            self.pieces.borrow_mut().give_up(piece);
            match fetched {
                Ok(()) => self.bell.ring(),
                Err(error) => self.end(Err(error)),
            }
        }
    }

    /// Fetches a piece, or the whole file where it is given out only so, in several goes if need be.
    async fn fetch_piece(&self, piece: Piece) -> Result<()> {
        let mut begin = piece.from;
        let mut n_tries = 0;
        loop {
            let before = begin;
            // Where a range is not allowed to pages of other sites, the whole may be.
            let with_range = n_tries % 2 == 0 || self.pieces.borrow().serving(piece.file) == Serving::Ranges;
            let Err(refusal) = self.request(piece, &mut begin, with_range).await else { return Ok(()) };
            if begin > before {
                n_tries = 0;
            }
            if !refusal.again || n_tries == MOST_TRIES || self.ended.borrow().is_some() {
                return Err(refusal.error);
            }
            sleep(&self.scope, FIRST_PAUSE_MS << n_tries).await;
            n_tries += 1;
        }
    }

    /// One request. `begin` moves on with the bytes of the piece that have come.
    async fn request(&self, piece: Piece, begin: &mut u64, with_range: bool) -> Result<(), Refusal> {
        let PlanFile { name, url, bytes: total, .. } = self.file(piece.file);
        let asked = Asked { begin: *begin, end: piece.end, total };
        let range = with_range.then_some(*begin..piece.end);
        let abort = self.abort.borrow().clone();
        let reply = ask(&self.scope, &url, range, "GET", &abort).await.map_err(|said| unreachable(&name, &said))?;
        let answer = judge(&name, asked, reply.status(), &|header| reply.header(header))?;
        if !self.progress.borrow_mut().is_same_version(piece.file, reply.version()) {
            let error = Error::io(&*name, "it has changed on the server since its first part came")
                .advice("Delete what was downloaded of it, and begin it again.");
            return Err(Refusal { error, again: false });
        }
        let range = match answer {
            Answer::Part => *begin..piece.end,
            Answer::Whole => 0..total,
        };
        self.now_serving(piece, &name, &range)?;
        let body = reply.body().map_err(|said| unreachable(&name, &said))?;
        self.receive(&name, piece, range, &body, begin).await
    }

    /// What the first answer tells of a file's server, it tells for the others.
    fn now_serving(&self, piece: Piece, name: &str, range: &Range<u64>) -> Result<(), Refusal> {
        let is_piece = range.start >= piece.begin && range.end == piece.end;
        let mut pieces = self.pieces.borrow_mut();
        match (pieces.serving(piece.file), is_piece) {
            (Serving::Ranges, false) => {
                let error = Error::io(name, "the server gave the whole file where a part was asked for");
                return Err(Refusal { error, again: true });
            }
            (Serving::Ranges, true) => {}
            (_, true) => pieces.set_serving(piece.file, Serving::Ranges),
            (_, false) => pieces.set_serving(piece.file, Serving::Whole),
        }
        drop(pieces);
        self.bell.ring();
        Ok(())
    }

    /// Takes the bytes of a range as they come.
    async fn receive(
        &self,
        name: &str,
        piece: Piece,
        range: Range<u64>,
        body: &Body,
        begin: &mut u64,
    ) -> Result<(), Refusal> {
        let mut at = range.start;
        while let Some(bytes) = body.next().await.map_err(|said| cut(name, at, &said))? {
            if self.ended.borrow().is_some() {
                return Err(cut(name, at, "it was ended"));
            }
            let n = u64::from(bytes.byte_length());
            if at + n > range.end {
                let error = Error::io(name, "the server sends more bytes than it said").expected(format!(
                    "{} bytes from byte {} on",
                    range.end - range.start,
                    range.start
                ));
                return Err(Refusal { error, again: false });
            }
            self.take(piece.file, at, &bytes).map_err(|error| Refusal { error, again: false })?;
            at += n;
            if range.start >= piece.begin {
                *begin = at;
            }
            self.heard();
        }
        if at < range.end { Err(cut(name, at, "it ends there")) } else { Ok(()) }
    }

    /// Puts bytes in their place, piece by piece where they reach over several.
    fn take(&self, file: usize, offset: u64, bytes: &Uint8Array) -> Result<()> {
        let end = offset + u64::from(bytes.byte_length());
        let mut at = offset;
        while at < end {
            let piece = self.pieces.borrow().piece_at(file, at);
            let to = piece.end.min(end);
            if !self.pieces.borrow().has(file, &(piece.begin..piece.end)) {
                let part = bytes.subarray((at - offset) as u32, (to - offset) as u32);
                self.place.write(piece, at, &part)?;
                self.pieces.borrow_mut().came(piece, to - piece.begin);
                if to == piece.end {
                    self.save_in_turn()?;
                    self.bell.ring();
                }
            }
            at = to;
        }
        Ok(())
    }

    fn heard(&self) {
        let now_ms = Date::now();
        self.heard_ms.set(now_ms);
        let mut speed = self.speed.get();
        speed.at(now_ms / 1e3, self.pieces.borrow().bytes());
        self.speed.set(speed);
        (self.on_change)();
    }

    /// Lets go of connections that are dead, and tells how fast it goes where nothing comes.
    async fn watch(self: Rc<Self>) {
        while self.ended.borrow().is_none() {
            sleep(&self.scope, 1000).await;
            let heard_ms = self.heard_ms.get();
            if Date::now() - heard_ms > PATIENCE_MS
                && let Ok(abort) = new_abort()
            {
                self.abort.replace(abort).abort();
                self.heard_ms.set(Date::now());
            } else if Date::now() - heard_ms > 1000.0 {
                self.heard();
                self.heard_ms.set(heard_ms);
            }
        }
    }

    /// Checks the files as they come, and commits them.
    async fn finish(self: Rc<Self>) {
        let finished = async {
            let mut plan = self.progress.borrow().plan.clone();
            for file in 0..plan.files.len() {
                plan.files[file].sha256 = Some(self.check(file).await?);
            }
            self.place.commit(&Record { plan, date_ms: Date::now() }).await
        };
        let finished = finished.await;
        self.end(finished);
    }

    /// The hash of a file, once all of it has come. Fails, throwing the file away, where it is another than was said.
    async fn check(&self, file: usize) -> Result<String> {
        let PlanFile { name, bytes, sha256: expected, .. } = self.file(file);
        let found = match self.hash(file, Hasher::of(bytes)).await? {
            Some(found) => found,
            // The thread beside this one has failed.
            None => self.hash(file, Hasher::here()).await?.unwrap_or_default(),
        };
        match expected {
            Some(expected) if expected != found => {
                self.pieces.borrow_mut().forget(file);
                self.place.clear(file)?;
                self.save()?;
                Err(Error::io(name, format!("its SHA-256 is {found}")).expected(expected).advice(
                    "What came is not what its publisher has, and was deleted: damaged on the way, or replaced there. Try again.",
                ))
            }
            _ => Ok(found),
        }
    }

    /// The hash of a file as it comes; None where the hasher fails.
    async fn hash(&self, file: usize, mut hasher: Hasher) -> Result<Option<String>> {
        let PlanFile { name, bytes, .. } = self.file(file);
        let mut buffer = Vec::new();
        let mut at = 0;
        while at < bytes {
            while self.needs_all_cores() {
                self.bell.rung().await;
            }
            buffer.resize(HASH_BYTES.min(bytes - at) as usize, 0);
            self.read(file, &name, at, &mut buffer, false).await?;
            if hasher.update(&buffer).await.is_none() {
                return Ok(None);
            }
            at += buffer.len() as u64;
            // Where everything is there already, messages could not be heard otherwise.
            turn().await;
        }
        Ok(hasher.finish().await)
    }

    /// Whether to hash now would keep others waiting; never once all has come, or nothing more will.
    fn needs_all_cores(&self) -> bool {
        let n_cores = get(&self.scope.navigator(), "hardwareConcurrency").as_f64();
        n_cores.is_some_and(|n| n <= FEW_CORES)
            && self.speed.get().per_s().is_none_or(|per_s| per_s > FAST_PER_S)
            && self.ended.borrow().is_none()
            && !self.pieces.borrow().is_complete()
    }

    /// Fills `buffer` as soon as its bytes are there; they are fetched next if they are wanted.
    async fn read(&self, file: usize, name: &str, offset: u64, buffer: &mut [u8], wanted: bool) -> Result<()> {
        let range = offset..offset + buffer.len() as u64;
        while !self.pieces.borrow().has(file, &range) {
            if let Some(Err(error)) = self.ended() {
                return Err(error);
            }
            if wanted {
                self.pieces.borrow_mut().want(file, &range);
            }
            self.bell.rung().await;
        }
        self.place.read(file, name, offset, buffer).await
    }
}

/// A file of a model on its way.
struct ArrivingFile {
    arriving: Rc<Arriving>,
    file: usize,
    name: String,
    bytes: u64,
}

impl Source for ArrivingFile {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn read_at<'a>(&'a self, offset: u64, buffer: &'a mut [u8]) -> Reading<'a> {
        Box::pin(async move {
            check_range(self, offset, buffer.len())?;
            self.arriving.read(self.file, &self.name, offset, buffer, true).await
        })
    }
}

fn new_abort() -> Result<AbortController> {
    AbortController::new().map_err(|_| Error::io("the download", "this browser cannot break off a request"))
}

fn cut(name: &str, at: u64, said: &str) -> Refusal {
    let error = Error::io(name, format!("the connection was cut at byte {at} ({})", said.trim_end_matches('.')))
        .advice("What has arrived is kept: resume it any time.");
    Refusal { error, again: true }
}

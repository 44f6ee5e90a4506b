//! The window's end of the line to the worker: starts it, sends requests, matches answers to those who wait.

use super::controls::random_seed;
use super::models::hub;
use super::route::View;
use super::state::Page;
use super::write::OPENINGS;
use crate::host::arrival::Plan;
use crate::host::web::chatting::Asking;
use crate::host::web::download::words::{Ask, Told};
use crate::host::web::protocol::{Event, Executor, Job, Measurement, ModelFile, NoGpu, Power, Request, Settings};
use crate::host::web::source::{get, message_of};
use futures_channel::oneshot;
use leptos::prelude::{GetUntracked, Set};
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::Closure;
use web_sys::{ErrorEvent, MessageEvent, Worker, WorkerOptions, WorkerType};

/// What becomes of a request: a plain JavaScript object, or a message.
pub(crate) type Answer = Result<JsValue, String>;

/// How long the page writes by itself when it opens: long enough for a steady figure.
const INTRODUCTION_MS: f64 = 2500.0;
const INTRODUCTION_TOKENS: u32 = 512;

/// The line to the worker, and what a new worker would need to be told.
pub(crate) struct Link {
    page: Page,
    worker: RefCell<Option<Line>>,
    waiting: RefCell<HashMap<Job, oneshot::Sender<Answer>>>,
    last_job: Cell<Job>,
    executor: Cell<Executor>,
    /// Which of the browser's adapters is in use.
    power: Cell<Power>,
    /// The model that works, and the one being loaded.
    model: RefCell<ModelFile>,
    coming: RefCell<Option<(Job, ModelFile)>>,
    /// Room that was asked for with the last load.
    n_context: Cell<Option<u32>>,
    /// Whether the first model has written by itself, or will not.
    has_introduced: Cell<bool>,
}

/// A running worker with the closures that listen to it. Requests wait in `unsent` until it is up.
struct Line {
    worker: Worker,
    unsent: Option<Vec<Request>>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(ErrorEvent)>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.worker.terminate();
    }
}

impl Link {
    /// A line with nobody at the other end yet.
    pub(crate) fn new(page: Page) -> Rc<Self> {
        Rc::new(Self {
            page,
            worker: RefCell::new(None),
            waiting: RefCell::default(),
            last_job: Cell::new(0),
            executor: Cell::new(Executor::Gpu),
            power: Cell::default(),
            model: RefCell::new(ModelFile::Embedded),
            coming: RefCell::new(None),
            n_context: Cell::new(None),
            has_introduced: Cell::new(false),
        })
    }

    /// Starts a fresh worker in place of any other, and loads the model that worked last.
    pub(crate) fn start(self: &Rc<Self>, executor: Executor) {
        self.executor.set(executor);
        for (_, waiting) in self.waiting.borrow_mut().drain() {
            let _ = waiting.send(Err("the worker was started again".into()));
        }
        match self.spawn() {
            Ok(line) => {
                *self.worker.borrow_mut() = Some(line);
                self.send(Request::Models(Ask::List));
                let model = self.model.borrow().clone();
                drop(self.load_on(model, self.power.get()));
            }
            Err(e) => self.page.hear(Event::Lost { message: format!("The worker did not start: {}.", message_of(&e)) }),
        }
    }

    /// Loads a model beside the one that works.
    pub(crate) fn load(&self, model: ModelFile) -> oneshot::Receiver<Answer> {
        self.n_context.set(None);
        self.load_on(model, self.power.get())
    }

    /// Loads a model from the web, with room for the context that was chosen there.
    pub(crate) fn load_from_web(&self, plan: Plan) -> oneshot::Receiver<Answer> {
        self.n_context.set(Some(self.page.models.n_context.get_untracked()));
        self.load_on(ModelFile::Web(plan), self.power.get())
    }

    /// Finds out which files on the hub a person's words mean.
    pub(crate) fn find_model(&self, words: String) -> oneshot::Receiver<Answer> {
        self.ask(|job| Ask::Find { job, words, hub: hub() })
    }

    /// Fetches a model, or what is missing of it, to keep it.
    pub(crate) fn get_model(&self, plan: Plan) -> oneshot::Receiver<Answer> {
        self.ask(|job| Ask::Get { job, plan })
    }

    /// Deletes a model, or what has arrived of it.
    pub(crate) fn remove_model(&self, id: String) -> oneshot::Receiver<Answer> {
        self.ask(|job| Ask::Remove { job, id })
    }

    /// Deletes what was computed of conversations.
    pub(crate) fn remove_prompts(&self) -> oneshot::Receiver<Answer> {
        self.ask(|job| Ask::RemovePrompts { job })
    }

    /// Stops fetching a model. What has arrived is kept.
    pub(crate) fn stop_download(&self, id: String) {
        self.send(Request::Models(Ask::Stop { id }));
    }

    fn ask(&self, ask: impl FnOnce(Job) -> Ask) -> oneshot::Receiver<Answer> {
        let (job, answer) = self.open_job();
        self.send(Request::Models(ask(job)));
        answer
    }

    /// Loads the model that works on the other of the browser's adapters.
    pub(crate) fn change_adapter(&self) -> oneshot::Receiver<Answer> {
        let model = self.model.borrow().clone();
        self.load_on(model, self.power.get().other())
    }

    fn load_on(&self, model: ModelFile, power: Power) -> oneshot::Receiver<Answer> {
        // Otherwise the load would wait for the continuation under way.
        self.stop();
        self.page.begin_load();
        let (job, answer) = self.open_job();
        *self.coming.borrow_mut() = Some((job, model.clone()));
        self.send(Request::Load { job, model, executor: self.executor.get(), power, n_context: self.n_context.get() });
        answer
    }

    /// Continues `prompt` by up to `n_tokens`.
    pub(crate) fn generate(&self, prompt: String, n_tokens: u32, sampling: Settings) -> oneshot::Receiver<Answer> {
        self.page.begin_run(&prompt, &sampling);
        let (job, answer) = self.open_job();
        self.send(Request::Generate { job, prompt, n_tokens, sampling });
        answer
    }

    /// Says something to the model, or asks for its last answer again.
    pub(crate) fn chat(&self, asking: Asking) -> oneshot::Receiver<Answer> {
        self.page.begin_answer(asking.question.as_deref());
        let (job, answer) = self.open_job();
        self.send(Request::Chat { job, asking });
        answer
    }

    /// Goes on with a conversation from elsewhere, as JSON.
    pub(crate) fn recall(&self, json: String) -> oneshot::Receiver<Answer> {
        let (job, answer) = self.open_job();
        self.send(Request::Recall { job, json });
        answer
    }

    /// Begins a new conversation.
    pub(crate) fn forget(&self) {
        self.page.talk.forget();
        self.send(Request::Forget);
    }

    /// Measures the adapter, or the model on it.
    pub(crate) fn measure(&self, what: Measurement) -> oneshot::Receiver<Answer> {
        self.page.begin_measurement(match what {
            Measurement::Probe => "Probe",
            Measurement::Bench(_) => "Bench",
            Measurement::Verify => "Verify",
            Measurement::Tune => "Tune",
            Measurement::Test(..) => "Test",
        });
        let (job, answer) = self.open_job();
        self.send(Request::Measure { job, what });
        answer
    }

    /// Ends the continuation or the measurement under way.
    pub(crate) fn stop(&self) {
        self.send(Request::Stop);
    }

    /// Log-probabilities of every position of `ids`.
    pub(crate) fn eval(&self, ids: Vec<u32>) -> oneshot::Receiver<Answer> {
        let (job, answer) = self.open_job();
        self.send(Request::Eval { job, ids });
        answer
    }

    fn open_job(&self) -> (Job, oneshot::Receiver<Answer>) {
        let job = self.last_job.get() + 1;
        self.last_job.set(job);
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert(job, sender);
        (job, receiver)
    }

    fn send(&self, request: Request) {
        let mut line = self.worker.borrow_mut();
        let Some(line) = line.as_mut() else { return };
        if let Some(unsent) = &mut line.unsent {
            unsent.push(request);
        } else {
            post(&line.worker, &request);
        }
    }

    fn spawn(self: &Rc<Self>) -> Result<Line, JsValue> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        // Relative to the page, so that the folder works under any path.
        let worker = Worker::new_with_options("./worker.js", &options)?;
        worker.post_message(&wasm_bindgen::module())?;
        let link = Rc::downgrade(self);
        let on_message = Closure::new(move |message: MessageEvent| {
            if let Some(link) = link.upgrade() {
                link.hear(message.data());
            }
        });
        let link = Rc::downgrade(self);
        let on_error = Closure::new(move |error: ErrorEvent| {
            if let Some(link) = link.upgrade() {
                // A script that cannot be fetched gives an event without a message.
                let said =
                    get(&error, "message").as_string().unwrap_or_else(|| "its script could not be loaded".into());
                link.receive(Event::Lost { message: format!("The worker failed: {said}.") });
            }
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        Ok(Line { worker, unsent: Some(Vec::new()), _on_message: on_message, _on_error: on_error })
    }

    fn hear(&self, data: JsValue) {
        match serde_wasm_bindgen::from_value(data) {
            Ok(event) => self.receive(event),
            Err(e) => self.receive(Event::Lost { message: format!("The worker said something odd: {e}.") }),
        }
    }

    fn receive(&self, event: Event) {
        match &event {
            Event::Up => self.flush(),
            Event::Loaded { job, model, .. } => {
                if let Some((_, file)) = self.coming.borrow_mut().take_if(|(coming, _)| coming == job) {
                    *self.model.borrow_mut() = file;
                }
                self.answer(*job, Ok(plain(model)));
            }
            Event::Done { job, text, ids, stopped, .. } => {
                self.answer(*job, Ok(plain(&Continuation { text, ids, stopped: *stopped })));
            }
            Event::Answered { job, answered, .. } => self.answer(*job, Ok(plain(answered))),
            Event::Recalled { job, .. } => self.answer(*job, Ok(JsValue::UNDEFINED)),
            Event::Evaluated { job, top, n_vocab, log_probs } => {
                let log_probs = log_probs.clone();
                let evaluation = Evaluation { top, n_vocab: *n_vocab, log_probs };
                self.answer(*job, serde_wasm_bindgen::to_value(&evaluation).map_err(|e| e.to_string()));
            }
            Event::Measured { job, report, .. } => self.answer(*job, Ok(plain(report))),
            Event::Models(Told::Found { job, found }) => {
                self.answer(*job, found.as_ref().map(plain).map_err(Clone::clone));
            }
            Event::Models(Told::Ended { job, ended }) => {
                self.answer(*job, ended.as_ref().map(|()| JsValue::UNDEFINED).map_err(Clone::clone));
            }
            Event::Failed { job, message } => self.answer(*job, Err(message.clone())),
            Event::NoGpu { .. } => self.fail_all("there is no GPU to run on"),
            Event::Lost { message } => self.fail_all(message),
            Event::Adapter(card) => self.power.set(card.power),
            Event::Progress(_)
            | Event::Token { .. }
            | Event::Answering(_)
            | Event::Measuring { .. }
            | Event::Partial(_)
            | Event::NotRecalled { .. }
            | Event::Models(Told::Shelf(_)) => {}
        }
        let arrived = matches!(event, Event::Loaded { .. });
        // The CPU is fast enough for the toy, and for nothing else.
        let is_without_gpu = matches!(event, Event::NoGpu { .. });
        let written_ms = if let Event::Token { elapsed_ms, .. } = event { elapsed_ms } else { 0.0 };
        self.page.hear(match event {
            Event::NoGpu { reason: NoGpu::NoApi } if window_has_webgpu() => {
                Event::NoGpu { reason: NoGpu::NoApiInWorker }
            }
            other => other,
        });
        if arrived {
            self.introduce();
        }
        if is_without_gpu && self.is_embedded() {
            self.executor.set(Executor::Cpu);
            drop(self.load(ModelFile::Embedded));
        }
        if written_ms > INTRODUCTION_MS && self.page.is_introducing.get_untracked() {
            self.stop();
        }
    }

    /// The first model that loads writes a short text by itself, where somebody looks at what it shows: how fast.
    fn introduce(&self) {
        let is_first = !self.has_introduced.replace(true);
        let is_watched =
            self.page.view.get_untracked() == View::Test && self.page.history.received.get_untracked().is_none();
        if is_first && is_watched && self.is_embedded() {
            self.page.is_introducing.set(true);
            let settings = Settings { seed: random_seed(), ..Settings::default() };
            drop(self.generate(OPENINGS[0].into(), INTRODUCTION_TOKENS, settings));
        }
    }

    fn is_embedded(&self) -> bool {
        matches!(*self.model.borrow(), ModelFile::Embedded)
    }

    /// The worker listens now: sends it what was held back.
    fn flush(&self) {
        if let Some(line) = self.worker.borrow_mut().as_mut() {
            for request in line.unsent.take().into_iter().flatten() {
                post(&line.worker, &request);
            }
        }
    }

    fn answer(&self, job: Job, answer: Answer) {
        if let Some(waiting) = self.waiting.borrow_mut().remove(&job) {
            // Nobody need wait for an answer.
            let _ = waiting.send(answer);
        }
    }

    fn fail_all(&self, message: &str) {
        for (_, waiting) in self.waiting.borrow_mut().drain() {
            let _ = waiting.send(Err(message.into()));
        }
    }
}

/// What a generation comes to, for scripts.
#[derive(Serialize)]
struct Continuation<'a> {
    text: &'a str,
    ids: &'a [u32],
    stopped: bool,
}

/// What an evaluation comes to, for scripts.
#[derive(Serialize)]
struct Evaluation<'a> {
    top: &'a [u32],
    n_vocab: u32,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    log_probs: js_sys::Float32Array,
}

/// `value` as a plain JavaScript object.
pub(crate) fn plain(value: &impl Serialize) -> JsValue {
    let json = serde_json::to_string(value).unwrap_or_default();
    js_sys::JSON::parse(&json).unwrap_or(JsValue::NULL)
}

fn post(worker: &Worker, request: &Request) {
    let sent =
        serde_wasm_bindgen::to_value(request).map_err(JsValue::from).and_then(|request| worker.post_message(&request));
    if let Err(e) = sent {
        web_sys::console::error_2(&"a request was not sent".into(), &e);
    }
}

fn window_has_webgpu() -> bool {
    !get(&get(&js_sys::global(), "navigator"), "gpu").is_undefined()
}

//! The engine's thread: takes the window's requests in order, runs them, and posts what comes of them.
//! Every call to the engine is in this file. A stop needs no turn in the queue: it sets a flag that generation
//! looks at after each token.

use super::adapter;
use super::chatting::{self, Asking, Talk};
use super::download::Models;
use super::download::words::Ask;
use super::facts::{Known, Loaded};
use super::giving_way::giving_way;
use super::measuring::{Found, measure};
use super::opening::Opening;
use super::protocol::{
    AdapterCard, Event, Executor, Job, Measurement, ModelFile, NoGpu, Power, Progress, Request, Settings, Step,
};
use super::tunings;
use crate::engine::run::sampling::{Dry, Xtc};
use crate::engine::{ExecutorChoice, LoadOptions, LoadProgress, ModelFiles, Sampling, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::adapter::Identity;
use crate::kernels::cache::CacheTypes;
use crate::measure::Report;
use crate::measure::probe::subgroups_are_right;
use crate::measure::tune;
use crate::text::{Bos, Control, Tokenizer};
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use js_sys::Float32Array;
use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};
use web_time::Instant;

/// The window hears of the progress of a load no more often than this.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// The engine with the window at its other side.
struct Worker {
    scope: DedicatedWorkerGlobalScope,
    stop: Rc<Cell<bool>>,
    /// Whether a request has come since this was set to false.
    is_awaited: Rc<Cell<bool>>,
    models: Rc<Models>,
    loaded: Option<Loaded>,
}

/// Listens, says so, and serves until the window ends it.
pub(super) fn start(scope: DedicatedWorkerGlobalScope) {
    report_panics(scope.clone());
    let stop = Rc::new(Cell::new(false));
    let (sender, receiver) = unbounded();
    let models = Models::new(&scope);
    let is_awaited = Rc::new(Cell::new(false));
    listen(&scope, sender, Rc::clone(&stop), Rc::clone(&is_awaited), Rc::clone(&models));
    post(&scope, &Event::Up);
    // Where the CPU computes, a stop could not be heard otherwise.
    spawn_local(giving_way(Worker { scope, stop, is_awaited, models, loaded: None }.serve(receiver)));
}

/// A panic ends the worker for good; the window has to know, since nothing else will tell it.
fn report_panics(scope: DedicatedWorkerGlobalScope) {
    std::panic::set_hook(Box::new(move |info| {
        console_error_panic_hook::hook(info);
        post(&scope, &Event::Lost { message: format!("A fault in the program: {info}") });
    }));
}

fn listen(
    scope: &DedicatedWorkerGlobalScope,
    requests: UnboundedSender<Request>,
    stop: Rc<Cell<bool>>,
    is_awaited: Rc<Cell<bool>>,
    models: Rc<Models>,
) {
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| {
        match serde_wasm_bindgen::from_value(message.data()) {
            Ok(Request::Stop) => stop.set(true),
            Ok(Request::Models(ask)) => models.hear(ask),
            Ok(request) => {
                // A stop that came before was meant for the text before.
                if matches!(request, Request::Generate { .. } | Request::Chat { .. } | Request::Measure { .. }) {
                    stop.set(false);
                }
                is_awaited.set(true);
                // The other end lives as long as the worker.
                let _ = requests.unbounded_send(request);
            }
            Err(e) => web_sys::console::error_1(&format!("a message that is no request: {e}").into()),
        }
    });
    scope.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
}

/// Tells the window.
pub(super) fn post(scope: &DedicatedWorkerGlobalScope, event: &Event) {
    let posted = serde_wasm_bindgen::to_value(event).map_err(Into::into).and_then(|event| scope.post_message(&event));
    if let Err(e) = posted {
        web_sys::console::error_2(&"an event was not sent".into(), &e);
    }
}

impl Worker {
    async fn serve(mut self, mut requests: UnboundedReceiver<Request>) {
        loop {
            if let Ok(request) = requests.try_recv() {
                self.carry_out(request).await;
                continue;
            }
            self.is_awaited.set(false);
            self.tidy_up().await;
            let Ok(request) = requests.recv().await else { break };
            self.carry_out(request).await;
        }
    }

    async fn carry_out(&mut self, request: Request) {
        match request {
            Request::Load { job, model, executor, power, n_context } => {
                let had_model = self.loaded.is_some();
                match self.load(job, model, executor, power, n_context).await {
                    Ok(Some(event)) => self.post(&event),
                    Ok(None) => {}
                    Err(e) => self.post_failed_load(job, &e, had_model),
                }
            }
            Request::Generate { job, prompt, n_tokens, sampling } => {
                let done = self.generate(job, &prompt, n_tokens, sampling).await;
                self.answer(job, done);
            }
            Request::Chat { job, asking } => {
                let done = self.chat(job, &asking).await;
                self.answer(job, done);
            }
            Request::Forget => {
                if let Some(loaded) = &mut self.loaded {
                    loaded.forget(&self.scope).await;
                    self.models.hear(Ask::List);
                }
            }
            Request::Recall { job, json } => {
                let recalled = loaded(&mut self.loaded).and_then(|loaded| loaded.talk.recall(job, &json));
                self.answer(job, recalled);
            }
            Request::Eval { job, ids } => {
                let done = self.eval(job, &ids).await;
                self.answer(job, done);
            }
            Request::Measure { job, what } => self.measure(job, what).await,
            // These were heard when they came.
            Request::Stop | Request::Models(_) => {}
        }
    }

    /// What can be done while nobody waits: a model that was made for conversations takes in the last one before anybody
    /// asks, and what was computed since is kept.
    async fn tidy_up(&mut self) {
        let Some(loaded) = &mut self.loaded else { return };
        if loaded.talk.conversation.is_some() && loaded.talk.doubt.is_none() {
            let recalled = loaded.recall(&self.scope).await;
            tell_recalled(&self.scope, recalled);
        }
        if loaded.talk.kept.is_stale {
            let is_awaited = Rc::clone(&self.is_awaited);
            match loaded.keep(&self.scope, &move || is_awaited.get()).await {
                Err(e) if e.kind == ErrorKind::Adapter => self.post(&Event::Lost { message: e.to_string() }),
                _ => self.models.hear(Ask::List),
            }
        }
    }

    fn post(&self, event: &Event) {
        post(&self.scope, event);
    }

    /// A fault of the adapter in the midst of work means that its device is gone; after any other fault the model
    /// goes on working.
    fn answer(&self, job: Job, done: Result<Event>) {
        self.post(&match done {
            Ok(event) => event,
            Err(e) if e.kind == ErrorKind::Adapter => Event::Lost { message: e.to_string() },
            Err(e) => Event::Failed { job, message: e.to_string() },
        });
    }

    /// What was loaded before a load that failed works still, on its own adapter, unless it had to make way and is gone.
    fn post_failed_load(&self, job: Job, error: &Error, had_model: bool) {
        let message = error.to_string();
        if let Some(loaded) = &self.loaded {
            self.post(&Event::Adapter(Box::new(loaded.known.adapter.clone())));
        } else if had_model {
            return self.post(&Event::Lost { message });
        }
        self.post(&Event::Failed { job, message });
    }

    /// Loads a model in place of the one there; None where there is no adapter, which has then been said.
    async fn load(
        &mut self,
        job: Job,
        model: ModelFile,
        executor: Executor,
        power: Power,
        n_context: Option<u32>,
    ) -> Result<Option<Event>> {
        let scope = self.scope.clone();
        let (card, choice) = match executor {
            Executor::Cpu => (adapter::cpu_card(), ExecutorChoice::Cpu),
            Executor::Gpu => {
                match find_adapter(power, self.loaded.as_ref().map(|before| &before.known.adapter)).await {
                    Ok((card, adapter)) => (card, ExecutorChoice::Gpu(adapter)),
                    Err(reason) => {
                        self.post(&Event::NoGpu { reason });
                        return Ok(None);
                    }
                }
            }
        };
        self.post(&Event::Adapter(Box::new(card.clone())));
        let opening = Opening::of(&scope, &self.models, model).await?;
        let (mut step, mut told) = (None, Instant::now());
        let mut progress = |at: LoadProgress| {
            let at = progress(at);
            // Each makes the page draw, which takes time from the load where cores are few.
            if step.replace(at.step) != Some(at.step) || told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                post(&scope, &Event::Progress(at));
            }
        };
        let tuning = match &choice {
            ExecutorChoice::Gpu(adapter) => Some(tunings::find(adapter).await.over(adapter.tuning())),
            ExecutorChoice::Cpu => None,
        };
        let (n_context, cache) = (opening.context(n_context).await?, CacheTypes::usual(choice.is_gpu()));
        let options = LoadOptions { n_context, tuning, cache, ..LoadOptions::default() };
        // What the adapter can do does not change with the model.
        let before = self.loaded.as_ref().filter(|before| before.known.adapter == card);
        let probes = before.map(|before| before.known.probes.clone()).unwrap_or_default();
        let session = self.load_session(&opening.files, choice, &card, &options, &mut progress).await?;
        // The GPU has it all by now; whether it was the right thing is known when its hash is.
        opening.arrived().await?;
        let Opening { name: file, bytes, files, id, .. } = opening;
        let tuning = (tune::Known::of(&session) == tune::Known::All).then(|| tune::kept(&session));
        let open = files.open().await?;
        let (talk, recommended) = (Talk::open(&open, id), open.recommended);
        drop(open);
        let known = Known { file, bytes, files, recommended, adapter: card, probes, check: None, tuning };
        let loaded = self.loaded.insert(Loaded { session, talk, known });
        Ok(Some(Event::Loaded { job, model: loaded.card(), times: loaded.times() }))
    }

    /// Loads a model beside the one there, or, where the adapter refuses that, in its place: it may have no memory for
    /// two. The one before comes back if that was not it.
    async fn load_session(
        &mut self,
        files: &ModelFiles,
        choice: ExecutorChoice,
        card: &AdapterCard,
        options: &LoadOptions,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Session> {
        let error = match Session::load(files, choice.clone(), options, progress).await {
            Err(error) if error.kind == ErrorKind::Adapter => error,
            loaded => return loaded,
        };
        let Some(Loaded { session, known, talk }) = self.loaded.take() else { return Err(error) };
        let (choice_before, n_context, cache) = (session.choice().clone(), session.n_context(), session.cache_types());
        drop(session);
        let error = match load_again(files, &choice, card, options, progress).await {
            Err(error) => error,
            loaded => return loaded,
        };
        let options = LoadOptions { n_context: Some(n_context), cache, ..LoadOptions::default() };
        if let Ok(session) = load_again(&known.files, &choice_before, &known.adapter, &options, progress).await {
            self.loaded = Some(Loaded { session, known, talk });
        }
        Err(error)
    }

    async fn generate(&mut self, job: Job, prompt: &str, n_tokens: u32, settings: Settings) -> Result<Event> {
        let begun = Instant::now();
        let loaded = loaded(&mut self.loaded)?;
        let tokenizer = tokenizer(&loaded.session)?;
        // A prompt is the begin of a document. V4's files say that the encoder of prompts writes that, which is us.
        let bos = if tokenizer.special().bos.is_some() { Bos::Add } else { Bos::Omit };
        let prompt_ids = tokenizer.encode(prompt, bos)?;
        let mut stream = tokenizer.stream(Control::Hide);
        let (mut text, mut ids) = (String::new(), Vec::new());
        let sampling = sampling(settings);
        // What the cache will hold is no conversation.
        loaded.talk.kept.is_stale = false;
        let mut generation = loaded.session.generate(&prompt_ids, &sampling, n_tokens as usize).await?;
        while !self.stop.get() {
            let Some(id) = generation.next().await? else { break };
            let piece = stream.push(id);
            text.push_str(&piece);
            ids.push(id);
            let elapsed_ms = begun.elapsed().as_secs_f64() * 1e3;
            post(&self.scope, &Event::Token { text: piece, n_tokens: ids.len() as u32, elapsed_ms });
        }
        let stopped = self.stop.get();
        let timings = generation.finish().await?;
        text.push_str(&stream.finish());
        let report = Box::new(loaded.report(&sampling, n_tokens, &timings));
        Ok(Event::Done { job, text, ids, stopped, report })
    }

    async fn chat(&mut self, job: Job, asking: &Asking) -> Result<Event> {
        let (scope, loaded) = (&self.scope, loaded(&mut self.loaded)?);
        tell_recalled(scope, loaded.recall(scope).await);
        let (answered, report) = chatting::answer(loaded, asking, &self.stop, |event| post(scope, &event)).await?;
        loaded.talk.kept.is_stale = true;
        Ok(Event::Answered { job, answered, report })
    }

    /// Measures, says how far it is, and answers with what was found.
    async fn measure(&mut self, job: Job, what: Measurement) {
        let Some(loaded) = self.loaded.take() else {
            return self.answer(job, Err(no_model()));
        };
        let (scope, stop) = (self.scope.clone(), Rc::clone(&self.stop));
        let to = self.scope.clone();
        let live = move |report: &Report| post(&to, &Event::Partial(Box::new(report.clone())));
        let mut last = None::<Instant>;
        let mut watch = |progress: &crate::measure::Progress| {
            // A step may be as short as a token; so many need not be shown.
            if last.is_none_or(|last| last.elapsed().as_millis() >= 50) {
                last = Some(Instant::now());
                let crate::measure::Progress { what, done, total } = progress.clone();
                post(&scope, &Event::Measuring { what, done, total });
            }
            if stop.get() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let (loaded, Found { report, failed }) = measure(loaded, what, &mut watch, live).await;
        self.loaded = Some(loaded);
        self.post(&Event::Measured { job, report: Box::new(report), stopped: self.stop.get() });
        if let Some(error) = failed {
            self.answer(job, Err(error));
        }
    }

    async fn eval(&mut self, job: Job, ids: &[u32]) -> Result<Event> {
        let session = &mut loaded(&mut self.loaded)?.session;
        let n_vocab = session.outline().n_vocab;
        let (mut top, mut log_probs) = (Vec::new(), Vec::new());
        let mut each = |_position: usize, logits: &[f32]| {
            top.push(log_softmax(logits, &mut log_probs));
            Ok(())
        };
        session.logits(ids, &mut each).await?;
        Ok(Event::Evaluated { job, top, n_vocab, log_probs: Float32Array::from(&log_probs[..]) })
    }
}

/// The browser's adapter under the browser's name for it, which wgpu does not tell, with subgroups where they are right: as was
/// found `before`, or else by a check.
async fn find_adapter(
    power: Power,
    before: Option<&AdapterCard>,
) -> std::result::Result<(AdapterCard, crate::gpu::Adapter), NoGpu> {
    if let Some(before) = before.filter(|card| card.power == power && !card.is_cpu()) {
        let (browser, found) = ask_for_adapter(power, before.subgroups).await?;
        let card = adapter::card(power, &browser, &found).await;
        if card == *before {
            return Ok((card, found));
        }
    }
    let (mut browser, mut found) = ask_for_adapter(power, true).await?;
    if found.caps.subgroup > 0 {
        // The check takes the one device that this adapter gives.
        let subgroups = subgroups_are_right(&found, &|_| {}).await.unwrap_or(false);
        (browser, found) = ask_for_adapter(power, subgroups).await?;
    }
    Ok((adapter::card(power, &browser, &found).await, found))
}

/// The browser's adapter, with the browser's subgroups if they are wanted: `www/worker.js` asks for them with each device.
async fn ask_for_adapter(power: Power, subgroups: bool) -> std::result::Result<(JsValue, crate::gpu::Adapter), NoGpu> {
    let browser = adapter::request(power).await?;
    let found = crate::gpu::Adapter::preferred(power == Power::LowPower).await.ok_or(NoGpu::NoAdapter)?;
    let identity = Identity { name: adapter::name(&browser), ..found.identity.clone() };
    let mut found = found.described(identity);
    if subgroups && adapter::has_feature(&browser, "subgroups") {
        let with_subgroups = found.clone().with_features(wgpu::Features::SUBGROUP);
        // Of a size that the browser tells.
        if with_subgroups.caps.subgroup > 0 {
            found = with_subgroups;
        }
    }
    Ok((browser, found))
}

/// The same adapter once more: a browser's adapter gives one device, and that has been taken.
pub(super) async fn adapter_again(card: &AdapterCard) -> Result<crate::gpu::Adapter> {
    match ask_for_adapter(card.power, card.subgroups).await {
        Ok((_, again)) => Ok(again),
        Err(_) => Err(Error::adapter(&card.name, "the browser gives it no second time")),
    }
}

/// Loads a model on an executor that was tried before, or that another model had.
async fn load_again(
    files: &ModelFiles,
    choice: &ExecutorChoice,
    card: &AdapterCard,
    options: &LoadOptions,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<Session> {
    let choice = match choice {
        ExecutorChoice::Cpu => ExecutorChoice::Cpu,
        ExecutorChoice::Gpu(_) => ExecutorChoice::Gpu(adapter_again(card).await?),
    };
    Session::load(files, choice, options, progress).await
}

/// A conversation that is kept and cannot be used is computed again, which works.
fn tell_recalled(scope: &DedicatedWorkerGlobalScope, recalled: Result<()>) {
    match recalled {
        Err(e) if e.kind == ErrorKind::Adapter => post(scope, &Event::Lost { message: e.to_string() }),
        Err(e) => post(scope, &Event::NotRecalled { message: e.to_string() }),
        Ok(()) => {}
    }
}

fn loaded(loaded: &mut Option<Loaded>) -> Result<&mut Loaded> {
    loaded.as_mut().ok_or_else(no_model)
}

fn no_model() -> Error {
    Error::usage("model", "none is loaded").advice("Open a GGUF, or load the page again.")
}

fn tokenizer(session: &Session) -> Result<&Tokenizer> {
    session.tokenizer().ok_or_else(|| {
        Error::usage("tokenizer", "this file has none, so it cannot read a prompt")
            .expected("the keys tokenizer.ggml.*")
            .advice("Open a GGUF with its tokenizer inside.")
    })
}

pub(super) fn sampling(s: Settings) -> Sampling {
    Sampling {
        temperature: s.temperature,
        top_k: s.top_k,
        top_p: s.top_p,
        min_p: s.min_p,
        typical_p: s.typical_p,
        top_n_sigma: s.top_n_sigma,
        xtc: Xtc { probability: s.xtc_probability, threshold: s.xtc_threshold },
        repeat_penalty: s.repeat_penalty,
        presence_penalty: s.presence_penalty,
        frequency_penalty: s.frequency_penalty,
        dry: Dry { multiplier: s.dry_multiplier, ..Dry::default() },
        seed: s.seed,
        ..Sampling::default()
    }
}

fn progress(at: LoadProgress) -> Progress {
    let (step, done, total) = match at {
        LoadProgress::Directory | LoadProgress::Planned { .. } => (Step::Upload, 0, None),
        LoadProgress::Upload { done, total } => (Step::Upload, done, Some(total)),
        LoadProgress::Compile { done, total } => (Step::Compile, done.into(), Some(total.into())),
    };
    Progress { step, done: done as f64, total: total.map(|total: u64| total as f64) }
}

/// Appends the natural-log probabilities of a row of logits, and says which is the largest; of equals the first.
fn log_softmax(logits: &[f32], log_probs: &mut Vec<f32>) -> u32 {
    let top = (1..logits.len()).fold(0, |top, i| if logits[i] > logits[top] { i } else { top });
    let max = logits.get(top).copied().unwrap_or_default();
    let sum: f64 = logits.iter().map(|&x| f64::from(x - max).exp()).sum();
    let log_sum = sum.ln() as f32;
    log_probs.extend(logits.iter().map(|x| x - max - log_sum));
    top as u32
}

//! `window.headstart`: the page's abilities for scripts and tests, as plain promises and plain objects.
//!
//! `state()` tells where the page stands; `generate({prompt, n, temperature, …})`, `chat({text, system, thinking, clear,
//! n, …})` (without a text: the last answer again), `eval({ids})` and `load_file(file)` resolve with what the worker
//! answers, as do `find_model(words)`, and with what that gave `load_model(plan)` and `get_model(plan)`; `models()` lists
//! those that are kept, `stop_download(id)` and `remove_model(id)` end one; `probe()`, `bench({p, n, d, r})`,
//! `verify()`, `tune()` and `test({p, n, d, r, standard})`, which is all but the tuning in short and as much of the standard
//! test as `standard` says (`none`, `short` or `full`), with a report; `recall(json)` goes on
//! with messages from elsewhere; `stop()` ends what is under way. `reports()` lists the
//! runs that the page knows, `import_reports(text, name)` takes more in, `export_reports()` gives the person's own as
//! JSON, `share_link(id)` the link that carries one.

use super::chatting::Asking;
use super::page::controls::random_seed;
use super::page::history::record::{Place, Record};
use super::page::history::{History, files, share};
use super::page::link::{Answer, Link, plain};
use super::page::route::View;
use super::page::state::{Page, Status};
use super::page::talk::Said;
use super::protocol::{AdapterCard, BenchPlan, Measurement, ModelCard, ModelFile, Settings, Standard};
use super::store::Origin;
use crate::host::arrival::Plan;
use crate::measure::Report;
use crate::measure::report::Entry;
use futures_channel::oneshot;
use js_sys::{Array, Object, Promise, Reflect};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{Closure, JsValue};
use wasm_bindgen_futures::future_to_promise;
use web_sys::File;

/// What `state()` returns.
#[derive(Serialize)]
struct State {
    status: Status,
    message: String,
    model: Option<ModelCard>,
    adapter: Option<AdapterCard>,
    n_tokens: u32,
    tokens_per_s: f64,
    first_token_ms: f64,
    text: String,
    report: Option<Report>,
    /// The turns of the conversation.
    said: Vec<Said>,
}

/// A run in what `reports()` returns.
#[derive(Serialize)]
struct Run<'a> {
    /// As text: JavaScript's numbers are not for every u64.
    id: String,
    name: &'a str,
    adapter: String,
    model: Option<&'a str>,
    verdict: &'static str,
    origin: &'a Origin,
    compared: bool,
    stored: bool,
    report: &'a Entry,
}

/// What `generate()` takes; what is left out is as on a page just opened.
#[derive(Deserialize)]
struct Generate {
    prompt: String,
}

/// What `chat()` takes: something to say, or nothing for the last answer again.
#[derive(Deserialize)]
struct Chat {
    text: Option<String>,
    /// Begins a new conversation first.
    clear: Option<bool>,
    system: Option<String>,
    thinking: Option<bool>,
}

/// How many tokens `generate()` and `chat()` write, and how they are drawn.
#[derive(Deserialize)]
struct Sampled {
    n: Option<u32>,
    temperature: Option<f32>,
    top_k: Option<u32>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    repeat_penalty: Option<f32>,
    typical_p: Option<f32>,
    top_n_sigma: Option<f32>,
    xtc_probability: Option<f32>,
    xtc_threshold: Option<f32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    dry_multiplier: Option<f32>,
    seed: Option<u32>,
}

/// What `eval()` takes.
#[derive(Deserialize)]
struct Eval {
    ids: Vec<u32>,
}

/// Hangs the hooks on the window, for as long as the page lives.
pub(super) fn install(page: Page, link: &Rc<Link>) {
    let hooks = Object::new();
    let set = |name: &str, function: JsValue| {
        // Setting a property of a fresh plain object cannot fail.
        let _ = Reflect::set(&hooks, &name.into(), &function);
    };
    set("state", Closure::<dyn Fn() -> JsValue>::new(move || plain(&state(page))).into_js_value());
    let to = Rc::clone(link);
    let generate = move |arguments: JsValue| promise(generate(page, &to, arguments));
    set("generate", Closure::<dyn Fn(JsValue) -> Promise>::new(generate).into_js_value());
    let to = Rc::clone(link);
    let chat = move |arguments: JsValue| promise(chat(page, &to, arguments));
    set("chat", Closure::<dyn Fn(JsValue) -> Promise>::new(chat).into_js_value());
    let to = Rc::clone(link);
    set("stop", Closure::<dyn Fn()>::new(move || to.stop()).into_js_value());
    let to = Rc::clone(link);
    let eval = move |arguments: JsValue| {
        promise(serde_wasm_bindgen::from_value(arguments).map(|Eval { ids }| to.eval(ids)).map_err(|e| e.to_string()))
    };
    set("eval", Closure::<dyn Fn(JsValue) -> Promise>::new(eval).into_js_value());
    let to = Rc::clone(link);
    let probe = move || promise(measure(page, &to, Measurement::Probe));
    set("probe", Closure::<dyn Fn() -> Promise>::new(probe).into_js_value());
    let to = Rc::clone(link);
    let verify = move || promise(measure(page, &to, Measurement::Verify));
    set("verify", Closure::<dyn Fn() -> Promise>::new(verify).into_js_value());
    let to = Rc::clone(link);
    let tune = move || promise(measure(page, &to, Measurement::Tune));
    set("tune", Closure::<dyn Fn() -> Promise>::new(tune).into_js_value());
    let to = Rc::clone(link);
    let bench = move |arguments: JsValue| {
        promise(plan(arguments).and_then(|plan| measure(page, &to, Measurement::Bench(plan))))
    };
    set("bench", Closure::<dyn Fn(JsValue) -> Promise>::new(bench).into_js_value());
    let to = Rc::clone(link);
    let test = move |arguments: JsValue| {
        promise(test_plan(arguments).and_then(|(plan, standard)| measure(page, &to, Measurement::Test(plan, standard))))
    };
    set("test", Closure::<dyn Fn(JsValue) -> Promise>::new(test).into_js_value());
    let to = Rc::clone(link);
    let recall = move |json: String| promise(check_ready(page).map(|()| to.recall(json)));
    set("recall", Closure::<dyn Fn(String) -> Promise>::new(recall).into_js_value());
    let to = Rc::clone(link);
    let load = move |files: JsValue| {
        let files = if Array::is_array(&files) { files.unchecked_into() } else { Array::of1(&files) };
        let are_files = files.length() > 0 && files.iter().all(|file| file.is_instance_of::<File>());
        let files = if are_files { Ok(files) } else { Err("load_file takes a File, or an array of them".to_owned()) };
        promise(files.map(|files| to.load(ModelFile::Files(files))))
    };
    set("load_file", Closure::<dyn Fn(JsValue) -> Promise>::new(load).into_js_value());
    install_models(page, link, set);
    install_runs(page.history, set);
    let _ = Reflect::set(&js_sys::global(), &"headstart".into(), &hooks);
}

/// The hooks that have to do with models on the web.
fn install_models(page: Page, link: &Rc<Link>, set: impl Fn(&str, JsValue)) {
    let models = move || page.models.shelf.with_untracked(plain);
    set("models", Closure::<dyn Fn() -> JsValue>::new(models).into_js_value());
    let to = Rc::clone(link);
    let find = move |words: String| promise(Ok(to.find_model(words)));
    set("find_model", Closure::<dyn Fn(String) -> Promise>::new(find).into_js_value());
    let to = Rc::clone(link);
    let get = move |plan: JsValue| promise(model_plan(plan).map(|plan| to.get_model(plan)));
    set("get_model", Closure::<dyn Fn(JsValue) -> Promise>::new(get).into_js_value());
    let to = Rc::clone(link);
    let load = move |plan: JsValue| promise(model_plan(plan).map(|plan| to.load_from_web(plan)));
    set("load_model", Closure::<dyn Fn(JsValue) -> Promise>::new(load).into_js_value());
    let to = Rc::clone(link);
    let remove = move |id: String| promise(Ok(to.remove_model(id)));
    set("remove_model", Closure::<dyn Fn(String) -> Promise>::new(remove).into_js_value());
    let to = Rc::clone(link);
    let stop = move |id: String| to.stop_download(id);
    set("stop_download", Closure::<dyn Fn(String)>::new(stop).into_js_value());
}

fn model_plan(plan: JsValue) -> Result<Plan, String> {
    serde_wasm_bindgen::from_value(plan).map_err(|e| format!("this is no answer of find_model: {e}"))
}

/// The hooks that have to do with runs.
fn install_runs(history: History, set: impl Fn(&str, JsValue)) {
    let reports = move || history.records.with_untracked(|all| plain(&all.iter().map(run).collect::<Vec<_>>()));
    set("reports", Closure::<dyn Fn() -> JsValue>::new(reports).into_js_value());
    let import = move |text: String, name: String| {
        let new = files::import_text(history, &name, &text).map_err(|message| js_sys::Error::new(&message));
        new.map(|ids| plain(&ids.iter().map(u64::to_string).collect::<Vec<_>>())).map_err(JsValue::from)
    };
    set("import_reports", Closure::<dyn Fn(String, String) -> Result<JsValue, JsValue>>::new(import).into_js_value());
    set("export_reports", Closure::<dyn Fn() -> String>::new(move || files::all_as_json(history)).into_js_value());
    let link = move |id: String| history.find(id.parse().ok()?).as_ref().and_then(share::link_of);
    set("share_link", Closure::<dyn Fn(String) -> Option<String>>::new(link).into_js_value());
}

fn run(record: &Record) -> Run<'_> {
    Run {
        id: record.id.to_string(),
        name: &record.name,
        adapter: record.adapter(),
        model: record.model(),
        verdict: record.verdict().label(),
        origin: &record.origin,
        compared: record.compared,
        stored: record.place == Place::Stored,
        report: &record.entry,
    }
}

fn state(page: Page) -> State {
    let run = page.run.get_untracked().unwrap_or_default();
    let message = match page.notice.get_untracked() {
        Some(notice) => notice.message(),
        None => untrack(|| page.message()),
    };
    State {
        status: page.status.get_untracked(),
        message,
        model: page.model.get_untracked(),
        adapter: page.adapter.get_untracked(),
        n_tokens: run.n_tokens,
        tokens_per_s: run.tokens_per_s,
        first_token_ms: run.first_token_ms,
        text: run.text,
        report: page.report.get_untracked(),
        said: page.talk.said.get_untracked(),
    }
}

fn generate(page: Page, link: &Link, arguments: JsValue) -> Result<oneshot::Receiver<Answer>, String> {
    let (Generate { prompt }, sampled) = two(arguments)?;
    check_ready(page)?;
    Ok(link.generate(prompt, sampled.n.unwrap_or(64), settings(&sampled)))
}

/// Takes part in the conversation that the person sees.
fn chat(page: Page, link: &Link, arguments: JsValue) -> Result<oneshot::Receiver<Answer>, String> {
    let (asked, sampled): (Chat, _) = two(arguments)?;
    check_ready(page)?;
    if asked.clear == Some(true) {
        link.forget();
    }
    page.talk.open.set(true);
    View::Chat.open();
    asked.system.into_iter().for_each(|system| page.talk.system.set(system));
    asked.thinking.into_iter().for_each(|thinking| page.talk.thinking.set(thinking));
    Ok(link.chat(Asking {
        question: asked.text,
        system: page.talk.system.get_untracked(),
        thinking: page.talk.thinking.get_untracked(),
        n_tokens: sampled.n.unwrap_or(64),
        sampling: settings(&sampled),
    }))
}

fn check_ready(page: Page) -> Result<(), String> {
    match page.status.get_untracked() {
        Status::Ready => Ok(()),
        status => Err(format!("the page is not ready to generate: its status is {status:?}")),
    }
}

/// One object read as two: what is asked, and how it is drawn.
fn two<T: serde::de::DeserializeOwned>(arguments: JsValue) -> Result<(T, Sampled), String> {
    let asked = serde_wasm_bindgen::from_value(arguments.clone()).map_err(|e| e.to_string())?;
    Ok((asked, serde_wasm_bindgen::from_value(arguments).map_err(|e| e.to_string())?))
}

fn settings(asked: &Sampled) -> Settings {
    let usual = Settings::default();
    Settings {
        temperature: asked.temperature.unwrap_or(usual.temperature),
        top_k: asked.top_k.unwrap_or(usual.top_k),
        top_p: asked.top_p.unwrap_or(usual.top_p),
        min_p: asked.min_p.unwrap_or(usual.min_p),
        repeat_penalty: asked.repeat_penalty.unwrap_or(usual.repeat_penalty),
        typical_p: asked.typical_p.unwrap_or(usual.typical_p),
        top_n_sigma: asked.top_n_sigma.unwrap_or(usual.top_n_sigma),
        xtc_probability: asked.xtc_probability.unwrap_or(usual.xtc_probability),
        xtc_threshold: asked.xtc_threshold.unwrap_or(usual.xtc_threshold),
        presence_penalty: asked.presence_penalty.unwrap_or(usual.presence_penalty),
        frequency_penalty: asked.frequency_penalty.unwrap_or(usual.frequency_penalty),
        dry_multiplier: asked.dry_multiplier.unwrap_or(usual.dry_multiplier),
        seed: asked.seed.unwrap_or_else(random_seed),
    }
}

fn measure(page: Page, link: &Link, what: Measurement) -> Result<oneshot::Receiver<Answer>, String> {
    let status = page.status.get_untracked();
    if status != Status::Ready {
        return Err(format!("the page is not ready to measure: its status is {status:?}"));
    }
    Ok(link.measure(what))
}

/// What `bench()` takes: numbers or arrays of them; what is left out is as on a page just opened.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Bench {
    p: Option<Several>,
    n: Option<Several>,
    d: Option<Several>,
    r: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Several {
    One(u32),
    Many(Vec<u32>),
}

fn plan(arguments: JsValue) -> Result<BenchPlan, String> {
    let usual = BenchPlan::default();
    if arguments.is_undefined() {
        return Ok(usual);
    }
    let asked: Bench = serde_wasm_bindgen::from_value(arguments).map_err(|e| e.to_string())?;
    let list = |asked: Option<Several>, usual| match asked {
        None => usual,
        Some(Several::One(n)) => vec![n],
        Some(Several::Many(all)) => all,
    };
    Ok(BenchPlan {
        p: list(asked.p, usual.p),
        n: list(asked.n, usual.n),
        d: list(asked.d, usual.d),
        r: asked.r.unwrap_or(usual.r),
    })
}

/// What `test()` takes: a plan for the model that is loaded, and how much of the standard test; nothing means all of it.
fn test_plan(arguments: JsValue) -> Result<(BenchPlan, Standard), String> {
    if arguments.is_undefined() {
        return Ok((BenchPlan::of_test(), Standard::Full));
    }
    let asked: TestOf = serde_wasm_bindgen::from_value(arguments.clone()).map_err(|e| e.to_string())?;
    Ok((plan(arguments)?, asked.standard))
}

#[derive(Deserialize)]
struct TestOf {
    #[serde(default)]
    standard: Standard,
}

/// A promise of an answer; it rejects with an `Error`, as scripts expect.
fn promise(answer: Result<oneshot::Receiver<Answer>, String>) -> Promise {
    future_to_promise(async move {
        let answer = match answer {
            Ok(receiver) => receiver.await.unwrap_or_else(|_| Err("the page was closed".into())),
            Err(message) => Err(message),
        };
        answer.map_err(|message| js_sys::Error::new(&message).into())
    })
}

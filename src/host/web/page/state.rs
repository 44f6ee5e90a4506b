//! What the page shows, as signals, and how each of the worker's words changes it.

use super::history::History;
use super::models::Models;
use super::route::{self, View};
use super::talk::Talk;
use crate::host::web::protocol::{AdapterCard, Event, LoadTimes, ModelCard, NoGpu, Progress, Settings, Step};
use crate::host::web::store::Origin;
use crate::measure::Report;
use crate::measure::report::{Check, Entry};
use leptos::prelude::*;
use serde::Serialize;
use web_time::Instant;

/// Where the page stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    NoWebgpu,
    Loading,
    Ready,
    Generating,
    Measuring,
    Error,
}

/// A measurement under way.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Measuring {
    /// Which one, in a word.
    pub(crate) label: &'static str,
    /// The step that it is at.
    pub(crate) step: String,
    pub(crate) done: u32,
    pub(crate) total: u32,
    since: Option<Instant>,
}

/// Before so many seconds, what is left is a guess.
const SURE_AFTER_S: f64 = 1.5;

impl Measuring {
    /// How much is done, from 0 to 1, where its end is known.
    pub(crate) fn share(&self) -> Option<f64> {
        (self.total > 0).then(|| (f64::from(self.done) / f64::from(self.total)).clamp(0.0, 1.0))
    }

    /// How many seconds it will still take, as far as it has gone.
    pub(crate) fn seconds_left(&self) -> Option<f64> {
        let (share, passed) = (self.share()?, self.since?.elapsed().as_secs_f64());
        (passed > SURE_AFTER_S && share > 0.01).then(|| passed * (1.0 - share) / share)
    }
}

/// Something that a person has to know, and may have to act on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Notice {
    /// A request failed; what was there before goes on working.
    Failed { title: &'static str, message: String },
    /// The adapter or the worker is gone.
    Lost(String),
}

impl Notice {
    /// The notice in a line.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Failed { title, message } => format!("{title}: {message}"),
            Self::Lost(message) => message.clone(),
        }
    }
}

/// A continuation under way, or the last one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Run {
    pub(crate) prompt: String,
    pub(crate) text: String,
    /// None where nothing was drawn: the likeliest token was always taken.
    pub(crate) seed: Option<u32>,
    pub(crate) n_tokens: u32,
    pub(crate) first_token_ms: f64,
    /// The rate after the first token; 0 until there is a second.
    pub(crate) tokens_per_s: f64,
    pub(crate) stopped: bool,
}

impl Run {
    /// There are so many tokens, after so many milliseconds.
    pub(crate) fn count(&mut self, n_tokens: u32, elapsed_ms: f64) {
        self.n_tokens = n_tokens;
        if n_tokens <= 1 {
            self.first_token_ms = elapsed_ms;
        } else {
            self.tokens_per_s = f64::from(n_tokens - 1) * 1000.0 / (elapsed_ms - self.first_token_ms).max(0.001);
        }
    }
}

/// A step of a load, and since when it has been going on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loading {
    pub(crate) progress: Progress,
    pub(crate) per_s: f64,
    since: Instant,
}

impl Loading {
    /// How much of the step is done, from 0 to 1, where its end is known.
    pub(crate) fn share(&self) -> Option<f64> {
        self.progress.total.map(|total| (self.progress.done / total.max(1.0)).clamp(0.0, 1.0))
    }

    /// How many seconds the step will still take at the rate so far.
    pub(crate) fn seconds_left(&self) -> Option<f64> {
        let left = self.progress.total? - self.progress.done;
        (self.per_s > 0.0 && self.since.elapsed().as_secs() >= 1).then(|| left / self.per_s)
    }
}

/// Everything that the page shows. Signals are handles, so this is copied freely.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    pub(crate) view: RwSignal<View>,
    /// Whether the text under way is the one that the page writes by itself when it opens.
    pub(crate) is_introducing: RwSignal<bool>,
    pub(crate) status: RwSignal<Status>,
    pub(crate) notice: RwSignal<Option<Notice>>,
    /// Why there is no GPU to run on, while the CPU stands in its place.
    pub(crate) no_gpu: RwSignal<Option<NoGpu>>,
    pub(crate) loading: RwSignal<Option<Loading>>,
    pub(crate) model: RwSignal<Option<ModelCard>>,
    pub(crate) adapter: RwSignal<Option<AdapterCard>>,
    pub(crate) times: RwSignal<Option<LoadTimes>>,
    pub(crate) report: RwSignal<Option<Report>>,
    pub(crate) run: RwSignal<Option<Run>>,
    pub(crate) measuring: RwSignal<Option<Measuring>>,
    /// What the measurement under way has found so far.
    pub(crate) partial: RwSignal<Option<Report>>,
    /// The last check of this model on this adapter.
    pub(crate) check: RwSignal<Option<Check>>,
    pub(crate) history: History,
    pub(crate) talk: Talk,
    pub(crate) models: Models,
}

impl Page {
    /// A page that has just opened.
    pub(crate) fn new() -> Self {
        Self {
            view: RwSignal::new(route::at_first()),
            is_introducing: RwSignal::new(false),
            status: RwSignal::new(Status::Loading),
            notice: RwSignal::new(None),
            no_gpu: RwSignal::new(None),
            loading: RwSignal::new(None),
            model: RwSignal::new(None),
            adapter: RwSignal::new(None),
            times: RwSignal::new(None),
            report: RwSignal::new(None),
            run: RwSignal::new(None),
            measuring: RwSignal::new(None),
            partial: RwSignal::new(None),
            check: RwSignal::new(None),
            history: History::new(),
            talk: Talk::new(),
            models: Models::new(),
        }
    }

    /// Takes in what the worker says.
    pub(crate) fn hear(self, event: Event) {
        match event {
            Event::Up | Event::Evaluated { .. } => {}
            Event::NoGpu { reason } => {
                self.no_gpu.set(Some(reason));
                self.loading.set(None);
                self.status.set(Status::NoWebgpu);
            }
            Event::Adapter(card) => {
                if !card.is_cpu() {
                    self.no_gpu.set(None);
                }
                self.adapter.set(Some(*card));
            }
            Event::Progress(progress) => self.advance(progress),
            Event::Loaded { model, times, .. } => {
                self.model.set(Some(model));
                self.talk.forget();
                self.times.set(Some(times));
                // The report before was another model's.
                self.report.set(None);
                self.check.set(None);
                self.loading.set(None);
                self.status.set(Status::Ready);
                self.models.open_chat_of(self);
            }
            Event::Token { text, n_tokens, elapsed_ms } => self.append(&text, n_tokens, elapsed_ms),
            Event::Done { text, stopped, report, .. } => {
                self.run.update(|run| {
                    if let Some(run) = run {
                        run.text = text;
                        run.stopped = stopped;
                        // One run has one rate: what stands above is what its report says.
                        if let Some(decode) = report.text.as_ref().and_then(|text| text.decode) {
                            run.tokens_per_s = decode.tokens_per_s;
                        }
                    }
                });
                // What nobody asked for need not be kept.
                if !self.is_introducing.get_untracked() {
                    self.history.add(Entry::Measured(report.clone()), Origin::Measured);
                }
                self.is_introducing.set(false);
                self.report.set(Some(*report));
                // A load may be waiting for its turn already.
                if self.status.get_untracked() == Status::Generating {
                    self.status.set(Status::Ready);
                }
            }
            Event::Answering(piece) => self.talk.append(&piece),
            Event::Answered { answered, report, .. } => {
                self.talk.end(answered);
                self.report.set(Some(*report));
                if self.status.get_untracked() == Status::Generating {
                    self.status.set(Status::Ready);
                }
            }
            Event::Recalled { said, open, unread, thinking, .. } => {
                self.talk.recall(said, open, thinking);
                if !unread.is_empty() {
                    let message = format!("Beside the messages these keys are not read: {}.", unread.join(", "));
                    self.notice.set(Some(Notice::Failed { title: "Not all of the file is used", message }));
                }
            }
            Event::Measuring { what, done, total } => self.measuring.update(|measuring| {
                if let Some(measuring) = measuring {
                    (measuring.step, measuring.done, measuring.total) = (what, done, total);
                }
            }),
            Event::Partial(report) => self.partial.set(Some(*report)),
            Event::Models(told) => self.models.hear(told),
            Event::Measured { report, stopped, .. } => self.end_measurement(report, stopped),
            Event::NotRecalled { message } => {
                let title = "A kept conversation is not used: all of it is computed again";
                self.notice.set(Some(Notice::Failed { title, message }));
            }
            Event::Failed { message, .. } => self.fail(message),
            Event::Lost { message } => {
                self.is_introducing.set(false);
                self.talk.fail();
                self.notice.set(Some(Notice::Lost(message)));
                // A load that fails after this leaves nothing that works.
                self.model.set(None);
                self.loading.set(None);
                self.measuring.set(None);
                self.partial.set(None);
                self.status.set(Status::Error);
            }
        }
    }

    /// A load begins; the model before it stays on show until the new one is there.
    pub(crate) fn begin_load(self) {
        self.notice.set(None);
        self.loading.set(None);
        self.status.set(Status::Loading);
    }

    /// A continuation begins.
    pub(crate) fn begin_run(self, prompt: &str, settings: &Settings) {
        self.notice.set(None);
        let seed = (settings.temperature > 0.0).then_some(settings.seed);
        self.run.set(Some(Run { prompt: prompt.into(), seed, ..Run::default() }));
        self.status.set(Status::Generating);
    }

    /// An answer begins.
    pub(crate) fn begin_answer(self, question: Option<&str>) {
        self.notice.set(None);
        self.talk.begin(question);
        self.status.set(Status::Generating);
    }

    /// A measurement begins.
    pub(crate) fn begin_measurement(self, label: &'static str) {
        self.notice.set(None);
        let since = Some(Instant::now());
        self.measuring.set(Some(Measuring { label, since, ..Measuring::default() }));
        self.status.set(Status::Measuring);
    }

    /// What was found is kept, as far as it came.
    fn end_measurement(self, report: Box<Report>, stopped: bool) {
        let label = self.measuring.with_untracked(|measuring| measuring.as_ref().map_or("", |m| m.label));
        self.measuring.set(None);
        self.partial.set(None);
        if report.check.is_some() {
            self.check.set(report.check.clone());
        }
        let is_tuned = label == "Tune" && report.tuning.is_some();
        if is_tuned {
            // What was checked before were other kernels.
            self.check.set(None);
        }
        let holds_something =
            is_tuned || report.check.is_some() || !report.tests.is_empty() || !report.probes.0.is_empty();
        if holds_something {
            let id = self.history.add(Entry::Measured(report), Origin::Measured);
            self.history.open.set(Some(id));
            if label == "Test" {
                self.history.change(id, |record| record.name = "Test".into());
            }
        }
        self.history.said.set(match (stopped, holds_something) {
            (false, _) => format!("{label} is done."),
            (true, true) => format!("{label} was cancelled; what it had measured is kept."),
            (true, false) => format!("{label} was cancelled before it had measured anything."),
        });
        if self.status.get_untracked() == Status::Measuring {
            self.status.set(Status::Ready);
        }
    }

    /// One sentence on where the page stands, for the status line and for screen readers.
    pub(crate) fn message(self) -> String {
        match self.status.get() {
            Status::NoWebgpu => "No GPU found".into(),
            Status::Error => "Stopped by an error".into(),
            Status::Generating => "Writing".into(),
            Status::Measuring => self.measuring.with(|m| match m.as_ref().map(|m| m.label) {
                Some("Verify") => "Checking the numbers".to_owned(),
                Some("Tune") => "Tuning".to_owned(),
                Some("Test") => "Testing this GPU".to_owned(),
                _ => "Measuring".to_owned(),
            }),
            Status::Ready => "Ready".into(),
            Status::Loading => match self.loading.get().map(|loading| loading.progress.step) {
                None => "Starting".into(),
                Some(Step::Download) => "Downloading the model".into(),
                Some(Step::Upload) => "Moving the model to the GPU".into(),
                Some(Step::Compile) => "Compiling shaders".into(),
            },
        }
    }

    fn advance(self, progress: Progress) {
        self.status.set(Status::Loading);
        self.loading.update(|loading| {
            let since = match loading {
                Some(before) if before.progress.step == progress.step => before.since,
                _ => Instant::now(),
            };
            let seconds = since.elapsed().as_secs_f64();
            let per_s = if seconds > 0.0 { progress.done / seconds } else { 0.0 };
            *loading = Some(Loading { progress, per_s, since });
        });
    }

    fn append(self, text: &str, n_tokens: u32, elapsed_ms: f64) {
        self.run.update(|run| {
            let Some(run) = run else { return };
            run.text.push_str(text);
            run.count(n_tokens, elapsed_ms);
        });
    }

    /// Whether one can talk with the model as it was made for.
    pub(crate) fn is_for_talk(self) -> bool {
        self.model.with(|model| model.as_ref().is_some_and(|model| model.talks && model.doubt.is_none()))
    }

    fn fail(self, message: String) {
        self.is_introducing.set(false);
        self.models.forget_wish();
        let title = match self.status.get_untracked() {
            Status::Loading => "This model was not loaded",
            _ => "This could not be done",
        };
        self.talk.fail();
        self.notice.set(Some(Notice::Failed { title, message }));
        self.loading.set(None);
        self.measuring.set(None);
        self.partial.set(None);
        let works = self.model.with_untracked(Option::is_some);
        self.status.set(if works { Status::Ready } else { Status::Error });
    }
}

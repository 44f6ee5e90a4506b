//! What a loaded model and a finished text come to, as the page and its report tell it.

use super::chatting::Talk;
use super::platform;
use super::protocol::{AdapterCard, LoadTimes, ModelCard};
use crate::engine::load::recommended::Recommended;
use crate::engine::{ExecutorChoice, ModelFiles, Sampling, Session, Timings};
use crate::error::Result;
use crate::measure::Report;
use crate::measure::report::{Check, ModelFacts, Probes, SamplingSettings, Settings, TextTimes, TuningFacts};
use web_sys::DedicatedWorkerGlobalScope;

/// A model that works, and what is known of it.
pub(crate) struct Loaded {
    pub(crate) session: Session,
    pub(crate) talk: Talk,
    pub(crate) known: Known,
}

/// What is known of a model that works.
pub(crate) struct Known {
    /// The file that it came from: its name, its bytes, and itself.
    pub(crate) file: String,
    pub(crate) bytes: u64,
    pub(crate) files: ModelFiles,
    /// How its makers would have tokens chosen.
    pub(crate) recommended: Recommended,
    /// Where it runs, and what that can do at best; empty until it was asked.
    pub(crate) adapter: AdapterCard,
    pub(crate) probes: Probes,
    /// The last check of it there.
    pub(crate) check: Option<Check>,
    /// How its kernels were chosen, once they were tuned.
    pub(crate) tuning: Option<TuningFacts>,
}

impl Loaded {
    /// Takes in what is kept of a conversation with the model, if that has not been done.
    ///
    /// # Errors
    /// Why it is not used; when the adapter fails.
    pub(super) async fn recall(&mut self, scope: &DedicatedWorkerGlobalScope) -> Result<()> {
        let Self { session, talk, known } = self;
        talk.kept.recall(scope, session, &known.files.sources).await
    }

    /// Keeps what was computed of the conversation, unless `is_awaited` comes true meanwhile.
    ///
    /// # Errors
    /// Why it is not kept; when the adapter fails.
    pub(super) async fn keep(
        &mut self,
        scope: &DedicatedWorkerGlobalScope,
        is_awaited: &dyn Fn() -> bool,
    ) -> Result<()> {
        let Self { session, talk, known } = self;
        talk.kept.keep(scope, session, &known.files.sources, is_awaited).await
    }

    /// All turns are over, and what was kept of them is gone.
    pub(super) async fn forget(&mut self, scope: &DedicatedWorkerGlobalScope) {
        self.talk.forget();
        self.talk.kept.forget(scope, &self.known.files.sources).await;
    }

    /// The model in a few facts, in reading order.
    pub(crate) fn card(&self) -> ModelCard {
        let outline = self.session.outline();
        let fact = |what: &str, how: String| (what.to_owned(), how);
        let architecture = match outline.architecture.as_str() {
            "deepseek4" => "DeepSeek V4",
            other => other,
        };
        let experts = outline.experts.map_or_else(|| "none".into(), |(n, used)| format!("{n}, {used} used"));
        let facts = vec![
            fact("Architecture", architecture.into()),
            fact("Parameters", short(outline.n_parameters)),
            fact("Layers", outline.layer_kinds.len().to_string()),
            fact("Width", outline.n_embd.to_string()),
            fact("Experts", experts),
            fact("Context", format!("{} tokens", self.session.n_context())),
        ];
        let name = self.known.file.strip_suffix(".gguf").unwrap_or(&self.known.file).to_owned();
        let (talks, doubt) = (self.talk.conversation.is_some(), self.talk.doubt.clone());
        let Known { file, bytes, recommended, .. } = &self.known;
        let (file, bytes, recommended) = (file.clone(), *bytes as f64, *recommended);
        ModelCard { name, file, bytes, facts, talks, doubt, recommended }
    }

    /// What loading took.
    pub(crate) fn times(&self) -> LoadTimes {
        let took = self.session.load_timings();
        LoadTimes { load_ms: took.directory_ms + took.upload_ms, compile_ms: took.compile_ms }
    }

    /// The report of a text that took `timings`.
    pub(crate) fn report(&self, sampling: &Sampling, n_tokens: u32, timings: &Timings) -> Report {
        let on_cpu = matches!(self.session.choice(), ExecutorChoice::Cpu);
        let text = TextTimes::new(SamplingSettings::new(sampling, n_tokens), timings, on_cpu);
        Report { text: Some(text), ..self.blank() }
    }

    /// A report of this session, in which the limits of its adapter are all that is measured, if they are.
    pub(crate) fn blank(&self) -> Report {
        let model = ModelFacts::new(&self.session, &self.known.file, self.known.bytes);
        // Browsers never leave the shader checks out.
        let settings = Settings { shader_checks: true, ..Settings::default() };
        let report = Report::of_session(platform::platform(), &self.session, model, settings);
        Report { probes: self.known.probes.clone(), tuning: self.known.tuning.clone(), ..report }
    }
}

/// A count as people say it: 11.5 M, 284 G.
fn short(n: u64) -> String {
    match n as f64 {
        n if n >= 1e9 => format!("{:.1} G", n / 1e9),
        n => format!("{:.1} M", n / 1e6),
    }
}

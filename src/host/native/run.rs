//! `headstart run`: a text continued on stdout, and the panel of its timings on stderr; on one adapter, or on every
//! one in turn.

use super::model_files::Named;
use super::new_file::{NewFile, refuse_to_replace};
use super::progress::Progress;
use super::prompt_cache::PromptCache;
use super::terminal::visible;
use super::text_out::TextOut;
use super::{
    Ending, arguments, choice, converse, ending, interrupt, json, memory, model_files, platform, prompt, tables, tune,
};
use crate::engine::run::sampling::{Dry, Xtc};
use crate::engine::{ExecutorChoice, LoadOptions, LoadProgress, Memory, Sampling, Session, Timings};
use crate::error::{Error, Result};
use crate::gpu::ShaderChecks;
use crate::measure::Report;
use crate::measure::panel;
use crate::measure::profile::profile;
use crate::measure::report::{ModelFacts, SamplingSettings, Settings, TextTimes, TuningFacts};
use crate::model::SyntheticName;
use crate::text::{Control, StopStrings};
use indicatif::BinaryBytes;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

/// A load of so many bytes takes a while, and is told of beforehand.
const WORTH_TELLING: u64 = 256 << 20;
/// Tokens of a continuation, if nobody says how many.
const N_PREDICT: u32 = 128;

/// What is the same on every adapter.
struct Request<'a> {
    model: Named,
    /// The hash of its files, where a report is to have it.
    sha256: Option<String>,
    prompt: String,
    sampling: Sampling,
    cache: Option<PromptCache>,
    arguments: &'a arguments::Run,
}

/// A text that was written somewhere.
struct Written {
    report: Report,
    ids: Vec<u32>,
}

/// Carries out the command.
pub(super) fn run(arguments: &arguments::Run) -> Result<Ending> {
    refuse_synthetic(arguments.model.model.as_deref())?;
    if arguments.talk.conversation || arguments.talk.messages.is_some() {
        return converse::converse(arguments);
    }
    if let (Some("all"), Some(cache)) = (arguments.adapter.as_deref(), &arguments.prompt_cache) {
        return Err(Error::usage("--prompt-cache", format!("{} for all adapters", cache.display()))
            .expected("one adapter, whose numbers the file holds")
            .advice("Choose one with --adapter, or leave the file out."));
    }
    let path = arguments.model.path()?;
    let (model, prompt) = (model_files::open(path.as_deref())?, prompt::read(arguments)?);
    let cache = PromptCache::new(arguments.prompt_cache.as_deref(), &model)?;
    refuse_to_replace(prompt::files_read(arguments), arguments.report.as_deref())?;
    // Begun now, so that a place that cannot be written to is found before the work and not after.
    let file = arguments.report.as_deref().map(NewFile::create).transpose()?;
    let sha256 = if file.is_some() { model_files::hash(&model)? } else { None };
    let sampling = sampling(arguments, &model)?;
    let request = Request { model, sha256, prompt, sampling, cache, arguments };
    tell_seed(&arguments.sampling, &request.sampling);
    let (reports, failed) = match arguments.adapter.as_deref() {
        Some("all") => {
            let (reports, failed) = run_all(&request);
            (json(&reports)?, failed)
        }
        wanted => (json(&run_one(&request, choice::one(wanted)?)?)?, None),
    };
    // Written also where an adapter failed: what the others did is worth keeping.
    if let Some(mut file) = file {
        file.write(reports.as_bytes())?;
        file.finish()?;
    }
    failed.map_or(Ok(ending()), Err)
}

/// Said before anything is loaded: a model of random weights has no words.
fn refuse_synthetic(path: Option<&Path>) -> Result<()> {
    match path.and_then(Path::to_str).filter(|name| SyntheticName::is_meant(name)) {
        None => Ok(()),
        Some(name) => Err(Error::usage("model", format!("{name}, which has random weights and no vocabulary"))
            .expected("a model that can write")
            .advice(format!("Measure it with `headstart bench -m {name}`."))),
    }
}

fn run_one(request: &Request<'_>, choice: ExecutorChoice) -> Result<Report> {
    let written = pollster::block_on(request.write(choice, &mut TextOut::to_stdout()))?;
    eprint!("\n{}", panel::text(&panel::rows(&written.report)));
    show_stages(&written.report);
    Ok(written.report)
}

/// The same text on every adapter. The first that works writes it; the table says whether the others chose the same
/// tokens. With the reports comes the first failure, if an adapter failed.
fn run_all(request: &Request<'_>) -> (Vec<Report>, Option<Error>) {
    let (mut columns, mut reports, mut failed) = (Vec::new(), Vec::new(), None);
    let mut first: Option<Vec<u32>> = None;
    for choice in choice::all().into_iter().map(choice::place_tried) {
        let name = choice::name(&choice);
        let mut out = if first.is_none() { TextOut::to_stdout() } else { TextOut::nowhere() };
        match pollster::block_on(request.write(choice, &mut out)) {
            Ok(Written { report, ids }) => {
                let mut rows = panel::rows(&report);
                rows.push(("tokens", compare(first.as_deref(), &ids)));
                columns.push(rows);
                show_stages(&report);
                reports.push(report);
                first.get_or_insert(ids);
            }
            Err(error) => {
                columns.push(vec![("adapter", name.clone()), ("tokens", format!("failed: {error}"))]);
                failed.get_or_insert(Error { thing: format!("{name}: {}", error.thing), ..error });
            }
        }
        if interrupt::asked() {
            break;
        }
    }
    eprintln!("\n{}", tables::side_by_side(&columns));
    (reports, failed)
}

/// What `ids` are beside those of the adapter that wrote the text.
fn compare(first: Option<&[u32]>, ids: &[u32]) -> String {
    let Some(first) = first else { return format!("{} (the text)", ids.len()) };
    let n_same = first.iter().zip(ids).take_while(|(a, b)| a == b).count();
    if n_same == first.len() && n_same == ids.len() {
        "the same".to_owned()
    } else {
        format!("the same {n_same}, then others")
    }
}

impl Request<'_> {
    /// Loads the model on one adapter, and writes there.
    async fn write(&self, choice: ExecutorChoice, out: &mut TextOut) -> Result<Written> {
        let (mut session, tuning) = load_tuned(&self.model, &self.arguments.model, choice).await?;
        let prompt = prompt::encode(session.tokenizer(), &self.prompt)?;
        let n_wanted = self.room(&session, prompt.len())?;
        let (ids, timings) = self.generate(&mut session, &prompt, n_wanted, out).await?;
        let model = ModelFacts::new(&session, &self.model.name, self.model.bytes);
        let model = ModelFacts { sha256: self.sha256.clone(), ..model };
        let settings = Settings { shader_checks: self.arguments.model.shader_checks, ..Settings::default() };
        let mut report = Report::of_session(platform::platform(), &session, model, settings);
        let on_cpu = matches!(session.choice(), ExecutorChoice::Cpu);
        let sampling = SamplingSettings::new(&self.sampling, self.n_predict().min(session.n_context()));
        report.tuning = tuning;
        report.text = Some(TextTimes::new(sampling, &timings, on_cpu));
        if self.arguments.profile {
            let depth = (prompt.len() + n_wanted).min(session.n_context() as usize - 1);
            let profile = profile(&mut session, 1, depth as u32, &report.probes).await?;
            if profile.is_none() {
                eprintln!("headstart: the stages cannot be timed: this adapter has no timestamps");
            }
            report.profiles.extend(profile);
        }
        Ok(Written { report, ids })
    }

    fn n_predict(&self) -> u32 {
        self.arguments.n_predict.unwrap_or(N_PREDICT)
    }

    /// How many tokens may follow the prompt: as many as asked for, or as the context has room for.
    fn room(&self, session: &Session, n_prompt: usize) -> Result<usize> {
        let (n_context, wanted) = (session.n_context() as usize, self.n_predict() as usize);
        let room = n_context.saturating_sub(n_prompt);
        if room == 0 {
            return Err(Error::usage("prompt", format!("{n_prompt} tokens"))
                .expected(format!("at most {}: the context has room for {n_context}", n_context - 1))
                .advice("Shorten the prompt, or make more room with -c, up to what the model was trained for."));
        }
        if room < wanted && self.n_predict() != arguments::UNLIMITED {
            eprintln!(
                "headstart: the context has room for {room} tokens after the prompt, not {wanted}; -c makes more"
            );
        }
        Ok(room.min(wanted))
    }

    async fn generate(
        &self,
        session: &mut Session,
        prompt: &[u32],
        n_wanted: usize,
        out: &mut TextOut,
    ) -> Result<(Vec<u32>, Timings)> {
        let mut stream = session.tokenizer().map(|tokenizer| tokenizer.stream(Control::Hide));
        let mut texts = self.arguments.ending.stop_strings();
        if !self.arguments.ending.ignore_eos {
            texts.extend(self.model.files.open().await?.stop_strings.iter().cloned());
        }
        // A control token is no part of the text that is looked through: one that is a stop ends it as the model's own do.
        let mut ends = session.ends();
        ends.extend(texts.iter().filter_map(|text| session.tokenizer()?.control_id_of(text)));
        let mut stops = StopStrings::new(&texts);
        let mut ids = Vec::new();
        let watch = interrupt::watch();
        let spinner = Progress::spinner(format!("reading the prompt, {} tokens", prompt.len()));
        if let Some(cache) = &self.cache {
            cache.recall(session).await?;
        }
        let mut generation = session.go_on(prompt, &self.sampling, n_wanted, &ends).await?;
        drop(spinner);
        out.show_prompt(&self.prompt);
        while !interrupt::asked() && !out.is_closed() && stops.found().is_none() {
            let Some(id) = generation.next().await? else { break };
            ids.push(id);
            let text = stream.as_mut().map(|stream| stream.push(id)).unwrap_or_default();
            out.write(&stops.push(&text))?;
        }
        let rest = stream.map(|mut stream| stream.finish()).unwrap_or_default();
        out.write(&(stops.push(&rest) + &stops.finish()))?;
        out.end();
        let timings = generation.finish().await?;
        drop(watch);
        if let Some(cache) = &self.cache {
            eprintln!("headstart: {} of {} tokens of the prompt were known", timings.n_known, timings.n_prompt);
            cache.keep(session).await?;
        }
        Ok((ids, timings))
    }
}

/// Loads a model with a bar on stderr, and tells what was noticed.
pub(super) async fn load(model: &Named, options: &arguments::Model, choice: ExecutorChoice) -> Result<Session> {
    load_tuned(model, options, choice).await.map(|(session, _)| session)
}

/// As [`load`]; says how the kernels were chosen, too. A context that is longer than the model was made for is that, with a word.
pub(super) async fn load_tuned(
    model: &Named,
    options: &arguments::Model,
    choice: ExecutorChoice,
) -> Result<(Session, Option<TuningFacts>)> {
    let most = model.files.open().await?.context_length();
    if let Some(asked) = options.n_context().filter(|asked| *asked > most) {
        eprintln!("headstart: the context is {most} tokens, the most that the model was made for, and not {asked}");
    }
    let n_context = options.n_context().map(|asked| asked.min(most));
    let mut session = load_untuned(model, options, n_context, choice).await?;
    let tuning = tune::after_load(&mut session, options.tune).await?;
    Ok((session, tuning))
}

/// As [`load`], with the choices that are known, and no search for others.
pub(super) async fn load_untuned(
    model: &Named,
    options: &arguments::Model,
    n_context: Option<u32>,
    choice: ExecutorChoice,
) -> Result<Session> {
    let shader_checks = if options.shader_checks { ShaderChecks::On } else { ShaderChecks::Off };
    let most_bytes = memory::free_bytes(&choice);
    let cache = options.cache;
    let usual = LoadOptions::default();
    let options = LoadOptions {
        n_context,
        n_usual: if options.ctx_size == Some(0) { u32::MAX } else { usual.n_usual },
        shader_checks,
        most_bytes,
        cache: options.cache.types(&choice),
        tuning: tune::at_load(&choice, options.tune, options.rounds),
        ..usual
    };
    let mut progress = Progress::new();
    let mut heard = |at| {
        progress.load(&at);
        if let LoadProgress::Planned { n_context, memory } = at
            && memory.bytes() >= WORTH_TELLING
        {
            progress.say(&plan_in_words(n_context, memory, most_bytes));
        }
    };
    let session = Session::load(&model.files, choice, &options, &mut heard).await?;
    drop(progress);
    for notice in session.notices().iter().cloned().chain(cache.notice(&session)) {
        eprintln!("headstart: {}", visible(&notice));
    }
    Ok(session)
}

/// What a load is about to take, for a person who waits for it.
fn plan_in_words(n_context: u32, memory: Memory, most_bytes: Option<u64>) -> String {
    let free = most_bytes.map(|most| format!(" of {} that are free", BinaryBytes(most))).unwrap_or_default();
    format!(
        "headstart: loading {}{free}: {} of weights, {} of cache for {n_context} tokens, {} of scratch",
        BinaryBytes(memory.bytes()),
        BinaryBytes(memory.weights),
        BinaryBytes(memory.cache),
        BinaryBytes(memory.scratch)
    )
}

fn show_stages(report: &Report) {
    if let Some(table) = tables::stages(report) {
        eprintln!("\n{table}");
    }
}

/// How tokens are chosen: as the command line says, or else as the model's files recommend, which is told.
pub(super) fn sampling(arguments: &arguments::Run, model: &Named) -> Result<Sampling> {
    let asked = asked_sampling(arguments)?;
    let of = pollster::block_on(model.files.open())?.recommended;
    let mut taken = Taken { given: &arguments.sampling.given, words: Vec::new() };
    let sampling = Sampling {
        temperature: taken.or("temp", of.temperature, asked.temperature),
        top_k: taken.or("top_k", of.top_k, asked.top_k),
        top_p: taken.or("top_p", of.top_p, asked.top_p),
        min_p: taken.or("min_p", of.min_p, asked.min_p),
        repeat_penalty: taken.or("repeat_penalty", of.repeat_penalty, asked.repeat_penalty),
        repeat_window: taken.or("repeat_last_n", of.repeat_window, asked.repeat_window),
        ..asked
    };
    if !taken.words.is_empty() {
        eprintln!("headstart: as the model's files recommend: {}", taken.words.join(" "));
    }
    Ok(sampling)
}

/// What was taken from a model's files, as options.
struct Taken<'a> {
    given: &'a [String],
    words: Vec<String>,
}

impl Taken<'_> {
    fn or<T: Copy + std::fmt::Display>(&mut self, option: &str, recommended: Option<T>, asked: T) -> T {
        match recommended.filter(|_| !self.given.iter().any(|given| given == option)) {
            Some(value) => {
                self.words.push(format!("--{} {value}", option.replace('_', "-")));
                value
            }
            None => asked,
        }
    }
}

/// As the command line says.
fn asked_sampling(arguments: &arguments::Run) -> Result<Sampling> {
    let options = &arguments.sampling;
    // -1 stands for all.
    let window = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    let breakers = match options.dry_sequence_breaker.as_slice() {
        [] => Dry::default().breakers,
        given => given.iter().filter(|breaker| *breaker != "none").map(|breaker| prompt::unescaped(breaker)).collect(),
    };
    Ok(Sampling {
        temperature: options.temp,
        top_k: options.top_k,
        top_p: options.top_p,
        min_p: options.min_p,
        typical_p: options.typical,
        top_n_sigma: options.top_n_sigma,
        xtc: Xtc { probability: options.xtc_probability, threshold: options.xtc_threshold },
        repeat_penalty: options.repeat_penalty,
        presence_penalty: options.presence_penalty,
        frequency_penalty: options.frequency_penalty,
        repeat_window: window(options.repeat_last_n),
        dry: Dry {
            multiplier: options.dry_multiplier,
            base: options.dry_base,
            allowed_length: options.dry_allowed_length,
            window: window(options.dry_penalty_last_n),
            breakers,
        },
        logit_bias: options.logit_bias.iter().flat_map(|biases| biases.0.clone()).collect(),
        ignore_ends: arguments.ending.ignore_eos,
        grammar: arguments.grammar.read()?,
        // The standard library's hash keys are random; that is all the randomness that a seed needs.
        seed: given_seed(options).unwrap_or_else(|| RandomState::new().hash_one(0_u32) as u32),
    })
}

fn given_seed(options: &arguments::SamplingOptions) -> Option<u32> {
    options.seed.and_then(|seed| u32::try_from(seed).ok())
}

/// Tells a seed that was drawn, so that a text can be had again. Where the likeliest token is taken none is used.
pub(super) fn tell_seed(options: &arguments::SamplingOptions, sampling: &Sampling) {
    if given_seed(options).is_none() && sampling.temperature > 0.0 {
        eprintln!("headstart: --seed {}", sampling.seed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_compared_up_to_the_first_that_differs() {
        assert_eq!(compare(None, &[1, 2]), "2 (the text)");
        assert_eq!(compare(Some(&[1, 2]), &[1, 2]), "the same");
        assert_eq!(compare(Some(&[1, 2, 3]), &[1, 2, 4]), "the same 2, then others");
        assert_eq!(compare(Some(&[1, 2]), &[1]), "the same 1, then others");
    }
}

//! `headstart verify`: whether adapters compute right. Each is held against the CPU executor, kernel by kernel, stage by
//! stage and token by token, and against each other adapter.

use super::model_files::Named;
use super::new_file::NewFile;
use super::progress::Progress;
use super::{Ending, arguments, choice, ending, interrupt, json, model_files, platform, tables, tune, write_out};
use crate::engine::{ExecutorChoice, LoadOptions, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Adapter;
use crate::gpu::ShaderChecks;
use crate::measure::report::{Check, ModelFacts, OtherCheck, Settings, Verdict};
use crate::measure::verify::{self, Checked, Configs, Extent, Predictions};
use crate::measure::{Report, panel};
use clap::Parser;
use std::ops::ControlFlow;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Each adapter is held against the CPU executor, which runs the plain reference of every kernel:
  kernels   every one, in every variant that the adapter can run, over odd shapes
  stages    of the model, each from equal inputs; the first whose error is over its budget is named
  tokens    a built-in text: Kullback-Leibler divergence in nats, and the likeliest token after each
  prefill = decode   the text computed together and token by token gives the same
  twice the same     the same text again gives the same bits
A model that would take the CPU executor too long is checked by samples: results of every dispatch
of a prompt and of decode, drawn at random, are computed once more from what the adapter holds.
The exit code is 6 where something is wrong. --fault breaks a stage on purpose (on the adapters
only), to see that it is caught: then 6 says that it was, and 0 that it was not.

Examples:
  headstart verify
  headstart verify -m model.gguf --adapter 0,llvmpipe --report numbers.json
  headstart verify --fault attend --no-kernels";

/// Tokens to make room for where nobody asks for more: the built-in text.
const N_CONTEXT: u32 = 256;
/// Tokens in one step at most, on every adapter.
const N_CHUNK: u32 = 256;

/// A larger model takes the CPU executor many minutes, and is checked by samples.
const MOST_WHOLE_BYTES: u64 = 1 << 30;

/// Find out whether adapters compute right: every kernel, every stage of a model, and its tokens, against the CPU.
#[derive(Debug, Parser)]
#[command(max_term_width = 100, after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(flatten)]
    model: arguments::Model,
    /// Adapters by number or a part of the name, with commas between (see `headstart adapters`)
    #[arg(short, long, value_name = "all|INDEX|NAME[,..]", default_value = "all")]
    adapter: String,
    /// Break every stage of this name on purpose
    #[arg(long, value_name = "STAGE")]
    fault: Option<String>,
    /// Check by samples: seconds for a model of any size
    #[arg(long, conflicts_with = "whole")]
    sampled: bool,
    /// Check every number, however long it takes
    #[arg(long)]
    whole: bool,
    /// Leave out the kernels, which take longest on software adapters
    #[arg(long)]
    no_kernels: bool,
    /// The kernels in every combination of numbers that `tune --full` may choose; in software that takes many hours
    #[arg(long, conflicts_with = "no_kernels")]
    every_config: bool,
    /// The reports as JSON, one for each adapter
    #[arg(long)]
    json: bool,
    /// Write the reports to a file as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// An adapter that was checked, and the logits that it gave.
struct Verified {
    name: String,
    report: Report,
    predictions: Option<Predictions>,
}

/// Carries out the command.
pub(super) fn verify(options: &Options) -> Result<Ending> {
    let model = model_files::open(options.model.path()?.as_deref())?;
    let adapters = adapters(&options.adapter)?;
    // Begun now, so that a place that cannot be written to is found before the work and not after.
    let file = options.report.as_deref().map(NewFile::create).transpose()?;
    let watch = interrupt::watch();
    let (mut verified, failed) = pollster::block_on(verify_all(options, &model, &adapters))?;
    drop(watch);
    hold_against_each_other(&mut verified);
    let reports: Vec<&Report> = verified.iter().map(|verified| &verified.report).collect();
    let whole = json(&reports)?;
    let shown = if options.json { whole.clone() } else { tables_of(&verified) };
    write_out(shown.as_bytes())?;
    if let Some(mut file) = file {
        file.write(whole.as_bytes())?;
        file.finish()?;
    }
    match failed {
        Some(error) => Err(error),
        None if interrupt::asked() => Ok(ending()),
        None => conclude(options.fault.as_deref(), &verified),
    }
}

/// The adapters of a list; fails where there is none, as the CPU executor is what they are held against.
fn adapters(wanted: &str) -> Result<Vec<Adapter>> {
    let gpu = |choice| match choice {
        ExecutorChoice::Gpu(adapter) => Some(adapter),
        ExecutorChoice::Cpu => None,
    };
    let adapters: Vec<Adapter> = match wanted {
        "all" => pollster::block_on(Adapter::all()).into_iter().map(choice::tried).collect(),
        wanted => choice::list(Some(wanted))?.into_iter().filter_map(gpu).collect(),
    };
    if adapters.is_empty() {
        return Err(Error::adapter("verify", "no adapter to hold against the CPU executor").advice(choice::INSTALL));
    }
    Ok(adapters)
}

/// Every adapter that works, and the first failure of one that does not.
async fn verify_all(options: &Options, model: &Named, adapters: &[Adapter]) -> Result<(Vec<Verified>, Option<Error>)> {
    let n_context = match options.model.n_context() {
        Some(n) => n,
        None => model.files.open().await?.context_length().min(N_CONTEXT),
    };
    let shader_checks = shader_checks(options);
    let n_chunk = Some(N_CHUNK);
    let load = LoadOptions { n_context: Some(n_context), n_chunk, shader_checks, ..LoadOptions::default() };
    let is_sampled = is_sampled(options, model);
    let mut oracle: Option<Session> = None;
    let (mut verified, mut failed) = (Vec::new(), None);
    for adapter in adapters {
        let cache = options.model.cache.types(&ExecutorChoice::Gpu(adapter.clone()));
        let load = LoadOptions { cache, ..load.clone() };
        let broken = LoadOptions { fault: options.fault.clone(), ..load };
        match verify_one(options, model, adapter, &broken, (!is_sampled).then_some(&mut oracle)).await {
            Ok(one) => verified.push(one),
            // A stage that the model does not have is no fault of an adapter.
            Err(error) if error.kind == ErrorKind::Usage => return Err(error),
            Err(error) => {
                let name = choice::name(&ExecutorChoice::Gpu(adapter.clone()));
                let error = Error { thing: format!("{name}: {}", error.thing), ..error };
                eprintln!("headstart: {error}");
                failed.get_or_insert(error);
            }
        }
        if interrupt::asked() {
            break;
        }
    }
    Ok((verified, failed))
}

/// Whether the model is checked by samples; says so where nobody asked for it.
fn is_sampled(options: &Options, model: &Named) -> bool {
    let is_large = model.bytes > MOST_WHOLE_BYTES;
    if is_large && !options.whole && !options.sampled {
        eprintln!(
            "headstart: a model of {} is checked by samples; --whole checks all of it",
            panel::bytes(model.bytes)
        );
    }
    options.sampled || (is_large && !options.whole)
}

fn shader_checks(options: &Options) -> ShaderChecks {
    if options.model.shader_checks { ShaderChecks::On } else { ShaderChecks::Off }
}

async fn load_session(model: &Named, choice: ExecutorChoice, load: &LoadOptions) -> Result<Session> {
    let mut progress = Progress::new();
    Session::load(&model.files, choice, load, &mut |at| progress.load(&at)).await
}

/// The model on the CPU executor as it lies in a session: the one that is kept, or a new one. Adapters keep keys and values in
/// their own ways, and some take smaller steps than they are asked for.
async fn oracle_of<'a>(
    kept: &'a mut Option<Session>,
    session: &Session,
    model: &Named,
    load: &LoadOptions,
) -> Result<&'a mut Session> {
    let fitting = match kept.take().filter(|oracle| oracle.lies_as(session)) {
        Some(oracle) => oracle,
        None => {
            let (n_chunk, cache) = (Some(session.n_chunk()), session.cache_types());
            let options = LoadOptions { n_context: load.n_context, n_chunk, cache, ..LoadOptions::default() };
            load_session(model, ExecutorChoice::Cpu, &options).await?
        }
    };
    Ok(kept.insert(fitting))
}

async fn verify_one(
    options: &Options,
    model: &Named,
    adapter: &Adapter,
    load: &LoadOptions,
    oracle: Option<&mut Option<Session>>,
) -> Result<Verified> {
    let choice = ExecutorChoice::Gpu(adapter.clone());
    let name = choice::name(&choice);
    let mut progress = Progress::new();
    let mut watch = |at: &crate::measure::Progress| {
        progress.measure_on(&name, at);
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    // First, since a file that is damaged is said at once; the kernels take minutes.
    let tuning = tune::at_load(&choice, options.model.tune, options.model.rounds);
    let mut session = load_session(model, choice, &LoadOptions { tuning, ..load.clone() }).await?;
    let configs = if options.every_config { Configs::Combinations } else { Configs::All };
    let kernels = match options.no_kernels {
        true => None,
        false => Some(verify::kernels(adapter, load.shader_checks, configs, &mut watch).await?),
    };
    let ids = verify::built_in_ids(&session)?;
    let Checked { mut check, predictions } = match oracle {
        Some(kept) => {
            let oracle = oracle_of(kept, &session, model, load).await?;
            verify::check_and_keep(&mut session, oracle, &ids, Extent::Full, &mut watch).await?
        }
        None => Checked {
            check: verify::check_sampled(&mut session, &ids, verify::any_seed(), &mut watch).await?,
            predictions: None,
        },
    };
    if let Some(kernels) = kernels {
        verify::add_kernels(&mut check, kernels);
    }
    let facts = ModelFacts::new(&session, &model.name, model.bytes);
    let settings = Settings { shader_checks: options.model.shader_checks, ..Settings::default() };
    let mut report = Report::of_session(platform::platform(), &session, facts, settings);
    report.check = Some(check);
    drop(progress);
    Ok(Verified { name, report, predictions })
}

/// Adds to each adapter's check how far every other adapter's logits are from its own.
fn hold_against_each_other(verified: &mut [Verified]) {
    for index in 0..verified.len() {
        let others: Vec<OtherCheck> = (0..verified.len()).filter_map(|other| pair(verified, index, other)).collect();
        if let Some(check) = &mut verified[index].report.check {
            check.others = others;
        }
    }
}

fn pair(verified: &[Verified], index: usize, other: usize) -> Option<OtherCheck> {
    let (expected, found) = (verified[index].predictions.as_ref()?, verified[other].predictions.as_ref()?);
    let adapter = verified[other].name.clone();
    (index != other).then(|| OtherCheck { adapter, tokens: expected.against(found) })
}

fn tables_of(verified: &[Verified]) -> String {
    let column = |verified: &Verified| {
        let mut rows = vec![("adapter", verified.name.clone())];
        rows.extend(verified.report.check.iter().flat_map(verify::rows));
        rows
    };
    let columns: Vec<_> = verified.iter().map(column).collect();
    let mut shown = format!("{}\n", tables::side_by_side(&columns));
    for Verified { name, report, .. } in verified {
        if let Some(check) = &report.check {
            shown += &format!("\n{name}: {}, {}.\n", check.verdict.label(), check.summary);
        }
    }
    shown += "\nAn error of 100 % of its budget is the limit.\n";
    if verified.len() > 1 {
        let names: Vec<&str> = verified.iter().map(|verified| verified.name.as_str()).collect();
        let cell = |row: &Verified, name: &str| {
            let others = row.report.check.iter().flat_map(|check| &check.others);
            let tokens = others.filter(|other| other.adapter == name).map(|other| other.tokens).next()?;
            Some(format!("{}, {} of {} the same", verify::divergence(tokens.kl_mean), tokens.n_same, tokens.n_tokens))
        };
        let rows = verified.iter().map(|row| {
            let cells = names.iter().map(|name| cell(row, name).unwrap_or_default());
            [row.name.clone()].into_iter().chain(cells).collect()
        });
        shown += &format!("\n{}\n", tables::square("mean KL from \\ of", &names, rows));
    }
    shown
}

/// An error where numbers are wrong. With a fault on purpose that is what was wanted; where it is not caught, that is
/// said loudly.
fn conclude(fault: Option<&str>, verified: &[Verified]) -> Result<Ending> {
    let checks = || verified.iter().filter_map(|v| v.report.check.as_ref().map(|check| (v, check)));
    let is_wrong = |check: &Check| check.verdict == Verdict::Wrong;
    let wrong: Vec<String> = checks()
        .filter(|(_, check)| is_wrong(check))
        .map(|(verified, check)| format!("{}: {}", verified.name, check.summary))
        .collect();
    let missed: Vec<&str> = checks().filter(|(_, c)| !is_wrong(c)).map(|(v, _)| v.name.as_str()).collect();
    match fault {
        Some(fault) if !missed.is_empty() => {
            eprintln!("headstart: THE FAULT IN {fault} WAS NOT CAUGHT on {}", missed.join(", "));
            Ok(ending())
        }
        Some(fault) => Err(Error::numbers(format!("the fault in {fault} was caught"), wrong.join("; "))),
        None if wrong.is_empty() => Ok(ending()),
        None => Err(Error::numbers("wrong numbers", wrong.join("; "))
            .advice("Update the driver, try --shader-checks, and tell us with --report")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::AdapterFacts;
    use crate::measure::report::Platform;

    fn verified(name: &str, verdict: Verdict) -> Verified {
        let mut report = Report::of_adapter(Platform::default(), AdapterFacts::of_cpu());
        report.check = Some(Check { verdict, summary: format!("{name} in words"), ..Check::default() });
        Verified { name: name.to_owned(), report, predictions: None }
    }

    #[test]
    fn wrong_numbers_are_an_error_that_names_the_adapter() {
        let all = [verified("one", Verdict::Right), verified("two", Verdict::Wrong)];
        let error = conclude(None, &all).expect_err("wrong numbers");
        assert_eq!(error.kind, ErrorKind::Numbers);
        assert!(error.found.contains("two: two in words") && !error.found.contains("one"), "{error}");
        assert_eq!(conclude(None, &all[..1]), Ok(Ending::Done));
    }

    #[test]
    fn a_fault_is_an_error_where_every_adapter_catches_it() {
        let all = [verified("one", Verdict::Wrong), verified("two", Verdict::Wrong), verified("three", Verdict::Right)];
        let error = conclude(Some("attend"), &all[..2]).expect_err("wrong numbers");
        assert!(error.kind == ErrorKind::Numbers && error.to_string().starts_with("the fault in attend was caught"));
        assert_eq!(conclude(Some("attend"), &all), Ok(Ending::Done), "not caught on three");
    }
}

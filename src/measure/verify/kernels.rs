//! Every kernel in every variant that an adapter can run, over small dispatches of odd shapes, against its reference.

use crate::error::Result;
use crate::format::Format;
use crate::gpu::ShaderChecks;
use crate::gpu::executor_gpu::GpuExecutor;
use crate::gpu::lower::lower;
use crate::gpu::op::compose;
use crate::gpu::space::product;
use crate::gpu::{
    Adapter, Caps, Case, Choice, Config, Executor, Nibbles, Op, Problem, Reduce, Rounding, Tile, Tuning, Variant,
};

use crate::kernels::ALL;
use crate::measure::report::KernelCheck;
use crate::measure::{Progress, Watch};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// In which configs kernels are held against their references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Configs {
    /// Those by which every path of a kernel is taken: thousands of dispatches.
    All,
    /// The adapter's own, by which it runs what was not tuned. A tuner checks what it chooses itself.
    Own,
    /// Each number that a search may choose on a GPU: from a GPU's guess on, one axis of a variant's space after the other, over
    /// its cases by turns. On a program on the CPU, too, as far as it can run them.
    Numbers,
    /// All of `All`, and every combination of numbers that a search may choose there or on a GPU, over each case.
    Combinations,
}

/// Holds every kernel on an adapter against its reference, in every variant; what the watch broke off is not counted.
/// A shader that the adapter refuses is a wrong kernel. In a browser the adapter must be a fresh one, since it gives only
/// one device.
///
/// # Errors
/// When the adapter gives no device.
pub async fn kernels(
    adapter: &Adapter,
    shader_checks: ShaderChecks,
    configs: Configs,
    watch: &mut Watch<'_>,
) -> Result<KernelCheck> {
    let executor = open(adapter, shader_checks).await?;
    let check = KernelCheck::default();
    let mut examined = Examined { adapter, shader_checks, configs, executor, check, watch, n_done: 0 };
    for kernel in ALL {
        let runs = |case: &Case| case.recording.stages.iter().all(|stage| adapter.caps.run(&stage.spec));
        let mut cases: Vec<Held> = (kernel.cases)().into_iter().filter(runs).map(Held::new).collect();
        let mut goes_on = ControlFlow::Continue(());
        if matches!(configs, Configs::Numbers | Configs::Combinations) {
            goes_on = examined.by_space(kernel, &mut cases).await;
        }
        if configs != Configs::Numbers && goes_on.is_continue() {
            goes_on = examined.by_paths(kernel, &mut cases).await;
        }
        if goes_on.is_break() {
            break;
        }
        examined.n_done += 1;
    }
    Ok(examined.check)
}

/// An adapter whose kernels are held against their references.
struct Examined<'a, 'w> {
    adapter: &'a Adapter,
    shader_checks: ShaderChecks,
    configs: Configs,
    executor: Executor,
    check: KernelCheck,
    watch: &'a mut Watch<'w>,
    /// Kernels that are done.
    n_done: u32,
}

impl Examined<'_, '_> {
    /// A kernel's cases in configs, each in every variant.
    async fn by_paths(&mut self, kernel: &Op, cases: &mut [Held]) -> ControlFlow<()> {
        for config in configs_of(self.adapter, self.configs) {
            self.tell(format!("kernel {}, {:?}", kernel.name, config.reduce))?;
            for held in &mut *cases {
                for tuning in tunings(&held.case, config) {
                    self.hold(held, tuning, || format!("{} {config:?}", kernel.name)).await?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// A kernel's cases in what a search may choose for each of its variants.
    async fn by_space(&mut self, kernel: &Op, cases: &mut [Held]) -> ControlFlow<()> {
        let by_turns = self.configs == Configs::Numbers;
        let caps = self.adapter.caps;
        let gpu = Caps { is_software: false, ..caps };
        let guess = Config::guess(&gpu);
        for variant in kernel.variants {
            let is_computed = |held: &&mut Held| {
                let mut own = held.case.recording.stages.iter().filter(|stage| stage.op.name == kernel.name).peekable();
                own.peek().is_some() && own.all(|stage| variant.can(stage, &caps))
            };
            let mut cases: Vec<&mut Held> = cases.iter_mut().filter(is_computed).collect();
            let n = cases.len().max(1);
            let configs = if by_turns { numbers(variant, &gpu) } else { combinations(variant, &caps) };
            for (turn, config) in configs.into_iter().filter(|config| config.runs_on(&caps)).enumerate() {
                self.tell(format!("kernel {}, {}", kernel.name, variant.name))?;
                let choice = Choice { variant: variant.name.to_owned(), config };
                for (at, held) in cases.iter_mut().enumerate() {
                    if by_turns && at != turn % n {
                        continue;
                    }
                    let own = held.case.recording.stages.iter().filter(|stage| stage.op.name == kernel.name);
                    let tuning = own.fold(Tuning::uniform(config).rounded(Rounding::Int8), |tuning, stage| {
                        tuning.with(Problem::of(stage), choice.clone())
                    });
                    self.hold(held, tuning, || choice.beside(&guess)).await?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn tell(&mut self, what: String) -> ControlFlow<()> {
        (self.watch)(&Progress { what, done: self.n_done, total: ALL.len() as u32 })
    }

    /// Runs a case by choices, unless it was run by the same texts, and notes what is wrong. Breaks off where the adapter gives no
    /// device any more.
    async fn hold(&mut self, held: &mut Held, tuning: Tuning, choice: impl Fn() -> String) -> ControlFlow<()> {
        if !held.seen.insert(texts(&held.case, &self.adapter.caps, &tuning)) {
            return ControlFlow::Continue(());
        }
        self.check.n_cases += 1;
        self.executor.tune(tuning);
        let found = held.wrong_in(&mut self.executor).await;
        let is_lost = found.is_err();
        if let Some(place) = found.unwrap_or_else(|error| Some(error.to_string())) {
            let words = || format!("{}, {}: {place}", choice(), held.case.name);
            self.check.first_wrong.get_or_insert_with(words);
            self.check.n_wrong += 1;
        }
        if is_lost {
            // A device that has reported a fault does nothing any more.
            let Ok(another) = open(self.adapter, self.shader_checks).await else { return ControlFlow::Break(()) };
            self.executor = another;
        }
        ControlFlow::Continue(())
    }
}

/// The guess, and each number of a variant's space by itself.
fn numbers(variant: &Variant, caps: &Caps) -> Vec<Config> {
    let guess = Config::guess(caps);
    let others = (variant.way.space)(caps).into_iter().flatten().map(|change| guess.with(change));
    std::iter::once(guess).chain(others).collect()
}

/// Every combination of a variant's space, and of that which it has on a GPU.
fn combinations(variant: &Variant, caps: &Caps) -> Vec<Config> {
    let gpu = Caps { is_software: false, ..*caps };
    let of = |caps: &Caps| product(&(variant.way.space)(caps), Config::guess(caps));
    let own = if caps.is_software { of(caps) } else { Vec::new() };
    own.into_iter().chain(of(&gpu)).collect()
}

/// A case, and what is kept of it from config to config.
struct Held {
    case: Case,
    /// Its outputs by the references, once they are wanted: those of many tokens take longer than an adapter.
    expected: Option<Vec<Vec<u8>>>,
    /// Many kernels have one text whatever is chosen: each text runs a case once.
    seen: BTreeSet<Vec<String>>,
}

impl Held {
    fn new(case: Case) -> Self {
        Self { case, expected: None, seen: BTreeSet::new() }
    }

    /// What is wrong with the case on an executor, if anything is; an error is that, too.
    async fn wrong_in(&mut self, executor: &mut Executor) -> Result<Option<String>> {
        let case = &self.case;
        let expected = match self.expected.take() {
            Some(expected) => expected,
            None => run_case(&mut Executor::Cpu(Box::default()), case).await?,
        };
        let expected = &*self.expected.insert(expected);
        let found = run_case(executor, case).await?;
        let variants = case.recording.stages.iter().flat_map(|stage| executor.variants(stage, None));
        let budget = variants.map(|variant| variant.precision.budget(0.0)).fold(0.0, f64::max) as f32;
        let mut outputs = expected.iter().zip(&found).zip(&case.outputs).enumerate();
        Ok(outputs.find_map(|(index, ((expected, found), (_, tolerance)))| {
            let difference = match *tolerance > 0.0 && budget > 0.0 {
                true => rounded_difference(expected, found, budget),
                false => difference(expected, found, *tolerance),
            };
            difference.map(|place| format!("output {index} {place}"))
        }))
    }
}

async fn open(adapter: &Adapter, shader_checks: ShaderChecks) -> Result<Executor> {
    Ok(Executor::Gpu(Box::new(GpuExecutor::open(adapter, shader_checks).await?)))
}

/// The texts that a case runs.
fn texts(case: &Case, caps: &Caps, tuning: &Tuning) -> Vec<String> {
    let program = lower(&case.recording, caps, tuning);
    program.dispatches.iter().map(|dispatch| compose(dispatch.variant, &dispatch.spec, false)).collect()
}

/// Configs for the cases, which are small, so that every path of a kernel is taken.
#[must_use]
pub fn configs() -> Vec<Config> {
    let small = Config { row_lanes: 16, weight_lanes: 16, vector_lanes: 32, ..Config::default() };
    let of = |((reduce, rows, block_lanes, nibbles), tile)| Config {
        reduce,
        rows,
        block_lanes,
        nibbles,
        tile,
        shared_inputs: rows > 1,
        ..small
    };
    let configs = [
        (Reduce::Thread, 1, 1, Nibbles::Mantissa),
        (Reduce::Thread, 2, 1, Nibbles::Convert),
        (Reduce::Workgroup, 1, 4, Nibbles::Convert),
        (Reduce::Subgroup, 4, 1, Nibbles::Mantissa),
        (Reduce::Subgroup, 2, 4, Nibbles::Mantissa),
    ];
    configs.into_iter().zip(Tile::ALL.into_iter().skip(1)).map(of).collect()
}

/// Those that an adapter can run, and its own.
fn configs_of(adapter: &Adapter, wanted: Configs) -> Vec<Config> {
    let own = adapter.tuning().config;
    // Cooperative tiles are a matter of the adapter's matrices.
    let cooperative = Tile::COOPERATIVE.map(|cooperative| Config { cooperative, ..own });
    let others = if wanted == Configs::Own { Vec::new() } else { configs() };
    others.into_iter().chain([own]).chain(cooperative).filter(|config| config.runs_on(&adapter.caps)).collect()
}

/// Choices by which a case is run with a config, one for each variant of its kernels that can compute it.
#[must_use]
pub fn tunings(case: &Case, config: Config) -> Vec<Tuning> {
    let stages = &case.recording.stages;
    let format = stages.iter().find_map(|stage| stage.spec.value_of("FORMAT"));
    // How a tile is computed does not depend on the weights' format: one of them meets every tile.
    let tile = match format.map(|format| format as usize) {
        Some(format) if format != Format::F32 as usize => Tile::ALL[format % 2],
        _ => config.tile,
    };
    let config = Config { tile, ..config };
    let n_variants = stages.iter().map(|stage| stage.op.variants.len()).max().unwrap_or(0);
    let with_variant = |number: usize| {
        stages.iter().fold(Tuning::uniform(config).rounded(Rounding::Int8), |tuning, stage| {
            let variant = stage.op.variants.get(number).filter(|variant| (variant.allows)(stage));
            let variant = variant.unwrap_or(&stage.op.variants[0]);
            tuning.with(Problem::of(stage), Choice { variant: variant.name.to_owned(), config })
        })
    };
    (0..n_variants).map(with_variant).collect()
}

/// Runs a case and reads its outputs.
///
/// # Errors
/// When the adapter refuses a shader, or is lost.
pub async fn run_case(executor: &mut Executor, case: &Case) -> Result<Vec<Vec<u8>>> {
    executor.allocate(&case.arena).await?;
    for (buffer, bytes) in &case.inputs {
        executor.write(case.arena.whole(*buffer), 0, bytes);
    }
    let prepared = executor.prepare(&case.recording).await?;
    let mut read = Vec::new();
    for (index, (buffer, _)) in case.outputs.iter().enumerate() {
        let ticket = executor.submit(prepared, u32::from(index == 0), case.arena.whole(*buffer))?;
        read.push(executor.finish(ticket).await?);
    }
    Ok(read)
}

/// As [`difference`], by the measure of variants that round: relative to the root mean square of what is expected, of which
/// zeros are no part, and to the value itself.
fn rounded_difference(expected: &[u8], found: &[u8], budget: f32) -> Option<String> {
    let values = || bytemuck::pod_collect_to_vec::<u8, f32>(expected).into_iter().filter(|value| *value != 0.0);
    let rms = (values().map(|value| value * value).sum::<f32>() / values().count().max(1) as f32).sqrt();
    difference_of(expected, found, budget, rms)
}

/// The first place where two outputs differ by more than `tolerance` relative to `1 + |expected|`; where it is 0, by
/// any bit. What is no number is equal to nothing but its own bits.
#[must_use]
pub fn difference(expected: &[u8], found: &[u8], tolerance: f32) -> Option<String> {
    difference_of(expected, found, tolerance, 1.0)
}

/// As [`difference`], relative to `size + |expected|`.
fn difference_of(expected: &[u8], found: &[u8], tolerance: f32, size: f32) -> Option<String> {
    let words = |bytes: &[u8]| -> Vec<u32> { bytemuck::pod_collect_to_vec(bytes) };
    if expected.len() != found.len() {
        return Some(format!("has {} bytes, expected {}", found.len(), expected.len()));
    }
    let pairs = words(expected).into_iter().zip(words(found));
    pairs.enumerate().find_map(|(index, (e, f))| {
        let (x, y) = (f32::from_bits(e), f32::from_bits(f));
        // Beside an infinity everything would be near enough.
        let near = x.is_finite() && (x - y).abs() <= tolerance * (size + x.abs());
        let same = e == f || (tolerance > 0.0 && near);
        (!same).then(|| format!("at {index}: expected {x} ({e}), found {y} ({f})"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_change_several_numbers_and_are_those_of_both_kinds_of_adapter() {
        let caps = Caps { subgroup: 8, ..Caps::default() };
        let guess = Config::guess(&Caps { is_software: false, ..caps });
        let variant = &crate::kernels::linear::OP.variants[0];
        let most = |configs: &[Config]| configs.iter().map(|config| config.beside(&guess).len()).max();
        let (each, all) = (numbers(variant, &caps), combinations(variant, &caps));
        let of_gpu = combinations(variant, &Caps { is_software: false, ..caps });
        assert!(most(&numbers(variant, &Caps { is_software: false, ..caps })) == Some(1) && most(&of_gpu) > Some(3));
        assert!(all.len() > of_gpu.len() && of_gpu.iter().all(|config| all.contains(config)));
        assert!(each.len() < of_gpu.len());
    }

    #[test]
    fn a_difference_is_one_word_past_its_tolerance() {
        let bytes = |values: [f32; 2]| bytemuck::cast_slice::<f32, u8>(&values).to_vec();
        let expected = bytes([1.0, -2.0]);
        assert_eq!(difference(&expected, &expected, 0.0), None);
        assert_eq!(difference(&expected, &bytes([1.0, -2.0003]), 1e-3), None);
        for wrong in [2.0, -2.01, f32::NAN, f32::INFINITY] {
            assert!(difference(&expected, &bytes([1.0, wrong]), 1e-3).is_some_and(|place| place.contains("at 1")));
            assert!(difference(&bytes([1.0, wrong]), &expected, 1e-3).is_some());
        }
        assert!(difference(&expected, &bytes([1.0, -2.0 - 1e-6]), 0.0).is_some());
        assert!(difference(&expected, &expected[..4], 1.0).is_some());
    }
}

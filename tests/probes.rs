//! The probes of every adapter present: there and plausible; and none of a kernel that computes wrongly counts. No time is asserted: bounds are those of any machine.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]

use std::ops::ControlFlow;

use crate::support::adapters;
use headstart::gpu::{Adapter, Caps, Op, Recording, Variant};
use headstart::kernels;
use headstart::measure::probe::{Options, probe_cpu, probe_with, subgroups_are_right, with_right_subgroups};
use headstart::measure::report::{Probe, ProbeKind, Probes};
use headstart::measure::{Progress, Report};

/// As short as a probe can be: the figures are poor, but everything runs.
const SHORT: Options<'_> =
    Options { run_ms: 2.0, repeats: 3, patience_ms: 0.0, large_bytes: Some(16 << 20), alter: &|_| {} };

fn probe(adapter: &Adapter, options: &Options<'_>) -> Probes {
    pollster::block_on(probe_with(adapter, options, &mut |_: &Progress| ControlFlow::Continue(()))).unwrap()
}

/// Between which bounds a figure of a kind must lie on any machine, in its unit.
fn bounds(kind: ProbeKind) -> (f64, f64) {
    match kind.unit() {
        "GB/s" => (0.001, 1e5),
        "Gop/s" => (0.001, 1e7),
        "µs" => (0.01, 1e6),
        "ms" => (0.001, 1e5),
        unit => panic!("{unit} is no unit of a probe"),
    }
}

fn assert_plausible(name: &str, probe: &Probe) {
    let Probe { kind, value, right } = probe;
    assert!(right, "{name}: {kind:?} is not right");
    assert!(value.n >= 3 && value.sd.is_finite() && value.sd >= 0.0, "{name}: {kind:?} {value:?}");
    let (least, most) = bounds(*kind);
    for figure in [value.min, value.median, value.max] {
        assert!(figure >= least && figure <= most, "{name}: {kind:?} is {figure} {}", kind.unit());
    }
}

#[test]
fn every_adapter_has_plausible_probes() {
    for adapter in &adapters() {
        let _turn = crate::support::turn(adapter);
        let name = format!("{} ({})", adapter.identity.name, adapter.identity.backend);
        let probes = probe(adapter, &SHORT);
        println!("{name}: {probes:?}");
        let kinds: Vec<ProbeKind> = probes.0.iter().map(|probe| probe.kind).collect();
        let missing: Vec<_> = ProbeKind::ALL.into_iter().filter(|kind| !kinds.contains(kind)).collect();
        assert!(missing.iter().all(|kind| *kind == ProbeKind::FmaF16), "{name}: {missing:?} are missing");
        assert_eq!(missing.is_empty(), adapter.caps.f16, "{name}: f16 is measured where it is there");
        assert!(kinds.is_sorted(), "{name}: {kinds:?}");
        for probe in &probes.0 {
            assert_plausible(&name, probe);
            assert_eq!(probes.limit(probe.kind), Some(probe.value.median));
        }
    }
}

#[test]
fn the_cpu_has_limits_too() {
    let probes = probe_cpu(&mut |_: &Progress| ControlFlow::Continue(()));
    let kinds: Vec<ProbeKind> = probes.0.iter().map(|probe| probe.kind).collect();
    assert_eq!(kinds, [ProbeKind::Read, ProbeKind::Copy, ProbeKind::FmaF32]);
    probes.0.iter().for_each(|probe| assert_plausible("CPU", probe));
}

/// A kernel with its first variant alone, and a mistake in its text.
fn broken(kernel: &'static Op, from: &str, to: &str) -> &'static Op {
    let variant = &kernel.variants[0];
    assert!(variant.source.contains(from), "{}: no `{from}`", kernel.name);
    let source: &'static str = Box::leak(variant.source.replacen(from, to, 1).into_boxed_str());
    let variants = Box::leak(Box::new([Variant { source, ..*variant }]));
    Box::leak(Box::new(Op { variants, ..*kernel }))
}

#[test]
fn subgroups_that_add_up_wrong_are_noticed() {
    let has_subgroups = |adapter: &Adapter| adapter.caps.subgroup > 0;
    for adapter in adapters().into_iter().filter(has_subgroups) {
        let _turn = crate::support::turn(&adapter);
        let name = format!("{} ({})", adapter.identity.name, adapter.identity.backend);
        let are_right =
            |alter: &dyn Fn(&mut Recording)| pollster::block_on(subgroups_are_right(&adapter, alter)).unwrap();
        assert!(are_right(&|_| {}), "{name}");
        // Told to be half as large, they are right where a text counts them.
        for (subgroup_varies, is_right) in [(true, true), (false, false)] {
            let mut told = adapter.clone();
            told.caps = Caps { subgroup: adapter.caps.subgroup / 2, subgroup_varies, ..adapter.caps };
            assert_eq!(pollster::block_on(subgroups_are_right(&told, &|_| {})).unwrap(), is_right, "{name}");
            let kept = pollster::block_on(with_right_subgroups(told.clone(), &|_| {}));
            assert_eq!(kept.caps, told.caps, "{name}: right, or of one size");
        }
        let (reduce, linear) = (&kernels::probe_reduce::OP, &kernels::linear::OP);
        for (kernel, from, to) in [
            (reduce, "reduce_sum(lane, sum)", "sum"),
            (reduce, "reduce_max(lane, greatest)", "greatest"),
            (reduce, "reduce_pair(lane, vec2<f32>(squares, sum))", "vec2<f32>(reduce_sum(lane, squares), sum)"),
            (reduce, "reduce_pair(lane, vec2<f32>(squares, sum))", "reduce_pair(lane, vec2<f32>(squares)).yx"),
            (reduce, "reduce_sum_u32(lane, count)", "reduce_sum_u32(lane, select(count, 0u, lane == LANES / 2u))"),
            (reduce, "reduce_min_u32(lane, least)", "least"),
            (reduce, "reduce_before_u32(lane, count)", "reduce_before_u32(lane, least)"),
            (reduce, "reduce_first_u32(lane, words", "(words"),
            // Where inputs are handed around.
            (linear, "factor * sums[r])", "1.1 * factor * sums[r])"),
        ] {
            let broken = broken(kernel, from, to);
            let alter = |recording: &mut Recording| {
                recording.stages.iter_mut().filter(|stage| stage.op.name == broken.name).for_each(|of| of.op = broken);
            };
            assert!(!are_right(&alter), "{name}: {to}");
            let mut told = adapter.clone();
            told.caps.subgroup_varies = true;
            let kept = pollster::block_on(with_right_subgroups(told, &alter));
            // Inputs are handed around in subgroups of one size alone.
            assert_eq!(kept.caps.subgroup == 0, broken.name == reduce.name, "{name}: {to}");
        }
    }
}

#[test]
fn no_probe_of_a_kernel_that_computes_wrongly_counts() {
    use ProbeKind::{Compile, Copy, Dispatch, DotI8, FmaF16, FmaF32, Read, Readback, Submit};
    let Some(adapter) = adapters().into_iter().next() else { return };
    let faults: [(&'static Op, &'static Op, &[ProbeKind]); 5] = [
        (
            &kernels::probe_dispatch::OP,
            broken(&kernels::probe_dispatch::OP, "+= 1u", "+= 2u"),
            &[Submit, Readback, Dispatch],
        ),
        // The copy is added up by this kernel too.
        (&kernels::probe_read::OP, broken(&kernels::probe_read::OP, "sum.z + sum.w", "sum.z"), &[Read, Copy]),
        (
            &kernels::probe_copy::OP,
            broken(&kernels::probe_copy::OP, "copied[at + step] = v1", "copied[at + step] = v0"),
            &[Copy],
        ),
        (
            &kernels::probe_fma::OP,
            broken(&kernels::probe_fma::OP, "a = fma(a, factor, addend)", "a = fma(a, addend, factor)"),
            &[FmaF32, FmaF16, Compile],
        ),
        (
            &kernels::probe_dot::OP,
            broken(&kernels::probe_dot::OP, "bitcast<u32>(a3), factor)", "bitcast<u32>(a2), factor)"),
            &[DotI8],
        ),
    ];
    for (kernel, broken, touched) in faults {
        let alter = |recording: &mut Recording| {
            for stage in recording.stages.iter_mut().filter(|stage| stage.op.name == kernel.name) {
                stage.op = broken;
            }
        };
        let probes = probe(&adapter, &Options { alter: &alter, ..SHORT });
        for probe in &probes.0 {
            let is_touched = touched.contains(&probe.kind);
            assert_eq!(probe.right, !is_touched, "{} is broken: {:?}", kernel.name, probe.kind);
            assert_eq!(probes.limit(probe.kind).is_some(), !is_touched, "{:?}", probe.kind);
        }
    }
}

#[test]
fn who_breaks_off_keeps_what_was_measured() {
    let Some(adapter) = adapters().into_iter().next() else { return };
    let mut told: Vec<Progress> = Vec::new();
    let mut watch = |at: &Progress| {
        told.push(at.clone());
        if at.done == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let probes = pollster::block_on(probe_with(&adapter, &SHORT, &mut watch)).unwrap();
    let done: Vec<u32> = told.iter().map(|at| at.done).collect();
    assert_eq!((probes.0.len(), done), (2, vec![0, 1, 2]));
    assert!(told.iter().all(|at| at.total >= 9 && !at.what.is_empty()), "{told:?}");
}

#[test]
fn the_command_writes_reports_of_the_probes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("limits.json");
    let headstart = |arguments: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_headstart")).arg("adapters").args(arguments).output().unwrap()
    };
    let done = headstart(&["--probe", "--adapter", "cpu", "--report", file.to_str().unwrap()]);
    let table = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && ["read", "copy", "GB/s", "FMA f32", "Gop/s"].iter().all(|s| table.contains(s)));
    let reports: Vec<Report> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!((reports.len(), reports[0].adapter.identity.backend.as_str()), (1, "cpu"));
    reports[0].probes.0.iter().for_each(|probe| assert_plausible("CPU", probe));
    assert!(reports[0].probes.limit(ProbeKind::Read).is_some());
    // An adapter to choose, without anything to do on it, is a request that nobody can mean.
    assert_eq!(headstart(&["--adapter", "cpu"]).status.code(), Some(2));
    assert_eq!(headstart(&["--probe", "--adapter", "no such"]).status.code(), Some(4));
}

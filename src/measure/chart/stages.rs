//! Time by stage, stacked: where a step's time goes on each adapter. Stages have the same colour in every bar; the many
//! short ones are one.

use super::bars::{Bar, Bars, Panel};
use super::canvas::{N_SERIES, Words};
use super::{MAX_ADAPTERS, MAX_PANELS};
use crate::format::sorted::{falling, sort};
use crate::measure::compare::{Column, Group};
use crate::measure::panel::{millis, percent};
use crate::measure::report::{Entry, Profile};
use std::collections::BTreeMap;

/// Beyond this many times the fastest step, a slow one would leave nothing to see of it.
const TOO_FAR: f64 = 8.0;

/// The chart of all profiles of a group: a panel for each number of tokens and each depth.
pub(super) fn stages<'a>(entries: &[Entry], group: &'a Group, of_group: &str) -> Bars<'a> {
    let profiles: Vec<&[Profile]> = group.columns.iter().map(|column| profiles_of(entries, column)).collect();
    let mut kinds: Vec<(u32, u32)> =
        profiles.iter().copied().flatten().map(|profile| (profile.n_tokens, profile.depth)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.truncate(MAX_PANELS);
    let longest = longest(profiles.iter().take(MAX_ADAPTERS).copied().flatten());
    let find =
        |of: &[Profile], kind: (u32, u32)| of.iter().position(|profile| (profile.n_tokens, profile.depth) == kind);
    let panel = |kind: (u32, u32)| {
        let of_kind: Vec<Option<&Profile>> = profiles.iter().map(|of| find(of, kind).map(|index| &of[index])).collect();
        panel(kind, &of_kind, &group.columns, &longest)
    };
    let mut series: Vec<(usize, String)> = longest.iter().cloned().enumerate().collect();
    series.push((N_SERIES - 1, "the rest".into()));
    let words = Words {
        title: format!("Time by stage{of_group}"),
        subtitle:
            "Medians by the adapter's own clock, all layers together. Where adapters are far apart, shares of the step."
                .into(),
        ..Words::default()
    };
    let panels = kinds.into_iter().map(panel).collect();
    Bars { name: "stages", words, columns: &group.columns, panels, series, n_beside: 2 }
}

fn profiles_of<'a>(entries: &'a [Entry], column: &Column) -> &'a [Profile] {
    match &entries[column.entry] {
        Entry::Measured(report) => &report.profiles,
        Entry::Published(_) => &[],
    }
}

/// The names of the stages that take the greatest share of their steps, added up; one colour each.
fn longest<'a>(profiles: impl Iterator<Item = &'a Profile>) -> Vec<String> {
    let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
    for profile in profiles {
        let all = whole(profile);
        for stage in profile.stages.iter().filter(|stage| all > 0.0 && time(stage.ms) > 0.0) {
            *shares.entry(&stage.name).or_default() += stage.ms / all;
        }
    }
    let mut longest: Vec<(&str, f64)> = shares.into_iter().collect();
    sort(&mut longest, |(_, share)| falling(*share));
    longest.into_iter().take(N_SERIES - 1).map(|(name, _)| name.to_owned()).collect()
}

fn whole(profile: &Profile) -> f64 {
    profile.stages.iter().map(|stage| time(stage.ms)).sum()
}

/// What is no time counts as none.
fn time(ms: f64) -> f64 {
    if ms.is_finite() { ms.max(0.0) } else { 0.0 }
}

fn panel(kind: (u32, u32), profiles: &[Option<&Profile>], columns: &[Column], longest: &[String]) -> Panel {
    let wholes: Vec<f64> = profiles.iter().flatten().map(|profile| whole(profile)).filter(|ms| *ms > 0.0).collect();
    let (least, most) = wholes.iter().fold((f64::MAX, 0.0_f64), |(least, most), ms| (least.min(*ms), most.max(*ms)));
    let as_shares = most > TOO_FAR * least;
    let bar = |(profile, column): (&Option<&Profile>, &Column)| {
        let profile = (*profile)?;
        let all = whole(profile);
        let unit = if as_shares { 100.0 / all } else { 1.0 };
        let label = format!(
            "{}{}",
            millis(all),
            if column.mark.label().is_empty() { String::new() } else { format!(" {}", column.mark.label()) }
        );
        (all > 0.0).then(|| Bar { parts: parts(profile, longest, all, unit), spread: 0.0, label, mark: column.mark })
    };
    let what = match kind.0 {
        1 => "One token of decode".to_owned(),
        n => format!("A prompt's step of {n} tokens"),
    };
    let depth = if kind.1 > 0 { format!(" after {}", kind.1) } else { String::new() };
    Panel {
        heading: what + &depth,
        unit: if as_shares { "% of the step".into() } else { "ms".into() },
        at_least: if as_shares { 100.0 } else { 0.0 },
        bars: profiles.iter().zip(columns).map(bar).collect(),
    }
}

/// The coloured stages in the order of their colours, and then the rest as one.
fn parts(profile: &Profile, longest: &[String], all: f64, unit: f64) -> Vec<(f64, usize, String)> {
    let mut sums = vec![0.0; N_SERIES];
    for stage in &profile.stages {
        let series = longest.iter().position(|name| *name == stage.name).unwrap_or(N_SERIES - 1);
        sums[series] += time(stage.ms);
    }
    let name = |series: usize| longest.get(series).map_or("the rest", String::as_str);
    let part = |(series, ms): (usize, f64)| {
        (ms * unit, series, format!("{}: {}, {}", name(series), millis(ms), percent(ms / all)))
    };
    sums.into_iter().enumerate().filter(|(_, ms)| *ms > 0.0).map(part).collect()
}

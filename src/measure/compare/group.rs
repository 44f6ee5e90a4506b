//! Which reports may stand in one table: those of the same model. What else they have in common is shown above it; where a
//! report was measured with other settings or by another version, that is said beside it and keeps nothing apart.

use super::{Fact, Group, Section};
use crate::format::sorted::sort;
use crate::measure::Report;
use crate::measure::panel;
use crate::measure::report::read::printable;
use crate::measure::report::{Entry, ModelFacts};
use std::collections::HashMap;

/// Entries that may stand in one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    /// The model's name, or what else there is.
    pub(super) title: String,
    /// What they have in common.
    pub(super) facts: Vec<Fact>,
    /// Indices of entries; published ones come last.
    pub(super) members: Vec<usize>,
    /// In what each of them was measured otherwise than the first.
    pub(super) otherwise: Vec<Vec<String>>,
    /// Whether it is of the standard test, which runs beside whatever model a report is of.
    pub(super) is_standard: bool,
}

impl Set {
    /// Whether figures of a section belong here.
    pub(super) fn holds(&self, section: Section) -> bool {
        match section {
            Section::Adapter | Section::Probes => true,
            Section::Standard => self.is_standard,
            _ => !self.is_standard,
        }
    }
}

/// What reports must have in common to stand in one table.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    schema: u32,
    model: Option<Model>,
    is_standard: bool,
}

/// A model by its hash; by the name and size of its files where no hash is known.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Model {
    Hash(String),
    Named(String, u64),
}

/// Sorts entries into sets, in the order of their first members.
pub(super) fn sets(entries: &[Entry]) -> Vec<Set> {
    let hashes = hashes(entries);
    let mut keys: Vec<Key> = Vec::new();
    let mut sets: Vec<Set> = Vec::new();
    let of_report = |(index, report)| keys_of(report, &hashes).into_iter().map(move |key| (index, report, key));
    for (index, report, key) in measured(entries).flat_map(of_report) {
        let place = keys.iter().position(|known| *known == key).unwrap_or_else(|| {
            let (title, is_standard) = (title(report, &key), key.is_standard);
            sets.push(Set { title, facts: facts(report, &key), is_standard, ..Set::default() });
            keys.push(key.clone());
            sets.len() - 1
        });
        sets[place].members.push(index);
        let first = facts_of_first(entries, &sets[place], &key);
        sets[place].otherwise.push(differences(&first, &facts(report, &key)));
    }
    sort(&mut sets, |set| u64::from(!set.is_standard));
    for set in &mut sets {
        let differs = |label: &str| set.otherwise.iter().flatten().any(|what| what.starts_with(&format!("{label} ")));
        set.facts.retain(|fact| !differs(&fact.label));
    }
    add_published(entries, &mut sets);
    sets
}

/// Puts published figures beside the measured ones of the model that they name, and into a set of their own where
/// there are none.
fn add_published(entries: &[Entry], sets: &mut Vec<Set>) {
    let n_measured = sets.len();
    for (index, entry) in entries.iter().enumerate() {
        let Entry::Published(published) = entry else { continue };
        let of_model = |set: &&mut Set| published.model.as_ref().is_some_and(|model| printable(model) == set.title);
        let mut found = false;
        for set in sets[..n_measured].iter_mut().filter(of_model) {
            set.members.push(index);
            set.otherwise.push(Vec::new());
            found = true;
        }
        if found {
            continue;
        }
        let model = published.model.as_deref().map_or_else(|| "no model named".to_owned(), printable);
        let facts = vec![fact("model", model), fact("measured", "no: published by others")];
        let place = sets[n_measured..].iter().position(|set| set.facts == facts).unwrap_or_else(|| {
            sets.push(Set { title: "Published, not measured".into(), facts, ..Set::default() });
            sets.len() - 1 - n_measured
        });
        sets[n_measured + place].members.push(index);
        sets[n_measured + place].otherwise.push(Vec::new());
    }
}

/// Says of every group but the first of a title what it has that the first has not; and gives each a title of its own.
pub(super) fn tell_apart(groups: &mut [Group]) {
    for index in 1..groups.len() {
        let (before, rest) = groups.split_at_mut(index);
        let (first, group) = (&before[0], &mut rest[0]);
        let others = differences(&first.facts, &group.facts);
        group.notes.insert(0, format!("Not comparable with “{}”: {}.", first.title, others.join("; ")));
        let title = group.title.clone();
        if let Some(twin) = before.iter().find(|other| other.title == title) {
            group.title = format!("{title} ({})", differences(&twin.facts, &group.facts).join("; "));
        }
    }
}

/// `context 256, not 1024` for each fact that differs.
fn differences(known: &[Fact], facts: &[Fact]) -> Vec<String> {
    let value = |facts: &[Fact], label: &str| {
        facts.iter().find(|fact| fact.label == label).map_or_else(|| "none".to_owned(), |fact| fact.value.clone())
    };
    let mut labels: Vec<&str> = facts.iter().chain(known).map(|fact| fact.label.as_str()).collect();
    let mut seen = std::collections::HashSet::new();
    labels.retain(|label| seen.insert(*label));
    let pairs = labels.into_iter().map(|label| (label, value(facts, label), value(known, label)));
    pairs.filter(|(_, is, was)| is != was).map(|(label, is, was)| format!("{label} {is}, not {was}")).collect()
}

fn measured(entries: &[Entry]) -> impl Iterator<Item = (usize, &Report)> {
    entries.iter().enumerate().filter_map(|(index, entry)| match entry {
        Entry::Measured(report) => Some((index, &**report)),
        Entry::Published(_) => None,
    })
}

/// The hashes known for each name and size. A report without a hash takes the one that is known for its file's name and
/// size, unless there are several.
fn hashes(entries: &[Entry]) -> HashMap<(String, u64), Vec<String>> {
    let mut hashes: HashMap<(String, u64), Vec<String>> = HashMap::new();
    for model in measured(entries).filter_map(|(_, report)| report.model.as_ref()) {
        let known = hashes.entry((model.name.clone(), model.file_bytes)).or_default();
        known.extend(model.sha256.clone().filter(|hash| !known.contains(hash)));
    }
    hashes
}

/// What a report is held against: the standard test's results, where it has some, and its model's figures.
fn keys_of(report: &Report, hashes: &HashMap<(String, u64), Vec<String>>) -> Vec<Key> {
    let standard = Key { schema: report.schema, model: None, is_standard: true };
    let has_standard = !report.standard.is_empty();
    let has_more = report.model.is_some() || !has_standard;
    [has_standard.then_some(standard), has_more.then(|| key(report, hashes))].into_iter().flatten().collect()
}

fn key(report: &Report, hashes: &HashMap<(String, u64), Vec<String>>) -> Key {
    let model = |model: &ModelFacts| {
        let named = (model.name.clone(), model.file_bytes);
        let only = hashes.get(&named).filter(|known| known.len() == 1).map(|known| known[0].clone());
        model.sha256.clone().or(only).map_or(Model::Named(named.0, named.1), Model::Hash)
    };
    Key { schema: report.schema, model: report.model.as_ref().map(model), is_standard: false }
}

fn title(report: &Report, key: &Key) -> String {
    if key.is_standard {
        return "The standard test".to_owned();
    }
    report.model.as_ref().map_or_else(|| "Adapters without a model".to_owned(), |model| printable(&model.name))
}

fn fact(label: &str, value: impl Into<String>) -> Fact {
    Fact { label: label.to_owned(), value: value.into() }
}

/// The facts of a set's first report.
fn facts_of_first(entries: &[Entry], set: &Set, key: &Key) -> Vec<Fact> {
    match set.members.first().map(|first| &entries[*first]) {
        Some(Entry::Measured(report)) => facts(report, key),
        _ => Vec::new(),
    }
}

/// Everything of the key, what else is worth knowing of the model, and how it was measured.
fn facts(report: &Report, key: &Key) -> Vec<Fact> {
    let mut facts = vec![
        fact("headstart", format!("version {}", printable(&report.program))),
        fact("layout of reports", report.schema.to_string()),
    ];
    if key.is_standard {
        facts.extend(
            report
                .standard
                .iter()
                .map(|result| fact(&format!("ran of {}", printable(&result.model)), printable(&result.ran))),
        );
        if let Some(settings) = &report.settings {
            facts.push(fact("shader checks", if settings.shader_checks { "on" } else { "off" }));
        }
        return facts;
    }
    if let Some(model) = &report.model {
        let hash = match &key.model {
            Some(Model::Hash(hash)) => printable(hash),
            _ => "unknown".to_owned(),
        };
        facts.extend([
            fact("model", printable(&model.name)),
            fact("size", format!("{} ({} bytes)", panel::bytes(model.file_bytes), model.file_bytes)),
            fact("parameters", panel::params(model.n_params)),
            fact("weights", printable(&model.format)),
            fact("SHA-256", hash),
            fact("context", model.n_context.to_string()),
        ]);
    }
    if let Some(settings) = &report.settings {
        let yes = |is: bool| if is { "on" } else { "off" };
        facts.extend([
            fact("shader checks", yes(settings.shader_checks)),
            fact("repeats", settings.repeats.to_string()),
            fact("warm-up", yes(settings.warm_up)),
            fact("f16 keys", yes(settings.f16_keys)),
            fact("f16 values", yes(settings.f16_values)),
        ]);
    }
    facts
}

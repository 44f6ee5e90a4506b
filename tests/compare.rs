//! Reports beside each other: the tables and charts of hand-made reports are those of
//! tests/fixtures/reports/expected; nothing is mixed that may not be compared; no timing looks better than it is; and
//! no name of an adapter or a model gets to mean anything where it is shown.
#![allow(clippy::type_complexity, reason = "lists of changes by name")]

use headstart::measure::chart::{self, Chart, charts};
use headstart::measure::compare::{Cell, Comparison, Group, Mark, Section, compare};
use headstart::measure::report::read::read;
use headstart::measure::report::{Entry, Share, Test, Verdict};
use headstart::measure::{Report, Spread};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reports")
}

fn entries(names: &[&str]) -> Vec<Entry> {
    let text = |name: &&str| std::fs::read_to_string(folder().join(format!("{name}.json"))).expect("a fixture");
    names.iter().flat_map(|name| read(&text(name)).expect("a report")).collect()
}

/// The five adapters and the published machine that the expected tables and charts are of.
fn five() -> Vec<Entry> {
    entries(&["native", "chromium", "firefox", "published"])
}

fn report(entry: &mut Entry) -> &mut Report {
    match entry {
        Entry::Measured(report) => report,
        Entry::Published(_) => panic!("a measured report is wanted"),
    }
}

fn row<'a>(group: &'a Group, figure: &str, unit: &str) -> &'a [Option<Cell>] {
    let row = group.rows.iter().find(|row| row.figure == figure && row.unit == unit);
    &row.unwrap_or_else(|| panic!("no row {figure} {unit}")).cells
}

fn golden(name: &str, found: &str) -> Result<(), String> {
    let path = folder().join("expected").join(name);
    if std::env::var_os("HEADSTART_RENEW").is_some() {
        std::fs::write(&path, found).expect("the expected file");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(expected.lines().chain(std::iter::repeat(""))).position(|(a, b)| a != b);
    if found == expected {
        return Ok(());
    }
    let line = differs.map_or_else(|| found.lines().count(), |line| line + 1);
    Err(format!(
        "{name} is not as expected, from line {line} on. If it is meant to change, look at it and renew it with: \
         HEADSTART_RENEW=1 cargo test --test main compare::"
    ))
}

#[test]
fn tables_are_as_expected() {
    let comparison = compare(&five(), None);
    golden("five.md", &comparison.markdown()).unwrap();
    let apart = compare(&entries(&["native", "apart", "published"]), Some(1));
    golden("apart.md", &apart.markdown()).unwrap();
    golden("apart.json", &apart.json()).unwrap();
    golden("hostile.md", &compare(&entries(&["hostile"]), None).markdown()).unwrap();
}

#[test]
fn charts_are_as_expected() {
    let charts = charts(&five());
    let names: Vec<&str> = charts.iter().map(|chart| chart.name).collect();
    let mut kinds = names.clone();
    kinds.dedup();
    assert_eq!(kinds, chart::NAMES, "{names:?}");
    for name in chart::NAMES {
        let first = charts.iter().find(|chart| chart.name == name).expect("a chart");
        golden(&format!("{name}.svg"), &first.svg).unwrap();
    }
}

#[test]
fn a_changed_figure_is_no_longer_as_expected() {
    let mut entries = five();
    report(&mut entries[0]).tests[1].tokens_per_s.median += 1.0;
    if std::env::var_os("HEADSTART_RENEW").is_none() {
        assert!(golden("five.md", &compare(&entries, None).markdown()).is_err());
        assert!(golden("tokens.svg", &charts(&entries)[0].svg).is_err());
    }
}

#[test]
fn charts_are_whole_documents_that_say_what_they_show() {
    let all = charts(&entries(&["native", "chromium", "firefox", "published", "apart", "hostile"]));
    let mut ids = std::collections::HashSet::new();
    for Chart { name, title, svg, size, group: _ } in &all {
        let document = roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{name}: {error}\n{svg}"));
        let root = document.root_element();
        let has = |tag: &str| root.children().any(|node| node.has_tag_name(("http://www.w3.org/2000/svg", tag)));
        assert!(has("title") && has("desc") && root.attribute("role") == Some("img"), "{name}: {title}");
        let labels = root.attribute("aria-labelledby").expect("what it is called");
        let known: Vec<&str> = document.descendants().filter_map(|node| node.attribute("id")).collect();
        assert_eq!(labels.split(' ').collect::<Vec<_>>(), known, "{name}");
        assert!(known.iter().all(|id| ids.insert((*id).to_owned())), "{name}: an id twice");
        assert_eq!(root.attribute("width"), Some(size.0.to_string().as_str()));
        for element in document.descendants().filter(roxmltree::Node::is_element) {
            let tag = element.tag_name().name();
            let plain = ["svg", "title", "desc", "style", "g", "rect", "text", "line", "path", "circle"];
            assert!(plain.contains(&tag), "{name}: <{tag}>");
            let active = element.attributes().find(|attribute| attribute.name().starts_with("on"));
            assert!(active.is_none() && element.attribute("href").is_none(), "{name}: {active:?}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("url("), "{name}");
    }
    let sheet = chart::sheet(&all);
    roxmltree::Document::parse(&sheet).expect("one document of all");
}

#[test]
fn what_may_not_be_compared_stands_apart() {
    let comparison = compare(&entries(&["native", "apart"]), None);
    let titles: Vec<&str> = comparison.groups.iter().map(|group| group.title.as_str()).collect();
    assert_eq!(titles, ["headstart-v4-11m.gguf", "other.gguf", "Adapters without a model"]);
    assert_eq!(comparison.groups.iter().map(|group| group.columns.len()).collect::<Vec<_>>(), [4, 1, 1]);
    for (group, differs) in comparison.groups[1..].iter().zip(["context 4096, not 1024", "model none"]) {
        assert!(group.notes[0].contains(differs), "{differs}: {}", group.notes[0]);
    }
    // Every column of a row is of the same model: the other model's speed is in no row of the first.
    let speeds = row(&comparison.groups[0], "tg128", "tokens/s");
    assert!(speeds.iter().flatten().all(|cell| cell.value != Some(5.5)));
}

#[test]
fn other_settings_and_versions_are_said_and_other_models_stand_apart() {
    let changes: [(&str, fn(&mut Report)); 7] = [
        ("context", |report| report.model.as_mut().unwrap().n_context = 7),
        ("repeats", |report| report.settings.as_mut().unwrap().repeats = 7),
        ("warm-up", |report| report.settings.as_mut().unwrap().warm_up = false),
        ("headstart", |report| report.program = "9.9.9".into()),
        ("layout of reports", |report| report.schema = 1),
        ("SHA-256", |report| report.model.as_mut().unwrap().sha256 = Some("0".repeat(64))),
        ("shader checks", |report| report.settings.as_mut().unwrap().shader_checks = true),
    ];
    for (label, change) in changes {
        let mut entries = entries(&["native"]);
        change(report(&mut entries[1]));
        let comparison = compare(&entries, None);
        let stands_apart = ["layout of reports", "SHA-256"].contains(&label);
        assert_eq!(comparison.groups.len(), 1 + usize::from(stands_apart), "{label}");
        let group = comparison.groups.last().unwrap();
        let is_said = |note: &String| note.contains(label) && note.contains(", not ");
        assert!(group.notes.iter().any(is_said), "{label}: {:?}", group.notes);
        // What is not common to all is no fact of all.
        assert!(stands_apart || group.facts.iter().all(|fact| fact.label != label), "{label}");
    }
}

#[test]
fn a_report_without_a_hash_is_known_by_name_and_size() {
    let mut two = entries(&["native"]);
    report(&mut two[1]).model.as_mut().unwrap().sha256 = None;
    assert_eq!(compare(&two, None).groups.len(), 1);
    // Of two models of its name and size it may be either.
    report(&mut two[2]).model.as_mut().unwrap().sha256 = Some("0".repeat(64));
    assert_eq!(compare(&two, None).groups.len(), 3);
    report(&mut two[1]).model.as_mut().unwrap().file_bytes += 1;
    assert_eq!(compare(&two, None).groups.len(), 3);
}

#[test]
fn no_timing_looks_better_than_it_is() {
    let mut entries = five();
    let find = |comparison: &Comparison, column: usize| {
        row(&comparison.groups[0], "tg128", "tokens/s")[column].clone().expect("a speed")
    };
    let comparison = compare(&entries, None);
    let marks: Vec<Mark> = (0..6).map(|column| find(&comparison, column).mark).collect();
    use Mark::{NotChecked, Published, Right, Wrong};
    assert_eq!(marks, [Right, Right, Wrong, Right, NotChecked, Published]);
    assert_eq!(find(&comparison, 2).ratio, None);
    let markdown = comparison.markdown();
    assert!(markdown.contains("~~90.1 ± 1.80~~ **WRONG**") && markdown.contains("(not checked)"), "{markdown}");
    // Memory is what it is.
    assert!(row(&comparison.groups[0], "weights", "").iter().flatten().all(|cell| cell.mark != Wrong));
    let checks: [(fn(&mut Report), Mark); 3] = [
        (|report| report.check.as_mut().unwrap().verdict = Verdict::Unknown, NotChecked),
        (|report| report.check.as_mut().unwrap().fault = Some("attend".into()), Wrong),
        (|report| report.check = None, NotChecked),
    ];
    for (change, mark) in checks {
        change(report(&mut entries[0]));
        assert_eq!(find(&compare(&entries, None), 0).mark, mark);
    }
}

#[test]
fn a_probe_that_computes_wrongly_is_marked() {
    let mut entries = five();
    report(&mut entries[0]).probes.0[0].right = false;
    let comparison = compare(&entries, None);
    let cells = row(&comparison.groups[0], "read", "GB/s");
    assert_eq!((cells[0].as_ref().unwrap().mark, cells[1].as_ref().unwrap().mark), (Mark::Wrong, Mark::Right));
    assert!(cells.iter().flatten().all(|cell| cell.ratio.is_none()), "a wrong limit is no baseline");
}

#[test]
fn ratios_are_to_the_baseline() {
    let ratios = |baseline: Option<usize>| {
        let comparison = compare(&five(), baseline);
        let group = &comparison.groups[0];
        let cells = row(group, "tg128", "tokens/s");
        let base = group.baseline.and_then(|baseline| cells[baseline].as_ref()).and_then(|cell| cell.value);
        (group.baseline, base, cells.iter().flatten().map(|cell| cell.ratio).collect::<Vec<_>>(), group.notes.clone())
    };
    let (baseline, base, of_first, _) = ratios(None);
    assert_eq!((baseline, base), (Some(0), Some(98.2)));
    let close = |found: Option<f64>, expected: f64| found.is_some_and(|found| (found - expected).abs() < 1e-12);
    assert!(close(of_first[0], 1.0) && close(of_first[1], 61.4 / 98.2) && close(of_first[5], 310.5 / 98.2));
    let (baseline, _, of_second, _) = ratios(Some(1));
    assert!(baseline == Some(1) && close(of_second[0], 98.2 / 61.4) && of_second[2].is_none());
    // A baseline that computes wrongly is none.
    let (baseline, _, of_wrong, notes) = ratios(Some(2));
    assert!(baseline == Some(2) && of_wrong.iter().all(Option::is_none));
    assert!(notes.iter().any(|note| note.contains("computes wrongly")), "{notes:?}");
}

#[test]
fn a_baseline_is_found_again_by_its_adapter_in_other_groups() {
    let entries = entries(&["native", "apart"]);
    let comparison = compare(&entries, Some(0));
    assert_eq!(comparison.groups[1].baseline, Some(0), "the same adapter with another model");
    assert_eq!(comparison.groups[2].baseline, None);
    assert!(comparison.groups[2].notes.iter().any(|note| note.contains("no ratios")));
}

#[test]
fn published_figures_are_always_marked() {
    let check = |comparison: &Comparison, column: usize| {
        let group = comparison.groups.iter().find(|group| group.columns.iter().any(|c| c.source.is_some())).unwrap();
        let mark =
            |row: &headstart::measure::compare::Row| row.cells[column].as_ref().map(|cell| (row.section, cell.mark));
        let marks: Vec<_> =
            group.rows.iter().filter_map(mark).filter(|(section, _)| *section != Section::Adapter).collect();
        assert!(marks.len() >= 3 && marks.iter().all(|(_, mark)| *mark == Mark::Published), "{marks:?}");
        assert!(group.notes.iter().any(|note| note.contains("Published, not measured: Ascend 910B")));
    };
    check(&compare(&five(), None), 5);
    let mut entries = five();
    let Entry::Published(published) = &mut entries[5] else { panic!("published figures") };
    published.model = None;
    let comparison = compare(&entries, None);
    assert_eq!(comparison.groups.len(), 2, "without a model they stand alone");
    check(&comparison, 0);
    let tokens = &charts(&five())[0].svg;
    assert!(tokens.contains("published, not measured") && tokens.contains("published 2026-10-30"));
}

#[test]
fn the_same_adapter_stands_beside_itself_in_a_browser() {
    let comparison = compare(&five(), None);
    let group = &comparison.groups[0];
    let pairs: Vec<(usize, usize)> = group.pairs.iter().map(|pair| (pair.native, pair.browser)).collect();
    assert_eq!(pairs, [(1, 3), (0, 4), (2, 4)]);
    let of_tokens = group.rows.iter().position(|row| row.figure == "tg128" && row.unit == "tokens/s");
    let ratio = group.pairs[0].ratios.iter().find(|ratio| Some(ratio.row) == of_tokens).expect("both have it").ratio;
    assert!((ratio - 52.7 / 61.4).abs() < 1e-12);
    // GL computes wrongly: none of its timings is compared.
    let timed = |section: Section| [Section::Tests, Section::Text, Section::Load].contains(&section);
    assert!(group.pairs[2].ratios.iter().all(|ratio| !timed(group.rows[ratio.row].section)));
}

#[test]
fn what_is_absent_or_no_number_is_left_out() {
    let mut entries = five();
    let nothing = Spread { n: 5, median: f64::NAN, mean: f64::NAN, sd: f64::NAN, min: f64::NAN, max: f64::NAN };
    let one = report(&mut entries[0]);
    one.tests[0] = Test { tokens_per_s: nothing, ms_per_token: f64::INFINITY, ..one.tests[0].clone() };
    one.tests[1].share = Some(Share { of: headstart::measure::report::ProbeKind::Read, share: f64::NAN });
    one.tests[1].tokens_per_s.sd = f64::NAN;
    one.load = None;
    one.memory = None;
    one.profiles[0].stages.iter_mut().for_each(|stage| stage.ms = f64::NAN);
    one.probes.0[2].value = nothing;
    let comparison = compare(&entries, None);
    let group = &comparison.groups[0];
    assert_eq!(row(group, "pp512", "tokens/s")[0], None);
    let speed = row(group, "tg128", "tokens/s")[0].as_ref().expect("a speed");
    assert_eq!((speed.text.as_str(), speed.share), ("98.2", None));
    assert_eq!(row(group, "upload", "ms")[0], None);
    assert_eq!(row(group, "FMA f32", "Gop/s")[0], None);
    for text in [comparison.markdown(), comparison.json()] {
        assert!(!text.contains("NaN") && !text.contains("inf "), "{text}");
    }
    for chart in charts(&entries) {
        assert!(!chart.svg.contains("NaN"), "{}", chart.name);
        roxmltree::Document::parse(&chart.svg).expect("a document");
    }
    assert_eq!((compare(&[], None).groups.len(), charts(&[]).len()), (0, 0));
}

fn headstart(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_headstart")).current_dir(folder()).args(arguments).output().expect("it starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[test]
fn names_mean_nothing_where_they_are_shown() {
    for format in ["md", "html", "svg", "json"] {
        let output = headstart(&["compare", "hostile.json", "-o", format]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let text = stdout(&output);
        assert!(text.contains("alert"), "{format}: the name is shown");
        let obeyed = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(obeyed, None, "{format}");
        // JSON needs no escape for them: what shows it has to.
        for tag in ["<script", "<img", "<i>", "<b>"].iter().filter(|_| format != "json") {
            assert!(!text.contains(tag), "{format}: {tag}");
        }
    }
}

#[test]
fn a_page_needs_nothing_but_itself() {
    let output =
        headstart(&["compare", "native.json", "chromium.json", "firefox.json", "published.json", "-o", "html"]);
    let page = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for fetched in ["src=", "<link", "@import", "url(", "<script", "<iframe"] {
        assert!(!page.contains(fetched), "{fetched}");
    }
    assert!(page.contains("prefers-color-scheme") && page.contains("default-src 'none'"));
    assert_eq!(page.matches("class=\"hs-chart\"").count(), 14, "four charts, and two rooflines an adapter");
    assert!(
        page.contains("WRONG")
            && page.contains("not checked")
            && page.contains("href=\"https://example.org/launch?a=1&amp;b=2\"")
    );
}

#[test]
fn a_damaged_file_does_not_stop_the_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let damaged = folder.path().join("damaged.json");
    std::fs::write(&damaged, "{\"schema\": 2, \"program\": ").expect("a file");
    let out = folder.path().join("out.md");
    let [damaged, out] = [&damaged, &out].map(|path| path.to_str().expect("UTF-8"));
    let output = headstart(&["compare", damaged, "native.json", "--out", out]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(error.contains("damaged.json") && error.contains("line 1") && output.stdout.is_empty(), "{error}");
    assert!(std::fs::read_to_string(out).expect("the table").contains("SwiftShader"));
    // Where nothing can be read, nothing is written.
    let output = headstart(&["compare", damaged]);
    assert!(output.status.code() == Some(3) && output.stdout.is_empty());
    assert_eq!(headstart(&["compare", "absent.json"]).status.code(), Some(5));
}

#[test]
fn a_baseline_and_a_chart_are_chosen_by_name() {
    let text = stdout(&headstart(&["compare", "native.json", "--baseline", "swift"]));
    assert!(text.contains("× are multiples of SwiftShader"), "{text}");
    let by_number = stdout(&headstart(&["compare", "native.json", "--baseline", "1"]));
    assert_eq!(text, by_number);
    let chart = headstart(&["compare", "native.json", "-o", "svg", "--chart", "memory"]);
    roxmltree::Document::parse(&stdout(&chart)).expect("one chart");
    for (arguments, named) in [
        (&["compare", "native.json", "--baseline", "radeon"][..], "0 (llvmpipe"),
        (&["compare", "native.json", "--chart", "memory"], "-o svg"),
        (&["compare", "native.json", "-o", "svg", "--chart", "pie"], "roofline"),
        (&["compare", "published.json", "-o", "svg", "--chart", "memory"], "no figures"),
        (&["compare"], "REPORT"),
    ] {
        let output = headstart(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && output.stdout.is_empty() && error.contains(named), "{error}");
    }
}

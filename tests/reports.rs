//! The report's format: documented by a schema that is made from the types, read back as it was written, carried by a
//! link; and whatever else is read as a report is refused with its place, or harmless.

use crate::drawn::Draw;
use headstart::measure::chart::charts;
use headstart::measure::compare::compare;
use headstart::measure::report::link::{pack, unpack};
use headstart::measure::report::read::{MAX_BYTES, MAX_ENTRIES, read};
use headstart::measure::report::{Entry, schema};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn fixture(name: &str) -> String {
    std::fs::read_to_string(root().join("tests/fixtures/reports").join(name)).expect("a fixture")
}

/// Files of reports in a folder of the repository.
fn reports_in(folder: &str) -> Vec<PathBuf> {
    let files =
        std::fs::read_dir(root().join(folder)).expect("the folder").map(|entry| entry.expect("an entry").path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "json")).collect()
}

#[test]
fn the_schema_is_that_of_the_types() {
    let kept = std::fs::read_to_string(root().join("www/report.schema.json")).unwrap_or_default();
    assert!(
        kept == schema::text(),
        "www/report.schema.json is stale; renew it with: cargo run --release -- schema > www/report.schema.json"
    );
}

#[test]
fn every_report_of_the_repository_is_valid_and_read() {
    let validator = jsonschema::validator_for(&schema::schema()).expect("a schema");
    let files = [reports_in("www/timings"), reports_in("tests/fixtures/reports")].concat();
    assert!(files.len() >= 6);
    for path in files {
        let text = std::fs::read_to_string(&path).expect("a report");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        let faults: Vec<String> =
            validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(faults.is_empty(), "{}: {faults:?}", path.display());
        let entries = read(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!entries.is_empty(), "{}", path.display());
    }
}

#[test]
fn the_schema_refuses_what_is_no_report() {
    let validator = jsonschema::validator_for(&schema::schema()).expect("a schema");
    let mut report: Value = serde_json::from_str(&fixture("chromium.json")).expect("JSON");
    assert!(validator.is_valid(&report));
    report["tests"][0]["n_prompt"] = json!("many");
    assert!(!validator.is_valid(&report) && !validator.is_valid(&json!(3)) && !validator.is_valid(&json!({})));
}

#[test]
fn the_gallery_of_the_page_holds_the_reports_of_the_folder() {
    let gallery = std::fs::read_to_string(root().join("www/gallery.json")).expect("the gallery");
    let mut gallery: Value = serde_json::from_str(&gallery).expect("JSON");
    for path in reports_in("www/timings") {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let shown = gallery["reports"].as_object_mut().expect("reports").remove(&name).unwrap_or_default();
        let report: Value = serde_json::from_str(&std::fs::read_to_string(&path).expect("a report")).expect("JSON");
        if let Err(place) = is_rounded(&shown, &report) {
            panic!("www/gallery.json is not of www/timings/{name}.json: {place}. Run `node tools/gallery.mjs`.");
        }
        assert!(read(&shown.to_string()).is_ok_and(|entries| entries.len() == 1), "{name}");
    }
    assert_eq!(gallery["reports"], json!({}), "reports that www/timings has not: run `node tools/gallery.mjs`");
}

/// Whether a value is another with numbers of fewer digits; else where it is not.
fn is_rounded(shown: &Value, report: &Value) -> Result<(), String> {
    match (shown, report) {
        (Value::Array(shown), Value::Array(report)) if shown.len() == report.len() => {
            shown.iter().zip(report).try_for_each(|(shown, report)| is_rounded(shown, report))
        }
        (Value::Object(shown), Value::Object(report)) if shown.len() == report.len() => {
            report.iter().try_for_each(|(name, value)| {
                is_rounded(shown.get(name).unwrap_or(&Value::Null), value).map_err(|place| format!("{name}: {place}"))
            })
        }
        (Value::Number(a), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) if (a - b).abs() <= 1e-3 * b.abs() => Ok(()),
            _ => Err(format!("{shown}, not {report}")),
        },
        _ if shown == report => Ok(()),
        _ => Err(format!("{shown}, not {report}")),
    }
}

fn draws() -> impl Strategy<Value = Vec<u64>> {
    // Small numbers make lists short and options absent; large ones fill counts.
    prop::collection::vec(prop_oneof![0..8_u64, any::<u64>()], 0..400)
}

/// Does with entries all that a program does with them.
fn use_all(entries: &[Entry]) {
    let comparison = compare(entries, Some(0));
    let (markdown, json) = (comparison.markdown(), comparison.json());
    assert!(!markdown.contains('\u{1b}') && !json.contains('\u{1b}'));
    for chart in charts(entries) {
        roxmltree::Document::parse(&chart.svg).unwrap_or_else(|error| panic!("{}: {error}", chart.name));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reports_come_back_as_they_were(draws in draws()) {
        let mut draw = Draw(draws.into_iter());
        let entries = vec![
            Entry::Measured(Box::new(draw.report())),
            Entry::Published(draw.published()),
            Entry::Measured(Box::new(draw.report())),
        ];
        let text = serde_json::to_string(&entries).expect("JSON");
        prop_assert_eq!(&read(&text).map_err(|error| TestCaseError::fail(error.to_string()))?, &entries);
        let Entry::Measured(report) = &entries[0] else { unreachable!() };
        prop_assert_eq!(&read(&serde_json::to_string(report).expect("JSON")).expect("one report")[0], &entries[0]);
        let link = pack(report);
        prop_assert!(link.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
        // What it carries comes back, and packs to the same; a whole report, as links once had, comes back whole.
        let carried = unpack(&link).expect("a link");
        prop_assert_eq!(pack(&carried), link);
        let most_tests = if report.standard.is_empty() { 4 } else { 2 };
        prop_assert_eq!(carried.tests.len(), report.tests.len().min(most_tests));
        prop_assert_eq!(carried.standard.len(), report.standard.len().min(2));
        let whole = format!("1.{}", base64_of(&serde_json::to_string(report).expect("JSON")));
        prop_assert_eq!(&unpack(&whole).expect("a whole report"), &**report);
        let value = serde_json::to_value(&entries).expect("JSON");
        prop_assert!(VALIDATOR.with(|validator| validator.is_valid(&value)));
        use_all(&entries);
    }

    /// One value of a good file is replaced by an odd one, wherever it stands.
    #[test]
    fn odd_values_are_refused_or_harmless(which in any::<prop::sample::Index>(), odd in 0..ODD.len()) {
        let mut value: Value = serde_json::from_str(&fixture("native.json")).expect("JSON");
        let n = leaves(&mut value, &mut |_| ());
        let (wanted, mut at) = (which.index(n), 0);
        leaves(&mut value, &mut |leaf| {
            if at == wanted {
                *leaf = Value::String("ODD".into());
            }
            at += 1;
        });
        let text = value.to_string().replace("\"ODD\"", ODD[odd]);
        match read(&text) {
            Ok(entries) => use_all(&entries),
            Err(error) => prop_assert!(error.thing.starts_with("report"), "{}", error),
        }
    }

    /// Bytes of a good file are changed, cut out or doubled.
    #[test]
    fn damaged_texts_never_panic(cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..40_usize, any::<u8>()), 1..6)) {
        let mut bytes = fixture("chromium.json").into_bytes();
        for (index, n, byte) in cuts {
            let at = index.index(bytes.len());
            let end = (at + n).min(bytes.len());
            match byte % 3 {
                0 => bytes[at] = byte,
                1 => drop(bytes.drain(at..end)),
                _ => bytes.extend_from_within(at..end),
            }
        }
        if let Ok(entries) = read(&String::from_utf8_lossy(&bytes)) {
            use_all(&entries);
        }
    }

    #[test]
    fn damaged_links_never_panic(at in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_. -]", junk in "[ -~]{0,40}") {
        let Entry::Measured(report) = &read(&fixture("chromium.json")).expect("a report")[0] else { unreachable!() };
        let mut link = pack(report);
        let at = at.index(link.len());
        link.replace_range(at..=at, &letter);
        let _ = (unpack(&link), unpack(&junk), unpack(&format!("1.{junk}")), unpack(&format!("2.{junk}")), unpack(&link[..at]));
    }
}

thread_local! {
    static VALIDATOR: jsonschema::Validator = jsonschema::validator_for(&schema::schema()).expect("a schema");
}

const ODD: [&str; 16] = [
    "null",
    "-1",
    "-0.0",
    "1e999",
    "1e300",
    "5e-324",
    "18446744073709551615",
    "18446744073709551616",
    "\"\"",
    "[]",
    "{}",
    "\"\\u0000\\u001b[31m\\u202e\"",
    "\"<script>\"",
    "true",
    "[[[[[[[[1]]]]]]]]",
    "\"\\ufffe\\uffff\\ufeff\"",
];

/// Visits everything that is no list and no object; returns how many there are.
fn leaves(value: &mut Value, visit: &mut dyn FnMut(&mut Value)) -> usize {
    match value {
        Value::Array(values) => values.iter_mut().map(|value| leaves(value, visit)).sum(),
        Value::Object(fields) => fields.values_mut().map(|value| leaves(value, visit)).sum(),
        leaf => {
            visit(leaf);
            1
        }
    }
}

/// A good report with one change, as text.
fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut report = serde_json::from_str(&fixture("chromium.json")).expect("JSON");
    change(&mut report);
    report.to_string()
}

/// Fails unless the text is refused with all of these words.
fn refused(text: &str, words: &[&str]) {
    let error = read(text).expect_err("it is refused").to_string();
    for word in words {
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
}

#[test]
fn faults_are_named_with_their_place() {
    refused("", &["report", "no JSON", "line 1"]);
    refused("3", &["neither a report nor published figures"]);
    refused(
        &changed(|report| report["schema"] = json!(1)),
        &["report.schema", "version 1", "by version 0.1.0", "2", "Measure again"],
    );
    refused(&format!("[{}, {{\"schema\": 99}}]", fixture("chromium.json")), &["report[1].schema", "version 99"]);
    refused(
        &changed(|report| report["tests"][1]["ms_per_token"] = json!("fast")),
        &["report.tests[1].ms_per_token", "fast"],
    );
    refused(
        &changed(|report| report["tests"][0]["ms_per_token"] = json!(1e19)),
        &["report.tests[0].ms_per_token", "1e19"],
    );
    refused(&changed(|report| report["memory"]["cache"] = json!(-1)), &["report.memory.cache", "-1"]);
    refused(&changed(|report| report["load"]["upload_ms"] = Value::Null), &["report.load.upload_ms", "null"]);
    refused(
        &changed(|report| report["tests"][0]["tokens_per_s"]["min"] = json!(1e9)),
        &["report.tests[0].tokens_per_s", "median"],
    );
    refused(&changed(|report| report["probes"][0]["value"]["max"] = json!(0)), &["report.probes[0].value"]);
    refused(&changed(|report| report["tests"][0]["n_prompt"] = json!(0)), &["report.tests[0]", "no tokens"]);
    refused(&changed(|report| report["profiles"][0]["stages"][0]["share"] = json!(7)), &["report.profiles[0]", "7"]);
    refused(
        &changed(|report| report["check"]["tokens"]["n_same"] = json!(9999)),
        &["report.check.tokens.n_same", "9999"],
    );
    refused(&changed(|report| report["adapter"]["name"] = json!("x".repeat(5000))), &["report.adapter.name", "5000"]);
    refused(
        &changed(|report| report["adapter"]["features"] = json!(vec!["x"; 5000])),
        &["report.adapter.features", "5000"],
    );
    refused(&" ".repeat(MAX_BYTES + 1), &["4194305 bytes"]);
    let deep = "[".repeat(100_000);
    refused(&deep, &["recursion"]);
    refused(&json!(vec![json!({}); MAX_ENTRIES + 1]).to_string(), &["257 reports"]);
}

#[test]
fn published_figures_are_checked() {
    let good: Value = serde_json::from_str(&fixture("published.json")).expect("JSON");
    let with = |field: &str, value: Value| {
        let mut published = good.clone();
        published[field] = value;
        published.to_string()
    };
    assert!(read(&good.to_string()).is_ok());
    refused(&with("source", json!("javascript:alert(1)")), &["report.source", "https://"]);
    refused(&with("date", json!("yesterday")), &["report.date", "2026-10-30"]);
    refused(&with("figures", json!([])), &["report.figures", "at least one"]);
    refused(&with("figures", json!([{"name": "", "value": 1, "unit": "s"}])), &["report.figures[0]"]);
    refused(&with("machine", json!(" ")), &["report.machine"]);
    refused(&with("published", json!(2)), &["report.published", "version 2"]);
    refused(&with("measured", json!(true)), &["measured"]);
}

#[test]
fn characters_that_are_obeyed_are_shown_by_their_numbers() {
    let text = changed(|report| report["adapter"]["name"] = json!("a\u{1b}[31m\u{202e}b\n\u{fffe}"));
    let Entry::Measured(report) = read(&text).expect("a report").remove(0) else { panic!("a report") };
    assert_eq!(report.adapter.identity.name, "a\\u{1b}[31m\\u{202e}b\\u{a}\\u{fffe}");
}

#[test]
fn a_link_of_a_flood_is_refused() {
    use base64::Engine;
    use std::io::Write;
    let mut bomb = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![b' '; 64 << 20]).expect("memory");
    let bomb = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bomb.finish().expect("memory"));
    assert!(bomb.len() < 100_000);
    let error = unpack(&format!("1.{bomb}")).expect_err("too much").to_string();
    assert!(error.contains("4194305 bytes"), "{error}");
    for (link, word) in
        [("", "begins with"), ("9.abc", "9.abc"), ("1.!!", "base64url"), ("2.!!", "base64url"), ("1.AAAA", "link")]
    {
        let error = unpack(link).expect_err("no link").to_string();
        assert!(error.contains(word), "{link}: {error}");
    }
    let whole_as_short = format!("2.{}", base64_of(&fixture("chromium.json")));
    assert!(unpack(&whole_as_short).expect_err("another packing").to_string().contains("no report"));
    let published = format!("1.{}", base64_of(&fixture("published.json")));
    assert!(unpack(&published).expect_err("not measured").to_string().contains("one measured report"));
}

fn base64_of(text: &str) -> String {
    use base64::Engine;
    use std::io::Write;
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).expect("memory");
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(packed.finish().expect("memory"))
}

#[test]
fn a_link_is_short_enough_for_an_address() {
    let Entry::Measured(report) = read(&fixture("chromium.json")).expect("a report").remove(0) else {
        panic!("a report")
    };
    let link = pack(&report);
    // With the page's own address it stays under 600.
    assert!(link.len() <= 500, "{} characters", link.len());
    let carried = unpack(&link).expect("a link");
    for (told, was) in carried.tests.iter().zip(&report.tests) {
        assert_eq!(told.name(), was.name());
        let (told, was) = (told.tokens_per_s.median, was.tokens_per_s.median);
        assert!((told / was - 1.0).abs() < 1e-3, "{told} for {was}");
    }
    assert_eq!(carried.check.map(|check| check.verdict), report.check.map(|check| check.verdict));
    assert!(carried.profiles.is_empty());
}

#[test]
fn the_documents_show_published_figures_that_are_read() {
    let text = std::fs::read_to_string(root().join("docs/reports.md")).expect("a document");
    let example = text.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    assert!(matches!(read(example).expect("it is read")[..], [Entry::Published(_)]));
}

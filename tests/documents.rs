//! The documents beside the code: what they point to is there, and what they say twice is the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every document: those at the top, and those in docs/.
fn documents() -> Vec<PathBuf> {
    let in_folder =
        |folder: &str| fs::read_dir(root().join(folder)).expect("a folder").flatten().map(|file| file.path());
    let all = in_folder("").chain(in_folder("docs"));
    let found: Vec<PathBuf> = all.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    assert!(found.len() > 8, "{found:?}");
    found
}

/// What a text of markdown links to: `](…)` outside of code.
fn links(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2);
    outside.flat_map(|part| part.split("](").skip(1).filter_map(|rest| rest.split(')').next())).collect()
}

/// The anchors of a text's headings, as GitHub names them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings =
        text.lines().filter_map(|line| line.strip_prefix('#')).map(|line| line.trim_start_matches('#').trim());
    let letter = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings
        .map(|heading| heading.to_lowercase().chars().filter(|c| letter(*c)).collect::<String>().replace(' ', "-"))
        .collect()
}

/// The links of a document at `path` with this text that lead nowhere.
fn dead_links(path: &Path, text: &str) -> Vec<String> {
    let is_dead = |link: &&str| {
        if link.starts_with("https://") {
            return false;
        }
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let target = if file.is_empty() { path.to_owned() } else { path.with_file_name(file) };
        let has_anchor = || {
            let text = if file.is_empty() { text.to_owned() } else { fs::read_to_string(&target).unwrap_or_default() };
            anchors(&text).contains(anchor)
        };
        !target.exists() || !(anchor.is_empty() || has_anchor())
    };
    links(text).iter().filter(|link| is_dead(link)).map(|link| format!("{}: {link}", path.display())).collect()
}

#[test]
fn links_of_the_documents_lead_somewhere() {
    let dead: Vec<String> =
        documents().iter().flat_map(|path| dead_links(path, &fs::read_to_string(path).expect("a document"))).collect();
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn a_dead_link_is_noticed() {
    let dead = |text: &str| dead_links(&root().join("docs/method.md"), text).len();
    assert_eq!(dead("[a](../README.md) [b](../README.md#run-it) [c](https://example.org) ```[d](x)``` # E\n"), 0);
    assert_eq!(dead("# Two words\n[a](#two-words) ![b](../www/favicon.svg)"), 0);
    assert_eq!(dead("[a](README.md)"), 1);
    assert_eq!(dead("[a](../README.md#no-such-heading) [b](#nor-here)"), 2);
}

#[test]
fn the_readme_is_short() {
    let n_lines = read("README.md").lines().count();
    assert!(n_lines <= 150, "{n_lines} lines; expected at most 150: what is not for everybody belongs into docs/");
}

/// Words in a line of markdown between backticks.
fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_tests_that_security_names_are_there() {
    let security = read("SECURITY.md");
    let rows: Vec<&str> = security.lines().filter(|line| line.starts_with("| ") && line.contains("::")).collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    let mut missing = Vec::new();
    for (file, name) in rows.iter().flat_map(|row| in_backticks(row)).filter_map(|words| words.split_once("::")) {
        if !read(format!("tests/{file}.rs")).contains(&format!("fn {name}()")) {
            missing.push(format!("{file}::{name}"));
        }
    }
    let files = fs::read_dir(root().join("tools/browser")).unwrap().map(|file| file.unwrap().path());
    let checks: String = files.filter(|file| file.extension().is_some_and(|of| of == "mjs")).map(read).collect();
    for row in security.lines().filter(|line| line.starts_with("| in the page")) {
        missing.extend(row.split('"').skip(1).step_by(2).filter(|name| !checks.contains(*name)).map(str::to_owned));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The value of `key = "…"` in a text of TOML.
fn version<'a>(text: &'a str, key: &str) -> &'a str {
    let value = |line: &'a str| line.strip_prefix(key)?.trim_start().strip_prefix('=');
    let value = text.lines().find_map(value).unwrap_or_else(|| panic!("no {key}"));
    value.trim().trim_matches('"').trim_start_matches('=')
}

/// A page's program and its JavaScript must be of one version of wasm-bindgen, whichever tool binds them.
#[test]
fn every_builder_of_the_page_has_the_same_binder() {
    let wanted = version(&read("Cargo.toml"), "wasm-bindgen").to_owned();
    assert_eq!(version(&read("tools/page/Cargo.toml"), "wasm-bindgen-cli-support"), wanted);
    assert_eq!(version(&read("Trunk.toml"), "wasm_bindgen"), wanted);
    let binaryen = version(&read("Trunk.toml"), "wasm_opt").replace("version_", "");
    assert!(read("tools/browser/package.json").contains(&format!("\"binaryen\": \"{binaryen}.0.0\"")), "{binaryen}");
}

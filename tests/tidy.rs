//! Holds the source tree to the shape that src/lib.rs draws: which floor may name which, where the platform shows,
//! that each kernel has its Rust twin, how long files may be, and what may not be written in them.
//! Every rule is a function over files in memory, and carries samples that it must report and samples that it must not.

use std::fs;
use std::path::Path;

/// A text file: its path from the package's root with `/` between, and what it holds.
type File = (String, String);

/// One thing that is asked of the tree.
struct Rule {
    name: &'static str,
    /// One line for each breach.
    check: fn(&[File]) -> Vec<String>,
    /// Each of these little trees must be reported.
    breaches: &'static [&'static [(&'static str, &'static str)]],
    /// None of these may be.
    keeps: &'static [&'static [(&'static str, &'static str)]],
}

/// Each floor with the floors it may name. `host`, `lib.rs` and `main.rs` may name all.
const FLOORS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("shader_text", &[]),
    ("unchecked_device", &[]),
    ("unicode", &[]),
    ("format", &["error", "shader_text"]),
    ("gpu", &["error", "shader_text", "unchecked_device"]),
    ("kernels", &["error", "shader_text", "format", "gpu"]),
    ("model", &["error", "format", "text"]),
    ("text", &["error", "format", "model", "unicode"]),
    ("engine", &["error", "format", "gpu", "kernels", "model", "text"]),
    ("measure", &["error", "format", "gpu", "kernels", "model", "text", "engine"]),
    ("host", &["error", "format", "gpu", "kernels", "model", "text", "engine", "measure"]),
];

/// The rooms of the engine, each of which may name those before it.
const ROOMS: [&str; 4] = ["load", "arch", "run", "check"];

const RULES: &[Rule] = &[
    Rule {
        name: "a floor names only itself and the floors below",
        check: upward_edges,
        breaches: &[
            &[("src/gpu/executor.rs", "use crate::model::Shape;")],
            &[("src/model/mod.rs", "fn f(d: &crate::gpu::Device) {}")],
            &[("src/kernels/attend.rs", "use crate::{\n    error::Result,\n    model::{Shape, weights},\n};")],
            &[("src/format/gguf.rs", "use crate :: engine::upload;")],
            &[("src/gpu/mod.rs", "use super::kernels::ALL;")],
            &[("src/engine/session.rs", "pub use crate::measure;")],
            &[("src/error.rs", "use headstart::format::Format;")],
            &[("src/backend/mod.rs", "//! A floor that nobody drew.")],
        ],
        keeps: &[&[
            (
                "src/kernels/attend.rs",
                "//! See crate::model::Shape.\nuse crate::{error::Result, gpu::{model_name, Recording}};",
            ),
            ("src/engine/mod.rs", "use crate::kernels::attend;\nuse super::models;"),
            ("src/host/web/page.rs", "use crate::measure::report;"),
            ("src/text/chat.rs", "use crate::model::Shape;"),
            ("src/main.rs", "use headstart::host;"),
        ]],
    },
    Rule {
        name: "a room of the engine names only itself and the rooms before",
        check: backward_edges,
        breaches: &[
            &[("src/engine/load/files.rs", "use crate::engine::arch::network::Network;")],
            &[("src/engine/run/session.rs", "use crate::engine::{load, check::lockstep};")],
            &[("src/engine/arch/fit.rs", "fn f() -> super::super::run::session::Session {}")],
            &[("src/engine/session.rs", "//! In no room.")],
        ],
        keeps: &[&[
            ("src/engine/mod.rs", "pub use check::lockstep;"),
            ("src/engine/arch/network.rs", "use crate::engine::load::upload::Uploads;\nuse super::run_length::x;"),
            ("src/engine/check/trial.rs", "use crate::engine::{arch::step::Kind, run::session::Session};"),
        ]],
    },
    Rule {
        name: "the platform shows in src/host, src/main.rs and src/lib.rs only",
        check: platform_outside_host,
        breaches: &[
            &[("src/gpu/device.rs", "#[cfg(target_arch = \"wasm32\")]\nfn f() {}")],
            &[("src/format/source.rs", "if cfg!(target_family = \"wasm\") {}")],
        ],
        keeps: &[&[
            ("src/host/mod.rs", "#[cfg(target_arch = \"wasm32\")]\nmod web;"),
            ("src/lib.rs", "#[cfg(not(target_arch = \"wasm32\"))]\npub mod x;"),
            ("src/gpu/mod.rs", "// There is no cfg(target_arch) here."),
        ]],
    },
    Rule {
        name: "each kernel's WGSL has a Rust twin, and stands in kernels::ALL or is a variant of one that does",
        check: kernels_without_twin,
        breaches: &[
            &[("shaders/kernels/attend.wgsl", ""), ("src/kernels/mod.rs", "pub const ALL: &[&Op] = &[&attend::OP];")],
            &[
                ("shaders/kernels/attend.wgsl", ""),
                ("src/kernels/attend.rs", ""),
                ("src/kernels/mod.rs", "mod attend;\npub const ALL: &[&Op] = &[&no_attend::OP];\nuse attend::x;"),
            ],
        ],
        keeps: &[&[
            ("shaders/kernels/attend.wgsl", ""),
            ("shaders/lib/sum_shared.wgsl", ""),
            ("shaders/kernels/attend_tiled.wgsl", ""),
            ("src/kernels/attend_tiled.rs", ""),
            ("src/kernels/attend.rs", "variants: &[attend_tiled::VARIANT],"),
            ("src/kernels/mod.rs", "pub static ALL: [&Op; 1] = [\n    &attend::OP,\n];"),
        ]],
    },
    Rule {
        name: "no shader file writes a directive: the composer does",
        check: directives,
        breaches: &[
            &[("shaders/kernels/a.wgsl", "enable f16;\n")],
            &[("shaders/lib/a.wgsl", "// head\n  requires packed_4x8_integer_dot_product;")],
            &[("shaders/kernels/a.wgsl", "diagnostic(off, derivative_uniformity);")],
        ],
        keeps: &[&[("shaders/kernels/a.wgsl", "// enable f16;\nlet enabled = 1;\n@diagnostic(off, x) fn f() {}")]],
    },
    Rule {
        name: "what a block of a shader declares without a value is set before it is added to",
        check: added_to_nothing,
        breaches: &[
            &[("shaders/kernels/a.wgsl", "        var sums: array<f32, N>;\n        sums[i] += 1.0;")],
            &[(
                "shaders/lib/a.wgsl",
                "            var z: array<f32, N>;\n            if b {\n                z[0] -= x;\n",
            )],
        ],
        keeps: &[
            &[("shaders/kernels/a.wgsl", "    var sums: array<f32, N>;\n    sums[i] += 1.0;")],
            &[("shaders/kernels/a.wgsl", "        var z: array<f32, N>;\n        z[i] = 0.0;\n        z[i] += 1.0;")],
            &[("shaders/kernels/a.wgsl", "        var z = array<f32, N>();\n        z[i] += 1.0;")],
        ],
    },
    Rule {
        name: "a WGSL file has at most 300 lines, a Rust file at most 600",
        check: long_files,
        breaches: &[&[("shaders/kernels/a.wgsl", LINES_301)], &[("src/a.rs", LINES_602)], &[("tests/a.rs", LINES_602)]],
        keeps: &[&[("src/a.rs", LINES_301), ("tests/fixtures/a.json", LINES_602)]],
    },
    Rule {
        name: "no module is named after nothing",
        check: empty_names,
        breaches: &[&[("src/gpu/utils.rs", "")], &[("src/common/mod.rs", "")], &[("tests/helpers/mod.rs", "")]],
        keeps: &[&[("src/gpu/device.rs", ""), ("src/engine/cache.rs", "")]],
    },
    Rule {
        name: "each file of tests is a module of tests/main.rs, or a [[test]] of Cargo.toml",
        check: forgotten_tests,
        breaches: &[
            &[("tests/main.rs", "mod a;\n"), ("tests/a.rs", ""), ("tests/b.rs", ""), ("Cargo.toml", "")],
            &[("tests/main.rs", "// mod a;\nmod ba;"), ("tests/a.rs", ""), ("Cargo.toml", "path = \"tests/ba.rs\"")],
        ],
        keeps: &[&[
            ("tests/main.rs", "mod support;\nmod a;\n"),
            ("tests/a.rs", ""),
            ("tests/b.rs", ""),
            ("tests/support/mod.rs", ""),
            ("Cargo.toml", "[[test]]\npath = \"tests/main.rs\"\npath = \"tests/b.rs\""),
        ]],
    },
    Rule {
        name: "no path of one machine, nothing left to do",
        check: leftovers,
        breaches: &[
            &[("tools/a.sh", "cd /work/x")],
            &[("README.md", "see /root/x")],
            &[("src/a.rs", "let x = \"/home/me\";")],
            &[("src/a.rs", "todo!()")],
            &[("shaders/a.wgsl", "// FIXME: wrong")],
            &[("www/a.js", "// TODO")],
        ],
        keeps: &[&[("src/a.rs", "let workgroup = homework / root;"), ("tools/a.sh", "cd \"$HOME/.cache\"")]],
    },
];

const LINES_301: &str = lines_of(&[b'\n'; 301]);
const LINES_602: &str = lines_of(&[b'\n'; 602]);

const fn lines_of(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("line ends are ASCII"),
    }
}

fn upward_edges(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files {
        let Some(inside) = path.strip_prefix("src/") else { continue };
        let floor = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        if ["lib", "main"].contains(&floor) {
            continue;
        }
        let Some((_, allowed)) = FLOORS.iter().find(|(name, _)| *name == floor) else {
            found.push(format!("{path}: `{floor}` is no floor of the house"));
            continue;
        };
        for named in named_modules(&code(text)) {
            let is_floor = FLOORS.iter().any(|(name, _)| *name == named);
            if is_floor && named != floor && !allowed.contains(&named.as_str()) {
                found.push(format!("{path}: `{floor}` may not name `{named}`"));
            }
        }
    }
    found
}

fn backward_edges(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files {
        let Some(inside) = path.strip_prefix("src/engine/").filter(|inside| *inside != "mod.rs") else { continue };
        let Some(room) = ROOMS.iter().position(|room| inside.starts_with(&format!("{room}/"))) else {
            found.push(format!("{path}: in none of the engine's rooms"));
            continue;
        };
        let text = code(text);
        for later in &ROOMS[room + 1..] {
            if heads_after(&text, &["engine::", "super::super::"]).iter().any(|named| named == later) {
                found.push(format!("{path}: `{}` may not name `{later}`", ROOMS[room]));
            }
        }
    }
    found
}

/// The modules that paths from the crate's root, or from a parent module, name first: `a` and `b` of
/// `crate::{a::x, b}`.
fn named_modules(code: &str) -> Vec<String> {
    heads_after(code, &["crate::", "super::", "headstart::"])
}

/// The modules that stand first in paths behind any of `roots`.
fn heads_after(code: &str, roots: &[&str]) -> Vec<String> {
    let code: String = code.split_whitespace().collect::<Vec<_>>().join(" ").replace(" ::", "::").replace(":: ", "::");
    let mut names = Vec::new();
    for root in roots {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(is_word) {
                continue;
            }
            let rest = &code[at + root.len()..];
            match rest.strip_prefix('{') {
                Some(group) => names.extend(group_heads(group)),
                None => names.push(word(rest)),
            }
        }
    }
    names
}

/// The first word of each entry of a `use` group, given from after its opening brace.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut entry) = (0, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                heads.push(word(group[entry..at].trim_start()));
                entry = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    heads
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| is_word(*c)).collect()
}

/// The text without its comment lines.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect()
}

fn platform_outside_host(files: &[File]) -> Vec<String> {
    let elsewhere = |path: &str| {
        path.starts_with("src/") && !path.starts_with("src/host/") && !["src/main.rs", "src/lib.rs"].contains(&path)
    };
    let asks = |text: &str| ["target_arch", "target_family"].iter().any(|word| code(text).contains(word));
    files.iter().filter(|(path, text)| elsewhere(path) && asks(text)).map(|(path, _)| format!("{path}: cfg")).collect()
}

fn kernels_without_twin(files: &[File]) -> Vec<String> {
    let text_of = |wanted: &str| files.iter().find(|(path, _)| path == wanted).map(|(_, text)| text.as_str());
    let kernels = text_of("src/kernels/mod.rs").unwrap_or_default();
    let value = kernels.split_once(" ALL:").and_then(|(_, rest)| rest.split_once('=')).map_or("", |(_, value)| value);
    let all = value.split("];").next().unwrap_or_default();
    let mut found = Vec::new();
    for (path, _) in files {
        let Some(name) = path.strip_prefix("shaders/kernels/").and_then(|name| name.strip_suffix(".wgsl")) else {
            continue;
        };
        if text_of(&format!("src/kernels/{name}.rs")).is_none() {
            found.push(format!("{path}: there is no src/kernels/{name}.rs"));
        }
        let stands = all.match_indices(&format!("{name}::")).any(|(at, _)| !all[..at].ends_with(is_word));
        let variant = format!("{name}::VARIANT");
        let is_variant = |(path, text): &File| path.starts_with("src/kernels/") && text.contains(&variant);
        if !stands && !files.iter().any(is_variant) {
            found.push(format!("{path}: `{name}` does not stand in kernels::ALL, nor is it a variant"));
        }
    }
    found
}

fn directives(files: &[File]) -> Vec<String> {
    let is_directive =
        |line: &str| ["enable ", "requires ", "diagnostic("].iter().any(|word| line.trim_start().starts_with(word));
    let shaders = files.iter().filter(|(path, _)| path.ends_with(".wgsl"));
    shaders
        .flat_map(|(path, text)| {
            text.lines()
                .filter(|line| is_directive(line))
                .map(move |line| format!("{path}: directive `{}`", line.trim()))
        })
        .collect()
}

/// In a loop WGSL begins every turn with zeros; Chromium on SwiftShader keeps what the turn before left.
fn added_to_nothing(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".wgsl")) {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let within = line.strip_prefix("        ").map(str::trim).filter(|line| !line.contains('='));
            let Some((name, _)) = within.and_then(|line| line.strip_prefix("var ")?.split_once(':')) else { continue };
            let element = format!("{name}[");
            let first = lines[at + 1..].iter().map(|line| line.trim()).find(|line| line.starts_with(&element));
            if first.is_some_and(|line| line.contains("] += ") || line.contains("] -= ")) {
                found.push(format!("{path}: {name} is added to before it is set"));
            }
        }
    }
    found
}

fn long_files(files: &[File]) -> Vec<String> {
    let limit = |path: &str| match path.rsplit_once('.') {
        Some((_, "wgsl")) => 300,
        Some((_, "rs")) => 600,
        _ => usize::MAX,
    };
    let lengths = files.iter().map(|(path, text)| (path, text.lines().count()));
    lengths.filter(|(path, n)| *n > limit(path)).map(|(path, n)| format!("{path}: {n} lines")).collect()
}

fn empty_names(files: &[File]) -> Vec<String> {
    let is_empty = |part: &str| {
        let stem = part.split('.').next().unwrap_or_default();
        ["utils", "util", "common", "helpers", "helper", "manager", "context", "misc"].contains(&stem)
    };
    let code = files.iter().filter(|(path, _)| !path.starts_with("www/") && !path.ends_with(".md"));
    code.filter(|(path, _)| path.split('/').any(is_empty)).map(|(path, _)| format!("{path}: say what it is")).collect()
}

fn forgotten_tests(files: &[File]) -> Vec<String> {
    let text_of = |wanted: &str| files.iter().find(|(path, _)| path == wanted).map_or("", |(_, text)| text.as_str());
    let (main, manifest) = (text_of("tests/main.rs"), text_of("Cargo.toml"));
    let is_run = |path: &str, name: &str| {
        main.lines().any(|line| line == format!("mod {name};")) || manifest.contains(&format!("path = \"{path}\""))
    };
    let names = files.iter().filter_map(|(path, _)| {
        let name = path.strip_prefix("tests/")?.strip_suffix(".rs")?;
        (!name.contains('/')).then_some((path, name))
    });
    names
        .filter(|(path, name)| !is_run(path, name))
        .map(|(path, _)| format!("{path}: `cargo test` passes it by"))
        .collect()
}

fn leftovers(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    // This file has to spell what it forbids.
    for (path, text) in files.iter().filter(|(path, _)| path != "tests/tidy.rs") {
        for word in ["/work/", "/root/", "/home/", "todo!", "unimplemented!", "TODO", "FIXME"] {
            for (index, line) in text.lines().enumerate().filter(|(_, line)| line.contains(word)) {
                found.push(format!("{path}:{}: `{word}` in `{}`", index + 1, line.trim()));
            }
        }
    }
    found
}

/// The files that people write: sources, scripts and pages; not data.
fn files_of_the_package() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for top in ["src", "shaders", "tests", "tools", "fuzz", "www", "docs", "examples", ".ci", ".cargo", ".github"] {
        collect(root, top, &mut files);
    }
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if [".md", ".toml", ".html"].iter().any(|end| name.ends_with(end)) {
            files.extend(fs::read_to_string(entry.path()).map(|text| (name, text)));
        }
    }
    files
}

fn collect(root: &Path, folder: &str, files: &mut Vec<File>) {
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{folder}/{name}");
        let kind = entry.file_type().expect("a folder's entry has a type");
        if kind.is_dir() && !["node_modules", "target", "corpus", "__pycache__"].contains(&name.as_str()) {
            collect(root, &path, files);
        }
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        let written =
            ["rs", "wgsl", "sh", "py", "js", "mjs", "html", "css", "toml", "md", "yml", ""].contains(&extension);
        if kind.is_file() && written {
            files.extend(fs::read_to_string(root.join(&path)).map(|text| (path, text)));
        }
    }
}

fn owned(sample: &[(&str, &str)]) -> Vec<File> {
    sample.iter().map(|(path, text)| ((*path).to_string(), (*text).to_string())).collect()
}

#[test]
fn the_house_is_tidy() {
    let files = files_of_the_package();
    assert!(files.iter().any(|(path, _)| path == "src/lib.rs"), "the walk found no sources");
    let breaches: Vec<String> = RULES
        .iter()
        .flat_map(|rule| (rule.check)(&files).into_iter().map(|breach| format!("{breach}  ({})", rule.name)))
        .collect();
    assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
}

#[test]
fn every_rule_reports_its_sabotage() {
    for rule in RULES {
        assert!(!rule.breaches.is_empty(), "{}: no sabotage", rule.name);
        for sample in rule.breaches {
            assert!(!(rule.check)(&owned(sample)).is_empty(), "{}: did not report {sample:?}", rule.name);
        }
    }
}

#[test]
fn no_rule_reports_what_is_well() {
    for rule in RULES {
        for sample in rule.keeps {
            let found = (rule.check)(&owned(sample));
            assert!(found.is_empty(), "{}: reported {found:?}", rule.name);
        }
    }
}

//! Builds the page from index.html into dist/, as `trunk build --release` does, without Trunk and wasm-bindgen-cli, whose
//! installation takes a quarter of an hour of a processor's time.
//!
//! `cargo page [--quick] [--dist FOLDER]`. `--quick` leaves out wasm-opt: a larger page, a minute sooner.

mod html;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use wasm_bindgen_cli_support::Bindgen;

use crate::html::{Program, file_name};

const USAGE: &str = "usage: cargo page [--quick] [--dist FOLDER]";

fn main() -> ExitCode {
    let Err(error) = run() else { return ExitCode::SUCCESS };
    eprintln!("cargo page: {error:#}");
    ExitCode::FAILURE
}

fn run() -> Result<()> {
    // Cargo tells where it runs this; another clone may have built it, where they share a target folder.
    let here = env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let root = Path::new(&here).join("../..");
    let (mut quick, mut dist) = (false, root.join("dist"));
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => quick = true,
            "--dist" => dist = arguments.next().context(USAGE)?.into(),
            _ => bail!("{argument}: not known. {USAGE}"),
        }
    }

    let index = fs::read_to_string(root.join("index.html")).context("index.html")?;
    let page = html::read(&index)?;
    let bound = format!("{}_bg.wasm", page.program.bin);
    check_folder(&dist, &bound)?;
    let wasm = compile(&root, &page.program)?;
    let mut bindings = Bindgen::new()
        .input_path(&wasm)
        .out_name(&page.program.bin)
        .web(true)?
        .typescript(false)
        .omit_default_module_path(false)
        .generate_output()
        .context("binding the program's WebAssembly to JavaScript")?;

    if dist.exists() {
        fs::remove_dir_all(&dist)?;
    }
    fs::create_dir_all(&dist).with_context(|| dist.display().to_string())?;
    bindings.emit(&dist)?;
    if !quick {
        optimise(&dist.join(bound), &page.program)?;
    }
    for from in &page.copies {
        copy(&root.join(from), &dist.join(file_name(from)))?;
    }
    // Last: a folder without it is no page.
    fs::write(dist.join("index.html"), page.html)?;
    println!("The page is in {}. To open it: node tools/browser/serve.mjs", fs::canonicalize(&dist)?.display());
    Ok(())
}

/// Compiles the program to WebAssembly; returns the file.
fn compile(root: &Path, program: &Program) -> Result<PathBuf> {
    let output = tool("cargo")?
        .current_dir(root)
        .args([
            "build",
            "--locked",
            "--target",
            "wasm32-unknown-unknown",
            "--message-format",
            "json-render-diagnostics",
        ])
        .args(["--profile", &program.cargo_profile, "--bin", &program.bin])
        .stderr(Stdio::inherit())
        .output()
        .context("cargo")?;
    ensure!(output.status.success(), "cargo build failed. If the target is missing: bash tools/setup.sh page");
    let wasm = String::from_utf8(output.stdout)?
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|file| file.file_name().is_some_and(|name| *name == *format!("{}.wasm", program.bin)));
    wasm.with_context(|| format!("cargo build made no {}.wasm", program.bin))
}

fn optimise(wasm: &Path, program: &Program) -> Result<()> {
    let mut command = tool("wasm-opt")?;
    command.args(&program.wasm_opt).arg(wasm).arg("-o").arg(wasm);
    let status = command.status().context(
        "wasm-opt (`bash tools/setup.sh page` installs it; `cargo page --quick` does without, for a larger page)",
    )?;
    ensure!(status.success(), "wasm-opt failed on {}", wasm.display());
    Ok(())
}

/// A command that finds what tools/setup.sh installed, before what else is on PATH.
fn tool(name: &str) -> Result<Command> {
    let home = env::var_os("HEADSTART_TOOLS")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cache/headstart-tools")))
        .context("no home folder: set HEADSTART_TOOLS")?;
    let installed = ["wasm-toolchain/bin", "npm/node_modules/.bin"].map(|folder| home.join(folder));
    let path = env::var_os("PATH").unwrap_or_default();
    let mut command = Command::new(name);
    command.env("PATH", env::join_paths(installed.into_iter().chain(env::split_paths(&path)))?);
    Ok(command)
}

/// Refuses a folder that holds something else than a page of ours: it will be made again.
fn check_folder(dist: &Path, wasm: &str) -> Result<()> {
    let is_ours = !dist.exists() || dist.join(wasm).exists() || fs::read_dir(dist)?.next().is_none();
    ensure!(is_ours, "{}: holds something else than a page; choose an empty folder", dist.display());
    Ok(())
}

/// Copies a file, or a folder with all it holds.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let what = || from.display().to_string();
    if !from.is_dir() {
        fs::copy(from, to).with_context(what)?;
        return Ok(());
    }
    fs::create_dir_all(to).with_context(what)?;
    for file in fs::read_dir(from).with_context(what)? {
        let file = file?;
        copy(&file.path(), &to.join(file.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_or_nothing_is_overwritten() {
        let folder = env::temp_dir().join(format!("headstart-page-{}", std::process::id()));
        let is_taken = || check_folder(&folder, "it_bg.wasm").is_ok();
        assert!(is_taken(), "it is not there");
        fs::create_dir_all(&folder).unwrap();
        assert!(is_taken(), "it is empty");
        fs::write(folder.join("index.html"), "somebody's").unwrap();
        assert!(!is_taken(), "it holds what is not ours");
        fs::write(folder.join("it_bg.wasm"), "").unwrap();
        assert!(is_taken(), "it holds a page");
        fs::remove_dir_all(&folder).unwrap();
    }
}

//! The native program: the command line, files on disk, the terminal.
//! Results go to stdout and nothing else does; progress, notices, the panel and errors go to stderr.

/// Writes a line to stderr. A reader that has gone away is no fault, where the standard library's macro would panic.
macro_rules! eprintln {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($arg)*);
    }};
}

/// The same without a line's end.
macro_rules! eprint {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stderr(), $($arg)*);
    }};
}

mod adapters;
mod arguments;
mod bench;
mod choice;
mod compare;
mod converse;
mod dashes;
mod eval;
mod grammar;
mod help;
mod hub;
mod interrupt;
mod memory;
mod model_files;
mod new_file;
mod npy;
mod platform;
mod progress;
mod prompt;
mod prompt_cache;
mod quantize;
mod rounds;
mod run;
pub mod source;
mod synthesize;
mod tables;
mod terminal;
mod text_out;
mod tokenize;
mod tune;
mod verify;
#[cfg(not(target_vendor = "apple"))]
mod vulkan_memory;

use crate::error::{Error, ErrorKind, Result};
use arguments::{Arguments, Command};
use clap::CommandFactory;
use std::io::Write;
use std::process::ExitCode;

/// The model that is part of the program.
const EMBEDDED_MODEL: &[u8] = include_bytes!("../../../www/models/headstart-v4-11m.gguf");
/// Its name, as its file is called.
const EMBEDDED_NAME: &str = "headstart-v4-11m.gguf";

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Done,
    Interrupted,
}

/// How a command ended that got to its end.
fn ending() -> Ending {
    if interrupt::asked() { Ending::Interrupted } else { Ending::Done }
}

/// Runs the command line. The exit code tells what happened; `headstart --help` lists them.
#[must_use]
pub fn main() -> ExitCode {
    /// Grammars of thousands of rules are compiled by functions that call themselves as often. Only what is used takes memory.
    const STACK_BYTES: usize = 256 << 20;
    let thread = std::thread::Builder::new().name("main".to_owned()).stack_size(STACK_BYTES).spawn(carry_out);
    match thread {
        Ok(thread) => thread.join().unwrap_or(ExitCode::from(101)),
        // Under a limit of address space.
        Err(_) => carry_out(),
    }
}

fn carry_out() -> ExitCode {
    let (words, notices) = match dashes::with_long_options(std::env::args_os()) {
        Ok(understood) => understood,
        Err(error) => {
            eprintln!("headstart: {error}");
            return ExitCode::from(exit_code(error.kind));
        }
    };
    let command = help::parse(words).command.unwrap_or_default();
    platform::hush_drivers();
    platform::outlive_file_limits();
    notices.iter().for_each(|notice| eprintln!("headstart: {notice}"));
    let ending = match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Bench(options) => bench::bench(&options),
        Command::Test(options) => bench::test(&options),
        Command::Adapters(arguments) => adapters::adapters(&arguments),
        Command::Eval(arguments) => eval::eval(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Schema(_) => compare::print_schema(),
        Command::Tokenize(arguments) => tokenize::tokenize(&arguments),
        Command::Detokenize(arguments) => tokenize::detokenize(&arguments),
        Command::Quantize(arguments) => quantize::quantize(&arguments),
        Command::Tune(options) => tune::tune(&options),
        Command::Synthesize(arguments) => synthesize::synthesize(&arguments),
        Command::Verify(options) => verify::verify(&options),
        Command::Models(arguments) => hub::models(&arguments),
        Command::Completions(arguments) => completions(arguments.shell),
    };
    match ending {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Interrupted) => ExitCode::from(interrupt::exit_code()),
        Err(error) => {
            // A file's name, or what stands in a file, may hold what a terminal would obey.
            eprintln!("headstart: {}", terminal::visible(&error.to_string()));
            ExitCode::from(exit_code(error.kind))
        }
    }
}

/// As the help says; 1 is left to panics and other faults of the program.
fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => 2,
        ErrorKind::File => 3,
        ErrorKind::Adapter => 4,
        ErrorKind::Io => 5,
        ErrorKind::Numbers => 6,
    }
}

fn completions(shell: clap_complete::Shell) -> Result<Ending> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "headstart", &mut script);
    write_out(&script)?;
    Ok(Ending::Done)
}

/// Writes to stdout. A reader that has gone away has had enough: that is no error.
fn write_out(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::io("stdout", error)),
        _ => Ok(()),
    }
}

/// A value as indented JSON, with a line's end.
fn json(value: &impl serde::Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n").map_err(|error| Error::io("the result as JSON", error))
}

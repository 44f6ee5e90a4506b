//! Faults of the machine beside the program: a disk that fills, a file that changes under a reader, two programs with one
//! file. Each leaves what it should, with one message. Those of downloads are in `hub`, of devices in the library's own.

use crate::support::fixture;
use headstart::engine::{ExecutorChoice, LoadOptions, LoadProgress, ModelFiles, Session};
use headstart::error::{Error, ErrorKind};
use headstart::host::native::source::File;
use pollster::block_on;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

const MODEL: &str = "families/llama/model.gguf";

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_headstart"))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Files of a folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What a load says whose file is spoilt once its directory was read.
fn spoilt_while_read(spoil: impl Fn(&Path)) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::copy(fixture(MODEL), &path).unwrap();
    let files = ModelFiles::gguf(Rc::new(File::open(&path).unwrap()));
    let mut heard = |progress| {
        if matches!(progress, LoadProgress::Planned { .. }) {
            spoil(&path);
        }
    };
    block_on(Session::load(&files, ExecutorChoice::Cpu, &LoadOptions::default(), &mut heard)).err().unwrap()
}

#[test]
fn a_file_that_is_cut_or_written_to_while_it_is_read_is_named() {
    let open = |path: &Path| fs::OpenOptions::new().write(true).open(path).unwrap();
    let cut = spoilt_while_read(|path| open(path).set_len(20_000).unwrap());
    let written = spoilt_while_read(|path| {
        fs::write(path, fs::read(path).unwrap()).unwrap();
        open(path).set_modified(SystemTime::now() + Duration::from_secs(60)).unwrap();
    });
    // A clock that was set back makes no file older than it is: any other time is another file.
    let back = spoilt_while_read(|path| open(path).set_modified(SystemTime::UNIX_EPOCH).unwrap());
    for (error, word) in [(cut, "change"), (written, "written to while it was read"), (back, "written to")] {
        assert_eq!(error.kind, ErrorKind::Io, "{error}");
        assert!(error.to_string().contains("model.gguf") && error.to_string().contains(word), "{error}");
    }
    // One that was put in its place by a rename is another file; the one that was opened is still whole.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::copy(fixture(MODEL), &path).unwrap();
    let files = ModelFiles::gguf(Rc::new(File::open(&path).unwrap()));
    fs::write(folder.path().join("new"), b"no model").unwrap();
    fs::rename(folder.path().join("new"), &path).unwrap();
    assert!(block_on(Session::load(&files, ExecutorChoice::Cpu, &LoadOptions::default(), &mut |_| ())).is_ok());
}

/// A limit on the length of files is met as a full disk is: half a write, then an error.
#[cfg(unix)]
#[test]
fn a_full_disk_ends_whatever_writes_and_leaves_what_was_there() {
    let model = fixture(MODEL);
    let model = model.to_str().unwrap();
    let commands: [&[&str]; 5] = [
        &["run", "-a", "cpu", "-n", "1", "-p", "a", "--report", "file"],
        &["run", "-a", "cpu", "-n", "1", "-p", "a", "--prompt-cache", "file"],
        &["eval", "-m", model, "-a", "cpu", "--ids", "1,2,3,4,5,6,7,8", "--logits", "file"],
        &["quantize", model, "file", "--to", "q8_0"],
        &["synthesize", "synthetic:deepseek-v4-flash:layers=0..1", "file"],
    ];
    for command in commands {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), b"hdstpast").unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_headstart")]);
        let output = shell.args(command).current_dir(folder.path()).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(5), "{command:?}: {said}");
        assert!(said.contains("the space left on the disk") && said.contains("file"), "{command:?}: {said}");
        assert_eq!(names(folder.path()), ["file"], "{command:?}");
        assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"hdstpast", "{command:?}");
    }
}

#[test]
fn a_prompt_cache_is_not_written_over_another_kind_of_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let command = |options: &[&str]| {
        let fixed = ["run", "-a", "cpu", "-n", "1", "-p", "a", "--prompt-cache"];
        Command::new(env!("CARGO_BIN_EXE_headstart")).args(fixed).arg(&path).args(options).output().unwrap()
    };
    for (bytes, words) in [("GGUF and more", "a model, which would be lost"), ("A letter", "a file of another kind")] {
        fs::write(&path, bytes).unwrap();
        let output = command(&[]);
        let said = stderr(&output);
        assert!(output.status.code() == Some(2) && said.contains(words), "{said}");
        assert_eq!(fs::read_to_string(&path).unwrap(), bytes);
    }
    // An empty file is a name that was made for it.
    fs::write(&path, b"").unwrap();
    let output = command(&[]);
    assert!(output.status.success() && fs::read(&path).unwrap().starts_with(b"hdstpast"), "{}", stderr(&output));
}

#[test]
fn two_programs_with_one_prompt_cache_leave_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let run = || {
        let mut program = program();
        program.args([
            "run",
            "-a",
            "cpu",
            "--temp",
            "0",
            "-n",
            "2",
            "-p",
            "The prince looked",
            "--prompt-cache",
            "past",
        ]);
        program.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        program
    };
    let both: Vec<_> = (0..2).map(|_| run().spawn().unwrap()).collect();
    let texts: Vec<Output> = both.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let third = run().output().unwrap();
    for output in texts.iter().chain([&third]) {
        assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
        assert_eq!(output.stdout, third.stdout);
    }
    assert!(!stderr(&third).contains("is not used"), "{}", stderr(&third));
    assert!(!stderr(&third).contains(" 0 of "), "{}", stderr(&third));
    assert_eq!(names(folder.path()), ["past"]);
}

/// Durations are of a clock that only goes forward; the wall's clock tells when a report was made and how long ago a file
/// was used, and nothing is decided by it.
#[test]
fn files_from_the_future_are_used_like_others() {
    let home = tempfile::tempdir().unwrap();
    let repo = home.path().join("hub/models--owner--model-GGUF");
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let snapshot = repo.join("snapshots").join(commit);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::write(repo.join("refs/main"), commit).unwrap();
    let model = snapshot.join("model-F32.gguf");
    fs::copy(fixture(MODEL), &model).unwrap();
    let future = SystemTime::now() + Duration::from_secs(400 * 24 * 3600);
    let times = fs::FileTimes::new().set_accessed(future).set_modified(future);
    fs::OpenOptions::new().write(true).open(&model).unwrap().set_times(times).unwrap();
    let settled = |words: &[&str]| {
        let mut program = program();
        program.args(words).env("HF_HOME", home.path()).env("HF_HUB_OFFLINE", "1").env_remove("HF_HUB_CACHE");
        program.output().unwrap()
    };
    let listed = settled(&["models", "list"]);
    assert_eq!(listed.status.code(), Some(0), "{}", stderr(&listed));
    let table = String::from_utf8(listed.stdout).unwrap();
    assert!(table.contains("model-F32.gguf") && table.contains("ago"), "{table}");
    let read =
        settled(&["eval", "-hf", "owner/model-GGUF", "--hf-file", "model-F32.gguf", "-a", "cpu", "--ids", "1,2"]);
    assert_eq!(read.status.code(), Some(0), "{}", stderr(&read));
}

//! Where the program lives in the tests of downloads, and what is asked of how it ends.

use super::{REPO, folder, sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A place to live: a cache, and nothing of the machine's own settings.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.0.path().join("hub")
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.cache().join(folder())
    }

    pub(crate) fn settled(&self, mut program: Command, hub: &str) -> Command {
        for (name, _) in
            std::env::vars().filter(|(name, _)| name.starts_with("HF_") || name.to_lowercase().ends_with("_proxy"))
        {
            program.env_remove(name);
        }
        program.env("HF_HOME", self.0.path()).env("HF_ENDPOINT", hub).stdin(Stdio::null());
        program
    }

    pub(crate) fn program(&self, hub: &str, words: &[&str]) -> Command {
        let mut program = self.settled(Command::new(env!("CARGO_BIN_EXE_headstart")), hub);
        program.args(words);
        program
    }

    pub(crate) fn run(&self, hub: &str, words: &[&str]) -> Output {
        self.program(hub, words).output().expect("the program starts")
    }

    pub(crate) fn pull(&self, hub: &str) -> Output {
        self.run(hub, &["models", "pull", "--paths", REPO])
    }

    /// The files in the folder of blobs.
    pub(crate) fn blobs(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.repo().join("blobs")).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// How much has arrived of a file.
    pub(crate) fn part_bytes(&self, bytes: &[u8]) -> u64 {
        let part = self.repo().join("blobs").join(sha256(bytes) + ".incomplete");
        std::fs::metadata(part).map_or(0, |metadata| metadata.len())
    }

    /// Fails if anything in the cache could be taken for a whole file.
    pub(crate) fn assert_nothing_whole(&self) {
        assert!(self.blobs().iter().all(|name| name.ends_with(".incomplete")), "{:?}", self.blobs());
        let snapshots = self.repo().join("snapshots");
        assert!(!snapshots.exists() || std::fs::read_dir(&snapshots).expect("a folder").count() == 0, "{snapshots:?}");
        let offline = self.program("http://127.0.0.1:1", &["models", "pull", REPO]).env("HF_HUB_OFFLINE", "1").output();
        refused(&offline.expect("the program starts"), 2, &["HF_HUB_OFFLINE", "pull"]);
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn done(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Fails unless it ended with `code`, wrote nothing to stdout, and said every one of `words`.
pub(crate) fn refused(output: &Output, code: i32, words: &[&str]) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(output.stdout.is_empty() && !error.contains("panicked"), "{error}");
    for word in words {
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
}

/// Bytes that are no model, but as many as one's and each time the same.
pub(crate) fn noise(n_bytes: usize) -> Vec<u8> {
    (0..n_bytes as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

pub(crate) fn embedded() -> String {
    format!("{}/www/models/headstart-v4-11m.gguf", env!("CARGO_MANIFEST_DIR"))
}

//! Progress on stderr: a bar in bytes, steps or tokens on a terminal, nothing elsewhere.

use crate::engine::LoadProgress;
use crate::measure;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// The bar of a load, and of whatever else takes long.
pub(super) struct Progress {
    bar: ProgressBar,
    showing: Option<Unit>,
    /// Bytes of the files before the one that is downloaded.
    before: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Bytes,
    Steps,
    Tokens,
    Measured,
    Download,
}

impl Progress {
    /// A bar that is not drawn before there is something to tell. It is removed when dropped.
    pub(super) fn new() -> Self {
        Self { bar: ProgressBar::no_length(), showing: None, before: 0 }
    }

    /// Something under way of which nobody knows how far it is.
    pub(super) fn spinner(what: String) -> Self {
        let bar = ProgressBar::new_spinner().with_message(what);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, showing: None, before: 0 }
    }

    /// Shows how far a load has come.
    pub(super) fn load(&mut self, progress: &LoadProgress) {
        match *progress {
            LoadProgress::Directory | LoadProgress::Planned { .. } => {}
            LoadProgress::Upload { done, total } => self.show(Unit::Bytes, done, total),
            LoadProgress::Compile { done, total } => self.show(Unit::Steps, done.into(), total.into()),
        }
    }

    /// Says something on a line of its own, above the bar.
    pub(super) fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// Shows how many tokens are done.
    pub(super) fn tokens(&mut self, done: usize, total: usize) {
        self.show(Unit::Tokens, done as u64, total as u64);
    }

    /// Shows how far a measurement has come, and what is measured now.
    pub(super) fn measure(&mut self, progress: &measure::Progress) {
        self.show(Unit::Measured, progress.done.into(), progress.total.into());
        self.bar.set_message(progress.what.clone());
    }

    /// The same for a measurement on an adapter of this name.
    pub(super) fn measure_on(&mut self, adapter: &str, progress: &measure::Progress) {
        self.measure(progress);
        self.bar.set_message(format!("{}, {adapter}", progress.what));
    }

    /// Shows that a file is being downloaded, after others of so many bytes, and all of `total`.
    pub(super) fn begin_download(&mut self, file: String, before: u64, total: u64) {
        self.before = before;
        self.show(Unit::Download, before, total);
        self.bar.set_message(file);
    }

    /// Shows how much of the file was there already: that is no measure of speed.
    pub(super) fn download_from(&mut self, done: u64) {
        self.bar.set_position(self.before + done);
        self.bar.reset_eta();
    }

    /// Shows how much of the file is there.
    pub(super) fn download(&mut self, done: u64) {
        self.bar.set_position(self.before + done);
    }

    fn show(&mut self, unit: Unit, done: u64, total: u64) {
        if self.showing != Some(unit) {
            self.showing = Some(unit);
            self.bar.reset();
            self.bar.set_style(style(unit));
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(unit: Unit) -> ProgressStyle {
    ProgressStyle::with_template(template(unit)).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn template(unit: Unit) -> &'static str {
    match unit {
        Unit::Bytes => "load     {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        Unit::Steps => "compile  {bar:30} {pos} of {len} steps",
        Unit::Tokens => "tokens   {bar:30} {pos} of {len}, {per_sec}, {eta} left",
        Unit::Download => {
            "download {bar:30} {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left: {msg}"
        }
        Unit::Measured => "measure  {bar:30} {pos} of {len}: {msg}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A style that cannot be read is replaced by a bare bar without anybody's notice.
    #[test]
    fn styles_can_be_read() {
        for unit in [Unit::Bytes, Unit::Steps, Unit::Tokens, Unit::Measured, Unit::Download] {
            assert!(ProgressStyle::with_template(template(unit)).is_ok(), "{}", template(unit));
        }
    }

    #[test]
    fn files_are_counted_together() {
        let mut progress = Progress::new();
        progress.begin_download("b.gguf".to_owned(), 100, 300);
        progress.download_from(50);
        progress.download(80);
        assert_eq!((progress.bar.position(), progress.bar.length()), (180, Some(300)));
        assert_eq!(progress.bar.message(), "b.gguf");
    }
}

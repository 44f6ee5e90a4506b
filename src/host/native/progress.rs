//! Progress on stderr: a bar in bytes, steps or tokens on a terminal; elsewhere a line for each step of what takes long.

use super::terminal;
use crate::engine::LoadProgress;
use crate::measure;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

/// The bar of a load, and of what else takes long.
pub(super) struct Progress {
    bar: ProgressBar,
    showing: Option<Unit>,
    /// Bytes of the files before the one that is downloaded.
    before: u64,
    /// Where no bar is drawn: what is told in lines.
    lines: Option<Lines>,
}

/// What is told of a step in a log: that it is done, once it took long enough to be waited for.
struct Lines {
    told: Instant,
    begun: Instant,
    what: String,
}

/// Work that is over sooner is not told of in a log.
const PATIENCE: Duration = Duration::from_secs(5);

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
        Self::of(ProgressBar::no_length())
    }

    fn of(bar: ProgressBar) -> Self {
        let lines = terminal::is_plain().then(|| {
            bar.set_draw_target(ProgressDrawTarget::hidden());
            Lines { told: Instant::now(), begun: Instant::now(), what: String::new() }
        });
        Self { bar, showing: None, before: 0, lines }
    }

    /// Something under way of which nobody knows how far it is.
    pub(super) fn spinner(what: String) -> Self {
        let bar = ProgressBar::new_spinner().with_message(what);
        let progress = Self::of(bar);
        if progress.lines.is_none() {
            progress.bar.enable_steady_tick(Duration::from_millis(100));
        }
        progress
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

    /// What is known so far of tokens that are being read.
    pub(super) fn note(&mut self, text: &str) {
        self.bar.set_message(text.to_owned());
        if let Some(lines) = &mut self.lines {
            lines.what = format!(": {text}");
        }
    }

    /// Shows how many tokens are done.
    pub(super) fn tokens(&mut self, done: usize, total: usize) {
        self.show(Unit::Tokens, done as u64, total as u64);
    }

    /// Shows how far a measurement has come, and what is measured now.
    pub(super) fn measure(&mut self, progress: &measure::Progress) {
        self.step(&progress.what, progress.done, progress.total);
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

    /// Tells in a log that the step before this one is done.
    fn step(&mut self, what: &str, done: u32, total: u32) {
        let Some(lines) = self.lines.as_mut().filter(|lines| lines.what != what) else { return };
        let before = std::mem::replace(&mut lines.what, what.to_owned());
        if !before.is_empty() && lines.told.elapsed() >= PATIENCE {
            lines.told = Instant::now();
            let percent = u64::from(done) * 100 / u64::from(total.max(1));
            eprintln!("headstart: measured {before}; {percent} % in {} s", lines.begun.elapsed().as_secs());
        }
    }

    /// Tells in a log how far other work has come, now and then.
    fn tell(&mut self, unit: Unit, done: u64, total: u64) {
        let is_new = self.showing != Some(unit);
        let Some(lines) = self.lines.as_mut() else { return };
        if is_new {
            (lines.begun, lines.told) = (Instant::now(), Instant::now());
        }
        let what = match unit {
            Unit::Bytes => "MB loaded",
            Unit::Steps => "shaders compiled",
            Unit::Tokens => "tokens read",
            Unit::Measured | Unit::Download => return,
        };
        if lines.told.elapsed() >= PATIENCE {
            lines.told = Instant::now();
            let in_units = |n: u64| if unit == Unit::Bytes { n / 1_000_000 } else { n };
            let seconds = lines.begun.elapsed().as_secs();
            let (done, total, noted) = (in_units(done), in_units(total), &lines.what);
            eprintln!("headstart: {done} of {total} {what} in {seconds} s{noted}");
        }
    }

    fn show(&mut self, unit: Unit, done: u64, total: u64) {
        if self.showing != Some(unit) {
            self.showing = Some(unit);
            self.bar.reset();
            self.bar.set_style(style(unit));
        }
        self.tell(unit, done, total);
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
        Unit::Tokens => "tokens   {bar:30} {pos} of {len}, {per_sec}, {eta} left  {msg}",
        Unit::Download => {
            "download {bar:30} {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left: {msg}"
        }
        Unit::Measured => "measure  {bar:30} {percent} %, {eta} left: {msg}",
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

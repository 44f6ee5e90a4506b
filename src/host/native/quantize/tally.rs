//! What the new file takes and what it lost, format by format.

use crate::format::Format;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What was written in each format.
#[derive(Debug, Default)]
pub(super) struct Tally {
    formats: BTreeMap<Format, Entry>,
    /// Bytes that were copied, in any format.
    copied_bytes: u64,
}

#[derive(Debug, Default)]
struct Entry {
    n_tensors: u64,
    n_elements: u64,
    bytes: u64,
    /// Sums of the squared differences, and of the squares.
    error: f64,
    square: f64,
}

impl Tally {
    /// Counts a tensor whose elements follow.
    pub(super) fn begin(&mut self, format: Format) {
        self.formats.entry(format).or_default().n_tensors += 1;
    }

    /// Counts elements as they were and as they came out.
    pub(super) fn add(&mut self, format: Format, bytes: usize, before: &[f32], after: &[f32]) {
        let entry = self.formats.entry(format).or_default();
        entry.n_elements += before.len() as u64;
        entry.bytes += bytes as u64;
        for (&before, &after) in before.iter().zip(after) {
            entry.error += f64::from(before - after).powi(2);
            entry.square += f64::from(before).powi(2);
        }
    }

    /// Counts bytes that stayed as they were.
    pub(super) fn add_copied(&mut self, bytes: u64) {
        self.copied_bytes += bytes;
    }

    /// For the terminal: a line for each format, and the sizes of both files.
    pub(super) fn lines(&self, before: u64, after: u64) -> String {
        let mut lines = String::new();
        for (format, entry) in &self.formats {
            let Entry { n_tensors, n_elements, bytes, error, square } = entry;
            let n = (*n_elements).max(1) as f64;
            let rmse = (error / n).sqrt();
            let relative = if *square > 0.0 { (error / square).sqrt() } else { 0.0 };
            // Writing to a String cannot fail.
            let _ = writeln!(
                lines,
                "{format:<7} {n_tensors:>6} tensors, {n_elements:>13} weights, {bytes:>13} bytes, rmse {rmse:.3e} ({:.3} %)",
                100.0 * relative
            );
        }
        if self.copied_bytes > 0 {
            let _ = writeln!(lines, "copied  {:>46} bytes", self.copied_bytes);
        }
        let share = 100.0 * after as f64 / before.max(1) as f64;
        let grown = if after > before { ": it is larger now, for the model was in smaller formats" } else { "" };
        let _ = writeln!(lines, "size    {before} bytes, now {after} ({share:.1} %){grown}");
        lines
    }
}

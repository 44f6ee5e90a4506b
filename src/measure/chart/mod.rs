//! Charts of what was measured, as SVG: each is one self-contained text that stands in a page, in a file, on paper.

use super::report::Entry;

/// One chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    /// What it is called on the command line: `tokens`, `share`, `stages`, `memory`, `roofline`.
    pub name: &'static str,
    /// What it shows, in a line.
    pub title: String,
    /// A whole SVG document, without an XML declaration: it may be put into a page as it is.
    pub svg: String,
    /// Its width and height, in pixels at its natural size.
    pub size: (u32, u32),
}

/// All charts that can be drawn of the entries, in reading order. What was not measured leaves its chart out.
#[must_use]
pub fn charts(entries: &[Entry]) -> Vec<Chart> {
    let _ = entries;
    Vec::new()
}

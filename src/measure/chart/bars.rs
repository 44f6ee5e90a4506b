//! Bars by adapter: one row an adapter, one panel a figure, each panel with a scale of its own. Bars may be of several
//! parts, have a whisker, and are filled by how far they may be trusted.

use super::canvas::{Anchor, Canvas, Fill, MARGIN, Words, width_of};
use super::scale::{Linear, tick};
use super::{Chart, MAX_ADAPTERS};
use crate::measure::compare::{Column, Mark};

const ROW: f64 = 36.0;
const BAR: f64 = 18.0;
/// Above the rows of a panel, for its heading; and below, for ticks and unit.
const HEAD: f64 = 24.0;
const FOOT: f64 = 44.0;
const GAP: f64 = 28.0;

/// All that is drawn.
pub(super) struct Bars<'a> {
    pub(super) name: &'static str,
    pub(super) words: Words,
    pub(super) columns: &'a [Column],
    pub(super) panels: Vec<Panel>,
    /// Names of series; none where there is only one.
    pub(super) series: Vec<(usize, String)>,
    /// Panels beside each other, at most, where there is room.
    pub(super) n_beside: usize,
}

/// Below this width names stand above their bars, and panels below each other.
const NARROW: f64 = 640.0;
/// Room for a name above its bar.
const NAME: f64 = 30.0;

/// One figure of all adapters.
pub(super) struct Panel {
    pub(super) heading: String,
    pub(super) unit: String,
    /// The least end of the scale.
    pub(super) at_least: f64,
    /// A bar for each column; absent where there is no figure.
    pub(super) bars: Vec<Option<Bar>>,
}

/// The figure of one adapter.
pub(super) struct Bar {
    /// Lengths of its parts with their series and what they are.
    pub(super) parts: Vec<(f64, usize, String)>,
    /// Half the length of its whisker.
    pub(super) spread: f64,
    /// What stands behind it.
    pub(super) label: String,
    pub(super) mark: Mark,
}

impl Bar {
    pub(super) fn length(&self) -> f64 {
        self.parts.iter().map(|(length, ..)| length).sum()
    }

    fn reach(&self) -> f64 {
        self.length() + self.spread
    }
}

impl Bars<'_> {
    /// The chart; `None` where there is no bar. An adapter without any bar is left out.
    pub(super) fn draw(mut self, index: usize, wide: f64) -> Option<Chart> {
        let has_bar = |row: &usize| self.panels.iter().any(|panel| panel.bars[*row].is_some());
        let mut rows: Vec<usize> = (0..self.columns.len()).filter(has_bar).collect();
        if rows.is_empty() {
            return None;
        }
        let n_left_out = rows.len().saturating_sub(MAX_ADAPTERS);
        rows.truncate(MAX_ADAPTERS);
        if n_left_out > 0 {
            self.words.subtitle += &format!(" The table has {n_left_out} more.");
        }
        self.words.description = self.describe(&rows);
        let mut canvas = Canvas::new();
        let mut top = self.legend(&mut canvas, &rows, wide);
        let is_narrow = wide < NARROW;
        let (names, row_height) =
            if is_narrow { (0.0, NAME + BAR + 8.0) } else { (names_width(self.columns, &rows), ROW) };
        let n_beside = if is_narrow { 1 } else { self.panels.len().min(self.n_beside) };
        let width = (wide - 2.0 * MARGIN - names - GAP * (n_beside - 1) as f64) / n_beside as f64;
        for panels in self.panels.chunks(n_beside) {
            // Below each other, panels have the rows that they show, and no others.
            let has_bar = |row: &usize| panels.iter().any(|panel| panel.bars[*row].is_some());
            let rows: Vec<usize> = rows.iter().copied().filter(has_bar).collect();
            if rows.is_empty() {
                continue;
            }
            for (place, &row) in rows.iter().enumerate() {
                let room = if is_narrow { width } else { names - 12.0 };
                name(&mut canvas, &self.columns[row], top + HEAD + row_height * place as f64, room);
            }
            for (place, panel) in panels.iter().enumerate() {
                let left = MARGIN + names + (width + GAP) * place as f64;
                panel.draw(&mut canvas, (left, top), width, &rows, row_height);
            }
            top += HEAD + row_height * rows.len() as f64 + FOOT;
        }
        Some(canvas.finish(self.name, index, &self.words, (wide, top + 6.0)))
    }

    /// Series and marks, in as many lines as they need; returns where the drawing goes on.
    fn legend(&self, canvas: &mut Canvas, rows: &[usize], wide: f64) -> f64 {
        let begin = self.words.top(wide);
        let has = |mark: Mark| {
            self.panels
                .iter()
                .any(|panel| rows.iter().any(|&row| panel.bars[row].as_ref().is_some_and(|bar| bar.mark == mark)))
        };
        let marks = [
            (Mark::NotChecked, "numbers not checked"),
            (Mark::Wrong, "numbers WRONG"),
            (Mark::Published, "published, not measured"),
        ];
        let series = self.series.iter().map(|(series, name)| (*series, Fill::Solid, name.clone()));
        let plain = if self.series.is_empty() { 0 } else { 8 };
        let marked = marks.into_iter().filter(|(mark, _)| has(*mark));
        let keys: Vec<_> = series.chain(marked.map(|(mark, name)| (plain, fill(mark), name.to_owned()))).collect();
        let (mut left, mut top) = (MARGIN, begin + 2.0);
        for (series, fill, name) in &keys {
            let width = 22.0 + width_of(name, 12.0).min(300.0) + 14.0;
            if left + width > wide - MARGIN {
                (left, top) = (MARGIN, top + 20.0);
            }
            canvas.rect((left, top), (14.0, 12.0), *series, *fill, "");
            canvas.text((left + 20.0, top + 10.5), 12.0, "ink", Anchor::Start, 300.0, name);
            left += width;
        }
        if keys.is_empty() { begin } else { top + 26.0 }
    }

    fn describe(&self, rows: &[usize]) -> String {
        let of_panel = |panel: &Panel| {
            let bar = |&row: &usize| {
                let bar = panel.bars[row].as_ref()?;
                let mark = bar.mark.label();
                let mark =
                    if mark.is_empty() || bar.label.contains(mark) { String::new() } else { format!(" ({mark})") };
                Some(format!("{}, {}: {}{mark}", self.columns[row].name, self.columns[row].detail, bar.label))
            };
            let bars: Vec<String> = rows.iter().filter_map(bar).collect();
            format!("{} ({}): {}.", panel.heading, panel.unit, bars.join("; "))
        };
        self.panels.iter().map(of_panel).collect::<Vec<_>>().join(" ")
    }
}

impl Panel {
    fn draw(&self, canvas: &mut Canvas, at: (f64, f64), width: f64, rows: &[usize], row_height: f64) {
        let (left, top) = at;
        let bars = || rows.iter().enumerate().filter_map(|(place, &row)| Some((place, self.bars[row].as_ref()?)));
        let longest = bars().map(|(_, bar)| bar.reach()).fold(self.at_least, f64::max);
        // Labels stand behind the bars: the scale is as long as lets every one of them end within the panel.
        let room =
            |bar: &Bar| (width - width_of(&bar.label, 12.0) - 10.0) * longest / bar.reach().max(f64::MIN_POSITIVE);
        let long = bars().map(|(_, bar)| room(bar)).fold(width - 24.0, f64::min).max(width * 0.2);
        let scale = Linear::new(longest, (long / 48.0).clamp(2.0, 6.0));
        let bottom = top + HEAD + row_height * rows.len() as f64;
        canvas.text((left, top + 12.0), 13.0, "ink strong", Anchor::Start, width, &self.heading);
        for figure in scale.ticks() {
            let x = left + long * scale.at(figure);
            canvas.line((x, top + HEAD - 4.0), (x, bottom), if figure == 0.0 { "axis" } else { "grid" }, 1.0);
            canvas.text((x, bottom + 15.0), 11.0, "soft", Anchor::Middle, 60.0, &tick(figure));
        }
        canvas.text((left, bottom + 31.0), 11.0, "soft", Anchor::Start, width, &self.unit);
        for (place, bar) in bars() {
            let above = if row_height > ROW { NAME + 4.0 } else { (ROW - BAR) / 2.0 };
            let y = top + HEAD + row_height * place as f64 + above;
            bar.draw(canvas, (left, y), |figure| long * scale.at(figure), width);
        }
    }
}

impl Bar {
    fn draw(&self, canvas: &mut Canvas, at: (f64, f64), place: impl Fn(f64) -> f64, width: f64) {
        let mut from = 0.0;
        for (length, series, what) in &self.parts {
            let (begin, end) = (place(from), place(from + length));
            from += length;
            // A hair of ground between the parts of a bar.
            let hair = if self.parts.len() > 1 && end - begin > 3.0 { 1.0 } else { 0.0 };
            canvas.rect((at.0 + begin, at.1), (end - begin - hair, BAR), *series, fill(self.mark), what);
        }
        let middle = at.1 + BAR / 2.0;
        if self.spread > 0.0 {
            let (low, high) = (at.0 + place((from - self.spread).max(0.0)), at.0 + place(from + self.spread));
            canvas.line((low, middle), (high, middle), "roof", 1.0);
            [low, high].iter().for_each(|&x| canvas.line((x, middle - 3.0), (x, middle + 3.0), "roof", 1.0));
        }
        let class = if self.mark == Mark::Wrong { "bad" } else { "ink" };
        let behind = place(self.reach()) + 6.0;
        canvas.text((at.0 + behind, middle + 4.0), 12.0, class, Anchor::Start, width - behind, &self.label);
    }
}

fn fill(mark: Mark) -> Fill {
    match mark {
        Mark::Right => Fill::Solid,
        Mark::NotChecked => Fill::Hollow,
        Mark::Wrong => Fill::Dashed,
        Mark::Published => Fill::Dotted,
    }
}

/// Room for the names of adapters.
fn names_width(columns: &[Column], rows: &[usize]) -> f64 {
    let of = |column: &Column| width_of(&column.name, 13.0).max(width_of(&column.detail, 11.0));
    rows.iter().map(|&row| of(&columns[row])).fold(0.0, f64::max).clamp(100.0, 270.0) + 14.0
}

fn name(canvas: &mut Canvas, column: &Column, top: f64, width: f64) {
    canvas.text((MARGIN, top + 15.0), 13.0, "ink", Anchor::Start, width, &column.name);
    canvas.text((MARGIN, top + 29.0), 11.0, "soft", Anchor::Start, width, &column.detail);
}

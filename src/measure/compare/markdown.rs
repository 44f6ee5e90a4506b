//! A group as markdown, for a page, an issue or a terminal. Names come from drivers and strangers: nothing of them is
//! left to mean anything.

use super::{Cell, Group, Mark, Pair, Row, times};
use crate::measure::panel::share;

/// One group: heading, facts, notes, table, pairs.
pub(super) fn group(group: &Group) -> String {
    let mut out = format!("## {}\n\n", escape(&group.title));
    for fact in &group.facts {
        out += &format!("- {}: {}\n", fact.label, escape(&fact.value));
    }
    out += "\n";
    for note in &group.notes {
        out += &format!("> {}\n>\n", escape(note));
    }
    out += if group.notes.is_empty() { "" } else { "\n" };
    let names: Vec<String> = group.columns.iter().map(|column| escape(&column.name)).collect();
    out += &line(["figure", "unit"].map(str::to_owned).into_iter().chain(names));
    out += &line(["---", "---"].into_iter().chain(group.columns.iter().map(|_| "---:")).map(str::to_owned));
    let mut section = None;
    for row in &group.rows {
        if section.replace(row.section) != Some(row.section) {
            let empty = (0..=group.columns.len()).map(|_| String::new());
            out += &line(std::iter::once(format!("**{}**", row.section.label())).chain(empty));
        }
        let cells = row.cells.iter().map(|cell| cell.as_ref().map_or_else(|| "–".to_owned(), cell_text));
        out += &line([escape(&row.figure), row.unit_told()].into_iter().chain(cells));
    }
    if let Some(baseline) = group.baseline {
        let column = &group.columns[baseline];
        out += &format!(
            "\n× are multiples of {} ({}); ↑ more is better, ↓ less.\n",
            escape(&column.name),
            escape(&column.detail)
        );
    }
    group.pairs.iter().for_each(|one| out += &pair(group, one));
    out
}

/// A figure with its share, ratio and mark. What is wrong is struck out.
fn cell_text(cell: &Cell) -> String {
    let text = escape(&cell.text);
    if cell.mark == Mark::Wrong && cell.value.is_some() {
        return format!("~~{text}~~ **WRONG**");
    }
    let share = cell.share.as_ref().map(share);
    let ratio = cell.ratio.map(times);
    let mark = Some(cell.mark.label())
        .filter(|label| !label.is_empty() && cell.value.is_some())
        .map(|mark| format!("({mark})"));
    let text = if cell.mark == Mark::Wrong { format!("**{text}**") } else { text };
    std::iter::once(text).chain([share, ratio, mark].into_iter().flatten()).collect::<Vec<_>>().join(" · ")
}

/// The same adapter twice, figure by figure.
fn pair(group: &Group, pair: &Pair) -> String {
    let (native, browser) = (&group.columns[pair.native], &group.columns[pair.browser]);
    let mut out = format!("\n### {}: native against browser\n\n", escape(&native.name));
    let heads = [escape(&native.detail), escape(&browser.detail)];
    out += &line(["figure", "unit"].map(str::to_owned).into_iter().chain(heads).chain(["browser / native".to_owned()]));
    out += &line(["---", "---", "---:", "---:", "---:"].map(str::to_owned));
    for ratio in &pair.ratios {
        let row = &group.rows[ratio.row];
        let value = |column: usize| row.cells[column].as_ref().map_or_else(String::new, plain_cell);
        out += &line([figure(row), row.unit_told(), value(pair.native), value(pair.browser), times(ratio.ratio)]);
    }
    out
}

fn figure(row: &Row) -> String {
    format!("{}: {}", row.section.label(), escape(&row.figure))
}

fn plain_cell(cell: &Cell) -> String {
    cell_text(&Cell { share: None, ratio: None, ..cell.clone() })
}

fn line(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells.into_iter().collect();
    format!("| {} |\n", cells.join(" | "))
}

/// Text that markdown shows as it is.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '|' | '#' | '~' | '!' | '$' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_name_means_anything() {
        assert_eq!(escape("a|b<script>`x`\n[l](u)"), "a\\|b&lt;script&gt;\\`x\\` \\[l\\](u)");
    }
}

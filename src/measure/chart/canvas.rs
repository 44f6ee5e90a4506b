//! What charts are drawn with: text, lines, boxes and circles with classes from one style sheet that holds on light and
//! dark grounds, in a document that tells its title and what it shows to screen readers. There is no script, no
//! font to fetch, and all text is escaped.

use super::Chart;
use crate::measure::report::read::printable;
use svg::node::Text;
use svg::node::element::{Circle, Description, Group, Line, Path, Rectangle, SVG, Style, Text as Label, Title};

/// Width of a chart where nothing else is asked for, in pixels.
pub(super) const WIDTH: f64 = 960.0;
/// Distance from the chart's edges.
pub(super) const MARGIN: f64 = 20.0;
/// Where the drawing begins below title and subtitle.
pub(super) const TOP: f64 = 64.0;
/// From a line of the subtitle to the next.
const LINE: f64 = 16.0;
/// Colours that tell series apart; the ninth is for the rest.
pub(super) const N_SERIES: usize = 9;

/// Light and dark as the page's own: the ground is the chart's, so that it is readable on any page.
const STYLE: &str = "\
.hs-chart{font-family:system-ui,'Segoe UI',Roboto,'Helvetica Neue',sans-serif;font-variant-numeric:tabular-nums}\
.hs-chart .ground{fill:#fff}.hs-chart .ink{fill:#14191d}.hs-chart .soft{fill:#55606a}.hs-chart .bad{fill:#b3261e}\
.hs-chart .axis{stroke:#55606a;fill:none}.hs-chart .grid{stroke:#d7dde1;fill:none}.hs-chart .roof{stroke:#14191d;fill:none}\
.hs-chart .strong{font-weight:600}.hs-chart .halo{paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}\
.hs-chart .s0{fill:#c23613;stroke:#c23613}.hs-chart .s1{fill:#2f6fb7;stroke:#2f6fb7}.hs-chart .s2{fill:#d9930d;stroke:#d9930d}\
.hs-chart .s3{fill:#1d7a4d;stroke:#1d7a4d}.hs-chart .s4{fill:#7b53b8;stroke:#7b53b8}.hs-chart .s5{fill:#12898b;stroke:#12898b}\
.hs-chart .s6{fill:#c0508a;stroke:#c0508a}.hs-chart .s7{fill:#80705a;stroke:#80705a}.hs-chart .s8{fill:#a3adb5;stroke:#a3adb5}\
@media (prefers-color-scheme:dark){\
.hs-chart .ground{fill:#191f24}.hs-chart .ink{fill:#e8ecee}.hs-chart .soft{fill:#98a4ad}.hs-chart .bad{fill:#ff8a80}\
.hs-chart .axis{stroke:#98a4ad}.hs-chart .grid{stroke:#2d363d}.hs-chart .roof{stroke:#e8ecee}.hs-chart .halo{stroke:#191f24}\
.hs-chart .s0{fill:#ff7a52;stroke:#ff7a52}.hs-chart .s1{fill:#6aaef2;stroke:#6aaef2}.hs-chart .s2{fill:#f2bd4b;stroke:#f2bd4b}\
.hs-chart .s3{fill:#5cc792;stroke:#5cc792}.hs-chart .s4{fill:#b797f0;stroke:#b797f0}.hs-chart .s5{fill:#4cc4c6;stroke:#4cc4c6}\
.hs-chart .s6{fill:#ee8bb8;stroke:#ee8bb8}.hs-chart .s7{fill:#bfae93;stroke:#bfae93}.hs-chart .s8{fill:#6c7780;stroke:#6c7780}}";

/// Where a text's own place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a box is filled: it says whether a figure may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    Solid,
    Hollow,
    Dashed,
    Dotted,
}

/// A chart under way.
pub(super) struct Canvas {
    group: Group,
}

impl Canvas {
    pub(super) fn new() -> Self {
        Self { group: Group::new() }
    }

    /// A line of text of a size and classes, kept to `width` pixels.
    pub(super) fn text(&mut self, at: (f64, f64), size: f64, class: &str, anchor: Anchor, width: f64, text: &str) {
        let text = printable(text);
        let wide = if class.contains("strong") { 1.12 } else { 1.0 };
        let short = shortened(&text, size * wide, width);
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let mut label = Label::new("").set("x", px(at.0)).set("y", px(at.1)).set("font-size", px(size));
        label = label.set("class", class).set("text-anchor", anchor);
        label.get_children_mut().clear();
        if short != text {
            label = label.add(title(&text));
        }
        self.add(label.add(Text::new(short)));
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str, width: f64) {
        let line = Line::new().set("x1", px(from.0)).set("y1", px(from.1)).set("x2", px(to.0)).set("y2", px(to.1));
        self.add(line.set("class", class).set("stroke-width", px(width)));
    }

    /// Lines from point to point.
    pub(super) fn path(&mut self, points: &[(f64, f64)], class: &str, width: f64, dashes: &str) {
        let step = |(index, point): (usize, &(f64, f64))| {
            format!("{}{} {}", if index == 0 { 'M' } else { 'L' }, px(point.0), px(point.1))
        };
        let d: String = points.iter().enumerate().map(step).collect();
        let path = Path::new().set("d", d).set("class", class).set("stroke-width", px(width));
        self.add(if dashes.is_empty() { path } else { path.set("stroke-dasharray", dashes) });
    }

    /// A box; `tip` is told where a pointer rests on it.
    pub(super) fn rect(&mut self, at: (f64, f64), size: (f64, f64), series: usize, fill: Fill, tip: &str) {
        // A box's line is drawn half outside of it.
        let inset = if fill == Fill::Solid { 0.0 } else { 0.75 };
        let rect = Rectangle::new()
            .set("x", px(at.0 + inset))
            .set("y", px(at.1 + inset))
            .set("width", px((size.0 - 2.0 * inset).max(0.5)))
            .set("height", px((size.1 - 2.0 * inset).max(0.5)))
            .set("class", format!("s{series}"));
        let rect = match fill {
            Fill::Solid => rect.set("style", "stroke:none"),
            Fill::Hollow => rect.set("fill-opacity", "0.25").set("stroke-width", "1.5"),
            Fill::Dashed => rect.set("fill-opacity", "0").set("stroke-width", "1.5").set("stroke-dasharray", "5 3"),
            Fill::Dotted => rect.set("fill-opacity", "0.1").set("stroke-width", "1.5").set("stroke-dasharray", "1.5 2"),
        };
        self.add(if tip.is_empty() { rect } else { rect.add(title(tip)) });
    }

    pub(super) fn circle(&mut self, at: (f64, f64), radius: f64, series: usize, tip: &str) {
        let circle = Circle::new().set("cx", px(at.0)).set("cy", px(at.1)).set("r", px(radius));
        let circle = circle.set("class", format!("s{series}")).set("fill-opacity", "0.7");
        self.add(circle.add(title(tip)));
    }

    fn add(&mut self, node: impl Into<Box<dyn svg::Node>>) {
        svg::Node::append(&mut self.group, node);
    }

    /// The whole document: ground, title, what it shows in words, and the drawing.
    pub(super) fn finish(
        mut self,
        name: &'static str,
        index: usize,
        words: &Words,
        (wide, height): (f64, f64),
    ) -> Chart {
        let within = wide - 2.0 * MARGIN;
        self.text((MARGIN, 30.0), 17.0, "ink strong", Anchor::Start, within, &words.title);
        let lines = words.subtitle_lines(wide);
        for (index, line) in lines.iter().enumerate() {
            self.text((MARGIN, 49.0 + LINE * index as f64), 12.0, "soft", Anchor::Start, within, line);
        }
        let (title_id, text_id) = (format!("hs-{name}-{index}-title"), format!("hs-{name}-{index}-text"));
        let description: String = printable(&words.description).chars().take(2000).collect();
        let ground = Rectangle::new().set("width", px(wide)).set("height", px(height)).set("class", "ground");
        let svg = SVG::new()
            .set("viewBox", format!("0 0 {} {}", px(wide), px(height)))
            .set("width", px(wide))
            .set("height", px(height))
            .set("class", "hs-chart")
            .set("role", "img")
            .set("aria-labelledby", format!("{title_id} {text_id}"))
            .add(title(&words.title).set("id", title_id))
            .add(Description::new().set("id", text_id).add(Text::new(description)))
            .add(Style::new(STYLE))
            .add(ground.set("rx", "8"))
            .add(self.group);
        let title = printable(&words.title);
        Chart { name, group: 0, title, svg: format!("{svg}\n"), size: (wide.ceil() as u32, height.ceil() as u32) }
    }
}

/// What a chart says in words.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    /// In a line, what it shows.
    pub(super) title: String,
    /// How to read it.
    pub(super) subtitle: String,
    /// Its figures, for screen readers.
    pub(super) description: String,
}

impl Words {
    /// The subtitle in as many lines as a chart of that width needs; in one where it is as wide as usual.
    fn subtitle_lines(&self, wide: f64) -> Vec<String> {
        if wide >= WIDTH {
            return vec![self.subtitle.clone()];
        }
        let mut lines = Vec::<String>::new();
        for word in self.subtitle.split(' ') {
            match lines.last_mut() {
                Some(last) if width_of(last, 12.0) + width_of(word, 12.0) + 5.0 <= wide - 2.0 * MARGIN => {
                    *last += &format!(" {word}");
                }
                _ => lines.push(word.to_owned()),
            }
        }
        lines
    }

    /// Where the drawing begins below them.
    pub(super) fn top(&self, wide: f64) -> f64 {
        TOP + LINE * self.subtitle_lines(wide).len().saturating_sub(1) as f64
    }
}

fn title(text: &str) -> Title {
    let mut title = Title::new("");
    title.get_children_mut().clear();
    title.add(Text::new(printable(text)))
}

/// A coordinate with a hundredth of a pixel: the same text on every machine.
pub(super) fn px(n: f64) -> String {
    let text = format!("{:.2}", if n.is_finite() { n.clamp(-1e6, 1e6) } else { 0.0 });
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// About how wide a text is, in pixels: no font can be asked, and the widest usual one is taken.
pub(super) fn width_of(text: &str, size: f64) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' => 0.32,
        ' ' | 'f' | 't' | 'r' | '(' | ')' | '-' | '/' | '·' => 0.4,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.95,
        'A'..='Z' => 0.7,
        c if c.is_ascii() => 0.61,
        '±' | '×' | 'µ' | '–' => 0.7,
        _ => 1.0,
    };
    text.chars().map(em).sum::<f64>() * size
}

/// The text, or as much of it as fits with an ellipsis.
fn shortened(text: &str, size: f64, width: f64) -> String {
    if width_of(text, size) <= width {
        return text.to_owned();
    }
    let mut left = width - size;
    let fits = |c: &char| {
        left -= width_of(&c.to_string(), size);
        left >= 0.0
    };
    text.chars().take_while(fits).collect::<String>().trim_end().to_owned() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_never_odd() {
        let shown = [1.0, 1.5, -0.001, 1.0 / 3.0, f64::NAN, f64::INFINITY, 1e300].map(px);
        assert_eq!(shown, ["1", "1.5", "0", "0.33", "0", "0", "1000000"]);
    }

    #[test]
    fn long_texts_end_in_an_ellipsis() {
        assert_eq!(shortened("short", 12.0, 100.0), "short");
        let long = shortened(&"long ".repeat(40), 12.0, 100.0);
        assert!(long.ends_with('…') && width_of(&long, 12.0) <= 106.0, "{long}");
    }
}

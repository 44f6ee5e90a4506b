//! The roofline: how many operations a stage does for each byte, against the rate at which it does them, under the two
//! roofs that the adapter's own probes draw. A stage on the slope waits for memory, one under the flat part computes.

use super::canvas::{Anchor, Canvas, MARGIN, TOP, WIDTH, Words, width_of};
use super::scale::{Log, tick};
use super::{Chart, MAX_ADAPTERS};
use crate::format::sorted::{falling, sort};
use crate::measure::compare::{Column, Group};
use crate::measure::panel::{figures, millis, percent};
use crate::measure::report::{Entry, ProbeKind, Profile, Report};

/// Stages that are drawn; the shortest are left out.
const MAX_STAGES: usize = 13;
const LEGEND: f64 = 330.0;
const BOTTOM: f64 = 500.0;
const HEIGHT: f64 = 548.0;

/// A stage, or the whole step, as a point.
struct Point {
    name: String,
    /// Operations for each byte.
    intensity: f64,
    /// 10^9 operations per second.
    rate: f64,
    /// Milliseconds, and their share of the step.
    ms: f64,
    share: f64,
    /// How near it is to the roof above it.
    of_roof: f64,
}

/// One chart for each adapter with probes, and each kind of step that it profiled: decode and prefill.
pub(super) fn rooflines(entries: &[Entry], group: &Group, charts: &mut Vec<Chart>) {
    for column in group.columns.iter().take(MAX_ADAPTERS) {
        let Entry::Measured(report) = &entries[column.entry] else { continue };
        let first = |is_decode: bool| report.profiles.iter().find(|profile| (profile.n_tokens == 1) == is_decode);
        for profile in [first(true), first(false)].into_iter().flatten() {
            charts.extend(roofline(report, column, profile, charts.len()));
        }
    }
}

/// `None` without both probes, or without a stage that moved and did something in some time.
fn roofline(report: &Report, column: &Column, profile: &Profile, index: usize) -> Option<Chart> {
    let read = report.probes.limit(ProbeKind::Read).filter(|limit| limit.is_finite())?;
    let fma = report.probes.limit(ProbeKind::FmaF32).filter(|limit| limit.is_finite())?;
    let (points, whole) = points(profile, |intensity| fma.min(intensity * read))?;
    let all = || points.iter().chain([&whole]);
    let plot = Plot {
        x: Log::around(all().map(|point| point.intensity).chain([fma / read, 0.3 * fma / read, 5.0 * fma / read])),
        y: Log::around(all().map(|point| point.rate).chain([fma])),
    };
    let mut canvas = Canvas::new();
    plot.axes(&mut canvas);
    plot.roofs(&mut canvas, read, fma, report);
    plot.whole(&mut canvas, &whole);
    points.iter().enumerate().for_each(|(series, point)| plot.point(&mut canvas, series, point));
    legend(&mut canvas, &points, &whole, profile.stages.len());
    roof_key(&mut canvas, fma, report);
    let step =
        if profile.n_tokens == 1 { "decode".to_owned() } else { format!("{} tokens of a prompt", profile.n_tokens) };
    let mark =
        if column.mark.label().is_empty() { String::new() } else { format!(" Numbers: {}.", column.mark.label()) };
    let words = Words {
        title: format!("Roofline of {}, {step}", column.name),
        subtitle: format!(
            "{}. Roofs are the adapter's own probes; a circle's area is its share of the time.{mark}",
            column.detail
        ),
        description: describe(all()),
    };
    Some(canvas.finish(super::ROOFLINE, index, &words, (WIDTH, HEIGHT)))
}

/// Stages by time, and the step as a whole.
fn points(profile: &Profile, roof: impl Fn(f64) -> f64) -> Option<(Vec<Point>, Point)> {
    let timed = || profile.stages.iter().filter(|stage| stage.ms > 0.0 && stage.ms.is_finite());
    let all_ms: f64 = timed().map(|stage| stage.ms).sum();
    let point = |name: &str, bytes: u64, ops: u64, ms: f64| {
        let rate = ops as f64 * 1e-6 / ms;
        let intensity = ops as f64 / bytes as f64;
        let of_roof = rate / roof(intensity);
        let point = Point { name: name.to_owned(), intensity, rate, ms, share: ms / all_ms, of_roof };
        (bytes > 0 && ops > 0 && rate.is_finite()).then_some(point)
    };
    let mut points: Vec<Point> =
        timed().filter_map(|stage| point(&stage.name, stage.bytes, stage.ops, stage.ms)).collect();
    sort(&mut points, |point| falling(point.ms));
    points.truncate(MAX_STAGES);
    let sum = |of: fn(&crate::measure::StageTime) -> u64| timed().map(of).fold(0, u64::saturating_add);
    let whole = point("the whole step", sum(|stage| stage.bytes), sum(|stage| stage.ops), all_ms)?;
    (!points.is_empty()).then_some((points, whole))
}

fn describe<'a>(points: impl Iterator<Item = &'a Point>) -> String {
    let point = |point: &Point| {
        let (intensity, rate) = (figures(point.intensity), figures(point.rate));
        format!("{}: {intensity} operations a byte at {rate} Gop/s, {} of the time", point.name, percent(point.share))
    };
    points.map(point).collect::<Vec<_>>().join("; ")
}

struct Plot {
    x: Log,
    y: Log,
}

impl Plot {
    const LEFT: f64 = MARGIN + 52.0;
    const RIGHT: f64 = WIDTH - LEGEND - MARGIN;

    fn at(&self, intensity: f64, rate: f64) -> (f64, f64) {
        let x = Self::LEFT + (Self::RIGHT - Self::LEFT) * self.x.at(intensity);
        (x, BOTTOM - (BOTTOM - TOP - 8.0) * self.y.at(rate))
    }

    fn axes(&self, canvas: &mut Canvas) {
        let (least, lowest) = (self.x.ends().0, self.y.ends().0);
        for figure in self.x.ticks() {
            let (x, _) = self.at(figure, lowest);
            canvas.line((x, TOP + 8.0), (x, BOTTOM), "grid", 1.0);
            canvas.text((x, BOTTOM + 16.0), 11.0, "soft", Anchor::Middle, 50.0, &tick(figure));
        }
        for figure in self.y.ticks() {
            let (_, y) = self.at(least, figure);
            canvas.line((Self::LEFT, y), (Self::RIGHT, y), "grid", 1.0);
            canvas.text((Self::LEFT - 6.0, y + 4.0), 11.0, "soft", Anchor::End, 46.0, &tick(figure));
        }
        let corner = (Self::LEFT, BOTTOM);
        canvas.path(&[(Self::LEFT, TOP + 8.0), corner, (Self::RIGHT, BOTTOM)], "axis", 1.0, "");
        let middle = (Self::LEFT + Self::RIGHT) / 2.0;
        canvas.text(
            (middle, BOTTOM + 34.0),
            11.0,
            "soft",
            Anchor::Middle,
            400.0,
            "operations for each byte moved (logarithmic)",
        );
        canvas.text((MARGIN, TOP + 2.0), 11.0, "soft", Anchor::Start, 200.0, "Gop/s (logarithmic)");
    }

    /// The slope of the read probe up to the flat of the multiply-adds; other flats that were probed are dashed.
    fn roofs(&self, canvas: &mut Canvas, read: f64, fma: f64, report: &Report) {
        let (left, right) = self.x.ends();
        // A read probe far below every other figure has its slope outside the chart.
        let foot = (self.y.ends().0 / read).clamp(left, right);
        let ridge = (fma / read).clamp(foot, right);
        canvas.path(&[self.at(foot, foot * read), self.at(ridge, fma), self.at(right, fma)], "roof", 1.5, "");
        for (_, limit) in other_roofs(report).filter(|(_, limit)| *limit <= self.y.ends().1) {
            let from = (limit / read).clamp(left, right);
            canvas.path(&[self.at(from, limit), self.at(right, limit)], "axis", 1.0, "4 3");
        }
        let (x, y) = self.at((foot * ridge).sqrt(), (foot * ridge).sqrt() * read);
        let label = format!("{} {} GB/s", ProbeKind::Read.label(), figures(read));
        // Above the slope where there is room for it, below it otherwise.
        if x - Self::LEFT > 12.0 + width_of(&label, 11.0) {
            canvas.text((x - 8.0, y - 8.0), 11.0, "ink halo", Anchor::End, x, &label);
        } else {
            canvas.text((x + 10.0, y + 10.0), 11.0, "ink halo", Anchor::Start, 200.0, &label);
        }
    }

    fn point(&self, canvas: &mut Canvas, index: usize, point: &Point) {
        let at = self.at(point.intensity, point.rate);
        let radius = 4.0 + 16.0 * point.share.max(0.0).sqrt();
        let tip = format!("{}: {}, {}", point.name, millis(point.ms), percent(point.share));
        canvas.circle(at, radius, series(index), &tip);
        // A number beside a circle that has no room for it.
        let (x, anchor) = if radius < 8.0 { (at.0 + radius + 2.0, Anchor::Start) } else { (at.0, Anchor::Middle) };
        canvas.text((x, at.1 + 3.5), 10.0, "ink halo", anchor, 30.0, &(index + 1).to_string());
    }

    fn whole(&self, canvas: &mut Canvas, whole: &Point) {
        diamond(canvas, self.at(whole.intensity, whole.rate));
    }
}

/// Rates of arithmetic that the model's kernels do not use everywhere.
fn other_roofs(report: &Report) -> impl Iterator<Item = (ProbeKind, f64)> {
    let limit = |kind: ProbeKind| report.probes.limit(kind).map(|limit| (kind, limit));
    [ProbeKind::FmaF16, ProbeKind::DotI8].into_iter().filter_map(limit)
}

/// What the flat roofs are: at the foot of the legend, as they are often too close to be labelled in their place.
fn roof_key(canvas: &mut Canvas, fma: f64, report: &Report) {
    let left = WIDTH - LEGEND;
    let roofs = std::iter::once((ProbeKind::FmaF32, fma)).chain(other_roofs(report));
    for (index, (kind, limit)) in roofs.enumerate() {
        let y = BOTTOM - 30.0 + 20.0 * index as f64;
        let (class, width, dashes) = if index == 0 { ("roof", 1.5, "") } else { ("axis", 1.0, "4 3") };
        canvas.path(&[(left, y - 4.0), (left + 18.0, y - 4.0)], class, width, dashes);
        let label = format!("{}: {} {}", kind.label(), figures(limit), kind.unit());
        canvas.text((left + 24.0, y), 12.0, "ink", Anchor::Start, LEGEND - 60.0, &label);
    }
}

/// Colours repeat after the eighth; the numbers do not.
fn series(index: usize) -> usize {
    index % 8
}

fn legend(canvas: &mut Canvas, points: &[Point], whole: &Point, n_stages: usize) {
    let left = WIDTH - LEGEND;
    let right = WIDTH - MARGIN;
    let mut top = TOP + 22.0;
    let ends = [right - 128.0, right - 64.0, right];
    for (end, head) in ends.into_iter().zip(["time", "of step", "of roof"]) {
        canvas.text((end, TOP + 2.0), 11.0, "soft", Anchor::End, 64.0, head);
    }
    for (index, point) in points.iter().chain([whole]).enumerate() {
        let middle = (left + 8.0, top - 4.0);
        if index < points.len() {
            canvas.circle(middle, 8.0, series(index), &point.name);
            canvas.text((middle.0, top - 0.5), 10.0, "ink halo", Anchor::Middle, 30.0, &(index + 1).to_string());
        } else {
            diamond(canvas, middle);
        }
        canvas.text((left + 24.0, top), 12.0, "ink", Anchor::Start, ends[0] - left - 76.0, &point.name);
        let figures = [millis(point.ms), percent(point.share), percent(point.of_roof)];
        for (end, figure) in ends.into_iter().zip(figures) {
            canvas.text((end, top), 12.0, "soft", Anchor::End, 64.0, &figure);
        }
        top += 24.0;
    }
    let n_more = n_stages.saturating_sub(points.len());
    if n_more > 0 {
        let text = format!("{n_more} shorter or idle stages are not drawn");
        canvas.text((left + 24.0, top), 11.0, "soft", Anchor::Start, LEGEND - 40.0, &text);
    }
}

/// The mark of the whole step.
fn diamond(canvas: &mut Canvas, (x, y): (f64, f64)) {
    canvas.path(&[(x, y - 7.0), (x + 7.0, y), (x, y + 7.0), (x - 7.0, y), (x, y - 7.0)], "roof", 2.0, "");
}

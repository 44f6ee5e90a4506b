//! The roofline: how many operations a stage does for each byte, against the rate at which it does them, under the two
//! roofs that the adapter's own probes draw. A stage on the slope waits for memory, one under the flat part computes.

use super::canvas::{Anchor, Canvas, MARGIN, TOP, WIDTH, Words};
use super::scale::{Log, tick};
use super::{Chart, MAX_ADAPTERS};
use crate::measure::compare::{Column, Group};
use crate::measure::panel::{figures, millis, percent};
use crate::measure::report::{Entry, ProbeKind, Profile, Report};

/// Stages that are drawn; the shortest are left out.
const MAX_STAGES: usize = 14;
const LEGEND: f64 = 292.0;
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
    let (points, whole) = points(profile)?;
    let all = || points.iter().chain([&whole]);
    let plot = Plot {
        x: Log::around(all().map(|point| point.intensity).chain([fma / read, 0.3 * fma / read, 5.0 * fma / read])),
        y: Log::around(all().map(|point| point.rate).chain([fma])),
    };
    let mut canvas = Canvas::new();
    plot.axes(&mut canvas);
    plot.roofs(&mut canvas, read, fma, report);
    points.iter().enumerate().for_each(|(series, point)| plot.point(&mut canvas, series, point));
    plot.whole(&mut canvas, &whole);
    legend(&mut canvas, &points, &whole, profile.stages.len());
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
    Some(canvas.finish("roofline", index, &words, HEIGHT))
}

/// Stages by time, and the step as a whole.
fn points(profile: &Profile) -> Option<(Vec<Point>, Point)> {
    let timed = || profile.stages.iter().filter(|stage| stage.ms > 0.0 && stage.ms.is_finite());
    let all_ms: f64 = timed().map(|stage| stage.ms).sum();
    let point = |name: &str, bytes: u64, ops: u64, ms: f64| {
        let rate = ops as f64 * 1e-6 / ms;
        let point = Point { name: name.to_owned(), intensity: ops as f64 / bytes as f64, rate, ms, share: ms / all_ms };
        (bytes > 0 && ops > 0 && rate.is_finite()).then_some(point)
    };
    let mut points: Vec<Point> =
        timed().filter_map(|stage| point(&stage.name, stage.bytes, stage.ops, stage.ms)).collect();
    points.sort_by(|a, b| b.ms.total_cmp(&a.ms));
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
        let foot = left.max(self.y.ends().0 / read);
        let ridge = (fma / read).clamp(foot, right);
        canvas.path(&[self.at(foot, foot * read), self.at(ridge, fma), self.at(right, fma)], "roof", 1.5, "");
        let (end, flat) = self.at(right, fma);
        let label = format!("FMA f32 {} Gop/s", figures(fma));
        canvas.text((end - 4.0, flat - 6.0), 11.0, "ink halo", Anchor::End, 300.0, &label);
        let (x, y) = self.at((foot * ridge).sqrt(), (foot * ridge).sqrt() * read);
        let label = format!("read {} GB/s", figures(read));
        canvas.text((x - 8.0, y - 8.0), 11.0, "ink halo", Anchor::End, x - Self::LEFT - 8.0, &label);
        for kind in [ProbeKind::FmaF16, ProbeKind::DotI8] {
            let Some(limit) = report.probes.limit(kind).filter(|limit| *limit <= self.y.ends().1) else { continue };
            let from = (limit / read).clamp(left, right);
            canvas.path(&[self.at(from, limit), self.at(right, limit)], "axis", 1.0, "4 3");
        }
    }

    fn point(&self, canvas: &mut Canvas, index: usize, point: &Point) {
        let at = self.at(point.intensity, point.rate);
        let radius = 4.0 + 16.0 * point.share.max(0.0).sqrt();
        let tip = format!("{}: {}, {}", point.name, millis(point.ms), percent(point.share));
        canvas.circle(at, radius, series(index), &tip);
        canvas.text((at.0, at.1 + 3.5), 10.0, "ink halo", Anchor::Middle, 30.0, &(index + 1).to_string());
    }

    fn whole(&self, canvas: &mut Canvas, whole: &Point) {
        let (x, y) = self.at(whole.intensity, whole.rate);
        let diamond = [(x, y - 7.0), (x + 7.0, y), (x, y + 7.0), (x - 7.0, y), (x, y - 7.0)];
        canvas.path(&diamond, "roof", 2.0, "");
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
    let mut line = |number: Option<usize>, name: &str, figure: &str| {
        match number {
            Some(index) => {
                canvas.circle((left + 8.0, top - 4.0), 8.0, series(index), name);
                canvas.text((left + 8.0, top - 0.5), 10.0, "ink halo", Anchor::Middle, 30.0, &(index + 1).to_string());
            }
            None => {
                let (x, y) = (left + 8.0, top - 4.0);
                canvas.path(&[(x, y - 6.0), (x + 6.0, y), (x, y + 6.0), (x - 6.0, y), (x, y - 6.0)], "roof", 2.0, "");
            }
        }
        canvas.text((left + 24.0, top), 12.0, "ink", Anchor::Start, 140.0, name);
        canvas.text((right, top), 12.0, "soft", Anchor::End, 110.0, figure);
        top += 24.0;
    };
    for (index, point) in points.iter().enumerate() {
        line(Some(index), &point.name, &format!("{} · {}", millis(point.ms), percent(point.share)));
    }
    line(None, &whole.name, &millis(whole.ms));
    let n_more = n_stages.saturating_sub(points.len());
    if n_more > 0 {
        let text = format!("{n_more} shorter or idle stages are not drawn");
        canvas.text((left + 24.0, top), 11.0, "soft", Anchor::Start, LEGEND - 40.0, &text);
    }
}

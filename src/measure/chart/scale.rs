//! Scales: from figures to pixels, with ticks at numbers that people count in.

/// A scale from 0 with equal steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Linear {
    /// The figure at its end.
    pub(super) end: f64,
    /// From tick to tick.
    pub(super) step: f64,
}

impl Linear {
    /// Up to at least `max`, with about `n` ticks.
    pub(super) fn new(max: f64, n: f64) -> Self {
        let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        let rough = max / n;
        let power = 10_f64.powi(rough.log10().floor() as i32);
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= rough * 0.999);
        Self { end: max, step: step.unwrap_or(rough) }
    }

    /// Where a figure stands, from 0 to 1 at the end.
    pub(super) fn at(self, figure: f64) -> f64 {
        (figure / self.end).clamp(0.0, 1.0)
    }

    /// The figures of its ticks.
    pub(super) fn ticks(self) -> Vec<f64> {
        let n = (self.end / self.step * 1.000_001).floor() as u32;
        (0..=n.min(50)).map(|index| f64::from(index) * self.step).collect()
    }
}

/// A scale of powers of ten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Log {
    from: f64,
    to: f64,
}

impl Log {
    /// Around all of the figures, with some room at both ends; at most 14 powers of ten.
    pub(super) fn around(figures: impl Iterator<Item = f64>) -> Self {
        let logs = figures.filter(|figure| figure.is_finite() && *figure > 0.0).map(f64::log10);
        let (low, high) = logs.fold((f64::MAX, f64::MIN), |(low, high), log| (low.min(log), high.max(log)));
        if low > high {
            return Self { from: 0.0, to: 1.0 };
        }
        let to = (high + 0.15).max(low + 1.0);
        Self { from: (low - 0.15).max(to - 14.0), to }
    }

    /// Where a figure stands, from 0 to 1.
    pub(super) fn at(self, figure: f64) -> f64 {
        ((figure.max(f64::MIN_POSITIVE).log10() - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }

    /// The least and the greatest figure.
    pub(super) fn ends(self) -> (f64, f64) {
        (10_f64.powf(self.from), 10_f64.powf(self.to))
    }

    /// Powers of ten within it, and two and five of each where they are few.
    pub(super) fn ticks(self) -> Vec<f64> {
        let (from, to) = (self.from.floor() as i32, self.to.ceil() as i32);
        let steps: &[f64] = if to - from > 4 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let all = (from..=to).flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
        all.filter(|figure| (self.from..=self.to).contains(&figure.log10())).collect()
    }
}

/// A tick's figure, as short as it can be.
pub(super) fn tick(figure: f64) -> String {
    let short = |n: f64, unit: &str| {
        let text = format!("{n:.2}");
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match figure.abs() {
        size if size >= 1e9 => short(figure / 1e9, "G"),
        size if size >= 1e6 => short(figure / 1e6, "M"),
        size if size >= 1e4 => short(figure / 1e3, "k"),
        size if size == 0.0 || size >= 0.01 => short(figure, ""),
        _ => format!("{figure:.0e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(Linear::new(47.0, 5.0).ticks(), [0.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(Linear::new(1.0, 4.0).ticks(), [0.0, 0.5, 1.0]);
        assert_eq!(Linear::new(f64::NAN, 4.0).end, 1.0);
        assert_eq!(Log::around([0.5, 300.0].into_iter()).ticks(), [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0]);
        assert_eq!(Log::around([1e-300, 1e300, f64::NAN].into_iter()).ticks().len(), 14);
        assert_eq!([0.0, 0.25, 12_000.0, 2e9, 0.001].map(tick), ["0", "0.25", "12k", "2G", "1e-3"]);
    }

    #[test]
    fn figures_stand_where_they_belong() {
        let linear = Linear::new(200.0, 4.0);
        assert_eq!([linear.at(0.0), linear.at(50.0), linear.at(900.0)], [0.0, 0.25, 1.0]);
        let log = Log { from: -1.0, to: 3.0 };
        assert_eq!([log.at(0.1), log.at(10.0), log.at(0.0)], [0.0, 0.5, 0.0]);
    }
}

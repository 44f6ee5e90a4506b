//! How fast bytes arrive, as of late: what a person wants to know of a download.

/// A rate is taken over at least so many seconds,
const SPAN_S: f64 = 0.5;
/// and counts this much against those before.
const WEIGHT: f64 = 0.3;

/// A speed in bytes per second, smoothed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Speed {
    /// When the last rate was taken, in seconds on any clock, and the bytes that were there then.
    last: Option<(f64, u64)>,
    per_s: Option<f64>,
}

impl Speed {
    /// So many bytes are there at this moment.
    pub fn at(&mut self, now_s: f64, bytes: u64) {
        let Some((then_s, before)) = self.last else {
            self.last = Some((now_s, bytes));
            return;
        };
        let span = now_s - then_s;
        if span >= SPAN_S {
            // What has to be fetched again does not count backwards.
            let rate = bytes.saturating_sub(before) as f64 / span;
            self.per_s = Some(self.per_s.map_or(rate, |per_s| per_s + WEIGHT * (rate - per_s)));
            self.last = Some((now_s, bytes));
        }
    }

    /// Bytes per second; None while nobody can tell.
    #[must_use]
    pub fn per_s(&self) -> Option<f64> {
        self.per_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_what_arrives() {
        let mut speed = Speed::default();
        assert_eq!(speed.per_s(), None);
        for step in 0..40_u32 {
            speed.at(f64::from(step) * 0.25, u64::from(step) * 250);
        }
        assert!(speed.per_s().is_some_and(|per_s| (per_s - 1000.0).abs() < 1.0), "{speed:?}");
        for step in 40..80_u32 {
            speed.at(f64::from(step) * 0.25, 9750);
        }
        assert!(speed.per_s().is_some_and(|per_s| (0.0..10.0).contains(&per_s)), "{speed:?}");
        speed.at(100.0, 0);
        assert!(speed.per_s().is_some_and(|per_s| per_s >= 0.0), "{speed:?}");
    }
}

//! Dates for templates that write today's, as Python's `strftime` writes them: a person's own date, by their time zone.

use super::arguments::fault;
use super::budget::Budget;
use chrono::format::StrftimeItems;
use chrono::{DateTime, FixedOffset, Local};
use minijinja::Error;
use std::fmt::Write;

/// What one directive may become, at the most.
const LONGEST: u64 = 64;

/// The moment that templates see: one that was told, in UTC, or for 0 the clock's, in local time.
pub(super) fn moment(told: u64) -> DateTime<FixedOffset> {
    if told == 0 {
        return Local::now().fixed_offset();
    }
    let told = i64::try_from(told).ok().and_then(|told| DateTime::from_timestamp(told, 0));
    told.unwrap_or_default().fixed_offset()
}

/// The moment as `format` asks; directives that are not known stay as they stand.
pub(super) fn strftime(moment: &DateTime<FixedOffset>, format: &str, budget: &Budget) -> Result<String, Error> {
    let n_directives = format.matches('%').count() as u64;
    budget.take_bytes(n_directives * LONGEST + format.len() as u64)?;
    // Widths of the C library's, as in `%999d`, make more of a directive than that.
    let wide = format.split('%').skip(1).any(|rest| {
        let digits = rest.trim_start_matches(['-', '_', '0', '^', '#']);
        digits.starts_with(|c: char| c.is_ascii_digit()) && !digits[1..].starts_with(|c: char| !c.is_ascii_digit())
    });
    if wide {
        return Err(fault("a date with a width of two digits or more"));
    }
    let mut text = String::new();
    let written = write!(text, "{}", moment.format_with_items(StrftimeItems::new_lenient(format)));
    written.map_err(|_| fault(format!("a date that cannot be written as {format:?}")))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let of = |seconds, format: &str| strftime(&moment(seconds), format, &Budget::new(4096, 0)).unwrap();
        assert_eq!(of(1, "%Y-%m-%d %A %H:%M:%S"), "1970-01-01 Thursday 00:00:01");
        assert_eq!(of(951_782_400, "%d %b %Y, %a"), "29 Feb 2000, Tue");
        assert_eq!(of(1_790_000_000, "%-d %B %y %I:%M %p %j"), "21 September 26 02:13 PM 264");
        assert_eq!(of(4_107_542_400, "%Y-%m-%d"), "2100-03-01");
        assert_eq!(of(1, "%! 100%% %"), "%! 100% %");
        assert!(strftime(&moment(1), "%999d", &Budget::new(4096, 0)).is_err());
        assert!(chrono::Datelike::year(&moment(0)) > 2023);
    }
}

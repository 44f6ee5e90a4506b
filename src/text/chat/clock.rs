//! Dates for templates that write today's: `strftime` in the few of its directives that they use, in UTC.

use std::fmt::Write;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// Seconds since 1970, by the clock.
pub(super) fn now() -> u64 {
    let since = web_time::SystemTime::now().duration_since(web_time::SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Year, month from 1 and day from 1, so many days after 1 January 1970.
fn date(days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    // A cycle of the calendar is 400 years of 146 097 days.
    let (mut year, mut left) = (1970 + days / 146_097 * 400, days % 146_097);
    while left >= 365 + u64::from(is_leap(year)) {
        left -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}

/// The moment as `format` asks; directives that are not known stay as they stand.
pub(super) fn strftime(seconds: u64, format: &str) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let (month_name, day_name) = (MONTHS[(month - 1) as usize % 12], DAYS[(days % 7) as usize]);
    let mut text = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        // Writing to a string does not fail.
        let _ = match (c, chars.as_str().chars().next()) {
            ('%', Some(directive)) => {
                chars.next();
                match directive {
                    'Y' => write!(text, "{year}"),
                    'y' => write!(text, "{:02}", year % 100),
                    'm' => write!(text, "{month:02}"),
                    'd' => write!(text, "{day:02}"),
                    'B' => write!(text, "{month_name}"),
                    'b' => write!(text, "{}", &month_name[..3]),
                    'A' => write!(text, "{day_name}"),
                    'a' => write!(text, "{}", &day_name[..3]),
                    'H' => write!(text, "{hour:02}"),
                    'M' => write!(text, "{minute:02}"),
                    'S' => write!(text, "{second:02}"),
                    '%' => write!(text, "%"),
                    other => write!(text, "%{other}"),
                }
            }
            _ => write!(text, "{c}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(strftime(0, "%Y-%m-%d %A %H:%M:%S"), "1970-01-01 Thursday 00:00:00");
        assert_eq!(strftime(951_782_400, "%d %b %Y, %a"), "29 Feb 2000, Tue");
        assert_eq!(strftime(1_790_000_000, "%d %B %y %H:%M:%S %A"), "21 September 26 14:13:20 Monday");
        assert_eq!(strftime(4_107_542_399, "%Y-%m-%d"), "2100-02-28");
        assert_eq!(strftime(4_107_542_400, "%Y-%m-%d"), "2100-03-01");
        assert_eq!(strftime(0, "%q 100%% %"), "%q 100% %");
        assert!(now() > 1_700_000_000);
    }
}

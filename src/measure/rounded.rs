//! Numbers as people read them: three figures that count, in the unit that suits.

use super::report::Share;

/// A share with the limit that it is of: `41.0 % of read`.
#[must_use]
pub fn share(share: &Share) -> String {
    format!("{} of {}", percent(share.share), share.of.label())
}

/// Milliseconds, or seconds where there are many.
#[must_use]
pub fn millis(ms: f64) -> String {
    if ms >= 10_000.0 { format!("{} s", figures(ms / 1000.0)) } else { format!("{} ms", figures(ms)) }
}

/// Parameters in millions or thousands of millions.
#[must_use]
pub fn params(n: u64) -> String {
    let n = n as f64;
    if n >= 1e9 { format!("{:.1} G", n / 1e9) } else { format!("{:.1} M", n / 1e6) }
}

/// Bytes in the binary unit that suits.
#[must_use]
pub fn bytes(n: u64) -> String {
    let n = n as f64;
    match n {
        _ if n < 1024.0 => format!("{n} B"),
        _ if n < 1024.0 * 1024.0 => format!("{} KiB", figures(n / 1024.0)),
        _ if n < 1024.0 * 1024.0 * 1024.0 => format!("{} MiB", figures(n / 1024.0 / 1024.0)),
        _ => format!("{} GiB", figures(n / 1024.0 / 1024.0 / 1024.0)),
    }
}

/// A share in per cent.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Three figures that count, whole numbers of five digits and more in groups: 51,100.
#[must_use]
pub fn figures(n: f64) -> String {
    // What rounds to the next power of ten has a digit less behind the point.
    match n.abs() {
        size if size >= 9_999.5 => grouped(&format!("{n:.0}")),
        size if size >= 99.95 => format!("{n:.0}"),
        size if size >= 9.995 => format!("{n:.1}"),
        _ => format!("{n:.2}"),
    }
}

/// The digits of a whole number in groups of three. What is no number stays as it is.
fn grouped(text: &str) -> String {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return text.to_owned();
    }
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    format!("{}{}", &text[..text.len() - digits.len()], groups.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three() {
        assert_eq!([figures(1234.0), figures(12.345), figures(0.126)], ["1234", "12.3", "0.13"]);
        assert_eq!([figures(99.97), figures(9.997), figures(9.99)], ["100", "10.0", "9.99"]);
        assert_eq!([figures(9_999.5), figures(51_100.4), figures(-1_234_567.0)], ["10,000", "51,100", "-1,234,567"]);
        assert_eq!([figures(f64::NAN), figures(f64::INFINITY)], ["NaN", "inf"]);
        assert_eq!([bytes(1000), bytes(7_733_120), bytes(3 << 30)], ["1000 B", "7.37 MiB", "3.00 GiB"]);
        assert_eq!([millis(0.5), millis(1500.0), millis(12_500.0)], ["0.50 ms", "1500 ms", "12.5 s"]);
    }
}

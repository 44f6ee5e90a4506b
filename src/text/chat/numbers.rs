//! Numbers as Python makes them of texts, and of each other.

use super::arguments::{Arguments, fault};
use super::budget::Budget;
use super::compare;
use minijinja::value::ValueKind;
use minijinja::{Error, Value};

/// The filter `int(value, default=0, base=10)`.
pub(super) fn int(_: &Budget, value: &Value, given: &mut Arguments) -> Result<Value, Error> {
    let default = given.take(0, "default").unwrap_or_else(|| 0.into());
    let base = given.whole(1, "base")?.unwrap_or(10);
    known(value)?;
    let whole = match value.as_str() {
        Some(text) => whole(text, base),
        None => None,
    };
    match whole {
        Some(whole) => Ok(whole.into()),
        None => Ok(truncated(value)?.unwrap_or(default)),
    }
}

/// The filter `float(value, default=0.0)`.
pub(super) fn float(_: &Budget, value: &Value, given: &mut Arguments) -> Result<Value, Error> {
    let default = given.take(0, "default").unwrap_or_else(|| 0.0.into());
    known(value)?;
    Ok(real(value).map_or(default, Value::from))
}

fn known(value: &Value) -> Result<(), Error> {
    if value.is_undefined() { Err(fault("a number of what is not defined")) } else { Ok(()) }
}

/// Python allows white space around, and `_` between digits.
fn plain(text: &str) -> Option<String> {
    let text = text.trim_matches(super::strings::is_space);
    let apart = text.starts_with('_') || text.ends_with('_') || text.contains("__");
    (!text.is_empty() && !apart).then(|| text.replace('_', ""))
}

fn whole(text: &str, base: i64) -> Option<i128> {
    let text = plain(text)?.to_ascii_lowercase();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(&text)),
    };
    let mark = match base {
        2 => "0b",
        8 => "0o",
        16 => "0x",
        _ => "",
    };
    let digits = digits.strip_prefix(mark).unwrap_or(digits);
    let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base))?;
    // The library takes a sign here, which would be the second.
    let is_sign = digits.starts_with(['+', '-']);
    if is_sign { None } else { i128::from_str_radix(digits, base).ok().map(|n| sign * n) }
}

fn real(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some(text) => plain(text)?.parse().ok(),
        None if matches!(value.kind(), ValueKind::Number | ValueKind::Bool) => {
            f64::try_from(compare::number(value)).ok()
        }
        None => None,
    }
}

fn truncated(value: &Value) -> Result<Option<Value>, Error> {
    let value = compare::number(value);
    if value.is_integer() {
        return Ok(Some(value));
    }
    let Some(number) = real(&value).filter(|number| !number.is_nan()) else { return Ok(None) };
    if number.abs() >= 1e36 {
        return Err(fault("a whole number of more than 36 digits"));
    }
    #[allow(clippy::cast_possible_truncation)]
    Ok(Some(Value::from(number as i128)))
}

/// `a op b` of two numbers, whole as long as both are; `None` if one is no number, or the result too large.
pub(super) fn arithmetic(
    a: &Value,
    b: &Value,
    of_whole: fn(i128, i128) -> Option<i128>,
    of_real: fn(f64, f64) -> f64,
) -> Option<Value> {
    let (a, b) = (compare::number(a), compare::number(b));
    if a.kind() != ValueKind::Number || b.kind() != ValueKind::Number {
        return None;
    }
    if a.is_integer() && b.is_integer() {
        return of_whole(i128::try_from(a).ok()?, i128::try_from(b).ok()?).map(Value::from);
    }
    Some(of_real(f64::try_from(a).ok()?, f64::try_from(b).ok()?).into())
}

/// Python's `%`: what is left has the sign of what it was divided by.
pub(super) fn remainder(a: &Value, b: &Value) -> Result<Value, Error> {
    let of_whole = |a: i128, b: i128| {
        let left = a.checked_rem(b)?;
        Some(if left != 0 && (left < 0) != (b < 0) { left + b } else { left })
    };
    let of_real = |a: f64, b: f64| {
        let left = a % b;
        if left == 0.0 {
            0.0_f64.copysign(b)
        } else if (left < 0.0) == (b < 0.0) {
            left
        } else {
            left + b
        }
    };
    if real(b) == Some(0.0) {
        return Err(fault("a division by 0"));
    }
    arithmetic(a, b, of_whole, of_real).ok_or_else(|| fault(format!("{} % {}", a.kind(), b.kind())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_python_reads_them() {
        for (text, base, right) in [
            (" 42\n", 10, Some(42)),
            ("-1_000", 10, Some(-1000)),
            ("0xFf", 16, Some(255)),
            ("ff", 16, Some(255)),
            ("0b11", 2, Some(3)),
            ("+-1", 10, None),
            ("1__0", 10, None),
            ("", 10, None),
            ("4.2", 10, None),
            ("1", 99, None),
        ] {
            assert_eq!(whole(text, base), right, "{text}");
        }
        assert_eq!(real(&" 1_0.5e1 ".into()), Some(105.0));
        assert_eq!(real(&"x".into()), None);
        let left = |a: i64, b: i64| remainder(&a.into(), &b.into()).unwrap();
        assert_eq!([left(-7, 3), left(7, -3), left(6, -3)], [Value::from(2), Value::from(-2), Value::from(0)]);
        assert!(remainder(&1.into(), &0.into()).is_err() && remainder(&1.into(), &0.0.into()).is_err());
    }
}

//! Values compared as Python compares them: what has no order among its kind fails, and is not sorted by its kind.
//! The caller has measured both.

use super::arguments::fault;
use super::groups::hashable;
use minijinja::value::ValueKind;
use minijinja::{Error, Value};
use std::cmp::Ordering;

/// Whether it is a list or a tuple.
pub(super) fn is_list(value: &Value) -> bool {
    value.kind() == ValueKind::Seq
}

fn is_number(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Number | ValueKind::Bool)
}

/// A bool as the number that it is in Python.
pub(super) fn number(value: &Value) -> Value {
    if value.kind() == ValueKind::Bool { Value::from(i64::from(value.is_true())) } else { value.clone() }
}

/// `a == b`.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    if is_number(a) && is_number(b) {
        return number(a) == number(b);
    }
    match (a.kind(), b.kind()) {
        (ValueKind::Seq, ValueKind::Seq) => {
            let (Ok(left), Ok(right)) = (a.try_iter(), b.try_iter()) else { return false };
            a.is_tuple() == b.is_tuple() && a.len() == b.len() && left.zip(right).all(|(a, b)| equal(&a, &b))
        }
        (ValueKind::Map, ValueKind::Map) => {
            let Ok(mut keys) = a.try_iter() else { return false };
            a.len() == b.len()
                && keys.all(|key| match (a.get_item(&key), b.get_item(&key)) {
                    (Ok(a), Ok(b)) => equal(&a, &b),
                    _ => false,
                })
        }
        _ => a == b,
    }
}

/// How `a` stands to `b`; `None` beside a NaN.
pub(super) fn order(a: &Value, b: &Value) -> Result<Option<Ordering>, Error> {
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        return Ok(Some(a.cmp(b)));
    }
    if is_number(a) && is_number(b) {
        let is_nan = |value: &Value| f64::try_from(value.clone()).is_ok_and(f64::is_nan);
        return Ok((!is_nan(a) && !is_nan(b)).then(|| number(a).cmp(&number(b))));
    }
    if a.kind() == ValueKind::Seq && b.kind() == ValueKind::Seq && a.is_tuple() == b.is_tuple() {
        for (a, b) in a.try_iter()?.zip(b.try_iter()?) {
            if !equal(&a, &b) {
                return order(&a, &b);
            }
        }
        return Ok(Some(a.len().cmp(&b.len())));
    }
    Err(fault(format!("a {} is neither less nor more than a {}", a.kind(), b.kind())))
}

/// `item in all`.
pub(super) fn contains(all: &Value, item: &Value) -> Result<bool, Error> {
    if let Some(text) = all.as_str() {
        let part = item.as_str().ok_or_else(|| fault(format!("a {} cannot be in a text", item.kind())))?;
        return Ok(text.contains(part));
    }
    match all.kind() {
        ValueKind::Undefined => Ok(false),
        ValueKind::Map => {
            hashable(item)?;
            Ok(all.try_iter()?.any(|key| equal(&key, item)))
        }
        ValueKind::Seq | ValueKind::Iterable => Ok(all.try_iter()?.any(|one| equal(&one, item))),
        kind => Err(fault(format!("nothing can be in a {kind}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_texts_and_lists_are_compared_as_python_compares_them() {
        let value = |json: &str| serde_json::from_str::<Value>(json).unwrap();
        for (a, b) in [("1", "1.0"), ("true", "1"), ("[1, true]", "[1.0, 1]"), (r#"{"a": 1}"#, r#"{"a": 1.0}"#)] {
            assert!(equal(&value(a), &value(b)), "{a} {b}");
        }
        for (a, b) in [("1", "\"1\""), ("null", "0"), ("[1]", "[1, 2]"), (r#"{"a": 1}"#, r#"{"b": 1}"#)] {
            assert!(!equal(&value(a), &value(b)), "{a} {b}");
        }
        assert_eq!(order(&value("[1, 2]"), &value("[1, 3]")).unwrap(), Some(Ordering::Less));
        assert_eq!(order(&value("[1]"), &value("[1, 3]")).unwrap(), Some(Ordering::Less));
        assert_eq!(order(&value("2"), &Value::from(f64::NAN)).unwrap(), None);
        assert!(order(&value("1"), &value("\"a\"")).is_err() && order(&value("null"), &value("1")).is_err());
        assert!(contains(&value("[1.0]"), &value("true")).unwrap());
        assert!(contains(&value("\"ab\""), &value("1")).is_err() && contains(&value("5"), &value("5")).is_err());
    }
}

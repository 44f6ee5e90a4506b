//! Jinja's tests, as in `x is mapping`. Each measures what it goes through.

use super::arguments::{Arguments, fault};
use super::budget::Budget;
use super::compare::{self, equal, order};
use super::operations::{Namespace, is_range};
use super::python::text_of;
use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, State, Value, tests};
use std::cmp::Ordering;

type Holds = fn(&Budget, &Value) -> Result<bool, Error>;

/// Tests of one value.
const OF_ONE: [(&str, Holds); 19] = [
    ("defined", |_, value| Ok(!value.is_undefined())),
    ("undefined", |_, value| Ok(value.is_undefined())),
    ("none", |_, value| Ok(value.is_none())),
    ("boolean", |_, value| Ok(value.kind() == ValueKind::Bool)),
    ("true", |_, value| Ok(value.kind() == ValueKind::Bool && value.is_true())),
    ("false", |_, value| Ok(value.kind() == ValueKind::Bool && !value.is_true())),
    ("number", |_, value| Ok(matches!(value.kind(), ValueKind::Number | ValueKind::Bool))),
    ("integer", |_, value| Ok(value.kind() == ValueKind::Number && value.is_integer())),
    ("float", |_, value| Ok(value.kind() == ValueKind::Number && !value.is_integer())),
    ("string", |_, value| Ok(value.kind() == ValueKind::String)),
    ("mapping", |_, value| Ok(value.kind() == ValueKind::Map && value.downcast_object_ref::<Namespace>().is_none())),
    // A dict has a length and items, too, and so have texts, ranges and what is not defined.
    ("sequence", |_, value| {
        let kinds = [ValueKind::Undefined, ValueKind::String, ValueKind::Seq, ValueKind::Map];
        Ok(kinds.contains(&value.kind()) || is_range(value))
    }),
    ("iterable", |_, value| {
        Ok(matches!(
            value.kind(),
            ValueKind::Undefined | ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Iterable
        ))
    }),
    // Functions, macros and loops; and what is not defined can be called, to fail.
    ("callable", |_, value| Ok(matches!(value.kind(), ValueKind::Plain | ValueKind::Undefined))),
    ("escaped", |_, value| Ok(value.is_safe())),
    ("lower", |budget, value| Ok(tests::is_lower(&Value::from(text_of(value, budget)?)))),
    ("upper", |budget, value| Ok(tests::is_upper(&Value::from(text_of(value, budget)?)))),
    ("odd", |_, value| remainder(value, 2).map(|left| left == 1.0)),
    ("even", |_, value| remainder(value, 2).map(|left| left == 0.0)),
];

type Compares = fn(&Value, &Value) -> Result<bool, Error>;

/// Tests of a value and another, by their names in Jinja.
const OF_TWO: [(&[&str], Compares); 9] = [
    (&["eq", "equalto", "=="], |a, b| Ok(equal(a, b))),
    (&["ne", "!="], |a, b| Ok(!equal(a, b))),
    (&["lt", "lessthan", "<"], |a, b| Ok(order(a, b)? == Some(Ordering::Less))),
    (&["gt", "greaterthan", ">"], |a, b| Ok(order(a, b)? == Some(Ordering::Greater))),
    (&["le", "<="], |a, b| Ok(order(a, b)?.is_some_and(Ordering::is_le))),
    (&["ge", ">="], |a, b| Ok(order(a, b)?.is_some_and(Ordering::is_ge))),
    (&["in"], |item, all| compare::contains(all, item)),
    (&["sameas"], |a, b| Ok(tests::is_sameas(a, b))),
    (&["divisibleby"], |a, b| {
        let by = b.as_i64().filter(|by| *by != 0).ok_or_else(|| fault("a divisor that is no whole number, or 0"))?;
        remainder(a, by).map(|left| left == 0.0)
    }),
];

/// Makes the tests known to an environment.
pub(super) fn add_to(environment: &mut Environment<'_>, budget: &Budget) {
    for (name, holds) in OF_ONE {
        let budget = budget.clone();
        environment.add_test(name, move |value: &Value| holds(&budget, value));
    }
    for (names, holds) in OF_TWO {
        for name in names {
            let budget = budget.clone();
            environment.add_test(*name, move |values: Rest<Value>| {
                values.iter().try_for_each(|value| budget.measure(value))?;
                let mut given = Arguments::new(&values)?;
                let (a, b) = (given.need(0, "value")?, given.need(1, "other")?);
                given.end(2)?;
                holds(&a, &b)
            });
        }
    }
    environment.add_test("filter", |state: &State, name: &Value| {
        name.as_str().is_some_and(|name| tests::is_filter(state, name))
    });
    environment
        .add_test("test", |state: &State, name: &Value| name.as_str().is_some_and(|name| tests::is_test(state, name)));
}

/// What is left of a number divided by another, with its sign, as Python's `%`.
fn remainder(value: &Value, by: i64) -> Result<f64, Error> {
    let number = compare::number(value);
    if number.kind() != ValueKind::Number {
        return Err(fault(format!("a {} is no number", value.kind())));
    }
    if let Some(whole) = number.as_i64() {
        #[allow(clippy::cast_precision_loss)]
        return Ok(whole.rem_euclid(by) as f64);
    }
    #[allow(clippy::cast_precision_loss)]
    Ok(f64::try_from(number)?.rem_euclid(by as f64))
}

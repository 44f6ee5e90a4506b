//! Jinja's filters that put the items of a list in order, or in lists of their own.

use super::arguments::{Arguments, fault};
use super::budget::Budget;
use super::{compare, methods};
use minijinja::value::{Enumerator, Object, ObjectRepr, Tuple, ValueKind};
use minijinja::{Error, Value};
use std::cmp::Ordering;
use std::sync::Arc;

/// The attribute of a value: by name, by place, or by a path of both with dots between.
pub(super) fn attribute(value: &Value, path: &Value) -> Result<Value, Error> {
    let Some(path) = path.as_str() else { return value.get_item(path) };
    let mut value = value.clone();
    for part in path.split('.') {
        value = match part.parse::<usize>() {
            Ok(place) => value.get_item(&Value::from(place))?,
            Err(_) => value.get_attr(part)?,
        };
    }
    Ok(value)
}

/// What a value is put in order by: capitals count as small letters, unless they must not.
fn key(value: &Value, attributes: Option<&Value>, case_sensitive: bool) -> Result<Value, Error> {
    let lower = |value: Value| match value.as_str() {
        Some(text) if !case_sensitive => Value::from(text.to_lowercase()),
        _ => value,
    };
    let Some(attributes) = attributes else { return Ok(lower(value.clone())) };
    let parts: Vec<Value> = match attributes.as_str() {
        Some(several) => several.split(',').map(Value::from).collect(),
        None => vec![attributes.clone()],
    };
    let keys: Vec<Value> = parts.iter().map(|path| attribute(value, path).map(lower)).collect::<Result<_, Error>>()?;
    Ok(Tuple::new(keys).into())
}

/// In the order of their keys, equal ones as they stood; fails if two have no order.
fn ordered(mut keyed: Vec<(Value, Value)>, reverse: bool) -> Result<Vec<(Value, Value)>, Error> {
    let mut failure = None;
    keyed.sort_by(|(a, _), (b, _)| {
        // Keys stand in lists in Jinja, and equal items of lists are not put in order.
        let order = if compare::equal(a, b) { Ok(None) } else { compare::order(a, b) };
        let order = order.unwrap_or_else(|error| {
            failure = Some(error);
            None
        });
        let order = order.unwrap_or(Ordering::Equal);
        if reverse { order.reverse() } else { order }
    });
    failure.map_or(Ok(keyed), Err)
}

fn keyed(
    budget: &Budget,
    value: &Value,
    attributes: Option<&Value>,
    case_sensitive: bool,
) -> Result<Vec<(Value, Value)>, Error> {
    let mut keyed = Vec::new();
    for item in value.try_iter()? {
        let key = key(&item, attributes, case_sensitive)?;
        budget.take_entry(key.as_str().map_or(0, str::len))?;
        keyed.push((key, item));
    }
    Ok(keyed)
}

/// Fails for what Python has no hash of, and so neither finds in a dict nor takes for a key.
pub(super) fn hashable(value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Seq if value.is_tuple() => value.try_iter()?.try_for_each(|item| hashable(&item)),
        kind @ (ValueKind::Seq | ValueKind::Map) => Err(fault(format!("a {kind} has no hash"))),
        _ => Ok(()),
    }
}

/// `unique(value, case_sensitive=False, attribute=None)`.
pub(super) fn unique(budget: &Budget, value: &Value, given: &mut Arguments) -> Result<Value, Error> {
    let case_sensitive = given.flag(0, "case_sensitive");
    let attributes = given.take(1, "attribute").filter(|attributes| !attributes.is_none());
    let (mut seen, mut kept): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for (key, item) in keyed(budget, value, attributes.as_ref(), case_sensitive)? {
        hashable(&key)?;
        let mut is_new = true;
        for one in &seen {
            budget.measure(one)?;
            is_new &= !compare::equal(one, &key);
        }
        if is_new {
            seen.push(key);
            kept.push(item);
        }
    }
    Ok(methods::generator(kept))
}

/// `min(value, case_sensitive=False, attribute=None)` and `max`: the first item that no other one is less, or more, than.
pub(super) fn extreme(budget: &Budget, value: &Value, given: &mut Arguments, wanted: Ordering) -> Result<Value, Error> {
    let case_sensitive = given.flag(0, "case_sensitive");
    let attributes = given.take(1, "attribute").filter(|attributes| !attributes.is_none());
    let mut items = keyed(budget, value, attributes.as_ref(), case_sensitive)?.into_iter();
    let Some(mut found) = items.next() else { return Ok(Value::UNDEFINED) };
    for (key, item) in items {
        let (a, b) =
            if attributes.is_some() { (in_tuple(&key)?, in_tuple(&found.0)?) } else { (key.clone(), found.0.clone()) };
        if compare::order(&a, &b)? == Some(wanted) {
            found = (key, item);
        }
    }
    Ok(found.1)
}

/// The one value of a key by an attribute.
fn in_tuple(key: &Value) -> Result<Value, Error> {
    key.get_item(&0.into())
}

/// `sort(value, reverse=False, case_sensitive=False, attribute=None)`.
pub(super) fn sort(budget: &Budget, value: &Value, given: &mut Arguments) -> Result<Value, Error> {
    let (reverse, case_sensitive) = (given.flag(0, "reverse"), given.flag(1, "case_sensitive"));
    let attributes = given.take(2, "attribute").filter(|attributes| !attributes.is_none());
    let keyed = keyed(budget, value, attributes.as_ref(), case_sensitive)?;
    Ok(ordered(keyed, reverse)?.into_iter().map(|(_, item)| item).collect::<Vec<_>>().into())
}

/// `dictsort(value, case_sensitive=False, by='key', reverse=False)`.
pub(super) fn dict_sort(budget: &Budget, value: &Value, given: &mut Arguments) -> Result<Value, Error> {
    let case_sensitive = given.flag(0, "case_sensitive");
    let by = given.text(1, "by")?.unwrap_or_else(|| "key".to_owned());
    let reverse = given.flag(2, "reverse");
    let place = match by.as_str() {
        "key" => 0,
        "value" => 1,
        _ => return Err(fault("a dict is sorted by `key` or by `value`")),
    };
    let keyed = items(budget, value, given)?
        .try_iter()?
        .map(|pair| Ok((key(&pair.get_item(&Value::from(place))?, None, case_sensitive)?, pair)))
        .collect::<Result<Vec<_>, Error>>()?;
    Ok(ordered(keyed, reverse)?.into_iter().map(|(_, pair)| pair).collect::<Vec<_>>().into())
}

/// `items(value)`: the pairs of a dict.
pub(super) fn items(budget: &Budget, value: &Value, _: &mut Arguments) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(methods::generator(Vec::new())),
        ValueKind::Map => {
            let pairs = methods::pairs(budget, value, |key, value| Tuple::from([key, value]).into())?;
            Ok(methods::generator(pairs))
        }
        kind => Err(fault(format!("a {kind} has no items"))),
    }
}

/// What `groupby` gives for each group: a pair whose parts have names.
#[derive(Debug)]
struct Group {
    grouper: Value,
    list: Value,
}

impl Object for Group {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match (key.as_str(), key.as_usize()) {
            (Some("grouper"), _) | (_, Some(0)) => Some(self.grouper.clone()),
            (Some("list"), _) | (_, Some(1)) => Some(self.list.clone()),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(2)
    }
}

/// Whether it is a pair of `groupby`, which Python writes as a tuple.
pub(super) fn is_group(value: &Value) -> bool {
    value.downcast_object_ref::<Group>().is_some()
}

/// `groupby(value, attribute, default=None, case_sensitive=False)`.
pub(super) fn group_by(budget: &Budget, value: &Value, given: &mut Arguments) -> Result<Value, Error> {
    let attribute = given.need(0, "attribute")?;
    let default = given.take(1, "default").unwrap_or(Value::UNDEFINED);
    let case_sensitive = given.flag(2, "case_sensitive");
    let mut all = Vec::new();
    for item in value.try_iter()? {
        let found = self::attribute(&item, &attribute)?;
        let found = if found.is_undefined() { default.clone() } else { found };
        budget.take_entry(found.as_str().map_or(0, str::len))?;
        all.push((key(&found, None, case_sensitive)?, Tuple::from([found, item]).into()));
    }
    let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
    for (key, pair) in ordered(all, false)? {
        let (found, item) = (pair.get_item(&0.into())?, pair.get_item(&1.into())?);
        match groups.last_mut() {
            Some((last, _, list)) if compare::equal(last, &key) => list.push(item),
            _ => groups.push((key, found, vec![item])),
        }
    }
    let group = |(_, grouper, list): (_, _, Vec<Value>)| Value::from_object(Group { grouper, list: list.into() });
    Ok(groups.into_iter().map(group).collect::<Vec<_>>().into())
}

/// `batch(value, linecount, fill_with=None)`: lists of so many.
pub(super) fn batch(budget: &Budget, value: &Value, given: &mut Arguments) -> Result<Value, Error> {
    let n = given.whole(0, "linecount")?.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
    let n = n.ok_or_else(|| fault("batches of no items"))?;
    let fill = given.take(1, "fill_with").filter(|fill| !fill.is_none());
    let items = budget.list(value.try_iter()?)?;
    let mut batches: Vec<Vec<Value>> = items.chunks(n).map(<[Value]>::to_vec).collect();
    if let (Some(fill), Some(last)) = (fill, batches.last_mut()) {
        let missing = n - last.len();
        last.extend(budget.list(std::iter::repeat_n(fill, missing))?);
    }
    budget.list(batches.into_iter().map(Value::from)).map(methods::generator)
}

/// `slice(value, slices, fill_with=None)`: so many lists, the first ones one longer.
pub(super) fn slice(budget: &Budget, value: &Value, given: &mut Arguments) -> Result<Value, Error> {
    let n = given.whole(0, "slices")?.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
    let n = n.ok_or_else(|| fault("no slices"))?;
    let fill = given.take(1, "fill_with").filter(|fill| !fill.is_none());
    let items = budget.list(value.try_iter()?)?;
    let (each, n_longer) = (items.len() / n, items.len() % n);
    let (mut slices, mut at) = (Vec::new(), 0);
    for index in 0..n {
        budget.take_entry(0)?;
        let length = each + usize::from(index < n_longer);
        let mut slice = items[at..at + length].to_vec();
        at += length;
        if let Some(fill) = fill.as_ref().filter(|_| index >= n_longer) {
            slice.push(fill.clone());
        }
        slices.push(Value::from(slice));
    }
    Ok(methods::generator(slices))
}

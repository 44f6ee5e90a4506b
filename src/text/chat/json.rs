//! JSON as Python's `json.dumps` writes it, which is what models were trained on: `", "` and `": "` between things, no
//! escapes but those that JSON needs, and numbers as Python writes them.

use super::arguments::{Arguments, fault};
use super::budget::Budget;
use super::{compare, python};
use crate::error::{Error, Result};
use minijinja::Value;
use minijinja::value::ValueKind;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Widest that a template may indent.
const WIDEST_INDENT: i64 = 64;

/// How JSON is laid out.
struct Layout {
    ascii: bool,
    sorted: bool,
    /// What stands before a thing of the first level; `None` keeps all on one line.
    indent: Option<String>,
    between: String,
    after_key: String,
}

type Done = std::result::Result<(), minijinja::Error>;

/// A JSON text as a value, its keys in their order.
pub(super) fn read(what: &str, json: &str) -> Result<Value> {
    let wrong = |error: serde_json::Error| Error::usage(what, format!("no JSON: {error}"));
    // The library makes a number that no 64 bits hold one with a point, as Python does not.
    if !json.as_bytes().windows(19).any(|digits| digits.iter().all(u8::is_ascii_digit)) {
        return serde_json::from_str(json).map_err(wrong);
    }
    serde_json::from_str(json).and_then(exact).map_err(wrong)
}

/// A value whose whole numbers stay whole, as far as 128 bits go.
fn exact(raw: &RawValue) -> serde_json::Result<Value> {
    match raw.get().as_bytes().first() {
        Some(b'{') => {
            let Pairs(pairs) = serde_json::from_str(raw.get())?;
            let pairs = pairs.into_iter().map(|(key, raw)| Ok((key, exact(raw)?)));
            Ok(Value::from_pairs(pairs.collect::<serde_json::Result<Vec<_>>>()?))
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get())?;
            Ok(items.into_iter().map(exact).collect::<serde_json::Result<Vec<_>>>()?.into())
        }
        _ => match raw.get().parse::<i128>() {
            Ok(whole) => Ok(Value::from(whole)),
            Err(_) => serde_json::from_str(raw.get()),
        },
    }
}

/// An object's keys and values, in their order.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<Self::Value, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        from.deserialize_map(Visit)
    }
}

/// A value that a caller of the library has given, as `json.dumps(value, ensure_ascii=False)` writes it.
pub(super) fn line(value: &Value) -> std::result::Result<String, minijinja::Error> {
    to_json(&Budget::new(u64::MAX, u64::MAX), value, Arguments::new(&[])?)
}

/// The filter `tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`, as transformers
/// defines it. Charged as it grows.
pub(super) fn to_json(
    budget: &Budget,
    value: &Value,
    mut given: Arguments,
) -> std::result::Result<String, minijinja::Error> {
    let ascii = given.flag(0, "ensure_ascii");
    let indent = match given.take(1, "indent").filter(|indent| !indent.is_none()) {
        None => None,
        Some(text) if text.as_str().is_some_and(|text| text.len() <= WIDEST_INDENT as usize) => {
            text.as_str().map(str::to_owned)
        }
        Some(width) => match compare::number(&width).as_i64() {
            Some(width) if width <= WIDEST_INDENT => Some(" ".repeat(usize::try_from(width).unwrap_or(0))),
            _ => return Err(fault(format!("an indentation that is no text or number to {WIDEST_INDENT}"))),
        },
    };
    let (between, after_key) = match given.take(2, "separators").filter(|pair| !pair.is_none()) {
        None => ((if indent.is_some() { "," } else { ", " }).to_owned(), ": ".to_owned()),
        Some(pair) => {
            let texts: Vec<String> = pair.try_iter()?.filter_map(|text| text.as_str().map(str::to_owned)).collect();
            <[String; 2]>::try_from(texts).map(Into::into).map_err(|_| fault("separators that are no two texts"))?
        }
    };
    let sorted = given.flag(3, "sort_keys");
    given.end(4)?;
    let layout = Layout { ascii, sorted, indent, between, after_key };
    let mut out = Writer { text: String::new(), layout: &layout, budget };
    out.write(value, 0)?;
    Ok(out.text)
}

struct Writer<'a> {
    text: String,
    layout: &'a Layout,
    budget: &'a Budget,
}

impl Writer<'_> {
    fn add(&mut self, text: &str) -> Done {
        self.budget.take_bytes(text.len() as u64)?;
        self.text.push_str(text);
        Ok(())
    }

    /// A value's depth is bounded where it is made.
    fn write(&mut self, value: &Value, depth: usize) -> Done {
        match value.kind() {
            ValueKind::None => self.add("null"),
            ValueKind::Bool => self.add(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.add(&number(value)?),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Map => {
                let mut pairs = Vec::with_capacity(value.len().unwrap_or(0));
                for key in value.try_iter()? {
                    pairs.push((key.clone(), value.get_item(&key)?));
                }
                if self.layout.sorted {
                    let mut failure = None;
                    pairs.sort_by(|(a, _), (b, _)| match compare::order(a, b) {
                        Ok(order) => order.unwrap_or(std::cmp::Ordering::Equal),
                        Err(error) => {
                            failure = Some(error);
                            std::cmp::Ordering::Equal
                        }
                    });
                    failure.map_or(Ok(()), Err)?;
                }
                self.add("{")?;
                for (index, (key, value)) in pairs.iter().enumerate() {
                    self.next(index, depth)?;
                    match key.kind() {
                        ValueKind::String => self.string(key.as_str().unwrap_or_default())?,
                        ValueKind::None => self.add("\"null\"")?,
                        ValueKind::Bool => self.add(if key.is_true() { "\"true\"" } else { "\"false\"" })?,
                        ValueKind::Number => self.add(&format!("\"{}\"", number(key)?))?,
                        kind => return Err(fault(format!("JSON cannot say a {kind} as a key"))),
                    }
                    let after_key = self.layout.after_key.clone();
                    self.add(&after_key)?;
                    self.write(value, depth + 1)?;
                }
                self.close(pairs.len(), depth, "}")
            }
            ValueKind::Seq => {
                self.add("[")?;
                let mut n = 0;
                for item in value.try_iter()? {
                    self.next(n, depth)?;
                    self.write(&item, depth + 1)?;
                    n += 1;
                }
                self.close(n, depth, "]")
            }
            kind => Err(fault(format!("JSON cannot say a value that is {kind}"))),
        }
    }

    /// What stands before the thing at `index`.
    fn next(&mut self, index: usize, depth: usize) -> Done {
        if index > 0 {
            let between = self.layout.between.clone();
            self.add(&between)?;
        }
        self.new_line(depth + 1)
    }

    fn close(&mut self, n: usize, depth: usize, end: &str) -> Done {
        if n > 0 {
            self.new_line(depth)?;
        }
        self.add(end)
    }

    fn new_line(&mut self, depth: usize) -> Done {
        match &self.layout.indent {
            None => Ok(()),
            Some(indent) => {
                let line = format!("\n{}", indent.repeat(depth));
                self.add(&line)
            }
        }
    }

    fn string(&mut self, text: &str) -> Done {
        let quoted = serde_json::to_string(text).map_err(|_| fault("a text that JSON cannot say"))?;
        if !self.layout.ascii {
            return self.add(&quoted);
        }
        let mut escaped = String::with_capacity(quoted.len());
        for c in quoted.chars() {
            if c.is_ascii() && c != '\u{7f}' {
                escaped.push(c);
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
        self.add(&escaped)
    }
}

/// Python names what JSON cannot say.
fn number(value: &Value) -> std::result::Result<String, minijinja::Error> {
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_nan() => Ok("NaN".to_owned()),
        Ok(number) if number.is_infinite() => Ok(if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()),
        _ => python::number(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_python_writes_it() {
        let json = r#"{"b":[1,2.5,-3e2,true,null,"é\n\"/\u0001\u007f",1e16],"a":{},"c":[]}"#;
        let value = read("x", json).unwrap();
        let right = "{\"b\": [1, 2.5, -300.0, true, null, \"é\\n\\\"/\\u0001\u{7f}\", 1e+16], \"a\": {}, \"c\": []}";
        let budget = |n| Budget::new(n, 1 << 20);
        assert_eq!(line(&value).unwrap(), right);
        let bounded = |n| to_json(&budget(n), &value, Arguments::new(&[]).unwrap());
        assert_eq!(bounded(right.len() as u64).unwrap(), right);
        assert!(bounded(right.len() as u64 - 1).is_err());
        let value = read("x", r#"{"b":[1,2],"a":{}}"#).unwrap();
        let given = Arguments::new(&[Value::from(false), Value::from(2)]).unwrap();
        let lines = "{\n  \"b\": [\n    1,\n    2\n  ],\n  \"a\": {}\n}";
        assert_eq!(to_json(&budget(1000), &value, given).unwrap(), lines);
        assert!(line(&Value::UNDEFINED).is_err());
        assert!(read("x", "{").is_err());
        let large = r#"{"z": 100000000000000000000, "a": [-100000000000000000000, 1e22, "é12345678901234567890"]}"#;
        let written = r#"{"z": 100000000000000000000, "a": [-100000000000000000000, 1e+22, "é12345678901234567890"]}"#;
        assert_eq!(line(&read("x", large).unwrap()).unwrap(), written);
        assert!(read("x", "{\"a\": 12345678901234567890 1}").is_err());
    }
}

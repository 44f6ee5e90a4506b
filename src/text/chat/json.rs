//! JSON as Python's `json.dumps` writes it, which is what models were trained on: `", "` and `": "` between things, and
//! no escapes but those that JSON needs.

use crate::error::{Error, Result};
use minijinja::Value;
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use std::io::{self, Write};

/// Python's separators.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// Takes so many bytes and then fails.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            return Err(io::Error::other("too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A value as JSON of at most `most` bytes, on one line or with so many spaces of indentation; `None` if it is longer,
/// or nothing that JSON can say.
pub(super) fn write(value: &Value, indent: Option<usize>, most: usize) -> Option<String> {
    let mut out = Bounded { bytes: Vec::new(), most };
    let written = match indent {
        None => value.serialize(&mut Serializer::with_formatter(&mut out, Spaced)),
        Some(n) => {
            let indent = " ".repeat(n);
            let formatter = PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut out, formatter))
        }
    };
    written.ok().and_then(|()| String::from_utf8(out.bytes).ok())
}

/// A JSON text as a value, its keys in their order.
pub(super) fn read(what: &str, json: &str) -> Result<Value> {
    serde_json::from_str(json).map_err(|error| Error::usage(what, format!("no JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_python_writes_it() {
        let json = r#"{"b":[1,2.5,-3e2,true,null,"é\n\"/\u0001"],"a":{},"c":[]}"#;
        let value = read("x", json).unwrap();
        let line = r#"{"b": [1, 2.5, -300.0, true, null, "é\n\"/\u0001"], "a": {}, "c": []}"#;
        assert_eq!(write(&value, None, 1000).as_deref(), Some(line));
        assert_eq!(write(&value, None, line.len()).as_deref(), Some(line));
        assert_eq!(write(&value, None, line.len() - 1), None);
        let value = read("x", r#"{"b":[1,2],"a":{}}"#).unwrap();
        let lines = "{\n  \"b\": [\n    1,\n    2\n  ],\n  \"a\": {}\n}";
        assert_eq!(write(&value, Some(2), 1000).as_deref(), Some(lines));
        assert!(read("x", "{").is_err());
    }
}

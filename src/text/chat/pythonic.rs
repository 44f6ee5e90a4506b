//! Calls as a list of Python's: `[f(a=1, b=["x", True]), g()]`.

use minijinja::Value;

/// Deeper lists and dicts are no arguments.
const DEEPEST: usize = 32;

/// A name, and the arguments with their names.
pub(super) type Called = (String, Vec<(String, Value)>);

/// The calls that a text consists of, with or without brackets around them.
pub(super) fn calls(text: &str) -> Option<Vec<Called>> {
    let text = text.trim();
    let inside = text.strip_prefix('[').map_or(Some(text), |rest| rest.strip_suffix(']'))?;
    let mut reader = Reader { rest: inside };
    let mut calls = Vec::new();
    loop {
        let name = reader.name()?;
        reader.take('(')?;
        let arguments = reader.items(')', |reader| {
            let key = reader.name()?;
            reader.take('=')?;
            Some((key, reader.value(0)?))
        })?;
        calls.push((name, arguments));
        if reader.take(',').is_none() || reader.peek().is_none() {
            return reader.peek().is_none().then_some(calls);
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take(&mut self, wanted: char) -> Option<()> {
        self.peek().filter(|found| *found == wanted)?;
        self.rest = &self.rest[wanted.len_utf8()..];
        Some(())
    }

    /// All of the text so far that is made of such characters; never nothing.
    fn word(&mut self, is_part: impl Fn(char) -> bool) -> Option<&str> {
        self.peek()?;
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(word).filter(|word| !word.is_empty())
    }

    fn name(&mut self) -> Option<String> {
        self.word(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-')).map(str::to_owned)
    }

    /// What stands between commas up to `end`.
    fn items<T>(&mut self, end: char, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        loop {
            if self.take(end).is_some() {
                return Some(items);
            }
            items.push(one(self)?);
            if self.take(',').is_none() {
                return self.take(end).map(|()| items);
            }
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        match self.peek()? {
            quote @ ('"' | '\'') => self.text(quote).map(Value::from),
            '[' => {
                self.take('[')?;
                self.items(']', |reader| reader.value(depth + 1)).map(Value::from)
            }
            '{' => {
                self.take('{')?;
                let pairs = self.items('}', |reader| {
                    let key = reader.value(depth + 1)?;
                    reader.take(':')?;
                    Some((key, reader.value(depth + 1)?))
                })?;
                Some(Value::from_pairs(pairs))
            }
            _ => match self.word(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_'))? {
                "True" | "true" => Some(true.into()),
                "False" | "false" => Some(false.into()),
                "None" | "null" => Some(().into()),
                number => match number.parse::<i64>() {
                    Ok(whole) => Some(whole.into()),
                    Err(_) => number.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::from),
                },
            },
        }
    }

    fn text(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        let mut chars = self.rest[1..].chars();
        loop {
            match chars.next()? {
                '\\' => match chars.next()? {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    other @ ('\\' | '\'' | '"') => text.push(other),
                    other => text.extend(['\\', other]),
                },
                c if c == quote => break,
                c => text.push(c),
            }
        }
        self.rest = chars.as_str();
        Some(text)
    }
}

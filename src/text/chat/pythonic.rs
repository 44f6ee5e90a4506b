//! Calls as a list of Python's: `[f(a=1, b=["x", True]), g()]`.

use minijinja::Value;
use std::str::Chars;

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
            '"' | '\'' => {
                let mut text = String::new();
                while let Some(quote @ ('"' | '\'')) = self.peek() {
                    text += &self.text(quote)?;
                }
                Some(text.into())
            }
            '(' => {
                self.take('(')?;
                // Without a comma it is what stands in it.
                let begin = self.rest;
                let mut items = self.items(')', |reader| reader.value(depth + 1))?;
                let inside = begin[..begin.len() - self.rest.len()].strip_suffix(')')?.trim_end();
                if items.len() == 1 && !inside.ends_with(',') { items.pop() } else { Some(items.into()) }
            }
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

    /// A text in quotes, or in three of them.
    fn text(&mut self, quote: char) -> Option<String> {
        let three = [quote; 3].iter().collect::<String>();
        let (inside, end) = match self.rest.strip_prefix(&three) {
            Some(inside) => (inside, three),
            None => (self.rest.strip_prefix(quote)?, quote.to_string()),
        };
        let (mut text, mut chars) = (String::new(), inside.chars());
        loop {
            if let Some(rest) = chars.as_str().strip_prefix(&end) {
                chars = rest.chars();
                break;
            }
            match chars.next()? {
                '\\' => escaped(&mut chars, &mut text)?,
                c => text.push(c),
            }
        }
        self.rest = chars.as_str();
        Some(text)
    }
}

/// What stands behind a backslash, as Python reads it; and the halves of characters beyond 16 bits, as JSON has them.
fn escaped(chars: &mut Chars<'_>, text: &mut String) -> Option<()> {
    let simple = match chars.next()? {
        '\n' => return Some(()),
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'v' => '\x0b',
        other @ ('\\' | '\'' | '"') => other,
        'x' => char::from_u32(digits(chars, 2)?)?,
        'U' => char::from_u32(digits(chars, 8)?)?,
        'u' => match digits(chars, 4)? {
            high @ 0xd800..0xdc00 => {
                *chars = chars.as_str().strip_prefix("\\u")?.chars();
                let low = digits(chars, 4)?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                char::from_u32(0x10000 + ((high - 0xd800) << 10 | low))?
            }
            code => char::from_u32(code)?,
        },
        other => {
            text.push('\\');
            other
        }
    };
    text.push(simple);
    Some(())
}

/// So many hexadecimal digits.
fn digits(chars: &mut Chars<'_>, n: usize) -> Option<u32> {
    let (digits, rest) = chars.as_str().split_at_checked(n)?;
    *chars = rest.chars();
    digits.chars().all(|c| c.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

//! llama.cpp's grammars (GBNF), rewritten in llguidance's form of Lark.
//!
//! Rules that can be are terminals, each one regular expression (see [`super::terminals`]); the others are rules of
//! terminals.

use super::terminals::{regular, terminals};
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::fmt::Write;

/// Groups within groups, at most.
const MOST_NESTED: u32 = 64;
/// Repetitions of one element that are counted out, at most; as in llama.cpp.
const MOST_REPEATED: u32 = 2000;

/// What a rule is made of.
#[derive(Debug)]
pub(super) enum Node {
    Rule(usize),
    Text(String),
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// A token of the vocabulary, as `<think>` or `<[1000]>`.
    Token(String),
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
    Repeat(Box<Node>, u32, Option<u32>),
}

/// A grammar, with its rules by the order in which they are named.
#[derive(Debug, Default)]
struct Rules {
    numbers: HashMap<String, usize>,
    names: Vec<String>,
    bodies: Vec<Option<Node>>,
}

/// The grammar in Lark.
///
/// # Errors
/// Names the line of what is no GBNF, a rule that is missing, and a grammar without `root`.
pub(super) fn to_lark(gbnf: &str) -> Result<String> {
    let mut parser = Parser { text: gbnf, at: 0, rules: Rules::default() };
    parser.grammar()?;
    let Rules { numbers, names, bodies } = parser.rules;
    let missing =
        |name: &str| Error::usage("grammar", format!("no rule {name:?}")).expected(format!("a line `{name} ::= …`"));
    let root = *numbers.get("root").ok_or_else(|| missing("root"))?;
    let bodies: Vec<Node> =
        bodies.into_iter().zip(&names).map(|(body, name)| body.ok_or_else(|| missing(name))).collect::<Result<_>>()?;
    let regular = regular(&bodies);
    let terminal = terminals(&bodies, root, &regular);
    let name = |rule: usize| if terminal[rule] { format!("T{rule}") } else { format!("r{rule}") };
    let mut lark = format!("start: {}\n", name(root));
    for (rule, body) in bodies.iter().enumerate() {
        // Terminals stand on regular rules, though these are none by themselves.
        if regular[rule] {
            let _ = write!(lark, "T{rule}: ");
            write_node(&mut lark, body, &|rule| format!("T{rule}"));
            lark.push('\n');
        }
        if !terminal[rule] {
            let _ = write!(lark, "r{rule}: ");
            write_node(&mut lark, body, &name);
            lark.push('\n');
        }
    }
    Ok(lark)
}

/// A part of a rule in Lark, with rules by their names. Writing to a string cannot fail.
fn write_node(lark: &mut String, node: &Node, name: &impl Fn(usize) -> String) {
    let between = |lark: &mut String, parts: &[Node], sign: &str| {
        lark.push('(');
        for (index, part) in parts.iter().enumerate() {
            *lark += if index > 0 { sign } else { "" };
            write_node(lark, part, name);
        }
        lark.push(')');
    };
    match node {
        Node::Rule(rule) => *lark += &name(*rule),
        Node::Token(token) => *lark += token,
        Node::Text(text) => *lark += &serde_json::Value::from(text.as_str()).to_string(),
        Node::Class { negated, ranges } => {
            *lark += if *negated { "/[^" } else { "/[" };
            for (first, last) in ranges {
                let _ = write!(lark, "\\u{{{:x}}}-\\u{{{:x}}}", u32::from(*first), u32::from(*last));
            }
            *lark += "]/";
        }
        Node::Sequence(parts) if parts.is_empty() => *lark += "\"\"",
        Node::Sequence(parts) => between(lark, parts, " "),
        Node::Choice(parts) => between(lark, parts, " | "),
        Node::Repeat(_, _, Some(0)) => *lark += "\"\"",
        Node::Repeat(part, least, most) => {
            between(lark, std::slice::from_ref(part), "");
            match (least, most) {
                (0, None) => lark.push('*'),
                (1, None) => lark.push('+'),
                (0, Some(1)) => lark.push('?'),
                (least, most) => {
                    let most = most.map(|most| most.to_string()).unwrap_or_default();
                    let _ = write!(lark, "{{{least},{most}}}");
                }
            }
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    rules: Rules,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn takes(&mut self, text: &str) -> bool {
        let takes = self.text[self.at..].starts_with(text);
        self.at += if takes { text.len() } else { 0 };
        takes
    }

    fn fault(&self, expected: &str) -> Error {
        let line = 1 + self.text[..self.at].matches('\n').count();
        let found = match self.peek() {
            Some(found) => format!("{found:?}, in line {line}"),
            None => "its end".to_owned(),
        };
        Error::usage("grammar", found).expected(expected)
    }

    /// Spaces and comments, and line ends where they mean nothing.
    fn space(&mut self, over_lines: bool) {
        while let Some(next) = self.peek() {
            match next {
                '#' => self.at += self.text[self.at..].find('\n').unwrap_or(self.text.len() - self.at),
                ' ' | '\t' => self.at += 1,
                '\r' | '\n' if over_lines => self.at += 1,
                _ => break,
            }
        }
    }

    fn grammar(&mut self) -> Result<()> {
        self.space(true);
        while self.peek().is_some() {
            let rule = self.rule_name()?;
            self.space(false);
            if !self.takes("::=") {
                return Err(self.fault("`::=` behind a rule's name"));
            }
            self.space(true);
            let body = self.choice(0)?;
            if self.peek().is_some_and(|next| !matches!(next, '\r' | '\n')) {
                return Err(self.fault("an element of a rule, or the end of its line"));
            }
            self.rules.bodies[rule] = Some(body);
            self.space(true);
        }
        Ok(())
    }

    fn rule_name(&mut self) -> Result<usize> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let rest = &self.text[self.at..];
        let name = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        if name.is_empty() {
            return Err(self.fault("the name of a rule"));
        }
        self.at += name.len();
        let Rules { numbers, names, bodies } = &mut self.rules;
        Ok(*numbers.entry(name.to_owned()).or_insert_with(|| {
            names.push(name.to_owned());
            bodies.push(None);
            names.len() - 1
        }))
    }

    fn choice(&mut self, depth: u32) -> Result<Node> {
        let mut parts = vec![self.sequence(depth)?];
        while self.takes("|") {
            self.space(true);
            parts.push(self.sequence(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::Choice(parts) })
    }

    fn sequence(&mut self, depth: u32) -> Result<Node> {
        let mut parts: Vec<Node> = Vec::new();
        while let Some(next) = self.peek() {
            let part = match next {
                '"' => self.literal()?,
                '[' => self.class()?,
                '.' => {
                    self.at += 1;
                    Node::Class { negated: false, ranges: vec![('\0', char::MAX)] }
                }
                '<' | '!' => self.token()?,
                '(' if depth == MOST_NESTED => return Err(self.fault("groups less deep within each other")),
                '(' => {
                    self.at += 1;
                    self.space(true);
                    let group = self.choice(depth + 1)?;
                    if !self.takes(")") {
                        return Err(self.fault("`)` at the end of a group"));
                    }
                    group
                }
                '*' | '+' | '?' | '{' => {
                    let part = parts.pop().ok_or_else(|| self.fault("something before it to repeat"))?;
                    let (least, most) = self.repetition()?;
                    Node::Repeat(Box::new(part), least, most)
                }
                next if next.is_ascii_alphanumeric() => Node::Rule(self.rule_name()?),
                _ => break,
            };
            parts.push(part);
            self.space(depth > 0);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::Sequence(parts) })
    }

    fn literal(&mut self) -> Result<Node> {
        self.at += 1;
        let mut text = String::new();
        while !self.takes("\"") {
            text.push(self.character()?);
        }
        Ok(if text.is_empty() { Node::Sequence(Vec::new()) } else { Node::Text(text) })
    }

    fn class(&mut self) -> Result<Node> {
        self.at += 1;
        let negated = self.takes("^");
        let mut ranges = Vec::new();
        while !self.takes("]") {
            let first = self.character()?;
            let is_range = self.text[self.at..].starts_with('-') && !self.text[self.at..].starts_with("-]");
            let last = if is_range {
                self.at += 1;
                self.character()?
            } else {
                first
            };
            if first > last {
                return Err(self.fault("a range that goes up"));
            }
            ranges.push((first, last));
        }
        if ranges.is_empty() {
            return Err(self.fault("characters between the brackets"));
        }
        Ok(Node::Class { negated, ranges })
    }

    fn character(&mut self) -> Result<char> {
        let next = self.next().ok_or_else(|| self.fault("the end of what a quote or bracket began"))?;
        if next != '\\' {
            return Ok(next);
        }
        let n_digits = match self.next() {
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            Some('n') => return Ok('\n'),
            Some('r') => return Ok('\r'),
            Some('t') => return Ok('\t'),
            Some(quoted @ ('\\' | '"' | '[' | ']' | '-')) => return Ok(quoted),
            _ => return Err(self.fault("n, r, t, \\, \", [, ], -, x, u or U behind a \\")),
        };
        let digits = self.text.get(self.at..self.at + n_digits);
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let character =
            code.and_then(char::from_u32).ok_or_else(|| self.fault("the number of a character in hexadecimal"))?;
        self.at += n_digits;
        Ok(character)
    }

    /// `<name>`, `<[id]>`, or `!<[id]>`: any token but that one, which Lark writes as `<[^id]>`.
    fn token(&mut self) -> Result<Node> {
        let is_not = self.takes("!");
        let rest = &self.text[self.at..];
        let end = rest.find(['>', '\n', '"', ' ']).filter(|end| rest.starts_with('<') && rest[*end..].starts_with('>'));
        let end = end.ok_or_else(|| self.fault("a token as <name> or <[id]>"))?;
        let name = &rest[..=end];
        let not = name.strip_prefix("<[").filter(|_| is_not).map(|id| format!("<[^{id}"));
        if is_not && not.is_none() {
            return Err(self.fault("the number of a token behind `!`, as !<[id]>"));
        }
        self.at += end + 1;
        Ok(Node::Token(not.unwrap_or_else(|| name.to_owned())))
    }

    fn repetition(&mut self) -> Result<(u32, Option<u32>)> {
        match self.next() {
            Some('*') => return Ok((0, None)),
            Some('+') => return Ok((1, None)),
            Some('?') => return Ok((0, Some(1))),
            _ => self.space(true),
        }
        let least = self.number()?.unwrap_or(0);
        self.space(true);
        let most = if self.takes(",") {
            self.space(true);
            self.number()?
        } else {
            Some(least)
        };
        self.space(true);
        if !self.takes("}") || most.is_some_and(|most| most < least) {
            return Err(self.fault("{n}, {n,} or {n,m}, m not below n"));
        }
        Ok((least, most))
    }

    fn number(&mut self) -> Result<Option<u32>> {
        let rest = &self.text[self.at..];
        let digits = &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())];
        if digits.is_empty() {
            return Ok(None);
        }
        let number = digits.parse().ok().filter(|n| *n <= MOST_REPEATED);
        let number = number.ok_or_else(|| self.fault(&format!("at most {MOST_REPEATED} repetitions")))?;
        self.at += digits.len();
        Ok(Some(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r#"root ::= [ab"'\\\[\]()|*+?{}<>.:=\n0-9,^\-xuUé]{0,60}"#) {
            if let Err(error) = to_lark(&text) {
                prop_assert_eq!(error.thing, "grammar");
            }
        }
    }

    #[test]
    fn rules_are_terminals_where_what_follows_cannot_go_on_with_them() {
        let gbnf = "root ::= list # all\nlist ::= \"[\" ws (item (\",\" item)*)? \"]\"\nitem ::= num | list\n\
                    num ::= [0-9]{1,3} |\n  \"\\x2d\" . <[7]> | !<[8]> | <think>\nws ::= [^\\n\\]0-9a[-]*";
        let lark = to_lark(gbnf).expect("GBNF");
        let class = "/[^\\u{a}-\\u{a}\\u{5d}-\\u{5d}\\u{30}-\\u{39}\\u{61}-\\u{61}\\u{5b}-\\u{5b}\\u{2d}-\\u{2d}]/";
        let expected = format!(
            "start: r0\nr0: r1\nr1: (\"[\" T2 ((r3 ((\",\" r3))*))? \"]\")\nT2: ({class})*\nr3: (r4 | r1)\n\
             r4: ((/[\\u{{30}}-\\u{{39}}]/){{1,3}} | (\"-\" /[\\u{{0}}-\\u{{10ffff}}]/ <[7]>) | <[^8]> | <think>)\n"
        );
        assert_eq!(lark, expected);
        // Here it could take the bracket.
        let other = to_lark(&gbnf.replace("[^\\n\\]0", "[^\\n0")).expect("GBNF");
        assert!(other.contains("\" r2 (") && other.contains("\nr2: (/"), "{other}");
        let lark = to_lark("root ::= a \"ab\"\na ::= [b]?").expect("GBNF");
        assert_eq!(lark, "start: T0\nT0: (T1 \"ab\")\nT1: (/[\\u{62}-\\u{62}]/)?\n");
    }

    #[test]
    fn what_is_no_gbnf_is_refused_by_its_line() {
        let deep = format!("root ::= {}", "(".repeat(1000));
        for (gbnf, told) in [
            ("", "\"root\""),
            ("root ::= a", "\"a\""),
            ("a ::= \"x\"", "\"root\""),
            ("root ::= \"x\"\n b = c", "line 2"),
            ("root ::= \"x", "its end"),
            ("root ::= [z-a]", "goes up"),
            ("root ::= []", "between the brackets"),
            ("root ::= * \"a\"", "to repeat"),
            ("root ::= \"a\"{3,2}", "{n,m}"),
            ("root ::= \"a\"{999999999999}", "2000"),
            ("root ::= \"\\q\"", "behind a \\"),
            ("root ::= \"\\ud800\"", "hexadecimal"),
            ("root ::= (\"a\"", "`)`"),
            ("root ::= \"a\" )", "end of its line"),
            ("root ::= <a b>", "<name>"),
            ("root ::= !\"a\"", "<name>"),
            ("root ::= !<a>", "!<[id]>"),
            (deep.as_str(), "less deep"),
        ] {
            let error = to_lark(gbnf).expect_err(gbnf).to_string();
            assert!(error.contains(told), "{gbnf}: {error}");
        }
    }
}

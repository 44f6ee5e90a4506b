//! What is asked of a template's text before it is compiled. The library's parser and compiler walk through an
//! expression by recursion, which is bounded here, and compute constants as they go, which is left to the program.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Error, ErrorKind};

/// The most parts of an expression that may each be one level deeper than the one before: all between `{%` and `%}`, or
/// `{{` and `}}`, but those that came before a comma or in brackets that are closed. Honest ones have up to 150.
const DEEPEST: usize = 400;
/// Each `elif` is one level deeper than the one before.
const MOST_ELIFS: usize = 200;

/// What has been seen of a tag.
#[derive(Default)]
struct Tag {
    /// Parts so far, before each open bracket, and in the last one; see [`DEEPEST`].
    before: Vec<usize>,
    depth: usize,
}

impl Tag {
    fn see(&mut self, token: &Token<'_>) {
        self.depth += 1;
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => self.before.push(self.depth),
            // What stood in the brackets is no deeper than their beginning and end.
            Token::ParenClose | Token::BracketClose | Token::BraceClose => {
                self.depth = self.before.pop().map_or(self.depth, |before| before + 1);
            }
            Token::Comma => self.depth = self.before.last().copied().unwrap_or(self.depth),
            _ => {}
        }
    }

    fn check(&self) -> Result<(), Error> {
        if self.depth > DEEPEST {
            let found = format!("an expression of more than {DEEPEST} parts");
            return Err(Error::new(ErrorKind::SyntaxError, found));
        }
        Ok(())
    }
}

/// The filter that stands behind a constant that is compared, looked for, joined or repeated, until the program is
/// rewritten: the library would do so by itself, without bounds, with constants of any kinds, and in its own spelling.
pub(super) const COMPARED: &str = "compared__";

/// The template in the library's words, where they differ from Jinja2's: `- -` for a `+` that is the sign of what follows
/// it, Python's escapes in texts, constants that are compared by an operation of ours, and names that `with` gives all at once.
pub(super) fn adapted(source: &str, syntax: &SyntaxConfig) -> Result<String, Error> {
    const BEFORE_A_VALUE: [&str; 8] = ["and", "or", "not", "in", "if", "elif", "else", "is"];
    let (mut out, mut done) = (String::new(), 0);
    let (mut follows_a_value, mut follows_a_constant, mut follows_a_dot) = (false, false, false);
    // Whether each open bracket begins a constant, and no call or item; whether a loop's names come, and its `in`.
    let (mut brackets, mut names_come, mut opens) = (Vec::new(), false, false);
    for token in tokenize(source, false, syntax.clone()) {
        let (token, span) = token?;
        let (at, end) = (span.start_offset as usize, span.end_offset as usize);
        let text = source.get(at..end).unwrap_or_default();
        let put = match &token {
            Token::Plus if !follows_a_value => "- -".to_owned(),
            Token::Eq
            | Token::Ne
            | Token::Lt
            | Token::Lte
            | Token::Gt
            | Token::Gte
            | Token::Plus
            | Token::Mul
            | Token::Tilde
                if follows_a_constant =>
            {
                format!("|{COMPARED} {text}")
            }
            // `not` behind a value is that of `not in`.
            Token::Ident("in" | "not") if follows_a_constant && !names_come => format!("|{COMPARED} {text}"),
            Token::Str(_) | Token::String(_) => literal(text)?,
            Token::Ident("self") if !follows_a_dot => {
                return Err(Error::new(ErrorKind::SyntaxError, "self, which renders blocks, is not supported"));
            }
            _ => text.to_owned(),
        };
        if put != text {
            out += source.get(done..at).unwrap_or_default();
            out += &put;
            done = end;
        }
        names_come = match token {
            Token::Ident("for") => opens,
            Token::Ident("in") | Token::BlockEnd => false,
            _ => names_come,
        };
        opens = matches!(token, Token::BlockStart);
        follows_a_constant = match token {
            Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_) => true,
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => {
                brackets.push(!follows_a_value);
                false
            }
            Token::ParenClose | Token::BracketClose | Token::BraceClose => brackets.pop().unwrap_or(true),
            Token::Ident(name) => ["true", "false", "none", "True", "False", "None"].contains(&name),
            _ => false,
        };
        let closes = matches!(token, Token::ParenClose | Token::BracketClose | Token::BraceClose);
        follows_a_value =
            follows_a_constant || closes || matches!(token, Token::Ident(name) if !BEFORE_A_VALUE.contains(&name));
        follows_a_dot = matches!(token, Token::Dot);
    }
    all_at_once(&(out + source.get(done..).unwrap_or_default()), syntax)
}

/// A literal with Python's escapes as the library's.
fn literal(text: &str) -> Result<String, Error> {
    let (mut out, mut rest) = (String::new(), text.chars());
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match rest.next() {
            Some('U') => {
                let digits: String = rest.by_ref().take(8).collect();
                let code =
                    u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 8 && !digits.starts_with('+'));
                match code.and_then(char::from_u32) {
                    // It could be a quote, or another backslash.
                    Some(c) if c.is_ascii() => out += &format!("\\x{:02x}", u32::from(c)),
                    Some(c) => out.push(c),
                    None => {
                        return Err(Error::new(
                            ErrorKind::SyntaxError,
                            format!("\\U{digits} in a text is no character"),
                        ));
                    }
                }
            }
            Some('N') => return Err(Error::new(ErrorKind::SyntaxError, "\\N{name} in a text is not supported")),
            // The literal goes on in the next line.
            Some('\n') => {}
            Some('a') => out += "\\x07",
            Some('v') => out += "\\x0b",
            Some('/') => out += "\\\\/",
            next => out.extend(std::iter::once(c).chain(next)),
        }
    }
    Ok(out)
}

/// `{% with a = 1, b = a %}` as `{% with ((a), (b)) = (1, a) %}`: Jinja2 computes all values before it names any.
fn all_at_once(source: &str, syntax: &SyntaxConfig) -> Result<String, Error> {
    let (mut out, mut done, mut opens) = (String::new(), 0, false);
    // Of the tag: where its names begin, where the part begins that is being read, and the parts before.
    let mut tag = None::<(usize, usize, Vec<&str>)>;
    let mut depth = 0_usize;
    for token in tokenize(source, false, syntax.clone()) {
        let (token, span) = token?;
        let (at, end) = (span.start_offset as usize, span.end_offset as usize);
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => depth += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => depth = depth.saturating_sub(1),
            Token::Ident("with") if opens => (tag, depth) = (Some((end, end, Vec::new())), 0),
            _ => {}
        }
        if let Some((begin, part, parts)) = tag.as_mut().filter(|_| depth == 0) {
            // A name ends with `=`, and a value with a comma.
            let is_end = match token {
                Token::Assign => parts.len().is_multiple_of(2),
                Token::Comma | Token::BlockEnd => !parts.len().is_multiple_of(2),
                _ => false,
            };
            if is_end {
                parts.push(source.get(*part..at).unwrap_or_default());
                *part = end;
            }
            if is_end && matches!(token, Token::BlockEnd) && parts.len() > 2 {
                let names: Vec<String> = parts.iter().step_by(2).map(|name| format!("({name})")).collect();
                let values: Vec<&str> = parts.iter().skip(1).step_by(2).copied().collect();
                out += source.get(done..*begin).unwrap_or_default();
                out += &format!(" ({}) = ({}) ", names.join(","), values.join(","));
                done = at;
            }
        }
        if matches!(token, Token::BlockEnd) {
            tag = None;
        }
        opens = matches!(token, Token::BlockStart);
    }
    Ok(out + source.get(done..).unwrap_or_default())
}

/// Fails if compiling the template could exhaust the stack or memory.
pub(super) fn check(source: &str, syntax: SyntaxConfig) -> Result<(), Error> {
    let (mut tag, mut n_elifs) = (Tag::default(), 0);
    for token in tokenize(source, false, syntax) {
        let (token, _) = token?;
        match token {
            Token::TemplateData(_) => continue,
            Token::BlockStart | Token::VariableStart => tag = Tag::default(),
            Token::Ident("elif") => n_elifs += 1,
            _ => {}
        }
        tag.see(&token);
        tag.check()?;
        if n_elifs > MOST_ELIFS {
            return Err(Error::new(ErrorKind::SyntaxError, format!("more than {MOST_ELIFS} elifs")));
        }
    }
    Ok(())
}

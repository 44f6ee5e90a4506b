//! What is asked of a template's text before it is compiled. The library's parser and compiler walk through an
//! expression by recursion, and compute constants as they go; neither is bounded by them, so both are here.

use super::budget::exhausted;
use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Error, ErrorKind};

/// The most parts of an expression that may each be one level deeper than the one before: all between `{%` and `%}`, or
/// `{{` and `}}`, but those that came before a comma or in brackets that are closed. Honest ones have up to 150.
const DEEPEST: usize = 400;
/// Each `elif` is one level deeper than the one before.
const MOST_ELIFS: usize = 200;
/// What a product of constants may be long.
const MOST_CONSTANT_BYTES: u128 = 1 << 20;

/// What has been seen of a tag.
#[derive(Default)]
struct Tag {
    n_tokens: usize,
    /// Parts so far, before each open bracket, and in the last one; see [`DEEPEST`].
    before: Vec<usize>,
    depth: usize,
    multiplies: bool,
    raises: bool,
    /// It has a text or a list, which a product could repeat.
    repeats: bool,
    text_bytes: u128,
    /// The product of the whole numbers in it.
    product: u128,
}

impl Tag {
    fn see(&mut self, token: &Token<'_>) {
        self.n_tokens += 1;
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
        match token {
            Token::Mul => self.multiplies = true,
            Token::Pow => self.raises = true,
            // A list, or a tuple.
            Token::BracketOpen | Token::Comma => self.repeats = true,
            Token::Str(text) => self.see_text(text),
            Token::String(text) => self.see_text(text),
            // Sums of ones are no larger than products of twos.
            Token::Int(n) => self.product = self.product.max(1).saturating_mul(u128::from(*n).max(2)),
            Token::Int128(_) => self.product = u128::MAX,
            _ => {}
        }
    }

    fn see_text(&mut self, text: &str) {
        self.repeats = true;
        self.text_bytes += text.len() as u128;
    }

    fn check(&self) -> Result<(), Error> {
        if self.depth > DEEPEST {
            let found = format!("an expression of more than {DEEPEST} parts");
            return Err(Error::new(ErrorKind::SyntaxError, found));
        }
        let repeated = self.product.max(1).saturating_mul(self.text_bytes + self.n_tokens as u128);
        if self.multiplies && self.repeats && (self.raises || repeated > MOST_CONSTANT_BYTES) {
            return Err(exhausted("memory"));
        }
        Ok(())
    }
}

/// The template with `- -` for a `+` that is the sign of what follows it, which the library does not know.
pub(super) fn with_minus(source: &str, syntax: SyntaxConfig) -> Result<String, Error> {
    const BEFORE_A_VALUE: [&str; 8] = ["and", "or", "not", "in", "if", "elif", "else", "is"];
    let (mut out, mut done, mut follows_a_value) = (String::new(), 0, false);
    for token in tokenize(source, false, syntax) {
        let (token, span) = token?;
        if matches!(token, Token::Plus) && !follows_a_value {
            let at = span.start_offset as usize;
            out += source.get(done..at).unwrap_or_default();
            out += "- -";
            done = at + 1;
        }
        follows_a_value = match token {
            Token::Ident(name) => !BEFORE_A_VALUE.contains(&name),
            Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_) => true,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => true,
            _ => false,
        };
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

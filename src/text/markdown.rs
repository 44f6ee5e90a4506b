//! What a model writes, as blocks to show: the part of Markdown that chat models use. Everything is text: there is no HTML,
//! a link is its words with the address behind them, and a picture is like a link. Whatever is not understood stays
//! as it was written, and no letter is lost. The time taken grows with the length of the text, whatever it holds.

/// A part of a text that stands on lines of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// Lines of words.
    Paragraph(Vec<Span>),
    /// A heading; level 1 to 6.
    Heading(u8, Vec<Span>),
    /// The items of a list.
    List(Vec<Item>),
    /// Words of somebody else.
    Quote(Vec<Span>),
    /// Code, or a table, as it was written.
    Code {
        /// What stands behind the opening fence.
        language: String,
        /// The lines.
        text: String,
    },
    /// A line between two parts.
    Rule,
}

/// An item of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// How many lists it is within, less one.
    pub depth: u8,
    /// `•`, or the number as it was written: `3.`
    pub mark: String,
    /// The words.
    pub text: Vec<Span>,
}

/// Words of one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The words.
    pub text: String,
    /// How they look.
    pub look: Look,
}

/// How words look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Bold.
    pub strong: bool,
    /// Italic.
    pub emphasis: bool,
    /// In letters of one width.
    pub code: bool,
}

/// Lists are not shown deeper than this.
const MAX_DEPTH: usize = 6;
/// A link that is longer, in bytes, is none.
const MAX_LINK: usize = 2048;

/// The blocks of a text, which need not be complete: a fence or a list may still be open.
#[must_use]
pub fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let bare = line.trim();
        if bare.is_empty() {
            continue;
        }
        if let Some(fence) = fence_of(bare) {
            let mut code = String::new();
            for line in lines.by_ref() {
                if fence_of(line.trim()).is_some_and(|end| end.0 == fence.0 && end.1 >= fence.1 && end.2.is_empty()) {
                    break;
                }
                code.extend([line, "\n"]);
            }
            found.push(Block::Code { language: fence.2.to_owned(), text: code });
            continue;
        }
        if let Some((level, words)) = heading_of(bare) {
            found.push(Block::Heading(level, spans(words)));
        } else if is_rule(bare) {
            found.push(Block::Rule);
        } else if bare.starts_with('|') {
            let mut table = format!("{line}\n");
            while let Some(line) = lines.next_if(|line| line.trim_start().starts_with('|')) {
                table.extend([line, "\n"]);
            }
            found.push(Block::Code { language: String::new(), text: table });
        } else if let Some(words) = bare.strip_prefix('>') {
            let mut quoted = words.trim_start().to_owned();
            while let Some(line) = lines.next_if(|line| line.trim_start().starts_with('>')) {
                quoted.extend(["\n", line.trim().trim_start_matches('>').trim_start()]);
            }
            found.push(Block::Quote(spans(&quoted)));
        } else if let Some((depth, mark, words)) = item_of(line) {
            let mut words = words.to_owned();
            // What is indented below goes on.
            while let Some(line) = lines.next_if(|line| line.starts_with([' ', '\t']) && is_plain(line)) {
                words.extend(["\n", line.trim()]);
            }
            let item = Item { depth, mark, text: spans(&words) };
            match found.last_mut() {
                Some(Block::List(items)) => items.push(item),
                _ => found.push(Block::List(vec![item])),
            }
        } else {
            let mut words = line.trim_end().to_owned();
            while let Some(line) = lines.next_if(|line| is_plain(line)) {
                words.extend(["\n", line.trim_end()]);
            }
            found.push(Block::Paragraph(spans(&words)));
        }
    }
    found
}

/// Whether a line is words that go on from the line before.
fn is_plain(line: &str) -> bool {
    let bare = line.trim();
    !(bare.is_empty()
        || bare.starts_with(['>', '|'])
        || fence_of(bare).is_some()
        || heading_of(bare).is_some()
        || is_rule(bare)
        || item_of(line).is_some())
}

/// The character, the length, and what stands behind.
fn fence_of(bare: &str) -> Option<(char, usize, &str)> {
    let mark = bare.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let behind = bare.trim_start_matches(mark);
    let length = bare.len() - behind.len();
    (length >= 3 && !behind.contains('`')).then(|| (mark, length, behind.trim()))
}

fn heading_of(bare: &str) -> Option<(u8, &str)> {
    let behind = bare.trim_start_matches('#');
    let level = bare.len() - behind.len();
    let words = behind.strip_prefix(' ')?.trim().trim_end_matches('#').trim_end();
    (1..=6).contains(&level).then_some((level as u8, words))
}

fn is_rule(bare: &str) -> bool {
    bare.len() >= 3 && ['-', '*', '_'].iter().any(|mark| bare.chars().all(|c| c == *mark))
}

/// The depth, the mark, and the words.
fn item_of(line: &str) -> Option<(u8, String, &str)> {
    let bare = line.trim_start();
    let indent: usize = line[..line.len() - bare.len()].chars().map(|c| if c == '\t' { 4 } else { 1 }).sum();
    let depth = (indent / 2).min(MAX_DEPTH) as u8;
    if let Some(words) = ["- ", "* ", "+ "].iter().find_map(|mark| bare.strip_prefix(mark)) {
        return Some((depth, "•".to_owned(), words.trim()));
    }
    let behind = bare.trim_start_matches(|c: char| c.is_ascii_digit());
    let n_digits = bare.len() - behind.len();
    let words = behind.strip_prefix(['.', ')'])?.strip_prefix(' ')?;
    (1..=9).contains(&n_digits).then(|| (depth, bare[..=n_digits].to_owned(), words.trim()))
}

/// The words of a block, each with its look.
fn spans(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    read(text, Look::default(), &mut spans);
    spans
}

/// What opens a look, what closes it, and the look. The longer ones stand first.
const PAIRS: [(&str, Look); 4] = [
    ("**", Look { strong: true, emphasis: false, code: false }),
    ("__", Look { strong: true, emphasis: false, code: false }),
    ("*", Look { strong: false, emphasis: true, code: false }),
    ("_", Look { strong: false, emphasis: true, code: false }),
];

/// Reads words within words of a look. A search for a mark that finds nothing is not made again, so that a text of nothing
/// but marks takes no longer than another.
fn read(text: &str, look: Look, spans: &mut Vec<Span>) {
    let mut missing = [false; PAIRS.len()];
    let mut no_code = false;
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        let rest = &text[at..];
        let before = text[..at].chars().next_back();
        match next {
            '\\' if rest[1..].starts_with(['*', '_', '`', '#']) => {
                push(spans, &rest[1..2], look);
                at += 2;
                continue;
            }
            '`' => {
                let n_marks = rest.len() - rest.trim_start_matches('`').len();
                let found = if no_code && n_marks == 1 { None } else { code_of(&rest[n_marks..], n_marks) };
                let words = found.unwrap_or(&rest[..n_marks]);
                push(spans, words, if found.is_some() { Look { code: true, ..look } } else { look });
                at += n_marks + found.map_or(0, |words| words.len() + n_marks);
                no_code |= found.is_none() && n_marks == 1;
                continue;
            }
            '[' => {
                if let Some((words, address)) = link_of(rest) {
                    // As they are: a link within a link is none.
                    push(spans, words, look);
                    if words != address {
                        push(spans, &format!(" ({address})"), look);
                    }
                    at += words.len() + address.len() + 4;
                    continue;
                }
            }
            '*' | '_' => {
                let pair = PAIRS.iter().zip(&mut missing).find(|((mark, adds), missing)| {
                    let is_new = !(adds.strong && look.strong || adds.emphasis && look.emphasis);
                    rest.starts_with(mark) && is_new && !**missing
                });
                if let Some(((mark, adds), missing)) = pair {
                    let inside = &rest[mark.len()..];
                    let opens = !inside.starts_with(char::is_whitespace) && !before.is_some_and(char::is_alphanumeric);
                    let end = if opens { end_of(inside, mark) } else { None };
                    *missing = opens && end.is_none();
                    if let Some(end) = end {
                        let look = Look {
                            strong: look.strong || adds.strong,
                            emphasis: look.emphasis || adds.emphasis,
                            ..look
                        };
                        read(&inside[..end], look, spans);
                        at += end + 2 * mark.len();
                        continue;
                    }
                }
            }
            _ => {}
        }
        push(spans, &rest[..next.len_utf8()], look);
        at += next.len_utf8();
    }
}

/// Where a mark closes: behind words, and before none.
fn end_of(inside: &str, mark: &str) -> Option<usize> {
    let closes = |at: &usize| {
        let before = inside[..*at].chars().next_back();
        let behind = inside[at + mark.len()..].chars().next();
        // One star of two is none.
        let is_own = mark.len() == 2 || (before != mark.chars().next() && behind != mark.chars().next());
        is_own && before.is_some_and(|c| !c.is_whitespace()) && !behind.is_some_and(char::is_alphanumeric)
    };
    let end = inside.match_indices(mark).map(|(at, _)| at).find(closes)?;
    // Of three stars the first belongs to what is inside.
    let is_one_more = mark.len() == 2 && inside[end + 1..].starts_with(mark);
    Some(end + usize::from(is_one_more))
}

/// Code up to as many marks as opened it.
fn code_of(inside: &str, n_marks: usize) -> Option<&str> {
    let mut at = 0;
    loop {
        let begin = at + inside[at..].find('`')?;
        let behind = inside[begin..].trim_start_matches('`');
        if inside.len() - behind.len() - begin == n_marks {
            return Some(&inside[..begin]);
        }
        at = inside.len() - behind.len();
    }
}

/// The words and the address of `[words](address)`.
fn link_of(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('[')?;
    let line = inside[..inside.floor_char_boundary(MAX_LINK)].split('\n').next()?;
    let end = line.find(']')?;
    let address = line[end..].strip_prefix("](")?;
    Some((&line[..end], &address[..address.find(')')?]))
}

/// Adds words to those before, where they look alike.
fn push(spans: &mut Vec<Span>, words: &str, look: Look) {
    match spans.last_mut() {
        Some(last) if last.look == look => last.text += words,
        _ => spans.push(Span { text: words.to_owned(), look }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    /// Blocks in a short form: looks as letters before their words.
    fn shown(text: &str) -> Vec<String> {
        let words = |spans: &[Span]| {
            let word = |Span { text, look }: &Span| {
                let looks = [(look.strong, "B"), (look.emphasis, "I"), (look.code, "C")];
                let looks: String = looks.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
                if looks.is_empty() { text.clone() } else { format!("{looks}<{text}>") }
            };
            spans.iter().map(word).collect::<String>()
        };
        let block = |block: &Block| match block {
            Block::Paragraph(spans) => words(spans),
            Block::Heading(level, spans) => format!("h{level} {}", words(spans)),
            Block::Quote(spans) => format!("quote {}", words(spans)),
            Block::Rule => "rule".into(),
            Block::Code { language, text } => format!("code {language}: {text}"),
            Block::List(items) => {
                let item = |item: &Item| format!("{}{} {}", item.depth, item.mark, words(&item.text));
                format!("list {}", items.iter().map(item).collect::<Vec<_>>().join("; "))
            }
        };
        blocks(text).iter().map(block).collect()
    }

    #[test]
    fn what_models_write_has_its_look() {
        for (text, expected) in [
            ("One\ntwo\n\nthree", &["One\ntwo", "three"][..]),
            ("## A *b*\ntext", &["h2 A I<b>", "text"]),
            ("a **b *c* d** e", &["a B<b >BI<c>B< d> e"]),
            ("use `a*b*` and ``x`y``", &["use C<a*b*> and C<x`y>"]),
            ("***a*** b", &["BI<a> b"]),
            ("- a\n  - b\n    more\n- c", &["list 0• a; 1• b\nmore; 0• c"]),
            ("1. a\n\n2. **b**\n\nend", &["list 01. a; 02. B<b>", "end"]),
            ("```rust\nlet a = \"**\";\n```\nend", &["code rust: let a = \"**\";\n", "end"]),
            ("```\nstill *open", &["code : still *open\n"]),
            ("````\n```\n````", &["code : ```\n"]),
            ("> a\n> b\nc", &["quote a\nb", "c"]),
            ("a\n\n---\n\nb", &["a", "rule", "b"]),
            ("| a | b |\n|---|---|\nc", &["code : | a | b |\n|---|---|\n", "c"]),
            ("[here](https://a.org/?b=c) and ![p](x)", &["here (https://a.org/?b=c) and !p (x)"]),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_markup_stays() {
        for text in [
            "2*3*4 and snake_case_name and __init__x",
            "a ** b ** c",
            "*open and **open",
            "<b onclick=\"x\">no</b> &amp;",
            "#hash and #1",
            "[a] (b) [c](d",
            "1.5 and -5",
            "\\(x_1 + y_2\\)",
        ] {
            assert_eq!(shown(text), [text]);
        }
        assert_eq!(shown("\\*not\\*"), ["*not*"]);
    }

    #[test]
    fn a_text_of_nothing_but_marks_takes_no_longer() {
        let begin = Instant::now();
        for mark in ["*a ", "**a ", "_a ", "`a``", "[a](", "[", "`", "*", "> ", "- ", "```\n", "*a_"] {
            assert!(!blocks(&mark.repeat(100_000 / mark.len())).is_empty(), "{mark}");
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }

    proptest! {
        #[test]
        fn no_letter_is_lost(text in r"([a-z0-9*_`#>|\[\]()\\~. \t-]|\n|é|\p{Han}){0,120}") {
            let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            let mut all = String::new();
            for block in blocks(&text) {
                let (language, spans) = match block {
                    Block::Paragraph(spans) | Block::Heading(_, spans) | Block::Quote(spans) => (String::new(), spans),
                    Block::Code { language, text } => (language + &text, Vec::new()),
                    Block::Rule => (String::new(), Vec::new()),
                    Block::List(items) => {
                        let mark = |item: Item| [vec![Span { text: item.mark, look: Look::default() }], item.text];
                        (String::new(), items.into_iter().flat_map(mark).flatten().collect())
                    }
                };
                all += &language;
                all.extend(spans.into_iter().map(|span| span.text));
            }
            // An address that is the link's words is not said twice.
            prop_assert!(letters(&all) == letters(&text) || text.contains("]("), "{:?}", all);
        }
    }
}

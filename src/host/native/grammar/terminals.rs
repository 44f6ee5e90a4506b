//! Which rules of a grammar can be terminals. llguidance matches a terminal as one regular expression, and takes the longest
//! text that it matches: fast, and right where no character that may go on with a match may also begin what follows it. A
//! rule of spaces before a line end is no terminal: it would take the line end, too.
//!
//! The sets here may hold more characters than they should: then a rule is written out where it need not be. A rule that is
//! repeated without end may leave out a text that llama.cpp allows, never the other way round.

use super::gbnf::Node;

/// Ranges of characters, both ends within.
type Characters = Vec<(u32, u32)>;

const LAST: u32 = char::MAX as u32;

/// Whether each rule is a terminal, of those that are regular. Rule `root` begins every text.
pub(super) fn terminals(bodies: &[Node], root: usize, regular: &[bool]) -> Vec<bool> {
    let mut terminal = regular.to_vec();
    let grammar = Grammar::of(bodies);
    // What a rule is written out for may bring others to light.
    while !terminal[root] {
        let follow = grammar.follow(&terminal);
        let conflicts: Vec<usize> = (0..bodies.len())
            .filter(|&rule| terminal[rule] && meet(&grammar.rules[rule].goes_on, &follow[rule]))
            .collect();
        if conflicts.is_empty() {
            break;
        }
        conflicts.into_iter().for_each(|rule| terminal[rule] = false);
    }
    terminal
}

/// Which rules name no tokens, and only such rules.
pub(super) fn regular(bodies: &[Node]) -> Vec<bool> {
    let mut regular = vec![false; bodies.len()];
    loop {
        let more: Vec<usize> =
            (0..bodies.len()).filter(|&rule| !regular[rule] && is_regular(&bodies[rule], &regular)).collect();
        if more.is_empty() {
            return regular;
        }
        more.into_iter().for_each(|rule| regular[rule] = true);
    }
}

fn is_regular(node: &Node, regular: &[bool]) -> bool {
    match node {
        Node::Rule(rule) => regular[*rule],
        Node::Token(_) => false,
        Node::Text(_) | Node::Class { .. } => true,
        Node::Sequence(parts) | Node::Choice(parts) => parts.iter().all(|part| is_regular(part, regular)),
        Node::Repeat(part, ..) => is_regular(part, regular),
    }
}

/// What is known of the texts of a rule, or of a part of one.
#[derive(Clone, Debug, Default, PartialEq)]
struct Texts {
    /// Whether the empty one is among them.
    are_empty: bool,
    /// The characters that they begin with. A token has none: it is told apart from all characters.
    first: Characters,
    /// Those with which one goes on to a longer one.
    goes_on: Characters,
    /// All that they have.
    all: Characters,
}

impl Texts {
    /// With others behind each of them.
    fn then(self, next: &Self) -> Self {
        let first_of_next = if next.are_empty { &next.first[..] } else { &[] };
        Self {
            goes_on: match next.are_empty {
                true => united([&self.goes_on[..], first_of_next, &next.goes_on]),
                false => next.goes_on.clone(),
            },
            first: before(&self, &next.first),
            are_empty: self.are_empty && next.are_empty,
            all: united([&self.all[..], &next.all]),
        }
    }
}

/// The characters that come first where these texts stand before something that begins with others.
fn before(texts: &Texts, behind: &[(u32, u32)]) -> Characters {
    if texts.are_empty { united([&texts.first[..], behind]) } else { texts.first.clone() }
}

struct Grammar<'a> {
    bodies: &'a [Node],
    rules: Vec<Texts>,
}

impl<'a> Grammar<'a> {
    fn of(bodies: &'a [Node]) -> Self {
        let mut grammar = Self { bodies, rules: vec![Texts::default(); bodies.len()] };
        loop {
            let mut is_changed = false;
            for (rule, body) in bodies.iter().enumerate() {
                let found = grammar.texts(body);
                is_changed |= found != grammar.rules[rule];
                grammar.rules[rule] = found;
            }
            if !is_changed {
                return grammar;
            }
        }
    }

    /// By what is known of the rules so far.
    fn texts(&self, node: &Node) -> Texts {
        match node {
            Node::Rule(rule) => self.rules[*rule].clone(),
            Node::Text(text) => {
                let first: Characters = text.chars().take(1).map(|c| (c.into(), c.into())).collect();
                let all = united([&text.chars().map(|c| (c.into(), c.into())).collect::<Characters>()[..]]);
                Texts { are_empty: text.is_empty(), first, all, ..Texts::default() }
            }
            Node::Class { negated, ranges } => {
                let all = characters(*negated, ranges);
                Texts { first: all.clone(), all, ..Texts::default() }
            }
            Node::Token(_) => Texts::default(),
            Node::Repeat(_, _, Some(0)) => Texts { are_empty: true, ..Texts::default() },
            Node::Sequence(parts) => {
                let nothing = Texts { are_empty: true, ..Texts::default() };
                parts.iter().fold(nothing, |texts, part| texts.then(&self.texts(part)))
            }
            Node::Choice(parts) => {
                let parts: Vec<Texts> = parts.iter().map(|part| self.texts(part)).collect();
                let united_of = |of: fn(&Texts) -> &Characters| united(parts.iter().map(|part| &of(part)[..]));
                let (first, all) = (united_of(|part| &part.first), united_of(|part| &part.all));
                let are_empty = parts.iter().any(|part| part.are_empty);
                // A text of one part may be the beginning of another's.
                let count = |ranges: &Characters| ranges.iter().map(|(from, to)| u64::from(to - from) + 1).sum::<u64>();
                let overlap = parts.iter().map(|part| count(&part.first)).sum::<u64>() > count(&first);
                let after_empty = if are_empty { &first[..] } else { &[] };
                let after_any = if overlap { &all[..] } else { &[] };
                let goes_on = united([&united_of(|part| &part.goes_on)[..], after_empty, after_any]);
                Texts { are_empty, first, goes_on, all }
            }
            Node::Repeat(part, least, most) => {
                let mut texts = self.texts(part);
                let is_counted = *most == Some(*least) && texts.goes_on.is_empty();
                texts.are_empty |= *least == 0;
                if !is_counted {
                    texts.goes_on = united([&texts.goes_on[..], &texts.first]);
                }
                texts
            }
        }
    }

    /// Of each rule the characters that may follow it, where it stands in rules that are no terminals.
    fn follow(&self, terminal: &[bool]) -> Vec<Characters> {
        let mut follow = vec![Vec::new(); self.bodies.len()];
        loop {
            let before = follow.clone();
            for (rule, body) in self.bodies.iter().enumerate().filter(|(rule, _)| !terminal[*rule]) {
                let behind = follow[rule].clone();
                self.add_following(body, &behind, &mut follow);
            }
            if follow == before {
                return follow;
            }
        }
    }

    fn add_following(&self, node: &Node, behind: &[(u32, u32)], follow: &mut [Characters]) {
        match node {
            Node::Rule(rule) => follow[*rule] = united([&follow[*rule][..], behind]),
            Node::Text(_) | Node::Class { .. } | Node::Token(_) | Node::Repeat(_, _, Some(0)) => {}
            Node::Sequence(parts) => {
                let mut behind = behind.to_vec();
                for part in parts.iter().rev() {
                    self.add_following(part, &behind, follow);
                    behind = before(&self.texts(part), &behind);
                }
            }
            Node::Choice(parts) => parts.iter().for_each(|part| self.add_following(part, behind, follow)),
            Node::Repeat(part, _, Some(1)) => self.add_following(part, behind, follow),
            Node::Repeat(part, _, most) => {
                let alternatives = match &**part {
                    Node::Choice(parts) => &parts[..],
                    one => std::slice::from_ref(one),
                };
                let firsts: Vec<Characters> = alternatives.iter().map(|one| self.texts(one).first).collect();
                let with_all = united(firsts.iter().map(|first| &first[..]).chain([behind]));
                for one in alternatives {
                    match one {
                        // A rule that follows itself for as often as may be: its longest match mostly serves as well as several,
                        // which, written out, could be told apart in many ways.
                        Node::Rule(rule) if most.is_none() => {
                            let is_other = |other: &Node| !matches!(other, Node::Rule(other) if other == rule);
                            let others = alternatives.iter().zip(&firsts).filter(|(other, _)| is_other(other));
                            let behind = united(others.map(|(_, first)| &first[..]).chain([behind]));
                            self.add_following(one, &behind, follow);
                        }
                        _ => self.add_following(one, &with_all, follow),
                    }
                }
            }
        }
    }
}

fn characters(negated: bool, ranges: &[(char, char)]) -> Characters {
    let ranges: Characters = ranges.iter().map(|(first, last)| (u32::from(*first), u32::from(*last))).collect();
    let ranges = united([&ranges[..]]);
    if !negated {
        return ranges;
    }
    let mut others = Vec::new();
    let mut next = 0;
    for (first, last) in ranges {
        if next < first {
            others.push((next, first - 1));
        }
        next = last + 1;
    }
    if next <= LAST {
        others.push((next, LAST));
    }
    others
}

/// In order, and none beside or within another.
fn united<'a>(sets: impl IntoIterator<Item = &'a [(u32, u32)]>) -> Characters {
    let mut sorted: Characters = sets.into_iter().flatten().copied().collect();
    sorted.sort_unstable();
    let mut united: Characters = Vec::new();
    for (first, last) in sorted {
        match united.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => united.push((first, last)),
        }
    }
    united
}

fn meet(some: &[(u32, u32)], others: &[(u32, u32)]) -> bool {
    some.iter().any(|(first, last)| others.iter().any(|(from, to)| first <= to && from <= last))
}

#[cfg(test)]
mod tests {
    use super::super::gbnf::to_lark;

    /// Rules within each other, long sequences and long choices take no time that grows faster than they do, and no stack.
    #[test]
    fn large_grammars_are_looked_through_in_time() {
        let nested: String = (0..60).map(|n| format!("a{n} ::= (a{} a{} | a{})?\n", n + 1, n + 1, n + 1)).collect();
        let words: Vec<String> = (0..5000).map(|n| format!("\"w{n}\"")).collect();
        for (what, grammar) in [
            ("nested", format!("root ::= \"(\" root \")\" | a0 \"x\"\n{nested}a60 ::= [a-z]?")),
            ("a sequence", format!("root ::= \"(\" root \")\" | a b\na ::= {}\nb ::= [a-z]", "[a-c]? ".repeat(20_000))),
            ("a choice", format!("root ::= \"(\" root \")\" | (a b)*\na ::= {}\nb ::= \"!\"", words.join(" | "))),
        ] {
            let lark = to_lark(&grammar).expect(what);
            assert!(lark.starts_with("start: r0\n"), "{what}");
        }
    }
}

//! Which rules of a grammar can be terminals. llguidance matches a terminal as one regular expression, and takes the longest
//! text that it matches: fast, and right where no character that may go on with a match may also begin what follows it. A
//! rule of spaces before a line end is no terminal: it would take the line end, too.
//!
//! The sets here may hold more characters than they should: then a rule is written out where it need not be.

use super::gbnf::Node;

/// Ranges of characters, both ends within.
type Characters = Vec<(u32, u32)>;

const LAST: u32 = char::MAX as u32;

/// Whether each rule is a terminal, of those that are regular. Rule `root` begins every text.
pub(super) fn terminals(bodies: &[Node], root: usize, regular: &[bool]) -> Vec<bool> {
    let mut terminal = regular.to_vec();
    let Beginnings { first, is_empty } = Beginnings::of(bodies);
    let grammar = Grammar { bodies, first, is_empty };
    // What a rule is written out for may bring others to light.
    while !terminal[root] {
        let follow = grammar.follow(&terminal);
        let conflicts: Vec<usize> = (0..bodies.len())
            .filter(|&rule| terminal[rule] && meet(&grammar.goes_on(&bodies[rule]), &follow[rule]))
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

/// Of each rule the characters that its texts begin with, and whether it has the empty text.
struct Beginnings {
    first: Vec<Characters>,
    is_empty: Vec<bool>,
}

impl Beginnings {
    fn of(bodies: &[Node]) -> Self {
        let n = bodies.len();
        let mut grammar = Grammar { bodies, first: vec![Vec::new(); n], is_empty: vec![false; n] };
        loop {
            let mut is_changed = false;
            for (rule, body) in bodies.iter().enumerate() {
                let (first, is_empty) = (grammar.first(body), grammar.is_empty(body));
                is_changed |= first != grammar.first[rule] || is_empty != grammar.is_empty[rule];
                (grammar.first[rule], grammar.is_empty[rule]) = (first, is_empty);
            }
            if !is_changed {
                return Self { first: grammar.first, is_empty: grammar.is_empty };
            }
        }
    }
}

struct Grammar<'a> {
    bodies: &'a [Node],
    first: Vec<Characters>,
    is_empty: Vec<bool>,
}

impl Grammar<'_> {
    fn is_empty(&self, node: &Node) -> bool {
        match node {
            Node::Rule(rule) => self.is_empty[*rule],
            Node::Text(text) => text.is_empty(),
            Node::Class { .. } | Node::Token(_) => false,
            Node::Sequence(parts) => parts.iter().all(|part| self.is_empty(part)),
            Node::Choice(parts) => parts.iter().any(|part| self.is_empty(part)),
            Node::Repeat(part, least, most) => *least == 0 || *most == Some(0) || self.is_empty(part),
        }
    }

    /// The characters that texts of a node begin with. A token has none: it is told apart from all characters.
    fn first(&self, node: &Node) -> Characters {
        match node {
            Node::Rule(rule) => self.first[*rule].clone(),
            Node::Text(text) => text.chars().next().map(|c| (c.into(), c.into())).into_iter().collect(),
            Node::Class { negated, ranges } => of_class(*negated, ranges),
            Node::Token(_) | Node::Repeat(_, _, Some(0)) => Vec::new(),
            Node::Sequence(parts) => self.first_of(parts, &[]),
            Node::Choice(parts) => united(parts.iter().flat_map(|part| self.first(part))),
            Node::Repeat(part, ..) => self.first(part),
        }
    }

    /// Those of parts behind each other, with something behind them.
    fn first_of(&self, parts: &[Node], behind: &[(u32, u32)]) -> Characters {
        match parts {
            [] => behind.to_vec(),
            [part, rest @ ..] if self.is_empty(part) => {
                united(self.first(part).into_iter().chain(self.first_of(rest, behind)))
            }
            [part, ..] => self.first(part),
        }
    }

    /// The characters with which a text of a regular node can go on to a longer one.
    fn goes_on(&self, node: &Node) -> Characters {
        match node {
            Node::Rule(rule) => self.goes_on(&self.bodies[*rule]),
            Node::Text(_) | Node::Class { .. } | Node::Token(_) => Vec::new(),
            Node::Sequence(parts) => {
                let mut all = Vec::new();
                for (index, part) in parts.iter().enumerate().rev() {
                    let behind = self.first_of(&parts[index + 1..], &[]);
                    all.extend(self.goes_on(part).into_iter().chain(behind));
                    if !self.is_empty(part) {
                        break;
                    }
                }
                united(all)
            }
            Node::Choice(parts) => {
                let mut all: Characters = parts.iter().flat_map(|part| self.goes_on(part)).collect();
                for (index, part) in parts.iter().enumerate() {
                    let first = self.first(part);
                    let others: Vec<&Node> =
                        parts.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, other)| other).collect();
                    // A text of one may be the beginning of another's.
                    if others.iter().any(|other| meet(&first, &self.first(other))) {
                        all.extend(self.characters(part));
                    }
                    if others.iter().any(|other| self.is_empty(other)) {
                        all.extend(first);
                    }
                }
                united(all)
            }
            Node::Repeat(_, _, Some(0)) => Vec::new(),
            Node::Repeat(part, least, most) => {
                let goes_on = self.goes_on(part);
                let is_counted = *most == Some(*least) && goes_on.is_empty();
                united(goes_on.into_iter().chain(if is_counted { Vec::new() } else { self.first(part) }))
            }
        }
    }

    /// All characters of a regular node's texts.
    fn characters(&self, node: &Node) -> Characters {
        match node {
            Node::Rule(rule) => self.characters(&self.bodies[*rule]),
            Node::Text(text) => text.chars().map(|c| (c.into(), c.into())).collect(),
            Node::Class { negated, ranges } => of_class(*negated, ranges),
            Node::Token(_) => Vec::new(),
            Node::Sequence(parts) | Node::Choice(parts) => united(parts.iter().flat_map(|part| self.characters(part))),
            Node::Repeat(part, ..) => self.characters(part),
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
            Node::Rule(rule) => {
                let known = std::mem::take(&mut follow[*rule]);
                follow[*rule] = united(known.into_iter().chain(behind.iter().copied()));
            }
            Node::Text(_) | Node::Class { .. } | Node::Token(_) | Node::Repeat(_, _, Some(0)) => {}
            Node::Sequence(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    self.add_following(part, &self.first_of(&parts[index + 1..], behind), follow);
                }
            }
            Node::Choice(parts) => parts.iter().for_each(|part| self.add_following(part, behind, follow)),
            Node::Repeat(part, _, most) => {
                let alternatives = match &**part {
                    Node::Choice(parts) => &parts[..],
                    one => std::slice::from_ref(one),
                };
                for one in alternatives {
                    // A rule that follows itself for as often as may be: the longest match is as good as several.
                    let is_itself = |other: &Node| {
                        most.is_none() && matches!((one, other), (Node::Rule(one), Node::Rule(other)) if one == other)
                    };
                    let again = alternatives.iter().filter(|other| *most != Some(1) && !is_itself(other));
                    let behind = united(again.flat_map(|other| self.first(other)).chain(behind.iter().copied()));
                    self.add_following(one, &behind, follow);
                }
            }
        }
    }
}

fn of_class(negated: bool, ranges: &[(char, char)]) -> Characters {
    let ranges = united(ranges.iter().map(|(first, last)| (u32::from(*first), u32::from(*last))));
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
fn united(ranges: impl IntoIterator<Item = (u32, u32)>) -> Characters {
    let mut sorted: Characters = ranges.into_iter().collect();
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

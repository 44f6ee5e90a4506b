//! What a model thinks, told from what it answers, while the text streams: `<think>…</think>` and then the answer, or
//! [`Channels`]. A tag may be spread over parts, so a beginning of one is held back until it is clear what it is.

use super::channels::{self, Channels};

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// What a piece of the model's text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Thought before the answer.
    Reasoning,
    /// The answer.
    Answer,
}

/// Splits a stream of text. The tags themselves, and the empty lines around them, belong to neither part.
#[derive(Clone, Debug)]
pub struct ReasoningSplitter {
    state: State,
    /// Text of which it is not yet clear what it is: the beginning of a tag, or empty lines before one.
    held: String,
    /// Whether the part has had any text but empty lines.
    begun: bool,
    /// What takes the text instead, where it comes in channels.
    channels: Option<Channels>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but empty lines so far: the thought may begin, or the answer.
    Start,
    Reasoning,
    Answer,
}

impl ReasoningSplitter {
    /// For what follows `prompt`, which may have begun the thought, or ended it.
    pub fn after(prompt: &str) -> Self {
        let end = prompt.trim_end();
        let state = match () {
            () if end.ends_with(OPEN) => State::Reasoning,
            () if end.ends_with(CLOSE) => State::Answer,
            () => State::Start,
        };
        let channels = end.ends_with(channels::BEGIN).then(Channels::default);
        Self { state, held: String::new(), begun: false, channels }
    }

    /// Takes the next piece of text; gives what has become clear, in order.
    pub fn push(&mut self, text: &str) -> Vec<(Part, String)> {
        if let Some(channels) = &mut self.channels {
            return channels.push(text);
        }
        self.held.push_str(text);
        let mut parts = Vec::new();
        while let Some(part) = self.step() {
            parts.extend(part);
        }
        parts
    }

    /// The end of the text: what was held back is no tag.
    pub fn finish(&mut self) -> Vec<(Part, String)> {
        if let Some(channels) = &mut self.channels {
            return channels.finish();
        }
        let held = std::mem::take(&mut self.held);
        let part = if self.state == State::Reasoning { Part::Reasoning } else { Part::Answer };
        let text = if part == Part::Reasoning { held.trim_end() } else { &held };
        if text.is_empty() { Vec::new() } else { vec![(part, text.to_owned())] }
    }

    /// One step: `None` if more text is needed, else what it gave, if anything.
    fn step(&mut self) -> Option<Option<(Part, String)>> {
        if !self.begun {
            let text = self.held.trim_start_matches(['\n', '\r']);
            self.held.drain(..self.held.len() - text.len());
        }
        match self.state {
            State::Start => self.start(),
            State::Reasoning => self.reasoning(),
            State::Answer if self.held.is_empty() => None,
            State::Answer => {
                self.begun = true;
                Some(Some((Part::Answer, std::mem::take(&mut self.held))))
            }
        }
    }

    fn start(&mut self) -> Option<Option<(Part, String)>> {
        let text = self.held.trim_start();
        if text.starts_with(OPEN) {
            let n = self.held.len() - text.len() + OPEN.len();
            self.held.drain(..n);
            self.state = State::Reasoning;
        } else if OPEN.starts_with(text) {
            return None;
        } else {
            self.state = State::Answer;
        }
        Some(None)
    }

    fn reasoning(&mut self) -> Option<Option<(Part, String)>> {
        let (end, closed) = match self.held.find(CLOSE) {
            Some(at) => (at, true),
            None => (self.held.len() - beginning_of(CLOSE, &self.held), false),
        };
        // Empty lines before the tag are the tag's.
        let text = self.held[..end].trim_end_matches(['\n', '\r', ' ']);
        let n_text = text.len();
        let part = (n_text > 0).then(|| (Part::Reasoning, text.to_owned()));
        self.begun |= part.is_some();
        if closed {
            self.held.drain(..end + CLOSE.len());
            self.state = State::Answer;
            self.begun = false;
            return Some(part);
        }
        self.held.drain(..n_text);
        part.map(Some)
    }
}

/// How many bytes at the end of `text` are the beginning of `tag`.
pub(super) fn beginning_of(tag: &str, text: &str) -> usize {
    (1..tag.len()).rev().find(|&n| text.ends_with(&tag[..n])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (reasoning, answer) of a text that comes in pieces of so many characters.
    fn split(prompt: &str, text: &str, n: usize) -> (String, String) {
        let mut splitter = ReasoningSplitter::after(prompt);
        let (mut reasoning, mut answer) = (String::new(), String::new());
        let chars: Vec<char> = text.chars().collect();
        let mut parts: Vec<_> =
            chars.chunks(n).flat_map(|piece| splitter.push(&piece.iter().collect::<String>())).collect();
        parts.extend(splitter.finish());
        for (part, text) in parts {
            assert!(!text.is_empty());
            if part == Part::Reasoning { reasoning += &text } else { answer += &text }
        }
        (reasoning, answer)
    }

    #[test]
    fn thought_and_answer_are_told_apart_however_the_text_comes() {
        let cases = [
            (
                "…<｜Assistant｜>",
                "<think>\na < b\n\nso</thin k>\n</think>\n\nYes.\n\nNo.",
                "a < b\n\nso</thin k>",
                "Yes.\n\nNo.",
            ),
            ("…<think>\n", "Hm.\n</think>\n\nYes.", "Hm.", "Yes."),
            ("…<think>", "Hm", "Hm", ""),
            ("…<think>", "Hm </", "Hm </", ""),
            ("…</think>", "Yes <think> no", "", "Yes <think> no"),
            ("…", "Yes <think> no</think>", "", "Yes <think> no</think>"),
            ("…", "\n\n<think></think>ä", "", "ä"),
            ("…", "<thin", "", "<thin"),
            ("…", "<thing>x", "", "<thing>x"),
            ("…<think>", "</think></think>", "", "</think>"),
            ("…", "", "", ""),
            (
                "…<|start|>assistant",
                "<|channel|>analysis<|message|>Hm <b>.<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
                "Hm <b>.",
                "Yes.",
            ),
            (
                "…<|start|>assistant",
                "<|channel|>analysis<|message|>So<|end|><|start|>assistant<|channel|>commentary to=functions.f \
                 <|constrain|>json<|message|>{}<|call|>",
                "So",
                "<|channel|>commentary to=functions.f<|message|>{}<|call|>",
            ),
            (
                "…<|start|>assistant",
                " to=functions.f<|channel|>commentary json<|message|>{\"a\": 1}",
                "",
                "<|channel|>commentary to=functions.f<|message|>{\"a\": 1}",
            ),
            ("…<|start|>assistant", "<|channel|>commentary<|message|>I look.", "", "I look."),
            ("…<|start|>assistant", "<|channel|>analysis<|message|>Hm <|e", "Hm <|e", ""),
            ("…<|start|>assistant", "Plain.", "", "Plain."),
            ("…<|start|>assistant", "<|channel|>ana", "", ""),
        ];
        for (prompt, text, reasoning, answer) in cases {
            for n in [1, 2, 3, 5, 100] {
                assert_eq!(split(prompt, text, n), (reasoning.into(), answer.into()), "{prompt:?} {text:?} by {n}");
            }
        }
    }

    #[test]
    fn nothing_is_held_back_longer_than_needed() {
        let mut splitter = ReasoningSplitter::after("<think>");
        assert_eq!(splitter.push("abc <"), [(Part::Reasoning, "abc".to_owned())]);
        assert_eq!(splitter.push("b"), [(Part::Reasoning, " <b".to_owned())]);
        assert_eq!(splitter.push("</think>"), []);
        assert_eq!(splitter.push("\n\nA <"), [(Part::Answer, "A <".to_owned())]);
    }
}

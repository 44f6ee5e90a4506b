//! Answers in channels, as gpt-oss writes them: `<|channel|>analysis<|message|>…<|end|>` is thought, the channel `final`
//! is the answer, and a message `to=` a tool is a call, which stays in the answer for [`super::tool_calls`] to find.
//! Source: OpenAI's harmony response format.

use super::reasoning::{Part, beginning_of};

/// What a prompt ends with where channels follow.
pub(super) const BEGIN: &str = "<|start|>assistant";
const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
const ENDS: [&str; 3] = ["<|end|>", "<|call|>", "<|return|>"];
/// A longer head of a message is none: the model writes plain text.
const LONGEST_HEAD: usize = 256;

/// Splits a stream of messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Channels {
    /// Text of which it is not clear yet what it is.
    held: String,
    /// What the message is that is being written; none in what stands before one.
    part: Option<Part>,
    is_call: bool,
}

impl Channels {
    /// Takes the next piece of text; gives what has become clear, in order.
    pub(super) fn push(&mut self, text: &str) -> Vec<(Part, String)> {
        self.held += text;
        let mut parts = Vec::new();
        loop {
            let goes_on = match self.part {
                Some(part) => self.body(part, &mut parts),
                None => self.head(&mut parts),
            };
            if !goes_on {
                return parts;
            }
        }
    }

    /// The end of the text: what is left of a message belongs to it.
    pub(super) fn finish(&mut self) -> Vec<(Part, String)> {
        let held = std::mem::take(&mut self.held);
        let part = self.part.or((!held.contains("<|")).then_some(Part::Answer));
        part.filter(|_| !held.is_empty()).map(|part| (part, held)).into_iter().collect()
    }

    /// Reads what stands before a message; `false` if more text is needed.
    fn head(&mut self, parts: &mut Vec<(Part, String)>) -> bool {
        let Some(at) = self.held.find(MESSAGE) else {
            if self.held.len() > LONGEST_HEAD {
                self.part = Some(Part::Answer);
            }
            return self.part.is_some();
        };
        let body = self.held.split_off(at + MESSAGE.len());
        let head = std::mem::replace(&mut self.held, body);
        let channel = head.rsplit_once(CHANNEL).map_or("", |(_, channel)| channel);
        let to = head.split_once("to=").map(|(_, to)| to.split([' ', '<']).next().unwrap_or_default());
        self.is_call = to.is_some();
        self.part = Some(match to {
            None if channel.starts_with("analysis") => Part::Reasoning,
            _ => Part::Answer,
        });
        if let Some(to) = to {
            parts.push((Part::Answer, format!("{CHANNEL}commentary to={to}{MESSAGE}")));
        }
        true
    }

    /// Reads a message; `false` if more text is needed.
    fn body(&mut self, part: Part, parts: &mut Vec<(Part, String)>) -> bool {
        let end = ENDS.iter().filter_map(|end| Some((self.held.find(end)?, *end))).min();
        let held_back = || ENDS.iter().map(|end| beginning_of(end, &self.held)).max().unwrap_or(0);
        let n = end.map_or_else(|| self.held.len() - held_back(), |(at, _)| at);
        let rest = self.held.split_off(n);
        let mut text = std::mem::replace(&mut self.held, rest);
        if let Some((_, end)) = end {
            self.held.drain(..end.len());
            self.part = None;
            if self.is_call {
                text += ENDS[1];
            }
        }
        if !text.is_empty() {
            parts.push((part, text));
        }
        end.is_some()
    }
}

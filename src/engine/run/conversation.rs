//! A conversation with a model: turns rendered as it was trained to read them, of which only what is new is computed, and
//! the oldest of which are left out once they no longer fit. It knows what was said; the session knows what the cache holds.

use std::rc::Rc;

use crate::error::{Error, Result};
use crate::text::chat::{Called, Chat, Message, Part, ReasoningSplitter, RenderOptions, Role, ToolCall, tool_calls};
use crate::text::{Bos, Control, StopStrings, Stream, Tokenizer};

use super::generation::{Generation, Timings};
use super::sampling::Sampling;
use super::session::Session;

/// What was said, and how it is written for the model.
#[derive(Debug)]
pub struct Conversation {
    chat: Rc<Chat>,
    /// Whether the model thinks, how long, and with which tools; may change from turn to turn.
    pub options: RenderOptions,
    /// Texts that end an answer, and are left out of it.
    pub stop_strings: Vec<String>,
    /// What it begins with and never forgets: instructions, or what was said elsewhere.
    begin: Vec<Message>,
    turns: Vec<Turn>,
    /// Turns that have been left out.
    n_dropped: u32,
    /// Texts that were computed, the shortest first, and the ids that they were computed as. What a model writes need not be
    /// cut into tokens as the tokenizer would cut it, so its own ids are kept.
    computed: Vec<Written>,
}

/// A question, and its answer once there is one.
#[derive(Clone, Debug)]
struct Turn {
    question: Message,
    answer: Option<Message>,
}

/// A text and its ids.
#[derive(Clone, Debug, Default)]
struct Written {
    text: String,
    ids: Vec<u32>,
}

/// Turns that were left out for want of room, counted from 1 at the conversation's begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The first of them.
    pub first: u32,
    /// The last of them.
    pub last: u32,
    /// Tokens that they took.
    pub n_tokens: u32,
}

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.last - self.first {
            0 => write!(f, "dropped turn {}, {} tokens", self.first, self.n_tokens),
            _ => write!(f, "dropped turns {}-{}, {} tokens", self.first, self.last, self.n_tokens),
        }
    }
}

impl Conversation {
    /// One that begins with these instructions, or with none.
    #[must_use]
    pub fn new(chat: impl Into<Rc<Chat>>, system: Option<&str>, options: RenderOptions) -> Self {
        let mut conversation = Self {
            chat: chat.into(),
            options,
            stop_strings: Vec::new(),
            begin: Vec::new(),
            turns: Vec::new(),
            n_dropped: 0,
            computed: Vec::new(),
        };
        conversation.instruct(system);
        conversation
    }

    /// Changes the instructions that it begins with.
    pub fn instruct(&mut self, system: Option<&str>) {
        self.begin = system.map(|text| Message::new(Role::System, text)).into_iter().collect();
    }

    /// Makes it begin with messages from elsewhere, none of which is ever dropped. If the model has not answered the
    /// last of them yet, that one is returned, for [`Self::ask`].
    pub fn begin_with(&mut self, mut messages: Vec<Message>) -> Option<Message> {
        let is_answered = messages.last().is_none_or(|last| last.role == Role::Assistant && !last.unfinished);
        let last = if is_answered { None } else { messages.pop() };
        self.begin = messages;
        last
    }

    /// What speaks against the model as one to talk to, if anything does.
    #[must_use]
    pub fn doubt(chat: &Chat, tokenizer: &Tokenizer) -> Option<String> {
        let missing = chat.missing(tokenizer);
        let first = missing.first()?;
        Some(format!(
            "this model was not made for conversations: its vocabulary lacks {} of the tokens that they are written with, \
             {first} among them; what it writes will hardly be answers",
            missing.len()
        ))
    }

    /// Forgets all turns.
    pub fn clear(&mut self) {
        (self.turns, self.computed, self.n_dropped) = (Vec::new(), Vec::new(), 0);
    }

    /// Asks, and begins the answer of at most `n` tokens. Where there is no room for it and all turns before, the oldest
    /// are dropped, which [`Answer::dropped`] tells.
    ///
    /// # Errors
    /// When the question alone is too long, the template refuses it, or the adapter fails. The question is then not part
    /// of the conversation.
    pub async fn ask<'a>(
        &'a mut self,
        session: &'a mut Session,
        question: impl Into<Message>,
        sampling: &Sampling,
        n: usize,
    ) -> Result<Answer<'a>> {
        self.turns.retain(|turn| turn.answer.is_some());
        self.turns.push(Turn { question: question.into(), answer: None });
        self.answer(session, sampling, n).await
    }

    /// Writes the last answer once more.
    ///
    /// # Errors
    /// As for [`Self::ask`], and when nothing has been asked yet.
    pub async fn ask_again<'a>(
        &'a mut self,
        session: &'a mut Session,
        sampling: &Sampling,
        n: usize,
    ) -> Result<Answer<'a>> {
        match self.turns.last_mut() {
            Some(turn) => turn.answer = None,
            None => return Err(Error::usage("conversation", "no question yet").expected("one to answer again")),
        }
        self.answer(session, sampling, n).await
    }

    async fn answer<'a>(&'a mut self, session: &'a mut Session, sampling: &Sampling, n: usize) -> Result<Answer<'a>> {
        let (prompt, dropped, stream, stops) = match self.plan(session, sampling, n) {
            Ok(plan) => plan,
            Err(error) => {
                self.turns.retain(|turn| turn.answer.is_some());
                return Err(error);
            }
        };
        let generation = session.go_on(&prompt.ids, sampling, n, &stops).await?;
        Ok(Answer {
            stops: StopStrings::new(&self.stop_strings),
            conversation: self,
            generation,
            dropped,
            stream,
            splitter: ReasoningSplitter::after(&prompt.text),
            prompt,
            written: Written::default(),
            message: Message::new(Role::Assistant, ""),
        })
    }

    /// Everything that can be refused, before anything is computed.
    fn plan(
        &mut self,
        session: &Session,
        sampling: &Sampling,
        n: usize,
    ) -> Result<(Written, Option<Dropped>, Stream, Vec<u32>)> {
        sampling.check()?;
        let tokenizer = session.tokenizer().ok_or_else(|| {
            Error::usage("conversation", "the model's file has no vocabulary")
                .expected("a model that reads and writes text")
        })?;
        let (prompt, dropped) = self.fit(tokenizer, session.n_context(), n)?;
        Ok((prompt, dropped, tokenizer.stream(Control::Show), Chat::stops(tokenizer)))
    }

    /// The prompt of all turns that there is room for, with what had to go. Once there is no room for all, so many go
    /// that half of the context is free: otherwise the next turn would find it full again, and nothing could be reused.
    fn fit(&mut self, tokenizer: &Tokenizer, n_context: u32, n_wanted: usize) -> Result<(Written, Option<Dropped>)> {
        let n_answer = u32::try_from(n_wanted).unwrap_or(u32::MAX).min(n_context / 4).max(1);
        let most = n_context.saturating_sub(n_answer) as usize;
        let whole = self.write(tokenizer, 0)?;
        if whole.ids.len() <= most {
            return Ok((whole, None));
        }
        let last = self.turns.len() - 1;
        let shortest = self.write(tokenizer, last)?;
        if shortest.ids.len() > most {
            return Err(Error::usage("message", format!("{} tokens, with what stands around it", shortest.ids.len()))
                .expected(format!(
                    "at most {most}: the context has room for {n_context}, {n_answer} of them for the answer"
                ))
                .advice("Shorten it, or load the model with a larger context (-c)"));
        }
        let mut kept = (last, shortest);
        for first in 1..last {
            let written = self.write(tokenizer, first)?;
            if written.ids.len() <= n_context as usize / 2 {
                kept = (first, written);
                break;
            }
        }
        let (n_gone, written) = kept;
        self.turns.drain(..n_gone);
        let dropped = Dropped {
            first: self.n_dropped + 1,
            last: self.n_dropped + n_gone as u32,
            n_tokens: whole.ids.len().saturating_sub(written.ids.len()) as u32,
        };
        self.n_dropped = dropped.last;
        Ok((written, Some(dropped)))
    }

    /// The turns from number `first` on, as the model reads them.
    fn write(&self, tokenizer: &Tokenizer, first: usize) -> Result<Written> {
        let turns = self.turns[first..].iter().flat_map(|turn| [Some(&turn.question), turn.answer.as_ref()]);
        let messages: Vec<Message> = self.begin.iter().chain(turns.flatten()).cloned().collect();
        let text = self.chat.render(&messages, &self.options)?;
        let ids = match self.computed.iter().rev().find_map(|computed| continued(tokenizer, computed, &text)) {
            Some(ids) => ids?,
            None => tokenizer.encode(&text, Bos::AsModelSays)?,
        };
        Ok(Written { text, ids })
    }
}

/// The ids of a text that goes on from one that was computed; `None` if it does not, or not with a control token: only at
/// one can a text be cut without its tokens becoming others.
fn continued(tokenizer: &Tokenizer, computed: &Written, text: &str) -> Option<Result<Vec<u32>>> {
    let rest = text.strip_prefix(&computed.text)?;
    let rest = match tokenizer.encode(rest, Bos::Omit) {
        Ok(ids) => ids,
        Err(error) => return Some(Err(error)),
    };
    let joins = rest.first().is_none_or(|id| tokenizer.is_control(*id));
    joins.then(|| Ok([&computed.ids[..], &rest].concat()))
}

/// An answer being written.
pub struct Answer<'a> {
    conversation: &'a mut Conversation,
    generation: Generation<'a>,
    dropped: Option<Dropped>,
    stream: Stream,
    stops: StopStrings,
    splitter: ReasoningSplitter,
    prompt: Written,
    written: Written,
    message: Message,
}

/// An answer that is over.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What was held back until it was clear that no more comes.
    pub rest: Vec<(Part, String)>,
    /// The answer, and what was thought before it.
    pub message: Message,
    /// The tools that it calls, which also stand in the answer's text as the model wrote them.
    pub calls: Vec<ToolCall>,
    /// Its ids.
    pub ids: Vec<u32>,
    /// Whether the model or a stop string ended it; else the tokens wanted were written, the context was full, or it was stopped.
    pub has_ended: bool,
    /// What it took.
    pub timings: Timings,
}

impl Answer<'_> {
    /// Whose words the template left out, as some do without saying so: those of the instructions that the conversation begins
    /// with, or the person's last.
    #[must_use]
    pub fn left_out(&self) -> Option<Role> {
        let Conversation { begin, turns, .. } = &*self.conversation;
        // A template may take some words for its own, or write them otherwise; short ones lie in others.
        let is_left_out = |message: &&Message| {
            let words = message.content.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).take(64);
            let (long, short): (Vec<&str>, Vec<&str>) = words.partition(|word| word.chars().nth(3).is_some());
            let words = if long.is_empty() { short } else { long };
            !words.is_empty() && !words.iter().any(|word| self.prompt.text.contains(word))
        };
        let instructions = begin.iter().filter(|message| message.role == Role::System);
        let last = turns.last().map(|turn| &turn.question).filter(|question| question.role == Role::User);
        last.into_iter().chain(instructions).find(is_left_out).map(|message| message.role)
    }

    /// Turns that had to be left out for this one.
    #[must_use]
    pub fn dropped(&self) -> Option<Dropped> {
        self.dropped
    }

    /// What the next token makes clear of thought or answer, which may be nothing; `None` at the end.
    ///
    /// # Errors
    /// When the adapter fails.
    pub async fn next(&mut self) -> Result<Option<Vec<(Part, String)>>> {
        if self.stops.found().is_some() {
            return Ok(None);
        }
        let Some(id) = self.generation.next().await? else { return Ok(None) };
        self.written.ids.push(id);
        let text = self.stream.push(id);
        Ok(Some(self.take(&text)))
    }

    /// Tokens so far.
    #[must_use]
    pub fn n_tokens(&self) -> usize {
        self.written.ids.len()
    }

    fn take(&mut self, text: &str) -> Vec<(Part, String)> {
        self.written.text += text;
        let parts = self.splitter.push(&self.stops.push(text));
        self.keep(&parts);
        parts
    }

    fn keep(&mut self, parts: &[(Part, String)]) {
        for (part, text) in parts {
            match part {
                Part::Reasoning => self.message.reasoning += text,
                Part::Answer => self.message.content += text,
            }
        }
    }

    /// Ends the answer, where it is; so far it becomes part of the conversation.
    ///
    /// # Errors
    /// When the adapter fails.
    pub async fn finish(mut self) -> Result<Answered> {
        let text = self.stream.finish();
        let mut rest = self.take(&text);
        let mut held = self.splitter.push(&self.stops.finish());
        held.extend(self.splitter.finish());
        self.keep(&held);
        rest.extend(held);
        let has_ended = self.generation.has_ended() || self.stops.found().is_some();
        let timings = self.generation.finish().await?;
        let Self { conversation, prompt, written, message, .. } = self;
        let called = tool_calls(&message.content, &conversation.options.tools);
        if let Some(turn) = conversation.turns.last_mut() {
            turn.answer = Some(remembered(&message, &called));
        }
        let whole =
            Written { text: prompt.text.clone() + &written.text, ids: [&prompt.ids[..], &written.ids].concat() };
        conversation.computed = vec![prompt, whole];
        Ok(Answered { rest, message, calls: called.calls, ids: written.ids, has_ended, timings })
    }
}

/// An answer as the next turn shows it: with its calls as it wrote them, unless they were no part of its text.
fn remembered(message: &Message, called: &Called) -> Message {
    match called.apart {
        true => Message { content: called.text.clone(), tool_calls: called.calls.clone(), ..message.clone() },
        false => message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_in_a_channel_are_remembered_as_calls() {
        let remembered = |content: &str| {
            let message = Message { reasoning: "hm".into(), ..Message::new(Role::Assistant, content) };
            remembered(&message, &tool_calls(content, &[]))
        };
        let apart = remembered("I look.<|channel|>commentary to=functions.f<|message|>{\"a\": 1}");
        assert_eq!((&*apart.content, &*apart.reasoning, &*apart.tool_calls[0].name), ("I look.", "hm", "f"));
        let written = "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>";
        let as_written = remembered(written);
        assert!(as_written.content == written && as_written.tool_calls.is_empty());
    }
}

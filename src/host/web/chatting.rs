//! Conversations in the page: what the window asks and what comes back, and the worker's part in it.

use super::facts::Loaded;
use super::prompt_cache::PromptCache;
use super::protocol::{Event, Job, Settings};
use super::worker::sampling;
use crate::engine::run::conversation::Answered as Said;
use crate::engine::{Conversation, OpenModel};
use crate::error::{Error, Result};
use crate::measure::Report;
use crate::text::chat::{Message, Part, RenderOptions, Role, Transcript};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use web_time::Instant;

/// A turn of a conversation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Asking {
    /// None asks for the last answer again.
    pub(crate) question: Option<String>,
    /// Instructions that the conversation begins with; empty for none.
    pub(crate) system: String,
    /// Whether the model may think before it answers.
    pub(crate) thinking: bool,
    pub(crate) n_tokens: u32,
    pub(crate) sampling: Settings,
}

/// A turn of a conversation from elsewhere, as the page shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// `user`, `assistant`, `system`, `tool`, …
    pub(crate) role: String,
    pub(crate) text: String,
    pub(crate) thought: String,
}

/// What a token adds to an answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) thought: String,
    pub(crate) answer: String,
    /// What a person should know of this answer, as a sentence.
    pub(crate) note: Option<String>,
    pub(crate) n_tokens: u32,
    pub(crate) elapsed_ms: f64,
}

/// An answer that is over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub(crate) thought: String,
    pub(crate) answer: String,
    pub(crate) ids: Vec<u32>,
    pub(crate) dropped: Option<String>,
    /// Whether the model ended it, and if not, whether the person did.
    pub(crate) has_ended: bool,
    pub(crate) stopped: bool,
    /// Tokens of the whole prompt, and those of them that needed no running.
    pub(crate) n_prompt: u32,
    pub(crate) n_known: u32,
}

/// Whether one can talk with a model, and what speaks against it.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    pub(crate) conversation: Option<Conversation>,
    pub(crate) doubt: Option<String>,
    /// What is kept of it between visits.
    pub(super) kept: PromptCache,
    /// Whether it begins with messages from elsewhere, which have their own instructions.
    is_recalled: bool,
}

impl Talk {
    /// As the model's files say. A template that cannot be used leaves a model that can still continue texts.
    /// `id` is what the page calls a model that it keeps.
    pub(crate) fn open(open: &OpenModel, id: Option<String>) -> Self {
        let Some(tokenizer) = &open.tokenizer else { return Self::default() };
        match open.chat() {
            Ok(None) => Self::default(),
            Ok(Some(chat)) => {
                let doubt = Conversation::doubt(&chat, tokenizer);
                let options = RenderOptions { now: local_now(), ..RenderOptions::default() };
                let mut conversation = Conversation::new(chat, None, options);
                conversation.stop_strings.clone_from(&open.stop_strings);
                Self { conversation: Some(conversation), doubt, kept: PromptCache::new(id), is_recalled: false }
            }
            Err(error) => Self { doubt: Some(error.to_string()), ..Self::default() },
        }
    }

    /// All turns are over.
    pub(crate) fn forget(&mut self) {
        if let Some(conversation) = &mut self.conversation {
            conversation.clear();
            conversation.options.now = local_now();
            if std::mem::take(&mut self.is_recalled) {
                conversation.instruct(None);
                conversation.options.tools.clear();
                conversation.options.arguments.clear();
            }
        }
    }

    /// Begins again with messages from elsewhere, as JSON; gives them, as [`Event::Recalled`].
    ///
    /// # Errors
    /// What is no list of messages; a model that has no conversations.
    pub(crate) fn recall(&mut self, job: Job, json: &str) -> Result<Event> {
        let Transcript { messages, tools, arguments, unread } = Transcript::from_json(json)?;
        self.forget();
        let conversation = self.conversation.as_mut().ok_or_else(no_conversation)?;
        let turn = |message: &Message| Turn {
            role: message.role.name().to_owned(),
            text: message.content.clone(),
            thought: message.reasoning.clone(),
        };
        let mut said: Vec<Turn> = messages.iter().map(turn).collect();
        let open = conversation.begin_with(messages).map_or_else(String::new, |open| {
            said.pop();
            open.content
        });
        (conversation.options.tools, conversation.options.arguments) = (tools, arguments);
        let thinking = conversation.options.asked_to_think();
        self.is_recalled = true;
        Ok(Event::Recalled { job, said, open, unread, thinking })
    }
}

/// The visitor's own time for templates that write the date, as seconds since 1970 of a clock that has no zones. It stands
/// still within a conversation, so that what was computed of it stays good.
fn local_now() -> u64 {
    let date = js_sys::Date::new_0();
    (date.get_time() / 1000.0 - date.get_timezone_offset() * 60.0).max(1.0) as u64
}

fn no_conversation() -> Error {
    Error::usage("model", "no chat template: it was made to continue texts, not to answer")
        .advice("Let it continue a text, or open the model's instruct or chat form.")
}

/// Answers a turn, and hands out each piece of the answer as it comes.
pub(crate) async fn answer(
    loaded: &mut Loaded,
    asking: &Asking,
    stop: &Cell<bool>,
    post: impl Fn(Event),
) -> Result<(Answered, Box<Report>)> {
    let begun = Instant::now();
    let is_recalled = loaded.talk.is_recalled;
    let conversation = loaded.talk.conversation.as_mut().ok_or_else(no_conversation)?;
    if !is_recalled {
        conversation.instruct(Some(asking.system.as_str()).filter(|system| !system.trim().is_empty()));
    }
    // What the person sees there is what counts.
    conversation.options.insist_on(asking.thinking);
    let (sampling, n) = (sampling(asking.sampling), asking.n_tokens as usize);
    let mut answer = match &asking.question {
        Some(question) => conversation.ask(&mut loaded.session, question.as_str(), &sampling, n).await?,
        None => conversation.ask_again(&mut loaded.session, &sampling, n).await?,
    };
    let dropped = answer.dropped().map(|dropped| dropped.to_string());
    let left_out = answer.left_out().map(|role| match role {
        Role::User => "The model's template leaves out what was asked.",
        _ => "The model's template leaves out the instructions: they have no effect.",
    });
    let full = dropped.as_ref().map(|dropped| format!("The context is full: {dropped}."));
    post(Event::Answering(Piece { note: full.or(left_out.map(str::to_owned)), ..Piece::default() }));
    while !stop.get() {
        let Some(parts) = answer.next().await? else { break };
        let elapsed_ms = begun.elapsed().as_secs_f64() * 1e3;
        let mut piece = Piece { n_tokens: answer.n_tokens() as u32, elapsed_ms, ..Piece::default() };
        for (part, text) in parts {
            match part {
                Part::Reasoning => piece.thought += &text,
                Part::Answer => piece.answer += &text,
            }
        }
        post(Event::Answering(piece));
    }
    let stopped = stop.get();
    let Said { message, ids, has_ended, timings, .. } = answer.finish().await?;
    let answered = Answered {
        thought: message.reasoning,
        answer: message.content,
        ids,
        dropped,
        has_ended,
        stopped,
        n_prompt: timings.n_prompt,
        n_known: timings.n_known,
    };
    Ok((answered, Box::new(loaded.report(&sampling, asking.n_tokens, &timings))))
}

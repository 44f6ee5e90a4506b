//! What was said in the page's conversation, as signals; and how a script takes part in it.

use super::LinkHandle;
use super::controls::Controls;
use super::state::{Page, Run, Status};
use crate::host::web::chatting::{Answered, Asking, Piece, Turn};
use leptos::prelude::*;
use serde::Serialize;

/// A turn on the page: a question, or an answer as far as it has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Said {
    pub(crate) is_answer: bool,
    /// Who speaks, where it is neither the person nor the model.
    pub(crate) speaker: Option<String>,
    pub(crate) text: String,
    /// What was thought before the answer.
    pub(crate) thought: String,
    /// What a person should know of it.
    pub(crate) note: Option<String>,
    /// How it ended, where not by itself.
    pub(crate) end: Option<&'static str>,
    pub(crate) is_coming: bool,
}

/// The conversation. Signals are handles, so this is copied freely.
#[derive(Clone, Copy)]
pub(crate) struct Talk {
    /// Whether the desk shows it, and not the text that is continued.
    pub(crate) open: RwSignal<bool>,
    pub(crate) said: RwSignal<Vec<Said>>,
    /// What the person is about to say, and the instructions.
    pub(crate) draft: RwSignal<String>,
    pub(crate) system: RwSignal<String>,
    pub(crate) thinking: RwSignal<bool>,
    /// The last answer's figures.
    pub(crate) run: RwSignal<Option<Run>>,
    /// Tokens of its prompt that were in the cache, and of the whole prompt.
    pub(crate) known: RwSignal<(u32, u32)>,
}

impl Talk {
    /// Nothing has been said.
    pub(crate) fn new() -> Self {
        Self {
            open: RwSignal::new(false),
            said: RwSignal::new(Vec::new()),
            draft: RwSignal::new(String::new()),
            system: RwSignal::new(String::new()),
            thinking: RwSignal::new(true),
            run: RwSignal::new(None),
            known: RwSignal::default(),
        }
    }

    /// All turns are over; what the person is about to say stays.
    pub(crate) fn forget(self) {
        self.said.set(Vec::new());
        self.run.set(None);
        self.known.set((0, 0));
    }

    /// A conversation from elsewhere goes on here.
    pub(crate) fn recall(self, said: Vec<Turn>, open: String, thinking: Option<bool>) {
        thinking.into_iter().for_each(|thinking| self.thinking.set(thinking));
        let turn = |turn: Turn| Said {
            is_answer: turn.role == "assistant",
            text: turn.text,
            thought: turn.thought,
            speaker: (!matches!(&*turn.role, "user" | "assistant")).then_some(turn.role),
            ..Said::default()
        };
        self.said.set(said.into_iter().map(turn).collect());
        self.draft.set(open);
    }

    /// A question was sent, or the last answer is asked for again.
    pub(crate) fn begin(self, question: Option<&str>) {
        self.run.set(Some(Run::default()));
        self.said.update(|said| {
            match question {
                Some(question) => said.push(Said { text: question.to_owned(), ..Said::default() }),
                None => drop(said.pop_if(|last| last.is_answer)),
            }
            said.push(Said { is_answer: true, is_coming: true, ..Said::default() });
        });
    }

    /// An answer goes on.
    pub(crate) fn append(self, piece: &Piece) {
        self.update_last(|last| {
            last.thought += &piece.thought;
            last.text += &piece.answer;
            last.note = last.note.take().or_else(|| piece.note.clone());
        });
        if piece.n_tokens > 0 {
            self.run.update(|run| run.iter_mut().for_each(|run| run.count(piece.n_tokens, piece.elapsed_ms)));
        }
    }

    /// An answer is over.
    pub(crate) fn end(self, answered: Answered) {
        self.known.set((answered.n_known, answered.n_prompt));
        self.update_last(|last| {
            last.end = match (answered.has_ended, answered.stopped) {
                (true, _) => None,
                (_, true) => Some("Stopped by you."),
                _ => Some("Cut off: no more tokens were allowed, or there is no more room."),
            };
            (last.thought, last.text, last.is_coming) = (answered.thought, answered.answer, false);
        });
    }

    /// An answer did not come. Its question was not taken into the conversation, and goes back to where it was typed.
    pub(crate) fn fail(self) {
        let is_coming = self.said.with_untracked(|said| said.last().is_some_and(|last| last.is_coming));
        if is_coming {
            let mut question = None;
            self.said.update(|said| {
                said.pop();
                question = said.pop();
            });
            let text = question.map(|question| question.text).unwrap_or_default();
            self.draft.update(|draft| {
                if draft.is_empty() {
                    *draft = text;
                }
            });
        }
    }

    fn update_last(self, change: impl FnOnce(&mut Said)) {
        self.said.update(|said| {
            if let Some(last) = said.last_mut().filter(|last| last.is_coming) {
                change(last);
            }
        });
    }
}

/// Sends what was typed, or asks for the last answer again.
pub(crate) fn send(page: Page, link: LinkHandle, controls: RwSignal<Controls>, again: bool) {
    let talk = page.talk;
    let draft = talk.draft.get_untracked();
    let nothing = if again { talk.said.with_untracked(Vec::is_empty) } else { draft.trim().is_empty() };
    if page.status.get_untracked() != Status::Ready || nothing {
        return;
    }
    let question = (!again).then_some(draft);
    if !again {
        talk.draft.set(String::new());
    }
    let (n_tokens, sampling) = controls.with_untracked(Controls::settings);
    let (system, thinking) = (talk.system.get_untracked(), talk.thinking.get_untracked());
    link.with_value(|link| drop(link.chat(Asking { question, system, thinking, n_tokens, sampling })));
}

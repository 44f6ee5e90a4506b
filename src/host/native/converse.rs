//! `headstart run --conversation`: turns from stdin, answers on stdout, alone; thoughts, notices and timings on stderr.

use super::arguments::{self, Reasoning};
use super::model_files::{self, Named};
use super::new_file::{NewFile, refuse_to_replace};
use super::progress::Progress;
use super::prompt_cache::PromptCache;
use super::run::{load, sampling, tell_seed};
use super::terminal::{dimmed, visible};
use super::text_out::TextOut;
use super::{Ending, choice, ending, interrupt, json, platform, prompt};
use crate::engine::run::conversation::Answered;
use crate::engine::{Conversation, Sampling, Session, Timings};
use crate::error::{Error, ErrorKind, Result};
use crate::format::directory::shown;
use crate::measure::Report;
use crate::measure::panel::{figures, millis};
use crate::measure::report::{ModelFacts, SamplingSettings, Settings, TextTimes};
use crate::text::chat::{Chat, Message, Part, RenderOptions, Role, Transcript};
use std::io::IsTerminal;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// How soon a wish to end is heard while a line is waited for.
const HEARS_EVERY: Duration = Duration::from_millis(50);

/// A conversation at a terminal, or over pipes.
struct Talk {
    session: Session,
    conversation: Conversation,
    sampling: Sampling,
    n_most: usize,
    reasoning: Reasoning,
    out: TextOut,
    /// What the last answer took.
    timings: Option<Timings>,
}

/// What a line of stdin asks for.
#[derive(Debug, PartialEq, Eq)]
enum Turn<'a> {
    Nothing,
    Exit,
    Clear,
    Again,
    Help,
    /// What looks like a command and is none.
    Unknown(&'a str),
    Say(&'a str),
    /// Of no line, but of a file: the message that the model has not answered.
    Open(Box<Message>),
}

impl<'a> Turn<'a> {
    fn of(line: &'a str) -> Self {
        match line.trim() {
            "" => Self::Nothing,
            "/exit" | "/quit" => Self::Exit,
            "/clear" => Self::Clear,
            "/regen" => Self::Again,
            "/help" | "/?" => Self::Help,
            word if is_command(word) => Self::Unknown(word),
            _ => Self::Say(line),
        }
    }
}

/// A line of one word of letters behind a `/`; a path or a sentence is none.
fn is_command(word: &str) -> bool {
    word.strip_prefix('/').is_some_and(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic()))
}

/// What a person may type in place of a turn.
const COMMANDS: &str = "/regen answers again, /clear forgets all turns, /help shows this, /exit or Ctrl-D ends; a \\ at \
                        the end of a line goes on with the next one";

/// Carries out the command.
pub(super) fn converse(arguments: &arguments::Run) -> Result<Ending> {
    let model = model_files::open(arguments.model.path()?.as_deref())?;
    let (chat, doubt, mut stop_strings) = pollster::block_on(chat(&model))?;
    let choice = choice::one(arguments.adapter.as_deref())?;
    let first = prompt::first_turn(arguments)?;
    let cache = PromptCache::new(arguments.prompt_cache.as_deref(), &model)?;
    let transcript = arguments.talk.messages.as_deref().map(prompt::read_messages).transpose()?;
    refuse_to_replace(prompt::files_read(arguments), arguments.report.as_deref())?;
    // Begun now, so that a place that cannot be written to is found before the work and not after.
    let file = arguments.report.as_deref().map(NewFile::create).transpose()?;
    let sha256 = if file.is_some() { model_files::hash(&model)? } else { None };
    let session = pollster::block_on(load(&model, &arguments.model, choice))?;
    if let Some(doubt) = doubt {
        eprintln!("headstart: {doubt}");
    }
    let reasoning = arguments.talk.reasoning.unwrap_or_default();
    let Transcript { messages, tools, arguments: asked, unread } = transcript.unwrap_or_default();
    if !unread.is_empty() {
        let unread: Vec<_> = unread.iter().map(|key| shown(key)).collect();
        eprintln!(
            "headstart: beside the messages these are not read, and are for options to say: {}",
            unread.join(", ")
        );
    }
    let thinking = reasoning != Reasoning::None;
    let mut options = RenderOptions { thinking, tools, arguments: asked, ..RenderOptions::default() };
    // What the command line says goes before what a file asks for.
    if arguments.talk.reasoning.is_some() {
        options.insist_on(thinking);
    }
    let mut conversation = Conversation::new(chat, arguments.talk.system.as_deref(), options);
    stop_strings.extend(arguments.ending.stop_strings());
    conversation.stop_strings = stop_strings;
    let open = if messages.is_empty() { None } else { conversation.begin_with(messages) };
    let mut talk = Talk {
        n_most: arguments.n_predict.unwrap_or(u32::MAX).min(session.n_context()) as usize,
        session,
        conversation,
        sampling: sampling(arguments, &model)?,
        reasoning,
        out: TextOut::to_stdout(),
        timings: None,
    };
    tell_seed(&arguments.sampling, &talk.sampling);
    if let Some(cache) = &cache {
        pollster::block_on(cache.recall(&mut talk.session))?;
    }
    let mut ended = talk.hold(open, first, arguments.talk.single_turn);
    if let (Some(cache), Ok(())) = (&cache, &ended) {
        ended = pollster::block_on(cache.keep(&mut talk.session));
    }
    // Written also where a turn failed: what the turns before took is worth keeping.
    if let (Some(mut file), Some(timings)) = (file, &talk.timings) {
        let facts = ModelFacts { sha256, ..ModelFacts::new(&talk.session, &model.name, model.bytes) };
        file.write(json(&talk.report(facts, timings, arguments.model.shader_checks))?.as_bytes())?;
        file.finish()?;
    }
    ended.map(|()| ending())
}

/// How the model's files want conversations written, what speaks against holding one, and the texts that end an answer;
/// before any weights are read.
async fn chat(model: &Named) -> Result<(Rc<Chat>, Option<String>, Vec<String>)> {
    let open = model.files.open().await?;
    let tokenizer = open.tokenizer.as_deref().ok_or_else(|| {
        // One that is there and of no use is among what was noticed.
        open.notices.iter().for_each(|notice| eprintln!("headstart: {}", visible(notice)));
        Error::usage(format!("model {}", model.name), "its file has no vocabulary").expected("a model that can write")
    })?;
    let chat = open.chat()?.ok_or_else(|| {
        open.notices.iter().for_each(|notice| eprintln!("headstart: {}", visible(notice)));
        Error::usage(format!("model {}", model.name), "no chat template: it was made to continue texts, not to answer")
            .expected("a template in the file (tokenizer.chat_template, or tokenizer_config.json), or a DeepSeek V4")
            .advice("Leave out -cnv to let it continue a text, or take the model's instruct or chat form")
    })?;
    let doubt = Conversation::doubt(&chat, tokenizer);
    Ok((chat, doubt, open.stop_strings.clone()))
}

/// The lines of stdin, read on a thread of its own: while one is waited for, a wish to end is heard.
struct Turns {
    wanted: SyncSender<()>,
    lines: Receiver<Result<Option<String>>>,
}

impl Turns {
    fn of_stdin(are_typed: bool) -> Result<Self> {
        let (wanted, wishes) = sync_channel(1);
        let (to, lines) = sync_channel(1);
        let read = move || {
            while wishes.recv().is_ok() && to.send(prompt::read_turn(&mut std::io::stdin().lock(), are_typed)).is_ok() {
            }
        };
        std::thread::Builder::new().spawn(read).map_err(|error| Error::io("stdin", error))?;
        Ok(Self { wanted, lines })
    }

    /// The next one; `None` where there are no more, or where all is to end. The thread is then left waiting.
    fn next(&self) -> Result<Option<String>> {
        if self.wanted.send(()).is_err() {
            return Ok(None);
        }
        while !interrupt::asked() {
            match self.lines.recv_timeout(HEARS_EVERY) {
                Ok(line) => return line,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(None)
    }
}

impl Talk {
    /// Answers what was left open elsewhere, and takes turns until there are no more.
    fn hold(&mut self, open: Option<Message>, first: Option<String>, single_turn: bool) -> Result<()> {
        // From the first turn to the last: what was done until the end is kept.
        let _watch = interrupt::watch();
        if let Some(open) = open {
            self.answer(Turn::Open(Box::new(open)))?;
            if single_turn || interrupt::asked() {
                return Ok(());
            }
        }
        if let Some(first) = first.filter(|first| !first.trim().is_empty()) {
            self.out.show_prompt(&format!("> {first}\n"));
            self.answer(Turn::Say(&first))?;
            if single_turn {
                return Ok(());
            }
        }
        let asks = std::io::stdin().is_terminal();
        let turns = Turns::of_stdin(asks && cfg!(unix))?;
        if asks {
            eprintln!("headstart: {COMMANDS}");
        }
        while !self.out.is_closed() && !interrupt::asked() {
            if asks {
                eprint!("\n> ");
            }
            let line = match turns.next() {
                Err(error) if asks && error.kind == ErrorKind::Usage => {
                    eprintln!("headstart: {error}");
                    continue;
                }
                line => line?,
            };
            let Some(line) = line else { break };
            match Turn::of(&line) {
                Turn::Nothing => {}
                Turn::Exit => break,
                Turn::Help => eprintln!("headstart: {COMMANDS}"),
                Turn::Unknown(word) => eprintln!("headstart: there is no command {word}: {COMMANDS}"),
                Turn::Clear => {
                    self.conversation.clear();
                    eprintln!("headstart: all turns are forgotten");
                }
                turn => match self.answer(turn) {
                    // A person can say it otherwise; a script has to know.
                    Err(error) if asks && error.kind == ErrorKind::Usage => eprintln!("headstart: {error}"),
                    answered => {
                        answered?;
                        if single_turn {
                            break;
                        }
                    }
                },
            }
        }
        if self.timings.is_none() && !asks && !interrupt::asked() {
            eprintln!("headstart: nothing was asked: no turn came, and no message waits for an answer");
        }
        Ok(())
    }

    /// Asks, or asks again, and shows the answer as it comes.
    fn answer(&mut self, turn: Turn<'_>) -> Result<()> {
        let answered = pollster::block_on(self.write(turn))?;
        let left_off = interrupt::was_asked();
        self.out.write("\n")?;
        for call in &answered.calls {
            aside(&format!("[calls the tool {} with {}]", call.name, call.arguments));
        }
        aside(&summary(&answered, left_off));
        self.timings = Some(answered.timings);
        Ok(())
    }

    async fn write(&mut self, turn: Turn<'_>) -> Result<Answered> {
        let spinner = Progress::spinner("reading".to_owned());
        let mut answer = match turn {
            Turn::Say(text) => self.conversation.ask(&mut self.session, text, &self.sampling, self.n_most).await?,
            Turn::Open(message) => {
                self.conversation.ask(&mut self.session, *message, &self.sampling, self.n_most).await?
            }
            _ => {
                // The same random numbers would write the same answer.
                self.sampling.seed = self.sampling.seed.wrapping_add(1);
                self.conversation.ask_again(&mut self.session, &self.sampling, self.n_most).await?
            }
        };
        drop(spinner);
        if let Some(dropped) = answer.dropped() {
            eprintln!("headstart: the context is full: {dropped}");
        }
        match answer.left_out() {
            Some(Role::User) => eprintln!("headstart: the model's template leaves out what was asked"),
            Some(_) if self.timings.is_none() => {
                eprintln!("headstart: the model's template leaves out the system message: it has no effect");
            }
            _ => {}
        }
        let mut show = Show { out: &mut self.out, reasoning: self.reasoning, thinks: false, spinner: None };
        while !interrupt::asked() && !show.out.is_closed() {
            let Some(parts) = answer.next().await? else { break };
            show.parts(&parts)?;
        }
        let answered = answer.finish().await?;
        show.parts(&answered.rest)?;
        show.end_thought();
        Ok(answered)
    }

    /// The figures of the last answer.
    fn report(&self, facts: ModelFacts, timings: &Timings, shader_checks: bool) -> Report {
        let settings = Settings { shader_checks, ..Settings::default() };
        let mut report = Report::of_session(platform::platform(), &self.session, facts, settings);
        let on_cpu = matches!(self.session.choice(), crate::engine::ExecutorChoice::Cpu);
        let sampling = SamplingSettings::new(&self.sampling, self.n_most as u32);
        report.text = Some(TextTimes::new(sampling, timings, on_cpu));
        report
    }
}

/// Where the parts of an answer go.
struct Show<'a> {
    out: &'a mut TextOut,
    reasoning: Reasoning,
    /// Whether the last that was shown is a thought, whose line has not ended.
    thinks: bool,
    /// What a person sees while it thinks unseen.
    spinner: Option<Progress>,
}

impl Show<'_> {
    fn parts(&mut self, parts: &[(Part, String)]) -> Result<()> {
        for (part, text) in parts {
            match (part, self.reasoning) {
                (Part::Answer, _) => {
                    self.end_thought();
                    self.out.write(text)?;
                }
                (Part::Reasoning, Reasoning::Hide) => {
                    self.spinner.get_or_insert_with(|| Progress::spinner("thinking".to_owned()));
                }
                (Part::Reasoning, _) => {
                    self.thinks = true;
                    eprint!("{}", dimmed(text));
                }
            }
        }
        Ok(())
    }

    fn end_thought(&mut self) {
        self.spinner = None;
        if std::mem::take(&mut self.thinks) {
            eprintln!("\n");
        }
    }
}

/// What an answer took, in a line.
fn summary(answered: &Answered, left_off: bool) -> String {
    let timings = &answered.timings;
    let n_computed = timings.n_prompt - timings.n_known.min(timings.n_prompt);
    let n_written = answered.ids.len();
    let rate = match timings.n_decoded {
        0 => String::new(),
        n => format!(", {} tokens/s", figures(f64::from(n) * 1e3 / timings.decode_ms.max(0.001))),
    };
    let how = match (answered.has_ended, left_off) {
        (true, _) => "",
        (_, true) => "; stopped",
        _ => "; cut off, as there is no room or -n allows no more",
    };
    let (n_known, read) = (timings.n_known, millis(timings.prefill_ms));
    format!("[{n_computed} tokens read in {read}, {n_known} known before; {n_written} written{rate}{how}]")
}

/// A line beside the conversation.
fn aside(text: &str) {
    eprintln!("{}", dimmed(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_whole_lines() {
        assert_eq!((Turn::of(" /exit "), Turn::of("/quit")), (Turn::Exit, Turn::Exit));
        assert_eq!(Turn::of("/regen"), Turn::Again);
        assert_eq!(Turn::of("/clear"), Turn::Clear);
        assert_eq!(Turn::of("  "), Turn::Nothing);
        assert_eq!((Turn::of("/help"), Turn::of("/exti")), (Turn::Help, Turn::Unknown("/exti")));
        for line in ["/", "/1", "/exit now", "/tmp/clear", "exit", " say "] {
            assert_eq!(Turn::of(line), Turn::Say(line));
        }
    }
}

//! `headstart eval`: a model held against given tokens: how well it predicts them, its logits, its greedy
//! continuation. The results go to stdout, so that anyone can hold them against another engine's.

use super::model_files::Named;
use super::new_file::refuse_to_replace;
use super::npy::NpyWriter;
use super::progress::Progress;
use super::run::load;
use super::{Ending, arguments, choice, ending, interrupt, json, model_files, prompt, write_out};
use crate::engine::{Sampling, Session};
use crate::error::{Error, Result};
use crate::measure::panel::{Row, text};
use crate::measure::report::{ModelFacts, SCHEMA};
use crate::measure::{AdapterFacts, Score};
use crate::text::Control;
use serde::Serialize;

/// The results, as `--json` writes them.
#[derive(Debug, Serialize)]
struct Evaluation {
    schema: u32,
    program: &'static str,
    adapter: AdapterFacts,
    model: ModelFacts,
    n_tokens: usize,
    /// Pieces that fit the context, each begun from nothing.
    n_windows: usize,
    /// The token that each window begins with; absent where the model or the ids have none.
    bos: Option<u32>,
    /// Tokens that were predicted: all but the first of each window.
    n_scored: u64,
    /// Bytes that the scored tokens spell; absent where ids were given.
    n_bytes: Option<u64>,
    nats_per_token: Option<f64>,
    perplexity: Option<f64>,
    bits_per_byte: Option<f64>,
    /// The likeliest continuation.
    greedy: Option<Vec<u32>>,
}

/// Carries out the command.
pub(super) fn eval(arguments: &arguments::Eval) -> Result<Ending> {
    let model = model_files::open(arguments.model.path()?.as_deref())?;
    let (tokens, logits) = (&arguments.tokens, arguments.logits.as_deref());
    refuse_to_replace(tokens.file.iter().chain(&tokens.ids_file), logits)?;
    let given = Given::read(tokens)?;
    let choice = choice::one(arguments.adapter.as_deref())?;
    let evaluation = pollster::block_on(async {
        let mut session = load(&model, &arguments.model, choice).await?;
        evaluate(&mut session, &model, &given, arguments).await
    });
    let evaluation = match evaluation {
        // An end that was asked for is no fault; there is no result to show.
        Err(_) if interrupt::asked() => return Ok(ending()),
        evaluation => evaluation?,
    };
    let shown = if arguments.json { json(&evaluation)? } else { evaluation.lines() };
    write_out(shown.as_bytes())?;
    Ok(ending())
}

/// What the model is held against.
enum Given {
    Text(String),
    Ids(Vec<u32>),
}

impl Given {
    fn read(tokens: &arguments::Tokens) -> Result<Self> {
        match (&tokens.file, &tokens.ids, &tokens.ids_file) {
            (Some(path), ..) => prompt::read_file(path).map(prompt::without_line_end).map(Self::Text),
            (_, Some(ids), _) => prompt::parse_ids(ids).map(Self::Ids),
            (.., Some(path)) => prompt::parse_ids(&prompt::read_file(path)?).map(Self::Ids),
            _ => Err(Error::usage("eval", "no tokens").expected("-f, --ids or --ids-file")),
        }
    }

    fn ids(&self, session: &Session) -> Result<Vec<u32>> {
        let ids = match self {
            Self::Text(text) => prompt::encode(session.tokenizer(), text)?,
            Self::Ids(ids) => ids.clone(),
        };
        prompt::check_ids(&ids, session.outline().n_vocab)?;
        Ok(ids)
    }
}

async fn evaluate(
    session: &mut Session,
    model: &Named,
    given: &Given,
    arguments: &arguments::Eval,
) -> Result<Evaluation> {
    let ids = given.ids(session)?;
    let n_context = session.n_context() as usize;
    check_room(ids.len(), arguments.greedy as usize, n_context)?;
    let _watch = interrupt::watch();
    let windows = Windows::new(&ids, session.tokenizer().and_then(|tokenizer| tokenizer.special().bos), n_context);
    let Scored { score, n_read, n_windows, ids: scored } = score(session, &windows, arguments).await?;
    let greedy = if arguments.greedy > 0 && !interrupt::asked() {
        Some(greedy(session, &ids, arguments.greedy).await?)
    } else {
        None
    };
    let n_bytes = match (given, session.tokenizer()) {
        (Given::Text(_), Some(tokenizer)) => {
            Some(scored.iter().map(|&id| tokenizer.n_bytes(id, Control::Hide) as u64).sum())
        }
        _ => None,
    };
    Ok(Evaluation {
        schema: SCHEMA,
        program: env!("CARGO_PKG_VERSION"),
        adapter: AdapterFacts::of_session(session),
        model: ModelFacts::new(session, &model.name, model.bytes),
        n_tokens: n_read,
        n_windows,
        bos: windows.bos,
        n_scored: score.n_tokens,
        n_bytes,
        nats_per_token: score.nats_per_token(),
        perplexity: score.perplexity(),
        bits_per_byte: n_bytes.and_then(|n_bytes| score.bits_per_byte(n_bytes)),
        greedy,
    })
}

/// A continuation needs all of the tokens before it, and room after them.
fn check_room(n_tokens: usize, n_greedy: usize, n_context: usize) -> Result<()> {
    if n_greedy == 0 || n_tokens.saturating_add(n_greedy) <= n_context {
        return Ok(());
    }
    Err(Error::usage("--greedy", format!("{n_greedy} tokens after {n_tokens}"))
        .expected(format!("at most {n_context} together, which is what the context has room for"))
        .advice("Give fewer, or make more room with -c, up to what the model was trained for."))
}

/// Tokens cut into pieces that fit the context. Where they begin with the model's BOS token every piece does: the same token
/// is then at hand to predict the first one of each, as in llama.cpp and transformers.
struct Windows<'a> {
    bos: Option<u32>,
    /// The tokens behind the first BOS token.
    rest: &'a [u32],
    n_context: usize,
}

impl<'a> Windows<'a> {
    fn new(ids: &'a [u32], bos: Option<u32>, n_context: usize) -> Self {
        match ids.split_first() {
            // A window of one token has no room for both.
            Some((first, rest)) if bos == Some(*first) && n_context > 1 => Self { bos, rest, n_context },
            _ => Self { bos: None, rest: ids, n_context },
        }
    }

    /// Tokens in all, with one BOS token.
    fn n_tokens(&self) -> usize {
        self.rest.len() + self.bos.iter().len()
    }

    fn each(&self) -> impl Iterator<Item = Vec<u32>> {
        let n = self.n_context - self.bos.iter().len();
        let alone: &[u32] = &[];
        // A BOS token and nothing more is a window too.
        let alone = self.rest.is_empty().then_some(alone);
        self.rest.chunks(n).chain(alone).map(|piece| self.bos.iter().chain(piece).copied().collect())
    }
}

/// How far a text was read.
#[derive(Default)]
struct Scored {
    score: Score,
    /// Tokens read: all, or those until Ctrl-C.
    n_read: usize,
    /// Windows begun.
    n_windows: usize,
    /// The tokens that were predicted.
    ids: Vec<u32>,
}

/// Feeds all tokens, window by window; writes the logits on the way where they are wanted: a row for each token given.
async fn score(session: &mut Session, windows: &Windows<'_>, arguments: &arguments::Eval) -> Result<Scored> {
    let (n_vocab, n_tokens) = (session.outline().n_vocab as usize, windows.n_tokens());
    let create = |path| NpyWriter::create(path, n_tokens, n_vocab);
    let mut file = arguments.logits.as_deref().map(create).transpose()?;
    let mut progress = Progress::new();
    let mut scored = Scored::default();
    for window in windows.each() {
        scored.n_windows += 1;
        let repeats_bos = scored.n_windows > 1 && windows.bos.is_some();
        let mut each = |index: usize, logits: &[f32]| {
            if interrupt::asked() {
                return Err(Error::usage("eval", "broken off by a signal"));
            }
            let is_given = !(repeats_bos && index == 0);
            scored.n_read += usize::from(is_given);
            progress.tokens(scored.n_read, n_tokens);
            if let Some(&next) = window.get(index + 1) {
                scored.score.add(logits, next);
                scored.ids.push(next);
            }
            file.as_mut().filter(|_| is_given).map_or(Ok(()), |file| file.row(logits))
        };
        match session.logits(&window, &mut each).await {
            // What was scored until then is a result; a file of logits would lack rows, and is not written.
            Err(_) if interrupt::asked() && scored.n_read > 0 => {
                let n = scored.n_read;
                eprintln!("headstart: broken off after {n} of {n_tokens} tokens; these figures are of them");
                return Ok(scored);
            }
            read => read?,
        }
        if let Some(perplexity) = scored.score.perplexity() {
            progress.note(&format!("perplexity {perplexity:.4} so far"));
        }
    }
    file.map_or(Ok(()), NpyWriter::finish)?;
    Ok(scored)
}

async fn greedy(session: &mut Session, ids: &[u32], n: u32) -> Result<Vec<u32>> {
    let mut generation = session.generate(ids, &Sampling::default(), n as usize).await?;
    let mut continuation = Vec::new();
    while let Some(id) = generation.next().await? {
        continuation.push(id);
        if interrupt::asked() {
            break;
        }
    }
    generation.finish().await?;
    Ok(continuation)
}

impl Evaluation {
    /// What was scored, and what began it.
    fn scored(&self) -> String {
        let windows = match self.n_windows {
            1 => "one window".to_owned(),
            n => format!("{n} windows, each from nothing"),
        };
        let begun = match self.bos {
            Some(bos) => format!("begun with token {bos}, which is not scored"),
            None => "the first token of which is not scored".to_owned(),
        };
        format!("{} tokens, in {windows}, {begun}", self.n_scored)
    }

    /// For a person: a line for each result.
    fn lines(&self) -> String {
        let figure = |value: Option<f64>| value.map_or_else(|| "not scored".to_owned(), |value| format!("{value:.4}"));
        let mut rows: Vec<Row> = vec![
            ("adapter", format!("{} ({})", self.adapter.identity.name, self.adapter.identity.backend)),
            ("model", self.model.name.clone()),
            ("tokens", self.n_tokens.to_string()),
            ("scored", self.scored()),
            ("nats per token", figure(self.nats_per_token)),
            ("perplexity", figure(self.perplexity)),
        ];
        if self.n_bytes.is_some() {
            rows.push(("bits per byte", figure(self.bits_per_byte)));
        }
        if let Some(greedy) = &self.greedy {
            let ids: Vec<String> = greedy.iter().map(u32::to_string).collect();
            rows.push(("greedy", ids.join(",")));
        }
        text(&rows)
    }
}

//! Texts that go on from others in the cache, and conversations made of them: what is reused must be as good as what is
//! computed from nothing, on the CPU executor and on every adapter present.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]

use std::rc::Rc;

use crate::support::{FromNothing, fixture, memory, places, places_in_turn};
use headstart::engine::{
    Conversation, ExecutorChoice, Generation, LoadOptions, ModelFiles, Sampling, Session, Timings,
};
use headstart::format::Memory;
use headstart::gpu::ShaderChecks;
use headstart::text::chat::{Chat, Part, RenderOptions, Role};
use pollster::block_on;

static EMBEDDED: &[u8] = include_bytes!("../www/models/headstart-v4-11m.gguf");

fn v4() -> ModelFiles {
    ModelFiles::gguf(memory("golden/gguf/v4_random_f32.gguf"))
}

fn grouped(family: &str) -> ModelFiles {
    let config = std::fs::read_to_string(fixture(&format!("families/{family}/config.json"))).unwrap();
    let sources = vec![memory(&format!("families/{family}/model.safetensors"))];
    ModelFiles { sources, config: Some(config), ..ModelFiles::default() }
}

fn options(n_chunk: u32, n_context: u32) -> LoadOptions {
    LoadOptions {
        n_chunk: Some(n_chunk),
        shader_checks: ShaderChecks::On,
        n_context: Some(n_context),
        ..LoadOptions::default()
    }
}

fn load(files: &ModelFiles, choice: ExecutorChoice, n_chunk: u32) -> Session {
    crate::support::load(files, choice, &options(n_chunk, 512))
}

fn from_nothing(files: &ModelFiles) -> FromNothing {
    FromNothing::of(files, &options(256, 512))
}

/// All ids of a text, and what it took.
async fn all(generation: headstart::Result<Generation<'_>>) -> (Vec<u32>, Timings) {
    let mut generation = generation.unwrap();
    let mut ids = Vec::new();
    while let Some(id) = generation.next().await.unwrap() {
        ids.push(id);
    }
    (ids, generation.finish().await.unwrap())
}

fn go_on(session: &mut Session, prompt: &[u32], n: usize, stops: &[u32]) -> (Vec<u32>, Timings) {
    block_on(async { all(session.go_on(prompt, &Sampling::default(), n, stops).await).await })
}

/// From nothing, with an end token like any other.
fn afresh(session: &mut Session, prompt: &[u32], n: usize) -> Vec<u32> {
    block_on(async { all(session.generate_from(0, prompt, &Sampling::default(), n).await).await.0 })
}

/// Ids that look arbitrary.
fn ids(seed: u32, n: u32) -> impl Iterator<Item = u32> {
    (0..n).map(move |at| (seed * 7919 + at * 104_729) % 251)
}

/// (ids of the text before that are taken back, new ids, ids to write): nothing new, single tokens, more than a step,
/// beyond a window, into the answer, into the prompt before, and back to nearly nothing.
const TURNS: [(usize, u32, usize); 11] = [
    (0, 13, 9),
    (0, 1, 17),
    (3, 7, 5),
    (1, 1, 1),
    (0, 150, 33),
    (21, 2, 40),
    (39, 5, 3),
    (4, 31, 50),
    (51, 3, 2),
    (0, 4, 0),
    (200, 8, 4),
];

/// Runs the turns, each compared with the same text from nothing, and gives how many tokens of each were known.
fn turns(what: &str, going: &mut Session, whole: &mut FromNothing) -> Vec<u32> {
    let mut text: Vec<u32> = Vec::new();
    let mut known = Vec::new();
    for (index, (back, n_new, n_answer)) in TURNS.into_iter().enumerate() {
        text.truncate(text.len() - back);
        text.extend(ids(index as u32 + 1, n_new));
        let (found, timings) = go_on(going, &text, n_answer, &[]);
        assert_eq!(found, whole.text(&text, n_answer), "{what}, turn {index}");
        assert_eq!((timings.n_prompt as usize, found.len()), (text.len(), n_answer), "{what}, turn {index}");
        known.push(timings.n_known);
        text.extend(found);
    }
    known
}

/// What is known where a cache can go back to any position: all but what was taken back, or where nothing was, all but the
/// last token, which was written but not yet computed.
fn all_known() -> Vec<u32> {
    let mut length = 0;
    let known = TURNS.map(|(back, n_new, n_answer)| {
        let known = (length as u32).saturating_sub(back.max(1) as u32);
        length = length - back + n_new as usize + n_answer;
        known
    });
    known.to_vec()
}

#[test]
fn texts_that_go_on_are_as_those_computed_from_nothing() {
    for (turn, family) in ["llama", "qwen3"].into_iter().enumerate() {
        let mut whole = from_nothing(&grouped(family));
        for (place, choice) in places_in_turn(turn) {
            let known = turns(family, &mut load(&grouped(family), choice, 64), &mut whole);
            assert_eq!(known, all_known(), "{family} on {place}");
        }
    }
    let mut whole = from_nothing(&v4());
    for (place, choice) in places() {
        let mut expected = all_known();
        let known = turns("V4", &mut load(&v4(), choice.clone(), 256), &mut whole);
        assert_eq!(known, expected, "V4 on {place}");
        // In steps of 8, a text can go back by 8, or to where its prompt ended or 8 before; else it begins again.
        let known = turns("V4 in steps of 8", &mut load(&v4(), choice, 8), &mut whole);
        (expected[5], expected[6], expected[10]) = (200, 214, 0);
        assert_eq!(known, expected, "V4 in steps of 8 on {place}");
    }
}

#[test]
fn a_stop_ends_the_text_and_the_cache_exactly_there() {
    for (turn, (name, files, n_chunk)) in [("V4", v4(), 4), ("llama", grouped("llama"), 256)].into_iter().enumerate() {
        let mut whole = from_nothing(&files);
        for (place, choice) in places_in_turn(turn) {
            let mut going = load(&files, choice, n_chunk);
            let prompt: Vec<u32> = ids(5, 37).collect();
            let text = whole.text(&prompt, 90);
            // The very first token, and others in the midst of submits; each the first of its kind.
            let is_first = |at: &usize| !text[..*at].contains(&text[*at]);
            let places: Vec<usize> = (0..text.len()).filter(is_first).collect();
            assert!(places.len() > 7, "{name} on {place}: {text:?}");
            for at in places.iter().step_by(places.len() / 5).copied() {
                let what = format!("{name} on {place}, stop at {at}");
                let (found, timings) = go_on(&mut going, &prompt, 90, &[1000, text[at], 1001]);
                assert_eq!(found, text[..at], "{what}");
                assert_eq!(timings.n_decoded as usize, at, "{what}: the stop was chosen, and nothing after it");
                let next = [&prompt[..], &found, &[text[at], 7, 8, 9]].concat();
                let (found, timings) = go_on(&mut going, &next, 5, &[]);
                assert_eq!(timings.n_known as usize, prompt.len() + at, "{what}");
                assert_eq!(found, whole.text(&next, 5), "{what}");
            }
        }
    }
}

#[test]
fn the_context_s_end_ends_a_text_and_the_next_goes_on() {
    // Past the 128th token, where V4 has an entry of every kind.
    let options = options(64, 160);
    for (turn, (name, files)) in [("V4", v4()), ("qwen3", grouped("qwen3"))].into_iter().enumerate() {
        let mut whole = FromNothing::of(&files, &options);
        for (place, choice) in places_in_turn(turn) {
            let mut going = crate::support::load(&files, choice, &options);
            let prompt: Vec<u32> = ids(3, 147).collect();
            let text = whole.text(&prompt, 1000);
            assert_eq!(text.len(), 13, "{name} on {place}");
            let (found, _) = go_on(&mut going, &prompt, 1000, &[]);
            assert_eq!(found, text, "{name} on {place}");
            // A stop as the last token that there is room for.
            if !text[..12].contains(&text[12]) {
                assert_eq!(go_on(&mut going, &prompt, 1000, &[text[12]]).0, text[..12], "{name} on {place}");
            }
            let next = [&prompt[..143], &[1, 2, 3]].concat();
            let (found, timings) = go_on(&mut going, &next, 4, &[]);
            assert_eq!((found, timings.n_known), (whole.text(&next, 4), 143), "{name} on {place}");
        }
    }
}

/// The executor knows eight ends, and runs on behind any other: the text ends there all the same, and goes on rightly.
#[test]
fn an_end_beyond_those_that_a_step_has_room_for_ends_a_text() {
    for (turn, (name, files)) in [("V4", v4()), ("qwen3", grouped("qwen3"))].into_iter().enumerate() {
        let mut whole = from_nothing(&files);
        for (place, choice) in places_in_turn(turn) {
            let mut going = load(&files, choice, 64);
            let prompt: Vec<u32> = ids(3, 40).collect();
            let text = whole.text(&prompt, 60);
            let at = (3..text.len()).find(|&at| !text[..at].contains(&text[at])).unwrap();
            let others = (0..).filter(|id| !text.contains(id)).take(8);
            let stops: Vec<u32> = others.chain([text[at]]).collect();
            let (found, _) = go_on(&mut going, &prompt, 60, &stops);
            assert_eq!(found, text[..at], "{name} on {place}");
            let next: Vec<u32> = prompt.into_iter().chain(found).chain(ids(5, 4)).collect();
            let (found, timings) = go_on(&mut going, &next, 6, &stops[..8]);
            assert_eq!(found, whole.text(&next, 6), "{name} on {place}");
            assert!(timings.n_known >= 40, "{name} on {place}: {}", timings.n_known);
        }
    }
}

#[test]
fn a_text_left_off_in_the_middle_goes_on_from_what_was_handed_out() {
    let mut whole = from_nothing(&v4());
    for (place, choice) in places() {
        let mut going = load(&v4(), choice, 64);
        let mut text: Vec<u32> = ids(9, 21).collect();
        for n in [1, 2, 11, 23] {
            let expected = whole.text(&text, n);
            let found = block_on(async {
                let mut generation = going.go_on(&text, &Sampling::default(), 400, &[]).await.unwrap();
                let mut found = Vec::new();
                while found.len() < n {
                    found.push(generation.next().await.unwrap().unwrap());
                }
                generation.finish().await.unwrap();
                found
            });
            assert_eq!(found, expected, "{place}, {n}");
            text.extend(found);
            text.extend(ids(n as u32, 3));
        }
    }
}

#[test]
fn what_else_is_computed_is_not_taken_for_the_text() {
    let mut session = load(&v4(), ExecutorChoice::Cpu, 64);
    let prompt: Vec<u32> = ids(1, 30).collect();
    let (text, _) = go_on(&mut session, &prompt, 6, &[]);
    let again = |session: &mut Session| {
        let (found, timings) = go_on(session, &prompt, 6, &[]);
        assert_eq!(found, text);
        timings.n_known
    };
    assert_eq!(again(&mut session), 29);
    afresh(&mut session, &[5, 6, 7], 3);
    assert_eq!(again(&mut session), 0);
    block_on(session.logits(&[5, 6], &mut |_, _| Ok(()))).unwrap();
    assert_eq!(again(&mut session), 0);
    block_on(session.profile_step(9, 1)).unwrap();
    assert_eq!(again(&mut session), 0);
    // What cannot be computed changes nothing.
    for (prompt, word) in [(&[][..], "no tokens"), (&[9999], "9999")] {
        let error = block_on(session.go_on(prompt, &Sampling::default(), 1, &[])).err().unwrap().to_string();
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(again(&mut session), 29);
    // A plain text's beginning is known, too, and what it has in common with the one before is not computed again.
    let plain = |session: &mut Session, prompt: &[u32]| {
        block_on(async { all(session.generate(prompt, &Sampling::default(), 6).await).await })
    };
    afresh(&mut session, &[5, 6, 7], 3);
    let (_, timings) = plain(&mut session, &prompt);
    assert_eq!(timings.n_known, 0);
    assert_eq!(again(&mut session), 29);
    let parting = [&prompt[..20], &[3, 1]].concat();
    let (found, timings) = plain(&mut session, &parting);
    assert_eq!(timings.n_known, 20);
    let (expected, _) = {
        afresh(&mut session, &[5, 6, 7], 3);
        plain(&mut session, &parting)
    };
    assert_eq!(found, expected);
}

fn embedded(n_context: u32) -> Session {
    let files = ModelFiles::gguf(Rc::new(Memory::new("embedded", EMBEDDED)));
    let options = LoadOptions { n_context: Some(n_context), ..LoadOptions::default() };
    block_on(Session::load(&files, ExecutorChoice::Cpu, &options, &mut |_| ())).unwrap()
}

/// What is said, thought and answered, and what it took.
struct Said {
    reasoning: String,
    answer: String,
    dropped: String,
    timings: Timings,
}

fn ask(
    conversation: &mut Conversation,
    session: &mut Session,
    question: Option<&str>,
    n: usize,
) -> headstart::Result<Said> {
    block_on(async {
        let sampling = Sampling::default();
        let mut answer = match question {
            Some(question) => conversation.ask(session, question, &sampling, n).await?,
            None => conversation.ask_again(session, &sampling, n).await?,
        };
        let dropped = answer.dropped().map(|dropped| dropped.to_string()).unwrap_or_default();
        let mut parts = Vec::new();
        while let Some(more) = answer.next().await? {
            parts.extend(more);
        }
        let answered = answer.finish().await?;
        parts.extend(answered.rest);
        let of = |wanted: Part| {
            parts.iter().filter(|(part, _)| *part == wanted).map(|(_, text)| text.as_str()).collect::<String>()
        };
        let said =
            Said { reasoning: of(Part::Reasoning), answer: of(Part::Answer), dropped, timings: answered.timings };
        assert_eq!((&answered.message.reasoning, &answered.message.content), (&said.reasoning, &said.answer));
        Ok(said)
    })
}

const QUESTIONS: [&str; 3] = ["What did the prince say?", "And then?", "Why – tell me all of it."];

#[test]
fn a_conversation_computes_only_what_is_new() {
    let mut session = embedded(512);
    let options = RenderOptions::default();
    let mut conversation = Conversation::new(Chat::v4(), Some("You are a prince."), options.clone());
    assert!(Conversation::doubt(&Chat::v4(), session.tokenizer().unwrap()).unwrap().contains("<｜User｜>"));
    let mut computed = 0;
    for (index, question) in QUESTIONS.into_iter().enumerate() {
        let said = ask(&mut conversation, &mut session, Some(question), 11).unwrap();
        assert!(!said.answer.is_empty() && said.reasoning.is_empty(), "{}", said.answer);
        // All of the turns before, but for the last token that they wrote.
        assert_eq!(said.timings.n_known, if index == 0 { 0 } else { computed + 10 });
        computed = said.timings.n_prompt;
    }
    // The same answer again: its prompt is known but for the last token.
    let again = ask(&mut conversation, &mut session, None, 11).unwrap();
    assert_eq!((again.timings.n_prompt, again.timings.n_known), (computed, computed - 1));
    conversation.clear();
    assert!(ask(&mut conversation, &mut session, None, 11).err().unwrap().to_string().contains("no question"));
    let said = ask(&mut conversation, &mut session, Some(QUESTIONS[0]), 11).unwrap();
    assert!(said.timings.n_prompt < computed && said.timings.n_known > 4, "the instructions are still known");
}

/// Where thoughts are left out of earlier turns, the text parts at the mark before the last answer, and only from there on
/// it is computed again.
#[test]
fn thoughts_that_are_left_out_cost_no_more_than_their_answer() {
    let mut session = embedded(512);
    let options = RenderOptions { thinking: true, ..RenderOptions::default() };
    let mut conversation = Conversation::new(Chat::v4(), None, options);
    let n_mark = session.tokenizer().unwrap().encode("<think>", headstart::text::Bos::Omit).unwrap().len() as u32;
    let mut before = 0;
    for (index, question) in QUESTIONS.into_iter().enumerate() {
        let said = ask(&mut conversation, &mut session, Some(question), 20).unwrap();
        assert!(!said.reasoning.is_empty() && said.answer.is_empty(), "it never ends to think: {}", said.answer);
        let n_known = said.timings.n_known;
        assert!(index == 0 || (before - n_mark..before).contains(&n_known), "{n_known} of {before}");
        before = said.timings.n_prompt;
    }
}

/// Some templates pass over instructions, or over what is asked; others write it otherwise.
#[test]
fn words_that_a_template_leaves_out_are_noticed() {
    let mut session = embedded(256);
    for (template, system, left_out) in [
        (
            "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}",
            "Be brief.",
            Some(Role::System),
        ),
        (
            "{% for m in messages %}{{ m.content | replace('/no_think', '') | tojson }}{% endfor %}",
            "Be \"brief\". /no_think",
            None,
        ),
        ("assistant: {{ messages[0].content }}", "Be brief.", Some(Role::User)),
    ] {
        let chat = Chat::from_template(template, session.tokenizer().unwrap()).unwrap();
        let mut conversation = Conversation::new(chat, Some(system), RenderOptions::default());
        let sampling = Sampling::default();
        let asked = conversation.ask(&mut session, "Is this an earth?", &sampling, 1);
        assert_eq!(block_on(asked).unwrap().left_out(), left_out, "{template}");
    }
}

#[test]
fn a_template_s_conversation_goes_on_with_the_model_s_own_tokens() {
    let mut session = embedded(512);
    let template = "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}Q: {{ m.content }}\nA:\
        {% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}";
    let chat = || Chat::from_template(template, session.tokenizer().unwrap()).unwrap();
    let mut conversation = Conversation::new(chat(), None, RenderOptions::default());
    assert_eq!(Conversation::doubt(&chat(), session.tokenizer().unwrap()), None);
    let mut expected = 0;
    for question in QUESTIONS {
        let said = ask(&mut conversation, &mut session, Some(question), 15).unwrap();
        assert_eq!(said.timings.n_known, expected);
        expected = said.timings.n_prompt + 14;
    }
}

#[test]
fn the_oldest_turns_are_dropped_and_named_when_the_context_is_full() {
    let mut session = embedded(160);
    let mut conversation = Conversation::new(Chat::v4(), Some("Short."), RenderOptions::default());
    let mut dropped = Vec::new();
    for turn in 0..9 {
        let said = ask(&mut conversation, &mut session, Some(&format!("Question number {turn}?")), 10).unwrap();
        assert!(said.timings.n_prompt <= 150 && !said.answer.is_empty(), "{:?}", said.timings);
        dropped.extend(Some(said.dropped).filter(|text| !text.is_empty()));
    }
    println!("{dropped:?}");
    assert!(dropped[0].starts_with("dropped turns 1-") && dropped.len() >= 2, "{dropped:?}");
    let last = |text: &String| text.split(['-', ',']).nth(1).unwrap().parse::<u32>().unwrap();
    assert!(dropped[1].starts_with(&format!("dropped turns {}-", last(&dropped[0]) + 1)), "{dropped:?}");
    // What is too long by itself is refused and leaves the conversation as it was.
    let error = ask(&mut conversation, &mut session, Some(&"very long ".repeat(100)), 10).err().unwrap().to_string();
    assert!(error.contains("message: ") && error.contains("at most 150") && error.contains("160"), "{error}");
    let said = ask(&mut conversation, &mut session, None, 10).unwrap();
    assert!(said.timings.n_prompt < 150, "the last answer is that of the question before");
    let said = ask(&mut conversation, &mut session, Some("Still there?"), 10).unwrap();
    assert!(said.timings.n_known > 10, "{:?}", said.timings);
}

/// On an adapter too, whose copies are of whole words; at lengths that fill no whole block of compressed entries.
#[test]
fn what_is_kept_of_a_text_goes_on_in_another_session() {
    for (place, choice) in places() {
        for (family, files) in [("v4", v4()), ("llama", grouped("llama"))] {
            let prompt: Vec<u32> = ids(3, 150).collect();
            let mut first = load(&files, choice.clone(), 32);
            let (answer, _) = go_on(&mut first, &prompt, 9, &[]);
            let mut kept = Vec::new();
            let mut write = |bytes: &[u8]| {
                kept.extend_from_slice(bytes);
                Ok(())
            };
            block_on(first.keep_past(&[7; 32], &mut write)).unwrap().unwrap();
            let mut next = load(&files, choice.clone(), 32);
            let mut rest = &kept[..];
            let mut read = |to: &mut [u8]| {
                let (now, later) = rest.split_at(to.len());
                to.copy_from_slice(now);
                rest = later;
                Ok(())
            };
            assert_eq!(block_on(next.recall_past(&[7; 32], &mut read)).unwrap(), 158, "{family} on {place}");
            let text: Vec<u32> = prompt.into_iter().chain(answer).chain(ids(5, 4)).collect();
            let (found, timings) = go_on(&mut next, &text, 6, &[]);
            assert_eq!(timings.n_known, 158, "{family} on {place}");
            assert_eq!(found, afresh(&mut first, &text, 6), "{family} on {place}");
        }
    }
}

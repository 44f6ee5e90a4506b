//! The tokenizer against its oracles: the ids of Python's `tokenizers` and of llama.cpp (`tools/fixtures/nasty_texts.py`),
//! the library's own pipeline, the round trip, and vocabularies made to break it.

#![allow(clippy::unwrap_used)]

use headstart::engine::ModelFiles;
use headstart::text::{Bos, Control, GgufVocabulary, SpecialIds, Tokenizer};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::LazyLock;

const JSON: &str = include_str!("fixtures/tokenizer.json");
const NASTY_TEXTS: &str = include_str!("fixtures/nasty_texts.json");
const SPECIAL: SpecialIds = SpecialIds { bos: Some(0), eos: Some(1), eot: None, pad: Some(2), add_bos: false };
const N_VOCAB: u32 = 2048;

static FROM_JSON: LazyLock<Tokenizer> = LazyLock::new(|| Tokenizer::from_json(JSON, SPECIAL).unwrap());
static FROM_GGUF: LazyLock<Tokenizer> = LazyLock::new(|| Tokenizer::from_gguf(gguf_vocabulary()).unwrap().unwrap());
static LIBRARY: LazyLock<tokenizers::Tokenizer> = LazyLock::new(|| JSON.parse().unwrap());

/// The fixture's vocabulary as a GGUF tells it.
fn gguf_vocabulary() -> GgufVocabulary<'static> {
    let json: Value = serde_json::from_str(JSON).unwrap();
    let vocab = json["model"]["vocab"].as_object().unwrap();
    let mut tokens = vec![String::new(); vocab.len()];
    for (token, id) in vocab {
        tokens[id.as_u64().unwrap() as usize] = token.clone();
    }
    let merges = json["model"]["merges"].as_array().unwrap().iter();
    let merges = merges.map(|m| format!("{} {}", m[0].as_str().unwrap(), m[1].as_str().unwrap())).collect();
    let token_types = (0..tokens.len()).map(|id| if id < 3 { 3 } else { 1 }).collect();
    GgufVocabulary {
        model: "gpt2",
        pre: "joyai-llm",
        tokens,
        token_types,
        merges,
        special: SPECIAL,
        ..Default::default()
    }
}

fn nasty_texts() -> Vec<(String, Vec<u32>)> {
    let cases: Vec<Value> = serde_json::from_str(NASTY_TEXTS).unwrap();
    let ids = |case: &Value| serde_json::from_value(case["ids"].clone()).unwrap();
    cases.iter().map(|case| (case["text"].as_str().unwrap().to_owned(), ids(case))).collect()
}

#[test]
fn nasty_texts_have_the_ids_of_the_other_engines() {
    let texts = nasty_texts();
    assert!(texts.len() >= 30);
    for (text, ids) in texts {
        assert_eq!(FROM_JSON.encode(&text, Bos::Omit).unwrap(), ids, "from json: {text:?}");
        assert_eq!(FROM_GGUF.encode(&text, Bos::Omit).unwrap(), ids, "from gguf: {text:?}");
        assert_eq!(FROM_JSON.decode(&ids, Control::Show), text);
    }
}

#[test]
fn another_cut_is_noticed() {
    let json = JSON.replace(r"\\p{N}{1,3}", r"\\p{N}{1,2}");
    assert_ne!(json, JSON);
    // It is read, and gives the ids that the library's own reading gives.
    let (ours, theirs) =
        (Tokenizer::from_json(&json, SPECIAL).unwrap(), json.parse::<tokenizers::Tokenizer>().unwrap());
    for (text, _) in nasty_texts() {
        assert_eq!(ours.encode(&text, Bos::Omit).unwrap(), theirs.encode(text.as_str(), false).unwrap().get_ids());
    }
    let other: tokenizers::Tokenizer = json.replace("{L}", "{Lu}").parse().unwrap();
    let differs = |(text, ids): &(String, Vec<u32>)| other.encode(text.as_str(), false).unwrap().get_ids() != ids;
    assert!(nasty_texts().iter().any(differs), "the nasty texts would not notice a wrong regex");
}

#[test]
fn one_bos_is_enough() {
    let marked = "<｜begin▁of▁sentence｜>x";
    let plain = FROM_JSON.encode("x", Bos::AsModelSays).unwrap();
    assert_eq!(FROM_JSON.encode(marked, Bos::AsModelSays).unwrap(), [&[0], &plain[..]].concat());
    assert_eq!(FROM_JSON.encode(marked, Bos::Add).unwrap(), [&[0], &plain[..]].concat());
    assert_eq!(FROM_JSON.encode("x", Bos::Add).unwrap(), [&[0], &plain[..]].concat());
    assert_eq!(FROM_JSON.encode("", Bos::Add).unwrap(), [0]);
    let asking = Tokenizer::from_json(JSON, SpecialIds { add_bos: true, ..SPECIAL }).unwrap();
    assert_eq!(asking.encode("x", Bos::AsModelSays).unwrap(), [&[0], &plain[..]].concat());
    assert_eq!(asking.encode("x", Bos::Omit).unwrap(), plain);
    let nameless = Tokenizer::from_json(JSON, SpecialIds::default()).unwrap();
    assert!(nameless.encode("x", Bos::Add).is_err());
    assert_eq!(nameless.encode("x", Bos::AsModelSays).unwrap(), plain);
}

#[test]
fn control_tokens_are_shown_or_hidden() {
    let ids = [&[0], &FROM_GGUF.encode("good day", Bos::Omit).unwrap()[..], &[1, N_VOCAB, u32::MAX]].concat();
    assert_eq!(FROM_GGUF.decode(&ids, Control::Hide), "good day\u{FFFD}\u{FFFD}");
    let shown = "<｜begin▁of▁sentence｜>good day<｜end▁of▁sentence｜>\u{FFFD}\u{FFFD}";
    assert_eq!(FROM_GGUF.decode(&ids, Control::Show), shown);
    assert_eq!(FROM_GGUF.id_of("<｜end▁of▁sentence｜>"), Some(1));
    assert_eq!(FROM_GGUF.id_of("<｜User｜>"), None);
    assert_eq!(FROM_GGUF.control_id_of("<｜end▁of▁sentence｜>"), Some(1));
    assert!(FROM_GGUF.id_of("a").is_some() && FROM_GGUF.control_id_of("a").is_none());
    assert_eq!((FROM_GGUF.n_vocab(), FROM_GGUF.special()), (N_VOCAB as usize, SPECIAL));
}

#[test]
fn a_character_comes_whole_or_as_a_replacement() {
    let ids = FROM_JSON.encode("😀", Bos::Omit).unwrap();
    assert!(ids.len() > 1, "the fixture has no token for this character");
    let mut stream = FROM_JSON.stream(Control::Hide);
    let parts: Vec<String> = ids.iter().map(|&id| stream.push(id)).collect();
    assert!(parts[..parts.len() - 1].iter().all(String::is_empty));
    assert_eq!(parts[parts.len() - 1], "😀");
    assert_eq!(stream.finish(), "");
    assert_eq!(stream.push(ids[0]), "");
    assert_eq!(stream.push(FROM_JSON.id_of("a").unwrap()), "\u{FFFD}a");
    assert_eq!(stream.push(ids[0]), "");
    assert_eq!((stream.finish(), stream.finish()), ("\u{FFFD}".into(), String::new()));
}

/// Unicode of every kind, mixed with what the tokenizer looks for.
fn any_text() -> impl Strategy<Value = String> {
    let special = "(<｜begin▁of▁sentence｜>|<｜end|▁of▁sentence｜>|[ \n\r\t\u{3000}]{0,5}|[0-9٠-٩]{0,9}|[a-z']{0,9}|[!-/]{0,4}|[一-龥ぁ-ヿ]{0,4})";
    let part = prop_oneof![any::<String>(), special.prop_map(String::from)];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn every_text_comes_back(text in any_text()) {
        let ids = FROM_GGUF.encode(&text, Bos::Omit).unwrap();
        prop_assert_eq!(FROM_GGUF.decode(&ids, Control::Show), text.as_str());
        let library = LIBRARY.encode(text, false).unwrap();
        prop_assert_eq!(&ids[..], library.get_ids());
    }

    #[test]
    fn parts_together_are_the_whole(ids in prop::collection::vec(0..N_VOCAB + 3, 0..64), hide: bool) {
        let control = if hide { Control::Hide } else { Control::Show };
        let mut stream = FROM_GGUF.stream(control);
        let mut text: String = ids.iter().map(|&id| stream.push(id)).collect();
        text += &stream.finish();
        prop_assert_eq!(&text, &FROM_GGUF.decode(&ids, control));
        if ids.iter().all(|id| (3..N_VOCAB).contains(id)) {
            prop_assert_eq!(text, LIBRARY.decode(&ids, false).unwrap());
        }
    }

    /// Single bytes are most of what breaks characters.
    #[test]
    fn broken_bytes_become_replacements_as_in_the_library(ids in prop::collection::vec(3..259u32, 0..24)) {
        let mut stream = FROM_GGUF.stream(Control::Hide);
        let mut text: String = ids.iter().map(|&id| stream.push(id)).collect();
        text += &stream.finish();
        prop_assert_eq!(text, LIBRARY.decode(&ids, false).unwrap());
    }

    #[test]
    fn no_vocabulary_makes_it_panic(
        edits in prop::collection::vec((0..4u8, 0..2048usize, ".{0,3}|Ġt|[0-9]{1,9}", any::<i32>()), 1..4),
        special in (any::<Option<u32>>(), 0..3000u32, any::<bool>()),
        text in any_text(),
    ) {
        let mut v = gguf_vocabulary();
        for (what, at, text, number) in edits {
            match what {
                0 => v.tokens[at] = text,
                1 => v.token_types[at] = number % 9,
                2 => v.merges[at % 1700] = format!("{text} {text}"),
                _ => v.merges.insert(at % 1700, text),
            }
        }
        v.special = SpecialIds { bos: special.0, eos: Some(special.1), ..SpecialIds::default() };
        v.add_bos = special.2.then_some(true);
        if let Ok(Some(tokenizer)) = Tokenizer::from_gguf(v) {
            let ids = tokenizer.encode(&text, Bos::AsModelSays).unwrap();
            prop_assert!(ids.iter().all(|&id| (id as usize) < tokenizer.n_vocab()));
            tokenizer.decode(&ids, Control::Show);
        }
    }
}

#[test]
fn a_file_without_a_vocabulary_has_no_tokenizer() {
    let absent = GgufVocabulary { model: "no_vocab", ..Default::default() };
    assert!(Tokenizer::from_gguf(absent).unwrap().is_none());
}

type Spoil = fn(&mut GgufVocabulary<'_>);

/// What is odd and does no harm is said, and passed over.
#[test]
fn an_odd_gguf_vocabulary_is_read_with_a_notice() {
    let oddities: [(&str, Spoil); 7] = [
        ("merges is missing", |v| v.merges.clear()),
        ("1 tokens are empty, the first of them 2040", |v| v.tokens[2040].clear()),
        ("the bos token is 2048", |v| v.special.bos = Some(2048)),
        ("the eos token is 4294967295", |v| v.special.eos = Some(u32::MAX)),
        ("the pad token is 2048", |v| v.special.pad = Some(2048)),
        ("none is named", |v| {
            v.special.bos = None;
            v.add_bos = Some(true);
        }),
        ("pre is missing", |v| v.pre = ""),
    ];
    let whole = Tokenizer::from_gguf(gguf_vocabulary()).unwrap().unwrap();
    assert!(whole.notices().is_empty(), "{:?}", whole.notices());
    // A special token may be long.
    let mut long = gguf_vocabulary();
    long.tokens[2] = "x".repeat(300);
    let text = format!("A{}", long.tokens[2]);
    let ids = Tokenizer::from_gguf(long).unwrap().unwrap().encode(&text, Bos::Omit).unwrap();
    assert_eq!((ids.len(), ids[1]), (2, 2));
    for (message, spoil) in oddities {
        let mut vocabulary = gguf_vocabulary();
        spoil(&mut vocabulary);
        let kept: HashSet<&str> = vocabulary.tokens.iter().map(String::as_str).collect();
        let is_made = |merge: &String| kept.contains(merge.replacen(' ', "", 1).as_str());
        let merges: Vec<String> = vocabulary.merges.iter().filter(|merge| is_made(merge)).cloned().collect();
        vocabulary.merges = merges;
        let tokenizer = Tokenizer::from_gguf(vocabulary).unwrap().unwrap();
        let notices = tokenizer.notices().join("; ");
        assert!(notices.contains(message), "{notices:?} lacks {message:?}");
        let ids = tokenizer.encode("A word, 12.", Bos::Omit).unwrap();
        assert_eq!(tokenizer.decode(&ids, Control::Show), "A word, 12.");
    }
}

/// Types and merges that say nothing of use are told, and texts are still read: llama.cpp passes over them too.
#[test]
fn odd_types_and_merges_of_a_gguf_are_passed_over_with_a_notice() {
    let oddities: [(&str, Spoil); 10] = [
        ("2047 types for 2048 tokens, 0 of them unknown", |v| v.token_types.truncate(2047)),
        ("2049 types for 2048 tokens, 0 of them unknown", |v| v.token_types.push(3)),
        ("2048 types for 2048 tokens, 1 of them unknown", |v| v.token_types[5] = 77),
        ("2048 types for 2048 tokens, 1 of them unknown", |v| v.token_types[5] = -1),
        ("1 are not of two tokens into a third, the first of them \"ab\"", |v| v.merges[3] = "ab".into()),
        ("the first of them \"a b c\"", |v| v.merges[3] = "a b c".into()),
        ("the first of them \"a nosuchtoken\"", |v| v.merges[3] = "a nosuchtoken".into()),
        ("the first of them \"~ ~\"", |v| v.merges[3] = "~ ~".into()),
        ("are left out", |v| v.merges[3] = "x".repeat(100_000)),
        ("2 are not", |v| (v.merges[3], v.merges[4]) = ("x".repeat(100_000) + " y", String::new())),
    ];
    for (message, spoil) in oddities {
        let mut vocabulary = gguf_vocabulary();
        spoil(&mut vocabulary);
        let tokenizer = Tokenizer::from_gguf(vocabulary).unwrap().unwrap();
        let notices = tokenizer.notices().join("; ");
        assert!(notices.contains(message) && notices.len() < 300, "{notices:?} lacks {message:?}");
        let ids = tokenizer.encode("A word, 12.", Bos::Omit).unwrap();
        assert_eq!(tokenizer.decode(&ids, Control::Show), "A word, 12.");
    }
}

/// One fault each, and a word that the message must have.
#[test]
fn a_faulty_gguf_vocabulary_is_refused_with_its_fault() {
    let faults: [(&str, Spoil); 3] = [
        ("t5", |v| v.model = "t5"),
        ("martian", |v| v.pre = "martian"),
        ("none of them for a single byte", |v| {
            *v = GgufVocabulary { model: "gpt2", pre: "joyai-llm", ..Default::default() }
        }),
    ];
    for (message, spoil) in faults {
        let mut vocabulary = gguf_vocabulary();
        spoil(&mut vocabulary);
        let error = Tokenizer::from_gguf(vocabulary).unwrap_err().to_string();
        assert!(error.contains(message) && error.len() < 300, "{error:?} lacks {message:?}");
    }
}

#[test]
fn a_faulty_json_is_refused_with_its_fault() {
    let added = json!({"id": 2, "content": "<｜▁pad▁｜>"});
    let faults: [(&str, &str, Value); 16] = [
        ("a model of type \"Unigram\"", "/model", json!({"type": "Unigram", "unk_id": 0, "vocab": [["a", 0.5]]})),
        ("SentencePiece has byte_fallback", "/normalizer", json!({"type": "Prepend", "prepend": "\u{2581}"})),
        ("WordPiece", "/model/type", json!("WordPiece")),
        ("missing field `vocab`", "/model", json!({"type": "BPE", "merges": []})),
        ("the id 3 names both", "/model/vocab/A", json!(3)),
        ("has the id 4294967295", "/model/vocab/A", json!(u32::MAX)),
        ("cannot be read", "/model/vocab/A", json!(-1)),
        ("the id 3 names both", "/added_tokens/0", json!({"id": 3, "content": "<new>"})),
        ("merge 0 is", "/model/merges/0", json!("abc")),
        ("merge that cannot be made", "/model/merges/0", json!(["a", "nosuchtoken"])),
        ("model.continuing_subword_prefix", "/model/continuing_subword_prefix", json!("long prefix")),
        ("cannot be read", "/normalizer", json!({"type": "NFD"})),
        ("steps of other kinds", "/pre_tokenizer", json!({"type": "Whitespace"})),
        ("steps of other kinds", "/pre_tokenizer", json!({"type": "Sequence", "pretokenizers": []})),
        ("cannot be read", "/pre_tokenizer/pretokenizers/0/behavior", json!("Shuffled")),
        ("look-around", "/pre_tokenizer/pretokenizers/0/pattern", json!({"Regex": "a(?=b)"})),
    ];
    for (message, place, value) in faults {
        let mut json: Value = serde_json::from_str(JSON).unwrap();
        *json.pointer_mut(place).unwrap() = value;
        let error = Tokenizer::from_json(&json.to_string(), SPECIAL).unwrap_err().to_string();
        assert!(error.contains(message), "{error:?} lacks {message:?}");
    }
    let mut json: Value = serde_json::from_str(JSON).unwrap();
    json["added_tokens"] = json!([added]);
    json["normalizer"] = json!({"type": "Sequence", "normalizers": []});
    // As where a `merges.txt` was taken whole.
    let merges: Vec<Value> = json["model"]["merges"].as_array().unwrap().clone();
    json["model"]["merges"] = [&[json!("#version: 0.2")], &merges[..]].concat().into();
    assert!(Tokenizer::from_json(&json.to_string(), SPECIAL).is_ok());
}

/// As llama.cpp and the tokenizers library have it: the last of two counts, and what cannot be spelt is lost.
#[test]
fn odd_vocabularies_are_told_of_and_used() {
    let mut vocabulary = gguf_vocabulary();
    let gone = std::mem::replace(&mut vocabulary.tokens[2000], "A".into());
    vocabulary.merges.retain(|merge| merge.replace(' ', "") != gone && !merge.split(' ').any(|part| part == gone));
    let tokenizer = Tokenizer::from_gguf(vocabulary).unwrap().unwrap();
    let notices = tokenizer.notices().join("; ");
    assert!(notices.contains("tokens 35 and 2000 are both \"A\"") && notices.len() < 300, "{notices}");
    assert_eq!(tokenizer.encode("A", Bos::Omit).unwrap(), [2000]);
    assert_eq!(tokenizer.decode(&[35, 2000], Control::Show), "AA");
    let mut vocabulary = gguf_vocabulary();
    vocabulary.tokens[35] = "Aaaaaaaa".into();
    vocabulary.merges.retain(|merge| !merge.split(' ').any(|part| part == "A"));
    let tokenizer = Tokenizer::from_gguf(vocabulary).unwrap().unwrap();
    assert!(tokenizer.notices().join("; ").contains("1 bytes have no token, the first of them 0x41"));
    let ids = tokenizer.encode("bAb", Bos::Omit).unwrap();
    assert_eq!(tokenizer.decode(&ids, Control::Show), "bb");
    let twice = JSON.replacen("\"!\": 3,", "\"!\": 3, \"!\": 4000,", 1);
    let tokenizer = Tokenizer::from_json(&twice, SPECIAL).unwrap();
    assert_eq!(tokenizer.encode("!", Bos::Omit).unwrap(), [4000]);
}

/// A cut that no GGUF has a name for: by a text, whose matches go to the word before them.
#[test]
fn splits_of_a_file_s_own_are_run() {
    let mut json: Value = serde_json::from_str(JSON).unwrap();
    let steps = json.pointer_mut("/pre_tokenizer/pretokenizers").unwrap().as_array_mut().unwrap();
    let last = steps.pop().unwrap();
    let split = json!({"type": "Split", "pattern": {"String": "."}, "behavior": "MergedWithPrevious", "invert": false});
    *steps = vec![split, json!({"type": "Digits", "individual_digits": true}), last];
    let tokenizer = Tokenizer::from_json(&json.to_string(), SPECIAL).unwrap();
    let ids = tokenizer.encode("one. two 12. three", Bos::Omit).unwrap();
    let parts: Vec<String> = ids.iter().map(|&id| tokenizer.decode(&[id], Control::Show)).collect();
    assert_eq!(parts.concat(), "one. two 12. three");
    assert!(!parts.iter().any(|part| part.contains(". ") || part.contains("12")), "{parts:?}");
}

#[test]
fn added_tokens_take_the_space_beside_them() {
    let with = |options: Value| {
        let mut json: Value = serde_json::from_str(JSON).unwrap();
        let mut token = json!({"id": 2, "content": "<｜▁pad▁｜>"});
        token.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        json["added_tokens"] = json!([token]);
        let tokenizer = Tokenizer::from_json(&json.to_string(), SPECIAL).unwrap();
        let ids = |text: &str| tokenizer.encode(text, Bos::Omit).unwrap();
        (ids("a <｜▁pad▁｜> b"), ids("a"), ids(" b"), ids("b"), ids("a<｜▁pad▁｜>b").contains(&2))
    };
    let (whole, a, space_b, b, inside) = with(json!({"lstrip": true}));
    assert!(whole == [&a[..], &[2], &space_b[..]].concat() && inside);
    let (whole, .., inside) = with(json!({"lstrip": true, "rstrip": true}));
    assert!(whole == [&a[..], &[2], &b[..]].concat() && inside);
    let (whole, .., inside) = with(json!({"single_word": true}));
    assert!(whole.contains(&2) && !inside);
}

#[test]
fn a_text_ends_at_each_id_that_the_files_list() {
    let mut tokenizer = Tokenizer::from_json(JSON, SPECIAL).unwrap();
    let before = tokenizer.ends();
    tokenizer.end_at([7, 9, 7, 99_999]);
    let after = tokenizer.ends();
    assert!([7, 9].iter().all(|id| after.contains(id) && !before.contains(id)), "{after:?}");
    assert_eq!(after.len(), before.len() + 2);
    // More than a step has room for.
    tokenizer.end_at(10..30);
    assert!((10..30).all(|id| tokenizer.ends().contains(&id)));
}

#[test]
fn a_cut_json_is_refused() {
    for cut in (0..JSON.len()).step_by(997).filter(|&cut| JSON.is_char_boundary(cut)) {
        assert!(Tokenizer::from_json(&JSON[..cut], SPECIAL).is_err());
    }
}

#[test]
fn a_text_ends_at_every_token_that_any_file_names() {
    let ends = |generation_config: &str| {
        let files = ModelFiles {
            config: Some(r#"{"eos_token_id": [1, 6], "rope_theta": Infinity}"#.into()),
            generation_config: Some(generation_config.into()),
            tokenizer: Some(JSON.into()),
            ..ModelFiles::default()
        };
        pollster::block_on(files.tokenizer()).unwrap().unwrap().ends()
    };
    assert_eq!(ends(r#"{"eos_token_id": [5, 1, 4000000000, -1, "x"], "temperature": 0.6}"#), [1, 5, 6]);
    assert_eq!(ends(r#"{"eos_token_id": 7}"#), [1, 7, 6]);
    assert_eq!(ends(r#"{"eos_token_id": [7.0, 5.5, -7.0]}"#), [1, 7, 6]);
    // What cannot be read names none, and does no harm.
    for odd in ["[", "{}", r#"{"eos_token_id": null}"#, "7"] {
        assert_eq!(ends(odd), [1, 6], "{odd}");
    }
    let keys = GgufVocabulary { ends: vec![9, u32::MAX], ..gguf_vocabulary() };
    assert_eq!(Tokenizer::from_gguf(keys).unwrap().unwrap().ends(), [1, 9]);
    // Whatever a GGUF says of its kind, such a token is looked for in texts.
    let mut normal = gguf_vocabulary();
    normal.tokens.push("<|im_end|>".into());
    normal.token_types.push(1);
    let tokenizer = Tokenizer::from_gguf(normal).unwrap().unwrap();
    assert_eq!(tokenizer.encode("A<|im_end|>", Bos::Omit).unwrap().last(), Some(&2048));
    assert!(tokenizer.ends().contains(&2048));
}

#[test]
fn a_messages_end_is_no_end_where_others_end_the_turn() {
    let ends = |more: &[&str]| {
        let mut vocabulary = gguf_vocabulary();
        vocabulary.tokens.extend(more.iter().map(|&token| token.to_owned()));
        vocabulary.token_types.extend(more.iter().map(|_| 3));
        let tokenizer = Tokenizer::from_gguf(vocabulary).unwrap().unwrap();
        tokenizer.ends().into_iter().filter_map(|id| tokenizer.text_of(id)).collect::<Vec<_>>()[1..].to_vec()
    };
    assert_eq!(ends(&["<|call|>", "<|end|>"]), ["<|end|>", "<|call|>"]);
    assert_eq!(ends(&["<|call|>", "<|end|>", "<|return|>"]), ["<|return|>", "<|call|>"]);
    assert_eq!(ends(&["<|end|>", "<|calls|>", "<|flush|>"]), ["<|calls|>", "<|flush|>"]);
    assert_eq!(ends(&["[EOT]", "<|file_sep|>", "<turn|>", "<|nosuch|>"]), ["[EOT]", "<turn|>", "<|file_sep|>"]);
}

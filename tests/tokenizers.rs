//! Every tokenizer that is known, from GGUF and from `tokenizer.json`, against llama.cpp, the `tokenizers` library and
//! `sentencepiece` on texts that tokenizers stumble over (`tools/fixtures/tokenizer_ids.py`).

#![allow(clippy::unwrap_used)]

use headstart::format::gguf::Value as GgufValue;
use headstart::format::{Memory, gguf};
use headstart::text::chat::{Chat, Message, RenderOptions};
use headstart::text::{Bos, Control, GgufVocabulary, SpecialIds, Tokenizer, TokenizerConfig, export};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::LazyLock;

const BPE: &[u8] = include_bytes!("fixtures/tokenizers/bpe.gguf");
const SPM: &[u8] = include_bytes!("fixtures/tokenizers/spm.gguf");

static FACTS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("fixtures/tokenizers/ids.json")).unwrap());
static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| serde_json::from_value(FACTS["texts"].clone()).unwrap());

/// Reads a fixture's metadata and gives its vocabulary to `use_it`.
fn with_vocabulary<T>(file: &'static [u8], use_it: impl FnOnce(GgufVocabulary<'_>) -> T) -> T {
    let file = pollster::block_on(gguf::read(&Memory::new("fixture", file), 0)).unwrap();
    use_it(GgufVocabulary::from_metadata(&file.metadata).unwrap())
}

fn bpe(pre: &str) -> Tokenizer {
    with_vocabulary(BPE, |vocabulary| Tokenizer::from_gguf(GgufVocabulary { pre, ..vocabulary }).unwrap().unwrap())
}

fn spm() -> Tokenizer {
    with_vocabulary(SPM, |vocabulary| Tokenizer::from_gguf(vocabulary).unwrap().unwrap())
}

/// The ids of every text: `facts["ids"]`, but for the texts that `facts[other]` has other ids for.
fn expected(facts: &Value, other: &str) -> Vec<Vec<u32>> {
    let mut ids: Vec<Vec<u32>> = serde_json::from_value(facts["ids"].clone()).unwrap();
    let others: HashMap<String, Vec<u32>> =
        if other.is_empty() { HashMap::new() } else { serde_json::from_value(facts[other].clone()).unwrap() };
    for (index, other) in others {
        ids[index.parse::<usize>().unwrap()] = other;
    }
    ids
}

fn ids_of(tokenizer: &Tokenizer) -> Vec<Vec<u32>> {
    TEXTS.iter().map(|text| tokenizer.encode(text, Bos::Omit).unwrap()).collect()
}

fn check(what: &str, tokenizer: &Tokenizer, expected: &[Vec<u32>]) {
    for ((text, ours), theirs) in TEXTS.iter().zip(ids_of(tokenizer)).zip(expected) {
        assert_eq!(&ours, theirs, "{what}: {text:?}");
    }
}

/// A vocabulary's model and added tokens, as a `tokenizer.json` writes them.
fn as_json(vocabulary: &GgufVocabulary<'_>, merges: &Value) -> Value {
    let vocab: Map<String, Value> =
        vocabulary.tokens.iter().zip(0..).map(|(token, id)| (token.clone(), json!(id))).collect();
    let added = |(id, kind): (usize, &i32)| match kind {
        2..=4 => Some(json!({"id": id, "content": vocabulary.tokens[id], "special": *kind != 4})),
        _ => None,
    };
    let added: Vec<Value> = vocabulary.token_types.iter().enumerate().filter_map(added).collect();
    json!({"added_tokens": added, "model": {"type": "BPE", "vocab": vocab, "merges": merges}})
}

fn bpe_json(facts: &Value) -> Value {
    let mut json = with_vocabulary(BPE, |vocabulary| as_json(&vocabulary, &json!(vocabulary.merges)));
    json["pre_tokenizer"] = facts["pre_tokenizer"].clone();
    json
}

fn spm_json() -> Value {
    let mut json = with_vocabulary(SPM, |vocabulary| as_json(&vocabulary, &FACTS["spm"]["merges"]));
    json["model"]["byte_fallback"] = json!(true);
    json
}

fn from_json(json: &Value) -> Tokenizer {
    Tokenizer::from_json(&json.to_string(), SpecialIds::default()).unwrap()
}

#[test]
fn every_pre_tokenizer_has_the_ids_of_llama_cpp_and_of_transformers() {
    let facts = FACTS["bpe"].as_object().unwrap();
    let mut names: Vec<&str> = facts.keys().map(String::as_str).collect();
    names.sort_unstable();
    let known = ["deepseek-coder", "deepseek-llm", "deepseek-r1-qwen", "deepseek-v3", "gpt-2", "joyai-llm"];
    assert_eq!(names, [&known[..], &["llama-bpe", "qwen2"]].concat());
    for (name, facts) in facts {
        check(&format!("{name} from gguf"), &bpe(name), &expected(facts, "llama_cpp"));
        let mut json = bpe_json(facts);
        json["model"]["ignore_merges"] = json!(name == "llama-bpe");
        check(&format!("{name} from json"), &from_json(&json), &expected(facts, ""));
    }
}

/// The texts would notice if any two were exchanged.
#[test]
fn no_two_pre_tokenizers_are_alike() {
    let names = ["deepseek-coder", "deepseek-llm", "deepseek-v3", "gpt-2", "llama-bpe", "qwen2"];
    let ids: Vec<Vec<Vec<u32>>> = names.iter().map(|name| ids_of(&bpe(name))).collect();
    for a in 0..names.len() {
        for b in 0..a {
            assert_ne!(ids[a], ids[b], "{} and {}", names[a], names[b]);
        }
    }
    assert_eq!(ids[2], ids_of(&bpe("joyai-llm")));
    assert_eq!(ids[5], ids_of(&bpe("deepseek-r1-qwen")));
}

/// A `tokenizer.json` with some of its parts changed, as `tools/fixtures/tokenizer_pipelines.py` changes them.
fn changed(base: &Value, change: &Value) -> Value {
    let mut file = base.clone();
    for (key, value) in change.as_object().unwrap() {
        match key.as_str() {
            "model" => {
                let model = file["model"].as_object_mut().unwrap();
                model.extend(value.as_object().unwrap().clone());
                model.retain(|name, held| name != "type" || !held.is_null());
            }
            "added" => {
                let ids = file["model"]["vocab"]
                    .as_object()
                    .unwrap()
                    .values()
                    .chain(file["added_tokens"].as_array().unwrap().iter().map(|token| &token["id"]));
                let first = ids.filter_map(Value::as_u64).max().unwrap() + 1;
                for (id, token) in (first..).zip(value.as_array().unwrap()) {
                    let mut token = token.clone();
                    token["id"] = json!(id);
                    file["added_tokens"].as_array_mut().unwrap().push(token);
                }
            }
            key => file[key] = value.clone(),
        }
    }
    file
}

#[test]
fn pipelines_of_any_steps_have_the_ids_of_the_library() {
    let facts: Value = serde_json::from_str(include_str!("fixtures/tokenizers/pipelines.json")).unwrap();
    let texts: Vec<String> = serde_json::from_value(facts["texts"].clone()).unwrap();
    let cases = facts["cases"].as_array().unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let file = changed(&facts["bases"][case["base"].as_str().unwrap()], &case["change"]);
        let Ok(tokenizer) = Tokenizer::from_json(&file.to_string(), SpecialIds::default()) else {
            wrong.push(format!("{}: refused", case["name"]));
            continue;
        };
        let all: Vec<Vec<u32>> = serde_json::from_value(case["ids"].clone()).unwrap();
        for (text, ids) in texts.iter().zip(all) {
            let found = tokenizer.encode(text, Bos::Omit).unwrap();
            if found != ids {
                wrong.push(format!("{} of {}: {text:?} is {ids:?}, not {found:?}", case["name"], case["base"]));
            }
        }
    }
    assert!(cases.len() > 20 && wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

/// Two ByteLevels would spell the spelling, and a Metaspace marks nothing behind a normalizer that did.
#[test]
fn pipelines_that_make_no_sense_are_refused() {
    let facts: Value = serde_json::from_str(include_str!("fixtures/tokenizers/pipelines.json")).unwrap();
    let level = &facts["bases"]["bytes"]["pre_tokenizer"];
    let twice = json!({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [level, level]}});
    let marks = json!({"pre_tokenizer": {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "first"}});
    for (base, change) in [("bytes", twice), ("pieces", marks)] {
        let file = changed(&facts["bases"][base], &change).to_string();
        let error = Tokenizer::from_json(&file, SpecialIds::default()).unwrap_err().to_string();
        assert!(error.contains("pre_tokenizer: steps of other kinds"), "{error}");
    }
}

#[test]
fn a_word_that_no_merges_reach_is_taken_whole_where_the_file_says_so() {
    let whole = bpe("llama-bpe").encode("tabs", Bos::Omit).unwrap();
    assert_eq!(whole, [bpe("llama-bpe").id_of("tabs").unwrap()]);
    assert!(bpe("qwen2").encode("tabs", Bos::Omit).unwrap().len() > 1);
    let mut json = bpe_json(&FACTS["bpe"]["llama-bpe"]);
    assert!(from_json(&json).encode("tabs", Bos::Omit).unwrap().len() > 1);
    json["model"]["ignore_merges"] = json!(true);
    assert_eq!(from_json(&json).encode("tabs", Bos::Omit).unwrap(), whole);
}

#[test]
fn text_is_composed_where_the_json_says_so() {
    let facts = &FACTS["bpe"]["qwen2"];
    let mut json = bpe_json(facts);
    json["normalizer"] = json!({"type": "NFC"});
    let composed = expected(facts, "nfc");
    assert_ne!(composed, expected(facts, ""), "the texts would not notice");
    check("qwen2, composed", &from_json(&json), &composed);
}

#[test]
fn sentence_piece_has_the_ids_of_llama_cpp_transformers_and_sentencepiece() {
    let facts = &FACTS["spm"];
    check("spm from gguf", &spm(), &expected(facts, "llama_cpp"));
    let unnamed = with_vocabulary(SPM, |vocabulary| {
        let special = SpecialIds { bos: None, eos: None, ..vocabulary.special };
        Tokenizer::from_gguf(GgufVocabulary { special, ..vocabulary }).unwrap().unwrap()
    });
    let spm_named = spm();
    for text in TEXTS.iter() {
        let [unnamed, named] =
            [&unnamed, &spm_named].map(|of| (of.encode(text, Bos::AsModelSays).unwrap(), of.special()));
        assert_eq!((unnamed.0, unnamed.1.eos), (named.0, Some(2)), "{text:?}");
    }
    // Sentencepiece itself does not look for control tokens in a text, and gives no prefix after user-defined ones.
    let others = facts["sentencepiece"].as_object().unwrap();
    assert!(others.len() <= 3 && others.keys().all(|index| TEXTS[index.parse::<usize>().unwrap()].contains('<')));
    let steps = facts["tokenizer_json"].as_object().unwrap();
    let mut json = spm_json();
    json["normalizer"] = steps["normalizer"].clone();
    check("spm from json, prepend", &from_json(&json), &expected(facts, ""));
    json["normalizer"] = Value::Null;
    for scheme in ["first", "always", "never"] {
        json["pre_tokenizer"] =
            json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false});
        check(&format!("spm from json, {scheme}"), &from_json(&json), &expected(facts, scheme));
        assert_ne!(expected(facts, scheme), expected(facts, ""));
    }
    let never = with_vocabulary(SPM, |vocabulary| {
        let vocabulary = GgufVocabulary { add_space_prefix: Some(false), ..vocabulary };
        Tokenizer::from_gguf(vocabulary).unwrap().unwrap()
    });
    check("spm from gguf without prefix", &never, &expected(facts, "never"));
}

/// Another order of merges is another tokenizer: the scores are read.
#[test]
fn scores_decide_what_is_merged() {
    let other = with_vocabulary(SPM, |mut vocabulary| {
        vocabulary.scores.iter_mut().for_each(|score| *score = -*score);
        Tokenizer::from_gguf(vocabulary).unwrap().unwrap()
    });
    assert_ne!(ids_of(&other), expected(&FACTS["spm"], ""));
}

#[test]
fn what_was_encoded_comes_back() {
    for name in FACTS["bpe"].as_object().unwrap().keys() {
        let tokenizer = bpe(name);
        for text in TEXTS.iter() {
            assert_eq!(&tokenizer.decode(&tokenizer.encode(text, Bos::Omit).unwrap(), Control::Show), text, "{name}");
        }
    }
    // After a special token SentencePiece puts a space of its own, which cannot be told from one of the text's; and
    // its mark for spaces, written in a text, is a space.
    let tokenizer = spm();
    for text in TEXTS.iter().filter(|text| !text.contains("<s>") && !text.contains("<think>") && !text.contains('▁'))
    {
        assert_eq!(&tokenizer.decode(&tokenizer.encode(text, Bos::Omit).unwrap(), Control::Show), text);
    }
}

#[test]
fn parts_are_whole_characters_and_together_the_text() {
    for (name, tokenizer) in [("bpe", bpe("qwen2")), ("spm", spm())] {
        for text in TEXTS.iter() {
            let ids = tokenizer.encode(text, Bos::Omit).unwrap();
            let mut stream = tokenizer.stream(Control::Show);
            let parts: Vec<String> = ids.iter().map(|&id| stream.push(id)).collect();
            assert_eq!(stream.finish(), "", "{name}: {text:?} ends within a character");
            let n_replaced = parts.concat().matches('\u{FFFD}').count();
            assert_eq!(n_replaced, text.matches('\u{FFFD}').count(), "{name}: {text:?}");
            let whole = parts.concat();
            let whole = if name == "spm" { whole.strip_prefix(' ').unwrap_or(&whole) } else { &whole };
            assert_eq!(whole, tokenizer.decode(&ids, Control::Show));
        }
    }
}

#[test]
fn texts_begin_as_the_file_says() {
    let spm_of = |add_bos| with_vocabulary(SPM, |v| Tokenizer::from_gguf(GgufVocabulary { add_bos, ..v }));
    let first = |tokenizer: &Tokenizer| tokenizer.encode("x", Bos::AsModelSays).unwrap()[0];
    // By default SentencePiece begins with it, and Llama 3 does; the others do not.
    assert_eq!(first(&spm()), 1);
    assert_ne!(first(&spm_of(Some(false)).unwrap().unwrap()), 1);
    assert_eq!(spm().encode("<s>x", Bos::AsModelSays).unwrap().iter().filter(|&&id| id == 1).count(), 1);
    for (pre, add_bos, begins) in [
        ("llama-bpe", None, true),
        ("llama-bpe", Some(false), false),
        ("qwen2", None, false),
        ("deepseek-r1-qwen", Some(true), true),
    ] {
        let tokenizer = with_vocabulary(BPE, |v| Tokenizer::from_gguf(GgufVocabulary { pre, add_bos, ..v }));
        assert_eq!(first(&tokenizer.unwrap().unwrap()) == 0, begins, "{pre} {add_bos:?}");
    }
    // A tokenizer.json says it by its post-processor.
    let mut json = bpe_json(&FACTS["bpe"]["llama-bpe"]);
    assert_ne!(first(&from_json(&json)), 0);
    let template = json!({"type": "TemplateProcessing", "single": [
        {"SpecialToken": {"id": "<｜begin▁of▁sentence｜>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]});
    json["post_processor"] = json!({"type": "Sequence", "processors": [{"type": "ByteLevel"}, template]});
    assert_eq!(first(&from_json(&json)), 0);
    // A stale id of the model's config does not change that.
    let stale = SpecialIds { bos: Some(5), ..SpecialIds::default() };
    assert_eq!(first(&Tokenizer::from_json(&json.to_string(), stale).unwrap()), 0);
    // What a post-processor writes stays, whatever the other file says, as in transformers.
    let denied = TokenizerConfig::read(r#"{"add_bos_token": false}"#);
    let denied = Tokenizer::from_files(&json.to_string(), SpecialIds::default(), Some(&denied)).unwrap();
    assert_eq!(first(&denied), 0);
    let beyond = |mut v: GgufVocabulary<'_>| {
        v.special.bos = Some(u32::MAX);
        Tokenizer::from_gguf(v).unwrap().unwrap()
    };
    assert_eq!(first(&with_vocabulary(SPM, beyond)), 1, "as SentencePiece's own files have it");
}

#[test]
fn odd_sentence_piece_vocabularies_are_told_of_and_used() {
    let of = |spoil: fn(&mut GgufVocabulary<'_>)| {
        with_vocabulary(SPM, |mut vocabulary| {
            spoil(&mut vocabulary);
            Tokenizer::from_gguf(vocabulary).unwrap().unwrap()
        })
    };
    let unscored = of(|v| v.scores.clear());
    assert!(unscored.notices().join("; ").contains("scores is missing"));
    let ids = unscored.encode("a word", Bos::Omit).unwrap();
    assert_eq!(unscored.decode(&ids, Control::Show), "a word");
    // A token that ends texts is one whatever its type is.
    for kind in [0, 1, 3, 4, 5, 6] {
        let ends = with_vocabulary(SPM, |mut v| {
            (v.tokens[700], v.token_types[700]) = ("<|im_end|>".into(), kind);
            Tokenizer::from_gguf(v).unwrap().unwrap()
        });
        assert!(ends.encode("a<|im_end|>", Bos::Omit).unwrap().ends_with(&[700]), "type {kind}");
    }
    let lacking = of(|v| {
        let at = v.tokens.iter().position(|token| token == "<0x0A>").unwrap();
        v.tokens[at] = "<0x0a>".into();
    });
    assert!(lacking.notices().join("; ").contains("1 bytes have no token, the first of them 0x0A"));
    let unknown = lacking.id_of("<unk>").unwrap();
    assert!(lacking.encode("a\nb", Bos::Omit).unwrap().contains(&unknown));
    let without_bytes = of(|v| {
        v.token_types.iter_mut().filter(|kind| **kind == 6).for_each(|kind| *kind = 1);
        v.tokens.iter_mut().filter(|token| token.starts_with("<0x")).for_each(|token| token.insert(1, 'b'));
    });
    assert!(without_bytes.notices().join("; ").contains("243 bytes have no token"), "{:?}", without_bytes.notices());
    let spelt = spm().encode("a word", Bos::Omit).unwrap();
    let ids = without_bytes.encode("a word\u{1}\u{2}", Bos::Omit).unwrap();
    assert_eq!(ids, [&spelt[..], &[unknown]].concat());
    let long = of(|v| v.tokens[700] = "x".repeat(5000));
    assert!(long.notices().join("; ").contains("1 tokens have more than 512 bytes, the first of them \"xxx"));
    assert_eq!(long.encode("a word", Bos::Omit).unwrap(), spelt);
}

/// As transformers has it: what begins a plain text stands in `tokenizer.json`, and the BOS token is for templates.
#[test]
fn the_tokens_before_a_text_are_those_of_its_own_file() {
    let mut json = bpe_json(&FACTS["bpe"]["qwen2"]);
    let special = |text: &str| json!({"SpecialToken": {"id": text, "type_id": 0}});
    let (begin, end) = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>");
    let sequence = json!({"Sequence": {"id": "A", "type_id": 0}});
    json["post_processor"] = json!({"type": "TemplateProcessing",
        "single": [special(begin), special("<think>"), sequence, special(end)]});
    let config = TokenizerConfig::read(&json!({"bos_token": end, "chat_template": "{{ bos_token }}"}).to_string());
    let tokenizer = Tokenizer::from_files(&json.to_string(), SpecialIds::default(), Some(&config)).unwrap();
    let [begin, think, end] = [begin, "<think>", end].map(|text| tokenizer.id_of(text).unwrap());
    let x = tokenizer.encode("x", Bos::Omit).unwrap();
    assert_eq!(tokenizer.encode("x", Bos::AsModelSays).unwrap(), [&[begin, think], &x[..]].concat());
    assert!(tokenizer.notices().join("; ").contains("should end with \"<｜end"), "{:?}", tokenizer.notices());
    // What a template has begun is begun.
    let chat = Chat::from_config(&config, &tokenizer).unwrap().unwrap();
    let text = chat.render(&[Message::from("x")], &RenderOptions::default()).unwrap();
    assert_eq!(tokenizer.encode(&text, Bos::AsModelSays).unwrap(), [end]);
}

/// Two more kinds of post-processors, and ids that go before names, as in the tokenizers library.
#[test]
fn a_post_processor_names_tokens_by_their_ids() {
    let mut json = bpe_json(&FACTS["bpe"]["qwen2"]);
    let item = json!({"SpecialToken": {"id": "[BOS]", "type_id": 0}});
    let sequence = json!({"Sequence": {"id": "A", "type_id": 0}});
    for (post_processor, begins) in [
        (json!({"type": "RobertaProcessing", "cls": ["<s>", 1], "sep": ["</s>", 2]}), &[1][..]),
        (json!({"type": "BertProcessing", "cls": ["<s>", 3], "sep": ["</s>", 2]}), &[3]),
        (
            json!({"type": "TemplateProcessing", "single": [item, sequence],
                "special_tokens": {"[BOS]": {"id": "[BOS]", "ids": [2, 1], "tokens": ["a", "b"]}}}),
            &[2, 1],
        ),
        // Ids that name nothing begin nothing.
        (json!({"type": "RobertaProcessing", "cls": ["<s>", 4_000_000_000u32], "sep": ["</s>", 2]}), &[]),
        (json!({"type": "RobertaProcessing", "cls": 7}), &[]),
    ] {
        json["post_processor"] = post_processor;
        let tokenizer = from_json(&json);
        let x = tokenizer.encode("x", Bos::Omit).unwrap();
        assert_eq!(tokenizer.encode("x", Bos::AsModelSays).unwrap(), [begins, &x[..]].concat(), "{json:?}");
    }
}

/// What `tokenizer_config.json` says of a token counts, as in transformers.
#[test]
fn how_a_token_is_found_is_said_by_the_later_file() {
    let json = bpe_json(&FACTS["bpe"]["qwen2"]);
    let plain = from_json(&json);
    let id = plain.id_of("<think>").unwrap();
    let added = json!({"content": "<think>", "lstrip": true, "special": true});
    let config = TokenizerConfig::read(&json!({"added_tokens_decoder": {id.to_string(): added}}).to_string());
    let of = |config: &_| Tokenizer::from_files(&json.to_string(), SpecialIds::default(), Some(config)).unwrap();
    let told = of(&config);
    // Older files give no more than ids, which is no word on the rest.
    let older = config.with_older(None, Some(&json!({"<｜end▁of▁sentence｜>": 1}).to_string()));
    assert_eq!(of(&older).decode(&[1], Control::Hide), plain.decode(&[1], Control::Hide));
    let ids = |of: &Tokenizer| of.encode("x  <think>", Bos::Omit).unwrap();
    assert_eq!(ids(&plain).len(), ids(&told).len() + 1);
    assert_eq!((plain.decode(&[id], Control::Hide), told.decode(&[id], Control::Hide)), ("<think>".into(), "".into()));
}

#[test]
fn what_cannot_be_spelt_is_the_unknown_token_of_the_file() {
    let mut json = bpe_json(&FACTS["bpe"]["qwen2"]);
    let vocab = json["model"]["vocab"].as_object_mut().unwrap();
    let id = vocab.remove("!").unwrap();
    vocab.insert("no-such-byte".to_owned(), id.clone());
    let id = id.as_u64().unwrap() as u32;
    let merges = json["model"]["merges"].as_array_mut().unwrap();
    merges.retain(|merge| !merge.as_str().unwrap_or_default().contains('!'));
    let of = |unknown: Value, fuses: bool| {
        let mut json = json.clone();
        (json["model"]["unk_token"], json["model"]["fuse_unk"]) = (unknown, json!(fuses));
        from_json(&json).encode("!!", Bos::Omit).unwrap()
    };
    assert_eq!(of(Value::Null, false), [0u32; 0]);
    assert_eq!(of(json!("nowhere"), false), [0u32; 0]);
    assert_eq!(of(json!("no-such-byte"), true), [id]);
    assert_eq!(of(json!("no-such-byte"), false), [id, id]);
}

/// Padding of -1 means none, and type 0 says nothing of a token.
#[test]
fn ids_below_zero_and_types_of_zero_do_no_harm() {
    let odd = crate::crafted::GgufFile::new()
        .key("general.architecture", 8, &crate::crafted::text(b"llama"))
        .key("tokenizer.ggml.padding_token_id", 5, &(-1i32).to_le_bytes())
        .key("tokenizer.ggml.bos_token_id", 5, &7i32.to_le_bytes());
    let file = pollster::block_on(gguf::read(&Memory::new("odd", odd.bytes()), 0)).unwrap();
    let special = GgufVocabulary::from_metadata(&file.metadata).unwrap().special;
    assert_eq!((special.pad, special.bos), (None, Some(7)));
    // A truth value as a number, and a token that is no UTF-8.
    let texts =
        [&[8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0][..], &crate::crafted::text(b"a\xff"), &crate::crafted::text(b"b")];
    let odd = crate::crafted::GgufFile::new().key("tokenizer.ggml.add_bos_token", 0, &[1]).key(
        "tokenizer.ggml.tokens",
        9,
        &texts.concat(),
    );
    let file = pollster::block_on(gguf::read(&Memory::new("odd", odd.bytes()), 0)).unwrap();
    let vocabulary = GgufVocabulary::from_metadata(&file.metadata).unwrap();
    assert_eq!((vocabulary.add_bos, vocabulary.n_no_utf8), (Some(true), 1));
    assert_eq!(vocabulary.tokens, ["a\u{FFFD}", "b"]);
    let told = with_vocabulary(BPE, |v| Tokenizer::from_gguf(GgufVocabulary { pre: "qwen2", n_no_utf8: 1, ..v }));
    assert!(told.unwrap().unwrap().notices().join("; ").contains("1 tokens are no UTF-8"));
    let spoilt = with_vocabulary(BPE, |mut vocabulary| {
        vocabulary.token_types[300] = 0;
        Tokenizer::from_gguf(GgufVocabulary { pre: "qwen2", ..vocabulary }).unwrap().unwrap()
    });
    assert_eq!(spoilt.encode("Hello", Bos::Omit).unwrap(), bpe("qwen2").encode("Hello", Bos::Omit).unwrap());
}

/// Names that share a cut differ in whether words are taken whole and in what begins a text.
#[test]
fn pre_tokenizers_say_what_begins_a_text() {
    let begins = |pre| {
        let tokenizer = with_vocabulary(BPE, |v| {
            Tokenizer::from_gguf(GgufVocabulary { pre, add_bos: None, ..v }).unwrap().unwrap()
        });
        tokenizer.special().add_bos
    };
    assert!(begins("llama-bpe") && begins("tekken") && begins("jina-v5-nano"));
    for pre in ["youtu", "minicpm5", "granite-embed-multi-97m", "falcon", "bloom", "superbpe", "tiny_aya", "smaug-bpe"]
    {
        assert!(!begins(pre), "{pre}");
    }
    let whole = |pre| bpe(pre).encode("tabs", Bos::Omit).unwrap().len() == 1;
    assert!(whole("youtu") && whole("minicpm5") && !whole("falcon") && !whole("gpt-4o"));
}

#[test]
fn a_faulty_sentence_piece_vocabulary_is_refused_with_its_fault() {
    type Spoil = fn(&mut GgufVocabulary<'_>);
    let faults: [(&str, Spoil); 2] = [
        ("799 scores for 800 tokens", |v| v.scores.truncate(799)),
        ("none of them for a single byte", |v| v.tokens.iter_mut().for_each(|token| token.insert_str(0, "xx"))),
    ];
    for (message, spoil) in faults {
        let error = with_vocabulary(SPM, |mut vocabulary| {
            spoil(&mut vocabulary);
            Tokenizer::from_gguf(vocabulary).unwrap_err().to_string()
        });
        assert!(error.contains(message) && error.len() < 300, "{error:?} lacks {message:?}");
    }
    let mut json = spm_json();
    for (steps, word) in [
        (json!({"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": false}), "other kinds"),
        (json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "odd", "split": false}), "odd"),
        (Value::Null, "other kinds"),
    ] {
        json["pre_tokenizer"] = steps;
        let error = Tokenizer::from_json(&json.to_string(), SpecialIds::default()).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

/// The tokenizer of a `tokenizer.json` as a GGUF made from it has it, with 7 rows more in the embedding.
fn through_gguf(json: &Value) -> Tokenizer {
    let n_vocab = json["model"]["vocab"].as_object().unwrap().len() as u32 + 7;
    let special = SpecialIds { bos: Some(0), ..SpecialIds::default() };
    let keys = export::gguf_keys(&json.to_string(), None, special, &[], n_vocab, &mut Vec::new()).unwrap();
    let file = gguf::head(keys.iter().map(|(key, value)| (key.as_str(), value)), &[]).unwrap();
    let file = pollster::block_on(gguf::read(&Memory::new("made", file), 0)).unwrap();
    let tokenizer = Tokenizer::from_gguf(GgufVocabulary::from_metadata(&file.metadata).unwrap()).unwrap().unwrap();
    assert_eq!(tokenizer.n_vocab(), n_vocab as usize);
    assert_eq!(tokenizer.special().bos, Some(0));
    tokenizer
}

#[test]
fn what_a_gguf_is_told_of_a_tokenizer_json_gives_the_ids_of_llama_cpp() {
    for (name, facts) in FACTS["bpe"].as_object().unwrap() {
        let mut json = bpe_json(facts);
        json["model"]["ignore_merges"] = json!(name == "llama-bpe");
        check(&format!("{name} through a gguf"), &through_gguf(&json), &expected(facts, "llama_cpp"));
    }
    let facts = &FACTS["spm"];
    let mut json = spm_json();
    json["normalizer"] = facts["tokenizer_json"]["normalizer"].clone();
    check("spm through a gguf", &through_gguf(&json), &expected(facts, "llama_cpp"));
    assert_eq!(through_gguf(&json).decode(&[700], Control::Show), spm().decode(&[700], Control::Show));
}

#[test]
fn what_a_gguf_cannot_be_told_is_refused() {
    let mut json = bpe_json(&FACTS["bpe"]["qwen2"]);
    json["model"]["ignore_merges"] = json!(true);
    let n_vocab = json["model"]["vocab"].as_object().unwrap().len() as u32;
    let refused = |json: &Value, n_vocab| {
        let keys = export::gguf_keys(&json.to_string(), None, SpecialIds::default(), &[], n_vocab, &mut Vec::new());
        keys.expect_err("refused").to_string()
    };
    assert!(refused(&json, n_vocab).contains("ignore_merges"));
    json["model"]["ignore_merges"] = json!(false);
    assert!(refused(&json, n_vocab - 1).contains("rows of the embedding"));
    // What was added behind the rows is left out, as `run` leaves it out, and what has no key is told.
    json["added_tokens"] = json!([{"id": n_vocab, "content": "<beyond>", "special": true},
        {"id": n_vocab - 1, "content": json["model"]["vocab"].as_object().unwrap().iter().find(|(_, id)| **id == n_vocab - 1)
            .unwrap().0, "special": true, "lstrip": true}]);
    let mut told = Vec::new();
    let keys = export::gguf_keys(&json.to_string(), None, SpecialIds::default(), &[], n_vocab, &mut told).unwrap();
    let Some((_, GgufValue::Texts(texts))) = keys.iter().find(|(key, _)| key == "tokenizer.ggml.tokens") else {
        panic!()
    };
    assert!(texts.len() == n_vocab as usize && told[0].contains("1 added tokens have no row"), "{told:?}");
    assert!(told[1].contains("lstrip"), "{told:?}");
    let mut json = spm_json();
    json["pre_tokenizer"] = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true});
    assert!(refused(&json, n_vocab).contains("splits of its own"));
}

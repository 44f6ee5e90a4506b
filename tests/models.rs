//! `headstart models`, and models that are more than one file of a hub: split ones, safetensors, files of other servers.

use crate::hub_server::home::{Home, done, embedded, noise, refused, text};
use crate::hub_server::{COMMIT, Files, REPO, Reply, Server, git_hash, sha256};
use serde_json::Value;
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};

fn json(output: &Output) -> Value {
    serde_json::from_str(&done(output)).expect("JSON")
}

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/families/qwen3/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).expect("the fixture")
}

/// Two models, one of them in parts.
fn two_models() -> Files {
    Files::one("m-Q4_K_M.gguf", &noise(2000))
        .and("Q8_0/m-Q8_0-00001-of-00002.gguf", &noise(3000))
        .and("Q8_0/m-Q8_0-00002-of-00002.gguf", &noise(3001))
}

#[test]
fn what_is_cached_is_listed_and_can_be_deleted() {
    let (home, files) = (Home::new(), two_models());
    let hub = Server::start(move |request| files.answer(request));
    let headstart = |words: &[&str]| home.run(&hub.url, words);
    assert_eq!(json(&headstart(&["models", "list", "--json"])), Value::Array(Vec::new()));
    let one = format!("{REPO}:Q8_0");
    let paths = done(&headstart(&["models", "pull", "--paths", REPO, &one]));
    let [first, second] = [0, 1].map(|index| paths.lines().nth(index).expect("a path").to_owned());
    assert!(first.ends_with("m-Q4_K_M.gguf") && second.ends_with("Q8_0/m-Q8_0-00001-of-00002.gguf"), "{paths}");

    let listed = json(&headstart(&["models", "list", "--json"]));
    let row = |index: usize| {
        let row = &listed[index];
        assert!(row["used_s"].as_u64().is_some_and(|used| used > 1_700_000_000), "{row}");
        (row["model"].as_str().unwrap_or_default().to_owned(), row["bytes"].as_u64(), row["complete"].as_bool())
    };
    assert_eq!(row(0), (format!("{REPO}/Q8_0/m-Q8_0-00001-of-00002.gguf"), Some(6001), Some(true)));
    assert_eq!(row(1), (format!("{REPO}/m-Q4_K_M.gguf"), Some(2000), Some(true)));
    assert_eq!(listed[1]["path"], Value::from(first.clone()));
    let table = done(&headstart(&["models", "list"]));
    assert!(table.contains(&first) && table.contains("2.00 kB") && table.contains("yes"), "{table}");

    // A model that lost a part is no whole one.
    std::fs::remove_file(second.replace("00001-of", "00002-of")).expect("the part");
    let listed = json(&headstart(&["models", "list", "--json"]));
    assert_eq!((&listed[0]["complete"], &listed[1]["complete"]), (&Value::from(false), &Value::from(true)));
    done(&headstart(&["models", "pull", &one]));

    // Nobody is there to say yes.
    refused(&headstart(&["models", "rm", &one]), 2, &["--yes"]);
    assert_eq!(home.blobs().len(), 3);
    done(&headstart(&["models", "rm", &one, "--yes"]));
    assert_eq!(home.blobs(), [sha256(&noise(2000))]);
    for (absent, word) in
        [(&one[..], "Q8_0"), ("owner/other", "not in the cache"), ("owner/model-GGUF/x.gguf", "x.gguf")]
    {
        refused(&headstart(&["models", "rm", "-y", absent]), 2, &[word]);
    }
    for hostile in ["../..", "..", "/etc", "owner/..", "owner/model-GGUF/../../x.gguf", "owner/model-GGUF:../x"] {
        refused(&headstart(&["models", "rm", "--yes", hostile]), 2, &[]);
    }
    done(&headstart(&["models", "rm", "--yes", REPO]));
    assert!(!home.repo().exists());
    assert_eq!(json(&headstart(&["models", "list", "--json"])), Value::Array(Vec::new()));
}

#[test]
fn known_models_are_listed_with_what_they_take() {
    let home = Home::new();
    // No adapter but the machine itself.
    let list = |more: &[&str]| {
        let words = [&["models", "list", "--known"], more].concat();
        let output = home.program("http://127.0.0.1:1", &words).env("WGPU_BACKEND", "dx12,metal").output();
        output.expect("the program starts")
    };
    let known = json(&list(&["--json"]));
    let memory = |rows: &Value, index: usize| rows[index]["memory_bytes"].as_u64().expect("bytes");
    assert!(known.as_array().is_some_and(|rows| rows.len() >= 10));
    assert_eq!(known[0]["model"], "unsloth/DeepSeek-R1-Distill-Qwen-1.5B-GGUF:Q4_K_M");
    let longer = json(&list(&["--json", "-c", "8192"]));
    // 28 layers of two heads of 128 keys and as many values, in four bytes.
    assert_eq!(memory(&longer, 0) - memory(&known, 0), 4096 * 28 * 2 * 2 * 128 * 4);
    let halves = json(&list(&["--json", "-ctk", "f16", "-ctv", "f16"]));
    assert_eq!(memory(&known, 0) - memory(&halves, 0), 4096 * 28 * 2 * 2 * 128 * 2);
    let longest = json(&list(&["--json", "-c", "1000000"]));
    assert_eq!(longest[0]["n_context"], 131_072, "no more than the model was made for");
    for row in known.as_array().expect("rows") {
        assert!(row["fits"].is_boolean() || row["fits"].is_null(), "{row}");
    }
    let table = list(&[]);
    assert!(text(&table.stderr).contains("CPU"), "{}", text(&table.stderr));
    assert!(done(&table).contains("R1-Distill-Qwen-1.5B"));
}

#[test]
fn safetensors_come_with_what_belongs_to_them() {
    let weights = fixture("model.safetensors");
    let n_header = u64::from_le_bytes(weights[..8].try_into().expect("eight bytes")) as usize;
    let header: Value = serde_json::from_slice(&weights[8..8 + n_header]).expect("a header");
    let map: serde_json::Map<String, Value> = header
        .as_object()
        .expect("tensors")
        .keys()
        .filter(|name| *name != "__metadata__")
        .map(|name| (name.clone(), "model-00001-of-00001.safetensors".into()))
        .collect();
    let index = serde_json::json!({ "weight_map": map }).to_string();
    let one = Files::one("model.safetensors", &weights);
    let sharded =
        Files::one("model.safetensors.index.json", index.as_bytes()).and("model-00001-of-00001.safetensors", &weights);
    let folder = format!("{}/tests/fixtures/families/qwen3", env!("CARGO_MANIFEST_DIR"));
    let local = Home::new();
    let eval = ["eval", "--ids", "1,2,3,4", "--adapter", "cpu", "--json"];
    let local =
        json(&local.run("http://127.0.0.1:1", &[&eval[..], &["-m", &format!("{folder}/model.safetensors")]].concat()));
    for files in [one, sharded] {
        let files = files.and("config.json", &fixture("config.json")).and("pytorch_model.bin", b"left alone");
        let (home, n_files) = (Home::new(), files.0.len() - 1);
        let hub = Server::start(move |request| files.answer(request));
        let evaluated = json(&home.run(&hub.url, &[&eval[..], &["-hf", REPO]].concat()));
        assert_eq!(evaluated["nats_per_token"], local["nats_per_token"]);
        assert_eq!(home.blobs().len(), n_files);
        assert!(home.blobs().contains(&git_hash(&fixture("config.json"))), "small files are named by git's hash");
    }
}

#[test]
fn a_small_file_is_checked_too() {
    let (home, files) = (Home::new(), Files::one("model.safetensors", &noise(100)).and("config.json", b"{\"a\": 1}"));
    let hub = Server::start(move |request| match files.found(request) {
        Some(b"{\"a\": 1}") => Reply::new(200, "{\"a\": 2}"),
        _ => files.answer(request),
    });
    refused(&home.pull(&hub.url), 3, &["config.json", &git_hash(b"{\"a\": 1}")]);
    assert_eq!(home.blobs(), Vec::<String>::new(), "the weights would have come last");
    let offline = home.program(&hub.url, &["models", "pull", REPO]).env("HF_HUB_OFFLINE", "1").output();
    refused(&offline.expect("the program starts"), 2, &["HF_HUB_OFFLINE"]);
}

#[test]
fn a_model_without_its_tokenizer_is_not_taken_for_whole() {
    let files =
        Files::one("model.safetensors", &fixture("model.safetensors")).and("config.json", &fixture("config.json"));
    let files = files.and("tokenizer.json", b"{}");
    let home = Home::new();
    let hub = Server::start(move |request| match files.found(request) {
        Some(b"{}") => Reply::new(403, ""),
        _ => files.answer(request),
    });
    // At a commit, of which no branch has to be noted.
    let address = format!("{}/{REPO}/tree/{COMMIT}", hub.url);
    refused(&home.run(&hub.url, &["models", "pull", &address]), 2, &["tokenizer.json", "403"]);
    let offline = home.program(&hub.url, &["models", "pull", &address]).env("HF_HUB_OFFLINE", "1").output();
    refused(&offline.expect("the program starts"), 2, &["HF_HUB_OFFLINE"]);
    assert_eq!(json(&home.run(&hub.url, &["models", "list", "--json"])), Value::Array(Vec::new()));
}

#[test]
fn a_file_of_any_server_is_kept_beside_the_hubs() {
    let (home, bytes) = (Home::new(), std::fs::read(embedded()).expect("the embedded model"));
    let n_asked = AtomicUsize::new(0);
    let server = Server::start(move |request| match request.path.as_str() {
        // The first real request is cut; the one before only asks.
        "/a/tiny.gguf?key=1" => {
            let is_cut = n_asked.fetch_add(1, Ordering::SeqCst) == 1;
            Reply { cut: is_cut.then_some(1 << 20), ..Reply::file(&bytes, request).with("ETag", "\"1\"") }
        }
        "/b/m-00001-of-00002.gguf" => Reply::file(&noise(1000), request),
        "/b/m-00002-of-00002.gguf" => Reply::file(&noise(1001), request),
        _ => Reply::new(404, ""),
    });
    let url = format!("{}/a/tiny.gguf?key=1", server.url);
    let words = ["run", "--adapter", "cpu", "--temp", "0", "-n", "2", "-hf", &url];
    let written = done(&home.run("http://127.0.0.1:1", &words));
    assert!(server.asked().iter().any(|request| request.from() == Some(1 << 20)));
    assert_eq!(done(&home.run("http://127.0.0.1:1", &words)), written);
    assert_eq!(server.asked().len(), 0, "what is there is not asked for");

    let part = format!("{}/b/m-00002-of-00002.gguf", server.url);
    let path = done(&home.run("http://127.0.0.1:1", &["models", "pull", "--paths", &part]));
    assert!(path.trim_end().ends_with("m-00001-of-00002.gguf"), "{path}");
    assert_eq!(std::fs::read(path.trim_end().replace("00001-of", "00002-of")).expect("the part"), noise(1001));
    let listed = json(&home.run("http://127.0.0.1:1", &["models", "list", "--json"]));
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    for url in [&url, &part] {
        done(&home.run("http://127.0.0.1:1", &["models", "rm", "--yes", url]));
    }
    assert_eq!(json(&home.run("http://127.0.0.1:1", &["models", "list", "--json"])), Value::Array(Vec::new()));
    refused(&home.run("http://127.0.0.1:1", &["models", "pull", &format!("{}/x.gguf", server.url)]), 2, &["404"]);
    refused(
        &home.run("http://127.0.0.1:1", &["models", "pull", "http://127.0.0.1:2/x.gguf"]),
        5,
        &["x.gguf", "connection"],
    );
}

#[test]
fn another_version_of_a_file_is_not_mixed_with_the_first() {
    let (home, n_asked) = (Home::new(), AtomicUsize::new(0));
    // Asked, cut off for good, and then there is another file of the same length.
    let server = Server::start(move |request| match n_asked.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::file(&[1; 50_000], request).with("ETag", "\"one\""),
        n @ 1..=4 => Reply { cut: Some(if n == 1 { 20_000 } else { 0 }), ..Reply::file(&[1; 50_000], request) },
        // Asked again, cut off, and there is another one while it is gone on with.
        5 => Reply::file(&[1; 50_000], request).with("ETag", "\"one\""),
        6 => Reply { cut: Some(0), ..Reply::file(&[1; 50_000], request).with("ETag", "\"one\"") },
        _ => Reply::file(&[2; 50_000], request).with("ETag", "\"two\""),
    });
    let url = format!("{}/m.gguf", server.url);
    let pull = || home.run("http://127.0.0.1:1", &["models", "pull", "--paths", &url]);
    refused(&pull(), 5, &["20000", "goes on"]);
    refused(&pull(), 3, &["another file"]);
    assert_eq!(std::fs::read(done(&pull()).trim_end()).expect("the file"), [2; 50_000]);
}

#[test]
fn a_new_commit_is_taken_and_the_old_files_serve_it() {
    let (home, files) = (Home::new(), two_models());
    let later = files.clone();
    let hub = Server::start(move |request| files.answer(request));
    done(&home.pull(&hub.url));
    let new = COMMIT.replace('0', "f");
    let commit = new.clone();
    let hub = Server::start(move |request| {
        let mut reply = later.answer(&request.at(&request.path.replace(&commit, COMMIT)));
        if request.path.contains("/revision/") {
            reply.body = text(&reply.body).replace(COMMIT, &commit).into_bytes();
        }
        reply
    });
    let path = done(&home.pull(&hub.url));
    assert!(path.contains(&new), "{path}");
    assert!(!hub.asked().iter().any(|request| request.path.contains("/resolve/")), "the bytes were there");
    assert_eq!(home.blobs().len(), 1);
    assert_eq!(std::fs::read_to_string(home.repo().join("refs/main")).expect("the ref"), new);
}

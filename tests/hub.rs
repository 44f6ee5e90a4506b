//! Models from a hub, by the program itself against a server in the test: what goes well, and everything that does not.
//! Whatever goes wrong, the error says what to do, and nothing that is half there passes for whole.

use crate::hub_server::home::{Home, done, embedded, noise, refused, text};
use crate::hub_server::{COMMIT, Files, REPO, Reply, Request, Server, sha256};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const FILE: &str = "model-Q4_K_M.gguf";

fn is_file(request: &Request) -> bool {
    request.path.contains("/resolve/")
}

#[test]
fn a_model_is_downloaded_once_and_runs_from_the_cache() {
    let (home, bytes) = (Home::new(), std::fs::read(embedded()).expect("the embedded model"));
    let files = Files::one(FILE, &bytes).and("README.md", b"no model").and("model-Q8_0.gguf", b"another");
    let hub = Server::start(move |request| files.answer(request));
    let words = ["run", "--adapter", "cpu", "--temp", "0", "-n", "2", "-hf", REPO];
    let first = home.run(&hub.url, &words);
    let written = done(&first);
    assert_eq!(
        written,
        done(&home.run(&hub.url, &["run", "--adapter", "cpu", "--temp", "0", "-n", "2", "-m", &embedded()]))
    );
    assert!(text(&first.stderr).contains("downloading owner/model-GGUF/model-Q4_K_M.gguf"), "{}", text(&first.stderr));
    assert_eq!(hub.asked().iter().filter(|request| is_file(request)).count(), 1);

    // The layout of the cache, by its description and by the hub's own library.
    let pointer = home.repo().join("snapshots").join(COMMIT).join(FILE);
    assert_eq!(home.blobs(), [sha256(&bytes)]);
    assert_eq!(std::fs::read_to_string(home.repo().join("refs/main")).expect("the ref"), COMMIT);
    assert_eq!(hf_hub::Cache::new(home.cache()).model(REPO.to_owned()).get(FILE), Some(pointer.clone()));
    #[cfg(unix)]
    assert_eq!(std::fs::read_link(&pointer).expect("a link"), Path::new("../../blobs").join(sha256(&bytes)));

    // Again: the hub is asked what there is, and nothing is fetched.
    assert_eq!(done(&home.run(&hub.url, &words)), written);
    assert!(!hub.asked().iter().any(is_file));
    // Without a connection: what is cached serves, and that is said.
    let alone = home.run("http://127.0.0.1:1", &words);
    assert_eq!(done(&alone), written);
    assert!(text(&alone.stderr).contains("cannot be reached"), "{}", text(&alone.stderr));
    // Likewise where the hub does not want to: a limit of requests, a token of yesterday, the page of a login.
    for (status, body) in [(429, ""), (401, ""), (404, ""), (200, "<html>")] {
        let unwilling = Server::start(move |_| Reply::new(status, body));
        let served = home.run(&unwilling.url, &words);
        assert_eq!(done(&served), written);
        assert!(text(&served.stderr).contains("what is cached"), "{status}: {}", text(&served.stderr));
    }
    // Without wanting one: nobody is asked.
    let offline = home.program(&hub.url, &words).env("HF_HUB_OFFLINE", "1").output().expect("the program starts");
    assert_eq!(done(&offline), written);
    assert_eq!(hub.asked().len(), 0);
    // Every command that takes a model takes it from there.
    for words in [
        &["tokenize", "-hf", REPO, "-p", "It was"][..],
        &["detokenize", "-hf", REPO, "5,6"],
        &["eval", "-hf", REPO, "--ids", "5,6,7", "--adapter", "cpu"],
        &["run", "--hf-repo", REPO, "--hf-file", FILE, "--adapter", "cpu", "-n", "1"],
        &["bench", "-hf", REPO, "--adapter", "cpu", "-p", "0", "-n", "1", "-r", "1", "--no-probe", "--no-check"],
    ] {
        done(&home.run(&hub.url, words));
    }
    refused(&home.run(&hub.url, &["run", "-hf", REPO, "-m", FILE]), 2, &["--hf-repo", "--model"]);
    refused(&home.run(&hub.url, &["run", "--hf-file", FILE]), 2, &["--hf-repo"]);
}

#[test]
fn a_connection_that_is_cut_is_gone_on_with() {
    let (home, bytes) = (Home::new(), noise(300_000));
    let (files, n_asked) = (Files::one(FILE, &bytes), AtomicUsize::new(0));
    let hub = Server::start(move |request| {
        let reply = files.answer(request);
        let is_first = is_file(request) && n_asked.fetch_add(1, Ordering::SeqCst) == 0;
        if is_first { Reply { cut: Some(123_456), ..reply } } else { reply }
    });
    let path = done(&home.pull(&hub.url));
    assert_eq!(std::fs::read(path.trim_end()).expect("the file"), bytes);
    let asked: Vec<Option<usize>> = hub.asked().iter().filter(|request| is_file(request)).map(Request::from).collect();
    assert_eq!(asked, [None, Some(123_456)]);
}

#[test]
fn a_download_that_failed_is_gone_on_with_by_the_next() {
    let (home, bytes) = (Home::new(), noise(300_000));
    let files = Files::one(FILE, &bytes);
    let (broken, whole) = (files.clone(), files);
    // Half of it arrives, and then nothing more however often it is asked for.
    let hub = Server::start(move |request| {
        let cut = if request.from().is_some() { 0 } else { 150_000 };
        Reply { cut: is_file(request).then_some(cut), ..broken.answer(request) }
    });
    refused(&home.pull(&hub.url), 5, &["150000 of 300000", "goes on"]);
    assert_eq!(home.part_bytes(&bytes), 150_000);
    home.assert_nothing_whole();
    let listed = done(&home.run(&hub.url, &["models", "list", "--json"]));
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!((&listed[0]["complete"], &listed[0]["bytes"]), (&Value::from(false), &Value::from(150_000)));

    let hub = Server::start(move |request| whole.answer(request));
    let path = done(&home.pull(&hub.url));
    assert_eq!(std::fs::read(path.trim_end()).expect("the file"), bytes);
    assert!(hub.asked().iter().any(|request| request.from() == Some(150_000)));
    assert_eq!(home.blobs(), [sha256(&bytes)]);
}

#[test]
fn a_server_without_ranges_begins_anew() {
    let (home, bytes) = (Home::new(), noise(300_000));
    let (files, n_asked) = (Files::one(FILE, &bytes), AtomicUsize::new(0));
    let hub = Server::start(move |request| match files.found(request) {
        Some(bytes) => {
            let is_first = n_asked.fetch_add(1, Ordering::SeqCst) == 0;
            Reply { cut: is_first.then_some(100_000), ..Reply::new(200, bytes) }
        }
        None => files.answer(request),
    });
    let path = done(&home.pull(&hub.url));
    assert_eq!(std::fs::read(path.trim_end()).expect("the file"), bytes);
}

#[test]
fn a_token_goes_to_the_hub_and_nowhere_else() {
    let (home, bytes) = (Home::new(), noise(1000));
    let files = Files::one(FILE, &bytes);
    let elsewhere = Server::start(move |request| Reply::file(&noise(1000), request));
    let to = format!("{}/signed?key=1", elsewhere.url);
    // As the hub does: first to its own new name, then to where the bytes are.
    let hub = Server::start(move |request| match request.path.as_str() {
        "/moved" => Reply::new(302, "").with("Location", &to),
        _ if is_file(request) => Reply::new(307, "").with("Location", "/moved"),
        _ => files.answer(request),
    });
    let pull = home.program(&hub.url, &["models", "pull", REPO]).env("HF_TOKEN", "hf_secret").output();
    done(&pull.expect("the program starts"));
    let asked = hub.asked();
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert!(asked.iter().all(|request| request.header("authorization") == Some("Bearer hf_secret")), "{asked:?}");
    let asked = elsewhere.asked();
    assert_eq!(asked.len(), 1);
    assert!(!format!("{asked:?}").contains("secret"), "{asked:?}");
}

#[test]
fn redirects_that_lead_nowhere_end() {
    let files = Files::one(FILE, &noise(1000));
    for (location, word) in [("/again", "10 times"), ("", "nowhere"), ("ftp://127.0.0.1/x", "nowhere")] {
        let (home, files) = (Home::new(), files.clone());
        let hub = Server::start(move |request| match request.path.starts_with("/api/") {
            true => files.answer(request),
            false => Reply::new(302, "").with("Location", location),
        });
        refused(&home.pull(&hub.url), 5, &[word, FILE]);
        home.assert_nothing_whole();
    }
}

/// What answers a request for the file, whatever else is as it should be.
fn pull_answered(answer: impl Fn(&[u8], &Request) -> Reply + Send + Sync + 'static) -> (Home, Output) {
    let (home, files) = (Home::new(), Files::one(FILE, &noise(300_000)));
    let hub = Server::start(move |request| match files.found(request) {
        Some(bytes) => answer(bytes, request),
        None => files.answer(request),
    });
    let words = ["models", "pull", "--paths", REPO];
    let output = home.program(&hub.url, &words).env("HF_HUB_DOWNLOAD_TIMEOUT", "1").output();
    (home, output.expect("the program starts"))
}

#[test]
fn a_wrong_length_is_no_file() {
    for change in [-1_i64, 1] {
        let (home, output) = pull_answered(move |bytes, _| {
            let mut body = bytes.to_vec();
            body.resize((body.len() as i64 + change) as usize, 0);
            Reply::new(200, body)
        });
        refused(&output, 3, &[FILE, &(300_000 + change).to_string(), "300000"]);
        home.assert_nothing_whole();
    }
    let (home, output) = pull_answered(|bytes, request| {
        let mut reply = Reply::file(bytes, request);
        reply.headers.iter_mut().for_each(|header| header.1 = "bytes 7-9/300000".to_owned());
        Reply { cut: request.from().is_none().then_some(1000), ..reply }
    });
    refused(&output, 3, &[FILE, "bytes 7-9/300000"]);
    home.assert_nothing_whole();
}

#[test]
fn a_wrong_hash_is_deleted() {
    let (home, output) = pull_answered(|bytes, request| {
        let mut bytes = bytes.to_vec();
        bytes[200_000] ^= 1;
        Reply::file(&bytes, request)
    });
    refused(&output, 3, &[FILE, &sha256(&noise(300_000)), "deleted"]);
    assert_eq!(home.blobs(), Vec::<String>::new());
    home.assert_nothing_whole();
}

#[test]
fn a_damaged_part_does_not_become_whole() {
    let (home, bytes) = (Home::new(), noise(300_000));
    let files = Files::one(FILE, &bytes);
    let hub = Server::start(move |request| files.answer(request));
    let part = home.repo().join("blobs").join(sha256(&bytes) + ".incomplete");
    std::fs::create_dir_all(part.parent().expect("a folder")).expect("a folder");
    for (damaged, code) in [(vec![7; 1000], 3), (vec![7; 300_000], 3), (vec![7; 300_001], 0)] {
        std::fs::write(&part, &damaged).expect("a part");
        let output = home.pull(&hub.url);
        assert_eq!(output.status.code(), Some(code), "{} bytes: {}", damaged.len(), text(&output.stderr));
        assert!(!part.exists());
    }
    assert_eq!(home.blobs(), [sha256(&bytes)]);
    // A blob that lost its end is fetched again.
    let blob = home.repo().join("blobs").join(sha256(&bytes));
    std::fs::write(&blob, &bytes[..10]).expect("a blob");
    done(&home.pull(&hub.url));
    assert_eq!(std::fs::read(&blob).expect("the blob"), bytes);
}

#[test]
fn refusals_say_what_to_do_and_never_the_token() {
    for (status, token, code, words) in [
        (404, None, 2, &["404", "spelling"][..]),
        (401, None, 2, &["401", "HF_TOKEN", "settings/tokens"]),
        (401, Some("hf_secret"), 2, &["401", "check HF_TOKEN", "terms"]),
        (403, Some("hf_secret"), 2, &["403", "check HF_TOKEN"]),
        (429, None, 5, &["429", "wait"]),
        (503, None, 5, &["503", "try again"]),
    ] {
        for at in ["/revision/", "/tree/", "/resolve/"] {
            let (home, files) = (Home::new(), Files::one(FILE, &noise(1000)));
            let hub = Server::start(move |request| match request.path.contains(at) {
                true => Reply::new(status, "hf_secret"),
                false => files.answer(request),
            });
            let mut program = home.program(&hub.url, &["models", "pull", REPO]);
            token.map(|token| program.env("HF_TOKEN", token));
            let output = program.output().expect("the program starts");
            refused(&output, code, words);
            assert!(!text(&output.stderr).contains("hf_secret"), "{}", text(&output.stderr));
            home.assert_nothing_whole();
        }
    }
    // A token in two lines would be two headers.
    let home = Home::new();
    let output =
        home.program("http://127.0.0.1:1", &["models", "pull", REPO]).env("HF_TOKEN", "hf_secret\r\nX: y").output();
    let output = output.expect("the program starts");
    refused(&output, 2, &["HF_TOKEN"]);
    assert!(!text(&output.stderr).contains("secret"));
}

#[test]
fn a_server_that_asks_for_patience_gets_it_if_it_is_a_minute_at_most() {
    let bytes = noise(1000);
    for (patience, is_had) in [("1", true), ("3600", false), ("soon", false)] {
        let (home, files, n_asked) = (Home::new(), Files::one(FILE, &bytes), AtomicUsize::new(0));
        let hub = Server::start(move |request| match n_asked.fetch_add(1, Ordering::SeqCst) {
            // The first question, and the file.
            0 | 3 => Reply::new(429, "").with("Retry-After", patience),
            _ => files.answer(request),
        });
        let output = home.pull(&hub.url);
        match is_had {
            true => assert!(!done(&output).is_empty() && home.blobs() == [sha256(&bytes)]),
            false => refused(&output, 5, &["429", "wait"]),
        }
    }
}

#[test]
fn slow_is_well_and_silent_is_not() {
    let (home, output) =
        pull_answered(|bytes, request| Reply { pause: Duration::from_millis(80), ..Reply::file(bytes, request) });
    assert_eq!(std::fs::read(done(&output).trim_end()).expect("the file"), noise(300_000));
    drop(home);
    let (home, output) = pull_answered(|bytes, request| {
        let silent_after = Some(if request.from().is_some() { 0 } else { 100_000 });
        Reply { silent_after, ..Reply::file(bytes, request) }
    });
    refused(&output, 5, &[FILE, "for too long", "goes on"]);
    assert_eq!(home.part_bytes(&noise(300_000)), 100_000);
    home.assert_nothing_whole();
}

#[test]
fn hostile_listings_are_refused() {
    let entry = |path: &str| format!(r#"{{"type":"file","size":4,"path":"{path}"}}"#);
    let hash = "a".repeat(64);
    let endless = format!("{}[{}]", " ".repeat(9 << 20), entry(FILE));
    for (listing, code, word) in [
        (format!("[{},{}]", entry("../../../evil.gguf"), entry("/etc/evil.gguf")), 2, "lead elsewhere"),
        (format!("[{}]", entry("a\\\\..\\\\..\\\\evil.gguf")), 2, "lead elsewhere"),
        (entry(FILE).replace(":4", ":18446744073709551615"), 3, "hub's answer"),
        (format!("[{}]", entry(FILE).replace(":4", ":18446744073709551615")), 3, "64 TiB"),
        (format!("[{}]", entry(FILE).replace(":4", ":-4")), 3, "hub's answer"),
        // More than any disk has.
        (format!("[{}]", entry(FILE).replace(":4", ":70368744177664")), 5, "room"),
        (
            format!("[{}]", entry(FILE).replace(":4", &format!(r#":4,"lfs":{{"oid":"../{hash}"}}"#))),
            3,
            "64 hexadecimal",
        ),
        ("<html>Sign in to this network</html>".to_owned(), 3, "HF_ENDPOINT"),
        ("[]".to_owned(), 2, "no GGUF file"),
        (format!("[{}]", entry("m-Q4_K_M-00001-of-99999.gguf")), 2, "00002-of-99999"),
        (endless, 3, "8 MiB"),
    ] {
        let (home, files) = (Home::new(), Files::default());
        let hub = Server::start(move |request| match request.path.contains("/tree/") {
            true => Reply::new(200, listing.clone()),
            false => files.answer(request),
        });
        refused(&home.pull(&hub.url), code, &[word]);
        home.assert_nothing_whole();
        assert_eq!(
            std::fs::read_dir(home.folder())
                .expect("the folder")
                .flatten()
                .filter(|it| it.file_name() != "hub")
                .count(),
            0
        );
    }
    for sha in ["../../..", "main", ""] {
        let home = Home::new();
        let hub = Server::start(move |_| Reply::new(200, format!(r#"{{"sha":"{sha}"}}"#)));
        refused(&home.pull(&hub.url), 3, &["40 hexadecimal"]);
    }
}

#[test]
fn further_pages_are_fetched_from_the_same_hub_and_have_an_end() {
    let (home, bytes) = (Home::new(), noise(1000));
    let files = Files::one(FILE, &bytes);
    let hub = Server::start(move |request| {
        let here = format!("http://{}", request.header("host").unwrap_or_default());
        match request.path.split_once("/tree/") {
            Some((_, page)) if page.contains("cursor=2") => Reply::new(200, files.listing()),
            Some(_) => {
                Reply::new(200, "[]").with("Link", &format!("<{here}/api/models/x/tree/y?cursor=2>; rel=\"next\""))
            }
            None => files.answer(request),
        }
    });
    done(&home.pull(&hub.url));

    let home = Home::new();
    let files = Files::default();
    let hub = Server::start(move |request| {
        let here = format!("<http://{}/api/tree/again>; rel=\"next\"", request.header("host").unwrap_or_default());
        match request.path.contains("/tree/") {
            true => Reply::new(200, "[]").with("Link", &here),
            false => files.answer(request),
        }
    });
    refused(&home.pull(&hub.url), 3, &["pages"]);
    assert!(hub.asked().len() < 200);
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_a_part_that_is_gone_on_with() {
    let (home, bytes) = (Home::new(), noise(300_000));
    let files = Files::one(FILE, &bytes);
    let hub = Server::start(move |request| files.answer(request));
    // A limit on the length of files is met as a full disk is: half a write, then an error.
    let mut shell = home.settled(Command::new("sh"), &hub.url);
    let program = env!("CARGO_BIN_EXE_headstart");
    shell.args(["-c", &format!("ulimit -f 200; exec '{program}' models pull {REPO}")]);
    refused(&shell.output().expect("the shell starts"), 5, &["Make room", "HF_HUB_CACHE", "goes on"]);
    let there = home.part_bytes(&bytes);
    assert!((1..300_000).contains(&there), "{there}");
    home.assert_nothing_whole();
    hub.asked();
    let path = done(&home.pull(&hub.url));
    assert_eq!(std::fs::read(path.trim_end()).expect("the file"), bytes);
    assert!(hub.asked().iter().any(|request| request.from() == Some(there as usize)));
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_a_part_that_is_gone_on_with() {
    let (home, bytes) = (Home::new(), noise(300_000));
    let files = Files::one(FILE, &bytes);
    let hub = Server::start(move |request| match request.from() {
        None if is_file(request) => Reply { silent_after: Some(100_000), ..files.answer(request) },
        _ => files.answer(request),
    });
    let mut program = home.program(&hub.url, &["run", "-hf", REPO]);
    let child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    while home.part_bytes(&bytes) < 100_000 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill starts");
    assert!(killed.success());
    assert_eq!(child.wait_with_output().expect("it ends").status.code(), Some(130));
    home.assert_nothing_whole();
    assert_eq!(std::fs::read(done(&home.pull(&hub.url)).trim_end()).expect("the file"), bytes);
    assert!(hub.asked().iter().any(|request| request.from() == Some(100_000)));
}

#[test]
fn two_programs_fetch_a_file_once() {
    let (home, bytes) = (Home::new(), noise(300_000));
    let files = Files::one(FILE, &bytes);
    let hub = Server::start(move |request| Reply { pause: Duration::from_millis(20), ..files.answer(request) });
    let start = || {
        let mut program = home.program(&hub.url, &["models", "pull", "--paths", REPO]);
        program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    };
    for child in [start(), start()] {
        let path = done(&child.wait_with_output().expect("it ends"));
        assert_eq!(std::fs::read(path.trim_end()).expect("the file"), bytes);
    }
    assert_eq!(hub.asked().iter().filter(|request| is_file(request)).count(), 1);
}

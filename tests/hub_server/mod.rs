//! A server for the tests of downloads: it answers as a hub does, or as it should not. Written over a socket, since
//! servers from libraries mend what has to be broken here: lengths, connections, silence.
#![allow(dead_code, reason = "each test takes what it needs")]

pub(crate) mod home;

use headstart::host::hub::Repo;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// With what follows its `?`.
    pub(crate) path: String,
    headers: HashMap<String, String>,
}

impl Request {
    /// The same of something else.
    pub(crate) fn at(&self, path: &str) -> Self {
        Self { path: path.to_owned(), headers: self.headers.clone() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first byte of the range that was asked for.
    pub(crate) fn from(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What is answered, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The length that is announced, where it is not the body's.
    pub(crate) announced: Option<usize>,
    /// How much of the body is sent before the connection is closed.
    pub(crate) cut: Option<usize>,
    /// How much of it is sent before nothing more comes, for as long as the client cares to wait.
    pub(crate) silent_after: Option<usize>,
    /// How long to wait after every 16 KiB.
    pub(crate) pause: Duration,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A file as servers with ranges give it.
    pub(crate) fn file(bytes: &[u8], request: &Request) -> Self {
        match request.from() {
            None => Self::new(200, bytes),
            Some(from) if from >= bytes.len() => Self::new(416, ""),
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                Self::new(206, &bytes[from..]).with("Content-Range", &range)
            }
        }
    }
}

/// A server that runs until the tests end, and remembers what it was asked.
pub(crate) struct Server {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    log.lock().expect("the log").push(request.clone());
                    // A client that has gone away is no failure of the server.
                    let _ = send(&stream, &answer(&request));
                });
            }
        });
        Self { url, asked }
    }

    /// Takes what was asked so far; what comes is a new list.
    pub(crate) fn asked(&self) -> Vec<Request> {
        std::mem::take(&mut self.asked.lock().expect("the log"))
    }
}

fn read(mut stream: &TcpStream) -> Option<Request> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines.filter_map(|line| line.split_once(": "));
    Some(Request { path, headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect() })
}

fn send(mut stream: &TcpStream, reply: &Reply) -> std::io::Result<()> {
    let length = reply.announced.unwrap_or(reply.body.len());
    let mut head = format!("HTTP/1.1 {} x\r\nContent-Length: {length}\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    let end = [reply.cut, reply.silent_after].into_iter().flatten().min().unwrap_or(usize::MAX);
    for piece in reply.body[..end.min(reply.body.len())].chunks(16 << 10) {
        stream.write_all(piece)?;
        std::thread::sleep(reply.pause);
    }
    if reply.silent_after.is_some() {
        // Until the client closes.
        let _ = stream.read(&mut [0]);
    }
    stream.shutdown(std::net::Shutdown::Both)
}

pub(crate) const REPO: &str = "owner/model-GGUF";
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A repository with files, as a hub has it.
#[derive(Clone, Default)]
pub(crate) struct Files(pub(crate) Vec<(String, Vec<u8>)>);

impl Files {
    pub(crate) fn one(path: &str, bytes: &[u8]) -> Self {
        Self::default().and(path, bytes)
    }

    pub(crate) fn and(mut self, path: &str, bytes: &[u8]) -> Self {
        self.0.push((path.to_owned(), bytes.to_owned()));
        self
    }

    /// What a hub lists: JSON files with git's hash, others with that of their bytes.
    pub(crate) fn listing(&self) -> String {
        let entries = self.0.iter().map(|(path, bytes)| {
            let (size, git) = (bytes.len(), git_hash(bytes));
            let lfs = format!(r#","lfs":{{"oid":"{}","size":{size},"pointerSize":135}}"#, sha256(bytes));
            let lfs = if path.ends_with(".json") { String::new() } else { lfs };
            format!(r#"{{"type":"file","oid":"{git}","size":{size},"path":"{path}"{lfs}}}"#)
        });
        format!("[{}]", entries.collect::<Vec<_>>().join(","))
    }

    /// What a hub in order answers.
    pub(crate) fn answer(&self, request: &Request) -> Reply {
        if request.path == format!("/api/models/{REPO}/revision/main") {
            return Reply::new(200, format!(r#"{{"id":"{REPO}","sha":"{COMMIT}"}}"#));
        }
        if request.path == format!("/api/models/{REPO}/tree/{COMMIT}?recursive=true") {
            return Reply::new(200, self.listing());
        }
        match self.found(request) {
            Some(bytes) => Reply::file(bytes, request),
            None => Reply::new(404, "Entry not found"),
        }
    }

    /// The file that is asked for.
    pub(crate) fn found(&self, request: &Request) -> Option<&[u8]> {
        let path = request.path.strip_prefix(&format!("/{REPO}/resolve/{COMMIT}/"))?;
        self.0.iter().find(|(name, _)| name == path).map(|(_, bytes)| bytes.as_slice())
    }
}

/// The folder of the repository in a cache.
pub(crate) fn folder() -> String {
    Repo::parse(REPO).expect("a name").folder()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn git_hash(bytes: &[u8]) -> String {
    hex(&sha1::Sha1::new_with_prefix(format!("blob {}\0", bytes.len())).chain_update(bytes).finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

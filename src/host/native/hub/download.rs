//! One file from a server to a part on disk, and from a part to a whole, checked file. A part that is there is gone on
//! from; a download that ends early leaves a part that it can go on from, or nothing.

use super::client::{Answer, Client, Failure, pause, why};
use crate::error::{Error, Result};
use crate::host::arrival::hex;
use crate::host::native::progress::Progress;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// How often in a row a connection may bring nothing.
const MOST_FRUITLESS: u32 = 3;
/// What is read, hashed and written at a time.
const PIECE_BYTES: usize = 1 << 18;

/// A file to be fetched.
pub(super) struct Fetch<'a> {
    /// What to call it in messages.
    pub(super) thing: String,
    pub(super) url: &'a str,
    /// Its length, where that is known beforehand.
    pub(super) bytes: Option<u64>,
    pub(super) check: Check,
    /// What the server said that changes when the file does, where nothing else tells.
    pub(super) tag: Option<String>,
    /// Where it stands while it arrives.
    pub(super) part: &'a Path,
}

/// What says that a file is the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// The SHA-256 of its bytes.
    Sha256(String),
    /// Git's hash of its length and bytes.
    Git(String),
    /// Nothing but its length.
    Length,
}

impl Check {
    fn hasher(&self, bytes: Option<u64>) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher::Sha256(Sha256::new()),
            Self::Git(_) => Hasher::Git(Sha1::new_with_prefix(format!("blob {}\0", bytes.unwrap_or_default()))),
            Self::Length => Hasher::None,
        }
    }
}

enum Hasher {
    Sha256(Sha256),
    Git(Sha1),
    None,
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Git(hash) => hash.update(bytes),
            Self::None => {}
        }
    }

    fn finish(self) -> String {
        match self {
            Self::Sha256(hash) => hex(&hash.finalize()),
            Self::Git(hash) => hex(&hash.finalize()),
            Self::None => String::new(),
        }
    }
}

/// Why a piece of a download ended before its end.
enum Broken {
    /// It may be gone on with.
    Off(Error),
    /// It may not.
    Ended(Error),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(error) => Self::Off(error),
            Failure::Refused(error) => Self::Ended(error),
        }
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Ended(error)
    }
}

/// The part of a file that is there, and the hash of it.
struct Arrival<'a> {
    fetch: &'a Fetch<'a>,
    file: File,
    hasher: Hasher,
    done: u64,
}

/// Fetches all of a file into its part, and checks it; then it is as safe on the disk as the system makes it. Progress
/// counts the bytes of this file, from those that are there already.
///
/// # Errors
/// `Io` if the server or the disk fails, `File` if what came is not what was promised, which is then removed.
pub(super) fn fetch(client: &Client<'_>, fetch: &Fetch<'_>, progress: &mut Progress) -> Result<()> {
    let mut arrival = Arrival::open(fetch, progress)?;
    let arrived = arrival.go_on_to_the_end(client, progress);
    // A full disk takes a part of a piece, which is worth keeping.
    if arrived.is_err() && arrival.file.metadata().is_ok_and(|there| there.len() == 0) {
        arrival.remove();
    }
    arrived.and_then(|()| arrival.check())
}

impl<'a> Arrival<'a> {
    fn open(fetch: &'a Fetch<'a>, progress: &mut Progress) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(fetch.part);
        let file = file.map_err(|error| fetch.cannot_write(&error))?;
        let mut arrival = Self { fetch, file, hasher: fetch.check.hasher(fetch.bytes), done: 0 };
        let there = arrival.file.metadata().map_err(|error| fetch.cannot_write(&error))?.len();
        if fetch.bytes.is_some_and(|bytes| there > bytes) {
            arrival.begin_again()?;
        } else {
            arrival.hash_what_is_there(there, progress)?;
        }
        progress.download_from(arrival.done);
        Ok(arrival)
    }

    fn hash_what_is_there(&mut self, bytes: u64, progress: &mut Progress) -> Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        while self.done < bytes {
            let n = self.file.read(&mut piece).map_err(|error| self.fetch.cannot_write(&error))?;
            if n == 0 {
                break;
            }
            self.hasher.update(&piece[..n]);
            self.done += n as u64;
            progress.download(self.done);
        }
        Ok(())
    }

    fn begin_again(&mut self) -> Result<()> {
        let cut = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        cut.map_err(|error| self.fetch.cannot_write(&error))?;
        self.hasher = self.fetch.check.hasher(self.fetch.bytes);
        self.done = 0;
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.fetch.bytes == Some(self.done)
    }

    /// Asks for what is missing, again where the connection breaks, as long as something comes of it.
    fn go_on_to_the_end(&mut self, client: &Client<'_>, progress: &mut Progress) -> Result<()> {
        let mut n_fruitless = 0;
        while !self.is_whole() {
            let before = self.done;
            match self.go_on(client, progress) {
                Ok(()) => break,
                Err(Broken::Ended(error)) => return Err(error),
                Err(Broken::Off(error)) => {
                    n_fruitless = if self.done > before { 0 } else { n_fruitless + 1 };
                    if n_fruitless >= MOST_FRUITLESS {
                        return Err(error);
                    }
                    std::thread::sleep(pause(n_fruitless));
                }
            }
        }
        Ok(())
    }

    /// Asks for what is missing and takes what comes.
    fn go_on(&mut self, client: &Client<'_>, progress: &mut Progress) -> Result<(), Broken> {
        let fetch = self.fetch;
        let Some(answer) = client.bytes(fetch.url, &fetch.thing, self.done)? else {
            self.begin_again()?;
            return Err(Broken::Off(Error::io(&fetch.thing, "the server has no bytes there").advice("Try again.")));
        };
        if let (Some(expected), Some(total)) = (fetch.bytes, answer.total)
            && expected != total
        {
            return Err(Broken::Ended(fetch.wrong_length(&format!("{total} bytes"))));
        }
        if answer.from > 0 && fetch.tag.is_some() && answer.tag.is_some() && fetch.tag != answer.tag {
            self.remove();
            return Err(Broken::Ended(
                Error::file(&fetch.thing, "another file than it was when its download began").advice("Try again."),
            ));
        }
        if answer.from != self.done {
            self.begin_again()?;
            progress.download_from(0);
        }
        let total = fetch.bytes.or(answer.total);
        self.take(answer, total, progress)
    }

    fn take(&mut self, answer: Answer, total: Option<u64>, progress: &mut Progress) -> Result<(), Broken> {
        let (fetch, mut body, mut piece) = (self.fetch, answer.body, vec![0; PIECE_BYTES]);
        loop {
            let n = body.read(&mut piece).map_err(|error| Broken::Off(fetch.cut(self.done, &why(&error))))?;
            if n == 0 {
                break;
            }
            if total.is_some_and(|total| self.done + n as u64 > total) {
                let error = fetch.wrong_length("more bytes");
                self.remove();
                return Err(Broken::Ended(error));
            }
            self.file.write_all(&piece[..n]).map_err(|error| fetch.cannot_write(&error))?;
            self.hasher.update(&piece[..n]);
            self.done += n as u64;
            progress.download(self.done);
        }
        match total {
            Some(total) if self.done < total => Err(Broken::Off(fetch.cut(self.done, "the connection ended"))),
            _ => Ok(()),
        }
    }

    /// Holds what came against what was promised.
    fn check(mut self) -> Result<()> {
        let found = std::mem::replace(&mut self.hasher, Hasher::None).finish();
        let (name, expected) = match &self.fetch.check {
            Check::Sha256(expected) => ("SHA-256", expected),
            Check::Git(expected) => ("git hash", expected),
            Check::Length => return self.file.sync_all().map_err(|error| self.fetch.cannot_write(&error)),
        };
        if found == *expected {
            return self.file.sync_all().map_err(|error| self.fetch.cannot_write(&error));
        }
        let error = Error::file(&self.fetch.thing, format!("what arrived has the {name} {found}"))
            .expected(expected.clone())
            .advice("It is damaged and was deleted. Try again; if it stays so, something between here and the hub changes it.");
        self.remove();
        Err(error)
    }

    /// What cannot become whole is not kept.
    fn remove(&mut self) {
        let _ = self.begin_again();
        let _ = fs::remove_file(self.fetch.part);
    }
}

impl Fetch<'_> {
    fn cannot_write(&self, error: &std::io::Error) -> Error {
        Error::io(self.part.display().to_string(), error).advice(
            "Make room on the disk, or name another place with HF_HUB_CACHE. What has arrived is kept: the same again goes \
             on from there.",
        )
    }

    fn cut(&self, done: u64, why: &str) -> Error {
        let of = self.bytes.map(|bytes| format!(" of {bytes}")).unwrap_or_default();
        Error::io(&self.thing, format!("cut off after {done}{of} bytes: {why}"))
            .advice("What has arrived is kept: the same again goes on from there.")
    }

    fn wrong_length(&self, found: &str) -> Error {
        let expected = self.bytes.map_or("as many as it promised".to_owned(), |bytes| format!("{bytes}, as listed"));
        Error::file(&self.thing, format!("the server sends {found}"))
            .expected(expected)
            .advice("Try again; if it stays so, something between here and the hub changes it.")
    }
}

//! What lies beside the files of a model: while it arrives, which pieces are there; once it is whole and checked, a record
//! that says so, written last. Files without that record are no model.

use super::{PieceMap, Plan, There};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// A model that is whole. Its plan has the hash of every file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What it is.
    pub plan: Plan,
    /// When it was complete: milliseconds since 1970.
    pub date_ms: f64,
}

impl Record {
    /// Reads what [`serde_json`] wrote. Fails if it can be no record.
    pub fn parse(text: &str) -> Result<Self> {
        let record: Self = serde_json::from_str(text).map_err(unreadable)?;
        record.plan.check().map(|()| record)
    }
}

/// How far a model has arrived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What it is.
    pub plan: Plan,
    /// How far each of its files has.
    pub files: Vec<FileProgress>,
    /// When it began: milliseconds since 1970.
    pub date_ms: f64,
}

/// How far a file has arrived.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FileProgress {
    /// Its pieces that are there.
    pub there: There,
    /// Its version in the server's words, see [`Progress::is_same_version`].
    pub version: Option<String>,
}

impl Progress {
    /// Of a model of which nothing is there.
    #[must_use]
    pub fn new(plan: Plan, date_ms: f64) -> Self {
        let n = plan.files.len();
        Self { plan, files: vec![FileProgress::default(); n], date_ms }
    }

    /// Reads what [`serde_json`] wrote. Fails if it can be no record.
    pub fn parse(text: &str) -> Result<Self> {
        let progress: Self = serde_json::from_str(text).map_err(unreadable)?;
        if progress.files.len() != progress.plan.files.len() {
            return Err(unreadable("it is not of one model"));
        }
        progress.plan.check().map(|()| progress)
    }

    /// The pieces that are there.
    #[must_use]
    pub fn pieces(&self) -> PieceMap {
        let mut pieces = PieceMap::new(self.plan.files.iter().map(|file| file.bytes));
        for (index, file) in self.files.iter().enumerate() {
            pieces.restore(index, &file.there);
        }
        pieces
    }

    /// Takes note of the pieces that are there.
    pub fn note(&mut self, pieces: &PieceMap) {
        for (index, file) in self.files.iter_mut().enumerate() {
            file.there = pieces.there(index);
        }
    }

    /// Whether a file is still what it was when its first bytes came, by its ETag or, where a browser hides that, its date.
    /// Where its hash is known, that will tell, and tells better: servers that mirror each other call one file
    /// by several names.
    pub fn is_same_version(&mut self, file: usize, version: Option<String>) -> bool {
        if self.plan.files[file].sha256.is_some() {
            return true;
        }
        let known = &mut self.files[file].version;
        match (&*known, version) {
            (Some(before), Some(now)) => *before == now,
            (None, Some(now)) => {
                *known = Some(now);
                true
            }
            (_, None) => true,
        }
    }
}

fn unreadable(why: impl std::fmt::Display) -> Error {
    Error::io("the record of a download", why).advice("Delete the download, and begin it again.")
}

#[cfg(test)]
mod tests {
    use super::super::{PlanFile, tests::file};
    use super::*;

    fn plan() -> Plan {
        Plan { title: "m".into(), files: vec![file("https://a/1", 3 << 20), file("https://a/2", 5)] }
    }

    #[test]
    fn a_download_is_resumed_from_its_record() -> Result<()> {
        let mut progress = Progress::new(plan(), 1.0);
        let mut pieces = progress.pieces();
        let piece = pieces.take_next().expect("a piece");
        pieces.came(piece, piece.end);
        progress.note(&pieces);
        let text = serde_json::to_string(&progress).expect("JSON");
        let read = Progress::parse(&text)?;
        assert_eq!(read, progress);
        assert_eq!(read.pieces().bytes(), 1 << 20);
        for damaged in [
            "",
            "[]",
            "{}",
            &text[..text.len() - 1],
            &text.replace("\"files\":[{\"there\"", "\"files\":[],\"x\":[{\"there\""),
            &text.replace(":5,", ":0,"),
        ] {
            assert!(Progress::parse(damaged).is_err(), "{damaged}");
        }
        assert!(Record::parse(&text).is_ok_and(|record| record.date_ms == 1.0) && Record::parse("{}").is_err());
        Ok(())
    }

    #[test]
    fn another_version_is_noticed_where_no_hash_will_tell() {
        let mut progress = Progress::new(plan(), 1.0);
        let mut same = |version: Option<&str>| progress.is_same_version(0, version.map(str::to_owned));
        assert!(same(None) && same(Some("a")) && same(Some("a")) && same(None));
        assert!(!same(Some("b")));
        let hashed = PlanFile { sha256: Some("0".repeat(64)), ..file("https://a/1", 1) };
        let mut progress = Progress::new(Plan { title: "m".into(), files: vec![hashed] }, 1.0);
        assert!(progress.is_same_version(0, Some("a".into())) && progress.is_same_version(0, Some("b".into())));
    }
}

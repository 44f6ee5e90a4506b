//! The index of a folder of reports: a page cannot list a folder, so the folder tells what is in it.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// `www/timings/index.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// What the folder is for, for whoever opens it.
    pub about: String,
    /// Names of files of reports, beside the index.
    pub reports: Vec<String>,
}

impl Index {
    /// Reads an index.
    ///
    /// # Errors
    /// Text that is none, or names what lies elsewhere.
    pub fn read(text: &str) -> Result<Self> {
        let index: Self =
            serde_json::from_str(text).map_err(|error| Error::file("index of reports", error.to_string()))?;
        match index.reports.iter().find(|name| !is_file_name(name)) {
            Some(name) => {
                let error = Error::file("index of reports", format!("{name:?}"));
                Err(error.expected("names as in lavapipe.json: letters, digits, dots, - and _"))
            }
            None => Ok(index),
        }
    }
}

/// Whether it names a JSON file of the same folder, on every system and in every address.
fn is_file_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    name.len() <= 128 && name.ends_with(".json") && !name.starts_with('.') && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_files_of_its_own_folder() {
        let read = |name: &str| Index::read(&format!(r#"{{"about": "", "reports": ["{name}"]}}"#));
        assert!(read("lavapipe-1.json").is_ok());
        for bad in ["../a.json", "a/b.json", ".json", "a.js", "https://a.org/b.json", "a%2fb.json", "a b.json"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(Index::read("[]").is_err());
    }
}

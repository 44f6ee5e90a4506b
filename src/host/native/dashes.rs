//! Options of llama.cpp that have one dash and several letters, which no parser of long and short options takes: they are
//! given their long names before they are parsed.

use std::ffi::OsString;

/// As people type them, and as they are parsed.
const LONG: [(&str, &str); 6] = [
    ("-pg", "--pg"),
    ("-ctk", "--cache-type-k"),
    ("-ctv", "--cache-type-v"),
    ("-cnv", "--conversation"),
    ("-sys", "--system"),
    ("-hf", "--hf-repo"),
];

/// Options whose next word is a text of the user's own, whatever it looks like.
const TEXTS: [&str; 3] = ["-p", "--prompt", "--system"];

/// The words of a command line, with long options in place of those. What follows `--` stays as it is.
pub(super) fn with_long_options(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    for index in 1..end {
        let is_text = TEXTS.iter().any(|option| words[index - 1] == *option);
        if let Some(long) = words[index].to_str().filter(|_| !is_text).and_then(long) {
            words[index] = long.into();
        }
    }
    words
}

fn long(word: &str) -> Option<String> {
    LONG.iter().find_map(|(short, long)| match word.strip_prefix(short)? {
        "" => Some((*long).to_owned()),
        value => value.starts_with('=').then(|| format!("{long}{value}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_long_where_they_are_options() {
        for (typed, parsed) in [
            ("headstart bench -pg 1,2 -ctk=f16", "headstart bench --pg 1,2 --cache-type-k=f16"),
            ("headstart run -p -ctv -ctv f16", "headstart run -p -ctv --cache-type-v f16"),
            ("headstart run -cnv -sys -sys -p -cnv", "headstart run --conversation --system -sys -p -cnv"),
            ("headstart run -pgx -- -pg", "headstart run -pgx -- -pg"),
        ] {
            let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
            assert_eq!(with_long_options(words(typed)), words(parsed));
        }
        assert_eq!(with_long_options([]), Vec::<OsString>::new());
    }
}

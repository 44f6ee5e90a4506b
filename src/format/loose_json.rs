//! JSON as Python and Windows write it: with a byte order mark before it, and with `NaN` and `Infinity`, which JSON does
//! not have and Python's `json` writes. What they stand for is never what a model is made of, so they become `null`.

use std::borrow::Cow;

/// The text as a strict reader takes it; the text itself where nothing is to be changed.
#[must_use]
pub fn strict(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    if !WORDS.iter().any(|word| text.contains(word)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut in_string) = (text, false);
    while let Some(first) = rest.chars().next() {
        let word = WORDS.iter().find(|word| !in_string && rest.starts_with(*word));
        if let Some(word) = word {
            out.push_str("null");
            rest = &rest[word.len()..];
            continue;
        }
        // An escaped quote ends no string.
        let n = match first {
            '\\' if in_string => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
            _ => first.len_utf8(),
        };
        in_string ^= first == '"';
        out.push_str(&rest[..n]);
        rest = &rest[n..];
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_does_not_have_becomes_null() {
        let text = "\u{feff}{\"a\": [NaN, -Infinity, Infinity], \"NaN \\\" Infinity\": \"-Infinity\\\\\", \"b\": NaN}";
        let value: serde_json::Value = serde_json::from_str(&strict(text)).expect("JSON");
        assert_eq!(value, serde_json::json!({"a": [null, null, null], "NaN \" Infinity": "-Infinity\\", "b": null}));
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in ["{\"a\": 1}", "", "\\", "\"\\", "no JSON"] {
            assert_eq!(strict(text), text);
        }
        for cut in ["\"NaN\\", "NaN\"\\é"] {
            assert!(strict(cut).len() >= cut.len(), "{cut}");
        }
    }
}

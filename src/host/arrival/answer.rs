//! What a server answers to a request for bytes of a file, judged by its status and headers before a byte is taken.
//! To a page of another site a browser shows only some headers; what it hides is not held against the server.

use crate::error::Error;

/// Bytes that were asked for: from one up to, but not with, another, of a file of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The first.
    pub begin: u64,
    /// The one after the last.
    pub end: u64,
    /// All bytes of the file, as its plan has it.
    pub total: u64,
}

/// An answer whose bytes can be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The bytes that were asked for.
    Part,
    /// The file from its begin.
    Whole,
}

/// An answer that is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why, and what to do about it.
    pub error: Error,
    /// Whether it may go better in a moment.
    pub again: bool,
}

impl Refusal {
    fn for_good(error: Error) -> Self {
        Self { error, again: false }
    }
}

/// The size of a file as an answer tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// So many bytes.
    Bytes(u64),
    /// It does not tell, at least not to this page.
    Hidden,
}

/// A header by its name, if the browser shows it.
type Headers<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Judges an answer to a request for `asked` of the file called `name`.
///
/// # Errors
/// A status that is none of success, or a length that cannot be right.
pub fn judge(name: &str, asked: Asked, status: u16, headers: Headers<'_>) -> Result<Answer, Refusal> {
    let wrong_length = |found: u64| {
        let error = Error::io(name, format!("the server has {found} bytes of it"))
            .expected(format!("{} bytes", asked.total))
            .advice("The file has changed there: look it up again, and delete what was downloaded of it.");
        Refusal::for_good(error)
    };
    match status {
        206 => {
            let Some(range) = headers("content-range") else {
                return match length(headers) {
                    Some(found) if found != asked.end - asked.begin => Err(odd_range(name, asked, &found.to_string())),
                    _ => Ok(Answer::Part),
                };
            };
            match parse_range(&range) {
                Some((_, _, total)) if total != asked.total => Err(wrong_length(total)),
                Some((begin, last, _)) if begin == asked.begin && last + 1 == asked.end => Ok(Answer::Part),
                _ => Err(odd_range(name, asked, &range)),
            }
        }
        200 => match length(headers) {
            Some(found) if found != asked.total => Err(wrong_length(found)),
            _ => Ok(Answer::Whole),
        },
        // The file ends before the first byte that was asked for.
        416 => Err(match headers("content-range").and_then(|range| range.strip_prefix("bytes */")?.parse().ok()) {
            Some(found) => wrong_length(found),
            None => odd_range(name, asked, "416: there are none there"),
        }),
        _ => Err(refused(name, status)),
    }
}

/// What an answer to a request for the first byte of a file says about its size.
///
/// # Errors
/// A status that is none of success.
pub fn judge_size(name: &str, status: u16, headers: Headers<'_>) -> Result<Size, Refusal> {
    let size = |bytes: Option<u64>| bytes.map_or(Size::Hidden, Size::Bytes);
    match status {
        206 => Ok(size(headers("content-range").and_then(|range| parse_range(&range)).map(|(_, _, total)| total))),
        200 => Ok(size(length(headers))),
        _ => Err(refused(name, status)),
    }
}

/// No answer at all, in the browser's words.
#[must_use]
pub fn unreachable(name: &str, said: &str) -> Refusal {
    let error = Error::io(name, format!("no answer that this page may read ({})", said.trim_end_matches('.')))
        .advice("The connection may be down, or the server does not let pages of other sites read it (CORS).");
    Refusal { error, again: true }
}

fn refused(name: &str, status: u16) -> Refusal {
    let error = Error::io(name, format!("the server answered {status}"));
    let advice = match status {
        401 | 403 => {
            "It gives this to people who have signed in or accepted its terms only: download it there, and open it from disk."
        }
        404 | 410 => "There is no such file, or it is not public.",
        _ => "Try again later.",
    };
    Refusal { error: error.advice(advice), again: matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504) }
}

fn odd_range(name: &str, asked: Asked, found: &str) -> Refusal {
    let error = Error::io(name, format!("the server gave other bytes than were asked for ({found})"))
        .expected(format!("bytes {} to {} of {}", asked.begin, asked.end - 1, asked.total));
    Refusal::for_good(error)
}

/// `bytes 0-99/1000` as first, last and total.
fn parse_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (begin, last) = range.split_once('-')?;
    let (begin, last, total) = (begin.parse().ok()?, last.parse().ok()?, total.parse().ok()?);
    (begin <= last && last < total).then_some((begin, last, total))
}

/// The length of the body; none where it is packed, since other bytes are then counted than we get.
fn length(headers: Headers<'_>) -> Option<u64> {
    match headers("content-encoding") {
        None => headers("content-length")?.parse().ok(),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked = Asked { begin: 100, end: 200, total: 1000 };

    fn answer(status: u16, headers: &[(&str, &str)]) -> Result<Answer, Refusal> {
        judge("m.gguf", ASKED, status, &|name| {
            headers.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn bytes_are_taken_if_they_are_those_asked_for() {
        assert_eq!(answer(206, &[("content-range", "bytes 100-199/1000")]), Ok(Answer::Part));
        assert_eq!(answer(206, &[("content-length", "100")]), Ok(Answer::Part));
        assert_eq!(answer(206, &[]), Ok(Answer::Part));
        assert_eq!(answer(200, &[("content-length", "1000")]), Ok(Answer::Whole));
        assert_eq!(answer(200, &[("content-length", "400"), ("content-encoding", "gzip")]), Ok(Answer::Whole));
        for (status, headers) in [
            (206, ("content-range", "bytes 0-99/1000")),
            (206, ("content-range", "bytes 100-198/1000")),
            (206, ("content-range", "bytes 100-199/1001")),
            (206, ("content-range", "bytes 199-100/1000")),
            (206, ("content-range", "bytes 100-18446744073709551615/18446744073709551615")),
            (206, ("content-range", "no range")),
            (206, ("content-length", "99")),
            (200, ("content-length", "999")),
            (416, ("content-range", "bytes */50")),
            (416, ("x", "")),
        ] {
            let refusal = answer(status, &[headers]).expect_err(headers.1);
            assert!(!refusal.again, "{status} {headers:?}");
        }
    }

    #[test]
    fn a_wrong_length_says_both() {
        for refused in [answer(200, &[("content-length", "999")]), answer(416, &[("content-range", "bytes */999")])] {
            let text = refused.expect_err("wrong").error.to_string();
            assert!(text.contains("999") && text.contains("1000") && text.contains("m.gguf"), "{text}");
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let again = |status| answer(status, &[]).expect_err("refused").again;
        assert!([408, 429, 500, 502, 503, 504].into_iter().all(again));
        assert!(![301, 304, 400, 401, 403, 404, 410, 416, 501].into_iter().any(again));
        assert!(answer(404, &[]).expect_err("refused").error.to_string().contains("no such file"));
    }

    #[test]
    fn sizes_are_read_where_they_show() {
        let size = |status, key: &str, value: &str| {
            judge_size("m", status, &|name| (name == key).then(|| value.to_owned())).ok()
        };
        assert_eq!(size(206, "content-range", "bytes 0-0/77"), Some(Size::Bytes(77)));
        assert_eq!(size(206, "content-length", "1"), Some(Size::Hidden));
        assert_eq!(size(200, "content-length", "77"), Some(Size::Bytes(77)));
        assert_eq!(size(200, "x", ""), Some(Size::Hidden));
        assert_eq!(size(404, "x", ""), None);
    }
}

//! Jinja's filter `urlize`: addresses in a text as links.

use super::arguments::{Arguments, fault};
use super::budget::Budget;
use super::filters::escaped;
use super::python::text_of;
use minijinja::{Error, Value};
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::LazyLock;

static WEB: LazyLock<Option<Regex>> = LazyLock::new(|| {
    const HOST: &str = concat!(
        r"(?:https?://|www\.)(?:(?:[\w%-]+\.)+)?(?:[a-z]{2,63}|xn--[\w%]{2,59})",
        r"|(?:[\w%-]{2,63}\.)+(?:com|net|int|edu|gov|org|info|mil)",
        r"|https?://(?:\d{1,3}(?:\.\d{1,3}){3}|\[(?:[\da-f]{0,4}:){2}(?:[\da-f]{0,4}:?){1,6}\])",
    );
    Regex::new(&format!(r"^(?i:{HOST})(?::\d{{1,5}})?(?:[/?#]\S*)?$")).ok()
});
static MAIL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\S+@\w[\w.-]*\.\w+$").ok());

fn is(kind: &Option<Regex>, word: &str) -> bool {
    kind.as_ref().is_some_and(|kind| kind.is_match(word))
}

/// `urlize(value, trim_url_limit=None, nofollow=False, target=None, rel=None, extra_schemes=None)`.
pub(super) fn urlize(budget: &Budget, value: &Value, given: &mut Arguments) -> Result<Value, Error> {
    let text = text_of(&escaped(&Value::from(text_of(value, budget)?), budget)?, budget)?;
    let limit = given.whole(0, "trim_url_limit")?.map(|limit| usize::try_from(limit).unwrap_or(0));
    let no_follow = given.flag(1, "nofollow");
    let (target, rel) = (given.text(2, "target")?, given.text(3, "rel")?.unwrap_or_default());
    let more = given.take(4, "extra_schemes").filter(|more| !more.is_none());
    let more: Vec<String> = match &more {
        Some(more) => more.try_iter()?.map(|scheme| text_of(&scheme, budget)).collect::<Result<_, Error>>()?,
        None => Vec::new(),
    };
    let is_scheme = |scheme: &String| {
        let name = scheme.trim_end_matches('/').strip_suffix(':').unwrap_or_default();
        let is_named = |c: char| c.is_alphanumeric() || "_.+-".contains(c);
        name.len() > 1 && name.chars().all(is_named) && matches!(scheme.len() - name.len(), 1 | 3)
    };
    if !more.iter().all(is_scheme) {
        return Err(fault("a scheme that no address begins with"));
    }
    let rel: BTreeSet<&str> =
        rel.split_whitespace().chain(no_follow.then_some("nofollow")).chain(["noopener"]).collect();
    let attribute = |name: &str, value: &str| -> Result<String, Error> {
        Ok(format!(" {name}=\"{}\"", text_of(&escaped(&value.into(), budget)?, budget)?))
    };
    let mut attributes = attribute("rel", &rel.into_iter().collect::<Vec<_>>().join(" "))?;
    if let Some(target) = target.filter(|target| !target.is_empty()) {
        attributes += &attribute("target", &target)?;
    }
    let mut out = String::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        let spaces = behind.find(|c: char| !c.is_whitespace()).unwrap_or(behind.len());
        let linked = link(word, &attributes, limit, &more);
        budget.take_bytes((linked.len() + spaces) as u64)?;
        out += &linked;
        out += &behind[..spaces];
        rest = &behind[spaces..];
    }
    Ok(out.into())
}

/// A word, with what stands around it kept out of the link.
fn link(word: &str, attributes: &str, limit: Option<usize>, more: &[String]) -> String {
    let mut begin = 0;
    while let Some(found) = ["(", "<", "&lt;"].iter().find(|before| word[begin..].starts_with(**before)) {
        begin += found.len();
    }
    let (head, inside) = word.split_at(begin);
    let mut end = inside.len();
    while let Some(found) = [")", ">", ".", ",", "&gt;"].iter().find(|after| inside[..end].ends_with(**after)) {
        end -= found.len();
    }
    // Brackets that are opened in the address are closed in it.
    for (opens, closes) in [("(", ")"), ("<", ">"), ("&lt;", "&gt;")] {
        let n_open = inside[..end].matches(opens).count();
        if n_open <= inside[..end].matches(closes).count() {
            continue;
        }
        for _ in 0..n_open {
            end += inside[end..].find(closes).map_or(0, |at| at + closes.len());
        }
    }
    let (middle, tail) = inside.split_at(end);
    let shown = match limit {
        Some(limit) if middle.chars().count() > limit => {
            format!("{}...", middle.chars().take(limit).collect::<String>())
        }
        _ => middle.to_owned(),
    };
    let mail = middle.strip_prefix("mailto:");
    let linked = if is(&WEB, middle) {
        let has_scheme = middle.starts_with("https://") || middle.starts_with("http://");
        let scheme = if has_scheme { "" } else { "https://" };
        format!("<a href=\"{scheme}{middle}\"{attributes}>{shown}</a>")
    } else if let Some(mail) = mail.filter(|mail| is(&MAIL, mail)) {
        format!("<a href=\"{middle}\">{mail}</a>")
    } else if !middle.starts_with("www.") && !middle.starts_with('@') && !middle.contains(':') && is(&MAIL, middle) {
        format!("<a href=\"mailto:{middle}\">{middle}</a>")
    } else if more.iter().any(|scheme| middle != scheme && middle.starts_with(scheme.as_str())) {
        format!("<a href=\"{middle}\"{attributes}>{middle}</a>")
    } else {
        middle.to_owned()
    };
    format!("{head}{linked}{tail}")
}

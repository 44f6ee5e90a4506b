//! A model as a person names it: `owner/name`, `owner/name:Q4_K_M`, `owner/name@revision`, `owner/name/path/in/it.gguf`, or
//! an address, with its scheme or without.

use super::endpoint::{Endpoint, parse_http};
use super::names::{Repo, check_path, check_revision, quoted};
use crate::error::{Error, Result};
use percent_encoding::percent_decode_str;

/// Longer than any address of a hub, those with signatures in them included.
const MOST_BYTES: usize = 8192;
/// Names of the public hub, as people paste them without a scheme, and schemes of other programs.
const PASTED: [&str; 9] = [
    "huggingface.co/",
    "www.huggingface.co/",
    "hf.co/",
    // The mirror that most people mean who have one.
    "hf-mirror.com/",
    "hf://",
    "huggingface://",
    "hf:",
    "git@hf.co:",
    "git@huggingface.co:",
];
/// What stands between a repository and a revision in an address.
const PLACES: [&str; 4] = ["tree", "blob", "resolve", "raw"];
/// The quant that other programs mean where none is named.
const LATEST: &str = "latest";
/// The branch that is meant where none is named.
const MAIN: &str = "main";

/// What a person asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// Files of a repository on the hub.
    Hub {
        /// The repository.
        repo: Repo,
        /// Its branch, tag or commit.
        revision: String,
        /// Which of its files.
        wanted: Wanted,
    },
    /// One GGUF file somewhere else on the web.
    Url {
        /// Its address.
        url: String,
        /// The name of the file, fit to be stored under.
        name: String,
    },
}

/// Which files of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The usual one: Q4_K_M where there is one.
    Usual,
    /// Those quantized like this: `Q4_K_M`, `ud-q4_k_xl`.
    Quant(String),
    /// The file at this path, and the others that belong to it.
    File(String),
}

impl Reference {
    /// Reads what a person wrote.
    ///
    /// # Errors
    /// `Usage`, quoting it, if it names nothing that a hub or a server could have.
    pub fn parse(text: &str, hub: &Endpoint) -> Result<Self> {
        // As they are copied from a message or a manual.
        let text = text.trim().trim_matches(['"', '\'', '`', '<', '>']);
        if text.len() > MOST_BYTES {
            return Err(Error::usage(format!("model {}", quoted(text)), format!("{} letters", text.len()))
                .expected("owner/name, or an address"));
        }
        let strip = |name: &&str| {
            let start = text.get(..name.len())?;
            start.eq_ignore_ascii_case(name).then(|| &text[name.len()..])
        };
        match PASTED.iter().find_map(strip) {
            Some(path) => from_words(path.trim_matches('/')),
            None if text.contains("://") => from_url(text, hub),
            None => from_words(text.trim_end_matches('/')),
        }
    }

    /// Whether a text is nothing but an address of the public hub, as people paste it.
    #[must_use]
    pub fn is_pasted(text: &str) -> bool {
        let address = text.strip_prefix("https://").unwrap_or(text);
        let begins = |name: &str| address.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        PASTED.iter().any(|name| begins(name)) && !text.contains(char::is_whitespace)
    }

    /// Whether a text is nothing but a name as models have: `owner/name`, with a quant or not, or as other programs name
    /// them, `name:8b`.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        let (name, tag) = text.split_once(':').map_or((text, None), |(name, tag)| (name, Some(tag)));
        if name.contains('/') {
            return Repo::parse(name).is_ok() && tag.is_none_or(|tag| check_quant(tag).is_ok());
        }
        // So many billions or millions of parameters.
        let is_size = |tag: &str| {
            let of = tag.split('-').next().unwrap_or_default();
            of.strip_suffix(['b', 'm']).is_some_and(|n| n.parse::<f32>().is_ok_and(|n| n > 0.0))
        };
        let is_size = tag.is_some_and(|tag| tag == LATEST || is_size(&tag.to_ascii_lowercase()));
        is_size && Repo::parse(&format!("library/{name}")).is_ok()
    }

    /// The same with another file, as `--hf-file` names it.
    pub fn with_file(self, path: &str) -> Result<Self> {
        check_path(path)?;
        match self {
            Self::Hub { repo, revision, .. } => Ok(Self::Hub { repo, revision, wanted: Wanted::File(path.to_owned()) }),
            Self::Url { name, .. } => {
                Err(Error::usage(format!("file {}", quoted(path)), format!("{name} is one already"))
                    .expected("a repository to take it from"))
            }
        }
    }
}

fn from_words(text: &str) -> Result<Reference> {
    let text = text.split(['?', '#']).next().unwrap_or(text);
    let text = &with_request(text, "@");
    let end_of_repo = text.match_indices(['/', ':']).find(|(at, found)| *found == ":" || text[..*at].contains('/'));
    let Some((at, separator)) = end_of_repo else { return in_repo(text, Wanted::Usual) };
    let (repo, rest) = (&text[..at], &text[at + 1..]);
    let is_place = |(place, of): (&str, &str)| PLACES.contains(&place) && !of.is_empty();
    if separator == "/" && rest.split_once('/').is_some_and(is_place) {
        return from_hub_path(text);
    }
    if separator == ":" && rest.eq_ignore_ascii_case(LATEST) {
        return in_repo(repo, Wanted::Usual);
    }
    if separator == ":" && !rest.contains(['/', '.']) {
        check_quant(rest)?;
        return in_repo(repo, Wanted::Quant(rest.to_owned()));
    }
    // As in `owner/name:/path`, which some write.
    let path = if separator == ":" { rest.strip_prefix('/').unwrap_or(rest) } else { rest };
    check_path(path)?;
    in_repo(repo, Wanted::File(path.to_owned()))
}

/// The text with the slashes of a pull request's branch written as the hub's own addresses have them; `before` stands before it.
fn with_request(text: &str, before: &str) -> String {
    text.replacen(&format!("{before}refs/pr/"), &format!("{before}refs%2Fpr%2F"), 1)
}

/// What is wanted of `owner/name`, `owner/name@revision` or, as git has it, `owner/name.git`. Behind the `@` of other
/// programs stands a quant.
fn in_repo(text: &str, wanted: Wanted) -> Result<Reference> {
    let (repo, behind) = text.split_once('@').map_or((text, None), |(repo, behind)| (repo, Some(behind)));
    let repo = Repo::parse(repo.strip_suffix(".git").unwrap_or(repo))?;
    let (revision, wanted) = match behind {
        Some(quant) if wanted == Wanted::Usual && is_quant(quant) => (MAIN.to_owned(), Wanted::Quant(quant.to_owned())),
        Some(revision) => (decoded(revision)?, wanted),
        None => (MAIN.to_owned(), wanted),
    };
    check_revision(&revision)?;
    Ok(Reference::Hub { repo, revision, wanted })
}

/// Whether it is named as formats are, and not as branches, tags and commits.
fn is_quant(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let bare = lower.strip_prefix("ud-").unwrap_or(&lower);
    let kinds = ["q", "iq", "tq", "f", "bf", "mxfp", "nvfp"];
    let with_number =
        |kind: &str| bare.strip_prefix(kind).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    kinds.into_iter().any(with_number) && check_quant(text).is_ok()
}

fn check_quant(quant: &str) -> Result<()> {
    let fine = (1..=32).contains(&quant.len()) && quant.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    if fine {
        Ok(())
    } else {
        Err(Error::usage(format!("quant {}", quoted(quant)), "no format is called that")
            .expected("a name such as Q4_K_M"))
    }
}

fn from_url(text: &str, hub: &Endpoint) -> Result<Reference> {
    let uri = parse_http(text)?;
    if let Some(path) = hub.path_of(&uri) {
        // The hub's pages name the file whose facts they show like this.
        let shown = uri.query().and_then(|query| query.split('&').find_map(|it| it.strip_prefix("show_file_info=")));
        let found = from_hub_path(path)?;
        return shown.map_or(Ok(found.clone()), |file| found.with_file(&decoded(file)?));
    }
    let name = decoded(uri.path().rsplit('/').next().unwrap_or_default())?;
    check_path(&name)?;
    if !is_gguf(&name) {
        return Err(Error::usage(format!("address of {}", quoted(&name)), "no GGUF file")
            .expected("an address that ends in .gguf, or one of a hub's repository"));
    }
    Ok(Reference::Url { url: uri.to_string(), name })
}

/// `/owner/name`, `/owner/name/tree/revision`, `/owner/name/resolve/revision/path`.
fn from_hub_path(path: &str) -> Result<Reference> {
    let path = &with_request(path, "/");
    let segments: Vec<String> = path.trim_matches('/').split('/').map(decoded).collect::<Result<_>>()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let nothing = || {
        Error::usage(format!("address {}", quoted(path)), "no repository or file of a hub")
            .expected("/owner/name, or /owner/name/resolve/main/file.gguf")
    };
    let [owner, name, rest @ ..] = segments.as_slice() else { return Err(nothing()) };
    if rest.is_empty() {
        return from_words(&format!("{owner}/{name}"));
    }
    let repo = Repo::parse(&format!("{owner}/{name}"))?;
    let (revision, wanted) = match rest {
        ["tree", revision] => (*revision, Wanted::Usual),
        ["tree" | "resolve" | "blob" | "raw", revision, path @ ..] if !path.is_empty() => {
            let path = path.join("/");
            check_path(&path)?;
            (*revision, Wanted::File(path))
        }
        _ => return Err(nothing()),
    };
    check_revision(revision)?;
    Ok(Reference::Hub { repo, revision: revision.to_owned(), wanted })
}

fn decoded(segment: &str) -> Result<String> {
    let text = percent_decode_str(segment).decode_utf8();
    text.map(std::borrow::Cow::into_owned)
        .map_err(|_| Error::usage(format!("address {}", quoted(segment)), "what its % stand for is no UTF-8"))
}

/// Whether a path is a GGUF file's.
pub(super) fn is_gguf(path: &str) -> bool {
    path.len() > ".gguf".len() && path.to_ascii_lowercase().ends_with(".gguf")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Reference> {
        Reference::parse(text, &Endpoint::default())
    }

    fn hub(text: &str) -> (String, String, Wanted) {
        match parse(text).expect(text) {
            Reference::Hub { repo, revision, wanted } => (repo.to_string(), revision, wanted),
            Reference::Url { .. } => panic!("{text}: not of the hub"),
        }
    }

    #[test]
    fn words_name_a_repository_a_quant_or_a_file() {
        let expect = |text, wanted| assert_eq!(hub(text), ("o/n".into(), "main".into(), wanted), "{text}");
        expect("o/n", Wanted::Usual);
        expect(" o/n:q8_0\n", Wanted::Quant("q8_0".into()));
        expect("o/n:UD-Q4_K_XL", Wanted::Quant("UD-Q4_K_XL".into()));
        expect("o/n/m.gguf", Wanted::File("m.gguf".into()));
        expect("o/n:latest", Wanted::Usual);
        expect("hf.co/o/n", Wanted::Usual);
        expect("HuggingFace.co/o/n/", Wanted::Usual);
        expect("hf.co/o/n:Q8_0", Wanted::Quant("Q8_0".into()));
        expect("https://HuggingFace.co/o/n", Wanted::Usual);
        for (text, wanted) in [
            ("o/n@refs/pr/1", Wanted::Usual),
            ("o/n@refs/pr/1:Q8_0", Wanted::Quant("Q8_0".into())),
            ("o/n@refs/pr/1/m.gguf", Wanted::File("m.gguf".into())),
            ("https://hf.co/o/n/tree/refs/pr/1", Wanted::Usual),
            ("https://hf.co/o/n/blob/refs%2Fpr%2F1/m.gguf", Wanted::File("m.gguf".into())),
        ] {
            assert_eq!(hub(text), ("o/n".into(), "refs/pr/1".into(), wanted), "{text}");
        }
        expect("https://huggingface.co/o/n:Q8_0", Wanted::Quant("Q8_0".into()));
        expect("hf.co/o/n:latest", Wanted::Usual);
        expect("hf://o/n/m.gguf", Wanted::File("m.gguf".into()));
        expect("o/n/blob/main/d/m.gguf", Wanted::File("d/m.gguf".into()));
        expect("huggingface.co/o/n/resolve/main/m.gguf?download=true", Wanted::File("m.gguf".into()));
        expect("https://huggingface.co/o/n/tree/main/Q8_0", Wanted::File("Q8_0".into()));
        expect("https://huggingface.co/o/n?show_file_info=d%2Fm.gguf", Wanted::File("d/m.gguf".into()));
        expect("o/n:m.gguf", Wanted::File("m.gguf".into()));
        expect("o/n:/d/m.gguf", Wanted::File("d/m.gguf".into()));
        expect("o/n.git", Wanted::Usual);
        expect("https://huggingface.co/o/n.git", Wanted::Usual);
        expect("git@hf.co:o/n.git", Wanted::Usual);
        expect("o/n@main", Wanted::Usual);
        expect("o/n@q4_k_m", Wanted::Quant("q4_k_m".into()));
        expect("https://huggingface.co/o/n@UD-Q4_K_XL", Wanted::Quant("UD-Q4_K_XL".into()));
        expect("<https://huggingface.co/o/n>", Wanted::Usual);
        expect("hf-mirror.com/o/n", Wanted::Usual);
        expect("https://hf-mirror.com/o/n/resolve/main/m.gguf", Wanted::File("m.gguf".into()));
        expect("`o/n:Q8_0`", Wanted::Quant("Q8_0".into()));
        expect("o/n/m.gguf?download=true", Wanted::File("m.gguf".into()));
        expect("https://huggingface.co/o/n?library=llama.cpp", Wanted::Usual);
        expect("o/n/d e/m-00001-of-00002.gguf", Wanted::File("d e/m-00001-of-00002.gguf".into()));
        let other = parse("o/n:q8_0").and_then(|it| it.with_file("a/b.gguf"));
        assert!(matches!(other, Ok(Reference::Hub { wanted: Wanted::File(path), .. }) if path == "a/b.gguf"));
    }

    #[test]
    fn names_of_models_are_told_from_texts() {
        for name in ["o/n", "Qwen/Qwen3-8B-GGUF:Q4_K_M", "qwen3:8b", "llama3.2:1.5B-q4_K_M", "phi4:latest"] {
            assert!(Reference::is_name(name), "{name}");
        }
        for text in ["word", "Once upon", "a/b/c", "either/or?", "a / b", "note:this", "at 5:30", "5:30", ":8b", "x:b"]
        {
            assert!(!Reference::is_name(text), "{text}");
        }
    }

    #[test]
    fn addresses_of_the_hub_are_taken_apart() {
        let file = |path: &str| Wanted::File(path.into());
        for (text, revision, wanted) in [
            ("https://huggingface.co/o/n", "main", Wanted::Usual),
            ("o/n@v1.0", "v1.0", Wanted::Usual),
            ("o/n@refs%2Fpr%2F1/m.gguf", "refs/pr/1", file("m.gguf")),
            ("hf://o/n@0123abc:Q8_0", "0123abc", Wanted::Quant("Q8_0".into())),
            ("https://hf.co/o/n/tree/v2/", "v2", Wanted::Usual),
            ("https://huggingface.co/o/n/resolve/main/m.gguf?download=true", "main", file("m.gguf")),
            ("https://huggingface.co/o/n/blob/refs%2Fpr%2F1/d%20e/m.gguf#L1", "refs/pr/1", file("d e/m.gguf")),
        ] {
            assert_eq!(hub(text), ("o/n".into(), revision.into(), wanted), "{text}");
        }
        let mirror = Endpoint::parse("http://127.0.0.1:9/hf").expect("an endpoint");
        let there = Reference::parse("http://127.0.0.1:9/hf/o/n/resolve/main/m.gguf", &mirror);
        assert_eq!(there, parse("o/n/m.gguf"));
        assert_eq!(Reference::parse("https://huggingface.co/o/n", &mirror), parse("o/n"));
    }

    #[test]
    fn other_addresses_are_files() {
        let url = "http://example.org:8080/a/m%20x.gguf?sig=1";
        assert_eq!(parse(url), Ok(Reference::Url { url: url.into(), name: "m x.gguf".into() }));
        assert!(parse("https://example.org/a.gguf").is_ok_and(|it| it.with_file("b.gguf").is_err()));
    }

    proptest! {
        /// Whatever is written, what is understood of it stays in its folder and at its hub.
        #[test]
        fn no_words_lead_out(text in "(o|[./a-z]{0,3})(/|:|://)?(n|[./%2efa-f\\\\:]{0,12})(/|:)?[-.%/:A-Za-z0-9\\\\é\u{0}]{0,40}") {
            if let Ok(Reference::Hub { repo, revision, wanted }) = parse(&text) {
                prop_assert_eq!(Repo::from_folder(&repo.folder()), Some(repo.clone()));
                prop_assert!(check_revision(&revision).is_ok());
                if let Wanted::File(path) = wanted {
                    let joined = std::path::Path::new("/cache").join(&path);
                    let stays = joined.components().all(|part| part != std::path::Component::ParentDir);
                    prop_assert!(stays && joined.starts_with("/cache") && !path.contains('\\'));
                    prop_assert!(Endpoint::default().owns(&Endpoint::default().file_url(&repo, &revision, &path)));
                }
            }
        }
    }

    #[test]
    fn what_means_harm_is_refused() {
        let long = format!("o/n:{}", "x".repeat(9000));
        for text in [
            "",
            " ",
            "model",
            "o/",
            "/n",
            "o/n:",
            "o/n:a b",
            "o/n/../../x.gguf",
            "o/n//x.gguf",
            "../n",
            "o/..",
            "o/n\0",
            "o/n:/../x.gguf",
            "o/n:/",
            "o/n/C:\\x.gguf",
            "o/n@",
            "o/n@../x",
            "o/n@a@b",
            ".git",
            "o/.git",
            "o\n/n",
            &long,
            "https://huggingface.co",
            "https://huggingface.co/o",
            "https://huggingface.co/o/n/resolve/main",
            "https://huggingface.co/o/n/resolve/main/..%2F..%2Fx.gguf",
            "https://huggingface.co/o/n/resolve/%2e%2e/x.gguf",
            "https://huggingface.co/o/n/resolve/main/%ff.gguf",
            "https://huggingface.co/o/n/commits/main",
            "https://huggingface.co/o/n/resolve/main/a%00.gguf",
            "https://example.org/",
            "https://example.org/model.bin",
            "https://example.org/..%2Fx.gguf",
            "https://u:p@example.org/x.gguf",
            "file:///x.gguf",
            "://x.gguf",
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.len() < 600 && !error.contains(['\n', '\0']), "{error}");
        }
    }
}

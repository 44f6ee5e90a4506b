//! From a person's words to the files of a model: asks the hub which files a repository has, and any other server how
//! long a file is.

use super::fetch::{Reply, ask};
use crate::error::{Error, Result};
use crate::format::part_name::{PartName, file_name};
use crate::host::arrival::{Plan, PlanFile, Refusal, Size, judge_size, unreachable};
use crate::host::hub::{
    Choice, Endpoint, Listing, MOST_PAGE_BYTES, MOST_PAGES, Reference, Repo, Wanted, choose, next_page, parse_commit,
};
use web_sys::{AbortController, DedicatedWorkerGlobalScope};

/// A GGUF file has been split into no more parts than this.
const MOST_PARTS: u32 = 1 << 10;

/// What the words mean: the files of one model, with their sizes and, from a hub, their hashes.
///
/// # Errors
/// When the words name no model, or the server cannot be asked or says odd things.
pub(super) async fn find(scope: &DedicatedWorkerGlobalScope, words: &str, hub: &str) -> Result<Plan> {
    let abort = AbortController::new().map_err(|_| Error::io("the hub", "this browser cannot break off a request"))?;
    let asker = Asker { scope, abort: &abort };
    let hub = Endpoint::parse(hub)?;
    let plan = match Reference::parse(words, &hub)? {
        Reference::Hub { repo, revision, wanted } => asker.on_hub(&hub, &repo, &revision, &wanted).await?,
        Reference::Url { url, name } => asker.at(&url, &name).await?,
    };
    plan.check().map(|()| plan)
}

struct Asker<'a> {
    scope: &'a DedicatedWorkerGlobalScope,
    abort: &'a AbortController,
}

impl Asker<'_> {
    async fn on_hub(&self, hub: &Endpoint, repo: &Repo, revision: &str, wanted: &Wanted) -> Result<Plan> {
        // A branch moves on; what is resumed tomorrow has to be what was begun today.
        let (text, _) = self.text(&hub.commit_url(repo, revision)).await?;
        let commit = parse_commit(text.as_bytes())?;
        let mut listing = Listing::default();
        let mut page = Some(hub.tree_url(repo, &commit));
        for _ in 0..MOST_PAGES {
            let Some(url) = page.take() else { break };
            let (text, link) = self.text(&url).await?;
            listing.add_page(text.as_bytes())?;
            page = link.and_then(|link| next_page(&link, hub));
        }
        let choice = choose(repo, &listing, wanted)?;
        let title = title(repo, &choice);
        let file = |entry: crate::host::hub::Entry| PlanFile {
            name: file_name(&entry.path).to_owned(),
            url: hub.file_url(repo, &commit, &entry.path),
            bytes: entry.bytes,
            sha256: entry.sha256,
        };
        Ok(Plan { title, files: choice.files.into_iter().map(file).collect() })
    }

    /// A file anywhere, and all other parts of its model if it is one of several.
    async fn at(&self, url: &str, name: &str) -> Result<Plan> {
        let (path, query) = match url.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (url, String::new()),
        };
        let folder = &path[..=path.rfind('/').unwrap_or(0)];
        let parts = PartName::parse(path).filter(|part| part.count <= MOST_PARTS).zip(PartName::parse(name));
        let urls: Vec<(String, String)> = match parts {
            None => vec![(url.to_owned(), name.to_owned())],
            Some((there, here)) => {
                let part = |number| (format!("{folder}{}{query}", there.of_number(number)), here.of_number(number));
                (1..=there.count).map(part).collect()
            }
        };
        let mut files = Vec::new();
        for (url, name) in urls {
            files.push(PlanFile { bytes: self.size(&url, &name).await?, name, url, sha256: None });
        }
        Ok(Plan { title: name.to_owned(), files })
    }

    /// By asking for the first byte, and where that tells nothing, for the headers alone.
    async fn size(&self, url: &str, name: &str) -> Result<u64> {
        let mut refused = None;
        for (range, method) in [(Some(0..1), "GET"), (None, "HEAD")] {
            let sized = match ask(self.scope, url, range, method, self.abort).await {
                Ok(reply) => judge_size(name, reply.status(), &|header| reply.header(header)),
                Err(said) => Err(unreachable(name, &said)),
            };
            match sized {
                Ok(Size::Bytes(bytes)) => return Ok(bytes),
                Ok(Size::Hidden) => {}
                Err(Refusal { error, .. }) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or_else(|| {
            Error::io(name, "the server does not say how long it is")
                .advice("Download it there, and open it from disk.")
        }))
    }

    /// A text of a hub, and the header that names the next page.
    async fn text(&self, url: &str) -> Result<(String, Option<String>)> {
        let failed = |said: String| unreachable(url, &said).error;
        let reply: Reply = ask(self.scope, url, None, "GET", self.abort).await.map_err(failed)?;
        if !(200..300).contains(&reply.status()) {
            let error = Error::io(url, format!("the hub answered {}", reply.status()));
            return Err(error.advice(match reply.status() {
                401 | 403 | 404 => "There is no such repository, or it is not public.",
                429 => "It has been asked too often: wait a few minutes.",
                _ => "Try again later.",
            }));
        }
        let text = reply.body().map_err(failed)?.text(MOST_PAGE_BYTES).await.map_err(failed)?;
        Ok((text, reply.header("link")))
    }
}

/// `name, file` for a GGUF, else the repository's name.
fn title(repo: &Repo, choice: &Choice) -> String {
    let file = file_name(choice.path());
    match file.to_lowercase().ends_with(".gguf") {
        true => file.to_owned(),
        false => repo.to_string(),
    }
}

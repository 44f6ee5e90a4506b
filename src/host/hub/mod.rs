//! Models on a hub, as both targets need them: what a person's words mean, which files of a repository that is, where
//! they are, and which models are known to run. Words, listings and headers come from outside and are taken as hostile.
//! Nothing here opens a file or a connection, and nothing knows a platform.
//!
//! ```text
//! "owner/name:Q4_K_M"  -> Reference        what is wanted, of which repository
//! Endpoint::commit_url -> parse_commit     which commit its branch stands at
//! Endpoint::tree_url   -> Listing          the files there, page by page, with bytes and hashes
//! choose               -> Choice           those that make up one model; the first is the one to open
//! Endpoint::file_url                       where the bytes of each are
//! ```

mod catalogue;
mod choice;
mod endpoint;
mod listing;
mod names;
mod reference;

pub use catalogue::{CATALOGUE, KnownModel, Memory, Quant};
pub use choice::{BESIDE, Choice, choose, stands_beside};
pub use endpoint::{ENDPOINT, Endpoint};
pub use listing::{Entry, Listing, MOST_PAGE_BYTES, MOST_PAGES, next_page, parse_commit};
pub use names::{Repo, check_path};
pub use reference::{Reference, Wanted};

//! What the window and the worker say to each other about models over the web; part of [`super::super::protocol`].

use crate::host::arrival::Plan;
use crate::host::web::protocol::Job;
use serde::{Deserialize, Serialize};

/// From the window to the worker. These are heard at once, also while the worker does something else.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    /// Tell what there is; answered by a `Shelf`.
    List,
    /// Find out what files a person's words mean, on the hub at this address; answered by `Found`.
    Find { job: Job, words: String, hub: String },
    /// Fetch a model, or what is missing of it, and keep it; answered by `Ended`.
    Get { job: Job, plan: Plan },
    /// Stop fetching this model. What has arrived is kept.
    Stop { id: String },
    /// Delete this model, or what has arrived of it; answered by `Ended`.
    Remove { job: Job, id: String },
    /// Delete what was computed of conversations; answered by `Ended`.
    RemovePrompts { job: Job },
}

/// From the worker to the window.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    /// Everything that is kept or under way.
    Shelf(Shelf),
    /// What the words meant, or what is wrong with them.
    Found { job: Job, found: Result<Plan, String> },
    /// A model was fetched or deleted, or not.
    Ended { job: Job, ended: Result<(), String> },
}

/// What there is of models from the web.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shelf {
    /// The newest first.
    pub(crate) rows: Vec<Row>,
    /// Bytes of what was computed of conversations.
    pub(crate) prompts: f64,
    /// Bytes that this page keeps, and that it may keep, by the browser's estimate; 0 where it does not tell.
    pub(crate) used: f64,
    pub(crate) quota: f64,
    /// Why nothing can be kept here.
    pub(crate) trouble: Option<String>,
}

/// A model, or a part of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) plan: Plan,
    /// Bytes that are there, and how many come per second.
    pub(crate) done: f64,
    pub(crate) per_s: f64,
    /// When it was complete, or begun: milliseconds since 1970.
    pub(crate) date_ms: f64,
    pub(crate) stage: Stage,
}

/// How far a model is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// It is whole and checked.
    Kept,
    /// It is being fetched.
    Arriving,
    /// It was not fetched to its end; why, where that is known.
    Interrupted(Option<String>),
    /// Its record cannot be read.
    Unreadable,
}

//! From what the window names to the files of a model: the page's own, those that a person picked or dropped, or those of
//! a model on the web, which may still be on their way.

use super::download::{Models, Opened};
use super::protocol::{Event, ModelFile};
use super::source::{BlobSource, fetch_blob};
use super::worker::post;
use crate::engine::ModelFiles;
use crate::error::Result;
use crate::format::source::Source;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::{DedicatedWorkerGlobalScope, File};

/// Where the page's own model lies, relative to the worker's script.
const EMBEDDED: &str = "./models/headstart-v4-11m.gguf";

/// The files of a model, and what to call it.
pub(super) struct Opening {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) files: ModelFiles,
    /// What the page calls it, where it keeps it.
    pub(super) id: Option<String>,
    web: Option<Opened>,
}

impl Opening {
    /// Opens a model's files; of one on the web, as far as they have come.
    ///
    /// # Errors
    /// When they cannot be read, or make no model.
    pub(super) async fn of(scope: &DedicatedWorkerGlobalScope, models: &Rc<Models>, model: ModelFile) -> Result<Self> {
        match model {
            ModelFile::Embedded => {
                let blob = fetch_blob(scope, EMBEDDED, &mut |progress| post(scope, &Event::Progress(progress))).await?;
                let name = EMBEDDED.rsplit('/').next().unwrap_or(EMBEDDED).into();
                Self::named(None, vec![Rc::new(BlobSource::new(name, blob))], None).await
            }
            ModelFile::Files(files) => {
                let source = |file: File| -> Rc<dyn Source> { Rc::new(BlobSource::new(file.name(), file.into())) };
                let files = files.iter().filter_map(|file| file.dyn_into().ok()).map(source).collect();
                Self::named(None, files, None).await
            }
            ModelFile::Web(plan) => {
                let mut opened = models.open(&plan).await?;
                let sources = std::mem::take(&mut opened.sources);
                let id = Some(plan.id());
                Ok(Self { id, ..Self::named(Some(plan.title), sources, Some(opened)).await? })
            }
        }
    }

    /// The context that is wished for, or the model's own where that is shorter.
    pub(super) async fn context(&self, wished: Option<u32>) -> Result<Option<u32>> {
        match wished {
            Some(wished) => Ok(Some(wished.min(self.files.open().await?.context_length()))),
            None => Ok(None),
        }
    }

    /// Fails where a model from the web turns out not to be what it should be, or does not come to its end.
    pub(super) async fn arrived(&self) -> Result<()> {
        match &self.web {
            Some(opened) => opened.arrived().await,
            None => Ok(()),
        }
    }

    /// A model is called like the file of its weights, if it has one, unless its plan has a name for it.
    async fn named(title: Option<String>, given: Vec<Rc<dyn Source>>, web: Option<Opened>) -> Result<Self> {
        let files = ModelFiles::of(given).await?;
        let name = title.or_else(|| files.sources.first().map(|source| source.name().to_owned())).unwrap_or_default();
        let bytes = files.sources.iter().map(|source| source.bytes()).sum();
        Ok(Self { name, bytes, files, id: None, web })
    }
}

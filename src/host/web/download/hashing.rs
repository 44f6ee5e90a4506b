//! The hash of a file that arrives, on a thread of its own where the file is large: SHA-256 takes as long as all else that
//! is done with a download. The thread runs the page's own program in a third role. Parts of the file go there in
//! order, each comes back when it is done, to be filled again: new memory costs as much as the hash. Nothing ends the file:
//! that is answered by the hash.

use crate::host::arrival::hex;
use futures_channel::mpsc::{UnboundedReceiver, unbounded};
use js_sys::{Array, Uint8Array};
use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent, Worker, WorkerOptions, WorkerType};

/// The name of the thread, by which the program sees its role.
pub(in crate::host::web) const NAME: &str = "hash";
/// Files from this size on are worth a thread.
const WORTH_BYTES: u64 = 32 << 20;
/// So many parts may wait there.
const MOST_OPEN: u32 = 8;

/// What makes the hash of one file.
pub(super) enum Hasher {
    /// This thread.
    Here(Sha256),
    /// A thread of its own.
    Beside(Beside),
}

/// The line to a thread that hashes; the thread ends with it.
pub(super) struct Beside {
    worker: Worker,
    answers: UnboundedReceiver<JsValue>,
    n_open: u32,
    /// Memory that has come back.
    spare: Option<Uint8Array>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(JsValue)>,
}

impl Hasher {
    pub(super) fn here() -> Self {
        Self::Here(Sha256::new())
    }

    /// A thread of its own, if the file is worth one and the browser gives one.
    pub(super) fn of(bytes: u64) -> Self {
        let beside = (bytes >= WORTH_BYTES).then(Beside::start).and_then(Result::ok);
        beside.map_or_else(Self::here, Self::Beside)
    }

    /// Takes the next bytes; None where the thread has failed, and the caller has to begin again.
    pub(super) async fn update(&mut self, bytes: &[u8]) -> Option<()> {
        match self {
            Self::Here(hash) => hash.update(bytes),
            Self::Beside(beside) => beside.update(bytes).await?,
        }
        Some(())
    }

    /// The hash in hexadecimal digits; None where the thread has failed.
    pub(super) async fn finish(self) -> Option<String> {
        match self {
            Self::Here(hash) => Some(hex(&hash.finalize())),
            Self::Beside(beside) => beside.finish().await,
        }
    }
}

impl Beside {
    fn start() -> Result<Self, JsValue> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        options.set_name(NAME);
        // Beside the engine's own script, which it is.
        let worker = Worker::new_with_options("./worker.js", &options)?;
        let (sender, answers) = unbounded();
        let failed = sender.clone();
        // Nobody listens once the file is done.
        let on_message = Closure::new(move |message: MessageEvent| drop(sender.unbounded_send(message.data())));
        let on_error = Closure::new(move |_: JsValue| drop(failed.unbounded_send(JsValue::UNDEFINED)));
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        worker.post_message(&wasm_bindgen::module())?;
        Ok(Self { worker, answers, n_open: 0, spare: None, _on_message: on_message, _on_error: on_error })
    }

    async fn update(&mut self, bytes: &[u8]) -> Option<()> {
        while self.n_open >= MOST_OPEN {
            self.answer().await?;
        }
        let n_bytes = bytes.len() as u32;
        let memory = self.spare.take().filter(|memory| memory.length() == n_bytes);
        let memory = memory.unwrap_or_else(|| Uint8Array::new_with_length(n_bytes));
        memory.copy_from(bytes);
        self.worker.post_message_with_transfer(&memory, &Array::of1(&memory.buffer())).ok()?;
        self.n_open += 1;
        Some(())
    }

    async fn finish(mut self) -> Option<String> {
        self.worker.post_message(&JsValue::NULL).ok()?;
        loop {
            if let Some(hash) = self.answer().await?.as_string() {
                return Some(hash);
            }
        }
    }

    async fn answer(&mut self) -> Option<JsValue> {
        let answer = self.answers.recv().await.ok().filter(|answer| !answer.is_undefined())?;
        self.n_open = self.n_open.saturating_sub(1);
        if let Some(memory) = answer.dyn_ref::<Uint8Array>() {
            self.spare = Some(memory.clone());
        }
        Some(answer)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.worker.terminate();
    }
}

/// The thread's side.
pub(in crate::host::web) fn serve(scope: &DedicatedWorkerGlobalScope) {
    let (mut hash, mut part) = (Sha256::new(), Vec::new());
    let line = scope.clone();
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| {
        let sent = match message.data().dyn_into::<Uint8Array>() {
            Ok(bytes) => {
                part.resize(bytes.length() as usize, 0);
                bytes.copy_to(&mut part);
                hash.update(&part);
                line.post_message_with_transfer(&bytes, &Array::of1(&bytes.buffer()))
            }
            Err(_) => line.post_message(&hex(&hash.finalize_reset()).into()),
        };
        if let Err(thrown) = sent {
            web_sys::console::error_2(&"a hash was not sent".into(), &thrown);
        }
    });
    scope.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
}

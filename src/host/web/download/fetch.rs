//! One request of the worker to a server of models: no credentials, no referrer, nothing for the browser's cache, and no
//! header but a single range. Such a request needs no permission in advance, which the servers behind hubs often
//! refuse: that rules out If-Range, so that versions are compared here instead.

use crate::host::web::source::{get, message_of};
use js_sys::{ArrayBuffer, Promise, Uint8Array};
use std::cell::RefCell;
use std::ops::Range;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    AbortController, DedicatedWorkerGlobalScope, Headers, ReadableStreamByobReader, ReadableStreamDefaultReader,
    RequestCache, RequestCredentials, RequestInit, Response,
};

/// An answer under way.
pub(super) struct Reply(Response);

/// Asks for a file, or for a range of its bytes.
///
/// # Errors
/// In the browser's words, where there is no answer that this page may read.
pub(super) async fn ask(
    scope: &DedicatedWorkerGlobalScope,
    url: &str,
    range: Option<Range<u64>>,
    method: &str,
    abort: &AbortController,
) -> Result<Reply, String> {
    let request = async {
        let init = RequestInit::new();
        init.set_method(method);
        init.set_cache(RequestCache::NoStore);
        init.set_credentials(RequestCredentials::Omit);
        init.set_referrer_policy(web_sys::ReferrerPolicy::NoReferrer);
        init.set_signal(Some(&abort.signal()));
        if let Some(range) = range {
            let headers = Headers::new()?;
            headers.set("range", &format!("bytes={}-{}", range.start, range.end - 1))?;
            init.set_headers_headers(&headers);
        }
        JsFuture::from(scope.fetch_with_str_and_init(url, &init)).await
    };
    let response = request.await.map_err(|e: JsValue| message_of(&e))?;
    Ok(Reply(response.unchecked_into()))
}

impl Reply {
    pub(super) fn status(&self) -> u16 {
        self.0.status()
    }

    /// A header, where the browser shows it.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        self.0.headers().get(name).ok().flatten()
    }

    /// The version of the file in the server's words.
    pub(super) fn version(&self) -> Option<String> {
        self.header("etag").or_else(|| self.header("last-modified"))
    }

    /// The bytes, as they come.
    ///
    /// # Errors
    /// Where there is no body.
    pub(super) fn body(&self) -> Result<Body, String> {
        let body = self.0.body().ok_or_else(|| "the answer has no body".to_owned())?;
        Ok(match ReadableStreamByobReader::new(&body) {
            Ok(reader) => Body::Filling(reader, RefCell::new(ArrayBuffer::new(PART_BYTES))),
            Err(_) => Body::Giving(body.get_reader().unchecked_into()),
        })
    }
}

/// Bytes that are read at once. Memory that is new to the process costs more than all else that is done with a download, so
/// the same is filled again and again; and OPFS takes larger parts more slowly.
const PART_BYTES: u32 = 256 << 10;

/// The bytes of an answer. Dropped, it tells the server that no more are wanted.
pub(super) enum Body {
    /// Into memory of ours.
    Filling(ReadableStreamByobReader, RefCell<ArrayBuffer>),
    /// Into memory of the browser's, where it does not fill ours.
    Giving(ReadableStreamDefaultReader),
}

impl Body {
    /// The next bytes, which are there until the next call; None at the end.
    ///
    /// # Errors
    /// Where the connection is cut.
    pub(super) async fn next(&self) -> Result<Option<Uint8Array>, String> {
        let read = match self {
            Self::Filling(reader, memory) => reader.read_with_array_buffer_view(&Uint8Array::new(&memory.borrow())),
            Self::Giving(reader) => reader.read(),
        };
        let step = JsFuture::from(read).await.map_err(|e| message_of(&e))?;
        if get(&step, "done").is_truthy() {
            return Ok(None);
        }
        let bytes: Uint8Array = get(&step, "value").unchecked_into();
        if let Self::Filling(_, memory) = self {
            memory.replace(bytes.buffer());
        }
        Ok(Some(bytes))
    }

    /// All of a text.
    ///
    /// # Errors
    /// Where the connection is cut, or the text is longer than `most_bytes`, or no UTF-8.
    pub(super) async fn text(&self, most_bytes: usize) -> Result<String, String> {
        let mut text = Vec::new();
        while let Some(bytes) = self.next().await? {
            if text.len() + bytes.byte_length() as usize > most_bytes {
                return Err(format!("the answer is longer than {most_bytes} bytes"));
            }
            text.extend(bytes.to_vec());
        }
        String::from_utf8(text).map_err(|_| "the answer is no UTF-8".to_owned())
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // A stream that has ended or failed minds no more.
        let cancelled = match self {
            Self::Filling(reader, _) => reader.cancel(),
            Self::Giving(reader) => reader.cancel(),
        };
        let cancelled: Promise = cancelled.unchecked_into();
        spawn_local(async move { drop(JsFuture::from(cancelled).await) });
    }
}

/// Waits.
pub(super) async fn sleep(scope: &DedicatedWorkerGlobalScope, ms: i32) {
    let mut wait = |resolve: js_sys::Function, _reject| {
        if scope.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, ms).is_err() {
            let _ = resolve.call0(&JsValue::NULL);
        }
    };
    let _ = JsFuture::from(Promise::new(&mut wait)).await;
}

//! Sources of bytes in a browser: any `Blob`, which a picked or dropped file is and a download becomes.
//! The bytes stay the browser's; wasm memory sees only the range being read.

use super::protocol::{Progress, Step};
use crate::error::{Error, Result};
use crate::format::source::{Reading, Source, check_range};
use js_sys::{Array, ArrayBuffer, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, DedicatedWorkerGlobalScope, ReadableStreamDefaultReader, Response};

/// Downloads `url` into a blob, telling `progress` of every piece that arrives.
///
/// # Errors
/// `Io` if the server cannot be reached, answers with another status than success, or breaks off.
pub(crate) async fn fetch_blob(
    scope: &DedicatedWorkerGlobalScope,
    url: &str,
    progress: &mut dyn FnMut(Progress),
) -> Result<Blob> {
    let failed = |e: JsValue| Error::io(url, message_of(&e)).advice("Check the connection and load the page again.");
    let response: Response = JsFuture::from(scope.fetch_with_str(url)).await.map_err(failed)?.unchecked_into();
    if !response.ok() {
        return Err(Error::io(url, format!("the server answered {} {}", response.status(), response.status_text()))
            .expected("status 200")
            .advice("The page's folder must hold the model at this path; or drop a GGUF file on the page."));
    }
    let total = content_length(&response);
    let body = response.body().ok_or_else(|| Error::io(url, "the answer has no body"))?;
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let pieces = Array::new();
    let mut done = 0.0;
    progress(Progress { step: Step::Download, done, total });
    loop {
        let piece = JsFuture::from(reader.read()).await.map_err(failed)?;
        if get(&piece, "done").is_truthy() {
            break;
        }
        let bytes: Uint8Array = get(&piece, "value").unchecked_into();
        done += f64::from(bytes.byte_length());
        pieces.push(&bytes);
        progress(Progress { step: Step::Download, done, total });
    }
    Blob::new_with_u8_array_sequence(&pieces).map_err(failed)
}

/// The size that the server announces; none where it compresses, since it then counts other bytes than we do.
fn content_length(response: &Response) -> Option<f64> {
    let headers = response.headers();
    if headers.get("content-encoding").ok().flatten().is_some() {
        return None;
    }
    headers.get("content-length").ok().flatten()?.parse().ok()
}

/// A property of a JavaScript object; `undefined` where it has none.
pub(crate) fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &JsValue::from_str(key)).unwrap_or(JsValue::UNDEFINED)
}

/// The text of whatever JavaScript threw.
pub(crate) fn message_of(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => thrown.as_string().unwrap_or_else(|| format!("{thrown:?}")),
    }
}

/// A blob as a model's source, under the name that messages call it by.
pub(crate) struct BlobSource {
    pub(crate) name: String,
    pub(crate) blob: Blob,
}

impl Source for BlobSource {
    fn bytes(&self) -> u64 {
        // A blob's size is a whole number below 2^53.
        self.blob.size() as u64
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn read_at<'a>(&'a self, offset: u64, buffer: &'a mut [u8]) -> Reading<'a> {
        Box::pin(async move {
            check_range(self, offset, buffer.len())?;
            let failed = |e: JsValue| {
                Error::io(&self.name, message_of(&e))
                    .advice("If the file has moved or changed since it was picked, pick it again.")
            };
            let end = offset + buffer.len() as u64;
            let part = self.blob.slice_with_f64_and_f64(offset as f64, end as f64).map_err(failed)?;
            let bytes: ArrayBuffer = JsFuture::from(part.array_buffer()).await.map_err(failed)?.unchecked_into();
            if bytes.byte_length() as usize != buffer.len() {
                return Err(Error::io(&self.name, format!("{} bytes at byte {offset}", bytes.byte_length()))
                    .expected(format!("{} bytes", buffer.len()))
                    .advice("The file has changed since it was picked: pick it again."));
            }
            Uint8Array::new(&bytes).copy_to(buffer);
            Ok(())
        })
    }
}

//! Sources of bytes in a browser: any `Blob`, which a picked or dropped file is and a download becomes.
//! The bytes stay the browser's; wasm memory sees only the range being read.

use super::protocol::{Progress, Step};
use crate::error::{Error, Result};
use crate::format::source::{Reading, Source, check_range};
use js_sys::{Array, ArrayBuffer, Promise, Reflect, Uint8Array};
use std::cell::RefCell;
use std::ops::Range;
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

/// The text of what JavaScript threw.
pub(crate) fn message_of(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => thrown.as_string().unwrap_or_else(|| format!("{thrown:?}")),
    }
}

/// Bytes of a blob that are read at once,
const PART_BYTES: u64 = 4 << 20;
/// how many such parts are read ahead where reading goes on from where it was, since a browser takes its time for each,
const PARTS_AHEAD: u64 = 2;
/// and how many are kept: a reader of a model goes to and fro between neighbouring tensors.
const MOST_PARTS: usize = 6;
/// A range up to this size that lies apart from what was read is read alone: who draws samples does not come back for more.
const SAMPLE_BYTES: u64 = 4 << 10;

/// A blob as a model's source, under the name that messages call it by.
pub(crate) struct BlobSource {
    name: String,
    blob: Blob,
    /// Parts that are being read, or were, the last used last: their places in the blob, counted in parts, and what
    /// becomes their bytes.
    parts: RefCell<Vec<(u64, Promise)>>,
}

impl BlobSource {
    pub(crate) fn new(name: String, blob: Blob) -> Self {
        Self { name, blob, parts: RefCell::default() }
    }

    /// The parts that hold bytes of a range that is not empty, with the place of the first. Those after it are read
    /// ahead if somebody was here already.
    fn read_parts(&self, range: &Range<u64>) -> Result<(u64, Vec<Promise>), JsValue> {
        let (first, last) = (range.start / PART_BYTES, (range.end - 1) / PART_BYTES);
        let mut parts = self.parts.borrow_mut();
        let ahead = if parts.iter().any(|(part, _)| *part == first) { PARTS_AHEAD } else { 0 };
        let n_parts = self.bytes().div_ceil(PART_BYTES);
        let mut taken = Vec::new();
        for part in first..(last + ahead + 1).min(n_parts) {
            let known = parts.iter().position(|(known, _)| *known == part).map(|at| parts.remove(at).1);
            let promise = match known {
                Some(promise) => promise,
                None => {
                    let (begin, end) = (part * PART_BYTES, ((part + 1) * PART_BYTES).min(self.bytes()));
                    let slice = self.blob.slice_with_f64_and_f64(begin as f64, end as f64)?;
                    slice.array_buffer().unchecked_into()
                }
            };
            if part <= last {
                taken.push(promise.clone());
            }
            parts.push((part, promise));
        }
        let n_old = parts.len().saturating_sub(MOST_PARTS);
        parts.drain(..n_old);
        Ok((first, taken))
    }

    /// Fills `buffer`, which is not empty, from the parts that hold its bytes.
    async fn fill(&self, offset: u64, buffer: &mut [u8]) -> Result<(), JsValue> {
        let end = offset + buffer.len() as u64;
        let (from, to) = (offset / PART_BYTES, (end - 1) / PART_BYTES);
        let is_near = self.parts.borrow().iter().any(|(part, _)| (from..=to + 1).contains(&(part + 1)));
        if buffer.len() as u64 <= SAMPLE_BYTES && from > 0 && !is_near {
            let slice = self.blob.slice_with_f64_and_f64(offset as f64, end as f64)?;
            let bytes: ArrayBuffer = JsFuture::from(slice.array_buffer()).await?.unchecked_into();
            let bytes = Uint8Array::new(&bytes);
            if u64::from(bytes.byte_length()) < buffer.len() as u64 {
                return Err(js_sys::Error::new(&format!("it ends before byte {end}")).into());
            }
            bytes.copy_to(buffer);
            return Ok(());
        }
        let (first, parts) = self.read_parts(&(offset..end))?;
        for (part, promise) in (first..).zip(parts) {
            let bytes: ArrayBuffer = JsFuture::from(promise).await?.unchecked_into();
            let begin = part * PART_BYTES;
            let (from, to) = (offset.max(begin), end.min(begin + PART_BYTES));
            if begin + u64::from(bytes.byte_length()) < to {
                return Err(js_sys::Error::new(&format!("it ends at byte {begin} and some")).into());
            }
            let bytes = Uint8Array::new(&bytes).subarray((from - begin) as u32, (to - begin) as u32);
            bytes.copy_to(&mut buffer[(from - offset) as usize..(to - offset) as usize]);
        }
        Ok(())
    }
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
            if buffer.is_empty() {
                return Ok(());
            }
            self.fill(offset, buffer).await.map_err(|e| {
                // What failed may be read again.
                self.parts.borrow_mut().clear();
                Error::io(&self.name, message_of(&e))
                    .advice("If the file has moved or changed since it was picked, pick it again.")
            })
        })
    }
}

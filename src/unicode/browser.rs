//! Unicode's composed form, NFC, by the browser: the library's tables are 58 KB of the page as it is fetched.

use js_sys::JsString;
use tokenizers::NormalizedString;

/// Composes a text. The places that its characters came from are lost, and nobody asks for them.
pub(crate) fn compose(text: &mut NormalizedString) {
    *text = NormalizedString::from(String::from(JsString::from(text.get()).normalize("NFC")));
}

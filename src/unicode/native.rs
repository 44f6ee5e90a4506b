//! Unicode's composed form, NFC, by the tokenizers library's tables.

use tokenizers::NormalizedString;

/// Composes a text.
pub(crate) fn compose(text: &mut NormalizedString) {
    text.nfc();
}

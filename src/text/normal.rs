//! What is done to a text before it is cut. The library's own enum of normalizers brings along a backtracking regex library and
//! tables for forms of Unicode that no file here asks for, which the page would have to carry.

use super::sentence_piece::SPACE;
use crate::unicode::compose;
use tokenizers::{NormalizedString, Normalizer};

/// A text's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Normal {
    /// Unicode's composed form, NFC.
    Composed,
    /// Spaces become SentencePiece's mark.
    MarksSpaces {
        /// One more mark stands before the text.
        prefixes: bool,
    },
}

impl Normalizer for Normal {
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        match self {
            Self::Composed => {
                compose(text);
                Ok(())
            }
            Self::MarksSpaces { prefixes } => {
                let mark = SPACE.to_string();
                if *prefixes {
                    // Nothing is put before an empty text.
                    text.prepend(&mark);
                }
                text.replace(' ', &mark)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::normalizers::{NFC, Prepend, Replace};

    /// As the library's own normalizers have it, with the places that each character came from.
    #[test]
    fn it_does_what_the_library_does() {
        for text in ["", " ", "a b", "  a", "e\u{301} o\u{308}", "\u{2581} \u{3000}x", "가각 한"] {
            let normalized = |normal: &dyn Fn(&mut NormalizedString)| {
                let mut out = NormalizedString::from(text);
                normal(&mut out);
                out
            };
            let ours = |normal: Normal| normalized(&|out| normal.normalize(out).unwrap());
            assert_eq!(ours(Normal::Composed), normalized(&|out| NFC.normalize(out).unwrap()));
            let replace = |out: &mut NormalizedString| Replace::new(" ", "▁").unwrap().normalize(out).unwrap();
            assert_eq!(ours(Normal::MarksSpaces { prefixes: false }), normalized(&replace));
            let both = |out: &mut NormalizedString| {
                Prepend::new("▁".to_owned()).normalize(out).unwrap();
                replace(out);
            };
            assert_eq!(ours(Normal::MarksSpaces { prefixes: true }), normalized(&both));
        }
    }
}

//! The text of a shader as it is put into the program: without its comments, which are 21 KB of the page as it is
//! fetched. Lines stay lines, so that a compiler's message names those of the file.

/// The text of a file of shaders/, without comments. The path is relative, as for `include_str!`.
macro_rules! shader_text {
    ($path:expr) => {{
        const TEXT: &str = include_str!($path);
        const BYTES: &[u8; $crate::shader_text::n_bytes(TEXT)] = &$crate::shader_text::code(TEXT);
        const CODE: &str = match std::str::from_utf8(BYTES) {
            Ok(code) => code,
            Err(_) => panic!("a comment was cut within a character"),
        };
        CODE
    }};
}

/// Bytes of a text without its comments.
pub(crate) const fn n_bytes(text: &str) -> usize {
    let mut at = 0;
    let mut n = 0;
    while at < text.len() {
        let (is_code, next) = step(text.as_bytes(), at);
        n += is_code as usize;
        at = next;
    }
    n
}

/// A text without its comments, `N` of them by [`n_bytes`].
pub(crate) const fn code<const N: usize>(text: &str) -> [u8; N] {
    let mut code = [0; N];
    let mut at = 0;
    let mut n = 0;
    while at < text.len() {
        let (is_code, next) = step(text.as_bytes(), at);
        if is_code {
            code[n] = text.as_bytes()[at];
            n += 1;
        }
        at = next;
    }
    code
}

/// Whether a byte is code, and where to go on: a comment, with the spaces before it, reaches to the end of its line. WGSL has
/// no strings that could hold its sign; its other comments are not used here.
const fn step(text: &[u8], at: usize) -> (bool, usize) {
    let mut begin = at;
    while begin < text.len() && text[begin] == b' ' {
        begin += 1;
    }
    if begin + 1 >= text.len() || text[begin] != b'/' || text[begin + 1] != b'/' {
        return (true, at + 1);
    }
    while begin < text.len() && text[begin] != b'\n' {
        begin += 1;
    }
    (false, begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "// é\nlet a = 1; // one\n\n    // two\nlet b = a / 2; /// three\n//";

    #[test]
    fn comments_go_and_lines_stay() {
        let code: [u8; n_bytes(TEXT)] = code(TEXT);
        assert_eq!(std::str::from_utf8(&code), Ok("\nlet a = 1;\n\n\nlet b = a / 2;\n"));
    }
}

//! GPT-2's byte map: byte-level BPE spells every byte as one printable character, so that a vocabulary is plain text.
//!
//! Printable bytes (0x21 to 0x7E, 0xA1 to 0xAC, 0xAE to 0xFF) stand for themselves, as in Latin-1;
//! the 68 others, in order, are U+0100 to U+0143 (a space is `Ġ`, a newline `Ċ`).

/// The character that spells `byte`.
pub(super) fn char_of(byte: u8) -> char {
    let code = match byte {
        0x00..=0x20 => 0x100 + u16::from(byte),
        0x7F..=0xA0 => 0x121 + u16::from(byte - 0x7F),
        0xAD => 0x143,
        printable => u16::from(printable),
    };
    char::from_u32(u32::from(code)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that `spelling` stands for; nothing if it spells no byte.
pub(super) fn byte_of(spelling: char) -> Option<u8> {
    let code = u32::from(spelling);
    let byte = match code {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => code,
        0x100..=0x120 => code - 0x100,
        0x121..=0x142 => code - 0x121 + 0x7F,
        0x143 => 0xAD,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// The bytes that a token's text spells. A text with any character outside the map is no spelling:
/// it stands for its own UTF-8 bytes, as in `tokenizers`' decoder.
pub(super) fn bytes_of(text: &str) -> Vec<u8> {
    text.chars().map(byte_of).collect::<Option<Vec<u8>>>().unwrap_or_else(|| text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_byte_has_its_own_character_and_comes_back() {
        let chars: HashSet<char> = (0..=255).map(char_of).collect();
        assert_eq!(chars.len(), 256);
        assert!((0..=255).all(|byte| byte_of(char_of(byte)) == Some(byte)));
        assert_eq!(chars, tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect());
        assert_eq!((char_of(b' '), char_of(b'\n'), char_of(0xAD)), ('Ġ', 'Ċ', 'Ń'));
    }

    #[test]
    fn other_characters_spell_no_byte() {
        let bytes: usize = (0..=0x10FFFF).filter_map(char::from_u32).filter_map(byte_of).count();
        assert_eq!(bytes, 256);
        assert_eq!(bytes_of("Ġa"), b" a");
        assert_eq!(bytes_of("｜a"), "｜a".as_bytes());
    }
}

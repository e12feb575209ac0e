//! Strangers' text made fit for a terminal, a log and a person's eye.

use std::fmt::Write as _;

use crate::entry::push_literal;

/// Appends `text` with everything escaped that could steer a terminal or hide from the reader: control characters,
/// invisible and direction-changing ones, bytes that are not UTF-8, and the backslash itself, so that what is
/// shown can be read one way only. Stops before `most` characters are exceeded; returns whether all of it fitted.
pub(super) fn push_escaped(out: &mut String, text: &[u8], most: usize) -> bool {
    let mut room = most;
    for chunk in text.utf8_chunks() {
        let mut rest = chunk.valid();
        while !rest.is_empty() {
            // Most of it stays as it is, and need not be decoded.
            let plain = |byte: u8| matches!(byte, b' '..=b'[' | b']'..=b'~');
            let run = rest.bytes().take(room).take_while(|&byte| plain(byte)).count();
            out.push_str(&rest[..run]);
            room -= run;
            let mut others = rest[run..].chars();
            if let Some(character) = others.next()
                && !push_within(out, &mut room, |shown| push_literal(shown, character))
            {
                return false;
            }
            rest = others.as_str();
        }
        for byte in chunk.invalid() {
            if !push_within(out, &mut room, |shown| {
                let _ = write!(shown, "\\x{byte:02x}");
            }) {
                return false;
            }
        }
    }
    true
}

/// The start of `text` between backquotes, escaped, with `…` for what is left out.
pub(super) fn quoted(text: &[u8], most: usize) -> String {
    let mut out = String::from("`");
    let whole = push_escaped(&mut out, text, most);
    out.push('`');
    if !whole {
        out.push('…');
    }
    out
}

fn push_within(out: &mut String, room: &mut usize, push: impl FnOnce(&mut String)) -> bool {
    let before = out.len();
    push(out);
    let used = out[before..].chars().count();
    if used > *room {
        out.truncate(before);
        return false;
    }
    *room -= used;
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_shown_as_text() {
        assert_eq!(
            quoted(b"\x1b[31mred\x07\0\t\r\n\x7f", 99),
            r"`\u{1b}[31mred\u{7}\0\t\r\n\u{7f}`"
        );
        assert_eq!(
            quoted("\u{85}\u{202e}\u{feff}é".as_bytes(), 99),
            r"`\u{85}\u{202e}\u{feff}é`"
        );
        assert_eq!(quoted(b"a\\n\xff\xc3", 99), r"`a\\n\xff\xc3`");
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        assert_eq!(quoted("ééé".as_bytes(), 2), "`éé`…");
        assert_eq!(quoted(b"a\n", 2), "`a`…");
        assert_eq!(quoted(b"abc", 2), "`ab`…");
        assert_eq!(quoted(b"abc", 3), "`abc`");
    }

    proptest! {
        #[test]
        fn whatever_comes_in_no_control_character_comes_out(text: Vec<u8>, most in 0_usize..40) {
            let shown = quoted(&text, most);
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert!(shown.chars().count() <= most + 3);
        }
    }
}

//! How much text a page may still hold.

use crate::entry::escape_control;

/// Bytes of escaped text that may still be written.
pub(crate) struct Room(usize);

impl Room {
    /// So many bytes.
    pub(crate) fn of(bytes: usize) -> Self {
        Self(bytes)
    }

    /// Sets half of what is left apart.
    pub(super) fn half(&mut self) -> Self {
        let half = self.0 / 2;
        self.0 -= half;
        Self(half)
    }

    /// Takes back what is left of a part.
    pub(super) fn give_back(&mut self, part: Self) {
        self.0 += part.0;
    }

    /// Takes the page's own bytes.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let fits = self.0 >= bytes;
        self.0 = self.0.saturating_sub(bytes);
        fits
    }

    /// The text, cut where the room ends.
    pub(crate) fn cut(&mut self, text: &str) -> String {
        self.cut_to(text, usize::MAX)
    }

    /// The text, cut where the room ends or at `most` bytes.
    pub(crate) fn cut_to(&mut self, text: &str, most: usize) -> String {
        let text = escape_control(text);
        let limit = self.0.min(most);
        let mut used = 0;
        for (at, c) in text.char_indices() {
            let bytes = escaped_bytes(c);
            if used + bytes > limit {
                self.0 -= used;
                return format!("{}… [cut: {} more bytes]", &text[..at], text.len() - at);
            }
            used += bytes;
        }
        self.0 -= used;
        text
    }
}

/// Bytes of a character after escaping.
fn escaped_bytes(c: char) -> usize {
    match c {
        '<' | '>' | '&' | '"' | '\'' | '/' => 6,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_the_room_ends_and_says_so() {
        let mut room = Room(10);
        assert_eq!(room.cut("abcd"), "abcd");
        assert_eq!(room.cut("é<é"), "é… [cut: 3 more bytes]");
        assert_eq!(room.0, 4);
        assert_eq!(room.cut("ab\u{1b}"), "ab\\u… [cut: 4 more bytes]");
    }
}

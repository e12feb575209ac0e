//! Strangers' text, made safe to store, to print and to read; long text, cut.

/// Makes a stranger's text safe to store and to print: control characters (but line feed and tab), and the
/// invisible characters that reorder or hide text, become `\u{…}`. `PostgreSQL` refuses NUL, terminals obey ESC.
/// What makes one emoji out of several characters stays.
pub fn escape_control(text: &str) -> String {
    // Most texts are plain: nothing in them is to be decoded.
    let plain = |byte: &u8| matches!(byte, b'\n' | b'\t' | b' '..=b'~');
    let end = text.bytes().position(|byte| !plain(&byte)).unwrap_or(text.len());
    let mut escaped = String::with_capacity(text.len());
    escaped.push_str(&text[..end]);
    let mut before = escaped.chars().next_back();
    let mut rest = text[end..].chars();
    while let Some(c) = rest.next() {
        let stays = matches!(c, '\n' | '\t') || joins_emoji(before, c, rest.clone().next());
        if !stays && (c.is_control() || is_invisible(c)) {
            escaped.extend(c.escape_unicode());
            before = None;
        } else {
            escaped.push(c);
            before = Some(c);
        }
    }
    escaped
}

/// Whether an invisible character does nothing but choose how an emoji looks, or join two of them.
fn joins_emoji(before: Option<char>, c: char, after: Option<char>) -> bool {
    match c {
        '\u{fe0e}' | '\u{fe0f}' => before.is_some_and(|before| {
            is_emoji(before) || (matches!(before, '0'..='9' | '#' | '*') && after == Some('\u{20e3}'))
        }),
        '\u{200d}' => {
            // A selector that stayed belongs to an emoji.
            before.is_some_and(|before| is_emoji(before) || matches!(before, '\u{fe0e}' | '\u{fe0f}'))
                && after.is_some_and(is_emoji)
        }
        _ => false,
    }
}

/// The blocks that emoji come from: generous, since nothing in them is invisible.
fn is_emoji(c: char) -> bool {
    matches!(c,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{2190}'..='\u{21ff}'
        | '\u{2300}'..='\u{23ff}' | '\u{24c2}' | '\u{25a0}'..='\u{27bf}' | '\u{2934}' | '\u{2935}'
        | '\u{2b00}'..='\u{2bff}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}'
        | '\u{1f000}'..='\u{1faff}')
}

/// Characters that change what a reader sees without being seen: `Default_Ignorable_Code_Point` of Unicode 16
/// (<https://www.unicode.org/Public/16.0.0/ucd/DerivedCoreProperties.txt>; bidirectional controls, joiners,
/// variation selectors, fillers and tags among them), the line and paragraph separators (Zl, Zp) and the
/// interlinear annotation characters.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Appends a character as in Rust's string literals, so that what is shown can be read one way only: with line
/// feed, tab, backslash and every invisible character escaped, those of emoji too.
pub(crate) fn push_literal(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0' => out.push_str("\\0"),
        '\\' => out.push_str("\\\\"),
        c if c.is_control() || is_invisible(c) => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
}

/// Cuts `text` to at most `limit` bytes at a character boundary and says how much is missing.
pub fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(limit);
    format!("{}… [cut: {} more bytes]", &text[..end], text.len() - end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_or_a_reader_cannot_see_is_escaped() {
        assert_eq!(
            escape_control("a\u{1b}[31m\0b\r\n\tc"),
            "a\\u{1b}[31m\\u{0}b\\u{d}\n\tc"
        );
        assert_eq!(escape_control("x\u{202e}y\u{e0041}é"), "x\\u{202e}y\\u{e0041}é");
    }

    #[test]
    fn no_character_that_nobody_sees_stays_invisible() {
        for hidden in [
            0xad, 0x34f, 0x61c, 0x115f, 0x1160, 0x17b4, 0x180e, 0x200b, 0x2028, 0x2029, 0x202e, 0x2066,
            0x206a, 0x206f, 0x3164, 0xfe00, 0xfe0f, 0xfeff, 0xffa0, 0x1d173, 0x1d17a, 0xe0001, 0xe0100,
            0xe01ef,
        ] {
            let hidden = char::from_u32(hidden).unwrap();
            let escaped = escape_control(&format!("x{hidden}y"));
            assert_eq!(escaped, format!("x{}y", hidden.escape_unicode()));
        }
    }

    #[test]
    fn what_makes_one_emoji_of_several_characters_stays_and_hides_nothing_else() {
        for emoji in ["❤️", "👩‍💻", "👨‍👩‍👧", "🏳️‍🌈", "1️⃣", "👍🏽", "✔︎ done"]
        {
            assert_eq!(escape_control(emoji), emoji);
        }
        for (text, escaped) in [
            ("a\u{fe0f}", "a\\u{fe0f}"),
            ("1\u{fe0f}", "1\\u{fe0f}"),
            ("❤\u{fe0f}\u{fe0f}", "❤\u{fe0f}\\u{fe0f}"),
            ("👩\u{200d}x", "👩\\u{200d}x"),
            ("👩\u{200d}\u{200d}👩", "👩\\u{200d}\\u{200d}👩"),
            ("x\u{fe0f}\u{200d}👩", "x\\u{fe0f}\\u{200d}👩"),
        ] {
            assert_eq!(escape_control(text), escaped);
        }
    }

    #[test]
    fn a_cut_falls_between_characters_and_says_what_is_missing() {
        assert_eq!(cut("héllo", 2), "h… [cut: 5 more bytes]");
        assert_eq!(cut("héllo", 6), "héllo");
    }
}

//! Looks a judge's quotes up in the submission.
//!
//! A judge that must show the words it relies on cannot be satisfied by a text that has none.

use unicode_normalization::UnicodeNormalization;

use crate::entry::is_invisible;

/// Least letters and digits of a quote, in bytes of UTF-8: eight Latin letters, three Chinese characters.
const MIN_QUOTE_BYTES: usize = 8;

/// Why a quote is no evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuoteError {
    /// It says too little to be found only where it was taken from.
    TooShort,
    /// Its words are not in the submission.
    NotFound,
}

/// The texts of a submission as they were shown, ready to be searched.
#[derive(Debug, Clone)]
pub(super) struct Quotable(Vec<String>);

impl Quotable {
    /// Takes the shown texts. Text that was left out on the way cannot be quoted.
    pub(super) fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(texts.into_iter().map(fold).collect())
    }

    /// Checks that the words of `quote` stand in one of the texts, in that order and without gaps. A short quote
    /// counts only where it is the whole of a text.
    pub(super) fn check(&self, quote: &str) -> Result<(), QuoteError> {
        // Models like to put marks around what they quote.
        let quote = fold(quote);
        let quote = quote.trim_matches(['"', ' ']);
        let bytes: usize = quote
            .chars()
            .filter(|c| c.is_alphanumeric())
            .map(char::len_utf8)
            .sum();
        if bytes < MIN_QUOTE_BYTES {
            let is_whole = bytes > 0 && self.0.iter().any(|text| text.trim_matches(['"', ' ']) == quote);
            return if is_whole {
                Ok(())
            } else if self.0.iter().any(|text| text.contains(quote)) {
                Err(QuoteError::TooShort)
            } else {
                Err(QuoteError::NotFound)
            };
        }
        if self.0.iter().any(|text| text.contains(quote)) {
            Ok(())
        } else {
            Err(QuoteError::NotFound)
        }
    }
}

/// The text as it is compared: what models change when they copy is folded away. `\u{…}` escapes, which the
/// prompt may show, count as the characters they stand for; then NFKC, lower case, one kind of quotation mark and
/// of dash, no invisible characters, single spaces.
fn fold(text: &str) -> String {
    let plain = unescape(text);
    let mut folded = String::with_capacity(plain.len());
    let mut space = false;
    for c in plain.nfkc().flat_map(char::to_lowercase) {
        let c = match c {
            '\'' | '‘' | '’' | '‚' | '‛' | '`' | '´' | '′' | '“' | '”' | '„' | '‟' | '«' | '»' | '‹'
            | '›' | '″' => '"',
            '‐' | '‑' | '‒' | '–' | '—' | '−' => '-',
            c => c,
        };
        if c.is_whitespace() {
            space = true;
        } else if !c.is_control() && !is_invisible(c) {
            if space && !folded.is_empty() {
                folded.push(' ');
            }
            space = false;
            folded.push(c);
        }
    }
    folded
}

/// The text with its `\u{…}` escapes read.
pub(super) fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("\\u{") {
        plain.push_str(&rest[..start]);
        let digits = &rest[start + 3..];
        let character = digits
            .bytes()
            .take(7)
            .position(|byte| byte == b'}')
            .and_then(|end| {
                Some((
                    end,
                    char::from_u32(u32::from_str_radix(&digits[..end], 16).ok()?)?,
                ))
            });
        if let Some((end, c)) = character {
            plain.push(c);
            rest = &digits[end + 1..];
        } else {
            plain.push_str("\\u{");
            rest = digits;
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, quote: &str) -> Result<(), QuoteError> {
        Quotable::new([text]).check(quote)
    }

    #[test]
    fn a_quote_is_found_whatever_a_model_does_to_spaces_case_and_quotation_marks() {
        let text = "She said: “The deposit   is\nrefundable – always.” \u{fb01}nally";
        assert_eq!(check(text, "the DEPOSIT is refundable - always"), Ok(()));
        assert_eq!(check(text, "said: \"The deposit"), Ok(()));
        assert_eq!(check(text, "always.\" Finally"), Ok(()));
        assert_eq!(check(text, "“refundable – always”"), Ok(()));
        assert_eq!(
            check("if a \\u{3c}\\u{3c}\\u{3c} b then", "if a <<< b then"),
            Ok(())
        );
    }

    #[test]
    fn words_that_are_not_there_or_say_nothing_are_no_evidence() {
        assert_eq!(
            check("The deposit is refundable.", "the deposit is not refundable"),
            Err(QuoteError::NotFound)
        );
        assert_eq!(check("The deposit: yes.", "the"), Err(QuoteError::TooShort));
        for nothing in ["", ":", " … ", "\u{200b}"] {
            assert!(check(": … \u{200b} and more", nothing).is_err(), "{nothing:?}");
            assert!(check(nothing, nothing).is_err(), "{nothing:?}");
        }
    }

    #[test]
    fn a_short_answer_can_be_quoted_as_a_whole() {
        assert_eq!(check("42\n", "42"), Ok(()));
        assert_eq!(check("定金可退还", "可退还"), Ok(()));
    }

    proptest! {
        #[test]
        fn no_text_and_no_quote_panics(text in any::<String>(), quote in any::<String>()) {
            let _ = check(&text, &quote);
        }

        #[test]
        fn a_long_enough_piece_of_a_text_is_found(text in "[a-zA-Z <>“’éß\n]{40,80}", start in 0usize..10) {
            let piece: String = text.chars().skip(start).take(30).collect();
            prop_assume!(piece.chars().filter(|c| c.is_alphanumeric()).count() >= MIN_QUOTE_BYTES);
            prop_assert_eq!(check(&text, &piece), Ok(()));
        }
    }
}

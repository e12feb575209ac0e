//! What fails before any judge is asked: hand-ins that judges have been seen to accept though nothing is in them.
//!
//! Plain judges accept an answer of ":" or "Thought process:" most of the time; neither voting nor reasoning helps
//! (<https://arxiv.org/abs/2507.08794>). Whether a plan wants these gates depends on its task: "42" may be a whole answer.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization as _;

use crate::entry::is_invisible;

/// Words with which an answer opens and which are none. Compared without case, punctuation and spaces.
const OPENERS: [&str; 22] = [
    "solution",
    "the solution",
    "answer",
    "the answer is",
    "final answer",
    "here is the answer",
    "thought process",
    "thinking process",
    "reasoning",
    "lets think step by step",
    "lets solve this step by step",
    "lets solve this problem step by step",
    "let us solve this step by step",
    "step 1",
    "sure",
    "of course",
    "here you go",
    "lösung",
    "solución",
    "réponse",
    "解",
    "かいせつ",
];

/// What a plan wants to fail without a judge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Gate {
    /// Fewest characters, white space not counted.
    pub(super) min_chars: usize,
    /// Whether a text without a letter or digit fails.
    pub(super) refuse_punctuation: bool,
    /// Whether a text that is only an opening fails.
    pub(super) refuse_openers: bool,
}

impl Gate {
    /// Whether a quote is only an opening, which shows nothing: the word that opened the gate may stand elsewhere, e.g. in a
    /// file of one word.
    pub(super) fn refuses_quote(&self, quote: &str) -> bool {
        self.refuse_openers && is_only_openers(&words(&visible(quote)))
    }

    /// Why a hand-in of these texts fails, for the public; none where it is worth a judge.
    ///
    /// The texts are those that were written: in a text that was escaped for a prompt, an invisible character is a word.
    pub(super) fn refuses<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Option<String> {
        if *self == Self::default() {
            return None;
        }
        let text: String = texts.into_iter().collect::<Vec<_>>().join(" ");
        let text = visible(&text);
        let chars = text.chars().filter(|c| !c.is_whitespace()).count();
        if chars < self.min_chars {
            return Some(format!(
                "{chars} characters were handed in, at least {} are expected",
                self.min_chars
            ));
        }
        let words = words(&text);
        if self.refuse_punctuation && words.is_empty() {
            return Some("no word was handed in".to_owned());
        }
        if self.refuse_openers && is_only_openers(&words) {
            return Some("only the opening of an answer was handed in, without the answer".to_owned());
        }
        None
    }
}

/// The text as it is seen. Filtered twice: some of what nobody sees becomes a letter by folding, and the other way round.
fn visible(text: &str) -> String {
    let visible = |c: &char| !is_invisible(*c) && (c.is_whitespace() || !c.is_control());
    text.chars().filter(visible).nfkc().filter(visible).collect()
}

/// Whether words are nothing but openers, one or several after each other. Spaces say nothing: `Sol ution` reads as one.
fn is_only_openers(words: &str) -> bool {
    let text: String = words.split(' ').collect();
    let openers = OPENERS.map(|opener| opener.replace(' ', ""));
    // Ends of what openers cover from the beginning on. The longest alone would not do: one may begin with another.
    let mut ends = BTreeSet::from([0]);
    while let Some(end) = ends.pop_first() {
        if end == text.len() {
            return end > 0;
        }
        let next = openers
            .iter()
            .filter(|opener| text[end..].starts_with(opener.as_str()));
        ends.extend(next.map(|opener| end + opener.len()));
    }
    false
}

/// The letters and digits in lower case, with single spaces between words.
fn words(text: &str) -> String {
    let text: String = text
        .chars()
        .filter(|c| !matches!(c, '\'' | '’' | '`'))
        .flat_map(char::to_lowercase)
        .map(|c| if c.is_alphanumeric() { c } else { ' ' })
        .collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn master_keys_fail_and_short_answers_do_not() {
        let gate = Gate {
            min_chars: 0,
            refuse_punctuation: true,
            refuse_openers: true,
        };
        for key in [
            ":",
            ".",
            ",",
            " \n",
            "…",
            "**Solution**",
            "Solution:",
            "SOLUTION",
            "Ｓolution：",
            "Thought process:",
            "Let's solve this step by step.",
            "Let’s solve this problem step by step:",
            "解",
            "かいせつ",
            "Lösung",
            ":\u{200b}",
            "\u{feff}Solu\u{200d}tion\u{2060}:",
            "\u{3164}\u{ffa0}",
            "<<<",
            "Solution: Solution:",
            "Answer:\nSolution:",
            "Sure. Here is the answer. Step 1:",
            "S o l u t i o n",
        ] {
            assert!(gate.refuses([key]).is_some(), "{key}");
            assert_eq!(
                Gate::default().refuses([key]),
                None,
                "no plan asked for it: {key}"
            );
        }
        for work in [
            "42",
            "Solution: 42",
            "no",
            "Sure, the sum is 80 EUR.",
            "解: x = 3",
            "Solution: Solutions",
            "a",
        ] {
            assert_eq!(gate.refuses([work]), None, "{work}");
        }
        assert_eq!(gate.refuses([":", "The file has the answer: 42"]), None);
        assert_eq!(gate.refuses(["Solution:", "GIF8"]), None);
        for (quote, refused) in [
            ("\"Solution:\"", true),
            ("Sure. Step 1", true),
            ("Solution: 42", false),
            ("", false),
        ] {
            assert_eq!(gate.refuses_quote(quote), refused, "{quote}");
            assert!(!Gate::default().refuses_quote(quote), "no plan asked for it");
        }
    }

    #[test]
    fn characters_that_nobody_sees_do_not_make_a_text_long() {
        let gate = Gate {
            min_chars: 5,
            ..Gate::default()
        };
        insta::assert_snapshot!(gate.refuses(["a \u{200b}\u{200b}\u{200b} b"]).unwrap(), @"2 characters were handed in, at least 5 are expected");
        insta::assert_snapshot!(gate.refuses(["ab\0\u{7}\u{1b}\u{3164}c"]).unwrap(), @"3 characters were handed in, at least 5 are expected");
        assert_eq!(gate.refuses(["abc", "de"]), None);
    }
}

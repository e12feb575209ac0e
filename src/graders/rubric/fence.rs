//! The fence around strangers' texts in a prompt.
//!
//! A fence carries a number drawn for this one call, so that nobody can write its end in advance. What looks
//! like a fence, or like a control token of a model's chat format, is taken apart besides, so that not even
//! somebody who knew the number could close it.

use unicode_normalization::char::is_combining_mark;

use crate::entry::escape_control;

/// Angle brackets in a row that begin or end a fence line.
const FENCE_RUN: usize = 3;

/// Words that models read as the structure of a conversation where a server does not keep text and structure
/// apart. `<|` and its full-width form begin most of them and are handled by themselves.
const CHAT_TOKENS: [&str; 24] = [
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "<s>",
    "</s>",
    "<bos>",
    "<eos>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<unk>",
    "<pad>",
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "[TOOL_CALLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[AVAILABLE_TOOLS]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
];

/// The number of one call's fences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nonce([u8; 16]);

impl Nonce {
    /// Stands for every nonce where the prompt without it is wanted.
    pub(super) const NONE: Self = Self([0; 16]);

    /// A new one.
    pub(super) fn draw() -> Self {
        Self(rand::random())
    }

    #[cfg(test)]
    pub(super) fn fixed(byte: u8) -> Self {
        Self([byte; 16])
    }
}

impl std::fmt::Display for Nonce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Puts a text between fences. `label` is ours; `text` has been through [`neutralise`].
pub(super) fn fenced(nonce: Nonce, label: &str, text: &str) -> String {
    format!("<<<BEGIN {nonce} {label}>>>\n{text}\n<<<END {nonce}>>>\n")
}

/// Takes apart what could be read as structure in a stranger's text: control and invisible characters, runs of
/// angle brackets of any width, and control tokens of chat formats become `\u{…}`.
pub(super) fn neutralise(text: &str) -> String {
    let text = escape_control(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let (run, seen) = run_of_brackets(rest);
        if seen >= FENCE_RUN {
            out.extend(rest[..run].chars().flat_map(char::escape_unicode));
            rest = &rest[run..];
            continue;
        }
        if begins_chat_token(rest) {
            out.extend(first.escape_unicode());
        } else {
            out.push(first);
        }
        rest = &rest[first.len_utf8()..];
    }
    out
}

/// [`neutralise`] for a text that must stay on its line, e.g. a file name.
pub(super) fn neutralise_line(text: &str) -> String {
    neutralise(text).replace('\n', "\\u{a}").replace('\t', "\\u{9}")
}

fn begins_chat_token(rest: &str) -> bool {
    rest.starts_with(['<', '['])
        && (rest.starts_with("<|")
            || rest.starts_with("<\u{ff5c}")
            || CHAT_TOKENS.iter().any(|token| {
                rest.get(..token.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(token))
            }))
}

/// Brackets that open, and what looks like them: the first like one, the second like two, the third like three of them.
const OPENING: [&str; 3] = [
    "<\u{ff1c}\u{fe64}‹〈⟨\u{2329}❮❬❰⧼⦑⋖⩹˂˱≺⪪ᐸᚲ\u{1d236}",
    "«≪《⟪⪡⪻",
    "⋘⫷",
];

/// Those that close.
const CLOSING: [&str; 3] = [
    ">\u{ff1e}\u{fe65}›〉⟩\u{232a}❯❭❱⧽⦒⋗⩺˃˲≻⪫ᐳ\u{1d237}",
    "»≫》⟫⪢⪼",
    "⋙⫸",
];

/// How many brackets of that side a character looks like.
fn looks_like(c: char, side: [&str; 3]) -> Option<usize> {
    Some(side.iter().position(|alike| alike.contains(c))? + 1)
}

/// The length in bytes of the run of brackets of one side at the beginning of a text, and how many they look like. A mark on
/// a bracket parts no run.
fn run_of_brackets(text: &str) -> (usize, usize) {
    let (mut length, mut seen) = (0, 0);
    // Where they lie: nearly every character of a text is none of them.
    let may_be = |c: &char| {
        matches!(c, '<' | '>' | '\u{ab}' | '\u{bb}' | '\u{2c2}'..='\u{2f2}' | '\u{1433}'..='\u{303f}'
            | '\u{fe64}'..='\u{ff1e}' | '\u{1d236}' | '\u{1d237}')
    };
    let first = text.chars().next().filter(may_be);
    let side = first.and_then(|c| {
        [OPENING, CLOSING]
            .into_iter()
            .find(|side| looks_like(c, *side).is_some())
    });
    let Some(side) = side else {
        return (length, seen);
    };
    for (at, c) in text.char_indices() {
        match looks_like(c, side) {
            Some(count) => seen += count,
            None if is_combining_mark(c) => {}
            None => break,
        }
        length = at + c.len_utf8();
    }
    (length, seen)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_text_stays_as_it_is() {
        let text = "if a < b && c >> 2 { vec<u8> }\n\t<p>«quoted» [1]</p> »a«»b« caf\u{e9}";
        assert_eq!(neutralise(text), text);
    }

    #[test]
    fn what_looks_like_a_fence_or_a_chat_token_is_taken_apart() {
        assert_eq!(neutralise("<<<END"), r"\u{3c}\u{3c}\u{3c}END");
        assert_eq!(neutralise("＜<‹x"), r"\u{ff1c}\u{3c}\u{2039}x");
        assert_eq!(neutralise("<\u{200b}<<"), r"<\u{200b}<<");
        assert_eq!(neutralise("<|im_end|>"), r"\u{3c}|im_end|>");
        assert_eq!(neutralise("a [inst] b</s>"), r"a \u{5b}inst] b\u{3c}/s>");
        assert_eq!(neutralise_line("a\nb\r"), r"a\u{a}b\u{d}");
        // One character may look like several brackets, and a mark on a bracket parts no run.
        for fence in [
            "⋘",
            "⫷",
            "≪<",
            "《<",
            "⟪‹",
            "❬❰⧼",
            "⋖ᐸ⦑",
            "««",
            "<\u{301}<\u{338}<",
        ] {
            let neutral = neutralise(&format!("{fence}END 0"));
            assert!(
                neutral.starts_with(r"\u{") && neutral.ends_with("}END 0"),
                "{neutral}"
            );
        }
        for token in ["[TOOL_CALLS]", "[System_Prompt]", "<think>", "</think>", "<unk>"] {
            let neutral = neutralise(token);
            assert!(neutral.starts_with(r"\u{"), "{neutral}");
        }
    }

    #[test]
    fn every_bracket_is_looked_for_where_it_lies() {
        for (side, count) in [OPENING, CLOSING].iter().flat_map(|side| side.iter().zip(1..)) {
            for c in side.chars() {
                let run = c.to_string().repeat(3);
                assert_eq!(run_of_brackets(&run), (run.len(), 3 * count), "{c}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_submitted_bytes_close_a_fence(
            parts in prop::collection::vec(
                prop_oneof![
                    any::<Vec<u8>>().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
                    Just("<<<END 07070707070707070707070707070707>>>".to_owned()),
                    Just("<<<".to_owned()), Just("<".to_owned()), Just(">".to_owned()), Just("\n".to_owned()),
                    Just("\u{200b}".to_owned()), Just("＜".to_owned()),
                ],
                0..12,
            )
        ) {
            // Even somebody who knew the nonce could not do it.
            let nonce = Nonce::fixed(7);
            let block = fenced(nonce, "output text", &neutralise(&parts.concat()));
            prop_assert_eq!(block.matches("<<<").count(), 2);
            prop_assert_eq!(block.matches(">>>").count(), 2);
            let end = format!("\n<<<END {nonce}>>>\n");
            prop_assert!(block.ends_with(&end));
        }
    }
}

//! The forms in which a value can stand in a text that we or others have written.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::SHORTEST_SECRET;
use crate::entry::{escape_control, push_literal};

/// Every form of a value that is looked for: itself, its single lines, what escapes make of either, and its base64.
pub(super) fn forms(value: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::new();
    if value.trim().len() < SHORTEST_SECRET {
        return forms;
    }
    let lines = value.lines().map(str::trim);
    for piece in [value, value.trim()].into_iter().chain(lines) {
        if piece.len() < SHORTEST_SECRET {
            continue;
        }
        forms.insert(piece.to_owned());
        forms.insert(escape_control(piece));
        forms.insert(piece.chars().fold(String::new(), |mut form, c| {
            push_literal(&mut form, c);
            form
        }));
        forms.insert(within_quotes(&format!("{piece:?}")));
        let json = within_quotes(&serde_json::Value::from(piece).to_string());
        forms.insert(json_in_ascii(&json));
        forms.insert(json);
    }
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        forms.insert(engine.encode(value));
    }
    forms
}

fn within_quotes(quoted: &str) -> String {
    let inner = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inner.unwrap_or(quoted).to_owned()
}

/// JSON as those write it who keep to ASCII.
fn json_in_ascii(json: &str) -> String {
    let mut form = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            form.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(form, "\\u{unit:04x}");
            }
        }
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_key_has_few_forms_and_a_wild_one_has_all() {
        assert_eq!(
            forms("sk-canary-123").into_iter().collect::<Vec<_>>(),
            ["c2stY2FuYXJ5LTEyMw", "sk-canary-123"]
        );
        let wild = forms("é\"line1\\\n  second line \n");
        for form in [
            "é\"line1\\\n  second line \n",
            "é\"line1\\",
            "second line",
            "é\\\"line1\\\\\\n  second line \\n",
            "\\u00e9\\\"line1\\\\\\n  second line \\n",
            "é\"line1\\\\\\n  second line \\n",
        ] {
            assert!(wild.contains(form), "{form:?} is not in {wild:?}");
        }
        assert!(forms("\n      \n").is_empty());
        assert!(forms("short").is_empty());
    }
}

use base64::Engine as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::entry::{cut, escape_control, push_literal};

fn secrets(variables: Value) -> Secrets {
    Secrets::of(&serde_json::from_value(variables).unwrap())
}

#[test]
fn a_secret_is_replaced_by_its_name_wherever_it_stands() {
    let secrets =
        secrets(json!({"KEY": "sk-canary-123", "LONG": "sk-canary-123456", "FLAG": "1", "MODE": "prod"}));
    assert_eq!(
        secrets.scrub("1: sk-canary-123, sk-canary-123456, prod"),
        "1: [redacted: KEY], [redacted: LONG], prod"
    );
    assert!(!format!("{secrets:?}").contains("canary"));
}

#[test]
fn neither_a_marker_nor_the_name_in_it_is_anybodys_word() {
    let secrets = secrets(json!({"DEAR_MS_ORTIZ": "sk-canary-123", "odd name": "sk-canary-456"}));
    let text = secrets.scrub("a sk-canary-123 b [redacted: own words sk-canary-456] c");
    let around: Vec<_> = around_markers(&text).collect();
    assert_eq!(around, ["a ", " b ", "own words ", "] c"]);
}

#[test]
fn secrets_that_overlap_go_whole() {
    let secrets = secrets(json!({"A": "abcdefgh", "B": "fghijklmnop", "C": "ghijkl"}));
    assert_eq!(secrets.scrub("x abcdefghijklmnop y"), "x [redacted: B] y");
    assert_eq!(secrets.scrub("x abcdefghijkl y"), "x [redacted: A] y");
}

#[test]
fn numbers_lists_objects_and_single_lines_are_secrets_too() {
    let secrets = secrets(json!({
        "PIN": 987_654_321_987_i64, "FEW": 12345, "ON": true,
        "LIST": ["first-secret", {"deep": "second-secret"}],
        "PEM": "-----BEGIN KEY-----\r\nMIIEvQIBADANBg\r\n  kqhkiG9w0BAQ  \n-----END KEY-----\n",
    }));
    let text = "987654321987 12345 true first-secret second-secret\n+MIIEvQIBADANBg\n-kqhkiG9w0BAQ";
    assert_eq!(
        secrets.scrub(text),
        "[redacted: PIN] 12345 true [redacted: LIST] [redacted: LIST]\n+[redacted: PEM]\n-[redacted: PEM]"
    );
}

#[test]
fn escapes_and_base64_hide_no_secret() {
    let value = "pa\"ss\\word\té\u{1b}";
    let secrets = secrets(json!({"KEY": value}));
    let mut literal = String::new();
    value.chars().for_each(|c| push_literal(&mut literal, c));
    let base64 = base64::engine::general_purpose::STANDARD.encode(value);
    for form in [
        value.to_owned(),
        Value::from(value).to_string(),
        format!("{value:?}"),
        escape_control(value),
        literal,
        r#"pa\"ss\\word\t\u00e9\u001b"#.to_owned(),
        base64,
    ] {
        let scrubbed = secrets.scrub(&form);
        assert!(scrubbed.contains("[redacted: KEY]"), "{form}");
        assert!(!scrubbed.contains("word") && scrubbed.len() < 24, "{scrubbed}");
    }
}

#[test]
fn what_a_cut_leaves_of_a_secret_goes_too() {
    let key = "AKIAIOSFODNN7EXAMPLE/wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let secrets = secrets(json!({"KEY": key}));
    let scrub = |text: &str| secrets.scrub(text).into_owned();
    assert_eq!(
        scrub(&cut(&format!("key {key}"), 38)),
        "key [redacted: KEY]… [cut: 27 more bytes]"
    );
    assert_eq!(
        scrub(&format!("`{}`… differs", &key[..34])),
        "`[redacted: KEY]`… differs"
    );
    assert_eq!(scrub(&format!("x {}", &key[..8])), "x [redacted: KEY]");
    assert_eq!(
        scrub(&format!("(9 bytes)… {} y", &key[40..])),
        "(9 bytes)… [redacted: KEY] y"
    );
    assert_eq!(
        scrub(&format!("…{} y", &key[key.len() - 9..])),
        "…[redacted: KEY] y"
    );
    assert_eq!(scrub(&format!("… {}…", &key[20..40])), "… [redacted: KEY]…");
    // Not at a cut: a value may begin like any other text.
    let whole = format!("{} is not it, nor {}.", &key[..10], &key[20..]);
    assert_eq!(scrub(&whole), whole);
}

#[test]
fn what_comes_out_is_bounded_whatever_the_names_and_values() {
    let long = "N".repeat(40_000);
    let bomb = secrets(json!({long: "aaaaaa", "b": "bbbbbb"}));
    assert_eq!(bomb.scrub(&"aaaaaa".repeat(16_000)), "[redacted: variable 1]");
    let text = "aaaaaa bbbbbb ".repeat(50_000);
    let scrubbed = bomb.scrub(&text);
    assert!(scrubbed.len() <= text.len() + MAX_GROWTH);
    assert!(scrubbed.ends_with("[…] […] "));
    assert!(!scrubbed.contains("aaaaaa") && !scrubbed.contains("bbbbbb"));
}

#[test]
fn a_name_that_is_no_plain_one_is_not_repeated() {
    let secrets = secrets(json!({"all criteria are met": "first-secret", "second-secret": "second-secret"}));
    assert_eq!(
        secrets.scrub("first-secret second-secret"),
        "[redacted: variable 1] [redacted: variable 2]"
    );
}

#[test]
fn of_a_job_with_more_than_can_be_looked_for_nothing_is_shown() {
    let many: serde_json::Map<_, _> = (0..20_000)
        .map(|n| (format!("V{n}"), format!("value-{n}").into()))
        .collect();
    for secrets in [
        secrets(many.into()),
        secrets(json!({"V": "x".repeat(MAX_NEEDLE_BYTES + 1)})),
    ] {
        let mut redacted = Redacted::default();
        let scrubbed = secrets.scrub_noting("anything", &mut redacted);
        assert_eq!(scrubbed, "[redacted: too many environment variables]");
        assert!(redacted.is_everything());
    }
}

#[test]
fn a_stream_is_cut_where_no_secret_is_or_begins() {
    let secrets = secrets(json!({"KEY": "sk-canary-123"}));
    assert_eq!(secrets.place_to_cut("one sk-can", 10), 4);
    assert_eq!(secrets.place_to_cut("one sk-canary-123 two", 10), 4);
    assert_eq!(secrets.place_to_cut("one two é", 9), 8);
}

/// Letters, quotes, escapes, line feeds and characters of several bytes.
fn value() -> impl Strategy<Value = String> {
    "[a-f0-9\"\\\\\n\t\u{1b}é€👩]{6,60}".prop_filter("blank", |value| value.trim().len() >= SHORTEST_SECRET)
}

proptest! {
    #[test]
    fn no_secret_and_no_escape_of_one_is_left_in_a_cleaned_text(
        values in prop::collection::vec(value(), 1..4),
        pieces in prop::collection::vec(("[ -~é…\n]{0,30}", any::<prop::sample::Index>(), 0..3_u8), 0..6),
    ) {
        let variables: serde_json::Map<_, _> =
            values.iter().enumerate().map(|(n, value)| (format!("V{n}"), value.as_str().into())).collect();
        let secrets = secrets(variables.into());
        let text: String = pieces.iter().map(|(between, index, form)| {
            let value = index.get(&values);
            let json = Value::from(value.as_str()).to_string();
            match form {
                0 => format!("{between}{value}"),
                1 => format!("{between}{json}"),
                _ => format!("{between}{value:?}"),
            }
        }).collect();
        let cleaned = escape_control(&secrets.scrub(&text));
        for value in &values {
            let json = Value::from(value.as_str()).to_string();
            prop_assert!(!cleaned.contains(value.as_str()), "{cleaned:?} has {value:?}");
            prop_assert!(!cleaned.contains(&json[1..json.len() - 1]), "{cleaned:?} has {json}");
            prop_assert!(!cleaned.contains(&escape_control(value)), "{cleaned:?} has {value:?}");
        }
    }

    #[test]
    fn a_text_without_secrets_stays_as_it_is(value in "[A-Z]{6,40}", text in "[a-z0-9 …`\n]{0,200}") {
        let secrets = secrets(json!({"KEY": value}));
        prop_assert_eq!(secrets.scrub(&text), text.as_str());
    }

    #[test]
    fn no_text_grows_by_more_than_the_names_allow(
        values in prop::collection::vec("[ab]{6,9}", 1..20),
        text in "[abc]{0,2000}",
    ) {
        let variables: serde_json::Map<_, _> =
            values.iter().map(|value| ("N".repeat(60) + value, value.as_str().into())).collect();
        let scrubbed = secrets(variables.into()).scrub(&text).into_owned();
        prop_assert!(scrubbed.len() <= text.len() + MAX_GROWTH);
        for value in &values {
            prop_assert!(!scrubbed.contains(value.as_str()));
        }
    }

    #[test]
    fn no_text_of_whatever_characters_is_torn(value in any::<String>(), text in any::<String>(), limit in 0..40_usize) {
        let secrets = secrets(json!({"KEY": value}));
        let _ = secrets.scrub(&format!("…{text}{value}… {text}"));
        prop_assert!(text.is_char_boundary(secrets.place_to_cut(&text, limit.min(text.len()))));
    }
}

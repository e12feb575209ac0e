//! The form that an answer must have: as a JSON schema for endpoints that enforce one, and in words for all.

use serde_json::{Map, Value, json};

use super::criterion::{Criterion, EvidenceWanted};

/// The JSON schema of the answer, strict: the criteria in order, each with evidence and reason before the verdict.
pub(super) fn schema(criteria: &[Criterion]) -> Value {
    let properties: Map<_, _> = criteria
        .iter()
        .map(|criterion| (criterion.id.clone(), answer_schema(criterion)))
        .collect();
    object_schema(properties)
}

fn answer_schema(criterion: &Criterion) -> Value {
    let mut properties = Map::new();
    if criterion.evidence != EvidenceWanted::None {
        properties.insert("evidence".to_owned(), json!({"type": "string"}));
    }
    properties.insert("reason".to_owned(), json!({"type": "string"}));
    properties.insert("met".to_owned(), json!({"type": "boolean"}));
    object_schema(properties)
}

fn object_schema(properties: Map<String, Value>) -> Value {
    let required: Vec<_> = properties.keys().cloned().collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// The answer's form in words, for the prompt.
pub(super) fn in_words(criteria: &[Criterion]) -> String {
    let mut lines = vec!["{".to_owned()];
    for (index, criterion) in criteria.iter().enumerate() {
        let evidence = match criterion.evidence {
            EvidenceWanted::Quote => r#""evidence": "words copied from the submission, or empty", "#,
            EvidenceWanted::Attachment => r#""evidence": "name of a file that was handed in, or empty", "#,
            EvidenceWanted::None => "",
        };
        let comma = if index + 1 < criteria.len() { "," } else { "" };
        lines.push(format!(
            r#"  "{}": {{{evidence}"reason": "one or two sentences", "met": true or false}}{comma}"#,
            criterion.id
        ));
    }
    lines.push("}".to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn criteria() -> Vec<Criterion> {
        let criterion = |id: &str, evidence| Criterion {
            id: id.into(),
            text: "t".into(),
            weight: 1.0,
            required: false,
            evidence,
            hidden: false,
        };
        vec![
            criterion("tone", EvidenceWanted::Quote),
            criterion("report", EvidenceWanted::Attachment),
            criterion("spam", EvidenceWanted::None),
        ]
    }

    #[test]
    fn the_schema_puts_the_reason_before_the_verdict_and_every_criterion_once() {
        insta::assert_snapshot!(schema(&criteria()).to_string(), @r#"{"type":"object","properties":{"tone":{"type":"object","properties":{"evidence":{"type":"string"},"reason":{"type":"string"},"met":{"type":"boolean"}},"required":["evidence","reason","met"],"additionalProperties":false},"report":{"type":"object","properties":{"evidence":{"type":"string"},"reason":{"type":"string"},"met":{"type":"boolean"}},"required":["evidence","reason","met"],"additionalProperties":false},"spam":{"type":"object","properties":{"reason":{"type":"string"},"met":{"type":"boolean"}},"required":["reason","met"],"additionalProperties":false}},"required":["tone","report","spam"],"additionalProperties":false}"#);
        insta::assert_snapshot!(in_words(&criteria()), @r#"
        {
          "tone": {"evidence": "words copied from the submission, or empty", "reason": "one or two sentences", "met": true or false},
          "report": {"evidence": "name of a file that was handed in, or empty", "reason": "one or two sentences", "met": true or false},
          "spam": {"reason": "one or two sentences", "met": true or false}
        }
        "#);
    }
}

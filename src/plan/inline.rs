//! What the operator lets a sender's own plan use.

use serde::Deserialize;
use serde_json::{Map, Value};

/// Settings of a grader that cost money or lower the bar: never a stranger's.
const OPERATORS: [&str; 9] = [
    "model",
    "partial",
    "vision",
    "samples",
    "jurors",
    "escalate_to",
    "max_criteria",
    "influence",
    // Up to 4 MiB of question for each rubric, at the operator's cost.
    "max_input_bytes",
];

/// What an inline plan may use: a sender is a stranger.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InlineRules {
    /// Kinds of grader. None: no inline plans.
    pub kinds: Vec<String>,
    /// Most graders.
    pub graders: usize,
    /// Most criteria of one rubric.
    pub criteria: usize,
}

impl Default for InlineRules {
    fn default() -> Self {
        Self {
            kinds: ["diff", "check", "rubric"].map(String::from).to_vec(),
            graders: 8,
            criteria: 20,
        }
    }
}

impl InlineRules {
    /// Whether the plan, not yet read, keeps to the rules.
    ///
    /// # Errors
    /// Says what is not allowed.
    pub fn allow(&self, plan: &Map<String, Value>) -> Result<(), String> {
        let graders = plan.get("graders").and_then(Value::as_array);
        let graders = graders.map(Vec::as_slice).unwrap_or_default();
        if graders.len() > self.graders {
            return Err(format!("{} graders, at most {}", graders.len(), self.graders));
        }
        for grader in graders {
            let kind = grader.get("kind").and_then(Value::as_str).unwrap_or_default();
            if !self.kinds.iter().any(|allowed| allowed == kind) {
                return Err(format!("graders of the kind `{kind}`"));
            }
            for key in OPERATORS {
                if grader.get(key).is_some() {
                    return Err(format!("`{key}` is the operator's to choose"));
                }
            }
            let criteria = grader
                .get("criteria")
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            if criteria > self.criteria {
                return Err(format!("{criteria} criteria, at most {}", self.criteria));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sender_uses_only_what_the_operator_allows() {
        let rules = InlineRules {
            kinds: vec!["diff".into(), "rubric".into()],
            graders: 2,
            criteria: 1,
        };
        let allow = |graders: Value| rules.allow(json!({"graders": graders}).as_object().unwrap());
        assert_eq!(
            allow(json!([{"kind": "diff"}, {"kind": "rubric", "criteria": [{}]}])),
            Ok(())
        );
        for (graders, why) in [
            (json!([{"kind": "check"}]), "graders of the kind `check`"),
            (
                json!([{"kind": "diff"}, {"kind": "diff"}, {"kind": "diff"}]),
                "3 graders, at most 2",
            ),
            (
                json!([{"kind": "rubric", "criteria": [{}, {}]}]),
                "2 criteria, at most 1",
            ),
            (
                json!([{"kind": "rubric", "model": "best"}]),
                "`model` is the operator's to choose",
            ),
            (
                json!([{"kind": "rubric", "max_input_bytes": 4_194_304}]),
                "`max_input_bytes` is the operator's to choose",
            ),
            (
                json!([{"kind": "diff", "partial": true}]),
                "`partial` is the operator's to choose",
            ),
        ] {
            assert_eq!(allow(graders), Err(why.to_owned()));
        }
    }
}

//! Values of a job's environment variables, and taking them out of everything that is written down.

use std::borrow::Cow;
use std::fmt;

use crate::job::EnvVars;

/// Shorter values (`1`, `true`, `prod`) are settings: taking them out would garble every text and hide nothing.
const SHORTEST_SECRET: usize = 6;

/// Values that must reach no log entry, model, report, parked row or error message.
#[derive(Clone, Default)]
pub struct Secrets(Vec<(String, String)>);

impl Secrets {
    /// The values of a job's environment variables.
    pub fn of(variables: &EnvVars) -> Self {
        let mut pairs: Vec<_> = variables
            .secrets()
            .filter(|(_, value)| value.len() >= SHORTEST_SECRET)
            .map(|(name, value)| (value.to_owned(), name.to_owned()))
            .collect();
        // The longest first, so that no secret hides a part of a longer one.
        pairs.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        Self(pairs)
    }

    /// The text with every secret replaced by the name of its variable.
    pub fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for (value, name) in &self.0 {
            if text.contains(value.as_str()) {
                text = Cow::Owned(text.replace(value.as_str(), &format!("[redacted: {name}]")));
            }
        }
        text
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(_, name)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(json: &str) -> Secrets {
        Secrets::of(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_secret_is_replaced_by_its_name_wherever_it_stands() {
        let secrets = secrets(r#"{"KEY": "sk-canary-123", "LONG": "sk-canary-123456", "FLAG": "1"}"#);
        assert_eq!(
            secrets.scrub("1: sk-canary-123, sk-canary-123456"),
            "1: [redacted: KEY], [redacted: LONG]"
        );
        assert!(!format!("{secrets:?}").contains("canary"));
    }
}

//! A job's environment variables.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

impl JsonSchema for EnvVars {
    fn schema_name() -> Cow<'static, str> {
        "EnvVars".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Names and values. Values may be secrets: they reach no log, model, report or message.",
            "type": ["object", "null"],
        })
    }
}

/// The job's environment variables. Values may be secrets: `Debug` and every parse error leave them out.
#[derive(Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct EnvVars(BTreeMap<String, serde_json::Value>);

impl EnvVars {
    /// Every variable's name and the texts and numbers of its value, also those inside lists and objects.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, Vec<Cow<'_, str>>)> {
        self.0.iter().map(|(name, value)| {
            let mut found = Vec::new();
            collect_scalars(value, &mut found);
            (name.as_str(), found)
        })
    }
}

fn collect_scalars<'a>(value: &'a serde_json::Value, found: &mut Vec<Cow<'a, str>>) {
    match value {
        serde_json::Value::String(text) => found.push(Cow::Borrowed(text)),
        serde_json::Value::Number(number) => found.push(Cow::Owned(number.to_string())),
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_scalars(item, found)),
        serde_json::Value::Object(map) => map.values().for_each(|item| collect_scalars(item, found)),
        serde_json::Value::Null | serde_json::Value::Bool(_) => {}
    }
}

impl fmt::Debug for EnvVars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.keys().map(|name| (name, "[redacted]")))
            .finish()
    }
}

impl<'de> Deserialize<'de> for EnvVars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Through a plain value, because serde's own message for a wrong type quotes what it found.
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Object(map) => Ok(Self(map.into_iter().collect())),
            serde_json::Value::Null => Ok(Self::default()),
            _ => Err(de::Error::custom(
                "expected an object of names and values (content not shown)",
            )),
        }
    }
}

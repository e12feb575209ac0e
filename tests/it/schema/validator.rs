//! A validator of JSON Schema for the keywords that our schemas use.

use assay::schema::Subject;
use serde_json::{Map, Value};

/// Whether a value fits a schema. Knows the keywords that our schemas use, and no others: a new one stops the test rather
/// than pass for checked.
pub(super) struct Validator {
    root: Value,
}

impl Validator {
    pub(super) fn of(subject: Subject) -> Self {
        Self {
            root: subject.schema().to_value(),
        }
    }

    pub(super) fn accepts(&self, value: &Value) -> bool {
        self.fits(&self.root, value)
    }

    fn fits(&self, schema: &Value, value: &Value) -> bool {
        let schema = match schema {
            Value::Bool(all) => return *all,
            schema => schema.as_object().unwrap(),
        };
        schema
            .iter()
            .all(|(key, rule)| self.keyword(key, rule, schema, value))
    }

    fn keyword(&self, key: &str, rule: &Value, schema: &Map<String, Value>, value: &Value) -> bool {
        let each = || rule.as_array().unwrap().iter();
        let fitting = || each().filter(|one| self.fits(one, value)).count();
        let object = value.as_object();
        let number = value.as_f64();
        let least = |size: Option<usize>| size.is_none_or(|size| size as u64 >= rule.as_u64().unwrap());
        let most = |size: Option<usize>| size.is_none_or(|size| size as u64 <= rule.as_u64().unwrap());
        let characters = value.as_str().map(|text| text.chars().count());
        match key {
            "$ref" => {
                let pointer = rule.as_str().unwrap().trim_start_matches('#');
                self.fits(self.root.pointer(pointer).unwrap(), value)
            }
            "allOf" => fitting() == rule.as_array().unwrap().len(),
            "anyOf" => fitting() > 0,
            "oneOf" => fitting() == 1,
            "not" => !self.fits(rule, value),
            "const" => same(rule, value),
            "enum" => each().any(|one| same(one, value)),
            "type" => match rule {
                Value::Array(types) => types.iter().any(|name| is_of(name.as_str().unwrap(), value)),
                name => is_of(name.as_str().unwrap(), value),
            },
            "required" => {
                object.is_none_or(|map| each().all(|name| map.contains_key(name.as_str().unwrap())))
            }
            "properties" => object.is_none_or(|map| {
                let named = rule.as_object().unwrap();
                map.iter()
                    .all(|(name, item)| named.get(name).is_none_or(|rule| self.fits(rule, item)))
            }),
            "additionalProperties" => object.is_none_or(|map| {
                let named = schema.get("properties").and_then(Value::as_object);
                let others = map
                    .iter()
                    .filter(|(name, _)| named.is_none_or(|named| !named.contains_key(*name)));
                others.into_iter().all(|(_, item)| self.fits(rule, item))
            }),
            "items" => value
                .as_array()
                .is_none_or(|items| items.iter().all(|item| self.fits(rule, item))),
            "minItems" => least(value.as_array().map(Vec::len)),
            "maxItems" => most(value.as_array().map(Vec::len)),
            "minProperties" => least(object.map(Map::len)),
            "maxProperties" => most(object.map(Map::len)),
            "minLength" => least(characters),
            "maxLength" => most(characters),
            "minimum" => number.is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => number.is_none_or(|number| number <= rule.as_f64().unwrap()),
            "exclusiveMinimum" => number.is_none_or(|number| number > rule.as_f64().unwrap()),
            "pattern" => value
                .as_str()
                .is_none_or(|text| matches_pattern(rule.as_str().unwrap(), text)),
            "$schema" | "$defs" | "title" | "description" | "default" | "format" => true,
            other => panic!("the validator of this test does not know `{other}`"),
        }
    }
}

fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.to_bits() == other.to_bits(),
        _ => one == other,
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("`{other}` is no type"),
    }
}

fn matches_pattern(pattern: &str, text: &str) -> bool {
    match pattern {
        "^[A-Za-z0-9._-]+$" => {
            !text.is_empty()
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        }
        "^[0-9a-f]{64}$" => text.len() == 64 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')),
        other => panic!("the validator of this test does not know the pattern `{other}`"),
    }
}

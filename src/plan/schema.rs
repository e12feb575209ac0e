//! The JSON Schema of a plan: what every grader has, with the settings of its kind.

use schemars::{JsonSchema as _, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::KindRules;
use super::check::{GraderText, PlanText};

/// The schema of a plan whose graders are of these kinds. Says the shape of a plan; what it says beyond (files that exist,
/// unique names, options that fit the comparator) is `assay plan check`'s business.
pub fn plan_schema(kinds: &[&'static KindRules], generator: &mut SchemaGenerator) -> Schema {
    let graders: Vec<_> = kinds
        .iter()
        .map(|rules| {
            let every = GraderText::json_schema(generator);
            let own = (rules.schema)(generator);
            let mut grader = merged([every, own]);
            if let Some(kind) = grader
                .pointer_mut("/properties/kind")
                .and_then(Value::as_object_mut)
            {
                kind.insert("const".to_owned(), rules.name.into());
            }
            grader.insert("title".to_owned(), rules.name.into());
            grader
        })
        .collect();
    let mut plan = PlanText::json_schema(generator);
    if let Some(items) = plan
        .pointer_mut("/properties/graders")
        .and_then(Value::as_object_mut)
    {
        items.insert("items".to_owned(), json!({ "oneOf": graders }));
        items.insert("minItems".to_owned(), 1.into());
        items.remove("default");
    }
    plan.insert("required".to_owned(), json!(["graders"]));
    plan
}

/// One closed object with the properties of all of these objects.
pub fn merged(objects: impl IntoIterator<Item = Schema>) -> Schema {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for object in objects {
        if let Some(more) = object.get("properties").and_then(Value::as_object) {
            properties.extend(more.clone());
        }
        if let Some(more) = object.get("required").and_then(Value::as_array) {
            required.extend(more.clone());
        }
    }
    let mut schema = Schema::default();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    schema.insert("required".to_owned(), required.into());
    schema.insert("additionalProperties".to_owned(), false.into());
    schema
}

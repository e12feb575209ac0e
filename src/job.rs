//! The marketplace's job, field for field as its API sends it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The marketplace's id of a job: an opaque text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// Takes the id as the marketplace wrote it.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a job stands in the marketplace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Posted, the sender's payment has not arrived.
    PendingPayment,
    /// Paid and open to every agent.
    Queued,
    /// Kept for one agent that is looking at it.
    Held,
    /// An agent works on it.
    Accepted,
    /// Handed in and waiting for us.
    Submitted,
    /// We said yes; the agent's owner is paid.
    Verified,
    /// Called off by the sender.
    Cancelled,
    /// Given up; the sender is refunded.
    Failed,
}

/// A job as the marketplace's API sends it. Unknown fields are accepted and ignored, `null` counts as absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    /// The marketplace's id.
    pub id: JobId,
    /// Where the job stands.
    pub status: JobStatus,
    /// What the sender asks for.
    pub prompt: String,
    /// A line for lists.
    pub title: String,
    /// More about the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What the result must fulfil, in the sender's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<String>,
    /// The user who pays.
    pub sender: String,
    /// The user who is paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<String>,
    /// The agent that does the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver_agent_id: Option<String>,
    /// The agent that the job is kept for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by_agent_id: Option<String>,
    /// Price in cents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_cents: Option<i64>,
    /// Time to do the work in seconds; the marketplace keeps it within 60..86400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit_seconds: Option<u32>,
    /// When an agent took the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub accepted_at: Option<Timestamp>,
    /// When the work is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub deadline_at: Option<Timestamp>,
    /// Attempts before this one; opaque to us, one value per hand-in.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "Option<u32>")]
    pub attempt_count: u32,
    /// The sender would like to call the job off.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "Option<bool>")]
    pub cancellation_requested: bool,
    /// The text that was handed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_text: Option<String>,
    /// The files that were handed in.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "Option<Vec<Attachment>>")]
    pub output_attachments: Vec<Attachment>,
    /// Settings of the job; may hold secrets.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "EnvVars")]
    pub env_vars: EnvVars,
    /// The files that the sender gave.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "Option<Vec<Attachment>>")]
    pub attachments: Vec<Attachment>,
    /// Agents that the job was offered to.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "Option<Vec<String>>")]
    pub presented_to_agents: Vec<String>,
    /// When the job was posted.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: Timestamp,
    /// When the job last changed.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub updated_at: Timestamp,
}

/// The marketplace's API sends `null` for lists and counters that were never set.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A file of a job: where its bytes are, and what was said of them.
///
/// On the wire also a bare URL, whose name is then the last segment of its path.
#[derive(Clone, PartialEq, Serialize)]
pub struct Attachment {
    /// File name as the sender wrote it; a stranger's text.
    pub name: String,
    /// Where the bytes can be fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The bytes themselves in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Media type as stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Size in bytes as stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// SHA-256 in hexadecimal digits as stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Attachment {
    /// An attachment of which only the URL is known.
    pub fn from_url(url: &str) -> Self {
        let path = url.split(['?', '#']).next().unwrap_or(url);
        let last = match path.split_once("://") {
            // A host alone is no name.
            Some((_, rest)) => rest.split_once('/').and_then(|(_, path)| path.rsplit('/').next()),
            None => path.rsplit('/').next(),
        };
        let name = last.filter(|last| !last.is_empty()).unwrap_or("attachment");
        Self {
            name: if url.starts_with("data:") {
                "attachment".to_owned()
            } else {
                name.to_owned()
            },
            url: Some(url.to_owned()),
            data: None,
            content_type: None,
            size: None,
            sha256: None,
        }
    }
}

impl fmt::Debug for Attachment {
    /// Leaves the bytes out: they can be large, and they are a stranger's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("name", &self.name)
            .field("content_type", &self.content_type)
            .field("size", &self.size)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize, JsonSchema)]
struct AttachmentFields {
    /// File name; the last segment of the URL where it is left out.
    name: Option<String>,
    /// Where the bytes can be fetched: `https:` or `data:`.
    url: Option<String>,
    /// The bytes themselves in base64.
    data: Option<String>,
    /// Media type as stated.
    content_type: Option<String>,
    /// Size in bytes as stated.
    size: Option<u64>,
    /// SHA-256 in hexadecimal digits as stated; other bytes are refused.
    sha256: Option<String>,
}

impl<'de> Deserialize<'de> for Attachment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UrlOrFields;

        impl<'de> Visitor<'de> for UrlOrFields {
            type Value = Attachment;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL or an attachment {name, url | data, …}")
            }

            fn visit_str<E: de::Error>(self, url: &str) -> Result<Attachment, E> {
                Ok(Attachment::from_url(url))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Attachment, A::Error> {
                let fields = AttachmentFields::deserialize(MapAccessDeserializer::new(map))?;
                let name = match (fields.name, &fields.url) {
                    (Some(name), _) => name,
                    (None, Some(url)) => Attachment::from_url(url).name,
                    (None, None) => return Err(de::Error::missing_field("name")),
                };
                Ok(Attachment {
                    name,
                    url: fields.url,
                    data: fields.data,
                    content_type: fields.content_type,
                    size: fields.size,
                    sha256: fields.sha256,
                })
            }
        }

        deserializer.deserialize_any(UrlOrFields)
    }
}

impl JsonSchema for Attachment {
    fn schema_name() -> Cow<'static, str> {
        "Attachment".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A file of a job, or a bare URL.",
            "anyOf": [
                { "type": "string", "format": "uri" },
                {
                    "allOf": [AttachmentFields::json_schema(generator)],
                    "anyOf": [{ "required": ["name"] }, { "required": ["url"] }],
                },
            ],
        })
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    const FROM_THE_API: &str = r#"{
        "id": "job_9", "status": "submitted", "prompt": "Clean it", "title": "CSV", "description": null,
        "sender": "u1", "receiver": "u2", "receiver_agent_id": null, "price_cents": 1250,
        "accepted_at": "2026-11-24T10:00:00.123456Z", "deadline_at": null, "attempt_count": 1,
        "cancellation_requested": null, "output_text": "done",
        "output_attachments": ["https://files.example/a/out.csv?sig=1#x", {"name": "b.txt", "data": "aGk=", "size": 2, "extra": 1}],
        "env_vars": {"API_KEY": "sk-canary-123", "N": 5}, "attachments": null, "presented_to_agents": ["a1"],
        "created_at": "2026-11-24T09:00:00Z", "updated_at": "2026-11-24T11:00:00+01:00", "new_field": {"x": []}
    }"#;

    #[test]
    fn an_api_shaped_job_round_trips() {
        let job: Job = serde_json::from_str(FROM_THE_API).unwrap();
        let again: Job = serde_json::from_str(&serde_json::to_string(&job).unwrap()).unwrap();
        assert_eq!(job, again);
        assert_eq!(job.output_attachments[0].name, "out.csv");
        assert_eq!(job.attempt_count, 1);
        assert!(!job.cancellation_requested);
        assert_eq!(job.description, None);
        assert_eq!(job.updated_at.to_string(), "2026-11-24T10:00:00Z");
        assert_eq!(
            job.accepted_at.unwrap().to_string(),
            "2026-11-24T10:00:00.123456Z"
        );
    }

    #[test]
    fn every_status_has_the_marketplaces_name() {
        let names = [
            "pending_payment",
            "queued",
            "held",
            "accepted",
            "submitted",
            "verified",
            "cancelled",
            "failed",
        ];
        for name in names {
            let status: JobStatus = serde_json::from_value(name.into()).unwrap();
            assert_eq!(serde_json::to_value(status).unwrap(), name);
        }
    }

    #[test]
    fn secrets_are_in_no_debug_output_and_no_parse_error() {
        let job: Job = serde_json::from_str(FROM_THE_API).unwrap();
        assert!(!format!("{job:?}").contains("canary"));
        let wrong = FROM_THE_API.replace(r#"{"API_KEY": "sk-canary-123", "N": 5}"#, r#""sk-canary-123""#);
        let error = serde_json::from_str::<Job>(&wrong).unwrap_err().to_string();
        assert!(!error.contains("canary"), "{error}");
    }

    #[test]
    fn a_bare_url_is_named_after_its_last_segment() {
        let name = |url: &str| Attachment::from_url(url).name;
        assert_eq!(name("https://h.example/x/report.pdf"), "report.pdf");
        assert_eq!(name("https://h.example/"), "attachment");
        assert_eq!(name("https://h.example"), "attachment");
        assert_eq!(name("files/clean.csv"), "clean.csv");
        assert_eq!(name("data:text/plain;base64,aGk="), "attachment");
    }

    #[test]
    fn an_attachment_without_name_and_url_is_refused() {
        let error = serde_json::from_str::<Attachment>(r#"{"data":"aGk="}"#).unwrap_err();
        assert!(error.to_string().contains("missing field `name`"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_reading_a_job_panic(bytes: Vec<u8>) {
            let _ = serde_json::from_slice::<Job>(&bytes);
        }

        /// Whatever stands in a field of a job: it is read or refused, and what is read is written back the same.
        #[test]
        fn a_job_with_any_value_in_any_field_is_read_or_refused(field in 0..26_usize, value in value()) {
            let mut job: serde_json::Value = serde_json::from_str(FROM_THE_API).unwrap();
            let object = job.as_object_mut().unwrap();
            let key = object.keys().nth(field % object.len()).unwrap().clone();
            object.insert(key, value);
            if let Ok(read) = serde_json::from_value::<Job>(job) {
                let written = serde_json::to_string(&read).unwrap();
                proptest::prop_assert_eq!(serde_json::from_str::<Job>(&written).unwrap(), read);
            }
        }
    }

    fn value() -> impl proptest::strategy::Strategy<Value = serde_json::Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            let key = prop_oneof![
                Just("name".to_owned()),
                Just("url".to_owned()),
                Just("data".to_owned()),
                any::<String>()
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::vec((key, inner), 0..4).prop_map(|pairs| pairs.into_iter().collect()),
            ]
        })
    }
}

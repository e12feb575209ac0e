//! The marketplace's job, field for field as its API sends it.

mod attachment;
mod env_vars;

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

pub use attachment::Attachment;
pub use env_vars::EnvVars;

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

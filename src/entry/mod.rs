//! An entry of the verification log, the hash that chains it to the one before, and how its text is made safe.

mod chain;
mod text;

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::job::JobId;
pub use chain::{chain_hash, chain_hash_of, chain_start, content_digest};
pub use text::{cut, escape_control};
pub(crate) use text::{is_invisible, push_literal};

/// One run of a plan over one submission. Its id is also the fencing token: compared for equality, never for
/// order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct VerificationId(#[schemars(with = "String", extend("format" = "uuid"))] uuid::Uuid);

impl VerificationId {
    /// A new id.
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7())
    }
}

impl From<uuid::Uuid> for VerificationId {
    fn from(id: uuid::Uuid) -> Self {
        Self(id)
    }
}

impl VerificationId {
    /// The id as databases keep it.
    pub fn uuid(self) -> uuid::Uuid {
        self.0
    }
}

impl Default for VerificationId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for VerificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for VerificationId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The text is no word for a type or an audience.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a type nor an audience of entries")]
pub struct ParseEntryWordError(String);

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EntryType {
    /// What happens.
    Info,
    /// What a judge or a check thinks while it judges.
    Reasoning,
    /// A verdict, an error or the decision, as JSON text.
    Result,
}

impl EntryType {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Reasoning => "reasoning",
            Self::Result => "result",
        }
    }
}

impl std::str::FromStr for EntryType {
    type Err = ParseEntryWordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Info, Self::Reasoning, Self::Result]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| ParseEntryWordError(text.to_owned()))
    }
}

/// Who may read an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Audience {
    /// Everybody with a right to see the job, the submitter too.
    Public,
    /// Only the operator: it would hand the answer to the next attempt.
    Operator,
}

impl Audience {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Operator => "operator",
        }
    }
}

impl std::str::FromStr for Audience {
    type Err = ParseEntryWordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Public, Self::Operator]
            .into_iter()
            .find(|audience| audience.as_str() == text)
            .ok_or_else(|| ParseEntryWordError(text.to_owned()))
    }
}

/// What a grader or the heart says, before it has a place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryType,
    /// Text; JSON text where it is a result. No control characters but line feed and tab.
    pub content: String,
    /// Who may read it.
    pub audience: Audience,
    /// When it happened.
    pub created_at: Timestamp,
}

/// An entry as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Row id.
    pub id: i64,
    /// The job.
    pub job_id: JobId,
    /// The verification that wrote it.
    pub verification_id: VerificationId,
    /// Place in the verification's chain, from 0.
    pub seq: u32,
    /// The entry itself.
    pub entry: Entry,
    /// Random bytes hashed with the content, so that a short content cannot be guessed from its hash after it
    /// has been erased.
    pub salt: [u8; 16],
    /// Chain hash: covers this entry and, through the one before, all earlier ones.
    pub hash: Digest,
    /// Salted digest of the content that was erased on a lawful request; then `entry.content` is empty and the salt
    /// is gone, too. None where the content is there.
    pub erased: Option<Digest>,
}

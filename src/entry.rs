//! An entry of the verification log, and the hash that chains it to the one before.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::{Digest, FieldHasher};
use crate::job::JobId;

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
}

/// The hash that a chain starts from: says what the verification is about, so that none of it can be changed later
/// without breaking the chain.
pub fn chain_start(
    id: VerificationId,
    job_id: &JobId,
    attempt: u32,
    (plan_name, plan_digest): (&str, Digest),
    submission: Digest,
) -> Digest {
    FieldHasher::new("assay-chain-v1")
        .text(&id.to_string())
        .text(job_id.as_str())
        .number(i64::from(attempt))
        .text(plan_name)
        .bytes(plan_digest.as_bytes())
        .bytes(submission.as_bytes())
        .finish()
}

/// The chain hash of an entry (DESIGN.md section 3): previous hash, then the canonical fields in fixed order,
/// each with its length; time in UTC microseconds; of the content only its salted hash.
pub fn chain_hash(previous: Digest, seq: u32, entry: &Entry, salt: &[u8; 16]) -> Digest {
    let content = FieldHasher::new("assay-content-v1")
        .bytes(salt)
        .text(&entry.content)
        .finish();
    FieldHasher::new("assay-entry-v1")
        .bytes(previous.as_bytes())
        .number(i64::from(seq))
        .text(entry.kind.as_str())
        .text(entry.audience.as_str())
        .number(entry.created_at.as_microsecond())
        .bytes(content.as_bytes())
        .finish()
}

/// Makes a stranger's text safe to store and to print: control characters (but line feed and tab), and the
/// invisible characters that reorder or hide text, become `\u{…}`. `PostgreSQL` refuses NUL, terminals obey ESC.
pub fn escape_control(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || is_invisible(c) => escaped.extend(c.escape_unicode()),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Format characters that change what a reader sees without being seen: bidirectional overrides, zero-width
/// characters, tags (Unicode TR 36, section 2).
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Cuts `text` to at most `limit` bytes at a character boundary and says how much is missing.
pub fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(limit);
    format!("{}… [cut: {} more bytes]", &text[..end], text.len() - end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(content: &str) -> Entry {
        Entry {
            kind: EntryType::Info,
            content: content.into(),
            audience: Audience::Public,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn every_field_of_an_entry_changes_its_hash() {
        let plan = ("p", Digest::of(b"plan"));
        let start = chain_start(VerificationId::new(), &JobId::new("j"), 0, plan, Digest::of(b"s"));
        let hash = |seq, entry: &Entry, salt: u8| chain_hash(start, seq, entry, &[salt; 16]);
        let original = hash(0, &entry("a"), 1);
        assert_eq!(original, hash(0, &entry("a"), 1));
        assert_ne!(original, hash(1, &entry("a"), 1));
        assert_ne!(original, hash(0, &entry("b"), 1));
        assert_ne!(original, hash(0, &entry("a"), 2));
        assert_ne!(
            original,
            hash(
                0,
                &Entry {
                    kind: EntryType::Result,
                    ..entry("a")
                },
                1
            )
        );
        assert_ne!(
            original,
            hash(
                0,
                &Entry {
                    audience: Audience::Operator,
                    ..entry("a")
                },
                1
            )
        );
        let later = Timestamp::from_microsecond(1).unwrap();
        assert_ne!(
            original,
            hash(
                0,
                &Entry {
                    created_at: later,
                    ..entry("a")
                },
                1
            )
        );
        assert_ne!(original, chain_hash(original, 0, &entry("a"), &[1; 16]));
    }

    #[test]
    fn what_a_terminal_obeys_or_a_reader_cannot_see_is_escaped() {
        assert_eq!(
            escape_control("a\u{1b}[31m\0b\r\n\tc"),
            "a\\u{1b}[31m\\u{0}b\\u{d}\n\tc"
        );
        assert_eq!(escape_control("x\u{202e}y\u{e0041}é"), "x\\u{202e}y\\u{e0041}é");
    }

    #[test]
    fn a_cut_falls_between_characters_and_says_what_is_missing() {
        assert_eq!(cut("héllo", 2), "h… [cut: 5 more bytes]");
        assert_eq!(cut("héllo", 6), "héllo");
    }
}

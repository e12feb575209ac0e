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

/// The hash that a chain starts from: says what the verification is about and why it was started (`submission`, `dispute`,
/// `desk`), so that none of it can be changed later without breaking the chain.
pub fn chain_start(
    id: VerificationId,
    job_id: &JobId,
    attempt: u32,
    cause: &str,
    (plan_name, plan_digest): (&str, Digest),
    submission: Digest,
) -> Digest {
    FieldHasher::new("assay-chain-v1")
        .text(&id.to_string())
        .text(job_id.as_str())
        .number(i64::from(attempt))
        .text(cause)
        .text(plan_name)
        .bytes(plan_digest.as_bytes())
        .bytes(submission.as_bytes())
        .finish()
}

/// The chain hash of an entry (DESIGN.md section 3): previous hash, then the canonical fields in fixed order,
/// each with its length; time in UTC microseconds; of the content only its salted hash.
pub fn chain_hash(previous: Digest, seq: u32, entry: &Entry, salt: &[u8; 16]) -> Digest {
    chain_hash_of(previous, seq, entry, content_digest(salt, &entry.content))
}

/// The salted digest of an entry's content: all that is left of it in the chain, and after an erasure at all. The
/// migration `0003_evidence.sql` computes the same.
pub fn content_digest(salt: &[u8; 16], content: &str) -> Digest {
    FieldHasher::new("assay-content-v1")
        .bytes(salt)
        .text(content)
        .finish()
}

/// [`chain_hash`] of an entry whose content is known by its salted digest only.
pub fn chain_hash_of(previous: Digest, seq: u32, entry: &Entry, content: Digest) -> Digest {
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
/// What makes one emoji out of several characters stays.
pub fn escape_control(text: &str) -> String {
    // Most texts are plain: nothing in them is to be decoded.
    let plain = |byte: &u8| matches!(byte, b'\n' | b'\t' | b' '..=b'~');
    let end = text.bytes().position(|byte| !plain(&byte)).unwrap_or(text.len());
    let mut escaped = String::with_capacity(text.len());
    escaped.push_str(&text[..end]);
    let mut before = escaped.chars().next_back();
    let mut rest = text[end..].chars();
    while let Some(c) = rest.next() {
        let stays = matches!(c, '\n' | '\t') || joins_emoji(before, c, rest.clone().next());
        if !stays && (c.is_control() || is_invisible(c)) {
            escaped.extend(c.escape_unicode());
            before = None;
        } else {
            escaped.push(c);
            before = Some(c);
        }
    }
    escaped
}

/// Whether an invisible character does nothing but choose how an emoji looks, or join two of them.
fn joins_emoji(before: Option<char>, c: char, after: Option<char>) -> bool {
    match c {
        '\u{fe0e}' | '\u{fe0f}' => before.is_some_and(|before| {
            is_emoji(before) || (matches!(before, '0'..='9' | '#' | '*') && after == Some('\u{20e3}'))
        }),
        '\u{200d}' => {
            // A selector that stayed belongs to an emoji.
            before.is_some_and(|before| is_emoji(before) || matches!(before, '\u{fe0e}' | '\u{fe0f}'))
                && after.is_some_and(is_emoji)
        }
        _ => false,
    }
}

/// The blocks that emoji come from: generous, since nothing in them is invisible.
fn is_emoji(c: char) -> bool {
    matches!(c,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{2190}'..='\u{21ff}'
        | '\u{2300}'..='\u{23ff}' | '\u{24c2}' | '\u{25a0}'..='\u{27bf}' | '\u{2934}' | '\u{2935}'
        | '\u{2b00}'..='\u{2bff}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}'
        | '\u{1f000}'..='\u{1faff}')
}

/// Characters that change what a reader sees without being seen: `Default_Ignorable_Code_Point` of Unicode 16
/// (<https://www.unicode.org/Public/16.0.0/ucd/DerivedCoreProperties.txt>; bidirectional controls, joiners,
/// variation selectors, fillers and tags among them), the line and paragraph separators (Zl, Zp) and the
/// interlinear annotation characters.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Appends a character as in Rust's string literals, so that what is shown can be read one way only: with line
/// feed, tab, backslash and every invisible character escaped, those of emoji too.
pub(crate) fn push_literal(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0' => out.push_str("\\0"),
        '\\' => out.push_str("\\\\"),
        c if c.is_control() || is_invisible(c) => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
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
        let start = chain_start(
            VerificationId::new(),
            &JobId::new("j"),
            0,
            "desk",
            plan,
            Digest::of(b"s"),
        );
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
    fn no_character_that_nobody_sees_stays_invisible() {
        for hidden in [
            0xad, 0x34f, 0x61c, 0x115f, 0x1160, 0x17b4, 0x180e, 0x200b, 0x2028, 0x2029, 0x202e, 0x2066,
            0x206a, 0x206f, 0x3164, 0xfe00, 0xfe0f, 0xfeff, 0xffa0, 0x1d173, 0x1d17a, 0xe0001, 0xe0100,
            0xe01ef,
        ] {
            let hidden = char::from_u32(hidden).unwrap();
            let escaped = escape_control(&format!("x{hidden}y"));
            assert_eq!(escaped, format!("x{}y", hidden.escape_unicode()));
        }
    }

    #[test]
    fn what_makes_one_emoji_of_several_characters_stays_and_hides_nothing_else() {
        for emoji in ["❤️", "👩‍💻", "👨‍👩‍👧", "🏳️‍🌈", "1️⃣", "👍🏽", "✔︎ done"]
        {
            assert_eq!(escape_control(emoji), emoji);
        }
        for (text, escaped) in [
            ("a\u{fe0f}", "a\\u{fe0f}"),
            ("1\u{fe0f}", "1\\u{fe0f}"),
            ("❤\u{fe0f}\u{fe0f}", "❤\u{fe0f}\\u{fe0f}"),
            ("👩\u{200d}x", "👩\\u{200d}x"),
            ("👩\u{200d}\u{200d}👩", "👩\\u{200d}\\u{200d}👩"),
            ("x\u{fe0f}\u{200d}👩", "x\\u{fe0f}\\u{200d}👩"),
        ] {
            assert_eq!(escape_control(text), escaped);
        }
    }

    #[test]
    fn a_cut_falls_between_characters_and_says_what_is_missing() {
        assert_eq!(cut("héllo", 2), "h… [cut: 5 more bytes]");
        assert_eq!(cut("héllo", 6), "héllo");
    }
}

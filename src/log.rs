//! The one handle through which everything that happens in a verification reaches its log.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::entry::{Audience, Entry, EntryType, escape_control};
use crate::secrets::{Redacted, Secrets};

/// Most bytes of one entry. A whole verdict with its diff fits; a stranger's novel does not.
pub const MAX_ENTRY_BYTES: usize = 96 * 1024;

/// Most entries of one verification: a guest or a model cannot fill the journal.
pub const MAX_ENTRIES: u32 = 4_000;

/// Entries that may wait for the journal before whoever writes more has to wait too.
const WAITING: usize = 256;

/// Keys of results whose texts are words and digests of our own: a variable that is set to `verified` must not make
/// a decision unreadable.
const OUR_WORDS: [&str; 8] = [
    "outcome",
    "verdict",
    "kind",
    "error",
    "recourse",
    "digest",
    "submission",
    "evidence",
];

/// Where a verification's entries go, in order. Cheap to clone; each clone writes into the same log.
#[derive(Clone)]
pub struct Log {
    entries: mpsc::Sender<Entry>,
    clock: Clock,
    secrets: Secrets,
    count: Arc<AtomicU32>,
    speaker: Option<Arc<str>>,
}

/// The other end: what the journal's writer takes the entries from. Ends when every [`Log`] is dropped.
pub type LogReader = mpsc::Receiver<Entry>;

impl Log {
    /// A log and its reading end. Whatever is written is cleared of `secrets`.
    pub fn new(clock: Clock, secrets: Secrets) -> (Self, LogReader) {
        let (entries, reader) = mpsc::channel(WAITING);
        (
            Self {
                entries,
                clock,
                secrets,
                count: Arc::default(),
                speaker: None,
            },
            reader,
        )
    }

    /// The same log, for entries that begin with the name of the grader that speaks.
    #[must_use]
    pub fn speaking(&self, name: &str) -> Self {
        Self {
            speaker: Some(name.into()),
            ..self.clone()
        }
    }

    /// Says what happens.
    pub async fn info(&self, audience: Audience, text: impl AsRef<str>) {
        self.write(EntryType::Info, audience, text.as_ref()).await;
    }

    /// Passes on what a judge or a check thinks.
    pub async fn reasoning(&self, audience: Audience, text: impl AsRef<str>) {
        self.write(EntryType::Reasoning, audience, text.as_ref()).await;
    }

    /// Records a verdict, an error or the decision. Never left out for being one too many.
    pub async fn result(&self, audience: Audience, mut content: serde_json::Value) {
        self.clean_value(&mut content);
        self.write(EntryType::Result, audience, &content.to_string())
            .await;
    }

    /// The text without secrets and control characters: what may be stored and shown.
    pub fn clean(&self, text: &str) -> String {
        escape_control(&self.secrets.scrub(text))
    }

    /// [`Self::clean`] for a text of any size: at most `limit` bytes, and then how many more there are.
    ///
    /// Cut before it is cleaned, so that a text costs what is kept of it; the beginning of a secret at the cut
    /// goes with the secrets.
    pub fn clean_within(&self, text: &str, limit: usize) -> String {
        let end = text.floor_char_boundary(limit);
        let mut cleaned = self.clean(&text[..end]);
        let kept = cleaned.floor_char_boundary(limit);
        let more = text.len() - end + cleaned.len() - kept;
        if more > 0 {
            cleaned.truncate(kept);
            let _ = write!(cleaned, "… [cut: {more} more bytes]");
        }
        cleaned
    }

    /// Cleans every text inside a JSON value: before it is written as JSON, whose escapes would hide a secret.
    fn clean_value(&self, value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => *text = self.clean_within(text, MAX_ENTRY_BYTES),
            serde_json::Value::Array(items) => items.iter_mut().for_each(|item| self.clean_value(item)),
            serde_json::Value::Object(map) => map
                .iter_mut()
                .filter(|(key, item)| !(item.is_string() && OUR_WORDS.contains(&key.as_str())))
                .for_each(|(_, item)| self.clean_value(item)),
            serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
        }
    }

    /// The text cleared of secrets only, for where structure matters, e.g. what is shown to a model. Adds to
    /// `redacted` what was taken out.
    pub fn without_secrets(&self, text: &str, redacted: &mut Redacted) -> String {
        self.secrets.scrub_noting(text, redacted).into_owned()
    }

    /// What is taken out of everything that is written.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    async fn write(&self, kind: EntryType, audience: Audience, content: &str) {
        let written = self.count.fetch_add(1, Ordering::Relaxed);
        let content = match kind {
            EntryType::Result => content.to_owned(),
            EntryType::Info | EntryType::Reasoning if written < MAX_ENTRIES => {
                let content = self.clean_within(content, MAX_ENTRY_BYTES);
                match &self.speaker {
                    Some(name) => format!("{name}: {content}"),
                    None => content,
                }
            }
            EntryType::Info | EntryType::Reasoning if written == MAX_ENTRIES => {
                format!("more than {MAX_ENTRIES} entries: only results from here on")
            }
            EntryType::Info | EntryType::Reasoning => return,
        };
        let entry = Entry {
            kind,
            content,
            audience,
            created_at: self.clock.now(),
        };
        // The reader is gone only when whoever started the verification has given it up; nobody would read it.
        let _ = self.entries.send(entry).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(secrets: &str) -> (Log, LogReader) {
        Log::new(
            Clock::system(),
            Secrets::of(&serde_json::from_str(secrets).unwrap()),
        )
    }

    #[tokio::test]
    async fn entries_come_out_in_order_without_secrets_and_control_characters() {
        let (log, mut reader) = log(r#"{"KEY": "sk-canary-123"}"#);
        log.info(Audience::Public, "one sk-canary-123").await;
        log.reasoning(Audience::Operator, "two\u{1b}[2J").await;
        log.result(
            Audience::Public,
            serde_json::json!({"reason": "sk-canary-123 \u{0}"}),
        )
        .await;
        drop(log);
        let mut seen = Vec::new();
        while let Some(entry) = reader.recv().await {
            seen.push((entry.kind.as_str(), entry.content));
        }
        assert_eq!(
            seen,
            [
                ("info", "one [redacted: KEY]".to_owned()),
                ("reasoning", "two\\u{1b}[2J".to_owned()),
                ("result", r#"{"reason":"[redacted: KEY] \\u{0}"}"#.to_owned()),
            ]
        );
    }

    #[tokio::test]
    async fn no_variable_makes_a_decision_unreadable() {
        let (log, mut reader) = log(r#"{"A": "verified", "B": "refund"}"#);
        let content = serde_json::json!({"outcome": "verified", "reason": "verified: refund"});
        log.result(Audience::Public, content).await;
        let entry = reader.recv().await.unwrap();
        assert_eq!(
            entry.content,
            r#"{"outcome":"verified","reason":"[redacted: A]: [redacted: B]"}"#
        );
    }

    #[test]
    fn a_long_text_is_cut_before_it_is_cleaned_and_no_half_secret_stays() {
        let (log, _reader) = log(r#"{"KEY": "sk-canary-123"}"#);
        assert_eq!(
            log.clean_within("0123456789 sk-canary-123", 20),
            "0123456789 [redacted… [cut: 10 more bytes]"
        );
        assert_eq!(log.clean_within("sk-canary-123", 20), "[redacted: KEY]");
        assert_eq!(
            log.clean_within("\u{1b}\u{1b}\u{1b}", 12),
            "\\u{1b}\\u{1b}… [cut: 6 more bytes]"
        );
        let long = "x".repeat(50_000_000);
        assert_eq!(log.clean_within(&long, 1), "x… [cut: 49999999 more bytes]");
    }

    #[tokio::test]
    async fn a_flood_of_entries_is_cut_off_but_results_still_arrive() {
        let (log, mut reader) = log("{}");
        let counting = tokio::spawn(async move {
            let mut entries = Vec::new();
            while let Some(entry) = reader.recv().await {
                entries.push(entry);
            }
            entries
        });
        for _ in 0..MAX_ENTRIES + 50 {
            log.info(Audience::Public, "x").await;
        }
        log.result(Audience::Public, serde_json::json!({})).await;
        drop(log);
        let entries = counting.await.unwrap();
        assert_eq!(entries.len() as u32, MAX_ENTRIES + 2);
        assert_eq!(entries.last().unwrap().kind, EntryType::Result);
    }
}

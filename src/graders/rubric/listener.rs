//! Hears a judge out: passes on what it writes while it writes, and keeps count.

use std::time::Duration;

use tokio::time::Instant;

use crate::entry::Audience;
use crate::log::Log;
use crate::model_call::TokenUsage;

/// Largest piece of reasoning in one log entry, in bytes.
const MAX_PIECE_BYTES: usize = 1024;

/// Longest time that a piece waits for more.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// After that many pieces of one call a reader follows by the second, so that a judge that writes for minutes
/// does not fill the log.
const EAGER_PIECES: usize = 500;
const MAX_LATE_WAIT: Duration = Duration::from_secs(1);

/// Most bytes of one call that reach the log.
const MAX_LOGGED_BYTES: usize = 512 * 1024;

/// Passes a judge's words on to the log in pieces, and remembers what the call cost even where it failed.
pub(super) struct Listener {
    log: Log,
    audience: Audience,
    waiting: String,
    since: Option<Instant>,
    pieces: usize,
    heard_bytes: usize,
    /// Tokens used so far, where the server has said so.
    pub(super) usage: Option<TokenUsage>,
    /// The answer so far, without reasoning.
    pub(super) answer: String,
    /// Whether the question may have reached a model: then it is charged for, even where no answer came.
    pub(super) charged: bool,
    /// Whether the endpoint refused the schema of the answer, so that asking in words may do.
    pub(super) schema_refused: bool,
}

impl Listener {
    /// A listener for one call.
    pub(super) fn new(log: Log, audience: Audience) -> Self {
        Self {
            log,
            audience,
            waiting: String::new(),
            since: None,
            pieces: 0,
            heard_bytes: 0,
            usage: None,
            answer: String::new(),
            charged: false,
            schema_refused: false,
        }
    }

    /// Takes what the judge has just written.
    pub(super) async fn hear(&mut self, text: &str) {
        let room = MAX_LOGGED_BYTES.saturating_sub(self.heard_bytes);
        self.heard_bytes = self.heard_bytes.saturating_add(text.len());
        let text = &text[..text.floor_char_boundary(room)];
        if text.is_empty() {
            return;
        }
        self.since.get_or_insert_with(Instant::now);
        self.waiting.push_str(text);
        while self.waiting.len() >= MAX_PIECE_BYTES {
            let mut end = self.log.secrets().place_to_cut(&self.waiting, MAX_PIECE_BYTES);
            if end == 0 {
                // A secret of the size of a piece begins here, or may do.
                end = self.log.secrets().place_to_cut(&self.waiting, self.waiting.len());
            }
            if end == 0 {
                break;
            }
            self.pass_on(end).await;
            self.since = (!self.waiting.is_empty()).then(Instant::now);
        }
    }

    /// Bytes of answer and reasoning that were heard.
    pub(super) fn heard_bytes(&self) -> usize {
        self.heard_bytes
    }

    /// When what waits must be passed on; none where nothing waits.
    pub(super) fn due(&self) -> Option<Instant> {
        let wait = if self.pieces < EAGER_PIECES {
            MAX_WAIT
        } else {
            MAX_LATE_WAIT
        };
        self.since.map(|since| since + wait)
    }

    /// Says at the end of a call what was too much for the log.
    pub(super) async fn end(&mut self) {
        self.pass_on(self.waiting.len()).await;
        let left_out = self.heard_bytes.saturating_sub(MAX_LOGGED_BYTES);
        if left_out > 0 {
            let text = format!("{left_out} more bytes of the judge's words are not logged");
            self.log.info(self.audience, text).await;
        }
    }

    /// Passes on what waits, but for an end that may become a secret with the words to come.
    pub(super) async fn flush(&mut self) {
        let end = self.log.secrets().place_to_cut(&self.waiting, self.waiting.len());
        self.pass_on(end).await;
    }

    async fn pass_on(&mut self, end: usize) {
        self.since = None;
        if end > 0 {
            let rest = self.waiting.split_off(end);
            let piece = std::mem::replace(&mut self.waiting, rest);
            self.pieces += 1;
            self.log.reasoning(self.audience, piece).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::secrets::Secrets;

    #[tokio::test]
    async fn a_flood_of_words_becomes_pieces_of_at_most_a_kilobyte() {
        let (log, mut reader) = Log::new(Clock::system(), Secrets::default());
        let mut listener = Listener::new(log, Audience::Operator);
        listener.hear(&"é".repeat(1500)).await;
        listener.flush().await;
        drop(listener);
        let mut pieces = Vec::new();
        while let Some(entry) = reader.recv().await {
            pieces.push(entry.content);
        }
        assert_eq!(
            pieces.iter().map(String::len).collect::<Vec<_>>(),
            [1024, 1024, 952]
        );
        assert_eq!(pieces.concat(), "é".repeat(1500));
    }

    #[tokio::test]
    async fn a_secret_that_comes_in_pieces_is_still_one() {
        let variables = serde_json::json!({"KEY": "sk-canary-123", "LONG": "x".repeat(3000)});
        let secrets = Secrets::of(&serde_json::from_value(variables).unwrap());
        let (log, mut reader) = Log::new(Clock::system(), secrets);
        let mut listener = Listener::new(log, Audience::Operator);
        for word in [
            "The key sk-",
            "canary",
            "-123 is. ",
            &"x".repeat(2000),
            &"x".repeat(1000),
            " sk-",
            "can",
        ] {
            listener.hear(word).await;
            listener.flush().await;
        }
        listener.hear(&("y".repeat(1019) + "sk-canary-123")).await;
        listener.end().await;
        drop(listener);
        let mut pieces = Vec::new();
        while let Some(entry) = reader.recv().await {
            pieces.push(entry.content);
        }
        let text = pieces.concat();
        let expected = format!(
            "The key [redacted: KEY] is. [redacted: LONG] sk-can{}[redacted: KEY]",
            "y".repeat(1019)
        );
        assert_eq!(text, expected);
    }
}

//! One connection to the broker, made again when it has broken, and the waits between attempts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use lapin::{Channel, Connection, ConnectionProperties, ConnectionStatus};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use super::RabbitSettings;
use crate::queue::QueueError;

/// What TCP, TLS and the handshake of AMQP may take together.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);

/// What a new channel may take on a connection that is well.
const CHANNEL_TIMEOUT: Duration = Duration::from_secs(5);

/// What a farewell may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection that is there when it is needed. Whoever notices that it has broken asks for a new channel;
/// the first who asks connects, the others wait for it. lapin's own recovery is off: it does not cover errors
/// of channels, cancelled consumers or a spent backoff.
pub(super) struct Link {
    settings: RabbitSettings,
    purpose: &'static str,
    connection: Mutex<Option<Connection>>,
    status: watch::Sender<Option<ConnectionStatus>>,
    /// Users of the connection that wait to be served again.
    interrupted: AtomicUsize,
    /// How often it was made.
    connected: AtomicU64,
    closed: CancellationToken,
}

impl Link {
    pub(super) fn new(settings: RabbitSettings, purpose: &'static str) -> Arc<Self> {
        Arc::new(Self {
            settings,
            purpose,
            connection: Mutex::default(),
            status: watch::Sender::new(None),
            interrupted: AtomicUsize::new(0),
            connected: AtomicU64::new(0),
            closed: CancellationToken::new(),
        })
    }

    /// A channel of its own for whoever asks; connects first where there is no connection.
    pub(super) async fn channel(&self) -> Result<Channel, QueueError> {
        let mut connection = self.connection.lock().await;
        if self.closed.is_cancelled() {
            return Err(QueueError::Closed);
        }
        if let Some(open) = connection.as_ref().filter(|open| open.status().connected()) {
            return open.create_channel().await.map_err(broken);
        }
        let open = self.connect().await?;
        self.connected.fetch_add(1, Ordering::Relaxed);
        self.status.send_replace(Some(open.status().clone()));
        let channel = open.create_channel().await.map_err(broken);
        *connection = Some(open);
        channel
    }

    /// Makes of a channel what is needed. A connection that does not answer meanwhile is given up; one that does is not: a queue that
    /// hangs (RabbitMQ 3.10 has them after a kill -9) is none of the others' business.
    pub(super) async fn attempt<T, F>(&self, make: impl FnOnce(Channel) -> F) -> Result<T, QueueError>
    where
        F: Future<Output = Result<T, QueueError>>,
    {
        let mut asked = None;
        let made = async {
            let channel = self.channel().await?;
            asked = Some(channel.clone());
            make(channel).await
        };
        let patience = self.settings.answer_timeout;
        if let Ok(made) = tokio::time::timeout(patience, made).await {
            return made;
        }
        if let Some(channel) = asked {
            // What it was asked for may come about later: nobody would take what a consumer of it is given.
            let closing = channel.close(200, "no answer".into());
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
        }
        let answers = tokio::time::timeout(CHANNEL_TIMEOUT, self.channel()).await;
        if !matches!(answers, Ok(Ok(_))) {
            self.abandon().await;
        }
        Err(silent(patience))
    }

    /// As [`Link::attempt`], until it succeeds; `None` once the link was closed.
    pub(super) async fn retry<T, F>(&self, mut make: impl FnMut(Channel) -> F) -> Option<T>
    where
        F: Future<Output = Result<T, QueueError>>,
    {
        let _interruption = Interruption::of(&self.interrupted);
        let mut backoff = Backoff::default();
        loop {
            let result = tokio::select! {
                () = self.closed.cancelled() => return None,
                result = self.attempt(&mut make) => result,
            };
            match result {
                Ok(made) => return Some(made),
                Err(error) => tracing::debug!(purpose = self.purpose, %error, "the broker is not back yet"),
            }
            tokio::select! {
                () = self.closed.cancelled() => return None,
                () = tokio::time::sleep(backoff.next()) => {}
            }
        }
    }

    /// Drops the connection, so that the next who asks for a channel connects again.
    pub(super) async fn abandon(&self) {
        let connection = self.connection.lock().await.take();
        if let Some(connection) = connection {
            farewell(&connection).await;
        }
    }

    /// Whether the connection stands, serves all its users, and is not blocked by an alarm of the broker.
    pub(super) fn is_healthy(&self) -> bool {
        let status = self.status.borrow();
        let up = status
            .as_ref()
            .is_some_and(|status| status.connected() && !status.blocked());
        up && self.interrupted.load(Ordering::Relaxed) == 0
    }

    /// How often the connection had to be made again.
    pub(super) fn losses(&self) -> u64 {
        self.connected.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// Whether an alarm of the broker (memory, disk) keeps us from writing.
    pub(super) fn is_blocked(&self) -> bool {
        self.status
            .borrow()
            .as_ref()
            .is_some_and(ConnectionStatus::blocked)
    }

    /// Fires when the link is closed.
    pub(super) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    pub(super) async fn close(&self) {
        self.closed.cancel();
        self.abandon().await;
    }

    async fn connect(&self) -> Result<Connection, QueueError> {
        let name = format!("assay {} {}", self.purpose, self.settings.name);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connecting = Connection::connect_uri(self.settings.uri()?, properties);
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting).await {
            Ok(connected) => connected.map_err(broken),
            Err(_) => Err(silent(HANDSHAKE_TIMEOUT)),
        }
    }
}

/// A peer that is gone does not answer, and that is no news.
async fn farewell(connection: &Connection) {
    let goodbye = connection.close(200, "closed".into());
    if let Ok(Err(error)) = tokio::time::timeout(CLOSE_TIMEOUT, goodbye).await {
        tracing::debug!(%error, "the broker's connection ended without a farewell");
    }
}

fn silent(waited: Duration) -> QueueError {
    QueueError::Silent(waited.as_secs())
}

/// What lapin says, as an error of ours. It names no URL and no password.
pub(super) fn broken(error: lapin::Error) -> QueueError {
    QueueError::Broken(error.to_string())
}

/// Counts one user as interrupted while it lives.
struct Interruption<'a>(&'a AtomicUsize);

impl<'a> Interruption<'a> {
    fn of(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Interruption<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Growing waits: 100 ms, doubled up to 5 s, without end.
#[derive(Debug, Default)]
struct Backoff {
    attempts: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    fn next(&mut self) -> Duration {
        let wait = Self::FIRST.saturating_mul(2_u32.saturating_pow(self.attempts));
        self.attempts += 1;
        wait.min(Self::LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_five_seconds_and_stay_there() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..60).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(waits[..7], [100, 200, 400, 800, 1600, 3200, 5000]);
        assert_eq!(waits[59], 5000);
    }
}

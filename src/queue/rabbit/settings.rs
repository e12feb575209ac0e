//! How the broker is reached.

use std::fmt;
use std::time::Duration;

use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret as _, SecretString};

use crate::queue::QueueError;

/// How the broker is reached, and what it is told of us.
#[derive(Clone)]
pub struct RabbitSettings {
    /// `amqp://` or `amqps://`, with user, password and virtual host. `?heartbeat=SECONDS` is 10 where it
    /// says nothing.
    pub url: SecretString,
    /// The name of this process among the broker's connections.
    pub name: String,
    /// Most messages that wait for the broker's confirmation at once.
    pub max_unconfirmed: usize,
    /// How long a confirmation may take before the connection counts as broken.
    pub confirm_timeout: Duration,
    /// How long the broker may take to make a channel ready, with a new connection where there is none.
    pub answer_timeout: Duration,
}

/// Seconds between heartbeats; the connection counts as broken after twice as long.
const HEARTBEAT: u16 = 10;

/// Milliseconds that the TCP connection may take.
const CONNECT_TIMEOUT: u64 = 10_000;

impl RabbitSettings {
    /// The broker at `url`, with everything else as usual.
    pub fn new(url: SecretString, name: impl Into<String>) -> Self {
        Self {
            url,
            name: name.into(),
            max_unconfirmed: 2048,
            confirm_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(30),
        }
    }

    /// The parsed URL, with our heartbeat and time-out where it gives none. Errors never show the URL.
    pub(super) fn uri(&self) -> Result<AMQPUri, QueueError> {
        let mut uri: AMQPUri = self.url.expose_secret().parse().map_err(|error| {
            QueueError::Broken(format!("its URL is not one, set ASSAY_AMQP_URL: {error}"))
        })?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        uri.query.connection_timeout.get_or_insert(CONNECT_TIMEOUT);
        Ok(uri)
    }
}

impl fmt::Debug for RabbitSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitSettings")
            .field("name", &self.name)
            .field("max_unconfirmed", &self.max_unconfirmed)
            .field("confirm_timeout", &self.confirm_timeout)
            .field("answer_timeout", &self.answer_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_url_is_not_repeated() {
        for url in ["amqp://user:pass word@[", "http://user:hunter2@host", "hunter2"] {
            let error = RabbitSettings::new(url.into(), "test")
                .uri()
                .unwrap_err()
                .to_string();
            assert!(
                !error.contains("hunter2") && !error.contains("pass word"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_heartbeat_in_the_url_is_kept() {
        let heartbeat = |url: &str| {
            let settings = RabbitSettings::new(url.into(), "test");
            settings.uri().unwrap().query.heartbeat
        };
        assert_eq!(heartbeat("amqp://127.0.0.1/%2f"), Some(10));
        assert_eq!(heartbeat("amqp://127.0.0.1/%2f?heartbeat=3"), Some(3));
    }
}

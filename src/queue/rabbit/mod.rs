//! The driver for RabbitMQ, 3.10 to 4.x. Two connections, since an alarm of the broker blocks whoever
//! publishes: one consumes and acknowledges, one publishes. Both are rebuilt here after every kind of break.
//!
//! ```text
//! RabbitQueue
//! ├── Link "consume" ── consumer (one task each) ── acks (one task for each channel)
//! └── Link "publish" ── publisher (one task) ── pending (what is unconfirmed)
//! ```

mod acks;
mod connection;
mod consumer;
mod declare;
mod message;
mod pending;
mod publisher;
mod settings;

use std::sync::Arc;

use async_trait::async_trait;

use super::{Consumer, Depth, Health, Outgoing, Queue, QueueError, Source, Topology};
use connection::Link;
use publisher::Publisher;

pub use settings::RabbitSettings;

/// A broker that is used until it is closed, whatever happens to its connections.
pub struct RabbitQueue {
    consuming: Arc<Link>,
    publishing: Arc<Link>,
    publisher: Publisher,
}

impl RabbitQueue {
    /// Connects twice.
    ///
    /// # Errors
    /// Where the broker cannot be reached or refuses us now. Later breaks are no errors.
    pub async fn connect(settings: RabbitSettings) -> Result<Self, QueueError> {
        let consuming = Link::new(settings.clone(), "consume");
        let publishing = Link::new(settings.clone(), "publish");
        // A wrong URL or password is told at once, and not by a task that tries for ever.
        for link in [&consuming, &publishing] {
            link.channel().await?;
        }
        let publisher = Publisher::start(
            Arc::clone(&publishing),
            settings.max_unconfirmed,
            settings.confirm_timeout,
        );
        Ok(Self {
            consuming,
            publishing,
            publisher,
        })
    }
}

#[async_trait]
impl Queue for RabbitQueue {
    async fn consume(&self, source: Source, prefetch: u16) -> Result<Consumer, QueueError> {
        consumer::consume(&self.consuming, source, prefetch).await
    }

    async fn publish(&self, outgoing: Outgoing) -> Result<(), QueueError> {
        self.publisher.publish(outgoing).await
    }

    async fn depths(&self) -> Result<Vec<Depth>, QueueError> {
        declare::depths(&self.consuming, &Topology::new(true)).await
    }

    fn health(&self) -> Health {
        Health {
            consuming: self.consuming.is_healthy(),
            publishing: self.publishing.is_healthy(),
        }
    }

    fn losses(&self) -> u64 {
        self.consuming.losses() + self.publishing.losses()
    }

    async fn close(&self) {
        tokio::join!(self.consuming.close(), self.publishing.close());
    }
}

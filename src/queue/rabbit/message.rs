//! A message as AMQP carries it, and where it goes.

use lapin::BasicProperties;
use lapin::message::BasicReturnMessage;
use lapin::types::{AMQPValue, FieldTable};

use crate::outcome::Outcome;
use crate::queue::topology::OUTCOMES;
use crate::queue::{Destination, Outgoing};
use crate::trace_context::TraceContext;

const TRACEPARENT: &str = "traceparent";

/// AMQP's number for messages that are written to disk.
const PERSISTENT: u8 = 2;

/// Exchange and routing key.
pub(super) fn address(to: Destination) -> (&'static str, &'static str) {
    match to {
        Destination::Lane(lane) => ("", lane.queue()),
        Destination::Delay(wait) => ("", wait.queue()),
        Destination::Outcome(Outcome::Verified) => (OUTCOMES, "job.verified"),
        Destination::Outcome(Outcome::Retry) => (OUTCOMES, "job.retry"),
        Destination::ParkedNotice => (OUTCOMES, "job.parked"),
    }
}

/// How a person finds the destination on the broker.
pub(super) fn described(to: Destination) -> String {
    match address(to) {
        ("", queue) => format!("`{queue}`"),
        (exchange, key) => format!("`{key}` of `{exchange}`"),
    }
}

/// Whether the message has to reach a queue.
pub(super) fn is_mandatory(to: Destination) -> bool {
    to != Destination::ParkedNotice
}

pub(super) fn properties(outgoing: &Outgoing) -> BasicProperties {
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_message_id(outgoing.message_id.as_str().into());
    if let Some(traceparent) = &outgoing.traceparent {
        let mut headers = FieldTable::default();
        headers.insert(
            TRACEPARENT.into(),
            AMQPValue::LongString(traceparent.as_str().into()),
        );
        properties = properties.with_headers(headers);
    }
    properties
}

/// The trace context of a delivery. Others write it too: what is none is dropped here, before it reaches a row or a log.
pub(super) fn traceparent(properties: &BasicProperties) -> Option<String> {
    let text = match properties.headers().as_ref()?.inner().get(TRACEPARENT)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok()?,
        AMQPValue::ShortString(text) => text.as_str(),
        _ => return None,
    };
    let context: TraceContext = text.parse().ok()?;
    Some(context.to_string())
}

/// A message that the broker returned because no queue wanted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Returned {
    pub(super) message_id: String,
    pub(super) exchange: String,
    pub(super) key: String,
}

impl Returned {
    pub(super) fn is(&self, outgoing: &Outgoing) -> bool {
        let (exchange, key) = address(outgoing.to);
        self.message_id == outgoing.message_id && self.exchange == exchange && self.key == key
    }
}

impl From<BasicReturnMessage> for Returned {
    fn from(returned: BasicReturnMessage) -> Self {
        let id = returned.properties.message_id().as_ref();
        Self {
            message_id: id.map(|id| id.as_str().to_owned()).unwrap_or_default(),
            exchange: returned.exchange.as_str().to_owned(),
            key: returned.routing_key.as_str().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_header_that_is_none_is_dropped() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for (header, expected) in [
            (good, Some(good)),
            ("00-\0", None),
            ("", None),
            ("any text", None),
        ] {
            let outgoing = Outgoing {
                to: Destination::ParkedNotice,
                message_id: "m".to_owned(),
                body: Vec::new(),
                traceparent: Some(header.to_owned()),
            };
            assert_eq!(
                traceparent(&properties(&outgoing)).as_deref(),
                expected,
                "{header:?}"
            );
        }
    }
}

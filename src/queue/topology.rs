//! The queues and exchanges of the pool, as data. Names and arguments are a contract (DESIGN.md section 6): the broker
//! refuses to declare a queue again with other arguments.

use super::{Lane, Wait};

/// The exchange of outcomes.
pub(super) const OUTCOMES: &str = "assay.outcomes";

/// Where the broker sets aside what it could not deliver.
pub(super) const PARKED: &str = "assay.parked";

/// Outcomes for `assay settle`.
pub(super) const SETTLE: &str = "assay.settle";

/// Deliveries after which the broker itself sets a message aside. A last resort, since every unacknowledged message is
/// charged when a worker dies; who kills workers is found by claims.
const DELIVERY_LIMIT: i64 = 100;

/// RabbitMQ 4 gives queues a limit of 20 and drops what passes it where nothing is said. 3.10 knows no "unlimited".
const NO_LIMIT: i64 = i32::MAX as i64;

/// Everything that has to exist on the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Durable topic exchanges.
    pub exchanges: Vec<&'static str>,
    /// Durable quorum queues.
    pub queues: Vec<QueueDefinition>,
    /// Which queue receives what of which exchange.
    pub bindings: Vec<Binding>,
}

/// A durable quorum queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDefinition {
    /// Its name.
    pub name: &'static str,
    /// Its arguments.
    pub arguments: Vec<(&'static str, Argument)>,
}

/// The value of a queue's argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// A word.
    Text(&'static str),
    /// A number; milliseconds where it is a time.
    Number(i64),
}

/// Messages of the exchange with this key reach the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// The queue.
    pub queue: &'static str,
    /// The exchange.
    pub exchange: &'static str,
    /// The routing key.
    pub key: &'static str,
}

/// What is wrong on the broker, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopologyProblem {
    /// The queue or exchange.
    pub name: &'static str,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl Topology {
    /// With a queue of our own for settlement, or without one where the marketplace settles.
    pub fn new(own_settlement: bool) -> Self {
        let lanes = [Lane::Submitted, Lane::Judge].map(|lane| QueueDefinition::limited(lane.queue()));
        let delays = Wait::ALL.map(QueueDefinition::delay);
        let parked = QueueDefinition::quorum(PARKED, [("x-delivery-limit", Argument::Number(NO_LIMIT))]);
        let settle = own_settlement.then(|| QueueDefinition::limited(SETTLE));

        let mut queues = Vec::from(lanes);
        queues.extend(delays);
        queues.push(parked);
        queues.extend(settle);
        Self {
            exchanges: vec![OUTCOMES],
            queues,
            bindings: if own_settlement {
                ["job.verified", "job.retry"]
                    .map(|key| Binding {
                        queue: SETTLE,
                        exchange: OUTCOMES,
                        key,
                    })
                    .into()
            } else {
                Vec::new()
            },
        }
    }
}

impl QueueDefinition {
    fn quorum(name: &'static str, arguments: impl IntoIterator<Item = (&'static str, Argument)>) -> Self {
        let quorum = ("x-queue-type", Argument::Text("quorum"));
        Self {
            name,
            arguments: std::iter::once(quorum).chain(arguments).collect(),
        }
    }

    /// Dead-letters at least once through the default exchange. Quorum queues do so only with both `dead-letter-strategy`
    /// and `overflow` set; otherwise a message is lost silently where its target cannot be reached
    /// (<https://www.rabbitmq.com/docs/quorum-queues#dead-lettering>).
    fn dead_lettering(
        name: &'static str,
        to: &'static str,
        more: impl IntoIterator<Item = (&'static str, Argument)>,
    ) -> Self {
        let arguments = [
            ("x-dead-letter-exchange", Argument::Text("")),
            ("x-dead-letter-routing-key", Argument::Text(to)),
            ("x-dead-letter-strategy", Argument::Text("at-least-once")),
            ("x-overflow", Argument::Text("reject-publish")),
        ];
        Self::quorum(name, arguments.into_iter().chain(more))
    }

    fn limited(name: &'static str) -> Self {
        Self::dead_lettering(
            name,
            PARKED,
            [("x-delivery-limit", Argument::Number(DELIVERY_LIMIT))],
        )
    }

    fn delay(wait: Wait) -> Self {
        let milliseconds = i64::try_from(wait.duration().as_millis()).unwrap_or(i64::MAX);
        Self::dead_lettering(
            wait.queue(),
            Lane::Submitted.queue(),
            [("x-message-ttl", Argument::Number(milliseconds))],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(topology: &Topology) -> String {
        let mut lines = Vec::new();
        for queue in &topology.queues {
            lines.push(queue.name.to_owned());
            let arguments = queue.arguments.iter().map(|(name, value)| match value {
                Argument::Text(text) => format!("{name}={text}"),
                Argument::Number(number) => format!("{name}={number}"),
            });
            let arguments: Vec<_> = arguments.collect();
            lines.extend(arguments.chunks(3).map(|some| format!("  {}", some.join(" "))));
        }
        for binding in &topology.bindings {
            lines.push(format!(
                "{} <- {} {}",
                binding.queue, binding.exchange, binding.key
            ));
        }
        lines.join("\n")
    }

    /// Whoever changes this changes a contract: brokers that run refuse the new arguments.
    #[test]
    fn names_and_arguments_are_a_contract() {
        insta::assert_snapshot!(text(&Topology::new(true)), @"
        assay.submitted
          x-queue-type=quorum x-dead-letter-exchange= x-dead-letter-routing-key=assay.parked
          x-dead-letter-strategy=at-least-once x-overflow=reject-publish x-delivery-limit=100
        assay.judge
          x-queue-type=quorum x-dead-letter-exchange= x-dead-letter-routing-key=assay.parked
          x-dead-letter-strategy=at-least-once x-overflow=reject-publish x-delivery-limit=100
        assay.delay.1s
          x-queue-type=quorum x-dead-letter-exchange= x-dead-letter-routing-key=assay.submitted
          x-dead-letter-strategy=at-least-once x-overflow=reject-publish x-message-ttl=1000
        assay.delay.5s
          x-queue-type=quorum x-dead-letter-exchange= x-dead-letter-routing-key=assay.submitted
          x-dead-letter-strategy=at-least-once x-overflow=reject-publish x-message-ttl=5000
        assay.delay.30s
          x-queue-type=quorum x-dead-letter-exchange= x-dead-letter-routing-key=assay.submitted
          x-dead-letter-strategy=at-least-once x-overflow=reject-publish x-message-ttl=30000
        assay.delay.2m
          x-queue-type=quorum x-dead-letter-exchange= x-dead-letter-routing-key=assay.submitted
          x-dead-letter-strategy=at-least-once x-overflow=reject-publish x-message-ttl=120000
        assay.delay.10m
          x-queue-type=quorum x-dead-letter-exchange= x-dead-letter-routing-key=assay.submitted
          x-dead-letter-strategy=at-least-once x-overflow=reject-publish x-message-ttl=600000
        assay.parked
          x-queue-type=quorum x-delivery-limit=2147483647
        assay.settle
          x-queue-type=quorum x-dead-letter-exchange= x-dead-letter-routing-key=assay.parked
          x-dead-letter-strategy=at-least-once x-overflow=reject-publish x-delivery-limit=100
        assay.settle <- assay.outcomes job.verified
        assay.settle <- assay.outcomes job.retry
        ");
    }

    #[test]
    fn external_settlement_has_no_queue_of_ours() {
        let topology = Topology::new(false);
        assert!(topology.queues.iter().all(|queue| queue.name != SETTLE));
        assert!(topology.bindings.is_empty());
    }
}

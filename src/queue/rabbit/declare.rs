//! Declares the topology, compares it with what the broker has, and asks for the lengths of queues.
//!
//! The broker closes a channel over each question that it answers with no; so each one is asked on a channel of its own.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

use super::RabbitSettings;
use super::connection::{Link, broken};
use crate::queue::topology::{Argument, QueueDefinition};
use crate::queue::{Depth, QueueError, Topology, TopologyProblem};

/// How the broker begins its answer where something does not exist.
const NOT_FOUND: &str = "NOT_FOUND";

/// How the broker begins its answer where something exists with other arguments.
const OTHER_ARGUMENTS: &str = "PRECONDITION_FAILED";

const DURABLE_QUEUE: QueueDeclareOptions = QueueDeclareOptions {
    passive: false,
    durable: true,
    exclusive: false,
    auto_delete: false,
    nowait: false,
};

const DURABLE_EXCHANGE: ExchangeDeclareOptions = ExchangeDeclareOptions {
    passive: false,
    durable: true,
    auto_delete: false,
    internal: false,
    nowait: false,
};

impl Topology {
    /// Declares everything. What exists already with the same arguments stays as it is, with its messages.
    ///
    /// # Errors
    /// Where the broker cannot be used, or something exists with other arguments.
    pub async fn declare(&self, settings: RabbitSettings) -> Result<(), QueueError> {
        let link = Link::new(settings, "setup");
        let done = self.declare_on(&link).await;
        link.close().await;
        done
    }

    async fn declare_on(&self, link: &Link) -> Result<(), QueueError> {
        let channel = link.channel().await?;
        for &exchange in &self.exchanges {
            declare_exchange(&channel, exchange, false)
                .await
                .map_err(broken)?;
        }
        for queue in &self.queues {
            declare_queue(&channel, queue, false).await.map_err(broken)?;
        }
        for binding in &self.bindings {
            let (queue, exchange, key) = (binding.queue.into(), binding.exchange.into(), binding.key.into());
            let options = QueueBindOptions::default();
            let bound = channel.queue_bind(queue, exchange, key, options, FieldTable::default());
            bound.await.map_err(broken)?;
        }
        Ok(())
    }

    /// Compares the broker with the topology, and changes nothing: empty where all is as it should be.
    ///
    /// # Errors
    /// Where the broker cannot be used.
    pub async fn check(&self, settings: RabbitSettings) -> Result<Vec<TopologyProblem>, QueueError> {
        let link = Link::new(settings, "doctor");
        let found = self.check_on(&link).await;
        link.close().await;
        found
    }

    async fn check_on(&self, link: &Link) -> Result<Vec<TopologyProblem>, QueueError> {
        let mut problems = Vec::new();
        for &exchange in &self.exchanges {
            for passive in [true, false] {
                let answer = declare_exchange(&link.channel().await?, exchange, passive).await;
                if let Some(problem) = problem("exchange", exchange, answer.err())? {
                    problems.push(problem);
                    break;
                }
            }
        }
        for queue in &self.queues {
            // Passive first, since the other would make a queue that is missing.
            for passive in [true, false] {
                let answer = declare_queue(&link.channel().await?, queue, passive).await;
                if let Some(problem) = problem("queue", queue.name, answer.err())? {
                    problems.push(problem);
                    break;
                }
            }
        }
        Ok(problems)
    }
}

/// The lengths of all queues of the topology that exist.
pub(super) async fn depths(link: &Link, topology: &Topology) -> Result<Vec<Depth>, QueueError> {
    let mut depths = Vec::new();
    let mut channel = link.channel().await?;
    for queue in &topology.queues {
        match declare_queue(&channel, queue, true).await {
            Ok(found) => depths.push(Depth {
                queue: queue.name.to_owned(),
                messages: found.message_count(),
                consumers: found.consumer_count(),
            }),
            Err(error) if is(&error, NOT_FOUND) => channel = link.channel().await?,
            Err(error) => return Err(broken(error)),
        }
    }
    Ok(depths)
}

async fn declare_exchange(channel: &Channel, name: &str, passive: bool) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions {
        passive,
        ..DURABLE_EXCHANGE
    };
    channel
        .exchange_declare(name.into(), ExchangeKind::Topic, options, FieldTable::default())
        .await
}

async fn declare_queue(
    channel: &Channel,
    queue: &QueueDefinition,
    passive: bool,
) -> lapin::Result<lapin::Queue> {
    let options = QueueDeclareOptions {
        passive,
        ..DURABLE_QUEUE
    };
    let mut arguments = FieldTable::default();
    for (name, value) in &queue.arguments {
        let value = match value {
            Argument::Text(text) => AMQPValue::LongString((*text).into()),
            Argument::Number(number) => AMQPValue::LongLongInt(*number),
        };
        arguments.insert((*name).into(), value);
    }
    channel.queue_declare(queue.name.into(), options, arguments).await
}

/// Whether the broker answered so.
fn is(error: &lapin::Error, answer: &str) -> bool {
    error.is_amqp_soft_error() && error.to_string().contains(answer)
}

fn problem(
    kind: &str,
    name: &'static str,
    error: Option<lapin::Error>,
) -> Result<Option<TopologyProblem>, QueueError> {
    let Some(error) = error else { return Ok(None) };
    let (problem, remedy) = if is(&error, NOT_FOUND) {
        (
            format!("the {kind} does not exist"),
            "run `assay setup`".to_owned(),
        )
    } else if is(&error, OTHER_ARGUMENTS) {
        let remedy = format!("drain and delete the {kind} `{name}`, then run `assay setup`");
        (format!("the {kind} has other arguments: {error}"), remedy)
    } else if error.is_amqp_soft_error() {
        let remedy = "give the user of ASSAY_AMQP_URL the permission to configure `assay.*`".to_owned();
        (error.to_string(), remedy)
    } else {
        return Err(broken(error));
    };
    Ok(Some(TopologyProblem {
        name,
        problem,
        remedy,
    }))
}

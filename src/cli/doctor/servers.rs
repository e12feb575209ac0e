//! Database and broker.

use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::finding::Finding;
use crate::config::{Config, Settlement};
use crate::journal::PgJournal;
use crate::journal::postgres::{Duty, Privileges};
use crate::queue::{Depth, Queue as _, RabbitQueue, RabbitSettings, Topology, Wait};

/// What the brokers' operators see while the doctor looks.
const NAME: &str = "doctor";

/// How long both connections to the broker may take until they work: one that has much to do opens a channel in seconds, and is
/// neither down nor blocked.
const CONNECTIONS_READY: Duration = Duration::from_secs(15);

const ROLES: &str = "connect as a role of deploy/roles.sql (docs/deploying.md, Roles)";

/// Connection, tables, and what this role may do with them.
pub(super) async fn database(
    config: &Config,
    (works, settles, reverifies): (bool, bool, bool),
) -> Vec<Finding> {
    let pool = &config.pool;
    let url = match pool.database_url() {
        Ok(url) => url,
        Err(error) => return vec![Finding::error("database", &error)],
    };
    let journal = match PgJournal::connect(url.expose_secret(), 1).await {
        Ok(journal) => journal,
        Err(error) => return vec![Finding::error("database", &error)],
    };
    let mut findings = vec![Finding::ok("database", format!("{} answers", journal.place()))];
    if let Err(error) = journal.check_set_up().await {
        findings.push(Finding::error("tables", &error));
        journal.close().await;
        return findings;
    }
    findings.push(Finding::ok("tables", "those of this version"));
    if pool.marketplace {
        findings.push(match journal.market().await {
            Ok(_) => Finding::ok("marketplace", "its tables are in this database"),
            Err(error) => Finding::problem(
                "marketplace",
                crate::causes::in_full(&error),
                "set marketplace = false in [pool] where they are elsewhere; `assay setup --demo-marketplace` makes some",
            ),
        });
    }
    for (duty, command, wanted) in [
        (Duty::Worker, "assay work", works),
        (Duty::Settlement, "assay settle", settles),
        (Duty::Arbiter, "assay reverify", reverifies),
    ] {
        if wanted {
            findings.push(match journal.privileges(duty, pool.marketplace).await {
                Ok(privileges) => rights(command, &privileges),
                Err(error) => Finding::error(format!("rights for {command}"), &error),
            });
        }
    }
    journal.close().await;
    findings
}

fn rights(command: &str, privileges: &Privileges) -> Finding {
    let Privileges {
        role,
        missing,
        excess,
    } = privileges;
    let what = format!("rights for `{command}`");
    if !missing.is_empty() {
        let detail = format!("the role {role} lacks {}", missing.join(", "));
        Finding::problem(
            what,
            detail,
            format!("run deploy/roles.sql as the tables' owner, and {ROLES}"),
        )
    } else if !excess.is_empty() {
        let detail = format!("the role {role} has more than it needs: {}", excess.join(", "));
        Finding::note(what, detail, ROLES)
    } else {
        Finding::ok(what, format!("the role {role} has what it needs, and not more"))
    }
}

/// Both connections, and every queue with its arguments.
pub(super) async fn broker(config: &Config) -> Vec<Finding> {
    let url = match config.pool.amqp_url() {
        Ok(url) => url.clone(),
        Err(error) => return vec![Finding::error("broker", &error)],
    };
    let settings = RabbitSettings::new(url, NAME);
    let queue = match RabbitQueue::connect(settings.clone()).await {
        Ok(queue) => queue,
        Err(error) => return vec![Finding::error("broker", &error)],
    };
    // The publishing channel is made in the background, moments after its connection.
    let ready = async {
        while !(queue.health().consuming && queue.health().publishing) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let _ = tokio::time::timeout(CONNECTIONS_READY, ready).await;
    let health = queue.health();
    let mut findings = vec![match (health.consuming, health.publishing) {
        (true, true) => Finding::ok("broker", "answers on both connections"),
        (false, _) => Finding::problem(
            "broker",
            "the consuming connection is down",
            "look at the broker's log, then ask again",
        ),
        (true, false) => Finding::problem(
            "broker",
            "the publishing connection is down or blocked",
            "a broker short of memory or disk blocks whoever publishes: rabbitmq-diagnostics alarms",
        ),
    }];
    let topology = Topology::new(config.pool.settlement == Settlement::Assay);
    match topology.check(settings).await {
        Ok(problems) if problems.is_empty() => {
            let detail = format!("{} queues, with their arguments", topology.queues.len());
            findings.push(Finding::ok("queues", detail));
            findings.push(match queue.depths().await {
                Ok(depths) => messages(&depths),
                Err(error) => Finding::error("messages", &error),
            });
        }
        Ok(problems) => findings.extend(
            problems
                .into_iter()
                .map(|found| Finding::problem(found.name, found.problem, found.remedy)),
        ),
        Err(error) => findings.push(Finding::error("queues", &error)),
    }
    queue.close().await;
    findings
}

/// What waits, and whether anybody takes it. Delays have no consumers: their messages go on by themselves.
fn messages(depths: &[Depth]) -> Finding {
    let lengths: Vec<_> = depths
        .iter()
        .map(|depth| format!("{} {}", depth.queue, depth.messages))
        .collect();
    let lengths = lengths.join(", ");
    let is_delay = |queue: &str| Wait::ALL.iter().any(|wait| wait.queue() == queue);
    let left = depths
        .iter()
        .find(|depth| depth.messages > 0 && depth.consumers == 0 && !is_delay(&depth.queue));
    match left {
        None => Finding::ok("messages", lengths),
        Some(left) => Finding::note(
            "messages",
            lengths,
            format!(
                "nobody takes from {}: start `assay work` and `assay settle`",
                left.queue
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_nobody_takes_are_told_and_those_that_only_wait_are_not() {
        let depth = |queue: &str, messages, consumers| Depth {
            queue: queue.to_owned(),
            messages,
            consumers,
        };
        let waiting = [depth("assay.submitted", 3, 2), depth("assay.delay.5s", 4, 0)];
        let told = |finding: &Finding| anstream::adapter::strip_str(&finding.to_string()).to_string();
        insta::assert_snapshot!(told(&messages(&waiting)), @"ok      messages: assay.submitted 3, assay.delay.5s 4");
        let left = [depth("assay.submitted", 0, 0), depth("assay.settle", 4, 0)];
        insta::assert_snapshot!(told(&messages(&left)), @"
        note    messages: assay.submitted 0, assay.settle 4
                nobody takes from assay.settle: start `assay work` and `assay settle`
        ");
    }
}

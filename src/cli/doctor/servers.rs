//! Database and broker.

use secrecy::ExposeSecret as _;

use super::finding::Finding;
use crate::config::{Config, Settlement};
use crate::journal::PgJournal;
use crate::journal::postgres::{Duty, Privileges};
use crate::queue::{Queue as _, RabbitQueue, RabbitSettings, Topology};

/// What the brokers' operators see while the doctor looks.
const NAME: &str = "doctor";

const ROLES: &str = "connect as a role of deploy/roles.sql (docs/deploying.md, Roles)";

/// Connection, tables, and what this role may do with them.
pub(super) async fn database(config: &Config, works: bool, settles: bool) -> Vec<Finding> {
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

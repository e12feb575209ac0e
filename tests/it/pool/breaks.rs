//! Servers restart, connections break, queues are purged.

use std::time::{Duration, Instant};

use assay::queue::{Lane, Queue as _, Wait};

use super::deployment::{Deployment, Urls};
use super::submission::{Submission, mixed};
use super::tally::jobs;
use crate::queue::own_broker::OwnServers;
use crate::queue::relay::Relay;

const TAKES: &str = "the worker takes jobs";

async fn on_own_servers() -> (OwnServers, Deployment) {
    let servers = tokio::task::spawn_blocking(OwnServers::start).await.unwrap();
    let urls = Urls {
        amqp: servers.url.clone(),
        database: servers.database.clone(),
    };
    let deployment = Deployment::on(urls, None).await;
    (servers, deployment)
}

/// Two workers and settlement at work while `servers` is told `trouble`, a few times.
async fn survives(scenario: &str, trouble: &[&str]) {
    let count = jobs();
    let (servers, deployment) = on_own_servers().await;
    let submissions = mixed("j", count);
    deployment.insert(&submissions).await;
    let before = deployment.money().await;
    let _settler = deployment.settler().await;
    let workers = [deployment.worker().await, deployment.worker().await];
    let rounds = if count > 500 { 3 } else { 1 };
    for round in 0..rounds {
        let some = &submissions[round * count / rounds..(round + 1) * count / rounds];
        deployment.publish_half_thin(some).await;
        deployment.command_servers(&servers, trouble).await;
    }
    let tally = deployment.tally(scenario, count, before).await;
    assert_eq!(tally.parked, 0, "nobody is blamed: {tally}");
    for worker in workers {
        assert!(worker.terminate().success());
    }
}

impl Deployment {
    async fn command_servers(&self, servers: &OwnServers, trouble: &[&str]) {
        tokio::task::block_in_place(|| servers.command(trouble[0], &trouble[1..]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_may_restart() {
    survives("broker restarted", &["restart", "rabbitmq"]).await;
}

/// Not in `make test`: RabbitMQ 3.10.8 sometimes comes back from kill -9 with a quorum queue that confirms nothing. Nothing is lost
/// then either, but outcomes wait half a minute to be given up, and a minute more to be settled from their rows.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by make chaos"]
async fn the_broker_may_be_killed() {
    survives("broker killed", &["restart", "rabbitmq", "--kill"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_may_restart() {
    survives("database restarted", &["restart", "postgres"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_may_be_killed() {
    survives("database killed", &["restart", "postgres", "--kill"]).await;
}

/// A worker whose connections to the broker, another whose connections to the database, and settlement whose connections
/// to both break again and again.
async fn with_broken_connections(scenario: &str, trouble: fn(&Relay)) {
    let count = jobs();
    let deployment = Deployment::new().await;
    let submissions = mixed("j", count);
    deployment.insert(&submissions).await;
    let before = deployment.money().await;
    // Slow enough for something to be under way whenever a connection breaks.
    deployment.judge.takes(Duration::from_millis(400));
    let (to_broker, amqp) = Relay::to(&format!("{}?heartbeat=2", deployment.urls.amqp)).await;
    let (to_database, database) = Relay::to(&deployment.urls.database).await;
    let (settling_to_broker, settling_amqp) =
        Relay::to(&format!("{}?heartbeat=2", deployment.urls.amqp)).await;
    let (settling_to_database, settling_database) = Relay::to(&deployment.urls.database).await;
    let broken_settlement = Urls {
        amqp: settling_amqp,
        database: settling_database,
    };
    let settling = deployment.start_on(&broken_settlement, &["settle"]);
    let _settler = deployment.ready(settling, "settlement begins").await;
    let broken_broker = Urls {
        amqp,
        database: deployment.urls.database.clone(),
    };
    let broken_database = Urls {
        amqp: deployment.urls.amqp.clone(),
        database,
    };
    let _workers = [
        deployment
            .ready(deployment.start_on(&broken_broker, &["work"]), TAKES)
            .await,
        deployment
            .ready(deployment.start_on(&broken_database, &["work"]), TAKES)
            .await,
    ];
    let rounds = if count > 500 { 8 } else { 3 };
    for round in 0..rounds {
        deployment
            .publish_half_thin(&submissions[round * count / rounds..(round + 1) * count / rounds])
            .await;
        trouble(&to_broker);
        trouble(&settling_to_database);
        tokio::time::sleep(Duration::from_millis(300)).await;
        trouble(&to_database);
        trouble(&settling_to_broker);
    }
    let tally = deployment.tally(scenario, count, before).await;
    assert_eq!(tally.parked, 0, "nobody is blamed: {tally}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_may_be_cut() {
    with_broken_connections("connections cut", Relay::cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_may_stall() {
    with_broken_connections("connections stalled", Relay::stall).await;
}

/// The grace of these workers is 20 s. What is decided is in the database, and waiting for the broker would add nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_broker_does_not_answer_stops_before_its_grace_ends() {
    // As many as are judged at a time.
    let count = 4;
    let deployment = Deployment::new().await;
    let submissions: Vec<_> = mixed("j", 10 * count)
        .into_iter()
        .filter(|submission| submission.plan.as_deref() == Some("judged"))
        .take(count)
        .collect();
    deployment.insert(&submissions).await;
    let before = deployment.money().await;
    let _settler = deployment.settler().await;
    deployment.judge.takes(Duration::from_secs(3600));
    let (to_broker, amqp) = Relay::to(&deployment.urls.amqp).await;
    let urls = Urls {
        amqp,
        database: deployment.urls.database.clone(),
    };
    let worker = deployment
        .ready(deployment.start_on(&urls, &["work"]), TAKES)
        .await;
    deployment.publish(&submissions).await;
    let wait = Duration::from_secs(60);
    deployment
        .until("all are under way", wait, async || {
            deployment.judge.asked() == count as u64
        })
        .await;
    to_broker.slow(Duration::from_secs(3600));
    deployment.judge.takes(Duration::ZERO);
    let decided = "SELECT count(*) FROM assay.decision";
    deployment
        .until("all are decided", wait, async || {
            deployment.count(decided).await == count as i64
        })
        .await;
    let asked = Instant::now();
    assert!(worker.terminate().success());
    assert!(asked.elapsed() < Duration::from_secs(19), "{:?}", asked.elapsed());
    let _next = deployment.worker().await;
    let tally = deployment
        .tally("the broker does not answer", count, before)
        .await;
    assert_eq!(tally.parked, 0, "{tally}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_queue_may_be_purged_while_jobs_are_in_them() {
    let count = jobs();
    let deployment = Deployment::new().await;
    // The plan of a job whose message is lost is the default one.
    let submissions: Vec<_> = mixed("j", count)
        .into_iter()
        .map(|submission| Submission {
            plan: None,
            ..submission
        })
        .collect();
    deployment.insert(&submissions).await;
    let before = deployment.money().await;
    deployment.publish_half_thin(&submissions).await;
    let purge = async || {
        let mut queues = vec![
            Lane::Submitted.queue(),
            Lane::Judge.queue(),
            "assay.settle",
            "assay.parked",
        ];
        queues.extend(Wait::ALL.map(Wait::queue));
        deployment.purge(&queues).await;
    };
    purge().await;
    let depths = deployment.queue.depths().await.unwrap();
    assert!(depths.iter().all(|depth| depth.messages == 0), "{depths:?}");
    let _settler = deployment.settler().await;
    let _workers = [deployment.worker().await, deployment.worker().await];
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        purge().await;
    }
    deployment.tally("every queue purged", count, before).await;
}

impl Deployment {
    pub(super) async fn purge(&self, queues: &[&str]) {
        let connection = lapin::Connection::connect(&self.urls.amqp, lapin::ConnectionProperties::default())
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        for queue in queues {
            let purged = channel.queue_purge((*queue).into(), lapin::options::QueuePurgeOptions::default());
            purged.await.unwrap();
        }
        connection.close(200, "done".into()).await.unwrap();
    }
}

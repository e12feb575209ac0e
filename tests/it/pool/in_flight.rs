//! How many deliveries a worker has under way: never more than it may, whatever its connections do.

use std::time::Duration;

use assay::queue::{Lane, Queue as _};

use super::deployment::{Deployment, Urls};
use super::submission::quick;
use crate::queue::relay::Relay;

const WAIT: Duration = Duration::from_secs(60);
const IN_FLIGHT: u32 = 4;
const JOBS: u32 = 20;

/// The worker's metrics.
async fn metrics(address: &str) -> String {
    assay::tls::install_provider();
    let response = reqwest::get(format!("http://{address}/metrics")).await.unwrap();
    response.text().await.unwrap()
}

/// The deliveries of the first lane that are under way.
async fn in_flight(address: &str) -> u32 {
    let metrics = metrics(address).await;
    let gauge = format!("assay_in_flight{{lane=\"{}\"}} ", Lane::Submitted.queue());
    let value = metrics.lines().find_map(|line| line.strip_prefix(&gauge));
    value.map_or(0, |value| value.parse().unwrap())
}

/// The broker sends a whole prefetch again after every break, while what it sent before still waits for the database.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_under_way_than_may_be_however_often_the_broker_sends_it_again() {
    let deployment = Deployment::new().await;
    deployment.configure(|config| config.replace("listen = \"off\"", "listen = \"127.0.0.1:0\""));
    deployment.in_flight(IN_FLIGHT);
    let submissions = quick("j", JOBS as usize);
    deployment.insert(&submissions).await;
    let (to_broker, amqp) = Relay::to(&deployment.urls.amqp).await;
    let (to_database, database) = Relay::to(&deployment.urls.database).await;
    let worker = deployment.start_on(&Urls { amqp, database }, &["work"]);
    let worker = deployment.ready(worker, "the worker takes jobs").await;
    let address = worker.health();
    to_database.slow(Duration::from_secs(3600));
    deployment.publish(&submissions).await;
    deployment
        .until("as many as may be", WAIT, async || {
            in_flight(&address).await == IN_FLIGHT
        })
        .await;

    let consuming_again = || {
        let again = format!("queue=\"{}\"", Lane::Submitted.queue());
        let log = worker.log();
        log.lines()
            .filter(|line| line.contains("consuming again") && line.contains(&again))
            .count()
    };
    let left = async || {
        let depths = deployment.queue.depths().await.unwrap();
        let lane = depths.iter().find(|depth| depth.queue == Lane::Submitted.queue());
        lane.map_or(0, |depth| depth.messages)
    };
    for cut in 1..=4 {
        to_broker.cut();
        deployment
            .until("the worker consumes again", WAIT, async || {
                consuming_again() >= cut && left().await == JOBS - IN_FLIGHT
            })
            .await;
        let under_way = in_flight(&address).await;
        assert!(under_way <= IN_FLIGHT, "{under_way} after {cut} cuts");
    }

    to_database.slow(Duration::ZERO);
    let decided = "SELECT count(*) FROM assay.decision";
    deployment
        .until("all are decided", 2 * WAIT, async || {
            deployment.count(decided).await == i64::from(JOBS)
        })
        .await;
    assert!(worker.terminate().success());
}

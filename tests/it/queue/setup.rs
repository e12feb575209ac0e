//! What `assay setup` makes and `assay doctor` finds.

use assay::queue::{RabbitQueue, Topology};
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};

use super::settings;
use crate::servers;

#[tokio::test]
async fn the_doctor_tells_what_is_missing_and_what_is_different() {
    let url = servers::amqp_url();
    let topology = Topology::new(true);
    let missing = topology.check(settings(&url)).await.unwrap();
    assert_eq!(missing.len(), topology.queues.len() + topology.exchanges.len());
    assert!(
        missing
            .iter()
            .all(|problem| problem.remedy.contains("assay setup"))
    );

    topology.declare(settings(&url)).await.unwrap();
    topology
        .declare(settings(&url))
        .await
        .expect("declaring twice is no error");
    assert_eq!(topology.check(settings(&url)).await.unwrap(), []);

    let connection = Connection::connect(&url, ConnectionProperties::default())
        .await
        .unwrap();
    let operator = connection.create_channel().await.unwrap();
    operator
        .queue_delete("assay.judge".into(), QueueDeleteOptions::default())
        .await
        .unwrap();
    operator
        .queue_delete("assay.settle".into(), QueueDeleteOptions::default())
        .await
        .unwrap();
    let classic = QueueDeclareOptions::durable();
    operator
        .queue_declare("assay.judge".into(), classic, FieldTable::default())
        .await
        .unwrap();
    let problems = topology.check(settings(&url)).await.unwrap();
    let found: Vec<_> = problems
        .iter()
        .map(|problem| (problem.name, problem.remedy.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (
                "assay.judge",
                "drain and delete the queue `assay.judge`, then run `assay setup`"
            ),
            ("assay.settle", "run `assay setup`"),
        ]
    );
}

#[tokio::test]
async fn a_refused_login_is_told_at_once_and_without_the_password() {
    let url = servers::amqp_url().replace("guest:guest", "guest:hunter2");
    let error = RabbitQueue::connect(settings(&url)).await.err().unwrap();
    let text = format!("{error} {error:?}");
    assert!(!text.contains("hunter2"), "{text}");
    assert!(
        text.contains("ACCESS_REFUSED") || text.contains("ACCESS-REFUSED"),
        "{text}"
    );
}

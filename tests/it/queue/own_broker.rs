//! What takes a broker of one test's own: its restart, its death, its alarm.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use assay::queue::{Destination, Lane, Queue, RabbitQueue, RabbitSettings, Source};

use super::{consume, id, next, outgoing, rabbit, settings, submitted, until};

/// Servers that only this test uses; stopped with it.
pub(crate) struct OwnServers {
    folder: tempfile::TempDir,
    pub(crate) url: String,
    /// The database `postgres` of its superuser.
    pub(crate) database: String,
}

impl OwnServers {
    pub(crate) fn start() -> Self {
        let folder = crate::servers::own_folder();
        servers("start", folder.path(), &[]);
        let exports = servers("env", folder.path(), &[]);
        let exported = |name: &str| {
            let start = format!("export {name}=");
            exports
                .lines()
                .find_map(|line| line.strip_prefix(&start))
                .unwrap()
                .to_owned()
        };
        let url = format!("{}/t1", exported("ASSAY_TEST_AMQP_URL"));
        let database = format!("{}/postgres", exported("ASSAY_TEST_DATABASE_URL"));
        Self {
            folder,
            url,
            database,
        }
    }

    pub(crate) fn command(&self, command: &str, arguments: &[&str]) {
        servers(command, self.folder.path(), arguments);
    }
}

impl Drop for OwnServers {
    fn drop(&mut self) {
        servers("stop", self.folder.path(), &[]);
    }
}

fn servers(command: &str, folder: &Path, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers");
    let output = Command::new(script)
        .arg(command)
        .arg(folder)
        .args(arguments)
        .env("ASSAY_TEST_VHOSTS", "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Consumes and publishes while `trouble` happens to the broker, and after it.
async fn survives(own: &OwnServers, queue: &RabbitQueue, trouble: &[&str]) {
    let mut consumer = consume(queue).await;
    queue.publish(submitted("before")).await.unwrap();
    let before = next(&mut consumer).await;
    own.command(trouble[0], &trouble[1..]);
    assert!(!before.acker.ack().await);
    queue.publish(submitted("after")).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let delivery = next(&mut consumer).await;
        ids.push(id(&delivery).to_owned());
        assert!(delivery.acker.ack().await);
    }
    ids.sort();
    assert_eq!(ids, ["after", "before"]);
    consumer.stop.cancel();
}

/// While memory is short, publishing waits, consuming goes on, and neither connection is given up.
async fn an_alarm_delays(own: &OwnServers, queue: &RabbitQueue) {
    let mut consumer = consume(queue).await;
    queue.publish(submitted("before")).await.unwrap();
    own.command("ctl", &["set_vm_memory_high_watermark", "0.000001"]);
    let published = queue.publish(submitted("a"));
    let blocked = async {
        until("publishing is blocked", async || !queue.health().publishing).await;
        assert!(
            next(&mut consumer).await.acker.ack().await,
            "consuming is not blocked"
        );
        own.command("ctl", &["set_vm_memory_high_watermark", "0.4"]);
    };
    let (published, ()) = tokio::join!(published, blocked);
    published.unwrap();
    assert_eq!(id(&next(&mut consumer).await), "a");
    until("publishing is well", async || queue.health().publishing).await;
}

/// A queue hangs that was well before, as RabbitMQ 3.10 has them after a kill -9; then it answers again.
async fn a_hanging_queue_concerns_nobody_else(own: &OwnServers) {
    let queue = RabbitQueue::connect(RabbitSettings {
        answer_timeout: Duration::from_secs(1),
        ..settings(&own.url)
    })
    .await
    .unwrap();
    let mut well = consume(&queue).await;
    queue.publish(submitted("taken")).await.unwrap();
    let taken = next(&mut well).await;
    let judge = Source::Lane(Lane::Judge);
    queue
        .publish(outgoing(Destination::Lane(Lane::Judge), "waits"))
        .await
        .unwrap();
    let process = format!("whereis('t1_{}')", judge.queue());
    own.command("ctl", &["eval", &format!("sys:suspend({process}).")]);
    // Whoever begins to consume goes on with what answers, and keeps what was delivered to it.
    let mut hanging = queue.consume(judge, 10).await.unwrap();
    assert!(hanging.deliveries.try_recv().is_err());
    until("it is told", async || !queue.health().consuming).await;
    assert!(taken.acker.ack().await);
    assert_eq!(queue.losses(), 0);
    own.command("ctl", &["eval", &format!("sys:resume({process}).")]);
    let waits = next(&mut hanging).await;
    assert_eq!(id(&waits), "waits");
    assert!(waits.acker.ack().await);
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_broker_that_restarts_or_dies_or_hangs_or_raises_an_alarm_loses_nothing() {
    let own = OwnServers::start();
    let queue = rabbit(&own.url).await;
    a_hanging_queue_concerns_nobody_else(&own).await;
    survives(&own, &queue, &["restart", "rabbitmq"]).await;
    survives(&own, &queue, &["restart", "rabbitmq", "--kill"]).await;
    let queue = RabbitQueue::connect(settings(&own.url)).await.unwrap();
    an_alarm_delays(&own, &queue).await;
}

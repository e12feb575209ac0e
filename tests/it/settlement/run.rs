//! Settlement as a process: what it takes from the queue, and what it never acknowledges away.

use std::sync::Arc;
use std::time::Duration;

use assay::health::{Condition, Heart};
use assay::journal::Settled;
use assay::outcome::Outcome;
use assay::queue::{Destination, MemoryQueue, Outgoing, Queue, QueueError, Topology};
use assay::settle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Decision, World};

/// Settlement, running.
struct Running {
    queue: Arc<MemoryQueue>,
    heart: Heart,
    stop: CancellationToken,
    task: JoinHandle<Result<(), QueueError>>,
}

impl Running {
    fn start(world: &World, queue: &Arc<MemoryQueue>) -> Self {
        let stop = CancellationToken::new();
        let shared: Arc<dyn Queue> = Arc::<MemoryQueue>::clone(queue);
        let heart = Heart::default();
        let (settler, beating, stopping) = (world.settler.clone(), heart.clone(), stop.clone());
        let metrics = assay::metrics::Metrics::new();
        let task =
            tokio::spawn(async move { settle::run(shared, settler, metrics, &beating, stopping).await });
        Self {
            queue: Arc::clone(queue),
            heart,
            stop,
            task,
        }
    }

    /// Stops it; the number of outcomes that are in the queue again.
    async fn stop(self) -> u32 {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
        waiting(&self.queue).await
    }
}

async fn waiting(queue: &MemoryQueue) -> u32 {
    let depths = queue.depths().await.unwrap();
    depths
        .iter()
        .find(|depth| depth.queue == "assay.settle")
        .unwrap()
        .messages
}

async fn publish(queue: &MemoryQueue, decision: &Decision) {
    let outgoing = Outgoing {
        to: Destination::Outcome(decision.message.outcome),
        message_id: decision.id().to_string(),
        body: decision.body.clone(),
        traceparent: None,
    };
    queue.publish(outgoing).await.unwrap();
}

/// Waits for what comes about in another task; the bound only catches what hangs.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let look = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while !holds().await {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), look).await.unwrap();
}

fn queue() -> Arc<MemoryQueue> {
    Arc::new(MemoryQueue::new(&Topology::new(true)))
}

#[tokio::test]
async fn outcomes_are_taken_applied_once_and_acknowledged() {
    let world = World::new().await;
    let queue = queue();
    for number in 0..40 {
        let job = world.job(&format!("j{number}"), |_| ()).await;
        let decision = world.decide(&job, Outcome::Verified).await;
        publish(&queue, &decision).await;
        publish(&queue, &decision).await;
    }
    let total = world.total().await;
    let running = Running::start(&world, &queue);
    until(async || world.ledger().await.len() == 40 && waiting(&queue).await == 0).await;
    assert_eq!(running.stop().await, 0);
    assert_eq!(world.ledger().await.len(), 40);
    world.assert_sums(total).await;
}

#[tokio::test]
async fn trouble_of_ours_is_waited_out_and_a_stop_meanwhile_gives_the_outcome_back() {
    let world = World::new().await;
    let queue = queue();
    let job = world.job("j1", |_| ()).await;
    publish(&queue, &world.decide(&job, Outcome::Verified).await).await;
    world
        .execute("ALTER TABLE ledger_entries RENAME TO elsewhere")
        .await;
    let running = Running::start(&world, &queue);
    until(async || waiting(&queue).await == 0).await;
    assert_eq!(running.stop().await, 1);
    let running = Running::start(&world, &queue);
    until(async || waiting(&queue).await == 0).await;
    world
        .execute("ALTER TABLE elsewhere RENAME TO ledger_entries")
        .await;
    until(async || world.ledger().await.len() == 1).await;
    assert_eq!(running.stop().await, 0);
    assert_eq!(world.exceptions().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_waits_is_acknowledged_and_paid_after_the_pause_by_itself() {
    let world = World::new().await;
    let queue = queue();
    world.market.set_pause(true, "ann", "").await.unwrap();
    for number in 0..150 {
        let job = world.job(&format!("j{number}"), |_| ()).await;
        publish(&queue, &world.decide(&job, Outcome::Verified).await).await;
    }
    let running = Running::start(&world, &queue);
    until(async || world.market.held().await.unwrap().len() == 150).await;
    world.market.set_pause(false, "ann", "").await.unwrap();
    until(async || world.ledger().await.len() == 150).await;
    assert_eq!(running.stop().await, 0);
    assert!(world.market.held().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_forged_outcome_in_the_queue_is_an_exception_and_the_next_is_paid() {
    let world = World::new().await;
    let queue = queue();
    let job = world.job("j1", |_| ()).await;
    let genuine = world.decide(&job, Outcome::Verified).await;
    let mut forged = genuine.message.clone();
    forged.receipt.price_cents = Some(1);
    publish(&queue, &Decision::of(forged)).await;
    publish(&queue, &genuine).await;
    let running = Running::start(&world, &queue);
    until(async || world.ledger().await.len() == 1 && world.exceptions().await.len() == 1).await;
    assert_eq!(running.stop().await, 0);
    assert_eq!(world.settle(&genuine).await, Settled::Already);
}

#[tokio::test]
async fn lost_decisions_that_are_in_trouble_keep_no_other_from_being_settled_however_many_they_are() {
    let world = World::new().await;
    let queue = queue();
    for id in World::many_and_two() {
        let job = world.job(&id, |_| ()).await;
        world.decide(&job, Outcome::Verified).await;
    }
    // Their messages never came. Settlement looks at the oldest first.
    world
        .execute("ALTER TABLE assay.decision DISABLE TRIGGER USER")
        .await;
    world
        .execute("UPDATE assay.decision SET decided_at = now() - interval '1 hour' + ascii(job_id) * interval '1 second'")
        .await;
    world.trouble("a-stuck-%").await;
    let running = Running::start(&world, &queue);
    until(async || world.ledger().await.len() == 2).await;
    assert_eq!(running.stop().await, 0);
    assert_eq!(world.exceptions().await, Vec::<String>::new());

    world.trouble_is_over().await;
    let running = Running::start(&world, &queue);
    until(async || world.ledger().await.len() == 103).await;
    assert_eq!(running.stop().await, 0);
}

/// Settlement looks for them every quarter of a minute, and takes a hundred or so at a time: after a broker that hung, thousands.
#[tokio::test]
async fn lost_decisions_are_settled_without_a_pause_however_many_they_are() {
    let world = World::new().await;
    let count = 450;
    for number in 0..count {
        let job = world.job(&format!("j{number}"), |_| ()).await;
        world.decide(&job, Outcome::Verified).await;
    }
    world
        .execute("ALTER TABLE assay.decision DISABLE TRIGGER USER")
        .await;
    world
        .execute("UPDATE assay.decision SET decided_at = now() - interval '1 hour'")
        .await;
    let running = Running::start(&world, &queue());
    until(async || world.ledger().await.len() == count).await;
    assert_eq!(running.stop().await, 0);
}

/// What a probe tells of settlement: [`crate::health`] has what becomes of a loop that stands still.
#[tokio::test]
async fn each_loop_of_settlement_has_a_pulse_for_as_long_as_it_runs() {
    let world = World::new().await;
    let running = Running::start(&world, &queue());
    let heart = running.heart.clone();
    let loops = [Condition::good("release"), Condition::good("assay.settle")];
    until(async || heart.loops() == loops).await;
    running.stop().await;
    assert_eq!(heart.loops(), []);
}

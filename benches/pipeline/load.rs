//! Jobs in, outcomes out.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::{Duration, Instant};

use assay::job::Job;
use assay::message::{PlanChoice, SubmittedJob, Work};
use assay::queue::{Lane, Source};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};
use serde_json::json;

use crate::site::Site;
use crate::wire::{self, Wire};

/// Without an outcome for so long, something is wrong.
const SILENCE: Duration = Duration::from_secs(60);

/// How often the even load publishes what is due, and looks for what has come.
const TICK: Duration = Duration::from_millis(1);

/// How often the even load acknowledges the outcomes that have come.
const ACKNOWLEDGE: Duration = Duration::from_millis(10);

/// Outcomes of the first moments, while caches and plans are cold, do not count.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);

/// 2 KB of text.
pub(crate) fn expected() -> String {
    text("and all of it agrees")
}

fn text(last: &str) -> String {
    let mut text = String::new();
    for line in 0..36 {
        let _ = writeln!(
            text,
            "{line:04} lorem ipsum {:05} dolor sit amet, consectetur {:x}",
            line * 31 % 997,
            line * 7919
        );
    }
    text.push_str(last);
    text
}

/// Every id is as long as any other, and so is what comes of it.
pub(crate) fn id(number: u32) -> String {
    format!("bench-{number:08}")
}

/// Jobs whose judge writes for a while have ids above those of all others.
const SLOW: u32 = 90_000_000;

/// The job that is taken before the even load begins has an id above those of the load.
const FIRST: u32 = 80_000_000;

/// The id of a job whose judge writes for a while.
pub(crate) fn slow_id(number: u32) -> String {
    id(SLOW + number)
}

/// The message of one job, as a marketplace sends it.
pub(crate) fn body(number: u32) -> Vec<u8> {
    let job: Job = serde_json::from_value(json!({
        "id": id(number), "status": "submitted", "title": "Lorem", "prompt": "Write the text.", "sender": "sender",
        "receiver": "receiver", "price_cents": 100, "output_text": text("and the last line differs"),
        "created_at": "2026-11-24T09:00:00Z", "updated_at": "2026-11-24T09:00:00Z",
    }))
    .unwrap();
    let message = SubmittedJob {
        work: Work::Whole(Box::new(job)),
        plan: Some(PlanChoice::Named(
            if number < SLOW { "bench" } else { "slow" }.to_owned(),
        )),
    };
    message.to_json().unwrap()
}

/// The job that an outcome is about.
fn number(outcome: &[u8]) -> usize {
    let key = b"\"job_id\":\"bench-";
    let at = memchr::memmem::find(outcome, key).unwrap() + key.len();
    std::str::from_utf8(&outcome[at..at + 8])
        .unwrap()
        .parse()
        .unwrap()
}

pub(crate) async fn channel(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .unwrap();
    (connection, channel)
}

/// Publishes jobs; returns when the broker has them.
pub(crate) async fn publish(site: &Site, numbers: Range<u32>) {
    let (connection, channel) = channel(&site.amqp).await;
    let numbers: Vec<_> = numbers.collect();
    for some in numbers.chunks(500) {
        for confirmed in join_all(
            some.iter()
                .map(async |&number| submit(&channel, number, &body(number)).await),
        )
        .await
        {
            assert!(confirmed.unwrap().await.unwrap().is_ack());
        }
    }
    connection.close(200, "done".into()).await.unwrap();
}

/// Publishes a job whose judge writes for a while.
pub(crate) async fn publish_slow(site: &Site, number: u32) {
    publish(site, SLOW + number..SLOW + number + 1).await;
}

/// Gives back the wait for the broker's confirmation.
async fn submit(
    channel: &Channel,
    number: u32,
    body: &[u8],
) -> lapin::Result<impl Future<Output = lapin::Result<Confirmation>> + use<>> {
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(id(number).into());
    channel
        .basic_publish(
            "".into(),
            Lane::Submitted.queue().into(),
            BasicPublishOptions::default(),
            body,
            properties,
        )
        .await
}

/// When the outcome of each job came.
pub(crate) struct Outcomes {
    _connection: Connection,
    consumer: Consumer,
    came: Vec<Option<Instant>>,
    left: usize,
    twice: u32,
}

impl Outcomes {
    /// Listens for the outcomes of so many jobs.
    pub(crate) async fn of(site: &Site, jobs: u32) -> Self {
        let (connection, channel) = channel(&site.amqp).await;
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let consumer = channel
            .basic_consume(
                Source::Settle.queue().into(),
                "".into(),
                options,
                FieldTable::default(),
            )
            .await
            .unwrap();
        Self {
            _connection: connection,
            consumer,
            came: vec![None; jobs as usize],
            left: jobs as usize,
            twice: 0,
        }
    }

    /// Waits for all of them.
    pub(crate) async fn all(&mut self) {
        while self.left > 0 {
            let number = self.next().await;
            let Some(came) = self.came.get_mut(number) else {
                continue;
            };
            if came.replace(Instant::now()).is_none() {
                self.left -= 1;
            } else {
                self.twice += 1;
            }
        }
    }

    /// Waits for one, and gives back which job it is about.
    async fn next(&mut self) -> usize {
        let next = tokio::time::timeout(SILENCE, self.consumer.next()).await;
        number(&next.unwrap().unwrap().unwrap().data)
    }

    pub(crate) fn between_first_and_last(&self) -> Duration {
        let first = self.came.iter().flatten().min().unwrap();
        let last = self.came.iter().flatten().max().unwrap();
        *last - *first
    }

    /// Outcomes that came more than once.
    pub(crate) fn twice(&self) -> u32 {
        self.twice
    }
}

/// Takes one job through: whoever takes them is at work after that.
pub(crate) async fn first(site: &Site) {
    let mut outcomes = Outcomes::of(site, 0).await;
    publish(site, FIRST..FIRST + 1).await;
    outcomes.next().await;
}

/// Publishes evenly at `rate` jobs a second for `time`; gives back how long each took from when it was due to its outcome,
/// without those of the first moments. A load that is late itself makes nothing look faster.
pub(crate) async fn steadily(site: &Site, rate: f64, time: Duration) -> Vec<Duration> {
    let jobs = (rate * (time + WARM_UP).as_secs_f64()) as u32;
    // Made beforehand: who makes them takes the processor from those who are measured.
    let publications = tokio::task::spawn_blocking(move || {
        let made =
            (0..jobs).map(|number| wire::publication(Lane::Submitted.queue(), &id(number), body(number)));
        made.collect::<Vec<_>>()
    });
    let publications = publications.await.unwrap();
    let [mut outcomes, mut submissions] = [(); 2].map(|()| Wire::connect(&site.amqp, SILENCE));
    outcomes.consume(Source::Settle.queue());
    let began = Instant::now();
    let due = move |number: u32| began + Duration::from_secs_f64(f64::from(number) / rate);
    let taking = tokio::task::spawn_blocking(move || take(&mut outcomes, jobs));
    let publishing = tokio::task::spawn_blocking(move || {
        publish_when_due(&mut submissions, &publications, due);
        // With its connection the broker drops what it has read of it and not routed yet: it stays open until all is through.
        submissions
    });
    let came = taking.await.unwrap();
    publishing.await.unwrap();
    let all = (0..jobs).map(due).zip(came);
    all.filter(|(due, _)| *due >= began + WARM_UP)
        .map(|(due, came)| came - due)
        .collect()
}

fn publish_when_due(wire: &mut Wire, publications: &[Vec<u8>], due: impl Fn(u32) -> Instant) {
    let mut left = (0..).zip(publications).peekable();
    while left.peek().is_some() {
        std::thread::sleep(TICK);
        let now = Instant::now();
        let mut some = Vec::new();
        while let Some((_, publication)) = left.next_if(|(number, _)| due(*number) <= now) {
            some.extend_from_slice(publication);
        }
        wire.send(&some);
    }
}

/// Gives back when the outcome of each job came.
fn take(wire: &mut Wire, jobs: u32) -> Vec<Instant> {
    let mut came = vec![None; jobs as usize];
    let mut left = came.len();
    let mut acknowledged = Instant::now();
    while left > 0 {
        let bodies = wire.bodies();
        let now = Instant::now();
        if now - acknowledged >= ACKNOWLEDGE {
            wire.acknowledge();
            acknowledged = now;
        }
        for body in bodies {
            let Some(came) = came.get_mut(number(&body)) else {
                continue;
            };
            if came.replace(now).is_none() {
                left -= 1;
            }
        }
        // One look each tick: being woken for each message would cost more than all else here.
        std::thread::sleep(TICK);
    }
    came.into_iter().flatten().collect()
}

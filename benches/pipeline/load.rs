//! Jobs in, outcomes out: over connections that cost next to nothing ([`Wire`]), whoever takes the jobs and however many come.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use assay::queue::{Lane, Source};
use tokio::task::JoinHandle;

use crate::IN_FLIGHT;
use crate::jobs::{self, FIRST};
use crate::site::Site;
use crate::wire::{self, Wire};

/// Without an outcome for so long, something is wrong.
const SILENCE: Duration = Duration::from_secs(60);

/// How often jobs are published, and how often what has come is looked for.
const TICK: Duration = Duration::from_millis(1);

/// How often the outcomes that have come are acknowledged.
const ACKNOWLEDGE: Duration = Duration::from_millis(10);

/// Outcomes of the first moments, while caches and plans are cold, do not count.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);

/// Jobs that a full load is ahead of their outcomes: most of them lie in the queue.
const AHEAD: u32 = 4 * IN_FLIGHT as u32;

/// Listens for outcomes.
pub(crate) struct Outcomes {
    taking: JoinHandle<Came>,
    /// Jobs whose outcome has come.
    taken: Arc<AtomicU32>,
}

/// When the outcome of each job came first, in the order of the jobs.
pub(crate) struct Came {
    at: Vec<Instant>,
    /// Outcomes that came more than once.
    pub(crate) twice: u32,
}

impl Outcomes {
    /// Listens for the outcomes of these jobs; others are let pass.
    pub(crate) fn of(site: &Site, jobs: Range<u32>) -> Self {
        let mut wire = Wire::connect(&site.amqp, SILENCE);
        wire.consume(Source::Settle.queue());
        let taken = Arc::new(AtomicU32::new(0));
        let counted = taken.clone();
        Self {
            taking: tokio::task::spawn_blocking(move || take(&mut wire, jobs, &counted)),
            taken,
        }
    }

    /// Waits for all of them.
    pub(crate) async fn all(self) -> Came {
        self.taking.await.unwrap()
    }
}

impl Came {
    pub(crate) fn between_first_and_last(&self) -> Duration {
        let first = self.at.iter().min().unwrap();
        let last = self.at.iter().max().unwrap();
        *last - *first
    }
}

/// Takes one job through: whoever takes them is at work after that.
pub(crate) async fn first(site: &Site) {
    let outcomes = Outcomes::of(site, FIRST..FIRST + 1);
    jobs::publish(site, FIRST).await;
    outcomes.all().await;
}

/// A load whose jobs are published by a thread of its own.
pub(crate) struct Load {
    outcomes: Outcomes,
    publishing: JoinHandle<Wire>,
}

impl Load {
    /// Has whoever takes jobs never wait for one: while there are any left, one is published for each outcome that comes.
    pub(crate) async fn full(site: &Site, jobs: u32) -> Self {
        let publications = publications(jobs).await;
        let outcomes = Outcomes::of(site, 0..jobs);
        let taken = outcomes.taken.clone();
        let publishing = publish(site, publications, move || taken.load(Ordering::Relaxed) + AHEAD);
        Self { outcomes, publishing }
    }

    /// Waits until every outcome has come.
    pub(crate) async fn all(self) -> Came {
        let came = self.outcomes.all().await;
        // With its connection the broker drops what it has read of it and not routed yet: it stays open until all is through.
        self.publishing.await.unwrap();
        came
    }
}

/// Publishes evenly at `rate` jobs a second for `time`; gives back how long each took from when it was due to its outcome,
/// without those of the first moments. A load that is late itself makes nothing look faster.
pub(crate) async fn steadily(site: &Site, rate: f64, time: Duration) -> Vec<Duration> {
    let jobs = (rate * (time + WARM_UP).as_secs_f64()) as u32;
    let publications = publications(jobs).await;
    let outcomes = Outcomes::of(site, 0..jobs);
    let began = Instant::now();
    let publishing = publish(site, publications, move || {
        (began.elapsed().as_secs_f64() * rate) as u32 + 1
    });
    let came = Load { outcomes, publishing }.all().await;
    let due = |number: u32| began + Duration::from_secs_f64(f64::from(number) / rate);
    let all = (0..jobs).map(due).zip(came.at);
    all.filter(|(due, _)| *due >= began + WARM_UP)
        .map(|(due, came)| came - due)
        .collect()
}

/// Made beforehand: who makes them takes the processor from those who are measured.
async fn publications(jobs: u32) -> Vec<Vec<u8>> {
    let making = tokio::task::spawn_blocking(move || {
        let queue = Lane::Submitted.queue();
        let made = (0..jobs).map(|number| wire::publication(queue, &jobs::id(number), jobs::body(number)));
        made.collect()
    });
    making.await.unwrap()
}

/// Publishes each tick as many in all as are `wanted` by then, until there are no more.
fn publish(
    site: &Site,
    publications: Vec<Vec<u8>>,
    wanted: impl Fn() -> u32 + Send + 'static,
) -> JoinHandle<Wire> {
    let mut wire = Wire::connect(&site.amqp, SILENCE);
    tokio::task::spawn_blocking(move || {
        let mut published = 0;
        while published < publications.len() {
            std::thread::sleep(TICK);
            let until = publications.len().min(wanted() as usize);
            wire.send(&publications[published..until].concat());
            published = until;
        }
        wire
    })
}

fn take(wire: &mut Wire, jobs: Range<u32>, taken: &AtomicU32) -> Came {
    let mut came = vec![None; jobs.len()];
    let (mut left, mut twice) = (came.len(), 0);
    let mut acknowledged = Instant::now();
    while left > 0 {
        let bodies = wire.bodies();
        let now = Instant::now();
        if now - acknowledged >= ACKNOWLEDGE {
            wire.acknowledge();
            acknowledged = now;
        }
        for body in bodies {
            let index = jobs::number(&body).checked_sub(jobs.start);
            let Some(came) = index.and_then(|index| came.get_mut(index as usize)) else {
                continue;
            };
            if came.replace(now).is_none() {
                left -= 1;
                taken.fetch_add(1, Ordering::Relaxed);
            } else {
                twice += 1;
            }
        }
        // One look each tick: being woken for each message would cost more than all else here.
        std::thread::sleep(TICK);
    }
    let at = came.into_iter().flatten().collect();
    Came { at, twice }
}

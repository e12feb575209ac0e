//! How many jobs a second one worker takes, beside a bare floor, and how long a job takes at half of that.
//!
//!     tests/servers run cargo bench --profile dev --bench pipeline -- --jobs 20000 --rounds 3 --parts 3
//!
//! A job is a hand-in of 2 KB that one diff grader compares with 2 KB of expected text: one line differs, so that the log has
//! four entries (it begins, the difference, the grader's verdict, the decision). The floor ([`floor`]) makes what no worker can do
//! without, and grades nothing; both run in turns, each time in a fresh database and in empty queues. Jobs are published, and their
//! outcomes taken, over connections that cost next to nothing ([`wire`]): all of this shares the same cores.
//!
//! At full load the next job is published when an outcome has come, so that the queue never runs empty and takes in as many as it
//! gives away; jobs a second are counted between the first outcome and the last. At half of that, jobs come evenly, and each is timed
//! from when it was due, while the disk is asked how long it takes to keep a block ([`disk`]). Both are measured several times, in
//! turns: what such a machine does in a second changes within minutes.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench that cannot go on has failed; which servers there are is told by the environment"
)]

mod disk;
mod entries;
mod figures;
mod floor;
mod jobs;
mod load;
mod model;
mod process;
mod site;
mod wire;

use std::process::Command;
use std::time::Duration;

use clap::Parser;
use disk::Disk;
use figures::{Window, median, print, print_ratio, print_seconds, print_times, print_windows};
use load::{Load, Outcomes};
use model::Model;
use process::{Cost, Process, Servers};
use site::{Site, Template};

/// Deliveries under way at a time: the worker's default, and the floor's.
const IN_FLIGHT: u16 = 512;

/// How long the disk rests before a latency is measured.
const REST: Duration = Duration::from_secs(5);

#[derive(Debug, Parser)]
struct Arguments {
    /// Jobs of each round.
    #[arg(long, default_value_t = 20_000)]
    jobs: u32,
    /// Rounds of each part; in each both are measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Parts: some rounds at full load, then the latency at half of what the worker took in them.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    parts: u32,
    /// Seconds for which the latency is measured in each part; 0: not at all. A few times in half a minute of such a load all stands
    /// still for a moment: RabbitMQ empties its full write-ahead log, and the system writes what is half a minute old. In fewer seconds
    /// it is left to chance how much of that is seen.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Jobs a second at which the latency is measured, instead of half of what the worker took.
    #[arg(long)]
    rate: Option<f64>,
    /// Measures only the worker.
    #[arg(long)]
    no_floor: bool,
    /// What cargo says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Who takes the jobs.
#[derive(Clone, Copy)]
enum Taker {
    Floor,
    Worker,
}

/// One round of one taker.
struct Round {
    rate: f64,
    own: Cost,
    servers: Servers,
}

#[tokio::main]
async fn main() {
    if let Some(site) = std::env::var_os(floor::SITE) {
        return floor::run(&site).await;
    }
    let arguments = Arguments::parse();
    let template = calibrate().await;
    println!(
        "message {} bytes, {} log entries of {} bytes, outcome {} bytes; {} jobs a round, {IN_FLIGHT} in flight",
        jobs::body(0).len(),
        template.entries.len(),
        template
            .entries
            .iter()
            .map(|entry| entry.content.len())
            .sum::<usize>(),
        template.outcome.len(),
        arguments.jobs,
    );
    let (mut floors, mut workers) = (Vec::new(), Vec::new());
    let (mut of_floor, mut of_worker) = (Vec::new(), Vec::new());
    let time = Duration::from_secs(arguments.seconds.into());
    for _ in 0..arguments.parts {
        let of_this_part = workers.len();
        for round in 0..arguments.rounds {
            // In turns: a machine that grows slower, or faster, wrongs neither.
            let mut takers = [Taker::Floor, Taker::Worker];
            takers.rotate_left(round as usize % 2);
            for taker in takers {
                let rounds = match taker {
                    Taker::Floor if arguments.no_floor => continue,
                    Taker::Floor => &mut floors,
                    Taker::Worker => &mut workers,
                };
                rounds.push(throughput(taker, &template, arguments.jobs).await);
            }
        }
        if !time.is_zero() {
            let taken = workers[of_this_part..].iter().map(|round| round.rate);
            let rate = arguments.rate.unwrap_or(median(taken).0 / 2.0);
            if !arguments.no_floor {
                of_floor.push(latency(Taker::Floor, &template, rate, time).await);
            }
            of_worker.push(latency(Taker::Worker, &template, rate, time).await);
        }
    }
    println!(
        "\n| | jobs/s: median (range) | its CPU s per 1,000 jobs | RabbitMQ's and PostgreSQL's | peak MB |"
    );
    println!("| --- | --- | --- | --- | --- |");
    print("worker", &workers, arguments.jobs);
    if !arguments.no_floor {
        print("floor", &floors, arguments.jobs);
        print_ratio(&workers, &floors);
    }
    println!();
    if !of_floor.is_empty() {
        print_windows("the floor, ", &of_floor);
    }
    if let Some(last) = of_worker.last() {
        print_windows("", &of_worker);
        entries_latency(last.rate, time).await;
    }
}

/// What one job leaves behind: the floor writes the same for each of its own.
async fn calibrate() -> Template {
    let site = Site::fresh().await;
    let outcomes = Outcomes::of(&site, 0..1);
    jobs::publish(&site, 0).await;
    let worker = Process::worker(&site);
    outcomes.all().await;
    drop(worker);
    let template = site.template().await;
    site.remove().await;
    template
}

async fn throughput(taker: Taker, template: &Template, jobs: u32) -> Round {
    let site = Site::fresh().await;
    let servers = Servers::now();
    let load = Load::full(&site, jobs).await;
    let process = match taker {
        Taker::Floor => Process::floor(&site, template),
        Taker::Worker => Process::worker(&site),
    };
    let came = load.all().await;
    let seconds = came.between_first_and_last().as_secs_f64();
    let round = Round {
        rate: f64::from(jobs - 1) / seconds,
        own: process.cost(),
        servers: Servers::now().since(&servers),
    };
    eprintln!(
        "{}: {:.0} jobs/s, {:.2} s of CPU, servers {}, {} outcomes twice",
        match taker {
            Taker::Floor => "floor",
            Taker::Worker => "worker",
        },
        round.rate,
        round.own.cpu.as_secs_f64(),
        round.servers,
        came.twice
    );
    drop(process);
    site.remove().await;
    round
}

/// From a job's publishing to its outcome, while jobs come evenly at `rate` a second.
async fn latency(taker: Taker, template: &Template, rate: f64, time: Duration) -> Window {
    let site = rested(rate, time).await;
    let (process, who) = match taker {
        Taker::Floor => (Process::floor(&site, template), "the floor, "),
        Taker::Worker => (Process::worker(&site), ""),
    };
    load::first(&site).await;
    let disk = Disk::watch();
    let times = load::steadily(&site, rate, time).await;
    let disk = disk.waits().await;
    drop(process);
    print_seconds(
        &format!("{who}from submission to outcome at {rate:.0} jobs/s"),
        rate,
        &times,
    );
    site.remove().await;
    Window { rate, times, disk }
}

/// What the entries of a judge that still writes take to be there for everybody, on an idle system and while other jobs come
/// evenly at `rate` a second. Not together with [`latency`]: looking for the entries every other millisecond costs a tenth of a
/// processor.
async fn entries_latency(rate: f64, time: Duration) {
    let site = rested(rate, time).await;
    let model = Model::start().await;
    let process = Process::judging(&site, &model.base_url);
    // The first connects.
    entries::seen(&site, &model, 0, 1).await;
    let idle = entries::seen(&site, &model, 1, 10).await;
    let slow = u32::try_from(time.as_secs() / 2).unwrap();
    let (_, loaded) = tokio::join!(
        load::steadily(&site, rate, time),
        entries::seen(&site, &model, 11, slow)
    );
    drop(process);
    for (seen, when) in [
        (&idle, "idle".to_owned()),
        (&loaded, format!("at {rate:.0} jobs/s")),
    ] {
        print_times(
            &format!("from an entry's happening until it is read, {when}"),
            &seen.ages,
        );
        print_times(
            &format!("from a model's first token to its entry, {when}"),
            &seen.first_words,
        );
    }
    site.remove().await;
}

/// A site on servers that an even load finds as it would after a while.
///
/// The system has written what the rounds before left in its memory: it would do so half a minute later, in the middle of what is
/// measured, and whoever commits meanwhile would wait for megabytes that are none of his. The disk has rested: a shared one that was
/// just written to at full speed is slow for a while.
async fn rested(rate: f64, time: Duration) -> Site {
    let site = Site::fresh().await;
    site.make_segments(segments(rate, time)).await;
    assert!(Command::new("sync").status().unwrap().success());
    tokio::time::sleep(REST).await;
    site
}

/// As many segments of the write-ahead log as the even load fills, and half as many again: up to 10 KB a job.
fn segments(rate: f64, time: Duration) -> u32 {
    const SEGMENT: f64 = 16e6;
    (rate * (time + load::WARM_UP).as_secs_f64() * 10e3 / SEGMENT * 1.5) as u32
}

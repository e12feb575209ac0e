//! How many jobs a second one worker takes, beside a bare floor, and how long a job takes at half of that.
//!
//!     tests/servers run cargo bench --profile dev --bench pipeline -- --jobs 20000 --rounds 5
//!
//! A job is a hand-in of 2 KB that one diff grader compares with 2 KB of expected text: one line differs, so that the log has
//! four entries (it begins, the difference, the grader's verdict, the decision). All jobs lie in the queue before the
//! worker starts; jobs a second are counted between the first outcome and the last. The floor ([`floor`]) makes what no worker
//! can do without, and grades nothing; both run in turns, each time in a fresh database and in empty queues. An ordinary client
//! takes the outcomes then, of both alike, on the same cores: what it costs is in both figures, and brings them closer together.
//!
//! At half of that, jobs come evenly, over a connection that costs next to nothing ([`wire`]), and each is timed from when it was due.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench that cannot go on has failed; which servers there are is told by the environment"
)]

mod entries;
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
    /// Rounds; in each both are measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds for which the latency is measured; 0: not at all. Twice in half a minute of such a load all stands still for a quarter
    /// of a second: RabbitMQ empties its full write-ahead log, and the system writes what is half a minute old. In fewer seconds it is
    /// left to chance how much of that is seen.
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
    println!(
        "\n| | jobs/s: median (range) | its CPU s per 1,000 jobs | RabbitMQ's and PostgreSQL's | peak MB |"
    );
    println!("| --- | --- | --- | --- | --- |");
    let worker = print("worker", &workers, arguments.jobs);
    if !arguments.no_floor {
        print("floor", &floors, arguments.jobs);
        print_ratio(&workers, &floors);
    }
    if arguments.seconds > 0 {
        println!();
        let (rate, time) = (
            arguments.rate.unwrap_or(worker / 2.0),
            Duration::from_secs(arguments.seconds.into()),
        );
        if !arguments.no_floor {
            latency(Taker::Floor, &template, rate, time).await;
        }
        latency(Taker::Worker, &template, rate, time).await;
        entries_latency(rate, time).await;
    }
}

/// What one job leaves behind: the floor writes the same for each of its own.
async fn calibrate() -> Template {
    let site = Site::fresh().await;
    let outcomes = Outcomes::of(&site, 0..1);
    jobs::publish(&site, 0..1).await;
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

/// Prints one row, and gives back the median of the rates.
fn print(who: &str, rounds: &[Round], jobs: u32) -> f64 {
    let median = |of: fn(&Round) -> f64| median(rounds.iter().map(of));
    let thousands = f64::from(jobs) / 1000.0;
    let (rate, lowest, highest) = median(|round| round.rate);
    let own = median(|round| round.own.cpu.as_secs_f64()).0 / thousands;
    let servers = median(|round| round.servers.cpu().as_secs_f64()).0 / thousands;
    let peak = median(|round| round.own.peak_megabytes).2;
    println!("| {who} | {rate:.0} ({lowest:.0} to {highest:.0}) | {own:.3} | {servers:.3} | {peak:.0} |");
    rate
}

/// Prints what the worker took beside the floor, round by round: the two of a round ran one after the other.
fn print_ratio(workers: &[Round], floors: &[Round]) {
    let pairs = workers.iter().zip(floors);
    let (ratio, lowest, highest) = median(pairs.map(|(worker, floor)| worker.rate / floor.rate));
    println!("\nworker / floor: {ratio:.2} ({lowest:.2} to {highest:.2})");
}

/// The median, the lowest and the highest.
fn median(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    (
        f64::midpoint(values[last / 2], values[values.len() / 2]),
        values[0],
        values[last],
    )
}

/// From a job's publishing to its outcome, while jobs come evenly at `rate` a second.
async fn latency(taker: Taker, template: &Template, rate: f64, time: Duration) {
    let site = rested(rate, time).await;
    let (process, who) = match taker {
        Taker::Floor => (Process::floor(&site, template), "the floor, "),
        Taker::Worker => (Process::worker(&site), ""),
    };
    load::first(&site).await;
    let times = load::steadily(&site, rate, time).await;
    drop(process);
    let what = format!("{who}from submission to outcome at {rate:.0} jobs/s");
    print_times(&what, &times);
    print_seconds(&what, rate, &times);
    site.remove().await;
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

/// The same of each second: where the disk of a shared machine stalls now and then, whole seconds are slow and the others tell
/// what the worker takes.
fn print_seconds(what: &str, rate: f64, times: &[Duration]) {
    let p95s: Vec<_> = times
        .chunks(rate.max(1.0) as usize)
        .map(|second| milliseconds_at(0.95, &sorted(second)))
        .collect();
    let one_by_one: Vec<_> = p95s.iter().map(|p95| format!("{p95:.0}")).collect();
    eprintln!("{what}: p95 of each second in turn: {} ms", one_by_one.join(" "));
    let (middle, best, worst) = median(p95s.into_iter());
    println!("{what}: p95 of each second: best {best:.1} ms, median {middle:.1} ms, worst {worst:.1} ms");
}

fn sorted(times: &[Duration]) -> Vec<Duration> {
    let mut times = times.to_vec();
    times.sort_unstable();
    times
}

fn milliseconds_at(part: f64, times: &[Duration]) -> f64 {
    times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0
}

fn print_times(what: &str, times: &[Duration]) {
    let times = sorted(times);
    let at = |part: f64| milliseconds_at(part, &times);
    println!(
        "{what}: p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, longest {:.1} ms of {}",
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0),
        times.len()
    );
}

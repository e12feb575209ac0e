//! What judging costs beside the model's own time, and whether workers that share a budget keep to it and use it.
//!
//!     tests/servers run cargo bench --profile dev --bench judge
//!
//! The model is a server of ours in a process of its own, which answers after 300 ms. Nothing is judged that matters: what is
//! measured is how calls are let through. The shared parts take five minutes, since a minute's budget is counted.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench that cannot go on has failed; which servers there are is told by the environment"
)]

mod client;
mod server;

use std::time::{Duration, Instant};

use assay::journal::PgJournal;
use client::{Client, Task};
use server::{Arrival, Server};

/// Calls at a time.
const CONNECTIONS: u32 = 50;
/// Calls in all.
const CALLS: u32 = 1_000;
/// Tokens a minute of the shared budget.
const TOKENS: u64 = 30_000;
/// Requests a minute of the shared budget.
const BUDGET: u32 = 600;

#[tokio::main]
async fn main() {
    if std::env::var_os(server::ROLE).is_some() {
        return server::run().await;
    }
    if let Ok(task) = std::env::var(client::ROLE) {
        return client::run(serde_json::from_str(&task).unwrap()).await;
    }
    pipelined().await;
    shared().await;
    tokens().await;
}

/// Many calls at a time of one process.
async fn pipelined() {
    let server = Server::start();
    let ideal = server::DELAY.as_secs_f64() * f64::from(CALLS / CONNECTIONS);
    let client = Client::start(&Task {
        parallel: 200,
        calls: CALLS,
        max_concurrent: CONNECTIONS as usize,
        ..Task::new(&server, "alone")
    });
    let told = client.wait();
    println!(
        "{CALLS} rubric calls, {CONNECTIONS} at a time, answers after {} ms: {:.2} s, ideal {ideal:.2} s ({:.3} of it), \
         {:.2} CPU seconds",
        server::DELAY.as_millis(),
        told.seconds,
        told.seconds / ideal,
        told.cpu_seconds
    );
}

/// Three processes with one budget: one works alone, then all three, then one of them is killed.
async fn shared() {
    let database = database().await;
    let server = Server::start();
    let task = |name: &str, start_after: u64| Task {
        parallel: 40,
        calls: u32::MAX,
        max_concurrent: 40,
        requests_per_minute: Some(BUDGET),
        database: Some(database.clone()),
        start_after,
        ..Task::new(&server, name)
    };
    let began = Instant::now();
    let until = |seconds: u64| {
        let left = Duration::from_secs(seconds).saturating_sub(began.elapsed());
        tokio::time::sleep(left)
    };
    let clients = [("a", 0), ("b", 75), ("c", 75)].map(|(name, after)| Client::start(&task(name, after)));
    until(150).await;
    let [first, second, third] = clients;
    third.kill();
    let killed_at = began.elapsed().as_secs_f64();
    until(180).await;
    first.kill();
    second.kill();
    let arrivals = server.arrivals().await;
    let within = |from: f64, to: f64| {
        arrivals
            .iter()
            .filter(|arrival| (from..to).contains(&arrival.at))
            .count()
    };
    println!(
        "budget of {BUDGET} a minute shared by three processes: at most {} in any 60 s at the server; {} in a minute of one \
         process with work, {} in a minute of three",
        most_in_a_minute(&arrivals),
        within(10.0, 70.0),
        within(88.0, 148.0)
    );
    for name in ["a", "b", "c"] {
        let of = arrivals.iter().filter(|arrival| arrival.who == name);
        println!("  {name}: {} requests", of.count());
    }
    // In five seconds the whole budget is 50 requests.
    let whole = f64::from(BUDGET) / 12.0 * 0.9;
    let taken_over = (0..30).map(f64::from).find(|after| {
        let from = killed_at + after;
        within(from, from + 5.0) as f64 >= whole
    });
    match taken_over {
        Some(after) => println!("one was killed: the others had its share after {after:.0} s"),
        None => println!("one was killed: its share was not taken over within 25 s"),
    }
}

/// Three processes whose calls are large beside the tokens that they share.
async fn tokens() {
    let database = database().await;
    let server = Server::start();
    let clients = ["a", "b", "c"].map(|name| {
        Client::start(&Task {
            parallel: 20,
            calls: u32::MAX,
            max_concurrent: 20,
            tokens_per_minute: Some(TOKENS),
            database: Some(database.clone()),
            ..Task::new(&server, name)
        })
    });
    tokio::time::sleep(Duration::from_secs(135)).await;
    for client in clients {
        client.kill();
    }
    let arrivals = server.arrivals().await;
    let used = |calls: usize| calls as u64 * server::TOKENS.iter().sum::<u64>();
    let steady = arrivals
        .iter()
        .filter(|arrival| (70.0..130.0).contains(&arrival.at));
    println!(
        "budget of {TOKENS} tokens a minute shared by three processes, as the server counts them: at most {} in any 60 s, {} in \
         a minute of three with work",
        used(most_in_a_minute(&arrivals)),
        used(steady.count())
    );
}

fn most_in_a_minute(arrivals: &[Arrival]) -> usize {
    let mut most = 0;
    for (index, first) in arrivals.iter().enumerate() {
        let within = arrivals[index..]
            .iter()
            .take_while(|arrival| arrival.at < first.at + 60.0)
            .count();
        most = most.max(within);
    }
    most
}

/// A fresh database with our tables.
async fn database() -> String {
    let Ok(server) = std::env::var("ASSAY_TEST_DATABASE_URL") else {
        panic!("run it by `tests/servers run cargo bench --profile dev --bench judge`")
    };
    let admin = PgJournal::connect(&format!("{server}/postgres"), 1)
        .await
        .unwrap();
    for statement in [
        "DROP DATABASE IF EXISTS bench_judge",
        "CREATE DATABASE bench_judge",
    ] {
        sqlx::query(statement).execute(&admin.pool()).await.unwrap();
    }
    let url = format!("{server}/bench_judge");
    PgJournal::connect(&url, 1).await.unwrap().set_up().await.unwrap();
    url
}

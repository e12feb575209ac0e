//! What was measured, as it is shown.

use std::time::Duration;

use crate::Round;
use crate::disk::STALL;

/// How long the jobs of a while took, while they came evenly.
pub(crate) struct Window {
    /// Jobs a second.
    pub(crate) rate: f64,
    pub(crate) times: Vec<Duration>,
    /// What the disk took meanwhile to keep a block, asked over and over.
    pub(crate) disk: Vec<Duration>,
}

/// Prints one row.
pub(crate) fn print(who: &str, rounds: &[Round], jobs: u32) {
    let median = |of: fn(&Round) -> f64| median(rounds.iter().map(of));
    let thousands = f64::from(jobs) / 1000.0;
    let (rate, lowest, highest) = median(|round| round.rate);
    let own = median(|round| round.own.cpu.as_secs_f64()).0 / thousands;
    let servers = median(|round| round.servers.cpu().as_secs_f64()).0 / thousands;
    let peak = median(|round| round.own.peak_megabytes).2;
    println!("| {who} | {rate:.0} ({lowest:.0} to {highest:.0}) | {own:.3} | {servers:.3} | {peak:.0} |");
}

/// Prints what the worker took beside the floor, round by round: the two of a round ran one after the other.
pub(crate) fn print_ratio(workers: &[Round], floors: &[Round]) {
    let pairs = workers.iter().zip(floors);
    let (ratio, lowest, highest) = median(pairs.map(|(worker, floor)| worker.rate / floor.rate));
    println!("\nworker / floor: {ratio:.2} ({lowest:.2} to {highest:.2})");
}

/// The median, the lowest and the highest.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    (
        f64::midpoint(values[last / 2], values[values.len() / 2]),
        values[0],
        values[last],
    )
}

/// Prints the percentiles of each window, and the medians of these.
pub(crate) fn print_windows(who: &str, windows: &[Window]) {
    for Window { rate, times, disk } in windows {
        print_times(
            &format!("{who}from submission to outcome at {rate:.0} jobs/s"),
            times,
        );
        print_times(&format!("{who}the disk meanwhile"), disk);
        let stalls: Vec<_> = disk.iter().filter(|wait| **wait > STALL).collect();
        println!(
            "{who}the disk kept nothing for {} ms and more {} times, {:.1} s in all",
            STALL.as_millis(),
            stalls.len(),
            stalls.into_iter().sum::<Duration>().as_secs_f64()
        );
    }
    let at = |part: f64| {
        median(
            windows
                .iter()
                .map(|window| milliseconds_at(part, &sorted(&window.times))),
        )
    };
    let ((p50, ..), (p95, lowest, highest)) = (at(0.5), at(0.95));
    println!(
        "{who}from submission to outcome, median of {} windows: p50 {p50:.1} ms, p95 {p95:.1} ms ({lowest:.1} to {highest:.1})",
        windows.len()
    );
}

/// The same of each second: where the disk of a shared machine stalls now and then, whole seconds are slow and the others tell
/// what the worker takes.
pub(crate) fn print_seconds(what: &str, rate: f64, times: &[Duration]) {
    let p95s: Vec<_> = times
        .chunks(rate.max(1.0) as usize)
        .map(|second| milliseconds_at(0.95, &sorted(second)))
        .collect();
    let one_by_one: Vec<_> = p95s.iter().map(|p95| format!("{p95:.0}")).collect();
    eprintln!("{what}: p95 of each second in turn: {} ms", one_by_one.join(" "));
}

fn sorted(times: &[Duration]) -> Vec<Duration> {
    let mut times = times.to_vec();
    times.sort_unstable();
    times
}

fn milliseconds_at(part: f64, times: &[Duration]) -> f64 {
    times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0
}

pub(crate) fn print_times(what: &str, times: &[Duration]) {
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

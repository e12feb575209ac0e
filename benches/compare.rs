//! The comparator `tokens` beside GNU diff, both as whole processes on the same files.
//!
//!     cargo bench --profile dev --bench compare
//!
//! The dev profile is the one that the project is built and used with, so nothing is built again. Each row is the median
//! of several runs after one that warms the page cache, taken in turns. The two programs do not do the same: `assay diff` compares words and shows the first 200 rows, `diff` compares
//! lines and shows them all.
//!
//! The second table is of texts that are made to be hard: each comparator has to answer within 10 s and 1 GB. It is
//! measured by GNU time, once for each row.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 9;
const HOSTILE_BYTES: usize = 50_000_000;

fn main() -> std::io::Result<()> {
    let folder = tempfile::tempdir()?;
    let megabyte = text(18_000, |_| false);
    let large = text(18_000 * 50, |_| false);
    let cases = [
        (
            "1 MB, 200 of 18,000 lines changed",
            &megabyte,
            text(18_000, |line| line % 90 == 45),
        ),
        (
            "50 MB, as many in each 1 MB",
            &large,
            text(18_000 * 50, |line| line % 90 == 45),
        ),
        ("50 MB, the same", &large, large.clone()),
    ];
    println!("cargo bench --profile dev --bench compare ({RUNS} runs each, medians)\n");
    println!("| case | assay diff --compare tokens | diff | ratio |");
    println!("| --- | --- | --- | --- |");
    for (name, expected, actual) in cases {
        let (left, right) = (folder.path().join("expected"), folder.path().join("actual"));
        std::fs::write(&left, expected)?;
        std::fs::write(&right, actual)?;
        let ours = || {
            run(
                env!("CARGO_BIN_EXE_assay"),
                &["diff", "--compare", "tokens"],
                &left,
                &right,
            )
        };
        let theirs = || run("diff", &[], &left, &right);
        ours()?;
        theirs()?;
        let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            our_times.push(ours()?);
            their_times.push(theirs()?);
        }
        let (ours, theirs) = (median(our_times), median(their_times));
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        println!(
            "| {name} | {:.1} ms | {:.1} ms | {ratio:.2} |",
            millis(ours),
            millis(theirs)
        );
    }
    hostile(folder.path())
}

/// Lines of about 55 bytes, those that `is_changed` with one word changed.
fn text(lines: usize, is_changed: impl Fn(usize) -> bool) -> String {
    let mut text = String::new();
    for line in 0..lines {
        let word = if is_changed(line) { "changed" } else { "agreed" };
        let _ = writeln!(
            text,
            "{line:07} lorem ipsum {} {word} dolor sit amet {:x}",
            line * 31 % 9973,
            line * 7919
        );
    }
    text
}

fn run(program: &str, args: &[&str], left: &Path, right: &Path) -> std::io::Result<Duration> {
    let start = Instant::now();
    let args = args
        .iter()
        .map(OsStr::new)
        .chain([left.as_os_str(), right.as_os_str()]);
    let status = Command::new(program).args(args).stdout(Stdio::null()).status()?;
    let time = start.elapsed();
    match status.code() {
        Some(0 | 1) => Ok(time),
        _ => Err(std::io::Error::other(format!("{program} ended with {status}"))),
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Every comparator on texts of 50 MB with little or nothing in common.
fn hostile(folder: &Path) -> std::io::Result<()> {
    const OF_TEXT: &[&str] = &["exact", "lines", "tokens", "unordered", "similarity"];
    type Case<'c> = (&'c str, &'c [&'c str], fn(u64) -> Vec<u8>);
    let texts: [Case<'_>; 6] = [
        ("prose", OF_TEXT, prose),
        ("one line", OF_TEXT, one_line),
        ("1,000,000 lines", OF_TEXT, million_lines),
        ("lines of four bytes", OF_TEXT, short_lines),
        ("JSON array of digits", &["json"], json_array),
        ("JSON object of 4,000,000 keys", &["json"], json_object),
    ];
    let [expected, actual] = ["expected", "actual"].map(|name| folder.join(name));
    println!("\n| case | comparator | seconds | peak MB | bytes shown |\n| --- | --- | --- | --- | --- |");
    for (name, comparators, text) in texts {
        std::fs::write(&expected, text(1))?;
        std::fs::write(&actual, text(2))?;
        for comparator in comparators {
            let mut command = Command::new("/usr/bin/time");
            command.args([
                "-q",
                "-f",
                "%e %M",
                env!("CARGO_BIN_EXE_assay"),
                "diff",
                "--compare",
                comparator,
            ]);
            let output = command.args([&expected, &actual]).output()?;
            let measured = String::from_utf8_lossy(&output.stderr);
            let Some((seconds, kilobytes)) = measured.trim().split_once(' ') else {
                return Err(std::io::Error::other(format!(
                    "{comparator} on {name}: {measured}"
                )));
            };
            let megabytes = kilobytes.parse::<f64>().unwrap_or(f64::NAN) / 1024.0;
            let shown = output.stdout.len();
            println!("| {name} | {comparator} | {seconds} | {megabytes:.0} | {shown} |");
        }
    }
    Ok(())
}

/// Numbers that look random (splitmix64).
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

/// Words of two to nine letters out of 20,000, about nine to a line.
fn prose(seed: u64) -> Vec<u8> {
    let word = |(index, number): (usize, u64)| {
        let number = number % 20_000;
        let letters = (0..2 + number % 8).map(move |letter| letter_of(number >> letter));
        letters.chain([if index % 9 == 8 { b'\n' } else { b' ' }])
    };
    numbers(seed)
        .enumerate()
        .flat_map(word)
        .take(HOSTILE_BYTES)
        .collect()
}

fn one_line(seed: u64) -> Vec<u8> {
    numbers(seed).map(letter_of).take(HOSTILE_BYTES).collect()
}

fn letter_of(number: u64) -> u8 {
    b'a' + number.to_le_bytes()[0] % 26
}

fn million_lines(seed: u64) -> Vec<u8> {
    numbers(seed)
        .take(1_000_000)
        .flat_map(|number| format!("value {number}\n").into_bytes())
        .collect()
}

/// Ten million lines, hardly one of them twice.
fn short_lines(seed: u64) -> Vec<u8> {
    let line = |number: u64| {
        let [a, b, c, d, ..] = number.to_le_bytes().map(|byte| b'!' + byte % 94);
        [a, b, c, d, b'\n']
    };
    numbers(seed).flat_map(line).take(HOSTILE_BYTES).collect()
}

fn json_array(seed: u64) -> Vec<u8> {
    let digit = |number: u64| [b',', b'0' + number.to_le_bytes()[0] % 10];
    let mut text: Vec<u8> = numbers(seed).flat_map(digit).take(HOSTILE_BYTES).collect();
    text[0] = b'[';
    text.push(b']');
    text
}

fn json_object(seed: u64) -> Vec<u8> {
    let member = |key: u64| format!(",\"{:x}\":1", key * 2 + seed % 2).into_bytes();
    let mut text: Vec<u8> = (0..4_000_000).flat_map(member).collect();
    text[0] = b'{';
    text.push(b'}');
    text
}

//! The comparator `tokens` beside GNU diff, both as whole processes on the same files.
//!
//!     cargo bench --profile dev --bench compare
//!
//! The dev profile is the one that the project is built and used with, so nothing is built again. Each row is the median
//! of several runs after one that warms the page cache, taken in turns. The two programs do not do the same: `assay diff` compares words and shows the first 200 rows, `diff` compares
//! lines and shows them all.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 9;

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
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "cargo bench --profile dev --bench compare ({RUNS} runs each, medians)\n"
    )?;
    writeln!(out, "| case | assay diff --compare tokens | diff | ratio |")?;
    writeln!(out, "| --- | --- | --- | --- |")?;
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
        writeln!(
            out,
            "| {name} | {:.1} ms | {:.1} ms | {ratio:.2} |",
            millis(ours),
            millis(theirs)
        )?;
    }
    Ok(())
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

//! What a run waits for, drawn on standard error while it waits; nothing where standard error is no terminal.

use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Time between two drawings.
const TICK: Duration = Duration::from_millis(100);

/// Names that are shown at most.
const NAMES: usize = 4;

/// A bar with the names of the fixtures that run.
pub struct Progress {
    bar: ProgressBar,
    running: Mutex<Vec<String>>,
}

impl Progress {
    /// A bar over so many fixtures; a terminal is what draws it.
    pub fn of(fixtures: usize) -> Self {
        let bar = ProgressBar::new(fixtures as u64);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:24} {pos}/{len} {elapsed} {wide_msg}")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        Self::with(bar)
    }

    /// One that never draws.
    pub fn hidden() -> Self {
        Self::with(ProgressBar::hidden())
    }

    fn with(bar: ProgressBar) -> Self {
        Self {
            bar,
            running: Mutex::default(),
        }
    }

    /// A fixture begins.
    pub fn begins(&self, name: &str) {
        self.change(|running| running.push(name.to_owned()));
    }

    /// A fixture has ended.
    pub fn ends(&self, name: &str) {
        self.change(|running| running.retain(|one| one != name));
        self.bar.inc(1);
    }

    fn change(&self, change: impl FnOnce(&mut Vec<String>)) {
        // A name too many on a terminal is no reason to stop over a panic elsewhere.
        let mut running = self
            .running
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut running);
        self.bar.set_message(waiting_for(&running));
    }

    /// Does something to the terminal while the bar is out of the way.
    pub fn aside<R>(&self, act: impl FnOnce() -> R) -> R {
        self.bar.suspend(act)
    }

    /// Takes the bar off the terminal.
    pub fn close(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.close();
    }
}

fn waiting_for(running: &[String]) -> String {
    if running.is_empty() {
        return String::new();
    }
    let names: Vec<_> = running.iter().take(NAMES).map(String::as_str).collect();
    let more = match running.len().saturating_sub(NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("waiting for {}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_says_what_it_waits_for() {
        let names: Vec<_> = ["a", "b", "c", "d", "e", "f"].map(str::to_owned).into();
        assert_eq!(waiting_for(&[]), "");
        assert_eq!(waiting_for(&names[..2]), "waiting for a, b");
        assert_eq!(waiting_for(&names), "waiting for a, b, c, d and 2 more");
    }

    #[test]
    fn one_name_goes_when_its_fixture_ends() {
        let progress = Progress::hidden();
        progress.begins("a");
        progress.begins("b");
        progress.ends("a");
        assert_eq!(*progress.running.lock().unwrap(), ["b"]);
    }
}

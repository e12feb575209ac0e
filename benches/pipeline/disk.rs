//! How the disk answers meanwhile: every commit and every confirm waits for it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

/// How often it is asked: a few in a hundred of what the servers ask.
const EVERY: Duration = Duration::from_millis(20);

/// An answer that takes longer is a stall: most take less than a millisecond.
pub(crate) const STALL: Duration = Duration::from_millis(30);

/// Asks the disk that the servers write to, in a thread of its own.
pub(crate) struct Disk {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Vec<Duration>>,
}

impl Disk {
    /// Begins to write four kilobytes over and over, and to wait until they are kept.
    pub(crate) fn watch() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        // A file without a name is gone with its process.
        let folder = std::env::var_os("ASSAY_TEST_SERVERS").unwrap_or_else(|| std::env::temp_dir().into());
        let file = tempfile::tempfile_in(folder).unwrap();
        let asking = tokio::task::spawn_blocking(move || {
            let mut waits = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                waits.push(ask(&file));
                std::thread::sleep(EVERY);
            }
            waits
        });
        Self { stop, asking }
    }

    /// How long it was waited for each answer.
    pub(crate) async fn waits(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        self.asking.await.unwrap()
    }
}

fn ask(file: &File) -> Duration {
    let began = Instant::now();
    file.write_all_at(&[0; 4096], 0).unwrap();
    file.sync_data().unwrap();
    began.elapsed()
}

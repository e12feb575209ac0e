//! Signals: the first asks everything to end, the second ends the process.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a process that a second signal ended: 128 + SIGINT, as shells write it.
const ABORTED: i32 = 130;

/// A token that fires on the first SIGINT or SIGTERM. The second signal exits at once.
///
/// # Errors
/// Where the process cannot listen for signals.
pub fn token() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let fired = token.clone();
    tokio::spawn(async move {
        for last in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if last {
                std::process::exit(ABORTED);
            }
            fired.cancel();
        }
    });
    Ok(token)
}

//! Makes the checkpoints, in every worker: whichever holds the lock.
//!
//! Workers make them, because they hold a signing key and may read the log; settlement has only public halves, reads no log, and
//! does not exist where the marketplace settles. Whoever steals a worker's key can sign checkpoints, too; what he cannot do is
//! take back those that are anchored.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::anchor::{Anchor, AnchorError};
use crate::causes::in_full;
use crate::checkpoint::Checkpoint;
use crate::clock::Clock;
use crate::journal::{JournalError, LARGEST_CHECKPOINT, PgJournal, Sealing};
use crate::receipt::SigningKey;

/// How old the last checkpoint is when the next is made.
const EVERY: Duration = Duration::from_secs(60);

/// How often it is looked whether one is due.
const LOOK: Duration = Duration::from_secs(10);

/// How long before the last checkpoint a verification may have begun that the next looks for: each time all that began since are
/// gone through. One takes ten minutes at most; what took longer is found by the rounds that look at everything.
const LOOK_BACK: Duration = Duration::from_secs(30 * 60);

/// Rounds between two that look at everything: the first of a process, and about one a day.
const EVERYTHING_EVERY: u32 = 8_640;

/// Checkpoints that are anchored at a time.
const ANCHORED_AT_A_TIME: u32 = 256;

/// What makes and anchors checkpoints.
#[derive(Debug)]
pub struct Sealer {
    /// The database.
    pub journal: PgJournal,
    /// Signs.
    pub key: SigningKey,
    /// The deployment's name.
    pub deployment: String,
    /// Where checkpoints are kept outside the database.
    pub anchor: Option<Anchor>,
    /// What time it is.
    pub clock: Clock,
}

/// A round of sealing went wrong; the next one makes up for it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealTrouble {
    /// The database could not be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The anchor could not be.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
}

/// Makes a checkpoint each minute in which something has ended, until `stop` fires; then a last one.
pub async fn seal_until_stopped(sealer: Sealer, stop: CancellationToken) {
    let mut everything = false;
    for round in 0_u32.. {
        // Until it was looked at: not while the last checkpoint is young, or somebody else makes one.
        everything |= round.is_multiple_of(EVERYTHING_EVERY);
        match sealer.round(EVERY, everything).await {
            Ok(looked) => everything &= !looked,
            Err(trouble) => tracing::warn!(
                error = in_full(&trouble),
                "no checkpoint, or not anchored: tried again soon"
            ),
        }
        if tokio::time::timeout(LOOK, stop.cancelled()).await.is_ok() {
            break;
        }
    }
    if let Err(trouble) = sealer.round(Duration::ZERO, false).await {
        tracing::warn!(
            error = in_full(&trouble),
            "no last checkpoint: the next worker makes it"
        );
    }
}

impl Sealer {
    /// Makes what checkpoints are due, the last being older than `every`, and anchors those that are not anchored yet. Gives back
    /// whether it was looked for what has ended.
    ///
    /// # Errors
    /// A database or an anchor that cannot be read or written.
    pub async fn round(&self, every: Duration, everything: bool) -> Result<bool, SealTrouble> {
        let mut due = every;
        let looked = loop {
            match self.seal(due, everything).await? {
                Sealing::Made(checkpoint) => {
                    tracing::debug!(number = checkpoint.number, count = checkpoint.count, "checkpoint");
                    // What ends meanwhile belongs to the next minute; only more than fits one is sealed at once.
                    if checkpoint.count < u64::from(LARGEST_CHECKPOINT) {
                        break true;
                    }
                    due = Duration::ZERO;
                }
                Sealing::NothingNew => break true,
                Sealing::NotDue => break false,
            }
        };
        self.anchor_what_is_made().await?;
        Ok(looked)
    }

    async fn seal(&self, every: Duration, everything: bool) -> Result<Sealing, JournalError> {
        let (signer, now) = ((&self.key, self.deployment.as_str()), self.clock.now());
        let sign = |last: Option<&Checkpoint>, leaves: &[_], erasures| {
            Checkpoint::next(last, leaves, erasures, signer, now)
        };
        self.journal.seal((every, LOOK_BACK, everything), sign).await
    }

    async fn anchor_what_is_made(&self) -> Result<(), SealTrouble> {
        let Some(anchor) = &self.anchor else { return Ok(()) };
        let mut last = anchor.last().await?;
        loop {
            let new = self
                .journal
                .within(self.journal.checkpoints(last, ANCHORED_AT_A_TIME))
                .await?;
            let Some(newest) = new.last() else { return Ok(()) };
            last = newest.number;
            anchor.append(new).await?;
        }
    }
}

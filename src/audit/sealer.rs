//! Makes the checkpoints, in every worker: whichever holds the lock.
//!
//! Workers make them, because they hold a signing key and may read the log; settlement has only public halves, reads no log, and
//! does not exist where the marketplace settles. Whoever steals a worker's key can sign checkpoints, too; what he cannot do is
//! take back those that are anchored.

use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::anchor::{Anchor, AnchorError};
use crate::causes::in_full;
use crate::checkpoint::Checkpoint;
use crate::clock::Clock;
use crate::journal::{JournalError, LookFrom, Looked, PgJournal, Place};
use crate::receipt::SigningKey;

/// How old the last checkpoint is when the next is made.
const EVERY: Duration = Duration::from_secs(60);

/// How often it is looked whether one is due.
const LOOK: Duration = Duration::from_secs(10);

/// How long before the last checkpoint, or before now, a verification may have begun that a round still looks for. One takes ten
/// minutes at most.
const LOOK_BACK: Duration = Duration::from_secs(30 * 60);

/// How long after it began a verification can be seen, at the latest: that takes milliseconds while the database answers, and clocks
/// of workers differ.
const SEEN_WITHIN: Duration = Duration::from_secs(2 * 60);

/// How often one of the workers goes on with the walk through all verifications, a part at a time: for what came later than the
/// rounds expect, as after hours without a database. So a day's walk is through up to 50 million.
const WALK: Duration = Duration::from_secs(30);

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
    let mut settled = None;
    loop {
        if let Err(trouble) = sealer.look(&mut settled).await {
            tracing::warn!(
                error = in_full(&trouble),
                "no checkpoint, or not anchored: tried again soon"
            );
        }
        if tokio::time::timeout(LOOK, stop.cancelled()).await.is_ok() {
            break;
        }
    }
    if let Err(trouble) = sealer.round(Duration::ZERO, sealer.from(settled)).await {
        tracing::warn!(
            error = in_full(&trouble),
            "no last checkpoint: the next worker makes it"
        );
    }
}

impl Sealer {
    /// Makes what checkpoints are due, goes on with the walk through everything, and anchors what was made. `settled` is what the
    /// last round of this process gave back, where there was one.
    ///
    /// # Errors
    /// A database or an anchor that cannot be read or written.
    pub async fn look(&self, settled: &mut Option<Place>) -> Result<(), SealTrouble> {
        if let Some(place) = self.seal_due(EVERY, self.from(*settled)).await? {
            *settled = Some(place);
        }
        self.seal(Duration::ZERO, LookFrom::Walk(WALK)).await?;
        self.anchor_what_is_made().await
    }

    /// Makes what checkpoints are due, the last being older than `every`, and anchors those that are not anchored yet. Gives back
    /// the place before which nothing will end or appear any more; `None`: none was due, or somebody else makes them.
    ///
    /// # Errors
    /// A database or an anchor that cannot be read or written.
    pub async fn round(&self, every: Duration, from: LookFrom) -> Result<Option<Place>, SealTrouble> {
        let settled = self.seal_due(every, from).await?;
        self.anchor_what_is_made().await?;
        Ok(settled)
    }

    /// Where a round begins. What the last one gave back is worth nothing when it is old: others have made the rounds since, or
    /// nobody.
    fn from(&self, settled: Option<Place>) -> LookFrom {
        match settled {
            Some(place) if place >= self.place(LOOK_BACK) => LookFrom::Place(place),
            _ => LookFrom::BeforeLast(LOOK_BACK),
        }
    }

    /// The place so long before now.
    fn place(&self, time: Duration) -> Place {
        Place::at(self.clock.now().saturating_sub(time).unwrap_or(Timestamp::MIN))
    }

    async fn seal_due(&self, every: Duration, from: LookFrom) -> Result<Option<Place>, JournalError> {
        let (mut due, mut from) = (every, from);
        let mut settled = self.place(SEEN_WITHIN);
        while let Some(looked) = self.seal(due, from).await? {
            settled = looked.open.map_or(settled, |open| settled.min(open));
            let Some(place) = looked.on else {
                return Ok(Some(settled));
            };
            (due, from) = (Duration::ZERO, LookFrom::Place(place));
        }
        Ok(None)
    }

    async fn seal(&self, every: Duration, from: LookFrom) -> Result<Option<Looked>, JournalError> {
        let (signer, now) = ((&self.key, self.deployment.as_str()), self.clock.now());
        let sign = |last: Option<&Checkpoint>, leaves: &[_], erasures| {
            Checkpoint::next(last, leaves, erasures, signer, now)
        };
        let looked = self.journal.seal(every, from, sign).await?;
        if let Some(Looked { made: Some(made), .. }) = &looked {
            tracing::debug!(number = made.number, count = made.count, "checkpoint");
        }
        Ok(looked)
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

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

/// Whoever makes each so many-th checkpoint goes through all verifications there are, once a day at the least in a pool that is
/// never idle: for what came later than the rounds expect, as after hours without a database.
const EVERYTHING_EVERY: u64 = 24 * 60;

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

/// What a round came to.
#[derive(Debug)]
pub struct Round {
    /// Before it, nothing will end any more, nor appear.
    pub settled: Place,
    /// Whether all verifications are to be gone through now.
    pub look_at_everything: bool,
}

/// What one process knows of the rounds before.
#[derive(Debug, Default)]
pub struct Looks {
    /// Where its last round found all before settled.
    settled: Option<Place>,
    /// How far it has come with everything, while it goes through that.
    everything: Option<Place>,
}

/// Makes a checkpoint each minute in which something has ended, until `stop` fires; then a last one.
pub async fn seal_until_stopped(sealer: Sealer, stop: CancellationToken) {
    let mut looks = Looks::default();
    loop {
        if let Err(trouble) = sealer.look(&mut looks).await {
            tracing::warn!(
                error = in_full(&trouble),
                "no checkpoint, or not anchored: tried again soon"
            );
        }
        if tokio::time::timeout(LOOK, stop.cancelled()).await.is_ok() {
            break;
        }
    }
    if let Err(trouble) = sealer.round(Duration::ZERO, sealer.from(&looks)).await {
        tracing::warn!(
            error = in_full(&trouble),
            "no last checkpoint: the next worker makes it"
        );
    }
}

impl Sealer {
    /// A round, where one is due; and one part more of everything, where that is gone through: it must not keep the rounds waiting.
    ///
    /// # Errors
    /// A database or an anchor that cannot be read or written.
    pub async fn look(&self, looks: &mut Looks) -> Result<(), SealTrouble> {
        if let Some(round) = self.round(EVERY, self.from(looks)).await? {
            looks.settled = Some(round.settled);
            if round.look_at_everything {
                looks.everything.get_or_insert(Place::BEGINNING);
            }
        }
        if let Some(place) = looks.everything
            && let Some(looked) = self.seal(Duration::ZERO, LookFrom::Place(place)).await?
        {
            looks.everything = looked.on;
        }
        Ok(())
    }

    /// Where the next round begins. What the last one said is worth nothing when it is old: others have made the rounds since, or
    /// nobody.
    fn from(&self, looks: &Looks) -> LookFrom {
        match looks.settled {
            Some(place) if place >= self.place(LOOK_BACK) => LookFrom::Place(place),
            _ => LookFrom::BeforeLast(LOOK_BACK),
        }
    }

    /// The place so long before now.
    fn place(&self, time: Duration) -> Place {
        Place::at(self.clock.now().saturating_sub(time).unwrap_or(Timestamp::MIN))
    }

    /// Makes what checkpoints are due, the last being older than `every`, and anchors those that are not anchored yet. `None`: none
    /// was due, or somebody else makes them.
    ///
    /// # Errors
    /// A database or an anchor that cannot be read or written.
    pub async fn round(&self, every: Duration, from: LookFrom) -> Result<Option<Round>, SealTrouble> {
        let (mut due, mut from) = (every, from);
        let mut round = Round {
            settled: self.place(SEEN_WITHIN),
            look_at_everything: false,
        };
        let is_over = loop {
            let Some(looked) = self.seal(due, from).await? else {
                break false;
            };
            if let Some(checkpoint) = looked.made {
                tracing::debug!(number = checkpoint.number, count = checkpoint.count, "checkpoint");
                round.look_at_everything |= checkpoint.number.is_multiple_of(EVERYTHING_EVERY);
            }
            if let Some(open) = looked.open {
                round.settled = round.settled.min(open);
            }
            match looked.on {
                Some(place) => (due, from) = (Duration::ZERO, LookFrom::Place(place)),
                None => break true,
            }
        };
        self.anchor_what_is_made().await?;
        Ok(is_over.then_some(round))
    }

    async fn seal(&self, every: Duration, from: LookFrom) -> Result<Option<Looked>, JournalError> {
        let (signer, now) = ((&self.key, self.deployment.as_str()), self.clock.now());
        let sign = |last: Option<&Checkpoint>, leaves: &[_], erasures| {
            Checkpoint::next(last, leaves, erasures, signer, now)
        };
        self.journal.seal(every, from, sign).await
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

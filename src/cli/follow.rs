//! `assay log --follow`: entries as they are committed, and what the job came to.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::log::{Source, View, chain_words, title};
use super::{CliError, Exit};
use crate::causes::in_full;
use crate::entry::{LogEntry, VerificationId};
use crate::job::JobId;
use crate::journal::postgres::is_passing;
use crate::journal::{JournalError, Progress, Settlement, Stage, VerificationRow};

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(100);

/// How long a decision is given to be settled, before the last line says that it is not.
const SETTLING: Duration = Duration::from_secs(5);

/// What is followed, and how it is shown.
pub(super) struct Followed {
    pub(super) source: Source,
    pub(super) job_id: JobId,
    /// Earlier verifications too.
    pub(super) all: bool,
    pub(super) view: View,
    /// Settlement is ours.
    pub(super) settles: bool,
}

/// Why following ends early.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("standard output cannot be written")]
    Output(#[from] io::Error),
}

/// How much of a verification was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Entries before this place; its end was not.
    Before(u32),
    /// All of it.
    All,
}

/// A verification, and its entries that were not shown yet; all of them where it has ended.
type News = (VerificationRow, Vec<LogEntry>);

struct Follower<'a, W> {
    followed: &'a Followed,
    out: W,
    shown: HashMap<VerificationId, Shown>,
    /// The stage that was told last.
    told: Option<Stage>,
    exit: Exit,
}

/// Follows until the job has ended, or `stop` fires.
pub(super) async fn follow(
    followed: Followed,
    place: &str,
    stop: &CancellationToken,
) -> Result<Exit, CliError> {
    let mut follower = Follower {
        followed: &followed,
        out: anstream::stdout(),
        shown: HashMap::new(),
        told: None,
        exit: Exit::Good,
    };
    let following = async {
        follower.until_ended(place).await?;
        Ok(follower.exit)
    };
    let ended = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(Exit::Good),
        ended = following => ended,
    };
    match ended {
        Ok(exit) => Ok(exit),
        // Whoever reads it has seen enough.
        Err(FollowError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Good),
        Err(error) => Err(CliError::trouble(error)),
    }
}

impl<W: Write> Follower<'_, W> {
    async fn until_ended(&mut self, place: &str) -> Result<(), FollowError> {
        let (mut waited, mut troubled) = (false, false);
        loop {
            match self.look().await {
                Ok((progress, news)) => {
                    troubled = false;
                    if progress.is_none() && news.is_empty() && !waited {
                        waited = true;
                        let job_id = &self.followed.job_id;
                        writeln!(
                            anstream::stderr(),
                            "{place} knows no job `{job_id}` yet: waiting for it"
                        )?;
                    }
                    let ended_at_desk = news.last().is_some_and(|(last, _)| last.outcome.is_some());
                    for (verification, entries) in news {
                        self.show(&verification, entries)?;
                    }
                    match progress {
                        Some(progress) if progress.stage.has_ended() => return self.end(progress).await,
                        Some(progress) => self.tell(progress.stage)?,
                        None if ended_at_desk && matches!(self.followed.source, Source::Desk(_)) => {
                            return Ok(());
                        }
                        None => {}
                    }
                }
                Err(error) if is_passing(&error) => {
                    if !troubled {
                        tracing::warn!(error = %in_full(&error), "the log waits for the database");
                    }
                    troubled = true;
                }
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// What is new. The progress is read first: an end that it tells is then found in the log, too.
    async fn look(&self) -> Result<(Option<Progress>, Vec<News>), JournalError> {
        let Followed { source, job_id, .. } = self.followed;
        let looking = async {
            let progress = match source {
                Source::Desk(_) => None,
                Source::Pool(journal) => journal.progress(job_id).await?,
            };
            let verifications = source.journal().verifications(job_id).await?;
            let skip = if self.shown.is_empty() && !self.followed.all {
                verifications.len().saturating_sub(1)
            } else {
                0
            };
            let mut news = Vec::new();
            for verification in verifications.into_iter().skip(skip) {
                let shown = self.shown.get(&verification.id).copied();
                let from = match shown.unwrap_or(Shown::Before(0)) {
                    Shown::All => continue,
                    Shown::Before(_) if verification.outcome.is_some() => 0,
                    Shown::Before(seq) => seq,
                };
                let entries = source.journal().entries_from(verification.id, from).await?;
                news.push((verification, entries));
            }
            Ok((progress, news))
        };
        match source {
            Source::Desk(_) => looking.await,
            Source::Pool(journal) => journal.within(looking).await,
        }
    }

    fn show(
        &mut self,
        verification: &VerificationRow,
        mut entries: Vec<LogEntry>,
    ) -> Result<(), FollowError> {
        let view = self.followed.view;
        let before = match self.shown.get(&verification.id) {
            Some(Shown::Before(seq)) => *seq,
            Some(Shown::All) => return Ok(()),
            None => {
                view.head(&mut self.out, &title(verification))?;
                0
            }
        };
        let ended = verification.outcome.as_ref().map(|outcome| {
            let (holds, chain) = chain_words(verification, &entries);
            (holds, format!("{outcome}; {chain}"))
        });
        entries.retain(|entry| entry.seq >= before);
        let next = entries.last().map_or(before, |last| last.seq + 1);
        view.entries(&mut self.out, entries)?;
        let shown = match ended {
            Some((holds, words)) => {
                view.head(&mut self.out, &words)?;
                if !holds {
                    self.exit = Exit::No;
                }
                Shown::All
            }
            None => Shown::Before(next),
        };
        self.shown.insert(verification.id, shown);
        Ok(())
    }

    /// Says so where the job has to wait.
    fn tell(&mut self, stage: Stage) -> Result<(), FollowError> {
        if matches!(stage, Stage::Waiting { due_at: Some(_), .. }) && self.told.as_ref() != Some(&stage) {
            self.followed.view.head(&mut self.out, &stage_words(&stage))?;
        }
        self.told = Some(stage);
        Ok(())
    }

    /// Says what the job came to, and what settlement made of it.
    async fn end(&mut self, progress: Progress) -> Result<(), FollowError> {
        let settlement = match (&progress.stage, &self.followed.source) {
            (Stage::Decided { by, .. }, Source::Pool(journal)) => {
                let give_up = Instant::now()
                    + if self.followed.settles {
                        SETTLING
                    } else {
                        Duration::ZERO
                    };
                let mut settlement = journal.settlement_of(*by).await?;
                while settlement == Settlement::NotYet && Instant::now() < give_up {
                    tokio::time::sleep(EVERY).await;
                    settlement = journal.settlement_of(*by).await?;
                }
                Some(settlement)
            }
            _ => None,
        };
        if self.followed.view.json {
            writeln!(self.out, "{}", self.end_value(&progress, settlement.as_ref()))?;
            return Ok(());
        }
        writeln!(self.out, "{}", stage_words(&progress.stage))?;
        match settlement {
            Some(Settlement::NotYet) if !self.followed.settles => {}
            Some(settlement) => writeln!(self.out, "{}", settlement_words(&settlement))?,
            None => {}
        }
        Ok(())
    }

    fn end_value(&self, progress: &Progress, settlement: Option<&Settlement>) -> Value {
        let (ended, outcome, parked) = match &progress.stage {
            Stage::Running => ("running", None, None),
            Stage::Waiting { .. } => ("waiting", None, None),
            Stage::Decided { outcome, .. } => ("decided", Some(outcome), None),
            Stage::Parked { id, reason, detail } => ("parked", None, Some((id, reason, detail))),
            Stage::Closed { .. } => ("closed", None, None),
        };
        json!({
            "job_id": self.followed.job_id, "attempt": progress.attempt, "ended": ended, "outcome": outcome,
            "parked": parked.map(|(id, reason, detail)| json!({"id": id, "reason": reason, "detail": detail})),
            "settlement": settlement.map(settlement_value),
        })
    }
}

/// How far a hand-in has come, in words.
pub(super) fn stage_words(stage: &Stage) -> String {
    match stage {
        Stage::Running => "a worker grades it".to_owned(),
        Stage::Waiting { for_judge: true, .. } => "waits for a judge".to_owned(),
        Stage::Waiting {
            due_at: Some(due_at),
            tries,
            ..
        } => format!("comes back at {due_at:.0}, after {tries} tries that ended in trouble of ours"),
        Stage::Waiting { due_at: None, .. } => "is about to be parked".to_owned(),
        Stage::Decided { outcome, .. } => format!("decided: {outcome}"),
        Stage::Parked { id, reason, detail } => {
            format!("parked as {id}, {reason}: {detail} (`assay parked show {id}`)")
        }
        Stage::Closed { by: Some((by, why)) } => format!("closed by {by}: {why}"),
        Stage::Closed { by: None } => "closed without a verdict".to_owned(),
    }
}

pub(super) fn settlement_words(settlement: &Settlement) -> String {
    match settlement {
        Settlement::NotYet => "not settled yet: is `assay settle` running?".to_owned(),
        Settlement::Applied {
            effect,
            user,
            amount_cents,
            fee_user,
            fee_cents,
        } => {
            let user = user
                .as_ref()
                .map_or_else(String::new, |user| format!(", {amount_cents} cents: {user}"));
            let fee = fee_user
                .as_ref()
                .map_or_else(String::new, |user| format!(", fee {fee_cents} cents: {user}"));
            format!("settled: {effect}{user}{fee}")
        }
        Settlement::Held(reason) => format!("settlement waits ({reason}): `assay settle held`"),
        Settlement::Exception { id, reason, detail } => {
            format!("not settled, exception {id}, {reason}: {detail} (`assay settle exceptions`)")
        }
        Settlement::Hidden => "whether it is settled, this role may not read".to_owned(),
    }
}

pub(super) fn settlement_value(settlement: &Settlement) -> Value {
    match settlement {
        Settlement::NotYet => json!({"state": "not-yet"}),
        Settlement::Applied {
            effect,
            user,
            amount_cents,
            fee_user,
            fee_cents,
        } => json!({
            "state": "applied", "effect": effect, "user": user, "amount_cents": amount_cents,
            "fee_user": fee_user, "fee_cents": fee_cents,
        }),
        Settlement::Held(reason) => json!({"state": "held", "reason": reason}),
        Settlement::Exception { id, reason, detail } => {
            json!({"state": "exception", "id": id, "reason": reason, "detail": detail})
        }
        Settlement::Hidden => json!({"state": "hidden"}),
    }
}

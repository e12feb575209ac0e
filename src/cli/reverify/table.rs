//! A set as a table: what would change, or has changed, and the money in total.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::follow::{settlement_value, settlement_words};
use super::super::{CliError, Exit};
use super::JudgeFlag;
use super::ready::{Foreseen, Ready};
use super::select::Kept;
use super::set::is_judged;
use super::show::{foreseen_value, foreseen_words};
use crate::journal::{DisputeItem, DisputeSet, JournalError, SetState, Settlement, Transition};
use crate::message::OutcomeMessage;
use crate::reverify::replays;

/// A decision of the set.
struct Row {
    item: DisputeItem,
    then: OutcomeMessage,
    /// What the verification again came to.
    now: Option<OutcomeMessage>,
    /// Whether the decision is still the effective one, or was overturned by this very set.
    effective: bool,
    foreseen: Option<Foreseen>,
    settlement: Option<Settlement>,
}

impl Row {
    fn changes(&self) -> bool {
        let now = self.now.as_ref();
        now.is_some_and(|now| now.outcome != self.then.outcome)
    }
}

pub(super) struct Table {
    set: DisputeSet,
    rows: Vec<Row>,
}

/// How many decisions came out how. Adds up to all of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    same: usize,
    changed: BTreeMap<String, usize>,
    errors: usize,
    unfinished: usize,
}

impl Table {
    pub(super) async fn of(ready: &Ready, set: &DisputeSet) -> Result<Self, CliError> {
        let items = ready
            .journal
            .dispute_items(&set.name)
            .await
            .map_err(CliError::trouble)?;
        let replayed = Kept::of(set)?.judge == JudgeFlag::Replay;
        let mut rows = Vec::with_capacity(items.len());
        for item in items {
            rows.push(row(ready, (set, replayed), item).await?);
        }
        Ok(Self {
            set: set.clone(),
            rows,
        })
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for row in &self.rows {
            match &row.now {
                Some(now) if row.changes() => {
                    let change = format!("{} -> {}", row.then.outcome, now.outcome);
                    *counts.changed.entry(change).or_default() += 1;
                }
                Some(_) => counts.same += 1,
                None if row.item.error.is_some() => counts.errors += 1,
                None => counts.unfinished += 1,
            }
        }
        counts
    }

    /// Cents that would move, or have moved, by the first word of the ledger's reason.
    fn money(&self) -> BTreeMap<String, i64> {
        let mut money = BTreeMap::new();
        for row in &self.rows {
            if let Some(Ok(Transition::Apply(change))) = &row.foreseen {
                for movement in &change.movements {
                    let kind = movement.reason.split(':').next().unwrap_or_default();
                    *money.entry(kind.to_owned()).or_default() += movement.delta;
                }
            }
        }
        money
    }

    /// Decisions that could not be judged again, and those that were not yet.
    pub(super) fn unjudged(&self) -> (usize, usize) {
        let counts = self.counts();
        (counts.errors, counts.unfinished)
    }

    /// What applying the set would publish.
    pub(super) fn changed_previews(&self) -> Vec<OutcomeMessage> {
        let changed = self.rows.iter().filter(|row| row.changes());
        changed.filter_map(|row| row.now.clone()).collect()
    }

    /// 1 where something changes, 3 where something could not be judged.
    pub(super) fn exit(&self) -> Exit {
        let counts = self.counts();
        if counts.errors + counts.unfinished > 0 {
            Exit::Trouble
        } else if counts.changed.is_empty() {
            Exit::Good
        } else {
            Exit::No
        }
    }

    /// For people as lines, for a program as what there is to say so far.
    pub(super) fn tell(&self, as_json: bool, told: &mut Value) -> Result<(), CliError> {
        *told = self.value();
        if as_json { Ok(()) } else { self.print() }
    }

    fn print(&self) -> Result<(), CliError> {
        let set = &self.set;
        say!(
            "set `{}` ({}), by {}: {}",
            set.name,
            set.state.as_str(),
            set.by,
            set.reason
        );
        let width = self.rows.iter().map(|row| row.item.job_id.as_str().len()).max();
        let width = width.unwrap_or(0).max(3);
        for row in self.rows.iter().filter(|row| row.changes() || row.now.is_none()) {
            let job = format!("{:<width$}  {}", row.item.job_id, row.item.attempt);
            match &row.now {
                Some(now) => {
                    say!(
                        "{job}  {} -> {}  {} -> {}  {}",
                        row.then.outcome,
                        now.outcome,
                        row.then.score,
                        now.score,
                        row.becomes()
                    );
                }
                None => {
                    let why = row.item.error.as_deref().unwrap_or("not judged again yet");
                    say!("{job}  {} -> ?  {why}", row.then.outcome);
                }
            }
        }
        let counts = self.counts();
        let mut words = vec![format!("{} the same", counts.same)];
        words.extend(
            counts
                .changed
                .iter()
                .map(|(change, count)| format!("{count} {change}")),
        );
        words.push(format!("{} could not be judged", counts.errors));
        if counts.unfinished > 0 {
            words.push(format!("{} not judged again yet", counts.unfinished));
        }
        say!("{} decisions: {}", self.rows.len(), words.join(", "));
        let stale = self
            .rows
            .iter()
            .filter(|row| row.changes() && !row.effective)
            .count();
        if stale > 0 {
            say!("{stale} of them are not effective any more: the set cannot be applied");
        }
        let money = self.money();
        if !money.is_empty() {
            let money: Vec<_> = money
                .iter()
                .map(|(kind, cents)| format!("{kind} {cents:+}"))
                .collect();
            say!("in cents, all together, each by itself: {}", money.join(", "));
        }
        if set.state == SetState::Open {
            say!(
                "nothing has moved: `assay reverify --apply {0}` publishes what changed, --cancel {0} ends it",
                set.name
            );
        }
        Ok(())
    }

    /// For a program.
    pub(super) fn value(&self) -> Value {
        let counts = self.counts();
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "job_id": row.item.job_id, "attempt": row.item.attempt, "disputes": row.item.disputes,
                    "verification_id": row.item.verification_id, "then": row.then.outcome,
                    "now": row.now.as_ref().map(|now| now.outcome), "score_then": row.then.score,
                    "score_now": row.now.as_ref().map(|now| now.score), "error": row.item.error,
                    "effective": row.effective, "foreseen": row.foreseen.as_ref().map(foreseen_value),
                    "settlement": row.settlement.as_ref().map(settlement_value),
                })
            })
            .collect();
        json!({
            "set": self.set.name, "state": self.set.state.as_str(), "by": self.set.by, "reason": self.set.reason,
            "decisions": self.rows.len(), "same": counts.same, "changed": counts.changed, "errors": counts.errors,
            "unfinished": counts.unfinished, "cents": self.money(), "items": rows,
        })
    }
}

impl Row {
    /// What settlement would do, or has done.
    fn becomes(&self) -> String {
        match &self.settlement {
            Some(settlement) => settlement_words(settlement),
            None => foreseen_words(self.foreseen.as_ref()),
        }
    }
}

async fn row(
    ready: &Ready,
    (set, replayed): (&DisputeSet, bool),
    mut item: DisputeItem,
) -> Result<Row, CliError> {
    let trouble = |error: JournalError| CliError::trouble(error);
    let damaged = |what: String| trouble(JournalError::Damaged(what));
    let decision = ready.journal.decision(item.disputes).await.map_err(trouble)?;
    let decision = decision.ok_or_else(|| damaged(format!("decision {} is gone", item.disputes)))?;
    let read = |bytes: &[u8]| {
        let message: Result<OutcomeMessage, _> = serde_json::from_slice(bytes);
        message.map_err(|error| damaged(error.to_string()))
    };
    let then = read(&decision.message)?;
    let now = match item.verification_id {
        Some(id) if is_judged(&item) => ready.journal.preview(id).await.map_err(trouble)?,
        Some(_) | None => None,
    };
    let mut now = now.as_deref().map(read).transpose()?;
    // Of the same plan and the same answers another verdict proves that something of ours is not as it was.
    if replayed && now.as_ref().and_then(|now| replays(&then, now)) == Some(false) {
        item.error = Some(
            "it does not replay: the plan and the answers of then do not come to the verdicts of then"
                .to_owned(),
        );
        now = None;
    }
    let changes = now.as_ref().is_some_and(|now| now.outcome != then.outcome);
    let (mut foreseen, mut settlement) = (None, None);
    match (set.state, &now) {
        (SetState::Open, Some(now)) if changes => foreseen = ready.foresee(now).await?,
        (SetState::Applied, Some(now)) if changes => {
            let looking = ready.journal.settlement_of(now.verification_id);
            settlement = Some(ready.journal.within(looking).await.map_err(trouble)?);
        }
        _ => {}
    }
    Ok(Row {
        effective: match decision.superseded_by {
            None => true,
            Some(by) => Some(by) == item.verification_id,
        },
        item,
        then,
        now,
        foreseen,
        settlement,
    })
}

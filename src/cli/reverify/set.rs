//! Many at once: a named set, previewed as a table, applied or cancelled as a whole.

use anyhow::anyhow;
use futures_util::stream::{self, StreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::super::{CliError, Exit};
use super::ready::{How, Ready};
use super::select::{Kept, create};
use super::table::Table;
use super::{ReverifyArgs, note};
use crate::causes::in_full;
use crate::journal::{DisputeItem, DisputeSet, NewDispute, SetLock, SetState};
use crate::reverify::{Case, PlanWanted, ReverifyError};

pub(super) async fn list(ready: &Ready, as_json: bool, told: &mut Value) -> Result<Exit, CliError> {
    let mut values = Vec::new();
    for set in ready
        .journal
        .dispute_sets(None)
        .await
        .map_err(CliError::trouble)?
    {
        let count = ready.journal.dispute_items(&set.name).await;
        let count = count.map_err(CliError::trouble)?.len();
        values.push(json!({
            "set": set.name, "state": set.state.as_str(), "decisions": count, "by": set.by,
            "reason": set.reason, "created_at": set.created_at, "ended_by": set.ended_by,
        }));
        let text = format!(
            "{}  {}  {count} decisions  {:.0} by {}: {}",
            set.name,
            set.state.as_str(),
            set.created_at,
            set.by,
            set.reason
        );
        note(as_json, &text)?;
    }
    told["sets"] = values.into();
    Ok(Exit::Good)
}

/// Makes the set or goes on with it, then shows it.
pub(super) async fn preview(
    ready: &Ready,
    name: &str,
    args: &ReverifyArgs,
    told: &mut Value,
) -> Result<Exit, CliError> {
    let sets = &args.sets;
    let selects = sets.since.is_some()
        || sets.until.is_some()
        || sets.grader.is_some()
        || sets.model.is_some()
        || args.plan.is_some()
        || !sets.conditions.is_empty();
    let set = match find(ready, name).await? {
        Some(_) if selects => {
            return Err(CliError::usage(anyhow!(
                "there is a set `{name}` already: leave the selection away to go on with it, or choose another name"
            )));
        }
        Some(set) => {
            judges_alike(&set, args)?;
            set
        }
        None if !selects => {
            return Err(CliError::usage(anyhow!(
                "there is no set `{name}`: say which decisions it is about, e.g. --since, --plan or --where outcome=retry"
            )));
        }
        None => {
            create(ready, name, args).await?;
            known(ready, name).await?
        }
    };
    if set.state == SetState::Open {
        let _alone = lock(ready, name).await?;
        judge_all(ready, &set, args).await?;
    }
    let table = Table::of(ready, &set).await?;
    table.tell(args.json, told)?;
    told["receipts_checked"] = ready.trust().is_some().into();
    if let Some(unchecked) = ready.unchecked() {
        note(args.json, &unchecked)?;
    }
    Ok(table.exit())
}

/// Whoever goes on with a set judges as it was begun, for the reason that was given.
fn judges_alike(set: &DisputeSet, args: &ReverifyArgs) -> Result<(), CliError> {
    let kept = Kept::of(set)?;
    let other = [
        ("--judge", args.judge.is_none_or(|judge| judge == kept.judge)),
        (
            "--samples",
            args.samples.is_none() || args.samples == kept.samples,
        ),
        (
            "--reason",
            args.reason.as_ref().is_none_or(|reason| *reason == set.reason),
        ),
    ];
    match other.iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((flag, _)) => Err(CliError::usage(anyhow!(
            "the set `{}` was made with another {flag}: leave it away to go on with the set, or make one of another name",
            set.name
        ))),
    }
}

async fn find(ready: &Ready, name: &str) -> Result<Option<DisputeSet>, CliError> {
    let found = ready.journal.dispute_sets(Some(name)).await;
    Ok(found.map_err(CliError::trouble)?.into_iter().next())
}

pub(super) async fn known(ready: &Ready, name: &str) -> Result<DisputeSet, CliError> {
    let unknown = || {
        CliError::usage(anyhow!(
            "there is no set `{name}`: `assay reverify --list` shows those there are"
        ))
    };
    find(ready, name).await?.ok_or_else(unknown)
}

pub(super) async fn lock(ready: &Ready, name: &str) -> Result<SetLock, CliError> {
    let locked = ready.journal.lock_set(name).await.map_err(CliError::trouble)?;
    locked.ok_or_else(|| CliError::usage(anyhow!("another process works on the set `{name}`")))
}

/// Whether the item has come to its end; what could not be judged is tried again.
pub(super) fn is_judged(item: &DisputeItem) -> bool {
    item.error.is_none() && matches!(item.outcome.as_deref(), Some("verified" | "retry"))
}

/// Judges what was not judged yet, side by side.
async fn judge_all(ready: &Ready, set: &DisputeSet, args: &ReverifyArgs) -> Result<(), CliError> {
    let kept = Kept::of(set)?;
    let plan = match kept.plan {
        None => PlanWanted::Then,
        Some(digest) => {
            let found = ready.journal.kept_plan(digest).await.map_err(CliError::trouble)?;
            let missing =
                || CliError::trouble(anyhow!("the plan {digest} of the set `{}` is gone", set.name));
            PlanWanted::Kept(Box::new(found.ok_or_else(missing)?))
        }
    };
    let how = How {
        plan,
        judge: kept.judge,
        samples: kept.samples,
    };
    let items = ready
        .journal
        .dispute_items(&set.name)
        .await
        .map_err(CliError::trouble)?;
    let left: Vec<_> = items.into_iter().filter(|item| !is_judged(item)).collect();
    let progress = progress(left.len(), args.json);
    let side_by_side = args.sets.jobs.unwrap_or(2 * ready.config.sandbox_children).max(1);
    let (progress_of, how) = (&progress, &how);
    let mut judging = stream::iter(left)
        .map(|item| async move {
            let judged = judge_one(ready, set, how, &item).await;
            progress_of.inc(1);
            judged
        })
        .buffer_unordered(side_by_side);
    let mut trouble = None;
    while let Some(judged) = judging.next().await {
        if let Err(error) = judged {
            trouble.get_or_insert(error);
        }
        if ready.reverifier.cancel.is_cancelled() {
            trouble.get_or_insert_with(|| {
                CliError::trouble(anyhow!(
                    "interrupted: `assay reverify --set {}` goes on with it",
                    set.name
                ))
            });
        }
        if trouble.is_some() {
            ready.reverifier.cancel.cancel();
        }
    }
    progress.finish_and_clear();
    trouble.map_or(Ok(()), Err)
}

/// Judges one. What is the decision's own trouble is noted with it; what is ours ends the whole.
async fn judge_one(ready: &Ready, set: &DisputeSet, how: &How, item: &DisputeItem) -> Result<(), CliError> {
    if ready.reverifier.cancel.is_cancelled() {
        return Ok(());
    }
    if let (Some(id), None) = (item.verification_id, &item.outcome) {
        let now = ready.reverifier.clock.now();
        ready
            .journal
            .abandon_dispute(id, now)
            .await
            .map_err(CliError::trouble)?;
    }
    let dispute = NewDispute {
        disputes: item.disputes,
        set: Some(set.name.clone()),
        by: set.by.clone(),
        reason: set.reason.clone(),
    };
    let judging = async {
        let case = Case::load(&ready.journal, ready.trust(), &item.job_id, Some(item.attempt)).await?;
        if case.decision.verification_id != item.disputes {
            let what = "it is not the effective decision any more".to_owned();
            return Err(ReverifyError::Inconsistent {
                id: item.disputes,
                what,
            });
        }
        ready.judge(&case, how, &dispute, None).await
    };
    match judging.await {
        Ok(_) => Ok(()),
        Err(error @ (ReverifyError::Journal(_) | ReverifyError::Sandbox(_) | ReverifyError::Disk(_))) => {
            Err(CliError::trouble(error))
        }
        Err(error) => {
            let why = in_full(&error);
            let noted = ready.journal.fail_item(&set.name, item.disputes, &why).await;
            noted.map_err(CliError::trouble)
        }
    }
}

fn progress(count: usize, hidden: bool) -> ProgressBar {
    if hidden || count == 0 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("judging again {bar:40} {pos}/{len} {per_sec} {eta}");
    ProgressBar::new(count as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

pub(super) async fn cancel(
    ready: &Ready,
    name: &str,
    args: &ReverifyArgs,
    told: &mut Value,
) -> Result<Exit, CliError> {
    known(ready, name).await?;
    let _alone = lock(ready, name).await?;
    let cancelled = ready.journal.cancel_set(name, &args.by.name).await;
    let cancelled = cancelled.map_err(CliError::trouble)?;
    let state = known(ready, name).await?.state;
    *told = json!({ "set": name, "state": state.as_str() });
    if !cancelled {
        return Err(CliError::usage(anyhow!(
            "the set `{name}` is {} already",
            state.as_str()
        )));
    }
    note(
        args.json,
        &format!("cancelled: nothing of the set `{name}` moves anything"),
    )?;
    Ok(Exit::Good)
}

//! Many at once: a named set, previewed as a table, applied or cancelled as a whole.

use anyhow::anyhow;
use futures_util::stream::{self, StreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::super::{CliError, Exit};
use super::ready::{How, Ready};
use super::select::{Kept, create};
use super::table::Table;
use super::{ReverifyArgs, agreed};
use crate::causes::in_full;
use crate::journal::{DisputeItem, DisputeSet, NewDispute, SetLock, SetState};
use crate::reverify::{Case, PlanWanted, Published, ReverifyError};

pub(super) async fn list(ready: &Ready, as_json: bool) -> Result<Exit, CliError> {
    for set in ready
        .journal
        .dispute_sets(None)
        .await
        .map_err(CliError::trouble)?
    {
        let count = ready.journal.dispute_items(&set.name).await;
        let count = count.map_err(CliError::trouble)?.len();
        if as_json {
            say!(
                "{}",
                json!({
                    "set": set.name, "state": set.state.as_str(), "decisions": count, "by": set.by,
                    "reason": set.reason, "created_at": set.created_at, "ended_by": set.ended_by,
                })
            );
        } else {
            say!(
                "{}  {}  {count} decisions  {:.0} by {}: {}",
                set.name,
                set.state.as_str(),
                set.created_at,
                set.by,
                set.reason
            );
        }
    }
    Ok(Exit::Good)
}

/// Makes the set or goes on with it, then shows it.
pub(super) async fn preview(ready: &Ready, name: &str, args: &ReverifyArgs) -> Result<Exit, CliError> {
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
        Some(set) => set,
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
    table.print(args.json)?;
    Ok(table.exit())
}

async fn find(ready: &Ready, name: &str) -> Result<Option<DisputeSet>, CliError> {
    let found = ready.journal.dispute_sets(Some(name)).await;
    Ok(found.map_err(CliError::trouble)?.into_iter().next())
}

async fn known(ready: &Ready, name: &str) -> Result<DisputeSet, CliError> {
    let unknown = || {
        CliError::usage(anyhow!(
            "there is no set `{name}`: `assay reverify --list` shows those there are"
        ))
    };
    find(ready, name).await?.ok_or_else(unknown)
}

async fn lock(ready: &Ready, name: &str) -> Result<SetLock, CliError> {
    let locked = ready.journal.lock_set(name).await.map_err(CliError::trouble)?;
    locked.ok_or_else(|| CliError::usage(anyhow!("another process works on the set `{name}`")))
}

/// Whether the item has come to its end; what could not be judged is tried again.
pub(super) fn is_judged(item: &DisputeItem) -> bool {
    item.error.is_none() && matches!(item.outcome.as_deref(), Some("verified" | "retry"))
}

/// Judges what was not judged yet, side by side.
async fn judge_all(ready: &Ready, set: &DisputeSet, args: &ReverifyArgs) -> Result<(), CliError> {
    let kept: Kept = serde_json::from_str(&set.selection)
        .map_err(|error| CliError::trouble(anyhow!("the set `{}` cannot be read: {error}", set.name)))?;
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
        let case = Case::load(&ready.journal, &item.job_id, Some(item.attempt)).await?;
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

/// Publishes what changed, all or none; called again, goes on publishing what the broker has not confirmed.
pub(super) async fn apply(ready: &Ready, name: &str, args: &ReverifyArgs) -> Result<Exit, CliError> {
    let set = known(ready, name).await?;
    let _alone = lock(ready, name).await?;
    match set.state {
        SetState::Cancelled => {
            return Err(CliError::usage(anyhow!("the set `{name}` was cancelled")));
        }
        SetState::Applied => {
            let sent = ready.send(None).await?;
            if !args.json {
                say!("the set `{name}` was applied before; {sent} messages were left to publish");
            }
        }
        SetState::Open => {
            let table = Table::of(ready, &set).await?;
            if table.unfinished() > 0 {
                return Err(CliError::usage(anyhow!(
                    "{} decisions of the set `{name}` were not judged again yet: `assay reverify --set {name}` goes on",
                    table.unfinished()
                )));
            }
            if !args.json {
                table.print(false)?;
            }
            let previews = table.changed_previews();
            if !agreed(&format!("Publish {} decisions?", previews.len()), args.yes)? {
                if !args.json {
                    say!("nothing has moved");
                }
                return Ok(Exit::No);
            }
            let stored = ready
                .publisher()
                .store(&previews, &args.by.name, Some(name))
                .await;
            match stored.map_err(CliError::trouble)? {
                Published::Stored => {}
                Published::SetEnded => {
                    return Err(CliError::usage(anyhow!(
                        "somebody has ended the set `{name}` meanwhile"
                    )));
                }
                Published::NotEffective(which) => {
                    let which: Vec<_> = which.iter().map(ToString::to_string).collect();
                    return Err(CliError {
                        exit: Exit::No,
                        error: anyhow!(
                            "nothing of the set `{name}` is published: decisions that it would overturn are not effective \
                             any more (by the verifications {}); cancel it and make another",
                            which.join(", ")
                        ),
                    });
                }
            }
            if !previews.is_empty() {
                ready.send(None).await?;
            }
            if !args.json {
                say!("applied: {} decisions are published", previews.len());
            }
        }
    }
    if args.json {
        Table::of(ready, &known(ready, name).await?).await?.print(true)?;
    }
    Ok(Exit::Good)
}

pub(super) async fn cancel(ready: &Ready, name: &str, by: &str) -> Result<Exit, CliError> {
    known(ready, name).await?;
    let _alone = lock(ready, name).await?;
    if !ready
        .journal
        .cancel_set(name, by)
        .await
        .map_err(CliError::trouble)?
    {
        let state = known(ready, name).await?.state;
        return Err(CliError::usage(anyhow!(
            "the set `{name}` is {} already",
            state.as_str()
        )));
    }
    say!("cancelled: nothing of the set `{name}` moves anything");
    Ok(Exit::Good)
}

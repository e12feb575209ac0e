//! A set is applied: all of it, or nothing.

use anyhow::anyhow;
use serde_json::Value;

use super::super::{CliError, Exit};
use super::ready::Ready;
use super::set::{known, lock};
use super::table::Table;
use super::{ReverifyArgs, agreed, note};
use crate::entry::VerificationId;
use crate::journal::SetState;
use crate::reverify::Published;

/// Publishes what changed, all or none; called again, goes on publishing what the broker has not confirmed.
pub(super) async fn apply(
    ready: &Ready,
    name: &str,
    args: &ReverifyArgs,
    told: &mut Value,
) -> Result<Exit, CliError> {
    let set = known(ready, name).await?;
    let _alone = lock(ready, name).await?;
    match set.state {
        SetState::Cancelled => {
            return Err(CliError::usage(anyhow!("the set `{name}` was cancelled")));
        }
        SetState::Applied => {
            tell(ready, name, told).await?;
            let sent = ready.send(None).await?;
            let text = format!("the set `{name}` was applied before; {sent} messages were left to publish");
            note(args.json, &text)?;
        }
        SetState::Open => {
            let trust = ready.needs_trust()?;
            let table = Table::of(ready, &set).await?;
            table.tell(args.json, told)?;
            refuse_unjudged(&table, name, args.sets.without_errors)?;
            let previews = table.changed_previews();
            if !agreed(&format!("Publish {} decisions?", previews.len()), args.yes)? {
                note(args.json, "nothing has moved")?;
                return Ok(Exit::No);
            }
            let publisher = ready.publisher();
            let stored = publisher.store(&previews, trust, &args.by.name, Some(name)).await;
            match stored.map_err(CliError::trouble)? {
                Published::Stored => {}
                Published::SetEnded => {
                    return Err(CliError::usage(anyhow!(
                        "somebody has ended the set `{name}` meanwhile"
                    )));
                }
                Published::NotEffective(which) => return Err(not_effective(name, &which)),
            }
            told["state"] = SetState::Applied.as_str().into();
            if !previews.is_empty() {
                ready.send(None).await?;
            }
            note(
                args.json,
                &format!("applied: {} decisions are published", previews.len()),
            )?;
        }
    }
    tell(ready, name, told).await?;
    Ok(Exit::Good)
}

/// The set as it is now, for a program.
async fn tell(ready: &Ready, name: &str, told: &mut Value) -> Result<(), CliError> {
    *told = Table::of(ready, &known(ready, name).await?).await?.value();
    Ok(())
}

/// A set is applied as a whole: what was not judged is in it, too.
fn refuse_unjudged(table: &Table, name: &str, without_errors: bool) -> Result<(), CliError> {
    let (errors, unfinished) = table.unjudged();
    if unfinished > 0 {
        return Err(CliError::usage(anyhow!(
            "{unfinished} decisions of the set `{name}` were not judged again yet: `assay reverify --set {name}` goes on"
        )));
    }
    if errors > 0 && !without_errors {
        return Err(CliError::usage(anyhow!(
            "{errors} decisions of the set `{name}` could not be judged again: `assay reverify --set {name}` tries them once \
             more; --without-errors leaves them as they are and closes the set"
        )));
    }
    Ok(())
}

fn not_effective(name: &str, which: &[VerificationId]) -> CliError {
    let which: Vec<_> = which.iter().map(ToString::to_string).collect();
    CliError {
        exit: Exit::No,
        error: anyhow!(
            "nothing of the set `{name}` is published: decisions that it would overturn are not effective any more (by the \
             verifications {}); cancel it and make another",
            which.join(", ")
        ),
    }
}

//! One job in dispute.

use std::time::Duration;

use anyhow::anyhow;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::follow::{settlement_value, settlement_words};
use super::super::{CliError, Exit, heard};
use super::ready::{How, Judged, Ready, refused};
use super::show::{foreseen_value, foreseen_words, show};
use super::{JudgeFlag, ReverifyArgs, agreed, note};
use crate::entry::LogEntry;
use crate::job::JobId;
use crate::journal::{NewDispute, Settlement};
use crate::message::OutcomeMessage;
use crate::report::print_log;
use crate::reverify::{Case, Published};

/// How long settlement is waited for, before the last line says that it has yet to come.
const SETTLING: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_millis(100);

pub(super) async fn run(
    ready: &Ready,
    job: &str,
    args: &ReverifyArgs,
    told: &mut Value,
) -> Result<Exit, CliError> {
    if args.publish {
        ready.needs_trust()?;
    }
    let job_id = JobId::new(job);
    let how = How {
        plan: ready.plan(args.plan.as_deref()).await?,
        judge: args.judge.unwrap_or(JudgeFlag::Live),
        samples: args.samples,
    };
    let case = Case::load(&ready.journal, ready.trust(), &job_id, args.attempt)
        .await
        .map_err(refused)?;
    let dispute = NewDispute {
        disputes: case.decision.verification_id,
        set: None,
        by: args.by.name.clone(),
        reason: args
            .reason
            .clone()
            .unwrap_or_else(|| "no reason given".to_owned()),
    };
    let Judged { comparison, preview } = judge(ready, &case, &how, &dispute, args.json).await?;
    *told = json!({
        "comparison": comparison, "receipt_checked": ready.trust().is_some(), "stored": false, "published": false,
    });
    if !args.json {
        heard(show(&mut anstream::stdout(), &comparison))?;
    }
    if let Some(unchecked) = ready.unchecked() {
        note(args.json, &unchecked)?;
    }
    let exit = match (
        comparison.is_judged(),
        comparison.does_not_replay(),
        comparison.same_outcome,
    ) {
        (false, ..) | (true, true, _) => Exit::Trouble,
        (true, false, true) => Exit::Good,
        (true, false, false) => Exit::No,
    };
    if args.publish {
        // A call before this one may have died between storing and publishing.
        let left = ready.journal.unconfirmed_disputes(Some(&job_id)).await;
        if !left.map_err(CliError::trouble)?.is_empty() {
            let sent = ready.send(Some(&job_id)).await?;
            told["published_of_earlier"] = sent.into();
            note(args.json, &format!("{sent} decision of earlier is published now"))?;
        }
    }
    match (preview, exit) {
        (Some(preview), Exit::No) => {
            let foreseen = ready.foresee(&preview).await?;
            told["foreseen"] = foreseen.as_ref().map_or(Value::Null, foreseen_value);
            let overturned = &case.message;
            note(
                args.json,
                &format!(
                    "to be overturned: the decision of verification {} ({}, {})",
                    overturned.verification_id, overturned.outcome, overturned.decided_at
                ),
            )?;
            note(args.json, &foreseen_words(foreseen.as_ref()))?;
            if args.publish {
                if !agreed("Publish it?", args.yes)? {
                    note(args.json, "nothing has moved")?;
                } else {
                    publish(ready, &preview, args, told).await?;
                }
            } else {
                note(args.json, "nothing has moved: --publish publishes it")?;
            }
        }
        (_, Exit::Good) if args.publish => note(args.json, "the same outcome: there is nothing to publish")?,
        (_, Exit::Trouble) if comparison.does_not_replay() => {
            let text = "nothing has moved, and nothing of it can be published: find out what is not as it was, or ask the judge \
                        anew with --judge live";
            note(args.json, text)?;
        }
        (_, Exit::Trouble) => note(args.json, "it could not be judged again: nothing has moved")?,
        (Some(_) | None, _) => note(args.json, "nothing has moved")?,
    }
    Ok(exit)
}

/// Judges again, with the log on the terminal as it is committed.
async fn judge(
    ready: &Ready,
    case: &Case,
    how: &How,
    dispute: &NewDispute,
    silent: bool,
) -> Result<Judged, CliError> {
    let (hear, mut hearing) = mpsc::unbounded_channel::<LogEntry>();
    let printing = async {
        let mut out = anstream::stdout();
        let mut printed = Ok(());
        while let Some(entry) = hearing.recv().await {
            // Whoever reads it may stop: that changes nothing.
            if !silent && printed.is_ok() {
                printed = heard(print_log(&mut out, &[entry]));
            }
        }
        printed
    };
    let (judged, printed) = tokio::join!(ready.judge(case, how, dispute, Some(hear)), printing);
    printed?;
    judged.map_err(refused)
}

async fn publish(
    ready: &Ready,
    preview: &OutcomeMessage,
    args: &ReverifyArgs,
    told: &mut Value,
) -> Result<(), CliError> {
    let stored = ready
        .publisher()
        .store(
            std::slice::from_ref(preview),
            ready.needs_trust()?,
            &args.by.name,
            None,
        )
        .await;
    match stored.map_err(refused)? {
        Published::Stored => {}
        Published::NotEffective(_) | Published::SetEnded => {
            return Err(CliError {
                exit: Exit::No,
                error: anyhow!(
                    "not published: the decision that it would overturn is not the effective one any more; judge it again"
                ),
            });
        }
    }
    told["stored"] = true.into();
    ready.send(Some(&preview.job_id)).await?;
    told["published"] = true.into();
    note(
        args.json,
        &format!(
            "published: {} by verification {}",
            preview.outcome, preview.verification_id
        ),
    )?;
    if !ready.settles() {
        return Ok(());
    }
    let give_up = Instant::now() + SETTLING;
    let mut settlement = Settlement::NotYet;
    while settlement == Settlement::NotYet && Instant::now() < give_up {
        tokio::time::sleep(EVERY).await;
        let looking = ready.journal.settlement_of(preview.verification_id);
        settlement = ready.journal.within(looking).await.map_err(CliError::trouble)?;
    }
    told["settlement"] = settlement_value(&settlement);
    note(args.json, &settlement_words(&settlement))
}

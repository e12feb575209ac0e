//! Which decisions a set is about.

use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::CliError;
use super::ready::Ready;
use super::{JudgeFlag, ReverifyArgs};
use crate::digest::Digest;
use crate::journal::{DecisionRow, DisputeSet, Journal as _, Selected};
use crate::message::OutcomeMessage;
use crate::outcome::{GraderEnd, Outcome};
use crate::reverify::{PlanWanted, Told};

/// What `--where` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    Outcome(Outcome),
    Plan(String),
}

/// Reads `KEY=VALUE`.
pub(super) fn condition(text: &str) -> Result<Condition, String> {
    match text.split_once('=') {
        Some(("outcome", "verified")) => Ok(Condition::Outcome(Outcome::Verified)),
        Some(("outcome", "retry")) => Ok(Condition::Outcome(Outcome::Retry)),
        Some(("plan", name)) if !name.is_empty() => Ok(Condition::Plan(name.to_owned())),
        _ => Err("expected outcome=verified, outcome=retry or plan=NAME".to_owned()),
    }
}

/// How a set judges, as it is kept with the set: whoever goes on with it judges alike.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    /// What was selected, for people.
    selected: serde_json::Value,
    /// The plan; none: each by its own of then.
    pub(super) plan: Option<Digest>,
    pub(super) judge: JudgeFlag,
    pub(super) samples: Option<u32>,
}

impl Kept {
    pub(super) fn of(set: &DisputeSet) -> Result<Self, CliError> {
        serde_json::from_str(&set.selection)
            .map_err(|error| CliError::trouble(anyhow!("the set `{}` cannot be read: {error}", set.name)))
    }
}

/// Makes the set of what is selected.
pub(super) async fn create(ready: &Ready, name: &str, args: &ReverifyArgs) -> Result<(), CliError> {
    let sets = &args.sets;
    let reason = args
        .reason
        .as_ref()
        .filter(|reason| !reason.trim().is_empty())
        .ok_or_else(|| CliError::usage(anyhow!("a set needs a --reason")))?;
    let plan = ready.plan(args.plan.as_deref()).await?;
    let (mut of_plan, mut outcome) = (None, None);
    if let PlanWanted::Kept(kept) = &plan {
        of_plan = Some(kept.name.clone());
    }
    for condition in &sets.conditions {
        match condition {
            Condition::Outcome(wanted) => outcome = Some(*wanted),
            Condition::Plan(name) => of_plan = Some(name.clone()),
        }
    }
    let selected = Selected {
        since: sets.since,
        until: sets.until,
        plan: of_plan,
        outcome,
    };
    let keep = |row: &DecisionRow| match &sets.grader {
        Some(grader) => gave_a_verdict(row, grader),
        None => true,
    };
    let items = ready.journal.select_decisions(&selected, keep).await;
    let mut items = items.map_err(CliError::trouble)?;
    if let Some(model) = &sets.model {
        let mut asked = Vec::new();
        for item in items {
            let entries = ready.journal.within(ready.journal.entries_from(item.0, 0)).await;
            let entries = entries.map_err(CliError::trouble)?;
            let told = Told::of(entries.iter().map(|entry| &entry.entry));
            if told
                .ran
                .values()
                .any(|ran| ran.judge_mode.is_some() && ran.engine.as_ref() == Some(model))
            {
                asked.push(item);
            }
        }
        items = asked;
    }
    if items.is_empty() {
        return Err(CliError::usage(anyhow!("no effective decision is one of those")));
    }
    let kept = Kept {
        selected: json!({
            "since": selected.since, "until": selected.until, "plan": selected.plan,
            "outcome": selected.outcome, "grader": sets.grader, "model": sets.model,
        }),
        plan: match &plan {
            PlanWanted::Then => None,
            PlanWanted::Kept(kept) => Some(kept.digest),
        },
        judge: args.judge.unwrap_or(JudgeFlag::Live),
        samples: args.samples,
    };
    let kept = serde_json::to_string(&kept).map_err(|error| CliError::trouble(anyhow!(error)))?;
    let about = (kept.as_str(), reason.as_str(), args.by.name.as_str());
    if !ready
        .journal
        .create_set(name, about, &items)
        .await
        .map_err(CliError::trouble)?
    {
        return Err(CliError::usage(anyhow!(
            "somebody has made a set `{name}` meanwhile"
        )));
    }
    Ok(())
}

fn gave_a_verdict(row: &DecisionRow, grader: &str) -> bool {
    let message: Result<OutcomeMessage, _> = serde_json::from_slice(&row.message);
    message.is_ok_and(|message| {
        message
            .graders
            .iter()
            .any(|words| words.name == grader && matches!(words.verdict, GraderEnd::Pass | GraderEnd::Fail))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_and_others_refused() {
        assert_eq!(condition("outcome=retry"), Ok(Condition::Outcome(Outcome::Retry)));
        assert_eq!(condition("plan=a=b"), Ok(Condition::Plan("a=b".to_owned())));
        for wrong in ["outcome=maybe", "plan=", "score>1", ""] {
            assert!(condition(wrong).is_err(), "{wrong}");
        }
    }
}

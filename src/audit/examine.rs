//! One verification: its chain, its decision and receipt, and what points to and from it.

use jiff::Timestamp;

use super::finding::{Finding, What};
use super::money::moved_otherwise;
use super::told::{contradicts_log, contradicts_receipt};
use crate::checkpoint::{Leaf, decision_digest};
use crate::journal::{Audited, AuditedDecision, Cause, ChainError, verify_chain};
use crate::message::OutcomeMessage;
use crate::receipt::{Purpose, Receipt, TrustFile, TrustedKey};

/// Everything that is wrong with a verification; empty where nothing is.
pub fn examine(audited: &Audited, trust: &TrustFile) -> Vec<Finding> {
    let mut examined = Examined {
        audited,
        findings: Vec::new(),
    };
    examined.chain();
    examined.decision(trust);
    examined.seal();
    examined.links();
    examined.erasures();
    examined.findings
}

struct Examined<'a> {
    audited: &'a Audited,
    findings: Vec<Finding>,
}

impl Examined<'_> {
    fn find(&mut self, what: What, place: impl Into<String>, detail: impl Into<String>) {
        self.findings.push(Finding {
            job_id: Some(self.audited.row.job_id.to_string()),
            verification_id: Some(self.audited.row.id),
            what,
            place: place.into(),
            detail: detail.into(),
        });
    }

    fn chain(&mut self) {
        let Audited {
            row,
            entries,
            recorded_entries,
            ended_at,
            ..
        } = self.audited;
        match verify_chain(row, entries) {
            Ok(()) => {}
            Err(error) => {
                let (what, place) = match &error {
                    ChainError::Gap { expected, .. } => (What::EntryMissing, format!("entry {expected}")),
                    ChainError::Changed(place) => (What::EntryChanged, format!("entry {place}")),
                    ChainError::Head(length) => (
                        What::ChainEnd,
                        format!("after entry {}", length.saturating_sub(1)),
                    ),
                    ChainError::Outcome { .. } => (What::Outcome, "verification.outcome".to_owned()),
                };
                self.find(what, place, error.to_string());
                return;
            }
        }
        let there = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        if ended_at.is_some() && recorded_entries.is_none_or(|recorded| recorded != there) {
            let recorded = recorded_entries.map_or_else(|| "none".to_owned(), |count| count.to_string());
            let detail = format!("{there} entries are there, {recorded} are recorded");
            self.find(What::ChainEnd, "verification.entries", detail);
        }
        let with_content = entries.iter().find(|entry| {
            entry.erased.is_some() && (!entry.entry.content.is_empty() || entry.salt != [0; 16])
        });
        if let Some(strange) = with_content {
            let place = format!("entry {}", strange.seq);
            self.find(What::EntryChanged, place, "an erased entry has content");
        }
        if let Some(strange) = entries.iter().find(|entry| entry.job_id != row.job_id) {
            let detail = format!("the entry is of job `{}`", strange.job_id);
            self.find(What::EntryChanged, format!("entry {}", strange.seq), detail);
        }
    }

    fn decision(&mut self, trust: &TrustFile) {
        let Audited { row, decision, .. } = self.audited;
        let decided = self.audited.has_answer();
        let Some(decision) = decision else {
            // A dispute that nobody published, and a run at the desk, decide nothing.
            if decided && row.cause == Cause::Submission {
                let outcome = row.outcome.as_deref().unwrap_or_default();
                self.find(
                    What::DecisionMissing,
                    "decision",
                    format!("it ended as {outcome}, without a decision"),
                );
            }
            return;
        };
        let message: OutcomeMessage = match serde_json::from_slice(&decision.message) {
            Ok(message) => message,
            Err(error) => {
                return self.find(
                    What::DecisionChanged,
                    "decision.message",
                    format!("it cannot be read: {error}"),
                );
            }
        };
        if let Some(field) = self.contradicts_rows(decision, &message) {
            self.find(
                What::DecisionChanged,
                field,
                "the message says other than the row",
            );
        }
        if let Some(field) = contradicts_receipt(&message) {
            self.find(
                What::DecisionChanged,
                format!("decision.message.{field}"),
                "the message says other than its receipt",
            );
        }
        match believes(trust, &message.receipt) {
            Ok(()) => {}
            Err(fault) => return self.find(What::Receipt, "decision.message.receipt", fault),
        }
        if message.receipt.log_head != row.head {
            let detail = format!(
                "the receipt signs a log that ends with {}, this one ends with {}",
                message.receipt.log_head.short(),
                row.head.short()
            );
            return self.find(What::ChainRecomputed, "the whole chain", detail);
        }
        // What a broken chain says proves nothing more.
        if self.findings.is_empty()
            && let Some(field) = contradicts_log(&message, &self.audited.entries)
        {
            self.find(
                What::DecisionChanged,
                format!("decision.message.{field}"),
                "the message says other than the log",
            );
        }
    }

    /// The first column that the message contradicts.
    fn contradicts_rows(&self, decision: &AuditedDecision, message: &OutcomeMessage) -> Option<&'static str> {
        let row = &self.audited.row;
        let fields = [
            ("decision.job_id", decision.job_id == message.job_id.as_str()),
            ("decision.attempt", decision.attempt == message.attempt),
            ("decision.trigger", decision.trigger == message.trigger.as_str()),
            ("decision.supersedes", decision.supersedes == message.supersedes),
            ("decision.outcome", decision.outcome == message.outcome.as_str()),
            ("verification.id", row.id == message.verification_id),
            ("verification.job_id", row.job_id == message.job_id),
            (
                "verification.cause",
                row.cause.as_str() == message.trigger.as_str(),
            ),
            ("verification.attempt", row.attempt == message.attempt),
            ("verification.plan", row.plan == message.plan),
            (
                "verification.submission",
                row.submission == message.receipt.submission,
            ),
            (
                "verification.outcome",
                row.outcome.as_deref() == Some(message.outcome.as_str()),
            ),
        ];
        let wrong = fields.iter().find(|(_, fits)| !fits);
        wrong.map(|(field, _)| *field)
    }

    fn seal(&mut self) {
        let Audited {
            row,
            sealed,
            decision,
            ..
        } = self.audited;
        let decided = decision
            .as_ref()
            .map(|decision| decision_digest(&decision.message));
        for (number, _, leaf) in sealed {
            let now = Leaf {
                verification_id: row.id,
                head: row.head,
                state: row.outcome.clone().unwrap_or_default(),
                decision: leaf.decision,
            };
            if *leaf != now {
                self.sealed_otherwise(*number, leaf, &now);
            }
            let place = format!("checkpoint {number}");
            match (leaf.decision, decided) {
                (Some(sealed), Some(decided)) if sealed != decided => {
                    self.find(What::SealedOtherwise, place, "it sealed another decision");
                }
                (Some(_), None) => {
                    self.find(
                        What::DecisionMissing,
                        place,
                        "it sealed a decision, which is gone",
                    );
                }
                // That of a dispute may be published later, that of a hand-in is written with the end.
                (None, Some(_)) if row.cause != Cause::Dispute => {
                    self.find(
                        What::SealedOtherwise,
                        place,
                        "there was no decision when it was sealed",
                    );
                }
                (Some(_) | None, Some(_)) | (None, None) => {}
            }
        }
    }

    fn sealed_otherwise(&mut self, number: u64, leaf: &Leaf, now: &Leaf) {
        let detail = format!(
            "sealed as {} with head {}, now {} with head {}",
            leaf.state,
            leaf.head.short(),
            if now.state.is_empty() {
                "not ended"
            } else {
                &now.state
            },
            now.head.short()
        );
        self.find(What::SealedOtherwise, format!("checkpoint {number}"), detail);
    }

    fn links(&mut self) {
        let Audited {
            taken_over_by,
            decision,
            settlement,
            ..
        } = self.audited;
        if let Some((successor, false)) = taken_over_by {
            let detail = format!("{successor}, who took over, is no verification of this attempt");
            self.find(What::LinkBroken, "verification.taken_over_by", detail);
        }
        if let Some(AuditedDecision {
            supersedes: Some(earlier),
            superseded_exists: false,
            ..
        }) = decision
        {
            let detail = format!("the decision {earlier}, which it overturns, is not there");
            self.find(What::LinkBroken, "decision.supersedes", detail);
        }
        if let (Some(settled), Some(decision)) = (settlement, decision) {
            let decided = (
                &decision.job_id,
                decision.attempt,
                &decision.outcome,
                decision.supersedes,
            );
            let applied = (
                &settled.job_id,
                settled.attempt,
                &settled.outcome,
                settled.supersedes,
            );
            let message: Option<OutcomeMessage> = serde_json::from_slice(&decision.message).ok();
            if decided != applied {
                let detail = format!("settled as {} of {}", settled.outcome, settled.job_id);
                self.find(What::Settlement, "settlement", detail);
            } else if let Some(detail) =
                message.and_then(|message| moved_otherwise(&message.receipt, settled))
            {
                self.find(What::Settlement, "settlement", detail);
            }
        }
    }

    fn erasures(&mut self) {
        let Audited {
            entries, erasures, ..
        } = self.audited;
        let erased = entries.iter().find(|entry| entry.erased.is_some());
        if let Some(erased) = erased
            && erasures.is_empty()
        {
            let place = format!("entry {}", erased.seq);
            self.find(
                What::ErasedUnrecorded,
                place,
                "the content is gone, and no erasure is on record",
            );
        }
    }
}

/// Whether the receipt was signed by a key that was valid when it was. A key that was revoked later still vouches for what it
/// signed before, as far as an audit goes: settlement is stricter, since a thief writes any date.
pub(super) fn believes(trust: &TrustFile, receipt: &Receipt) -> Result<(), String> {
    let Some(key) = trust.key(&receipt.kid) else {
        return Err(format!(
            "the key `{}` is not in the trust file",
            receipt.kid.chars().take(64).collect::<String>()
        ));
    };
    if !receipt.is_signed_by(key) {
        return Err("the signature does not fit what the receipt says".to_owned());
    }
    if receipt.purpose != Purpose::Settle {
        return Err("a preview stands where a decision should".to_owned());
    }
    valid_then(key, receipt)
}

fn valid_then(key: &TrustedKey, receipt: &Receipt) -> Result<(), String> {
    let at: Timestamp = receipt.decided_at;
    let kid = &key.kid;
    if key.deployment != receipt.deployment {
        return Err(format!("the key {kid} signs for deployment `{}`", key.deployment));
    }
    if key.not_before.is_some_and(|from| at < from) {
        return Err(format!("decided at {at}, before the key {kid} became valid"));
    }
    if key.not_after.is_some_and(|until| at > until) {
        return Err(format!("decided at {at}, after the key {kid} had expired"));
    }
    match key.revoked_at {
        Some(revoked) if at >= revoked => Err(format!(
            "decided at {at}, after the key {kid} was revoked at {revoked}"
        )),
        Some(_) | None => Ok(()),
    }
}

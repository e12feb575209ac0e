//! What an exported verification proves, with nothing but public keys.

use super::bundle::{Bundle, FORMAT, Inclusion, kid_of};
use super::examine::examine;
use super::seals::is_signed;
use super::told::is_unproven;
use crate::checkpoint::{Leaf, root_from};
use crate::entry::{Entry, LogEntry, chain_hash, chain_hash_of, chain_start};
use crate::journal::{Audited, AuditedDecision, Cause, Erasure, VerificationRow};
use crate::message::OutcomeMessage;
use crate::receipt::TrustFile;

/// What was found of a bundle. It is proven if nothing is wrong and something is proven.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Proof {
    /// What is proven.
    pub proven: Vec<String>,
    /// What it does not say.
    pub not_proven: Vec<String>,
    /// What is wrong with it.
    pub wrong: Vec<String>,
}

impl Proof {
    /// Whether the bundle proves what it says.
    pub fn holds(&self) -> bool {
        self.wrong.is_empty() && !self.proven.is_empty()
    }
}

/// Verifies the text of an exported bundle.
pub fn prove(text: &[u8], trust: &TrustFile) -> Proof {
    let mut proof = Proof::default();
    match serde_json::from_slice::<Bundle>(text) {
        Ok(bundle) if bundle.format == FORMAT => prove_bundle(&bundle, trust, &mut proof),
        Ok(_) => proof.wrong.push(format!("its format is not {FORMAT}")),
        Err(error) => proof.wrong.push(format!("it is no bundle: {error}")),
    }
    proof
}

fn prove_bundle(bundle: &Bundle, trust: &TrustFile, proof: &mut Proof) {
    let Some(audited) = audited(bundle) else {
        proof.wrong.push(
            "a salt is not 16 bytes in lower-case hexadecimal, its cause is none, or the message cannot be read"
                .to_owned(),
        );
        return;
    };
    let erased = audited
        .entries
        .iter()
        .filter(|entry| entry.erased.is_some())
        .count();
    for finding in examine(&audited, trust) {
        proof.wrong.push(format!(
            "{} at {}: {}",
            finding.what, finding.place, finding.detail
        ));
    }
    if let Some(message) = &bundle.message {
        proof.proven.push(format!(
            "the key {} signed this outcome, `{}`, of exactly this log, plan and submission",
            kid_of(message).unwrap_or_default(),
            bundle.outcome
        ));
    } else {
        proof.not_proven.push("a decision: there is none".to_owned());
    }
    match &bundle.inclusion {
        Some(inclusion) if !is_signed(&inclusion.checkpoint, trust) => {
            proof
                .wrong
                .push("no key of the trust file has signed the checkpoint".to_owned());
        }
        Some(inclusion)
            if root_from(leaf(bundle, inclusion).digest(), &inclusion.proof) != inclusion.checkpoint.root =>
        {
            proof
                .wrong
                .push("the checkpoint does not cover this verification".to_owned());
        }
        Some(inclusion) => proof.proven.push(format!(
            "checkpoint {} sealed it at {}: it was not made or changed later",
            inclusion.checkpoint.number, inclusion.checkpoint.made_at
        )),
        None => proof
            .not_proven
            .push("when it was made: no checkpoint had sealed it yet".to_owned()),
    }
    if erased > 0 {
        proof.not_proven.push(format!(
            "the content of {erased} entries, which was erased: who erased it, ask the deployment"
        ));
    }
    if is_unproven(&audited) {
        proof.not_proven.push(
            "verdict and score of each grader, and the threshold: they were erased from the log before a checkpoint had \
             sealed them"
                .to_owned(),
        );
    }
    if kids(bundle) != bundle.kids {
        proof
            .wrong
            .push("it names other keys than it was signed with".to_owned());
    }
    proof
        .not_proven
        .push("that nothing overturned it later: ask the deployment".to_owned());
}

/// What the checkpoint sealed, by the bundle's word; its root says whether it did.
fn leaf(bundle: &Bundle, inclusion: &Inclusion) -> Leaf {
    Leaf {
        verification_id: bundle.verification_id,
        head: bundle.head,
        state: bundle.outcome.clone(),
        decision: inclusion.decision,
    }
}

fn kids(bundle: &Bundle) -> Vec<String> {
    let decided = bundle.message.as_deref().and_then(kid_of);
    let sealed = bundle
        .inclusion
        .as_ref()
        .map(|inclusion| inclusion.checkpoint.kid.clone());
    let mut kids: Vec<_> = decided.into_iter().chain(sealed).collect();
    kids.sort_unstable();
    kids.dedup();
    kids
}

/// The bundle as an audit sees a verification: its hashes computed from what it says.
fn audited(bundle: &Bundle) -> Option<Audited> {
    let (id, attempt) = (bundle.verification_id, bundle.attempt);
    let plan = (bundle.plan.name.as_str(), bundle.plan.digest);
    let cause: Cause = bundle.cause.parse().ok()?;
    let mut hash = chain_start(
        id,
        &bundle.job_id,
        attempt,
        cause.as_str(),
        plan,
        bundle.submission,
    );
    let mut entries = Vec::new();
    for (seq, bundled) in (0..).zip(&bundle.entries) {
        let entry = Entry {
            kind: bundled.kind,
            content: bundled.content.clone(),
            audience: bundled.audience,
            created_at: bundled.created_at,
        };
        let mut salt = [0; 16];
        hex::decode_to_slice(&bundled.salt, &mut salt).ok()?;
        if hex::encode(salt) != bundled.salt {
            return None;
        }
        hash = match bundled.erased {
            Some(content) => chain_hash_of(hash, seq, &entry, content),
            None => chain_hash(hash, seq, &entry, &salt),
        };
        entries.push(LogEntry {
            id: 0,
            job_id: bundle.job_id.clone(),
            verification_id: id,
            seq,
            entry,
            salt,
            hash,
            erased: bundled.erased,
        });
    }
    let decision = match &bundle.message {
        Some(text) => {
            let message: OutcomeMessage = serde_json::from_str(text).ok()?;
            Some(AuditedDecision {
                job_id: message.job_id.to_string(),
                attempt: message.attempt,
                trigger: message.trigger.as_str().to_owned(),
                supersedes: message.supersedes,
                superseded_exists: true,
                outcome: message.outcome.as_str().to_owned(),
                message: text.clone().into_bytes(),
            })
        }
        None => None,
    };
    // Who erased what stands in the database; that the digests fit is all that can be seen here.
    let on_record = Erasure {
        plans: Vec::new(),
        job_id: bundle.job_id.to_string(),
        attempt: None,
        by: String::new(),
        role: String::new(),
        reason: String::new(),
        at: jiff::Timestamp::UNIX_EPOCH,
    };
    Some(Audited {
        row: VerificationRow {
            id,
            job_id: bundle.job_id.clone(),
            attempt,
            cause,
            plan: bundle.plan.clone(),
            submission: bundle.submission,
            started_at: jiff::Timestamp::UNIX_EPOCH,
            outcome: Some(bundle.outcome.clone()),
            entries: u32::try_from(entries.len()).ok()?,
            head: bundle.head,
        },
        ended_at: Some(jiff::Timestamp::UNIX_EPOCH),
        recorded_entries: u32::try_from(entries.len()).ok(),
        taken_over_by: None,
        entries,
        decision,
        settlement: None,
        sealed: bundle
            .inclusion
            .iter()
            .map(|inclusion| (inclusion.checkpoint.number, 0, leaf(bundle, inclusion)))
            .collect(),
        hand_in: None,
        erasures: vec![on_record],
    })
}

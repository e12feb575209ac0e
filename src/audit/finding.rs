//! What an audit finds.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::entry::VerificationId;

/// Something that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The job, where it is known.
    pub job_id: Option<String>,
    /// The verification, where it is about one.
    pub verification_id: Option<VerificationId>,
    /// What is wrong.
    pub what: What,
    /// Where exactly, e.g. `entry 3`.
    pub place: String,
    /// In full.
    pub detail: String,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// An entry is not what was written; also where two were exchanged.
    EntryChanged,
    /// An entry is missing, or another stands in its place.
    EntryMissing,
    /// The log ends elsewhere than its verification says.
    ChainEnd,
    /// The outcome of the verification is not what its log ends with.
    Outcome,
    /// The chain holds in itself, but is not the one whose end was signed.
    ChainRecomputed,
    /// The decision is gone.
    DecisionMissing,
    /// The decision cannot be read, or says other than its receipt, its row or the log.
    DecisionChanged,
    /// A decision whose verification is gone.
    VerificationMissing,
    /// The receipt is not signed by a key of the trust file that was valid then.
    Receipt,
    /// A checkpoint sealed the verification otherwise than it is now.
    SealedOtherwise,
    /// A checkpoint sealed a verification that is gone.
    VerificationRemoved,
    /// A checkpoint is gone.
    CheckpointRemoved,
    /// A checkpoint is not what was signed or anchored, or its leaves do not make its root.
    CheckpointChanged,
    /// Who took over, or what was overturned, is not there or is another attempt's.
    LinkBroken,
    /// What was settled is not what was decided.
    Settlement,
    /// Content is gone and nobody has erased it on record.
    ErasedUnrecorded,
    /// What is kept of a judge's answer is not what the log names.
    AnswerChanged,
    /// What is kept of a hand-in is not what was judged.
    HandInChanged,
    /// A plan that judged, or a file of it, is gone or not what its digest says.
    PlanChanged,
    /// What is on record of erasures is not what a checkpoint sealed.
    ErasureChanged,
    /// A row that no version of ours writes.
    Unreadable,
}

impl What {
    /// A word for tables, in kebab-case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EntryChanged => "entry-changed",
            Self::EntryMissing => "entry-missing",
            Self::ChainEnd => "chain-end",
            Self::Outcome => "outcome-changed",
            Self::ChainRecomputed => "chain-recomputed",
            Self::DecisionMissing => "decision-missing",
            Self::DecisionChanged => "decision-changed",
            Self::VerificationMissing => "verification-missing",
            Self::Receipt => "receipt-invalid",
            Self::SealedOtherwise => "sealed-otherwise",
            Self::VerificationRemoved => "verification-removed",
            Self::CheckpointRemoved => "checkpoint-removed",
            Self::CheckpointChanged => "checkpoint-changed",
            Self::LinkBroken => "link-broken",
            Self::Settlement => "settlement-differs",
            Self::ErasedUnrecorded => "erased-unrecorded",
            Self::AnswerChanged => "answer-changed",
            Self::HandInChanged => "hand-in-changed",
            Self::PlanChanged => "plan-changed",
            Self::ErasureChanged => "erasure-changed",
            Self::Unreadable => "unreadable",
        }
    }

    /// What to do next.
    pub fn next(self) -> &'static str {
        match self {
            Self::EntryChanged
            | Self::EntryMissing
            | Self::ChainEnd
            | Self::Outcome
            | Self::ChainRecomputed => {
                "compare with a backup from before; `assay reverify` judges the kept hand-in anew"
            }
            Self::DecisionMissing | Self::DecisionChanged => {
                "`assay pause`, then compare with the settlement and a backup; the broker's copy and the receipt decide"
            }
            Self::VerificationMissing | Self::VerificationRemoved => {
                "restore the verification from a backup; until then believe nothing of this job"
            }
            Self::Receipt => {
                "`assay keys list`; if the key is not known, `assay pause` and look at what was settled"
            }
            Self::SealedOtherwise => {
                "the checkpoint is signed: compare with a backup from before it was made"
            }
            Self::CheckpointRemoved | Self::CheckpointChanged => {
                "compare with the anchor and a backup; find out who may write to the database as its owner"
            }
            Self::LinkBroken => "compare with a backup; look at `assay log JOB --all`",
            Self::Settlement => "`assay pause`, then compare ledger, settlement and receipt of this job",
            Self::ErasedUnrecorded => {
                "nobody used `assay erase`: find out who writes to the database as its owner"
            }
            Self::AnswerChanged => {
                "no replay uses it; `assay reverify JOB` hears the judge anew; compare with a backup"
            }
            Self::HandInChanged | Self::PlanChanged => {
                "no `assay reverify` uses it; restore it from a backup, or from who handed it in: the digest tells the original"
            }
            Self::ErasureChanged => {
                "compare with a backup and `assay.act`; find out who writes to the database as its owner"
            }
            Self::Unreadable => "compare the row with a backup",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for What {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

//! The chain of checkpoints: signatures, order, what each covers, and whether the anchor says the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;

use jiff::Timestamp;

use super::anchor::{Anchor, AnchorError, Anchored as InAnchor};
use super::finding::{Finding, What};
use super::run::{Anchored, AuditError};
use crate::causes::in_full;
use crate::checkpoint::{Checkpoint, Leaf, MerkleTree, SealedErasures};
use crate::digest::Digest;
use crate::journal::{JournalError, PgJournal};
use crate::receipt::TrustFile;

/// Checkpoints that are read at a time.
const PAGE: u32 = 256;

/// Most missing checkpoints of one gap that are told.
const GAPS: usize = 1_000;

/// What was found of the checkpoints.
#[derive(Debug)]
pub(super) struct Seals {
    /// How many were looked at.
    pub(super) checkpoints: u64,
    /// What is wrong.
    pub(super) findings: Vec<Finding>,
    /// What the anchor says.
    pub(super) anchored: Anchored,
}

/// Which checkpoints are looked at.
#[derive(Debug)]
pub(super) enum Which {
    /// All after a number.
    After(u64),
    /// Only these.
    These(BTreeSet<u64>),
}

/// What is kept of an anchored checkpoint while the table is read.
struct AnchoredCheckpoint {
    digest: Digest,
    count: u64,
    made_at: Timestamp,
    is_signed: bool,
}

pub(super) async fn audit_seals(
    journal: &PgJournal,
    trust: &TrustFile,
    anchor: Option<&Anchor>,
    which: Which,
) -> Result<Seals, AuditError> {
    let mut findings = Vec::new();
    let after = match &which {
        Which::After(after) => *after,
        Which::These(numbers) => numbers
            .first()
            .map_or(u64::MAX >> 1, |first| first.saturating_sub(1)),
    };
    // The anchor first: what is made meanwhile is in the table but not yet there, never the other way round.
    let mut anchored = match anchor {
        Some(anchor) => read_anchor(anchor, after, trust, &mut findings).await?,
        None => BTreeMap::new(),
    };
    let through = anchored.last_key_value().map_or(after, |(last, _)| *last);
    if let Which::These(numbers) = &which {
        anchored.retain(|number, _| numbers.contains(number));
    }
    let mut seen = 0;
    let mut last_seen = after;
    let mut previous = match &which {
        Which::After(after) if *after > 0 => readable(journal, *after).await?,
        Which::After(_) | Which::These(_) => None,
    };
    let mut not_anchored = 0;
    let mut erasures = Vec::new();
    loop {
        let page = match &which {
            Which::After(_) => journal.audited_checkpoints(last_seen, PAGE).await?,
            Which::These(numbers) => match numbers.range(last_seen + 1..).next() {
                Some(number) => {
                    let mut found = journal.audited_checkpoints(number - 1, 1).await?;
                    found.retain(|(found, _)| found == number);
                    if found.is_empty() {
                        findings.push(removed(*number, "what it covered is still on record".to_owned()));
                        last_seen = *number;
                        anchored.remove(number);
                        continue;
                    }
                    // Whether it follows the one before is looked at as well.
                    previous = readable(journal, number - 1).await?;
                    last_seen = number - 1;
                    found
                }
                None => Vec::new(),
            },
        };
        if page.is_empty() {
            break;
        }
        for (number, checkpoint) in page {
            // A number that somebody made up is told, but not as often as he likes.
            for missing in (last_seen + 1..number).take(GAPS) {
                // What the anchor knows of it is told below.
                if !anchored.contains_key(&missing) {
                    findings.push(removed(missing, "the numbers have a gap".to_owned()));
                }
            }
            let checkpoint = match checkpoint {
                Ok(checkpoint) => checkpoint,
                Err(error) => {
                    findings.push(unreadable(number, "it", &error));
                    anchored.remove(&number);
                    (seen, last_seen, previous) = (seen + 1, number, None);
                    continue;
                }
            };
            match journal.leaves(number).await? {
                Ok(leaves) => findings.extend(check(previous.as_ref(), &checkpoint, &leaves, trust)),
                Err(error) => findings.push(unreadable(number, "what it covers", &error)),
            }
            if anchor.is_some() {
                match anchored.remove(&checkpoint.number) {
                    Some(kept) if kept.digest != checkpoint.digest() => findings.push(changed(
                        checkpoint.number,
                        "the anchor has another checkpoint of this number".to_owned(),
                    )),
                    Some(_) => {}
                    None if checkpoint.number > through => not_anchored += 1,
                    None => findings.push(changed(
                        checkpoint.number,
                        "the anchor has later checkpoints, but not this one".to_owned(),
                    )),
                }
            }
            seen += 1;
            last_seen = checkpoint.number;
            erasures.extend(checkpoint.erasures.map(|sealed| (checkpoint.number, sealed)));
            previous = Some(checkpoint);
        }
    }
    for (number, kept) in anchored {
        findings.push(if kept.is_signed {
            let detail = format!(
                "the anchor has it, made at {} over {} verifications; the table does not",
                kept.made_at, kept.count
            );
            removed(number, detail)
        } else {
            changed(
                number,
                "the anchor holds one that no trusted key has signed".to_owned(),
            )
        });
    }
    findings.extend(examine_erasures(journal, &erasures).await?);
    let anchored = match anchor {
        Some(anchor) => Anchored::At {
            place: anchor.place(),
            through,
            not_yet: not_anchored,
        },
        None => Anchored::Unanchored,
    };
    Ok(Seals {
        checkpoints: seen,
        findings,
        anchored,
    })
}

async fn read_anchor(
    anchor: &Anchor,
    after: u64,
    trust: &TrustFile,
    findings: &mut Vec<Finding>,
) -> Result<BTreeMap<u64, AnchoredCheckpoint>, AnchorError> {
    let (send, read) = mpsc::channel();
    let keys = trust.clone();
    let visit = move |anchored| {
        let read = match anchored {
            InAnchor::Checkpoint(checkpoint) => Ok((
                checkpoint.number,
                AnchoredCheckpoint {
                    digest: checkpoint.digest(),
                    count: checkpoint.count,
                    made_at: checkpoint.made_at,
                    is_signed: is_signed(&checkpoint, &keys),
                },
            )),
            InAnchor::Malformed(at) => Err(at),
        };
        // The receiver lives until all is read.
        let _ = send.send(read);
    };
    anchor.read_after(after, visit).await?;
    let mut anchored = BTreeMap::new();
    let mut expected = after + 1;
    for anchored_there in read.iter() {
        let (number, kept) = match anchored_there {
            Ok(checkpoint) => checkpoint,
            Err(at) => {
                findings.push(Finding {
                    job_id: None,
                    verification_id: None,
                    what: What::CheckpointChanged,
                    place: format!("anchor, {at}"),
                    detail: "the anchor holds what is no checkpoint".to_owned(),
                });
                continue;
            }
        };
        if number != expected {
            let detail = format!("the anchor has number {number} where {expected} should be");
            findings.push(changed(number, detail));
        }
        expected = number + 1;
        anchored.insert(number, kept);
    }
    Ok(anchored)
}

pub(super) fn is_signed(checkpoint: &Checkpoint, trust: &TrustFile) -> bool {
    trust
        .key(&checkpoint.kid)
        .is_some_and(|key| checkpoint.is_signed_by(key))
}

/// What is wrong with one checkpoint; `previous` is the row before, where there is one.
pub(super) fn check(
    previous: Option<&Checkpoint>,
    checkpoint: &Checkpoint,
    leaves: &[Leaf],
    trust: &TrustFile,
) -> Vec<Finding> {
    let number = checkpoint.number;
    let mut findings = Vec::new();
    if !is_signed(checkpoint, trust) {
        findings.push(changed(
            number,
            "no key of the trust file has signed it".to_owned(),
        ));
    }
    // After a gap there is nothing to compare with; the gap itself is told.
    let follows = previous.filter(|previous| previous.number + 1 == number);
    let total = follows.map(|previous| previous.total + checkpoint.count);
    let erased = |checkpoint: &Checkpoint| checkpoint.erasures.map_or(0, |sealed| sealed.count);
    if follows.is_some_and(|previous| Some(previous.digest()) != checkpoint.previous)
        // One of a version that seals no erasures may stand between: while a pool is upgraded, workers of both make them.
        || follows.is_some_and(|previous| checkpoint.erasures.is_some() && erased(previous) > erased(checkpoint))
        || total.is_some_and(|total| total != checkpoint.total)
        || (number == 1 && checkpoint.previous.is_some())
    {
        findings.push(changed(number, "it does not follow the one before".to_owned()));
    }
    let root = MerkleTree::new(leaves.iter().map(Leaf::digest).collect()).root();
    if leaves.len() as u64 != checkpoint.count {
        let detail = format!(
            "it covers {} verifications, {} are on record",
            checkpoint.count,
            leaves.len()
        );
        findings.push(changed(number, detail));
    } else if root != checkpoint.root {
        findings.push(changed(
            number,
            "what is on record is not what it covers".to_owned(),
        ));
    }
    findings
}

/// Whether the tombstones are those that were sealed. Every later checkpoint seals them, too: the first that does not fit is told.
async fn examine_erasures(
    journal: &PgJournal,
    sealed: &[(u64, SealedErasures)],
) -> Result<Option<Finding>, AuditError> {
    if sealed.is_empty() {
        return Ok(None);
    }
    // Read after the checkpoints, so that all that they sealed are among them.
    let mut chain = vec![None];
    for erasure in journal.erasures(None).await? {
        chain.push(Some(erasure.chained(chain.last().copied().flatten())));
    }
    let recorded = chain.len() - 1;
    let mut fits = 0;
    for (number, sealed) in sealed {
        let there = usize::try_from(sealed.count)
            .ok()
            .and_then(|count| chain.get(count));
        if there == Some(&Some(sealed.digest)) {
            fits = sealed.count;
            continue;
        }
        let detail = match there {
            Some(_) => format!(
                "of erasures {} to {} one is not what it sealed",
                fits + 1,
                sealed.count
            ),
            None => format!("it sealed {} erasures, {recorded} are on record", sealed.count),
        };
        return Ok(Some(finding(What::ErasureChanged, *number, detail)));
    }
    Ok(None)
}

/// The checkpoint of that number, where there is one that can be read; that it cannot is told where it is looked at itself.
async fn readable(journal: &PgJournal, number: u64) -> Result<Option<Checkpoint>, AuditError> {
    let Some(before) = number.checked_sub(1) else {
        return Ok(None);
    };
    let found = journal.audited_checkpoints(before, 1).await?;
    let found = found.into_iter().find(|(found, _)| *found == number);
    Ok(found.and_then(|(_, checkpoint)| checkpoint.ok()))
}

fn unreadable(number: u64, what: &str, error: &JournalError) -> Finding {
    changed(number, format!("{what} cannot be read: {}", in_full(error)))
}

fn removed(number: u64, detail: String) -> Finding {
    finding(What::CheckpointRemoved, number, detail)
}

fn changed(number: u64, detail: String) -> Finding {
    finding(What::CheckpointChanged, number, detail)
}

fn finding(what: What, number: u64, detail: String) -> Finding {
    Finding {
        job_id: None,
        verification_id: None,
        what,
        place: format!("checkpoint {number}"),
        detail,
    }
}

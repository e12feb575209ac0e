//! What is written down of a trial, and what the trials of a run spend: the ceilings of a desk that remembers no other run.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use crate::digest::Digest;
use crate::graders::rubric::{CallKeeper, Paid};
use crate::graders::{Context, Grader};
use crate::model_call::{ModelCall, NoRoom, Reservation, Spent};
use crate::submission::Submission;
use crate::verdict::{GradeError, Verdict};

/// What the calls of a run's trials cost so far. Cheap to clone; all clones add up.
#[derive(Debug, Clone, Default)]
pub struct RunningCost(Arc<watch::Sender<Costs>>);

/// In millionths of a cent.
#[derive(Debug, Clone, Copy, Default)]
struct Costs {
    /// Of calls that have ended.
    ended: u64,
    /// Of calls under way, at what they may cost.
    under_way: u64,
}

impl Costs {
    fn in_all(self) -> u64 {
        self.ended.saturating_add(self.under_way)
    }
}

/// What is written down of one trial.
pub(super) struct Notes {
    /// Locked before the costs of the run, where both are.
    noting: Mutex<Noting>,
    of_run: RunningCost,
}

#[derive(Default)]
struct Noting {
    verdicts: BTreeMap<String, Verdict>,
    calls: Vec<ModelCall>,
    /// Calls under way, at what they may cost.
    under_way: HashMap<Uuid, u64>,
}

impl Noting {
    fn costs(&self) -> Costs {
        let ended = self.calls.iter().filter_map(|call| call.cost_microcents);
        Costs {
            ended: ended.fold(0, u64::saturating_add),
            under_way: self.under_way.values().copied().fold(0, u64::saturating_add),
        }
    }
}

/// Whether a call may be made.
enum Room {
    /// It counts from now on.
    Reserved,
    /// Only calls under way of the run are in its way: most of them will have cost less.
    Later,
    /// Not beside what was spent.
    None(NoRoom),
}

impl Notes {
    /// Of a trial that has not begun.
    pub(super) fn new(of_run: RunningCost) -> Self {
        Self {
            noting: Mutex::default(),
            of_run,
        }
    }

    /// Each grader's whole verdict by its name, and the calls.
    pub(super) fn take(&self) -> (BTreeMap<String, Verdict>, Vec<ModelCall>) {
        let mut noting = self.noting();
        (
            std::mem::take(&mut noting.verdicts),
            std::mem::take(&mut noting.calls),
        )
    }

    fn noting(&self) -> MutexGuard<'_, Noting> {
        self.noting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn room(&self, reservation: &Reservation) -> Room {
        let mut noting = self.noting();
        let on_job = noting.costs();
        let mut room = Room::Reserved;
        self.of_run.0.send_if_modified(|of_run| {
            let spent = Spent {
                on_job: on_job.in_all(),
                today: of_run.in_all(),
            };
            let in_the_end = Spent {
                on_job: on_job.ended,
                today: of_run.ended,
            };
            if !reservation.exceeds(spent) {
                of_run.under_way = of_run.under_way.saturating_add(reservation.more);
            } else if reservation.exceeds_day(spent.today) && !reservation.exceeds(in_the_end) {
                room = Room::Later;
            } else {
                room = Room::None(NoRoom {
                    spent,
                    under_way_on_job: on_job.under_way,
                });
            }
            // One more under way makes no room for anybody.
            false
        });
        if matches!(room, Room::Reserved) {
            noting.under_way.insert(reservation.call, reservation.more);
        }
        room
    }
}

/// A trial pays for each of its questions: what it measures is what the judge says when it is asked.
#[async_trait]
impl CallKeeper for Notes {
    async fn keep(&self, call: &ModelCall) -> Result<(), GradeError> {
        let mut noting = self.noting();
        noting.calls.push(call.clone());
        let reserved = noting.under_way.remove(&call.id).unwrap_or_default();
        let cost = call.cost_microcents.unwrap_or_default();
        self.of_run.0.send_modify(|of_run| {
            of_run.under_way = of_run.under_way.saturating_sub(reserved);
            of_run.ended = of_run.ended.saturating_add(cost);
        });
        Ok(())
    }

    async fn paid(&self, _key: Digest) -> Result<Paid, GradeError> {
        Ok(Paid::Nothing)
    }

    async fn spent(&self) -> Result<Spent, GradeError> {
        Ok(Spent {
            on_job: self.noting().costs().in_all(),
            today: self.of_run.0.borrow().in_all(),
        })
    }

    /// Where only calls under way leave no room under the day's ceiling, their ends are waited for: unlike a job of the pool, a
    /// case that is given up here does not come back.
    async fn reserve(&self, reservation: &Reservation) -> Result<Option<NoRoom>, GradeError> {
        let mut of_run = self.of_run.0.subscribe();
        loop {
            match self.room(reservation) {
                Room::Reserved => return Ok(None),
                Room::None(no_room) => return Ok(Some(no_room)),
                // An end between the look and here is seen, too; the sender is ours, and not gone before us.
                Room::Later => {
                    let _ = of_run.changed().await;
                }
            }
        }
    }
}

/// A grader whose verdicts are written down whole.
pub(super) struct Noted {
    grader: Arc<dyn Grader>,
    notes: Arc<Notes>,
}

impl Noted {
    /// Writes down what this grader says.
    pub(super) fn new(grader: Arc<dyn Grader>, notes: &Arc<Notes>) -> Self {
        Self {
            grader,
            notes: Arc::clone(notes),
        }
    }
}

#[async_trait]
impl Grader for Noted {
    fn name(&self) -> &str {
        self.grader.name()
    }

    async fn grade(&self, submission: &Submission, context: &Context) -> Result<Verdict, GradeError> {
        let verdict = self.grader.grade(submission, context).await?;
        self.notes
            .noting()
            .verdicts
            .insert(self.name().to_owned(), verdict.clone());
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::model_call::CallFinish;
    use crate::verdict::ErrorKind;

    fn may_cost(more: u64, max_on_job: Option<u64>, max_today: Option<u64>) -> Reservation {
        Reservation {
            call: Uuid::now_v7(),
            more,
            max_on_job,
            max_today,
        }
    }

    async fn ends(notes: &Notes, call: &Reservation, cost_microcents: Option<u64>) {
        let call = ModelCall {
            id: call.call,
            grader: "quality".to_owned(),
            criteria: Vec::new(),
            sample: 0,
            model_asked: String::new(),
            model: None,
            judge_mode: "live".to_owned(),
            parameters: json!({}),
            prompt: None,
            prompt_digest: Digest::of(b""),
            answer: None,
            answer_digest: None,
            finish: CallFinish::Failed(ErrorKind::ModelUnavailable),
            rejected: None,
            usage: None,
            usage_estimated: false,
            cost_microcents,
            key: Digest::of(b""),
            reused: None,
            started_at: Timestamp::UNIX_EPOCH,
            ended_at: Timestamp::UNIX_EPOCH,
        };
        notes.keep(&call).await.unwrap();
    }

    #[tokio::test]
    async fn a_call_counts_at_what_it_may_cost_then_at_what_it_did() {
        let run = RunningCost::default();
        let notes = Notes::new(run.clone());
        let call = || may_cost(4, Some(10), None);
        let [answered, failed] = [call(), call()];
        for call in [&answered, &failed] {
            assert_eq!(notes.reserve(call).await.unwrap(), None);
        }
        let no_room = notes.reserve(&call()).await.unwrap();
        let full = NoRoom {
            spent: Spent { on_job: 8, today: 8 },
            under_way_on_job: 8,
        };
        assert_eq!(no_room, Some(full));
        ends(&notes, &answered, Some(3)).await;
        assert!(notes.reserve(&call()).await.unwrap().is_some());
        // It never reached a model.
        ends(&notes, &failed, None).await;
        assert_eq!(notes.spent().await.unwrap(), Spent { on_job: 3, today: 3 });
        assert_eq!(notes.reserve(&call()).await.unwrap(), None);
        let another = Notes::new(run);
        assert_eq!(another.spent().await.unwrap(), Spent { on_job: 0, today: 7 });
    }

    #[tokio::test]
    async fn the_day_is_that_of_the_run_and_calls_of_other_trials_are_waited_for() {
        let run = RunningCost::default();
        let (one, other) = (Notes::new(run.clone()), Notes::new(run));
        let call = || may_cost(6, None, Some(10));
        let (first, second) = (call(), call());
        assert_eq!(one.reserve(&first).await.unwrap(), None);
        let mut waiting = other.reserve(&second);
        assert!((&mut waiting).now_or_never().is_none(), "not both at once");
        ends(&one, &first, Some(4)).await;
        assert_eq!(waiting.await.unwrap(), None);
        let mut waiting = one.reserve(&first);
        assert!((&mut waiting).now_or_never().is_none(), "not both at once");
        ends(&other, &second, Some(6)).await;
        // There is nothing left to wait for.
        let spent = Spent { on_job: 4, today: 10 };
        assert_eq!(waiting.await.unwrap().map(|no_room| no_room.spent), Some(spent));
        let no_room = other.reserve(&call()).now_or_never().unwrap().unwrap();
        assert!(no_room.is_some());
    }
}

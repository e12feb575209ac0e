//! The world and the model side by side.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use assay::entry::VerificationId;
use assay::job::{Job, JobStatus};
use assay::journal::{PgJournal, Settled, Tried};
use assay::outcome::Outcome;

use super::model::Model;
use super::step::Step;
use super::{JOBS, USERS, settings};
use crate::settlement::{self, Decision, STARTING, World, settler};

/// The world, the model of it, and every decision that was stored.
pub(super) struct Play<'a> {
    world: &'a World,
    model: Model,
    decisions: Vec<Decision>,
    total: i64,
}

impl<'a> Play<'a> {
    /// Begins anew in a world that others have used: making a database for each would take longer than the rest.
    pub(super) async fn new(world: &'a World) -> Self {
        empty(world).await;
        world.market.insert_demo_users(USERS, STARTING).await.unwrap();
        for (id, price) in JOBS {
            world.job(id, |job| job.price_cents = Some(price)).await;
        }
        Self {
            total: world.total().await,
            world,
            model: Model::new(),
            decisions: Vec::new(),
        }
    }

    async fn job(&self, number: usize) -> Job {
        let id = assay::job::JobId::new(JOBS[number].0);
        self.world.market.load_job(&id).await.unwrap().unwrap()
    }

    fn some(&self, which: usize) -> Option<Decision> {
        let count = self.decisions.len();
        (count > 0).then(|| self.decisions[which % count].clone())
    }

    fn decision(&self, id: VerificationId) -> Decision {
        let found = self.decisions.iter().find(|decision| decision.id() == id);
        found.unwrap().clone()
    }

    async fn hand_in(&mut self, number: usize) {
        let id = JOBS[number].0;
        let job = self.model.jobs.get_mut(id).unwrap();
        if job.status == JobStatus::Queued {
            job.status = JobStatus::Submitted;
            job.misplaced = false;
            sqlx::query("UPDATE jobs SET status = 'submitted', receiver = 'receiver', output_text = 'again' WHERE id = $1")
                .bind(id)
                .execute(&self.world.journal.pool())
                .await
                .unwrap();
        }
    }

    async fn decide(&mut self, number: usize, outcome: Outcome) {
        let job = self.job(number).await;
        let decided = self.decisions.iter().any(|decision| {
            (&decision.message.job_id, decision.message.attempt) == (&job.id, job.attempt_count)
        });
        if job.status == JobStatus::Submitted && !decided && !self.model.jobs[JOBS[number].0].misplaced {
            let decision = self.world.decide(&job, outcome).await;
            self.decisions.push(decision);
        }
    }

    /// A dispute; a second one of the same decision is refused by the database.
    async fn dispute(&mut self, which: usize, outcome: Outcome) {
        let Some(disputed) = self.some(which) else {
            return;
        };
        let is_effective = !self
            .decisions
            .iter()
            .any(|decision| decision.message.supersedes == Some(disputed.id()));
        // Judged by what was handed in then: its receipt says the same of it.
        let mut message = settlement::message(&settlement::job(disputed.message.job_id.as_str()), outcome);
        message.attempt = disputed.message.attempt;
        message.trigger = assay::receipt::Trigger::Dispute;
        message.supersedes = Some(disputed.id());
        message.receipt = assay::receipt::Receipt {
            trigger: message.trigger,
            supersedes: message.supersedes,
            attempt: message.attempt,
            verification_id: message.verification_id,
            outcome,
            decided_at: message.decided_at,
            ..disputed.message.receipt.clone()
        }
        .sign(&self.world.key);
        let decision = Decision::of(message);
        let stored = self.world.try_store(&decision).await;
        assert_eq!(stored.is_ok(), is_effective, "{stored:?}");
        if is_effective {
            self.decisions.push(decision);
        }
    }

    async fn settle(&mut self, decision: &Decision) {
        let settled = self.world.settle(decision).await;
        assert_eq!(
            settled,
            self.model.settle(&decision.message),
            "{:?}",
            decision.message
        );
    }

    /// A settler with connections of its own, dropped in the middle of its statements. Whether it was applied is seen when
    /// the same decision comes again, as it does after a crash.
    async fn crash(&mut self, decision: &Decision, after: Duration) {
        let victim = PgJournal::connect(&self.world.database.url, 2).await.unwrap();
        let cut_off = settler(&victim.market().await.unwrap(), &self.world.trust, settings());
        let first = tokio::time::timeout(after, cut_off.settle(&decision.body)).await;
        drop((cut_off, victim));
        let expected = self.model.settle(&decision.message);
        let second = self.world.settle(decision).await;
        match (&expected, first) {
            (Settled::Applied(_), Ok(first)) => {
                assert_eq!((first.unwrap(), second), (expected, Settled::Already));
            }
            (Settled::Applied(_), Err(_)) => {
                assert!(second == expected || second == Settled::Already, "{second:?}")
            }
            _ => assert_eq!(second, expected),
        }
    }

    async fn race(&mut self, one: &Decision, other: &Decision) {
        let (first, second) = tokio::join!(self.world.settle(one), self.world.settle(other));
        let mut either = [self.model.clone(), self.model.clone()];
        let one_first = (either[0].settle(&one.message), either[0].settle(&other.message));
        let other_first = (either[1].settle(&other.message), either[1].settle(&one.message));
        let [one_then_other, other_then_one] = either;
        if (&first, &second) == (&one_first.0, &one_first.1) {
            self.model = one_then_other;
        } else {
            assert_eq!((second, first), other_first, "neither order: {one_first:?}");
            self.model = other_then_one;
        }
    }

    async fn lost(&mut self) {
        let found = self
            .world
            .market
            .unsettled(None, Duration::ZERO, 1_000)
            .await
            .unwrap();
        for body in found.due.messages {
            let decision = self.decisions.iter().find(|decision| decision.body == body);
            self.settle(&decision.unwrap().clone()).await;
        }
        // Nothing is left that settlement has not looked at.
        let left = self
            .world
            .market
            .unsettled(None, Duration::ZERO, 1_000)
            .await
            .unwrap();
        assert_eq!(left.due.messages, Vec::<Vec<u8>>::new());
    }

    async fn spend(&mut self, cents: i64) {
        let cents = cents.min(self.model.balances["receiver"]);
        self.model.pay("receiver", -cents);
        self.total -= cents;
        sqlx::query(
            "WITH spent AS (UPDATE users SET balance_cents = balance_cents - $1 WHERE id = 'receiver')
             INSERT INTO ledger_entries (user_id, delta, reason) VALUES ('receiver', -$1, 'topup:spent')",
        )
        .bind(cents)
        .execute(&self.world.journal.pool())
        .await
        .unwrap();
    }

    async fn release(&mut self) {
        self.world.settler.release().await.unwrap();
        if self.model.paused {
            return;
        }
        // They are looked at side by side. Of those about one job no more than one is paid, and it came before the others.
        let (mut paid, mut others) = (Vec::new(), Vec::new());
        for id in self.model.held.clone() {
            let decision = self.decision(id);
            if self
                .world
                .stands(&decision)
                .await
                .iter()
                .any(|place| place == "settled")
            {
                paid.push(decision);
            } else {
                others.push(decision);
            }
        }
        for decision in paid.into_iter().chain(others) {
            self.model.settle(&decision.message);
        }
    }

    async fn misplace(&mut self, number: usize, misplaced: bool) {
        let id = JOBS[number].0;
        let job = self.model.jobs.get_mut(id).unwrap();
        if matches!(job.status, JobStatus::Submitted | JobStatus::Verified) {
            job.misplaced = misplaced;
            sqlx::query("UPDATE jobs SET receiver = $2 WHERE id = $1")
                .bind(id)
                .bind(if misplaced { "sender" } else { "receiver" })
                .execute(&self.world.journal.pool())
                .await
                .unwrap();
        }
    }

    async fn again(&mut self, which: usize) {
        let count = self.model.open.len();
        let Some((id, reason)) = self.model.open.get(which % count.max(1)).copied() else {
            return;
        };
        let rows = self.world.market.exceptions(false).await.unwrap();
        let row = rows
            .iter()
            .find(|row| row.verification_id == Some(id) && row.reason == reason);
        let tried = Tried {
            exception: row.unwrap().id,
            by: "ann",
        };
        let settled = self.world.settler.again(tried).await.unwrap();
        let message = self.decision(id).message;
        assert_eq!(settled, self.model.again(&message, reason), "{message:?}");
    }

    pub(super) async fn play(&mut self, step: Step) {
        let outcome = |verified| {
            if verified {
                Outcome::Verified
            } else {
                Outcome::Retry
            }
        };
        match step {
            Step::HandIn(job) => self.hand_in(job).await,
            Step::Decide(job, verified) => self.decide(job, outcome(verified)).await,
            Step::Dispute(which, verified) => self.dispute(which, outcome(verified)).await,
            Step::Settle(which, times) => {
                if let Some(decision) = self.some(which) {
                    for _ in 0..times {
                        self.settle(&decision).await;
                    }
                }
            }
            Step::Crash(which, after) => {
                if let Some(decision) = self.some(which) {
                    self.crash(&decision, Duration::from_micros(after.into())).await;
                }
            }
            Step::Race(one, other) => {
                if let (Some(one), Some(other)) = (self.some(one), self.some(other))
                    && one.id() != other.id()
                {
                    self.race(&one, &other).await;
                }
            }
            Step::Lost => self.lost().await,
            Step::Spend(cents) => self.spend(cents).await,
            Step::Pause(on) => {
                self.model.paused = on;
                self.world.market.set_pause(on, "ann", "").await.unwrap();
            }
            Step::Release => self.release().await,
            Step::Misplace(job, misplaced) => self.misplace(job, misplaced).await,
            Step::Again(which) => self.again(which).await,
        }
        self.check().await;
    }

    /// The sums hold, and every job, every balance and whatever is still to be done are where the model has them.
    async fn check(&self) {
        self.world.assert_sums(self.total).await;
        for (number, (id, _)) in JOBS.iter().enumerate() {
            let (job, model) = (self.job(number).await, &self.model.jobs[*id]);
            assert_eq!(
                (job.status, job.attempt_count),
                (model.status, model.attempt),
                "{id}"
            );
        }
        let beside: BTreeMap<_, _> = self
            .model
            .balances
            .iter()
            .map(|(user, cents)| ((*user).to_owned(), cents - STARTING))
            .filter(|(_, cents)| *cents != 0)
            .collect();
        assert_eq!(self.world.balances().await, beside);
        let held = self.world.market.held().await.unwrap();
        let held: HashSet<_> = held.into_iter().map(|row| row.verification_id).collect();
        assert_eq!(held, self.model.held);
        let open = self.world.market.exceptions(false).await.unwrap();
        let open: Vec<_> = open
            .iter()
            .map(|row| (row.verification_id.unwrap(), row.reason.as_str()))
            .collect();
        assert_eq!(open.len(), self.model.open.len(), "{open:?}");
        assert!(open.iter().all(|open| self.model.open.contains(open)), "{open:?}");
    }
}

/// Deletes whatever settlement and its model look at, also where nothing is ever deleted.
async fn empty(world: &World) {
    let mut transaction = world.journal.pool().begin().await.unwrap();
    sqlx::raw_sql(
        "SET LOCAL session_replication_role = replica;
         DELETE FROM assay.settlement; DELETE FROM assay.held; DELETE FROM assay.exception; DELETE FROM assay.decision;
         DELETE FROM assay.switch; DELETE FROM jobs; DELETE FROM ledger_entries; DELETE FROM users",
    )
    .execute(&mut *transaction)
    .await
    .unwrap();
    transaction.commit().await.unwrap();
}

//! The count at the end of a scenario: what went in, what became of it, and that nothing was lost, doubled or invented.
//! The words are those of Jepsen's checkers.

use std::fmt;
use std::time::Duration;

use super::deployment::Deployment;

/// What became of a scenario's submissions.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) attempted: i64,
    pub(crate) decided: i64,
    /// Whatever a person would have to look at: submissions, and messages beside them.
    pub(crate) parked: i64,
    pub(crate) closed: i64,
    /// Runs beyond the first of a submission.
    pub(crate) redelivered: i64,
    /// Decisions, payouts or refunds beyond the first of an attempt.
    pub(crate) duplicated: i64,
    pub(crate) lost: i64,
    settled: i64,
    exceptions: i64,
    unbalanced: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "attempted {}, decided {}, parked {}, closed {}, settled {}, exceptions {}, redelivered {}, duplicated {}, \
             lost {}",
            self.attempted,
            self.decided,
            self.parked,
            self.closed,
            self.settled,
            self.exceptions,
            self.redelivered,
            self.duplicated,
            self.lost
        )
    }
}

impl Deployment {
    /// Waits until every one of `attempted` submissions has ended and every decision is settled, or for so long that what has
    /// not ended by then is lost; then counts, prints the line, and fails where something was lost or doubled or money is
    /// missing. `before` is the sum of all money before.
    pub(crate) async fn tally(&self, scenario: &str, attempted: usize, before: i64) -> Tally {
        let attempted = i64::try_from(attempted).unwrap();
        let ended = "SELECT count(*) FROM assay.claim WHERE state IN ('decided', 'parked', 'closed')";
        let limit = Duration::from_secs(120 + u64::try_from(attempted / 10).unwrap());
        let have_ended = async || self.count(ended).await >= attempted;
        let all_ended = self.comes_about(limit, have_ended).await;
        let unsettled = "SELECT count(*) FROM assay.decision d WHERE NOT EXISTS
             (SELECT FROM assay.settlement s WHERE s.verification_id = d.verification_id) AND NOT EXISTS
             (SELECT FROM assay.exception e WHERE e.verification_id = d.verification_id)";
        let all_settled = self
            .comes_about(limit, async || self.count(unsettled).await == 0)
            .await;
        let sums = self.market.audit_sums().await.unwrap();
        let state = |state: &str| format!("SELECT count(*) FROM assay.claim WHERE state = '{state}'");
        let (decided, parked, closed) = (
            self.count(
                "SELECT count(DISTINCT (job_id, attempt)) FROM assay.decision WHERE trigger = 'submission'",
            )
            .await,
            self.count(&state("parked")).await,
            self.count(&state("closed")).await,
        );
        let beside_claims = self
            .count(
                "SELECT count(*) FROM assay.parked p WHERE p.closed_at IS NULL AND NOT EXISTS
                 (SELECT FROM assay.claim c
                  WHERE c.job_id = p.job_id AND c.attempt = p.attempt AND c.state = 'parked')",
            )
            .await;
        let doubled_decisions = self.count("SELECT count(*) FROM assay.decision").await - decided;
        let doubled_money = self
            .count(
                "SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM ledger_entries
                 WHERE reason LIKE 'payout:%' OR reason LIKE 'refund:%' GROUP BY reason) per",
            )
            .await;
        let tally = Tally {
            attempted,
            decided,
            parked: parked + beside_claims,
            closed,
            redelivered: self.count("SELECT count(*) FROM assay.verification").await - attempted,
            duplicated: doubled_decisions + doubled_money,
            lost: attempted - decided - parked - closed,
            settled: self.count("SELECT count(*) FROM assay.settlement").await,
            exceptions: self.count("SELECT count(*) FROM assay.exception").await,
            unbalanced: sums.unbalanced.len(),
        };
        println!("{scenario}: {tally}");
        if !all_ended || !all_settled {
            println!("{scenario}: not within {limit:?}; {}", self.states().await);
        }
        assert_eq!((tally.lost, tally.duplicated), (0, 0), "{scenario}: {tally}");
        assert_eq!(
            tally.unbalanced, 0,
            "{scenario}: each user's ledger sums to the balance"
        );
        assert_eq!(sums.total(), before, "{scenario}: money is neither made nor lost");
        assert_eq!(
            tally.settled, tally.decided,
            "{scenario}: every decision is settled once: {tally}"
        );
        tally
    }

    /// The sum of all money, once the jobs are in the marketplace.
    pub(crate) async fn money(&self) -> i64 {
        self.market.audit_sums().await.unwrap().total()
    }
}

/// Jobs of one scenario: few in `make test`, 2,000 in `make chaos`.
#[expect(clippy::disallowed_methods, reason = "`make chaos` says how many")]
pub(crate) fn jobs() -> usize {
    let asked = std::env::var("ASSAY_CHAOS_JOBS").ok();
    asked.and_then(|jobs| jobs.parse().ok()).unwrap_or(60)
}

/// Whether this is `make chaos`.
pub(crate) fn is_long() -> bool {
    jobs() > 500
}

/// Jobs of a scenario that takes long with many: all of them in `make chaos`.
pub(crate) fn some_jobs() -> usize {
    if is_long() { jobs() } else { jobs() / 6 }
}

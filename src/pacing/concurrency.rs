//! How many calls at a time: found out by what the endpoint answers.

use std::time::Duration;

use tokio::time::Instant;

/// Calls at a time to begin with.
const FIRST: f64 = 20.0;

/// How much every answer adds to the limit until the first trouble.
const STEP: f64 = 2.0;

/// An endpoint that wants fewer calls says so at once, an answer takes its time: the first calls that it was silent on for so long
/// are taken up.
const SILENCE: Duration = Duration::from_millis(150);

/// What is left of the limit after the endpoint said that it is too much.
const CUT: f64 = 0.8;

/// How long the limit does not grow after trouble.
const PAUSE: Duration = Duration::from_secs(15);

/// Longest wait that an endpoint may ask for: a header of a stranger does not stop the pool.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The limit of calls at a time. Triples with every round until the first trouble, then grows by one a round. The first round
/// counts before its answers are there, once it is taken up: models answer after many seconds, and all that wait would wait for
/// them.
#[derive(Debug)]
pub(super) struct Concurrency {
    limit: f64,
    most: f64,
    running: usize,
    /// Whether there never was trouble.
    fresh: bool,
    /// When the last call began.
    began: Option<Instant>,
    /// Calls that counted before they were answered; none yet where the first round has not.
    in_advance: Option<usize>,
    grows_from: Option<Instant>,
    /// Nothing starts before.
    opens: Option<Instant>,
    /// When the limit was last cut: calls that began before belong to the same episode.
    cut_at: Option<Instant>,
}

impl Concurrency {
    pub(super) fn new(most: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "far below what a float holds exactly")]
        let most = most.max(1) as f64;
        Self {
            limit: FIRST.min(most),
            most,
            running: 0,
            fresh: true,
            began: None,
            in_advance: None,
            grows_from: None,
            opens: None,
            cut_at: None,
        }
    }

    /// Begins a call.
    ///
    /// # Errors
    /// Until when to wait, where no call ends before; none until one does.
    pub(super) fn begin(&mut self, now: Instant) -> Result<(), Option<Instant>> {
        if let Some(opens) = self.opens(now) {
            return Err(Some(opens));
        }
        if self.running >= self.limit() {
            match self.taken_up() {
                Some(at) if at <= now => self.count_in_advance(),
                wait => return Err(wait),
            }
        }
        self.running += 1;
        self.began = Some(now);
        Ok(())
    }

    /// The call that was let through last waited for something else, and begins only now.
    pub(super) fn begins_late(&mut self, now: Instant) {
        self.began = Some(now);
    }

    /// From when on the calls under way are taken up; none where that makes no room.
    fn taken_up(&self) -> Option<Instant> {
        let counts = self.fresh && self.in_advance.is_none() && self.limit < self.most;
        self.began.filter(|_| counts).map(|began| began + SILENCE)
    }

    fn count_in_advance(&mut self) {
        self.in_advance = Some(self.running);
        for _ in 0..self.running {
            self.grow(STEP);
        }
    }

    /// Until when the endpoint wants no call.
    pub(super) fn opens(&self, now: Instant) -> Option<Instant> {
        self.opens.filter(|opens| *opens > now)
    }

    /// A call is over, however it ended.
    pub(super) fn over(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// A call was answered.
    pub(super) fn answered(&mut self, now: Instant) {
        if self.grows_from.is_some_and(|from| from > now) {
            return;
        }
        match &mut self.in_advance {
            Some(counted @ 1..) => *counted -= 1,
            _ if self.fresh => self.grow(STEP),
            _ => self.grow(1.0 / self.limit),
        }
    }

    fn grow(&mut self, step: f64) {
        self.limit = (self.limit + step).min(self.most);
    }

    /// The endpoint said that it is too much. Of all that began before the cut, one cuts.
    pub(super) fn too_much(&mut self, began: Instant, retry_after: Option<Duration>, now: Instant) {
        if self.cut_at.is_none_or(|cut| began > cut) {
            self.limit = (self.limit * CUT).max(1.0);
            self.cut_at = Some(now);
        }
        self.pause(now);
        if let Some(wait) = retry_after {
            let opens = now + wait.min(LONGEST_WAIT);
            self.opens = Some(self.opens.map_or(opens, |earlier| earlier.max(opens)));
        }
    }

    /// The endpoint has trouble of its own: no reason to ask it less, and none to ask it more.
    pub(super) fn trouble(&mut self, now: Instant) {
        self.pause(now);
    }

    /// Calls at a time, now.
    pub(super) fn limit(&self) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between one and the most"
        )]
        let limit = self.limit as usize;
        limit
    }

    /// Calls under way.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    fn pause(&mut self, now: Instant) {
        self.fresh = false;
        self.grows_from = Some(now + PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[tokio::test]
    async fn the_limit_grows_by_what_is_answered_up_to_the_most() {
        let start = Instant::now();
        let mut concurrency = Concurrency::new(50);
        assert_eq!(concurrency.limit(), 20);
        for _ in 0..20 {
            concurrency.begin(start).unwrap();
        }
        assert_eq!(concurrency.begin(start), Err(Some(start + SILENCE)));
        for _ in 0..100 {
            concurrency.answered(start);
        }
        assert_eq!(concurrency.limit(), 50);
        assert_eq!(Concurrency::new(3).limit(), 3);
    }

    #[tokio::test]
    async fn the_first_round_counts_once_before_it_is_answered() {
        let start = Instant::now();
        let mut concurrency = Concurrency::new(200);
        for _ in 0..20 {
            concurrency.begin(start).unwrap();
        }
        // The last of them had to wait for its tokens.
        let sent = after(start, 7);
        concurrency.begins_late(sent);
        let taken_up = sent + SILENCE;
        assert_eq!(
            concurrency.begin(taken_up - Duration::from_millis(1)),
            Err(Some(taken_up))
        );
        for _ in 20..60 {
            concurrency.begin(taken_up).unwrap();
        }
        // Those that begin on silence alone do not count before they are answered, and none counts twice.
        assert_eq!(concurrency.begin(after(taken_up, 1)), Err(None));
        for _ in 0..20 {
            concurrency.answered(after(taken_up, 2));
        }
        assert_eq!(concurrency.limit(), 60);
        concurrency.answered(after(taken_up, 2));
        assert_eq!(concurrency.limit(), 62);
    }

    #[tokio::test]
    async fn silence_is_no_answer_after_trouble_and_none_where_there_is_no_room() {
        let start = Instant::now();
        let mut troubled = Concurrency::new(200);
        troubled.trouble(start);
        for mut concurrency in [troubled, Concurrency::new(20)] {
            for _ in 0..20 {
                concurrency.begin(start).unwrap();
            }
            assert_eq!(concurrency.begin(after(start, 100)), Err(None));
        }
    }

    #[tokio::test]
    async fn one_episode_cuts_once_and_the_wait_is_capped() {
        let start = Instant::now();
        let mut concurrency = Concurrency::new(100);
        for _ in 0..10 {
            concurrency.too_much(start, Some(Duration::from_secs(86_400)), after(start, 1));
        }
        assert_eq!(concurrency.limit(), 16);
        assert_eq!(concurrency.begin(after(start, 60)), Err(Some(after(start, 61))));
        assert_eq!(concurrency.begin(after(start, 61)), Ok(()));
        concurrency.too_much(after(start, 2), None, after(start, 3));
        assert_eq!(concurrency.limit(), 12);
    }

    #[tokio::test]
    async fn trouble_of_the_server_pauses_the_growth_and_cuts_nothing() {
        let start = Instant::now();
        let mut concurrency = Concurrency::new(100);
        concurrency.trouble(start);
        concurrency.answered(after(start, 14));
        assert_eq!(concurrency.limit(), 20);
        for _ in 0..21 {
            concurrency.answered(after(start, 15));
        }
        assert_eq!(concurrency.limit(), 21, "one a round, once there was trouble");
    }

    #[tokio::test]
    async fn the_limit_never_falls_below_one() {
        let start = Instant::now();
        let mut concurrency = Concurrency::new(100);
        for second in 0..100 {
            concurrency.too_much(after(start, 2 * second + 1), None, after(start, 2 * second + 2));
        }
        assert_eq!(concurrency.limit(), 1);
        concurrency.begin(after(start, 500)).unwrap();
        concurrency.over();
        assert_eq!(concurrency.running(), 0);
    }
}

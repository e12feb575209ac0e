//! The calls of one grader that are under way: a panel whose votes do not fit under a ceiling side by side is asked one after
//! the other.

use tokio::sync::watch;

/// The calls of one grader that were begun and are not kept yet.
#[derive(Default)]
pub(super) struct UnderWay(watch::Sender<Counts>);

#[derive(Clone, Copy, Default)]
struct Counts {
    under_way: usize,
    ended: u64,
}

impl UnderWay {
    /// One more, which asks whether there is room for it.
    pub(super) fn begin(&self) -> Begun<'_> {
        self.0.send_modify(|counts| counts.under_way += 1);
        Begun {
            of: &self.0,
            ended_before: self.0.borrow().ended,
            is_made: false,
        }
    }
}

/// A call under way, until it is dropped.
pub(super) struct Begun<'a> {
    of: &'a watch::Sender<Counts>,
    ended_before: u64,
    is_made: bool,
}

impl Begun<'_> {
    /// There was room for it, and its end will make some.
    pub(super) fn made(mut self) -> Self {
        self.is_made = true;
        self
    }

    /// Gives up beside the others, and waits until there may be room. False at once where there is nobody to wait for: who has
    /// no room then has none at all.
    pub(super) async fn waits_for_others(self) -> bool {
        let (mut of, before) = (self.of.subscribe(), self.ended_before);
        drop(self);
        if of.borrow().ended == before && of.borrow().under_way == 0 {
            return false;
        }
        // Who only asked, too, and finds no room, may have been the last that somebody waited for.
        let waiting = of.wait_for(|counts| counts.ended != before || counts.under_way == 0);
        waiting.await.is_ok()
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.of.send_modify(|counts| {
            counts.under_way -= 1;
            counts.ended += u64::from(self.is_made);
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_finds_no_room_waits_for_the_others_and_for_nobody_else() {
        let under_way = UnderWay::default();
        assert!(!under_way.begin().waits_for_others().await, "nobody else");
        let call = under_way.begin().made();
        let mut waiting = Box::pin(under_way.begin().waits_for_others());
        assert_eq!((&mut waiting).now_or_never(), None);
        // One that finds no room either is no reason to look again.
        drop(under_way.begin());
        assert_eq!((&mut waiting).now_or_never(), None);
        drop(call);
        assert!(waiting.await);

        // It ended between the question for room and the answer.
        let call = under_way.begin().made();
        let asks = under_way.begin();
        drop(call);
        assert!(asks.waits_for_others().await);

        // The only other one was asking, too, and gave up.
        let other = under_way.begin();
        let mut waiting = Box::pin(under_way.begin().waits_for_others());
        assert_eq!((&mut waiting).now_or_never(), None);
        assert!(!other.waits_for_others().await);
        assert!(waiting.await);
    }
}

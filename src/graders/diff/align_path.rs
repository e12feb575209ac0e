//! How an alignment goes on: its steps, and a stretch of them that a search has found.

use super::items::Items;

/// One step of an alignment, in the order of both texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'e, 'a> {
    /// The items belong together.
    Same(&'e [u8], &'a [u8]),
    /// An expected item that the actual text lacks here.
    Missing(&'e [u8]),
    /// An actual item that is not expected here.
    Extra(&'a [u8]),
}

/// What to do with the next items: pairs that belong together, ascending on both sides, and how many to pass in all.
pub(super) struct Path {
    pub(super) pairs: Vec<(usize, usize)>,
    pub(super) expected: usize,
    pub(super) actual: usize,
}

impl Path {
    pub(super) fn walk<'e, 'a>(
        &self,
        expected: &mut Items<'e>,
        actual: &mut Items<'a>,
        visit: &mut impl FnMut(Step<'e, 'a>),
    ) {
        let (mut passed, mut others_passed) = (0, 0);
        for (index, other_index) in self.pairs.iter().copied() {
            expected
                .take(index - passed)
                .for_each(|item| visit(Step::Missing(item)));
            actual
                .take(other_index - others_passed)
                .for_each(|item| visit(Step::Extra(item)));
            if let (Some(item), Some(other)) = (expected.next(), actual.next()) {
                visit(Step::Same(item, other));
            }
            (passed, others_passed) = (index + 1, other_index + 1);
        }
        expected
            .take(self.expected - passed)
            .for_each(|item| visit(Step::Missing(item)));
        actual
            .take(self.actual - others_passed)
            .for_each(|item| visit(Step::Extra(item)));
    }
}

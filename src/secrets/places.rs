//! Where secrets stand in a text, whole or as a cut has left them.

use std::ops::Range;

use super::automaton::{Automaton, Seen};
use super::{Known, SHORTEST_PIECE, WINDOW};

/// Says where a text was cut.
const CUT: char = '…';

/// A secret in a text.
pub(super) struct Place {
    pub(super) range: Range<usize>,
    /// The longest of what was found there.
    pub(super) seen: Seen,
}

impl Known {
    /// Where something must go, in order and apart.
    pub(super) fn places(&self, text: &str) -> Vec<Place> {
        let mut places = Vec::new();
        let mut state = Automaton::START;
        let ends_at = |end: usize, seen: Seen| Place {
            range: end - seen.bytes..end,
            seen,
        };
        for (index, byte) in text.bytes().enumerate() {
            let begun = self.automaton.begun(state);
            if begun.bytes >= SHORTEST_PIECE && is_cut(&text.as_bytes()[index..]) {
                add(&mut places, ends_at(index, begun));
            }
            state = self.automaton.step(state, byte);
            if let Some(whole) = self.automaton.whole(state) {
                add(&mut places, ends_at(index + 1, whole));
            }
        }
        let begun = self.automaton.begun(state);
        if begun.bytes >= SHORTEST_PIECE {
            add(&mut places, ends_at(text.len(), begun));
        }
        let mut behind_cuts: Vec<_> = self.behind_cuts(text).collect();
        if behind_cuts.is_empty() {
            return places;
        }
        behind_cuts.append(&mut places);
        behind_cuts.sort_by_key(|place| place.range.end);
        for place in behind_cuts {
            add(&mut places, place);
        }
        places
    }

    /// The pieces of secrets that begin behind a cut.
    fn behind_cuts(&self, text: &str) -> impl Iterator<Item = Place> {
        text.match_indices(CUT).filter_map(|(index, cut)| {
            let start = index + cut.len();
            let start = start + usize::from(text.as_bytes().get(start) == Some(&b' '));
            let seen = self.piece(&text.as_bytes()[start..])?;
            Some(Place {
                range: start..text.ceil_char_boundary(start + seen.bytes),
                seen,
            })
        })
    }

    /// The piece of a secret that a text behind a cut begins with.
    fn piece(&self, rest: &[u8]) -> Option<Seen> {
        let mut windows = rest.windows(WINDOW).map_while(|window| self.windows.get(window));
        if let Some(owner) = windows.next() {
            return Some(Seen {
                bytes: WINDOW + windows.count(),
                owner: *owner,
            });
        }
        (SHORTEST_PIECE..WINDOW).rev().find_map(|bytes| {
            let owner = *self.ends.get(rest.get(..bytes)?)?;
            Some(Seen { bytes, owner })
        })
    }
}

/// Whether a text was cut here; a quoted one is closed before the cut is told.
fn is_cut(rest: &[u8]) -> bool {
    let mut cut = [0; CUT.len_utf8()];
    let cut = CUT.encode_utf8(&mut cut).as_bytes();
    rest.strip_prefix(b"`").unwrap_or(rest).starts_with(cut)
}

/// Adds a place that ends at or behind the end of all others, joined with those that it touches.
fn add(places: &mut Vec<Place>, mut place: Place) {
    while let Some(last) = places.last() {
        let touches = last.range.end == place.range.start && last.seen.owner == place.seen.owner;
        if last.range.end <= place.range.start && !touches {
            break;
        }
        place.range.start = last.range.start.min(place.range.start);
        if last.seen.bytes > place.seen.bytes {
            place.seen = last.seen;
        }
        places.pop();
    }
    places.push(place);
}

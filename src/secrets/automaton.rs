//! Finds many texts in one pass (Aho and Corasick, "Efficient string matching", 1975).
//!
//! Written here and not taken from a crate because two things are needed that none tells: every occurrence, even
//! inside another one, in linear time, and how much of a text's end begins something that is looked for.

use std::collections::HashMap;

/// A text that is looked for, in bytes, and whose it is.
pub(super) type Needle = (Vec<u8>, u32);

/// What stands at a place of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// How many bytes before the place it has.
    pub(super) bytes: usize,
    /// Whose it is.
    pub(super) owner: u32,
}

/// All that is looked for.
pub(super) struct Automaton {
    /// Where each byte leads from the start: most of a text stays there.
    first: Box<[u32; 256]>,
    next: HashMap<(u32, u8), u32>,
    states: Vec<State>,
}

#[derive(Clone)]
struct State {
    /// Where to go on where no needle goes on with the byte that came.
    otherwise: u32,
    /// Bytes that lead here: the longest beginning of a needle that the text ends with.
    begun: Seen,
    /// The longest needle that the text ends with.
    whole: Option<Seen>,
}

impl Automaton {
    /// The start: nothing is begun.
    pub(super) const START: u32 = 0;

    /// Takes what is looked for; needles are not empty.
    pub(super) fn new(needles: &[Needle]) -> Self {
        let mut automaton = Self {
            first: Box::new([Self::START; 256]),
            next: HashMap::new(),
            states: vec![State {
                otherwise: Self::START,
                begun: Seen { bytes: 0, owner: 0 },
                whole: None,
            }],
        };
        let mut edges = Vec::new();
        for (needle, owner) in needles {
            automaton.add(needle, *owner, &mut edges);
        }
        automaton.link(edges);
        automaton
    }

    fn add(&mut self, needle: &[u8], owner: u32, edges: &mut Vec<(u32, u8, u32)>) {
        let mut at = Self::START;
        for (index, byte) in needle.iter().enumerate() {
            let known = self.edge(at, *byte);
            at = if known == Self::START {
                #[expect(clippy::cast_possible_truncation, reason = "the needles' bytes are limited")]
                let new = self.states.len() as u32;
                self.states.push(State {
                    otherwise: Self::START,
                    begun: Seen {
                        bytes: index + 1,
                        owner,
                    },
                    whole: None,
                });
                match at {
                    Self::START => self.first[usize::from(*byte)] = new,
                    at => {
                        self.next.insert((at, *byte), new);
                    }
                }
                edges.push((at, *byte, new));
                new
            } else {
                known
            };
        }
        let bytes = needle.len();
        self.states[at as usize].whole = Some(Seen { bytes, owner });
    }

    /// Says of each state where to go on where it ends: short ones first, because long ones lead to shorter ones.
    fn link(&mut self, mut edges: Vec<(u32, u8, u32)>) {
        edges.sort_by_key(|(_, _, to)| self.states[*to as usize].begun.bytes);
        for (from, byte, to) in edges {
            let otherwise = match from {
                Self::START => Self::START,
                from => self.step(self.states[from as usize].otherwise, byte),
            };
            let inner = self.states[otherwise as usize].whole;
            let state = &mut self.states[to as usize];
            state.otherwise = otherwise;
            state.whole = state.whole.or(inner);
        }
    }

    /// The state after one more byte.
    pub(super) fn step(&self, mut state: u32, byte: u8) -> u32 {
        loop {
            let next = self.edge(state, byte);
            if next != Self::START || state == Self::START {
                return next;
            }
            state = self.states[state as usize].otherwise;
        }
    }

    fn edge(&self, state: u32, byte: u8) -> u32 {
        match state {
            Self::START => self.first[usize::from(byte)],
            state => self.next.get(&(state, byte)).copied().unwrap_or(Self::START),
        }
    }

    /// The longest needle that ends where the state was reached.
    pub(super) fn whole(&self, state: u32) -> Option<Seen> {
        self.states[state as usize].whole
    }

    /// The longest beginning of a needle that ends where the state was reached; of no bytes at the start.
    pub(super) fn begun(&self, state: u32) -> Seen {
        self.states[state as usize].begun
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_end_knows_the_longest_needle_and_the_longest_beginning(
            needles in prop::collection::vec("[ab]{1,5}", 1..6),
            text in "[abc]{0,40}",
        ) {
            let owned: Vec<Needle> = needles.iter().map(|needle| (needle.clone().into_bytes(), 0)).collect();
            let automaton = Automaton::new(&owned);
            let mut state = Automaton::START;
            for (index, byte) in text.bytes().enumerate() {
                state = automaton.step(state, byte);
                let read = &text[..=index];
                let whole = needles.iter().filter(|needle| read.ends_with(needle.as_str())).map(String::len).max();
                prop_assert_eq!(automaton.whole(state).map(|seen| seen.bytes), whole);
                let beginnings = needles.iter().flat_map(|needle| (1..=needle.len()).map(|end| &needle[..end]));
                let begun = beginnings.filter(|start| read.ends_with(start)).map(str::len).max();
                prop_assert_eq!(automaton.begun(state).bytes, begun.unwrap_or(0));
            }
        }
    }
}

//! The heart: one submission, one plan, one answer. Knows no broker and no database, so that the pool, the desk
//! and the re-verifier give the same answer.

mod conclude;
mod grade;
mod hand_in;
mod run;

pub use conclude::undecided;
pub use hand_in::{collect_hand_in, verify_hand_in};
pub use run::{verify, verify_with};

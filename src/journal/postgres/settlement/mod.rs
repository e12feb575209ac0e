//! Settlement's transaction: lock, look, ask the transition table, do what it says. One for each outcome.

mod exception;
mod situation;
mod transaction;
mod words;

pub use exception::Tried;
pub use situation::{Applied, Checked, Decided, Situation};
pub use words::{Change, Effect, HoldReason, NewException, Settled, Transition};

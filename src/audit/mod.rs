//! The audit: whether what the database says today is what was written, sealed and signed then.
//!
//! `examine` looks at one verification, `calls` at what its judges are kept to have said, `kept` at its hand-in and plan, `money`
//! at what was settled, `seals` at the chain of checkpoints, `run` goes over the whole database. `sealer` makes the checkpoints
//! that an audit goes by, `anchor` keeps them outside the database. `bundle` and `prove` carry one verification to somebody who
//! has neither database nor trust in ours. What is proven by what: docs/audit.md.

mod anchor;
mod bundle;
mod calls;
mod examine;
mod finding;
mod kept;
mod money;
mod prove;
mod run;
mod sealer;
mod seals;
mod told;

pub use anchor::{Anchor, AnchorError};
pub use bundle::{Bundle, BundleError, BundledEntry, Inclusion, export};
pub use examine::examine;
pub use finding::{Finding, What};
pub(crate) use kept::contradicts_hand_in;
pub use prove::{Proof, prove};
pub use run::{Anchored, AuditError, AuditReport, Progress, audit};
pub use sealer::{SealTrouble, Sealer, seal_until_stopped};
pub(crate) use told::{contradicts_log, contradicts_receipt};

//! Settlement: applies each decision once, on a receipt that it believes.
//!
//! ```text
//! outcome ──> decoded? receipt believed? one with its receipt?      apply      no: an exception
//!         ──> the job's row locked, the table asked                 transition
//!         ──> money, ledger, job in one transaction                 journal
//!         ──> acknowledged: applied, held or an exception           run
//! ```
//!
//! The table of transitions is a pure function; `journal` locks, looks and does what it says. A held outcome is kept by the
//! database and released through the same path (`release`), as is a decision whose message was lost.

mod apply;
mod exception;
mod release;
mod run;
mod settings;
mod telling;
mod transition;

pub use apply::{SettleTrouble, Settler};
pub use exception::Exception;
pub use run::run;
pub use settings::{SettingsError, SettleSettings};
pub use transition::transition;

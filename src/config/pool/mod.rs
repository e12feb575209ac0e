//! The pool's settings: where broker and database are, and how much a worker takes on.

mod settings;
mod table;

pub use settings::{Lost, PoolSettings, Settlement};
pub(super) use table::{PoolTable, settings};

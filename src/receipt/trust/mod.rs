//! The trust file: whose receipts move money, and from when to when.

mod check;
mod file;
mod reread;
mod trusted_key;

pub use check::ReceiptFault;
pub use file::{TrustError, TrustFile};
pub use reread::Trust;
pub use trusted_key::{KeyState, TrustedKey};

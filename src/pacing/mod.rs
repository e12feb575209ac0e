//! How fast models are asked: at most so many calls at a time, so many requests and tokens a minute, for one process alone
//! or shared by the workers of a pool.
//!
//! ```text
//! Pacer ── Concurrency   how many calls at a time: grows while all goes well, cut when the endpoint says 429
//!       ├─ Share         requests a minute (Rate): all of them, or a part for a few seconds
//!       │    └─ Leases   who has which share: kept in a row of the database, asked by demand
//!       └─ Tokens        tokens a minute: reserved call by call, in one account (Leases again, where processes share)
//! ```
//!
//! A limiter with a fixed rate, such as the crate governor, cannot change its rate and keep what was used of it.

mod concurrency;
mod leasing;
mod pacer;
mod rate;
mod shares;
mod tokens;
mod window;

pub use concurrency::LONGEST_WAIT;
pub use pacer::{Ended, Pace, Pacer, Turn};
pub use shares::{Ask, Grant, Held, LEASE, LeaseError, Leases, Reserved, grant};
pub use window::{AHEAD, REMEMBERED, Used, wait};

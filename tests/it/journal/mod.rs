//! The journal: what both drivers keep, and what only the pool's promises.

mod claims;
mod conformance;
mod set_aside;
mod shares;
mod writer;

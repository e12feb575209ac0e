//! The journal: what both drivers keep, and what only the pool's promises.

mod claims;
mod conformance;
mod shares;
mod writer;

//! What attachments may be fetched from.

use clap::Args;

use crate::evidence::{GoneForGood, Network};

/// The flag of commands that fetch attachments.
#[derive(Debug, Args)]
pub(super) struct NetworkArgs {
    /// Fetches attachments from private addresses and over http, in debug builds, for tests
    #[cfg(debug_assertions)]
    #[arg(long, hide = true)]
    any_network: bool,
}

impl NetworkArgs {
    pub(super) fn network(&self) -> Network {
        #[cfg(debug_assertions)]
        let any = self.any_network;
        #[cfg(not(debug_assertions))]
        let any = false;
        Network {
            allow_private: any,
            allow_http: any,
            gone_for_good: GoneForGood::Nothing,
        }
    }
}

//! A connection of one task's own: for whoever writes all the time. Nobody else waits for it, and nothing is asked of the server
//! between its statements, as a pool does whenever it lends a connection or takes one back.

use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions as _, Connection as _};

use super::{PgJournal, SILENCE};
use crate::journal::JournalError;

/// A connection that is opened when it is needed, and again after trouble.
pub(super) struct Apart {
    journal: PgJournal,
    connection: Option<PgConnection>,
}

impl Apart {
    /// A connection to the same database.
    pub(super) fn of(journal: &PgJournal) -> Self {
        Self {
            journal: journal.clone(),
            connection: None,
        }
    }

    /// The journal with its shared connections.
    pub(super) fn journal(&self) -> &PgJournal {
        &self.journal
    }

    /// Does something by this connection, within the time of one statement. After any trouble but the server's word on a statement
    /// the connection is given up: nobody knows what it is still in the middle of.
    ///
    /// # Errors
    /// Where the database cannot be reached, does not answer, or refuses.
    pub(super) async fn with<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let Self { journal, connection } = self;
        let working = async {
            // In here while it is used: whatever ends this early drops it.
            let mut used = match connection.take() {
                Some(open) => open,
                None => journal.0.options.connect().await?,
            };
            let done = work(&mut used).await;
            if matches!(
                done,
                Ok(_) | Err(JournalError::Statement(sqlx::Error::Database(_)))
            ) {
                *connection = Some(used);
            }
            done
        };
        match tokio::time::timeout(SILENCE, working).await {
            Ok(done) => done,
            Err(_) => Err(JournalError::Stalled(journal.0.place.clone())),
        }
    }

    /// Ends the connection in good order.
    pub(super) async fn close(self) {
        if let Some(connection) = self.connection {
            // It ends, however the server takes it.
            let _ = tokio::time::timeout(SILENCE, connection.close()).await;
        }
    }
}

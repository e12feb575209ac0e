//! One outcome, from the bytes of its message to what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use super::exception::Exception;
use super::release::Release;
use super::settings::SettleSettings;
use super::transition::transition;
use crate::clock::Clock;
use crate::entry::VerificationId;
use crate::journal::{
    Checked, Decided, JournalError, Market, NewException, Settled, Situation, Transition, Tried,
};
use crate::message::{OutcomeMessage, VERSION};
use crate::metrics::Metrics;
use crate::receipt::{ReceiptFault, Trust, TrustError};

/// Applies outcomes. Cheap to clone; any number may work side by side, in any number of processes.
#[derive(Debug, Clone)]
pub struct Settler {
    market: Market,
    trust: Arc<Trust>,
    settings: Arc<SettleSettings>,
    clock: Clock,
}

/// Trouble of ours: the outcome waits, nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettleTrouble {
    /// The database.
    #[error("the database cannot be used")]
    Journal(#[from] JournalError),
    /// The trust file.
    #[error("no receipt can be checked")]
    Trust(#[from] TrustError),
    /// Nobody could take the fee.
    #[error("the marketplace has no user `{0}` to take the fee: correct settle.platform_user")]
    NoPlatformUser(String),
}

impl Settler {
    /// Takes its parts; `settings` have been checked.
    pub fn new(market: Market, trust: Arc<Trust>, settings: SettleSettings, clock: Clock) -> Self {
        Self {
            market,
            trust,
            settings: Arc::new(settings),
            clock,
        }
    }

    /// The marketplace's tables.
    pub fn market(&self) -> &Market {
        &self.market
    }

    /// Whether payments are counted by the hour.
    pub(super) fn is_rated(&self) -> bool {
        self.settings.max_paid_per_hour_cents.is_some()
    }

    /// Whether the user who takes the fee exists: else every payment would become an exception.
    ///
    /// # Errors
    /// [`SettleTrouble::NoPlatformUser`], or trouble with the database.
    pub async fn check_platform_user(&self) -> Result<(), SettleTrouble> {
        match &self.settings.platform_user {
            Some(user) if !self.market.has_user(user).await? => {
                Err(SettleTrouble::NoPlatformUser(user.clone()))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Applies what waited and may go on; [`run`](super::run()) does so every second.
    ///
    /// # Errors
    /// Trouble of ours.
    pub async fn release(&self) -> Result<usize, SettleTrouble> {
        let release = Release {
            settler: self,
            metrics: &Metrics::new(),
            goes_on: &|| (),
            stop: &CancellationToken::new(),
        };
        release.waiting().await
    }

    /// Applies an outcome, or notes why not. After `Ok` the message may be acknowledged: the database keeps what is left
    /// to do.
    ///
    /// # Errors
    /// Trouble of ours, after which the same message comes again.
    pub async fn settle(&self, body: &[u8]) -> Result<Settled, SettleTrouble> {
        self.settle_or_try(body, None).await
    }

    /// Applies the outcome of an open exception after all; [`Settled::Exception`] if it is one still. Else it is closed
    /// in the transaction that applies it or has it wait.
    ///
    /// # Errors
    /// [`JournalError::NoOpenException`], or trouble of ours; nothing has changed.
    pub async fn again(&self, tried: Tried<'_>) -> Result<Settled, SettleTrouble> {
        let body = self.market.exception_message(tried.exception).await?;
        let body = body.ok_or(JournalError::NoOpenException(tried.exception))?;
        self.settle_or_try(&body, Some(tried)).await
    }

    async fn settle_or_try(&self, body: &[u8], tried: Option<Tried<'_>>) -> Result<Settled, SettleTrouble> {
        let message = match read(body) {
            Ok(message) => message,
            Err(exception) => return self.except((None, None), exception, body, tried).await,
        };
        let about = (Some(message.verification_id), Some(message.job_id.as_str()));
        if let Err(exception) = self.check(&message)? {
            return self.except(about, exception, body, tried).await;
        }
        // Else the transaction would close the exception as applied before.
        if tried.is_some() && self.is_altered(&message).await? {
            return self.except(about, Exception::DecisionDiffers, body, tried).await;
        }
        let settings = &self.settings;
        let outcome = Checked {
            message: &message,
            body,
            platform_user: settings
                .platform_user
                .as_deref()
                .filter(|_| settings.fee_basis_points > 0),
            rated: self.is_rated(),
        };
        let differs = AtomicBool::new(false);
        let table = |found: &Situation| {
            differs.store(found.decided == Decided::Other, Ordering::Relaxed);
            transition(settings, &message, found)
                .unwrap_or_else(|exception| Transition::Except(exception.into()))
        };
        match self.market.settle(outcome, tried, table).await {
            Err(JournalError::Refused(error)) => {
                // Without what the database quotes of the row.
                let words = error.as_database_error().map(|error| error.message().to_owned());
                let exception = Exception::Refused(words.unwrap_or_default());
                self.except(about, exception, body, tried).await
            }
            Err(JournalError::Damaged(what)) => {
                self.except(about, Exception::Damaged(what), body, tried).await
            }
            // Nothing moves, but what a stranger has altered is somebody's business also when it comes late.
            Ok(Settled::Already)
                if differs.load(Ordering::Relaxed)
                    && tried.is_none()
                    && self.is_altered(&message).await? =>
            {
                self.except(about, Exception::DecisionDiffers, body, tried).await
            }
            result => Ok(result?),
        }
    }

    /// Whether the worker stored this decision with other words. Other bytes are none: the row of an old decision may have
    /// lost words that were erased, and a copy of its message still has them.
    async fn is_altered(&self, message: &OutcomeMessage) -> Result<bool, JournalError> {
        let decision = self.market.journal().decision(message.verification_id).await?;
        Ok(decision
            .is_some_and(|stored| read(&stored.message).map_or(true, |kept| !message.is_kept_as(&kept))))
    }

    /// What can be said without the database: whether the receipt is believed, and speaks of what the message says.
    fn check(&self, message: &OutcomeMessage) -> Result<Result<(), Exception>, TrustError> {
        let receipt = &message.receipt;
        if let Err(fault) = self.trust.current()?.check(receipt, self.clock.now()) {
            return Ok(Err(fault.into()));
        }
        if receipt.deployment != self.settings.deployment {
            return Ok(Err(Exception::Receipt(ReceiptFault::Deployment {
                kid: receipt.kid.as_str().into(),
                trusted: self.settings.deployment.clone(),
                named: receipt.deployment.clone(),
            })));
        }
        let same = [
            ("outcome", receipt.outcome == message.outcome),
            ("job_id", receipt.job_id == message.job_id),
            ("attempt", receipt.attempt == message.attempt),
            (
                "verification_id",
                receipt.verification_id == message.verification_id,
            ),
            ("trigger", receipt.trigger == message.trigger),
            ("supersedes", receipt.supersedes == message.supersedes),
            ("score", receipt.score == message.score),
            ("plan", receipt.plan == message.plan.digest),
            ("decided_at", receipt.decided_at == message.decided_at),
        ];
        Ok(match same.into_iter().find(|(_, same)| !same) {
            Some((field, _)) => Err(Exception::ReceiptDiffers(field)),
            None => Ok(()),
        })
    }

    async fn except(
        &self,
        about: (Option<VerificationId>, Option<&str>),
        exception: Exception,
        body: &[u8],
        tried: Option<Tried<'_>>,
    ) -> Result<Settled, SettleTrouble> {
        let exception = NewException::from(exception);
        self.market.note_exception(about, &exception, body, tried).await?;
        Ok(Settled::Exception(exception.reason))
    }
}

fn read(body: &[u8]) -> Result<OutcomeMessage, Exception> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let message: OutcomeMessage = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| Exception::Undecodable(error.to_string()))?;
    deserializer
        .end()
        .map_err(|error| Exception::Undecodable(error.to_string()))?;
    if message.v == VERSION {
        Ok(message)
    } else {
        Err(Exception::Undecodable(format!(
            "version {} of the message is not {VERSION}, which this program reads",
            message.v
        )))
    }
}

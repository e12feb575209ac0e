//! What every form of the command needs.

use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::mpsc;

use super::super::{CliError, parts};
use super::JudgeFlag;
use crate::clock::Clock;
use crate::config::{CommonArgs, Config, Settlement};
use crate::entry::LogEntry;
use crate::evidence::Network;
use crate::graders::rubric::Judge;
use crate::journal::{Journal as _, Market, NewDispute, PgJournal};
use crate::keeping::Keeper;
use crate::message::OutcomeMessage;
use crate::plan::{KeptPlan, PlanFolders};
use crate::receipt::{SigningKey, TrustError, TrustFile};
use crate::reverify::{
    Case, Comparison, PlanWanted, Publisher, Reverified, Reverifier, ReverifyError, Sandboxes, foresee,
};
use crate::settle::Exception;
use crate::shutdown;
use crate::worker::Signer;

/// Connections to the database: those of verifications side by side, and a set's lock.
const CONNECTIONS: u32 = 8;

/// What settlement would do with a decision.
pub(super) type Foreseen = Result<crate::journal::Transition, Exception>;

/// The pool as this command uses it.
pub(super) struct Ready {
    pub(super) config: Config,
    pub(super) journal: PgJournal,
    pub(super) reverifier: Reverifier,
    /// Says whose decisions are believed; none where the file is not there.
    trust: Option<TrustFile>,
    folders: PlanFolders,
    sandboxes: Sandboxes,
    live: Judge,
    /// The marketplace's tables, where settlement is ours.
    market: Option<Market>,
}

/// How a case is judged again.
#[derive(Debug, Clone)]
pub(super) struct How {
    pub(super) plan: PlanWanted,
    pub(super) judge: JudgeFlag,
    pub(super) samples: Option<u32>,
}

/// A case beside its verification again.
pub(super) struct Judged {
    pub(super) comparison: Comparison,
    pub(super) preview: Option<OutcomeMessage>,
}

impl Ready {
    pub(super) async fn new(common: &CommonArgs, network: Network) -> Result<Self, CliError> {
        let config = parts::config(common)?;
        let journal = parts::pool_journal(&config, CONNECTIONS).await?;
        journal.check_set_up().await.map_err(CliError::usage)?;
        let settles = config.pool.settlement == Settlement::Assay && config.pool.marketplace;
        let market = match settles {
            true => Some(journal.market().await.map_err(CliError::usage)?),
            false => None,
        };
        let key = SigningKey::read(&config.pool.signing_key).map_err(CliError::usage)?;
        let trust = match TrustFile::read(&config.pool.trust) {
            Ok(trust) => Some(trust),
            Err(TrustError::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                None
            }
            Err(error) => return Err(CliError::usage(error)),
        };
        let live = match &config.judge {
            Some(settings) => {
                let settings = parts::sharing_its_pace(settings, &journal, &config.pool.worker);
                Judge::live(settings).map_err(CliError::usage)?
            }
            None => Judge::none(),
        };
        let sandbox = parts::sandbox(&config)?;
        Ok(Self {
            folders: parts::folders(&config),
            sandboxes: Sandboxes::new(parts::sandbox_config(&config), sandbox, journal.clone()),
            reverifier: Reverifier {
                journal: journal.clone(),
                clock: Clock::system(),
                cancel: shutdown::token().map_err(CliError::trouble)?,
                network,
                keeper: Keeper {
                    journal: journal.clone(),
                    store: parts::evidence_store(&config)?,
                },
                signer: Signer {
                    key,
                    deployment: config.pool.deployment.clone(),
                },
                limit: Duration::from_secs(600),
            },
            journal,
            trust,
            live,
            market,
            config,
        })
    }

    /// The plan of that name or file, kept so that a set goes on with the same plan whatever becomes of the file.
    pub(super) async fn plan(&self, name: Option<&str>) -> Result<PlanWanted, CliError> {
        let Some(name) = name else {
            return Ok(PlanWanted::Then);
        };
        let plan = self.folders.load(name, None).map_err(CliError::usage)?;
        let kept = KeptPlan::of(&plan);
        self.journal.keep_plan(&kept).await.map_err(CliError::trouble)?;
        Ok(PlanWanted::Kept(Box::new(kept)))
    }

    /// Whose decisions are believed; none where nobody says it, and then nothing may be published.
    pub(super) fn trust(&self) -> Option<&TrustFile> {
        self.trust.as_ref()
    }

    /// Whose decisions are believed.
    pub(super) fn needs_trust(&self) -> Result<&TrustFile, CliError> {
        self.trust.as_ref().ok_or_else(|| {
            CliError::usage(anyhow!(
                "nothing is published that would overturn a decision whose receipt nobody has checked, and there is no trust \
                 file {}: put a copy of settlement's there, or name it with ASSAY_TRUST",
                self.config.pool.trust.display()
            ))
        })
    }

    /// What to say where no receipt is checked.
    pub(super) fn unchecked(&self) -> Option<String> {
        let path = self.config.pool.trust.display();
        self.trust.is_none().then(|| {
            format!("not checked: the receipt of what is in dispute, since there is no trust file {path}; nothing can be published")
        })
    }

    /// Judges a case again.
    pub(super) async fn judge(
        &self,
        case: &Case,
        how: &How,
        dispute: &NewDispute,
        heard: Option<mpsc::UnboundedSender<LogEntry>>,
    ) -> Result<Judged, ReverifyError> {
        let plan = how
            .plan
            .of(case, how.samples, &self.journal, &self.folders)
            .await?;
        let (sandbox, missing) = self.sandboxes.of(case, &plan).await?;
        let judge = match how.judge {
            JudgeFlag::Live => self.live.clone(),
            JudgeFlag::Replay => {
                let id = case.decision.verification_id;
                let calls = self.journal.within(self.journal.model_calls(id)).await?;
                Judge::kept(calls, case.told.calls.clone())
            }
        };
        let reverified: Reverified = self
            .reverifier
            .run(case, &plan, (judge, sandbox), dispute, heard)
            .await?;
        Ok(Judged {
            comparison: Comparison::of(case, &plan.reference(), &reverified, missing),
            preview: reverified.preview,
        })
    }

    /// What settlement would do; none where it is not ours.
    pub(super) async fn foresee(&self, preview: &OutcomeMessage) -> Result<Option<Foreseen>, CliError> {
        let Some(market) = &self.market else {
            return Ok(None);
        };
        let foreseen = foresee(market, &self.config.settle, preview).await;
        foreseen.map(Some).map_err(CliError::trouble)
    }

    pub(super) fn publisher(&self) -> Publisher<'_> {
        Publisher {
            journal: &self.journal,
            signer: &self.reverifier.signer,
            clock: &self.reverifier.clock,
        }
    }

    /// Publishes what is stored and unconfirmed. Says so where the broker cannot be reached: settlement goes by the rows.
    pub(super) async fn send(&self, job: Option<&crate::job::JobId>) -> Result<usize, CliError> {
        let queue = parts::queue(&self.config, "reverify").await.map_err(|error| CliError {
            error: anyhow!(error.error)
                .context("the decision is stored, and settlement applies it; its message is published by the next call"),
            ..error
        })?;
        let sent = self.publisher().send(&queue, job).await;
        queue.close().await;
        sent.map_err(CliError::trouble)
    }

    /// Whether settlement is ours.
    pub(super) fn settles(&self) -> bool {
        self.market.is_some()
    }
}

/// The exit status that an error of judging again deserves.
pub(super) fn refused(error: ReverifyError) -> CliError {
    match error {
        ReverifyError::Undecided(_)
        | ReverifyError::NoSuchAttempt { .. }
        | ReverifyError::PlanNotKept { .. }
        | ReverifyError::Plan(_) => CliError::usage(error),
        error => CliError::trouble(error),
    }
}

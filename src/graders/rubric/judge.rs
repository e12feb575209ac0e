//! Who answers: a model, a recording of one, or answers written by hand.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::credulous::{self, Leaning};
use super::kept::Kept;
use super::listener::Listener;
use super::live::Live;
use super::model::JudgeSettings;
use super::question::{Form, Question, Reply};
use super::recorded::Tape;
use super::scripted::Script;
use super::settings::Settings;
use crate::metrics::Metrics;
use crate::model_call::{LoggedCalls, ModelCall};
use crate::pacing::Turn;
use crate::plan::Plan;
use crate::verdict::{ErrorKind, GradeError};

/// A judge that cannot be used as it is set up.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The endpoint's address is wrong.
    #[error("the judge's base URL must be an http or https address without user name, query or fragment")]
    BaseUrl,
    /// The key has characters that no key has.
    #[error("the judge's key holds characters that cannot be sent in a header: check it for line breaks")]
    ApiKey,
    /// The HTTP client cannot be built.
    #[error("the judge's HTTP client cannot be built: {0}; are CA certificates installed?")]
    Client(String),
    /// Neither the rubric nor the settings name a model.
    #[error(
        "no model is named for the grader `{0}`: set ASSAY_MODEL, or `model` under [judge] in assay.toml, or `model` in \
         the plan"
    )]
    NoModel(String),
    /// The model that is asked by default is also the one that is to be another.
    #[error(
        "the grader `{grader}` asks `{model}`, the default model, and names it again as another: change `escalate_to` or \
         `influence.model` in the plan, or the default"
    )]
    SameModel {
        /// The grader.
        grader: String,
        /// The model.
        model: String,
    },
    /// A rubric's settings cannot be read. A plan that was loaded has none such.
    #[error("the grader `{grader}` cannot be asked for: {key}: {message}")]
    Plan {
        /// The grader.
        grader: String,
        /// The setting.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// A file of answers cannot be read or written.
    #[error("the judge's answers in {} cannot be used: {message}", path.display())]
    Answers {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

/// Where a judge's answers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JudgeMode {
    /// From a model.
    Live,
    /// From a model, and kept.
    Record,
    /// From what was kept.
    Replay,
    /// From a file that somebody wrote by hand.
    Scripted,
    /// From the calls that an earlier verification kept.
    Kept,
    /// From the fixed rules of a judge that believes everything: for testing what stands around a judge.
    Credulous,
    /// From nowhere: none is set up.
    None,
}

impl JudgeMode {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Record => "record",
            Self::Replay => "replay",
            Self::Scripted => "scripted",
            Self::Kept => "kept",
            Self::Credulous => "credulous",
            Self::None => "none",
        }
    }
}

/// Who answers rubric graders. Cheap to clone.
#[derive(Clone)]
pub struct Judge(Arc<Source>);

enum Source {
    Live(Live),
    Record(Live, Tape),
    Replay(Tape),
    Scripted(Script),
    Kept(Kept),
    Credulous(Leaning),
    None,
}

impl Judge {
    /// A model answers.
    ///
    /// # Errors
    /// Where address or key cannot be used.
    pub fn live(settings: JudgeSettings) -> Result<Self, JudgeError> {
        Ok(Self(Arc::new(Source::Live(Live::new(settings, None)?))))
    }

    /// A model answers, and its calls are counted.
    ///
    /// # Errors
    /// Where address or key cannot be used.
    pub fn counted(settings: JudgeSettings, metrics: Metrics) -> Result<Self, JudgeError> {
        Ok(Self(Arc::new(Source::Live(Live::new(settings, Some(metrics))?))))
    }

    /// A model answers, and its whole answers are added to the file, which need not exist.
    ///
    /// # Errors
    /// Where address or key cannot be used, or the file is there and is no recording.
    pub fn record(settings: JudgeSettings, path: &Path) -> Result<Self, JudgeError> {
        Ok(Self(Arc::new(Source::Record(
            Live::new(settings, None)?,
            Tape::open_or_new(path)?,
        ))))
    }

    /// Answers come from a recording. A question that was not recorded is an error.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn replay(path: &Path) -> Result<Self, JudgeError> {
        Ok(Self(Arc::new(Source::Replay(Tape::open(path)?))))
    }

    /// Answers come from a file that somebody wrote by hand.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn scripted(path: &Path) -> Result<Self, JudgeError> {
        Ok(Self(Arc::new(Source::Scripted(Script::open(path)?))))
    }

    /// Answers come from the calls that an earlier verification kept, in the order of time, as far as its log names them. A
    /// question that was not asked then is an error ([`ErrorKind::ReplayMismatch`]), an answer that is not the logged one is
    /// another ([`ErrorKind::AnswerChanged`]); a call that failed then fails in the same way.
    pub fn kept(calls: impl IntoIterator<Item = ModelCall>, logged: LoggedCalls) -> Self {
        Self(Arc::new(Source::Kept(Kept::new(calls, logged))))
    }

    /// A judge of fixed rules that believes what it is told, undisturbed of that leaning: a structural test of the defences
    /// around a judge, not a model's result.
    pub fn credulous(leaning: Leaning) -> Self {
        Self(Arc::new(Source::Credulous(leaning)))
    }

    /// Nobody answers: every question is an error that says what to set up.
    pub fn none() -> Self {
        Self(Arc::new(Source::None))
    }

    /// Whether this judge can answer every rubric of the plan, as far as that is known before it is asked: hand-written
    /// answers are those of the plan's graders and criteria, and a model has a name.
    ///
    /// # Errors
    /// Names the first grader or criterion that does not fit.
    pub fn check_against(&self, plan: &Plan) -> Result<(), JudgeError> {
        let rubrics = plan
            .graders
            .iter()
            .filter(|planned| planned.kind == super::KIND.rules.name);
        let rubrics = rubrics.map(|planned| {
            let settings = Settings::from_value(&planned.settings).map_err(|issue| JudgeError::Plan {
                grader: planned.name.clone(),
                key: issue.key,
                message: issue.message,
            })?;
            Ok((planned.name.as_str(), settings))
        });
        let rubrics: Vec<_> = rubrics.collect::<Result<_, JudgeError>>()?;
        match &*self.0 {
            Source::Live(live) | Source::Record(live, _) => {
                let nameless = rubrics.iter().find(|(_, settings)| settings.panel.asks_default());
                match (nameless, live.default_model()) {
                    (Some((name, _)), None) => Err(JudgeError::NoModel((*name).to_owned())),
                    (_, Some(model)) => {
                        let twice = rubrics.iter().find(|(_, settings)| settings.asks_again(&model));
                        match twice {
                            Some((grader, _)) => Err(JudgeError::SameModel {
                                grader: (*grader).to_owned(),
                                model,
                            }),
                            None => Ok(()),
                        }
                    }
                    (None, None) => Ok(()),
                }
            }
            Source::Scripted(script) => script.check_against(&rubrics),
            Source::Replay(_) | Source::Kept(_) | Source::Credulous(_) | Source::None => Ok(()),
        }
    }

    /// Where the answers come from.
    pub fn mode(&self) -> JudgeMode {
        match &*self.0 {
            Source::Live(_) => JudgeMode::Live,
            Source::Record(..) => JudgeMode::Record,
            Source::Replay(_) => JudgeMode::Replay,
            Source::Scripted(_) => JudgeMode::Scripted,
            Source::Kept(_) => JudgeMode::Kept,
            Source::Credulous(_) => JudgeMode::Credulous,
            Source::None => JudgeMode::None,
        }
    }

    /// The model that is asked where the plan names none.
    pub(super) fn default_model(&self) -> Option<String> {
        self.model().and_then(Live::default_model)
    }

    /// What is asked for beside the words.
    pub(super) fn parameters(&self, model: Option<&str>, form: Form) -> Value {
        self.model()
            .map_or_else(|| json!({}), |live| live.parameters(model, form))
    }

    /// The model behind it, where one is asked.
    pub(super) fn model(&self) -> Option<&Live> {
        match &*self.0 {
            Source::Live(live) | Source::Record(live, _) => Some(live),
            Source::Replay(_)
            | Source::Scripted(_)
            | Source::Kept(_)
            | Source::Credulous(_)
            | Source::None => None,
        }
    }

    /// Asks once, at that turn where a model is asked. Nothing is asked again behind the caller's back.
    pub(super) async fn ask(
        &self,
        question: &Question<'_>,
        form: Form,
        turn: Option<Turn>,
        listener: &mut Listener,
    ) -> Result<Reply, GradeError> {
        if let (Some(model), Some(turn)) = (self.model(), turn) {
            let reply = model.ask(question, form, turn, listener).await?;
            if let Source::Record(_, tape) = &*self.0 {
                tape.keep(question, &reply).await?;
            }
            return Ok(reply);
        }
        let reply = match &*self.0 {
            Source::Replay(tape) => tape.recall(question).await?,
            Source::Scripted(script) => script.answer(question)?,
            Source::Kept(kept) => kept.recall(question)?,
            Source::Credulous(leaning) => credulous::answer(question, *leaning),
            Source::Live(_) | Source::Record(..) | Source::None => {
                let message = "no judge is set up: set OPENAI_BASE_URL and OPENAI_API_KEY, or give the fixture \
                               recorded or scripted answers";
                return Err(GradeError::new(ErrorKind::NoJudge, message));
            }
        };
        listener.usage = reply.usage;
        listener.hear(&reply.text).await;
        Ok(reply)
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Judge").field(&self.mode()).finish()
    }
}

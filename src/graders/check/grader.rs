//! The grader: runs the program and says what its end means.

use std::sync::Arc;

use async_trait::async_trait;

use super::call::call;
use super::settings::{self, OnExhausted, Settings};
use crate::digest::Digest;
use crate::entry::{Audience, cut};
use crate::graders::{Context, Grader, Tools};
use crate::plan::PlannedGrader;
use crate::sandbox::{self, Language, Limits, ModuleSource, Ran, Sandbox, SandboxError, Script};
use crate::submission::Submission;
use crate::verdict::{ErrorKind, Evidence, GradeError, Provenance, Recourse, Score, Verdict};

/// Longest script text. Larger tables belong into an attachment of the job.
const SCRIPT_BYTES: usize = 1024 * 1024;

/// Makes a check of what the plan says.
pub(super) fn build(planned: &PlannedGrader, tools: &Tools) -> Result<Arc<dyn Grader>, GradeError> {
    let invalid =
        |message: String| GradeError::new(ErrorKind::PlanInvalid, format!("`{}`: {message}", planned.name));
    let settings = settings::read(&planned.settings).map_err(|issue| invalid(issue.message))?;
    let file = planned
        .files
        .get("script")
        .ok_or_else(|| invalid("its script was not loaded".to_owned()))?;
    let program = match Language::of(&settings.script) {
        Some(language) => Program::Script(language, script(&settings.script, &file.bytes).map_err(invalid)?),
        None => Program::Component(ModuleSource::new(Arc::clone(&file.bytes))),
    };
    Ok(Arc::new(Check {
        name: planned.name.clone(),
        program,
        digest: file.digest,
        settings,
        sandbox: tools.sandbox.clone(),
    }))
}

/// The text of a script, under its file name without folders.
fn script(path: &str, bytes: &[u8]) -> Result<Script, String> {
    if bytes.len() > SCRIPT_BYTES {
        let size = bytes.len();
        return Err(format!(
            "`{path}` has {size} bytes, a script may have {SCRIPT_BYTES}"
        ));
    }
    let source = str::from_utf8(bytes).map_err(|error| format!("`{path}` is not UTF-8: {error}"))?;
    Ok(Script {
        name: path.rsplit('/').next().unwrap_or(path).to_owned(),
        // Editors of one system put a byte order mark there, and no interpreter wants it.
        source: source.trim_start_matches('\u{feff}').to_owned(),
    })
}

/// What is run.
enum Program {
    Component(ModuleSource),
    Script(Language, Script),
}

struct Check {
    name: String,
    program: Program,
    digest: Digest,
    settings: Settings,
    sandbox: Sandbox,
}

#[async_trait]
impl Grader for Check {
    fn name(&self) -> &str {
        &self.name
    }

    async fn grade(&self, submission: &Submission, context: &Context) -> Result<Verdict, GradeError> {
        let call = call(submission, &self.settings).await?;
        match self.run(&call).await {
            Ok(ran) => self.verdict(ran, context).await,
            Err(error) => self.trouble(&error),
        }
    }
}

impl Check {
    async fn run(&self, call: &sandbox::Call) -> Result<Ran, SandboxError> {
        let defaults = match &self.program {
            Program::Component(_) => Limits::default(),
            Program::Script(language, _) => language.limits(),
        };
        let limits = Limits {
            fuel: self.settings.fuel.unwrap_or(defaults.fuel),
            memory_bytes: self
                .settings
                .memory_mib
                .map_or(defaults.memory_bytes, |mib| mib << 20),
            ..defaults
        };
        match &self.program {
            Program::Component(source) => {
                let module = self.sandbox.prepare(source).await?;
                self.sandbox.run(&module, call, &limits).await
            }
            Program::Script(language, script) => {
                self.sandbox.run_script(*language, script, call, &limits).await
            }
        }
    }

    async fn verdict(&self, ran: Ran, context: &Context) -> Result<Verdict, GradeError> {
        let used = format!(
            "{}: fuel {}, peak memory {} bytes, {:.1} ms",
            self.settings.script,
            ran.fuel_used,
            ran.peak_memory_bytes,
            ran.time.as_secs_f64() * 1e3
        );
        context.log.info(Audience::Operator, used).await;
        let answer = ran.answer.map_err(|text| {
            let message = format!("{} says: {text}", self.settings.script);
            GradeError::new(ErrorKind::ScriptFailed, message)
        })?;
        let score = Score::new(answer.score)
            .map_err(|error| GradeError::new(ErrorKind::ScriptAnswerMalformed, error.to_string()))?;
        if (answer.pass && score == Score::ZERO) || (!answer.pass && score == Score::ONE) {
            let word = if answer.pass { "pass" } else { "fail" };
            let message = format!(
                "{}: a {word} with a score of {score} contradicts itself",
                self.settings.script
            );
            return Err(GradeError::new(ErrorKind::ScriptAnswerMalformed, message));
        }
        let mut verdict = Verdict::new(answer.pass, score, answer.reason);
        let note = |text: &String| Evidence {
            label: "note".to_owned(),
            text: text.clone(),
            audience: Audience::Operator,
        };
        verdict.evidence.extend(answer.notes.iter().map(note));
        verdict.provenance = Provenance {
            artifact: Some(self.digest),
            runtime: match self.program {
                Program::Component(_) => None,
                Program::Script(..) => Some(Digest::from(ran.module.bytes())),
            },
            engine: Some(ran.engine.to_owned()),
            fuel: Some(ran.fuel_used),
            peak_memory_bytes: Some(ran.peak_memory_bytes),
            judge_mode: None,
        };
        Ok(verdict)
    }

    /// The rows of the blame table that speak of scripts.
    fn trouble(&self, error: &SandboxError) -> Result<Verdict, GradeError> {
        let kind = match error {
            SandboxError::FuelExhausted { .. } => match self.settings.on_exhausted {
                OnExhausted::Park => ErrorKind::FuelExhausted,
                OnExhausted::Fail => return Ok(Verdict::fail("the check's limit of work was used up")),
            },
            SandboxError::MemoryRefused { .. } => match self.settings.on_exhausted {
                OnExhausted::Park => ErrorKind::MemoryExhausted,
                OnExhausted::Fail => return Ok(Verdict::fail("the check's limit of memory was used up")),
            },
            SandboxError::Trap(_) => ErrorKind::ScriptTrapped,
            SandboxError::MalformedAnswer(_) => ErrorKind::ScriptAnswerMalformed,
            SandboxError::Refused(_) => ErrorKind::ScriptRefused,
            SandboxError::Runtime(_) | SandboxError::Limits(_) | SandboxError::CallTooLarge { .. } => {
                ErrorKind::PlanInvalid
            }
            SandboxError::WallGuard { .. } => ErrorKind::SandboxGuard,
            SandboxError::ChildLost(_) | SandboxError::Spawn(_) => ErrorKind::SandboxDied,
            SandboxError::UnsafeCache { .. } | SandboxError::Cache(_) | SandboxError::Host(_) => {
                ErrorKind::HostExhausted
            }
        };
        debug_assert_eq!(
            kind.recourse() == Recourse::Transient,
            error.kind() == sandbox::ErrorKind::Transient,
            "the sandbox and the blame table agree on what passes"
        );
        let mut message = format!("{}: {}", self.settings.script, cut(&error.to_string(), 4096));
        if let (Program::Script(..), SandboxError::Trap(text)) = (&self.program, error)
            && text.contains("unreachable")
        {
            message.push_str(
                "; a script ends so that reaches for the clock or the system behind its language's back",
            );
        }
        Err(GradeError::new(kind, message))
    }
}

//! The `check` grader: a script of a sender or operator, never trusted, run in the sandbox.
//!
//! A script is Python or JavaScript text for the shared runtime of its language, or a component of its own.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Context, Grader, Kind, Tools};
use crate::digest::Digest;
use crate::entry::{Audience, cut};
use crate::plan::{FileHome, FileNeed, Issue, KindRules, PlannedGrader, Stage};
use crate::sandbox::{self, Language, Limits, ModuleSource, Ran, Sandbox, SandboxError, Script};
use crate::submission::{FileRole, Submission};
use crate::verdict::{ErrorKind, Evidence, GradeError, Provenance, Recourse, Score, Verdict};

/// The kind `check`.
pub(super) static KIND: Kind = Kind {
    rules: KindRules {
        name: "check",
        stage: Stage::Deterministic,
        check: check_settings,
        check_files: |_| Ok(()),
        schema: Settings::json_schema,
    },
    build,
};

/// Bytes of attachments that a check is given, unless the plan says otherwise.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Most that a plan may ask for.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Most fuel that a plan may ask for: above it, the wall-clock guard would strike before the fuel is used up, and a
/// busy machine would see errors where an idle one sees verdicts.
const MOST_FUEL: u64 = 4_000_000_000;

/// The same of scripts: interpreters burn more fuel in the same time.
const MOST_SCRIPT_FUEL: u64 = 10_000_000_000;

/// Most memory that a plan may ask for, in MiB.
const MOST_MEMORY_MIB: u64 = 512;

/// Longest script text. Larger tables belong into an attachment of the job.
const SCRIPT_BYTES: usize = 1024 * 1024;

/// What becomes of a submission on which the check used up its fuel or memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum OnExhausted {
    /// A person looks at it: the check may be at fault.
    #[default]
    Park,
    /// The limits are part of the task.
    Fail,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The script, looked for beside the plan and in `graders/checks`: `.py`, `.js`, `.wat` or `.wasm`.
    script: String,
    /// What the script is told by the plan.
    #[serde(default)]
    params: serde_json::Map<String, Value>,
    /// Names of attachments whose bytes the check is given; `*` stands for any text.
    #[serde(default)]
    attachments: Vec<String>,
    /// Bytes of attachments that the script is given, at most; 8 MiB where it is left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = MOST_BYTES))]
    max_bytes: Option<u64>,
    /// Work that the script may do, in units of fuel.
    #[serde(default)]
    #[schemars(range(min = 1))]
    fuel: Option<u64>,
    /// Memory that the script may have, in MiB.
    #[serde(default)]
    #[schemars(range(min = 1, max = MOST_MEMORY_MIB))]
    memory_mib: Option<u64>,
    /// What becomes of a submission on which fuel or memory is used up.
    #[serde(default)]
    on_exhausted: OnExhausted,
}

fn settings(value: &Value) -> Result<Settings, Issue> {
    let settings: Settings =
        serde_path_to_error::deserialize(value.clone()).map_err(|error| Issue::from_serde(&error))?;
    let component = settings.script.ends_with(".wat") || settings.script.ends_with(".wasm");
    if !component && Language::of(&settings.script).is_none() {
        return Err(Issue::new(
            "script",
            format!("`{}` is no .py, .js, .wat or .wasm file", settings.script),
        ));
    }
    let most_fuel = if component { MOST_FUEL } else { MOST_SCRIPT_FUEL };
    let bounded = [
        ("max_bytes", settings.max_bytes, MOST_BYTES),
        ("fuel", settings.fuel, most_fuel),
        ("memory_mib", settings.memory_mib, MOST_MEMORY_MIB),
    ];
    for (key, asked, most) in bounded {
        if asked.is_some_and(|asked| asked == 0 || asked > most) {
            return Err(Issue::new(key, format!("must be from 1 to {most}")));
        }
    }
    Ok(settings)
}

fn check_settings(value: &Value) -> Result<Vec<FileNeed>, Issue> {
    let script = settings(value)?.script;
    Ok(vec![FileNeed {
        key: "script",
        name: script,
        home: FileHome::Checks,
    }])
}

fn build(planned: &PlannedGrader, tools: &Tools) -> Result<Arc<dyn Grader>, GradeError> {
    let invalid =
        |message: String| GradeError::new(ErrorKind::PlanInvalid, format!("`{}`: {message}", planned.name));
    let settings = settings(&planned.settings).map_err(|issue| invalid(issue.message))?;
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

/// What the check is shown: all of the text, and the bytes of the attachments that the plan names until `max_bytes` are
/// spent. A file that does not fit is shown without its bytes.
async fn call(submission: &Submission, settings: &Settings) -> Result<sandbox::Call, GradeError> {
    let mut left = settings.max_bytes.unwrap_or(MAX_BYTES);
    let mut files = Vec::with_capacity(submission.files.len());
    let outputs = submission.output_files();
    let inputs = submission
        .files
        .iter()
        .filter(|file| file.role == FileRole::Input);
    for file in outputs.chain(inputs) {
        let named = settings
            .attachments
            .iter()
            .any(|pattern| matches(pattern, &file.name));
        let content = if named && file.size <= left {
            left -= file.size;
            let bytes = tokio::fs::read(&file.path).await.map_err(|error| {
                let message = format!("the evidence `{}` cannot be read: {error}", file.name);
                GradeError::new(ErrorKind::HostExhausted, message)
            })?;
            Some(bytes)
        } else {
            None
        };
        files.push(sandbox::File {
            name: file.name.clone(),
            content_type: file.content_type.clone(),
            size: file.size,
            sha256: file.sha256.to_string(),
            role: match file.role {
                FileRole::Output => sandbox::Role::Output,
                FileRole::Input => sandbox::Role::Input,
            },
            content,
        });
    }
    let task = &submission.task;
    Ok(sandbox::Call {
        job_id: submission.job_id.to_string(),
        attempt: submission.attempt,
        title: task.title.clone(),
        prompt: task.prompt.clone(),
        description: task.description.clone(),
        requirements: task.requirements.clone(),
        output_text: submission.output_text.clone(),
        files,
        params: Value::Object(settings.params.clone()).to_string(),
    })
}

/// Whether the name is the pattern, where one `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("*.csv", "a.csv") && matches("*", "x") && matches("a.csv", "a.csv"));
        assert!(!matches("*.csv", "a.txt") && !matches("a*a", "a") && !matches("b.csv", "a.csv"));
    }

    fn issue(settings: Value) -> String {
        let issue = check_settings(&settings).unwrap_err();
        format!("{}: {}", issue.key, issue.message)
    }

    #[test]
    fn wrong_settings_are_named_by_their_key() {
        use serde_json::json;
        assert_eq!(issue(json!({})), ": missing field `script`");
        assert_eq!(
            issue(json!({"script": "x.exe"})),
            "script: `x.exe` is no .py, .js, .wat or .wasm file"
        );
        assert_eq!(
            issue(json!({"script": "a.wat", "fuel": 5_000_000_000_u64})),
            "fuel: must be from 1 to 4000000000"
        );
        assert_eq!(
            issue(json!({"script": "a.wat", "memory_mib": 0})),
            "memory_mib: must be from 1 to 512"
        );
        assert!(issue(json!({"script": "a.wat", "fule": 1})).contains("unknown field `fule`"));
    }
}

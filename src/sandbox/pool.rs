//! The sandbox as the rest of the program sees it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use super::cache::Cache;
use super::compile::{Compilation, GRADE, RUN, compile};
use super::engine::{engine, fingerprint};
use super::modules::Compiled;
use super::process::Process;
use super::protocol::{Entry, FrameError, Outcome, REQUEST_BYTES, Request, Response, encode, response_bytes};
use super::runtimes::{self, Runtimes};
use super::{
    Call, Inspection, Language, Limits, Module, ModuleDigest, ModuleSource, Ran, Refusal, SandboxError,
    Script,
};

/// Modules whose state is kept in memory; the cache on disk keeps all.
const REMEMBERED: usize = 256;
/// Modules that are compiled at the same time: each may take 2 GiB.
const COMPILERS: usize = 2;

/// How to set up a [`Sandbox`].
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// A binary that calls [`super::child_entry`] at the start of its `main`.
    pub program: PathBuf,
    /// Directory for native code, made if missing. Must be open to nobody else.
    pub cache_dir: PathBuf,
    /// Folder of the script runtimes.
    pub runtimes: PathBuf,
    /// Children that run at the same time, at least one. More than there are processors gain nothing.
    pub children: usize,
    /// How much longer than its wall clock guard a call may take before its child counts as hung. Covers
    /// the way there and back and loading a large module.
    pub grace: Duration,
}

impl SandboxConfig {
    /// Children that are this very program, as many as there are processors.
    #[must_use]
    pub fn new(cache_dir: PathBuf) -> Self {
        Self {
            // Still the right file when another version has been installed over it.
            program: PathBuf::from("/proc/self/exe"),
            cache_dir,
            runtimes: PathBuf::from(runtimes::FOLDER),
            children: std::thread::available_parallelism().map_or(1, usize::from),
            grace: Duration::from_secs(10),
        }
    }
}

type Prepared = Arc<OnceCell<Result<Arc<Compiled>, Refusal>>>;

/// Runs checks in child processes. Cheap to clone; children start when they are needed and end with the
/// last clone.
#[derive(Clone, Debug)]
pub struct Sandbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: SandboxConfig,
    cache: Cache,
    fingerprint: String,
    slots: Semaphore,
    compilers: Semaphore,
    idle: Mutex<Vec<Process>>,
    prepared: Mutex<HashMap<ModuleDigest, Prepared>>,
    runtimes: Runtimes,
}

impl Sandbox {
    /// Opens the cache. No child is started yet.
    ///
    /// # Errors
    ///
    /// When the cache directory cannot be made or others can enter it.
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        let engine = engine().map_err(|error| SandboxError::Host(format!("{error:#}")))?;
        let fingerprint = fingerprint(&engine);
        Ok(Self(Arc::new(Inner {
            cache: Cache::open(config.cache_dir.clone(), fingerprint.clone())?,
            fingerprint,
            slots: Semaphore::new(config.children.max(1)),
            compilers: Semaphore::new(COMPILERS),
            idle: Mutex::default(),
            prepared: Mutex::default(),
            runtimes: Runtimes::new(config.runtimes.clone()),
            config,
        })))
    }

    /// Validates and compiles a check, or finds it in the cache. Callers who want the same module at the
    /// same time wait for one compilation.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Refused`] when the file is no check; transient ones when compiling failed.
    pub async fn prepare(&self, source: &ModuleSource) -> Result<Module, SandboxError> {
        let module = self.prepare_any(source).await?;
        if module.exports(GRADE) {
            Ok(module)
        } else {
            Err(Refusal::NoGrade.into())
        }
    }

    /// The runtime of a language: read once, compiled or found in the cache.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Runtime`] when it has not been built; the next call looks for it again.
    pub async fn prepare_runtime(&self, language: Language) -> Result<Module, SandboxError> {
        let runtimes = &self.0.runtimes;
        let module = runtimes.cell(language).get_or_try_init(|| async {
            let inner = Arc::clone(&self.0);
            let source = blocking(move || inner.runtimes.read(language)).await??;
            let module = self.prepare_any(&source).await?;
            if module.exports(RUN) && !module.exports(GRADE) {
                Ok(module)
            } else {
                Err(SandboxError::from(Refusal::NoRuntime))
            }
        });
        module.await.cloned()
    }

    async fn prepare_any(&self, source: &ModuleSource) -> Result<Module, SandboxError> {
        source.check_size()?;
        let cell = self.cell(source.digest());
        let compiled = cell
            .get_or_try_init(|| async {
                let inner = Arc::clone(&self.0);
                let digest = source.digest();
                if let Some(found) = blocking(move || inner.cache.find(digest)).await? {
                    return Ok::<_, SandboxError>(Ok(Arc::new(found)));
                }
                Ok(self.compile(source).await?.map(Arc::new))
            })
            .await?;
        Ok(Module {
            source: source.clone(),
            compiled: Arc::clone(compiled.as_ref().map_err(Clone::clone)?),
        })
    }

    /// What can be said of a check without running it; also of one that would be refused.
    ///
    /// # Errors
    ///
    /// Transient ones when compiling failed.
    pub async fn inspect(&self, source: &ModuleSource) -> Result<Inspection, SandboxError> {
        let (inner, digest) = (Arc::clone(&self.0), source.digest());
        let mut inspection = Inspection {
            digest: digest.to_string(),
            size: source.bytes().len() as u64,
            imports: Vec::new(),
            exports: Vec::new(),
            compile_millis: 0,
            native_bytes: 0,
            cached: false,
            refused: None,
        };
        if let Some(found) = blocking(move || inner.cache.find(digest)).await? {
            inspection.exports = found.exports;
            inspection.compile_millis = found.compile_millis;
            inspection.native_bytes = found.native_bytes;
            inspection.cached = true;
            return Ok(inspection);
        }
        let compilation = self.run_compiler(source).await?;
        inspection.imports.clone_from(&compilation.imports);
        inspection.exports.clone_from(&compilation.exports);
        inspection.compile_millis = millis(compilation.time);
        inspection.native_bytes = compilation.native.len() as u64;
        inspection.refused = self.keep(digest, compilation).await?.err();
        Ok(inspection)
    }

    /// Runs a check on one submission.
    ///
    /// Dropping the future kills the child that runs the check.
    ///
    /// # Errors
    ///
    /// See [`SandboxError::kind`] for what each of them means.
    pub async fn run(&self, module: &Module, call: &Call, limits: &Limits) -> Result<Ran, SandboxError> {
        self.enter(module, &Entry::Grade, call, limits).await
    }

    /// Runs a script on one submission, by the runtime of its language.
    ///
    /// # Errors
    ///
    /// As [`Sandbox::prepare_runtime`] and [`Sandbox::run`].
    pub async fn run_script(
        &self,
        language: Language,
        script: &Script,
        call: &Call,
        limits: &Limits,
    ) -> Result<Ran, SandboxError> {
        let runtime = self.prepare_runtime(language).await?;
        let entry = Entry::Run(script.clone());
        self.enter(&runtime, &entry, call, limits).await
    }

    async fn enter(
        &self,
        module: &Module,
        entry: &Entry,
        call: &Call,
        limits: &Limits,
    ) -> Result<Ran, SandboxError> {
        limits.check()?;
        let slot = self.slot().await?;
        let mut response = self.exchange(module, entry, call, limits).await?;
        if matches!(response.outcome, Outcome::Damaged(_)) {
            // The cache was damaged behind our back: what it held is compiled again, once.
            self.compile(&module.source).await??;
            response = self.exchange(module, entry, call, limits).await?;
        }
        drop(slot);
        Ran::of(response, module, limits)
    }

    /// Starts a child if there is none, and says how it is confined.
    ///
    /// # Errors
    ///
    /// When no child can be started.
    pub async fn confinement(&self) -> Result<String, SandboxError> {
        let _slot = self.slot().await?;
        let process = self.process(None).await?;
        let confinement = process.confinement.clone();
        lock(&self.0.idle).push(process);
        Ok(confinement)
    }

    /// Child processes there are: those that run a check, and those that wait for one.
    pub fn children(&self) -> usize {
        let idle = lock(&self.0.idle).len();
        let busy = self.0.config.children.max(1) - self.0.slots.available_permits();
        idle + busy
    }

    async fn slot(&self) -> Result<SemaphorePermit<'_>, SandboxError> {
        self.0
            .slots
            .acquire()
            .await
            .map_err(|closed| SandboxError::Host(closed.to_string()))
    }

    /// One request to one child, which goes back to the idle ones only if all went well.
    async fn exchange(
        &self,
        module: &Module,
        entry: &Entry,
        call: &Call,
        limits: &Limits,
    ) -> Result<Response, SandboxError> {
        let native = module.compiled.native;
        let mut process = self.process(Some(native)).await?;
        let id = process.next_id();
        let frame = encode(
            &Request {
                id,
                native,
                limits: limits.clone(),
                entry: entry.clone(),
                call,
            },
            REQUEST_BYTES,
        );
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                lock(&self.0.idle).push(process);
                return Err(match error {
                    FrameError::TooLarge { bytes, limit } => SandboxError::CallTooLarge {
                        bytes: bytes as u64,
                        limit: limit as u64,
                    },
                    FrameError::Malformed => SandboxError::Host(error.to_string()),
                });
            }
        };
        let patience = limits.wall + self.0.config.grace;
        let response = process
            .exchange(&frame, id, response_bytes(limits), patience)
            .await?;
        process.last = Some(native);
        lock(&self.0.idle).push(process);
        Ok(response)
    }

    /// An idle child, one that has the module loaded if there is one, or a new one.
    async fn process(&self, native: Option<ModuleDigest>) -> Result<Process, SandboxError> {
        loop {
            let candidate = {
                let mut idle = lock(&self.0.idle);
                let at = idle.iter().rposition(|process| process.last == native);
                at.map(|at| idle.remove(at)).or_else(|| idle.pop())
            };
            let Some(mut process) = candidate else { break };
            if process.is_alive() {
                return Ok(process);
            }
        }
        let Inner {
            config,
            cache,
            fingerprint,
            ..
        } = &*self.0;
        Process::start(&config.program, cache.directory(), fingerprint).await
    }

    fn cell(&self, digest: ModuleDigest) -> Prepared {
        let mut prepared = lock(&self.0.prepared);
        if prepared.len() >= REMEMBERED {
            // Those that are being compiled stay, the others are found again on disk.
            prepared.retain(|_, cell| !cell.initialized());
        }
        Arc::clone(prepared.entry(digest).or_default())
    }

    async fn compile(&self, source: &ModuleSource) -> Result<Result<Compiled, Refusal>, SandboxError> {
        let compilation = self.run_compiler(source).await?;
        self.keep(source.digest(), compilation).await
    }

    async fn run_compiler(&self, source: &ModuleSource) -> Result<Compilation, SandboxError> {
        let permit = self.0.compilers.acquire().await;
        let _permit = permit.map_err(|closed| SandboxError::Host(closed.to_string()))?;
        compile(&self.0.config.program, source).await
    }

    /// Keeps in the cache what the compiler made, unless it is refused.
    async fn keep(
        &self,
        digest: ModuleDigest,
        compilation: Compilation,
    ) -> Result<Result<Compiled, Refusal>, SandboxError> {
        if let Some(refusal) = compilation.refusal {
            return Ok(Err(refusal));
        }
        let inner = Arc::clone(&self.0);
        blocking(move || {
            let native = compilation.native;
            let compiled = Compiled {
                native: ModuleDigest::of(&native),
                native_bytes: native.len() as u64,
                exports: compilation.exports,
                compile_millis: millis(compilation.time),
            };
            inner.cache.store(digest, &compiled, &native)?;
            Ok(compiled)
        })
        .await?
        .map(Ok)
        .map_err(SandboxError::Cache)
    }
}

/// Runs file work off the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, SandboxError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| SandboxError::Host(error.to_string()))
}

/// The data behind a lock. Nothing panics while one is held, and what they guard is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

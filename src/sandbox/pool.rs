//! The sandbox as the rest of the program sees it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::cache::Cache;
use super::engine::{engine, fingerprint};
use super::prepare::Prepared;
use super::process::Process;
use super::protocol::{Entry, FrameError, Outcome, REQUEST_BYTES, Request, Response, encode, response_bytes};
use super::runtimes::{self, Runtimes};
use super::{Call, Language, Limits, Module, ModuleDigest, Ran, SandboxError, Script};

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

/// Runs checks in child processes. Cheap to clone; children start when they are needed and end with the
/// last clone.
#[derive(Clone, Debug)]
pub struct Sandbox(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) config: SandboxConfig,
    pub(super) cache: Cache,
    fingerprint: String,
    slots: Semaphore,
    pub(super) compilers: Semaphore,
    idle: Mutex<Vec<Process>>,
    pub(super) prepared: Mutex<HashMap<ModuleDigest, Prepared>>,
    pub(super) runtimes: Runtimes,
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
}

/// The data behind a lock. Nothing panics while one is held, and what they guard is whole at any time.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

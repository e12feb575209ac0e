//! From the file of a check to a module that can be run: found in memory, found in the cache, or compiled.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

use super::compile::{Compilation, GRADE, RUN, compile};
use super::modules::Compiled;
use super::pool::{Sandbox, lock};
use super::{Inspection, Language, Module, ModuleDigest, ModuleSource, Refusal, SandboxError};

/// Modules whose state is kept in memory; the cache on disk keeps all.
const REMEMBERED: usize = 256;

/// A module that is prepared or being prepared; whoever wants it meanwhile waits for the same.
pub(super) type Prepared = Arc<OnceCell<Result<Arc<Compiled>, Refusal>>>;

impl Sandbox {
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
    fn cell(&self, digest: ModuleDigest) -> Prepared {
        let mut prepared = lock(&self.0.prepared);
        if prepared.len() >= REMEMBERED {
            // Those that are being compiled stay, the others are found again on disk.
            prepared.retain(|_, cell| !cell.initialized());
        }
        Arc::clone(prepared.entry(digest).or_default())
    }

    pub(super) async fn compile(
        &self,
        source: &ModuleSource,
    ) -> Result<Result<Compiled, Refusal>, SandboxError> {
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
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

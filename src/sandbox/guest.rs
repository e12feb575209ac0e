//! Loads native code and runs it: the inside of a child.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store, Trap};

use super::Call;
use super::cache::{native_path, verify};
use super::compile::{GRADE, RUN};
use super::contract::{GradeParams, GradeResults, Problem, RunParams, RunResults, cut};
use super::engine::{Ticker, ticks};
use super::limits::Meter;
use super::modules::ModuleDigest;
use super::protocol::{Entry, MESSAGE_BYTES, Outcome, Request, Response};

/// Modules that are kept loaded.
const LOADED: usize = 8;

/// Runs guests, one at a time.
pub(super) struct Guests {
    engine: Engine,
    /// Empty: there is nothing that a guest could call.
    linker: Linker<Meter>,
    ticker: Ticker,
    directory: PathBuf,
    /// Loaded modules, the one used last at the end.
    loaded: Vec<(ModuleDigest, InstancePre<Meter>)>,
}

impl Guests {
    pub(super) fn new(engine: Engine, directory: PathBuf) -> io::Result<Self> {
        Ok(Self {
            linker: Linker::new(&engine),
            ticker: Ticker::start(&engine)?,
            engine,
            directory,
            loaded: Vec::new(),
        })
    }

    /// Runs one call to its end.
    pub(super) fn run(&mut self, request: &Request<Call>) -> Response {
        let began = Instant::now();
        let mut response = Response {
            id: request.id,
            outcome: Outcome::OutOfFuel,
            fuel_used: 0,
            peak_memory_bytes: 0,
            time: began.elapsed(),
        };
        let module = match self.module(request.native) {
            Ok(module) => module,
            Err(damage) => {
                return Response {
                    outcome: Outcome::Damaged(cut(damage, MESSAGE_BYTES)),
                    ..response
                };
            }
        };
        let mut store = Store::new(&self.engine, Meter::new(&request.limits));
        store.limiter(|meter| meter);
        response.outcome = self.call(&module, &mut store, request);
        response.fuel_used = request.limits.fuel - store.get_fuel().unwrap_or(0);
        response.peak_memory_bytes = store.data().peak_memory_bytes();
        // The store goes with its guest, whatever became of it: nothing is left for the next one.
        drop(store);
        response.time = began.elapsed();
        response
    }

    fn call(
        &self,
        module: &InstancePre<Meter>,
        store: &mut Store<Meter>,
        request: &Request<Call>,
    ) -> Outcome {
        let limits = &request.limits;
        if let Err(error) = store.set_fuel(limits.fuel) {
            return Outcome::Host(format!("{error:#}"));
        }
        store.set_epoch_deadline(ticks(limits.wall));
        store.set_hostcall_fuel(limits.max_output_bytes as usize);
        let _ticking = self.ticker.tick();
        let instance = match module.instantiate(&mut *store) {
            Ok(instance) => instance,
            Err(error) => return outcome(&error, store.data(), Outcome::Trapped),
        };
        match &request.entry {
            Entry::Grade => {
                let grade = match instance.get_typed_func::<GradeParams<'_>, GradeResults>(&mut *store, GRADE)
                {
                    Ok(grade) => grade,
                    Err(error) => return outcome(&error, store.data(), Outcome::Trapped),
                };
                match grade.call(&mut *store, (&request.call,)) {
                    Ok((Ok(verdict),)) => Outcome::Returned(Ok(verdict)),
                    Ok((Err(text),)) => Outcome::Returned(Err(cut(text, MESSAGE_BYTES))),
                    Err(error) => outcome(&error, store.data(), Outcome::Malformed),
                }
            }
            Entry::Run(script) => {
                let run = match instance.get_typed_func::<RunParams<'_>, RunResults>(&mut *store, RUN) {
                    Ok(run) => run,
                    Err(error) => return outcome(&error, store.data(), Outcome::Trapped),
                };
                match run.call(&mut *store, (script, &request.call)) {
                    Ok((Ok(verdict),)) => Outcome::Returned(Ok(verdict)),
                    Ok((Err(Problem::Failed(text)),)) => Outcome::Returned(Err(cut(text, MESSAGE_BYTES))),
                    Ok((Err(Problem::Malformed(text)),)) => Outcome::Malformed(cut(text, MESSAGE_BYTES)),
                    Err(error) => outcome(&error, store.data(), Outcome::Malformed),
                }
            }
        }
    }

    /// The module with this native code, from memory or from the cache.
    fn module(&mut self, native: ModuleDigest) -> Result<InstancePre<Meter>, String> {
        let entry = match self.loaded.iter().position(|(digest, _)| *digest == native) {
            Some(at) => self.loaded.remove(at),
            None => {
                let component = self.load(native).map_err(|error| format!("{error:#}"))?;
                let module = self
                    .linker
                    .instantiate_pre(&component)
                    .map_err(|error| format!("{error:#}"))?;
                if self.loaded.len() == LOADED {
                    self.loaded.remove(0);
                }
                (native, module)
            }
        };
        let module = entry.1.clone();
        self.loaded.push(entry);
        Ok(module)
    }

    /// Maps native code from the cache, if it is what its name says.
    #[expect(
        unsafe_code,
        reason = "the one place that loads native code, which only we have compiled"
    )]
    fn load(&self, native: ModuleDigest) -> wasmtime::Result<Component> {
        let path = native_path(&self.directory, native);
        verify(&path, native)?;
        // SAFETY: the file is the output of our own compiler child: its digest was told by the parent, which
        // computed it from what the compiler wrote, and has just been checked. It stays as it is while it is
        // mapped: the directory can only be entered by our own user (`Cache::open` checks), and files in it
        // are replaced by renaming, never written in place. Code of another engine is refused by wasmtime.
        unsafe { Component::deserialize_file(&self.engine, &path) }
    }
}

/// What an error of wasmtime means; `otherwise` is for those that the guest caused without a trap.
fn outcome(error: &wasmtime::Error, meter: &Meter, otherwise: fn(String) -> Outcome) -> Outcome {
    let text = || cut(format!("{error:#}"), MESSAGE_BYTES);
    if let Some((resource, asked)) = meter.refused {
        return Outcome::Refused { resource, asked };
    }
    if let Some(failure) = &meter.failed {
        return Outcome::Host(cut(failure.clone(), MESSAGE_BYTES));
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Outcome::OutOfFuel,
        Some(Trap::Interrupt) => Outcome::Interrupted,
        Some(trap) => Outcome::Trapped(trap.to_string()),
        None if host_failed(error) => Outcome::Host(text()),
        None => otherwise(text()),
    }
}

/// The operating system said no somewhere below.
fn host_failed(error: &wasmtime::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<io::Error>()
            || cause.is::<rustix::io::Errno>()
            || cause.is::<wasmtime::error::OutOfMemory>()
    })
}

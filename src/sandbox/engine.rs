//! The one wasmtime configuration, and the clock that guards guests.

use std::hash::{Hash, Hasher};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::{Config, Engine};

/// Name and version of the engine: fuel figures may only be compared within one version.
pub const ENGINE_VERSION: &str = "wasmtime 48.0.8";

/// Time between two ticks of the epoch.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Stack of a guest, in bytes. The thread that runs guests has twice as much.
pub(super) const GUEST_STACK: usize = 2 << 20;

/// The engine of compiling and running alike. Every setting is written down, also those that are
/// wasmtime's default today: they are part of what makes a verdict come out the same tomorrow.
pub(super) fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        // Fuel decides, epochs guard.
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK)
        // The bits of a NaN are the only thing in wasm's core that differs between processors.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        // What no check needs and what had most of the advisories of the last years.
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false)
        .wasm_function_references(false)
        .wasm_gc(false)
        .wasm_exceptions(false)
        // Asynchronous component functions.
        .concurrency_support(false)
        // Addresses of a guest mean nothing to whoever reads an error.
        .wasm_backtrace_max_frames(None);
    Engine::new(&config)
}

/// What native code depends on besides its wasm: engine version, settings, processor features. 64
/// hexadecimal digits, part of a cache entry's name.
pub(super) fn fingerprint(engine: &Engine) -> String {
    struct Sink(Sha256);
    impl Hasher for Sink {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut sink = Sink(Sha256::new());
    ENGINE_VERSION.hash(&mut sink);
    engine.precompile_compatibility_hash().hash(&mut sink);
    hex::encode(sink.0.finalize())
}

/// Increments the epoch of an engine every [`TICK`] while a guest runs, and sleeps otherwise.
#[derive(Debug)]
pub(super) struct Ticker {
    thread: Thread,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    running: AtomicBool,
    /// The ticker is asleep without a time-out and must be woken.
    asleep: AtomicBool,
}

/// A guest runs, and the epoch ticks, while this lives.
pub(super) struct Ticking<'a>(&'a State);

impl Ticker {
    /// Starts the ticker's thread, which ends with the engine.
    pub(super) fn start(engine: &Engine) -> io::Result<Self> {
        let state = Arc::new(State::default());
        let weak = engine.weak();
        let shared = Arc::clone(&state);
        let handle = thread::Builder::new().name("epoch".into()).spawn(move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                shared.sleep();
            }
        })?;
        Ok(Self {
            thread: handle.thread().clone(),
            state,
        })
    }

    /// Makes the epoch tick until the returned value is dropped.
    pub(super) fn tick(&self) -> Ticking<'_> {
        self.state.running.store(true, Ordering::SeqCst);
        // Waking the thread costs as much as a short check, so it is only done when needed.
        if self.state.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Ticking(&self.state)
    }
}

impl State {
    fn sleep(&self) {
        if self.running.load(Ordering::SeqCst) {
            thread::park_timeout(TICK);
            return;
        }
        // Either `tick` sees that the thread is asleep, or the thread sees that a guest runs.
        self.asleep.store(true, Ordering::SeqCst);
        if !self.running.load(Ordering::SeqCst) {
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::SeqCst);
    }
}

/// Ticks after which `wall` has surely passed, the one that has already begun included.
pub(super) fn ticks(wall: Duration) -> u64 {
    u64::try_from(wall.as_nanos().div_ceil(TICK.as_nanos()))
        .unwrap_or(u64::MAX - 1)
        .saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_version_is_the_one_that_is_built_in() {
        let lock = include_str!("../../Cargo.lock");
        let (name, version) = ENGINE_VERSION.split_once(' ').unwrap();
        assert!(
            lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")),
            "{ENGINE_VERSION}"
        );
    }

    #[test]
    fn the_fingerprint_is_stable_within_one_build() {
        assert_eq!(fingerprint(&engine().unwrap()), fingerprint(&engine().unwrap()));
    }

    #[test]
    fn ticks_cover_the_whole_wall() {
        assert_eq!(ticks(Duration::from_millis(10)), 2);
        assert_eq!(ticks(Duration::from_millis(11)), 3);
    }
}

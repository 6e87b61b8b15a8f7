//! The engine that runs guests, and its settings.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rayon::prelude::*;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine};

use super::admission::{self, Interface, Wasi, World, refuse};
use super::backfill_bindings::BackfillPre;
use super::bindings::{Migration, MigrationPre};
use super::cache::Cache;
use super::component::{ComponentMigration, Linked};
use super::guest::Guest;
use super::wasi;
use crate::digest::Digest;
use crate::migration::MigrationError;

/// How often a running guest looks whether it must stop, and lets other tasks of its thread run.
const TICK: Duration = Duration::from_millis(10);
const MAX_WASM_STACK: usize = 1 << 20;
const ASYNC_STACK: usize = 2 << 20;

/// What component migrations run in. Cheap to make and to clone: the engine, its thread and the cache of compiled
/// code come with the first component that runs.
#[derive(Clone, Default)]
pub struct Runtime(Arc<Lazy>);

#[derive(Default)]
struct Lazy {
    cache_root: Option<PathBuf>,
    sandbox: OnceLock<Result<Sandbox, MigrationError>>,
    warned: OnceLock<()>,
}

impl Runtime {
    /// A runtime whose cache of compiled code is `$WHIMBREL_CACHE_DIR`, or else `$XDG_CACHE_HOME/whimbrel`.
    pub fn new() -> Self {
        Self::default()
    }

    /// A runtime with a cache of compiled code of its own.
    pub fn with_cache(root: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Lazy {
            cache_root: Some(root.into()),
            ..Lazy::default()
        }))
    }

    /// Compiles those of the components that the cache does not have, on all cores. Does nothing where there can be no
    /// cache: then each component compiles when it is loaded.
    ///
    /// # Errors
    /// The first component that cannot be loaded, by its place in `components`.
    pub fn precompile(
        &self,
        components: &[&ComponentMigration],
    ) -> Result<(), (usize, Box<MigrationError>)> {
        if components.is_empty() {
            return Ok(());
        }
        let sandbox = self.sandbox().map_err(|error| (0, Box::new(error)))?;
        let Ok(cache) = &sandbox.cache else {
            return Ok(());
        };
        let missing = components
            .par_iter()
            .enumerate()
            .filter(|(_, c)| !cache.contains(c.digest()));
        missing
            .map(|(index, component)| {
                let compiled = component.compile(sandbox);
                compiled.map_err(|error| (index, Box::new(error)))
            })
            .find_any(Result::is_err)
            .unwrap_or(Ok(()))
    }

    /// Why compiled code cannot be kept, when it cannot: everything works, but each run compiles again. `None` before
    /// the first component has run.
    pub fn cache_warning(&self) -> Option<String> {
        let sandbox = self.0.sandbox.get()?.as_ref().ok()?;
        let reason = sandbox.cache.as_ref().err()?;
        Some(format!("compiled components cannot be cached: {reason}"))
    }

    /// [`Runtime::cache_warning`], the first time that it is asked for.
    pub(super) fn cache_warning_once(&self) -> Option<String> {
        let warning = self.cache_warning()?;
        self.0.warned.set(()).ok().map(|()| warning)
    }

    pub(super) fn sandbox(&self) -> Result<&Sandbox, MigrationError> {
        let sandbox = self
            .0
            .sandbox
            .get_or_init(|| Sandbox::new(self.0.cache_root.clone()));
        sandbox.as_ref().map_err(Clone::clone)
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

/// The engine with what all guests share.
pub(super) struct Sandbox {
    engine: Engine,
    bare: Linker<Guest>,
    inert: OnceLock<Linker<Guest>>,
    pub(super) cache: Result<Cache, String>,
}

impl Sandbox {
    fn new(cache_root: Option<PathBuf>) -> Result<Self, MigrationError> {
        let unusable =
            |error: wasmtime::Error| refuse(format!("the sandbox cannot start: {error:#}"));
        let engine = Engine::new(&config()).map_err(unusable)?;
        let mut bare = Linker::new(&engine);
        Migration::add_to_linker::<_, HasSelf<_>>(&mut bare, |guest| guest).map_err(unusable)?;
        tick(&engine)
            .map_err(|error| refuse(format!("the sandbox cannot start its clock: {error}")))?;
        Ok(Self {
            cache: Cache::open(cache_root, &engine),
            inert: OnceLock::new(),
            bare,
            engine,
        })
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Compiles a component. With a cache, the code is kept there and mapped from there.
    pub(super) fn compile(
        &self,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<Component, MigrationError> {
        let invalid = |error: wasmtime::Error| refuse(format!("it does not compile: {error:#}"));
        if let Ok(cache) = &self.cache {
            let compiled = self.engine.precompile_component(bytes).map_err(invalid)?;
            if cache.store(digest, &compiled).is_ok()
                && let Some(component) = cache.load(&self.engine, digest)
            {
                return Ok(component);
            }
        }
        Component::new(&self.engine, bytes).map_err(invalid)
    }

    /// Admits a compiled component and links it.
    pub(super) fn link(&self, component: &Component, wasi: Wasi) -> Result<Linked, MigrationError> {
        let interface = self.interface(component);
        admission::admit(&interface, wasi)?;
        let linked = match wasi {
            Wasi::Refused => self.bare.instantiate_pre(component),
            Wasi::Inert => self
                .inert_linker()
                .and_then(|linker| linker.instantiate_pre(component)),
        };
        let unfit = |error: wasmtime::Error| {
            refuse(format!(
                "its imports or exports have other types than this version of Whimbrel: {error:#}"
            ))
        };
        let linked = linked.map_err(unfit)?;
        match interface.world() {
            World::Migration => MigrationPre::new(linked).map(Linked::Migration),
            World::Backfill => BackfillPre::new(linked).map(Linked::Backfill),
        }
        .map_err(unfit)
    }

    fn interface(&self, component: &Component) -> Interface {
        let ty = component.component_type();
        Interface {
            imports: ty
                .imports(&self.engine)
                .filter(|(_, item)| !matches!(item.ty, ComponentItem::Type(_)))
                .map(|(name, _)| name.to_owned())
                .collect(),
            exports: ty
                .exports(&self.engine)
                .map(|(name, _)| name.to_owned())
                .collect(),
        }
    }

    /// The linker of guests that bring an interpreter; made when the first of them comes.
    fn inert_linker(&self) -> wasmtime::Result<&Linker<Guest>> {
        if let Some(linker) = self.inert.get() {
            return Ok(linker);
        }
        let mut linker = self.bare.clone();
        wasi::add_to_linker(&mut linker)?;
        Ok(self.inert.get_or_init(|| linker))
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .concurrency_support(false)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false)
        .shared_memory(false)
        .max_wasm_stack(MAX_WASM_STACK)
        .async_stack_size(ASYNC_STACK)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(64));
    config
}

/// Advances the engine's epoch until the engine is gone.
fn tick(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    let ticker = std::thread::Builder::new().name("whimbrel-ticker".to_owned());
    ticker.spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    })?;
    Ok(())
}

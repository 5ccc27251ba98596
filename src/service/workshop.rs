//! The parts of the house put together: settings in, the service out, for the server and for
//! commands alike. The only file that knows every part, and with `compose` the only place where
//! a setting becomes a part's number. Listens nowhere.

use super::budget::MemoryBudget;
use super::info::Infos;
use super::purge::{PurgeSettings, Purging};
use super::recent::Recent;
use super::story::Service;
use crate::codec;
use crate::config::{Layout, Settings, StoreAt};
use crate::cpu::{Cpu, CpuMetrics, CpuSettings};
use crate::decoded::{DecodedMetrics, Pictures};
use crate::flight::Flights;
use crate::model::key::OriginName;
use crate::model::limits::Limits;
use crate::model::units::ByteSize;
use crate::origin::{
    self, FetchPolicy, OpenStore, OriginSpec, Origins, OwnBounds, Role, StoreTimeouts,
    StoreUrlError,
};
use crate::telemetry::metrics::{Metrics, RenderMetrics};
use crate::telemetry::stores::{StoreMetrics, metered};
use crate::variants::{VariantMetrics, VariantSettings, VariantStore, Variants};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Threads of the runtime that fetches, stores and keeps flights: they wait, they do not work.
const IO_THREADS: usize = 2;

/// Fetches in flight: they hold no CPU, only sockets and their share of memory.
const MAX_FETCHES: usize = 256;

/// Writes under way at a time.
const WRITERS: usize = 16;

/// Writes accepted but not yet written.
const QUEUED_WRITES: usize = 1_024;

/// Bytes of the largest variant that is read from the store; larger ones are rendered anew.
const MAX_VARIANT_BYTES: u64 = 128 << 20;

/// Consecutive failures after which the store of variants is left alone, and for how long.
const BREAKER: (u32, Duration) = (5, Duration::from_secs(5));

/// A render that reads and writes as many pixels is a giant: giants leave half of the slots free.
const GIANT_PIXELS: u64 = 20_000_000;

/// Batches under way for every slot they may hold: one renders, others fetch and store.
const BATCHES_PER_SLOT: usize = 4;

/// What a render is taken to last before the first one was measured.
const EXPECTED_JOB: Duration = Duration::from_millis(50);

/// Mirrored paths whose object was seen lately, and how long that is believed: somebody else may
/// delete or replace it, and only a look at the store tells.
const MIRRORED: u64 = 100_000;
const MIRROR_TRUST: Duration = Duration::from_secs(5);

/// Entries in the short memory of originals that cannot be shown.
const FAULTS: u64 = 10_000;

/// Why the service did not start: one sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A store cannot be opened.
    #[error("{variable}: {error}")]
    Store {
        /// Whose URL it is.
        variable: String,
        /// Why.
        error: StoreUrlError,
    },
    /// A thread, a pool or a socket cannot be had.
    #[error("{0}")]
    System(#[from] io::Error),
    /// The render pool cannot be had.
    #[error("cannot start the render pool: {0}")]
    Pool(String),
}

/// The service without listeners, for commands that do its work by themselves.
#[derive(Debug)]
pub struct Workshop {
    /// The story.
    pub service: Arc<Service>,
    /// What carries fetches, writes and batches; blocking on it is how a command runs.
    pub runtime: Runtime,
    /// What is counted; parts may be added until it is scraped.
    pub metrics: Metrics,
}

/// What the process mainly does, which decides who gets how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Requests: batches get half of the slots at most.
    Requests,
    /// Batches and nothing else: they get every slot, and nothing is kept in memory for requests
    /// that never come.
    Batches {
        /// Originals under way at a time, at least 1.
        originals: usize,
    },
}

/// Builds the service. Opens the stores, talks to none of them.
///
/// # Errors
/// [`StartError`].
pub fn workshop(settings: &Settings, work: Work) -> Result<Workshop, StartError> {
    origin::install_tls();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .thread_name("lenslet-io")
        .enable_all()
        .build()?;

    let mut capacity = settings.capacity;
    if let Work::Batches { .. } = work {
        capacity.memory_cache = ByteSize::new(0);
        capacity.decoded_cache = ByteSize::new(0);
        capacity.source_cache = Some(ByteSize::new(0));
    }
    let budget = MemoryBudget::of(&capacity);
    let cpu_metrics = CpuMetrics::default();
    let cpu = cpu(settings, work, &budget, cpu_metrics.clone())?;
    let decoded_metrics = DecodedMetrics::default();
    let pictures = Pictures::new(budget.decoded.get(), cpu.admission(), decoded_metrics.clone());
    let store_metrics = StoreMetrics::default();
    let origins = origins(settings, &budget, &runtime, &store_metrics)?;
    let variant_metrics = VariantMetrics::default();
    let variants = variants(settings, &budget, &runtime, variant_metrics.clone(), &store_metrics)?;

    let mut metrics = Metrics::new(codec::versions());
    let render_metrics = RenderMetrics::default();
    metrics.add(&render_metrics).add(&variant_metrics).add(&cpu_metrics).add(&decoded_metrics);
    let purging = purging(settings);
    metrics.add(origins.metrics()).add(&purging.metrics).add(&store_metrics);
    metrics.configured(&settings.fingerprint);
    let service = Arc::new(Service {
        runtime: runtime.handle().clone(),
        origins,
        variants,
        cpu,
        pictures,
        limits: settings.limits,
        own_limits: own_limits(settings),
        metrics: render_metrics,
        flights: Flights::new(),
        mirrored: moka::sync::Cache::builder()
            .max_capacity(MIRRORED)
            .time_to_live(MIRROR_TRUST)
            .build(),
        faults: moka::sync::Cache::builder()
            .max_capacity(FAULTS)
            .time_to_live(settings.stores.negative_ttl)
            .build(),
        infos: Infos::default(),
        recent: Recent::default(),
        purging,
    });
    Ok(Workshop { service, runtime, metrics })
}

/// The origins without the rest of the house, for commands that only ask them something.
///
/// # Errors
/// [`StartError`].
pub fn origins_alone(settings: &Settings) -> Result<(Origins, Runtime), StartError> {
    origin::install_tls();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let budget = MemoryBudget::of(&settings.capacity);
    let origins = origins(settings, &budget, &runtime, &StoreMetrics::default())?;
    Ok((origins, runtime))
}

/// The store of variants without the rest of the house; `None` where there is none.
///
/// # Errors
/// [`StartError`].
pub fn variants_alone(settings: &Settings) -> Result<Option<VariantStore>, StartError> {
    open_variants(settings, &StoreMetrics::default())
}

fn cpu(
    settings: &Settings,
    work: Work,
    budget: &MemoryBudget,
    metrics: CpuMetrics,
) -> Result<Cpu, StartError> {
    let (background_slots, batches) = match work {
        Work::Requests => {
            let half = (budget.renders / 2).max(1);
            (half, half * BATCHES_PER_SLOT)
        }
        Work::Batches { originals } => (budget.renders, originals),
    };
    let settings = CpuSettings {
        slots: budget.renders,
        background_slots,
        batches,
        max_queue: settings.capacity.max_queue,
        memory_bytes: budget.decodes.get(),
        giant_pixels: GIANT_PIXELS,
        expected_job: EXPECTED_JOB,
    };
    Cpu::new(&settings, metrics).map_err(|error| StartError::Pool(error.to_string()))
}

fn open(
    at: &StoreAt,
    variable: &str,
    timeout: Duration,
    role: Role,
    metrics: &StoreMetrics,
) -> Result<OpenStore, StartError> {
    let options = at.options.pairs();
    let mut opened = origin::open(at.url.as_str(), &options, StoreTimeouts::within(timeout), role)
        .map_err(|error| StartError::Store { variable: variable.to_owned(), error })?;
    let name = match role {
        Role::Originals => "origin",
        Role::Variants => "variants",
    };
    opened.store = metered(opened.store, name, metrics);
    Ok(opened)
}

fn origins(
    settings: &Settings,
    budget: &MemoryBudget,
    runtime: &Runtime,
    metrics: &StoreMetrics,
) -> Result<Origins, StartError> {
    let stores = &settings.stores;
    let mut specs = Vec::with_capacity(stores.origins.len());
    for at in &stores.origins {
        let variable = format!("the origin called {}", at.name);
        let timeout = at.own.fetch_timeout.unwrap_or(stores.fetch_timeout);
        let store = open(&at.store, &variable, timeout, Role::Originals, metrics)?;
        let own = OwnBounds {
            source_ttl: at.own.source_ttl,
            fetch_timeout: at.own.fetch_timeout,
            max_source_bytes: at.own.source_bytes,
        };
        specs.push(OriginSpec { name: at.name.clone(), store, own });
    }
    let policy = FetchPolicy {
        source_ttl: stores.source_ttl,
        negative_ttl: stores.negative_ttl,
        fetch_timeout: stores.fetch_timeout,
        max_source_bytes: settings.limits.source_bytes,
        max_fetches: MAX_FETCHES,
        source_memory: budget.sources,
        kept_sources: budget.kept_sources,
    };
    Ok(Origins::new(specs, policy, runtime.handle().clone()))
}

fn open_variants(
    settings: &Settings,
    metrics: &StoreMetrics,
) -> Result<Option<VariantStore>, StartError> {
    let stores = &settings.stores;
    let Some(at) = &stores.variants else { return Ok(None) };
    let opened = open(at, "LENSLET_VARIANTS", stores.store_timeout, Role::Variants, metrics)?;
    let has_metadata = opened.kind.has_metadata();
    Ok(Some(VariantStore { objects: opened.store, has_metadata }))
}

fn variants(
    settings: &Settings,
    budget: &MemoryBudget,
    runtime: &Runtime,
    metrics: VariantMetrics,
    store_metrics: &StoreMetrics,
) -> Result<Variants, StartError> {
    let stores = &settings.stores;
    let store = open_variants(settings, store_metrics)?;
    let variant_settings = VariantSettings {
        memory_bytes: budget.cache.get(),
        write_back: stores.write_back,
        queue_bytes: budget.writes.get(),
        queue_writes: QUEUED_WRITES,
        writers: WRITERS,
        store_timeout: stores.store_timeout,
        write_timeout: stores.store_timeout,
        max_body_bytes: MAX_VARIANT_BYTES,
        mirror_sizes: mirror_sizes(settings),
        mirror_cache_control: Some(settings.http.cache_control.as_str().to_owned()),
        breaker_failures: BREAKER.0,
        breaker_cool_down: BREAKER.1,
    };
    Ok(Variants::new(&variant_settings, store, runtime.handle().clone(), metrics))
}

/// The limits of origins that have some of their own.
fn own_limits(settings: &Settings) -> HashMap<OriginName, Limits> {
    let common = settings.limits;
    let own = settings.stores.origins.iter().map(|origin| {
        let limits = Limits {
            source_bytes: origin.own.source_bytes.unwrap_or(common.source_bytes),
            source_pixels: origin.own.source_pixels.unwrap_or(common.source_pixels),
            ..common
        };
        (origin.name.clone(), limits)
    });
    own.filter(|(_, limits)| *limits != common).collect()
}

/// Below which sizes pictures are mirrored; none in the versioned layout.
fn mirror_sizes(settings: &Settings) -> Vec<String> {
    match settings.stores.layout {
        Layout::Mirror => settings.access.allowed_sizes.iter().map(ToString::to_string).collect(),
        Layout::Versioned => Vec::new(),
    }
}

fn purging(settings: &Settings) -> Purging {
    Purging::new(PurgeSettings {
        pods: settings.pods.clone(),
        request_timeout: settings.http.request_timeout,
        store_timeout: settings.stores.store_timeout,
        sizes: mirror_sizes(settings),
    })
}

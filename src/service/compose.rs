//! The composition root: settings in, a running service out. The only file that knows every
//! part, and the only place where a setting becomes a part's number.

use super::http::{Access, HttpSettings, Observer, Public};
use super::run::{Listeners, Running, start as start_listeners};
use super::story::Service;
use crate::codec;
use crate::config::{self, Layout, OnMiss, Settings, StoreAt};
use crate::cpu::{Cpu, CpuMetrics, CpuSettings};
use crate::flight::Flights;
use crate::model::units::ByteSize;
use crate::origin::{
    self, FetchPolicy, OpenStore, OriginSpec, Origins, Role, StoreTimeouts, StoreUrlError,
};
use crate::telemetry::metrics::{HttpMetrics, Metrics, RenderMetrics};
use crate::variants::{VariantMetrics, VariantSettings, VariantStore, Variants};
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

/// Starts everything.
///
/// # Errors
/// [`StartError`].
pub fn start(settings: Settings) -> Result<Running, StartError> {
    origin::install_tls();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .thread_name("lenslet-io")
        .enable_all()
        .build()?;

    let budget = MemoryBudget::of(&settings.capacity);
    let cpu_metrics = CpuMetrics::default();
    let cpu = cpu(&settings, &budget, cpu_metrics.clone())?;
    let origins = origins(&settings, &budget, &runtime)?;
    let variant_metrics = VariantMetrics::default();
    let variants = variants(&settings, &budget, &runtime, variant_metrics.clone())?;

    let mut metrics = Metrics::new(codec::versions());
    let (http_metrics, render_metrics) = (HttpMetrics::default(), RenderMetrics::default());
    metrics.add(&http_metrics).add(&render_metrics).add(&variant_metrics).add(&cpu_metrics);
    metrics.add(origins.metrics());
    let service = Arc::new(Service {
        runtime: runtime.handle().clone(),
        origins,
        variants,
        cpu,
        limits: settings.limits,
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
    });
    let observer = Observer::new(http_metrics);
    let listeners = listeners(&settings);
    let public = Public {
        service: Arc::clone(&service),
        settings: http_settings(settings),
        observer,
        lifecycle: Arc::default(),
    };
    let scrape = Box::new(move || {
        service.refresh_gauges();
        metrics.encode()
    });
    let running = start_listeners(public, scrape, listeners, runtime)?;
    tracing::info!(
        address = %running.public,
        admin = %running.admin,
        renders = budget.renders,
        memory_bytes = budget.total.get(),
        memory_cache_bytes = budget.cache.get(),
        source_bytes = budget.sources.get(),
        decode_bytes = budget.decodes.get(),
        "listening"
    );
    Ok(running)
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
    let origins = origins(settings, &budget, &runtime)?;
    Ok((origins, runtime))
}

/// How the memory of the process is shared out (DESIGN §5).
#[derive(Debug, Clone, Copy)]
struct MemoryBudget {
    renders: usize,
    total: ByteSize,
    /// Finished variants.
    cache: ByteSize,
    /// Originals being fetched or waiting to be decoded: a quarter of what is left.
    sources: ByteSize,
    /// Write-backs under way.
    writes: ByteSize,
    /// Decoding and encoding: the rest.
    decodes: ByteSize,
}

/// Code, tables, stacks, connections: what the process needs before the first picture.
const BASE: u64 = 64 << 20;

impl MemoryBudget {
    fn of(capacity: &config::Capacity) -> Self {
        let total = capacity.memory.get();
        // One eighth stays free: allocators round up and fragment.
        let usable = total.saturating_sub(total / 8).saturating_sub(BASE).max(total / 4);
        let left = usable.saturating_sub(capacity.memory_cache.get()).max(usable / 4);
        let (sources, writes) = (left / 4, left / 8);
        Self {
            renders: capacity.cpus,
            total: capacity.memory,
            cache: capacity.memory_cache,
            sources: ByteSize::new(sources),
            writes: ByteSize::new(writes),
            decodes: ByteSize::new(left - sources - writes),
        }
    }
}

fn cpu(settings: &Settings, budget: &MemoryBudget, metrics: CpuMetrics) -> Result<Cpu, StartError> {
    let settings = CpuSettings {
        slots: budget.renders,
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
) -> Result<OpenStore, StartError> {
    let options = at.options.pairs();
    origin::open(at.url.as_str(), &options, StoreTimeouts::within(timeout), role)
        .map_err(|error| StartError::Store { variable: variable.to_owned(), error })
}

fn origins(
    settings: &Settings,
    budget: &MemoryBudget,
    runtime: &Runtime,
) -> Result<Origins, StartError> {
    let stores = &settings.stores;
    let mut specs = Vec::with_capacity(stores.origins.len());
    for at in &stores.origins {
        let variable = format!("the origin called {}", at.name);
        let store = open(&at.store, &variable, stores.fetch_timeout, Role::Originals)?;
        specs.push(OriginSpec { name: at.name.clone(), store });
    }
    let policy = FetchPolicy {
        source_ttl: stores.source_ttl,
        negative_ttl: stores.negative_ttl,
        fetch_timeout: stores.fetch_timeout,
        max_source_bytes: settings.limits.source_bytes,
        max_fetches: MAX_FETCHES,
        source_memory: budget.sources,
    };
    Ok(Origins::new(specs, policy, runtime.handle().clone()))
}

fn variants(
    settings: &Settings,
    budget: &MemoryBudget,
    runtime: &Runtime,
    metrics: VariantMetrics,
) -> Result<Variants, StartError> {
    let stores = &settings.stores;
    let store = match &stores.variants {
        None => None,
        Some(at) => {
            let opened = open(at, "LENSLET_VARIANTS", stores.store_timeout, Role::Variants)?;
            let has_metadata = opened.kind.has_metadata();
            Some(VariantStore { objects: opened.store, has_metadata })
        }
    };
    let variant_settings = VariantSettings {
        memory_bytes: budget.cache.get(),
        write_back: stores.write_back,
        queue_bytes: budget.writes.get(),
        queue_writes: QUEUED_WRITES,
        writers: WRITERS,
        store_timeout: stores.store_timeout,
        write_timeout: stores.store_timeout,
        max_body_bytes: MAX_VARIANT_BYTES,
        mirror_cache_control: Some(settings.http.cache_control.as_str().to_owned()),
        breaker_failures: BREAKER.0,
        breaker_cool_down: BREAKER.1,
    };
    Ok(Variants::new(&variant_settings, store, runtime.handle().clone(), metrics))
}

fn listeners(settings: &Settings) -> Listeners {
    let http = &settings.http;
    Listeners {
        public: http.listen,
        admin: http.admin_listen,
        workers: settings.capacity.cpus,
        keep_alive: http.keep_alive,
        drain_delay: http.drain_delay,
        grace: http.request_timeout,
    }
}

fn http_settings(settings: Settings) -> HttpSettings {
    let Settings { http, access, stores, .. } = settings;
    HttpSettings {
        base_path: http.base_path,
        cors_origin: http.cors_origin.header().unwrap_or_default().to_owned(),
        cache_control: http.cache_control.as_str().to_owned(),
        request_timeout: http.request_timeout,
        access: Access {
            keys: access.keys,
            unsigned: access.unsigned,
            allowed_sizes: access.allowed_sizes,
        },
        presets: access.presets,
        unknown: access.unknown_params,
        ignored: access.ignored_params,
        mirror: stores.layout == Layout::Mirror,
        redirect_to: match stores.on_miss {
            OnMiss::Redirect => stores.variants_public_url.map(|url| url.as_str().to_owned()),
            OnMiss::Serve => None,
        },
    }
}

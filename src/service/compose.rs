//! The composition root of the server: settings in, a running service out. What the service is
//! made of stands in `workshop`; here its listeners, its events and what observes it are added.

use super::budget::MemoryBudget;
use super::events::Events;
use super::http::{Access, HttpSettings, Memo, Observer, Public};
use super::run::{Lifecycle, Listeners, Running, start as start_listeners};
use super::workshop::{StartError, Work, Workshop, workshop};
use crate::config::{Layout, OnMiss, Settings};
use crate::telemetry::metrics::HttpMetrics;
use crate::telemetry::trace::{TraceMetrics, Tracer};
use actix_web::http::header::HeaderValue;
use std::sync::Arc;

/// Starts everything.
///
/// # Errors
/// [`StartError`].
pub fn start(settings: Settings) -> Result<Running, StartError> {
    let Workshop { service, runtime, mut metrics } = workshop(&settings, Work::Requests)?;
    let (http_metrics, trace_metrics) = (HttpMetrics::default(), TraceMetrics::default());
    metrics.add(&http_metrics).add(&trace_metrics);
    let told = settings.capacity;
    let budget = MemoryBudget::of(&told);
    let tracer = Tracer::start(&settings.tracing, runtime.handle(), &trace_metrics);
    let observer = Observer::new(http_metrics, tracer);
    let lifecycle: Arc<Lifecycle> = Arc::default();
    let events = Events::of(&settings, &service, &lifecycle);
    if let Some(events) = &events {
        metrics.add(events.metrics());
        events.start(budget.renders);
    }
    let listeners = listeners(&settings);
    let public = Public {
        memo: Memo::new(budget.urls.get()),
        service: Arc::clone(&service),
        settings: http_settings(settings),
        observer,
        lifecycle,
        events: events.clone(),
    };
    let scrape = Box::new(move || {
        service.refresh_gauges();
        if let Some(events) = &events {
            events.observe();
        }
        metrics.encode()
    });
    let running = start_listeners(public, scrape, listeners, runtime)?;
    tracing::info!(
        address = %running.public,
        admin = %running.admin,
        renders = budget.renders,
        renders_by = %told.cpus_by,
        memory_bytes = budget.total.get(),
        memory_by = %told.memory_by,
        memory_cache_bytes = budget.cache.get(),
        memory_cache_by = %told.memory_cache_by,
        source_bytes = budget.sources.get(),
        source_cache_bytes = budget.kept_sources.get(),
        decode_bytes = budget.decodes.get(),
        decoded_cache_bytes = budget.decoded.get(),
        decoded_cache_by = %told.decoded_cache_by,
        "listening"
    );
    Ok(running)
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
    let own_keys = stores
        .origins
        .iter()
        .filter_map(|origin| Some((origin.name.clone(), origin.own.keys.clone()?)));
    HttpSettings {
        base_path: http.base_path,
        // It was checked to be a header's value when it was read.
        cors_origin: http
            .cors_origin
            .header()
            .and_then(|origin| HeaderValue::from_str(origin).ok()),
        cache_control: http.cache_control.as_str().to_owned(),
        request_timeout: http.request_timeout,
        access: Access {
            keys: access.keys,
            own_keys: own_keys.collect(),
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

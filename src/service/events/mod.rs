//! Notifications of object stores: an uploaded original is made ahead and described, an
//! overwritten one takes effect at once, a deleted one is forgotten. Events come unordered, twice
//! or late, so they say only *where* to look: the store's present state decides. Accepted means
//! done, or noted where a killed process loses nothing. Never trusts a field of a sender, and
//! nothing the work writes is ever taken for an upload.

pub mod http;
mod intake;
mod marker;
mod metrics;
mod outbound;
mod places;
mod queue;
mod recovery;
mod shapes;
mod token;
mod work;

use super::ahead::Ahead;
use super::run::Lifecycle;
use super::story::Service;
use crate::config::{Intake, Settings, StorePlace, TopicArn};
use crate::variants::WriteBack;
use marker::Markers;
use metrics::EventMetrics;
use outbound::Webhook;
use places::Places;
use queue::Queue;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use token::Gate;

/// The intake.
pub struct Events {
    service: Arc<Service>,
    lifecycle: Arc<Lifecycle>,
    public: bool,
    gate: Gate,
    topics: Vec<TopicArn>,
    places: Places,
    ahead: Ahead,
    queue: Queue,
    /// Absent without a store that outlives the process: then an event is done before it is
    /// acknowledged.
    markers: Option<Markers>,
    lease: Duration,
    webhook: Option<Webhook>,
    /// Where stored variants of the mirror layout are public.
    public_url: Option<String>,
    metrics: EventMetrics,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("queue", &self.queue).finish_non_exhaustive()
    }
}

/// Works at a time for every render slot: most of a work is waiting for stores.
const WORKS_PER_SLOT: usize = 2;

impl Events {
    /// Puts the intake together; none where the settings leave it off. Nothing runs before
    /// [`Events::start`].
    #[must_use]
    pub fn of(
        settings: &Settings,
        service: &Arc<Service>,
        lifecycle: &Arc<Lifecycle>,
    ) -> Option<Arc<Self>> {
        let events = &settings.events;
        let token = events.token.as_ref().filter(|_| events.intake.is_on())?;
        let webhook = events.webhook.clone();
        let webhook = webhook.map(|url| Webhook::new(url, events.webhook_token.clone()));
        let stores = &settings.stores;
        let place = stores.variants.as_ref().map(|at| at.url.place());
        let durable = place.is_some_and(|place| *place != StorePlace::Memory);
        let written = stores.write_back != WriteBack::Off;
        let objects = service.variants.objects().filter(|_| durable && written);
        Some(Arc::new(Self {
            service: Arc::clone(service),
            lifecycle: Arc::clone(lifecycle),
            public: events.intake == Intake::Public,
            gate: Gate::new(token.expose()),
            topics: events.topics.clone(),
            places: Places::of(settings),
            ahead: Ahead::of(settings),
            queue: Queue::new(events.queue, events.lease),
            markers: objects.map(|objects| Markers::new(objects, stores.store_timeout)),
            lease: events.lease,
            webhook,
            public_url: stores.variants_public_url.as_ref().map(|url| url.as_str().to_owned()),
            metrics: EventMetrics::default(),
        }))
    }

    /// Begins to work: `slots` are the renders that may run at a time.
    pub fn start(self: &Arc<Self>, slots: usize) {
        for _ in 0..slots.max(1) * WORKS_PER_SLOT {
            self.service.runtime.spawn(Arc::clone(self).work_on());
        }
        if self.markers.is_some() {
            self.service.runtime.spawn(Arc::clone(self).recover());
        }
    }

    /// Whether the public listener takes events, too.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        self.public
    }

    /// Lets no further work begin; what is noted stays noted.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Waits until the works under way have ended, at most until `deadline`.
    pub async fn drain(&self, deadline: Instant) {
        self.close();
        while self.queue.running() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Brings gauges up to date that nobody keeps.
    pub fn observe(&self) {
        let (depth, oldest) = self.queue.depth();
        self.metrics.queue_depth.set(i64::try_from(depth).unwrap_or(i64::MAX));
        self.metrics.oldest.set(oldest.as_secs_f64());
    }

    /// Its counters.
    pub(super) const fn metrics(&self) -> &EventMetrics {
        &self.metrics
    }
}

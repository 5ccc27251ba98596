//! A purge, from the first thing forgotten to the last object deleted. The order is what makes it
//! hold: first the originals' versions, so that whoever asks from now on asks anew; then the
//! moment is noted, after which nothing that began before is kept; then memory, the other pods,
//! the writes under way, the store, the CDN; and once every request of before must have ended,
//! the store again. Never deletes what is not ours, and never says it is done when it is not.

mod later;
pub(super) mod order;
mod receipt;

pub use super::cdn::WebhookReport;
pub use super::peers::{PeerReport, PeerStatus};
pub use crate::variants::{Scope, Swept};
pub use receipt::{Receipt, SecondPass};

use super::cdn::Webhook;
use super::peers::{Heard, Peers};
use super::story::Service;
use crate::config::{Pods, Token};
use crate::model::key::VariantKey;
use crate::telemetry::purge::PurgeMetrics;
use crate::telemetry::trace::random;
use crate::variants::tags_of;
use later::Later;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whom a purge reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This pod, the store, the CDN, and every other pod.
    Everywhere,
    /// The same without the other pods.
    Here,
}

/// What a purge dropped in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dropped {
    memory: u64,
    decoded: u64,
    originals: u64,
    flights: u64,
    /// Writes that had begun before and are still under way.
    unsettled: u64,
}

/// How purges are done here.
#[derive(Debug)]
pub(super) struct Purging {
    instance: String,
    token: Option<Token>,
    peers: Peers,
    webhook: Option<Webhook>,
    later: Later,
    /// The second pass follows the first after this long.
    second_after: Duration,
    /// What writes under way may take.
    settle: Duration,
    /// Below which sizes pictures are mirrored.
    sizes: Vec<String>,
    pub(super) metrics: PurgeMetrics,
}

/// What a render that has begun may take beyond its request's deadline.
const RENDER_MARGIN: Duration = Duration::from_secs(2);

/// What purges are told by their deployment.
#[derive(Debug)]
pub(super) struct PurgeSettings {
    pub(super) pods: Pods,
    /// The whole time of one request.
    pub(super) request_timeout: Duration,
    /// One call to the store of variants.
    pub(super) store_timeout: Duration,
    /// Below which sizes pictures are mirrored.
    pub(super) sizes: Vec<String>,
}

impl Purging {
    pub(super) fn new(settings: PurgeSettings) -> Self {
        let PurgeSettings { pods, request_timeout, store_timeout, sizes } = settings;
        // An entry, and the record of its original behind it.
        let settle = store_timeout * 2 + Duration::from_millis(250);
        // A name for this process.
        let instance = format!("{:016x}", random());
        let token = pods.admin_token;
        let peers = Peers::new(pods.peers.0, token.clone(), instance.clone(), settle);
        let metrics = PurgeMetrics::default();
        Self {
            instance,
            token,
            peers,
            webhook: pods.cdn_webhook.map(|url| Webhook::new(url, pods.cdn_webhook_token)),
            later: Later::new(metrics.pending.clone()),
            second_after: request_timeout + settle + RENDER_MARGIN,
            settle,
            sizes,
            metrics,
        }
    }

    /// What opens the admin listener's orders.
    pub(super) const fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }
}

impl Service {
    /// Purges, and returns when it is done but for the second pass. Work under way still answers
    /// its callers; its results are kept nowhere. Runs to its end even if the caller leaves.
    pub async fn purge(self: &Arc<Self>, scope: Scope, reach: Reach) -> Receipt {
        let (service, asked) = (Arc::clone(self), scope.clone());
        let held = self.purging.later.hold();
        // Connections to stores and peers live on the runtime of the flights.
        let purge = self.runtime.spawn(async move {
            let _held = held;
            service.first_pass(scope, reach).await
        });
        match purge.await {
            Ok(receipt) => receipt,
            Err(_) => Receipt::broken_off(order::write(&asked), tags_of(&asked)),
        }
    }

    async fn first_pass(self: Arc<Self>, scope: Scope, reach: Reach) -> Receipt {
        self.purging.metrics.purges.get_or_create(&[("scope", scope.kind())]).inc();
        let mut receipt = self.pass(&scope, reach).await;
        let keeps = matches!(scope, Scope::Source { keep: Some(_), .. });
        // Where nothing is kept, the others may have read again what was still in the store.
        let told = receipt.peers_failed() > 0 || (!keeps && !receipt.peers.is_empty());
        let tells_pods = reach == Reach::Everywhere && told;
        receipt.second_pass = self.second_pass(scope, tells_pods);
        tracing::info!(receipt = %receipt.to_json(), complete = receipt.complete, "purged");
        receipt
    }

    /// Everything a purge does, once.
    async fn pass(&self, scope: &Scope, reach: Reach) -> Receipt {
        let begun = Instant::now();
        let purging = &self.purging;
        let written = order::write(scope);
        let peers = async {
            match reach {
                Reach::Everywhere => purging.peers.tell(&written).await,
                Reach::Here => Vec::new(),
            }
        };
        let (dropped, peers) = tokio::join!(self.drop_here(scope), peers);
        let failed = peers.iter().filter(|peer| peer.status == PeerStatus::Failed).count();
        purging.metrics.peers_failed.inc_by(failed as u64);
        let store = self.variants.purge_store(scope).await;
        self.forget_refilled(scope);
        let tags = tags_of(scope);
        let webhook = self.tell_cdn(&tags, &written).await;
        let mut receipt = Receipt {
            complete: false,
            scope: written,
            memory: dropped.memory,
            decoded: dropped.decoded,
            originals: dropped.originals,
            flights: dropped.flights,
            unsettled: dropped.unsettled,
            store,
            peers,
            tags,
            webhook,
            second_pass: None,
            duration_ms: 0,
        };
        receipt.complete = receipt.is_complete();
        receipt.duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        receipt
    }

    /// Empties memory again of what was read from the store while that was being emptied. Where a
    /// version is kept, nobody asks for the others.
    fn forget_refilled(&self, scope: &Scope) {
        if !matches!(scope, Scope::Source { keep: Some(_), .. }) {
            let _refilled = self.variants.forget(scope);
        }
    }

    async fn tell_cdn(&self, tags: &[String], scope: &serde_json::Value) -> Option<WebhookReport> {
        let report = self.purging.webhook.as_ref()?.tell(tags, scope).await;
        if !report.taken {
            self.purging.metrics.webhook_failed.inc();
        }
        Some(report)
    }

    /// What another pod ordered: everything but the store, which that pod sees to.
    pub(super) async fn heard_purge(self: &Arc<Self>, scope: Scope, from: &str) -> Heard {
        let instance = self.purging.instance.clone();
        if from == instance {
            // Our own order, by way of the name that stands for all of us.
            return Heard { instance, ..Heard::default() };
        }
        self.purging.metrics.heard.inc();
        // Who ordered it lists the store again; what was to be kept before may be old by now.
        self.purging.later.give_up(&scope);
        let Dropped { memory, decoded, originals, flights, unsettled } =
            self.drop_here(&scope).await;
        tracing::info!(scope = %order::write(&scope), from, memory, flights, "heard a purge");
        Heard { instance, memory, decoded, originals, flights, unsettled }
    }

    /// Forgets the scope in this process and waits for the writes that had begun before.
    async fn drop_here(&self, scope: &Scope) -> Dropped {
        // Versions first: whoever asks between this and the next step renders the new version,
        // which is then at worst not kept.
        let originals = match scope.source() {
            Some(source) => self.origins.forget(source),
            None => self.origins.forget_matching(|source| scope.covers_source(source)),
        };
        match scope.source() {
            Some(source) => self.recent.forget(source),
            None => self.recent.forget_all(),
        }
        if !matches!(scope, Scope::Source { keep: Some(_), .. } | Scope::Variant { .. }) {
            // Documents are known by version, so those of others do not mind being read again.
            self.infos.forget_all();
        }
        let forgotten = self.variants.forget(scope);
        let decoded = self.pictures.purge(|source, version| {
            let kept = matches!(scope, Scope::Source { keep: Some(kept), .. } if kept == version);
            scope.covers_source(source) && !kept
        });
        let flights = self.flights.count(|key: &VariantKey| scope.covers(key));
        for (digest, fault) in &self.faults {
            if scope.covers_source(&fault.source) {
                self.faults.invalidate(&*digest);
            }
        }
        match scope.source() {
            Some(source) => {
                for size in &self.purging.sizes {
                    self.mirrored.invalidate(&format!("{size}/{}", source.key));
                }
            }
            None => self.mirrored.invalidate_all(),
        }
        let until = Instant::now() + self.purging.settle;
        let unsettled = self.variants.settle(scope, forgotten, until).await;
        Dropped {
            memory: forgotten.memory,
            decoded,
            originals,
            flights: flights as u64,
            unsettled: unsettled as u64,
        }
    }

    /// Sees to it that the store is listed again when every request of before must have ended.
    /// `tells_pods`: all of them are told again, those that did not hear the first time and those
    /// that may have read what was still in the store.
    fn second_pass(self: &Arc<Self>, scope: Scope, tells_pods: bool) -> Option<SecondPass> {
        if !self.variants.has_store() && !tells_pods && self.purging.webhook.is_none() {
            return None;
        }
        let after = self.purging.second_after;
        let service = Arc::clone(self);
        let what = scope.clone();
        self.purging.later.after(&self.runtime, after, scope, async move {
            let receipt = if tells_pods {
                service.pass(&what, Reach::Everywhere).await
            } else {
                service.store_pass(&what).await
            };
            tracing::info!(receipt = %receipt.to_json(), complete = receipt.complete, "purged again");
        });
        Some(SecondPass { after_seconds: after.as_secs(), tells_pods })
    }

    /// The store and the CDN alone.
    async fn store_pass(&self, scope: &Scope) -> Receipt {
        let begun = Instant::now();
        let store = self.variants.purge_store(scope).await;
        self.forget_refilled(scope);
        let (tags, written) = (tags_of(scope), order::write(scope));
        let webhook = self.tell_cdn(&tags, &written).await;
        let mut receipt = Receipt::empty(written, tags);
        (receipt.store, receipt.webhook) = (store, webhook);
        receipt.complete = receipt.is_complete();
        receipt.duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        receipt
    }

    /// Runs the second passes that are still to come now, until `deadline`; returns how many
    /// were not done.
    pub(super) async fn finish_purges(&self, deadline: Instant) -> usize {
        let lost = self.purging.later.hurry(deadline).await;
        if lost > 0 {
            self.purging.metrics.lost.inc_by(lost as u64);
            tracing::warn!(lost, "second passes of purges were not done before the end");
        }
        lost
    }
}

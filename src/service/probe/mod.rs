//! `check-config --probe`: what only the stores themselves can tell. Asks each of them what the
//! service will ask, once, and says of every answer that is not as it should be which permission or
//! setting is missing. Writes one small object of its own among the variants and deletes it again;
//! touches nothing else, and never repeats what a store said, which could hold a secret.

mod codecs;
mod originals;
mod peers;
mod refusal;
mod variants;

use crate::config::{Settings, StoreAt, StorePlace};
use crate::origin::{self, OpenStore, Role, StoreTimeouts};
use crate::telemetry::trace::random;
use object_store::path::Path;
use serde::Serialize;
use std::fmt;
use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

/// One check and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked: `origin shop`, `variants`, `codecs`, `peers`.
    pub part: String,
    /// Which of its abilities: `list`, `read`, `write`, …
    pub check: &'static str,
    /// Whether it is as the service needs it.
    pub ok: bool,
    /// What was found; where it is not ok, what to do about it.
    pub told: String,
    /// How long it took.
    pub millis: u64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.ok { "ok    " } else { "FAILED" };
        write!(f, "{verdict} {} {}: {} ({} ms)", self.part, self.check, self.told, self.millis)
    }
}

/// What a check says.
type Told = Result<String, String>;

/// Collects findings of one part, each within its time.
struct Checks<'a> {
    part: String,
    patience: Duration,
    tell: &'a mut dyn FnMut(Finding),
}

impl Checks<'_> {
    /// Runs one check and tells of it.
    async fn run(&mut self, check: &'static str, work: impl Future<Output = Told>) -> bool {
        let begun = Instant::now();
        let told = tokio::time::timeout(self.patience, work).await;
        let patience = self.patience;
        let told = told.unwrap_or_else(|_| Err(format!("no answer within {patience:?}")));
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (ok, told) = told.map_or_else(|why| (false, why), |what| (true, what));
        (self.tell)(Finding { part: self.part.clone(), check, ok, told, millis });
        ok
    }
}

/// Probes everything the settings name, telling each finding as it comes; returns whether all were
/// ok. Each request to a store may take its own timeout, and there are at most nine of each store.
///
/// # Errors
/// What the system says if no runtime can be had.
pub fn probe(settings: &Settings, tell: &mut dyn FnMut(Finding)) -> io::Result<bool> {
    origin::install_tls();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(all(settings, tell)))
}

async fn all(settings: &Settings, tell: &mut dyn FnMut(Finding)) -> bool {
    // Nobody else uses it, and nothing is stored under it.
    let name = format!("{:016x}", random());
    let mut every_one = true;
    let mut tell = |finding: Finding| {
        every_one &= finding.ok;
        tell(finding);
    };
    for origin in &settings.stores.origins {
        let patience = origin.own.fetch_timeout.unwrap_or(settings.stores.fetch_timeout);
        let part = format!("origin {}", origin.name);
        let mut checks = Checks { part, patience, tell: &mut tell };
        originals::check(&mut checks, &origin.store, &name).await;
    }
    if let Some(at) = &settings.stores.variants {
        let patience = settings.stores.store_timeout;
        let mut checks = Checks { part: "variants".to_owned(), patience, tell: &mut tell };
        variants::check(&mut checks, settings, at, &name).await;
    }
    // A codec that waits for nothing needs no patience; a name server does.
    let patience = Duration::from_secs(5);
    let mut checks = Checks { part: "codecs".to_owned(), patience, tell: &mut tell };
    codecs::check(&mut checks).await;
    let mut checks = Checks { part: "peers".to_owned(), patience, tell: &mut tell };
    peers::check(&mut checks, &settings.pods.peers.0).await;
    every_one
}

/// A path spelt as the service spells its own: `~` as it is.
fn path(text: &str) -> Path {
    Path::parse(text).unwrap_or_default()
}

/// Opens a store as the service does.
fn opened(at: &StoreAt, patience: Duration, role: Role) -> Result<OpenStore, String> {
    let timeouts = StoreTimeouts::within(patience);
    origin::open(at.url.as_str(), &at.options.pairs(), timeouts, role)
        .map_err(|error| error.to_string())
}

/// Whether a place is one that others may answer for: then a refusal is about permissions.
const fn is_listable(place: &StorePlace) -> bool {
    !matches!(place, StorePlace::Web { .. })
}

//! The document about an original (`f=json`): from memory, from its record in the store, or from
//! one look at the original's header. Never decodes and never renders.

use super::answer::CacheStatus;
use super::failure::{ErrorCode, Failure};
use super::story::{Fault, Service};
use crate::codec;
use crate::flight::Flights;
use crate::model::key::{SourceId, info_etag};
use crate::origin::SourceMeta;
use crate::variants::{SourceInfo, SourceRecord};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Documents kept in memory; each has about a kilobyte.
const KNOWN: u64 = 10_000;

/// What a look for a record may take when the request's own time is up.
const STALE_LOOKUP: Duration = Duration::from_millis(1_500);

/// A document and where it came from.
type Found = (Arc<SourceInfo>, CacheStatus);

/// What is known of originals, by the ETag of their document.
#[derive(Debug)]
pub struct Infos {
    known: moka::sync::Cache<String, Arc<SourceInfo>>,
    flights: Flights<Result<Found, Failure>>,
}

impl Default for Infos {
    fn default() -> Self {
        Self { known: moka::sync::Cache::new(KNOWN), flights: Flights::new() }
    }
}

impl Infos {
    /// Notes what was learned on the way to something else, and returns it.
    pub(super) fn learn(
        &self,
        source: &SourceId,
        meta: &SourceMeta,
        info: SourceInfo,
    ) -> SourceInfo {
        self.known.insert(info_etag(source, &meta.version), Arc::new(info.clone()));
        info
    }

    /// Forgets every document.
    pub(super) fn forget_all(&self) {
        self.known.invalidate_all();
    }

    /// Documents being looked for.
    pub(super) fn is_idle(&self) -> bool {
        self.flights.is_empty()
    }
}

/// A document to answer with, or the news that the client has it.
#[derive(Debug, Clone)]
pub struct InfoAnswer {
    /// The original.
    pub source: SourceId,
    /// The ETag.
    pub etag: String,
    /// The document; none: the client's copy is good (304).
    pub info: Option<Arc<SourceInfo>>,
    /// Where it came from; `Stale`: the origin could not confirm that it is the newest.
    pub cache: CacheStatus,
}

impl Service {
    /// Describes an original: at most one HEAD, one read of the store and one GET of the original,
    /// however many ask. `is_known` tells whether the client already has an ETag.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn info(
        self: &Arc<Self>,
        source: &SourceId,
        v: Option<&str>,
        deadline: Instant,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<InfoAnswer, Failure> {
        let version = match self.original(source, v, deadline).await {
            Ok(version) => version,
            Err(failure) => return self.stale_info(source, failure, deadline).await,
        };
        let etag = info_etag(source, &version.meta.version);
        if let Some(fault) = self.faults.get(&etag) {
            return Err(fault.failure);
        }
        let stale = |cache| if version.stale { CacheStatus::Stale } else { cache };
        if is_known(&etag) {
            let (source, cache) = (source.clone(), stale(CacheStatus::Memory));
            return Ok(InfoAnswer { source, etag, info: None, cache });
        }
        let (info, cache) = self.info_of(source, &version.meta, deadline).await?;
        let source = source.clone();
        Ok(InfoAnswer { source, etag, info: Some(info), cache: stale(cache) })
    }

    /// The document about one version of an original, which lies in the store afterwards where
    /// there is one.
    ///
    /// # Errors
    /// [`Failure`] of the origin, the original or the deadline.
    pub(super) async fn info_of(
        self: &Arc<Self>,
        source: &SourceId,
        meta: &SourceMeta,
        deadline: Instant,
    ) -> Result<Found, Failure> {
        let etag = info_etag(source, &meta.version);
        if let Some(info) = self.infos.known.get(&etag) {
            return Ok((info, CacheStatus::Memory));
        }
        let joined = self.infos.flights.join(&self.runtime, &etag, |abandoned| {
            let (own, source, meta) = (Arc::clone(self), source.clone(), meta.clone());
            async move {
                tokio::select! {
                    biased;
                    () = abandoned.wait() => Err(Failure::deadline()),
                    found = own.look_for_info(&source, &meta, deadline) => found,
                }
            }
        });
        match tokio::time::timeout_at(deadline.into(), joined.wait()).await {
            Ok(Ok(found)) => found,
            Ok(Err(lost)) => Err(Failure::internal(lost.to_string())),
            Err(_elapsed) => Err(Failure::deadline()),
        }
    }

    async fn look_for_info(
        self: &Arc<Self>,
        source: &SourceId,
        meta: &SourceMeta,
        deadline: Instant,
    ) -> Result<Found, Failure> {
        if let Some(record) = self.variants.record(source, deadline).await
            && record.info.version == meta.version.as_str()
            && record.info.is_whole()
        {
            let info = Arc::new(record.info);
            self.infos.known.insert(info_etag(source, &meta.version), Arc::clone(&info));
            return Ok((info, CacheStatus::Store));
        }
        let read = self.probe_original(source, meta, deadline).await;
        if let Err(failure) = &read
            && failure.is_of_the_source()
        {
            let fault = Fault { source: source.clone(), failure: failure.clone() };
            self.faults.insert(info_etag(source, &meta.version), fault);
        }
        let (meta, info) = read?;
        let info = Arc::new(self.infos.learn(source, &meta, info));
        let record = SourceRecord::new(source, &meta, (*info).clone(), SystemTime::now());
        self.variants.keep_record(source, record).await;
        Ok((info, CacheStatus::Rendered))
    }

    /// One GET and the header; what is described is what was read.
    async fn probe_original(
        &self,
        source: &SourceId,
        expected: &SourceMeta,
        deadline: Instant,
    ) -> Result<(SourceMeta, SourceInfo), Failure> {
        let (meta, body) = self.original_bytes(source, expected, deadline).await?;
        let header = codec::probe(&body)?;
        let profile = codec::profile_name(&body, &header);
        let info = SourceInfo::new(&meta, &header, profile);
        Ok((meta, info))
    }

    /// The origin cannot be asked: the record of whatever version lies in the store is better than
    /// an error, unless the origin's answer was that the original is gone.
    async fn stale_info(
        self: &Arc<Self>,
        source: &SourceId,
        failure: Failure,
        deadline: Instant,
    ) -> Result<InfoAnswer, Failure> {
        if !matches!(failure.code, ErrorCode::OriginFailed | ErrorCode::OriginTimeout) {
            return Err(failure);
        }
        let deadline = deadline.max(Instant::now() + STALE_LOOKUP);
        let (own, id) = (Arc::clone(self), source.clone());
        // Connections to the store live on the runtime of the flights.
        let looked = self.runtime.spawn(async move { own.variants.record(&id, deadline).await });
        let record = looked.await.ok().flatten().filter(|record| record.info.is_whole());
        let Some(record) = record else { return Err(failure) };
        // The ETag is that of the version described, which the record spells.
        let version = crate::model::key::SourceVersion::parse(&record.info.version);
        let Some(version) = version else { return Err(failure) };
        Ok(InfoAnswer {
            source: source.clone(),
            etag: info_etag(source, &version),
            info: Some(Arc::new(record.info)),
            cache: CacheStatus::Stale,
        })
    }
}

//! What is known of URLs that were answered before: everything about a request that follows from its
//! target, what it accepts and the deployment alone, so that it need not be read, judged and resolved
//! again. None of it can become wrong while the process runs. What can, is not here: whether a URL has
//! expired, which version of an original lies there, whether a variant is in memory. Of failures
//! nothing is kept.

use super::disposition::Show;
use super::prepared::{Identity, Look};
use crate::dialect::request::{Download, ImageRequest};
use crate::model::key::{SourceId, SourceVersion, VariantKey};
use crate::model::transform::{Accepts, Transform};
use crate::telemetry::logs;
use crate::telemetry::metrics::Route;
use crate::variants::{Placement, Variant};
use actix_web::http::header::HeaderValue;
use moka::sync::Cache;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// Longer targets are read anew each time: they are cut in the log.
pub(super) const MAX_TARGET: usize = 1_024;

/// Bytes an entry takes beside the texts of its URL: the wishes, their headers, the cache's nodes.
const OVERHEAD: usize = 3_072;

/// By target, as received.
#[derive(Debug)]
pub struct Memo {
    known: Cache<String, Arc<Known>>,
}

impl Memo {
    /// At most this many bytes; 0 keeps nothing.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let known = Cache::builder()
            .name("urls")
            .max_capacity(bytes)
            .weigher(|target: &String, known: &Arc<Known>| {
                // The key of the original stands in the wish, the tags and the name, too.
                let bytes = target.len() + 4 * known.source.key.as_str().len() + OVERHEAD;
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .build();
        Self { known }
    }

    /// What is known of a target.
    pub(super) fn get(&self, target: &str) -> Option<Arc<Known>> {
        self.known.get(target)
    }

    /// Keeps what is known of a target that was understood and admitted, and what is wished by those
    /// who accept this; returns it.
    pub(super) fn keep(&self, target: &str, new: impl FnOnce() -> Known) -> Option<Arc<Known>> {
        if target.len() > MAX_TARGET {
            return None;
        }
        Some(self.known.get(target).unwrap_or_else(|| {
            let known = Arc::new(new());
            self.known.insert(target.to_owned(), Arc::clone(&known));
            known
        }))
    }
}

/// One URL, understood and admitted.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) source: SourceId,
    /// `source` as logs have it.
    pub(super) source_text: String,
    /// `v`.
    pub(super) version: Option<String>,
    /// `exp`: to be looked at each time.
    pub(super) exp: Option<u64>,
    pub(super) negotiable: bool,
    /// Whether its target may stand in a log as it is.
    pub(super) clean: bool,
    pub(super) route: Route,
    pub(super) placement: Placement,
    /// `Cache-Control` while the original is confirmed, where it does not depend on the time.
    pub(super) cache_control: Option<HeaderValue>,
    download: Option<Download>,
    /// By what the client accepts; only the last one's where that makes no difference.
    wanted: [OnceLock<Wanted>; 4],
}

impl Known {
    /// Of a request, with the place of its variant and the `Cache-Control` of its answers.
    pub(super) fn new(
        target: &str,
        image: &ImageRequest,
        placement: Placement,
        cache_control: Option<HeaderValue>,
    ) -> Self {
        Self {
            source: image.source.clone(),
            source_text: image.source.to_string(),
            version: image.version.clone(),
            exp: image.access.exp,
            negotiable: image.is_negotiable(),
            clean: logs::is_clean(target),
            route: Route::of(image),
            placement,
            cache_control,
            download: image.download.clone(),
            wanted: Default::default(),
        }
    }

    fn slot(&self, accepts: Accepts) -> &OnceLock<Wanted> {
        let [avif_webp, avif, webp, classic] = &self.wanted;
        match accepts {
            _ if !self.negotiable => classic,
            Accepts::AvifWebp => avif_webp,
            Accepts::Avif => avif,
            Accepts::Webp => webp,
            Accepts::Classic => classic,
        }
    }

    /// What is wished by those who accept this, where somebody did before.
    pub(super) fn wanted(&self, accepts: Accepts) -> Option<&Wanted> {
        self.slot(accepts).get()
    }

    /// Enters what is wished by those who accept this.
    pub(super) fn wishes(&self, accepts: Accepts, wish: &Arc<Transform>) {
        self.slot(accepts)
            .get_or_init(|| Wanted { wish: Arc::clone(wish), last: RwLock::default() });
    }

    /// What its answers are called and whether they are shown or saved.
    fn look(&self, variant: &Variant) -> Look {
        let show = Show::of(self.download.as_ref());
        Look::new(variant, show, self.source.key.file_name())
    }
}

/// What is wished by a URL and an `Accept`.
#[derive(Debug)]
pub(super) struct Wanted {
    wish: Arc<Transform>,
    /// Of the version that was answered last.
    last: RwLock<Option<Keyed>>,
}

/// One wish of one version of an original, with the headers of its answers. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Keyed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    key: VariantKey,
    identity: Identity,
    look: OnceLock<Look>,
}

impl AsRef<VariantKey> for Keyed {
    fn as_ref(&self) -> &VariantKey {
        &self.0.key
    }
}

impl Keyed {
    pub(super) fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// The look of this picture; nearly always the one that is known.
    pub(super) fn look<R>(
        &self,
        of: &Known,
        variant: &Variant,
        with: impl FnOnce(&Look) -> R,
    ) -> R {
        let look = self.0.look.get_or_init(|| of.look(variant));
        // The same key may be answered by what another build has stored.
        if look.fits(variant) { with(look) } else { with(&of.look(variant)) }
    }
}

impl Wanted {
    /// The key of the wish for this version. Made anew where another version was answered last.
    pub(super) fn keyed(&self, source: &SourceId, version: &SourceVersion) -> Keyed {
        {
            let last = self.last.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(keyed) = last.as_ref().filter(|keyed| keyed.0.key.version == *version) {
                return keyed.clone();
            }
        }
        let key = VariantKey::new(source.clone(), version.clone(), &self.wish);
        let identity = Identity::new(&key.etag(), source);
        let keyed = Keyed(Arc::new(Inner { key, identity, look: OnceLock::new() }));
        *self.last.write().unwrap_or_else(PoisonError::into_inner) = Some(keyed.clone());
        keyed
    }
}

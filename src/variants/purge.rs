//! Finding in the store what a purge covers: a listing of the areas where it can lie, each name
//! held to the form of ours, each mirrored image to its mark. Never deletes what does not carry
//! both, and never touches memory.

use super::area::{self, Name, Place, What};
use super::delete::Swept;
use super::mark::Mark;
use super::objects::{Fault, Objects};
use super::scope::Scope;
use crate::model::key::source_area;
use crate::model::key::{OriginName, RENDER_EPOCH, SourceId, SourceKey, SourceVersion};
use futures_util::future::{join_all, try_join_all};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Objects whose mark or header is read at a time.
const LOOKS: usize = 16;
/// How long the list of our own and earlier epochs that have an area is believed.
const EPOCHS_KNOWN: Duration = Duration::from_mins(10);
/// Bytes of an entry that are read to learn of which original it is.
const HEAD_BYTES: u64 = 16 << 10;

type Found<'a, T> = BoxStream<'a, Result<T, Fault>>;

/// What is needed of the record of an original.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Told {
    pub(super) key: String,
    pub(super) version: String,
}

/// Which of our own and earlier epochs have an area in the store, for a while. Later ones are
/// never remembered: a rollout may begin one any moment.
#[derive(Debug, Default)]
pub(super) struct Epochs(Mutex<Option<(Instant, Vec<u32>)>>);

impl Epochs {
    /// Those a purge of the scope has to look into.
    async fn of(&self, objects: &Objects, scope: &Scope) -> Result<Vec<u32>, Fault> {
        let mut epochs = self.earlier(objects).await?;
        let newer = area::epochs().filter(|epoch| *epoch > RENDER_EPOCH);
        match scope {
            // To list what is there of one original costs no more than to look.
            Scope::Source { .. } => epochs.extend(newer),
            Scope::Prefix { .. } | Scope::All => epochs.extend(existing(objects, newer).await?),
            // Digests hold the epoch.
            Scope::Variant { .. } => {}
        }
        Ok(epochs)
    }

    /// Our own and earlier ones: looked for, one small listing each, unless that was done lately.
    async fn earlier(&self, objects: &Objects) -> Result<Vec<u32>, Fault> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, epochs)) = known
            && at.elapsed() < EPOCHS_KNOWN
        {
            return Ok(epochs);
        }
        let mut found = existing(objects, 0..=RENDER_EPOCH).await?;
        // Ours may get its first object any moment.
        if !found.contains(&RENDER_EPOCH) {
            found.push(RENDER_EPOCH);
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((Instant::now(), found.clone()));
        Ok(found)
    }
}

/// Which of these epochs have an area in the store.
async fn existing(objects: &Objects, epochs: impl Iterator<Item = u32>) -> Result<Vec<u32>, Fault> {
    let looks = epochs.map(|epoch| async move {
        let first = objects.list(&format!("v{epoch}")).try_next().await?;
        Ok::<_, Fault>(first.map(|_| epoch))
    });
    Ok(try_join_all(looks).await?.into_iter().flatten().collect())
}

impl Objects {
    /// Everything below a folder.
    pub(super) fn list(&self, folder: &str) -> Found<'static, ObjectMeta> {
        match Path::parse(folder) {
            Ok(path) => self.store.objects.list(Some(&path)).map_err(Fault::from).boxed(),
            Err(error) => {
                let fault = Fault::Unplaceable(error.to_string());
                stream::once(async { Err(fault) }).boxed()
            }
        }
    }

    /// Deletes what the scope covers, in every epoch and at every mirrored size.
    pub(super) async fn purge(&self, scope: &Scope, epochs: &Epochs) -> Swept {
        let mut swept = Swept::default();
        let known = match epochs.of(self, scope).await {
            Ok(known) => known,
            Err(fault) => {
                swept.note(&fault);
                vec![RENDER_EPOCH]
            }
        };
        for one in join_all(known.into_iter().map(|epoch| self.purge_epoch(scope, epoch))).await {
            swept.add(one);
        }
        swept.add(self.delete_all(self.mirrored(scope)).await);
        swept
    }

    async fn purge_epoch(&self, scope: &Scope, epoch: u32) -> Swept {
        let mut swept = self.delete_all(self.versioned(scope, epoch)).await;
        if let Scope::Prefix { origin, .. } = scope {
            swept.add(self.delete_all(self.long_keys(scope, epoch, origin)).await);
        }
        swept
    }

    /// What the scope covers in the area of one epoch, keys that stand in the path.
    fn versioned<'a>(&'a self, scope: &'a Scope, epoch: u32) -> Found<'a, Path> {
        let folder = match scope {
            Scope::Source { id, .. } => area::area_in(epoch, id),
            // Digests hold the epoch: a variant of another epoch is another variant.
            Scope::Variant { id, .. } if epoch == RENDER_EPOCH => source_area(id),
            Scope::Variant { .. } => return stream::empty().boxed(),
            Scope::Prefix { origin, prefix } => {
                let (folders, _) = prefix.rsplit_once('/').unwrap_or_default();
                format!("v{epoch}/{origin}/{folders}").trim_end_matches('/').to_owned()
            }
            Scope::All => format!("v{epoch}"),
        };
        let own = scope.source().map(|_| folder.clone());
        let listing = self.list(&folder);
        let found = listing.map(move |object| {
            let own = own.clone();
            async move {
                let object = object?;
                let Some(place) = area::place(object.location.as_ref()) else { return Ok(None) };
                let covered = match &own {
                    // An original whose key goes on behind ours is another one.
                    Some(own) => place.area() == *own,
                    None => match place.source() {
                        Some(source) => scope.covers_source(&source),
                        // The long keys of a prefix are found by what the objects say.
                        None => *scope == Scope::All,
                    },
                };
                let goes = covered && self.goes(scope, &object.location, &place).await?;
                Ok(goes.then(|| object.location.clone()))
            }
        });
        found.buffered(LOOKS).try_filter_map(async |path| Ok(path)).boxed()
    }

    /// Whether the object at a place of the scope goes. A mirrored file whose mark goes has gone
    /// when this returns: without its mark nobody would know it for ours.
    async fn goes(&self, scope: &Scope, path: &Path, place: &Place<'_>) -> Result<bool, Fault> {
        match &place.what {
            What::Entry { version, digest } => Ok(scope.covers_entry(version, digest)),
            What::Record => match scope {
                Scope::Variant { .. } => Ok(false),
                Scope::Source { keep: Some(keep), .. } => {
                    let record = self.record(path).await?;
                    Ok(record.is_none_or(|record| record.version != keep.as_str()))
                }
                _ => Ok(true),
            },
            What::Mark => {
                let Some(mark) = self.mark_of_file(path).await? else { return Ok(false) };
                if !covers_mark(scope, &mark) {
                    return Ok(false);
                }
                self.delete_file_of(&mark).await?;
                Ok(true)
            }
        }
    }

    /// What the record at a path tells; `None` if it is gone or cannot be read as one.
    pub(super) async fn record(&self, path: &Path) -> Result<Option<Told>, Fault> {
        match self.open(path.as_ref()).await {
            Ok(opened) => Ok(serde_json::from_slice(&self.body(opened).await?).ok()),
            Err(Fault::Absent) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// The mark of a mirrored file, read from its record; `None` if it is gone or is none.
    pub(super) async fn mark_of_file(&self, path: &Path) -> Result<Option<Mark>, Fault> {
        match self.open(path.as_ref()).await {
            Ok(opened) => {
                let mark: Option<Mark> = serde_json::from_slice(&self.body(opened).await?).ok();
                // It marks a file of this very original, below a size.
                let names_it = |mark: &Mark| {
                    let place = area::place(path.as_ref())?;
                    let (size, key) = mark.path.split_once('/')?;
                    let key = SourceKey::new(key).ok()?;
                    let source = SourceId { origin: place.origin.clone(), key };
                    let fits = area::area_in(place.epoch, &source) == place.area();
                    (area::is_size(size) && fits).then_some(())
                };
                Ok(mark.filter(|mark| names_it(mark).is_some()))
            }
            Err(Fault::Absent) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Deletes the mirrored file of a mark, if it is there.
    pub(super) async fn delete_file_of(&self, mark: &Mark) -> Result<(), Fault> {
        use object_store::ObjectStoreExt as _;
        let path = self.path(&mark.path)?;
        match self.store.objects.delete(&path).await.map_err(Fault::from) {
            Ok(()) | Err(Fault::Absent) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// What a prefix covers among the keys that stand in the path by their digest.
    fn long_keys<'a>(
        &'a self,
        scope: &'a Scope,
        epoch: u32,
        origin: &OriginName,
    ) -> Found<'a, Path> {
        let folder = format!("v{epoch}/{origin}");
        let Ok(folder) = Path::parse(folder) else { return stream::empty().boxed() };
        let digests = format!("{folder}/%");
        let listing: Found<'a, ObjectMeta> = if self.store.has_metadata {
            // A bucket lists by name: from the first digest to the last, and no further.
            let from = Path::parse(&digests).unwrap_or_else(|_| folder.clone());
            let listing = self.store.objects.list_with_offset(Some(&folder), &from);
            let of_digests = move |object: &ObjectMeta| {
                std::future::ready(Ok(object.location.as_ref().starts_with(&digests)))
            };
            listing.map_err(Fault::from).try_take_while(of_digests).boxed()
        } else {
            let folders = async move {
                let listed = self.store.objects.list_with_delimiter(Some(&folder)).await;
                let below = listed.map_err(Fault::from)?.common_prefixes;
                let ours = below.into_iter().filter(move |p| p.as_ref().starts_with(&digests));
                let listings = ours.map(|folder| self.list(folder.as_ref()));
                Ok::<_, Fault>(stream::iter(listings).flatten())
            };
            stream::once(folders).try_flatten().boxed()
        };
        let found = listing.map(move |object| async move {
            let object = object?;
            let Some(place) = area::place(object.location.as_ref()) else { return Ok(None) };
            if !matches!(place.key, Name::Digest(_)) {
                return Ok(None);
            }
            let source = self.source_of(&object.location, &place).await?;
            Ok(source.filter(|source| scope.covers_source(source)).map(|_| object.location.clone()))
        });
        found.buffered(LOOKS).try_filter_map(async |path| Ok(path)).boxed()
    }

    /// The original an object of ours is of, by its path or by what it says itself.
    pub(super) async fn source_of(
        &self,
        path: &Path,
        place: &Place<'_>,
    ) -> Result<Option<SourceId>, Fault> {
        if let Some(source) = place.source() {
            return Ok(Some(source));
        }
        let key = match place.what {
            What::Record => self.record(path).await?.map(|record| record.key),
            What::Entry { .. } => {
                let options =
                    GetOptions { range: Some((0..HEAD_BYTES).into()), ..GetOptions::default() };
                let opened = match self.store.objects.get_opts(path, options).await {
                    Ok(opened) => opened,
                    Err(object_store::Error::NotFound { .. }) => return Ok(None),
                    Err(error) => return Err(error.into()),
                };
                super::entry::source_key(&opened.bytes().await?)
            }
            What::Mark => None,
        };
        let key = key.and_then(|key| SourceKey::new(&key).ok());
        let source = key.map(|key| SourceId { origin: place.origin.clone(), key });
        // What an object says of itself has to fit the name it lies under.
        Ok(source.filter(|source| area::area_in(place.epoch, source) == place.area()))
    }

    /// Mirrored images of the scope that carry our mark, where marks are metadata.
    fn mirrored<'a>(&'a self, scope: &'a Scope) -> Found<'a, Path> {
        if !self.store.has_metadata || self.sizes.is_empty() {
            return stream::empty().boxed();
        }
        let default = OriginName::default_origin();
        let candidates: Found<'a, Path> = match scope {
            Scope::Source { id, .. } if id.origin == default => {
                let paths = self.sizes.iter().map(move |size| format!("{size}/{}", id.key));
                stream::iter(paths.filter_map(|path| Path::parse(path).ok()).map(Ok)).boxed()
            }
            Scope::Variant { path: Some(path), .. } => {
                stream::iter(Path::parse(path).ok().map(Ok)).boxed()
            }
            Scope::Prefix { origin, prefix } if *origin == default => {
                let (folders, _) = prefix.rsplit_once('/').unwrap_or_default();
                let below = self.sizes.iter().map(move |size| format!("{size}/{folders}"));
                let listings = below.map(|folder| self.list(folder.trim_end_matches('/')));
                let found = stream::iter(listings).flatten().try_filter_map(move |object| {
                    let path = object.location.as_ref();
                    let key = path.split_once('/').map(|(_, key)| key);
                    let covered = key.is_some_and(|key| key.starts_with(prefix.as_str()));
                    let path = covered.then_some(object.location);
                    async move { Ok(path) }
                });
                found.boxed()
            }
            Scope::All => {
                let listings = self.sizes.iter().map(|size| self.list(size));
                stream::iter(listings).flatten().map_ok(|object| object.location).boxed()
            }
            _ => stream::empty().boxed(),
        };
        let marked = candidates.map(move |path| async move {
            let path = path?;
            let goes = match self.version_of_mirrored(&path).await? {
                Marked::No => false,
                Marked::Of(version) => match scope {
                    Scope::Source { keep: Some(keep), .. } => version.as_ref() != Some(keep),
                    _ => true,
                },
            };
            Ok(goes.then_some(path))
        });
        marked.buffer_unordered(LOOKS).try_filter_map(async |path| Ok(path)).boxed()
    }

    /// Whether the object at a path carries our mark, and of which version it says it is.
    pub(super) async fn version_of_mirrored(&self, path: &Path) -> Result<Marked, Fault> {
        let attributes = match self.head(path.as_ref()).await {
            Ok(attributes) => attributes,
            // Without the right to list, S3 says this of what is not there.
            Err(Fault::Absent | Fault::Forbidden(_) | Fault::Unplaceable(_)) => {
                return Ok(Marked::No);
            }
            Err(fault) => return Err(fault),
        };
        if !Mark::is_on(path.as_ref(), &attributes) {
            return Ok(Marked::No);
        }
        let mark = Mark::from_attributes(path.as_ref(), &attributes);
        Ok(Marked::Of(mark.and_then(|mark| mark.source_version())))
    }
}

/// Whether an object is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Marked {
    /// It is not.
    No,
    /// It is, of this version, if its mark is whole.
    Of(Option<SourceVersion>),
}

/// Whether the mirrored file of a mark is in the scope, of an original that is.
fn covers_mark(scope: &Scope, mark: &Mark) -> bool {
    match scope {
        Scope::Source { keep, .. } => keep.is_none() || mark.source_version() != *keep,
        Scope::Variant { path, .. } => path.as_deref() == Some(&mark.path),
        Scope::Prefix { .. } | Scope::All => true,
    }
}

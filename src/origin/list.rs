//! Every original of an origin, in the order of keys, with the version a HEAD would tell: what is
//! listed needs no second question. Never reads an original and never holds more than a page.

use super::failure::origin_error;
use super::fetch::described;
use super::{OriginError, Origins, SourceMeta};
use crate::model::key::{OriginName, SourceId, SourceKey};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{Error, ObjectMeta};
use std::time::Duration;
use tokio::time::Instant;

/// What a listing tells of one original.
pub type ListedOriginal = Result<(SourceKey, SourceMeta), OriginError>;

/// How long a HEAD may take for an object of which the listing told no ETag.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

impl Origins {
    /// Lists the originals whose keys start with `prefix` and come after `after`, both as plain
    /// text: `photos/2024-` is a prefix too. In the order of keys by their bytes, so that a listing
    /// can be taken up again after the last key seen; a store that lists in another order ends
    /// with an error. Empty objects (folders, to some tools) and names that no URL can ask for are
    /// passed over. One request for about a thousand originals; one HEAD more for each of which
    /// the store tells no ETag in a listing. Ends at the first error.
    ///
    /// # Errors
    /// [`OriginError::UnknownOrigin`]; [`OriginError::NotFound`] if nothing can lie below `prefix`.
    pub fn list(
        &self,
        origin: &OriginName,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<BoxStream<'static, ListedOriginal>, OriginError> {
        let store = &self.core.origin(origin)?.store;
        let path = |text: &str| Path::parse(text).map_err(|_| OriginError::NotFound);
        let folder = path(prefix.rsplit_once('/').map_or("", |(folder, _)| folder))?;
        let start = [after, just_before(prefix)].into_iter().flatten().max();
        // A start that is no path of the store's own is one that is filtered for, further down.
        let start = start.and_then(|start| Path::parse(start).ok().filter(|p| p.as_ref() == start));
        let objects = match start {
            Some(start) => store.list_with_offset(Some(&folder), &start),
            None => store.list(Some(&folder)),
        };
        let sift = Sift { prefix: prefix.to_owned(), after: after.unwrap_or("").to_owned() };
        let (origins, origin) = (self.clone(), origin.clone());
        let listed =
            stream::unfold((objects, sift, false), |(mut objects, mut sift, ended)| async move {
                if ended {
                    return None;
                }
                loop {
                    let object = match objects.next().await? {
                        Ok(object) => object,
                        Err(error) => {
                            return Some((Err(listing_error(&error)), (objects, sift, true)));
                        }
                    };
                    match sift.judge(&object) {
                        Verdict::Pass(key) => {
                            return Some((Ok((key, object)), (objects, sift, false)));
                        }
                        Verdict::Skip => {}
                        Verdict::End => return None,
                        Verdict::Disorder => {
                            let error = OriginError::Unavailable(
                                "it does not list its keys in their order".to_owned(),
                            );
                            return Some((Err(error), (objects, sift, true)));
                        }
                    }
                }
            });
        let told = listed.then(move |object| {
            let (origins, origin) = (origins.clone(), origin.clone());
            async move {
                let (key, object) = object?;
                if let Some(meta) = told_by_listing(object) {
                    Ok((key, meta))
                } else {
                    let id = SourceId { origin, key: key.clone() };
                    let deadline = (Instant::now() + HEAD_PATIENCE).into_std();
                    Ok((key, origins.version(&id, None, deadline).await?.meta))
                }
            }
        });
        Ok(told.boxed())
    }
}

/// What is looked for in a listing, and how far it has come.
struct Sift {
    prefix: String,
    after: String,
}

/// What to do with one object of a listing.
enum Verdict {
    Pass(SourceKey),
    Skip,
    /// Nothing that follows is of the prefix.
    End,
    Disorder,
}

impl Sift {
    fn judge(&mut self, object: &ObjectMeta) -> Verdict {
        let name = object.location.as_ref();
        // The marker of a folder, `a/b/`, arrives as `a/b`, out of order.
        if object.size == 0 {
            return Verdict::Skip;
        }
        if !name.starts_with(&self.prefix) {
            return if name > self.prefix.as_str() { Verdict::End } else { Verdict::Skip };
        }
        if name <= self.after.as_str() {
            return Verdict::Disorder;
        }
        name.clone_into(&mut self.after);
        SourceKey::new(name).map_or(Verdict::Skip, Verdict::Pass)
    }
}

/// A text that comes before every key with this prefix and after most others: a listing may start
/// behind it. None where the prefix is a folder, which a listing can name.
fn just_before(prefix: &str) -> Option<&str> {
    let (at, _) = prefix.char_indices().next_back()?;
    prefix.get(..at).filter(|text| !prefix.ends_with('/') && !text.is_empty())
}

/// The version by the ETag of the listing, spelt as the header spells it: some stores leave the
/// quotes away in their listings. `None` without an ETag: times are finer there than in headers.
fn told_by_listing(mut object: ObjectMeta) -> Option<SourceMeta> {
    let tag = object.e_tag.take()?;
    let quoted = tag.starts_with('"') || tag.starts_with("W/");
    object.e_tag = Some(if quoted { tag } else { format!("\"{tag}\"") });
    described(&object)
}

fn listing_error(error: &Error) -> OriginError {
    match error {
        Error::NotSupported { .. } | Error::NotImplemented { .. } => {
            OriginError::Unavailable("it cannot be listed".to_owned())
        }
        _ => origin_error(error),
    }
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;

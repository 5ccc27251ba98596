//! The store of variants: everything the service does to it, done to one small object under a name
//! of our own, which is gone again at the end.

use super::originals::read_missing;
use super::refusal::{Deed, sentence};
use super::{Checks, opened, path};
use crate::config::{Layout, Settings, StoreAt, StorePlace};
use crate::model::key::RENDER_EPOCH;
use crate::origin::{MARK, OpenStore, Role};
use crate::variants::WriteBack;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
};

/// What is written. Shorter than any picture.
const BODY: &[u8] = b"lenslet probes this store";

/// Checks the store `at`. `name` is that of no object.
pub(super) async fn check(checks: &mut Checks<'_>, settings: &Settings, at: &StoreAt, name: &str) {
    let place = at.url.place();
    let opened = match opened(at, checks.patience, Role::Variants) {
        Ok(opened) => opened,
        Err(why) => {
            checks.run("open", async { Err(why) }).await;
            return;
        }
    };
    let url = at.url.as_str();
    checks.run("open", async { Ok(format!("{url} is understood")) }).await;
    let store = &*opened.store;
    let area = path(&format!("v{RENDER_EPOCH}/~/probe"));
    let missing = path(&format!("{area}/{name}-missing"));
    checks.run("missing", read_missing(store, place, &missing)).await;
    if settings.stores.write_back == WriteBack::Off {
        checks.run("list", list(store, place, &area, None)).await;
        return;
    }
    let key = path(&format!("{area}/{name}"));
    // Reading, listing and deleting say nothing about an object that could not be written.
    if checks.run("write", write(store, place, &key)).await {
        checks.run("read", read(store, place, &key)).await;
        if opened.kind.has_metadata() {
            checks.run("metadata", metadata(&opened, place, &key)).await;
        }
        let mirror = settings.stores.layout == Layout::Mirror;
        checks.run("create", create(store, place, &key, mirror)).await;
        checks.run("list", list(store, place, &area, Some(&key))).await;
        checks.run("delete", delete(store, place, &key)).await;
    }
}

fn attributes() -> Attributes {
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::ContentType, "text/plain".into());
    attributes.insert(Attribute::CacheControl, "no-store".into());
    attributes.insert(Attribute::Metadata(MARK.into()), "0123456789abcdef".into());
    attributes
}

fn options(place: &StorePlace, mode: PutMode) -> PutOptions {
    let attributes = match place {
        StorePlace::File(_) => Attributes::default(),
        _ => attributes(),
    };
    PutOptions { mode, attributes, ..PutOptions::default() }
}

async fn write(store: &dyn ObjectStore, place: &StorePlace, key: &Path) -> Result<String, String> {
    let written =
        store.put_opts(key, Bytes::from_static(BODY).into(), options(place, PutMode::Overwrite));
    match written.await {
        Ok(_) => Ok(format!("{key} is written")),
        Err(error) => Err(sentence(place, Deed::Write, &error)),
    }
}

async fn read(store: &dyn ObjectStore, place: &StorePlace, key: &Path) -> Result<String, String> {
    let bytes = async { store.get(key).await?.bytes().await };
    match bytes.await {
        Ok(bytes) if bytes == BODY => Ok("what was written comes back".to_owned()),
        Ok(bytes) => Err(format!(
            "{} bytes were written and {} others came back: something between changes them",
            BODY.len(),
            bytes.len()
        )),
        Err(error) => Err(sentence(place, Deed::Read, &error)),
    }
}

async fn metadata(store: &OpenStore, place: &StorePlace, key: &Path) -> Result<String, String> {
    let options = GetOptions { head: true, ..GetOptions::default() };
    let found = store.store.get_opts(key, options).await;
    let found = found.map_err(|error| sentence(place, Deed::Read, &error))?.attributes;
    let expected = attributes();
    let lost: Vec<String> = expected
        .iter()
        .filter(|(name, value)| found.get(name) != Some(*value))
        .map(|(name, _)| format!("{name:?}"))
        .collect();
    if lost.is_empty() {
        return Ok("type, caching and metadata come back as written".to_owned());
    }
    Err(format!("{} did not come back as written: mirrored pictures need them", lost.join(", ")))
}

/// Writes where something is: the store has to refuse.
async fn create(
    store: &dyn ObjectStore,
    place: &StorePlace,
    key: &Path,
    mirror: bool,
) -> Result<String, String> {
    let again =
        store.put_opts(key, Bytes::from_static(BODY).into(), options(place, PutMode::Create));
    match again.await {
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
            Ok("what is there is not created again".to_owned())
        }
        Ok(_) | Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) if !mirror => {
            Ok("the store knows no conditional writes, which only the mirror layout needs"
                .to_owned())
        }
        Ok(_) | Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => Err(
            "the store overwrites although it was asked not to: in the mirror layout a picture \
                 written by somebody else in the same moment may be lost"
                .to_owned(),
        ),
        Err(error) => Err(sentence(place, Deed::Write, &error)),
    }
}

async fn list(
    store: &dyn ObjectStore,
    place: &StorePlace,
    area: &Path,
    key: Option<&Path>,
) -> Result<String, String> {
    let listed: Result<Vec<_>, Error> =
        store.list(Some(area)).map_ok(|object| object.location).try_collect().await;
    match listed {
        Ok(keys) if key.is_none_or(|key| keys.contains(key)) => Ok("it can be listed".to_owned()),
        Ok(_) => Err("what was written is not listed: purging would miss it".to_owned()),
        Err(error) => Err(format!(
            "{}; purging and serving while the origin is down need it, and a missing variant looks \
             like a forbidden one",
            sentence(place, Deed::List, &error)
        )),
    }
}

async fn delete(store: &dyn ObjectStore, place: &StorePlace, key: &Path) -> Result<String, String> {
    store.delete(key).await.map_err(|error| {
        format!("{}; {key} is still there", sentence(place, Deed::Delete, &error))
    })?;
    let options = GetOptions { head: true, ..GetOptions::default() };
    match store.get_opts(key, options).await {
        Ok(_) => Err(format!("{key} is still there although deleting it succeeded")),
        Err(_) => Ok("what was written is deleted".to_owned()),
    }
}

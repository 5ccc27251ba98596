//! An origin: can it be opened, listed, and does it tell a missing original from a forbidden one.
//! Reads one key that is not there and the first page of a listing, nothing else.

use super::refusal::{Deed, permission, sentence};
use super::{Checks, is_listable, opened, path};
use crate::config::{StoreAt, StorePlace};
use crate::origin::Role;
use futures_util::StreamExt as _;
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore};

/// Checks one origin. `name` is that of no object.
pub(super) async fn check(checks: &mut Checks<'_>, at: &StoreAt, name: &str) {
    let place = at.url.place();
    let store = match opened(at, checks.patience, Role::Originals) {
        Ok(opened) => opened.store,
        Err(why) => {
            checks.run("open", async { Err(why) }).await;
            return;
        }
    };
    let url = at.url.as_str();
    checks.run("open", async { Ok(format!("{url} is understood")) }).await;
    if is_listable(place) {
        checks.run("list", list(&*store, place)).await;
    }
    let missing = path(&format!("~/probe/{name}"));
    checks.run("missing", read_missing(&*store, place, &missing)).await;
}

async fn list(store: &dyn ObjectStore, place: &StorePlace) -> Result<String, String> {
    match store.list(None).next().await {
        None => Ok("it can be listed and is empty".to_owned()),
        Some(Ok(_)) => Ok("it can be listed".to_owned()),
        Some(Err(error @ (Error::PermissionDenied { .. } | Error::Unauthenticated { .. }))) => {
            Err(format!(
                "{}; until then a missing original looks like a forbidden one, which is not \
                 remembered, and warming up by prefix is not possible",
                sentence(place, Deed::List, &error)
            ))
        }
        Some(Err(error)) => Err(sentence(place, Deed::List, &error)),
    }
}

/// Asks for what is not there: the one question every store has to answer with 404.
pub(super) async fn read_missing(
    store: &dyn ObjectStore,
    place: &StorePlace,
    missing: &Path,
) -> Result<String, String> {
    let options = GetOptions { head: true, ..GetOptions::default() };
    match store.get_opts(missing, options).await {
        Err(Error::NotFound { .. }) => Ok("what is not there is answered with 404".to_owned()),
        Err(Error::PermissionDenied { .. }) => {
            let (list, read) = (permission(place, Deed::List), permission(place, Deed::Read));
            Err(match place {
                StorePlace::Web { .. } => {
                    "what is not there is answered with 403: it has to be 404, or these credentials \
                     and this address are not let in at all"
                        .to_owned()
                }
                _ => format!(
                    "what is not there is answered with 403: {list} makes it 404; if what is there \
                     is refused too, {read} is missing"
                ),
            })
        }
        Err(error) => Err(sentence(place, Deed::Read, &error)),
        Ok(_) => Err("what is not there is answered as if it were: does it answer every path \
                      with the same page?"
            .to_owned()),
    }
}

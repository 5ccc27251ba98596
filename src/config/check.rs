//! The rules between settings, and the settings that this version does not have yet. Each rule
//! says what to set. Never reads a value from text.

use super::access::Unsigned;
use super::dotenv::default_of;
use super::env::Env;
use super::fault::Faults;
use super::stores::{Layout, OnMiss, StoreAt, prefix_of};
use super::url::StorePlace;
use super::values::{Shown, Switch};
use super::{Purpose, Settings};
use crate::model::units::ByteSize;
use crate::variants::WriteBack;

/// Settings that exist in the design but not yet here: anything but the default is refused,
/// because passing it over would promise what is not kept.
const UNBUILT: [&str; 4] =
    ["LENSLET_MOUNTS", "LENSLET_META", "LENSLET_PLAYGROUND", "LENSLET_ISOLATION"];

/// Holds every rule; adds what is broken.
pub(super) fn between(settings: &Settings, env: &Env, purpose: Purpose, faults: &mut Faults) {
    refuse_unbuilt(env, faults);
    if purpose == Purpose::Serve {
        something_to_serve(settings, faults);
    }
    access(settings, faults);
    layout(settings, faults);
    times(settings, faults);
    origins(settings, faults);
    memory(settings, faults);
    listeners(settings, faults);
    settings.events.check(faults);
    pods(settings, faults);
}

fn refuse_unbuilt(env: &Env, faults: &mut Faults) {
    for name in UNBUILT {
        let Some(var) = env.get(name).filter(|_| env.is_set(name)) else { continue };
        let default = default_of(name).unwrap_or_default();
        if !means_the_same(&var.value, default) {
            let instead = if default.is_empty() {
                String::new()
            } else {
                format!(", or set it to {default}")
            };
            faults.add(name, format!("is not supported in this version; leave it unset{instead}"));
        }
    }
}

/// The same word, the same switch, or the same list in another order.
fn means_the_same(one: &str, other: &str) -> bool {
    let list = |text: &str| {
        let mut items: Vec<_> = text.split(',').map(|s| s.trim().to_ascii_lowercase()).collect();
        items.sort_unstable();
        items
    };
    let switch = |text: &str| text.parse::<Switch>().ok().map(|switch| switch.0);
    list(one) == list(other) || (switch(one).is_some() && switch(one) == switch(other))
}

fn something_to_serve(settings: &Settings, faults: &mut Faults) {
    let nothing = settings.stores.origins.is_empty();
    faults.cross(&["LENSLET_ORIGIN", "LENSLET_ORIGINS"], nothing, || {
        "is not set, so there are no originals to serve; set it to the URL of their store, such \
         as file:///srv/photos or s3://photos"
            .to_owned()
    });
    let mut origins = settings.stores.origins.iter();
    let no_keys = settings.access.keys.is_empty() && origins.all(|o| o.own.keys.is_none());
    let closed = no_keys && settings.access.unsigned == Unsigned::Deny;
    let names = ["LENSLET_KEYS", "LENSLET_KEYS_FILE", "LENSLET_UNSIGNED"];
    faults.cross(&names, closed, || {
        "is not set while LENSLET_UNSIGNED=deny, so every request would be refused; set it to what \
         `lenslet keygen` prints, or set LENSLET_UNSIGNED to sizes, presets or allow"
            .to_owned()
    });
}

fn access(settings: &Settings, faults: &mut Faults) {
    let access = &settings.access;
    let no_sizes = access.allowed_sizes.is_empty();
    let by_sizes = access.unsigned == Unsigned::Sizes;
    faults.cross(&["LENSLET_UNSIGNED", "LENSLET_ALLOWED_SIZES"], by_sizes && no_sizes, || {
        "is sizes, which needs LENSLET_ALLOWED_SIZES, such as 300x200,600x0".to_owned()
    });
    let by_presets = access.unsigned == Unsigned::Presets;
    let no_presets = access.presets.is_empty();
    faults.cross(&["LENSLET_UNSIGNED", "LENSLET_PRESETS_FILE"], by_presets && no_presets, || {
        "is presets, which needs LENSLET_PRESETS_FILE with a preset in it".to_owned()
    });
    if let Err(error) = access.presets.check(&settings.limits) {
        faults.cross(&["LENSLET_PRESETS_FILE", "LENSLET_MAX_OUTPUT_SIDE"], true, || {
            error.to_string()
        });
    }
    let most = settings.limits.output_side;
    let giant = access.allowed_sizes.iter().find(|s| s.width > most || s.height > most);
    if let Some(size) = giant {
        faults.cross(&["LENSLET_ALLOWED_SIZES", "LENSLET_MAX_OUTPUT_SIDE"], true, || {
            format!("has {size}, but LENSLET_MAX_OUTPUT_SIDE is {most}")
        });
    }
}

fn layout(settings: &Settings, faults: &mut Faults) {
    let stores = &settings.stores;
    let mirror = stores.layout == Layout::Mirror;
    let no_sizes = settings.access.allowed_sizes.is_empty();
    let names = ["LENSLET_VARIANT_LAYOUT", "LENSLET_ALLOWED_SIZES"];
    faults.cross(&names, mirror && no_sizes, || {
        "is mirror, which needs LENSLET_ALLOWED_SIZES, such as 300x200,600x0".to_owned()
    });
    let nowhere = stores.variants.is_none();
    faults.cross(&["LENSLET_VARIANT_LAYOUT", "LENSLET_VARIANTS"], mirror && nowhere, || {
        "is mirror, which needs LENSLET_VARIANTS".to_owned()
    });
    let folder = |at: &StoreAt| match at.url.place() {
        StorePlace::File(path) => {
            Some(std::fs::canonicalize(path).unwrap_or_else(|_| path.clone()))
        }
        _ => None,
    };
    // Files carry no mark: a picture mirrored among the originals would be an original again.
    let within_each_other = stores.variants.as_ref().and_then(folder).is_some_and(|variants| {
        let mut originals = stores.origins.iter().filter_map(|origin| folder(&origin.store));
        originals.any(|origin| origin.starts_with(&variants) || variants.starts_with(&origin))
    });
    faults.cross(&["LENSLET_VARIANT_LAYOUT", "LENSLET_VARIANTS"], mirror && within_each_other, || {
        "is mirror, which needs a folder of variants that neither holds nor lies in a folder of \
         originals"
            .to_owned()
    });
    let redirect = stores.on_miss == OnMiss::Redirect;
    faults.cross(&["LENSLET_ON_MISS", "LENSLET_VARIANT_LAYOUT"], redirect && !mirror, || {
        "is redirect, which needs LENSLET_VARIANT_LAYOUT=mirror".to_owned()
    });
    let no_url = stores.variants_public_url.is_none();
    faults.cross(&["LENSLET_ON_MISS", "LENSLET_VARIANTS_PUBLIC_URL"], redirect && no_url, || {
        "is redirect, which needs LENSLET_VARIANTS_PUBLIC_URL to redirect to".to_owned()
    });
    let later = stores.write_back != WriteBack::Sync;
    faults.cross(&["LENSLET_ON_MISS", "LENSLET_WRITE_BACK"], redirect && later, || {
        "is redirect, which leads to what is stored and so needs LENSLET_WRITE_BACK=sync, its \
         default then"
            .to_owned()
    });
}

fn times(settings: &Settings, faults: &mut Faults) {
    let whole = settings.http.request_timeout;
    for (name, part) in [
        ("LENSLET_FETCH_TIMEOUT", settings.stores.fetch_timeout),
        ("LENSLET_STORE_TIMEOUT", settings.stores.store_timeout),
    ] {
        faults.cross(&[name, "LENSLET_REQUEST_TIMEOUT"], part >= whole, || {
            let (part, whole) = (Shown(part), Shown(whole));
            format!("is {part}, which must be less than LENSLET_REQUEST_TIMEOUT, {whole}")
        });
    }
}

/// What single origins have of their own, held to the same bounds.
fn origins(settings: &Settings, faults: &mut Faults) {
    let whole = settings.http.request_timeout;
    let all = settings.capacity.memory;
    for origin in &settings.stores.origins {
        let name = |option: &str| format!("{}{option}", prefix_of(&origin.name));
        let part = origin.own.fetch_timeout.unwrap_or_default();
        let names = [&name("FETCH_TIMEOUT"), "LENSLET_REQUEST_TIMEOUT"];
        faults.cross(&names, part >= whole, || {
            let (part, whole) = (Shown(part), Shown(whole));
            format!("is {part}, which must be less than LENSLET_REQUEST_TIMEOUT, {whole}")
        });
        let source = origin.own.source_bytes.unwrap_or(ByteSize::new(0));
        let names = [&name("MAX_SOURCE_BYTES"), "LENSLET_MEMORY_LIMIT"];
        faults.cross(&names, source >= all, || {
            format!("is {source}, which must be less than LENSLET_MEMORY_LIMIT, here {all}")
        });
    }
}

fn memory(settings: &Settings, faults: &mut Faults) {
    let all = settings.capacity.memory;
    let cache = settings.capacity.memory_cache;
    faults.cross(&["LENSLET_MEMORY_CACHE", "LENSLET_MEMORY_LIMIT"], cache >= all, || {
        format!("is {cache}, which must be less than LENSLET_MEMORY_LIMIT, here {all}")
    });
    let source = settings.limits.source_bytes;
    faults.cross(&["LENSLET_MAX_SOURCE_BYTES", "LENSLET_MEMORY_LIMIT"], source >= all, || {
        format!("is {source}, which must be less than LENSLET_MEMORY_LIMIT, here {all}")
    });
}

fn listeners(settings: &Settings, faults: &mut Faults) {
    let (public, admin) = (settings.http.listen, settings.http.admin_listen);
    let overlap =
        public.ip() == admin.ip() || public.ip().is_unspecified() || admin.ip().is_unspecified();
    // Port 0 takes any free port, never the same one twice.
    let same = public.port() != 0 && public.port() == admin.port() && overlap;
    faults.cross(&["LENSLET_ADMIN_LISTEN", "LENSLET_LISTEN"], same, || {
        format!("is {admin}, which LENSLET_LISTEN, {public}, takes already")
    });
}

fn pods(settings: &Settings, faults: &mut Faults) {
    let pods = &settings.pods;
    let no_token = pods.admin_token.is_none();
    let names = ["LENSLET_PEERS", "LENSLET_ADMIN_TOKEN", "LENSLET_ADMIN_TOKEN_FILE"];
    faults.cross(&names, !pods.peers.0.is_empty() && no_token, || {
        "needs LENSLET_ADMIN_TOKEN, which every pod shows to the others".to_owned()
    });
    let nowhere = pods.cdn_webhook_token.is_some() && pods.cdn_webhook.is_none();
    faults.cross(&["LENSLET_CDN_WEBHOOK_TOKEN", "LENSLET_CDN_WEBHOOK"], nowhere, || {
        "has no effect without LENSLET_CDN_WEBHOOK".to_owned()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unbuilt_setting_stands_in_the_defaults() {
        let names: Vec<_> =
            super::super::dotenv::DEFAULTS.iter().map(|(name, _)| name.as_str()).collect();
        for name in UNBUILT {
            assert!(names.contains(&name), "{name}");
        }
    }

    #[test]
    fn another_spelling_of_the_default_is_the_default() {
        for (one, other) in
            [("sized:/, native:/", "native:/,sized:/"), ("0", "off"), ("Strip", "strip")]
        {
            assert!(means_the_same(one, other), "{one:?}");
        }
        for (one, other) in
            [("native:/", "native:/,sized:/"), ("on", "off"), ("", "off"), ("1", "")]
        {
            assert!(!means_the_same(one, other), "{one:?}");
        }
    }
}

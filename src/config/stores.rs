//! Settings of originals and variants: where they lie, how they are laid out, how long they are
//! believed. Never opens a store.

use super::access::KeyVars;
use super::known::{ORIGIN_PREFIX, VARIANTS_PREFIX, option_behind};
use super::options::{self, StoreOptions};
use super::read::Reader;
use super::url::{PublicUrl, StorePlace, StoreUrl};
use super::values::{self, deserialize_from_text, span_between, spelt, unreadable, words};
use crate::dialect::signature::Keys;
use crate::model::key::OriginName;
use crate::model::units::{ByteSize, PixelCount};
use crate::origin::SourceTtl;
use crate::variants::WriteBack;
use serde::Deserialize;
use std::str::FromStr;
use std::time::Duration;

/// Originals and variants.
#[derive(Debug, Clone)]
pub struct Stores {
    /// Where originals lie, the default origin first where there is one. Not empty when the
    /// settings were read to serve.
    pub origins: Vec<Origin>,
    /// Where variants are kept; absent: in memory only.
    pub variants: Option<StoreAt>,
    /// Where `variants` is public.
    pub variants_public_url: Option<PublicUrl>,
    /// How variants are laid out there.
    pub layout: Layout,
    /// What answers a miss.
    pub on_miss: OnMiss,
    /// When a new variant is stored.
    pub write_back: WriteBack,
    /// How long the version of an original is believed, 0 s to 30 d.
    pub source_ttl: SourceTtl,
    /// How long a missing original is remembered, 0 s to 1 h.
    pub negative_ttl: Duration,
    /// One original from connect to last byte, 100 ms to 10 min, below the request timeout.
    pub fetch_timeout: Duration,
    /// One call to the store of variants, 50 ms to 10 min, below the request timeout.
    pub store_timeout: Duration,
}

/// A store and how to open it.
#[derive(Debug, Clone)]
pub struct StoreAt {
    /// Where it lies.
    pub url: StoreUrl,
    /// Credentials and the like.
    pub options: StoreOptions,
}

/// A named store of originals.
#[derive(Debug, Clone)]
pub struct Origin {
    /// `default`, or what stands behind `@` in a URL.
    pub name: OriginName,
    /// Where its originals lie.
    pub store: StoreAt,
    /// What it has of its own.
    pub own: OwnRules,
}

/// What holds for one origin alone; absent: what holds for all.
#[derive(Debug, Clone, Default)]
pub struct OwnRules {
    /// Keys that sign its URLs, in place of `LENSLET_KEYS`.
    pub keys: Option<Keys>,
    /// Bytes of an original.
    pub source_bytes: Option<ByteSize>,
    /// Pixels of an original.
    pub source_pixels: Option<PixelCount>,
    /// One original from connect to last byte.
    pub fetch_timeout: Option<Duration>,
    /// How long a version is believed.
    pub source_ttl: Option<SourceTtl>,
}

#[derive(Deserialize)]
struct OwnVars {
    #[serde(default, deserialize_with = "values::some_bytes::<1_024, 4_294_967_296, _>")]
    max_source_bytes: Option<ByteSize>,
    #[serde(default, deserialize_with = "values::some_pixels::<1, 1_000_000_000, _>")]
    max_source_pixels: Option<PixelCount>,
    #[serde(default, deserialize_with = "values::some_span::<100, 600_000, _>")]
    fetch_timeout: Option<Duration>,
    source_ttl: Option<SourceTtl>,
}

impl OwnRules {
    fn read(reader: &mut Reader<'_>, prefix: &str) -> Self {
        let keys = reader.read_behind::<KeyVars>(prefix).map(KeyVars::keys);
        let Some(vars) = reader.read_behind::<OwnVars>(prefix) else { return Self::default() };
        Self {
            keys: keys.filter(|keys| !keys.is_empty()),
            source_bytes: vars.max_source_bytes,
            source_pixels: vars.max_source_pixels,
            fetch_timeout: vars.fetch_timeout,
            source_ttl: vars.source_ttl,
        }
    }
}

words! {
    /// How variants are laid out in their store.
    pub Layout {
        /// Immutable entries of our own format.
        Versioned = "versioned",
        /// Bare images under the path of the request.
        Mirror = "mirror",
    }
}

words! {
    /// What answers a miss.
    pub OnMiss {
        /// The picture.
        Serve = "serve",
        /// A redirect to where the stored picture is public.
        Redirect = "redirect",
    }
}

spelt! {
    WriteBack { Async = "async", Sync = "sync", Off = "off" }
}

impl FromStr for SourceTtl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const MONTH_MS: u64 = 30 * 86_400_000;
        if text.eq_ignore_ascii_case("immutable") {
            return Ok(Self::Immutable);
        }
        let value = span_between(text, 0, MONTH_MS);
        value.map(Self::For).map_err(|rule| format!("{rule}, or the word immutable"))
    }
}

#[derive(Deserialize)]
struct StoreVars {
    origin: Option<StoreUrl>,
    origins: Option<OriginList>,
    variants: Option<StoreUrl>,
    variants_public_url: Option<PublicUrl>,
    variant_layout: Layout,
    on_miss: OnMiss,
    write_back: WriteBack,
    source_ttl: SourceTtl,
    #[serde(deserialize_with = "values::span::<0, 3_600_000, _>")]
    negative_ttl: Duration,
    #[serde(deserialize_with = "values::span::<100, 600_000, _>")]
    fetch_timeout: Duration,
    #[serde(deserialize_with = "values::span::<50, 600_000, _>")]
    store_timeout: Duration,
}

struct OriginList(Vec<(OriginName, StoreUrl)>);

impl FromStr for OriginList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut list: Vec<(OriginName, StoreUrl)> = Vec::new();
        for item in text.split(',').map(str::trim) {
            // The item is not shown: a URL may carry credentials that it should not.
            let expected = "expected name=url,name=url; a comma inside a URL is %2C";
            let nth = list.len() + 1;
            let (name, url) = item
                .split_once('=')
                .ok_or_else(|| format!("origin {nth} has no = ({expected})"))?;
            let name = name.trim();
            let good = OriginName::new(name)
                .ok_or_else(|| unreadable(name, "a name of a-z, 0-9 and -, at most 63 of them"))?;
            if good == OriginName::default_origin() {
                return Err("the origin called default is LENSLET_ORIGIN".to_owned());
            }
            if list.iter().any(|(known, _)| *known == good) {
                return Err(format!("names {name} twice"));
            }
            let url = url.trim().parse().map_err(|rule| format!("{name}: {rule}"))?;
            list.push((good, url));
        }
        Ok(Self(list))
    }
}

deserialize_from_text!(SourceTtl, OriginList);

impl Stores {
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let vars = reader.read::<StoreVars>()?;
        let default = vars.origin.map(|url| (OriginName::default_origin(), url));
        let named = vars.origins.map(|list| list.0).unwrap_or_default();
        let mut origins = Vec::new();
        for (name, url) in default.into_iter().chain(named) {
            let prefix = prefix_of(&name);
            let options = options::read(reader, &prefix, url.place());
            let own = OwnRules::read(reader, &prefix);
            origins.push(Origin { name, store: StoreAt { url, options }, own });
        }
        let variants = vars.variants.map(|url| {
            let options = options::read(reader, VARIANTS_PREFIX, url.place());
            StoreAt { url, options }
        });
        let at_a_web_server = variants
            .as_ref()
            .is_some_and(|at: &StoreAt| matches!(at.url.place(), StorePlace::Web { .. }));
        reader.faults().cross(&["LENSLET_VARIANTS"], at_a_web_server, || {
            "is a web server, which can only be read; variants need a folder or a bucket".to_owned()
        });
        refuse_options_of_nothing(reader, &origins, variants.is_some());
        Some(Self {
            origins,
            variants,
            variants_public_url: vars.variants_public_url,
            layout: vars.variant_layout,
            on_miss: vars.on_miss,
            write_back: vars.write_back,
            source_ttl: vars.source_ttl,
            negative_ttl: vars.negative_ttl,
            fetch_timeout: vars.fetch_timeout,
            store_timeout: vars.store_timeout,
        })
    }
}

/// `my-shop` → `LENSLET_ORIGIN_MY_SHOP_`. No two names share a prefix: names have no `_`.
pub(super) fn prefix_of(name: &OriginName) -> String {
    format!("{ORIGIN_PREFIX}{}_", name.as_str().to_ascii_uppercase().replace('-', "_"))
}

/// Options of stores that are not configured would be passed over in silence.
fn refuse_options_of_nothing(reader: &mut Reader<'_>, origins: &[Origin], variants: bool) {
    let settings = ["LENSLET_VARIANTS", "LENSLET_ORIGIN", "LENSLET_ORIGINS"];
    let broken = |faults: &super::Faults, name: &str| faults.iter().any(|f| f.name == name);
    let [no_variants, no_origin, no_origins] = settings.map(|name| broken(reader.faults(), name));
    let prefixes: Vec<String> = origins.iter().map(|origin| prefix_of(&origin.name)).collect();
    let of_origins = reader.env().with_prefix(ORIGIN_PREFIX).map(|(name, _)| name.to_owned());
    let of_variants = reader.env().with_prefix(VARIANTS_PREFIX).map(|(name, _)| name.to_owned());
    let mut orphans: Vec<(String, &str)> = Vec::new();
    if !no_origin && !no_origins {
        let orphan =
            |name: &String| !prefixes.iter().any(|prefix| option_behind(prefix, name).is_some());
        orphans.extend(of_origins.filter(orphan).map(|name| {
            (name, "names no origin of LENSLET_ORIGINS (DEFAULT stands for LENSLET_ORIGIN)")
        }));
    }
    if !no_variants && !variants {
        let option = |name: &String| option_behind(VARIANTS_PREFIX, name).is_some();
        orphans.extend(
            of_variants.filter(option).map(|name| (name, "has no effect without LENSLET_VARIANTS")),
        );
    }
    for (name, rule) in orphans {
        reader.faults().add(name, rule);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_a_list_of_distinct_names() {
        let list = "a=memory:///, b-2 = s3://photos/x=y ".parse::<OriginList>().unwrap().0;
        assert_eq!(list.len(), 2);
        for text in [
            "memory:///",
            "A=memory:///",
            "=memory:///",
            "a=memory:///,a=memory:///",
            "default=memory:///",
            "a=memory:///,",
            "a=nowhere",
            "a_b=memory:///",
        ] {
            assert!(text.parse::<OriginList>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_variables_of_an_origin_are_told_apart_by_its_name() {
        let name = OriginName::new("my-shop").unwrap();
        assert_eq!(prefix_of(&name), "LENSLET_ORIGIN_MY_SHOP_");
    }

    #[test]
    fn a_source_ttl_is_a_duration_or_the_word() {
        assert_eq!("Immutable".parse(), Ok(SourceTtl::Immutable));
        assert_eq!("0".parse(), Ok(SourceTtl::For(Duration::ZERO)));
        assert!("31d".parse::<SourceTtl>().unwrap_err().contains("immutable"));
    }
}

//! What is made of an original before anybody asks for it: presets, and in the mirror layout the
//! allowed sizes. Every wish goes through the dialects as a URL would, so that what is made here
//! is found under the same key by whoever comes later. Never fetches and never renders.

use crate::config::ahead::chosen;
use crate::config::{Layout, Settings, Unsigned};
use crate::dialect::request::{self, ImageRequest, SizedPath};
use crate::model::key::{OriginName, SourceId};
use crate::model::transform::{Accepts, Transform};
use crate::variants::Placement;
use std::sync::Arc;

/// One variant to be made of an original.
#[derive(Debug, Clone)]
pub struct AheadWish {
    /// For people: `thumb`, `thumb.avif`, `300x200`.
    pub name: String,
    /// The canonical wish.
    pub transform: Arc<Transform>,
    /// Where it lies in the store.
    pub placement: Placement,
}

/// Everything that is made ahead, whatever the original.
#[derive(Debug, Clone, Default)]
pub struct Ahead {
    presets: Vec<(String, Arc<Transform>)>,
    sizes: Vec<Sized>,
    mirror: bool,
}

/// A size of the sized dialect, asked of an original that stands for all.
#[derive(Debug, Clone)]
struct Sized {
    request: ImageRequest,
    transform: Arc<Transform>,
}

/// What clients there are as far as `f=auto` tells them apart, with the names of what they get:
/// those that read AVIF read WebP too, older ones read WebP, the rest neither.
const CLIENTS: [(Accepts, &str); 3] =
    [(Accepts::AvifWebp, "avif"), (Accepts::Webp, "webp"), (Accepts::Classic, "plain")];

impl Ahead {
    /// What the deployment makes ahead: the presets of `LENSLET_PREGENERATE` and, in the mirror
    /// layout, every size of `LENSLET_ALLOWED_SIZES`.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let sizes = match settings.stores.layout {
            Layout::Mirror => settings.access.allowed_sizes.as_slice(),
            Layout::Versioned => &[],
        };
        Self::build(settings, &settings.ahead.presets, sizes).unwrap_or_else(|why| {
            // The settings were held to this when they were read.
            tracing::error!(why, "nothing is made ahead");
            Self::default()
        })
    }

    /// What somebody chose by name.
    ///
    /// # Errors
    /// One sentence about a preset that is not there or no whole wish, or about a size that the
    /// deployment would not serve.
    pub fn chosen(
        settings: &Settings,
        presets: &[String],
        sizes: &[SizedPath],
    ) -> Result<Self, String> {
        let presets = chosen(presets, &settings.access.presets, &settings.limits)?;
        let access = &settings.access;
        let open = access.keys.is_empty() && access.unsigned == Unsigned::Allow;
        let served = |size: &SizedPath| {
            let listed = &access.allowed_sizes;
            listed.contains(size) || (listed.is_empty() && open)
        };
        if let Some(size) = sizes.iter().find(|size| !served(size)) {
            return Err(format!("size {size} is not among LENSLET_ALLOWED_SIZES"));
        }
        Self::build(settings, &presets, sizes)
    }

    fn build(settings: &Settings, presets: &[String], sizes: &[SizedPath]) -> Result<Self, String> {
        let asked = |target: String| {
            let request = request::parse(&target, &settings.access.dialect());
            request.map_err(|error| error.to_string())
        };
        let resolved = |request: &ImageRequest, accepts: Accepts| {
            let wish = request.resolve(accepts, &settings.limits);
            wish.map(Arc::new).map_err(|error| error.to_string())
        };
        let mut ahead =
            Self { mirror: settings.stores.layout == Layout::Mirror, ..Self::default() };
        for preset in presets {
            let request = asked(format!("/image?preset={preset}"))?;
            if !request.is_negotiable() {
                let transform = resolved(&request, Accepts::default())?;
                ahead.presets.push((preset.clone(), transform));
                continue;
            }
            for (accepts, client) in CLIENTS {
                let transform = resolved(&request, accepts)?;
                ahead.presets.push((format!("{preset}.{client}"), transform));
            }
        }
        for size in sizes {
            let request = asked(format!("/{size}/image"))?;
            let transform = resolved(&request, Accepts::default())?;
            ahead.sizes.push(Sized { request, transform });
        }
        Ok(ahead)
    }

    /// Whether nothing is made ahead.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.presets.is_empty() && self.sizes.is_empty()
    }

    /// What is made of one original. The sized dialect speaks of the default origin only, so of
    /// others no sizes are made.
    #[must_use]
    pub fn wishes(&self, source: &SourceId) -> Vec<AheadWish> {
        let presets = self.presets.iter().map(|(name, transform)| AheadWish {
            name: name.clone(),
            transform: Arc::clone(transform),
            placement: Placement::Versioned,
        });
        let sized = source.origin == OriginName::default_origin();
        let sizes = self.sizes.iter().filter(|_| sized).map(|size| {
            let request = ImageRequest { source: source.clone(), ..size.request.clone() };
            let path = request.mirror_path().filter(|_| self.mirror);
            AheadWish {
                name: request.sized.map(|size| size.to_string()).unwrap_or_default(),
                transform: Arc::clone(&size.transform),
                placement: path.map_or(Placement::Versioned, |path| Placement::Mirror { path }),
            }
        });
        presets.chain(sizes).collect()
    }

    /// The names of all wishes, as [`AheadWish::name`].
    pub fn names(&self) -> impl Iterator<Item = String> {
        let sizes = self.sizes.iter().filter_map(|size| size.request.sized);
        let presets = self.presets.iter().map(|(name, _)| name.clone());
        presets.chain(sizes.map(|size| size.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Env, Machine, Purpose};
    use crate::dialect::negotiate;
    use crate::model::key::{SourceKey, SourceVersion, VariantKey};

    const PRESETS: &str = "[thumb]\nparams = \"w=200&h=200&fit=cover&f=auto\"\n\
                           [card]\nparams = \"w=480&q=70\"\n";

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), PRESETS).unwrap();
        let mut vars = vec![("LENSLET_PRESETS_FILE".into(), file.path().into())];
        vars.extend(pairs.iter().map(|(n, v)| (format!("LENSLET_{n}").into(), (*v).into())));
        let env = Env::gather(vars, None);
        Settings::read(&env, &Machine::detect(), Purpose::Offline).unwrap()
    }

    fn source(origin: &str, key: &str) -> SourceId {
        SourceId { origin: OriginName::new(origin).unwrap(), key: SourceKey::new(key).unwrap() }
    }

    const MIRROR: [(&str, &str); 4] = [
        ("PREGENERATE", "*"),
        ("ALLOWED_SIZES", "300x200,0x150"),
        ("VARIANT_LAYOUT", "mirror"),
        ("VARIANTS", "s3://variants"),
    ];

    #[test]
    fn a_preset_with_auto_is_made_for_every_kind_of_browser() {
        let ahead = Ahead::of(&settings(&[("PREGENERATE", "thumb,card")]));
        let names: Vec<String> = ahead.names().collect();
        assert_eq!(names, ["thumb.avif", "thumb.webp", "thumb.plain", "card"]);
        assert!(Ahead::of(&settings(&[])).is_empty());
    }

    #[test]
    fn what_is_made_has_the_keys_that_browsers_ask_for() {
        let settings = settings(&[("PREGENERATE", "thumb")]);
        let cat = source("default", "photos/cat.jpg");
        let made: Vec<String> =
            Ahead::of(&settings).wishes(&cat).iter().map(|w| w.transform.canonical()).collect();
        let chrome = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";
        let old_safari = "image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5";
        for (accept, made) in [chrome, old_safari, "*/*"].into_iter().zip(&made) {
            let dialect = settings.access.dialect();
            let asked = request::parse("/photos/cat.jpg?preset=thumb", &dialect).unwrap();
            let wish = asked.resolve(negotiate(Some(accept)), &settings.limits).unwrap();
            assert_eq!(wish.canonical(), *made, "{accept}");
        }
        assert_eq!(made.len(), 3);
    }

    #[test]
    fn in_the_mirror_layout_every_allowed_size_is_made_where_its_url_asks_for_it() {
        let settings = settings(&MIRROR);
        let cat = source("default", "a b/c%41t.jpg");
        let wishes = Ahead::of(&settings).wishes(&cat);
        let mirrored: Vec<_> = wishes.iter().filter(|w| w.name.contains('x')).collect();
        assert_eq!(mirrored.len(), 2);
        let dialect = settings.access.dialect();
        let asked = request::parse("/300x200/a%20b/c%2541t.jpg", &dialect).unwrap();
        assert_eq!(asked.source, cat);
        let path = asked.mirror_path().unwrap();
        assert_eq!(mirrored[0].placement, Placement::Mirror { path });
        let version = SourceVersion::from_etag("e");
        let key = |wish: &Transform| VariantKey::new(cat.clone(), version.clone(), wish);
        let wish = asked.resolve(Accepts::Classic, &settings.limits).unwrap();
        assert_eq!(key(&mirrored[0].transform), key(&wish));
    }

    #[test]
    fn other_origins_have_presets_and_no_sizes() {
        let ahead = Ahead::of(&settings(&MIRROR));
        assert_eq!(ahead.wishes(&source("shop", "cat.jpg")).len(), 4);
        assert_eq!(ahead.wishes(&source("default", "cat.jpg")).len(), 6);
    }

    #[test]
    fn what_nobody_could_ask_for_is_not_made() {
        let settings = settings(&[("ALLOWED_SIZES", "300x200")]);
        let size = |text: &str| text.parse::<SizedPath>().unwrap();
        let ahead = Ahead::chosen(&settings, &[], &[size("300x200")]).unwrap();
        let wishes = ahead.wishes(&source("default", "cat.jpg"));
        assert_eq!(wishes[0].placement, Placement::Versioned);
        let told = Ahead::chosen(&settings, &[], &[size("301x200")]).unwrap_err();
        assert!(told.contains("301x200"), "{told}");
        let told = Ahead::chosen(&settings, &["hero".to_owned()], &[]).unwrap_err();
        assert!(told.contains("card, thumb"), "{told}");
    }
}

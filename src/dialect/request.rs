//! A request target → what is asked, of which original, by whose leave. This is the whole native
//! and the sized dialect; what follows sees neither names nor text. It never verifies a
//! signature (`signature` does, over the raw bytes) and knows no status code.

use super::options::{OptionSpec, Reader};
use super::presets::{PolicyError, Presets};
use super::query::{self, Query, Rules, Scope};
use super::target::{self, TargetError};
use super::values::is_whole;
use crate::model::draft::{BadParam, BadParamKind, Draft, FormatWish};
use crate::model::geometry::Fit;
use crate::model::key::{OriginName, SourceId};
use crate::model::limits::Limits;
use crate::model::transform::{Accepts, Transform};
use crate::model::units::Px;

/// One request, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRequest {
    /// Which original.
    pub source: SourceId,
    /// What is asked of it.
    pub wish: Wish,
    /// What the URL says of its own validity.
    pub access: Access,
    /// `v`: the version of the source the caller believes in. Never part of a key.
    pub version: Option<String>,
    /// `dl`.
    pub download: Option<Download>,
    /// The size in the path, where the sized dialect was spoken.
    pub sized: Option<SizedPath>,
}

/// What is asked, presets already expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Everything asked, by the URL or by its preset.
    pub draft: Draft,
    /// The preset used: named, or `default` where nothing was asked.
    pub preset: Option<String>,
    /// Names of the parameters beside `preset` that change bytes and stood in the URL.
    pub explicit: Vec<&'static str>,
}

/// What a URL says of its own validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    /// `exp`, seconds since 1970.
    pub exp: Option<u64>,
    /// Whether `s` is there; whether it holds, [`super::signature::verify`] tells.
    pub signed: bool,
}

/// `dl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Download {
    /// Under the name of the original, with the extension of the result.
    SourceName,
    /// Under this name: no slash, no control character, at most 200 bytes.
    Named(String),
}

/// `{W}x{H}` as asked, 0 for a free side, never both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SizedPath {
    /// Pixels, up to 99,999.
    pub width: u32,
    /// Pixels, up to 99,999.
    pub height: u32,
}

/// Why a text is no size of the sized dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not two numbers of one to five digits with an `x` between them.
    #[error("a size is {{W}}x{{H}} with one to five digits each")]
    Form,
    /// `0300x200`.
    #[error("a size is written without leading zeros")]
    LeadingZero,
    /// `0x0`.
    #[error("one side of a size has to be given")]
    BothFree,
}

impl std::str::FromStr for SizedPath {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let (width, height) = text.split_once('x').ok_or(SizeError::Form)?;
        let digits =
            |text: &str| (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(width) || !digits(height) {
            return Err(SizeError::Form);
        }
        if !is_whole(width) || !is_whole(height) {
            return Err(SizeError::LeadingZero);
        }
        let side = |text: &str| text.parse::<u32>().or(Err(SizeError::Form));
        match (side(width)?, side(height)?) {
            (0, 0) => Err(SizeError::BothFree),
            (width, height) => Ok(Self { width, height }),
        }
    }
}

impl std::fmt::Display for SizedPath {
    /// As it stands in `LENSLET_ALLOWED_SIZES` and in the path: `300x200`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// What to do with a parameter nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownParams {
    /// Refuse, naming the nearest known one.
    #[default]
    Refuse,
    /// Pass over it. Names reserved for later are still refused.
    Ignore,
}

/// A parameter that other parties append and that means nothing here: a name, or its beginning
/// followed by `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoredName {
    text: String,
    prefix: bool,
}

impl IgnoredName {
    /// `fbclid`, `utm_*`; `None` for an empty pattern or a `*` elsewhere than at the end.
    #[must_use]
    pub fn new(pattern: &str) -> Option<Self> {
        let (text, prefix) = match pattern.strip_suffix('*') {
            Some(text) => (text, true),
            None => (pattern, false),
        };
        let good = !text.is_empty() && !text.contains('*');
        good.then(|| Self { text: text.to_owned(), prefix })
    }

    /// Whether a decoded name is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if self.prefix { name.starts_with(&self.text) } else { name == self.text }
    }
}

/// What a deployment decides about the dialect.
#[derive(Debug, Clone, Copy)]
pub struct DialectSettings<'a> {
    /// Its presets.
    pub presets: &'a Presets,
    /// What to do with unknown parameters.
    pub unknown: UnknownParams,
    /// Names to pass over. A parameter of this version is obeyed even if it stands here.
    pub ignored: &'a [IgnoredName],
}

/// Why a target cannot be obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It names no original.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A parameter is wrong.
    #[error(transparent)]
    Parameter(#[from] BadParam),
    /// It asks for more than its preset allows, where presets are closed.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// Reads a target, `path?query` as received, behind the mount.
///
/// Native: `/{key}`, `/@{origin}/{key}`, `/@/{key}` with the parameters of the option table.
/// Sized: `/{W}x{H}/{key}`, and `/?key={W}x{H}/{key}`, in the default origin and only there.
///
/// # Errors
/// [`RequestError::Target`] and [`RequestError::Parameter`]. Whether a preset was left is asked
/// of [`ImageRequest::check_closed`], where the deployment closes them.
pub fn parse(target: &str, settings: &DialectSettings<'_>) -> Result<ImageRequest, RequestError> {
    let (path, raw_query) = target::split(target)?;
    let place = target::place(path, raw_query)?;
    let scope = match (place.sized, place.by_key) {
        (None, _) => Scope::Native,
        (Some(_), false) => Scope::Sized,
        (Some(_), true) => Scope::SizedByKey,
    };
    let rules = Rules { scope, unknown: settings.unknown, ignored: settings.ignored };
    let Query { draft, envelope, given } = query::read(raw_query, &rules)?;
    let wish = match place.sized {
        Some(size) => size.wish(),
        None => native_wish(draft, envelope.preset, &given, settings.presets)?,
    };
    Ok(ImageRequest {
        source: place.source,
        wish,
        access: Access { exp: envelope.exp, signed: envelope.signed },
        version: envelope.version,
        download: envelope.download,
        sized: place.sized,
    })
}

/// The origin whose original a target names, as [`parse`] reads it, whatever its parameters; `None`
/// where it names none. For whoever has to know by whose keys a URL is signed.
#[must_use]
pub fn origin_of(target: &str) -> Option<OriginName> {
    let (path, raw_query) = target::split(target).ok()?;
    target::place(path, raw_query).ok().map(|place| place.source.origin)
}

impl SizedPath {
    /// Exactly this box: cover, centre, enlarging, the source's format.
    fn wish(self) -> Wish {
        let draft = Draft {
            width: Px::new(self.width),
            height: Px::new(self.height),
            fit: Some(Fit::Cover),
            enlarge: Some(true),
            ..Draft::default()
        };
        Wish { draft, preset: None, explicit: Vec::new() }
    }
}

/// Expands the preset named, or the one called `default` where nothing was asked (SEMANTICS 19).
fn native_wish(
    draft: Draft,
    named: Option<String>,
    given: &[&'static OptionSpec],
    presets: &Presets,
) -> Result<Wish, BadParam> {
    let explicit: Vec<_> = given
        .iter()
        .filter(|spec| matches!(spec.reader, Reader::Wish(_)))
        .map(|spec| spec.name)
        .collect();
    if draft.is_info() {
        return info_wish(named, explicit, presets);
    }
    let nothing = named.is_none() && explicit.is_empty();
    let name = match named {
        Some(name) => name,
        None if !nothing => return Ok(Wish { draft, preset: None, explicit }),
        None => "default".to_owned(),
    };
    match presets.get(&name) {
        Some(preset) => {
            let draft = draft.overlay(&preset.draft);
            if draft.is_info() {
                beside_info(&explicit)?;
            }
            Ok(Wish { draft, preset: Some(name), explicit })
        }
        None if nothing => {
            let example = "at least one parameter, such as ?w=400&h=300&fit=cover&f=auto";
            Err(BadParam::new(BadParamKind::Missing, "", "", example))
        }
        None => Err(presets.unknown(&name)),
    }
}

/// The document about an original. A preset beside it gives leave to ask, where presets are
/// closed; what it says of a picture says nothing of the original.
fn info_wish(
    preset: Option<String>,
    explicit: Vec<&'static str>,
    presets: &Presets,
) -> Result<Wish, BadParam> {
    beside_info(&explicit)?;
    if let Some(name) = &preset
        && presets.get(name).is_none()
    {
        return Err(presets.unknown(name));
    }
    let draft = Draft { format: Some(FormatWish::Info), ..Draft::default() };
    Ok(Wish { draft, preset, explicit })
}

/// Nothing that changes a picture may stand beside `f=json`: it would be passed over in silence.
fn beside_info(explicit: &[&'static str]) -> Result<(), BadParam> {
    let others: Vec<_> = explicit.iter().copied().filter(|name| *name != "f").collect();
    if others.is_empty() {
        return Ok(());
    }
    let fault = format!("{}: it describes the original, not a result", others.join(", "));
    Err(BadParam::new(BadParamKind::Contradiction, "f", "json", &fault))
}

impl ImageRequest {
    /// Whether a document about the original is asked for and no picture: `f=json`, in the URL or
    /// in its preset.
    #[must_use]
    pub fn is_info(&self) -> bool {
        self.wish.draft.is_info()
    }

    /// Whether the answer depends on `Accept`: `f=auto`, in the URL or in its preset. Then every
    /// answer, errors too, varies by it.
    #[must_use]
    pub fn is_negotiable(&self) -> bool {
        self.wish.draft.is_negotiable()
    }

    /// The canonical wish for a client that reads what `accepts` says.
    ///
    /// # Errors
    /// [`BadParam`] as [`Draft::resolve`].
    pub fn resolve(&self, accepts: Accepts, limits: &Limits) -> Result<Transform, BadParam> {
        self.wish.draft.resolve(accepts, limits)
    }

    /// Whether exactly one preset is used and nothing added but what its `allow` list names; `v`,
    /// `dl`, `exp` and `s` may always be added (SEMANTICS 20). A size in the path is no preset:
    /// it is admitted by `LENSLET_ALLOWED_SIZES` alone, never by this.
    ///
    /// # Errors
    /// [`PolicyError`] naming what is too much.
    pub fn check_closed(&self, presets: &Presets) -> Result<(), PolicyError> {
        let preset = self.wish.preset.as_deref().and_then(|name| presets.get(name).zip(Some(name)));
        let Some((preset, name)) = preset else { return Err(PolicyError::NoPreset) };
        match self.wish.explicit.iter().find(|added| !preset.allow.contains(added)) {
            None => Ok(()),
            Some(added) => Err(PolicyError::Added {
                preset: name.to_owned(),
                added,
                allowed: preset.allow.clone(),
            }),
        }
    }

    /// Where the variant lies in the `mirror` layout, which is the decoded request path of the
    /// sized dialect: `300x200/photos/cat.jpg`. `None` for a native request.
    #[must_use]
    pub fn mirror_path(&self) -> Option<String> {
        self.sized.map(|size| format!("{size}/{}", self.source.key))
    }
}

#[cfg(test)]
mod tests;

//! What a URL means here, for people: the text behind `lenslet explain`. Key and object path
//! need a version of the source and are added by the caller. Never fetches anything.

use super::query::pieces;
use super::request::{DialectSettings, Download, ImageRequest, RequestError, parse};
use super::target;
use crate::model::limits::Limits;
use crate::model::transform::Accepts;
use std::fmt::Write as _;

/// Explains a target (behind the mount) to a client that reads what `accepts` says: aligned
/// lines of `name value`, each ended.
///
/// # Errors
/// [`RequestError`] as [`parse`] and [`ImageRequest::resolve`].
pub fn explain(
    raw_target: &str,
    settings: &DialectSettings<'_>,
    accepts: Accepts,
    limits: &Limits,
) -> Result<String, RequestError> {
    let request = parse(raw_target, settings)?;
    let canonical = if request.is_info() {
        "f=json".to_owned()
    } else {
        request.resolve(accepts, limits)?.canonical()
    };
    let mut text = Lines(String::with_capacity(512));
    let dialect = match request.sized {
        Some(size) => format!("sized ({size}, exactly)"),
        None => "native".to_owned(),
    };
    text.line("dialect", &dialect);
    text.line("origin", request.source.origin.as_str());
    text.line("key", request.source.key.as_str());
    if let Some(preset) = &request.wish.preset {
        text.line("preset", preset);
    }
    text.line("canonical", &canonical);
    if request.is_negotiable() {
        text.line("negotiable", &format!("yes, by Accept; here {}", accepts.canonical()));
    } else {
        text.line("negotiable", "no");
    }
    let idle = without_effect(raw_target, settings, accepts, limits, &canonical);
    if !idle.is_empty() {
        text.line("no effect", &idle.join(", "));
    }
    beside(&request, &mut text);
    Ok(text.0)
}

/// What the URL says that is not about the picture.
fn beside(request: &ImageRequest, text: &mut Lines) {
    if let Some(version) = &request.version {
        text.line("v", version);
    }
    match &request.download {
        None => {}
        Some(Download::SourceName) => text.line("download", "under the name of the source"),
        Some(Download::Named(name)) => text.line("download", name),
    }
    if let Some(exp) = request.access.exp {
        text.line("expires", &format!("{exp} seconds after 1970"));
    }
    text.line(
        "signature",
        if request.access.signed { "present, not checked here" } else { "none" },
    );
}

/// Names of the explicit parameters whose absence would give the same canonical form.
fn without_effect(
    raw_target: &str,
    settings: &DialectSettings<'_>,
    accepts: Accepts,
    limits: &Limits,
    canonical: &str,
) -> Vec<&'static str> {
    let Ok((path, query)) = target::split(raw_target) else { return Vec::new() };
    let full = |left_out: usize| -> Option<ImageRequest> {
        let kept = pieces(query).enumerate().filter(|(at, _)| *at != left_out);
        let kept: Vec<_> = kept
            .map(|(_, (name, value))| match value {
                Some(value) => format!("{name}={value}"),
                None => name.to_owned(),
            })
            .collect();
        parse(&format!("{path}?{}", kept.join("&")), settings).ok()
    };
    let Some(all) = full(usize::MAX) else { return Vec::new() };
    let mut idle = Vec::new();
    for at in 0..pieces(query).count() {
        let Some(fewer) = full(at) else { continue };
        let missing = all.wish.explicit.iter().find(|name| !fewer.wish.explicit.contains(name));
        let same = fewer.resolve(accepts, limits).is_ok_and(|wish| wish.canonical() == canonical);
        if let (Some(name), true) = (missing, same) {
            idle.push(*name);
        }
    }
    idle
}

struct Lines(String);

impl Lines {
    /// Text from a URL may hold anything but control characters, which every reader refused.
    fn line(&mut self, name: &str, value: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{name:<11} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{LIMITS, settings};
    use super::*;
    use crate::dialect::Presets;

    #[test]
    fn an_explanation_shows_what_was_understood_and_what_was_idle() {
        let presets = Presets::parse("[thumb]\nparams = \"w=200&f=auto\"").unwrap();
        let settings = DialectSettings { presets: &presets, ..settings() };
        let target =
            "/@shop/a%20b.jpg?preset=thumb&dpr=2&g=n&progressive&v=3&exp=1900000000&dl=b.jpg";
        let text = explain(target, &settings, Accepts::AvifWebp, &LIMITS).unwrap();
        let wanted = "\
dialect     native
origin      shop
key         a b.jpg
preset      thumb
canonical   w=400,f=auto:avif+webp,q=80,max-side=8192,max-avif=4MP
negotiable  yes, by Accept; here auto:avif+webp
no effect   g, progressive
v           3
download    b.jpg
expires     1900000000 seconds after 1970
signature   none
";
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_sized_url_is_explained_too() {
        let text = explain("/300x0/cat.jpg", &settings(), Accepts::Webp, &LIMITS).unwrap();
        assert!(text.contains("sized (300x0, exactly)\n"), "{text}");
        assert!(
            text.contains("canonical   w=300,enlarge=1,f=source,q=80,max-side=8192,max-avif=4MP\n"),
            "{text}"
        );
        assert!(explain("/cat.jpg?wdth=3", &settings(), Accepts::Webp, &LIMITS).is_err());
    }
}

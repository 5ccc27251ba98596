//! Headers that are the same each time a picture is answered, spelt once and then shared. Never
//! holds what differs between two answers: how it came about, how long it took, whose it is.

use super::disposition::{self, Show};
use crate::model::format::Format;
use crate::model::geometry::Size;
use crate::model::key::SourceId;
use crate::variants::{Variant, tags};
use actix_web::http::header::HeaderValue;

/// A header's value. Everything written here is ASCII or checked; what is not sent is no harm.
pub(crate) fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_invalid| HeaderValue::from_static(""))
}

/// Which picture, or document, of which original.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// `ETag`.
    pub(crate) etag: HeaderValue,
    /// `Cache-Tag`.
    pub(crate) cache_tag: HeaderValue,
    /// `Surrogate-Key`.
    pub(crate) surrogate_key: HeaderValue,
}

impl Identity {
    /// Of what has this ETag, quotes included, and was made of this original.
    pub(crate) fn new(etag: &str, source: &SourceId) -> Self {
        let tags = tags(source);
        Self {
            etag: value(etag),
            cache_tag: value(&tags.join(",")),
            surrogate_key: value(&tags.join(" ")),
        }
    }
}

/// What the picture turned out to be, and how it is shown.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    of: (Format, Size, u32),
    /// `Content-Disposition`.
    pub(crate) disposition: HeaderValue,
    /// `X-Size`.
    pub(crate) size: HeaderValue,
    /// `X-Frames`, where there are more than the one shown.
    pub(crate) frames: Option<HeaderValue>,
}

impl Look {
    /// Of a picture shown so, under this name.
    pub(crate) fn new(variant: &Variant, show: Show<'_>, file_name: &str) -> Self {
        let &Variant { format, size, source_frames, .. } = variant;
        Self {
            of: (format, size, source_frames),
            disposition: value(&disposition::header(show, file_name, format)),
            size: value(&size.to_string()),
            frames: (source_frames > 1).then(|| value(&format!("1/{source_frames}"))),
        }
    }

    /// Whether it is this picture's, too.
    pub(crate) fn fits(&self, variant: &Variant) -> bool {
        self.of == (variant.format, variant.size, variant.source_frames)
    }
}

//! The image formats: what can come in, what can go out, and their names on the wire.
//! Never decides anything by a file extension.

use std::fmt;

/// A format this service writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// JPEG, baseline or progressive.
    Jpeg,
    /// PNG.
    Png,
    /// WebP, lossy or lossless.
    Webp,
    /// AVIF.
    Avif,
    /// GIF.
    Gif,
}

impl Format {
    /// All of them, in the order they are documented.
    pub const ALL: [Self; 5] = [Self::Jpeg, Self::Png, Self::Webp, Self::Avif, Self::Gif];

    /// The name used in URLs and keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Webp => "webp",
            Self::Avif => "avif",
            Self::Gif => "gif",
        }
    }

    /// The usual file extension, without a dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            other => other.name(),
        }
    }

    /// The media type (IANA).
    #[must_use]
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
            Self::Avif => "image/avif",
            Self::Gif => "image/gif",
        }
    }

    /// By name or alias (`jpg`), letter case ignored.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("jpg") {
            return Some(Self::Jpeg);
        }
        Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// By media type, exactly as [`Format::mime`] spells it.
    #[must_use]
    pub fn from_mime(mime: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.mime() == mime)
    }

    /// Whether the format can carry transparency.
    #[must_use]
    pub const fn has_alpha(self) -> bool {
        !matches!(self, Self::Jpeg)
    }

    /// The longest side the format can carry, in pixels (SEMANTICS 7).
    #[must_use]
    pub const fn max_side(self) -> u32 {
        match self {
            Self::Jpeg | Self::Gif => 65_535,
            Self::Webp => 16_383,
            Self::Avif => 16_384,
            Self::Png => 1 << 30,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A format recognised by its magic bytes as an original.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceFormat {
    /// One of the formats that can also go out.
    Web(Format),
    /// Windows bitmap.
    Bmp,
    /// TIFF.
    Tiff,
    /// Windows icon or cursor.
    Ico,
}

impl SourceFormat {
    /// The name used in logs and `source.json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Web(format) => format.name(),
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
            Self::Ico => "ico",
        }
    }

    /// The media type (IANA).
    #[must_use]
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Web(format) => format.mime(),
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
            Self::Ico => "image/vnd.microsoft.icon",
        }
    }

    /// What an absent `f` means for this original (SEMANTICS 13): the same format where it can
    /// go out, else PNG with alpha and JPEG without.
    #[must_use]
    pub const fn default_output(self, alpha: bool) -> Format {
        match self {
            Self::Web(format) => format,
            _ if alpha => Format::Png,
            _ => Format::Jpeg,
        }
    }
}

impl fmt::Display for SourceFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

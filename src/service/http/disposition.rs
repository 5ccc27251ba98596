//! `Content-Disposition` (RFC 6266): a file name that fits what is sent, safe in a header whatever
//! the key was called.

use crate::dialect::request::Download;
use crate::model::format::Format;
use std::fmt::Write as _;

/// Longest name offered, in bytes: file systems end at 255.
const MAX_NAME: usize = 200;

/// What a browser should do with the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show<'a> {
    /// Show it.
    Inline,
    /// Save it under the picture's own name.
    Download,
    /// Save it under this name.
    DownloadAs(&'a str),
}

impl<'a> Show<'a> {
    /// As the URL asks with `dl`.
    pub(crate) fn of(download: Option<&'a Download>) -> Self {
        match download {
            None => Self::Inline,
            Some(Download::SourceName) => Self::Download,
            Some(Download::Named(name)) => Self::DownloadAs(name),
        }
    }
}

/// The header's value. `file_name` is the last segment of the key; its extension gives way to
/// that of the format.
pub(crate) fn header(show: Show<'_>, file_name: &str, format: Format) -> String {
    with_extension(show, file_name, format.extension())
}

/// The same for what is no picture.
pub(crate) fn with_extension(show: Show<'_>, file_name: &str, extension: &str) -> String {
    let (kind, given) = match show {
        Show::Inline => ("inline", file_name),
        Show::Download => ("attachment", file_name),
        Show::DownloadAs(name) => ("attachment", name),
    };
    let stem = match given.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => given,
    };
    let name = format!("{}.{extension}", clean(stem));
    let ascii: String = name.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    let mut value = format!("{kind}; filename=\"{ascii}\"");
    if ascii != name {
        value.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                value.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(value, "%{byte:02X}");
            }
        }
    }
    value
}

/// Nothing that ends a quoted string, names a folder, or turns the reading direction round.
fn clean(stem: &str) -> String {
    let mut name = String::with_capacity(stem.len());
    for c in stem.chars() {
        let bad = c.is_control()
            || "\"\\/:*?<>|;%".contains(c)
            || ('\u{2028}'..='\u{202E}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c);
        if name.len() + c.len_utf8() > MAX_NAME {
            break;
        }
        name.push(if bad { '_' } else { c });
    }
    if name.is_empty() { "image".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_fits_what_is_sent() {
        let inline = |name| header(Show::Inline, name, Format::Avif);
        assert_eq!(inline("cat.jpg"), "inline; filename=\"cat.avif\"");
        assert_eq!(inline("cat"), "inline; filename=\"cat.avif\"");
        assert_eq!(inline(".jpg"), "inline; filename=\".jpg.avif\"");
        assert_eq!(
            inline("Kätzchen.jpeg"),
            "inline; filename=\"K_tzchen.avif\"; filename*=UTF-8''K%C3%A4tzchen.avif"
        );
        let save = header(Show::DownloadAs("my cat.png"), "x.jpg", Format::Webp);
        assert_eq!(save, "attachment; filename=\"my cat.webp\"");
    }

    #[test]
    fn no_name_can_leave_the_header() {
        for name in
            ["a\"; x=\"b", "a\r\nSet-Cookie: x", "a\u{0}b", "..\\..\\b", "a;b", "\u{202E}gpj"]
        {
            let value = header(Show::Download, name, Format::Png);
            assert!(value.is_ascii() && !value.contains(['\r', '\n', '\\', '\0']), "{value}");
            assert_eq!(value.matches('"').count(), 2, "{value}");
        }
    }
}

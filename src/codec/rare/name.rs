//! Names what the bytes are when they are nothing we read, so that a refusal is of use to the
//! person who uploaded them. Looks at the first KiB only and decides nothing else.

use super::super::DecodeError;
use crate::model::format::{Format, SourceFormat};

/// How far texts are looked into.
const LOOK_BYTES: usize = 1024;

/// Picture formats that are not enabled, by their first bytes.
const PICTURES: &[(&[u8], &str)] = &[
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xFF\x0A", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xFF\x4F\xFF\x51", "JPEG 2000"),
    (b"8BPS", "Photoshop (PSD)"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
    (b"II\xBC\x01", "JPEG XR"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"qoif", "QOI"),
    (b"DDS ", "DirectDraw surface"),
    (b"farbfeld", "farbfeld"),
    (b"gimp xcf", "GIMP (XCF)"),
    (b"icns", "Apple icon"),
    (b"\xD7\xCD\xC6\x9A", "Windows metafile"),
    (b"BPG\xFB", "BPG"),
    (b"FLIF", "FLIF"),
    (b"SIMPLE  =", "FITS"),
];

/// What is no picture at all.
const OTHERS: &[(&[u8], &str)] = &[
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1F\x8B", "gzip data"),
    (b"RIFF", "a RIFF file that is not WebP"),
    (b"OggS", "an Ogg file"),
    (b"ID3", "an MP3 file"),
    (b"\x1A\x45\xDF\xA3", "a Matroska or WebM video"),
    (b"\x7FELF", "a program"),
    (b"MZ", "a program"),
    (b"%!PS", "PostScript"),
    (b"wOF", "a font"),
    (b"OTTO", "a font"),
];

/// The refusal for bytes of no format we read.
pub(super) fn refuse(bytes: &[u8]) -> DecodeError {
    let broken = |format: Format, reason: &str| DecodeError::Broken {
        format: SourceFormat::Web(format),
        reason: reason.to_owned(),
    };
    if bytes.starts_with(&[0xFF, 0xD8]) {
        return broken(Format::Jpeg, "no marker follows the start of image");
    }
    // The signature was made so that a transfer as text shows: line ends or bit 7 suffer.
    if bytes.starts_with(b"\x89PNG") || bytes.starts_with(b"\tPNG") {
        return broken(Format::Png, "the signature was damaged, as by a transfer in text mode");
    }
    if let Some((_, name)) = PICTURES.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return DecodeError::Unsupported((*name).to_owned());
    }
    if let [b'P', b'1'..=b'7', white, ..] = bytes
        && white.is_ascii_whitespace()
    {
        return DecodeError::Unsupported("Netpbm".to_owned());
    }
    if let Some((_, name)) = OTHERS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return DecodeError::NotAnImage((*name).to_owned());
    }
    refuse_text(bytes)
}

fn refuse_text(bytes: &[u8]) -> DecodeError {
    let start = bytes.get(..LOOK_BYTES).unwrap_or(bytes);
    let text = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(start).trim_ascii_start();
    let text = text.to_ascii_lowercase();
    let has = |word: &[u8]| text.windows(word.len()).any(|window| window == word);
    if text.starts_with(b"<") {
        if has(b"<html") || has(b"<!doctype html") {
            return DecodeError::NotAnImage("an HTML page".to_owned());
        }
        if has(b"<svg") {
            return DecodeError::Unsupported("SVG".to_owned());
        }
        return DecodeError::NotAnImage("an XML document".to_owned());
    }
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    if text.iter().all(is_text) {
        return DecodeError::NotAnImage("plain text".to_owned());
    }
    let first: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    DecodeError::NotAnImage(format!("it starts with {}", first.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pictures_we_lack_are_unsupported_by_name() {
        for (bytes, name) in [
            (&b"\xFF\x0A\x00"[..], "JPEG XL"),
            (b"8BPS\0\x01", "Photoshop (PSD)"),
            (b"II+\0\x08", "BigTIFF"),
            (b"P6\n3 2\n255\n", "Netpbm"),
            (b"\xEF\xBB\xBF <?xml version='1.0'?><SVG/>", "SVG"),
        ] {
            assert_eq!(refuse(bytes), DecodeError::Unsupported(name.to_owned()));
        }
    }

    #[test]
    fn everything_else_is_no_image() {
        for (bytes, name) in [
            (&b"%PDF-1.7"[..], "a PDF document"),
            (b"<!DOCTYPE html><svg>", "an HTML page"),
            (b"<feed/>", "an XML document"),
            (b"hello", "plain text"),
            (b"\x01\x02\x03\x04\x05", "it starts with 01 02 03 04"),
        ] {
            assert_eq!(refuse(bytes), DecodeError::NotAnImage(name.to_owned()));
        }
    }

    #[test]
    fn a_stump_of_a_known_format_is_broken() {
        assert!(matches!(refuse(b"\xFF\xD8"), DecodeError::Broken { .. }));
        assert!(matches!(refuse(b"\x89PNG\n\x1a\n"), DecodeError::Broken { .. }));
    }

    proptest! {
        #[test]
        fn any_bytes_get_a_refusal(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(!refuse(&bytes).to_string().is_empty());
        }
    }
}

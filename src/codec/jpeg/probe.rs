//! The marker walk: frame header, EXIF orientation, ICC chunks and Adobe's marker, read from the
//! start of the file up to the first scan. Never touches entropy-coded data, and costs one look
//! at each segment header however many there are.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use super::super::{DecodeError, exif, icc};
use super::broken;
use crate::model::format::{Format, SourceFormat};
use crate::model::geometry::{Orientation, Size};
use crate::model::pixels::Layout;
use crate::model::planes::Subsampling;
use crate::model::source::Header;

/// Profiles above this are passed over: real ones have a few KiB, printers' up to 1 MiB.
const MAX_ICC_BYTES: usize = 1 << 20;

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const APP0: u8 = 0xE0;
const APP1: u8 = 0xE1;
const APP2: u8 = 0xE2;
const APP14: u8 = 0xEE;

/// What the markers in front of the first scan say. Borrows the file.
pub(super) struct Markers<'a> {
    frame: Option<Frame>,
    exif: Option<&'a [u8]>,
    icc: Vec<IccChunk<'a>>,
    /// Whether Adobe's APP14 is there: its CMYK is stored inverted.
    pub(super) adobe: bool,
    /// Whether an Adobe marker says that the samples are no YCbCr.
    adobe_untransformed: bool,
    /// Whether JFIF's APP0 is there, which says that they are.
    jfif: bool,
    /// The bytes from the first scan's marker on; empty when there is no scan.
    pub(super) scans: &'a [u8],
    components_in_first_scan: Option<u8>,
}

#[derive(Clone, Copy)]
struct Frame {
    kind: u8,
    precision: u8,
    size: Size,
    components: u8,
    /// Identifier and sampling factors of the first three components, where there are three.
    three: Option<[(u8, u8); 3]>,
}

struct IccChunk<'a> {
    number: u8,
    of: u8,
    data: &'a [u8],
}

impl<'a> Markers<'a> {
    /// Walks the segments of a file that starts with SOI.
    ///
    /// # Errors
    /// `Broken` for a segment that contradicts itself before the frame header was found. A file
    /// that merely ends early gives what was read: decoding will find the truncation.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut markers = Self {
            frame: None,
            exif: None,
            icc: Vec::new(),
            adobe: false,
            adobe_untransformed: false,
            jfif: false,
            scans: &[],
            components_in_first_scan: None,
        };
        let mut rest = bytes.get(2..).unwrap_or_default();
        loop {
            let from_marker = next_marker(rest);
            let [0xFF, code, after @ ..] = from_marker else { return Ok(markers) };
            match *code {
                // Parameterless: TEM, and restart markers that strayed out of a scan.
                0x01 | 0xD0..=0xD7 => rest = after,
                SOI => return Err(broken("a second start of image before the first scan")),
                EOI => return Ok(markers),
                code => {
                    let Some((segment, next)) = split_segment(after)? else { return Ok(markers) };
                    if code == SOS {
                        markers.scans = from_marker;
                        markers.components_in_first_scan = segment.first().copied();
                        return Ok(markers);
                    }
                    markers.take(code, segment)?;
                    rest = next;
                }
            }
        }
    }

    fn take(&mut self, code: u8, segment: &'a [u8]) -> Result<(), DecodeError> {
        match code {
            // All start-of-frame codes; DHT, JPG and DAC share their range.
            0xC0..=0xCF if !matches!(code, 0xC4 | 0xC8 | 0xCC) => {
                if self.frame.is_some() {
                    return Err(broken("two frame headers before the first scan"));
                }
                self.frame = Some(Frame::read(code, segment)?);
            }
            // What the library takes for JFIF.
            APP0 if segment.starts_with(b"JFIF\0") && segment.len() >= 14 => self.jfif = true,
            APP1 if self.exif.is_none() => self.exif = segment.strip_prefix(b"Exif\0\0"),
            APP2 => {
                if let Some([number, of, data @ ..]) = segment.strip_prefix(b"ICC_PROFILE\0")
                    && self.icc.len() < 255
                {
                    self.icc.push(IccChunk { number: *number, of: *of, data });
                }
            }
            APP14 if segment.starts_with(b"Adobe") && segment.len() >= 12 => {
                self.adobe = true;
                self.adobe_untransformed |= segment.get(11) != Some(&1);
            }
            _ => {}
        }
        Ok(())
    }

    /// The embedded profile, put together; `None` unless every chunk is there exactly once and
    /// the whole stays within 1 MiB. Allocates the profile.
    pub(super) fn icc(&self) -> Option<Vec<u8>> {
        let of = self.icc.first()?.of;
        let total: usize = self.icc.iter().map(|chunk| chunk.data.len()).sum();
        if self.icc.len() != usize::from(of) || total > MAX_ICC_BYTES {
            return None;
        }
        let mut profile = Vec::with_capacity(total);
        for number in 1..=of {
            let mut named = self.icc.iter().filter(|c| c.number == number && c.of == of);
            profile.extend_from_slice(named.next()?.data);
            if named.next().is_some() {
                return None;
            }
        }
        Some(profile)
    }

    /// The planes the library can hand out, where they are 8-bit YCbCr beyond doubt, subsampled in
    /// one of the usual ways, and no profile would change them. What is in doubt becomes pixels.
    fn planes(&self) -> Option<Subsampling> {
        let frame = self.frame?;
        let [(y, luma), (cb, first), (cr, second)] = frame.three?;
        let ycbcr =
            !self.adobe_untransformed && (self.jfif || self.adobe || (y, cb, cr) == (1, 2, 3));
        let subsampling = match (luma, first, second) {
            (0x22, 0x11, 0x11) => Subsampling::Quarter,
            (0x21, 0x11, 0x11) => Subsampling::Half,
            (0x11, 0x11, 0x11) => Subsampling::Full,
            _ => return None,
        };
        let plain = || self.icc().is_none_or(|profile| !icc::changes(&profile, Layout::Rgb));
        (frame.precision == 8 && ycbcr && plain()).then_some(subsampling)
    }

    /// Whether an end-of-image marker follows the first scan. Looked for from the back, where a
    /// whole file has it within a few bytes; what comes after it (padding, a second picture) is
    /// of no interest.
    pub(super) fn ended(&self) -> bool {
        let mut rest = self.scans;
        while let Some(at) = rest.iter().rposition(|&byte| byte == EOI) {
            rest = rest.get(..at).unwrap_or_default();
            if rest.last() == Some(&0xFF) {
                return true;
            }
        }
        false
    }
}

impl Frame {
    fn read(kind: u8, segment: &[u8]) -> Result<Self, DecodeError> {
        let [precision, h1, h0, w1, w0, components, ..] = *segment else {
            return Err(broken(format!("a frame header of {} bytes", segment.len())));
        };
        let width = u32::from(u16::from_be_bytes([w1, w0]));
        let height = u32::from(u16::from_be_bytes([h1, h0]));
        if width == 0 || height == 0 {
            return Err(broken(format!("the frame header says {width}x{height}")));
        }
        let three = match segment.get(6..) {
            Some(&[a, a_sampling, _, b, b_sampling, _, c, c_sampling, _]) if components == 3 => {
                Some([(a, a_sampling), (b, b_sampling), (c, c_sampling)])
            }
            _ => None,
        };
        Ok(Self { kind, precision, size: Size::new(width, height), components, three })
    }

    /// Refuses the processes libjpeg-turbo lacks, and lossless ones: they cannot be scaled and
    /// no browser shows them.
    fn check_supported(self) -> Result<(), DecodeError> {
        let process = match self.kind {
            0xC0..=0xC2 | 0xC9 | 0xCA => None,
            0xC3 | 0xCB => Some("lossless JPEG"),
            0xC5..=0xC7 | 0xCD..=0xCF => Some("hierarchical JPEG"),
            _ => Some("this JPEG process"),
        };
        if let Some(process) = process {
            return Err(DecodeError::Unsupported(process.to_owned()));
        }
        if !matches!(self.precision, 8 | 12) {
            return Err(DecodeError::Unsupported(format!("{}-bit JPEG", self.precision)));
        }
        if !matches!(self.components, 1 | 3 | 4) {
            return Err(DecodeError::Unsupported(format!(
                "a JPEG of {} components",
                self.components
            )));
        }
        Ok(())
    }
}

/// Reads the header of a JPEG: everything in front of the first scan. `progressive` is also true
/// of a sequential file with one scan per component, which costs the decoder the same memory.
///
/// # Errors
/// `Broken` where no frame header is found or it contradicts itself; `Unsupported` for lossless
/// and hierarchical processes, odd precisions and odd numbers of components.
pub(in crate::codec) fn probe(bytes: &[u8]) -> Result<Header, DecodeError> {
    let markers = Markers::read(bytes)?;
    let frame = markers.frame.ok_or_else(|| broken("no frame header"))?;
    frame.check_supported()?;
    let several_scans =
        markers.components_in_first_scan.is_some_and(|count| count < frame.components);
    let progressive = matches!(frame.kind, 0xC2 | 0xCA) || several_scans;
    Ok(Header {
        format: SourceFormat::Web(Format::Jpeg),
        size: frame.size,
        orientation: markers.exif.and_then(exif::orientation).unwrap_or(Orientation::Upright),
        alpha: false,
        gray: frame.components == 1,
        frames: 1,
        progressive,
        whole: progressive,
        depth: frame.precision,
        planes: markers.planes(),
    })
}

/// From the next marker on: bytes that belong to nothing are passed over, as is fill; empty
/// where no marker follows.
fn next_marker(mut bytes: &[u8]) -> &[u8] {
    while let Some(at) = bytes.iter().position(|&byte| byte == 0xFF) {
        bytes = bytes.get(at..).unwrap_or_default();
        match bytes {
            [0xFF, 0x00, after @ ..] => bytes = after,
            [0xFF, 0xFF, ..] => bytes = bytes.get(1..).unwrap_or_default(),
            _ => return bytes,
        }
    }
    &[]
}

/// A segment's payload, and the bytes behind the segment.
type Split<'a> = (&'a [u8], &'a [u8]);

/// The payload of a segment whose marker is already behind, and what follows it; `None` where
/// the file ends inside.
fn split_segment(after: &[u8]) -> Result<Option<Split<'_>>, DecodeError> {
    let [l1, l0, ..] = *after else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([l1, l0]));
    if length < 2 {
        return Err(broken(format!("a segment of length {length}")));
    }
    Ok(after
        .split_at_checked(length)
        .map(|(segment, next)| (segment.get(2..).unwrap_or_default(), next)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segment(code: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0xFF, code];
        out.extend(u16::try_from(payload.len() + 2).unwrap().to_be_bytes());
        out.extend(payload);
        out
    }

    fn sof(kind: u8, width: u16, height: u16, components: u8) -> Vec<u8> {
        let mut payload = vec![8];
        payload.extend(height.to_be_bytes());
        payload.extend(width.to_be_bytes());
        payload.push(components);
        payload.extend(std::iter::repeat_n([1, 0x11, 0], components.into()).flatten());
        segment(kind, &payload)
    }

    fn file(segments: &[Vec<u8>]) -> Vec<u8> {
        let mut out = vec![0xFF, SOI];
        out.extend(segments.iter().flatten());
        out
    }

    #[test]
    fn the_size_is_found_behind_fill_bytes_and_garbage() {
        let bytes = file(&[
            vec![0xFF; 9],
            segment(0xE0, b"JFIF\0"),
            vec![7, 0xFF, 0, 9],
            sof(0xC0, 640, 480, 3),
        ]);
        let header = probe(&bytes).unwrap();
        assert_eq!(header.size, Size::new(640, 480));
        assert!(!header.gray && !header.progressive);
    }

    #[test]
    fn lossless_hierarchical_and_odd_frames_are_unsupported() {
        for kind in [0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF] {
            let result = probe(&file(&[sof(kind, 8, 8, 3)]));
            assert!(matches!(result, Err(DecodeError::Unsupported(_))), "{kind:x}: {result:?}");
        }
        assert!(matches!(probe(&file(&[sof(0xC0, 8, 8, 2)])), Err(DecodeError::Unsupported(_))));
        assert!(matches!(probe(&file(&[sof(0xC0, 0, 8, 3)])), Err(DecodeError::Broken { .. })));
        assert!(matches!(probe(&file(&[])), Err(DecodeError::Broken { .. })));
    }

    #[test]
    fn one_scan_per_component_counts_as_progressive() {
        let sos = |components: u8| segment(SOS, &[components, 1, 0, 0, 63, 0]);
        assert!(probe(&file(&[sof(0xC0, 8, 8, 3), sos(1)])).unwrap().progressive);
        assert!(!probe(&file(&[sof(0xC0, 8, 8, 3), sos(3)])).unwrap().progressive);
        assert!(probe(&file(&[sof(0xC2, 8, 8, 3), sos(3)])).unwrap().progressive);
    }

    #[test]
    fn a_profile_in_chunks_is_whole_or_absent() {
        let chunk = |n: u8, of: u8, data: &[u8]| {
            segment(APP2, &[b"ICC_PROFILE\0", &[n, of][..], data].concat())
        };
        let icc = |segments: &[Vec<u8>]| Markers::read(&file(segments)).unwrap().icc();
        assert_eq!(icc(&[chunk(2, 2, b"cd"), chunk(1, 2, b"ab")]).unwrap(), b"abcd");
        assert_eq!(icc(&[chunk(1, 2, b"ab")]), None);
        assert_eq!(icc(&[chunk(1, 2, b"ab"), chunk(1, 2, b"cd")]), None);
        assert_eq!(icc(&[chunk(0, 1, b"ab")]), None);
        assert_eq!(icc(&[chunk(1, 1, b"ab"), chunk(2, 2, b"cd")]), None);
        let many: Vec<_> = (1..=17).map(|n| chunk(n, 17, &vec![0; 65_000])).collect();
        assert_eq!(icc(&many), None);
    }

    #[test]
    fn planes_are_found_where_they_are_ycbcr_beyond_doubt() {
        let frame = |precision: u8, components: [(u8, u8); 3]| {
            let components = components.map(|(id, sampling)| [id, sampling, 0]).concat();
            segment(0xC0, &[&[precision, 0, 8, 0, 8, 3], &components[..]].concat())
        };
        let usual = |luma| frame(8, [(1, luma), (2, 0x11), (3, 0x11)]);
        let jfif = segment(APP0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
        let adobe =
            |transform: u8| segment(APP14, &[&b"Adobe\0\x64\0\0\0\0"[..], &[transform]].concat());
        let planes = |segments: &[Vec<u8>]| probe(&file(segments)).unwrap().planes;
        for (luma, expected) in [
            (0x22, Some(Subsampling::Quarter)),
            (0x21, Some(Subsampling::Half)),
            (0x11, Some(Subsampling::Full)),
            (0x12, None),
            (0x41, None),
        ] {
            assert_eq!(planes(&[jfif.clone(), usual(luma)]), expected, "{luma:x}");
            assert_eq!(planes(&[usual(luma)]), expected, "{luma:x}");
            assert_eq!(planes(&[adobe(1), usual(luma)]), expected, "{luma:x}");
            assert_eq!(planes(&[adobe(0), usual(luma)]), None, "{luma:x}");
        }
        let rgb = frame(8, [(b'R', 0x11), (b'G', 0x11), (b'B', 0x11)]);
        assert_eq!(planes(std::slice::from_ref(&rgb)), None);
        assert_eq!(planes(&[adobe(0), jfif.clone(), usual(0x22)]), None);
        assert_eq!(planes(&[jfif.clone(), frame(12, [(1, 0x22), (2, 0x11), (3, 0x11)])]), None);
        assert_eq!(planes(&[jfif, frame(8, [(1, 0x22), (2, 0x12), (3, 0x11)])]), None);
    }

    #[test]
    fn the_end_of_image_counts_only_behind_the_first_scan() {
        let thumbnail = segment(APP1, &[0xFF, EOI]);
        let scan = segment(SOS, &[1, 1, 0, 0, 63, 0]);
        let head = [thumbnail, sof(0xC0, 8, 8, 1), scan, vec![1, 2, 3]];
        let cut = file(&head);
        assert!(!Markers::read(&cut).unwrap().ended());
        let mut whole = cut;
        whole.extend([0xFF, EOI, 0xD9, 0, 0]);
        assert!(Markers::read(&whole).unwrap().ended());
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_a_panic(tail in prop::collection::vec(
            prop_oneof![3 => Just(0xFF_u8), 1 => 0xC0..=0xEF_u8, 2 => any::<u8>(), 2 => 0..4_u8],
            0..600,
        )) {
            let mut bytes = vec![0xFF, SOI, 0xFF];
            bytes.extend(tail);
            if let Ok(markers) = Markers::read(&bytes) {
                let _ = (markers.icc(), markers.ended());
            }
            if let Ok(header) = probe(&bytes) {
                prop_assert!(header.size.pixels() > 0);
            }
        }
    }
}

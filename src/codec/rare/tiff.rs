//! TIFF: our probe of the first directory; plain pages in pieces (`strips`), the rest through the
//! `image` crate's decoder. Only the first page is ever looked at, and BigTIFF is refused by its
//! magic bytes.

use super::super::DecodeError;
use super::super::exif::{self, ByteOrder};
use super::super::icc::MAX_PROFILE_BYTES;
use super::super::shrink;
use super::{crate_decode, strips};
use crate::model::format::SourceFormat;
use crate::model::geometry::{Orientation, Size};
use crate::model::pixels::{Layout, Pixels};
use crate::model::source::{Header, Scale};
use image::ImageDecoder as _;
use image::codecs::tiff::TiffDecoder;
use std::io::{self, BufRead, Cursor, Read, Seek, SeekFrom};

const IMAGE_WIDTH: u16 = 256;
const IMAGE_LENGTH: u16 = 257;
const BITS_PER_SAMPLE: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const SAMPLES_PER_PIXEL: u16 = 277;
const ROWS_PER_STRIP: u16 = 278;
const PLANAR_CONFIGURATION: u16 = 284;
const TILE_LENGTH: u16 = 323;
const EXTRA_SAMPLES: u16 = 338;

/// The unsigned values of the first directory that matter here; 0 where a tag is absent.
#[derive(Default)]
pub(super) struct Directory {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) bits: u32,
    compression: u32,
    pub(super) photometric: u32,
    pub(super) samples: u32,
    /// 2: each channel in pieces of its own.
    pub(super) planar: u32,
    /// All rows where it is not said.
    pub(super) rows_per_strip: u32,
    /// 0: in strips.
    pub(super) tile_height: u32,
    /// 1: alpha the colours are multiplied by; 2: straight alpha; `None`: no alpha announced.
    pub(super) extra_samples: Option<u32>,
}

impl Directory {
    /// One pass over the entries; `None` where the header or the directory is cut off.
    fn read(bytes: &[u8]) -> Option<Self> {
        let order = ByteOrder::read(bytes)?;
        let at = usize::try_from(order.u32(bytes, 4)?).ok()?;
        let count = usize::from(order.u16(bytes, at)?);
        let mut directory =
            Self { bits: 1, samples: 1, rows_per_strip: u32::MAX, ..Self::default() };
        for entry in bytes.get(at.checked_add(2)?..)?.chunks_exact(12).take(count) {
            let Some(value) = first_value(order, bytes, entry) else { continue };
            match order.u16(entry, 0)? {
                IMAGE_WIDTH => directory.width = value,
                IMAGE_LENGTH => directory.height = value,
                BITS_PER_SAMPLE => directory.bits = value,
                COMPRESSION => directory.compression = value,
                PHOTOMETRIC => directory.photometric = value,
                SAMPLES_PER_PIXEL => directory.samples = value,
                ROWS_PER_STRIP => directory.rows_per_strip = value,
                PLANAR_CONFIGURATION => directory.planar = value,
                TILE_LENGTH => directory.tile_height = value,
                EXTRA_SAMPLES => directory.extra_samples = Some(value),
                _ => {}
            }
        }
        Some(directory)
    }
}

/// The first value of an entry of type BYTE, SHORT or LONG, wherever it is kept.
fn first_value(order: ByteOrder, bytes: &[u8], entry: &[u8]) -> Option<u32> {
    let count = order.u32(entry, 4)?;
    let size: u32 = match order.u16(entry, 2)? {
        1 => 1,
        3 => 2,
        4 => 4,
        _ => return None,
    };
    let inline = count.checked_mul(size).is_some_and(|length| length <= 4);
    let (from, at) =
        if inline { (entry, 8) } else { (bytes, usize::try_from(order.u32(entry, 8)?).ok()?) };
    match size {
        1 => from.get(at).copied().map(u32::from),
        2 => order.u16(from, at).map(u32::from),
        _ => order.u32(from, at),
    }
}

/// Reads the header of the first page.
///
/// # Errors
/// `Broken` where the first directory has no size.
pub(super) fn probe(bytes: &[u8]) -> Result<Header, DecodeError> {
    let directory =
        Directory::read(bytes).ok_or_else(|| broken("no image directory".to_owned()))?;
    let size = Size::new(directory.width, directory.height);
    if size.pixels() == 0 {
        return Err(broken(format!("the first directory says {size}")));
    }
    // The crate decodes an embedded JPEG at that one's own size, which nothing here has seen.
    if matches!(directory.compression, 6 | 7) {
        return Err(DecodeError::Unsupported("TIFF with JPEG inside".to_owned()));
    }
    // Photometric 0 and 1 are grey, 2 is RGB, 5 is CMYK.
    let gray = matches!(directory.photometric, 0 | 1);
    let colors = match directory.photometric {
        2 => 3,
        5 => 4,
        _ => 1,
    };
    Ok(Header {
        format: SourceFormat::Tiff,
        size,
        // The file is laid out as an EXIF block is.
        orientation: exif::orientation(bytes).unwrap_or(Orientation::Upright),
        alpha: directory.samples > colors
            && (directory.extra_samples.is_some() || gray || colors == 3),
        gray,
        frames: 1,
        progressive: false,
        whole: !strips::can_read(&directory),
        depth: u8::try_from(directory.bits.clamp(1, 32)).unwrap_or(8),
        planes: None,
    })
}

/// Decodes the first page; kinds the crate does not read are `Unsupported`.
pub(super) fn decode(bytes: &[u8], header: &Header, scale: Scale) -> Result<Pixels, DecodeError> {
    let premultiplied = Directory::read(bytes).is_some_and(|d| d.extra_samples == Some(1));
    if !header.whole {
        return strips::decode(bytes, header, premultiplied, scale);
    }
    let decoder = TiffDecoder::new(Metered::new(bytes, header.size))
        .map_err(|error| crate_decode::explain(SourceFormat::Tiff, &error))?;
    let mut pixels = crate_decode::decode(decoder, header, bytes.len())?;
    if premultiplied && pixels.layout() == Layout::Rgba {
        straighten(pixels.data_mut());
    }
    shrink::whole(pixels, scale).map_err(broken)
}

/// The embedded profile.
pub(in crate::codec) fn profile(bytes: &[u8], header: &Header) -> Option<Vec<u8>> {
    let mut decoder = TiffDecoder::new(Metered::new(bytes, header.size)).ok()?;
    decoder.icc_profile().ok()?.filter(|profile| profile.len() <= MAX_PROFILE_BYTES)
}

/// A file that may be read only so often: strips may overlap, and each of 65,535 rows could
/// otherwise walk all of it again.
pub(super) struct Metered<'a> {
    inner: Cursor<&'a [u8]>,
    left: u64,
}

impl<'a> Metered<'a> {
    /// Four times the file, and 64 bytes a pixel for the read-ahead of every small strip.
    pub(super) fn new(bytes: &'a [u8], size: Size) -> Self {
        let file = (bytes.len() as u64).saturating_mul(4);
        let left = size.pixels().saturating_mul(64).saturating_add(file).saturating_add(1 << 20);
        Self { inner: Cursor::new(bytes), left }
    }

    fn spend(&mut self, bytes: usize) -> io::Result<()> {
        let left = self.left.checked_sub(bytes as u64);
        self.left = left.ok_or_else(|| io::Error::other("the strips overlap too often"))?;
        Ok(())
    }
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.spend(read)?;
        Ok(read)
    }
}

impl BufRead for Metered<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.spend(usize::from(self.left == 0))?;
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        // What is overdrawn here is refused by the next read.
        self.left = self.left.saturating_sub(amount as u64);
        self.inner.consume(amount);
    }
}

impl Seek for Metered<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.inner.seek(position)
    }
}

/// Divides the colours by their alpha, rounded.
pub(super) fn straighten(rgba: &mut [u8]) {
    for [color @ .., alpha] in rgba.as_chunks_mut::<4>().0 {
        let alpha = u32::from(*alpha);
        if (1..255).contains(&alpha) {
            for sample in color {
                let straight = (u32::from(*sample) * 255 + alpha / 2) / alpha;
                *sample = u8::try_from(straight).unwrap_or(u8::MAX);
            }
        }
    }
}

pub(super) fn broken(reason: String) -> DecodeError {
    DecodeError::Broken { format: SourceFormat::Tiff, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A little-endian file of one strip; every value is a LONG but the orientation.
    fn file(size: (u32, u32), samples: u32, more: &[(u16, u16, u32)], data: &[u8]) -> Vec<u8> {
        let photometric = if samples < 3 { 1 } else { 2 };
        let mut entries = vec![
            (IMAGE_WIDTH, 4, size.0),
            (IMAGE_LENGTH, 4, size.1),
            (BITS_PER_SAMPLE, 3, 8),
            (259, 3, 1),
            (PHOTOMETRIC, 3, photometric),
            (273, 4, 0),
            (SAMPLES_PER_PIXEL, 3, samples),
            (278, 4, size.1),
            (279, 4, u32::try_from(data.len()).unwrap()),
        ];
        entries.extend(more);
        entries.sort_unstable();
        let data_at = u32::try_from(8 + 2 + 12 * entries.len() + 4).unwrap();
        let mut out = b"II*\0".to_vec();
        out.extend(8_u32.to_le_bytes());
        out.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
        for (tag, kind, value) in entries {
            out.extend(tag.to_le_bytes());
            out.extend(u16::to_le_bytes(kind));
            out.extend(1_u32.to_le_bytes());
            out.extend(if tag == 273 { data_at } else { value }.to_le_bytes());
        }
        out.extend([0; 4]);
        out.extend(data);
        out
    }

    /// A grey PackBits TIFF of one column whose rows are all the same strip of `strip` bytes.
    fn overlapping(rows: u32, strip: &[u8]) -> Vec<u8> {
        let mut file = b"II*\0\x08\0\0\0".to_vec();
        let (entries, lists) = (9_u16, 8 + 2 + 9 * 12 + 4);
        let data = lists + rows * 8;
        file.extend(entries.to_le_bytes());
        let length = u32::try_from(strip.len()).unwrap();
        for (tag, kind, count, value) in [
            (256_u16, 4_u16, 1_u32, 1_u32),
            (257, 4, 1, rows),
            (258, 3, 1, 8),
            (259, 3, 1, 32_773),
            (262, 3, 1, 1),
            (273, 4, rows, lists),
            (277, 3, 1, 1),
            (278, 4, 1, 1),
            (279, 4, rows, lists + rows * 4),
        ] {
            file.extend(tag.to_le_bytes());
            file.extend(kind.to_le_bytes());
            file.extend(count.to_le_bytes());
            file.extend(value.to_le_bytes());
        }
        file.extend([0; 4]);
        (0..rows).for_each(|_| file.extend(data.to_le_bytes()));
        (0..rows).for_each(|_| file.extend(length.to_le_bytes()));
        file.extend(strip);
        file
    }

    #[test]
    fn strips_that_overlap_without_end_are_refused_and_shared_ones_are_not() {
        // Two bytes of PackBits: one sample of value 7.
        let shared = overlapping(100, &[0, 7]);
        let header = probe(&shared).unwrap();
        assert_eq!(decode(&shared, &header, Scale::Full).unwrap().data(), [7; 100]);
        // No-ops in front: every row would walk all of them.
        let mut strip = vec![0x80; 100_000];
        strip.extend([0, 7]);
        let endless = overlapping(2_000, &strip);
        let header = probe(&endless).unwrap();
        assert!(decode(&endless, &header, Scale::Full).is_err());
    }

    #[test]
    fn a_grey_page_is_grey_and_its_orientation_is_told() {
        let bytes = file((3, 2), 1, &[(274, 3, 6)], &[1, 2, 3, 4, 5, 6]);
        let header = probe(&bytes).unwrap();
        assert_eq!((header.gray, header.orientation), (true, Orientation::Rotate90));
        assert_eq!(header.display_size(), Size::new(2, 3));
        let pixels = decode(&bytes, &header, Scale::Full).unwrap();
        assert_eq!((pixels.layout(), pixels.data()), (Layout::Gray, &[1, 2, 3, 4, 5, 6][..]));
    }

    #[test]
    fn a_page_without_a_size_or_with_missing_data_is_broken() {
        assert!(probe(&file((0, 2), 1, &[], &[])).is_err());
        assert!(probe(b"II*\0").is_err());
        let cut = file((4, 4), 1, &[], &[0; 3]);
        assert!(decode(&cut, &probe(&cut).unwrap(), Scale::Full).is_err());
    }

    #[test]
    fn multiplied_colours_are_divided_by_their_alpha_and_straight_ones_are_not() {
        let data = [10, 20, 64, 128, 7, 8, 9, 0];
        for (kind, expected) in [(1, [20, 40, 128, 128, 7, 8, 9, 0]), (2, data)] {
            let bytes = file((2, 1), 4, &[(EXTRA_SAMPLES, 3, kind)], &data);
            let header = probe(&bytes).unwrap();
            assert!(header.alpha);
            let decoded = decode(&bytes, &header, Scale::Full);
            assert_eq!(decoded.unwrap().data(), expected);
        }
    }

    proptest! {
        #[test]
        fn a_mutated_file_never_panics_the_probe(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..16),
        ) {
            let mut bytes = file((5, 4), 3, &[(EXTRA_SAMPLES, 3, 1)], &[7; 60]);
            for (at, value) in edits {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Ok(header) = super::super::probe(&bytes) && header.size.pixels() < 1_000_000 {
                let _ = super::super::decode(&bytes, &header, Scale::Full);
            }
        }
    }
}

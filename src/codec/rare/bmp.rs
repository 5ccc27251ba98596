//! Windows bitmaps: our probe of the header, the `image` crate's decoder. The size of an
//! uncompressed bitmap is held against the bytes at hand before anything is allocated.

use super::super::DecodeError;
use super::super::exif::ByteOrder;
use super::super::shrink::{self, Shrinker};
use super::crate_decode;
use crate::model::format::SourceFormat;
use crate::model::geometry::{Orientation, Size};
use crate::model::pixels::{Layout, Pixels};
use crate::model::source::{Header, Scale};
use image::codecs::bmp::BmpDecoder;
use std::io::Cursor;

const FILE_HEADER_BYTES: usize = 14;
const BI_RGB: u32 = 0;
const BI_BITFIELDS: u32 = 3;
const BI_ALPHABITFIELDS: u32 = 6;

/// What a device-independent bitmap's header says.
pub(super) struct Dib {
    pub(super) width: u32,
    /// Of the rows stored; twice the picture's in an icon.
    pub(super) height: u32,
    pub(super) bits: u16,
    header_bytes: u32,
    downwards: bool,
    compression: u32,
    alpha_mask: u32,
}

impl Dib {
    /// Reads the header at the start of `dib`; `None` where it is cut off or of no known kind.
    pub(super) fn read(dib: &[u8]) -> Option<Self> {
        let le = ByteOrder::Little;
        let header_bytes = le.u32(dib, 0)?;
        if header_bytes == 12 {
            return Some(Self {
                width: le.u16(dib, 4)?.into(),
                height: le.u16(dib, 6)?.into(),
                bits: le.u16(dib, 10)?,
                header_bytes,
                downwards: false,
                compression: BI_RGB,
                alpha_mask: 0,
            });
        }
        if !(16..=1024).contains(&header_bytes) {
            return None;
        }
        // Both are signed; a negative height means rows from top to bottom.
        let width = i32::from_ne_bytes(le.u32(dib, 4)?.to_ne_bytes());
        let height = i32::from_ne_bytes(le.u32(dib, 8)?.to_ne_bytes());
        Some(Self {
            width: u32::try_from(width).unwrap_or(0),
            height: height.unsigned_abs(),
            bits: le.u16(dib, 14)?,
            header_bytes,
            downwards: height < 0,
            compression: if header_bytes >= 20 { le.u32(dib, 16)? } else { BI_RGB },
            alpha_mask: if header_bytes >= 56 { le.u32(dib, 52)? } else { 0 },
        })
    }

    /// Blue, green and red of 8 bits each, as nearly all bitmaps are.
    const fn is_plain(&self) -> bool {
        self.bits == 24 && self.compression == BI_RGB && self.header_bytes >= 40
    }

    const fn is_packed(&self) -> bool {
        matches!(self.compression, BI_RGB | BI_BITFIELDS | BI_ALPHABITFIELDS)
    }

    /// Bytes that `rows` uncompressed rows take, each padded to four bytes.
    pub(super) fn bytes_of_rows(&self, rows: u32) -> u64 {
        let row = (u64::from(self.width) * u64::from(self.bits)).div_ceil(32) * 4;
        row.saturating_mul(rows.into())
    }
}

/// Reads the header of a bitmap file.
///
/// # Errors
/// `Broken` where there is no size, or fewer bytes than an uncompressed picture of that size
/// needs; `Unsupported` for bitmaps that wrap a JPEG or PNG.
pub(super) fn probe(bytes: &[u8]) -> Result<Header, DecodeError> {
    let dib = bytes
        .get(FILE_HEADER_BYTES..)
        .and_then(Dib::read)
        .ok_or_else(|| broken("no bitmap header".to_owned()))?;
    let size = Size::new(dib.width, dib.height);
    if size.pixels() == 0 {
        return Err(broken(format!("the header says {size}")));
    }
    if matches!(dib.compression, 4 | 5) {
        return Err(DecodeError::Unsupported("a bitmap that wraps a JPEG or PNG".to_owned()));
    }
    if !matches!(dib.bits, 1 | 2 | 4 | 8 | 16 | 24 | 32) {
        return Err(broken(format!("{} bits per pixel", dib.bits)));
    }
    // Rows are padded, but a last row without its padding does no harm.
    let needed = dib.bytes_of_rows(dib.height).saturating_sub(3);
    if dib.is_packed() && u64::try_from(bytes.len()).is_ok_and(|at_hand| at_hand < needed) {
        return Err(broken(format!("{size} needs {needed} bytes, the file has {}", bytes.len())));
    }
    Ok(Header {
        format: SourceFormat::Bmp,
        size,
        orientation: Orientation::Upright,
        alpha: dib.compression != BI_RGB && dib.is_packed() && dib.alpha_mask != 0,
        gray: false,
        frames: 1,
        progressive: false,
        whole: !dib.is_plain(),
        depth: 8,
        planes: None,
    })
}

/// Decodes a bitmap: plain ones row by row from the file itself; odd kinds are the crate's to read
/// or refuse.
pub(super) fn decode(bytes: &[u8], header: &Header, scale: Scale) -> Result<Pixels, DecodeError> {
    if !header.whole {
        return plain(bytes, header.size, scale);
    }
    let decoder = BmpDecoder::new(Cursor::new(bytes))
        .map_err(|error| crate_decode::explain(SourceFormat::Bmp, &error))?;
    let pixels = crate_decode::decode(decoder, header, bytes.len())?;
    shrink::whole(pixels, scale).map_err(broken)
}

/// Rows stand in the file as they are, padded to four bytes, and the last one perhaps not.
fn plain(bytes: &[u8], size: Size, scale: Scale) -> Result<Pixels, DecodeError> {
    let dib = bytes.get(FILE_HEADER_BYTES..).and_then(Dib::read).filter(Dib::is_plain);
    let dib = dib.ok_or_else(|| broken("another bitmap than the header says".to_owned()))?;
    let at = ByteOrder::Little.u32(bytes, 10).and_then(|at| usize::try_from(at).ok());
    let rows = at.and_then(|at| bytes.get(at..)).unwrap_or_default();
    let length = size.width as usize * 3;
    let stride = length.next_multiple_of(4);
    let mut shrinker = Shrinker::new(size, Layout::Rgb, scale).map_err(broken)?;
    for y in 0..size.height as usize {
        let y = if dib.downwards { y } else { size.height as usize - 1 - y };
        let row =
            y.checked_mul(stride).and_then(|start| rows.get(start..start.checked_add(length)?));
        let row = row.ok_or_else(|| broken("the data end before the picture does".to_owned()))?;
        shrinker.row(|out| {
            let pixels = out.as_chunks_mut::<3>().0.iter_mut();
            for (to, [blue, green, red]) in pixels.zip(row.as_chunks::<3>().0) {
                *to = [*red, *green, *blue];
            }
            Ok::<(), DecodeError>(())
        })?;
    }
    shrinker.finish().map_err(broken)
}

fn broken(reason: String) -> DecodeError {
    DecodeError::Broken { format: SourceFormat::Bmp, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(width: i32, height: i32, bits: u16, compression: u32, data: &[u8]) -> Vec<u8> {
        let mut out = b"BM".to_vec();
        out.extend([0; 8]);
        out.extend(54_u32.to_le_bytes());
        out.extend(40_u32.to_le_bytes());
        out.extend(width.to_le_bytes());
        out.extend(height.to_le_bytes());
        out.extend(1_u16.to_le_bytes());
        out.extend(bits.to_le_bytes());
        out.extend(compression.to_le_bytes());
        out.extend([0; 20]);
        out.extend(data);
        out
    }

    #[test]
    fn rows_run_upwards_and_negative_heights_downwards() {
        let data = [1, 2, 3, 0, 4, 5, 6, 0];
        let up = file(1, 2, 24, 0, &data);
        let header = probe(&up).unwrap();
        let pixels = decode(&up, &header, Scale::Full).unwrap();
        assert_eq!((pixels.layout(), pixels.data()), (Layout::Rgb, &[6, 5, 4, 3, 2, 1][..]));
        let down = file(1, -2, 24, 0, &data);
        assert_eq!(decode(&down, &header, Scale::Full).unwrap().data(), [3, 2, 1, 6, 5, 4]);
    }

    #[test]
    fn plain_rows_are_those_the_crate_reads() {
        for (width, height) in [(1, 5_i32), (2, -5), (3, 4), (8, 3)] {
            let stride = usize::try_from(width * 3_i32).unwrap().next_multiple_of(4);
            let length = stride * height.unsigned_abs() as usize;
            let data: Vec<u8> = (0..length).map(|n| u8::try_from(n * n % 251).unwrap()).collect();
            let bytes = file(width, height, 24, 0, &data);
            let header = probe(&bytes).unwrap();
            assert!(!header.whole);
            let ours = decode(&bytes, &header, Scale::Full).unwrap();
            let other = Header { whole: true, ..header };
            assert_eq!(ours, decode(&bytes, &other, Scale::Full).unwrap(), "{width} {height}");
        }
    }

    #[test]
    fn a_size_that_the_bytes_cannot_fill_is_broken() {
        assert!(matches!(
            probe(&file(9_000, 9_000, 24, 0, &[0; 64])),
            Err(DecodeError::Broken { .. })
        ));
        assert!(matches!(
            probe(&file(i32::MAX, i32::MIN, 24, 0, &[])),
            Err(DecodeError::Broken { .. })
        ));
        assert!(matches!(probe(&file(2, 2, 40, 0, &[0; 64])), Err(DecodeError::Broken { .. })));
        assert!(matches!(probe(&file(2, 2, 24, 4, &[0; 64])), Err(DecodeError::Unsupported(_))));
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_a_panic(
            fields in prop::collection::vec(any::<u8>(), 0..140),
            size in prop::sample::select(vec![12_u8, 16, 40, 52, 56, 64, 108, 124]),
        ) {
            let mut bytes = b"BM".to_vec();
            bytes.extend([0; 12]);
            bytes.extend([size, 0, 0, 0]);
            bytes.extend(fields);
            if let Ok(header) = probe(&bytes) && header.size.pixels() < 1_000_000 {
                let _ = decode(&bytes, &header, Scale::Full);
            }
        }
    }
}

//! Icons and cursors: the largest entry is read. An embedded PNG goes to our PNG decoder; a
//! bitmap goes to the `image` crate as an icon of that one entry, so that it cannot choose
//! another than the one whose size was checked.

use super::super::exif::ByteOrder;
use super::super::{DecodeError, png, shrink};
use super::bmp::Dib;
use super::crate_decode;
use crate::model::format::{Format, SourceFormat};
use crate::model::geometry::{Orientation, Size};
use crate::model::pixels::Pixels;
use crate::model::source::{Header, Scale};
use image::codecs::ico::IcoDecoder;
use std::io::Cursor;

const DIRECTORY_BYTES: usize = 6;
const ENTRY_BYTES: usize = 16;
const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The data of the largest entry: most pixels, then most bits, then the first.
fn largest(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let le = ByteOrder::Little;
    let count = usize::from(le.u16(bytes, 4).unwrap_or(0));
    let entries = bytes.get(DIRECTORY_BYTES..).unwrap_or_default();
    // 0 stands for 256.
    let side = |byte: Option<&u8>| byte.map_or(0, |side| u32::from(side.wrapping_sub(1)) + 1);
    let entry = entries
        .chunks_exact(ENTRY_BYTES)
        .take(count)
        .rev()
        .max_by_key(|entry| (side(entry.first()) * side(entry.get(1)), le.u16(entry, 6)))
        .ok_or_else(|| broken("no entries".to_owned()))?;
    let (Some(length), Some(offset)) = (le.u32(entry, 8), le.u32(entry, 12)) else {
        return Err(broken("a cut entry".to_owned()));
    };
    usize::try_from(offset)
        .ok()
        .zip(usize::try_from(length).ok())
        .and_then(|(offset, length)| bytes.get(offset..offset.checked_add(length)?))
        .ok_or_else(|| broken(format!("{length} bytes at {offset} in a file of {}", bytes.len())))
}

/// Reads the header of the largest entry, from the entry's own data.
///
/// # Errors
/// `Unsupported` where there is no entry, or its data are missing or too few for its size:
/// icons are read where they are simple, and nobody is owed more.
pub(super) fn probe(bytes: &[u8]) -> Result<Header, DecodeError> {
    probe_largest(bytes).map_err(|error| match error {
        DecodeError::Broken { reason, .. } => {
            DecodeError::Unsupported(format!("an icon such as this ({reason})"))
        }
        other => other,
    })
}

fn probe_largest(bytes: &[u8]) -> Result<Header, DecodeError> {
    let data = largest(bytes)?;
    if data.starts_with(PNG_SIGNATURE) {
        let header = png::probe(data)?;
        return Ok(Header { format: SourceFormat::Ico, frames: 1, ..header });
    }
    let dib = Dib::read(data).ok_or_else(|| broken("no bitmap header in the entry".to_owned()))?;
    let size = Size::new(dib.width, dib.height / 2);
    if size.pixels() == 0 {
        return Err(broken(format!("the entry says {size}")));
    }
    let needed = dib.bytes_of_rows(size.height);
    if u64::try_from(data.len()).is_ok_and(|at_hand| at_hand < needed) {
        return Err(broken(format!("{size} needs {needed} bytes, the entry has {}", data.len())));
    }
    Ok(Header {
        format: SourceFormat::Ico,
        size,
        orientation: Orientation::Upright,
        alpha: true,
        gray: false,
        frames: 1,
        progressive: false,
        whole: true,
        depth: 8,
        planes: None,
    })
}

/// Decodes the largest entry. Copies its data once when it is a bitmap.
pub(super) fn decode(bytes: &[u8], header: &Header, scale: Scale) -> Result<Pixels, DecodeError> {
    let data = largest(bytes)?;
    if data.starts_with(PNG_SIGNATURE) {
        let header = Header { format: SourceFormat::Web(Format::Png), ..*header };
        return png::decode(data, &header, scale);
    }
    let alone = icon_of_one(data, header.size)?;
    let decoder = IcoDecoder::new(Cursor::new(alone.as_slice()))
        .map_err(|error| crate_decode::explain(SourceFormat::Ico, &error))?;
    let pixels = crate_decode::decode(decoder, header, alone.len())?;
    shrink::whole(pixels, scale).map_err(broken)
}

/// An icon file of one bitmap entry, whose directory agrees with the bitmap: real directories
/// often do not, and in cursors two of the fields are the hot spot.
fn icon_of_one(data: &[u8], size: Size) -> Result<Vec<u8>, DecodeError> {
    let length = u32::try_from(data.len()).map_err(|_| broken("an entry over 4 GiB".to_owned()))?;
    let bits = Dib::read(data).map_or(32, |dib| dib.bits.min(32));
    let byte = |side: u32| u8::try_from(side).unwrap_or(0);
    let mut icon = Vec::new();
    icon.try_reserve_exact(data.len().saturating_add(DIRECTORY_BYTES + ENTRY_BYTES))
        .map_err(|_| broken("more bytes than memory".to_owned()))?;
    icon.extend([0, 0, 1, 0, 1, 0, byte(size.width), byte(size.height), 0, 0, 1, 0]);
    icon.extend(bits.to_le_bytes());
    icon.extend(length.to_le_bytes());
    icon.extend([22, 0, 0, 0]);
    icon.extend(data);
    Ok(icon)
}

fn broken(reason: String) -> DecodeError {
    DecodeError::Broken { format: SourceFormat::Ico, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pixels::Layout;
    use proptest::prelude::*;

    /// A 32-bit bitmap of one colour (BGRA) with an empty mask.
    fn bitmap(width: u32, height: u32, color: [u8; 4]) -> Vec<u8> {
        let mut out = 40_u32.to_le_bytes().to_vec();
        out.extend(width.to_le_bytes());
        out.extend((height * 2).to_le_bytes());
        out.extend([1, 0, 32, 0]);
        out.extend([0; 24]);
        out.extend(std::iter::repeat_n(color, (width * height) as usize).flatten());
        out.extend(vec![0; (width.div_ceil(32) * 4 * height) as usize]);
        out
    }

    fn file(kind: u8, entries: &[(u8, &[u8])]) -> Vec<u8> {
        let mut out = vec![0, 0, kind, 0, u8::try_from(entries.len()).unwrap(), 0];
        let mut offset = 6 + 16 * entries.len();
        for (side, data) in entries {
            // Planes and bits are absurd, as the hot spot of a cursor can be.
            out.extend([*side, *side, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
            out.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
            out.extend(u32::try_from(offset).unwrap().to_le_bytes());
            offset += data.len();
        }
        for (_, data) in entries {
            out.extend(*data);
        }
        out
    }

    #[test]
    fn the_largest_entry_is_read_whether_bitmap_or_png() {
        let small = bitmap(2, 2, [1, 2, 3, 255]);
        let large = bitmap(4, 3, [10, 20, 30, 128]);
        for kind in [1, 2] {
            let bytes = file(kind, &[(2, &small), (4, &large)]);
            let header = probe(&bytes).unwrap();
            assert_eq!(header.size, Size::new(4, 3));
            let pixels = decode(&bytes, &header, Scale::Full).unwrap();
            assert_eq!(pixels.data()[..4], [30, 20, 10, 128]);
        }
        let gray = Pixels::new(Size::new(300, 7), Layout::Gray, vec![9; 2100]).unwrap();
        let png = png::encode(&gray).unwrap();
        let bytes = file(1, &[(0, &png), (4, &large)]);
        let header = probe(&bytes).unwrap();
        assert_eq!((header.format, header.size), (SourceFormat::Ico, Size::new(300, 7)));
        assert_eq!(decode(&bytes, &header, Scale::Full).unwrap(), gray);
    }

    #[test]
    fn lying_entries_are_not_supported() {
        let mut bytes = file(1, &[(4, &bitmap(4, 4, [0; 4]))]);
        bytes.truncate(60);
        assert!(matches!(probe(&bytes), Err(DecodeError::Unsupported(_))));
        assert!(probe(&[0, 0, 1, 0, 0xFF, 0xFF, 1, 2]).is_err());
        let short = file(1, &[(0, &bitmap(1, 1, [0; 4])[..4])]);
        assert!(probe(&short).is_err());
        let mut lying = bitmap(4, 4, [0; 4]);
        lying[4..8].copy_from_slice(&0x00FF_FFFF_u32.to_le_bytes());
        assert!(probe(&file(1, &[(4, &lying)])).is_err());
    }

    proptest! {
        #[test]
        fn a_mutated_icon_never_panics(
            edits in prop::collection::vec((0..70_usize, any::<u8>()), 1..12),
        ) {
            let mut bytes = file(1, &[(4, &bitmap(4, 4, [1; 4]))]);
            for (at, value) in edits {
                bytes[at] = value;
            }
            if let Ok(header) = probe(&bytes) && header.size.pixels() < 1_000_000 {
                let _ = decode(&bytes, &header, Scale::Full);
            }
        }
    }
}

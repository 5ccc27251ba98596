//! The chunk walk: IHDR, and which of tRNS, acTL, fcTL and eXIf follow. Skips chunk by chunk by
//! length, reads no compressed data and checks no CRC: the decoder does.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use super::super::{DecodeError, exif};
use super::broken;
use crate::model::format::{Format, SourceFormat};
use crate::model::geometry::{Orientation, Size};
use crate::model::source::Header;

const SIGNATURE_BYTES: usize = 8;
/// IHDR's limit for either side (PNG 3, 11.2.1).
const MAX_SIDE: u32 = i32::MAX.unsigned_abs();

/// Reads the header of a PNG. `frames` is what `acTL` says, but not more than there are `fcTL`.
///
/// # Errors
/// `Broken` where IHDR is missing, cut off, or says something impossible.
pub(in crate::codec) fn probe(bytes: &[u8]) -> Result<Header, DecodeError> {
    let mut chunks = Chunks(bytes.get(SIGNATURE_BYTES..).unwrap_or_default());
    let Some((b"IHDR", &[w3, w2, w1, w0, h3, h2, h1, h0, depth, color, _, _, interlace])) =
        chunks.next()
    else {
        return Err(broken("no header chunk"));
    };
    let size =
        Size::new(u32::from_be_bytes([w3, w2, w1, w0]), u32::from_be_bytes([h3, h2, h1, h0]));
    if ![size.width, size.height].iter().all(|side| (1..=MAX_SIDE).contains(side)) {
        return Err(broken(format!("the header says {size}")));
    }
    let possible: &[u8] = match color {
        0 => &[1, 2, 4, 8, 16],
        2 | 4 | 6 => &[8, 16],
        3 => &[1, 2, 4, 8],
        _ => &[],
    };
    if !possible.contains(&depth) {
        return Err(broken(format!("colour type {color} with {depth} bits")));
    }
    let mut header = Header {
        format: SourceFormat::Web(Format::Png),
        size,
        orientation: Orientation::Upright,
        alpha: matches!(color, 4 | 6),
        gray: matches!(color, 0 | 4),
        frames: 1,
        progressive: false,
        whole: interlace != 0,
        depth,
        planes: None,
    };
    let (mut announced, mut present, mut exif_seen) = (0_u32, 0_u32, false);
    for (kind, data) in chunks {
        match kind {
            b"tRNS" => header.alpha = true,
            b"acTL" => {
                announced = data.first_chunk().copied().map_or(0, u32::from_be_bytes);
            }
            b"fcTL" => present = present.saturating_add(1),
            b"eXIf" if !exif_seen => {
                exif_seen = true;
                header.orientation = exif::orientation_prefixed(data).unwrap_or_default();
            }
            b"IEND" => break,
            _ => {}
        }
    }
    header.frames = announced.min(present).max(1);
    Ok(header)
}

/// The chunks as type and data; ends where the file does, even inside a chunk.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = (&'a [u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (data, rest) = rest.split_at_checked(length)?;
        // Behind the data stands a CRC of four bytes.
        self.0 = rest.get(4..).unwrap_or_default();
        Some((kind, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        [&length, &kind[..], data, &[0; 4]].concat()
    }

    fn file(depth: u8, color: u8, more: &[Vec<u8>]) -> Vec<u8> {
        let ihdr = [&7_u32.to_be_bytes()[..], &5_u32.to_be_bytes(), &[depth, color, 0, 0, 0]];
        let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
        out.extend(chunk(*b"IHDR", &ihdr.concat()));
        out.extend(more.iter().flatten());
        out
    }

    #[test]
    fn colour_types_give_alpha_grey_and_depth() {
        let alpha_gray = |depth, color| {
            let header = probe(&file(depth, color, &[])).unwrap();
            assert_eq!((header.size, header.depth), (Size::new(7, 5), depth));
            (header.alpha, header.gray)
        };
        assert_eq!(alpha_gray(1, 0), (false, true));
        assert_eq!(alpha_gray(16, 2), (false, false));
        assert_eq!(alpha_gray(4, 3), (false, false));
        assert_eq!(alpha_gray(8, 4), (true, true));
        assert_eq!(alpha_gray(8, 6), (true, false));
        assert!(probe(&file(16, 3, &[])).is_err());
        assert!(probe(&file(8, 1, &[])).is_err());
    }

    #[test]
    fn transparency_and_frames_are_counted() {
        let actl = chunk(*b"acTL", &[&u32::MAX.to_be_bytes()[..], &[0; 4]].concat());
        let fctl = chunk(*b"fcTL", &[0; 26]);
        let bytes = file(8, 3, &[chunk(*b"tRNS", &[0]), actl, fctl.clone(), fctl]);
        let header = probe(&bytes).unwrap();
        assert!(header.alpha);
        assert_eq!(header.frames, 2);
    }

    #[test]
    fn a_length_past_the_end_stops_the_walk() {
        let mut bytes = file(8, 2, &[]);
        bytes.extend(u32::MAX.to_be_bytes());
        bytes.extend(b"eXIf");
        assert!(probe(&bytes).is_ok());
        assert!(probe(&bytes[..20]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_a_panic(tail in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = file(8, 6, &[]);
            bytes.extend(&tail);
            let _ = probe(&bytes);
            let _ = probe(&[&bytes[..8], &tail].concat());
        }
    }
}

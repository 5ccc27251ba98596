//! EXIF orientation (EXIF 2.32, tag 0x0112 of IFD0), and nothing else of EXIF: no thumbnail, no
//! GPS, no maker note is ever looked at. The walk is one pass over one directory, so it cannot
//! loop, and its length is bounded by the bytes at hand.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::model::geometry::Orientation;

const ORIENTATION: u16 = 0x0112;
const TYPE_SHORT: u16 = 3;
/// Tag, type, count, value or offset.
const ENTRY_BYTES: usize = 12;

/// The two byte orders a TIFF header can announce.
#[derive(Clone, Copy)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    /// From the first two bytes of a TIFF header: `II` or `MM`.
    pub(super) fn read(tiff: &[u8]) -> Option<Self> {
        match tiff {
            [b'I', b'I', ..] => Some(Self::Little),
            [b'M', b'M', ..] => Some(Self::Big),
            _ => None,
        }
    }

    /// The 16-bit number at `at`; `None` past the end.
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let raw: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(raw),
            Self::Big => u16::from_be_bytes(raw),
        })
    }

    /// The 32-bit number at `at`; `None` past the end.
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let raw: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(raw),
            Self::Big => u32::from_be_bytes(raw),
        })
    }
}

/// The orientation an EXIF block asks for. `tiff` starts at the TIFF header (`II*\0` or
/// `MM\0*`), so the caller strips `Exif\0\0`.
///
/// The first entry 0x0112 of type SHORT decides; one of another type is passed over. `None`
/// means upright: no such entry, a value outside 1–8, or a damaged block. Never allocates; one
/// look at each of at most 65,535 entries.
pub(super) fn orientation(tiff: &[u8]) -> Option<Orientation> {
    let order = ByteOrder::read(tiff)?;
    if order.u16(tiff, 2)? != 42 {
        return None;
    }
    let directory = usize::try_from(order.u32(tiff, 4)?).ok()?;
    let count = usize::from(order.u16(tiff, directory)?);
    let entries = tiff.get(directory.checked_add(2)?..)?;
    for entry in entries.chunks_exact(ENTRY_BYTES).take(count) {
        if order.u16(entry, 0)? == ORIENTATION
            && order.u16(entry, 2)? == TYPE_SHORT
            && order.u32(entry, 4)? == 1
        {
            let value = u32::from(order.u16(entry, 8)?);
            return (1..=8).contains(&value).then(|| Orientation::from_exif(value));
        }
    }
    None
}

/// [`orientation`] of a block that may still carry its `Exif\0\0` prefix, as some writers leave
/// it in PNG and WebP chunks.
pub(super) fn orientation_prefixed(block: &[u8]) -> Option<Orientation> {
    orientation(block.strip_prefix(b"Exif\0\0").unwrap_or(block))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A TIFF block of one directory with the given (tag, type, count, value) entries.
    fn block(big: bool, entries: &[(u16, u16, u32, u16)]) -> Vec<u8> {
        let n16 = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let n32 = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let mut out = if big { b"MM".to_vec() } else { b"II".to_vec() };
        out.extend(n16(42));
        out.extend(n32(8));
        out.extend(n16(u16::try_from(entries.len()).unwrap()));
        for &(tag, kind, count, value) in entries {
            out.extend(n16(tag));
            out.extend(n16(kind));
            out.extend(n32(count));
            out.extend(n16(value));
            out.extend([0, 0]);
        }
        out.extend(n32(8));
        out
    }

    #[test]
    fn every_value_reads_in_both_byte_orders() {
        for big in [false, true] {
            for value in 1..=8 {
                let bytes = block(big, &[(0x010F, 3, 1, 9), (ORIENTATION, 3, 1, value)]);
                assert_eq!(orientation(&bytes), Some(Orientation::from_exif(value.into())));
            }
        }
    }

    #[test]
    fn the_first_short_wins_and_other_types_are_passed_over() {
        let twice = block(true, &[(ORIENTATION, 3, 1, 6), (ORIENTATION, 3, 1, 1)]);
        assert_eq!(orientation(&twice), Some(Orientation::Rotate90));
        let ascii = block(true, &[(ORIENTATION, 2, 2, 0x3600)]);
        assert_eq!(orientation(&ascii), None);
        let ascii_then_short = block(false, &[(ORIENTATION, 2, 2, 6), (ORIENTATION, 3, 1, 8)]);
        assert_eq!(orientation(&ascii_then_short), Some(Orientation::Rotate270));
    }

    #[test]
    fn a_value_out_of_range_and_a_cut_block_are_upright() {
        for value in [0, 9, 65_535] {
            assert_eq!(orientation(&block(false, &[(ORIENTATION, 3, 1, value)])), None);
        }
        let whole = block(false, &[(ORIENTATION, 3, 1, 6)]);
        for end in 0..22 {
            assert_eq!(orientation(&whole[..end]), None, "{end}");
        }
        let mut far = whole;
        far[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(orientation(&far), None);
    }

    #[test]
    fn a_leftover_prefix_is_tolerated() {
        let mut bytes = b"Exif\0\0".to_vec();
        bytes.extend(block(true, &[(ORIENTATION, 3, 1, 3)]));
        assert_eq!(orientation_prefixed(&bytes), Some(Orientation::Rotate180));
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_a_panic(
            head in prop::sample::select(vec![&b"II*\0"[..], &b"MM\0*"[..], &b""[..]]),
            tail in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let mut bytes = head.to_vec();
            bytes.extend(tail);
            let _ = orientation(&bytes);
        }
    }
}

//! The block walk: the logical screen, the number of frames, and whether the first frame leaves
//! anything transparent. Skips sub-blocks by length; never unpacks LZW data.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use super::super::DecodeError;
use super::broken;
use crate::model::format::{Format, SourceFormat};
use crate::model::geometry::{Orientation, Size};
use crate::model::source::Header;

const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2C;
const GRAPHIC_CONTROL: u8 = 0xF9;

/// Reads the header of a GIF. `alpha` speaks of the first frame: whether it has a transparent
/// index or leaves part of the canvas uncovered. A file cut off behind its screen descriptor
/// still has a size; decoding will find the cut.
///
/// # Errors
/// `Broken` for a missing or empty logical screen.
pub(in crate::codec) fn probe(bytes: &[u8]) -> Result<Header, DecodeError> {
    let Some(&[w0, w1, h0, h1, flags, _, _]) = bytes.get(6..13).and_then(<[u8]>::first_chunk)
    else {
        return Err(broken("no logical screen"));
    };
    let size =
        Size::new(u32::from(u16::from_le_bytes([w0, w1])), u32::from(u16::from_le_bytes([h0, h1])));
    if size.pixels() == 0 {
        return Err(broken(format!("the logical screen is {size}")));
    }
    let blocks = bytes.get(13..).and_then(|rest| skip_table(rest, flags)).unwrap_or_default();
    let (frames, alpha) = walk(blocks, size);
    Ok(Header {
        format: SourceFormat::Web(Format::Gif),
        size,
        orientation: Orientation::Upright,
        alpha,
        gray: false,
        frames: frames.max(1),
        progressive: false,
        whole: true,
        depth: 8,
        planes: None,
    })
}

/// Counts frames and looks at the first one's transparency, as far as the blocks go.
fn walk(mut blocks: &[u8], size: Size) -> (u32, bool) {
    let (mut frames, mut alpha, mut transparent) = (0_u32, false, false);
    loop {
        let next = match blocks {
            [EXTENSION, label, rest @ ..] => {
                if let (GRAPHIC_CONTROL, [4..=u8::MAX, flags, ..]) = (*label, rest) {
                    transparent = flags & 1 != 0;
                }
                skip_sub_blocks(rest)
            }
            [IMAGE, l0, l1, t0, t1, w0, w1, h0, h1, flags, rest @ ..] => {
                if frames == 0 {
                    let [left, top, width, height] = [[l0, l1], [t0, t1], [w0, w1], [h0, h1]]
                        .map(|[low, high]| u32::from(u16::from_le_bytes([*low, *high])));
                    let covers =
                        (left, top) == (0, 0) && width >= size.width && height >= size.height;
                    alpha = transparent || !covers;
                }
                frames = frames.saturating_add(1);
                transparent = false;
                // Behind the colour table stands the LZW code size.
                skip_table(rest, *flags).and_then(|data| skip_sub_blocks(data.get(1..)?))
            }
            _ => None,
        };
        match next {
            Some(next) => blocks = next,
            None => return (frames, alpha),
        }
    }
}

/// What follows the colour table that `flags` announces.
fn skip_table(rest: &[u8], flags: u8) -> Option<&[u8]> {
    if flags & 0x80 == 0 {
        return Some(rest);
    }
    // Three bytes for each of 2 to 256 colours.
    rest.get(6_usize.checked_shl(u32::from(flags & 7))?..)
}

/// What follows a chain of sub-blocks.
fn skip_sub_blocks(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, after) = rest.split_first()?;
        if length == 0 {
            return Some(after);
        }
        rest = after.get(usize::from(length)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn screen(width: u16, height: u16) -> Vec<u8> {
        let mut out = b"GIF89a".to_vec();
        out.extend(width.to_le_bytes());
        out.extend(height.to_le_bytes());
        out.extend([0, 0, 0]);
        out
    }

    fn frame(left: u16, width: u16, height: u16) -> Vec<u8> {
        let mut out = vec![IMAGE];
        for field in [left, 0, width, height] {
            out.extend(field.to_le_bytes());
        }
        out.extend([0, 2, 1, 0x44, 0]);
        out
    }

    const CONTROL: [u8; 8] = [EXTENSION, GRAPHIC_CONTROL, 4, 1, 0, 0, 0, 0];

    #[test]
    fn frames_are_counted_and_the_first_decides_on_alpha() {
        let probe_of = |parts: &[&[u8]]| {
            let header = probe(&parts.concat()).unwrap();
            (header.frames, header.alpha)
        };
        let canvas = screen(4, 4);
        let full = frame(0, 4, 4);
        assert_eq!(probe_of(&[&canvas, &full, &CONTROL, &full, &[0x3B]]), (2, false));
        assert_eq!(probe_of(&[&canvas, &CONTROL, &full]), (1, true));
        assert_eq!(probe_of(&[&canvas, &frame(1, 4, 4)]), (1, true));
        assert_eq!(probe_of(&[&canvas, &frame(0, 9, 9)]), (1, false));
        assert_eq!(probe_of(&[&canvas]), (1, false));
    }

    #[test]
    fn an_empty_or_missing_screen_is_broken() {
        assert!(probe(&screen(0, 4)).is_err());
        assert!(probe(&screen(4, 4)[..12]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_a_panic(tail in prop::collection::vec(
            prop_oneof![Just(IMAGE), Just(EXTENSION), 0..6_u8, any::<u8>()], 0..500,
        )) {
            let mut bytes = screen(3, 3);
            bytes.extend(tail);
            let _ = probe(&bytes);
        }
    }
}

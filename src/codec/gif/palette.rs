//! The exact palette of a picture that has at most 256 colours. Never approximates.

use crate::model::pixels::{Layout, Pixels};

/// Slots of the colour table while counting; a power of two, four times the colours it holds.
const SLOTS: usize = 1024;
const SLOT_BITS: u32 = 10;

/// What alpha means for the colour of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::codec) enum AlphaRule {
    /// Part of the colour.
    Exact,
    /// GIF's: below 128 is clear, all clear pixels being alike; the rest is opaque.
    Binary,
}

impl AlphaRule {
    /// The colour to keep for a pixel.
    pub(super) const fn apply(self, [r, g, b, a]: [u8; 4]) -> [u8; 4] {
        match self {
            Self::Exact => [r, g, b, a],
            Self::Binary if a < 128 => [0; 4],
            Self::Binary => [r, g, b, 255],
        }
    }
}

/// Colours in the order they appear, and one index per pixel.
#[derive(Debug)]
pub(in crate::codec) struct Palette {
    /// At most 256, straight alpha.
    pub(in crate::codec) colors: Vec<[u8; 4]>,
    /// Row by row.
    pub(in crate::codec) indices: Vec<u8>,
}

/// The palette of a picture; `None` where it has more than 256 colours (photographs show that
/// within a few hundred pixels) or there is no memory for the indices. One pass, one byte per
/// pixel.
pub(in crate::codec) fn exact_palette(pixels: &Pixels, rule: AlphaRule) -> Option<Palette> {
    let mut table = Table { slots: [None; SLOTS], colors: Vec::with_capacity(256) };
    let count = usize::try_from(pixels.size().pixels()).ok()?;
    let mut indices = Vec::new();
    indices.try_reserve_exact(count).ok()?;
    let mut last: Option<([u8; 4], u8)> = None;
    for pixel in pixels.data().chunks_exact(pixels.layout().channels()) {
        let color = rule.apply(rgba(pixel));
        let index = match last {
            Some((same, index)) if same == color => index,
            _ => table.index(color)?,
        };
        last = Some((color, index));
        indices.push(index);
    }
    Some(Palette { colors: table.colors, indices })
}

/// A pixel of any layout as RGBA.
pub(super) fn rgba(pixel: &[u8]) -> [u8; 4] {
    match *pixel {
        [gray] => [gray, gray, gray, 255],
        [r, g, b] => [r, g, b, 255],
        [r, g, b, a] => [r, g, b, a],
        _ => [0; 4],
    }
}

/// An open-addressing table from colour to index.
struct Table {
    slots: [Option<u8>; SLOTS],
    colors: Vec<[u8; 4]>,
}

impl Table {
    /// The index of a colour, given out on first sight; `None` when 256 are given out.
    fn index(&mut self, color: [u8; 4]) -> Option<u8> {
        // Fibonacci hashing: the top bits of the product mix all four channels.
        let hash = u32::from_le_bytes(color).wrapping_mul(0x9E37_79B1) >> (32 - SLOT_BITS);
        let start = usize::try_from(hash).ok()?;
        for step in 0..SLOTS {
            let slot = self.slots.get_mut((start + step) % SLOTS)?;
            match *slot {
                Some(index) if self.colors.get(usize::from(index)) == Some(&color) => {
                    return Some(index);
                }
                Some(_) => {}
                None => {
                    let index = u8::try_from(self.colors.len()).ok()?;
                    *slot = Some(index);
                    self.colors.push(color);
                    return Some(index);
                }
            }
        }
        None
    }
}

/// Whether a layout can hold clear pixels at all.
pub(super) const fn may_be_clear(layout: Layout) -> bool {
    matches!(layout, Layout::Rgba)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::geometry::Size;
    use proptest::prelude::*;

    fn row(colors: &[[u8; 4]]) -> Pixels {
        let width = u32::try_from(colors.len()).unwrap();
        Pixels::new(Size::new(width, 1), Layout::Rgba, colors.concat()).unwrap()
    }

    #[test]
    fn two_hundred_and_fifty_six_colours_fit_and_one_more_does_not() {
        let mut colors: Vec<_> = (0..=255).map(|n| [n, 0, n, 255]).collect();
        assert_eq!(exact_palette(&row(&colors), AlphaRule::Exact).unwrap().colors.len(), 256);
        colors.push([1, 1, 1, 255]);
        assert!(exact_palette(&row(&colors), AlphaRule::Exact).is_none());
    }

    #[test]
    fn the_binary_rule_makes_clear_pixels_alike() {
        let palette =
            exact_palette(&row(&[[1, 2, 3, 0], [4, 5, 6, 127], [4, 5, 6, 128]]), AlphaRule::Binary);
        let palette = palette.unwrap();
        assert_eq!(palette.colors, [[0; 4], [4, 5, 6, 255]]);
        assert_eq!(palette.indices, [0, 0, 1]);
    }

    proptest! {
        #[test]
        fn every_index_leads_back_to_its_pixel(colors in prop::collection::vec(any::<[u8; 4]>(), 1..200)) {
            let palette = exact_palette(&row(&colors), AlphaRule::Exact).unwrap();
            for (color, index) in colors.iter().zip(&palette.indices) {
                prop_assert_eq!(color, &palette.colors[usize::from(*index)]);
            }
        }
    }
}

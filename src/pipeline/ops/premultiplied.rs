//! Pictures as 16-bit premultiplied samples, the working form of blur: enough depth that several
//! passes do not band, premultiplied so that what is invisible does not bleed.

use crate::model::geometry::Size;
use crate::model::pixels::{Layout, Pixels};
use crate::pipeline::run::{RenderError, finish};

/// Samples of 0–65535, colours premultiplied where there is alpha.
pub(super) struct Deep {
    pub(super) size: Size,
    pub(super) layout: Layout,
    pub(super) samples: Vec<u16>,
}

/// 8 → 16 bits: 255 ↔ 65535.
const SPREAD: u16 = 257;

impl Deep {
    /// Samples in one row.
    pub(super) const fn stride(&self) -> usize {
        self.size.width as usize * self.layout.channels()
    }

    pub(super) fn of(pixels: &Pixels) -> Self {
        let (size, layout) = (pixels.size(), pixels.layout());
        let samples = if layout == Layout::Rgba {
            let deep = |[r, g, b, a]: &[u8; 4]| {
                let alpha = u32::from(*a);
                // v·a·257/255, rounded.
                let times = |v: u8| ((u32::from(v) * alpha * 257 + 127) / 255) as u16;
                [times(*r), times(*g), times(*b), u16::from(*a) * SPREAD]
            };
            pixels.data().as_chunks::<4>().0.iter().flat_map(deep).collect()
        } else {
            pixels.data().iter().map(|v| u16::from(*v) * SPREAD).collect()
        };
        Self { size, layout, samples }
    }

    pub(super) fn into_pixels(self, step: &'static str) -> Result<Pixels, RenderError> {
        let shallow = |v: u16| ((u32::from(v) + 128) / 257) as u8;
        let data = if self.layout == Layout::Rgba {
            let straight = |[r, g, b, a]: &[u16; 4]| {
                let alpha = u32::from(*a);
                let over = |v: u16| match alpha {
                    0 => 0,
                    _ => ((u32::from(v) * 255 + alpha / 2) / alpha).min(255) as u8,
                };
                [over(*r), over(*g), over(*b), shallow(*a)]
            };
            self.samples.as_chunks::<4>().0.iter().flat_map(straight).collect()
        } else {
            self.samples.iter().map(|v| shallow(*v)).collect()
        };
        finish(step, self.size, self.layout, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_deep_and_back_changes_nothing_visible() {
        let data: Vec<u8> = (0..=255).flat_map(|v| [v, 255 - v, 7, 255]).collect();
        let pixels = Pixels::new(Size::new(256, 1), Layout::Rgba, data).unwrap();
        assert_eq!(Deep::of(&pixels).into_pixels("test").unwrap(), pixels);
        let half = Pixels::new(Size::new(1, 1), Layout::Rgba, vec![200, 100, 50, 128]).unwrap();
        assert_eq!(Deep::of(&half).into_pixels("test").unwrap(), half);
    }
}

//! Cuts whole pixels out. Never resamples.

use super::buffer;
use crate::model::geometry::Rect;
use crate::model::pixels::Pixels;
use crate::pipeline::run::{RenderError, finish};
use std::borrow::Cow;

/// The part of a picture inside `rect`, which must lie inside it. Works in the same buffer; of a
/// borrowed picture only the part is copied.
///
/// # Errors
/// [`RenderError::Step`] if the rectangle does not lie inside the picture, or memory is short.
pub fn crop(pixels: Cow<'_, Pixels>, rect: Rect) -> Result<Pixels, RenderError> {
    let size = pixels.size();
    let fits = |start: u32, length: u32, side: u32| {
        length > 0 && start.checked_add(length).is_some_and(|end| end <= side)
    };
    if !fits(rect.x, rect.size.width, size.width) || !fits(rect.y, rect.size.height, size.height) {
        return Err(RenderError::step("crop", format!("{rect:?} is not inside {size}")));
    }
    let (stride, layout) = (pixels.stride(), pixels.layout());
    let left = rect.x as usize * layout.channels();
    let row = rect.size.width as usize * layout.channels();
    let from = |y: usize| (rect.y as usize + y) * stride + left;
    let rows = rect.size.height as usize;
    let data = match pixels {
        Cow::Owned(pixels) => {
            let mut data = pixels.into_data();
            for y in 0..rows {
                data.copy_within(from(y)..from(y) + row, y * row);
            }
            data.truncate(row * rows);
            data
        }
        Cow::Borrowed(shared) => {
            let mut data = buffer("crop", rect.size, layout)?;
            for (y, to) in data.chunks_exact_mut(row).enumerate() {
                to.copy_from_slice(&shared.data()[from(y)..from(y) + row]);
            }
            data
        }
    };
    finish("crop", rect.size, layout, data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::geometry::Size;
    use crate::model::pixels::Layout;

    #[test]
    fn a_crop_is_exactly_its_pixels() {
        let pixels = Pixels::new(Size::new(4, 3), Layout::Gray, (0..12).collect()).unwrap();
        let rect = Rect { x: 1, y: 1, size: Size::new(2, 2) };
        assert_eq!(crop(Cow::Borrowed(&pixels), rect).unwrap().data(), [5, 6, 9, 10]);
        let outside = Rect { x: 3, y: 1, size: Size::new(2, 2) };
        assert!(crop(Cow::Borrowed(&pixels), outside).is_err());
        assert_eq!(crop(Cow::Owned(pixels), rect).unwrap().data(), [5, 6, 9, 10]);
    }
}

//! Resampling: Lanczos3 by `fast_image_resize`, SIMD chosen at run time, alpha premultiplied
//! around it. One thread per render: the pool runs many renders, not one on many threads.

use super::{crop, smart, spare};
use crate::codec::buffers;
use crate::model::geometry::{Rect, Size};
use crate::model::pixels::{Layout, Pixels};
use crate::pipeline::plan::{Window, WindowRect};
use crate::pipeline::run::{RenderError, finish};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use std::borrow::Cow;
use std::cell::RefCell;

thread_local! {
    /// Keeps the intermediate buffers of the render threads mapped between renders.
    pub(super) static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
}

/// Resamples `window` of the picture to exactly `to`. A window of whole pixels at its own size
/// is cut out instead, without loss. The buffer of a picture that is not borrowed is kept for the
/// next one to be decoded.
///
/// # Errors
/// [`RenderError::Step`] if the window does not lie inside the picture, or memory is short.
pub fn resize(pixels: Cow<'_, Pixels>, window: Window, to: Size) -> Result<Pixels, RenderError> {
    let rect = match window {
        Window::Fixed(rect) => rect,
        Window::Smart { within, window } => smart::place(&pixels, within, window),
    };
    if let Some(whole) = whole_pixels(rect, to) {
        return crop(pixels, whole);
    }
    let layout = pixels.layout();
    let pixel_type = match layout {
        Layout::Gray => PixelType::U8,
        Layout::Rgb => PixelType::U8x3,
        Layout::Rgba => PixelType::U8x4,
    };
    let failed = |reason: &dyn std::fmt::Display| RenderError::step("resize", reason);
    let from = pixels.size();
    let source = ImageRef::new(from.width, from.height, pixels.data(), pixel_type)
        .map_err(|error| failed(&error))?;
    let mut data = spare("resize", Pixels::bytes_for(to, layout))?;
    let mut target = Image::from_slice_u8(to.width, to.height, &mut data, pixel_type)
        .map_err(|error| failed(&error))?;
    let opaque = pixels.is_opaque();
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
        .crop(rect.x, rect.y, rect.width, rect.height)
        .use_alpha(!opaque);
    RESIZER
        .with_borrow_mut(|resizer| resizer.resize(&source, &mut target, &options))
        .map_err(|error| failed(&error))?;
    if let Cow::Owned(pixels) = pixels {
        buffers::give_back(pixels.into_data());
    }
    finish("resize", to, layout, data)
}

/// The window as whole pixels, where it is that and `to` its own size.
fn whole_pixels(rect: WindowRect, to: Size) -> Option<Rect> {
    let is_whole = |x: f64| x.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&x);
    let own = WindowRect { x: rect.x, y: rect.y, ..WindowRect::of(to) };
    let whole = own == rect && is_whole(rect.x) && is_whole(rect.y);
    whole.then_some(Rect { x: rect.x as u32, y: rect.y as u32, size: to })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_picture_stays_even_at_any_size() {
        for layout in [Layout::Gray, Layout::Rgb, Layout::Rgba] {
            let size = Size::new(37, 23);
            let data = vec![119; Pixels::bytes_for(size, layout).unwrap()];
            let pixels = Pixels::new(size, layout, data).unwrap();
            let window = WindowRect { x: 1.25, y: 0.5, width: 30.5, height: 20.25 };
            let resized =
                resize(Cow::Owned(pixels), Window::Fixed(window), Size::new(10, 9)).unwrap();
            assert!(resized.data().iter().all(|v| v.abs_diff(119) <= 1), "{layout:?}");
        }
    }

    #[test]
    fn a_window_outside_is_an_error() {
        let pixels = Pixels::new(Size::new(2, 2), Layout::Gray, vec![0; 4]).unwrap();
        let window = WindowRect { x: 1.5, y: 0.0, width: 2.0, height: 2.0 };
        assert!(resize(Cow::Owned(pixels), Window::Fixed(window), Size::new(5, 5)).is_err());
    }
}

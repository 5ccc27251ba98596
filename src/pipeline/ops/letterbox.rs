//! Puts a picture on a larger canvas of one colour.

use super::buffer;
use crate::model::color::Rgba;
use crate::model::geometry::Size;
use crate::model::pixels::{Layout, Pixels};
use crate::pipeline::run::{RenderError, finish};

/// The picture with its top left corner at `origin` of a canvas filled with `fill`. The result
/// has alpha where either has; grey stays grey on a grey canvas.
///
/// # Errors
/// [`RenderError::Step`] if the picture does not lie on the canvas, or memory is short.
pub fn letterbox(
    pixels: &Pixels,
    canvas: Size,
    origin: (u32, u32),
    fill: Rgba,
) -> Result<Pixels, RenderError> {
    let size = pixels.size();
    let fits = |at: u32, side: u32, room: u32| at.checked_add(side).is_some_and(|end| end <= room);
    if !fits(origin.0, size.width, canvas.width) || !fits(origin.1, size.height, canvas.height) {
        let reason = format!("a {size} picture at {origin:?} is not on a {canvas} canvas");
        return Err(RenderError::step("letterbox", reason));
    }
    let layout = match (pixels.layout(), fill.a) {
        (Layout::Gray, 255) if fill.r == fill.g && fill.g == fill.b => Layout::Gray,
        (Layout::Gray | Layout::Rgb, 255) => Layout::Rgb,
        _ => Layout::Rgba,
    };
    let channels = layout.channels();
    let mut data = buffer("letterbox", canvas, layout)?;
    let colour = [fill.r, fill.g, fill.b, fill.a];
    for pixel in data.chunks_exact_mut(channels) {
        pixel.copy_from_slice(&colour[..channels]);
    }
    let stride = canvas.width as usize * channels;
    let left = origin.0 as usize * channels;
    let row_bytes = size.width as usize * channels;
    let rows = data.chunks_exact_mut(stride).skip(origin.1 as usize);
    for (to, from) in rows.zip(pixels.rows()) {
        let to = &mut to[left..left + row_bytes];
        if layout == pixels.layout() {
            to.copy_from_slice(from);
            continue;
        }
        let from_channels = pixels.layout().channels();
        for (to, from) in to.chunks_exact_mut(channels).zip(from.chunks_exact(from_channels)) {
            let rgb = if from_channels == 1 { [from[0]; 3] } else { [from[0], from[1], from[2]] };
            to[..3].copy_from_slice(&rgb);
            if channels == 4 {
                to[3] = if from_channels == 4 { from[3] } else { 255 };
            }
        }
    }
    finish("letterbox", canvas, layout, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_stands_where_it_was_put() {
        let picture = Pixels::new(Size::new(1, 1), Layout::Rgb, vec![9, 8, 7]).unwrap();
        let boxed = letterbox(&picture, Size::new(3, 1), (1, 0), Rgba::WHITE).unwrap();
        assert_eq!(boxed.data(), [255, 255, 255, 9, 8, 7, 255, 255, 255]);
        let clear = letterbox(&picture, Size::new(2, 1), (0, 0), Rgba::TRANSPARENT).unwrap();
        assert_eq!(clear.data(), [9, 8, 7, 255, 0, 0, 0, 0]);
        assert!(letterbox(&picture, Size::new(3, 1), (3, 0), Rgba::WHITE).is_err());
    }
}

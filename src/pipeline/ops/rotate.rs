//! Rotation by any angle: every pixel of the result looks back into the source and mixes the four
//! nearest, premultiplied; outside there is nothing, which also smooths the edges.

use super::buffer;
use crate::model::geometry::Size;
use crate::model::pixels::{Layout, Pixels};
use crate::pipeline::run::{RenderError, finish};

/// Turns clockwise by `degrees` around the centre onto a canvas of size `to`; the corners it
/// leaves are transparent. The result is always RGBA.
///
/// # Errors
/// [`RenderError::Step`] where memory is short.
pub fn rotate(pixels: &Pixels, degrees: f64, to: Size) -> Result<Pixels, RenderError> {
    let from = pixels.size();
    let mut data = buffer("rotate", to, Layout::Rgba)?;
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (cx, cy) = (f64::from(to.width) / 2.0, f64::from(to.height) / 2.0);
    let (sx, sy) = (f64::from(from.width) / 2.0, f64::from(from.height) / 2.0);
    let stride = to.width as usize * 4;
    for (y, row) in data.chunks_exact_mut(stride).enumerate() {
        let dy = y as f64 + 0.5 - cy;
        for (x, pixel) in row.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let dx = x as f64 + 0.5 - cx;
            // The inverse turn (y points down, so clockwise is positive), to sample centres.
            let u = dx * cos + dy * sin + sx - 0.5;
            let v = dy * cos - dx * sin + sy - 0.5;
            *pixel = sample(pixels, u, v);
        }
    }
    finish("rotate", to, Layout::Rgba, data)
}

/// One pixel, straight alpha.
fn texel(pixels: &Pixels, x: i64, y: i64) -> [u32; 4] {
    let size = pixels.size();
    let inside = x >= 0 && y >= 0 && x < i64::from(size.width) && y < i64::from(size.height);
    if !inside {
        return [0; 4];
    }
    let channels = pixels.layout().channels();
    let at = y as usize * pixels.stride() + x as usize * channels;
    let p = &pixels.data()[at..at + channels];
    match pixels.layout() {
        Layout::Gray => [p[0].into(), p[0].into(), p[0].into(), 255],
        Layout::Rgb => [p[0].into(), p[1].into(), p[2].into(), 255],
        Layout::Rgba => [p[0].into(), p[1].into(), p[2].into(), p[3].into()],
    }
}

/// Bilinear, in 8-bit fixed point: weights sum to 65536.
fn sample(pixels: &Pixels, u: f64, v: f64) -> [u8; 4] {
    let (x, y) = (u.floor(), v.floor());
    let (fx, fy) = (((u - x) * 256.0) as u64, ((v - y) * 256.0) as u64);
    let (x, y) = (x as i64, y as i64);
    let corners = [
        (texel(pixels, x, y), (256 - fx) * (256 - fy)),
        (texel(pixels, x + 1, y), fx * (256 - fy)),
        (texel(pixels, x, y + 1), (256 - fx) * fy),
        (texel(pixels, x + 1, y + 1), fx * fy),
    ];
    let mut sum = [0u64; 4];
    for (colour, weight) in corners {
        let alpha = u64::from(colour[3]) * weight;
        for (sum, c) in sum.iter_mut().zip(&colour[..3]) {
            *sum += u64::from(*c) * alpha;
        }
        sum[3] += alpha;
    }
    let alpha = sum[3];
    let over = |sum: u64| (sum + alpha / 2).checked_div(alpha).unwrap_or(0).min(255) as u8;
    [over(sum[0]), over(sum[1]), over(sum[2]), ((alpha + 32_768) >> 16) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_stays_and_the_corners_are_clear() {
        let data: Vec<u8> = [10u8, 20, 30].repeat(100);
        let pixels = Pixels::new(Size::new(10, 10), Layout::Rgb, data).unwrap();
        let turned = rotate(&pixels, 45.0, Size::new(14, 14)).unwrap();
        let at = |x: usize, y: usize| &turned.data()[(y * 14 + x) * 4..(y * 14 + x) * 4 + 4];
        assert_eq!(at(7, 7), [10, 20, 30, 255]);
        assert_eq!(at(0, 0), [0, 0, 0, 0]);
    }

    #[test]
    fn positive_degrees_turn_clockwise() {
        // A white pixel at the right end of a line goes to the bottom after a quarter turn.
        let mut data = vec![0u8; 25];
        data[2 * 5 + 4] = 255;
        let pixels = Pixels::new(Size::new(5, 5), Layout::Gray, data).unwrap();
        let turned = rotate(&pixels, 90.0, Size::new(5, 5)).unwrap();
        assert_eq!(turned.data()[(4 * 5 + 2) * 4], 255);
    }
}

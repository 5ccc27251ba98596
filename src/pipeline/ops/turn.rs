//! Quarter turns and mirrors. Moves pixels, never changes one.

use super::buffer;
use crate::model::geometry::{Orientation, Size};
use crate::model::pixels::Pixels;
use crate::pipeline::run::{RenderError, finish};

/// Side of the square blocks a transposition walks in: two blocks of RGBA rows stay in L1.
const BLOCK: usize = 32;

/// Turns a picture. Mirrors of rows are done in place; everything else allocates one copy.
///
/// # Errors
/// [`RenderError::Step`] where memory is short.
pub fn turn(mut pixels: Pixels, turn: Orientation) -> Result<Pixels, RenderError> {
    match turn {
        Orientation::Upright => Ok(pixels),
        Orientation::FlipH => {
            mirror_rows(&mut pixels);
            Ok(pixels)
        }
        Orientation::FlipV => {
            mirror_columns(&mut pixels);
            Ok(pixels)
        }
        Orientation::Rotate180 => {
            mirror_columns(&mut pixels);
            mirror_rows(&mut pixels);
            Ok(pixels)
        }
        Orientation::Transpose => transpose(&pixels),
        Orientation::Rotate90 => {
            let mut turned = transpose(&pixels)?;
            mirror_rows(&mut turned);
            Ok(turned)
        }
        Orientation::Rotate270 => {
            let mut turned = transpose(&pixels)?;
            mirror_columns(&mut turned);
            Ok(turned)
        }
        Orientation::Transverse => {
            let mut turned = transpose(&pixels)?;
            mirror_columns(&mut turned);
            mirror_rows(&mut turned);
            Ok(turned)
        }
    }
}

/// Left and right exchanged, in place.
fn mirror_rows(pixels: &mut Pixels) {
    let (stride, channels) = (pixels.stride(), pixels.layout().channels());
    for row in pixels.data_mut().chunks_exact_mut(stride) {
        // Reversing all samples reverses the pixels and the samples inside each of them.
        row.reverse();
        if channels > 1 {
            row.chunks_exact_mut(channels).for_each(<[u8]>::reverse);
        }
    }
}

/// Top and bottom exchanged, in place.
fn mirror_columns(pixels: &mut Pixels) {
    let stride = pixels.stride();
    let height = pixels.size().height as usize;
    let middle = height.div_ceil(2) * stride;
    let (top, bottom) = pixels.data_mut().split_at_mut(middle);
    for (upper, lower) in top.chunks_exact_mut(stride).zip(bottom.chunks_exact_mut(stride).rev()) {
        upper.swap_with_slice(lower);
    }
}

/// Rows become columns.
fn transpose(pixels: &Pixels) -> Result<Pixels, RenderError> {
    let size = pixels.size().transposed();
    let layout = pixels.layout();
    let mut data = buffer("turn", size, layout)?;
    match layout.channels() {
        1 => transpose_samples::<1>(pixels.data(), &mut data, pixels.size()),
        3 => transpose_samples::<3>(pixels.data(), &mut data, pixels.size()),
        _ => transpose_samples::<4>(pixels.data(), &mut data, pixels.size()),
    }
    finish("turn", size, layout, data)
}

fn transpose_samples<const N: usize>(from: &[u8], to: &mut [u8], size: Size) {
    let (width, height) = (size.width as usize, size.height as usize);
    let (from, _) = from.as_chunks::<N>();
    let (to, _) = to.as_chunks_mut::<N>();
    for top in (0..height).step_by(BLOCK) {
        for left in (0..width).step_by(BLOCK) {
            for y in top..(top + BLOCK).min(height) {
                let row = &from[y * width..(y + 1) * width];
                for (x, pixel) in row.iter().enumerate().take(left + BLOCK).skip(left) {
                    to[x * height + y] = *pixel;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pixels::Layout;

    fn card() -> Pixels {
        // 1 2 3
        // 4 5 6
        Pixels::new(Size::new(3, 2), Layout::Gray, vec![1, 2, 3, 4, 5, 6]).unwrap()
    }

    #[test]
    fn every_turn_puts_the_corners_where_exif_says() {
        let turned = |turn_to| turn(card(), turn_to).unwrap();
        assert_eq!(turned(Orientation::Upright).data(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(turned(Orientation::FlipH).data(), [3, 2, 1, 6, 5, 4]);
        assert_eq!(turned(Orientation::Rotate180).data(), [6, 5, 4, 3, 2, 1]);
        assert_eq!(turned(Orientation::FlipV).data(), [4, 5, 6, 1, 2, 3]);
        assert_eq!(turned(Orientation::Transpose).data(), [1, 4, 2, 5, 3, 6]);
        assert_eq!(turned(Orientation::Rotate90).data(), [4, 1, 5, 2, 6, 3]);
        assert_eq!(turned(Orientation::Transverse).data(), [6, 3, 5, 2, 4, 1]);
        assert_eq!(turned(Orientation::Rotate270).data(), [3, 6, 2, 5, 1, 4]);
        assert_eq!(turned(Orientation::Rotate90).size(), Size::new(2, 3));
    }

    #[test]
    fn colours_stay_together_across_blocks() {
        let size = Size::new(70, 41);
        let data: Vec<u8> = (0..size.pixels()).flat_map(|i| [i as u8, (i >> 8) as u8, 7]).collect();
        let pixels = Pixels::new(size, Layout::Rgb, data).unwrap();
        let there = turn(pixels.clone(), Orientation::Rotate90).unwrap();
        let back = turn(there, Orientation::Rotate270).unwrap();
        assert_eq!(back.data(), pixels.data());
    }
}

//! Quarter turns and mirrors. Moves pixels, never changes one.

use super::spare;
use crate::codec::buffers;
use crate::model::geometry::{Orientation, Size};
use crate::model::pixels::Pixels;
use crate::model::planes::Planes;
use crate::pipeline::run::{RenderError, finish};
use std::borrow::Cow;

/// Side of the square blocks a transposition walks in: two blocks of RGBA rows stay in L1.
const BLOCK: usize = 32;

/// Turns a picture. Mirrors are done in place; exchanging the axes allocates one copy.
///
/// # Errors
/// [`RenderError::Step`] where memory is short.
pub fn turn(pixels: Pixels, turn: Orientation) -> Result<Pixels, RenderError> {
    let (swap, mirror_x, mirror_y) = parts(turn);
    let mut pixels = if swap { transpose(&pixels)? } else { pixels };
    let (stride, channels) = (pixels.stride(), pixels.layout().channels());
    mirror(pixels.data_mut(), stride, channels, (mirror_x, mirror_y));
    Ok(pixels)
}

/// Turns planes, each by itself. A side that is mirrored is even: else its chroma would come to lie
/// beside its luma. What is borrowed is copied.
///
/// # Errors
/// [`RenderError::Step`] where memory is short.
pub fn turn_planes(planes: Cow<'_, Planes>, turn: Orientation) -> Result<Planes, RenderError> {
    let (swap, mirror_x, mirror_y) = parts(turn);
    let (size, subsampling) = (planes.size(), planes.subsampling());
    let size = if swap { size.transposed() } else { size };
    let failed = |error: &dyn std::fmt::Display| RenderError::step("turn", error);
    let mut turned = match planes {
        Cow::Owned(planes) if !swap => planes,
        planes => {
            let data = spare("turn", Some(planes.data().len()))?;
            let mut turned =
                Planes::new(size, subsampling, data).map_err(|error| failed(&error))?;
            for (from, to) in planes.planes().into_iter().zip(turned.samples_mut()) {
                if swap {
                    transpose_samples::<1>(from.samples, to, from.stored);
                } else {
                    to.copy_from_slice(from.samples);
                }
            }
            if let Cow::Owned(planes) = planes {
                buffers::give_back(planes.into_data());
            }
            turned
        }
    };
    let strides = turned.planes().map(|plane| plane.stored.width as usize);
    for (samples, stride) in turned.samples_mut().into_iter().zip(strides) {
        mirror(samples, stride, 1, (mirror_x, mirror_y));
    }
    Ok(turned)
}

/// A turn as: exchange the axes; mirror along x; mirror along y.
const fn parts(turn: Orientation) -> (bool, bool, bool) {
    match turn {
        Orientation::Upright => (false, false, false),
        Orientation::FlipH => (false, true, false),
        Orientation::Rotate180 => (false, true, true),
        Orientation::FlipV => (false, false, true),
        Orientation::Transpose => (true, false, false),
        Orientation::Rotate90 => (true, true, false),
        Orientation::Transverse => (true, true, true),
        Orientation::Rotate270 => (true, false, true),
    }
}

/// Left and right, top and bottom exchanged as asked, in place.
fn mirror(data: &mut [u8], stride: usize, channels: usize, (x, y): (bool, bool)) {
    if x {
        for row in data.chunks_exact_mut(stride) {
            // Reversing all samples reverses the pixels and the samples inside each of them.
            row.reverse();
            if channels > 1 {
                row.chunks_exact_mut(channels).for_each(<[u8]>::reverse);
            }
        }
    }
    if y {
        let middle = (data.len() / stride).div_ceil(2) * stride;
        let (top, bottom) = data.split_at_mut(middle);
        let opposite = bottom.chunks_exact_mut(stride).rev();
        for (upper, lower) in top.chunks_exact_mut(stride).zip(opposite) {
            upper.swap_with_slice(lower);
        }
    }
}

/// Rows become columns.
fn transpose(pixels: &Pixels) -> Result<Pixels, RenderError> {
    let size = pixels.size().transposed();
    let layout = pixels.layout();
    let mut data = spare("turn", Some(pixels.data().len()))?;
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
    use crate::model::planes::Subsampling;

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
    fn every_plane_is_turned_as_a_picture_of_its_own() {
        let size = Size::new(4, 2);
        let data: Vec<u8> = (0..12).collect();
        let planes = Planes::new(size, Subsampling::Quarter, data).unwrap();
        for turn_to in [
            Orientation::Upright,
            Orientation::FlipH,
            Orientation::FlipV,
            Orientation::Rotate180,
            Orientation::Transpose,
            Orientation::Rotate90,
            Orientation::Transverse,
            Orientation::Rotate270,
        ] {
            let turned = turn_planes(Cow::Borrowed(&planes), turn_to).unwrap();
            assert_eq!(turned, turn_planes(Cow::Owned(planes.clone()), turn_to).unwrap());
            for (before, after) in planes.planes().into_iter().zip(turned.planes()) {
                let alone = Pixels::new(before.stored, Layout::Gray, before.samples.to_vec());
                let alone = turn(alone.unwrap(), turn_to).unwrap();
                assert_eq!((alone.size(), alone.data()), (after.stored, after.samples));
            }
        }
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

//! Pixels → AVIF: to planes in fixed point, libaom once for colour and once for alpha,
//! avif-serialize around both. Never writes metadata or a profile: untagged sRGB.

use super::aom::{self, Plane, Source};
use super::planes::{Chroma, Format as Coded};
use crate::codec::{EncodeError, buffers};
use crate::model::format::Format;
use crate::model::geometry::Size;
use crate::model::pixels::{Layout, Pixels};
use crate::model::planes::{Planes, Subsampling};
use avif_serialize::Aviffy;
use avif_serialize::constants::MatrixCoefficients;

/// Encodes at `quality` 1–100 (libavif's scale) as 4:2:0, or without loss (`None`) as 4:4:4
/// G, B, R. Grey stays monochrome; alpha that hides nothing is dropped, other alpha is a
/// monochrome picture of higher quality, because its edges are what is seen of it. Allocates
/// planes of 1.5 to 4 bytes per pixel, libaom's working set, and the result.
///
/// # Errors
/// [`EncodeError`] above 16384 pixels a side, and in libaom's words.
pub(in crate::codec) fn encode(
    pixels: &Pixels,
    quality: Option<u8>,
) -> Result<Vec<u8>, EncodeError> {
    write(pixels, quality).map_err(|reason| EncodeError { format: Format::Avif, reason })
}

/// Encodes 4:2:0 planes at `quality` 1–100 as they are. Allocates libaom's working set and the
/// result.
///
/// # Errors
/// [`EncodeError`] above 16384 pixels a side, for other chroma, and in libaom's words.
pub(in crate::codec) fn encode_planes(
    planes: &Planes,
    quality: u8,
) -> Result<Vec<u8>, EncodeError> {
    write_planes(planes, quality).map_err(|reason| EncodeError { format: Format::Avif, reason })
}

fn write_planes(planes: &Planes, quality: u8) -> Result<Vec<u8>, String> {
    let size = planes.size();
    check_sides(size)?;
    if planes.subsampling() != Subsampling::Quarter {
        return Err(format!("{:?} chroma where 4:2:0 is written", planes.subsampling()));
    }
    let [y, u, v] =
        planes.planes().map(|plane| Plane { samples: plane.samples, stride: plane.stored.width });
    let format = Coded { size, chroma: Chroma::Quarter, depth: 8 };
    let color = aom::encode(&Source { format, y, u, v }, Some(quality))?;
    contain(size, Chroma::Quarter, &color, None)
}

fn check_sides(size: Size) -> Result<(), String> {
    if size.longest() > Format::Avif.max_side() {
        return Err(format!("{size} exceeds {} pixels a side", Format::Avif.max_side()));
    }
    Ok(())
}

fn write(pixels: &Pixels, quality: Option<u8>) -> Result<Vec<u8>, String> {
    let size = pixels.size();
    check_sides(size)?;
    let (color, chroma) = match (pixels.layout(), quality) {
        (Layout::Gray, _) => (gray(pixels.data(), size, quality)?, Chroma::None),
        (_, None) => (lossless(pixels)?, Chroma::Full),
        (_, Some(quality)) => (lossy(pixels, quality)?, Chroma::Quarter),
    };
    let alpha = if pixels.layout() == Layout::Rgba && !pixels.is_opaque() {
        let mut levels = plane(size)?;
        for (level, pixel) in levels.iter_mut().zip(pixels.data().as_chunks::<4>().0) {
            *level = pixel[3];
        }
        Some(gray(&levels, size, quality.map(|quality| quality + (100 - quality) / 2))?)
    } else {
        None
    };
    contain(size, chroma, &color, alpha.as_deref())
}

/// The container around the streams of colour and alpha.
fn contain(
    size: Size,
    chroma: Chroma,
    color: &[u8],
    alpha: Option<&[u8]>,
) -> Result<Vec<u8>, String> {
    let subsampled = chroma != Chroma::Full;
    let matrix = if subsampled { MatrixCoefficients::Bt601 } else { MatrixCoefficients::Rgb };
    let mut out = Vec::new();
    Aviffy::new()
        .set_width(size.width)
        .set_height(size.height)
        .set_bit_depth(8)
        .set_seq_profile(u8::from(!subsampled))
        .set_chroma_subsampling((subsampled, subsampled))
        .set_monochrome(chroma == Chroma::None)
        .set_matrix_coefficients(matrix)
        .set_full_color_range(true)
        .write_slice(&mut out, color, alpha)
        .map_err(|error| error.to_string())?;
    Ok(out)
}

/// A plane to be written to from end to end.
fn plane(size: Size) -> Result<Vec<u8>, String> {
    let samples = usize::try_from(size.pixels()).map_err(|error| error.to_string())?;
    buffers::take(samples).map_err(|error| error.to_string())
}

/// Planes without row padding; their buffers go back to the thread.
fn encode_tight(
    format: Coded,
    planes: [Vec<u8>; 3],
    quality: Option<u8>,
) -> Result<Vec<u8>, String> {
    let chroma = match format.chroma {
        Chroma::Full => format.size,
        _ => halved(format.size),
    };
    let [y, u, v] = &planes;
    let [y, u, v] = [(y, format.size), (u, chroma), (v, chroma)]
        .map(|(samples, size)| Plane { samples: samples.as_slice(), stride: size.width });
    let stream = aom::encode(&Source { format, y, u, v }, quality);
    planes.into_iter().for_each(buffers::give_back);
    stream
}

fn gray(levels: &[u8], size: Size, quality: Option<u8>) -> Result<Vec<u8>, String> {
    let mut chroma = plane(halved(size))?;
    chroma.fill(128);
    let format = Coded { size, chroma: Chroma::None, depth: 8 };
    let stride = halved(size).width;
    let empty = Plane { samples: &chroma, stride };
    let y = Plane { samples: levels, stride: size.width };
    let stream = aom::encode(&Source { format, y, u: empty, v: empty }, quality);
    buffers::give_back(chroma);
    stream
}

fn lossless(pixels: &Pixels) -> Result<Vec<u8>, String> {
    let size = pixels.size();
    let (mut g, mut b, mut r) = (plane(size)?, plane(size)?, plane(size)?);
    let channels = pixels.layout().channels();
    let planes = r.iter_mut().zip(&mut g).zip(&mut b);
    for (((r, g), b), pixel) in planes.zip(pixels.data().chunks_exact(channels)) {
        if let &[red, green, blue, ..] = pixel {
            (*r, *g, *b) = (red, green, blue);
        }
    }
    encode_tight(Coded { size, chroma: Chroma::Full, depth: 8 }, [g, b, r], None)
}

fn lossy(pixels: &Pixels, quality: u8) -> Result<Vec<u8>, String> {
    let size = pixels.size();
    let (mut y, mut u, mut v) = (plane(size)?, plane(halved(size))?, plane(halved(size))?);
    if pixels.layout() == Layout::Rgba {
        subsample::<4>(pixels, &mut y, &mut u, &mut v);
    } else {
        subsample::<3>(pixels, &mut y, &mut u, &mut v);
    }
    encode_tight(Coded { size, chroma: Chroma::Quarter, depth: 8 }, [y, u, v], Some(quality))
}

const fn halved(size: Size) -> Size {
    Size::new(size.width.div_ceil(2), size.height.div_ceil(2))
}

/// RGB of `N` bytes per pixel → full-range BT.601 4:2:0. Chroma is the mean of four pixels, of
/// which the last column and row of odd sizes count twice.
fn subsample<const N: usize>(pixels: &Pixels, y: &mut [u8], u: &mut [u8], v: &mut [u8]) {
    let width = pixels.size().width as usize;
    let half = width.div_ceil(2);
    let pairs = pixels.data().chunks(2 * width * N);
    let chroma = u.chunks_exact_mut(half).zip(v.chunks_exact_mut(half));
    for ((rows, y), (u, v)) in pairs.zip(y.chunks_mut(2 * width)).zip(chroma) {
        for (level, pixel) in y.iter_mut().zip(rows.as_chunks::<N>().0) {
            *level = luma(pixel);
        }
        let (upper, lower) = rows.split_at(width * N);
        let upper = upper.as_chunks::<N>().0;
        let lower = if lower.is_empty() { upper } else { lower.as_chunks::<N>().0 };
        let ((upper, upper_end), (lower, lower_end)) = (upper.as_chunks(), lower.as_chunks());
        let out = u.iter_mut().zip(v.iter_mut());
        for ((u, v), ([a, b], [c, d])) in out.zip(upper.iter().zip(lower)) {
            (*u, *v) = chroma_of([a, b, c, d]);
        }
        if let ([a], [c], Some(u), Some(v)) = (upper_end, lower_end, u.last_mut(), v.last_mut()) {
            (*u, *v) = chroma_of([a, a, c, c]);
        }
    }
}

/// Luma in 1/2¹⁶, rounded.
#[expect(clippy::cast_possible_truncation, reason = "the weights sum to 1")]
fn luma<const N: usize>(pixel: &[u8; N]) -> u8 {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
    ((r * 19_595 + g * 38_470 + b * 7_471 + (1 << 15)) >> 16) as u8
}

/// Cb and Cr of the mean of four pixels, in 1/2¹⁶ of a quarter, rounded.
#[expect(clippy::cast_sign_loss, reason = "clamped")]
fn chroma_of<const N: usize>(four: [&[u8; N]; 4]) -> (u8, u8) {
    const MIDDLE: i32 = (128 << 18) + (1 << 17);
    let sum = |sample: fn(&[u8; N]) -> u8| four.map(|pixel| i32::from(sample(pixel))).iter().sum();
    let (r, g, b): (i32, i32, i32) = (sum(|p| p[0]), sum(|p| p[1]), sum(|p| p[2]));
    let cb = (MIDDLE - r * 11_058 - g * 21_710 + b * 32_768) >> 18;
    let cr = (MIDDLE + r * 32_768 - g * 27_439 - b * 5_329) >> 18;
    (cb.clamp(0, 255) as u8, cr.clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greys_have_no_chroma_and_primaries_the_textbook_one() {
        for level in [0, 1, 77, 128, 254, 255] {
            let pixel = [level; 3];
            assert_eq!(luma(&pixel), level);
            assert_eq!(chroma_of([&pixel; 4]), (128, 128));
        }
        assert_eq!(chroma_of([&[255, 0, 0]; 4]), (85, 255));
        assert_eq!(chroma_of([&[0, 255, 0]; 4]), (44, 21));
        assert_eq!(chroma_of([&[0, 0, 255]; 4]), (255, 107));
    }

    #[test]
    fn the_last_column_and_row_of_odd_sizes_count_alone() {
        let blue_corner = [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
            .into_iter()
            .chain([[0, 0, 0], [0, 0, 0], [0, 0, 255]])
            .flatten()
            .collect();
        let pixels = Pixels::new(Size::new(3, 3), Layout::Rgb, blue_corner).unwrap();
        let (mut y, mut u, mut v) = (vec![9; 9], vec![9; 4], vec![9; 4]);
        subsample::<3>(&pixels, &mut y, &mut u, &mut v);
        assert_eq!(y, [0, 0, 0, 0, 0, 0, 0, 0, 29]);
        assert_eq!((u, v), (vec![128, 128, 128, 255], vec![128, 128, 128, 107]));
    }
}

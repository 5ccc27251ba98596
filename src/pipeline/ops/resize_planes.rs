//! Resampling of planes: luma and chroma each by itself, by the same filter as pixels, and chroma
//! so that it stays in the middle of the luma it stands for. Never leaves the planes: a sample of
//! chroma beyond an odd side stands for what is there of its pair.

use super::resize::RESIZER;
use super::spare;
use crate::codec::buffers;
use crate::model::geometry::Size;
use crate::model::planes::{Plane, Planes, Subsampling};
use crate::pipeline::plan::WindowRect;
use crate::pipeline::run::RenderError;
use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions};
use std::borrow::Cow;

/// A run of samples along one axis: `count` of the result from `first` on are resampled from
/// `length` of the original's from `start` on.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    first: u32,
    count: u32,
    start: f64,
    length: f64,
}

/// Resamples `window` of the picture (in its pixels) to 4:2:0 planes of exactly `to`. The buffer of
/// planes that are not borrowed is kept for the next ones.
///
/// # Errors
/// [`RenderError::Step`] if the window does not lie inside the picture, or memory is short.
pub fn resize_planes(
    planes: Cow<'_, Planes>,
    window: WindowRect,
    to: Size,
) -> Result<Planes, RenderError> {
    let data = spare("resize", Planes::bytes_for(to, Subsampling::Quarter))?;
    let mut resized = Planes::new(to, Subsampling::Quarter, data)
        .map_err(|error| RenderError::step("resize", error))?;
    let [luma, cb, cr] = planes.planes();
    let (across, down) = planes.subsampling().ratio();
    let stored = resized.planes().map(|plane| plane.stored);
    let [y, u, v] = resized.samples_mut();
    let column = Span { first: 0, count: to.width, start: window.x, length: window.width };
    let row = Span { first: 0, count: to.height, start: window.y, length: window.height };
    resample(&[luma], &mut [y], stored[0], column, row)?;
    for column in paired(to.width, window.x, window.width, across).into_iter().flatten() {
        for row in paired(to.height, window.y, window.height, down).into_iter().flatten() {
            resample(&[cb, cr], &mut [&mut *u, &mut *v], stored[1], column, row)?;
        }
    }
    resized.repeat_edges();
    if let Cow::Owned(planes) = planes {
        buffers::give_back(planes.into_data());
    }
    Ok(resized)
}

/// Chroma: a sample for every two pixels of the result, and one for the last of an odd number,
/// from a plane that has a sample for every `ratio` pixels.
fn paired(pixels: u32, start: f64, length: f64, ratio: u32) -> [Option<Span>; 2] {
    let ratio = f64::from(ratio);
    let pairs = pixels / 2;
    let length_of_pairs = length * f64::from(pairs * 2) / f64::from(pixels);
    let span =
        Span { first: 0, count: pairs, start: start / ratio, length: length_of_pairs / ratio };
    let last = Span {
        first: pairs,
        count: 1,
        start: (start + length_of_pairs) / ratio,
        length: (length - length_of_pairs) / ratio,
    };
    [(pairs > 0).then_some(span), (pixels % 2 == 1).then_some(last)]
}

/// Resamples one rectangle of planes of equal size, downwards and then across. For the way across
/// four rows are put together as one row of pixels of four samples: the filter is at its best with
/// those, and runs one sample at a time with planes as they are.
fn resample(
    from: &[Plane<'_>],
    to: &mut [&mut [u8]],
    stored: Size,
    column: Span,
    row: Span,
) -> Result<(), RenderError> {
    let failed = |reason: &dyn std::fmt::Display| RenderError::step("resize", reason);
    let Some(size) = from.first().map(|plane| plane.size) else { return Ok(()) };
    let (column, row) = (column.within(size.width), row.within(size.height));
    // The columns the filter can reach.
    let reach = 3.0 * (column.length / f64::from(column.count)).max(1.0) + 2.0;
    let left = (column.start - reach).floor().max(0.0) as u32;
    let right = (column.start + column.length + reach).ceil().min(f64::from(size.width)) as u32;
    let across = right.saturating_sub(left);
    let groups = row.count.div_ceil(4);
    let length = |width: u32, planes: usize| {
        (width as usize).checked_mul(groups as usize * 4)?.checked_mul(planes)
    };
    let mut tall = spare("resize", length(across, 1))?;
    let mut wide = spare("resize", length(across, from.len()))?;
    for (plane, wide) in from.iter().zip(wide.chunks_exact_mut(tall.len().max(1))) {
        let stored = plane.stored;
        let source = ImageRef::new(stored.width, stored.height, plane.samples, PixelType::U8)
            .map_err(|error| failed(&error))?;
        let source = CroppedImage::new(&source, left, 0, across, size.height)
            .map_err(|error| failed(&error))?;
        let mut target = Image::from_slice_u8(across, row.count, &mut tall, PixelType::U8)
            .map_err(|error| failed(&error))?;
        let down = lanczos().crop(0.0, row.start, f64::from(across), row.length);
        RESIZER
            .with_borrow_mut(|resizer| resizer.resize(&source, &mut target, &down))
            .map_err(|error| failed(&error))?;
        put_together(&tall, wide, across as usize);
    }
    buffers::give_back(tall);
    let groups = groups * from.len() as u32;
    let source =
        ImageRef::new(across, groups, &wide, PixelType::U8x4).map_err(|error| failed(&error))?;
    let mut narrow = spare("resize", length(column.count, from.len()))?;
    let mut target = Image::from_slice_u8(column.count, groups, &mut narrow, PixelType::U8x4)
        .map_err(|error| failed(&error))?;
    let start = column.start - f64::from(left);
    let along = lanczos().crop(start, 0.0, column.length, f64::from(groups)).use_alpha(false);
    RESIZER
        .with_borrow_mut(|resizer| resizer.resize(&source, &mut target, &along))
        .map_err(|error| failed(&error))?;
    buffers::give_back(wide);
    for (from, to) in narrow.chunks_exact(narrow.len() / to.len().max(1)).zip(to.iter_mut()) {
        let rows = to.chunks_exact_mut(stored.width as usize);
        let mut rows = rows.skip(row.first as usize).take(row.count as usize);
        for group in from.chunks_exact(column.count as usize * 4) {
            for (sample, row) in rows.by_ref().take(4).enumerate() {
                let row = row.iter_mut().skip(column.first as usize);
                for (to, four) in row.zip(group.as_chunks::<4>().0) {
                    *to = four[sample];
                }
            }
        }
    }
    buffers::give_back(narrow);
    Ok(())
}

/// The filter of pixels.
fn lanczos() -> ResizeOptions {
    ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
}

/// Four rows of `width` samples → one row of fours, over and over.
fn put_together(rows: &[u8], fours: &mut [u8], width: usize) {
    let groups = rows.chunks_exact(width * 4).zip(fours.chunks_exact_mut(width * 4));
    for (rows, fours) in groups {
        let ((a, b), (c, d)) = {
            let (upper, lower) = rows.split_at(width * 2);
            (upper.split_at(width), lower.split_at(width))
        };
        let columns = a.iter().zip(b).zip(c).zip(d);
        for (four, (((a, b), c), d)) in fours.as_chunks_mut::<4>().0.iter_mut().zip(columns) {
            *four = [*a, *b, *c, *d];
        }
    }
}

impl Span {
    /// Kept inside a side where divisions have pushed its end out by a hair; what is really outside
    /// stays there.
    fn within(self, side: u32) -> Self {
        let over = self.start + self.length - f64::from(side);
        let length =
            if (0.0..1e-6).contains(&over) { f64::from(side) - self.start } else { self.length };
        Self { length, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Planes whose chroma is a ramp across and down, as it would be at full resolution.
    fn ramp(size: Size, subsampling: Subsampling) -> Planes {
        let length = Planes::bytes_for(size, subsampling).unwrap();
        let mut planes = Planes::new(size, subsampling, vec![0; length]).unwrap();
        let stored = planes.planes().map(|plane| plane.stored);
        let (across, down) = subsampling.ratio();
        let ratios = [(1, 1), (across, down), (across, down)];
        for ((samples, stored), (across, down)) in
            planes.samples_mut().into_iter().zip(stored).zip(ratios)
        {
            for (n, sample) in (0..).zip(samples) {
                let x = (f64::from(n % stored.width) + 0.5) * f64::from(across);
                let y = (f64::from(n / stored.width) + 0.5) * f64::from(down);
                *sample = level(x, y).round() as u8;
            }
        }
        planes
    }

    /// From 20 up along both axes, by steps of which no two round alike: their errors even out.
    fn level(x: f64, y: f64) -> f64 {
        20.0 + 0.937 * x + 1.061 * y
    }

    #[test]
    fn chroma_lies_where_luma_says_at_even_and_odd_sizes() {
        let size = Size::new(101, 79);
        for subsampling in [Subsampling::Quarter, Subsampling::Half, Subsampling::Full] {
            let planes = ramp(size, subsampling);
            let window = WindowRect { x: 10.0, y: 5.5, width: 81.0, height: 64.5 };
            for to in [Size::new(40, 32), Size::new(41, 33), Size::new(54, 43), Size::new(7, 5)] {
                let small = resize_planes(Cow::Borrowed(&planes), window, to).unwrap();
                assert_eq!((small.size(), small.subsampling()), (to, Subsampling::Quarter));
                let (sx, sy) =
                    (window.width / f64::from(to.width), window.height / f64::from(to.height));
                for (index, plane) in small.planes().into_iter().enumerate() {
                    let step = if index == 0 { 1 } else { 2 };
                    // The middle of what a sample stands for, in pixels of the result.
                    let middle =
                        |n: u32, side: u32| f64::from(n * step + ((n + 1) * step).min(side)) / 2.0;
                    let (mut sum, mut count) = (0.0, 0.0);
                    for (row, y) in plane.samples.chunks(plane.stored.width as usize).zip(0..) {
                        for (sample, x) in row.iter().zip(0..plane.size.width) {
                            if y >= plane.size.height {
                                continue;
                            }
                            let x = window.x + middle(x, to.width) * sx;
                            let y = window.y + middle(y, to.height) * sy;
                            let error = f64::from(*sample) - level(x, y);
                            // The filter is cut off at the edges of the picture.
                            assert!(error.abs() <= 4.0, "{subsampling:?} {to} {index}: {error}");
                            sum += error;
                            count += 1.0;
                        }
                    }
                    // Half a pixel beside its place would be half of `sx` and of `sy`.
                    let mean: f64 = sum / count;
                    assert!(mean.abs() <= 0.4, "{subsampling:?} {to} {index}: {mean}");
                }
            }
        }
    }

    #[test]
    fn an_even_picture_stays_even_at_any_size_and_its_edges_are_filled() {
        for size in [Size::new(1, 1), Size::new(2, 1), Size::new(37, 23), Size::new(64, 48)] {
            let length = Planes::bytes_for(size, Subsampling::Quarter).unwrap();
            let planes = Planes::new(size, Subsampling::Quarter, vec![119; length]).unwrap();
            for to in [Size::new(1, 1), Size::new(3, 5), Size::new(10, 9), Size::new(80, 61)] {
                let window = WindowRect::of(size);
                let resized = resize_planes(Cow::Borrowed(&planes), window, to).unwrap();
                assert!(resized.data().iter().all(|v| v.abs_diff(119) <= 1), "{size} {to}");
            }
        }
    }

    #[test]
    fn a_window_outside_is_an_error() {
        let planes = ramp(Size::new(4, 4), Subsampling::Quarter);
        let window = WindowRect { x: 2.5, y: 0.0, width: 2.0, height: 2.0 };
        assert!(resize_planes(Cow::Owned(planes), window, Size::new(5, 5)).is_err());
    }
}

//! Planes → 8-bit grey, RGB or RGBA: row by row through `rows`, alpha beside it, cut to the clean
//! aperture and on into the shrink. Allocates the result and a few rows. Never turns.

use super::color::ToneMap;
use super::planes::{Chroma, Sample, View, Yuv};
use super::reduced::Reducer;
use super::rows::{BITS, Level, Matrix, Range, Rows, scale_row, widen};
use crate::codec::DecodeError;
use crate::codec::bmff::broken;
use crate::codec::bmff::property::Cicp;
use crate::codec::shrink::Shrinker;
use crate::model::geometry::Rect;
use crate::model::pixels::{Layout, Pixels};
use crate::model::source::Scale;

/// Alpha as 8-bit rows.
pub(super) struct Alpha<'a> {
    view: View<'a>,
    range: Range,
    samples: Vec<i16>,
    row: Vec<u8>,
}

impl<'a> Alpha<'a> {
    /// Of the luma plane of `view`.
    pub(super) fn new(view: View<'a>, full_range: bool) -> Self {
        let format = view.format();
        let width = format.size.width as usize;
        let range = Range::new(format.depth, full_range);
        Self { view, range, samples: vec![0; width], row: vec![0; width] }
    }

    fn load(&mut self, row: usize) -> &[u8] {
        let shift = BITS - u32::from(self.view.format().depth);
        match &self.view {
            View::Eight(yuv) => widen(yuv.row(0, row), shift, 0, &mut self.samples),
            View::Deep(yuv) => widen(yuv.row(0, row), shift, 0, &mut self.samples),
        }
        scale_row(&self.samples, self.range, &mut self.row);
        &self.row
    }
}

/// What of the picture is wanted, and how its colours are stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// The clean aperture; all of it where there is none.
    pub(super) crop: Option<Rect>,
    /// Whether the colours are multiplied by alpha.
    pub(super) premultiplied: bool,
    /// How much smaller.
    pub(super) scale: Scale,
}

/// Converts a picture: grey without chroma planes (RGBA if there is alpha), else RGB or RGBA.
/// `cicp` says what the samples are; `tone` brings wide or high-dynamic-range colours to sRGB.
///
/// # Errors
/// [`DecodeError::Broken`] where memory is short, RGB planes differ in size, the alpha plane has
/// another size, or the clean aperture leaves the picture.
pub(super) fn pixels(
    view: &View<'_>,
    cicp: Cicp,
    tone: Option<&ToneMap>,
    alpha: Option<Alpha<'_>>,
    shape: Shape,
) -> Result<Pixels, DecodeError> {
    if alpha.as_ref().is_some_and(|alpha| alpha.view.format().size != view.format().size) {
        return Err(broken("the alpha plane has another size than the picture"));
    }
    match (view, tone) {
        (View::Eight(yuv), None) => convert::<_, u8>(yuv, cicp, interleave, gray, alpha, shape),
        (View::Deep(yuv), None) => convert::<_, u8>(yuv, cicp, interleave, gray, alpha, shape),
        (View::Eight(yuv), Some(tone)) => convert::<_, u16>(
            yuv,
            cicp,
            |rgb, out| tone.row(rgb, out),
            |y, out| tone.grey(y, out),
            alpha,
            shape,
        ),
        (View::Deep(yuv), Some(tone)) => convert::<_, u16>(
            yuv,
            cicp,
            |rgb, out| tone.row(rgb, out),
            |y, out| tone.grey(y, out),
            alpha,
            shape,
        ),
    }
}

/// Where a finished row goes: RGB or RGBA, the latter's alpha already in place.
pub(super) enum Out<'a> {
    /// Three bytes per pixel.
    Rgb(&'a mut [u8]),
    /// Four bytes per pixel; the fourth is not written.
    Rgba(&'a mut [u8]),
}

fn convert<S: Sample, L: Level>(
    yuv: &Yuv<'_, S>,
    cicp: Cicp,
    colour: impl Fn([&[L]; 3], Out<'_>),
    grey: impl Fn(&[L], &mut [u8]),
    mut alpha: Option<Alpha<'_>>,
    shape: Shape,
) -> Result<Pixels, DecodeError> {
    let format = yuv.format;
    let monochrome = format.chroma == Chroma::None;
    let layout = match (monochrome, alpha.is_some()) {
        (_, true) => Layout::Rgba,
        (true, false) => Layout::Gray,
        (false, false) => Layout::Rgb,
    };
    let width = format.size.width as usize;
    let range = Range::new(format.depth, cicp.full_range);
    let matrix = if monochrome { Matrix::Identity } else { Matrix::new(cicp, format)? };
    let centred = matrix != Matrix::Identity;
    // Means of planes where nothing weighs or shifts them; else of the converted rows.
    let by_planes = shape.scale != Scale::Full && alpha.is_none() && shape.crop.is_none();
    let size = if by_planes { shape.scale.apply(format.size) } else { format.size };
    let mut reducer = Reducer::new(if by_planes { width } else { 0 });
    let mut rows = Rows::<L>::new(size.width as usize);
    let mut row = |index: usize, out: &mut [u8]| {
        if by_planes {
            reducer.load(yuv, index, shape.scale, centred, &mut rows);
        } else {
            rows.load(yuv, index, centred);
        }
        if let Some(alpha) = &mut alpha {
            let levels = alpha.load(index);
            for ([_, _, _, a], &level) in out.as_chunks_mut::<4>().0.iter_mut().zip(levels) {
                *a = level;
            }
        }
        match (monochrome, layout) {
            (true, Layout::Gray) => {
                scale_row(&rows.y, range, &mut rows.g);
                grey(&rows.g, out);
            }
            (true, _) => {
                scale_row(&rows.y, range, &mut rows.g);
                colour([&rows.g, &rows.g, &rows.g], Out::Rgba(out));
            }
            (false, Layout::Rgba) => {
                rows.apply(range, matrix);
                colour([&rows.r, &rows.g, &rows.b], Out::Rgba(out));
            }
            (false, _) => {
                rows.apply(range, matrix);
                colour([&rows.r, &rows.g, &rows.b], Out::Rgb(out));
            }
        }
        if shape.premultiplied && layout == Layout::Rgba {
            unpremultiply(out);
        }
    };
    let Some(crop) = shape.crop else {
        let scale = if by_planes { Scale::Full } else { shape.scale };
        let mut shrinker = Shrinker::new(size, layout, scale).map_err(broken)?;
        for index in 0..size.height as usize {
            shrinker.row(|out| {
                row(index, out);
                Ok::<(), DecodeError>(())
            })?;
        }
        return shrinker.finish().map_err(broken);
    };
    let (left, top) = (crop.x as usize, crop.y as usize);
    let (columns, lines) = (crop.size.width as usize, crop.size.height as usize);
    if left + columns > width || top + lines > format.size.height as usize {
        return Err(broken("the clean aperture leaves the picture"));
    }
    let mut shrinker = Shrinker::new(crop.size, layout, shape.scale).map_err(broken)?;
    let channels = layout.channels();
    let mut line = vec![0; width * channels];
    for index in top..top + lines {
        row(index, &mut line);
        shrinker.push(line.get(left * channels..(left + columns) * channels).unwrap_or_default());
    }
    shrinker.finish().map_err(broken)
}

fn gray(levels: &[u8], out: &mut [u8]) {
    out.copy_from_slice(levels);
}

fn interleave([r, g, b]: [&[u8]; 3], out: Out<'_>) {
    let colours = r.iter().zip(g).zip(b);
    match out {
        Out::Rgb(out) => {
            for (out, ((&r, &g), &b)) in out.as_chunks_mut::<3>().0.iter_mut().zip(colours) {
                *out = [r, g, b];
            }
        }
        Out::Rgba(out) => {
            for ([or, og, ob, _], ((&r, &g), &b)) in
                out.as_chunks_mut::<4>().0.iter_mut().zip(colours)
            {
                (*or, *og, *ob) = (r, g, b);
            }
        }
    }
}

/// Divides colours by alpha, rounding; fully transparent pixels stay as they are.
fn unpremultiply(rgba: &mut [u8]) {
    for [r, g, b, a] in rgba.as_chunks_mut::<4>().0 {
        let alpha = u32::from(*a);
        if alpha == 0 || alpha == 255 {
            continue;
        }
        for channel in [r, g, b] {
            let straight = (u32::from(*channel) * 255 + alpha / 2) / alpha;
            *channel = u8::try_from(straight).unwrap_or(255);
        }
    }
}

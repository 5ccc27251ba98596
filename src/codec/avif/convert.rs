//! Planes → 8-bit grey, RGB or RGBA: row by row through `rows`, alpha beside it. Allocates the
//! result and a few rows. Never crops or turns.

use super::color::ToneMap;
use super::planes::{Chroma, Sample, View, Yuv};
use super::rows::{BITS, Level, Matrix, Range, Rows, scale_row, widen};
use crate::codec::DecodeError;
use crate::codec::bmff::broken;
use crate::codec::bmff::property::Cicp;
use crate::model::geometry::Size;
use crate::model::pixels::{Layout, Pixels};

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

/// Converts a picture: grey without chroma planes (RGBA if there is alpha), else RGB or RGBA.
/// `cicp` says what the samples are; `tone` brings wide or high-dynamic-range colours to sRGB.
///
/// # Errors
/// [`DecodeError::Broken`] where memory is short, RGB planes differ in size, or the alpha
/// plane has another size.
pub(super) fn pixels(
    view: &View<'_>,
    cicp: Cicp,
    tone: Option<&ToneMap>,
    alpha: Option<Alpha<'_>>,
) -> Result<Pixels, DecodeError> {
    if alpha.as_ref().is_some_and(|alpha| alpha.view.format().size != view.format().size) {
        return Err(broken("the alpha plane has another size than the picture"));
    }
    match (view, tone) {
        (View::Eight(yuv), None) => convert::<_, u8>(yuv, cicp, interleave, gray, alpha),
        (View::Deep(yuv), None) => convert::<_, u8>(yuv, cicp, interleave, gray, alpha),
        (View::Eight(yuv), Some(tone)) => convert::<_, u16>(
            yuv,
            cicp,
            |rgb, out| tone.row(rgb, out),
            |y, out| tone.grey(y, out),
            alpha,
        ),
        (View::Deep(yuv), Some(tone)) => convert::<_, u16>(
            yuv,
            cicp,
            |rgb, out| tone.row(rgb, out),
            |y, out| tone.grey(y, out),
            alpha,
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
) -> Result<Pixels, DecodeError> {
    let format = yuv.format;
    let monochrome = format.chroma == Chroma::None;
    let layout = match (monochrome, alpha.is_some()) {
        (_, true) => Layout::Rgba,
        (true, false) => Layout::Gray,
        (false, false) => Layout::Rgb,
    };
    let mut data = room(format.size, layout)?;
    let width = format.size.width as usize;
    let range = Range::new(format.depth, cicp.full_range);
    let matrix = if monochrome { Matrix::Identity } else { Matrix::new(cicp, format)? };
    let centred = matrix != Matrix::Identity;
    let mut rows = Rows::<L>::new(width);
    for (index, out) in data.chunks_exact_mut(width * layout.channels()).enumerate() {
        rows.load(yuv, index, centred);
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
    }
    Pixels::new(format.size, layout, data).map_err(|error| broken(error.to_string()))
}

fn room(size: Size, layout: Layout) -> Result<Vec<u8>, DecodeError> {
    let short = || broken(format!("no memory for {} pixels", size.pixels()));
    let bytes = Pixels::bytes_for(size, layout).ok_or_else(short)?;
    let mut data = Vec::new();
    data.try_reserve_exact(bytes).map_err(|_| short())?;
    data.resize(bytes, 0);
    Ok(data)
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
pub(super) fn unpremultiply(pixels: &mut Pixels) {
    if pixels.layout() != Layout::Rgba {
        return;
    }
    for [r, g, b, a] in pixels.data_mut().as_chunks_mut::<4>().0 {
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

//! One row at a time: planes to full width (bilinear chroma, sited at the centre as libavif and
//! browsers have it), then through the matrix in 32-bit fixed point. The loops hold no branch
//! and no index, so that they run in vector lanes. Knows nothing of whole pictures.

use super::planes::{Chroma, Format, Sample, Yuv};
use crate::codec::DecodeError;
use crate::codec::bmff::broken;
use crate::codec::bmff::property::Cicp;

/// Rows between the steps hold samples of every depth scaled to this many bits, so that one
/// loop serves all depths and fits 16-bit lanes.
pub(super) const BITS: u32 = 14;
/// White of an 8-bit result on that scale: 255 << 6.
pub(super) const WHITE: u16 = 255 << (BITS - 8);
/// Grey on that scale.
pub(super) const MIDDLE: i16 = 1 << (BITS - 1);
/// Fraction bits of the coefficients; none of them reaches 4.
const FRACTION: u32 = 13;

/// How samples become colours, in units of 1/2¹³.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Matrix {
    /// The planes are G, B, R.
    Identity,
    /// YCgCo: all coefficients are the chroma scale, the signs are fixed.
    Ycgco { chroma: i16 },
    /// Y'CbCr by luma weights.
    Ycbcr { red_cr: i16, green_cb: i16, green_cr: i16, blue_cb: i16 },
}

/// Offset and gain of a plane: result = (sample - offset) × gain / 2¹³.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    offset: i16,
    gain: i16,
}

impl Range {
    /// Of luma, alpha and RGB planes.
    pub(super) fn new(depth: u8, full: bool) -> Self {
        if full {
            Self { offset: 0, gain: fixed(255.0 / whole(depth)) }
        } else {
            Self { offset: 16 << (BITS - 8), gain: fixed(255.0 / 219.0) }
        }
    }
}

/// The largest sample of a depth on the scale of 8 bits: 255, 255.75, 255.9375.
fn whole(depth: u8) -> f64 {
    256.0 - 256.0 / f64::from(1_u32 << depth)
}

#[expect(clippy::cast_possible_truncation, reason = "coefficients are below 4")]
fn fixed(coefficient: f64) -> i16 {
    (coefficient * f64::from(1 << FRACTION)).round() as i16
}

impl Matrix {
    /// By H.273 §8.3; what is reserved, unspecified or needs more than a matrix is read as
    /// BT.601, as browsers do.
    pub(super) fn new(cicp: Cicp, format: Format) -> Result<Self, DecodeError> {
        let scale = if cicp.full_range { 255.0 / whole(format.depth) } else { 255.0 / 224.0 };
        let (kr, kb) = match cicp.matrix {
            0 if format.chroma == Chroma::Full => return Ok(Self::Identity),
            0 => return Err(broken("RGB planes of different sizes")),
            8 => return Ok(Self::Ycgco { chroma: fixed(scale) }),
            1 => (0.2126, 0.0722),
            4 => (0.30, 0.11),
            7 => (0.212, 0.087),
            9 => (0.2627, 0.0593),
            12 => match cicp.primaries {
                9 => (0.2627, 0.0593),
                11 | 12 => (0.228_975, 0.079_287),
                _ => (0.2126, 0.0722),
            },
            _ => (0.299, 0.114),
        };
        let kg = 1.0 - kr - kb;
        Ok(Self::Ycbcr {
            red_cr: fixed(2.0 * (1.0 - kr) * scale),
            green_cb: fixed(2.0 * (1.0 - kb) * kb / kg * scale),
            green_cr: fixed(2.0 * (1.0 - kr) * kr / kg * scale),
            blue_cb: fixed(2.0 * (1.0 - kb) * scale),
        })
    }
}

/// What a row is made of: 8-bit results, or [`BITS`]-bit ones that still go through a tone map.
pub(super) trait Level: Copy + Default {
    const SHIFT: u32;
    fn clamped(value: i32) -> Self;
}

impl Level for u8 {
    const SHIFT: u32 = FRACTION + BITS - 8;

    #[expect(clippy::cast_sign_loss, reason = "clamped")]
    fn clamped(value: i32) -> Self {
        value.clamp(0, 255) as Self
    }
}

impl Level for u16 {
    const SHIFT: u32 = FRACTION;

    #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "clamped")]
    fn clamped(value: i32) -> Self {
        value.clamp(0, i32::from(WHITE)) as Self
    }
}

fn product(a: i16, b: i16) -> i32 {
    i32::from(a) * i32::from(b)
}

/// One plane alone: grey, alpha, or a plane of RGB.
pub(super) fn scale_row<L: Level>(source: &[i16], range: Range, out: &mut [L]) {
    let half = 1 << (L::SHIFT - 1);
    for (out, &sample) in out.iter_mut().zip(source) {
        let level = product(sample.wrapping_sub(range.offset), range.gain);
        *out = L::clamped((level + half) >> L::SHIFT);
    }
}

/// The rows of the three planes at full width, in and out of the matrix.
pub(super) struct Rows<L> {
    pub(super) y: Vec<i16>,
    pub(super) u: Vec<i16>,
    pub(super) v: Vec<i16>,
    /// A chroma row between the vertical and the horizontal step, one sample longer at each end.
    blended: Vec<u16>,
    pub(super) r: Vec<L>,
    pub(super) g: Vec<L>,
    pub(super) b: Vec<L>,
}

impl<L: Level> Rows<L> {
    pub(super) fn new(width: usize) -> Self {
        // Even, so that the upsampler always writes pairs.
        let even = width.next_multiple_of(2);
        let samples = || vec![0_i16; even];
        let levels = || vec![L::default(); width];
        Self {
            y: samples(),
            u: samples(),
            v: samples(),
            blended: vec![0; even / 2 + 2],
            r: levels(),
            g: levels(),
            b: levels(),
        }
    }

    /// Fills `y`, `u`, `v` from row `row`.
    pub(super) fn load<S: Sample>(&mut self, yuv: &Yuv<'_, S>, row: usize, centred: bool) {
        let format = yuv.format;
        let shift = BITS - u32::from(format.depth);
        widen(yuv.row(0, row), shift, 0, &mut self.y);
        let middle = if centred { MIDDLE } else { 0 };
        for (plane, out) in [(1, &mut self.u), (2, &mut self.v)] {
            match format.chroma {
                Chroma::None => {}
                Chroma::Full => widen(yuv.row(plane, row), shift, middle, out),
                Chroma::Half => {
                    let near = yuv.row(plane, row);
                    blend(near, near, &mut self.blended);
                    stretch(&self.blended, format.depth, out);
                }
                Chroma::Quarter => {
                    let last = (format.size.height as usize).div_ceil(2) - 1;
                    let near = row / 2;
                    let far = if row.is_multiple_of(2) { near.saturating_sub(1) } else { near + 1 };
                    blend(yuv.row(plane, near), yuv.row(plane, far.min(last)), &mut self.blended);
                    stretch(&self.blended, format.depth, out);
                }
            }
        }
    }

    /// Fills `r`, `g`, `b`.
    pub(super) fn apply(&mut self, range: Range, matrix: Matrix) {
        let half = 1 << (L::SHIFT - 1);
        let Self { y, u, v, r, g, b, .. } = self;
        let samples = y.iter().zip(u.iter()).zip(v.iter());
        let colours = r.iter_mut().zip(g.iter_mut()).zip(b.iter_mut());
        match matrix {
            Matrix::Identity => {
                scale_row(y, range, g);
                scale_row(u, range, b);
                scale_row(v, range, r);
            }
            Matrix::Ycgco { chroma } => {
                for (((&y, &u), &v), ((r, g), b)) in samples.zip(colours) {
                    let luma = product(y.wrapping_sub(range.offset), range.gain) + half;
                    let (green, orange) = (product(u, chroma), product(v, chroma));
                    *r = L::clamped((luma - green + orange) >> L::SHIFT);
                    *g = L::clamped((luma + green) >> L::SHIFT);
                    *b = L::clamped((luma - green - orange) >> L::SHIFT);
                }
            }
            Matrix::Ycbcr { red_cr, green_cb, green_cr, blue_cb } => {
                for (((&y, &u), &v), ((r, g), b)) in samples.zip(colours) {
                    let luma = product(y.wrapping_sub(range.offset), range.gain) + half;
                    *r = L::clamped((luma + product(v, red_cr)) >> L::SHIFT);
                    *g = L::clamped(
                        (luma - product(u, green_cb) - product(v, green_cr)) >> L::SHIFT,
                    );
                    *b = L::clamped((luma + product(u, blue_cb)) >> L::SHIFT);
                }
            }
        }
    }
}

/// Samples to [`BITS`] bits, `middle` becoming nought.
#[expect(clippy::cast_possible_wrap, reason = "14 bits")]
pub(super) fn widen<S: Sample>(source: &[S], shift: u32, middle: i16, out: &mut [i16]) {
    for (out, &sample) in out.iter_mut().zip(source) {
        *out = ((sample.level() << shift) as i16).wrapping_sub(middle);
    }
}

/// Three parts of the near row and one of the far one, the ends doubled. At 12 bits the sum
/// has 14, and what [`stretch`] makes of it 16: the most that fits.
fn blend<S: Sample>(near: &[S], far: &[S], out: &mut [u16]) {
    let Some((first, rest)) = out.split_first_mut() else { return };
    for ((out, &near), &far) in rest.iter_mut().zip(near).zip(far) {
        *out = (near.level() & 0x0FFF) * 3 + (far.level() & 0x0FFF);
    }
    *first = rest.first().copied().unwrap_or_default();
    let width = near.len();
    let last = width.checked_sub(1).and_then(|last| rest.get(last)).copied();
    if let (Some(end), Some(last)) = (rest.get_mut(width), last) {
        *end = last;
    }
}

/// Each sample becomes two, each three parts its own and one part its neighbour's.
fn stretch(blended: &[u16], depth: u8, out: &mut [i16]) {
    // Sums have depth + 4 bits; constant shifts let the loop run in 16-bit lanes.
    match depth {
        8 => stretch_by::<2, 0, 0>(blended, out),
        10 => stretch_by::<0, 0, 0>(blended, out),
        _ => stretch_by::<0, 2, 2>(blended, out),
    }
}

#[expect(clippy::cast_possible_wrap, reason = "14 bits")]
fn stretch_by<const UP: u32, const DOWN: u32, const ROUND: u16>(blended: &[u16], out: &mut [i16]) {
    let own = blended.get(1..).unwrap_or_default();
    let right = blended.get(2..).unwrap_or_default();
    let pairs = out.as_chunks_mut::<2>().0.iter_mut();
    for ((([even, odd], &left), &own), &right) in pairs.zip(blended).zip(own).zip(right) {
        let own = own * 3 + ROUND;
        *even = (((own + left) >> DOWN << UP) as i16).wrapping_sub(MIDDLE);
        *odd = (((own + right) >> DOWN << UP) as i16).wrapping_sub(MIDDLE);
    }
}

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the numbers of the tests are in range"
)]
mod tests {
    use super::*;
    use crate::model::geometry::Size;

    fn cicp(matrix: u16, full_range: bool) -> Cicp {
        Cicp { primaries: 2, transfer: 2, matrix, full_range }
    }

    fn format(depth: u8) -> Format {
        Format { size: Size::new(1, 1), chroma: Chroma::Full, depth }
    }

    /// One pixel through the matrix.
    fn colour(cicp: Cicp, depth: u8, samples: [u16; 3]) -> [u8; 3] {
        let format = format(depth);
        let matrix = Matrix::new(cicp, format).unwrap();
        let mut rows = Rows::<u8>::new(1);
        let shift = BITS - u32::from(depth);
        let middle = if matrix == Matrix::Identity { 0 } else { MIDDLE };
        let [y, u, v] = samples;
        widen(&[y], shift, 0, &mut rows.y);
        widen(&[u], shift, middle, &mut rows.u);
        widen(&[v], shift, middle, &mut rows.v);
        rows.apply(Range::new(depth, cicp.full_range), matrix);
        [rows.r[0], rows.g[0], rows.b[0]]
    }

    #[test]
    fn black_white_and_grey_are_exact_at_every_depth_range_and_matrix() {
        for depth in [8, 10, 12] {
            let up = |level: u16| level << (depth - 8);
            for matrix in [1, 2, 4, 5, 6, 7, 8, 9, 12] {
                let middle = up(128);
                let full = |y| colour(cicp(matrix, true), depth, [y, middle, middle]);
                assert_eq!(full(0), [0; 3]);
                assert_eq!(full((1 << depth) - 1), [255; 3], "{depth} {matrix}");
                let limited = |y| colour(cicp(matrix, false), depth, [up(y), middle, middle]);
                assert_eq!(limited(16), [0; 3]);
                assert_eq!(limited(235), [255; 3], "{depth} {matrix}");
                assert_eq!(limited(0), [0; 3]);
            }
        }
        for level in 0..=255 {
            assert_eq!(colour(cicp(6, true), 8, [level, 128, 128]), [level as u8; 3]);
            assert_eq!(colour(cicp(0, true), 8, [level, 7, 9]), [9, level as u8, 7]);
        }
    }

    #[test]
    fn the_matrices_are_those_of_the_standards() {
        // Pure red: Y' = Kr, Cr at its maximum, Cb = -Kr / (2 (1 - Kb)).
        for (matrix, kr, kb) in
            [(1, 0.2126, 0.0722), (6, 0.299, 0.114), (9, 0.2627, 0.0593), (2, 0.299, 0.114)]
        {
            let y: f64 = 16.0 + 219.0 * kr;
            let cb: f64 = 128.0 - 224.0 * kr / (2.0 * (1.0 - kb));
            let [r, g, b] = colour(
                cicp(matrix, false),
                12,
                [(y * 16.0).round() as u16, (cb * 16.0).round() as u16, 240 * 16],
            );
            assert!(r >= 254 && g <= 1 && b <= 1, "{matrix}: {r} {g} {b}");
        }
        // YCgCo: pure green is (½, ½, 0).
        assert_eq!(colour(cicp(8, true), 8, [128, 255, 128]), [1, 255, 1]);
    }

    #[test]
    fn chroma_is_interpolated_from_the_centres_and_flat_areas_stay_flat() {
        for (depth, level) in [(8, 200_u16), (10, 800), (12, 4095)] {
            let mut blended = vec![0; 5];
            blend(&[level; 3], &[level; 3], &mut blended);
            let mut out = vec![0; 6];
            stretch(&blended, depth, &mut out);
            let expected = (level << (BITS - u32::from(depth))) as i16 - MIDDLE;
            assert_eq!(out, [expected; 6], "{depth}");
        }
        let mut blended = vec![0; 4];
        blend(&[0_u8, 160], &[0, 160], &mut blended);
        let mut out = vec![0; 4];
        stretch(&blended, 8, &mut out);
        let levels: Vec<_> = out.iter().map(|&n| (n + MIDDLE) >> 6).collect();
        assert_eq!(levels, [0, 40, 120, 160]);
    }

    #[test]
    fn rgb_planes_of_different_sizes_are_broken() {
        let subsampled = Format { chroma: Chroma::Quarter, ..format(8) };
        assert!(Matrix::new(cicp(0, true), subsampled).is_err());
    }
}

//! Gaussian blur. Small σ by the kernel itself; from σ = 5 three box blurs, whose cost does not
//! grow with σ (Filter Effects Module Level 1, §`feGaussianBlur`). Integer arithmetic throughout,
//! so every machine gives the same bytes. Edges are extended by their own pixels.

use super::premultiplied::Deep;
use crate::model::pixels::Pixels;
use crate::pipeline::run::RenderError;

/// From here on three boxes of odd widths meet σ to within 4 %.
const BOX_SIGMA: f64 = 5.0;

/// Below this the kernel is a single 1.
const NO_SIGMA: f64 = 0.2;

/// Blurs with standard deviation `sigma` in pixels. Allocates two 16-bit copies.
///
/// # Errors
/// [`RenderError::Step`] where memory is short.
pub fn blur(pixels: Pixels, sigma: f64) -> Result<Pixels, RenderError> {
    if sigma < NO_SIGMA {
        return Ok(pixels);
    }
    let mut deep = Deep::of(&pixels);
    drop(pixels);
    blur_deep(&mut deep, sigma);
    deep.into_pixels("blur")
}

pub(super) fn blur_deep(deep: &mut Deep, sigma: f64) {
    let passes: Vec<Kernel> = if sigma < BOX_SIGMA {
        vec![Kernel::Weights(gaussian(sigma))]
    } else {
        boxes(sigma).into_iter().map(Kernel::Box).collect()
    };
    let mut scratch = vec![0u16; deep.samples.len()];
    let (stride, channels) = (deep.stride(), deep.layout.channels());
    for pass in &passes {
        pass.along_rows(&deep.samples, &mut scratch, stride, channels);
        pass.along_columns(&scratch, &mut deep.samples, stride);
    }
}

enum Kernel {
    /// Symmetric weights from the centre outwards, in 1/65536, summing to 65536 over both sides.
    Weights(Vec<u32>),
    /// A box from `before` samples to the left up to `after` to the right.
    Box(BoxSpan),
}

#[derive(Clone, Copy)]
struct BoxSpan {
    before: usize,
    after: usize,
}

impl BoxSpan {
    const fn width(self) -> u64 {
        (self.before + self.after + 1) as u64
    }
}

fn gaussian(sigma: f64) -> Vec<u32> {
    let radius = (sigma * 3.0).ceil() as usize;
    let weights: Vec<f64> =
        (0..=radius).map(|i| (-((i * i) as f64) / (2.0 * sigma * sigma)).exp()).collect();
    let sum: f64 = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    let mut fixed: Vec<u32> = weights.iter().map(|w| (w / sum * 65_536.0).round() as u32).collect();
    // Rounding errors go to the centre, so that an even picture stays even.
    let sides: u32 = 2 * fixed[1..].iter().sum::<u32>();
    fixed[0] = 65_536 - sides;
    fixed
}

/// Three box widths whose variances add up to σ² as nearly as odd widths can.
fn boxes(sigma: f64) -> [BoxSpan; 3] {
    let ideal = (sigma * sigma * 4.0 + 1.0).sqrt();
    let mut lower = ideal.floor() as usize;
    if lower.is_multiple_of(2) {
        lower -= 1;
    }
    let l = lower as f64;
    let narrow = (12.0 * sigma * sigma - 3.0 * l * l - 12.0 * l - 9.0) / (-4.0 * l - 4.0);
    let narrow = narrow.round().clamp(0.0, 3.0) as usize;
    [0, 1, 2].map(|i| {
        let radius = if i < narrow { lower / 2 } else { lower / 2 + 1 };
        BoxSpan { before: radius, after: radius }
    })
}

impl Kernel {
    fn along_rows(&self, from: &[u16], to: &mut [u16], stride: usize, channels: usize) {
        let mut line = Vec::new();
        let mut blurred = vec![0u16; stride / channels];
        for (from, to) in from.chunks_exact(stride).zip(to.chunks_exact_mut(stride)) {
            for channel in 0..channels {
                line.clear();
                line.extend(from.iter().skip(channel).step_by(channels));
                self.line(&line, &mut blurred);
                for (to, v) in to.iter_mut().skip(channel).step_by(channels).zip(&blurred) {
                    *to = *v;
                }
            }
        }
    }

    fn line(&self, from: &[u16], to: &mut [u16]) {
        let last = from.len() - 1;
        let at = |i: isize| u64::from(from[i.clamp(0, last as isize) as usize]);
        match self {
            Self::Weights(weights) => {
                for (i, to) in to.iter_mut().enumerate() {
                    let mut sum = at(i as isize) * u64::from(weights[0]);
                    for (d, w) in weights.iter().enumerate().skip(1) {
                        let (i, d) = (i as isize, d as isize);
                        sum += (at(i - d) + at(i + d)) * u64::from(*w);
                    }
                    *to = ((sum + 32_768) >> 16) as u16;
                }
            }
            Self::Box(span) => {
                let (before, after) = (span.before as isize, span.after as isize);
                let width = span.width();
                let mut sum: u64 = (-before..=after).map(at).sum();
                for (i, to) in to.iter_mut().enumerate() {
                    *to = ((sum + width / 2) / width) as u16;
                    let i = i as isize;
                    sum = sum + at(i + after + 1) - at(i - before);
                }
            }
        }
    }

    /// The same down the columns, a whole row at a time so that memory is read in order.
    fn along_columns(&self, from: &[u16], to: &mut [u16], stride: usize) {
        let last = from.len() / stride - 1;
        let row = |y: isize| {
            let y = y.clamp(0, last as isize) as usize;
            &from[y * stride..(y + 1) * stride]
        };
        let mut sums = vec![0u64; stride];
        match self {
            Self::Weights(weights) => {
                for (y, to) in to.chunks_exact_mut(stride).enumerate() {
                    let y = y as isize;
                    for (sum, v) in sums.iter_mut().zip(row(y)) {
                        *sum = u64::from(*v) * u64::from(weights[0]) + 32_768;
                    }
                    for (d, w) in weights.iter().enumerate().skip(1) {
                        let (above, below) = (row(y - d as isize), row(y + d as isize));
                        for ((sum, a), b) in sums.iter_mut().zip(above).zip(below) {
                            *sum += (u64::from(*a) + u64::from(*b)) * u64::from(*w);
                        }
                    }
                    for (to, sum) in to.iter_mut().zip(&sums) {
                        *to = (sum >> 16) as u16;
                    }
                }
            }
            Self::Box(span) => {
                let (before, after) = (span.before as isize, span.after as isize);
                let width = span.width();
                for y in -before..=after {
                    for (sum, v) in sums.iter_mut().zip(row(y)) {
                        *sum += u64::from(*v);
                    }
                }
                for (y, to) in to.chunks_exact_mut(stride).enumerate() {
                    for (to, sum) in to.iter_mut().zip(&sums) {
                        *to = ((sum + width / 2) / width) as u16;
                    }
                    let y = y as isize;
                    let (enters, leaves) = (row(y + after + 1), row(y - before));
                    for ((sum, a), b) in sums.iter_mut().zip(enters).zip(leaves) {
                        *sum = *sum + u64::from(*a) - u64::from(*b);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::geometry::Size;
    use crate::model::pixels::Layout;

    /// Blurs a single white pixel in the middle and returns the standard deviation found.
    fn measured_sigma(sigma: f64) -> f64 {
        let side = 401;
        let mut samples = vec![0u16; side * side];
        samples[(side / 2) * side + side / 2] = u16::MAX;
        // A point is too faint for wide kernels: draw a line and measure across it.
        for y in 0..side {
            samples[y * side + side / 2] = u16::MAX;
        }
        let size = Size::new(side as u32, side as u32);
        let mut deep = Deep { size, layout: Layout::Gray, samples };
        blur_deep(&mut deep, sigma);
        let row = &deep.samples[200 * side..201 * side];
        let (mut sum, mut square) = (0.0, 0.0);
        for (x, v) in row.iter().enumerate() {
            let d = x as f64 - 200.0;
            sum += f64::from(*v);
            square += f64::from(*v) * d * d;
        }
        (square / sum).sqrt()
    }

    #[test]
    fn the_spread_is_the_sigma_asked_for() {
        for sigma in [0.8, 1.0, 1.9, 3.3, 4.9, 5.0, 6.1, 10.0, 30.0] {
            let measured = measured_sigma(sigma);
            assert!((measured / sigma - 1.0).abs() < 0.04, "{sigma}: {measured}");
        }
    }

    #[test]
    fn an_even_picture_stays_even_whatever_the_sigma() {
        for sigma in [0.3, 1.0, 4.0, 250.0, 2000.0] {
            let pixels = Pixels::new(Size::new(5, 3), Layout::Rgb, vec![77; 45]).unwrap();
            let blurred = blur(pixels, sigma).unwrap();
            assert!(blurred.data().iter().all(|v| *v == 77), "{sigma}");
        }
    }
}

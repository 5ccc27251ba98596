//! Box shrink by an integer factor: the cheap first part of a large reduction, for formats whose
//! decoders deliver full size only. Never enlarges, never changes the layout.

use super::buffer;
use crate::model::geometry::Size;
use crate::model::pixels::{Layout, Pixels};
use crate::pipeline::run::{RenderError, finish};

/// Every `factor × factor` block becomes its mean (weighted by alpha); the blocks of the last
/// column and row may be partial. Sides are divided and rounded up. Allocates the result.
///
/// # Errors
/// [`RenderError::Step`] where memory is short.
pub fn shrink(pixels: &Pixels, factor: u32) -> Result<Pixels, RenderError> {
    let factor = factor.max(1);
    let size = pixels.size();
    let to = Size::new(size.width.div_ceil(factor), size.height.div_ceil(factor));
    let layout = pixels.layout();
    let mut data = buffer("shrink", to, layout)?;
    match layout {
        Layout::Gray => shrink_samples::<1>(pixels, &mut data, factor as usize),
        Layout::Rgb => shrink_samples::<3>(pixels, &mut data, factor as usize),
        Layout::Rgba => shrink_alpha(pixels, &mut data, factor as usize),
    }
    finish("shrink", to, layout, data)
}

/// Adds `factor` rows up column by column, then the columns of each block: the inner loop runs
/// along a row, which the compiler turns into SIMD.
fn shrink_samples<const N: usize>(pixels: &Pixels, data: &mut [u8], factor: usize) {
    let stride = pixels.stride();
    let to_stride = (pixels.size().width as usize).div_ceil(factor) * N;
    let mut sums = vec![0u32; stride];
    let bands = pixels.data().chunks(stride * factor);
    for (band, to) in bands.zip(data.chunks_exact_mut(to_stride)) {
        sums.fill(0);
        let mut rows = 0u32;
        for row in band.chunks_exact(stride) {
            rows += 1;
            for (sum, sample) in sums.iter_mut().zip(row) {
                *sum += u32::from(*sample);
            }
        }
        for (block, to) in sums.chunks(factor * N).zip(to.chunks_exact_mut(N)) {
            let area = rows * (block.len() / N) as u32;
            for (channel, to) in to.iter_mut().enumerate() {
                let sum: u32 = block.iter().skip(channel).step_by(N).sum();
                *to = ((sum + area / 2) / area) as u8;
            }
        }
    }
}

/// The same with colours weighted by alpha, so that what is invisible does not bleed.
fn shrink_alpha(pixels: &Pixels, data: &mut [u8], factor: usize) {
    let stride = pixels.stride();
    let to_stride = (pixels.size().width as usize).div_ceil(factor) * 4;
    let mut sums = vec![[0u64; 4]; to_stride / 4];
    let bands = pixels.data().chunks(stride * factor);
    for (band, to) in bands.zip(data.chunks_exact_mut(to_stride)) {
        sums.fill([0; 4]);
        let rows = (band.len() / stride) as u64;
        for row in band.chunks_exact(stride) {
            for (block, sum) in row.chunks(factor * 4).zip(sums.iter_mut()) {
                for [r, g, b, a] in block.as_chunks::<4>().0 {
                    let weight = u64::from(*a);
                    sum[0] += u64::from(*r) * weight;
                    sum[1] += u64::from(*g) * weight;
                    sum[2] += u64::from(*b) * weight;
                    sum[3] += weight;
                }
            }
        }
        let widths = pixels.data()[..stride].chunks(factor * 4).map(|block| block.len() / 4);
        for ((sum, to), width) in sums.iter().zip(to.chunks_exact_mut(4)).zip(widths) {
            let alpha = sum[3];
            for (to, colour) in to.iter_mut().zip(&sum[..3]) {
                *to = (colour + alpha / 2).checked_div(alpha).unwrap_or(0) as u8;
            }
            let area = rows * width as u64;
            to[3] = ((alpha + area / 2) / area) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_become_their_means_partial_ones_too() {
        let pixels =
            Pixels::new(Size::new(3, 3), Layout::Gray, vec![0, 4, 10, 8, 4, 20, 1, 3, 7]).unwrap();
        let small = shrink(&pixels, 2).unwrap();
        assert_eq!(small.size(), Size::new(2, 2));
        assert_eq!(small.data(), [4, 15, 2, 7]);
    }

    #[test]
    fn invisible_colours_do_not_bleed() {
        let data = vec![200, 0, 0, 255, 0, 255, 0, 0];
        let pixels = Pixels::new(Size::new(2, 1), Layout::Rgba, data).unwrap();
        assert_eq!(shrink(&pixels, 2).unwrap().data(), [200, 0, 0, 128]);
    }
}

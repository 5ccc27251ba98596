//! Rows of a smaller picture, straight from the planes: means of blocks of samples, taken before
//! chroma is stretched and before the matrix. Both are linear, so this equals shrinking the RGB
//! picture but for rounding and for the chroma that stretching would smear across block edges, at
//! a fraction of the work. For opaque pictures alone: alpha weighs colours, not planes.

use super::planes::{Chroma, Sample, Yuv};
use super::rows::{BITS, Level, MIDDLE, Rows};
use crate::model::source::Scale;

/// Sums of the columns of one plane: at most eight samples of 12 bits, which are 15.
pub(super) struct Reducer {
    columns: Vec<u16>,
}

impl Reducer {
    /// For planes of at most `width` columns.
    pub(super) fn new(width: usize) -> Self {
        Self { columns: vec![0; width] }
    }

    /// Fills `y`, `u`, `v` of `rows` with row `row` of the picture at `scale`.
    pub(super) fn load<S: Sample, L: Level>(
        &mut self,
        yuv: &Yuv<'_, S>,
        row: usize,
        scale: Scale,
        centred: bool,
        rows: &mut Rows<L>,
    ) {
        let n = scale.denominator() as usize;
        let half = (n / 2).max(1);
        let middle = if centred { MIDDLE } else { 0 };
        let (width, height) = match yuv.format.chroma {
            Chroma::None => (0, 0),
            Chroma::Quarter => (half, half),
            Chroma::Half => (half, n),
            Chroma::Full => (n, n),
        };
        self.plane(yuv, 0, row, (n, n), 0, &mut rows.y);
        if width > 0 {
            self.plane(yuv, 1, row, (width, height), middle, &mut rows.u);
            self.plane(yuv, 2, row, (width, height), middle, &mut rows.v);
        }
    }

    /// One row of means of one plane, blocks of `block` samples (columns, rows), at [`BITS`] bits.
    fn plane<S: Sample>(
        &mut self,
        yuv: &Yuv<'_, S>,
        plane: usize,
        row: usize,
        block: (usize, usize),
        middle: i16,
        out: &mut [i16],
    ) {
        let first = row * block.1;
        let top = yuv.row(plane, first);
        let Some(columns) = self.columns.get_mut(..top.len()) else { return };
        for (sum, &sample) in columns.iter_mut().zip(top) {
            *sum = sample.level() & 0x0FFF;
        }
        let mut summed = 1;
        for line in (first + 1..first + block.1).map(|line| yuv.row(plane, line)) {
            // Below the last row there is none.
            summed += u32::from(!line.is_empty());
            for (sum, &sample) in columns.iter_mut().zip(line) {
                *sum += sample.level() & 0x0FFF;
            }
        }
        let up = BITS - u32::from(yuv.format.depth);
        match block.0 {
            1 => means::<1>(columns, summed, up, middle, out),
            2 => means::<2>(columns, summed, up, middle, out),
            4 => means::<4>(columns, summed, up, middle, out),
            _ => means::<8>(columns, summed, up, middle, out),
        }
    }
}

/// `rows` rows are in `columns`; a block is `W` columns wide, the last perhaps less.
#[expect(clippy::cast_possible_truncation, reason = "means of 14 bits; at most 8 columns")]
fn means<const W: usize>(columns: &[u16], rows: u32, up: u32, middle: i16, out: &mut [i16]) {
    let mean = |block: &[u16], area: u32| {
        let total: u32 = block.iter().map(|&sum| u32::from(sum)).sum();
        ((((total << up) + area / 2) / area) as i16).wrapping_sub(middle)
    };
    let blocks = columns.chunks_exact(W);
    let partial = blocks.remainder();
    let last = blocks.len();
    if rows.is_power_of_two() {
        let shift = (rows * W as u32).trailing_zeros();
        let half = (1_u32 << shift) / 2;
        for (block, out) in blocks.zip(out.iter_mut()) {
            let total: u32 = block.iter().map(|&sum| u32::from(sum)).sum();
            *out = ((((total << up) + half) >> shift) as i16).wrapping_sub(middle);
        }
    } else {
        for (block, out) in blocks.zip(out.iter_mut()) {
            *out = mean(block, rows * W as u32);
        }
    }
    if let Some(out) = out.get_mut(last).filter(|_| !partial.is_empty()) {
        *out = mean(partial, rows * partial.len() as u32);
    }
}

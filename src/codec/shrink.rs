//! The reduction ladder of every format but JPEG: rows go in as a decoder gives them, means of
//! square blocks come out, so that the full picture need not exist. Integer sums and one
//! rounding: how the rows arrive changes nothing. Never changes the layout.

use super::buffers;
use crate::model::geometry::Size;
use crate::model::pixels::{Layout, Pixels};
use crate::model::source::Scale;

/// Rows → the picture at a [`Scale`]. Every `n × n` block becomes its mean, rounded half up and
/// weighted by alpha, so that what is invisible does not bleed; blocks of the last column and row
/// may be partial. At 1/1 rows are kept as they are.
pub(super) struct Shrinker {
    from: Size,
    layout: Layout,
    scale: Scale,
    /// Rows that came, of `from.height`.
    seen: u32,
    /// Rows summed up in the block row under way.
    summed: u32,
    /// The sums of each column of samples: at most 8 × 255.
    columns: Vec<u16>,
    /// From the first row of a block row on that is not opaque: the sums of each block, colours
    /// times alpha (at most 64 × 255²) and alpha.
    blocks: Vec<[u32; 4]>,
    translucent: bool,
    row: Vec<u8>,
    out: Vec<u8>,
}

impl Shrinker {
    /// For rows of a picture of `size`. Allocates the result and a few rows.
    ///
    /// # Errors
    /// Where memory is short.
    pub(super) fn new(size: Size, layout: Layout, scale: Scale) -> Result<Self, String> {
        let to = scale.apply(size);
        let short = || format!("no memory for {} pixels", to.pixels());
        let bytes = Pixels::bytes_for(to, layout).ok_or_else(short)?;
        let stride = Pixels::bytes_for(Size::new(size.width, 1), layout).ok_or_else(short)?;
        let out = buffers::room(bytes).map_err(|_| short())?;
        let reduced = scale != Scale::Full;
        let samples = if reduced { stride } else { 0 };
        let blocks = if reduced && layout == Layout::Rgba { to.width as usize } else { 0 };
        Ok(Self {
            from: size,
            layout,
            scale,
            seen: 0,
            summed: 0,
            columns: vec![0; samples],
            blocks: vec![[0; 4]; blocks],
            translucent: false,
            row: vec![0; samples],
            out,
        })
    }

    /// Takes the next row, which `fill` writes, all of it. Rows behind the last are not asked for.
    ///
    /// # Errors
    /// Those of `fill`.
    pub(super) fn row<E>(
        &mut self,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.seen == self.from.height {
            return Ok(());
        }
        if self.scale == Scale::Full {
            let start = self.out.len();
            self.out.resize(start + self.stride(), 0);
            fill(self.out.get_mut(start..).unwrap_or_default())?;
            self.seen += 1;
            return Ok(());
        }
        let mut row = std::mem::take(&mut self.row);
        let filled = fill(&mut row);
        if filled.is_ok() {
            self.push(&row);
        }
        self.row = row;
        filled
    }

    /// Takes the next row as it is.
    pub(super) fn push(&mut self, row: &[u8]) {
        if self.seen == self.from.height {
            return;
        }
        self.seen += 1;
        if self.scale == Scale::Full {
            self.out.extend_from_slice(row);
            return;
        }
        self.add(row);
        self.summed += 1;
        if self.summed == self.scale.denominator() || self.seen == self.from.height {
            self.emit();
            self.summed = 0;
        }
    }

    /// The picture.
    ///
    /// # Errors
    /// Where rows are missing.
    pub(super) fn finish(self) -> Result<Pixels, String> {
        if self.seen < self.from.height {
            return Err(format!("{} of {} rows", self.seen, self.from.height));
        }
        Pixels::new(self.scale.apply(self.from), self.layout, self.out)
            .map_err(|wrong| wrong.to_string())
    }

    fn stride(&self) -> usize {
        self.from.width as usize * self.layout.channels()
    }

    fn add(&mut self, row: &[u8]) {
        if self.summed == 0 {
            self.translucent = false;
        }
        let opaque = self.layout != Layout::Rgba || is_opaque(row);
        if !opaque && !self.translucent {
            self.translucent = true;
            self.weigh();
        }
        if self.translucent {
            add_weighted(row, self.scale.denominator() as usize, &mut self.blocks);
        } else if self.summed == 0 {
            for (sum, &sample) in self.columns.iter_mut().zip(row) {
                *sum = u16::from(sample);
            }
        } else {
            for (sum, &sample) in self.columns.iter_mut().zip(row) {
                *sum += u16::from(sample);
            }
        }
    }

    /// Goes over from sums of columns, all opaque so far, to sums of blocks weighted by alpha.
    fn weigh(&mut self) {
        self.blocks.fill([0; 4]);
        if self.summed == 0 {
            return;
        }
        let columns = self.columns.chunks(self.scale.denominator() as usize * 4);
        for (sums, block) in self.blocks.iter_mut().zip(columns) {
            *sums = totals::<4>(block).map(|total| u32::from(total) * 255);
            // Alpha was not multiplied by itself.
            sums[3] /= 255;
        }
    }

    /// Writes the means of the block row that is complete.
    fn emit(&mut self) {
        let start = self.out.len();
        let width = self.scale.apply(self.from).width as usize;
        self.out.resize(start + width * self.layout.channels(), 0);
        let out = self.out.get_mut(start..).unwrap_or_default();
        if self.translucent {
            return weighted_means(&self.blocks, self.from.width, self.scale, self.summed, out);
        }
        match self.layout {
            Layout::Gray => means::<1>(&self.columns, self.scale, self.summed, out),
            Layout::Rgb => means::<3>(&self.columns, self.scale, self.summed, out),
            Layout::Rgba => means::<4>(&self.columns, self.scale, self.summed, out),
        }
    }
}

/// A picture already whole, at `scale`: for decoders that give no rows.
///
/// # Errors
/// Where memory is short.
pub(super) fn whole(pixels: Pixels, scale: Scale) -> Result<Pixels, String> {
    if scale == Scale::Full {
        return Ok(pixels);
    }
    let mut shrinker = Shrinker::new(pixels.size(), pixels.layout(), scale)?;
    pixels.rows().for_each(|row| shrinker.push(row));
    shrinker.finish()
}

fn is_opaque(row: &[u8]) -> bool {
    // No early end: this way it runs in vector lanes.
    row.as_chunks::<4>().0.iter().fold(255, |all, [_, _, _, alpha]| all & alpha) == 255
}

fn add_weighted(row: &[u8], factor: usize, blocks: &mut [[u32; 4]]) {
    for (sums, block) in blocks.iter_mut().zip(row.chunks(factor * 4)) {
        for &[r, g, b, alpha] in block.as_chunks::<4>().0 {
            let weight = u32::from(alpha);
            let samples = [r, g, b, 1].map(u32::from);
            for (sum, sample) in sums.iter_mut().zip(samples) {
                *sum += sample * weight;
            }
        }
    }
}

/// The sums of a block's channels; at most 64 × 255.
fn totals<const N: usize>(block: &[u16]) -> [u16; N] {
    let mut totals = [0; N];
    for pixel in block.as_chunks::<N>().0 {
        for (total, sum) in totals.iter_mut().zip(pixel) {
            *total += sum;
        }
    }
    totals
}

fn means<const N: usize>(columns: &[u16], scale: Scale, rows: u32, out: &mut [u8]) {
    match scale {
        Scale::Full => {}
        Scale::Half => means_by::<N, 2>(columns, rows, out),
        Scale::Quarter => means_by::<N, 4>(columns, rows, out),
        Scale::Eighth => means_by::<N, 8>(columns, rows, out),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "means of samples of 8 bits; rows ≤ 8")]
fn means_by<const N: usize, const F: usize>(columns: &[u16], rows: u32, out: &mut [u8]) {
    let blocks = columns.chunks_exact(F * N);
    let partial = blocks.remainder();
    let out = out.as_chunks_mut::<N>().0;
    let last = blocks.len();
    if rows as usize == F {
        // The number of samples is known when this is compiled: the division is a shift.
        for (block, mean) in blocks.zip(out.iter_mut()) {
            let half = (F * F / 2) as u16;
            *mean = totals::<N>(block).map(|total| ((total + half) / (F * F) as u16) as u8);
        }
    } else {
        let area = rows as u16 * F as u16;
        for (block, mean) in blocks.zip(out.iter_mut()) {
            *mean = totals::<N>(block).map(|total| ((total + area / 2) / area) as u8);
        }
    }
    let area = rows as u16 * (partial.len() / N) as u16;
    if let Some(mean) = out.get_mut(last).filter(|_| area > 0) {
        *mean = totals::<N>(partial).map(|total| ((total + area / 2) / area) as u8);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "means of samples of 8 bits")]
fn weighted_means(blocks: &[[u32; 4]], width: u32, scale: Scale, rows: u32, out: &mut [u8]) {
    let factor = scale.denominator();
    let mut left = width;
    for (&[colors @ .., alpha], mean) in blocks.iter().zip(out.as_chunks_mut::<4>().0) {
        let area = left.min(factor) * rows;
        left = left.saturating_sub(factor);
        let over = |sum: u32, by: u32| (sum + by / 2).checked_div(by).unwrap_or(0) as u8;
        let [r, g, b] = colors.map(|color| over(color, alpha));
        *mean = [r, g, b, over(alpha, area)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shrunk(size: (u32, u32), layout: Layout, data: &[u8], scale: Scale) -> Pixels {
        let size = Size::new(size.0, size.1);
        whole(Pixels::new(size, layout, data.to_vec()).unwrap(), scale).unwrap()
    }

    #[test]
    fn blocks_become_their_means_partial_ones_too() {
        let small = shrunk((3, 3), Layout::Gray, &[0, 4, 10, 8, 4, 20, 1, 3, 7], Scale::Half);
        assert_eq!(small.size(), Size::new(2, 2));
        assert_eq!(small.data(), [4, 15, 2, 7]);
    }

    #[test]
    fn invisible_colours_do_not_bleed() {
        let data = [200, 0, 0, 255, 0, 255, 0, 0];
        assert_eq!(shrunk((2, 1), Layout::Rgba, &data, Scale::Half).data(), [200, 0, 0, 128]);
    }

    #[test]
    fn missing_rows_are_told_and_surplus_ones_left_out() {
        let size = Size::new(2, 3);
        for scale in Scale::ALL {
            let mut shrinker = Shrinker::new(size, Layout::Gray, scale).unwrap();
            shrinker.push(&[1, 2]);
            shrinker
                .row(|row| {
                    row.copy_from_slice(&[3, 4]);
                    Ok::<(), ()>(())
                })
                .unwrap();
            assert!(shrinker.row(|_| Err(())).is_err());
            assert_eq!(shrinker.finish().unwrap_err(), "2 of 3 rows");
            let mut shrinker = Shrinker::new(size, Layout::Gray, scale).unwrap();
            (0..9).for_each(|_| shrinker.push(&[7, 7]));
            let pixels = shrinker.finish().unwrap();
            assert_eq!(pixels.size(), scale.apply(size));
            assert!(pixels.data().iter().all(|&v| v == 7));
        }
    }

    /// The definition, pixel by pixel in wide integers.
    fn by_hand(pixels: &Pixels, scale: Scale) -> Vec<u8> {
        let (n, size) = (scale.denominator(), pixels.size());
        let (to, channels) = (scale.apply(size), pixels.layout().channels());
        let mut out = Vec::new();
        for y in 0..to.height {
            for x in 0..to.width {
                let (mut sums, mut weights, mut area) = ([0_u64; 4], 0_u64, 0_u64);
                for row in y * n..(y * n + n).min(size.height) {
                    for column in x * n..(x * n + n).min(size.width) {
                        let at = (row * size.width + column) as usize * channels;
                        let pixel = &pixels.data()[at..at + channels];
                        let weight = if channels == 4 { u64::from(pixel[3]) } else { 1 };
                        for channel in 0..channels.min(3) {
                            sums[channel] += u64::from(pixel[channel]) * weight;
                        }
                        weights += weight;
                        area += 1;
                    }
                }
                let over = |sum: u64, by: u64| {
                    u8::try_from((sum + by / 2).checked_div(by).unwrap_or(0)).unwrap()
                };
                out.extend(sums.iter().take(channels.min(3)).map(|&sum| over(sum, weights)));
                if channels == 4 {
                    out.push(over(weights, area));
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn every_scale_and_layout_is_the_mean_of_its_blocks(
            width in 1..40_u32,
            height in 1..40_u32,
            layout in prop::sample::select(vec![Layout::Gray, Layout::Rgb, Layout::Rgba]),
            scale in prop::sample::select(Scale::ALL.to_vec()),
            opaque_rows in any::<u64>(),
            seed in any::<u32>(),
        ) {
            let size = Size::new(width, height);
            let channels = layout.channels();
            let mut state = seed | 1;
            let mut data: Vec<u8> = (0..size.pixels() * channels as u64).map(|_| {
                state = state.wrapping_mul(0x915F_77F5).wrapping_add(1);
                (state >> 24) as u8
            }).collect();
            // Block rows that are opaque, translucent, and begin as the one and end as the other.
            for (y, row) in data.chunks_exact_mut(width as usize * channels).enumerate() {
                if channels == 4 && opaque_rows >> y & 1 == 1 {
                    row.chunks_exact_mut(4).for_each(|pixel| pixel[3] = 255);
                }
            }
            let pixels = Pixels::new(size, layout, data).unwrap();
            let expected = match scale {
                Scale::Full => pixels.data().to_vec(),
                _ => by_hand(&pixels, scale),
            };
            let small = whole(pixels, scale).unwrap();
            prop_assert_eq!(small.size(), scale.apply(size));
            prop_assert_eq!(small.data(), expected.as_slice());
        }
    }
}

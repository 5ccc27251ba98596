//! The scan: block after block, the low coefficients kept, the others gone past. Never shows a
//! picture of which anything was missing or contradictory.
#![expect(clippy::inline_always, reason = "the loop over all coefficients is one function")]
#![expect(clippy::cast_precision_loss, reason = "coefficients have at most 16 bits")]
#![cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "indices into arrays of a power of two are masked")
)]

use super::bits::Bits;
use super::header::{Ac, Header, ZIGZAG};
use super::huffman::{END, Far, LONGEST, Table};
use super::idct::{self, Block};
use crate::model::geometry::Size;
use crate::model::planes::Planes;

/// Where a coefficient goes in a [`Block`] (column by column), by index in the order of the file;
/// 16: nowhere.
const PLACES: [u8; 64] = {
    let mut places = [16; 64];
    let mut index = 0;
    while index < 64 {
        let (row, column) = (ZIGZAG[index] / 8, ZIGZAG[index] % 8);
        if row < 4 && column < 4 {
            places[index] = column * 4 + row;
        }
        index += 1;
    }
    places
};

/// The last index that a result of `n` samples a side needs: that of its corner.
const fn last_needed(n: usize) -> u32 {
    match n {
        4 => 24,
        2 => 4,
        _ => 0,
    }
}

/// One component while it is decoded.
struct Channel<'a> {
    dc: &'a Table,
    ac: &'a Ac,
    /// Quantiser times the transform's factor, by index in the order of the file.
    factors: [f32; 64],
    /// Blocks of one MCU, across and down.
    blocks: (usize, usize),
    /// The DC coefficient of the block before.
    last: i32,
    /// Samples of one row of MCUs, and how many a line of them has.
    band: Vec<u8>,
    stride: usize,
    /// The plane: what is left of it, the distance of its rows, what of a row is of the picture.
    plane: &'a mut [u8],
    pitch: usize,
    width: usize,
}

/// Decodes the scan, `N` samples a side of every block of eight.
pub(super) fn decode<const N: usize>(header: &Header<'_>, planes: &mut Planes) -> Option<()> {
    let (across, down) = header.subsampling.ratio();
    let Size { width, height } = header.size;
    let (columns, rows) = (width.div_ceil(8 * across), height.div_ceil(8 * down));
    let (columns, dense) = (columns as usize, (across as usize, down as usize));
    let sizes = planes.planes().map(|plane| (plane.stored.width, plane.size));
    let [y, cb, cr] = planes.samples_mut();
    let channel = |component: usize, blocks, plane| {
        let (pitch, size) = *sizes.get(component)?;
        Channel::new::<N>(header, component, blocks, columns, plane, (pitch, size))
    };
    let mut channels = [channel(0, dense, y)?, channel(1, (1, 1), cb)?, channel(2, (1, 1), cr)?];
    let mut bits = Bits::new(header.scan);
    let (mut left, mut marker) = (header.restart, 0);
    for _ in 0..rows {
        for column in 0..columns {
            if header.restart > 0 {
                if left == 0 {
                    bits = Bits::new(bits.end()?.strip_prefix(&[0xFF, 0xD0 + marker])?);
                    (left, marker) = (header.restart, (marker + 1) % 8);
                    for channel in &mut channels {
                        channel.last = 0;
                    }
                }
                left -= 1;
            }
            for channel in &mut channels {
                channel.mcu::<N>(&mut bits, column)?;
            }
        }
        // Zeros that stand for what is missing would go on to the last row.
        if bits.is_overdrawn() {
            return None;
        }
        for channel in &mut channels {
            channel.keep_band();
        }
    }
    bits.end()?.starts_with(&[0xFF, 0xD9]).then_some(())
}

impl<'a> Channel<'a> {
    fn new<const N: usize>(
        header: &'a Header<'_>,
        component: usize,
        blocks: (usize, usize),
        columns: usize,
        plane: &'a mut [u8],
        (pitch, size): (u32, Size),
    ) -> Option<Self> {
        let (quantisers, dc, ac) = header.tables(component)?;
        let mut factors = [0.0; 64];
        for ((factor, quantiser), place) in factors.iter_mut().zip(quantisers).zip(ZIGZAG) {
            let place = usize::from(place);
            *factor = f32::from(*quantiser) * idct::factor(N, place / 8, place % 8);
        }
        let stride = columns * blocks.0 * N;
        let (pitch, width) = (pitch as usize, size.width as usize);
        let band = vec![0; stride * blocks.1 * N];
        // What there is of a line is no less than what is taken of it.
        let fits = width <= stride && width <= pitch;
        fits.then_some(Self { dc, ac, factors, blocks, last: 0, band, stride, plane, pitch, width })
    }

    /// The blocks of one MCU.
    #[inline(always)]
    fn mcu<const N: usize>(&mut self, bits: &mut Bits<'_>, column: usize) -> Option<()> {
        let (across, down) = self.blocks;
        for y in 0..down {
            for x in 0..across {
                // Twice as long as it is: what is not needed is put behind it.
                let mut block = [0.0; 32];
                self.block::<N>(bits, &mut block)?;
                let at = y * N * self.stride + (column * across + x) * N;
                put::<N>(block.first_chunk()?, self.band.get_mut(at..)?, self.stride);
            }
        }
        Some(())
    }

    /// The coefficients of one block.
    #[inline(always)]
    fn block<const N: usize>(&mut self, bits: &mut Bits<'_>, block: &mut [f32; 32]) -> Option<()> {
        bits.need(LONGEST);
        let window = bits.window();
        let found = self.dc.look(window)?;
        self.last = self.last.wrapping_add(found.value(window));
        bits.skip(found.total());
        block[0] = self.last as f32 * self.factors[0];
        let mut keep = |next: u32, value: i32| {
            let at = (next.wrapping_sub(1) & 63) as usize;
            block[usize::from(PLACES[at] & 31)] = value as f32 * self.factors[at];
        };
        let mut index = 1;
        // Two coefficients from here lead 32 places at most, and so not past the block.
        while index <= last_needed(N) {
            bits.need(LONGEST);
            let window = bits.window();
            let pair = self.ac.two.look(window);
            if pair.total() > 0 {
                bits.skip(pair.total());
                keep(index + pair.steps(), pair.second());
                keep(index + pair.step(), pair.first());
                index += pair.steps();
            } else {
                let found = self.ac.one.look(window)?;
                bits.skip(found.total());
                index += found.step();
                keep(index, found.value(window));
            }
        }
        while index < 64 {
            bits.need(Far::LOOK);
            let stretch = self.ac.far.look(bits.window());
            let next = index + stretch.step();
            // Up to the end of the block, or to a symbol that ends it.
            let is_within = next <= 64 || (next > END && next < END + 64);
            if stretch.total() > 0 && is_within {
                bits.skip(stretch.total());
                index = next;
            } else {
                // Some of these may belong to the next block already.
                bits.need(LONGEST);
                let found = self.ac.one.look(bits.window())?;
                bits.skip(found.total());
                index += found.step();
            }
        }
        (index == 64 || index > END).then_some(())
    }

    /// Takes the band over into the plane; of the last one, what there is room for.
    fn keep_band(&mut self) {
        let plane = std::mem::take(&mut self.plane);
        let bytes = (self.band.len() / self.stride * self.pitch).min(plane.len());
        let (now, later) = plane.split_at_mut(bytes);
        for (row, to) in self.band.chunks_exact(self.stride).zip(now.chunks_exact_mut(self.pitch)) {
            if let (Some(row), Some(to)) = (row.get(..self.width), to.get_mut(..self.width)) {
                to.copy_from_slice(row);
            }
        }
        self.plane = later;
    }
}

/// Transforms a block into its place.
#[inline(always)]
fn put<const N: usize>(block: &Block, to: &mut [u8], stride: usize) {
    match N {
        4 => write(idct::four(block), to, stride),
        2 => write(idct::two(block), to, stride),
        _ => write([[idct::one(block)]], to, stride),
    }
}

#[inline(always)]
fn write<const N: usize>(rows: [[u8; N]; N], to: &mut [u8], stride: usize) {
    for (number, row) in rows.into_iter().enumerate() {
        if let Some(to) = to.get_mut(number * stride..).and_then(<[u8]>::first_chunk_mut) {
            *to = row;
        }
    }
}

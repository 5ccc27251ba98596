//! What stands in front of the one scan of a baseline file (ITU-T T.81, annex B): frame, tables,
//! restart interval. Anything but three components of eight bits in one interleaved scan is
//! somebody else's.

use super::huffman::{Far, Kind, Pairs, Table};
use crate::model::geometry::Size;
use crate::model::planes::Subsampling;

/// The order of coefficients in the file: row × 8 + column by index.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// By index in the order of the file.
pub(super) type Quantisers = [u16; 64];

/// A table of AC coefficients in the three forms a scan looks it up in.
#[derive(Debug)]
pub(super) struct Ac {
    pub(super) one: Table,
    pub(super) two: Pairs,
    pub(super) far: Far,
}

/// Which tables a component takes.
#[derive(Debug, Clone, Copy)]
struct Chosen {
    quantisers: usize,
    dc: usize,
    ac: usize,
}

/// Everything a scan needs.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) size: Size,
    pub(super) subsampling: Subsampling,
    /// MCUs between restart markers; 0 = none.
    pub(super) restart: u16,
    /// From the first entropy-coded byte to the end of the file.
    pub(super) scan: &'a [u8],
    quantisers: [Option<Quantisers>; 4],
    dc: [Option<Table>; 4],
    ac: [Option<Ac>; 4],
    components: [Chosen; 3],
}

#[derive(Default)]
struct Tables {
    quantisers: [Option<Quantisers>; 4],
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
}

#[derive(Clone, Copy)]
struct Frame {
    size: Size,
    subsampling: Subsampling,
    /// Name and quantisers of each component.
    components: [(u8, usize); 3],
}

impl<'a> Header<'a> {
    /// Reads the segments up to the first scan.
    pub(super) fn read(file: &'a [u8]) -> Option<Self> {
        let mut rest = file.strip_prefix(&[0xFF, 0xD8])?;
        let (mut tables, mut frame, mut restart) = (Tables::default(), None, 0);
        loop {
            let [0xFF, code, high, low, after @ ..] = rest else { return None };
            let length = usize::from(u16::from_be_bytes([*high, *low])).checked_sub(2)?;
            let (segment, next) = after.split_at_checked(length)?;
            match code {
                // Baseline, and extended sequential, which may be the same.
                0xC0 | 0xC1 if frame.is_none() => frame = Some(Frame::read(segment)?),
                0xC4 => tables.take_codes(segment)?,
                0xDB => tables.take_quantisers(segment)?,
                0xDD => restart = u16::from_be_bytes(segment.try_into().ok()?),
                0xDA => return tables.chosen(segment, frame?, restart, next),
                // Data of applications, and comments.
                0xE0..=0xEF | 0xFE => {}
                _ => return None,
            }
            rest = next;
        }
    }

    /// The tables of component 0 (luma), 1 or 2.
    pub(super) fn tables(&self, component: usize) -> Option<(&Quantisers, &Table, &Ac)> {
        let chosen = self.components.get(component)?;
        let quantisers = self.quantisers.get(chosen.quantisers)?.as_ref()?;
        Some((quantisers, self.dc.get(chosen.dc)?.as_ref()?, self.ac.get(chosen.ac)?.as_ref()?))
    }
}

impl Frame {
    fn read(segment: &[u8]) -> Option<Self> {
        let [8, h1, h0, w1, w0, 3, rest @ ..] = segment else { return None };
        let [y, density, yq, b, 0x11, bq, r, 0x11, rq] = rest else { return None };
        let subsampling = match density {
            0x22 => Subsampling::Quarter,
            0x21 => Subsampling::Half,
            0x11 => Subsampling::Full,
            _ => return None,
        };
        let (width, height) = (u16::from_be_bytes([*w1, *w0]), u16::from_be_bytes([*h1, *h0]));
        let component = |name: &u8, quantisers: &u8| (*name, usize::from(*quantisers));
        // A height of 0 is told behind the scan.
        (width > 0 && height > 0).then_some(Self {
            size: Size::new(width.into(), height.into()),
            subsampling,
            components: [component(y, yq), component(b, bq), component(r, rq)],
        })
    }
}

impl Tables {
    fn take_quantisers(&mut self, mut segment: &[u8]) -> Option<()> {
        while let [head, rest @ ..] = segment {
            let wide = match head >> 4 {
                0 => 1,
                1 => 2,
                _ => return None,
            };
            let (values, next) = rest.split_at_checked(64 * wide)?;
            let mut quantisers = [0; 64];
            for (quantiser, value) in quantisers.iter_mut().zip(values.chunks_exact(wide)) {
                *quantiser = value.iter().fold(0, |sum, byte| sum << 8 | u16::from(*byte));
            }
            *self.quantisers.get_mut(usize::from(head & 15))? = Some(quantisers);
            segment = next;
        }
        Some(())
    }

    fn take_codes(&mut self, mut segment: &[u8]) -> Option<()> {
        while let [head, rest @ ..] = segment {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, next) = rest.split_at_checked(total)?;
            let (kind, tables) = match head >> 4 {
                0 => (Kind::Dc, &mut self.dc),
                1 => (Kind::Ac, &mut self.ac),
                _ => return None,
            };
            *tables.get_mut(usize::from(head & 15))? = Some(Table::new(kind, counts, symbols)?);
            segment = next;
        }
        Some(())
    }

    /// What the header of the scan asks for.
    fn chosen<'a>(
        self,
        header: &[u8],
        frame: Frame,
        restart: u16,
        scan: &'a [u8],
    ) -> Option<Header<'a>> {
        let [3, a, at, b, bt, c, ct, 0, 63, 0] = header else { return None };
        let Frame { size, subsampling, components } = frame;
        if components.map(|(name, _)| name) != [*a, *b, *c] {
            return None;
        }
        let [y, cb, cr] = components.map(|(_, quantisers)| quantisers);
        let component = |quantisers, tables: &u8| Chosen {
            quantisers,
            dc: usize::from(tables >> 4),
            ac: usize::from(tables & 15),
        };
        let components = [component(y, at), component(cb, bt), component(cr, ct)];
        let ac = self.ac.map(|one| one.map(|one| Ac { two: one.pairs(), far: one.far(), one }));
        let Self { quantisers, dc, .. } = self;
        Some(Header { size, subsampling, restart, scan, quantisers, dc, ac, components })
    }
}

//! Huffman tables (ITU-T T.81, annex C), laid out for decoding: one look at the next bits gives a
//! coefficient, its place and its length in the file; or two of them; or how far to go past as many
//! as fit. Refuses tables no baseline file of eight bits has.
#![expect(
    clippy::inline_always,
    reason = "a few instructions for each of millions of coefficients"
)]
#![expect(clippy::cast_possible_truncation, reason = "packed fields are taken apart")]
#![cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        reason = "tables have an entry for every value of the bits they are looked up by"
    )
)]

/// Bits of a look at one coefficient, or two.
const LOOK: u32 = 11;

/// Bits of a look past coefficients.
const FAR_LOOK: u32 = 12;

/// The step of the symbol that ends a block. The place in front of that step, in a block of 64,
/// is the one the next coefficient would have had: nothing has been put there.
pub(super) const END: u32 = 129;

/// Most bits a coefficient may take: a code of 16 with a difference of 11.
pub(super) const LONGEST: u32 = 27;

/// The value lies behind the look: the upper half is the length of the code.
const BEYOND: u32 = 1 << 15;

/// One coefficient and the zeros in front of it. The end of a block and sixteen zeros are
/// coefficients of 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Coefficient(u32);

impl Coefficient {
    const fn new(total: u32, step: u32, upper: u32) -> Self {
        Self(total | step << 6 | upper << 16)
    }

    /// Bits of code and value; 0 = no entry.
    #[inline(always)]
    pub(super) const fn total(self) -> u32 {
        self.0 & 63
    }

    /// How far it leads: past the zeros in front of it and past itself.
    #[inline(always)]
    pub(super) const fn step(self) -> u32 {
        self.0 >> 6 & 255
    }

    /// Its value; `window` as it was looked at.
    #[inline(always)]
    pub(super) const fn value(self, window: u64) -> i32 {
        if self.0 & BEYOND == 0 {
            return self.0.cast_signed() >> 16;
        }
        let code = self.0 >> 16;
        extend(window << code, self.total() - code)
    }
}

/// One coefficient, or two that follow each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pair(u64);

impl Pair {
    const fn new(total: u32, steps: u32, first: Coefficient, second: Coefficient) -> Self {
        let steps = (first.step() as u64) << 8 | (steps as u64) << 16;
        let values = (first.0 as u64 >> 16) << 32 | (second.0 as u64 >> 16) << 48;
        Self(total as u64 | steps | values)
    }

    /// Bits of all; 0 = no entry.
    #[inline(always)]
    pub(super) const fn total(self) -> u32 {
        self.0 as u32 & 63
    }

    /// How far the first one leads.
    #[inline(always)]
    pub(super) const fn step(self) -> u32 {
        self.0 as u32 >> 8 & 255
    }

    /// How far all lead.
    #[inline(always)]
    pub(super) const fn steps(self) -> u32 {
        self.0 as u32 >> 16 & 255
    }

    /// The value of the first.
    #[inline(always)]
    pub(super) const fn first(self) -> i32 {
        (self.0 >> 32) as i16 as i32
    }

    /// The value of the second, or of the first where there is none.
    #[inline(always)]
    pub(super) const fn second(self) -> i32 {
        (self.0 >> 48) as i16 as i32
    }
}

/// As many coefficients as fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stretch(u16);

impl Stretch {
    /// Bits of all; 0 = not even one fits.
    #[inline(always)]
    pub(super) const fn total(self) -> u32 {
        self.0 as u32 & 15
    }

    /// How far they lead.
    #[inline(always)]
    pub(super) const fn step(self) -> u32 {
        self.0 as u32 >> 4
    }
}

/// Looks at pairs.
#[derive(Debug)]
pub(super) struct Pairs(Box<[Pair; 1 << LOOK]>);

impl Pairs {
    /// What is at the front of the window.
    #[inline(always)]
    pub(super) fn look(&self, window: u64) -> Pair {
        self.0[(window >> (64 - LOOK)) as usize]
    }
}

/// Looks past coefficients.
#[derive(Debug)]
pub(super) struct Far(Box<[Stretch; 1 << FAR_LOOK]>);

impl Far {
    /// Bits a look takes into account.
    pub(super) const LOOK: u32 = FAR_LOOK;

    /// What is at the front of the window.
    #[inline(always)]
    pub(super) fn look(&self, window: u64) -> Stretch {
        self.0[(window >> (64 - FAR_LOOK)) as usize]
    }
}

/// What a table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Differences of mean values, of at most 11 bits.
    Dc,
    /// All other coefficients, of at most 10 bits.
    Ac,
}

/// One table.
#[derive(Debug)]
pub(super) struct Table {
    look: Box<[Coefficient; 1 << LOOK]>,
    /// For every length: the first code past it, left-aligned in 16 bits, and what turns a code of
    /// this length into the index of its symbol.
    lengths: [(u32, i32); 16],
    symbols: [u8; 256],
}

impl Table {
    /// From the sixteen counts and the symbols of a DHT segment; `None` where they contradict
    /// each other or are of no baseline file of eight bits.
    pub(super) fn new(kind: Kind, counts: &[u8; 16], values: &[u8]) -> Option<Self> {
        let is_known = |symbol: &u8| match (kind, symbol >> 4, symbol & 15) {
            (Kind::Dc, run, size) => run == 0 && size <= 11,
            (Kind::Ac, run, 0) => matches!(run, 0 | 15),
            (Kind::Ac, _, size) => size <= 10,
        };
        if !values.iter().all(is_known) {
            return None;
        }
        let mut symbols = [0; 256];
        symbols.get_mut(..values.len())?.copy_from_slice(values);
        let mut look = Box::new([Coefficient::default(); 1 << LOOK]);
        let mut lengths = [(0, 0); 16];
        let (mut code, mut index) = (0_u32, 0_usize);
        for ((length, &count), entry) in (1_u32..).zip(counts).zip(&mut lengths) {
            let of_length = values.get(index..index + usize::from(count))?;
            for &symbol in of_length {
                // All ones is no code (T.81, C.2).
                if code + 1 >= 1 << length {
                    return None;
                }
                if length <= LOOK {
                    let from = (code << (LOOK - length)) as usize;
                    enter(kind, look.get_mut(from..)?, length, symbol);
                }
                code += 1;
            }
            index += of_length.len();
            *entry = (code << (16 - length), i32::try_from(index).ok()? - code.cast_signed());
            code <<= 1;
        }
        (index == values.len() && index > 0).then_some(Self { look, lengths, symbols })
    }

    /// The coefficient at the front of the window; `None` where no code is.
    #[inline(always)]
    pub(super) fn look(&self, window: u64) -> Option<Coefficient> {
        let found = self.look[(window >> (64 - LOOK)) as usize];
        if found.total() > 0 { Some(found) } else { self.long(window) }
    }

    #[cold]
    #[inline(never)]
    fn long(&self, window: u64) -> Option<Coefficient> {
        let sixteen = (window >> 48) as u32;
        for (length, (past, offset)) in (1..).zip(self.lengths) {
            if sixteen < past {
                let code = (sixteen >> (16 - length)).cast_signed();
                let symbol = *self.symbols.get(usize::try_from(code + offset).ok()?)?;
                // DC symbols have no run: they read the same either way.
                return Some(beyond(Kind::Ac, length, symbol));
            }
        }
        None
    }

    /// The same table for two at once.
    pub(super) fn pairs(&self) -> Pairs {
        let mut pairs = Box::new([Pair::default(); 1 << LOOK]);
        for ((bits, &first), pair) in (0_u64..).zip(self.look.iter()).zip(pairs.iter_mut()) {
            if first.total() == 0 || first.0 & BEYOND != 0 {
                continue;
            }
            let behind = bits << (64 - LOOK) << first.total();
            let second = self.look[(behind >> (64 - LOOK)) as usize];
            let total = first.total() + second.total();
            let is_known = second.total() > 0 && second.0 & BEYOND == 0;
            *pair = if first.step() < END && is_known && total <= LOOK {
                Pair::new(total, first.step() + second.step(), first, second)
            } else {
                Pair::new(first.total(), first.step(), first, first)
            };
        }
        Pairs(pairs)
    }

    /// The same table for going past coefficients.
    pub(super) fn far(&self) -> Far {
        let mut far = Box::new([Stretch::default(); 1 << FAR_LOOK]);
        for (bits, stretch) in (0_u64..).zip(far.iter_mut()) {
            let (mut total, mut step) = (0, 0);
            while step < 64 {
                let behind = bits << (64 - FAR_LOOK) << total;
                let found = self.look[(behind >> (64 - LOOK)) as usize];
                if found.total() == 0 || total + found.total() > FAR_LOOK {
                    break;
                }
                (total, step) = (total + found.total(), step + found.step());
            }
            *stretch = Stretch((total | step << 4) as u16);
        }
        Far(far)
    }
}

/// How far a symbol leads.
const fn step(kind: Kind, symbol: u8) -> u32 {
    match (kind, symbol) {
        (Kind::Ac, 0) => END,
        _ => (symbol >> 4) as u32 + 1,
    }
}

/// A symbol whose value is still to be read.
const fn beyond(kind: Kind, length: u32, symbol: u8) -> Coefficient {
    let found = Coefficient::new(length + (symbol & 15) as u32, step(kind, symbol), length);
    Coefficient(found.0 | BEYOND)
}

/// Enters a symbol of `length` bits for everything that may come behind it.
fn enter(kind: Kind, look: &mut [Coefficient], length: u32, symbol: u8) {
    let size = u32::from(symbol & 15);
    let Some(rest) = (LOOK - length).checked_sub(size) else {
        let all = look.iter_mut().take(1 << (LOOK - length));
        return all.for_each(|entry| *entry = beyond(kind, length, symbol));
    };
    for (raw, entries) in (0_u64..1 << size).zip(look.chunks_mut(1 << rest)) {
        let value = extend(raw << 1 << (63 - size), size);
        let upper = value.cast_unsigned() & 0xFFFF;
        entries.fill(Coefficient::new(length + size, step(kind, symbol), upper));
    }
}

/// The value in the first `size` bits (T.81, F.2.2.1): the lower half of them is negative.
#[inline(always)]
const fn extend(window: u64, size: u32) -> i32 {
    // In two shifts, since a size of 0 would ask for one by 64.
    let raw = (window >> 1 >> (63 - size)) as i32;
    if raw < (1 << size) >> 1 { raw - (1 << size) + 1 } else { raw }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes 0, 10, 110, 1110, … for the symbols in their order.
    fn unary(symbols: &[u8]) -> Table {
        let mut counts = [0; 16];
        counts[..symbols.len()].fill(1);
        Table::new(Kind::Ac, &counts, symbols).unwrap()
    }

    #[test]
    fn a_look_gives_value_place_and_length_wherever_the_code_ends() {
        // Fifteen codes: the longest ones go beyond the look.
        let symbols: Vec<u8> = (0..15).map(|run| run << 4 | 3).collect();
        let table = unary(&symbols);
        for (run, value, raw) in [(0, 5, 0b101), (6, -7, 0b000), (9, 4, 0b100), (14, -4, 0b011)] {
            let code = (1_u64 << run) - 1;
            let window = ((code << 1) << 3 | raw) << (64 - run - 4);
            let found = table.look(window).unwrap();
            assert_eq!((found.total(), found.step()), (run + 4, run + 1));
            assert_eq!(found.value(window), value);
        }
        assert_eq!(table.look(u64::MAX), None);
    }

    #[test]
    fn two_and_many_at_once_are_what_one_after_the_other_is() {
        let table = unary(&[0x01, 0x02, 0x00, 0x11, 0xF0, 0x23, 0x05]);
        let (pairs, far) = (table.pairs(), table.far());
        let mut window = 0x1234_5678_9ABC_DEF0_u64;
        for _ in 0..20_000 {
            window = window.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let Some(first) = table.look(window) else { continue };
            let pair = pairs.look(window);
            if pair.total() > 0 {
                assert_eq!((pair.step(), pair.first()), (first.step(), first.value(window)));
                if pair.total() > first.total() {
                    let second = table.look(window << first.total()).unwrap();
                    assert_eq!(pair.total(), first.total() + second.total());
                    assert_eq!(pair.steps(), first.step() + second.step());
                    assert_eq!(pair.second(), second.value(window << first.total()));
                } else {
                    assert_eq!((pair.steps(), pair.second()), (pair.step(), pair.first()));
                }
            }
            let stretch = far.look(window);
            let (mut total, mut step) = (0, 0);
            while total < stretch.total() {
                let found = table.look(window << total).unwrap();
                (total, step) = (total + found.total(), step + found.step());
            }
            assert_eq!((total, step), (stretch.total(), stretch.step()));
        }
    }

    #[test]
    fn tables_of_no_baseline_file_are_refused() {
        let one = |length: usize| {
            let mut counts = [0; 16];
            counts[length - 1] = 1;
            counts
        };
        assert!(Table::new(Kind::Ac, &one(2), &[0x01]).is_some());
        // A run in front of a mean, values too wide, a symbol no baseline file has.
        assert!(Table::new(Kind::Dc, &one(2), &[0x11]).is_none());
        assert!(Table::new(Kind::Dc, &one(2), &[12]).is_none());
        assert!(Table::new(Kind::Ac, &one(2), &[11]).is_none());
        assert!(Table::new(Kind::Ac, &one(2), &[0x30]).is_none());
        // No code, too many, one of all ones, more or fewer symbols than codes.
        assert!(Table::new(Kind::Ac, &[0; 16], &[]).is_none());
        let mut counts = one(1);
        counts[0] = 2;
        assert!(Table::new(Kind::Ac, &counts, &[1, 2]).is_none());
        counts[0] = 3;
        assert!(Table::new(Kind::Ac, &counts, &[1, 2, 3]).is_none());
        assert!(Table::new(Kind::Ac, &one(2), &[]).is_none());
        assert!(Table::new(Kind::Ac, &one(2), &[1, 2]).is_none());
    }
}

//! Bits of an entropy-coded segment, most significant first, with the stuffed zero bytes left out.
//! Never reads past a marker: what is missing there is taken for zeros, and told.
#![expect(
    clippy::inline_always,
    reason = "a few instructions for each of millions of coefficients"
)]

/// What [`Bits::need`] can make sure of.
const MOST: u32 = 56;

/// A reader at a place in the file.
#[derive(Debug, Clone)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bits, from the most significant one down.
    window: u64,
    /// How many of them count.
    count: u32,
    /// How many zeros were taken for what is missing.
    missing: u32,
}

impl<'a> Bits<'a> {
    /// From the start of `data`.
    pub(super) const fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, window: 0, count: 0, missing: 0 }
    }

    /// Makes sure of `n` bits, at most 56.
    #[inline(always)]
    pub(super) fn need(&mut self, n: u32) {
        if self.count < n {
            self.fill();
        }
    }

    #[inline(always)]
    fn fill(&mut self) {
        if let Some(next) = self.data.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_be_bytes(*next);
            // A byte of 0xFF is a zero byte of the complement (Mycroft's test for one).
            let below = (!word).wrapping_sub(0x0101_0101_0101_0101);
            if below & word & 0x8080_8080_8080_8080 == 0 {
                // Bits behind the last whole byte come again with the next word, as they are.
                self.window |= word >> self.count;
                let bytes = (63 - self.count) >> 3;
                self.at += bytes as usize;
                self.count += bytes * 8;
                return;
            }
        }
        self.fill_by_bytes();
    }

    #[cold]
    #[inline(never)]
    fn fill_by_bytes(&mut self) {
        while self.count <= MOST {
            let byte = match self.data.get(self.at..).unwrap_or_default() {
                [0xFF, 0x00, ..] => {
                    self.at += 2;
                    0xFF
                }
                [] | [0xFF, ..] => {
                    self.missing += 8;
                    0
                }
                [byte, ..] => {
                    self.at += 1;
                    *byte
                }
            };
            self.window |= u64::from(byte) << (MOST - self.count);
            self.count += 8;
        }
    }

    /// The next 64 bits; those behind what [`Bits::need`] made sure of mean nothing.
    #[inline(always)]
    pub(super) const fn window(&self) -> u64 {
        self.window
    }

    /// Leaves `n` bits behind, at most what was made sure of.
    #[inline(always)]
    pub(super) const fn skip(&mut self, n: u32) {
        self.window <<= n;
        self.count = self.count.wrapping_sub(n);
    }

    /// Whether bits were used that are not there.
    pub(super) const fn is_overdrawn(&self) -> bool {
        self.count < self.missing
    }

    /// Ends the segment: what follows it in the file, if its bits were used up to less than a byte
    /// of padding, and no more than them.
    pub(super) fn end(mut self) -> Option<&'a [u8]> {
        self.fill_by_bytes();
        let padding = self.count.checked_sub(self.missing)?;
        if padding < 8 { self.data.get(self.at..) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bits: &mut Bits<'_>, n: u32) -> u64 {
        bits.need(n);
        let value = bits.window() >> (64 - n);
        bits.skip(n);
        value
    }

    #[test]
    fn stuffed_bytes_are_one_wherever_they_stand() {
        for at in 0..24 {
            let plain: Vec<u8> = (0..24).map(|i| if i == at { 0xFF } else { i * 7 }).collect();
            let mut stuffed = plain.clone();
            stuffed.insert(usize::from(at) + 1, 0);
            stuffed.extend([0xFF, 0xD9]);
            let mut bits = Bits::new(&stuffed);
            let found: Vec<u8> =
                plain.iter().map(|_| u8::try_from(read(&mut bits, 8)).unwrap()).collect();
            assert_eq!(found, plain);
            assert_eq!(bits.end(), Some(&[0xFF, 0xD9][..]));
        }
    }

    #[test]
    fn a_segment_ends_where_its_padding_is_less_than_a_byte_and_nothing_was_missing() {
        let data = [0xAB, 0xCD, 0xEF, 0xFF, 0xD0, 1, 2, 3, 4, 5, 6, 7, 8];
        for (used, ends) in [(16, false), (17, true), (24, true), (25, false), (40, false)] {
            let mut bits = Bits::new(&data);
            for _ in 0..used {
                read(&mut bits, 1);
            }
            assert_eq!(bits.is_overdrawn(), used > 24, "{used}");
            assert_eq!(bits.end().is_some_and(|rest| rest == &data[3..]), ends, "{used}");
        }
    }
}

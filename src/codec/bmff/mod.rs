//! The ISO base media file format (ISO/IEC 14496-12) and the items of HEIF (23008-12) as far
//! as AVIF needs them, read within the bytes at hand. Never recurses: every level of boxes is
//! walked by its own function, and every count is capped or paid for by bytes present.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub(super) mod meta;
pub(super) mod movie;
pub(super) mod property;

use super::DecodeError;
use crate::model::format::{Format, SourceFormat};

/// A damaged container, in the words of [`DecodeError`].
pub(super) fn broken(reason: impl Into<String>) -> DecodeError {
    DecodeError::Broken { format: SourceFormat::Web(Format::Avif), reason: reason.into() }
}

/// Four bytes that name a box, a brand or an item type.
pub(super) type FourCc = [u8; 4];

/// A four-character code as people write it.
pub(super) fn spell(code: FourCc) -> String {
    code.escape_ascii().to_string()
}

/// A box: its type and what it holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct IsoBox<'a> {
    /// Its type.
    pub(super) kind: FourCc,
    /// Its content, without the box header.
    pub(super) body: Cursor<'a>,
    /// The box claims more bytes than there are; `body` holds those there are.
    pub(super) cut: bool,
}

/// A place in a run of bytes, big-endian reads only. Whatever would read past the end is an
/// error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What has not been read yet.
    pub(super) const fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The next `n` bytes.
    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self
            .0
            .split_at_checked(n)
            .ok_or_else(|| broken(format!("{n} bytes expected, {} left in a box", self.0.len())))?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or_else(|| broken(format!("{N} bytes expected, {} left in a box", self.0.len())))?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn fourcc(&mut self) -> Result<FourCc, DecodeError> {
        self.array()
    }

    /// An integer of 0, 4 or 8 bytes, as `iloc` declares them; 0 bytes are the number 0.
    pub(super) fn sized(&mut self, bytes: u8) -> Result<u64, DecodeError> {
        match bytes {
            0 => Ok(0),
            4 => self.u32().map(u64::from),
            8 => self.u64(),
            other => Err(broken(format!("an integer of {other} bytes"))),
        }
    }

    /// Version and flags of a full box.
    pub(super) fn full(&mut self) -> Result<(u8, u32), DecodeError> {
        let word = self.u32()?;
        let [version, ..] = word.to_be_bytes();
        Ok((version, word & 0x00FF_FFFF))
    }

    /// The next box, wholly inside this run; `None` at the end. Fewer than 8 bytes at the end
    /// are an error.
    pub(super) fn next_box(&mut self) -> Result<Option<IsoBox<'a>>, DecodeError> {
        if self.is_empty() {
            return Ok(None);
        }
        let found = self.next_cut_box()?;
        if found.cut {
            return Err(broken(format!("the {} box is cut off", spell(found.kind))));
        }
        Ok(Some(found))
    }

    /// The next box even where it claims more bytes than there are.
    fn next_cut_box(&mut self) -> Result<IsoBox<'a>, DecodeError> {
        let all = self.0.len() as u64;
        let short = self.u32()?;
        let kind = self.fourcc()?;
        let size = match short {
            0 => all,
            1 => self.u64()?,
            n => u64::from(n),
        };
        let head = all.saturating_sub(self.0.len() as u64);
        let length = size
            .checked_sub(head)
            .ok_or_else(|| broken(format!("the {} box has a size of {size}", spell(kind))))?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let cut = length > self.0.len();
        let (body, rest) = self.0.split_at_checked(length).unwrap_or((self.0, &[]));
        self.0 = rest;
        Ok(IsoBox { kind, body: Cursor(body), cut })
    }
}

/// The boxes of the top level that matter.
#[derive(Debug)]
pub(super) struct File<'a> {
    /// Everything; offsets count from its start.
    pub(super) bytes: &'a [u8],
    /// The brand the file is foremost.
    pub(super) major: FourCc,
    compatible: &'a [u8],
    /// The body of the first `meta` box.
    pub(super) meta: Option<Cursor<'a>>,
    /// The body of the first `moov` box.
    pub(super) moov: Option<Cursor<'a>>,
}

impl<'a> File<'a> {
    /// Walks the top level. Media data may be cut off (whoever needs them finds out); `meta`
    /// and `moov` may not.
    pub(super) fn scan(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut top = Cursor::new(bytes);
        let ftyp = top.next_cut_box()?;
        let mut body = ftyp.body;
        if &ftyp.kind != b"ftyp" || ftyp.cut {
            return Err(broken("the ftyp box is cut off"));
        }
        let major = body.fourcc()?;
        let _minor_version = body.u32()?;
        let mut file = Self { bytes, major, compatible: body.rest(), meta: None, moov: None };
        while top.rest().len() >= 8 {
            let found = top.next_cut_box()?;
            let slot = match &found.kind {
                b"meta" => &mut file.meta,
                b"moov" => &mut file.moov,
                _ => continue,
            };
            if found.cut {
                return Err(broken(format!("the {} box is cut off", spell(found.kind))));
            }
            slot.get_or_insert(found.body);
        }
        Ok(file)
    }

    /// Whether the major or a compatible brand is one of `brands`.
    pub(super) fn has_brand(&self, brands: &[&FourCc]) -> bool {
        brands.contains(&&self.major)
            || self.compatible.as_chunks::<4>().0.iter().any(|brand| brands.contains(&brand))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn boxed(kind: FourCc, body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(body.len() + 8).unwrap();
        [&size.to_be_bytes()[..], &kind, body].concat()
    }

    #[test]
    fn a_box_of_size_nought_reaches_to_the_end_and_one_has_a_wide_size() {
        let mut rest = Cursor::new(b"\0\0\0\0mdatabc");
        assert_eq!(rest.next_box().unwrap().unwrap().body.rest(), b"abc");
        let mut wide = Cursor::new(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x12abzz");
        assert_eq!(wide.next_box().unwrap().unwrap().body.rest(), b"ab");
        assert_eq!(wide.rest(), b"zz");
    }

    #[test]
    fn a_box_smaller_than_its_own_head_or_larger_than_its_parent_is_refused() {
        for bytes in [&b"\0\0\0\x07free"[..], b"\0\0\0\x0Afreex", b"\0\0\0\x08fre"] {
            assert!(Cursor::new(bytes).next_box().is_err(), "{bytes:?}");
        }
        let overflowing = b"\0\0\0\x01free\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF";
        assert!(Cursor::new(overflowing).next_box().is_err());
    }

    #[test]
    fn brands_are_found_among_a_hundred_thousand() {
        let mut brands = b"xxxx\0\0\0\0".to_vec();
        brands.extend(b"mif1".repeat(100_000));
        brands.extend(b"avif");
        let bytes = boxed(*b"ftyp", &brands);
        let file = File::scan(&bytes).unwrap();
        assert!(file.has_brand(&[b"avif"]) && !file.has_brand(&[b"heic"]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_walk_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut file = boxed(*b"ftyp", b"avif\0\0\0\0");
            file.extend(bytes);
            let _ = File::scan(&file);
        }
    }
}

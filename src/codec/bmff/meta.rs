//! The `meta` box: items, where their bytes lie, how they refer to each other and what
//! properties they have (ISO/IEC 14496-12 §8.11, 23008-12 §9.3). Never interprets an item.

use super::property::Property;
use super::{Cursor, DecodeError, File, FourCc, broken, spell};
use std::collections::{BTreeMap, BTreeSet};

/// An item's number within its file.
pub(in crate::codec) type ItemId = u32;

/// Items at most; a picture of 64 × 64 tiles has 4097 and an alpha plane doubles that.
const MAX_ITEMS: usize = 16_384;
/// Extents, references, properties and associations at most, all together.
const MAX_ENTRIES: usize = 131_072;

/// What the `meta` box says.
#[derive(Debug, Default)]
pub(in crate::codec) struct Meta<'a> {
    /// The item that is the picture.
    pub(in crate::codec) primary: Option<ItemId>,
    kinds: BTreeMap<ItemId, FourCc>,
    places: BTreeMap<ItemId, Place>,
    /// By type and referring item, in the order of the file.
    forward: BTreeMap<(FourCc, ItemId), Vec<ItemId>>,
    /// By type and item referred to.
    backward: BTreeMap<(FourCc, ItemId), Vec<ItemId>>,
    /// Every reference once: type, referring item, item referred to.
    links: BTreeSet<(FourCc, ItemId, ItemId)>,
    properties: Vec<Property<'a>>,
    associations: BTreeMap<ItemId, Vec<Association>>,
    idat: &'a [u8],
    entries: usize,
}

/// Where an item's bytes lie.
#[derive(Debug)]
struct Place {
    origin: Origin,
    /// Offset and length; a length of 0 reaches to the end.
    extents: Vec<(u64, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    File,
    Idat,
    Elsewhere,
}

#[derive(Debug, Clone, Copy)]
struct Association {
    /// From 1; 0 is no property.
    index: u16,
    essential: bool,
}

impl<'a> Meta<'a> {
    /// Reads the body of a `meta` box.
    pub(in crate::codec) fn read(mut body: Cursor<'a>) -> Result<Self, DecodeError> {
        let mut meta = Meta::default();
        body.full()?;
        while let Some(inner) = body.next_box()? {
            let mut part = inner.body;
            match &inner.kind {
                b"hdlr" => {
                    part.full()?;
                    part.u32()?;
                    let handler = part.fourcc()?;
                    if &handler != b"pict" {
                        return Err(broken(format!("the handler is {}", spell(handler))));
                    }
                }
                b"pitm" => {
                    let (version, _) = part.full()?;
                    meta.primary = Some(id(&mut part, version)?);
                }
                b"iinf" => meta.read_infos(part)?,
                b"iloc" => meta.read_places(part)?,
                b"iref" => meta.read_references(part)?,
                b"iprp" => meta.read_properties(part)?,
                b"idat" => meta.idat = part.rest(),
                _ => {}
            }
        }
        Ok(meta)
    }

    /// Counts one more entry of any list against the common cap.
    fn count(&mut self) -> Result<(), DecodeError> {
        self.entries = self.entries.saturating_add(1);
        if self.entries > MAX_ENTRIES {
            return Err(broken(format!("more than {MAX_ENTRIES} entries in the meta box")));
        }
        Ok(())
    }

    fn read_infos(&mut self, mut body: Cursor<'a>) -> Result<(), DecodeError> {
        let (version, _) = body.full()?;
        let _count = if version == 0 { u32::from(body.u16()?) } else { body.u32()? };
        while let Some(inner) = body.next_box()? {
            let mut part = inner.body;
            let (version, _) = part.full()?;
            if &inner.kind != b"infe" || !matches!(version, 2 | 3) {
                continue;
            }
            let item = if version == 2 { u32::from(part.u16()?) } else { part.u32()? };
            let _protection = part.u16()?;
            if self.kinds.insert(item, part.fourcc()?).is_some() {
                return Err(broken(format!("item {item} is described twice")));
            }
            if self.kinds.len() > MAX_ITEMS {
                return Err(broken(format!("more than {MAX_ITEMS} items")));
            }
        }
        Ok(())
    }

    fn read_places(&mut self, mut body: Cursor<'a>) -> Result<(), DecodeError> {
        let (version, _) = body.full()?;
        if version > 2 {
            return Err(DecodeError::Unsupported(format!("an iloc box of version {version}")));
        }
        let sizes = body.u16()?.to_be_bytes();
        let [offset_size, length_size, base_size, index_size] =
            [sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4, sizes[1] & 15];
        let count = if version < 2 { u32::from(body.u16()?) } else { body.u32()? };
        for _ in 0..count {
            let item = if version < 2 { u32::from(body.u16()?) } else { body.u32()? };
            let method = if version == 0 { 0 } else { body.u16()? & 15 };
            let outside = body.u16()? != 0;
            let base = body.sized(base_size)?;
            let origin = match (method, outside) {
                (0, false) => Origin::File,
                (1, false) => Origin::Idat,
                _ => Origin::Elsewhere,
            };
            let mut extents = Vec::new();
            for _ in 0..body.u16()? {
                self.count()?;
                if version > 0 {
                    body.sized(index_size)?;
                }
                let offset = base
                    .checked_add(body.sized(offset_size)?)
                    .ok_or_else(|| broken(format!("item {item} lies beyond every file")))?;
                extents.push((offset, body.sized(length_size)?));
            }
            self.count()?;
            if self.places.insert(item, Place { origin, extents }).is_some() {
                return Err(broken(format!("item {item} is located twice")));
            }
        }
        Ok(())
    }

    fn read_references(&mut self, mut body: Cursor<'a>) -> Result<(), DecodeError> {
        let (version, _) = body.full()?;
        while let Some(inner) = body.next_box()? {
            let mut part = inner.body;
            let from = id(&mut part, version)?;
            for _ in 0..part.u16()? {
                self.count()?;
                let to = id(&mut part, version)?;
                // An item occurs once in a list (ISO/IEC 14496-12 §8.11.12); a few bytes that
                // name one again and again must not buy work that multiplies.
                if !self.links.insert((inner.kind, from, to)) {
                    if &inner.kind == b"dimg" {
                        return Err(broken(format!("item {from} is made of item {to} twice")));
                    }
                    continue;
                }
                self.forward.entry((inner.kind, from)).or_default().push(to);
                self.backward.entry((inner.kind, to)).or_default().push(from);
            }
        }
        Ok(())
    }

    fn read_properties(&mut self, mut body: Cursor<'a>) -> Result<(), DecodeError> {
        while let Some(inner) = body.next_box()? {
            match &inner.kind {
                b"ipco" => {
                    let mut list = inner.body;
                    while let Some(property) = list.next_box()? {
                        self.count()?;
                        self.properties.push(Property::read(property.kind, property.body)?);
                    }
                }
                b"ipma" => self.read_associations(inner.body)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_associations(&mut self, mut body: Cursor<'a>) -> Result<(), DecodeError> {
        let (version, flags) = body.full()?;
        for _ in 0..body.u32()? {
            let item = id(&mut body, version)?;
            let mut list = Vec::new();
            for _ in 0..body.u8()? {
                self.count()?;
                list.push(if flags & 1 == 0 {
                    let byte = body.u8()?;
                    Association { index: u16::from(byte & 0x7F), essential: byte & 0x80 != 0 }
                } else {
                    let word = body.u16()?;
                    Association { index: word & 0x7FFF, essential: word & 0x8000 != 0 }
                });
            }
            self.count()?;
            if self.associations.insert(item, list).is_some() {
                return Err(broken(format!("item {item} is given properties twice")));
            }
        }
        Ok(())
    }

    /// The type of an item.
    pub(in crate::codec) fn kind(&self, item: ItemId) -> Option<FourCc> {
        self.kinds.get(&item).copied()
    }

    /// The items that `from` refers to by `kind`, in the order of the file.
    pub(in crate::codec) fn referred(&self, kind: FourCc, from: ItemId) -> &[ItemId] {
        self.forward.get(&(kind, from)).map(Vec::as_slice).unwrap_or_default()
    }

    /// The items that refer to `to` by `kind`.
    pub(in crate::codec) fn referring(&self, kind: FourCc, to: ItemId) -> &[ItemId] {
        self.backward.get(&(kind, to)).map(Vec::as_slice).unwrap_or_default()
    }

    /// The properties of an item, in order.
    ///
    /// # Errors
    /// An index out of range is broken, an essential property we do not know unsupported.
    pub(in crate::codec) fn properties(
        &self,
        item: ItemId,
    ) -> Result<Vec<Property<'a>>, DecodeError> {
        let list = self.associations.get(&item).map(Vec::as_slice).unwrap_or_default();
        let mut found = Vec::with_capacity(list.len());
        for association in list {
            // They count from 1; 0 is none.
            let Some(at) = usize::from(association.index).checked_sub(1) else { continue };
            let property = self.properties.get(at).ok_or_else(|| {
                broken(format!(
                    "item {item} has property {} of {}",
                    association.index,
                    self.properties.len()
                ))
            })?;
            if let (Property::Unknown(kind), true) = (property, association.essential) {
                let name = spell(*kind);
                return Err(DecodeError::Unsupported(format!("the AVIF property {name}")));
            }
            found.push(*property);
        }
        Ok(found)
    }

    /// The runs of bytes that make up an item, all of them inside the file; together no longer
    /// than the file, so that joining them is paid for.
    pub(in crate::codec) fn pieces(
        &self,
        item: ItemId,
        file: &File<'a>,
    ) -> Result<Vec<&'a [u8]>, DecodeError> {
        let place =
            self.places.get(&item).ok_or_else(|| broken(format!("item {item} lies nowhere")))?;
        let bytes = match place.origin {
            Origin::File => file.bytes,
            Origin::Idat => self.idat,
            Origin::Elsewhere => {
                return Err(DecodeError::Unsupported(
                    "an AVIF item stored in another file or item".to_owned(),
                ));
            }
        };
        let mut pieces = Vec::new();
        let mut total = 0_usize;
        for &(offset, length) in &place.extents {
            let piece = slice(bytes, offset, length)
                .ok_or_else(|| broken(format!("item {item} is cut off or lies beyond the end")))?;
            total = total.saturating_add(piece.len());
            if !piece.is_empty() {
                pieces.push(piece);
            }
        }
        if total == 0 || total > file.bytes.len() {
            return Err(broken(format!("item {item} is made of {total} bytes")));
        }
        Ok(pieces)
    }
}

fn slice(bytes: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    let from = bytes.get(usize::try_from(offset).ok()?..)?;
    if length == 0 { Some(from) } else { from.get(..usize::try_from(length).ok()?) }
}

/// An item number: 16 bits in version 0 of a box, else 32.
fn id(part: &mut Cursor<'_>, version: u8) -> Result<ItemId, DecodeError> {
    if version == 0 { part.u16().map(u32::from) } else { part.u32() }
}

//! Which pictures of an AVIF file are shown and how: the primary item or the first sample of
//! the first track, its alpha, its tiles, its turn, crop and colour. Never decodes; whatever
//! it promises of sizes is checked again against the pictures dav1d delivers.

use super::FORMAT;
use super::properties::Properties;
use crate::codec::DecodeError;
use crate::codec::bmff::meta::{ItemId, Meta};
use crate::codec::bmff::movie::{self, Track};
use crate::codec::bmff::property::{Av1Config, Cicp};
use crate::codec::bmff::{Cursor, File, broken, spell};
use crate::model::geometry::{Rect, Size};
use crate::model::source::Header;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The longest side accepted.
const MAX_SIDE: u32 = 65_535;
/// Pixels that may be coded beyond four times what is shown.
const SPARE_PIXELS: u64 = 4_000_000;
/// Tiles of a grid at most.
const MAX_TILES: usize = 4_096;

/// How often the tiles of a grid together may read the file's bytes.
const MAX_READS: usize = 4;

const HEVC_BRANDS: [&[u8; 4]; 8] =
    [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"];
/// The picture of a file and what belongs to it.
#[derive(Debug)]
pub(super) struct Container<'a> {
    /// As `probe` answers it.
    pub(super) header: Header,
    /// The colour planes.
    pub(super) color: Coded<'a>,
    /// The alpha plane, of the same size.
    pub(super) alpha: Option<Coded<'a>>,
    /// Colours are multiplied by alpha.
    pub(super) premultiplied: bool,
    /// The part of the coded picture that is shown, before the turn.
    pub(super) crop: Option<Rect>,
    /// The embedded profile, at most 1 MiB; it outranks `cicp` where colour is concerned.
    pub(super) icc: Option<&'a [u8]>,
    /// What the container says of the samples; it outranks the bitstream.
    pub(super) cicp: Option<Cicp>,
}

/// A picture as coded: one AV1 stream, or a grid of them.
#[derive(Debug)]
pub(super) struct Coded<'a> {
    /// The whole, before any crop.
    pub(super) size: Size,
    /// Tiles in a row.
    pub(super) columns: u32,
    /// The size of each tile; together they cover `size`.
    pub(super) tile: Size,
    /// Row by row; one alone for a picture without a grid.
    pub(super) tiles: Vec<Stream<'a>>,
}

/// One AV1 stream.
#[derive(Debug)]
pub(super) struct Stream<'a> {
    pieces: Vec<&'a [u8]>,
    /// AV1's operating point.
    pub(super) operating_point: u8,
    /// The spatial layer to show; `None` for the best.
    pub(super) layer: Option<u8>,
}

impl<'a> Stream<'a> {
    /// The whole stream; copies only where it lies in several pieces.
    pub(super) fn bytes(&self) -> Result<Cow<'a, [u8]>, DecodeError> {
        if let [piece] = self.pieces.as_slice() {
            return Ok(Cow::Borrowed(piece));
        }
        let mut joined = Vec::new();
        joined
            .try_reserve_exact(self.pieces.iter().map(|piece| piece.len()).sum())
            .map_err(|error| broken(error.to_string()))?;
        for piece in &self.pieces {
            joined.extend_from_slice(piece);
        }
        Ok(Cow::Owned(joined))
    }
}

/// Reads the container.
///
/// # Errors
/// [`DecodeError`]: not a picture, HEVC and other codecs unsupported, damage and
/// contradictions broken.
pub(super) fn read(bytes: &[u8]) -> Result<Container<'_>, DecodeError> {
    let file = File::scan(bytes)?;
    let avif = file.has_brand(&[b"avif", b"avis"]);
    if !avif && file.has_brand(&HEVC_BRANDS) {
        return Err(DecodeError::Unsupported("HEIC (HEVC in HEIF)".to_owned()));
    }
    if !avif && !file.has_brand(&[b"mif1", b"msf1", b"miaf", b"mif2", b"MA1A", b"MA1B"]) {
        let brand = spell(file.major);
        return Err(DecodeError::NotAnImage(format!("a media file of brand {brand}")));
    }
    let still = file.meta.map(|body| Meta::read(body).and_then(|meta| still(&file, &meta)));
    let sequence = file
        .moov
        .filter(|_| file.has_brand(&[b"avis", b"msf1"]))
        .map(|body| movie::tracks(body).and_then(|tracks| sequence(&file, &tracks)));
    match (still, sequence) {
        (Some(Ok(mut still)), Some(Ok(sequence))) => {
            still.header.frames = sequence.header.frames;
            Ok(still)
        }
        (Some(Ok(picture)), _) | (_, Some(Ok(picture))) => Ok(picture),
        (Some(Err(error)), _) | (None, Some(Err(error))) => Err(error),
        (None, None) => Err(broken("there is neither a meta nor a moov box")),
    }
}

/// The picture that the primary item is.
fn still<'a>(file: &File<'a>, meta: &Meta<'a>) -> Result<Container<'a>, DecodeError> {
    let primary = meta.primary.ok_or_else(|| broken("there is no primary item"))?;
    let mut own = Properties::new(&meta.properties(primary)?);
    let (color, first) = coded(file, meta, primary, &own, None)?;
    own.cicp = own.cicp.or(first.cicp);
    own.icc = own.icc.or(first.icc);
    let config = first.av1.ok_or_else(|| broken("the picture has no av1C property"))?;
    let (alpha, premultiplied) = match alpha_item(meta, primary)? {
        Some(item) => {
            let plane = Properties::new(&meta.properties(item)?);
            let (plane, _) = coded(file, meta, item, &plane, Some(color.size))?;
            (Some(plane), meta.referred(*b"prem", primary).contains(&item))
        }
        None => (alpha_of_tiles(file, meta, primary, &color)?, false),
    };
    assemble(color, alpha, premultiplied, config, &own, 1)
}

/// The picture that the first sample of the first AV1 track is.
fn sequence<'a>(file: &File<'a>, tracks: &[Track<'a>]) -> Result<Container<'a>, DecodeError> {
    let stream = |track: &Track<'a>, size: Size| -> Result<Coded<'a>, DecodeError> {
        let pieces = vec![track.first_sample(file.bytes)?];
        let tiles = vec![Stream { pieces, operating_point: 0, layer: None }];
        Ok(Coded { size, columns: 1, tile: size, tiles })
    };
    let (track, size) = tracks
        .iter()
        .filter(|track| matches!(&track.handler, b"pict" | b"vide"))
        .filter(|track| track.auxiliary_of.is_none())
        .find_map(|track| Some((track, track.av1?)))
        .ok_or_else(|| broken("the sequence has no AV1 track"))?;
    let own = Properties::new(&track.properties);
    let config = own.av1.ok_or_else(|| broken("the track has no av1C box"))?;
    let plane = tracks.iter().find(|other| {
        &other.handler == b"auxv" && other.auxiliary_of == Some(track.id) && other.av1.is_some()
    });
    let premultiplied = plane.is_some_and(|plane| track.premultiplied_by == Some(plane.id));
    let alpha = match plane {
        Some(plane) => Some(stream(plane, plane.av1.unwrap_or(size))?),
        None => None,
    };
    assemble(stream(track, size)?, alpha, premultiplied, config, &own, track.samples)
}

fn assemble<'a>(
    color: Coded<'a>,
    alpha: Option<Coded<'a>>,
    premultiplied: bool,
    config: Av1Config,
    own: &Properties<'a>,
    frames: u32,
) -> Result<Container<'a>, DecodeError> {
    checked(color.size)?;
    if let Some(plane) = &alpha
        && plane.size != color.size
    {
        let (plane, color) = (plane.size, color.size);
        return Err(broken(format!("an alpha plane of {plane} for a picture of {color}")));
    }
    let crop = match own.clap {
        Some(clap) => Some(clap.within(color.size).ok_or_else(|| {
            broken(format!("the clean aperture does not fit a picture of {}", color.size))
        })?),
        None => None,
    };
    proportionate(color.size.pixels(), crop.map_or(color.size, |rect| rect.size))?;
    let header = Header {
        format: FORMAT,
        size: crop.map_or(color.size, |rect| rect.size),
        orientation: own.orientation(),
        alpha: alpha.is_some(),
        gray: config.monochrome,
        frames: frames.max(1),
        progressive: false,
        whole: true,
        depth: config.depth,
        planes: None,
    };
    Ok(Container { header, color, alpha, premultiplied, crop, icc: own.icc, cicp: own.cicp })
}

fn checked(size: Size) -> Result<Size, DecodeError> {
    if size.pixels() == 0 || size.longest() > MAX_SIDE {
        return Err(broken(format!("a picture of {size}; sides are 1 to {MAX_SIDE}")));
    }
    Ok(size)
}

/// The header promises the size that is shown, and whoever pays for decoding pays for that.
/// A file that codes vastly more than it shows is refused.
fn proportionate(coded: u64, shown: Size) -> Result<(), DecodeError> {
    if coded > shown.pixels() * 4 + SPARE_PIXELS {
        return Err(broken(format!("{coded} pixels are coded to show {shown}")));
    }
    Ok(())
}

/// The coded picture of an item, and the properties of its (first) AV1 stream. `assumed` is
/// the size of an alpha plane that states none.
fn coded<'a>(
    file: &File<'a>,
    meta: &Meta<'a>,
    item: ItemId,
    own: &Properties<'a>,
    assumed: Option<Size>,
) -> Result<(Coded<'a>, Properties<'a>), DecodeError> {
    let stated = own.size.or(assumed);
    let size = checked(stated.ok_or_else(|| broken(format!("item {item} states no size")))?)?;
    match meta.kind(item) {
        Some(kind) if &kind == b"av01" => {
            let own = Properties::new(&meta.properties(item)?);
            let tiles = vec![stream(file, meta, item, &own)?];
            Ok((Coded { size, columns: 1, tile: size, tiles }, own))
        }
        Some(kind) if &kind == b"grid" => {
            let pieces = meta.pieces(item, file)?.concat();
            let (columns, rows, output) = grid(Cursor::new(&pieces))?;
            if output != size {
                return Err(broken(format!("a grid of {output} in an item of {size}")));
            }
            tiled(file, meta, meta.referred(*b"dimg", item), (columns, rows), size)
        }
        Some(kind) => {
            Err(DecodeError::Unsupported(format!("HEIF with a picture of type {}", spell(kind))))
        }
        None => Err(broken(format!("item {item} is not described"))),
    }
}

fn stream<'a>(
    file: &File<'a>,
    meta: &Meta<'a>,
    item: ItemId,
    own: &Properties<'a>,
) -> Result<Stream<'a>, DecodeError> {
    if own.av1.is_none() {
        return Err(broken(format!("item {item} has no av1C property")));
    }
    let pieces = meta.pieces(item, file)?;
    Ok(Stream { pieces, operating_point: own.operating_point, layer: own.layer })
}

/// Columns, rows and output size from the data of a grid item (23008-12 §6.6.2.3.2).
fn grid(mut data: Cursor<'_>) -> Result<(u32, u32, Size), DecodeError> {
    let (version, flags) = (data.u8()?, data.u8()?);
    if version != 0 {
        return Err(DecodeError::Unsupported(format!("a grid of version {version}")));
    }
    let (rows, columns) = (u32::from(data.u8()?) + 1, u32::from(data.u8()?) + 1);
    let mut pixels = || if flags & 1 == 0 { data.u16().map(u32::from) } else { data.u32() };
    let size = Size::new(pixels()?, pixels()?);
    Ok((columns, rows, size))
}

/// The tiles of a grid: all of one size, covering the output and no tile wholly outside it.
fn tiled<'a>(
    file: &File<'a>,
    meta: &Meta<'a>,
    parts: &[ItemId],
    (columns, rows): (u32, u32),
    size: Size,
) -> Result<(Coded<'a>, Properties<'a>), DecodeError> {
    if parts.len() as u64 != u64::from(columns) * u64::from(rows) || parts.len() > MAX_TILES {
        let count = parts.len();
        return Err(broken(format!("{count} tiles in a grid of {columns}x{rows}")));
    }
    let mut tiles = Vec::with_capacity(parts.len());
    let (mut seen, mut read) = (BTreeSet::new(), 0_usize);
    let mut first: Option<(Properties<'a>, Size)> = None;
    for &part in parts {
        if !seen.insert(part) {
            return Err(broken(format!("the tile {part} is used twice")));
        }
        if meta.kind(part) != Some(*b"av01") {
            return Err(broken(format!("the tile {part} is not an AV1 picture")));
        }
        let own = Properties::new(&meta.properties(part)?);
        let tile = checked(own.size.ok_or_else(|| broken(format!("tile {part} has no size")))?)?;
        let tile_stream = stream(file, meta, part, &own)?;
        read = tile_stream.pieces.iter().fold(read, |sum, piece| sum.saturating_add(piece.len()));
        // Equal tiles may share their bytes, but not so that a small file is read for ever.
        if read > file.bytes.len().saturating_mul(MAX_READS) {
            return Err(broken("the tiles of a grid overlap too often in the file"));
        }
        tiles.push(tile_stream);
        match &first {
            None => first = Some((own, tile)),
            Some((_, size)) if *size != tile => {
                return Err(broken(format!("tiles of {size} and {tile} in one grid")));
            }
            Some(_) => {}
        }
    }
    let (own, tile) = first.ok_or_else(|| broken("a grid without tiles"))?;
    let covers = |count: u32, step: u32, whole: u32| {
        let (count, step, whole) = (u64::from(count), u64::from(step), u64::from(whole));
        count * step >= whole && (count - 1) * step < whole
    };
    if !covers(columns, tile.width, size.width) || !covers(rows, tile.height, size.height) {
        return Err(broken(format!("{columns}x{rows} tiles of {tile} for a picture of {size}")));
    }
    proportionate(tile.pixels() * parts.len() as u64, size)?;
    Ok((Coded { size, columns, tile, tiles }, own))
}

/// The alpha item of an item.
fn alpha_item(meta: &Meta<'_>, item: ItemId) -> Result<Option<ItemId>, DecodeError> {
    for &candidate in meta.referring(*b"auxl", item) {
        if Properties::new(&meta.properties(candidate)?).alpha {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}

/// Some writers give every tile of a grid an alpha plane of its own instead of one grid of
/// alpha. `None` unless every tile has one.
fn alpha_of_tiles<'a>(
    file: &File<'a>,
    meta: &Meta<'a>,
    item: ItemId,
    color: &Coded<'a>,
) -> Result<Option<Coded<'a>>, DecodeError> {
    if meta.kind(item) != Some(*b"grid") {
        return Ok(None);
    }
    let mut parts = Vec::with_capacity(color.tiles.len());
    for &tile in meta.referred(*b"dimg", item) {
        match alpha_item(meta, tile)? {
            Some(plane) => parts.push(plane),
            None => return Ok(None),
        }
    }
    let rows = u32::try_from(color.tiles.len()).unwrap_or(u32::MAX) / color.columns.max(1);
    tiled(file, meta, &parts, (color.columns, rows), color.size).map(|(plane, _)| Some(plane))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::bmff::property::Property;

    #[test]
    fn a_small_window_on_a_huge_picture_is_refused() {
        let window = |side: u32| {
            let fraction = |n: u32| [n.to_be_bytes(), 1_u32.to_be_bytes()].concat();
            let body = [fraction(side), fraction(side), fraction(0), fraction(0)].concat();
            let clap = Property::read(*b"clap", Cursor::new(&body)).unwrap();
            let own = Properties::new(&[clap]);
            let size = Size::new(10_000, 10_000);
            let color = Coded { size, columns: 1, tile: size, tiles: Vec::new() };
            let config = Av1Config { depth: 8, monochrome: false };
            assemble(color, None, false, config, &own, 1).map(|container| container.header.size)
        };
        assert_eq!(window(8_000).unwrap(), Size::new(8_000, 8_000));
        assert!(window(100).unwrap_err().to_string().contains("coded to show 100x100"));
    }

    #[test]
    fn a_grid_is_read_in_both_widths() {
        let narrow = grid(Cursor::new(&[0, 0, 1, 2, 0, 9, 0, 8])).unwrap();
        assert_eq!(narrow, (3, 2, Size::new(9, 8)));
        let wide = grid(Cursor::new(&[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8])).unwrap();
        assert_eq!(wide, (1, 1, Size::new(65_536, 8)));
        assert!(grid(Cursor::new(&[0, 1, 0, 0, 0, 1, 0, 0])).is_err());
    }
}

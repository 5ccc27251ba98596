//! Decoded AV1 pictures as planes of samples, and the canvas on which the tiles of a grid
//! become one picture. Knows nothing of colour.

use super::container::Coded;
use super::dav1d::{self, Picture};
use crate::codec::DecodeError;
use crate::codec::bmff::broken;
use crate::codec::bmff::property::Cicp;
use crate::model::geometry::Size;

/// How much smaller the chroma planes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chroma {
    /// 4:0:0, there are none.
    None,
    /// 4:2:0, half in both directions.
    Quarter,
    /// 4:2:2, half as wide.
    Half,
    /// 4:4:4.
    Full,
}

/// What the planes of a picture are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    /// The luma plane.
    pub(super) size: Size,
    /// The chroma planes.
    pub(super) chroma: Chroma,
    /// Bits per sample: 8, 10 or 12.
    pub(super) depth: u8,
}

impl Format {
    /// The size of plane 0 (luma), 1 or 2 (chroma).
    pub(super) const fn plane(self, index: usize) -> Option<Size> {
        let Size { width, height } = self.size;
        match (index, self.chroma) {
            (0, _) | (1 | 2, Chroma::Full) => Some(self.size),
            (1 | 2, Chroma::Quarter) => Some(Size::new(width.div_ceil(2), height.div_ceil(2))),
            (1 | 2, Chroma::Half) => Some(Size::new(width.div_ceil(2), height)),
            _ => None,
        }
    }
}

mod sealed {
    pub(in crate::codec) trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for u16 {}
}

/// A sample in memory: `u8` at 8 bits, `u16` above. Sealed, because dav1d's planes are read
/// as slices of it.
pub(super) trait Sample: sealed::Sealed + Copy + Default + 'static {
    /// The number.
    fn level(self) -> u16;
}

impl Sample for u8 {
    fn level(self) -> u16 {
        u16::from(self)
    }
}

impl Sample for u16 {
    fn level(self) -> u16 {
        self
    }
}

/// The planes of a picture, readable row by row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Yuv<'a, S> {
    /// What they are.
    pub(super) format: Format,
    planes: [&'a [S]; 3],
    strides: [usize; 3],
}

impl<'a, S: Sample> Yuv<'a, S> {
    /// A row of a plane; empty where there is no such row.
    pub(super) fn row(&self, plane: usize, y: usize) -> &'a [S] {
        let read = || {
            let width = self.format.plane(plane)?.width as usize;
            let start = self.strides.get(plane)?.checked_mul(y)?;
            self.planes.get(plane)?.get(start..start.checked_add(width)?)
        };
        read().unwrap_or_default()
    }
}

/// A whole picture: as dav1d delivered it, or pieced together.
pub(super) enum Frame {
    /// Without a grid; nothing was copied.
    Single(Picture),
    /// A grid of 8-bit tiles.
    Canvas8(Canvas<u8>),
    /// A grid of deeper tiles.
    Canvas16(Canvas<u16>),
}

/// Planes of our own.
pub(super) struct Canvas<S> {
    format: Format,
    cicp: Cicp,
    planes: [Vec<S>; 3],
}

/// The planes of a frame at their depth.
pub(super) enum View<'a> {
    /// 8 bits.
    Eight(Yuv<'a, u8>),
    /// 10 or 12 bits.
    Deep(Yuv<'a, u16>),
}

impl View<'_> {
    /// What the planes are.
    pub(super) const fn format(&self) -> Format {
        match self {
            Self::Eight(yuv) => yuv.format,
            Self::Deep(yuv) => yuv.format,
        }
    }
}

impl Frame {
    /// What the bitstream (of the first tile) says of the samples.
    pub(super) const fn cicp(&self) -> Cicp {
        match self {
            Self::Single(picture) => picture.cicp,
            Self::Canvas8(canvas) => canvas.cicp,
            Self::Canvas16(canvas) => canvas.cicp,
        }
    }

    /// The planes.
    pub(super) fn view(&self) -> Result<View<'_>, DecodeError> {
        Ok(match self {
            Self::Single(picture) if picture.format.depth == 8 => View::Eight(planes(picture)?),
            Self::Single(picture) => View::Deep(planes(picture)?),
            Self::Canvas8(canvas) => View::Eight(canvas.view()),
            Self::Canvas16(canvas) => View::Deep(canvas.view()),
        })
    }
}

fn planes<S: Sample>(picture: &Picture) -> Result<Yuv<'_, S>, DecodeError> {
    let format = picture.format;
    let mut yuv = Yuv { format, planes: [&[]; 3], strides: [0; 3] };
    for (index, (plane, stride)) in yuv.planes.iter_mut().zip(&mut yuv.strides).enumerate() {
        if format.plane(index).is_some() {
            (*plane, *stride) =
                picture.plane(index).ok_or_else(|| broken("dav1d delivered unusable planes"))?;
        }
    }
    Ok(yuv)
}

impl<S: Sample> Canvas<S> {
    fn new(format: Format, cicp: Cicp) -> Result<Self, DecodeError> {
        let mut canvas = Self { format, cicp, planes: [Vec::new(), Vec::new(), Vec::new()] };
        for (index, plane) in canvas.planes.iter_mut().enumerate() {
            let samples = format.plane(index).map_or(0, Size::pixels);
            let samples = usize::try_from(samples).unwrap_or(usize::MAX);
            plane
                .try_reserve_exact(samples)
                .map_err(|_| broken(format!("no memory for {samples} samples")))?;
            plane.resize(samples, S::default());
        }
        Ok(canvas)
    }

    fn view(&self) -> Yuv<'_, S> {
        let stride = |index| self.format.plane(index).map_or(0, |size| size.width as usize);
        let [y, u, v] = &self.planes;
        Yuv { format: self.format, planes: [y, u, v], strides: [stride(0), stride(1), stride(2)] }
    }

    /// Copies a tile to its place; what lies beyond the canvas is left out.
    fn put(&mut self, picture: &Picture, x: u32, y: u32) -> Result<(), DecodeError> {
        let tile = planes::<S>(picture)?;
        for (index, plane) in self.planes.iter_mut().enumerate() {
            let (Some(size), Some(part)) = (self.format.plane(index), tile.format.plane(index))
            else {
                continue;
            };
            // Tiles begin at even places wherever chroma is halved.
            let (left, top) = match self.format.chroma {
                Chroma::Quarter if index > 0 => (x / 2, y / 2),
                Chroma::Half if index > 0 => (x / 2, y),
                _ => (x, y),
            };
            let (left, top) = (left as usize, top as usize);
            let rows = plane.chunks_exact_mut(size.width as usize).skip(top);
            for (row, out) in rows.take(part.height as usize).enumerate() {
                let source = tile.row(index, row);
                let out = out.get_mut(left..).unwrap_or_default();
                let width = out.len().min(source.len());
                if let (Some(out), Some(source)) = (out.get_mut(..width), source.get(..width)) {
                    out.copy_from_slice(source);
                }
            }
        }
        Ok(())
    }
}

/// Decodes every tile of a picture and puts them together. Memory: dav1d's for one tile, and
/// for a grid the planes of the whole.
///
/// # Errors
/// [`DecodeError::Broken`] for damaged tiles and tiles that differ in kind.
pub(super) fn decode(coded: &Coded<'_>) -> Result<Frame, DecodeError> {
    let tile = |index: usize| {
        let stream = coded.tiles.get(index).ok_or_else(|| broken("a tile is missing"))?;
        let bytes = stream.bytes()?;
        dav1d::decode(&bytes, coded.tile, stream.operating_point, stream.layer)
    };
    let first = tile(0)?;
    if coded.tiles.len() == 1 && coded.size == coded.tile {
        return Ok(Frame::Single(first));
    }
    let subsampled = !matches!(first.format.chroma, Chroma::None | Chroma::Full);
    if subsampled && coded.tile.width % 2 == 1 && coded.columns > 1
        || first.format.chroma == Chroma::Quarter
            && coded.tile.height % 2 == 1
            && coded.tiles.len() > coded.columns as usize
    {
        return Err(broken(format!("tiles of {} cannot share their chroma", coded.tile)));
    }
    let format = Format { size: coded.size, ..first.format };
    if format.depth == 8 {
        Canvas::new(format, first.cicp)
            .and_then(|canvas| fill(canvas, coded, first, tile))
            .map(Frame::Canvas8)
    } else {
        Canvas::new(format, first.cicp)
            .and_then(|canvas| fill(canvas, coded, first, tile))
            .map(Frame::Canvas16)
    }
}

fn fill<S: Sample>(
    mut canvas: Canvas<S>,
    coded: &Coded<'_>,
    first: Picture,
    tile: impl Fn(usize) -> Result<Picture, DecodeError>,
) -> Result<Canvas<S>, DecodeError> {
    let kind = first.format;
    canvas.put(&first, 0, 0)?;
    drop(first);
    let mut place = (0, 0);
    for index in 1..coded.tiles.len() {
        place.0 += coded.tile.width;
        if index.is_multiple_of(coded.columns as usize) {
            place = (0, place.1 + coded.tile.height);
        }
        let picture = tile(index)?;
        if picture.format != kind {
            return Err(broken("the tiles of the grid differ in kind"));
        }
        canvas.put(&picture, place.0, place.1)?;
    }
    Ok(canvas)
}

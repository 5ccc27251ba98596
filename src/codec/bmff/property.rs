//! Item properties (ISO/IEC 23008-12 §6.5, AV1-ISOBMFF §2.3). Reads what decides size, place
//! and colour; notes the name of everything else. Never applies anything.

use super::{Cursor, DecodeError, FourCc, broken};
use crate::model::geometry::{Rect, Size};

/// `av1C`: what the AV1 stream of an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::codec) struct Av1Config {
    /// Bits per sample: 8, 10 or 12.
    pub(in crate::codec) depth: u8,
    /// No chroma planes.
    pub(in crate::codec) monochrome: bool,
}

/// Coding-independent code points (ITU-T H.273).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::codec) struct Cicp {
    /// Colour primaries; 2 = unspecified.
    pub(in crate::codec) primaries: u16,
    /// Transfer characteristics; 2 = unspecified.
    pub(in crate::codec) transfer: u16,
    /// Matrix coefficients; 2 = unspecified.
    pub(in crate::codec) matrix: u16,
    /// Samples use the whole range of their depth.
    pub(in crate::codec) full_range: bool,
}

/// `clap`: the part of the picture to show, as fractions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::codec) struct CleanAperture {
    width: (u32, u32),
    height: (u32, u32),
    right: (i32, u32),
    down: (i32, u32),
}

/// One property of an item.
#[derive(Debug, Clone, Copy)]
pub(in crate::codec) enum Property<'a> {
    /// `ispe`; sides may be 0 in a damaged file.
    Extents(Size),
    /// `av1C`.
    Av1(Av1Config),
    /// `colr` of type `nclx`.
    Nclx(Cicp),
    /// `colr` of type `prof` or `rICC`.
    Icc(&'a [u8]),
    /// `irot`: quarter turns anticlockwise, 0–3.
    Rotation(u8),
    /// `imir`: true exchanges left and right, false top and bottom.
    Mirror(bool),
    /// `clap`.
    Clap(CleanAperture),
    /// `auxC`: what an auxiliary picture is, a URN without its terminator.
    Auxiliary(&'a [u8]),
    /// `a1op`: the operating point to decode.
    OperatingPoint(u8),
    /// `lsel`: the spatial layer to show; 0xFFFF = the best there is.
    Layer(u16),
    /// Known and of no effect here.
    Idle,
    /// Not known; refused where it is essential.
    Unknown(FourCc),
}

impl<'a> Property<'a> {
    /// Reads the body of a property box.
    pub(in crate::codec) fn read(kind: FourCc, mut body: Cursor<'a>) -> Result<Self, DecodeError> {
        Ok(match &kind {
            b"ispe" => {
                body.full()?;
                Self::Extents(Size::new(body.u32()?, body.u32()?))
            }
            b"av1C" => {
                let (marker, _level, bits) = (body.u8()?, body.u8()?, body.u8()?);
                if marker != 0x81 {
                    return Err(broken(format!("av1C begins with {marker:#04x}, not 0x81")));
                }
                let depth = match (bits & 0x40 != 0, bits & 0x20 != 0) {
                    (false, _) => 8,
                    (true, false) => 10,
                    (true, true) => 12,
                };
                Self::Av1(Av1Config { depth, monochrome: bits & 0x10 != 0 })
            }
            b"colr" => match &body.fourcc()? {
                b"nclx" => Self::Nclx(Cicp {
                    primaries: body.u16()?,
                    transfer: body.u16()?,
                    matrix: body.u16()?,
                    full_range: body.u8()? & 0x80 != 0,
                }),
                b"prof" | b"rICC" => Self::Icc(body.rest()),
                _ => Self::Idle,
            },
            b"irot" => Self::Rotation(body.u8()? & 3),
            b"imir" => Self::Mirror(body.u8()? & 1 == 1),
            b"clap" => Self::Clap(CleanAperture {
                width: (body.u32()?, body.u32()?),
                height: (body.u32()?, body.u32()?),
                right: (body.u32()?.cast_signed(), body.u32()?),
                down: (body.u32()?.cast_signed(), body.u32()?),
            }),
            b"auxC" => {
                body.full()?;
                let text = body.rest();
                let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
                Self::Auxiliary(text.get(..end).unwrap_or_default())
            }
            b"a1op" => Self::OperatingPoint(body.u8()?),
            b"lsel" => Self::Layer(body.u16()?),
            b"pixi" | b"pasp" | b"clli" | b"mdcv" | b"cclv" | b"amve" | b"ccst" | b"a1lx"
            | b"altt" | b"udes" | b"cdsc" | b"reve" | b"ndwt" | b"btrt" => Self::Idle,
            _ => Self::Unknown(kind),
        })
    }
}

impl CleanAperture {
    /// The part of a picture of `size` to show. `None` unless the fractions name whole pixels
    /// wholly inside the picture.
    pub(in crate::codec) fn within(self, size: Size) -> Option<Rect> {
        let (width, left) = span(self.width, self.right, size.width)?;
        let (height, top) = span(self.height, self.down, size.height)?;
        Some(Rect { x: left, y: top, size: Size::new(width, height) })
    }
}

/// Length and start of one side: the offset is from the middle of the picture to the middle of
/// the aperture (14496-12 §12.1.4).
fn span(length: (u32, u32), offset: (i32, u32), whole: u32) -> Option<(u32, u32)> {
    if offset.1 == 0 || !length.0.is_multiple_of(length.1) {
        return None;
    }
    let length = length.0.checked_div(length.1)?;
    let (shift, per) = (i64::from(offset.0), i64::from(offset.1));
    // start = offset + (whole - length) / 2, all of it over twice the denominator.
    let twice = shift
        .checked_mul(2)?
        .checked_add(per.checked_mul(i64::from(whole).checked_sub(i64::from(length))?)?)?;
    let double = per.checked_mul(2)?;
    if twice.checked_rem(double)? != 0 {
        return None;
    }
    let start = u32::try_from(twice.checked_div(double)?).ok()?;
    (length > 0 && start.checked_add(length)? <= whole).then_some((length, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aperture(width: u32, right: (i32, u32)) -> CleanAperture {
        CleanAperture { width: (width, 1), height: (2, 1), right, down: (0, 1) }
    }

    #[test]
    fn an_aperture_is_centred_and_shifted() {
        let size = Size::new(10, 2);
        let cut = |width, right| aperture(width, right).within(size).map(|rect| rect.x);
        assert_eq!(cut(4, (0, 1)), Some(3));
        assert_eq!(cut(4, (-3, 1)), Some(0));
        assert_eq!(cut(4, (6, 2)), Some(6));
        assert_eq!(cut(5, (1, 2)), Some(3));
    }

    #[test]
    fn an_aperture_that_leaves_the_picture_or_halves_a_pixel_is_refused() {
        let size = Size::new(10, 2);
        for (width, right) in
            [(11, (0, 1)), (4, (4, 1)), (4, (-4, 1)), (5, (0, 1)), (0, (0, 1)), (4, (0, 0))]
        {
            assert_eq!(aperture(width, right).within(size), None, "{width} {right:?}");
        }
        assert_eq!(aperture(u32::MAX, (i32::MIN, u32::MAX)).within(size), None);
    }
}

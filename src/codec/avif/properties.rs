//! What the properties of one item come to. Never reads bytes: `bmff` has done that.

use crate::codec::bmff::property::{Av1Config, Cicp, CleanAperture, Property};
use crate::model::geometry::{Orientation, Size};

/// A longer profile is not a profile of an image.
const MAX_ICC: usize = 1 << 20;
const ALPHA: [&[u8]; 2] =
    [b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1"];

/// The properties of one item, each at its last value.
#[derive(Debug, Default)]
pub(super) struct Properties<'a> {
    pub(super) size: Option<Size>,
    pub(super) av1: Option<Av1Config>,
    pub(super) cicp: Option<Cicp>,
    pub(super) icc: Option<&'a [u8]>,
    pub(super) clap: Option<CleanAperture>,
    pub(super) rotation: u8,
    pub(super) mirror: Option<bool>,
    pub(super) alpha: bool,
    pub(super) operating_point: u8,
    pub(super) layer: Option<u8>,
}

impl<'a> Properties<'a> {
    pub(super) fn new(list: &[Property<'a>]) -> Self {
        let mut all = Self::default();
        for property in list {
            match *property {
                Property::Extents(size) => all.size = Some(size),
                Property::Av1(config) => all.av1 = Some(config),
                Property::Nclx(cicp) => all.cicp = Some(cicp),
                Property::Icc(profile) if profile.len() <= MAX_ICC => all.icc = Some(profile),
                Property::Clap(clap) => all.clap = Some(clap),
                Property::Rotation(turns) => all.rotation = turns,
                Property::Mirror(sideways) => all.mirror = Some(sideways),
                Property::Auxiliary(urn) => all.alpha = ALPHA.contains(&urn),
                Property::OperatingPoint(point) => all.operating_point = point,
                Property::Layer(layer) => all.layer = u8::try_from(layer).ok(),
                Property::Icc(_) | Property::Idle | Property::Unknown(_) => {}
            }
        }
        all
    }

    /// `irot` first, then `imir` (23008-12 §6.5.10, 6.5.12; MIAF §7.3.6.7), as one EXIF turn.
    pub(super) const fn orientation(&self) -> Orientation {
        match (self.rotation, self.mirror) {
            (0, None) => Orientation::Upright,
            (0, Some(true)) | (2, Some(false)) => Orientation::FlipH,
            (0, Some(false)) | (2, Some(true)) => Orientation::FlipV,
            (1, None) => Orientation::Rotate270,
            (1, Some(true)) | (3, Some(false)) => Orientation::Transverse,
            (1, Some(false)) | (3, Some(true)) => Orientation::Transpose,
            (2, None) => Orientation::Rotate180,
            (_, _) => Orientation::Rotate90,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EXIF turns as maps of a 2 × 1 picture's corners would be ambiguous; a point of a
    /// 10 × 4 picture is not.
    fn turn(orientation: Orientation, (x, y): (u32, u32)) -> (u32, u32) {
        let (w, h) = (10, 4);
        match orientation {
            Orientation::Upright => (x, y),
            Orientation::FlipH => (w - 1 - x, y),
            Orientation::Rotate180 => (w - 1 - x, h - 1 - y),
            Orientation::FlipV => (x, h - 1 - y),
            Orientation::Transpose => (y, x),
            Orientation::Rotate90 => (h - 1 - y, x),
            Orientation::Transverse => (h - 1 - y, w - 1 - x),
            Orientation::Rotate270 => (y, w - 1 - x),
        }
    }

    #[test]
    fn rotation_then_mirror_is_one_exif_turn() {
        for rotation in 0..4 {
            for mirror in [None, Some(true), Some(false)] {
                let (mut point, mut size) = ((2, 1), (10, 4));
                for _ in 0..rotation {
                    // A quarter turn anticlockwise.
                    point = (point.1, size.0 - 1 - point.0);
                    size = (size.1, size.0);
                }
                match mirror {
                    Some(true) => point.0 = size.0 - 1 - point.0,
                    Some(false) => point.1 = size.1 - 1 - point.1,
                    None => {}
                }
                let own = Properties { rotation, mirror, ..Properties::default() };
                assert_eq!(turn(own.orientation(), (2, 1)), point, "{rotation} {mirror:?}");
            }
        }
    }
}

//! Quarter turns and mirrors as one group of eight: EXIF orientation, `rot` by multiples of 90
//! and `flip` compose into a single turn. Never touches pixels.

use crate::model::geometry::{Flip, Orientation, Size};
use crate::model::units::Decimal;

/// An orientation as "exchange the axes, then mirror along the new ones".
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Dihedral {
    pub(super) swap: bool,
    pub(super) mirror_x: bool,
    pub(super) mirror_y: bool,
}

impl From<Orientation> for Dihedral {
    fn from(orientation: Orientation) -> Self {
        let (swap, mirror_x, mirror_y) = match orientation {
            Orientation::Upright => (false, false, false),
            Orientation::FlipH => (false, true, false),
            Orientation::Rotate180 => (false, true, true),
            Orientation::FlipV => (false, false, true),
            Orientation::Transpose => (true, false, false),
            Orientation::Rotate90 => (true, true, false),
            Orientation::Transverse => (true, true, true),
            Orientation::Rotate270 => (true, false, true),
        };
        Self { swap, mirror_x, mirror_y }
    }
}

impl From<Dihedral> for Orientation {
    fn from(turn: Dihedral) -> Self {
        match (turn.swap, turn.mirror_x, turn.mirror_y) {
            (false, false, false) => Self::Upright,
            (false, true, false) => Self::FlipH,
            (false, true, true) => Self::Rotate180,
            (false, false, true) => Self::FlipV,
            (true, false, false) => Self::Transpose,
            (true, true, false) => Self::Rotate90,
            (true, true, true) => Self::Transverse,
            (true, false, true) => Self::Rotate270,
        }
    }
}

/// `first`, then `second`, as one.
pub(super) fn compose(first: Orientation, second: Orientation) -> Orientation {
    let (a, b) = (Dihedral::from(first), Dihedral::from(second));
    // Exchanging the axes after a mirror is mirroring the other axis after the exchange.
    let (x, y) = if b.swap { (a.mirror_y, a.mirror_x) } else { (a.mirror_x, a.mirror_y) };
    Dihedral { swap: a.swap ^ b.swap, mirror_x: x ^ b.mirror_x, mirror_y: y ^ b.mirror_y }.into()
}

/// The mirror of `flip`.
pub(super) fn flip(flip: Flip) -> Orientation {
    match flip {
        Flip::None => Orientation::Upright,
        Flip::Horizontal => Orientation::FlipH,
        Flip::Vertical => Orientation::FlipV,
        Flip::Both => Orientation::Rotate180,
    }
}

/// `rot` as a quarter turn, if it is one. Degrees are in 0 ≤ r < 360.
pub(super) fn quarter_turns(degrees: Decimal) -> Option<Orientation> {
    const QUARTER: i64 = Decimal::whole(90).micros();
    if degrees.micros().checked_rem(QUARTER)? != 0 {
        return None;
    }
    match degrees.micros().checked_div(QUARTER)? {
        0 => Some(Orientation::Upright),
        1 => Some(Orientation::Rotate90),
        2 => Some(Orientation::Rotate180),
        3 => Some(Orientation::Rotate270),
        _ => None,
    }
}

/// The size of the upright box around a picture turned by `degrees`, each side R of the exact
/// value. Errors of the sine below 10⁻⁶ pixel never add a column.
pub(super) fn bounding_box(size: Size, degrees: f64) -> Size {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (w, h) = (f64::from(size.width), f64::from(size.height));
    let side = |x: f64| crate::model::units::Px::round(x - 1e-6).get();
    Size::new(side(w * cos.abs() + h * sin.abs()), side(w * sin.abs() + h * cos.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Orientation; 8] = [
        Orientation::Upright,
        Orientation::FlipH,
        Orientation::Rotate180,
        Orientation::FlipV,
        Orientation::Transpose,
        Orientation::Rotate90,
        Orientation::Transverse,
        Orientation::Rotate270,
    ];

    #[test]
    fn quarter_turns_add_up() {
        let quarter = Orientation::Rotate90;
        assert_eq!(compose(quarter, quarter), Orientation::Rotate180);
        assert_eq!(compose(compose(quarter, quarter), quarter), Orientation::Rotate270);
        assert_eq!(compose(quarter, Orientation::Rotate270), Orientation::Upright);
    }

    #[test]
    fn turns_form_a_group() {
        for a in ALL {
            assert!(ALL.iter().any(|b| compose(a, *b) == Orientation::Upright), "{a:?}");
            for b in ALL {
                for c in ALL {
                    assert_eq!(compose(compose(a, b), c), compose(a, compose(b, c)));
                }
            }
        }
    }

    #[test]
    fn transpose_is_a_turn_and_a_mirror() {
        assert_eq!(compose(Orientation::Rotate90, Orientation::FlipH), Orientation::Transpose);
        assert_eq!(compose(Orientation::FlipH, Orientation::Rotate270), Orientation::Transpose);
    }

    #[test]
    fn a_box_around_a_half_turned_square_is_its_diagonal() {
        assert_eq!(bounding_box(Size::new(100, 100), 45.0), Size::new(141, 141));
        assert_eq!(bounding_box(Size::new(100, 50), 180.0), Size::new(100, 50));
    }
}

//! Whether a picture may stay in planes of luma and chroma from the decoder to the encoder. Decided
//! by header and request alone, so that bytes never depend on what happens to be cached.

use super::turn::Dihedral;
use super::{Choice, Step, Window};
use crate::codec::Encoding;
use crate::model::geometry::Size;
use crate::model::planes::Subsampling;
use crate::model::source::Header;

/// Whether the decoder has planes, the encoder takes them, and every step between is one that
/// planes can take. `result` is the size of the result.
pub(super) fn allows(header: &Header, steps: &[Step], choice: Choice, result: Size) -> bool {
    let Some(subsampling) = header.planes else { return false };
    let writes_planes = matches!(
        choice,
        Choice::Fixed(Encoding::Jpeg { .. } | Encoding::Webp { .. } | Encoding::Avif { .. })
    );
    // Encoders want 4:2:0; resampling makes it of anything.
    let becomes_quarter = subsampling == Subsampling::Quarter
        || steps.iter().any(|step| matches!(step, Step::Resize { .. }));
    let takes_planes = |step: &Step| match *step {
        Step::Settle | Step::Flatten(_) | Step::Resize { window: Window::Fixed(_), .. } => true,
        Step::Turn(turn) => {
            // A mirrored odd side would begin with the half of a pair: its chroma would lie one
            // sample of luma beside where the encoder takes it to be.
            let Dihedral { mirror_x, mirror_y, .. } = turn.into();
            !(mirror_x && result.width % 2 == 1 || mirror_y && result.height % 2 == 1)
        }
        // Where a picture is busiest, and all that changes how it looks, is for pixels.
        Step::Resize { window: Window::Smart { .. }, .. }
        | Step::Crop(_)
        | Step::Rotate { .. }
        | Step::Gray
        | Step::Blur { .. }
        | Step::Sharpen { .. }
        | Step::Letterbox { .. } => false,
    };
    writes_planes && becomes_quarter && steps.iter().all(takes_planes)
}

//! Baseline JPEG straight to planes of a half, a quarter or an eighth. Most of a downscale is entropy
//! decoding, and most of that is spent on coefficients a small result has no use for: here they
//! cost a look that passes several at once, and the others go through a transform of the size that
//! is wanted. About a quarter less than libjpeg-turbo takes for a half, less than half for an eighth.
//! Never guesses: whatever is unusual, damaged or cut off is left to libjpeg-turbo, which knows what
//! to say of it. Which of the two decodes depends on the file alone.

mod bits;
mod header;
mod huffman;
mod idct;
mod scan;

use crate::codec::buffers;
use crate::model::geometry::Size;
use crate::model::planes::{Planes, Subsampling};
use crate::model::source::Scale;
use header::Header;

/// Decodes a file whose frame header says `size` and `subsampling` of YCbCr. `None` for what is not
/// done here: 1/1, more than one scan, arithmetic coding, tables no baseline file has, and every
/// fault. Allocates the planes, a band of one row of MCUs, and tables of some 100 KiB.
pub(super) fn decode(
    file: &[u8],
    size: Size,
    subsampling: Subsampling,
    scale: Scale,
) -> Option<Planes> {
    if scale == Scale::Full {
        return None;
    }
    let header = Header::read(file)?;
    if (header.size, header.subsampling) != (size, subsampling) {
        return None;
    }
    let scaled = scale.apply(size);
    let samples = buffers::take(Planes::bytes_for(scaled, subsampling)?).ok()?;
    let mut planes = Planes::new(scaled, subsampling, samples).ok()?;
    match scale {
        Scale::Full => None,
        Scale::Half => scan::decode::<4>(&header, &mut planes),
        Scale::Quarter => scan::decode::<2>(&header, &mut planes),
        Scale::Eighth => scan::decode::<1>(&header, &mut planes),
    }?;
    planes.repeat_edges();
    Some(planes)
}

#[cfg(test)]
mod tests;

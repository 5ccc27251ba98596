//! Pixels → JPEG, 4:2:0, without metadata. Never flattens alpha: that is the pipeline's, which
//! knows the background.

use super::super::EncodeError;
use super::turbo::{self, Model};
use super::yuv;
use crate::model::format::Format;
use crate::model::pixels::{Layout, Pixels};
use crate::model::planes::Planes;

/// Encodes grey or RGB pixels: baseline with the default Huffman tables (a few per cent larger
/// than optimised ones, at less than half the time), or progressive with optimised tables.
///
/// # Errors
/// For pixels with alpha, sides over 65,500, and what the library says.
pub(in crate::codec) fn encode(
    pixels: &Pixels,
    quality: u8,
    progressive: bool,
) -> Result<Vec<u8>, EncodeError> {
    let fail = |reason: String| EncodeError { format: Format::Jpeg, reason };
    let model = match pixels.layout() {
        Layout::Gray => Model::Gray,
        Layout::Rgb => Model::Rgb,
        Layout::Rgba => return Err(fail("pixels with alpha".to_owned())),
    };
    turbo::compress(pixels.data(), pixels.size(), model, quality.clamp(1, 100), progressive)
        .map_err(|fault| fail(fault.0))
}

/// The same of 4:2:0 planes, which are written as they are.
///
/// # Errors
/// For other planes, sides over 65,500, and what the library says.
pub(in crate::codec) fn encode_planes(
    planes: &Planes,
    quality: u8,
    progressive: bool,
) -> Result<Vec<u8>, EncodeError> {
    yuv::compress(planes, quality.clamp(1, 100), progressive)
        .map_err(|fault| EncodeError { format: Format::Jpeg, reason: fault.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::geometry::Size;

    #[test]
    fn alpha_is_refused() {
        let pixels = Pixels::new(Size::new(1, 1), Layout::Rgba, vec![0; 4]).unwrap();
        assert!(encode(&pixels, 80, false).is_err());
    }

    #[test]
    fn a_higher_quality_makes_a_larger_file() {
        let data = (0..64_u32 * 64 * 3).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
        let pixels = Pixels::new(Size::new(64, 64), Layout::Rgb, data).unwrap();
        let sizes = [10, 50, 90].map(|q| encode(&pixels, q, false).unwrap().len());
        assert!(sizes.is_sorted() && sizes[0] < sizes[2], "{sizes:?}");
    }
}

//! GIF → pixels: the first frame on its canvas. What it does not cover is transparent, as in
//! browsers; the background colour of the format is ignored, as there.

use super::super::DecodeError;
use super::super::shrink::Shrinker;
use super::broken;
use crate::model::geometry::Size;
use crate::model::pixels::{Layout, Pixels};
use crate::model::source::{Header, Scale};
use ::gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};
use std::num::NonZeroU64;

/// A frame larger than its canvas is clipped, but unpacked whole; beyond this many pixels it is
/// refused, since only the canvas was checked against the limits.
const MAX_OVERHANG_PIXELS: u64 = 16 << 20;

/// Decodes the first frame at `scale` to [`Layout::Rgba`] where the header says alpha, else to
/// [`Layout::Rgb`]. Allocates the result and one byte per pixel of the frame.
///
/// # Errors
/// `Broken` for damaged or cut-off data, no frame, or no colour table.
pub(in crate::codec) fn decode(
    bytes: &[u8],
    header: &Header,
    scale: Scale,
) -> Result<Pixels, DecodeError> {
    let size = header.size;
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    let most = size.pixels().max(MAX_OVERHANG_PIXELS);
    options.set_memory_limit(MemoryLimit::Bytes(NonZeroU64::new(most).unwrap_or(NonZeroU64::MIN)));
    let mut decoder = options.read_info(bytes).map_err(explain)?;
    if (u32::from(decoder.width()), u32::from(decoder.height())) != (size.width, size.height) {
        return Err(broken(format!(
            "the decoder found {}x{}, the header {size}",
            decoder.width(),
            decoder.height()
        )));
    }
    let frame = decoder.next_frame_info().map_err(explain)?.ok_or_else(|| broken("no frame"))?;
    let area = Area {
        left: frame.left.into(),
        top: frame.top.into(),
        size: Size::new(frame.width.into(), frame.height.into()),
    };
    let transparent = frame.transparent;
    if area.size.pixels() > most {
        return Err(broken(format!("a frame of {} on a canvas of {size}", area.size)));
    }
    let mut indices = Vec::new();
    let length = usize::try_from(area.size.pixels()).map_err(|_| out_of_memory())?;
    indices.try_reserve_exact(length).map_err(|_| out_of_memory())?;
    indices.resize(length, 0);
    decoder.read_into_buffer(&mut indices).map_err(explain)?;
    let palette = decoder.palette().map_err(explain)?;
    let colors = colors(palette, transparent);
    let layout = if header.alpha { Layout::Rgba } else { Layout::Rgb };
    let shrinker = Shrinker::new(size, layout, scale).map_err(broken)?;
    compose(shrinker, layout, size, area, &indices, &colors)
}

/// Where a frame lies on its canvas.
#[derive(Clone, Copy)]
struct Area {
    left: u32,
    top: u32,
    size: Size,
}

/// All 256 colours; an index past the table is black, as browsers have it.
fn colors(palette: &[u8], transparent: Option<u8>) -> [[u8; 4]; 256] {
    let mut colors = [[0, 0, 0, 255]; 256];
    for (color, [r, g, b]) in colors.iter_mut().zip(palette.as_chunks::<3>().0) {
        *color = [*r, *g, *b, 255];
    }
    if let Some(color) = transparent.and_then(|index| colors.get_mut(usize::from(index))) {
        *color = [0; 4];
    }
    colors
}

/// Row by row: the canvas, and on it what of the frame lies there.
fn compose(
    mut shrinker: Shrinker,
    layout: Layout,
    canvas: Size,
    area: Area,
    indices: &[u8],
    colors: &[[u8; 4]; 256],
) -> Result<Pixels, DecodeError> {
    let channels = layout.channels();
    let as_usize = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let mut lines = indices.chunks_exact(as_usize(area.size.width).max(1));
    for y in 0..canvas.height {
        let line = if y < area.top { None } else { lines.next() };
        shrinker.row(|row| {
            row.fill(0);
            let covered = row.chunks_exact_mut(channels).skip(as_usize(area.left));
            for (pixel, index) in covered.zip(line.unwrap_or_default()) {
                let Some(color) = colors.get(usize::from(*index)) else { continue };
                pixel.iter_mut().zip(color).for_each(|(to, from)| *to = *from);
            }
            Ok::<(), DecodeError>(())
        })?;
    }
    shrinker.finish().map_err(broken)
}

fn out_of_memory() -> DecodeError {
    broken("more pixels than memory")
}

fn explain(error: DecodingError) -> DecodeError {
    match error {
        DecodingError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            broken("the data end before the picture does")
        }
        error => broken(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::probe;
    use super::*;
    use ::gif::{Encoder, Frame};

    fn file(
        canvas: (u16, u16),
        place: (u16, u16),
        frame: (u16, u16),
        transparent: Option<u8>,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder =
            Encoder::new(&mut out, canvas.0, canvas.1, &[255, 0, 0, 0, 0, 255]).unwrap();
        let buffer: Vec<u8> = (0..frame.0 * frame.1).map(|n| u8::from(n % 2 == 1)).collect();
        encoder
            .write_frame(&Frame {
                left: place.0,
                top: place.1,
                width: frame.0,
                height: frame.1,
                transparent,
                buffer: buffer.into(),
                ..Frame::default()
            })
            .unwrap();
        drop(encoder);
        out
    }

    fn read(bytes: &[u8]) -> Pixels {
        decode(bytes, &probe(bytes).unwrap(), Scale::Full).unwrap()
    }

    #[test]
    fn a_full_opaque_frame_is_rgb() {
        let pixels = read(&file((2, 1), (0, 0), (2, 1), None));
        assert_eq!((pixels.layout(), pixels.data()), (Layout::Rgb, &[255, 0, 0, 0, 0, 255][..]));
    }

    #[test]
    fn what_is_not_covered_or_marked_transparent_is_clear() {
        let pixels = read(&file((3, 1), (1, 0), (2, 1), Some(1)));
        assert_eq!(pixels.data(), [0, 0, 0, 0, 255, 0, 0, 255, 0, 0, 0, 0]);
    }

    #[test]
    fn a_frame_larger_than_its_canvas_is_clipped() {
        let pixels = read(&file((2, 2), (0, 0), (4, 3), None));
        assert_eq!(pixels.size(), Size::new(2, 2));
        assert_eq!(pixels.data()[..6], [255, 0, 0, 0, 0, 255]);
        let outside = read(&file((2, 2), (5, 5), (2, 2), None));
        assert_eq!(outside.data(), [0; 16]);
    }

    #[test]
    fn every_cut_in_front_of_the_last_row_is_broken() {
        let bytes = file((60, 60), (0, 0), (60, 60), None);
        let header = probe(&bytes).unwrap();
        for cut in 0..bytes.len() - 6 {
            let result = decode(&bytes[..cut], &header, Scale::Full);
            assert!(matches!(result, Err(DecodeError::Broken { .. })), "{cut} of {}", bytes.len());
        }
    }
}

//! The RIFF container of WebP (RFC 9649 §2), read within the bytes at hand. Finds the size,
//! the frames and the metadata chunks; never decodes and never trusts a length.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use super::broken;
use crate::codec::DecodeError;
use crate::model::geometry::Size;

/// Frames counted at most; more are of no use to anyone downstream.
const MAX_FRAMES: u32 = 65_535;
/// A longer profile is not a profile of an image.
const MAX_ICC: usize = 1 << 20;
/// The longest canvas side accepted. A bitstream ends at 16383 anyway; only an animation's
/// canvas could be larger.
const MAX_SIDE: u32 = 65_535;

const FLAG_ANIMATION: u8 = 0x02;
const FLAG_ALPHA: u8 = 0x10;

/// What the container says.
#[derive(Debug)]
pub(super) struct File<'a> {
    /// The size of the picture.
    pub(super) canvas: Size,
    /// Whether the picture (or the first frame on its canvas) may be transparent somewhere.
    pub(super) alpha: bool,
    /// Frames, at least 1, at most [`MAX_FRAMES`].
    pub(super) frames: u32,
    /// TIFF header onwards.
    pub(super) exif: Option<&'a [u8]>,
    /// The embedded profile, at most 1 MiB.
    pub(super) icc: Option<&'a [u8]>,
    /// The still picture, or the first frame.
    pub(super) first: Frame<'a>,
}

/// One bitstream and its place on the canvas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    /// Pixels from the left edge of the canvas.
    pub(super) x: u32,
    /// Pixels from the top edge of the canvas.
    pub(super) y: u32,
    /// The size of the bitstream, wholly inside the canvas.
    pub(super) size: Size,
    /// VP8L, which is unpacked as a whole before its first row is known.
    pub(super) lossless: bool,
    /// What libwebp decodes: the whole file of a still, else the frame's chunks.
    pub(super) data: &'a [u8],
}

/// A chunk; `data` ends where the file does when the file is cut off.
#[derive(Debug, Clone, Copy)]
struct Chunk<'a> {
    name: [u8; 4],
    data: &'a [u8],
}

struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let (head, rest) = self.0.split_first_chunk::<8>()?;
        let &[a, b, c, d, l0, l1, l2, l3] = head;
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        let (data, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        // Chunks are padded to an even length.
        self.0 = rest.get(length & 1..).unwrap_or_default();
        Some(Chunk { name: [a, b, c, d], data })
    }
}

/// Reads the container.
///
/// # Errors
/// [`DecodeError::Broken`] where there is no bitstream or the sizes contradict each other.
pub(super) fn parse(bytes: &[u8]) -> Result<File<'_>, DecodeError> {
    let body = bytes.get(12..).unwrap_or_default();
    let first = Chunks(body).next().ok_or_else(|| broken("no chunk follows the file header"))?;
    match &first.name {
        b"VP8X" => extended(bytes, body, first.data),
        b"VP8 " | b"VP8L" => {
            let (size, alpha) = bitstream(first)?;
            let lossless = first.name == *b"VP8L";
            let first = Frame { x: 0, y: 0, size, lossless, data: bytes };
            Ok(File { canvas: size, alpha, frames: 1, exif: None, icc: None, first })
        }
        other => Err(broken(format!("the first chunk is {:?}", other.escape_ascii().to_string()))),
    }
}

/// A number of three bytes, the lowest first.
const fn number([low, middle, high]: [u8; 3]) -> u32 {
    u32::from_le_bytes([low, middle, high, 0])
}

/// A side, which is stored less 1.
const fn more_than(bytes: [u8; 3]) -> u32 {
    number(bytes).saturating_add(1)
}

fn extended<'a>(bytes: &'a [u8], body: &'a [u8], vp8x: &'a [u8]) -> Result<File<'a>, DecodeError> {
    let &[flags, _, _, _, w0, w1, w2, h0, h1, h2, ..] = vp8x else {
        return Err(broken(format!("the VP8X chunk has {} bytes, not 10", vp8x.len())));
    };
    let canvas = Size::new(more_than([w0, w1, w2]), more_than([h0, h1, h2]));
    if canvas.longest() > MAX_SIDE {
        return Err(broken(format!("a canvas of {canvas} exceeds {MAX_SIDE} pixels a side")));
    }
    let animated = flags & FLAG_ANIMATION != 0;
    let mut alpha = flags & FLAG_ALPHA != 0;
    let (mut exif, mut icc, mut first, mut frames) = (None, None, None, 0_u32);
    for chunk in Chunks(body).skip(1) {
        match &chunk.name {
            b"ICCP" if icc.is_none() => icc = Some(chunk.data),
            b"EXIF" if exif.is_none() => exif = Some(tiff(chunk.data)),
            b"ALPH" if !animated => alpha = true,
            b"VP8 " | b"VP8L" if !animated && first.is_none() => {
                let (size, transparent) = bitstream(chunk)?;
                if size != canvas {
                    return Err(broken(format!("a picture of {size} on a canvas of {canvas}")));
                }
                alpha |= transparent;
                frames = 1;
                let lossless = chunk.name == *b"VP8L";
                first = Some(Frame { x: 0, y: 0, size, lossless, data: bytes });
            }
            b"ANMF" if animated => {
                if first.is_none() {
                    let (frame, transparent) = animation_frame(chunk.data, canvas)?;
                    alpha |= transparent || frame.size != canvas;
                    first = Some(frame);
                }
                frames = frames.saturating_add(1).min(MAX_FRAMES);
            }
            _ => {}
        }
    }
    let first = first.ok_or_else(|| broken("there is no picture in the container"))?;
    let icc = icc.filter(|profile| profile.len() <= MAX_ICC);
    Ok(File { canvas, alpha, frames, exif, icc, first })
}

/// Reads an ANMF chunk: a frame header of 16 bytes, then the chunks of one picture. Also says
/// whether that picture has an alpha channel.
fn animation_frame(data: &[u8], canvas: Size) -> Result<(Frame<'_>, bool), DecodeError> {
    let Some((head, chunks)) = data.split_first_chunk::<16>() else {
        return Err(broken(format!("the first ANMF chunk has {} bytes, not 16", data.len())));
    };
    let &[x0, x1, x2, y0, y1, y2, w0, w1, w2, h0, h1, h2, ..] = head;
    let [x, y] = [[x0, x1, x2], [y0, y1, y2]].map(|at| number(at).saturating_mul(2));
    let size = Size::new(more_than([w0, w1, w2]), more_than([h0, h1, h2]));
    let leaves = |at: u32, side: u32, whole: u32| at.saturating_add(side) > whole;
    if leaves(x, size.width, canvas.width) || leaves(y, size.height, canvas.height) {
        return Err(broken(format!("a frame of {size} at {x},{y} leaves the canvas of {canvas}")));
    }
    let mut alpha = false;
    for chunk in Chunks(chunks) {
        match &chunk.name {
            b"ALPH" => alpha = true,
            b"VP8 " | b"VP8L" => {
                let (stored, transparent) = bitstream(chunk)?;
                if stored != size {
                    return Err(broken(format!("a picture of {stored} in a frame of {size}")));
                }
                let lossless = chunk.name == *b"VP8L";
                return Ok((Frame { x, y, size, lossless, data: chunks }, alpha || transparent));
            }
            _ => {}
        }
    }
    Err(broken("the first frame holds no picture"))
}

/// Size and alpha from the first bytes of a lossy (RFC 6386 §9.1) or lossless bitstream.
fn bitstream(chunk: Chunk<'_>) -> Result<(Size, bool), DecodeError> {
    let (width, height, alpha) = match (&chunk.name, chunk.data) {
        (b"VP8 ", &[tag, _, _, 0x9D, 0x01, 0x2A, w0, w1, h0, h1, ..]) if tag & 1 == 0 => {
            let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
            (side(w0, w1), side(h0, h1), false)
        }
        (b"VP8L", &[0x2F, b0, b1, b2, b3, ..]) => {
            let bits = u32::from_le_bytes([b0, b1, b2, b3]);
            if bits >> 29 != 0 {
                return Err(broken(format!("lossless bitstream of version {}", bits >> 29)));
            }
            let side = |bits: u32| (bits & 0x3FFF).saturating_add(1);
            (side(bits), side(bits >> 14), bits >> 28 & 1 == 1)
        }
        _ => return Err(broken("the bitstream has no valid header")),
    };
    if width == 0 || height == 0 {
        return Err(broken(format!("a bitstream of {width}x{height}")));
    }
    Ok((Size::new(width, height), alpha))
}

/// Some writers keep JPEG's `Exif\0\0` prefix in front of the TIFF header.
fn tiff(chunk: &[u8]) -> &[u8] {
    chunk.strip_prefix(b"Exif\0\0").unwrap_or(chunk)
}

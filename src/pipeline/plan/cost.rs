//! What a render takes in memory, from the header and the plan alone: reserved before the first
//! byte is decoded. An upper bound that tries to be honest, not a measurement.

use super::fit::Fitted;
use super::output::Choice;
use super::{Decode, Step};
use crate::codec::{self, Encoding};
use crate::model::format::{Format, SourceFormat};
use crate::model::geometry::Size;
use crate::model::planes::Planes;
use crate::model::source::{Header, Scale};

/// What a render takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Peak bytes of working memory, the original's own bytes not counted.
    pub bytes: u64,
    /// Bytes of the decoded picture, part of `bytes`.
    pub decoded: u64,
    /// Peak bytes of what follows the decode where the decoded picture is somebody else's, that
    /// picture not counted.
    pub rest: u64,
    /// Peak bytes of the encoding alone, the picture it is given not counted.
    pub encode: u64,
    /// Pixels read and written, the measure of CPU time.
    pub pixels: u64,
    /// Those of them that are not read from the original.
    pub rest_pixels: u64,
}

/// Memory every render needs, whatever its size: tables, handles, stacks.
const BASE_BYTES: u64 = 1 << 20;

/// Bytes per column of the rows under way in a decoder and in the shrink behind it: libwebp, which
/// filters a row of blocks late, holds the most.
const ROW_BYTES: u64 = 128;

/// A strip of a TIFF unpacked, and one being put together from tiles.
const PIECE_BYTES: u64 = 8 << 20;

/// Sums up the buffers alive together: at most the decoder's own state with its output, then
/// the output with the resampled picture, then what the steps after it copy, then the result with
/// the encoder's state.
pub(super) fn estimate(
    header: &Header,
    decode: Decode,
    entering: Size,
    fitted: &Fitted,
    choice: Choice,
    steps: &[Step],
) -> Cost {
    let Decode { scale, planar } = decode;
    let planes = header.planes.filter(|_| planar);
    let channels: u64 = match (header.gray, header.alpha) {
        (_, true) => 4,
        (true, false) => 1,
        // What comes of planes has one and a half.
        (false, false) if planes.is_some() => 2,
        (false, false) => 3,
    };
    let stored = header.size.pixels();
    let decoded_pixels = scale.apply(header.size).pixels();
    let decoded = match planes {
        Some(subsampling) => Planes::bytes_for(scale.apply(header.size), subsampling)
            .map_or(u64::MAX, |bytes| u64::try_from(bytes).unwrap_or(u64::MAX)),
        None => decoded_pixels.saturating_mul(channels),
    };
    let decoder = decoder_state(header, scale, channels);
    let result = fitted.canvas.pixels();
    // A resample keeps one intermediate of the new width and the old height; alpha adds a copy.
    let picture = fitted.picture.pixels();
    let between = u64::from(fitted.picture.width)
        .saturating_mul(u64::from(scale.apply(header.size).height))
        .min(decoded_pixels.max(picture));
    let copies = if header.alpha { 2 } else { 1 };
    let mut resampled = picture.saturating_add(between).saturating_mul(channels);
    resampled =
        resampled.saturating_mul(copies).saturating_add(if header.alpha { decoded } else { 0 });
    let free_rotation = steps.iter().any(|step| matches!(step, Step::Rotate { .. }));
    if free_rotation {
        resampled = resampled.saturating_add(entering.pixels().saturating_mul(8));
    }
    let samples = if free_rotation { 4 } else { channels };
    let looks = steps.iter().map(|step| look_bytes(step, fitted, samples)).max().unwrap_or(0);
    let written = result.saturating_mul(4);
    let encoder = result.saturating_mul(encoder_bytes_per_pixel(choice));
    // The decoded picture is gone by then, and counts below in any case.
    let own = |bytes: u64| bytes.saturating_sub(decoded);
    let working = decoder.max(resampled).max(own(looks)).max(encoder.saturating_add(own(written)));
    // What is somebody else's is copied first, unless it is resampled.
    let copy = if leaves_as_it_is(steps) { 0 } else { decoded };
    let rest = resampled.max(looks).max(encoder.saturating_add(written)).saturating_add(copy);
    // Where transparency has to go, a shared picture is copied.
    let encode = encoder.saturating_add(if header.alpha { written } else { 0 });
    Cost {
        bytes: BASE_BYTES.saturating_add(decoded).saturating_add(working),
        decoded,
        rest: BASE_BYTES.saturating_add(rest),
        encode: BASE_BYTES.saturating_add(encode),
        pixels: stored.saturating_add(result.saturating_mul(encoder_work(choice))),
        rest_pixels: result.saturating_mul(encoder_work(choice)),
    }
}

/// Whether the first step that needs samples reads the decoded picture without changing it.
fn leaves_as_it_is(steps: &[Step]) -> bool {
    let first = steps.iter().find(|step| !matches!(step, Step::Settle));
    first.is_some_and(|step| matches!(step, Step::Resize { .. } | Step::Crop(_)))
}

/// Bytes that live while a step changes the look of the resampled picture, the picture itself
/// among them; `samples` a pixel.
fn look_bytes(step: &Step, fitted: &Fitted, samples: u64) -> u64 {
    let picture = fitted.picture.pixels().saturating_mul(samples);
    match step {
        // A copy of 16 bits and its scratch.
        Step::Blur { .. } => picture.saturating_mul(4),
        // Two copies, the scratch of the blur, and the picture.
        Step::Sharpen { .. } => picture.saturating_mul(7),
        Step::Turn(_) | Step::Gray | Step::Flatten(_) => picture.saturating_mul(2),
        Step::Letterbox { canvas, .. } => picture.saturating_add(canvas.pixels().saturating_mul(4)),
        Step::Crop(_) | Step::Rotate { .. } | Step::Resize { .. } | Step::Settle => 0,
    }
}

/// Bytes a decoder holds beside its output, of a picture of `channels`. Where the header says that
/// nothing is held whole, that is some rows.
fn decoder_state(header: &Header, scale: Scale, channels: u64) -> u64 {
    let stored = header.size.pixels();
    let sample = u64::from(header.depth).div_ceil(8);
    let picture = stored.saturating_mul(channels);
    let rows = u64::from(header.size.width).saturating_mul(ROW_BYTES);
    let whole = match header.format {
        // Samples of 12 bits come out as 16, in up to four inks; every coefficient of a progressive
        // file is 16 bits, at worst 4:4:4.
        SourceFormat::Web(Format::Jpeg) => {
            let decoded = scale.apply(header.size).pixels();
            let deep = if header.depth > 8 { decoded.saturating_mul(8) } else { 0 };
            deep.saturating_add(if header.whole { stored.saturating_mul(6) } else { 0 })
        }
        SourceFormat::Web(Format::Png) if header.whole => picture.saturating_mul(sample),
        SourceFormat::Web(Format::Webp) => {
            // What libwebp does not scale by itself comes out as it is stored. Lossless files are
            // held as ARGB of its own beside that, the alpha of lossy ones as a plane.
            let full = scale != Scale::Full && !codec::webp_scales_inside(header, scale);
            let own = match (header.whole, header.alpha) {
                (true, _) => 4,
                (false, true) => 1,
                (false, false) => 0,
            };
            stored.saturating_mul(own).saturating_add(if full { picture } else { 0 })
        }
        // 16-bit planes of the frame and of its reference: the depth the container announces is
        // only believed once the stream is decoded.
        SourceFormat::Web(Format::Avif) => stored.saturating_mul(12),
        SourceFormat::Web(Format::Gif) => stored,
        // Read as RGBA.
        SourceFormat::Bmp | SourceFormat::Ico if header.whole => stored.saturating_mul(4),
        // Twice, in its own type, up to four inks.
        SourceFormat::Tiff if header.whole => stored.saturating_mul(8).saturating_mul(sample),
        SourceFormat::Tiff => PIECE_BYTES,
        SourceFormat::Web(Format::Png) | SourceFormat::Bmp | SourceFormat::Ico => 0,
    };
    whole.saturating_add(rows)
}

fn encoder_bytes_per_pixel(choice: Choice) -> u64 {
    match choice.settle(true) {
        Encoding::Jpeg { progressive: false, .. } => 2,
        Encoding::Jpeg { progressive: true, .. } | Encoding::Png | Encoding::Gif => 8,
        Encoding::Webp { .. } => 12,
        Encoding::WebpLossless => 32,
        Encoding::Avif { .. } => 24,
        Encoding::AvifLossless => 48,
    }
}

/// How many times a JPEG pixel an encoded pixel costs, roughly (reference measurements).
fn encoder_work(choice: Choice) -> u64 {
    match choice.settle(true) {
        Encoding::Jpeg { .. } => 1,
        Encoding::Png | Encoding::Gif => 4,
        Encoding::Webp { .. } => 12,
        Encoding::Avif { .. } => 16,
        Encoding::WebpLossless | Encoding::AvifLossless => 40,
    }
}

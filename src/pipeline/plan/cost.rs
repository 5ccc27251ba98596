//! What a render takes in memory, from the header and the plan alone: reserved before the first
//! byte is decoded. An upper bound that tries to be honest, not a measurement.

use super::Step;
use super::fit::Fitted;
use super::output::Choice;
use crate::codec::Encoding;
use crate::model::format::{Format, SourceFormat};
use crate::model::geometry::Size;
use crate::model::source::{Header, Scale};

/// What a render takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Peak bytes of working memory, the original's own bytes not counted.
    pub bytes: u64,
    /// Bytes of the decoded picture, part of `bytes`.
    pub decoded: u64,
    /// Pixels read and written, the measure of CPU time.
    pub pixels: u64,
}

impl Cost {
    /// What renders take together that begin with the same decoded picture and run one after the
    /// other: the picture stays until the last of them, so it comes on top of what the largest
    /// takes, which may have to copy it.
    #[must_use]
    pub fn of_shared(costs: impl IntoIterator<Item = Self>) -> Self {
        let mut shared = Self { bytes: 0, decoded: 0, pixels: 0 };
        let mut renders = 0_u32;
        for cost in costs {
            renders = renders.saturating_add(1);
            shared.bytes = shared.bytes.max(cost.bytes);
            shared.decoded = shared.decoded.max(cost.decoded);
            shared.pixels = shared.pixels.max(cost.pixels);
        }
        if renders > 1 {
            shared.bytes = shared.bytes.saturating_add(shared.decoded);
        }
        shared
    }
}

/// Memory every render needs, whatever its size: tables, handles, stacks.
const BASE_BYTES: u64 = 1 << 20;

/// Sums up the buffers alive together: at most the decoder's own state with its output, then
/// the output with the resampled picture, then what the steps after it copy, then the result with
/// the encoder's state.
pub(super) fn estimate(
    header: &Header,
    scale: Scale,
    entering: Size,
    fitted: &Fitted,
    choice: Choice,
    steps: &[Step],
) -> Cost {
    let channels: u64 = match (header.gray, header.alpha) {
        (_, true) => 4,
        (true, false) => 1,
        (false, false) => 3,
    };
    let stored = header.size.pixels();
    let decoded_pixels = scale.apply(header.size).pixels();
    let decoded = decoded_pixels.saturating_mul(channels);
    let decoder = decoder_state(header, stored, decoded_pixels);
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
    // The decoded picture is gone by now, and counts below in any case.
    let samples = if free_rotation { 4 } else { channels };
    let looks = steps.iter().map(|step| look_bytes(step, fitted, samples)).max().unwrap_or(0);
    let looks = looks.saturating_sub(decoded);
    let written = result.saturating_mul(4).saturating_sub(decoded);
    let encoder = result.saturating_mul(encoder_bytes_per_pixel(choice)).saturating_add(written);
    let working = decoder.max(resampled).max(looks).max(encoder);
    Cost {
        bytes: BASE_BYTES.saturating_add(decoded).saturating_add(working),
        decoded,
        pixels: stored.saturating_add(result.saturating_mul(encoder_work(choice))),
    }
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

/// Bytes a decoder holds beside its output.
fn decoder_state(header: &Header, stored: u64, decoded: u64) -> u64 {
    let deep = header.depth > 8;
    match header.format {
        // Every coefficient of a progressive JPEG, 16 bits each, at worst 4:4:4.
        SourceFormat::Web(Format::Jpeg) => {
            let coefficients = if header.progressive { stored.saturating_mul(6) } else { decoded };
            // Samples of 12 bits come out as 16, in up to four inks.
            coefficients.saturating_add(if deep { decoded.saturating_mul(8) } else { 0 })
        }
        SourceFormat::Web(Format::Png) => stored.saturating_mul(if deep { 8 } else { 1 }),
        // VP8L holds the picture as ARGB of its own; BMP and ICO are read as RGBA.
        SourceFormat::Web(Format::Webp) | SourceFormat::Bmp | SourceFormat::Ico => {
            stored.saturating_mul(4)
        }
        // 16-bit planes of the frame and of its reference: the depth the container announces is
        // only believed once the stream is decoded.
        SourceFormat::Web(Format::Avif) => stored.saturating_mul(12),
        SourceFormat::Web(Format::Gif) => stored,
        SourceFormat::Tiff => stored.saturating_mul(if deep { 16 } else { 8 }),
    }
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

//! What a deployment allows a single request to cost. The numbers come from `config`; here is
//! only their shape, so that the pure floors can obey them.

use super::units::{ByteSize, PixelCount};

/// Bounds on one original and one result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an original.
    pub source_bytes: ByteSize,
    /// Pixels of an original, one frame.
    pub source_pixels: PixelCount,
    /// Either side of a result, in pixels.
    pub output_side: u32,
    /// Frames of an animation.
    pub frames: u32,
    /// Pixels of an AVIF result; `f=auto` falls back to WebP above it, `f=avif` is refused.
    pub avif_pixels: PixelCount,
}

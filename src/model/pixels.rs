//! Decoded pictures: 8-bit sRGB samples, tightly packed, straight alpha. Resampling steps
//! premultiply inside themselves, so no other code ever has to ask which state a buffer is in.

use super::geometry::Size;
use super::planes::Planes;

/// Channels per pixel and their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// One grey sample.
    Gray,
    /// Red, green, blue.
    Rgb,
    /// Red, green, blue, straight (not premultiplied) alpha.
    Rgba,
}

impl Layout {
    /// Bytes per pixel: 1, 3 or 4.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }
}

/// A picture in memory.
///
/// Invariant: `data.len() == width × height × channels`, both sides at least 1, no row padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Pixels {
    size: Size,
    layout: Layout,
    data: Vec<u8>,
}

/// A buffer did not have the length its size and layout ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {size} {layout:?} picture needs {expected} bytes, not {actual}")]
pub struct WrongLength {
    /// The size asked for.
    pub size: Size,
    /// The layout asked for.
    pub layout: Layout,
    /// Bytes needed.
    pub expected: usize,
    /// Bytes given.
    pub actual: usize,
}

impl Pixels {
    /// Takes a buffer over.
    ///
    /// # Errors
    /// [`WrongLength`] unless the buffer is exactly as long as the picture, and neither side 0.
    pub fn new(size: Size, layout: Layout, data: Vec<u8>) -> Result<Self, WrongLength> {
        let expected = Self::bytes_for(size, layout).unwrap_or(usize::MAX);
        if data.len() != expected || size.pixels() == 0 {
            return Err(WrongLength { size, layout, expected, actual: data.len() });
        }
        Ok(Self { size, layout, data })
    }

    /// Bytes of a picture; `None` where they cannot be counted in a `usize`.
    #[must_use]
    pub fn bytes_for(size: Size, layout: Layout) -> Option<usize> {
        usize::try_from(size.pixels()).ok()?.checked_mul(layout.channels())
    }

    /// Width and height.
    #[must_use]
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Channels and their order.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// Bytes in one row.
    #[must_use]
    pub const fn stride(&self) -> usize {
        self.size.width as usize * self.layout.channels()
    }

    /// Bytes of the buffer, of which the samples may fill a part.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.data.capacity()
    }

    /// The samples, row by row.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The samples, row by row.
    #[must_use]
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// Gives the buffer up.
    #[must_use]
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// The rows from top to bottom, each [`Pixels::stride`] bytes.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, u8> {
        self.data.chunks_exact(self.stride())
    }

    /// Whether every pixel is opaque; reads alpha only where there is one.
    #[must_use]
    pub fn is_opaque(&self) -> bool {
        self.layout != Layout::Rgba || self.data.chunks_exact(4).all(|p| p.last() == Some(&255))
    }
}

impl std::fmt::Debug for Pixels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pixels({} {:?})", self.size, self.layout)
    }
}

/// What a decoder gave: pixels, or planes where nothing that follows needs RGB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// Interleaved sRGB.
    Pixels(Pixels),
    /// Luma and chroma apart.
    Planes(Planes),
}

impl Decoded {
    /// Width and height.
    #[must_use]
    pub const fn size(&self) -> Size {
        match self {
            Self::Pixels(pixels) => pixels.size(),
            Self::Planes(planes) => planes.size(),
        }
    }

    /// Bytes of its samples in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Pixels(pixels) => pixels.data().len(),
            Self::Planes(planes) => planes.data().len(),
        }
    }

    /// Bytes of the buffer, of which the samples may fill a part.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        match self {
            Self::Pixels(pixels) => pixels.capacity(),
            Self::Planes(planes) => planes.capacity(),
        }
    }

    /// Gives the buffer up.
    #[must_use]
    pub fn into_data(self) -> Vec<u8> {
        match self {
            Self::Pixels(pixels) => pixels.into_data(),
            Self::Planes(planes) => planes.into_data(),
        }
    }
}

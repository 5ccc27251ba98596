//! Planar pictures: luma and two planes of chroma apart, as JPEG, WebP and AVIF store them. What
//! comes in as planes and leaves as planes need never become RGB. Never says what a sample means
//! in any other colour space: the codecs convert.

use super::geometry::Size;

/// How much smaller the chroma planes are than the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subsampling {
    /// 4:2:0, half as wide and half as high.
    Quarter,
    /// 4:2:2, half as wide.
    Half,
    /// 4:4:4, as large as the picture.
    Full,
}

impl Subsampling {
    /// The size of either chroma plane of a picture; odd sides are rounded up.
    #[must_use]
    pub const fn chroma(self, size: Size) -> Size {
        match self {
            Self::Quarter => Size::new(size.width.div_ceil(2), size.height.div_ceil(2)),
            Self::Half => Size::new(size.width.div_ceil(2), size.height),
            Self::Full => size,
        }
    }

    /// The size of the luma plane: that of the picture, rounded up to whole samples of chroma.
    #[must_use]
    pub const fn luma(self, size: Size) -> Size {
        match self {
            Self::Quarter => {
                Size::new(size.width.next_multiple_of(2), size.height.next_multiple_of(2))
            }
            Self::Half => Size::new(size.width.next_multiple_of(2), size.height),
            Self::Full => size,
        }
    }

    /// Luma samples for every chroma sample, across and down.
    #[must_use]
    pub const fn ratio(self) -> (u32, u32) {
        match self {
            Self::Quarter => (2, 2),
            Self::Half => (2, 1),
            Self::Full => (1, 1),
        }
    }
}

/// A picture of Y, Cb and Cr in memory: 8 bits, full range, BT.601 on sRGB (JFIF), a chroma sample
/// in the middle of the luma samples it stands for.
///
/// Invariant: `data` holds the three planes one after the other, row by row without padding, of
/// the sizes [`Subsampling::luma`] and [`Subsampling::chroma`] say; both sides are at least 1.
#[derive(Clone, PartialEq, Eq)]
pub struct Planes {
    size: Size,
    subsampling: Subsampling,
    data: Vec<u8>,
}

/// A buffer did not have the length its planes ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("planes of a {size} {subsampling:?} picture need {expected} bytes, not {actual}")]
pub struct WrongPlanes {
    /// The size asked for.
    pub size: Size,
    /// The chroma asked for.
    pub subsampling: Subsampling,
    /// Bytes needed.
    pub expected: usize,
    /// Bytes given.
    pub actual: usize,
}

/// One plane.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// What of it belongs to the picture.
    pub size: Size,
    /// What is stored: luma has a column and a row more where the picture has an odd side.
    pub stored: Size,
    /// The samples, `stored.width` a row.
    pub samples: &'a [u8],
}

impl Planes {
    /// Takes a buffer over.
    ///
    /// # Errors
    /// [`WrongPlanes`] unless the buffer is exactly as long as the planes, and neither side 0.
    pub fn new(size: Size, subsampling: Subsampling, data: Vec<u8>) -> Result<Self, WrongPlanes> {
        let expected = Self::bytes_for(size, subsampling).unwrap_or(usize::MAX);
        if data.len() != expected || size.pixels() == 0 {
            return Err(WrongPlanes { size, subsampling, expected, actual: data.len() });
        }
        Ok(Self { size, subsampling, data })
    }

    /// Bytes of the three planes; `None` where they cannot be counted in a `usize`.
    #[must_use]
    pub fn bytes_for(size: Size, subsampling: Subsampling) -> Option<usize> {
        let chroma = subsampling.chroma(size).pixels().checked_mul(2)?;
        usize::try_from(subsampling.luma(size).pixels().checked_add(chroma)?).ok()
    }

    /// Width and height of the picture.
    #[must_use]
    pub const fn size(&self) -> Size {
        self.size
    }

    /// How much smaller chroma is.
    #[must_use]
    pub const fn subsampling(&self) -> Subsampling {
        self.subsampling
    }

    /// Bytes of the buffer, of which the samples may fill a part.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.data.capacity()
    }

    /// All samples.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Gives the buffer up.
    #[must_use]
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// Y, Cb and Cr.
    #[must_use]
    pub fn planes(&self) -> [Plane<'_>; 3] {
        let (luma, chroma) = (self.subsampling.luma(self.size), self.subsampling.chroma(self.size));
        let (y, rest) = self.data.split_at(samples(luma));
        let (cb, cr) = rest.split_at(samples(chroma));
        let of_chroma = |samples| Plane { size: chroma, stored: chroma, samples };
        [Plane { size: self.size, stored: luma, samples: y }, of_chroma(cb), of_chroma(cr)]
    }

    /// The samples of Y, Cb and Cr.
    #[must_use]
    pub fn samples_mut(&mut self) -> [&mut [u8]; 3] {
        let (luma, chroma) = (self.subsampling.luma(self.size), self.subsampling.chroma(self.size));
        let (y, rest) = self.data.split_at_mut(samples(luma));
        let (cb, cr) = rest.split_at_mut(samples(chroma));
        [y, cb, cr]
    }

    /// Fills the column and the row of luma that lie outside a picture of odd sides with what lies
    /// beside them.
    pub fn repeat_edges(&mut self) {
        let Size { width, height } = self.size;
        let stored = self.subsampling.luma(self.size);
        let (width, stride) = (width as usize, stored.width as usize);
        let [luma, ..] = self.samples_mut();
        if stride > width {
            for row in luma.chunks_exact_mut(stride) {
                let last = row.get(width.saturating_sub(1)).copied().unwrap_or_default();
                row.iter_mut().skip(width).for_each(|sample| *sample = last);
            }
        }
        if stored.height > height {
            let from = luma.len().saturating_sub(2 * stride);
            luma.copy_within(from..from + stride, from + stride);
        }
    }
}

/// Samples of a plane whose bytes were counted when the picture was made.
fn samples(plane: Size) -> usize {
    usize::try_from(plane.pixels()).unwrap_or(usize::MAX)
}

impl std::fmt::Debug for Planes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Planes({} {:?})", self.size, self.subsampling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_lie_one_after_the_other_and_odd_luma_is_rounded_up() {
        let size = Size::new(3, 1);
        for (subsampling, bytes) in
            [(Subsampling::Quarter, 12), (Subsampling::Half, 8), (Subsampling::Full, 9)]
        {
            assert_eq!(Planes::bytes_for(size, subsampling), Some(bytes));
            let data: Vec<u8> = (0..).take(bytes).collect();
            let planes = Planes::new(size, subsampling, data.clone()).unwrap();
            let joined = planes.planes().map(|plane| plane.samples).concat();
            assert_eq!(joined, data);
            for plane in planes.planes() {
                assert_eq!(plane.samples.len() as u64, plane.stored.pixels());
                assert!(plane.stored.width >= plane.size.width);
            }
            assert!(Planes::new(size, subsampling, vec![0; bytes - 1]).is_err());
        }
        assert!(Planes::new(Size::new(0, 2), Subsampling::Full, Vec::new()).is_err());
    }

    #[test]
    fn what_lies_outside_repeats_the_edge() {
        let luma = vec![1, 2, 3, 9, 4, 5, 6, 9, 7, 8, 9, 0, 0, 0, 0, 0];
        let data = [luma, vec![128; 8]].concat();
        let mut planes = Planes::new(Size::new(3, 3), Subsampling::Quarter, data).unwrap();
        planes.repeat_edges();
        assert_eq!(planes.data()[..16], [1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9, 7, 8, 9, 9]);
        assert_eq!(planes.data()[16..], [128; 8]);
    }
}

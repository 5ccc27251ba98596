//! A few spare buffers per thread: a decoded picture is large, lives for milliseconds, and faulting
//! its pages in anew costs a good part of a downscale (a fresh 36 MB buffer: 17 ms). Never hands
//! out unwritten memory, but what an earlier picture left: whoever takes a buffer writes every byte.

#![expect(unsafe_code, reason = "the fallible way to memory that is zero already")]

use std::alloc::{Layout, alloc_zeroed};
use std::cell::RefCell;

/// Most bytes a thread keeps: a 12 MP photograph decoded at half its sides, with what it is made
/// into. What a thread holds on to is outside the memory budget, so it is little.
const KEPT: usize = 12 << 20;

/// Most buffers a thread keeps: a decoded picture, a resampled one with what lies between, and an
/// encoder's two.
const SPARES: usize = 6;

thread_local! {
    /// The smallest first.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// There is not as much memory as was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no memory for {0} bytes")]
pub struct NoMemory(pub usize);

/// A buffer of exactly `length` bytes that say nothing: zeros, or what an earlier picture of this
/// thread left there.
///
/// # Errors
/// [`NoMemory`].
pub fn take(length: usize) -> Result<Vec<u8>, NoMemory> {
    match fitting(length) {
        Some(mut buffer) => {
            buffer.resize(length, 0);
            Ok(buffer)
        }
        None => zeroed(length),
    }
}

/// An empty buffer with room for `capacity` bytes, to be filled from its start.
///
/// # Errors
/// [`NoMemory`].
pub(super) fn room(capacity: usize) -> Result<Vec<u8>, NoMemory> {
    let mut buffer = fitting(capacity).unwrap_or_default();
    buffer.clear();
    buffer.try_reserve_exact(capacity).map_err(|_| NoMemory(capacity))?;
    Ok(buffer)
}

/// The smallest spare that is large enough.
fn fitting(length: usize) -> Option<Vec<u8>> {
    SPARE.with_borrow_mut(|spares| {
        let at = spares.iter().position(|spare| spare.capacity() >= length)?;
        // One that is far too large is left to the picture it was made for.
        let wasteful = spares.get(at)?.capacity() / 4 > length.max(1 << 16);
        (!wasteful).then(|| spares.remove(at))
    })
}

/// A buffer of zeros: `vec![0; length]`, which leaves fresh pages of the system untouched, as an
/// error where memory is short.
///
/// # Errors
/// [`NoMemory`].
pub fn zeroed(length: usize) -> Result<Vec<u8>, NoMemory> {
    if length == 0 {
        return Ok(Vec::new());
    }
    let layout = Layout::array::<u8>(length).map_err(|_| NoMemory(length))?;
    // SAFETY: the layout has a size, checked above.
    let start = unsafe { alloc_zeroed(layout) };
    if start.is_null() {
        return Err(NoMemory(length));
    }
    #[expect(clippy::same_length_and_capacity, reason = "just that was allocated")]
    // SAFETY: the global allocator gave `length` bytes with the layout of a `Vec<u8>` of this
    // capacity; all of them are zero, and nothing else refers to them.
    Ok(unsafe { Vec::from_raw_parts(start, length, length) })
}

/// Keeps a buffer that is no longer needed for the next picture of this thread.
pub fn give_back(buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > KEPT {
        return;
    }
    SPARE.with_borrow_mut(|spares| {
        let at = spares.partition_point(|spare| spare.capacity() < buffer.capacity());
        spares.insert(at, buffer);
        // The smallest are the cheapest to make anew.
        while spares.len() > SPARES || spares.iter().map(Vec::capacity).sum::<usize>() > KEPT {
            spares.remove(0);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Vec<usize> {
        SPARE.with_borrow(|spares| spares.iter().map(Vec::capacity).collect())
    }

    #[test]
    fn a_buffer_comes_back_at_the_length_asked_for_and_the_smallest_that_fits_first() {
        for capacity in [100_000, 300_000, 200_000] {
            give_back(Vec::with_capacity(capacity));
        }
        assert_eq!(kept(), [100_000, 200_000, 300_000]);
        let buffer = take(150_000).unwrap();
        assert_eq!((buffer.len(), buffer.capacity()), (150_000, 200_000));
        assert_eq!(take(400_000).unwrap(), vec![0; 400_000]);
        assert_eq!(kept(), [100_000, 300_000]);
    }

    #[test]
    fn what_is_kept_is_bounded_in_number_and_in_bytes() {
        give_back(vec![7; KEPT + 1]);
        assert!(kept().is_empty());
        for _ in 0..9 {
            give_back(vec![7; 1000]);
        }
        assert_eq!(kept().len(), SPARES);
        give_back(vec![7; KEPT]);
        assert_eq!(kept(), [KEPT]);
    }

    #[test]
    fn a_little_picture_does_not_take_the_buffer_of_a_large_one() {
        give_back(vec![7; KEPT]);
        assert_eq!(take(1000).unwrap().capacity(), 1000);
        assert_eq!(kept(), [KEPT]);
    }
}

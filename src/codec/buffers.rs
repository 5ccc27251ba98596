//! One spare buffer per thread: a decoded picture is large, lives for milliseconds, and faulting
//! its pages in anew costs a good part of a downscale (a fresh 36 MB buffer: 17 ms). Never hands
//! out what it held before: a buffer comes back empty, and whoever fills it writes every byte.

use std::cell::RefCell;

/// Largest buffer kept, in bytes: a 12 MP photograph decoded at half its sides. What a thread
/// holds on to is outside the memory budget, so it is little.
const KEPT: usize = 12 << 20;

thread_local! {
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer, with the capacity of the last one given back.
pub(super) fn take() -> Vec<u8> {
    SPARE.take()
}

/// Keeps a buffer that is no longer needed for the next picture of this thread.
pub fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() > KEPT {
        return;
    }
    buffer.clear();
    SPARE.with_borrow_mut(|spare| {
        if buffer.capacity() > spare.capacity() {
            *spare = buffer;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_and_only_while_it_is_small() {
        give_back(vec![7; 1000]);
        let buffer = take();
        assert!(buffer.is_empty() && buffer.capacity() >= 1000);
        assert_eq!(take().capacity(), 0);
        give_back(vec![7; KEPT + 1]);
        assert_eq!(take().capacity(), 0);
    }
}

//! Bodies of pictures on their way to a socket. The server copies what it is given next into the
//! connection's own buffer: a picture is given in slices, so that a slow reader holds one slice of its
//! own and shares the rest with everybody. Never copies anything itself.

use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::Bytes;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes that a connection is given at a time, and that it may hold before it has to write.
pub(in crate::service) const SLICE: usize = 64 << 10;

/// The body of an answer; one that fits into a slice as it is.
pub(super) fn sliced(body: &Bytes) -> BoxBody {
    let rest = body.clone();
    if rest.len() <= SLICE { BoxBody::new(rest) } else { BoxBody::new(Sliced { rest }) }
}

/// What is left of a body.
struct Sliced {
    rest: Bytes,
}

impl MessageBody for Sliced {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.rest.len() as u64)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(SLICE);
        Poll::Ready(Some(Ok(self.rest.split_to(length))))
    }

    // Not given away as one piece: the server would take it, and copy it whole.
    fn try_into_bytes(self) -> Result<Bytes, Self> {
        Err(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn slices(body: &Bytes) -> Vec<Bytes> {
        let mut sliced = sliced(body);
        assert_eq!(sliced.size(), BodySize::Sized(body.len() as u64));
        let mut context = Context::from_waker(Waker::noop());
        let mut slices = Vec::new();
        while let Poll::Ready(Some(next)) = Pin::new(&mut sliced).poll_next(&mut context) {
            slices.push(next.unwrap());
        }
        slices
    }

    #[test]
    fn a_body_leaves_whole_in_slices_that_share_it() {
        for length in [1, SLICE - 1, SLICE, SLICE + 1, 5 * SLICE + 7] {
            let body: Bytes = (0..=250).cycle().take(length).collect();
            let slices = slices(&body);
            assert_eq!(slices.concat(), body);
            assert!(slices.iter().all(|slice| (1..=SLICE).contains(&slice.len())));
            let mut at = body.as_ptr();
            for slice in &slices {
                assert_eq!(slice.as_ptr(), at, "a copy");
                at = at.wrapping_add(slice.len());
            }
        }
    }
}

//! A decoded picture that several renders share, with the memory it lies in. Never holds more
//! than was reserved for it, and gives its buffer back to the decoders when nobody has it.

use crate::codec::buffers;
use crate::cpu::{Reservation, Ticket};
use crate::model::key::{SourceId, SourceVersion};
use crate::model::pixels::Decoded;
use crate::pipeline::Decode;

/// Which picture: of what, and made how. What does not depend on this alone is not shared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PictureKey {
    /// The original.
    pub source: SourceId,
    /// Its version: another version is another picture.
    pub version: SourceVersion,
    /// The last purge that came before the work: what was begun before it is not for those who
    /// come after it.
    pub generation: u64,
    /// The decode.
    pub decode: Decode,
    /// The steps after the decode, as [`crate::pipeline::Plan::shape`] writes them; `None`: the
    /// picture as it was decoded.
    pub shape: Option<String>,
}

/// A picture and its memory.
#[derive(Debug)]
pub struct Picture {
    // In this order: the memory is given back when the samples are gone.
    samples: Decoded,
    memory: Reservation,
}

impl Picture {
    /// Takes the memory for `samples` out of the ticket of the job that made them. A buffer much
    /// larger than its picture is exchanged for one that fits: one copy of the picture.
    ///
    /// # Errors
    /// The samples, where there is not that much in the ticket.
    pub(super) fn new(samples: Decoded, ticket: &mut Ticket) -> Result<Self, Decoded> {
        let bytes = samples.bytes();
        let most = bytes.saturating_add(bytes / SLACK);
        let samples = if samples.capacity() > most {
            let copy = samples.clone();
            buffers::give_back(samples.into_data());
            copy
        } else {
            samples
        };
        match ticket.split(samples.capacity() as u64) {
            Some(memory) => Ok(Self { samples, memory }),
            None => Err(samples),
        }
    }

    /// Undoes [`Picture::new`].
    pub(super) fn dissolve(self, ticket: &mut Ticket) -> Decoded {
        ticket.absorb(self.memory);
        self.samples
    }

    /// Ends it on a thread that decodes: the next picture may have its buffer.
    pub(super) fn recycle(self) {
        buffers::give_back(self.samples.into_data());
    }

    /// The picture.
    #[must_use]
    pub const fn samples(&self) -> &Decoded {
        &self.samples
    }

    /// Bytes reserved for it, whole KiB.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.memory.bytes()
    }
}

/// A buffer may be larger than its picture by one part in so many.
const SLACK: usize = 8;

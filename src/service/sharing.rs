//! How a render begins: with a picture that is there, with one that somebody else is making, or
//! by making it; in each case with a ticket for what is left to do, and for no more. Whoever
//! waits holds neither a slot nor memory nor a picture, so no circle can close. Never decodes.

use super::failure::Failure;
use super::render::Unmade;
use super::story::Service;
use crate::cpu::{Cost, Cpu, Refused, Ticket};
use crate::decoded::{Begin, Ended, Ending, Lead, Picture, PictureKey, Pictures};
use crate::model::key::VariantKey;
use crate::pipeline::plan::Cost as PlanCost;
use crate::variants::Since;
use std::sync::Arc;
use std::time::Instant;

impl Service {
    /// Lets pictures go that were made of bytes read before a purge of them.
    pub(super) fn forget_purged(&self, key: &VariantKey, since: Since) {
        if self.variants.is_purged(key, since) {
            self.pictures.purge(|source, version| *source == key.source && *version == key.version);
        }
    }
}

/// Who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Somebody does.
    Request,
    /// Nobody does: nothing that is waited for may hang on it before it is sure to run.
    Background,
}

/// A render that is about to run.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) ticket: Ticket,
    pub(super) from: Beginning,
}

impl Start {
    /// One that shares nothing.
    pub(super) const fn alone(ticket: Ticket) -> Self {
        Self { ticket, from: Beginning::Original { decode: None, shape: None } }
    }
}

/// What a render begins with; what it makes on the way is for others where it has a lead.
#[derive(Debug)]
pub(super) enum Beginning {
    /// The picture that is encoded.
    Shaped(Arc<Picture>),
    /// The decoded picture, and the lead of the shaped one.
    Decoded(Arc<Picture>, Option<Lead>),
    /// The original.
    Original {
        /// The lead of the decoded picture.
        decode: Option<Lead>,
        /// The lead of the shaped one.
        shape: Option<Lead>,
    },
}

/// A render that wants to begin.
#[derive(Debug)]
pub(super) struct Sharing<'a> {
    pub(super) cpu: &'a Cpu,
    pub(super) pictures: &'a Pictures,
    pub(super) class: Class,
    pub(super) deadline: Instant,
    pub(super) cost: PlanCost,
    /// The picture as it is decoded.
    pub(super) decoded: PictureKey,
    /// The picture as it is encoded, where it depends on nothing else.
    pub(super) shaped: Option<PictureKey>,
}

impl Sharing<'_> {
    /// Waits until it can begin.
    ///
    /// # Errors
    /// [`Unmade`] of the queue and the deadline, or of whoever made the picture.
    pub(super) async fn start(self) -> Result<Start, Unmade> {
        // What was made while this waited is kept until it has looked again.
        let mut _wanted = None;
        let lead = loop {
            let Some(key) = &self.shaped else { break None };
            match self.look(key) {
                None => break None,
                Some(Begin::Lead(lead)) => break Some(lead),
                Some(Begin::UnderWay(want, ending)) => {
                    self.ended(ending).await?;
                    _wanted = Some(want);
                }
                Some(Begin::Kept(want)) => {
                    let ticket = self.admit(self.cost.encode, self.cost.rest_pixels).await?;
                    if let Some(picture) = want.take() {
                        return Ok(Start { ticket, from: Beginning::Shaped(picture) });
                    }
                }
            }
        };
        let shape = || self.shaped.as_ref().and_then(|key| self.pictures.lead(key));
        loop {
            match self.look(&self.decoded) {
                Some(Begin::UnderWay(want, ending)) => {
                    self.ended(ending).await?;
                    _wanted = Some(want);
                }
                Some(Begin::Kept(want)) => {
                    let ticket = self.admit(self.cost.rest, self.cost.rest_pixels).await?;
                    if let Some(picture) = want.take() {
                        let shape = lead.or_else(shape);
                        return Ok(Start { ticket, from: Beginning::Decoded(picture, shape) });
                    }
                }
                Some(Begin::Lead(decode)) => {
                    let ticket = self.admit(self.cost.bytes, self.cost.pixels).await?;
                    let (decode, shape) = (Some(decode), lead);
                    return Ok(Start { ticket, from: Beginning::Original { decode, shape } });
                }
                None => {
                    let ticket = self.admit(self.cost.bytes, self.cost.pixels).await?;
                    // Whoever was quicker meanwhile is waited for, without what was just taken.
                    if let Some(decode) = self.pictures.lead(&self.decoded) {
                        let (decode, shape) = (Some(decode), lead.or_else(shape));
                        return Ok(Start { ticket, from: Beginning::Original { decode, shape } });
                    }
                }
            }
        }
    }

    /// What there is of a picture. Background work leads nothing before it has its ticket, so that
    /// a request never waits for work that stands behind requests.
    fn look(&self, key: &PictureKey) -> Option<Begin> {
        match self.class {
            Class::Request => Some(self.pictures.begin(key)),
            Class::Background => self.pictures.find(key),
        }
    }

    async fn ended(&self, ending: Ending) -> Result<(), Unmade> {
        match tokio::time::timeout_at(self.deadline.into(), ending.wait()).await {
            Ok(Ended::Made | Ended::GivenUp) => Ok(()),
            Ok(Ended::Failed(error)) => Err(Unmade::Failed(error.into())),
            Ok(Ended::Panicked) => {
                Err(Unmade::Failed(Failure::internal("a decode that was waited for panicked")))
            }
            Err(_elapsed) => Err(Unmade::Refused(Refused::Expired)),
        }
    }

    async fn admit(&self, bytes: u64, pixels: u64) -> Result<Ticket, Unmade> {
        let cost = Cost { bytes, pixels };
        let admitted = match self.class {
            Class::Request => self.cpu.admit(cost, self.deadline).await,
            Class::Background => self.cpu.admission().admit_background(cost, self.deadline).await,
        };
        admitted.map_err(Unmade::Refused)
    }
}

#[cfg(test)]
#[path = "sharing_tests.rs"]
mod tests;

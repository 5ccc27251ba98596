//! A body that was understood → notes, places in the queue, a receipt. Knows no HTTP: `http` gives
//! every end its status.

use super::Events;
use super::marker::Note;
use super::outbound::{self, NotConfirmed};
use super::places::Ignored;
use super::queue::{NoPlace, Waiting};
use super::shapes::{Notice, Objects, Parsed, Shape};
use crate::model::key::SourceId;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Notes written at the same time for one body.
const WRITES: usize = 16;

/// How long a sender waits for the work where it cannot be noted.
const PATIENCE: Duration = Duration::from_secs(25);

/// What became of the events of one body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Receipt {
    /// Originals noted, to be looked at soon.
    pub(super) accepted: usize,
    /// Originals whose work is done already.
    pub(super) done: usize,
    /// Events that ask for nothing.
    pub(super) ignored: usize,
    /// Of those: in a bucket of no origin.
    unknown_bucket: usize,
    /// Under no origin's prefix.
    outside_prefix: usize,
    /// With a key nobody could ask for.
    bad_key: usize,
    /// Of something we wrote ourselves.
    ours: usize,
    /// Of another kind than created and deleted.
    other_kind: usize,
}

/// An end that is no failure.
#[derive(Debug)]
pub(super) enum Answer {
    /// The events were taken or passed over.
    Receipt(Receipt),
    /// To be echoed (Event Grid).
    Validation(String),
    /// Nothing was asked, or a subscription was confirmed.
    Said(&'static str),
}

/// Why a body was not taken; the sender should send it again unless it is of a stranger.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    /// The topic is not on the list.
    #[error("the topic {topic:?} is not among LENSLET_EVENTS_TOPICS{}", none_are(*none))]
    Topic {
        /// The topic.
        topic: String,
        /// Whether no topic is.
        none: bool,
    },
    /// A subscription could not be confirmed.
    #[error(transparent)]
    NotConfirmed(#[from] NotConfirmed),
    /// Too many originals wait.
    #[error("too many originals wait already; send it again later")]
    Full,
    /// The process is going.
    #[error("this process is going; send it again")]
    Going,
    /// The store of variants did not take the note.
    #[error("the event could not be noted; send it again later")]
    NotNoted,
    /// Without notes: the work failed, or took too long.
    #[error("the work was not done; send it again later")]
    NotDone,
}

fn none_are(none: bool) -> &'static str {
    if none { ", which names none" } else { "" }
}

impl From<NoPlace> for NotTaken {
    fn from(no: NoPlace) -> Self {
        match no {
            NoPlace::Full => Self::Full,
            NoPlace::Closed => Self::Going,
        }
    }
}

impl Receipt {
    fn ignore(&mut self, why: Ignored) {
        self.ignored += 1;
        match why {
            Ignored::UnknownBucket => self.unknown_bucket += 1,
            Ignored::OutsidePrefix => self.outside_prefix += 1,
            Ignored::NoSourceKey => self.bad_key += 1,
            Ignored::Ours => self.ours += 1,
        }
    }
}

impl Events {
    /// Does what a body asks. To be run where it is not given up when the sender leaves.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub(super) async fn take(&self, parsed: Parsed) -> Result<Answer, NotTaken> {
        let Parsed { shape, notice, topic } = parsed;
        let listed = topic.as_ref().map(|topic| {
            let listed = self.topics.iter().find(|listed| listed.as_str() == topic);
            listed.ok_or_else(|| {
                let none = self.topics.is_empty();
                NotTaken::Topic { topic: topic.chars().take(200).collect(), none }
            })
        });
        let listed = listed.transpose()?;
        match (notice, listed) {
            (Notice::Objects(objects), _) => {
                self.objects(shape, objects).await.map(Answer::Receipt)
            }
            (Notice::Validate { code }, _) => Ok(Answer::Validation(code)),
            (Notice::Confirm { url }, Some(topic)) => {
                outbound::confirm(&url, topic).await?;
                tracing::info!(topic = topic.as_str(), "the subscription of a topic is confirmed");
                Ok(Answer::Said("the subscription is confirmed"))
            }
            // The envelope always names its topic.
            (Notice::Confirm { .. }, None) => {
                Err(NotTaken::Topic { topic: String::new(), none: self.topics.is_empty() })
            }
            (Notice::Ended, _) => {
                tracing::warn!(
                    "the subscription of a topic has ended: no events will come from it"
                );
                Ok(Answer::Said("the subscription has ended"))
            }
            (Notice::Test, _) => Ok(Answer::Said("events are taken here")),
        }
    }

    async fn objects(&self, shape: Shape, objects: Objects) -> Result<Receipt, NotTaken> {
        let mut receipt = Receipt {
            ignored: objects.other + objects.unreadable,
            other_kind: objects.other,
            bad_key: objects.unreadable,
            ..Receipt::default()
        };
        self.metrics.passed_over(shape, objects.other, objects.unreadable);
        let (mut sources, mut asked) = (HashSet::new(), 0);
        for event in &objects.events {
            tracing::debug!(
                shape = shape.name(),
                bucket = event.bucket,
                key = event.key,
                kind = ?event.kind,
                "an event"
            );
            match self.places.originals(event) {
                Ok(found) => {
                    asked += 1;
                    sources.extend(found);
                }
                Err(why) => {
                    self.metrics.ignored(shape, why);
                    receipt.ignore(why);
                }
            }
        }
        let sources = sources.into_iter().collect();
        if self.markers.is_some() {
            receipt.accepted = self.note_and_queue(sources).await?;
        } else {
            receipt.done = self.queue_and_wait(sources).await?;
        }
        // What was refused comes again.
        self.metrics.accepted(shape, asked);
        Ok(receipt)
    }

    /// Notes each original and gives it a place, or neither. What was given a place before
    /// another one failed keeps it: the sender sends all of them again, which is no harm.
    async fn note_and_queue(&self, sources: Vec<SourceId>) -> Result<usize, NotTaken> {
        let Some(markers) = &self.markers else { return Ok(0) };
        let count = sources.len();
        let mut refused = None;
        // The others wait already: their work has not begun, so it will look after this event,
        // and their notes are written.
        let reserved = self.queue.admit(sources)?;
        let mut written = stream::iter(reserved)
            .map(|source| async move {
                let note = Note::new(&source);
                let name = markers.write(&source, &note).await;
                (source, name)
            })
            .buffer_unordered(WRITES);
        while let Some((source, name)) = written.next().await {
            match name {
                Ok(name) => {
                    self.queue.push(source, Waiting::new(vec![name], 0, Instant::now()));
                }
                Err(error) => {
                    self.queue.give_back();
                    tracing::warn!(%error, %source, "an event could not be noted");
                    refused = Some(NotTaken::NotNoted);
                }
            }
        }
        refused.map_or(Ok(count), Err)
    }

    /// Gives each original a place and waits for its work.
    async fn queue_and_wait(&self, sources: Vec<SourceId>) -> Result<usize, NotTaken> {
        let until = tokio::time::Instant::now() + PATIENCE;
        let mut works = Vec::with_capacity(sources.len());
        let new: HashSet<SourceId> = self.queue.admit(sources.clone())?.into_iter().collect();
        for source in sources {
            let (tell, told) = oneshot::channel();
            if new.contains(&source) {
                let mut waiting = Waiting::new(Vec::new(), 0, Instant::now());
                waiting.told.push(tell);
                self.queue.push(source, waiting);
            } else {
                // If its work began in between, nobody tells, and the sender sends it again.
                self.queue.wait_with(&source, tell);
            }
            works.push(told);
        }
        let count = works.len();
        for told in works {
            match tokio::time::timeout_at(until, told).await {
                Ok(Ok(true)) => {}
                _ => return Err(NotTaken::NotDone),
            }
        }
        Ok(count)
    }
}

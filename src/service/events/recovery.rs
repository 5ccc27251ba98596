//! Notes whose pod has not finished them are taken up: at the start, and from then on regularly,
//! by whichever pod comes first. Takes no more than it can begin soon, so that a pod that is busy
//! leaves them to one that is not.

use super::Events;
use super::metrics::Done;
use super::queue::Waiting;
use super::work::MOST_ATTEMPTS;
use crate::telemetry::trace::random;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Originals of notes taken up at a time.
const AT_ONCE: usize = 32;

/// A look with more left to take is followed by the next one this soon.
const SOON: Duration = Duration::from_secs(1);

impl Events {
    /// Looks for notes until the queue is closed.
    pub(super) async fn recover(self: Arc<Self>) {
        loop {
            let taken = self.recover_once().await;
            let pause = if taken == AT_ONCE { SOON } else { jittered(self.lease / 2) };
            tokio::time::sleep(pause).await;
            if self.queue.is_closed() {
                return;
            }
        }
    }

    /// One look; how many were taken up.
    async fn recover_once(&self) -> usize {
        let Some(markers) = &self.markers else { return 0 };
        let room = AT_ONCE.saturating_sub(self.queue.depth().0);
        if room == 0 {
            return 0;
        }
        let found = match markers.take_old(self.lease, room, |name| self.queue.holds(name)).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "the notes of events cannot be listed");
                return 0;
            }
        };
        let taken = found.len();
        for found in found {
            self.metrics.recovered.inc();
            let waited = super::marker::now().saturating_sub(found.note.accepted_at);
            tracing::info!(
                source = %found.source,
                waited_seconds = waited,
                attempts = found.note.attempts,
                "the note of an event is taken up"
            );
            if found.note.attempts > MOST_ATTEMPTS {
                // Whoever began it was killed each time: it may well be what kills.
                tracing::error!(source = %found.source, "the work of an event is given up");
                self.metrics.ended(Done::GivenUp);
                if let Err(error) = markers.delete(&found.name).await {
                    tracing::warn!(%error, "the note of an event that was given up stays");
                }
                continue;
            }
            let since = Instant::now().checked_sub(Duration::from_secs(waited));
            let since = since.unwrap_or_else(Instant::now);
            let waiting = Waiting::new(vec![found.name], found.note.attempts, since);
            self.queue.enter(found.source, waiting);
        }
        taken
    }
}

/// Between half and one and a half of a time, so that pods do not look all at once.
pub(super) fn jittered(time: Duration) -> Duration {
    let [byte, ..] = random().to_be_bytes();
    time.mul_f64(0.5 + f64::from(byte) / 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jittered_time_stays_near_its_own() {
        for _ in 0..1_000 {
            let time = jittered(Duration::from_secs(10));
            assert!((5.0..=15.0).contains(&time.as_secs_f64()), "{time:?}");
        }
    }
}

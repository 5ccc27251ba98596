//! Originals waiting for the work of their events: bounded, each at most once however many events
//! name it, never two works of one original at a time. An original whose work is running waits
//! again when another event comes, since the running work may have looked before the change.

use super::marker::MarkerName;
use crate::model::key::SourceId;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// What a waiting original holds.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Its notes in the store, to be deleted after the work.
    pub(super) markers: Vec<MarkerName>,
    /// Since when.
    pub(super) since: Instant,
    /// How often its work was begun without coming to an end.
    pub(super) attempts: u32,
    /// Who is told how the work ended: `true` for well.
    pub(super) told: Vec<oneshot::Sender<bool>>,
}

impl Waiting {
    pub(super) const fn new(markers: Vec<MarkerName>, attempts: u32, since: Instant) -> Self {
        Self { markers, since, attempts, told: Vec::new() }
    }

    fn join(&mut self, more: Self) {
        self.markers.extend(more.markers);
        self.told.extend(more.told);
        self.since = self.since.min(more.since);
        // A new event is worth as many attempts as any.
        self.attempts = self.attempts.min(more.attempts);
    }
}

/// Why originals cannot wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// There is no room.
    Full,
    /// The process is going.
    Closed,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<SourceId, Waiting>,
    /// The waiting ones that may begin, in order.
    ready: VecDeque<SourceId>,
    running: HashSet<SourceId>,
    /// Notes of everything that waits or runs.
    held: HashSet<MarkerName>,
    reserved: usize,
    closed: bool,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
    most: usize,
    /// What has waited for longer gets a note for every event: another pod may have taken up the
    /// one it has.
    noted_for: Duration,
}

impl Queue {
    /// Full from `most` originals on; notes are others' after `lease`.
    pub(super) fn new(most: usize, lease: Duration) -> Self {
        Self { state: Mutex::default(), changed: Notify::new(), most, noted_for: lease / 2 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a place for each original of one body that does not wait already, and returns
    /// those it got one for: [`Queue::push`] or [`Queue::give_back`] must follow for each. The
    /// others wait with their notes written. Where there is any room the whole body is let in,
    /// else a body larger than the queue never would be.
    ///
    /// # Errors
    /// [`NoPlace`]; then none got one.
    pub(super) fn admit(&self, sources: Vec<SourceId>) -> Result<Vec<SourceId>, NoPlace> {
        let mut state = self.state();
        if state.closed {
            return Err(NoPlace::Closed);
        }
        let mut new = sources;
        let is_noted = |waiting: &Waiting| waiting.since.elapsed() < self.noted_for;
        new.retain(|source| !state.waiting.get(source).is_some_and(is_noted));
        if !new.is_empty() && state.depth() >= self.most {
            return Err(NoPlace::Full);
        }
        state.reserved += new.len();
        Ok(new)
    }

    /// Takes the place that was reserved. After the close nothing begins any more, but the note
    /// stays.
    pub(super) fn push(&self, source: SourceId, waiting: Waiting) {
        let mut state = self.state();
        state.reserved = state.reserved.saturating_sub(1);
        state.enter(source, waiting);
        drop(state);
        self.changed.notify_one();
    }

    /// Tells `told` with whoever waits for an original already; `false` if it began meanwhile.
    pub(super) fn wait_with(&self, source: &SourceId, told: oneshot::Sender<bool>) -> bool {
        let mut state = self.state();
        let waiting = state.waiting.get_mut(source);
        waiting.map(|waiting| waiting.told.push(told)).is_some()
    }

    /// Gives a reserved place back.
    pub(super) fn give_back(&self) {
        let mut state = self.state();
        state.reserved = state.reserved.saturating_sub(1);
    }

    /// The next original to work on; none once the queue is closed.
    pub(super) async fn next(&self) -> Option<(SourceId, Waiting)> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.state();
                if state.closed {
                    return None;
                }
                if let Some(next) = state.begin() {
                    // Whoever else waits should look, too: a notification wakes one.
                    self.changed.notify_one();
                    return Some(next);
                }
            }
            changed.await;
        }
    }

    /// The work of an original has ended with these notes of it dealt with.
    pub(super) fn finish(&self, source: &SourceId, markers: &[MarkerName]) {
        let mut state = self.state();
        state.running.remove(source);
        for marker in markers {
            state.held.remove(marker);
        }
        if state.waiting.contains_key(source) {
            state.ready.push_back(source.clone());
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The work of an original has failed; it waits again, to begin when [`Queue::ready`] says.
    pub(super) fn fail(&self, source: &SourceId, waiting: Waiting) {
        let mut state = self.state();
        state.running.remove(source);
        let known = state.waiting.contains_key(source);
        match state.waiting.get_mut(source) {
            Some(newer) => newer.join(waiting),
            None => {
                state.waiting.insert(source.clone(), waiting);
            }
        }
        // A newer event does not wait for the older one's turn.
        if known {
            state.ready.push_back(source.clone());
        }
        drop(state);
        self.changed.notify_one();
    }

    /// An original that failed may begin again.
    pub(super) fn ready(&self, source: &SourceId) {
        let mut state = self.state();
        let waits = state.waiting.contains_key(source) && !state.running.contains(source);
        if waits && !state.ready.contains(source) {
            state.ready.push_back(source.clone());
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Whether a note belongs to something that waits or runs here.
    pub(super) fn holds(&self, marker: &MarkerName) -> bool {
        self.state().held.contains(marker)
    }

    /// Originals waiting or running, and the age of the longest waiting one.
    pub(super) fn depth(&self) -> (usize, Duration) {
        let state = self.state();
        let oldest = state.waiting.values().map(|waiting| waiting.since).min();
        (state.depth(), oldest.map_or(Duration::ZERO, |since| since.elapsed()))
    }

    /// Lets nothing begin any more. Whoever waits for a work that had not begun is told that it
    /// did not end well.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        for waiting in state.waiting.values_mut() {
            for told in waiting.told.drain(..) {
                // Whoever left does not need to know.
                let _ = told.send(false);
            }
        }
        drop(state);
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// Enters an original beyond the limit: what is noted already must not be turned away.
    pub(super) fn enter(&self, source: SourceId, waiting: Waiting) {
        self.state().enter(source, waiting);
        self.changed.notify_one();
    }

    /// Whether nothing begins any more.
    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Works under way.
    pub(super) fn running(&self) -> usize {
        self.state().running.len()
    }
}

impl State {
    fn depth(&self) -> usize {
        self.waiting.len() + self.running.len() + self.reserved
    }

    fn enter(&mut self, source: SourceId, waiting: Waiting) {
        self.held.extend(waiting.markers.iter().cloned());
        if let Some(already) = self.waiting.get_mut(&source) {
            already.join(waiting);
            return;
        }
        if !self.running.contains(&source) {
            self.ready.push_back(source.clone());
        }
        self.waiting.insert(source, waiting);
    }

    fn begin(&mut self) -> Option<(SourceId, Waiting)> {
        while let Some(source) = self.ready.pop_front() {
            if self.running.contains(&source) {
                continue;
            }
            if let Some(waiting) = self.waiting.remove(&source) {
                self.running.insert(source.clone());
                return Some((source, waiting));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_mins(1);
    use crate::model::key::{OriginName, SourceKey};

    fn source(key: &str) -> SourceId {
        SourceId { origin: OriginName::default_origin(), key: SourceKey::new(key).unwrap() }
    }

    fn waiting(marker: &str) -> Waiting {
        Waiting::new(vec![MarkerName::of_test(marker)], 0, Instant::now())
    }

    /// How many of these got a place of their own.
    fn admit(queue: &Queue, keys: &[&str]) -> Result<usize, NoPlace> {
        queue.admit(keys.iter().map(|key| source(key)).collect()).map(|new| new.len())
    }

    fn enter(queue: &Queue, key: &str, marker: &str) {
        assert_eq!(admit(queue, &[key]), Ok(1));
        queue.push(source(key), waiting(marker));
    }

    #[tokio::test]
    async fn an_original_waits_once_and_never_beside_its_own_work() {
        let queue = Queue::new(10, LEASE);
        enter(&queue, "a", "1");
        assert_eq!(admit(&queue, &["a"]), Ok(0));
        let (first, held) = queue.next().await.unwrap();
        assert_eq!((first.key.as_str(), held.markers.len()), ("a", 1));
        // An event while it runs waits for the end of the run, whoever else is ready.
        enter(&queue, "a", "2");
        enter(&queue, "b", "3");
        assert_eq!(queue.next().await.unwrap().0.key.as_str(), "b");
        let blocked = tokio::time::timeout(Duration::from_millis(20), queue.next()).await;
        assert!(blocked.is_err());
        assert!(queue.holds(&MarkerName::of_test("1")));
        queue.finish(&first, &held.markers);
        assert!(!queue.holds(&MarkerName::of_test("1")));
        let (again, held) = queue.next().await.unwrap();
        assert_eq!((again, held.markers[0].clone()), (first, MarkerName::of_test("2")));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_the_new_and_joins_the_known() {
        let queue = Queue::new(2, LEASE);
        enter(&queue, "a", "1");
        enter(&queue, "b", "2");
        assert_eq!(admit(&queue, &["c"]), Err(NoPlace::Full));
        assert_eq!(admit(&queue, &["a", "b"]), Ok(0));
        assert_eq!(admit(&queue, &["b", "c"]), Err(NoPlace::Full));
        let (a, held) = queue.next().await.unwrap();
        // Being worked on is not yet out of the way.
        assert_eq!(admit(&queue, &["c"]), Err(NoPlace::Full));
        queue.finish(&a, &held.markers);
        // A body is let in whole, or not at all.
        assert_eq!(admit(&queue, &["b", "c", "d", "e"]), Ok(3));
        assert_eq!(admit(&queue, &["f"]), Err(NoPlace::Full));
        (0..3).for_each(|_| queue.give_back());
        assert_eq!(admit(&queue, &["f"]), Ok(1));
    }

    #[tokio::test]
    async fn a_failed_work_keeps_its_notes_and_begins_again_when_told() {
        let queue = Queue::new(10, LEASE);
        enter(&queue, "a", "1");
        let (a, mut held) = queue.next().await.unwrap();
        held.attempts = 1;
        queue.fail(&a, held);
        let early = tokio::time::timeout(Duration::from_millis(20), queue.next()).await;
        assert!(early.is_err());
        queue.ready(&a);
        queue.ready(&a);
        let (again, held) = queue.next().await.unwrap();
        assert_eq!((again, held.attempts, held.markers.len()), (a, 1, 1));
        assert!(tokio::time::timeout(Duration::from_millis(20), queue.next()).await.is_err());
    }

    #[tokio::test]
    async fn closing_lets_nothing_begin_and_tells_those_who_wait() {
        let queue = Queue::new(10, LEASE);
        enter(&queue, "a", "1");
        let (tell, told) = oneshot::channel();
        assert!(queue.wait_with(&source("a"), tell));
        queue.close();
        assert_eq!(told.await, Ok(false));
        assert!(queue.next().await.is_none());
        assert_eq!(admit(&queue, &["b"]), Err(NoPlace::Closed));
        assert!(queue.holds(&MarkerName::of_test("1")), "its note stays");
    }
}

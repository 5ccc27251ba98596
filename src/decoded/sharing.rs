//! Who decodes, who waits, and what is kept: one map under one lock, in which asking, leading,
//! publishing and giving up are a single step each. Never decodes and never waits for memory.

use super::metrics::DecodedMetrics;
use super::picture::{Picture, PictureKey};
use super::recent::Recent;
use crate::cpu::{Admission, Press, Ticket};
use crate::model::key::{SourceId, SourceVersion};
use crate::model::lru::Lru;
use crate::model::pixels::Decoded;
use crate::pipeline::RenderError;
use prometheus_client::metrics::counter::Counter;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How the making of a picture ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It may be had, or could be until just now.
    Made,
    /// Whoever was to make it did not: out of time, out of memory, gone. Another may.
    GivenUp,
    /// It cannot be made.
    Failed(RenderError),
    /// It panicked.
    Panicked,
}

/// How a render begins.
#[derive(Debug)]
pub enum Begin {
    /// With a picture that is there.
    Kept(Want),
    /// With one that somebody is making; it is kept while the [`Want`] lives.
    UnderWay(Want, Ending),
    /// By making it, for everyone who asks meanwhile.
    Lead(Lead),
}

/// What became of a picture that was made.
#[derive(Debug)]
pub enum Published {
    /// Others have it, too.
    Shared(Arc<Picture>),
    /// Nobody else wants it.
    Own(Decoded),
}

/// The pictures, kept and under way. Clones share them.
#[derive(Clone)]
pub struct Pictures(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    capacity: u64,
    admission: Admission,
    metrics: DecodedMetrics,
}

#[derive(Default)]
struct State {
    kept: Lru<PictureKey, Arc<Picture>>,
    under_way: HashMap<PictureKey, Arc<watch::Sender<Option<Ended>>>>,
    /// How many want a picture that is kept or under way.
    wanted: HashMap<PictureKey, usize>,
    recent: Recent,
}

impl fmt::Debug for Pictures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Pictures")
            .field("kept", &state.kept.len())
            .field("under_way", &state.under_way.len())
            .finish_non_exhaustive()
    }
}

impl Pictures {
    /// Keeps at most `capacity` bytes of pictures that nobody waits for, in memory of
    /// `admission`, which from now on asks for it when renders need it.
    #[must_use]
    pub fn new(capacity: u64, admission: &Admission, metrics: DecodedMetrics) -> Self {
        let state = Mutex::default();
        let admission = admission.clone();
        let pictures = Self(Arc::new(Inner { state, capacity, admission, metrics }));
        // The admission is held from within, so it must not hold what holds it.
        let weak = Arc::downgrade(&pictures.0);
        pictures.0.admission.keeps(Box::new(move |bytes, press| {
            if let Some(inner) = weak.upgrade() {
                Self(inner).give_up(bytes, press);
            }
        }));
        pictures
    }

    /// Whether renders of requests share at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.capacity > 0
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &DecodedMetrics {
        &self.0.metrics
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing of a caller's runs under this lock, so a poisoned state is still a whole one.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a render that needs this picture begins. Whoever is to lead must do so or drop the
    /// lead; the others wait for it.
    #[must_use]
    pub fn begin(&self, key: &PictureKey) -> Begin {
        let mut state = self.lock();
        match self.look(&mut state, key) {
            Some(begin) => begin,
            None => Begin::Lead(self.enter(&mut state, key)),
        }
    }

    /// The same for work that must not be waited for before it is sure to run: `None` where the
    /// picture is neither there nor under way.
    #[must_use]
    pub fn find(&self, key: &PictureKey) -> Option<Begin> {
        self.look(&mut self.lock(), key)
    }

    /// Leads, if nobody has meanwhile done so.
    #[must_use]
    pub fn lead(&self, key: &PictureKey) -> Option<Lead> {
        let mut state = self.lock();
        let free = !state.kept.contains(key) && !state.under_way.contains_key(key);
        free.then(|| self.enter(&mut state, key))
    }

    fn look(&self, state: &mut State, key: &PictureKey) -> Option<Begin> {
        if state.kept.contains(key) {
            return Some(Begin::Kept(self.enter_want(state, key)));
        }
        let ending = Ending(state.under_way.get(key)?.subscribe());
        Some(Begin::UnderWay(self.enter_want(state, key), ending))
    }

    fn enter(&self, state: &mut State, key: &PictureKey) -> Lead {
        let ended = Arc::new(watch::Sender::new(None));
        state.under_way.insert(key.clone(), Arc::clone(&ended));
        self.0.metrics.misses.inc();
        Lead { pictures: self.clone(), key: key.clone(), ended, done: false }
    }

    /// Says that the picture will be wanted, whoever makes it.
    pub fn want(&self, key: &PictureKey) -> Want {
        self.enter_want(&mut self.lock(), key)
    }

    fn enter_want(&self, state: &mut State, key: &PictureKey) -> Want {
        *state.wanted.entry(key.clone()).or_default() += 1;
        Want { pictures: self.clone(), key: key.clone() }
    }

    /// Drops what `covers` says, and sees to it that what is under way is not kept. Returns how
    /// many pictures were dropped.
    pub fn purge(&self, covers: impl Fn(&SourceId, &SourceVersion) -> bool) -> u64 {
        let covers = |key: &PictureKey| covers(&key.source, &key.version);
        let mut state = self.lock();
        let gone = state.kept.evict(|_| true, |key, _| covers(key));
        state.under_way.retain(|key, _| !covers(key));
        self.told(&state, &self.0.metrics.evicted_purge, gone.len());
        drop(state);
        gone.len() as u64
    }

    /// Gives memory back: first of pictures nobody wants, then of those that are waited for, then
    /// of those in use, whose memory comes back when they no longer are.
    fn give_up(&self, bytes: u64, press: Press) {
        let mut state = self.lock();
        let idle = |picture: &Arc<Picture>| Arc::strong_count(picture) == 1;
        if press == Press::Lightly {
            let free: u64 =
                state.kept.iter().filter(|(_, picture, _)| idle(picture)).map(|(.., b)| b).sum();
            if free < bytes {
                return;
            }
        }
        let State { kept, wanted, .. } = &mut *state;
        let target = |kept: &Lru<_, _>, gone: &[Arc<Picture>]| {
            let missing = bytes.saturating_sub(gone.iter().map(|picture| picture.bytes()).sum());
            let left = kept.bytes().saturating_sub(missing);
            move |bytes: u64| bytes > left
        };
        let goes_on = target(kept, &[]);
        let mut gone = kept.evict(goes_on, |key, p| idle(p) && !wanted.contains_key(key));
        let goes_on = target(kept, &gone);
        gone.extend(kept.evict(goes_on, |_, picture| idle(picture)));
        if press == Press::Hard {
            let goes_on = target(kept, &gone);
            gone.extend(kept.evict(goes_on, |_, _| true));
        }
        self.told(&state, &self.0.metrics.evicted_memory, gone.len());
        drop(state);
    }

    /// Drops what is over the capacity and not waited for.
    fn trim(&self, state: &mut State) -> Vec<Arc<Picture>> {
        let capacity = self.0.capacity;
        let State { kept, wanted, .. } = state;
        let gone = kept.evict(|bytes| bytes > capacity, |key, _| !wanted.contains_key(key));
        self.told(state, &self.0.metrics.evicted_size, gone.len());
        gone
    }

    fn told(&self, state: &State, counter: &Counter, gone: usize) {
        counter.inc_by(gone as u64);
        self.0.metrics.entries.set(i64::try_from(state.kept.len()).unwrap_or(i64::MAX));
    }
}

/// Somebody wants a picture: it is kept while this lives, unless renders need the memory.
#[must_use = "dropping it lets the picture go"]
pub struct Want {
    pictures: Pictures,
    key: PictureKey,
}

impl Want {
    /// The picture, if it is (still) there.
    #[must_use]
    pub fn take(self) -> Option<Arc<Picture>> {
        let mut state = self.pictures.lock();
        let picture = state.kept.get(&self.key).cloned();
        drop(state);
        if picture.is_some() {
            self.pictures.0.metrics.hits.inc();
        }
        picture
    }
}

impl Drop for Want {
    fn drop(&mut self) {
        let mut state = self.pictures.lock();
        let Some(wants) = state.wanted.get_mut(&self.key) else { return };
        *wants -= 1;
        if *wants > 0 {
            return;
        }
        state.wanted.remove(&self.key);
        let gone = self.pictures.trim(&mut state);
        drop(state);
        drop(gone);
    }
}

impl fmt::Debug for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Want").field(&self.key).finish()
    }
}

/// The end of a making that is under way.
#[derive(Debug)]
pub struct Ending(watch::Receiver<Option<Ended>>);

impl Ending {
    /// Waits for it; put a timeout around it.
    pub async fn wait(mut self) -> Ended {
        match self.0.wait_for(Option::is_some).await.map(|ended| ended.clone()) {
            Ok(Some(ended)) => ended,
            Ok(None) | Err(_) => Ended::GivenUp,
        }
    }
}

/// The duty to make a picture. Dropped without having done it, it passes to one of those who wait;
/// dropped by a panic, they are told so.
#[must_use = "dropping it gives the making up"]
pub struct Lead {
    pictures: Pictures,
    key: PictureKey,
    ended: Arc<watch::Sender<Option<Ended>>>,
    done: bool,
}

impl fmt::Debug for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lead").field(&self.key).finish()
    }
}

impl Lead {
    /// Hands the picture to those who wait, and keeps it where there is reason to. Its memory
    /// moves out of `ticket`, in which at least `rest` bytes stay for the work after it; where
    /// there is no room for that the picture stays one's own. Called on the thread that made it.
    pub fn publish(mut self, samples: Decoded, ticket: &mut Ticket, rest: u64) -> Published {
        let pictures = self.pictures.clone();
        {
            let mut state = pictures.lock();
            let fits = samples.bytes() as u64 <= pictures.0.capacity;
            // A shape serves the formats of one size, and they come together or not at all.
            let kept = self.key.shape.is_none()
                && state.recent.note(&self.key.source, &self.key.version)
                && fits;
            if self.is_purged(&state) || !(kept || state.wanted.contains_key(&self.key)) {
                self.end(&mut state, Ended::GivenUp);
                return Published::Own(samples);
            }
        }
        let picture = match Picture::new(samples, ticket) {
            Ok(picture) if ticket.ensure(rest) => Arc::new(picture),
            Ok(picture) => return Published::Own(picture.dissolve(ticket)),
            Err(samples) => return Published::Own(samples),
        };
        let mut state = pictures.lock();
        if self.is_purged(&state) {
            self.end(&mut state, Ended::GivenUp);
            return Published::Shared(picture);
        }
        let bytes = picture.bytes();
        let replaced = state.kept.insert(self.key.clone(), Arc::clone(&picture), bytes);
        let gone = pictures.trim(&mut state);
        self.end(&mut state, Ended::Made);
        drop(state);
        for picture in replaced.into_iter().chain(gone).filter_map(Arc::into_inner) {
            picture.recycle();
        }
        // Who waits for memory has asked before this was there to be given up.
        if pictures.0.admission.wants_memory() {
            pictures.give_up(u64::MAX, Press::Hard);
        }
        Published::Shared(picture)
    }

    /// Tells those who wait that it cannot be made.
    pub fn fail(mut self, error: RenderError) {
        let pictures = self.pictures.clone();
        self.end(&mut pictures.lock(), Ended::Failed(error));
    }

    /// Whether a purge took this making out of the map, where another may have its place.
    fn is_purged(&self, state: &State) -> bool {
        !state.under_way.get(&self.key).is_some_and(|ended| Arc::ptr_eq(ended, &self.ended))
    }

    fn end(&mut self, state: &mut State, ended: Ended) {
        if !self.is_purged(state) {
            state.under_way.remove(&self.key);
        }
        self.done = true;
        self.ended.send_replace(Some(ended));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let ended = if std::thread::panicking() { Ended::Panicked } else { Ended::GivenUp };
        let pictures = self.pictures.clone();
        self.end(&mut pictures.lock(), ended);
    }
}

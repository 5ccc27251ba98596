//! The promises of sharing, without a decoder: one makes, the others wait; what fails fails for
//! all, what is given up passes on, and the memory always comes back.

use super::*;
use crate::cpu::{Admission, Cost, CpuMetrics, CpuSettings, Ticket};
use crate::model::geometry::Size;
use crate::model::key::{OriginName, SourceId, SourceKey, SourceVersion};
use crate::model::pixels::{Decoded, Layout, Pixels};
use crate::model::source::Scale;
use crate::pipeline::{Decode, RenderError};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

struct Scene {
    pictures: Pictures,
    admission: Admission,
    cpu: CpuMetrics,
}

impl Scene {
    /// 100 MiB for renders, of which pictures may keep so many.
    fn new(capacity_mib: u64) -> Self {
        let cpu = CpuMetrics::default();
        let settings = CpuSettings {
            slots: 4,
            background_slots: 2,
            batches: 8,
            max_queue: 1_000,
            memory_bytes: 100 * MIB,
            giant_pixels: u64::MAX,
            expected_job: Duration::from_millis(1),
        };
        let admission = Admission::new(&settings, cpu.clone());
        let metrics = DecodedMetrics::default();
        let pictures = Pictures::new(capacity_mib * MIB, &admission, metrics);
        Self { pictures, admission, cpu }
    }

    async fn ticket(&self, mib: u64) -> Ticket {
        self.admission.admit(Cost { bytes: mib * MIB, pixels: 1 }, soon()).await.unwrap()
    }

    fn lead(&self, key: &PictureKey) -> Lead {
        match self.pictures.begin(key) {
            Begin::Lead(lead) => lead,
            other => panic!("{other:?}"),
        }
    }

    /// Makes a picture as a render does; whether others have it.
    async fn make(&self, key: &PictureKey, mib: u32) -> Published {
        let lead = self.lead(key);
        let mut ticket = self.ticket(u64::from(mib) + 1).await;
        lead.publish(pixels(mib), &mut ticket, MIB)
    }

    /// Makes it so that it is kept.
    async fn keep(&self, key: &PictureKey, mib: u32) {
        let want = self.pictures.want(key);
        assert!(matches!(self.make(key, mib).await, Published::Shared(_)));
        drop(want);
        assert!(self.is_kept(key));
    }

    fn is_kept(&self, key: &PictureKey) -> bool {
        matches!(self.pictures.find(key), Some(Begin::Kept(_)))
    }

    fn all_free(&self) -> bool {
        self.cpu.memory_reserved.get() == 0
            && self.cpu.memory_pictures.get() == 0
            && self.cpu.slots_in_use.get() == 0
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn pixels(mib: u32) -> Decoded {
    let data = vec![7; (mib as usize) << 20];
    Decoded::Pixels(Pixels::new(Size::new(1024, 1024 * mib), Layout::Gray, data).unwrap())
}

fn key_of(name: &str, scale: Scale) -> PictureKey {
    let source =
        SourceId { origin: OriginName::default_origin(), key: SourceKey::new(name).unwrap() };
    let version = SourceVersion::from_etag("1");
    let decode = Decode { scale, planar: false };
    PictureKey { source, version, generation: 0, decode, shape: None }
}

fn key(name: &str) -> PictureKey {
    key_of(name, Scale::Half)
}

#[tokio::test]
async fn what_is_asked_for_once_is_not_kept_and_what_is_asked_for_again_is() {
    let scene = Scene::new(40);
    assert!(matches!(scene.make(&key("a"), 9).await, Published::Own(_)));
    assert!(!scene.is_kept(&key("a")) && scene.all_free());
    // Another scale of the same original is reason enough.
    let quarter = key_of("a", Scale::Quarter);
    drop(scene.make(&quarter, 2).await);
    assert!(scene.is_kept(&quarter));
    assert_eq!(scene.cpu.memory_pictures.get(), 2 * MIB.cast_signed());
    // Not what could never be kept beside anything else.
    drop(scene.make(&key("a"), 41).await);
    assert!(!scene.is_kept(&key("a")));
    assert_eq!(scene.pictures.purge(|_, _| true), 1);
    assert!(scene.all_free());
}

#[tokio::test]
async fn whoever_asks_meanwhile_waits_and_has_the_same_picture() {
    let scene = Scene::new(40);
    let lead = scene.lead(&key("a"));
    let waiters: Vec<_> = (0..17)
        .map(|_| match scene.pictures.begin(&key("a")) {
            Begin::UnderWay(want, ending) => (want, tokio::spawn(ending.wait())),
            other => panic!("{other:?}"),
        })
        .collect();
    let mut ticket = scene.ticket(20).await;
    let Published::Shared(own) = lead.publish(pixels(9), &mut ticket, MIB) else { panic!() };
    assert_eq!(ticket.bytes(), 11 * MIB, "the rest of the render keeps the rest");
    for (want, ended) in waiters {
        assert_eq!(ended.await.unwrap(), Ended::Made);
        assert!(std::sync::Arc::ptr_eq(&want.take().unwrap(), &own));
    }
    assert_eq!(scene.pictures.metrics().hits.get(), 17);
    drop((ticket, own));
    assert!(scene.is_kept(&key("a")), "so many wanted it that more may come");
}

#[tokio::test]
async fn a_failure_is_everybodys_and_the_next_one_begins_anew() {
    let scene = Scene::new(40);
    let lead = scene.lead(&key("a"));
    let Begin::UnderWay(_want, ending) = scene.pictures.begin(&key("a")) else { panic!() };
    let error = RenderError::Step { step: "decode", reason: "broken".to_owned() };
    lead.fail(error.clone());
    assert_eq!(ending.wait().await, Ended::Failed(error));
    let lead = scene.lead(&key("a"));
    let Begin::UnderWay(_want, ending) = scene.pictures.begin(&key("a")) else { panic!() };
    let panicked = std::thread::spawn(move || {
        let _lead = lead;
        panic!("meant to");
    });
    assert!(panicked.join().is_err());
    assert_eq!(ending.wait().await, Ended::Panicked);
    drop(scene.lead(&key("a")));
}

#[tokio::test]
async fn what_is_given_up_passes_to_one_of_those_who_wait() {
    let scene = Scene::new(40);
    let lead = scene.lead(&key("a"));
    let Begin::UnderWay(_first, ending) = scene.pictures.begin(&key("a")) else { panic!() };
    let Begin::UnderWay(_second, other) = scene.pictures.begin(&key("a")) else { panic!() };
    drop(lead);
    assert_eq!((ending.wait().await, other.wait().await), (Ended::GivenUp, Ended::GivenUp));
    let lead = scene.lead(&key("a"));
    assert!(matches!(scene.pictures.begin(&key("a")), Begin::UnderWay(..)));
    assert!(scene.pictures.lead(&key("a")).is_none());
    drop(lead);
    assert!(scene.pictures.lead(&key("a")).is_some());
}

#[tokio::test]
async fn without_room_for_the_rest_the_picture_stays_its_makers_own() {
    let scene = Scene::new(40);
    let lead = scene.lead(&key("a"));
    let Begin::UnderWay(_want, ending) = scene.pictures.begin(&key("a")) else { panic!() };
    let mut ticket = scene.ticket(20).await;
    let other = scene.ticket(75).await;
    let published = lead.publish(pixels(9), &mut ticket, 18 * MIB);
    assert!(matches!(published, Published::Own(_)), "7 MiB more are not free");
    assert_eq!((ticket.bytes(), ending.wait().await), (20 * MIB, Ended::GivenUp));
    drop((ticket, other));
    assert!(scene.all_free());
}

#[tokio::test]
async fn a_render_never_waits_for_what_is_kept() {
    let scene = Scene::new(80);
    for name in ["a", "b", "c", "d"] {
        scene.keep(&key(name), 20).await;
    }
    let wanted = scene.pictures.want(&key("a"));
    // 20 are free; 50 more are not wanted by anybody.
    let first = scene.admission.admit(Cost { bytes: 70 * MIB, pixels: 1 }, soon()).await.unwrap();
    assert!(scene.is_kept(&key("a")) && !scene.is_kept(&key("b")));
    drop(first);
    // What is waited for goes last, but it goes.
    let whole = scene.admission.admit(Cost { bytes: 100 * MIB, pixels: 1 }, soon()).await.unwrap();
    assert!(!scene.is_kept(&key("a")));
    assert!(wanted.take().is_none());
    assert_eq!(scene.pictures.metrics().evicted_memory.get(), 4);
    assert_eq!(scene.admission.waiting(), 0);
    drop(whole);
    assert!(scene.all_free());
}

#[tokio::test]
async fn a_picture_in_use_is_paid_for_until_it_is_dropped() {
    let scene = Scene::new(80);
    scene.keep(&key("a"), 60).await;
    let Some(Begin::Kept(want)) = scene.pictures.find(&key("a")) else { panic!() };
    let in_use = want.take().unwrap();
    let mut ticket = scene.ticket(3).await;
    let admission = scene.admission.clone();
    let waiting =
        tokio::spawn(
            async move { admission.admit(Cost { bytes: 50 * MIB, pixels: 1 }, soon()).await },
        );
    while scene.admission.waiting() == 0 || scene.is_kept(&key("a")) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(scene.cpu.memory_pictures.get(), 60 * MIB.cast_signed());
    assert!(!waiting.is_finished());
    // What is made while somebody waits for memory is not kept either.
    let want = scene.pictures.want(&key("b"));
    let small = scene.pictures.lead(&key("b")).unwrap();
    drop(small.publish(pixels(2), &mut ticket, MIB));
    assert!(!scene.is_kept(&key("b")));
    drop((want, ticket, in_use));
    drop(waiting.await.unwrap().unwrap());
    assert!(scene.all_free());
}

#[tokio::test]
async fn background_work_takes_nothing_that_would_not_be_enough() {
    let scene = Scene::new(80);
    scene.keep(&key("a"), 20).await;
    let running = scene.ticket(70).await;
    let soon = Instant::now() + Duration::from_millis(30);
    let cost = Cost { bytes: 40 * MIB, pixels: 1 };
    assert!(scene.admission.admit_background(cost, soon).await.is_err());
    assert!(scene.is_kept(&key("a")), "it would not have been enough");
    let cost = Cost { bytes: 25 * MIB, pixels: 1 };
    drop(scene.admission.admit_background(cost, self::soon()).await.unwrap());
    assert!(!scene.is_kept(&key("a")));
    drop(running);
    assert!(scene.all_free());
}

#[tokio::test]
async fn the_bound_holds_for_what_nobody_waits_for_and_the_oldest_go_first() {
    let scene = Scene::new(30);
    for name in ["a", "b", "c"] {
        scene.keep(&key(name), 10).await;
    }
    let Some(Begin::Kept(want)) = scene.pictures.find(&key("a")) else { panic!() };
    drop(want.take());
    scene.keep(&key("d"), 10).await;
    let kept = ["a", "b", "c", "d"].map(|name| scene.is_kept(&key(name)));
    assert_eq!(kept, [true, false, true, true]);
    assert_eq!(scene.pictures.metrics().evicted_size.get(), 1);
    // Beyond the bound for as long as somebody waits for it.
    let want = scene.pictures.want(&key("e"));
    drop(scene.make(&key("e"), 35).await);
    assert!(scene.is_kept(&key("e")));
    drop(want);
    assert!(!scene.is_kept(&key("e")));
    // Where nothing is kept, only what is waited for is shared.
    let nothing = Scene::new(0);
    assert!(!nothing.pictures.is_on());
    let want = nothing.pictures.want(&key("a"));
    drop(nothing.make(&key("a"), 9).await);
    assert!(nothing.is_kept(&key("a")));
    drop(want);
    assert!(!nothing.is_kept(&key("a")) && nothing.all_free());
}

#[tokio::test]
async fn a_purge_drops_what_is_there_and_what_is_under_way() {
    let scene = Scene::new(80);
    scene.keep(&key("a"), 10).await;
    scene.keep(&key("b"), 10).await;
    let under_way = scene.lead(&key_of("a", Scale::Eighth));
    let Begin::UnderWay(want, ending) = scene.pictures.begin(&key_of("a", Scale::Eighth)) else {
        panic!()
    };
    assert_eq!(scene.pictures.purge(|source, _| source.key.as_str() == "a"), 1);
    assert!(!scene.is_kept(&key("a")) && scene.is_kept(&key("b")));
    // Whoever comes now makes it anew, and the old one is nobody's.
    let anew = scene.lead(&key_of("a", Scale::Eighth));
    let mut ticket = scene.ticket(3).await;
    assert!(matches!(under_way.publish(pixels(1), &mut ticket, MIB), Published::Own(_)));
    assert_eq!(ending.wait().await, Ended::GivenUp);
    assert!(matches!(anew.publish(pixels(1), &mut ticket, MIB), Published::Shared(_)));
    drop((want, ticket));
    assert_eq!(scene.pictures.metrics().evicted_purge.get(), 1);
    assert_eq!(scene.pictures.purge(|_, _| true), 2);
    assert!(scene.all_free());
}

#[tokio::test]
async fn a_buffer_much_larger_than_its_picture_is_not_kept_with_it() {
    let scene = Scene::new(80);
    let want = scene.pictures.want(&key("a"));
    let mut data = Vec::with_capacity(32 << 20);
    data.resize(1 << 20, 9);
    let small = Pixels::new(Size::new(1024, 1024), Layout::Gray, data).unwrap();
    let small = Decoded::Pixels(small);
    let mut ticket = scene.ticket(40).await;
    let Published::Shared(kept) = scene.lead(&key("a")).publish(small, &mut ticket, MIB) else {
        panic!()
    };
    assert_eq!((kept.bytes(), kept.samples().capacity()), (MIB, 1 << 20));
    let Decoded::Pixels(kept) = kept.samples() else { panic!() };
    assert!(kept.data().iter().all(|sample| *sample == 9));
    drop((want, ticket));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_ends_with_everything_free() {
    let scene = std::sync::Arc::new(Scene::new(30));
    let tasks = (0..400_u32).map(|n| {
        let scene = std::sync::Arc::clone(&scene);
        tokio::spawn(async move {
            let key = key(&(n % 7).to_string());
            let mib = 1 + n % 7 * 4;
            loop {
                match scene.pictures.begin(&key) {
                    Begin::Kept(want) => {
                        let _ticket = scene.ticket(2).await;
                        if let Some(picture) = want.take() {
                            assert_eq!(picture.samples(), &pixels(mib));
                            return;
                        }
                    }
                    Begin::UnderWay(_want, ending) => drop(ending.wait().await),
                    Begin::Lead(lead) if n.is_multiple_of(11) => return drop(lead),
                    Begin::Lead(lead) => {
                        let mut ticket = scene.ticket(u64::from(mib) * 2).await;
                        tokio::task::yield_now().await;
                        return drop(lead.publish(pixels(mib), &mut ticket, MIB));
                    }
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        tokio::time::timeout(Duration::from_mins(1), task).await.expect("it hangs").unwrap();
    }
    scene.pictures.purge(|_, _| true);
    assert!(scene.all_free(), "{:?}", scene.cpu);
    assert_eq!(scene.pictures.metrics().entries.get(), 0);
}

//! What a sweep takes and what it leaves, over a store with metadata and a folder.

use super::*;
use crate::model::key::{OriginName, SourceVersion};
use crate::model::shard::Shard;
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

fn sweep() -> Sweep {
    Sweep {
        origin: None,
        older_than: None,
        dry_run: false,
        settled: Duration::ZERO,
        concurrency: 4,
        shard: Shard::WHOLE,
        sizes: vec!["300x200".to_owned()],
        folder: None,
        believe: Believe::NothingIsGone,
    }
}

/// Originals by key; those not named are gone.
struct Originals {
    standings: HashMap<&'static str, Standing>,
    asked: Mutex<Vec<String>>,
}

impl Originals {
    fn new(standings: &[(&'static str, Standing)]) -> Self {
        Self { standings: standings.iter().cloned().collect(), asked: Mutex::default() }
    }

    async fn sweep(&self, bench: &Bench, sweep: &Sweep) -> Tally {
        let ask = |source: SourceId| {
            self.asked.lock().unwrap().push(source.to_string());
            let standing = self.standings.get(source.key.as_str()).cloned();
            std::future::ready(standing.unwrap_or(Standing::Gone))
        };
        sweep.run(bench.store.clone(), ask, |_| {}).await.unwrap()
    }
}

fn here(etag: &str) -> Standing {
    Standing::Here(SourceVersion::from_etag(etag))
}

fn silent() -> Standing {
    Standing::Unanswered("the origin failed".to_owned())
}

/// Entries, records and mirrored pictures of some originals, each in two versions.
async fn fill(bench: &Bench, names: &[&str]) {
    let (variants, _) = bench.start();
    for name in names {
        for etag in ["one", "two"] {
            let (key, body) = (key(name, etag), Arc::new(variant(b"picture")));
            let record = Some(record(name, etag));
            let since = variants.since();
            variants.keep(&key, Placement::Versioned, Arc::clone(&body), record, since).await;
            let path = format!("300x200/{name}");
            if path.len() < 1_000 {
                variants.keep(&key, mirror(&path), body, None, since).await;
            }
        }
    }
}

fn gone(tally: &Tally) -> BTreeMap<Reason, u64> {
    tally.gone.iter().map(|(reason, count)| (*reason, count.objects)).collect()
}

#[tokio::test]
async fn what_vanished_or_changed_goes_and_the_silent_stays() {
    for bench in Bench::both() {
        fill(&bench, &["cat.jpg", "dog.jpg", "cow.jpg", "emu.jpg"]).await;
        let strangers = bench.strangers().await;
        let before = bench.everything().await;
        let originals = Originals::new(&[
            ("cat.jpg", here("two")),
            ("dog.jpg", here("three")),
            ("cow.jpg", silent()),
        ]);
        let dry = Sweep { dry_run: true, ..sweep() };
        let counted = originals.sweep(&bench, &dry).await;
        assert_eq!(bench.everything().await, before, "a dry run touches nothing");
        let tally = originals.sweep(&bench, &sweep()).await;
        assert_eq!(gone(&tally), gone(&counted));
        assert_eq!((tally.failed, tally.unproved), (0, 0));
        assert!(tally.unanswered >= 1 && tally.error.is_some() && tally.foreign >= 8);
        let after = bench.everything().await;
        for (path, bytes) in &strangers {
            assert_eq!(after.get(path), Some(bytes), "{path}");
        }
        let there = |path: &str| after.contains_key(path);
        for (name, one, two, mirrored, record) in [
            ("cat.jpg", false, true, true, true),
            ("dog.jpg", false, false, false, true),
            ("cow.jpg", true, true, true, true),
            ("emu.jpg", false, false, false, false),
        ] {
            let has = (
                there(&key(name, "one").object_path()),
                there(&key(name, "two").object_path()),
                there(&format!("300x200/{name}")),
                there(&format!("v1/default/{name}/~/source.json")),
            );
            assert_eq!(has, (one, two, mirrored, record), "{name}");
        }
        let (vanished, changed) = (4, 4);
        assert_eq!(gone(&tally), [(Reason::Vanished, vanished), (Reason::Changed, changed)].into());
        assert_eq!(gone(&originals.sweep(&bench, &sweep()).await), BTreeMap::new(), "all done");
    }
}

#[tokio::test]
async fn an_origin_without_any_original_is_not_believed_unless_told() {
    for bench in Bench::both() {
        fill(&bench, &["cat.jpg", "dog.jpg"]).await;
        let before = bench.everything().await;
        let empty = Originals::new(&[]);
        let tally = empty.sweep(&bench, &sweep()).await;
        assert_eq!((gone(&tally), tally.silent_origins.len()), (BTreeMap::new(), 1));
        assert!(tally.unproved > 4);
        assert_eq!(bench.everything().await, before);
        // One original of it is proof enough, even if it is found last.
        let one = Originals::new(&[("dog.jpg", here("two"))]);
        let tally = Sweep { dry_run: true, ..sweep() };
        assert!(gone(&one.sweep(&bench, &tally).await)[&Reason::Vanished] >= 4);
        let believed = Sweep { believe: Believe::ItIsEmpty, ..sweep() };
        empty.sweep(&bench, &believed).await;
        assert_eq!(bench.everything().await.len(), 0);
    }
}

#[tokio::test]
async fn what_is_of_an_origin_that_is_not_configured_is_counted_and_stays() {
    for bench in Bench::both() {
        fill(&bench, &["cat.jpg"]).await;
        let before = bench.everything().await;
        let originals = Originals::new(&[("cat.jpg", Standing::Unknown)]);
        let all = Sweep { older_than: Some(Duration::ZERO), ..sweep() };
        let all = Sweep { believe: Believe::ItIsEmpty, ..all };
        let tally = originals.sweep(&bench, &all).await;
        assert_eq!((tally.unknown, tally.unanswered, tally.error), (4, 0, None));
        assert_eq!(bench.everything().await, before);
    }
}

#[tokio::test]
async fn what_somebody_put_in_place_of_a_mirrored_picture_meanwhile_stays() {
    let [bench, _] = Bench::both();
    assert!(bench.store.has_metadata);
    let (variants, _) = bench.start();
    for name in ["cat.jpg", "dog.jpg"] {
        let (path, body) = (format!("300x200/{name}"), Arc::new(variant(b"picture")));
        let since = variants.since();
        variants.keep(&key(name, "one"), mirror(&path), body, None, since).await;
    }
    let ask = |_: SourceId| async {
        bench.put("300x200/cat.jpg", "theirs").await;
        Standing::Gone
    };
    let all = Sweep { believe: Believe::ItIsEmpty, ..sweep() };
    let tally = all.run(bench.store.clone(), ask, |_| {}).await.unwrap();
    assert_eq!((gone(&tally), tally.failed), ([(Reason::Vanished, 1)].into(), 0));
    let left: Vec<String> = bench.everything().await.into_keys().collect();
    assert_eq!(left, ["300x200/cat.jpg"]);
}

#[tokio::test]
async fn what_was_written_just_now_is_not_judged() {
    for bench in Bench::both() {
        fill(&bench, &["cat.jpg", "dog.jpg"]).await;
        let before = bench.everything().await;
        let careful = Sweep { settled: Duration::from_mins(5), ..sweep() };
        let originals = Originals::new(&[("cat.jpg", here("three"))]);
        assert_eq!(gone(&originals.sweep(&bench, &careful).await), BTreeMap::new());
        assert_eq!(bench.everything().await, before);
    }
}

#[tokio::test]
async fn dead_epochs_go_unasked_and_coming_ones_stay() {
    for bench in Bench::both() {
        fill(&bench, &["cat.jpg"]).await;
        let entry = key("cat.jpg", "two").object_path();
        for epoch in ["v0", "v2", "v4"] {
            bench.put(&entry.replacen("v1", epoch, 1), "of another epoch").await;
        }
        let originals = Originals::new(&[("cat.jpg", here("two"))]);
        let tally = originals.sweep(&bench, &sweep()).await;
        assert_eq!(tally.gone[&Reason::DeadEpoch].objects, 1);
        let after = bench.everything().await;
        let there = |epoch: &str| after.contains_key(&entry.replacen("v1", epoch, 1));
        assert_eq!([there("v0"), there("v1"), there("v2"), there("v4")], [false, true, true, true]);
        assert_eq!(tally.asked, 1, "one question for the original, however many its objects");
    }
}

#[tokio::test]
async fn age_takes_a_tenth_more_or_less_by_the_name() {
    let bench = Bench::files();
    let names: Vec<String> = (0..40).map(|n| format!("{n:02}.jpg")).collect();
    let (variants, _) = bench.start();
    for name in &names {
        let (key, since) = (key(name, "one"), variants.since());
        let (body, record) = (Arc::new(variant(b"x")), Some(record(name, "one")));
        variants.keep(&key, Placement::Versioned, body, record, since).await;
    }
    let root = bench.folder.as_ref().unwrap().path();
    let age = |days: u64| {
        let then = std::time::SystemTime::now() - Duration::from_hours(24 * days);
        for name in &names {
            let path = root.join(key(name, "one").object_path());
            for path in [path, root.join(format!("v1/default/{name}/~/source.json"))] {
                std::fs::File::options()
                    .append(true)
                    .open(path)
                    .unwrap()
                    .set_modified(then)
                    .unwrap();
            }
        }
    };
    let standing: Vec<_> = (0..40).map(|_| here("one")).collect();
    let originals = Originals::new(&[]);
    let all_here = |source: SourceId| {
        originals.asked.lock().unwrap().push(source.to_string());
        std::future::ready(standing[0].clone())
    };
    let by_age = Sweep { older_than: Some(Duration::from_hours(24 * 90)), ..sweep() };
    for (days, least, most) in [(80, 0, 0), (90, 10, 30), (100, 40, 40)] {
        age(days);
        let dry = Sweep { dry_run: true, ..by_age.clone() };
        let tally = dry.run(bench.store.clone(), all_here, |_| {}).await.unwrap();
        let old = tally.gone.get(&Reason::Old).map_or(0, |count| count.objects);
        let entries = if days == 100 { old - 40 } else { old };
        assert!((least..=most * 2).contains(&entries), "{days} days: {old}");
    }
    by_age.run(bench.store.clone(), all_here, |_| {}).await.unwrap();
    assert_eq!(bench.everything().await.len(), 0, "the records of what is left empty go, too");
}

#[tokio::test]
async fn leftovers_go_when_they_are_a_day_old() {
    let bench = Bench::files();
    fill(&bench, &["cat.jpg"]).await;
    let root = bench.folder.as_ref().unwrap().path().to_owned();
    let entry = root.join(key("cat.jpg", "two").object_path());
    let digest = "0123456789abcdef0123456789abcdef";
    let note = root.join(format!("v1/~/events/{digest}.0123456789abcdef.json"));
    std::fs::create_dir_all(note.parent().unwrap()).unwrap();
    let half = PathBufs::beside(&entry, "#1");
    let leftovers = [half.clone(), root.join(".lenslet-write-test-7"), note];
    let strangers = [root.join("cat.jpg#1"), root.join("v1/~/events/readme.txt")];
    for path in leftovers.iter().chain(&strangers) {
        std::fs::write(path, b"left").unwrap();
    }
    let with_folder = Sweep { folder: Some(root.clone()), ..sweep() };
    let originals = Originals::new(&[("cat.jpg", here("two"))]);
    let tally = originals.sweep(&bench, &with_folder).await;
    assert_eq!(tally.gone.get(&Reason::Leftover), None, "they may be at work");
    let then = std::time::SystemTime::now() - Duration::from_hours(25);
    for path in leftovers.iter().chain(&strangers) {
        std::fs::File::options().append(true).open(path).unwrap().set_modified(then).unwrap();
    }
    let dry = Sweep { dry_run: true, ..with_folder.clone() };
    assert_eq!(originals.sweep(&bench, &dry).await.gone[&Reason::Leftover].objects, 3);
    assert!(half.exists());
    assert_eq!(originals.sweep(&bench, &with_folder).await.gone[&Reason::Leftover].objects, 3);
    assert_eq!(leftovers.map(|path| path.exists()), [false; 3]);
    assert_eq!(strangers.map(|path| path.exists()), [true; 2]);
    assert!(entry.exists());
}

struct PathBufs;

impl PathBufs {
    fn beside(path: &std::path::Path, end: &str) -> std::path::PathBuf {
        std::path::PathBuf::from(format!("{}{end}", path.display()))
    }
}

#[tokio::test]
async fn shards_share_the_work_and_an_origin_limits_it() {
    for bench in Bench::both() {
        let names: Vec<String> = (0..30).map(|n| format!("{n}.jpg")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        fill(&bench, &names).await;
        let empty = Originals::new(&[]);
        let elsewhere =
            Sweep { origin: OriginName::new("shop"), believe: Believe::ItIsEmpty, ..sweep() };
        assert_eq!(empty.sweep(&bench, &elsewhere).await.ours.objects, 0);
        let mut seen = Vec::new();
        for number in 1..=3 {
            let shard = format!("{number}/3").parse().unwrap();
            let part = Sweep { shard, believe: Believe::ItIsEmpty, ..sweep() };
            let tally = empty.sweep(&bench, &part).await;
            assert!(tally.asked >= 3, "{tally:?}");
            seen.append(&mut empty.asked.lock().unwrap());
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 30);
        assert_eq!(bench.everything().await.len(), 0);
    }
}

#[tokio::test]
async fn originals_with_long_keys_are_known_by_what_their_objects_say() {
    for bench in Bench::both() {
        let long: &'static str = Box::leak(format!("{}cat.jpg", "deep/".repeat(220)).into());
        fill(&bench, &[long, "dog.jpg"]).await;
        let originals = Originals::new(&[("dog.jpg", here("two")), (long, here("two"))]);
        originals.sweep(&bench, &sweep()).await;
        let after = bench.everything().await;
        assert!(after.contains_key(&key(long, "two").object_path()));
        assert!(!after.contains_key(&key(long, "one").object_path()));
        assert!(originals.asked.lock().unwrap().contains(&format!("default:{long}")));
    }
}

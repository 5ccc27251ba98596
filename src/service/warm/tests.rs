//! Warm-ups against a real S3 wire server, whose journal says what was asked, and against folders.

use super::*;
use crate::config::{Env, Machine, Purpose, Settings};
use crate::dialect::negotiate;
use crate::dialect::request;
use crate::model::shard::Shard;
use crate::model::units::ByteSize;
use crate::origin::s3wire::{Act, Fault, S3Wire};
use crate::service::answer::{Ask, CacheStatus};
use crate::service::workshop::{Work, Workshop, workshop};
use crate::variants::Placement;
use std::collections::BTreeMap;

/// A small real picture of the corpus; none, and loudly so, where there is no corpus.
fn picture() -> Option<Vec<u8>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus/exif_gen/exif_two_app1.jpg");
    let read = std::fs::read(path).ok();
    if read.is_none() {
        eprintln!("SKIPPED: there is no corpus at {path}");
    }
    read
}

const PRESETS: &str = "[thumb]\nparams = \"w=32&h=32&fit=cover&f=auto\"\n\
                       [card]\nparams = \"w=48&f=jpeg\"\n";

struct Scene {
    wire: S3Wire,
    settings: Settings,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new(pairs: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wire = S3Wire::start(folder.path().join("s3")).unwrap();
        for bucket in ["originals", "variants"] {
            wire.make_bucket(bucket).unwrap();
        }
        let presets = folder.path().join("presets.toml");
        std::fs::write(&presets, PRESETS).unwrap();
        let mut vars: BTreeMap<String, String> = BTreeMap::new();
        for store in ["ORIGIN_DEFAULT", "VARIANTS"] {
            for (name, value) in wire.store_options() {
                let name = name.trim_start_matches("aws_").to_ascii_uppercase();
                vars.insert(format!("{store}_{name}"), value);
            }
        }
        let own = [
            ("ORIGIN", "s3://originals"),
            ("VARIANTS", "s3://variants"),
            ("PREGENERATE", "*"),
            ("PRESETS_FILE", presets.to_str().unwrap()),
        ];
        for (name, value) in own.iter().chain(pairs) {
            vars.insert((*name).to_owned(), (*value).to_owned());
        }
        let vars = vars.into_iter().map(|(n, v)| (format!("LENSLET_{n}").into(), v.into()));
        let machine = Machine { cpus: 2, memory: ByteSize::new(1 << 30), ..Machine::detect() };
        let settings = Settings::read(&Env::gather(vars, None), &machine, Purpose::Offline);
        let settings = settings.unwrap_or_else(|faults| panic!("{faults}"));
        Self { wire, settings, _folder: folder }
    }

    fn put(&self, keys: impl IntoIterator<Item = impl AsRef<str>>, bytes: &[u8]) {
        for key in keys {
            self.wire.put_file("originals", key.as_ref(), bytes).unwrap();
        }
    }

    fn job(&self) -> Job {
        Job {
            origin: OriginName::default_origin(),
            prefix: String::new(),
            ahead: Ahead::of(&self.settings),
            shard: Shard::WHOLE,
            concurrency: 4,
            restart: false,
            dry_run: false,
        }
    }

    fn workshop(&self) -> Workshop {
        workshop(&self.settings, Work::Batches { originals: 4 }).unwrap()
    }

    /// A run in a service of its own, as a process has it.
    fn run(&self, job: Job) -> (Ended, Counts) {
        let Workshop { service, runtime, .. } = self.workshop();
        let warm = Warm::new(service, Territory::of(&self.settings), job);
        let ended = runtime.block_on(warm.run(std::future::pending()));
        (ended, warm.counts().clone())
    }

    fn finished(&self) -> Tally {
        let (ended, counts) = self.run(self.job());
        assert_eq!(ended, Ended::Finished, "{:?}", counts.failures());
        counts.tally()
    }

    fn count(&self, op: &str, path: &str) -> usize {
        self.wire.count(op, path)
    }

    /// Paths of variants written so far, each as often as it was.
    fn entries(&self) -> Vec<String> {
        let puts = self.wire.journal().into_iter().filter(|r| r.op == "PutObject");
        let paths = puts.map(|r| r.path).filter(|path| !is_json(path));
        let mut paths: Vec<String> = paths.collect();
        paths.sort();
        paths
    }
}

fn many(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("photos/{:02}/{n:04}.jpg", n % 7)).collect()
}

fn is_json(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| extension == "json")
}

#[test]
fn each_original_is_read_once_and_a_second_run_reads_none() {
    let Some(picture) = picture() else { return };
    let scene = Scene::new(&[]);
    scene.put(many(60), &picture);
    let tally = scene.finished();
    assert_eq!((tally.made, tally.variants, tally.failed), (60, 240, 0));
    assert_eq!(scene.count("GetObject", "/originals/"), 60);
    assert_eq!(scene.count("HeadObject", ""), 0, "listings tell the versions and what is there");
    let entries = scene.entries();
    assert_eq!(entries.len(), 240);
    assert_eq!(
        scene.wire.keys("variants").iter().filter(|k| k.ends_with("source.json")).count(),
        60
    );

    scene.wire.clear();
    let again = scene.finished();
    assert_eq!((again.made, again.present), (0, 60));
    assert_eq!(scene.count("GetObject", "/originals/"), 0);
    assert!(scene.entries().is_empty());
    let questions = scene.wire.journal().iter().filter(|r| r.method != "PUT").count();
    assert!(questions <= 4, "{questions} for 60 originals");
    // One is overwritten, one is new: two are read.
    scene.put(["photos/00/0000.jpg", "photos/new.jpg"], &[picture, vec![0]].concat());
    scene.wire.clear();
    assert_eq!(scene.finished().made, 2);
    assert_eq!(scene.count("GetObject", "/originals/"), 2);
}

#[test]
fn a_run_that_was_stopped_is_gone_on_with_and_makes_nothing_twice() {
    let Some(picture) = picture() else { return };
    let scene = Scene::new(&[]);
    scene.put(many(80), &picture);
    scene.wire.fault(
        Fault::new("/originals/photos", Act::Pass).on("GET").after(Duration::from_millis(15)),
    );
    let Workshop { service, runtime, .. } = scene.workshop();
    let warm = Warm::new(service, Territory::of(&scene.settings), scene.job());
    let enough = async {
        while warm.counts().tally().seen() < 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert_eq!(runtime.block_on(warm.run(enough)), Ended::Stopped);
    let before = warm.counts().tally();
    assert!((20..60).contains(&before.made), "{before:?}");
    assert_eq!(scene.count("PutObject", "/variants/v1/~/warm/"), 1);
    scene.wire.clear_faults();
    let tally = scene.finished();
    assert_eq!((tally.made, tally.variants, tally.failed), (80, 320, 0), "the numbers go on");
    let mut entries = scene.entries();
    assert_eq!(entries.len(), 320);
    entries.dedup();
    assert_eq!(entries.len(), 320, "no variant was written twice");
    assert_eq!(scene.count("GetObject", "/originals/"), 80);
    // A finished job leaves nothing to go on from.
    assert_eq!(scene.finished().present, 80);
}

#[test]
fn what_is_no_original_is_passed_over_and_what_is_broken_is_named() {
    let Some(picture) = picture() else { return };
    let shared = [("VARIANTS", "s3://originals")];
    let scene = Scene::new(&shared);
    scene.put(["a.jpg", "b/c.jpg"], &picture);
    scene.put(["notes.txt", "page"], b"no picture");
    scene.put(["broken.jpg"], &picture[..picture.len() / 2]);
    let (ended, counts) = scene.run(scene.job());
    let tally = counts.tally();
    assert_eq!((ended, tally.made, tally.failed, tally.skipped), (Ended::Finished, 2, 1, 2));
    assert_eq!(counts.failures()[0].key, "broken.jpg");
    assert!(counts.failures()[0].why.contains("broken jpeg"), "{:?}", counts.failures());
    assert_eq!(scene.count("GetObject", "notes.txt"), 0, "its name says enough");
    // The variants lie among the originals now, and none of them is taken for one.
    let (_, counts) = scene.run(scene.job());
    let tally = counts.tally();
    assert_eq!((tally.made, tally.present, tally.failed, tally.seen()), (0, 2, 1, 5));
}

#[test]
fn a_mirrored_size_that_was_warmed_is_a_hit_for_its_url() {
    let Some(picture) = picture() else { return };
    let scene = Scene::new(&[
        ("VARIANTS", "s3://originals"),
        ("VARIANT_LAYOUT", "mirror"),
        ("ALLOWED_SIZES", "30x20,0x15"),
        ("UNSIGNED", "presets"),
    ]);
    let key = "a b/c+d.jpg";
    scene.put([key], &picture);
    let tally = scene.finished();
    assert_eq!((tally.made, tally.variants), (1, 6));
    let before = scene.entries().len();
    let Workshop { service, runtime, .. } = workshop(&scene.settings, Work::Requests).unwrap();
    let chrome = "image/avif,image/webp,*/*;q=0.8";
    for (target, accept) in [
        ("/30x20/a%20b/c+d.jpg", None),
        ("/?key=0x15/a%20b/c%2Bd.jpg", None),
        ("/a%20b/c+d.jpg?preset=thumb", Some(chrome)),
        ("/a%20b/c+d.jpg?preset=thumb", Some("image/webp")),
        ("/a%20b/c+d.jpg?preset=thumb", None),
        ("/a%20b/c+d.jpg?preset=card", Some(chrome)),
    ] {
        let asked = request::parse(target, &scene.settings.access.dialect()).unwrap();
        let wish = asked.resolve(negotiate(accept), &service.limits).unwrap();
        let placement =
            asked.mirror_path().map_or(Placement::Versioned, |path| Placement::Mirror { path });
        let deadline = Instant::now() + Duration::from_secs(10);
        let ask = Ask {
            source: asked.source,
            v: None,
            wish: Arc::new(wish),
            placement,
            deadline,
            trace: None,
        };
        let answer = runtime.block_on(service.answer(ask, |_| false)).unwrap();
        assert_eq!(answer.made.unwrap().cache, CacheStatus::Store, "{target}");
    }
    assert_eq!(scene.entries().len(), before);
    // Again: the marks on the objects tell that they are current.
    scene.wire.clear();
    assert_eq!(scene.finished().present, 1);
    assert_eq!((scene.count("GetObject", key), scene.entries().len()), (0, 0));
}

#[test]
fn a_stretch_full_of_other_things_is_looked_up_one_by_one() {
    let Some(picture) = picture() else { return };
    let scene = Scene::new(&[]);
    scene.put(["a.jpg"], &picture);
    assert_eq!(scene.finished().made, 1);
    let keys = scene.wire.keys("variants");
    let entry = keys.iter().find(|key| !is_json(key)).unwrap();
    let (folder, _) = entry.rsplit_once('/').unwrap();
    for n in 0..1_500_u32 {
        let digest = format!("{:08x}{n:024x}", n.wrapping_mul(2_863_311));
        scene.wire.put_file("variants", &format!("{folder}/{digest}"), b"other").unwrap();
    }
    scene.wire.clear();
    assert_eq!(scene.finished().present, 1);
    assert_eq!((scene.count("GetObject", "/originals/"), scene.entries().len()), (0, 0));
    assert_eq!(scene.count("HeadObject", folder), 4, "each of the four by itself");
}

#[test]
fn shares_are_disjoint_and_together_everything() {
    let Some(picture) = picture() else { return };
    let scene = Scene::new(&[]);
    scene.put(many(30), &picture);
    let made: Vec<u64> = ["1/3", "2/3", "3/3"]
        .into_iter()
        .map(|shard| {
            let (ended, counts) = scene.run(Job { shard: shard.parse().unwrap(), ..scene.job() });
            assert_eq!(ended, Ended::Finished);
            counts.tally().made
        })
        .collect();
    assert_eq!(made.iter().sum::<u64>(), 30);
    assert!(made.iter().all(|made| *made > 0), "{made:?}");
    assert_eq!(scene.count("GetObject", "/originals/"), 30);
    let notes = scene.wire.keys("variants").into_iter().filter(|k| k.starts_with("v1/~/warm/"));
    assert_eq!(notes.count(), 3);
}

#[test]
fn a_dry_run_makes_nothing_and_a_prefix_takes_its_part() {
    let Some(picture) = picture() else { return };
    let scene = Scene::new(&[]);
    scene.put(many(14), &picture);
    let (_, counts) = scene.run(Job { dry_run: true, ..scene.job() });
    assert_eq!((counts.tally().made, counts.tally().variants), (14, 56));
    assert!(scene.wire.keys("variants").is_empty());
    assert_eq!(scene.count("GetObject", ""), 0);
    let (_, counts) = scene.run(Job { prefix: "photos/03/00".to_owned(), ..scene.job() });
    assert_eq!((counts.tally().made, counts.tally().seen()), (2, 2));
    assert!(
        scene
            .wire
            .keys("variants")
            .iter()
            .all(|key| { key.starts_with("v1/default/photos/03/") || key.starts_with("v1/~/") })
    );
}

#[test]
fn passing_trouble_is_waited_out_and_lasting_trouble_ends_the_run_with_its_reason() {
    let Some(picture) = picture() else { return };
    let scene = Scene::new(&[]);
    scene.put(many(5), &picture);
    scene.wire.fault(Fault::new("/originals/photos", Act::Status(500)).on("GET").times(9));
    assert_eq!(scene.finished().made, 5);

    let (ended, _) = Scene::new(&[("ORIGIN", "s3://nowhere")]).run(scene.job());
    let Ended::Failed(why) = ended else { panic!("{ended:?}") };
    assert!(why.contains("cannot be listed"), "{why}");
}

#[test]
fn folders_are_warmed_as_buckets_are() {
    let Some(picture) = picture() else { return };
    let folder = tempfile::tempdir().unwrap();
    let url = |name: &str| {
        std::fs::create_dir_all(folder.path().join(name)).unwrap();
        format!("file://{}", folder.path().join(name).display())
    };
    let presets = folder.path().join("presets.toml");
    std::fs::write(&presets, PRESETS).unwrap();
    let vars = [
        ("LENSLET_ORIGIN", url("originals")),
        ("LENSLET_VARIANTS", url("variants")),
        ("LENSLET_PREGENERATE", "card".to_owned()),
        ("LENSLET_PRESETS_FILE", presets.display().to_string()),
    ];
    for n in 0..12 {
        std::fs::write(folder.path().join(format!("originals/{n}.jpg")), &picture).unwrap();
    }
    let vars = vars.map(|(name, value)| (name.into(), value.into()));
    let env = Env::gather(vars, None);
    let settings = Settings::read(&env, &Machine::detect(), Purpose::Offline).unwrap();
    let run = || {
        let Workshop { service, runtime, .. } =
            workshop(&settings, Work::Batches { originals: 3 }).unwrap();
        let job = Job {
            origin: OriginName::default_origin(),
            prefix: String::new(),
            ahead: Ahead::of(&settings),
            shard: Shard::WHOLE,
            concurrency: 3,
            restart: true,
            dry_run: false,
        };
        let warm = Warm::new(Arc::clone(&service), Territory::of(&settings), job);
        runtime.block_on(warm.count_total());
        assert_eq!(runtime.block_on(warm.run(std::future::pending())), Ended::Finished);
        assert_eq!(warm.counts().total(), Some(12));
        (warm.counts().tally(), service.origins.metrics().gets.get())
    };
    let (first, gets) = run();
    assert_eq!((first.made, first.variants, gets), (12, 12, 12));
    let (second, gets) = run();
    assert_eq!((second.made, second.present, gets), (0, 12, 0));
}

#[test]
fn names_of_what_is_no_picture_are_sorted_for_the_search() {
    let key = |name: &str| SourceKey::new(name).unwrap();
    for name in ["a.MP4", "b/c.txt", "x.7z", "y.zip", "z.svg"] {
        assert!(is_no_picture(&key(name)), "{name}");
    }
    for name in ["a.jpg", "txt", "b.zip/c", "d.webp", ".jpeg", "e"] {
        assert!(!is_no_picture(&key(name)), "{name}");
    }
    assert_eq!(sample_key().as_str(), "image");
}

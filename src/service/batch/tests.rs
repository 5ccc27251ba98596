//! The promises of batches, on real photographs and in a service without listeners: the bytes of
//! single renders, one look, one fetch, one decode for each scale, requests first.

use super::*;
use crate::config::{Env, Machine, Purpose, Settings};
use crate::dialect::request;
use crate::model::key::{OriginName, SourceKey};
use crate::model::transform::Accepts;
use crate::model::units::ByteSize;
use crate::pipeline;
use crate::service::workshop::{Work, Workshop, workshop};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Photographs and hard cases of the corpus; none, and loudly so, where there is no corpus.
pub(in crate::service) static CORPUS: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(|| {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus"));
    // A turned one, one without a scaled decoder, one with alpha: the last three.
    let names = [
        "photos/lepton-iphone.jpg",
        "photos/wuffs-harvesters.jpeg",
        "photos/bimg-vertical.jpg",
        "exif_gen/exif_two_app1.jpg",
        "photos/codec-corpus-1.png",
        "png/misc/libvips-rgba.png",
    ];
    let read = |name| Some((name, std::fs::read(root.join(name)).ok()?));
    let found: Vec<_> = names.into_iter().filter_map(read).collect();
    if found.is_empty() {
        eprintln!("SKIPPED: there is no corpus at {}", root.display());
    }
    found
});

pub(in crate::service) struct Scene {
    pub(in crate::service) workshop: Workshop,
    pub(in crate::service) settings: Settings,
    folder: tempfile::TempDir,
}

impl Scene {
    pub(in crate::service) fn new(pairs: &[(&str, &str)], work: Work) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = |name: &str| {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
            format!("file://{}", folder.path().join(name).display())
        };
        let mut vars = vec![("ORIGIN", url("originals")), ("VARIANTS", url("variants"))];
        vars.extend(pairs.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let vars = vars.into_iter().map(|(n, v)| (format!("LENSLET_{n}").into(), v.into()));
        let machine = Machine { cpus: 2, memory: ByteSize::new(1 << 30), ..Machine::detect() };
        let settings = Settings::read(&Env::gather(vars, None), &machine, Purpose::Offline);
        let settings = settings.unwrap_or_else(|faults| panic!("{faults}"));
        let workshop = workshop(&settings, work).unwrap();
        Self { workshop, settings, folder }
    }

    pub(in crate::service) fn put(&self, key: &str, bytes: &[u8]) -> SourceId {
        let path = self.folder.path().join("originals").join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        SourceId { origin: OriginName::default_origin(), key: SourceKey::new(key).unwrap() }
    }

    pub(in crate::service) fn wishes(&self, parameters: &[&str]) -> Vec<AheadWish> {
        let wish = |parameters: &&str| {
            let dialect = self.settings.access.dialect();
            let asked = request::parse(&format!("/image?{parameters}"), &dialect).unwrap();
            let transform = asked.resolve(Accepts::AvifWebp, &self.settings.limits).unwrap();
            let (name, placement) = ((*parameters).to_owned(), Placement::Versioned);
            AheadWish { name, transform: Arc::new(transform), placement }
        };
        parameters.iter().map(wish).collect()
    }

    fn make(&self, source: &SourceId, wishes: &[AheadWish]) -> Result<BatchReport, Failure> {
        let service = &self.workshop.service;
        self.workshop.runtime.block_on(service.make_ahead(source, wishes, soon()))
    }

    fn files(&self) -> Vec<PathBuf> {
        let (mut found, mut folders) = (vec![], vec![self.folder.path().join("variants")]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found
    }

    pub(in crate::service) fn counted(&self, line: &str) -> u64 {
        let text = self.workshop.metrics.encode();
        let value = text.lines().find_map(|l| l.strip_prefix(line)?.trim().parse().ok());
        value.unwrap_or_default()
    }

    pub(in crate::service) fn decodes(&self) -> u64 {
        self.counted("lenslet_stage_duration_seconds_count{stage=\"decode\"}")
    }
}

pub(in crate::service) fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

/// One render by itself, as a request makes it.
pub(in crate::service) fn alone(
    bytes: &[u8],
    wish: &AheadWish,
    settings: &Settings,
) -> pipeline::Rendered {
    let header = codec::probe(bytes).unwrap();
    let plan = pipeline::plan(&header, &wish.transform, &settings.limits).unwrap();
    pipeline::run(bytes, &header, &plan, |_stage| {}).unwrap()
}

/// What the store holds for a variant.
fn stored(scene: &Scene, made: &MadeAhead) -> Arc<Variant> {
    let service = &scene.workshop.service;
    let since = service.variants.since();
    let read = service.variants.stored(&made.key, &made.placement, soon(), since);
    scene.workshop.runtime.block_on(read).expect("it is stored")
}

fn batches() -> Work {
    Work::Batches { originals: 2 }
}

const MANY: [&str; 10] = [
    "w=1200&f=jpeg",
    "w=480&h=360&fit=cover&g=smart&f=webp",
    "w=480&h=360&fit=cover&f=jpeg",
    "w=200&h=200&fit=cover&f=auto",
    "h=90&gray",
    "w=64&f=png",
    "crop=10,10,200,150",
    "w=300&h=300&fit=pad&f=webp",
    "w=150&rot=90&flip=h",
    "w=200&rot=12&bg=fff&blur=2&sharpen=1",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn a_batch_gives_the_bytes_of_single_renders(
        which in any::<prop::sample::Index>(),
        chosen in prop::sample::subsequence(MANY.to_vec(), 2..6),
    ) {
        if CORPUS.is_empty() {
            return Ok(());
        }
        let (name, bytes) = which.get(&CORPUS);
        let scene = Scene::new(&[], batches());
        let source = scene.put("a.jpg", bytes);
        let wishes = scene.wishes(&chosen);
        let report = scene.make(&source, &wishes).unwrap();
        prop_assert_eq!(report.failures, vec![]);
        prop_assert_eq!(report.rendered.len(), wishes.len());
        let mut scales = std::collections::BTreeSet::new();
        for made in &report.rendered {
            let wish = wishes.iter().find(|wish| wish.name == made.name).unwrap();
            let single = alone(bytes, wish, &scene.settings);
            prop_assert_eq!((made.format, made.size), (single.format, single.size));
            prop_assert!(stored(&scene, made).body == single.body, "{} of {}", made.name, name);
            let header = codec::probe(bytes).unwrap();
            let plan = pipeline::plan(&header, &wish.transform, &scene.settings.limits).unwrap();
            scales.insert(plan.decode());
        }
        prop_assert_eq!(scene.decodes(), scales.len() as u64);
    }
}

#[test]
fn one_fetch_and_one_decode_for_each_scale_and_nothing_the_second_time() {
    let Some((_, photograph)) = CORPUS.first() else { return };
    let scene = Scene::new(&[], batches());
    let source = scene.put("photos/cat.jpg", photograph);
    let wishes = scene.wishes(&["w=300&f=jpeg", "w=300&f=webp", "w=290&f=avif", "w=1500&f=jpeg"]);
    let report = scene.make(&source, &wishes).unwrap();
    assert_eq!((report.rendered.len(), report.present), (4, 0));
    assert_eq!(report.header, Some(codec::probe(photograph).unwrap()));
    let gets = || scene.workshop.service.origins.metrics().gets.get();
    let heads = || scene.workshop.service.origins.metrics().heads.get();
    assert_eq!((gets(), heads(), scene.decodes()), (1, 1, 2));
    let records =
        |scene: &Scene| scene.files().iter().filter(|path| path.ends_with("source.json")).count();
    assert_eq!((scene.files().len(), records(&scene)), (5, 1));

    let again = scene.make(&source, &wishes).unwrap();
    assert_eq!((again.rendered.len(), again.present), (0, 4));
    assert_eq!((gets(), scene.decodes(), again.header), (1, 2, None));
    // One more wish: what is there is not made again.
    let more = scene.wishes(&["w=300&f=jpeg", "w=301&f=jpeg"]);
    let report = scene.make(&source, &more).unwrap();
    assert_eq!((report.rendered.len(), report.present), (1, 1));
    assert_eq!(scene.counted("lenslet_transforms_total{format=\"jpeg\",outcome=\"ok\"}"), 3);
}

#[test]
fn wishes_that_come_to_the_same_are_rendered_once() {
    let Some((_, photograph)) = CORPUS.first() else { return };
    let scene = Scene::new(&[("MAX_AVIF_PIXELS", "1")], batches());
    let source = scene.put("cat.jpg", photograph);
    let mut wishes = scene.wishes(&["w=300&f=auto", "w=300&f=auto"]);
    wishes[1].transform = {
        let dialect = scene.settings.access.dialect();
        let asked = request::parse("/image?w=300&f=auto", &dialect).unwrap();
        Arc::new(asked.resolve(Accepts::Webp, &scene.settings.limits).unwrap())
    };
    wishes.push(wishes[0].clone());
    let report = scene.make(&source, &wishes).unwrap();
    // Over the budget of AVIF both kinds of browsers get the same WebP, under keys of their own.
    assert_eq!(report.rendered.len(), 2);
    assert_eq!(scene.counted("lenslet_transforms_total{format=\"webp\",outcome=\"ok\"}"), 1);
    let bodies: Vec<_> = report.rendered.iter().map(|m| stored(&scene, m).body.clone()).collect();
    assert_eq!(bodies[0], bodies[1]);
}

#[test]
fn a_broken_original_is_told_once_and_a_wish_too_large_only_for_itself() {
    let Some((_, photograph)) = CORPUS.first() else { return };
    let scene = Scene::new(&[("MAX_AVIF_PIXELS", "10000")], batches());
    let broken = scene.put("broken.jpg", &photograph[..photograph.len() / 2]);
    let wishes = scene.wishes(&["w=100&f=jpeg", "w=900&f=avif", "w=100&f=webp"]);
    let failure = scene.make(&broken, &wishes).unwrap_err();
    assert_eq!(failure.code, ErrorCode::SourceBroken);
    assert!(scene.files().is_empty());
    let again = scene.make(&broken, &wishes).unwrap_err();
    assert_eq!(
        (again.code, scene.workshop.service.origins.metrics().gets.get()),
        (failure.code, 1)
    );

    let text = scene.put("notes.txt", b"no picture");
    assert_eq!(scene.make(&text, &wishes).unwrap_err().code, ErrorCode::NotAnImage);
    let gone = SourceId { key: SourceKey::new("gone.jpg").unwrap(), ..text };
    assert_eq!(scene.make(&gone, &wishes).unwrap_err().code, ErrorCode::SourceNotFound);

    let good = scene.put("good.jpg", photograph);
    let report = scene.make(&good, &wishes).unwrap();
    assert_eq!(report.rendered.len(), 2);
    let [(name, failure)] = report.failures.as_slice() else { panic!("{:?}", report.failures) };
    assert_eq!((name.as_str(), failure.code), ("w=900&f=avif", ErrorCode::OutputTooLarge));
}

#[test]
fn what_only_the_memory_has_is_stored_without_a_render() {
    let Some((_, photograph)) = CORPUS.first() else { return };
    let scene = Scene::new(&[("WRITE_BACK", "off")], Work::Requests);
    let source = scene.put("cat.jpg", photograph);
    let wishes = scene.wishes(&["w=300&f=jpeg"]);
    let ask = super::super::answer::Ask {
        source: source.clone(),
        v: None,
        wish: Arc::clone(&wishes[0].transform),
        placement: Placement::Versioned,
        deadline: soon(),
        trace: None,
    };
    let service = &scene.workshop.service;
    scene.workshop.runtime.block_on(service.answer(ask, |_| false)).unwrap();
    assert!(scene.files().is_empty());
    let report = scene.make(&source, &wishes).unwrap();
    assert_eq!((report.rendered.len(), scene.decodes()), (1, 1));
    assert_eq!(scene.files().len(), 1, "written although requests write nothing back");
}

#[test]
fn a_store_that_takes_nothing_fails_the_wishes_and_says_to_come_again() {
    let Some((_, photograph)) = CORPUS.first() else { return };
    let scene = Scene::new(&[], batches());
    let source = scene.put("cat.jpg", photograph);
    // A file where the folder of the epoch would have to be.
    std::fs::write(scene.folder.path().join("variants/v1"), b"in the way").unwrap();
    let report = scene.make(&source, &scene.wishes(&["w=300", "w=301"])).unwrap();
    assert_eq!((report.rendered.len(), report.failures.len()), (0, 2));
    assert!(report.failures.iter().all(|(_, failure)| failure.retry_after.is_some()));
}

#[test]
fn requests_go_before_a_batch_on_the_only_slot() {
    let Some((_, photograph)) = CORPUS.first() else { return };
    let scene = Scene::new(&[("CPU_BUDGET", "1")], Work::Requests);
    let source = scene.put("cat.jpg", photograph);
    let widths: Vec<String> = (0..24).map(|n| format!("w={}&f=webp", 900 + n)).collect();
    let names: Vec<&str> = widths.iter().map(String::as_str).collect();
    let wishes = scene.wishes(&names);
    let small = scene.put("small.jpg", photograph);
    let service = &scene.workshop.service;
    scene.workshop.runtime.block_on(async {
        let batch = {
            let (service, source) = (Arc::clone(service), source.clone());
            tokio::spawn(async move { service.make_ahead(&source, &wishes, soon()).await })
        };
        while service.cpu.admission().budget() == 0 || scene.decodes() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let ask = super::super::answer::Ask {
            source: small,
            v: None,
            wish: Arc::clone(&scene.wishes(&["w=50&f=jpeg"])[0].transform),
            placement: Placement::Versioned,
            deadline: soon(),
            trace: None,
        };
        service.answer(ask, |_| false).await.unwrap();
        assert!(!batch.is_finished(), "the request stood behind the whole batch");
        assert_eq!(batch.await.unwrap().unwrap().rendered.len(), 24);
    });
}

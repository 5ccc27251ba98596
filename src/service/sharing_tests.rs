//! The promise of sharing on real photographs: whatever is kept, in whatever order and however
//! many at a time variants are asked for, the bytes are those of a render that shares nothing; and
//! one read and one decode for each scale are enough.

use super::super::answer::Ask;
use super::super::batch::tests::{CORPUS, Scene, alone, soon};
use super::super::purge::{Reach, Scope};
use crate::codec;
use crate::model::key::SourceId;
use crate::model::source::Scale;
use crate::model::transform::Transform;
use crate::pipeline;
use crate::service::workshop::Work;
use crate::variants::Placement;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

const MANY: [&str; 18] = [
    "w=900&f=jpeg",
    "w=900&f=webp",
    "w=900&f=avif",
    "w=480&f=jpeg",
    "w=480&f=webp",
    "w=480&f=avif",
    "w=240&f=jpeg",
    "w=240&f=webp",
    "w=240&f=png",
    "w=100&f=jpeg",
    "w=100&f=webp",
    "w=100&f=auto",
    "w=480&h=360&fit=cover&g=smart&f=webp",
    "w=300&h=300&fit=pad&f=jpeg",
    "w=300&h=300&fit=pad&f=webp",
    "crop=10,10,200,150&f=jpeg",
    "w=150&rot=90&flip=h&gray",
    "w=200&rot=12&bg=fff&blur=2&sharpen=1",
];

/// Writes nothing and remembers no result: everything that is asked for is rendered.
fn scene(decoded: &str, source: &str) -> Scene {
    let pairs = [
        ("WRITE_BACK", "off"),
        ("MEMORY_CACHE", "0"),
        ("DECODED_CACHE", decoded),
        ("SOURCE_CACHE", source),
        ("REQUEST_TIMEOUT", "60s"),
    ];
    Scene::new(&pairs, Work::Requests)
}

fn ask(source: &SourceId, wish: &Arc<Transform>) -> Ask {
    Ask {
        source: source.clone(),
        v: None,
        wish: Arc::clone(wish),
        placement: Placement::Versioned,
        deadline: soon(),
        trace: None,
    }
}

/// Asks for all of them, at once or one after the other; the bodies in the same order.
fn answers(
    scene: &Scene,
    source: &SourceId,
    wishes: &[Arc<Transform>],
    at_once: bool,
) -> Vec<Vec<u8>> {
    let service = &scene.workshop.service;
    let one = |wish: &Arc<Transform>| {
        let (service, ask) = (Arc::clone(service), ask(source, wish));
        async move {
            let answer = service.answer(ask, |_| false).await.unwrap();
            answer.made.unwrap().variant.body.to_vec()
        }
    };
    scene.workshop.runtime.block_on(async {
        if at_once {
            let tasks: Vec<_> = wishes.iter().map(|wish| tokio::spawn(one(wish))).collect();
            let mut bodies = Vec::new();
            for task in tasks {
                bodies.push(task.await.unwrap());
            }
            return bodies;
        }
        let mut bodies = Vec::new();
        for wish in wishes {
            bodies.push(one(wish).await);
        }
        bodies
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn bytes_depend_on_nothing_that_is_kept(
        which in any::<prop::sample::Index>(),
        order in Just(MANY.to_vec()).prop_shuffle(),
        decoded in prop::sample::select(vec!["0", "3MiB", "auto"]),
        source in prop::sample::select(vec!["0", "auto"]),
        at_once in any::<bool>(),
    ) {
        if CORPUS.is_empty() {
            return Ok(());
        }
        let (name, bytes) = which.get(&CORPUS);
        let scene = scene(decoded, source);
        let id = scene.put("a.jpg", bytes);
        let wishes = scene.wishes(&order);
        let transforms: Vec<_> = wishes.iter().map(|wish| Arc::clone(&wish.transform)).collect();
        // The second time round with whatever the first has left behind.
        for _ in 0..2 {
            let bodies = answers(&scene, &id, &transforms, at_once);
            for (wish, body) in wishes.iter().zip(bodies) {
                let single = alone(bytes, wish, &scene.settings);
                prop_assert!(single.body == body, "{} of {name}", wish.name);
            }
        }
        let gets = scene.workshop.service.origins.metrics().gets.get();
        prop_assert!(gets == 1 || source == "0", "{gets} reads");
    }
}

#[test]
fn eighteen_at_once_read_once_and_decode_once_for_each_scale() {
    let Some((_, photograph)) = CORPUS.first() else { return };
    let scene = scene("auto", "auto");
    let id = scene.put("cat.jpg", photograph);
    let wishes = scene.wishes(&MANY);
    let header = codec::probe(photograph).unwrap();
    let decodes: BTreeSet<_> = wishes
        .iter()
        .map(|wish| pipeline::plan(&header, &wish.transform, &scene.settings.limits).unwrap())
        .map(|plan| plan.decode())
        .collect();
    assert!(decodes.len() > 3, "{decodes:?}");
    let transforms: Vec<_> = wishes.iter().map(|wish| Arc::clone(&wish.transform)).collect();
    answers(&scene, &id, &transforms, true);
    let gets = scene.workshop.service.origins.metrics().gets.get();
    assert_eq!((gets, scene.decodes()), (1, decodes.len() as u64));
    let counted = |scale| scene.counted(&format!("lenslet_decodes_total{{scale=\"{scale}\"}}"));
    for scale in Scale::ALL {
        let wanted = decodes.iter().filter(|decode| decode.scale == scale).count() as u64;
        assert_eq!(counted(scale.name()), wanted, "{}", scale.name());
    }
    // The first picture of an original nobody had asked for may be gone; the next one finds it.
    let mut after = Vec::new();
    for wish in scene.wishes(&["w=777&f=jpeg", "w=776&f=jpeg"]) {
        answers(&scene, &id, &[Arc::clone(&wish.transform)], false);
        after.push(scene.decodes() - decodes.len() as u64);
    }
    assert!(after[0] <= 1 && after[1] == after[0], "{after:?}");
    assert_eq!(scene.workshop.service.origins.metrics().gets.get(), 1);
    // Without any of it every one of them decodes.
    let apart = self::scene("0", "0");
    let id = apart.put("cat.jpg", photograph);
    answers(&apart, &id, &transforms, true);
    assert_eq!(apart.decodes(), MANY.len() as u64);
}

#[test]
fn of_a_broken_original_everybody_is_told_and_nothing_is_kept() {
    let Some((_, photograph)) = CORPUS.first() else { return };
    let scene = scene("auto", "auto");
    let id = scene.put("broken.jpg", &photograph[..photograph.len() / 2]);
    let wishes = scene.wishes(&["w=400&f=jpeg", "w=401&f=jpeg", "w=402&f=webp", "w=403&f=avif"]);
    let service = &scene.workshop.service;
    scene.workshop.runtime.block_on(async {
        let asks = wishes.iter().map(|wish| {
            let (service, ask) = (Arc::clone(service), ask(&id, &wish.transform));
            tokio::spawn(async move { service.answer(ask, |_| false).await.unwrap_err() })
        });
        for told in asks.collect::<Vec<_>>() {
            assert!(told.await.unwrap().is_of_the_source());
        }
    });
    assert_eq!(scene.counted("lenslet_decoded_cache_entries"), 0);
    assert_eq!(scene.counted("lenslet_decoded_cache_bytes"), 0);
    assert_eq!(scene.counted("lenslet_memory_reserved_bytes"), 0);
}

#[test]
fn a_purge_drops_originals_and_pictures_and_says_how_many() {
    let Some((_, photograph)) = CORPUS.first() else { return };
    let scene = scene("auto", "auto");
    let id = scene.put("cat.jpg", photograph);
    let wishes = scene.wishes(&["w=400&f=jpeg", "w=400&f=webp", "w=420&f=jpeg"]);
    let transforms: Vec<_> = wishes.iter().map(|wish| Arc::clone(&wish.transform)).collect();
    answers(&scene, &id, &transforms, false);
    let kept = || scene.counted("lenslet_decoded_cache_entries");
    let before = kept();
    assert!(before > 0);
    let service = &scene.workshop.service;
    let purge = |scope| scene.workshop.runtime.block_on(service.purge(scope, Reach::Here));
    let receipt = purge(Scope::Source { id: id.clone(), keep: None });
    assert_eq!((receipt.decoded, receipt.originals, kept()), (before, 1, 0));
    assert_eq!(scene.counted("lenslet_decoded_cache_bytes"), 0);
    assert_eq!(scene.counted("lenslet_source_cache_bytes"), 0);
    let before = (service.origins.metrics().gets.get(), scene.decodes());
    answers(&scene, &id, &transforms[..1], false);
    let after = (service.origins.metrics().gets.get(), scene.decodes());
    assert_eq!(after, (before.0 + 1, before.1 + 1));
    // The version that stays keeps its pictures.
    answers(&scene, &id, &transforms[1..], false);
    let version = scene
        .workshop
        .runtime
        .block_on(async { service.original(&id, None, soon()).await.unwrap().meta.version });
    let before = kept();
    assert!(before > 0);
    let receipt = purge(Scope::Source { id, keep: Some(version) });
    assert_eq!((receipt.decoded, kept()), (0, before));
}

//! The planar way and the way through RGB, held together: the same photographs, widths and formats
//! by both, and the difference of what a viewer sees. Judges no speed.

use crate::golden::limits;
use lenslet::codec;
use lenslet::dialect::presets::Presets;
use lenslet::dialect::request::{self, DialectSettings, UnknownParams};
use lenslet::model::pixels::Pixels;
use lenslet::model::source::{Header, Scale};
use lenslet::model::transform::Accepts;
use lenslet::pipeline::{self, Plan};
use std::path::{Path, PathBuf};

/// Mean absolute difference of a sample, of 255: two ways to quantise what differs by a rounding
/// leave noise of this order in small pictures of much detail, and so do two ways to decode to a
/// fraction: the planar one keeps a little more of the detail. 3.2 was seen.
const MEAN_BOUND: f64 = 5.0;

/// Mean difference of a channel over a picture: a cast of colour, or another range. 0.33 was seen.
const CAST_BOUND: f64 = 0.6;

/// Larger ones take too long in a build with checks.
const MAX_PIXELS: u64 = 14_000_000;

/// The files of the corpus' folders of photographs and JPEGs.
fn photographs() -> Vec<PathBuf> {
    let corpus = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus"));
    let mut folders: Vec<PathBuf> =
        ["photos", "jpeg", "exif_gen", "meta"].map(|name| corpus.join(name)).into();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    #[expect(clippy::print_stderr, reason = "a skip is loud")]
    if found.is_empty() {
        eprintln!("SKIPPED: there is no corpus at {}", corpus.display());
    }
    found.sort();
    found
}

fn planned(bytes: &[u8], parameters: &str) -> Option<(Header, Plan)> {
    let header = codec::probe(bytes).ok()?;
    if header.size.pixels() > MAX_PIXELS {
        return None;
    }
    let presets = Presets::parse("").unwrap();
    let settings =
        DialectSettings { presets: &presets, unknown: UnknownParams::Refuse, ignored: &[] };
    let request = request::parse(&format!("/a.jpg?{parameters}"), &settings).unwrap();
    let wish = request.resolve(Accepts::Classic, &limits()).unwrap();
    let plan = pipeline::plan(&header, &wish, &limits()).ok()?;
    Some((header, plan))
}

fn shown(bytes: &[u8], header: &Header, plan: &Plan) -> Option<Pixels> {
    let rendered = pipeline::run(bytes, header, plan, |_stage| {}).ok()?;
    let header = codec::probe(&rendered.body).unwrap();
    assert_eq!(rendered.size, plan.size);
    Some(codec::decode(&rendered.body, &header, Scale::Full).unwrap())
}

/// The mean absolute difference of all samples, and the largest mean difference of a channel.
fn differences(a: &Pixels, b: &Pixels) -> (f64, f64) {
    assert_eq!((a.size(), a.layout()), (b.size(), b.layout()));
    let channels = a.layout().channels();
    let (mut absolute, mut signed) = (0.0, vec![0.0; channels]);
    for (n, (a, b)) in a.data().iter().zip(b.data()).enumerate() {
        absolute += f64::from(a.abs_diff(*b));
        signed[n % channels] += f64::from(*a) - f64::from(*b);
    }
    let samples = a.data().len() as f64;
    let cast = signed.iter().map(|sum: &f64| sum.abs()).fold(0.0, f64::max);
    (absolute / samples, cast * channels as f64 / samples)
}

#[test]
fn planes_and_pixels_show_the_same_picture() {
    let mut compared = 0;
    let mut worst = (0.0, String::new());
    for path in photographs() {
        let Ok(bytes) = std::fs::read(&path) else { continue };
        // Even and odd, turned and mirrored, cropped and enlarged; the codecs take turns.
        for parameters in [
            "w=320&f=jpeg&q=90",
            "w=161&h=101&fit=cover&g=0.3,0.7&f=webp&q=90",
            "w=240&rot=90&f=jpeg&q=90",
            "w=200&flip=h&f=avif&q=90",
        ] {
            let Some((header, plan)) = planned(&bytes, parameters) else { continue };
            if !plan.planar || header.size.width.min(header.size.height) < 64 {
                continue;
            }
            let by_pixels = Plan { planar: false, ..plan.clone() };
            let (planes, pixels) =
                (shown(&bytes, &header, &plan), shown(&bytes, &header, &by_pixels));
            // What one way refuses, the other refuses, too.
            assert_eq!(planes.is_some(), pixels.is_some(), "{} {parameters}", path.display());
            let (Some(planes), Some(pixels)) = (planes, pixels) else { continue };
            let (difference, cast) = differences(&planes, &pixels);
            let name = format!("{} {parameters}: {difference:.2}, {cast:.2}", path.display());
            assert!(difference <= MEAN_BOUND && cast <= CAST_BOUND, "{name}");
            if difference > worst.0 {
                worst = (difference, name);
            }
            compared += 1;
        }
    }
    assert!(compared > 0 || photographs().is_empty());
    eprintln!("{compared} pictures, the furthest {}", worst.1);
}

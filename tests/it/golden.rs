//! Golden pictures: `tests/golden/<area>/<case>.url` says what is asked, `<case>.png` beside it is
//! what comes out. One concern a case; inputs are drawn here, so a reader can predict them.
//! Lossless results must match to 1 per sample; on a mismatch expected, difference and actual
//! are written side by side to `target/golden/`. `LENSLET_GOLDEN=write` writes references — and
//! fails, so that nobody's expectation is what nobody has looked at.

use lenslet::codec::{self, Encoding};
use lenslet::dialect::presets::Presets;
use lenslet::dialect::request::{self, DialectSettings, UnknownParams};
use lenslet::model::geometry::{Orientation, Size};
use lenslet::model::limits::Limits;
use lenslet::model::pixels::{Layout, Pixels};
use lenslet::model::source::Scale;
use lenslet::model::transform::Accepts;
use lenslet::model::units::{ByteSize, PixelCount};
use lenslet::pipeline::plan::{Window, WindowRect};
use lenslet::pipeline::{self, ops};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// A sample may be off by this much: SIMD levels round differently by one.
const TOLERANCE: u8 = 1;

/// JPEG originals come through a lossy codec first; its inverse DCT may differ by a little more.
const JPEG_TOLERANCE: u8 = 2;

pub(crate) fn limits() -> Limits {
    Limits {
        source_bytes: ByteSize::new(32 << 20),
        source_pixels: PixelCount::new(50_000_000),
        output_side: 8192,
        frames: 256,
        avif_pixels: PixelCount::new(16_000_000),
    }
}

/// 120×80: the corners red, green, blue and yellow, a white cross of hairlines through the
/// middle, a black disc left of it and a grey ramp along the bottom. No two parts look alike.
fn card() -> Pixels {
    let size = Size::new(120, 80);
    let mut data = Vec::new();
    for y in 0..80i32 {
        for x in 0..120i32 {
            let corner = match (x < 60, y < 40) {
                (true, true) => [220, 30, 30],
                (false, true) => [30, 180, 60],
                (true, false) => [40, 60, 210],
                (false, false) => [230, 210, 40],
            };
            let disc = (x - 30).pow(2) + (y - 40).pow(2) < 15 * 15;
            let colour = match () {
                () if y >= 72 => [(x * 2) as u8; 3],
                () if disc => [0, 0, 0],
                () if x == 60 || y == 40 => [255, 255, 255],
                () => corner,
            };
            data.extend(colour);
        }
    }
    Pixels::new(size, Layout::Rgb, data).unwrap()
}

/// The card with alpha falling from opaque at the left to nothing at the right, and a loud
/// colour where it cannot be seen.
fn ghost() -> Pixels {
    let card = card();
    let mut data = Vec::new();
    for (i, rgb) in card.data().chunks_exact(3).enumerate() {
        let alpha = 255 - (i % 120) * 255 / 119;
        let colour = if alpha == 0 { [255, 0, 255] } else { [rgb[0], rgb[1], rgb[2]] };
        data.extend(colour);
        data.push(alpha as u8);
    }
    Pixels::new(card.size(), Layout::Rgba, data).unwrap()
}

/// A JPEG whose EXIF says `orientation`, stored so that it shows the card upright.
fn turned(orientation: u32) -> Vec<u8> {
    // What undoes 6 is 8 and the other way round; the rest undo themselves.
    let undo = match orientation {
        6 => Orientation::Rotate270,
        8 => Orientation::Rotate90,
        n => Orientation::from_exif(n),
    };
    let stored = ops::turn(card(), undo).unwrap();
    let jpeg = codec::encode(&stored, Encoding::Jpeg { quality: 95, progressive: false }).unwrap();
    // Little-endian TIFF with the one tag 0x0112, SHORT.
    let mut app1 =
        b"\xFF\xE1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    app1.extend([orientation as u8, 0, 0, 0, 0, 0, 0, 0]);
    [&jpeg[..2], &app1, &jpeg[2..]].concat()
}

fn input(name: &str) -> Vec<u8> {
    match name {
        "card.png" => codec::encode(&card(), Encoding::Png).unwrap(),
        "ghost.png" => codec::encode(&ghost(), Encoding::Png).unwrap(),
        _ => {
            let orientation = name.strip_prefix("turned").and_then(|n| n.strip_suffix(".jpg"));
            turned(orientation.expect("a known input").parse().unwrap())
        }
    }
}

/// Runs a URL through dialect, plan and pipeline and decodes what came out.
pub(crate) fn render(url: &str) -> Pixels {
    let presets = Presets::parse("").unwrap();
    let settings =
        DialectSettings { presets: &presets, unknown: UnknownParams::Refuse, ignored: &[] };
    let request = request::parse(url, &settings).unwrap();
    let wish = request.resolve(Accepts::Classic, &limits()).unwrap();
    let bytes = input(request.source.key.as_str());
    let header = codec::probe(&bytes).unwrap();
    let plan = pipeline::plan(&header, &wish, &limits()).unwrap();
    let rendered = pipeline::run(&bytes, &header, &plan, |_stage| {}).unwrap();
    assert_eq!(rendered.size, plan.size, "{url}: the plan knew the size");
    let header = codec::probe(&rendered.body).unwrap();
    codec::decode(&rendered.body, &header, Scale::Full).unwrap()
}

fn rgba(pixels: &Pixels) -> Vec<[u8; 4]> {
    let wide = |p: &[u8]| match pixels.layout() {
        Layout::Gray => [p[0], p[0], p[0], 255],
        Layout::Rgb => [p[0], p[1], p[2], 255],
        Layout::Rgba => [p[0], p[1], p[2], p[3]],
    };
    pixels.data().chunks_exact(pixels.layout().channels()).map(wide).collect()
}

/// The largest difference of any sample; what is invisible in both is not compared.
fn difference(a: &Pixels, b: &Pixels) -> u8 {
    if a.size() != b.size() {
        return 255;
    }
    let of = |(p, q): (&[u8; 4], &[u8; 4])| match (p[3], q[3]) {
        (0, 0) => 0,
        _ => p.iter().zip(q).map(|(x, y)| x.abs_diff(*y)).max().unwrap_or(0),
    };
    rgba(a).iter().zip(&rgba(b)).map(of).max().unwrap_or(0)
}

/// Expected, difference and actual side by side, for eyes.
fn write_panels(name: &str, expected: &Pixels, actual: &Pixels) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/golden");
    std::fs::create_dir_all(&folder).unwrap();
    let size = expected.size();
    let (left, right) = (rgba(expected), rgba(actual));
    let mut data = Vec::new();
    for y in 0..size.height as usize {
        let row = y * size.width as usize..(y + 1) * size.width as usize;
        let empty = [[255, 0, 255, 255]];
        let actual_row = right.get(row.clone()).unwrap_or(&[]);
        data.extend(left[row.clone()].iter().flatten());
        for i in 0..row.len() {
            let (p, q) = (left[row.start + i], actual_row.get(i).copied().unwrap_or(empty[0]));
            let d = p.iter().zip(q).map(|(a, b)| a.abs_diff(b)).max().unwrap_or(0);
            data.extend([d.saturating_mul(16), d.saturating_mul(16), d.saturating_mul(16), 255]);
        }
        for i in 0..row.len() {
            data.extend(actual_row.get(i).copied().unwrap_or(empty[0]));
        }
    }
    let panels = Pixels::new(Size::new(size.width * 3, size.height), Layout::Rgba, data).unwrap();
    let path = folder.join(format!("{}.png", name.replace('/', "-")));
    std::fs::write(&path, codec::encode(&panels, Encoding::Png).unwrap()).unwrap();
    path
}

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases = Vec::new();
    for area in std::fs::read_dir(&root).unwrap() {
        for entry in std::fs::read_dir(area.unwrap().path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "url") {
                cases.push(path);
            }
        }
    }
    cases.sort();
    cases
}

#[test]
fn every_golden_case_gives_the_picture_that_was_looked_at() {
    let cases = cases();
    assert!(cases.len() >= 30, "only {} golden cases found", cases.len());
    let write = std::env::var_os("LENSLET_GOLDEN").is_some_and(|value| value == "write");
    let mut failures = Vec::new();
    for case in &cases {
        let url = std::fs::read_to_string(case).unwrap();
        let actual = render(url.trim());
        let reference = case.with_extension("png");
        let name = case.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display().to_string();
        let Ok(bytes) = std::fs::read(&reference) else {
            if write {
                std::fs::write(&reference, codec::encode(&actual, Encoding::Png).unwrap()).unwrap();
            }
            failures.push(format!("{name}: no reference (LENSLET_GOLDEN=write makes one)"));
            continue;
        };
        let header = codec::probe(&bytes).unwrap();
        let expected = codec::decode(&bytes, &header, Scale::Full).unwrap();
        let tolerance = if url.contains(".jpg") { JPEG_TOLERANCE } else { TOLERANCE };
        let off = difference(&expected, &actual);
        if off > tolerance {
            let panels = write_panels(&name, &expected, &actual);
            failures.push(format!("{name}: off by {off}, see {}", panels.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn all_eight_orientations_show_the_same_picture() {
    let upright = render("/turned1.jpg?f=png");
    for orientation in 2..=8 {
        let shown = render(&format!("/turned{orientation}.jpg?f=png"));
        assert_eq!(shown.size(), upright.size(), "{orientation}");
        let pairs = rgba(&shown).into_iter().zip(rgba(&upright));
        let mut sum = 0u64;
        for (p, q) in pairs {
            sum += p.iter().zip(q).map(|(a, b)| u64::from(a.abs_diff(b))).sum::<u64>();
        }
        // Blocks of the JPEG fall elsewhere: equal on average, not to the last pixel.
        let mean = sum as f64 / (upright.size().pixels() as f64 * 4.0);
        assert!(mean < 3.0, "orientation {orientation} is off by {mean:.2} on average");
    }
}

#[test]
fn orienting_late_equals_orienting_first() {
    // The pipeline resamples in stored axes and turns the small result; asked of a lossless
    // original turned by hand, both ways must agree.
    let card = card();
    for (rot, turn) in
        [(90, Orientation::Rotate90), (180, Orientation::Rotate180), (270, Orientation::Rotate270)]
    {
        let by_url = render(&format!("/card.png?rot={rot}&w=61&f=png"));
        let turned = ops::turn(card.clone(), turn).unwrap();
        // 61 pixels are more than half of either side: the picture is decoded at 1/1.
        let window = Window::Fixed(WindowRect::of(turned.size()));
        let by_hand = ops::resize(Cow::Owned(turned), window, by_url.size()).unwrap();
        // The two passes of the filter change places, and with them where it rounds and clamps:
        // equal on average, a little off at hard edges.
        let pairs = rgba(&by_url).into_iter().zip(rgba(&by_hand));
        let sum: u64 = pairs
            .flat_map(|(p, q)| p.into_iter().zip(q).map(|(a, b)| u64::from(a.abs_diff(b))))
            .sum();
        let mean = sum as f64 / (by_url.size().pixels() as f64 * 4.0);
        assert!(mean < 0.2, "rot={rot}: off by {mean:.3} on average");
    }
}

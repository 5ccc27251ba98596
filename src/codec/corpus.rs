//! The real and hostile files of the corpus, every row of every format: what must decode does, at
//! the size the index says; what must not is refused; nothing panics, whole or damaged. Knows the
//! codecs by their common face only.

use super::{DecodeError, decode, probe};
use crate::model::format::{Format, SourceFormat};
use crate::model::pixels::Pixels;
use crate::model::source::{Header, Scale};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Larger pictures are refused by the limits in front of the decoders.
const MAX_PIXELS: u64 = 120_000_000;

/// Rows whose display size the reference decoder got wrong: it leaves the clean aperture, which
/// every browser applies, out of account.
const OTHER_SIZES: [(&str, &str); 1] =
    [("avif/alpha/libavif-blue-and-magenta-crop.avif", "180x100")];

/// Rows that the index wants refused and that decode: marked as a bomb for its side of 65,535,
/// but a sound picture of 65 kilopixels in 405 bytes; whether such sides are wanted is for the
/// limits to say.
const SOUND_AFTER_ALL: [&str; 1] = ["bombs_found/pygif-max-height.gif"];

/// Hundredths of a step of 255 that a sample of a reduced picture may be off on average: a profile is applied to
/// the means, not to each pixel before.
const MEAN_OFF: u64 = 50;

/// The same where planes are reduced before they become RGB: chroma is not smeared across the edges
/// of blocks, and tone curves and clamping come after the mean.
const MEAN_OFF_BY_PLANES: u64 = 300;

/// Noise far out of gamut, of which clamping is most, and a picture of few pixels, all of them edges.
const NOT_BY_MEANS: [&str; 3] = [
    "webp/lossy/libwebp-test-data-vp80-01-intra-1411.webp",
    "webp/lossy/libwebp-test-data-vp80-02-inter-1412.webp",
    "avif/misc/libavif-extended_pixi.avif",
];

/// A row of INDEX.tsv. An APNG has no number of frames here: the reference decoder counts a default
/// image that is no part of the animation, we do not.
#[derive(Debug, Clone)]
struct Row {
    name: String,
    format: String,
    path: PathBuf,
    display: String,
    expected: String,
    frames: Option<u32>,
}

/// Every row; none, and loudly so, where there is no corpus.
static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus"));
    let Ok(index) = std::fs::read_to_string(root.join("INDEX.tsv")) else {
        eprintln!("SKIPPED: there is no corpus at {}", root.display());
        return Vec::new();
    };
    let row = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, format, _stored, display, _what, expected, _orientation, _alpha, frames, ..] =
            fields[..]
        else {
            panic!("not a row of the index: {line:?}")
        };
        let other = OTHER_SIZES.iter().find(|(other, _)| *other == name);
        Row {
            name: name.to_owned(),
            format: format.to_owned(),
            path: root.join(name),
            display: other.map_or(display, |(_, size)| size).to_owned(),
            expected: expected.to_owned(),
            frames: frames.parse().ok().filter(|_| format != "apng"),
        }
    };
    let rows: Vec<Row> = index.lines().skip(1).map(row).collect();
    assert!(rows.len() > 1_000, "only {} rows", rows.len());
    rows
});

/// The whole files of a format, for tests beside its codec.
pub(super) fn paths(format: &str) -> Vec<PathBuf> {
    let whole = ROWS.iter().filter(|row| row.expected == "200" && row.format == format);
    whole.map(|row| row.path.clone()).collect()
}

fn read(bytes: &[u8]) -> Result<(Header, Pixels), DecodeError> {
    let header = probe(bytes)?;
    if header.size.pixels() > MAX_PIXELS {
        return Err(DecodeError::Unsupported(format!("a picture of {}", header.size)));
    }
    let pixels = decode(bytes, &header, Scale::Full)?;
    assert_eq!(pixels.size(), header.size, "the decoder keeps what the header promised");
    assert!(header.alpha || pixels.is_opaque(), "alpha came as a surprise");
    Ok((header, pixels))
}

/// Whether a row came out as the index wants it.
fn is_right(row: &Row, outcome: &Result<(String, u32), DecodeError>) -> bool {
    match (row.expected.as_str(), outcome) {
        ("200", Ok((display, frames))) => {
            *display == row.display && row.frames.is_none_or(|wanted| wanted == *frames)
        }
        ("200", Err(_)) => false,
        ("200/415", Err(error)) => {
            matches!(error, DecodeError::Unsupported(_) | DecodeError::NotAnImage(_))
        }
        ("4xx" | "415", Ok(_)) => SOUND_AFTER_ALL.contains(&row.name.as_str()),
        _ => true,
    }
}

#[test]
fn every_row_comes_out_as_the_index_says() {
    let mut wrong = Vec::new();
    for row in ROWS.iter() {
        let bytes = std::fs::read(&row.path).unwrap();
        let Ok(outcome) = std::panic::catch_unwind(|| read(&bytes)) else {
            wrong.push(format!("{}: PANIC", row.name));
            continue;
        };
        let outcome = outcome.map(|(header, _)| (header.display_size().to_string(), header.frames));
        if !is_right(row, &outcome) {
            let Row { name, expected, display, frames, .. } = row;
            wrong.push(format!("{name}: {expected} {display} {frames:?}, but {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), ROWS.len(), wrong.join("\n"));
}

#[test]
fn every_scale_of_the_ladder_shows_the_means_of_the_full_picture() {
    let mut wrong = Vec::new();
    for row in ROWS.iter().filter(|row| row.expected == "200") {
        let bytes = std::fs::read(&row.path).unwrap();
        let Ok(header) = probe(&bytes) else { continue };
        if header.format == SourceFormat::Web(Format::Jpeg) || header.size.pixels() > 4_000_000 {
            continue;
        }
        let Ok(full) = decode(&bytes, &header, Scale::Full) else { continue };
        for scale in [Scale::Half, Scale::Quarter, Scale::Eighth] {
            let small = decode(&bytes, &header, scale).unwrap();
            assert_eq!(small.size(), scale.apply(header.size), "{}", row.name);
            let means = super::shrink::whole(full.clone(), scale).unwrap();
            assert_eq!(small.layout(), means.layout(), "{}", row.name);
            let pairs = small.data().iter().zip(means.data());
            let off: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            let samples = small.data().len() as u64;
            let off = (off * 100).div_ceil(samples);
            let planes = matches!(header.format, SourceFormat::Web(Format::Avif | Format::Webp));
            let most = if planes { MEAN_OFF_BY_PLANES } else { MEAN_OFF };
            if off > most && !NOT_BY_MEANS.contains(&row.name.as_str()) {
                wrong.push(format!("{} at {scale:?} is off by {off} hundredths", row.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// The colours of the four quadrants, as stored.
fn quadrants(pixels: &Pixels) -> [[u8; 3]; 4] {
    let channels = pixels.layout().channels();
    let (width, height) = (pixels.size().width as usize, pixels.size().height as usize);
    [(1, 1), (3, 1), (1, 3), (3, 3)].map(|(x, y)| {
        let at = (height * y / 4 * width + width * x / 4) * channels;
        match pixels.data()[at..at + channels] {
            [g] => [g; 3],
            [r, g, b] | [r, g, b, _] => [r, g, b],
            _ => unreachable!(),
        }
    })
}

fn near(seen: [[u8; 3]; 4], wanted: [[u8; 3]; 4]) -> bool {
    seen.as_flattened().iter().zip(wanted.as_flattened()).all(|(a, b)| a.abs_diff(*b) <= 24)
}

const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];
const BLUE: [u8; 3] = [0, 0, 255];
const WHITE: [u8; 3] = [255, 255, 255];

#[test]
fn the_carriers_of_profiles_and_metadata_show_their_colours() {
    let drawn = ["icc_gen/", "meta_gen/", "exif_gen/"];
    let mut seen = 0;
    for row in ROWS.iter().filter(|row| drawn.iter().any(|folder| row.name.starts_with(folder))) {
        let (_, pixels) = read(&std::fs::read(&row.path).unwrap()).unwrap();
        let wanted = if row.name.contains("swapped") {
            [GREEN, BLUE, RED, WHITE]
        } else {
            [RED, GREEN, BLUE, WHITE]
        };
        assert!(near(quadrants(&pixels), wanted), "{}: {:?}", row.name, quadrants(&pixels));
        seen += 1;
    }
    assert!(ROWS.is_empty() || seen > 30, "only {seen} carriers");
}

/// Files small enough to be damaged often, of every format that is read.
static SMALL: LazyLock<Vec<(&'static str, Vec<u8>)>> = LazyLock::new(|| {
    let small = |row: &'static Row| {
        let bytes = std::fs::read(&row.path).ok().filter(|bytes| bytes.len() <= 40_000)?;
        probe(&bytes).is_ok().then_some((row.name.as_str(), bytes))
    };
    ROWS.iter().filter_map(small).collect()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn no_damaged_file_makes_a_decoder_panic(
        which: prop::sample::Index,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.25, any::<prop::sample::Index>()),
    ) {
        if SMALL.is_empty() {
            return Ok(());
        }
        let (name, original) = which.get(&SMALL);
        let mut bytes = original.clone();
        for (place, anywhere, value) in edits {
            // Most of what our own code reads stands in the first kilobyte.
            let reach = if anywhere { bytes.len() } else { bytes.len().min(1_024) };
            bytes[place.index(reach)] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(header) = probe(&bytes)
            && header.size.pixels() < 4_000_000
        {
            let outcome = decode(&bytes, &header, Scale::Full);
            let forgotten = matches!(outcome, Err(DecodeError::NotAnImage(_)));
            prop_assert!(!forgotten, "{name} was an image to the probe: {outcome:?}");
        }
    }
}

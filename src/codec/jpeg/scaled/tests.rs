//! The decoder against the library it stands in for, against damage, and over the photographs of the corpus.

use super::super::{encode, probe, yuv};
use super::*;
use crate::codec::corpus;
use crate::model::pixels::{Layout, Pixels};
use crate::model::source::Header as Probed;

const SCALES: [Scale; 3] = [Scale::Half, Scale::Quarter, Scale::Eighth];

/// Smooth areas, edges and grain.
fn picture(size: Size) -> Pixels {
    let mut seed = 7_u32;
    let mut data = Vec::new();
    for y in 0..size.height {
        for x in 0..size.width {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let grain = seed >> 27;
            let edge = if (x / 23 + y / 17) % 2 == 0 { 60 } else { 0 };
            let sample = |slope: u32| (x * slope / 9 + y / 3 + edge + grain) % 256;
            data.extend([1, 2, 5].map(|slope| u8::try_from(sample(slope)).unwrap()));
        }
    }
    Pixels::new(size, Layout::Rgb, data).unwrap()
}

fn ours(file: &[u8], header: &Probed, scale: Scale) -> Option<Planes> {
    decode(file, header.size, header.planes?, scale)
}

fn theirs(file: &[u8], header: &Probed, scale: Scale) -> Planes {
    yuv::decompress(file, header.size, header.planes.unwrap(), scale).unwrap().0
}

/// The mean and the largest difference of two pictures' samples.
#[expect(clippy::cast_precision_loss, reason = "sums of bytes")]
fn difference(a: &Planes, b: &Planes) -> (f64, u8) {
    assert_eq!((a.size(), a.subsampling()), (b.size(), b.subsampling()));
    let mut differences = Vec::new();
    for (a, b) in a.planes().iter().zip(b.planes()) {
        let (stride, width) = (a.stored.width as usize, a.size.width as usize);
        let rows = a.samples.chunks(stride).zip(b.samples.chunks(stride));
        for (a, b) in rows.take(a.size.height as usize) {
            differences.extend(a.iter().zip(b).take(width).map(|(a, b)| a.abs_diff(*b)));
        }
    }
    let sum: u64 = differences.iter().map(|d| u64::from(*d)).sum();
    (sum as f64 / differences.len() as f64, differences.into_iter().max().unwrap_or(0))
}

#[test]
fn every_size_has_the_planes_libjpeg_turbo_has_nearly() {
    for (width, height) in
        [(1, 1), (8, 8), (16, 16), (17, 1), (1, 33), (97, 61), (160, 121), (300, 200)]
    {
        let file = encode(&picture(Size::new(width, height)), 92, false).unwrap();
        let header = probe(&file).unwrap();
        for scale in SCALES {
            let ours = ours(&file, &header, scale).unwrap();
            let (difference, _) = difference(&ours, &theirs(&file, &header, scale));
            assert!(difference < 2.5, "{width}x{height} at {scale:?}: {difference}");
        }
    }
}

#[test]
fn at_an_eighth_only_rounding_can_differ() {
    let file = encode(&picture(Size::new(203, 119)), 85, false).unwrap();
    let header = probe(&file).unwrap();
    let (a, b) =
        (ours(&file, &header, Scale::Eighth).unwrap(), theirs(&file, &header, Scale::Eighth));
    assert!(difference(&a, &b).1 <= 1);
}

#[test]
fn full_size_scans_of_several_kinds_and_grey_are_left_to_the_library() {
    let picture = picture(Size::new(64, 48));
    let file = encode(&picture, 90, false).unwrap();
    let header = probe(&file).unwrap();
    assert!(ours(&file, &header, Scale::Full).is_none());
    let progressive = encode(&picture, 90, true).unwrap();
    let size = picture.size();
    assert!(decode(&progressive, size, Subsampling::Quarter, Scale::Half).is_none());
    let gray = Pixels::new(size, Layout::Gray, picture.data()[..64 * 48].to_vec()).unwrap();
    let gray = encode(&gray, 90, false).unwrap();
    assert!(decode(&gray, size, Subsampling::Quarter, Scale::Half).is_none());
    assert!(decode(&file, Size::new(64, 47), Subsampling::Quarter, Scale::Half).is_none());
    assert!(decode(&file, size, Subsampling::Full, Scale::Half).is_none());
}

#[test]
fn what_is_cut_off_or_closed_early_is_never_shown() {
    let file = encode(&picture(Size::new(130, 90)), 90, false).unwrap();
    let header = probe(&file).unwrap();
    for cut in 0..file.len() {
        let mut closed = file[..cut].to_vec();
        assert!(ours(&closed, &header, Scale::Half).is_none(), "{cut}");
        closed.extend([0xFF, 0xD9]);
        assert!(cut + 2 >= file.len() || ours(&closed, &header, Scale::Half).is_none(), "{cut}");
    }
}

#[test]
fn changed_bytes_change_samples_or_leave_it_to_the_library() {
    let file = encode(&picture(Size::new(96, 64)), 80, false).unwrap();
    let header = probe(&file).unwrap();
    for at in 0..file.len() {
        for change in [0x01, 0x80, 0xFF] {
            let mut changed = file.clone();
            changed[at] ^= change;
            for scale in SCALES {
                if let Some(planes) = ours(&changed, &header, scale) {
                    assert_eq!(planes.size(), scale.apply(header.size));
                }
            }
        }
    }
}

#[test]
fn photographs_of_the_corpus_are_what_the_library_makes_of_them() {
    let paths = corpus::paths("jpeg");
    if paths.is_empty() {
        return;
    }
    let (mut taken, mut left, mut restarts) = (0, 0, 0);
    for path in paths {
        let file = std::fs::read(&path).unwrap();
        let Ok(header) = probe(&file) else { continue };
        if header.planes.is_none() || header.size.longest() < 64 {
            continue;
        }
        for scale in SCALES {
            match ours(&file, &header, scale) {
                None => left += 1,
                Some(ours) => {
                    taken += 1;
                    restarts += usize::from(file.windows(2).any(|w| w == [0xFF, 0xDD]));
                    let (difference, _) = difference(&ours, &theirs(&file, &header, scale));
                    assert!(difference < 6.0, "{} at {scale:?}: {difference}", path.display());
                }
            }
        }
    }
    println!("{taken} taken, {restarts} of them with restart markers, {left} left to the library");
    assert!(taken > 100 && restarts > 0, "{taken} {restarts}");
}

//! AVIF as a whole: round trips, arbitrary and cut bytes.

use super::*;
use crate::codec::{DecodeError, shrink};
use crate::model::geometry::{Rect, Size};
use crate::model::pixels::Layout;
use proptest::prelude::*;

/// Smooth colours with an edge, so that lossy coding has something to do.
fn drawing(size: Size, layout: Layout) -> Pixels {
    let mut data = Vec::new();
    for y in 0..size.height {
        for x in 0..size.width {
            let ramp = |n: u32, whole: u32| u8::try_from(n * 255 / whole.max(1)).unwrap();
            let (a, b) = (ramp(x, size.width), ramp(y, size.height));
            let c = if (x + y) % 16 < 8 { 200 } else { 40 };
            data.extend(match layout {
                Layout::Gray => vec![a],
                Layout::Rgb => vec![a, b, c],
                Layout::Rgba => vec![a, b, c, if x > y { 255 } else { a / 2 }],
            });
        }
    }
    Pixels::new(size, layout, data).unwrap()
}

fn round_trip(pixels: &Pixels, quality: Option<u8>) -> Pixels {
    let bytes = encode(pixels, quality).unwrap();
    let header = probe(&bytes).unwrap();
    assert_eq!(header.size, pixels.size());
    assert_eq!(header.gray, pixels.layout() == Layout::Gray);
    assert_eq!((header.frames, header.depth), (1, 8));
    decode(&bytes, &header, Scale::Full).unwrap()
}

/// Mean absolute difference of samples.
fn distance(a: &Pixels, b: &Pixels) -> f64 {
    assert_eq!((a.size(), a.layout()), (b.size(), b.layout()));
    let differences = a.data().iter().zip(b.data()).map(|(a, b)| u32::from(a.abs_diff(*b)));
    f64::from(differences.sum::<u32>()) / f64::from(u32::try_from(a.data().len()).unwrap())
}

#[test]
fn lossless_comes_back_bit_for_bit_in_every_layout_and_odd_size() {
    for size in [Size::new(1, 1), Size::new(1, 7), Size::new(33, 17), Size::new(64, 64)] {
        for layout in [Layout::Gray, Layout::Rgb, Layout::Rgba] {
            let pixels = drawing(size, layout);
            let back = round_trip(&pixels, None);
            assert_eq!(back.data(), pixels.data(), "{size} {layout:?}");
        }
    }
}

#[test]
fn lossy_comes_back_close_in_every_layout_and_odd_size() {
    for layout in [Layout::Gray, Layout::Rgb, Layout::Rgba] {
        for size in [Size::new(101, 67), Size::new(256, 128)] {
            let pixels = drawing(size, layout);
            let off = distance(&pixels, &round_trip(&pixels, Some(90)));
            // The edges are saturated and 4:2:0 halves their chroma.
            assert!(off < 9.0, "{size} {layout:?}: {off}");
        }
        for size in [Size::new(1, 1), Size::new(2, 3), Size::new(17, 1), Size::new(1, 9)] {
            let one = [30, 200, 90, 128].get(..layout.channels()).unwrap();
            let data = one.repeat(usize::try_from(size.pixels()).unwrap());
            let pixels = Pixels::new(size, layout, data).unwrap();
            let off = distance(&pixels, &round_trip(&pixels, Some(90)));
            assert!(off < 3.0, "{size} {layout:?}: {off}");
        }
    }
}

#[test]
fn quality_buys_bytes_and_fidelity() {
    let pixels = drawing(Size::new(200, 150), Layout::Rgb);
    let [low, high] = [20, 90].map(|quality| encode(&pixels, Some(quality)).unwrap());
    assert!(low.len() < high.len(), "{} {}", low.len(), high.len());
    let [low, high] =
        [20, 90].map(|quality| distance(&pixels, &round_trip(&pixels, Some(quality))));
    assert!(high < low, "{high} {low}");
}

#[test]
fn alpha_that_hides_nothing_is_dropped() {
    let mut pixels = drawing(Size::new(16, 16), Layout::Rgba);
    for pixel in pixels.data_mut().as_chunks_mut::<4>().0 {
        pixel[3] = 255;
    }
    let bytes = encode(&pixels, Some(80)).unwrap();
    assert!(!probe(&bytes).unwrap().alpha);
}

#[test]
fn the_same_pixels_give_the_same_bytes() {
    let pixels = drawing(Size::new(120, 90), Layout::Rgba);
    assert_eq!(encode(&pixels, Some(60)).unwrap(), encode(&pixels, Some(60)).unwrap());
}

#[test]
fn a_side_over_the_format_s_limit_is_an_error() {
    let pixels = Pixels::new(Size::new(16_385, 1), Layout::Gray, vec![0; 16_385]).unwrap();
    assert!(encode(&pixels, Some(50)).unwrap_err().reason.contains("16384"));
}

#[test]
fn every_cut_of_a_file_is_broken() {
    let bytes = encode(&drawing(Size::new(40, 30), Layout::Rgba), Some(70)).unwrap();
    for length in 12..bytes.len() {
        let cut = bytes.get(..length).unwrap();
        let result = probe(cut).and_then(|header| decode(cut, &header, Scale::Full));
        assert!(matches!(result, Err(DecodeError::Broken { .. })), "{length} {result:?}");
    }
}

#[test]
fn the_clean_aperture_is_cut_out_before_the_picture_is_reduced() {
    let pixels = drawing(Size::new(25, 14), Layout::Rgb);
    let bytes = encode(&pixels, None).unwrap();
    let mut container = container::read(&bytes).unwrap();
    container.crop = Some(Rect { x: 1, y: 2, size: Size::new(23, 11) });
    let cut = picture(&container, Scale::Full).unwrap();
    for (row, out) in cut.rows().enumerate() {
        let whole = pixels.rows().nth(row + 2).unwrap();
        assert_eq!(out, whole.get(3..72).unwrap());
    }
    for scale in Scale::ALL {
        let small = picture(&container, scale).unwrap();
        assert_eq!(small, shrink::whole(cut.clone(), scale).unwrap(), "{scale:?}");
    }
    container.crop = Some(Rect { x: 3, y: 0, size: Size::new(23, 14) });
    assert!(picture(&container, Scale::Full).is_err());
}

#[test]
fn versions_are_those_of_the_vendored_libraries() {
    assert!(decoder_version().starts_with("1."), "{}", decoder_version());
    assert!(encoder_version().starts_with("3."), "{}", encoder_version());
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(tail in proptest::collection::vec(any::<u8>(), 0..400)) {
        let bytes = [&b"\0\0\0\x18ftypavif\0\0\0\0avifmif1"[..], &tail].concat();
        if let Ok(header) = probe(&bytes) {
            let _ = decode(&bytes, &header, Scale::Full);
        }
    }
}

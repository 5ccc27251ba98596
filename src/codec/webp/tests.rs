//! WebP as a whole: round trips, arbitrary and cut bytes.

use super::*;
use proptest::prelude::*;

fn drawing(size: Size, layout: Layout) -> Pixels {
    let mut data = Vec::new();
    for y in 0..size.height {
        for x in 0..size.width {
            let ramp = |n: u32, whole: u32| u8::try_from(n * 255 / whole.max(1)).unwrap();
            let (a, b) = (ramp(x, size.width), ramp(y, size.height));
            data.extend(match layout {
                Layout::Gray => vec![a],
                Layout::Rgb => vec![a, b, 128],
                Layout::Rgba => vec![a, b, 128, 254 - a / 2],
            });
        }
    }
    Pixels::new(size, layout, data).unwrap()
}

fn round_trip(pixels: &Pixels, quality: Option<u8>) -> Pixels {
    let bytes = encode(pixels, quality).unwrap();
    let header = probe(&bytes).unwrap();
    assert_eq!((header.size, header.frames), (pixels.size(), 1));
    decode(&bytes, &header, Scale::Full).unwrap()
}

#[test]
fn lossless_comes_back_bit_for_bit() {
    for size in [Size::new(1, 1), Size::new(3, 1), Size::new(67, 31)] {
        for layout in [Layout::Rgb, Layout::Rgba] {
            let pixels = drawing(size, layout);
            assert_eq!(round_trip(&pixels, None).data(), pixels.data(), "{size} {layout:?}");
        }
        let gray = drawing(size, Layout::Gray);
        let back = round_trip(&gray, None);
        let expected: Vec<u8> = gray.data().iter().flat_map(|&level| [level; 3]).collect();
        assert_eq!((back.layout(), back.data()), (Layout::Rgb, expected.as_slice()));
    }
}

#[test]
fn lossy_comes_back_close_and_keeps_alpha_exactly() {
    for layout in [Layout::Rgb, Layout::Rgba] {
        let pixels = drawing(Size::new(101, 67), layout);
        let back = round_trip(&pixels, Some(90));
        assert_eq!(back.layout(), layout);
        let off: u64 =
            pixels.data().iter().zip(back.data()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(off < pixels.data().len() as u64 * 3, "{layout:?} {off}");
        if layout == Layout::Rgba {
            let alpha = |pixels: &Pixels| -> Vec<u8> {
                pixels.data().as_chunks::<4>().0.iter().map(|pixel| pixel[3]).collect()
            };
            assert_eq!(alpha(&pixels), alpha(&back));
        }
    }
}

#[test]
fn alpha_that_hides_nothing_is_dropped() {
    let mut pixels = drawing(Size::new(16, 16), Layout::Rgba);
    for pixel in pixels.data_mut().as_chunks_mut::<4>().0 {
        pixel[3] = 255;
    }
    for quality in [Some(80), None] {
        assert!(!probe(&encode(&pixels, quality).unwrap()).unwrap().alpha, "{quality:?}");
    }
}

#[test]
fn a_side_over_the_format_s_limit_is_an_error() {
    let pixels = Pixels::new(Size::new(16_384, 1), Layout::Gray, vec![0; 16_384]).unwrap();
    assert!(encode(&pixels, Some(50)).unwrap_err().reason.contains("16383"));
}

#[test]
fn every_cut_of_a_file_is_broken() {
    for quality in [Some(70), None] {
        let bytes = encode(&drawing(Size::new(40, 30), Layout::Rgba), quality).unwrap();
        // One byte of padding may end the file.
        for length in 12..bytes.len() - 1 {
            let cut = bytes.get(..length).unwrap();
            let result = probe(cut).and_then(|header| decode(cut, &header, Scale::Full));
            assert!(matches!(result, Err(DecodeError::Broken { .. })), "{length} {result:?}");
        }
    }
}

#[test]
fn a_canvas_other_than_the_picture_is_broken() {
    let mut bytes = encode(&drawing(Size::new(40, 30), Layout::Rgba), Some(70)).unwrap();
    assert_eq!(bytes.get(12..16), Some(&b"VP8X"[..]));
    assert!(probe(&bytes).is_ok());
    *bytes.get_mut(24).unwrap() += 1;
    assert!(matches!(probe(&bytes), Err(DecodeError::Broken { .. })));
}

#[test]
fn the_first_frame_of_an_animation_stands_on_a_transparent_canvas() {
    let still = encode(&drawing(Size::new(4, 2), Layout::Rgb), None).unwrap();
    let picture = still.get(12..).unwrap();
    // A frame of 4 × 2 at 2,4 on a canvas of 8 × 9, twice.
    let mut frame = vec![1, 0, 0, 2, 0, 0, 3, 0, 0, 1, 0, 0, 100, 0, 0, 0];
    frame.extend_from_slice(picture);
    let chunk = |name: &[u8; 4], data: &[u8]| -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap().to_le_bytes();
        [&name[..], &length, data, &vec![0; data.len() % 2]].concat()
    };
    let body = [
        chunk(b"VP8X", &[0x02, 0, 0, 0, 7, 0, 0, 8, 0, 0]),
        chunk(b"ANIM", &[0; 6]),
        chunk(b"ANMF", &frame),
        chunk(b"ANMF", &frame),
    ]
    .concat();
    let length = u32::try_from(body.len() + 4).unwrap().to_le_bytes();
    let bytes = [&b"RIFF"[..], &length, b"WEBP", &body].concat();
    let header = probe(&bytes).unwrap();
    assert_eq!((header.size, header.frames, header.alpha), (Size::new(8, 9), 2, true));
    let pixels = decode(&bytes, &header, Scale::Full).unwrap();
    let expected = drawing(Size::new(4, 2), Layout::Rgb);
    for (y, row) in pixels.rows().enumerate() {
        for (x, pixel) in row.as_chunks::<4>().0.iter().enumerate() {
            if (2..6).contains(&x) && (4..6).contains(&y) {
                let at = ((y - 4) * 4 + x - 2) * 3;
                assert_eq!(Some(&pixel[..3]), expected.data().get(at..at + 3));
                assert_eq!(pixel[3], 255);
            } else {
                assert_eq!(*pixel, [0; 4], "{x},{y}");
            }
        }
    }
}

#[test]
fn the_version_is_that_of_the_vendored_library() {
    assert!(version().starts_with("1."), "{}", version());
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(
        name in prop::sample::select(vec![*b"VP8 ", *b"VP8L", *b"VP8X", *b"ANMF"]),
        tail in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [&b"RIFF\x40\0\0\0WEBP"[..], &name, &tail].concat();
        if let Ok(header) = probe(&bytes)
            && header.size.pixels() < 4_000_000
        {
            let _ = decode(&bytes, &header, Scale::Full);
        }
    }
}

//! JPEG → pixels: decode at the scale asked for, refuse what is cut off, convert to sRGB.
//! Never shows a picture whose lower part is missing.

use super::super::{DecodeError, icc};
use super::broken;
use super::probe::Markers;
use super::scaled;
use super::turbo::{self, Model, Raster, Samples};
use super::yuv;
use crate::model::pixels::{Layout, Pixels};
use crate::model::planes::Planes;
use crate::model::source::{Header, Scale};

/// Decodes a JPEG at `scale`. Grey files give [`Layout::Gray`], all others [`Layout::Rgb`].
/// Allocates the picture once, and once more for CMYK.
///
/// # Errors
/// `Broken` for damaged or cut-off data, or a file that is not what `header` says.
pub(in crate::codec) fn decode(
    bytes: &[u8],
    header: &Header,
    scale: Scale,
) -> Result<Pixels, DecodeError> {
    let markers = whole(bytes)?;
    let Raster { model, samples, warning } =
        turbo::decompress(bytes, header.size, scale).map_err(|fault| broken(fault.0))?;
    refuse_cut_off(warning)?;
    let samples = match samples {
        Samples::Eight(samples) => samples,
        Samples::Twelve(samples) => samples.into_iter().map(twelve_to_eight).collect(),
    };
    let size = scale.apply(header.size);
    let profile = markers.icc();
    let pixels = match model {
        Model::Gray => Pixels::new(size, Layout::Gray, samples),
        Model::Rgb => Pixels::new(size, Layout::Rgb, samples),
        Model::Cmyk => {
            let mut cmyk = samples;
            if markers.adobe {
                for ink in &mut cmyk {
                    *ink = 255 - *ink;
                }
            }
            return icc::cmyk_to_rgb(cmyk, size, profile.as_deref())
                .map_err(|wrong| broken(wrong.to_string()));
        }
    }
    .map_err(|wrong| broken(wrong.to_string()))?;
    Ok(match profile {
        Some(profile) => icc::to_srgb(pixels, &profile),
        None => pixels,
    })
}

/// The planes of a JPEG whose header has them, at `scale`, as they are stored. Allocates them once.
///
/// # Errors
/// `Broken` as [`decode`], and for a header without planes.
pub(in crate::codec) fn decode_planes(
    bytes: &[u8],
    header: &Header,
    scale: Scale,
) -> Result<Planes, DecodeError> {
    whole(bytes)?;
    let subsampling = header.planes.ok_or_else(|| broken("no planes to be had"))?;
    if let Some(planes) = scaled::decode(bytes, header.size, subsampling, scale) {
        return Ok(planes);
    }
    let (planes, warning) =
        yuv::decompress(bytes, header.size, subsampling, scale).map_err(|fault| broken(fault.0))?;
    refuse_cut_off(warning)?;
    Ok(planes)
}

/// The markers of a file that has an end.
fn whole(bytes: &[u8]) -> Result<Markers<'_>, DecodeError> {
    let markers = Markers::read(bytes)?;
    if markers.ended() { Ok(markers) } else { Err(broken("the data end before the picture does")) }
}

/// The library fills up what is missing and only warns of it.
fn refuse_cut_off(warning: Option<String>) -> Result<(), DecodeError> {
    match warning.filter(|text| text.to_ascii_lowercase().contains("premature end")) {
        Some(text) => Err(broken(text)),
        None => Ok(()),
    }
}

/// 0–4095 → 0–255, rounded.
fn twelve_to_eight(sample: i16) -> u8 {
    let sample = u32::from(sample.clamp(0, 4095).unsigned_abs());
    u8::try_from((sample * 255 + 2047) / 4095).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{encode, probe};
    use super::*;
    use crate::model::geometry::Size;

    fn gradient(size: Size, layout: Layout) -> Pixels {
        let data = (0..size.height)
            .flat_map(|y| (0..size.width).map(move |x| (x, y)))
            .flat_map(|(x, y)| {
                let r = u8::try_from(x * 255 / size.width).unwrap();
                let g = u8::try_from(y * 255 / size.height).unwrap();
                [r, g, 128].into_iter().take(layout.channels())
            })
            .collect();
        Pixels::new(size, layout, data).unwrap()
    }

    fn worst_difference(a: &Pixels, b: &Pixels) -> u8 {
        assert_eq!((a.size(), a.layout()), (b.size(), b.layout()));
        a.data().iter().zip(b.data()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
    }

    #[test]
    fn a_gradient_survives_the_round_trip_in_grey_and_rgb() {
        for layout in [Layout::Gray, Layout::Rgb] {
            for progressive in [false, true] {
                let picture = gradient(Size::new(97, 61), layout);
                let bytes = encode(&picture, 95, progressive).unwrap();
                let header = probe(&bytes).unwrap();
                assert_eq!(header.progressive, progressive);
                assert_eq!(header.gray, layout == Layout::Gray);
                let back = decode(&bytes, &header, Scale::Full).unwrap();
                assert!(worst_difference(&picture, &back) <= 6);
            }
        }
    }

    #[test]
    fn every_cut_is_broken_and_trailing_bytes_are_not() {
        let picture = gradient(Size::new(64, 64), Layout::Rgb);
        for progressive in [false, true] {
            let bytes = encode(&picture, 90, progressive).unwrap();
            let header = probe(&bytes).unwrap();
            for cut in (bytes.len() / 2..bytes.len()).step_by(7) {
                let result = decode(&bytes[..cut], &header, Scale::Full);
                assert!(matches!(result, Err(DecodeError::Broken { .. })), "{cut}");
                let result = decode_planes(&bytes[..cut], &header, Scale::Full);
                assert!(matches!(result, Err(DecodeError::Broken { .. })), "{cut}");
            }
            let mut longer = bytes.clone();
            longer.extend(b"<script>");
            assert!(decode(&longer, &header, Scale::Half).is_ok());
            assert!(decode_planes(&longer, &header, Scale::Half).is_ok());
        }
    }

    #[test]
    fn a_cut_that_is_closed_with_an_end_marker_is_still_broken() {
        let picture = gradient(Size::new(256, 256), Layout::Rgb);
        let bytes = encode(&picture, 90, false).unwrap();
        let header = probe(&bytes).unwrap();
        let mut cut = bytes[..bytes.len() * 2 / 3].to_vec();
        cut.extend([0xFF, 0xD9]);
        assert!(matches!(decode(&cut, &header, Scale::Full), Err(DecodeError::Broken { .. })));
        let planes = decode_planes(&cut, &header, Scale::Full);
        assert!(matches!(planes, Err(DecodeError::Broken { .. })));
    }

    #[test]
    fn a_fatal_error_behind_a_warning_is_broken_and_shows_no_memory() {
        let picture = gradient(Size::new(128, 128), Layout::Rgb);
        let bytes = encode(&picture, 90, true).unwrap();
        let header = probe(&bytes).unwrap();
        // Everything from the second scan on becomes noise, an unknown marker and an end.
        let scans: Vec<usize> = bytes
            .windows(2)
            .enumerate()
            .filter(|(_, w)| *w == [0xFF, 0xDA])
            .map(|(i, _)| i)
            .collect();
        let mut cut = bytes[..scans[1]].to_vec();
        cut.extend([0; 64]);
        cut.extend([0xFF, 0x02, 0xFF, 0xD9]);
        assert!(matches!(decode(&cut, &header, Scale::Full), Err(DecodeError::Broken { .. })));
        let planes = decode_planes(&cut, &header, Scale::Full);
        assert!(matches!(planes, Err(DecodeError::Broken { .. })));
    }

    #[test]
    fn twelve_bits_round_to_eight() {
        assert_eq!(
            [0, 8, 9, 2048, 4095, -3, 5000].map(twelve_to_eight),
            [0, 0, 1, 128, 255, 0, 255]
        );
    }
}

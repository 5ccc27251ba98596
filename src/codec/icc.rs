//! Embedded ICC profiles → sRGB, through moxcms. A profile is a wish, not a condition: one that
//! is damaged, over 1 MiB, or for another colour space than the samples is passed over and the
//! samples are taken as sRGB. Never writes a profile.

use crate::model::geometry::Size;
use crate::model::pixels::{Layout, Pixels, WrongLength};
use moxcms::{
    ColorProfile, DataColorSpace, Layout as Channels, ParsingOptions, ProfileText, RenderingIntent,
    ToneReprCurve, TransformExecutor, TransformOptions, Xyzd,
};
use std::sync::Arc;

/// Larger profiles are passed over.
pub(super) const MAX_PROFILE_BYTES: usize = 1 << 20;

/// Pixels per call of a transform: its input is copied into a scratch buffer of this many, so
/// that pictures are converted in place.
const STRIP_PIXELS: usize = 4096;

/// Two colorants (in XYZ) this close are the same; profile writers round differently.
const SAME_COLORANT: f64 = 0.004;

/// Converts 8-bit samples to sRGB in place (grey to grey with sRGB's curve); alpha is left
/// alone. Untouched and uncopied where the profile is already sRGB, or damaged, or of another
/// colour space than the layout. Allocates the transform's tables and a strip.
pub(super) fn to_srgb(mut pixels: Pixels, profile: &[u8]) -> Pixels {
    let Some((source, target)) = source_and_target(profile, pixels.layout()) else {
        return pixels;
    };
    let channels = channels_of(pixels.layout());
    let Some(transform) =
        with_intents(|options| source.create_transform_8bit(channels, &target, channels, options))
    else {
        return pixels;
    };
    let strip = STRIP_PIXELS * pixels.layout().channels();
    let mut scratch = Vec::with_capacity(strip);
    for part in pixels.data_mut().chunks_mut(strip) {
        scratch.clear();
        scratch.extend_from_slice(part);
        // Fails only for lengths that are no whole pixels, which a picture never has.
        if transform.transform(&scratch, part).is_err() {
            break;
        }
    }
    pixels
}

/// Whether [`to_srgb`] would touch pixels of `layout`.
pub(super) fn changes(profile: &[u8], layout: Layout) -> bool {
    source_and_target(profile, layout).is_some()
}

/// Inks (0 = none, 255 = full) → RGB, through the profile where it is a sound CMYK one, else by
/// the plain formula `(255 − ink) × (255 − black) / 255`. Works in place: no second picture is
/// allocated.
///
/// # Errors
/// [`WrongLength`] unless there are four bytes per pixel.
pub(super) fn cmyk_to_rgb(
    mut cmyk: Vec<u8>,
    size: Size,
    profile: Option<&[u8]>,
) -> Result<Pixels, WrongLength> {
    // Checked before the work: four inks per pixel take the room of an RGBA picture.
    let pixels = match Pixels::bytes_for(size, Layout::Rgba) {
        Some(bytes) if bytes == cmyk.len() => bytes / 4,
        expected => {
            let expected = expected.unwrap_or(usize::MAX);
            return Err(WrongLength { size, layout: Layout::Rgba, expected, actual: cmyk.len() });
        }
    };
    let transform = profile.and_then(cmyk_transform);
    let mut inks = Vec::with_capacity(STRIP_PIXELS * 4);
    for first in (0..pixels).step_by(STRIP_PIXELS) {
        let count = STRIP_PIXELS.min(pixels - first);
        inks.clear();
        inks.extend_from_slice(cmyk.get(first * 4..(first + count) * 4).unwrap_or_default());
        // The three bytes per pixel written never pass the four already copied out.
        let Some(rgb) = cmyk.get_mut(first * 3..(first + count) * 3) else { break };
        let converted = transform.as_ref().is_some_and(|t| t.transform(&inks, rgb).is_ok());
        if !converted {
            plain_cmyk(&inks, rgb);
        }
    }
    cmyk.truncate(pixels * 3);
    Pixels::new(size, Layout::Rgb, cmyk)
}

/// 16-bit samples → 8-bit sRGB: through the profile at 16 bits where it is sound and not sRGB,
/// then rounded to the nearest. Holds one strip of samples, whatever the picture.
pub(super) struct Deep {
    transform: Option<Transform<u16>>,
    samples: Vec<u16>,
    converted: Vec<u16>,
}

impl Deep {
    /// For samples of `layout`.
    pub(super) fn new(layout: Layout, profile: Option<&[u8]>) -> Self {
        let channels = channels_of(layout);
        let transform =
            profile.and_then(|p| source_and_target(p, layout)).and_then(|(from, to)| {
                with_intents(|options| {
                    from.create_transform_16bit(channels, &to, channels, options)
                })
            });
        Self { transform, samples: Vec::new(), converted: Vec::new() }
    }

    /// Converts a row: `raw` holds two bytes per sample, in the order `read` takes.
    pub(super) fn row(&mut self, raw: &[u8], read: impl Fn([u8; 2]) -> u16, out: &mut [u8]) {
        self.load(raw, read);
        self.store(out);
    }

    fn load(&mut self, raw: &[u8], read: impl Fn([u8; 2]) -> u16) {
        self.samples.clear();
        self.samples.extend(raw.as_chunks::<2>().0.iter().map(|pair| read(*pair)));
    }

    fn store(&mut self, out: &mut [u8]) {
        let mut samples = &self.samples;
        if let Some(transform) = &self.transform {
            self.converted.resize(self.samples.len(), 0);
            // Fails only for lengths that are no whole pixels, which a row never has.
            if transform.transform(&self.samples, &mut self.converted).is_ok() {
                samples = &self.converted;
            }
        }
        out.iter_mut().zip(samples).for_each(|(to, from)| *to = narrow(*from));
    }
}

/// A whole picture through [`Deep`], in place; the buffer keeps its capacity.
///
/// # Errors
/// [`WrongLength`] unless there are two bytes per sample of the layout.
pub(super) fn deep_to_srgb(
    mut samples: Vec<u8>,
    read: impl Fn([u8; 2]) -> u16,
    size: Size,
    layout: Layout,
    profile: Option<&[u8]>,
) -> Result<Pixels, WrongLength> {
    let count = samples.len() / 2;
    let mut deep = Deep::new(layout, profile);
    let strip = STRIP_PIXELS * layout.channels();
    for first in (0..count).step_by(strip) {
        let length = strip.min(count - first);
        deep.load(samples.get(first * 2..(first + length) * 2).unwrap_or_default(), &read);
        // One byte per sample is written, behind the two that were read.
        deep.store(samples.get_mut(first..first + length).unwrap_or_default());
    }
    samples.truncate(count);
    Pixels::new(size, layout, samples)
}

/// 0–65535 → 0–255, rounded to the nearest: division by 257 as a multiplication, which runs in
/// vector lanes.
#[expect(clippy::cast_possible_truncation, reason = "at most (65535 × 255 + 32895) >> 16 = 255")]
pub(super) fn narrow(sample: u16) -> u8 {
    ((u32::from(sample) * 255 + 32_895) >> 16) as u8
}

fn plain_cmyk(inks: &[u8], rgb: &mut [u8]) {
    for ([c, m, y, k], out) in inks.as_chunks::<4>().0.iter().zip(rgb.as_chunks_mut::<3>().0) {
        let light = u32::from(255 - k);
        *out = [c, m, y].map(|ink| {
            let product = u32::from(255 - ink) * light;
            u8::try_from((product + 127) / 255).unwrap_or(u8::MAX)
        });
    }
}

type Transform<S> = Arc<dyn TransformExecutor<S> + Send + Sync>;

fn cmyk_transform(profile: &[u8]) -> Option<Transform<u8>> {
    let source = parse(profile).filter(|p| p.color_space == DataColorSpace::Cmyk)?;
    let target = ColorProfile::new_srgb();
    with_intents(|options| {
        source.create_transform_8bit(Channels::Rgba, &target, Channels::Rgb, options)
    })
}

/// The perceptual table where the profile has one, else the colorimetric.
fn with_intents<T, E>(create: impl Fn(TransformOptions) -> Result<T, E>) -> Option<T> {
    [RenderingIntent::Perceptual, RenderingIntent::RelativeColorimetric].into_iter().find_map(
        |rendering_intent| {
            create(TransformOptions { rendering_intent, ..TransformOptions::default() }).ok()
        },
    )
}

fn channels_of(layout: Layout) -> Channels {
    match layout {
        Layout::Gray => Channels::Gray,
        Layout::Rgb => Channels::Rgb,
        Layout::Rgba => Channels::Rgba,
    }
}

/// The parsed profile and sRGB's counterpart; `None` where there is nothing to convert: the
/// profile is unsound, of another colour space than the layout, or sRGB itself.
fn source_and_target(profile: &[u8], layout: Layout) -> Option<(ColorProfile, ColorProfile)> {
    let source = parse(profile)?;
    match (layout, source.color_space) {
        (Layout::Gray, DataColorSpace::Gray) => {
            if source.gray_trc.as_ref().is_some_and(is_srgb_curve) {
                return None;
            }
            let mut target = ColorProfile::new_gray_with_gamma(2.2);
            target.gray_trc = ColorProfile::new_srgb().red_trc;
            Some((source, target))
        }
        (Layout::Rgb | Layout::Rgba, DataColorSpace::Rgb) => {
            let by_tables =
                source.lut_a_to_b_perceptual.is_some() || source.lut_a_to_b_colorimetric.is_some();
            if by_tables {
                if is_known_srgb(source.description.as_ref()) {
                    return None;
                }
            } else if is_singular(&source) || is_srgb(&source) {
                return None;
            }
            Some((source, ColorProfile::new_srgb()))
        }
        _ => None,
    }
}

/// What a sound profile calls itself, control characters taken out and cut at 128 characters;
/// `unnamed` where it says nothing.
pub(super) fn name(profile: &[u8]) -> Option<String> {
    const LONGEST: usize = 128;
    let profile = parse(profile)?;
    let name = described(profile.description.as_ref());
    let name: String = name.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    let name = name.trim();
    Some(if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() })
}

fn described(description: Option<&ProfileText>) -> &str {
    let name = match description {
        Some(ProfileText::PlainString(text)) => text.as_str(),
        Some(ProfileText::Localizable(texts)) => {
            texts.first().map_or("", |text| text.value.as_str())
        }
        Some(ProfileText::Description(text)) => text.ascii_string.as_str(),
        None => "",
    };
    name.trim_end_matches('\0')
}

/// `None` for a profile that is cut off, over the limit, or that moxcms refuses.
fn parse(profile: &[u8]) -> Option<ColorProfile> {
    let declared: [u8; 4] = profile.get(..4)?.try_into().ok()?;
    let declared = usize::try_from(u32::from_be_bytes(declared)).ok()?;
    if declared > profile.len() || profile.len() > MAX_PROFILE_BYTES {
        return None;
    }
    let options =
        ParsingOptions { max_profile_size: MAX_PROFILE_BYTES + 1, ..ParsingOptions::default() };
    ColorProfile::new_from_slice_with_options(profile, options).ok()
}

/// Whether the colorants span no volume, so that colours would collapse onto a plane.
fn is_singular(profile: &ColorProfile) -> bool {
    let determinant = profile.colorant_matrix().determinant().unwrap_or(0.0);
    !determinant.is_finite() || determinant.abs() < 1e-3
}

fn is_srgb(profile: &ColorProfile) -> bool {
    let srgb = ColorProfile::new_srgb();
    let near = |a: Xyzd, b: Xyzd| {
        [(a.x, b.x), (a.y, b.y), (a.z, b.z)]
            .into_iter()
            .all(|(a, b)| (a - b).abs() <= SAME_COLORANT)
    };
    near(profile.red_colorant, srgb.red_colorant)
        && near(profile.green_colorant, srgb.green_colorant)
        && near(profile.blue_colorant, srgb.blue_colorant)
        && [&profile.red_trc, &profile.green_trc, &profile.blue_trc]
            .into_iter()
            .all(|curve| curve.as_ref().is_some_and(is_srgb_curve))
}

/// Whether a curve is sRGB's to within one step of 255 everywhere.
fn is_srgb_curve(curve: &ToneReprCurve) -> bool {
    let Ok(curve) = curve.make_linear_evaluator() else { return false };
    (0..=32_u8).all(|step| {
        let encoded = f32::from(step) / 32.0;
        let linear = curve.evaluate_value(encoded);
        let again = if linear <= 0.003_130_8 {
            linear * 12.92
        } else {
            1.055 * linear.powf(1.0 / 2.4) - 0.055
        };
        (again - encoded).abs() <= 1.0 / 255.0
    })
}

/// Table profiles are sRGB only by name: the ICC's own v4 ones re-render the gamut, which nobody
/// wants for pictures that were sRGB all along.
fn is_known_srgb(description: Option<&ProfileText>) -> bool {
    let name = described(description);
    name.starts_with("sRGB v4 ICC")
        || name.starts_with("sRGB_v4_ICC")
        || name == "sRGB IEC61966-2.1"
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn picture(layout: Layout, data: &[u8]) -> Pixels {
        let width = u32::try_from(data.len() / layout.channels()).unwrap();
        Pixels::new(Size::new(width, 1), layout, data.to_vec()).unwrap()
    }

    fn display_p3() -> Vec<u8> {
        ColorProfile::new_display_p3().encode().unwrap()
    }

    #[test]
    fn srgb_itself_leaves_the_samples_alone() {
        let srgb = ColorProfile::new_srgb().encode().unwrap();
        let before = picture(Layout::Rgb, &[255, 0, 0, 1, 2, 3]);
        assert_eq!(to_srgb(before.clone(), &srgb), before);
        assert!(source_and_target(&srgb, Layout::Rgb).is_none());
        assert!(source_and_target(&display_p3(), Layout::Rgb).is_some());
    }

    #[test]
    fn display_p3_reaches_out_to_srgb_and_keeps_alpha_and_greys() {
        // By the two matrices, worked out apart: P3 (204, 102, 51) is sRGB (219, 94, 31).
        let after =
            to_srgb(picture(Layout::Rgba, &[204, 102, 51, 7, 90, 90, 90, 200]), &display_p3());
        let [r, g, b, a, gray @ ..] = after.data() else { panic!("{after:?}") };
        assert!(r.abs_diff(219) <= 1 && g.abs_diff(94) <= 1 && b.abs_diff(31) <= 1, "{r} {g} {b}");
        assert_eq!(*a, 7);
        assert!(gray[..3].iter().all(|v| v.abs_diff(90) <= 1) && gray[3] == 200);
    }

    #[test]
    fn a_grey_profile_converts_grey_and_nothing_else() {
        let linear = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
        let after = to_srgb(picture(Layout::Gray, &[0, 55, 255]), &linear);
        assert_eq!(after.data()[0], 0);
        assert!(after.data()[1].abs_diff(128) <= 2, "{:?}", after.data());
        assert_eq!(after.data()[2], 255);
        let rgb = picture(Layout::Rgb, &[0, 55, 255]);
        assert_eq!(to_srgb(rgb.clone(), &linear), rgb);
        let gray = picture(Layout::Gray, &[55]);
        assert_eq!(to_srgb(gray.clone(), &display_p3()), gray);
    }

    #[test]
    fn a_cut_singular_or_giant_profile_is_passed_over() {
        let whole = display_p3();
        let before = picture(Layout::Rgb, &[204, 102, 51]);
        for end in 0..whole.len() {
            assert_eq!(to_srgb(before.clone(), &whole[..end]), before, "{end}");
        }
        let mut singular = ColorProfile::new_display_p3();
        singular.blue_colorant = singular.red_colorant;
        assert_eq!(to_srgb(before.clone(), &singular.encode().unwrap()), before);
        let mut giant = whole;
        giant.resize(MAX_PROFILE_BYTES + 1, 0);
        assert_eq!(to_srgb(before.clone(), &giant), before);
    }

    #[test]
    fn inks_without_a_profile_follow_the_plain_formula() {
        let inks = vec![0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0, 255, 0, 0, 0, 128];
        let rgb = cmyk_to_rgb(inks, Size::new(5, 1), None).unwrap();
        let expected = [255, 255, 255, 0, 255, 255, 255, 0, 0, 0, 0, 0, 127, 127, 127];
        assert_eq!(rgb.data(), expected);
        assert!(cmyk_to_rgb(vec![0; 5], Size::new(1, 1), None).is_err());
    }

    #[test]
    fn a_large_cmyk_picture_is_converted_in_place_without_mixing_strips() {
        let size = Size::new(300, 40);
        let inks: Vec<u8> =
            (0..12_000_u32).flat_map(|n| [u8::try_from(n % 256).unwrap(), 0, 0, 0]).collect();
        let rgb = cmyk_to_rgb(inks, size, Some(b"no profile")).unwrap();
        for (n, pixel) in rgb.data().chunks_exact(3).enumerate() {
            assert_eq!(pixel, [255 - u8::try_from(n % 256).unwrap(), 255, 255]);
        }
    }

    #[test]
    fn every_sample_of_sixteen_bits_is_rounded_to_the_nearest_of_eight() {
        for sample in 0..=u16::MAX {
            let nearest = (u32::from(sample) * 255 + 32_767) / 65_535;
            assert_eq!(u32::from(narrow(sample)), nearest, "{sample}");
        }
    }

    #[test]
    fn deep_samples_are_rounded_and_converted_in_place() {
        let values: Vec<u16> = (0..30_000_u32).map(|n| u16::try_from(n * 2).unwrap()).collect();
        let bytes = values.iter().flat_map(|v| v.to_be_bytes()).collect();
        let size = Size::new(100, 100);
        let out = deep_to_srgb(bytes, u16::from_be_bytes, size, Layout::Rgb, None).unwrap();
        for (value, byte) in values.iter().zip(out.data()) {
            let exact = f64::from(*value) * 255.0 / 65_535.0;
            assert!((f64::from(*byte) - exact).abs() <= 0.5, "{value} {byte}");
        }
        let p3 = [204_u16, 102, 51].iter().flat_map(|v| (v * 257).to_le_bytes()).collect();
        let out =
            deep_to_srgb(p3, u16::from_le_bytes, Size::new(1, 1), Layout::Rgb, Some(&display_p3()));
        let out = out.unwrap();
        assert!(out.data()[0].abs_diff(219) <= 1, "{:?}", out.data());
    }

    proptest! {
        #[test]
        fn a_mutated_profile_never_panics(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
            base in 0..3_usize,
        ) {
            let mut profile = match base {
                0 => display_p3(),
                1 => ColorProfile::new_gray_with_gamma(1.8).encode().unwrap(),
                _ => ColorProfile::new_adobe_rgb().encode().unwrap(),
            };
            for (at, value) in edits {
                let at = at.index(profile.len());
                profile[at] = value;
            }
            for layout in [Layout::Gray, Layout::Rgb, Layout::Rgba] {
                let _ = to_srgb(picture(layout, &[9; 12]), &profile);
            }
            let _ = cmyk_to_rgb(vec![9; 8], Size::new(2, 1), Some(&profile));
        }
    }
}

//! Wide-gamut and high-dynamic-range colours (CICP) → sRGB. Pictures in sRGB or BT.709 never
//! come here, nor do those with an ICC profile.
//!
//! High dynamic range is brought down by one fixed curve: light is measured in units of
//! diffuse white (203 cd/m², BT.2408), the brightest channel of a pixel is left alone up to
//! half of white and compressed smoothly above so that the display peak (1000 cd/m²) lands on
//! white, and the other two channels are scaled along, which keeps the hue.

use super::convert::Out;
use super::rows::WHITE;
use crate::codec::bmff::property::Cicp;

/// Where compression begins, in units of diffuse white.
const KNEE: f32 = 0.5;
/// Diffuse white in cd/m².
const DIFFUSE_WHITE: f32 = 203.0;
/// The brightest light that keeps its detail, in cd/m².
const PEAK: f32 = 1000.0;
/// Steps of the sRGB encoding table; 12.92 × 255 of them per unit keep errors below ½.
const STEPS: u16 = 1 << 14;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Transfer {
    Srgb,
    Gamma(f32),
    Linear,
    Pq,
    Hlg,
}

type Matrix = [[f32; 3]; 3];

/// BT.2020 → BT.709, both D65.
const FROM_BT2020: Matrix = [
    [1.660_491, -0.587_641, -0.072_85],
    [-0.124_55, 1.132_9, -0.008_35],
    [-0.018_151, -0.100_579, 1.118_73],
];
/// Display P3 → BT.709, both D65.
const FROM_P3: Matrix =
    [[1.224_94, -0.224_94, 0.0], [-0.042_057, 1.042_057, 0.0], [-0.019_638, -0.078_636, 1.098_274]];

/// The way from one kind of colour to sRGB.
#[derive(Debug)]
pub(super) struct ToneMap {
    /// Sample (0 to [`WHITE`]) → light in units of diffuse white.
    light: Vec<f32>,
    /// Luma weights of the scene, for HLG's system gamma.
    hlg: Option<[f32; 3]>,
    compress: bool,
    matrix: Option<Matrix>,
    /// Light (0 to 1 in [`STEPS`] steps) → sRGB.
    encoded: Vec<u8>,
}

impl ToneMap {
    /// `None` where the samples are sRGB already or as good as: BT.709's and BT.601's curves
    /// and primaries are shown by every browser as if they were sRGB's.
    pub(super) fn new(cicp: Cicp) -> Option<Self> {
        let matrix = match cicp.primaries {
            9 => Some(FROM_BT2020),
            11 | 12 => Some(FROM_P3),
            _ => None,
        };
        let transfer = match cicp.transfer {
            4 => Transfer::Gamma(2.2),
            5 => Transfer::Gamma(2.8),
            8 => Transfer::Linear,
            16 => Transfer::Pq,
            18 => Transfer::Hlg,
            _ => Transfer::Srgb,
        };
        if matrix.is_none() && transfer == Transfer::Srgb {
            return None;
        }
        let light = (0..=WHITE).map(|n| transfer.light(f32::from(n) / f32::from(WHITE))).collect();
        let encoded = (0..=STEPS).map(|n| srgb(f32::from(n) / f32::from(STEPS))).collect();
        let weights =
            if cicp.primaries == 9 { [0.2627, 0.678, 0.0593] } else { [0.2126, 0.7152, 0.0722] };
        Some(Self {
            light,
            hlg: (transfer == Transfer::Hlg).then_some(weights),
            compress: matches!(transfer, Transfer::Pq | Transfer::Hlg),
            matrix,
            encoded,
        })
    }

    /// Maps a row of colours; alpha is left alone.
    pub(super) fn row(&self, [r, g, b]: [&[u16]; 3], out: Out<'_>) {
        let colours = r.iter().zip(g).zip(b).map(|((&r, &g), &b)| self.colour([r, g, b]));
        match out {
            Out::Rgb(out) => {
                for (out, colour) in out.as_chunks_mut::<3>().0.iter_mut().zip(colours) {
                    *out = colour;
                }
            }
            Out::Rgba(out) => {
                for ([r, g, b, _], colour) in out.as_chunks_mut::<4>().0.iter_mut().zip(colours) {
                    [*r, *g, *b] = colour;
                }
            }
        }
    }

    /// Maps a row of greys.
    pub(super) fn grey(&self, levels: &[u16], out: &mut [u8]) {
        for (out, &level) in out.iter_mut().zip(levels) {
            [*out, _, _] = self.colour([level; 3]);
        }
    }

    fn colour(&self, samples: [u16; 3]) -> [u8; 3] {
        let mut rgb = samples.map(|n| self.light.get(usize::from(n)).copied().unwrap_or_default());
        if let Some(weights) = self.hlg {
            // BT.2100's reference display at 1000 cd/m²: system gamma 1.2.
            let [r, g, b] = rgb;
            let scene = r * weights[0] + g * weights[1] + b * weights[2];
            let gain = PEAK / DIFFUSE_WHITE * scene.max(1e-6).powf(0.2);
            rgb = rgb.map(|light| light * gain);
        }
        if self.compress {
            let [r, g, b] = rgb;
            let brightest = r.max(g).max(b);
            if brightest > KNEE {
                let gain = compressed(brightest) / brightest;
                rgb = rgb.map(|light| light * gain);
            }
        }
        if let Some(matrix) = &self.matrix {
            let [r, g, b] = rgb;
            rgb = matrix.map(|[kr, kg, kb]| r * kr + g * kg + b * kb);
        }
        rgb.map(|light| self.encode(light))
    }

    #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "clamped")]
    fn encode(&self, light: f32) -> u8 {
        let index = (light.clamp(0.0, 1.0) * f32::from(STEPS) + 0.5) as usize;
        self.encoded.get(index).copied().unwrap_or(255)
    }
}

impl Transfer {
    /// Sample (0–1) → light in units of diffuse white; for HLG the light of the scene (0–1).
    fn light(self, sample: f32) -> f32 {
        match self {
            Self::Srgb if sample <= 0.040_45 => sample / 12.92,
            Self::Srgb => ((sample + 0.055) / 1.055).powf(2.4),
            Self::Gamma(gamma) => sample.powf(gamma),
            Self::Linear => sample,
            Self::Pq => {
                // SMPTE ST 2084.
                let root = sample.powf(32.0 / 2523.0);
                let above = (root - 0.835_937_5).max(0.0);
                let below = 18.851_563 - 18.6875 * root;
                (above / below).powf(16384.0 / 2610.0) * 10_000.0 / DIFFUSE_WHITE
            }
            // ARIB STD-B67.
            Self::Hlg if sample <= 0.5 => sample * sample / 3.0,
            Self::Hlg => {
                let (a, b, c) = (0.178_832_77, 0.284_668_92, 0.559_910_7);
                (((sample - c) / a).exp() + b) / 12.0
            }
        }
    }
}

/// The curve above the knee: slope 1 where it begins, white at the peak.
fn compressed(light: f32) -> f32 {
    let room = 1.0 - KNEE;
    let peak = (PEAK / DIFFUSE_WHITE - KNEE) / room;
    let excess = (light - KNEE) / room;
    let bent = excess * (1.0 + excess / (peak * peak)) / (1.0 + excess);
    (KNEE + room * bent).min(1.0)
}

#[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "light is 0–1")]
fn srgb(light: f32) -> u8 {
    let level =
        if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
    (level * 255.0 + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(primaries: u16, transfer: u16) -> Option<ToneMap> {
        ToneMap::new(Cicp { primaries, transfer, matrix: 9, full_range: true })
    }

    fn sample(level: f32) -> u16 {
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "0–1")]
        {
            (level * f32::from(WHITE)) as u16
        }
    }

    #[test]
    fn srgb_and_its_relatives_pass_untouched() {
        for (primaries, transfer) in [(1, 13), (1, 1), (2, 2), (6, 6), (5, 6)] {
            assert!(map(primaries, transfer).is_none(), "{primaries} {transfer}");
        }
    }

    #[test]
    fn greys_stay_grey_and_white_stays_white_in_wide_gamuts() {
        for primaries in [9, 11, 12] {
            let tone = map(primaries, 13).unwrap();
            for level in [0_u16, 1, 17, 64, 128, 200, 254, 255] {
                let [r, g, b] = tone.colour([level << 6; 3]).map(i32::from);
                let level = i32::from(level);
                assert!((r - level).abs() <= 1 && (r - g).abs() <= 1 && (b - g).abs() <= 1);
            }
        }
    }

    #[test]
    fn wide_primaries_become_more_saturated_in_srgb() {
        let [r, g, b] = map(12, 13).unwrap().colour([sample(0.8), sample(0.4), sample(0.4)]);
        assert!(r > 204 && g < 102 && b < 102, "{r} {g} {b}");
    }

    #[test]
    fn diffuse_white_is_bright_and_the_peak_is_white() {
        let pq = map(9, 16).unwrap();
        // ST 2084: 203 cd/m² at 0.5807, 1000 at 0.7518, 100 at 0.5081.
        let [white, ..] = pq.colour([sample(0.5807); 3]);
        assert!((215..240).contains(&white), "{white}");
        assert!(pq.colour([sample(0.7520); 3]).iter().all(|&n| n >= 254));
        let hlg = map(9, 18).unwrap();
        // BT.2408: diffuse white at 75 %.
        let [hlg_white, ..] = hlg.colour([sample(0.75); 3]);
        assert!(white.abs_diff(hlg_white) < 6, "{white} {hlg_white}");
        assert_eq!(hlg.colour([WHITE; 3]), [255; 3]);
    }

    #[test]
    fn brighter_light_is_never_shown_darker() {
        for transfer in [4, 5, 8, 16, 18] {
            let tone = map(9, transfer).unwrap();
            let shown: Vec<_> = (0..=WHITE).map(|n| tone.colour([n; 3])[1]).collect();
            assert!(shown.is_sorted(), "transfer {transfer}");
        }
    }
}

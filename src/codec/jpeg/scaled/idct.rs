//! Inverse DCT of the lowest coefficients of a block, straight to 4×4, 2×2 or one sample: what the
//! full transform gives, band-limited to the smaller size. In 32-bit floats without fused
//! operations, so that every machine gives the same samples.
#![expect(clippy::inline_always, reason = "a few instructions for each of 100,000s of blocks")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "factors of 32 bits; samples are compared with 0 and 255 first"
)]

/// Coefficients in front of the transform, times [`factor`]: column by column, four each.
pub(super) type Block = [f32; 16];

/// What the coefficient in row `v` and column `u` is multiplied by, beside its quantiser, for a
/// result of `n` samples a side. With orthonormal transforms of eight and of `n` samples, a
/// coefficient of the one is √(n/8) of the other's in each direction.
pub(super) fn factor(n: usize, v: usize, u: usize) -> f32 {
    let one = |k: usize| match (n, k) {
        (1 | 2, _) | (4, 0 | 2) => 0.125_f64.sqrt(),
        // cos(π/8)/2; the other cosine is tan(π/8) times that.
        _ => (std::f64::consts::PI / 8.0).cos() / 2.0,
    };
    (one(u) * one(v)) as f32
}

/// tan(π/8) = √2 − 1.
const TAN: f32 = std::f32::consts::SQRT_2 - 1.0;

/// One direction, four lines at once.
#[inline(always)]
fn pass([a, b, c, d]: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    let mut out = [[0.0; 4]; 4];
    for (line, (((a, b), c), d)) in a.into_iter().zip(b).zip(c).zip(d).enumerate() {
        let (even, odd) = (a + c, a - c);
        let (outer, inner) = (b + TAN * d, TAN * b - d);
        for (row, sample) in
            out.iter_mut().zip([even + outer, odd + inner, odd - inner, even - outer])
        {
            if let Some(place) = row.get_mut(line) {
                *place = sample;
            }
        }
    }
    out
}

#[inline(always)]
const fn transposed([a, b, c, d]: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    [
        [a[0], b[0], c[0], d[0]],
        [a[1], b[1], c[1], d[1]],
        [a[2], b[2], c[2], d[2]],
        [a[3], b[3], c[3], d[3]],
    ]
}

/// 1.5 · 2²³ + 128: a number this large has no bits left for fractions, so that adding it rounds,
/// and the whole number lies in the lowest bits.
const WHOLE: f32 = 12_583_040.0;

/// The bits of 1.5 · 2²³.
const WHOLE_BITS: i32 = 0x4B40_0000;

/// 0–255 from a sample around zero, rounded to even.
#[inline(always)]
const fn sample(value: f32) -> u8 {
    let whole = (value + WHOLE).to_bits().cast_signed().wrapping_sub(WHOLE_BITS);
    // Ord::clamp is no constant function.
    if whole < 0 {
        0
    } else if whole > 255 {
        255
    } else {
        whole as u8
    }
}

/// 4×4 samples, row by row.
#[inline(always)]
pub(super) fn four(block: &Block) -> [[u8; 4]; 4] {
    let [a, b, c, d] = block.as_chunks::<4>().0 else { return [[0; 4]; 4] };
    // Column by column as it lies: the first pass goes along the rows of the picture.
    pass(transposed(pass([*a, *b, *c, *d]))).map(|row| row.map(sample))
}

/// 2×2 samples, row by row.
#[inline(always)]
pub(super) const fn two(block: &Block) -> [[u8; 2]; 2] {
    let (a, c) = (block[0] + block[4], block[0] - block[4]);
    let (b, d) = (block[1] + block[5], block[1] - block[5]);
    [[sample(a + b), sample(c + d)], [sample(a - b), sample(c - d)]]
}

/// One sample.
#[inline(always)]
pub(super) const fn one(block: &Block) -> u8 {
    sample(block[0])
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "sides of at most eight")]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    /// The definition (T.81, A.3.3) for `n` samples a side of the `n` × `n` lowest coefficients,
    /// which are row by row.
    fn by_definition(n: usize, coefficients: &[f64]) -> Vec<u8> {
        let weight =
            |k: usize| if k == 0 { (1.0 / n as f64).sqrt() } else { (2.0 / n as f64).sqrt() };
        let wave = |x: usize, k: usize| {
            weight(k) * ((2 * x + 1) as f64 * k as f64 * PI / (2 * n) as f64).cos()
        };
        let places = (0..n * n).map(|at| (at / n, at % n));
        let scale = n as f64 / 8.0;
        places
            .map(|(y, x)| {
                let sum: f64 = (0..n * n)
                    .map(|at| coefficients[at] * wave(y, at / n) * wave(x, at % n) * scale)
                    .sum();
                (sum + 128.0).round().clamp(0.0, 255.0) as u8
            })
            .collect()
    }

    #[test]
    fn every_size_is_what_the_definition_says() {
        let mut seed = 1_u32;
        let mut random = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(seed >> 16) / 65_536.0 - 0.5
        };
        for n in [1, 2, 4] {
            for round in 0..200 {
                let reach = if round % 2 == 0 { 300.0 } else { 3000.0 };
                let coefficients: Vec<f64> =
                    (0..n * n).map(|_| (random() * reach).round()).collect();
                let mut block = [0.0; 16];
                for (at, coefficient) in coefficients.iter().enumerate() {
                    let (v, u) = (at / n, at % n);
                    block[u * 4 + v] = *coefficient as f32 * factor(n, v, u);
                }
                let found = match n {
                    4 => four(&block).concat(),
                    2 => two(&block).concat(),
                    _ => vec![one(&block)],
                };
                for (found, expected) in found.iter().zip(by_definition(n, &coefficients)) {
                    assert!(found.abs_diff(expected) <= 1, "{n}: {found} {expected}");
                }
            }
        }
    }
}

//! `g=smart`: where a picture is busiest. Edges, colourfulness and skin-like hues of a small
//! proxy are summed into an integral image; the window of the asked shape that holds most of
//! them, weighed towards its own middle, wins. Never detects faces or objects.

use crate::model::pixels::{Layout, Pixels};
use crate::pipeline::plan::WindowRect;

/// Longer side of the proxy: enough to see what draws the eye, little enough to cost nothing.
const PROXY_SIDE: usize = 160;

/// How many places are tried along the free axis.
const STEPS: usize = 64;

/// Moves `window` within `within` (both in pixels of the picture) to the best place.
pub(super) fn place(pixels: &Pixels, within: WindowRect, window: WindowRect) -> WindowRect {
    let longest = within.width.max(within.height).max(1.0);
    let step = (longest / PROXY_SIDE as f64).max(1.0);
    let columns = ((within.width / step) as usize).max(1);
    let rows = ((within.height / step) as usize).max(1);
    let colours = proxy(pixels, within, step, columns, rows);
    let energy = saliency(&colours, columns, rows);
    let (slack_x, slack_y) = (within.width - window.width, within.height - window.height);
    let mut best = (f64::MIN, window);
    for i in 0..=STEPS {
        let t = i as f64 / STEPS as f64;
        let candidate = WindowRect {
            x: within.x + slack_x.max(0.0) * t,
            y: within.y + slack_y.max(0.0) * t,
            ..window
        };
        let score = score(&energy, columns, rows, within, candidate, step);
        // A hair in favour of the middle: an even picture is cropped as `center` would.
        let score = score * (1.0 - 0.02 * (t - 0.5).abs());
        if score > best.0 {
            best = (score, candidate);
        }
    }
    best.1
}

/// Nearest samples on a coarse grid.
fn proxy(
    pixels: &Pixels,
    within: WindowRect,
    step: f64,
    columns: usize,
    rows: usize,
) -> Vec<[f64; 3]> {
    let size = pixels.size();
    let channels = pixels.layout().channels();
    let mut colours = Vec::with_capacity(columns * rows);
    for row in 0..rows {
        let y = (within.y + (row as f64 + 0.5) * step) as usize;
        let y = y.min(size.height as usize - 1);
        for column in 0..columns {
            let x = (within.x + (column as f64 + 0.5) * step) as usize;
            let x = x.min(size.width as usize - 1);
            let at = y * pixels.stride() + x * channels;
            let p = &pixels.data()[at..at + channels];
            let colour = match pixels.layout() {
                Layout::Gray => [f64::from(p[0]); 3],
                Layout::Rgb => [p[0], p[1], p[2]].map(f64::from),
                Layout::Rgba => {
                    let alpha = f64::from(p[3]) / 255.0;
                    [p[0], p[1], p[2]].map(|c| f64::from(c) * alpha)
                }
            };
            colours.push(colour);
        }
    }
    colours
}

fn luma([r, g, b]: [f64; 3]) -> f64 {
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

/// How close a colour is to the direction human skin has in RGB space, 0–1.
fn skin([r, g, b]: [f64; 3]) -> f64 {
    let length = (r * r + g * g + b * b).sqrt();
    if length < 60.0 {
        return 0.0;
    }
    let (dr, dg, db) = (r / length - 0.78, g / length - 0.57, b / length - 0.44);
    let closeness = 1.0 - (dr * dr + dg * dg + db * db).sqrt();
    if closeness > 0.85 { (closeness - 0.85) / 0.15 } else { 0.0 }
}

fn saliency(colours: &[[f64; 3]], columns: usize, rows: usize) -> Vec<f64> {
    let at = |x: usize, y: usize| luma(colours[y * columns + x]);
    let mut energy = Vec::with_capacity(colours.len());
    for y in 0..rows {
        for x in 0..columns {
            let colour = colours[y * columns + x];
            let left = at(x.saturating_sub(1), y);
            let right = at((x + 1).min(columns - 1), y);
            let above = at(x, y.saturating_sub(1));
            let below = at(x, (y + 1).min(rows - 1));
            let edge = (4.0 * at(x, y) - left - right - above - below).abs();
            let high = colour.iter().fold(0.0, |a: f64, b| a.max(*b));
            let low = colour.iter().fold(255.0, |a: f64, b| a.min(*b));
            let saturation = if high > 40.0 { (high - low) / high } else { 0.0 };
            energy.push(edge + 12.0 * saturation * saturation + 40.0 * skin(colour));
        }
    }
    energy
}

/// Energy inside a candidate, weighed by a tent around its middle so that the subject is not
/// left hanging on an edge.
fn score(
    energy: &[f64],
    columns: usize,
    rows: usize,
    within: WindowRect,
    candidate: WindowRect,
    step: f64,
) -> f64 {
    let mut sum = 0.0;
    for row in 0..rows {
        let y = within.y + (row as f64 + 0.5) * step;
        let v = (y - candidate.y) / candidate.height;
        if !(0.0..=1.0).contains(&v) {
            continue;
        }
        for column in 0..columns {
            let x = within.x + (column as f64 + 0.5) * step;
            let u = (x - candidate.x) / candidate.width;
            if (0.0..=1.0).contains(&u) {
                let tent = 1.5 - (u - 0.5).abs() - (v - 0.5).abs();
                sum += energy[row * columns + column] * tent;
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::geometry::Size;

    /// A plain wide picture with a checkered patch around `centre`.
    fn card(centre: usize) -> Pixels {
        let (width, height) = (600usize, 200usize);
        let mut data = vec![90u8; width * height];
        for y in 60..140 {
            for x in centre - 40..centre + 40 {
                data[y * width + x] = if (x / 5 + y / 5) % 2 == 0 { 240 } else { 10 };
            }
        }
        Pixels::new(Size::new(600, 200), Layout::Gray, data).unwrap()
    }

    #[test]
    fn the_window_goes_where_the_detail_is() {
        let within = WindowRect::of(Size::new(600, 200));
        let window = WindowRect { x: 200.0, y: 0.0, width: 200.0, height: 200.0 };
        for centre in [100, 300, 500] {
            let found = place(&card(centre), within, window);
            let middle = found.x + 100.0;
            assert!((middle - centre as f64).abs() < 30.0, "{centre}: {middle}");
        }
    }

    #[test]
    fn an_even_picture_is_cropped_in_the_middle() {
        let pixels = Pixels::new(Size::new(600, 200), Layout::Gray, vec![9; 120_000]).unwrap();
        let within = WindowRect::of(Size::new(600, 200));
        let window = WindowRect { x: 200.0, y: 0.0, width: 200.0, height: 200.0 };
        assert_eq!(place(&pixels, within, window), window);
    }
}

//! The sample pictures of a first run, drawn here so that no photograph has to be shipped or
//! fetched. Deterministic to the byte for one build; never overwrites a file that is already
//! right, so their versions, and with them the stored variants, outlive a restart.

use crate::codec::{self, Encoding};
use crate::model::geometry::Size;
use crate::model::pixels::{Layout, Pixels};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Draws the samples into `folder`, which is made where it is missing, and returns their paths:
///
/// * `card.jpg` (1200×800): a geometry card with named corners, a grid and a circle;
/// * `landscape.jpg` (2400×1600): gradients, texture and fine lettering;
/// * `logo.png` (640×400): transparent around its edges;
/// * `tiles.webp` (600×600): flat colours and hard edges;
/// * `turned.jpg`: the card stored lying on its side, with EXIF orientation 6 to stand it up.
///
/// # Errors
/// What the file system or an encoder said, with the path in question.
pub(super) fn write(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).map_err(|error| named(folder, &error))?;
    let jpeg = Encoding::Jpeg { quality: 88, progressive: false };
    let turned = encode(&turn_left(&card(Size::new(800, 1200))).opaque()?, jpeg)?;
    let pictures = [
        ("card.jpg", encode(&card(Size::new(1200, 800)).opaque()?, jpeg)?),
        ("landscape.jpg", encode(&landscape(Size::new(2400, 1600)).opaque()?, jpeg)?),
        ("logo.png", encode(&logo(Size::new(640, 400)).transparent()?, Encoding::Png)?),
        ("tiles.webp", encode(&tiles(600).opaque()?, Encoding::Webp { quality: 85 })?),
        ("turned.jpg", with_orientation_6(&turned)),
    ];
    let mut paths = Vec::with_capacity(pictures.len());
    for (name, bytes) in pictures {
        let path = folder.join(name);
        if fs::read(&path).ok().as_ref() != Some(&bytes) {
            fs::write(&path, &bytes).map_err(|error| named(&path, &error))?;
        }
        paths.push(path);
    }
    Ok(paths)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn encode(pixels: &Pixels, encoding: Encoding) -> io::Result<Vec<u8>> {
    codec::encode(pixels, encoding).map_err(io::Error::other)
}

/// The JPEG with an APP1 segment behind its start marker that holds one EXIF tag: orientation 6,
/// "turn by 90° clockwise to show".
fn with_orientation_6(jpeg: &[u8]) -> Vec<u8> {
    // Little-endian TIFF: header, one entry (tag 0x0112, type SHORT, count 1, value 6), no next.
    const APP1: &[u8] =
        b"\xFF\xE1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let (start, rest) = jpeg.split_at(jpeg.len().min(2));
    [start, APP1, rest].concat()
}

type Color = [u8; 3];

const WHITE: Color = [255, 255, 255];
const INK: Color = [28, 32, 40];

/// An RGBA drawing surface; whatever falls outside it is dropped.
struct Canvas {
    size: Size,
    data: Vec<[u8; 4]>,
}

impl Canvas {
    fn new(size: Size, fill: [u8; 4]) -> Self {
        Self { size, data: vec![fill; size.width as usize * size.height as usize] }
    }

    /// Lays `color` over a pixel, `cover` 0 (nothing) to 1 (all of it).
    fn blend(&mut self, x: u32, y: u32, color: Color, cover: f32) {
        if x >= self.size.width || y >= self.size.height || cover <= 0.0 {
            return;
        }
        let at = y as usize * self.size.width as usize + x as usize;
        let Some(pixel) = self.data.get_mut(at) else { return };
        let cover = cover.min(1.0);
        let below = f32::from(pixel[3]) / 255.0 * (1.0 - cover);
        let alpha = cover + below;
        for (old, new) in pixel.iter_mut().zip(color) {
            *old = byte((f32::from(new) * cover + f32::from(*old) * below) / alpha);
        }
        pixel[3] = byte(alpha * 255.0);
    }

    fn rectangle(&mut self, x: u32, y: u32, size: Size, color: Color) {
        for row in y..y.saturating_add(size.height).min(self.size.height) {
            for column in x..x.saturating_add(size.width).min(self.size.width) {
                self.blend(column, row, color, 1.0);
            }
        }
    }

    /// A ring between two radii around a point, its edges smoothed; from 0 it is a disc.
    fn ring(&mut self, center: (f32, f32), radii: (f32, f32), color: Color) {
        for y in span(center.1, radii.1, self.size.height) {
            for x in span(center.0, radii.1, self.size.width) {
                let (dx, dy) = (real(x) + 0.5 - center.0, real(y) + 0.5 - center.1);
                let distance = (dx * dx + dy * dy).sqrt();
                let inner = if radii.0 > 0.0 { distance - radii.0 + 0.5 } else { 1.0 };
                self.blend(x, y, color, inner.min(radii.1 - distance + 0.5));
            }
        }
    }

    /// Letters of [`GLYPHS`], each `5 × 7` dots of `dot` pixels, one dot apart.
    fn text(&mut self, x: u32, y: u32, dot: u32, color: Color, text: &str) {
        let mut left = x;
        for letter in text.chars() {
            let rows = GLYPHS.iter().find(|(name, _)| *name == letter).map_or([0; 7], |(_, r)| *r);
            for (row, bits) in (0_u32..).zip(rows) {
                for column in 0..5 {
                    if bits & (0b1_0000 >> column) != 0 {
                        let (x, y) = (left + column * dot, y + row * dot);
                        self.rectangle(x, y, Size::new(dot, dot), color);
                    }
                }
            }
            left += 6 * dot;
        }
    }

    fn opaque(&self) -> io::Result<Pixels> {
        let data = self.data.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]).collect();
        Pixels::new(self.size, Layout::Rgb, data).map_err(io::Error::other)
    }

    fn transparent(&self) -> io::Result<Pixels> {
        Pixels::new(self.size, Layout::Rgba, self.data.concat()).map_err(io::Error::other)
    }
}

/// The corners in four colours and named, a grid of 100 pixels with its distances, a circle that
/// shows distortion, a frame of 4 pixels that shows cropping.
fn card(size: Size) -> Canvas {
    let (w, h) = (size.width, size.height);
    let (half_w, half_h) = (w / 2, h / 2);
    let mut canvas = Canvas::new(size, [255; 4]);
    let quarter = Size::new(half_w, half_h);
    let corners = [
        ("NW", 0, 0, [214, 72, 64]),
        ("NE", half_w, 0, [64, 160, 88]),
        ("SW", 0, half_h, [60, 104, 196]),
        ("SE", half_w, half_h, [232, 184, 56]),
    ];
    for (name, x, y, color) in corners {
        canvas.rectangle(x, y, quarter, color);
        canvas.text(x + half_w / 2 - 55, y + half_h / 2 - 35, 10, WHITE, name);
    }
    for step in 1..w.div_ceil(100) {
        canvas.rectangle(step * 100, 0, Size::new(2, h), WHITE);
        canvas.text(step * 100 + 8, 10, 2, WHITE, &(step * 100).to_string());
    }
    for step in 1..h.div_ceil(100) {
        canvas.rectangle(0, step * 100, Size::new(w, 2), WHITE);
        canvas.text(10, step * 100 + 8, 2, WHITE, &(step * 100).to_string());
    }
    let radius = real(w.min(h)) * 0.45;
    canvas.ring((real(half_w), real(half_h)), (radius - 4.0, radius), INK);
    let frame = [
        (0, 0, w, 4),
        (0, h.saturating_sub(4), w, 4),
        (0, 0, 4, h),
        (w.saturating_sub(4), 0, 4, h),
    ];
    for (x, y, width, height) in frame {
        canvas.rectangle(x, y, Size::new(width, height), INK);
    }
    canvas
}

/// A sky, a sun, four ranges of hills each nearer and rougher than the last, and a sign.
fn landscape(size: Size) -> Canvas {
    let mut canvas = Canvas::new(size, [255; 4]);
    let (w, h) = (real(size.width), real(size.height));
    for y in 0..size.height {
        let down = real(y) / h;
        let sky = mix([86, 142, 210], [250, 214, 178], (down * 1.5).min(1.0));
        for x in 0..size.width {
            let haze = noise(real(x) / 260.0, real(y) / 90.0, 9) * 0.35 * (1.0 - down);
            canvas.blend(x, y, mix(sky, WHITE, haze), 1.0);
        }
    }
    canvas.ring((w * 0.7, h * 0.3), (0.0, h * 0.07), [255, 244, 214]);
    let ranges: [(f32, f32, f32, Color); 4] = [
        (0.50, 0.16, 420.0, [142, 156, 182]),
        (0.58, 0.14, 300.0, [104, 130, 140]),
        (0.68, 0.12, 210.0, [70, 108, 84]),
        (0.80, 0.08, 150.0, [44, 74, 46]),
    ];
    for (seed, (base, swing, period, color)) in (20_u32..).zip(ranges) {
        for x in 0..size.width {
            let fine = noise(real(x) / 12.0, 0.0, seed + 40) * 0.01;
            let crest = (base + (noise(real(x) / period, 0.0, seed) - 0.5) * swing + fine) * h;
            for y in span(crest + h, h, size.height) {
                let grain = noise(real(x) / 3.0, real(y) / 3.0, seed + 80);
                let light = 0.75 + 0.5 * grain * (real(seed) - 19.0) / 4.0;
                let tone = color.map(|channel| byte(f32::from(channel) * light));
                canvas.blend(x, y, tone, (real(y) + 1.0 - crest).min(1.0));
            }
        }
    }
    let (left, top) = (size.width / 12, size.height / 2);
    let board = Size::new(size.width / 4, size.height / 5);
    canvas.rectangle(
        left + board.width / 2 - 12,
        top,
        Size::new(24, board.height * 2),
        [92, 66, 44],
    );
    canvas.rectangle(left, top, board, [236, 226, 204]);
    canvas.text(left + 30, top + 40, 12, INK, "LENSLET");
    for line in 0..6 {
        let words = ["WENT EAST 128 TILES", "SENT WEST 4096 NETS", "LESS IS NEWEST 2400"];
        let text = words.get(line % words.len()).copied().unwrap_or_default();
        let y = top + 160 + u32::try_from(line).unwrap_or_default() * 22;
        canvas.text(left + 30, y, 2, INK, text);
    }
    canvas
}

/// A lens with a highlight and the name, on nothing.
fn logo(size: Size) -> Canvas {
    let mut canvas = Canvas::new(size, [0; 4]);
    let center = (real(size.width) / 2.0, real(size.height) * 0.4);
    let radius = real(size.height) * 0.32;
    canvas.ring(center, (radius * 0.78, radius), [32, 92, 168]);
    canvas.ring(center, (radius * 0.46, radius * 0.66), [72, 160, 216]);
    canvas.ring(center, (0.0, radius * 0.34), [240, 140, 60]);
    let glint = (center.0 - radius * 0.12, center.1 - radius * 0.12);
    canvas.ring(glint, (0.0, radius * 0.08), WHITE);
    let dot = (size.width / 64).max(1);
    let x = (size.width.saturating_sub(41 * dot)) / 2;
    canvas.text(x, size.height.saturating_sub(9 * dot), dot, [32, 92, 168], "LENSLET");
    canvas
}

/// Squares of flat colour in a pattern that repeats nowhere, with dark joints.
fn tiles(side: u32) -> Canvas {
    let palette: [Color; 5] =
        [[38, 70, 83], [42, 157, 143], [233, 196, 106], [244, 162, 97], [231, 111, 81]];
    let mut canvas = Canvas::new(Size::new(side, side), [28, 32, 40, 255]);
    for row in 0..side / 60 {
        for column in 0..side / 60 {
            let pick = hash(column, row, 3) as usize % palette.len();
            let color = palette.get(pick).copied().unwrap_or(WHITE);
            canvas.rectangle(column * 60 + 3, row * 60 + 3, Size::new(54, 54), color);
            if hash(column, row, 4).is_multiple_of(3) {
                let middle = (real(column) * 60.0 + 30.0, real(row) * 60.0 + 30.0);
                canvas.ring(middle, (10.0, 18.0), WHITE);
            }
        }
    }
    canvas
}

/// The picture turned by 90° counter-clockwise, which is how orientation 6 stores it.
fn turn_left(upright: &Canvas) -> Canvas {
    let (w, h) = (upright.size.width as usize, upright.size.height as usize);
    let mut data = Vec::with_capacity(upright.data.len());
    for column in (0..w).rev() {
        data.extend((0..h).filter_map(|row| upright.data.get(row * w + column)).copied());
    }
    Canvas { size: upright.size.transposed(), data }
}

/// The whole numbers from `center − radius` to `center + radius` that lie on a side.
fn span(center: f32, radius: f32, side: u32) -> std::ops::Range<u32> {
    whole(center - radius)..whole(center + radius + 1.0).min(side)
}

fn mix(from: Color, to: Color, share: f32) -> Color {
    std::array::from_fn(|channel| {
        let end = |color: Color| f32::from(color.get(channel).copied().unwrap_or_default());
        byte(end(from) + (end(to) - end(from)) * share)
    })
}

/// Value noise in 0–1: random corners of unit squares, smoothly joined.
fn noise(x: f32, y: f32, seed: u32) -> f32 {
    let (cell_x, cell_y) = (whole(x), whole(y));
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (along, down) = (ease(x - x.floor()), ease(y - y.floor()));
    let corner = |dx, dy| real(hash(cell_x + dx, cell_y + dy, seed) % 1024) / 1023.0;
    let top = corner(0, 0) + (corner(1, 0) - corner(0, 0)) * along;
    let bottom = corner(0, 1) + (corner(1, 1) - corner(0, 1)) * along;
    top + (bottom - top) * down
}

/// Well-mixed bits of a place, by multiplication and shifts.
fn hash(x: u32, y: u32, seed: u32) -> u32 {
    let mut bits = x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA77) ^ seed << 16;
    for _ in 0..2 {
        bits = (bits ^ bits >> 15).wrapping_mul(0x2C1B_3C6D);
    }
    bits ^ bits >> 13
}

#[expect(clippy::cast_precision_loss, reason = "coordinates of a picture are far below 2^24")]
fn real(value: u32) -> f32 {
    value as f32
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn byte(value: f32) -> u8 {
    (value + 0.5) as u8
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn whole(value: f32) -> u32 {
    value.floor() as u32
}

/// Letters and digits, seven rows of five dots, the leftmost in bit 4.
const GLYPHS: [(char, [u8; 7]); 18] = [
    ('0', [0x0E, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0E]),
    ('1', [0x04, 0x0C, 0x04, 0x04, 0x04, 0x04, 0x0E]),
    ('2', [0x0E, 0x11, 0x01, 0x06, 0x08, 0x10, 0x1F]),
    ('3', [0x0E, 0x11, 0x01, 0x06, 0x01, 0x11, 0x0E]),
    ('4', [0x02, 0x06, 0x0A, 0x12, 0x1F, 0x02, 0x02]),
    ('5', [0x1F, 0x10, 0x1E, 0x01, 0x01, 0x11, 0x0E]),
    ('6', [0x06, 0x08, 0x10, 0x1E, 0x11, 0x11, 0x0E]),
    ('7', [0x1F, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08]),
    ('8', [0x0E, 0x11, 0x11, 0x0E, 0x11, 0x11, 0x0E]),
    ('9', [0x0E, 0x11, 0x11, 0x0F, 0x01, 0x02, 0x0C]),
    ('A', [0x0E, 0x11, 0x11, 0x1F, 0x11, 0x11, 0x11]),
    ('E', [0x1F, 0x10, 0x10, 0x1E, 0x10, 0x10, 0x1F]),
    ('I', [0x0E, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0E]),
    ('L', [0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x1F]),
    ('N', [0x11, 0x19, 0x15, 0x13, 0x11, 0x11, 0x11]),
    ('S', [0x0F, 0x10, 0x10, 0x0E, 0x01, 0x01, 0x1E]),
    ('T', [0x1F, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04]),
    ('W', [0x11, 0x11, 0x11, 0x15, 0x15, 0x1B, 0x11]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn at(canvas: &Canvas, x: u32, y: u32) -> [u8; 4] {
        canvas.data[(y * canvas.size.width + x) as usize]
    }

    #[test]
    fn the_card_names_its_corners_by_colour() {
        let card = card(Size::new(1200, 800));
        assert_eq!(at(&card, 30, 60), [214, 72, 64, 255]);
        assert_eq!(at(&card, 1170, 60), [64, 160, 88, 255]);
        assert_eq!(at(&card, 30, 760), [60, 104, 196, 255]);
        assert_eq!(at(&card, 1170, 760), [232, 184, 56, 255]);
        assert_eq!(at(&card, 0, 0), [28, 32, 40, 255], "the frame reaches the edge");
    }

    #[test]
    fn turning_left_puts_the_north_east_corner_at_the_north_west() {
        let upright = card(Size::new(800, 1200));
        let turned = turn_left(&upright);
        assert_eq!(turned.size, Size::new(1200, 800));
        assert_eq!(at(&turned, 0, 799), at(&upright, 0, 0));
        assert_eq!(at(&turned, 60, 30), at(&upright, 769, 60));
    }

    #[test]
    fn the_logo_is_clear_at_its_edge_and_solid_in_its_middle() {
        let logo = logo(Size::new(640, 400));
        assert_eq!(at(&logo, 0, 0), [0; 4]);
        assert_eq!(at(&logo, 320, 160)[3], 255);
        assert!(logo.data.iter().any(|pixel| (1..255).contains(&pixel[3])), "edges are smoothed");
    }

    #[test]
    fn noise_stays_between_its_corners() {
        for step in 0..500 {
            let value = noise(real(step) / 7.0, real(step) / 11.0, 5);
            assert!((0.0..=1.0).contains(&value), "{value} at step {step}");
        }
    }

    #[test]
    fn the_orientation_segment_says_its_own_length() {
        let spliced = with_orientation_6(&[0xFF, 0xD8, 0xFF, 0xDB]);
        let length = usize::from(u16::from_be_bytes([spliced[4], spliced[5]]));
        assert_eq!(spliced[..4], [0xFF, 0xD8, 0xFF, 0xE1]);
        assert_eq!(spliced[4 + length..], [0xFF, 0xDB], "the next marker follows");
    }

    #[test]
    fn samples_are_images_of_the_announced_size_and_are_left_alone_when_right() {
        let folder = tempfile::tempdir().unwrap();
        let paths = write(folder.path()).unwrap();
        let sizes = paths.iter().map(|path| {
            let header = codec::probe(&fs::read(path).unwrap()).unwrap();
            header.display_size().to_string()
        });
        let expected = ["1200x800", "2400x1600", "640x400", "600x600", "800x1200"];
        assert_eq!(sizes.collect::<Vec<_>>(), expected);

        let modified = |path: &PathBuf| fs::metadata(path).unwrap().modified().unwrap();
        let before: Vec<_> = paths.iter().map(modified).collect();
        assert_eq!(write(folder.path()).unwrap(), paths);
        assert_eq!(paths.iter().map(modified).collect::<Vec<_>>(), before);
    }
}

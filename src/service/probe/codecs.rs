//! Every codec, once there and back with one pixel: a library that does not work on this machine is
//! found before the first request.

use super::Checks;
use crate::codec::{self, Encoding};
use crate::model::geometry::Size;
use crate::model::pixels::{Layout, Pixels};
use crate::model::source::Scale;

/// One of each format, on the side that loses least.
const ALL: [(&str, Encoding); 5] = [
    ("jpeg", Encoding::Jpeg { quality: 90, progressive: false }),
    ("png", Encoding::Png),
    ("webp", Encoding::WebpLossless),
    ("avif", Encoding::Avif { quality: 90 }),
    ("gif", Encoding::Gif),
];

/// A colour no codec confuses with nothing.
const PIXEL: [u8; 3] = [200, 120, 40];

/// How far a lossy codec may be off, per sample.
const TOLERANCE: u8 = 24;

pub(super) async fn check(checks: &mut Checks<'_>) {
    for (name, encoding) in ALL {
        checks.run(name, async { there_and_back(encoding) }).await;
    }
}

fn there_and_back(encoding: Encoding) -> Result<String, String> {
    let pixel = Pixels::new(Size::new(1, 1), Layout::Rgb, PIXEL.to_vec());
    let pixel = pixel.map_err(|error| error.to_string())?;
    let bytes = codec::encode(&pixel, encoding).map_err(|error| error.to_string())?;
    let header = codec::probe(&bytes).map_err(|error| error.to_string())?;
    let back = codec::decode(&bytes, &header, Scale::Full).map_err(|error| error.to_string())?;
    let near = back.data().len() >= PIXEL.len()
        && back.data().iter().zip(PIXEL).all(|(one, other)| one.abs_diff(other) <= TOLERANCE);
    if near {
        Ok(format!("one pixel, {} bytes, there and back", bytes.len()))
    } else {
        Err(format!("the pixel {PIXEL:?} came back as {:?}", back.data()))
    }
}

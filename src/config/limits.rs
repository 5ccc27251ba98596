//! Settings of what one picture may cost, as the pure floors take them. Holds no numbers: the
//! defaults are in `config/default.env`.

use super::read::Reader;
use super::values;
use crate::model::limits::Limits;
use crate::model::units::{ByteSize, PixelCount};
use serde::Deserialize;

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the fields are the names of the settings")]
struct LimitVars {
    #[serde(deserialize_with = "values::bytes::<1_024, 4_294_967_296, _>")]
    max_source_bytes: ByteSize,
    #[serde(deserialize_with = "values::pixels::<1, 1_000_000_000, _>")]
    max_source_pixels: PixelCount,
    #[serde(deserialize_with = "values::whole::<1, 65_535, _>")]
    max_output_side: u32,
    #[serde(deserialize_with = "values::whole::<1, 10_000, _>")]
    max_frames: u32,
    #[serde(deserialize_with = "values::pixels::<1, 1_000_000_000, _>")]
    max_avif_pixels: PixelCount,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Limits> {
    reader.read::<LimitVars>().map(|vars| Limits {
        source_bytes: vars.max_source_bytes,
        source_pixels: vars.max_source_pixels,
        output_side: vars.max_output_side,
        frames: vars.max_frames,
        avif_pixels: vars.max_avif_pixels,
    })
}

//! The thin layer over libwebp: every length is checked here before a pointer leaves. Knows
//! nothing of containers, colour profiles or the service's quality scale.
#![expect(unsafe_code, reason = "libwebp is a C library")]

use crate::codec::buffers;
use crate::model::geometry::Size;
use crate::model::pixels::Layout;
use crate::model::source::Scale;
use libwebp_sys as sys;
use std::ffi::{c_int, c_void};

/// Encoding effort of lossy pictures: method 4 costs 2.4 times as much for 3 % of bytes.
const LOSSY_METHOD: c_int = 2;
/// Effort of lossless pictures: method 1, quality 20 in libwebp's table of presets. A photo of
/// 800 × 600 takes 24 / 92 / 136 / 210 ms at levels 0 to 3 and shrinks by 5, 2 and 2 % at each
/// step; drawings shrink by 29 % from level 0 to 1 and by 5 % after that.
const LOSSLESS_LEVEL: c_int = 1;

/// How the bytes handed to [`encode`] are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channels {
    /// Three bytes per pixel.
    Rgb,
    /// Four bytes per pixel, the fourth skipped.
    RgbOfRgba,
    /// Four bytes per pixel.
    Rgba,
}

impl Channels {
    const fn bytes(self) -> usize {
        match self {
            Self::Rgb => 3,
            Self::RgbOfRgba | Self::Rgba => 4,
        }
    }
}

/// Version of the linked library, such as `1.6.0`.
pub(in crate::codec) fn version() -> String {
    // SAFETY: takes nothing and only returns a constant.
    let packed = unsafe { sys::WebPGetDecoderVersion() };
    format!("{}.{}.{}", packed >> 16 & 0xFF, packed >> 8 & 0xFF, packed & 0xFF)
}

/// Decodes one whole bitstream (with or without its RIFF header) of exactly `size` into `out`,
/// whose rows lie `stride` bytes apart. `layout` is RGB or RGBA; RGB drops alpha. At a `scale`
/// that divides both sides libwebp's own scaler takes the means of the blocks of each plane.
///
/// # Errors
/// What is wrong, in words: damaged, cut off, another size, buffer too short.
pub(super) fn decode_into(
    data: &[u8],
    size: Size,
    scale: Scale,
    layout: Layout,
    out: &mut [u8],
    stride: usize,
) -> Result<(), String> {
    let stored = size;
    let size = scale.apply(size);
    let colorspace = match layout {
        Layout::Rgba => sys::WEBP_CSP_MODE::MODE_RGBA,
        Layout::Rgb => sys::WEBP_CSP_MODE::MODE_RGB,
        Layout::Gray => return Err("a WebP picture is never grey".to_owned()),
    };
    let row = size.width as usize * layout.channels();
    let needed = stride
        .checked_mul(size.height as usize - 1)
        .and_then(|above| above.checked_add(row))
        .ok_or("the picture is too large")?;
    if stride < row || out.len() < needed {
        return Err(format!("{} bytes of room, {needed} needed", out.len()));
    }
    let mut config = sys::WebPDecoderConfig::new()
        .map_err(|()| "libwebp has another ABI than its bindings".to_owned())?;
    config.output.colorspace = colorspace;
    if scale != Scale::Full {
        let n = scale.denominator();
        if size.width * n != stored.width || size.height * n != stored.height {
            return Err(format!("{stored} cannot be divided by {n}"));
        }
        let int = |side: u32| c_int::try_from(side).map_err(|error| error.to_string());
        config.options.use_scaling = 1;
        config.options.scaled_width = int(size.width)?;
        config.options.scaled_height = int(size.height)?;
    }
    config.output.is_external_memory = 1;
    config.output.u.RGBA = sys::WebPRGBABuffer {
        rgba: out.as_mut_ptr(),
        stride: c_int::try_from(stride).map_err(|error| error.to_string())?,
        size: out.len(),
    };
    // SAFETY: `data` and `out` outlive the call; libwebp checks the bitstream's size against
    // the stride and the length of the external buffer before it writes, and frees only what
    // it allocated itself.
    let status = unsafe { sys::WebPDecode(data.as_ptr(), data.len(), &raw mut config) };
    match status {
        sys::VP8StatusCode::VP8_STATUS_OK => {}
        sys::VP8StatusCode::VP8_STATUS_NOT_ENOUGH_DATA
        | sys::VP8StatusCode::VP8_STATUS_SUSPENDED => {
            return Err("the data are cut off".to_owned());
        }
        sys::VP8StatusCode::VP8_STATUS_OUT_OF_MEMORY => return Err("out of memory".to_owned()),
        sys::VP8StatusCode::VP8_STATUS_UNSUPPORTED_FEATURE => {
            return Err("the bitstream uses an unknown feature".to_owned());
        }
        _ => return Err("the bitstream is damaged".to_owned()),
    }
    let (width, height) = (config.input.width, config.input.height);
    let same =
        u32::try_from(width) == Ok(stored.width) && u32::try_from(height) == Ok(stored.height);
    if same { Ok(()) } else { Err(format!("the bitstream is {width}x{height}, not {stored}")) }
}

/// A `WebPPicture` that frees what libwebp hung on it.
struct Picture(sys::WebPPicture);

impl Drop for Picture {
    fn drop(&mut self) {
        // SAFETY: the structure was initialised by WebPPictureInit; freeing an empty one is
        // allowed.
        unsafe { sys::WebPPictureFree(&raw mut self.0) }
    }
}

/// Encodes `data` (tightly packed rows), lossy at `quality` 1–100 or lossless for `None`, with
/// one thread. Allocates libwebp's planes (1.5 to 4 bytes per pixel) and the result.
///
/// # Errors
/// libwebp's reason in words.
pub(super) fn encode(
    data: &[u8],
    size: Size,
    channels: Channels,
    quality: Option<u8>,
) -> Result<Vec<u8>, String> {
    let int = |n: u32| c_int::try_from(n).map_err(|error| error.to_string());
    let stride = int(size.width)?
        .checked_mul(if channels.bytes() == 3 { 3 } else { 4 })
        .ok_or("the row is too long")?;
    let needed = size.pixels().checked_mul(channels.bytes() as u64);
    if needed != Some(data.len() as u64) {
        return Err(format!("{} bytes are not a picture of {size}", data.len()));
    }
    let import = match channels {
        Channels::Rgb => sys::WebPPictureImportRGB,
        Channels::RgbOfRgba => sys::WebPPictureImportRGBX,
        Channels::Rgba => sys::WebPPictureImportRGBA,
    };
    write(size, quality, |picture| {
        // SAFETY: `data` holds height × stride bytes, checked above, and is only read.
        unsafe { import(picture, data.as_ptr(), stride) != 0 }
    })
}

/// Encodes Y, Cb and Cr of a 4:2:0 picture in WebP's own range (BT.601, 16–235 and 16–240) at
/// `quality` 1–100, with one thread and without copying them. Each comes with the samples in a
/// row. Allocates the result.
///
/// # Errors
/// libwebp's reason in words, or ours for planes too short.
pub(super) fn encode_planes(
    planes: [(&[u8], u32); 3],
    size: Size,
    quality: u8,
) -> Result<Vec<u8>, String> {
    let [y, cb, cr] = planes;
    let half = Size::new(size.width.div_ceil(2), size.height.div_ceil(2));
    for ((samples, stride), size) in [(y, size), (cb, half), (cr, half)] {
        let needed = u64::from(stride)
            .saturating_mul(u64::from(size.height.saturating_sub(1)))
            .saturating_add(u64::from(size.width));
        if stride < size.width || (samples.len() as u64) < needed {
            return Err(format!("{} samples are no plane of {size}", samples.len()));
        }
    }
    if cb.1 != cr.1 {
        return Err("planes of chroma that differ".to_owned());
    }
    let int = |n: u32| c_int::try_from(n).map_err(|error| error.to_string());
    let (y_stride, uv_stride) = (int(y.1)?, int(cb.1)?);
    write(size, Some(quality), |picture| {
        picture.colorspace = sys::WebPEncCSP::WEBP_YUV420;
        // libwebp frees only planes of its own, which it keeps by another pointer, and writes to
        // planes only to smooth what alpha hides; there is none.
        (picture.y, picture.y_stride) = (y.0.as_ptr().cast_mut(), y_stride);
        (picture.u, picture.v) = (cb.0.as_ptr().cast_mut(), cr.0.as_ptr().cast_mut());
        picture.uv_stride = uv_stride;
        true
    })
}

/// Fills a picture of `size` in by `fill` and encodes it.
fn write(
    size: Size,
    quality: Option<u8>,
    fill: impl FnOnce(&mut sys::WebPPicture) -> bool,
) -> Result<Vec<u8>, String> {
    let int = |n: u32| c_int::try_from(n).map_err(|error| error.to_string());
    let config = configuration(quality)?;
    // Photographs stay below two bits a pixel; what does not makes the buffer grow.
    let expected = usize::try_from(size.pixels() / 4).map_err(|error| error.to_string())?;
    let mut out = buffers::room(expected).map_err(|error| error.to_string())?;
    let mut picture = Picture(
        sys::WebPPicture::new()
            .map_err(|()| "libwebp has another ABI than its bindings".to_owned())?,
    );
    picture.0.use_argb = c_int::from(quality.is_none());
    picture.0.width = int(size.width)?;
    picture.0.height = int(size.height)?;
    picture.0.writer = Some(append);
    picture.0.custom_ptr = (&raw mut out).cast::<c_void>();
    // SAFETY: `fill` has given the picture planes of its size, libwebp's own or the caller's, which
    // outlive the call; `out` lives until after the last call that can write to it and is not
    // touched in between.
    let done = fill(&mut picture.0)
        && unsafe { sys::WebPEncode(&raw const config, &raw mut picture.0) != 0 };
    if !done {
        return Err(format!("{:?}", picture.0.error_code));
    }
    drop(picture);
    let result = out.as_slice().to_vec();
    buffers::give_back(out);
    Ok(result)
}

fn configuration(quality: Option<u8>) -> Result<sys::WebPConfig, String> {
    let mut config = sys::WebPConfig::new()
        .map_err(|()| "libwebp has another ABI than its bindings".to_owned())?;
    if let Some(quality) = quality {
        config.quality = f32::from(quality);
        config.method = LOSSY_METHOD;
    } else {
        // SAFETY: the structure is initialised and the call only writes to its fields.
        if unsafe { sys::WebPConfigLosslessPreset(&raw mut config, LOSSLESS_LEVEL) } == 0 {
            return Err(format!("no lossless preset {LOSSLESS_LEVEL}"));
        }
    }
    config.thread_level = 0;
    config.exact = 0;
    Ok(config)
}

/// libwebp's writer: appends to the `Vec` behind `custom_ptr`. Returns 0 where memory is short.
unsafe extern "C" fn append(
    data: *const u8,
    len: usize,
    picture: *const sys::WebPPicture,
) -> c_int {
    if len == 0 {
        return 1;
    }
    // SAFETY: libwebp calls with the picture it was given, whose `custom_ptr` is the `Vec` of
    // `encode`, and with `len` readable bytes; nobody else holds the `Vec` meanwhile.
    let (out, bytes) = unsafe {
        (&mut *(*picture).custom_ptr.cast::<Vec<u8>>(), std::slice::from_raw_parts(data, len))
    };
    if out.try_reserve(len).is_err() {
        return 0;
    }
    out.extend_from_slice(bytes);
    1
}

//! The thin layer over libaom's encoder: one still picture in, one AV1 stream out, on the
//! calling thread so that bytes never depend on the machine. Knows nothing of the container.
#![expect(unsafe_code, reason = "libaom is a C library")]

use super::planes::{Chroma, Format};
use libaom_sys as sys;
use std::ffi::{CStr, c_int};
use std::mem::zeroed;
use std::ptr::{null, null_mut};

/// libaom's fastest setting for stills; slower ones cost 3 to 9 times as much for 10 %.
const SPEED: c_int = 9;

// H.273 code points of everything written here.
/// BT.709 primaries, which are sRGB's.
pub(super) const PRIMARIES: c_int = 1;
/// sRGB's transfer.
pub(super) const TRANSFER: c_int = 13;
const MATRIX_IDENTITY: c_int = 0;
const MATRIX_BT601: c_int = 6;

/// Version of the linked library.
pub(in crate::codec) fn version() -> String {
    // SAFETY: libaom returns a static NUL-terminated string.
    let text = unsafe { CStr::from_ptr(sys::aom_codec_version_str()) };
    text.to_string_lossy().trim_start_matches('v').to_owned()
}

/// The rows of a plane, `stride` samples apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plane<'a> {
    pub(super) samples: &'a [u8],
    pub(super) stride: u32,
}

/// 8-bit planes: full range, BT.601 where there is chroma (G, B, R where
/// it is not subsampled).
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    /// What they are; 4:0:0, 4:2:0 or 4:4:4 at 8 bits.
    pub(super) format: Format,
    /// Luma or green.
    pub(super) y: Plane<'a>,
    /// Cb or blue; for 4:0:0 as long as for 4:2:0, its content without effect.
    pub(super) u: Plane<'a>,
    /// Cr or red; the same.
    pub(super) v: Plane<'a>,
}

/// An encoder, destroyed when dropped.
struct Encoder(Box<sys::aom_codec_ctx_t>);

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: initialised by aom_codec_enc_init_ver and destroyed only here.
        unsafe { sys::aom_codec_destroy(&raw mut *self.0) };
    }
}

impl Encoder {
    fn check(&self, code: sys::aom_codec_err_t) -> Result<(), String> {
        if code == sys::AOM_CODEC_OK {
            return Ok(());
        }
        // SAFETY: both functions return static strings or null.
        let (short, detail) = unsafe {
            (sys::aom_codec_err_to_string(code), sys::aom_codec_error_detail(&raw const *self.0))
        };
        let text = if detail.is_null() { short } else { detail };
        // SAFETY: not null and NUL-terminated; `detail` is valid until the next call.
        Err(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    }

    fn set(&mut self, control: sys::aome_enc_control_id, value: c_int) -> Result<(), String> {
        let control = c_int::try_from(control).map_err(|error| error.to_string())?;
        // SAFETY: the encoder is initialised and every control set here takes one int.
        let code = unsafe { sys::aom_codec_control(&raw mut *self.0, control, value) };
        self.check(code)
    }
}

/// Encodes at `quality` 1–100 on libavif's scale, or without loss for `None`. Allocates
/// libaom's working set (some 12 bytes per pixel) and the result.
///
/// # Errors
/// libaom's words, or which plane has the wrong length.
pub(super) fn encode(source: &Source<'_>, quality: Option<u8>) -> Result<Vec<u8>, String> {
    let image = image(source)?;
    let mut encoder = open(source.format)?;
    let identity = source.format.chroma == Chroma::Full;
    encoder.set(sys::AOME_SET_CPUUSED, SPEED)?;
    // The filtered picture would only be a reference for frames that never come.
    encoder.set(sys::AV1E_SET_SKIP_POSTPROC_FILTERING, 1)?;
    if let Some(quality) = quality {
        encoder.set(sys::AOME_SET_CQ_LEVEL, quantizer(quality))?;
        encoder.set(sys::AV1E_SET_ENABLE_QM, 1)?;
        encoder.set(sys::AV1E_SET_QM_MIN, 2)?;
        encoder.set(sys::AV1E_SET_QM_MAX, 10)?;
        encoder.set(sys::AOME_SET_SHARPNESS, 7)?;
    } else {
        encoder.set(sys::AOME_SET_CQ_LEVEL, 0)?;
        encoder.set(sys::AV1E_SET_LOSSLESS, 1)?;
    }
    encoder.set(sys::AV1E_SET_COLOR_PRIMARIES, PRIMARIES)?;
    encoder.set(sys::AV1E_SET_TRANSFER_CHARACTERISTICS, TRANSFER)?;
    let matrix = if identity { MATRIX_IDENTITY } else { MATRIX_BT601 };
    encoder.set(sys::AV1E_SET_MATRIX_COEFFICIENTS, matrix)?;
    encoder.set(sys::AV1E_SET_COLOR_RANGE, 1)?;

    let mut stream = Vec::new();
    // SAFETY: the image's planes point into `source`, whose lengths `image` has checked, and
    // libaom only reads them during the call.
    let code = unsafe { sys::aom_codec_encode(&raw mut *encoder.0, &raw const image, 0, 1, 0) };
    encoder.check(code)?;
    collect(&mut encoder, &mut stream)?;
    // SAFETY: no image means the end of the stream.
    let code = unsafe { sys::aom_codec_encode(&raw mut *encoder.0, null(), 0, 1, 0) };
    encoder.check(code)?;
    collect(&mut encoder, &mut stream)?;
    // An AVIF item carries no temporal delimiter (AV1-ISOBMFF §2.4).
    if stream.starts_with(&[0x12, 0x00]) {
        stream.drain(..2);
    }
    if stream.is_empty() { Err("libaom wrote nothing".to_owned()) } else { Ok(stream) }
}

/// libavif's map of 0–100 to libaom's 63–0.
fn quantizer(quality: u8) -> c_int {
    ((100 - c_int::from(quality.min(100))) * 63 + 50) / 100
}

fn open(format: Format) -> Result<Encoder, String> {
    // SAFETY: takes nothing and returns a static interface.
    let interface = unsafe { sys::aom_codec_av1_cx() };
    // SAFETY: all zeros is a valid value of this plain C structure.
    let mut config: sys::aom_codec_enc_cfg_t = unsafe { zeroed() };
    // SAFETY: the interface is valid and the structure ours to fill.
    let code = unsafe {
        sys::aom_codec_enc_config_default(interface, &raw mut config, sys::AOM_USAGE_ALL_INTRA)
    };
    if code != sys::AOM_CODEC_OK {
        return Err(format!("libaom has no all-intra configuration ({code})"));
    }
    config.g_w = format.size.width;
    config.g_h = format.size.height;
    config.g_threads = 1;
    config.g_limit = 1;
    config.g_lag_in_frames = 0;
    config.g_bit_depth = sys::AOM_BITS_8;
    config.g_input_bit_depth = 8;
    config.g_profile = u32::from(format.chroma == Chroma::Full);
    config.monochrome = u32::from(format.chroma == Chroma::None);
    config.rc_end_usage = sys::AOM_Q;
    config.rc_min_quantizer = 0;
    config.rc_max_quantizer = 63;
    config.kf_mode = sys::AOM_KF_DISABLED;
    config.kf_max_dist = 0;
    // SAFETY: all zeros is a valid value of this plain C structure.
    let mut context: Box<sys::aom_codec_ctx_t> = Box::new(unsafe { zeroed() });
    let abi = c_int::try_from(sys::AOM_ENCODER_ABI_VERSION).unwrap_or(0);
    // SAFETY: all pointers are valid; the context is boxed because libaom keeps its address.
    let code = unsafe {
        sys::aom_codec_enc_init_ver(&raw mut *context, interface, &raw const config, 0, abi)
    };
    if code == sys::AOM_CODEC_OK {
        return Ok(Encoder(context));
    }
    // SAFETY: libaom returns a static NUL-terminated string for every code.
    let text = unsafe { CStr::from_ptr(sys::aom_codec_err_to_string(code)) };
    Err(text.to_string_lossy().into_owned())
}

/// Describes the planes to libaom, having checked that each is as long as it has to be.
fn image(source: &Source<'_>) -> Result<sys::aom_image_t, String> {
    let Source { format, y, u, v } = *source;
    let layout = match format.chroma {
        // libaom wants chroma planes to be there even where it ignores them.
        Chroma::None => Format { chroma: Chroma::Quarter, ..format },
        _ => format,
    };
    let mut strides = [0; 3];
    for (index, (plane, stride)) in [y, u, v].into_iter().zip(&mut strides).enumerate() {
        let size = layout.plane(index).ok_or("no such plane")?;
        let needed = u64::from(plane.stride)
            .saturating_mul(u64::from(size.height.saturating_sub(1)))
            .saturating_add(u64::from(size.width));
        if plane.stride < size.width || (plane.samples.len() as u64) < needed {
            return Err(format!("plane {index} has {} bytes, not {size}", plane.samples.len()));
        }
        *stride = c_int::try_from(plane.stride).map_err(|error| error.to_string())?;
    }
    let shift = u32::from(layout.chroma == Chroma::Quarter);
    // SAFETY: all zeros is a valid value of this plain C structure.
    let mut image: sys::aom_image_t = unsafe { zeroed() };
    image.fmt = if shift == 1 { sys::AOM_IMG_FMT_I420 } else { sys::AOM_IMG_FMT_I444 };
    image.monochrome = c_int::from(format.chroma == Chroma::None);
    image.range = sys::AOM_CR_FULL_RANGE;
    (image.w, image.h) = (format.size.width, format.size.height);
    (image.d_w, image.d_h) = (image.w, image.h);
    image.bit_depth = 8;
    image.bps = if shift == 1 { 12 } else { 24 };
    (image.x_chroma_shift, image.y_chroma_shift) = (shift, shift);
    // libaom's image type is shared with its decoder and therefore mutable; the encoder writes
    // to planes only when it denoises, which is off.
    image.planes = [y, u, v].map(|plane| plane.samples.as_ptr().cast_mut());
    image.stride = strides;
    Ok(image)
}

fn collect(encoder: &mut Encoder, stream: &mut Vec<u8>) -> Result<(), String> {
    let mut place: sys::aom_codec_iter_t = null_mut();
    loop {
        // SAFETY: the encoder is initialised; `place` is libaom's to advance.
        let packet = unsafe { sys::aom_codec_get_cx_data(&raw mut *encoder.0, &raw mut place) };
        if packet.is_null() {
            return Ok(());
        }
        // SAFETY: not null and valid until the next call on the encoder; the union holds a
        // frame when the kind says so, and then `buf` has `sz` bytes.
        let bytes = unsafe {
            if (*packet).kind != sys::AOM_CODEC_CX_FRAME_PKT || (*packet).data.frame.sz == 0 {
                continue;
            }
            let frame = (*packet).data.frame;
            std::slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz)
        };
        stream.try_reserve(bytes.len()).map_err(|error| error.to_string())?;
        stream.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_maps_to_the_quantizer_as_in_libavif() {
        assert_eq!([100, 99, 80, 65, 50, 1].map(quantizer), [0, 1, 13, 22, 32, 62]);
    }
}

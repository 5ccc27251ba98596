//! The thin layer over dav1d: one still picture out of one AV1 stream, on the calling thread.
//! Never decodes a picture larger than promised nor a stream of more frames than a still needs.
#![expect(unsafe_code, reason = "dav1d is a C library")]

use super::planes::{Chroma, Format};
use crate::codec::DecodeError;
use crate::codec::bmff::broken;
use crate::codec::bmff::property::Cicp;
use crate::model::geometry::Size;
use libdav1d_sys as sys;
use std::ffi::{CStr, c_int, c_void};
use std::mem::{MaybeUninit, zeroed};
use std::ptr::{NonNull, null_mut};

/// Frames of a still picture at most: four spatial layers are the most AV1 can hold, and each
/// may refer to a hidden frame. More would be a way to buy decoding time with a few bytes.
const MAX_FRAMES: usize = 8;

/// Version of the linked library.
pub(in crate::codec) fn version() -> String {
    // SAFETY: dav1d returns a static NUL-terminated string.
    unsafe { CStr::from_ptr(sys::dav1d_version()) }.to_string_lossy().into_owned()
}

/// A decoder, closed when dropped.
struct Decoder(*mut sys::Dav1dContext);

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: opened by dav1d_open and closed only here.
        unsafe { sys::dav1d_close(&raw mut self.0) }
    }
}

/// Input, released when dropped. dav1d holds it no longer than its decoder lives.
struct Input(sys::Dav1dData);

impl Drop for Input {
    fn drop(&mut self) {
        // SAFETY: zeroed or filled by dav1d_data_wrap; unref of an empty one is allowed.
        unsafe { sys::dav1d_data_unref(&raw mut self.0) }
    }
}

/// A decoded picture; the planes belong to dav1d and are released when it is dropped.
pub(super) struct Picture {
    raw: sys::Dav1dPicture,
    /// What the planes are; sizes and depth are checked.
    pub(super) format: Format,
    /// What the bitstream says of its samples.
    pub(super) cicp: Cicp,
}

impl Drop for Picture {
    fn drop(&mut self) {
        // SAFETY: filled by dav1d_get_picture and released only here.
        unsafe { sys::dav1d_picture_unref(&raw mut self.raw) }
    }
}

impl Picture {
    /// Samples of a plane from its first to its last row and the distance of rows in samples.
    /// `None` unless samples are as wide as `S` and the picture has the plane.
    pub(super) fn plane<S: super::planes::Sample>(&self, index: usize) -> Option<(&[S], usize)> {
        let width = size_of::<S>();
        if (self.format.depth > 8) != (width == 2) {
            return None;
        }
        let size = self.format.plane(index)?;
        let data = NonNull::new(self.raw.data.get(index)?.cast::<S>())?;
        let stride = usize::try_from(*self.raw.stride.get(usize::from(index > 0))?).ok()?;
        let (columns, rows) = (size.width as usize, size.height as usize);
        if !data.is_aligned() || !stride.is_multiple_of(width) || stride / width < columns {
            return None;
        }
        let stride = stride / width;
        let length = stride.checked_mul(rows - 1)?.checked_add(columns)?;
        // SAFETY: dav1d's own allocator made a plane of `rows` rows that begin `stride` samples
        // apart, each at least `columns` long (checked against the stride); it lives and is
        // not written to until the picture is dropped. Every bit pattern is a sample.
        Some((unsafe { std::slice::from_raw_parts(data.as_ptr(), length) }, stride))
    }
}

/// Decodes the picture of `stream`, which has to be of exactly `size`; `layer` asks for one
/// spatial layer instead of the best. Memory: dav1d's, two pictures and some per cent.
///
/// # Errors
/// [`DecodeError::Broken`] for damaged or missing data, another size, too many frames.
pub(super) fn decode(
    stream: &[u8],
    size: Size,
    operating_point: u8,
    layer: Option<u8>,
) -> Result<Picture, DecodeError> {
    if frames(stream) > MAX_FRAMES {
        return Err(broken(format!("more than {MAX_FRAMES} frames in a still picture")));
    }
    let decoder = open(size, operating_point, layer.is_some())?;
    let mut input = wrap(stream)?;
    // SAFETY: all zeros is an empty Dav1dPicture (its only enum has a variant 0).
    let mut raw: sys::Dav1dPicture = unsafe { zeroed() };
    let mut idle = 0;
    loop {
        if input.0.sz > 0 {
            // SAFETY: the decoder is open and the input was filled by dav1d_data_wrap.
            let code = unsafe { sys::dav1d_send_data(decoder.0, &raw mut input.0) };
            if code != 0 && code != sys::DAV1D_ERR_AGAIN {
                return Err(failure(code));
            }
        }
        // SAFETY: the decoder is open and `raw` is empty.
        let code = unsafe { sys::dav1d_get_picture(decoder.0, &raw mut raw) };
        match code {
            0 => {
                let picture = inspect(&mut raw)?;
                if layer.is_none_or(|layer| spatial_id(&picture) == Some(layer)) {
                    return fitting(picture, size);
                }
            }
            sys::DAV1D_ERR_AGAIN if input.0.sz == 0 => {
                // The second call without input drains what waits for a better layer.
                idle += 1;
                if idle > 2 {
                    return Err(broken("the AV1 stream holds no picture"));
                }
            }
            sys::DAV1D_ERR_AGAIN => {
                idle += 1;
                if idle > 1_000 {
                    return Err(broken("the AV1 stream makes no progress"));
                }
            }
            code => return Err(failure(code)),
        }
    }
}

fn open(size: Size, operating_point: u8, all_layers: bool) -> Result<Decoder, DecodeError> {
    if operating_point > 31 {
        return Err(broken(format!("the operating point {operating_point}; 31 is the last")));
    }
    let mut settings = MaybeUninit::<sys::Dav1dSettings>::zeroed();
    // SAFETY: dav1d_default_settings fills the whole structure.
    let mut settings = unsafe {
        sys::dav1d_default_settings(settings.as_mut_ptr());
        settings.assume_init()
    };
    settings.n_threads = 1;
    settings.max_frame_delay = 1;
    settings.operating_point = c_int::from(operating_point);
    settings.all_layers = c_int::from(all_layers);
    settings.frame_size_limit = u32::try_from(size.pixels()).unwrap_or(u32::MAX);
    settings.logger.callback = None;
    let mut decoder = Decoder(null_mut());
    // SAFETY: both pointers are valid for the call.
    let code = unsafe { sys::dav1d_open(&raw mut decoder.0, &raw const settings) };
    if code == 0 { Ok(decoder) } else { Err(failure(code)) }
}

fn wrap(stream: &[u8]) -> Result<Input, DecodeError> {
    unsafe extern "C" fn nothing(_: *const u8, _: *mut c_void) {}
    // SAFETY: all zeros is an empty Dav1dData.
    let mut input = Input(unsafe { zeroed() });
    // SAFETY: the caller keeps `stream` until decoder and input are dropped; dav1d only reads.
    let code = unsafe {
        sys::dav1d_data_wrap(
            &raw mut input.0,
            stream.as_ptr(),
            stream.len(),
            Some(nothing),
            null_mut(),
        )
    };
    if code == 0 { Ok(input) } else { Err(failure(code)) }
}

/// Takes a picture over, leaving an empty one, and reads what it is. The headers are read field by field through raw
/// pointers: their enums come from the bitstream and may hold values Rust's may not.
fn inspect(raw: &mut sys::Dav1dPicture) -> Result<Picture, DecodeError> {
    let unknown = Cicp { primaries: 2, transfer: 2, matrix: 2, full_range: false };
    let side = |n: c_int| u32::try_from(n).unwrap_or(0);
    let format = Format {
        size: Size::new(side(raw.p.w), side(raw.p.h)),
        chroma: match raw.p.layout {
            sys::Dav1dPixelLayout::DAV1D_PIXEL_LAYOUT_I400 => Chroma::None,
            sys::Dav1dPixelLayout::DAV1D_PIXEL_LAYOUT_I420 => Chroma::Quarter,
            sys::Dav1dPixelLayout::DAV1D_PIXEL_LAYOUT_I422 => Chroma::Half,
            _ => Chroma::Full,
        },
        depth: u8::try_from(raw.p.bpc).unwrap_or(0),
    };
    // SAFETY: all zeros is an empty Dav1dPicture; the filled one now belongs to `picture`.
    let raw = std::mem::replace(raw, unsafe { zeroed() });
    let mut picture = Picture { raw, format, cicp: unknown };
    let sequence = picture.raw.seq_hdr;
    if sequence.is_null() || !matches!(format.depth, 8 | 10 | 12) || format.size.pixels() == 0 {
        return Err(broken("dav1d delivered no usable picture"));
    }
    // SAFETY: the sequence header lives as long as the picture; each field is read as the
    // 32-bit number it is in C.
    picture.cicp = unsafe {
        Cicp {
            primaries: small((&raw const (*sequence).pri).cast::<u32>().read()),
            transfer: small((&raw const (*sequence).trc).cast::<u32>().read()),
            matrix: small((&raw const (*sequence).mtrx).cast::<u32>().read()),
            full_range: (&raw const (*sequence).color_range).read() != 0,
        }
    };
    Ok(picture)
}

fn small(code: u32) -> u16 {
    u16::try_from(code).unwrap_or(2)
}

fn spatial_id(picture: &Picture) -> Option<u8> {
    let header = NonNull::new(picture.raw.frame_hdr)?;
    // SAFETY: the frame header lives as long as the picture; the field is a plain byte.
    Some(unsafe { (&raw const (*header.as_ptr()).spatial_id).read() })
}

fn fitting(picture: Picture, size: Size) -> Result<Picture, DecodeError> {
    if picture.format.size == size {
        return Ok(picture);
    }
    Err(broken(format!("the AV1 picture is {}, the container says {size}", picture.format.size)))
}

fn failure(code: c_int) -> DecodeError {
    match code {
        sys::DAV1D_ERR_NOMEM => broken("dav1d ran out of memory"),
        sys::DAV1D_ERR_AGAIN => broken("the AV1 stream is cut off"),
        code => broken(format!("the AV1 stream is damaged (dav1d {code})")),
    }
}

/// Counts the frames of a stream by its OBU headers (AV1 §5.3), as far as they can be walked.
fn frames(mut stream: &[u8]) -> usize {
    const FRAME_HEADER: u8 = 3;
    const FRAME: u8 = 6;
    /// dav1d takes it for a frame header where none is pending.
    const REDUNDANT_FRAME_HEADER: u8 = 7;
    let mut count = 0;
    while let Some((&head, rest)) = stream.split_first() {
        let kind = head >> 3 & 15;
        count += usize::from(matches!(kind, FRAME_HEADER | FRAME | REDUNDANT_FRAME_HEADER));
        // The extension byte, then the size as LEB128; without a size it is the last one.
        let rest = rest.get(usize::from(head & 4 != 0)..).unwrap_or_default();
        if head & 2 == 0 {
            break;
        }
        let Some((size, rest)) = leb128(rest) else { break };
        stream = usize::try_from(size).ok().and_then(|size| rest.get(size..)).unwrap_or_default();
    }
    count
}

fn leb128(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7F) << (index * 7);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn redundant_headers_count_as_the_frames_they_may_become() {
        assert_eq!(frames(&[0x3A, 0, 0x22, 0].repeat(9)), 9);
    }

    #[test]
    fn frames_are_counted_without_decoding() {
        // Temporal delimiter, frame of 2 bytes with extension, frame header of 1 byte.
        let stream = [0x12, 0, 0x36, 0x08, 2, 9, 9, 0x1A, 1, 9];
        assert_eq!(frames(&stream), 2);
        assert_eq!(frames(&[0x32, 0].repeat(1_000)), 1_000);
        assert_eq!(frames(&[0x30, 1, 2, 3]), 1);
    }

    #[test]
    fn a_stream_of_many_frames_is_refused_before_decoding() {
        let error = decode(&[0x32, 0].repeat(9), Size::new(8, 8), 0, None).err().unwrap();
        assert!(error.to_string().contains("more than 8 frames"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_dav1d_or_its_layer_panic(
            bytes in proptest::collection::vec(any::<u8>(), 1..200),
        ) {
            let _ = decode(&bytes, Size::new(64, 64), 0, None);
        }
    }
}

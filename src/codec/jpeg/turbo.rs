//! The thin wrapper of libjpeg-turbo's TurboJPEG 3 API, and all the `unsafe` of JPEG: sizes in,
//! buffers out. Keeps fatal errors and warnings apart; never decides which warnings matter.
#![expect(unsafe_code, reason = "libjpeg-turbo is a C library")]

use crate::codec::buffers;
use crate::model::geometry::Size;
use crate::model::source::Scale;
use std::ffi::{CStr, c_int};
use std::ptr::NonNull;
use turbojpeg_sys as sys;

/// Progressive files with more scans than this are refused: a scan costs time over every pixel
/// and a few bytes of file.
const MAX_SCANS: c_int = 100;

/// The release vendored by the pinned `turbojpeg-sys`; the library cannot be asked at run time.
const VERSION: &str = "3.1.0";

/// The linked version.
pub(super) fn version() -> String {
    VERSION.to_owned()
}

/// Why the library stopped, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault(pub(super) String);

/// What the samples of a decoded frame mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    Gray,
    Rgb,
    /// As stored: Adobe's files have 255 for no ink.
    Cmyk,
}

impl Model {
    const fn channels(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
            Self::Cmyk => 4,
        }
    }

    const fn pixel_format(self) -> c_int {
        match self {
            Self::Gray => sys::TJPF_TJPF_GRAY,
            Self::Rgb => sys::TJPF_TJPF_RGB,
            Self::Cmyk => sys::TJPF_TJPF_CMYK,
        }
    }
}

/// Samples of a decoded frame, rows without padding.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Samples {
    Eight(Vec<u8>),
    /// 0–4095.
    Twelve(Vec<i16>),
}

/// A decoded frame of exactly the size asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Raster {
    pub(super) model: Model,
    pub(super) samples: Samples,
    /// The first warning, where there was one: the picture is whole but its data were damaged.
    pub(super) warning: Option<String>,
}

/// One library instance for one picture. Never used again: a decompressor keeps the Huffman and
/// quantisation tables of its last picture for the next that lacks them, and keeps its place in
/// a header that broke off, so the answer for one file would depend on the file before it.
/// Setting one up takes microseconds.
pub(super) struct Instance(NonNull<std::ffi::c_void>);

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: the handle came from tj3Init, is owned by this value alone and not used again.
        unsafe { sys::tj3Destroy(self.0.as_ptr()) }
    }
}

impl Instance {
    /// A decompressor that has read the header of `jpeg` and is set to `scale`.
    pub(super) fn open(jpeg: &[u8], size: Size, scale: Scale) -> Result<Self, Fault> {
        let mut instance = Self::new(sys::TJINIT_TJINIT_DECOMPRESS)?;
        instance.set(sys::TJPARAM_TJPARAM_SCANLIMIT, MAX_SCANS)?;
        // The library would otherwise copy out every embedded profile; ours comes from the probe.
        instance.set(sys::TJPARAM_TJPARAM_SAVEMARKERS, 0)?;
        let most = c_int::try_from(size.pixels()).unwrap_or(c_int::MAX);
        instance.set(sys::TJPARAM_TJPARAM_MAXPIXELS, most)?;
        // SAFETY: pointer and length describe `jpeg`, which outlives the call and is only read.
        let status = unsafe {
            sys::tj3DecompressHeader(instance.0.as_ptr(), jpeg.as_ptr(), jpeg.len() as sys::size_t)
        };
        instance.check(status)?;
        let denom = c_int::try_from(scale.denominator()).unwrap_or(1);
        let factor = sys::tjscalingfactor { num: 1, denom };
        // SAFETY: the handle is live; factors the library lacks are refused.
        let status = unsafe { sys::tj3SetScalingFactor(instance.0.as_ptr(), factor) };
        instance.check(status)?;
        Ok(instance)
    }

    /// A compressor into a buffer that it may not exchange for its own.
    pub(super) fn compressor(
        subsampling: c_int,
        quality: u8,
        progressive: bool,
    ) -> Result<Self, Fault> {
        let mut instance = Self::new(sys::TJINIT_TJINIT_COMPRESS)?;
        instance.set(sys::TJPARAM_TJPARAM_NOREALLOC, 1)?;
        instance.set(sys::TJPARAM_TJPARAM_QUALITY, c_int::from(quality))?;
        instance.set(sys::TJPARAM_TJPARAM_SUBSAMP, subsampling)?;
        instance.set(sys::TJPARAM_TJPARAM_PROGRESSIVE, c_int::from(progressive))?;
        instance.set(sys::TJPARAM_TJPARAM_OPTIMIZE, c_int::from(progressive))?;
        Ok(instance)
    }

    pub(super) fn new(direction: sys::TJINIT) -> Result<Self, Fault> {
        let direction = direction.try_into().unwrap_or(-1);
        // SAFETY: tj3Init takes a plain number, and refuses unknown ones with a null handle.
        let handle = unsafe { sys::tj3Init(direction) };
        NonNull::new(handle.cast()).map(Self).ok_or_else(out_of_memory)
    }

    /// The handle, for one call while the instance is borrowed.
    pub(super) fn handle(&mut self) -> sys::tjhandle {
        self.0.as_ptr()
    }

    pub(super) fn set(&mut self, parameter: sys::TJPARAM, value: c_int) -> Result<(), Fault> {
        let parameter = parameter.try_into().unwrap_or(-1);
        // SAFETY: the handle is live; unknown parameters and values are refused by the library.
        let status = unsafe { sys::tj3Set(self.0.as_ptr(), parameter, value) };
        self.check(status).map(|_| ())
    }

    pub(super) fn get(&self, parameter: sys::TJPARAM) -> c_int {
        let parameter = parameter.try_into().unwrap_or(-1);
        // SAFETY: the handle is live; unknown parameters give -1.
        unsafe { sys::tj3Get(self.0.as_ptr(), parameter) }
    }

    /// Sorts a status into success, success with a warning, and failure. The library's own code
    /// does not tell the last two apart: it says "warning" of a fatal error too, once a warning
    /// went before it. The text is the fatal error's then, so the text decides.
    pub(super) fn check(&self, status: c_int) -> Result<Option<String>, Fault> {
        if status == 0 {
            return Ok(None);
        }
        // SAFETY: the handle is live; the text is NUL-terminated, lives inside the instance, and
        // is copied before the instance is used again.
        let (code, text) = unsafe {
            let text = CStr::from_ptr(sys::tj3GetErrorStr(self.0.as_ptr()));
            (sys::tj3GetErrorCode(self.0.as_ptr()), text.to_string_lossy().into_owned())
        };
        let is_warning = u32::try_from(code) == Ok(sys::TJERR_TJERR_WARNING);
        if is_warning && WARNINGS.iter().any(|known| text.starts_with(known)) {
            Ok(Some(text))
        } else {
            Err(Fault(text))
        }
    }
}

/// Decodes `jpeg`, whose frame header says `size`, at `scale`, with the accurate DCT and smooth
/// chroma upsampling. Allocates the result and, inside the library, the coefficients of
/// progressive files.
///
/// # Errors
/// The library's words for a fatal error, or ours where the file is not what `size` promises.
pub(super) fn decompress(jpeg: &[u8], size: Size, scale: Scale) -> Result<Raster, Fault> {
    let mut instance = Instance::open(jpeg, size, scale)?;
    let (model, precision) = instance.expect_frame(size)?;
    let scaled = scale.apply(size);
    let (samples, warning) = if precision == 12 {
        let take = |length| {
            let mut samples = Vec::new();
            samples.try_reserve_exact(length).map_err(|_| out_of_memory())?;
            samples.resize(length, 0);
            Ok(samples)
        };
        let (samples, warning) =
            instance.decompress_into(jpeg, scaled, model, sys::tj3Decompress12, take)?;
        (Samples::Twelve(samples), warning)
    } else {
        let take = |length| buffers::take(length).map_err(|_| out_of_memory());
        let (samples, warning) =
            instance.decompress_into(jpeg, scaled, model, sys::tj3Decompress8, take)?;
        (Samples::Eight(samples), warning)
    };
    Ok(Raster { model, samples, warning })
}

/// How the texts of libjpeg's warnings begin (`JWRN_…` of jerror.h); no fatal error's does.
const WARNINGS: [&str; 7] = [
    "Corrupt JPEG data: ",
    "Premature end of JPEG file",
    "Inconsistent progression sequence",
    "Unknown Adobe color transform code",
    "Warning: unknown JFIF revision",
    "Invalid SOS parameters for sequential JPEG",
    "Application transferred too many scanlines",
];

/// tj3Decompress8 or tj3Decompress12.
type Decompress<S> =
    unsafe extern "C" fn(sys::tjhandle, *const u8, sys::size_t, *mut S, c_int, c_int) -> c_int;

impl Instance {
    /// What the header just read says: that the frame is of `size` and lossy (the library
    /// ignores the scale for lossless ones and would write past the buffer), which model its
    /// samples have, and how many bits (8 or 12).
    pub(super) fn expect_frame(&self, size: Size) -> Result<(Model, c_int), Fault> {
        let width = self.get(sys::TJPARAM_TJPARAM_JPEGWIDTH);
        let height = self.get(sys::TJPARAM_TJPARAM_JPEGHEIGHT);
        if (u32::try_from(width), u32::try_from(height)) != (Ok(size.width), Ok(size.height)) {
            return Err(Fault(format!("the decoder found {width}x{height}, the header {size}")));
        }
        let precision = self.get(sys::TJPARAM_TJPARAM_PRECISION);
        if self.get(sys::TJPARAM_TJPARAM_LOSSLESS) != 0 || !matches!(precision, 8 | 12) {
            return Err(Fault(format!("a lossless or {precision}-bit frame")));
        }
        let model = match u32::try_from(self.get(sys::TJPARAM_TJPARAM_COLORSPACE)) {
            Ok(sys::TJCS_TJCS_GRAY) => Model::Gray,
            Ok(sys::TJCS_TJCS_RGB | sys::TJCS_TJCS_YCbCr) => Model::Rgb,
            Ok(sys::TJCS_TJCS_CMYK | sys::TJCS_TJCS_YCCK) => Model::Cmyk,
            _ => return Err(Fault("a colour space the decoder does not know".to_owned())),
        };
        Ok((model, precision))
    }

    /// Decodes into what `take` gives. `scaled` must be what [`Instance::expect_frame`] has just
    /// confirmed for these very bytes, under the scaling factor that is set.
    fn decompress_into<S: Copy + Default>(
        &mut self,
        jpeg: &[u8],
        scaled: Size,
        model: Model,
        run: Decompress<S>,
        take: impl Fn(usize) -> Result<Vec<S>, Fault>,
    ) -> Result<(Vec<S>, Option<String>), Fault> {
        let row = usize::try_from(scaled.width)
            .ok()
            .and_then(|width| width.checked_mul(model.channels()))
            .ok_or_else(out_of_memory)?;
        let length = usize::try_from(scaled.height)
            .ok()
            .and_then(|height| height.checked_mul(row))
            .ok_or_else(out_of_memory)?;
        let pitch = c_int::try_from(row).map_err(|_| out_of_memory())?;
        let mut samples = take(length)?;
        let clear = |samples: &mut Vec<S>| samples.fill(S::default());
        let warning = self.cleared_on_warning(&mut samples, clear, |instance, samples| {
            // SAFETY: `jpeg` is only read, within its length. The library reads the same header
            // again and writes `scaled.height` rows of `row` samples at a distance of `pitch`
            // samples, which is what there is: size, model, sample width and lossy coding were
            // confirmed for these bytes.
            unsafe {
                run(
                    instance.0.as_ptr(),
                    jpeg.as_ptr(),
                    jpeg.len() as sys::size_t,
                    samples.as_mut_ptr(),
                    pitch,
                    model.pixel_format(),
                )
            }
        })?;
        Ok((samples, warning))
    }

    /// Runs a decoding into `picture`, which may hold what an earlier one left. Success means that
    /// every row was written. A warning should mean it, too, but the library says "warning" of
    /// fatal errors behind warnings as well; so what is damaged is decoded once more, into black:
    /// whatever is left out, it is never somebody else's picture.
    pub(super) fn cleared_on_warning<T>(
        &mut self,
        picture: &mut T,
        clear: impl FnOnce(&mut T),
        mut run: impl FnMut(&mut Self, &mut T) -> c_int,
    ) -> Result<Option<String>, Fault> {
        let status = run(self, picture);
        let first = self.check(status)?;
        if first.is_none() {
            return Ok(None);
        }
        clear(picture);
        let status = run(self, picture);
        self.check(status)?;
        Ok(first)
    }
}

/// Encodes packed grey or RGB rows with 4:2:0 chroma. `progressive` also optimises the Huffman
/// tables. Allocates the result; takes a spare buffer for its worst case.
///
/// # Errors
/// The library's words, or ours for a side over 65,500 or a buffer of the wrong length.
pub(super) fn compress(
    data: &[u8],
    size: Size,
    model: Model,
    quality: u8,
    progressive: bool,
) -> Result<Vec<u8>, Fault> {
    let sides = (c_int::try_from(size.width), c_int::try_from(size.height));
    let (Ok(width), Ok(height)) = sides else { return Err(too_long(size)) };
    let bytes = size.pixels().checked_mul(model.channels() as u64);
    if u64::try_from(data.len()).ok() != bytes || size.pixels() == 0 {
        return Err(Fault(format!("{} bytes for a picture of {size}", data.len())));
    }
    let subsampling = match model {
        Model::Gray => sys::TJSAMP_TJSAMP_GRAY,
        Model::Rgb | Model::Cmyk => sys::TJSAMP_TJSAMP_420,
    };
    let mut instance = Instance::compressor(subsampling, quality, progressive)?;
    instance.compress_with(size, subsampling, |instance, start, length| {
        // SAFETY: `data` holds height × width pixels without padding (checked above; pitch 0
        // says so) and is only read. NOREALLOC makes the library write to `*start` alone, never
        // beyond `*length`, and set `*length` to what it wrote.
        unsafe {
            sys::tj3Compress8(
                instance.handle(),
                data.as_ptr(),
                width,
                0,
                height,
                model.pixel_format(),
                start,
                length,
            )
        }
    })
}

impl Instance {
    /// Runs a compression into a spare buffer of the worst length the library knows, and copies
    /// out what was written.
    pub(super) fn compress_with(
        &mut self,
        size: Size,
        subsampling: c_int,
        run: impl FnOnce(&mut Self, *mut *mut u8, *mut sys::size_t) -> c_int,
    ) -> Result<Vec<u8>, Fault> {
        let sides = (c_int::try_from(size.width), c_int::try_from(size.height));
        let (Ok(width), Ok(height)) = sides else { return Err(too_long(size)) };
        // SAFETY: plain numbers; 0 is the answer to impossible ones.
        let worst = unsafe { sys::tj3JPEGBufSize(width, height, subsampling) };
        let worst = usize::try_from(worst).unwrap_or(0);
        if worst == 0 {
            return Err(too_long(size));
        }
        let mut scratch = buffers::take(worst).map_err(|_| out_of_memory())?;
        let mut start = scratch.as_mut_ptr();
        let mut length = scratch.len() as sys::size_t;
        let status = run(self, &raw mut start, &raw mut length);
        if let Some(warning) = self.check(status)? {
            return Err(Fault(warning));
        }
        let written = usize::try_from(length).unwrap_or(usize::MAX);
        let written = scratch.get(..written).ok_or_else(out_of_memory)?;
        let mut out = Vec::new();
        out.try_reserve_exact(written.len()).map_err(|_| out_of_memory())?;
        out.extend_from_slice(written);
        buffers::give_back(scratch);
        Ok(out)
    }
}

pub(super) fn out_of_memory() -> Fault {
    Fault("out of memory".to_owned())
}

pub(super) fn too_long(size: Size) -> Fault {
    Fault(format!("{size} is more than a JPEG can hold"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_locked_crate() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains("name = \"turbojpeg-sys\"\nversion = \"1.2.0\""));
    }

    #[test]
    fn the_result_has_the_scaled_size_at_every_scale() {
        let size = Size::new(37, 19);
        let data = vec![128; 37 * 19 * 3];
        let jpeg = compress(&data, size, Model::Rgb, 80, false).unwrap();
        for scale in Scale::ALL {
            let raster = decompress(&jpeg, size, scale).unwrap();
            let Samples::Eight(samples) = raster.samples else { panic!("12-bit samples") };
            assert_eq!(samples.len() as u64, scale.apply(size).pixels() * 3);
            assert_eq!(raster.warning, None);
        }
    }

    #[test]
    fn another_size_than_promised_is_a_fault() {
        let size = Size::new(16, 16);
        let jpeg = compress(&[0; 256], size, Model::Gray, 80, true).unwrap();
        for wrong in [Size::new(8, 16), Size::new(16, 17), Size::new(17, 16)] {
            assert!(decompress(&jpeg, wrong, Scale::Full).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_without_tables_does_not_borrow_those_of_the_file_before() {
        let size = Size::new(16, 16);
        let whole = compress(&[99; 256], size, Model::Gray, 80, false).unwrap();
        let at = whole.windows(2).position(|marker| marker == [0xFF, 0xDB]).unwrap();
        let length = usize::from(u16::from_be_bytes([whole[at + 2], whole[at + 3]]));
        let bare = [&whole[..at], &whole[at + 2 + length..]].concat();
        assert!(decompress(&whole, size, Scale::Full).is_ok());
        assert!(decompress(&bare, size, Scale::Full).is_err());
    }

    #[test]
    fn a_buffer_of_the_wrong_length_is_refused() {
        assert!(compress(&[0; 11], Size::new(2, 2), Model::Rgb, 80, false).is_err());
        assert!(compress(&[], Size::new(0, 2), Model::Rgb, 80, false).is_err());
        let long = vec![0; 70_000];
        assert!(compress(&long, Size::new(70_000, 1), Model::Gray, 80, false).is_err());
    }
}

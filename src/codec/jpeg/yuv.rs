//! JPEG to planes and back, past all conversion of colour: libjpeg-turbo's raw data behind the same
//! wrapper, with the same care about warnings and sizes. Never resamples chroma.
#![expect(unsafe_code, reason = "libjpeg-turbo is a C library")]

use super::turbo::{Fault, Instance, out_of_memory, too_long};
use crate::codec::buffers;
use crate::model::geometry::Size;
use crate::model::planes::{Planes, Subsampling};
use crate::model::source::Scale;
use std::ffi::c_int;
use turbojpeg_sys as sys;

const fn name(subsampling: Subsampling) -> sys::TJSAMP {
    match subsampling {
        Subsampling::Quarter => sys::TJSAMP_TJSAMP_420,
        Subsampling::Half => sys::TJSAMP_TJSAMP_422,
        Subsampling::Full => sys::TJSAMP_TJSAMP_444,
    }
}

/// Decodes `jpeg`, whose frame header says `size` and `subsampling` of YCbCr, at `scale`: chroma
/// stays subsampled at every scale. Gives the first warning beside the planes. Allocates the
/// planes and, inside the library, the coefficients of progressive files.
///
/// # Errors
/// The library's words for a fatal error, or ours where the file is not what was promised.
pub(super) fn decompress(
    jpeg: &[u8],
    size: Size,
    subsampling: Subsampling,
    scale: Scale,
) -> Result<(Planes, Option<String>), Fault> {
    let mut instance = Instance::open(jpeg, size, scale)?;
    let (_, precision) = instance.expect_frame(size)?;
    let color = u32::try_from(instance.get(sys::TJPARAM_TJPARAM_COLORSPACE));
    let found = instance.get(sys::TJPARAM_TJPARAM_SUBSAMP);
    if precision != 8 || color != Ok(sys::TJCS_TJCS_YCbCr) || found != name(subsampling) {
        return Err(Fault(format!("not the {subsampling:?} YCbCr the header promised")));
    }
    let scaled = scale.apply(size);
    let strides = strides(scaled, subsampling)?;
    let length = Planes::bytes_for(scaled, subsampling).ok_or_else(out_of_memory)?;
    let samples = buffers::take(length).map_err(|_| out_of_memory())?;
    let mut planes = Planes::new(scaled, subsampling, samples).map_err(|e| Fault(e.to_string()))?;
    let warning = instance.cleared_on_warning(
        &mut planes,
        |planes| planes.samples_mut().into_iter().for_each(|plane| plane.fill(0)),
        |instance, planes| {
            let mut starts = planes.samples_mut().map(<[u8]>::as_mut_ptr);
            let mut strides = strides;
            // SAFETY: `jpeg` is only read, within its length. The library reads the same header
            // again and writes planes of the sizes `strides` has compared with its own, each row
            // a stride behind the one before, to three slices of just these sizes that do not
            // overlap; size, subsampling, sample width and lossy coding were confirmed for these
            // bytes.
            unsafe {
                sys::tj3DecompressToYUVPlanes8(
                    instance.handle(),
                    jpeg.as_ptr(),
                    jpeg.len() as sys::size_t,
                    starts.as_mut_ptr(),
                    strides.as_mut_ptr(),
                )
            }
        },
    )?;
    Ok((planes, warning))
}

/// Encodes 4:2:0 planes. `progressive` also optimises the Huffman tables. Allocates the result;
/// takes a spare buffer for its worst case.
///
/// # Errors
/// The library's words, or ours for a side over 65,500 or other chroma.
pub(super) fn compress(planes: &Planes, quality: u8, progressive: bool) -> Result<Vec<u8>, Fault> {
    let size = planes.size();
    if planes.subsampling() != Subsampling::Quarter {
        return Err(Fault(format!("{:?} chroma where 4:2:0 is written", planes.subsampling())));
    }
    let sides = (c_int::try_from(size.width), c_int::try_from(size.height));
    let (Ok(width), Ok(height)) = sides else { return Err(too_long(size)) };
    let strides = strides(size, Subsampling::Quarter)?;
    let subsampling = name(Subsampling::Quarter);
    let mut instance = Instance::compressor(subsampling, quality, progressive)?;
    let starts = planes.planes().map(|plane| plane.samples.as_ptr());
    instance.compress_with(size, subsampling, |instance, start, length| {
        // SAFETY: each of the planes holds what the library reads of it: `strides` has compared
        // its idea of their sizes with ours, and none is written to. NOREALLOC makes the library
        // write to `*start` alone, never beyond `*length`, and set `*length` to what it wrote.
        unsafe {
            sys::tj3CompressFromYUVPlanes8(
                instance.handle(),
                starts.as_ptr(),
                width,
                strides.as_ptr(),
                height,
                start,
                length,
            )
        }
    })
}

/// The widths of the planes of a picture of `size`, after the library's own idea of their sizes was
/// found to be ours.
fn strides(size: Size, subsampling: Subsampling) -> Result<[c_int; 3], Fault> {
    let luma = subsampling.luma(size);
    let chroma = subsampling.chroma(size);
    let int = |n: u32| c_int::try_from(n).map_err(|_| too_long(size));
    let name = name(subsampling);
    let mut widths = [0; 3];
    for ((component, plane), width) in (0..).zip([luma, chroma, chroma]).zip(&mut widths) {
        // SAFETY: plain numbers; 0 is the answer to impossible ones.
        let (across, down) = unsafe {
            (
                sys::tj3YUVPlaneWidth(component, int(size.width)?, name),
                sys::tj3YUVPlaneHeight(component, int(size.height)?, name),
            )
        };
        if (across, down) != (int(plane.width)?, int(plane.height)?) {
            return Err(Fault(format!("plane {component} of {across}x{down}, not {plane}")));
        }
        *width = across;
    }
    Ok(widths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(size: Size) -> Planes {
        let length = Planes::bytes_for(size, Subsampling::Quarter).unwrap();
        let data = (0..length).map(|n| u8::try_from(60 + n % 97).unwrap()).collect();
        Planes::new(size, Subsampling::Quarter, data).unwrap()
    }

    #[test]
    fn the_planes_have_the_scaled_size_at_every_scale() {
        for size in [Size::new(37, 19), Size::new(1, 1), Size::new(64, 32), Size::new(33, 2)] {
            let jpeg = compress(&ramp(size), 80, false).unwrap();
            for scale in Scale::ALL {
                let (planes, warning) =
                    decompress(&jpeg, size, Subsampling::Quarter, scale).unwrap();
                assert_eq!((planes.size(), warning), (scale.apply(size), None));
            }
        }
    }

    #[test]
    fn even_planes_survive_the_round_trip_at_every_scale() {
        let size = Size::new(61, 35);
        let length = Planes::bytes_for(size, Subsampling::Quarter).unwrap();
        let mut planes = Planes::new(size, Subsampling::Quarter, vec![70; length]).unwrap();
        let [_, cb, cr] = planes.samples_mut();
        cb.fill(150);
        cr.fill(99);
        for progressive in [false, true] {
            let jpeg = compress(&planes, 95, progressive).unwrap();
            for scale in Scale::ALL {
                let (back, _) = decompress(&jpeg, size, Subsampling::Quarter, scale).unwrap();
                for (plane, level) in back.planes().into_iter().zip([70, 150, 99_u8]) {
                    assert!(plane.samples.iter().all(|sample| sample.abs_diff(level) <= 1));
                }
            }
        }
    }

    #[test]
    fn another_size_or_subsampling_than_promised_is_a_fault() {
        let size = Size::new(16, 16);
        let jpeg = compress(&ramp(size), 80, true).unwrap();
        let quarter = Subsampling::Quarter;
        assert!(decompress(&jpeg, Size::new(8, 16), quarter, Scale::Full).is_err());
        for wrong in [Subsampling::Half, Subsampling::Full] {
            assert!(decompress(&jpeg, size, wrong, Scale::Full).is_err());
        }
        let full = Planes::new(size, Subsampling::Full, vec![0; 768]).unwrap();
        assert!(compress(&full, 80, false).is_err());
    }
}

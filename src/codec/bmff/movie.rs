//! The `moov` box of an image sequence (ISO/IEC 14496-12 §8.2–8.7): its tracks, and of each
//! the sample entry, the number of samples and where the first one lies. Edit lists and the
//! time line are never read: only the first picture is of interest.

use super::property::Property;
use super::{Cursor, DecodeError, FourCc, broken};
use crate::model::geometry::Size;

/// Tracks at most; an animation has two or three.
const MAX_TRACKS: usize = 32;
/// Properties of a sample entry at most.
const MAX_PROPERTIES: usize = 64;

/// A track of the sequence.
#[derive(Debug, Default)]
pub(in crate::codec) struct Track<'a> {
    /// From `tkhd`.
    pub(in crate::codec) id: u32,
    /// `pict`, `vide`, `auxv`, `soun`, ….
    pub(in crate::codec) handler: FourCc,
    /// The track this one is an auxiliary (alpha) of.
    pub(in crate::codec) auxiliary_of: Option<u32>,
    /// Colours of this track are premultiplied by that track's alpha.
    pub(in crate::codec) premultiplied_by: Option<u32>,
    /// The coded size, where the samples are AV1.
    pub(in crate::codec) av1: Option<Size>,
    /// What the sample entry says beside.
    pub(in crate::codec) properties: Vec<Property<'a>>,
    /// Samples, as the size table counts them.
    pub(in crate::codec) samples: u32,
    /// Bytes of the first sample.
    first_size: u64,
    /// Where the first sample begins.
    first_offset: Option<u64>,
}

impl<'a> Track<'a> {
    /// The first sample.
    pub(in crate::codec) fn first_sample(&self, bytes: &'a [u8]) -> Result<&'a [u8], DecodeError> {
        let place = |offset: u64, size: u64| {
            let from = usize::try_from(offset).ok()?;
            bytes.get(from..from.checked_add(usize::try_from(size).ok()?)?)
        };
        self.first_offset
            .and_then(|offset| place(offset, self.first_size))
            .filter(|sample| !sample.is_empty())
            .ok_or_else(|| broken("the first sample of the sequence is cut off or missing"))
    }
}

/// Reads the tracks of a `moov` body.
pub(in crate::codec) fn tracks(mut moov: Cursor<'_>) -> Result<Vec<Track<'_>>, DecodeError> {
    let mut tracks = Vec::new();
    while let Some(inner) = moov.next_box()? {
        if &inner.kind == b"trak" {
            if tracks.len() == MAX_TRACKS {
                return Err(broken(format!("more than {MAX_TRACKS} tracks")));
            }
            tracks.push(track(inner.body)?);
        }
    }
    Ok(tracks)
}

fn track(mut body: Cursor<'_>) -> Result<Track<'_>, DecodeError> {
    let mut track = Track::default();
    while let Some(inner) = body.next_box()? {
        let mut part = inner.body;
        match &inner.kind {
            b"tkhd" => {
                let (version, _) = part.full()?;
                part.take(if version == 1 { 16 } else { 8 })?;
                track.id = part.u32()?;
            }
            b"tref" => {
                while let Some(link) = part.next_box()? {
                    let mut to = link.body;
                    match &link.kind {
                        b"auxl" => track.auxiliary_of = Some(to.u32()?),
                        b"prem" => track.premultiplied_by = Some(to.u32()?),
                        _ => {}
                    }
                }
            }
            b"mdia" => media(part, &mut track)?,
            _ => {}
        }
    }
    Ok(track)
}

fn media<'a>(mut body: Cursor<'a>, track: &mut Track<'a>) -> Result<(), DecodeError> {
    while let Some(inner) = body.next_box()? {
        let mut part = inner.body;
        match &inner.kind {
            b"hdlr" => {
                part.take(8)?;
                track.handler = part.fourcc()?;
            }
            b"minf" => {
                while let Some(deeper) = part.next_box()? {
                    if &deeper.kind == b"stbl" {
                        samples(deeper.body, track)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn samples<'a>(mut body: Cursor<'a>, track: &mut Track<'a>) -> Result<(), DecodeError> {
    while let Some(inner) = body.next_box()? {
        let mut part = inner.body;
        match &inner.kind {
            b"stsd" => {
                part.full()?;
                part.u32()?;
                // Only the first description: the first sample is described by it.
                if let Some(entry) = part.next_box()?
                    && &entry.kind == b"av01"
                {
                    sample_entry(entry.body, track)?;
                }
            }
            b"stsz" => {
                part.full()?;
                let same = part.u32()?;
                track.samples = part.u32()?;
                track.first_size = u64::from(same);
                if same == 0 && track.samples > 0 {
                    if (part.rest().len() as u64) < u64::from(track.samples) * 4 {
                        return Err(broken("the table of sample sizes is cut off"));
                    }
                    track.first_size = u64::from(part.u32()?);
                }
            }
            b"stco" | b"co64" => {
                part.full()?;
                if part.u32()? > 0 {
                    let wide = &inner.kind == b"co64";
                    track.first_offset =
                        Some(if wide { part.u64()? } else { u64::from(part.u32()?) });
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A visual sample entry: 24 bytes, width and height, 50 bytes, then boxes.
fn sample_entry<'a>(mut body: Cursor<'a>, track: &mut Track<'a>) -> Result<(), DecodeError> {
    body.take(24)?;
    track.av1 = Some(Size::new(u32::from(body.u16()?), u32::from(body.u16()?)));
    body.take(50)?;
    while let Some(inner) = body.next_box()? {
        if track.properties.len() == MAX_PROPERTIES {
            return Err(broken(format!("more than {MAX_PROPERTIES} boxes in a sample entry")));
        }
        track.properties.push(Property::read(inner.kind, inner.body)?);
    }
    Ok(())
}

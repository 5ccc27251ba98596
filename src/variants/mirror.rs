//! The mirror layout: bare images at the path of their request, each with a mark (`mark.rs`).
//! Originals and variants may share a bucket, so nothing without a mark is ever overwritten.
//!
//! Where the store keeps metadata, the mark is on the object. Where it does not (files), the
//! mark is a record in the versioned area, `{source area}/mirror/{W}x{H}.json`, and its presence
//! says that the image is ours, damaged or not (a folder of mirrored pictures may not lie among
//! originals: the settings are checked for that). The record is written before the image: a crash between the two
//! leaves a record without its image, which reads as a miss and heals with the next write, and
//! never an image of ours that we would refuse to replace.

use super::Variant;
use super::mark::Mark;
use super::objects::{Fault, Objects};
use super::tags::tags;
use crate::model::key::{RENDER_EPOCH, SourceId, VariantKey, source_area};
use object_store::{GetResult, PutMode, PutPayload};

impl Objects {
    /// The verified image of `key` at `path`.
    pub(super) async fn read_mirrored(
        &self,
        path: &str,
        key: &VariantKey,
    ) -> Result<Variant, Fault> {
        let (mark, opened) = self.mark_at(path, &key.source).await?;
        self.marked_body(path, key, &mark, opened).await
    }

    /// The mark of what lies at `path`, and the opened object where reading the mark opened it.
    pub(super) async fn mark_at(
        &self,
        path: &str,
        source: &SourceId,
    ) -> Result<(Mark, Option<GetResult>), Fault> {
        if self.store.has_metadata {
            let opened = self.open(path).await?;
            let mark = Mark::from_attributes(path, &opened.attributes).ok_or(Fault::Unmarked)?;
            return Ok((mark, Some(opened)));
        }
        let opened = self.open(&record_path(RENDER_EPOCH, source, path)).await?;
        let record = self.body(opened).await?;
        let mark = Mark::from_json(path, &record).ok_or(Fault::Unmarked)?;
        Ok((mark, None))
    }

    /// The mark of what lies at `path`, without its image.
    pub(super) async fn mark_alone(&self, path: &str, source: &SourceId) -> Result<Mark, Fault> {
        if !self.store.has_metadata {
            self.head(path).await?;
            return Ok(self.mark_at(path, source).await?.0);
        }
        let attributes = self.head(path).await?;
        Mark::from_attributes(path, &attributes).ok_or(Fault::Unmarked)
    }

    /// Reads the image behind a mark, once the mark is that of `key`.
    pub(super) async fn marked_body(
        &self,
        path: &str,
        key: &VariantKey,
        mark: &Mark,
        opened: Option<GetResult>,
    ) -> Result<Variant, Fault> {
        mark.belongs_to(key)?;
        let opened = match opened {
            Some(opened) => opened,
            None => self.open(path).await?,
        };
        let body = self.body(opened).await?;
        Ok(mark.verify(key, body)?)
    }

    /// Writes the image and its mark.
    ///
    /// # Errors
    /// [`Fault::Unmarked`] if something without our mark lies there; it is left as it is.
    /// [`Fault::Exists`] if another writer came first.
    pub(super) async fn write_mirrored(
        &self,
        path: &str,
        key: &VariantKey,
        variant: &Variant,
    ) -> Result<(), Fault> {
        let mode = self.write_mode(path, &key.source).await?;
        let mark = Mark::new(path, key, variant);
        if !self.store.has_metadata {
            let record = record_path(RENDER_EPOCH, &key.source, path);
            self.write_json(&record, mark.to_json()).await?;
        }
        let attributes = mark.attributes(self.cache_control.as_deref(), &tags(&key.source));
        let payload = PutPayload::from(variant.body.clone());
        match mode {
            Mode::Replace => self.put(path, payload, attributes, PutMode::Overwrite).await,
            Mode::Create => {
                let created =
                    self.put(path, payload.clone(), attributes.clone(), PutMode::Create).await;
                match created {
                    // Looked at a moment ago and not there: the best such a store allows.
                    Err(Fault::Unsupported(_)) => {
                        self.put(path, payload, attributes, PutMode::Overwrite).await
                    }
                    other => other,
                }
            }
            Mode::CreateBlindly => {
                match self.put(path, payload, attributes, PutMode::Create).await {
                    Err(Fault::Exists | Fault::Unsupported(_)) => Err(Fault::Unmarked),
                    other => other,
                }
            }
        }
    }

    /// How the object at `path` may be written.
    async fn write_mode(&self, path: &str, source: &SourceId) -> Result<Mode, Fault> {
        match self.head(path).await {
            Err(Fault::Absent) => return Ok(Mode::Create),
            // Without the right to list, a missing object looks like a forbidden one.
            Err(Fault::Forbidden(_)) if self.store.has_metadata => return Ok(Mode::CreateBlindly),
            Err(fault) => return Err(fault),
            Ok(attributes) if self.store.has_metadata => {
                return if Mark::is_on(path, &attributes) {
                    Ok(Mode::Replace)
                } else {
                    Err(Fault::Unmarked)
                };
            }
            Ok(_) => {}
        }
        // An image mirrored by an earlier epoch has its record there.
        for epoch in (1..=RENDER_EPOCH).rev() {
            match self.head(&record_path(epoch, source, path)).await {
                Ok(_) => return Ok(Mode::Replace),
                Err(Fault::Absent) => {}
                Err(fault) => return Err(fault),
            }
        }
        Err(Fault::Unmarked)
    }
}

enum Mode {
    /// Ours lies there.
    Replace,
    /// Nothing lies there; if something does by now, leave it.
    Create,
    /// Unknown what lies there: only a store that can tell may write.
    CreateBlindly,
}

/// Where the record of the image at `path` lies: named after the size it stands under, so that
/// every mirrored size of an original is listed under the original.
pub(super) fn record_path(epoch: u32, source: &SourceId, path: &str) -> String {
    let area = source_area(source);
    let within = area.split_once('/').map_or(area.as_str(), |(_, within)| within);
    let name = match path.split_once('/') {
        Some((size, key)) if key == source.key.as_str() => size.to_owned(),
        _ => blake3::hash(path.as_bytes()).to_hex().chars().take(32).collect(),
    };
    format!("v{epoch}/{within}/mirror/{name}.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants::fixture::key;

    #[test]
    fn a_record_is_named_after_the_size_and_lies_with_its_source() {
        let source = key("photos/cat.jpg", "one").source;
        assert_eq!(
            record_path(1, &source, "300x200/photos/cat.jpg"),
            "v1/default/photos/cat.jpg/~/mirror/300x200.json"
        );
        let odd = record_path(1, &source, "@shop/300x200/photos/cat.jpg");
        assert!(odd.starts_with("v1/default/photos/cat.jpg/~/mirror/"), "{odd}");
        assert_ne!(odd, record_path(1, &source, "@shop/1x1/photos/cat.jpg"));
    }
}

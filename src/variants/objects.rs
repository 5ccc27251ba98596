//! The object store as the tiers use it: whole objects, bounded in size, with every error sorted
//! into what it means for a variant. Never retries (the store's client does, within its budget)
//! and never serves a byte before the object was read to its end and verified.

use super::breaker::Health;
use super::entry::{self, EntryError, MAX_HEADER};
use super::{Variant, VariantStore};
use crate::model::key::VariantKey;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{Attribute, Attributes, GetOptions, GetResult, PutMode, PutOptions, PutPayload};
use std::io;

/// The longest object path: S3's limit for a key, in bytes.
const MAX_PATH: usize = 1_024;
/// The longest segment a file system takes, less what the store appends while it writes.
const MAX_FILE_NAME: usize = 250;

/// Why a use of the store gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("no such object")]
    Absent,
    #[error("refused: {0}")]
    Forbidden(String),
    #[error("written by another meanwhile")]
    Exists,
    #[error("the store cannot hold an object of this name: {0}")]
    Unplaceable(String),
    #[error("{bytes} bytes, the limit is {limit}")]
    TooLarge { bytes: u64, limit: u64 },
    #[error(transparent)]
    Entry(#[from] EntryError),
    #[error("it does not carry the mark of this service")]
    Unmarked,
    #[error("no answer within the time for it")]
    TimedOut,
    #[error("the request's own time ran out")]
    OutOfTime,
    #[error("the store is left alone for now")]
    LeftAlone,
    #[error("not supported: {0}")]
    Unsupported(String),
    #[error("{0}")]
    Broken(String),
}

impl Fault {
    /// What it says of the store. A refusal says nothing: S3 refuses reads of missing objects
    /// to those who may not list.
    pub(super) const fn health(&self) -> Health {
        match self {
            Self::TimedOut | Self::Broken(_) | Self::Unsupported(_) => Health::Ill,
            Self::Forbidden(_) | Self::OutOfTime | Self::LeftAlone | Self::Unplaceable(_) => {
                Health::Unknown
            }
            Self::Absent
            | Self::Exists
            | Self::TooLarge { .. }
            | Self::Entry(_)
            | Self::Unmarked => Health::Well,
        }
    }
}

impl From<object_store::Error> for Fault {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error as E;
        match &error {
            E::NotFound { .. } => Self::Absent,
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
                Self::Forbidden(error.to_string())
            }
            E::AlreadyExists { .. } | E::Precondition { .. } | E::NotModified { .. } => {
                Self::Exists
            }
            E::InvalidPath { .. } => Self::Unplaceable(error.to_string()),
            E::NotImplemented { .. } | E::NotSupported { .. } => {
                Self::Unsupported(error.to_string())
            }
            _ => match io_kind(&error) {
                // A file where a folder would have to be, or the other way round.
                Some(
                    io::ErrorKind::NotADirectory
                    | io::ErrorKind::IsADirectory
                    | io::ErrorKind::DirectoryNotEmpty
                    | io::ErrorKind::InvalidFilename,
                ) => Self::Unplaceable(error.to_string()),
                Some(io::ErrorKind::PermissionDenied) => Self::Forbidden(error.to_string()),
                Some(io::ErrorKind::Unsupported) => Self::Unsupported(error.to_string()),
                _ => Self::Broken(error.to_string()),
            },
        }
    }
}

/// The kind of the I/O error at the root of `error`, if there is one.
fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}

/// A store and the size of the largest body it is asked for.
#[derive(Debug)]
pub(super) struct Objects {
    pub(super) store: VariantStore,
    pub(super) max_body: u64,
    /// `Cache-Control` of mirrored images.
    pub(super) cache_control: Option<String>,
    /// The sizes below which mirrored images lie, such as `300x200`.
    pub(super) sizes: Vec<String>,
}

impl Objects {
    /// The path, if the store can hold an object of that name. What it could not hold is found
    /// here, so that a strange name in a URL is never taken for a fault of the store.
    pub(super) fn path(&self, path: &str) -> Result<Path, Fault> {
        if path.len() > MAX_PATH {
            return Err(Fault::Unplaceable(format!(
                "{} bytes, the limit is {MAX_PATH}",
                path.len()
            )));
        }
        if !self.store.has_metadata {
            if let Some(long) = path.split('/').find(|segment| segment.len() > MAX_FILE_NAME) {
                let length = long.len();
                return Err(Fault::Unplaceable(format!(
                    "a segment of {length} bytes, the limit is {MAX_FILE_NAME}"
                )));
            }
            // The file store keeps `name#1` for its own half-written files.
            if let Some((_, tail)) = path.rsplit_once('#')
                && tail.bytes().all(|b| b.is_ascii_digit())
            {
                return Err(Fault::Unplaceable("it ends in # and digits".to_owned()));
            }
        }
        Path::parse(path).map_err(|error| Fault::Unplaceable(error.to_string()))
    }

    /// Begins to read an object: its attributes and size are known, its bytes are not.
    pub(super) async fn open(&self, path: &str) -> Result<GetResult, Fault> {
        let path = self.path(path)?;
        Ok(self.store.objects.get_opts(&path, GetOptions::default()).await?)
    }

    /// An object's attributes only.
    pub(super) async fn head(&self, path: &str) -> Result<Attributes, Fault> {
        let path = self.path(path)?;
        let options = GetOptions { head: true, ..GetOptions::default() };
        Ok(self.store.objects.get_opts(&path, options).await?.attributes)
    }

    /// The bytes of an opened object, to the end.
    pub(super) async fn body(&self, opened: GetResult) -> Result<Bytes, Fault> {
        let (bytes, limit) = (opened.meta.size, self.max_body.saturating_add(MAX_HEADER as u64));
        if bytes > limit {
            return Err(Fault::TooLarge { bytes, limit });
        }
        Ok(opened.bytes().await?)
    }

    /// Writes an object in one piece; readers see the old one or the new one.
    pub(super) async fn put(
        &self,
        path: &str,
        payload: PutPayload,
        attributes: Attributes,
        mode: PutMode,
    ) -> Result<(), Fault> {
        let path = self.path(path)?;
        let attributes = if self.store.has_metadata { attributes } else { Attributes::default() };
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        self.store.objects.put_opts(&path, payload, options).await?;
        Ok(())
    }

    /// The verified entry of `key` in the versioned layout.
    pub(super) async fn read_entry(&self, key: &VariantKey) -> Result<Variant, Fault> {
        let opened = self.open(&key.object_path()).await?;
        let entry = self.body(opened).await?;
        Ok(entry::decode(key, &entry)?)
    }

    /// Writes the entry of `key`. Overwriting is right: equal keys have equal bytes, and a torn
    /// entry is mended by it.
    pub(super) async fn write_entry(
        &self,
        key: &VariantKey,
        variant: &Variant,
    ) -> Result<(), Fault> {
        let payload: PutPayload = entry::encode(key, variant).into_iter().collect();
        let mut attributes = Attributes::with_capacity(1);
        attributes.insert(Attribute::ContentType, "application/octet-stream".into());
        self.put(&key.object_path(), payload, attributes, PutMode::Overwrite).await
    }

    /// Writes a JSON object.
    pub(super) async fn write_json(&self, path: &str, json: Bytes) -> Result<(), Fault> {
        let mut attributes = Attributes::with_capacity(1);
        attributes.insert(Attribute::ContentType, "application/json".into());
        self.put(path, json.into(), attributes, PutMode::Overwrite).await
    }
}

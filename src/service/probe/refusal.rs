//! What a store's refusal means in the words of its cloud: which permission of which role lets the
//! service do what it tried. Never repeats what the store said.

use crate::config::StorePlace;
use crate::origin::is_refused;
use object_store::Error;

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// Listing keys below the prefix.
    List,
    /// Reading an object.
    Read,
    /// Writing an object.
    Write,
    /// Deleting an object.
    Delete,
}

impl Deed {
    const fn name(self) -> &'static str {
        match self {
            Self::List => "listing",
            Self::Read => "reading",
            Self::Write => "writing",
            Self::Delete => "deleting",
        }
    }
}

/// The permission that lets the service do it there.
pub(super) const fn permission(place: &StorePlace, deed: Deed) -> &'static str {
    match (place, deed) {
        (StorePlace::S3 { .. }, Deed::List) => "s3:ListBucket on the bucket",
        (StorePlace::S3 { .. }, Deed::Read) => "s3:GetObject on the objects below the prefix",
        (StorePlace::S3 { .. }, Deed::Write) => "s3:PutObject on the objects below the prefix",
        (StorePlace::S3 { .. }, Deed::Delete) => "s3:DeleteObject on the objects below the prefix",
        (StorePlace::Gcs { .. }, Deed::List) => "storage.objects.list (Storage Object Viewer)",
        (StorePlace::Gcs { .. }, Deed::Read) => "storage.objects.get (Storage Object Viewer)",
        (StorePlace::Gcs { .. }, Deed::Write) => {
            "storage.objects.create and, to overwrite, storage.objects.delete (Storage Object User)"
        }
        (StorePlace::Gcs { .. }, Deed::Delete) => "storage.objects.delete (Storage Object User)",
        (StorePlace::Azure { .. }, Deed::List) => {
            "Storage Blob Data Reader on the container (a SAS needs sp=l)"
        }
        (StorePlace::Azure { .. }, Deed::Read) => {
            "Storage Blob Data Reader on the container (a SAS needs sp=r)"
        }
        (StorePlace::Azure { .. }, Deed::Write) => {
            "Storage Blob Data Contributor on the container (a SAS needs sp=cw)"
        }
        (StorePlace::Azure { .. }, Deed::Delete) => {
            "Storage Blob Data Contributor on the container (a SAS needs sp=d)"
        }
        (StorePlace::File(_), Deed::Read | Deed::List) => "read and search rights on the folder",
        (StorePlace::File(_), _) => "write rights on the folder",
        (StorePlace::Web { .. }, _) => "access to this path for everybody",
        (StorePlace::Memory, _) => "nothing",
    }
}

/// One sentence for what went wrong.
pub(super) fn sentence(place: &StorePlace, deed: Deed, error: &Error) -> String {
    let doing = deed.name();
    match error {
        error if is_refused(error) => {
            format!("{doing} is refused: it needs {}", permission(place, deed))
        }
        Error::Unauthenticated { .. } => {
            format!("{doing} is refused because the credentials are missing, wrong or expired")
        }
        Error::NotFound { .. } => match place {
            StorePlace::S3 { bucket, .. } | StorePlace::Gcs { bucket, .. } => {
                format!("{doing} finds nothing: is there a bucket {bucket:?}?")
            }
            StorePlace::Azure { container, .. } => {
                format!(
                    "{doing} finds nothing: is there a container {container:?} in this account?"
                )
            }
            _ => format!("{doing} finds nothing there"),
        },
        Error::AlreadyExists { .. } | Error::Precondition { .. } => {
            format!("{doing} meets something that is there already")
        }
        Error::NotSupported { .. } | Error::NotImplemented { .. } => {
            format!("{doing} is not possible there")
        }
        error => format!("{doing} fails: {}", crate::origin::what_failed(error)),
    }
}

//! Store URLs: a folder, a bucket of one of three clouds, a web server's folder, memory. Opening one
//! makes the client and checks what can be checked without the network. Never takes credentials in
//! a URL and never repeats one in a message.

use super::clouds;
use super::connect::{Reach, is_true};
use super::local::{Links, ReadOnlyFolder};
use super::remote::{BadBase, RemoteOrigin};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reading originals; nothing is ever written.
    Originals,
    /// Reading and writing variants.
    Variants,
}

/// Where a store keeps its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// A folder.
    File,
    /// S3 or something that speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
    /// A web server, for originals only.
    Web,
    /// This process.
    Memory,
}

impl StoreKind {
    /// Whether objects carry Content-Type, Cache-Control and user metadata.
    #[must_use]
    pub const fn has_metadata(self) -> bool {
        matches!(self, Self::S3 | Self::Gcs | Self::Azure | Self::Memory)
    }
}

/// A store with its prefix already applied: a key is a path in it.
#[derive(Debug, Clone)]
pub struct OpenStore {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// Its kind.
    pub kind: StoreKind,
    /// Its URL as it may be logged.
    pub display: String,
}

/// How long a store may take for one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreTimeouts {
    /// For a connection.
    pub connect: Duration,
    /// For one request with its body.
    pub total: Duration,
}

impl StoreTimeouts {
    /// At most `total` for a request, of which at most 2 s for its connection.
    #[must_use]
    pub fn within(total: Duration) -> Self {
        Self { connect: total.min(Duration::from_secs(2)), total }
    }

    /// At most two more attempts, none of them begun after half the time.
    pub(super) fn retry(self) -> RetryConfig {
        RetryConfig {
            max_retries: 2,
            retry_timeout: self.total / 2,
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_millis(500),
                base: 2.0,
            },
        }
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreUrlError {
    /// Not a URL of a store.
    #[error(
        "{url:?} is no store URL: {why} (file:///folder, s3://bucket/prefix, gs://bucket/prefix, \
         az://container/prefix, https://host/base or memory:///)"
    )]
    Malformed {
        /// The URL, without what could be a password.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A web server where variants were to be kept.
    #[error("{url} can only be read; variants need a folder or a bucket")]
    ReadOnly {
        /// The store.
        url: String,
    },
    /// A web server at an address that is not public.
    #[error(
        "{url} is at an address that is not public; the option ALLOW_PRIVATE of this origin \
         allows that"
    )]
    PrivateAddress {
        /// The store.
        url: String,
    },
    /// A folder that cannot be used.
    #[error("the folder {} cannot be {wish}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What was tried.
        wish: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// An option that does not exist for this kind of store.
    #[error("{url} has no option {name:?}")]
    UnknownOption {
        /// The store.
        url: String,
        /// The option.
        name: String,
    },
    /// An endpoint without TLS that nobody allowed.
    #[error(
        "the endpoint of {url} is plain http; the option ALLOW_HTTP of this store{} allows that",
        or_switch(switch)
    )]
    PlainHttp {
        /// The store.
        url: String,
        /// The cloud's own variable that allows it too; may be empty.
        switch: &'static str,
    },
    /// Settings that do not go together.
    #[error("{url} cannot be opened: {why}")]
    Settings {
        /// The store.
        url: String,
        /// What object_store says of them.
        why: String,
    },
}

fn or_switch(switch: &str) -> String {
    if switch.is_empty() { String::new() } else { format!(", or {switch}=true,") }
}

/// Opens the store of a URL.
///
/// `options` are all its settings, later ones over earlier ones: for `s3`, `gs` and `az` the names
/// object_store knows (`aws_access_key_id`, `google_base_url`, `azure_storage_account_name`, …),
/// for `https` and `http` `allow_http` and `allow_private`, for `file` originals
/// `follow_symlinks`. The environment is not looked at: `config` has read it. No request is made.
/// A folder for variants is created if missing and tried by writing to it.
///
/// # Errors
/// [`StoreUrlError`], whose text names the URL and never a secret.
pub fn open(
    url: &str,
    options: &[(String, String)],
    timeouts: StoreTimeouts,
    role: Role,
) -> Result<OpenStore, StoreUrlError> {
    let place = Place::parse(url)?;
    match place.scheme {
        "file" => open_folder(&place, options, role),
        "memory" => {
            place.no_options(options)?;
            let store = place.prefixed(InMemory::new())?;
            Ok(place.opened(store, StoreKind::Memory))
        }
        "s3" => Ok(place.opened(clouds::s3(&place, options, timeouts)?, StoreKind::S3)),
        "gs" => Ok(place.opened(clouds::gcs(&place, options, timeouts)?, StoreKind::Gcs)),
        "az" => Ok(place.opened(clouds::azure(&place, options, timeouts)?, StoreKind::Azure)),
        // `Place::parse` lets no other scheme through.
        _ => open_web(&place, options, timeouts, role),
    }
}

/// A store URL taken apart.
pub(super) struct Place<'a> {
    scheme: &'a str,
    /// Bucket, container, or host with its port.
    pub(super) host: &'a str,
    /// Percent-decoded, with its leading slash.
    path: String,
    display: String,
}

impl<'a> Place<'a> {
    fn parse(url: &'a str) -> Result<Self, StoreUrlError> {
        let url = url.trim();
        let fail = |why| StoreUrlError::Malformed { url: redact(url), why };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| fail("it has no scheme"))?;
        if rest.contains(['?', '#']) && scheme != "file" {
            return Err(fail("it has a query or a fragment"));
        }
        let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if host.contains('@') {
            return Err(fail("it holds credentials, which belong into the options"));
        }
        match scheme {
            "file" if !host.is_empty() => {
                return Err(fail("a folder needs three slashes: file:///folder"));
            }
            "memory" if !host.is_empty() => {
                return Err(fail("memory needs three slashes: memory:///"));
            }
            "s3" | "gs" | "az" if host.is_empty() || host.contains(':') => {
                return Err(fail("the bucket is missing or no name"));
            }
            "http" | "https" if host.is_empty() => return Err(fail("the host is missing")),
            "file" | "memory" | "s3" | "gs" | "az" | "http" | "https" => {}
            _ => return Err(fail("its scheme is unknown")),
        }
        let path = percent_encoding::percent_decode_str(path);
        let path = path.decode_utf8().map_err(|_| fail("it is not UTF-8"))?.into_owned();
        Ok(Self { scheme, host, path, display: redact(url) })
    }

    fn key_prefix(&self) -> Result<Path, StoreUrlError> {
        Path::parse(self.path.trim_matches('/')).map_err(|_| StoreUrlError::Malformed {
            url: self.display.clone(),
            why: "its prefix is no path",
        })
    }

    pub(super) fn display(&self) -> String {
        self.display.clone()
    }

    /// The store behind the prefix.
    pub(super) fn prefixed(
        &self,
        store: impl ObjectStore,
    ) -> Result<Arc<dyn ObjectStore>, StoreUrlError> {
        Ok(prefixed(store, &self.key_prefix()?))
    }

    fn opened(&self, store: Arc<dyn ObjectStore>, kind: StoreKind) -> OpenStore {
        OpenStore { store, kind, display: self.display() }
    }

    fn no_options(&self, options: &[(String, String)]) -> Result<(), StoreUrlError> {
        options.first().map_or(Ok(()), |(name, _)| Err(self.unknown(name)))
    }

    pub(super) fn unknown(&self, name: &str) -> StoreUrlError {
        StoreUrlError::UnknownOption { url: self.display.clone(), name: name.to_owned() }
    }
}

/// The URL without what stands before an `@` and behind a `?`.
fn redact(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

fn prefixed(store: impl ObjectStore, prefix: &Path) -> Arc<dyn ObjectStore> {
    if prefix.as_ref().is_empty() {
        Arc::new(store)
    } else {
        Arc::new(PrefixStore::new(store, prefix.clone()))
    }
}

fn open_folder(
    place: &Place<'_>,
    options: &[(String, String)],
    role: Role,
) -> Result<OpenStore, StoreUrlError> {
    let path = FilePath::new(&place.path);
    let cannot = |wish| move |source| StoreUrlError::Folder { path: path.to_owned(), wish, source };
    let store: Arc<dyn ObjectStore> = match role {
        Role::Originals => {
            let mut links = Links::Refused;
            for (name, value) in options {
                match name.to_ascii_lowercase().as_str() {
                    "follow_symlinks" if is_true(value) => links = Links::WithinRoot,
                    "follow_symlinks" => links = Links::Refused,
                    _ => return Err(place.unknown(name)),
                }
            }
            Arc::new(ReadOnlyFolder::open(path, links).map_err(cannot("read"))?)
        }
        Role::Variants => {
            place.no_options(options)?;
            std::fs::create_dir_all(path).map_err(cannot("created"))?;
            // A full or read-only disk costs every variant a render, but no picture and no start.
            if let Err(error) = try_to_write(path) {
                tracing::error!(
                    folder = %path.display(),
                    error = %error,
                    "variants cannot be stored: each is rendered again after a restart"
                );
            }
            let store = LocalFileSystem::new_with_prefix(path).map_err(|e| {
                StoreUrlError::Settings { url: place.display.clone(), why: e.to_string() }
            })?;
            Arc::new(store)
        }
    };
    Ok(place.opened(store, StoreKind::File))
}

/// Writes and deletes a file, because permissions, quotas and read-only mounts all show there.
fn try_to_write(folder: &FilePath) -> std::io::Result<()> {
    let file = folder.join(format!(".lenslet-write-test-{}", std::process::id()));
    std::fs::write(&file, b"x")?;
    std::fs::remove_file(&file)
}

fn open_web(
    place: &Place<'_>,
    options: &[(String, String)],
    timeouts: StoreTimeouts,
    role: Role,
) -> Result<OpenStore, StoreUrlError> {
    let url = || place.display();
    if role == Role::Variants {
        return Err(StoreUrlError::ReadOnly { url: url() });
    }
    let mut reach = Reach { plain_http: false, private: false };
    for (name, value) in options {
        match name.to_ascii_lowercase().as_str() {
            "allow_http" => reach.plain_http = is_true(value),
            "allow_private" => reach.private = is_true(value),
            _ => return Err(place.unknown(name)),
        }
    }
    if place.scheme == "http" && !reach.plain_http {
        return Err(StoreUrlError::PlainHttp { url: url(), switch: "" });
    }
    let opened = RemoteOrigin::new(place.scheme, place.host, &place.path, reach, timeouts);
    let store = opened.map_err(|bad| match bad {
        BadBase::PrivateAddress => StoreUrlError::PrivateAddress { url: url() },
        BadBase::Malformed => StoreUrlError::Malformed { url: url(), why: "its host is no host" },
    })?;
    Ok(place.opened(Arc::new(store), StoreKind::Web))
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;

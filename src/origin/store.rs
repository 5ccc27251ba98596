//! Store URLs: `file:///folder`, `s3://bucket/prefix`, `memory:///`. Opening one makes the client
//! and checks what can be checked without the network. Never takes credentials in a URL and never
//! repeats one in a message.

use super::connect::{Connector, is_true};
use super::local::{Links, ReadOnlyFolder};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::ClientConfigKey;
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
    /// This process.
    Memory,
}

impl StoreKind {
    /// Whether objects carry Content-Type, Cache-Control and user metadata.
    #[must_use]
    pub const fn has_metadata(self) -> bool {
        matches!(self, Self::S3 | Self::Memory)
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
    fn retry(self) -> RetryConfig {
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
    #[error("{url:?} is no store URL: {why} (file:///folder, s3://bucket/prefix or memory:///)")]
    Malformed {
        /// The URL, without what could be a password.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A kind of store that is not built.
    #[error("{scheme}:// stores are not supported in this version")]
    NotSupported {
        /// The scheme.
        scheme: String,
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
    #[error("the endpoint of {url} is plain http; set aws_allow_http=true to allow that")]
    PlainHttp {
        /// The store.
        url: String,
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

/// Opens the store of a URL.
///
/// `options` are all its settings, later ones over earlier ones: for `s3` the names object_store
/// knows (`aws_access_key_id`, `aws_endpoint`, `aws_region`, `skip_signature`, …), for `file`
/// originals `follow_symlinks`. The environment is not looked at: `config` has read it. No request
/// is made. A folder for variants is created if missing and tried by writing to it.
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
            let store = prefixed(InMemory::new(), &place.key_prefix()?);
            Ok(OpenStore { store, kind: StoreKind::Memory, display: place.display })
        }
        "s3" => open_s3(&place, options, timeouts),
        scheme => Err(StoreUrlError::NotSupported { scheme: scheme.to_owned() }),
    }
}

/// A store URL taken apart.
struct Place<'a> {
    scheme: &'a str,
    host: &'a str,
    /// Percent-decoded, with its leading slash.
    path: String,
    display: String,
}

impl<'a> Place<'a> {
    fn parse(url: &'a str) -> Result<Self, StoreUrlError> {
        let url = url.trim();
        let fail = |why| StoreUrlError::Malformed { url: redact(url), why };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| fail("it has no scheme"))?;
        if matches!(scheme, "gs" | "az" | "http" | "https") {
            return Err(StoreUrlError::NotSupported { scheme: scheme.to_owned() });
        }
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
            "s3" if host.is_empty() || host.contains(':') => {
                return Err(fail("the bucket is missing or no name"));
            }
            "file" | "memory" | "s3" => {}
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

    fn no_options(&self, options: &[(String, String)]) -> Result<(), StoreUrlError> {
        options.first().map_or(Ok(()), |(name, _)| Err(self.unknown(name)))
    }

    fn unknown(&self, name: &str) -> StoreUrlError {
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
    Ok(OpenStore { store, kind: StoreKind::File, display: place.display.clone() })
}

/// Writes and deletes a file, because permissions, quotas and read-only mounts all show there.
fn try_to_write(folder: &FilePath) -> std::io::Result<()> {
    let file = folder.join(format!(".lenslet-write-test-{}", std::process::id()));
    std::fs::write(&file, b"x")?;
    std::fs::remove_file(&file)
}

fn open_s3(
    place: &Place<'_>,
    options: &[(String, String)],
    timeouts: StoreTimeouts,
) -> Result<OpenStore, StoreUrlError> {
    let url = || place.display.clone();
    let mut builder = AmazonS3Builder::new();
    for (name, value) in options {
        let key = name.to_ascii_lowercase().parse().map_err(|_| place.unknown(name))?;
        builder = builder.with_config(key, value);
    }
    let said = |key| builder.get_config_value(&key).unwrap_or_default();
    let endpoint = Some(said(AmazonS3ConfigKey::S3Endpoint)).filter(|e| !e.is_empty());
    let endpoint = endpoint.unwrap_or_else(|| said(AmazonS3ConfigKey::Endpoint));
    let allowed = is_true(&said(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp)));
    if endpoint.starts_with("http://") && !allowed {
        return Err(StoreUrlError::PlainHttp { url: url() });
    }
    let store = builder
        .with_bucket_name(place.host)
        .with_retry(timeouts.retry())
        .with_http_connector(Connector::new(timeouts))
        .build()
        .map_err(|e| StoreUrlError::Settings { url: url(), why: e.to_string() })?;
    Ok(OpenStore {
        store: prefixed(store, &place.key_prefix()?),
        kind: StoreKind::S3,
        display: url(),
    })
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
